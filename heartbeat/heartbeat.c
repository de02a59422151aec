#include "heartbeat/heartbeat.h"

#include <string.h>

#include "base/assert.h"

static struct hb_effect *effect_add(struct hb_effects *out, enum hb_effect_kind kind)
{
    ts_assert(out->count < HB_EFFECTS_MAX);
    struct hb_effect *e = &out->e[out->count++];
    *e = (struct hb_effect){.kind = kind};
    return e;
}

static void effect_trace(struct hb_effects *out, enum ts_trace_kind kind, struct ts_mono now,
                         uint64_t a, uint64_t b)
{
    effect_add(out, HB_EFFECT_TRACE)->trace =
        (struct ts_trace){.kind = kind, .at = now, .a = a, .b = b};
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static struct ts_mono earlier(struct ts_mono a, struct ts_mono b)
{
    return ts_mono_lt(a, b) ? a : b;
}

static void peer_init(struct hb_peer *peer, const struct cfg_node *self,
                      const struct cfg_node *node, const struct cfg_timing *timing,
                      struct ts_mono now)
{
    *peer = (struct hb_peer){
        .nic = node->id,
        .path_count = (uint8_t)min_u64(self->path_count, node->path_count),
        .alive = true,
    };
    hb_detector_init(&peer->detector, timing->failure_timeout, timing->heartbeat_interval, now);
    for (uint8_t i = 0; i < peer->path_count; i++) {
        hb_detector_init(&peer->paths[i].detector, timing->path_timeout, timing->heartbeat_interval,
                         now);
        peer->paths[i].next_number = 1;
    }
}

void hb_init(struct hb_core *h, const struct cfg_cluster *cluster, struct ts_nic_id self,
             struct ts_instance instance, struct ts_mono now)
{
    const struct cfg_node *me = cfg_cluster_node(cluster, self);
    ts_assert(me != NULL);
    ts_assert(instance.v != 0);
    *h = (struct hb_core){
        .self = self,
        .instance = instance,
        .cluster = hb_cluster_hash(cluster->name),
        .timing = cluster->timing,
        .publish_interval_ns = min_u64(cluster->timing.heartbeat_interval, HB_PUBLISH_MAX_NS),
        .send_due = now,
        .publish_due = now,
        .word_at = now,
        .stall_at = now,
    };
    for (size_t i = 0; i < cluster->node_count; i++) {
        if (!ts_nic_eq(cluster->nodes[i].id, self)) {
            peer_init(&h->peers[h->peer_count++], me, &cluster->nodes[i], &h->timing, now);
        }
    }
}

/* Heartbeats to everyone, now. */
static void send_all(struct hb_core *h, struct hb_effects *out)
{
    for (uint8_t i = 0; i < h->peer_count; i++) {
        for (uint8_t p = 0; p < h->peers[i].path_count; p++) {
            struct hb_effect *e = effect_add(out, HB_EFFECT_SEND);
            e->peer = i;
            e->path = p;
            e->number = h->peers[i].paths[p].next_number++;
        }
    }
}

/* Keeps the beat, but never catches up with a burst after a stall. */
static struct ts_mono next_beat(struct ts_mono due, uint64_t interval_ns, struct ts_mono now)
{
    struct ts_mono next = ts_mono_add(due, interval_ns);
    return ts_mono_lt(now, next) ? next : ts_mono_add(now, interval_ns);
}

static struct hb_peer *find_peer(struct hb_core *h, struct ts_nic_id nic)
{
    for (uint8_t i = 0; i < h->peer_count; i++) {
        if (ts_nic_eq(h->peers[i].nic, nic)) {
            return &h->peers[i];
        }
    }
    return NULL;
}

static bool is_past_instance(const struct hb_peer *peer, struct ts_instance instance)
{
    for (size_t i = 0; i < HB_PAST_INSTANCES; i++) {
        if (ts_instance_eq(peer->past[i], instance)) {
            return true;
        }
    }
    return false;
}

/* Whether the packet is news on its path; notes its time for the echo if so. */
static bool note_question(struct hb_peer *peer, struct hb_path *path, const struct hb_datagram *d)
{
    if (is_past_instance(peer, d->instance)) {
        return false;
    }
    bool same = ts_instance_eq(path->echo_instance, d->instance);
    if (same && d->number <= path->newest_number) {
        return false;
    }
    path->received++;
    path->lost += same ? d->number - path->newest_number - 1 : 0;
    path->echo_instance = d->instance;
    path->echo_sent = d->sent;
    path->newest_number = d->number;
    return true;
}

/* Whether the packet answers a recent question of mine: it was made after I sent that one. */
static bool is_answer(const struct hb_core *h, const struct hb_datagram *d, struct ts_mono now)
{
    return ts_instance_eq(d->echo_instance, h->instance) && d->echo_sent.ns <= now.ns &&
           now.ns - d->echo_sent.ns <= HB_ECHO_AGE_FACTOR * h->timing.failure_timeout;
}

/* Takes the peer's instance and its nicd's word. Returns whether anything changed. */
static bool take_content(struct hb_peer *peer, const struct hb_datagram *d)
{
    bool changed = false;
    if (!ts_instance_eq(peer->instance, d->instance)) {
        if (peer->instance.v != 0) {
            peer->past[peer->past_next] = peer->instance;
            peer->past_next = (uint8_t)((peer->past_next + 1) % HB_PAST_INSTANCES);
        }
        peer->instance = d->instance;
        peer->word_sent = (struct ts_mono){0};
        changed = true;
    }
    if (!ts_mono_lt(d->sent, peer->word_sent)) {
        peer->word_sent = d->sent;
        changed = changed || !hb_word_eq(&peer->word, &d->word);
        peer->word = d->word;
    }
    return changed;
}

static void on_datagram(struct hb_core *h, const struct hb_event *event, struct hb_effects *out)
{
    const struct hb_datagram *d = event->datagram;
    struct hb_peer *peer = find_peer(h, d->from);
    if (peer == NULL || !ts_nic_eq(d->to, h->self) || d->path != event->path ||
        d->path >= peer->path_count) {
        h->stats.not_mine++;
        return;
    }
    struct hb_path *path = &peer->paths[d->path];
    if (!note_question(peer, path, d)) {
        h->stats.replayed++;
        return;
    }
    if (!is_answer(h, d, event->now)) {
        h->stats.unanswering++;
        return;
    }
    h->stats.signs_of_life++;
    bool changed = take_content(peer, d);
    hb_detector_heard(&path->detector, event->now);
    hb_detector_heard(&peer->detector, event->now);
    if (!path->up) {
        path->up = true;
        changed = true;
        effect_trace(out, TS_TRACE_PATH_UP, event->now, peer->nic.v, d->path);
    }
    if (!peer->alive || !peer->was_heard) {
        peer->alive = true;
        peer->was_heard = true;
        changed = true;
        effect_trace(out, TS_TRACE_PEER_UP, event->now, peer->nic.v, 0);
    }
    if (changed) {
        effect_add(out, HB_EFFECT_PUBLISH);
    }
}

/* Judges one peer. Returns whether its report changed; raises `stall_ns` to the own stall. */
static bool judge_peer(struct hb_peer *peer, struct ts_mono now, uint64_t *stall_ns,
                       struct hb_effects *out)
{
    bool changed = false;
    uint64_t stall = hb_detector_tick(&peer->detector, now);
    bool silent = hb_detector_verdict(&peer->detector) == HB_SILENT;
    if (stall > *stall_ns) {
        *stall_ns = stall;
    }
    for (uint8_t p = 0; p < peer->path_count; p++) {
        struct hb_path *path = &peer->paths[p];
        hb_detector_tick(&path->detector, now);
        /* After stalls a path may have been excused more often than its node. */
        if (path->up && (silent || hb_detector_verdict(&path->detector) == HB_SILENT)) {
            path->up = false;
            changed = true;
            effect_trace(out, TS_TRACE_PATH_DOWN, now, peer->nic.v, p);
        }
    }
    if (peer->alive && silent) {
        peer->alive = false;
        changed = true;
        effect_trace(out, TS_TRACE_PEER_DOWN, now, peer->nic.v, HB_DOWN_SILENT);
    }
    return changed;
}

/* Keeps the longest stall of the last while; traces one that was long enough to matter. */
static void note_stall(struct hb_core *h, uint64_t stall_ns, struct ts_mono now,
                       struct hb_effects *out)
{
    if (stall_ns >= h->stall_ns || ts_mono_since(h->stall_at, now) >= HB_STALL_SHOWN_NS) {
        h->stall_ns = stall_ns;
        h->stall_at = now;
    }
    if (stall_ns >= h->timing.path_timeout) {
        effect_trace(out, TS_TRACE_OWN_STALL, now, stall_ns / TS_NS_PER_MS, 0);
    }
}

/* Forgets a word that nicd no longer confirms. Returns whether it changed. */
static bool withdraw_old_word(struct hb_core *h, struct ts_mono now)
{
    if (h->word.known == 0 || ts_mono_since(h->word_at, now) <= HB_WORD_AGE_MAX_NS) {
        return false;
    }
    h->word = (struct hb_word){0};
    return true;
}

static void on_tick(struct hb_core *h, struct ts_mono now, struct hb_effects *out)
{
    uint64_t stall_ns = 0;
    bool changed = false;
    for (uint8_t i = 0; i < h->peer_count; i++) {
        changed = judge_peer(&h->peers[i], now, &stall_ns, out) || changed;
    }
    note_stall(h, stall_ns, now, out);
    bool send_due = !ts_mono_lt(now, h->send_due);
    if (withdraw_old_word(h, now) || send_due) {
        send_all(h, out);
    }
    if (send_due) {
        h->send_due = next_beat(h->send_due, h->timing.heartbeat_interval, now);
    }
    /* What changed is told at once and leaves the beat alone: mostly it is that of the heartbeats,
     * and one turn does both. */
    bool publish_due = !ts_mono_lt(now, h->publish_due);
    if (publish_due) {
        h->publish_due = next_beat(h->publish_due, h->publish_interval_ns, now);
    }
    if (changed || publish_due) {
        effect_add(out, HB_EFFECT_PUBLISH);
    }
}

static void on_procs(struct hb_core *h, const struct hb_event *event, struct hb_effects *out)
{
    struct hb_word word = {0};
    for (uint8_t i = 0; i < event->procs->count; i++) {
        const struct report_proc *proc = &event->procs->p[i];
        if (proc->role != REPORT_PROC_REPLICA) {
            continue;
        }
        /* The report's decoder takes no replica without a group. */
        ts_assert(proc->group.v >= 1 && proc->group.v <= TS_GROUPS_MAX);
        uint64_t bit = 1ULL << proc->group.v;
        word.known |= bit;
        word.running |= proc->running ? bit : 0;
        word.starts[proc->group.v] = (uint8_t)proc->starts;
    }
    h->word_at = event->now;
    if (!hb_word_eq(&word, &h->word)) {
        h->word = word;
        send_all(h, out);
    }
}

void hb_step(struct hb_core *h, const struct hb_event *event, struct hb_effects *out)
{
    out->count = 0;
    switch (event->kind) {
    case HB_EVENT_TICK:
        on_tick(h, event->now, out);
        return;
    case HB_EVENT_DATAGRAM:
        on_datagram(h, event, out);
        return;
    case HB_EVENT_PROCS:
        on_procs(h, event, out);
        return;
    }
    ts_unreachable();
}

struct ts_mono hb_deadline(const struct hb_core *h)
{
    struct ts_mono due = earlier(h->send_due, h->publish_due);
    for (uint8_t i = 0; i < h->peer_count; i++) {
        const struct hb_peer *peer = &h->peers[i];
        due = earlier(due, hb_detector_deadline(&peer->detector));
        for (uint8_t p = 0; p < peer->path_count; p++) {
            due = earlier(due, hb_detector_deadline(&peer->paths[p].detector));
        }
    }
    return due;
}

void hb_fill(const struct hb_core *h, const struct hb_effect *send, struct ts_mono now,
             struct hb_datagram *out)
{
    ts_assert(send->kind == HB_EFFECT_SEND);
    ts_assert(send->peer < h->peer_count);
    const struct hb_peer *peer = &h->peers[send->peer];
    ts_assert(send->path < peer->path_count);
    const struct hb_path *path = &peer->paths[send->path];
    *out = (struct hb_datagram){
        .cluster = h->cluster,
        .from = h->self,
        .to = peer->nic,
        .path = send->path,
        .instance = h->instance,
        .number = send->number,
        .sent = now,
        .echo_instance = path->echo_instance,
        .echo_sent = path->echo_sent,
        .word = h->word,
    };
}

static void report_peer(const struct hb_peer *peer, struct ts_mono now, struct report_peer *out)
{
    uint64_t silent_ms = hb_detector_silence_ns(&peer->detector, now) / TS_NS_PER_MS;
    *out = (struct report_peer){
        .nic = peer->nic,
        .alive = peer->alive,
        .instance = peer->instance,
        .silent_ms = (uint32_t)min_u64(silent_ms, UINT32_MAX),
        .replica_running_mask = peer->word.running,
        .replica_known_mask = peer->word.known,
    };
    for (uint8_t p = 0; p < peer->path_count; p++) {
        out->path_up_mask = (uint8_t)(out->path_up_mask | (peer->paths[p].up ? 1U << p : 0U));
        out->heartbeats_received += peer->paths[p].received;
        out->heartbeats_lost += peer->paths[p].lost;
    }
    memcpy(out->replica_starts, peer->word.starts, sizeof(out->replica_starts));
}

void hb_report(const struct hb_core *h, struct ts_mono now, struct report_peers *out)
{
    out->nic = h->self;
    out->own_stall_ms = (uint32_t)min_u64(h->stall_ns / TS_NS_PER_MS, UINT32_MAX);
    out->count = h->peer_count;
    for (uint8_t i = 0; i < h->peer_count; i++) {
        report_peer(&h->peers[i], now, &out->p[i]);
    }
}

void hb_check_invariants(const struct hb_core *h)
{
    ts_assert(h->peer_count < TS_NODES_MAX);
    ts_assert((h->word.running & ~h->word.known) == 0);
    for (uint8_t i = 0; i < h->peer_count; i++) {
        const struct hb_peer *peer = &h->peers[i];
        ts_assert(!ts_nic_eq(peer->nic, h->self));
        ts_assert(peer->was_heard == (peer->instance.v != 0));
        ts_assert(peer->alive == (hb_detector_verdict(&peer->detector) == HB_ALIVE));
        ts_assert(!is_past_instance(peer, peer->instance) || peer->instance.v == 0);
        for (uint8_t p = 0; p < peer->path_count; p++) {
            const struct hb_path *path = &peer->paths[p];
            ts_assert(!path->up || hb_detector_verdict(&path->detector) == HB_ALIVE);
            ts_assert(!path->up || (peer->was_heard && peer->alive));
        }
    }
}
