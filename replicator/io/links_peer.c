/* Sessions: which link carries the frames, and what the replicator is told. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "replicator/io/links_internal.h"

struct links_member *links_member_find(const struct links *l, struct ts_nic_id nic)
{
    for (size_t i = 0; i < l->member_count; i++) {
        if (ts_nic_eq(l->members[i].node->id, nic)) {
            return (struct links_member *)&l->members[i];
        }
    }
    return NULL;
}

struct links_conn *links_conn_new(struct links_member *m, struct net_link *link, unsigned path)
{
    for (size_t i = 0; i < LINKS_CONNS_MAX; i++) {
        struct links_conn *c = &m->conns[i];
        if (c->member == NULL) {
            *c = (struct links_conn){.member = m, .link = link, .path = path};
            return c;
        }
    }
    return NULL;
}

void links_conn_free(struct links_conn *c)
{
    *c = (struct links_conn){.member = NULL};
}

bool links_path_live(const struct links_member *m, unsigned path)
{
    for (size_t i = 0; i < LINKS_CONNS_MAX; i++) {
        const struct links_conn *c = &m->conns[i];
        if (c->member != NULL && c->up && c->path == path) {
            return true;
        }
    }
    return false;
}

bool links_any_live(const struct links_member *m)
{
    for (unsigned p = 0; p < TS_PATHS_MAX; p++) {
        if (links_path_live(m, p)) {
            return true;
        }
    }
    return false;
}

static void links_session_up(struct links_member *m, struct links_conn *c)
{
    struct links *l = m->links;
    char key[32];
    m->active = c;
    m->wanted = NULL;
    m->peer.path = c->path;
    (void)snprintf(key, sizeof(key), "links-up-%u", (unsigned)m->node->id.v);
    net_log_limited(l->config.env.log, NET_LOG_INFO, key,
                    "link to %s is up on path %u, start %" PRIu64 " instance %016" PRIx64,
                    m->node->name, c->path, m->peer.start, m->peer.instance.v);
    struct links_peer peer = m->peer;
    l->config.events.on_up(l->config.arg, &peer);
}

static void links_session_down(struct links_member *m, enum links_down reason)
{
    struct links *l = m->links;
    char key[32];
    ts_assert(m->active != NULL);
    (void)snprintf(key, sizeof(key), "links-down-%u", (unsigned)m->node->id.v);
    net_log_limited(l->config.env.log, reason == LINKS_DOWN_MOVED ? NET_LOG_INFO : NET_LOG_WARNING,
                    key, "link to %s on path %u ended: %s", m->node->name, m->active->path,
                    links_down_text(reason));
    m->active = NULL;
    l->config.events.on_down(l->config.arg, m->node->id, reason);
}

struct ts_mono links_conn_heard(const struct links_conn *c)
{
    struct ts_mono heard = net_link_heard(c->link);
    struct ts_mono received = net_link_received(c->link);
    return ts_mono_lt(heard, received) ? received : heard;
}

static void links_note_heard(struct links_conn *c)
{
    struct ts_mono heard = links_conn_heard(c);
    if (ts_mono_lt(c->member->heard, heard)) {
        c->member->heard = heard;
    }
}

/* Forgets a connection that was up. Gives whether it carried the session; the caller tells. */
static bool links_drop(struct links_conn *c)
{
    struct links_member *m = c->member;
    bool was_active = m->active == c;
    if (m->wanted == c) {
        m->wanted = NULL;
    }
    links_conn_free(c);
    if (!links_any_live(m)) {
        m->live_end = net_now();
    }
    return was_active;
}

/* Ends a connection from this side; the session, if it carried it, ends for `reason`. */
static void links_conn_close(struct links_conn *c, enum links_down reason)
{
    struct links_member *m = c->member;
    links_note_heard(c);
    net_link_close(c->link, NET_DOWN_LOCAL);
    if (m->active == c) {
        links_session_down(m, reason);
    }
    (void)links_drop(c);
}

/* Whether the newest of its signs of life, which the caller names, is younger than the limit. */
static bool links_is_younger(const struct links_conn *c, struct ts_mono heard, struct ts_mono now,
                             uint64_t limit_ns)
{
    const struct links *l = c->member->links;
    if (ts_mono_lt(heard, l->judge_from)) {
        heard = l->judge_from;
    }
    return ts_mono_since(heard, now) < limit_ns;
}

/* Whether both ways of it work: a round trip was proven lately. */
static bool links_is_fresh(const struct links_conn *c, struct ts_mono now, uint64_t limit_ns)
{
    return links_is_younger(c, net_link_heard(c->link), now, limit_ns);
}

