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
    static const char *const names[] = {"list", "register", "counter", "lease"};
    return names[object];
}
