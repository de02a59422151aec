/* cluster-cfgd's voter: the real core and the real registration of its start. Its disk:
 * sim_voter_disk.c. */
#include <string.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

#define DAMAGED_TRIES 40

static struct sim_cfgd *cfgd_of(struct sim *s, int node)
{
    return &s->node[node].cfgd;
}

/* The record's bytes, as they lie on a disk. */
static size_t encode(const struct voter_record *r, uint8_t bytes[VOTER_RECORD_MAX])
{
    struct ts_writer w = ts_writer_init(bytes, VOTER_RECORD_MAX);
    voter_record_encode(r, &w);
    ts_assert(!w.failed);
    return w.len;
}

/* ---- the core's effects ---------------------------------------------------------------------- */

static void voter_event(struct sim *s, int node, struct voter_event *ev)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    ev->now = sim_local(s, node);
    voter_step(c->core, ev, &s->voter_effects);
    for (size_t i = 0; i < s->voter_effects.count; i++) {
        const struct voter_effect *e = &s->voter_effects.e[i];
        if (e->kind == VOTER_TRACE) {
            sim_story_trace(s, node, SIM_CFGD, &e->trace);
        } else if (sim_proc_crashed(s, node, SIM_CFGD)) {
            return; /* the process is taken apart when this event is over */
        } else if (e->kind == VOTER_PERSIST) {
            sim_voter_disk_write(s, node, e->persist.n, &e->persist.record);
        } else {
            sim_net_from_voter(s, node, e->reply.handle, &e->reply.msg);
        }
    }
    if (s->options.invariants) {
        voter_check_invariants(c->core);
    }
}

static void start_event(struct sim *s, int node, struct start_event *ev)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    struct start_effects fx;
    if (!c->registering) {
        return;
    }
    ev->now = sim_local(s, node);
    start_step(&c->start, ev, &fx);
    for (size_t i = 0; i < fx.count; i++) {
        const struct start_effect *e = &fx.e[i];
        if (e->kind == START_EFFECT_SEND) {
            sim_net_to_voter(s, node, SIM_CFGD, e->voter + 1, &e->msg);
        } else if (e->kind == START_EFFECT_REGISTERED) {
            sim_check_registered(s, node, SIM_CFGD);
            sim_voter_disk_write(s, node, 0, &(struct voter_record){.kind = VOTER_RECORD_START});
        } else if (e->kind == START_EFFECT_CLONE) {
            sim_note(s, node, "the voter's disk is a clone or an old image: it does not vote");
            sim_voter_disk_refuse(s, node);
            voter_event(s, node, &(struct voter_event){.kind = VOTER_PERSIST_FAILED});
        } else {
            sim_story_trace(s, node, SIM_CFGD, &e->trace);
        }
    }
    sim_proc_tick_at(s, node, SIM_CFGD, start_deadline(&c->start));
}

static void link_told(struct sim *s, int node, int voter, bool up)
{
    struct start_event ev = {.kind = up ? START_EVENT_VOTER_UP : START_EVENT_VOTER_DOWN,
                             .voter = (uint8_t)(voter - 1)};
    if (voter != node) {
        start_event(s, node, &ev);
    }
}

/* A link follows what it is made of, after a while: dialling, or a silence. */
void sim_voter_links(struct sim *s, int node, enum sim_proc proc,
                     void (*told)(struct sim *s, int node, int voter, bool up))
{
    struct sim_process *me = &s->node[node].proc[proc];
    uint64_t life = me->life;
    for (int v = 1; v <= s->nodes && me->life == life; v++) {
        const struct sim_process *there = &s->node[v].proc[SIM_CFGD];
        bool open = v == node || sim_net_any_path_open(s, node, v);
        bool listens = s->node[v].powered && there->life != 0 && there->ready;
        uint64_t now = open && listens ? there->life : 0;
        if (me->voter_life[v] == now || !sim_chance_pm(s, 600)) {
            continue;
        }
        bool was = me->voter_life[v] != 0;
        me->voter_life[v] = 0;
        if (was) {
            told(s, node, v, false);
        }
        if (me->life == life && now != 0 && there->paused_until <= s->now) {
            me->voter_life[v] = now;
            told(s, node, v, true);
        }
    }
}

/* ---- the process ------------------------------------------------------------------------------
 */

