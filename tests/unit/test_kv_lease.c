/* kv: leases. One owner at a time, by the time of entries; tokens rise; what is loaded is held. */
#include "tests/unit/kv_fixture.h"

#include <stdio.h>

static void apply_in(struct kv_test *t, uint64_t epoch, const char *line)
{
    uint8_t payload[256];
    size_t n = kv_encode(t->version, line, payload, sizeof(payload));
    struct svc_entry e = {.epoch = {epoch},
                          .seq = {++t->seq},
                          .kind = SVC_ENTRY_COMMAND,
                          .time = {t->now_ms * TS_NS_PER_MS},
                          .payload = {payload, n}};
    t->out.len = 0;
    kv_service.apply(t->state, &e, &t->out);
}

/* Goal: the holder's request may be repeated, others get nil; the token is the granting entry's,
 * and the next holder's is higher. */
static void test_lease_grant_keep_release_and_expire(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    KV_EXPECT(&t, "LEASE.GET l", "*-1\r\n");
    KV_EXPECT(&t, "LEASE.GRANT l a 100", "*2\r\n:1\r\n:2\r\n");
    KV_EXPECT(&t, "LEASE.GRANT l b 100", "*-1\r\n");
    t.now_ms += 60;
    KV_EXPECT(&t, "LEASE.GRANT l a 100", "*2\r\n:1\r\n:2\r\n");
    KV_EXPECT(&t, "LEASE.GET l", "*4\r\n$1\r\na\r\n:1\r\n:2\r\n:100\r\n");
    KV_EXPECT(&t, "LEASE.KEEP l b 500", ":0\r\n");
    KV_EXPECT(&t, "LEASE.KEEP l a 500", ":1\r\n");
    KV_EXPECT(&t, "LEASE.RELEASE l b", ":0\r\n");
    t.now_ms += 499;
    KV_EXPECT(&t, "LEASE.GRANT l b 100", "*-1\r\n");
    t.now_ms += 1; /* its time has come, though no tick did */
    KV_EXPECT(&t, "LEASE.KEEP l a 500", ":0\r\n");
    apply_in(&t, 7, "LEASE.GRANT l b 100");
    assert_string_equal(kv_text(&t), "*2\r\n:7\r\n:11\r\n");
    KV_EXPECT(&t, "LEASE.RELEASE l b", ":1\r\n");
    KV_EXPECT(&t, "LEASE.RELEASE l b", ":0\r\n");
    KV_EXPECT(&t, "LEASE.GRANT l '' 100", "*2\r\n:1\r\n:14\r\n");
    KV_EXPECT(&t, "LEASE.GET l", "*4\r\n$0\r\n\r\n:1\r\n:14\r\n:100\r\n");
    KV_EXPECT(&t, "LEASE.GRANT l a 0", "-ERR invalid expire time in 'lease.grant' command\r\n");
    KV_EXPECT(&t, "LEASE.KEEP l a x", "-ERR value is not an integer or out of range\r\n");
    KV_EXPECT(&t, "LEASE.GRANT l a 9223372036854775807",
              "-ERR invalid expire time in 'lease.grant' command\r\n");
    kv_close(&t);
}

