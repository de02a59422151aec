/* The primary: orders requests into batches, streams them to its peers, commits what the
 * required set has acknowledged. */
#include "base/assert.h"
#include "base/hash.h"
#include "replicator/state.h"

/* A pump sends at most this many runs of batches; the next acknowledgement continues. */
#define RUNS_MAX 4
/* Batches that a takeover orders before the tail that it found is committed. */
#define TAKEOVER_SPARE 1

struct ts_seq repl_evictable(const struct repl *c)
{
    return ts_seq_min(c->digest_seq, c->persisted);
}

static bool anything_waits(const struct repl *c)
{
    return !ts_seq_eq(c->committed.seq, repl_log_tail(&c->log).seq) ||
           c->read_ready != c->read_token;
}

bool repl_primary_order(struct repl *c, const struct repl_request *requests, size_t count,
                        struct repl_effects *fx)
{
    ts_assert(c->role == REPL_ROLE_PRIMARY);
    size_t size = repl_batch_size(requests, count);
    /* What is ordered for clients leaves room for the no-op of the takeover that may follow. */
    size_t spare = c->active ? TAKEOVER_SPARE : 0;
    if (!repl_log_has_room(&c->log, size, repl_evictable(c), spare)) {
        return false;
    }
    uint8_t *place = repl_log_reserve(&c->log, size, repl_evictable(c));
    ts_assert(place != NULL);
    if (!anything_waits(c)) {
        c->progress_at = c->now;
    }
    struct repl_pos tail = repl_log_tail(&c->log);
    struct ts_ltime time = repl_logical_now(c, c->now);
    ts_assert(time.ns >= c->last_time.ns);
    struct ts_writer w = ts_writer_init(place, size);
    repl_batch_encode(&w, c->config.epoch, ts_seq_add(tail.seq, 1), time, tail.hash, requests,
                      count);
    struct repl_batch b = {
        .bytes = {place, size},
        .epoch = c->config.epoch,
        .first = ts_seq_add(tail.seq, 1),
        .last = ts_seq_add(tail.seq, count),
        .time = time,
        .prev = tail.hash,
    };
    repl_log_append(&c->log, &b);
    c->last_time = time;
    c->last_time_at = c->now;
    repl_journal_newest(c, fx);
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        repl_primary_pump(c, &c->peers[i], false, fx);
    }
    return true;
}

void repl_primary_submit(struct repl *c, const struct repl_event *ev, struct repl_effects *fx)
{
    if (c->role != REPL_ROLE_PRIMARY || !c->active || c->blocked) {
        fx->submit = REPL_SUBMIT_NOT_PRIMARY;
        return;
    }
    ts_assert(ev->u.submit.count >= 1);
    if (c->abdication == REPL_ABDICATION_DRAINS) {
        fx->submit = REPL_SUBMIT_BUSY; /* for whoever is primary next, or for this one again */
        return;
    }
    fx->first_seq = ts_seq_add(repl_log_tail(&c->log).seq, 1);
    bool ordered = repl_primary_order(c, ev->u.submit.requests, ev->u.submit.count, fx);
    fx->submit = ordered ? REPL_SUBMIT_ORDERED : REPL_SUBMIT_BUSY;
}

static void send_append(struct repl *c, struct repl_peer *p, struct ts_bytes batches,
                        struct repl_effects *fx)
{
    struct repl_msg_append m = {
        .epoch = c->config.epoch,
        .prev = p->sent,
        .committed = c->committed.seq,
    };
    struct ts_writer w = repl_head(fx);
    repl_msg_append_encode(&m, &w);
    repl_send(c, fx, p->nic, REPL_MSG_APPEND, &w, batches);
    p->committed_sent = c->committed.seq;
}

static void fetch(const struct repl *c, struct repl_peer *p, struct repl_effects *fx)
{
    p->stream = REPL_STREAM_FETCH;
    struct repl_effect *e = repl_fx(fx, REPL_EF_FETCH);
    e->peer = p->nic;
    e->u.fetch.after = p->sent.seq;
    e->u.fetch.bytes_max = c->o.limits.fetch_bytes;
}