/* How good a link is: 2 = answers, on a path that nobody doubts; 1 = answers; 0 = silent. */
static int links_score(const struct links_conn *c, struct ts_mono now)
{
    const struct links_member *m = c->member;
    if (!links_is_fresh(c, now, m->links->config.cluster->timing.path_timeout)) {
        return 0;
    }
    bool up = (m->path_up_mask >> c->path & 1) != 0;
    return up && ts_mono_lt(m->doubt_until[c->path], now) ? 2 : 1;
}

/* The link to use: a better one, else the present one, else the lowest path. NULL: none. */
static struct links_conn *links_best(struct links_member *m, struct ts_mono now)
{
    struct links_conn *present = m->active != NULL ? m->active : m->wanted;
    struct links_conn *best = present;
    int best_score = present == NULL ? -1 : links_score(present, now);
    for (size_t i = 0; i < LINKS_CONNS_MAX; i++) {
        struct links_conn *c = &m->conns[i];
        if (c->member == NULL || !c->up) {
            continue;
        }
        int score = links_score(c, now);
        bool lower = best != present && best != NULL && c->path < best->path;
        if (score > best_score || (score == best_score && lower)) {
            best = c;
            best_score = score;
        }
    }
    return best;
}

static bool links_send_generation(struct links_conn *c, uint8_t type, uint64_t generation)
{
    uint8_t bytes[8];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    ts_put_u64(&w, generation);
    return net_link_send(c->link, type, (struct ts_bytes){bytes, w.len}) == TS_OK;
}

/* The chooser's part of links_decide. */
static void links_choose(struct links_member *m, struct ts_mono now)
{
    struct links_conn *best = links_best(m, now);
    bool unanswered = m->wanted != NULL && ts_mono_since(m->wanted_at, now) >
                                               m->links->config.cluster->timing.path_timeout;
    if (best == NULL || best == m->active || (best == m->wanted && !unanswered)) {
        return;
    }
    if (m->active != NULL) {
        /* Left before the new one is confirmed: the session's order must have one end. And closed:
         * the peer takes answers on it for signs of the session until it hears of the new one, and
         * what this side has promised meanwhile cannot be said there (R4.8). */
        m->dials[m->active->path].next_at = now;
        links_conn_close(m->active, LINKS_DOWN_MOVED);
        if (m->links->closing) {
            return;
        }
    }
    m->generation++;
    m->wanted = best;
    m->wanted_at = now;
    /* A failure dooms the link; its end decides anew. */
    (void)links_send_generation(best, NET_FRAME_ACTIVATE, m->generation);
}

/* Both sides may have dialled at once: one link a path is enough. */
static void links_prune(struct links_member *m, struct ts_mono now)
{
    for (size_t i = 0; i < LINKS_CONNS_MAX; i++) {
        struct links_conn *c = &m->conns[i];
        if (c->member == NULL || !c->up || c == m->active || c == m->wanted) {
            continue;
        }
        for (size_t k = 0; k < LINKS_CONNS_MAX; k++) {
            const struct links_conn *other = &m->conns[k];
            if (other == c || other->member == NULL || !other->up || other->path != c->path) {
                continue;
            }
            /* The one that this side dialled stays: the peer saw it up before this side did, so
             * it does not dial the path again when the other one ends. */
            bool stays = other == m->active || other == m->wanted ||
                         net_link_is_dialled(other->link) || !net_link_is_dialled(c->link);
            stays = stays && links_score(other, now) >= links_score(c, now);
            if (stays) {
                links_conn_close(c, LINKS_DOWN_CLOSED);
                break;
            }
        }
    }
}

/* The other side's part of links_decide: it sees what the chooser may not see. */
static void links_ask(struct links_member *m, struct ts_mono now)
{
    if (m->active == NULL) {
        return;
    }
    struct links_conn *best = links_best(m, now);
    uint64_t pause = m->links->config.cluster->timing.path_timeout;
    if (best == NULL || best == m->active || links_score(best, now) == 0 ||
        ts_mono_since(best->request_at, now) < pause) {
        return;
    }
    best->request_at = now;
    enum ts_err err = net_link_send(best->link, NET_FRAME_REQUEST, (struct ts_bytes){NULL, 0});
    if (err != TS_OK) {
        return; /* the link is ending: its end decides anew */
    }
}

/* Nothing came in on any link for failure_timeout: they are ended, so that new ones are tried
 * (an old TCP connection waits long before it sends again). When only the way there is broken, the
 * peer hears nothing and ends them; a peer that is merely late with its answers does not. */
static void links_end_silent(struct links_member *m, struct ts_mono now)
{
    uint64_t limit = m->links->config.cluster->timing.failure_timeout;
    bool any = false;
    for (size_t i = 0; i < LINKS_CONNS_MAX; i++) {
        const struct links_conn *c = &m->conns[i];
        if (c->member != NULL && c->up) {
            any = true;
            if (links_is_younger(c, links_conn_heard(c), now, limit)) {
                return;
            }
        }
    }
    for (size_t i = 0; any && i < LINKS_CONNS_MAX && !m->links->closing; i++) {
        struct links_conn *c = &m->conns[i];
        if (c->member != NULL && c->up) {
            links_conn_close(c, LINKS_DOWN_SILENT);
        }
    }
    if (any && !m->links->closing) {
        links_dial_now(m);
    }
}

