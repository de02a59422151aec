#include "replicator/log.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

enum ts_err repl_log_init(struct repl_log *log, size_t bytes_cap, size_t slots_cap)
{
    ts_assert(bytes_cap >= 2U * REPL_BATCH_BYTES_MAX && slots_cap >= 2);
    memset(log, 0, sizeof(*log));
    log->bytes = malloc(bytes_cap);
    log->slots = calloc(slots_cap, sizeof(*log->slots));
    if (log->bytes == NULL || log->slots == NULL) {
        repl_log_free(log);
        return TS_ERR_NOMEM;
    }
    log->bytes_cap = bytes_cap;
    log->slots_cap = slots_cap;
    return TS_OK;
}

void repl_log_free(struct repl_log *log)
{
    free(log->bytes);
    free(log->slots);
    memset(log, 0, sizeof(*log));
}

void repl_log_begin(struct repl_log *log, const struct repl_mark *mark)
{
    ts_assert(log->slot_count == 0 && log->base.seq.v == 0);
    log->base = mark->pos;
    log->tail = mark->pos;
    log->base_digested = true;
    log->base_digest = mark->digest;
}

static struct repl_log_slot *slot_at(const struct repl_log *log, size_t index)
{
    ts_assert(index < log->slot_count);
    size_t i = log->slot_head + index; /* both are less than the capacity: no division */
    return &log->slots[i < log->slots_cap ? i : i - log->slots_cap];
}

const struct repl_log_slot *repl_log_newest(const struct repl_log *log)
{
    return log->slot_count == 0 ? NULL : slot_at(log, log->slot_count - 1);
}

struct repl_pos repl_log_tail(const struct repl_log *log)
{
    return log->tail;
}

static void evict_oldest(struct repl_log *log)
{
    const struct repl_log_slot *s = slot_at(log, 0);
    log->base = (struct repl_pos){s->last, s->hash};
    log->base_digested = s->digested;
    log->base_digest = s->digest;
    log->base_total = s->total;
    log->slot_head = log->slot_head + 1 < log->slots_cap ? log->slot_head + 1 : 0;
    log->slot_count--;
}

/* Where the next `len` bytes can lie between the newest and the oldest batch; SIZE_MAX when
 * there is no such place. A batch never wraps: the rest behind the newest is skipped then. */
static size_t free_place(const struct repl_log *log, size_t len)
{
    if (log->slot_count == 0) {
        ts_assert(len <= log->bytes_cap);
        return 0;
    }
    const struct repl_log_slot *oldest = slot_at(log, 0);
    const struct repl_log_slot *newest = slot_at(log, log->slot_count - 1);
    size_t end = newest->offset + newest->len;
    if (newest->offset >= oldest->offset) {
        if (log->bytes_cap - end >= len) {
            return end;
        }
        return oldest->offset >= len ? 0 : SIZE_MAX;
    }
    return oldest->offset - end >= len ? end : SIZE_MAX;
}

uint8_t *repl_log_reserve(struct repl_log *log, size_t len, struct ts_seq evictable)
{
    for (;;) {
        if (log->slot_count < log->slots_cap) {
            size_t place = free_place(log, len);
            if (place != SIZE_MAX) {
                return log->bytes + place;
            }
        }
        ts_assert(log->slot_count > 0); /* an empty window has a place for any batch */
        if (ts_seq_lt(evictable, slot_at(log, 0)->last)) {
            return NULL;
        }
        evict_oldest(log);
    }
}

static uint64_t total(const struct repl_log *log)
{
    const struct repl_log_slot *s = repl_log_newest(log);
    return s == NULL ? log->base_total : s->total;
}

void repl_log_append(struct repl_log *log, const struct repl_batch *b)
{
    ts_assert(b->bytes.data >= log->bytes);
    ts_assert(b->bytes.data + b->bytes.len <= log->bytes + log->bytes_cap);
    ts_assert(log->slot_count < log->slots_cap);
    ts_assert(b->first.v == log->tail.seq.v + 1 && ts_hash_eq(b->prev, log->tail.hash));
    uint64_t before = total(log);
    log->tail = (struct repl_pos){b->last, ts_hash_bytes(b->bytes.data, b->bytes.len)};
    log->slot_count++;
    *slot_at(log, log->slot_count - 1) = (struct repl_log_slot){
        .first = b->first,
        .last = b->last,
        .epoch = b->epoch,
        .time = b->time,
        .hash = log->tail.hash,
        .prev = b->prev,
        .offset = (size_t)(b->bytes.data - log->bytes),
        .len = b->bytes.len,
        .total = before + b->bytes.len,
    };
}

