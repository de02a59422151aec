#include "base/io/slot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/disk.h"
#include "base/io/slot_format.h"

/* Format writes one record into each slot, so that a slot is never blank afterwards. */
#define FIRST_GENERATION 2U

struct ts_slot_file {
    /* config */
    int fd;
    char path[TS_PATH_MAX];
    struct ts_incarnation incarnation;
    size_t copy_size;
    /* durable */
    uint64_t generation;
    uint8_t *value; /* copy_size bytes: the newest record, encoded */
    size_t payload_len;
    /* volatile */
    uint8_t *scratch; /* copy_size bytes: the record being written */
    bool failed;      /* one failed write ends trust */
    unsigned repaired;
};

/* What one slot holds after reading both of its copies. */
struct slot_state {
    bool valid;
    uint64_t generation;
    size_t len;                    /* whole blocks */
    bool copy_bad[TS_SLOT_COPIES]; /* unreadable, or older than the slot's generation */
};

static size_t round_to_block(size_t n)
{
    return (n + TS_SLOT_BLOCK - 1) / TS_SLOT_BLOCK * TS_SLOT_BLOCK;
}

/* Encodes a record into `out` (copy_size bytes, zeroed behind it). Returns the length to write:
 * whole blocks, no more than needed. */
static size_t encode_record(uint8_t *out, size_t copy_size, struct ts_incarnation incarnation,
                            uint64_t generation, struct ts_bytes payload)
{
    struct ts_slot_copy c = {.incarnation = incarnation,
                             .generation = generation,
                             .copy_size = (uint32_t)copy_size,
                             .payload = payload};
    struct ts_writer w = ts_writer_init(out, copy_size);
    enum ts_err err = ts_slot_encode(&c, &w);
    ts_assert(err == TS_OK);
    size_t whole = round_to_block(w.len);
    memset(out + w.len, 0, whole - w.len);
    return whole;
}

enum ts_err ts_slot_format(const char *path, struct ts_incarnation incarnation, size_t payload_max,
                           struct ts_bytes first, struct ts_why *why)
{
    if (payload_max == 0 || payload_max > TS_SLOT_PAYLOAD_LIMIT || first.len > payload_max) {
        return ts_why(
            why, TS_ERR_LIMIT,
            "cannot format %s: a record of %zu bytes and a maximum of %zu are not allowed "
            "(at most %u)",
            path, first.len, payload_max, TS_SLOT_PAYLOAD_LIMIT);
    }
    if (ts_disk_exists(path, NULL) == 0) {
        return ts_why(why, TS_ERR_EXISTS, "%s is formatted already; it is never overwritten", path);
    }
    size_t copy_size = ts_slot_copy_size(payload_max);
    size_t total = copy_size * TS_SLOT_SLOTS * TS_SLOT_COPIES;
    uint8_t *image = calloc(1, total);
    if (image == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to format %s", path);
    }
    for (unsigned i = 0; i < TS_SLOT_SLOTS; i++) {
        uint64_t generation = FIRST_GENERATION - i;
        for (unsigned copy = 0; copy < TS_SLOT_COPIES; copy++) {
            uint64_t at = ts_slot_copy_offset(copy_size, ts_slot_of(generation), copy);
            (void)encode_record(image + at, copy_size, incarnation, generation, first);
        }
    }
    enum ts_err err = ts_file_replace(path, image, total, 0600, why);
    free(image);
    return err;
}

/* A foreign incarnation is an error of the whole file: it is not what a crash leaves. */
static enum ts_err check_incarnation(const struct ts_slot_file *f, const struct ts_slot_copy *c,
                                     struct ts_why *why)
{
    if (f->incarnation.v == 0 || ts_incarnation_eq(c->incarnation, f->incarnation)) {
        return TS_OK;
    }
    return ts_why(why, TS_ERR_CORRUPT,
                  "%s belongs to incarnation %016" PRIx64 ", not to %016" PRIx64
                  "; it was copied from another disk: put the right file back, or remove the "
                  "directory and enrol a new disk",
                  f->path, c->incarnation.v, f->incarnation.v);
}

/* Reads a copy into scratch: its first block, and as much more as that says. */
static enum ts_err read_copy(struct ts_slot_file *f, uint64_t at, struct ts_why *why)
{
    enum ts_err err = ts_fd_read_at(f->fd, f->path, f->scratch, TS_SLOT_BLOCK, at, why);
    if (err != TS_OK) {
        return err;
    }
    size_t whole = round_to_block(ts_slot_extent(f->scratch, f->copy_size));
    if (whole == TS_SLOT_BLOCK) {
        return TS_OK;
    }
    return ts_fd_read_at(f->fd, f->path, f->scratch + TS_SLOT_BLOCK, whole - TS_SLOT_BLOCK,
                         at + TS_SLOT_BLOCK, why);
}

