/* TCP links between replicas, as replicator/io/links.c runs them: both sides dial every path,
 * the lower node chooses which link carries the session, frames of a session keep their order. A
 * process that ends closes its links, a node that loses power says nothing. Pings are no frames: a
 * look proves a round trip when both ways are open and the other side runs. Their answers keep
 * their place among the frames nevertheless: what was sent before one has come in before it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

enum { FRAME_ACTIVATE = 3, FRAME_ACTIVATED = 4, FRAME_REQUEST = 5 };

#define BACKOFF_MIN (1 * SIM_MS)
#define BACKOFF_MAX (200 * SIM_MS)
#define SHORT_LIVED (5 * SIM_MS)
#define RTO_MIN (200 * SIM_MS)
#define RTO_MAX (3 * SIM_S)

static struct sim_pair *pair_of(const struct sim *s, int a, int b)
{
    int low = a < b ? a : b;
    int high = a < b ? b : a;
    ts_assert(low >= 1 && low < high && high <= SIM_NICS_MAX);
    return (struct sim_pair *)&s->pair[low + high - 3];
}

static int side_of(int node, int peer)
{
    return node < peer ? 0 : 1;
}

static const struct cfg_timing *timing(const struct sim *s)
{
    return &s->cluster.timing;
}

static struct sim_conn *conn_by_id(struct sim_pair *p, uint64_t id)
{
    for (int i = 0; id != 0 && i < SIM_CONNS_MAX; i++) {
        if (p->conn[i].used && p->conn[i].id == id) {
            return &p->conn[i];
        }
    }
    return NULL;
}

static bool path_live(const struct sim_pair *p, int side, int path)
{
    for (int i = 0; i < SIM_CONNS_MAX; i++) {
        if (p->conn[i].used && p->conn[i].end[side].open && p->conn[i].path == path) {
            return true;
        }
    }
    return false;
}

static bool any_live(const struct sim_pair *p, int side)
{
    for (int path = 0; path < SIM_PATHS; path++) {
        if (path_live(p, side, path)) {
            return true;
        }
    }
    return false;
}

/* The newest sign of life: bytes came in, or a round trip is proven. */
static uint64_t newest_sign(const struct sim_end *e)
{
    return e->heard > e->received ? e->heard : e->received;
}

/* ---- frames --------------------------------------------------------------------------------- */

static void drop_frames(struct sim *s, struct sim_end *e)
{
    while (e->first != NULL) {
        struct sim_frame *f = e->first;
        e->first = f->next;
        sim_bytes_drop(s, f->bytes);
        f->next = s->free_frames;
        s->free_frames = f;
    }
    e->last = NULL;
}

/* A ping is at the other side when all that was sent there before it is, and its answer is here
 * when all is that was sent back before. Whoever has closed the connection answers none. */
static void move_ping(struct sim_conn *c, int side)
{
    struct sim_end *e = &c->end[side];
    const struct sim_end *other = &c->end[1 - side];
    if (e->ping_at != 0 && !e->ping_there && other->open && other->taken >= e->ping_behind) {
        e->ping_there = true;
        e->ping_behind = e->sent;
    }
    if (e->ping_at != 0 && e->ping_there && e->taken >= e->ping_behind) {
        e->answered = e->ping_at;
        e->ping_at = 0;
    }
}

static void plan_pump(struct sim *s, const struct sim_pair *p, const struct sim_conn *c, int to)
{
    struct sim_end *e = (struct sim_end *)&c->end[to];
    if (e->pump_at != 0 || e->first == NULL) {
        return;
    }
    e->pump_at = e->first->due > s->now ? e->first->due : s->now;
    sim_push(s, &(struct sim_event){.kind = SIM_EV_STREAM,
                                    .at = e->pump_at,
                                    .node = (uint8_t)p->node[to],
                                    .proc = SIM_REPLICA,
                                    .life = e->life,
                                    .peer = (uint8_t)p->node[1 - to],
                                    .a = c->id});
}

