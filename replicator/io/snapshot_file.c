/* Writing a snapshot; which ones there are. */
#include "replicator/io/snapshot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/disk.h"
#include "replicator/io/snapshot_internal.h"

/* Bytes between two syncs: bounds what the journal's fdatasync may queue behind, as with segments
 * that are prepared ahead (journal_segment.c). */
#define SYNC_STRIDE (512U * 1024U)

struct snapshot_writer {
    const char *dir; /* borrowed */
    char aside[TS_PATH_MAX];
    char path[TS_PATH_MAX];
    int fd;
    struct ts_seq seq;
    uint64_t at; /* where the next bytes go */
    uint64_t unsynced;
    struct snapshot_trailer trailer;
    struct snapshot_broken broken;
};

/* ---- damaged ones ---- */

bool snapshot_broken_has(const struct snapshot_broken *b, struct ts_seq seq)
{
    for (size_t i = 0; i < SNAPSHOT_KEPT; i++) {
        if (b->seq[i].v != 0 && ts_seq_eq(b->seq[i], seq)) {
            return true;
        }
    }
    return false;
}

void snapshot_broken_add(struct snapshot_broken *b, struct ts_seq seq)
{
    if (!snapshot_broken_has(b, seq)) {
        memmove(&b->seq[1], &b->seq[0], (SNAPSHOT_KEPT - 1) * sizeof(b->seq[0]));
        b->seq[0] = seq;
    }
}

/* ---- names ---- */

#define NAME_PREFIX "snapshot-"
#define NAME_DIGITS 20

enum ts_err snapshot_path(char out[TS_PATH_MAX], const char *dir, struct ts_seq seq,
                          struct ts_why *why)
{
    return ts_path(out, why, dir, NAME_PREFIX "%020" PRIu64, seq.v);
}

/* The entry in "snapshot-00000000000000001234", 0 when the name is none; `rest` gets what follows.
 */
static uint64_t seq_of_name(const char *name, const char **rest)
{
    size_t prefix = strlen(NAME_PREFIX);
    if (strncmp(name, NAME_PREFIX, prefix) != 0 ||
        strspn(name + prefix, "0123456789") != NAME_DIGITS) {
        return 0;
    }
    *rest = name + prefix + NAME_DIGITS;
    return strtoull(name + prefix, NULL, 10);
}

static int look_at_name(void *arg, const char *name)
{
    struct snapshot_names *l = arg;
    const char *rest = "";
    uint64_t seq = seq_of_name(name, &rest);
    if (seq == 0) {
        return 0;
    }
    if (strcmp(rest, ".new") == 0) {
        l->unfinished.v = seq;
    } else if (strcmp(rest, ".part") == 0) {
        l->part.v = seq;
    } else if (rest[0] == 0) {
        /* Kept in order, the newest first; of more than there is room for, the oldest are left out.
         */
        size_t i = l->count < SNAPSHOT_NAMES_MAX ? l->count++ : SNAPSHOT_NAMES_MAX - 1;
        if (i == SNAPSHOT_NAMES_MAX - 1 && l->seq[i].v > seq) {
            return 0;
        }
        while (i > 0 && l->seq[i - 1].v < seq) {
            l->seq[i] = l->seq[i - 1];
            i--;
        }
        l->seq[i].v = seq;
    }
    return 0;
}

enum ts_err snapshot_names(const char *dir, struct snapshot_names *l, struct ts_why *why)
{
    *l = (struct snapshot_names){0};
    if (ts_disk_list(dir, look_at_name, l) < 0) {
        return ts_why_sys(why, errno, "cannot look for snapshots in %s", dir);
    }
    return TS_OK;
}

static enum ts_err aside_path(char out[TS_PATH_MAX], const char *dir, struct ts_seq seq,
                              struct ts_why *why)
{
    return ts_path(out, why, dir, NAME_PREFIX "%020" PRIu64 ".new", seq.v);
}

