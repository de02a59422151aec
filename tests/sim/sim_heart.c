/* heartbeatd: what both share (heartbeat/io/hb_perform.h). Authentication is modelled: a checksum
 * stands for the HMAC, and damage on the way breaks it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "tests/sim/sim.h"

#define BACKLOG_MAX 64
#define GARBAGE 40

static void tag_of(const uint8_t *packet, uint8_t tag[HB_TAG_BYTES])
{
    uint64_t sum = ts_hash_seeded(0, packet, HB_SIGNED_BYTES);
    memset(tag, 0, HB_TAG_BYTES);
    memcpy(tag, &sum, sizeof(sum));
}

static void seal(uint8_t *packet)
{
    tag_of(packet, packet + HB_SIGNED_BYTES);
}

/* As hb_tag_eq, which takes its time on purpose: too much for every datagram here. */
static bool sealed(const uint8_t *packet)
{
    uint8_t tag[HB_TAG_BYTES];
    tag_of(packet, tag);
    return memcmp(tag, packet + HB_SIGNED_BYTES, HB_TAG_BYTES) == 0;
}

static bool on_sign(void *ctx, uint8_t packet[HB_DATAGRAM_BYTES])
{
    (void)ctx;
    seal(packet);
    return true;
}

static bool on_is_signed(void *ctx, const uint8_t packet[HB_DATAGRAM_BYTES])
{
    (void)ctx;
    return sealed(packet);
}

static void on_send(void *ctx, uint8_t peer, uint8_t path, const uint8_t packet[HB_DATAGRAM_BYTES])
{
    const struct sim_node *n = ctx;
    if (sim_proc_crashed(n->sim, n->id, SIM_HEARTBEATD)) {
        return;
    }
    n->sim->stats.heartbeats++;
    sim_net_datagram(n->sim, n->id, n->heart->core.peers[peer].nic.v, path, packet);
}

/* To the node's replica; what cluster-cfgd does with it is choose a path, which the model of its
 * links leaves out. */
static void on_publish(void *ctx, struct ts_bytes report)
{
    struct sim_node *n = ctx;
    struct sim *s = n->sim;
    struct sim_process *to = &n->proc[SIM_REPLICA];
    if (sim_proc_crashed(s, n->id, SIM_HEARTBEATD)) {
        return;
    }
    if (!n->nic || to->life == 0 || !to->ready || to->backlog > BACKLOG_MAX) {
        return;
    }
    to->backlog++;
    struct sim_event ev = {.kind = SIM_EV_PEERS,
                           .at = s->now + sim_us(s, 10, 150),
                           .node = (uint8_t)n->id,
                           .proc = SIM_REPLICA,
                           .life = to->life,
                           .queued = true,
                           .len = report.len};
    ev.bytes = sim_bytes_copy(s, report, (struct ts_bytes){NULL, 0});
    sim_push(s, &ev);
}

/* R4.3: who stood still himself does not know whether others are silent. The newest pause alone is
 * looked at, and with a wide margin: the detector's own slack is its own matter. */
static void check_blamed(struct sim *s, const struct sim_node *n, uint16_t nic)
{
    const struct sim_process *p = &n->proc[SIM_HEARTBEATD];
    uint64_t timeout = s->plan.failure_timeout;
    uint64_t unheard = 0;
    for (uint8_t i = 0; i < n->heart->core.peer_count; i++) {
        const struct hb_peer *peer = &n->heart->core.peers[i];
        if (peer->nic.v == nic) {
            unheard = ts_mono_since(peer->detector.heard, sim_local(s, n->id));
        }
    }
    uint64_t heard = s->now - unheard;
    uint64_t from = p->paused_from > heard ? p->paused_from : heard;
    uint64_t stood = p->paused_until > from ? p->paused_until - from : 0;
    if (stood >= timeout / 2 && unheard < stood + timeout / 2) {
        sim_fail(s, SIM_CHECK_FAILOVER,
                 "%s takes %s for silent: nothing was heard for %llu ms, of which its heartbeatd "
                 "stood still for %llu ms",
                 sim_node_name(s, n->id), sim_node_name(s, nic),
                 (unsigned long long)(unheard / SIM_MS), (unsigned long long)(stood / SIM_MS));
    }
}