static void push_frame(struct sim *s, struct sim_pair *p, struct sim_conn *c, int to, uint8_t type,
                       uint8_t *bytes, size_t len)
{
    struct sim_end *e = &c->end[to];
    const struct sim_path *path = &s->net.path[p->node[1 - to]][p->node[to]][c->path];
    struct sim_frame *f = s->free_frames;
    if (!e->open) {
        sim_bytes_drop(s, bytes); /* into a closed socket */
        return;
    }
    if (f != NULL) {
        s->free_frames = f->next;
    } else {
        f = malloc(sizeof(*f));
        ts_assert(f != NULL);
    }
    uint64_t due = s->now + sim_net_delay(s, p->node[1 - to], p->node[to], c->path, len);
    if (s->now < path->bad_until && sim_chance_pm(s, path->loss_pm)) {
        due += RTO_MIN; /* sent again; all that follows waits */
    }
    e->last_due = due > e->last_due ? due : e->last_due;
    *f = (struct sim_frame){.due = e->last_due, .bytes = bytes, .len = (uint32_t)len, .type = type};
    if (e->last != NULL) {
        e->last->next = f;
    } else {
        e->first = f;
    }
    e->last = f;
    e->sent++;
    s->stats.frames++;
    plan_pump(s, p, c, to);
}

static void send_control(struct sim *s, struct sim_pair *p, struct sim_conn *c, int from,
                         uint8_t type, uint64_t generation)
{
    uint8_t *bytes = sim_bytes_new(s, sizeof(generation));
    memcpy(bytes, &generation, sizeof(generation));
    push_frame(s, p, c, 1 - from, type, bytes, sizeof(generation));
}

void sim_link_send(struct sim *s, int from, int to, uint8_t type, struct ts_bytes head,
                   struct ts_bytes body)
{
    struct sim_pair *p = pair_of(s, from, to);
    int side = side_of(from, to);
    struct sim_conn *c = conn_by_id(p, p->side[side].active);
    if (c == NULL || !c->end[side].open) {
        return;
    }
    uint8_t *bytes = sim_bytes_copy(s, head, body);
    sim_stray_keep_frame(s, from, to, type, (struct ts_bytes){bytes, head.len + body.len});
    push_frame(s, p, c, 1 - side, type, bytes, head.len + body.len);
}

/* ---- dialling ------------------------------------------------------------------------------- */

static void plan_dial(struct sim *s, struct sim_pair *p, int side, int path, uint64_t at)
{
    struct sim_side *me = &p->side[side];
    if (me->dialling[path]) {
        return;
    }
    me->dialling[path] = true;
    sim_push(s, &(struct sim_event){.kind = SIM_EV_DIAL,
                                    .at = at,
                                    .node = (uint8_t)p->node[side],
                                    .proc = SIM_REPLICA,
                                    .life = s->node[p->node[side]].proc[SIM_REPLICA].life,
                                    .peer = (uint8_t)p->node[1 - side],
                                    .path = (uint8_t)path});
}

static void dial_failed(struct sim *s, struct sim_pair *p, int side, int path, uint64_t took,
                        bool refused)
{
    struct sim_side *me = &p->side[side];
    uint64_t pause = me->backoff[path] - me->backoff[path] / 4;
    plan_dial(s, p, side, path, s->now + took + pause + sim_rand(s, 0, me->backoff[path] / 2));
    me->backoff[path] = me->backoff[path] * 2 < BACKOFF_MAX ? me->backoff[path] * 2 : BACKOFF_MAX;
    me->refused_at[path] = refused ? s->now : 0;
    uint64_t slack = timing(s)->path_timeout;
    uint64_t since = me->live_end > slack ? me->live_end - slack : 0;
    for (int i = 0; i < SIM_PATHS; i++) {
        if (me->refused_at[i] == 0 || me->refused_at[i] < since) {
            return;
        }
    }
    if (!any_live(p, side)) {
        memset(me->refused_at, 0, sizeof(me->refused_at));
        sim_replica_refused(s, p->node[side], p->node[1 - side]);
    }
}

/* ---- the ends of a connection --------------------------------------------------------------- */

static void session_down(struct sim *s, struct sim_pair *p, int side)
{
    p->side[side].active = 0;
    sim_replica_link_down(s, p->node[side], p->node[1 - side]);
}

