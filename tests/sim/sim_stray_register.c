/* Register messages that nobody sent like this, or long ago, or to somebody else: see
 * sim_stray.c. */
#include <string.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

#define TRIES 40

static const struct sim_stray_reg *kept(struct sim *s, int node)
{
    size_t type = (size_t)sim_rand(s, 0, SIM_STRAY_REG_TYPES - 1);
    const struct sim_stray_reg *r = &s->stray.reg[type][sim_rand(s, 0, SIM_STRAY_KEPT - 1)];
    return r->len > 0 && r->to == node ? r : NULL;
}

static bool is_reply(enum reg_msg_type type)
{
    return type != REG_MSG_PREPARE && type != REG_MSG_ACCEPT && type != REG_MSG_START &&
           type != REG_MSG_STARTS_ASK;
}

/* False: nobody is there to hear it. */
static bool hear(struct sim *s, const struct sim_stray_reg *from, uint8_t type,
                 struct ts_bytes payload)
{
    bool reply = from->handle == 0;
    enum sim_proc proc = reply ? (enum sim_proc)from->proc : SIM_CFGD;
    struct sim_event ev = {.kind = reply ? SIM_EV_FROM_VOTER : SIM_EV_TO_VOTER,
                           .at = s->now,
                           .node = from->to,
                           .proc = (uint8_t)proc,
                           .peer = from->from,
                           .type = type,
                           .a = from->handle,
                           .b = SIM_STRAY,
                           .bytes = (uint8_t *)payload.data,
                           .len = payload.len};
    const char *name = reg_msg_name((enum reg_msg_type)type);
    struct reg_msg m;
    bool nack = reg_msg_decode(&m, type, payload) == TS_OK && m.type == REG_MSG_NACK;
    const char *reason = nack ? reg_nack_name(m.nack.reason) : "";
    const struct sim_process *p = &s->node[ev.node].proc[proc];
    if (p->life == 0 || !p->ready || sim_paused(s, ev.node, proc)) {
        return false;
    }
    sim_note(s, ev.node, "hears a stray %s%s%s, %zu bytes", name, nack ? ": " : "", reason,
             payload.len);
    sim_dispatch(s, &ev);
    return true;
}

void sim_stray_garbage_registers(struct sim *s, int node)
{
    for (int i = 0; i < TRIES; i++) {
        const struct sim_stray_reg *r = kept(s, node);
        uint8_t bytes[REG_MSG_PAYLOAD_MAX + 8];
        struct reg_msg m;
        if (r == NULL) {
            continue;
        }
        memcpy(bytes, r->bytes, r->len);
        size_t len = sim_stray_damage(s, bytes, r->len, sizeof(bytes));
        uint8_t type = sim_chance_pm(s, 100) ? (uint8_t)sim_rand(s, 0, 255) : r->type;
        struct ts_bytes payload = {bytes, len};
        if (reg_msg_decode(&m, type, payload) != TS_OK && !hear(s, r, type, payload)) {
            return;
        }
    }
}

/* ---- to a voter ----------------------------------------------------------------------------- */

/* Another value in a ballot that this voter accepted already (R1.2). */
static bool second_value(struct sim *s, int voter, struct reg_accept *m)
{
    const struct voter *core = s->node[voter].cfgd.core;
    const struct voter_register *rec = core == NULL ? NULL : voter_find(core, SIM_GROUP);
    if (rec == NULL || reg_ballot_cmp(rec->accepted, m->ballot) != 0) {
        return false;
    }
    if (sim_chance_pm(s, 500)) {
        m->value.len--;
    } else {
        m->value.data[m->value.len - 1] ^= 1;
    }
    return true;
}

/* A start that the voter knows, or a later one: another's may stand in its place. */
static bool is_registered(const struct sim *s, int voter, const struct reg_start *m)
{
    const struct sim_voter_image *d = &s->node[voter].cfgd.disk.durable;
    for (size_t i = 0; i < d->start_count; i++) {
        if (ts_incarnation_eq(d->starts[i].incarnation, m->incarnation)) {
            return m->start <= d->starts[i].start;
        }
    }
    return false;
}

