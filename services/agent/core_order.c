#include <stdlib.h>

#include "base/memory.h"
#include "services/agent/core_state.h"

/* In what is gathered of a DELTA a value has one of these in front. */
#define MARK_PUT 'p'
#define MARK_GONE 'g'

bool agent_is_in_office(const struct agent_core *c, uint32_t slot, struct ts_epoch epoch)
{
    return slot == c->follow && ts_epoch_eq(epoch, c->seen) && ts_epoch_eq(c->stored, c->seen);
}

void agent_drop_order(struct agent_core *c)
{
    if (c->work != AGENT_STORING) {
        netctl_tree_free(&c->order.gathered);
        netctl_tree_free(&c->order.is);
        c->order = (struct agent_order){.kind = AGENT_ORDER_NONE};
    }
}

/* ---- what comes ---- */

static void want_sync(struct agent_core *c, const char *why, struct agent_effects *out)
{
    agent_drop_order(c);
    c->wanted_syncs++;
    agent_tell(c, why, c->follow, out);
    agent_say_ack(c, true, out);
}

static void gather(struct agent_core *c, const struct south_msg *m)
{
    struct ts_reader r = ts_reader_init(m->item.data, m->item.len);
    uint8_t *marked = malloc((size_t)SOUTH_VALUE_MAX + 1);
    ts_must(marked);
    for (uint32_t i = 0; i < m->items; i++) {
        struct south_item item = south_item_get(&r);
        char key[SOUTH_KEY_MAX + 1];
        memcpy(key, item.key.data, item.key.len);
        key[item.key.len] = '\0';
        struct ts_bytes value = item.value;
        if (m->type == SOUTH_DELTA) {
            marked[0] = value.data == NULL ? MARK_GONE : MARK_PUT;
            if (value.len > 0) {
                memcpy(marked + 1, value.data, value.len);
            }
            value = (struct ts_bytes){marked, value.len + 1};
        }
        netctl_tree_put(&c->order.gathered, key, value);
    }
    free(marked);
    c->order.part++;
}

static void begin(struct agent_core *c, enum agent_order_kind kind, const struct south_msg *m)
{
    agent_drop_order(c);
    c->order.kind = kind;
    c->order.epoch = m->epoch;
    c->order.gen = m->gen;
    c->order.digest = m->digest;
}

static void take_delta(struct agent_core *c, const struct south_msg *m, struct agent_effects *out)
{
    struct agent_order *o = &c->order;
    if (m->part == 0) {
        begin(c, AGENT_ORDER_DELTA, m);
    }
    bool is_next = o->kind == AGENT_ORDER_DELTA && m->part == o->part &&
                   ts_seq_eq(m->gen, o->gen) && ts_hash_eq(m->digest, o->digest);
    if (!is_next || !ts_seq_eq(m->base, c->gen)) {
        want_sync(c, "changes of another table than this node has", out);
        return;
    }
    gather(c, m);
    o->ready = m->last;
}

static void take_sync(struct agent_core *c, const struct south_msg *m, struct agent_effects *out)
{
    struct agent_order *o = &c->order;
    if (m->type == SOUTH_SYNC_BEGIN) {
        begin(c, AGENT_ORDER_SYNC, m);
        return;
    }
    if (o->kind != AGENT_ORDER_SYNC || !ts_seq_eq(m->gen, o->gen) || m->part != o->part) {
        want_sync(c, "a part of the table is missing", out);
    } else if (m->type == SOUTH_SYNC_PART) {
        gather(c, m);
    } else {
        o->digest = m->digest;
        o->ready = true;
    }
}

const char *agent_take_order(struct agent_core *c, const struct south_msg *m,
                             struct agent_effects *out)
{
    if (!c->answered || c->order.ready) {
        return "a table that it was not to say yet";
    }
    if (m->type == SOUTH_DELTA) {
        take_delta(c, m, out);
    } else {
        take_sync(c, m, out);
    }
    return c->order.gathered.bytes > AGENT_TABLE_MAX ? "a table that is too large" : NULL;
}

/* ---- the store ---- */

