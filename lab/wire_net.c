#include "lab/wire_net.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "lab/bridge.h"
#include "lab/clock.h"
#include "lab/pods.h"
#include "lab/wire.h"
#include "lab/wire_text.h"

/* Frames read from one port before others have their turn. */
#define TURN_FRAMES 64
#define DRAIN_TURNS 64
#define SOCKET_BYTES (4 * 1024 * 1024)

struct port {
    struct lab_wire_net *net;
    size_t machine;
    int fd; /* 0: never opened */
    unsigned index;
    bool heard; /* until it is taken out; the loop forgets one whose machine ends */
    uv_poll_t poll;
};

struct lab_wire_net {
    const struct lab_pods *pods;
    const struct lab_topology *topology;
    size_t network;
    uv_loop_t *loop;
    struct lab_wire *wire;
    int timer; /* a timerfd: the loop's own timers count milliseconds */
    uv_poll_t timer_poll;
    uint64_t armed_ns;
    uint64_t missed;
    uint64_t unsent;
    struct port ports[LAB_MACHINES_MAX];
};

/* ---- carrying -------------------------------------------------------------------------------- */

static void send_due(struct lab_wire_net *n, uint64_t now_ns)
{
    struct lab_wire_out out;
    while (lab_wire_take(n->wire, now_ns, &out)) {
        const struct port *p = &n->ports[out.port];
        bool sent = lab_wire_is_on(n->wire, out.port) &&
                    send(p->fd, out.frame, out.len, MSG_DONTWAIT) == (ssize_t)out.len;
        n->unsent += sent ? 0 : 1;
    }
}

static void arm(struct lab_wire_net *n)
{
    uint64_t due = lab_wire_due(n->wire);
    if (due == n->armed_ns) {
        return;
    }
    /* Zero would mean never. */
    uint64_t at = due == LAB_WIRE_NEVER ? 0 : due == 0 ? 1 : due;
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at / TS_NS_PER_S), .tv_nsec = (long)(at % TS_NS_PER_S)}};
    (void)timerfd_settime(n->timer, TFD_TIMER_ABSTIME, &when, NULL);
    n->armed_ns = due;
}

static void on_due(uv_poll_t *poll, int status, int events)
{
    struct lab_wire_net *n = poll->data;
    uint64_t times;
    (void)status;
    (void)events;
    (void)!read(n->timer, &times, sizeof(times));
    n->armed_ns = LAB_WIRE_NEVER;
    send_due(n, lab_now_ns());
    arm(n);
}

/* Gives whether more may be there. */
static bool read_some(struct port *p)
{
    struct lab_wire_net *n = p->net;
    uint8_t frame[LAB_WIRE_FRAME_MAX];
    for (unsigned i = 0; i < TURN_FRAMES; i++) {
        /* MSG_TRUNC: the whole length, also of one that does not fit; the wire counts it. */
        ssize_t len = recv(p->fd, frame, sizeof(frame), MSG_DONTWAIT | MSG_TRUNC);
        if (len < 0) {
            return false;
        }
        uint64_t now = lab_now_ns();
        lab_wire_put(n->wire, p->machine, frame, (size_t)len, now);
        send_due(n, now);
    }
    return true;
}

static void on_frames(uv_poll_t *poll, int status, int events)
{
    struct port *p = poll->data;
    (void)status;
    (void)events;
    (void)read_some(p);
    arm(p->net);
}

/* ---- taking a machine in and out ------------------------------------------------------------- */

/* What has come to all ports that are on, or are to be; not what comes for ever. */
static void drain(struct lab_wire_net *n)
{
    for (size_t i = 0; i < n->topology->machine_count; i++) {
        bool more = n->ports[i].fd > 0;
        for (unsigned turn = 0; turn < DRAIN_TURNS && more; turn++) {
            more = read_some(&n->ports[i]);
        }
    }
}

/* Protocol 0 hears nothing. */
static bool listen_to(const struct port *p, bool on)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = on ? htons(ETH_P_ALL) : 0,
                             .sll_ifindex = (int)p->index};
    return bind(p->fd, (const struct sockaddr *)&at, sizeof(at)) == 0;
}