static void on_trace(void *ctx, const struct ts_trace *t)
{
    const struct sim_node *n = ctx;
    if (t->kind == TS_TRACE_PEER_DOWN && t->b == HB_DOWN_SILENT) {
        check_blamed(n->sim, n, (uint16_t)t->a);
    }
    sim_story_trace(n->sim, n->id, SIM_HEARTBEATD, t);
}

static void on_rejected(void *ctx, enum hb_reject why)
{
    const struct sim_node *n = ctx;
    if (why == HB_REJECT_LOCAL) {
        sim_fail(n->sim, SIM_CHECK_ALARM, "nicd's report does not decode");
    }
}

static const struct hb_perform_ops OPS = {
    .sign = on_sign,
    .is_signed = on_is_signed,
    .send = on_send,
    .publish = on_publish,
    .trace = on_trace,
    .rejected = on_rejected,
};

/* Whether the node may not take it for a heartbeat of a peer: then it may come with the key. */
static bool not_for(const struct sim *s, int node, int path, const uint8_t *packet, size_t len)
{
    struct hb_datagram d;
    if (hb_datagram_decode(&d, (struct ts_bytes){packet, len}) != TS_OK) {
        return true;
    }
    uint8_t paths = (uint8_t)s->cluster.nodes[node - 1].path_count;
    if (d.from.v >= 1 && d.from.v <= s->nodes) {
        uint8_t theirs = (uint8_t)s->cluster.nodes[d.from.v - 1].path_count;
        paths = theirs < paths ? theirs : paths;
    }
    return d.path >= paths || d.from.v > s->nodes || d.from.v == node || d.to.v != node ||
           d.path != path;
}

void sim_heart_garbage(struct sim *s, int node)
{
    uint64_t kept = s->net.kept_count < SIM_KEPT_MAX ? s->net.kept_count : SIM_KEPT_MAX;
    struct sim_event ev = {
        .kind = SIM_EV_DATAGRAM, .at = s->now, .node = (uint8_t)node, .proc = SIM_HEARTBEATD};
    const struct sim_process *p = &s->node[node].proc[SIM_HEARTBEATD];
    for (int i = 0; i < GARBAGE && kept > 0 && p->life != 0 && p->ready; i++) {
        const struct sim_kept *k = &s->net.kept[sim_rand(s, 0, kept - 1)];
        uint8_t packet[HB_DATAGRAM_BYTES + 8];
        memcpy(packet, k->bytes, HB_DATAGRAM_BYTES);
        ev.len = sim_stray_damage(s, packet, HB_DATAGRAM_BYTES, sizeof(packet));
        ev.path = (uint8_t)sim_rand(s, 0, SIM_PATHS - 1);
        ev.bytes = packet;
        bool wrong = not_for(s, node, ev.path, packet, ev.len);
        if (ev.len == HB_DATAGRAM_BYTES && wrong) {
            seal(packet); /* of this cluster, and wrong */
            sim_dispatch(s, &ev);
        } else if (ev.len != HB_DATAGRAM_BYTES || !sealed(packet)) {
            uint8_t tag[HB_TAG_BYTES];
            tag_of(packet, tag);
            ts_assert(ev.len != HB_DATAGRAM_BYTES || !hb_tag_eq(packet + HB_SIGNED_BYTES, tag));
            sim_dispatch(s, &ev);
        }
    }
}

