/* What a transport node's table has, by what was declared and told. Tables after random changes:
 * tests/service/test_netctl_step.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "services/netctl/compile.h"
#include "tests/unit/netctl_fixture.h"

static struct netctl_compiler *compiler;

static int setup(void **unused)
{
    (void)fixture_setup(unused);
    compiler = netctl_compiler_new(7);
    must(NETCTL_NODES "n1", "{'tunnel_address':'192.0.2.1'}");
    must(NETCTL_NODES "n2", "{'tunnel_address':'192.0.2.2'}");
    must(NETCTL_NODES "n3", "{'tunnel_address':'192.0.2.3'}");
    assert_int_equal(tell("n1", "{'vtep':'192.0.2.1','vifs':['a','b']}"), 200);
    assert_int_equal(tell("n2", "{'vtep':'192.0.2.2','vifs':['c']}"), 200);
    assert_int_equal(tell("n3", "{'vtep':'192.0.2.3','uplinks':['up']}"), 200);
    return 0;
}

static int teardown(void **unused)
{
    netctl_compiler_free(compiler);
    return fixture_teardown(unused);
}

/* That a node's table has this item; want NULL: that it has none. 'single quotes' as elsewhere. */
static void item(const char *node, const char *key, const char *want)
{
    char text[2048];
    netctl_compile(compiler, &state);
    const struct netctl_tree *table = netctl_compiler_table(compiler, node);
    struct ts_bytes is = table == NULL ? (struct ts_bytes){NULL, 0} : netctl_tree_get(table, key);
    snprintf(text, sizeof text, "%s", want == NULL ? "" : want);
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    if ((is.data == NULL) != (want == NULL) || is.len != strlen(text) ||
        memcmp(is.len == 0 ? (const void *)"" : is.data, text, is.len) != 0) {
        fail_msg("%s %s is %.*s, not %s", node, key, is.data == NULL ? 7 : (int)is.len,
                 is.data == NULL ? "not set" : (const char *)is.data, text);
    }
}

/* How many items a node has under a prefix. */
static size_t count(const char *node, const char *prefix)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    size_t n = 0;
    netctl_compile(compiler, &state);
    const struct netctl_tree *table = netctl_compiler_table(compiler, node);
    while (table != NULL && netctl_tree_next(table, prefix, &i)) {
        n++;
    }
    return n;
}

static void declare_segment(void)
{
    must("/infra/segments/s", "{'display_name':'web'}");
    must("/infra/segments/s/ports/a",
         "{'attachment':{'id':'a'},'address_bindings':[{'ip_address':'10.0.0.1','mac_address':"
         "'02:00:00:00:00:0A'}],'tags':[{'scope':'app','tag':'x'}]}");
    must("/infra/segments/s/ports/c",
         "{'attachment':{'id':'c'},'address_bindings':[{'ip_address':'10.0.0.3'}]}");
}

/* Goal: a segment is where its ports are; a node knows its own ports, and of the others' where to
 * send. */
static void test_compile_segment_is_where_its_ports_are(void **unused)
{
    (void)unused;
    declare_segment();
    item("n1", "segment/5000", "{'mtu':1500,'name':'web'}");
    item("n1", "port/1",
         "{'guard':true,'ips':['10.0.0.1'],'mac':'02:00:00:00:00:0a','path':"
         "'/infra/segments/s/ports/a','segment':5000,'vif':'a'}");
    item("n2", "port/2",
         "{'guard':false,'ips':['10.0.0.3'],'mac':'02:74:00:00:00:02','path':"
         "'/infra/segments/s/ports/c','segment':5000,'vif':'c'}");
    item("n2", "remote/5000/02:00:00:00:00:0a", "{'ips':['10.0.0.1'],'vtep':'192.0.2.1'}");
    item("n1", "remote/5000/02:74:00:00:00:02", "{'ips':['10.0.0.3'],'vtep':'192.0.2.2'}");
    item("n1", "flood/5000/192.0.2.2", "true");
    item("n1", "flood/5000/192.0.2.1", NULL);
    assert_null(netctl_compiler_table(compiler, "n3"));
    assert_int_equal(count("n1", ""), 4);
}

