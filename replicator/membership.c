/* Changes of the in-sync set by the primary: a lost secondary is removed (R3.1), a learner
 * that has caught up is required and then published (R4.6), the epoch is raised for a peer
 * that sealed the present one (R4.1). One compare-and-swap at a time. */
#include "base/assert.h"
#include "replicator/state.h"

/* The longest pause between two attempts to take a learner in, in failure-timeouts. */
#define JOIN_PAUSE_FACTOR_MAX 64

static bool must_leave(const struct repl *c, const struct repl_peer *p)
{
    const struct cfg_replica *r = cfg_set_find(&c->config.in_sync, p->nic);
    if (r == NULL) {
        return false;
    }
    return p->evidence != REPL_EVIDENCE_NONE || canary_hangs(&p->disk, c->now) ||
           (p->connected && !ts_incarnation_eq(r->incarnation, p->incarnation));
}

/* R3.2: whose disk hangs again and again stays out longer each time. */
static void keep_out(struct repl *c, struct repl_peer *p)
{
    uint64_t min = c->o.timing.failure_timeout;
    uint64_t max = JOIN_PAUSE_FACTOR_MAX * min;
    bool again = p->stuck_at.ns != 0 && ts_mono_since(p->stuck_at, c->now) < 2 * max;
    p->stuck_pause = !again ? min : 2 * p->stuck_pause < max ? 2 * p->stuck_pause : max;
    p->stuck_at = c->now;
    p->join_after = ts_mono_add(c->now, repl_jitter(c, p->stuck_pause));
}

static bool may_join(const struct repl *c, const struct repl_peer *p)
{
    return p->used && p->connected && p->evidence == REPL_EVIDENCE_NONE && !p->diverged &&
           p->stream == REPL_STREAM_LIVE && p->acked_valid &&
           cfg_set_find(&c->config.in_sync, p->nic) == NULL &&
           cfg_set_has(&c->config.members, p->nic, p->incarnation);
}

/* Everything that is committed is durable there, and its state was the same as ours when it had
 * applied what was committed before it became required (R4.6). No later entry commits without it.
 * Its digest of all that is committed now would be too much to ask: under load it is always a
 * round trip behind. */
static bool has_caught_up(const struct repl *c, const struct repl_peer *p)
{
    return !ts_seq_lt(p->acked.seq, c->committed.seq) && p->compared &&
           !ts_seq_lt(p->compared_seq, c->joining_from);
}

/* Commits waited for it in vain: each time the next attempt is twice as far away, so that a learner
 * that never keeps up costs little. */
static void stop_joining(struct repl *c, struct repl_peer *p)
{
    uint64_t max = JOIN_PAUSE_FACTOR_MAX * c->o.timing.failure_timeout;
    uint64_t pause = p->join_pause == 0 ? c->o.timing.failure_timeout : 2 * p->join_pause;
    c->joining.v = 0;
    p->join_pause = pause < max ? pause : max;
    p->join_after = ts_mono_add(c->now, repl_jitter(c, p->join_pause));
}

/* Continues or ends the joining of a learner; true when it is to be published now. */
static bool joining_done(struct repl *c)
{
    if (c->joining.v == 0) {
        return false;
    }
    struct repl_peer *p = repl_peer(c, c->joining);
    ts_assert(p != NULL); /* who is known stays known */
    if (!may_join(c, p)) {
        stop_joining(c, p);
        return false;
    }
    if (has_caught_up(c, p)) {
        p->join_pause = 0;
        return true;
    }
    struct ts_mono late = ts_mono_add(c->joining_since, c->o.timing.failure_timeout);
    if (!ts_mono_lt(c->now, late)) {
        stop_joining(c, p); /* too slow: commits do not wait for it any longer */
    }
    return false;
}

/* It lacks little, and all of that is in the window. Behind the window nobody knows how much it
 * lacks: while its next piece cannot be read from the journal, too, commits would wait in vain. */
static bool is_near(const struct repl *c, const struct repl_peer *p)
{
    return !ts_seq_lt(p->acked.seq, c->log.base.seq) &&
           repl_log_bytes_after(&c->log, p->acked.seq) <= c->o.limits.join_lag_bytes;
}

static void start_joining(struct repl *c, struct repl_effects *fx)
{
    for (size_t i = 0; i < TS_MEMBERS_MAX && c->joining.v == 0; i++) {
        struct repl_peer *p = &c->peers[i];
        if (may_join(c, p) && !ts_mono_lt(c->now, p->join_after) && is_near(c, p)) {
            c->joining = p->nic;
            c->joining_from = c->committed.seq;
            c->joining_since = c->now;
            repl_trace(c, fx, TS_TRACE_IN_SYNC_ADD, ts_seq_add(c->committed.seq, 1), p->nic.v,
                       c->committed.seq.v + 1);
        }
    }
}

