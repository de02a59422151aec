/* The sequential service: what kv answers, and what it then holds, one command after another.
 * tests/unit/test_lincheck_model.c runs it beside the real service.
 *
 * A state is one number. With a single key it is the key's value; with several it is the root of
 * a binary tree over the keys' local numbers, each of whose nodes is kept once: equal states have
 * equal roots, and an operation costs a few nodes. 0 is the state in which all keys are absent. */
#ifndef TESTS_LINCHECK_MODEL_H
#define TESTS_LINCHECK_MODEL_H

#include "tests/lincheck/lincheck.h"
#include "tests/lincheck/value.h"

/* One operation of the history, in the arena. */
struct lin_record {
    uint64_t begin;
    uint64_t end;
    int64_t by;
    int64_t result_integer;
    uint32_t client;
    uint32_t place;
    uint32_t part; /* root of the part, an index of keys; set by lin_check */
    uint32_t key_count;
    uint32_t values;     /* number of value words */
    uint32_t result;     /* BYTES: the value */
    uint8_t command;     /* enum lin_command */
    uint8_t outcome;     /* enum lin_outcome */
    uint8_t flags;       /* enum lin_set_flag */
    uint8_t result_kind; /* enum lin_result_kind */
    /* references of values: keys, then values, then the elements of an ARRAY */
    uint32_t words[];
};

static inline const uint32_t *lin_record_values(const struct lin_record *r)
{
    return r->words + r->key_count;
}

static inline const uint32_t *lin_record_array(const struct lin_record *r)
{
    return r->words + r->key_count + r->values;
}

/* How an operation stands in a check. */
enum lin_mode {
    LIN_REQUIRED, /* takes effect once, with its result */
    LIN_OPTIONAL, /* takes effect once, with any result, or never */
    LIN_ABSENT,   /* is not there */
};

/* An operation of the part that is being judged, in a check or a trial of an explanation. */
struct lin_item {
    const struct lin_record *r;
    uint64_t begin;
    uint64_t end;   /* LIN_NEVER when optional */
    uint32_t index; /* in the history */
    uint8_t mode;   /* enum lin_mode */
    uint8_t most;   /* what it is when all that is known of it counts */
    bool quiet;     /* lin_left_state: never optional */
};

/* Whether the operation may change a state at all. */
bool lin_changes(const struct lin_record *r);
/* Whether, having given the result that it gave, it left the state as it was, whatever that was. */
bool lin_left_state(const struct lin_record *r);
/* Whether the state after it, as far as its keys go, does not depend on the state before, nor its
 * result, when it has one to keep. */
bool lin_is_blind(const struct lin_record *r, bool with_result);

struct lin_model {
    struct lin_values *values;
    struct lin_table nodes; /* of the trees */
    const uint32_t *local;  /* local number of each key, by its number; NULL with one key */
    unsigned depth;         /* of the trees; 0 with one key */
};

/* Executes the operation on `state`. False when it would not have answered as it did (with_result),
 * or when the arena is full. */
bool lin_step(struct lin_model *m, const struct lin_record *r, bool with_result, uint32_t state,
              uint32_t *next);

/* The value of a key in a state, from its name's value. */
uint32_t lin_read_key(const struct lin_model *m, uint32_t state, uint32_t key);
/* The local number of a key, from its name's value. */
uint32_t lin_local(const struct lin_model *m, uint32_t key);

#endif
