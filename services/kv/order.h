/* Where an entry stands in the order of creation: for walks that go on where an earlier one ended,
 * by creation number, on whichever replica, and for picking one at random.
 *
 * The entries are cut into runs: those whose creation numbers divided by KV_RUN_KEYS are the same.
 * The runs stand in one array, in order, found by binary search. A run that is empty is taken out.
 * So the runs, and what is picked, depend on the living entries alone, however they came. */
#ifndef SERVICES_KV_ORDER_H
#define SERVICES_KV_ORDER_H

#include <stddef.h>
#include <stdint.h>

struct kv_entry;

#define KV_RUN_KEYS 512U

struct kv_run {
    uint64_t number; /* creation numbers of its entries / KV_RUN_KEYS */
    struct kv_entry *first;
    uint32_t keys; /* that live */
};

/* All zero: empty. */
struct kv_order {
    struct kv_run *runs; /* owned */
    size_t count;
    size_t cap;
};

void kv_order_free(struct kv_order *o);
/* `e` was created just now: behind all others. */
void kv_order_add(struct kv_order *o, struct kv_entry *e);
/* `e` is about to be taken out of the store's list, in which it still stands. */
void kv_order_remove(struct kv_order *o, const struct kv_entry *e);
/* The first entry whose creation number is higher than `serial`; NULL: none. */
struct kv_entry *kv_order_after(const struct kv_order *o, uint64_t serial);
/* An entry chosen by `dice`, nearly evenly; NULL: there is none. */
struct kv_entry *kv_order_pick(const struct kv_order *o, uint64_t dice);
/* Aborts when the runs do not agree with the list that begins with `first`. For tests. */
void kv_order_check(const struct kv_order *o, const struct kv_entry *first);

#endif
