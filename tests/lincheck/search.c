/* The general search: depth first over configurations {what took effect, state}, each looked at
 * once.
 *
 * Source: Wing & Gong, "Testing and verifying concurrent objects", JPDC 17, 1993 (the search);
 * Lowe, "Testing for linearizability", Concurrency and Computation 29(4), 2017 (just-in-time
 * linearization, remembered configurations); Horn & Kroening, "Faster linearizability checking via
 * P-compositionality", FORTE 2015 (parts).
 *
 * Time runs from event to event. At the end of an operation that has not taken effect yet (the
 * target), operations under way take effect one after another until it has. That is enough: what
 * takes effect earlier may as well wait until then. Every choice is between operations that give
 * the answer that they gave.
 *
 * OURS, each of which leaves at least one linearization wherever there is one:
 *   quiet ones   What by its own answer left the state alone (reads; SET NX answered nil) takes
 *                effect as soon as the state fits: it is in nobody's way.
 *   optional     Operations of unknown outcome serve a target or are not used: one is never
 *                followed at once by another that makes all its effect invisible; equal ones are
 *                used in the order of their begins (timeline.c).
 *   better ones  A configuration is passed over when the same was seen with fewer optional ones
 * used and fewer quiet ones to come. other keys   With several keys, only what shares keys with the
 * target, directly or over others under way, takes effect before it. long reads   A value that
 * comes once is not replaced before its last GET has begun (hold.c). likely first Choices after
 * which the target can follow come before the others. */
#include "tests/lincheck/hold.h"

#include <string.h>

/* A choice point: the configuration at a target's end, and how far its choices were tried. */
struct frame {
    struct frame *prev;
    struct frame *next; /* left over from a deeper search, to be used again */
    uint32_t event;
    uint32_t state;
    uint32_t pending;
    size_t cursor;
    uint64_t set[]; /* the timeline's words, then the keys that matter to the target */
};

/* A configuration that was looked at. */
struct seen {
    uint32_t event;
    uint32_t state;
    uint32_t pending;
    uint64_t set[];
};

struct search {
    struct lin_model *m;
    struct lin_arena *arena;
    const struct lin_part *part;
    struct lin_budget *budget;
    struct lin_timeline t;
    struct lin_holds holds;
    size_t key_words; /* 0 with one key */
    struct frame *top;
    struct frame *first; /* the bottom frame, kept when the stack is empty */
    struct lin_table seen;

    /* where the search stands */
    uint32_t event;
    uint32_t state;
    uint32_t pending; /* the optional item that took effect last, when nobody saw it yet */
    uint64_t *set;
    uint64_t *quiet; /* scratch of is_new */
};

/* ---- keys ---- */

static bool touches(const struct search *s, const struct lin_record *r, const uint64_t *keys)
{
    bool any = r->command == LIN_FLUSHALL;
    for (uint32_t i = 0; i < r->key_count && !any; i++) {
        any = lin_bit(keys, lin_local(s->m, r->words[i]));
    }
    return any;
}

/* Adds the operation's keys; gives whether one was new. */
static bool add_keys(const struct search *s, const struct lin_record *r, uint64_t *keys)
{
    bool grew = false;
    if (r->command == LIN_FLUSHALL) {
        for (size_t i = 0; i < s->key_words; i++) {
            grew = grew || keys[i] != UINT64_MAX;
            keys[i] = UINT64_MAX;
        }
    }
    for (uint32_t i = 0; i < r->key_count; i++) {
        uint32_t local = lin_local(s->m, r->words[i]);
        grew = grew || !lin_bit(keys, local);
        lin_bit_set(keys, local);
    }
    return grew;
}

/* Adds the keys of every item of the list that has not taken effect and shares one. */
static bool spread_keys(const struct search *s, const struct frame *f, const uint32_t *items,
                        size_t n, uint64_t *keys)
{
    bool grew = false;
    for (size_t i = 0; i < n; i++) {
        const struct lin_record *r = s->part->items[items[i]].r;
        if (!lin_bit(f->set, s->t.bit[items[i]]) && touches(s, r, keys)) {
            grew = add_keys(s, r, keys) || grew;
        }
    }
    return grew;
}

static void find_keys(const struct search *s, struct frame *f)
{
    const struct lin_event *e = &s->t.events[f->event];
    uint64_t *keys = f->set + s->t.words;
    memset(keys, 0, s->key_words * sizeof *keys);
    (void)add_keys(s, s->part->items[e->item].r, keys);
    bool grew = true;
    while (grew) {
        grew = spread_keys(s, f, s->t.open + e->open_at, e->open_count, keys);
        grew = spread_keys(s, f, s->t.optional, e->optional_count, keys) || grew;
    }
}

