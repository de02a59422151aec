/* What the journal makes of a disk that a crash, a bad spot or a mistake left
 * behind (R6, R1.8, R2.11): cut off what was never acknowledged, refuse what was. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "replicator/io/journal_internal.h"
#include "tests/unit/disk_fixture.h"

#define BATCH 1000U /* bytes of a batch in these tests */

static int setup(void **state)
{
    struct fix *f = malloc(sizeof(*f));
    fix_init(f);
    *state = f;
    return fix_format(f) == TS_OK && fix_open(f) == TS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    fix_free(*state);
    free(*state);
    return 0;
}

static void part(char out[TS_PATH_MAX], const struct fix *f, const char *name)
{
    assert_int_equal(ts_path(out, NULL, f->path, "%s", name), TS_OK);
}

static void append_closed(struct fix *f, int n, uint8_t fill)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(fix_append(f, 1, BATCH, fill), TS_OK);
        fix_wait(f); /* a group each */
    }
    fix_close(f);
}

/* Blanks the notes of a segment that know of more than `durable`: as if the power went before they
 * reached the disk. */
static void forget_notes_above(const char *path, uint64_t durable)
{
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (unsigned i = 1; i <= JOURNAL_RING_BLOCKS; i++) {
        uint8_t block[JOURNAL_BLOCK];
        uint8_t blank[JOURNAL_BLOCK] = {0};
        struct journal_note n;
        assert_int_equal(pread(fd, block, sizeof(block), i * JOURNAL_BLOCK), sizeof(block));
        if (journal_note_decode(&n, block, sizeof(block)) == TS_OK && n.durable.v > durable) {
            assert_int_equal(pwrite(fd, blank, sizeof(blank), i * JOURNAL_BLOCK), sizeof(blank));
        }
    }
    (void)close(fd);
}

/* The offset of the record that begins with `seq`, in the first segment. */
static long offset_of(const char *path, uint64_t seq)
{
    uint8_t *data;
    size_t len;
    assert_int_equal(ts_file_read(path, FIX_SEGMENT, &data, &len, NULL), TS_OK);
    size_t at = JOURNAL_DATA_START;
    struct journal_record r = {0};
    while (r.batch.first.v != seq) {
        assert_int_equal(journal_record_decode(&r, data + at, len - at), TS_OK);
        at += r.batch.first.v == seq ? 0 : journal_record_extent(&r);
    }
    free(data);
    return (long)at;
}

/* Whether two files are equal. */
static bool same_files(const char *a, const char *b)
{
    uint8_t *da;
    uint8_t *db;
    size_t la;
    size_t lb;
    assert_int_equal(ts_file_read(a, FIX_SEGMENT, &da, &la, NULL), TS_OK);
    assert_int_equal(ts_file_read(b, FIX_SEGMENT, &db, &lb, NULL), TS_OK);
    bool same = la == lb && memcmp(da, db, la) == 0;
    free(da);
    free(db);
    return same;
}

/* Goal: at any byte of the last, never acknowledged write, damage means a torn write: cut it off,
 * go on behind the durable part. */
static void test_recover_torn_last_record_cuts_it_off(void **state)
{
    struct fix *f = *state;
    char seg[TS_PATH_MAX];
    part(seg, f, "segment-000001");
    append_closed(f, 6, 1);
    forget_notes_above(seg, 5);
    char saved[TS_PATH_MAX];
    assert_int_equal(ts_path(saved, NULL, f->dir, "saved"), TS_OK);
    disk_copy(seg, saved);
    long at = offset_of(seg, 6);
    const long spots[] = {0, 5, 9, 13, 17, 30, 60, 79, 80, 500, 1079};
    for (size_t i = 0; i < sizeof(spots) / sizeof(spots[0]); i++) {
        disk_copy(saved, seg);
        disk_flip(seg, at + spots[i]);
        assert_int_equal(fix_open(f), TS_OK);
        assert_true(f->replayed.v == 5);
        assert_true(journal_info(f->journal)->torn_bytes > 0);
        append_closed(f, 1, 9);
        assert_int_equal(fix_open(f), TS_OK);
        assert_true(f->replayed.v == 6);
        fix_close(f);
    }
    assert_int_equal(fix_open(f), TS_OK);
}

