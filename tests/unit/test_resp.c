/* RESP: requests in any pieces, protocol errors as Redis words them, replies of both versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "services/resp.h"

#define ARGS_CAP 1024
#define REQUEST_MAX 1024

struct fixture {
    struct resp_limits limits;
    struct resp_parser parser;
    struct ts_bytes args[ARGS_CAP];
    struct resp_request req;
    uint8_t data[65536 + 512];
};

static void open_fixture(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->limits = resp_limits_default();
    f->limits.args_max = ARGS_CAP;
    f->req.args = f->args;
    f->req.args_cap = ARGS_CAP;
}

static enum resp_result parse_bytes(struct fixture *f, const char *text, size_t n)
{
    f->parser = (struct resp_parser){0};
    memcpy(f->data, text, n);
    return resp_parse(&f->parser, &f->limits, f->data, n, &f->req);
}

static enum resp_result parse(struct fixture *f, const char *text)
{
    return parse_bytes(f, text, strlen(text));
}

static void expect_words(const struct fixture *f, size_t argc, const char *const *words)
{
    assert_int_equal(f->req.argc, argc);
    for (size_t i = 0; i < argc; i++) {
        assert_int_equal(f->req.args[i].len, strlen(words[i]));
        assert_memory_equal(f->req.args[i].data, words[i], strlen(words[i]));
    }
}

/* Goal: arrays and inline requests, quotes and escapes included. */
static void test_parse_requests_gives_words(void **state)
{
    (void)state;
    static struct fixture f;
    open_fixture(&f);
    assert_int_equal(parse(&f, "*2\r\n$3\r\nGET\r\n$1\r\na\r\nrest"), RESP_REQUEST);
    expect_words(&f, 2, (const char *const[]){"GET", "a"});
    assert_int_equal(f.req.consumed, 20);
    assert_int_equal(parse(&f, "*1\r\n$0\r\n\r\n"), RESP_REQUEST);
    expect_words(&f, 1, (const char *const[]){""});
    assert_int_equal(parse(&f, "SET a  1\r\nnext"), RESP_REQUEST);
    expect_words(&f, 3, (const char *const[]){"SET", "a", "1"});
    assert_int_equal(f.req.consumed, 10);
    assert_int_equal(parse(&f, "set \"a b\" 'c\\'d' \"\\x41\\n\\\"\" e\n"), RESP_REQUEST);
    expect_words(&f, 5, (const char *const[]){"set", "a b", "c'd", "A\n\"", "e"});
    assert_int_equal(parse(&f, "\r\nPING\r\n"), RESP_EMPTY);
    assert_int_equal(f.req.consumed, 2);
    assert_int_equal(parse(&f, "*0\r\n"), RESP_EMPTY);
    assert_int_equal(parse(&f, "*-1\r\n"), RESP_EMPTY);
    assert_int_equal(parse(&f, "*2\r\n$3\r\nGET\r\n$1\r\na\r"), RESP_MORE);
    assert_int_equal(parse(&f, "PING"), RESP_MORE);
}

/* Goal: each protocol error, in Redis' words. */
static void test_parse_errors_are_worded_as_redis(void **state)
{
    (void)state;
    static struct fixture f;
    open_fixture(&f);
    static const struct {
        const char *text;
        const char *error;
    } cases[] = {
        {"*x\r\n", "Protocol error: invalid multibulk length"},
        {"*99999999999\r\n", "Protocol error: invalid multibulk length"},
        {"*1\r\nGET\r\n", "Protocol error: expected '$', got 'G'"},
        {"*1\r\n$x\r\n", "Protocol error: invalid bulk length"},
        {"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"},
        {"*1\r\n$536870913\r\n", "Protocol error: invalid bulk length"},
        {"*1\r\n$1048577\r\n",
         "Protocol error: bulk of 1048577 bytes exceeds the limit of 1048576 bytes"},
        {"*1025\r\n", "Protocol error: request of 1025 words exceeds the limit of 1024 words"},
        {"set \"a\n", "Protocol error: unbalanced quotes in request"},
        {"set 'a'b\n", "Protocol error: unbalanced quotes in request"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(&f, cases[i].text), RESP_ERROR);
        assert_string_equal(f.req.error, cases[i].error);
    }
    static char big[65536 + 100];
    memset(big, 'x', sizeof(big));
    assert_int_equal(parse_bytes(&f, big, sizeof(big)), RESP_ERROR);
    assert_string_equal(f.req.error, "Protocol error: too big inline request");
    big[0] = '*';
    assert_int_equal(parse_bytes(&f, big, sizeof(big)), RESP_ERROR);
    assert_string_equal(f.req.error, "Protocol error: too big mbulk count string");
    memcpy(big, "*1\r\n$", 5);
    assert_int_equal(parse_bytes(&f, big, sizeof(big)), RESP_ERROR);
    assert_string_equal(f.req.error, "Protocol error: too big bulk count string");
    f.limits.request_max = 40;
    assert_int_equal(parse(&f, "*2\r\n$10\r\n0123456789\r\n$20\r\n"), RESP_ERROR);
    assert_string_equal(f.req.error, "Protocol error: request exceeds the limit of 40 bytes");
}

