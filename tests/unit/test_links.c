/* The standing links of two replicas, in one process on two loopback paths. */
#include "tests/unit/net_fixture.h"

#include "base/prng.h"
#include "replicator/io/links.h"
#include "tests/unit/net_relay.h"

#define TYPE_DATA 32

/* What one replica was told. */
struct side {
    struct net_fixture *f;
    struct links *links;
    struct links_peer peer;
    unsigned ups;
    unsigned downs;
    enum links_down why;
    unsigned refusals;
    struct ts_instance refused_instance;
    unsigned frames;
    uint64_t next; /* the number that the next frame must bear */
    bool in_order;
    uint64_t sessions;      /* begun in all runs of this node: each frame bears it */
    uint64_t peer_sessions; /* that of the peer in this session; it only rises */
    bool first;             /* no frame came in this session */
    unsigned node;
    uint64_t send;                     /* numbers sent in this session */
    const struct cfg_cluster *cluster; /* as this side sees it */
};

static void side_on_up(void *arg, const struct links_peer *peer)
{
    struct side *s = arg;
    s->peer = *peer;
    s->ups++;
    s->next = 0;
    s->send = 0;
    s->sessions++;
    s->first = true;
}

static void side_on_down(void *arg, struct ts_nic_id peer, enum links_down reason)
{
    struct side *s = arg;
    assert_int_equal(peer.v, s->peer.nic.v);
    s->downs++;
    s->why = reason;
    assert_int_equal(s->downs, s->ups);
}

static void side_on_refused(void *arg, struct ts_nic_id peer, struct ts_instance instance)
{
    struct side *s = arg;
    (void)peer;
    s->refusals++;
    s->refused_instance = instance;
}

static void side_on_frame(void *arg, struct ts_nic_id peer, uint8_t type, struct ts_bytes payload)
{
    struct side *s = arg;
    struct ts_reader r = ts_reader_init(payload.data, payload.len);
    assert_int_equal(peer.v, s->peer.nic.v);
    assert_int_equal(type, TYPE_DATA);
    assert_int_equal(s->ups, s->downs + 1);
    s->in_order = s->in_order && ts_get_u64(&r) == s->next;
    s->next++;
    /* Both sides mean the same session: no frame of an older one comes into a newer one. */
    uint64_t session = ts_get_u64(&r);
    assert_true(s->first ? session > s->peer_sessions : session == s->peer_sessions);
    s->peer_sessions = session;
    s->first = false;
    s->frames++;
}

static void side_open_in(struct side *s, struct net_fixture *f, const struct cfg_cluster *cluster,
                         unsigned node, uint64_t instance, uint64_t start)
{
    struct ts_why why = {.text = ""};
    struct links_config config = {
        .env = fx_env(f, node),
        .cluster = cluster,
        .self = {(uint16_t)node},
        .group = {1},
        .instance = {instance},
        .incarnation = {1000 + node},
        .start = start,
        .events = {.on_up = side_on_up,
                   .on_down = side_on_down,
                   .on_refused_everywhere = side_on_refused,
                   .on_frame = side_on_frame},
        .arg = s,
    };
    *s = (struct side){.f = f, .in_order = true, .node = node, .cluster = cluster};
    s->peer.nic = (struct ts_nic_id){(uint16_t)(3 - node)};
    fx_ok(links_open(&config, &s->links, &why), &why);
}

static void side_open(struct side *s, struct net_fixture *f, unsigned node, uint64_t instance,
                      uint64_t start)
{
    side_open_in(s, f, &f->cluster, node, instance, start);
}

static void side_send(struct side *s)
{
    uint8_t bytes[64] = {0};
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    ts_put_u64(&w, s->send);
    ts_put_u64(&w, s->sessions);
    if (links_send(s->links, s->peer.nic, TYPE_DATA, (struct ts_bytes){bytes, sizeof(bytes)}) ==
        TS_OK) {
        s->send++;
    }
}

