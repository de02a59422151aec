/* Makes a refuted part small, so that a person sees why.
 *
 * Every trial only weakens: what had not ended by some instant may have had any effect or none;
 * an operation that is left out may have taken effect at any moment since its begin, or never, and
 * a quiet one is simply gone. A linearization of the whole part would be one of every weaker part,
 * so what refutes the weaker one refutes the whole: nothing that is left out can be an excuse. */
#include "base/assert.h"
#include "tests/lincheck/history.h"

/* Others than the last one in a story whose states are told, and their configurations. */
#define OTHERS_MAX 12
#define CONFIGS_MAX 1024
#define TRIAL_SHARE 8

struct trials {
    struct lin_model m;
    struct lin_part part;
    struct lin_arena *arena;
    uint64_t steps_left;
    bool gave_up; /* some trial had no verdict */
    bool projected;
};

/* ---- trials ---- */

static void put_mode(struct lin_item *item, enum lin_mode mode)
{
    item->mode = (uint8_t)mode;
    item->end = mode == LIN_REQUIRED ? item->r->end : LIN_NEVER;
}

/* As if nobody knew its answer. */
static void weaken(struct lin_item *item)
{
    put_mode(item, item->quiet ? LIN_ABSENT : LIN_OPTIONAL);
}

static bool refuted(struct trials *t, uint64_t steps_max)
{
    struct lin_budget b = {.steps_max = steps_max};
    enum lin_verdict verdict = lin_judge(&t->m, &t->part, &b);
    t->steps_left -= b.steps < t->steps_left ? b.steps : t->steps_left;
    t->gave_up = t->gave_up || verdict == LIN_GAVE_UP;
    t->arena->full = false;
    return verdict == LIN_NOT_LINEARIZABLE;
}

/* What was known at this instant. */
static void cut_at(struct trials *t, uint64_t time)
{
    for (size_t i = 0; i < t->part.count; i++) {
        struct lin_item *item = &t->part.items[i];
        if (item->begin > time || item->most == LIN_ABSENT) {
            put_mode(item, LIN_ABSENT);
        } else if (item->r->end > time || item->most == LIN_OPTIONAL) {
            weaken(item);
        } else {
            put_mode(item, LIN_REQUIRED);
        }
    }
}

/* The shortest time after which no order is left. Precondition: the whole is refuted. */
static bool cut_shortest(struct trials *t)
{
    struct lin_sort *ends = lin_arena_array(t->arena, t->part.count, sizeof *ends);
    size_t n = 0;
    for (size_t i = 0; ends != NULL && i < t->part.count; i++) {
        if (t->part.items[i].mode == LIN_REQUIRED) {
            ends[n++] = (struct lin_sort){.major = t->part.items[i].end};
        }
    }
    if (ends == NULL || n == 0 || !lin_sort(t->arena, ends, n)) {
        return false;
    }
    size_t low = 0;
    size_t high = n - 1; /* refuted */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        cut_at(t, ends[middle].major);
        if (refuted(t, t->steps_left / TRIAL_SHARE)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    cut_at(t, ends[high].major);
    return true;
}

/* Tries to leave out the required items kept[from..to). */
static bool leave_out(struct trials *t, const uint32_t *kept, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        weaken(&t->part.items[kept[i]]);
    }
    if (refuted(t, t->steps_left / TRIAL_SHARE)) {
        return true;
    }
    for (size_t i = from; i < to; i++) {
        put_mode(&t->part.items[kept[i]], LIN_REQUIRED);
    }
    return false;
}

static size_t list_required(const struct trials *t, uint32_t *kept)
{
    size_t n = 0;
    for (size_t i = 0; i < t->part.count; i++) {
        if (t->part.items[i].mode == LIN_REQUIRED) {
            kept[n++] = (uint32_t)i;
        }
    }
    return n;
}

