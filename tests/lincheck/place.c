/* What only grows: lists, of APPENDs of different elements of one length, with GET and STRLEN; and
 * counters, of INCRs by one, with GET. The length, or the number, that an answer shows is a place
 * in the one order of all operations.
 *
 * Place n is that of the n-th element or increment. An answered APPEND or INCR tells its own place;
 * the longest content that was read tells whose the places up to its length are, and every shorter
 * one must be its beginning. Places that nothing tells belong to operations of unknown outcome: the
 * one that began first gets the first of them, the best choice, because all it must not do is begin
 * after something behind it ended. Then the order is fixed, but for reads of one place among
 * themselves, and it is a linearization exactly when nothing ended before something ahead of it
 * began. */
#include <string.h>

#include "base/assert.h"
#include "tests/lincheck/check.h"

#define NOBODY UINT32_MAX

struct list {
    struct lin_values *values;
    const struct lin_part *part;
    bool counter;     /* not a list */
    size_t element;   /* bytes of one of a list's */
    size_t places;    /* elements or increments that somebody saw */
    uint32_t *holder; /* item of each place, from 1 on; NOBODY */
    size_t *place_of; /* place of each item that adds one, 0 = none yet */
};

static bool adds(const struct lin_item *item)
{
    return item->r->command == LIN_APPEND || item->r->command == LIN_INCRBY;
}

/* The place that a GET of a counter shows: a positive number, or that the key is absent. */
static bool number_shown(const struct list *l, uint32_t value, size_t *place)
{
    *place = 0;
    if (value == 0) {
        return true;
    }
    const struct lin_value *v = lin_value_at(l->values, value);
    *place = v->is_number && v->number > 0 ? (size_t)v->number : 0;
    return *place > 0;
}

/* The place that an answer shows: its own, of what adds one; the last one, of a read. False when it
 * is none that there can be. */
static bool place_shown(const struct list *l, const struct lin_record *r, size_t *place)
{
    if (l->counter && r->command == LIN_GET) {
        return number_shown(l, r->result, place);
    }
    size_t length =
        r->command == LIN_GET ? lin_value_len(l->values, r->result) : (size_t)r->result_integer;
    size_t one = l->counter ? 1 : l->element;
    ts_assert(one > 0);
    *place = length / one;
    return *place * one == length;
}

/* The same, of an answer that count_places has found possible. */
static size_t place_told(const struct list *l, const struct lin_record *r)
{
    size_t place;
    bool possible = place_shown(l, r, &place);
    ts_assert(possible);
    return place;
}

/* How many were seen. False when an answer shows a place that there cannot be. */
static bool count_places(struct list *l)
{
    size_t all = 0; /* that were asked for: there are no more places */
    for (size_t i = 0; i < l->part->count; i++) {
        const struct lin_item *item = &l->part->items[i];
        all += adds(item) && item->mode != LIN_ABSENT;
    }
    for (size_t i = 0; i < l->part->count; i++) {
        const struct lin_item *item = &l->part->items[i];
        size_t place;
        if (item->mode != LIN_REQUIRED) {
            continue;
        }
        if (!place_shown(l, item->r, &place) || place > all || (adds(item) && place == 0)) {
            return false;
        }
        l->places = place > l->places ? place : l->places;
    }
    return true;
}

static bool hold(struct list *l, size_t place, uint32_t item)
{
    if ((l->holder[place] != NOBODY && l->holder[place] != item) ||
        (l->place_of[item] != 0 && l->place_of[item] != place)) {
        return false;
    }
    l->holder[place] = item;
    l->place_of[item] = place;
    return true;
}

static bool hold_answered(struct list *l)
{
    for (size_t i = 0; i < l->part->count; i++) {
        const struct lin_item *item = &l->part->items[i];
        if (adds(item) && item->mode == LIN_REQUIRED &&
            !hold(l, place_told(l, item->r), (uint32_t)i)) {
            return false;
        }
    }
    return true;
}

/* The longest content that was read; 0 when none was, or the list was absent. */
static uint32_t longest_content(const struct list *l)
{
    uint32_t longest = 0;
    for (size_t i = 0; i < l->part->count; i++) {
        const struct lin_item *item = &l->part->items[i];
        if (item->r->command == LIN_GET && item->mode == LIN_REQUIRED &&
            lin_value_len(l->values, item->r->result) > lin_value_len(l->values, longest)) {
            longest = item->r->result;
        }
    }
    return longest;
}

/* Whether all contents that were read are beginnings of the longest one. An empty list is
 * absent, never an empty value. */
static bool contents_agree(const struct list *l, uint32_t longest)
{
    struct ts_bytes all = {0};
    if (longest != 0) {
        all = lin_value_bytes(l->values, longest);
    }
    for (size_t i = 0; i < l->part->count; i++) {
        const struct lin_item *item = &l->part->items[i];
        if (item->r->command != LIN_GET || item->mode != LIN_REQUIRED || item->r->result == 0) {
            continue;
        }
        struct ts_bytes b = lin_value_bytes(l->values, item->r->result);
        if (b.len == 0 || all.data == NULL || memcmp(b.data, all.data, b.len) != 0) {
            return false;
        }
    }
    return true;
}

