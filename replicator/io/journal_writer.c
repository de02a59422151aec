/* What the writing thread does: takes what is queued, writes it as one group, syncs once, hands it
 * back. Nothing here runs on the loop but the list helpers. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/disk.h"
#include "replicator/io/journal_internal.h"

void journal_ops_init(struct journal_ops *l)
{
    *l = (struct journal_ops){0};
    l->tail = &l->head;
}

void journal_ops_push(struct journal_ops *l, struct journal_op *op)
{
    op->next = NULL;
    *l->tail = op;
    l->tail = &op->next;
    l->count++;
    l->bytes += op->len;
}

struct journal_op *journal_ops_pop(struct journal_ops *l)
{
    struct journal_op *op = l->head;
    if (op == NULL) {
        return NULL;
    }
    l->head = op->next;
    if (l->head == NULL) {
        l->tail = &l->head;
    }
    l->count--;
    l->bytes -= op->len;
    op->next = NULL;
    return op;
}

/* Moves all of `from` behind `to`. */
static void move_ops(struct journal_ops *to, struct journal_ops *from)
{
    if (from->head == NULL) {
        return;
    }
    *to->tail = from->head;
    to->tail = from->tail;
    to->count += from->count;
    to->bytes += from->bytes;
    journal_ops_init(from);
}

void journal_ops_free(struct journal_ops *l)
{
    struct journal_op *op;
    while ((op = journal_ops_pop(l)) != NULL) {
        free(op);
    }
}

/* ---- notes ---- */

