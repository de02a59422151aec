/* Numbers of objects, places of rules, and what transport nodes tell of themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "tests/unit/netctl_fixture.h"

#define N(path) ((unsigned)netctl_number_of(&state.intent.numbers, path))

/* Goal: an object keeps its number while it lives; what is free is given again, the lowest first;
 * ids of rules are not, and they lead back to the rule. */
static void test_numbers_stay_while_their_object_lives(void **unused)
{
    (void)unused;
    char path[NETCTL_PATH_ROOM];
    must("/infra/segments/a", "{}");
    must("/infra/segments/b", "{'overlay_id': 7000}");
    must("/infra/segments/c", "{}");
    must("/infra/tier-0s/z", "{}");
    assert_int_equal(N("/infra/segments/a"), 5000);
    assert_int_equal(N("/infra/segments/b"), 7000);
    assert_int_equal(N("/infra/segments/c"), 5001);
    assert_int_equal(N("/infra/tier-0s/z"), 1);
    assert_int_equal(netctl_number_second(&state.intent.numbers, "/infra/tier-0s/z"), 5002);
    must("/infra/segments/a", "{'description': 'x'}");
    assert_int_equal(delete ("/infra/segments/a"), 200);
    assert_int_equal(N("/infra/segments/a"), 0);
    must("/infra/segments/d", "{}");
    assert_int_equal(N("/infra/segments/d"), 5000);
    must("/infra/segments/b", "{'overlay_id': 7001}");
    assert_int_equal(N("/infra/segments/b"), 7001);
    refused("/infra/segments/e", "{'overlay_id': 5001}", "/infra/segments/e", "/infra/segments/c");
    refused("/infra/segments/e", "{'overlay_id': 5002}", "/infra/segments/e", "/infra/tier-0s/z");

    must(DOMAIN "/security-policies/p", "{'rules': [{'id': 'r', 'action': 'DROP'}]}");
    assert_int_equal(N(DOMAIN "/security-policies/p/rules/r"), 1);
    assert_int_equal(delete (DOMAIN "/security-policies/p/rules/r"), 200);
    must(DOMAIN "/security-policies/p/rules/q", "{'action': 'DROP'}");
    assert_int_equal(N(DOMAIN "/security-policies/p/rules/q"), 2);
    assert_true(netctl_number_owner(&state.intent.numbers, NETCTL_N_RULE, 2, path));
    assert_string_equal(path, DOMAIN "/security-policies/p/rules/q");
    assert_false(netctl_number_owner(&state.intent.numbers, NETCTL_N_RULE, 1, path));
}

/* Goal: two segments that change their VNIs for one another in one request may. */
static void test_numbers_swapped_in_one_request(void **unused)
{
    (void)unused;
    must("/infra/segments/a", "{'overlay_id': 6000}");
    must("/infra/segments/b", "{'overlay_id': 6001}");
    refused("/infra/segments/a", "{'overlay_id': 6001}", "/infra/segments/a", "/infra/segments/b");
    assert_int_equal(patch_tree("{'resource_type':'Infra','children':["
                                "{'resource_type':'ChildSegment','Segment':"
                                "{'id':'a','overlay_id':6001}},"
                                "{'resource_type':'ChildSegment','Segment':"
                                "{'id':'b','overlay_id':6000}}]}"),
                     200);
    assert_int_equal(N("/infra/segments/a"), 6001);
    assert_int_equal(N("/infra/segments/b"), 6000);
}

static void check_order(size_t rules)
{
    const struct netctl_numbers *n = &state.intent.numbers;
    struct netctl_item item = {NULL, {NULL, 0}};
    char last[24] = "";
    assert_int_equal(n->order.count, rules);
    while (netctl_tree_next(&n->order, "", &item)) {
        assert_int_equal(item.value.len, 20);
        assert_true(memcmp(item.value.data, last, 20) > 0);
        memcpy(last, item.value.data, 20);
    }
}

