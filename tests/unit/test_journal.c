/* The journal: appends, groups, segments, truncation, reads, the replica record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/disk_fixture.h"

static int setup(void **state)
{
    struct fix *f = malloc(sizeof(*f));
    fix_init(f);
    *state = f;
    return 0;
}

static int setup_open(void **state)
{
    (void)setup(state);
    struct fix *f = *state;
    return fix_format(f) == TS_OK && fix_open(f) == TS_OK ? 0 : -1;
}

/* Segments that batches of every allowed length share. */
static int setup_large(void **state)
{
    (void)setup(state);
    struct fix *f = *state;
    f->segment_bytes = 5U << 20;
    return fix_format(f) == TS_OK && fix_open(f) == TS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    fix_free(*state);
    free(*state);
    return 0;
}

/* Goal: nothing formatted is told apart from an empty log. */
static void test_open_unformatted_is_not_found(void **state)
{
    struct fix *f = *state;
    assert_int_equal(fix_open(f), TS_ERR_NOT_FOUND);
    assert_non_null(strstr(f->why.text, "not formatted"));
}

/* Goal: a second format never destroys a log. */
static void test_format_twice_is_refused(void **state)
{
    struct fix *f = *state;
    assert_int_equal(fix_format(f), TS_ERR_EXISTS);
    assert_non_null(strstr(f->why.text, "formatted already"));
}

/* Goal: what format and open give, and the start number that rises once it was confirmed. */
static void test_open_empty_gives_identity(void **state)
{
    struct fix *f = *state;
    const struct journal_info *i = journal_info(f->journal);
    assert_true(i->incarnation.v == 77);
    assert_int_equal(i->group.v, 3);
    assert_true(i->start_number == 1);
    assert_true(i->last.v == 0);
    assert_int_equal(journal_record(f->journal).len, 5);
    fix_confirm(f);
    fix_close(f);
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(journal_info(f->journal)->start_number == 2);
    assert_memory_equal(journal_record(f->journal).data, "floor", 5);
}

/* Goal (R1.8): a start that the voters do not know is the same one after any number of restarts, so
 * that a rolled-back image never comes closer to what they know; the one after it is another. */
static void test_open_unconfirmed_start_is_repeated(void **state)
{
    struct fix *f = *state;
    uint64_t instance = journal_info(f->journal)->start_instance.v;
    assert_true(instance != 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(journal_persist_record(f->journal, journal_record(f->journal), 7), TS_OK);
        fix_close(f);
        assert_int_equal(fix_open(f), TS_OK);
        assert_true(journal_info(f->journal)->start_number == 1);
        assert_true(journal_info(f->journal)->start_instance.v == instance);
    }
    fix_confirm(f);
    fix_close(f);
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(journal_info(f->journal)->start_number == 2);
    assert_true(journal_info(f->journal)->start_instance.v != instance);
    assert_memory_equal(journal_record(f->journal).data, "floor", 5);
}

/* Goal (R1.8): what the voters refused once is refused, and does not even begin a start. */
static void test_open_refused_disk_is_clone(void **state)
{
    struct fix *f = *state;
    char path[TS_PATH_MAX];
    fix_confirm(f);
    fix_close(f);
    ts_dir_refuse(f->path, "start 1");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fix_open(f), TS_ERR_CLONE);
    }
    assert_int_equal(ts_path(path, NULL, f->path, "refused"), TS_OK);
    assert_int_equal(ts_file_remove(path, NULL), TS_OK);
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(journal_info(f->journal)->start_number == 2);
}

/* Goal: a second process (or journal) on the same directory is refused and changes nothing: the
 * start number stays the one that the first has registered. */
static void test_open_twice_is_busy(void **state)
{
    struct fix *f = *state;
    struct journal *second = NULL;
    struct journal_callbacks cb = {.arg = f};
    uint64_t start = journal_info(f->journal)->start_number;
    assert_int_equal(journal_open(&second, &f->loop, f->path, NULL, &cb, NULL, NULL, &f->why),
                     TS_ERR_BUSY);
    assert_null(second);
    fix_confirm(f);
    assert_int_equal(fix_append(f, 1, 10, 0), TS_OK);
    fix_wait(f);
    fix_close(f);
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(journal_info(f->journal)->start_number == start + 1);
    assert_true(f->replayed.v == 1);
}

