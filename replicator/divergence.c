/* Divergence (R5.2, adr/0024): two replicas in sync have other results at the same position.
 *
 *   1. The primary, which compares, orders, commits and answers nothing more, and has the register
 *      say so: suspect{seq}. From then on nobody takes over.
 *   2. Each in-sync replica whose process is older than that ends: the shell keeps its state in a
 *      file, sets snapshots at or behind the suspect aside, and starts it again. What it has then
 *      is what snapshot and log give: a replay.
 *   3. They tell each other the digest that the replay has at the suspect. Two that have the same
 *      may take over, in the usual four steps, and that takes the suspect away. All others are
 *      learners then, and are compared before they join (R4.6). Whose state of before was another
 *      than the replay's is the culprit.
 *   4. When no two agree, nobody knows who is right: the group halts, and all states are kept.
 *
 * The replay is a restart, not a second state beside the first: nobody is served meanwhile anyway,
 * a crash at any point leads to the same place, and the culprit is rebuilt by the same act. */
#include "base/assert.h"
#include "replicator/state.h"

/* Until what was applied has its digest. */
#define TELL_SOON_NS TS_NS_PER_MS

/* ---- the primary finds it -------------------------------------------------------------------- */

void repl_divergence_found(struct repl *c, const struct repl_peer *p, struct ts_seq seq,
                           struct repl_effects *fx)
{
    if (!c->active || cfg_set_find(&c->config.in_sync, p->nic) == NULL) {
        return; /* a learner is kept out (R4.6) */
    }
    c->doubt = seq;
    c->active = false;
    c->blocked = false;
    c->abdication = REPL_ABDICATION_NONE;
    c->joining.v = 0;
    c->read_ready = c->read_token;
    c->round_running = false;
    repl_alarm(c, REPORT_ALARM_BLOCKED, false);
    repl_trace(c, fx, TS_TRACE_SUSPECT, seq, p->nic.v, 0);
    repl_fx(fx, REPL_EF_CLOSE_PENDING);
    repl_set_role(c, fx, REPL_ROLE_PRIMARY, REPL_WHY_SUSPECT);
}

/* ---- each replica ---------------------------------------------------------------------------- */

/* What it has may be what is suspected, or of a snapshot that may be. */
static bool must_replay(const struct repl *c, struct ts_seq suspect)
{
    return !ts_seq_eq(c->replay_of, suspect) || !ts_seq_lt(c->restored, suspect);
}

static void begin_replay(struct repl *c, struct ts_seq suspect, struct repl_effects *fx)
{
    c->live_known =
        !ts_seq_eq(c->replay_of, suspect) && repl_log_digest(&c->log, suspect, &c->live_digest);
    repl_trace(c, fx, TS_TRACE_REPLAYS, suspect, 0, 0);
    repl_halt(c, fx, REPL_WHY_REPLAYS);
}

/* What was compared was applied, so it is committed, and on the log of everybody in sync. False:
 * not yet, or it is not there. */
static bool has_replayed(struct repl *c, struct ts_seq suspect, struct repl_effects *fx)
{
    const struct repl_log_slot *s = repl_log_find(&c->log, suspect);
    if (c->replayed) {
        return true;
    }
    if (ts_seq_lt(c->committed.seq, suspect) && s != NULL && ts_seq_eq(s->last, suspect) &&
        !ts_seq_lt(c->persisted, suspect)) {
        repl_apply_to(c, (struct repl_pos){s->last, s->hash}, fx);
    }
    /* What this step applies has its digest when that is performed: the next one sees it. */
    c->replayed = repl_log_digest(&c->log, suspect, &c->replayed_digest);
    c->tell_at = c->replayed ? c->now : ts_mono_add(c->now, TELL_SOON_NS);
    return c->replayed;
}

