/* kv: the same entries give the same answers, digests and figures, whatever the hash seed and
 * whatever lies at other addresses; and the store holds together under random work. */
#include "tests/unit/kv_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/prng.h"

#define STEPS 60000

/* A random request of the whole state command set over a few hundred keys. */
static void random_line(struct ts_prng *p, char *line, size_t cap)
{
    unsigned a = (unsigned)ts_prng_below(p, 300);
    unsigned b = (unsigned)ts_prng_below(p, 300);
    int v = (int)ts_prng_below(p, 2000) - 1000;
    unsigned ms = 1 + (unsigned)ts_prng_below(p, 3000);
    switch (ts_prng_below(p, 16)) {
    case 0:
    case 1:
    case 2:
        snprintf(line, cap, "SET k%u %d", a, v);
        break;
    case 3:
        snprintf(line, cap, "SET k%u %d PX %u GET", a, v, ms);
        break;
    case 4:
        snprintf(line, cap, "SET k%u %d NX KEEPTTL", a, v);
        break;
    case 5:
        snprintf(line, cap, "APPEND k%u %d%d%d", a, v, v, v);
        break;
    case 6:
        snprintf(line, cap, "INCRBY n%u %d", a, v);
        break;
    case 7:
        snprintf(line, cap, "DEL k%u k%u", a, b);
        break;
    case 8:
        snprintf(line, cap, "MSET k%u %d k%u x", a, v, b);
        break;
    case 9:
        snprintf(line, cap, "PEXPIRE k%u %d LT", a, v * 3);
        break;
    case 10:
        snprintf(line, cap, "PERSIST k%u", a);
        break;
    case 11:
        snprintf(line, cap, "MGET k%u k%u n%u", a, b, a);
        break;
    case 12:
        snprintf(line, cap, "PTTL k%u", a);
        break;
    case 13:
        snprintf(line, cap, "DBSIZE");
        break;
    case 14:
        snprintf(line, cap, ts_prng_below(p, 400) == 0 ? "FLUSHALL" : "TIME");
        break;
    default:
        snprintf(line, cap, "STRLEN k%u", a);
        break;
    }
}

/* Runs the stream of `seed`; gives the digest of every byte that was answered. */
static struct ts_hash run_stream(uint64_t seed, const char *limits, bool noise)
{
    struct kv_test t;
    kv_open(&t, limits);
    struct ts_prng p = ts_prng_init(seed);
    struct ts_hash h = {0, 0};
    for (int i = 0; i < STEPS; i++) {
        char line[256];
        uint8_t payload[512];
        void *hole = noise ? malloc((size_t)(i % 97) + 1) : NULL;
        t.now_ms += ts_prng_below(&p, 8);
        enum resp_version version = ts_prng_below(&p, 2) == 0 ? RESP_V2 : RESP_V3;
        random_line(&p, line, sizeof(line));
        size_t n = kv_encode(version, line, payload, sizeof(payload));
        kv_entry_apply(&t, SVC_ENTRY_COMMAND, (struct ts_bytes){payload, n});
        h = ts_hash_chain(h, t.out.data, t.out.len);
        if (i % 50 == 0) {
            enum svc_entry_kind kind = i % 100 == 0 ? SVC_ENTRY_TICK : SVC_ENTRY_CHECKPOINT;
            kv_entry_apply(&t, kind, (struct ts_bytes){NULL, 0});
            h = ts_hash_chain(h, t.out.data, t.out.len);
        }
        if (i % 5000 == 0) {
            kv_store_check(&((struct kv_state *)t.state)->store);
        }
        /* Reads by round between entries must leave no trace. */
        if (noise && i % 3 == 0) {
            (void)kv_ask(&t, "MGET k1 k2 k3");
        }
        free(hole);
    }
    kv_close(&t);
    return h;
}

/* Goal: hash seed, addresses and reads do not show in any answer. */
static void test_apply_same_entries_gives_same_answers(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct ts_hash a = run_stream(seed, "hash-seed=1", false);
        struct ts_hash b = run_stream(seed, "hash-seed=99", true);
        assert_true(ts_hash_eq(a, b));
    }
    assert_false(ts_hash_eq(run_stream(1, NULL, false), run_stream(2, NULL, false)));
}

