/* cluster-cfgd's voter: what both share (cluster-cfg/io/voter_perform.h) on the models of disk and
 * links. Its disk: sim_voter_disk.c. */
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/io/voter_store.h"
#include "tests/sim/sim.h"

static struct sim_cfgd *cfgd_of(struct sim *s, int node)
{
    return &s->node[node].cfgd;
}

/* ---- voter_perform_ops: each effect may be the one at which the process crashes ----------------
 */

static struct sim *sim_of(void *ctx)
{
    return ((struct sim_cfgd *)ctx)->sim;
}

static int node_of(void *ctx)
{
    return ((struct sim_cfgd *)ctx)->node;
}

static bool crashed(void *ctx)
{
    return sim_proc_crashed(sim_of(ctx), node_of(ctx), SIM_CFGD);
}

static enum ts_err on_write(void *ctx, const struct voter_record *record, uint32_t id,
                            struct ts_bytes bytes)
{
    return crashed(ctx) ? TS_OK
                        : sim_voter_disk_write(sim_of(ctx), node_of(ctx), record, id, bytes);
}

static enum ts_err on_confirm_start(void *ctx)
{
    return crashed(ctx) ? TS_OK : sim_voter_disk_confirm(sim_of(ctx), node_of(ctx));
}

static void on_reply(void *ctx, uint64_t handle, const struct reg_msg *msg)
{
    if (!crashed(ctx)) {
        if (sim_of(ctx)->options.trace) {
            sim_story_refused(sim_of(ctx), node_of(ctx), msg);
        }
        sim_said_reply(sim_of(ctx), node_of(ctx), msg);
        sim_net_from_voter(sim_of(ctx), node_of(ctx), handle, msg);
    }
}

static void on_send(void *ctx, uint8_t voter, const struct reg_msg *msg)
{
    if (!crashed(ctx)) {
        sim_net_to_voter(sim_of(ctx), node_of(ctx), SIM_CFGD, voter + 1, msg);
    }
}

static void on_refused(void *ctx, uint8_t by, uint64_t registered)
{
    (void)by;
    sim_note(sim_of(ctx), node_of(ctx),
             "the voter's disk is a clone or an old image (start %llu is registered): it does not "
             "vote",
             (unsigned long long)registered);
    sim_voter_disk_refuse(sim_of(ctx), node_of(ctx));
}

static void on_ready(void *ctx)
{
    sim_note(sim_of(ctx), node_of(ctx), "its start is registered: the voter votes");
}

static void on_failed(void *ctx, const char *text)
{
    sim_note(sim_of(ctx), node_of(ctx), "the voter does not vote: %s", text);
}

static void on_trace(void *ctx, const struct ts_trace *t)
{
    sim_story_trace(sim_of(ctx), node_of(ctx), SIM_CFGD, t);
}

static const struct voter_perform_ops OPS = {
    .write = on_write,
    .confirm_start = on_confirm_start,
    .reply = on_reply,
    .send = on_send,
    .refused = on_refused,
    .ready = on_ready,
    .failed = on_failed,
    .trace = on_trace,
};

/* ---- links ------------------------------------------------------------------------------------
 */

static void link_told(struct sim *s, int node, int voter, bool up)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    if (c->core != NULL) {
        voter_perform_voter(&c->p, (uint8_t)(voter - 1), up, cfgd_of(s, voter)->disk.incarnation,
                            sim_local(s, node));
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

/* A badly damaged disk that the store could open: what it holds is refused. */
static void refuse_damaged(struct sim *s, int node, enum ts_err err)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    if (err == TS_OK) {
        sim_fail(s, SIM_CHECK_MEMBERS, "the badly damaged disk of the voter of %s was taken",
                 sim_node_name(s, node));
    }
    sim_note(s, node, "the voter does not vote: its disk is damaged: %s", ts_err_text(err));
    voter_free(c->core);
    c->core = NULL;
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
    if (!sim_voter_disk_open(s, node)) {
        return false;
    }
    c->core = voter_new(&limits);
    ts_assert(c->core != NULL);
    voter_perform_open(&c->p, c->core, &OPS, c);
    enum ts_err err = voter_perform_restore_starts(&c->p, voter_store_starts(d->store));
    for (size_t i = 0; i < voter_store_register_count(d->store) && err == TS_OK; i++) {
        struct voter_store_record stored = voter_store_register(d->store, i);
        err = voter_perform_restore(&c->p, stored.id, stored.bytes);
    }
    for (uint32_t reg = SIM_GROUP; reg <= SIM_GROUP_EMPTY && err == TS_OK; reg++) {
        err = voter_perform_list(&c->p, reg);
    }
    voter_perform_set_disk(&c->p, voter_store_incarnation(d->store), voter_store_places(d->store));
    if (d->damaged) {
        refuse_damaged(s, node, err);
        return false;
    }
    ts_assert(err == TS_OK);
    ts_assert(voter_empty_registers(c->core) == (d->durable.reg.value.len > 0 ? 1 : 2) &&
              voter_find(c->core, SIM_GROUP_EMPTY) == NULL);
    return true;
}

