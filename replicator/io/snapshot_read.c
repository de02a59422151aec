/* Reading a snapshot: every byte is checked before anybody believes it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/io/disk.h"
#include "replicator/io/snapshot_internal.h"

struct reader {
    const char *path; /* borrowed */
    int fd;
    uint64_t at;   /* of the next bytes */
    uint64_t size; /* of the file */
    uint8_t *packed;
    size_t packed_cap;
    uint8_t *plain;
    size_t plain_cap;
    struct snapshot_trailer sum; /* of the pieces so far */
};

static enum ts_err damaged(const struct reader *r, struct ts_why *why)
{
    return ts_why(why, TS_ERR_CORRUPT, "the snapshot %s is damaged at byte %" PRIu64, r->path,
                  r->at);
}

static enum ts_err make_room(uint8_t **data, size_t *cap, size_t len, const struct reader *r,
                             struct ts_why *why)
{
    if (*cap >= len) {
        return TS_OK;
    }
    uint8_t *grown = realloc(*data, len);
    if (grown == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to read %zu bytes of %s", len, r->path);
    }
    *data = grown;
    *cap = len;
    return TS_OK;
}

/* The next `len` bytes, which the file has. */
static enum ts_err fetch(struct reader *r, size_t len, struct ts_why *why)
{
    if (r->size - r->at < len) {
        return damaged(r, why);
    }
    enum ts_err err = make_room(&r->packed, &r->packed_cap, len, r, why);
    return err != TS_OK ? err : ts_fd_read_at(r->fd, r->path, r->packed, len, r->at, why);
}

static enum ts_err read_header(struct reader *r, struct ts_incarnation incarnation,
                               struct ts_group_id group, struct ts_seq seq,
                               struct snapshot_header *h, struct ts_why *why)
{
    enum ts_err err = fetch(r, SNAPSHOT_HEADER_BYTES, why);
    if (err != TS_OK) {
        return err;
    }
    err = snapshot_header_decode(h, r->packed, SNAPSHOT_HEADER_BYTES);
    if (err == TS_ERR_VERSION) {
        return ts_why(why, err,
                      "%s has a format that this release does not know; use the release that wrote "
                      "it, or a newer one",
                      r->path);
    }
    if (err != TS_OK) {
        return damaged(r, why);
    }
    bool any = incarnation.v == 0; /* a backup is nobody's */
    if (!any && (!ts_incarnation_eq(h->incarnation, incarnation) || h->group.v != group.v ||
                 h->mark.pos.seq.v != seq.v)) {
        return ts_why(why, TS_ERR_CORRUPT,
                      "%s holds entries up to %" PRIu64 " of group %u for incarnation %016" PRIx64
                      ", and should be of group %u for %016" PRIx64
                      ": it was copied from another disk, or renamed",
                      r->path, h->mark.pos.seq.v, h->group.v, h->incarnation.v, group.v,
                      incarnation.v);
    }
    r->at += SNAPSHOT_HEADER_BYTES;
    return TS_OK;
}

/* The next piece, or TS_ERR_NOT_FOUND when the trailer is next. */
static enum ts_err read_piece(struct reader *r, struct ts_bytes *piece, struct ts_why *why)
{
    struct snapshot_head h;
    enum ts_err err = fetch(r, SNAPSHOT_HEAD_BYTES, why);
    if (err != TS_OK) {
        return err;
    }
    err = snapshot_head_decode(&h, r->packed, SNAPSHOT_HEAD_BYTES);
    if (err == TS_ERR_NOT_FOUND) {
        return err;
    }
    if (err != TS_OK) {
        return damaged(r, why);
    }
    err = fetch(r, SNAPSHOT_HEAD_BYTES + (size_t)h.stored, why);
    if (err == TS_OK) {
        err = make_room(&r->plain, &r->plain_cap, h.plain, r, why);
    }
    if (err != TS_OK) {
        return err;
    }
    err = snapshot_piece_unpack(r->packed, SNAPSHOT_HEAD_BYTES + (size_t)h.stored, r->plain);
    if (err == TS_ERR_NOMEM) {
        return ts_why(why, err, "no memory to unpack %s", r->path);
    }
    if (err != TS_OK) {
        return damaged(r, why);
    }
    *piece = (struct ts_bytes){r->plain, h.plain};
    r->at += SNAPSHOT_HEAD_BYTES + (uint64_t)h.stored;
    return TS_OK;
}