enum ts_err snapshot_remove_unfinished(const char *dir, struct ts_why *why)
{
    for (;;) { /* mostly there is none */
        struct snapshot_names l;
        char path[TS_PATH_MAX];
        enum ts_err err = snapshot_names(dir, &l, why);
        if (err != TS_OK || l.unfinished.v == 0) {
            return err;
        }
        err = aside_path(path, dir, l.unfinished, why);
        if (err == TS_OK && ts_disk_unlink(path) != 0) {
            err = ts_why_sys(why, errno, "cannot remove %s", path);
        }
        if (err != TS_OK) {
            return err;
        }
    }
}

/* ---- writing ---- */

static enum ts_err put(struct snapshot_writer *w, const void *data, size_t len, struct ts_why *why)
{
    enum ts_err err = ts_fd_write_at(w->fd, w->aside, data, len, w->at, why);
    if (err != TS_OK) {
        return err;
    }
    w->at += len;
    w->unsynced += len;
    if (w->unsynced >= SYNC_STRIDE) {
        w->unsynced = 0;
        err = ts_fd_sync(w->fd, w->aside, why);
    }
    return err;
}

enum ts_err snapshot_write_begin(struct snapshot_writer **out, const char *dir,
                                 const struct snapshot_header *h, struct ts_why *why)
{
    struct snapshot_writer *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to write a snapshot in %s", dir);
    }
    w->dir = dir;
    w->fd = -1;
    w->seq = h->mark.pos.seq;
    enum ts_err err = snapshot_remove_unfinished(dir, why);
    if (err == TS_OK) {
        err = snapshot_path(w->path, dir, w->seq, why);
    }
    if (err == TS_OK) {
        err = aside_path(w->aside, dir, w->seq, why);
    }
    if (err == TS_OK) {
        w->fd = ts_disk_open(w->aside, O_RDWR | O_CREAT | O_TRUNC, 0600);
        err = w->fd < 0 ? ts_why_sys(why, errno, "cannot create %s", w->aside) : TS_OK;
    }
    if (err == TS_OK) {
        uint8_t mem[SNAPSHOT_HEADER_BYTES];
        struct ts_writer b = ts_writer_init(mem, sizeof(mem));
        snapshot_header_encode(h, &b);
        ts_assert(ts_writer_status(&b) == TS_OK);
        err = put(w, mem, b.len, why);
    }
    if (err != TS_OK) {
        snapshot_write_abort(w);
        return err;
    }
    *out = w;
    return TS_OK;
}

enum ts_err snapshot_write_piece(struct snapshot_writer *w, struct ts_bytes plain,
                                 struct ts_why *why)
{
    uint8_t *packed = NULL;
    size_t len = 0;
    enum ts_err err = snapshot_piece_pack(plain, &packed, &len);
    if (err != TS_OK) {
        return ts_why(why, err, "no memory to pack a piece of %zu bytes for %s", plain.len,
                      w->aside);
    }
    snapshot_trailer_add(&w->trailer, plain);
    err = put(w, packed, len, why);
    free(packed);
    return err;
}

const struct snapshot_trailer *snapshot_written(const struct snapshot_writer *w)
{
    return &w->trailer;
}

static void writer_free(struct snapshot_writer *w)
{
    if (w->fd >= 0) {
        (void)ts_disk_close(w->fd);
    }
    free(w);
}

void snapshot_write_abort(struct snapshot_writer *w)
{
    if (w->fd >= 0) {
        (void)ts_disk_unlink(w->aside);
    }
    writer_free(w);
}

void snapshot_write_besides(struct snapshot_writer *w, const struct snapshot_broken *broken)
{
    w->broken = *broken;
}

/* What was to come from another replica and broke off, when this one has got as far without it: it
 * costs room only, and nobody would ask for the rest. */
static void remove_needless_part(const struct snapshot_writer *w, const struct snapshot_names *l)
{
    char path[TS_PATH_MAX];
    if (l->part.v != 0 && !ts_seq_lt(w->seq, l->part) &&
        snapshot_part_path(path, w->dir, l->part, NULL) == TS_OK) {
        (void)ts_disk_unlink(path);
    }
}

/* Only when the new one is durable. A damaged one between those that are kept stays: the scrubber
 * removes it when it knows another one to be whole. */