/* Writes j->note (durable position and entries set by the caller) into its place in the ring. */
static enum ts_err write_note(struct journal *j, struct ts_why *why)
{
    j->end.note_count++;
    j->note.counter = j->end.note_count;
    j->note.incarnation = j->info.incarnation;
    j->note.segment = j->end.pos.segment;
    struct ts_writer w = ts_writer_init(j->note_block, sizeof(j->note_block));
    journal_note_encode(&j->note, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    /* What stands behind it is of the one before. Wiping the whole block would be seen in the
     * simulator only, where it is a hundredth of the time. */
    if (w.len < j->note_len) {
        memset(j->note_block + w.len, 0, j->note_len - w.len);
    }
    j->note_len = w.len;
    return ts_fd_write_at(j->end.fd, j->end.path, j->note_block, sizeof(j->note_block),
                          journal_note_offset(j->note.counter), why);
}

enum ts_err journal_write_note(struct journal *j, struct ts_why *why)
{
    j->note.durable = j->end.pos.seq;
    j->note.durable_hash = j->end.pos.hash;
    j->note.count = 0;
    return write_note(j, why);
}

static enum ts_err sync_segment(struct journal *j, struct ts_why *why)
{
    return ts_fd_sync(j->end.fd, j->end.path, why);
}

/* ---- groups ---- */

/* One pwritev in the making. */
struct group {
    struct iovec iov[JOURNAL_GROUP_OPS_MAX + 2]; /* records, padding, the end record */
    int count;
    size_t bytes;
    struct journal_position pos; /* the log end behind it */
    uint8_t end_record[JOURNAL_RECORD_HEADER];
};

static const uint8_t zero_sector[JOURNAL_SECTOR];

static void group_put(struct group *g, const void *data, size_t len)
{
    g->iov[g->count++] = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    g->bytes += len;
    g->pos.offset += (uint32_t)len;
}

/* Unused bytes behind a group that ends at `offset`: up to a whole sector, while an end record
 * still fits behind them. */
static uint16_t padding(uint32_t offset, uint32_t size)
{
    uint32_t pad = (JOURNAL_SECTOR - offset % JOURNAL_SECTOR) % JOURNAL_SECTOR;
    uint32_t left = size - JOURNAL_RECORD_HEADER - offset;
    return (uint16_t)(pad < left ? pad : left);
}

static void note_entry(struct journal_note *n, const struct journal_record *r, uint32_t offset)
{
    if (n->count == JOURNAL_NOTE_ENTRIES) {
        memmove(&n->entries[0], &n->entries[1], (n->count - 1) * sizeof(n->entries[0]));
        n->count--;
    }
    n->entries[n->count++] = (struct journal_note_entry){.first = r->batch.first,
                                                         .last = r->batch.last,
                                                         .offset = offset,
                                                         .length = (uint32_t)r->batch.bytes.len,
                                                         .crc = r->crc,
                                                         .hash = r->batch.hash};
}

/* Whether this record, and an end record behind it, still fit into the segment. */
static bool fits(const struct journal *j, const struct group *g, const struct journal_op *op)
{
    return op->len + JOURNAL_RECORD_HEADER <= j->end.size - g->pos.offset;
}

/* Puts as many of the appends at the head of `ops` into the group as fit into the segment and one
 * write; moves them to `taken`. The last one is padded. */
static void gather(struct journal *j, struct journal_ops *ops, struct journal_ops *taken,
                   struct group *g)
{
    while (ops->head != NULL && ops->head->kind == JOURNAL_OP_APPEND &&
           taken->count < JOURNAL_GROUP_OPS_MAX &&
           (taken->count == 0 || g->bytes + ops->head->len <= JOURNAL_GROUP_BYTES_MAX) &&
           fits(j, g, ops->head)) {
        struct journal_op *op = journal_ops_pop(ops);
        const struct journal_op *next = ops->head;
        uint32_t offset = g->pos.offset;
        bool last = next == NULL || next->kind != JOURNAL_OP_APPEND ||
                    taken->count + 1 == JOURNAL_GROUP_OPS_MAX ||
                    g->bytes + op->len + next->len > JOURNAL_GROUP_BYTES_MAX ||
                    op->len + next->len + JOURNAL_RECORD_HEADER > j->end.size - offset;
        uint16_t pad = last ? padding(offset + (uint32_t)op->len, j->end.size) : 0;
        op->rec.pad = pad;
        journal_record_seal(&op->rec, op->data);
        note_entry(&j->note, &op->rec, offset);
        group_put(g, op->data, op->len);
        if (pad > 0) {
            group_put(g, zero_sector, pad);
        }
        g->pos.seq = op->rec.batch.last;
        g->pos.hash = op->rec.batch.hash;
        g->pos.epoch = op->rec.batch.epoch;
        journal_ops_push(taken, op);
    }
}

/* The log goes on in the next segment. */
static void put_end_record(struct group *g)
{
    struct journal_record r = {.kind = JOURNAL_KIND_END,
                               .batch = {.epoch = g->pos.epoch,
                                         .first = g->pos.seq,
                                         .last = g->pos.seq,
                                         .prev = g->pos.hash,
                                         .hash = g->pos.hash}};
    journal_record_seal(&r, g->end_record);
    group_put(g, g->end_record, sizeof(g->end_record));
}

static enum ts_err write_vector(struct journal *j, struct group *g, struct ts_why *why)
{
    uint64_t at = j->end.pos.offset;
    struct iovec *iov = g->iov;
    int count = g->count;
    while (count > 0) {
        ssize_t n = ts_disk_write_vector(j->end.fd, iov, count, at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return ts_why_sys(why, n < 0 ? errno : EIO,
                              "cannot write the journal in %s (segment %" PRIu64 ", byte %" PRIu64
                              ")",
                              j->dir, j->end.pos.segment, at);
        }
        at += (uint64_t)n;
        while (count > 0 && (size_t)n >= iov->iov_len) {
            n -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    return TS_OK;
}

/* Where the log stands before the first record of a segment: what comes before may be dropped once
 * this is durable. */
static enum ts_err write_base(struct journal *j, struct ts_why *why)
{
    struct journal_base b = {.incarnation = j->info.incarnation,
                             .number = j->end.pos.segment,
                             .place = {j->end.pos.seq, j->end.pos.hash, j->end.pos.epoch}};
    return journal_base_write(j->end.fd, j->end.path, &b, why);
}

/* Records, their note, one sync; then the log ends behind them. */
static enum ts_err write_group(struct journal *j, struct group *g, struct ts_why *why)
{
    j->note_is_current = false;
    enum ts_err err = TS_OK;
    if (j->end.pos.offset == JOURNAL_DATA_START) {
        err = write_base(j, why);
    }
    if (err == TS_OK) {
        err = write_vector(j, g, why);
    }
    if (err == TS_OK) {
        err = write_note(j, why);
    }
    if (err == TS_OK) {
        err = sync_segment(j, why);
    }
    if (err == TS_OK) {
        j->end.pos = g->pos;
    }
    return err;
}

static bool spare_is_ready(struct journal *j)
{
    journal_lock(j);
    bool ready = j->spare.state == JOURNAL_SPARE_READY;
    journal_unlock(j);
    return ready;
}

/* Waits for the next segment when the disk was too slow to have it ready; a preparation that failed
 * without failing the journal is tried once more, now that it matters. */
static enum ts_err await_spare(struct journal *j, struct ts_why *why)
{
    struct journal_spare *s = &j->spare;
    bool retried = false;
    journal_lock(j);
    while (s->state == JOURNAL_SPARE_WANTED ||
           (s->state == JOURNAL_SPARE_FAILED && !retried && !j->failed)) {
        if (s->state == JOURNAL_SPARE_FAILED) {
            journal_spare_request(j, s->number);
            retried = true;
        } else {
            journal_await_spare(j);
        }
    }
    enum ts_err err = TS_OK;
    if (s->state == JOURNAL_SPARE_FAILED) {
        err = s->err;
        *why = s->why;
    }
    /* The preparing thread ends after this one. */
    ts_assert(s->state == JOURNAL_SPARE_READY || s->state == JOURNAL_SPARE_FAILED);
    journal_unlock(j);
    return err;
}

/* The end's segment is open, so its name is known to fit. */
void journal_name_end(struct journal *j)
{
    enum ts_err err = journal_segment_path(j->end.path, j->dir, j->end.pos.segment, NULL);
    ts_assert(err == TS_OK);
}

/* Goes on in the segment that is ready, and asks for the one after it. */
static void switch_segment(struct journal *j)
{
    struct journal_spare *s = &j->spare;
    journal_lock(j);
    ts_assert(s->state == JOURNAL_SPARE_READY && s->number == j->end.pos.segment + 1);
    (void)ts_disk_close(j->end.fd);
    j->end.fd = s->fd;
    j->end.size = s->size;
    j->end.pos.segment = s->number;
    j->end.pos.offset = JOURNAL_DATA_START;
    journal_name_end(j);
    s->fd = -1;
    s->state = JOURNAL_SPARE_NONE;
    journal_spare_request(j, j->end.pos.segment + 1);
    journal_unlock(j);
}

/* What was written is durable now: readers may find it. */
static void index_taken(struct journal *j, const struct journal_ops *taken, uint32_t offset,
                        uint64_t segment)
{
    journal_lock(j);
    for (const struct journal_op *op = taken->head; op != NULL; op = op->next) {
        journal_index_add(&j->index, op->rec.batch.first, segment, offset);
        offset += (uint32_t)(op->len + op->rec.pad);
    }
    journal_unlock(j);
}

/* Writes the appends at the head of `ops` (at least one), as many as go into one group, and moves
 * them to `done`; completes the segment when the next one does not fit. */
static enum ts_err do_appends(struct journal *j, struct journal_ops *ops, struct journal_ops *done,
                              struct ts_why *why)
{
    struct group g;
    g.count = 0; /* the vector is not worth clearing */
    g.bytes = 0;
    g.pos = j->end.pos;
    struct journal_ops taken;
    journal_ops_init(&taken);
    j->note.durable = j->end.pos.seq;
    j->note.durable_hash = j->end.pos.hash;
    j->note.count = 0;
    uint32_t offset = j->end.pos.offset;
    uint64_t segment = j->end.pos.segment;

    gather(j, ops, &taken, &g);
    bool full =
        ops->head != NULL && ops->head->kind == JOURNAL_OP_APPEND && !fits(j, &g, ops->head);
    enum ts_err err = TS_OK;
    if (full && taken.count == 0) {
        err = await_spare(j, why);
    } else if (full && !spare_is_ready(j)) {
        /* What fits need not wait for it. */
        full = false;
    }
    if (err == TS_OK && full) {
        /* Only now: an end record promises that the next segment is there. */
        put_end_record(&g);
    }
    if (err == TS_OK) {
        err = write_group(j, &g, why);
    }
    if (err == TS_OK) {
        index_taken(j, &taken, offset, segment);
    }
    move_ops(done, &taken);
    if (err == TS_OK && full) {
        switch_segment(j);
    }
    return err;
}

/* ---- truncation ---- */

/* Finds the end of the batch whose last seq is op->seq, and checks its hash. */
static enum ts_err find_cut(struct journal *j, const struct journal_op *op,
                            struct journal_position *cut, struct ts_why *why)
{
    struct journal_cursor c;
    journal_lock(j);
    struct journal_index_entry at = journal_index_find(&j->index, op->seq);
    *cut = (struct journal_position){.seq = j->base.seq,
                                     .hash = j->base.hash,
                                     .epoch = j->base.epoch,
                                     .segment = j->index.start.segment,
                                     .offset = JOURNAL_DATA_START};
    journal_unlock(j);
    journal_cursor_init(&c, j->dir, at.segment, at.offset);
    enum ts_err err = TS_OK;
    while (err == TS_OK && cut->seq.v < op->seq.v) {
        struct journal_record r;
        err = journal_cursor_next(&c, &r, why);
        if (err == TS_OK) {
            *cut = (struct journal_position){.seq = r.batch.last,
                                             .hash = r.batch.hash,
                                             .epoch = r.batch.epoch,
                                             .segment = c.segment,
                                             .offset = c.offset};
        }
    }
    journal_cursor_close(&c);
    if (err == TS_ERR_CORRUPT) { /* it cannot be cut there, nor go on */
        struct ts_why what = *why;
        return ts_why(why, err, "%s; let this replica be rebuilt from its peer", what.text);
    }
    if (err == TS_OK && (cut->seq.v != op->seq.v || !ts_hash_eq(cut->hash, op->hash))) {
        err = ts_why(why, TS_ERR_MALFORMED,
                     "the journal in %s cannot be cut after entry %" PRIu64
                     ": no batch of this hash ends there; this is a fault of the program, please "
                     "report it with the journal",
                     j->dir, op->seq.v);
    }
    return err;
}

/* Takes the spare out of the preparing thread's hands. */
static void drop_spare(struct journal *j)
{
    struct journal_spare *s = &j->spare;
    journal_lock(j);
    while (s->state == JOURNAL_SPARE_WANTED) {
        journal_await_spare(j);
    }
    if (s->fd >= 0) {
        (void)ts_disk_close(s->fd);
        s->fd = -1;
    }
    if (s->state != JOURNAL_SPARE_STOPPED) {
        s->state = JOURNAL_SPARE_NONE;
    }
    journal_unlock(j);
}

/* Removes segments from..to; those that are missing are fine. */
static enum ts_err remove_segments(struct journal *j, uint64_t from, uint64_t to,
                                   struct ts_why *why)
{
    /* The highest first: whatever a crash leaves is without a gap. */
    for (uint64_t n = to; n >= from; n--) {
        char path[TS_PATH_MAX];
        enum ts_err err = journal_segment_path(path, j->dir, n, why);
        if (err == TS_OK) {
            err = ts_file_remove(path, why);
        }
        if (err != TS_OK) {
            return err;
        }
    }
    return TS_OK;
}

/* Makes the segment of the cut the one being written. */
static enum ts_err go_back_to(struct journal *j, const struct journal_position *cut,
                              uint32_t *written_to, struct ts_why *why)
{
    *written_to = j->end.pos.offset;
    if (cut->segment != j->end.pos.segment) {
        struct journal_header want = {
            .incarnation = j->info.incarnation, .group = j->info.group, .number = cut->segment};
        int fd = -1;
        uint32_t size = 0;
        enum ts_err err = journal_segment_open(j->dir, &want, &fd, &size, why);
        if (err != TS_OK) {
            return err;
        }
        (void)ts_disk_close(j->end.fd);
        j->end.fd = fd;
        j->end.size = size;
        *written_to = size;
    }
    j->end.pos = *cut;
    journal_name_end(j);
    return TS_OK;
}

/* First the note, durably: from then on a log that ends here is no loss. Then zeros over what was
 * cut off, so that no later append can be followed by an old record that happens to continue it. */
static enum ts_err do_truncate(struct journal *j, const struct journal_op *op, struct ts_why *why)
{
    if (op->seq.v == j->end.pos.seq.v && ts_hash_eq(op->hash, j->end.pos.hash)) {
        return TS_OK;
    }
    struct journal_position cut;
    uint64_t last_segment = j->end.pos.segment;
    uint32_t written_to = 0;
    enum ts_err err = find_cut(j, op, &cut, why);
    if (err == TS_OK) {
        err = go_back_to(j, &cut, &written_to, why);
    }
    if (err != TS_OK) {
        return err;
    }
    journal_lock(j);
    journal_index_cut(&j->index, op->seq);
    journal_unlock(j);
    err = journal_write_note(j, why);
    if (err == TS_OK) {
        err = sync_segment(j, why);
    }
    if (err == TS_OK) {
        err = journal_segment_zero(j->end.fd, j->end.path, cut.offset, written_to, why);
    }
    if (err == TS_OK) {
        err = sync_segment(j, why);
    }
    if (err == TS_OK && cut.segment != last_segment) {
        drop_spare(j);
        err = remove_segments(j, cut.segment + 1, last_segment + 1, why);
        journal_lock(j);
        if (j->spare.state == JOURNAL_SPARE_NONE && !j->failed) {
            journal_spare_request(j, cut.segment + 1);
        }
        journal_unlock(j);
    }
    j->note_is_current = err == TS_OK;
    return err;
}

/* ---- dropping what a snapshot holds ---- */

/* What precedes the first record of this segment; false when that cannot be told. */
static bool base_of(struct journal *j, uint64_t number, struct journal_place *base)
{
    char path[TS_PATH_MAX];
    if (journal_segment_path(path, j->dir, number, NULL) != TS_OK) {
        return false;
    }
    int fd = ts_disk_open(path, O_RDONLY, 0);
    if (fd < 0) {
        return false;
    }
    enum ts_err err = journal_base_read(fd, path, j->info.incarnation, number, base, NULL);
    (void)ts_disk_close(fd);
    return err == TS_OK;
}

/* The segment of the newest record that is not behind op->seq + 1 stays, with all after it: its
 * base was made durable with its first record. When that cannot be read any more nothing is
 * dropped: the next start finds the damage, and mends it from what comes before. */
static enum ts_err do_drop(struct journal *j, const struct journal_op *op, struct ts_why *why)
{
    struct journal_place base;
    journal_lock(j);
    uint64_t first = j->index.start.segment;
    uint64_t keep = journal_index_find(&j->index, ts_seq_add(op->seq, 1)).segment;
    journal_unlock(j);
    if (keep == first || !base_of(j, keep, &base)) {
        return TS_OK;
    }
    /* Readers first: they are told that it is gone, not that it is missing. */
    journal_lock(j);
    journal_index_begin(&j->index, keep, base.seq);
    j->base = base;
    journal_unlock(j);
    for (uint64_t n = first; n < keep; n++) {
        char path[TS_PATH_MAX];
        enum ts_err err = journal_segment_path(path, j->dir, n, why);
        if (err == TS_OK) {
            err = ts_file_remove(path, why);
        }
        if (err != TS_OK) {
            return err;
        }
    }
    return TS_OK;
}

/* ---- a turn ---- */

static enum ts_err do_record(struct journal *j, const struct journal_op *op, struct ts_why *why)
{
    return ts_slot_write(j->record_file, (struct ts_bytes){op->data, op->len}, why);
}

/* Carries out the head of `ops` (and what can go with it); what is finished moves to `done`. */
static enum ts_err do_some(struct journal *j, struct journal_ops *ops, struct journal_ops *done,
                           struct ts_why *why)
{
    if (ops->head->kind == JOURNAL_OP_APPEND) {
        return do_appends(j, ops, done, why);
    }
    struct journal_op *op = journal_ops_pop(ops);
    journal_ops_push(done, op);
    switch (op->kind) {
    case JOURNAL_OP_TRUNCATE:
        return do_truncate(j, op, why);
    case JOURNAL_OP_RECORD:
        return do_record(j, op, why);
    case JOURNAL_OP_DROP:
        return do_drop(j, op, why);
    case JOURNAL_OP_REPAIR:
        return journal_do_repair(j, op, why);
    case JOURNAL_OP_APPEND:
        break;
    }
    ts_unreachable();
}

/* Whether an error casts doubt on the disk: these do, and no others. One that is merely full does
 * not, since what was reported is safe; nor does a call that could not be done for another reason.
 */
static bool is_disk_failure(enum ts_err err)
{
    return err == TS_ERR_IO || err == TS_ERR_SYSTEM || err == TS_ERR_CORRUPT || err == TS_ERR_SHORT;
}

enum ts_err journal_distrust(const struct journal *j, enum ts_err err, const struct ts_why *why)
{
    /* A file of the journal that is not there, or is another one, was there before. */
    if (is_disk_failure(err) || err == TS_ERR_NOT_FOUND || err == TS_ERR_VERSION) {
        ts_dir_abandon(j->dir, why != NULL ? why->text : ts_err_text(err));
    }
    return err;
}

/* After a failure nothing counts any more, not even what this group may have written (R2.11). Of
 * two failures, one of each thread, the first is told. */
static void set_failed(struct journal *j, enum ts_err err, const struct ts_why *why)
{
    (void)journal_distrust(j, err, why);
    journal_lock(j);
    if (!j->failed) {
        j->failed = true;
        j->failed_err = err;
        j->failed_why = *why;
    }
    journal_ops_free(&j->queue);
    journal_unlock(j);
    journal_wake_loop(j);
}

static void fail(struct journal *j, enum ts_err err, const struct ts_why *why)
{
    journal_ops_free(&j->taken);
    set_failed(j, err, why);
}

/* What the writer has in hand is the writer's: it drops that at its next turn. */
void journal_doubt(struct journal *j, enum ts_err err, const struct ts_why *why)
{
    if (is_disk_failure(err)) {
        set_failed(j, err, why);
    }
}

/* Hands finished calls to the loop; after a failure of the other thread, drops them. */
static void publish(struct journal *j, struct journal_ops *done)
{
    journal_lock(j);
    if (j->failed) {
        journal_ops_free(done);
    } else {
        move_ops(&j->done, done);
    }
    journal_unlock(j);
    journal_wake_loop(j);
}

bool journal_write_take(struct journal *j)
{
    if (j->failed) {
        journal_ops_free(&j->taken);
        journal_ops_free(&j->queue);
        return false;
    }
    move_ops(&j->taken, &j->queue);
    return j->taken.head != NULL;
}

static bool has_failed(struct journal *j)
{
    journal_lock(j);
    bool failed = j->failed;
    journal_unlock(j);
    return failed;
}

bool journal_write_some(struct journal *j)
{
    struct ts_why why = {{0}};
    struct journal_ops done;
    journal_ops_init(&done);
    if (has_failed(j)) {
        journal_ops_free(&j->taken);
        return false;
    }
    enum ts_err err = do_some(j, &j->taken, &done, &why);
    if (err == TS_OK) {
        publish(j, &done);
    } else {
        journal_ops_free(&done);
        fail(j, err, &why);
    }
    return j->taken.head != NULL;
}

bool journal_idle_note_due(const struct journal *j)
{
    return !j->note_is_current && !j->failed;
}

void journal_write_idle_note(struct journal *j)
{
    struct ts_why why = {{0}};
    enum ts_err err = journal_write_note(j, &why);
    j->note_is_current = true;
    if (err != TS_OK) {
        fail(j, err, &why);
    }
}