/* Goal: appended batches are reported and replayed, with commit hints. */
static void test_append_survives_reopen(void **state)
{
    struct fix *f = *state;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(fix_append(f, 3, 100, (uint8_t)i), TS_OK);
    }
    fix_wait(f);
    assert_int_equal(fix_append(f, 1, 0, 0), TS_OK); /* an empty batch is one too */
    fix_wait(f);
    assert_true(f->persisted.v == 61);
    fix_close(f);
    assert_int_equal(fix_open(f), TS_OK);
    assert_int_equal(f->replayed_batches, 21);
    assert_true(journal_info(f->journal)->last.v == 61);
    assert_true(journal_info(f->journal)->commit.v == 60);
    assert_true(ts_hash_eq(f->hash, f->replayed_hash));
    assert_true(journal_info(f->journal)->torn_bytes == 0);
}

/* Goal: a log over many segments, with batches that never fit the rest of one. */
static void test_append_over_segments_survives_reopen(void **state)
{
    struct fix *f = *state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++) {
            assert_int_equal(fix_append(f, 1, (size_t)(i * 997 % 20000), (uint8_t)i), TS_OK);
            if (i % 7 == 0) {
                fix_wait(f);
            }
        }
        fix_wait(f);
        fix_close(f);
        assert_int_equal(fix_open(f), TS_OK);
        assert_true(f->replayed.v == 40U * (unsigned)(round + 1));
    }
    assert_int_equal(fix_append(f, 1, journal_batch_max(f->journal), 1), TS_OK);
    assert_int_equal(fix_append(f, 1, journal_batch_max(f->journal) + 1, 1), TS_ERR_LIMIT);
    fix_wait(f);
    assert_int_equal(f->failed_calls, 0);
}

/* Goal: a batch that does not continue the log is refused before it is queued. */
static void test_append_out_of_chain_is_refused(void **state)
{
    struct fix *f = *state;
    assert_int_equal(fix_append(f, 1, 10, 1), TS_OK);
    f->seq.v++;
    assert_int_equal(fix_append(f, 1, 10, 1), TS_ERR_MALFORMED);
    f->seq.v--;
    f->hash.lo ^= 1;
    assert_int_equal(fix_append(f, 1, 10, 1), TS_ERR_MALFORMED);
    f->hash.lo ^= 1;
    fix_wait(f);
}

/* Goal: the queue is bounded in calls; refusing changes nothing. The writer takes from it
 * meanwhile, on a busy machine as fast as it is filled: so until it is full. */
static void test_append_queue_full_is_refused(void **state)
{
    struct fix *f = *state;
    unsigned taken = 0;
    enum ts_err err = TS_OK;
    for (; err == TS_OK && taken < 5000000; taken += err == TS_OK) {
        err = fix_append(f, 1, 1, 0);
    }
    assert_int_equal(err, TS_ERR_FULL);
    fix_wait(f);
    fix_close(f);
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == taken);
}

static void append_many(struct fix *f, int n, size_t len, uint8_t fill)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(fix_append(f, 1, len, fill), TS_OK);
    }
}

/* Cuts the log at what the test remembered. */
static void cut_to(struct fix *f, struct ts_seq seq, struct ts_hash hash)
{
    unsigned before = f->truncated_calls;
    assert_int_equal(journal_truncate(f->journal, seq, hash), TS_OK);
    f->seq = seq;
    f->hash = hash;
    while (f->truncated_calls == before && f->failed_calls == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
}

/* Goal: what was cut off never returns, not even where a re-sent batch is byte-identical. */
static void test_truncate_then_append_drops_old_suffix(void **state)
{
    struct fix *f = *state;
    append_many(f, 10, 50, 1);
    struct ts_seq seq = f->seq;
    struct ts_hash hash = f->hash;
    append_many(f, 10, 50, 2);
    fix_wait(f);
    cut_to(f, seq, hash);
    assert_true(journal_persisted(f->journal).v == 10);
    append_many(f, 1, 50, 2); /* the same as the eleventh that was cut off */
    fix_wait(f);
    fix_close(f);
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == 11);
    assert_true(journal_info(f->journal)->torn_bytes == 0);
}