/* Leaves out what does not matter: halves, quarters, …, single ones until none can go. */
static bool shrink(struct trials *t)
{
    uint32_t *kept = lin_arena_array(t->arena, t->part.count, sizeof *kept);
    if (kept == NULL) {
        return false;
    }
    size_t n = list_required(t, kept);
    size_t width = n / 2 + 1;
    bool again = true;
    while (again) {
        again = width > 1;
        for (size_t from = 0; from < n && t->steps_left > 0; from += width) {
            size_t to = n - from < width ? n : from + width;
            again = leave_out(t, kept, from, to) || again;
        }
        n = list_required(t, kept);
        width = width > 1 ? width / 2 : 1;
        again = again && t->steps_left > 0;
    }
    return true;
}

/* ---- what the key may have held ---- */

/* Orders of the story's other operations, as far as they have come. */
struct config {
    uint32_t done; /* bit set of `others` */
    uint32_t state;
    bool completes;
};

struct orders {
    struct trials *t;
    const struct lin_item *others[OTHERS_MAX];
    uint32_t before[OTHERS_MAX]; /* bit set of those that ended before it began */
    size_t n;
    struct config *configs;
    size_t config_count;
    struct lin_table known;
    uint32_t (*edges)[2];
    size_t edge_count;
};

static uint32_t ended_before(const struct orders *o, uint64_t begin)
{
    uint32_t set = 0;
    for (size_t i = 0; i < o->n; i++) {
        set |= o->others[i]->end < begin ? 1u << i : 0;
    }
    return set;
}

/* The number of this configuration, perhaps a new one; CONFIGS_MAX when there is no room. */
static size_t reach(struct orders *o, uint32_t done, uint32_t state)
{
    uint64_t hash = lin_mix((uint64_t)done << 32 | state);
    size_t at = SIZE_MAX;
    uint32_t number;
    while ((number = lin_table_next(&o->known, hash, &at)) != 0) {
        if (o->configs[number - 1].done == done && o->configs[number - 1].state == state) {
            return number - 1;
        }
    }
    if (o->config_count == CONFIGS_MAX ||
        !lin_table_add(&o->known, o->t->arena, hash, (uint32_t)o->config_count + 1)) {
        return CONFIGS_MAX;
    }
    o->configs[o->config_count] = (struct config){done, state, done == (1u << o->n) - 1};
    return o->config_count++;
}

/* All configurations, each behind those that lead to it. False when there are too many. */
static bool walk_orders(struct orders *o)
{
    if (reach(o, 0, 0) != 0) {
        return false;
    }
    for (size_t c = 0; c < o->config_count; c++) {
        for (size_t i = 0; i < o->n; i++) {
            struct config from = o->configs[c];
            uint32_t next;
            if ((from.done >> i & 1) != 0 || (o->before[i] & ~from.done) != 0 ||
                !lin_step(&o->t->m, o->others[i]->r, true, from.state, &next)) {
                continue;
            }
            size_t to = reach(o, from.done | 1u << i, next);
            if (to == CONFIGS_MAX) {
                return false;
            }
            o->edges[o->edge_count][0] = (uint32_t)c;
            o->edges[o->edge_count][1] = (uint32_t)to;
            o->edge_count++;
        }
    }
    for (size_t e = o->edge_count; e > 0; e--) {
        struct config *from = &o->configs[o->edges[e - 1][0]];
        from->completes = from->completes || o->configs[o->edges[e - 1][1]].completes;
    }
    return true;
}

static bool add_held(struct trials *t, struct lin_story *story, uint32_t *states, uint32_t state)
{
    for (size_t i = 0; i < story->held_count; i++) {
        if (states[i] == state) {
            return true;
        }
    }
    if (story->held_count == LIN_HELD_MAX) {
        return false;
    }
    states[story->held_count] = state;
    story->held[story->held_count] = (struct ts_bytes){0};
    if (state != 0) {
        story->held[story->held_count] = lin_value_bytes(t->m.values, state);
    }
    story->held_count++;
    return !t->arena->full;
}

