/* The determinism check sees each way in which a service may forget its contract: the example
 * service, broken on purpose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/example/lock.h"
#include "tests/service/lock_random.h"
#include "tests/service/svc_check.h"

static void put(struct svc_out *out, const void *data, size_t n)
{
    assert_int_equal(svc_out_put(out, data, n), TS_OK);
}

/* Writes where its state lies. */
static void apply_address(void *state, const struct svc_entry *entry, struct svc_out *out)
{
    lock_service.apply(state, entry, out);
    put(out, &state, sizeof(state));
}

/* Writes how much of the batch was answered before. */
static void apply_batch(void *state, const struct svc_entry *entry, struct svc_out *out)
{
    size_t before = out->len;
    lock_service.apply(state, entry, out);
    put(out, &before, sizeof(before));
}

/* Writes what is not of the log: how often it was called, in all states. */
static void apply_clock(void *state, const struct svc_entry *entry, struct svc_out *out)
{
    static uint64_t calls;
    calls++;
    lock_service.apply(state, entry, out);
    put(out, &calls, sizeof(calls));
}

/* A read that takes the lock. */
static void read_writes(const void *state, struct ts_bytes command, struct svc_out *out)
{
    struct svc_entry e = {.epoch = {1}, .seq = {1}, .kind = SVC_ENTRY_COMMAND, .payload = command};
    e.time = (struct ts_ltime){1700000000 * TS_NS_PER_S};
    lock_service.apply((void *)(uintptr_t)state, &e, out);
}

/* Executes what only is to come. */
static void expect_applies(const void *state, const struct svc_entry *entries, size_t count)
{
    struct svc_out out = {.max = SIZE_MAX};
    struct svc_entry late = entries[0];
    assert_in_range(count, 1, SVC_EXPECT_MAX);
    late.time.ns += 1000 * TS_NS_PER_S;
    lock_service.apply((void *)(uintptr_t)state, &late, &out);
    svc_out_free(&out);
}

/* The last lock is not in the walk. */
static bool walk_without_last_lock(struct svc_walk *walk, struct svc_out *out)
{
    bool more = lock_service.walk_next(walk, out);
    memset(out->data + out->len - 32, 0, 32);
    return more;
}

/* Gives the state as it is, not as it was frozen. */
static bool walk_late(struct svc_walk *walk, struct svc_out *out)
{
    struct svc_walk *now = lock_service.walk_begin(walk);
    bool more = lock_service.walk_next(now, out);
    lock_service.walk_end(now);
    return more;
}

/* What the sink was used for before shows in the piece. */
static bool walk_by_sink(struct svc_walk *walk, struct svc_out *out)
{
    size_t cap = out->cap;
    bool more = lock_service.walk_next(walk, out);
    out->data[out->len - 1] ^= cap > 0;
    return more;
}

/* Forgets all that is loaded. */
static enum ts_err load_nothing(void *state, struct ts_bytes piece)
{
    void *other = lock_service.create(NULL);
    enum ts_err err = lock_service.load_piece(other, piece);
    lock_service.destroy(other);
    (void)state;
    return err;
}

static enum ts_err load_end_always(void *state)
{
    (void)state;
    return TS_OK;
}

/* Its TICKs leave what is due: the primary would order one after another for ever. */
static struct ts_ltime tick_stays(const void *state)
{
    (void)state;
    return (struct ts_ltime){1};
}

/* No digest of the state. */
static void apply_without_checkpoint(void *state, const struct svc_entry *entry,
                                     struct svc_out *out)
{
    size_t before = out->len;
    lock_service.apply(state, entry, out);
    out->len = entry->kind == SVC_ENTRY_CHECKPOINT ? before : out->len;
}

/* An answer that nobody asked for. */
static void apply_answers_tick(void *state, const struct svc_entry *entry, struct svc_out *out)
{
    lock_service.apply(state, entry, out);
    if (entry->kind == SVC_ENTRY_TICK) {
        put(out, "ticked", 6);
    }
}

/* An answer of any length. */
static void apply_at_length(void *state, const struct svc_entry *entry, struct svc_out *out)
{
    static const uint8_t block[1U << 20];
    lock_service.apply(state, entry, out);
    for (size_t i = 0; i <= SVC_ANSWER_MAX / sizeof(block) && entry->seq.v == 100; i++) {
        put(out, block, sizeof(block));
    }
}

/* Its piece has no byte. */
static bool walk_of_nothing(struct svc_walk *walk, struct svc_out *out)
{
    (void)walk;
    (void)out;
    return false;
}

/* What is cut off is not missed. */
static enum ts_err load_any_length(void *state, struct ts_bytes piece)
{
    enum ts_err err = lock_service.load_piece(state, piece);
    return err == TS_ERR_MALFORMED ? TS_OK : err;
}

/* The format is not looked at. */
static enum ts_err load_any_version(void *state, struct ts_bytes piece)
{
    enum ts_err err = lock_service.load_piece(state, piece);
    return err == TS_ERR_VERSION ? TS_OK : err;
}

static struct svc_check_result run(const struct svc *svc)
{
    struct svc_check check = {
        .svc = svc,
        .seed = 3,
        .entries = 5000,
        .walk_every = 20,
        .step_ns = 20 * TS_NS_PER_MS,
        .pieces_in_hundred = 10,
        .command = lock_random_request,
        .query = lock_random_request,
    };
    return svc_check_run(&check);
}

/* Goal: each broken service is caught, soon, and the sentence names what differs. */
static void test_check_broken_service_is_caught(void **state)
{
    (void)state;
    struct {
        const char *what;
        const char *says;
        struct svc svc;
    } broken[] = {
        {"address", "answers differ", lock_service},
        {"batch", "answers differ", lock_service},
        {"clock", "answers differ", lock_service},
        {"read", "differ", lock_service},
        {"expect", "differ", lock_service},
        {"walk forgets", "after a load", lock_service},
        {"walk late", "a walk has other bytes", lock_service},
        {"walk by sink", "a walk has other bytes", lock_service},
        {"load forgets", "differ", lock_service},
        {"tick stays", "stays due", lock_service},
        {"checkpoint", "writes no digest", lock_service},
        {"answers tick", "is answered", lock_service},
        {"length", "longer than SVC_ANSWER_MAX", lock_service},
        {"walk of nothing", "has no byte", lock_service},
        {"any length", "that is cut is loaded", lock_service},
        {"any version", "another format", lock_service},
    };
    broken[0].svc.apply = apply_address;
    broken[1].svc.apply = apply_batch;
    broken[2].svc.apply = apply_clock;
    broken[3].svc.read = read_writes;
    broken[4].svc.expect = expect_applies;
    broken[5].svc.walk_next = walk_without_last_lock;
    broken[6].svc.walk_next = walk_late;
    broken[7].svc.walk_next = walk_by_sink;
    broken[8].svc.load_piece = load_nothing;
    broken[8].svc.load_end = load_end_always;
    broken[9].svc.next_tick = tick_stays;
    broken[10].svc.apply = apply_without_checkpoint;
    broken[11].svc.apply = apply_answers_tick;
    broken[12].svc.apply = apply_at_length;
    broken[13].svc.walk_next = walk_of_nothing;
    broken[14].svc.load_piece = load_any_length;
    broken[15].svc.load_piece = load_any_version;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct svc_check_result r = run(&broken[i].svc);
        print_message("%s: %s\n", broken[i].what, r.text);
        assert_false(r.same);
        assert_non_null(strstr(r.text, broken[i].says));
    }
    assert_true(run(&lock_service).same);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_broken_service_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