/* Goal: a valid record behind a torn one was never acknowledged either; it must not come back even
 * when the torn one is written again byte for byte. */
static void test_recover_torn_middle_of_group_never_returns(void **state)
{
    struct fix *f = *state;
    char seg[TS_PATH_MAX];
    part(seg, f, "segment-000001");
    append_closed(f, 7, 1);
    forget_notes_above(seg, 5);
    disk_flip(seg, offset_of(seg, 6) + 200);
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == 5);
    append_closed(f, 1, 1); /* the same bytes as the torn one */
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == 6);
}

/* Goal: damage at or before the durable position is told, with place; nothing is changed. */
static void test_recover_corrupt_record_is_refused_untouched(void **state)
{
    struct fix *f = *state;
    char seg[TS_PATH_MAX];
    char saved[TS_PATH_MAX];
    char before[TS_PATH_MAX];
    part(seg, f, "segment-000001");
    assert_int_equal(ts_path(saved, NULL, f->dir, "saved"), TS_OK);
    assert_int_equal(ts_path(before, NULL, f->dir, "before"), TS_OK);
    append_closed(f, 6, 1);
    assert_int_equal(fix_open(f), TS_OK); /* notes that six are durable */
    fix_close(f);
    disk_copy(seg, saved);
    for (uint64_t seq = 1; seq <= 6; seq++) {
        disk_copy(saved, seg);
        disk_flip(seg, offset_of(seg, seq) + 100);
        disk_copy(seg, before);
        assert_int_equal(fix_open(f), TS_ERR_CORRUPT);
        char want[32];
        (void)snprintf(want, sizeof(want), "at entry %llu", (unsigned long long)seq);
        assert_non_null(strstr(f->why.text, want));
        assert_non_null(strstr(f->why.text, "segment 1, byte"));
        assert_true(same_files(seg, before));
    }
    disk_copy(saved, seg);
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == 6);
}

/* Goal: an acknowledged last record is told from a torn one also after a mere kill: the lazy note,
 * written when nothing else comes, says so. */
static void test_recover_lazy_note_tells_corrupt_from_torn(void **state)
{
    struct fix *f = *state;
    char seg[TS_PATH_MAX];
    part(seg, f, "segment-000001");
    assert_int_equal(fix_append(f, 1, BATCH, 1), TS_OK);
    fix_wait(f);
    int watch = inotify_init1(IN_CLOEXEC);
    assert_true(watch >= 0 && inotify_add_watch(watch, seg, IN_MODIFY) >= 0);
    bool noted = false;
    while (!noted) {
        uint8_t *data;
        size_t len;
        assert_int_equal(ts_file_read(seg, FIX_SEGMENT, &data, &len, NULL), TS_OK);
        for (unsigned i = 1; i <= JOURNAL_RING_BLOCKS; i++) {
            struct journal_note n;
            noted |= journal_note_decode(&n, data + i * JOURNAL_BLOCK, JOURNAL_BLOCK) == TS_OK &&
                     n.durable.v == 1;
        }
        free(data);
        uint8_t events[1024];
        assert_true(noted || read(watch, events, sizeof(events)) > 0);
    }
    (void)close(watch);
    fix_close(f);
    disk_flip(seg, offset_of(seg, 1) + 100);
    assert_int_equal(fix_open(f), TS_ERR_CORRUPT);
}

/* Puts bytes of an earlier copy of a file back, from `offset` on. */
static void put_back(const char *path, const char *saved, long offset)
{
    uint8_t *old;
    size_t len;
    assert_int_equal(ts_file_read(saved, FIX_SEGMENT, &old, &len, NULL), TS_OK);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    size_t n = len - (size_t)offset;
    assert_int_equal(pwrite(fd, old + offset, n, offset), n);
    (void)close(fd);
    free(old);
}

/* Goal: after a cut and a shorter overwrite, the rest of the old log behind it is no continuation.
 */
