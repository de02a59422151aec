/* The log window: a ring of whole batches, what leaves it and what it still knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/prng.h"
#include "replicator/log.h"

#define MIB ((size_t)1 << 20)
/* The smallest window: 8 MiB. */
#define WINDOW (2 * (size_t)REPL_BATCH_BYTES_MAX)
#define SLOTS 16

static const struct ts_seq NOTHING = {0};
static const struct ts_seq ANYTHING = {UINT64_MAX};

struct window {
    struct repl_log log;
    uint8_t *payload;        /* owned, REPL_BATCH_BYTES_MAX */
    struct repl_pos end[64]; /* of each batch appended, from 1 on; end[0] is the beginning */
    size_t count;
};

static int setup(void **state)
{
    struct window *x = calloc(1, sizeof(*x));
    assert_non_null(x);
    x->payload = calloc(1, REPL_BATCH_BYTES_MAX);
    assert_non_null(x->payload);
    assert_int_equal(repl_log_init(&x->log, WINDOW, SLOTS), TS_OK);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct window *x = *state;
    repl_log_free(&x->log);
    free(x->payload);
    free(x);
    return 0;
}

/* Appends a batch of `bytes` bytes in all with `entries` entries; false when there is no room. */
static bool add(struct window *x, size_t bytes, size_t entries, struct ts_seq evictable)
{
    struct repl_request requests[4] = {{.kind = SVC_ENTRY_COMMAND}};
    struct repl_pos tail = repl_log_tail(&x->log);
    for (size_t i = 1; i < entries; i++) {
        requests[i].kind = SVC_ENTRY_TICK;
    }
    size_t head = REPL_BATCH_HEADER_BYTES + entries * REPL_ENTRY_HEADER_BYTES;
    requests[0].payload = (struct ts_bytes){x->payload, bytes - head};
    memset(x->payload, (int)tail.seq.v, 16);
    uint8_t *place = repl_log_reserve(&x->log, bytes, evictable);
    if (place == NULL) {
        return false;
    }
    struct repl_batch b;
    struct ts_writer w = ts_writer_init(place, bytes);
    repl_batch_encode(&w, (struct ts_epoch){1}, ts_seq_add(tail.seq, 1), (struct ts_ltime){5},
                      tail.hash, requests, entries);
    struct ts_reader r = ts_reader_init(place, bytes);
    assert_int_equal(repl_batch_decode(&b, &r), TS_OK);
    repl_log_append(&x->log, &b);
    x->end[++x->count] = repl_log_tail(&x->log);
    assert_true(x->end[x->count].seq.v == tail.seq.v + entries);
    return true;
}

/* Every batch held lies whole in the ring, apart from the others, and has its own bytes. */
static void check_bytes(const struct window *x)
{
    const struct repl_log *log = &x->log;
    for (size_t i = 0; i < log->slot_count; i++) {
        const struct repl_log_slot *a = &log->slots[(log->slot_head + i) % log->slots_cap];
        assert_true(a->offset + a->len <= log->bytes_cap);
        struct ts_bytes bytes = repl_log_bytes(log, a);
        assert_true(ts_hash_eq(ts_hash_bytes(bytes.data, bytes.len), a->hash));
        for (size_t k = 0; k < i; k++) {
            const struct repl_log_slot *b = &log->slots[(log->slot_head + k) % log->slots_cap];
            assert_true(a->offset + a->len <= b->offset || b->offset + b->len <= a->offset);
        }
    }
}

/* Goal: an empty window knows its end and nothing else. */
static void test_tail_empty_is_base(void **state)
{
    struct window *x = *state;
    struct repl_pos last;
    assert_true(repl_pos_eq(repl_log_tail(&x->log), x->end[0]));
    assert_null(repl_log_newest(&x->log));
    assert_null(repl_log_find(&x->log, (struct ts_seq){1}));
    assert_int_equal(repl_log_match(&x->log, x->end[0]), REPL_LOG_SAME);
    assert_int_equal(repl_log_run(&x->log, NOTHING, MIB, &last).len, 0);
    assert_int_equal(repl_log_bytes_after(&x->log, NOTHING), 0);
    repl_log_truncate(&x->log, NOTHING);
}

