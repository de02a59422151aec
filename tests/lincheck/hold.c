#include "tests/lincheck/hold.h"

static struct lin_hold *find(const struct lin_holds *h, uint32_t key, uint32_t value)
{
    uint64_t hash = lin_mix((uint64_t)key << 32 | value);
    size_t at = SIZE_MAX;
    uint32_t ref;
    while ((ref = lin_table_next(&h->table, hash, &at)) != 0) {
        struct lin_hold *hold = lin_at(h->arena, ref);
        if (hold->key == key && hold->value == value) {
            return hold;
        }
    }
    return NULL;
}

static struct lin_hold *find_or_make(struct lin_holds *h, uint32_t key, uint32_t value)
{
    struct lin_hold *hold = find(h, key, value);
    if (hold != NULL) {
        return hold;
    }
    hold = lin_arena_take(h->arena, sizeof *hold);
    if (hold == NULL) {
        return NULL;
    }
    /* Every key is absent at first: as if that had been written once. */
    *hold = (struct lin_hold){.key = key, .value = value, .writers = value == 0 ? 1 : 0};
    uint64_t hash = lin_mix((uint64_t)key << 32 | value);
    return lin_table_add(&h->table, h->arena, hash, lin_ref(h->arena, hold)) ? hold : NULL;
}

static bool note_write(struct lin_holds *h, uint32_t key, uint32_t value)
{
    struct lin_hold *hold = find_or_make(h, key, value);
    if (hold != NULL) {
        hold->writers++;
    }
    return hold != NULL;
}

/* What the operation may write. */
static bool note_writes(struct lin_holds *h, const struct lin_record *r)
{
    bool room = true;
    for (uint32_t i = 0; i < r->key_count && room; i++) {
        uint32_t key = lin_local(h->m, r->words[i]);
        if (r->command == LIN_SET || r->command == LIN_MSET) {
            room = note_write(h, key, lin_record_values(r)[i]);
        } else if (r->command == LIN_DEL) {
            room = note_write(h, key, 0);
        } else if (r->command == LIN_INCRBY || r->command == LIN_APPEND) {
            lin_bit_set(h->grown, key);
        }
    }
    return room;
}

/* What the operation, which begins at the event, read. */
static bool note_reads(struct lin_holds *h, const struct lin_record *r, uint32_t event)
{
    bool one = r->command == LIN_GET;
    for (uint32_t i = 0; i < r->key_count && (one || r->command == LIN_MGET); i++) {
        uint32_t value = one ? r->result : lin_record_array(r)[i];
        struct lin_hold *hold = find_or_make(h, lin_local(h->m, r->words[i]), value);
        if (hold == NULL) {
            return false;
        }
        hold->last_begin = event > hold->last_begin ? event : hold->last_begin;
    }
    return true;
}

bool lin_holds(struct lin_arena *a, const struct lin_timeline *t, const struct lin_model *m,
               struct lin_holds *h)
{
    const struct lin_part *p = t->part;
    *h = (struct lin_holds){.arena = a, .t = t, .m = m};
    h->grown = lin_arena_array(a, p->keys / 64 + 1, sizeof *h->grown);
    bool room = h->grown != NULL;
    for (size_t i = 0; i < p->count && room; i++) {
        const struct lin_item *item = &p->items[i];
        if (item->mode == LIN_ABSENT || item->quiet) {
            continue;
        }
        if (item->r->command == LIN_FLUSHALL) {
            for (size_t k = 0; k < p->keys; k++) {
                lin_bit_set(h->grown, (uint32_t)k); /* absence comes again */
            }
        }
        room = note_writes(h, item->r);
    }
    for (size_t e = 0; e < t->event_count && room; e++) {
        if (!t->events[e].is_end) {
            room = note_reads(h, p->items[t->events[e].item].r, (uint32_t)e);
        }
    }
    return room;
}

/* The event until which this value may not be replaced; 0 = any time. */
static uint32_t held_until(const struct lin_holds *h, uint32_t key, uint32_t value)
{
    if (lin_bit(h->grown, key)) {
        return 0;
    }
    const struct lin_hold *hold = find(h, key, value);
    return hold != NULL && hold->writers <= 1 ? hold->last_begin : 0;
}

/* Whether the operation certainly leaves another value in the key. */
static bool replaces(const struct lin_holds *h, const struct lin_record *r, uint32_t key,
                     uint32_t value)
{
    bool writes = r->command == LIN_SET || r->command == LIN_MSET;
    uint32_t last = value;
    for (uint32_t i = 0; i < r->key_count && writes; i++) {
        last = lin_local(h->m, r->words[i]) == key ? lin_record_values(r)[i] : last;
    }
    return last != value;
}

bool lin_breaks_hold(const struct lin_holds *h, uint32_t item, uint32_t event, uint32_t state,
                     uint32_t next, const uint64_t *set)
{
    const struct lin_timeline *t = h->t;
    const struct lin_record *r = t->part->items[item].r;
    const struct lin_event *e = &t->events[event];
    for (uint32_t i = 0; i < r->key_count; i++) {
        uint32_t key = lin_local(h->m, r->words[i]);
        uint32_t old = lin_read_key(h->m, state, r->words[i]);
        uint32_t value = lin_read_key(h->m, next, r->words[i]);
        if (old == value) {
            continue;
        }
        if (held_until(h, key, old) > event) {
            return true;
        }
        uint32_t until = held_until(h, key, value);
        for (uint32_t o = 0; o < e->open_count && until > event; o++) {
            uint32_t other = t->open[e->open_at + o];
            if (other != item && t->end_event[other] < until && !t->part->items[other].quiet &&
                !lin_bit(set, t->bit[other]) && replaces(h, t->part->items[other].r, key, value)) {
                return true;
            }
        }
    }
    return false;
}
