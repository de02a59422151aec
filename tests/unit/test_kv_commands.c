/* kv: each family's replies and errors, worded as Redis 7.0 words them. */
#include "tests/unit/kv_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "services/kv/glob.h"

#define NUMBER_ERROR "-ERR value is not an integer or out of range\r\n"
#define SYNTAX_ERROR "-ERR syntax error\r\n"

/* Goal: GET, SET and its options. */
static void test_set_options_follow_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    KV_EXPECT(&t, "GET a", "$-1\r\n");
    KV_EXPECT(&t, "SET a 1", "+OK\r\n");
    KV_EXPECT(&t, "GET a", "$1\r\n1\r\n");
    KV_EXPECT(&t, "SET a 2 NX", "$-1\r\n");
    KV_EXPECT(&t, "SET b 2 XX", "$-1\r\n");
    KV_EXPECT(&t, "SET a 2 XX GET", "$1\r\n1\r\n");
    KV_EXPECT(&t, "SET a 3 GET NX", "$1\r\n2\r\n");
    KV_EXPECT(&t, "GET a", "$1\r\n2\r\n");
    KV_EXPECT(&t, "SET c 1 nx get", "$-1\r\n");
    KV_EXPECT(&t, "GET c", "$1\r\n1\r\n");
    KV_EXPECT(&t, "SET a '' ", "+OK\r\n");
    KV_EXPECT(&t, "GET a", "$0\r\n\r\n");
    KV_EXPECT(&t, "SET a 1 NX XX", SYNTAX_ERROR);
    KV_EXPECT(&t, "SET a 1 EX", SYNTAX_ERROR);
    KV_EXPECT(&t, "SET a 1 EX 1 PX 1", SYNTAX_ERROR);
    KV_EXPECT(&t, "SET a 1 EX 1 KEEPTTL", SYNTAX_ERROR);
    KV_EXPECT(&t, "SET a 1 FOO", SYNTAX_ERROR);
    KV_EXPECT(&t, "SET a 1 EX x", NUMBER_ERROR);
    KV_EXPECT(&t, "SET a 1 EX 0", "-ERR invalid expire time in 'set' command\r\n");
    KV_EXPECT(&t, "SET a 1 PX -1", "-ERR invalid expire time in 'set' command\r\n");
    KV_EXPECT(&t, "SET a 1 EX 9223372036854775807",
              "-ERR invalid expire time in 'set' command\r\n");
    KV_EXPECT(&t, "SET a 1 PX 9223372036854775807",
              "-ERR invalid expire time in 'set' command\r\n");
    KV_EXPECT(&t, "GET", "-ERR wrong number of arguments for 'get' command\r\n");
    t.version = RESP_V3;
    KV_EXPECT(&t, "GET none", "_\r\n");
    kv_close(&t);
}

/* Goal: several keys in one command; MSET is all or nothing and drops expiries. */
static void test_multi_key_commands_follow_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, "key-max=4 value-max=16");
    KV_EXPECT(&t, "MSET a 1 b 2 a 3", "+OK\r\n");
    KV_EXPECT(&t, "MGET a b none", "*3\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n");
    KV_EXPECT(&t, "MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n");
    KV_EXPECT(&t, "MSET new 1 toolong 2", "-ERR key of 7 bytes exceeds the limit of 4 bytes\r\n");
    KV_EXPECT(&t, "EXISTS a a b new", ":3\r\n");
    KV_EXPECT(&t, "EXPIRE a 10", ":1\r\n");
    KV_EXPECT(&t, "MSET a 1", "+OK\r\n");
    KV_EXPECT(&t, "TTL a", ":-1\r\n");
    KV_EXPECT(&t, "DEL a a none b", ":2\r\n");
    KV_EXPECT(&t, "DBSIZE", ":0\r\n");
    kv_close(&t);
}