/* Goal: a vif that two nodes have is with the one that told it last; when that one has it no
 * longer, with the other. */
static void test_compile_port_moves_to_who_told_last(void **unused)
{
    (void)unused;
    declare_segment();
    assert_int_equal(count("n1", "port/"), 1);
    assert_int_equal(tell("n2", "{'vtep':'192.0.2.2','vifs':['a','c']}"), 200);
    assert_int_equal(count("n1", ""), 0);
    assert_int_equal(count("n2", "port/"), 2);
    assert_string_equal(netctl_compiler_next(compiler, NULL), "n2");
    assert_int_equal(tell("n1", "{'vtep':'192.0.2.1','vifs':['a','b']}"), 200);
    assert_int_equal(count("n1", "port/"), 1);
    assert_string_equal(netctl_compiler_changed(compiler, NULL), "n1");
    assert_int_equal(tell("n1", "{'vtep':'192.0.2.1','vifs':[]}"), 200);
    assert_int_equal(count("n2", "port/"), 2);
    must("/infra/segments/s/ports/a", "{'admin_state':'DOWN'}");
    assert_int_equal(count("n2", "port/"), 1);
}

static void declare_routers(void)
{
    must("/infra/tier-0s/z", "{}");
    must("/infra/tier-1s/t", "{'tier0_path':'/infra/tier-0s/z'}");
    must("/infra/tier-1s/t/segments/r", "{'subnets':[{'gateway_address':'10.1.0.1/24'}]}");
    must("/infra/segments/s", "{'connectivity_path':'/infra/tier-1s/t','subnets':["
                              "{'gateway_address':'10.0.0.9/24'}]}");
    declare_segment();
    must(POINT "/edge-clusters/default/edge-nodes/n3", "{}");
    must("/infra/tier-0s/z/locale-services/l", "{}");
    must("/infra/tier-0s/z/locale-services/l/interfaces/i",
         "{'type':'EXTERNAL','edge_path':'" POINT "/edge-clusters/default/edge-nodes/n3','subnets':"
         "[{'ip_addresses':['198.51.100.2'],'prefix_len':24}]}");
}

/* Goal: routers of one tier-0 route in one table on all nodes where any of their segments is; what
 * they do not know goes to the edge by the transit segment; there are the uplink and
 * translations. */
static void test_compile_routers_of_one_tier0(void **unused)
{
    (void)unused;
    declare_routers();
    must("/infra/tier-1s/t/static-routes/x",
         "{'network':'172.16.5.1/12','next_hops':[{'ip_address':'10.9.9.9'},{'ip_address':"
         "'10.1.0.7','admin_distance':3}]}");
    must("/infra/tier-0s/z/static-routes/y",
         "{'network':'0.0.0.0/0','next_hops':[{'ip_address':'198.51.100.1'}]}");
    must("/infra/services/v", "{'service_entries':[{'l4_protocol':'TCP','destination_ports':"
                              "['443']}]}");
    must("/infra/tier-1s/t/nat/USER/nat-rules/n",
         "{'action':'DNAT','sequence_number':7,'destination_network':'198.51.100.8','service':"
         "'/infra/services/v','translated_network':'10.0.0.1','translated_ports':'8443'}");
    item("n1", "router/1", "{'path':'/infra/tier-0s/z'}");
    item("n1", "segment/5001",
         "{'gateway':['10.1.0.1/24'],'mac':'02:54:4f:00:13:89','mtu':1500,'name':'r','router':1}");
    item("n3", "segment/5001",
         "{'gateway':['10.1.0.1/24'],'mac':'02:54:4f:00:13:89','mtu':1500,'name':'r','router':1}");
    item("n2", "route/1/172.16.0.0/12", "{'segment':5001,'via':'10.1.0.7'}");
    item("n2", "route/1/0.0.0.0/0", "{'segment':5000,'via':'100.64.0.5'}");
    item("n2", "segment/5000",
         "{'gateway':['100.64.0.6/30'],'mac':'02:54:51:00:13:88','mtu':1500,'name':'transit',"
         "'router':1}");
    item("n2", "remote/5000/02:54:50:00:13:88", "{'ips':['100.64.0.5'],'vtep':'192.0.2.3'}");
    item("n3", "segment/5000",
         "{'gateway':['100.64.0.5/30'],'mac':'02:54:50:00:13:88','mtu':1500,'name':'transit',"
         "'router':1}");
    item("n3", "route/1/0.0.0.0/0", "{'uplink':true,'via':'198.51.100.1'}");
    item("n3", "uplink/1", "{'addresses':['198.51.100.2/24'],'interface':'up'}");
    item("n3", "nat/1/00000000070000000001",
         "{'action':'DNAT','destination':'198.51.100.8/32','id':1,'service':{'destination':"
         "['443'],'protocol':6},'translated':'10.0.0.1','translated_port':8443}");
    assert_int_equal(count("n1", "nat/"), 0);
    assert_int_equal(count("n1", "uplink/"), 0);
    assert_int_equal(delete ("/infra/tier-0s/z/locale-services/l/interfaces/i"), 200);
    item("n2", "route/1/0.0.0.0/0", NULL);
    assert_int_equal(count("n3", ""), 0);
}

