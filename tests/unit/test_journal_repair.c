/* Writing again what was damaged in the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "replicator/io/journal_internal.h"
#include "tests/unit/disk_fixture.h"

#define ENTRY_BYTES 5000
#define RECORD_BYTES 5120 /* padded */
#define ENTRIES 60        /* several segments */
#define SEGMENTS_MAX 9

struct batch {
    struct journal_batch b;
    uint8_t bytes[ENTRY_BYTES];
};

#define SMALL_BATCHES 4096U /* as many as one GIVE has at most */
#define SMALL_BYTES 40U

struct repair {
    struct fix f;
    struct journal *j;
    struct batch log[ENTRIES + 1]; /* by seq */
    struct journal_batch small[SMALL_BATCHES];
    uint8_t small_bytes[SMALL_BATCHES][SMALL_BYTES];
    unsigned told;
    bool mended;
};

static void on_repaired(void *arg, bool mended)
{
    struct repair *x = arg;
    x->told++;
    x->mended = mended;
}

static void on_persisted(void *arg, struct ts_seq seq)
{
    fix_persisted(&((struct repair *)arg)->f, seq);
}

static void on_truncated(void *arg, struct ts_seq after)
{
    fix_truncated(&((struct repair *)arg)->f, after);
}

static void on_record(void *arg, uint64_t token)
{
    fix_record(&((struct repair *)arg)->f, token);
}

static void on_failed(void *arg, enum ts_err err, const char *text)
{
    fix_failed(&((struct repair *)arg)->f, err, text);
}

static enum ts_err open_journal(struct repair *x)
{
    struct journal_options o = {.segment_bytes = x->f.segment_bytes};
    struct journal_callbacks cb = {.persisted = on_persisted,
                                   .truncated = on_truncated,
                                   .record_persisted = on_record,
                                   .repaired = on_repaired,
                                   .failed = on_failed,
                                   .arg = x};
    enum ts_err err =
        journal_open(&x->f.journal, &x->f.loop, x->f.path, &o, &cb, NULL, NULL, &x->f.why);
    x->j = x->f.journal;
    return err;
}

static void append(struct repair *x, uint64_t seq)
{
    struct batch *b = &x->log[seq];
    memset(b->bytes, (int)(1 + seq), ENTRY_BYTES);
    memcpy(b->bytes, &seq, sizeof(seq)); /* each is another one */
    b->b = (struct journal_batch){.epoch = {1},
                                  .first = {seq},
                                  .last = {seq},
                                  .prev = x->log[seq - 1].b.hash,
                                  .hash = ts_hash_bytes(b->bytes, ENTRY_BYTES),
                                  .bytes = {b->bytes, ENTRY_BYTES}};
    assert_int_equal(journal_append(x->j, &b->b, (struct ts_seq){0}), TS_OK);
    while (x->f.persisted.v < seq) {
        (void)uv_run(&x->f.loop, UV_RUN_ONCE);
    }
}

static int setup(void **state, uint32_t segment_bytes)
{
    struct repair *x = calloc(1, sizeof(*x));
    assert_non_null(x);
    fix_init(&x->f);
    x->f.segment_bytes = segment_bytes;
    assert_int_equal(fix_format(&x->f), TS_OK);
    assert_int_equal(open_journal(x), TS_OK);
    fix_confirm(&x->f);
    for (uint64_t i = 1; i <= ENTRIES; i++) {
        append(x, i);
    }
    *state = x;
    return 0;
}

static int setup_repair(void **state)
{
    return setup(state, FIX_SEGMENT);
}

/* All in one segment, of which the index has several places. */
static int setup_large(void **state)
{
    return setup(state, 1U << 20);
}

static int teardown_repair(void **state)
{
    struct repair *x = *state;
    fix_free(&x->f);
    free(x);
    return 0;
}

/* ---- damage, and what is found ---- */