/* Goal: keys and leases of one name do not meet; what counts or lists keys does not see leases. */
static void test_lease_and_key_of_one_name_are_apart(void **state)
{
    (void)state;
    struct kv_test t;
    struct kv_stats stats;
    kv_open(&t, NULL);
    KV_EXPECT(&t, "LEASE.GRANT k a 1000", "*2\r\n:1\r\n:1\r\n");
    KV_EXPECT(&t, "GET k", "$-1\r\n");
    KV_EXPECT(&t, "DEL k", ":0\r\n");
    KV_EXPECT(&t, "PERSIST k", ":0\r\n");
    KV_EXPECT(&t, "TYPE k", "+none\r\n");
    KV_EXPECT(&t, "DBSIZE", ":0\r\n");
    KV_EXPECT(&t, "KEYS *", "*0\r\n");
    KV_EXPECT(&t, "SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n");
    KV_EXPECT(&t, "RANDOMKEY", "$-1\r\n");
    KV_EXPECT(&t, "SET k v", "+OK\r\n");
    KV_EXPECT(&t, "LEASE.GRANT k b 1000", "*-1\r\n");
    KV_EXPECT(&t, "DBSIZE", ":1\r\n");
    KV_EXPECT(&t, "RENAME k other", "+OK\r\n");
    KV_EXPECT(&t, "LEASE.RELEASE k a", ":1\r\n");
    KV_EXPECT(&t, "GET other", "$1\r\nv\r\n");
    KV_EXPECT(&t, "LEASE.GRANT k b 1000", "*2\r\n:1\r\n:16\r\n");
    kv_stats(t.state, &stats);
    assert_int_equal(stats.leases, 1);
    assert_int_equal(stats.keys, 1);
    assert_int_equal(stats.expires, 0);
    /* The next tick is the lease's, and ends it. */
    assert_true(kv_service.next_tick(t.state).ns == (t.now_ms + 1000) * TS_NS_PER_MS);
    t.now_ms += 1000;
    kv_entry_apply(&t, SVC_ENTRY_TICK, (struct ts_bytes){NULL, 0});
    kv_stats(t.state, &stats);
    assert_int_equal(stats.leases, 0);
    KV_EXPECT(&t, "LEASE.GRANT k b 1000", "*2\r\n:1\r\n:18\r\n");
    KV_EXPECT(&t, "FLUSHALL", "+OK\r\n");
    KV_EXPECT(&t, "LEASE.GET k", "*-1\r\n");
    kv_close(&t);
}

/* Goal: one key among thousands of leases is found. */
static void test_lease_many_leave_random_key_found(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    for (int i = 0; i < 5000; i++) {
        char line[64];
        if (i == 2500) {
            snprintf(line, sizeof(line), "SET key v");
        } else {
            snprintf(line, sizeof(line), "LEASE.GRANT l%d a 1000000", i);
        }
        (void)kv_do(&t, line);
    }
    for (int i = 0; i < 20; i++) {
        t.now_ms++;
        KV_EXPECT(&t, "RANDOMKEY", "$3\r\nkey\r\n");
    }
    kv_close(&t);
}

/* Goal: a lease is in a walk as it was, and is held after the load, with its token. */
static void test_lease_walk_and_load_keep_it(void **state)
{
    (void)state;
    struct kv_test t[2];
    kv_open(&t[0], "hash-seed=4");
    kv_open(&t[1], "hash-seed=5");
    KV_EXPECT(&t[0], "SET l key", "+OK\r\n");
    KV_EXPECT(&t[0], "LEASE.GRANT l a 1000", "*2\r\n:1\r\n:2\r\n");
    struct svc_out bytes = {.max = SIZE_MAX};
    struct svc_walk *walk = kv_service.walk_begin(t[0].state);
    KV_EXPECT(&t[0], "LEASE.KEEP l a 9000", ":1\r\n");
    KV_EXPECT(&t[0], "LEASE.RELEASE l a", ":1\r\n");
    assert_false(kv_service.walk_next(walk, &bytes));
    kv_service.walk_end(walk);
    assert_int_equal(kv_service.load_piece(t[1].state, (struct ts_bytes){bytes.data, bytes.len}),
                     TS_OK);
    assert_int_equal(kv_service.load_end(t[1].state), TS_OK);
    t[1].seq = t[0].seq;
    KV_EXPECT(&t[1], "LEASE.GRANT l b 1000", "*-1\r\n");
    KV_EXPECT(&t[1], "LEASE.GET l", "*4\r\n$1\r\na\r\n:1\r\n:2\r\n:1000\r\n");
    KV_EXPECT(&t[1], "GET l", "$3\r\nkey\r\n");
    svc_out_free(&bytes);
    kv_close(&t[0]);
    kv_close(&t[1]);
}

