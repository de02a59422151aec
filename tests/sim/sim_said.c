/* What a process says is so on its disk, by what that told (R1.3, R2.3): judged from what leaves it
 * and from its disk alone, never by what its core believes. */
#include "base/assert.h"
#include "tests/sim/sim.h"

/* ---- a voter ------------------------------------------------------------------------------------
 */

static const struct reg_start *find_start(const struct sim_voter_image *d,
                                          struct ts_incarnation incarnation)
{
    for (size_t i = 0; i < d->start_count; i++) {
        if (ts_incarnation_eq(d->starts[i].incarnation, incarnation)) {
            return &d->starts[i];
        }
    }
    return NULL;
}

/* What it grants is durable, and what it shows was; the empty register grants nothing. */
static bool is_durable(const struct sim_voter_image *d, const struct reg_msg *msg)
{
    const struct reg_start *start;
    switch ((int)msg->type) {
    case REG_MSG_PROMISE:
        return msg->promise.reg == SIM_GROUP &&
               reg_ballot_cmp(msg->promise.ballot, d->reg.promised) <= 0 &&
               reg_ballot_cmp(msg->promise.accepted, d->reg.accepted) <= 0;
    case REG_MSG_ACCEPTED:
        return msg->accepted.reg == SIM_GROUP &&
               reg_ballot_cmp(msg->accepted.ballot, d->reg.accepted) <= 0;
    case REG_MSG_START_OK:
        start = find_start(d, msg->start_ok.incarnation);
        return start != NULL && start->start >= msg->start_ok.start;
    default:
        return true;
    }
}

void sim_said_reply(struct sim *s, int node, const struct reg_msg *msg)
{
    const struct sim_cfgd *c = &s->node[node].cfgd;
    bool grants = msg->type != REG_MSG_NACK && msg->type != REG_MSG_START_REFUSED;
    if (!is_durable(&c->disk.durable, msg)) {
        sim_fail(s, SIM_CHECK_SAID, "the voter of %s answers %s, which is not on its disk",
                 sim_node_name(s, node), reg_msg_name(msg->type));
    }
    if (c->disk.refused_write) {
        sim_fail(s, SIM_CHECK_SAID, "the voter of %s answers %s, and a write of it was refused",
                 sim_node_name(s, node), reg_msg_name(msg->type));
    }
    if (c->refused && grants) {
        sim_fail(s, SIM_CHECK_CLONE, "the voter of %s answers %s, and its start was refused",
                 sim_node_name(s, node), reg_msg_name(msg->type));
    }
}

void sim_said_heard(struct sim *s, int node, uint8_t type, struct ts_bytes payload)
{
    struct sim_cfgd *c = &s->node[node].cfgd;
    struct reg_msg m;
    if (reg_msg_decode(&m, type, payload) != TS_OK || m.type != REG_MSG_START_REFUSED) {
        return;
    }
    const struct sim_start *mine = &c->disk.durable.start;
    c->refused = c->refused || (m.refused.asked.start == mine->number &&
                                ts_instance_eq(m.refused.asked.instance, mine->instance));
}

/* R1.2: what a voter has on its disk only rises, and its promise is not below what it accepted.
 * R1.8: a disk keeps its owner. */
void sim_said_stored(struct sim *s, int node, const struct voter_record *next)
{
    const struct sim_voter_image *d = &s->node[node].cfgd.disk.durable;
    if (next->kind == VOTER_RECORD_START) {
        const struct reg_start *was = find_start(d, next->start.incarnation);
        if (was != NULL && !reg_owner_eq(was->owner, next->start.owner)) {
            sim_fail(s, SIM_CHECK_CLONE,
                     "the voter of %s registers the disk of node %u for node %u",
                     sim_node_name(s, node), (unsigned)was->owner.node.v,
                     (unsigned)next->start.owner.node.v);
        }
        return;
    }
    const struct voter_register *r = &next->reg;
    if (reg_ballot_cmp(r->promised, d->reg.promised) < 0 ||
        reg_ballot_cmp(r->accepted, d->reg.accepted) < 0 || r->generation < d->reg.generation) {
        sim_fail(s, SIM_CHECK_REGISTER, "the voter of %s goes back on its promise",
                 sim_node_name(s, node));
    }
    if (reg_ballot_cmp(r->promised, r->accepted) < 0) {
        sim_fail(s, SIM_CHECK_REGISTER, "the voter of %s accepted more than it promises",
                 sim_node_name(s, node));
    }
}

/* ---- a replica ----------------------------------------------------------------------------------
 */