struct pair {
    struct side *a;
    struct side *b;
    unsigned want;
};

static bool pair_both_up(void *arg)
{
    const struct pair *p = arg;
    return links_is_up(p->a->links, p->a->peer.nic) && links_is_up(p->b->links, p->b->peer.nic);
}

static bool pair_both_paths_live(void *arg)
{
    const struct pair *p = arg;
    return pair_both_up(arg) && links_live_mask(p->a->links, p->a->peer.nic) == 3 &&
           links_live_mask(p->b->links, p->b->peer.nic) == 3;
}

static bool pair_frames(void *arg)
{
    const struct pair *p = arg;
    return p->a->frames >= p->want && p->b->frames >= p->want;
}

/* Both sides agree on one path and frames arrive in order, both ways. */
static void test_links_open_carries_frames_in_order(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    struct side a;
    struct side b;
    side_open(&a, f, 1, 11, 1);
    side_open(&b, f, 2, 22, 1);
    struct pair p = {&a, &b, 1000};
    fx_until(f, pair_both_up, &p);
    assert_int_equal(a.peer.instance.v, 22);
    assert_int_equal(a.peer.incarnation.v, 1002);
    assert_int_equal(b.peer.instance.v, 11);
    for (unsigned i = 0; i < 1000; i++) {
        side_send(&a);
        side_send(&b);
    }
    fx_until(f, pair_frames, &p);
    assert_true(a.in_order && b.in_order);
    assert_int_equal(a.frames, 1000);
    assert_int_equal(links_path(a.links, a.peer.nic), links_path(b.links, b.peer.nic));
    links_close(a.links);
    links_close(b.links);
    fx_close(f);
}

static bool pair_on_path_one(void *arg)
{
    const struct pair *p = arg;
    return pair_both_up(arg) && links_path(p->a->links, p->a->peer.nic) == 1 &&
           links_path(p->b->links, p->b->peer.nic) == 1;
}

/* heartbeatd's word moves the session to the other path, whichever side hears it. */
static void path_state_moves(unsigned teller)
{
    struct net_fixture *f = fx_open();
    struct side a;
    struct side b;
    side_open(&a, f, 1, 11, 1);
    side_open(&b, f, 2, 22, 1);
    struct pair p = {&a, &b, 0};
    fx_until(f, pair_both_paths_live, &p);
    struct side *s = teller == 1 ? &a : &b;
    if (links_path(a.links, a.peer.nic) == 0) {
        links_path_state(s->links, s->peer.nic, 2);
        /* Not from within the call. */
        assert_int_equal(links_path(s->links, s->peer.nic), 0);
        fx_until(f, pair_on_path_one, &p);
        assert_int_equal(a.why, LINKS_DOWN_MOVED);
        /* The connection it was on is closed: nothing on it is taken for a sign of the session. */
        assert_true(b.downs == 1 && b.why == LINKS_DOWN_CLOSED);
    }
    p.want = a.frames + 10;
    for (unsigned i = 0; i < 10; i++) {
        side_send(&a);
        side_send(&b);
    }
    fx_until(f, pair_frames, &p);
    assert_true(a.in_order && b.in_order);
    links_close(a.links);
    links_close(b.links);
    fx_close(f);
}

static void test_links_path_down_at_chooser_moves(void **state)
{
    (void)state;
    path_state_moves(1);
}

static void test_links_path_down_at_other_side_moves(void **state)
{
    (void)state;
    path_state_moves(2);
}

static bool side_is_refused(void *arg)
{
    const struct side *s = arg;
    return s->refusals > 0;
}

/* A process that is gone: the session ends and every path answers "refused"; its next run is
 * found and is told apart. */
