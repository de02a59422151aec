/* The southbound protocol, where a simulation does not look: bytes and their bounds, back-pressure,
 * who may say what, an agent that has lost its epoch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/agent/core.h"
#include "services/netctl/south.h"

#define TEXT(s) ((struct ts_bytes){(const uint8_t *)(s), strlen(s)})

/* ---- bytes ---- */

static size_t encode(uint8_t *room, size_t cap, const struct south_msg *m)
{
    struct ts_writer w = ts_writer_init(room, cap);
    south_msg_encode(&w, m);
    assert_false(w.failed);
    return w.len;
}

static struct ts_bytes body_of(const uint8_t *frame, size_t len)
{
    struct ts_bytes body = {NULL, 0};
    size_t used = 0;
    assert_int_equal(south_frame_next((struct ts_bytes){frame, len}, &body, &used), TS_OK);
    assert_int_equal(used, len);
    return body;
}

/* Every shorter piece of a frame waits for more; a length beyond the bounds does not. */
static void test_south_frame_next_bounds_are_kept(void **state)
{
    (void)state;
    uint8_t room[256];
    struct ts_bytes body;
    size_t used;
    size_t len = encode(room, sizeof(room), &(struct south_msg){SOUTH_PING, .number = 7});
    for (size_t n = 0; n < len; n++) {
        assert_int_equal(south_frame_next((struct ts_bytes){room, n}, &body, &used), TS_ERR_SHORT);
    }
    (void)body_of(room, len);
    const uint8_t much[4] = {1, 0, 16, 0};
    assert_int_equal(south_frame_next((struct ts_bytes){much, 4}, &body, &used), TS_ERR_LIMIT);
    const uint8_t little[4] = {8, 0, 0, 0};
    assert_int_equal(south_frame_next((struct ts_bytes){little, 4}, &body, &used),
                     TS_ERR_MALFORMED);
}

/* Names out of order, a bad node, an empty error, an item that goes in a whole table: refused. */
static void test_south_msg_decode_lies_are_refused(void **state)
{
    (void)state;
    uint8_t room[1024];
    uint8_t list[256];
    struct south_msg m;
    struct ts_writer w = ts_writer_init(list, sizeof(list));
    south_name_put(&w, "vm2");
    south_name_put(&w, "vm1");
    struct south_msg hello = {SOUTH_HELLO, .version = SOUTH_VERSION, .node = TEXT("n1")};
    hello.inventory = (struct south_inventory){.vifs = 2, .vif = {list, w.len}};
    size_t len = encode(room, sizeof(room), &hello);
    assert_int_equal(south_msg_decode(&m, body_of(room, len)), TS_ERR_MALFORMED);
    hello.inventory = (struct south_inventory){.vifs = 0};
    len = encode(room, sizeof(room), &hello);
    assert_int_equal(south_msg_decode(&m, body_of(room, len)), TS_OK);
    hello.node = TEXT("../n1");
    len = encode(room, sizeof(room), &hello);
    assert_int_equal(south_msg_decode(&m, body_of(room, len)), TS_ERR_MALFORMED);
    hello.node = TEXT("n1");
    hello.version = 2;
    len = encode(room, sizeof(room), &hello);
    assert_int_equal(south_msg_decode(&m, body_of(room, len)), TS_ERR_VERSION);
    assert_int_equal(m.version, 2);

    w = ts_writer_init(list, sizeof(list));
    south_item_put(&w, &(struct south_item){TEXT("a"), {NULL, 0}});
    struct south_msg part = {SOUTH_SYNC_PART, .items = 1, .item = {list, w.len}};
    len = encode(room, sizeof(room), &part);
    assert_int_equal(south_msg_decode(&m, body_of(room, len)), TS_ERR_MALFORMED);
    part.type = SOUTH_DELTA;
    len = encode(room, sizeof(room), &part);
    assert_int_equal(south_msg_decode(&m, body_of(room, len)), TS_OK);

    w = ts_writer_init(list, sizeof(list));
    south_item_put(&w, &(struct south_item){TEXT("a"), TEXT("")});
    struct south_msg ack = {SOUTH_ACK, .items = 1, .item = {list, w.len}};
    len = encode(room, sizeof(room), &ack);
    assert_int_equal(south_msg_decode(&m, body_of(room, len)), TS_ERR_MALFORMED);
}