/* Goal: a cut back into an earlier segment, to the very start too. */
static void test_truncate_over_segments(void **state)
{
    struct fix *f = *state;
    append_many(f, 3, 9000, 1);
    struct ts_seq seq = f->seq;
    struct ts_hash hash = f->hash;
    append_many(f, 40, 9000, 2);
    fix_wait(f);
    cut_to(f, seq, hash);
    append_many(f, 30, 9000, 3);
    fix_wait(f);
    fix_close(f);
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == 33);
    cut_to(f, (struct ts_seq){0}, (struct ts_hash){0});
    fix_close(f);
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == 0);
    append_many(f, 20, 9000, 4);
    fix_wait(f);
    assert_int_equal(f->failed_calls, 0);
}

/* Goal: no completion tells of a position that the caller has cut off already. */
static void test_truncate_hides_late_completions(void **state)
{
    struct fix *f = *state;
    append_many(f, 2, 50, 1);
    struct ts_seq seq = f->seq;
    struct ts_hash hash = f->hash;
    append_many(f, 8, 50, 2);
    /* Nothing was delivered so far: all completions come after this call. */
    assert_int_equal(journal_truncate(f->journal, seq, hash), TS_OK);
    while (f->truncated_calls == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
        assert_true(f->persisted.v <= 2);
    }
    assert_true(f->persisted.v == 2);
    f->seq = seq;
    f->hash = hash;
    append_many(f, 1, 10, 3);
    fix_wait(f);
    assert_true(f->persisted.v == 3);
}

/* Goal: a cut that no batch ends at is the program's fault: the journal stops, the disk is not
 * blamed. */
static void test_truncate_wrong_hash_fails_without_marker(void **state)
{
    struct fix *f = *state;
    append_many(f, 5, 50, 1);
    fix_wait(f);
    assert_int_equal(journal_truncate(f->journal, (struct ts_seq){3}, (struct ts_hash){1, 1}),
                     TS_OK);
    while (f->failed_calls == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(f->failed_err, TS_ERR_MALFORMED);
    assert_int_equal(journal_append(f->journal, &(struct journal_batch){.first = {4}, .last = {4}},
                                    (struct ts_seq){0}),
                     TS_ERR_CLOSED);
    fix_close(f);
    f->failed_calls = 0;
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == 5);
}

/* Goal: the replica record survives, apart from the start number beside it. */
static void test_persist_record_survives_reopen(void **state)
{
    struct fix *f = *state;
    fix_confirm(f);
    for (uint64_t i = 1; i <= 5; i++) {
        uint8_t mem[8];
        struct ts_writer w = ts_writer_init(mem, sizeof(mem));
        ts_put_u64(&w, i);
        assert_int_equal(fix_append(f, 1, 10, 1), TS_OK);
        assert_int_equal(journal_persist_record(f->journal, (struct ts_bytes){mem, w.len}, 100 + i),
                         TS_OK);
    }
    while (f->token != 105) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_true(f->persisted.v == 5); /* in the order of the calls */
    fix_close(f);
    assert_int_equal(fix_open(f), TS_OK);
    struct ts_bytes r = journal_record(f->journal);
    assert_int_equal(r.len, 8);
    assert_int_equal(r.data[0], 5);
    assert_true(journal_info(f->journal)->start_number == 2);
}

struct read_result {
    bool done;
    enum ts_err err;
    struct ts_seq first;
    struct ts_seq last;
    size_t count;
};

static void read_cb(void *arg, enum ts_err err, const struct journal_batch *b, size_t n,
                    const char *text)
{
    struct read_result *r = arg;
    (void)text;
    r->done = true;
    r->err = err;
    r->count = n;
    for (size_t i = 0; i < n; i++) {
        assert_true(
            ts_hash_eq(b[i].hash, ts_hash_chain(b[i].prev, b[i].bytes.data, b[i].bytes.len)));
        r->first = i == 0 ? b[i].first : r->first;
        r->last = b[i].last;
    }
}

static struct read_result read_from(struct fix *f, uint64_t from, size_t max)
{
    struct read_result r = {0};
    assert_int_equal(journal_read(f->journal, (struct ts_seq){from}, max, read_cb, &r), TS_OK);
    while (!r.done) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    return r;
}