/* A record that does not decode: nothing of the disk is taken. */
static enum ts_err read_damaged(struct sim *s, const struct voter_record *r)
{
    enum ts_err err = TS_OK;
    for (int i = 0; i < DAMAGED_TRIES; i++) {
        uint8_t bytes[VOTER_RECORD_MAX + 8];
        struct voter_record read;
        size_t len = encode(r, bytes);
        len = sim_stray_damage(s, bytes, len, sizeof(bytes));
        enum ts_err one = voter_record_decode(&read, (struct ts_bytes){bytes, len});
        err = one != TS_OK ? one : err;
    }
    return err;
}

/* The same with all starts together. */
static enum ts_err read_damaged_starts(struct sim *s, const struct reg_start *start)
{
    enum ts_err err = TS_OK;
    for (int i = 0; i < DAMAGED_TRIES; i++) {
        struct reg_start starts[2] = {*start, *start};
        uint8_t bytes[VOTER_RECORD_MAX];
        size_t count;
        struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
        voter_starts_encode(starts, (size_t)(i % 3), &w);
        ts_assert(!w.failed);
        size_t len = sim_stray_damage(s, bytes, w.len, sizeof(bytes));
        enum ts_err one = voter_starts_decode(starts, 2, &count, (struct ts_bytes){bytes, len});
        err = one != TS_OK ? one : err;
    }
    return err;
}

/* Records that are damaged, there twice, or more than there can be. */
static enum ts_err restore_damaged(struct sim *s, struct voter *v, const struct sim_voter_disk *d)
{
    struct voter_record reg = {.kind = VOTER_RECORD_REGISTER, .reg = d->durable.reg};
    struct voter_record start = {.kind = VOTER_RECORD_START};
    start.start = (struct reg_start){.owner = {.kind = REG_OWNER_VOTER, .node = {1}},
                                     .incarnation = {1},
                                     .start = 1,
                                     .instance = {1}};
    enum ts_err err = voter_list_register(v, SIM_GROUP);
    for (unsigned i = 0; i <= SIM_STARTS_MAX && err == TS_OK; i++) {
        switch (d->damaged - 1) {
        case 0:
            return read_damaged(s, &reg);
        case 1:
            return sim_chance_pm(s, 300) ? read_damaged(s, &start)
                                         : read_damaged_starts(s, &start.start);
        case 2:
            err = voter_restore(v, &reg);
            break;
        case 3:
            err = voter_restore(v, &reg);
            reg.reg.reg++;
            break;
        case 4:
            err = voter_restore(v, &start);
            break;
        default:
            err = voter_restore(v, &start);
            start.start.incarnation.v++;
            break;
        }
    }
    return err;
}

static void refuse_damaged(struct sim *s, int node, const struct voter_limits *limits)
{
    struct voter *v = voter_new(limits);
    ts_assert(v != NULL);
    enum ts_err err = restore_damaged(s, v, &cfgd_of(s, node)->disk);
    voter_free(v);
    sim_note(s, node, "the voter's disk is damaged: it does not vote");
    if (err == TS_OK) {
        sim_fail(s, SIM_CHECK_MEMBERS, "a voter's damaged disk was taken");
    }
}

/* Opens the disk and fills the core; what cannot be opened leaves a process without a voter. */
static bool open_disk(struct sim *s, int node)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    struct sim_voter_disk *d = &c->disk;
    struct voter_limits limits = {.self = {(uint16_t)node},
                                  .registers_max = 2,
                                  .starts_max = SIM_STARTS_MAX,
                                  .held_max = s->plan.voter_held};
    if (d->damaged != 0) {
        refuse_damaged(s, node, &limits);
        return false;
    }
    if (!sim_voter_disk_open(s, node)) {
        return false;
    }
    c->core = voter_new(&limits);
    ts_assert(c->core != NULL);
    struct voter_record record = {.kind = VOTER_RECORD_REGISTER, .reg = d->durable.reg};
    enum ts_err err = voter_restore(c->core, &record);
    ts_assert(err == TS_OK);
    for (uint32_t reg = SIM_GROUP; reg <= SIM_GROUP_EMPTY; reg++) {
        err = voter_find(c->core, reg) == NULL ? voter_list_register(c->core, reg) : TS_OK;
        ts_assert(err == TS_OK);
    }
    ts_assert(voter_empty_registers(c->core) == 1 && voter_find(c->core, SIM_GROUP_EMPTY) == NULL);
    for (size_t i = 0; i < d->durable.start_count; i++) {
        record = (struct voter_record){.kind = VOTER_RECORD_START, .start = d->durable.starts[i]};
        err = voter_restore(c->core, &record);
        ts_assert(err == TS_OK);
    }
    return true;
}

