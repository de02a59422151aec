/* A proposer's links to the voters, and the voter's side of them. */
#include "tests/unit/net_fixture.h"

#include "cluster-cfg/io/voter_client.h"
#include "cluster-cfg/io/voter_server.h"
#include "tests/unit/net_relay.h"

#define TYPE_ASK 16
#define TYPE_ANSWER 17
#define VOTERS 3

struct voter {
    struct voter_server *server;
    unsigned asked;
    uint64_t handle; /* of the last question */
    struct net_hello from;
    unsigned ups;
    unsigned downs;
};

struct proposer {
    struct net_fixture *f;
    struct voter_client *client;
    struct voter voters[VOTERS + 1];
    unsigned answers[VOTERS + 1];
    unsigned ups[VOTERS + 1];
    unsigned downs[VOTERS + 1];
    uint64_t start[VOTERS + 1];
};

static void voter_saw_up(void *arg, uint64_t handle, const struct net_hello *hello)
{
    struct voter *v = arg;
    (void)handle;
    (void)hello;
    v->ups++;
}

static void voter_saw_down(void *arg, uint64_t handle)
{
    struct voter *v = arg;
    (void)handle;
    v->downs++;
}

static void voter_saw_frame(void *arg, uint64_t handle, const struct net_hello *hello, uint8_t type,
                            struct ts_bytes payload)
{
    struct voter *v = arg;
    assert_int_equal(type, TYPE_ASK);
    v->asked++;
    v->handle = handle;
    v->from = *hello;
    fx_ok(voter_server_reply(v->server, handle, TYPE_ANSWER, payload), NULL);
}

static void proposer_saw_up(void *arg, struct ts_nic_id voter, const struct net_hello *hello)
{
    struct proposer *p = arg;
    assert_int_equal(hello->node.v, voter.v);
    p->ups[voter.v]++;
    p->start[voter.v] = hello->start;
}

static void proposer_saw_down(void *arg, struct ts_nic_id voter)
{
    struct proposer *p = arg;
    p->downs[voter.v]++;
    assert_int_equal(p->downs[voter.v], p->ups[voter.v]);
}

static void proposer_saw_frame(void *arg, struct ts_nic_id voter, uint8_t type,
                               struct ts_bytes payload)
{
    struct proposer *p = arg;
    assert_int_equal(type, TYPE_ANSWER);
    assert_int_equal(payload.len, 3);
    p->answers[voter.v]++;
}

static void voter_open(struct proposer *p, unsigned node, uint64_t instance)
{
    struct voter *v = &p->voters[node];
    struct ts_why why = {.text = ""};
    struct voter_server_config config = {
        .env = fx_env(p->f, node),
        .cluster = &p->f->cluster,
        .self = {(uint16_t)node},
        .instance = {instance},
        .incarnation = {2000 + node},
        .start = 7,
        .events = {voter_saw_up, voter_saw_down, voter_saw_frame},
        .arg = v,
    };
    *v = (struct voter){.asked = 0};
    fx_ok(voter_server_open(&config, &v->server, &why), &why);
}

static void proposer_open(struct proposer *p, const struct cfg_cluster *cluster)
{
    struct ts_why why = {.text = ""};
    struct voter_client_config config = {
        .env = fx_env(p->f, 1),
        .cluster = cluster,
        .self = {1},
        .group = {1},
        .instance = {77},
        .incarnation = {1001},
        .start = 5,
        .events = {proposer_saw_up, proposer_saw_down, proposer_saw_frame, NULL},
        .arg = p,
    };
    fx_ok(voter_client_open(&config, &p->client, &why), &why);
}

static void proposer_ask(struct proposer *p, unsigned voter)
{
    fx_ok(voter_client_send(p->client, (struct ts_nic_id){(uint16_t)voter}, TYPE_ASK,
                            (struct ts_bytes){(const uint8_t *)"abc", 3}),
          NULL);
}

static bool all_up(void *arg)
{
    const struct proposer *p = arg;
    for (unsigned i = 1; i <= VOTERS; i++) {
        if (!voter_client_is_up(p->client, (struct ts_nic_id){(uint16_t)i})) {
            return false;
        }
    }
    return true;
}

static bool all_answered(void *arg)
{
    const struct proposer *p = arg;
    return p->answers[1] > 0 && p->answers[2] > 0 && p->answers[3] > 0;
}

static void proposer_check_all(struct proposer *p)
{
    memset(p->answers, 0, sizeof(p->answers));
    for (unsigned i = 1; i <= VOTERS; i++) {
        proposer_ask(p, i);
    }
    fx_until(p->f, all_answered, p);
}

static struct proposer *world_open(void)
{
    struct proposer *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->f = fx_open();
    for (unsigned i = 1; i <= VOTERS; i++) {
        voter_open(p, i, 100 + i);
    }
    return p;
}

static void world_close(struct proposer *p)
{
    voter_client_close(p->client);
    for (unsigned i = 1; i <= VOTERS; i++) {
        voter_server_close(p->voters[i].server);
    }
    fx_close(p->f);
    free(p);
}

