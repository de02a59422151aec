/* What speaks for or against the peers: the links themselves, a detector a peer over the
 * links' signs of life, and heartbeatd's reports (paths, and the word of the peer's nicd). */
#include <stdio.h>

#include "base/assert.h"
#include "daemon/replica.h"
#include "replicator/io/transfer_msg.h"

static void feed_evidence(struct replica *r, struct ts_nic_id peer, enum repl_evidence kind)
{
    struct repl_event ev = replica_evidence_event(peer, kind);
    if (r->p.started) {
        replica_feed(r, &ev);
    }
}

static struct replica_peer *find_peer(struct replica *r, struct ts_nic_id nic)
{
    for (size_t i = 0; i < r->peer_count; i++) {
        if (ts_nic_eq(r->peers[i].nic, nic)) {
            return &r->peers[i];
        }
    }
    return NULL;
}

/* ---- links ------------------------------------------------------------------------- */

static void on_link_up(void *arg, const struct links_peer *peer)
{
    struct replica *r = arg;
    struct repl_event ev = {.kind = REPL_EV_LINK_UP, .peer = peer->nic};
    ev.u.link.instance = peer->instance;
    ev.u.link.incarnation = peer->incarnation;
    struct replica_peer *p = find_peer(r, peer->nic);
    if (p != NULL) {
        replica_evidence_link_up(&p->evidence, net_now());
    }
    replica_clients_link_up(r, peer->nic);
    replica_feed(r, &ev);
}

static void on_link_down(void *arg, struct ts_nic_id peer, enum links_down reason)
{
    struct replica *r = arg;
    struct repl_event ev = {.kind = REPL_EV_LINK_DOWN, .peer = peer};
    if (reason == LINKS_DOWN_MALFORMED) {
        net_log_limited(&r->start->log, NET_LOG_WARNING, "link-malformed",
                        "the link to node %u broke the protocol: closed", peer.v);
    }
    replica_feed(r, &ev);
}

static void on_refused_everywhere(void *arg, struct ts_nic_id peer, struct ts_instance instance)
{
    (void)instance;
    feed_evidence(arg, peer, REPL_EVIDENCE_REFUSED);
}

static void on_frame(void *arg, struct ts_nic_id peer, uint8_t type, struct ts_bytes payload)
{
    struct replica *r = arg;
    struct repl_event ev = {.kind = REPL_EV_MESSAGE, .peer = peer};
    if (perform_takes_frame(type)) {
        /* One that is malformed is of no use, and does no harm. */
        enum ts_err ignored = perform_frame(&r->p, peer, type, payload, net_now());
        (void)ignored;
        return;
    }
    if (type == ADDRESS_CLIENTS_FRAME && replica_clients_frame(r, peer, payload)) {
        return;
    }
    ev.u.message.type = type;
    ev.u.message.frame = payload;
    replica_feed(r, &ev);
}

/* ---- heartbeatd -------------------------------------------------------------------- */

static void on_peer_report(struct replica *r, const struct report_peer *report)
{
    if (r->voters != NULL) {
        voter_client_path_state(r->voters, report->nic, report->path_up_mask);
    }
    struct replica_peer *p = find_peer(r, report->nic);
    if (p == NULL) {
        return;
    }
    if (r->links != NULL) {
        links_path_state(r->links, p->nic, report->path_up_mask);
    }
    enum repl_evidence evidence;
    bool up = r->links != NULL && links_is_up(r->links, p->nic);
    if (replica_evidence_word(&p->evidence, report, r->start->group->id, up, &evidence)) {
        feed_evidence(r, p->nic, evidence);
    }
}

/* ---- cluster-cfgd -------------------------------------------------------------------- */

static void on_wish(struct replica *r, struct ts_bytes datagram)
{
    struct report_handoff wish;
    bool good = report_handoff_decode(&wish, datagram) == TS_OK;
    /* Of an epoch that is over: it is said again if it is still wanted. */
    if (good && wish.group.v == r->start->group->id.v && r->p.started &&
        ts_epoch_eq(wish.epoch, repl_epoch(r->core))) {
        replica_service_wish(r, &wish);
    }
}

static void on_want_snapshot(struct replica *r, struct ts_bytes datagram)
{
    struct report_snapshot wish;
    if (report_snapshot_decode(&wish, datagram) == TS_OK && wish.group.v == r->start->group->id.v) {
        r->p.snapshot.wanted = ts_seq_max(r->p.snapshot.wanted, wish.seq);
    }
}

static void on_datagram(void *arg, struct ts_bytes datagram)
{
    struct replica *r = arg;
    struct report_peers report;
    if (report_peek(datagram) == REPORT_SNAPSHOT) {
        on_want_snapshot(r, datagram);
        return;
    }
    if (report_peek(datagram) == REPORT_HANDOFF) {
        on_wish(r, datagram);
        return;
    }
    if (report_peek(datagram) != REPORT_PEERS || report_peers_decode(&report, datagram) != TS_OK) {
        r->rejected_reports++;
        net_log_limited(&r->start->log, NET_LOG_WARNING, "report",
                        "%s: a datagram that is no report of heartbeatd: ignored", r->dgram.path);
        return;
    }
    for (uint8_t i = 0; i < report.count; i++) {
        on_peer_report(r, &report.p[i]);
    }
}

