#include "heartbeat/io/heartbeatd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "cluster-cfg/report.h"
#include "heartbeat/io/hb_perform.h"
#include "heartbeat/io/mac.h"
#include "heartbeat/io/udp.h"
#include "net/loop.h"
#include "net/unix_dgram.h"

static const char *const REJECT_TEXT[] = {
#define REJECT_NAME(sym, text) text,
    HB_REJECT_LIST(REJECT_NAME)
#undef REJECT_NAME
};

/* Rejections are reported to the recorder at most this often, with their number since. */
#define REJECT_REPORT_NS TS_NS_PER_S

struct path_socket {
    struct hb_daemon *daemon;
    uint8_t index;
    int fd;
    uv_poll_t poll;
};

struct listener {
    char socket[NET_DGRAM_PATH_MAX];
};

struct hb_daemon {
    /* config */
    uv_loop_t *loop;
    struct net_log *log;
    const struct cfg_cluster *cluster;
    char recorder[NET_DGRAM_PATH_MAX]; /* cluster-cfgd's socket */
    size_t listener_count;             /* those of the reports, the recorder among them */
    struct listener listeners[TS_GROUPS_MAX + 1];
    struct hb_addr peer_addr[TS_NODES_MAX][TS_PATHS_MAX]; /* by index in the core's peers */
    /* shell */
    struct hb_mac mac;
    uint8_t path_count;
    struct path_socket paths[TS_PATHS_MAX];
    bool timer_open;
    uv_timer_t timer;
    bool dgram_open;
    struct net_dgram dgram;
    /* state */
    struct hb_perform p;        /* what the simulator shares */
    struct report_trace traces; /* not yet sent */
    struct ts_mono rejected_reported;
    /* statistics */
    uint64_t rejected[HB_REJECTS];
    uint64_t rejected_told[HB_REJECTS];
    /* Of these the ones with a wrong key, or of another cluster, by the peer whose address they
     * come from: anybody may write it there, so it says where to look, and no more. */
    uint64_t wrong_key[TS_NODES_MAX];
    uint64_t wrong_key_told[TS_NODES_MAX];
    uint64_t unsent[TS_PATHS_MAX];
    /* scratch, here because nothing is allocated later */
    struct hb_scratch scratch;
    uint8_t packet[HB_DATAGRAM_BYTES + 1]; /* a longer one is seen to be longer */
    struct hb_addr from;                   /* of the packet that is being taken */
    uint8_t report[REPORT_BYTES_MAX];
};

/* ---- effects ---- */

static bool on_sign(void *ctx, uint8_t packet[HB_DATAGRAM_BYTES])
{
    struct hb_daemon *d = ctx;
    if (hb_mac_tag(&d->mac, packet, HB_SIGNED_BYTES, packet + HB_SIGNED_BYTES) != TS_OK) {
        (void)net_log_limited(d->log, NET_LOG_ERROR, "hmac",
                              "OpenSSL failed to authenticate a heartbeat: none are sent");
        return false;
    }
    return true;
}

static bool on_is_signed(void *ctx, const uint8_t packet[HB_DATAGRAM_BYTES])
{
    struct hb_daemon *d = ctx;
    uint8_t tag[HB_TAG_BYTES];
    return hb_mac_tag(&d->mac, packet, HB_SIGNED_BYTES, tag) == TS_OK &&
           hb_tag_eq(tag, packet + HB_SIGNED_BYTES);
}

static void on_send(void *ctx, uint8_t to, uint8_t path, const uint8_t packet[HB_DATAGRAM_BYTES])
{
    struct hb_daemon *d = ctx;
    if (!hb_udp_send(d->paths[path].fd, &d->peer_addr[to][path], packet, HB_DATAGRAM_BYTES)) {
        int errnum = errno;
        const struct cfg_node *peer = cfg_cluster_node(d->cluster, d->p.core.peers[to].nic);
        char key[16];
        (void)snprintf(key, sizeof(key), "send-%u", (unsigned)path);
        d->unsent[path]++;
        (void)net_log_limited(d->log, NET_LOG_WARNING, key,
                              "cannot send heartbeats to %s on path %u (%s): %s", peer->name,
                              (unsigned)path, peer->paths[path], strerror(errnum));
    }
}

