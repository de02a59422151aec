/* Processes: a replica with its proposer, and a voter. A process that restarts has a new life
 * (its instance); what was meant for the old one is dropped by the queue. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

static void schedule_tick(struct sim *s, int node)
{
    struct sim_replica *r = &s->replica[node];
    uint64_t at = repl_deadline(r->core).ns;
    uint64_t b = proposer_deadline(&r->proposer).ns;
    at = b < at ? b : at;
    if (at == UINT64_MAX) {
        return;
    }
    at = at < s->now ? s->now + 100000 : at + 100000; /* timers are a little late */
    if (r->tick_at == 0 || at < r->tick_at) {
        r->tick_at = at;
        sim_push(s,
                 (struct sim_event){.kind = SIM_EV_TICK, .at = at, .node = node, .life = r->life});
    }
}

static void check_won(struct sim *s, int node)
{
    struct repl_status st;
    repl_status(s->replica[node].core, &st);
    if (!st.config_known || st.config_told) {
        return; /* what a peer told may be false */
    }
    uint64_t e = st.config.epoch.v;
    ts_assert(e < 4096);
    if (s->won_nonce[e] == 0) {
        s->won_nonce[e] = st.config.nonce + 1;
    } else if (s->won_nonce[e] != st.config.nonce + 1) {
        sim_fail(s, "two configs with epoch %llu were decided", (unsigned long long)e);
    }
}

void sim_feed(struct sim *s, int node, struct repl_event *ev)
{
    struct sim_replica *r = &s->replica[node];
    if (!r->running) {
        return;
    }
    ev->now.ns = s->now;
    perform_step(&r->perform, ev);
    if (r->dying) {
        sim_replica_crash(s, node);
        sim_push(s, (struct sim_event){.kind = SIM_EV_START_REPLICA,
                                       .node = node,
                                       .at = s->now + sim_rand(s, 1, 400) * SIM_MS});
        return;
    }
    repl_check_invariants(r->core);
    check_won(s, node);
    schedule_tick(s, node);
}

void sim_replica_tick(struct sim *s, int node)
{
    struct sim_replica *r = &s->replica[node];
    struct proposer_event pe = {.kind = PROPOSER_EVENT_TICK, .now = {s->now}};
    struct proposer_effects fx;
    if (proposer_deadline(&r->proposer).ns <= s->now) {
        proposer_step(&r->proposer, &pe, &fx);
        for (size_t i = 0; i < fx.count; i++) {
            if (fx.e[i].kind == PROPOSER_EFFECT_SEND) {
                sim_net_to_voter(s, node, fx.e[i].voter + 1, &fx.e[i].msg);
            }
        }
    }
    struct repl_event ev = {.kind = REPL_EV_TICK};
    sim_feed(s, node, &ev);
}

static void proposer_event(struct sim *s, int node, struct proposer_event *pe)
{
    struct sim_replica *r = &s->replica[node];
    struct proposer_effects fx;
    pe->now.ns = s->now;
    proposer_step(&r->proposer, pe, &fx);
    for (size_t i = 0; i < fx.count; i++) {
        if (fx.e[i].kind == PROPOSER_EFFECT_SEND) {
            sim_net_to_voter(s, node, fx.e[i].voter + 1, &fx.e[i].msg);
        } else if (fx.e[i].kind == PROPOSER_EFFECT_DONE) {
            struct repl_event ev = {.kind = REPL_EV_REG_LOST};
            if (fx.e[i].result.outcome == PROPOSER_PREPARED) {
                ev.kind = REPL_EV_REG_PREPARED;
            } else if (fx.e[i].result.outcome == PROPOSER_WON) {
                ev.kind = REPL_EV_REG_WON;
            }
            ev.u.reg.op = r->op;
            ev.u.reg.config = fx.e[i].result.value;
            sim_feed(s, node, &ev);
            if (!r->running) {
                return;
            }
        }
    }
    schedule_tick(s, node);
}

void sim_proposer_message(struct sim *s, int node, int voter, const struct reg_msg *msg)
{
    struct proposer_event pe = {
        .kind = PROPOSER_EVENT_MESSAGE, .voter = (uint8_t)(voter - 1), .msg = msg};
    proposer_event(s, node, &pe);
}

void sim_proposer_link(struct sim *s, int node, int voter, bool up)
{
    struct proposer_event pe = {.kind = up ? PROPOSER_EVENT_VOTER_UP : PROPOSER_EVENT_VOTER_DOWN,
                                .voter = (uint8_t)(voter - 1)};
    proposer_event(s, node, &pe);
}

static void voter_link(struct sim *s, int node, int voter, bool up)
{
    sim_push(s, (struct sim_event){.kind = SIM_EV_VOTER_LINK,
                                   .at = s->now + sim_rand(s, 100, 3000) * 1000,
                                   .node = node,
                                   .life = s->replica[node].life,
                                   .a = (uint64_t)voter,
                                   .b = up});
}

