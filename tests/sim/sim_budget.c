/* The fault budget (its text stands in sim.h): whether a disk may be lost for good now. */
#include "replicator/state.h"
#include "tests/sim/sim.h"

/* Whether a replica with a good disk, other than `node`, is in this in-sync set. */
static bool survives(const struct sim *s, const struct cfg_config *cfg, int node)
{
    for (size_t i = 0; i < cfg->in_sync.count; i++) {
        int n = cfg->in_sync.r[i].nic.v;
        if (n != node && n <= s->nics && sim_disk_good(&s->node[n].replica.disk) &&
            ts_incarnation_eq(cfg->in_sync.r[i].incarnation, s->node[n].replica.disk.incarnation)) {
            return true;
        }
    }
    return false;
}

static bool value_survives(const struct sim *s, const struct reg_value *value, int node)
{
    struct cfg_config cfg;
    struct ts_reader r = ts_reader_init(value->data, value->len);
    cfg_config_decode(&cfg, &r);
    return ts_reader_finish(&r) != TS_OK || survives(s, &cfg, node);
}

static bool voters_survive(const struct sim *s, int node)
{
    for (int v = 1; v <= s->nodes; v++) {
        const struct sim_cfgd *c = &s->node[v].cfgd;
        if (!value_survives(s, &c->disk.durable.reg.value, node)) {
            return false;
        }
        const struct voter_register *now = c->core == NULL ? NULL : voter_find(c->core, SIM_GROUP);
        if (now != NULL && !value_survives(s, &now->value, node)) {
            return false;
        }
        for (size_t i = 0; i < c->disk.op_count; i++) {
            const struct voter_record *r = &c->disk.ops[i].record;
            if (r->kind == VOTER_RECORD_REGISTER && !value_survives(s, &r->reg.value, node)) {
                return false;
            }
        }
    }
    return true;
}

static bool proposals_survive(const struct sim *s, int node)
{
    for (int n = 1; n <= s->nics; n++) {
        const struct sim_replica *r = &s->node[n].replica;
        if (r->core == NULL) {
            continue;
        }
        bool cas = r->core->op_running && r->core->op_kind == REPL_EF_REG_CAS;
        bool proposes = r->p.proposer.op == PROPOSER_OP_CAS;
        if ((cas && !survives(s, &r->core->proposal, node)) ||
            (proposes && !survives(s, &r->p.proposer.proposal, node)) ||
            (r->p.proposer.has_seen && !survives(s, &r->p.proposer.seen, node))) {
            return false;
        }
    }
    return true;
}

static bool messages_survive(const struct sim *s, int node)
{
    size_t i = 0;
    const struct sim_event *ev;
    while ((ev = sim_queue_next(&s->queue, &i)) != NULL) {
        struct reg_msg msg;
        if (ev->kind == SIM_EV_TO_VOTER &&
            reg_msg_decode(&msg, ev->type, (struct ts_bytes){ev->bytes, ev->len}) == TS_OK &&
            msg.type == REG_MSG_ACCEPT && !value_survives(s, &msg.accept.value, node)) {
            return false;
        }
    }
    return true;
}

/* Two replays must agree before anybody serves again (R5.2). */
static bool is_suspected(const struct sim *s)
{
    bool any = s->checks.decided.suspect.v != 0;
    for (int n = 1; n <= s->nics; n++) {
        const struct repl *c = s->node[n].replica.core;
        any = any || (c != NULL && (c->doubt.v != 0 || c->config.suspect.v != 0));
    }
    return any;
}

static int good_in_sync(const struct sim *s, const struct cfg_config *cfg)
{
    int good = 0;
    for (size_t i = 0; i < cfg->in_sync.count; i++) {
        const struct sim_disk *d = &s->node[cfg->in_sync.r[i].nic.v].replica.disk;
        good +=
            sim_disk_good(d) && ts_incarnation_eq(cfg->in_sync.r[i].incarnation, d->incarnation);
    }
    return good;
}

bool sim_budget_allows_replica_loss(const struct sim *s, int node)
{
    if (s->options.beyond) {
        return true;
    }
    if (!sim_disk_good(&s->node[node].replica.disk) || is_suspected(s)) {
        return false;
    }
    return survives(s, &s->checks.decided, node) && voters_survive(s, node) &&
           proposals_survive(s, node) && messages_survive(s, node);
}

bool sim_budget_allows_voter_loss(const struct sim *s, int node, bool old_image)
{
    int lost = 1;
    if (!sim_replace_voter_counts(s, node) || (old_image && sim_clone_votes(s))) {
        return false; /* two disks that forgot would make each other a majority (adr/0010) */
    }
    for (int v = 1; v <= s->nodes; v++) {
        const struct sim_voter_image *d = &s->node[v].cfgd.disk.durable;
        bool knows = false;
        if (v == node) {
            continue;
        }
        lost += !sim_replace_voter_counts(s, v);
        for (size_t i = 0; i < d->start_count; i++) {
            const struct sim_voter_disk *of = &s->node[node].cfgd.disk;
            knows = knows || (ts_incarnation_eq(d->starts[i].incarnation, of->incarnation) &&
                              d->starts[i].start >= of->durable.start.number);
        }
        /* One that was taken out may be put back, and know less. */
        if (old_image &&
            ((!knows && !s->node[v].cfgd.disk.lost) || s->node[v].cfgd.aside != NULL)) {
            return false;
        }
    }
    return (s->options.beyond && !old_image) || lost <= (s->nodes - 1) / 2;
}

bool sim_budget_group_can_serve(const struct sim *s)
{
    int voters = 0;
    for (int v = 1; v <= s->nodes; v++) {
        voters += sim_replace_voter_counts(s, v);
    }
    const struct cfg_config *cfg = &s->checks.decided;
    int needed = cfg->suspect.v != 0 && cfg->in_sync.count > 1 ? 2 : 1;
    return voters > s->nodes / 2 && good_in_sync(s, cfg) >= needed;
}

/* Whether this config leaves no replica with a good disk in sync, and the one before did. */
static bool drops_the_last(const struct sim *s, const struct cfg_config *from,
                           const struct cfg_config *to)
{
    return survives(s, from, 0) && !survives(s, to, 0);
}

void sim_budget_proposed(struct sim *s, int node)
{
    const struct repl *core = s->node[node].replica.core;
    /* While it asks others to help it mend its journal nobody knows what comes of it. */
    bool hopeless =
        s->node[node].replica.disk.told_bad && perform_repair_is_hopeless(&s->node[node].replica.p);
    if (!s->options.beyond && hopeless && drops_the_last(s, &core->config, &core->proposal)) {
        sim_fail(s, SIM_CHECK_LIVE,
                 "%s knows that its disk is damaged for good, and drops the last replica with a "
                 "good one",
                 sim_node_name(s, node));
    }
}

void sim_budget_decided(struct sim *s, const struct cfg_config *next)
{
    if (drops_the_last(s, &s->checks.decided, next)) {
        s->stats.dropped = 1;
    }
}

int sim_budget_replicas_left(const struct sim *s)
{
    int left = 0;
    for (int n = 1; n <= s->nics; n++) {
        left += !s->node[n].replica.disk.lost && !s->node[n].replica.disk.out;
    }
    return left;
}