static enum ts_err remove_old(const struct snapshot_writer *w, struct ts_seq *oldest,
                              struct ts_why *why)
{
    struct snapshot_names l;
    size_t kept = 0;
    oldest->v = 0;
    enum ts_err err = snapshot_names(w->dir, &l, why);
    if (err == TS_OK) {
        remove_needless_part(w, &l);
    }
    for (size_t i = 0; i < l.count && err == TS_OK; i++) {
        if (kept == SNAPSHOT_KEPT) {
            err = snapshot_remove(w->dir, l.seq[i], why);
        } else if (ts_seq_eq(l.seq[i], w->seq) || !snapshot_broken_has(&w->broken, l.seq[i])) {
            kept++;
            *oldest = kept == SNAPSHOT_KEPT ? l.seq[i] : *oldest;
        }
    }
    return err;
}

/* The trailer is behind the last piece, and the file has its name durably. */
static enum ts_err finish(struct snapshot_writer *w, const char *path, struct ts_why *why)
{
    uint8_t mem[SNAPSHOT_TRAILER_BYTES];
    struct ts_writer b = ts_writer_init(mem, sizeof(mem));
    snapshot_trailer_encode(&w->trailer, &b);
    ts_assert(ts_writer_status(&b) == TS_OK && b.len == sizeof(mem));
    enum ts_err err = put(w, mem, sizeof(mem), why);
    if (err == TS_OK) {
        err = ts_fd_sync(w->fd, w->aside, why);
    }
    if (err == TS_OK && ts_disk_rename(w->aside, path) != 0) {
        err = ts_why_sys(why, errno, "cannot rename %s", w->aside);
    }
    return err;
}

enum ts_err snapshot_write_end(struct snapshot_writer *w, struct ts_seq *oldest, struct ts_why *why)
{
    enum ts_err err = finish(w, w->path, why);
    if (err != TS_OK) {
        snapshot_write_abort(w);
        return err;
    }
    err = ts_dir_sync(w->dir, why);
    if (err == TS_OK) {
        err = remove_old(w, oldest, why);
    }
    writer_free(w);
    return err;
}

enum ts_err snapshot_write_diverged(struct snapshot_writer *w, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, w->dir, "diverged-%020" PRIu64, w->seq.v);
    err = err != TS_OK ? err : finish(w, path, why);
    if (err != TS_OK) {
        snapshot_write_abort(w);
        return err;
    }
    err = ts_dir_sync(w->dir, why);
    writer_free(w);
    return err;
}

enum ts_err snapshot_set_aside(const char *dir, struct ts_seq from, struct ts_seq base,
                               struct ts_seq *left, struct ts_why *why)
{
    struct snapshot_names l;
    enum ts_err err = snapshot_names(dir, &l, why);
    left->v = 0;
    for (size_t i = 0; i < l.count && err == TS_OK && left->v == 0; i++) {
        left->v = ts_seq_lt(l.seq[i], from) ? l.seq[i].v : 0;
    }
    if (err == TS_OK && ts_seq_lt(*left, base)) {
        *left = l.count > 0 ? l.seq[0] : *left;
        return ts_why(why, TS_ERR_GONE,
                      "%s has no snapshot from before entry %" PRIu64
                      " behind which its journal, which begins behind entry %" PRIu64
                      ", goes on: it cannot be replayed",
                      dir, from.v, base.v);
    }
    for (size_t i = 0; i < l.count && err == TS_OK && !ts_seq_lt(l.seq[i], from); i++) {
        char path[TS_PATH_MAX];
        char aside[TS_PATH_MAX];
        err = snapshot_path(path, dir, l.seq[i], why);
        err = err != TS_OK ? err : ts_path(aside, why, dir, "suspect-%020" PRIu64, l.seq[i].v);
        if (err == TS_OK && ts_disk_rename(path, aside) != 0) {
            err = ts_why_sys(why, errno, "cannot rename %s", path);
        }
    }
    return err != TS_OK ? err : ts_dir_sync(dir, why);
}