/* The table that is ordered. */
static void build(struct agent_core *c)
{
    struct agent_order *o = &c->order;
    struct netctl_item i = {NULL, {NULL, 0}};
    o->built = true;
    if (o->kind == AGENT_ORDER_SYNC) {
        o->is = o->gathered;
        o->gathered = netctl_tree_make(0);
        return;
    }
    o->is = netctl_tree_copy(&c->table);
    while (netctl_tree_next(&o->gathered, "", &i)) {
        if (i.value.data[0] == MARK_PUT) {
            netctl_tree_put(&o->is, i.key, (struct ts_bytes){i.value.data + 1, i.value.len - 1});
        } else {
            (void)netctl_tree_remove(&o->is, i.key);
        }
    }
    netctl_tree_free(&o->gathered);
}

static void store(struct agent_core *c, struct agent_effects *out)
{
    struct agent_order *o = &c->order;
    if (!o->built) {
        build(c);
        if (!ts_hash_eq(o->is.digest, o->digest)) {
            want_sync(c, "the table's digest is not the controller's", out);
            return;
        }
    }
    struct agent_effect *e = agent_add(out, AGENT_STORE_TABLE);
    e->was = &c->table;
    e->is = &o->is;
    e->epoch = o->epoch;
    e->gen = o->gen;
    c->work = AGENT_STORING;
}

void agent_on_table_stored(struct agent_core *c, bool good, struct agent_effects *out)
{
    struct agent_order *o = &c->order;
    ts_assert(c->work == AGENT_STORING);
    c->work = AGENT_IDLE;
    if (!good) {
        bool is_wanted = c->answered && agent_is_in_office(c, c->follow, o->epoch);
        agent_tell(c, "the table cannot be stored, so it is not obeyed; trying again", c->follow,
                   out);
        c->store_at = ts_mono_add(c->now, AGENT_RETRY_NS);
        if (!is_wanted) {
            agent_drop_order(c);
        }
        return;
    }
    c->syncs += o->kind == AGENT_ORDER_SYNC;
    c->deltas += o->kind == AGENT_ORDER_DELTA;
    if (c->pending) {
        c->unsure = true; /* the driver may have a part of the table before */
    }
    netctl_tree_free(&c->before);
    c->before = c->table;
    c->table = o->is;
    o->is = netctl_tree_make(0);
    c->table_epoch = o->epoch;
    c->gen = o->gen;
    c->has_table = true;
    c->pending = true;
    if (c->follow != AGENT_NO_SLOT) {
        c->slot[c->follow].backoff = AGENT_DIAL_NS;
    }
    c->drive_at = (struct ts_mono){0};
    c->confirmed = ts_epoch_eq(o->epoch, c->seen);
    agent_drop_order(c);
}

/* ---- the driver ---- */

static void on_differs(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    struct agent_core *c = arg;
    if (c->changes == c->change_room) {
        c->change_room = 2 * c->change_room + 16;
        c->change = realloc(c->change, c->change_room * sizeof(*c->change));
        ts_must(c->change);
    }
    c->change[c->changes++] = (struct agent_change){key, was, is};
}

/* An order that lost its office on the way: only a table of who serves now ends that. */
static bool is_refused(const struct agent_core *c)
{
    return c->pending && ts_epoch_lt(c->table_epoch, c->seen) && c->table_epoch.v != 0;
}

static void drive(struct agent_core *c, struct agent_effects *out)
{
    c->whole = c->unsure || !c->pending;
    c->changes = 0;
    struct agent_effect *e = agent_add(out, c->whole ? AGENT_RECONCILE : AGENT_APPLY);
    e->order = c->pending ? c->table_epoch : (struct ts_epoch){0};
    e->epoch = c->table_epoch;
    e->gen = c->gen;
    if (c->whole) {
        e->is = &c->table;
        e->delete_orphans = c->deletes = c->confirmed;
    } else {
        netctl_tree_diff(&c->before, &c->table, on_differs, c);
        e->change = c->change;
        e->changes = c->changes;
    }
    c->due = false;
    c->work = AGENT_DRIVING;
}