static void restart_is_found(unsigned dies)
{
    struct net_fixture *f = fx_open();
    struct side s[3];
    side_open(&s[1], f, 1, 11, 1);
    side_open(&s[2], f, 2, 22, 1);
    struct pair p = {&s[1], &s[2], 0};
    fx_until(f, pair_both_paths_live, &p);
    struct side *stays = &s[3 - dies];
    stays->refusals = 0;
    links_close(s[dies].links);
    fx_until(f, side_is_refused, stays);
    assert_int_equal(stays->downs, 1);
    assert_int_equal(stays->refused_instance.v, dies == 1 ? 11 : 22);
    assert_false(links_is_up(stays->links, stays->peer.nic));
    side_open(&s[dies], f, dies, 33, 2);
    fx_until(f, pair_both_up, &p);
    assert_int_equal(stays->peer.instance.v, 33);
    assert_int_equal(stays->peer.start, 2);
    assert_int_equal(stays->ups, 2);
    links_close(s[1].links);
    links_close(s[2].links);
    fx_close(f);
}

static void test_links_lower_node_restarts_is_found(void **state)
{
    (void)state;
    restart_is_found(1);
}

static void test_links_higher_node_restarts_is_found(void **state)
{
    (void)state;
    restart_is_found(2);
}

static bool pair_one_link_a_path(void *arg)
{
    const struct pair *p = arg;
    const struct net_counters *a = links_counters(p->a->links);
    /* Of all links that came up, two remain. */
    uint64_t ended = 0;
    for (int i = 0; i < NET_DOWN_REASONS; i++) {
        ended += a->lost[i];
    }
    return pair_both_paths_live(arg) && a->up - ended == 2;
}

/* Both sides dial; after a while one link a path is left, and no session was lost to that. */
static void test_links_both_dial_leaves_one_link_a_path(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    struct side a;
    struct side b;
    side_open(&a, f, 1, 11, 1);
    side_open(&b, f, 2, 22, 1);
    struct pair p = {&a, &b, 0};
    fx_until(f, pair_one_link_a_path, &p);
    assert_true(a.downs == 0 || a.why != LINKS_DOWN_CLOSED);
    assert_true(b.downs == 0 || b.why != LINKS_DOWN_CLOSED);
    links_close(a.links);
    links_close(b.links);
    fx_close(f);
}

/* A port in use is told with the address and what to do. */
static void test_links_open_port_in_use_is_refused(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    struct side a;
    side_open(&a, f, 1, 11, 1);
    struct links_config config = {
        .env = fx_env(f, 1), .cluster = &f->cluster, .self = {1}, .group = {1}, .instance = {12}};
    struct links *second = NULL;
    struct ts_why why = {.text = ""};
    assert_int_equal(links_open(&config, &second, &why), TS_ERR_BUSY);
    assert_non_null(strstr(why.text, f->cluster.nodes[0].paths[0]));
    config.group = (struct ts_group_id){9};
    assert_int_equal(links_open(&config, &second, &why), TS_ERR_CONFIG);
    links_close(a.links);
    fx_close(f);
}

/* Frames of many megabytes pass whole; longer ones are refused at the sender. */
static void test_links_send_largest_frame_passes(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    struct side a;
    struct side b;
    side_open(&a, f, 1, 11, 1);
    side_open(&b, f, 2, 22, 1);
    struct pair p = {&a, &b, 4};
    fx_until(f, pair_both_up, &p);
    uint8_t *big = calloc(1, NET_FRAME_PAYLOAD_MAX + 1);
    assert_non_null(big);
    struct ts_bytes longest = {big, NET_FRAME_PAYLOAD_MAX};
    struct ts_bytes longer = {big, NET_FRAME_PAYLOAD_MAX + 1};
    assert_int_equal(links_send(a.links, a.peer.nic, TYPE_DATA, longer), TS_ERR_LIMIT);
    for (uint64_t i = 0; i < 4; i++) {
        struct ts_writer w = ts_writer_init(big, 16);
        ts_put_u64(&w, i);
        ts_put_u64(&w, 1);
        fx_ok(links_send(a.links, a.peer.nic, TYPE_DATA, longest), NULL);
        fx_ok(links_send(b.links, b.peer.nic, TYPE_DATA, longest), NULL);
    }
    assert_true(links_backlog(a.links, a.peer.nic) > NET_FRAME_PAYLOAD_MAX);
    fx_until(f, pair_frames, &p);
    assert_true(a.in_order && b.in_order);
    free(big);
    links_close(a.links);
    links_close(b.links);
    fx_close(f);
}

