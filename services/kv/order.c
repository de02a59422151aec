#include "services/kv/order.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/kv/store.h"

void kv_order_free(struct kv_order *o)
{
    free(o->runs);
    *o = (struct kv_order){0};
}

static uint64_t number_of(uint64_t serial)
{
    return serial / KV_RUN_KEYS;
}

/* The last run that is at or before this creation number's; the first one when there is none. */
static size_t run_of(const struct kv_order *o, uint64_t serial)
{
    size_t lo = 0;
    size_t hi = o->count;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (o->runs[mid].number <= number_of(serial)) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return lo;
}

void kv_order_add(struct kv_order *o, struct kv_entry *e)
{
    struct kv_run *last = o->count > 0 ? &o->runs[o->count - 1] : NULL;
    if (last == NULL || last->number != number_of(e->serial)) {
        if (o->count == o->cap) {
            o->cap = o->cap == 0 ? 16 : 2 * o->cap;
            o->runs = realloc(o->runs, o->cap * sizeof(*o->runs));
        }
        ts_must(o->runs);
        last = &o->runs[o->count++];
        *last = (struct kv_run){.number = number_of(e->serial), .first = e};
    }
    last->keys++;
}

void kv_order_remove(struct kv_order *o, const struct kv_entry *e)
{
    size_t i = run_of(o, e->serial);
    struct kv_run *run = &o->runs[i];
    ts_assert(o->count > 0 && run->keys > 0);
    if (run->first == e) {
        run->first = e->next;
    }
    run->keys--;
    if (run->keys == 0) {
        o->count--;
        memmove(run, run + 1, (o->count - i) * sizeof(*run));
    }
}

struct kv_entry *kv_order_after(const struct kv_order *o, uint64_t serial)
{
    if (o->count == 0) {
        return NULL;
    }
    struct kv_entry *e = o->runs[run_of(o, serial)].first;
    while (e != NULL && e->serial <= serial) {
        e = e->next;
    }
    return e;
}

struct kv_entry *kv_order_pick(const struct kv_order *o, uint64_t dice)
{
    if (o->count == 0) {
        return NULL;
    }
    const struct kv_run *run = &o->runs[dice % o->count];
    struct kv_entry *e = run->first;
    for (uint64_t i = dice / o->count % run->keys; i > 0; i--) {
        e = e->next;
    }
    return e;
}

void kv_order_check(const struct kv_order *o, const struct kv_entry *first)
{
    const struct kv_entry *e = first;
    for (size_t i = 0; i < o->count; i++) {
        const struct kv_run *run = &o->runs[i];
        ts_assert(run->first == e && run->keys > 0 && run->keys <= KV_RUN_KEYS);
        ts_assert(i == 0 || o->runs[i - 1].number < run->number);
        for (uint32_t n = 0; n < run->keys; n++) {
            ts_assert(e != NULL && number_of(e->serial) == run->number);
            e = e->next;
        }
    }
    ts_assert(e == NULL);
}
