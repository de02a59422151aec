/* Two controllers and an agent on loopback addresses, over TLS: a table comes, a failover, what a
 * former primary says then; the agent ends and starts again without a controller. */
#include "services/agent/io/agent.h"
#include "services/agent/io/wire.h"
#include "services/agent/model.h"
#include "services/netctl/io/south_server.h"
#include "tests/unit/net_fixture.h"

#define CONTROLLERS 2

struct world {
    struct net_fixture *f;
    struct south_server *server[CONTROLLERS];
    struct agent *agent;
    struct agent_driver *driver; /* the agent's */
    struct netctl_tree table;
    char state[160];
    bool ended;
    struct ts_seq acked;
    uint64_t told; /* inventories */
    struct ts_seq awaited;
};

static void on_effect(void *arg, const struct south_effects *all, const struct south_effect *e)
{
    struct world *w = arg;
    (void)all;
    assert_true(e->kind == SOUTH_ACKED || e->kind == SOUTH_TELLS || e->kind == SOUTH_COUNTS);
    if (e->kind == SOUTH_ACKED) {
        assert_string_equal(e->name, "nic3x");
        w->acked = e->gen;
    }
    w->told += e->kind == SOUTH_TELLS;
}

static void on_ended(void *arg, bool failed)
{
    struct world *w = arg;
    assert_false(failed);
    w->ended = true;
    w->agent = NULL;
}

static void put(struct world *w, const char *key, const char *value)
{
    netctl_tree_put(&w->table, key, (struct ts_bytes){(const uint8_t *)value, strlen(value)});
}

static void give_table(struct world *w, unsigned controller, uint64_t gen)
{
    south_server_step(w->server[controller], &(struct south_event){.kind = SOUTH_E_TABLE,
                                                                   .name = "nic3x",
                                                                   .table = &w->table,
                                                                   .gen = {gen}});
}

static void give_role(struct world *w, unsigned controller, uint64_t epoch, bool serves)
{
    south_server_step(
        w->server[controller],
        &(struct south_event){.kind = SOUTH_E_ROLE, .epoch = {epoch}, .serves = serves});
}

static enum ts_err try_agent(struct world *w, struct ts_why *why)
{
    struct agent_config c = {
        .loop = &w->f->loop,
        .log = &w->f->log,
        .node = "nic3x",
        .vtep = "192.0.2.1",
        .controllers = CONTROLLERS,
        .names = 2,
        .name = {"nic1", "nic2"},
        .on_ended = on_ended,
        .arg = w,
    };
    const struct agent_address vtep = {4, 32, {192, 0, 2, 1}};
    (void)snprintf(c.state, sizeof(c.state), "%s", w->state);
    (void)snprintf(c.ca, sizeof(c.ca), "%s/node/ca.pem", w->f->dir);
    (void)snprintf(c.certificate, sizeof(c.certificate), "%s/node/node.pem", w->f->dir);
    (void)snprintf(c.key, sizeof(c.key), "%s/node/node.key", w->f->dir);
    for (unsigned i = 0; i < CONTROLLERS; i++) {
        char address[CFG_ADDR_MAX];
        fx_address(address, 0, i + 1);
        uint16_t port = w->server[i] == NULL ? 1 : south_server_port(w->server[i]);
        (void)snprintf(c.address[i], sizeof(c.address[i]), "%s:%u", address, port);
        assert_int_equal(agent_address_of(c.address[i], &c.to[i]), TS_OK);
    }
    c.driver = w->driver = agent_model_new(&vtep);
    w->ended = false;
    return agent_start(&w->agent, &c, why);
}

static void start_agent(struct world *w)
{
    struct ts_why why = {.text = ""};
    fx_ok(try_agent(w, &why), &why);
}

static void stop_agent(struct world *w)
{
    agent_stop(w->agent);
    fx_until(w->f, fx_true, &w->ended);
}

static struct world *open_world(void)
{
    struct world *w = calloc(1, sizeof(*w));
    struct ts_why why = {.text = ""};
    char dir[160];
    assert_non_null(w);
    w->f = fx_open();
    w->table = netctl_tree_make(7);
    (void)snprintf(w->state, sizeof(w->state), "%s/state", w->f->dir);
    (void)snprintf(dir, sizeof(dir), "%s/node", w->f->dir);
    fx_ok(ca_issue_agent(w->f->ca, "nic3x", dir, ca_validity_days(1), &why), &why);
    for (unsigned i = 0; i < CONTROLLERS; i++) {
        struct south_server_config c = {
            .loop = &w->f->loop,
            .dir = w->f->tls_dir[i + 1],
            .limits = {16, 16},
            .on_effect = on_effect,
            .arg = w,
        };
        char address[CFG_ADDR_MAX];
        fx_address(address, 0, i + 1);
        struct sockaddr_storage at;
        fx_ok(net_address(address, 0, &at), NULL);
        fx_ok(south_server_open(&w->server[i], &c, &why), &why);
        fx_ok(south_server_listen(w->server[i], &at, &why), &why);
    }
    return w;
}