static void plan_watch(struct sim *s, int node)
{
    sim_push(s, &(struct sim_event){.kind = SIM_EV_WATCH,
                                    .at = s->now + s->cluster.timing.heartbeat_interval,
                                    .node = (uint8_t)node,
                                    .proc = SIM_CFGD,
                                    .life = s->node[node].proc[SIM_CFGD].life});
}

void sim_voter_start(struct sim *s, int node)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    struct sim_process *p = &s->node[node].proc[SIM_CFGD];
    p->ready = true;
    if (!open_disk(s, node)) {
        return;
    }
    struct start_config cfg = {
        .start = {.owner = {.kind = REG_OWNER_VOTER, .node = {(uint16_t)node}},
                  .incarnation = c->disk.incarnation,
                  .start = c->disk.durable.start.number,
                  .instance = c->disk.durable.start.instance},
        .voters = (uint8_t)s->nodes,
        .self = (uint8_t)(node - 1),
        .retry_ns = s->cluster.timing.proposer_retry,
    };
    start_init(&c->start, &cfg);
    c->registering = true;
    c->persisted = 0;
    start_event(s, node, &(struct start_event){.kind = START_EVENT_BEGIN});
    plan_watch(s, node);
}

void sim_voter_end(struct sim *s, int node)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    voter_free(c->core);
    c->core = NULL;
    c->registering = false;
    sim_voter_disk_end(s, node);
}

void sim_voter_persisted(struct sim *s, int node, uint64_t n)
{
    struct voter_event ev = {.kind = n == 0 ? VOTER_READY : VOTER_PERSISTED, .n = n};
    voter_event(s, node, &ev);
}

void sim_voter_persist_failed(struct sim *s, int node)
{
    voter_event(s, node, &(struct voter_event){.kind = VOTER_PERSIST_FAILED});
}

static void on_message(struct sim *s, struct sim_event *ev)
{
    struct sim_cfgd *c = cfgd_of(s, ev->node);
    struct reg_msg msg;
    if (reg_msg_decode(&msg, ev->type, (struct ts_bytes){ev->bytes, ev->len}) != TS_OK) {
        if (ev->b != SIM_STRAY && !s->options.checkers_only) {
            sim_fail(s, SIM_CHECK_ALARM, "a register message does not decode");
        }
        return; /* as the daemons: the link is closed, and asks again */
    }
    if (ev->kind == SIM_EV_FROM_VOTER) {
        struct start_event e = {
            .kind = START_EVENT_MESSAGE, .voter = (uint8_t)(ev->peer - 1), .msg = &msg};
        start_event(s, ev->node, &e);
    } else if (c->core != NULL) {
        struct voter_event e = {
            .kind = VOTER_MESSAGE, .from = {ev->peer}, .handle = ev->a, .msg = &msg};
        voter_event(s, ev->node, &e);
    }
}

void sim_voter_event(struct sim *s, struct sim_event *ev)
{
    struct sim_process *p = &s->node[ev->node].proc[SIM_CFGD];
    const struct sim_cfgd *c = cfgd_of(s, ev->node);
    switch ((int)ev->kind) {
    case SIM_EV_STARTED:
        sim_voter_start(s, ev->node);
        break;
    case SIM_EV_WORK:
        sim_voter_disk_event(s, ev);
        break;
    case SIM_EV_TO_VOTER:
    case SIM_EV_FROM_VOTER:
        on_message(s, ev);
        break;
    case SIM_EV_WATCH:
        sim_voter_links(s, ev->node, SIM_CFGD, link_told);
        plan_watch(s, ev->node);
        break;
    case SIM_EV_TICK:
        if (p->tick_at == ev->a) {
            p->tick_at = 0;
            if (start_deadline(&c->start).ns <= sim_local(s, ev->node).ns) {
                start_event(s, ev->node, &(struct start_event){.kind = START_EVENT_TICK});
            } else {
                sim_proc_tick_at(s, ev->node, SIM_CFGD, start_deadline(&c->start));
            }
        }
        break;
    default:
        ts_unreachable();
    }
    (void)sim_proc_settle(s, ev->node, SIM_CFGD);
}
