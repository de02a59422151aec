/* DHCP: what a table says of it is decoded with every bound checked, and becomes what dnsmasq is
 * told, word for word, and the rules that keep it on its node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/agent/dhcp.h"
#include "services/agent/model.h"

static const struct agent_address VTEP = {4, 32, {192, 0, 2, 1}};
static struct agent_item item;
static struct agent_error error;

#define SERVER "\"server\":\"10.1.0.1/24\",\"lease\":7200"

static enum ts_err decode(const char *key, const char *value)
{
    error.text[0] = '\0';
    return agent_item_decode(&item, key, (struct ts_bytes){(const uint8_t *)value, strlen(value)},
                             &error);
}

static void refuses(const char *key, const char *value, const char *word)
{
    assert_int_not_equal(decode(key, value), TS_OK);
    if (strstr(error.text, word) == NULL || strstr(error.text, key) == NULL) {
        fail_msg("%s %s: \"%s\" lacks %s, or the key", key, value, error.text, word);
    }
}

static void test_decode_dhcp_takes_fields(void **state)
{
    (void)state;
    assert_int_equal(decode("dhcp/5001", "{" SERVER ",\"routers\":[\"10.1.0.1\"],\"dns\":[],"
                                         "\"domain\":\"a.example.org\"}"),
                     TS_OK);
    assert_int_equal(item.kind, AGENT_DHCP);
    assert_int_equal(item.dhcp.vni, 5001);
    assert_int_equal(item.dhcp.server.bits, 24);
    assert_int_equal(item.dhcp.routers, 1);
    assert_int_equal(item.dhcp.lease, 7200);
    assert_string_equal(item.dhcp.domain, "a.example.org");
    assert_int_equal(
        decode("dhcp/5001/02:00:00:00:00:05", "{\"ip\":\"10.1.0.5\",\"host\":\"a-1\"}"), TS_OK);
    assert_int_equal(item.kind, AGENT_BINDING);
    assert_int_equal(item.binding.vni, 5001);
    assert_string_equal(item.binding.host, "a-1");
}

static void test_decode_dhcp_wrong_names_field(void **state)
{
    (void)state;
    refuses("dhcp/0", "{" SERVER "}", "form");
    refuses("dhcp/5/6", "{\"ip\":\"10.1.0.5\"}", "form");
    refuses("dhcp/5", "true", "object");
    refuses("dhcp/5", "{\"lease\":7200}", "server");
    refuses("dhcp/5", "{\"server\":\"fd00::1/64\",\"lease\":7200}", "server");
    refuses("dhcp/5", "{\"server\":\"10.1.0.1\",\"lease\":7200}", "server");
    refuses("dhcp/5", "{\"server\":\"10.1.0.1/24\"}", "lease");
    refuses("dhcp/5", "{\"server\":\"10.1.0.1/24\",\"lease\":59}", "lease");
    refuses("dhcp/5", "{" SERVER ",\"dns\":[\"fd00::1\"]}", "dns");
    refuses("dhcp/5", "{" SERVER ",\"routers\":[\"fd00::1\"]}", "routers");
    refuses("dhcp/5", "{" SERVER ",\"domain\":\"a b\"}", "domain");
    refuses("dhcp/5", "{" SERVER ",\"domain\":\"a,b\"}", "domain");
    refuses("dhcp/5", "{" SERVER ",\"domain\":\"a\\nb\"}", "domain");
    refuses("dhcp/5", "{" SERVER ",\"colour\":1}", "colour");
    refuses("dhcp/5/02:00:00:00:00:05", "{}", "ip");
    refuses("dhcp/5/02:00:00:00:00:05", "{\"ip\":\"fd00::5\"}", "ip");
    refuses("dhcp/5/02:00:00:00:00:05", "{\"ip\":\"10.1.0.5\",\"host\":\"a\\nb\"}", "host");
}

/* Goal: what could mean something else in dnsmasq's line is no host's name; the address stays. */
static void test_decode_binding_odd_host_is_left_out(void **state)
{
    (void)state;
    static const char *const ODD[] = {"",    "ignore", "infinite", "12h", "45", "a,b",
                                      "a b", "a.b",    "a:b",      "-a",  "a-", "#a"};
    for (size_t i = 0; i < sizeof(ODD) / sizeof(ODD[0]); i++) {
        char value[64];
        (void)snprintf(value, sizeof(value), "{\"ip\":\"10.1.0.5\",\"host\":\"%s\"}", ODD[i]);
        assert_int_equal(decode("dhcp/5/02:00:00:00:00:05", value), TS_OK);
        assert_string_equal(item.binding.host, "");
    }
}

