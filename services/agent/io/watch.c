#include "services/agent/io/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <linux/rtnetlink.h>

#include "base/hash.h"
#include "base/memory.h"
#include "services/agent/io/rtnl.h"

#define NAMES_MAX (SOUTH_VIFS_MAX + SOUTH_UPLINKS_MAX)

struct agent_watch {
    struct ts_netlink reads;
    struct ts_netlink hears;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned handles;
    void (*told)(void *arg, const struct south_inventory *inventory);
    void *arg;
    struct ts_hash last; /* of all that matters; zero before the first time */
    uint8_t buffer[TS_NETLINK_BUFFER];
};

/* Names in their order, each once. */
struct names {
    struct netctl_tree tree;
    uint32_t most;
};

static void add(struct names *n, const char *name)
{
    struct ts_bytes bytes = {(const uint8_t *)name, strlen(name)};
    if (south_name_is_valid(bytes) && n->tree.count < n->most) {
        netctl_tree_put(&n->tree, name, (struct ts_bytes){bytes.data, 0});
    }
}

static struct ts_bytes encode(const struct names *n, uint8_t **memory)
{
    size_t room = n->tree.count * (SOUTH_NAME_MAX + 2) + 1;
    struct netctl_item i = {NULL, {NULL, 0}};
    *memory = malloc(room);
    ts_must(*memory);
    struct ts_writer w = ts_writer_init(*memory, room);
    while (netctl_tree_next(&n->tree, "", &i)) {
        south_name_put(&w, i.key);
    }
    ts_assert(!w.failed);
    return (struct ts_bytes){w.data, w.len};
}

/* What there is, and a hash that is another one when an interface was made anew, too. */
static struct ts_hash sort_out(const struct agent_kernel_state *s, struct names *vifs,
                               struct names *uplinks)
{
    struct ts_hash all = {1, 1};
    for (size_t i = 0; i < s->interfaces; i++) {
        const struct agent_interface *f = &s->interface[i];
        if (f->alias[0] == '\0' || netctl_key_begins(f->alias, AGENT_ALIAS_OURS)) {
            continue;
        }
        if (netctl_key_begins(f->alias, AGENT_ALIAS_VIF)) {
            add(vifs, f->alias + strlen(AGENT_ALIAS_VIF));
        } else {
            add(uplinks, f->alias);
        }
        all = ts_hash_chain(all, &f->index, sizeof(f->index));
        all = ts_hash_chain(all, f->alias, strlen(f->alias) + 1);
    }
    return all;
}

static void look(struct agent_watch *w)
{
    struct agent_kernel_state s = {0};
    struct names vifs = {netctl_tree_make(0), SOUTH_VIFS_MAX};
    struct names uplinks = {netctl_tree_make(0), SOUTH_UPLINKS_MAX};
    struct ts_why why;
    if (agent_rtnl_read(&w->reads, false, &s, &why) == TS_OK) {
        struct ts_hash now = sort_out(&s, &vifs, &uplinks);
        if (!ts_hash_eq(now, w->last)) {
            uint8_t *memory[2];
            struct south_inventory i = {
                .vifs = (uint32_t)vifs.tree.count,
                .vif = encode(&vifs, &memory[0]),
                .uplinks = (uint32_t)uplinks.tree.count,
                .uplink = encode(&uplinks, &memory[1]),
            };
            w->last = now;
            w->told(w->arg, &i);
            free(memory[0]);
            free(memory[1]);
        }
    }
    agent_kernel_state_free(&s);
    netctl_tree_free(&vifs.tree);
    netctl_tree_free(&uplinks.tree);
}

static void on_timer(uv_timer_t *timer)
{
    look(timer->data);
}

/* What exactly happened is not read: it is looked at anew, also when the kernel had too much to
 * tell. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct agent_watch *w = poll->data;
    (void)status;
    (void)events;
    while (recv(mnl_socket_get_fd(w->hears.socket), w->buffer, sizeof(w->buffer), MSG_DONTWAIT) >
           0) {
    }
    if (!uv_is_active((uv_handle_t *)&w->timer)) {
        (void)uv_timer_start(&w->timer, on_timer, AGENT_WATCH_NS / TS_NS_PER_MS, 0);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct agent_watch *w = handle->data;
    if (--w->handles == 0) {
        ts_netlink_close(&w->hears);
        ts_netlink_close(&w->reads);
        free(w);
    }
}

enum ts_err agent_watch_open(struct agent_watch **out, uv_loop_t *loop,
                             void (*told)(void *arg, const struct south_inventory *inventory),
                             void *arg, struct ts_why *why)
{
    struct agent_watch *w = calloc(1, sizeof(*w));
    const int group = RTNLGRP_LINK;
    ts_must(w);
    w->told = told;
    w->arg = arg;
    enum ts_err err = ts_netlink_open(&w->reads, NETLINK_ROUTE, AGENT_RTNL_ANSWER_S, why);
    err = err == TS_OK ? ts_netlink_open(&w->hears, NETLINK_ROUTE, AGENT_RTNL_ANSWER_S, why) : err;
    if (err == TS_OK && (setsockopt(mnl_socket_get_fd(w->hears.socket), SOL_NETLINK,
                                    NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0 ||
                         uv_poll_init(loop, &w->poll, mnl_socket_get_fd(w->hears.socket)) != 0)) {
        err = ts_why(why, TS_ERR_SYSTEM, "cannot hear of interfaces that come and go");
    }
    if (err != TS_OK) {
        ts_netlink_close(&w->hears);
        ts_netlink_close(&w->reads);
        free(w);
        return err;
    }
    (void)uv_timer_init(loop, &w->timer);
    w->poll.data = w;
    w->timer.data = w;
    w->handles = 2;
    (void)uv_poll_start(&w->poll, UV_READABLE, on_readable);
    (void)uv_timer_start(&w->timer, on_timer, 0, 0);
    *out = w;
    return TS_OK;
}

void agent_watch_close(struct agent_watch *w)
{
    if (w != NULL) {
        (void)uv_poll_stop(&w->poll);
        uv_close((uv_handle_t *)&w->poll, on_closed);
        uv_close((uv_handle_t *)&w->timer, on_closed);
    }
}