/* ---- the controller's part ---- */

struct controller {
    struct south *south;
    struct south_effects out;
    struct netctl_tree table;
};

static void tell(struct controller *c, const struct south_msg *m)
{
    uint8_t room[4096];
    size_t len = encode(room, sizeof(room), m);
    south_step(c->south, &(struct south_event){.kind = SOUTH_E_MESSAGE, .body = body_of(room, len)},
               &c->out);
    south_check_invariants(c->south);
}

static const struct south_effect *find_effect(const struct controller *c,
                                              enum south_effect_kind kind)
{
    for (size_t i = 0; i < c->out.count; i++) {
        if (c->out.effect[i].kind == kind) {
            return &c->out.effect[i];
        }
    }
    return NULL;
}

/* A primary with a table of so many items of so many bytes, and a connection of n1. */
static struct controller open_controller(unsigned items, size_t bytes)
{
    struct controller c = {south_new(&(struct south_limits){2, 2}), {0}, netctl_tree_make(3)};
    uint8_t *value = calloc(1, bytes + 1);
    assert_non_null(value);
    memset(value, 'x', bytes);
    for (unsigned i = 0; i < items; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "unknown/%u", i);
        netctl_tree_put(&c.table, key, (struct ts_bytes){value, bytes});
    }
    free(value);
    south_step(c.south, &(struct south_event){.kind = SOUTH_E_ROLE, .epoch = {4}, .serves = true},
               &c.out);
    south_step(
        c.south,
        &(struct south_event){.kind = SOUTH_E_TABLE, .name = "n1", .table = &c.table, .gen = {9}},
        &c.out);
    south_step(c.south, &(struct south_event){.kind = SOUTH_E_OPENED, .name = "n1"}, &c.out);
    return c;
}

static void close_controller(struct controller *c)
{
    south_free(c->south);
    south_effects_free(&c->out);
    netctl_tree_free(&c->table);
}

static const struct south_msg HELLO = {SOUTH_HELLO, .version = SOUTH_VERSION,
                                       .node = {(const uint8_t *)"n1", 2}, .boot = {1, 1}};

/* Bytes that the connection has got since the last time. */
static size_t take_sent(struct controller *c)
{
    size_t bytes = 0;
    for (size_t i = 0; i < c->out.count; i++) {
        bytes += c->out.effect[i].kind == SOUTH_SEND ? c->out.effect[i].len : 0;
    }
    south_effects_clear(&c->out);
    return bytes;
}

/* A table goes on as far as the connection takes it. */
static void test_south_step_slow_reader_gets_a_window(void **state)
{
    (void)state;
    struct controller c = open_controller(100, 60000);
    tell(&c, &HELLO);
    tell(&c, &(struct south_msg){SOUTH_ACK, .epoch = {4}, .last = true});
    size_t first = take_sent(&c);
    assert_in_range(first, SOUTH_WINDOW, SOUTH_WINDOW + 300000);
    size_t all = 0;
    while (first > 0) {
        all += first;
        south_step(c.south, &(struct south_event){.kind = SOUTH_E_SENT, .bytes = first}, &c.out);
        first = take_sent(&c);
    }
    assert_in_range(all, 100 * 60000, 100 * 60000 + 20000);
    close_controller(&c);
}