/* Goal: without leave to evict, a full ring of bytes gives no room and changes nothing. */
static void test_reserve_full_bytes_fails(void **state)
{
    struct window *x = *state;
    assert_true(add(x, 4 * MIB, 1, NOTHING));
    assert_true(add(x, 4 * MIB, 1, NOTHING)); /* to the last byte */
    assert_false(add(x, 100, 1, NOTHING));
    assert_int_equal(x->log.slot_count, 2);
    assert_true(x->log.base.seq.v == 0);
    check_bytes(x);
}

/* Goal: so does a full ring of slots. */
static void test_reserve_full_slots_fails(void **state)
{
    struct window *x = *state;
    for (int i = 0; i < SLOTS; i++) {
        assert_true(add(x, 100, 1, NOTHING));
    }
    assert_false(add(x, 100, 1, NOTHING));
    assert_true(add(x, 100, 1, (struct ts_seq){1}));
    assert_int_equal(x->log.slot_count, SLOTS);
    assert_true(repl_pos_eq(x->log.base, x->end[1]));
}

/* Goal: a batch is evicted only when its last entry may be; one that is partly allowed stays. */
static void test_reserve_evicts_whole_batches_within_bound(void **state)
{
    struct window *x = *state;
    assert_true(add(x, 3 * MIB, 3, NOTHING)); /* 1..3 */
    assert_true(add(x, 3 * MIB, 2, NOTHING)); /* 4..5 */
    assert_false(add(x, 4 * MIB, 1, (struct ts_seq){2}));
    assert_int_equal(x->log.slot_count, 2);
    assert_true(add(x, 3 * MIB, 1, (struct ts_seq){3})); /* evicts one: enough */
    assert_int_equal(x->log.slot_count, 2);
    assert_true(repl_pos_eq(x->log.base, x->end[1]));
    assert_false(add(x, 4 * MIB, 1, (struct ts_seq){4})); /* within the batch 4..5 */
    assert_int_equal(x->log.slot_count, 2);
    assert_true(add(x, 4 * MIB, 1, (struct ts_seq){5}));
    assert_true(repl_pos_eq(x->log.base, x->end[2]));
    check_bytes(x);
}

/* Goal: the ring wraps many times with odd sizes; a batch never wraps itself, none overlaps. */
static void test_append_many_wraps_ring(void **state)
{
    struct window *x = *state;
    static const size_t sizes[] = {3 * MIB + 17, 200, 2 * MIB - 5, 4 * MIB, 77777, MIB + 1, 1000};
    size_t wraps = 0;
    for (int i = 0; i < 60; i++) {
        size_t before = repl_log_newest(&x->log) == NULL ? 0 : repl_log_newest(&x->log)->offset;
        assert_true(add(x, sizes[i % 7], 1 + (size_t)i % 3, ANYTHING));
        wraps += repl_log_newest(&x->log)->offset < before;
        check_bytes(x);
        assert_int_equal(repl_log_match(&x->log, x->end[x->count]), REPL_LOG_SAME);
        assert_int_equal(repl_log_match(&x->log, x->log.base), REPL_LOG_SAME);
    }
    assert_true(wraps >= 10);
}

/* Goal: a batch of the maximal size always fits a window that may be emptied. */
static void test_reserve_largest_fits_after_eviction(void **state)
{
    struct window *x = *state;
    assert_true(add(x, 3 * MIB, 1, NOTHING));
    assert_true(add(x, 2 * MIB, 1, NOTHING));
    assert_true(add(x, REPL_BATCH_BYTES_MAX, 1, ANYTHING));
    assert_true(add(x, REPL_BATCH_BYTES_MAX, 1, ANYTHING));
    check_bytes(x);
}

