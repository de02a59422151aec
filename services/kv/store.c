#include "services/kv/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "services/kv/expiry_heap.h"
#include "services/kv/kv.h"
#include "services/svc.h"

#define BUCKETS_MIN 1024
#define MOVE_PER_TIDY 32
#define FREE_PER_TIDY 64
#define VALUE_STEP_MAX (1024 * 1024)

/* Memory that cannot be had must not turn into an answer: replicas would differ. */
static void *must(void *p)
{
    ts_must(p);
    return p;
}

bool kv_store_init(struct kv_store *s, uint64_t seed)
{
    *s = (struct kv_store){.seed = seed, .next_serial = 1};
    s->now.slots = calloc(BUCKETS_MIN, sizeof(struct kv_entry *));
    s->now.count = BUCKETS_MIN;
    s->gone = calloc(KV_GONE_SLOTS, sizeof(*s->gone));
    return s->now.slots != NULL && s->gone != NULL;
}

void kv_entry_free(struct kv_entry *e)
{
    free(e->value);
    free(e);
}

static void free_chain(struct kv_entry *e)
{
    while (e != NULL) {
        struct kv_entry *next = e->next;
        kv_entry_free(e);
        e = next;
    }
}

void kv_store_free(struct kv_store *s)
{
    free_chain(s->first);
    if (s->keep.active) {
        kv_keep_end(s);
    }
    free_chain(s->graveyard);
    while (s->dead != NULL) {
        kv_entry_free(kv_keep_dismantle(&s->dead));
    }
    free(s->now.slots);
    free(s->old.slots);
    free(s->heap);
    kv_order_free(&s->order);
    free(s->gone);
    *s = (struct kv_store){0};
}

static uint64_t hash_key(const struct kv_store *s, enum kv_space space, struct ts_bytes key)
{
    return ts_hash_seeded(s->seed + (uint64_t)space, key.data, key.len);
}

/* The head of the chain that a key with this hash belongs to now. */
static struct kv_entry **bucket_of(const struct kv_store *s, uint64_t hash)
{
    if (s->old.count > 0) {
        size_t at = (size_t)hash & (s->old.count - 1);
        if (at >= s->moved) {
            return &s->old.slots[at];
        }
    }
    return &s->now.slots[(size_t)hash & (s->now.count - 1)];
}

struct kv_entry *kv_store_find_in(const struct kv_store *s, enum kv_space space,
                                  struct ts_bytes key)
{
    uint64_t hash = hash_key(s, space, key);
    struct kv_entry *e = *bucket_of(s, hash);
    while (e != NULL) {
        if (e->hash == hash && e->space == space && e->key_len == key.len &&
            (key.len == 0 || memcmp(e->key, key.data, key.len) == 0)) {
            return e;
        }
        e = e->chain;
    }
    return NULL;
}

struct kv_entry *kv_store_find(const struct kv_store *s, struct ts_bytes key)
{
    return kv_store_find_in(s, KV_SPACE_KEYS, key);
}

/* A lookup waits for memory three times: for the bucket, the entry and its value. Here all keys
 * wait together. Source: Chen, Ailamaki, Gibbons, Mowry, "Improving Hash Join Performance through
 * Prefetching", ICDE 2004 (group prefetching). */
void kv_store_expect(const struct kv_store *s, const struct ts_bytes *keys, size_t count)
{
    uint64_t hash[SVC_EXPECT_MAX];
    const struct kv_entry *e[SVC_EXPECT_MAX];
    ts_assert(count <= SVC_EXPECT_MAX);
    for (size_t i = 0; i < count; i++) {
        hash[i] = hash_key(s, KV_SPACE_KEYS, keys[i]);
        __builtin_prefetch(bucket_of(s, hash[i]));
    }
    for (size_t i = 0; i < count; i++) {
        e[i] = *bucket_of(s, hash[i]);
        if (e[i] != NULL) {
            __builtin_prefetch(e[i]);
            __builtin_prefetch(e[i]->key);
        }
    }
    for (size_t i = 0; i < count; i++) {
        while (e[i] != NULL && e[i]->hash != hash[i]) {
            e[i] = e[i]->chain;
        }
        if (e[i] != NULL && e[i]->value != NULL) {
            __builtin_prefetch(e[i]->value, 1);
        }
    }
}

/* Begins to move the table to another size, unless it is being moved already. */
static void resize_if_needed(struct kv_store *s)
{
    if (s->old.count > 0) {
        return;
    }
    size_t want = s->now.count;
    if (s->keys > s->now.count) {
        want = s->now.count * 2;
    } else if (s->now.count > BUCKETS_MIN && s->keys < s->now.count / 8) {
        want = s->now.count / 2;
    }
    if (want == s->now.count) {
        return;
    }
    struct kv_entry **slots = calloc(want, sizeof(struct kv_entry *));
    if (slots == NULL) {
        return; /* longer chains are slower, not wrong */
    }
    s->old = s->now;
    s->now = (struct kv_buckets){slots, want};
    s->moved = 0;
}