/* ---- what dnsmasq is told ---- */

static void put(struct netctl_tree *t, const char *key, const char *value)
{
    netctl_tree_put(t, key, (struct ts_bytes){(const uint8_t *)value, strlen(value)});
}

static void put_network(struct netctl_tree *t)
{
    put(t, "segment/5001",
        "{\"gateway\":[\"10.1.0.1/24\",\"fd00::1/64\"],\"mac\":\"02:ff:00:00:00:01\",\"mtu\":1450,"
        "\"router\":7}");
    put(t, "segment/5009", "{\"mtu\":1400}");
    put(t, "dhcp/5001",
        "{" SERVER ",\"routers\":[\"10.1.0.1\"],\"dns\":[\"10.9.0.53\"],"
        "\"domain\":\"example.org\"}");
    put(t, "dhcp/5001/02:00:00:00:00:05", "{\"ip\":\"10.1.0.5\",\"host\":\"web1\"}");
    put(t, "dhcp/5001/02:00:00:00:00:06", "{\"ip\":\"10.1.0.6\",\"host\":\"ignore\"}");
    put(t, "dhcp/5009", "{\"server\":\"10.9.0.1/24\",\"lease\":60}");
    put(t, "port/17",
        "{\"guard\":true,\"ips\":[\"10.1.0.5\"],\"mac\":\"02:00:00:00:00:05\",\"segment\":5001,"
        "\"vif\":\"vm1\"}");
}

static struct netctl_tree wrong;

static void hear(void *arg, const char *key, const char *why)
{
    (void)arg;
    put(&wrong, key, why);
}

static void no_result(void *arg, const char *key, const char *why)
{
    (void)arg;
    (void)key;
    (void)why;
}

static void assert_has(const struct netctl_tree *t, const char *key, const char *words)
{
    char text[4096];
    struct ts_bytes value = netctl_tree_get(t, key);
    (void)snprintf(text, sizeof(text), "%.*s", (int)value.len,
                   value.data == NULL ? "" : (const char *)value.data);
    if (value.data == NULL || strstr(text, words) == NULL) {
        fail_msg("%s: \"%s\" lacks %s", key, text, words);
    }
}

static const struct agent_interface LEGS[] = {{"twr5001", 21, ""}, {"twr5009", 22, ""}};

static struct netctl_tree configs_of(const struct netctl_tree *t, size_t legs)
{
    const struct agent_place place = {VTEP, 4789, LEGS, legs, t, false, 0};
    struct netctl_tree configs = netctl_tree_make(0);
    netctl_tree_free(&wrong);
    wrong = netctl_tree_make(0);
    agent_dhcp_configs(t, &place, &configs, hear, NULL);
    return configs;
}

static void test_configs_say_what_the_table_does(void **state)
{
    (void)state;
    struct netctl_tree t = netctl_tree_make(1);
    put_network(&t);
    struct netctl_tree c = configs_of(&t, 2);
    assert_int_equal(c.count, 2);
    assert_int_equal(wrong.count, 0);
    assert_has(&c, "5001",
               "# Segment 5001, interface 21.\nport=0\nno-hosts\nno-resolv\nbind-interfaces\n"
               "except-interface=lo\ninterface=twr5001\ndhcp-authoritative\nleasefile-ro\nno-ping\n"
               "quiet-dhcp\ndhcp-ignore=tag:!known\ndhcp-range=10.1.0.0,static,255.255.255.0,7200\n"
               "dhcp-option=option:router,10.1.0.1\ndhcp-option=option:dns-server,10.9.0.53\n"
               "dhcp-option=option:domain-name,example.org\ndhcp-option=option:mtu,1450\n"
               "dhcp-host=02:00:00:00:00:05,10.1.0.5,web1\ndhcp-host=02:00:00:00:00:06,10.1.0.6\n"
               "dhcp-lease-max=18\n");
    assert_has(&c, "5009",
               "dhcp-range=10.9.0.0,static,255.255.255.0,60\n"
               "dhcp-option=option:router\ndhcp-option=option:mtu,1400\n");
    netctl_tree_free(&c);
    netctl_tree_free(&t);
}