/* Goal: counters keep the range of 64 bits and the one spelling of a number. */
static void test_counters_follow_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    KV_EXPECT(&t, "INCR n", ":1\r\n");
    KV_EXPECT(&t, "INCRBY n 41", ":42\r\n");
    KV_EXPECT(&t, "DECR n", ":41\r\n");
    KV_EXPECT(&t, "DECRBY n 50", ":-9\r\n");
    KV_EXPECT(&t, "GET n", "$2\r\n-9\r\n");
    KV_EXPECT(&t, "SET n 9223372036854775806", "+OK\r\n");
    KV_EXPECT(&t, "INCR n", ":9223372036854775807\r\n");
    KV_EXPECT(&t, "INCR n", "-ERR increment or decrement would overflow\r\n");
    KV_EXPECT(&t, "SET n -9223372036854775808", "+OK\r\n");
    KV_EXPECT(&t, "DECR n", "-ERR increment or decrement would overflow\r\n");
    KV_EXPECT(&t, "DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n");
    KV_EXPECT(&t, "INCRBY n -9223372036854775809", NUMBER_ERROR);
    KV_EXPECT(&t, "INCRBY n 1.5", NUMBER_ERROR);
    const char *const no_numbers[] = {"007", "+1", "-0", "1x", "''", "-", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(no_numbers) / sizeof(no_numbers[0]); i++) {
        char line[64];
        snprintf(line, sizeof(line), "SET n %s", no_numbers[i]);
        KV_EXPECT(&t, line, "+OK\r\n");
        KV_EXPECT(&t, "INCR n", NUMBER_ERROR);
    }
    KV_EXPECT(&t, "SET n 5 EX 100", "+OK\r\n");
    KV_EXPECT(&t, "INCR n", ":6\r\n");
    KV_EXPECT(&t, "TTL n", ":100\r\n");
    kv_close(&t);
}

/* Goal: APPEND grows, keeps the expiry, respects the limit; STRLEN. */
static void test_append_strlen_follow_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, "value-max=16");
    KV_EXPECT(&t, "STRLEN a", ":0\r\n");
    KV_EXPECT(&t, "APPEND a ''", ":0\r\n");
    KV_EXPECT(&t, "EXISTS a", ":1\r\n");
    KV_EXPECT(&t, "APPEND a 12345678", ":8\r\n");
    KV_EXPECT(&t, "PEXPIRE a 5000", ":1\r\n");
    KV_EXPECT(&t, "APPEND a 12345678", ":16\r\n");
    KV_EXPECT(&t, "APPEND a x",
              "-ERR string exceeds maximum allowed size: 17 bytes, at most 16\r\n");
    KV_EXPECT(&t, "STRLEN a", ":16\r\n");
    KV_EXPECT(&t, "PTTL a", ":5000\r\n");
    kv_close(&t);
}

/* Goal: what Redis had before SET's options, and what reads and changes at once. */
static void test_set_relatives_follow_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, "key-max=8 value-max=16");
    KV_EXPECT(&t, "SETNX a 1", ":1\r\n");
    KV_EXPECT(&t, "SETNX a 2", ":0\r\n");
    KV_EXPECT(&t, "SETNX toolongakey 2", "-ERR key of 11 bytes exceeds the limit of 8 bytes\r\n");
    KV_EXPECT(&t, "SETEX a 10 3", "+OK\r\n");
    KV_EXPECT(&t, "TTL a", ":10\r\n");
    KV_EXPECT(&t, "PSETEX a 2500 4", "+OK\r\n");
    KV_EXPECT(&t, "PTTL a", ":2500\r\n");
    KV_EXPECT(&t, "SETEX a 0 5", "-ERR invalid expire time in 'setex' command\r\n");
    KV_EXPECT(&t, "PSETEX a -1 5", "-ERR invalid expire time in 'psetex' command\r\n");
    KV_EXPECT(&t, "SETEX a x 5", NUMBER_ERROR);
    KV_EXPECT(&t, "GETSET a 6", "$1\r\n4\r\n");
    KV_EXPECT(&t, "TTL a", ":-1\r\n");
    KV_EXPECT(&t, "GETSET b 7", "$-1\r\n");
    KV_EXPECT(&t, "GETEX a", "$1\r\n6\r\n");
    KV_EXPECT(&t, "GETEX a EX 10", "$1\r\n6\r\n");
    KV_EXPECT(&t, "TTL a", ":10\r\n");
    KV_EXPECT(&t, "GETEX a", "$1\r\n6\r\n");
    KV_EXPECT(&t, "TTL a", ":10\r\n");
    KV_EXPECT(&t, "GETEX a PERSIST", "$1\r\n6\r\n");
    KV_EXPECT(&t, "TTL a", ":-1\r\n");
    KV_EXPECT(&t, "GETEX a PERSIST EX 1", SYNTAX_ERROR);
    KV_EXPECT(&t, "GETEX a KEEPTTL", SYNTAX_ERROR);
    KV_EXPECT(&t, "GETEX a EX", SYNTAX_ERROR);
    KV_EXPECT(&t, "GETEX a EX 0", "-ERR invalid expire time in 'getex' command\r\n");
    KV_EXPECT(&t, "GETEX none EX 0", "$-1\r\n");
    KV_EXPECT(&t, "SET a 1 PERSIST", SYNTAX_ERROR);
    KV_EXPECT(&t, "GETEX a EXAT 1", "$1\r\n6\r\n");
    KV_EXPECT(&t, "EXISTS a", ":0\r\n");
    KV_EXPECT(&t, "GETDEL b", "$1\r\n7\r\n");
    KV_EXPECT(&t, "GETDEL b", "$-1\r\n");
    KV_EXPECT(&t, "MSETNX a 1 b 2", ":1\r\n");
    KV_EXPECT(&t, "MSETNX c 1 b 3", ":0\r\n");
    KV_EXPECT(&t, "MGET a b c", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n");
    KV_EXPECT(&t, "MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command\r\n");
    kv_close(&t);
}

