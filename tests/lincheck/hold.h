/* How long values must stay: pruning for the search, inside the library.
 *
 * A value that one operation of the part writes, and that neither INCR nor APPEND can make, is in
 * its key in one stretch. While a GET of it has yet to begin, nothing may replace it; and when it
 * is written, whatever must take effect on its key before that GET begins must have done so. Both
 * are seen at once here, where the search would notice a wrong turn only at the GET, with turns of
 * other keys in between. */
#ifndef TESTS_LINCHECK_HOLD_H
#define TESTS_LINCHECK_HOLD_H

#include "tests/lincheck/search.h"

struct lin_hold {
    uint32_t key; /* local number */
    uint32_t value;
    uint32_t writers;
    uint32_t last_begin; /* event at which the last of its readers begins, 0 = has none */
};

struct lin_holds {
    struct lin_arena *arena;
    const struct lin_timeline *t;
    const struct lin_model *m;
    struct lin_table table;
    uint64_t *grown; /* bit set of keys, by local number, whose values can come by themselves */
};

/* In the arena. False when it is full. */
bool lin_holds(struct lin_arena *a, const struct lin_timeline *t, const struct lin_model *m,
               struct lin_holds *h);

/* Whether the item, taking effect at the event, turns `state` into `next` too early for a value,
 * when those of `set` have taken effect. */
bool lin_breaks_hold(const struct lin_holds *h, uint32_t item, uint32_t event, uint32_t state,
                     uint32_t next, const uint64_t *set);

#endif