static void overwrite(const struct repair *x, unsigned segment, long at, size_t len)
{
    char path[TS_PATH_MAX];
    assert_int_equal(ts_path(path, NULL, x->f.path, "segment-%06u", segment), TS_OK);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    for (size_t i = 0; i < len; i++) {
        assert_int_not_equal(fputc(0xee, f), EOF);
    }
    assert_int_equal(fclose(f), 0);
}

static enum ts_err scrub(const struct repair *x, struct journal_flaw *flaw)
{
    struct journal_scrub *s = journal_scrub_begin(x->j);
    bool more = true;
    enum ts_err err = TS_OK;
    assert_non_null(s);
    while (more) {
        err = journal_scrub_step(s, 100000, &more);
    }
    *flaw = *journal_scrub_flaw(s);
    journal_scrub_end(s);
    return err;
}

/* With `count` batches behind the flaw; whether it was mended. */
static bool repair(struct repair *x, const struct journal_flaw *flaw, size_t count)
{
    struct journal_batch batches[ENTRIES] = {{{0}, {0}, {0}, {0, 0}, {0, 0}, {NULL, 0}}};
    unsigned before = x->told;
    for (size_t i = 0; i < count; i++) {
        batches[i] = x->log[flaw->after.seq.v + 1 + i].b;
    }
    assert_int_equal(journal_repair(x->j, flaw, batches, count), TS_OK);
    while (x->told == before) {
        (void)uv_run(&x->f.loop, UV_RUN_ONCE);
    }
    assert_int_equal(x->f.failed_calls, 0);
    return x->mended;
}

static void check_whole(struct repair *x, uint64_t last)
{
    struct journal_flaw flaw;
    assert_int_equal(scrub(x, &flaw), TS_OK);
    assert_int_equal(flaw.after.seq.v, last);
    x->f.closed = false;
    journal_close(x->j, fix_closed, &x->f);
    while (!x->f.closed) {
        (void)uv_run(&x->f.loop, UV_RUN_ONCE);
    }
    x->f.journal = NULL;
    assert_int_equal(open_journal(x), TS_OK); /* a start takes it, too */
    assert_int_equal(journal_info(x->j)->last.v, last);
}

static long place_of(uint64_t entry)
{
    return JOURNAL_DATA_START + (long)(entry - 1) * RECORD_BYTES;
}

/* Goal: one batch, and several in a row, with more given than needed, are as they were. */
static void test_repair_batches_as_they_were(void **state)
{
    struct repair *x = *state;
    struct journal_flaw flaw;
    overwrite(x, 1, place_of(5) + 200, 3);
    assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
    assert_int_equal(flaw.after.seq.v, 4);
    assert_true(repair(x, &flaw, 1));
    assert_int_equal(scrub(x, &flaw), TS_OK);
    overwrite(x, 1, place_of(7) - 20, 3 * RECORD_BYTES);
    assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
    assert_true(repair(x, &flaw, 10));
    check_whole(x, ENTRIES);
}

/* Where the bytes of an entry are, and in which segment. */
static long find_bytes(const struct repair *x, struct ts_bytes what, unsigned *segment)
{
    for (unsigned n = 1; n <= SEGMENTS_MAX; n++) {
        char path[TS_PATH_MAX];
        uint8_t *bytes;
        size_t len;
        assert_int_equal(ts_path(path, NULL, x->f.path, "segment-%06u", n), TS_OK);
        if (ts_file_read(path, 64U << 20, &bytes, &len, NULL) != TS_OK) {
            break;
        }
        const uint8_t *at = memmem(bytes, len, what.data, what.len);
        long offset = at == NULL ? 0 : (long)(at - bytes);
        free(bytes);
        if (offset > 0) {
            *segment = n;
            return offset;
        }
    }
    fail();
    return 0;
}

static long find(const struct repair *x, uint64_t entry, unsigned *segment)
{
    return find_bytes(x, x->log[entry].b.bytes, segment);
}

