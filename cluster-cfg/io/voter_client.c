#include "cluster-cfg/io/voter_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/prng.h"
#include "cluster-cfg/io/known_nodes.h"

#define VOTER_BACKOFF_MIN_NS (5 * TS_NS_PER_MS)
#define VOTER_BACKOFF_MAX_NS (200 * TS_NS_PER_MS)

/* One path to a voter: an attempt, a candidate that is up, or the link in use. */
struct voter_path {
    struct voter_peer *peer; /* config */
    unsigned index;

    struct net_link *link; /* volatile; NULL: none */
    struct ts_mono began;  /* the attempt */
    uint64_t backoff_ns;
    struct ts_mono next_at;
};

struct voter_peer {
    struct voter_client *client; /* config */
    const struct cfg_node *node;

    uint8_t path_up_mask; /* volatile: heartbeatd's word */
    struct voter_path *current;
    struct voter_path paths[TS_PATHS_MAX];
    struct net_turn_hook look;
};

struct voter_client {
    struct voter_client_config config;
    struct known_nodes known;
    struct net_endpoint ep;
    uv_timer_t timer;
    bool timer_closed;
    bool ep_drained;
    bool closing;
    struct ts_mono planned; /* when the timer should fire */
    struct ts_mono ping_at;
    struct ts_mono judge_from; /* silence before it may be this process's own stall */
    struct ts_prng prng;
    size_t path_count; /* of this node */
    size_t voter_count;
    struct voter_peer voters[TS_VOTERS_MAX];
};

static const struct net_link_events voter_client_link_events;

static struct voter_peer *voter_find(const struct voter_client *c, struct ts_nic_id voter)
{
    for (size_t i = 0; i < c->voter_count; i++) {
        if (ts_nic_eq(c->voters[i].node->id, voter)) {
            return (struct voter_peer *)&c->voters[i];
        }
    }
    return NULL;
}

static size_t voter_path_count(const struct voter_peer *v)
{
    size_t own = v->client->path_count;
    return v->node->path_count < own ? v->node->path_count : own;
}

static bool voter_path_is_up(const struct voter_peer *v, unsigned path)
{
    return (v->path_up_mask >> path & 1) != 0;
}

/* Whether the voter answered on the link in use within path_timeout. */
static bool voter_is_fresh(const struct voter_peer *v, struct ts_mono now)
{
    if (v->current == NULL) {
        return false;
    }
    struct ts_mono heard = net_link_heard(v->current->link);
    if (ts_mono_lt(heard, v->client->judge_from)) {
        heard = v->client->judge_from;
    }
    return ts_mono_since(heard, now) < v->client->config.cluster->timing.path_timeout;
}

/* Whether heartbeatd calls the path in use down and another one up. */
static bool voter_path_is_worse(const struct voter_peer *v)
{
    unsigned all = (1u << voter_path_count(v)) - 1;
    return !voter_path_is_up(v, v->current->index) && (v->path_up_mask & all) != 0;
}

static void voter_use(struct voter_peer *v, struct voter_path *p)
{
    struct voter_client *c = v->client;
    char key[32];
    v->current = p;
    (void)snprintf(key, sizeof(key), "voter-up-%u", (unsigned)v->node->id.v);
    net_log_limited(c->config.env.log, NET_LOG_INFO, key, "link to voter %s is up on path %u",
                    v->node->name, p->index);
    struct net_hello hello = *net_link_peer(p->link);
    c->config.events.on_up(c->config.arg, v->node->id, &hello);
}

static void voter_lose(struct voter_peer *v, const char *why)
{
    struct voter_client *c = v->client;
    char key[32];
    (void)snprintf(key, sizeof(key), "voter-down-%u", (unsigned)v->node->id.v);
    net_log_limited(c->config.env.log, NET_LOG_WARNING, key,
                    "link to voter %s on path %u ended: %s", v->node->name, v->current->index, why);
    v->current = NULL;
    c->config.events.on_down(c->config.arg, v->node->id);
}

/* Closes what is not in use. */
static void voter_drop_others(struct voter_peer *v)
{
    for (unsigned i = 0; i < TS_PATHS_MAX; i++) {
        struct voter_path *p = &v->paths[i];
        if (p != v->current && p->link != NULL) {
            net_link_close(p->link, NET_DOWN_LOCAL);
            p->link = NULL;
        }
    }
}

