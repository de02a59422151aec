/* Registers whose values are written once: an exact test by zones.
 *
 * A cluster is a value's SET with the GETs that read it; the initial absence is a cluster too. In
 * every linearization a cluster's operations stand together, the SET first. So cluster A must come
 * before cluster B when an operation of A ended before one of B began: when A's first end lies
 * before B's last begin. There is a linearization exactly when no GET ended before its SET began,
 * and no two clusters must come before each other. A SET of unknown outcome that nobody read is
 * left out.
 * Source: Gibbons & Korach, "Testing Shared Memories", SIAM J. Comput. 26(4), 1997, theorem 4.1. */
#include "tests/lincheck/check.h"

struct cluster {
    uint64_t first_end;
    uint64_t last_begin;
    uint64_t write_begin;
    uint32_t value;
};

struct clusters {
    struct lin_arena *arena;
    struct cluster *c; /* [0] is the initial state */
    size_t count;
    struct lin_table by_value;
};

/* Times are moved by one, so that the initial state ended before all else. */
static uint64_t moved(uint64_t time)
{
    return time == LIN_NEVER ? LIN_NEVER : time + 1;
}

static struct cluster *find_cluster(const struct clusters *all, uint32_t value)
{
    size_t at = SIZE_MAX;
    uint32_t found;
    while ((found = lin_table_next(&all->by_value, lin_mix(value), &at)) != 0) {
        if (all->c[found - 1].value == value) {
            return &all->c[found - 1];
        }
    }
    return NULL;
}

static bool add_cluster(struct clusters *all, struct cluster c)
{
    all->c[all->count++] = c;
    /* Entered by its number from 1 on: 0 is no entry. */
    return lin_table_add(&all->by_value, all->arena, lin_mix(c.value), (uint32_t)all->count);
}

static bool collect_writes(const struct lin_part *p, struct clusters *all)
{
    all->c = lin_arena_array(all->arena, p->count + 1, sizeof *all->c);
    if (all->c == NULL || !add_cluster(all, (struct cluster){0})) {
        return false;
    }
    for (size_t i = 0; i < p->count; i++) {
        const struct lin_item *item = &p->items[i];
        if (item->r->command != LIN_SET || item->mode == LIN_ABSENT) {
            continue;
        }
        struct cluster c = {.first_end = moved(item->end),
                            .last_begin = moved(item->begin),
                            .write_begin = moved(item->begin),
                            .value = *lin_record_values(item->r)};
        if (!add_cluster(all, c)) {
            return false;
        }
    }
    return true;
}

/* False when a GET read what nobody had begun to write. */
static bool join_reads(const struct lin_part *p, struct clusters *all)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct lin_item *item = &p->items[i];
        if (item->r->command != LIN_GET || item->mode != LIN_REQUIRED) {
            continue;
        }
        struct cluster *c = find_cluster(all, item->r->result);
        uint64_t begin = moved(item->begin);
        uint64_t end = moved(item->end);
        if (c == NULL || c->write_begin > end) {
            return false;
        }
        c->first_end = end < c->first_end ? end : c->first_end;
        c->last_begin = begin > c->last_begin ? begin : c->last_begin;
    }
    return true;
}

/* Two clusters must come before each other only if at least one has its first end before its last
 * begin ("forward"). These are sorted by their first end; of a prefix the latest last begin tells
 * all. */
static enum lin_verdict compare_zones(const struct clusters *all)
{
    struct lin_sort *forward = lin_arena_array(all->arena, all->count, sizeof *forward);
    size_t n = 0;
    if (forward == NULL) {
        return LIN_GAVE_UP;
    }
    for (size_t i = 0; i < all->count; i++) {
        const struct cluster *c = &all->c[i];
        if (c->first_end < c->last_begin) {
            forward[n++] = (struct lin_sort){c->first_end, c->last_begin, (uint32_t)i};
        }
    }
    uint64_t *reach = lin_arena_array(all->arena, n + 1, sizeof *reach);
    if (reach == NULL || !lin_sort(all->arena, forward, n)) {
        return LIN_GAVE_UP;
    }
    for (size_t i = 0; i < n; i++) {
        if (forward[i].major < reach[i]) {
            return LIN_NOT_LINEARIZABLE;
        }
        reach[i + 1] = forward[i].minor > reach[i] ? forward[i].minor : reach[i];
    }
    for (size_t i = 0; i < all->count; i++) {
        const struct cluster *c = &all->c[i];
        if (c->first_end < c->last_begin) {
            continue;
        }
        size_t low = 0; /* the forward zones whose first end lies before this last begin */
        size_t high = n;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (forward[middle].major < c->last_begin) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if (reach[low] > c->first_end) {
            return LIN_NOT_LINEARIZABLE;
        }
    }
    return LIN_LINEARIZABLE;
}

enum lin_verdict lin_judge_registers(struct lin_model *m, const struct lin_part *p,
                                     struct lin_budget *b)
{
    struct clusters all = {.arena = m->values->arena};
    size_t mark = all.arena->used;
    enum lin_verdict verdict = LIN_GAVE_UP;
    b->steps += p->count;
    if (b->steps <= b->steps_max && collect_writes(p, &all)) {
        verdict = join_reads(p, &all) ? compare_zones(&all) : LIN_NOT_LINEARIZABLE;
    }
    lin_arena_return(all.arena, mark);
    return verdict;
}
