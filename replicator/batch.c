#include "replicator/batch.h"

#include "base/assert.h"

#define BATCH_MAGIC 0x31425354U /* "TSB1" */

size_t repl_batch_size(const struct repl_request *requests, size_t count)
{
    size_t n = REPL_BATCH_HEADER_BYTES;
    for (size_t i = 0; i < count; i++) {
        n += REPL_ENTRY_HEADER_BYTES + requests[i].payload.len;
    }
    return n;
}

void repl_batch_encode(struct ts_writer *w, struct ts_epoch epoch, struct ts_seq first,
                       struct ts_ltime time, struct ts_hash prev,
                       const struct repl_request *requests, size_t count)
{
    ts_assert(count >= 1 && count <= UINT32_MAX);
    size_t size = repl_batch_size(requests, count);
    ts_assert(size <= REPL_BATCH_BYTES_MAX);
    ts_put_u32(w, BATCH_MAGIC);
    ts_put_u32(w, (uint32_t)size);
    ts_put_u64(w, epoch.v);
    ts_put_u64(w, first.v);
    ts_put_u32(w, (uint32_t)count);
    ts_put_u32(w, 0);
    ts_put_u64(w, time.ns);
    ts_put_hash(w, prev);
    for (size_t i = 0; i < count; i++) {
        ts_put_u8(w, (uint8_t)requests[i].kind);
        ts_put_u64(w, requests[i].session);
        ts_put_u64(w, requests[i].request);
        ts_put_u32(w, (uint32_t)requests[i].payload.len);
        ts_put_bytes(w, requests[i].payload.data, requests[i].payload.len);
    }
    ts_assert(!w->failed);
}

/* One entry off the reader; an unknown kind fails it. */
static void entry_decode(struct ts_reader *r, struct svc_entry *out)
{
    uint8_t kind = ts_get_u8(r);
    if (kind > SVC_ENTRY_CHECKPOINT) {
        ts_reader_fail(r);
    }
    out->kind = (enum svc_entry_kind)kind;
    out->session = ts_get_u64(r);
    out->request = ts_get_u64(r);
    out->payload = ts_get_bytes(r, ts_get_u32(r));
}

enum ts_err repl_batch_decode(struct repl_batch *out, struct ts_reader *r)
{
    struct ts_reader at = *r;
    uint32_t magic = ts_get_u32(&at);
    uint32_t length = ts_get_u32(&at);
    if (at.failed) {
        return TS_ERR_SHORT;
    }
    if (magic != BATCH_MAGIC || length < REPL_BATCH_HEADER_BYTES) {
        return TS_ERR_MALFORMED;
    }
    if (length > REPL_BATCH_BYTES_MAX) {
        return TS_ERR_LIMIT;
    }
    struct ts_bytes bytes = ts_get_bytes(r, length);
    if (r->failed) {
        return TS_ERR_SHORT;
    }
    at = ts_reader_init(bytes.data + 8, bytes.len - 8);
    struct repl_batch b = {.bytes = bytes};
    b.epoch.v = ts_get_u64(&at);
    b.first.v = ts_get_u64(&at);
    uint32_t count = ts_get_u32(&at);
    uint32_t reserved = ts_get_u32(&at);
    b.time.ns = ts_get_u64(&at);
    b.prev = ts_get_hash(&at);
    if (count == 0 || reserved != 0 || b.epoch.v == 0 || b.first.v == 0 ||
        b.first.v > UINT64_MAX - count || b.time.ns > REPL_BATCH_TIME_MAX) {
        return TS_ERR_MALFORMED;
    }
    b.last = ts_seq_add(b.first, count - 1);
    struct svc_entry entry;
    for (uint32_t i = 0; i < count && !at.failed; i++) {
        entry_decode(&at, &entry);
    }
    if (ts_reader_finish(&at) != TS_OK) {
        return TS_ERR_MALFORMED;
    }
    *out = b;
    return TS_OK;
}

struct repl_batch_iter repl_batch_iter_init(const struct repl_batch *b)
{
    ts_assert(b->bytes.len >= REPL_BATCH_HEADER_BYTES);
    return (struct repl_batch_iter){
        .r = ts_reader_init(b->bytes.data + REPL_BATCH_HEADER_BYTES,
                            b->bytes.len - REPL_BATCH_HEADER_BYTES),
        .batch = b,
    };
}

bool repl_batch_next(struct repl_batch_iter *it, struct svc_entry *out)
{
    if (ts_reader_left(&it->r) == 0) {
        return false;
    }
    out->epoch = it->batch->epoch;
    out->seq = ts_seq_add(it->batch->first, it->index++);
    out->time = it->batch->time;
    entry_decode(&it->r, out);
    ts_assert(!it->r.failed); /* repl_batch_decode saw every entry */
    return true;
}
