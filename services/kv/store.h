/* The keys of a kv state: a hash table, the order of creation, and a heap of
 * expiries over the same entries.
 *
 * The table's layout may differ between replicas (hash seed), so nothing is ever
 * walked by bucket: checkpoints follow the order of creation, sweeps follow
 * (expiry, creation number). The table grows and shrinks a few buckets at a time,
 * and a flush detaches all entries at once and frees them little by little, so
 * no single entry of the log costs time in proportion to the state. */
#ifndef SERVICES_KV_STORE_H
#define SERVICES_KV_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "services/kv/keep.h"
#include "services/kv/order.h"

#define KV_NO_EXPIRY 0
#define KV_NOT_IN_HEAP UINT32_MAX
#define KV_GONE_SLOTS 4096U

/* Names of one space do not meet those of another one. */
enum kv_space {
    KV_SPACE_KEYS = 0,
    KV_SPACE_LEASES = 1,
    KV_SPACES,
};

struct kv_entry {
    struct kv_entry *chain; /* next in the bucket */
    struct kv_entry *prev;  /* created before, NULL at the first */
    struct kv_entry *next;  /* created after */
    uint64_t hash;
    uint64_t serial;    /* creation number: breaks ties between equal expiries */
    uint64_t expire_ms; /* logical time, KV_NO_EXPIRY = never */
    uint64_t version;   /* the store's when value or expiry were last changed */
    uint32_t heap_at;   /* index in the heap, KV_NOT_IN_HEAP */
    uint32_t key_len;
    uint32_t value_len;
    uint32_t value_cap;
    uint8_t space;  /* enum kv_space */
    uint8_t *value; /* owned, NULL when value_cap is 0 */
    uint8_t key[];
};

struct kv_buckets {
    struct kv_entry **slots; /* owned, `count` of them, NULL when count is 0 */
    size_t count;            /* a power of two, or 0 */
};

struct kv_heap_item {
    uint64_t expire_ms;
    struct kv_entry *entry;
};

struct kv_store {
    /* config */
    uint64_t seed;
    /* the table: `old` is emptied into `now` from `moved` on while it exists */
    struct kv_buckets now;
    struct kv_buckets old;
    size_t moved;
    /* seq of the log entry being applied; the caller sets it */
    uint64_t version;
    uint64_t
        *gone; /* KV_GONE_SLOTS, owned: the version in which a key of this slot last came or went */
    /* creation order */
    struct kv_entry *first;
    struct kv_entry *last;
    struct kv_entry *cursor; /* where the next checkpoint slice begins; NULL = at the first */
    uint64_t next_serial;
    struct kv_order order;
    /* expiries */
    struct kv_heap_item *heap; /* owned */
    uint32_t heap_len;
    uint32_t heap_cap;
    /* what a walk that is under way needs of what is no more */
    struct kv_keep keep;
    /* to be freed: detached by a flush, linked by `next`; and what walks had kept (keep.h) */
    struct kv_entry *graveyard;
    struct kv_entry *dead;
    /* figures */
    uint64_t keys;      /* entries of all spaces */
    uint64_t leases;    /* of them */
    uint64_t key_bytes; /* of their names */
    uint64_t memory;    /* logical bytes */
    /* Bytes of values written since this store was made, and those that a walk may have had copied
     * for it: the same on every replica that applied the same commands, and kept by no checkpoint.
     */
    uint64_t written;
};

/* False when memory is short. */
bool kv_store_init(struct kv_store *s, uint64_t seed);
void kv_store_free(struct kv_store *s);

/* The entry of this key, expired or not; NULL when there is none. */
struct kv_entry *kv_store_find_in(const struct kv_store *s, enum kv_space space,
                                  struct ts_bytes key);
struct kv_entry *kv_store_find(const struct kv_store *s, struct ts_bytes key);
/* Brings what will be looked up soon nearer to the processor; at most SVC_EXPECT_MAX keys. */
void kv_store_expect(const struct kv_store *s, const struct ts_bytes *keys, size_t count);
/* Creates the key, which must not exist, with an empty value and no expiry. */
struct kv_entry *kv_store_add_in(struct kv_store *s, enum kv_space space, struct ts_bytes key);
struct kv_entry *kv_store_add(struct kv_store *s, struct ts_bytes key);
void kv_store_remove(struct kv_store *s, struct kv_entry *e);
/* What changes whenever the key comes, goes or is changed, and seldom otherwise: only by another
 * key of its slot that comes or goes. */
uint64_t kv_store_version(const struct kv_store *s, const struct kv_entry *e, struct ts_bytes key);
/* Of one that stands in no store. */
void kv_entry_free(struct kv_entry *e);
/* Forgets all keys at once; kv_store_tidy frees them. */
void kv_store_clear(struct kv_store *s);

void kv_store_set_value(struct kv_store *s, struct kv_entry *e, struct ts_bytes value);
void kv_store_append(struct kv_store *s, struct kv_entry *e, struct ts_bytes tail);
/* Writes `part` over the value from byte `at` on; what is missing before it becomes zeros. */
void kv_store_overwrite(struct kv_store *s, struct kv_entry *e, size_t at, struct ts_bytes part);
/* KV_NO_EXPIRY removes it. */
void kv_store_set_expiry(struct kv_store *s, struct kv_entry *e, uint64_t expire_ms);

/* The key that expires first, NULL when none does. */
struct kv_entry *kv_store_next_expiry(const struct kv_store *s);
/* A bounded piece of housekeeping: moves buckets, frees flushed entries. Never visible. */
void kv_store_tidy(struct kv_store *s);
/* Aborts when links, heap and figures do not agree; walks everything. For tests. */
void kv_store_check(const struct kv_store *s);

static inline struct ts_bytes kv_entry_value(const struct kv_entry *e)
{
    return (struct ts_bytes){e->value, e->value_len};
}

#endif
