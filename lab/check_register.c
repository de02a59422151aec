/* Registers: SET of values written once, GET. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "lab/check.h"
#include "lab/mem.h"

/* A value's write with the reads of it. Its zone is the time between the first end and the
 * last begin of these operations. When the first end comes first ("forward"), the register
 * must have held the value throughout the zone; otherwise it held it at some moment in it. */
struct cluster {
    int64_t value;
    const struct lab_op *write; /* NULL for the initial state */
    const struct lab_op *last_read;
    uint64_t first_end;
    uint64_t last_begin;
    size_t reads;
};

struct clusters {
    struct cluster *c; /* owned, by value; [0] is the initial state */
    size_t count;
};

static int compare_by_value(const void *a, const void *b)
{
    const struct cluster *x = a;
    const struct cluster *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

static void collect_writes(const struct lab_slice *s, struct clusters *all)
{
    all->c = lab_calloc(s->count + 1, sizeof *all->c);
    all->c[all->count++] = (struct cluster){.value = LAB_NIL};
    for (size_t i = 0; i < s->count; i++) {
        const struct lab_op *op = s->ops[i];
        if (op->kind == LAB_OP_SET) {
            ts_assert(op->value > LAB_NIL);
            all->c[all->count++] = (struct cluster){.value = op->value,
                                                    .write = op,
                                                    .first_end = op->end_ns,
                                                    .last_begin = op->begin_ns};
        }
    }
    qsort(all->c, all->count, sizeof *all->c, compare_by_value);
}

/* Joins each read to its write. A read of a failed write, of nothing that was written, or of
 * what began after it is a phantom. */
static void join_reads(const struct lab_slice *s, struct clusters *all, struct lab_verdict *v)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct lab_op *op = s->ops[i];
        if (op->kind != LAB_OP_GET || op->outcome != LAB_ACKED) {
            continue;
        }
        struct cluster key = {.value = op->value};
        struct cluster *c = bsearch(&key, all->c, all->count, sizeof *all->c, compare_by_value);
        if (c == NULL || (c->write != NULL &&
                          (c->write->outcome == LAB_FAILED || c->write->begin_ns > op->end_ns))) {
            v->phantoms++;
            lab_find(v, "register-%" PRIu32 ": client %u read value %" PRId64 ", %s", s->key,
                     (unsigned)op->client, op->value,
                     c == NULL                         ? "which nobody wrote"
                     : c->write->outcome == LAB_FAILED ? "whose SET was answered as failed"
                                                       : "whose SET had not begun");
            continue;
        }
        c->reads++;
        c->first_end = op->end_ns < c->first_end ? op->end_ns : c->first_end;
        if (op->begin_ns >= c->last_begin) {
            c->last_begin = op->begin_ns;
            c->last_read = op;
        }
    }
}

/* Whether the value certainly was in the register. */
static bool took_effect(const struct cluster *c)
{
    return c->write == NULL || c->reads > 0 || c->write->outcome == LAB_ACKED;
}

static int compare_by_first_end(const void *a, const void *b)
{
    const struct cluster *x = a;
    const struct cluster *y = b;
    return (x->first_end > y->first_end) - (x->first_end < y->first_end);
}

/* Whether some operation on `c` ended before some operation on `o` began, and the other way
 * round too: then the register would have had to change from c to o and back. */
static void check_zones(const struct lab_slice *s, struct clusters *all, struct lab_verdict *v)
{
    size_t forward = 0; /* c[0..forward) become the forward zones, by first end */
    for (size_t i = 0; i < all->count; i++) {
        struct cluster c = all->c[i];
        if (took_effect(&c) && c.first_end < c.last_begin) {
            all->c[i] = all->c[forward];
            all->c[forward++] = c;
        }
    }
    qsort(all->c, forward, sizeof *all->c, compare_by_first_end);
    uint64_t *reach = lab_calloc(forward + 1, sizeof *reach); /* latest begin of the first n */
    for (size_t i = 0; i < forward; i++) {
        const struct cluster *c = &all->c[i];
        if (c->first_end < reach[i]) {
            v->disorder++;
            lab_find(v,
                     "register-%" PRIu32 ": value %" PRId64
                     " and an earlier one were each read after the other",
                     s->key, c->value);
        }
        reach[i + 1] = c->last_begin > reach[i] ? c->last_begin : reach[i];
    }
    for (size_t i = forward; i < all->count; i++) {
        const struct cluster *c = &all->c[i];
        if (!took_effect(c)) {
            continue;
        }
        size_t low = 0; /* number of forward zones that begin before this backward zone */
        size_t high = forward;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (all->c[middle].first_end < c->last_begin) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if (reach[low] > c->first_end) {
            v->disorder++;
            lab_find(v,
                     "register-%" PRIu32 ": value %" PRId64
                     " was written while another one was read before and after",
                     s->key, c->value);
        }
    }
    free(reach);
}

