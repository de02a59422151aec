/* The replica process, composed as daemon/replica_main.c composes it: what both share
 * (replicator/io/perform_replica.h) on the models of disk, links and voters, and the kv service. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/exit.h"
#include "replicator/state.h"
#include "services/kv/kv.h"
#include "services/kv/sessions.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_guest.h"

#define WINDOW_JOIN_LAG 2000
#define OUT_BYTES_MAX (1U << 20)

static struct sim_replica *replica_of(struct sim *s, int node)
{
    return &s->node[node].replica;
}

static uint64_t life_of(const struct sim *s, int node)
{
    return s->node[node].proc[SIM_REPLICA].life;
}

void sim_feed(struct sim *s, int node, struct repl_event *ev)
{
    struct sim_replica *r = replica_of(s, node);
    if (r->core == NULL) {
        return;
    }
    ev->now = sim_local(s, node);
    sim_gave_up_fed(s, node, ev);
    perform_step(&r->p.perform, ev);
    if (r->core->role == REPL_ROLE_PRIMARY && r->core->last_time_at.ns == ev->now.ns) {
        sim_clock_ordered(s, r->core->last_time);
    }
    if (sim_proc_settle(s, node, SIM_REPLICA)) {
        return;
    }
    if (s->options.invariants) {
        repl_check_invariants(r->core);
    }
    if (ev->kind >= REPL_EV_REG_PREPARED) {
        sim_check_config(s, node);
    }
}

/* ---- voters ------------------------------------------------------------------------------- */

static void voter_link_told(struct sim *s, int node, int voter, bool up)
{
    perform_register_voter(&replica_of(s, node)->p, (uint8_t)(voter - 1), up,
                           s->node[voter].cfgd.disk.incarnation, sim_local(s, node));
}

static void on_voter_message(struct sim *s, const struct sim_event *ev)
{
    enum ts_err err =
        perform_register_frame(&replica_of(s, ev->node)->p, (uint8_t)(ev->peer - 1), ev->type,
                               (struct ts_bytes){ev->bytes, ev->len}, sim_local(s, ev->node));
    if (err != TS_OK && ev->b != SIM_STRAY && !s->options.checkers_only) {
        sim_fail(s, SIM_CHECK_ALARM, "a voter's reply does not decode");
    }
}

/* ---- own entries --------------------------------------------------------------------------- */

bool sim_replica_serves(const struct sim *s, int node)
{
    const struct sim_replica *r = &s->node[node].replica;
    return r->core != NULL && r->p.started && repl_serves(r->core);
}

static void service_turn(struct sim *s, int node)
{
    if (sim_replica_serves(s, node)) {
        perform_service_turn(&replica_of(s, node)->p, sim_local(s, node));
    }
}

/* ---- the process --------------------------------------------------------------------------- */

static void plan_watch(struct sim *s, int node)
{
    sim_push(s, &(struct sim_event){.kind = SIM_EV_WATCH,
                                    .at = s->now + s->cluster.timing.heartbeat_interval +
                                          sim_us(s, 10, 900),
                                    .node = (uint8_t)node,
                                    .proc = SIM_REPLICA,
                                    .life = life_of(s, node)});
}

static void open_core(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    const struct cfg_timing *timing = &s->cluster.timing;
    int64_t wall = (int64_t)(1700000000 * TS_NS_PER_S + s->now) + s->node[node].wall_offset;
    struct repl_options o = {
        .self = {(uint16_t)node},
        .instance = {life_of(s, node)},
        .first_time = {wall < 0 ? 0 : (uint64_t)wall},
        .first_now = sim_local(s, node),
        .seed = ts_prng_next(&s->prng),
        .timing = *timing,
        .limits = repl_limits_default(timing),
    };
    o.limits.window_bytes = REPL_LOG_BYTES_MIN;
    o.limits.window_batches = s->plan.window; /* small: learners are fed from the journal, too */
    o.limits.join_lag_bytes = WINDOW_JOIN_LAG;
    o.limits.run_bytes = s->plan.run_bytes;       /* a long tail takes several appends, … */
    o.limits.commit_bytes = s->plan.commit_bytes; /* … and several steps */
    r->core = repl_new(&o);
    ts_assert(r->core != NULL);
    perform_open(&r->p, r->core, &sim_replica_table, &sim_replica_ops, r);
    r->p.snapshot.limit = s->plan.snapshot_bytes;
    r->p.scrub.period_ns = s->plan.scrub_ms * SIM_MS;
    r->p.scrub.pause_ns = SIM_MS;
    r->p.room.limit = s->plan.disk_segments * sim_disk_segment_bytes(s);
    char limits[320];
    char sessions[192];
    /* In a quarter of the seeds walks have many pieces, so that entries come between them. */
    const char *pieces = s->seed % 4 == 0 ? "piece-bytes=100" : "";
    const char *guest = s->options.guest;
    bool alone = guest == NULL && s->plan.sessions == 0; /* nobody has a session: it costs time */
    (void)snprintf(limits, sizeof(limits), "%s%s %s hash-seed=%llu %s",
                   guest != NULL ? "guest=" : "", guest != NULL ? guest : "", pieces,
                   (unsigned long long)ts_prng_next(&s->prng),
                   alone ? "" : sim_session_limits(s, sessions, sizeof(sessions)));
    r->p.svc = guest != NULL ? &sim_guest_service : alone ? &kv_service : &kv_with_sessions;
    r->p.state = r->p.svc->create(limits);
    ts_assert(r->p.state != NULL);
    r->p.out.max = OUT_BYTES_MAX;
}

