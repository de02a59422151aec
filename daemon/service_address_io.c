#include "daemon/service_address_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "daemon/address_clients.h"
#include "daemon/netlink.h"
#include "daemon/service_address.h"
#include "daemon/tcp_probe.h"
#include "net/loop.h"
#include "net/unix_dgram.h"

/* What an address lives on when nicd has died: at least this beyond the next KEEP. The kernel
 * counts whole seconds. */
#define LIFE_S 2
#define REPORT_NS TS_NS_PER_S
/* Datagrams' worth of probes at one time: they fill a socket's buffer. */
#define RESETS_BURST 1

/* One address; what the core keeps of it has the same index. */
struct kept_address {
    struct netlink_address address;
    const struct cfg_group *group; /* borrowed */
    unsigned index;                /* interface that has it; 0: none */
    uint32_t told;                 /* clients of the former owner, since the log told of some */
    /* Those that were named while the address could not be here; owned, NULL until there are any.
     * When it is here they are told, in as many rounds as the replica had. */
    struct address_clients *untold;
    uint8_t untold_round; /* the replica's, of which these are */
    struct address_resets resets;
    struct ts_why refused; /* why it cannot be moved, as the kernel said; "": it can */
    struct ts_why why;     /* why it cannot be here; "": it can */
};

struct service_address_io {
    struct service_addresses core;
    struct kept_address kept[TS_GROUPS_MAX];
    struct ts_nic_id self;
    char to_cfgd[NET_DGRAM_PATH_MAX];
    struct ts_mono report_at;
    struct net_log *log;
    struct netlink *netlink;
    struct net_dgram dgram;
    uv_timer_t timer;
};

/* ---- what is to be done ---- */