/* This side's end is gone; the other one hears of it when a path leads there. */
static void end_conn(struct sim *s, struct sim_pair *p, struct sim_conn *c, int side, bool tell)
{
    struct sim_end *e = &c->end[side];
    struct sim_side *me = &p->side[side];
    uint64_t id = c->id;
    int path = c->path;
    bool short_lived = s->now - e->up_at < SHORT_LIVED;
    if (!e->open) {
        return;
    }
    e->open = false;
    drop_frames(s, e);
    me->heard = newest_sign(e) > me->heard ? newest_sign(e) : me->heard;
    me->wanted = me->wanted == id ? 0 : me->wanted;
    int other = 1 - side;
    if (c->end[other].open) {
        if (tell && !sim_net_is_cut(s, p->node[side], p->node[other], path)) {
            sim_push(s, &(struct sim_event){.kind = SIM_EV_LINK_ENDED,
                                            .at = s->now + sim_net_delay(s, p->node[side],
                                                                         p->node[other], path, 64),
                                            .node = (uint8_t)p->node[other],
                                            .proc = SIM_REPLICA,
                                            .life = c->end[other].life,
                                            .peer = (uint8_t)p->node[side],
                                            .a = id});
        }
    } else {
        c->used = false;
    }
    if (!any_live(p, side)) {
        me->live_end = s->now;
    }
    if (sim_runs(s, p->node[side], SIM_REPLICA)) {
        if (!short_lived) {
            me->backoff[path] = BACKOFF_MIN;
        }
        plan_dial(s, p, side, path, s->now + (short_lived ? SHORT_LIVED : 0));
        if (me->active == id) {
            session_down(s, p, side);
        }
    }
}

/* ---- the choice ------------------------------------------------------------------------------ */

static bool is_younger(const struct sim *s, const struct sim_pair *p, int side, uint64_t heard,
                       uint64_t limit)
{
    heard = heard < p->side[side].judge_from ? p->side[side].judge_from : heard;
    return s->now < heard + limit;
}

/* Whether both ways of it work. */
static bool is_fresh(const struct sim *s, const struct sim_pair *p, const struct sim_conn *c,
                     int side, uint64_t limit)
{
    return is_younger(s, p, side, c->end[side].heard, limit);
}

static int score(const struct sim *s, const struct sim_pair *p, const struct sim_conn *c, int side)
{
    const struct sim_side *me = &p->side[side];
    if (!is_fresh(s, p, c, side, timing(s)->path_timeout)) {
        return 0;
    }
    bool up = (me->path_up_mask >> c->path & 1) != 0;
    return up && me->doubt_until[c->path] < s->now ? 2 : 1;
}

static struct sim_conn *best_conn(const struct sim *s, struct sim_pair *p, int side)
{
    const struct sim_side *me = &p->side[side];
    struct sim_conn *present = conn_by_id(p, me->active != 0 ? me->active : me->wanted);
    struct sim_conn *best = present;
    int best_score = present == NULL ? -1 : score(s, p, present, side);
    for (int i = 0; i < SIM_CONNS_MAX; i++) {
        struct sim_conn *c = &p->conn[i];
        if (!c->used || !c->end[side].open) {
            continue;
        }
        int points = score(s, p, c, side);
        bool lower = best != present && best != NULL && c->path < best->path;
        if (points > best_score || (points == best_score && lower)) {
            best = c;
            best_score = points;
        }
    }
    return best;
}

static void choose(struct sim *s, struct sim_pair *p)
{
    struct sim_side *me = &p->side[0];
    struct sim_conn *best = best_conn(s, p, 0);
    bool unanswered = me->wanted != 0 && s->now > me->wanted_at + timing(s)->path_timeout;
    if (best == NULL || best->id == me->active || (best->id == me->wanted && !unanswered)) {
        return;
    }
    uint64_t id = best->id;
    if (me->active != 0) {
        end_conn(s, p, conn_by_id(p, me->active), 0, true);
        best = conn_by_id(p, id);
        if (best == NULL || !best->end[0].open) {
            return; /* the process crashed at it */
        }
    }
    me->generation++;
    me->wanted = id;
    me->wanted_at = s->now;
    send_control(s, p, best, 0, FRAME_ACTIVATE, me->generation);
}

static void ask(struct sim *s, struct sim_pair *p)
{
    struct sim_side *me = &p->side[1];
    struct sim_conn *best = best_conn(s, p, 1);
    if (me->active == 0 || best == NULL || best->id == me->active || score(s, p, best, 1) == 0 ||
        s->now < best->end[1].asked_at + timing(s)->path_timeout) {
        return;
    }
    best->end[1].asked_at = s->now;
    send_control(s, p, best, 1, FRAME_REQUEST, 0);
}

