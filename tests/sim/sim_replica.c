/* The replica process, composed as daemon/replica_*.c composes it: start registration, proposer,
 * replication core through perform.c, evidence, the kv service. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/exit.h"
#include "base/hash.h"
#include "replicator/state.h"
#include "services/kv/kv.h"
#include "tests/sim/sim.h"

#define WINDOW_JOIN_LAG 2000
#define CHECKPOINT_BUSY TS_NS_PER_S

static struct sim_replica *replica_of(struct sim *s, int node)
{
    return &s->node[node].replica;
}

static struct sim *sim_of(void *ctx)
{
    return ((struct sim_replica *)ctx)->sim;
}

static int node_of(void *ctx)
{
    return ((struct sim_replica *)ctx)->node;
}

static bool crashed(void *ctx)
{
    return sim_proc_crashed(sim_of(ctx), node_of(ctx), SIM_REPLICA);
}

static void arm(struct sim *s, int node)
{
    const struct sim_replica *r = replica_of(s, node);
    struct ts_mono due = start_deadline(&r->registration);
    struct ts_mono other = proposer_deadline(&r->proposer);
    due = ts_mono_lt(other, due) ? other : due;
    if (r->started) {
        other = repl_deadline(r->core);
        due = ts_mono_lt(other, due) ? other : due;
    }
    sim_proc_tick_at(s, node, SIM_REPLICA, due);
}

void sim_feed(struct sim *s, int node, struct repl_event *ev)
{
    struct sim_replica *r = replica_of(s, node);
    if (r->core == NULL) {
        return;
    }
    ev->now = sim_local(s, node);
    perform_step(&r->perform, ev);
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

bool sim_replica_restore(struct sim *s, int node, struct ts_bytes batch, struct ts_seq committed)
{
    struct sim_replica *r = replica_of(s, node);
    struct repl_event ev = {.kind = REPL_EV_RESTORE_COMMITTED, .now = sim_local(s, node)};
    ev.u.committed = committed;
    perform_step(&r->perform, &ev);
    ev = (struct repl_event){.kind = REPL_EV_RESTORE, .now = sim_local(s, node)};
    ev.u.restore = batch;
    perform_step(&r->perform, &ev);
    return r->core->role != REPL_ROLE_HALTED;
}

/* ---- register ----------------------------------------------------------------------------------
 */

static void on_done(struct sim *s, int node, const struct proposer_result *result)
{
    struct repl_event ev = {.kind = REPL_EV_REG_LOST};
    if (result->outcome == PROPOSER_PREPARED) {
        ev.kind = REPL_EV_REG_PREPARED;
    } else if (result->outcome == PROPOSER_WON) {
        ev.kind = REPL_EV_REG_WON;
    } else if (result->op == PROPOSER_OP_CAS) {
        sim_check_defeated(s, &replica_of(s, node)->proposer.proposal, &result->value);
    }
    ev.u.reg.op = replica_of(s, node)->op;
    ev.u.reg.config = result->value;
    sim_feed(s, node, &ev);
}

static void proposer_event(struct sim *s, int node, struct proposer_event *ev)
{
    struct sim_replica *r = replica_of(s, node);
    struct proposer_effects fx;
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    ev->now = sim_local(s, node);
    proposer_step(&r->proposer, ev, &fx);
    for (size_t i = 0; i < fx.count && s->node[node].proc[SIM_REPLICA].life == life; i++) {
        const struct proposer_effect *e = &fx.e[i];
        if (e->kind == PROPOSER_EFFECT_SEND) {
            if (e->msg.type == REG_MSG_ACCEPT && r->proposer.op == PROPOSER_OP_CAS) {
                sim_moment_came(s, node, SIM_MOMENT_ACCEPTS);
            }
            if (!crashed(r)) {
                sim_net_to_voter(s, node, SIM_REPLICA, e->voter + 1, &e->msg);
            }
        } else if (e->kind == PROPOSER_EFFECT_DONE) {
            ts_assert(ev->kind != PROPOSER_EVENT_OP);
            on_done(s, node, &e->result);
        } else {
            sim_story_trace(s, node, SIM_REPLICA, &e->trace);
        }
    }
    if (s->options.invariants && s->node[node].proc[SIM_REPLICA].life == life) {
        proposer_check_invariants(&r->proposer);
    }
}

