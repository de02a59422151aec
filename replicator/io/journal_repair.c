/* Mending the log in place: batches that the device has spoiled are written again, byte for byte,
 * by the writing thread, between two groups.
 *
 * What is written is what was there: the batches' hashes lead from what is good before the damage
 * to what is good behind it, which is the next record of the segment, what the next segment says
 * that it follows, or the end of the log. When they do not, or when what is good cannot be found,
 * nothing is changed. A segment's header and base need no batches: what comes before is good. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/io/disk.h"
#include "replicator/io/journal_internal.h"

#define PAD_MAX (JOURNAL_SECTOR - 1)
#define LOOK_BYTES (64U * 1024U)

/* The segment as it is, and what is to stand in it. */
struct repair {
    struct journal *j;
    const struct journal_op *op;
    int fd;
    char path[TS_PATH_MAX];
    uint8_t *data; /* of the segment, from the damage up to `have`; zeros where it cannot be read */
    uint32_t have;
    uint32_t size;
    uint32_t from;  /* where the damage begins */
    uint32_t until; /* where it ends, at most: what is good begins there */
    size_t count;   /* batches in between */
    size_t bytes;   /* … and theirs, with the records' headers */
    bool to_end;    /* then the segment's end record is to stand there, too */
    bool begins;    /* its header and base were written again */
};

static const struct journal_batch *batches_of(const struct journal_op *op)
{
    return (const struct journal_batch *)(const void *)op->data;
}

/* ---- on the loop ------------------------------------------------------------------------ */

/* Whether each follows the one before, the first one what is good, and each is what it says. */
static bool continue_chain(const struct journal_flaw *flaw, const struct journal_batch *batches,
                           size_t count)
{
    struct ts_seq seq = flaw->after.seq;
    struct ts_hash hash = flaw->after.hash;
    for (size_t i = 0; i < count; i++) {
        const struct journal_batch *b = &batches[i];
        if (b->first.v != seq.v + 1 || b->last.v < b->first.v || !ts_hash_eq(b->prev, hash) ||
            !ts_hash_eq(b->hash, ts_hash_bytes(b->bytes.data, b->bytes.len))) {
            return false;
        }
        seq = b->last;
        hash = b->hash;
    }
    return true;
}

struct journal_op *journal_repair_op(const struct journal_flaw *flaw,
                                     const struct journal_batch *batches, size_t count)
{
    size_t len = count * sizeof(*batches);
    for (size_t i = 0; i < count; i++) {
        len += batches[i].bytes.len;
    }
    struct journal_op *op = malloc(sizeof(*op) + len);
    if (op == NULL) {
        return NULL;
    }
    memset(op, 0, sizeof(*op));
    op->kind = JOURNAL_OP_REPAIR;
    op->seq = flaw->after.seq;
    op->hash = flaw->after.hash;
    op->rec.batch.epoch = flaw->after.epoch;
    op->segment = flaw->segment;
    op->offset = flaw->offset;
    op->count = count;
    op->len = len;
    size_t at = count * sizeof(*batches);
    for (size_t i = 0; i < count; i++) {
        struct journal_batch b = batches[i];
        if (b.bytes.len > 0) {
            memcpy(op->data + at, b.bytes.data, b.bytes.len);
        }
        b.bytes.data = op->data + at;
        memcpy(op->data + i * sizeof(b), &b, sizeof(b));
        at += b.bytes.len;
    }
    return op;
}

bool journal_repair_fits(const struct journal_flaw *flaw, const struct journal_batch *batches,
                         size_t count)
{
    return continue_chain(flaw, batches, count);
}

/* ---- on the writing thread -------------------------------------------------------------- */

/* A sector that cannot be read is zeros: it holds nothing any more. */
static enum ts_err read_sectors(struct repair *v, uint32_t at, uint32_t len, struct ts_why *why)
{
    enum ts_err err = TS_OK;
    for (uint32_t i = 0; i < len && err == TS_OK; i += JOURNAL_SECTOR) {
        err = ts_fd_read_at(v->fd, v->path, v->data + at + i, JOURNAL_SECTOR, at + i, why);
        if (err == TS_ERR_IO) {
            memset(v->data + at + i, 0, JOURNAL_SECTOR);
            err = TS_OK;
        }
    }
    return err;
}

