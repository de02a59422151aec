/* Goal: what clients say in HTTP is taken apart as it was meant, within bounds, or refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "services/http.h"

static struct ts_bytes text(const char *s)
{
    return (struct ts_bytes){(const uint8_t *)s, strlen(s)};
}

/* Goal: no path leads out of what it names. */
static void test_path_is_valid_refuses_what_is_no_path(void **state)
{
    (void)state;
    static const char *const good[] = {"/",    "/a",   "/a/", "/a/b.c/..d", "/a b/\xc3\xa9",
                                       "/...", "/a/.b"};
    static const char *const bad[] = {"",   "a",     "/.",     "/..",    "/a/..", "/a/../b",
                                      "//", "/a//b", "/a\x01", "/a\x7f", "/./a"};
    char longest[HTTP_PATH_MAX + 2];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(http_path_is_valid(text(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(http_path_is_valid(text(bad[i])));
    }
    assert_false(http_path_is_valid((struct ts_bytes){(const uint8_t *)"/a\0b", 4}));
    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    assert_true(http_path_is_valid((struct ts_bytes){(uint8_t *)longest, HTTP_PATH_MAX}));
    assert_false(http_path_is_valid((struct ts_bytes){(uint8_t *)longest, HTTP_PATH_MAX + 1}));
}

/* Goal: the first '=' divides. */
static void test_param_parse_divides_at_the_first_sign(void **state)
{
    (void)state;
    struct http_param p;
    char longest[HTTP_PARAM_NAME_MAX + 2] = "";
    assert_int_equal(http_param_parse(text("a=b=c"), &p), TS_OK);
    assert_true(p.name.len == 1 && p.value.len == 3 && memcmp(p.value.data, "b=c", 3) == 0);
    assert_int_equal(http_param_parse(text("a"), &p), TS_OK);
    assert_int_equal(p.value.len, 0);
    assert_int_equal(http_param_parse(text(""), &p), TS_ERR_MALFORMED);
    assert_int_equal(http_param_parse(text("=b"), &p), TS_ERR_MALFORMED);
    assert_int_equal(http_param_parse(text("a=\n"), &p), TS_ERR_MALFORMED);
    memset(longest, 'a', HTTP_PARAM_NAME_MAX + 1);
    assert_int_equal(http_param_parse(text(longest), &p), TS_ERR_LIMIT);
}

/* Goal: name and password of Basic, and nothing that is not that. */
static void test_basic_parse_takes_good_ones_only(void **state)
{
    (void)state;
    struct http_credentials c;
    assert_int_equal(http_basic_parse(text("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), &c), TS_OK);
    assert_string_equal(c.name, "Aladdin");
    assert_string_equal(c.password, "open sesame");
    assert_int_equal(http_basic_parse(text("bAsIc  YTo"), &c), TS_OK);
    assert_true(c.name_len == 1 && c.password_len == 0);
    assert_int_equal(http_basic_parse(text("Bearer x"), &c), TS_ERR_NOT_FOUND);
    assert_int_equal(http_basic_parse(text("Basic"), &c), TS_ERR_NOT_FOUND);
    assert_int_equal(http_basic_parse(text("Basic YQ=="), &c), TS_ERR_MALFORMED);
    assert_int_equal(http_basic_parse(text("Basic YTp="), &c), TS_ERR_MALFORMED);
    assert_int_equal(http_basic_parse(text("Basic YTpi!A=="), &c), TS_ERR_MALFORMED);
    assert_int_equal(http_basic_parse(text("Basic YToK"), &c), TS_ERR_MALFORMED);
    char longest[1024] = "Basic ";
    memset(longest + 6, 'A', 900);
    assert_int_equal(http_basic_parse(text(longest), &c), TS_ERR_LIMIT);
}

/* Goal: numbers are digits. */
static void test_length_parse_takes_digits_only(void **state)
{
    (void)state;
    uint64_t n = 0;
    assert_int_equal(http_length_parse(text(" 120 "), &n), TS_OK);
    assert_int_equal(n, 120);
    static const char *const bad[] = {"", "-1", "+1", "1,1", "0x1", "1 1", "9999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(http_length_parse(text(bad[i]), &n), TS_ERR_MALFORMED);
    }
    assert_true(http_is_chunked(text("Chunked ")));
    assert_false(http_is_chunked(text("gzip, chunked")));
}

static enum ts_err read_all(const char *in, size_t step, char *out, bool *done)
{
    struct http_chunks c = {.state = HTTP_CHUNK_SIZE};
    size_t at = 0;
    size_t len = strlen(in);
    size_t n = 0;
    while (at < len && c.state != HTTP_CHUNK_DONE) {
        size_t left = len - at;
        size_t used = 0;
        struct ts_bytes data;
        struct ts_bytes piece = {(const uint8_t *)in + at, left < step ? left : step};
        enum ts_err err = http_chunks_read(&c, piece, &used, &data);
        if (err != TS_OK) {
            return err;
        }
        if (data.len > 0) {
            memcpy(out + n, data.data, data.len);
            n += data.len;
        }
        at += used;
    }
    out[n] = '\0';
    *done = c.state == HTTP_CHUNK_DONE;
    return TS_OK;
}

/* Goal: a chunked body is the same in any pieces. */
static void test_chunks_read_joins_pieces(void **state)
{
    (void)state;
    char out[64];
    bool done = false;
    for (size_t step = 1; step < 12; step++) {
        assert_int_equal(
            read_all("3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\nNEXT", step, out, &done),
            TS_OK);
        assert_true(done);
        assert_string_equal(out, "abc0123456789");
    }
    assert_int_equal(read_all("3\r\nab", 9, out, &done), TS_OK);
    assert_false(done);
    static const char *const bad[] = {"\r\n", "g\r\n", "3\n", "3\r\nabcX", "3 x\rX", "-1\r\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(read_all(bad[i], 99, out, &done), TS_ERR_MALFORMED);
    }
    assert_int_equal(read_all("1234567890123", 99, out, &done), TS_ERR_LIMIT);
}

/* Goal: an error is one JSON object, whatever the message; a header cannot become two. */
static void test_error_body_is_json(void **state)
{
    (void)state;
    char out[HTTP_ERROR_MAX];
    char message[2 * HTTP_ERROR_MAX];
    size_t n = http_error_body(out, 404, 600, "policy", "a \"b\"\n\\");
    assert_string_equal(out, "{\"httpStatus\":\"NOT_FOUND\",\"error_code\":600,\"module_name\":"
                             "\"policy\",\"error_message\":\"a \\\"b\\\"\\u000a\\\\\"}");
    assert_int_equal(n, strlen(out));
    memset(message, '"', sizeof(message));
    message[sizeof(message) - 1] = '\0';
    n = http_error_body(out, 400, 1, "policy", message);
    assert_true(n < HTTP_ERROR_MAX && strcmp(out + n - 3, "\"\"}") == 0);
    n = http_error_body(out, 400, 1, "policy", "\xc3\xa4\xff\xed\xa0\x80.");
    assert_string_equal(out + n - 9, "\xc3\xa4????.\"}");
    for (size_t i = 0; i + 2 < sizeof(message); i += 2) {
        memcpy(message + i, "\xc3\xa4", 3); /* whole letters are left out at the end */
    }
    n = http_error_body(out, 400, 1, "policy", message);
    assert_memory_equal(out + n - 4, "\xc3\xa4\"}", 4);
    assert_string_equal(http_status_word(507), "INSUFFICIENT_STORAGE");
    assert_true(http_header_is_valid("x-a", "b c"));
    assert_false(http_header_is_valid("x-a", "b\r\nc: d"));
    assert_false(http_header_is_valid("x a", "b"));
    assert_false(http_header_is_valid("Content-Length", "5"));
}

/* Goal: each line of an event's data is a field of its own. */
static void test_event_write_divides_lines(void **state)
{
    (void)state;
    char out[128] = "";
    struct http_event e = {.name = "n", .id = "7", .data = text("a\r\nb\nc")};
    struct ts_writer w = ts_writer_init(out, http_event_size(&e));
    http_event_write(&w, &e);
    assert_int_equal(ts_writer_status(&w), TS_OK);
    assert_int_equal(w.len, http_event_size(&e));
    assert_string_equal(out, "id: 7\nevent: n\ndata: a\ndata: b\ndata: c\n\n");
    e.name = "a\nb";
    assert_false(http_event_is_valid(&e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path_is_valid_refuses_what_is_no_path),
        cmocka_unit_test(test_param_parse_divides_at_the_first_sign),
        cmocka_unit_test(test_basic_parse_takes_good_ones_only),
        cmocka_unit_test(test_length_parse_takes_digits_only),
        cmocka_unit_test(test_chunks_read_joins_pieces),
        cmocka_unit_test(test_error_body_is_json),
        cmocka_unit_test(test_event_write_divides_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