/* Whether nobody can tell any more that `hidden` took effect just before `r`. */
static bool hides(const struct search *s, const struct lin_item *item,
                  const struct lin_record *hidden)
{
    const struct lin_record *r = item->r;
    if (!lin_is_blind(r, item->mode == LIN_REQUIRED)) {
        return false;
    }
    if (s->key_words == 0 || r->command == LIN_FLUSHALL) {
        return true;
    }
    bool all = hidden->command != LIN_FLUSHALL;
    for (uint32_t i = 0; i < hidden->key_count && all; i++) {
        all = false;
        for (uint32_t j = 0; j < r->key_count && !all; j++) {
            all = r->words[j] == hidden->words[i];
        }
    }
    return all;
}

/* ---- configurations ---- */

/* The bits of quiet items under way at the event. */
static void mark_quiet(struct search *s)
{
    const struct lin_event *e = &s->t.events[s->event];
    memset(s->quiet, 0, s->t.required_words * sizeof *s->quiet);
    for (uint32_t i = 0; i < e->open_count; i++) {
        uint32_t item = s->t.open[e->open_at + i];
        if (s->part->items[item].quiet) {
            lin_bit_set(s->quiet, s->t.bit[item]);
        }
    }
}

static uint64_t hash_configuration(const struct search *s)
{
    uint64_t h = lin_mix((uint64_t)s->event << 32 | s->state) + lin_mix(s->pending);
    for (size_t i = 0; i < s->t.required_words; i++) {
        h = lin_mix(h + (s->set[i] & ~s->quiet[i]));
    }
    return h;
}

/* Whether `c` is the present configuration but for optional items, of which it used no more, and
 * quiet ones, of which it has no more to come. */