/* Gives the places of the longest content to the APPENDs of its elements. */
static bool hold_content(struct list *l, uint32_t longest, const struct lin_table *by_element)
{
    if (longest == 0) {
        return true;
    }
    struct ts_bytes all = lin_value_bytes(l->values, longest);
    for (size_t at = 0; at < all.len; at += l->element) {
        struct ts_bytes bytes = {all.data + at, l->element};
        uint32_t element = lin_value_find(l->values, bytes);
        size_t slot = SIZE_MAX;
        uint32_t item = element == 0 ? 0 : lin_table_next(by_element, lin_mix(element), &slot);
        while (item != 0 && *lin_record_values(l->part->items[item - 1].r) != element) {
            item = lin_table_next(by_element, lin_mix(element), &slot);
        }
        if (item == 0 || !hold(l, at / l->element + 1, item - 1)) {
            return false;
        }
    }
    return true;
}

/* Gives the places that are left to APPENDs of unknown outcome, in order of their begins. */
static bool hold_unknown(struct list *l)
{
    size_t next = 0;
    for (size_t place = 1; place <= l->places; place++) {
        if (l->holder[place] != NOBODY) {
            continue;
        }
        while (next < l->part->count &&
               (l->part->items[next].mode != LIN_OPTIONAL || l->place_of[next] != 0)) {
            next++;
        }
        if (next == l->part->count) {
            return false;
        }
        (void)hold(l, place, (uint32_t)next);
    }
    return true;
}

/* Where an operation stands in the order: even ranks for what adds one, odd ones for the reads
 * behind. False when it is not in it. */
static bool rank_of(const struct list *l, size_t i, uint64_t *rank)
{
    const struct lin_item *item = &l->part->items[i];
    if (adds(item)) {
        *rank = 2 * (uint64_t)l->place_of[i];
        return l->place_of[i] != 0;
    }
    if (item->mode == LIN_REQUIRED) {
        *rank = 2 * (uint64_t)place_told(l, item->r) + 1;
    }
    return item->mode == LIN_REQUIRED;
}

/* Whether nothing ended before something of a lower rank began. */
static enum lin_verdict compare_order(const struct list *l)
{
    struct lin_arena *arena = l->values->arena;
    struct lin_sort *order = lin_arena_array(arena, l->part->count, sizeof *order);
    size_t n = 0;
    uint64_t rank;
    for (size_t i = 0; order != NULL && i < l->part->count; i++) {
        if (rank_of(l, i, &rank)) {
            order[n++] = (struct lin_sort){rank, l->part->items[i].begin, (uint32_t)i};
        }
    }
    if (order == NULL || !lin_sort(arena, order, n)) {
        return LIN_GAVE_UP;
    }
    /* Reads of one rank stand by their begins, so none of them ended before the one ahead began. */
    uint64_t begun = 0; /* the latest begin of those ahead */
    for (size_t i = 0; i < n; i++) {
        if (l->part->items[order[i].what].end < begun) {
            return LIN_NOT_LINEARIZABLE;
        }
        begun = order[i].minor > begun ? order[i].minor : begun;
    }
    return LIN_LINEARIZABLE;
}

static bool index_elements(struct list *l, struct lin_table *by_element)
{
    for (size_t i = 0; i < l->part->count; i++) {
        const struct lin_item *item = &l->part->items[i];
        if (item->r->command != LIN_APPEND) {
            continue;
        }
        uint32_t element = *lin_record_values(item->r);
        l->element = lin_value_len(l->values, element);
        if (item->mode != LIN_ABSENT &&
            !lin_table_add(by_element, l->values->arena, lin_mix(element), (uint32_t)i + 1)) {
            return false;
        }
    }
    return true;
}

static bool take_places(struct list *l)
{
    struct lin_arena *arena = l->values->arena;
    l->holder = lin_arena_array(arena, l->places + 1, sizeof *l->holder);
    l->place_of = lin_arena_array(arena, l->part->count, sizeof *l->place_of);
    for (size_t i = 0; l->holder != NULL && i <= l->places; i++) {
        l->holder[i] = NOBODY;
    }
    return l->holder != NULL && l->place_of != NULL;
}

/* What contents tell of a list. */
static bool take_contents(struct list *l, const struct lin_table *by_element)
{
    uint32_t longest = longest_content(l);
    return contents_agree(l, longest) && hold_content(l, longest, by_element);
}

static enum lin_verdict judge(struct list *l)
{
    struct lin_table by_element = {0};
    l->counter = true;
    for (size_t i = 0; i < l->part->count; i++) {
        l->counter = l->counter && l->part->items[i].r->command != LIN_APPEND;
    }
    if (!l->counter && !index_elements(l, &by_element)) {
        return LIN_GAVE_UP;
    }
    if (!count_places(l)) {
        return LIN_NOT_LINEARIZABLE;
    }
    if (!take_places(l)) {
        return LIN_GAVE_UP;
    }
    if (!hold_answered(l) || (!l->counter && !take_contents(l, &by_element)) || !hold_unknown(l)) {
        return LIN_NOT_LINEARIZABLE;
    }
    return compare_order(l);
}

enum lin_verdict lin_judge_places(struct lin_model *m, const struct lin_part *p,
                                  struct lin_budget *b)
{
    struct list l = {.values = m->values, .part = p};
    size_t mark = m->values->arena->used;
    enum lin_verdict verdict = LIN_GAVE_UP;
    b->steps += p->count;
    if (b->steps <= b->steps_max) {
        verdict = judge(&l);
    }
    lin_arena_return(m->values->arena, mark);
    return verdict;
}
