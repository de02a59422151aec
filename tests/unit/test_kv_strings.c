/* kv: INCRBYFLOAT, bits, COPY, LCS and OBJECT, worded as Redis 7.0 words them. What Redis answers
 * to all of them is compared at random in tests/integration/test_kv_redis.c. */
#include "tests/unit/kv_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "services/kv/decimal.h"

#define FLOAT_ERROR "-ERR value is not a valid float\r\n"
#define ENDLESS_ERROR "-ERR increment would produce NaN or Infinity\r\n"
#define NUMBER_ERROR "-ERR value is not an integer or out of range\r\n"
#define SYNTAX_ERROR "-ERR syntax error\r\n"

/* What `word` is, written again; "?" for what is no number that fits. */
static const char *written(const char *word)
{
    static char text[KV_DECIMAL_TEXT_MAX + 1];
    struct kv_decimal v;
    size_t len = 0;
    if (kv_decimal_read((struct ts_bytes){(const uint8_t *)word, strlen(word)}, &v) ==
        KV_DECIMAL_READ) {
        len = kv_decimal_format(&v, text);
    }
    text[len] = '\0';
    return len > 0 ? text : "?";
}

/* Goal: numbers are read and written as Redis has them, as long as its figures are enough. */
static void test_decimal_read_and_format(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"0", "0"},
        {"-0", "0"},
        {"-0.00", "0"},
        {"+1", "1"},
        {"007.500", "7.5"},
        {".5", "0.5"},
        {"5.", "5"},
        {"-1.25e2", "-125"},
        {"1E-2", "0.01"},
        {"125e-2", "1.25"},
        {"0.00000000000000000125e+18", "1.25"},
        {"0e99999999999999999999", "0"},
        {"1e-99999999999999999999", "0"},
        {"17179869185.5", "17179869185.5"},
        {"0.12345678901234567", "0.12345678901234567"},
        /* the eighteenth place is rounded: to the nearest, a half to the even one */
        {"0.123456789012345674", "0.12345678901234567"},
        {"0.123456789012345676", "0.12345678901234568"},
        {"0.123456789012345675", "0.12345678901234568"},
        {"0.123456789012345665", "0.12345678901234566"},
        {"0.1234567890123456650001", "0.12345678901234567"},
        {"0.999999999999999999", "1"},
        {"-9.999999999999999999", "-10"},
        {"0.000000000000000001", "0"},
        {"-0.000000000000000001", "0"},
        {"1e63", "1000000000000000000000000000000000000000000000000000000000000000"},
        {"1e64", "?"},
        {"1e99999999999999999999", "?"},
        {"", "?"},
        {"-", "?"},
        {".", "?"},
        {"1.2.3", "?"},
        {"1e", "?"},
        {"1e+", "?"},
        {"1 ", "?"},
        {" 1", "?"},
        {"--1", "?"},
        {"0x10", "?"},
        {"nan", "?"},
        {"inf", "?"},
        {"1,5", "?"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(written(cases[i][0]), cases[i][1]);
    }
    struct kv_decimal v;
    static uint8_t longest[KV_DECIMAL_WORD_MAX + 1];
    memset(longest, '0', sizeof(longest));
    assert_int_equal(kv_decimal_read((struct ts_bytes){longest, KV_DECIMAL_WORD_MAX}, &v),
                     KV_DECIMAL_READ);
    assert_int_equal(kv_decimal_read((struct ts_bytes){longest, KV_DECIMAL_WORD_MAX + 1}, &v),
                     KV_DECIMAL_NO_NUMBER);
}

/* Goal: sums are exact: those of whole numbers of thousandths are what integers say. */
static void test_decimal_add_is_exact(void **state)
{
    (void)state;
    struct ts_prng p = ts_prng_init(1);
    for (int i = 0; i < 20000; i++) {
        int64_t n[2];
        struct kv_decimal v[3];
        char text[64];
        for (int k = 0; k < 2; k++) {
            n[k] = (int64_t)ts_prng_below(&p, UINT64_C(1) << ts_prng_below(&p, 60));
            n[k] = ts_prng_below(&p, 2) == 0 ? n[k] : -n[k];
            int len = snprintf(text, sizeof(text), "%" PRId64 "E-3", n[k]);
            assert_int_equal(
                kv_decimal_read((struct ts_bytes){(const uint8_t *)text, (size_t)len}, &v[k]),
                KV_DECIMAL_READ);
        }
        assert_true(kv_decimal_add(&v[0], &v[1], &v[2]));
        char sum[KV_DECIMAL_TEXT_MAX + 1];
        sum[kv_decimal_format(&v[2], sum)] = '\0';
        snprintf(text, sizeof(text), "%" PRId64 "E-3", n[0] + n[1]);
        assert_string_equal(sum, written(text));
    }
}

