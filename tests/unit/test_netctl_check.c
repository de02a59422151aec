/* What does not make sense is refused when it is declared, with the names of both objects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/netctl_fixture.h"

/* Goal: addresses and networks of segments are apart where they meet. */
static void test_check_segment_networks_that_overlap_refused(void **unused)
{
    (void)unused;
    must("/infra/tier-0s/z", "{}");
    must("/infra/tier-1s/a", "{'tier0_path':'/infra/tier-0s/z'}");
    must("/infra/tier-1s/b", "{}");
    must("/infra/tier-1s/a/segments/s", "{'subnets':[{'gateway_address':'10.0.1.1/24'}]}");
    refused("/infra/segments/t",
            "{'connectivity_path':'/infra/tier-1s/a','subnets':[{'gateway_address':"
            "'10.0.0.1/16'}]}",
            "/infra/segments/t", "/infra/tier-1s/a/segments/s");
    refused("/infra/segments/t",
            "{'connectivity_path':'/infra/tier-0s/z','subnets':[{'gateway_address':"
            "'10.0.1.130/25'}]}",
            "/infra/segments/t", "/infra/tier-1s/a/segments/s");
    must("/infra/segments/t",
         "{'connectivity_path':'/infra/tier-1s/b','subnets':[{'gateway_address':'10.0.1.9/24'}]}");
    refused("/infra/tier-1s/b", "{'tier0_path':'/infra/tier-0s/z'}", "/infra/segments/t",
            "/infra/tier-1s/a/segments/s");
    refused("/infra/segments/u", "{'subnets':[{'gateway_address':'10.0.0.0/24'}]}",
            "/infra/segments/u", "10.0.0.0/24");
    refused("/infra/segments/u", "{'subnets':[{'gateway_address':'10.0.0.255/24'}]}",
            "/infra/segments/u", "10.0.0.255/24");
    refused("/infra/segments/u",
            "{'subnets':[{'gateway_address':'10.0.0.1/24'},{'gateway_address':'10.0.0.2/16'}]}",
            "subnets[0]", "subnets[1]");
    refused("/infra/segments/u",
            "{'subnets':[{'gateway_address':'10.0.0.1/24','dhcp_ranges':['10.0.1.5-10.0.1.9']}]}",
            "/infra/segments/u", "10.0.1.5");
    refused("/infra/segments/u",
            "{'connectivity_path':'/infra/tier-1s/b','subnets':[{'gateway_address':"
            "'100.64.0.1/24'}]}",
            "/infra/segments/u", "100.64.0.0/10");
}

/* Goal: an attachment, an address and a MAC are one port's. */
static void test_check_port_twice_refused(void **unused)
{
    (void)unused;
    must("/infra/segments/s", "{'subnets':[{'gateway_address':'10.0.1.1/24'}]}");
    must("/infra/segments/t", "{}");
    must("/infra/segments/s/ports/a",
         "{'attachment':{'id':'v1'},'address_bindings':[{'ip_address':'10.0.1.5','mac_address':"
         "'02:00:00:00:00:0A'}]}");
    refused("/infra/segments/t/ports/b", "{'attachment':{'id':'v1'}}", "/infra/segments/t/ports/b",
            "/infra/segments/s/ports/a");
    refused("/infra/segments/s/ports/b", "{'address_bindings':[{'ip_address':'10.0.1.5'}]}",
            "/infra/segments/s/ports/b", "/infra/segments/s/ports/a");
    refused("/infra/segments/s/ports/b",
            "{'address_bindings':[{'mac_address':'02:00:00:00:00:0a'}]}",
            "/infra/segments/s/ports/b", "/infra/segments/s/ports/a");
    refused("/infra/segments/s/ports/b", "{'address_bindings':[{'ip_address':'10.0.1.1'}]}",
            "/infra/segments/s/ports/b", "/infra/segments/s");
    refused("/infra/segments/s/ports/b",
            "{'address_bindings':[{'mac_address':'03:00:00:00:00:01'}]}", "ports/b", "03:00");
    refused("/infra/segments/s/ports/b",
            "{'address_bindings':[{'mac_address':'02:00:00:00:00:01'},{'mac_address':"
            "'02:00:00:00:00:02'}]}",
            "ports/b", "two MACs");
    must("/infra/segments/t/ports/b",
         "{'address_bindings':[{'ip_address':'10.0.1.5','mac_address':'02:00:00:00:00:0a'}]}");
}