/* Every voter is reached, the own NIC's too; it learns who asks and answers that link. */
static void test_voter_client_send_every_voter_answers(void **state)
{
    (void)state;
    struct proposer *p = world_open();
    proposer_open(p, &p->f->cluster);
    assert_int_equal(
        voter_client_send(p->client, (struct ts_nic_id){2}, TYPE_ASK, (struct ts_bytes){NULL, 0}),
        TS_ERR_CLOSED);
    fx_until(p->f, all_up, p);
    proposer_check_all(p);
    for (unsigned i = 1; i <= VOTERS; i++) {
        const struct net_hello *h = &p->voters[i].from;
        assert_int_equal(h->node.v, 1);
        assert_int_equal(h->group.v, 1);
        assert_int_equal(h->instance.v, 77);
        assert_int_equal(h->incarnation.v, 1001);
        assert_int_equal(h->start, 5);
        assert_int_equal(p->start[i], 7);
        assert_true(voter_client_path(p->client, (struct ts_nic_id){(uint16_t)i}) >= 0);
    }
    assert_int_equal(
        voter_client_send(p->client, (struct ts_nic_id){9}, TYPE_ASK, (struct ts_bytes){NULL, 0}),
        TS_ERR_NOT_FOUND);
    world_close(p);
}

static bool second_is_down(void *arg)
{
    return ((const struct proposer *)arg)->downs[2] > 0;
}

/* A voter that ends is told, and found again; a handle of the old link answers nobody. */
static void test_voter_client_voter_restarts_is_found(void **state)
{
    (void)state;
    struct proposer *p = world_open();
    proposer_open(p, &p->f->cluster);
    fx_until(p->f, all_up, p);
    voter_server_close(p->voters[2].server);
    fx_until(p->f, second_is_down, p);
    voter_open(p, 2, 202);
    voter_server_set_start(p->voters[2].server, 8);
    fx_until(p->f, all_up, p);
    proposer_check_all(p);
    assert_int_equal(p->start[2], 8);
    assert_int_equal(
        voter_server_reply(p->voters[2].server, 0, TYPE_ANSWER, (struct ts_bytes){NULL, 0}),
        TS_ERR_CLOSED);
    assert_int_equal(voter_server_reply(p->voters[2].server, p->voters[2].handle + 65536,
                                        TYPE_ANSWER, (struct ts_bytes){NULL, 0}),
                     TS_ERR_CLOSED);
    world_close(p);
}

static bool server_saw_all_leave(void *arg)
{
    const struct proposer *p = arg;
    return p->voters[1].downs > 0 && p->voters[2].downs > 0 && p->voters[3].downs > 0;
}

/* A proposer that leaves is told to the voters, and its handle is dead. */
static void test_voter_server_reply_after_proposer_left_is_refused(void **state)
{
    (void)state;
    struct proposer *p = world_open();
    proposer_open(p, &p->f->cluster);
    fx_until(p->f, all_up, p);
    proposer_check_all(p);
    voter_client_close(p->client);
    fx_until(p->f, server_saw_all_leave, p);
    assert_int_equal(voter_server_reply(p->voters[3].server, p->voters[3].handle, TYPE_ANSWER,
                                        (struct ts_bytes){NULL, 0}),
                     TS_ERR_CLOSED);
    proposer_open(p, &p->f->cluster);
    memset(p->ups, 0, sizeof(p->ups));
    memset(p->downs, 0, sizeof(p->downs));
    uint64_t old = p->voters[3].handle;
    fx_until(p->f, all_up, p);
    proposer_check_all(p);
    assert_true(p->voters[3].handle != old);
    world_close(p);
}

static bool second_on_path_one(void *arg)
{
    const struct proposer *p = arg;
    return voter_client_path(p->client, (struct ts_nic_id){2}) == 1;
}

static bool second_on_path_zero(void *arg)
{
    const struct proposer *p = arg;
    return voter_client_path(p->client, (struct ts_nic_id){2}) == 0;
}

/* heartbeatd's word moves the link; with no path up it stays where it works. */
static void test_voter_client_path_state_down_moves(void **state)
{
    (void)state;
    struct proposer *p = world_open();
    proposer_open(p, &p->f->cluster);
    fx_until(p->f, all_up, p);
    voter_client_path_state(p->client, (struct ts_nic_id){3}, 0);
    voter_client_path_state(p->client, (struct ts_nic_id){2}, 2);
    fx_until(p->f, second_on_path_one, p);
    proposer_check_all(p);
    assert_true(voter_client_is_up(p->client, (struct ts_nic_id){3}));
    world_close(p);
}

/* A path that falls silent is left. */
static void test_voter_client_silent_path_is_left(void **state)
{
    (void)state;
    struct proposer *p = world_open();
    struct cfg_cluster *seen = calloc(1, sizeof(*seen));
    assert_non_null(seen);
    *seen = p->f->cluster;
    fx_address(seen->nodes[1].paths[0], 0, 10);
    struct relay *relay = relay_open(p->f, seen->nodes[1].paths[0], p->f->cluster.nodes[1].paths[0],
                                     cfg_port_voter(seen));
    proposer_open(p, seen);
    voter_client_path_state(p->client, (struct ts_nic_id){2}, 1);
    fx_until(p->f, second_on_path_zero, p);
    fx_until(p->f, all_up, p);
    voter_client_path_state(p->client, (struct ts_nic_id){2}, 3);
    relay_freeze(relay, true, true);
    fx_until(p->f, second_on_path_one, p);
    proposer_check_all(p);
    voter_client_close(p->client);
    for (unsigned i = 1; i <= VOTERS; i++) {
        voter_server_close(p->voters[i].server);
    }
    relay_close(relay);
    (void)uv_timer_stop(&p->f->guard);
    (void)uv_run(&p->f->loop, UV_RUN_DEFAULT);
    relay_free(relay);
    fx_close(p->f);
    free(seen);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_voter_client_send_every_voter_answers),
        cmocka_unit_test(test_voter_client_voter_restarts_is_found),
        cmocka_unit_test(test_voter_server_reply_after_proposer_left_is_refused),
        cmocka_unit_test(test_voter_client_path_state_down_moves),
        cmocka_unit_test(test_voter_client_silent_path_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
