/* Dispatch only: each event goes to the file of its role, then what follows from the new
 * state is settled in one fixed order. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "replicator/state.h"

struct repl_limits repl_limits_default(const struct cfg_timing *timing)
{
    return (struct repl_limits){
        .window_bytes = 64U << 20,
        .window_batches = 65536,
        .join_lag_bytes = 1U << 20,
        .run_bytes = 1U << 20,
        .fetch_bytes = 1U << 20,
        .commit_bytes = 1U << 20,
        .blocked_after = 20 * timing->failure_timeout,
        .commit_lazy = 2 * TS_NS_PER_MS,
        .own_disk_hangs = timing->failure_timeout,
        .peer_disk_hangs = 4 * timing->failure_timeout,
    };
}

struct repl *repl_new(const struct repl_options *options)
{
    ts_assert(options->self.v != 0 && options->instance.v != 0);
    ts_assert(options->first_time.ns <= REPL_BATCH_TIME_MAX);
    ts_assert(options->limits.window_bytes >= REPL_LOG_BYTES_MIN);
    ts_assert(options->limits.commit_bytes > 0);
    struct repl *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    c->o = *options;
    c->disk.patience = options->limits.own_disk_hangs;
    if (repl_log_init(&c->log, options->limits.window_bytes, options->limits.window_batches) !=
        TS_OK) {
        free(c);
        return NULL;
    }
    c->prng = ts_prng_init(options->seed);
    c->why = REPL_WHY_STARTING;
    c->poll_at = TS_MONO_NEVER;
    c->commit_lazy_at = TS_MONO_NEVER;
    c->position_at = TS_MONO_NEVER;
    c->due = TS_MONO_NEVER;
    return c;
}

void repl_free(struct repl *c)
{
    if (c != NULL) {
        repl_log_free(&c->log);
        free(c);
    }
}

static void on_disk_failed(struct repl *c, struct repl_effects *fx)
{
    c->disk_failed = true;
    repl_abdication_disk_failed(c, fx);
    repl_alarm(c, REPORT_ALARM_DISK, true);
    repl_trace(c, fx, TS_TRACE_ALARM_DISK, c->persisted, 0, 0);
    repl_halt(c, fx, REPL_WHY_DISK);
}

/* What a snapshot holds was committed, applied, and durable here. */
static void on_restore_mark(struct repl *c, const struct repl_event *ev)
{
    const struct repl_mark *m = &ev->u.mark;
    ts_assert(c->incarnation.v == 0 && c->applied.v == 0);
    repl_log_begin(&c->log, m);
    c->mark = *m;
    c->committed = m->pos;
    c->applied = m->pos.seq;
    c->restored = m->pos.seq;
    c->persisted = m->pos.seq;
    c->digest = m->digest;
    c->digest_seq = m->pos.seq;
    c->last_time = m->time;
    c->last_time_at = ev->now;
}

static void on_restore_committed(struct repl *c, const struct repl_event *ev,
                                 struct repl_effects *fx)
{
    const struct repl_log_slot *s = repl_log_find(&c->log, ev->u.committed);
    if (!c->disk_failed && s != NULL && ts_seq_eq(s->last, ev->u.committed)) {
        repl_apply_to(c, (struct repl_pos){s->last, s->hash}, fx);
    }
}

static void on_restore(struct repl *c, const struct repl_event *ev, struct repl_effects *fx)
{
    ts_assert(c->incarnation.v == 0);
    if (c->disk_failed) {
        return;
    }
    struct repl_batch b;
    struct ts_reader r = ts_reader_init(ev->u.restore.data, ev->u.restore.len);
    struct repl_pos tail = repl_log_tail(&c->log);
    uint8_t *place = NULL;
    if (repl_batch_decode(&b, &r) == TS_OK && b.first.v == tail.seq.v + 1 &&
        ts_hash_eq(b.prev, tail.hash)) {
        place = repl_log_reserve(&c->log, b.bytes.len, c->digest_seq);
    }
    if (place == NULL) {
        on_disk_failed(c, fx);
        return;
    }
    memcpy(place, b.bytes.data, b.bytes.len);
    b.bytes.data = place;
    repl_log_append(&c->log, &b);
    c->persisted = b.last;
    c->last_time.ns = b.time.ns > c->last_time.ns ? b.time.ns : c->last_time.ns;
    c->last_time_at = ev->now;
}

