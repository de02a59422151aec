/* journal_read: batches for a learner, read on libuv's worker threads. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "replicator/io/journal_internal.h"

/* Batches one read gives at most. */
#define READ_BATCHES_MAX 4096U

struct read_req {
    struct net_work work;
    struct journal *j;
    journal_read_fn *done;
    void *arg;
    /* what is asked for */
    struct ts_seq from;
    struct ts_seq to; /* the persisted end when it was asked for */
    size_t bytes_max;
    uint64_t cuts;
    uint64_t moves;
    struct journal_index_entry start;
    /* what was found */
    enum ts_err err;
    struct ts_why why;
    struct journal_batch *batches; /* bytes.data set when all are there */
    size_t count;
    size_t batches_cap;
    uint8_t *data;
    size_t len;
    size_t data_cap;
};

/* Makes room for one more batch of `len` bytes. */
static enum ts_err make_room(struct read_req *q, size_t len)
{
    if (q->count == q->batches_cap) {
        size_t cap = q->batches_cap == 0 ? 64 : q->batches_cap * 2;
        struct journal_batch *grown = realloc(q->batches, cap * sizeof(*grown));
        if (grown == NULL) {
            return TS_ERR_NOMEM;
        }
        q->batches = grown;
        q->batches_cap = cap;
    }
    if (q->len + len > q->data_cap) {
        size_t cap = (q->len + len) * 2;
        uint8_t *grown = realloc(q->data, cap);
        if (grown == NULL) {
            return TS_ERR_NOMEM;
        }
        q->data = grown;
        q->data_cap = cap;
    }
    return TS_OK;
}

/* Whether the answer is large enough for one more of `len` bytes not to go in. */
static bool is_enough(const struct read_req *q, size_t len)
{
    return q->count == READ_BATCHES_MAX || (q->count > 0 && q->len + len > q->bytes_max);
}

/* A batch must continue the one before: the checksum alone would accept a leftover. */
static enum ts_err check_chain(struct read_req *q, const struct journal_batch *b)
{
    if (q->count == 0) {
        return TS_OK;
    }
    const struct journal_batch *prev = &q->batches[q->count - 1];
    if (b->first.v == prev->last.v + 1 && ts_hash_eq(b->prev, prev->hash)) {
        return TS_OK;
    }
    return ts_why(&q->why, TS_ERR_CORRUPT,
                  "the journal in %s is damaged behind entry %" PRIu64
                  ": what follows does not continue it",
                  q->j->dir, prev->last.v);
}

static enum ts_err take_batch(struct read_req *q, const struct journal_batch *b)
{
    enum ts_err err = check_chain(q, b);
    if (err == TS_OK) {
        err = make_room(q, b->bytes.len);
    }
    if (err != TS_OK) {
        return err;
    }
    q->batches[q->count++] = *b;
    if (b->bytes.len > 0) {
        memcpy(q->data + q->len, b->bytes.data, b->bytes.len);
    }
    q->len += b->bytes.len;
    return TS_OK;
}

static void work_read(void *arg)
{
    struct read_req *q = arg;
    struct journal_cursor c;
    journal_cursor_init(&c, q->j->dir, q->start.segment, q->start.offset);
    struct ts_seq at = {q->from.v - 1};
    q->err = TS_OK;
    while (q->err == TS_OK && at.v < q->to.v) {
        struct journal_record r;
        q->err = journal_cursor_next(&c, &r, &q->why);
        if (q->err != TS_OK || r.batch.last.v < q->from.v) {
            continue;
        }
        if (is_enough(q, r.batch.bytes.len)) {
            break;
        }
        q->err = take_batch(q, &r.batch);
        at = r.batch.last;
    }
    journal_cursor_close(&c);
}

/* Whether records moved since it was asked for. What was read before is right. */
static bool has_moved(struct read_req *q)
{
    journal_lock(q->j);
    bool moved = q->moves != q->j->moves || q->moves % 2 != 0;
    journal_unlock(q->j);
    return moved;
}

/* Whether it was dropped. */
static bool is_gone(struct journal *j, struct ts_seq from)
{
    journal_lock(j);
    bool gone = ts_seq_lt(from, j->index.start.first);
    journal_unlock(j);
    return gone;
}

static void read_done(void *arg)
{
    struct read_req *q = arg;
    struct journal *j = q->j;
    if (q->cuts != j->cuts) {
        q->err = ts_why(&q->why, TS_ERR_BUSY, "the journal was cut while it was read; read again");
    } else if (q->err != TS_OK && has_moved(q)) {
        q->err = ts_why(&q->why, TS_ERR_BUSY, "the journal was mended meanwhile; read again");
    }
    if (q->err != TS_OK && is_gone(j, q->from)) {
        q->err = ts_why(&q->why, TS_ERR_GONE, "entry %" PRIu64 " is in the snapshot only by now",
                        q->from.v);
    }
    size_t at = 0;
    for (size_t i = 0; i < q->count; i++) {
        q->batches[i].bytes.data = q->data + at;
        at += q->batches[i].bytes.len;
    }
    ts_assert(j->reads > 0);
    size_t count = q->err == TS_OK ? q->count : 0;
    q->done(q->arg, q->err, q->batches, count, q->err == TS_OK ? "" : q->why.text);
    free(q->batches);
    free(q->data);
    free(q);
    j->reads--;
    journal_maybe_finish(j);
}

enum ts_err journal_read(struct journal *j, struct ts_seq from, size_t bytes_max,
                         journal_read_fn *done, void *arg)
{
    if (j->closing) {
        return TS_ERR_CLOSED;
    }
    from = ts_seq_max(from, (struct ts_seq){1});
    if (is_gone(j, from)) {
        return TS_ERR_GONE;
    }
    if (j->reads >= JOURNAL_READS_MAX) {
        return TS_ERR_BUSY;
    }
    struct read_req *q = calloc(1, sizeof(*q));
    if (q == NULL) {
        return TS_ERR_NOMEM;
    }
    q->j = j;
    q->done = done;
    q->arg = arg;
    q->from = from;
    q->to = j->persisted;
    q->bytes_max = bytes_max;
    q->cuts = j->cuts;
    journal_lock(j);
    q->start = journal_index_find(&j->index, q->from);
    q->moves = j->moves;
    journal_unlock(j);
    j->reads++;
    net_work_queue(j->threads.loop, &q->work, work_read, read_done, q);
    return TS_OK;
}
