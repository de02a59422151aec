#include "lab/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "lab/mem.h"

void lab_find(struct lab_verdict *v, const char *format, ...)
{
    if (v->finding_count == LAB_FINDINGS_MAX) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(v->findings[v->finding_count++], LAB_FINDING_BYTES, format, args);
    va_end(args);
}

void lab_token_encode(uint32_t id, uint8_t out[LAB_TOKEN_BYTES])
{
    char text[LAB_TOKEN_BYTES + 1];
    snprintf(text, sizeof text, "t%08" PRIx32 ";", id);
    memcpy(out, text, LAB_TOKEN_BYTES);
}

uint32_t lab_token_decode(const uint8_t in[LAB_TOKEN_BYTES])
{
    if (in[0] != 't' || in[LAB_TOKEN_BYTES - 1] != ';') {
        return 0;
    }
    uint32_t id = 0;
    for (size_t i = 1; i < LAB_TOKEN_BYTES - 1; i++) {
        uint32_t digit;
        if (in[i] >= '0' && in[i] <= '9') {
            digit = (uint32_t)in[i] - '0';
        } else if (in[i] >= 'a' && in[i] <= 'f') {
            digit = (uint32_t)in[i] - 'a' + 10;
        } else {
            return 0;
        }
        id = id << 4 | digit;
    }
    return id;
}

static int compare_by_key_then_begin(const void *a, const void *b)
{
    const struct lab_op *x = *(const struct lab_op *const *)a;
    const struct lab_op *y = *(const struct lab_op *const *)b;
    enum lab_object ox = lab_op_object(x->kind);
    enum lab_object oy = lab_op_object(y->kind);
    if (ox != oy) {
        return ox < oy ? -1 : 1;
    }
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return (x->begin_ns > y->begin_ns) - (x->begin_ns < y->begin_ns);
}

static void count_answers(const struct lab_history *h, struct lab_verdict *v)
{
    for (size_t i = 0; i < h->count; i++) {
        const struct lab_op *op = &h->ops[i];
        bool writes = lab_op_writes(op->kind);
        if (op->outcome == LAB_FAILED) {
            v->failed++;
        } else if (op->outcome == LAB_AMBIGUOUS) {
            v->ambiguous += writes ? 1 : 0;
        } else if (writes) {
            v->acknowledged++;
        } else {
            v->reads++;
        }
    }
}

static void check_slice(const struct lab_history *h, const struct lab_slice *s,
                        const struct lab_final_list *lists, size_t list_count,
                        struct lab_verdict *v)
{
    if (s->object == LAB_LEASE) {
        lab_check_lease(s, h->lease_ns, v);
        return;
    }
    if (s->object == LAB_REGISTER) {
        lab_check_register(s, v);
        return;
    }
    if (s->object == LAB_COUNTER) {
        lab_check_counter(s, v);
        return;
    }
    if (lists == NULL) {
        lab_check_growth(s, v);
        return;
    }
    for (size_t i = 0; i < list_count; i++) {
        if (lists[i].key == s->key) {
            lab_check_list(s, lists[i].content, v);
            return;
        }
    }
    v->disorder++;
    lab_find(v, "list-%" PRIu32 ": its final content was not read back", s->key);
}

void lab_check(const struct lab_history *h, const struct lab_final_list *lists, size_t list_count,
               struct lab_verdict *v)
{
    *v = (struct lab_verdict){0};
    count_answers(h, v);
    const struct lab_op **ops = lab_calloc(h->count, sizeof *ops);
    for (size_t i = 0; i < h->count; i++) {
        ts_assert(h->ops[i].begin_ns <= h->ops[i].end_ns);
        ops[i] = &h->ops[i];
    }
    qsort(ops, h->count, sizeof *ops, compare_by_key_then_begin);
    for (size_t from = 0; from < h->count;) {
        struct lab_slice s = {
            .object = lab_op_object(ops[from]->kind), .key = ops[from]->key, .ops = ops + from};
        while (from < h->count && ops[from]->key == s.key &&
               lab_op_object(ops[from]->kind) == s.object) {
            s.count++;
            from++;
        }
        check_slice(h, &s, lists, list_count, v);
    }
    free(ops);
}

