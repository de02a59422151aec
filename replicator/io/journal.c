/* The loop's side of the journal: format, open, calls, completions, close. */
#include "replicator/io/journal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/disk.h"
#include "replicator/io/journal_internal.h"

#define QUEUE_OPS_DEFAULT 4096U
#define QUEUE_BYTES_DEFAULT (64U * 1024U * 1024U)
#define META_VERSION 2U

void journal_meta_encode(const struct journal_meta *m, struct ts_writer *w)
{
    ts_put_u32(w, META_VERSION);
    ts_put_u64(w, m->start_number);
    ts_put_u16(w, m->group.v);
    ts_put_u64(w, m->start_instance.v);
    ts_put_u8(w, m->start_registered ? 1 : 0);
}

enum ts_err journal_meta_decode(struct journal_meta *m, struct ts_reader *r)
{
    uint32_t version = ts_get_u32(r);
    if (ts_reader_status(r) == TS_OK && version != META_VERSION) {
        return TS_ERR_VERSION;
    }
    m->start_number = ts_get_u64(r);
    m->group.v = ts_get_u16(r);
    m->start_instance.v = ts_get_u64(r);
    uint8_t registered = ts_get_u8(r);
    m->start_registered = registered == 1;
    if (registered > 1 || (!m->start_registered && m->start_instance.v == 0)) {
        ts_reader_fail(r);
    }
    return ts_reader_status(r);
}

/* Meta and the replica's bytes, as the slot file holds them. `out` has room for both. */
static struct ts_bytes join_record(uint8_t *out, size_t cap, const struct journal_meta *m,
                                   struct ts_bytes opaque)
{
    struct ts_writer w = ts_writer_init(out, cap);
    journal_meta_encode(m, &w);
    ts_put_bytes(&w, opaque.data, opaque.len);
    ts_assert(ts_writer_status(&w) == TS_OK);
    return (struct ts_bytes){out, w.len};
}

static enum ts_err take_options(struct journal_options *o, const struct journal_options *given,
                                const char *dir, struct ts_why *why)
{
    *o = given != NULL ? *given : (struct journal_options){0};
    if (o->segment_bytes == 0) {
        o->segment_bytes = JOURNAL_SEGMENT_BYTES_DEFAULT;
    }
    if (o->queue_ops_max == 0) {
        o->queue_ops_max = QUEUE_OPS_DEFAULT;
    }
    if (o->queue_bytes_max == 0) {
        o->queue_bytes_max = QUEUE_BYTES_DEFAULT;
    }
    if (o->segment_bytes < JOURNAL_SEGMENT_BYTES_MIN ||
        o->segment_bytes > JOURNAL_SEGMENT_BYTES_MAX || o->segment_bytes % JOURNAL_BLOCK != 0) {
        return ts_why(why, TS_ERR_LIMIT,
                      "a journal segment of %" PRIu32
                      " bytes is not allowed in %s: choose a multiple of %u from %u to %u",
                      o->segment_bytes, dir, JOURNAL_BLOCK, JOURNAL_SEGMENT_BYTES_MIN,
                      JOURNAL_SEGMENT_BYTES_MAX);
    }
    return TS_OK;
}

enum ts_err journal_format(const char *dir, struct ts_incarnation incarnation,
                           struct ts_group_id group, struct ts_bytes record,
                           const struct journal_options *options, struct ts_why *why)
{
    struct journal_options o;
    enum ts_err err = take_options(&o, options, dir, why);
    if (err != TS_OK) {
        return err;
    }
    if (record.len > JOURNAL_RECORD_MAX) {
        return ts_why(why, TS_ERR_LIMIT, "the replica record for %s has %zu bytes; at most %u fit",
                      dir, record.len, JOURNAL_RECORD_MAX);
    }
    char staging[TS_PATH_MAX];
    char path[TS_PATH_MAX];
    err = ts_dir_stage_begin(dir, staging, why);
    if (err == TS_OK) {
        err = ts_path(path, why, staging, "record");
    }
    if (err == TS_OK) {
        uint8_t mem[JOURNAL_META_SIZE + JOURNAL_RECORD_MAX];
        struct ts_bytes joined =
            join_record(mem, sizeof(mem),
                        &(struct journal_meta){.group = group, .start_registered = true}, record);
        err = ts_slot_format(path, incarnation, sizeof(mem), joined, why);
    }
    if (err == TS_OK) {
        struct journal_header h = {.incarnation = incarnation,
                                   .group = group,
                                   .number = JOURNAL_FIRST_SEGMENT,
                                   .size = o.segment_bytes};
        struct journal_place base = {{0}, {0, 0}, {0}};
        err = journal_segment_create(staging, &h, &base, NULL, why);
    }
    if (err == TS_OK) {
        err = ts_dir_reserve_mark(staging, why);
    }
    return err != TS_OK ? err : ts_dir_stage_finish(dir, why);
}