/* Whole blocks. */
static enum ts_err read_up_to(struct repair *v, uint32_t until, struct ts_why *why)
{
    enum ts_err err = TS_OK;
    while (err == TS_OK && v->have < until) {
        err = ts_fd_read_at(v->fd, v->path, v->data + v->have, JOURNAL_BLOCK, v->have, why);
        if (err == TS_ERR_IO) {
            err = read_sectors(v, v->have, JOURNAL_BLOCK, why);
        }
        v->have += JOURNAL_BLOCK;
    }
    return err;
}

static enum ts_err open_segment(struct repair *v, struct ts_why *why)
{
    struct journal_header want = {
        .incarnation = v->j->info.incarnation, .group = v->j->info.group, .number = v->op->segment};
    enum ts_err err = journal_segment_path(v->path, v->j->dir, want.number, why);
    if (err == TS_OK) {
        err = journal_segment_open(v->j->dir, &want, &v->fd, &v->size, why);
    }
    v->data = err == TS_OK ? calloc(1, v->size) : NULL;
    if (err == TS_OK && v->data == NULL) {
        err = ts_why(why, TS_ERR_NOMEM, "no memory to mend %s", v->path);
    }
    v->have = v->from / JOURNAL_BLOCK * JOURNAL_BLOCK;
    return err;
}

/* What the next segment says that it follows. */
static bool base_of_next(const struct repair *v, struct journal_place *base)
{
    char path[TS_PATH_MAX];
    uint64_t next = v->op->segment + 1;
    if (journal_segment_path(path, v->j->dir, next, NULL) != TS_OK) {
        return false;
    }
    int fd = ts_disk_open(path, O_RDONLY, 0);
    if (fd < 0) {
        return false;
    }
    enum ts_err err = journal_base_read(fd, path, v->j->info.incarnation, next, base, NULL);
    (void)ts_disk_close(fd);
    return err == TS_OK;
}

/* The log behind the first `count` batches. */
static struct journal_position behind(const struct repair *v, size_t count)
{
    const struct journal_batch *b = batches_of(v->op);
    if (count == 0) {
        return (struct journal_position){.seq = v->op->seq, .hash = v->op->hash};
    }
    return (struct journal_position){.seq = b[count - 1].last, .hash = b[count - 1].hash};
}

/* After how many of the batches the log is at this entry; false: after none of them. */
static bool count_up_to(const struct repair *v, struct ts_seq seq, size_t *count)
{
    size_t low = 0;
    size_t high = v->op->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ts_seq_lt(behind(v, mid).seq, seq)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *count = low;
    return ts_seq_eq(behind(v, low).seq, seq);
}

static size_t bytes_of(const struct repair *v, size_t count)
{
    const struct journal_batch *b = batches_of(v->op);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += JOURNAL_RECORD_HEADER + b[i].bytes.len;
    }
    return bytes;
}

/* Whether the first `count` batches, with what may lie between them, end at `at`. */
static bool ends_at(const struct repair *v, size_t count, uint64_t at)
{
    uint64_t least = (uint64_t)v->from + bytes_of(v, count);
    return at >= least && at - least <= count * PAD_MAX;
}

static void set_end(struct repair *v, size_t count, uint64_t until, bool to_end)
{
    v->count = count;
    v->bytes = bytes_of(v, count);
    v->until = (uint32_t)until;
    v->to_end = to_end;
}

/* What is known without a look at what is behind the damage: the end of the log; or, in a segment
 * before that, what the next one says that it follows, should the end record be damaged, too. */
