/* What is to be done follows from what there is and what is wanted: what comes, what changes, then
 * what goes, links first and last; and a changed rule changes its block of rules alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/agent/model.h"
#include "services/agent/ruleset.h"

static const struct agent_address VTEP = {4, 32, {192, 0, 2, 1}};

static void put(struct netctl_tree *t, const char *key, const char *value)
{
    netctl_tree_put(t, key, (struct ts_bytes){(const uint8_t *)value, strlen(value)});
}

static void put_network(struct netctl_tree *t)
{
    put(t, "segment/5001",
        "{\"gateway\":[\"10.1.0.1/24\"],\"mac\":\"02:ff:00:00:00:01\",\"mtu\":1500,\"router\":7}");
    put(t, "router/7", "{\"path\":\"/r\"}");
    put(t, "flood/5001/192.0.2.2", "true");
    put(t, "remote/5001/02:00:00:00:00:06", "{\"ips\":[\"10.1.0.6\"],\"vtep\":\"192.0.2.2\"}");
    put(t, "port/17",
        "{\"guard\":true,\"ips\":[\"10.1.0.5\"],\"mac\":\"02:00:00:00:00:05\",\"segment\":5001,"
        "\"vif\":\"vm1\"}");
    put(t, "ports/all/17", "true");
}

static struct agent_objects objects_of(const struct netctl_tree *t)
{
    const struct agent_interface here = {"eth5", 5, AGENT_ALIAS_VIF "vm1"};
    const struct agent_place place = {VTEP, 4789, &here, 1, t, false, 0};
    struct agent_item *item = malloc(sizeof(*item));
    struct agent_objects objects = {0};
    struct netctl_item i = {NULL, {NULL, 0}};
    assert_non_null(item);
    while (netctl_tree_next(t, "", &i)) {
        struct agent_error error;
        assert_int_equal(agent_item_decode(item, i.key, i.value, &error), TS_OK);
        assert_int_equal(agent_objects_of_item(&objects, item, i.key, &place, &error), TS_OK);
    }
    agent_objects_sort(&objects, NULL, NULL);
    free(item);
    return objects;
}

static void test_plan_from_nothing_adds_in_order(void **state)
{
    (void)state;
    struct netctl_tree t = netctl_tree_make(1);
    size_t count = 0;
    put_network(&t);
    struct agent_objects none = {0};
    struct agent_objects all = objects_of(&t);
    struct agent_op *ops = agent_objects_plan(&none, &all, &count);
    assert_int_equal(count, all.count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ops[i].kind, AGENT_ADD);
        assert_true(i == 0 || ops[i - 1].is->key.kind <= ops[i].is->key.kind);
    }
    assert_int_equal(ops[0].is->key.kind, AGENT_O_BRIDGE);
    free(ops);
    ops = agent_objects_plan(&all, &none, &count);
    for (size_t i = 1; i < count; i++) {
        assert_int_equal(ops[i].kind, AGENT_REMOVE);
        assert_true(ops[i - 1].was->key.kind >= ops[i].was->key.kind);
    }
    free(ops);
    agent_objects_free(&all);
    netctl_tree_free(&t);
}

static void test_plan_same_does_nothing(void **state)
{
    (void)state;
    struct netctl_tree t = netctl_tree_make(1);
    size_t count = 1;
    put_network(&t);
    struct agent_objects a = objects_of(&t);
    struct agent_objects b = objects_of(&t);
    struct agent_op *ops = agent_objects_plan(&a, &b, &count);
    assert_int_equal(count, 0);
    free(ops);
    agent_objects_free(&a);
    agent_objects_free(&b);
    netctl_tree_free(&t);
}

/* A port that comes here from another node: its entries change before the tunnel's go. */
static void test_plan_moved_port_removes_last(void **state)
{
    (void)state;
    struct netctl_tree t = netctl_tree_make(1);
    size_t count = 0;
    put_network(&t);
    (void)netctl_tree_remove(&t, "port/17");
    put(&t, "remote/5001/02:00:00:00:00:05", "{\"ips\":[\"10.1.0.5\"],\"vtep\":\"192.0.2.2\"}");
    struct agent_objects was = objects_of(&t);
    (void)netctl_tree_remove(&t, "remote/5001/02:00:00:00:00:05");
    put_network(&t);
    struct agent_objects is = objects_of(&t);
    struct agent_op *ops = agent_objects_plan(&was, &is, &count);
    assert_int_equal(count, 4); /* member and entry come, entry and tunnel's go */
    assert_int_equal(ops[0].kind, AGENT_ADD);
    assert_int_equal(ops[1].kind, AGENT_ADD);
    assert_int_equal(ops[2].kind, AGENT_REMOVE);
    assert_int_equal(ops[3].kind, AGENT_REMOVE);
    free(ops);
    agent_objects_free(&was);
    agent_objects_free(&is);
    netctl_tree_free(&t);
}