enum ts_err journal_begin_behind(const char *dir, struct ts_incarnation incarnation,
                                 struct ts_group_id group, const struct journal_place *place,
                                 struct ts_why *why)
{
    struct journal_header want = {
        .incarnation = incarnation, .group = group, .number = JOURNAL_FIRST_SEGMENT};
    struct journal_base base = {
        .incarnation = incarnation, .number = JOURNAL_FIRST_SEGMENT, .place = *place};
    char path[TS_PATH_MAX];
    int fd = -1;
    uint32_t size = 0;
    enum ts_err err = journal_segment_path(path, dir, want.number, why);
    err = err != TS_OK ? err : journal_segment_open(dir, &want, &fd, &size, why);
    if (err != TS_OK) {
        return err;
    }
    err = journal_base_write(fd, path, &base, why);
    err = err != TS_OK ? err : ts_fd_sync(fd, path, why);
    (void)ts_disk_close(fd);
    return err;
}

/* ---- open ---- */

/* Reads the record, keeps the replica's bytes. */
static enum ts_err open_record(struct journal *j, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, j->dir, "record");
    if (err == TS_OK) {
        err = ts_slot_open(&j->record_file, path, (struct ts_incarnation){0}, why);
    }
    if (err != TS_OK) {
        return err == TS_ERR_IO ? journal_distrust(j, err, why) : err;
    }
    struct ts_bytes value = ts_slot_value(j->record_file);
    struct ts_reader r = ts_reader_init(value.data, value.len);
    struct journal_meta m;
    err = journal_meta_decode(&m, &r);
    if (err == TS_ERR_VERSION) {
        return ts_why(why, err,
                      "%s has a format that this release does not know; use the release that wrote "
                      "it, or a newer one",
                      path);
    }
    size_t len = ts_reader_left(&r);
    if (err != TS_OK || len > JOURNAL_RECORD_MAX) {
        return ts_why(
            why, TS_ERR_CORRUPT,
            "%s does not hold a replica's record; put the right file back, or enrol a new "
            "disk",
            path);
    }
    struct ts_bytes opaque = ts_get_bytes(&r, len);
    if (opaque.data != NULL && len > 0) {
        memcpy(j->record_found, opaque.data, len);
    }
    j->record_found_len = len;
    j->info.incarnation = ts_slot_incarnation(j->record_file);
    j->info.group = m.group;
    j->info.start_number = m.start_number;
    j->info.start_instance = m.start_instance;
    j->start_registered = m.start_registered;
    j->info.repaired = ts_slot_repaired(j->record_file);
    return TS_OK;
}

static struct ts_bytes record_with_meta(const struct journal *j, uint8_t *out, size_t cap,
                                        struct ts_bytes opaque)
{
    struct journal_meta m = {.start_number = j->info.start_number,
                             .group = j->info.group,
                             .start_instance = j->info.start_instance,
                             .start_registered = j->start_registered};
    return join_record(out, cap, &m, opaque);
}

/* R1.8. A start that is not known to be registered is repeated, not raised: otherwise a rolled-back
 * image would come closer to acceptance with every start that ends before the voters refuse it. */
static enum ts_err raise_start_number(struct journal *j, struct ts_why *why)
{
    if (!j->start_registered) {
        return TS_OK;
    }
    j->info.start_number++;
    j->info.start_instance.v = ts_random_id();
    j->start_registered = false;
    uint8_t mem[JOURNAL_META_SIZE + JOURNAL_RECORD_MAX];
    struct ts_bytes opaque = {j->record_found, j->record_found_len};
    enum ts_err err =
        ts_slot_write(j->record_file, record_with_meta(j, mem, sizeof(mem), opaque), why);
    return journal_distrust(j, err, why);
}

void journal_free(struct journal *j)
{
    ts_slot_close(j->record_file);
    if (j->end.fd >= 0) {
        (void)ts_disk_close(j->end.fd);
    }
    if (j->spare.fd >= 0) {
        (void)ts_disk_close(j->spare.fd);
    }
    journal_ops_free(&j->queue);
    journal_ops_free(&j->taken);
    journal_ops_free(&j->done);
    free(j->index.entries);
    journal_threads_destroy(j);
    free(j);
}