/* Goal: parts of values, counted from either end; gaps become zeros. */
static void test_ranges_follow_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, "value-max=16");
    KV_EXPECT(&t, "SET a 0123456789", "+OK\r\n");
    KV_EXPECT(&t, "GETRANGE a 0 3", "$4\r\n0123\r\n");
    KV_EXPECT(&t, "GETRANGE a -3 -1", "$3\r\n789\r\n");
    KV_EXPECT(&t, "SUBSTR a 8 100", "$2\r\n89\r\n");
    KV_EXPECT(&t, "GETRANGE a -100 0", "$1\r\n0\r\n");
    KV_EXPECT(&t, "GETRANGE a -1 -3", "$0\r\n\r\n");
    KV_EXPECT(&t, "GETRANGE a 5 3", "$0\r\n\r\n");
    KV_EXPECT(&t, "GETRANGE a -9223372036854775808 9223372036854775807", "$10\r\n0123456789\r\n");
    KV_EXPECT(&t, "GETRANGE none 0 -1", "$0\r\n\r\n");
    KV_EXPECT(&t, "GETRANGE a x 1", NUMBER_ERROR);
    KV_EXPECT(&t, "SETRANGE a 8 xyz", ":11\r\n");
    KV_EXPECT(&t, "GET a", "$11\r\n01234567xyz\r\n");
    KV_EXPECT(&t, "SETRANGE a 0 A", ":11\r\n");
    KV_EXPECT(&t, "SETRANGE a 3 ''", ":11\r\n");
    KV_EXPECT(&t, "SETRANGE none 3 ''", ":0\r\n");
    KV_EXPECT(&t, "EXISTS none", ":0\r\n");
    KV_EXPECT(&t, "SETRANGE a -1 x", "-ERR offset is out of range\r\n");
    KV_EXPECT(&t, "SETRANGE a 16 x",
              "-ERR string exceeds maximum allowed size: 17 bytes, at most 16\r\n");
    KV_EXPECT(
        &t, "SETRANGE a 9223372036854775807 x",
        "-ERR string exceeds maximum allowed size: 9223372036854775808 bytes, at most 16\r\n");
    KV_EXPECT(&t, "SETRANGE b 2 x", ":3\r\n");
    (void)kv_do(&t, "GET b");
    assert_memory_equal(t.out.data, "$3\r\n\0\0x\r\n", 9);
    KV_EXPECT(&t, "EXPIRE a 10", ":1\r\n");
    KV_EXPECT(&t, "SETRANGE a 0 B", ":11\r\n");
    KV_EXPECT(&t, "TTL a", ":10\r\n");
    kv_close(&t);
}

