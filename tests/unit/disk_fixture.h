/* For tests that use a disk: a directory of their own, bytes flipped in files,
 * and a journal with its loop. Header only: each test program is one file. */
#ifndef TESTS_UNIT_DISK_FIXTURE_H
#define TESTS_UNIT_DISK_FIXTURE_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/io/files.h"
#include "lab/scratch.h"
#include "replicator/io/journal.h"
#include "replicator/io/snapshot_file.h"

/* ---- a directory ---- */

/* Makes a fresh directory; ends the test when that fails. */
static inline void disk_make(char dir[TS_PATH_MAX])
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(dir, TS_PATH_MAX, "%s/twinstep-disk-XXXXXX", tmp != NULL ? tmp : "/tmp");
    ts_assert(mkdtemp(dir) != NULL);
}

/* Removes it with all that is in it; ends the test when something is left. */
static inline void disk_remove(const char *dir)
{
    lab_scratch_remove(dir);
    ts_assert(access(dir, F_OK) != 0);
}

static inline void disk_flip(const char *path, long offset)
{
    int fd = open(path, O_RDWR);
    ts_assert(fd >= 0);
    uint8_t b;
    ts_assert(pread(fd, &b, 1, offset) == 1);
    b ^= 0x40;
    ts_assert(pwrite(fd, &b, 1, offset) == 1);
    (void)close(fd);
}

static inline void disk_copy(const char *from, const char *to)
{
    uint8_t *data;
    size_t len;
    enum ts_err err = ts_file_read(from, 64U * 1024U * 1024U, &data, &len, NULL);
    ts_assert(err == TS_OK);
    err = ts_file_replace(to, data, len, 0600, NULL);
    ts_assert(err == TS_OK);
    free(data);
}

/* ---- a journal ---- */

#define FIX_SEGMENT JOURNAL_SEGMENT_BYTES_MIN

struct fix {
    char dir[TS_PATH_MAX];  /* the test's own */
    char path[TS_PATH_MAX]; /* the journal's, in it */
    uint32_t segment_bytes;
    uv_loop_t loop;
    struct journal *journal;
    /* what the test appended */
    struct ts_seq seq;
    struct ts_hash hash;
    /* what completions told */
    struct ts_seq persisted;
    unsigned persisted_calls;
    unsigned truncated_calls;
    uint64_t token;
    unsigned failed_calls;
    enum ts_err failed_err;
    bool closed;
    void (*repaired)(void *arg, bool mended); /* the test's own */
    void *repaired_arg;
    /* what replay told */
    struct ts_seq replayed;
    struct ts_hash replayed_hash;
    unsigned replayed_batches;
    struct ts_why why;
};

static inline void fix_persisted(void *arg, struct ts_seq seq)
{
    struct fix *f = arg;
    f->persisted = seq;
    f->persisted_calls++;
}

static inline void fix_truncated(void *arg, struct ts_seq after)
{
    struct fix *f = arg;
    f->persisted = after;
    f->truncated_calls++;
}

static inline void fix_record(void *arg, uint64_t token)
{
    ((struct fix *)arg)->token = token;
}

static inline void fix_failed(void *arg, enum ts_err err, const char *text)
{
    struct fix *f = arg;
    f->failed_calls++;
    f->failed_err = err;
    (void)snprintf(f->why.text, sizeof(f->why.text), "%s", text);
}

static inline void fix_repaired(void *arg, bool mended)
{
    struct fix *f = arg;
    f->repaired(f->repaired_arg, mended);
}

static inline void fix_closed(void *arg)
{
    ((struct fix *)arg)->closed = true;
}

/* Checks the chain, and that the bytes are the ones fix_append makes. */
static inline enum ts_err fix_replay(void *arg, const struct journal_batch *b, struct ts_seq commit,
                                     struct ts_why *why)
{
    struct fix *f = arg;
    (void)commit;
    bool good = b->first.v == f->replayed.v + 1 && ts_hash_eq(b->prev, f->replayed_hash) &&
                ts_hash_eq(b->hash, ts_hash_chain(b->prev, b->bytes.data, b->bytes.len));
    if (!good) {
        return ts_why(why, TS_ERR_CORRUPT, "replay: the chain is broken at %llu",
                      (unsigned long long)b->first.v);
    }
    f->replayed = b->last;
    f->replayed_hash = b->hash;
    f->replayed_batches++;
    return TS_OK;
}

