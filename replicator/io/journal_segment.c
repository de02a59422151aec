/* Segment files, and preparing the next one ahead: to fill 16 MiB with zeros and to fsync them
 * takes tens of milliseconds, for which no append may wait. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/disk.h"
#include "replicator/io/journal_internal.h"

#define ZERO_CHUNK (256U * 1024U)
static uint8_t zeros[ZERO_CHUNK]; /* never written to: so it takes no memory */
#define LOOK_CHUNK (64U * 1024U)
/* Prepared bytes between two syncs: bounds what the log's own fdatasync may queue behind. With 4
 * MiB single appends waited 100 ms and more on a busy disk, longer than a failure-timeout. */
#define ZERO_SYNC_STRIDE (512U * 1024U)

enum ts_err journal_segment_path(char out[TS_PATH_MAX], const char *dir, uint64_t number,
                                 struct ts_why *why)
{
    return ts_path(out, why, dir, "segment-%06" PRIu64, number);
}

enum ts_err journal_segment_is_zero(int fd, const char *path, uint32_t from, uint32_t to,
                                    bool *zero, struct ts_why *why)
{
    uint8_t *data = malloc(LOOK_CHUNK);
    if (data == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to read %s", path);
    }
    enum ts_err err = TS_OK;
    *zero = true;
    for (uint32_t at = from; at < to && *zero && err == TS_OK;) {
        uint32_t n = to - at < LOOK_CHUNK ? to - at : LOOK_CHUNK;
        err = ts_fd_read_at(fd, path, data, n, at, why);
        *zero = err == TS_OK && ts_is_zero(data, n);
        at += n;
    }
    free(data);
    return err;
}

enum ts_err journal_segment_zero(int fd, const char *path, uint32_t from, uint32_t to,
                                 struct ts_why *why)
{
    enum ts_err err = TS_OK;
    uint32_t unsynced = 0;
    for (uint32_t at = from; at < to && err == TS_OK;) {
        uint32_t n = to - at < ZERO_CHUNK ? to - at : ZERO_CHUNK;
        err = ts_fd_write_at(fd, path, zeros, n, at, why);
        at += n;
        unsynced += n;
        if (err == TS_OK && unsynced >= ZERO_SYNC_STRIDE) {
            err = ts_fd_sync(fd, path, why);
            unsynced = 0;
        }
    }
    return err;
}

enum ts_err journal_base_write(int fd, const char *path, const struct journal_base *b,
                               struct ts_why *why)
{
    uint8_t mem[JOURNAL_BASE_BYTES];
    struct ts_writer w = ts_writer_init(mem, sizeof(mem));
    journal_base_encode(b, &w);
    ts_assert(ts_writer_status(&w) == TS_OK && w.len == sizeof(mem));
    return ts_fd_write_at(fd, path, mem, sizeof(mem), JOURNAL_BASE_AT, why);
}

enum ts_err journal_base_read(int fd, const char *path, struct ts_incarnation incarnation,
                              uint64_t number, struct journal_place *place, struct ts_why *why)
{
    uint8_t mem[JOURNAL_BASE_BYTES];
    struct journal_base b;
    enum ts_err err = ts_fd_read_at(fd, path, mem, sizeof(mem), JOURNAL_BASE_AT, why);
    if (err == TS_ERR_IO) {
        return err;
    }
    if (err != TS_OK || journal_base_decode(&b, mem, sizeof(mem)) != TS_OK || b.number != number ||
        !ts_incarnation_eq(b.incarnation, incarnation)) {
        return TS_ERR_CORRUPT;
    }
    *place = b.place;
    return TS_OK;
}