/* A spare link that is long silent while others answer: a new one is tried in its place. */
static void links_end_stale_spare(struct links_member *m, struct ts_mono now)
{
    uint64_t limit = m->links->config.cluster->timing.failure_timeout * 2;
    for (size_t i = 0; i < LINKS_CONNS_MAX; i++) {
        struct links_conn *c = &m->conns[i];
        if (c->member != NULL && c->up && c != m->active && c != m->wanted &&
            !links_is_fresh(c, now, limit)) {
            m->dials[c->path].next_at = now;
            links_conn_close(c, LINKS_DOWN_SILENT);
        }
    }
}

void links_decide(void *member)
{
    struct links_member *m = member;
    struct ts_mono now = net_now();
    if (m->links->closing) {
        return;
    }
    links_end_silent(m, now);
    if (m->links->closing) {
        return;
    }
    if (m->chooser) {
        links_choose(m, now);
        if (m->links->closing) {
            return;
        }
        links_prune(m, now);
    } else {
        links_ask(m, now);
    }
    links_end_stale_spare(m, now);
}

/* Whether this HELLO's process is the one at the other end, or replaces it. */
static bool links_accepts_process(struct links_member *m, const struct net_hello *h)
{
    const struct links_peer *old = &m->peer;
    bool same_disk = ts_incarnation_eq(old->incarnation, h->incarnation);
    if (old->instance.v == 0 || ts_instance_eq(old->instance, h->instance) || !same_disk) {
        return true;
    }
    /* R1.8: a start number is used once. A lower one is a late link of a process that is gone; an
     * equal one is a clone, or a process whose start was never registered. */
    return h->start > old->start || (h->start == old->start && !links_any_live(m));
}

static void links_adopt_process(struct links_member *m, const struct net_hello *h)
{
    if (ts_instance_eq(m->peer.instance, h->instance)) {
        return;
    }
    for (size_t i = 0; i < LINKS_CONNS_MAX && !m->links->closing; i++) {
        struct links_conn *c = &m->conns[i];
        if (c->member != NULL && c->up) {
            links_conn_close(c, LINKS_DOWN_RESTARTED);
        }
    }
    m->peer = (struct links_peer){.nic = m->node->id,
                                  .instance = h->instance,
                                  .incarnation = h->incarnation,
                                  .start = h->start};
    if (!m->chooser) {
        m->generation = 0;
    }
}

/* The peer dials only a path on which it has no live link: what it dialled there before is dead. */
static void links_replace_accepted(struct links_member *m, unsigned path)
{
    for (size_t i = 0; i < LINKS_CONNS_MAX && !m->links->closing; i++) {
        struct links_conn *c = &m->conns[i];
        if (c->member != NULL && c->up && c->path == path && !net_link_is_dialled(c->link)) {
            links_conn_close(c, LINKS_DOWN_CLOSED);
        }
    }
}

/* A link is up; `c` is its slot when it was dialled, NULL when it was accepted. */
static void links_on_up(struct links *l, struct net_link *link, struct links_conn *c,
                        const struct net_hello *hello)
{
    struct links_member *m = links_member_find(l, hello->node);
    if (m == NULL || !links_accepts_process(m, hello)) {
        net_log_limited(l->config.env.log, NET_LOG_WARNING, "links-process",
                        "ended a connection from %s: %s", net_link_address(link),
                        m == NULL ? "the node has no replica of this group"
                                  : "its start number was used by another process of this node: "
                                    "a late connection, a cloned or a rolled-back disk");
        net_link_close(link, NET_DOWN_IDENTITY);
        if (c != NULL) {
            links_dial_failed(c, NET_DOWN_IDENTITY);
        }
        return;
    }
    links_adopt_process(m, hello);
    if (l->closing) {
        return;
    }
    if (c == NULL) {
        links_replace_accepted(m, net_link_listen_index(link));
        if (l->closing) {
            return;
        }
        c = links_conn_new(m, link, net_link_listen_index(link));
    } else {
        m->dials[c->path].conn = NULL;
    }
    if (c == NULL) {
        net_link_close(link, NET_DOWN_CONNECTIONS);
        return;
    }
    net_link_set_arg(link, c);
    c->up = true;
    c->up_at = net_now();
    links_dial_done(m, c->path);
    links_decide(m);
}