/* Writes a random request at `out`; remembers its words' total as a check sum of sorts. */
static size_t random_request(struct ts_prng *p, uint8_t *out, size_t *words, size_t *bytes)
{
    *words = 1 + (size_t)ts_prng_below(p, 6);
    *bytes = 0;
    size_t n = (size_t)snprintf((char *)out, REQUEST_MAX, "*%zu\r\n", *words);
    for (size_t i = 0; i < *words; i++) {
        size_t len = (size_t)ts_prng_below(p, 40);
        n += (size_t)snprintf((char *)out + n, REQUEST_MAX - n, "$%zu\r\n", len);
        for (size_t k = 0; k < len; k++) {
            out[n] = (uint8_t)ts_prng_next(p);
            *bytes += out[n++];
        }
        out[n++] = '\r';
        out[n++] = '\n';
    }
    return n;
}

/* Goal: cut anywhere, and moved in memory between the pieces, a request is the same. */
static void test_parse_random_pieces_gives_same_requests(void **state)
{
    (void)state;
    static struct fixture f;
    open_fixture(&f);
    struct ts_prng p = ts_prng_init(7);
    for (int round = 0; round < 3000; round++) {
        uint8_t whole[REQUEST_MAX];
        size_t words = 0;
        size_t bytes = 0;
        size_t n = random_request(&p, whole, &words, &bytes);
        size_t have = 0;
        enum resp_result r = RESP_MORE;
        uint8_t *moving = NULL;
        while (r == RESP_MORE) {
            assert_true(have < n);
            have += 1 + (size_t)ts_prng_below(&p, n - have);
            free(moving);
            moving = malloc(have); /* exact: a sanitizer sees any step too far */
            memcpy(moving, whole, have);
            r = resp_parse(&f.parser, &f.limits, moving, have, &f.req);
        }
        assert_int_equal(r, RESP_REQUEST);
        assert_int_equal(f.req.consumed, n);
        assert_int_equal(f.req.argc, words);
        size_t sum = 0;
        for (size_t i = 0; i < words; i++) {
            for (size_t k = 0; k < f.req.args[i].len; k++) {
                sum += f.req.args[i].data[k];
            }
        }
        assert_int_equal(sum, bytes);
        free(moving);
    }
}

/* Goal: numbers have one spelling, both ways, to the ends of the range. */
static void test_numbers_round_trip(void **state)
{
    (void)state;
    const int64_t values[] = {0, 1, -1, 9, 10, -10, INT64_MAX, INT64_MIN, INT64_MIN + 1};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char text[RESP_I64_TEXT_MAX];
        int64_t back = 77;
        size_t n = resp_format_i64(text, values[i]);
        assert_true(resp_parse_i64((struct ts_bytes){(uint8_t *)text, n}, &back));
        assert_true(back == values[i]);
    }
    const char *const bad[] = {"",
                               "-",
                               "+1",
                               "01",
                               "-0",
                               "1 ",
                               " 1",
                               "9223372036854775808",
                               "-9223372036854775809",
                               "18446744073709551616",
                               "1e3"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t v = 77;
        assert_false(
            resp_parse_i64((struct ts_bytes){(const uint8_t *)bad[i], strlen(bad[i])}, &v));
        assert_true(v == 77);
    }
}

static void expect_reply(struct svc_out *out, const char *text)
{
    assert_int_equal(out->len, strlen(text));
    assert_memory_equal(out->data, text, out->len);
    out->len = 0;
}