/* Index of the first slot whose last seq is at least `seq`; slot_count when there is none. */
static size_t lower_bound(const struct repl_log *log, struct ts_seq seq)
{
    size_t lo = 0;
    size_t hi = log->slot_count;
    /* Most look at the end: from there, in growing steps, then between the last two. */
    for (size_t back = 1; back <= hi && lo == 0; back *= 2) {
        if (ts_seq_lt(slot_at(log, log->slot_count - back)->last, seq)) {
            lo = log->slot_count - back + 1;
        } else {
            hi = log->slot_count - back;
        }
    }
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (ts_seq_lt(slot_at(log, mid)->last, seq)) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

bool repl_log_has_room(const struct repl_log *log, size_t len, struct ts_seq evictable,
                       size_t spare)
{
    size_t gone = lower_bound(log, evictable);
    if (gone < log->slot_count && ts_seq_eq(slot_at(log, gone)->last, evictable)) {
        gone++;
    }
    uint64_t before = gone == 0 ? log->base_total : slot_at(log, gone - 1)->total;
    uint64_t kept = total(log) - before;
    /* Either what is free is one piece, and less than a batch is wasted at the end of the ring; or
     * it is two pieces, and the longer one is at least half of it. */
    return kept + len + spare * REPL_LOG_SPARE_BYTES + REPL_BATCH_BYTES_MAX <= log->bytes_cap &&
           log->slot_count - gone + 1 + spare <= log->slots_cap;
}

struct repl_log_slot *repl_log_find(const struct repl_log *log, struct ts_seq seq)
{
    size_t i = lower_bound(log, seq);
    if (i == log->slot_count || ts_seq_lt(seq, slot_at(log, i)->first)) {
        return NULL;
    }
    return slot_at(log, i);
}

bool repl_log_digest(const struct repl_log *log, struct ts_seq seq, struct ts_hash *digest)
{
    if (ts_seq_eq(seq, log->base.seq)) {
        *digest = log->base_digest;
        return log->base_digested;
    }
    const struct repl_log_slot *s = repl_log_find(log, seq);
    if (s == NULL || !s->digested || !ts_seq_eq(s->last, seq)) {
        return false;
    }
    *digest = s->digest;
    return true;
}

enum repl_log_match repl_log_match(const struct repl_log *log, struct repl_pos pos)
{
    if (ts_seq_lt(pos.seq, log->base.seq)) {
        return REPL_LOG_EVICTED;
    }
    if (ts_seq_eq(pos.seq, log->base.seq)) {
        return ts_hash_eq(pos.hash, log->base.hash) ? REPL_LOG_SAME : REPL_LOG_OTHER;
    }
    const struct repl_log_slot *s = repl_log_find(log, pos.seq);
    if (s == NULL) {
        return REPL_LOG_BEYOND;
    }
    bool same = ts_seq_eq(s->last, pos.seq) && ts_hash_eq(s->hash, pos.hash);
    return same ? REPL_LOG_SAME : REPL_LOG_OTHER;
}

void repl_log_truncate(struct repl_log *log, struct ts_seq seq)
{
    ts_assert(!ts_seq_lt(seq, log->base.seq));
    while (log->slot_count > 0 && ts_seq_lt(seq, slot_at(log, log->slot_count - 1)->last)) {
        log->slot_count--;
    }
    const struct repl_log_slot *s = repl_log_newest(log);
    log->tail = s == NULL ? log->base : (struct repl_pos){s->last, s->hash};
    ts_assert(ts_seq_eq(log->tail.seq, seq));
}

struct ts_bytes repl_log_run(const struct repl_log *log, struct ts_seq after, size_t max,
                             struct repl_pos *last)
{
    size_t i = lower_bound(log, ts_seq_add(after, 1));
    if (i == log->slot_count) {
        return (struct ts_bytes){NULL, 0};
    }
    const struct repl_log_slot *s = slot_at(log, i);
    ts_assert(s->first.v == after.v + 1);
    struct ts_bytes run = {log->bytes + s->offset, s->len};
    *last = (struct repl_pos){s->last, s->hash};
    for (i++; i < log->slot_count; i++) {
        s = slot_at(log, i);
        if (log->bytes + s->offset != run.data + run.len || run.len + s->len > max) {
            break;
        }
        run.len += s->len;
        *last = (struct repl_pos){s->last, s->hash};
    }
    return run;
}

size_t repl_log_walk(const struct repl_log *log, struct ts_seq to, size_t max, struct repl_pos *end)
{
    size_t bytes = 0;
    for (size_t i = lower_bound(log, ts_seq_add(end->seq, 1)); i < log->slot_count; i++) {
        const struct repl_log_slot *s = slot_at(log, i);
        if (bytes >= max || ts_seq_lt(to, s->last)) {
            break;
        }
        bytes += s->len;
        *end = (struct repl_pos){s->last, s->hash};
    }
    return bytes;
}

uint64_t repl_log_bytes_after(const struct repl_log *log, struct ts_seq seq)
{
    size_t i = lower_bound(log, seq);
    if (i == log->slot_count) {
        return 0;
    }
    const struct repl_log_slot *s = slot_at(log, i);
    bool inside = !ts_seq_lt(seq, s->first);
    return total(log) - (inside ? s->total : s->total - s->len);
}

struct ts_bytes repl_log_bytes(const struct repl_log *log, const struct repl_log_slot *slot)
{
    return (struct ts_bytes){log->bytes + slot->offset, slot->len};
}