/* Reads both copies of a slot; `best` (copy_size bytes) receives the newest valid one. */
static enum ts_err read_slot(struct ts_slot_file *f, unsigned slot, struct slot_state *s,
                             uint8_t *best, struct ts_why *why)
{
    uint64_t generation[TS_SLOT_COPIES] = {0};
    unsigned unknown_version = 0;
    *s = (struct slot_state){0};
    for (unsigned copy = 0; copy < TS_SLOT_COPIES; copy++) {
        uint64_t at = ts_slot_copy_offset(f->copy_size, slot, copy);
        enum ts_err err = read_copy(f, at, why);
        if (err == TS_ERR_IO) {
            /* A spot that the device cannot read is a bad copy like any other. */
            continue;
        }
        if (err != TS_OK) {
            return err;
        }
        struct ts_slot_copy c;
        err = ts_slot_decode(&c, f->scratch, f->copy_size);
        unknown_version += err == TS_ERR_VERSION ? 1 : 0;
        if (err != TS_OK || ts_slot_of(c.generation) != slot) {
            continue; /* damaged, or written to the wrong place */
        }
        err = check_incarnation(f, &c, why);
        if (err != TS_OK) {
            return err;
        }
        f->incarnation = c.incarnation;
        generation[copy] = c.generation;
        if (c.generation > s->generation) {
            s->generation = c.generation;
            s->valid = true;
            s->len = round_to_block(TS_SLOT_HEADER + c.payload.len);
            memcpy(best, f->scratch, s->len);
        }
    }
    if (unknown_version == TS_SLOT_COPIES) {
        /* One copy may be damaged; two were written so. The other slot may still be in our format,
         * but it is older: to take it would roll the record back. */
        return ts_why(why, TS_ERR_VERSION,
                      "%s has a format that this release does not know; use the release that wrote "
                      "it, or a newer one",
                      f->path);
    }
    for (unsigned copy = 0; copy < TS_SLOT_COPIES; copy++) {
        s->copy_bad[copy] = generation[copy] != s->generation;
    }
    return TS_OK;
}

/* Rewrites the bad copies of a readable slot from its good one. A torn slot stays as it is: the
 * next write goes there, and the older record must not take its place twice. */
static enum ts_err repair_slot(struct ts_slot_file *f, unsigned slot, const struct slot_state *s,
                               const uint8_t *good, struct ts_why *why)
{
    for (unsigned copy = 0; s->valid && copy < TS_SLOT_COPIES; copy++) {
        if (!s->copy_bad[copy]) {
            continue;
        }
        uint64_t at = ts_slot_copy_offset(f->copy_size, slot, copy);
        enum ts_err err = ts_fd_write_at(f->fd, f->path, good, s->len, at, why);
        if (err != TS_OK) {
            return err == TS_ERR_SYSTEM ? TS_ERR_IO : err;
        }
        f->repaired++;
    }
    return TS_OK;
}

static enum ts_err load(struct ts_slot_file *f, struct ts_why *why)
{
    struct slot_state state[TS_SLOT_SLOTS];
    uint8_t *best = malloc(f->copy_size);
    if (best == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to read %s", f->path);
    }
    enum ts_err err = TS_OK;
    for (unsigned slot = 0; slot < TS_SLOT_SLOTS && err == TS_OK; slot++) {
        err = read_slot(f, slot, &state[slot], best, why);
        if (err == TS_OK) {
            err = repair_slot(f, slot, &state[slot], best, why);
        }
        if (err == TS_OK && state[slot].valid && state[slot].generation > f->generation) {
            f->generation = state[slot].generation;
            memcpy(f->value, best, state[slot].len);
        }
    }
    free(best);
    if (err != TS_OK) {
        return err;
    }
    if (f->generation == 0) {
        return ts_why(why, TS_ERR_CORRUPT,
                      "%s is damaged: none of its four copies is readable. Nothing was changed. It "
                      "counts as a lost disk: look at the device, remove the directory and enrol a "
                      "new one",
                      f->path);
    }
    struct ts_slot_copy c;
    err = ts_slot_decode(&c, f->value, f->copy_size);
    ts_assert(err == TS_OK);
    f->payload_len = c.payload.len;
    return ts_fd_sync(f->fd, f->path, why);
}

/* An error before anything is written: TS_ERR_IO is for writes and syncs (R2.11). */
static enum ts_err not_io(enum ts_err err)
{
    return err == TS_ERR_IO ? TS_ERR_SYSTEM : err;
}

