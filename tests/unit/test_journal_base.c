/* A journal that does not begin with entry 1: what comes before is in a snapshot, and was dropped
 * here. Whatever a crash leaves of that is opened again; what does not fit the snapshot is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "replicator/io/journal_internal.h"
#include "tests/unit/disk_fixture.h"

#define BATCHES 60
#define BATCH 4000U /* a dozen in a segment */

struct base_fix {
    struct fix f;
    struct journal_place at[BATCHES + 1]; /* the end of each batch */
    struct journal_start from;            /* what the snapshot has */
};

static enum ts_err begin(void *arg, const char *dir, const struct journal_info *info,
                         struct journal_start *from, struct ts_why *why)
{
    struct base_fix *b = arg;
    (void)why;
    assert_string_equal(dir, b->f.path);
    assert_true(info->incarnation.v == 77 && info->group.v == 3);
    *from = b->from;
    b->f.replayed = b->from.at.seq;
    b->f.replayed_hash = b->from.at.hash;
    return TS_OK;
}

static enum ts_err open_with(struct base_fix *b, struct journal_start from)
{
    struct fix *f = &b->f;
    struct journal_options o = {.segment_bytes = f->segment_bytes, .begin = begin};
    struct journal_callbacks cb = {.persisted = fix_persisted,
                                   .truncated = fix_truncated,
                                   .record_persisted = fix_record,
                                   .failed = fix_failed,
                                   .arg = f};
    b->from = from;
    f->closed = false;
    enum ts_err err = journal_open(&f->journal, &f->loop, f->path, &o, &cb, fix_replay, b, &f->why);
    if (err == TS_OK) {
        f->seq = journal_info(f->journal)->last;
        f->hash = journal_info(f->journal)->hash;
        f->persisted = f->seq;
    }
    return err;
}

/* As with a snapshot of everything up to `from`. */
static enum ts_err open_from(struct base_fix *b, struct journal_place from)
{
    return open_with(b, (struct journal_start){from, false});
}

static int setup(void **state)
{
    struct base_fix *b = calloc(1, sizeof(*b));
    struct fix *f = &b->f;
    fix_init(f);
    *state = b;
    if (fix_format(f) != TS_OK || open_from(b, b->at[0]) != TS_OK) {
        return -1;
    }
    for (int i = 1; i <= BATCHES; i++) {
        assert_int_equal(fix_append(f, 2, BATCH, (uint8_t)i), TS_OK);
        fix_wait(f);
        b->at[i] = (struct journal_place){f->seq, f->hash, {1}};
    }
    return 0;
}

static int teardown(void **state)
{
    struct base_fix *b = *state;
    fix_free(&b->f);
    free(b);
    return 0;
}

static bool there(const struct base_fix *b, uint64_t segment)
{
    char path[TS_PATH_MAX];
    assert_int_equal(journal_segment_path(path, b->f.path, segment, NULL), TS_OK);
    return access(path, F_OK) == 0;
}

static void segment(char out[TS_PATH_MAX], const struct base_fix *b, uint64_t number)
{
    assert_int_equal(journal_segment_path(out, b->f.path, number, NULL), TS_OK);
}

/* Drops what a snapshot of batch `i` allows, and waits for it. */
static void drop(struct base_fix *b, int i)
{
    struct fix *f = &b->f;
    static uint64_t token = 1000;
    assert_int_equal(journal_drop_before(f->journal, b->at[i].seq), TS_OK);
    token++;
    assert_int_equal(journal_persist_record(f->journal, (struct ts_bytes){NULL, 0}, token), TS_OK);
    while (f->token != token && f->failed_calls == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(f->failed_calls, 0);
}

struct read_result {
    bool done;
    enum ts_err err;
    struct ts_seq first;
};

static void on_read(void *arg, enum ts_err err, const struct journal_batch *batches, size_t count,
                    const char *text)
{
    struct read_result *r = arg;
    (void)text;
    r->done = true;
    r->err = err;
    r->first = count > 0 ? batches[0].first : (struct ts_seq){0};
}

/* Goal: whole segments go, the one with the next entry stays; a reader of what is gone is told so,
 * and the log goes on and is found again. */
static void test_drop_keeps_what_follows(void **state)
{
    struct base_fix *b = *state;
    struct fix *f = &b->f;
    drop(b, 30);
    assert_false(there(b, 1));
    assert_false(there(b, 2));
    assert_true(there(b, 3));
    struct read_result r = {0};
    assert_int_equal(journal_read(f->journal, (struct ts_seq){1}, 1000, on_read, &r), TS_ERR_GONE);
    assert_int_equal(journal_read(f->journal, (struct ts_seq){61}, 1000, on_read, &r), TS_OK);
    while (!r.done) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_true(r.err == TS_OK && r.first.v == 61);
    assert_int_equal(fix_append(f, 2, BATCH, 99), TS_OK);
    fix_wait(f);
    fix_close(f);
    assert_int_equal(open_from(b, b->at[30]), TS_OK);
    assert_true(f->replayed.v == 2 * (BATCHES + 1));
    assert_true(journal_info(f->journal)->base.v > 0);
    assert_true(journal_info(f->journal)->base.v <= 60);
    assert_int_equal(journal_read(f->journal, (struct ts_seq){1}, 1000, on_read, &r), TS_ERR_GONE);
}

/* Goal: the newest segment stays whatever the snapshot has, also over starts, and the log goes on.
 */
static void test_drop_all_keeps_the_newest_segment(void **state)
{
    struct base_fix *b = *state;
    struct fix *f = &b->f;
    drop(b, BATCHES);
    fix_close(f);
    assert_int_equal(open_from(b, b->at[BATCHES]), TS_OK);
    assert_true(f->seq.v == 2 * BATCHES);
    drop(b, BATCHES);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(fix_append(f, 2, BATCH, 7), TS_OK);
        fix_wait(f);
    }
    fix_close(f);
    assert_int_equal(open_from(b, b->at[BATCHES]), TS_OK);
    assert_true(f->replayed.v == 2 * BATCHES + 60);
}

