/* A secondary: takes the primary's batches behind an identical chain, makes them durable,
 * acknowledges. What it promised in a floor it keeps across restarts. */
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "replicator/state.h"

/* The primary is asked to begin again after such a pause, so that a stream of unfitting batches
 * does not become a storm of rewinds. It doubles, up to the failure timeout, until something fits.
 */
#define REWIND_PAUSE_NS (5 * TS_NS_PER_MS)

void repl_floor_raise(struct repl *c, struct ts_epoch epoch, struct repl_effects *fx)
{
    if (ts_epoch_lt(c->floor, epoch)) {
        c->floor = epoch;
        repl_fx(fx, REPL_EF_PERSIST_FLOOR)->u.floor = epoch;
    }
}

static void refuse(struct repl *c, struct repl_peer *p, struct ts_epoch epoch,
                   struct repl_effects *fx)
{
    struct repl_msg_refused m = {.epoch = epoch, .floor = c->floor};
    if (ts_epoch_lt(m.floor, c->config.epoch)) {
        m.floor = c->config.epoch;
    }
    if (ts_epoch_lt(epoch, c->config.epoch) && c->config_from.v == 0) {
        repl_config_send(c, p, fx); /* it may not know that it was replaced */
    }
    struct ts_writer w = repl_head(fx);
    repl_msg_refused_encode(&m, &w);
    repl_send(c, fx, p->nic, REPL_MSG_REFUSED, &w, (struct ts_bytes){NULL, 0});
}

/* Whether `p` speaks as the primary of the config we know. Refuses it when it is outdated. */
static bool accept_primary(struct repl *c, struct repl_peer *p, struct ts_epoch epoch,
                           struct repl_effects *fx)
{
    if (!c->config_known) {
        return false;
    }
    if (ts_epoch_lt(epoch, c->floor) || ts_epoch_lt(epoch, c->config.epoch)) {
        refuse(c, p, epoch, fx);
        return false;
    }
    if (ts_epoch_lt(c->config.epoch, epoch)) {
        repl_config_ask(c, epoch); /* its config message was lost */
        return false;
    }
    if (!ts_nic_eq(p->nic, c->config.primary)) {
        return false;
    }
    ts_assert(c->role == REPL_ROLE_SECONDARY || c->role == REPL_ROLE_TAKING_OVER);
    return true;
}

/* Has the primary start again where we are: now, or as soon as the last request is old enough. A
 * rewind that waits for that stays one, whatever else asks meanwhile: where the tail is, the
 * primary would begin with what conflicts, again and again. */
static void ask_position(struct repl *c, struct repl_peer *p, bool rewind, struct repl_effects *fx)
{
    rewind = rewind || (c->position_at.ns != TS_MONO_NEVER.ns && c->position_rewind);
    if (ts_mono_lt(c->now, p->rewind_after)) {
        c->position_at = p->rewind_after;
        c->position_rewind = rewind;
        return;
    }
    c->position_at = TS_MONO_NEVER;
    uint64_t pause = p->rewind_pause == 0 ? REWIND_PAUSE_NS : 2 * p->rewind_pause;
    uint64_t max = c->o.timing.failure_timeout;
    p->rewind_pause = pause < max ? pause : max;
    p->rewind_after = ts_mono_add(c->now, p->rewind_pause);
    repl_position_send(c, p, rewind, fx);
}

void repl_secondary_tick(struct repl *c, struct repl_effects *fx)
{
    struct repl_peer *p = repl_peer(c, c->config.primary);
    if (ts_mono_lt(c->now, c->position_at)) {
        return;
    }
    c->position_at = TS_MONO_NEVER;
    if (p != NULL && p->connected) {
        ask_position(c, p, c->position_rewind, fx);
    }
}

/* Appends a batch that follows the tail; false when the window has no room. */
static bool append(struct repl *c, const struct repl_batch *b, struct repl_effects *fx)
{
    /* It must fit again after a restart, however it lies then. */
    if (!repl_log_has_room(&c->log, b->bytes.len, repl_evictable(c), 0)) {
        return false;
    }
    uint8_t *place = repl_log_reserve(&c->log, b->bytes.len, repl_evictable(c));
    ts_assert(place != NULL);
    struct repl_batch mine = *b;
    memcpy(place, b->bytes.data, b->bytes.len);
    mine.bytes.data = place;
    repl_log_append(&c->log, &mine);
    if (b->time.ns > c->last_time.ns) {
        c->last_time = b->time;
        c->last_time_at = c->now;
    }
    repl_journal_newest(c, fx);
    return true;
}