/* Two replicas that see each other through a relay on each path. */
struct relayed {
    struct net_fixture *f;
    struct cfg_cluster seen_by[3];        /* the peer's addresses are the relays' */
    struct relay *relay[TS_PATHS_MAX][3]; /* [path][towards node] */
    struct side s[3];
    struct pair pair;
    struct ts_mono cut_at;
};

static void relayed_open(struct relayed *r)
{
    r->f = fx_open();
    r->seen_by[1] = r->f->cluster;
    r->seen_by[2] = r->f->cluster;
    uint16_t port = cfg_port_replica(&r->f->cluster, (struct ts_group_id){1});
    for (unsigned path = 0; path < 2; path++) {
        for (unsigned to = 1; to <= 2; to++) {
            char *address = r->seen_by[3 - to].nodes[to - 1].paths[path];
            fx_address(address, path, 8 + to);
            r->relay[path][to] =
                relay_open(r->f, address, r->f->cluster.nodes[to - 1].paths[path], port);
        }
    }
    side_open_in(&r->s[1], r->f, &r->seen_by[1], 1, 11, 1);
    side_open_in(&r->s[2], r->f, &r->seen_by[2], 2, 22, 1);
    r->pair = (struct pair){&r->s[1], &r->s[2], 0};
    fx_until(r->f, pair_both_paths_live, &r->pair);
}

static void relayed_close(struct relayed *r)
{
    links_close(r->s[1].links);
    links_close(r->s[2].links);
    for (unsigned path = 0; path < 2; path++) {
        relay_close(r->relay[path][1]);
        relay_close(r->relay[path][2]);
    }
    struct net_fixture *f = r->f;
    (void)uv_timer_stop(&f->guard);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    for (unsigned path = 0; path < 2; path++) {
        relay_free(r->relay[path][1]);
        relay_free(r->relay[path][2]);
    }
    fx_close(f);
}

/* A path loses what goes from node 1 to node 2, or back, or both. */
static void relayed_lose(struct relayed *r, unsigned path, bool forth, bool back)
{
    relay_freeze(r->relay[path][2], forth, back);
    relay_freeze(r->relay[path][1], back, forth);
}

static void relayed_frames_pass(struct relayed *r)
{
    r->s[1].frames = 0;
    r->s[2].frames = 0;
    r->pair.want = 10;
    for (unsigned i = 0; i < 10; i++) {
        side_send(&r->s[1]);
        side_send(&r->s[2]);
    }
    fx_until(r->f, pair_frames, &r->pair);
    assert_true(r->s[1].in_order && r->s[2].in_order);
}

static bool relayed_moved(void *arg)
{
    const struct relayed *r = arg;
    return pair_both_up((void *)(uintptr_t)&r->pair) &&
           links_path(r->s[1].links, r->s[1].peer.nic) == 1 &&
           links_path(r->s[2].links, r->s[2].peer.nic) == 1;
}

/* A path that falls silent, wholly or in one direction, is left for the other one. */
static void silent_path_is_left(bool forth, bool back)
{
    struct relayed *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    relayed_open(r);
    relayed_lose(r, 0, forth, back);
    fx_until(r->f, relayed_moved, r);
    assert_int_equal(r->s[1].refusals, 0);
    relayed_frames_pass(r);
    /* The path comes back: it is live again, and the session stays where it is. */
    relayed_lose(r, 0, false, false);
    unsigned ups = r->s[1].ups;
    fx_until(r->f, pair_both_paths_live, &r->pair);
    relayed_frames_pass(r);
    assert_int_equal(r->s[1].ups, ups);
    relayed_close(r);
    free(r);
}