static enum ts_err read_trailer(struct reader *r, struct snapshot_trailer *t, struct ts_why *why)
{
    size_t left = r->size - r->at < SNAPSHOT_TRAILER_BYTES + 1 ? (size_t)(r->size - r->at)
                                                               : SNAPSHOT_TRAILER_BYTES + 1;
    enum ts_err err = fetch(r, left, why);
    if (err != TS_OK) {
        return err;
    }
    if (snapshot_trailer_decode(t, r->packed, left) != TS_OK || t->pieces != r->sum.pieces ||
        t->bytes != r->sum.bytes || !ts_hash_eq(t->content, r->sum.content)) {
        return damaged(r, why);
    }
    return TS_OK;
}

static enum ts_err read_all(struct reader *r, snapshot_piece_fn *piece, void *arg,
                            struct snapshot_info *info, struct ts_why *why)
{
    for (;;) {
        struct ts_bytes p = {NULL, 0};
        enum ts_err err = read_piece(r, &p, why);
        if (err == TS_ERR_NOT_FOUND) {
            return read_trailer(r, &info->trailer, why);
        }
        if (err != TS_OK) {
            return err;
        }
        snapshot_trailer_add(&r->sum, p);
        err = piece != NULL ? piece(arg, p, why) : TS_OK;
        if (err != TS_OK) {
            return err;
        }
    }
}

enum ts_err snapshot_read(const char *dir, struct ts_seq seq, struct ts_incarnation incarnation,
                          struct ts_group_id group, snapshot_piece_fn *piece, void *arg,
                          struct snapshot_info *info, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = snapshot_path(path, dir, seq, why);
    return err != TS_OK ? err
                        : snapshot_read_file(path, seq, incarnation, group, piece, arg, info, why);
}

/* Whose snapshot it must be, and of which entry; incarnation 0: that is not looked at. */
struct owner {
    struct ts_incarnation incarnation;
    struct ts_group_id group;
    struct ts_seq seq;
};

static enum ts_err read_at(const char *path, uint64_t offset, const struct owner *owner,
                           snapshot_piece_fn *piece, void *arg, struct snapshot_info *info,
                           struct ts_why *why)
{
    struct reader r = {.path = path, .fd = -1, .at = offset};
    enum ts_err err = TS_OK;
    *info = (struct snapshot_info){.file_bytes = 0};
    r.fd = ts_disk_open(r.path, O_RDONLY, 0);
    if (r.fd < 0) {
        return ts_why_sys(why, errno, "cannot open %s", r.path);
    }
    if (ts_disk_size(r.fd, &r.size) != 0) {
        err = ts_why_sys(why, errno, "cannot look at %s", r.path);
    } else if (r.size < offset) {
        err = damaged(&r, why);
    }
    info->file_bytes = r.size;
    if (err == TS_OK) {
        err = read_header(&r, owner->incarnation, owner->group, owner->seq, &info->header, why);
    }
    if (err == TS_OK) {
        err = read_all(&r, piece, arg, info, why);
    }
    (void)ts_disk_close(r.fd);
    free(r.packed);
    free(r.plain);
    return err;
}

/* ---- looking for damage ---- */

struct snapshot_scrub {
    struct reader r;
    char path[TS_PATH_MAX];
};

void snapshot_scrub_end(struct snapshot_scrub *s)
{
    if (s->r.fd >= 0) {
        (void)ts_disk_close(s->r.fd);
    }
    free(s->r.packed);
    free(s->r.plain);
    free(s);
}

enum ts_err snapshot_remove(const char *dir, struct ts_seq seq, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = snapshot_path(path, dir, seq, why);
    return err != TS_OK ? err : ts_file_remove(path, why);
}

uint64_t snapshot_scrub_bytes(const struct snapshot_scrub *s)
{
    return s->r.at;
}

/* The newest below, 0: there is none. */
static enum ts_err find_below(const char *dir, struct ts_seq below, struct ts_seq *seq,
                              struct ts_why *why)
{
    struct snapshot_names l;
    seq->v = 0;
    enum ts_err err = snapshot_names(dir, &l, why);
    for (size_t i = 0; err == TS_OK && i < l.count && seq->v == 0; i++) {
        *seq = ts_seq_lt(l.seq[i], below) ? l.seq[i] : *seq;
    }
    return err;
}