static void one_condition(const char *group, const char *type, const char *operator,
                          const char * value)
{
    char body[512];
    snprintf(body, sizeof body,
             "{'expression':[{'resource_type':'Condition','member_type':'%s','key':'Tag',"
             "'operator':'%s','value':'%s'}]}",
             type, operator, value);
    must(group, body);
}

/* Goal: a group's addresses are where rules name it; its ports where rules apply to it. */
static void test_compile_rule_is_where_its_scope_is(void **unused)
{
    (void)unused;
    char key[64];
    char path[NETCTL_PATH_ROOM];
    declare_segment();
    one_condition(DOMAIN "/groups/g", "VirtualMachine", "EQUALS", "app|x");
    must(DOMAIN "/groups/h", "{'expression':[{'resource_type':'IPAddressExpression',"
                             "'ip_addresses':['192.0.2.4-192.0.2.6','2001:db8::1/64']}]}");
    must(DOMAIN "/security-policies/p",
         "{'category':'Application','scope':['" DOMAIN "/groups/g']}");
    must(DOMAIN "/security-policies/p/rules/r",
         "{'action':'REJECT','source_groups':['" DOMAIN "/groups/h','10.5.0.0/16'],"
         "'destination_groups':['" DOMAIN "/groups/g'],'destinations_excluded':true,'logged':true,"
         "'tag':'t','ip_protocol':'IPV4','direction':'IN'}");
    snprintf(key, sizeof key, "rule/%020llu",
             (unsigned long long)netctl_number_second(&state.intent.numbers,
                                                      DOMAIN "/security-policies/p/rules/r"));
    item("n1", key,
         "{'action':'REJECT','destinations':{'not':true,'sets':['g1']},'direction':'IN','family':4,"
         "'id':1,'log':'t','path':'" DOMAIN "/security-policies/p/rules/r','ports':['p1'],"
         "'sources':{'sets':['g2','r1s']},'stateful':true}");
    item("n1", "ports/p1/1", "true");
    item("n1", "set/g1/10.0.0.1/32", "true");
    item("n1", "set/g2/192.0.2.4/31", "true");
    item("n1", "set/g2/192.0.2.6/32", "true");
    item("n1", "set/g2/2001:db8::/64", "true");
    item("n1", "set/r1s/10.5.0.0/16", "true");
    assert_int_equal(count("n2", "rule/") + count("n2", "set/") + count("n2", "ports/"), 0);
    struct netctl_tree span = netctl_compiler_span(compiler, &state, DOMAIN "/security-policies/p");
    assert_int_equal(span.count, 1);
    assert_non_null(netctl_tree_get(&span, "n1").data);
    netctl_tree_free(&span);
    assert_true(netctl_number_owner(&state.intent.numbers, NETCTL_N_RULE, 1, path));
    assert_string_equal(path, DOMAIN "/security-policies/p/rules/r");
    must("/infra/segments/s/ports/c", "{'tags':[{'scope':'app','tag':'x'}]}");
    assert_int_equal(count("n2", "rule/"), 1);
    item("n1", "set/g1/10.0.0.3/32", "true");
    must(DOMAIN "/security-policies/p/rules/r", "{'disabled':true}");
    assert_int_equal(count("n1", "rule/") + count("n1", "set/") + count("n1", "ports/"), 0);
}