static void test_links_silent_path_is_left(void **state)
{
    (void)state;
    silent_path_is_left(true, true);
}

static void test_links_path_silent_to_the_higher_node_is_left(void **state)
{
    (void)state;
    silent_path_is_left(true, false);
}

static void test_links_path_silent_to_the_lower_node_is_left(void **state)
{
    (void)state;
    silent_path_is_left(false, true);
}

static bool relayed_both_down(void *arg)
{
    const struct relayed *r = arg;
    return r->s[1].downs == r->s[1].ups && r->s[2].downs == r->s[2].ups;
}

/* Every path silent: the session ends for that reason, and nobody is said to be refused. */
static void test_links_all_paths_silent_ends_and_comes_back(void **state)
{
    (void)state;
    struct relayed *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    relayed_open(r);
    relayed_lose(r, 0, true, true);
    relayed_lose(r, 1, true, true);
    fx_until(r->f, relayed_both_down, r);
    assert_int_equal(r->s[1].refusals + r->s[2].refusals, 0);
    assert_true(r->s[1].why == LINKS_DOWN_SILENT || r->s[2].why == LINKS_DOWN_SILENT);
    relayed_lose(r, 0, false, false);
    relayed_lose(r, 1, false, false);
    fx_until(r->f, pair_both_up, &r->pair);
    relayed_frames_pass(r);
    relayed_close(r);
    free(r);
}

static bool relayed_first_hears(void *arg)
{
    const struct relayed *r = arg;
    return ts_mono_lt(r->cut_at, links_heard(r->s[1].links, r->s[1].peer.nic));
}

/* What comes in is a sign of life, also while nothing of one's own gets an answer: node 2 asks, and
 * node 1 hears it. Node 2, which hears nothing, ends the links. */
static void test_links_what_comes_in_is_heard(void **state)
{
    (void)state;
    struct relayed *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    relayed_open(r);
    relayed_lose(r, 0, true, false);
    relayed_lose(r, 1, true, false);
    r->cut_at = net_now();
    fx_until(r->f, relayed_first_hears, r);
    fx_until(r->f, relayed_both_down, r);
    assert_false(ts_mono_lt(r->cut_at, links_heard(r->s[2].links, r->s[2].peer.nic)));
    relayed_close(r);
    free(r);
}

static void step_over(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Lets the loop run for a while. */
static void relayed_run(struct relayed *r, uint64_t ms)
{
    uv_timer_t timer;
    bool over = false;
    (void)uv_timer_init(&r->f->loop, &timer);
    timer.data = &over;
    (void)uv_timer_start(&timer, step_over, ms, 0);
    while (!over) {
        (void)uv_run(&r->f->loop, UV_RUN_ONCE);
        if (ms % 2 == 0) {
            side_send(&r->s[1]);
            side_send(&r->s[2]);
        }
    }
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&r->f->loop, UV_RUN_NOWAIT);
}

static void relayed_restart(struct relayed *r, unsigned node, uint64_t start)
{
    struct side *s = &r->s[node];
    uint64_t sessions = s->sessions;
    uint64_t peer_sessions = s->peer_sessions;
    assert_true(s->in_order);
    links_close(s->links);
    side_open_in(s, r->f, &r->seen_by[node], node, start * 100 + node, start);
    s->sessions = sessions;
    s->peer_sessions = peer_sessions;
}

static void relayed_disturb(struct relayed *r, struct ts_prng *prng, uint64_t *start)
{
    unsigned path = (unsigned)ts_prng_below(prng, 2);
    unsigned node = 1 + (unsigned)ts_prng_below(prng, 2);
    uint64_t bits = ts_prng_next(prng) >> 32;
    switch (ts_prng_below(prng, 8)) {
    case 0:
    case 1:
        relayed_lose(r, path, (bits & 1) != 0, (bits & 2) != 0);
        break;
    case 2:
        relay_break(r->relay[path][node]);
        break;
    case 3:
    case 4:
        links_path_state(r->s[node].links, r->s[node].peer.nic, (uint8_t)(bits & 3));
        break;
    case 5:
        (*start)++;
        relayed_restart(r, node, *start);
        break;
    default:
        relayed_lose(r, path, false, false);
        break;
    }
}