/* Goal: the last batch of the log has nothing behind it but the end. */
static void test_repair_newest_batch_as_it_was(void **state)
{
    struct repair *x = *state;
    struct journal_flaw flaw;
    unsigned segment;
    long at = find(x, ENTRIES, &segment);
    overwrite(x, segment, at + 100, 1);
    assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
    assert_int_equal(flaw.after.seq.v, ENTRIES - 1);
    assert_true(repair(x, &flaw, 1));
    check_whole(x, ENTRIES);
}

/* Goal: a segment's end record is known from the next segment; with batches before it, or alone,
 * without anybody's help. */
static void test_repair_end_of_segment_is_known(void **state)
{
    struct repair *x = *state;
    struct journal_flaw flaw;
    uint64_t in_first = 1;
    unsigned segment;
    while (find(x, in_first + 1, &segment) > 0 && segment == 1) {
        in_first++;
    }
    overwrite(x, 1, place_of(in_first + 1) + 4, 4);
    assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
    assert_int_equal(flaw.after.seq.v, in_first);
    assert_true(repair(x, &flaw, 0));
    assert_int_equal(scrub(x, &flaw), TS_OK);
    overwrite(x, 1, place_of(in_first) + 500, RECORD_BYTES);
    assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
    assert_false(repair(x, &flaw, 0));
    assert_true(repair(x, &flaw, 3));
    check_whole(x, ENTRIES);
}

/* Goal: a segment's header and base are known from the segment before; without them nothing behind
 * a snapshot could be dropped (seed 1669 of a simulation: the disk stayed full for good). */
static void test_repair_beginning_of_a_segment_is_known(void **state)
{
    struct repair *x = *state;
    struct journal_flaw flaw;
    static const struct {
        long at;
        size_t len;
    } SPOTS[] = {{JOURNAL_BASE_AT, 100}, {0, 60}, {0, JOURNAL_BLOCK}};
    for (size_t i = 0; i < sizeof(SPOTS) / sizeof(SPOTS[0]); i++) {
        overwrite(x, 2, SPOTS[i].at, SPOTS[i].len);
        assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
        assert_int_equal(flaw.segment, 2);
        assert_true(repair(x, &flaw, 0));
        assert_int_equal(scrub(x, &flaw), TS_OK);
    }
    /* With the first batch behind it. */
    overwrite(x, 3, 0, JOURNAL_DATA_START + 200);
    assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
    assert_int_equal(flaw.segment, 3);
    assert_true(repair(x, &flaw, 0));
    assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT); /* so far, and no further */
    assert_true(repair(x, &flaw, 1));
    check_whole(x, ENTRIES);
}

/* Goal: a file that belongs elsewhere is not made to look as if it were of this journal. */
static void test_repair_does_not_rename_another_segment(void **state)
{
    struct repair *x = *state;
    struct journal_flaw flaw;
    char from[TS_PATH_MAX];
    char to[TS_PATH_MAX];
    uint8_t block[JOURNAL_BLOCK];
    assert_int_equal(ts_path(from, NULL, x->f.path, "segment-000001"), TS_OK);
    assert_int_equal(ts_path(to, NULL, x->f.path, "segment-000002"), TS_OK);
    FILE *a = fopen(from, "r");
    FILE *b = fopen(to, "r+");
    assert_true(a != NULL && b != NULL);
    assert_int_equal(fread(block, sizeof(block), 1, a), 1);
    assert_int_equal(fwrite(block, sizeof(block), 1, b), 1);
    assert_int_equal(fclose(a), 0);
    assert_int_equal(fclose(b), 0);
    assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
    assert_false(repair(x, &flaw, 0));
    assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
}

/* Goal: what does not lead to what is good behind the damage is not written: too few batches, and
 * others than were there. */