void sim_replica_confirmed(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    struct repl_event ev = {.kind = REPL_EV_START};
    sim_link_open(s, node);
    for (int n = 1; n <= s->nics; n++) {
        r->peers[n].used = n != node;
        replica_evidence_init(&r->peers[n].evidence, &s->cluster.timing, sim_local(s, node));
    }
    r->started = true;
    ev.u.start.incarnation = r->incarnation;
    ev.u.start.floor.v = r->disk.floor.v + r->floor_more;
    r->floor_more = 0;
    sim_feed(s, node, &ev);
}

static void start_event(struct sim *s, int node, struct start_event *ev)
{
    struct sim_replica *r = replica_of(s, node);
    struct sim_process *p = &s->node[node].proc[SIM_REPLICA];
    struct start_effects fx;
    uint64_t life = p->life;
    ev->now = sim_local(s, node);
    start_step(&r->registration, ev, &fx);
    for (size_t i = 0; i < fx.count && p->life == life; i++) {
        const struct start_effect *e = &fx.e[i];
        if (e->kind == START_EFFECT_SEND) {
            if (!crashed(r)) {
                sim_net_to_voter(s, node, SIM_REPLICA, e->voter + 1, &e->msg);
            }
        } else if (e->kind == START_EFFECT_REGISTERED) {
            sim_check_registered(s, node, SIM_REPLICA);
            sim_disk_confirm(s, node);
        } else if (e->kind == START_EFFECT_CLONE) {
            sim_note(s, node, "the disk is a clone or an old image: start %llu, registered %llu",
                     (unsigned long long)r->disk.start.number,
                     (unsigned long long)e->msg.refused.registered_start);
            sim_disk_refuse(s, node);
            p->exit_now = TS_EXIT_CONFIG;
        } else {
            sim_story_trace(s, node, SIM_REPLICA, &e->trace);
        }
    }
}

static void voter_link_told(struct sim *s, int node, int voter, bool up)
{
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    struct start_event se = {.kind = up ? START_EVENT_VOTER_UP : START_EVENT_VOTER_DOWN,
                             .voter = (uint8_t)(voter - 1)};
    struct proposer_event pe = {.kind = up ? PROPOSER_EVENT_VOTER_UP : PROPOSER_EVENT_VOTER_DOWN,
                                .voter = (uint8_t)(voter - 1)};
    start_event(s, node, &se);
    if (s->node[node].proc[SIM_REPLICA].life == life) {
        proposer_event(s, node, &pe);
    }
}

static void on_voter_message(struct sim *s, struct sim_event *ev)
{
    uint64_t life = s->node[ev->node].proc[SIM_REPLICA].life;
    uint8_t voter = (uint8_t)(ev->peer - 1);
    struct reg_msg msg;
    if (reg_msg_decode(&msg, ev->type, (struct ts_bytes){ev->bytes, ev->len}) != TS_OK) {
        if (ev->b != SIM_STRAY && !s->options.checkers_only) {
            sim_fail(s, SIM_CHECK_ALARM, "a voter's reply does not decode");
        }
        return; /* as the daemons: the link is closed, and asks again */
    }
    start_event(s, ev->node,
                &(struct start_event){.kind = START_EVENT_MESSAGE, .voter = voter, .msg = &msg});
    if (s->node[ev->node].proc[SIM_REPLICA].life == life) {
        proposer_event(
            s, ev->node,
            &(struct proposer_event){.kind = PROPOSER_EVENT_MESSAGE, .voter = voter, .msg = &msg});
    }
}

/* ---- perform's table ------------------------------------------------------------------------- */

static void on_append(void *ctx, const struct repl_batch *batch, struct ts_hash hash,
                      struct ts_seq committed)
{
    if (!crashed(ctx)) {
        sim_disk_append(sim_of(ctx), node_of(ctx), batch, hash, committed);
    }
}

static void on_truncate(void *ctx, struct repl_pos end)
{
    if (!crashed(ctx)) {
        sim_disk_truncate(sim_of(ctx), node_of(ctx), end);
    }
}

static void on_floor(void *ctx, struct ts_epoch floor)
{
    if (!crashed(ctx)) {
        sim_disk_floor(sim_of(ctx), node_of(ctx), floor);
    }
}

static void on_send(void *ctx, struct ts_nic_id to, uint8_t type, struct ts_bytes head,
                    struct ts_bytes body)
{
    if (type == REPL_MSG_CONFIRM) {
        sim_moment_came(sim_of(ctx), node_of(ctx), SIM_MOMENT_READS);
    }
    if (!crashed(ctx)) {
        sim_link_send(sim_of(ctx), node_of(ctx), to.v, type, head, body);
    }
}