void repl_primary_pump(struct repl *c, struct repl_peer *p, bool always, struct repl_effects *fx)
{
    if (!p->used || !p->connected) {
        return;
    }
    if (p->stream != REPL_STREAM_LIVE) {
        if (p->stream == REPL_STREAM_DRAIN && always) {
            send_append(c, p, (struct ts_bytes){NULL, 0}, fx);
        }
        return;
    }
    if (ts_seq_lt(p->sent.seq, c->log.base.seq)) {
        /* Behind the window: from the journal, one piece at a time, each acknowledged. */
        if (!ts_mono_lt(c->now, p->fetch_after)) {
            fetch(c, p, fx);
        }
        return;
    }
    for (int runs = 0; runs < RUNS_MAX; runs++) {
        struct repl_pos last;
        struct ts_bytes run = repl_log_run(&c->log, p->sent.seq, c->o.limits.run_bytes, &last);
        if (run.len == 0) {
            break;
        }
        send_append(c, p, run, fx);
        p->sent = last;
        always = false;
    }
    if (always) {
        send_append(c, p, (struct ts_bytes){NULL, 0}, fx);
    }
}

/* Where the stream to a peer with this position begins (R2.3); false when its committed log
 * is not a prefix of ours. */
static bool find_start(const struct repl *c, const struct repl_msg_position *m,
                       struct repl_pos *start)
{
    enum repl_log_match tail = repl_log_match(&c->log, m->tail);
    if (tail == REPL_LOG_SAME || tail == REPL_LOG_EVICTED) {
        *start = m->tail; /* evicted: the peer checks the chain itself, and rewinds if need be */
        return true;
    }
    enum repl_log_match committed = repl_log_match(&c->log, m->committed);
    *start = m->committed;
    return committed == REPL_LOG_SAME || committed == REPL_LOG_EVICTED;
}

/* The peer's committed log is not a prefix of ours: nothing can be sent that fits it. */
static void not_a_prefix(struct repl *c, struct repl_peer *p, struct repl_effects *fx)
{
    struct ts_seq seq = p->committed.seq;
    p->stream = REPL_STREAM_OFF;
    p->parted = true;
    repl_alarm(c, REPORT_ALARM_CHAIN, true);
    if (!p->diverged) {
        p->diverged = true;
        repl_trace(c, fx, TS_TRACE_ALARM_CHAIN, seq, p->nic.v, seq.v);
    }
}

void repl_primary_on_position(struct repl *c, struct repl_peer *p,
                              const struct repl_msg_position *m, struct repl_effects *fx)
{
    if (!ts_instance_eq(m->instance, p->instance) ||
        !ts_incarnation_eq(m->incarnation, p->incarnation)) {
        return;
    }
    if (c->config_known && ts_epoch_lt(c->config.epoch, m->config_epoch)) {
        c->config_asked_for = true;
        return;
    }
    if (c->role != REPL_ROLE_PRIMARY) {
        return;
    }
    if (ts_epoch_lt(m->config_epoch, c->config.epoch)) {
        repl_config_send(c, p, fx); /* it tells its position again when it follows us */
        return;
    }
    if (ts_epoch_lt(c->config.epoch, m->floor)) {
        /* It sealed this epoch, or was primary in a later one that we do not know of: raise the
         * epoch, which fails in the second case. Its log may be ahead of ours until then. */
        p->refused = true;
        c->bump = true;
        return;
    }
    struct repl_pos start;
    p->committed = m->committed;
    if (!find_start(c, m, &start)) {
        not_a_prefix(c, p, fx);
        return;
    }
    if (p->stream == REPL_STREAM_OFF && cfg_set_find(&c->config.in_sync, p->nic) == NULL) {
        repl_trace(c, fx, TS_TRACE_LEARNER_START, start.seq, p->nic.v, start.seq.v + 1);
    }
    p->sent = start;
    p->stream = REPL_STREAM_LIVE;
    p->acked_valid = false;
    repl_primary_pump(c, p, true, fx);
    c->round_asked &= ~(1ULL << p->nic.v); /* a round's question may have been lost: ask again */
}

