/* Takeover by an in-sync replica, in the four steps of R4:
 *   1. prepare at a majority of voters, which shows e;
 *   2. seal: a durable promise to acknowledge nothing of any epoch <= e; then read the log end;
 *   3. compare-and-swap e -> e+1 {primary self, in_sync {self}};
 *   4. commit and apply the whole tail and a no-op with the rebased time; then answer.
 * A restarted primary that is still in sync takes this way too (R2.6). */
#include "base/assert.h"
#include "replicator/state.h"

/* What speaks against the primary of the present config. */
static enum repl_evidence primary_evidence(const struct repl *c)
{
    if (repl_is_self(c, c->config.primary)) {
        return REPL_EVIDENCE_SELF; /* decided before this process began: R2.6 */
    }
    if (ts_epoch_eq(c->asked_epoch, c->config.epoch)) {
        return c->asked_why; /* R4.4, R4.5 */
    }
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        const struct repl_peer *p = &c->peers[i];
        if (!p->used || !ts_nic_eq(p->nic, c->config.primary)) {
            continue;
        }
        bool restarted = p->connected && c->config.proposer.v != 0 &&
                         !ts_instance_eq(p->instance, c->config.proposer);
        /* A blank disk in its place waits for us. */
        bool other_disk = p->connected && !cfg_set_has(&c->config.in_sync, p->nic, p->incarnation);
        if (restarted || other_disk) {
            return REPL_EVIDENCE_RESTARTED;
        }
        /* Nobody listens there yet, and we never saw it: it may only be starting. */
        bool maybe_starting = !p->ever_connected && p->evidence > REPL_EVIDENCE_SILENT;
        return maybe_starting ? REPL_EVIDENCE_SILENT : p->evidence;
    }
    return REPL_EVIDENCE_NONE;
}

/* A floor further ahead than the next epoch was promised to one that the register does not know. No
 * single false word leads there, so the register has lost what it decided, and with it who is in
 * sync. */
static bool floor_is_ahead(const struct repl *c)
{
    return ts_epoch_lt(ts_epoch_next(c->config.epoch), c->floor);
}

static bool eligible(const struct repl *c)
{
    bool clear = c->config.suspect.v == 0 || repl_divergence_replays(c) == REPL_REPLAYS_AGREE;
    return repl_self_in_sync(c, &c->config) && clear && !floor_is_ahead(c);
}

static void cancel(struct repl *c, struct repl_effects *fx)
{
    if (c->takeover == REPL_TAKEOVER_PREPARE) {
        repl_reg_abandon(c, fx);
    }
    c->takeover = REPL_TAKEOVER_NONE;
    c->takeover_at.ns = 0; /* the next evidence is another matter */
    if (c->role == REPL_ROLE_TAKING_OVER) {
        repl_set_role(c, fx, REPL_ROLE_SECONDARY, REPL_WHY_NONE);
    }
}

static void begin(struct repl *c, enum repl_evidence why, struct repl_effects *fx)
{
    c->takeover = REPL_TAKEOVER_PREPARE;
    c->takeover_why = why;
    c->config_asked_for = false; /* this asks the register, too */
    repl_set_role(c, fx, REPL_ROLE_TAKING_OVER, REPL_WHY_TAKING_OVER);
    repl_reg_start(c, fx, REPL_EF_REG_PREPARE, (struct ts_epoch){0}, NULL);
}

void repl_takeover_on_prepared(struct repl *c, const struct cfg_config *shown,
                               struct repl_effects *fx)
{
    ts_assert(c->takeover == REPL_TAKEOVER_PREPARE);
    repl_trace(c, fx, TS_TRACE_PREPARED, (struct ts_seq){0}, shown->epoch.v, 0);
    if (!cfg_config_eq(shown, &c->config)) {
        /* A value that was only shown decides nothing (R1.4), and what a peer told of this epoch
         * may be false: have the register decide, then look again. */
        cancel(c, fx);
        repl_reg_start(c, fx, REPL_EF_REG_READ, (struct ts_epoch){0}, NULL);
        return;
    }
    c->takeover = REPL_TAKEOVER_SEAL;
    c->takeover_epoch = shown->epoch;
    repl_floor_raise(c, ts_epoch_next(shown->epoch), fx);
}

static void compare_and_swap(struct repl *c, struct repl_effects *fx)
{
    struct cfg_config next = c->config;
    next.epoch = ts_epoch_next(c->takeover_epoch);
    next.primary = c->o.self;
    next.in_sync.count = 0;
    next.suspect.v = 0; /* as its replays say (R5.2) */
    cfg_set_add(&next.in_sync, (struct cfg_replica){c->o.self, c->incarnation});
    c->takeover = REPL_TAKEOVER_CAS;
    repl_reg_start(c, fx, REPL_EF_REG_CAS, c->takeover_epoch, &next);
}

static void try_noop(struct repl *c, struct repl_effects *fx)
{
    struct repl_request noop = {.kind = SVC_ENTRY_NOOP};
    struct ts_seq seq = ts_seq_add(repl_log_tail(&c->log).seq, 1);
    if (repl_primary_order(c, &noop, 1, fx)) {
        c->takeover_noop = seq;
    }
}

