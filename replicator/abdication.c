/* Abdication (R4.4): a primary whose own disk hangs or has failed stops ordering, committing and
 * answering, closes the connections that wait, and asks an in-sync replica to take over. That one
 * goes the ordinary way: prepare, seal, compare-and-swap, tail.
 *
 * - serves → ASKED: the disk has finished nothing for too long, and an heir's has what it owes;
 * - ASKED → secondary: the heir's epoch is decided;
 * - ASKED → RESUMES: the disk works again, and nobody took over for a failure-timeout;
 * - RESUMES → serves: our own compare-and-swap to the next epoch is decided.
 *
 * A planned handoff (R4.5) is the same at the operator's word, after DRAINS: what is ordered is
 * committed and answered first, within a part of a failure-timeout, else it does not come about.
 *
 * There is no other way back: the heir may have sealed this epoch. What the disk finishes late, in
 * between, commits nothing. What is measured is this replica's own journal, never what others
 * acknowledge; an heir must have what our disk owes, so two disks that hang together change nothing
 * (adr/0016). Applying happens within a step: a replica that is stuck there is silent, and is
 * replaced as such. */
#include "base/assert.h"
#include "replicator/state.h"

/* The parts of a failure-timeout that an heir's disk has to be ahead of ours, and between two
 * requests. */
#define AHEAD_PART 4
#define ASK_PART 4
/* … and in which a handoff has to be ready. */
#define DRAIN_PART 4

/* ---- disks ----------------------------------------------------------------------------------- */

static void look_at_own_disk(struct repl *c, struct repl_effects *fx)
{
    struct ts_seq tail = repl_log_tail(&c->log).seq;
    bool owes = ts_seq_lt(c->persisted, tail) || ts_epoch_lt(c->floor_durable, c->floor);
    canary_look(&c->disk, c->now, owes, c->persisted.v, c->floor_durable.v,
                owes ? repl_log_bytes_after(&c->log, c->persisted) : 0);
    bool hangs = canary_hangs(&c->disk, c->now);
    bool told = (c->alarms >> REPORT_ALARM_DISK_HANGS & 1) != 0;
    if (hangs && !told) {
        repl_trace(c, fx, TS_TRACE_ALARM_DISK_HANGS, c->persisted,
                   ts_mono_since(c->disk.since, c->now) / TS_NS_PER_MS, 0);
    }
    repl_alarm(c, REPORT_ALARM_DISK_HANGS, hangs);
}

/* What is on our disk and not on its: as long as ours has it not either, nobody can blame it. */
static void look_at_peer(struct repl *c, struct repl_peer *p)
{
    struct ts_seq acked = p->acked_valid ? p->acked.seq : (struct ts_seq){0};
    bool owes = p->connected && cfg_set_find(&c->config.in_sync, p->nic) != NULL &&
                ts_seq_lt(acked, c->persisted);
    canary_look(&p->disk, c->now, owes, acked.v, p->acked_valid,
                owes ? repl_log_bytes_after(&c->log, acked) : 0);
    if (!ts_seq_lt(c->persisted, acked)) {
        p->ahead_at.ns = 0;
    } else if (p->ahead_at.ns == 0) {
        p->ahead_at = c->now;
    }
}

/* ---- giving up ------------------------------------------------------------------------------- */

/* When this peer is the better one to go on, if our disk hangs until then: it has had for a while
 * what ours owes, and does not hang itself. NEVER: it is not. */
static struct ts_mono better_at(const struct repl *c, const struct repl_peer *p)
{
    uint64_t timeout = c->o.timing.failure_timeout;
    if (!c->disk.owes || p->ahead_at.ns == 0 || !repl_is_heir(c, p) || !p->acked_valid) {
        return TS_MONO_NEVER;
    }
    bool has_all = ts_seq_eq(p->acked.seq, repl_log_tail(&c->log).seq);
    if (!has_all && ts_mono_since(p->acked_at, c->now) > timeout / 2) {
        return TS_MONO_NEVER;
    }
    struct ts_mono hangs = canary_deadline(&c->disk);
    struct ts_mono ahead = ts_mono_add(p->ahead_at, timeout / AHEAD_PART);
    return ts_mono_lt(hangs, ahead) ? ahead : hangs;
}

static void ask(struct repl *c, const struct repl_peer *p, struct repl_effects *fx)
{
    struct repl_msg_take_over m = {
        .epoch = c->config.epoch, .instance = c->o.instance, .why = c->giving_up_why};
    struct ts_writer w = repl_head(fx);
    repl_msg_take_over_encode(&m, &w);
    repl_send(c, fx, p->nic, REPL_MSG_TAKE_OVER, &w, (struct ts_bytes){NULL, 0});
    c->heir = p->nic;
}

static enum repl_evidence evidence_of(enum repl_take_over_why why)
{
    return why == REPL_TAKE_OVER_HANDOFF ? REPL_EVIDENCE_HANDED_OVER : REPL_EVIDENCE_ABDICATED;
}

