/* Leases: LEASE.GRANT, KEEP and RELEASE, each told with the asker's own monotonic times.
 *
 * Whoever was answered that it has the lease has it until its request's begin and the lease's time
 * later at least, or until it begins to give it back. Three rules follow:
 *
 *   tokens        rise in time order; two owners never have the same one
 *   one holder    an owner whose lease was granted to another does not keep it, or give it back
 *   its time      nobody else is granted it, and its holder is not told that it is gone, before */
#include <inttypes.h>
#include <stdlib.h>

#include "base/ids.h"
#include "lab/check.h"
#include "lab/mem.h"

/* The group's time is that of the entry, in whole milliseconds, and the entry's was the primary's
 * when it looked last. */
#define SLACK_NS (20 * TS_NS_PER_MS)

/* An answer that says: this owner has it. */
struct hold {
    uint32_t owner;
    int64_t epoch;
    int64_t seq;
    uint64_t until_ns; /* as above, less the slack */
    bool is_new;       /* the first one with this token */
    bool released;     /* its owner gave it back, or may have */
};

struct leases {
    const struct lab_slice *s;
    struct lab_verdict *v;
    uint64_t time_ns;
    const struct lab_op **grants; /* answered with a token, in order of their tokens */
    size_t grant_count;
    struct hold *holds;
    size_t hold_count;
};

static bool has_token(const struct lab_op *op)
{
    return op->kind == LAB_OP_GRANT && op->outcome == LAB_ACKED && op->value != LAB_NIL;
}

static int compare_tokens(int64_t epoch, int64_t seq, int64_t other_epoch, int64_t other_seq)
{
    int by_epoch = (epoch > other_epoch) - (epoch < other_epoch);
    return by_epoch != 0 ? by_epoch : (seq > other_seq) - (seq < other_seq);
}

static int by_token(const void *a, const void *b)
{
    const struct lab_op *x = *(const struct lab_op *const *)a;
    const struct lab_op *y = *(const struct lab_op *const *)b;
    return compare_tokens(x->value, x->result, y->value, y->result);
}

static int by_end(const void *a, const void *b)
{
    const struct lab_op *x = *(const struct lab_op *const *)a;
    const struct lab_op *y = *(const struct lab_op *const *)b;
    return (x->end_ns > y->end_ns) - (x->end_ns < y->end_ns);
}

static int by_owner(const void *a, const void *b)
{
    const struct lab_op *x = *(const struct lab_op *const *)a;
    const struct lab_op *y = *(const struct lab_op *const *)b;
    if (x->owner != y->owner) {
        return x->owner < y->owner ? -1 : 1;
    }
    return (x->begin_ns > y->begin_ns) - (x->begin_ns < y->begin_ns);
}

/* ---- tokens ---- */

static void check_unique(const struct leases *l)
{
    for (size_t i = 1; i < l->grant_count; i++) {
        const struct lab_op *a = l->grants[i - 1];
        const struct lab_op *b = l->grants[i];
        if (by_token(&a, &b) == 0 && a->owner != b->owner) {
            l->v->lease_violations++;
            lab_find(l->v, "lease-%" PRIu32 ": two owners have the token %" PRId64 " %" PRId64,
                     l->s->key, a->value, a->result);
        }
    }
}

/* `ended`: the grants in order of their ends. Those of the slice are in order of their begin. */
static void check_rising(const struct leases *l, const struct lab_op **ended)
{
    const struct lab_op *known = NULL; /* the highest token that was answered before */
    size_t next = 0;
    for (size_t i = 0; i < l->s->count; i++) {
        const struct lab_op *op = l->s->ops[i];
        if (!has_token(op)) {
            continue;
        }
        for (; next < l->grant_count && ended[next]->end_ns < op->begin_ns; next++) {
            known = known == NULL || by_token(&ended[next], &known) > 0 ? ended[next] : known;
        }
        if (known != NULL && by_token(&op, &known) < 0) {
            l->v->lease_violations++;
            lab_find(l->v,
                     "lease-%" PRIu32 ": token %" PRId64 " %" PRId64 " was given after %" PRId64
                     " %" PRId64,
                     l->s->key, op->value, op->result, known->value, known->result);
        }
    }
}

static void check_tokens(struct leases *l)
{
    const struct lab_op **ended = lab_calloc(l->s->count, sizeof *ended);
    for (size_t i = 0; i < l->s->count; i++) {
        if (has_token(l->s->ops[i])) {
            ended[l->grant_count] = l->s->ops[i];
            l->grants[l->grant_count++] = l->s->ops[i];
        }
    }
    qsort(ended, l->grant_count, sizeof *ended, by_end);
    qsort(l->grants, l->grant_count, sizeof *l->grants, by_token);
    check_unique(l);
    check_rising(l, ended);
    free(ended);
}

/* ---- holders ---- */

/* The first grant to another owner, with a higher token, whose answer came before `at_ns`. */
static const struct lab_op *taken_before(const struct leases *l, const struct hold *h,
                                         uint64_t at_ns)
{
    for (size_t i = 0; i < l->grant_count; i++) {
        const struct lab_op *g = l->grants[i];
        if (g->owner != h->owner && g->end_ns < at_ns &&
            compare_tokens(g->value, g->result, h->epoch, h->seq) > 0) {
            return g;
        }
    }
    return NULL;
}

