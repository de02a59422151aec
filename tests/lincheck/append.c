/* Lists: APPENDs of different elements of one length, with GET and STRLEN. The list only grows, so
 * the length that an answer shows is a place in the one order of all operations.
 *
 * Place n is that of the n-th element. An answered APPEND tells its own place; the longest content
 * that was read tells whose the places up to its length are, and every shorter one must be its
 * beginning. Places that nothing tells belong to APPENDs of unknown outcome: the one that began
 * first gets the first of them, the best choice, because all it must not do is begin after
 * something behind it ended. Then the order is fixed, but for reads of one length among
 * themselves, and it is a linearization exactly when nothing ended before something ahead of it
 * began. */
#include <string.h>

#include "base/assert.h"
#include "tests/lincheck/check.h"

#define NOBODY UINT32_MAX

struct list {
    struct lin_values *values;
    const struct lin_part *part;
    size_t element;   /* bytes of one */
    size_t places;    /* elements that somebody saw */
    uint32_t *holder; /* item of each place, from 1 on; NOBODY */
    size_t *place_of; /* place of each item that is an APPEND, 0 = none yet */
};

/* The bytes of the list that an answer shows: after an APPEND, at a read. */
static size_t shown_bytes(const struct list *l, const struct lin_record *r)
{
    if (r->command == LIN_GET) {
        return lin_value_len(l->values, r->result);
    }
    return (size_t)r->result_integer;
}

static size_t place_shown(const struct list *l, const struct lin_record *r)
{
    ts_assert(l->element > 0);
    return shown_bytes(l, r) / l->element;
}

/* How many elements were seen. False when a length is none that a list can have. */
static bool count_places(struct list *l)
{
    size_t all = 0; /* APPENDs: no list is longer */
    for (size_t i = 0; i < l->part->count; i++) {
        const struct lin_item *item = &l->part->items[i];
        all += item->r->command == LIN_APPEND && item->mode != LIN_ABSENT;
    }
    for (size_t i = 0; i < l->part->count; i++) {
        const struct lin_item *item = &l->part->items[i];
        if (item->mode != LIN_REQUIRED) {
            continue;
        }
        size_t n = place_shown(l, item->r);
        if (shown_bytes(l, item->r) != n * l->element || n > all ||
            (item->r->command == LIN_APPEND && n == 0)) {
            return false;
        }
        l->places = n > l->places ? n : l->places;
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
        if (item->r->command == LIN_APPEND && item->mode == LIN_REQUIRED &&
            !hold(l, place_shown(l, item->r), (uint32_t)i)) {
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

/* Where an operation stands in the order: even ranks for APPENDs, odd ones for the reads behind
 * them. False when it is not in it. */
static bool rank_of(const struct list *l, size_t i, uint64_t *rank)
{
    const struct lin_item *item = &l->part->items[i];
    if (item->r->command == LIN_APPEND) {
        *rank = 2 * (uint64_t)l->place_of[i];
        return l->place_of[i] != 0;
    }
    *rank = 2 * (uint64_t)place_shown(l, item->r) + 1;
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

static enum lin_verdict judge(struct list *l)
{
    struct lin_table by_element = {0};
    if (!index_elements(l, &by_element)) {
        return LIN_GAVE_UP;
    }
    if (!count_places(l)) {
        return LIN_NOT_LINEARIZABLE;
    }
    if (!take_places(l)) {
        return LIN_GAVE_UP;
    }
    uint32_t longest = longest_content(l);
    if (!contents_agree(l, longest) || !hold_answered(l) ||
        !hold_content(l, longest, &by_element) || !hold_unknown(l)) {
        return LIN_NOT_LINEARIZABLE;
    }
    return compare_order(l);
}

enum lin_verdict lin_judge_appends(struct lin_model *m, const struct lin_part *p,
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
