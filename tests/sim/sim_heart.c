/* heartbeatd: the real core and codec. Authentication is modelled: a checksum stands for the
 * HMAC, and damage on the way breaks it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "tests/sim/sim.h"

#define BACKLOG_MAX 64
#define GARBAGE 40

static void tag_of(const uint8_t *packet, uint8_t tag[HB_TAG_BYTES])
{
    uint32_t crc = ts_crc32c(packet, HB_SIGNED_BYTES);
    memset(tag, 0, HB_TAG_BYTES);
    memcpy(tag, &crc, sizeof(crc));
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

static void send_heartbeat(struct sim *s, int node, const struct hb_effect *e, struct ts_mono now)
{
    struct sim_node *n = &s->node[node];
    struct hb_datagram content;
    uint8_t packet[HB_DATAGRAM_BYTES];
    struct ts_writer w = ts_writer_init(packet, HB_SIGNED_BYTES);
    hb_fill(n->heart, e, now, &content);
    enum ts_err err = hb_datagram_encode(&content, &w);
    ts_assert(err == TS_OK);
    seal(packet);
    s->stats.heartbeats++;
    sim_net_datagram(s, node, n->heart->peers[e->peer].nic.v, e->path, packet);
}

/* To the node's replica; what cluster-cfgd does with it is choose a path, which the model of its
 * links leaves out. */
static void publish(struct sim *s, int node, struct ts_mono now)
{
    struct sim_node *n = &s->node[node];
    struct sim_process *to = &n->proc[SIM_REPLICA];
    if (!n->nic || to->life == 0 || !to->ready || to->backlog > BACKLOG_MAX) {
        return;
    }
    uint8_t bytes[REPORT_BYTES_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    hb_report(n->heart, now, &s->report);
    enum ts_err err = report_peers_encode(&s->report, &w);
    ts_assert(err == TS_OK);
    to->backlog++;
    struct sim_event ev = {.kind = SIM_EV_PEERS,
                           .at = s->now + sim_us(s, 10, 150),
                           .node = (uint8_t)node,
                           .proc = SIM_REPLICA,
                           .life = to->life,
                           .queued = true,
                           .len = w.len};
    ev.bytes = sim_bytes_copy(s, (struct ts_bytes){bytes, w.len}, (struct ts_bytes){NULL, 0});
    sim_push(s, &ev);
}

static void step(struct sim *s, int node, struct hb_event *event)
{
    struct sim_node *n = &s->node[node];
    event->now = sim_local(s, node);
    hb_step(n->heart, event, &s->hb_effects);
    for (uint16_t i = 0; i < s->hb_effects.count; i++) {
        const struct hb_effect *e = &s->hb_effects.e[i];
        if (e->kind == HB_EFFECT_SEND) {
            send_heartbeat(s, node, e, event->now);
        } else if (e->kind == HB_EFFECT_PUBLISH) {
            publish(s, node, event->now);
        } else {
            sim_story_trace(s, node, SIM_HEARTBEATD, &e->trace);
        }
    }
    if (event->kind == HB_EVENT_TICK && s->options.invariants) {
        hb_check_invariants(n->heart);
    }
}

static void on_packet(struct sim *s, const struct sim_event *ev)
{
    const struct sim_node *n = &s->node[ev->node];
    struct hb_datagram content;
    struct ts_bytes packet = {ev->bytes, ev->len};
    if (hb_datagram_precheck(packet, n->heart->cluster) != TS_OK || !sealed(ev->bytes) ||
        hb_datagram_decode(&content, packet) != TS_OK) {
        return;
    }
    struct hb_event e = {.kind = HB_EVENT_DATAGRAM, .path = ev->path, .datagram = &content};
    step(s, ev->node, &e);
}

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

void sim_heart_stray(struct sim *s, int node)
{
    struct hb_core *heart = s->node[node].heart;
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
            struct hb_event e = {.kind = HB_EVENT_DATAGRAM, .path = d.path, .datagram = &d};
            if (d.instance.v != 0) {
                step(s, node, &e);
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
    hb_init(n->heart, &s->cluster, (struct ts_nic_id){(uint16_t)node},
            (struct ts_instance){n->proc[SIM_HEARTBEATD].life}, sim_local(s, node));
    sim_proc_tick_at(s, node, SIM_HEARTBEATD, hb_deadline(n->heart));
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
    if (ev->kind == SIM_EV_DATAGRAM) {
        on_packet(s, ev);
        return;
    }
    if (ev->kind == SIM_EV_PROCS) {
        if (report_procs_decode(&s->procs, (struct ts_bytes){ev->bytes, ev->len}) != TS_OK) {
            sim_fail(s, SIM_CHECK_ALARM, "nicd's report does not decode");
        }
        struct hb_event e = {.kind = HB_EVENT_PROCS, .procs = &s->procs};
        step(s, ev->node, &e);
        return;
    }
    if (p->tick_at != ev->a) {
        return; /* replaced by an earlier one */
    }
    p->tick_at = 0;
    struct hb_event e = {.kind = HB_EVENT_TICK};
    step(s, ev->node, &e);
    sim_proc_tick_at(s, ev->node, SIM_HEARTBEATD, hb_deadline(n->heart));
}
