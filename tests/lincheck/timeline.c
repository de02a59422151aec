/* Lays a part out in time for the search. */
#include <string.h>

#include "tests/lincheck/search.h"

/* What is under way while the events pass by. */
struct sweep {
    uint32_t *open; /* required items, by their begin */
    size_t count;
    uint32_t *free_bits; /* a stack */
    size_t free_count;
    uint32_t bits;
};

static bool sort_events(struct lin_arena *a, const struct lin_part *p, struct lin_timeline *t)
{
    struct lin_sort *order = lin_arena_array(a, 2 * p->count, sizeof *order);
    size_t n = 0;
    for (size_t i = 0; order != NULL && i < p->count; i++) {
        const struct lin_item *item = &p->items[i];
        if (item->mode == LIN_REQUIRED) {
            order[n++] = (struct lin_sort){item->begin, i, (uint32_t)i};
            order[n++] = (struct lin_sort){item->end, p->count + i, (uint32_t)i};
        }
    }
    if (order == NULL || !lin_sort(a, order, n)) {
        return false;
    }
    t->events = lin_arena_array(a, n, sizeof *t->events);
    t->event_count = n;
    for (size_t i = 0; t->events != NULL && i < n; i++) {
        t->events[i] =
            (struct lin_event){.item = order[i].what, .is_end = order[i].minor >= p->count};
    }
    return t->events != NULL;
}

static bool list_optional(struct lin_arena *a, const struct lin_part *p, struct lin_timeline *t)
{
    t->optional = lin_arena_array(a, p->count, sizeof *t->optional);
    for (size_t i = 0; t->optional != NULL && i < p->count; i++) {
        if (p->items[i].mode == LIN_OPTIONAL) {
            t->optional[t->optional_count++] = (uint32_t)i;
        }
    }
    return t->optional != NULL;
}

static void begin(struct sweep *s, struct lin_timeline *t, uint32_t item)
{
    s->open[s->count++] = item;
    t->bit[item] = s->free_count > 0 ? s->free_bits[--s->free_count] : s->bits++;
}

static void end(struct sweep *s, struct lin_timeline *t, uint32_t item)
{
    size_t i = 0;
    while (s->open[i] != item) {
        i++;
    }
    s->count--;
    memmove(s->open + i, s->open + i + 1, (s->count - i) * sizeof *s->open);
    s->free_bits[s->free_count++] = t->bit[item];
}

/* How many items are under way at all ends together: the room for `open`. */
static size_t count_open(const struct lin_timeline *t)
{
    size_t now = 0;
    size_t sum = 0;
    for (size_t i = 0; i < t->event_count; i++) {
        if (t->events[i].is_end) {
            sum += now--;
        } else {
            now++;
        }
    }
    return sum;
}

static bool sweep_events(struct lin_arena *a, struct lin_timeline *t)
{
    const struct lin_part *p = t->part;
    struct sweep s = {.open = lin_arena_array(a, p->count, sizeof *s.open),
                      .free_bits = lin_arena_array(a, p->count, sizeof *s.free_bits)};
    size_t room = count_open(t);
    t->open = lin_arena_array(a, room, sizeof *t->open);
    if (s.open == NULL || s.free_bits == NULL || t->open == NULL) {
        return false;
    }
    size_t used = 0;
    uint32_t begun = 0; /* optional ones */
    for (size_t i = 0; i < t->event_count; i++) {
        struct lin_event *e = &t->events[i];
        if (!e->is_end) {
            begin(&s, t, e->item);
            continue;
        }
        while (begun < t->optional_count &&
               p->items[t->optional[begun]].begin <= p->items[e->item].end) {
            begun++;
        }
        t->end_event[e->item] = (uint32_t)i;
        e->open_at = used;
        e->open_count = (uint32_t)s.count;
        e->optional_count = begun;
        memcpy(t->open + used, s.open, s.count * sizeof *s.open);
        used += s.count;
        end(&s, t, e->item);
    }
    t->required_words = (s.bits + 63) / 64;
    t->words = t->required_words + (t->optional_count + 63) / 64;
    return true;
}

static uint64_t hash_effect(const struct lin_record *r)
{
    uint64_t h = lin_mix((uint64_t)r->command << 8 | r->flags) + lin_mix((uint64_t)r->by);
    for (uint32_t i = 0; i < r->key_count + r->values; i++) {
        h = lin_mix(h + r->words[i]);
    }
    return h;
}

static bool same_effect(const struct lin_record *x, const struct lin_record *y)
{
    return x->command == y->command && x->flags == y->flags && x->by == y->by &&
           x->key_count == y->key_count && x->values == y->values &&
           memcmp(x->words, y->words, (x->key_count + x->values) * sizeof x->words[0]) == 0;
}

/* Optional items that do the same are used in the order of their begins: any other choice among
 * them can be exchanged for that one. */
static bool find_twins(struct lin_arena *a, struct lin_timeline *t)
{
    const struct lin_item *items = t->part->items;
    struct lin_sort *order = lin_arena_array(a, t->optional_count, sizeof *order);
    if (order == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < t->optional_count; i++) {
        order[i] = (struct lin_sort){hash_effect(items[t->optional[i]].r), i, t->optional[i]};
        t->bit[t->optional[i]] = (uint32_t)t->required_words * 64 + i;
    }
    if (!lin_sort(a, order, t->optional_count)) {
        return false;
    }
    for (uint32_t i = 0; i < t->optional_count; i++) {
        bool twins = i > 0 && order[i - 1].major == order[i].major &&
                     same_effect(items[order[i - 1].what].r, items[order[i].what].r);
        t->twin[order[i].what] = twins ? order[i - 1].what : LIN_NOBODY;
    }
    return true;
}

bool lin_timeline(struct lin_arena *a, const struct lin_part *p, struct lin_timeline *t)
{
    *t = (struct lin_timeline){.part = p};
    t->bit = lin_arena_array(a, p->count, sizeof *t->bit);
    t->twin = lin_arena_array(a, p->count, sizeof *t->twin);
    t->end_event = lin_arena_array(a, p->count, sizeof *t->end_event);
    return t->bit != NULL && t->twin != NULL && t->end_event != NULL && sort_events(a, p, t) &&
           list_optional(a, p, t) && sweep_events(a, t) && find_twins(a, t);
}