static void voter_dial(struct voter_path *p, struct ts_mono now)
{
    struct voter_peer *v = p->peer;
    struct voter_client *c = v->client;
    struct sockaddr_storage from = known_nodes_address(&c->known, c->config.self, p->index, 0);
    struct sockaddr_storage to =
        known_nodes_address(&c->known, v->node->id, p->index, cfg_port_voter(c->config.cluster));
    p->began = now;
    p->next_at = ts_mono_add(now, VOTER_BACKOFF_MAX_NS);
    enum ts_err err =
        net_link_dial(&c->ep, (const struct sockaddr *)&from, (const struct sockaddr *)&to,
                      v->node->id, &voter_client_link_events, p, &p->link);
    if (err != TS_OK) {
        p->link = NULL;
        net_log_limited(c->config.env.log, NET_LOG_ERROR, "voter-dial",
                        "cannot dial voter %s: %s (open files: ulimit -n)", v->node->name,
                        ts_err_text(err));
    }
}

/* The next path to try: those that heartbeatd calls up first, lower ones first. */
static struct voter_path *voter_next_path(struct voter_peer *v, struct ts_mono now)
{
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < voter_path_count(v); i++) {
            struct voter_path *p = &v->paths[i];
            bool first = voter_path_is_up(v, i);
            if (first == (round == 0) && p->link == NULL && !ts_mono_lt(now, p->next_at)) {
                return p;
            }
        }
    }
    return NULL;
}

/* Whether a young attempt is under way: the next path waits a little for it. */
static bool voter_is_trying(const struct voter_peer *v, struct ts_mono now)
{
    uint64_t limit = v->client->config.cluster->timing.path_timeout;
    for (unsigned i = 0; i < voter_path_count(v); i++) {
        const struct voter_path *p = &v->paths[i];
        if (p->link != NULL && p != v->current && ts_mono_since(p->began, now) < limit) {
            return true;
        }
    }
    return false;
}

static void voter_look(void *peer)
{
    struct voter_peer *v = peer;
    struct ts_mono now = net_now();
    /* A link that leaves nothing to wish for stays alone; else another one is tried beside it. */
    bool well = voter_is_fresh(v, now) && !voter_path_is_worse(v);
    if (v->client->closing || well || voter_is_trying(v, now)) {
        return;
    }
    struct voter_path *p = voter_next_path(v, now);
    if (p != NULL) {
        voter_dial(p, now);
    }
}

static void voter_on_up(void *arg, struct net_link *link, const struct net_hello *hello)
{
    struct voter_path *p = arg;
    struct voter_peer *v = p->peer;
    (void)link;
    (void)hello;
    p->backoff_ns = VOTER_BACKOFF_MIN_NS;
    bool better = v->current == NULL || !voter_is_fresh(v, net_now()) ||
                  (voter_path_is_worse(v) && voter_path_is_up(v, p->index));
    if (!better) {
        /* The voter, not the path, had been slow: it answers on the old link again. */
        voter_drop_others(v);
        return;
    }
    if (v->current != NULL) {
        struct voter_path *old = v->current;
        voter_lose(v, "another path is better");
        if (v->client->closing) {
            return;
        }
        net_link_close(old->link, NET_DOWN_LOCAL);
        old->link = NULL;
    }
    v->current = p;
    voter_drop_others(v);
    voter_use(v, p);
}

static void voter_on_down(void *arg, struct net_link *link, enum net_down reason)
{
    struct voter_path *p = arg;
    struct voter_peer *v = p->peer;
    struct voter_client *c = v->client;
    struct ts_mono now = net_now();
    ts_assert(p->link == link);
    p->link = NULL;
    bool was_current = v->current == p;
    if (was_current) {
        voter_lose(v, net_down_text(reason));
        if (c->closing) {
            return;
        }
        for (unsigned i = 0; i < TS_PATHS_MAX; i++) {
            v->paths[i].next_at = now;
        }
    } else {
        uint64_t jitter = ts_prng_below(&c->prng, p->backoff_ns / 2 + 1);
        p->next_at = ts_mono_add(now, p->backoff_ns - p->backoff_ns / 4 + jitter);
        p->backoff_ns =
            p->backoff_ns * 2 < VOTER_BACKOFF_MAX_NS ? p->backoff_ns * 2 : VOTER_BACKOFF_MAX_NS;
        bool refused = reason == NET_DOWN_TLS || reason == NET_DOWN_IDENTITY;
        if (refused && c->config.events.on_refused != NULL) {
            c->config.events.on_refused(c->config.arg, v->node->id, net_down_text(reason),
                                        net_link_detail(link));
        }
    }
    net_turn_request(c->config.env.turn, &v->look);
}