/* Goal: AND is before OR; conditions are of ports or of their segments; tags with and without a
 * scope. */
static void test_compile_group_expressions(void **unused)
{
    (void)unused;
#define CONDITION(type, key, op, value) \
    "{'resource_type':'Condition','member_type':'" type "','key':'" key "','operator':'" op \
    "','value':'" value "'}"
#define JOIN(word) "{'resource_type':'ConjunctionOperator','conjunction_operator':'" word "'}"
    static const struct {
        const char *expression;
        size_t addresses;
    } CASES[] = {
        {CONDITION("SegmentPort", "Tag", "EQUALS", "app|x"), 1},
        {CONDITION("SegmentPort", "Tag", "EQUALS", "x"), 1},
        {CONDITION("SegmentPort", "Tag", "EQUALS", "|x"), 0},
        {CONDITION("SegmentPort", "Tag", "EQUALS", "other|x"), 0},
        {CONDITION("SegmentPort", "Tag", "STARTSWITH", "app|"), 1},
        {CONDITION("SegmentPort", "Name", "EQUALS", "c"), 1},
        {CONDITION("Segment", "Name", "CONTAINS", "eb"), 2},
        {CONDITION("Segment", "Name", "EQUALS",
                   "web") "," JOIN("AND") "," CONDITION("SegmentPort", "Name", "EQUALS", "a"),
         1},
        {CONDITION("SegmentPort", "Name", "EQUALS", "a") "," JOIN("OR") "," CONDITION(
             "SegmentPort", "Name", "EQUALS",
             "c") "," JOIN("AND") "," CONDITION("SegmentPort", "Tag", "EQUALS", "x"),
         1},
        {CONDITION("SegmentPort", "Name", "EQUALS", "a") "," JOIN(
             "AND") ","
                    "{'resource_type':'NestedExpression','expressions':[" CONDITION(
                        "Segment", "Name", "EQUALS",
                        "no") "," JOIN("OR") "," CONDITION("Segment", "Name", "EQUALS", "web") "]}",
         1},
        {"{'resource_type':'PathExpression','paths':['/infra/segments/s']}", 2},
        {"{'resource_type':'PathExpression','paths':['/infra/segments/s/ports/c','" DOMAIN
         "/groups/other']}",
         3},
    };
    declare_segment();
    must(DOMAIN "/groups/other", "{'expression':[{'resource_type':'PathExpression','paths':["
                                 "'/infra/segments/s/ports/a']}," JOIN(
                                     "OR") ","
                                           "{'resource_type':'IPAddressExpression','ip_addresses':"
                                           "['10.77.0.0/16']}]}");
    must(DOMAIN "/groups/g", "{}");
    must(DOMAIN "/security-policies/p",
         "{'rules':[{'id':'r','source_groups':['" DOMAIN "/groups/g'],'action':'DROP'}]}");
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char body[2048];
        snprintf(body, sizeof body, "{'expression':[%s]}", CASES[i].expression);
        must(DOMAIN "/groups/g", body);
        size_t is = count("n1", "set/g2/");
        if (is != CASES[i].addresses) {
            fail_msg("%s has %zu addresses", CASES[i].expression, is);
        }
    }
}