/* Goal: a log that begins behind the snapshot, ends before it, or has another entry there is
 * refused with a sentence, and left as it is. */
static void test_open_not_fitting_the_snapshot_is_refused(void **state)
{
    struct base_fix *b = *state;
    struct fix *f = &b->f;
    drop(b, 30);
    fix_close(f);
    assert_int_equal(open_from(b, b->at[0]), TS_ERR_CORRUPT);
    assert_non_null(strstr(f->why.text, "a snapshot is missing"));
    struct journal_place wrong = b->at[40];
    wrong.hash.lo ^= 1;
    assert_int_equal(open_from(b, wrong), TS_ERR_CORRUPT);
    assert_non_null(strstr(f->why.text, "does not fit its snapshot"));
    wrong = b->at[40];
    wrong.seq.v--;
    assert_int_equal(open_from(b, wrong), TS_ERR_CORRUPT);
    wrong.seq.v = 2 * BATCHES + 2;
    assert_int_equal(open_from(b, wrong), TS_ERR_CORRUPT);
    assert_int_equal(open_from(b, b->at[40]), TS_OK);
    assert_true(f->replayed.v == 2 * BATCHES);
}

/* Goal: lower segments go first, so a gap is no crash in the middle of a drop, and is refused;
 * without it, whatever lies before what the snapshot has is opened. */
static void test_open_with_a_gap_is_refused(void **state)
{
    struct base_fix *b = *state;
    char second[TS_PATH_MAX];
    char saved[TS_PATH_MAX];
    segment(second, b, 2);
    assert_int_equal(ts_path(saved, NULL, b->f.dir, "saved"), TS_OK);
    disk_copy(second, saved);
    drop(b, 50);
    assert_false(there(b, 3));
    fix_close(&b->f);
    assert_int_equal(open_from(b, b->at[50]), TS_OK);
    fix_close(&b->f);
    disk_copy(saved, second);
    assert_int_equal(open_from(b, b->at[50]), TS_ERR_CORRUPT);
    assert_int_equal(unlink(second), 0);
    assert_int_equal(open_from(b, b->at[50]), TS_OK);
}

/* Goal: a base that a torn first group left out is written again while it can be told; one that is
 * damaged where the log begins is refused. */
static void test_open_base_is_mended_or_refused(void **state)
{
    struct base_fix *b = *state;
    char path[TS_PATH_MAX];
    fix_close(&b->f);
    segment(path, b, 3);
    disk_flip(path, JOURNAL_BASE_AT + 20);
    assert_int_equal(open_from(b, b->at[0]), TS_OK);
    drop(b, 30);
    assert_true(there(b, 3) && !there(b, 2));
    fix_close(&b->f);
    assert_int_equal(open_from(b, b->at[30]), TS_OK);
    fix_close(&b->f);
    disk_flip(path, JOURNAL_BASE_AT + 20);
    assert_int_equal(open_from(b, b->at[30]), TS_ERR_CORRUPT);
    assert_non_null(strstr(b->f.why.text, "does not say where the log begins"));
    disk_flip(path, JOURNAL_BASE_AT + 20);
    assert_int_equal(open_from(b, b->at[30]), TS_OK);
}

/* Goal: what cannot be told any more is not made the beginning of the log. */
static void test_drop_up_to_a_damaged_base_drops_nothing(void **state)
{
    struct base_fix *b = *state;
    char path[TS_PATH_MAX];
    segment(path, b, 3);
    disk_flip(path, JOURNAL_BASE_AT + 20);
    drop(b, 30);
    assert_true(there(b, 1));
    fix_close(&b->f);
    assert_int_equal(open_from(b, b->at[0]), TS_OK);
}