/* The holder is answered that it still has it, or had it until now. */
static void check_still(const struct leases *l, const struct hold *h, const struct lab_op *op)
{
    const struct lab_op *g = taken_before(l, h, op->begin_ns);
    if (g != NULL) {
        l->v->lease_violations++;
        lab_find(l->v,
                 "lease-%" PRIu32 ": %s of owner %" PRIu32 " succeeded after owner %" PRIu32
                 " had been granted it: two holders",
                 l->s->key, lab_op_name(op->kind), op->owner, g->owner);
    }
}

/* The holder is answered that it has it no more. */
static void check_gone(const struct leases *l, const struct hold *h, const struct lab_op *op)
{
    l->v->leases_lost++;
    if (op->end_ns < h->until_ns) {
        l->v->lease_violations++;
        lab_find(l->v,
                 "lease-%" PRIu32 ": %s of owner %" PRIu32 " found it gone %.1f ms before its time",
                 l->s->key, lab_op_name(op->kind), op->owner,
                 (double)(h->until_ns - op->end_ns) / 1e6);
    }
}

static void add_hold(struct leases *l, const struct hold *before, const struct lab_op *op)
{
    bool granted = op->kind == LAB_OP_GRANT;
    struct hold h = {.owner = op->owner,
                     .epoch = granted ? op->value : before->epoch,
                     .seq = granted ? op->result : before->seq,
                     .until_ns = op->begin_ns + l->time_ns - SLACK_NS};
    h.is_new = before == NULL || compare_tokens(h.epoch, h.seq, before->epoch, before->seq) != 0;
    l->v->leases_granted += h.is_new ? 1 : 0;
    l->v->leases_renewed += h.is_new ? 0 : 1;
    l->holds[l->hold_count++] = h;
}

/* From its begin on the owner has no right to it any more. */
static void end_holds(struct leases *l, size_t first, uint64_t at_ns)
{
    for (size_t i = first; i < l->hold_count; i++) {
        struct hold *h = &l->holds[i];
        h->until_ns = h->until_ns < at_ns ? h->until_ns : at_ns;
        h->released = true;
    }
}

/* One owner's requests for the lease, one after the other; none follows an ambiguous one. */
static void follow_owner(struct leases *l, const struct lab_op *const *ops, size_t count)
{
    size_t first = l->hold_count; /* of its present holding */
    bool holds = false;
    for (size_t i = 0; i < count; i++) {
        const struct lab_op *op = ops[i];
        const struct hold *last = holds ? &l->holds[l->hold_count - 1] : NULL;
        bool acked = op->outcome == LAB_ACKED;
        bool yes = op->kind == LAB_OP_GRANT ? op->value != LAB_NIL : op->result == 1;
        bool anew = yes && last != NULL && op->kind == LAB_OP_GRANT &&
                    compare_tokens(op->value, op->result, last->epoch, last->seq) != 0;
        if (acked && last != NULL && (!yes || anew)) {
            check_gone(l, last, op);
        }
        if (acked && last != NULL && yes && op->kind != LAB_OP_GRANT) {
            check_still(l, last, op);
        }
        if (acked && last == NULL && yes && op->kind != LAB_OP_GRANT) {
            l->v->lease_violations++;
            lab_find(l->v,
                     "lease-%" PRIu32 ": %s of owner %" PRIu32 " succeeded, which did not have it",
                     l->s->key, lab_op_name(op->kind), op->owner);
        }
        if (op->kind == LAB_OP_RELEASE && op->outcome != LAB_FAILED) {
            end_holds(l, first, op->begin_ns);
        }
        if (!acked) {
            continue;
        }
        bool goes_on =
            yes && op->kind != LAB_OP_RELEASE && (last != NULL || op->kind == LAB_OP_GRANT);
        if (goes_on) {
            first = last == NULL ? l->hold_count : first;
            add_hold(l, last, op);
        }
        holds = goes_on;
    }
}

static void check_holds(struct leases *l)
{
    for (size_t i = 0; i < l->hold_count; i++) {
        const struct hold *h = &l->holds[i];
        const struct lab_op *g = taken_before(l, h, h->until_ns);
        if (g != NULL) {
            l->v->lease_violations++;
            lab_find(l->v,
                     "lease-%" PRIu32 ": owner %" PRIu32
                     " was granted it %.1f ms before the time of "
                     "owner %" PRIu32 " was over",
                     l->s->key, g->owner, (double)(h->until_ns - g->end_ns) / 1e6, h->owner);
        }
        bool followed = taken_before(l, h, LAB_NEVER) != NULL;
        l->v->leases_expired += h->is_new && !h->released && followed ? 1 : 0;
    }
}

void lab_check_lease(const struct lab_slice *s, uint64_t time_ns, struct lab_verdict *v)
{
    struct leases l = {.s = s, .v = v, .time_ns = time_ns < SLACK_NS ? SLACK_NS : time_ns};
    const struct lab_op **ops = lab_calloc(s->count, sizeof *ops);
    l.grants = lab_calloc(s->count, sizeof *l.grants);
    l.holds = lab_calloc(s->count, sizeof *l.holds);
    check_tokens(&l);
    for (size_t i = 0; i < s->count; i++) {
        ops[i] = s->ops[i];
    }
    qsort(ops, s->count, sizeof *ops, by_owner);
    for (size_t from = 0; from < s->count;) {
        size_t count = 1;
        while (from + count < s->count && ops[from + count]->owner == ops[from]->owner) {
            count++;
        }
        follow_owner(&l, ops + from, count);
        from += count;
    }
    check_holds(&l);
    free(ops);
    free(l.grants);
    free(l.holds);
}
