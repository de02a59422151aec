/* kv: each family's replies and errors, worded as Redis 7.0 words them. */
#include "tests/unit/kv_fixture.h"

#include <stdio.h>

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
    KV_EXPECT(&t, "APPEND a x", "-ERR value of 17 bytes exceeds the limit of 16 bytes\r\n");
    KV_EXPECT(&t, "STRLEN a", ":16\r\n");
    KV_EXPECT(&t, "PTTL a", ":5000\r\n");
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

/* Goal: commands that may grow the state are refused when it is full; others are not. */
static void test_memory_limit_refuses_growth_only(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, "memory-max=250");
    KV_EXPECT(&t, "SET a 1", "+OK\r\n");
    KV_EXPECT(&t, "SET b 1", "+OK\r\n");
    const char *oom = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    KV_EXPECT(&t, "APPEND a 0123456789012345678901234567890123456789012345678901234567890", oom);
    KV_EXPECT(&t, "SET c 1", "+OK\r\n");
    KV_EXPECT(&t, "SET d 1", oom);
    KV_EXPECT(&t, "INCR a", oom);
    KV_EXPECT(&t, "GET a", "$1\r\n1\r\n");
    KV_EXPECT(&t, "EXPIRE a 10", ":1\r\n");
    KV_EXPECT(&t, "DEL a b", ":2\r\n");
    KV_EXPECT(&t, "SET d 1", "+OK\r\n");
    kv_close(&t);
}

/* Goal: a reply over the limit becomes one clear error, and nothing of it is left. */
static void test_reply_limit_gives_error(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, "value-max=512 reply-max=1024");
    char line[600] = "SET a ";
    memset(line + 6, 'x', 500);
    line[506] = '\0';
    KV_EXPECT(&t, line, "+OK\r\n");
    KV_EXPECT(&t, "MGET a a a", "-ERR the reply exceeds the limit of 1024 bytes\r\n");
    KV_EXPECT(&t, "STRLEN a", ":500\r\n");
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

/* Goal: the limits' text is checked. */
static void test_limits_text_is_checked(void **state)
{
    (void)state;
    assert_null(kv_service.create("foo=1"));
    assert_null(kv_service.create("key-max=x"));
    assert_null(kv_service.create("key-max=0"));
    assert_null(kv_service.create("value-max=100000 reply-max=1024"));
    assert_null(kv_service.create("hash-seed=18446744073709551616"));
    assert_null(kv_service.create("hash-seed="));
    void *s = kv_service.create("  key-max=1   hash-seed=18446744073709551615 ");
    assert_non_null(s);
    kv_service.destroy(s);
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
        cmocka_unit_test(test_expire_options_follow_redis),
        cmocka_unit_test(test_expiry_is_by_entry_time),
        cmocka_unit_test(test_server_commands_follow_redis),
        cmocka_unit_test(test_memory_limit_refuses_growth_only),
        cmocka_unit_test(test_reply_limit_gives_error),
        cmocka_unit_test(test_payload_malformed_is_refused),
        cmocka_unit_test(test_limits_text_is_checked),
        cmocka_unit_test(test_command_table_is_consistent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
