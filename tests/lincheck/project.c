/* A part of several keys, seen through one of them. What a linearization does to one key is a
 * linearization of what that key saw of each operation, so a key that has none refutes the whole,
 * quickly and with a short story. What a command told of several keys together (the counts of DEL
 * and EXISTS) is left out unless it tells of each. */
#include "tests/lincheck/check.h"

/* The record of what one key saw of an operation on several. `i`: where the key stands in it. */
static struct lin_record *copy_of_one(struct lin_arena *a, const struct lin_record *r, uint32_t i)
{
    bool value = r->command == LIN_MSET;
    struct lin_record *one = lin_arena_take(a, sizeof *one + 2 * sizeof one->words[0]);
    if (one == NULL) {
        return NULL;
    }
    *one = *r;
    one->key_count = 1;
    one->values = value ? 1 : 0;
    one->words[0] = r->words[i];
    if (value) {
        one->command = LIN_SET;
        one->words[1] = lin_record_values(r)[i];
    } else if (r->command == LIN_MGET) {
        one->command = LIN_GET;
        one->result = lin_record_array(r)[i];
        one->result_kind = one->result == 0 ? LIN_RESULT_NIL : LIN_RESULT_BYTES;
    } else {
        one->result_integer = r->result_integer == 0 ? 0 : 1;
    }
    return one;
}

/* Makes the item of one key. Its place in the words is the last one, whose value of an MSET stays.
 * False without room. */
static bool project_item(struct lin_arena *a, struct lin_item *item, uint32_t i)
{
    const struct lin_record *r = item->r;
    bool told = r->result_integer == 0 ||
                (r->command == LIN_EXISTS && r->result_integer == (int64_t)r->key_count);
    if (r->key_count < 2 || item->mode == LIN_ABSENT) {
        return true;
    }
    struct lin_record *one = copy_of_one(a, r, i);
    if (one == NULL) {
        return false;
    }
    item->r = one;
    if (item->mode == LIN_REQUIRED && !told && r->command == LIN_EXISTS) {
        item->mode = LIN_ABSENT;
    } else if (item->mode == LIN_REQUIRED && !told && r->command == LIN_DEL) {
        item->mode = LIN_OPTIONAL;
        item->end = LIN_NEVER;
    }
    item->most = item->mode;
    item->quiet = item->mode == LIN_REQUIRED && lin_left_state(one);
    return true;
}

/* Sorts all appearances of keys in items by key. Gives their number, SIZE_MAX without room. */
static size_t list_keys(const struct lin_model *m, const struct lin_part *p, struct lin_sort **out)
{
    struct lin_arena *a = m->values->arena;
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++) {
        n += p->items[i].r->command == LIN_FLUSHALL ? p->keys : p->items[i].r->key_count;
    }
    *out = lin_arena_array(a, n, sizeof **out);
    n = 0;
    for (size_t i = 0; *out != NULL && i < p->count; i++) {
        const struct lin_record *r = p->items[i].r;
        bool all = r->command == LIN_FLUSHALL;
        for (size_t k = 0; k < (all ? p->keys : r->key_count); k++) {
            uint64_t key = all ? k : lin_local(m, r->words[k]);
            (*out)[n++] = (struct lin_sort){key, (uint64_t)i << 32 | k, (uint32_t)i};
        }
    }
    return *out != NULL && lin_sort(a, *out, n) ? n : SIZE_MAX;
}

static bool make_part(const struct lin_model *m, const struct lin_part *p,
                      const struct lin_sort *keys, size_t n, struct lin_part *one)
{
    *one = (struct lin_part){.keys = 1};
    one->items = lin_arena_array(m->values->arena, n, sizeof *one->items);
    for (size_t i = 0; one->items != NULL && i < n; i++) {
        if (i + 1 < n && keys[i + 1].what == keys[i].what) {
            continue; /* the same command names the key once more */
        }
        struct lin_item *item = &one->items[one->count++];
        *item = p->items[keys[i].what];
        if (!project_item(m->values->arena, item, (uint32_t)keys[i].minor)) {
            return false;
        }
    }
    if (one->items != NULL) {
        one->method = lin_choose_method(m->values, one);
    }
    return one->items != NULL;
}

enum lin_verdict lin_project(struct lin_model *m, const struct lin_part *p, struct lin_budget *b,
                             struct lin_part *wrong)
{
    struct lin_model model = {.values = m->values};
    struct lin_sort *keys;
    enum lin_verdict all = LIN_LINEARIZABLE;
    size_t n = list_keys(m, p, &keys);
    if (n == SIZE_MAX) {
        return LIN_GAVE_UP;
    }
    for (size_t from = 0; from < n;) {
        size_t to = from;
        while (to < n && keys[to].major == keys[from].major) {
            to++;
        }
        size_t mark = m->values->arena->used;
        /* A key may spend a part of what is left, so that others and the whole have theirs. */
        struct lin_budget share = {.steps_max = (b->steps_max - b->steps) / 4};
        enum lin_verdict verdict = LIN_GAVE_UP;
        if (make_part(m, p, keys + from, to - from, wrong)) {
            verdict = lin_judge(&model, wrong, &share);
        }
        b->steps += share.steps < b->steps_max - b->steps ? share.steps : b->steps_max - b->steps;
        if (verdict == LIN_NOT_LINEARIZABLE) {
            return verdict;
        }
        all = verdict == LIN_GAVE_UP ? verdict : all;
        m->values->arena->full = false;
        lin_arena_return(m->values->arena, mark);
        from = to;
    }
    return all;
}
