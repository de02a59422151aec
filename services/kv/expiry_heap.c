#include "services/kv/expiry_heap.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

#define HEAP_FIRST 64

static bool before(const struct kv_heap_item *a, const struct kv_heap_item *b)
{
    if (a->expire_ms != b->expire_ms) {
        return a->expire_ms < b->expire_ms;
    }
    return a->entry->serial < b->entry->serial;
}

static void place(struct kv_store *s, uint32_t at, struct kv_heap_item item)
{
    s->heap[at] = item;
    item.entry->heap_at = at;
}

static void sift_up(struct kv_store *s, uint32_t at, struct kv_heap_item item)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (!before(&item, &s->heap[parent])) {
            break;
        }
        place(s, at, s->heap[parent]);
        at = parent;
    }
    place(s, at, item);
}

static void sift_down(struct kv_store *s, uint32_t at, struct kv_heap_item item)
{
    while (true) {
        uint64_t child = (uint64_t)at * 2 + 1;
        if (child >= s->heap_len) {
            break;
        }
        if (child + 1 < s->heap_len && before(&s->heap[child + 1], &s->heap[child])) {
            child++;
        }
        if (!before(&s->heap[child], &item)) {
            break;
        }
        place(s, at, s->heap[child]);
        at = (uint32_t)child;
    }
    place(s, at, item);
}

void kv_heap_insert(struct kv_store *s, struct kv_entry *e)
{
    ts_assert(e->heap_at == KV_NOT_IN_HEAP && e->expire_ms != KV_NO_EXPIRY);
    if (s->heap_len == s->heap_cap) {
        uint32_t cap = s->heap_cap == 0 ? HEAP_FIRST : s->heap_cap * 2;
        ts_assert(cap > s->heap_cap && cap < KV_NOT_IN_HEAP);
        s->heap = realloc(s->heap, cap * sizeof(*s->heap));
        ts_must(s->heap);
        s->heap_cap = cap;
    }
    uint32_t at = s->heap_len++;
    sift_up(s, at, (struct kv_heap_item){e->expire_ms, e});
}

void kv_heap_remove(struct kv_store *s, struct kv_entry *e)
{
    uint32_t at = e->heap_at;
    if (at == KV_NOT_IN_HEAP) {
        return;
    }
    ts_assert(at < s->heap_len && s->heap[at].entry == e);
    e->heap_at = KV_NOT_IN_HEAP;
    struct kv_heap_item item = s->heap[--s->heap_len];
    if (at == s->heap_len) {
        return;
    }
    /* The last one fills the hole; it may belong above or below it. */
    if (at > 0 && before(&item, &s->heap[(at - 1) / 2])) {
        sift_up(s, at, item);
    } else {
        sift_down(s, at, item);
    }
}

void kv_heap_check(const struct kv_store *s)
{
    for (uint32_t i = 0; i < s->heap_len; i++) {
        const struct kv_heap_item *item = &s->heap[i];
        ts_assert(item->entry->heap_at == i);
        ts_assert(item->expire_ms == item->entry->expire_ms);
        ts_assert(i == 0 || !before(item, &s->heap[(i - 1) / 2]));
    }
}