/* ---- silence ------------------------------------------------------------------------ */

void replica_peers_tick(struct replica *r, struct ts_mono read_to)
{
    if (!r->p.started || ts_mono_lt(read_to, r->watch_at)) {
        return;
    }
    r->watch_at = ts_mono_add(read_to, r->start->cluster.timing.heartbeat_interval);
    for (size_t i = 0; i < r->peer_count; i++) {
        struct replica_peer *p = &r->peers[i];
        enum repl_evidence evidence;
        uint64_t stall = 0;
        bool changed = replica_evidence_look(&p->evidence, links_heard(r->links, p->nic), read_to,
                                             &evidence, &stall);
        if (stall > 0 && i == 0) {
            replica_trace(r, &(struct ts_trace){.kind = TS_TRACE_OWN_STALL,
                                                .at = read_to,
                                                .a = stall / TS_NS_PER_MS});
        }
        if (changed) {
            feed_evidence(r, p->nic, evidence);
        }
    }
}

/* ---- nicd ------------------------------------------------------------------------------ */

static struct ts_mono answered_on_link(const void *arg, struct ts_nic_id peer)
{
    const struct replica *r = arg;
    return links_answered(r->links, peer);
}

void replica_peers_tell_nicd(struct replica *r, struct ts_mono now)
{
    struct report_serves said;
    uint8_t bytes[REPORT_BYTES_MAX];
    bool served = r->address.serves;
    if (r->nicd_path[0] == '\0' ||
        !replica_address_say(&r->address, r->core, r->p.started, answered_on_link, r, now, &said)) {
        return;
    }
    if (served != r->address.serves) {
        replica_clients_serves(r, r->address.serves, now);
    } else if (!said.serves) {
        replica_clients_close(r); /* the address has been here, and goes: while they can be told */
    }
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    enum ts_err err = report_serves_encode(&said, &w);
    ts_assert(err == TS_OK);
    if (net_dgram_send(&r->dgram, r->nicd_path, (struct ts_bytes){bytes, w.len}) && said.serves) {
        replica_clients_confirmed(r, now);
    }
}

/* ---- opening --------------------------------------------------------------------------- */

enum ts_err replica_peers_open(struct replica *r, struct ts_why *why)
{
    char path[NET_DGRAM_PATH_MAX];
    int n =
        snprintf(path, sizeof(path), "%s/run/replica-%s.sock", r->data_dir, r->start->group->name);
    int m = snprintf(r->cfgd_path, sizeof(r->cfgd_path), "%s/run/cfgd.sock", r->data_dir);
    r->address = (struct replica_address){.group = r->start->group->id,
                                          .self = r->start->node->id,
                                          .interval = r->start->cluster.timing.link_ping_interval};
    int k = r->start->group->address[0] == '\0'
                ? 0
                : snprintf(r->nicd_path, sizeof(r->nicd_path), "%s/run/nicd.sock", r->data_dir);
    if (n < 0 || (size_t)n >= sizeof(path) || m < 0 || (size_t)m >= sizeof(r->cfgd_path) || k < 0 ||
        (size_t)k >= sizeof(r->nicd_path)) {
        return ts_why(why, TS_ERR_LIMIT,
                      "%s: the path is too long for a Unix socket; use a shorter data directory",
                      r->data_dir);
    }
    enum ts_err err = net_dgram_open(&r->dgram, &r->loop, path, on_datagram, r);
    if (err != TS_OK) {
        (void)ts_why(why, err, "cannot bind %.100s; is its directory there and writable?", path);
    }
    return err;
}

bool replica_peers_open_links(struct replica *r)
{
    const struct cfg_cluster *cluster = &r->start->cluster;
    const struct journal_info *info = journal_info(r->p.journal);
    struct ts_why why;
    struct links_config lc = {
        .env = {.loop = &r->loop, .turn = &r->turn, .log = &r->start->log, .tls = &r->tls},
        .cluster = cluster,
        .self = r->start->node->id,
        .group = r->start->group->id,
        .instance = r->instance,
        .incarnation = info->incarnation,
        .start = info->start_number,
        .events = {.on_up = on_link_up,
                   .on_down = on_link_down,
                   .on_refused_everywhere = on_refused_everywhere,
                   .on_frame = on_frame},
        .arg = r,
    };
    if (links_open(&lc, &r->links, &why) != TS_OK) {
        net_log(&r->start->log, NET_LOG_ERROR, "%s", why.text);
        r->exit_status = TS_EXIT_FAILURE;
        uv_stop(&r->loop);
        return false;
    }
    struct ts_mono now = net_now();
    for (uint8_t i = 0; i < r->start->group->nic_count; i++) {
        struct ts_nic_id nic = r->start->group->nics[i];
        if (!ts_nic_eq(nic, r->start->node->id)) {
            struct replica_peer *p = &r->peers[r->peer_count++];
            p->nic = nic;
            replica_evidence_init(&p->evidence, &cluster->timing, now);
        }
    }
    r->watch_at = now;
    return true;
}