/* cluster-cfgd hears of it at each change, and again and again. */
static void report(struct service_address_io *s, int i)
{
    const struct kept_address *k = &s->kept[i];
    struct report_address r = {.nic = s->self, .group = k->group->id};
    uint8_t bytes[REPORT_BYTES_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    if (k->index != 0 && if_indextoname(k->index, r.interface) == NULL) {
        (void)snprintf(r.interface, sizeof(r.interface), "%u", k->index);
    }
    (void)snprintf(r.why, sizeof(r.why), "%.159s", k->why.text);
    enum ts_err err = report_address_encode(&r, &w);
    ts_assert(err == TS_OK);
    (void)net_dgram_send(&s->dgram, s->to_cfgd, (struct ts_bytes){bytes, w.len});
}

/* Looks where it belongs, once more each time: the interface may have come, or got its own address,
 * since; or have lost that. Then it must not keep this one: its own would come back as a secondary
 * address behind it, which Linux takes away together with it. */
static enum ts_err settle(struct service_address_io *s, struct kept_address *k, struct ts_why *why)
{
    unsigned before = k->index;
    unsigned index = before;
    struct ts_why ignored;
    enum ts_err err = netlink_find(s->netlink, &k->address, &index, why);
    if (err != TS_OK && err != TS_ERR_NOT_FOUND && before != 0) {
        why->text[0] = '\0';
        return TS_OK; /* not known: it stays */
    }
    k->index = err == TS_OK ? index : 0;
    if (before != 0 && before != k->index) {
        (void)!netlink_remove(s->netlink, &k->address, before, &ignored);
    }
    return err;
}

static void forget_untold(struct kept_address *k)
{
    address_resets_stop(&k->resets);
    if (k->untold != NULL) {
        address_clients_clear(k->untold);
    }
}

/* The address came, or went. */
static void look_after_untold(struct kept_address *k)
{
    if (k->index == 0) {
        address_resets_stop(&k->resets);
    } else if (k->untold != NULL && k->untold->top > 0 && k->resets.rounds_left == 0) {
        address_resets_begin(&k->resets, net_now());
    }
}

/* Here it is, told or not: it must be removed again. `why` has what is wrong with the interface,
 * and gets, if nothing is, why the network is not told. */
static void announce(struct service_address_io *s, const struct kept_address *k, struct ts_why *why)
{
    struct ts_why failed = {{0}};
    if (netlink_announce(s->netlink, &k->address, k->index, &failed) != TS_OK &&
        why->text[0] == '\0') {
        *why = failed;
    }
    if (why->text[0] != '\0') {
        (void)net_log_limited(s->log, NET_LOG_WARNING, "announce",
                              "the service address of group %s is here, and the network is not "
                              "told: %s; clients that knew the former owner reach it late",
                              k->group->name, why->text);
    }
}

static void take(struct service_address_io *s, int i, bool is_new)
{
    struct kept_address *k = &s->kept[i];
    struct ts_why why = {{0}};
    uint32_t seconds = LIFE_S + (uint32_t)(SERVICE_ADDRESS_KEEP_NS / TS_NS_PER_S);
    unsigned before = k->index;
    enum ts_err err = settle(s, k, &why);
    if (err == TS_OK) {
        err = netlink_add(s->netlink, &k->address, k->index, seconds, &why);
    }
    if (err != TS_OK) {
        k->index = 0;
        (void)net_log_limited(s->log, NET_LOG_WARNING, "address",
                              "the service address of group %s is not here: %s; clients reach it "
                              "at the NICs' own addresses only",
                              k->group->name, why.text);
    } else {
        k->refused.text[0] = '\0';
        announce(s, k, &why);
    }
    k->why = why;
    look_after_untold(k);
    if (err == TS_OK && before == 0) {
        net_log(s->log, NET_LOG_INFO, "the service address %s of group %s is here",
                k->group->address, k->group->name);
    }
    if (is_new || before != k->index) {
        report(s, i);
    }
}

static void give(struct service_address_io *s, int i)
{
    struct kept_address *k = &s->kept[i];
    struct ts_why why = {{0}};
    forget_untold(k);
    if (k->index == 0) {
        return;
    }
    if (netlink_remove(s->netlink, &k->address, k->index, &why) != TS_OK) {
        /* Its lifetime ends it. */
        (void)net_log_limited(s->log, NET_LOG_WARNING, "address", "%s", why.text);
    }
    k->index = 0;
    net_log(s->log, NET_LOG_INFO, "the service address %s of group %s is here no more",
            k->group->address, k->group->name);
    report(s, i);
}

static void perform(struct service_address_io *s, int i, enum service_address_act act)
{
    switch (act) {
    case SERVICE_ADDRESS_NOTHING:
        return;
    case SERVICE_ADDRESS_TAKE:
    case SERVICE_ADDRESS_KEEP:
        take(s, i, act == SERVICE_ADDRESS_TAKE);
        return;
    case SERVICE_ADDRESS_GIVE:
        give(s, i);
        return;
    }
    ts_unreachable();
}

/* ---- time ---- */

static void on_timer(uv_timer_t *handle);

static void arm(struct service_address_io *s)
{
    struct ts_mono due = service_addresses_deadline(&s->core);
    due = ts_mono_lt(s->report_at, due) ? s->report_at : due;
    for (int i = 0; i < s->core.count; i++) {
        struct ts_mono own = address_resets_deadline(&s->kept[i].resets);
        due = ts_mono_lt(own, due) ? own : due;
    }
    uint64_t left = ts_mono_since(net_now(), due);
    uv_update_time(s->timer.loop);
    int err = uv_timer_start(&s->timer, on_timer, (left + TS_NS_PER_MS - 1) / TS_NS_PER_MS, 0);
    ts_assert(err == 0);
}

/* Whether it could be here, when it is elsewhere: people are to know before it is needed. */
static void look(struct service_address_io *s, int i)
{
    struct kept_address *k = &s->kept[i];
    struct ts_why why = {{0}};
    unsigned index = 0;
    bool found = netlink_find(s->netlink, &k->address, &index, &why) == TS_OK;
    k->why = found && k->refused.text[0] != '\0' ? k->refused : why;
}

/* Once for all that came in many parts. */
static void log_told(struct service_address_io *s, int i)
{
    struct kept_address *k = &s->kept[i];
    if (k->told > 0) {
        net_log(s->log, NET_LOG_INFO,
                "told %u clients of group %s that their connections to the service address's "
                "former owner are gone",
                k->told, k->group->name);
        k->told = 0;
    }
}

/* ---- clients of the address' former owner ---- */

static int send_probe(int fd, const struct tcp_probe *p, unsigned index)
{
    uint8_t packet[TCP_PROBE_BYTES_MAX];
    size_t len = tcp_probe_write(p, packet);
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    memcpy(p->v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr, p->to, p->v6 ? 16 : 4);
    if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) {
        v6.sin6_scope_id = index;
    }
    const struct sockaddr *to = p->v6 ? (const struct sockaddr *)&v6 : (const struct sockaddr *)&v4;
    return sendto(fd, packet, len, MSG_DONTWAIT, to, p->v6 ? sizeof(v6) : sizeof(v4)) < 0 ? errno
                                                                                          : 0;
}

