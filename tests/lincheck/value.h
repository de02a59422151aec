/* Values of keys, each kept once: equal bytes have equal references, so that states are compared
 * by number. 0 is the absent key. A value that grew by APPEND is kept as the value before it and
 * what was appended, so that a list of n elements costs n small nodes and no copies. */
#ifndef TESTS_LINCHECK_VALUE_H
#define TESTS_LINCHECK_VALUE_H

#include "base/buf.h"
#include "tests/lincheck/arena.h"

struct lin_value {
    uint64_t hash;   /* of the bytes, such that a concatenation's follows from its parts' */
    uint64_t power;  /* the multiplier to the power of `len` */
    int64_t number;  /* with is_number */
    size_t len;      /* bytes */
    uint32_t before; /* appended to this value; 0 = the bytes follow this struct */
    uint32_t chunk;  /* what was appended; its bytes follow it */
    uint32_t key;    /* number of the key that bears this name, from 1 on; 0 = none */
    bool is_number;  /* the bytes spell a 64-bit number as INCR takes it */
};

struct lin_values {
    struct lin_arena *arena;
    struct lin_table kept;    /* the history's */
    struct lin_table passing; /* what a search made; dropped with its memory */
    bool searching;           /* new ones are passing */
};

/* The value of these bytes; 0 when the arena is full. */
uint32_t lin_value(struct lin_values *v, struct ts_bytes bytes);
/* The same when there is one already, otherwise 0. */
uint32_t lin_value_find(const struct lin_values *v, struct ts_bytes bytes);
/* The value of a number. */
uint32_t lin_value_number(struct lin_values *v, int64_t number);
/* `value` (0 = absent) with `chunk` (not itself grown) behind it. */
uint32_t lin_value_append(struct lin_values *v, uint32_t value, uint32_t chunk);

static inline const struct lin_value *lin_value_at(const struct lin_values *v, uint32_t ref)
{
    return lin_at(v->arena, ref);
}

/* Its length, 0 for the absent one. */
size_t lin_value_len(const struct lin_values *v, uint32_t ref);
/* Its bytes: borrowed; of a value that grew in a search they are first copied together, {NULL, 0}
 * when there is no room for that. The empty value has data != NULL. Not for the absent one. */
struct ts_bytes lin_value_bytes(const struct lin_values *v, uint32_t ref);

#endif
