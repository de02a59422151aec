#include "services/agent/core.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "services/agent/core_state.h"

/* ---- connections ---- */

static void down(struct agent_core *c, uint32_t slot)
{
    struct agent_slot *s = &c->slot[slot];
    s->state = AGENT_SLOT_DOWN;
    s->serves = s->spoke = false;
    s->at = ts_mono_add(c->now, s->backoff + ts_prng_below(&c->jitter, s->backoff / 4 + 1));
    s->backoff = 2 * s->backoff < AGENT_DIAL_MAX_NS ? 2 * s->backoff : AGENT_DIAL_MAX_NS;
    if (c->follow == slot) {
        c->follow = AGENT_NO_SLOT;
        c->answered = false;
        agent_drop_order(c);
    }
    if (c->count_due && c->count_slot == slot) {
        c->count_due = false;
    }
}

static void hang_up(struct agent_core *c, uint32_t slot, const char *why, struct agent_effects *out)
{
    struct agent_effect *e = agent_add(out, AGENT_HANG_UP);
    e->slot = slot;
    e->text = why;
    down(c, slot);
}

static void on_up(struct agent_core *c, uint32_t slot, struct agent_effects *out)
{
    struct agent_slot *s = &c->slot[slot];
    if (s->state != AGENT_SLOT_DIALLED) {
        return;
    }
    s->state = AGENT_SLOT_UP;
    s->at = c->now;
    s->pings = ts_mono_add(c->now, AGENT_PING_NS);
    agent_say_hello(c, slot, out);
}

static void dial(struct agent_core *c, uint32_t slot, struct agent_effects *out)
{
    c->slot[slot].state = AGENT_SLOT_DIALLED;
    c->slot[slot].at = c->now;
    agent_add(out, AGENT_DIAL)->slot = slot;
}

/* ---- whom to follow ---- */

static bool is_settled(const struct agent_core *c)
{
    bool all = true;
    for (uint32_t i = 0; i < c->slots; i++) {
        all = all && c->slot[i].spoke;
    }
    return !c->epoch_lost || all || c->now.ns >= c->settled.ns;
}

/* The slot of the highest epoch among those that serve; the one that is followed rather than
 * another of the same. */
static uint32_t best(const struct agent_core *c)
{
    uint32_t found = AGENT_NO_SLOT;
    for (uint32_t i = 0; i < c->slots; i++) {
        const struct agent_slot *s = &c->slot[i];
        if (!s->serves || ts_epoch_lt(s->epoch, c->seen)) {
            continue;
        }
        bool higher = found == AGENT_NO_SLOT || ts_epoch_lt(c->slot[found].epoch, s->epoch);
        bool same = !higher && ts_epoch_eq(c->slot[found].epoch, s->epoch);
        found = higher || (same && i == c->follow) ? i : found;
    }
    return found;
}

static void store_epoch(struct agent_core *c, struct agent_effects *out)
{
    if (!c->storing && ts_epoch_lt(c->stored, c->seen) && c->follow != AGENT_NO_SLOT &&
        c->now.ns >= c->store_epoch_at.ns) {
        c->storing = true;
        agent_add(out, AGENT_STORE_EPOCH)->epoch = c->seen;
    }
}

static void choose(struct agent_core *c, struct agent_effects *out)
{
    uint32_t slot = is_settled(c) ? best(c) : AGENT_NO_SLOT;
    bool rises = slot != AGENT_NO_SLOT && ts_epoch_lt(c->seen, c->slot[slot].epoch);
    if (slot != c->follow || rises) {
        c->follow = slot;
        c->answered = false;
        agent_drop_order(c);
        if (rises) {
            c->seen = c->slot[slot].epoch;
            c->confirmed = false;
        }
        if (slot != AGENT_NO_SLOT) {
            agent_tell(c, "follows the primary", slot, out);
        }
    }
    store_epoch(c, out);
}

static void on_role(struct agent_core *c, uint32_t slot, const struct south_msg *m,
                    struct agent_effects *out)
{
    struct agent_slot *s = &c->slot[slot];
    s->spoke = true;
    s->backoff = m->serves ? s->backoff : AGENT_DIAL_NS; /* else once a table of it is taken */
    s->serves = m->serves;
    s->epoch = m->epoch;
    if (m->serves && ts_epoch_lt(m->epoch, c->seen)) {
        c->refused++;
        agent_tell(c, "a former primary is not followed", slot, out);
    }
    for (uint32_t i = 0; i < c->slots && !m->serves; i++) {
        bool is_it = m->primary.len > 0 && strlen(c->slot[i].address) == m->primary.len &&
                     memcmp(c->slot[i].address, m->primary.data, m->primary.len) == 0;
        if (is_it && c->slot[i].state == AGENT_SLOT_DOWN) {
            c->slot[i].at = c->now;
        }
    }
}

/* ---- messages ---- */