/* Goal: names: types, renaming with value and expiry, moments of expiry. */
static void test_keyspace_follows_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    KV_EXPECT(&t, "TYPE a", "+none\r\n");
    KV_EXPECT(&t, "SET a 1 EX 10", "+OK\r\n");
    KV_EXPECT(&t, "TYPE a", "+string\r\n");
    KV_EXPECT(&t, "RENAME none b", "-ERR no such key\r\n");
    KV_EXPECT(&t, "RENAME a a", "+OK\r\n");
    KV_EXPECT(&t, "RENAMENX a a", ":0\r\n");
    KV_EXPECT(&t, "SET b 2", "+OK\r\n");
    KV_EXPECT(&t, "RENAMENX a b", ":0\r\n");
    KV_EXPECT(&t, "RENAME a b", "+OK\r\n");
    KV_EXPECT(&t, "TTL b", ":10\r\n");
    KV_EXPECT(&t, "RENAMENX b c", ":1\r\n");
    KV_EXPECT(&t, "MGET a b c", "*3\r\n$-1\r\n$-1\r\n$1\r\n1\r\n");
    KV_EXPECT(&t, "TOUCH a b c c", ":2\r\n");
    KV_EXPECT(&t, "EXPIRETIME c", ":1700000010\r\n");
    KV_EXPECT(&t, "PEXPIRETIME c", ":1700000010000\r\n");
    KV_EXPECT(&t, "EXPIRETIME none", ":-2\r\n");
    KV_EXPECT(&t, "PERSIST c", ":1\r\n");
    KV_EXPECT(&t, "PEXPIRETIME c", ":-1\r\n");
    KV_EXPECT(&t, "EXPIREAT c 1700000020", ":1\r\n");
    KV_EXPECT(&t, "PTTL c", ":20000\r\n");
    KV_EXPECT(&t, "PEXPIREAT c 1700000019500 GT", ":0\r\n");
    KV_EXPECT(&t, "PEXPIREAT c 1700000019500 LT", ":1\r\n");
    KV_EXPECT(&t, "EXPIREAT c 9223372036854775807",
              "-ERR invalid expire time in 'expireat' command\r\n");
    KV_EXPECT(&t, "EXPIREAT c -5", ":1\r\n");
    KV_EXPECT(&t, "UNLINK c c", ":0\r\n");
    kv_close(&t);
}

static const char *next_line(const char *at)
{
    const char *end = strstr(at, "\r\n");
    assert_non_null(end);
    return end + 2;
}

/* Goal: a walk sees each key that is there all the time exactly once, in pieces, while others come
 * and go. */
static void test_scan_goes_on_where_it_was(void **state)
{
    (void)state;
    struct kv_test t;
    char line[64];
    unsigned seen[2000] = {0};
    kv_open(&t, NULL);
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(line, sizeof(line), "SET k%u 1", i);
        KV_EXPECT(&t, line, "+OK\r\n");
    }
    char cursor[24] = "0";
    do {
        (void)snprintf(line, sizeof(line), "SCAN %s COUNT 7", cursor);
        const char *at = next_line(next_line(kv_ask(&t, line))); /* behind *2 and $N */
        size_t digits = strspn(at, "0123456789");
        assert_in_range(digits, 1, sizeof(cursor) - 1);
        memcpy(cursor, at, digits);
        cursor[digits] = '\0';
        at = next_line(at);
        unsigned long key = 0;
        unsigned long keys = strtoul(at + 1, NULL, 10);
        assert_true(at[0] == '*' && keys <= 7);
        for (; keys > 0; keys--) {
            at = next_line(next_line(at));
            assert_true(at[0] == 'k');
            key = strtoul(at + 1, NULL, 10);
            if (key < 2000) {
                seen[key]++;
            }
        }
        /* Every third one goes, behind the walk and before it; others come. */
        (void)snprintf(line, sizeof(line), "DEL k%lu k%lu", (key * 7 % 667) * 3,
                       (key * 5 % 667) * 3);
        (void)kv_do(&t, line);
        (void)snprintf(line, sizeof(line), "SET k%lu 1", 2000 + key);
        (void)kv_do(&t, line);
        (void)snprintf(line, sizeof(line), "DEL k%lu", 2000 + key / 2);
        (void)kv_do(&t, line);
    } while (strcmp(cursor, "0") != 0);
    for (unsigned i = 0; i < 2000; i++) {
        assert_true(i % 3 == 0 ? seen[i] <= 1 : seen[i] == 1);
    }
    kv_close(&t);
}