static void propose(struct repl *c, struct cfg_config *next, struct repl_effects *fx)
{
    next->epoch = ts_epoch_next(c->config.epoch);
    next->primary = c->o.self;
    c->bump = false;
    repl_reg_start(c, fx, REPL_EF_REG_CAS, c->config.epoch, next);
}

void repl_membership_advance(struct repl *c, struct repl_effects *fx)
{
    bool doubts = c->doubt.v != 0; /* nothing is served, until the register says so */
    if (c->role != REPL_ROLE_PRIMARY ||
        (!c->active && c->abdication != REPL_ABDICATION_RESUMES && !doubts)) {
        return;
    }
    repl_alarm(c, REPORT_ALARM_NOT_REDUNDANT, c->config.in_sync.count < c->config.members.count);
    if (c->op_running) {
        return;
    }
    struct cfg_config next = c->config;
    if (doubts) {
        next.suspect = c->doubt; /* and nothing else: who is in sync may be needed as a witness */
        propose(c, &next, fx);
        return;
    }
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        struct repl_peer *p = &c->peers[i];
        if (p->used && must_leave(c, p)) {
            bool stuck = p->evidence == REPL_EVIDENCE_NONE && canary_hangs(&p->disk, c->now);
            cfg_set_remove(&next.in_sync, p->nic);
            repl_trace(c, fx, TS_TRACE_IN_SYNC_REMOVE, c->committed.seq, p->nic.v,
                       stuck ? REPL_EVIDENCE_STUCK : p->evidence);
            if (stuck) {
                keep_out(c, p);
            }
        }
    }
    if (joining_done(c)) {
        const struct repl_peer *p = repl_peer(c, c->joining);
        cfg_set_add(&next.in_sync, (struct cfg_replica){p->nic, p->incarnation});
    }
    bool enrols = repl_enrolment_propose(c, &next, fx);
    enrols = repl_enrolment_propose_voters(c, &next, fx) || enrols;
    if (c->bump || enrols || !cfg_set_eq(&next.in_sync, &c->config.in_sync)) {
        propose(c, &next, fx);
    } else if (c->joining.v == 0 && !c->blocked && c->abdication == REPL_ABDICATION_NONE) {
        start_joining(c, fx);
        if (joining_done(c)) {
            const struct repl_peer *p = repl_peer(c, c->joining);
            cfg_set_add(&next.in_sync, (struct cfg_replica){p->nic, p->incarnation});
            propose(c, &next, fx);
        }
    }
}

bool repl_is_heir(const struct repl *c, const struct repl_peer *p)
{
    bool dropped = c->op_running && c->op_kind == REPL_EF_REG_CAS &&
                   !cfg_set_has(&c->proposal.in_sync, p->nic, p->incarnation);
    return p->used && p->connected && p->evidence == REPL_EVIDENCE_NONE && !p->diverged &&
           !dropped && cfg_set_has(&c->config.in_sync, p->nic, p->incarnation);
}

bool repl_has_successor(const struct repl *c)
{
    for (size_t i = 0; i < TS_MEMBERS_MAX && c->role == REPL_ROLE_PRIMARY; i++) {
        if (repl_is_heir(c, &c->peers[i]) && c->peers[i].acked_valid) {
            return true;
        }
    }
    return false;
}

/* Whether the primary of the present epoch is connected and has sent what fitted. */
static bool is_led(struct repl *c)
{
    const struct repl_peer *p = repl_peer(c, c->config.primary);
    return p != NULL && p->leads && p->evidence == REPL_EVIDENCE_NONE &&
           ts_epoch_eq(c->verified_epoch, c->config.epoch);
}

bool repl_may_leave(struct repl *c)
{
    return c->role == REPL_ROLE_SECONDARY ? is_led(c) : repl_has_successor(c);
}

void repl_membership_on_refused(struct repl *c, struct repl_peer *p,
                                const struct repl_msg_refused *m, struct repl_effects *fx)
{
    if (c->role != REPL_ROLE_PRIMARY || !ts_epoch_eq(m->epoch, c->config.epoch) ||
        !ts_epoch_lt(c->config.epoch, m->floor)) {
        return; /* about an epoch that is over */
    }
    repl_trace(c, fx, TS_TRACE_REFUSED, (struct ts_seq){0}, p->nic.v, m->floor.v);
    p->refused = true;
    c->bump = true;
}
