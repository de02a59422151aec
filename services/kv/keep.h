/* Copy on write for a walk: what of the store as it was frozen has changed before the walk came to
 * it.
 *
 * The walk goes through the entries in the order of creation. An entry belongs to it when its
 * creation number is below `end`. Before such a one is changed or removed, and the walk has not
 * given it yet, its old form is kept: the entry itself when it is removed, otherwise a second one.
 * Kept forms stand in a leftist heap by creation number (Crane 1972), through links that an entry
 * outside of the store does not need: nothing grows, and keeping and taking take O(log kept) steps
 * at worst. Which entries were changed since is told by their version, so each is kept at most
 * once.
 *
 * A flush hands the whole list over: the walk goes on along it. */
#ifndef SERVICES_KV_KEEP_H
#define SERVICES_KV_KEEP_H

#include <stdbool.h>
#include <stdint.h>

struct kv_entry;
struct kv_store;

/* All zero: no walk is under way. */
struct kv_keep {
    bool active;
    uint64_t version; /* the store's when it was frozen: what has a higher one was changed since */
    uint64_t end;     /* the first creation number that is not the walk's */
    uint64_t reached; /* all up to this creation number was given */
    struct kv_entry *at;      /* the next one behind `reached` in the list, NULL: none */
    struct kv_entry *kept;    /* the heap's root, owned */
    struct kv_entry *flushed; /* the list that was handed over, owned */
    struct kv_entry *flushed_last;
    uint64_t bytes; /* logical ones of what is kept, flushed ones included */
};

/* Freezes the store as it is now; no walk is under way. */
void kv_keep_begin(struct kv_store *s);
/* Lets go of what was kept: kv_store_tidy frees it. */
void kv_keep_end(struct kv_store *s);

/* `e`, in the store, is about to be changed. With `whole` its value will be replaced as a whole and
 * may be taken away: its length is 0 then. */
void kv_keep_change(struct kv_store *s, struct kv_entry *e, bool whole);
/* `e` has been taken out of the store, but its `next` still is right. True: it was taken over;
 * otherwise it remains the caller's. */
bool kv_keep_removed(struct kv_store *s, struct kv_entry *e);
/* The whole list is about to be thrown away. True: it was taken over. */
bool kv_keep_flushed(struct kv_store *s);

/* The next entry of the frozen store, valid until anything changes; NULL: there is no further one.
 */
const struct kv_entry *kv_keep_peek(const struct kv_store *s);
/* The walk has given that one. */
void kv_keep_next(struct kv_store *s);

/* Takes one entry out of what kv_keep_end let go of, which is not empty; the caller frees it. */
struct kv_entry *kv_keep_dismantle(struct kv_entry **dead);
/* Aborts when the heap's order is wrong, or something is kept that the walk does not need. */
void kv_keep_check(const struct kv_store *s);

#endif