static void tell(struct repl *c, struct ts_seq suspect, struct repl_effects *fx)
{
    c->tell_at = ts_mono_add(c->now, c->o.timing.failure_timeout);
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        const struct repl_peer *p = &c->peers[i];
        if (p->used && p->connected && cfg_set_find(&c->config.in_sync, p->nic) != NULL) {
            struct repl_msg_replayed m = {.seq = suspect,
                                          .incarnation = c->incarnation,
                                          .instance = c->o.instance,
                                          .digest = c->replayed_digest};
            struct ts_writer w = repl_head(fx);
            repl_msg_replayed_encode(&m, &w);
            repl_send(c, fx, p->nic, REPL_MSG_REPLAYED, &w, (struct ts_bytes){NULL, 0});
        }
    }
}

void repl_divergence_advance(struct repl *c, struct repl_effects *fx)
{
    struct ts_seq suspect = c->config.suspect;
    if (suspect.v == 0 && c->replayed) {
        c->replayed = false; /* it is over */
        repl_alarm(c, REPORT_ALARM_DIVERGENCE, false);
    }
    /* Only at the register's word: what a peer told may be false. */
    if (!c->config_known || c->config_from.v != 0 || suspect.v == 0 ||
        c->role == REPL_ROLE_HALTED || !repl_self_in_sync(c, &c->config)) {
        return;
    }
    repl_alarm(c, REPORT_ALARM_DIVERGENCE, true);
    if (must_replay(c, suspect)) {
        begin_replay(c, suspect, fx);
    } else if (has_replayed(c, suspect, fx) && !ts_mono_lt(c->now, c->tell_at)) {
        tell(c, suspect, fx);
    }
}

void repl_divergence_on_replayed(struct repl *c, struct repl_peer *p,
                                 const struct repl_msg_replayed *m, struct repl_effects *fx)
{
    if (!ts_instance_eq(m->instance, p->instance) ||
        !ts_incarnation_eq(m->incarnation, p->incarnation)) {
        return;
    }
    bool news = !ts_seq_eq(p->replayed, m->seq);
    p->replayed = m->seq;
    p->replayed_digest = m->digest;
    if (news && c->replayed && ts_seq_eq(c->config.suspect, m->seq) &&
        !ts_hash_eq(c->replayed_digest, m->digest)) {
        repl_trace(c, fx, TS_TRACE_ALARM_REPLAYS, m->seq, p->nic.v, 0);
    }
}

/* What the replay of this member says of the suspect. */
static enum repl_replays look_at(const struct repl *c, const struct cfg_replica *r)
{
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        const struct repl_peer *p = &c->peers[i];
        if (p->used && ts_nic_eq(p->nic, r->nic) && p->connected &&
            ts_incarnation_eq(p->incarnation, r->incarnation) &&
            ts_seq_eq(p->replayed, c->config.suspect)) {
            return ts_hash_eq(p->replayed_digest, c->replayed_digest) ? REPL_REPLAYS_AGREE
                                                                      : REPL_REPLAYS_DIFFER;
        }
    }
    return REPL_REPLAYS_AWAITED;
}

enum repl_replays repl_divergence_replays(const struct repl *c)
{
    enum repl_replays all = REPL_REPLAYS_AWAITED;
    if (!c->replayed || !ts_seq_eq(c->replay_of, c->config.suspect)) {
        return REPL_REPLAYS_AWAITED;
    }
    for (size_t i = 0; i < c->config.in_sync.count; i++) {
        const struct cfg_replica *r = &c->config.in_sync.r[i];
        enum repl_replays one = repl_is_self(c, r->nic) ? REPL_REPLAYS_AWAITED : look_at(c, r);
        if (one == REPL_REPLAYS_AGREE) {
            return one;
        }
        all = one == REPL_REPLAYS_DIFFER ? one : all;
    }
    return c->config.in_sync.count == 1 ? REPL_REPLAYS_AGREE : all;
}

struct ts_mono repl_divergence_deadline(const struct repl *c)
{
    bool waits = c->config_known && c->config.suspect.v != 0 && c->tell_at.ns != 0 &&
                 ts_seq_eq(c->replay_of, c->config.suspect);
    return waits ? c->tell_at : TS_MONO_NEVER;
}