static void test_recover_leftover_after_truncation_is_no_log(void **state)
{
    struct fix *f = *state;
    char seg[TS_PATH_MAX];
    char saved[TS_PATH_MAX];
    part(seg, f, "segment-000001");
    assert_int_equal(ts_path(saved, NULL, f->dir, "saved"), TS_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fix_append(f, 1, BATCH, 1), TS_OK);
        fix_wait(f);
    }
    struct ts_seq seq = f->seq;
    struct ts_hash hash = f->hash;
    append_closed(f, 4, 2);
    disk_copy(seg, saved);
    assert_int_equal(fix_open(f), TS_OK);
    assert_int_equal(journal_truncate(f->journal, seq, hash), TS_OK);
    f->seq = seq;
    f->hash = hash;
    append_closed(f, 1, 3);
    /* As if the zeros behind the new record had never reached the disk. */
    long behind = offset_of(seg, 4) + JOURNAL_RECORD_HEADER + BATCH;
    put_back(seg, saved, behind);
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == 4);
    assert_true(ts_hash_eq(f->replayed_hash, f->hash));
    assert_true(journal_info(f->journal)->torn_bytes > 0);
}

/* Goal: a crash after a cut's note and before its zeros: the old tail may come back (it was never
 * reported as cut), whole or in part, but it is no damage. */
static void test_recover_crash_within_truncation_is_no_damage(void **state)
{
    struct fix *f = *state;
    char seg[TS_PATH_MAX];
    char saved[TS_PATH_MAX];
    part(seg, f, "segment-000001");
    assert_int_equal(ts_path(saved, NULL, f->dir, "saved"), TS_OK);
    assert_int_equal(fix_append(f, 1, BATCH, 1), TS_OK);
    fix_wait(f);
    struct ts_seq seq = f->seq;
    struct ts_hash hash = f->hash;
    append_closed(f, 3, 2);
    disk_copy(seg, saved);
    long second = offset_of(seg, 2);
    long third = offset_of(seg, 3);
    assert_int_equal(fix_open(f), TS_OK);
    assert_int_equal(journal_truncate(f->journal, seq, hash), TS_OK);
    fix_close(f);
    put_back(seg, saved, third); /* the zeros reached the first cut record only */
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == 1);
    assert_int_equal(journal_truncate(f->journal, seq, hash), TS_OK);
    fix_close(f);
    put_back(seg, saved, second); /* none of them did */
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == 4);
}

static void fill_segments(struct fix *f)
{
    for (int i = 0; i < 20; i++) {
        assert_int_equal(fix_append(f, 1, 10000, (uint8_t)i), TS_OK);
    }
    fix_wait(f);
    fix_close(f);
}

/* Goal: any missing part makes the disk a blank or a damaged one, never an empty log (R1.8). */
static void test_open_missing_part_is_refused(void **state)
{
    struct fix *f = *state;
    fill_segments(f);
    const struct {
        const char *name;
        enum ts_err err;
    } parts[] = {{"record", TS_ERR_NOT_FOUND},
                 {"segment-000001", TS_ERR_CORRUPT},
                 {"segment-000002", TS_ERR_CORRUPT},
                 {"segment-000003", TS_ERR_CORRUPT}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        char path[TS_PATH_MAX];
        char away[TS_PATH_MAX];
        part(path, f, parts[i].name);
        assert_int_equal(ts_path(away, NULL, f->dir, "away"), TS_OK);
        assert_int_equal(rename(path, away), 0);
        assert_int_equal(fix_open(f), parts[i].err);
        bool first = i == 1; /* told by what is left */
        assert_non_null(strstr(f->why.text, first ? "begins behind entry" : parts[i].name));
        assert_int_equal(rename(away, path), 0);
    }
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(f->replayed.v == 20);
}

/* Goal: the log says that it goes on in a segment that is gone, with all behind it. */
static void test_open_missing_last_segments_is_corrupt(void **state)
{
    struct fix *f = *state;
    fill_segments(f);
    for (int i = 9; i >= 2; i--) {
        char path[TS_PATH_MAX];
        assert_int_equal(ts_path(path, NULL, f->path, "segment-%06d", i), TS_OK);
        (void)unlink(path);
    }
    assert_int_equal(fix_open(f), TS_ERR_CORRUPT);
    assert_non_null(strstr(f->why.text, "segment 2"));
}