/* Goal: a learner reads the whole log in pieces, through segments, and never past the end. */
static void test_read_gives_whole_log_in_order(void **state)
{
    struct fix *f = *state;
    for (int i = 0; i < 60; i++) {
        assert_int_equal(fix_append(f, 2, (size_t)(i * 701 % 9000), (uint8_t)i), TS_OK);
    }
    fix_wait(f);
    for (int pass = 0; pass < 2; pass++) {
        uint64_t next = 1;
        while (next <= 120) {
            struct read_result r = read_from(f, next, 20000);
            assert_int_equal(r.err, TS_OK);
            assert_true(r.count >= 1);
            assert_true(r.first.v == next);
            next = r.last.v + 1;
        }
        assert_true(next == 121);
        assert_int_equal(read_from(f, 121, 1000).count, 0);
        struct read_result middle = read_from(f, 42, 1); /* within a batch: the whole one */
        assert_true(middle.first.v == 41 && middle.count == 1);
        fix_close(f);
        assert_int_equal(fix_open(f), TS_OK); /* the second pass uses the index of recovery */
    }
}

/* Goal: long batches are read, and cut behind, wherever they lie in their segment; the last one of
 * a segment is mostly longer than what follows it there. */
static void test_long_batches_are_read_and_cut(void **state)
{
    struct fix *f = *state;
    struct ts_hash ends[48];
    size_t len = 1;
    for (size_t i = 0; i < 48; i++) {
        assert_int_equal(fix_append(f, 1, len, (uint8_t)i), TS_OK);
        ends[i] = f->hash;
        fix_wait(f);
        len = (len * 3 + 77777) % (1U << 20);
    }
    for (uint64_t seq = 1; seq <= 48; seq++) {
        struct read_result r = read_from(f, seq, 1);
        assert_int_equal(r.err, TS_OK);
        assert_true(r.first.v == seq && r.count == 1);
    }
    fix_close(f);
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == 48);
    for (size_t i = 48; i-- > 0;) {
        cut_to(f, (struct ts_seq){i + 1}, ends[i]);
        assert_int_equal(f->failed_calls, 0);
    }
}

/* Goal: a read that a truncation overtakes asks to be repeated. */
static void test_read_during_truncate_is_busy(void **state)
{
    struct fix *f = *state;
    append_many(f, 1, 100, 1);
    struct ts_seq seq = f->seq;
    struct ts_hash hash = f->hash;
    append_many(f, 5, 100, 2);
    fix_wait(f);
    struct read_result r = {0};
    assert_int_equal(journal_read(f->journal, (struct ts_seq){1}, 10000, read_cb, &r), TS_OK);
    cut_to(f, seq, hash);
    while (!r.done) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(r.err, TS_ERR_BUSY);
    assert_int_equal(r.count, 0);
    assert_true(read_from(f, 1, 10000).last.v == 1);
}

/* Goal: closing writes what is queued, and completes it. */
static void test_journal_close_drains(void **state)
{
    struct fix *f = *state;
    append_many(f, 50, 5000, 1);
    fix_close(f);
    assert_true(f->persisted.v == 50);
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == 50);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup_open, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open_unformatted_is_not_found, setup, teardown),
        T(test_format_twice_is_refused),
        T(test_open_empty_gives_identity),
        T(test_open_unconfirmed_start_is_repeated),
        T(test_open_refused_disk_is_clone),
        T(test_open_twice_is_busy),
        T(test_append_survives_reopen),
        T(test_append_over_segments_survives_reopen),
        T(test_append_out_of_chain_is_refused),
        T(test_append_queue_full_is_refused),
        T(test_truncate_then_append_drops_old_suffix),
        T(test_truncate_over_segments),
        T(test_truncate_hides_late_completions),
        T(test_truncate_wrong_hash_fails_without_marker),
        T(test_persist_record_survives_reopen),
        T(test_read_gives_whole_log_in_order),
        cmocka_unit_test_setup_teardown(test_long_batches_are_read_and_cut, setup_large, teardown),
        T(test_read_during_truncate_is_busy),
        T(test_journal_close_drains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