/* The same on every replica: not by the table's seed. */
static size_t gone_slot(const uint8_t *key, size_t len)
{
    return (size_t)(ts_hash_seeded(0, key, len) % KV_GONE_SLOTS);
}

struct kv_entry *kv_store_add(struct kv_store *s, struct ts_bytes key)
{
    /* It may go by a flush, which looks at no key: who watches its absence sees that it came. */
    s->gone[gone_slot(key.data, key.len)] = s->version;
    return kv_store_add_in(s, KV_SPACE_KEYS, key);
}

struct kv_entry *kv_store_add_in(struct kv_store *s, enum kv_space space, struct ts_bytes key)
{
    ts_assert(key.len <= UINT32_MAX);
    struct kv_entry *e = must(malloc(sizeof(*e) + key.len));
    *e = (struct kv_entry){
        .prev = s->last,
        .hash = hash_key(s, space, key),
        .space = (uint8_t)space,
        .serial = s->next_serial++,
        .version = s->version,
        .expire_ms = KV_NO_EXPIRY,
        .heap_at = KV_NOT_IN_HEAP,
        .key_len = (uint32_t)key.len,
    };
    if (key.len > 0) {
        memcpy(e->key, key.data, key.len);
    }
    struct kv_entry **bucket = bucket_of(s, e->hash);
    e->chain = *bucket;
    *bucket = e;
    if (s->last != NULL) {
        s->last->next = e;
    } else {
        s->first = e;
    }
    s->last = e;
    kv_order_add(&s->order, e);
    s->keys++;
    s->leases += space == KV_SPACE_LEASES;
    s->key_bytes += key.len;
    s->memory += key.len + KV_KEY_OVERHEAD;
    resize_if_needed(s);
    return e;
}

static void unchain(struct kv_store *s, struct kv_entry *e)
{
    struct kv_entry **link = bucket_of(s, e->hash);
    while (*link != e) {
        ts_assert(*link != NULL);
        link = &(*link)->chain;
    }
    *link = e->chain;
}

uint64_t kv_store_version(const struct kv_store *s, const struct kv_entry *e, struct ts_bytes key)
{
    return e != NULL ? e->version << 1 | 1 : s->gone[gone_slot(key.data, key.len)] << 1;
}

void kv_store_remove(struct kv_store *s, struct kv_entry *e)
{
    ts_assert(s->keys > 0);
    s->gone[gone_slot(e->key, e->key_len)] = s->version;
    if (s->cursor == e) {
        s->cursor = e->next;
    }
    unchain(s, e);
    kv_heap_remove(s, e);
    kv_order_remove(&s->order, e);
    *(e->prev != NULL ? &e->prev->next : &s->first) = e->next;
    *(e->next != NULL ? &e->next->prev : &s->last) = e->prev;
    s->keys--;
    s->leases -= e->space == KV_SPACE_LEASES;
    s->key_bytes -= e->key_len;
    s->memory -= (uint64_t)e->key_len + e->value_len + KV_KEY_OVERHEAD;
    if (!kv_keep_removed(s, e)) {
        kv_entry_free(e);
    }
    resize_if_needed(s);
}

void kv_store_clear(struct kv_store *s)
{
    if (!kv_keep_flushed(s) && s->last != NULL) {
        s->last->next = s->graveyard;
        s->graveyard = s->first;
    }
    struct kv_entry **slots = calloc(BUCKETS_MIN, sizeof(struct kv_entry *));
    must(slots);
    free(s->now.slots);
    free(s->old.slots);
    free(s->heap);
    kv_order_free(&s->order);
    *s = (struct kv_store){
        .seed = s->seed,
        .version = s->version,
        .written = s->written,
        .gone = s->gone,
        .now = {slots, BUCKETS_MIN},
        .keep = s->keep,
        .graveyard = s->graveyard,
        .dead = s->dead,
        .next_serial = s->next_serial,
    };
}

/* Makes room for a value of `len` bytes; keeps the bytes that are there. */
static void reserve(struct kv_entry *e, size_t len)
{
    size_t spare = len < VALUE_STEP_MAX ? len : VALUE_STEP_MAX;
    if (len <= e->value_cap && e->value_cap <= 2 * (len + spare) + 64) {
        return;
    }
    /* Appends grow by doubling up to a step; a plain SET takes what it needs. */
    size_t cap = e->value_len > 0 && len > e->value_len ? len + spare : len;
    ts_assert(cap <= UINT32_MAX);
    if (cap == 0) {
        free(e->value);
        e->value = NULL;
    } else {
        e->value = must(realloc(e->value, cap));
    }
    e->value_cap = (uint32_t)cap;
}

/* Before a change that leaves some of the value: a walk that is under way wants a copy of it, once
 * an entry of the log. Counted without a walk, too, which is each replica's own affair. */
static void change_part(struct kv_store *s, struct kv_entry *e)
{
    s->written += e->version != s->version ? e->value_len : 0;
    kv_keep_change(s, e, false);
    e->version = s->version;
}