/* An item that no message can carry is left out, and told as not realized. */
static void test_south_step_item_too_long_is_an_error(void **state)
{
    (void)state;
    struct controller c = open_controller(2, 100);
    struct south_node_state s;
    uint8_t *value = calloc(1, SOUTH_VALUE_MAX + 1);
    assert_non_null(value);
    netctl_tree_put(&c.table, "rule/1", (struct ts_bytes){value, SOUTH_VALUE_MAX + 1});
    free(value);
    south_step(
        c.south,
        &(struct south_event){.kind = SOUTH_E_TABLE, .name = "n1", .table = &c.table, .gen = {10}},
        &c.out);
    assert_non_null(south_error(c.south, "n1", "rule/1").data);
    assert_true(south_node(c.south, "n1", &s));
    assert_int_equal(s.errors, 1);
    (void)netctl_tree_remove(&c.table, "rule/1");
    south_step(
        c.south,
        &(struct south_event){.kind = SOUTH_E_TABLE, .name = "n1", .table = &c.table, .gen = {11}},
        &c.out);
    assert_null(south_error(c.south, "n1", "rule/1").data);
    close_controller(&c);
}

/* What a node cannot do, and what it was never told, are given in one order. */
static void test_south_next_error_gives_all_in_order(void **state)
{
    (void)state;
    static const char *const KEYS[] = {"port/1", "rule/1", "unknown/7"};
    struct controller c = open_controller(2, 100);
    uint8_t list[200];
    uint8_t *value = calloc(1, SOUTH_VALUE_MAX + 1);
    assert_non_null(value);
    assert_null(south_next_error(c.south, "n1", "").key);
    assert_null(south_next_error(c.south, "n2", "").key);
    netctl_tree_put(&c.table, "rule/1", (struct ts_bytes){value, SOUTH_VALUE_MAX + 1});
    free(value);
    south_step(
        c.south,
        &(struct south_event){.kind = SOUTH_E_TABLE, .name = "n1", .table = &c.table, .gen = {10}},
        &c.out);
    struct ts_writer w = ts_writer_init(list, sizeof(list));
    south_item_put(&w, &(struct south_item){TEXT("port/1"), TEXT("no interface")});
    south_item_put(&w, &(struct south_item){TEXT("unknown/7"), TEXT("not known")});
    tell(&c, &HELLO);
    tell(&c, &(struct south_msg){SOUTH_ACK, .epoch = {4}, .last = true, .items = 2,
                                 .item = {list, w.len}});
    struct netctl_item i = {"", {NULL, 0}};
    for (size_t n = 0; n < 3; n++) {
        i = south_next_error(c.south, "n1", i.key);
        assert_non_null(i.key);
        assert_string_equal(i.key, KEYS[n]);
        assert_true(i.value.len > 0);
    }
    assert_null(south_next_error(c.south, "n1", i.key).key);
    close_controller(&c);
}

/* A connection says HELLO first, once, and in the name of its certificate. */
static void test_south_step_foreign_name_is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct controller c = open_controller(1, 10);
        struct south_msg hello = HELLO;
        if (i == 0) {
            hello.node = TEXT("n2");
        } else if (i == 1) {
            hello = (struct south_msg){SOUTH_PING, .number = 1};
        } else {
            tell(&c, &hello);
            assert_null(find_effect(&c, SOUTH_CLOSE));
        }
        tell(&c, &hello);
        assert_non_null(find_effect(&c, SOUTH_CLOSE));
        assert_int_equal(south_connected(c.south), 0);
        close_controller(&c);
    }
}