/* Has the clients' kernels look whether their connections are there still: here they are not.
 * The socket gets nothing: it is for sending whole packets only. */
static void send_probes(struct service_address_io *s, int i, const struct report_reset *r)
{
    const struct kept_address *k = &s->kept[i];
    int fd = socket(k->address.family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    int err = fd < 0 ? errno : 0;
    unsigned sent = 0;
    for (uint16_t n = 0; fd >= 0 && n < r->count; n++) {
        struct tcp_probe p = {.v6 = r->v6,
                              .from = k->address.bytes,
                              .to = r->c[n].bytes,
                              .from_port = k->group->client_port,
                              .to_port = r->c[n].port,
                              .turn = r->round};
        int failed = send_probe(fd, &p, k->index);
        sent += failed == 0 ? 1 : 0;
        err = failed != 0 ? failed : err;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (err != 0) {
        (void)net_log_limited(s->log, NET_LOG_WARNING, "probe",
                              "%u of %u clients of group %s are not told that their connections "
                              "are gone: %s; those learn it when they send something",
                              r->count - sent, (unsigned)r->count, k->group->name, strerror(err));
    }
    s->kept[i].told += r->round == 0 ? sent : 0;
}

/* Those that have been waiting for the address, some at a time. */
static void tell_untold(struct service_address_io *s, int i, struct ts_mono now)
{
    struct kept_address *k = &s->kept[i];
    struct address_clients *const tables[] = {k->untold};
    struct report_reset reset = {.group = k->group->id, .v6 = k->address.family == AF_INET6};
    for (int n = 0; address_resets_next(&k->resets, tables, 1, now, &reset); n++) {
        if (n == RESETS_BURST) {
            address_resets_sent(&k->resets, now, false); /* the rest in a moment */
            return;
        }
        send_probes(s, i, &reset);
        address_resets_sent(&k->resets, now, true);
    }
}

/* The address is not here. What a later round names, it names again. */
static void keep_untold(struct kept_address *k, const struct report_reset *r)
{
    if (k->untold == NULL) {
        k->untold = calloc(1, sizeof(*k->untold));
    }
    if (k->untold == NULL) {
        return; /* they learn it when they send something */
    }
    if (r->round != k->untold_round) {
        address_clients_clear(k->untold);
    }
    k->untold_round = r->round;
    for (uint16_t n = 0; n < r->count; n++) {
        address_clients_set(k->untold, k->untold->top, &r->c[n]);
    }
}

static void on_timer(uv_timer_t *handle)
{
    struct service_address_io *s = handle->data;
    for (int i = 0; i < s->core.count; i++) {
        perform(s, i, service_address_tick(&s->core, i, net_now()));
    }
    for (int i = 0; i < s->core.count; i++) {
        tell_untold(s, i, net_now());
    }
    if (!ts_mono_lt(net_now(), s->report_at)) {
        s->report_at = ts_mono_add(net_now(), REPORT_NS);
        for (int i = 0; i < s->core.count; i++) {
            if (!s->core.a[i].held) {
                look(s, i);
            }
            report(s, i);
            log_told(s, i);
        }
    }
    arm(s);
}

/* ---- the replicas ---- */

static bool on_serves(struct service_address_io *s, struct ts_bytes datagram)
{
    struct report_serves said;
    if (report_serves_decode(&said, datagram) != TS_OK) {
        return false;
    }
    int i = service_addresses_find(&s->core, said.group);
    if (i >= 0) {
        perform(s, i, service_address_said(&s->core, i, &said, net_now()));
        arm(s);
    }
    return true;
}

static bool on_reset(struct service_address_io *s, struct ts_bytes datagram)
{
    struct report_reset reset;
    if (report_reset_decode(&reset, datagram) != TS_OK) {
        return false;
    }
    int i = service_addresses_find(&s->core, reset.group);
    if (i < 0 || (s->kept[i].address.family == AF_INET6) != reset.v6) {
        return true;
    }
    if (s->kept[i].index != 0) {
        send_probes(s, i, &reset);
    } else if (s->core.a[i].held) {
        keep_untold(&s->kept[i], &reset);
    }
    return true;
}

static void on_datagram(void *arg, struct ts_bytes datagram)
{
    struct service_address_io *s = arg;
    bool good =
        report_peek(datagram) == REPORT_RESET ? on_reset(s, datagram) : on_serves(s, datagram);
    if (!good) {
        (void)net_log_limited(s->log, NET_LOG_WARNING, "report",
                              "%s: a datagram that is no report of a replica: ignored",
                              s->dgram.path);
    }
}

void service_address_io_ended(struct service_address_io *s, struct ts_group_id group)
{
    int i = s == NULL ? -1 : service_addresses_find(&s->core, group);
    if (i >= 0) {
        service_address_ended(&s->core, i, net_now());
    }
}

/* ---- opening and closing ---- */

/* Whoever kept an address here before is dead. */
static void remove_leftovers(struct service_address_io *s)
{
    for (int i = 0; i < s->core.count; i++) {
        struct kept_address *k = &s->kept[i];
        unsigned index = 0;
        if (netlink_find(s->netlink, &k->address, &index, &k->why) != TS_OK) {
            net_log(s->log, NET_LOG_WARNING, "the service address of group %s: %s", k->group->name,
                    k->why.text);
        } else if (netlink_remove(s->netlink, &k->address, index, &k->refused) != TS_OK) {
            k->why = k->refused;
            net_log(s->log, NET_LOG_WARNING,
                    "the service address of group %s cannot be moved: %s; clients reach it at the "
                    "NICs' own addresses only",
                    k->group->name, k->refused.text);
        }
    }
}

enum ts_err service_address_io_open(struct service_address_io **out, uv_loop_t *loop,
                                    struct net_log *log, const struct cfg_cluster *cluster,
                                    struct ts_nic_id self, const char *dir, struct ts_why *why)
{
    struct service_addresses core;
    service_addresses_init(&core, cluster, self);
    *out = NULL;
    if (core.count == 0) {
        return TS_OK;
    }
    struct service_address_io *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory");
    }
    s->core = core;
    s->log = log;
    for (int i = 0; i < core.count; i++) {
        const struct cfg_group *g = cfg_cluster_group(cluster, core.a[i].group);
        s->kept[i].address = netlink_address_of(g->address, g->address_prefix);
        s->kept[i].group = g;
    }
    s->self = self;
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, dir, "run/nicd.sock");
    if (err == TS_OK) {
        int n = snprintf(s->to_cfgd, sizeof(s->to_cfgd), "%s/run/cfgd.sock", dir);
        ts_assert(n > 0);
    }
    if (err == TS_OK && netlink_open(&s->netlink, why) != TS_OK) {
        net_log(log, NET_LOG_WARNING,
                "this node takes no service address: %s; clients reach its groups at the NICs' own "
                "addresses only",
                why->text);
        service_address_io_free(s);
        return TS_OK; /* a convenience: voter and replicas do without */
    }
    if (err == TS_OK) {
        err = net_dgram_open(&s->dgram, loop, path, on_datagram, s);
        err = err == TS_OK ? err : ts_why_sys(why, errno, "cannot open the Unix socket %s", path);
    }
    if (err != TS_OK) {
        service_address_io_free(s);
        return err;
    }
    int uv_err = uv_timer_init(loop, &s->timer);
    ts_assert(uv_err == 0);
    s->timer.data = s;
    remove_leftovers(s);
    s->report_at = net_now();
    arm(s);
    *out = s;
    return TS_OK;
}

void service_address_io_close(struct service_address_io *s)
{
    for (int i = 0; s != NULL && i < s->core.count; i++) {
        perform(s, i, service_address_close(&s->core, i));
    }
    if (s != NULL) {
        net_dgram_close(&s->dgram);
        uv_close((uv_handle_t *)&s->timer, NULL);
    }
}

void service_address_io_free(struct service_address_io *s)
{
    if (s != NULL) {
        for (int i = 0; i < s->core.count; i++) {
            free(s->kept[i].untold);
        }
        netlink_close(s->netlink);
        free(s);
    }
}
