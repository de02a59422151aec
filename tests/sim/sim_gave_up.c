/* A primary that gives up (R4.4): it has a reason and an heir, orders and answers nothing more in
 * that epoch, and nobody takes over at its word but in the epoch that it gave up. */
#include "replicator/state.h"
#include "tests/sim/sim.h"

void sim_gave_up_begins(struct sim *s, int node)
{
    struct sim_replica *r = &s->node[node].replica;
    r->gave_up.v = 0;
    r->asks = 0;
    r->drain_looks = 0;
    r->finished_at = s->now;
}

void sim_gave_up_fed(struct sim *s, int node, const struct repl_event *ev)
{
    struct sim_replica *r = &s->node[node].replica;
    bool log = ev->kind == REPL_EV_PERSISTED && ts_seq_lt(r->core->persisted, ev->u.persisted);
    bool floor =
        ev->kind == REPL_EV_FLOOR_PERSISTED && ts_epoch_lt(r->core->floor_durable, ev->u.floor);
    if (log || floor) { /* strays tell again what is known */
        r->finished_at = s->now;
    }
}

void sim_gave_up_wish(struct sim *s, int node, int to)
{
    sim_push(s, &(struct sim_event){.kind = SIM_EV_WISH,
                                    .at = s->now,
                                    .node = (uint8_t)node,
                                    .proc = SIM_REPLICA,
                                    .life = s->node[node].proc[SIM_REPLICA].life,
                                    .peer = (uint8_t)to});
}

void sim_gave_up_wished(struct sim *s, const struct sim_event *ev)
{
    const struct sim_replica *r = &s->node[ev->node].replica;
    if (r->p.started) {
        struct repl_event e = {.kind = REPL_EV_HANDOFF, .peer = {ev->peer}};
        sim_feed(s, ev->node, &e);
    }
}

/* Everything that it ordered was answered first, and its heir is the one that was wished for. */
static void hands_over(struct sim *s, int node, const struct ts_trace *t)
{
    const struct sim_replica *r = &s->node[node].replica;
    if (!ts_seq_eq(t->seq, r->core->committed.seq) || t->a != r->core->heir.v) {
        sim_fail(s, SIM_CHECK_GAVE_UP, "%s hands over with entries that it has not answered",
                 sim_node_name(s, node));
    }
}

static void gives_up(struct sim *s, int node, const struct ts_trace *t)
{
    struct sim_replica *r = &s->node[node].replica;
    uint64_t timeout = s->cluster.timing.failure_timeout;
    int heir = (int)t->a;
    r->gave_up = t->epoch;
    r->gave_up_at = s->now;
    s->checks.gave_up[t->epoch.v] = s->node[node].proc[SIM_REPLICA].life;
    if (cfg_set_find(&r->core->config.in_sync, (struct ts_nic_id){(uint16_t)heir}) == NULL ||
        !sim_link_is_up(s, node, heir)) {
        sim_fail(s, SIM_CHECK_GAVE_UP, "%s gives up, and %s cannot take over",
                 sim_node_name(s, node), sim_node_name(s, heir));
    }
    /* Clocks drift a little. */
    bool hangs = t->b == REPL_EVIDENCE_ABDICATED && !r->p.disk_failed;
    if (hangs && s->now - r->finished_at < timeout - timeout / 1000) {
        sim_fail(s, SIM_CHECK_FAILOVER,
                 "%s gives up, and its disk has finished a write %llu us ago",
                 sim_node_name(s, node), (unsigned long long)((s->now - r->finished_at) / 1000));
    }
}

/* Its wish of before comes once more, when others follow its new epoch. */
static void say_again(struct sim *s, int node)
{
    const struct sim_replica *r = &s->node[node].replica;
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    struct repl_msg_take_over m = {
        .epoch = r->gave_up, .instance = r->core->o.instance, .why = REPL_TAKE_OVER_DISK};
    repl_msg_take_over_encode(&m, &w);
    for (int n = 1; n <= s->nics; n++) {
        if (n != node && s->node[n].proc[SIM_REPLICA].life != 0) {
            struct ts_bytes none = {NULL, 0};
            sim_push(s, &(struct sim_event){
                            .kind = SIM_EV_LIE,
                            .at = s->now + sim_us(s, 0, 300000),
                            .node = (uint8_t)n,
                            .proc = SIM_REPLICA,
                            .life = s->node[n].proc[SIM_REPLICA].life,
                            .peer = (uint8_t)node,
                            .type = REPL_MSG_TAKE_OVER,
                            .bytes = sim_bytes_copy(s, (struct ts_bytes){bytes, w.len}, none),
                            .len = w.len});
        }
    }
}