static const char *twice;

static void hear(void *arg, const char *key, const char *error)
{
    (void)arg;
    assert_non_null(error);
    twice = key;
}

static void test_sort_wanted_twice_names_the_second(void **state)
{
    (void)state;
    struct agent_objects o = {0};
    struct agent_object one;
    memset(&one, 0, sizeof(one));
    one.key.kind = AGENT_O_NEIGHBOUR;
    one.item = "remote/2";
    one.value.mac.bytes[5] = 2;
    agent_objects_add(&o, &one);
    one.item = "remote/1";
    one.value.mac.bytes[5] = 1;
    agent_objects_add(&o, &one);
    agent_objects_sort(&o, hear, NULL);
    assert_int_equal(o.count, 1);
    assert_string_equal(twice, "remote/2");
    agent_objects_free(&o);
}

/* ---- rules ---- */

static void put_rule(struct netctl_tree *t, unsigned order, const char *service)
{
    char key[32];
    char value[256];
    (void)snprintf(key, sizeof(key), "rule/%020u", order);
    (void)snprintf(value, sizeof(value),
                   "{\"action\":\"ALLOW\",\"direction\":\"IN_OUT\",\"id\":%u,\"stateful\":true,"
                   "\"services\":[{\"protocol\":6,\"destination\":[\"%s\"]}]}",
                   order, service);
    put(t, key, value);
}

static void count_change(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    (void)key;
    (void)was;
    (void)is;
    ++*(size_t *)arg;
}

static void no_result(void *arg, const char *key, const char *error)
{
    (void)arg;
    (void)key;
    (void)error;
}

static void test_block_one_changed_rule_changes_one_block(void **state)
{
    (void)state;
    const struct agent_caller caller = {.result = no_result};
    struct netctl_tree t = netctl_tree_make(1);
    struct agent_driver *d = agent_model_new(&VTEP);
    size_t changes = 0;
    put_network(&t);
    for (unsigned i = 1; i <= 2000; i++) {
        put_rule(&t, i * 10, "80");
    }
    assert_int_equal(agent_reconcile(d, &t, true, &caller), TS_OK);
    struct netctl_tree before = agent_model_state(d);
    put_rule(&t, 9990, "81");
    assert_int_equal(agent_reconcile(d, &t, true, &caller), TS_OK);
    struct netctl_tree after = agent_model_state(d);
    netctl_tree_diff(&before, &after, count_change, &changes);
    assert_int_equal(changes, 2); /* the block, for each direction */
    netctl_tree_free(&before);
    netctl_tree_free(&after);
    netctl_tree_free(&t);
    agent_close(d);
}

/* Told of changes or of the whole: the state is the same. */
static void test_model_changes_equal_the_whole(void **state)
{
    (void)state;
    const struct agent_caller caller = {.result = no_result};
    struct netctl_tree t = netctl_tree_make(0);
    struct agent_driver *whole = agent_model_new(&VTEP);
    struct agent_driver *step = agent_model_new(&VTEP);
    assert_int_equal(agent_reconcile(step, &t, true, &caller), TS_OK);
    put_network(&t);
    for (unsigned i = 1; i <= 100; i++) {
        put_rule(&t, i * 7, "443");
    }
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(&t, "", &i)) {
        const struct agent_change c = {i.key, {NULL, 0}, i.value};
        assert_int_equal(agent_apply(step, &c, 1, &caller), TS_OK);
    }
    assert_int_equal(agent_reconcile(whole, &t, true, &caller), TS_OK);
    struct netctl_tree a = agent_model_state(whole);
    struct netctl_tree b = agent_model_state(step);
    assert_memory_equal(&a.digest, &b.digest, sizeof(a.digest));
    netctl_tree_free(&a);
    netctl_tree_free(&b);
    netctl_tree_free(&t);
    agent_close(whole);
    agent_close(step);
}

