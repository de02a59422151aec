#include "services/example/lock.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"

#define FORMAT 1
#define STATE_BYTES (1 + 8 + LOCK_COUNT * 4 * 8)

struct lock {
    uint64_t owner; /* 0: free */
    uint64_t epoch; /* the token: which entry granted it */
    uint64_t seq;
    struct ts_ltime until;
};

struct locks {
    struct ts_ltime time; /* of the last applied entry */
    struct lock lock[LOCK_COUNT];
    bool loaded;
    uint8_t frozen[STATE_BYTES]; /* what a walk gives: so small a state is copied when it begins */
};

static void *lock_new(const char *limits)
{
    (void)limits; /* a hash seed, for which there is no use here */
    return calloc(1, sizeof(struct locks));
}

/* Time is the entry's: a lock whose time has come is free, whether a TICK came or not. */
static void expire(struct lock *l, struct ts_ltime now)
{
    if (l->until.ns <= now.ns) {
        *l = (struct lock){0};
    }
}

/* Clients' bytes are checked, never asserted. `grant` is NULL in a read: then nothing changes. */
static void answer(const struct locks *s, struct lock *grant, const struct svc_entry *entry,
                   struct svc_out *out)
{
    struct ts_reader r = ts_reader_init(entry->payload.data, entry->payload.len);
    uint8_t at = ts_get_u8(&r);
    uint64_t owner = ts_get_u64(&r);
    uint64_t ms = ts_get_u32(&r);
    bool valid = ts_reader_finish(&r) == TS_OK && at < LOCK_COUNT && owner != 0;
    struct lock l = valid ? s->lock[at] : (struct lock){0};
    expire(&l, s->time);
    bool done = valid && (l.owner == 0 || l.owner == owner);
    if (done && grant != NULL) {
        if (l.owner == 0) {
            l = (struct lock){.owner = owner, .epoch = entry->epoch.v, .seq = entry->seq.v};
        }
        l.until.ns = s->time.ns + ms * TS_NS_PER_MS;
        expire(&l, s->time);
        grant[at] = l;
    }
    uint8_t data[LOCK_ANSWER_BYTES];
    struct ts_writer w = ts_writer_init(data, sizeof(data));
    ts_put_u8(&w, done);
    ts_put_u64(&w, l.owner);
    ts_put_u64(&w, l.epoch);
    ts_put_u64(&w, l.seq);
    (void)!svc_out_put(out, data, w.len);
}

/* All that later answers depend on: walks and checkpoints have these bytes. */
static void encode(const struct locks *s, uint8_t out[STATE_BYTES])
{
    struct ts_writer w = ts_writer_init(out, STATE_BYTES);
    ts_put_u8(&w, FORMAT);
    ts_put_u64(&w, s->time.ns);
    for (const struct lock *l = s->lock; l < s->lock + LOCK_COUNT; l++) {
        ts_put_u64(&w, l->owner);
        ts_put_u64(&w, l->epoch);
        ts_put_u64(&w, l->seq);
        ts_put_u64(&w, l->until.ns);
    }
    ts_assert(ts_writer_status(&w) == TS_OK && w.len == STATE_BYTES);
}

static void apply(void *state, const struct svc_entry *entry, struct svc_out *out)
{
    struct locks *s = state;
    s->time = entry->time;
    if (entry->kind == SVC_ENTRY_COMMAND) {
        answer(s, s->lock, entry, out);
    } else if (entry->kind == SVC_ENTRY_TICK) {
        for (size_t i = 0; i < LOCK_COUNT; i++) {
            expire(&s->lock[i], s->time);
        }
    } else if (entry->kind == SVC_ENTRY_CHECKPOINT) {
        uint8_t bytes[STATE_BYTES];
        encode(s, bytes);
        struct ts_hash digest = ts_hash_bytes(bytes, sizeof(bytes));
        (void)!svc_out_put(out, &digest, sizeof(digest));
    }
}

static void look(const void *state, struct ts_bytes command, struct svc_out *out)
{
    answer(state, NULL, &(struct svc_entry){.payload = command}, out);
}

static struct ts_ltime next_tick(const void *state)
{
    const struct locks *s = state;
    struct ts_ltime next = {UINT64_MAX};
    for (const struct lock *l = s->lock; l < s->lock + LOCK_COUNT; l++) {
        next = l->owner != 0 && l->until.ns < next.ns ? l->until : next;
    }
    return next;
}

static struct svc_walk *walk_begin(void *state)
{
    encode(state, ((struct locks *)state)->frozen);
    return state;
}

static bool walk_next(struct svc_walk *walk, struct svc_out *out)
{
    (void)!svc_out_put(out, ((struct locks *)walk)->frozen, STATE_BYTES);
    return false; /* there is one piece */
}

static void walk_end(struct svc_walk *walk)
{
    (void)walk;
}

static enum ts_err load_piece(void *state, struct ts_bytes piece)
{
    struct locks *s = state;
    struct ts_reader r = ts_reader_init(piece.data, piece.len);
    uint8_t format = ts_get_u8(&r);
    s->time.ns = ts_get_u64(&r);
    for (struct lock *l = s->lock; l < s->lock + LOCK_COUNT; l++) {
        l->owner = ts_get_u64(&r);
        l->epoch = ts_get_u64(&r);
        l->seq = ts_get_u64(&r);
        l->until.ns = ts_get_u64(&r);
    }
    enum ts_err err = ts_reader_finish(&r) == TS_OK && !s->loaded ? TS_OK : TS_ERR_MALFORMED;
    s->loaded = true;
    return format == FORMAT ? err : TS_ERR_VERSION;
}

static enum ts_err load_end(void *state)
{
    return ((const struct locks *)state)->loaded ? TS_OK : TS_ERR_SHORT;
}

const struct svc lock_service = {
    .name = "lock",
    .create = lock_new,
    .destroy = free,
    .apply = apply,
    .read = look,
    .next_tick = next_tick,
    .walk_begin = walk_begin,
    .walk_next = walk_next,
    .walk_end = walk_end,
    .load_piece = load_piece,
    .load_end = load_end,
};