/* Goal: the types that differ between the versions, and an error without line ends. */
static void test_replies_of_both_versions(void **state)
{
    (void)state;
    struct svc_out out = {.max = 4096};
    struct resp_writer w = resp_writer_init(&out, RESP_V2, 4096);
    resp_put_null(&w);
    resp_put_map(&w, 2);
    resp_put_set(&w, 3);
    resp_put_push(&w, 4);
    resp_put_verbatim(&w, "hi", 2);
    assert_int_equal(resp_writer_finish(&w), TS_OK);
    expect_reply(&out, "$-1\r\n*4\r\n*3\r\n*4\r\n$2\r\nhi\r\n");
    w = resp_writer_init(&out, RESP_V3, 4096);
    resp_put_null(&w);
    resp_put_map(&w, 2);
    resp_put_set(&w, 3);
    resp_put_push(&w, 4);
    resp_put_verbatim(&w, "hi", 2);
    assert_int_equal(resp_writer_finish(&w), TS_OK);
    expect_reply(&out, "_\r\n%2\r\n~3\r\n>4\r\n=6\r\ntxt:hi\r\n");
    w = resp_writer_init(&out, RESP_V2, 4096);
    resp_put_error(&w, "ERR a\r\nb");
    resp_put_integer(&w, INT64_MIN);
    resp_put_simple(&w, "OK");
    assert_int_equal(resp_writer_finish(&w), TS_OK);
    expect_reply(&out, "-ERR a  b\r\n:-9223372036854775808\r\n+OK\r\n");
    svc_out_free(&out);
}

/* Goal: a reply that does not fit leaves nothing, by the writer's bound and by the sink's. */
static void test_reply_too_long_is_taken_back(void **state)
{
    (void)state;
    struct svc_out out = {.max = 20};
    struct resp_writer w = resp_writer_init(&out, RESP_V2, 100);
    resp_put_simple(&w, "kept");
    assert_int_equal(resp_writer_finish(&w), TS_OK);
    w = resp_writer_init(&out, RESP_V2, 8);
    resp_put_bulk(&w, "0123456789", 10);
    resp_put_simple(&w, "x");
    assert_int_equal(resp_writer_finish(&w), TS_ERR_LIMIT);
    w = resp_writer_init(&out, RESP_V2, 100);
    resp_put_bulk(&w, "0123456789", 10);
    assert_int_equal(resp_writer_finish(&w), TS_ERR_LIMIT);
    expect_reply(&out, "+kept\r\n");
    svc_out_free(&out);
}

/* Goal: a reply's end is found at every depth, and nothing is taken for whole that is not. */
static void test_length_of_a_reply_is_found(void **state)
{
    (void)state;
    static const char *const whole[] = {"+OK\r\n",
                                        "-ERR x\r\n",
                                        ":-5\r\n",
                                        "$0\r\n\r\n",
                                        "$2\r\n\r\n\r\n",
                                        "$-1\r\n",
                                        "*-1\r\n",
                                        "*0\r\n",
                                        "_\r\n",
                                        "%0\r\n",
                                        "*2\r\n*1\r\n:1\r\n$1\r\nx\r\n",
                                        "%1\r\n+a\r\n~2\r\n:1\r\n:2\r\n",
                                        ">2\r\n+a\r\n=5\r\ntxt:a\r\n"};
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        char text[128];
        size_t len = strlen(whole[i]);
        (void)snprintf(text, sizeof(text), "%s+more\r\n", whole[i]);
        struct ts_bytes bytes = {(const uint8_t *)text, strlen(text)};
        assert_int_equal(resp_reply_len(bytes), len);
        for (bytes.len = 0; bytes.len < len; bytes.len++) {
            assert_int_equal(resp_reply_len(bytes), 0);
        }
    }
    static const char wrong[] = "*x\r\n";
    assert_int_equal(resp_reply_len((struct ts_bytes){(const uint8_t *)wrong, 4}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_requests_gives_words),
        cmocka_unit_test(test_parse_errors_are_worded_as_redis),
        cmocka_unit_test(test_parse_random_pieces_gives_same_requests),
        cmocka_unit_test(test_numbers_round_trip),
        cmocka_unit_test(test_replies_of_both_versions),
        cmocka_unit_test(test_reply_too_long_is_taken_back),
        cmocka_unit_test(test_length_of_a_reply_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