static bool has(const struct netctl_tree *state, const char *key, const char *words)
{
    char text[4096];
    struct ts_bytes value = netctl_tree_get(state, key);
    (void)snprintf(text, sizeof(text), "%.*s", (int)value.len,
                   value.data == NULL ? "" : (const char *)value.data);
    return value.data != NULL && strstr(text, words) != NULL;
}

/* Goal: a gateway's rules are lists of its router's uplink, a direction each, in their order. */
static void test_gateway_rules_are_lists_of_the_uplink(void **state)
{
    (void)state;
    const struct agent_caller caller = {.result = no_result};
    struct netctl_tree t = netctl_tree_make(1);
    struct agent_driver *d = agent_model_new(&VTEP);
    put_network(&t);
    put(&t, "gateway-rule/7/00000000000000000010",
        "{\"action\":\"ALLOW\",\"direction\":\"IN\",\"gateway\":\"/"
        "r\",\"id\":1,\"stateful\":true}");
    put(&t, "gateway-rule/7/00000000000000000020",
        "{\"action\":\"DROP\",\"direction\":\"IN_OUT\",\"gateway\":\"/r\",\"id\":2}");
    assert_int_equal(agent_reconcile(d, &t, true, &caller), TS_OK);
    struct netctl_tree s = agent_model_state(d);
    assert_false(has(&s, "n/gi_7", "")); /* its router has no uplink */
    netctl_tree_free(&s);
    put(&t, "uplink/7", "{\"addresses\":[\"198.51.100.1/24\"],\"interface\":\"up\"}");
    assert_int_equal(agent_reconcile(d, &t, true, &caller), TS_OK);
    s = agent_model_state(d);
    assert_true(has(&s, "n/gi_7", "1\t@C@ meta mark set meta mark | 0x80000000 accept\n2\t"));
    assert_true(has(&s, "n/go_7", "2\t@C@ ct mark set 0 drop\n"));
    assert_false(has(&s, "n/go_7", "1\t"));
    assert_true(has(&s, "n/gw_in", "iifname \"u7\" jump gi_7"));
    assert_true(has(&s, "n/gw_out", "oifname \"u7\" jump go_7"));
    netctl_tree_free(&s);
    netctl_tree_free(&t);
    agent_close(d);
}

/* Goal: DETECT marks the connection, and what is marked is copied behind all rules. */
static void test_detect_copies_connections_to_the_group(void **state)
{
    (void)state;
    const struct agent_caller caller = {.result = no_result};
    struct netctl_tree t = netctl_tree_make(1);
    struct agent_driver *d = agent_model_new(&VTEP);
    put_network(&t);
    put(&t, "uplink/7", "{\"addresses\":[\"198.51.100.1/24\"],\"interface\":\"up\"}");
    put(&t, "rule/00000000000000000010",
        "{\"action\":\"DETECT\",\"direction\":\"OUT\",\"id\":1,\"stateful\":true}");
    assert_int_equal(agent_reconcile(d, &t, true, &caller), TS_OK);
    struct netctl_tree s = agent_model_state(d);
    assert_true(has(&s, "n/o_00000000000000000000",
                    "1\t@C@ ct mark set ct mark | 0x20000000 meta mark set meta mark | 0x40000000 "
                    "accept\n"));
    static const char COPIES[] = "0\tct mark & 0x20000000 != 0 jump detect\n";
    assert_true(has(&s, "n/fw_end", COPIES));
    assert_true(has(&s, "n/gw_end", COPIES));
    assert_true(has(&s, "n/detect", "0\tlog group 84\n"));
    assert_true(
        has(&s, "n/fw_begin", "ct mark & 0x1fffffff != @G@ ct mark set ct mark & 0xdfffffff"));
    netctl_tree_free(&s);
    netctl_tree_free(&t);
    agent_close(d);
}

