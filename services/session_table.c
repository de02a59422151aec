#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "services/session_state.h"

#define TIDY_SLOTS 8
#define RING_FIRST 8
#define WORD_BITS 64

/* ---- by newest use ---- */

static uint32_t slot_of(const struct session_state *st, const struct session *s)
{
    return (uint32_t)(s - st->slots);
}

static void unlink_use(struct session_state *st, struct session *s)
{
    uint32_t *from_older = s->older == SESSION_NO_SLOT ? &st->oldest : &st->slots[s->older].newer;
    uint32_t *from_newer =
        s->newer == SESSION_NO_SLOT ? &st->newest_use : &st->slots[s->newer].older;
    *from_older = s->newer;
    *from_newer = s->older;
}

static void link_newest(struct session_state *st, struct session *s)
{
    uint32_t slot = slot_of(st, s);
    s->older = st->newest_use;
    s->newer = SESSION_NO_SLOT;
    if (st->newest_use == SESSION_NO_SLOT) {
        st->oldest = slot;
    } else {
        st->slots[st->newest_use].newer = slot;
    }
    st->newest_use = slot;
}

void session_touch(struct session_state *st, struct session *s, const struct svc_entry *entry)
{
    unlink_use(st, s);
    link_newest(st, s);
    s->used_seq = entry->seq.v;
    s->used_ns = entry->time.ns;
}

/* ---- users ---- */

/* The hash of the user in a session's name; false: there is none. */
static bool owner_hash(struct ts_bytes name, uint64_t *hash)
{
    const uint8_t *at = memchr(name.data, SESSION_OWNER_SEPARATOR, name.len);
    size_t before = at == NULL ? name.len : (size_t)(at - name.data) + 1;
    if (before == name.len) {
        return false;
    }
    *hash = ts_hash_bytes(name.data + before, name.len - before).lo;
    return true;
}

static uint32_t find_owner(const struct session_state *st, uint64_t hash)
{
    for (uint32_t i = 0; i < st->owners_top; i++) {
        if (st->owners[i].sessions > 0 && st->owners[i].hash == hash) {
            return i;
        }
    }
    return SESSION_NO_OWNER;
}

uint32_t session_owner_find(const struct session_state *st, struct ts_bytes name)
{
    uint64_t hash = 0;
    return owner_hash(name, &hash) ? find_owner(st, hash) : SESSION_NO_OWNER;
}

/* There is a place for each: users with sessions are no more than sessions. */
static uint32_t add_to_owner(struct session_state *st, struct ts_bytes name)
{
    uint64_t hash = 0;
    if (!owner_hash(name, &hash)) {
        return SESSION_NO_OWNER;
    }
    uint32_t at = find_owner(st, hash);
    if (at == SESSION_NO_OWNER) {
        for (at = 0; at < st->owners_top && st->owners[at].sessions > 0;) {
            at++;
        }
        ts_assert(at < st->limits.max);
        st->owners_top = at == st->owners_top ? at + 1 : st->owners_top;
        st->owners[at] = (struct session_owner){.hash = hash};
    }
    st->owners[at].sessions++;
    return at;
}

static void remove_from_owner(struct session_state *st, uint32_t at)
{
    if (at == SESSION_NO_OWNER) {
        return;
    }
    ts_assert(st->owners[at].sessions > 0);
    st->owners[at].sessions--;
    while (st->owners_top > 0 && st->owners[st->owners_top - 1].sessions == 0) {
        st->owners_top--;
    }
}

/* ---- slots ---- */

struct session *session_find(struct session_state *st, uint64_t id)
{
    uint32_t slot = session_slot_of(id);
    return id != 0 && slot < st->limits.max && st->slots[slot].id == id ? &st->slots[slot] : NULL;
}

uint32_t session_free_slot(const struct session_state *st)
{
    if (st->count == st->limits.max) {
        return SESSION_NO_SLOT;
    }
    uint32_t word = 0;
    while (st->taken[word] == UINT64_MAX) {
        word++;
    }
    uint32_t slot = word * WORD_BITS + (uint32_t)__builtin_ctzll(~st->taken[word]);
    ts_assert(slot < st->limits.max);
    return slot;
}

struct session *session_add(struct session_state *st, uint64_t id, struct ts_bytes name)
{
    uint32_t slot = session_slot_of(id);
    ts_assert(slot < st->limits.max && st->slots[slot].id == 0);
    struct session *s = &st->slots[slot];
    ts_assert(name.len > 0 && name.len <= SESSION_NAME_MAX);
    *s = (struct session){.id = id, .owner = add_to_owner(st, name), .name_len = (uint8_t)name.len};
    memcpy(s->name, name.data, name.len);
    st->taken[slot / WORD_BITS] |= 1ULL << (slot % WORD_BITS);
    st->count++;
    link_newest(st, s);
    return s;
}

void session_remove(struct session_state *st, struct session *s)
{
    uint32_t slot = slot_of(st, s);
    session_keep(st, s);
    session_forget(st, s, s->last);
    free(s->ring);
    unlink_use(st, s);
    remove_from_owner(st, s->owner);
    *s = (struct session){.id = 0};
    st->taken[slot / WORD_BITS] &= ~(1ULL << (slot % WORD_BITS));
    st->count--;
}

/* ---- replies ---- */

struct session_reply *session_reply_at(const struct session *s, uint64_t number)
{
    ts_assert(number > s->acked && number <= s->last && s->ring_cap > 0);
    return &s->ring[number & (s->ring_cap - 1)];
}