static void on_start(struct repl *c, const struct repl_event *ev, struct repl_effects *fx)
{
    ts_assert(c->incarnation.v == 0);
    ts_assert(ev->u.start.incarnation.v != 0);
    c->incarnation = ev->u.start.incarnation;
    c->replaces = ev->u.start.replaces;
    c->floor = ev->u.start.floor;
    c->floor_durable = ev->u.start.floor;
    c->last_time_at = c->last_time.ns == 0 ? c->o.first_now : ev->now;
    c->progress_at = ev->now;
    if (!c->disk_failed) {
        repl_reg_start(c, fx, REPL_EF_REG_READ, (struct ts_epoch){0}, NULL);
    }
}

static void on_link_up(struct repl *c, const struct repl_event *ev, struct repl_effects *fx)
{
    struct repl_peer *p = repl_peer_or_new(c, ev->peer);
    if (p == NULL) {
        return;
    }
    if (!ts_instance_eq(p->instance, ev->u.link.instance) ||
        !ts_incarnation_eq(p->incarnation, ev->u.link.incarnation)) {
        p->acked_valid = false; /* acknowledgements of an old process do not count (R2.3) */
        p->diverged = false;    /* nor is its state what it was: it is compared anew */
        p->compared = false;
        p->confirmed_round = 0;
    }
    p->connected = true;
    p->ever_connected = true;
    p->leads = false;
    p->instance = ev->u.link.instance;
    p->incarnation = ev->u.link.incarnation;
    p->evidence = REPL_EVIDENCE_NONE;
    p->stream = REPL_STREAM_OFF;
    p->rewind_after = ev->now;
    p->rewind_pause = 0;
    p->join_pause = 0;
    p->enrols.v = 0;
    p->replayed.v = 0;
    c->tell_at.ns = 0;
    c->enrol_at.ns = 0;
    repl_trace(c, fx, TS_TRACE_LINK_UP, (struct ts_seq){0}, p->nic.v, 0);
    if (c->config_known && c->role == REPL_ROLE_PRIMARY) {
        repl_config_send(c, p, fx);
    }
    repl_position_send(c, p, false, fx);
}

static void on_link_down(struct repl *c, const struct repl_event *ev, struct repl_effects *fx)
{
    struct repl_peer *p = repl_peer(c, ev->peer);
    if (p == NULL || !p->connected) {
        return;
    }
    p->connected = false;
    p->leads = false;
    p->stream = REPL_STREAM_OFF;
    repl_trace(c, fx, TS_TRACE_LINK_DOWN, (struct ts_seq){0}, p->nic.v, 0);
}

static void on_evidence(struct repl *c, const struct repl_event *ev, struct repl_effects *fx)
{
    struct repl_peer *p = repl_peer_or_new(c, ev->peer);
    if (p == NULL || ev->u.evidence <= p->evidence) {
        return;
    }
    p->evidence = ev->u.evidence;
    p->evidence_at = ev->now;
    repl_trace(c, fx, TS_TRACE_EVIDENCE, (struct ts_seq){0}, p->nic.v, p->evidence);
}

static void on_message(struct repl *c, const struct repl_event *ev, struct repl_effects *fx)
{
    struct repl_peer *p = repl_peer(c, ev->peer);
    struct repl_msg m;
    if (p == NULL || !p->connected || c->role == REPL_ROLE_HALTED) {
        return;
    }
    if (repl_msg_decode(&m, ev->u.message.type, ev->u.message.frame) != TS_OK) {
        c->malformed++;
        repl_trace(c, fx, TS_TRACE_REJECTED_INPUT, (struct ts_seq){0}, p->nic.v, c->malformed);
        return;
    }
    switch (m.type) {
    case REPL_MSG_POSITION:
        repl_primary_on_position(c, p, &m.u.position, fx);
        break;
    case REPL_MSG_CONFIG:
        repl_config_on_told(c, p, &m.u.config.config, fx);
        break;
    case REPL_MSG_APPEND:
        repl_secondary_on_append(c, p, &m.u.append, fx);
        break;
    case REPL_MSG_ACK:
        repl_primary_on_ack(c, p, &m.u.ack, fx);
        break;
    case REPL_MSG_REFUSED:
        repl_membership_on_refused(c, p, &m.u.refused, fx);
        break;
    case REPL_MSG_CONFIRM:
        repl_secondary_on_confirm(c, p, &m.u.confirm, fx);
        break;
    case REPL_MSG_CONFIRMED:
        repl_reads_on_confirmed(c, p, &m.u.confirmed, fx);
        break;
    case REPL_MSG_TAKE_OVER:
        repl_abdication_on_take_over(c, p, &m.u.take_over, fx);
        break;
    case REPL_MSG_REPLAYED:
        repl_divergence_on_replayed(c, p, &m.u.replayed, fx);
        break;
    case REPL_MSG_ENROL:
        repl_enrolment_on_enrol(c, p, &m.u.enrol);
        break;
    }
}