/* Goal: each answer of match, at the base, within, between batch ends, before and behind. */
static void test_match_gives_each_answer(void **state)
{
    struct window *x = *state;
    for (int i = 0; i < SLOTS + 2; i++) {
        assert_true(add(x, 200, 2, ANYTHING)); /* two batches leave: base is seq 4 */
    }
    assert_true(x->log.base.seq.v == 4);
    struct repl_pos other = x->end[2];
    other.hash.lo ^= 1;
    assert_int_equal(repl_log_match(&x->log, x->end[2]), REPL_LOG_SAME);
    assert_int_equal(repl_log_match(&x->log, other), REPL_LOG_OTHER);
    assert_int_equal(repl_log_match(&x->log, x->end[1]), REPL_LOG_EVICTED);
    assert_int_equal(repl_log_match(&x->log, x->end[0]), REPL_LOG_EVICTED);
    assert_int_equal(repl_log_match(&x->log, x->end[9]), REPL_LOG_SAME);
    other = x->end[9];
    other.hash.hi ^= 1;
    assert_int_equal(repl_log_match(&x->log, other), REPL_LOG_OTHER);
    other = x->end[9];
    other.seq.v--; /* within a batch */
    assert_int_equal(repl_log_match(&x->log, other), REPL_LOG_OTHER);
    assert_int_equal(repl_log_match(&x->log, x->end[x->count]), REPL_LOG_SAME);
    other = x->end[x->count];
    other.seq.v++;
    assert_int_equal(repl_log_match(&x->log, other), REPL_LOG_BEYOND);
    assert_int_equal(repl_log_match(&x->log, (struct repl_pos){ANYTHING, {0, 0}}), REPL_LOG_BEYOND);
}

/* Goal: every seq finds the batch that holds it, and none outside the window. */
static void test_find_gives_batch_of_seq(void **state)
{
    struct window *x = *state;
    for (int i = 0; i < SLOTS + 5; i++) {
        assert_true(add(x, 300, 3, ANYTHING));
    }
    assert_null(repl_log_find(&x->log, x->log.base.seq));
    for (uint64_t seq = x->log.base.seq.v + 1; seq <= repl_log_tail(&x->log).seq.v; seq++) {
        const struct repl_log_slot *s = repl_log_find(&x->log, (struct ts_seq){seq});
        assert_non_null(s);
        assert_true(s->first.v <= seq && seq <= s->last.v && s->last.v == s->first.v + 2);
    }
    assert_null(repl_log_find(&x->log, ts_seq_add(repl_log_tail(&x->log).seq, 1)));
}

/* Goal: truncation moves the end back, to the base at most, and the room is free again. */
static void test_truncate_frees_suffix(void **state)
{
    struct window *x = *state;
    assert_true(add(x, 2 * MIB, 1, NOTHING));
    assert_true(add(x, 3 * MIB, 2, NOTHING));
    assert_true(add(x, 3 * MIB, 1, NOTHING));
    repl_log_truncate(&x->log, (struct ts_seq){4}); /* the end: nothing to cut */
    assert_int_equal(x->log.slot_count, 3);
    repl_log_truncate(&x->log, (struct ts_seq){1});
    assert_true(repl_pos_eq(repl_log_tail(&x->log), x->end[1]));
    assert_int_equal(repl_log_match(&x->log, x->end[2]), REPL_LOG_BEYOND);
    assert_int_equal(repl_log_bytes_after(&x->log, NOTHING), 2 * MIB);
    assert_true(add(x, 4 * MIB, 1, NOTHING));
    check_bytes(x);
    repl_log_truncate(&x->log, NOTHING);
    assert_int_equal(x->log.slot_count, 0);
    assert_int_equal(repl_log_bytes_after(&x->log, NOTHING), 0);
    assert_true(add(x, 4 * MIB, 1, NOTHING));
    check_bytes(x);
}

/* Goal: a run holds whole batches within its bound, but at least one. */
static void test_run_within_bound_is_whole_batches(void **state)
{
    struct window *x = *state;
    struct repl_pos last = {{99}, {0, 0}};
    for (int i = 0; i < 5; i++) {
        assert_true(add(x, 1000, 2, NOTHING));
    }
    assert_int_equal(repl_log_run(&x->log, NOTHING, 10 * MIB, &last).len, 5000);
    assert_true(repl_pos_eq(last, x->end[5]));
    assert_int_equal(repl_log_run(&x->log, (struct ts_seq){2}, 2999, &last).len, 2000);
    assert_true(repl_pos_eq(last, x->end[3]));
    assert_int_equal(repl_log_run(&x->log, (struct ts_seq){2}, 3000, &last).len, 3000);
    assert_true(repl_pos_eq(last, x->end[4]));
    struct ts_bytes one = repl_log_run(&x->log, (struct ts_seq){8}, 1, &last);
    assert_int_equal(one.len, 1000);
    assert_true(repl_pos_eq(last, x->end[5]));
    assert_true(ts_hash_eq(ts_hash_bytes(one.data, one.len), x->end[5].hash));
    assert_int_equal(repl_log_run(&x->log, (struct ts_seq){10}, MIB, &last).len, 0);
}