static bool covers(const struct search *s, const struct seen *c)
{
    if (c->event != s->event || c->state != s->state || c->pending != s->pending) {
        return false;
    }
    for (size_t i = 0; i < s->t.required_words; i++) {
        if (((c->set[i] ^ s->set[i]) & ~s->quiet[i]) != 0 || (s->set[i] & ~c->set[i]) != 0) {
            return false;
        }
    }
    for (size_t i = s->t.required_words; i < s->t.words; i++) {
        if ((c->set[i] & ~s->set[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* Notes the present configuration. False when it need not be looked at, or the arena is full. */
static bool is_new(struct search *s)
{
    mark_quiet(s);
    uint64_t hash = hash_configuration(s);
    size_t at = SIZE_MAX;
    uint32_t ref;
    while ((ref = lin_table_next(&s->seen, hash, &at)) != 0) {
        if (covers(s, lin_at(s->arena, ref))) {
            return false;
        }
    }
    struct seen *c = lin_arena_take(s->arena, sizeof *c + s->t.words * sizeof c->set[0]);
    if (c == NULL) {
        return false;
    }
    c->event = s->event;
    c->state = s->state;
    c->pending = s->pending;
    memcpy(c->set, s->set, s->t.words * sizeof c->set[0]);
    return lin_table_add(&s->seen, s->arena, hash, lin_ref(s->arena, c));
}

static bool push(struct search *s)
{
    struct frame *f = s->top == NULL ? s->first : s->top->next;
    if (f == NULL) {
        f = lin_arena_take(s->arena, sizeof *f + (s->t.words + s->key_words) * sizeof f->set[0]);
        if (f == NULL) {
            return false;
        }
        f->prev = s->top;
        *(s->top == NULL ? &s->first : &s->top->next) = f;
    }
    f->event = s->event;
    f->state = s->state;
    f->pending = s->pending;
    f->cursor = 0;
    memcpy(f->set, s->set, s->t.words * sizeof f->set[0]);
    if (s->key_words > 0) {
        find_keys(s, f);
    }
    s->top = f;
    return true;
}

/* ---- moves ---- */

/* Whether the item fits the state as the answer that it gave. */
static bool fits(struct search *s, uint32_t item, uint32_t state, uint32_t *next)
{
    const struct lin_item *i = &s->part->items[item];
    s->budget->steps++;
    return lin_step(s->m, i->r, i->mode == LIN_REQUIRED, state, next);
}

/* Lets every quiet item under way at the event take effect that fits the present state. */
static bool absorb(struct search *s, const struct lin_event *e)
{
    bool any = false;
    uint32_t same;
    for (uint32_t i = 0; i < e->open_count; i++) {
        uint32_t item = s->t.open[e->open_at + i];
        if (s->part->items[item].quiet && !lin_bit(s->set, s->t.bit[item]) &&
            fits(s, item, s->state, &same)) {
            lin_bit_set(s->set, s->t.bit[item]);
            any = true;
        }
    }
    return any;
}

/* Goes on to the next end of an item that has not taken effect. False at the end of all. */
static bool advance(struct search *s)
{
    uint32_t same;
    for (; s->event < s->t.event_count; s->event++) {
        const struct lin_event *e = &s->t.events[s->event];
        uint32_t bit = s->t.bit[e->item];
        if (!e->is_end) {
            if (s->part->items[e->item].quiet && fits(s, e->item, s->state, &same)) {
                lin_bit_set(s->set, bit);
            }
            continue;
        }
        if (!lin_bit(s->set, bit)) {
            return true;
        }
        lin_bit_clear(s->set, bit);
        s->pending = LIN_NOBODY;
    }
    return false;
}

/* The choices at a frame: the target, then what is under way, then what is optional. */
static uint32_t choice(const struct search *s, const struct lin_event *e, size_t n)
{
    if (n == 0) {
        return e->item;
    }
    if (n <= e->open_count) {
        uint32_t item = s->t.open[e->open_at + n - 1];
        return item == e->item ? LIN_NOBODY : item;
    }
    return s->t.optional[n - 1 - e->open_count];
}

static bool may_follow(const struct search *s, const struct frame *f, uint32_t item)
{
    const struct lin_item *i = &s->part->items[item];
    if (i->quiet || lin_bit(f->set, s->t.bit[item])) {
        return false;
    }
    if (i->mode == LIN_OPTIONAL && s->t.twin[item] != LIN_NOBODY &&
        !lin_bit(f->set, s->t.bit[s->t.twin[item]])) {
        return false;
    }
    if (s->key_words > 0 && !touches(s, i->r, f->set + s->t.words)) {
        return false;
    }
    return f->pending == LIN_NOBODY || !hides(s, i, s->part->items[f->pending].r);
}

/* Makes the next move from the top frame. False when none is left. */
static bool move(struct search *s)
{
    struct frame *f = s->top;
    const struct lin_event *e = &s->t.events[f->event];
    size_t choices = 1 + (size_t)e->open_count + e->optional_count;
    for (; f->cursor < 2 * choices && s->budget->steps <= s->budget->steps_max; f->cursor++) {
        bool likely = f->cursor < choices;
        uint32_t item = choice(s, e, f->cursor % choices);
        uint32_t state;
        uint32_t after;
        if (item == LIN_NOBODY || !may_follow(s, f, item) || !fits(s, item, f->state, &state) ||
            lin_breaks_hold(&s->holds, item, f->event, f->state, state, f->set) ||
            (item == e->item || fits(s, e->item, state, &after)) != likely) {
            continue;
        }
        f->cursor++;
        memcpy(s->set, f->set, s->t.words * sizeof s->set[0]);
        lin_bit_set(s->set, s->t.bit[item]);
        s->event = f->event;
        s->state = state;
        bool optional = s->part->items[item].mode == LIN_OPTIONAL;
        s->pending = !absorb(s, e) && optional ? item : LIN_NOBODY;
        return true;
    }
    return false;
}

static enum lin_verdict run(struct search *s)
{
    bool forward = true;
    while (!s->arena->full && s->budget->steps <= s->budget->steps_max) {
        if (forward && !advance(s)) {
            return s->arena->full ? LIN_GAVE_UP : LIN_LINEARIZABLE;
        }
        if (!(forward && is_new(s) && push(s)) && s->top == NULL) {
            return s->arena->full ? LIN_GAVE_UP : LIN_NOT_LINEARIZABLE;
        }
        forward = move(s);
        if (!forward) {
            s->top = s->top->prev;
        }
    }
    return LIN_GAVE_UP;
}

enum lin_verdict lin_search(struct lin_model *m, const struct lin_part *p, struct lin_budget *b)
{
    struct lin_arena *arena = m->values->arena;
    struct search s = {.m = m, .arena = arena, .part = p, .budget = b, .pending = LIN_NOBODY};
    size_t mark = arena->used;
    enum lin_verdict verdict = LIN_GAVE_UP;
    s.key_words = p->keys > 1 ? (p->keys + 63) / 64 : 0;
    m->values->searching = true;
    if (lin_timeline(arena, p, &s.t) && lin_holds(arena, &s.t, m, &s.holds)) {
        s.set = lin_arena_array(arena, s.t.words, sizeof *s.set);
        s.quiet = lin_arena_array(arena, s.t.words, sizeof *s.quiet);
        verdict = s.set == NULL || s.quiet == NULL ? LIN_GAVE_UP : run(&s);
    }
    m->values->searching = false;
    m->values->passing = (struct lin_table){0};
    m->nodes = (struct lin_table){0};
    lin_arena_return(arena, mark);
    return verdict;
}