/* No batch of ours begins where the peer's log ends. Either the journal could not be read, which
 * the shell has said: it is tried again later. Or the peer's end lies within a batch of ours
 * (`other`): what it has there conflicts, so it starts where its committed log ends; and when that
 * is such a place, too, the logs have parted before. */
static void nothing_fetched(struct repl *c, struct repl_peer *p, bool other,
                            struct repl_effects *fx)
{
    p->stream = REPL_STREAM_LIVE;
    if (!other) {
        p->fetch_after = ts_mono_add(c->now, c->o.timing.failure_timeout);
    } else if (ts_seq_lt(p->committed.seq, p->sent.seq)) {
        p->sent = p->committed;
    } else {
        not_a_prefix(c, p, fx);
    }
    repl_primary_pump(c, p, false, fx);
}

/* What the peer was to get is in a snapshot only, which it is offered. Or it has that, and does not
 * know that it is committed. Its word is waited for: to send what follows, up to the whole window
 * each time it says that it does not fit, would take the link from the snapshot. */
static void fetched_gone(struct repl *c, struct repl_peer *p, struct repl_pos base,
                         struct repl_effects *fx)
{
    p->sent = base;
    send_append(c, p, (struct ts_bytes){NULL, 0}, fx);
    p->stream = REPL_STREAM_DRAIN;
}

void repl_primary_on_fetched(struct repl *c, struct repl_peer *p, const struct repl_event *ev,
                             struct repl_effects *fx)
{
    if (c->role != REPL_ROLE_PRIMARY || p->stream != REPL_STREAM_FETCH || !p->connected ||
        !ts_seq_eq(ev->u.fetched.after, p->sent.seq)) {
        return;
    }
    if (ts_seq_lt(p->sent.seq, ev->u.fetched.base.seq)) {
        fetched_gone(c, p, ev->u.fetched.base, fx);
        return;
    }
    struct ts_reader r = ts_reader_init(ev->u.fetched.batches.data, ev->u.fetched.batches.len);
    struct repl_batch b;
    struct repl_pos end = p->sent;
    struct ts_bytes run = {ev->u.fetched.batches.data, 0};
    bool other = false;
    while (ts_reader_left(&r) > 0 && repl_batch_decode(&b, &r) == TS_OK) {
        other = b.first.v != end.seq.v + 1;
        if (other) {
            break;
        }
        if (run.len == 0) {
            p->sent.hash = b.prev;
        }
        end = (struct repl_pos){b.last, ts_hash_bytes(b.bytes.data, b.bytes.len)};
        run.len += b.bytes.len;
    }
    if (run.len == 0) {
        nothing_fetched(c, p, other, fx);
        return;
    }
    send_append(c, p, run, fx);
    p->sent = end;
    p->stream = REPL_STREAM_DRAIN;
}

/* What was wrong with this peer is mended: the alarms end with the last one of whom they told. */
static void end_alarms_of(struct repl *c, struct repl_peer *p)
{
    uint64_t differing = c->doubt.v | c->config.suspect.v;
    bool parted = false;
    p->differs.v = 0;
    p->parted = false;
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        differing |= c->peers[i].differs.v;
        parted |= c->peers[i].parted;
    }
    repl_alarm(c, REPORT_ALARM_DIVERGENCE, differing != 0);
    repl_alarm(c, REPORT_ALARM_CHAIN, parted);
}

/* Compares the rolling digest that came with an acknowledgement (R5.1). */
static void compare_digest(struct repl *c, struct repl_peer *p, const struct repl_msg_ack *m,
                           struct repl_effects *fx)
{
    if (m->applied.v == 0) {
        p->compared = true;
        p->compared_seq = m->applied;
        return;
    }
    struct ts_hash mine;
    if (!repl_log_digest(&c->log, m->applied, &mine)) {
        if (cfg_set_find(&c->config.in_sync, p->nic) != NULL) {
            repl_alarm(c, REPORT_ALARM_NOT_COMPARED, true);
            repl_trace(c, fx, TS_TRACE_ALARM_NOT_COMPARED, m->applied, p->nic.v, m->applied.v);
        }
        return;
    }
    if (ts_hash_eq(mine, m->digest)) {
        p->compared = true;
        p->compared_seq = m->applied;
        repl_alarm(c, REPORT_ALARM_NOT_COMPARED, false);
        if ((p->differs.v != 0 || p->parted) && !ts_seq_lt(m->applied, p->differs)) {
            end_alarms_of(c, p);
        }
        return;
    }
    p->differs = m->applied;
    if (!p->diverged) {
        p->diverged = true;
        repl_alarm(c, REPORT_ALARM_DIVERGENCE, true);
        repl_trace(c, fx, TS_TRACE_ALARM_DIVERGENCE, m->applied, p->nic.v, m->applied.v);
    }
    repl_divergence_found(c, p, m->applied, fx);
}