/* For people and for JSON: no control characters, not too long, not empty. */
static void put_error(struct agent_core *c, const char *key, struct ts_bytes why)
{
    uint8_t text[SOUTH_ERROR_MAX];
    size_t len = why.len < sizeof(text) ? why.len : sizeof(text);
    for (size_t i = 0; i < len; i++) {
        text[i] = why.data[i] < ' ' || why.data[i] == 0x7f ? '?' : why.data[i];
    }
    if (c->errors.count < AGENT_ERRORS_MAX || netctl_tree_get(&c->errors, key).data != NULL) {
        netctl_tree_put(&c->errors, key, (struct ts_bytes){text, len});
    } else {
        c->more = true;
    }
}

static void take_results(struct agent_core *c, const struct netctl_tree *results)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    if (c->whole) {
        netctl_tree_free(&c->errors);
        c->more = false;
    }
    while (netctl_tree_next(results, "", &i)) {
        if (i.value.len > 0) {
            put_error(c, i.key, i.value);
        } else {
            (void)netctl_tree_remove(&c->errors, i.key);
        }
    }
}

void agent_on_driven(struct agent_core *c, const struct agent_event *e, struct agent_effects *out)
{
    ts_assert(c->work == AGENT_DRIVING);
    c->work = AGENT_IDLE;
    netctl_tree_free(&c->before);
    if (e->err != TS_OK) {
        c->unsure = true;
        c->due = true;
        if (e->err != TS_ERR_REFUSED) {
            c->drive_backoff = c->drive_backoff == 0 ? AGENT_RETRY_NS : 2 * c->drive_backoff;
            if (c->drive_backoff > AGENT_RETRY_MAX_NS) {
                c->drive_backoff = AGENT_RETRY_MAX_NS;
            }
            c->drive_at = ts_mono_add(c->now, c->drive_backoff);
            agent_tell(c, "the table is not made true; trying again", c->follow, out);
        }
        return;
    }
    take_results(c, e->results);
    bool was_pending = c->pending;
    bool news = !ts_hash_eq(c->errors.digest, c->told.digest);
    c->unsure = c->whole && !c->deletes; /* what is too much is still there */
    c->pending = false;
    c->drive_backoff = 0;
    c->drive_at = (struct ts_mono){0};
    if (c->errors.count > 0 && !c->due) {
        c->due = true;
        c->drive_at = ts_mono_add(c->now, AGENT_AGAIN_NS);
    }
    if ((was_pending || news) && c->answered && agent_is_in_office(c, c->follow, c->seen)) {
        agent_say_ack(c, false, out);
    }
}

/* ---- what is next ---- */

static bool is_drive_due(const struct agent_core *c)
{
    /* A table that is built shares its memory with the one that would be driven. */
    return !c->order.built && c->has_table && (c->pending || c->due) && !is_refused(c);
}

void agent_next_work(struct agent_core *c, struct agent_effects *out)
{
    if (c->work != AGENT_IDLE) {
        return;
    }
    bool drives = is_drive_due(c) && c->now.ns >= c->drive_at.ns;
    bool obeys = c->follow != AGENT_NO_SLOT && agent_is_in_office(c, c->follow, c->seen);
    bool answers = obeys && !c->answered;
    bool stores = c->order.ready && c->now.ns >= c->store_at.ns;
    /* What was ordered comes first; what is only to be looked at again comes last. */
    if (drives && (c->pending || (!answers && !stores))) {
        drive(c, out);
    } else if (answers) {
        netctl_tree_free(&c->told);
        c->answered = true;
        agent_say_ack(c, false, out);
    } else if (stores) {
        store(c, out);
    } else if (c->count_due) {
        c->count_due = false;
        (void)agent_add(out, AGENT_COUNT);
        c->work = AGENT_COUNTING;
    }
}

struct ts_mono agent_work_deadline(const struct agent_core *c)
{
    struct ts_mono next = TS_MONO_NEVER;
    if (c->work == AGENT_IDLE && c->order.ready && ts_mono_lt(c->store_at, next)) {
        next = c->store_at;
    }
    if (c->work == AGENT_IDLE && is_drive_due(c) && ts_mono_lt(c->drive_at, next)) {
        next = c->drive_at;
    }
    return next;
}