static void on_order(struct agent_core *c, uint32_t slot, const struct south_msg *m,
                     struct agent_effects *out)
{
    if (!agent_is_in_office(c, slot, m->epoch)) {
        c->refused++;
        agent_tell(c, "a table of who is not the primary is refused", slot, out);
        hang_up(c, slot, "it is not the primary, and says a table", out);
        return;
    }
    const char *wrong = agent_take_order(c, m, out);
    if (wrong != NULL) {
        hang_up(c, slot, wrong, out);
    }
}

static void on_message(struct agent_core *c, uint32_t slot, struct ts_bytes body,
                       struct agent_effects *out)
{
    struct south_msg m;
    struct agent_slot *s = &c->slot[slot];
    if (s->state != AGENT_SLOT_UP) {
        return;
    }
    s->at = c->now;
    enum ts_err err = south_msg_decode(&m, body);
    if (err != TS_OK) {
        hang_up(c, slot, err == TS_ERR_VERSION ? "another version" : "malformed bytes", out);
    } else if (m.type == SOUTH_ROLE) {
        on_role(c, slot, &m, out);
    } else if (m.type == SOUTH_SYNC_BEGIN || m.type == SOUTH_SYNC_PART ||
               m.type == SOUTH_SYNC_END || m.type == SOUTH_DELTA) {
        on_order(c, slot, &m, out);
    } else if (m.type == SOUTH_ASK) {
        c->count_due = true;
        c->count_number = m.number;
        c->count_slot = slot;
    } else if (m.type == SOUTH_PING) {
        agent_say(c, slot, &(struct south_msg){SOUTH_PONG, .epoch = c->seen, .number = m.number},
                  out);
    } else if (m.type != SOUTH_PONG) {
        hang_up(c, slot, "an agent's message", out);
    }
}

/* ---- time ---- */

static void look_at_slot(struct agent_core *c, uint32_t slot, struct agent_effects *out)
{
    struct agent_slot *s = &c->slot[slot];
    if (s->state == AGENT_SLOT_DOWN && c->now.ns >= s->at.ns) {
        dial(c, slot, out);
    } else if (s->state == AGENT_SLOT_DIALLED &&
               ts_mono_since(s->at, c->now) >= AGENT_DIAL_TIMEOUT_NS) {
        hang_up(c, slot, "no connection in time", out);
    } else if (s->state == AGENT_SLOT_UP && ts_mono_since(s->at, c->now) >= AGENT_SILENCE_NS) {
        hang_up(c, slot, "silent for too long", out);
    } else if (s->state == AGENT_SLOT_UP && c->now.ns >= s->pings.ns) {
        s->pings = ts_mono_add(c->now, AGENT_PING_NS);
        agent_say(c, slot, &(struct south_msg){SOUTH_PING, .epoch = c->seen}, out);
    }
}

static struct ts_mono slot_deadline(const struct agent_slot *s)
{
    if (s->state == AGENT_SLOT_DOWN) {
        return s->at;
    }
    if (s->state == AGENT_SLOT_DIALLED) {
        return ts_mono_add(s->at, AGENT_DIAL_TIMEOUT_NS);
    }
    struct ts_mono silent = ts_mono_add(s->at, AGENT_SILENCE_NS);
    return ts_mono_lt(s->pings, silent) ? s->pings : silent;
}

struct ts_mono agent_core_deadline(const struct agent_core *c)
{
    struct ts_mono next = agent_work_deadline(c);
    for (uint32_t i = 0; i < c->slots; i++) {
        struct ts_mono at = slot_deadline(&c->slot[i]);
        next = ts_mono_lt(at, next) ? at : next;
    }
    if (c->epoch_lost && c->follow == AGENT_NO_SLOT && c->now.ns < c->settled.ns) {
        next = ts_mono_lt(c->settled, next) ? c->settled : next;
    }
    if (!c->storing && ts_epoch_lt(c->stored, c->seen) && c->follow != AGENT_NO_SLOT) {
        next = ts_mono_lt(c->store_epoch_at, next) ? c->store_epoch_at : next;
    }
    return next;
}

/* ---- the step ---- */

static void on_epoch_stored(struct agent_core *c, const struct agent_event *e,
                            struct agent_effects *out)
{
    c->storing = false;
    if (e->good) {
        c->stored = ts_epoch_lt(c->stored, e->epoch) ? e->epoch : c->stored;
        c->epoch_lost = false;
    } else {
        c->store_epoch_at = ts_mono_add(c->now, AGENT_RETRY_NS);
        agent_tell(c, "the epoch cannot be stored, so nobody is obeyed; trying again", c->follow,
                   out);
    }
    store_epoch(c, out);
}

static void on_counted(struct agent_core *c, const struct agent_event *e, struct agent_effects *out)
{
    ts_assert(c->work == AGENT_COUNTING);
    c->work = AGENT_IDLE;
    if (c->slot[c->count_slot].state == AGENT_SLOT_UP) {
        agent_say_counts(c, e, out);
    }
}