/* The acknowledged SETs by their end; begin_by[n] is the latest begin of the first n. */
struct writes {
    const struct lab_op **by_end; /* owned */
    uint64_t *begin_by;           /* owned */
    size_t count;
};

static int compare_by_end(const void *a, const void *b)
{
    const struct lab_op *x = *(const struct lab_op *const *)a;
    const struct lab_op *y = *(const struct lab_op *const *)b;
    return (x->end_ns > y->end_ns) - (x->end_ns < y->end_ns);
}

static void collect_acknowledged(const struct lab_slice *s, struct writes *w)
{
    w->by_end = lab_calloc(s->count, sizeof *w->by_end);
    w->begin_by = lab_calloc(s->count + 1, sizeof *w->begin_by);
    for (size_t i = 0; i < s->count; i++) {
        if (s->ops[i]->kind == LAB_OP_SET && s->ops[i]->outcome == LAB_ACKED) {
            w->by_end[w->count++] = s->ops[i];
        }
    }
    qsort(w->by_end, w->count, sizeof *w->by_end, compare_by_end);
    for (size_t i = 0; i < w->count; i++) {
        uint64_t begin = w->by_end[i]->begin_ns;
        w->begin_by[i + 1] = begin > w->begin_by[i] ? begin : w->begin_by[i];
    }
}

/* The latest begin of the SETs that were acknowledged before `when`. */
static uint64_t newest_begin_before(const struct writes *w, uint64_t when)
{
    size_t low = 0;
    size_t high = w->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (w->by_end[middle]->end_ns < when) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return w->begin_by[low];
}

/* The end of the write of `value`: 0 for the initial state, LAB_NEVER when it has none. */
static uint64_t end_of_value(const struct clusters *all, int64_t value)
{
    struct cluster key = {.value = value};
    struct cluster *c = bsearch(&key, all->c, all->count, sizeof *all->c, compare_by_value);
    if (c == NULL) {
        return LAB_NEVER;
    }
    return c->write == NULL ? 0 : c->write->end_ns;
}

/* Names the plain cases, which the zones prove but do not tell apart: a read of a value that
 * an acknowledged SET had replaced before the read began. When the last read of all is such a
 * one, the SETs after it are lost rather than the read stale. */
static void check_stale(const struct lab_slice *s, const struct clusters *all,
                        struct lab_verdict *v)
{
    struct writes w = {0};
    collect_acknowledged(s, &w);
    const struct lab_op *last = NULL;
    for (size_t i = 0; i < s->count; i++) {
        if (s->ops[i]->kind == LAB_OP_GET && s->ops[i]->outcome == LAB_ACKED) {
            last = s->ops[i];
        }
    }
    for (size_t i = 0; i < s->count; i++) {
        const struct lab_op *op = s->ops[i];
        if (op->kind != LAB_OP_GET || op->outcome != LAB_ACKED) {
            continue;
        }
        uint64_t written = end_of_value(all, op->value);
        if (newest_begin_before(&w, op->begin_ns) <= written) {
            continue;
        }
        if (op != last) {
            v->stale_reads++;
            lab_find(v,
                     "register-%" PRIu32 ": client %u read value %" PRId64
                     " after a newer SET had been acknowledged: a stale read",
                     s->key, (unsigned)op->client, op->value);
            continue;
        }
        for (size_t j = 0; j < w.count; j++) {
            v->lost += w.by_end[j]->begin_ns > written && w.by_end[j]->end_ns < op->begin_ns;
        }
        lab_find(v,
                 "register-%" PRIu32 ": the last read gave value %" PRId64
                 ", newer acknowledged SETs are lost",
                 s->key, op->value);
    }
    free(w.begin_by);
    free(w.by_end);
}

void lab_check_register(const struct lab_slice *s, struct lab_verdict *v)
{
    struct clusters all = {0};
    collect_writes(s, &all);
    join_reads(s, &all, v);
    check_stale(s, &all, v);
    check_zones(s, &all, v);
    free(all.c);
}