/* Goal: KEYS, SCAN's options, RANDOMKEY; keys whose time has come are not among them. */
static void test_scan_options_follow_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    KV_EXPECT(&t, "KEYS *", "*0\r\n");
    KV_EXPECT(&t, "RANDOMKEY", "$-1\r\n");
    KV_EXPECT(&t, "SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n");
    KV_EXPECT(&t, "MSET one 1 two 2 three 3", "+OK\r\n");
    KV_EXPECT(&t, "KEYS *", "*3\r\n$3\r\none\r\n$3\r\ntwo\r\n$5\r\nthree\r\n");
    KV_EXPECT(&t, "KEYS t*", "*2\r\n$3\r\ntwo\r\n$5\r\nthree\r\n");
    KV_EXPECT(&t, "SCAN 0 COUNT 2", "*2\r\n$1\r\n2\r\n*2\r\n$3\r\none\r\n$3\r\ntwo\r\n");
    KV_EXPECT(&t, "SCAN 2 COUNT 2", "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nthree\r\n");
    KV_EXPECT(&t, "SCAN 0 MATCH t* TYPE string",
              "*2\r\n$1\r\n0\r\n*2\r\n$3\r\ntwo\r\n$5\r\nthree\r\n");
    KV_EXPECT(&t, "SCAN 0 TYPE list", "*2\r\n$1\r\n0\r\n*0\r\n");
    KV_EXPECT(&t, "SCAN x", "-ERR invalid cursor\r\n");
    KV_EXPECT(&t, "SCAN -1", "-ERR invalid cursor\r\n");
    KV_EXPECT(&t, "SCAN 18446744073709551616", "-ERR invalid cursor\r\n");
    KV_EXPECT(&t, "SCAN 18446744073709551615", "*2\r\n$1\r\n0\r\n*0\r\n");
    KV_EXPECT(&t, "SCAN 0 COUNT 0", SYNTAX_ERROR);
    KV_EXPECT(&t, "SCAN 0 COUNT x", NUMBER_ERROR);
    KV_EXPECT(&t, "SCAN 0 COUNT", SYNTAX_ERROR);
    KV_EXPECT(&t, "SCAN 0 FOO 1", SYNTAX_ERROR);
    KV_EXPECT(&t, "DEL one two", ":2\r\n");
    KV_EXPECT(&t, "RANDOMKEY", "$5\r\nthree\r\n");
    KV_EXPECT(&t, "PEXPIRE three 5", ":1\r\n");
    t.now_ms += 5;
    kv_entry_apply(&t, SVC_ENTRY_NOOP, (struct ts_bytes){NULL, 0});
    assert_string_equal(kv_ask(&t, "KEYS *"), "*0\r\n");
    assert_string_equal(kv_ask(&t, "SCAN 0"), "*2\r\n$1\r\n0\r\n*0\r\n");
    KV_EXPECT(&t, "RANDOMKEY", "$-1\r\n");
    kv_close(&t);
}

/* Goal: patterns match as Redis' do, and a hostile one costs no more than its length times the
 * name's. */
static void test_glob_matches_as_redis(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"*", "", true},
        {"?", "", false},
        {"a*c", "abc", true},
        {"a*c", "abcd", false},
        {"**a**", "bab", true},
        {"a?c", "abc", true},
        {"[abc]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[c-a]x", "bx", true},
        {"[^a]x", "ax", false},
        {"[^a]x", "bx", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"[\\]]", "]", true},
        {"a\\", "a\\", true},
        {"[a", "a", true},
        {"[", "a", false},
        {"h*llo", "heeello", true},
        {"*b", "abab", true},
        {"*ab*ab*c", "xabyabz", false},
        {"[a-]", "-", false},
        {"a]", "a]", true},
        {"k?", "k12", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ts_bytes p = {(const uint8_t *)cases[i].pattern, strlen(cases[i].pattern)};
        struct ts_bytes x = {(const uint8_t *)cases[i].text, strlen(cases[i].text)};
        if (kv_glob_match(p, x) != cases[i].matches) {
            fail_msg("%s against %s", cases[i].pattern, cases[i].text);
        }
    }
    uint8_t stars[2000];
    uint8_t text[20000];
    for (size_t i = 0; i < sizeof(stars); i++) {
        stars[i] = i % 2 == 0 ? '*' : 'a';
    }
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = 'b';
    assert_false(kv_glob_match((struct ts_bytes){stars, sizeof(stars)},
                               (struct ts_bytes){text, sizeof(text)}));
}

/* What WATCH answers, as EXEC brings it along. */
static struct ts_bytes kv_watch(struct kv_test *t, const char *key, uint8_t out[64])
{
    char line[32];
    (void)snprintf(line, sizeof(line), "WATCH %s", key);
    (void)kv_do(t, line);
    assert_int_equal(t->out.len, 9);
    assert_int_equal(t->out.data[0], KV_WATCH_MARK);
    struct ts_writer w = ts_writer_init(out, 64);
    ts_put_bytes(&w, t->out.data + 1, 8);
    kv_payload_put_word(&w, (struct ts_bytes){(const uint8_t *)key, strlen(key)});
    return (struct ts_bytes){out, w.len};
}