static struct journal *journal_new(uv_loop_t *loop, const char *dir,
                                   const struct journal_callbacks *callbacks)
{
    struct journal *j = calloc(1, sizeof(*j));
    if (j == NULL) {
        return NULL;
    }
    memcpy(j->dir, dir, strlen(dir) + 1);
    j->callbacks = *callbacks;
    j->end.fd = -1;
    j->spare.fd = -1;
    j->cut_min.v = UINT64_MAX;
    journal_ops_init(&j->queue);
    journal_ops_init(&j->taken);
    journal_ops_init(&j->done);
    journal_threads_init(j, loop);
    return j;
}

enum ts_err journal_open(struct journal **out, uv_loop_t *loop, const char *dir,
                         const struct journal_options *options,
                         const struct journal_callbacks *callbacks, journal_replay_fn *replay,
                         void *replay_arg, struct ts_why *why)
{
    if (strlen(dir) >= TS_PATH_MAX) {
        return ts_why(why, TS_ERR_LIMIT, "the path %.200s… is longer than %d bytes", dir,
                      TS_PATH_MAX - 1);
    }
    struct journal *j = journal_new(loop, dir, callbacks);
    if (j == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to open the journal in %.200s", dir);
    }
    enum ts_err err = take_options(&j->options, options, dir, why);
    if (err == TS_OK) {
        err = ts_dir_check_marks(dir, why);
    }
    if (err == TS_OK) {
        err = open_record(j, why);
    }
    if (err == TS_OK) {
        struct journal_start from = {{{0}, {0, 0}, {0}}, false};
        if (j->options.begin != NULL) {
            err = j->options.begin(replay_arg, j->dir, &j->info, &from, why);
        }
        err = err != TS_OK ? err : journal_recover(j, &from, replay, replay_arg, why);
    }
    if (err == TS_OK) {
        /* Last of what can refuse: a disk that is refused has not started. */
        err = raise_start_number(j, why);
    }
    if (err == TS_OK && j->spare.state == JOURNAL_SPARE_NONE) {
        journal_spare_request(j, j->end.pos.segment + 1);
    }
    if (err == TS_OK) {
        err = journal_threads_start(j, why);
    }
    if (err != TS_OK) {
        journal_free(j);
        return err;
    }
    j->appended = j->info.last;
    j->appended_hash = j->info.hash;
    j->persisted = j->info.last;
    *out = j;
    return TS_OK;
}

/* ---- queries ---- */

const struct journal_info *journal_info(const struct journal *j)
{
    return &j->info;
}

struct ts_bytes journal_record(const struct journal *j)
{
    return (struct ts_bytes){j->record_found, j->record_found_len};
}

size_t journal_batch_max(const struct journal *j)
{
    /* Its own header, and an end record behind it. */
    return j->options.segment_bytes - JOURNAL_DATA_START - 2 * JOURNAL_RECORD_HEADER;
}

struct ts_seq journal_persisted(const struct journal *j)
{
    return j->persisted;
}

struct journal_place journal_base(struct journal *j)
{
    journal_lock(j);
    struct journal_place base = j->base;
    journal_unlock(j);
    return base;
}

uint64_t journal_disk_bytes(struct journal *j)
{
    journal_lock(j);
    uint64_t first = j->index.start.segment;
    uint64_t last = j->spare.number; /* the highest that was ever asked for */
    journal_unlock(j);
    return last < first ? 0 : (last - first + 1) * j->options.segment_bytes;
}

uint32_t journal_segment_bytes(const struct journal *j)
{
    return j->options.segment_bytes;
}

uv_loop_t *journal_uv_loop(const struct journal *j)
{
    return j->threads.loop;
}

const char *journal_dir(const struct journal *j)
{
    return j->dir;
}

/* ---- calls ---- */

/* Whether a call with `len` bytes can be taken now; enqueue has the last word. */
static enum ts_err admit(struct journal *j, size_t len)
{
    if (j->closing) {
        return TS_ERR_CLOSED;
    }
    journal_lock(j);
    enum ts_err err = TS_OK;
    if (j->failed) {
        err = TS_ERR_CLOSED;
    } else if (j->queue.count >= j->options.queue_ops_max ||
               (j->queue.count > 0 && j->queue.bytes + len > j->options.queue_bytes_max)) {
        err = TS_ERR_FULL;
    }
    journal_unlock(j);
    return err;
}

