/* What the replica knows of the config register, and its one operation at a time. */
#include "base/assert.h"
#include "replicator/state.h"

void repl_reg_start(struct repl *c, struct repl_effects *fx, enum repl_effect_kind kind,
                    struct ts_epoch expected, const struct cfg_config *proposal)
{
    ts_assert(!c->op_running);
    c->op++;
    c->op_running = true;
    c->op_kind = kind;
    struct repl_effect *e = repl_fx(fx, kind);
    e->u.reg.op = c->op;
    e->u.reg.expected = expected;
    if (kind == REPL_EF_REG_READ) {
        c->asking_epoch = c->ask_epoch;
        c->ask_epoch.v = 0;
    }
    if (kind == REPL_EF_REG_CAS) {
        ts_assert(proposal->epoch.v == expected.v + 1); /* R1.5 */
        c->proposal = *proposal;
        c->proposal.proposer = c->o.instance;
        c->proposal.nonce = ts_prng_next(&c->prng) | 1;
        ts_assert(cfg_config_valid(&c->proposal));
        e->u.reg.config = c->proposal;
        repl_trace(c, fx, TS_TRACE_CAS_SENT, (struct ts_seq){0}, expected.v, 0);
    }
}

void repl_reg_abandon(struct repl *c, struct repl_effects *fx)
{
    if (c->op_running) {
        c->op_running = false;
        repl_fx(fx, REPL_EF_REG_ABANDON)->u.reg.op = c->op;
    }
}

void repl_config_send(struct repl *c, struct repl_peer *p, struct repl_effects *fx)
{
    struct ts_writer w = repl_head(fx);
    repl_msg_config_encode(&(struct repl_msg_config){c->config}, &w);
    repl_send(c, fx, p->nic, REPL_MSG_CONFIG, &w, (struct ts_bytes){NULL, 0});
}

void repl_config_publish(struct repl *c, struct repl_effects *fx)
{
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        if (c->peers[i].used && c->peers[i].connected) {
            repl_config_send(c, &c->peers[i], fx);
        }
    }
}

void repl_position_send(struct repl *c, struct repl_peer *p, bool rewind, struct repl_effects *fx)
{
    p->position_told_at = c->now;
    struct repl_msg_position m = {
        .config_epoch = c->config.epoch,
        .floor = c->floor,
        .incarnation = c->incarnation,
        .instance = c->o.instance,
        .committed = c->committed,
        .tail = rewind ? c->committed : repl_log_tail(&c->log),
    };
    struct ts_writer w = repl_head(fx);
    repl_msg_position_encode(&m, &w);
    repl_send(c, fx, p->nic, REPL_MSG_POSITION, &w, (struct ts_bytes){NULL, 0});
}

static void learn_members(struct repl *c)
{
    for (size_t i = 0; i < c->config.members.count; i++) {
        (void)repl_peer_or_new(c, c->config.members.r[i].nic);
    }
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        c->peers[i].acked_valid = false; /* acknowledgements are per epoch (R2.3) */
        c->peers[i].refused = false;
    }
}

/* Ends whatever this replica did as a primary of an older epoch. */
static void leave_primary(struct repl *c, struct repl_effects *fx)
{
    if (c->role == REPL_ROLE_PRIMARY) {
        repl_trace(c, fx, TS_TRACE_STEP_DOWN, repl_log_tail(&c->log).seq, c->config.primary.v, 0);
        repl_fx(fx, REPL_EF_CLOSE_PENDING);
    }
    c->active = false;
    c->blocked = false;
    c->abdication = REPL_ABDICATION_NONE;
    c->doubt.v = 0;
    c->bump = false;
    c->joining.v = 0;
    c->voters_epoch.v = 0;
    c->voters_ask = false;
    c->read_ready = c->read_token;
    c->round_running = false;
    c->commit_lazy_at = TS_MONO_NEVER;
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        c->peers[i].stream = REPL_STREAM_OFF; /* what was sent may be cut off here from now on */
    }
    repl_alarm(c, REPORT_ALARM_NOT_REDUNDANT, false);
    repl_alarm(c, REPORT_ALARM_BLOCKED, false);
}

/* Our own proposal is decided. */
static void config_won(struct repl *c, const struct cfg_config *cfg, struct repl_effects *fx)
{
    ts_assert(ts_instance_eq(cfg->proposer, c->o.instance) && repl_is_self(c, cfg->primary));
    c->config = *cfg;
    c->config_from.v = 0;
    c->bump = false; /* who refused the epoch that is over may have heard of this one first */
    repl_trace(c, fx, TS_TRACE_CAS_DONE, (struct ts_seq){0}, 1, cfg->epoch.v);
    repl_trace(c, fx, TS_TRACE_CONFIG, (struct ts_seq){0}, cfg->primary.v,
               cfg_set_mask(&cfg->in_sync));
    learn_members(c);
    c->poll_at = ts_mono_add(c->now, repl_jitter(c, c->o.timing.poll_register));
    if (c->takeover == REPL_TAKEOVER_CAS) {
        repl_takeover_won(c, fx);
    } else {
        repl_primary_new_epoch(c, fx);
        repl_abdication_won(c, fx);
    }
}

