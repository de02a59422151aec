#include "tests/lincheck/arena.h"

#include <string.h>

#define SLOTS_MIN 64

void *lin_arena_take(struct lin_arena *a, size_t bytes)
{
    if (bytes > a->cap - a->used) {
        a->full = true;
        return NULL;
    }
    size_t padded = (bytes + LIN_ARENA_ALIGN - 1) / LIN_ARENA_ALIGN * LIN_ARENA_ALIGN;
    if (padded > a->cap - a->used) {
        a->full = true;
        return NULL;
    }
    uint8_t *p = a->base + a->used;
    memset(p, 0, padded);
    a->used += padded;
    if (a->used > a->used_max) {
        a->used_max = a->used;
    }
    return p;
}

void *lin_arena_array(struct lin_arena *a, size_t n, size_t size)
{
    if (size != 0 && n > a->cap / size) {
        a->full = true;
        return NULL;
    }
    /* Never NULL for nothing: that would read as a full arena. */
    return lin_arena_take(a, n * size + (n == 0 ? LIN_ARENA_ALIGN : 0));
}

void lin_arena_return(struct lin_arena *a, size_t mark)
{
    a->used = mark;
}

/* What is kept of a hash; well mixed ones keep their quality. */
static uint32_t fold(uint64_t hash)
{
    return (uint32_t)(hash ^ hash >> 32);
}

uint32_t lin_table_next(const struct lin_table *t, uint64_t hash, size_t *at)
{
    if (t->slots == NULL) {
        return 0;
    }
    uint32_t h = fold(hash);
    size_t i = *at == SIZE_MAX ? h & t->mask : (*at + 1) & t->mask;
    while (t->slots[i].ref != 0 && t->slots[i].hash != h) {
        i = (i + 1) & t->mask;
    }
    *at = i;
    return t->slots[i].ref;
}

static void place(struct lin_slot *slots, size_t mask, struct lin_slot s)
{
    size_t i = s.hash & mask;
    while (slots[i].ref != 0) {
        i = (i + 1) & mask;
    }
    slots[i] = s;
}

static bool grow(struct lin_table *t, struct lin_arena *a)
{
    size_t size = t->slots == NULL ? SLOTS_MIN : (t->mask + 1) * 2;
    struct lin_slot *slots = lin_arena_array(a, size, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; t->slots != NULL && i <= t->mask; i++) {
        if (t->slots[i].ref != 0) {
            place(slots, size - 1, t->slots[i]);
        }
    }
    t->slots = slots;
    t->mask = size - 1;
    return true;
}

bool lin_table_add(struct lin_table *t, struct lin_arena *a, uint64_t hash, uint32_t ref)
{
    if ((t->slots == NULL || t->count * 3 >= t->mask * 2) && !grow(t, a)) {
        return false;
    }
    place(t->slots, t->mask, (struct lin_slot){fold(hash), ref});
    t->count++;
    return true;
}

static bool before(const struct lin_sort *a, const struct lin_sort *b)
{
    return a->major != b->major ? a->major < b->major : a->minor < b->minor;
}

/* Merges from[0..middle) and from[middle..n) into `to`. */
static void merge(struct lin_sort *to, const struct lin_sort *from, size_t middle, size_t n)
{
    size_t left = 0;
    size_t right = middle;
    for (size_t i = 0; i < n; i++) {
        bool take_right = left == middle || (right < n && before(&from[right], &from[left]));
        to[i] = take_right ? from[right++] : from[left++];
    }
}

bool lin_sort(struct lin_arena *a, struct lin_sort *items, size_t n)
{
    size_t mark = a->used;
    struct lin_sort *from = items;
    struct lin_sort *to = lin_arena_array(a, n, sizeof *to);
    if (to == NULL) {
        return false;
    }
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t i = 0; i < n; i += 2 * width) {
            size_t left = n - i < width ? n - i : width;
            size_t both = n - i < 2 * width ? n - i : 2 * width;
            merge(to + i, from + i, left, both);
        }
        struct lin_sort *swap = from;
        from = to;
        to = swap;
    }
    if (from != items) {
        memcpy(items, from, n * sizeof *items);
    }
    lin_arena_return(a, mark);
    return true;
}