/* Goal: a run ends where the ring wraps; the next one begins there: together they are all. */
static void test_run_over_wrap_is_contiguous(void **state)
{
    struct window *x = *state;
    for (int i = 0; i < 11; i++) {
        assert_true(add(x, MIB, 1, ANYTHING)); /* eight fit: three lie at the front again */
    }
    struct repl_pos last;
    struct ts_seq at = x->log.base.seq;
    assert_true(at.v == 3);
    struct ts_bytes run = repl_log_run(&x->log, at, WINDOW, &last);
    assert_int_equal(run.len, 5 * MIB);
    assert_ptr_equal(run.data + run.len, x->log.bytes + WINDOW);
    assert_true(repl_pos_eq(last, x->end[8]));
    run = repl_log_run(&x->log, last.seq, WINDOW, &last);
    assert_int_equal(run.len, 3 * MIB);
    assert_ptr_equal(run.data, x->log.bytes);
    assert_true(repl_pos_eq(last, x->end[11]));
    struct ts_reader r = ts_reader_init(run.data, run.len);
    struct repl_batch b;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(repl_batch_decode(&b, &r), TS_OK);
        assert_true(b.first.v == 9U + (unsigned)i);
    }
}

/* Goal: bytes after a position, at batch ends, at the base, before it, and at the end. */
static void test_bytes_after_counts_what_follows(void **state)
{
    struct window *x = *state;
    for (int i = 0; i < 4; i++) {
        assert_true(add(x, 1000 * (1 + (size_t)i), 2, NOTHING)); /* 1000, 2000, 3000, 4000 */
    }
    assert_int_equal(repl_log_bytes_after(&x->log, NOTHING), 10000);
    assert_int_equal(repl_log_bytes_after(&x->log, (struct ts_seq){2}), 9000);
    assert_int_equal(repl_log_bytes_after(&x->log, (struct ts_seq){6}), 4000);
    assert_int_equal(repl_log_bytes_after(&x->log, (struct ts_seq){8}), 0);
    assert_int_equal(repl_log_bytes_after(&x->log, ANYTHING), 0);
    for (int i = 0; i < SLOTS - 1; i++) {
        assert_true(add(x, 500, 1, ANYTHING));
    }
    assert_true(repl_pos_eq(x->log.base, x->end[3]));
    assert_int_equal(repl_log_bytes_after(&x->log, x->log.base.seq), 4000 + 15 * 500);
    assert_int_equal(repl_log_bytes_after(&x->log, NOTHING), 4000 + 15 * 500);
    assert_int_equal(repl_log_bytes_after(&x->log, (struct ts_seq){8}), 15 * 500);
}

/* A batch of `len` bytes and one entry, whatever they are. */
static bool add_blank(struct repl_log *log, size_t len, struct ts_seq evictable)
{
    struct repl_pos tail = repl_log_tail(log);
    uint8_t *place = repl_log_reserve(log, len, evictable);
    if (place == NULL) {
        return false;
    }
    memset(place, 0, 16);
    struct repl_batch b = {.bytes = {place, 16}, .epoch = {1}, .prev = tail.hash};
    b.first = ts_seq_add(tail.seq, 1);
    b.last = b.first;
    b.bytes.len = len;
    repl_log_append(log, &b);
    return true;
}

#define HISTORY_MAX 4000

struct history {
    struct repl_log log;
    struct ts_prng prng;
    size_t len[HISTORY_MAX];
    struct ts_seq evictable[HISTORY_MAX]; /* when it was appended */
    size_t count;
    struct ts_seq committed;
};

static size_t any_length(struct history *h)
{
    size_t max = ts_prng_below(&h->prng, 4) == 0 ? REPL_BATCH_BYTES_MAX : MIB / 2;
    return REPL_LOG_SPARE_BYTES + ts_prng_below(&h->prng, max - REPL_LOG_SPARE_BYTES + 1);
}