/* Where a segment's end record stands. */
static long end_record_of(const char *path)
{
    uint8_t *data;
    size_t len;
    struct journal_record r = {.kind = JOURNAL_KIND_BATCH};
    size_t at = JOURNAL_DATA_START;
    size_t end = at;
    assert_int_equal(ts_file_read(path, FIX_SEGMENT, &data, &len, NULL), TS_OK);
    while (r.kind != JOURNAL_KIND_END) {
        end = at;
        assert_int_equal(journal_record_decode(&r, data + at, len - at), TS_OK);
        at += journal_record_extent(&r);
    }
    free(data);
    return (long)end;
}

/* Goal: a damaged end record hides the first group of the next segment, which was acknowledged;
 * that there is a note in that segment tells it from a log that ends. */
static void test_open_damaged_end_record_is_corrupt(void **state)
{
    struct fix *f = *state;
    char path[TS_PATH_MAX];
    for (int i = 0; i < 3; i++) { /* two fit into a segment */
        assert_int_equal(fix_append(f, 1, 28000, 1), TS_OK);
        fix_wait(f);
    }
    fix_close(f);
    part(path, f, "segment-000002");
    forget_notes_above(path, 2);
    part(path, f, "segment-000001");
    disk_flip(path, end_record_of(path) + 20);
    assert_int_equal(fix_open(f), TS_ERR_CORRUPT);
    assert_non_null(strstr(f->why.text, "segment 2 was written after it"));
}

/* Goal: a segment of another disk, group or place is refused by name. */
static void test_open_foreign_segment_is_corrupt(void **state)
{
    struct fix *f = *state;
    fill_segments(f);
    char one[TS_PATH_MAX];
    char two[TS_PATH_MAX];
    char saved[TS_PATH_MAX];
    char other[TS_PATH_MAX];
    char other_one[TS_PATH_MAX];
    part(one, f, "segment-000001");
    part(two, f, "segment-000002");
    assert_int_equal(ts_path(saved, NULL, f->dir, "saved"), TS_OK);
    assert_int_equal(ts_path(other, NULL, f->dir, "other"), TS_OK);
    assert_int_equal(ts_path(other_one, NULL, other, "segment-000001"), TS_OK);
    struct journal_options o = {.segment_bytes = FIX_SEGMENT};
    assert_int_equal(journal_format(other, (struct ts_incarnation){78}, (struct ts_group_id){3},
                                    (struct ts_bytes){NULL, 0}, &o, NULL),
                     TS_OK);
    disk_copy(one, saved);
    disk_copy(other_one, one);
    assert_int_equal(fix_open(f), TS_ERR_CORRUPT);
    assert_non_null(strstr(f->why.text, "belongs to incarnation"));
    disk_copy(two, one);
    assert_int_equal(fix_open(f), TS_ERR_CORRUPT);
    assert_non_null(strstr(f->why.text, "says that it is segment 2"));
    disk_copy(saved, one);
    disk_flip(one, 20);
    assert_int_equal(fix_open(f), TS_ERR_CORRUPT);
    assert_non_null(strstr(f->why.text, "header"));
    disk_copy(saved, one);
    assert_int_equal(truncate(one, FIX_SEGMENT / 2), 0);
    assert_int_equal(fix_open(f), TS_ERR_CORRUPT);
    disk_copy(saved, one);
    assert_int_equal(fix_open(f), TS_OK);
}

/* Goal: an older copy of a segment put back (each record in it valid) is noticed. */
static void test_open_rolled_back_segment_is_corrupt(void **state)
{
    struct fix *f = *state;
    char seg[TS_PATH_MAX];
    char saved[TS_PATH_MAX];
    part(seg, f, "segment-000001");
    assert_int_equal(ts_path(saved, NULL, f->dir, "saved"), TS_OK);
    append_closed(f, 2, 1);
    disk_copy(seg, saved);
    assert_int_equal(fix_open(f), TS_OK);
    fill_segments(f);
    disk_copy(saved, seg);
    assert_int_equal(fix_open(f), TS_ERR_CORRUPT);
}