static void test_repair_other_batches_change_nothing(void **state)
{
    struct repair *x = *state;
    struct journal_flaw flaw;
    struct journal_batch other = x->log[5].b;
    uint8_t bytes[ENTRY_BYTES] = {1};
    overwrite(x, 1, place_of(5) + 200, RECORD_BYTES);
    assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
    assert_false(repair(x, &flaw, 1));
    other.bytes.data = bytes; /* its hash says something else */
    assert_int_equal(journal_repair(x->j, &flaw, &other, 1), TS_ERR_CORRUPT);
    other.hash = ts_hash_bytes(bytes, ENTRY_BYTES); /* another batch at the same place */
    assert_int_equal(journal_repair(x->j, &flaw, &other, 1), TS_OK);
    unsigned before = x->told;
    while (x->told == before) {
        (void)uv_run(&x->f.loop, UV_RUN_ONCE);
    }
    assert_false(x->mended);
    other = x->log[6].b; /* not the next one */
    assert_int_equal(journal_repair(x->j, &flaw, &other, 1), TS_ERR_CORRUPT);
    assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
    assert_true(repair(x, &flaw, 2));
    check_whole(x, ENTRIES);
}

/* Goal: a log that was cut since is another one. */
static void test_repair_after_a_cut_is_refused(void **state)
{
    struct repair *x = *state;
    struct journal_flaw flaw;
    overwrite(x, 1, place_of(5) + 200, 3);
    assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
    assert_int_equal(journal_truncate(x->j, (struct ts_seq){ENTRIES}, x->log[ENTRIES].b.hash),
                     TS_OK);
    assert_int_equal(journal_repair(x->j, &flaw, &x->log[5].b, 1), TS_ERR_GONE);
    while (x->f.truncated_calls == 0) {
        (void)uv_run(&x->f.loop, UV_RUN_ONCE);
    }
}

/* Goal: however many batches are damaged, one look is enough: a look for each number of them took a
 * minute and a half of the writing thread's time, and more than a failure-timeout for some hundred.
 * What clients wrote looks like records here, and every one of these is passed over. */
static void test_repair_many_small_batches(void **state)
{
    struct repair *x = *state;
    struct journal_flaw flaw;
    struct journal_batch *log = x->small;
    struct ts_hash prev = x->log[ENTRIES].b.hash;
    for (uint64_t i = 0; i < SMALL_BATCHES; i++) {
        uint8_t *at = x->small_bytes[i];
        memcpy(at, &i, sizeof(i));
        memcpy(at + sizeof(i), "TWSRTWSRTWSR", 12);
        log[i] = (struct journal_batch){.epoch = {1},
                                        .first = {ENTRIES + 1 + i},
                                        .last = {ENTRIES + 1 + i},
                                        .prev = prev,
                                        .hash = ts_hash_bytes(at, SMALL_BYTES),
                                        .bytes = {at, SMALL_BYTES}};
        prev = log[i].hash;
        assert_int_equal(journal_append(x->j, &log[i], (struct ts_seq){0}), TS_OK);
        while (i % 1024 == 1023 && x->f.persisted.v < log[i].last.v) {
            (void)uv_run(&x->f.loop, UV_RUN_ONCE);
        }
    }
    for (size_t good = 1; good < SMALL_BATCHES; good += SMALL_BATCHES - 2) { /* behind: all, none */
        size_t last = good == 1 ? SMALL_BATCHES - 2 : SMALL_BATCHES - 1;
        unsigned segment;
        long from = find_bytes(x, log[1].bytes, &segment);
        long until = find_bytes(x, log[last].bytes, &segment) + 10;
        assert_int_equal(segment, 1);
        overwrite(x, 1, from, (size_t)(until - from));
        assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
        assert_int_equal(flaw.after.seq.v, ENTRIES + 1);
        unsigned before = x->told;
        assert_int_equal(journal_repair(x->j, &flaw, log + 1, SMALL_BATCHES - 1), TS_OK);
        while (x->told == before) {
            (void)uv_run(&x->f.loop, UV_RUN_ONCE);
        }
        assert_true(x->mended);
        assert_int_equal(scrub(x, &flaw), TS_OK);
    }
    check_whole(x, ENTRIES + SMALL_BATCHES);
}

struct answer {
    bool came;
    enum ts_err err;
    struct ts_seq first; /* of the batches, … */
    size_t count;
};