/* What is applied here conflicts with the primary's log at `seq`: that cannot be cut, and to ask
 * again would bring the same again (R2.3). */
static void diverged(struct repl *c, struct ts_seq seq, struct repl_effects *fx)
{
    repl_alarm(c, REPORT_ALARM_DIVERGENCE, true);
    repl_trace(c, fx, TS_TRACE_ALARM_DIVERGENCE, seq, c->config.primary.v, seq.v);
    repl_halt(c, fx, REPL_WHY_DIVERGED);
}

/* Cuts a conflicting, unapplied suffix (R2.3); false when the conflict is in applied state. */
static bool cut_suffix(struct repl *c, struct ts_seq after, struct repl_effects *fx)
{
    if (ts_seq_lt(after, c->committed.seq)) {
        diverged(c, after, fx);
        return false;
    }
    if (ts_epoch_eq(c->verified_epoch, c->config.epoch) && ts_seq_lt(after, c->verified.seq)) {
        /* A primary's log only grows within its epoch: what was verified cannot conflict. */
        repl_alarm(c, REPORT_ALARM_CHAIN, true);
        repl_trace(c, fx, TS_TRACE_ALARM_CHAIN, after, c->config.primary.v, after.v);
        return false;
    }
    uint64_t cut = repl_log_tail(&c->log).seq.v - after.v;
    repl_log_truncate(&c->log, after);
    c->persisted = ts_seq_min(c->persisted, after);
    repl_fx(fx, REPL_EF_JOURNAL_TRUNCATE)->u.truncate = repl_log_tail(&c->log);
    repl_trace(c, fx, TS_TRACE_TRUNCATED, after, after.v, cut);
    return true;
}

enum take {
    TAKE_OK,
    TAKE_GAP,  /* does not follow: a position makes the primary start where we are */
    TAKE_FULL, /* no room until what is committed is applied */
    TAKE_STOP,
};

/* Takes one batch that claims to follow `at`. */
static enum take take_batch(struct repl *c, const struct repl_batch *b, struct repl_pos *at,
                            struct repl_effects *fx)
{
    struct repl_pos end = {b->last, ts_hash_bytes(b->bytes.data, b->bytes.len)};
    if (b->first.v != at->seq.v + 1 || !ts_hash_eq(b->prev, at->hash)) {
        return TAKE_GAP;
    }
    enum repl_log_match have = repl_log_match(&c->log, end);
    const struct repl_log_slot *s = repl_log_find(&c->log, b->first);
    if (have == REPL_LOG_SAME || have == REPL_LOG_EVICTED) {
        *at = end; /* had it already */
        return TAKE_OK;
    }
    if (!ts_seq_lt(c->log.base.seq, b->first)) {
        /* It begins with entries that left the window here, so they were applied, and goes on
         * where a batch ended here, or ends there differently: the logs part before that. */
        diverged(c, b->first, fx);
        return TAKE_STOP;
    }
    if (s != NULL && !cut_suffix(c, at->seq, fx)) {
        return TAKE_STOP;
    }
    /* `at` is a place of this window, so it was compared: it is the end of a batch that both have,
     * and nothing follows it here. */
    ts_assert(repl_pos_eq(repl_log_tail(&c->log), *at));
    if (!append(c, b, fx)) {
        return TAKE_FULL;
    }
    *at = end;
    return TAKE_OK;
}

static enum take take_batches(struct repl *c, const struct repl_msg_append *m, struct repl_pos *at,
                              struct repl_effects *fx)
{
    /* However many there are, the effects are a handful: the first that conflicts cuts the log,
     * and from there on they are one run for the journal. */
    struct ts_reader r = ts_reader_init(m->batches.data, m->batches.len);
    enum take result = TAKE_OK;
    while (result == TAKE_OK && ts_reader_left(&r) > 0) {
        struct repl_batch b;
        if (repl_batch_decode(&b, &r) != TS_OK || ts_epoch_lt(m->epoch, b.epoch)) {
            c->malformed++;
            return TAKE_STOP;
        }
        result = take_batch(c, &b, at, fx);
    }
    return result;
}