/* A restart: everything again, into an empty window, and a spare batch behind it. */
static void check_replay(const struct history *h)
{
    struct repl_log log;
    assert_int_equal(repl_log_init(&log, REPL_LOG_BYTES_MIN, SLOTS), TS_OK);
    memset(log.bytes, 0, log.bytes_cap);
    size_t from = h->count > 40 ? h->count - 40 : 0; /* these lie anew: as good as another layout */
    log.base.seq.v = from;
    for (size_t i = from; i < h->count; i++) {
        assert_true(add_blank(&log, h->len[i], h->evictable[i]));
    }
    assert_true(repl_log_has_room(&log, REPL_LOG_SPARE_BYTES, h->committed, 0));
    assert_true(add_blank(&log, REPL_LOG_SPARE_BYTES, h->committed));
    repl_log_free(&log);
}

/* Goal: what has_room allowed fits again however it comes to lie, with the spare batch: after any
 * history of appends, commits and cuts. */
static void test_has_room_fits_any_layout(void **state)
{
    (void)state;
    struct history *h = calloc(1, sizeof(*h));
    assert_non_null(h);
    h->prng = ts_prng_init(5);
    assert_int_equal(repl_log_init(&h->log, REPL_LOG_BYTES_MIN, SLOTS), TS_OK);
    memset(h->log.bytes, 0, h->log.bytes_cap);
    size_t full = 0;
    while (h->count < HISTORY_MAX && full < 200) {
        uint64_t dice = ts_prng_below(&h->prng, 40);
        size_t len = any_length(h);
        if (repl_log_has_room(&h->log, len, h->committed, 1)) {
            assert_true(add_blank(&h->log, len, h->committed));
            h->len[h->count] = len;
            h->evictable[h->count++] = h->committed;
        } else if (dice < 4) {
            check_replay(h);
            full++;
        } else if (dice < 8) {
            h->count = h->committed.v; /* a takeover without it: all of it is cut */
            repl_log_truncate(&h->log, h->committed);
        } else {
            h->committed.v += ts_prng_below(&h->prng, h->count - h->committed.v + 1);
        }
    }
    assert_true(full > 50);
    repl_log_free(&h->log);
    free(h);
}

/* Goal: has_room counts what may not be evicted, in bytes and in slots, and one whole batch for
 * what is wasted. */
static void test_has_room_counts_kept(void **state)
{
    struct window *x = *state;
    assert_true(repl_log_has_room(&x->log, REPL_BATCH_BYTES_MAX, NOTHING, 0));
    assert_false(repl_log_has_room(&x->log, REPL_BATCH_BYTES_MAX, NOTHING, 1));
    assert_true(add(x, MIB, 2, NOTHING)); /* 1..2 */
    assert_true(repl_log_has_room(&x->log, 3 * MIB, NOTHING, 0));
    assert_false(repl_log_has_room(&x->log, 3 * MIB + 1, NOTHING, 0));
    assert_false(repl_log_has_room(&x->log, 3 * MIB + 1, (struct ts_seq){1}, 0)); /* half of it */
    assert_true(repl_log_has_room(&x->log, 3 * MIB + 1, (struct ts_seq){2}, 0));
    assert_true(repl_log_has_room(&x->log, 4 * MIB, ANYTHING, 0));
    for (int i = 1; i < SLOTS; i++) {
        assert_true(repl_log_has_room(&x->log, 100, NOTHING, 0));
        assert_true(add(x, 100, 1, NOTHING));
    }
    assert_false(repl_log_has_room(&x->log, 100, NOTHING, 0));
    assert_true(repl_log_has_room(&x->log, 100, (struct ts_seq){2}, 0));
    assert_false(repl_log_has_room(&x->log, 100, (struct ts_seq){2}, 1));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_tail_empty_is_base),          T(test_reserve_full_bytes_fails),
        T(test_reserve_full_slots_fails),    T(test_reserve_evicts_whole_batches_within_bound),
        T(test_append_many_wraps_ring),      T(test_reserve_largest_fits_after_eviction),
        T(test_match_gives_each_answer),     T(test_find_gives_batch_of_seq),
        T(test_truncate_frees_suffix),       T(test_run_within_bound_is_whole_batches),
        T(test_run_over_wrap_is_contiguous), T(test_bytes_after_counts_what_follows),
        T(test_has_room_fits_any_layout),    T(test_has_room_counts_kept),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