static void on_read(void *arg, enum ts_err err, const struct journal_batch *b, size_t count,
                    const char *text)
{
    (void)text;
    *(struct answer *)arg =
        (struct answer){true, err, count > 0 ? b[0].first : (struct ts_seq){0}, count};
}

static struct answer read_from(struct repair *x, uint64_t from)
{
    struct answer a = {.came = false};
    assert_int_equal(journal_read(x->j, (struct ts_seq){from}, 1U << 20, on_read, &a), TS_OK);
    while (!a.came) {
        (void)uv_run(&x->f.loop, UV_RUN_ONCE);
    }
    return a;
}

/* Goal: what was written again is found by readers, and the log can be cut behind it: its records
 * begin elsewhere than they did. Of entry 14 the index has a place. */
static void test_repair_leaves_a_log_that_is_read_and_cut(void **state)
{
    struct repair *x = *state;
    struct journal_flaw flaw;
    overwrite(x, 1, place_of(13) + 200, 2 * RECORD_BYTES);
    assert_int_equal(scrub(x, &flaw), TS_ERR_CORRUPT);
    assert_int_equal(flaw.after.seq.v, 12);
    assert_true(repair(x, &flaw, 10));
    assert_int_equal(scrub(x, &flaw), TS_OK);
    for (uint64_t from = 1; from <= ENTRIES; from++) {
        struct answer a = read_from(x, from);
        assert_int_equal(a.err, TS_OK);
        assert_int_equal(a.first.v, from);
        assert_int_equal(a.count, ENTRIES - from + 1);
    }
    for (uint64_t after = 20; after >= 13; after -= 7) {
        unsigned before = x->f.truncated_calls;
        assert_int_equal(journal_truncate(x->j, (struct ts_seq){after}, x->log[after].b.hash),
                         TS_OK);
        while (x->f.truncated_calls == before) {
            assert_int_equal(x->f.failed_calls, 0);
            (void)uv_run(&x->f.loop, UV_RUN_ONCE);
        }
    }
    check_whole(x, 13);
}

/* Goal: a read that met the damage while it was mended is told to read again. */
static void test_read_during_a_repair_is_asked_again(void **state)
{
    struct repair *x = *state;
    struct answer a = {.came = false};
    overwrite(x, 1, place_of(13) + 200, 1);
    assert_int_equal(read_from(x, 13).err, TS_ERR_CORRUPT);
    assert_int_equal(journal_read(x->j, (struct ts_seq){13}, 1U << 20, on_read, &a), TS_OK);
    journal_lock(x->j); /* as one does that begins, and one that ends */
    x->j->moves++;
    journal_unlock(x->j);
    while (!a.came) {
        (void)uv_run(&x->f.loop, UV_RUN_ONCE);
    }
    assert_int_equal(a.err, TS_ERR_BUSY);
    assert_int_equal(read_from(x, 13).err, TS_ERR_BUSY);
    journal_lock(x->j);
    x->j->moves++;
    journal_unlock(x->j);
    assert_int_equal(read_from(x, 13).err, TS_ERR_CORRUPT);
}

#define WITH_JOURNAL(t) cmocka_unit_test_setup_teardown(t, setup_repair, teardown_repair)
#define WITH_LARGE_SEGMENT(t) cmocka_unit_test_setup_teardown(t, setup_large, teardown_repair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_JOURNAL(test_repair_batches_as_they_were),
        WITH_JOURNAL(test_repair_newest_batch_as_it_was),
        WITH_JOURNAL(test_repair_end_of_segment_is_known),
        WITH_JOURNAL(test_repair_beginning_of_a_segment_is_known),
        WITH_JOURNAL(test_repair_does_not_rename_another_segment),
        WITH_JOURNAL(test_repair_other_batches_change_nothing),
        WITH_JOURNAL(test_repair_after_a_cut_is_refused),
        WITH_LARGE_SEGMENT(test_repair_leaves_a_log_that_is_read_and_cut),
        WITH_LARGE_SEGMENT(test_repair_many_small_batches),
        WITH_LARGE_SEGMENT(test_read_during_a_repair_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