static void plan_watch(struct sim *s, int node)
{
    sim_push(s, &(struct sim_event){.kind = SIM_EV_WATCH,
                                    .at = s->now + s->cluster.timing.link_ping_interval,
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
    c->registered = false;
    c->refused = false;
    c->disk.refused_write = false;
    voter_perform_begin(&c->p, &cfg, sim_local(s, node));
    plan_watch(s, node);
}

void sim_voter_end(struct sim *s, int node)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    voter_free(c->core);
    c->core = NULL;
    sim_voter_disk_end(s, node);
}

static void on_message(struct sim *s, const struct sim_event *ev)
{
    struct sim_cfgd *c = cfgd_of(s, ev->node);
    struct ts_bytes payload = {ev->bytes, ev->len};
    struct ts_mono now = sim_local(s, ev->node);
    if (c->core == NULL) {
        return;
    }
    if (ev->kind == SIM_EV_FROM_VOTER && ev->b != SIM_STRAY) {
        sim_said_heard(s, ev->node, ev->type, payload);
    }
    enum ts_err err =
        ev->kind == SIM_EV_FROM_VOTER
            ? voter_perform_frame(&c->p, (uint8_t)(ev->peer - 1), ev->type, payload, now)
            : voter_perform_request(&c->p, (struct ts_nic_id){ev->peer}, ev->a, ev->type, payload,
                                    now);
    if (err != TS_OK && ev->b != SIM_STRAY && !s->options.checkers_only) {
        sim_fail(s, SIM_CHECK_ALARM, "a register message does not decode");
    }
}

/* What a step may have left to do. */
static void follow(struct sim *s, int node)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    if (sim_proc_settle(s, node, SIM_CFGD) || c->core == NULL) {
        return;
    }
    if (!c->registered && c->p.start.state == START_REGISTERED) {
        c->registered = true;
        sim_check_registered(s, node, SIM_CFGD);
    }
    if (s->options.invariants) {
        voter_check_invariants(c->core);
    }
    sim_proc_tick_at(s, node, SIM_CFGD, voter_perform_deadline(&c->p));
}

/* What its node tells people; after the faults somebody looks after it. */
static void tell_operator(struct sim *s, int node)
{
    const struct sim_cfgd *c = cfgd_of(s, node);
    if (c->core == NULL) {
        return;
    }
    bool replaced = voter_is_replaced(c->core);
    s->stats.joining += voter_is_joining(c->core);
    s->stats.replaced += replaced;
    if (s->healed && (replaced || voter_is_misplaced(c->core))) {
        sim_push(s,
                 &(struct sim_event){
                     .kind = SIM_EV_OPERATOR, .at = s->now, .node = (uint8_t)node, .a = SIM_CFGD});
    }
}

void sim_voter_event(struct sim *s, struct sim_event *ev)
{
    struct sim_process *p = &s->node[ev->node].proc[SIM_CFGD];
    struct sim_cfgd *c = cfgd_of(s, ev->node);
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
        tell_operator(s, ev->node);
        plan_watch(s, ev->node);
        break;
    case SIM_EV_TICK:
        if (p->tick_at == ev->a) {
            p->tick_at = 0;
            if (c->core != NULL && voter_perform_deadline(&c->p).ns <= sim_local(s, ev->node).ns) {
                voter_perform_tick(&c->p, sim_local(s, ev->node));
            }
        }
        break;
    default:
        ts_unreachable();
    }
    follow(s, ev->node);
}