void repl_primary_on_ack(struct repl *c, struct repl_peer *p, const struct repl_msg_ack *m,
                         struct repl_effects *fx)
{
    if (c->role != REPL_ROLE_PRIMARY || !ts_epoch_eq(m->epoch, c->config.epoch) ||
        !ts_instance_eq(m->instance, p->instance) ||
        !ts_incarnation_eq(m->incarnation, p->incarnation)) {
        return; /* R2.3: counts only if all match */
    }
    enum repl_log_match match = repl_log_match(&c->log, m->pos);
    if (match == REPL_LOG_OTHER || match == REPL_LOG_BEYOND) {
        repl_alarm(c, REPORT_ALARM_CHAIN, true);
        repl_trace(c, fx, TS_TRACE_ALARM_CHAIN, m->pos.seq, p->nic.v, m->pos.seq.v);
        return;
    }
    if (!p->acked_valid || ts_seq_lt(p->acked.seq, m->pos.seq)) {
        p->acked_valid = true;
        p->acked = m->pos;
        p->acked_at = c->now;
    }
    if (p->stream == REPL_STREAM_DRAIN && !ts_seq_lt(p->acked.seq, p->sent.seq)) {
        p->stream = REPL_STREAM_LIVE;
    }
    compare_digest(c, p, m, fx);
    repl_primary_pump(c, p, false, fx);
}

uint64_t repl_required_mask(const struct repl *c)
{
    uint64_t mask = cfg_set_mask(&c->config.in_sync);
    if (c->op_running && c->op_kind == REPL_EF_REG_CAS) {
        mask |= cfg_set_mask(&c->proposal.in_sync);
    }
    if (c->joining.v != 0) {
        mask |= 1ULL << c->joining.v;
    }
    return mask;
}

/* The highest position that every member of the required set has acknowledged in this epoch. */
static struct ts_seq acknowledged_by_all(const struct repl *c)
{
    uint64_t mask = repl_required_mask(c) & ~(1ULL << c->o.self.v);
    /* A replica acknowledges to itself by the same rule as to others: the epoch first (R2.3). */
    struct ts_seq n =
        ts_epoch_lt(c->floor_durable, c->config.epoch) ? (struct ts_seq){0} : c->persisted;
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        const struct repl_peer *p = &c->peers[i];
        if (p->used && (mask & (1ULL << p->nic.v)) != 0) {
            bool counts = p->acked_valid && repl_is_required_disk(c, p);
            n = ts_seq_min(n, counts ? p->acked.seq : (struct ts_seq){0});
            mask &= ~(1ULL << p->nic.v);
        }
    }
    return mask == 0 ? n : (struct ts_seq){0};
}

void repl_apply_to(struct repl *c, struct repl_pos to, struct repl_effects *fx)
{
    if (!ts_seq_lt(c->committed.seq, to.seq)) {
        return;
    }
    struct repl_pos end = c->committed;
    size_t bytes = repl_log_walk(&c->log, to.seq, c->commit_left, &end);
    c->commit_left -= bytes < c->commit_left ? bytes : c->commit_left;
    c->commit_more = ts_seq_lt(end.seq, to.seq);
    if (bytes == 0) {
        return;
    }
    struct repl_effect *e = repl_fx(fx, REPL_EF_APPLY);
    e->u.apply.from = c->committed.seq;
    e->u.apply.to = end.seq;
    e->u.apply.release = c->active; /* nobody waits for what a takeover finds in the tail */
    c->committed = end;
    c->applied = end.seq;
}

