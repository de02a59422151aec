/* Looking through a disk for damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replicator/io/journal_format.h"
#include "replicator/io/snapshot_file.h"
#include "tests/unit/disk_fixture.h"

#define ENTRY_BYTES 5000
#define ENTRIES 60 /* more than two segments */

static int setup_journal(void **state)
{
    struct fix *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    fix_init(f);
    assert_int_equal(fix_format(f), TS_OK);
    assert_int_equal(fix_open(f), TS_OK);
    fix_confirm(f);
    for (int i = 0; i < ENTRIES; i++) {
        assert_int_equal(fix_append(f, 1, ENTRY_BYTES, (uint8_t)(1 + i)), TS_OK);
        fix_wait(f);
    }
    *state = f;
    return 0;
}

static int teardown_journal(void **state)
{
    struct fix *f = *state;
    fix_free(f);
    free(f);
    return 0;
}

/* Steps of this many bytes, to the end or to the first flaw. Gives how many. */
static unsigned pass(struct fix *f, size_t step, struct journal_flaw *flaw, enum ts_err *err)
{
    struct journal_scrub *s = journal_scrub_begin(f->journal);
    assert_non_null(s);
    unsigned steps = 0;
    bool more = true;
    while (more) {
        *err = journal_scrub_step(s, step, &more);
        assert_true(journal_scrub_counts(s));
        steps++;
    }
    *flaw = *journal_scrub_flaw(s);
    if (*err == TS_OK) {
        assert_true(journal_scrub_bytes(s) > (uint64_t)ENTRIES * ENTRY_BYTES);
    }
    journal_scrub_end(s);
    return steps;
}

/* Goal: a whole log is whole, in however many steps. */
static void test_scrub_whole_log(void **state)
{
    struct journal_flaw flaw;
    enum ts_err err;
    assert_true(pass(*state, 20000, &flaw, &err) > 10);
    assert_int_equal(err, TS_OK);
    assert_int_equal(pass(*state, 100U << 20, &flaw, &err), 1);
    assert_int_equal(err, TS_OK);
    assert_int_equal(flaw.after.seq.v, ENTRIES);
}

static void flip(const struct fix *f, unsigned segment, long at)
{
    char path[TS_PATH_MAX];
    assert_int_equal(ts_path(path, NULL, f->path, "segment-%06u", segment), TS_OK);
    disk_flip(path, at);
}

/* Goal: one bit of a batch is found, with its place. */
static void test_scrub_flipped_bit_is_found(void **state)
{
    struct fix *f = *state;
    struct journal_flaw flaw;
    enum ts_err err;
    flip(f, 1, JOURNAL_DATA_START + JOURNAL_RECORD_HEADER + 10 * 5120 + 100);
    (void)pass(f, 20000, &flaw, &err);
    assert_int_equal(err, TS_ERR_CORRUPT);
    assert_int_equal(flaw.after.seq.v, 10);
    assert_int_equal(flaw.segment, 1);
    assert_int_equal(flaw.offset, JOURNAL_DATA_START + 10 * 5120);
    assert_non_null(strstr(flaw.why.text, "is damaged"));
    assert_null(strstr(flaw.why.text, "rebuilt")); /* whoever obeyed gave up redundancy for it */
}

/* Goal: so is one of a segment's header, and of what says where the log stands before it. */
static void test_scrub_flipped_beginning_is_found(void **state)
{
    struct fix *f = *state;
    struct journal_flaw flaw;
    enum ts_err err;
    flip(f, 3, JOURNAL_BASE_AT + 40);
    (void)pass(f, 20000, &flaw, &err);
    assert_int_equal(err, TS_ERR_CORRUPT);
    assert_int_equal(flaw.segment, 3);
    assert_int_equal(flaw.offset, JOURNAL_DATA_START);
    flip(f, 2, 20);
    (void)pass(f, 20000, &flaw, &err);
    assert_int_equal(err, TS_ERR_CORRUPT);
    assert_int_equal(flaw.segment, 2);
    assert_null(strstr(flaw.why.text, "rebuilt"));
}

static void drop_up_to(struct fix *f, uint64_t seq)
{
    assert_int_equal(journal_drop_before(f->journal, (struct ts_seq){seq}), TS_OK);
    assert_int_equal(fix_append(f, 1, 10, 1), TS_OK); /* told after it */
    fix_wait(f);
}