/* Goal: a transaction answers with all its answers; one command that fails does not stop it. */
static void test_exec_follows_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    struct ts_bytes nothing = {NULL, 0};
    const char *const lines[] = {"SET a x", "INCR a", "GET a", NULL};
    assert_string_equal(kv_exec(&t, nothing, lines), "*3\r\n+OK\r\n" NUMBER_ERROR "$1\r\nx\r\n");
    const char *const none[] = {NULL};
    assert_string_equal(kv_exec(&t, nothing, none), "*0\r\n");
    kv_close(&t);
}

/* Goal: nothing runs when a watched key was changed, in whatever way, and all runs otherwise. */
static void test_exec_watched_change_runs_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *before, *key, *change;
        bool goes;
    } cases[] = {
        {"SET a 1", "a", "SET b 1", true},         {"SET a 1", "a", "SET a 1", false},
        {"SET a 1", "a", "APPEND a x", false},     {"SET a 1", "a", "EXPIRE a 10", false},
        {"SET a 1", "a", "GET a", true},           {"SET a 1", "a", "PERSIST a", true},
        {"SET a 1", "a", "DEL a", false},          {"SET a 1", "a", "FLUSHALL", false},
        {"SET a 1", "a", "RENAME a b", false},     {"SET b 1", "a", "RENAME b a", false},
        {"SET b 1", "a", "SETNX a 1", false},      {"SET b 1", "a", "FLUSHALL", true},
        {"SET a 1", "a", "SETRANGE a 1 x", false}, {"SET a 1", "a", "INCR a", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kv_test t;
        uint8_t bytes[64];
        kv_open(&t, NULL);
        const char *const lines[] = {"SET ran 1", NULL};
        (void)kv_do(&t, cases[i].before);
        struct ts_bytes watched = kv_watch(&t, cases[i].key, bytes);
        (void)kv_do(&t, cases[i].change);
        assert_string_equal(kv_exec(&t, watched, lines),
                            cases[i].goes ? "*1\r\n+OK\r\n" : "*-1\r\n");
        KV_EXPECT(&t, "EXISTS ran", cases[i].goes ? ":1\r\n" : ":0\r\n");
        kv_close(&t);
    }
}

/* Goal: a key that was not there, came and went is one that changed; so is one that expired. */
static void test_exec_key_that_came_and_went_is_changed(void **state)
{
    (void)state;
    struct kv_test t;
    uint8_t bytes[64];
    const char *const lines[] = {"SET ran 1", NULL};
    kv_open(&t, NULL);
    struct ts_bytes watched = kv_watch(&t, "a", bytes);
    KV_EXPECT(&t, "SET a 1", "+OK\r\n");
    KV_EXPECT(&t, "DEL a", ":1\r\n");
    assert_string_equal(kv_exec(&t, watched, lines), "*-1\r\n");
    KV_EXPECT(&t, "SET a 1 PX 10", "+OK\r\n");
    watched = kv_watch(&t, "a", bytes);
    t.now_ms += 10;
    assert_string_equal(kv_exec(&t, watched, lines), "*-1\r\n");
    watched = kv_watch(&t, "a", bytes);
    assert_string_equal(kv_exec(&t, watched, lines), "*1\r\n+OK\r\n");
    kv_close(&t);
}

/* Goal: a malformed transaction runs nothing at all: what it is made of is checked first. */
static void test_exec_malformed_runs_nothing(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    const char *const watch_within[] = {"SET a 1", "WATCH a", NULL};
    assert_memory_equal(kv_exec(&t, (struct ts_bytes){NULL, 0}, watch_within), "-ERR ", 5);
    const char *const one[] = {"SET a 1", NULL};
    assert_memory_equal(kv_exec(&t, (struct ts_bytes){(const uint8_t *)"1234567", 7}, one), "-ERR ",
                        5);
    KV_EXPECT(&t, "DBSIZE", ":0\r\n");
    kv_close(&t);
}