/* Goal: rules are in the order of category, policy and rule; the default policy's come last. */
static void test_compile_rules_in_order(void **unused)
{
    (void)unused;
    static const char *const ORDER[] = {"e", "i1", "i2", "b", "a1", "a0", "d"};
    declare_segment();
#define RULES(...) "'rules':[" __VA_ARGS__ "]}"
#define ONE(id, n) "{'id':'" id "','action':'ALLOW','sequence_number':" n "}"
    must(DOMAIN "/security-policies/default-layer3-section",
         "{'category':'Emergency'," RULES(ONE("d", "0")));
    must(DOMAIN "/security-policies/a",
         "{'category':'Application','sequence_number':5," RULES(ONE("a0", "9") "," ONE("a1", "1")));
    must(DOMAIN "/security-policies/b",
         "{'category':'Application','sequence_number':4," RULES(ONE("b", "9")));
    must(DOMAIN "/security-policies/c",
         "{'category':'Infrastructure'," RULES(ONE("i2", "1") "," ONE("i1", "1")));
    must(DOMAIN "/security-policies/z",
         "{'category':'Emergency','sequence_number':999," RULES(ONE("e", "1")));
    netctl_compile(compiler, &state);
    struct netctl_item i = {NULL, {NULL, 0}};
    const struct netctl_tree *table = netctl_compiler_table(compiler, "n1");
    for (size_t n = 0; n < sizeof ORDER / sizeof ORDER[0]; n++) {
        char want[64];
        char is[1024];
        assert_true(netctl_tree_next(table, "rule/", &i));
        snprintf(is, sizeof is, "%.*s", (int)i.value.len, (const char *)i.value.data);
        snprintf(want, sizeof want, "/rules/%s\"", ORDER[n]);
        if (strstr(is, want) == NULL) {
            fail_msg("rule %zu is %s, not %s", n, is, want);
        }
    }
    assert_false(netctl_tree_next(table, "rule/", &i));
}

/* Goal: DHCP is where the segment's ports are, and gives each its address. */
static void test_compile_dhcp_where_ports_are(void **unused)
{
    (void)unused;
    must("/infra/dhcp-server-configs/d", "{'server_addresses':['10.9.0.1/24'],'lease_time':600}");
    must("/infra/segments/s",
         "{'domain_name':'x.org','dhcp_config_path':'/infra/dhcp-server-configs/d','subnets':["
         "{'gateway_address':'10.0.0.9/24','dhcp_config':{'dns_servers':['10.0.0.53']}}]}");
    declare_segment();
    item("n1", "dhcp/5000",
         "{'dns':['10.0.0.53'],'domain':'x.org','lease':600,'routers':['10.0.0.9'],'server':"
         "'10.9.0.1/24'}");
    item("n1", "dhcp/5000/02:00:00:00:00:0a", "{'host':'a','ip':'10.0.0.1'}");
    assert_int_equal(count("n1", "dhcp/"), 2);
    must("/infra/segments/s/ports/a", "{'attachment':{'id':'a','allocate_addresses':'NONE'}}");
    assert_int_equal(count("n1", "dhcp/"), 1);
}

/* Goal: rules of gateways are on their edge, with the sets that they name. */
static void test_compile_gateway_rules_on_the_edge(void **unused)
{
    (void)unused;
    char key[64];
    declare_routers();
    one_condition(DOMAIN "/groups/g", "SegmentPort", "EQUALS", "x");
    must(DOMAIN "/gateway-policies/p",
         "{'scope':['/infra/tier-1s/t'],'rules':[{'id':'r','action':'DROP','destination_groups':["
         "'" DOMAIN "/groups/g']}]}");
    snprintf(key, sizeof key, "gateway-rule/1/%020llu",
             (unsigned long long)netctl_number_second(&state.intent.numbers,
                                                      DOMAIN "/gateway-policies/p/rules/r"));
    item("n3", key,
         "{'action':'DROP','destinations':{'sets':['g1']},'direction':'IN_OUT','gateway':"
         "'/infra/tier-1s/t','id':1,'path':'" DOMAIN "/gateway-policies/p/rules/r',"
         "'stateful':true}");
    item("n3", "set/g1/10.0.0.1/32", "true");
    item("n1", key, NULL);
    item("n1", "set/g1/10.0.0.1/32", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_compile_segment_is_where_its_ports_are),
        TEST(test_compile_port_moves_to_who_told_last),
        TEST(test_compile_routers_of_one_tier0),
        TEST(test_compile_rule_is_where_its_scope_is),
        TEST(test_compile_group_expressions),
        TEST(test_compile_rules_in_order),
        TEST(test_compile_dhcp_where_ports_are),
        TEST(test_compile_gateway_rules_on_the_edge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