static enum ts_err fill_segment(int fd, const char *path, const struct journal_header *h,
                                const struct journal_place *base, struct ts_why *why)
{
    uint8_t mem[64];
    struct ts_writer w = ts_writer_init(mem, sizeof(mem));
    journal_header_encode(h, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    enum ts_err err = journal_segment_zero(fd, path, 0, h->size, why);
    if (err == TS_OK) {
        err = ts_fd_write_at(fd, path, mem, w.len, 0, why);
    }
    if (err == TS_OK && base != NULL) {
        struct journal_base b = {
            .incarnation = h->incarnation, .number = h->number, .place = *base};
        err = journal_base_write(fd, path, &b, why);
    }
    if (err == TS_OK && ts_disk_sync(fd) != 0) {
        err = ts_why_sync(why, errno, "cannot fsync %s", path);
    }
    return err;
}

enum ts_err journal_segment_create(const char *dir, const struct journal_header *h,
                                   const struct journal_place *base, int *fd, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    char aside[TS_PATH_MAX];
    enum ts_err err = journal_segment_path(path, dir, h->number, why);
    if (err == TS_OK) {
        err = ts_path(aside, why, dir, "segment-%06" PRIu64 ".new", h->number);
    }
    if (err != TS_OK) {
        return err;
    }
    int f = ts_disk_open(aside, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (f < 0) {
        return ts_why_sys(why, errno, "cannot create %s", aside);
    }
    err = fill_segment(f, aside, h, base, why);
    if (err == TS_OK && ts_disk_rename(aside, path) != 0) {
        err = ts_why_sys(why, errno, "cannot rename %s", aside);
    }
    if (err == TS_OK) {
        err = ts_dir_sync(dir, why);
    } else {
        (void)ts_disk_unlink(aside);
    }
    if (err == TS_OK && fd != NULL) {
        *fd = f;
    } else {
        (void)ts_disk_close(f);
    }
    return err;
}

/* A header that is not the one expected is never repaired or skipped: what it belongs to is
 * unknown. */
static enum ts_err check_header(const char *path, const struct journal_header *h,
                                const struct journal_header *want, struct ts_why *why)
{
    if (!ts_incarnation_eq(h->incarnation, want->incarnation)) {
        return ts_why(why, TS_ERR_CORRUPT,
                      "%s belongs to incarnation %016" PRIx64 ", not to %016" PRIx64
                      "; it was copied from another disk: put the right file back, or remove the "
                      "directory and enrol a new disk",
                      path, h->incarnation.v, want->incarnation.v);
    }
    if (h->number != want->number || h->group.v != want->group.v) {
        return ts_why(why, TS_ERR_CORRUPT,
                      "%s says that it is segment %" PRIu64 " of group %u, not segment %" PRIu64
                      " of group %u; put the right file back, or enrol a new disk",
                      path, h->number, h->group.v, want->number, want->group.v);
    }
    return TS_OK;
}

static enum ts_err read_header(int fd, const char *path, struct journal_header *h,
                               struct ts_why *why)
{
    uint8_t block[64];
    enum ts_err err = ts_fd_read_at(fd, path, block, sizeof(block), 0, why);
    if (err == TS_ERR_IO) {
        return err;
    }
    if (err == TS_OK) {
        err = journal_header_decode(h, block, sizeof(block));
    }
    if (err == TS_ERR_VERSION) {
        return ts_why(why, err,
                      "%s has a format that this release does not know; use the release that wrote "
                      "it, or a newer one",
                      path);
    }
    if (err != TS_OK) {
        return ts_why(
            why, TS_ERR_CORRUPT,
            "the header of %s is damaged; nothing was changed: let this replica be rebuilt "
            "from its peer, on a new disk",
            path);
    }
    return TS_OK;
}

/* What a file of this length says when nothing is wrong with it. */
static bool header_is_good(int fd, const char *path, const struct journal_header *is)
{
    struct journal_header has = {0};
    return read_header(fd, path, &has, NULL) == TS_OK &&
           check_header(path, &has, is, NULL) == TS_OK;
}

static bool header_is_damaged(int fd, const char *path)
{
    struct journal_header has = {0};
    enum ts_err err = read_header(fd, path, &has, NULL);
    return err == TS_ERR_CORRUPT || err == TS_ERR_IO;
}

/* The whole block: a part of one that cannot be read cannot be written. */
static enum ts_err write_beginning(int fd, const char *path, const struct journal_header *is,
                                   const struct journal_place *base, struct ts_why *why)
{
    uint8_t block[JOURNAL_BLOCK] = {0};
    struct journal_base b = {.incarnation = is->incarnation, .number = is->number, .place = *base};
    struct ts_writer w = ts_writer_init(block, JOURNAL_BASE_AT);
    struct ts_writer behind = ts_writer_init(block + JOURNAL_BASE_AT, JOURNAL_BASE_BYTES);
    journal_header_encode(is, &w);
    journal_base_encode(&b, &behind);
    ts_assert(ts_writer_status(&w) == TS_OK && ts_writer_status(&behind) == TS_OK);
    enum ts_err err = ts_fd_write_at(fd, path, block, sizeof(block), 0, why);
    return err == TS_OK ? ts_fd_sync(fd, path, why) : err;
}

enum ts_err journal_beginning_mend(const char *path, const struct journal_header *is,
                                   const struct journal_place *base, bool *mended,
                                   struct ts_why *why)
{
    *mended = false;
    int fd = ts_disk_open(path, O_RDWR, 0);
    if (fd < 0) {
        return TS_OK; /* there is nothing to mend */
    }
    struct journal_header h = *is;
    struct journal_place has;
    uint64_t bytes = 0;
    enum ts_err err = TS_OK;
    bool good = header_is_good(fd, path, is);
    bool same = good &&
                journal_base_read(fd, path, is->incarnation, is->number, &has, NULL) == TS_OK &&
                has.seq.v == base->seq.v && has.epoch.v == base->epoch.v &&
                ts_hash_eq(has.hash, base->hash);
    bool fits = ts_disk_size(fd, &bytes) == 0 && bytes >= JOURNAL_SEGMENT_BYTES_MIN &&
                bytes <= JOURNAL_SEGMENT_BYTES_MAX && bytes % JOURNAL_BLOCK == 0;
    if (!same && fits && (good || header_is_damaged(fd, path))) {
        h.size = (uint32_t)bytes;
        err = write_beginning(fd, path, &h, base, why);
        *mended = err == TS_OK;
    }
    (void)ts_disk_close(fd);
    return err;
}

enum ts_err journal_segment_open(const char *dir, const struct journal_header *want, int *fd,
                                 uint32_t *size, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = journal_segment_path(path, dir, want->number, why);
    if (err != TS_OK) {
        return err;
    }
    int f = ts_disk_open(path, O_RDWR, 0);
    if (f < 0) {
        return ts_why_sys(why, errno, "cannot open %s", path);
    }
    struct journal_header h = {0};
    uint64_t bytes = 0;
    err = read_header(f, path, &h, why);
    if (err == TS_OK) {
        err = check_header(path, &h, want, why);
    }
    if (err == TS_OK && (ts_disk_size(f, &bytes) != 0 || bytes != h.size)) {
        err =
            ts_why(why, TS_ERR_CORRUPT,
                   "%s has %" PRIu64 " bytes and should have %" PRIu32
                   "; it was cut or overwritten: nothing was changed, let this replica be rebuilt "
                   "from its peer, on a new disk",
                   path, bytes, h.size);
    }
    if (err != TS_OK) {
        (void)ts_disk_close(f);
        return err;
    }
    *fd = f;
    *size = h.size;
    return TS_OK;
}

void journal_spare_request(struct journal *j, uint64_t number)
{
    struct journal_spare *s = &j->spare;
    ts_assert(s->state == JOURNAL_SPARE_NONE || s->state == JOURNAL_SPARE_FAILED);
    s->state = JOURNAL_SPARE_WANTED;
    s->number = number;
    journal_spare_changed(j);
}

void journal_spare_prepare(struct journal *j)
{
    struct journal_spare *s = &j->spare;
    struct ts_why why = {{0}};
    int fd = -1;
    journal_lock(j);
    ts_assert(s->state == JOURNAL_SPARE_WANTED);
    struct journal_header h = {.incarnation = j->info.incarnation,
                               .group = j->info.group,
                               .number = s->number,
                               .size = j->options.segment_bytes};
    journal_unlock(j);
    enum ts_err err = journal_segment_create(j->dir, &h, NULL, &fd, &why);
    if (err != TS_OK) {
        /* Before the state tells it: the writer may try again only what did not fail the journal.
         */
        journal_doubt(j, err, &why);
    }
    journal_lock(j);
    s->fd = fd;
    s->size = h.size;
    s->err = err;
    s->why = why;
    s->state = err == TS_OK ? JOURNAL_SPARE_READY : JOURNAL_SPARE_FAILED;
    journal_spare_changed(j);
    journal_unlock(j);
}