/* Whether the primary that we follow has changed nothing but the epoch or the sets: then it goes on
 * sending where it is. One that ceased to be primary in between begins anew, after our next poll.
 * Only at its own word: while the register was asked, what it sent in the new epoch was dropped. */
static bool goes_on(const struct repl *c, const struct cfg_config *next, const struct repl_peer *p,
                    struct ts_nic_id from)
{
    return ts_nic_eq(from, next->primary) && p->leads &&
           ts_epoch_eq(c->verified_epoch, c->config.epoch) &&
           ts_epoch_eq(next->epoch, ts_epoch_next(c->config.epoch)) &&
           ts_nic_eq(next->primary, c->config.primary) &&
           ts_instance_eq(next->proposer, c->config.proposer);
}

/* Whether the register is being asked for a later epoch than this config's. */
static bool asks_for_later(const struct repl *c, const struct cfg_config *cfg)
{
    return c->op_running && c->op_kind == REPL_EF_REG_READ &&
           ts_epoch_lt(cfg->epoch, c->asking_epoch);
}

/* Follows `cfg` from now on, whatever this replica was. */
static void adopt(struct repl *c, const struct cfg_config *cfg, struct ts_nic_id from,
                  struct repl_effects *fx)
{
    /* A decided value with a higher epoch defeats a proposal conditional on a lower one (R1.4):
     * only now may it leave the required set. When a peer's word for it was false, this replica is
     * not primary any more, and has the register asked before it can be that again. */
    struct repl_peer *p = repl_peer(c, cfg->primary);
    bool tell_position = p != NULL && p->connected && !goes_on(c, cfg, p, from);
    bool ask_again = asks_for_later(c, cfg);
    repl_reg_abandon(c, fx);
    if (ask_again) {
        repl_config_ask(c, c->asking_epoch);
    }
    if (!c->config_known) {
        c->replay_of = cfg->suspect; /* what it has by now is from its disk */
    }
    c->config = *cfg;
    c->config_known = true;
    c->config_asked_for = c->config_asked_for || (from.v != 0 && cfg->suspect.v != 0);
    c->config_from = from;
    c->verified_epoch.v = 0; /* one epoch may name a false config and then the decided one */
    c->asked_epoch.v = 0;
    repl_trace(c, fx, TS_TRACE_CONFIG, (struct ts_seq){0}, cfg->primary.v,
               cfg_set_mask(&cfg->in_sync));
    learn_members(c);
    leave_primary(c, fx);
    c->takeover = REPL_TAKEOVER_NONE;
    c->takeover_at.ns = 0; /* what was waited for was about another config */
    c->enrol_at.ns = 0;
    c->poll_at = ts_mono_add(c->now, repl_jitter(c, c->o.timing.poll_register));
    repl_set_role(c, fx, REPL_ROLE_SECONDARY, repl_enrolment_why(c));
    if (tell_position) {
        repl_position_send(c, p, false, fx);
    }
}

void repl_config_on_told(struct repl *c, const struct repl_peer *p, const struct cfg_config *cfg,
                         struct repl_effects *fx)
{
    if (!c->config_known) {
        return; /* the register is being asked */
    }
    if (!ts_epoch_lt(c->config.epoch, cfg->epoch)) {
        /* Nothing new. From a primary that we take for one that sends to us, it says that it does
         * not: it does not know where we are (ask_positions). */
        bool sends = ts_nic_eq(p->nic, c->config.primary) && cfg_config_eq(cfg, &c->config) &&
                     ts_epoch_eq(c->verified_epoch, c->config.epoch);
        /* What was told just now is on its way. */
        struct ts_mono again = ts_mono_add(p->position_told_at, c->o.timing.failure_timeout);
        if (sends && !ts_mono_lt(c->now, again)) {
            repl_position_send(c, repl_peer(c, p->nic), false, fx);
        }
        return;
    }
    if (c->op_running && c->op_kind == REPL_EF_REG_CAS && cfg_config_eq(cfg, &c->proposal)) {
        return; /* our own proposal: the register says so, too, and then it counts */
    }
    bool next = ts_epoch_eq(cfg->epoch, ts_epoch_next(c->config.epoch));
    if (next && c->config_from.v == 0) {
        adopt(c, cfg, p->nic, fx);
    } else {
        repl_config_ask(c, cfg->epoch);
    }
}