static void voter_on_frame(void *arg, struct net_link *link, uint8_t type, struct ts_bytes payload)
{
    struct voter_path *p = arg;
    struct voter_peer *v = p->peer;
    struct voter_client *c = v->client;
    if (v->current != p) {
        return;
    }
    if (type < NET_FRAME_USER) {
        voter_lose(v, "the voter broke the protocol");
        if (!c->closing) {
            net_link_close(link, NET_DOWN_MALFORMED);
            p->link = NULL;
        }
        return;
    }
    c->config.events.on_frame(c->config.arg, v->node->id, type, payload);
}

static const struct net_link_events voter_client_link_events = {
    .on_up = voter_on_up,
    .on_frame = voter_on_frame,
    .on_down = voter_on_down,
};

/* Not heard for several failure-timeouts on a link that stands, and no other path came up. */
static void voter_end_silent(struct voter_peer *v, struct ts_mono now)
{
    struct voter_client *c = v->client;
    if (v->current == NULL) {
        return;
    }
    struct ts_mono heard = net_link_heard(v->current->link);
    if (ts_mono_lt(heard, c->judge_from)) {
        heard = c->judge_from;
    }
    if (ts_mono_since(heard, now) < 3 * c->config.cluster->timing.failure_timeout) {
        return;
    }
    struct voter_path *old = v->current;
    voter_lose(v, "silent for too long");
    if (!c->closing) {
        net_link_close(old->link, NET_DOWN_SILENT);
        old->link = NULL;
    }
}

static void voter_timer_fire(uv_timer_t *timer)
{
    struct voter_client *c = timer->data;
    const struct cfg_timing *timing = &c->config.cluster->timing;
    struct ts_mono now = net_now();
    if (ts_mono_since(c->planned, now) > timing->path_timeout / 2) {
        /* This process did not run: what it did not hear is not the voters' fault. */
        c->judge_from = now;
    }
    bool ping = !ts_mono_lt(now, c->ping_at);
    if (ping) {
        c->ping_at = ts_mono_add(now, timing->link_ping_interval);
    }
    for (size_t i = 0; i < c->voter_count && !c->closing; i++) {
        struct voter_peer *v = &c->voters[i];
        if (ping && v->current != NULL) {
            net_link_ping(v->current->link);
        }
        voter_end_silent(v, now);
        voter_look(v);
    }
    c->planned = ts_mono_add(now, uv_timer_get_repeat(timer) * TS_NS_PER_MS);
}

static void voter_free_when_closed(struct voter_client *c)
{
    if (c->timer_closed && c->ep_drained) {
        free(c);
    }
}

static void voter_on_drained(void *arg)
{
    struct voter_client *c = arg;
    c->ep_drained = true;
    voter_free_when_closed(c);
}

static void voter_on_timer_closed(uv_handle_t *handle)
{
    struct voter_client *c = handle->data;
    c->timer_closed = true;
    voter_free_when_closed(c);
}

void voter_client_close(struct voter_client *c)
{
    if (c == NULL) {
        return;
    }
    ts_assert(!c->closing);
    c->closing = true;
    for (size_t i = 0; i < c->voter_count; i++) {
        net_turn_cancel(c->config.env.turn, &c->voters[i].look);
    }
    net_endpoint_close(&c->ep);
    uv_close((uv_handle_t *)&c->timer, voter_on_timer_closed);
}