static void on_fetch(void *ctx, struct ts_nic_id peer, struct ts_seq after, size_t bytes_max)
{
    if (!crashed(ctx)) {
        sim_disk_fetch(sim_of(ctx), node_of(ctx), peer.v, after, bytes_max);
    }
}

static void on_reg(void *ctx, enum repl_effect_kind kind, uint64_t op, struct ts_epoch expected,
                   const struct cfg_config *config)
{
    struct sim_replica *r = ctx;
    if (crashed(ctx)) {
        return;
    }
    if (kind == REPL_EF_REG_ABANDON) {
        proposer_abandon(&r->proposer);
        /* Another authority in the register's place may answer all the same. */
        sim_push(r->sim, &(struct sim_event){.kind = SIM_EV_LATE_WORD,
                                             .at = r->sim->now + sim_us(r->sim, 0, 50000),
                                             .node = (uint8_t)r->node,
                                             .proc = SIM_REPLICA,
                                             .life = r->sim->node[r->node].proc[SIM_REPLICA].life,
                                             .a = op});
        return;
    }
    struct proposer_event ev = {
        .kind = PROPOSER_EVENT_OP, .op = PROPOSER_OP_CAS, .expected = expected, .config = config};
    if (kind == REPL_EF_REG_PREPARE) {
        ev.op = PROPOSER_OP_PREPARE;
    } else if (kind == REPL_EF_REG_READ) {
        ev.op = PROPOSER_OP_READ;
    }
    r->op = op;
    proposer_event(r->sim, r->node, &ev);
}

static struct ts_hash on_apply(void *ctx, const struct svc_entry *entry, struct ts_epoch epoch,
                               bool release)
{
    struct sim_replica *r = ctx;
    struct sim *s = r->sim;
    r->out.len = 0;
    kv_service.apply(r->state, entry, &r->out);
    struct ts_hash out = ts_hash_bytes(r->out.data, r->out.len);
    uint64_t parts[3] = {entry->seq.v, out.lo, out.hi};
    if (r->flip && r->started) {
        r->flip = false;
        r->flipped = true;
        sim_note(s, r->node, "has another result at seq %llu", (unsigned long long)entry->seq.v);
        out.lo ^= (uint64_t)r->node; /* two of them differ from each other, too */
    }
    r->digest = ts_hash_chain(r->digest, parts, sizeof(parts));
    sim_check_applied(s, r->node, entry);
    if (release && entry->kind == SVC_ENTRY_COMMAND && !crashed(ctx)) {
        sim_check_released(s, r->node, entry, epoch);
        sim_load_released(s, r->node, entry);
    }
    return out;
}

static void on_reads_ready(void *ctx, uint64_t token)
{
    if (!crashed(ctx)) {
        sim_load_reads_ready(sim_of(ctx), node_of(ctx), token);
    }
}

static void on_close_pending(void *ctx)
{
    struct sim_replica *r = ctx;
    r->tick_seq.v = 0;
    r->checkpoint_seq.v = 0;
    sim_load_closed(r->sim, r->node);
}

static void on_role(void *ctx)
{
    sim_check_role(sim_of(ctx), node_of(ctx));
}

static void on_trace(void *ctx, const struct ts_trace *t)
{
    struct sim *s = sim_of(ctx);
    s->stats.takeovers += t->kind == TS_TRACE_ACTIVE;
    sim_story_trace(s, node_of(ctx), SIM_REPLICA, t);
    sim_moment_traced(s, node_of(ctx), t);
    bool diverged = t->kind == TS_TRACE_ALARM_DIVERGENCE;
    if (diverged && sim_check_notices(s)) {
        return;
    }
    bool alarm = diverged || t->kind == TS_TRACE_ALARM_CHAIN;
    if (alarm && !s->stray_heard && !s->options.checkers_only) {
        char line[200];
        (void)ts_trace_format(t, line, sizeof(line));
        sim_fail(s, SIM_CHECK_ALARM, "%s: %s", sim_node_name(s, node_of(ctx)), line);
    }
}