/* Goal: one flipped bit shows in the digests within one walk over the state (R5.1). */
static void test_checkpoint_finds_flipped_bit(void **state)
{
    (void)state;
    struct kv_test t[2];
    for (int i = 0; i < 2; i++) {
        kv_open(&t[i], NULL);
        for (int k = 0; k < 10000; k++) {
            char line[64];
            snprintf(line, sizeof(line), "SET key%d value%d", k, k);
            (void)kv_do(&t[i], line);
        }
    }
    int differ = 0;
    for (int flipped = 0; flipped < 2; flipped++) {
        for (int c = 0; c < 3; c++) {
            for (int i = 0; i < 2; i++) {
                kv_entry_apply(&t[i], SVC_ENTRY_CHECKPOINT, (struct ts_bytes){NULL, 0});
                assert_int_equal(t[i].out.len, KV_CHECKPOINT_BYTES);
            }
            differ += memcmp(t[0].out.data, t[1].out.data, KV_CHECKPOINT_BYTES) != 0;
        }
        assert_int_equal(differ, flipped);
        assert_true(kv_flip_bit(t[1].state, 5000));
    }
    kv_close(&t[0]);
    kv_close(&t[1]);
}

/* Goal: the walk goes on at the right place when its next key is deleted, and starts again. */
static void test_checkpoint_cursor_survives_delete(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    for (int k = 0; k < 5000; k++) {
        char line[64];
        snprintf(line, sizeof(line), "SET key%d v", k);
        (void)kv_do(&t, line);
    }
    const uint64_t slices[] = {4096, 5000 - 4096 - 1, 4096};
    for (size_t i = 0; i < 3; i++) {
        kv_entry_apply(&t, SVC_ENTRY_CHECKPOINT, (struct ts_bytes){NULL, 0});
        struct ts_reader r = ts_reader_init(t.out.data, t.out.len);
        (void)ts_get_hash(&r);
        (void)ts_get_u64(&r);
        (void)ts_get_u64(&r);
        (void)ts_get_u64(&r);
        assert_int_equal(ts_get_u64(&r), slices[i]);
        if (i == 0) {
            KV_EXPECT(&t, "DEL key4096", ":1\r\n");
        }
    }
    KV_EXPECT(&t, "FLUSHALL", "+OK\r\n");
    kv_entry_apply(&t, SVC_ENTRY_CHECKPOINT, (struct ts_bytes){NULL, 0});
    assert_int_equal(t.out.len, KV_CHECKPOINT_BYTES);
    kv_close(&t);
}

/* Goal: the table grows and shrinks in small steps, and a flush frees in small steps. */
static void test_store_grows_and_shrinks(void **state)
{
    (void)state;
    struct kv_test t;
    kv_open(&t, NULL);
    struct kv_store *s = &((struct kv_state *)t.state)->store;
    for (int k = 0; k < 40000; k++) {
        char line[64];
        snprintf(line, sizeof(line), "SET key%d v", k);
        (void)kv_do(&t, line);
    }
    kv_store_check(s);
    assert_true(s->now.count >= 32768);
    for (int k = 0; k < 39990; k++) {
        char line[64];
        snprintf(line, sizeof(line), "DEL key%d", k);
        assert_string_equal(kv_do(&t, line), ":1\r\n");
    }
    for (int i = 0; i < 4000; i++) {
        (void)kv_do(&t, "SET other v");
        (void)kv_do(&t, "DEL other");
    }
    kv_store_check(s);
    assert_int_equal(s->now.count, 1024);
    for (int k = 0; k < 1000; k++) {
        char line[64];
        snprintf(line, sizeof(line), "SET key%d v EX 5", k);
        (void)kv_do(&t, line);
    }
    KV_EXPECT(&t, "FLUSHALL", "+OK\r\n");
    assert_non_null(s->graveyard);
    KV_EXPECT(&t, "SET key1 new", "+OK\r\n");
    for (int i = 0; i < 100; i++) {
        KV_EXPECT(&t, "GET key1", "$3\r\nnew\r\n");
    }
    assert_null(s->graveyard);
    kv_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apply_same_entries_gives_same_answers),
        cmocka_unit_test(test_checkpoint_finds_flipped_bit),
        cmocka_unit_test(test_checkpoint_cursor_survives_delete),
        cmocka_unit_test(test_store_grows_and_shrinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
