/* Divides a history into parts: operations that share keys, directly or over others. */
#include "tests/lincheck/history.h"

/* The key that stands for the set that this one belongs to. Halves the way for the next asking. */
static uint32_t find_root(uint32_t *above, uint32_t key)
{
    while (above[key] != key) {
        above[key] = above[above[key]];
        key = above[key];
    }
    return key;
}

/* Whether an operation plays a part at all: it may have had an effect, or it told something. */
static bool plays(const struct lin_record *r)
{
    return r->outcome == LIN_ANSWERED || (r->outcome == LIN_UNKNOWN && lin_changes(r));
}

static uint32_t key_number(const struct lin *l, const struct lin_record *r, uint32_t i)
{
    return lin_value_at(&l->values, r->words[i])->key;
}

/* A set's lower number stands for it, so that the order of parts is that of first use. */
static void join(uint32_t *above, uint32_t a, uint32_t b)
{
    a = find_root(above, a);
    b = find_root(above, b);
    above[a > b ? a : b] = a < b ? a : b;
}

/* Joins what the operations name together. */
static void join_keys(const struct lin *l, struct lin_record *const *records, uint32_t *above)
{
    bool flushed = false;
    for (size_t i = 0; i < l->count; i++) {
        const struct lin_record *r = records[i];
        flushed = flushed || (r->command == LIN_FLUSHALL && plays(r));
        for (uint32_t k = 1; k < r->key_count && plays(r); k++) {
            join(above, key_number(l, r, 0), key_number(l, r, k));
        }
    }
    for (uint32_t k = 2; k <= l->keys && flushed; k++) {
        join(above, 1, k);
    }
}

/* The set of the operation; 0 for a FLUSHALL when there are no keys. */
static uint32_t part_of(const struct lin *l, const struct lin_record *r, uint32_t *above)
{
    if (r->key_count == 0) {
        return l->keys == 0 ? 0 : find_root(above, 1);
    }
    return find_root(above, key_number(l, r, 0));
}

static bool number_keys(struct lin *l, uint32_t *above, struct lin_division *d)
{
    d->local = lin_arena_array(&l->arena, l->keys + (size_t)1, sizeof *d->local);
    d->part_keys = lin_arena_array(&l->arena, l->keys + (size_t)1, sizeof *d->part_keys);
    if (d->local == NULL || d->part_keys == NULL) {
        return false;
    }
    for (uint32_t k = 1; k <= l->keys; k++) {
        d->local[k] = (uint32_t)d->part_keys[find_root(above, k)]++;
    }
    return true;
}

static bool sort_items(struct lin *l, struct lin_division *d, uint32_t *above,
                       struct lin_record *const *records)
{
    struct lin_sort *order = lin_arena_array(&l->arena, l->count, sizeof *order);
    for (size_t i = 0; order != NULL && i < l->count; i++) {
        struct lin_record *r = records[i];
        if (plays(r)) {
            r->part = part_of(l, r, above);
            order[d->count++] = (struct lin_sort){r->part, r->begin, (uint32_t)i};
        }
    }
    if (order == NULL || !lin_sort(&l->arena, order, d->count)) {
        return false;
    }
    d->items = lin_arena_array(&l->arena, d->count, sizeof *d->items);
    for (size_t i = 0; d->items != NULL && i < d->count; i++) {
        const struct lin_record *r = records[order[i].what];
        enum lin_mode mode = r->outcome == LIN_ANSWERED ? LIN_REQUIRED : LIN_OPTIONAL;
        d->items[i] = (struct lin_item){.r = r,
                                        .begin = r->begin,
                                        .end = r->end,
                                        .index = order[i].what,
                                        .mode = (uint8_t)mode,
                                        .most = (uint8_t)mode,
                                        .quiet = lin_left_state(r)};
    }
    return d->items != NULL;
}

bool lin_divide(struct lin *l, struct lin_division *d)
{
    *d = (struct lin_division){0};
    uint32_t *above = lin_arena_array(&l->arena, l->keys + (size_t)1, sizeof *above);
    struct lin_record **records = lin_arena_array(&l->arena, l->count, sizeof(struct lin_record *));
    if (above == NULL || records == NULL) {
        return false;
    }
    for (uint32_t k = 0; k <= l->keys; k++) {
        above[k] = k;
    }
    lin_all_records(l, records);
    for (size_t i = 0; i < l->count; i++) {
        d->unknown += records[i]->outcome == LIN_UNKNOWN;
        d->failed += records[i]->outcome == LIN_FAILED;
    }
    join_keys(l, records, above);
    return number_keys(l, above, d) && sort_items(l, d, above, records);
}

size_t lin_part_at(struct lin *l, const struct lin_division *d, size_t at, struct lin_part *p,
                   struct lin_model *m)
{
    uint32_t part = d->items[at].r->part;
    size_t end = at;
    while (end < d->count && d->items[end].r->part == part) {
        end++;
    }
    *p = (struct lin_part){.items = d->items + at, .count = end - at, .keys = d->part_keys[part]};
    *m = (struct lin_model){.values = &l->values};
    if (p->keys > 1) {
        m->local = d->local;
        while ((size_t)1 << m->depth < p->keys) {
            m->depth++;
        }
    }
    p->method = lin_choose_method(&l->values, p);
    return end;
}