static void close_world(struct world *w)
{
    char dir[160];
    for (unsigned i = 0; i < CONTROLLERS; i++) {
        if (w->server[i] != NULL) {
            south_server_close(w->server[i]);
        }
    }
    netctl_tree_free(&w->table);
    (void)snprintf(dir, sizeof(dir), "%s/node", w->f->dir);
    fx_ok(ts_dir_remove(dir, NULL), NULL);
    fx_ok(ts_dir_remove(w->state, NULL), NULL);
    fx_close(w->f);
    free(w);
}

static bool is_acked(void *arg)
{
    const struct world *w = arg;
    return w->acked.v == w->awaited.v;
}

static void until_acked(struct world *w, uint64_t gen)
{
    w->awaited.v = gen;
    fx_until(w->f, is_acked, w);
}

static bool is_refused(void *arg)
{
    const struct world *w = arg;
    return agent_core_state(agent_core_of(w->agent)).refused > 0;
}

static bool is_restored(void *arg)
{
    const struct world *w = arg;
    /* The driver is another thread's while it works. */
    return !agent_core_state(agent_core_of(w->agent)).busy &&
           ts_hash_eq(agent_model_table(w->driver)->digest, w->table.digest);
}

static void fill(struct world *w)
{
    static char value[30000];
    memset(value, 'x', sizeof(value) - 1);
    put(w, "segment/5001", "{\"mtu\":1450,\"name\":\"web\"}");
    put(w, "flood/5001/192.0.2.9", "true");
    for (unsigned i = 0; i < 40; i++) { /* a whole table of many parts */
        char key[32];
        (void)snprintf(key, sizeof(key), "unknown/%u", i);
        put(w, key, value);
    }
}

/* The whole way of a table, over a failover, with a former primary that goes on. */
static void test_south_failover_newest_table_is_done(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct south_node_state s;
    fill(w);
    give_role(w, 0, 3, true);
    give_role(w, 1, 3, false);
    give_table(w, 0, 10);
    start_agent(w);
    until_acked(w, 10);
    assert_int_equal(w->told, 1);
    assert_true(south_node(south_server_core(w->server[0]), "nic3x", &s));
    assert_int_equal(s.errors, 40);
    assert_int_equal(s.syncs, 1);
    assert_non_null(south_error(south_server_core(w->server[0]), "nic3x", "unknown/7").data);

    /* Changes: as such. */
    (void)netctl_tree_remove(&w->table, "unknown/7");
    put(w, "flood/5001/192.0.2.10", "true");
    give_table(w, 0, 11);
    give_table(w, 1, 10);
    until_acked(w, 11);
    assert_true(south_node(south_server_core(w->server[0]), "nic3x", &s));
    assert_int_equal(s.deltas, 1);
    assert_int_equal(s.errors, 39);
    assert_true(ts_hash_eq(agent_model_table(w->driver)->digest, w->table.digest));

    /* The other one serves; the first one does not know it yet. */
    give_role(w, 1, 4, true);
    put(w, "flood/5001/192.0.2.11", "true");
    give_table(w, 1, 12);
    until_acked(w, 12);
    struct ts_hash newest = w->table.digest;
    put(w, "flood/5001/192.0.2.66", "true");
    give_table(w, 0, 13);
    fx_until(w->f, is_refused, w);
    assert_int_equal(agent_core_state(agent_core_of(w->agent)).epoch.v, 4);
    assert_true(ts_hash_eq(agent_model_table(w->driver)->digest, newest));
    (void)netctl_tree_remove(&w->table, "flood/5001/192.0.2.66");
    stop_agent(w);
    close_world(w);
}

