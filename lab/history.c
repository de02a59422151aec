#include "lab/history.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "lab/mem.h"

void lab_history_add(struct lab_history *h, const struct lab_op *op)
{
    if (h->count == h->cap) {
        h->cap = h->cap * 2 + 1024;
        h->ops = lab_realloc(h->ops, h->cap, sizeof *h->ops);
    }
    h->ops[h->count++] = *op;
}

void lab_history_free(struct lab_history *h)
{
    free(h->ops);
    *h = (struct lab_history){0};
}

struct op_meaning {
    const char *name;
    enum lab_object object;
    bool writes;
};

static const struct op_meaning meanings[LAB_OP_KINDS] = {
#define LAB_OP_ROW(sym, name, object, writes) [sym] = {name, object, writes},
    LAB_OP_LIST(LAB_OP_ROW)
#undef LAB_OP_ROW
};

const char *lab_op_name(enum lab_op_kind kind)
{
    return meanings[kind].name;
}

enum lab_object lab_op_object(enum lab_op_kind kind)
{
    return meanings[kind].object;
}

bool lab_op_writes(enum lab_op_kind kind)
{
    return meanings[kind].writes;
}

const char *lab_object_name(enum lab_object object)
{
    static const char *const names[] = {"list", "register", "counter"};
    return names[object];
}

enum ts_err lab_history_dump(const struct lab_history *h, FILE *out)
{
    static const char *const outcomes[] = {"ok", "failed", "ambiguous"};
    for (size_t i = 0; i < h->count; i++) {
        const struct lab_op *op = &h->ops[i];
        fprintf(out,
                "{\"client\":%u,\"op\":\"%s\",\"key\":\"%s-%" PRIu32 "\",\"value\":%" PRId64
                ",\"result\":%" PRId64 ",\"begin_ns\":%" PRIu64,
                (unsigned)op->client, lab_op_name(op->kind),
                lab_object_name(lab_op_object(op->kind)), op->key, op->value, op->result,
                op->begin_ns);
        if (op->end_ns != LAB_NEVER) {
            fprintf(out, ",\"end_ns\":%" PRIu64, op->end_ns);
        }
        fprintf(out, ",\"outcome\":\"%s\"}\n", outcomes[op->outcome]);
    }
    return ferror(out) == 0 ? TS_OK : TS_ERR_IO;
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

struct lab_gaps lab_history_gaps(const struct lab_history *h, uint64_t from_ns, uint64_t to_ns)
{
    struct lab_gaps gaps = {0};
    uint64_t *ends = lab_calloc(h->count, sizeof *ends);
    size_t n = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct lab_op *op = &h->ops[i];
        if (op->outcome == LAB_ACKED && op->end_ns >= from_ns && op->end_ns <= to_ns) {
            ends[n++] = op->end_ns;
        }
    }
    qsort(ends, n, sizeof *ends, compare_u64);
    for (size_t i = 0; i + 1 < n; i++) {
        uint64_t gap = ends[i + 1] - ends[i];
        if (gap > gaps.max_ns) {
            gaps.max_ns = gap;
            gaps.max_begin_ns = ends[i];
        }
        ends[i] = gap;
    }
    if (n > 1) {
        gaps.count = n - 1;
        qsort(ends, gaps.count, sizeof *ends, compare_u64);
        gaps.p50_ns = ends[gaps.count / 2];
        gaps.p99_ns = ends[gaps.count * 99 / 100];
        ts_assert(ends[gaps.count - 1] == gaps.max_ns);
    }
    free(ends);
    return gaps;
}