static void on_persisted(struct repl *c, const struct repl_event *ev, struct repl_effects *fx)
{
    struct ts_seq end = ts_seq_min(ev->u.persisted, repl_log_tail(&c->log).seq);
    c->persisted = ts_seq_max(c->persisted, end);
    repl_secondary_ack(c, fx);
}

static void on_floor_persisted(struct repl *c, const struct repl_event *ev, struct repl_effects *fx)
{
    if (ts_epoch_lt(c->floor_durable, ev->u.floor)) {
        c->floor_durable = ev->u.floor;
    }
    ts_assert(!ts_epoch_lt(c->floor, c->floor_durable));
    repl_secondary_ack(c, fx);
}

static void on_applied(struct repl *c, const struct repl_event *ev, struct repl_effects *fx)
{
    struct repl_log_slot *s = repl_log_find(&c->log, ev->u.applied.seq);
    ts_assert(s != NULL && ts_seq_eq(s->last, ev->u.applied.seq));
    s->digested = true;
    s->digest = ev->u.applied.digest;
    c->digest = ev->u.applied.digest;
    c->digest_seq = s->last;
    c->mark = (struct repl_mark){{s->last, s->hash}, s->epoch, s->time, s->digest};
    /* An idle secondary says at once what its digest is; a busy one with its next
     * acknowledgement. */
    if (ts_seq_eq(s->last, c->applied) && ts_seq_eq(c->persisted, repl_log_tail(&c->log).seq)) {
        repl_secondary_ack(c, fx);
    }
}

static void on_tick(struct repl *c, struct repl_effects *fx)
{
    if (c->role == REPL_ROLE_HALTED) {
        return;
    }
    repl_config_tick(c, fx);
    if (c->role == REPL_ROLE_PRIMARY) {
        repl_primary_tick(c, fx);
    } else {
        repl_secondary_tick(c, fx);
    }
}

static void dispatch(struct repl *c, const struct repl_event *ev, struct repl_effects *fx)
{
    struct repl_peer *p = repl_peer(c, ev->peer);
    switch (ev->kind) {
    case REPL_EV_RESTORE_MARK:
        on_restore_mark(c, ev);
        break;
    case REPL_EV_RESTORE_COMMITTED:
        on_restore_committed(c, ev, fx);
        break;
    case REPL_EV_RESTORE:
        on_restore(c, ev, fx);
        break;
    case REPL_EV_START:
        on_start(c, ev, fx);
        break;
    case REPL_EV_SUBMIT:
        repl_primary_submit(c, ev, fx);
        break;
    case REPL_EV_READ:
        repl_reads_on_read(c, ev->u.read_token, fx);
        break;
    case REPL_EV_TICK:
        on_tick(c, fx);
        break;
    case REPL_EV_LINK_UP:
        on_link_up(c, ev, fx);
        break;
    case REPL_EV_LINK_DOWN:
        on_link_down(c, ev, fx);
        break;
    case REPL_EV_MESSAGE:
        on_message(c, ev, fx);
        break;
    case REPL_EV_EVIDENCE:
        on_evidence(c, ev, fx);
        break;
    case REPL_EV_EVIDENCE_CLEAR:
        if (p != NULL) {
            p->evidence = REPL_EVIDENCE_NONE;
        }
        break;
    case REPL_EV_PERSISTED:
        on_persisted(c, ev, fx);
        break;
    case REPL_EV_FLOOR_PERSISTED:
        on_floor_persisted(c, ev, fx);
        break;
    case REPL_EV_DISK_FAILED:
        on_disk_failed(c, fx);
        break;
    case REPL_EV_HANDOFF:
        repl_abdication_handoff(c, ev->peer, fx);
        break;
    case REPL_EV_APPLIED:
        on_applied(c, ev, fx);
        break;
    case REPL_EV_FETCHED:
        if (p != NULL) {
            repl_primary_on_fetched(c, p, ev, fx);
        }
        break;
    case REPL_EV_VOTERS:
    case REPL_EV_REG_PREPARED:
    case REPL_EV_REG_WON:
    case REPL_EV_REG_LOST:
        repl_config_on_reg(c, ev, fx);
        break;
    }
}

static struct ts_mono earlier(struct ts_mono a, struct ts_mono b)
{
    return ts_mono_lt(a, b) ? a : b;
}

