#include "daemon/service_address_io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "daemon/netlink.h"
#include "daemon/service_address.h"
#include "net/loop.h"
#include "net/unix_dgram.h"

/* What an address lives on when nicd has died: at least this beyond the next KEEP. The kernel
 * counts whole seconds. */
#define LIFE_S 2

struct service_address_io {
    struct service_addresses core;
    struct netlink_address address[TS_GROUPS_MAX]; /* by index in core.a */
    const char *name[TS_GROUPS_MAX];               /* of the group, borrowed */
    unsigned index[TS_GROUPS_MAX];                 /* interface that has it; 0: none */
    const struct cfg_cluster *cluster;
    struct net_log *log;
    struct netlink *netlink;
    struct net_dgram dgram;
    uv_timer_t timer;
};

/* ---- what is to be done ---- */

static const char *text_of(const struct service_address_io *s, int i)
{
    return cfg_cluster_group(s->cluster, s->core.a[i].group)->address;
}

/* Once more each time: the interface may have come, or got its own address, since. */
static void take(struct service_address_io *s, int i, bool is_new)
{
    struct ts_why why = {{0}};
    uint32_t seconds = LIFE_S + (uint32_t)(SERVICE_ADDRESS_KEEP_NS / TS_NS_PER_S);
    enum ts_err err = TS_OK;
    if (s->index[i] == 0) {
        err = netlink_find(s->netlink, &s->address[i], &s->index[i], &why);
    }
    if (err == TS_OK) {
        err = netlink_add(s->netlink, &s->address[i], s->index[i], seconds, &why);
    }
    if (err == TS_OK) {
        err = netlink_announce(&s->address[i], s->index[i], &why);
    }
    if (err != TS_OK) {
        s->index[i] = 0;
        (void)net_log_limited(s->log, NET_LOG_WARNING, "address",
                              "the service address of group %s is not here: %s; clients reach it "
                              "at the NICs' own addresses only",
                              s->name[i], why.text);
    } else if (is_new) {
        net_log(s->log, NET_LOG_INFO, "the service address %s of group %s is here", text_of(s, i),
                s->name[i]);
    }
}

static void give(struct service_address_io *s, int i)
{
    struct ts_why why = {{0}};
    if (s->index[i] == 0) {
        return;
    }
    if (netlink_remove(s->netlink, &s->address[i], s->index[i], &why) != TS_OK) {
        /* Its lifetime ends it. */
        (void)net_log_limited(s->log, NET_LOG_WARNING, "address", "%s", why.text);
    }
    s->index[i] = 0;
    net_log(s->log, NET_LOG_INFO, "the service address %s of group %s is here no more",
            text_of(s, i), s->name[i]);
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
    if (due.ns == TS_MONO_NEVER.ns) {
        (void)uv_timer_stop(&s->timer);
        return;
    }
    uint64_t left = ts_mono_since(net_now(), due);
    uv_update_time(s->timer.loop);
    int err = uv_timer_start(&s->timer, on_timer, (left + TS_NS_PER_MS - 1) / TS_NS_PER_MS, 0);
    ts_assert(err == 0);
}

static void on_timer(uv_timer_t *handle)
{
    struct service_address_io *s = handle->data;
    for (int i = 0; i < s->core.count; i++) {
        perform(s, i, service_address_tick(&s->core, i, net_now()));
    }
    arm(s);
}

/* ---- the replicas ---- */

static void on_datagram(void *arg, struct ts_bytes datagram)
{
    struct service_address_io *s = arg;
    struct report_serves said;
    if (report_serves_decode(&said, datagram) != TS_OK) {
        (void)net_log_limited(s->log, NET_LOG_WARNING, "report",
                              "%s: a datagram that is no report of a replica: ignored",
                              s->dgram.path);
        return;
    }
    int i = service_addresses_find(&s->core, said.group);
    if (i >= 0) {
        perform(s, i, service_address_said(&s->core, i, &said, net_now()));
        arm(s);
    }
}

void service_address_io_ended(struct service_address_io *s, struct ts_group_id group)
{
    int i = s == NULL ? -1 : service_addresses_find(&s->core, group);
    if (i >= 0) {
        perform(s, i, service_address_ended(&s->core, i, net_now()));
        arm(s);
    }
}

/* ---- opening and closing ---- */

/* Whoever kept an address here before is dead. */
static void remove_leftovers(struct service_address_io *s)
{
    for (int i = 0; i < s->core.count; i++) {
        struct ts_why why;
        unsigned index = 0;
        if (netlink_find(s->netlink, &s->address[i], &index, &why) != TS_OK) {
            net_log(s->log, NET_LOG_WARNING, "the service address of group %s: %s", s->name[i],
                    why.text);
        } else if (netlink_remove(s->netlink, &s->address[i], index, &why) != TS_OK) {
            net_log(s->log, NET_LOG_WARNING,
                    "the service address of group %s cannot be moved: %s; clients reach it at the "
                    "NICs' own addresses only",
                    s->name[i], why.text);
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
    s->cluster = cluster;
    for (int i = 0; i < core.count; i++) {
        const struct cfg_group *g = cfg_cluster_group(cluster, core.a[i].group);
        s->address[i] = netlink_address_of(g->address, g->address_prefix);
        s->name[i] = g->name;
    }
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, dir, "run/nicd.sock");
    if (err == TS_OK) {
        err = netlink_open(&s->netlink, why);
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
    *out = s;
    return TS_OK;
}

void service_address_io_close(struct service_address_io *s)
{
    for (int i = 0; s != NULL && i < s->core.count; i++) {
        perform(s, i, service_address_ended(&s->core, i, net_now()));
    }
    if (s != NULL) {
        net_dgram_close(&s->dgram);
        uv_close((uv_handle_t *)&s->timer, NULL);
    }
}

void service_address_io_free(struct service_address_io *s)
{
    if (s != NULL) {
        netlink_close(s->netlink);
        free(s);
    }
}