/* Opens the file and learns the size of a copy from the file's size. */
static enum ts_err open_file(struct ts_slot_file *f, struct ts_why *why)
{
    f->fd = ts_disk_open(f->path, O_RDWR, 0);
    if (f->fd < 0) {
        return errno == ENOENT
                   ? ts_why(
                         why, TS_ERR_NOT_FOUND,
                         "%s is missing: this disk is not formatted, or has lost a part; a blank "
                         "disk is never taken for an empty one",
                         f->path)
                   : not_io(ts_why_sys(why, errno, "cannot open %s", f->path));
    }
    /* The kernel gives the lock up with the process: no crash leaves one behind. */
    if (ts_disk_lock(f->fd) != 0) {
        return errno == EWOULDBLOCK
                   ? ts_why(why, TS_ERR_BUSY,
                            "%s is in use by another process: one that is ending gives it up by "
                            "itself; otherwise end it, or choose another data directory",
                            f->path)
                   : not_io(ts_why_sys(why, errno, "cannot lock %s", f->path));
    }
    uint64_t size = 0;
    if (ts_disk_size(f->fd, &size) != 0) {
        return not_io(ts_why_sys(why, errno, "cannot look at %s", f->path));
    }
    size_t copies = TS_SLOT_SLOTS * TS_SLOT_COPIES;
    size_t size_max = copies * ts_slot_copy_size(TS_SLOT_PAYLOAD_LIMIT);
    if (size == 0 || size > size_max || size % (copies * TS_SLOT_BLOCK) != 0) {
        return ts_why(why, TS_ERR_CORRUPT,
                      "%s has a size of %" PRIu64 " bytes, which no slot file has; it was cut or "
                      "overwritten: put the right file back, or enrol a new disk",
                      f->path, size);
    }
    f->copy_size = (size_t)size / copies;
    f->value = malloc(f->copy_size);
    f->scratch = malloc(f->copy_size);
    if (f->value == NULL || f->scratch == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to read %s", f->path);
    }
    return TS_OK;
}

enum ts_err ts_slot_open(struct ts_slot_file **out, const char *path,
                         struct ts_incarnation incarnation, struct ts_why *why)
{
    struct ts_slot_file *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to open %s", path);
    }
    f->fd = -1;
    f->incarnation = incarnation;
    enum ts_err err = TS_OK;
    int n = snprintf(f->path, sizeof(f->path), "%s", path);
    if (n < 0 || (size_t)n >= sizeof(f->path)) {
        err = ts_why(why, TS_ERR_LIMIT, "the path %.200s… is longer than %d bytes", path,
                     TS_PATH_MAX - 1);
    }
    if (err == TS_OK) {
        err = open_file(f, why);
    }
    if (err == TS_OK) {
        err = load(f, why);
    }
    if (err != TS_OK) {
        ts_slot_close(f);
        return err;
    }
    *out = f;
    return TS_OK;
}

enum ts_err ts_slot_write(struct ts_slot_file *f, struct ts_bytes data, struct ts_why *why)
{
    if (f->failed) {
        return ts_why(why, TS_ERR_IO, "%s failed before and is not written to any more", f->path);
    }
    if (data.len > f->copy_size - TS_SLOT_HEADER) {
        return ts_why(why, TS_ERR_LIMIT, "a record of %zu bytes does not fit into %s (at most %zu)",
                      data.len, f->path, f->copy_size - TS_SLOT_HEADER);
    }
    uint64_t generation = f->generation + 1;
    size_t len = encode_record(f->scratch, f->copy_size, f->incarnation, generation, data);
    enum ts_err err = TS_OK;
    for (unsigned copy = 0; copy < TS_SLOT_COPIES && err == TS_OK; copy++) {
        uint64_t at = ts_slot_copy_offset(f->copy_size, ts_slot_of(generation), copy);
        err = ts_fd_write_at(f->fd, f->path, f->scratch, len, at, why);
    }
    if (err == TS_OK) {
        err = ts_fd_sync(f->fd, f->path, why);
    }
    if (err != TS_OK) {
        f->failed = true;
        return err;
    }
    uint8_t *old = f->value;
    f->value = f->scratch;
    f->scratch = old;
    f->generation = generation;
    f->payload_len = data.len;
    return TS_OK;
}

struct ts_bytes ts_slot_value(const struct ts_slot_file *f)
{
    return (struct ts_bytes){f->value + TS_SLOT_HEADER, f->payload_len};
}

struct ts_incarnation ts_slot_incarnation(const struct ts_slot_file *f)
{
    return f->incarnation;
}

uint64_t ts_slot_generation(const struct ts_slot_file *f)
{
    return f->generation;
}

unsigned ts_slot_repaired(const struct ts_slot_file *f)
{
    return f->repaired;
}

void ts_slot_close(struct ts_slot_file *f)
{
    if (f == NULL) {
        return;
    }
    if (f->fd >= 0) {
        (void)ts_disk_close(f->fd);
    }
    free(f->value);
    free(f->scratch);
    free(f);
}