static struct ts_mono deadline(const struct repl *c)
{
    if (c->role == REPL_ROLE_HALTED) {
        return TS_MONO_NEVER;
    }
    if (c->commit_more) {
        return c->now;
    }
    struct ts_mono t = earlier(c->poll_at, repl_takeover_deadline(c));
    t = earlier(t, repl_abdication_deadline(c));
    if (c->role != REPL_ROLE_PRIMARY) {
        t = earlier(earlier(t, c->position_at), repl_enrolment_deadline(c));
        return earlier(t, repl_divergence_deadline(c));
    }
    t = earlier(t, c->commit_lazy_at);
    bool waiting =
        !ts_seq_eq(c->committed.seq, repl_log_tail(&c->log).seq) || c->read_ready != c->read_token;
    if (waiting && !c->blocked && c->abdication <= REPL_ABDICATION_DRAINS) {
        t = earlier(t, ts_mono_add(c->progress_at, c->o.limits.blocked_after));
    }
    if (c->joining.v != 0 && !c->op_running) {
        t = earlier(t, ts_mono_add(c->joining_since, c->o.timing.failure_timeout));
    }
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        const struct repl_peer *p = &c->peers[i];
        if (p->used && p->connected && ts_mono_lt(c->now, p->join_after)) {
            t = earlier(t, p->join_after);
        }
        if (p->used && p->connected && ts_mono_lt(c->now, p->fetch_after)) {
            t = earlier(t, p->fetch_after);
        }
    }
    return t;
}

void repl_step(struct repl *c, const struct repl_event *ev, struct repl_effects *fx)
{
    fx->count = 0;
    fx->head_used = 0;
    fx->submit = REPL_SUBMIT_NONE;
    fx->handoff = REPL_HANDOFF_NONE;
    c->now = ev->now;
    /* While the journal is read nobody waits: what it says was committed leaves the window. */
    c->commit_left = ev->kind == REPL_EV_RESTORE_COMMITTED ? SIZE_MAX : c->o.limits.commit_bytes;
    dispatch(c, ev, fx);
    /* These come while a step is performed or the journal is read: nothing more follows. */
    if (ev->kind == REPL_EV_APPLIED || ev->kind == REPL_EV_RESTORE ||
        ev->kind == REPL_EV_RESTORE_COMMITTED || ev->kind == REPL_EV_RESTORE_MARK) {
        return;
    }
    repl_commit_advance(c, fx);
    repl_divergence_advance(c, fx);
    repl_reads_advance(c, fx);
    repl_abdication_advance(c, fx);
    repl_membership_advance(c, fx);
    repl_takeover_advance(c, fx);
    repl_config_advance(c, fx);
    repl_enrolment_advance(c, fx);
    c->due = deadline(c); /* the shell asks for it more than once a turn */
}

struct ts_mono repl_deadline(const struct repl *c)
{
    return c->due;
}

void repl_batch_at(const struct repl *c, struct ts_seq seq, struct repl_batch *out,
                   struct ts_hash *hash)
{
    const struct repl_log_slot *s = repl_log_find(&c->log, seq);
    ts_assert(s != NULL);
    *out = (struct repl_batch){
        .bytes = repl_log_bytes(&c->log, s),
        .epoch = s->epoch,
        .first = s->first,
        .last = s->last,
        .time = s->time,
        .prev = s->prev,
    };
    *hash = s->hash;
}

struct ts_ltime repl_logical_now(const struct repl *c, struct ts_mono now)
{
    /* R2.2: the largest time seen plus the local monotonic time elapsed since. This NIC's own clock
     * counts in an empty log only: the NICs' clocks differ, and the group's time follows one. */
    struct ts_ltime base = c->last_time.ns == 0 ? c->o.first_time : c->last_time;
    uint64_t elapsed = ts_mono_since(c->last_time_at, now);
    uint64_t left = REPL_BATCH_TIME_MAX - base.ns;
    return (struct ts_ltime){base.ns + (elapsed < left ? elapsed : left)};
}

enum repl_role repl_role(const struct repl *c)
{
    return c->role;
}

const struct cfg_config *repl_led_config(const struct repl *c)
{
    return c->role == REPL_ROLE_PRIMARY ? &c->config : NULL;
}

struct ts_epoch repl_epoch(const struct repl *c)
{
    return c->config.epoch;
}

struct ts_seq repl_applied(const struct repl *c)
{
    return c->applied;
}

const struct repl_mark *repl_applied_mark(const struct repl *c)
{
    return &c->mark;
}

