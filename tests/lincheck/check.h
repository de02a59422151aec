/* The checkers of one part, a set of operations on one key or on keys that commands join: inside
 * the library. They leave the arena as they found it. */
#ifndef TESTS_LINCHECK_CHECK_H
#define TESTS_LINCHECK_CHECK_H

#include "tests/lincheck/model.h"

/* The part as it is judged: in a trial of an explanation some items are optional or absent. */
struct lin_part {
    struct lin_item *items; /* by begin, then by index; without failed ones, and without reads of
                               unknown outcome */
    size_t count;
    size_t keys;
    enum lin_method method; /* the quickest that is exact for all items */
};

/* What a check may cost, and what it did cost. */
struct lin_budget {
    uint64_t steps_max;
    uint64_t steps;
};

/* Which method is exact for these items. */
enum lin_method lin_choose_method(struct lin_values *v, const struct lin_part *p);

/* LIN_GAVE_UP: the budget is spent, or the arena is full. */
enum lin_verdict lin_judge(struct lin_model *m, const struct lin_part *p, struct lin_budget *b);

/* The same, each by one method; the part must be fit for it. */
enum lin_verdict lin_judge_registers(struct lin_model *m, const struct lin_part *p,
                                     struct lin_budget *b);
enum lin_verdict lin_judge_places(struct lin_model *m, const struct lin_part *p,
                                  struct lin_budget *b);
enum lin_verdict lin_search(struct lin_model *m, const struct lin_part *p, struct lin_budget *b);

/* Whether some operation read a value that no other one can have written by its end. False also
 * where that cannot be told so quickly. Takes no steps. */
bool lin_reads_unwritten(struct lin_arena *a, const struct lin_part *p);

/* Judges a part of several keys through each of them alone. When one has no linearization, `wrong`
 * is what it saw, to be judged by a model of one key, in the arena; otherwise the arena holds
 * nothing that is needed. LIN_LINEARIZABLE says nothing about the whole. */
enum lin_verdict lin_project(struct lin_model *m, const struct lin_part *p, struct lin_budget *b,
                             struct lin_part *wrong);

#endif
