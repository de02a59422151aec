#include "replicator/io/links.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "replicator/io/links_internal.h"

const char *links_down_text(enum links_down reason)
{
    static const char *const texts[LINKS_DOWN_REASONS] = {
#define LINKS_DOWN_TEXT(sym, text) text,
        LINKS_DOWN_LIST(LINKS_DOWN_TEXT)
#undef LINKS_DOWN_TEXT
    };
    ts_assert(reason >= 0 && reason < LINKS_DOWN_REASONS);
    return texts[reason];
}

static void links_free_when_closed(struct links *l)
{
    if (l->timer_closed && l->ep_drained) {
        free(l);
    }
}

static void links_on_drained(void *arg)
{
    struct links *l = arg;
    l->ep_drained = true;
    links_free_when_closed(l);
}

static void links_on_timer_closed(uv_handle_t *handle)
{
    struct links *l = handle->data;
    l->timer_closed = true;
    links_free_when_closed(l);
}

void links_close(struct links *l)
{
    if (l == NULL) {
        return;
    }
    ts_assert(!l->closing);
    l->closing = true;
    for (size_t i = 0; i < l->member_count; i++) {
        net_turn_cancel(l->config.env.turn, &l->members[i].decide);
    }
    net_listener_close(l->listener);
    net_endpoint_close(&l->ep);
    uv_close((uv_handle_t *)&l->timer, links_on_timer_closed);
}

static void links_init_members(struct links *l, const struct cfg_group *group)
{
    for (size_t i = 0; i < group->nic_count; i++) {
        if (ts_nic_eq(group->nics[i], l->config.self)) {
            continue;
        }
        struct links_member *m = &l->members[l->member_count];
        m->links = l;
        m->node = cfg_cluster_node(l->config.cluster, group->nics[i]);
        ts_assert(m->node != NULL);
        m->chooser = l->config.self.v < m->node->id.v;
        m->path_up_mask = UINT8_MAX;
        m->peer.nic = m->node->id;
        m->decide = (struct net_turn_hook){.run = links_decide, .arg = m, .stage = NET_TURN_WORK};
        for (unsigned p = 0; p < TS_PATHS_MAX; p++) {
            m->dials[p].backoff_ns = LINKS_BACKOFF_MIN_NS;
        }
        l->member_count++;
    }
}

/* A connection is given up soon, so that the next attempt comes before the kernel's second try;
 * the handshake has time enough for a busy machine. */
static struct net_endpoint links_endpoint(struct links *l)
{
    const struct links_config *c = &l->config;
    uint64_t handshake = c->cluster->timing.failure_timeout * 5;
    struct net_endpoint ep = {
        .env = c->env,
        .hello = {.node = c->self,
                  .purpose = NET_PURPOSE_REPLICA,
                  .group = c->group,
                  .instance = c->instance,
                  .incarnation = c->incarnation,
                  .start = c->start},
        .name_of = known_nodes_name,
        .name_arg = &l->known,
        .same_group = true,
        .connect_timeout_ns = c->cluster->timing.path_timeout,
        .handshake_timeout_ns = handshake > TS_NS_PER_S ? handshake : TS_NS_PER_S,
        .on_drained = links_on_drained,
        .drained_arg = l,
    };
    _Static_assert(sizeof(ep.hello.cluster) >= sizeof(c->cluster->name), "names must fit");
    memcpy(ep.hello.cluster, c->cluster->name, sizeof(c->cluster->name));
    return ep;
}

static enum ts_err links_listen(struct links *l, const struct cfg_node *self, struct ts_why *why)
{
    struct net_listener_config config = {
        .ep = &l->ep,
        .address_count = self->path_count,
        .events = &links_accepted_events,
        .arg = l,
        .known = known_nodes_find,
        .known_arg = &l->known,
    };
    for (unsigned p = 0; p < self->path_count; p++) {
        config.addresses[p] = known_nodes_address(
            &l->known, self->id, p, cfg_port_replica(l->config.cluster, l->config.group));
    }
    return net_listener_open(&config, &l->listener, why);
}

