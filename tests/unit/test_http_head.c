/* Goal: a request's target and headers are the same in any pieces, decoded once, and bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "services/http_head.h"

static struct ts_bytes text(const char *s)
{
    return (struct ts_bytes){(const uint8_t *)s, strlen(s)};
}

static void assert_bytes(struct ts_bytes got, const char *wanted)
{
    assert_int_equal(got.len, strlen(wanted));
    assert_memory_equal(got.data, wanted, got.len);
}

/* Gives one header, in pieces of `step` bytes. */
static void give(struct http_head *h, const char *name, const char *value, size_t step)
{
    struct ts_bytes all = text(name);
    for (size_t at = 0; at < all.len; at += step) {
        size_t n = all.len - at < step ? all.len - at : step;
        http_head_name(h, (struct ts_bytes){all.data + at, n});
    }
    all = text(value);
    for (size_t at = 0; at < all.len || at == 0; at += step) {
        size_t n = all.len - at < step ? all.len - at : step;
        http_head_value(h, (struct ts_bytes){all.data + at, n});
    }
}

/* Goal: pieces are put together, names are the same in any case, others are counted only. */
static void test_head_joins_pieces(void **state)
{
    char buf[256];
    struct http_head h;
    (void)state;
    for (size_t step = 1; step < 20; step++) {
        http_head_begin(&h, buf, sizeof(buf));
        http_head_method(&h, text("PATCH"));
        http_head_target(&h, text("/a"));
        http_head_target(&h, text("?b"));
        give(&h, "X-Content-Type-That-Is-Another-One", "no", step);
        give(&h, "Content-Type", "text/plain", step);
        give(&h, "hOST", "", step);
        give(&h, "Expect", "100-Continue", step);
        assert_true(h.has_method && h.method == HTTP_METHOD_PATCH && !h.doubled);
        assert_bytes(http_head_target_text(&h), "/a?b");
        assert_bytes(http_head_get(&h, HTTP_FIELD_TYPE), "text/plain");
        assert_true(h.seen[HTTP_FIELD_HOST] && !h.seen[HTTP_FIELD_LENGTH]);
        assert_bytes(http_head_get(&h, HTTP_FIELD_HOST), "");
        assert_true(http_head_expects(&h));
        assert_int_equal(h.bytes, 4 + 4 * HTTP_FIELD_COST + 34 + 2 + 12 + 10 + 4 + 6 + 12);
    }
}

/* Goal: the second one of a header is seen, also when the first one is empty. */
static void test_head_sees_doubled_ones(void **state)
{
    char buf[256];
    struct http_head h;
    (void)state;
    http_head_begin(&h, buf, sizeof(buf));
    give(&h, "accept", "a", 9);
    give(&h, "accept", "b", 9);
    give(&h, "content-length", "", 9);
    assert_false(h.doubled);
    give(&h, "Content-Length", "5", 9);
    assert_true(h.doubled);
}

/* Goal: what is too much is not kept, however it comes. */
static void test_head_is_bounded(void **state)
{
    char buf[100];
    struct http_head h;
    (void)state;
    http_head_begin(&h, buf, sizeof(buf));
    for (unsigned i = 0; i < 100; i++) {
        http_head_target(&h, text("/"));
    }
    assert_false(http_head_is_long(&h));
    http_head_target(&h, text("/"));
    assert_true(http_head_is_long(&h));
    give(&h, "host", "x", 1);
    assert_int_equal(h.target.len, 100);
    http_head_begin(&h, buf, sizeof(buf));
    for (unsigned i = 0; i < 4; i++) {
        give(&h, "a", "", 1);
    }
    assert_true(http_head_is_long(&h)); /* 33 bytes each */
}

/* Goal: a path, a URL as proxies get it, "*"; nothing else. */
static void test_target_divide_takes_paths_and_urls(void **state)
{
    struct http_target t;
    (void)state;
    assert_int_equal(http_target_divide(text("/a/b?c=/?d"), &t), TS_OK);
    assert_bytes(t.path, "/a/b");
    assert_bytes(t.query, "c=/?d");
    assert_int_equal(http_target_divide(text("HTTP://127.0.0.1:1/a?b"), &t), TS_OK);
    assert_bytes(t.path, "/a");
    assert_bytes(t.query, "b");
    assert_int_equal(http_target_divide(text("https://127.0.0.1?b"), &t), TS_OK);
    assert_bytes(t.path, "/");
    assert_bytes(t.query, "b");
    assert_int_equal(http_target_divide(text("*"), &t), TS_OK);
    assert_true(t.is_server);
    static const char *const bad[] = {"",       "a", "?a", "*a", "h:1", "/a#b", "ftp://127.0.0.1/a",
                                      "http://"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(http_target_divide(text(bad[i]), &t), TS_ERR_MALFORMED);
    }
}

/* Goal: once, and '+' is a blank in queries only. */
static void test_percent_decode_decodes_once(void **state)
{
    uint8_t out[64];
    size_t n = 0;
    (void)state;
    assert_int_equal(http_percent_decode(text("a%2525+%c3%A9"), false, out, &n), TS_OK);
    assert_bytes((struct ts_bytes){out, n}, "a%25+\xc3\xa9");
    assert_int_equal(http_percent_decode(text("a+%2B"), true, out, &n), TS_OK);
    assert_bytes((struct ts_bytes){out, n}, "a +");
    static const char *const bad[] = {"%", "%1", "a%1g", "%%11", "a%"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(http_percent_decode(text(bad[i]), true, out, &n), TS_ERR_MALFORMED);
    }
}

/* Goal: empty parameters are none. */
static void test_query_next_gives_each(void **state)
{
    struct ts_bytes query = text("&a=1&&b;c&");
    struct ts_bytes param;
    (void)state;
    assert_true(http_query_next(&query, &param));
    assert_bytes(param, "a=1");
    assert_true(http_query_next(&query, &param));
    assert_bytes(param, "b;c");
    assert_false(http_query_next(&query, &param));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_joins_pieces),
        cmocka_unit_test(test_head_sees_doubled_ones),
        cmocka_unit_test(test_head_is_bounded),
        cmocka_unit_test(test_target_divide_takes_paths_and_urls),
        cmocka_unit_test(test_percent_decode_decodes_once),
        cmocka_unit_test(test_query_next_gives_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