/* Goal: INCRBYFLOAT's answers, what it leaves, and what it refuses. */
static void test_incrbyfloat_follows_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, "value-max=64");
    KV_EXPECT(&t, "INCRBYFLOAT a 10.50", "$4\r\n10.5\r\n");
    KV_EXPECT(&t, "EXPIRE a 10", ":1\r\n");
    KV_EXPECT(&t, "INCRBYFLOAT a 0.1", "$4\r\n10.6\r\n");
    KV_EXPECT(&t, "TTL a", ":10\r\n");
    KV_EXPECT(&t, "GET a", "$4\r\n10.6\r\n");
    KV_EXPECT(&t, "INCRBYFLOAT a -10.6", "$1\r\n0\r\n");
    KV_EXPECT(&t, "INCRBYFLOAT a 5.0e3", "$4\r\n5000\r\n");
    KV_EXPECT(&t, "INCR a", ":5001\r\n");
    /* Redis adds in binary, and answers 5001.10000000000000009 */
    KV_EXPECT(&t, "INCRBYFLOAT a 0.1", "$6\r\n5001.1\r\n");
    KV_EXPECT(&t, "INCRBYFLOAT a x", FLOAT_ERROR);
    KV_EXPECT(&t, "INCRBYFLOAT a nan", FLOAT_ERROR);
    KV_EXPECT(&t, "INCRBYFLOAT a +inf", ENDLESS_ERROR);
    KV_EXPECT(&t, "INCRBYFLOAT a -Infinity", ENDLESS_ERROR);
    KV_EXPECT(&t, "SET b inf", "+OK\r\n");
    KV_EXPECT(&t, "INCRBYFLOAT b 1", ENDLESS_ERROR);
    KV_EXPECT(&t, "INCRBYFLOAT b x", FLOAT_ERROR);
    KV_EXPECT(&t, "INCRBYFLOAT c 1e64",
              "-ERR value is not a valid float: it has more than 64 figures before the point\r\n");
    KV_EXPECT(&t, "EXISTS c", ":0\r\n");
    (void)kv_do(&t, "INCRBYFLOAT c 9e63");
    KV_EXPECT(&t, "INCRBYFLOAT c 9e63",
              "-ERR increment would produce more than 64 figures before the point\r\n");
    KV_EXPECT(&t, "INCRBYFLOAT c 0.5",
              "-ERR string exceeds maximum allowed size: 66 bytes, at most 64\r\n");
    KV_EXPECT(&t, "INCRBYFLOAT c 0",
              "$64\r\n9000000000000000000000000000000000000000000000000"
              "000000000000000\r\n");
    kv_close(&t);
}

/* Goal: single bits; a value grows by zeros, within the limit. */
static void test_bits_follow_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, "value-max=16");
    KV_EXPECT(&t, "GETBIT a 0", ":0\r\n");
    KV_EXPECT(&t, "SETBIT a 1 1", ":0\r\n");
    KV_EXPECT(&t, "SETBIT a 2 1", ":0\r\n");
    KV_EXPECT(&t, "SETBIT a 1 1", ":1\r\n");
    KV_EXPECT(&t, "GET a", "$1\r\n`\r\n");
    KV_EXPECT(&t, "SETBIT a 2 0", ":1\r\n");
    KV_EXPECT(&t, "GET a", "$1\r\n@\r\n");
    KV_EXPECT(&t, "GETBIT a 1", ":1\r\n");
    KV_EXPECT(&t, "GETBIT a 127", ":0\r\n");
    KV_EXPECT(&t, "SETBIT b 127 0", ":0\r\n");
    KV_EXPECT(&t, "STRLEN b", ":16\r\n");
    KV_EXPECT(&t, "SETBIT b 128 0", "-ERR bit offset is not an integer or out of range\r\n");
    KV_EXPECT(&t, "SETBIT b -1 0", "-ERR bit offset is not an integer or out of range\r\n");
    KV_EXPECT(&t, "GETBIT b x", "-ERR bit offset is not an integer or out of range\r\n");
    KV_EXPECT(&t, "SETBIT b 0 2", "-ERR bit is not an integer or out of range\r\n");
    KV_EXPECT(&t, "STRLEN b", ":16\r\n");
    kv_close(&t);
}