/* Has it name another register, sender, owner or process, or a second value. False: not now. */
static bool change_request(struct sim *s, int voter, struct reg_msg *m)
{
    uint64_t n = sim_rand(s, 0, 5);
    struct ts_nic_id other = {TS_NODES_MAX};
    struct reg_owner kept_owner = m->start.owner;
    if (m->type == REG_MSG_START && !is_registered(s, voter, &m->start)) {
        return false;
    }
    if (m->type == REG_MSG_START) {
        m->start.owner.node = n == 0 ? other : m->start.owner.node;
        if (n == 1 && m->start.owner.kind == REG_OWNER_REPLICA) {
            m->start.owner.group.v++;
        } else if (n > 2) {
            bool voters = m->start.owner.kind == REG_OWNER_VOTER;
            m->start.owner.kind = voters ? REG_OWNER_REPLICA : REG_OWNER_VOTER;
            m->start.owner.group.v = voters ? SIM_GROUP : 0;
        }
        if (n == 5) {
            m->start.owner = kept_owner;
            m->start.incarnation = s->genesis.members.r[0].incarnation; /* a copy of nic1's disk */
        }
        if (n == 5 && !is_registered(s, voter, &m->start)) {
            return false;
        }
        m->start.instance.v += n == 2;
        return true;
    }
    if (m->type == REG_MSG_STARTS_ASK) {
        m->starts_ask.index = (uint16_t)(m->starts_ask.index + n);
        return true;
    }
    /* A ballot stands at the same place in both. */
    uint32_t *reg = m->type == REG_MSG_PREPARE ? &m->prepare.reg : &m->accept.reg;
    struct reg_ballot *b = m->type == REG_MSG_PREPARE ? &m->prepare.ballot : &m->accept.ballot;
    *reg = n == 0 ? SIM_GROUP_EMPTY : n == 1 ? SIM_GROUP_EMPTY + 1 : *reg;
    b->proposer = n == 2 ? other : b->proposer;
    return n != 3 || (m->type == REG_MSG_ACCEPT && second_value(s, voter, &m->accept));
}

/* ---- from a voter --------------------------------------------------------------------------- */

/* Another value than this one, for the same place of the register. */
static void other_value(struct sim *s, struct cfg_config *c)
{
    uint64_t n = sim_rand(s, 0, 7);
    struct cfg_replica *first = &c->in_sync.r[0];
    struct cfg_replica stranger = {{TS_NODES_MAX}, {1}};
    c->nonce += n == 0;
    c->suspect.v += n == 1;
    c->min_version += n == 2;
    c->durability = n == 3 ? CFG_DURABILITY_MEMORY : c->durability;
    c->proposer.v += n == 4;
    if (n == 5) {
        first->incarnation.v++;
        cfg_set_add(&c->members, *first);
    } else if (n >= 6) {
        cfg_set_add(&c->members, stranger);
    }
    if (n == 7 && c->in_sync.count > 1) {
        struct cfg_replica *last = &c->in_sync.r[c->in_sync.count - 1];
        cfg_set_remove(&c->in_sync, ts_nic_eq(last->nic, c->primary) ? first->nic : last->nic);
        cfg_set_add(&c->in_sync, stranger);
    }
}

/* A refusal in the round that runs: it may delay it. */
static bool bad_nack(struct sim *s, const struct sim_stray_reg *r, struct reg_msg *m)
{
    const struct sim_replica *replica = &s->node[r->to].replica;
    const struct proposer *p = &replica->p.proposer;
    if (r->proc != SIM_REPLICA || replica->core == NULL || p->phase == PROPOSER_IDLE) {
        return false;
    }
    m->type = REG_MSG_NACK;
    m->nack = (struct reg_nack){.reg = SIM_GROUP, .ballot = p->ballot, .promised = p->ballot};
    m->nack.reason = (enum reg_nack_reason)(
        sim_chance_pm(s, 500) ? REG_NACK_BALLOT : sim_rand(s, 0, REG_NACK_REASONS - 1));
    m->nack.promised.counter += sim_rand(s, 0, 1);
    return true;
}