/* Goal: a route by the uplink leads out of the interface that the router's uplink is. */
static void test_route_by_the_uplink_is_of_its_interface(void **state)
{
    (void)state;
    const struct agent_caller caller = {.result = no_result};
    struct netctl_tree t = netctl_tree_make(1);
    struct agent_driver *d = agent_model_new(&VTEP);
    static const char ROUTE[] = "route to 0.0.0.0/0 table 1409286151 via 198.51.100.2/32 dev u7";
    put_network(&t);
    put(&t, "route/7/0.0.0.0/0", "{\"uplink\":true,\"via\":\"198.51.100.2\"}");
    assert_int_equal(agent_reconcile(d, &t, true, &caller), TS_OK);
    struct netctl_tree s = agent_model_state(d);
    assert_null(netctl_tree_get(&s, ROUTE).data);
    netctl_tree_free(&s);
    put(&t, "uplink/7", "{\"addresses\":[\"198.51.100.1/24\"],\"interface\":\"up\"}");
    assert_int_equal(agent_reconcile(d, &t, true, &caller), TS_OK);
    s = agent_model_state(d);
    assert_non_null(netctl_tree_get(&s, ROUTE).data);
    netctl_tree_free(&s);
    netctl_tree_free(&t);
    agent_close(d);
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static void test_model_caller_says_no_changes_nothing(void **state)
{
    (void)state;
    const struct agent_caller caller = {.result = no_result, .may_commit = never};
    struct netctl_tree t = netctl_tree_make(0);
    struct agent_driver *d = agent_model_new(&VTEP);
    put_network(&t);
    assert_int_equal(agent_reconcile(d, &t, true, &caller), TS_ERR_REFUSED);
    const struct agent_change c = {"router/7", {NULL, 0}, {(const uint8_t *)"{}", 2}};
    assert_int_equal(agent_apply(d, &c, 1, &caller), TS_ERR_REFUSED);
    assert_int_equal(agent_model_table(d)->count, 0);
    netctl_tree_free(&t);
    agent_close(d);
}

static void test_rule_lines_too_many_is_an_error(void **state)
{
    (void)state;
    struct agent_rule *r = calloc(1, sizeof(*r));
    struct agent_text t = {0};
    struct agent_error error;
    assert_non_null(r);
    r->ports.any = true;
    r->sources.count = r->destinations.count = 30;
    assert_int_equal(agent_rule_lines(r, true, &t, &error), TS_ERR_LIMIT);
    assert_int_equal(t.len, 0);
    r->sources.negated = true;
    assert_int_equal(agent_rule_lines(r, true, &t, &error), TS_OK);
    agent_text_free(&t);
    free(r);
}

static void test_set_cover_leaves_out_covered(void **state)
{
    (void)state;
    struct netctl_tree t = netctl_tree_make(1);
    size_t count = 0;
    put(&t, "set/a/10.0.0.0/8", "true");
    put(&t, "set/a/10.1.0.0/16", "true");
    put(&t, "set/a/11.0.0.1/32", "true");
    put(&t, "set/a/fd00::/8", "true");
    put(&t, "set/ab/12.0.0.0/8", "true");
    struct agent_address *list = agent_set_cover(&t, "a", 4, &count);
    assert_int_equal(count, 2);
    assert_int_equal(list[0].bits, 8);
    free(list);
    netctl_tree_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_from_nothing_adds_in_order),
        cmocka_unit_test(test_plan_same_does_nothing),
        cmocka_unit_test(test_plan_moved_port_removes_last),
        cmocka_unit_test(test_sort_wanted_twice_names_the_second),
        cmocka_unit_test(test_block_one_changed_rule_changes_one_block),
        cmocka_unit_test(test_model_changes_equal_the_whole),
        cmocka_unit_test(test_gateway_rules_are_lists_of_the_uplink),
        cmocka_unit_test(test_route_by_the_uplink_is_of_its_interface),
        cmocka_unit_test(test_detect_copies_connections_to_the_group),
        cmocka_unit_test(test_model_caller_says_no_changes_nothing),
        cmocka_unit_test(test_rule_lines_too_many_is_an_error),
        cmocka_unit_test(test_set_cover_leaves_out_covered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