static void voter_init_peers(struct voter_client *c)
{
    struct ts_nic_id ids[TS_VOTERS_MAX];
    c->voter_count = cfg_cluster_voters(c->config.cluster, ids);
    for (size_t i = 0; i < c->voter_count; i++) {
        struct voter_peer *v = &c->voters[i];
        v->client = c;
        v->node = cfg_cluster_node(c->config.cluster, ids[i]);
        ts_assert(v->node != NULL);
        v->path_up_mask = UINT8_MAX;
        v->look = (struct net_turn_hook){.run = voter_look, .arg = v, .stage = NET_TURN_WORK};
        for (unsigned p = 0; p < TS_PATHS_MAX; p++) {
            v->paths[p] =
                (struct voter_path){.peer = v, .index = p, .backoff_ns = VOTER_BACKOFF_MIN_NS};
        }
        net_turn_request(c->config.env.turn, &v->look);
    }
}

static struct net_endpoint voter_endpoint(struct voter_client *c)
{
    const struct voter_client_config *g = &c->config;
    uint64_t handshake = g->cluster->timing.failure_timeout * 5;
    struct net_endpoint ep = {
        .env = g->env,
        .hello = {.node = g->self,
                  .purpose = NET_PURPOSE_VOTER,
                  .group = g->group,
                  .instance = g->instance,
                  .incarnation = g->incarnation,
                  .start = g->start},
        .name_of = known_nodes_name,
        .name_arg = &c->known,
        .connect_timeout_ns = g->cluster->timing.path_timeout,
        .handshake_timeout_ns = handshake > TS_NS_PER_S ? handshake : TS_NS_PER_S,
        .on_drained = voter_on_drained,
        .drained_arg = c,
    };
    _Static_assert(sizeof(ep.hello.cluster) >= sizeof(g->cluster->name), "names must fit");
    memcpy(ep.hello.cluster, g->cluster->name, sizeof(g->cluster->name));
    return ep;
}

enum ts_err voter_client_open(const struct voter_client_config *config, struct voter_client **out,
                              struct ts_why *why)
{
    const struct cfg_node *self = cfg_cluster_node(config->cluster, config->self);
    if (self == NULL || self->path_count == 0) {
        return ts_why(why, TS_ERR_CONFIG, "node %u is not in the cluster file",
                      (unsigned)config->self.v);
    }
    struct voter_client *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory for the links to the voters");
    }
    c->config = *config;
    c->path_count = self->path_count;
    c->prng = ts_prng_init(config->instance.v + 1);
    enum ts_err err = known_nodes_init(&c->known, config->cluster, why);
    if (err == TS_OK) {
        c->ep = voter_endpoint(c);
        err = net_endpoint_open(&c->ep);
    }
    if (err != TS_OK) {
        free(c);
        return err;
    }
    voter_init_peers(c);
    (void)uv_timer_init(config->env.loop, &c->timer);
    c->timer.data = c;
    c->ping_at = net_now();
    c->planned = c->ping_at;
    /* Fine enough for the shortest back-off and for a silent path. */
    uint64_t period_ms = config->cluster->timing.link_ping_interval / TS_NS_PER_MS / 4;
    period_ms = period_ms < 2 ? 2 : period_ms;
    (void)uv_timer_start(&c->timer, voter_timer_fire, period_ms, period_ms);
    *out = c;
    return TS_OK;
}

enum ts_err voter_client_send(struct voter_client *c, struct ts_nic_id voter, uint8_t type,
                              struct ts_bytes payload)
{
    ts_assert(type >= NET_FRAME_USER);
    const struct voter_peer *v = voter_find(c, voter);
    if (v == NULL) {
        return TS_ERR_NOT_FOUND;
    }
    if (v->current == NULL || c->closing) {
        return TS_ERR_CLOSED;
    }
    return net_link_send(v->current->link, type, payload);
}

void voter_client_path_state(struct voter_client *c, struct ts_nic_id voter, uint8_t path_up_mask)
{
    struct voter_peer *v = voter_find(c, voter);
    if (v == NULL || c->closing || v->path_up_mask == path_up_mask) {
        return;
    }
    v->path_up_mask = path_up_mask;
    net_turn_request(c->config.env.turn, &v->look);
}

bool voter_client_is_up(const struct voter_client *c, struct ts_nic_id voter)
{
    const struct voter_peer *v = voter_find(c, voter);
    return v != NULL && v->current != NULL;
}

int voter_client_path(const struct voter_client *c, struct ts_nic_id voter)
{
    const struct voter_peer *v = voter_find(c, voter);
    return v == NULL || v->current == NULL ? -1 : (int)v->current->index;
}