/* Without a controller a start restores what was stored, the epoch too. */
static void test_agent_start_without_controllers_restores_table(void **state)
{
    (void)state;
    struct world *w = open_world();
    fill(w);
    give_role(w, 0, 5, true);
    give_table(w, 0, 20);
    start_agent(w);
    until_acked(w, 20);
    put(w, "flood/5001/192.0.2.10", "true");
    give_table(w, 0, 21);
    until_acked(w, 21);
    stop_agent(w);
    for (unsigned i = 0; i < CONTROLLERS; i++) {
        south_server_close(w->server[i]);
        w->server[i] = NULL;
    }
    start_agent(w);
    fx_until(w->f, is_restored, w);
    struct agent_core_state s = agent_core_state(agent_core_of(w->agent));
    assert_int_equal(s.gen.v, 21);
    assert_int_equal(s.epoch.v, 5);
    assert_false(s.follows);
    stop_agent(w);
    close_world(w);
}

/* A connection with the node's files that says HELLO as somebody. */
struct stranger {
    struct agent_wire *wire;
    const char *says;
    bool down;
};

static void on_up(void *arg, unsigned slot)
{
    struct stranger *s = arg;
    uint8_t bytes[512];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    const struct south_msg hello = {
        .type = SOUTH_HELLO,
        .version = SOUTH_VERSION,
        .node = {(const uint8_t *)s->says, strlen(s->says)},
        .inventory.vtep = {(const uint8_t *)"192.0.2.1", 9},
    };
    south_msg_encode(&w, &hello);
    assert_false(w.failed);
    agent_wire_send(s->wire, slot, (struct ts_bytes){bytes, w.len});
}

static void on_down(void *arg, unsigned slot, const char *why)
{
    struct stranger *s = arg;
    (void)slot;
    (void)why;
    s->down = true;
}

static void on_message(void *arg, unsigned slot, struct ts_bytes body)
{
    (void)arg;
    (void)slot;
    (void)body;
    fail_msg("%s", "the controller answers it");
}

static void expect_refused(struct world *w, const char *says)
{
    char file[3][200];
    static const char *const NAMES[] = {"ca.pem", "node.pem", "node.key"};
    struct ts_why why = {.text = ""};
    struct stranger s = {.says = says};
    struct net_tls_trust *trust = NULL;
    struct net_tls_identity self;
    struct agent_wire_config c = {.loop = &w->f->loop,
                                  .names = 1,
                                  .name = {"nic1"},
                                  .on_up = on_up,
                                  .on_down = on_down,
                                  .on_message = on_message,
                                  .arg = &s};
    char address[CFG_ADDR_MAX];
    struct sockaddr_storage to;
    struct south_node_state state;
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(file[i], sizeof(file[i]), "%s/node/%s", w->f->dir, NAMES[i]);
    }
    fx_ok(net_tls_trust_open(&trust, file[0], &why), &why);
    fx_ok(net_tls_trust_show(trust, file[1], file[2], &self, &why), &why);
    c.trust = trust;
    fx_address(address, 0, 1);
    fx_ok(net_address(address, south_server_port(w->server[0]), &to), NULL);
    s.wire = agent_wire_open(&c);
    agent_wire_dial(s.wire, 0, &to);
    fx_until(w->f, fx_true, &s.down);
    assert_false(south_node(south_server_core(w->server[0]), says, &state));
    agent_wire_close(s.wire);
    net_tls_trust_close(trust);
}

/* The agents' port takes agents alone, each by its own name; an agent that has another one's
 * certificate, or a node's, says so and ends. */
static void test_south_refuses_all_but_the_node_itself(void **state)
{
    (void)state;
    struct world *w = open_world();
    char dir[160];
    struct ts_why why = {.text = ""};
    (void)snprintf(dir, sizeof(dir), "%s/node", w->f->dir);
    give_role(w, 0, 3, true);
    expect_refused(w, "nic4x");
    fx_ok(ca_issue_agent(w->f->ca, "nic4x", dir, ca_validity_days(1), &why), &why);
    expect_refused(w, "nic3x");
    assert_int_equal(try_agent(w, &why), TS_ERR_AUTH);
    assert_non_null(strstr(why.text, "is of the agent of nic4x"));
    agent_close(w->driver);
    fx_ok(ca_issue(w->f->ca, "nic3x", dir, NULL, ca_validity_days(1), &why), &why);
    expect_refused(w, "nic3x");
    assert_int_equal(try_agent(w, &why), TS_ERR_AUTH);
    assert_non_null(strstr(why.text, "is of the node nic3x"));
    assert_non_null(strstr(why.text, "ca issue --agent nic3x"));
    agent_close(w->driver);
    close_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_south_failover_newest_table_is_done),
        cmocka_unit_test(test_agent_start_without_controllers_restores_table),
        cmocka_unit_test(test_south_refuses_all_but_the_node_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