static void decide(struct sim *s, struct sim_pair *p, int side)
{
    const struct sim_side *me = &p->side[side];
    uint64_t life = s->node[p->node[side]].proc[SIM_REPLICA].life;
    bool all_silent = any_live(p, side);
    for (int i = 0; i < SIM_CONNS_MAX; i++) {
        const struct sim_conn *c = &p->conn[i];
        if (c->used && c->end[side].open &&
            is_younger(s, p, side, newest_sign(&c->end[side]), timing(s)->failure_timeout)) {
            all_silent = false;
        }
    }
    for (int i = 0; i < SIM_CONNS_MAX; i++) {
        struct sim_conn *c = &p->conn[i];
        bool spare = c->id != me->active && c->id != me->wanted;
        bool stale = spare && c->used && c->end[side].open &&
                     !is_fresh(s, p, c, side, 2 * timing(s)->failure_timeout);
        if (c->used && c->end[side].open && (all_silent || stale)) {
            end_conn(s, p, c, side, true);
        }
    }
    if (s->node[p->node[side]].proc[SIM_REPLICA].life != life) {
        return;
    }
    if (side == 0) {
        choose(s, p);
    } else {
        ask(s, p);
    }
}

/* ---- coming up ------------------------------------------------------------------------------- */

/* R1.8, as links_accepts_process: a late connection of an older process does not count. */
static bool accepts_process(const struct sim *s, const struct sim_pair *p, int side,
                            uint64_t *newest)
{
    int peer = p->node[1 - side];
    uint64_t life = s->node[peer].proc[SIM_REPLICA].life;
    *newest = life;
    return life >= p->side[side].process;
}

static void adopt_process(struct sim *s, struct sim_pair *p, int side, uint64_t life)
{
    struct sim_side *me = &p->side[side];
    if (me->process == life) {
        return;
    }
    for (int i = 0; i < SIM_CONNS_MAX; i++) {
        struct sim_conn *c = &p->conn[i];
        if (c->used && c->end[side].open && c->end[1 - side].life != life) {
            end_conn(s, p, c, side, false);
        }
    }
    me->process = life;
    if (side == 1) {
        me->generation = 0;
    }
}

static void connect(struct sim *s, struct sim_pair *p, int side, int path)
{
    int other = 1 - side;
    uint64_t mine = s->node[p->node[side]].proc[SIM_REPLICA].life;
    uint64_t theirs = s->node[p->node[other]].proc[SIM_REPLICA].life;
    uint64_t newest;
    if (!accepts_process(s, p, side, &newest) || !accepts_process(s, p, other, &newest)) {
        dial_failed(s, p, side, path, SIM_MS, false);
        return;
    }
    adopt_process(s, p, side, theirs);
    adopt_process(s, p, other, mine);
    for (int i = 0; i < SIM_CONNS_MAX; i++) { /* what it dialled there before is dead */
        struct sim_conn *c = &p->conn[i];
        if (c->used && c->path == path && c->end[other].open) {
            end_conn(s, p, c, other, false);
        }
    }
    if (s->node[p->node[side]].proc[SIM_REPLICA].life != mine ||
        s->node[p->node[other]].proc[SIM_REPLICA].life != theirs) {
        return; /* one crashed at the end of an old session */
    }
    for (int i = 0; i < SIM_CONNS_MAX; i++) {
        struct sim_conn *c = &p->conn[i];
        if (c->used) {
            continue;
        }
        *c = (struct sim_conn){.used = true, .id = ++s->conns, .path = path};
        for (int e = 0; e < 2; e++) {
            c->end[e] = (struct sim_end){.open = true,
                                         .life = e == side ? mine : theirs,
                                         .heard = s->now,
                                         .answered = s->now,
                                         .up_at = s->now,
                                         .rto = RTO_MIN};
            p->side[e].backoff[path] = BACKOFF_MIN;
            memset(p->side[e].refused_at, 0, sizeof(p->side[e].refused_at));
        }
        sim_note(s, p->node[side], "connects to %s on path %d", sim_node_name(s, p->node[other]),
                 path);
        decide(s, p, 0);
        return;
    }
}