static void give_up(struct repl *c, const struct repl_peer *p, enum repl_take_over_why why,
                    struct repl_effects *fx)
{
    bool handoff = why == REPL_TAKE_OVER_HANDOFF;
    c->giving_up_why = why;
    c->abdication = REPL_ABDICATION_ASKED;
    c->abdicated_at = c->now;
    c->ask_at = ts_mono_add(c->now, c->o.timing.failure_timeout / ASK_PART);
    c->active = false;
    c->blocked = false;
    c->joining.v = 0;
    c->read_ready = c->read_token;
    c->round_running = false;
    repl_alarm(c, REPORT_ALARM_BLOCKED, false);
    repl_trace(c, fx, TS_TRACE_ABDICATED, repl_log_tail(&c->log).seq, p->nic.v, evidence_of(why));
    ask(c, p, fx);
    repl_fx(fx, REPL_EF_CLOSE_PENDING);
    repl_set_role(c, fx, REPL_ROLE_PRIMARY, handoff ? REPL_WHY_HANDING_OVER : REPL_WHY_ABDICATED);
}

static void consider(struct repl *c, struct repl_effects *fx)
{
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        const struct repl_peer *p = &c->peers[i];
        if (p->used && !ts_mono_lt(c->now, better_at(c, p))) {
            give_up(c, p, REPL_TAKE_OVER_DISK, fx);
            return;
        }
    }
}

void repl_abdication_disk_failed(struct repl *c, struct repl_effects *fx)
{
    for (size_t i = 0; i < TS_MEMBERS_MAX && c->role == REPL_ROLE_PRIMARY; i++) {
        const struct repl_peer *p = &c->peers[i];
        if (p->used && repl_is_heir(c, p)) {
            c->giving_up_why = REPL_TAKE_OVER_DISK;
            repl_trace(c, fx, TS_TRACE_ABDICATED, repl_log_tail(&c->log).seq, p->nic.v,
                       REPL_EVIDENCE_ABDICATED);
            ask(c, p, fx);
            return;
        }
    }
}

/* ---- planned handoff ------------------------------------------------------------------------- */

void repl_abdication_handoff(struct repl *c, struct ts_nic_id target, struct repl_effects *fx)
{
    if (c->role != REPL_ROLE_PRIMARY || !c->active || c->blocked) {
        fx->handoff = REPL_HANDOFF_NOT_PRIMARY;
        return;
    }
    if (c->abdication != REPL_ABDICATION_NONE || c->op_running || c->joining.v != 0) {
        fx->handoff = REPL_HANDOFF_BUSY;
        return;
    }
    fx->handoff = REPL_HANDOFF_NO_HEIR;
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        const struct repl_peer *p = &c->peers[i];
        bool wanted = target.v == 0 || ts_nic_eq(p->nic, target);
        if (p->used && wanted && p->acked_valid && repl_is_heir(c, p)) {
            fx->handoff = REPL_HANDOFF_BEGUN;
            c->abdication = REPL_ABDICATION_DRAINS;
            c->giving_up_why = REPL_TAKE_OVER_HANDOFF;
            c->abdicated_at = c->now;
            c->heir = p->nic;
            repl_trace(c, fx, TS_TRACE_HANDOFF, repl_log_tail(&c->log).seq, p->nic.v, 0);
            repl_fx(fx, REPL_EF_ROLE);
            return;
        }
    }
}

static struct ts_mono drained_by(const struct repl *c)
{
    return ts_mono_add(c->abdicated_at, c->o.timing.failure_timeout / DRAIN_PART);
}

static void advance_drain(struct repl *c, struct repl_effects *fx)
{
    const struct repl_peer *heir = repl_peer(c, c->heir);
    ts_assert(heir != NULL); /* who is known stays known */
    struct ts_seq tail = repl_log_tail(&c->log).seq;
    bool drained = ts_seq_eq(c->committed.seq, tail) && c->read_ready == c->read_token;
    bool can = repl_is_heir(c, heir) && !c->blocked;
    if (can && drained && !c->op_running) {
        give_up(c, heir, REPL_TAKE_OVER_HANDOFF, fx);
    } else if (!can || !ts_mono_lt(c->now, drained_by(c))) {
        c->abdication = REPL_ABDICATION_NONE;
        repl_trace(c, fx, TS_TRACE_HANDOFF_FAILED, tail, c->heir.v, 0);
        repl_fx(fx, REPL_EF_ROLE);
    }
}

/* ---- while nobody serves --------------------------------------------------------------------- */

/* The disk finishes what it is given, as far as can be seen. */
static bool works_again(const struct repl *c)
{
    return !c->disk.owes || ts_mono_lt(c->abdicated_at, c->disk.since);
}

static struct ts_mono resume_at(const struct repl *c)
{
    return ts_mono_add(c->abdicated_at, c->o.timing.failure_timeout);
}