void kv_store_set_value(struct kv_store *s, struct kv_entry *e, struct ts_bytes value)
{
    kv_keep_change(s, e, true);
    s->written += value.len;
    s->memory -= e->value_len;
    e->value_len = 0;
    e->version = s->version;
    reserve(e, value.len);
    if (value.len > 0) {
        ts_assert(e->value != NULL);
        memcpy(e->value, value.data, value.len);
    }
    e->value_len = (uint32_t)value.len;
    s->memory += value.len;
}

void kv_store_append(struct kv_store *s, struct kv_entry *e, struct ts_bytes tail)
{
    change_part(s, e);
    s->written += tail.len;
    if (tail.len == 0) {
        return;
    }
    reserve(e, e->value_len + tail.len);
    ts_assert(e->value != NULL);
    ts_assert(e->value != NULL && e->value_cap - e->value_len >= tail.len);
    memcpy(e->value + e->value_len, tail.data, tail.len);
    e->value_len += (uint32_t)tail.len;
    s->memory += tail.len;
}

void kv_store_overwrite(struct kv_store *s, struct kv_entry *e, size_t at, struct ts_bytes part)
{
    size_t end = at + part.len;
    change_part(s, e);
    s->written += part.len;
    if (end > e->value_len) {
        s->written += end - e->value_len;
        reserve(e, end);
        ts_assert(e->value != NULL && e->value_cap >= end);
        memset(e->value + e->value_len, 0, end - e->value_len);
        s->memory += end - e->value_len;
        e->value_len = (uint32_t)end;
    }
    if (part.len > 0) {
        memcpy(e->value + at, part.data, part.len);
    }
}

void kv_store_set_expiry(struct kv_store *s, struct kv_entry *e, uint64_t expire_ms)
{
    if (e->expire_ms == expire_ms) {
        return;
    }
    change_part(s, e);
    kv_heap_remove(s, e);
    e->expire_ms = expire_ms;
    if (expire_ms != KV_NO_EXPIRY) {
        kv_heap_insert(s, e);
    }
}

struct kv_entry *kv_store_next_expiry(const struct kv_store *s)
{
    return s->heap_len > 0 ? s->heap[0].entry : NULL;
}

static void move_buckets(struct kv_store *s)
{
    for (size_t n = 0; n < MOVE_PER_TIDY && s->moved < s->old.count; n++) {
        struct kv_entry *e = s->old.slots[s->moved++];
        while (e != NULL) {
            struct kv_entry *after = e->chain;
            struct kv_entry **bucket = &s->now.slots[(size_t)e->hash & (s->now.count - 1)];
            e->chain = *bucket;
            *bucket = e;
            e = after;
        }
    }
    if (s->moved == s->old.count) {
        free(s->old.slots);
        s->old = (struct kv_buckets){NULL, 0};
    }
}

void kv_store_tidy(struct kv_store *s)
{
    if (s->old.count > 0) {
        move_buckets(s);
    }
    for (size_t n = 0; n < FREE_PER_TIDY && s->graveyard != NULL; n++) {
        struct kv_entry *e = s->graveyard;
        s->graveyard = e->next;
        kv_entry_free(e);
    }
    for (size_t n = 0; n < FREE_PER_TIDY && s->dead != NULL; n++) {
        kv_entry_free(kv_keep_dismantle(&s->dead));
    }
}

void kv_store_check(const struct kv_store *s)
{
    uint64_t keys = 0;
    uint64_t memory = 0;
    uint64_t key_bytes = 0;
    uint64_t expiries = 0;
    uint64_t leases = 0;
    uint64_t serial = 0;
    const struct kv_entry *before = NULL;
    for (const struct kv_entry *e = s->first; e != NULL; e = e->next) {
        ts_assert(e->prev == before && e->serial > serial);
        ts_assert(e->value_len <= e->value_cap);
        ts_assert(kv_store_find_in(s, (enum kv_space)e->space,
                                   (struct ts_bytes){e->key, e->key_len}) == e);
        ts_assert(e->space != KV_SPACE_LEASES || e->expire_ms != KV_NO_EXPIRY);
        leases += e->space == KV_SPACE_LEASES;
        ts_assert((e->expire_ms == KV_NO_EXPIRY) == (e->heap_at == KV_NOT_IN_HEAP));
        expiries += e->expire_ms != KV_NO_EXPIRY;
        memory += (uint64_t)e->key_len + e->value_len + KV_KEY_OVERHEAD;
        key_bytes += e->key_len;
        serial = e->serial;
        before = e;
        keys++;
    }
    ts_assert(s->last == before && s->next_serial > serial);
    ts_assert(keys == s->keys && memory == s->memory && expiries == s->heap_len);
    ts_assert(key_bytes == s->key_bytes && leases == s->leases);
    kv_order_check(&s->order, s->first);
    kv_heap_check(s);
    kv_keep_check(s);
}
