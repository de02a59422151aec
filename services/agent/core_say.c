#include <stdlib.h>

#include "base/memory.h"
#include "services/agent/core_state.h"

/* Of a message without a list. */
#define SHORT_MAX 512

struct ts_bytes agent_effect_bytes(const struct agent_effects *all, const struct agent_effect *e)
{
    return (struct ts_bytes){all->bytes + e->at, e->len};
}

void agent_effects_clear(struct agent_effects *e)
{
    e->count = 0;
    e->len = 0;
}

void agent_effects_free(struct agent_effects *e)
{
    free(e->effect);
    free(e->bytes);
    *e = (struct agent_effects){0};
}

struct agent_effect *agent_add(struct agent_effects *out, enum agent_effect_kind kind)
{
    if (out->count == out->room) {
        out->room = 2 * out->room + 16;
        out->effect = realloc(out->effect, out->room * sizeof(*out->effect));
        ts_must(out->effect);
    }
    struct agent_effect *e = &out->effect[out->count++];
    *e = (struct agent_effect){.kind = kind, .at = out->len};
    return e;
}

void agent_tell(struct agent_core *c, const char *text, uint32_t slot, struct agent_effects *out)
{
    struct agent_effect *e = agent_add(out, AGENT_TELL);
    e->text = text;
    e->slot = slot;
    e->epoch = c->seen;
    e->gen = c->gen;
}

void agent_say(struct agent_core *c, uint32_t slot, const struct south_msg *m,
               struct agent_effects *out)
{
    size_t room = SHORT_MAX + m->item.len + m->rule.len + m->port.len + m->inventory.vif.len +
                  m->inventory.uplink.len;
    if (out->cap - out->len < room) {
        out->cap = 2 * out->cap + room;
        out->bytes = realloc(out->bytes, out->cap);
        ts_must(out->bytes);
    }
    struct ts_writer w = ts_writer_init(out->bytes + out->len, room);
    ts_assert(c->slot[slot].state == AGENT_SLOT_UP);
    south_msg_encode(&w, m);
    ts_assert(!w.failed);
    struct agent_effect *e = agent_add(out, AGENT_SEND);
    e->slot = slot;
    e->len = w.len;
    out->len += w.len;
}

void agent_say_hello(struct agent_core *c, uint32_t slot, struct agent_effects *out)
{
    struct south_msg m = {
        .type = SOUTH_HELLO,
        .epoch = c->seen,
        .version = SOUTH_VERSION,
        .node = {(const uint8_t *)c->node, strlen(c->node)},
        .boot = c->boot,
        .epoch_lost = c->epoch_lost,
        .gen = c->gen,
        .digest = c->table.digest,
        .inventory = c->known,
    };
    agent_say(c, slot, &m, out);
}

/* ---- errors ---- */

struct ack {
    struct agent_core *core;
    struct agent_effects *out;
    struct south_msg m;
    struct ts_writer w;
    uint8_t room[SOUTH_PART_BYTES + SOUTH_ITEM_HEADER + SOUTH_KEY_MAX + SOUTH_ERROR_MAX];
};

static void say_part(struct ack *a, bool last)
{
    a->m.last = last;
    a->m.item = (struct ts_bytes){a->room, a->w.len};
    agent_say(a->core, a->core->follow, &a->m, a->out);
    a->m.items = 0;
    a->w = ts_writer_init(a->room, sizeof(a->room));
}

static void on_error_differs(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    struct ack *a = arg;
    (void)was;
    if (a->w.len >= SOUTH_PART_BYTES) {
        say_part(a, false);
    }
    south_item_put(&a->w, &(struct south_item){{(const uint8_t *)key, strlen(key)}, is});
    a->m.items++;
}

void agent_say_ack(struct agent_core *c, bool want_sync, struct agent_effects *out)
{
    struct ack *a = malloc(sizeof(*a));
    ts_must(a);
    a->core = c;
    a->out = out;
    a->w = ts_writer_init(a->room, sizeof(a->room));
    a->m = (struct south_msg){
        .type = SOUTH_ACK,
        .epoch = c->seen,
        .gen = c->gen,
        .digest = c->table.digest,
        .applied = !want_sync && c->confirmed && !c->pending && !c->unsure,
        .want_sync = want_sync,
        .more = c->more,
    };
    netctl_tree_diff(&c->told, &c->errors, on_error_differs, a);
    say_part(a, true);
    free(a);
    netctl_tree_free(&c->told);
    c->told = netctl_tree_copy(&c->errors);
}

/* ---- counters ---- */

void agent_say_counts(struct agent_core *c, const struct agent_event *e, struct agent_effects *out)
{
    uint8_t *room = malloc(2 * (size_t)SOUTH_PART_BYTES);
    size_t rule = 0;
    size_t port = 0;
    ts_must(room);
    for (bool last = false; !last;) {
        struct ts_writer r = ts_writer_init(room, SOUTH_PART_BYTES);
        struct ts_writer p = ts_writer_init(room + SOUTH_PART_BYTES, SOUTH_PART_BYTES);
        struct south_msg m = {SOUTH_STATS, .epoch = c->seen, .number = c->count_number};
        for (; rule < e->rules && r.len + SOUTH_RULE_COUNT_BYTES <= SOUTH_PART_BYTES; rule++) {
            south_rule_put(&r, &e->rule[rule]);
            m.rules++;
        }
        for (; port < e->ports && p.len + SOUTH_PORT_COUNT_BYTES <= SOUTH_PART_BYTES; port++) {
            south_port_put(&p, &e->port[port]);
            m.ports++;
        }
        last = rule == e->rules && port == e->ports;
        m.last = last;
        m.rule = (struct ts_bytes){r.data, r.len};
        m.port = (struct ts_bytes){p.data, p.len};
        agent_say(c, c->count_slot, &m, out);
    }
    free(room);
}

/* ---- interfaces ---- */

static bool is_same(struct ts_bytes a, struct ts_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static struct ts_bytes copy_to(uint8_t **at, struct ts_bytes from)
{
    struct ts_bytes to = {*at, from.len};
    if (from.len > 0) {
        memcpy(*at, from.data, from.len);
    }
    *at += from.len;
    return to;
}

void agent_take_inventory(struct agent_core *c, const struct south_inventory *i,
                          struct agent_effects *out)
{
    const struct south_inventory *k = &c->known;
    if (is_same(k->vtep, i->vtep) && is_same(k->vif, i->vif) && is_same(k->uplink, i->uplink)) {
        return;
    }
    uint8_t *memory = malloc(i->vtep.len + i->vif.len + i->uplink.len + 1);
    uint8_t *at = memory;
    ts_must(memory);
    struct south_inventory next = {.vifs = i->vifs, .uplinks = i->uplinks};
    next.vtep = copy_to(&at, i->vtep);
    next.vif = copy_to(&at, i->vif);
    next.uplink = copy_to(&at, i->uplink);
    free(c->inventory);
    c->inventory = memory;
    c->known = next;
    for (uint32_t s = 0; s < c->slots; s++) {
        if (c->slot[s].state == AGENT_SLOT_UP) {
            struct south_msg m = {SOUTH_INVENTORY, .epoch = c->seen, .inventory = c->known};
            agent_say(c, s, &m, out);
        }
    }
}