enum ts_err snapshot_scrub_begin(struct snapshot_scrub **out, const char *dir, struct ts_seq below,
                                 struct ts_incarnation incarnation, struct ts_group_id group,
                                 struct ts_seq *seq, struct ts_why *why)
{
    *out = NULL;
    enum ts_err err = find_below(dir, below, seq, why);
    if (err != TS_OK || seq->v == 0) {
        return err;
    }
    struct snapshot_scrub *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to look through a snapshot in %s", dir);
    }
    s->r = (struct reader){.path = s->path, .fd = -1};
    err = snapshot_path(s->path, dir, *seq, why);
    if (err == TS_OK) {
        s->r.fd = ts_disk_open(s->path, O_RDONLY, 0);
        err = s->r.fd < 0 ? ts_why_sys(why, errno, "cannot open %s", s->path) : TS_OK;
    }
    if (err == TS_OK && ts_disk_size(s->r.fd, &s->r.size) != 0) {
        err = ts_why_sys(why, errno, "cannot look at %s", s->path);
    }
    if (err == TS_OK) {
        struct snapshot_header h;
        ts_disk_forget(s->r.fd);
        err = read_header(&s->r, incarnation, group, *seq, &h, why);
    }
    if (err != TS_OK) {
        snapshot_scrub_end(s);
        return err;
    }
    *out = s;
    return TS_OK;
}

enum ts_err snapshot_scrub_step(struct snapshot_scrub *s, size_t bytes, bool *more,
                                struct ts_why *why)
{
    uint64_t until = s->r.at + bytes;
    enum ts_err err = TS_OK;
    *more = true;
    while (err == TS_OK && s->r.at < until) {
        struct ts_bytes p = {NULL, 0};
        err = read_piece(&s->r, &p, why);
        if (err == TS_OK) {
            snapshot_trailer_add(&s->r.sum, p);
        }
    }
    if (err == TS_ERR_NOT_FOUND) {
        struct snapshot_trailer t;
        *more = false;
        err = read_trailer(&s->r, &t, why);
    }
    return err;
}

/* ---- the start ---- */

enum ts_err snapshot_read_file(const char *path, struct ts_seq seq,
                               struct ts_incarnation incarnation, struct ts_group_id group,
                               snapshot_piece_fn *piece, void *arg, struct snapshot_info *info,
                               struct ts_why *why)
{
    const struct owner owner = {incarnation, group, seq};
    return read_at(path, 0, &owner, piece, arg, info, why);
}

enum ts_err snapshot_read_any(const char *path, uint64_t offset, snapshot_piece_fn *piece,
                              void *arg, struct snapshot_info *info, struct ts_why *why)
{
    const struct owner anybody = {.incarnation = {0}};
    return read_at(path, offset, &anybody, piece, arg, info, why);
}

/* Whether the one before may be tried instead. */
static bool is_broken(enum ts_err err)
{
    return err == TS_ERR_CORRUPT || err == TS_ERR_IO || err == TS_ERR_SHORT;
}

enum ts_err snapshot_remove_newer(const char *dir, struct ts_seq seq, struct ts_why *why)
{
    struct snapshot_names l;
    enum ts_err err = snapshot_names(dir, &l, why);
    for (size_t i = 0; i < l.count && err == TS_OK && ts_seq_lt(seq, l.seq[i]); i++) {
        err = snapshot_remove(dir, l.seq[i], why);
    }
    return err;
}

enum ts_err snapshot_find(const char *dir, struct ts_incarnation incarnation,
                          struct ts_group_id group, snapshot_broken_fn *broken, void *arg,
                          bool *found, struct snapshot_info *info, struct ts_why *why)
{
    struct snapshot_names l;
    *found = false;
    enum ts_err err = snapshot_remove_unfinished(dir, why);
    if (err == TS_OK) {
        err = snapshot_names(dir, &l, why);
    }
    if (err != TS_OK) {
        return err;
    }
    for (size_t i = 0; i < l.count; i++) {
        struct ts_why what;
        err = snapshot_read(dir, l.seq[i], incarnation, group, NULL, NULL, info, &what);
        if (err == TS_OK) {
            *found = true;
            info->before = i + 1 < l.count ? l.seq[i + 1] : (struct ts_seq){0};
            return TS_OK;
        }
        if (!is_broken(err)) {
            return ts_why(why, err, "%s", what.text);
        }
        broken(arg, what.text);
    }
    return l.count == 0 ? TS_OK
                        : ts_why(why, TS_ERR_CORRUPT,
                                 "none of the snapshots in %s is whole; nothing was removed: put "
                                 "the right files back, or let this replica be rebuilt from its "
                                 "peer, on a new disk",
                                 dir);
}
