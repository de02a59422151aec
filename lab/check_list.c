/* Lists: APPEND of unique tokens, STRLEN. The final content fixes the order of execution. */
#include <inttypes.h>
#include <stdlib.h>

#include "lab/check.h"
#include "lab/mem.h"

/* One APPEND and the place of its token in the final content. */
struct placed {
    const struct lab_op *op;
    size_t position; /* 0-based; NOWHERE when the token is not there */
};

#define NOWHERE SIZE_MAX

struct places {
    struct placed *p; /* owned, by token id */
    size_t count;
    struct placed **at; /* owned: the APPEND behind each position, NULL for unexplained ones */
    size_t tokens;
};

static int compare_by_token(const void *a, const void *b)
{
    const struct placed *x = a;
    const struct placed *y = b;
    return (x->op->value > y->op->value) - (x->op->value < y->op->value);
}

static struct placed *find_token(const struct places *all, uint32_t id)
{
    struct lab_op key_op = {.value = id};
    struct placed key = {.op = &key_op};
    return bsearch(&key, all->p, all->count, sizeof *all->p, compare_by_token);
}

static void collect(const struct lab_slice *s, struct places *all)
{
    all->p = lab_calloc(s->count, sizeof *all->p);
    for (size_t i = 0; i < s->count; i++) {
        if (s->ops[i]->kind == LAB_OP_APPEND) {
            all->p[all->count++] = (struct placed){s->ops[i], NOWHERE};
        }
    }
    qsort(all->p, all->count, sizeof *all->p, compare_by_token);
}

/* Walks the content: finds each token's APPEND, doubles and what nobody asked for. */
static void place(const struct lab_slice *s, struct ts_bytes content, struct places *all,
                  struct lab_verdict *v)
{
    all->tokens = content.len / LAB_TOKEN_BYTES;
    all->at = lab_calloc(all->tokens, sizeof(struct placed *));
    if (content.len % LAB_TOKEN_BYTES != 0) {
        v->phantoms++;
        lab_find(v, "list-%" PRIu32 ": its %zu bytes are no whole number of tokens", s->key,
                 content.len);
    }
    for (size_t i = 0; i < all->tokens; i++) {
        uint32_t id = lab_token_decode(content.data + i * LAB_TOKEN_BYTES);
        struct placed *found = id == 0 ? NULL : find_token(all, id);
        if (found == NULL || found->op->outcome == LAB_FAILED) {
            v->phantoms++;
            lab_find(v, "list-%" PRIu32 ": token %" PRIu32 " at position %zu %s", s->key, id, i,
                     found == NULL ? "was never appended"
                                   : "belongs to a request answered as failed");
            continue;
        }
        if (found->position != NOWHERE) {
            v->executed_twice++;
            lab_find(v, "list-%" PRIu32 ": token %" PRIu32 " is at positions %zu and %zu", s->key,
                     id, found->position, i);
            continue;
        }
        found->position = i;
        all->at[i] = found;
    }
}

/* Acknowledged tokens must be there, and where their replies said. */
static void check_acknowledged(const struct lab_slice *s, const struct places *all,
                               struct lab_verdict *v)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct placed *p = &all->p[i];
        if (p->op->outcome != LAB_ACKED) {
            continue;
        }
        if (p->position == NOWHERE) {
            v->lost++;
            lab_find(v, "list-%" PRIu32 ": acknowledged token %" PRId64 " of client %u is lost",
                     s->key, p->op->value, (unsigned)p->op->client);
        } else if ((uint64_t)p->op->result != (p->position + 1) * LAB_TOKEN_BYTES) {
            v->disorder++;
            lab_find(
                v, "list-%" PRIu32 ": token %" PRId64 " ends at byte %zu, its reply said %" PRId64,
                s->key, p->op->value, (p->position + 1) * LAB_TOKEN_BYTES, p->op->result);
        }
    }
}

/* No token stands behind one that began after the former had been acknowledged; and a length
 * that was read covers only tokens that had begun when the read ended. */
static void check_time_order(const struct lab_slice *s, const struct places *all,
                             struct lab_verdict *v)
{
    uint64_t *begun_by = lab_calloc(all->tokens + 1, sizeof *begun_by); /* latest begin up to n */
    for (size_t i = 0; i < all->tokens; i++) {
        const struct lab_op *op = all->at[i] == NULL ? NULL : all->at[i]->op;
        if (op != NULL && op->end_ns < begun_by[i]) {
            v->disorder++;
            lab_find(v,
                     "list-%" PRIu32 ": token %" PRId64
                     " stands behind one that began after its acknowledgement",
                     s->key, op->value);
        }
        begun_by[i + 1] = op != NULL && op->begin_ns > begun_by[i] ? op->begin_ns : begun_by[i];
    }
    for (size_t i = 0; i < s->count; i++) {
        const struct lab_op *op = s->ops[i];
        if (op->kind != LAB_OP_LENGTH || op->outcome != LAB_ACKED) {
            continue;
        }
        size_t n = op->result < 0 ? SIZE_MAX : (size_t)op->result / LAB_TOKEN_BYTES;
        if (n > all->tokens || begun_by[n] > op->end_ns) {
            v->disorder++;
            lab_find(v,
                     "list-%" PRIu32 ": client %u read length %" PRId64
                     ", which the final content does not explain",
                     s->key, (unsigned)op->client, op->result);
        }
    }
    free(begun_by);
}

void lab_check_list(const struct lab_slice *s, struct ts_bytes content, struct lab_verdict *v)
{
    struct places all = {0};
    collect(s, &all);
    place(s, content, &all, v);
    check_acknowledged(s, &all, v);
    check_time_order(s, &all, v);
    lab_check_growth(s, v);
    free(all.at);
    free(all.p);
}