/* A promise in the round that runs, from a voter that is blank, holds what is no config, or another
 * value in the ballot that a second voter showed. False: not now. */
static bool bad_promise(struct sim *s, const struct sim_stray_reg *r, struct reg_msg *m)
{
    const struct sim_replica *replica = &s->node[r->to].replica;
    const struct proposer *p = &replica->p.proposer;
    uint64_t n = sim_rand(s, 0, 2);
    if (r->proc != SIM_REPLICA || replica->core == NULL || p->phase != PROPOSER_PREPARING ||
        (n == 2 && !p->has_seen)) {
        return false;
    }
    m->type = REG_MSG_PROMISE;
    m->promise = (struct reg_promise){.reg = SIM_GROUP, .ballot = p->ballot};
    if (n == 0) {
        return true;
    }
    struct cfg_config other = n == 1 ? s->genesis : p->seen;
    struct ts_writer w = ts_writer_init(m->promise.value.data, sizeof(m->promise.value.data));
    other_value(s, &other);
    cfg_config_encode(&other, &w);
    m->promise.value.len = (uint16_t)w.len;
    m->promise.value.data[0] ^= n == 1 ? 0xff : 0; /* of another format */
    m->promise.accepted = n == 2 ? p->seen_ballot : (struct reg_ballot){0};
    return true;
}

static bool change_reply(struct sim *s, const struct sim_stray_reg *r, struct reg_msg *m)
{
    uint64_t n = sim_rand(s, 0, 5);
    if (n < 2) {
        return n == 0 ? bad_promise(s, r, m) : bad_nack(s, r, m);
    }
    uint32_t other = SIM_GROUP + (n == 2);
    if (m->type == REG_MSG_PROMISE) {
        m->promise.reg = other;
    } else if (m->type == REG_MSG_ACCEPTED) {
        m->accepted.reg = other;
    } else if (m->type == REG_MSG_NACK) {
        m->nack.reg = other;
        m->nack.reason =
            n == 3 ? (enum reg_nack_reason)sim_rand(s, 0, REG_NACK_REASONS - 1) : m->nack.reason;
    } else if (m->type == REG_MSG_START_OK) {
        if (r->proc == SIM_REPLICA && s->node[r->to].replica.core != NULL) {
            m->start_ok = s->node[r->to].replica.p.registration.cfg.start; /* but for one thing: */
        }
        m->start_ok.instance.v += n == 2;
        m->start_ok.incarnation.v += n == 3;
        m->start_ok.start += n > 3;
    } else if (m->type == REG_MSG_START_REFUSED) {
        m->refused.asked.instance.v++; /* never to who did ask: that would end it */
    }
    return true;
}

void sim_stray_old_registers(struct sim *s, int node)
{
    for (int i = 0; i < TRIES; i++) {
        const struct sim_stray_reg *r = kept(s, node);
        uint8_t bytes[REG_MSG_PAYLOAD_MAX];
        struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
        struct reg_msg m;
        if (r == NULL) {
            continue;
        }
        enum ts_err err = reg_msg_decode(&m, r->type, (struct ts_bytes){r->bytes, r->len});
        ts_assert(err == TS_OK);
        struct sim_stray_reg to = *r;
        if (sim_chance_pm(s, 50) && is_reply(m.type) && m.type != REG_MSG_START_REFUSED) {
            to.handle = sim_net_handle(r->from, SIM_CFGD, 1); /* as if a voter were asked so */
            to.proc = SIM_CFGD;
        } else if (is_reply(m.type) ? !change_reply(s, r, &m) : !change_request(s, node, &m)) {
            continue;
        }
        reg_msg_encode(&m, &w);
        ts_assert(!w.failed);
        if (!hear(s, &to, (uint8_t)m.type, (struct ts_bytes){bytes, w.len})) {
            return;
        }
    }
}