/* Hands the traces to the recorder; those that it cannot take now are kept. */
static void send_traces(struct hb_daemon *d)
{
    if (d->traces.count == 0) {
        return;
    }
    struct ts_writer w = ts_writer_init(d->report, sizeof(d->report));
    if (report_trace_encode(&d->traces, &w) != TS_OK) {
        ts_unreachable();
    }
    if (net_dgram_send(&d->dgram, d->recorder, (struct ts_bytes){d->report, w.len})) {
        d->traces.count = 0;
    }
}

static void add_trace(struct hb_daemon *d, const struct ts_trace *trace)
{
    if (d->traces.count == REPORT_TRACES_MAX) {
        d->traces.dropped++;
        return;
    }
    d->traces.t[d->traces.count++] = *trace;
}

/* The trace as a line for people. */
static void log_trace(struct hb_daemon *d, const struct ts_trace *t)
{
    const struct cfg_node *peer = cfg_cluster_node(d->cluster, (struct ts_nic_id){(uint16_t)t->a});
    const char *name = peer == NULL ? "?" : peer->name;
    if (t->kind == TS_TRACE_PATH_UP) {
        net_log(d->log, NET_LOG_INFO, "%s answers on path %" PRIu64, name, t->b);
    } else if (t->kind == TS_TRACE_PATH_DOWN) {
        net_log(d->log, NET_LOG_WARNING, "%s is silent on path %" PRIu64, name, t->b);
    } else if (t->kind == TS_TRACE_PEER_UP) {
        net_log(d->log, NET_LOG_INFO, "%s is alive", name);
    } else if (t->kind == TS_TRACE_PEER_DOWN) {
        net_log(d->log, NET_LOG_WARNING, "%s has been silent on every path for %" PRIu64 " ms",
                name, (uint64_t)(d->p.core.timing.failure_timeout / TS_NS_PER_MS));
    } else if (t->kind == TS_TRACE_OWN_STALL) {
        (void)net_log_limited(d->log, NET_LOG_WARNING, "stall",
                              "this process did not run for %" PRIu64
                              " ms: that time is not held against the other nodes",
                              t->a);
    }
}

static void on_publish(void *ctx, struct ts_bytes report)
{
    struct hb_daemon *d = ctx;
    for (size_t i = 0; i < d->listener_count; i++) {
        (void)net_dgram_send(&d->dgram, d->listeners[i].socket, report);
    }
    send_traces(d);
}

static void on_trace(void *ctx, const struct ts_trace *t)
{
    add_trace(ctx, t);
    log_trace(ctx, t);
}

/* ---- input ---- */

/* Gives the name of the peer whose address it bears; NULL when it is nobody's. */
static const char *count_wrong_key(struct hb_daemon *d)
{
    for (size_t i = 0; i < d->p.core.peer_count; i++) {
        for (uint8_t path = 0; path < d->path_count; path++) {
            if (hb_addr_eq(&d->from, &d->peer_addr[i][path])) {
                d->wrong_key[i]++;
                const struct cfg_node *peer = cfg_cluster_node(d->cluster, d->p.core.peers[i].nic);
                return peer == NULL ? NULL : peer->name;
            }
        }
    }
    return NULL;
}

static void on_rejected(void *ctx, enum hb_reject why)
{
    struct hb_daemon *d = ctx;
    d->rejected[why]++;
    bool wrong_key = why == HB_REJECT_TAG || why == HB_REJECT_CLUSTER;
    const char *peer = wrong_key ? count_wrong_key(d) : NULL;
    (void)net_log_limited(d->log, NET_LOG_WARNING, REJECT_TEXT[why],
                          "refused: %s%s%s (%" PRIu64 ")", REJECT_TEXT[why],
                          peer == NULL ? "" : ", from an address of ", peer == NULL ? "" : peer,
                          d->rejected[why]);
}