static struct journal_op *new_op(const struct journal *j, enum journal_op_kind kind, size_t len)
{
    struct journal_op *op = malloc(sizeof(*op) + len);
    if (op != NULL) {
        memset(op, 0, sizeof(*op));
        op->kind = kind;
        op->cuts = j->cuts;
        op->len = len;
    }
    return op;
}

/* Hands `op` to the writing thread. TS_ERR_CLOSED, and `op` is freed, when the journal failed since
 * admit looked: what follows the failure would be written behind a hole (R2.11). The caller changes
 * its own side only after this has succeeded. */
static enum ts_err enqueue(struct journal *j, struct journal_op *op)
{
    journal_lock(j);
    bool failed = j->failed;
    if (!failed) {
        journal_ops_push(&j->queue, op);
        journal_wake_writer(j);
    }
    journal_unlock(j);
    if (failed) {
        free(op);
        return TS_ERR_CLOSED;
    }
    return TS_OK;
}

enum ts_err journal_append(struct journal *j, const struct journal_batch *batch,
                           struct ts_seq commit)
{
    if (batch->bytes.len > journal_batch_max(j)) {
        return TS_ERR_LIMIT;
    }
    size_t len = JOURNAL_RECORD_HEADER + batch->bytes.len;
    enum ts_err err = admit(j, len);
    if (err != TS_OK) {
        return err; /* first: what follows a refused one does not continue the chain */
    }
    if (batch->first.v != j->appended.v + 1 || batch->last.v < batch->first.v ||
        !ts_hash_eq(batch->prev, j->appended_hash)) {
        return TS_ERR_MALFORMED;
    }
    struct journal_op *op = new_op(j, JOURNAL_OP_APPEND, len);
    if (op == NULL) {
        return TS_ERR_NOMEM;
    }
    if (batch->bytes.len > 0) {
        memcpy(op->data + JOURNAL_RECORD_HEADER, batch->bytes.data, batch->bytes.len);
    }
    op->rec =
        (struct journal_record){.kind = JOURNAL_KIND_BATCH, .batch = *batch, .commit = commit};
    op->rec.batch.bytes.data = op->data + JOURNAL_RECORD_HEADER;
    op->seq = batch->last;
    err = enqueue(j, op);
    if (err == TS_OK) {
        j->appended = batch->last;
        j->appended_hash = batch->hash;
    }
    return err;
}

enum ts_err journal_truncate(struct journal *j, struct ts_seq after, struct ts_hash hash)
{
    enum ts_err err = admit(j, 0);
    if (err != TS_OK) {
        return err;
    }
    if (after.v > j->appended.v) {
        return TS_ERR_MALFORMED;
    }
    struct journal_op *op = new_op(j, JOURNAL_OP_TRUNCATE, 0);
    if (op == NULL) {
        return TS_ERR_NOMEM;
    }
    op->seq = after;
    op->hash = hash;
    err = enqueue(j, op);
    if (err != TS_OK) {
        return err;
    }
    j->appended = after;
    j->appended_hash = hash;
    j->persisted = ts_seq_min(j->persisted, after);
    j->cuts++;
    j->cuts_pending++;
    j->cut_min = ts_seq_min(j->cut_min, after);
    return TS_OK;
}

enum ts_err journal_drop_before(struct journal *j, struct ts_seq seq)
{
    enum ts_err err = admit(j, 0);
    if (err != TS_OK) {
        return err;
    }
    struct journal_op *op = new_op(j, JOURNAL_OP_DROP, 0);
    if (op == NULL) {
        return TS_ERR_NOMEM;
    }
    op->seq = seq;
    return enqueue(j, op);
}

enum ts_err journal_repair(struct journal *j, const struct journal_flaw *flaw,
                           const struct journal_batch *batches, size_t count)
{
    enum ts_err err = admit(j, 0);
    if (err != TS_OK) {
        return err;
    }
    if (j->cuts != flaw->cuts) {
        return TS_ERR_GONE;
    }
    if (!journal_repair_fits(flaw, batches, count)) {
        return TS_ERR_CORRUPT;
    }
    struct journal_op *op = journal_repair_op(flaw, batches, count);
    if (op == NULL) {
        return TS_ERR_NOMEM;
    }
    op->cuts = j->cuts;
    return enqueue(j, op);
}

