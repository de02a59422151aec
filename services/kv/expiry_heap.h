/* The heap of expiries inside a store: a binary heap over (expiry, creation
 * number), a total order, so that keys leave in the same order on every replica. */
#ifndef SERVICES_KV_EXPIRY_HEAP_H
#define SERVICES_KV_EXPIRY_HEAP_H

#include "services/kv/store.h"

/* Adds an entry that has an expiry and is not in the heap. */
void kv_heap_insert(struct kv_store *s, struct kv_entry *e);
/* No effect when the entry is not in the heap. */
void kv_heap_remove(struct kv_store *s, struct kv_entry *e);
/* Aborts when the order or an index is wrong. For tests. */
void kv_heap_check(const struct kv_store *s);

#endif
