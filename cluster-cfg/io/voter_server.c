#include "cluster-cfg/io/voter_server.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/io/known_nodes.h"
#include "net/listener.h"

/* Proposers ping five times a failure-timeout. One that is silent for so long is gone without a
 * word; its slot is given back. */
#define VOTER_SERVER_IDLE_NS (10 * TS_NS_PER_S)
#define VOTER_SERVER_SWEEP_MS 1000

/* A handle is the slot's number and how often it was used: 16 bits and 48. */
#define VOTER_HANDLE_SLOT_BITS 16

struct voter_slot {
    struct voter_server *server;
    uint64_t handle; /* of the present link; kept when it ends, so that it is never given again */
    struct net_link *link; /* NULL: free */
};

struct voter_server {
    struct voter_server_config config;
    struct known_nodes known;
    struct net_endpoint ep;
    struct net_listener *listener;
    uv_timer_t timer;
    bool timer_closed;
    bool ep_drained;
    bool closing;
    struct voter_slot slots[VOTER_SERVER_LINKS_MAX];
};

static struct voter_slot *voter_slot_free(struct voter_server *s)
{
    for (size_t i = 0; i < VOTER_SERVER_LINKS_MAX; i++) {
        if (s->slots[i].link == NULL) {
            return &s->slots[i];
        }
    }
    return NULL;
}

static void voter_server_on_up(void *arg, struct net_link *link, const struct net_hello *hello)
{
    struct voter_server *s = arg;
    struct voter_slot *slot = voter_slot_free(s);
    if (slot == NULL) {
        net_log_limited(s->config.env.log, NET_LOG_WARNING, "voter-slots",
                        "refused a proposer at %s: %d links exist already", net_link_address(link),
                        VOTER_SERVER_LINKS_MAX);
        net_link_close(link, NET_DOWN_CONNECTIONS);
        return;
    }
    slot->link = link;
    slot->handle += 1ULL << VOTER_HANDLE_SLOT_BITS;
    net_link_set_arg(link, slot);
    if (s->config.events.on_up != NULL) {
        s->config.events.on_up(s->config.arg, slot->handle, hello);
    }
}

static void voter_slot_down(struct voter_slot *slot)
{
    struct voter_server *s = slot->server;
    slot->link = NULL;
    if (s->config.events.on_down != NULL) {
        s->config.events.on_down(s->config.arg, slot->handle);
    }
}

static void voter_server_on_down(void *arg, struct net_link *link, enum net_down reason)
{
    struct voter_slot *slot = arg;
    ts_assert(slot->link == link);
    if (reason != NET_DOWN_CLOSED) {
        net_log_limited(slot->server->config.env.log, NET_LOG_WARNING, "voter-server-down",
                        "link of a proposer at %s ended: %s", net_link_address(link),
                        net_down_text(reason));
    }
    voter_slot_down(slot);
}

static void voter_server_on_frame(void *arg, struct net_link *link, uint8_t type,
                                  struct ts_bytes payload)
{
    struct voter_slot *slot = arg;
    struct voter_server *s = slot->server;
    if (type < NET_FRAME_USER) {
        net_link_close(link, NET_DOWN_MALFORMED);
        voter_slot_down(slot);
        return;
    }
    struct net_hello hello = *net_link_peer(link);
    s->config.events.on_frame(s->config.arg, slot->handle, &hello, type, payload);
}

static const struct net_link_events voter_server_link_events = {
    .on_up = voter_server_on_up,
    .on_frame = voter_server_on_frame,
    .on_down = voter_server_on_down,
};

static void voter_server_sweep(uv_timer_t *timer)
{
    struct voter_server *s = timer->data;
    struct ts_mono now = net_now();
    for (size_t i = 0; i < VOTER_SERVER_LINKS_MAX && !s->closing; i++) {
        struct voter_slot *slot = &s->slots[i];
        if (slot->link != NULL &&
            ts_mono_since(net_link_received(slot->link), now) > VOTER_SERVER_IDLE_NS) {
            net_link_close(slot->link, NET_DOWN_SILENT);
            voter_slot_down(slot);
        }
    }
}

static void voter_server_free_when_closed(struct voter_server *s)
{
    if (s->timer_closed && s->ep_drained) {
        free(s);
    }
}

