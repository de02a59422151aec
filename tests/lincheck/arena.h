/* The checker's memory: one block, taken from its front, given back by going back to a mark. Things
 * in it are named by 32-bit references (offset / 8; 0 is none), so that states and configurations
 * stay small. Also what works on such memory: a hash table of references, a sort. */
#ifndef TESTS_LINCHECK_ARENA_H
#define TESTS_LINCHECK_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIN_ARENA_ALIGN 8
/* What a 32-bit reference can name. */
#define LIN_ARENA_MAX ((size_t)LIN_ARENA_ALIGN << 32)

struct lin_arena {
    uint8_t *base; /* borrowed, aligned for any type */
    size_t cap;
    size_t used;
    size_t used_max;
    bool full; /* something did not fit; sticky until the caller clears it */
};

/* `bytes` zeroed bytes, NULL when they do not fit (then full is set). */
void *lin_arena_take(struct lin_arena *a, size_t bytes);
/* The same for `n` things of `size` bytes. */
void *lin_arena_array(struct lin_arena *a, size_t n, size_t size);
/* Gives back all that was taken since `used` was `mark`. */
void lin_arena_return(struct lin_arena *a, size_t mark);

static inline void *lin_at(const struct lin_arena *a, uint32_t ref)
{
    return a->base + (size_t)ref * LIN_ARENA_ALIGN;
}

static inline uint32_t lin_ref(const struct lin_arena *a, const void *p)
{
    return (uint32_t)((size_t)((const uint8_t *)p - a->base) / LIN_ARENA_ALIGN);
}

/* ---- hash table: from a hash to the references entered under it ---- */

struct lin_slot {
    uint32_t hash;
    uint32_t ref; /* 0 = empty */
};

/* All zero is an empty table. Grows in its arena and leaves the old slots there. */
struct lin_table {
    struct lin_slot *slots; /* in the arena */
    size_t mask;            /* their number - 1, a power of two - 1 */
    size_t count;
};

/* Walks the references under `hash`: begin with *at = SIZE_MAX; 0 at the end. */
uint32_t lin_table_next(const struct lin_table *t, uint64_t hash, size_t *at);
/* Enters one more reference. False when the arena is full. */
bool lin_table_add(struct lin_table *t, struct lin_arena *a, uint64_t hash, uint32_t ref);

/* Spreads the bits of a number over all of them.
 * Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014 (mix64). */
static inline uint64_t lin_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* ---- sorting ---- */

struct lin_sort {
    uint64_t major;
    uint64_t minor;
    uint32_t what;
};

/* Sorts by (major, minor), stable; takes room for a copy and gives it back. False without room. */
bool lin_sort(struct lin_arena *a, struct lin_sort *items, size_t n);

#endif
