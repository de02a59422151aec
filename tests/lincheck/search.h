/* The search's parts, inside the library: timeline.c lays the part out in time, search.c searches.
 */
#ifndef TESTS_LINCHECK_SEARCH_H
#define TESTS_LINCHECK_SEARCH_H

#include "tests/lincheck/check.h"

#define LIN_NOBODY UINT32_MAX

/* The begin or the end of a required item. Equal instants: begins come first. */
struct lin_event {
    uint32_t item;
    bool is_end;
    /* of an end: what is under way then */
    uint32_t open_count;
    uint32_t optional_count; /* the first so many optional items have begun */
    size_t open_at;          /* the required ones, in the timeline's `open`, by their begin */
};

/* A part in time. A configuration's set of operations that took effect needs bits only for what
 * is under way: `bit` of a required item is free again after its end, one of an optional item
 * is its own. */
struct lin_timeline {
    const struct lin_part *part;
    struct lin_event *events;
    size_t event_count;
    uint32_t *open;
    uint32_t *optional; /* the optional items, by their begin */
    uint32_t optional_count;
    uint32_t *bit;       /* of each item */
    uint32_t *end_event; /* of each required item */
    uint32_t *twin; /* of each optional item the one before it that does the same; LIN_NOBODY */
    size_t required_words; /* 64-bit words of a set: first those of the required items, */
    size_t words;          /* then those of the optional ones: so many in all */
};

/* Everything in the arena. False when it is full. */
bool lin_timeline(struct lin_arena *a, const struct lin_part *p, struct lin_timeline *t);

static inline bool lin_bit(const uint64_t *set, uint32_t bit)
{
    return (set[bit / 64] >> (bit % 64) & 1) != 0;
}

static inline void lin_bit_set(uint64_t *set, uint32_t bit)
{
    set[bit / 64] |= (uint64_t)1 << (bit % 64);
}

static inline void lin_bit_clear(uint64_t *set, uint32_t bit)
{
    set[bit / 64] &= ~((uint64_t)1 << (bit % 64));
}

#endif
