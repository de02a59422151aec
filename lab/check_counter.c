/* Counters: INCR by one, GET. */
#include <inttypes.h>
#include <stdlib.h>

#include "lab/check.h"
#include "lab/mem.h"

static int compare_i64(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* Two increments that both answered n: one of them is gone. */
static void check_unique(const struct lab_slice *s, struct lab_verdict *v)
{
    int64_t *results = lab_calloc(s->count, sizeof *results);
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (s->ops[i]->kind == LAB_OP_INCR && s->ops[i]->outcome == LAB_ACKED) {
            results[n++] = s->ops[i]->result;
        }
    }
    qsort(results, n, sizeof *results, compare_i64);
    for (size_t i = 1; i < n; i++) {
        if (results[i] == results[i - 1]) {
            v->lost++;
            lab_find(v, "counter-%" PRIu32 ": two INCR both answered %" PRId64 ": one is lost",
                     s->key, results[i]);
        }
    }
    free(results);
}

/* A result above the number of increments begun by then: something was executed twice, or
 * without having been asked for. Ends are visited in order, begins counted beside them. */
static void check_ceiling(const struct lab_slice *s, struct lab_verdict *v)
{
    uint64_t begun_in_all = 0;
    int64_t highest = 0;
    const struct lab_op *witness = NULL;
    for (size_t i = 0; i < s->count; i++) {
        const struct lab_op *op = s->ops[i];
        if (op->kind == LAB_OP_INCR && op->outcome != LAB_FAILED) {
            begun_in_all++;
        }
        if (op->outcome == LAB_ACKED && op->result > highest) {
            highest = op->result;
            witness = op;
        }
    }
    if (witness != NULL && (uint64_t)highest > begun_in_all) {
        uint64_t excess = (uint64_t)highest - begun_in_all;
        v->executed_twice += excess;
        lab_find(v,
                 "counter-%" PRIu32 ": it reached %" PRId64 " by %" PRIu64 " increments: %" PRIu64
                 " executed twice",
                 s->key, highest, begun_in_all, excess);
    }
}

/* The same at every moment: a read of n needs n increments begun before the read ended. */
static void check_future(const struct lab_slice *s, struct lab_verdict *v)
{
    size_t begun = 0; /* operations whose begin lies before the end under view */
    uint64_t incrs = 0;
    uint64_t view = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct lab_op *op = s->ops[i];
        if (op->outcome != LAB_ACKED) {
            continue;
        }
        view = op->end_ns > view ? op->end_ns : view; /* a later begin: never fewer begun */
        for (; begun < s->count && s->ops[begun]->begin_ns <= view; begun++) {
            incrs += s->ops[begun]->kind == LAB_OP_INCR && s->ops[begun]->outcome != LAB_FAILED;
        }
        if (op->result > 0 && (uint64_t)op->result > incrs) {
            v->disorder++;
            lab_find(v,
                     "counter-%" PRIu32 ": client %u saw %" PRId64 " when only %" PRIu64
                     " increments had begun",
                     s->key, (unsigned)op->client, op->result, incrs);
            return; /* the totals tell the rest */
        }
    }
}

/* Acknowledged increments that the last read does not contain. */
static void check_floor(const struct lab_slice *s, struct lab_verdict *v)
{
    const struct lab_op *last = NULL;
    uint64_t acked_before = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (s->ops[i]->kind == LAB_OP_COUNT && s->ops[i]->outcome == LAB_ACKED) {
            last = s->ops[i];
        }
    }
    for (size_t i = 0; last != NULL && i < s->count; i++) {
        const struct lab_op *op = s->ops[i];
        acked_before +=
            op->kind == LAB_OP_INCR && op->outcome == LAB_ACKED && op->end_ns < last->begin_ns;
    }
    if (last != NULL && (last->result < 0 || (uint64_t)last->result < acked_before)) {
        uint64_t gone = acked_before - (last->result < 0 ? 0 : (uint64_t)last->result);
        v->lost += gone;
        lab_find(v,
                 "counter-%" PRIu32 ": %" PRIu64 " increments acknowledged, %" PRId64
                 " read back: %" PRIu64 " lost",
                 s->key, acked_before, last->result, gone);
    }
}

void lab_check_counter(const struct lab_slice *s, struct lab_verdict *v)
{
    check_unique(s, v);
    check_ceiling(s, v);
    check_future(s, v);
    check_floor(s, v);
    lab_check_growth(s, v);
}