/* Goal: places are in the order of category, the policy's sequence_number and path, the rule's
 * sequence_number and path, wherever rules come in: at the end, before all, in one gap again and
 * again; and when a policy moves. */
static void test_order_follows_sequence_numbers(void **unused)
{
    (void)unused;
    struct ts_prng p = ts_prng_init(5);
    char path[128];
    char body[128];
    size_t count = 0;
    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof path, DOMAIN "/security-policies/p%u", i);
        must(path, "{'category':'Application'}");
    }
    for (unsigned i = 0; i < 1500; i++) { /* each before the one before: the gap is halved */
        snprintf(path, sizeof path, DOMAIN "/security-policies/p1/rules/r%04u", i);
        snprintf(body, sizeof body, "{'action':'DROP','sequence_number':%u}",
                 i % 2 == 0 ? 1000000 - i : i);
        must(path, body);
        count++;
    }
    check_order(count);
    for (unsigned i = 0; i < 300; i++) {
        snprintf(path, sizeof path, DOMAIN "/security-policies/p%u/rules/x%u",
                 (unsigned)ts_prng_below(&p, 3), i);
        snprintf(body, sizeof body, "{'action':'DROP','sequence_number':%u}",
                 (unsigned)ts_prng_below(&p, 5));
        must(path, body);
        check_order(++count);
    }
    must(DOMAIN "/security-policies/p1", "{'sequence_number':7,'category':'Emergency'}");
    check_order(count);
    assert_true(
        netctl_number_second(&state.intent.numbers, DOMAIN "/security-policies/p1/rules/r0000") <
            netctl_number_second(&state.intent.numbers, path) ||
        strstr(path, "/p1/") != NULL);
}

/* Goal: a node's inventory is of a declared node, checked, kept sorted, and gone with the node. */
static void test_inventory_is_of_declared_nodes(void **unused)
{
    (void)unused;
    static const char *const WRONG[][2] = {
        {"{'vtep':'x'}", "vtep"},
        {"{'vtep':'127.0.0.1'}", "vtep"},
        {"{'vtep':'192.0.2.1','vifs':['a','a']}", "vifs"},
        {"{'vtep':'192.0.2.1','vifs':['']}", "vifs"},
        {"{'vtep':'192.0.2.1','uplinks':[3]}", "uplinks"},
        {"{'vtep':'192.0.2.1','colour':1}", "colour"},
    };
    assert_int_equal(tell("n1", "{'vtep':'192.0.2.1'}"), 404);
    assert_non_null(strstr(error.message, "HostTransportNode n1"));
    must(NETCTL_NODES "n1", "{'tunnel_address':'192.0.2.1'}");
    must(NETCTL_NODES "n2", "{'tunnel_address':'192.0.2.2'}");
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        assert_int_equal(tell("n1", WRONG[i][0]), 400);
        assert_non_null(strstr(error.message, WRONG[i][1]));
    }
    assert_int_equal(tell(NETCTL_NODES "n1", "{'vtep':'192.0.2.1','vifs':['b','a']}"), 200);
    struct ts_bytes kept = netctl_tree_get(&state.inventory.nodes, "n1");
    static const char WANT[] =
        "{\"told\":1,\"uplinks\":[],\"vifs\":[\"a\",\"b\"],\"vtep\":\"192.0.2.1\"}";
    assert_int_equal(kept.len, strlen(WANT));
    assert_memory_equal(kept.data, WANT, kept.len);
    assert_int_equal(tell("n2", "{'vtep':'192.0.2.1'}"), 400);
    assert_non_null(strstr(error.message, "transport node n1"));
    assert_int_equal(delete (NETCTL_NODES "n1"), 200);
    assert_int_equal(state.inventory.nodes.count, 0);
    assert_int_equal(tell("n2", "{'vtep':'192.0.2.1'}"), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_numbers_stay_while_their_object_lives, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_numbers_swapped_in_one_request, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_order_follows_sequence_numbers, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_inventory_is_of_declared_nodes, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