/* Whatever happens to paths and processes: sessions begin and end in turn, both sides mean the
 * same one, frames of a session come in order; and when all is well again, so are the links. */
static void test_links_random_faults_sessions_stay_consistent(void **state)
{
    (void)state;
    struct relayed *r = calloc(1, sizeof(*r));
    struct ts_prng prng = ts_prng_init((uint64_t)getpid());
    uint64_t start = 1;
    assert_non_null(r);
    print_message("seed %d\n", (int)getpid());
    relayed_open(r);
    for (unsigned i = 0; i < 150; i++) {
        relayed_disturb(r, &prng, &start);
        relayed_run(r, 1 + ts_prng_below(&prng, 12 + 60 * (i % 8 == 0)));
    }
    for (unsigned path = 0; path < 2; path++) {
        relayed_lose(r, path, false, false);
    }
    for (unsigned node = 1; node <= 2; node++) {
        links_path_state(r->s[node].links, r->s[node].peer.nic, 3);
    }
    fx_until(r->f, pair_both_paths_live, &r->pair);
    relayed_run(r, 50);
    fx_until(r->f, pair_both_paths_live, &r->pair);
    relayed_frames_pass(r);
    relayed_close(r);
    free(r);
}

static bool side_saw_clone_refused(void *arg)
{
    const struct side *s = arg;
    return links_counters(s->links)->failed[NET_DOWN_CLOSED] +
               links_counters(s->links)->lost[NET_DOWN_CLOSED] >
           0;
}

/* A second process with the same disk and start number is a clone: it gets no session. */
static void test_links_clone_of_the_peer_is_refused(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    struct side a;
    struct side b;
    struct side clone;
    side_open(&a, f, 1, 11, 1);
    side_open(&b, f, 2, 22, 1);
    struct pair p = {&a, &b, 0};
    fx_until(f, pair_both_paths_live, &p);
    struct cfg_cluster elsewhere = f->cluster;
    fx_address(elsewhere.nodes[1].paths[0], 0, 9);
    fx_address(elsewhere.nodes[1].paths[1], 1, 9);
    side_open_in(&clone, f, &elsewhere, 2, 99, 1);
    fx_until(f, side_saw_clone_refused, &clone);
    assert_int_equal(a.ups, 1);
    assert_int_equal(a.downs, 0);
    assert_int_equal(clone.ups, 0);
    links_close(a.links);
    links_close(b.links);
    links_close(clone.links);
    fx_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_open_carries_frames_in_order),
        cmocka_unit_test(test_links_path_down_at_chooser_moves),
        cmocka_unit_test(test_links_path_down_at_other_side_moves),
        cmocka_unit_test(test_links_lower_node_restarts_is_found),
        cmocka_unit_test(test_links_higher_node_restarts_is_found),
        cmocka_unit_test(test_links_both_dial_leaves_one_link_a_path),
        cmocka_unit_test(test_links_open_port_in_use_is_refused),
        cmocka_unit_test(test_links_send_largest_frame_passes),
        cmocka_unit_test(test_links_silent_path_is_left),
        cmocka_unit_test(test_links_path_silent_to_the_higher_node_is_left),
        cmocka_unit_test(test_links_path_silent_to_the_lower_node_is_left),
        cmocka_unit_test(test_links_all_paths_silent_ends_and_comes_back),
        cmocka_unit_test(test_links_what_comes_in_is_heard),
        cmocka_unit_test(test_links_clone_of_the_peer_is_refused),
        cmocka_unit_test(test_links_random_faults_sessions_stay_consistent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