static void on_dial(struct sim *s, struct sim_pair *p, int side, int path)
{
    int me = p->node[side];
    int peer = p->node[1 - side];
    p->side[side].dialling[path] = false;
    if (path_live(p, side, path)) {
        return;
    }
    if (!sim_net_path_open(s, me, peer, path) || !s->node[peer].powered) {
        dial_failed(s, p, side, path, timing(s)->path_timeout, false);
    } else if (!sim_runs(s, peer, SIM_REPLICA) || !s->node[peer].replica.p.started) {
        dial_failed(s, p, side, path, 0, true);
    } else if (sim_paused(s, peer, SIM_REPLICA)) {
        dial_failed(s, p, side, path, SIM_S, false); /* the kernel accepts, nobody shakes hands */
    } else {
        connect(s, p, side, path);
    }
}

void sim_link_open(struct sim *s, int node)
{
    for (int peer = 1; peer <= s->nics; peer++) {
        if (peer == node) {
            continue;
        }
        struct sim_pair *p = pair_of(s, node, peer);
        int side = side_of(node, peer);
        p->node[side] = node;
        p->node[1 - side] = peer;
        p->side[side] = (struct sim_side){
            .path_up_mask = UINT8_MAX, .watched_at = s->now, .judge_from = s->now};
        for (int path = 0; path < SIM_PATHS; path++) {
            p->side[side].backoff[path] = BACKOFF_MIN;
            plan_dial(s, p, side, path, s->now + sim_us(s, 200, 1500));
        }
    }
}

/* ---- going down ------------------------------------------------------------------------------ */

static void close_all(struct sim *s, int node, bool tell)
{
    for (int peer = 1; peer <= s->nics; peer++) {
        if (peer == node) {
            continue;
        }
        struct sim_pair *p = pair_of(s, node, peer);
        int side = side_of(node, peer);
        p->side[side].active = 0;
        for (int i = 0; i < SIM_CONNS_MAX; i++) {
            struct sim_conn *c = &p->conn[i];
            struct sim_end *e = &c->end[side];
            if (!c->used || !e->open) {
                continue;
            }
            e->open = false;
            drop_frames(s, e);
            if (!c->end[1 - side].open) {
                c->used = false;
            } else if (tell && !sim_net_is_cut(s, node, peer, c->path)) {
                sim_push(
                    s, &(struct sim_event){.kind = SIM_EV_LINK_ENDED,
                                           .at = s->now + sim_net_delay(s, node, peer, c->path, 64),
                                           .node = (uint8_t)peer,
                                           .proc = SIM_REPLICA,
                                           .life = c->end[1 - side].life,
                                           .peer = (uint8_t)node,
                                           .a = c->id});
            }
        }
    }
}

void sim_link_process_ended(struct sim *s, int node)
{
    close_all(s, node, true);
}

void sim_link_node_lost(struct sim *s, int node)
{
    close_all(s, node, false);
}

void sim_link_reset(struct sim *s, int a, int b, int path)
{
    struct sim_pair *p = pair_of(s, a, b);
    for (int i = 0; i < SIM_CONNS_MAX; i++) {
        struct sim_conn *c = &p->conn[i];
        if (!c->used || (path >= 0 && c->path != path)) {
            continue;
        }
        for (int side = 0; side < 2; side++) {
            if (c->end[side].open) {
                sim_push(s, &(struct sim_event){.kind = SIM_EV_LINK_ENDED,
                                                .at = s->now + sim_us(s, 50, 3000),
                                                .node = (uint8_t)p->node[side],
                                                .proc = SIM_REPLICA,
                                                .life = c->end[side].life,
                                                .peer = (uint8_t)p->node[1 - side],
                                                .a = c->id});
            }
        }
    }
}

void sim_link_free(struct sim *s)
{
    for (int i = 0; i < SIM_NICS_MAX; i++) {
        for (int k = 0; k < SIM_CONNS_MAX; k++) {
            drop_frames(s, &s->pair[i].conn[k].end[0]);
            drop_frames(s, &s->pair[i].conn[k].end[1]);
        }
    }
    memset(s->pair, 0, sizeof(s->pair));
}

/* ---- what comes in -------------------------------------------------------------------------- */