/* TS_ERR_NOT_FOUND: the machine has ended, and the port with it. */
static enum ts_err open_port(struct lab_wire_net *n, struct port *p, struct ts_why *why)
{
    const char *name = n->topology->machines[p->machine].name;
    int bytes = SOCKET_BYTES;
    int yes = 1;
    char port[LAB_PORT_MAX];
    lab_pods_port(n->network, p->machine, port);
    p->index = if_nametoindex(port);
    if (p->index == 0) {
        return TS_ERR_NOT_FOUND;
    }
    if (p->fd == 0) {
        int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) {
            return ts_why_sys(why, errno, "no packet socket for %s", name);
        }
        /* The greater one is for root only. */
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
        int rc = setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes));
        rc = rc != 0 ? UV_ENOSYS : uv_poll_init(n->loop, &p->poll, fd);
        if (rc != 0) {
            (void)close(fd);
            return ts_why(why, TS_ERR_SYSTEM, "no packet socket for %s: %s", name, uv_strerror(rc));
        }
        p->fd = fd;
        p->poll.data = p;
    }
    p->heard = true;
    if (!listen_to(p, true) || uv_poll_start(&p->poll, UV_READABLE, on_frames) != 0) {
        return ts_why_sys(why, errno, "cannot hear %s", name);
    }
    return TS_OK;
}

/* `newly`: those that a rule wants and that are not on. All are heard first, and then change sides
 * as fast as they can. What came before that has been the bridge's. */
static enum ts_err take_in(struct lab_wire_net *n, bool newly[LAB_MACHINES_MAX], struct ts_why *why)
{
    enum ts_err err = TS_OK;
    for (size_t i = 0; i < n->topology->machine_count && err == TS_OK; i++) {
        err = newly[i] ? open_port(n, &n->ports[i], why) : TS_OK;
        if (newly[i] && err == TS_OK) {
            err = lab_pods_whole_frames(n->pods, i, n->network, true, why);
        }
        newly[i] = newly[i] && err == TS_OK;
        err = err == TS_ERR_NOT_FOUND ? TS_OK : err; /* it sends nothing any more */
    }
    drain(n);
    for (size_t i = 0; i < n->topology->machine_count && err == TS_OK; i++) {
        err = newly[i] ? lab_bridge_isolate(n->ports[i].index, true, why) : TS_OK;
    }
    for (size_t i = 0; i < n->topology->machine_count && err == TS_OK; i++) {
        if (newly[i]) {
            lab_wire_attach(n->wire, i, true);
        }
    }
    return err;
}

/* Whoever is to leave: the bridge passes its frames first, then what waits here is sent. */
static void take_out(struct lab_wire_net *n)
{
    struct ts_why why;
    uint64_t now = lab_now_ns();
    bool leaves[LAB_MACHINES_MAX] = {false};
    for (size_t i = 0; i < n->topology->machine_count; i++) {
        struct port *p = &n->ports[i];
        leaves[i] = p->heard && !lab_wire_wants(n->wire, i);
        if (leaves[i] && lab_bridge_isolate(p->index, false, &why) != TS_OK) {
            p->index = 0; /* its machine has ended, and the port with it */
        }
    }
    drain(n);
    for (size_t i = 0; i < n->topology->machine_count; i++) {
        if (leaves[i]) {
            lab_wire_hurry(n->wire, i, now);
        }
    }
    send_due(n, lab_now_ns());
    for (size_t i = 0; i < n->topology->machine_count; i++) {
        if (leaves[i]) {
            if (lab_pods_whole_frames(n->pods, i, n->network, false, &why) != TS_OK) {
                n->ports[i].index = 0; /* it has ended */
            }
            lab_wire_attach(n->wire, i, false);
            n->ports[i].heard = false;
            (void)uv_poll_stop(&n->ports[i].poll);
            (void)listen_to(&n->ports[i], false);
        }
    }
}

static enum ts_err set_rules(struct lab_wire_net *n, const struct lab_request *r,
                             const struct lab_wire_rule *rule)
{
    uint64_t now = lab_now_ns();
    enum ts_err err = TS_OK;
    for (size_t i = 0; i < n->topology->machine_count; i++) {
        for (size_t k = 0; k < n->topology->machine_count && err == TS_OK; k++) {
            if (lab_request_means(r, n->topology, n->network, i, k)) {
                err = lab_wire_set(n->wire, i, k, rule, now);
            }
        }
    }
    return err;
}

enum ts_err lab_wire_net_change(struct lab_wire_net *n, const struct lab_request *r,
                                struct ts_why *why)
{
    bool newly[LAB_MACHINES_MAX] = {false};
    ts_assert(r->cmd != LAB_CMD_WIRE_SHOW);
    if (!r->network[n->network]) {
        return TS_OK;
    }
    drain(n);
    enum ts_err err = set_rules(n, r, r->cmd == LAB_CMD_WIRE_SET ? &r->rule : NULL);
    if (err != TS_OK) {
        (void)ts_why(why, err, "no memory for the wire's rules");
    }
    for (size_t i = 0; i < n->topology->machine_count; i++) {
        newly[i] = lab_wire_wants(n->wire, i) && !lab_wire_is_on(n->wire, i);
    }
    err = err != TS_OK ? err : take_in(n, newly, why);
    if (err != TS_OK && set_rules(n, r, NULL) != TS_OK) { /* needs no memory */
        ts_assert(false);
    }
    take_out(n);
    arm(n);
    return err;
}