bool repl_replays(const struct repl *c, struct ts_seq *suspect, bool *known, struct ts_hash *digest)
{
    *suspect = c->config.suspect;
    *known = c->live_known;
    *digest = c->live_digest;
    return c->role == REPL_ROLE_HALTED && c->why == REPL_WHY_REPLAYS;
}

bool repl_replayed(const struct repl *c, struct ts_seq *suspect, struct ts_hash *digest)
{
    *suspect = c->replay_of;
    *digest = c->replayed_digest;
    return c->replayed;
}

bool repl_is_replaced(const struct repl *c)
{
    return c->role == REPL_ROLE_HALTED && c->why == REPL_WHY_OTHER_DISK;
}

bool repl_hands_over(const struct repl *c)
{
    return c->role == REPL_ROLE_PRIMARY && c->abdication != REPL_ABDICATION_NONE &&
           c->giving_up_why == REPL_TAKE_OVER_HANDOFF;
}

bool repl_lacks(const struct repl *c, struct ts_nic_id peer, struct repl_pos base,
                struct ts_seq snapshot)
{
    enum repl_log_match has = repl_log_match(&c->log, base);
    return c->role == REPL_ROLE_SECONDARY && c->config_known &&
           ts_nic_eq(c->config.primary, peer) && !repl_self_in_sync(c, &c->config) &&
           ts_seq_lt(c->committed.seq, snapshot) &&
           (has == REPL_LOG_OTHER || has == REPL_LOG_BEYOND);
}

bool repl_serves(const struct repl *c)
{
    return c->role == REPL_ROLE_PRIMARY && c->active && !c->blocked;
}

bool repl_is_followed(const struct repl *c)
{
    if (!repl_serves(c)) {
        return false;
    }
    /* Who is being required may be in sync by the register already, and take over. */
    uint64_t left = repl_required_mask(c) & ~(1ULL << c->o.self.v);
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        const struct repl_peer *p = &c->peers[i];
        if (p->used && p->connected && p->stream == REPL_STREAM_LIVE && p->acked_valid &&
            !p->refused) {
            left &= ~(1ULL << p->nic.v);
        }
    }
    return left == 0;
}

void repl_status(const struct repl *c, struct repl_status *out)
{
    /* Asked many times a turn: what stands behind peer_count is left as it was. */
    out->role = c->role;
    out->active = c->active;
    out->blocked = c->blocked;
    out->why = c->why;
    out->config_known = c->config_known;
    out->config_told = c->config_from.v != 0;
    out->config = c->config;
    out->required_mask = c->role == REPL_ROLE_PRIMARY ? repl_required_mask(c) : 0;
    out->floor = c->floor_durable;
    out->tail = repl_log_tail(&c->log);
    out->persisted = c->persisted;
    out->committed = c->committed.seq;
    out->applied = c->applied;
    out->digest = c->digest;
    out->alarms = c->alarms;
    out->malformed = c->malformed;
    out->peer_count = 0;
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        const struct repl_peer *p = &c->peers[i];
        if (p->used) {
            struct repl_peer_status *s = &out->peers[out->peer_count++];
            *s = (struct repl_peer_status){
                .nic = p->nic, .connected = p->connected, .evidence = p->evidence};
            if (p->acked_valid) {
                s->acked = p->acked;
            }
        }
    }
}

void repl_check_invariants(const struct repl *c)
{
    struct repl_pos tail = repl_log_tail(&c->log);
    ts_assert(!ts_seq_lt(tail.seq, c->persisted));
    ts_assert(!ts_seq_lt(tail.seq, c->committed.seq));
    ts_assert(ts_seq_eq(c->applied, c->committed.seq));
    ts_assert(!ts_epoch_lt(c->floor, c->floor_durable));
    ts_assert(repl_log_match(&c->log, c->committed) != REPL_LOG_OTHER);
    ts_assert(c->role != REPL_ROLE_PRIMARY || repl_is_self(c, c->config.primary));
    ts_assert(c->role != REPL_ROLE_PRIMARY ||
              ts_instance_eq(c->config.proposer, c->o.instance)); /* R2.6 */
    ts_assert(!c->active || c->role == REPL_ROLE_PRIMARY);
    ts_assert(c->role != REPL_ROLE_PRIMARY || !c->active ||
              c->abdication <= REPL_ABDICATION_DRAINS);
    ts_assert(c->read_ready <= c->read_token && c->read_round_token <= c->read_token);
    ts_assert(c->takeover == REPL_TAKEOVER_NONE || c->takeover == REPL_TAKEOVER_TAIL ||
              c->role == REPL_ROLE_TAKING_OVER || c->role == REPL_ROLE_SECONDARY);
}
