/* Connecting: which path to try when, and the one timer of the links. */
#include "base/assert.h"
#include "replicator/io/links_internal.h"

static void links_dial_path(struct links_member *m, unsigned path)
{
    struct links *l = m->links;
    struct links_dial *d = &m->dials[path];
    struct sockaddr_storage from = known_nodes_address(&l->known, l->config.self, path, 0);
    struct sockaddr_storage to = known_nodes_address(
        &l->known, m->node->id, path, cfg_port_replica(l->config.cluster, l->config.group));
    struct links_conn *c = links_conn_new(m, NULL, path);
    if (c == NULL) {
        return; /* all slots hold links: one of them will end */
    }
    enum ts_err err =
        net_link_dial(&l->ep, (const struct sockaddr *)&from, (const struct sockaddr *)&to,
                      m->node->id, &links_dialled_events, c, &c->link);
    if (err != TS_OK) {
        links_conn_free(c);
        net_log_limited(l->config.env.log, NET_LOG_ERROR, "links-dial",
                        "cannot dial %s: %s (open files: ulimit -n)", m->node->name,
                        ts_err_text(err));
        return;
    }
    d->conn = c;
}

static bool links_dial_wanted(const struct links_member *m, unsigned path)
{
    return m->dials[path].conn == NULL && !links_path_live(m, path);
}

static unsigned links_path_count(const struct links_member *m)
{
    const struct cfg_node *self = cfg_cluster_node(m->links->config.cluster, m->links->config.self);
    return m->node->path_count < self->path_count ? m->node->path_count : self->path_count;
}

static void links_dial_due(struct links_member *m, struct ts_mono now)
{
    for (unsigned p = 0; p < links_path_count(m); p++) {
        if (links_dial_wanted(m, p) && !ts_mono_lt(now, m->dials[p].next_at)) {
            /* Until the result is known, also when no attempt could be made. */
            m->dials[p].next_at = ts_mono_add(now, LINKS_BACKOFF_MAX_NS);
            links_dial_path(m, p);
        }
    }
}

void links_dial_now(struct links_member *m)
{
    struct ts_mono now = net_now();
    for (unsigned p = 0; p < links_path_count(m); p++) {
        if (links_dial_wanted(m, p)) {
            m->dials[p].backoff_ns = LINKS_BACKOFF_MIN_NS;
            m->dials[p].next_at = now;
        }
    }
    links_dial_due(m, now);
    links_timer_plan(m->links);
}

void links_dial_done(struct links_member *m, unsigned path)
{
    m->dials[path].backoff_ns = LINKS_BACKOFF_MIN_NS;
    for (unsigned p = 0; p < TS_PATHS_MAX; p++) {
        m->dials[p].refused_at = (struct ts_mono){0};
    }
}

/* Whether every path refused since the last live link ended. Links of one process end in one burst
 * but not in one instant, so a path that refused shortly before the last end counts. */
static bool links_refused_everywhere(const struct links_member *m)
{
    uint64_t slack = m->links->config.cluster->timing.path_timeout;
    uint64_t since = m->live_end.ns > slack ? m->live_end.ns - slack : 0;
    for (unsigned p = 0; p < links_path_count(m); p++) {
        if (m->dials[p].refused_at.ns == 0 || m->dials[p].refused_at.ns < since) {
            return false;
        }
    }
    return !links_any_live(m);
}

void links_dial_failed(struct links_conn *c, enum net_down reason)
{
    struct links_member *m = c->member;
    struct links *l = m->links;
    struct links_dial *d = &m->dials[c->path];
    struct ts_mono now = net_now();
    ts_assert(d->conn == c);
    d->conn = NULL;
    links_conn_free(c);
    /* Three quarters to five quarters, so that two replicas do not dial in step for ever. */
    uint64_t jitter = ts_prng_below(&l->prng, d->backoff_ns / 2 + 1);
    d->next_at = ts_mono_add(now, d->backoff_ns - d->backoff_ns / 4 + jitter);
    d->backoff_ns =
        d->backoff_ns * 2 < LINKS_BACKOFF_MAX_NS ? d->backoff_ns * 2 : LINKS_BACKOFF_MAX_NS;
    d->refused_at = reason == NET_DOWN_REFUSED ? now : (struct ts_mono){0};
    links_timer_plan(l);
    if (links_refused_everywhere(m)) {
        for (unsigned p = 0; p < TS_PATHS_MAX; p++) {
            m->dials[p].refused_at = (struct ts_mono){0};
        }
        l->config.events.on_refused_everywhere(l->config.arg, m->node->id, m->peer.instance);
    }
}

static void links_ping_all(struct links *l)
{
    for (size_t i = 0; i < l->member_count; i++) {
        struct links_member *m = &l->members[i];
        for (size_t k = 0; k < LINKS_CONNS_MAX; k++) {
            if (m->conns[k].member != NULL && m->conns[k].up) {
                net_link_ping(m->conns[k].link);
            }
        }
    }
}

/* The timer is late when this process did not run: what it did not hear meanwhile is not the
 * peers' fault. */
static void links_note_stall(struct links *l, struct ts_mono now)
{
    if (ts_mono_since(l->planned, now) > l->config.cluster->timing.path_timeout / 2) {
        l->judge_from = now;
    }
}

void links_timer_plan(struct links *l)
{
    if (l->closing) {
        return;
    }
    struct ts_mono now = net_now();
    links_note_stall(l, now);
    struct ts_mono at = l->ping_at;
    for (size_t i = 0; i < l->member_count; i++) {
        const struct links_member *m = &l->members[i];
        for (unsigned p = 0; p < links_path_count(m); p++) {
            if (links_dial_wanted(m, p) && ts_mono_lt(m->dials[p].next_at, at)) {
                at = m->dials[p].next_at;
            }
        }
    }
    l->planned = ts_mono_lt(at, now) ? now : at;
    /* libuv counts from the start of its turn: the rest is rounded up, never to a busy loop. */
    uint64_t ms = (ts_mono_since(now, l->planned) + TS_NS_PER_MS - 1) / TS_NS_PER_MS;
    (void)uv_timer_start(&l->timer, links_timer_fire, ms == 0 ? 1 : ms, 0);
}

void links_timer_fire(uv_timer_t *timer)
{
    struct links *l = timer->data;
    const struct cfg_timing *timing = &l->config.cluster->timing;
    struct ts_mono now = net_now();
    links_note_stall(l, now);
    if (!ts_mono_lt(now, l->ping_at)) {
        l->ping_at = ts_mono_add(now, timing->link_ping_interval);
        links_ping_all(l);
    }
    for (size_t i = 0; i < l->member_count && !l->closing; i++) {
        links_decide(&l->members[i]);
        if (!l->closing) {
            links_dial_due(&l->members[i], now);
        }
    }
    links_timer_plan(l);
}