static void links_on_dialled_up(void *arg, struct net_link *link, const struct net_hello *hello)
{
    struct links_conn *c = arg;
    links_on_up(c->member->links, link, c, hello);
}

static void links_on_accepted_up(void *arg, struct net_link *link, const struct net_hello *hello)
{
    links_on_up(arg, link, NULL, hello);
}

static enum links_down links_reason(enum net_down reason)
{
    if (reason == NET_DOWN_OVERFLOW) {
        return LINKS_DOWN_OVERFLOW;
    }
    bool broken =
        reason == NET_DOWN_MALFORMED || reason == NET_DOWN_OVERSIZED || reason == NET_DOWN_TLS;
    return broken ? LINKS_DOWN_MALFORMED : LINKS_DOWN_CLOSED;
}

static void links_on_conn_down(void *arg, struct net_link *link, enum net_down reason)
{
    struct links_conn *c = arg;
    struct links_member *m = c->member;
    struct links *l = m->links;
    ts_assert(c->link == link);
    if (!c->up) {
        links_dial_failed(c, reason);
        return;
    }
    links_note_heard(c);
    unsigned path = c->path;
    /* Links that end as soon as they begin must not make both sides spin. */
    bool short_lived = ts_mono_since(c->up_at, net_now()) < LINKS_SHORT_LIVED_NS;
    if (m->active == c) {
        links_session_down(m, links_reason(reason));
    }
    (void)links_drop(c);
    if (l->closing) {
        return;
    }
    if (!links_path_live(m, path)) {
        net_log_limited(l->config.env.log, NET_LOG_INFO, "links-conn",
                        "connection to %s on path %u ended: %s", m->node->name, path,
                        net_down_text(reason));
    }
    if (short_lived) {
        m->dials[path].next_at = ts_mono_add(net_now(), LINKS_SHORT_LIVED_NS);
        links_timer_plan(l);
    } else {
        links_dial_now(m);
    }
    /* In the turn's end: the peer's other links may be ending in this very turn. */
    net_turn_request(l->config.env.turn, &m->decide);
}

static bool links_generation(struct ts_bytes payload, uint64_t *out)
{
    struct ts_reader r = ts_reader_init(payload.data, payload.len);
    *out = ts_get_u64(&r);
    return ts_reader_finish(&r) == TS_OK;
}

static void links_on_activate(struct links_conn *c, uint64_t generation)
{
    struct links_member *m = c->member;
    if (generation <= m->generation) {
        return; /* overtaken by a newer choice on another link */
    }
    m->generation = generation;
    if (m->active != NULL) {
        links_session_down(m, LINKS_DOWN_MOVED);
        if (m->links->closing) {
            return;
        }
    }
    (void)links_send_generation(c, NET_FRAME_ACTIVATED, generation);
    links_session_up(m, c);
}

/* The peer does not hear this side, or sees a path down: its word is taken for a while. */
static void links_on_request(struct links_conn *c)
{
    struct links_member *m = c->member;
    struct links_conn *present = m->active != NULL ? m->active : m->wanted;
    if (present == NULL || present == c || present->path == c->path) {
        return;
    }
    uint64_t while_ns = m->links->config.cluster->timing.failure_timeout * 5;
    m->doubt_until[present->path] = ts_mono_add(net_now(), while_ns);
    links_decide(m);
}

static void links_on_control(struct links_conn *c, uint8_t type, struct ts_bytes payload)
{
    struct links_member *m = c->member;
    uint64_t generation = 0;
    bool fits = links_generation(payload, &generation);
    if (type == NET_FRAME_ACTIVATE && !m->chooser && fits) {
        links_on_activate(c, generation);
    } else if (type == NET_FRAME_ACTIVATED && m->chooser && fits) {
        if (c == m->wanted && generation == m->generation) {
            links_session_up(m, c);
        }
    } else if (type == NET_FRAME_REQUEST && m->chooser && payload.len == 0) {
        links_on_request(c);
    } else {
        links_conn_close(c, LINKS_DOWN_MALFORMED);
    }
}

static void links_on_frame(void *arg, struct net_link *link, uint8_t type, struct ts_bytes payload)
{
    struct links_conn *c = arg;
    struct links_member *m = c->member;
    (void)link;
    if (type < NET_FRAME_USER) {
        links_on_control(c, type, payload);
    } else if (c == m->active) {
        struct links *l = m->links;
        l->config.events.on_frame(l->config.arg, m->node->id, type, payload);
    }
    /* Else it was sent before the peer learned of a newer choice: dropped. */
}

const struct net_link_events links_accepted_events = {
    .on_up = links_on_accepted_up,
    .on_frame = links_on_frame,
    .on_down = links_on_conn_down,
};

const struct net_link_events links_dialled_events = {
    .on_up = links_on_dialled_up,
    .on_frame = links_on_frame,
    .on_down = links_on_conn_down,
};