static bool tell_held(struct orders *o, uint64_t last_begin, struct lin_story *story)
{
    uint32_t states[LIN_HELD_MAX] = {0};
    o->configs = lin_arena_array(o->t->arena, CONFIGS_MAX, sizeof *o->configs);
    o->edges = lin_arena_array(o->t->arena, (size_t)CONFIGS_MAX * OTHERS_MAX, sizeof *o->edges);
    if (o->configs == NULL || o->edges == NULL || !walk_orders(o)) {
        return false;
    }
    uint32_t must = ended_before(o, last_begin);
    for (size_t c = 0; c < o->config_count; c++) {
        const struct config *at = &o->configs[c];
        if (at->completes && (must & ~at->done) == 0 && !add_held(o->t, story, states, at->state)) {
            return false;
        }
    }
    return story->held_count > 0;
}

static void find_held(struct trials *t, struct lin_story *story)
{
    struct orders o = {.t = t};
    uint64_t last_begin = 0;
    for (size_t i = 0; i < t->part.count; i++) {
        const struct lin_item *item = &t->part.items[i];
        if (item->mode != LIN_REQUIRED) {
            continue;
        }
        if (item->index == story->op[story->last]) {
            last_begin = item->begin;
        } else {
            o.others[o.n++] = item;
        }
    }
    for (size_t i = 0; i < o.n; i++) {
        o.before[i] = ended_before(&o, o.others[i]->begin);
    }
    t->m.values->searching = true;
    story->held_known = tell_held(&o, last_begin, story);
    t->m.values->searching = false;
    t->m.values->passing = (struct lin_table){0};
    t->arena->full = false;
}

/* ---- where the last answer may have come from ---- */

/* The value that the operation read, 0 when it read none. */
static uint32_t value_read(const struct lin_record *r)
{
    bool reads = r->command == LIN_GET || (r->command == LIN_SET && (r->flags & LIN_SET_GET) != 0);
    return reads ? r->result : 0;
}

/* Whether the operation would write the value into the key; `made` when nobody can tell. */
static bool writes_value(const struct lin_record *r, uint32_t key, uint32_t value, bool *made)
{
    bool writes = false;
    for (uint32_t i = 0; i < r->key_count; i++) {
        if (r->words[i] != key) {
            continue;
        }
        *made = *made || r->command == LIN_INCRBY || r->command == LIN_APPEND;
        writes = writes || ((r->command == LIN_SET || r->command == LIN_MSET) &&
                            lin_record_values(r)[i] == value);
    }
    return writes;
}

static void find_source(const struct lin *l, const struct lin_record *last, struct lin_story *story)
{
    uint32_t value = value_read(last);
    bool made = false;
    bool possible = false;
    if (value == 0) {
        return;
    }
    for (size_t i = 0; i < l->count; i++) {
        const struct lin_record *r = lin_record_of(l, i);
        if (writes_value(r, last->words[0], value, &made)) {
            possible = possible || (r->outcome != LIN_FAILED && r->begin <= last->end);
            story->source = i;
        }
    }
    story->unwritten = !made && story->source == LIN_NONE;
    story->source = made || possible ? LIN_NONE : story->source;
}

static bool is_listed(const size_t *list, size_t n, size_t op)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i] == op) {
            return true;
        }
    }
    return false;
}

/* Adds the operation that wrote what `r` read, when it is certain which one that was. */
static void find_writer(const struct lin *l, const struct lin_record *r, struct lin_story *story)
{
    uint32_t value = value_read(r);
    bool made = false;
    size_t found = 0;
    size_t writer = 0;
    for (size_t i = 0; i < l->count && value != 0; i++) {
        const struct lin_record *w = lin_record_of(l, i);
        if (w->outcome != LIN_FAILED && writes_value(w, r->words[0], value, &made)) {
            writer = i;
            found++;
        }
    }
    if (found == 1 && !made && story->writer_count < LIN_WRITERS_MAX &&
        !is_listed(story->op, story->count, writer) &&
        !is_listed(story->writer, story->writer_count, writer)) {
        story->writer[story->writer_count++] = writer;
    }
}