/* Of two connections of a node the newer one is served, and the older one when that has ended. */
static void test_south_step_second_connection_is_served(void **state)
{
    (void)state;
    struct controller c = open_controller(1, 10);
    struct south_node_state s;
    uint8_t room[256];
    tell(&c, &HELLO);
    tell(&c, &(struct south_msg){SOUTH_ACK, .epoch = {4}, .last = true});
    assert_true(south_node(c.south, "n1", &s));
    assert_true(s.under_way);
    size_t len = encode(room, sizeof(room), &HELLO);
    south_step(c.south,
               &(struct south_event){.kind = SOUTH_E_OPENED, .connection = 1, .name = "n1"},
               &c.out);
    south_effects_clear(&c.out);
    south_step(
        c.south,
        &(struct south_event){.kind = SOUTH_E_MESSAGE, .connection = 1, .body = body_of(room, len)},
        &c.out);
    south_check_invariants(c.south);
    assert_null(find_effect(&c, SOUTH_CLOSE));
    bool serves[2] = {true, false};
    for (size_t i = 0; i < c.out.count; i++) {
        const struct south_effect *e = &c.out.effect[i];
        struct south_msg m;
        if (e->kind == SOUTH_SEND) {
            struct ts_bytes frame = south_effect_bytes(&c.out, e);
            assert_int_equal(south_msg_decode(&m, body_of(frame.data, frame.len)), TS_OK);
            assert_int_equal(m.type, SOUTH_ROLE);
            serves[e->connection] = m.serves;
        }
    }
    assert_false(serves[0]);
    assert_true(serves[1]);
    tell(&c, &(struct south_msg){SOUTH_ACK, .epoch = {4}, .last = true});
    assert_true(south_node(c.south, "n1", &s));
    assert_false(s.under_way);
    south_step(c.south, &(struct south_event){.kind = SOUTH_E_CLOSED, .connection = 1}, &c.out);
    south_check_invariants(c.south);
    tell(&c, &(struct south_msg){SOUTH_ACK, .epoch = {4}, .last = true});
    assert_true(south_node(c.south, "n1", &s));
    assert_true(s.connected && s.under_way);
    close_controller(&c);
}

/* Who has lost its office ends all connections; what comes on them then is nobody's. */
static void test_south_step_lost_office_ends_connections(void **state)
{
    (void)state;
    struct controller c = open_controller(1, 10);
    tell(&c, &HELLO);
    assert_non_null(find_effect(&c, SOUTH_TELLS));
    south_effects_clear(&c.out);
    south_step(c.south, &(struct south_event){.kind = SOUTH_E_ROLE, .epoch = {5}}, &c.out);
    assert_non_null(find_effect(&c, SOUTH_CLOSE));
    assert_int_equal(south_connected(c.south), 0);
    close_controller(&c);
}

/* A node that knows a higher epoch says so; a damaged store is worth an alarm. */
static void test_south_step_higher_epoch_is_told(void **state)
{
    (void)state;
    struct controller c = open_controller(1, 10);
    struct south_msg hello = HELLO;
    hello.epoch.v = 5;
    hello.epoch_lost = true;
    tell(&c, &hello);
    const struct south_effect *e = find_effect(&c, SOUTH_OUTDATED);
    assert_non_null(e);
    assert_int_equal(e->epoch.v, 5);
    assert_string_equal(e->name, "n1");
    assert_non_null(find_effect(&c, SOUTH_LOST_EPOCH));
    close_controller(&c);
}

/* ---- the agent's part ---- */

struct node {
    struct agent_core *core;
    struct agent_effects out;
};

static struct node open_node(bool epoch_lost)
{
    struct agent_stored stored = {
        .epoch = {3}, .epoch_lost = epoch_lost, .table = netctl_tree_make(0)};
    struct agent_core_config config = {.node = "n1", .slots = 2, .address = {"a:1", "b:2"}};
    struct node n = {agent_core_new(&config, &stored, (struct ts_mono){0}), {0}};
    agent_core_step(n.core, &(struct agent_event){.kind = AGENT_E_TIME}, &n.out);
    for (unsigned i = 0; i < 2; i++) {
        agent_core_step(n.core, &(struct agent_event){.kind = AGENT_E_UP, .slot = i}, &n.out);
    }
    return n;
}

static void role(struct node *n, unsigned slot, uint64_t epoch, bool serves, uint64_t now)
{
    uint8_t room[256];
    size_t len = encode(room, sizeof(room),
                        &(struct south_msg){SOUTH_ROLE, .epoch = {epoch}, .serves = serves});
    struct agent_event e = {.kind = AGENT_E_MESSAGE, .slot = slot, .body = body_of(room, len)};
    e.now.ns = now;
    agent_core_step(n->core, &e, &n->out);
    agent_core_check_invariants(n->core);
}

static bool stores_epoch(const struct node *n, uint64_t epoch)
{
    for (size_t i = 0; i < n->out.count; i++) {
        if (n->out.effect[i].kind == AGENT_STORE_EPOCH) {
            return n->out.effect[i].epoch.v == epoch;
        }
    }
    return false;
}