void repl_takeover_won(struct repl *c, struct repl_effects *fx)
{
    ts_assert(ts_epoch_eq(c->floor_durable, c->config.epoch)); /* sealed below, so raised to it */
    c->takeover = REPL_TAKEOVER_TAIL;
    c->takeover_noop.v = 0;
    c->active = false;
    c->bump = false;
    c->joining.v = 0;
    repl_set_role(c, fx, REPL_ROLE_PRIMARY, REPL_WHY_TAKING_OVER);
    repl_config_publish(c, fx);
    try_noop(c, fx);
}

void repl_takeover_tail_committed(struct repl *c, struct repl_effects *fx)
{
    if (c->takeover_noop.v == 0) {
        try_noop(c, fx); /* the window was full of the tail */
    }
    if (c->takeover_noop.v == 0 || ts_seq_lt(c->committed.seq, c->takeover_noop)) {
        return;
    }
    c->takeover = REPL_TAKEOVER_NONE;
    c->active = true;
    c->progress_at = c->now;
    repl_trace(c, fx, TS_TRACE_ACTIVE, c->committed.seq, 0, 0);
    repl_set_role(c, fx, REPL_ROLE_PRIMARY, REPL_WHY_NONE);
}

/* A replica that may not take over, or not yet, says why, as long as there is something to say. */
static void tell_why(struct repl *c, enum repl_evidence evidence, struct repl_effects *fx)
{
    enum repl_why why = c->why;
    if (why == REPL_WHY_NOT_A_MEMBER || why == REPL_WHY_OTHER_DISK || why == REPL_WHY_ENROLS) {
        return;
    }
    why = REPL_WHY_NONE;
    if (evidence != REPL_EVIDENCE_NONE && !eligible(c)) {
        bool differ = repl_divergence_replays(c) == REPL_REPLAYS_DIFFER;
        why = c->config.suspect.v != 0 ? (differ ? REPL_WHY_REPLAYS_DIFFER : REPL_WHY_SUSPECT)
              : floor_is_ahead(c)      ? REPL_WHY_FLOOR_AHEAD
                                       : REPL_WHY_NOT_IN_SYNC;
    } else if (evidence != REPL_EVIDENCE_NONE && c->op_running) {
        why = REPL_WHY_TAKING_OVER; /* it waits for the register's answer, which may take long */
    }
    if (why != c->why) {
        repl_set_role(c, fx, REPL_ROLE_SECONDARY, why);
    }
}

static void advance_idle(struct repl *c, enum repl_evidence evidence, struct repl_effects *fx)
{
    tell_why(c, evidence, fx);
    if (evidence == REPL_EVIDENCE_NONE || !eligible(c) || c->op_running) {
        return; /* a read of the register that runs may show that there is nothing to take over */
    }
    if (evidence == REPL_EVIDENCE_SILENT) {
        /* Ties favour the present primary (R4.3): it may be removing us right now, or, when it was
         * never seen, it may only be starting. */
        const struct repl_peer *p = repl_peer(c, c->config.primary);
        bool never_seen = p != NULL && !p->ever_connected;
        uint64_t quarter = c->o.timing.tie_delay / 4;
        c->takeover_at = ts_mono_add(c->now, never_seen ? repl_jitter(c, c->o.timing.poll_register)
                                                        : 3 * quarter + repl_jitter(c, quarter));
    } else if (!ts_mono_lt(c->now, c->takeover_at)) {
        begin(c, evidence, fx);
        return;
    }
    c->takeover = REPL_TAKEOVER_WAIT;
    c->takeover_why = evidence;
}

void repl_takeover_advance(struct repl *c, struct repl_effects *fx)
{
    bool follows = c->role == REPL_ROLE_SECONDARY || c->role == REPL_ROLE_TAKING_OVER;
    if (!follows || !c->config_known) {
        return;
    }
    enum repl_evidence evidence = primary_evidence(c);
    switch (c->takeover) {
    case REPL_TAKEOVER_NONE:
        advance_idle(c, evidence, fx);
        break;
    case REPL_TAKEOVER_WAIT:
        if (evidence == REPL_EVIDENCE_NONE || !eligible(c)) {
            cancel(c, fx);
        } else if (c->op_running) {
            tell_why(c, evidence, fx);
        } else if (!ts_mono_lt(c->now, c->takeover_at) ||
                   (c->takeover_why == REPL_EVIDENCE_SILENT && evidence > REPL_EVIDENCE_SILENT)) {
            begin(c, evidence, fx);
        }
        break;
    case REPL_TAKEOVER_PREPARE:
        if (evidence == REPL_EVIDENCE_NONE) {
            cancel(c, fx);
        }
        break;
    case REPL_TAKEOVER_SEAL:
        if (!ts_epoch_lt(c->takeover_epoch, c->floor_durable)) {
            break; /* not durable yet */
        }
        if (c->op_running) {
            break; /* a peer spoke of a newer config: its answer comes first */
        }
        repl_trace(c, fx, TS_TRACE_SEALED, repl_log_tail(&c->log).seq, c->takeover_epoch.v, 0);
        if (evidence == REPL_EVIDENCE_NONE) {
            cancel(c, fx); /* it is back: it raises the epoch when we refuse it (R4.1) */
        } else {
            compare_and_swap(c, fx);
        }
        break;
    case REPL_TAKEOVER_CAS:
    case REPL_TAKEOVER_TAIL:
        break;
    }
}

struct ts_mono repl_takeover_deadline(const struct repl *c)
{
    /* While a register operation runs, its end continues the takeover, not the time. */
    bool waits = c->takeover == REPL_TAKEOVER_WAIT && !c->op_running;
    return waits ? c->takeover_at : TS_MONO_NEVER;
}