/* Goal: EXPIRE's options, errors and rounding. */
static void test_expire_options_follow_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    KV_EXPECT(&t, "EXPIRE a 10", ":0\r\n");
    KV_EXPECT(&t, "TTL a", ":-2\r\n");
    KV_EXPECT(&t, "SET a 1", "+OK\r\n");
    KV_EXPECT(&t, "TTL a", ":-1\r\n");
    KV_EXPECT(&t, "PERSIST a", ":0\r\n");
    KV_EXPECT(&t, "EXPIRE a 10 XX", ":0\r\n");
    KV_EXPECT(&t, "EXPIRE a 10 GT", ":0\r\n");
    KV_EXPECT(&t, "EXPIRE a 10 LT", ":1\r\n");
    KV_EXPECT(&t, "EXPIRE a 20 NX", ":0\r\n");
    KV_EXPECT(&t, "EXPIRE a 5 GT", ":0\r\n");
    KV_EXPECT(&t, "EXPIRE a 20 GT xx", ":1\r\n");
    KV_EXPECT(&t, "EXPIRE a 30 LT", ":0\r\n");
    KV_EXPECT(&t, "PTTL a", ":20000\r\n");
    KV_EXPECT(&t, "PEXPIRE a 1499", ":1\r\n");
    KV_EXPECT(&t, "TTL a", ":1\r\n");
    KV_EXPECT(&t, "PEXPIRE a 1500", ":1\r\n");
    KV_EXPECT(&t, "TTL a", ":2\r\n");
    KV_EXPECT(&t, "PERSIST a", ":1\r\n");
    KV_EXPECT(&t, "EXPIRE a 1 NX XX",
              "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n");
    KV_EXPECT(&t, "EXPIRE a 1 GT LT",
              "-ERR GT and LT options at the same time are not compatible\r\n");
    KV_EXPECT(&t, "EXPIRE a 1 FOO", "-ERR Unsupported option FOO\r\n");
    KV_EXPECT(&t, "EXPIRE a x", NUMBER_ERROR);
    KV_EXPECT(&t, "EXPIRE a 9223372036854775807",
              "-ERR invalid expire time in 'expire' command\r\n");
    KV_EXPECT(&t, "PEXPIRE a 9223372036854775807",
              "-ERR invalid expire time in 'pexpire' command\r\n");
    KV_EXPECT(&t, "EXPIRE a -1", ":1\r\n");
    KV_EXPECT(&t, "EXISTS a", ":0\r\n");
    kv_close(&t);
}

/* Goal: a key is gone at its time, for reads and for commands, before any TICK; the TICK
 * removes it from memory; KEEPTTL keeps it. */
static void test_expiry_is_by_entry_time(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    assert_true(kv_service.next_tick(t.state).ns == UINT64_MAX);
    KV_EXPECT(&t, "SET a 1 PX 100", "+OK\r\n");
    assert_true(kv_service.next_tick(t.state).ns == (t.now_ms + 100) * TS_NS_PER_MS);
    t.now_ms += 99;
    KV_EXPECT(&t, "SET a 2 KEEPTTL", "+OK\r\n");
    assert_string_equal(kv_ask(&t, "GET a"), "$1\r\n2\r\n");
    t.now_ms += 1;
    /* A read sees the time of the last applied entry. */
    assert_string_equal(kv_ask(&t, "GET a"), "$1\r\n2\r\n");
    kv_entry_apply(&t, SVC_ENTRY_NOOP, (struct ts_bytes){NULL, 0});
    assert_string_equal(kv_ask(&t, "GET a"), "$-1\r\n");
    struct kv_stats stats;
    kv_stats(t.state, &stats);
    assert_int_equal(stats.keys, 1);
    kv_entry_apply(&t, SVC_ENTRY_TICK, (struct ts_bytes){NULL, 0});
    kv_stats(t.state, &stats);
    assert_int_equal(stats.keys, 0);
    assert_int_equal(stats.memory, 0);
    assert_int_equal(stats.expired, 1);
    assert_true(kv_service.next_tick(t.state).ns == UINT64_MAX);
    KV_EXPECT(&t, "SET a 1 EXAT 1", "+OK\r\n");
    KV_EXPECT(&t, "GET a", "$-1\r\n");
    KV_EXPECT(&t, "SET a 1 PXAT 1700000100000", "+OK\r\n");
    KV_EXPECT(&t, "PTTL a", ":99900\r\n");
    kv_close(&t);
}