static void close_node(struct node *n)
{
    agent_core_free(n->core);
    agent_effects_free(&n->out);
}

/* Who knows the highest epoch follows whom it hears; who has lost it listens to all first, … */
static void test_agent_core_lost_epoch_listens_to_all(void **state)
{
    (void)state;
    struct node n = open_node(false);
    role(&n, 0, 3, true, 1);
    assert_true(agent_core_state(n.core).follows);
    close_node(&n);

    n = open_node(true);
    role(&n, 0, 4, true, 1); /* a former primary, and nobody knows */
    assert_false(agent_core_state(n.core).follows);
    role(&n, 1, 6, true, 2);
    assert_true(agent_core_state(n.core).follows);
    assert_int_equal(agent_core_state(n.core).slot, 1);
    assert_true(stores_epoch(&n, 6));
    close_node(&n);
}

/* … or for a while. */
static void test_agent_core_lost_epoch_listens_for_a_while(void **state)
{
    (void)state;
    struct node n = open_node(true);
    role(&n, 0, 4, true, 1);
    assert_false(agent_core_state(n.core).follows);
    role(&n, 0, 4, true, AGENT_SETTLE_NS);
    assert_true(agent_core_state(n.core).follows);
    assert_true(stores_epoch(&n, 4));
    close_node(&n);
}

/* A lower epoch is not followed, whoever says it; a table of it ends the connection. */
static void test_agent_core_lower_epoch_is_refused(void **state)
{
    (void)state;
    struct node n = open_node(false);
    uint8_t room[256];
    role(&n, 0, 2, true, 1);
    assert_false(agent_core_state(n.core).follows);
    assert_int_equal(agent_core_state(n.core).refused, 1);
    size_t len = encode(room, sizeof(room),
                        &(struct south_msg){SOUTH_SYNC_BEGIN, .epoch = {2}, .gen = {50}});
    agent_effects_clear(&n.out);
    agent_core_step(
        n.core,
        &(struct agent_event){.kind = AGENT_E_MESSAGE, .now = {2}, .body = body_of(room, len)},
        &n.out);
    bool ended = false;
    for (size_t i = 0; i < n.out.count; i++) {
        ended = ended || n.out.effect[i].kind == AGENT_HANG_UP;
    }
    assert_true(ended);
    assert_int_equal(agent_core_state(n.core).refused, 2);
    close_node(&n);
}

/* The fence is the highest epoch heard of, before it is stored. */
static void test_agent_core_may_commit_lower_order_is_refused(void **state)
{
    (void)state;
    struct node n = open_node(false);
    role(&n, 1, 8, true, 1);
    assert_int_equal(agent_core_fence(n.core).v, 8);
    assert_int_equal(agent_core_state(n.core).stored.v, 3);
    assert_false(agent_core_may_commit((struct ts_epoch){7}, agent_core_fence(n.core)));
    assert_true(agent_core_may_commit((struct ts_epoch){8}, agent_core_fence(n.core)));
    assert_true(agent_core_may_commit((struct ts_epoch){0}, agent_core_fence(n.core)));
    close_node(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_south_frame_next_bounds_are_kept),
        cmocka_unit_test(test_south_msg_decode_lies_are_refused),
        cmocka_unit_test(test_south_step_slow_reader_gets_a_window),
        cmocka_unit_test(test_south_step_item_too_long_is_an_error),
        cmocka_unit_test(test_south_next_error_gives_all_in_order),
        cmocka_unit_test(test_south_step_foreign_name_is_refused),
        cmocka_unit_test(test_south_step_second_connection_is_served),
        cmocka_unit_test(test_south_step_lost_office_ends_connections),
        cmocka_unit_test(test_south_step_higher_epoch_is_told),
        cmocka_unit_test(test_agent_core_lost_epoch_listens_to_all),
        cmocka_unit_test(test_agent_core_lost_epoch_listens_for_a_while),
        cmocka_unit_test(test_agent_core_lower_epoch_is_refused),
        cmocka_unit_test(test_agent_core_may_commit_lower_order_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