/* Goal: a copy has value and expiry, and leaves what is there unless it may not. */
static void test_copy_follows_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, "key-max=4");
    KV_EXPECT(&t, "COPY a b", ":0\r\n");
    KV_EXPECT(&t, "SET a 1 EX 10", "+OK\r\n");
    KV_EXPECT(&t, "COPY a b", ":1\r\n");
    KV_EXPECT(&t, "TTL b", ":10\r\n");
    KV_EXPECT(&t, "SET a 2", "+OK\r\n");
    KV_EXPECT(&t, "COPY a b", ":0\r\n");
    KV_EXPECT(&t, "GET b", "$1\r\n1\r\n");
    KV_EXPECT(&t, "COPY a b DB 0 REPLACE", ":1\r\n");
    KV_EXPECT(&t, "GET b", "$1\r\n2\r\n");
    KV_EXPECT(&t, "TTL b", ":-1\r\n");
    KV_EXPECT(&t, "COPY a a", "-ERR source and destination objects are the same\r\n");
    KV_EXPECT(&t, "COPY a b DB 1", "-ERR DB index is out of range\r\n");
    KV_EXPECT(&t, "COPY a b DB x", NUMBER_ERROR);
    KV_EXPECT(&t, "COPY a b DB", SYNTAX_ERROR);
    KV_EXPECT(&t, "COPY a b FOO", SYNTAX_ERROR);
    KV_EXPECT(&t, "COPY a toolong", "-ERR key of 7 bytes exceeds the limit of 4 bytes\r\n");
    /* A time that has come is no obstacle. */
    KV_EXPECT(&t, "SET c 3 PX 5", "+OK\r\n");
    t.now_ms += 6;
    KV_EXPECT(&t, "COPY a c", ":1\r\n");
    KV_EXPECT(&t, "COPY c d", ":1\r\n");
    KV_EXPECT(&t, "MGET c d", "*2\r\n$1\r\n2\r\n$1\r\n2\r\n");
    kv_close(&t);
}

/* Goal: the subsequence, its length and its matches; too long a look is refused. */
static void test_lcs_follows_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    KV_EXPECT(&t, "LCS a b", "$0\r\n\r\n");
    KV_EXPECT(&t, "MSET a ohmytext b mynewtext", "+OK\r\n");
    KV_EXPECT(&t, "LCS a b", "$6\r\nmytext\r\n");
    KV_EXPECT(&t, "LCS a b LEN", ":6\r\n");
    KV_EXPECT(&t, "LCS a b IDX",
              "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n"
              "*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:6\r\n");
    t.version = RESP_V3;
    KV_EXPECT(&t, "LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
              "%2\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n"
              "$3\r\nlen\r\n:6\r\n");
    KV_EXPECT(&t, "LCS a b LEN IDX",
              "-ERR If you want both the length and indexes, please just use IDX.\r\n");
    KV_EXPECT(&t, "LCS a b MINMATCHLEN", SYNTAX_ERROR);
    KV_EXPECT(&t, "LCS a b MINMATCHLEN x", NUMBER_ERROR);
    KV_EXPECT(&t, "SETRANGE a 1022 x", ":1023\r\n");
    KV_EXPECT(&t, "SETRANGE b 1022 x", ":1023\r\n");
    KV_EXPECT(&t, "LCS a b LEN", ":1020\r\n");
    KV_EXPECT(&t, "APPEND b y", ":1024\r\n");
    KV_EXPECT(&t, "LCS a b LEN",
              "-ERR LCS would hold up everybody: the product of the values' lengths must be below "
              "1048576\r\n");
    KV_EXPECT(&t, "LCS a none LEN", ":0\r\n");
    kv_close(&t);
}

/* Goal: what is said of a key's storage, and that nothing is invented. */
static void test_object_says_what_is_known(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    KV_EXPECT(&t, "OBJECT ENCODING a", "$-1\r\n");
    KV_EXPECT(&t, "SET a 1", "+OK\r\n");
    KV_EXPECT(&t, "OBJECT encoding a", "$3\r\nraw\r\n");
    KV_EXPECT(&t, "OBJECT REFCOUNT a", ":1\r\n");
    KV_EXPECT(&t, "OBJECT FREQ a", "-ERR access frequency is not tracked\r\n");
    KV_EXPECT(&t, "OBJECT IDLETIME a", "-ERR idle time is not tracked\r\n");
    KV_EXPECT(&t, "OBJECT ENCODING",
              "-ERR wrong number of arguments for 'object|encoding' command\r\n");
    KV_EXPECT(&t, "OBJECT FOO a", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP.\r\n");
    assert_non_null(strstr(kv_do(&t, "OBJECT HELP"), "REFCOUNT"));
    kv_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decimal_read_and_format),
        cmocka_unit_test(test_decimal_add_is_exact),
        cmocka_unit_test(test_incrbyfloat_follows_redis),
        cmocka_unit_test(test_bits_follow_redis),
        cmocka_unit_test(test_copy_follows_redis),
        cmocka_unit_test(test_lcs_follows_redis),
        cmocka_unit_test(test_object_says_what_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