/* What was decided before it was spoken of is in the answer of every later question: one that runs
 * since then is enough. */
void repl_config_ask(struct repl *c, struct ts_epoch epoch)
{
    bool asks = c->op_running && c->op_kind == REPL_EF_REG_READ;
    if (!asks || ts_epoch_lt(c->asking_epoch, epoch)) {
        c->config_asked_for = true;
        c->ask_epoch.v = epoch.v > c->ask_epoch.v ? epoch.v : c->ask_epoch.v;
    }
}

void repl_config_advance(struct repl *c, struct repl_effects *fx)
{
    if (c->config_asked_for && !c->op_running && c->role != REPL_ROLE_HALTED) {
        c->config_asked_for = false;
        repl_reg_start(c, fx, REPL_EF_REG_READ, (struct ts_epoch){0}, NULL);
    }
}

/* The register's word. An operation that runs when a peer's word is believed is abandoned, so this
 * answer is newer than that: a lower epoch in it, or another config of the same, shows that the
 * peer's was never decided. */
static void learn(struct repl *c, const struct cfg_config *cfg, struct repl_effects *fx)
{
    static const struct ts_nic_id REGISTER = {0};
    bool newer = !c->config_known || ts_epoch_lt(c->config.epoch, cfg->epoch);
    if (!newer && c->config_from.v == 0) {
        return;
    }
    if (!newer && cfg_config_eq(cfg, &c->config)) {
        c->config_from = REGISTER;
        return;
    }
    if (!newer) {
        c->malformed++;
        repl_trace(c, fx, TS_TRACE_REJECTED_INPUT, (struct ts_seq){0}, c->config_from.v,
                   c->malformed);
    }
    adopt(c, cfg, REGISTER, fx);
}

void repl_config_on_reg(struct repl *c, const struct repl_event *ev, struct repl_effects *fx)
{
    if (ev->kind == REPL_EV_VOTERS) {
        repl_enrolment_on_voters(c, ev);
        return;
    }
    if (!c->op_running || ev->u.reg.op != c->op) {
        return; /* of an abandoned operation */
    }
    enum repl_effect_kind kind = c->op_kind;
    c->op_running = false;
    if (ev->kind == REPL_EV_REG_PREPARED) {
        ts_assert(kind == REPL_EF_REG_PREPARE);
        repl_takeover_on_prepared(c, &ev->u.reg.config, fx);
        return;
    }
    if (ev->kind == REPL_EV_REG_WON) {
        ts_assert(kind == REPL_EF_REG_CAS && ev->u.reg.config.nonce == c->proposal.nonce);
        config_won(c, &ev->u.reg.config, fx);
        return;
    }
    if (kind == REPL_EF_REG_CAS) {
        repl_trace(c, fx, TS_TRACE_CAS_DONE, (struct ts_seq){0}, 0, ev->u.reg.config.epoch.v);
    }
    learn(c, &ev->u.reg.config, fx);
    if (kind == REPL_EF_REG_CAS) {
        /* Somebody else was faster: let them settle before the next attempt (R4.3, ties). */
        c->takeover_at = ts_mono_add(c->now, repl_jitter(c, c->o.timing.tie_delay));
    }
}

/* Members that are connected and whose position is not known: what they said may have come before
 * this was primary, and what they heard since may have told them that all is well. */
static void ask_positions(struct repl *c, struct repl_effects *fx)
{
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        struct repl_peer *p = &c->peers[i];
        if (p->used && p->connected && p->stream == REPL_STREAM_OFF) {
            repl_config_send(c, p, fx);
        }
    }
}

void repl_config_tick(struct repl *c, struct repl_effects *fx)
{
    if (ts_mono_lt(c->now, c->poll_at)) {
        return;
    }
    c->poll_at = ts_mono_add(c->now, repl_jitter(c, c->o.timing.poll_register));
    struct repl_peer *p = repl_peer(c, c->config.primary);
    bool connected = p != NULL && p->connected;
    bool led = connected && ts_epoch_eq(c->verified_epoch, c->config.epoch);
    if (c->takeover != REPL_TAKEOVER_NONE) {
        return;
    }
    if (c->role == REPL_ROLE_PRIMARY) {
        ask_positions(c, fx);
        c->config_asked_for = c->config_asked_for || c->voters_ask;
        return;
    }
    if (connected && !led) {
        /* An earlier one may have come before it was primary. */
        repl_position_send(c, p, false, fx);
    }
    if (!led || c->config_from.v != 0) {
        c->config_asked_for = true;
    }
}