/* ---- the story ---- */

static void tell(struct lin *l, struct trials *t, struct lin_story *story)
{
    const struct lin_record *last = NULL;
    uint64_t last_end = 0;
    size_t required = 0;
    story->part_ops = t->part.count;
    for (size_t i = 0; i < t->part.count; i++) {
        const struct lin_item *item = &t->part.items[i];
        story->unknown += item->r->outcome == LIN_UNKNOWN;
        story->left_out += item->r->outcome == LIN_ANSWERED && item->mode != LIN_REQUIRED;
        if (item->mode != LIN_REQUIRED) {
            continue;
        }
        required++;
        if (story->count == LIN_STORY_MAX) {
            continue;
        }
        if (story->count == 0 || item->end >= last_end) {
            last_end = item->end;
            story->last = story->count;
            last = item->r;
        }
        story->op[story->count++] = item->index;
    }
    story->minimal = required == story->count && !t->gave_up && t->steps_left > 0;
    if (t->part.keys > 1) {
        return;
    }
    story->projected = t->projected;
    for (size_t i = 0; i < t->part.count && t->projected; i++) {
        if (t->part.items[i].r->key_count > 0) {
            story->key = lin_value_bytes(&l->values, t->part.items[i].r->words[0]);
        }
    }
    if (last != NULL) {
        find_source(l, last, story);
    }
    for (size_t i = 0; i < t->part.count && story->source == LIN_NONE; i++) {
        if (t->part.items[i].mode == LIN_REQUIRED) {
            find_writer(l, t->part.items[i].r, story);
        }
    }
    if (required == story->count && required <= OTHERS_MAX) {
        find_held(t, story);
    }
}

/* A key that refutes a part of several by itself makes the better story. */
static void take_one_key(struct trials *t)
{
    struct lin_part one;
    struct lin_budget b = {.steps_max = t->steps_left / TRIAL_SHARE};
    size_t mark = t->arena->used;
    enum lin_verdict verdict = lin_project(&t->m, &t->part, &b, &one);
    t->steps_left -= b.steps < t->steps_left ? b.steps : t->steps_left;
    t->arena->full = false;
    if (verdict == LIN_NOT_LINEARIZABLE) {
        t->part = one;
        t->projected = true;
        t->m = (struct lin_model){.values = t->m.values};
    } else {
        lin_arena_return(t->arena, mark);
    }
}

static bool find_part(struct lin *l, const struct lin_division *d, size_t op, struct trials *t)
{
    for (size_t at = 0; at < d->count;) {
        at = lin_part_at(l, d, at, &t->part, &t->m);
        for (size_t i = 0; i < t->part.count; i++) {
            if (t->part.items[i].index == op) {
                return true;
            }
        }
    }
    return false;
}

bool lin_explain(struct lin *l, size_t part_op, struct lin_story *story)
{
    struct lin_division d;
    struct trials t = {.arena = &l->arena, .steps_left = l->limits.steps_max};
    lin_end_loan(l);
    *story = (struct lin_story){.source = LIN_NONE};
    l->arena.full = false;
    /* All that is taken from here on is lent: the story's bytes lie there. */
    l->scratch = l->arena.used;
    if (!lin_divide(l, &d) || !find_part(l, &d, part_op, &t)) {
        l->arena.full = false;
        return false;
    }
    if (t.part.keys > 1) {
        take_one_key(&t);
    }
    /* The first trial may take what it takes: without it there is no story. */
    if (!refuted(&t, t.steps_left / 2)) {
        return false;
    }
    if (cut_shortest(&t) && shrink(&t)) {
        tell(l, &t, story);
    }
    l->arena.full = false;
    return story->count > 0;
}