/* Goal: what follows the snapshot may be cut, down to where the log begins. */
static void test_truncate_to_the_base(void **state)
{
    struct base_fix *b = *state;
    struct fix *f = &b->f;
    drop(b, 30);
    fix_close(f);
    assert_int_equal(open_from(b, b->at[30]), TS_OK);
    struct ts_seq base = journal_info(f->journal)->base;
    struct journal_place to = b->at[base.v / 2];
    assert_int_equal(journal_truncate(f->journal, to.seq, to.hash), TS_OK);
    while (f->truncated_calls == 0 && f->failed_calls == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(f->failed_calls, 0);
    f->seq = to.seq;
    f->hash = to.hash;
    assert_int_equal(fix_append(f, 2, BATCH, 5), TS_OK);
    fix_wait(f);
    fix_close(f);
    assert_int_equal(open_from(b, to), TS_OK);
    assert_true(f->replayed.v == base.v + 2);
}

/* The log begins behind `at`, and nothing else is there; it goes on, and is found again. */
static void expect_new_log(struct base_fix *b, struct journal_place at)
{
    struct fix *f = &b->f;
    assert_true(journal_info(f->journal)->base.v == at.seq.v);
    assert_true(f->seq.v == at.seq.v && ts_hash_eq(f->hash, at.hash));
    assert_int_equal(fix_append(f, 2, BATCH, 3), TS_OK);
    fix_wait(f);
    fix_close(f);
    assert_int_equal(open_with(b, (struct journal_start){at, true}), TS_OK);
    assert_true(f->seq.v == at.seq.v + 2);
    assert_false(there(b, 1));
}

/* Goal: an installed snapshot replaces a log that ends before it, or is another one; a log that
 * goes through its place is kept. */
static void test_open_installed_snapshot_replaces_the_log(void **state)
{
    struct base_fix *b = *state;
    struct journal_start from = {b->at[40], true};
    fix_close(&b->f);
    assert_int_equal(open_with(b, from), TS_OK);
    assert_true(b->f.seq.v == 2 * BATCHES); /* it goes through it */
    assert_true(there(b, 1));
    fix_close(&b->f);
    from.at = (struct journal_place){{5000}, {7, 8}, {3}};
    assert_int_equal(open_from(b, from.at), TS_ERR_CORRUPT);
    assert_int_equal(open_with(b, from), TS_OK);
    expect_new_log(b, from.at);
}

static void test_open_installed_snapshot_replaces_another_log(void **state)
{
    struct base_fix *b = *state;
    struct journal_start from = {b->at[40], true};
    fix_close(&b->f);
    from.at.hash.lo ^= 1;
    assert_int_equal(open_with(b, from), TS_OK);
    expect_new_log(b, from.at);
}

/* The new beginning is there, and of the old log the `gone` lowest segments are not. False: there
 * are no more than that. */
static bool leave_half_a_replacement(struct base_fix *b, struct journal_place from, uint64_t gone)
{
    char path[TS_PATH_MAX];
    uint64_t last = 1;
    while (there(b, last + 1)) {
        last++;
    }
    struct journal_header h = {
        .incarnation = {77}, .group = {3}, .number = last + 1, .size = b->f.segment_bytes};
    assert_int_equal(journal_segment_create(b->f.path, &h, &from, NULL, NULL), TS_OK);
    for (uint64_t n = 1; n <= gone && n <= last; n++) {
        segment(path, b, n);
        assert_int_equal(unlink(path), 0);
    }
    return gone <= last;
}

/* Goal: a crash between the new beginning and the end of the old log leaves both, and the next
 * start does the same again: also when of the old one only the segment is left that was prepared
 * ahead, which says nothing of where a log begins. */
static void test_open_after_a_replacement_that_broke_off(void **state)
{
    bool more = true;
    for (uint64_t gone = 0; more; gone++) {
        struct base_fix *b = *state;
        struct journal_start from = {{{5000}, {7, 8}, {3}}, true};
        fix_close(&b->f);
        more = leave_half_a_replacement(b, from.at, gone);
        assert_int_equal(open_with(b, from), TS_OK);
        expect_new_log(b, from.at);
        teardown(state);
        setup(state);
    }
}

static void test_open_after_half_a_replacement(void **state)
{
    struct base_fix *b = *state;
    struct journal_start from = {{{5000}, {7, 8}, {3}}, true};
    char path[TS_PATH_MAX];
    fix_close(&b->f);
    uint64_t last = 1;
    while (there(b, last + 1)) {
        last++;
    }
    struct journal_header h = {
        .incarnation = {77}, .group = {3}, .number = last + 1, .size = b->f.segment_bytes};
    assert_int_equal(journal_segment_create(b->f.path, &h, &from.at, NULL, NULL), TS_OK);
    segment(path, b, 1);
    assert_int_equal(unlink(path), 0);
    /* The base of what is the first one now lies before the snapshot: it fits, and is replaced. */
    assert_int_equal(open_with(b, from), TS_OK);
    expect_new_log(b, from.at);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_drop_keeps_what_follows),
        T(test_drop_all_keeps_the_newest_segment),
        T(test_open_not_fitting_the_snapshot_is_refused),
        T(test_open_with_a_gap_is_refused),
        T(test_open_base_is_mended_or_refused),
        T(test_drop_up_to_a_damaged_base_drops_nothing),
        T(test_truncate_to_the_base),
        T(test_open_installed_snapshot_replaces_the_log),
        T(test_open_installed_snapshot_replaces_another_log),
        T(test_open_after_half_a_replacement),
        T(test_open_after_a_replacement_that_broke_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