/* Goal: nothing is in itself. */
static void test_check_cycle_refused(void **unused)
{
    (void)unused;
#define MEMBER(of) "{'expression':[{'resource_type':'PathExpression','paths':['" of "']}]}"
#define NESTED(of) "{'service_entries':[{'nested_service_path':'" of "'}]}"
    must(DOMAIN "/groups/a", "{}");
    must(DOMAIN "/groups/b", MEMBER(DOMAIN "/groups/a"));
    must(DOMAIN "/groups/c", MEMBER(DOMAIN "/groups/b"));
    refused(DOMAIN "/groups/a", MEMBER(DOMAIN "/groups/c"), "groups/a is in itself", "groups/b");
    refused(DOMAIN "/groups/a", MEMBER(DOMAIN "/groups/a"), "groups/a is in itself", "groups/a");
    must("/infra/services/a", "{}");
    must("/infra/services/b", NESTED("/infra/services/a"));
    refused("/infra/services/a", NESTED("/infra/services/b"), "services/a is in itself",
            "services/b");
}

/* Goal: an expression that could not be understood is refused. */
static void test_check_group_expression_refused(void **unused)
{
    (void)unused;
#define TERM "{'resource_type':'IPAddressExpression','ip_addresses':['10.0.0.1']}"
#define JOIN(word) "{'resource_type':'ConjunctionOperator','conjunction_operator':'" word "'}"
    refused(DOMAIN "/groups/a", "{'expression':[" TERM "," TERM "]}", "groups/a", "between");
    refused(DOMAIN "/groups/a", "{'expression':[" TERM "," JOIN("OR") "]}", "groups/a", "between");
    refused(DOMAIN "/groups/a", "{'expression':[" TERM "," JOIN("AND") "," TERM "]}", "groups/a",
            "AND");
    refused(DOMAIN "/groups/a",
            "{'expression':[{'resource_type':'Condition','member_type':'IPSet','key':'Tag',"
            "'operator':'EQUALS','value':'a|b'}]}",
            "groups/a", "member_type");
    refused(DOMAIN "/groups/a",
            "{'expression':[{'resource_type':'MACAddressExpression','mac_addresses':[]}]}",
            "groups/a", "a term is");
    refused(DOMAIN "/groups/a",
            "{'expression':[{'resource_type':'PathExpression','paths':['/infra/domains/default']}"
            "]}",
            "groups/a", "/infra/domains/default can be no member");
    must(DOMAIN "/groups/a", "{'expression':[" TERM "," JOIN("OR") "," TERM "]}");
}

/* Goal: translations have what their action needs, and a router that has an outside. */
static void test_check_nat_incomplete_refused(void **unused)
{
    (void)unused;
#define NAT "/infra/tier-1s/a/nat/USER/nat-rules/n"
    must("/infra/tier-0s/z", "{}");
    must("/infra/tier-1s/a", "{}");
    refused(NAT, "{'action':'SNAT','translated_network':'192.0.2.1'}", "/infra/tier-1s/a", NAT);
    must("/infra/tier-1s/a", "{'tier0_path':'/infra/tier-0s/z'}");
    refused(NAT, "{'action':'SNAT'}", NAT, "translated_network");
    refused(NAT, "{'action':'SNAT','translated_network':'192.0.2.0/24'}", NAT, "not one address");
    refused(NAT, "{'action':'DNAT','translated_network':'192.0.2.1'}", NAT, "destination_network");
    refused(NAT, "{'action':'NO_SNAT','translated_network':'192.0.2.1'}", NAT, "NO_SNAT");
    refused(NAT, "{'action':'REFLEXIVE','translated_network':'192.0.2.1'}", NAT, "REFLEXIVE");
    refused(NAT, "{'action':'SNAT','translated_network':'192.0.2.1','source_network':'fd00::1'}",
            NAT, "family");
    refused(NAT,
            "{'action':'SNAT','translated_network':'192.0.2.1','source_network':"
            "'10.0.0.1-10.0.0.9'}",
            NAT, "source_network");
    refused(NAT, "{'action':'SNAT','translated_network':'192.0.2.1','translated_ports':'80'}", NAT,
            "translated_ports");
    refused(NAT, "{'action':'SNAT','translated_network':'127.0.0.1'}", NAT, "not one address");
    assert_int_equal(patch(NAT, "{'action':'SNAT','translated_network':'192.0.2.1'}"), 200);
}