static void commit_as_primary(struct repl *c, struct repl_effects *fx)
{
    if (c->abdication > REPL_ABDICATION_DRAINS || c->doubt.v != 0) {
        return; /* what its disk finishes late counts for nothing (R4.4) */
    }
    struct ts_seq n = acknowledged_by_all(c);
    if (ts_seq_lt(c->committed.seq, n)) {
        const struct repl_log_slot *s = repl_log_find(&c->log, n);
        ts_assert(s != NULL && ts_seq_eq(s->last, n));
        struct ts_seq before = c->committed.seq;
        repl_apply_to(c, (struct repl_pos){s->last, s->hash}, fx);
        c->progress_at = c->now;
        if (c->commit_lazy_at.ns == UINT64_MAX) {
            c->commit_lazy_at = ts_mono_add(c->now, c->o.limits.commit_lazy);
        }
        if (c->takeover == REPL_TAKEOVER_TAIL) {
            struct ts_seq end = c->committed.seq;
            repl_trace(c, fx, TS_TRACE_TAIL_COMMITTED, end, before.v + 1, end.v - before.v);
        }
    }
    if (c->takeover == REPL_TAKEOVER_TAIL) {
        repl_takeover_tail_committed(c, fx);
    }
}

/* The end of the last whole batch at or before `n`, which lies in the window. */
static struct repl_pos batch_end_at(const struct repl *c, struct ts_seq n)
{
    const struct repl_log_slot *s = repl_log_find(&c->log, n);
    if (s == NULL) {
        return c->log.base;
    }
    if (ts_seq_eq(s->last, n)) {
        return (struct repl_pos){s->last, s->hash};
    }
    return (struct repl_pos){{s->first.v - 1}, s->prev};
}

void repl_commit_advance(struct repl *c, struct repl_effects *fx)
{
    c->commit_more = false;
    if (c->role == REPL_ROLE_PRIMARY) {
        commit_as_primary(c, fx);
        return;
    }
    if (c->role == REPL_ROLE_HALTED || !ts_epoch_eq(c->verified_epoch, c->config.epoch)) {
        return;
    }
    struct ts_seq n = ts_seq_min(c->commit_told, ts_seq_min(c->verified.seq, c->persisted));
    if (ts_seq_lt(c->committed.seq, n)) {
        repl_apply_to(c, batch_end_at(c, n), fx);
    }
}

void repl_primary_new_epoch(struct repl *c, struct repl_effects *fx)
{
    ts_assert(c->role == REPL_ROLE_PRIMARY);
    if (c->joining.v != 0 && cfg_set_find(&c->config.in_sync, c->joining) != NULL) {
        c->joining.v = 0;
    }
    repl_floor_raise(c, c->config.epoch, fx);
    repl_config_publish(c, fx); /* before anything is released (R3.1) */
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        repl_primary_pump(c, &c->peers[i], true, fx);
    }
    c->progress_at = c->now;
    repl_fx(fx, REPL_EF_ROLE);
}

void repl_primary_tick(struct repl *c, struct repl_effects *fx)
{
    if (!ts_mono_lt(c->now, c->commit_lazy_at)) {
        c->commit_lazy_at = TS_MONO_NEVER;
        for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
            struct repl_peer *p = &c->peers[i];
            if (p->used && ts_seq_lt(p->committed_sent, c->committed.seq)) {
                repl_primary_pump(c, p, true, fx);
            }
        }
    }
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        struct repl_peer *p = &c->peers[i];
        if (p->used && ts_seq_lt(p->sent.seq, c->log.base.seq)) {
            repl_primary_pump(c, p, false, fx); /* a read of the journal that is due again */
        }
    }
    bool late = !ts_mono_lt(c->now, ts_mono_add(c->progress_at, c->o.limits.blocked_after));
    if (!c->blocked && anything_waits(c) && late && c->abdication <= REPL_ABDICATION_DRAINS &&
        c->doubt.v == 0) {
        c->blocked = true;
        c->read_ready = c->read_token;
        repl_alarm(c, REPORT_ALARM_BLOCKED, true);
        repl_fx(fx, REPL_EF_CLOSE_PENDING);
        repl_set_role(c, fx, REPL_ROLE_PRIMARY, REPL_WHY_ACK_MISSING);
    }
}