enum ts_err links_open(const struct links_config *config, struct links **out, struct ts_why *why)
{
    const struct cfg_node *self = cfg_cluster_node(config->cluster, config->self);
    const struct cfg_group *group = cfg_cluster_group(config->cluster, config->group);
    if (self == NULL || group == NULL || self->path_count == 0) {
        return ts_why(why, TS_ERR_CONFIG, "node %u or group %u is not in the cluster file",
                      (unsigned)config->self.v, (unsigned)config->group.v);
    }
    struct links *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory for the links");
    }
    l->config = *config;
    l->prng = ts_prng_init(config->instance.v);
    enum ts_err err = known_nodes_init(&l->known, config->cluster, why);
    if (err == TS_OK) {
        l->ep = links_endpoint(l);
        err = net_endpoint_open(&l->ep);
    }
    if (err != TS_OK) {
        free(l);
        return err;
    }
    links_init_members(l, group);
    (void)uv_timer_init(config->env.loop, &l->timer);
    l->timer.data = l;
    err = links_listen(l, self, why);
    if (err != TS_OK) {
        links_close(l);
        return err;
    }
    /* The first attempts are made from the loop, as every later one. */
    l->ping_at = net_now();
    l->planned = l->ping_at;
    links_timer_plan(l);
    *out = l;
    return TS_OK;
}

enum ts_err links_send2(struct links *l, struct ts_nic_id peer, uint8_t type, struct ts_bytes a,
                        struct ts_bytes b)
{
    ts_assert(type >= NET_FRAME_USER);
    const struct links_member *m = links_member_find(l, peer);
    if (m == NULL || m->active == NULL || l->closing) {
        return TS_ERR_CLOSED;
    }
    return net_link_send2(m->active->link, type, a, b);
}

enum ts_err links_send(struct links *l, struct ts_nic_id peer, uint8_t type,
                       struct ts_bytes payload)
{
    return links_send2(l, peer, type, payload, (struct ts_bytes){NULL, 0});
}

void links_path_state(struct links *l, struct ts_nic_id peer, uint8_t path_up_mask)
{
    struct links_member *m = links_member_find(l, peer);
    if (m == NULL || l->closing || m->path_up_mask == path_up_mask) {
        return;
    }
    m->path_up_mask = path_up_mask;
    net_turn_request(l->config.env.turn, &m->decide);
}

bool links_is_up(const struct links *l, struct ts_nic_id peer)
{
    const struct links_member *m = links_member_find(l, peer);
    return m != NULL && m->active != NULL;
}

int links_path(const struct links *l, struct ts_nic_id peer)
{
    const struct links_member *m = links_member_find(l, peer);
    return m == NULL || m->active == NULL ? -1 : (int)m->active->path;
}

uint8_t links_live_mask(const struct links *l, struct ts_nic_id peer)
{
    const struct links_member *m = links_member_find(l, peer);
    uint8_t mask = 0;
    for (unsigned p = 0; m != NULL && p < TS_PATHS_MAX; p++) {
        mask |= (uint8_t)((unsigned)links_path_live(m, p) << p);
    }
    return mask;
}

struct ts_mono links_heard(const struct links *l, struct ts_nic_id peer)
{
    const struct links_member *m = links_member_find(l, peer);
    struct ts_mono heard = m == NULL ? (struct ts_mono){0} : m->heard;
    for (size_t i = 0; m != NULL && i < LINKS_CONNS_MAX; i++) {
        const struct links_conn *c = &m->conns[i];
        if (c->member != NULL && c->up && ts_mono_lt(heard, links_conn_heard(c))) {
            heard = links_conn_heard(c);
        }
    }
    return heard;
}

struct ts_mono links_answered(const struct links *l, struct ts_nic_id peer)
{
    const struct links_member *m = links_member_find(l, peer);
    bool up = m != NULL && m->active != NULL;
    return up ? net_link_heard(m->active->link) : (struct ts_mono){0};
}

uint32_t links_backlog(const struct links *l, struct ts_nic_id peer)
{
    const struct links_member *m = links_member_find(l, peer);
    return m == NULL || m->active == NULL ? 0 : net_link_backlog(m->active->link);
}

const struct net_counters *links_counters(const struct links *l)
{
    return &l->ep.counters;
}