static void open_register(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    struct start_config sc = {
        .start = {.owner = {.kind = REG_OWNER_REPLICA,
                            .group = {SIM_GROUP},
                            .node = {(uint16_t)node}},
                  .incarnation = r->incarnation,
                  .start = r->disk.start.number,
                  .instance = r->disk.start.instance},
        .voters = (uint8_t)s->nodes,
        .self = START_NO_SELF,
        .retry_ns = s->cluster.timing.proposer_retry,
    };
    struct proposer_config pc = {
        .reg = SIM_GROUP,
        .self = {(uint16_t)node},
        .instance = {life_of(s, node)},
        .generation = 1,
        .voters = (uint8_t)s->nodes,
        .retry_ns = s->cluster.timing.proposer_retry,
        .seed = ts_prng_next(&s->prng),
    };
    perform_register_open(&r->p, &sc, &pc, sim_local(s, node));
}

void sim_replica_start(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    struct sim_process *p = &s->node[node].proc[SIM_REPLICA];
    p->ready = true;
    if (sim_available_keeps_down(s, node)) {
        p->exit_now = 1;
        return;
    }
    r->digest = (struct ts_hash){0, 0};
    sim_check_begins(r);
    sim_gave_up_begins(s, node);
    sim_address_replica_starts(s, node);
    r->flip = false;
    r->flipped_at = 0;
    r->flipped_by = 0;
    r->registered = false;
    r->read_token = 0;
    memset(r->peers, 0, sizeof(r->peers));
    memset(r->waiting, 0, sizeof(r->waiting));
    open_core(s, node);
    uint64_t life = p->life;
    bool open = sim_disk_open(s, node);
    if (p->life != life) {
        return; /* killed meanwhile */
    }
    if (!open) {
        p->exit_now = TS_EXIT_CONFIG;
        return;
    }
    open_register(s, node);
    plan_watch(s, node);
}

void sim_replica_end(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    perform_close(&r->p);
    repl_free(r->core);
    r->core = NULL;
    if (r->p.state != NULL) {
        r->p.svc->destroy(r->p.state);
        r->p.state = NULL;
    }
    svc_out_free(&r->p.out);
    r->p.out = (struct svc_out){0};
}

/* What the daemon asks of its cores besides what they do by themselves. */
static void ask_cores(struct sim *s, int node)
{
    const struct proposer *p = &replica_of(s, node)->p.proposer;
    unsigned connected = proposer_connected(p);
    unsigned answering = proposer_answering(p, sim_local(s, node));
    if (answering > connected || connected > (unsigned)s->nodes) {
        sim_fail(s, SIM_CHECK_ALARM, "%u of %u connected voters answer", answering, connected);
    }
    struct repl *core = replica_of(s, node)->core;
    if (repl_has_successor(core) && core->config.in_sync.count < 2) {
        sim_fail(s, SIM_CHECK_MEMBERS, "%s names a successor that is not in sync",
                 sim_node_name(s, node));
    }
    if (repl_may_leave(core) && core->config.in_sync.count < 2 && core->config.primary.v == node) {
        sim_fail(s, SIM_CHECK_MEMBERS, "%s would leave, and is the only one",
                 sim_node_name(s, node));
    }
    if (repl_hands_over(core) && core->role != REPL_ROLE_PRIMARY) {
        sim_fail(s, SIM_CHECK_MEMBERS, "%s hands over what it does not lead",
                 sim_node_name(s, node));
    }
}