static void test_configs_wrong_items_are_named(void **state)
{
    (void)state;
    struct netctl_tree t = netctl_tree_make(1);
    put_network(&t);
    put(&t, "dhcp/5001/02:00:00:00:00:07", "{\"ip\":\"10.2.0.7\"}");
    put(&t, "dhcp/5001/02:00:00:00:00:08", "{\"ip\":\"10.1.0.1\"}");
    put(&t, "dhcp/5001/02:00:00:00:00:09", "{\"ip\":\"10.1.0.5\"}");
    put(&t, "dhcp/5002/02:00:00:00:00:09", "{\"ip\":\"10.1.0.5\"}");
    put(&t, "dhcp/5003", "{" SERVER "}");
    struct netctl_tree c = configs_of(&t, 1);
    assert_int_equal(c.count, 1);
    assert_int_equal(wrong.count, 6);
    assert_has(&wrong, "dhcp/5001/02:00:00:00:00:07", "no network");
    assert_has(&wrong, "dhcp/5001/02:00:00:00:00:08", "no network");
    assert_has(&wrong, "dhcp/5001/02:00:00:00:00:09", "another port's");
    assert_has(&wrong, "dhcp/5002/02:00:00:00:00:09", "not here");
    assert_has(&wrong, "dhcp/5003", "segment is not here");
    assert_has(&wrong, "dhcp/5009", "leg is not there");
    netctl_tree_free(&c);
    netctl_tree_free(&t);
    netctl_tree_free(&wrong);
}

/* ---- what follows on the node ---- */

/* Goal: questions and answers pass no tunnel and no rule; a segment without a router has a leg as
 * long as it has DHCP. */
static void test_dhcp_stays_on_the_node(void **state)
{
    (void)state;
    const struct agent_caller caller = {.result = no_result};
    struct netctl_tree t = netctl_tree_make(1);
    struct agent_driver *d = agent_model_new(&VTEP);
    put_network(&t);
    assert_int_equal(agent_reconcile(d, &t, true, &caller), TS_OK);
    struct netctl_tree s = agent_model_state(d);
    assert_has(&s, "b/forward",
               "0\tiifname { \"twx5001\", \"twx5009\", \"p17\" } oifname != { \"twp5001\", "
               "\"twp5009\" } ether type ip udp dport 67 drop\n");
    assert_has(&s, "b/forward", "\"p17\" } ether type ip udp sport 67 udp dport 68 drop\n");
    assert_has(&s, "n/fw_out",
               "ip daddr { 255.255.255.255, 10.1.0.1, 10.9.0.1 } udp sport 68 udp "
               "dport 67 accept\n0\tjump known_out\n");
    assert_has(&s, "n/fw_in", "ip saddr { 10.1.0.1, 10.9.0.1 } udp sport 67 udp dport 68 accept\n");
    assert_has(&s, "n/to_node",
               "0\tiifname { \"twr5001\", \"twr5009\" } udp sport 68 udp dport 67 "
               "accept\n");
    assert_has(&s, "n/fw_end", "0\tiifname { \"twr5009\" } drop\n");
    assert_has(&s, "router leg dev twr5009 vni 5009 mtu 1400 mac 02:54:4f:00:13:91", "");
    assert_has(&s, "address dev twr5009 to 10.9.0.1/24", "");
    netctl_tree_free(&s);
    (void)netctl_tree_remove(&t, "dhcp/5009");
    assert_int_equal(agent_reconcile(d, &t, true, &caller), TS_OK);
    s = agent_model_state(d);
    assert_null(netctl_tree_get(&s, "address dev twr5009 to 10.9.0.1/24").data);
    netctl_tree_free(&s);
    netctl_tree_free(&t);
    agent_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode_dhcp_takes_fields),
        cmocka_unit_test(test_decode_dhcp_wrong_names_field),
        cmocka_unit_test(test_decode_binding_odd_host_is_left_out),
        cmocka_unit_test(test_configs_say_what_the_table_does),
        cmocka_unit_test(test_configs_wrong_items_are_named),
        cmocka_unit_test(test_dhcp_stays_on_the_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
