/* Inside the library: the history, and its parts. */
#ifndef TESTS_LINCHECK_HISTORY_H
#define TESTS_LINCHECK_HISTORY_H

#include "tests/lincheck/check.h"

struct lin {
    struct lin_limits limits;
    struct lin_arena arena; /* its block follows this struct */
    struct lin_values values;
    uint32_t keys;  /* numbered from 1 on */
    uint32_t first; /* the operations, a list of chunks */
    uint32_t last;
    size_t count;
    size_t scratch; /* where the history ends and lent memory begins; 0 = nothing is lent */
    bool filled;    /* an operation did not fit: no more are taken */
};

/* The operation of this number. */
const struct lin_record *lin_record_of(const struct lin *l, size_t index);
/* All of them, in order. */
void lin_all_records(const struct lin *l, struct lin_record **out);
/* What an earlier call lent is given back; new borrowed bytes may follow. */
void lin_end_loan(struct lin *l);

/* The history divided into parts, in the arena. */
struct lin_division {
    struct lin_item
        *items; /* of all parts, one part after the other, as struct lin_part wants them */
    size_t count;
    uint32_t *local;   /* of each key, by its number: its number within its part, from 0 on */
    size_t *part_keys; /* of each key that stands for its part: how many the part has */
    size_t unknown;    /* operations of unknown outcome */
    size_t failed;
};

/* False when the arena is full. */
bool lin_divide(struct lin *l, struct lin_division *d);
/* The part that begins at item `at`, and the model that it is judged by. Gives the next `at`. */
size_t lin_part_at(struct lin *l, const struct lin_division *d, size_t at, struct lin_part *p,
                   struct lin_model *m);

#endif