static const struct perform_table TABLE = {
    .journal_append = on_append,
    .journal_truncate = on_truncate,
    .persist_floor = on_floor,
    .send = on_send,
    .fetch = on_fetch,
    .reg = on_reg,
    .apply = on_apply,
    .reads_ready = on_reads_ready,
    .close_pending = on_close_pending,
    .role = on_role,
    .trace = on_trace,
};

/* ---- peers --------------------------------------------------------------------------------------
 */

static void feed_evidence(struct sim *s, int node, int peer, enum repl_evidence kind)
{
    struct repl_event ev = {.kind = kind == REPL_EVIDENCE_NONE ? REPL_EV_EVIDENCE_CLEAR
                                                               : REPL_EV_EVIDENCE,
                            .peer = {(uint16_t)peer}};
    ev.u.evidence = kind;
    if (replica_of(s, node)->started) {
        sim_feed(s, node, &ev);
    }
}

void sim_replica_link_up(struct sim *s, int node, int peer, uint64_t life)
{
    struct repl_event ev = {.kind = REPL_EV_LINK_UP, .peer = {(uint16_t)peer}};
    ev.u.link.instance.v = life;
    ev.u.link.incarnation = replica_of(s, peer)->disk.incarnation;
    replica_evidence_link_up(&replica_of(s, node)->peers[peer].evidence, sim_local(s, node));
    sim_note(s, node, "session with %s", sim_node_name(s, peer));
    sim_feed(s, node, &ev);
}

void sim_replica_link_down(struct sim *s, int node, int peer)
{
    struct repl_event ev = {.kind = REPL_EV_LINK_DOWN, .peer = {(uint16_t)peer}};
    sim_note(s, node, "session with %s ends", sim_node_name(s, peer));
    sim_feed(s, node, &ev);
}

void sim_replica_refused(struct sim *s, int node, int peer)
{
    feed_evidence(s, node, peer, REPL_EVIDENCE_REFUSED);
}

void sim_replica_frame(struct sim *s, int node, int peer, uint8_t type, struct ts_bytes bytes)
{
    struct repl_event ev = {.kind = REPL_EV_MESSAGE, .peer = {(uint16_t)peer}};
    ev.u.message.type = type;
    ev.u.message.frame = bytes;
    sim_feed(s, node, &ev);
}

static void on_report(struct sim *s, struct sim_event *ev)
{
    struct sim_replica *r = replica_of(s, ev->node);
    uint64_t life = s->node[ev->node].proc[SIM_REPLICA].life;
    if (report_peers_decode(&s->report, (struct ts_bytes){ev->bytes, ev->len}) != TS_OK) {
        sim_fail(s, SIM_CHECK_ALARM, "heartbeatd's report does not decode");
    }
    for (uint8_t i = 0; i < s->report.count && r->started; i++) {
        const struct report_peer *p = &s->report.p[i];
        enum repl_evidence kind;
        int peer = p->nic.v;
        if (peer > s->nics) {
            continue;
        }
        sim_link_path_state(s, ev->node, peer, p->path_up_mask);
        if (s->node[ev->node].proc[SIM_REPLICA].life != life) {
            return;
        }
        if (replica_evidence_word(&r->peers[peer].evidence, p, (struct ts_group_id){SIM_GROUP},
                                  sim_link_is_up(s, ev->node, peer), &kind)) {
            feed_evidence(s, ev->node, peer, kind);
        }
        if (s->node[ev->node].proc[SIM_REPLICA].life != life) {
            return;
        }
    }
}

static void look_at_peers(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    for (int peer = 1; peer <= s->nics; peer++) {
        enum repl_evidence kind;
        uint64_t stall;
        struct ts_mono now = sim_local(s, node);
        struct ts_mono heard = now;
        if (!r->peers[peer].used) {
            continue;
        }
        uint64_t age = s->now - sim_link_heard(s, node, peer);
        heard.ns = heard.ns > age ? heard.ns - age : 0;
        if (replica_evidence_look(&r->peers[peer].evidence, heard, now, &kind, &stall)) {
            feed_evidence(s, node, peer, kind);
        }
        if (s->node[node].proc[SIM_REPLICA].life != life) {
            return;
        }
    }
}

/* ---- own entries
 * ----------------------------------------------------------------------------------- */

bool sim_replica_serves(const struct sim *s, int node, struct repl_status *st)
{
    const struct sim_replica *r = &s->node[node].replica;
    if (r->core == NULL || !r->started || r->core->role != REPL_ROLE_PRIMARY) {
        return false; /* the usual case, and cheap */
    }
    repl_status(r->core, st);
    return st->active && !st->blocked;
}