/* With the key, as it comes from the wire. */
static void hear(struct sim *s, int node, const struct hb_datagram *d)
{
    uint8_t packet[HB_DATAGRAM_BYTES];
    struct ts_writer w = ts_writer_init(packet, HB_SIGNED_BYTES);
    enum ts_err err = hb_datagram_encode(d, &w);
    ts_assert(err == TS_OK);
    seal(packet);
    hb_perform_packet(s->node[node].heart, d->path, (struct ts_bytes){packet, sizeof(packet)},
                      sim_local(s, node));
    (void)sim_proc_settle(s, node, SIM_HEARTBEATD);
}

void sim_heart_stray(struct sim *s, int node)
{
    struct hb_core *heart = s->node[node].heart == NULL ? NULL : &s->node[node].heart->core;
    uint64_t kept = s->net.kept_count < SIM_KEPT_MAX ? s->net.kept_count : SIM_KEPT_MAX;
    for (uint64_t i = 0; i < kept && heart != NULL && !sim_paused(s, node, SIM_HEARTBEATD); i++) {
        struct hb_datagram d;
        enum ts_err err =
            hb_datagram_decode(&d, (struct ts_bytes){s->net.kept[i].bytes, HB_DATAGRAM_BYTES});
        ts_assert(err == TS_OK);
        for (uint8_t p = 0; p < heart->peer_count; p++) {
            const struct hb_peer *peer = &heart->peers[p];
            if (!ts_nic_eq(peer->nic, d.from) || d.to.v != node || d.path >= peer->path_count) {
                continue;
            }
            /* New on its path, and an answer to what was not asked yet. */
            d.instance = peer->paths[d.path].echo_instance;
            d.number = peer->paths[d.path].newest_number + 1;
            d.echo_instance = heart->instance;
            d.echo_sent = ts_mono_add(sim_local(s, node), SIM_S);
            if (d.instance.v != 0) {
                hear(s, node, &d);
            }
            return;
        }
    }
}

void sim_heart_start(struct sim *s, int node)
{
    struct sim_node *n = &s->node[node];
    ts_assert(n->heart == NULL);
    n->heart = malloc(sizeof(*n->heart));
    ts_assert(n->heart != NULL);
    n->heart->ops = &OPS;
    n->heart->ctx = n;
    n->heart->scratch = &s->hb_scratch;
    hb_init(&n->heart->core, &s->cluster, (struct ts_nic_id){(uint16_t)node},
            (struct ts_instance){n->proc[SIM_HEARTBEATD].life}, sim_local(s, node));
    sim_proc_tick_at(s, node, SIM_HEARTBEATD, hb_deadline(&n->heart->core));
}

void sim_heart_end(struct sim *s, int node)
{
    free(s->node[node].heart);
    s->node[node].heart = NULL;
}

void sim_heart_event(struct sim *s, struct sim_event *ev)
{
    struct sim_node *n = &s->node[ev->node];
    struct sim_process *p = &n->proc[SIM_HEARTBEATD];
    if (ev->kind == SIM_EV_STARTED) {
        p->ready = true;
        sim_heart_start(s, ev->node);
        return;
    }
    struct ts_bytes bytes = {ev->bytes, ev->len};
    if (ev->kind == SIM_EV_DATAGRAM) {
        hb_perform_packet(n->heart, ev->path, bytes, sim_local(s, ev->node));
        (void)sim_proc_settle(s, ev->node, SIM_HEARTBEATD);
        return;
    }
    if (ev->kind == SIM_EV_PROCS) {
        hb_perform_local(n->heart, bytes, sim_local(s, ev->node));
        (void)sim_proc_settle(s, ev->node, SIM_HEARTBEATD);
        return;
    }
    if (p->tick_at != ev->a) {
        return; /* replaced by an earlier one */
    }
    p->tick_at = 0;
    hb_perform_tick(n->heart, sim_local(s, ev->node));
    if (sim_proc_settle(s, ev->node, SIM_HEARTBEATD)) {
        return;
    }
    if (s->options.invariants) {
        hb_check_invariants(&n->heart->core);
    }
    sim_proc_tick_at(s, ev->node, SIM_HEARTBEATD, hb_deadline(&n->heart->core));
}
