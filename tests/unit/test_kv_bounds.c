/* What a kv state refuses, so that it stays within its bounds, and everybody else is answered. */
#include "tests/unit/kv_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define TOO_MANY_STEPS \
    "-ERR comparing so many bytes of keys with this pattern would hold up everybody: use SCAN, " \
    "or a shorter pattern\r\n"

/* Goal: no pattern holds the loop up, however the keys are: KEYS is refused, SCAN gives the keys in
 * shorter pages, and the commands of a transaction have together what one has. */
static void test_patterns_that_take_long_are_bounded(void **state)
{
    (void)state;
    struct kv_test t;
    char key[3900];
    char line[4000];
    char pattern[1903] = "*";
    kv_open(&t, NULL);
    memset(key, 'a', sizeof(key));
    for (int i = 0; i < 10; i++) {
        (void)snprintf(line, sizeof(line), "SET %.*s%d v", (int)sizeof(key), key, i);
        KV_EXPECT(&t, line, "+OK\r\n");
    }
    memset(pattern + 1, 'a', 1900);
    pattern[1901] = 'b';
    (void)snprintf(line, sizeof(line), "KEYS %s", pattern);
    KV_EXPECT(&t, line, TOO_MANY_STEPS);
    assert_string_equal(kv_ask(&t, line), TOO_MANY_STEPS);
    KV_EXPECT(&t, "KEYS *ab*", "*0\r\n");
    const char *cursor = "0";
    char next[24];
    unsigned pages = 0;
    do {
        (void)snprintf(line, sizeof(line), "SCAN %s MATCH %s", cursor, pattern);
        assert_int_equal(sscanf(kv_do(&t, line), "*2\r\n$%*d\r\n%23[0-9]\r\n*0\r\n", next), 1);
        cursor = next;
        pages++;
    } while (strcmp(cursor, "0") != 0);
    assert_true(pages > 1 && pages < 10);
    char values[2][1040] = {"SET v ", "SET w "};
    for (int i = 0; i < 2; i++) {
        memset(values[i] + 6, 'a', 1023);
        values[i][1029] = '\0';
        KV_EXPECT(&t, values[i], "+OK\r\n");
    }
    const char *lines[60] = {NULL};
    for (size_t i = 0; i + 1 < 60; i++) {
        lines[i] = "LCS v w LEN";
    }
    const char *reply = kv_exec(&t, (struct ts_bytes){NULL, 0}, lines);
    assert_int_equal(strncmp(reply, "*59\r\n:1023\r\n:1023\r\n", 19), 0);
    assert_non_null(strstr(reply, "-ERR LCS would hold up everybody: this transaction"));
    KV_EXPECT(&t, "LCS v w LEN", ":1023\r\n");
    kv_close(&t);
}

/* Goal: what a transaction writes beyond what it came with is bounded; each command that is not
 * executed says so, and the next transaction may again. */
static void test_copies_of_a_transaction_are_bounded(void **state)
{
    (void)state;
    enum { SIZE = 500000, COUNT = 40 };
    struct kv_test t;
    kv_open(&t, NULL);
    char line[32];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(line, sizeof(line), "SETRANGE v%d %d a", i, SIZE - 1);
        KV_EXPECT(&t, line, ":500000\r\n");
    }
    KV_EXPECT(&t, "COPY v1 v", ":1\r\n");
    for (size_t which = 0; which < 3; which++) {
        for (int again = 0; again < 2; again++) {
            char texts[COUNT][32];
            const char *lines[COUNT + 1] = {NULL};
            for (int i = 0; i < COUNT; i++) {
                size_t cap = sizeof(texts[i]);
                (void)(which == 0   ? snprintf(texts[i], cap, "COPY v w REPLACE")
                       : which == 1 ? snprintf(texts[i], cap, "SETRANGE x%d %d a", i, SIZE)
                                    : snprintf(texts[i], cap, "EXPIRE v%d %d", i, 100 + again));
                lines[i] = texts[i];
            }
            const char *reply = kv_exec(&t, (struct ts_bytes){NULL, 0}, lines);
            const char *refused = strstr(reply, "-ERR not executed: copying so many bytes in one "
                                                "transaction would hold up everybody");
            assert_non_null(refused);
            assert_true(refused - reply > 16 * 4);
            assert_non_null(strstr(reply, which == 1 ? ":500001\r\n" : ":1\r\n"));
        }
    }
    KV_EXPECT(&t, "COPY v w REPLACE", ":1\r\n");
    kv_close(&t);
}

/* Goal: answers that are too long become errors, and what is refused so was not executed. */
static void test_exec_answers_have_a_limit(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, "value-max=512 reply-max=1024");
    char line[600] = "SET a ";
    memset(line + 6, 'x', 500);
    line[506] = '\0';
    KV_EXPECT(&t, line, "+OK\r\n");
    const char *const lines[] = {"GET a", "GET a", "GET a", "GET a", "GET a", "SET b 1", NULL};
    const char *reply = kv_exec(&t, (struct ts_bytes){NULL, 0}, lines);
    assert_memory_equal(reply, "*6\r\n$500\r\n", 10);
    assert_non_null(strstr(reply, "-ERR the reply exceeds the limit"));
    assert_non_null(strstr(reply, "-ERR not executed: the transaction's answers are too long"));
    KV_EXPECT(&t, "EXISTS b", ":0\r\n");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns_that_take_long_are_bounded),
        cmocka_unit_test(test_copies_of_a_transaction_are_bounded),
        cmocka_unit_test(test_exec_answers_have_a_limit),
        cmocka_unit_test(test_memory_limit_refuses_growth_only),
        cmocka_unit_test(test_reply_limit_gives_error),
        cmocka_unit_test(test_limits_text_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