static inline void fix_init(struct fix *f)
{
    *f = (struct fix){.segment_bytes = FIX_SEGMENT};
    disk_make(f->dir);
    enum ts_err err = ts_path(f->path, NULL, f->dir, "journal");
    ts_assert(err == TS_OK);
    ts_assert(uv_loop_init(&f->loop) == 0);
}

static inline enum ts_err fix_format(struct fix *f)
{
    struct journal_options o = {.segment_bytes = f->segment_bytes};
    return journal_format(f->path, (struct ts_incarnation){77}, (struct ts_group_id){3},
                          (struct ts_bytes){(const uint8_t *)"floor", 5}, &o, &f->why);
}

static inline enum ts_err fix_open(struct fix *f)
{
    struct journal_options o = {.segment_bytes = f->segment_bytes};
    struct journal_callbacks cb = {.persisted = fix_persisted,
                                   .truncated = fix_truncated,
                                   .record_persisted = fix_record,
                                   .repaired = fix_repaired,
                                   .failed = fix_failed,
                                   .arg = f};
    f->replayed.v = 0;
    f->replayed_hash = (struct ts_hash){0};
    f->replayed_batches = 0;
    f->closed = false;
    enum ts_err err = journal_open(&f->journal, &f->loop, f->path, &o, &cb, fix_replay, f, &f->why);
    if (err == TS_OK) {
        f->seq = journal_info(f->journal)->last;
        f->hash = journal_info(f->journal)->hash;
        f->persisted = f->seq;
    }
    return err;
}

/* As a replica does whose start the voters know. */
static inline void fix_confirm(struct fix *f)
{
    enum ts_err err = journal_confirm_start(f->journal, UINT64_MAX);
    ts_assert(err == TS_OK);
    while (f->token != UINT64_MAX && f->failed_calls == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
}

static inline void fix_close(struct fix *f)
{
    journal_close(f->journal, fix_closed, f);
    while (!f->closed) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    f->journal = NULL;
}

static inline void fix_free(struct fix *f)
{
    if (f->journal != NULL) {
        fix_close(f);
    }
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    ts_assert(uv_loop_close(&f->loop) == 0);
    disk_remove(f->dir);
}

/* Appends one batch of `entries` entries and `len` bytes made from `fill`. */
static inline enum ts_err fix_append(struct fix *f, uint64_t entries, size_t len, uint8_t fill)
{
    uint8_t *bytes = malloc(len + 1);
    ts_assert(bytes != NULL);
    memset(bytes, fill, len);
    struct journal_batch b = {.epoch = {1},
                              .first = ts_seq_add(f->seq, 1),
                              .last = ts_seq_add(f->seq, entries),
                              .prev = f->hash,
                              .hash = ts_hash_chain(f->hash, bytes, len),
                              .bytes = {bytes, len}};
    enum ts_err err = journal_append(f->journal, &b, f->persisted);
    if (err == TS_OK) {
        f->seq = b.last;
        f->hash = b.hash;
    }
    free(bytes);
    return err;
}

/* Runs the loop until everything appended is durable, or the journal failed. */
static inline void fix_wait(struct fix *f)
{
    while (f->persisted.v < f->seq.v && f->failed_calls == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
}

/* A snapshot of this entry in the journal's directory. Gives what snapshot_write_end says. */
static inline struct ts_seq fix_snapshot(const struct fix *f, uint64_t seq)
{
    uint8_t piece[3000];
    struct ts_why why;
    struct ts_seq oldest = {0};
    struct snapshot_writer *w = NULL;
    struct snapshot_header h = {.incarnation = journal_info(f->journal)->incarnation,
                                .group = journal_info(f->journal)->group};
    h.mark.pos.seq.v = seq;
    h.mark.epoch.v = 1;
    enum ts_err err = snapshot_write_begin(&w, f->path, &h, &why);
    for (unsigned i = 0; i < 20 && err == TS_OK; i++) {
        for (unsigned k = 0; k < sizeof(piece); k++) {
            piece[k] = (uint8_t)(k * k * (i + 1) >> 3);
        }
        err = snapshot_write_piece(w, (struct ts_bytes){piece, sizeof(piece)}, &why);
    }
    err = err == TS_OK ? snapshot_write_end(w, &oldest, &why) : err;
    ts_assert(err == TS_OK);
    return oldest;
}

#endif