enum ts_err journal_persist_record(struct journal *j, struct ts_bytes bytes, uint64_t token)
{
    if (bytes.len > JOURNAL_RECORD_MAX) {
        return TS_ERR_LIMIT;
    }
    enum ts_err err = admit(j, JOURNAL_META_SIZE + bytes.len);
    if (err != TS_OK) {
        return err;
    }
    struct journal_op *op = new_op(j, JOURNAL_OP_RECORD, JOURNAL_META_SIZE + bytes.len);
    if (op == NULL) {
        return TS_ERR_NOMEM;
    }
    (void)record_with_meta(j, op->data, op->len, bytes);
    op->token = token;
    return enqueue(j, op);
}

enum ts_err journal_confirm_start(struct journal *j, uint64_t token)
{
    bool before = j->start_registered;
    j->start_registered = true; /* every later record says so, too */
    enum ts_err err = journal_persist_record(j, journal_record(j), token);
    if (err != TS_OK) {
        j->start_registered = before;
    }
    return err;
}

/* ---- completions ---- */

static void tell_persisted(struct journal *j, struct ts_seq seq)
{
    if (seq.v > j->persisted.v) {
        j->persisted = seq;
        j->callbacks.persisted(j->callbacks.arg, seq);
    }
}

/* The position a finished append vouches for: one that a later truncation cuts off is no news. */
static struct ts_seq vouched(const struct journal *j, const struct journal_op *op)
{
    return op->cuts == j->cuts ? op->seq : ts_seq_min(op->seq, j->cut_min);
}

static void tell_one(struct journal *j, const struct journal_op *op)
{
    switch (op->kind) {
    case JOURNAL_OP_APPEND:
        tell_persisted(j, vouched(j, op));
        return;
    case JOURNAL_OP_TRUNCATE:
        ts_assert(j->cuts_pending > 0);
        j->cuts_pending--;
        if (j->cuts_pending == 0) {
            j->cut_min.v = UINT64_MAX;
            j->persisted = op->seq;
        }
        j->callbacks.truncated(j->callbacks.arg, op->seq);
        return;
    case JOURNAL_OP_RECORD:
        j->callbacks.record_persisted(j->callbacks.arg, op->token);
        return;
    case JOURNAL_OP_DROP:
        return;
    case JOURNAL_OP_REPAIR:
        j->callbacks.repaired(j->callbacks.arg, op->mended);
        return;
    }
    ts_unreachable();
}

/* Delivers in order; of several appends in a row only the last one is told. */
static void tell_all(struct journal *j, struct journal_ops *done)
{
    struct journal_op *op;
    while ((op = journal_ops_pop(done)) != NULL) {
        bool merged = op->kind == JOURNAL_OP_APPEND && done->head != NULL &&
                      done->head->kind == JOURNAL_OP_APPEND;
        if (!merged) {
            tell_one(j, op);
        }
        free(op);
    }
}

void journal_deliver(struct journal *j)
{
    journal_lock(j);
    struct journal_ops done = j->done;
    if (done.head == NULL) {
        journal_ops_init(&done);
    }
    journal_ops_init(&j->done);
    bool failed = j->failed && !j->failed_told;
    journal_unlock(j);
    tell_all(j, &done);
    if (failed) {
        j->failed_told = true;
        j->callbacks.failed(j->callbacks.arg, j->failed_err, j->failed_why.text);
    }
}

/* ---- close ---- */

void journal_finish(struct journal *j)
{
    void (*closed)(void *arg) = j->closed_cb;
    void *arg = j->closed_arg;
    journal_free(j);
    if (closed != NULL) {
        closed(arg);
    }
}

void journal_maybe_finish(struct journal *j)
{
    if (!j->closing || j->finishing) {
        return;
    }
    journal_lock(j);
    bool writer_ended = j->writer_ended;
    if (writer_ended && !j->spare.stop) {
        /* Only now: the writer may have needed one more segment. */
        j->spare.stop = true;
        journal_spare_changed(j);
    }
    bool spare_ended = j->spare.state == JOURNAL_SPARE_STOPPED;
    bool told = j->done.head == NULL;
    journal_unlock(j);
    if (!writer_ended || !spare_ended || !told || j->reads > 0) {
        return;
    }
    j->finishing = true;
    journal_threads_end(j);
}

void journal_close(struct journal *j, void (*closed)(void *arg), void *arg)
{
    ts_assert(!j->closing);
    j->closing = true;
    j->closed_cb = closed;
    j->closed_arg = arg;
    journal_lock(j);
    j->stop = true;
    journal_wake_writer(j);
    journal_unlock(j);
}