/* The next one behind the one that was asked last: a message may be lost, an heir may be late. */
static void ask_next(struct repl *c, struct repl_effects *fx)
{
    size_t from = 0;
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        from = c->peers[i].used && ts_nic_eq(c->peers[i].nic, c->heir) ? i + 1 : from;
    }
    c->ask_at = ts_mono_add(c->now, c->o.timing.failure_timeout / ASK_PART);
    for (size_t n = 0; n < TS_MEMBERS_MAX; n++) {
        const struct repl_peer *p = &c->peers[(from + n) % TS_MEMBERS_MAX];
        if (p->used && repl_is_heir(c, p)) {
            ask(c, p, fx);
            return;
        }
    }
}

static void advance_asked(struct repl *c, struct repl_effects *fx)
{
    if (!ts_mono_lt(c->now, resume_at(c)) && works_again(c)) {
        c->abdication = REPL_ABDICATION_RESUMES;
    } else if (!ts_mono_lt(c->now, c->ask_at)) {
        ask_next(c, fx);
    }
}

void repl_abdication_advance(struct repl *c, struct repl_effects *fx)
{
    if (c->incarnation.v == 0 || c->role == REPL_ROLE_HALTED) {
        return;
    }
    look_at_own_disk(c, fx);
    if (c->role != REPL_ROLE_PRIMARY) {
        return;
    }
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        if (c->peers[i].used) {
            look_at_peer(c, &c->peers[i]);
        }
    }
    if (c->abdication == REPL_ABDICATION_ASKED) {
        advance_asked(c, fx);
    } else if (c->abdication == REPL_ABDICATION_DRAINS) {
        advance_drain(c, fx);
    } else if (c->active) {
        consider(c, fx);
    }
    if (c->abdication == REPL_ABDICATION_RESUMES && !c->op_running) {
        c->bump = true; /* the proposal of membership.c keeps whoever is with us (R4.1) */
    }
}

void repl_abdication_won(struct repl *c, struct repl_effects *fx)
{
    if (c->abdication == REPL_ABDICATION_ASKED) {
        c->ask_at = c->now; /* a proposal of before: the heir is asked for the new epoch */
    } else if (c->abdication == REPL_ABDICATION_RESUMES) {
        c->abdication = REPL_ABDICATION_NONE;
        c->active = true;
        c->progress_at = c->now;
        repl_trace(c, fx, TS_TRACE_RESUMES, repl_log_tail(&c->log).seq, 0, 0);
        repl_set_role(c, fx, REPL_ROLE_PRIMARY, REPL_WHY_NONE);
    }
}

/* ---- the heir -------------------------------------------------------------------------------- */

void repl_abdication_on_take_over(struct repl *c, struct repl_peer *p,
                                  const struct repl_msg_take_over *m, struct repl_effects *fx)
{
    if (!c->config_known || ts_epoch_lt(m->epoch, c->config.epoch)) {
        return; /* long over */
    }
    if (ts_epoch_lt(c->config.epoch, m->epoch)) {
        c->config_asked_for = true; /* it asks again */
        return;
    }
    if (!ts_nic_eq(p->nic, c->config.primary) || !ts_instance_eq(m->instance, p->instance) ||
        !repl_self_in_sync(c, &c->config) || ts_epoch_eq(c->asked_epoch, m->epoch)) {
        return;
    }
    c->asked_epoch = m->epoch;
    c->asked_why = evidence_of(m->why);
    repl_trace(c, fx, TS_TRACE_EVIDENCE, (struct ts_seq){0}, p->nic.v, c->asked_why);
}

/* ---- time ------------------------------------------------------------------------------------ */

static struct ts_mono earlier(struct ts_mono a, struct ts_mono b)
{
    return ts_mono_lt(a, b) ? a : b;
}

struct ts_mono repl_abdication_deadline(const struct repl *c)
{
    bool told = (c->alarms >> REPORT_ALARM_DISK_HANGS & 1) != 0;
    struct ts_mono t = told ? TS_MONO_NEVER : canary_deadline(&c->disk);
    if (c->role != REPL_ROLE_PRIMARY || c->abdication == REPL_ABDICATION_RESUMES) {
        return t;
    }
    if (c->abdication == REPL_ABDICATION_ASKED) {
        t = earlier(t, c->ask_at);
        return works_again(c) ? earlier(t, resume_at(c)) : t;
    }
    if (c->abdication == REPL_ABDICATION_DRAINS) {
        t = earlier(t, drained_by(c));
    }
    for (size_t i = 0; i < TS_MEMBERS_MAX && c->active; i++) {
        const struct repl_peer *p = &c->peers[i];
        if (p->used) {
            t = c->abdication != REPL_ABDICATION_NONE ? t : earlier(t, better_at(c, p));
            t = c->op_running ? t : earlier(t, canary_deadline(&p->disk));
        }
    }
    return t;
}