static void on_watch(struct sim *s, int node)
{
    uint64_t life = life_of(s, node);
    plan_watch(s, node);
    sim_voter_links(s, node, SIM_REPLICA, voter_link_told);
    if (life_of(s, node) != life || !replica_of(s, node)->p.started) {
        return;
    }
    ask_cores(s, node);
    sim_room_watch(s, node);
    sim_replace_watch(s, node);
    sim_gave_up_look(s, node);
    sim_link_watch(s, node);
    if (life_of(s, node) == life) {
        sim_replica_peers_look(s, node);
    }
    if (life_of(s, node) == life) {
        service_turn(s, node);
    }
}

static void on_late_word(struct sim *s, const struct sim_event *ev)
{
    struct repl_event e = {.kind = REPL_EV_REG_LOST};
    e.u.reg.op = ev->a;
    e.u.reg.config = s->genesis;
    sim_feed(s, ev->node, &e);
}

static void dispatch(struct sim *s, struct sim_event *ev)
{
    switch ((int)ev->kind) {
    case SIM_EV_STARTED:
        sim_replica_start(s, ev->node);
        break;
    case SIM_EV_STREAM:
    case SIM_EV_LINK_ENDED:
    case SIM_EV_DIAL:
        sim_link_event(s, ev);
        break;
    case SIM_EV_PEERS:
        sim_replica_peers_report(s, ev);
        break;
    case SIM_EV_WATCH:
        on_watch(s, ev->node);
        break;
    case SIM_EV_TICK:
        break; /* the turn that follows looks at every deadline */
    case SIM_EV_LATE_WORD:
        on_late_word(s, ev);
        break;
    case SIM_EV_DISK:
    case SIM_EV_SPARE:
    case SIM_EV_IDLE_NOTE:
    case SIM_EV_WORK:
        sim_disk_event(s, ev);
        break;
    case SIM_EV_FETCHED:
        sim_replica_fetched(s, ev);
        break;
    case SIM_EV_FROM_VOTER:
        on_voter_message(s, ev);
        break;
    case SIM_EV_EVIDENCE:
        sim_replica_evidence(s, ev->node, ev->peer, (enum repl_evidence)ev->a);
        break;
    case SIM_EV_ARRIVED:
        sim_load_arrived(s, ev);
        break;
    case SIM_EV_WISH:
        sim_gave_up_wished(s, ev);
        break;
    case SIM_EV_LIE:
        if (sim_link_is_up(s, ev->node, ev->peer)) {
            sim_replica_frame(s, ev->node, ev->peer, ev->type,
                              (struct ts_bytes){ev->bytes, ev->len});
        }
        break;
    default:
        ts_unreachable();
    }
}

static void check_register(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    if (!r->registered && r->p.registration.state == START_REGISTERED) {
        r->registered = true;
        sim_check_registered(s, node, SIM_REPLICA);
    }
}

/* A timer has run out. The daemon sets it anew with every turn; here it stands, and what it stood
 * for may be long over: then there is no turn. */
static bool wakes_for_nothing(struct sim *s, const struct sim_event *ev)
{
    const struct sim_replica *r = replica_of(s, ev->node);
    struct sim_process *p = &s->node[ev->node].proc[SIM_REPLICA];
    p->tick_at = p->tick_at == ev->a ? 0 : p->tick_at;
    if (r->core == NULL) {
        return true;
    }
    struct ts_mono due = perform_deadline(&r->p);
    bool nothing = ts_mono_lt(sim_local(s, ev->node), due);
    if (nothing) {
        sim_proc_tick_at(s, ev->node, SIM_REPLICA, due);
    }
    return nothing;
}

void sim_replica_event(struct sim *s, struct sim_event *ev)
{
    struct sim_replica *r = replica_of(s, ev->node);
    const struct sim_process *p = &s->node[ev->node].proc[SIM_REPLICA];
    uint64_t life = p->life;
    bool early = ev->kind == SIM_EV_TICK && sim_chance_pm(s, 20);
    if (ev->kind == SIM_EV_TICK && wakes_for_nothing(s, ev) && !early) {
        return;
    }
    dispatch(s, ev);
    if (p->life != life || sim_proc_settle(s, ev->node, SIM_REPLICA) || r->core == NULL) {
        return;
    }
    check_register(s, ev->node);
    perform_turn(&r->p, sim_local(s, ev->node), early);
    if (p->life == life && !sim_proc_settle(s, ev->node, SIM_REPLICA)) {
        check_register(s, ev->node);
        if (s->options.invariants) {
            proposer_check_invariants(&r->p.proposer);
        }
        sim_address_replica_turn(s, ev->node);
        sim_proc_tick_at(s, ev->node, SIM_REPLICA, perform_deadline(&r->p));
    }
}