static bool find_known_end(struct repair *v)
{
    struct journal_position end = v->j->end.pos;
    struct journal_place base;
    size_t count = 0;
    if (v->op->segment == end.segment) {
        bool is = count_up_to(v, end.seq, &count) && ts_hash_eq(behind(v, count).hash, end.hash) &&
                  ends_at(v, count, end.offset);
        if (is) {
            set_end(v, count, end.offset, false);
        }
        return is;
    }
    if (!base_of_next(v, &base) || !count_up_to(v, base.seq, &count) ||
        !ts_hash_eq(behind(v, count).hash, base.hash)) {
        return false;
    }
    uint64_t until = (uint64_t)v->from + bytes_of(v, count) + JOURNAL_RECORD_HEADER;
    if (until <= v->size) {
        set_end(v, count, until, true);
    }
    return until <= v->size;
}

/* Whether the record here continues what is good before the damage, or one of the batches, where it
 * should. Its checksum is looked at last: clients may have written what looks like many records. */
static bool is_good_record(struct repair *v, uint32_t at, size_t *count, struct ts_why *why)
{
    struct journal_record r;
    journal_record_peek(&r, v->data + at);
    struct ts_seq before = {r.batch.first.v - (r.kind == JOURNAL_KIND_END ? 0 : 1)};
    if (!count_up_to(v, before, count)) {
        return false;
    }
    struct journal_position pos = behind(v, *count);
    return journal_record_continues(&r, &pos) && ends_at(v, *count, at) &&
           read_up_to(v, at + (uint32_t)journal_record_need(v->data + at, v->size - at), why) ==
               TS_OK &&
           journal_record_decode(&r, v->data + at, v->size - at) == TS_OK;
}

/* The first good record behind the damage, not further than the batches reach. */
static bool find_record(struct repair *v, uint32_t limit, size_t *count, uint32_t *until,
                        struct ts_why *why)
{
    uint32_t at = v->from;
    while (at < limit) {
        uint32_t ahead = limit - at < LOOK_BYTES ? limit : at + LOOK_BYTES;
        if (read_up_to(v, ahead, why) != TS_OK) {
            return false;
        }
        uint32_t end = v->have < limit ? v->have : limit;
        size_t next = journal_record_search(v->data, at, end);
        if (next < end) {
            *until = (uint32_t)next;
            if (is_good_record(v, *until, count, why)) {
                return true;
            }
            at = *until + 1;
        } else if (end == limit) {
            break;
        } else {
            at = end - JOURNAL_RECORD_HEADER + 1;
        }
    }
    return false;
}

/* One look over what the batches reach, whatever their number: it is the writing thread's time. */
static bool find_hole(struct repair *v, struct ts_why *why)
{
    bool known = find_known_end(v);
    size_t most = known ? v->count : v->op->count;
    uint64_t reach = (uint64_t)v->from + bytes_of(v, most) + most * PAD_MAX + JOURNAL_RECORD_HEADER;
    uint32_t limit = reach < v->size ? (uint32_t)reach : v->size;
    size_t count = 0;
    uint32_t until = 0;
    if (find_record(v, limit, &count, &until, why) && count <= most) {
        set_end(v, count, until, false);
        known = true;
    }
    return known && v->until > v->from && read_up_to(v, v->until, why) == TS_OK;
}

/* The records, one behind the other; what is left over lies between them, as it did. */
static void fill_hole(struct repair *v)
{
    const struct journal_batch *b = batches_of(v->op);
    uint32_t at = v->from;
    size_t left = v->to_end ? 0 : v->until - v->from - v->bytes;
    struct journal_record r = {.kind = JOURNAL_KIND_BATCH};
    memset(v->data + v->from, 0, v->until - v->from);
    for (size_t i = 0; i < v->count; i++) {
        size_t pad = left < PAD_MAX ? left : PAD_MAX;
        r.pad = (uint16_t)pad;
        r.batch = b[i];
        memcpy(v->data + at + JOURNAL_RECORD_HEADER, b[i].bytes.data, b[i].bytes.len);
        journal_record_seal(&r, v->data + at);
        at += (uint32_t)journal_record_extent(&r);
        left -= pad;
    }
    if (v->to_end) {
        struct ts_seq seq = v->count > 0 ? b[v->count - 1].last : v->op->seq;
        struct ts_hash hash = v->count > 0 ? b[v->count - 1].hash : v->op->hash;
        r = (struct journal_record){
            .kind = JOURNAL_KIND_END,
            .batch = {.epoch = v->count > 0 ? b[v->count - 1].epoch : v->op->rec.batch.epoch,
                      .first = seq,
                      .last = seq,
                      .prev = hash,
                      .hash = hash}};
        journal_record_seal(&r, v->data + at);
        at += JOURNAL_RECORD_HEADER;
    }
    ts_assert(at == v->until && left == 0);
}