static void on_activate(struct sim *s, struct sim_pair *p, struct sim_conn *c, uint64_t generation)
{
    struct sim_side *me = &p->side[1];
    uint64_t id = c->id;
    if (generation <= me->generation) {
        return;
    }
    me->generation = generation;
    if (me->active != 0) {
        session_down(s, p, 1);
        c = conn_by_id(p, id);
        if (c == NULL || !c->end[1].open) {
            return;
        }
    }
    send_control(s, p, c, 1, FRAME_ACTIVATED, generation);
    me->active = id;
    sim_replica_link_up(s, p->node[1], p->node[0], c->end[0].life);
}

static void on_request(struct sim *s, struct sim_pair *p, const struct sim_conn *c)
{
    struct sim_side *me = &p->side[0];
    const struct sim_conn *present = conn_by_id(p, me->active != 0 ? me->active : me->wanted);
    if (present == NULL || present == c || present->path == c->path) {
        return;
    }
    me->doubt_until[present->path] = s->now + 5 * timing(s)->failure_timeout;
    decide(s, p, 0);
}

static void on_frame(struct sim *s, struct sim_pair *p, struct sim_conn *c, int side,
                     const struct sim_frame *f)
{
    struct sim_side *me = &p->side[side];
    uint64_t generation = 0;
    if (f->type > FRAME_REQUEST) {
        if (me->active == c->id) {
            sim_replica_frame(s, p->node[side], p->node[1 - side], f->type,
                              (struct ts_bytes){f->bytes, f->len});
        }
        return;
    }
    memcpy(&generation, f->bytes, sizeof(generation));
    if (f->type == FRAME_ACTIVATE && side == 1) {
        on_activate(s, p, c, generation);
    } else if (f->type == FRAME_ACTIVATED && side == 0) {
        if (me->wanted == c->id && generation == me->generation) {
            me->wanted = 0;
            me->active = c->id;
            sim_replica_link_up(s, p->node[0], p->node[1], c->end[1].life);
        }
    } else if (f->type == FRAME_REQUEST && side == 0) {
        on_request(s, p, c);
    }
}

static void on_stream(struct sim *s, struct sim_pair *p, int side, uint64_t id)
{
    struct sim_conn *c = conn_by_id(p, id);
    if (c == NULL) {
        return;
    }
    c->end[side].pump_at = 0;
    while (c != NULL && c->end[side].open && c->end[side].first != NULL &&
           c->end[side].first->due <= s->now) {
        struct sim_end *e = &c->end[side];
        struct sim_frame *f = e->first;
        const struct sim_path *path = &s->net.path[p->node[1 - side]][p->node[side]][c->path];
        if (sim_net_is_cut(s, p->node[1 - side], p->node[side], c->path)) {
            f->due = s->now + e->rto / 2 + sim_rand(s, 0, e->rto);
            e->last_due = f->due > e->last_due ? f->due : e->last_due; /* all that follows waits */
            e->rto = e->rto * 2 < RTO_MAX ? e->rto * 2 : RTO_MAX;
            break;
        }
        e->rto = RTO_MIN;
        e->received = s->now;
        if (s->now < path->bad_until && sim_chance_pm(s, path->damage_pm)) {
            sim_note(s, p->node[side], "TLS refuses damaged bytes of %s: the link ends",
                     sim_node_name(s, p->node[1 - side]));
            end_conn(s, p, c, side, true);
            return;
        }
        e->first = f->next;
        e->last = e->first == NULL ? NULL : e->last;
        e->taken++;
        on_frame(s, p, c, side, f);
        sim_bytes_drop(s, f->bytes);
        f->next = s->free_frames;
        s->free_frames = f;
        c = conn_by_id(p, id);
    }
    if (c != NULL && c->end[side].open) {
        move_ping(c, 0);
        move_ping(c, 1);
        plan_pump(s, p, c, side);
    }
}