/* One trace a second and reason, and one a second and peer, however many were refused. */
static void trace_rejections(struct hb_daemon *d, struct ts_mono now)
{
    if (ts_mono_since(d->rejected_reported, now) < REJECT_REPORT_NS) {
        return;
    }
    d->rejected_reported = now;
    for (unsigned i = 0; i < HB_REJECTS; i++) {
        if (d->rejected[i] != d->rejected_told[i]) {
            d->rejected_told[i] = d->rejected[i];
            add_trace(d, &(struct ts_trace){
                             .kind = TS_TRACE_REJECTED_INPUT,
                             .at = now,
                             .a = i,
                             .b = d->rejected[i],
                         });
        }
    }
    for (size_t i = 0; i < d->p.core.peer_count; i++) {
        if (d->wrong_key[i] != d->wrong_key_told[i]) {
            d->wrong_key_told[i] = d->wrong_key[i];
            add_trace(d, &(struct ts_trace){.kind = TS_TRACE_WRONG_KEY,
                                            .at = now,
                                            .a = d->p.core.peers[i].nic.v,
                                            .b = d->wrong_key[i]});
        }
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

/* Reads one path; at most a batch. */
static void read_path(struct hb_daemon *d, uint8_t path)
{
    for (int i = 0; i < HB_READ_BATCH; i++) {
        long n = hb_udp_receive(d->paths[path].fd, d->packet, sizeof(d->packet), &d->from);
        if (n < 0) {
            return;
        }
        hb_perform_packet(&d->p, path, (struct ts_bytes){d->packet, (size_t)n}, net_now());
    }
}

static void on_path_readable(uv_poll_t *handle, int status, int events)
{
    const struct path_socket *p = (const struct path_socket *)handle->data;
    (void)status;
    (void)events;
    read_path(p->daemon, p->index);
}

static void on_local_report(void *arg, struct ts_bytes datagram)
{
    struct hb_daemon *d = (struct hb_daemon *)arg;
    hb_perform_local(&d->p, datagram, net_now());
}

/* ---- time ---- */

static void on_timer(uv_timer_t *handle);

static void arm_timer(struct hb_daemon *d)
{
    uint64_t left_ns = ts_mono_since(net_now(), hb_deadline(&d->p.core));
    uv_update_time(d->loop);
    int err = uv_timer_start(&d->timer, on_timer, (left_ns + TS_NS_PER_MS - 1) / TS_NS_PER_MS, 0);
    ts_assert(err == 0);
}

static void on_timer(uv_timer_t *handle)
{
    struct hb_daemon *d = (struct hb_daemon *)handle->data;
    /* Timers run before sockets are polled: first hear who speaks, then judge who is silent. */
    for (uint8_t i = 0; i < d->path_count; i++) {
        read_path(d, i);
    }
    net_dgram_read(&d->dgram);
    struct ts_mono now = net_now();
    hb_perform_tick(&d->p, now);
    trace_rejections(d, now);
    net_log_tell_held(d->log, now, false);
    arm_timer(d);
}

/* ---- opening ---- */

static enum ts_err load_key(struct hb_daemon *d, const char *dir, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    uint8_t *key = NULL;
    size_t len = 0;
    enum ts_err err = ts_path(path, why, dir, "tls/heartbeat.key");
    if (err != TS_OK) {
        return err;
    }
    err = ts_file_read(path, HB_KEY_BYTES_MAX, &key, &len, why);
    if (err != TS_OK) {
        return err == TS_ERR_NOT_FOUND || err == TS_ERR_LIMIT ? TS_ERR_CONFIG : err;
    }
    err = hb_mac_open(&d->mac, key, len);
    explicit_bzero(key, len);
    free(key);
    if (err == TS_ERR_LIMIT) {
        return ts_why(why, TS_ERR_CONFIG,
                      "the heartbeat key %s has %zu bytes instead of %d to %d: issue the node's "
                      "keys again",
                      path, len, HB_KEY_BYTES_MIN, HB_KEY_BYTES_MAX);
    }
    return err == TS_OK ? TS_OK : ts_why(why, err, "OpenSSL offers no HMAC-SHA256");
}

static enum ts_err open_path(struct hb_daemon *d, uint8_t index, const char *address,
                             struct ts_why *why)
{
    struct path_socket *p = &d->paths[index];
    struct hb_addr addr;
    uint16_t port = cfg_port_heartbeat(d->cluster);
    if (hb_addr_parse(&addr, address, port) != TS_OK) {
        return ts_why(why, TS_ERR_CONFIG, "\"%s\" is no IPv4 or IPv6 address", address);
    }
    int fd = hb_udp_open(&addr);
    if (fd < 0) {
        return ts_why_sys(why, errno, "cannot bind UDP %s port %u for heartbeats", address, port);
    }
    int err = uv_poll_init(d->loop, &p->poll, fd);
    if (err != 0) {
        (void)close(fd);
        return ts_why(why, TS_ERR_SYSTEM, "cannot poll a socket: %s", uv_strerror(err));
    }
    p->daemon = d;
    p->index = index;
    p->fd = fd;
    p->poll.data = p;
    d->path_count = (uint8_t)(index + 1);
    err = uv_poll_start(&p->poll, UV_READABLE, on_path_readable);
    return err == 0 ? TS_OK
                    : ts_why(why, TS_ERR_SYSTEM, "cannot poll a socket: %s", uv_strerror(err));
}

static enum ts_err open_paths(struct hb_daemon *d, const struct cfg_node *self, struct ts_why *why)
{
    for (uint8_t i = 0; i < self->path_count; i++) {
        enum ts_err err = open_path(d, i, self->paths[i], why);
        if (err != TS_OK) {
            return err;
        }
    }
    return TS_OK;
}

static enum ts_err find_peers(struct hb_daemon *d, struct ts_why *why)
{
    uint16_t port = cfg_port_heartbeat(d->cluster);
    for (uint8_t i = 0; i < d->p.core.peer_count; i++) {
        const struct cfg_node *peer = cfg_cluster_node(d->cluster, d->p.core.peers[i].nic);
        for (uint8_t p = 0; p < d->p.core.peers[i].path_count; p++) {
            if (hb_addr_parse(&d->peer_addr[i][p], peer->paths[p], port) != TS_OK) {
                return ts_why(why, TS_ERR_CONFIG, "\"%s\" of %s is no IPv4 or IPv6 address",
                              peer->paths[p], peer->name);
            }
        }
    }
    return TS_OK;
}

static enum ts_err socket_path(char out[NET_DGRAM_PATH_MAX], const char *dir, const char *name,
                               struct ts_why *why)
{
    int n = snprintf(out, NET_DGRAM_PATH_MAX, "%s/run/%s.sock", dir, name);
    ts_assert(n > 0);
    if (n >= NET_DGRAM_PATH_MAX) {
        return ts_why(why, TS_ERR_CONFIG,
                      "%s/run/%s.sock is too long for a socket: choose a shorter data directory",
                      dir, name);
    }
    return TS_OK;
}

static bool hosts_group(const struct cfg_group *group, struct ts_nic_id nic)
{
    for (uint8_t i = 0; i < group->nic_count; i++) {
        if (ts_nic_eq(group->nics[i], nic)) {
            return true;
        }
    }
    return false;
}

static enum ts_err find_listeners(struct hb_daemon *d, const struct hb_daemon_options *o,
                                  struct ts_why *why)
{
    enum ts_err err = socket_path(d->recorder, o->dir, "cfgd", why);
    if (err != TS_OK) {
        return err;
    }
    memcpy(d->listeners[d->listener_count++].socket, d->recorder, sizeof(d->recorder));
    for (size_t i = 0; i < o->cluster->group_count; i++) {
        char name[CFG_NAME_MAX + sizeof("replica-")];
        if (!hosts_group(&o->cluster->groups[i], o->self)) {
            continue;
        }
        (void)snprintf(name, sizeof(name), "replica-%s", o->cluster->groups[i].name);
        err = socket_path(d->listeners[d->listener_count++].socket, o->dir, name, why);
        if (err != TS_OK) {
            return err;
        }
    }
    return TS_OK;
}

static enum ts_err open_local(struct hb_daemon *d, const char *dir, struct ts_why *why)
{
    char path[NET_DGRAM_PATH_MAX];
    enum ts_err err = socket_path(path, dir, "heartbeatd", why);
    if (err != TS_OK) {
        return err;
    }
    err = net_dgram_open(&d->dgram, d->loop, path, on_local_report, d);
    if (err != TS_OK) {
        return ts_why_sys(why, errno, "cannot bind %s", path);
    }
    d->dgram_open = true;
    return TS_OK;
}

static enum ts_err open_all(struct hb_daemon *d, const struct hb_daemon_options *o,
                            struct ts_why *why)
{
    struct ts_instance instance;
    enum ts_err err = net_random_u64(&instance.v);
    if (err != TS_OK) {
        return ts_why(why, err, "the system gives no random number");
    }
    d->p.ops = &OPS;
    d->p.ctx = d;
    d->p.scratch = &d->scratch;
    hb_init(&d->p.core, o->cluster, o->self, instance, net_now());
    d->traces.nic = o->self;
    d->traces.role = REPORT_PROC_HEARTBEATD;
    d->traces.instance = instance;
    if ((err = load_key(d, o->dir, why)) != TS_OK || (err = find_peers(d, why)) != TS_OK ||
        (err = find_listeners(d, o, why)) != TS_OK ||
        (err = open_paths(d, cfg_cluster_node(o->cluster, o->self), why)) != TS_OK) {
        return err;
    }
    return open_local(d, o->dir, why);
}

enum ts_err hb_daemon_open(struct hb_daemon **out, const struct hb_daemon_options *options,
                           struct ts_why *why)
{
    ts_assert(cfg_cluster_node(options->cluster, options->self) != NULL);
    struct hb_daemon *d = (struct hb_daemon *)calloc(1, sizeof(*d));
    if (d == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory");
    }
    d->loop = options->loop;
    d->log = options->log;
    d->cluster = options->cluster;
    enum ts_err err = open_all(d, options, why);
    if (err != TS_OK) {
        hb_daemon_close(d);
        return err;
    }
    int uv_err = uv_timer_init(d->loop, &d->timer);
    ts_assert(uv_err == 0);
    d->timer_open = true;
    d->timer.data = d;
    arm_timer(d);
    *out = d;
    return TS_OK;
}

static void log_rejections(const struct hb_daemon *d)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < HB_REJECTS; i++) {
        all += d->rejected[i];
    }
    net_log_tell_held(d->log, net_now(), true);
    if (all > 0) {
        net_log(d->log, NET_LOG_WARNING, "%" PRIu64 " datagrams and reports were refused in all",
                all);
    }
}

void hb_daemon_close(struct hb_daemon *d)
{
    if (d == NULL) {
        return;
    }
    log_rejections(d);
    for (uint8_t i = 0; i < d->path_count; i++) {
        uv_close((uv_handle_t *)&d->paths[i].poll, NULL);
    }
    if (d->timer_open) {
        uv_close((uv_handle_t *)&d->timer, NULL);
    }
    if (d->dgram_open) {
        net_dgram_close(&d->dgram);
    }
    (void)uv_run(d->loop, UV_RUN_NOWAIT);
    for (uint8_t i = 0; i < d->path_count; i++) {
        (void)close(d->paths[i].fd);
    }
    hb_mac_close(&d->mac);
    free(d);
}