/* Whole blocks: what surrounds the hole is written as it was read, since a part of a block that
 * cannot be read cannot be written. */
static enum ts_err write_hole(struct repair *v, struct ts_why *why)
{
    uint32_t first = v->from / JOURNAL_BLOCK * JOURNAL_BLOCK;
    uint32_t until = v->until;
    enum ts_err err = TS_OK;
    if (v->to_end) { /* the old end record may have been a little further on: nothing is there */
        uint64_t most = (uint64_t)until + v->count * PAD_MAX + JOURNAL_RECORD_HEADER;
        until = most < v->size ? (uint32_t)most : v->size;
        err = read_up_to(v, until, why);
        memset(v->data + v->until, 0, until - v->until);
    }
    if (err != TS_OK) {
        return err;
    }
    uint32_t last = (until + JOURNAL_BLOCK - 1) / JOURNAL_BLOCK * JOURNAL_BLOCK;
    err = ts_fd_write_at(v->fd, v->path, v->data + first, last - first, first, why);
    return err == TS_OK ? ts_fd_sync(v->fd, v->path, why) : err;
}

/* Where the records stand now: they begin elsewhere than they did when what was left over lay
 * between others of them. */
static void move_in_index(struct repair *v)
{
    uint32_t at = v->from;
    for (size_t i = 0; i < v->count; i++) {
        journal_index_move(&v->j->index, batches_of(v->op)[i].first, at);
        at += (uint32_t)journal_record_need(v->data + at, v->size - at);
    }
}

/* Who reads meanwhile may find neither the old records nor the new ones. */
static enum ts_err replace_hole(struct repair *v, struct ts_why *why)
{
    struct journal *j = v->j;
    journal_lock(j);
    j->moves++;
    journal_unlock(j);
    enum ts_err err = write_hole(v, why);
    journal_lock(j);
    if (err == TS_OK) {
        move_in_index(v);
    }
    j->moves++;
    journal_unlock(j);
    return err;
}

/* A segment's beginning says what comes before it, which is what is good before the damage. */
static enum ts_err mend_beginning(struct repair *v, struct ts_why *why)
{
    const struct journal_op *op = v->op;
    struct journal_header is = {
        .incarnation = v->j->info.incarnation, .group = v->j->info.group, .number = op->segment};
    struct journal_place base = {op->seq, op->hash, op->rec.batch.epoch};
    if (op->offset != JOURNAL_DATA_START ||
        journal_segment_path(v->path, v->j->dir, op->segment, NULL) != TS_OK) {
        return TS_OK;
    }
    return journal_beginning_mend(v->path, &is, &base, &v->begins, why);
}

enum ts_err journal_do_repair(struct journal *j, struct journal_op *op, struct ts_why *why)
{
    struct repair v = {.j = j, .op = op, .fd = -1, .from = op->offset};
    struct ts_why what = {{0}};
    journal_lock(j);
    bool there = op->segment >= j->index.start.segment && op->segment <= j->end.pos.segment;
    journal_unlock(j);
    enum ts_err err = there ? mend_beginning(&v, why) : TS_OK;
    bool found = there && err == TS_OK && open_segment(&v, &what) == TS_OK && find_hole(&v, &what);
    if (found) {
        fill_hole(&v);
        err = replace_hole(&v, why);
    }
    op->mended = (found || v.begins) && err == TS_OK;
    if (v.fd >= 0) {
        (void)ts_disk_close(v.fd);
    }
    free(v.data);
    return err;
}
