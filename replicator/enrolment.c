/* A blank disk in the place of a lost one (R1.8, adr/0022).
 *
 * The operator formats a blank disk for the place of the one that the config's members list. Its
 * replica asks the primary, over its link, until the register lists it; the primary has that
 * decided in one compare-and-swap, which also takes the lost disk out of the in-sync set. It is a
 * learner then as any other, and comes in sync by journal or snapshot.
 *
 * What was listed once and replaced is never listed again: the wish names the disk that it
 * replaces, and each disk is minted once. So a disk that finds another one in its place, and is not
 * meant for that place, is out for good. */
#include "base/assert.h"
#include "replicator/state.h"

enum repl_why repl_enrolment_why(const struct repl *c)
{
    const struct cfg_replica *me = cfg_set_find(&c->config.members, c->o.self);
    if (me == NULL) {
        return REPL_WHY_NOT_A_MEMBER;
    }
    if (ts_incarnation_eq(me->incarnation, c->incarnation)) {
        return REPL_WHY_NONE;
    }
    bool meant = c->replaces.v != 0 && ts_incarnation_eq(me->incarnation, c->replaces);
    return meant ? REPL_WHY_ENROLS : REPL_WHY_OTHER_DISK;
}

/* ---- the new disk ---------------------------------------------------------------------------- */

/* Only at the register's word: what a peer told of the config may be false. */
static void end_replaced(struct repl *c, struct repl_effects *fx)
{
    const struct cfg_replica *me = cfg_set_find(&c->config.members, c->o.self);
    ts_assert(me != NULL);
    repl_trace(c, fx, TS_TRACE_REPLACED, (struct ts_seq){0}, me->incarnation.v, 0);
    repl_halt(c, fx, REPL_WHY_OTHER_DISK);
}

static bool asks(const struct repl *c)
{
    return c->role == REPL_ROLE_SECONDARY && c->config_known &&
           repl_enrolment_why(c) == REPL_WHY_ENROLS;
}

void repl_enrolment_advance(struct repl *c, struct repl_effects *fx)
{
    if (c->role != REPL_ROLE_SECONDARY || !c->config_known) {
        return;
    }
    if (c->config_from.v == 0 && repl_enrolment_why(c) == REPL_WHY_OTHER_DISK) {
        end_replaced(c, fx);
        return;
    }
    const struct repl_peer *p = repl_peer(c, c->config.primary);
    if (!asks(c) || p == NULL || !p->connected) {
        c->enrol_at.ns = 0; /* at once when it is there */
        return;
    }
    if (ts_mono_lt(c->now, c->enrol_at)) {
        return;
    }
    c->enrol_at = ts_mono_add(c->now, repl_jitter(c, c->o.timing.failure_timeout));
    struct repl_msg_enrol m = {
        .incarnation = c->incarnation, .instance = c->o.instance, .replaces = c->replaces};
    struct ts_writer w = repl_head(fx);
    repl_msg_enrol_encode(&m, &w);
    repl_send(c, fx, p->nic, REPL_MSG_ENROL, &w, (struct ts_bytes){NULL, 0});
}

struct ts_mono repl_enrolment_deadline(const struct repl *c)
{
    return asks(c) && c->enrol_at.ns != 0 ? c->enrol_at : TS_MONO_NEVER;
}

/* ---- the primary ----------------------------------------------------------------------------- */

void repl_enrolment_on_enrol(struct repl *c, struct repl_peer *p, const struct repl_msg_enrol *m)
{
    if (c->role == REPL_ROLE_PRIMARY && ts_instance_eq(m->instance, p->instance) &&
        ts_incarnation_eq(m->incarnation, p->incarnation)) {
        p->enrols = m->replaces;
    }
}

bool repl_enrolment_propose(struct repl *c, struct cfg_config *next, struct repl_effects *fx)
{
    bool any = false;
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        const struct repl_peer *p = &c->peers[i];
        if (p->used && p->connected && p->enrols.v != 0 &&
            cfg_set_has(&c->config.members, p->nic, p->enrols)) {
            /* The lost disk leaves, and the new one is a member that is not in sync. */
            cfg_set_remove(&next->in_sync, p->nic);
            cfg_set_add(&next->members, (struct cfg_replica){p->nic, p->incarnation});
            repl_trace(c, fx, TS_TRACE_ENROLLED, c->committed.seq, p->nic.v, p->enrols.v);
            any = true;
        }
    }
    return any;
}

/* ---- a voter's disk (adr/0029) ---------------------------------------------------------------
 */

void repl_enrolment_on_voters(struct repl *c, const struct repl_event *ev)
{
    bool now = c->role == REPL_ROLE_PRIMARY && ts_epoch_eq(ev->u.voters.epoch, c->config.epoch);
    if (!now) {
        return;
    }
    c->voters_epoch.v = ev->u.voters.steps ? c->config.epoch.v : 0;
    c->voters_next = ev->u.voters.next;
    c->config_asked_for = c->config_asked_for || (ev->u.voters.ask && !c->voters_ask);
    c->voters_ask = ev->u.voters.ask;
}

bool repl_enrolment_propose_voters(struct repl *c, struct cfg_config *next, struct repl_effects *fx)
{
    if (c->voters_epoch.v == 0 || !ts_epoch_eq(c->voters_epoch, c->config.epoch)) {
        return false;
    }
    for (size_t i = 0; i < c->voters_next.count; i++) {
        const struct cfg_voter *to = &c->voters_next.v[i];
        const struct cfg_voter *from = &c->config.voters.v[i];
        if (to->phase != from->phase || !ts_incarnation_eq(to->incarnation, from->incarnation)) {
            repl_trace(c, fx, TS_TRACE_VOTER_STEP, c->committed.seq, to->incarnation.v, to->phase);
        }
    }
    next->voters = c->voters_next;
    c->voters_epoch.v = 0;
    return true;
}

bool repl_is_required_disk(const struct repl *c, const struct repl_peer *p)
{
    const struct cfg_replica *r = cfg_set_find(&c->config.in_sync, p->nic);
    if (r == NULL && c->op_running && c->op_kind == REPL_EF_REG_CAS) {
        r = cfg_set_find(&c->proposal.in_sync, p->nic);
    }
    if (r == NULL) {
        r = cfg_set_find(&c->config.members, p->nic); /* it is joining */
    }
    return r != NULL && ts_incarnation_eq(r->incarnation, p->incarnation);
}