void repl_secondary_on_append(struct repl *c, struct repl_peer *p, const struct repl_msg_append *m,
                              struct repl_effects *fx)
{
    if (!accept_primary(c, p, m->epoch, fx)) {
        return;
    }
    repl_floor_raise(c, m->epoch, fx);
    enum repl_log_match prev = repl_log_match(&c->log, m->prev);
    if (prev == REPL_LOG_OTHER && !ts_seq_lt(c->committed.seq, m->prev.seq)) {
        diverged(c, m->prev.seq, fx);
        return;
    }
    if (prev == REPL_LOG_OTHER || prev == REPL_LOG_BEYOND) {
        ask_position(c, p, prev == REPL_LOG_OTHER, fx);
        return;
    }
    if (!ts_epoch_eq(c->verified_epoch, m->epoch)) {
        c->verified_epoch = m->epoch;
        c->verified = (struct repl_pos){{0}, {0, 0}};
        c->commit_told.v = 0;
    }
    struct repl_pos at = m->prev;
    enum take result = take_batches(c, m, &at, fx);
    if (c->role == REPL_ROLE_HALTED) {
        return;
    }
    /* The chain links whatever we verified to everything before it. */
    if (ts_seq_lt(c->verified.seq, at.seq) && repl_log_match(&c->log, at) == REPL_LOG_SAME) {
        c->verified = at;
        p->rewind_pause = 0;
        p->leads = true;
    }
    /* All that lies before our window is applied, so none of it is new, but nothing shows that it
     * is the same, either: the primary would wait for ever for a word that it is. */
    bool behind = result == TAKE_OK && ts_seq_lt(c->verified.seq, at.seq);
    c->commit_told = ts_seq_max(c->commit_told, m->committed);
    if (result == TAKE_GAP || behind) {
        ask_position(c, p, false, fx);
    } else if (result == TAKE_FULL) {
        c->position_at = c->now; /* with the next tick, after this step has made room */
        c->position_rewind = false;
    }
    if (!ts_seq_lt(c->persisted, c->verified.seq)) {
        repl_commit_advance(c, fx);
        repl_secondary_ack(c, fx);
    }
}

void repl_secondary_ack(struct repl *c, struct repl_effects *fx)
{
    const struct repl_peer *p = repl_peer(c, c->config.primary);
    bool follows = c->role == REPL_ROLE_SECONDARY || c->role == REPL_ROLE_TAKING_OVER;
    if (!follows || p == NULL || !p->connected ||
        !ts_epoch_eq(c->verified_epoch, c->config.epoch)) {
        return;
    }
    /* Promised, durable, and not sealed: the floor is exactly this epoch (R2.3, R4 step 2). */
    if (!ts_epoch_eq(c->floor, c->config.epoch) ||
        !ts_epoch_eq(c->floor_durable, c->config.epoch)) {
        return;
    }
    struct repl_pos pos = c->verified;
    if (ts_seq_lt(c->persisted, pos.seq)) {
        const struct repl_log_slot *s = repl_log_find(&c->log, c->persisted);
        pos = s == NULL ? c->log.base : (struct repl_pos){s->last, s->hash};
        ts_assert(ts_seq_eq(pos.seq, c->persisted));
    }
    struct repl_msg_ack m = {
        .epoch = c->config.epoch,
        .incarnation = c->incarnation,
        .instance = c->o.instance,
        .pos = pos,
        .applied = c->digest_seq,
        .digest = c->digest,
    };
    struct ts_writer w = repl_head(fx);
    repl_msg_ack_encode(&m, &w);
    repl_send(c, fx, p->nic, REPL_MSG_ACK, &w, (struct ts_bytes){NULL, 0});
}

void repl_secondary_on_confirm(struct repl *c, struct repl_peer *p,
                               const struct repl_msg_confirm *m, struct repl_effects *fx)
{
    if (!accept_primary(c, p, m->epoch, fx)) {
        return;
    }
    struct repl_msg_confirmed answer = {
        .epoch = m->epoch,
        .asker = m->instance,
        .round = m->round,
        .incarnation = c->incarnation,
        .instance = c->o.instance,
    };
    struct ts_writer w = repl_head(fx);
    repl_msg_confirmed_encode(&answer, &w);
    repl_send(c, fx, p->nic, REPL_MSG_CONFIRMED, &w, (struct ts_bytes){NULL, 0});
}