static int compare_by_end(const void *a, const void *b)
{
    const struct lab_op *x = *(const struct lab_op *const *)a;
    const struct lab_op *y = *(const struct lab_op *const *)b;
    return (x->end_ns > y->end_ns) - (x->end_ns < y->end_ns);
}

void lab_check_growth(const struct lab_slice *s, struct lab_verdict *v)
{
    const struct lab_op **ended = lab_calloc(s->count, sizeof *ended);
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (s->ops[i]->outcome == LAB_ACKED) {
            ended[n++] = s->ops[i];
        }
    }
    qsort(ended, n, sizeof *ended, compare_by_end);
    int64_t known = 0; /* the largest result that somebody saw before the present begin */
    size_t next = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct lab_op *op = s->ops[i];
        if (op->outcome != LAB_ACKED) {
            continue;
        }
        for (; next < n && ended[next]->end_ns < op->begin_ns; next++) {
            known = ended[next]->result > known ? ended[next]->result : known;
        }
        if (lab_op_writes(op->kind) && op->result <= known) {
            v->disorder++;
            lab_find(v,
                     "%s-%" PRIu32 ": %s of client %u gave %" PRId64 " after %" PRId64
                     " had been answered",
                     lab_object_name(s->object), s->key, lab_op_name(op->kind),
                     (unsigned)op->client, op->result, known);
        } else if (op->result < known) {
            v->stale_reads++;
            lab_find(v,
                     "%s-%" PRIu32 ": client %u read %" PRId64 " after %" PRId64
                     " had been answered: a stale read",
                     lab_object_name(s->object), s->key, (unsigned)op->client, op->result, known);
        }
    }
    free(ended);
}

bool lab_verdict_ok(const struct lab_verdict *v)
{
    return v->lost == 0 && v->executed_twice == 0 && v->stale_reads == 0 && v->phantoms == 0 &&
           v->disorder == 0 && v->lease_violations == 0;
}

void lab_verdict_add(struct lab_verdict *a, const struct lab_verdict *b)
{
    a->acknowledged += b->acknowledged;
    a->reads += b->reads;
    a->failed += b->failed;
    a->ambiguous += b->ambiguous;
    a->lost += b->lost;
    a->executed_twice += b->executed_twice;
    a->stale_reads += b->stale_reads;
    a->phantoms += b->phantoms;
    a->disorder += b->disorder;
    a->lease_violations += b->lease_violations;
    a->leases_granted += b->leases_granted;
    a->leases_renewed += b->leases_renewed;
    a->leases_lost += b->leases_lost;
    a->leases_expired += b->leases_expired;
    for (size_t i = 0; i < b->finding_count; i++) {
        lab_find(a, "%s", b->findings[i]);
    }
}

void lab_verdict_text(const struct lab_verdict *v, char *out, size_t cap)
{
    if (v->leases_granted > 0) {
        snprintf(out, cap,
                 "leases granted %" PRIu64 ", renewed %" PRIu64 ", lost %" PRIu64
                 ", expired %" PRIu64 ", violations %" PRIu64 ", ambiguous %" PRIu64
                 ", failed %" PRIu64,
                 v->leases_granted, v->leases_renewed, v->leases_lost, v->leases_expired,
                 v->lease_violations, v->ambiguous, v->failed);
        return;
    }
    snprintf(out, cap,
             "acknowledged %" PRIu64 ", lost %" PRIu64 ", executed twice %" PRIu64
             ", stale reads %" PRIu64 ", phantoms %" PRIu64 ", disorder %" PRIu64 ", reads %" PRIu64
             ", ambiguous %" PRIu64 ", failed %" PRIu64,
             v->acknowledged, v->lost, v->executed_twice, v->stale_reads, v->phantoms, v->disorder,
             v->reads, v->ambiguous, v->failed);
}