/* Goal: half-prepared segments and blank spares do no harm. */
static void test_open_unfinished_spare_is_removed(void **state)
{
    struct fix *f = *state;
    append_closed(f, 3, 1);
    char path[TS_PATH_MAX];
    part(path, f, "segment-000009.new");
    assert_int_equal(ts_file_replace(path, "x", 1, 0600, NULL), TS_OK);
    assert_int_equal(fix_open(f), TS_OK);
    assert_int_equal(access(path, F_OK), -1);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(fix_append(f, 1, 9000, 1), TS_OK);
    }
    fix_wait(f);
    assert_int_equal(f->failed_calls, 0);
}

/* Goal: one bad copy of the replica record is repaired, all four bad ones are a lost disk. */
static void test_open_damaged_record_is_repaired_or_refused(void **state)
{
    struct fix *f = *state;
    fix_close(f);
    char path[TS_PATH_MAX];
    part(path, f, "record");
    disk_flip(path, 50);
    assert_int_equal(fix_open(f), TS_OK);
    assert_int_equal(journal_info(f->journal)->repaired, 1);
    fix_close(f);
    for (long i = 0; i < 4; i++) {
        disk_flip(path, i * 4096 + 42);
    }
    assert_int_equal(fix_open(f), TS_ERR_CORRUPT);
}

static enum ts_err refuse(void *arg, const struct journal_batch *b, struct ts_seq commit,
                          struct ts_why *why)
{
    (void)arg;
    (void)commit;
    return b->first.v == 2 ? ts_why(why, TS_ERR_MALFORMED, "entry 2 is not to my taste") : TS_OK;
}

/* Goal: the replica may refuse what it finds; open gives its error and its words. */
static void test_open_replay_error_is_returned(void **state)
{
    struct fix *f = *state;
    append_closed(f, 3, 1);
    struct journal_callbacks cb = {.persisted = fix_persisted, .arg = f};
    assert_int_equal(journal_open(&f->journal, &f->loop, f->path, NULL, &cb, refuse, NULL, &f->why),
                     TS_ERR_MALFORMED);
    assert_string_equal(f->why.text, "entry 2 is not to my taste");
    assert_int_equal(fix_open(f), TS_OK);
    assert_true(journal_info(f->journal)->start_number == 1); /* a refused open is no start */
}

/* Goal: one failed write ends the journal now and for ever (R2.11). */
static void test_write_failure_abandons_the_disk(void **state)
{
    struct fix *f = *state;
    assert_int_equal(fix_append(f, 1, BATCH, 1), TS_OK);
    fix_wait(f);
    journal_lock(f->journal); /* the segment prepared ahead is not to fail first */
    while (f->journal->spare.state == JOURNAL_SPARE_WANTED) {
        journal_await_spare(f->journal);
    }
    journal_unlock(f->journal);
    /* Writes behind this size fail from now on. */
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit low = {.rlim_cur = JOURNAL_DATA_START, .rlim_max = old.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_int_equal(fix_append(f, 1, BATCH, 2), TS_OK);
    fix_wait(f);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(f->failed_calls, 1);
    assert_true(f->persisted.v == 1);
    assert_int_equal(fix_append(f, 1, BATCH, 2), TS_ERR_CLOSED);
    assert_int_equal(journal_persist_record(f->journal, (struct ts_bytes){NULL, 0}, 1),
                     TS_ERR_CLOSED);
    fix_close(f);
    assert_int_equal(f->failed_calls, 1);
    assert_int_equal(fix_open(f), TS_ERR_ABANDONED);
    assert_non_null(strstr(f->why.text, "cannot write the journal"));
    f->journal = NULL;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_recover_torn_last_record_cuts_it_off),
        T(test_recover_torn_middle_of_group_never_returns),
        T(test_recover_corrupt_record_is_refused_untouched),
        T(test_recover_lazy_note_tells_corrupt_from_torn),
        T(test_recover_leftover_after_truncation_is_no_log),
        T(test_recover_crash_within_truncation_is_no_damage),
        T(test_open_missing_part_is_refused),
        T(test_open_missing_last_segments_is_corrupt),
        T(test_open_damaged_end_record_is_corrupt),
        T(test_open_foreign_segment_is_corrupt),
        T(test_open_rolled_back_segment_is_corrupt),
        T(test_open_unfinished_spare_is_removed),
        T(test_open_damaged_record_is_repaired_or_refused),
        T(test_open_replay_error_is_returned),
        T(test_write_failure_abandons_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