static void order_own(struct sim *s, int node, enum svc_entry_kind kind, struct ts_seq *seq)
{
    struct sim_replica *r = replica_of(s, node);
    struct repl_request q = {.kind = kind};
    struct repl_event ev = {.kind = REPL_EV_SUBMIT};
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    ev.u.submit.requests = &q;
    ev.u.submit.count = 1;
    sim_feed(s, node, &ev);
    if (s->node[node].proc[SIM_REPLICA].life == life &&
        r->perform.fx.submit == REPL_SUBMIT_ORDERED) {
        *seq = r->perform.fx.first_seq;
    }
}

static void service_turn(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    struct repl_status st;
    if (!sim_replica_serves(s, node, &st)) {
        return;
    }
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    struct ts_ltime next = kv_service.next_tick(r->state);
    struct ts_ltime now = repl_logical_now(r->core, sim_local(s, node));
    if (next.ns <= now.ns && !ts_seq_lt(st.applied, r->tick_seq)) {
        order_own(s, node, SVC_ENTRY_TICK, &r->tick_seq);
    }
    if (s->node[node].proc[SIM_REPLICA].life == life &&
        s->now >= r->checkpoint_at + CHECKPOINT_BUSY && !ts_seq_lt(st.applied, r->checkpoint_seq)) {
        r->checkpoint_at = s->now;
        order_own(s, node, SVC_ENTRY_CHECKPOINT, &r->checkpoint_seq);
    }
}

/* ---- the process
 * ------------------------------------------------------------------------------------- */

static void plan_watch(struct sim *s, int node)
{
    sim_push(s, &(struct sim_event){.kind = SIM_EV_WATCH,
                                    .at = s->now + s->cluster.timing.heartbeat_interval +
                                          sim_us(s, 10, 900),
                                    .node = (uint8_t)node,
                                    .proc = SIM_REPLICA,
                                    .life = s->node[node].proc[SIM_REPLICA].life});
}

static void open_core(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    const struct cfg_timing *timing = &s->cluster.timing;
    int64_t wall = (int64_t)(1700000000 * TS_NS_PER_S + s->now) + s->node[node].wall_offset;
    struct repl_options o = {
        .self = {(uint16_t)node},
        .instance = {s->node[node].proc[SIM_REPLICA].life},
        .first_time = {wall < 0 ? 0 : (uint64_t)wall},
        .seed = ts_prng_next(&s->prng),
        .timing = *timing,
        .limits = repl_limits_default(timing),
    };
    o.limits.window_bytes = REPL_LOG_BYTES_MIN;
    o.limits.window_batches = s->plan.window; /* small: learners are fed from the journal, too */
    o.limits.join_lag_bytes = WINDOW_JOIN_LAG;
    o.limits.commit_bytes = s->plan.commit_bytes; /* a long tail takes several steps */
    r->core = repl_new(&o);
    char limits[64];
    (void)snprintf(limits, sizeof(limits), "hash-seed=%llu",
                   (unsigned long long)ts_prng_next(&s->prng));
    r->state = kv_service.create(limits);
    ts_assert(r->core != NULL && r->state != NULL);
    r->out.max = 1U << 20;
    r->perform.core = r->core;
    r->perform.table = &TABLE;
    r->perform.ctx = r;
    r->perform.digest = (struct ts_hash){0, 0};
}

static void open_register(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    struct ts_instance instance = {s->node[node].proc[SIM_REPLICA].life};
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
        .instance = instance,
        .generation = 1,
        .voters = (uint8_t)s->nodes,
        .retry_ns = s->cluster.timing.proposer_retry,
        .seed = ts_prng_next(&s->prng),
    };
    start_init(&r->registration, &sc);
    proposer_init(&r->proposer, &pc);
    start_event(s, node, &(struct start_event){.kind = START_EVENT_BEGIN});
}

void sim_replica_start(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    struct sim_process *p = &s->node[node].proc[SIM_REPLICA];
    p->ready = true;
    r->started = false;
    r->digest = (struct ts_hash){0, 0};
    r->flip = false;
    r->flipped = false;
    r->read_token = 0;
    r->tick_seq.v = 0;
    r->checkpoint_seq.v = 0;
    r->checkpoint_at = s->now;
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
    repl_free(r->core);
    r->core = NULL;
    if (r->state != NULL) {
        kv_service.destroy(r->state);
        r->state = NULL;
    }
    svc_out_free(&r->out);
    r->out = (struct svc_out){0};
    r->started = false;
}