/* Goal: a read by round, a transaction and RESP3 answer alike. */
static void test_lease_within_read_and_transaction_same(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    KV_EXPECT(&t, "LEASE.GRANT l a 100", "*2\r\n:1\r\n:1\r\n");
    assert_string_equal(kv_ask(&t, "LEASE.GET l"), "*4\r\n$1\r\na\r\n:1\r\n:1\r\n:100\r\n");
    uint8_t inner[128];
    uint8_t payload[256];
    size_t n = kv_encode(RESP_V2, "LEASE.GRANT m a 100", inner, sizeof(inner));
    struct ts_bytes args[] = {{(const uint8_t *)"EXEC", 4}, {NULL, 0}, {inner, n}};
    struct ts_writer w = ts_writer_init(payload, sizeof(payload));
    kv_payload_encode(&w, RESP_V2, KV_EXEC, args, 3);
    t.now_ms += 100;
    kv_entry_apply(&t, SVC_ENTRY_COMMAND, (struct ts_bytes){payload, w.len});
    assert_string_equal(kv_text(&t), "*1\r\n*2\r\n:1\r\n:2\r\n");
    assert_string_equal(kv_ask(&t, "LEASE.GET l"), "*-1\r\n");
    t.version = RESP_V3;
    KV_EXPECT(&t, "LEASE.GET l", "_\r\n");
    kv_close(&t);
}

/* A transaction of these commands, up to NULL. */
static const char *transact(struct kv_test *t, const char *const *lines)
{
    uint8_t inner[8][128] = {{0}};
    uint8_t payload[1024];
    struct ts_bytes args[10] = {{(const uint8_t *)"EXEC", 4}, {NULL, 0}};
    size_t n = 0;
    for (; lines[n] != NULL; n++) {
        args[n + 2] =
            (struct ts_bytes){inner[n], kv_encode(RESP_V2, lines[n], inner[n], sizeof(inner[n]))};
    }
    struct ts_writer w = ts_writer_init(payload, sizeof(payload));
    kv_payload_encode(&w, RESP_V2, KV_EXEC, args, n + 2);
    kv_entry_apply(t, SVC_ENTRY_COMMAND, (struct ts_bytes){payload, w.len});
    return kv_text(t);
}

#define NO_TOKEN \
    "-ERR not executed: a lease that this transaction granted has ended in it, and the next " \
    "holder's token would be the same\r\n"

/* Goal: two holders never have the same token, also when a transaction has the lease change hands:
 * one that was held before may, one that it granted itself may not. */
static void test_lease_within_transaction_two_holders_have_two_tokens(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    KV_EXPECT(&t, "LEASE.GRANT l a 100", "*2\r\n:1\r\n:1\r\n");
    const char *const over[] = {"LEASE.GRANT m a 100", "LEASE.RELEASE l a", "LEASE.GRANT l b 100",
                                NULL};
    assert_string_equal(transact(&t, over), "*3\r\n*2\r\n:1\r\n:2\r\n:1\r\n*2\r\n:1\r\n:2\r\n");
    const char *const twice[] = {"LEASE.RELEASE l b", "LEASE.GRANT l a 100", "LEASE.RELEASE l a",
                                 "LEASE.GRANT l b 100", NULL};
    assert_string_equal(transact(&t, twice), "*4\r\n:1\r\n*2\r\n:1\r\n:3\r\n:1\r\n" NO_TOKEN);
    const char *const flushed[] = {"LEASE.GRANT l b 100", "FLUSHALL", "LEASE.GRANT l a 100", NULL};
    assert_string_equal(transact(&t, flushed), "*3\r\n*2\r\n:1\r\n:4\r\n+OK\r\n" NO_TOKEN);
    const char *const before[] = {"FLUSHALL", "LEASE.GRANT l a 100", NULL};
    assert_string_equal(transact(&t, before), "*2\r\n+OK\r\n*2\r\n:1\r\n:5\r\n");
    KV_EXPECT(&t, "LEASE.RELEASE l a", ":1\r\n");
    KV_EXPECT(&t, "LEASE.GRANT l b 100", "*2\r\n:1\r\n:7\r\n");
    kv_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lease_grant_keep_release_and_expire),
        cmocka_unit_test(test_lease_and_key_of_one_name_are_apart),
        cmocka_unit_test(test_lease_many_leave_random_key_found),
        cmocka_unit_test(test_lease_walk_and_load_keep_it),
        cmocka_unit_test(test_lease_within_read_and_transaction_same),
        cmocka_unit_test(test_lease_within_transaction_two_holders_have_two_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