/* Kept replies of the session take so much more. */
static void count_bytes(struct session_state *st, struct session *s, uint64_t bytes)
{
    s->bytes += bytes;
    st->bytes += bytes;
    if (s->owner != SESSION_NO_OWNER) {
        st->owners[s->owner].bytes += bytes;
    }
}

/* … so much less. */
static void uncount_bytes(struct session_state *st, struct session *s, uint64_t bytes)
{
    ts_assert(s->bytes >= bytes && st->bytes >= bytes);
    s->bytes -= bytes;
    st->bytes -= bytes;
    if (s->owner != SESSION_NO_OWNER) {
        ts_assert(st->owners[s->owner].bytes >= bytes);
        st->owners[s->owner].bytes -= bytes;
    }
}

static void grow_ring(struct session *s)
{
    uint32_t cap = s->ring_cap == 0 ? RING_FIRST : 2 * s->ring_cap;
    struct session_reply *ring = calloc(cap, sizeof(*ring));
    /* Replicas that differ in memory must not differ in answers: this one ends. */
    ts_must(ring);
    for (uint64_t n = s->acked + 1; n <= s->last; n++) {
        ring[n & (cap - 1)] = *session_reply_at(s, n);
    }
    free(s->ring);
    s->ring = ring;
    s->ring_cap = cap;
}

void session_put_reply(struct session_state *st, struct session *s, struct ts_bytes reply,
                       uint64_t request)
{
    ts_assert(s->last - s->acked < SESSION_WINDOW_MAX && reply.len <= UINT32_MAX);
    if (s->last - s->acked == s->ring_cap) {
        grow_ring(s);
    }
    s->last++;
    struct session_reply *r = session_reply_at(s, s->last);
    *r = (struct session_reply){.len = (uint32_t)reply.len, .request = request};
    r->bytes = malloc(reply.len > 0 ? reply.len : 1);
    ts_must(r->bytes);
    if (reply.len > 0) {
        memcpy(r->bytes, reply.data, reply.len);
    }
    count_bytes(st, s, reply.len + SESSION_REPLY_OVERHEAD);
}

void session_forget(struct session_state *st, struct session *s, uint64_t number)
{
    ts_assert(number <= s->last);
    while (s->acked < number) {
        struct session_reply *r = session_reply_at(s, s->acked + 1);
        uncount_bytes(st, s, (uint64_t)r->len + SESSION_REPLY_OVERHEAD);
        free(r->bytes);
        r->bytes = NULL;
        s->acked++;
    }
}

/* ---- what a walk needs ---- */

static void drop(struct session_kept *k)
{
    free(k->bytes);
    *k = (struct session_kept){0};
}

void session_keep(struct session_state *st, struct session *s)
{
    const struct session_walk *w = &st->walk;
    uint32_t slot = slot_of(st, s);
    /* What was used since has another form than the walk's, which is kept already. */
    if (!w->active || slot < w->at || s->used_seq > w->head.seq) {
        return;
    }
    struct session_kept *k = &st->kept[slot];
    drop(k);
    struct svc_out bytes = {.max = SIZE_MAX / 2};
    session_piece_put(&bytes, s);
    *k = (struct session_kept){.walk = w->number, .bytes = bytes.data, .len = bytes.len};
}

void session_tidy(struct session_state *st)
{
    uint32_t max = (uint32_t)st->limits.max;
    for (uint32_t i = 0; i < TIDY_SLOTS && st->tidy_at < max; i++, st->tidy_at++) {
        struct session_kept *k = &st->kept[st->tidy_at];
        if (k->bytes != NULL && (!st->walk.active || k->walk != st->walk.number)) {
            drop(k);
        }
    }
}

/* ---- the check ---- */

static void check_owners(const struct session_state *st)
{
    uint64_t bytes = 0;
    uint32_t sessions = 0;
    ts_assert(st->owners_top == 0 || st->owners[st->owners_top - 1].sessions > 0);
    for (uint32_t i = 0; i < st->owners_top; i++) {
        ts_assert(st->owners[i].sessions > 0 || st->owners[i].bytes == 0);
        bytes += st->owners[i].bytes;
        sessions += st->owners[i].sessions;
    }
    for (uint32_t at = st->oldest; at != SESSION_NO_SLOT; at = st->slots[at].newer) {
        const struct session *s = &st->slots[at];
        struct ts_bytes name = {s->name, s->name_len};
        ts_assert(s->owner == session_owner_find(st, name));
        bytes -= s->owner != SESSION_NO_OWNER ? s->bytes : 0;
        sessions -= s->owner != SESSION_NO_OWNER;
    }
    ts_assert(bytes == 0 && sessions == 0);
}

void session_check(const struct session_state *st)
{
    uint64_t bytes = 0;
    uint64_t used = 0;
    uint32_t n = 0;
    uint32_t older = SESSION_NO_SLOT;
    for (uint32_t at = st->oldest; at != SESSION_NO_SLOT; at = st->slots[at].newer) {
        const struct session *s = &st->slots[at];
        ts_assert(s->id != 0 && session_slot_of(s->id) == at && s->older == older);
        ts_assert((st->taken[at / WORD_BITS] >> (at % WORD_BITS) & 1) != 0);
        ts_assert(s->used_seq > used && s->used_seq <= st->seq && s->acked <= s->last);
        ts_assert(s->id >> SESSION_SLOT_BITS <= st->newest);
        used = s->used_seq;
        bytes += s->bytes;
        older = at;
        n++;
        ts_assert(n <= st->count);
    }
    ts_assert(n == st->count && bytes == st->bytes && st->newest_use == older);
    check_owners(st);
}