void sim_replica_start(struct sim *s, int node)
{
    struct sim_replica *r = &s->replica[node];
    struct sim_disk disk = r->disk;
    uint64_t life = (r->life | 0xff) + 1 + (uint64_t)node; /* unique over both nodes */
    memset(r, 0, sizeof(*r));
    r->disk = disk;
    r->sim = s;
    r->node = node;
    r->life = life;
    r->running = true;
    struct cfg_timing timing = cfg_timing_derive(100 * SIM_MS);
    struct repl_options o = {
        .self = {(uint16_t)node},
        .instance = {life},
        .first_time = {(uint64_t)node * 1000 * TS_NS_PER_S}, /* their clocks differ */
        .seed = ts_prng_next(&s->prng),
        .timing = timing,
        .limits = repl_limits_default(&timing),
    };
    o.limits.window_bytes = REPL_LOG_BYTES_MIN;
    o.limits.window_batches = 64; /* small: learners are fed from the journal, too */
    o.limits.join_lag_bytes = 2000;
    o.limits.commit_bytes = 300; /* small: a commit takes several steps */
    r->core = repl_new(&o);
    ts_assert(r->core != NULL);
    r->perform = (struct perform){.core = r->core, .table = &sim_perform_table, .ctx = r};
    struct proposer_config pc = {
        .reg = SIM_REG,
        .self = {(uint16_t)node},
        .instance = {life},
        .generation = 1,
        .voters = SIM_NODES,
        .retry_ns = timing.proposer_retry,
        .seed = ts_prng_next(&s->prng),
    };
    proposer_init(&r->proposer, &pc);
    sim_note(s, node, "replica starts, instance %llu", (unsigned long long)life);
    sim_disk_restore(s, node);
    for (int v = 1; v <= SIM_NODES; v++) {
        if (s->voter[v].core != NULL) {
            voter_link(s, node, v, true);
        }
    }
    sim_net_connect(s);
}

void sim_replica_crash(struct sim *s, int node)
{
    struct sim_replica *r = &s->replica[node];
    int peer = node == 1 ? 2 : 1;
    if (!r->running) {
        return;
    }
    s->crashes++;
    sim_note(s, node, "replica crashes");
    sim_client_gone(s, node);
    sim_disk_crash(s, node);
    r->running = false;
    repl_free(r->core);
    r->core = NULL;
    sim_net_break(s, "process ended");
    if (s->replica[peer].running && sim_chance(s, 90)) {
        sim_push(s,
                 (struct sim_event){.kind = SIM_EV_EVIDENCE,
                                    .at = s->now + sim_rand(s, 200, 90000) * 1000,
                                    .node = peer,
                                    .life = s->replica[peer].life,
                                    .peer = node,
                                    .a = sim_rand(s, REPL_EVIDENCE_SILENT, REPL_EVIDENCE_EXITED)});
    }
}

/* ---- voters --------------------------------------------------------------------------- */

static void voter_effects(struct sim *s, int node, const struct voter_effects *fx)
{
    struct sim_voter *v = &s->voter[node];
    for (size_t i = 0; i < fx->count; i++) {
        const struct voter_effect *e = &fx->e[i];
        if (e->kind == VOTER_PERSIST) {
            ts_assert(v->op_count < 64);
            v->ops[v->op_count++] = (struct sim_voter_op){e->persist.n, e->persist.record};
            uint64_t from = v->busy_until > s->now ? v->busy_until : s->now;
            v->busy_until = from + sim_rand(s, 60, 900) * 1000;
            sim_push(s, (struct sim_event){.kind = SIM_EV_VOTER_DISK,
                                           .at = v->busy_until,
                                           .node = node,
                                           .life = v->life});
        } else if (e->kind == VOTER_REPLY) {
            sim_net_to_proposer(s, node, (int)(e->reply.handle & 0xff), e->reply.handle >> 8,
                                &e->reply.msg);
        }
    }
}

void sim_voter_message(struct sim *s, int node, int from, uint64_t life, const struct reg_msg *msg)
{
    struct voter_event ev = {.kind = VOTER_MESSAGE,
                             .now = {s->now},
                             .from = {(uint16_t)from},
                             .handle = life << 8 | (uint64_t)from,
                             .msg = msg};
    struct voter_effects fx;
    voter_step(s->voter[node].core, &ev, &fx);
    voter_effects(s, node, &fx);
}

static uint64_t commit_voter_op(struct sim_voter *v)
{
    uint64_t n = v->ops[0].n;
    ts_assert(v->ops[0].record.kind == VOTER_RECORD_REGISTER);
    v->durable = v->ops[0].record.reg;
    v->op_count--;
    memmove(&v->ops[0], &v->ops[1], v->op_count * sizeof(v->ops[0]));
    return n;
}

void sim_voter_disk(struct sim *s, int node)
{
    struct voter_event ev = {.kind = VOTER_PERSISTED, .now = {s->now}};
    struct voter_effects fx;
    ev.n = commit_voter_op(&s->voter[node]);
    voter_step(s->voter[node].core, &ev, &fx);
    voter_effects(s, node, &fx);
}

void sim_voter_start(struct sim *s, int node)
{
    struct sim_voter *v = &s->voter[node];
    struct voter_limits limits = {
        .self = {(uint16_t)node}, .registers_max = 1, .starts_max = 1, .held_max = 64};
    struct voter_record record = {.kind = VOTER_RECORD_REGISTER, .reg = v->durable};
    v->core = voter_new(&limits);
    ts_assert(v->core != NULL);
    v->life += 1000;
    enum ts_err err = voter_restore(v->core, &record);
    ts_assert(err == TS_OK);
    struct voter_event ev = {.kind = VOTER_READY, .now = {s->now}};
    struct voter_effects fx;
    voter_step(v->core, &ev, &fx);
    for (int n = 1; n <= SIM_NICS; n++) {
        if (s->replica[n].running) {
            voter_link(s, n, node, true);
        }
    }
}

void sim_voter_crash(struct sim *s, int node)
{
    struct sim_voter *v = &s->voter[node];
    if (v->core == NULL) {
        return;
    }
    sim_note(s, node, "voter crashes");
    size_t keep = v->op_count == 0 ? 0 : (size_t)sim_rand(s, 0, v->op_count);
    while (keep-- > 0) {
        (void)commit_voter_op(v);
    }
    v->op_count = 0;
    v->busy_until = s->now;
    voter_free(v->core);
    v->core = NULL;
    for (int n = 1; n <= SIM_NICS; n++) {
        if (s->replica[n].running) {
            voter_link(s, n, node, false);
        }
    }
}