void sim_link_event(struct sim *s, struct sim_event *ev)
{
    struct sim_pair *p = pair_of(s, ev->node, ev->peer);
    int side = side_of(ev->node, ev->peer);
    if (ev->kind == SIM_EV_DIAL) {
        on_dial(s, p, side, ev->path);
    } else if (ev->kind == SIM_EV_STREAM) {
        on_stream(s, p, side, ev->a);
    } else {
        struct sim_conn *c = conn_by_id(p, ev->a);
        if (c != NULL && c->end[side].open) {
            uint64_t life = s->node[ev->node].proc[SIM_REPLICA].life;
            end_conn(s, p, c, side, false);
            if (s->node[ev->node].proc[SIM_REPLICA].life == life) {
                decide(s, p, side);
            }
        }
    }
}

/* ---- looks ---------------------------------------------------------------------------------- */

static void ping(struct sim *s, struct sim_pair *p, int side)
{
    int me = p->node[side];
    int peer = p->node[1 - side];
    for (int i = 0; i < SIM_CONNS_MAX; i++) {
        struct sim_conn *c = &p->conn[i];
        if (!c->used || !c->end[side].open || !s->node[peer].powered) {
            continue;
        }
        bool runs = c->end[1 - side].open && !sim_paused(s, peer, SIM_REPLICA);
        if (runs && !sim_net_is_cut(s, peer, me, c->path) && c->end[side].last_due <= s->now) {
            c->end[side].received = s->now; /* its pings */
        }
        if (!sim_net_path_open(s, me, peer, c->path)) {
            continue;
        }
        if (!c->end[1 - side].open) {
            end_conn(s, p, c, side, false); /* nobody there knows it: RST */
            if (!sim_runs(s, me, SIM_REPLICA)) {
                return;
            }
            continue;
        }
        bool stuck = c->end[1 - side].last_due > s->now + timing(s)->path_timeout ||
                     c->end[side].last_due > s->now + timing(s)->path_timeout;
        if (runs && !stuck) {
            c->end[side].heard = s->now;
        }
        if (runs && c->end[side].ping_at == 0) {
            c->end[side].ping_at = s->now;
            c->end[side].ping_there = false;
            c->end[side].ping_behind = c->end[1 - side].sent;
            move_ping(c, side);
        }
    }
}

void sim_link_watch(struct sim *s, int node)
{
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    for (int peer = 1; peer <= s->nics; peer++) {
        if (peer == node) {
            continue;
        }
        struct sim_pair *p = pair_of(s, node, peer);
        int side = side_of(node, peer);
        struct sim_side *me = &p->side[side];
        uint64_t interval = timing(s)->heartbeat_interval;
        if (s->now > me->watched_at + interval + timing(s)->path_timeout / 2) {
            me->judge_from = s->now;
        }
        me->watched_at = s->now;
        if (s->now >= me->ping_at) {
            me->ping_at = s->now + timing(s)->link_ping_interval;
            ping(s, p, side);
        }
        if (s->node[node].proc[SIM_REPLICA].life == life) {
            decide(s, p, side);
        }
        if (s->node[node].proc[SIM_REPLICA].life != life) {
            return;
        }
    }
}

void sim_link_path_state(struct sim *s, int node, int peer, uint8_t mask)
{
    struct sim_pair *p = pair_of(s, node, peer);
    int side = side_of(node, peer);
    if (p->side[side].path_up_mask != mask) {
        p->side[side].path_up_mask = mask;
        decide(s, p, side);
    }
}

bool sim_link_is_up(const struct sim *s, int node, int peer)
{
    return pair_of(s, node, peer)->side[side_of(node, peer)].active != 0;
}

uint64_t sim_link_answered(const struct sim *s, int node, int peer)
{
    const struct sim_pair *p = pair_of(s, node, peer);
    int side = side_of(node, peer);
    for (int i = 0; i < SIM_CONNS_MAX; i++) {
        const struct sim_conn *c = &p->conn[i];
        if (c->used && c->end[side].open && c->id == p->side[side].active) {
            return c->end[side].answered;
        }
    }
    return 0;
}

uint64_t sim_link_heard(const struct sim *s, int node, int peer)
{
    const struct sim_pair *p = pair_of(s, node, peer);
    int side = side_of(node, peer);
    uint64_t heard = p->side[side].heard;
    for (int i = 0; i < SIM_CONNS_MAX; i++) {
        const struct sim_conn *c = &p->conn[i];
        if (c->used && c->end[side].open && newest_sign(&c->end[side]) > heard) {
            heard = newest_sign(&c->end[side]);
        }
    }
    return heard;
}