/* Goal: TIME is the entry's; FLUSHALL and FLUSHDB take ASYNC and SYNC alone. */
static void test_server_commands_follow_redis(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    KV_EXPECT(&t, "TIME", "*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n");
    KV_EXPECT(&t, "MSET a 1 b 2", "+OK\r\n");
    KV_EXPECT(&t, "FLUSHALL FOO", SYNTAX_ERROR);
    KV_EXPECT(&t, "FLUSHALL ASYNC SYNC", SYNTAX_ERROR);
    KV_EXPECT(&t, "DBSIZE", ":2\r\n");
    KV_EXPECT(&t, "FLUSHALL", "+OK\r\n");
    KV_EXPECT(&t, "DBSIZE", ":0\r\n");
    KV_EXPECT(&t, "SET a 1 EX 5", "+OK\r\n");
    KV_EXPECT(&t, "FLUSHDB async", "+OK\r\n");
    KV_EXPECT(&t, "DBSIZE", ":0\r\n");
    kv_close(&t);
}

/* Goal: what is not a valid payload is answered, never executed; a write is not a read. */
static void test_payload_malformed_is_refused(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"", 0},
        {"\x02\x02\x01", 3}, /* format */
        {"\x01\x02", 2},     /* short head */
        {"\x01\x04\x01\x01"
         "a",
         5}, /* RESP version */
        {"\x01\x02\x01\x05"
         "a",
         5},                         /* length past the end */
        {"\x01\x02\x01\x80\x00", 5}, /* a length in a longer form than needed */
        {"\x01\x02\xee\x01"
         "a",
         5},                 /* unknown command */
        {"\x01\x02\x80", 3}, /* a local command */
        {"\x01\x02\x02\x01"
         "a",
         5}, /* SET of one word */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        kv_entry_apply(&t, SVC_ENTRY_COMMAND,
                       (struct ts_bytes){(const uint8_t *)bad[i].bytes, bad[i].len});
        assert_memory_equal(kv_text(&t), "-ERR ", 5);
    }
    assert_memory_equal(kv_ask(&t, "SET a 1"), "-ERR ", 5);
    KV_EXPECT(&t, "DBSIZE", ":0\r\n");
    kv_close(&t);
}

/* Goal: the table is consistent: names and ids are found, each command is of one kind. */
static void test_command_table_is_consistent(void **state)
{
    (void)state;
    size_t count = 0;
    const struct kv_command *table = kv_command_table(&count);
    for (size_t i = 0; i < count; i++) {
        const struct kv_command *c = &table[i];
        struct ts_bytes name = {(const uint8_t *)c->name, strlen(c->name)};
        assert_ptr_equal(kv_command_find(name), c);
        assert_ptr_equal(kv_command_by_id(c->id), c);
        int kinds = ((c->flags & KV_CMD_LOCAL) != 0) + ((c->flags & KV_CMD_READ) != 0) +
                    ((c->flags & KV_CMD_WRITE) != 0);
        assert_int_equal(kinds, 1);
        assert_true((c->run == NULL) == ((c->flags & KV_CMD_LOCAL) != 0));
    }
    assert_null(kv_command_by_id(0));
    assert_null(kv_command_by_id(99));
    assert_null(kv_command_find((struct ts_bytes){(const uint8_t *)"ge", 2}));
    assert_null(kv_command_find((struct ts_bytes){NULL, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_options_follow_redis),
        cmocka_unit_test(test_multi_key_commands_follow_redis),
        cmocka_unit_test(test_counters_follow_redis),
        cmocka_unit_test(test_append_strlen_follow_redis),
        cmocka_unit_test(test_set_relatives_follow_redis),
        cmocka_unit_test(test_ranges_follow_redis),
        cmocka_unit_test(test_keyspace_follows_redis),
        cmocka_unit_test(test_scan_goes_on_where_it_was),
        cmocka_unit_test(test_scan_options_follow_redis),
        cmocka_unit_test(test_glob_matches_as_redis),
        cmocka_unit_test(test_exec_follows_redis),
        cmocka_unit_test(test_exec_watched_change_runs_nothing),
        cmocka_unit_test(test_exec_key_that_came_and_went_is_changed),
        cmocka_unit_test(test_exec_malformed_runs_nothing),
        cmocka_unit_test(test_expire_options_follow_redis),
        cmocka_unit_test(test_expiry_is_by_entry_time),
        cmocka_unit_test(test_server_commands_follow_redis),
        cmocka_unit_test(test_payload_malformed_is_refused),
        cmocka_unit_test(test_command_table_is_consistent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
