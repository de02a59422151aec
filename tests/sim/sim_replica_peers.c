/* What a replica hears of its peers: sessions and frames of sim_link.c, heartbeatd's reports, and
 * silence; judged by the daemon's rules of evidence. */
#include "base/assert.h"
#include "replicator/io/transfer_msg.h"
#include "tests/sim/sim.h"

static struct sim_replica *replica_of(struct sim *s, int node)
{
    return &s->node[node].replica;
}

void sim_replica_peers_begin(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    for (int n = 1; n <= s->nics; n++) {
        r->peers[n].used = n != node;
        replica_evidence_init(&r->peers[n].evidence, &s->cluster.timing, sim_local(s, node));
    }
}

void sim_replica_evidence(struct sim *s, int node, int peer, enum repl_evidence kind)
{
    struct repl_event ev = replica_evidence_event((struct ts_nic_id){(uint16_t)peer}, kind);
    if (replica_of(s, node)->p.started) {
        sim_feed(s, node, &ev);
    }
}

void sim_replica_link_up(struct sim *s, int node, int peer, uint64_t life)
{
    struct repl_event ev = {.kind = REPL_EV_LINK_UP, .peer = {(uint16_t)peer}};
    ev.u.link.instance.v = life;
    ev.u.link.incarnation = replica_of(s, peer)->disk.incarnation;
    replica_evidence_link_up(&replica_of(s, node)->peers[peer].evidence, sim_local(s, node));
    replica_of(s, node)->published[peer].v = 0;
    sim_note(s, node, "session with %s", sim_node_name(s, peer));
    sim_feed(s, node, &ev);
}

void sim_replica_link_down(struct sim *s, int node, int peer)
{
    struct repl_event ev = {.kind = REPL_EV_LINK_DOWN, .peer = {(uint16_t)peer}};
    sim_note(s, node, "session with %s ends", sim_node_name(s, peer));
    sim_feed(s, node, &ev);
}

void sim_replica_refused(struct sim *s, int node, int peer)
{
    sim_replica_evidence(s, node, peer, REPL_EVIDENCE_REFUSED);
}

/* Now and then a peer gives other batches than it has: nobody is to believe it. */
static void spoil_given(struct sim *s, uint8_t type, struct ts_bytes bytes)
{
    if (type == DISK_MSG_GIVE && sim_chance_pm(s, 300)) {
        size_t first =
            bytes.len < 250 ? bytes.len : 250; /* others than the first are rarely used */
        ((uint8_t *)(uintptr_t)bytes.data)[sim_rand(s, 0, first - 1)] ^= 1;
    }
}

void sim_replica_frame(struct sim *s, int node, int peer, uint8_t type, struct ts_bytes bytes)
{
    struct repl_event ev = {.kind = REPL_EV_MESSAGE, .peer = {(uint16_t)peer}};
    if (perform_takes_frame(type)) {
        spoil_given(s, type, bytes);
        /* Garbage is left alone. */
        enum ts_err ignored =
            perform_frame(&replica_of(s, node)->p, ev.peer, type, bytes, sim_local(s, node));
        (void)ignored;
        return;
    }
    ev.u.message.type = type;
    ev.u.message.frame = bytes;
    sim_feed(s, node, &ev);
}

void sim_replica_peers_report(struct sim *s, struct sim_event *ev)
{
    struct sim_replica *r = replica_of(s, ev->node);
    uint64_t life = s->node[ev->node].proc[SIM_REPLICA].life;
    if (report_peers_decode(&s->report, (struct ts_bytes){ev->bytes, ev->len}) != TS_OK) {
        sim_fail(s, SIM_CHECK_ALARM, "heartbeatd's report does not decode");
    }
    for (uint8_t i = 0; i < s->report.count && r->p.started; i++) {
        const struct report_peer *p = &s->report.p[i];
        enum repl_evidence kind;
        int peer = p->nic.v;
        if (peer > s->nics) {
            continue;
        }
        sim_link_path_state(s, ev->node, peer, p->path_up_mask);
        if (s->node[ev->node].proc[SIM_REPLICA].life != life) {
            return;
        }
        if (replica_evidence_word(&r->peers[peer].evidence, p, (struct ts_group_id){SIM_GROUP},
                                  sim_link_is_up(s, ev->node, peer), &kind)) {
            sim_replica_evidence(s, ev->node, peer, kind);
        }
        if (s->node[ev->node].proc[SIM_REPLICA].life != life) {
            return;
        }
    }
}

void sim_replica_peers_look(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    for (int peer = 1; peer <= s->nics; peer++) {
        enum repl_evidence kind;
        uint64_t stall;
        struct ts_mono now = sim_local(s, node);
        struct ts_mono heard = now;
        if (!r->peers[peer].used) {
            continue;
        }
        uint64_t age = s->now - sim_link_heard(s, node, peer);
        heard.ns = heard.ns > age ? heard.ns - age : 0;
        if (replica_evidence_look(&r->peers[peer].evidence, heard, now, &kind, &stall)) {
            sim_replica_evidence(s, node, peer, kind);
        }
        if (s->node[node].proc[SIM_REPLICA].life != life) {
            return;
        }
    }
}