/* R2.3: in this epoch, which it has promised and not sealed; and with this log. */
static void check_ack(struct sim *s, int node, const struct repl_msg_ack *m)
{
    const struct sim_replica *r = &s->node[node].replica;
    const struct sim_told *told = &r->disk.told;
    struct ts_hash hash;
    if (told->floor.v > m->epoch.v || (told->floor.v < m->epoch.v && !r->floor_false)) {
        sim_fail(s, SIM_CHECK_SAID, "%s acknowledges in epoch %llu, and has promised %llu",
                 sim_node_name(s, node), (unsigned long long)m->epoch.v,
                 (unsigned long long)told->floor.v);
    }
    bool other = sim_told_hash(told, m->pos.seq, &hash) && !ts_hash_eq(hash, m->pos.hash);
    if (ts_seq_lt(told->seq, m->pos.seq) || other) {
        sim_fail(s, SIM_CHECK_SAID, "%s acknowledges seq %llu, and has %llu on its disk%s",
                 sim_node_name(s, node), (unsigned long long)m->pos.seq.v,
                 (unsigned long long)told->seq.v, other ? ", or something else there" : "");
    }
}

void sim_said_sent(struct sim *s, int node, int to, uint8_t type, struct ts_bytes head)
{
    struct sim_replica *r = &s->node[node].replica;
    struct repl_msg m;
    bool judged = type == REPL_MSG_ACK || type == REPL_MSG_CONFIG || type == REPL_MSG_CONFIRMED ||
                  type == REPL_MSG_REPLAYED;
    if (!judged || repl_msg_decode(&m, type, head) != TS_OK) {
        return;
    }
    if (type == REPL_MSG_REPLAYED) {
        sim_check_replayed(s, node, m.u.replayed.seq);
    } else if (type == REPL_MSG_ACK) {
        check_ack(s, node, &m.u.ack);
    } else if (type == REPL_MSG_CONFIG) {
        r->published[to] = m.u.config.config.epoch;
    } else if (r->disk.told.floor.v > m.u.confirmed.epoch.v) {
        sim_fail(s, SIM_CHECK_SAID, "%s confirms epoch %llu, and has promised %llu",
                 sim_node_name(s, node), (unsigned long long)m.u.confirmed.epoch.v,
                 (unsigned long long)r->disk.told.floor.v);
    }
}

/* R4 step 2: who proposes to follow another process has promised not to follow it any more. */
void sim_said_asked(struct sim *s, int node, const struct reg_msg *msg)
{
    const struct sim_replica *r = &s->node[node].replica;
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    struct cfg_config next;
    if (msg->type != REG_MSG_ACCEPT) {
        return;
    }
    struct ts_reader in = ts_reader_init(msg->accept.value.data, msg->accept.value.len);
    cfg_config_decode(&next, &in);
    if (ts_reader_finish(&in) != TS_OK || next.proposer.v != life || r->floor_false) {
        return;
    }
    ts_assert(next.epoch.v > 0 && next.epoch.v < SIM_EPOCHS_MAX);
    if (s->checks.proposer[next.epoch.v - 1] != life &&
        ts_epoch_lt(r->disk.told.floor, next.epoch)) {
        sim_fail(s, SIM_CHECK_SAID, "%s takes over in epoch %llu, and has promised %llu only",
                 sim_node_name(s, node), (unsigned long long)next.epoch.v,
                 (unsigned long long)r->disk.told.floor.v);
    }
}

void sim_said_released(struct sim *s, int node, struct ts_seq seq, struct ts_epoch epoch)
{
    const struct sim_replica *r = &s->node[node].replica;
    const struct sim_told *told = &r->disk.told;
    if (ts_seq_lt(told->seq, seq) || (ts_epoch_lt(told->floor, epoch) && !r->floor_false)) {
        sim_fail(s, SIM_CHECK_SAID,
                 "%s releases the output of seq %llu in epoch %llu, and has seq %llu and epoch "
                 "%llu on its disk",
                 sim_node_name(s, node), (unsigned long long)seq.v, (unsigned long long)epoch.v,
                 (unsigned long long)told->seq.v, (unsigned long long)told->floor.v);
    }
    /* R3.1: whoever can be told knows the config, a removal above all, before its first output. */
    for (int n = 1; n <= s->nics; n++) {
        if (n != node && sim_link_is_up(s, node, n) && ts_epoch_lt(r->published[n], epoch)) {
            sim_fail(s, SIM_CHECK_RELEASE, "%s releases outputs in epoch %llu, and told %s of %llu",
                     sim_node_name(s, node), (unsigned long long)epoch.v, sim_node_name(s, n),
                     (unsigned long long)r->published[n].v);
        }
    }
}
