#include "services/kv/keep.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/kv/kv.h"
#include "services/kv/store.h"

/* A right spine of a leftist heap of n entries has at most log2(n + 1) of them. */
#define SPINE_MAX 64

/* ---- the leftist heap: prev = left child, next = right child, heap_at = length of the right spine
 * --
 */

static uint32_t spine(const struct kv_entry *e)
{
    return e != NULL ? e->heap_at : 0;
}

static struct kv_entry *merge(struct kv_entry *a, struct kv_entry *b)
{
    /* Both right spines become one, in order; then each node gets it as its right child, from the
     * end on. */
    struct kv_entry *path[2 * SPINE_MAX];
    size_t n = 0;
    while (a != NULL && b != NULL) {
        struct kv_entry **first = a->serial < b->serial ? &a : &b;
        ts_assert(n < 2 * SPINE_MAX);
        path[n++] = *first;
        *first = (*first)->next;
    }
    struct kv_entry *merged = a != NULL ? a : b;
    while (n > 0) {
        struct kv_entry *e = path[--n];
        e->next = merged;
        if (spine(e->prev) < spine(e->next)) {
            struct kv_entry *left = e->prev;
            e->prev = e->next;
            e->next = left;
        }
        e->heap_at = spine(e->next) + 1;
        merged = e;
    }
    return merged;
}

static uint64_t logical_bytes(const struct kv_entry *e)
{
    return (uint64_t)e->key_len + e->value_len + KV_KEY_OVERHEAD;
}

static void keep(struct kv_keep *k, struct kv_entry *e)
{
    k->bytes += logical_bytes(e);
    e->prev = NULL;
    e->next = NULL;
    e->heap_at = 1;
    k->kept = merge(k->kept, e);
}

static void bury(struct kv_entry **dead, struct kv_entry *heap)
{
    if (heap != NULL) {
        heap->chain = *dead;
        *dead = heap;
    }
}

struct kv_entry *kv_keep_dismantle(struct kv_entry **dead)
{
    struct kv_entry *e = *dead;
    *dead = e->chain;
    bury(dead, e->prev);
    bury(dead, e->next);
    return e;
}

/* ---- what changes under a walk ---- */

void kv_keep_begin(struct kv_store *s)
{
    ts_assert(!s->keep.active);
    s->keep = (struct kv_keep){
        .active = true, .version = s->version, .end = s->next_serial, .at = s->first};
}

void kv_keep_end(struct kv_store *s)
{
    struct kv_keep *k = &s->keep;
    ts_assert(k->active);
    if (k->flushed != NULL) {
        k->flushed_last->next = s->graveyard;
        s->graveyard = k->flushed;
    }
    bury(&s->dead, k->kept);
    *k = (struct kv_keep){0};
}

/* Whether the walk still needs the form that the entry has. (What was created since has a higher
 * version.) */
static bool wanted(const struct kv_keep *k, const struct kv_entry *e)
{
    return k->active && e->serial > k->reached && e->version <= k->version;
}

void kv_keep_change(struct kv_store *s, struct kv_entry *e, bool whole)
{
    if (!wanted(&s->keep, e)) {
        return;
    }
    struct kv_entry *old = malloc(sizeof(*old) + e->key_len);
    ts_must(old);
    memcpy(old, e, sizeof(*old) + e->key_len);
    if (whole) {
        e->value = NULL;
        e->value_cap = 0;
        s->memory -= e->value_len;
        e->value_len = 0;
    } else if (e->value_len > 0) {
        old->value = malloc(e->value_len);
        ts_must(old->value);
        memcpy(old->value, e->value, e->value_len);
        old->value_cap = e->value_len;
    } else {
        old->value = NULL;
        old->value_cap = 0;
    }
    keep(&s->keep, old);
}

bool kv_keep_removed(struct kv_store *s, struct kv_entry *e)
{
    struct kv_keep *k = &s->keep;
    if (k->at == e) {
        k->at = e->next;
    }
    if (!wanted(k, e)) {
        return false;
    }
    keep(k, e);
    return true;
}

bool kv_keep_flushed(struct kv_store *s)
{
    struct kv_keep *k = &s->keep;
    /* After one flush nothing in the store is as old as the walk. */
    if (!k->active || k->flushed != NULL || s->first == NULL) {
        return false;
    }
    k->flushed = s->first;
    k->flushed_last = s->last;
    k->bytes += s->memory;
    return true;
}

/* ---- the walk ---- */

const struct kv_entry *kv_keep_peek(const struct kv_store *s)
{
    const struct kv_keep *k = &s->keep;
    ts_assert(k->active);
    const struct kv_entry *at = k->at != NULL && k->at->serial < k->end ? k->at : NULL;
    /* Of one that was changed both forms are there: the kept one is the walk's. */
    if (k->kept != NULL && (at == NULL || k->kept->serial <= at->serial)) {
        return k->kept;
    }
    ts_assert(at == NULL || at->version <= k->version);
    return at;
}

void kv_keep_next(struct kv_store *s)
{
    struct kv_keep *k = &s->keep;
    const struct kv_entry *e = kv_keep_peek(s);
    ts_assert(e != NULL && e->serial > k->reached);
    k->reached = e->serial;
    if (k->at != NULL && k->at->serial == k->reached) {
        k->at = k->at->next;
    }
    if (e == k->kept) {
        struct kv_entry *old = k->kept;
        k->kept = merge(old->prev, old->next);
        k->bytes -= logical_bytes(old);
        kv_entry_free(old);
    }
}

void kv_keep_check(const struct kv_store *s)
{
    const struct kv_keep *k = &s->keep;
    ts_assert(k->active || (k->at == NULL && k->kept == NULL && k->flushed == NULL));
    ts_assert(k->at == NULL || k->at->serial > k->reached);
    /* Down the left children: those have the longer spines, so the checks meet most of the heap's
     * height without a stack. */
    for (const struct kv_entry *e = k->kept; e != NULL; e = e->prev) {
        ts_assert(e->serial > k->reached && e->serial < k->end && e->version <= k->version);
        ts_assert(e->prev == NULL || e->prev->serial > e->serial);
        ts_assert(e->next == NULL || e->next->serial > e->serial);
        ts_assert(spine(e->prev) >= spine(e->next) && e->heap_at == spine(e->next) + 1);
    }
}