/* Goal: routes of routers that route to each other are to different networks. */
static void test_check_route_twice_refused(void **unused)
{
    (void)unused;
#define ROUTE(net) "{'network':'" net "','next_hops':[{'ip_address':'10.0.0.9'}]}"
    must("/infra/tier-0s/z", "{}");
    must("/infra/tier-1s/a", "{'tier0_path':'/infra/tier-0s/z'}");
    must("/infra/tier-1s/b", "{}");
    must("/infra/tier-1s/a/static-routes/x", ROUTE("172.16.0.1/12"));
    must("/infra/tier-1s/b/static-routes/x", ROUTE("172.16.0.0/12"));
    refused("/infra/tier-0s/z/static-routes/x", ROUTE("172.16.0.0/12"), "tier-0s/z", "tier-1s/a");
    refused("/infra/tier-1s/b", "{'tier0_path':'/infra/tier-0s/z'}", "tier-1s/a", "tier-1s/b");
    refused("/infra/tier-1s/b/static-routes/y", ROUTE("fd00::/64"), "next_hops[0]", "family");
}

/* Goal: what rules cannot be is said when it is declared, also when a service grows later. */
static void test_check_rules_that_cannot_be_refused(void **unused)
{
    (void)unused;
    char body[8192] = "{'service_entries':[";
    for (unsigned i = 0; i < 40; i++) {
        snprintf(body + strlen(body), sizeof body - strlen(body),
                 "%s{'l4_protocol':'TCP','destination_ports':['%u']}", i > 0 ? "," : "", i + 1);
    }
    snprintf(body + strlen(body), sizeof body - strlen(body), "]}");
    must("/infra/services/a", body);
    for (char *c = strstr(body, "TCP"); c != NULL; c = strstr(c, "TCP")) {
        memcpy(c, "UDP", 3);
    }
    must("/infra/services/b", "{'service_entries':[{'protocol_number':47}]}");
    must(DOMAIN "/groups/g", "{}");
    must(DOMAIN "/security-policies/p",
         "{'rules':[{'id':'r','action':'DROP','services':['/infra/services/a',"
         "'/infra/services/b']}]}");
    refused("/infra/services/b", body, "p/rules/r", "64");
    refused("/infra/services/b", "{'service_entries':[{'l4_protocol':'TCP','protocol_number':6}]}",
            "services/b", "one of");
    refused("/infra/services/b", "{'service_entries':[{'protocol':'ICMPv4','icmp_code':6}]}",
            "services/b", "icmp_code");
    refused(DOMAIN "/security-policies/q", "{'category':'Ethernet'}", "policies/q", "Ethernet");
    refused(DOMAIN "/security-policies/q", "{'connectivity_preference':'ALLOWLIST'}", "policies/q",
            "connectivity_preference");
    must("/infra/tier-1s/a", "{}");
    refused(DOMAIN "/security-policies/q", "{'scope':['/infra/tier-1s/a']}", "policies/q",
            "tier-1s/a");
    refused(DOMAIN "/gateway-policies/q", "{'scope':['" DOMAIN "/groups/g']}", "policies/q",
            "groups/g");
    refused(DOMAIN "/gateway-policies/q", "{'rules':[{'id':'r','action':'DROP'}]}", "q/rules/r",
            "names a router");
    must(DOMAIN "/gateway-policies/q",
         "{'scope':['/infra/tier-1s/a'],'rules':[{'id':'r','action':'DROP'}]}");
    refused(DOMAIN "/gateway-policies/q", "{'scope':['ANY']}", "q/rules/r", "names a router");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(test_check_segment_networks_that_overlap_refused),
        TEST(test_check_port_twice_refused),
        TEST(test_check_cycle_refused),
        TEST(test_check_group_expression_refused),
        TEST(test_check_nat_incomplete_refused),
        TEST(test_check_route_twice_refused),
        TEST(test_check_rules_that_cannot_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
