#include "lab/history.h"

#include <stdlib.h>
#include <string.h>

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

void lab_history_add_content(struct lab_history *h, const struct lab_content *c)
{
    h->contents = lab_realloc(h->contents, h->content_count + 1, sizeof *h->contents);
    struct lab_content *mine = &h->contents[h->content_count++];
    uint8_t *copy = lab_calloc(c->bytes.len, 1);
    *mine = *c;
    if (c->bytes.len > 0) {
        memcpy(copy, c->bytes.data, c->bytes.len);
    }
    mine->bytes.data = copy;
}

void lab_history_free(struct lab_history *h)
{
    for (size_t i = 0; i < h->content_count; i++) {
        /* Copied by lab_history_add_content: the only writable origin of these bytes. */
        free((void *)(uintptr_t)h->contents[i].bytes.data);
    }
    free(h->contents);
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
