/* The replica's way to the config register: registration of its start (R1.8), then the
 * proposer, both over the standing links to the voters. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "daemon/replica.h"

/* So many failure-timeouts without a majority of voters are no passing matter: links that are being
 * made at a start take a few milliseconds, and a takeover's rounds, too. */
#define VOTERS_AWAY_TIMEOUTS 3

static void send_to_voter(struct replica *r, uint8_t voter, const struct reg_msg *msg)
{
    uint8_t bytes[REG_MSG_PAYLOAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    reg_msg_encode(msg, &w);
    ts_assert(!w.failed && voter < r->voter_count);
    /* A link that refuses is closing: VOTER_UP re-sends what is outstanding. */
    enum ts_err ignored = voter_client_send(r->voters, r->voter_ids[voter], (uint8_t)msg->type,
                                            (struct ts_bytes){bytes, w.len});
    (void)ignored;
}

static void on_done(struct replica *r, const struct proposer_result *result)
{
    struct repl_event ev = {0};
    switch (result->outcome) {
    case PROPOSER_PREPARED:
        ev.kind = REPL_EV_REG_PREPARED;
        break;
    case PROPOSER_WON:
        ev.kind = REPL_EV_REG_WON;
        break;
    case PROPOSER_DECIDED:
    case PROPOSER_LOST:
        ev.kind = REPL_EV_REG_LOST;
        break;
    }
    ev.u.reg.op = r->op;
    ev.u.reg.config = result->value;
    replica_feed(r, &ev);
}

static void proposer_event(struct replica *r, struct proposer_event *ev)
{
    struct proposer_effects fx;
    ev->now = net_now();
    proposer_step(&r->proposer, ev, &fx);
    for (size_t i = 0; i < fx.count; i++) {
        const struct proposer_effect *e = &fx.e[i];
        switch (e->kind) {
        case PROPOSER_EFFECT_SEND:
            send_to_voter(r, e->voter, &e->msg);
            break;
        case PROPOSER_EFFECT_DONE:
            /* Only a voter's message ends an operation, never the event that starts one:
             * so this is not within a step of the replication core. */
            ts_assert(ev->kind != PROPOSER_EVENT_OP);
            on_done(r, &e->result);
            break;
        case PROPOSER_EFFECT_TRACE:
            replica_trace(r, &e->trace);
            break;
        }
    }
}

void replica_register_op(struct replica *r, enum repl_effect_kind kind, uint64_t op,
                         struct ts_epoch expected, const struct cfg_config *config)
{
    struct proposer_event ev = {.kind = PROPOSER_EVENT_OP, .expected = expected, .config = config};
    if (kind == REPL_EF_REG_ABANDON) {
        proposer_abandon(&r->proposer);
        return;
    }
    ev.op = PROPOSER_OP_CAS;
    if (kind == REPL_EF_REG_PREPARE) {
        ev.op = PROPOSER_OP_PREPARE;
    } else if (kind == REPL_EF_REG_READ) {
        ev.op = PROPOSER_OP_READ;
    }
    r->op = op;
    r->op_kind = kind;
    proposer_event(r, &ev);
}

/* The refusal is marked on the disk: it holds also when nobody who knows better is left (R1.8). */
static void on_clone(struct replica *r, uint64_t registered)
{
    char reason[96];
    (void)snprintf(reason, sizeof(reason),
                   "it was started %" PRIu64 " times, the voters know of start %" PRIu64,
                   r->registration.cfg.start.start, registered);
    ts_dir_refuse(r->group_dir, reason);
    net_log(
        &r->start->log, NET_LOG_ERROR,
        "the disk in %s is a clone or a rolled-back image: %s; this replica does not start. Put "
        "the original directory back in its place, or remove it and enrol a blank disk",
        r->group_dir, reason);
    r->exit_status = TS_EXIT_CONFIG;
    uv_stop(&r->loop);
}

/* The links open and the core starts when the disk remembers this start as registered. */
static void on_registered(struct replica *r)
{
    enum ts_err err = journal_confirm_start(r->journal, 0);
    if (err != TS_OK) {
        replica_disk_trouble(r, "the start cannot be remembered", err);
    }
}

static void start_event(struct replica *r, struct start_event *ev)
{
    struct start_effects fx;
    ev->now = net_now();
    start_step(&r->registration, ev, &fx);
    for (size_t i = 0; i < fx.count; i++) {
        const struct start_effect *e = &fx.e[i];
        switch (e->kind) {
        case START_EFFECT_SEND:
            send_to_voter(r, e->voter, &e->msg);
            break;
        case START_EFFECT_REGISTERED:
            on_registered(r);
            break;
        case START_EFFECT_CLONE:
            on_clone(r, e->msg.refused.registered_start);
            break;
        case START_EFFECT_TRACE:
            replica_trace(r, &e->trace);
            break;
        }
    }
}

static bool voter_index(const struct replica *r, struct ts_nic_id voter, uint8_t *out)
{
    for (uint8_t i = 0; i < r->voter_count; i++) {
        if (ts_nic_eq(r->voter_ids[i], voter)) {
            *out = i;
            return true;
        }
    }
    return false;
}

static void on_voter_up(void *arg, struct ts_nic_id voter, const struct net_hello *hello)
{
    struct replica *r = arg;
    uint8_t i;
    (void)hello;
    if (voter_index(r, voter, &i)) {
        start_event(r, &(struct start_event){.kind = START_EVENT_VOTER_UP, .voter = i});
        proposer_event(r, &(struct proposer_event){.kind = PROPOSER_EVENT_VOTER_UP, .voter = i});
    }
}

static void on_voter_down(void *arg, struct ts_nic_id voter)
{
    struct replica *r = arg;
    uint8_t i;
    if (voter_index(r, voter, &i)) {
        start_event(r, &(struct start_event){.kind = START_EVENT_VOTER_DOWN, .voter = i});
        proposer_event(r, &(struct proposer_event){.kind = PROPOSER_EVENT_VOTER_DOWN, .voter = i});
    }
}

static void on_voter_frame(void *arg, struct ts_nic_id voter, uint8_t type, struct ts_bytes payload)
{
    struct replica *r = arg;
    struct reg_msg msg;
    uint8_t i;
    if (!voter_index(r, voter, &i)) {
        return;
    }
    if (reg_msg_decode(&msg, type, payload) != TS_OK) {
        net_log_limited(&r->start->log, NET_LOG_WARNING, "voter-frame",
                        "voter on node %u sent a malformed frame of type %u: ignored", voter.v,
                        type);
        return;
    }
    start_event(r, &(struct start_event){.kind = START_EVENT_MESSAGE, .voter = i, .msg = &msg});
    proposer_event(
        r, &(struct proposer_event){.kind = PROPOSER_EVENT_MESSAGE, .voter = i, .msg = &msg});
}

void replica_register_tick(struct replica *r, struct ts_mono now)
{
    if (!ts_mono_lt(now, start_deadline(&r->registration))) {
        start_event(r, &(struct start_event){.kind = START_EVENT_TICK});
    }
    if (!ts_mono_lt(now, proposer_deadline(&r->proposer))) {
        proposer_event(r, &(struct proposer_event){.kind = PROPOSER_EVENT_TICK});
    }
}

struct ts_mono replica_register_deadline(const struct replica *r)
{
    struct ts_mono a = start_deadline(&r->registration);
    struct ts_mono b = proposer_deadline(&r->proposer);
    return ts_mono_lt(a, b) ? a : b;
}

void replica_register_watch(struct replica *r, struct ts_mono now)
{
    bool answers = proposer_answering(&r->proposer, now) >= proposer_majority(&r->proposer);
    if (answers) {
        r->voters_away_at.ns = 0;
    } else if (r->voters_away_at.ns == 0) {
        r->voters_away_at = now;
    }
    uint64_t late = VOTERS_AWAY_TIMEOUTS * r->start->cluster.timing.failure_timeout;
    bool away = !answers && ts_mono_since(r->voters_away_at, now) >= late;
    r->status_changed = r->status_changed || away != r->voters_away;
    r->voters_away = away;
}

enum ts_err replica_register_open(struct replica *r, struct ts_why *why)
{
    const struct cfg_cluster *cluster = &r->start->cluster;
    const struct journal_info *info = journal_info(r->journal);
    uint64_t seed;
    r->voter_count = (uint8_t)cfg_cluster_voters(cluster, r->voter_ids);
    enum ts_err err = net_random_u64(&seed);
    if (err != TS_OK) {
        return err;
    }
    struct start_config sc = {
        .start = {.owner = {.kind = REG_OWNER_REPLICA,
                            .group = r->start->group->id,
                            .node = r->start->node->id},
                  .incarnation = info->incarnation,
                  .start = info->start_number,
                  .instance = info->start_instance},
        .voters = r->voter_count,
        .self = START_NO_SELF,
        .retry_ns = cluster->timing.proposer_retry,
    };
    start_init(&r->registration, &sc);
    struct proposer_config pc = {
        .reg = r->start->group->id.v,
        .self = r->start->node->id,
        .instance = r->instance,
        .generation = 1,
        .voters = r->voter_count,
        .retry_ns = cluster->timing.proposer_retry,
        .seed = seed,
    };
    proposer_init(&r->proposer, &pc);
    struct voter_client_config vc = {
        .env = {.loop = &r->loop, .turn = &r->turn, .log = &r->start->log, .tls = &r->tls},
        .cluster = cluster,
        .self = r->start->node->id,
        .group = r->start->group->id,
        .instance = r->instance,
        .incarnation = info->incarnation,
        .start = info->start_number,
        .events = {.on_up = on_voter_up, .on_down = on_voter_down, .on_frame = on_voter_frame},
        .arg = r,
    };
    err = voter_client_open(&vc, &r->voters, why);
    if (err == TS_OK) {
        start_event(r, &(struct start_event){.kind = START_EVENT_BEGIN});
    }
    return err;
}