static void voter_server_on_drained(void *arg)
{
    struct voter_server *s = arg;
    s->ep_drained = true;
    voter_server_free_when_closed(s);
}

static void voter_server_on_timer_closed(uv_handle_t *handle)
{
    struct voter_server *s = handle->data;
    s->timer_closed = true;
    voter_server_free_when_closed(s);
}

void voter_server_close(struct voter_server *s)
{
    if (s == NULL) {
        return;
    }
    ts_assert(!s->closing);
    s->closing = true;
    net_listener_close(s->listener);
    net_endpoint_close(&s->ep);
    uv_close((uv_handle_t *)&s->timer, voter_server_on_timer_closed);
}

static struct net_endpoint voter_server_endpoint(struct voter_server *s)
{
    const struct voter_server_config *g = &s->config;
    struct net_endpoint ep = {
        .env = g->env,
        .hello = {.node = g->self,
                  .purpose = NET_PURPOSE_VOTER,
                  .instance = g->instance,
                  .incarnation = g->incarnation,
                  .start = g->start},
        .name_of = known_nodes_name,
        .name_arg = &s->known,
        .on_drained = voter_server_on_drained,
        .drained_arg = s,
    };
    _Static_assert(sizeof(ep.hello.cluster) >= sizeof(g->cluster->name), "names must fit");
    memcpy(ep.hello.cluster, g->cluster->name, sizeof(g->cluster->name));
    return ep;
}

static enum ts_err voter_server_listen(struct voter_server *s, const struct cfg_node *self,
                                       struct ts_why *why)
{
    struct net_listener_config config = {
        .ep = &s->ep,
        .address_count = self->path_count,
        .connections_max = VOTER_SERVER_LINKS_MAX + NET_HALF_OPEN_STRANGERS,
        .events = &voter_server_link_events,
        .arg = s,
        .known = known_nodes_find,
        .known_arg = &s->known,
    };
    for (unsigned p = 0; p < self->path_count; p++) {
        config.addresses[p] =
            known_nodes_address(&s->known, self->id, p, cfg_port_voter(s->config.cluster));
    }
    return net_listener_open(&config, &s->listener, why);
}

enum ts_err voter_server_open(const struct voter_server_config *config, struct voter_server **out,
                              struct ts_why *why)
{
    const struct cfg_node *self = cfg_cluster_node(config->cluster, config->self);
    if (self == NULL || self->path_count == 0) {
        return ts_why(why, TS_ERR_CONFIG, "node %u is not in the cluster file",
                      (unsigned)config->self.v);
    }
    struct voter_server *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory for the voter's links");
    }
    s->config = *config;
    for (size_t i = 0; i < VOTER_SERVER_LINKS_MAX; i++) {
        s->slots[i] = (struct voter_slot){.server = s, .handle = i};
    }
    enum ts_err err = known_nodes_init(&s->known, config->cluster, why);
    if (err == TS_OK) {
        s->ep = voter_server_endpoint(s);
        err = net_endpoint_open(&s->ep);
    }
    if (err != TS_OK) {
        free(s);
        return err;
    }
    (void)uv_timer_init(config->env.loop, &s->timer);
    s->timer.data = s;
    err = voter_server_listen(s, self, why);
    if (err != TS_OK) {
        voter_server_close(s);
        return err;
    }
    (void)uv_timer_start(&s->timer, voter_server_sweep, VOTER_SERVER_SWEEP_MS,
                         VOTER_SERVER_SWEEP_MS);
    *out = s;
    return TS_OK;
}

enum ts_err voter_server_reply(struct voter_server *s, uint64_t handle, uint8_t type,
                               struct ts_bytes payload)
{
    ts_assert(type >= NET_FRAME_USER);
    size_t index = (size_t)(handle & ((1ULL << VOTER_HANDLE_SLOT_BITS) - 1));
    if (s->closing || index >= VOTER_SERVER_LINKS_MAX || s->slots[index].link == NULL ||
        s->slots[index].handle != handle) {
        return TS_ERR_CLOSED;
    }
    return net_link_send(s->slots[index].link, type, payload);
}

void voter_server_set_start(struct voter_server *s, uint64_t start)
{
    s->ep.hello.start = start;
}

const struct net_counters *voter_server_counters(const struct voter_server *s)
{
    return &s->ep.counters;
}