void agent_core_step(struct agent_core *c, const struct agent_event *e, struct agent_effects *out)
{
    c->now = e->now;
    ts_assert(e->slot < AGENT_SLOTS_MAX);
    switch (e->kind) {
    case AGENT_E_UP:
        on_up(c, e->slot, out);
        break;
    case AGENT_E_DOWN:
        if (c->slot[e->slot].state != AGENT_SLOT_DOWN) {
            down(c, e->slot);
            choose(c, out);
        }
        break;
    case AGENT_E_MESSAGE:
        on_message(c, e->slot, e->body, out);
        choose(c, out);
        break;
    case AGENT_E_TIME:
        for (uint32_t i = 0; i < c->slots; i++) {
            look_at_slot(c, i, out);
        }
        choose(c, out);
        break;
    case AGENT_E_EPOCH_STORED:
        on_epoch_stored(c, e, out);
        break;
    case AGENT_E_TABLE_STORED:
        agent_on_table_stored(c, e->good, out);
        break;
    case AGENT_E_DRIVEN:
        agent_on_driven(c, e, out);
        break;
    case AGENT_E_COUNTED:
        on_counted(c, e, out);
        break;
    case AGENT_E_INTERFACES:
        agent_take_inventory(c, e->inventory, out);
        c->due = true;
        c->drive_at = (struct ts_mono){0};
        break;
    case AGENT_E_LOST:
        c->due = true;
        c->drive_at = (struct ts_mono){0};
        break;
    }
    agent_next_work(c, out);
}

/* ---- making, asking ---- */

struct agent_core *agent_core_new(const struct agent_core_config *config,
                                  struct agent_stored *stored, struct ts_mono now)
{
    struct agent_core *c = calloc(1, sizeof(*c));
    ts_must(c);
    ts_assert(config->slots >= 1 && config->slots <= AGENT_SLOTS_MAX);
    (void)snprintf(c->node, sizeof(c->node), "%s", config->node);
    c->boot = config->boot;
    c->slots = config->slots;
    c->jitter = ts_prng_init(config->jitter);
    c->now = now;
    for (uint32_t i = 0; i < c->slots; i++) {
        struct agent_slot *s = &c->slot[i];
        (void)snprintf(s->address, sizeof(s->address), "%s", config->address[i]);
        s->backoff = AGENT_DIAL_NS;
        s->at = now;
    }
    c->seen = stored->epoch;
    c->epoch_lost = stored->epoch_lost;
    c->stored = stored->epoch_lost ? (struct ts_epoch){0} : stored->epoch;
    c->settled = ts_mono_add(now, AGENT_SETTLE_NS);
    c->follow = AGENT_NO_SLOT;
    c->has_table = stored->has_table;
    c->table = stored->table;
    c->table_epoch = stored->table_epoch;
    c->gen = stored->gen;
    stored->table = netctl_tree_make(0);
    c->unsure = true;
    c->due = true;
    return c;
}

void agent_core_free(struct agent_core *c)
{
    if (c == NULL) {
        return;
    }
    c->work = AGENT_IDLE;
    agent_drop_order(c);
    netctl_tree_free(&c->table);
    netctl_tree_free(&c->before);
    netctl_tree_free(&c->errors);
    netctl_tree_free(&c->told);
    free(c->change);
    free(c->inventory);
    free(c);
}

struct ts_epoch agent_core_fence(const struct agent_core *c)
{
    return c->seen;
}

struct agent_core_state agent_core_state(const struct agent_core *c)
{
    return (struct agent_core_state){
        .follows = c->follow != AGENT_NO_SLOT,
        .slot = c->follow,
        .epoch = c->seen,
        .stored = c->stored,
        .has_table = c->has_table,
        .gen = c->gen,
        .digest = c->table.digest,
        .items = c->table.count,
        .applied = c->confirmed && !c->pending && !c->unsure,
        .busy = c->work != AGENT_IDLE,
        .errors = c->errors.count,
        .refused = c->refused,
        .syncs = c->syncs,
        .deltas = c->deltas,
        .wanted_syncs = c->wanted_syncs,
    };
}

const struct netctl_tree *agent_core_errors(const struct agent_core *c)
{
    return &c->errors;
}

void agent_core_check_invariants(const struct agent_core *c)
{
    ts_assert(!ts_epoch_lt(c->seen, c->stored) && !ts_epoch_lt(c->seen, c->table_epoch));
    ts_assert(!c->answered || (c->follow != AGENT_NO_SLOT && ts_epoch_eq(c->stored, c->seen)));
    ts_assert(c->follow == AGENT_NO_SLOT || c->slot[c->follow].state == AGENT_SLOT_UP);
    ts_assert(c->order.kind == AGENT_ORDER_NONE || c->answered || c->work == AGENT_STORING);
    ts_assert(!c->order.built || c->order.ready);
    ts_assert(!c->pending || c->has_table);
}