void sim_gave_up_traced(struct sim *s, int node, const struct ts_trace *t)
{
    if (t->kind == TS_TRACE_ABDICATED) {
        gives_up(s, node, t);
        if (t->b == REPL_EVIDENCE_HANDED_OVER) {
            hands_over(s, node, t);
        }
    }
    if (t->kind == TS_TRACE_SUSPECT) { /* likewise: nothing leaves it any more (R5.2) */
        s->node[node].replica.gave_up = t->epoch;
    }
    if (t->kind == TS_TRACE_ACTIVE || t->kind == TS_TRACE_RESUMES) {
        s->node[node].replica.asks = 0;
    }
    const struct repl *core = s->node[node].replica.core;
    bool gave_up = core->abdication == REPL_ABDICATION_ASKED || core->doubt.v != 0;
    if (t->kind == TS_TRACE_CAS_DONE && t->a == 1 && gave_up) {
        /* What it had proposed before is decided: it gives up that epoch, too. */
        s->node[node].replica.gave_up.v = t->b;
        s->checks.gave_up[t->b] = s->node[node].proc[SIM_REPLICA].life;
    }
    if (t->kind == TS_TRACE_RESUMES) {
        say_again(s, node);
    }
    bool asked = t->b == REPL_EVIDENCE_ABDICATED || t->b == REPL_EVIDENCE_HANDED_OVER;
    if (t->kind == TS_TRACE_EVIDENCE && asked && s->checks.gave_up[t->epoch.v] == 0) {
        sim_fail(s, SIM_CHECK_FAILOVER, "%s obeys a word that nobody said in epoch %llu",
                 sim_node_name(s, node), (unsigned long long)t->epoch.v);
    }
}

bool sim_gave_up_loses(struct sim *s, int node, int to)
{
    struct sim_replica *r = &s->node[node].replica;
    if (r->asks++ > 0 || !sim_chance_pm(s, 250)) {
        return false;
    }
    sim_note(s, node, "the session with %s ends, and the word is lost", sim_node_name(s, to));
    sim_link_reset(s, node, to, -1);
    return true;
}

/* Whose disk has finished everything does not wait for others for ever. */
void sim_gave_up_look(struct sim *s, int node)
{
    const struct sim_replica *r = &s->node[node].replica;
    const struct repl *c = r->core;
    unsigned *looks = &s->node[node].replica.drain_looks; /* ten in a failure-timeout */
    *looks = c->abdication == REPL_ABDICATION_DRAINS ? *looks + 1 : 0;
    if (*looks > 8) {
        sim_fail(s, SIM_CHECK_LIVE, "%s is to hand over for long, and orders nothing",
                 sim_node_name(s, node));
    }
    if (c->role != REPL_ROLE_PRIMARY || c->abdication != REPL_ABDICATION_ASKED || c->disk.owes) {
        return;
    }
    const struct sim_process *p = &s->node[node].proc[SIM_REPLICA];
    uint64_t from = r->finished_at > r->gave_up_at ? r->finished_at : r->gave_up_at;
    from = p->paused_until > from ? p->paused_until : from;
    if (s->now - from > 2 * s->cluster.timing.failure_timeout) {
        sim_fail(s, SIM_CHECK_LIVE, "%s gave up %llu ms ago, and waits though its disk works",
                 sim_node_name(s, node), (unsigned long long)((s->now - r->gave_up_at) / SIM_MS));
    }
}

void sim_gave_up_appends(struct sim *s, int node, const struct repl_batch *batch)
{
    const struct sim_replica *r = &s->node[node].replica;
    if (r->core->role == REPL_ROLE_PRIMARY && !ts_epoch_lt(r->gave_up, batch->epoch)) {
        sim_fail(s, SIM_CHECK_GAVE_UP, "%s orders seq %llu in epoch %llu, which it gave up",
                 sim_node_name(s, node), (unsigned long long)batch->first.v,
                 (unsigned long long)batch->epoch.v);
    }
}

void sim_gave_up_released(struct sim *s, int node, struct ts_epoch epoch)
{
    if (!ts_epoch_lt(s->node[node].replica.gave_up, epoch)) {
        sim_fail(s, SIM_CHECK_GAVE_UP, "%s answers in epoch %llu, which it gave up",
                 sim_node_name(s, node), (unsigned long long)epoch.v);
    }
}