/* ---- life and queries ------------------------------------------------------------------------ */

enum ts_err lab_wire_net_open(struct lab_wire_net **out, uv_loop_t *loop,
                              const struct lab_pods *pods, size_t network, struct ts_why *why)
{
    const struct lab_topology *t = pods->topology;
    uint8_t macs[LAB_MACHINES_MAX][LAB_WIRE_MAC];
    struct lab_wire_net *n = calloc(1, sizeof(*n));
    if (n == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory for a wire");
    }
    n->pods = pods;
    n->topology = t;
    n->network = network;
    n->loop = loop;
    n->armed_ns = LAB_WIRE_NEVER;
    for (size_t i = 0; i < t->machine_count; i++) {
        n->ports[i].net = n;
        n->ports[i].machine = i;
        lab_pods_mac(network, i, macs[i]);
    }
    n->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    n->timer_poll.data = n;
    if (n->timer < 0 || uv_poll_init(loop, &n->timer_poll, n->timer) != 0) {
        free(n);
        return ts_why(why, TS_ERR_SYSTEM, "no timer for a wire");
    }
    *out = n; /* from here on lab_wire_net_stop and _free clean up */
    (void)uv_poll_start(&n->timer_poll, UV_READABLE, on_due);
    enum ts_err err =
        lab_wire_open(&n->wire, t->machine_count, (const uint8_t(*)[LAB_WIRE_MAC])macs);
    return err == TS_OK ? TS_OK : ts_why(why, err, "no memory for a wire");
}

void lab_wire_net_stop(struct lab_wire_net *n)
{
    for (size_t i = 0; n != NULL && i < n->topology->machine_count; i++) {
        if (n->ports[i].fd > 0) {
            uv_close((uv_handle_t *)&n->ports[i].poll, NULL);
        }
    }
    if (n != NULL) {
        uv_close((uv_handle_t *)&n->timer_poll, NULL);
    }
}

void lab_wire_net_free(struct lab_wire_net *n)
{
    if (n == NULL) {
        return;
    }
    for (size_t i = 0; i < n->topology->machine_count; i++) {
        if (n->ports[i].fd > 0) {
            (void)close(n->ports[i].fd);
        }
    }
    (void)close(n->timer);
    lab_wire_close(n->wire);
    free(n);
}

/* The kernel forgets the number when it has told it. */
static void count_missed(struct lab_wire_net *n)
{
    for (size_t i = 0; i < n->topology->machine_count; i++) {
        struct tpacket_stats stats = {0};
        socklen_t len = sizeof(stats);
        if (n->ports[i].fd > 0 &&
            getsockopt(n->ports[i].fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0) {
            n->missed += stats.tp_drops;
        }
    }
}

static json_t *pair_json(const struct lab_wire_net *n, size_t from, size_t to)
{
    const struct lab_wire_rule *rule = lab_wire_rule(n->wire, from, to);
    const struct lab_wire_counters *counters = lab_wire_counters(n->wire, from, to);
    if (rule == NULL && !lab_wire_counters_any(counters)) {
        return NULL;
    }
    return json_pack("{s:s,s:s,s:o,s:o}", "from", n->topology->machines[from].name, "to",
                     n->topology->machines[to].name, "rule",
                     rule == NULL ? json_null() : lab_wire_rule_json(rule), "counters",
                     lab_wire_counters_json(counters));
}

json_t *lab_wire_net_json(struct lab_wire_net *n)
{
    const struct lab_topology *t = n->topology;
    json_t *on = json_array();
    json_t *pairs = json_array();
    count_missed(n);
    for (size_t i = 0; i < t->machine_count; i++) {
        if (lab_wire_is_on(n->wire, i)) {
            (void)json_array_append_new(on, json_string(t->machines[i].name));
        }
        for (size_t k = 0; k < t->machine_count; k++) {
            json_t *pair = i == k ? NULL : pair_json(n, i, k);
            if (pair != NULL) {
                (void)json_array_append_new(pairs, pair);
            }
        }
    }
    return json_pack("{s:s,s:o,s:I,s:I,s:o}", "name", t->networks[n->network].name, "on", on,
                     "missed", (json_int_t)n->missed, "unsent", (json_int_t)n->unsent, "pairs",
                     pairs);
}