/* What the daemon asks of its cores besides what they do by themselves. */
static void ask_cores(struct sim *s, int node)
{
    const struct proposer *p = &replica_of(s, node)->proposer;
    unsigned connected = proposer_connected(p);
    unsigned answering = proposer_answering(p, sim_local(s, node));
    if (answering > connected || connected > (unsigned)s->nodes) {
        sim_fail(s, SIM_CHECK_ALARM, "%u of %u connected voters answer", answering, connected);
    }
    const struct repl *core = replica_of(s, node)->core;
    if (repl_has_successor(core) && core->config.in_sync.count < 2) {
        sim_fail(s, SIM_CHECK_MEMBERS, "%s names a successor that is not in sync",
                 sim_node_name(s, node));
    }
}

static void on_watch(struct sim *s, int node)
{
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    plan_watch(s, node);
    sim_voter_links(s, node, SIM_REPLICA, voter_link_told);
    if (s->node[node].proc[SIM_REPLICA].life != life || !replica_of(s, node)->started) {
        return;
    }
    ask_cores(s, node);
    sim_link_watch(s, node);
    if (s->node[node].proc[SIM_REPLICA].life == life) {
        look_at_peers(s, node);
    }
    if (s->node[node].proc[SIM_REPLICA].life == life) {
        service_turn(s, node);
    }
}

static void on_tick(struct sim *s, int node)
{
    const struct sim_replica *r = replica_of(s, node);
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    struct ts_mono now = sim_local(s, node);
    bool early = sim_chance_pm(s, 20); /* one's time wakes the others, too */
    if (early || !ts_mono_lt(now, start_deadline(&r->registration))) {
        start_event(s, node, &(struct start_event){.kind = START_EVENT_TICK});
    }
    if (s->node[node].proc[SIM_REPLICA].life == life &&
        (early || !ts_mono_lt(now, proposer_deadline(&r->proposer)))) {
        proposer_event(s, node, &(struct proposer_event){.kind = PROPOSER_EVENT_TICK});
    }
    if (s->node[node].proc[SIM_REPLICA].life == life && r->started &&
        (early || !ts_mono_lt(now, repl_deadline(r->core)))) {
        struct repl_event ev = {.kind = REPL_EV_TICK};
        sim_feed(s, node, &ev);
    }
}

/* Now and then what was read comes late, or its last batch is torn. */
static void on_fetched(struct sim *s, struct sim_event *ev)
{
    if (ev->b == 0 && sim_chance_pm(s, 30)) {
        ev->b = 1;
        ev->at = s->now + sim_us(s, 1000, 300000);
        ev->bytes = ev->bytes == NULL ? NULL : sim_bytes_ref(ev->bytes);
        sim_push(s, ev);
        return;
    }
    ev->len -= ev->len > 0 && sim_chance_pm(s, 10);
    struct repl_event e = {.kind = REPL_EV_FETCHED, .peer = {ev->peer}};
    e.u.fetched.after.v = ev->a;
    e.u.fetched.batches = (struct ts_bytes){ev->bytes, ev->len};
    sim_feed(s, ev->node, &e);
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
    struct sim_process *p = &s->node[ev->node].proc[SIM_REPLICA];
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
        on_report(s, ev);
        break;
    case SIM_EV_WATCH:
        on_watch(s, ev->node);
        break;
    case SIM_EV_TICK:
        if (p->tick_at == ev->a) {
            p->tick_at = 0;
            on_tick(s, ev->node);
        }
        break;
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
        on_fetched(s, ev);
        break;
    case SIM_EV_FROM_VOTER:
        on_voter_message(s, ev);
        break;
    case SIM_EV_EVIDENCE:
        feed_evidence(s, ev->node, ev->peer, (enum repl_evidence)ev->a);
        break;
    case SIM_EV_ARRIVED:
        sim_load_arrived(s, ev);
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

void sim_replica_event(struct sim *s, struct sim_event *ev)
{
    struct sim_process *p = &s->node[ev->node].proc[SIM_REPLICA];
    uint64_t life = p->life;
    dispatch(s, ev);
    if (p->life == life && !sim_proc_settle(s, ev->node, SIM_REPLICA)) {
        arm(s, ev->node);
    }
}