/* Goal: what is dropped or cut under the scrubber's hands says nothing. */
static void test_scrub_of_what_goes_does_not_count(void **state)
{
    struct fix *f = *state;
    bool more;
    struct journal_scrub *s = journal_scrub_begin(f->journal);
    assert_non_null(s);
    assert_int_equal(journal_scrub_step(s, 10000, &more), TS_OK);
    assert_true(journal_scrub_counts(s));
    drop_up_to(f, 45);
    assert_false(journal_scrub_counts(s));
    journal_scrub_end(s);
    s = journal_scrub_begin(f->journal);
    assert_non_null(s);
    assert_int_equal(journal_scrub_step(s, 100U << 20, &more), TS_OK);
    assert_true(journal_scrub_counts(s));
    assert_int_equal(journal_truncate(f->journal, f->seq, f->hash), TS_OK);
    assert_false(journal_scrub_counts(s));
    journal_scrub_end(s);
    assert_null(journal_scrub_begin(f->journal)); /* until the cut is durable */
    while (f->truncated_calls == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
}

/* ---- snapshots ---- */

/* Looks through the newest below. */
static enum ts_err look(const struct fix *f, struct ts_seq *seq, unsigned *steps)
{
    struct snapshot_scrub *s = NULL;
    struct ts_why why;
    bool more = true;
    *steps = 0;
    enum ts_err err = snapshot_scrub_begin(&s, f->path, *seq, journal_info(f->journal)->incarnation,
                                           journal_info(f->journal)->group, seq, &why);
    while (err == TS_OK && s != NULL && more) {
        err = snapshot_scrub_step(s, 4000, &more, &why);
        (*steps)++;
    }
    if (s != NULL) {
        assert_true(snapshot_scrub_bytes(s) > 0);
        snapshot_scrub_end(s);
    }
    return err;
}

/* Goal: each snapshot is looked through, the newest first; one flipped byte is found anywhere. */
static void test_snapshot_scrub_damage_is_found(void **state)
{
    struct fix *f = *state;
    struct ts_seq seq = {UINT64_MAX};
    unsigned steps;
    assert_int_equal(look(f, &seq, &steps), TS_OK);
    assert_int_equal(seq.v, 0);
    (void)fix_snapshot(f, 20);
    (void)fix_snapshot(f, 40);
    seq.v = UINT64_MAX;
    assert_int_equal(look(f, &seq, &steps), TS_OK);
    assert_int_equal(seq.v, 40);
    assert_true(steps > 3);
    assert_int_equal(look(f, &seq, &steps), TS_OK);
    assert_int_equal(seq.v, 20);
    char path[TS_PATH_MAX];
    assert_int_equal(ts_path(path, NULL, f->path, "snapshot-%020d", 40), TS_OK);
    static const long PLACES[] = {10, 700, 5000};
    for (size_t i = 0; i < sizeof(PLACES) / sizeof(PLACES[0]); i++) {
        disk_flip(path, PLACES[i]);
        seq.v = UINT64_MAX;
        assert_int_equal(look(f, &seq, &steps), TS_ERR_CORRUPT);
        assert_int_equal(seq.v, 40);
        disk_flip(path, PLACES[i]);
    }
    struct ts_why why;
    assert_int_equal(snapshot_remove(f->path, (struct ts_seq){40}, &why), TS_OK);
    assert_int_equal(snapshot_remove(f->path, (struct ts_seq){40}, &why), TS_OK);
    seq.v = UINT64_MAX;
    assert_int_equal(look(f, &seq, &steps), TS_OK);
    assert_int_equal(seq.v, 20);
}

#define WITH_JOURNAL(t) cmocka_unit_test_setup_teardown(t, setup_journal, teardown_journal)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_JOURNAL(test_scrub_whole_log),
        WITH_JOURNAL(test_scrub_flipped_bit_is_found),
        WITH_JOURNAL(test_scrub_flipped_beginning_is_found),
        WITH_JOURNAL(test_scrub_of_what_goes_does_not_count),
        WITH_JOURNAL(test_snapshot_scrub_damage_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
