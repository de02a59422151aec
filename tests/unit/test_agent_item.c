/* Items of a node's table are decoded with every bound checked: what is wrong is named with its key
 * and field, and nothing that a controller says ends the agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "services/agent/item.h"

static struct agent_item item;
static struct agent_error error;

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

#define SEGMENT \
    "{\"gateway\":[\"10.1.0.1/24\"],\"mac\":\"02:ff:00:00:00:01\",\"mtu\":1500,\"name\":\"a\"," \
    "\"router\":7}"
#define RULE(more) "{\"action\":\"ALLOW\",\"direction\":\"IN\",\"id\":9,\"stateful\":true" more "}"
#define RULE_KEY "rule/00000000000000001000"

static void test_decode_segment_takes_fields(void **state)
{
    (void)state;
    assert_int_equal(decode("segment/5001", SEGMENT), TS_OK);
    assert_int_equal(item.segment.vni, 5001);
    assert_int_equal(item.segment.router, 7);
    assert_int_equal(item.segment.gateways, 1);
    assert_int_equal(item.segment.gateway[0].bits, 24);
    assert_int_equal(decode("segment/16777215", "{\"mtu\":1450}"), TS_OK);
    assert_int_equal(item.segment.router, 0);
}

static void test_decode_segment_wrong_names_field(void **state)
{
    (void)state;
    refuses("segment/16777216", SEGMENT, "form");
    refuses("segment/0", SEGMENT, "form");
    refuses("segment/05", SEGMENT, "form");
    refuses("segment/5/6", SEGMENT, "form");
    refuses("segment/5", "true", "object");
    refuses("segment/5", "{\"mtu\":1450", "object");
    refuses("segment/5", "{\"mtu\":1450,\"mtu\":1450}", "object");
    refuses("segment/5", "{}", "mtu");
    refuses("segment/5", "{\"mtu\":\"1450\"}", "mtu");
    refuses("segment/5", "{\"mtu\":1450.5}", "mtu");
    refuses("segment/5", "{\"mtu\":-1}", "mtu");
    refuses("segment/5", "{\"mtu\":9999999999}", "mtu");
    refuses("segment/5", "{\"mtu\":1450,\"router\":7}", "gateway");
    refuses("segment/5", "{\"mtu\":1450,\"router\":7,\"gateway\":[\"10.0.0.1\"]}", "gateway");
    refuses("segment/5", "{\"mtu\":1450,\"router\":7,\"gateway\":[\"127.0.0.1/8\"]}", "gateway");
    refuses("segment/5", "{\"mtu\":1450,\"router\":7,\"gateway\":[\"10.0.0.1/24\"]}", "mac");
}

static void test_decode_unknown_is_told_apart(void **state)
{
    (void)state;
    assert_int_equal(decode("segment/5", "{\"mtu\":1450,\"colour\":1}"), TS_ERR_VERSION);
    assert_non_null(strstr(error.text, "colour"));
    assert_int_equal(decode("tunnel/5", "{}"), TS_ERR_VERSION);
    assert_int_equal(decode("segment", "{}"), TS_ERR_VERSION);
}

static void test_decode_addresses_have_one_form(void **state)
{
    (void)state;
    assert_int_equal(decode("set/web/10.1.0.0/24", "true"), TS_OK);
    assert_int_equal(decode("set/web/fd00::/64", "true"), TS_OK);
    refuses("set/web/10.1.0.1/24", "true", "form");
    refuses("set/web/10.1.0.0/33", "true", "form");
    refuses("set/web/10.1.0.0/024", "true", "form");
    refuses("set/web/10.1.0.0", "true", "form");
    refuses("set/web/FD00::/64", "true", "form");
    refuses("set/web/fd00:0::/64", "true", "form");
    refuses("set/web x/10.0.0.0/8", "true", "form");
    refuses("set/-web/10.0.0.0/8", "true", "form");
    refuses("set/web/10.0.0.0/8", "false", "true");
    refuses("flood/5/224.0.0.1", "true", "form");
    refuses("flood/5/::1", "true", "form");
    refuses("remote/5/03:00:00:00:00:01", "{\"vtep\":\"192.0.2.1\"}", "form");
    refuses("remote/5/02:00:00:00:00:0A", "{\"vtep\":\"192.0.2.1\"}", "form");
    refuses("remote/5/02:00:00:00:00:0a", "{\"vtep\":\"192.0.2.1/32\"}", "vtep");
    assert_int_equal(decode("remote/5/02:00:00:00:00:0a", "{\"vtep\":\"192.0.2.1\"}"), TS_OK);
}

static void test_decode_rule_takes_fields(void **state)
{
    (void)state;
    assert_int_equal(decode(RULE_KEY, RULE(",\"sources\":{\"not\":true,\"sets\":[\"a\",\"b\"]},"
                                           "\"services\":[{\"protocol\":6,\"destination\":"
                                           "[\"80\",\"1000-2000\"]}],\"log\":\"a\\\"b\"")),
                     TS_OK);
    assert_true(item.rule.sources.negated);
    assert_int_equal(item.rule.sources.count, 2);
    assert_true(item.rule.destinations.any);
    assert_true(item.rule.ports.any);
    assert_int_equal(item.rule.service[0].destination[1].last, 2000);
    assert_string_equal(item.rule.log, "a_b");
    assert_true(item.rule.in && !item.rule.out);
}

static void test_decode_rule_wrong_names_field(void **state)
{
    (void)state;
    refuses("rule/1000", RULE(""), "20 digits");
    refuses(RULE_KEY, RULE(",\"family\":5"), "family");
    refuses(RULE_KEY, RULE(",\"sources\":{}"), "sources.sets");
    refuses(RULE_KEY, RULE(",\"sources\":{\"sets\":[\"a b\"]}"), "sources.sets");
    refuses(RULE_KEY, RULE(",\"sources\":{\"sets\":[\"a\\u0000b\"]}"), "object");
    refuses(RULE_KEY, RULE(",\"sources\":{\"sets\":[7]}"), "sources.sets");
    refuses(RULE_KEY, RULE(",\"services\":[]"), "services");
    refuses(RULE_KEY, RULE(",\"services\":[{\"protocol\":6,\"destination\":[\"70000\"]}]"),
            "services.destination");
    refuses(RULE_KEY, RULE(",\"services\":[{\"protocol\":6,\"destination\":[\"9-8\"]}]"),
            "services.destination");
    refuses(RULE_KEY, RULE(",\"services\":[{\"protocol\":1,\"destination\":[\"80\"]}]"),
            "services.protocol");
    refuses(RULE_KEY, RULE(",\"services\":[{\"protocol\":6,\"type\":8}]"), "services.protocol");
    refuses(RULE_KEY, RULE(",\"services\":[{\"protocol\":1,\"code\":0}]"), "services.type");
    refuses(RULE_KEY, RULE(",\"log\":\"a\\nb\""), "log");
    refuses(RULE_KEY, "{\"action\":\"PERHAPS\",\"direction\":\"IN\",\"id\":9}", "action");
}

static void test_decode_lists_have_bounds(void **state)
{
    (void)state;
    char value[8192] = "{\"segment\":5,\"vif\":\"v\",\"mac\":\"02:00:00:00:00:01\",\"ips\":[";
    for (size_t i = 0; i <= AGENT_IPS_MAX; i++) {
        size_t len = strlen(value);
        (void)snprintf(value + len, sizeof(value) - len, "%s\"10.0.0.%zu\"", i == 0 ? "" : ",",
                       i + 1);
    }
    size_t end = strlen(value);
    (void)snprintf(value + end, sizeof(value) - end, "]}");
    refuses("port/1", value, "ips");
}

static void test_decode_nat_families_agree(void **state)
{
    (void)state;
    const char *key = "nat/7/00000000000000000001";
    refuses(key, "{\"id\":1,\"action\":\"SNAT\"}", "translated");
    refuses(key,
            "{\"id\":1,\"action\":\"SNAT\",\"source\":\"10.0.0.0/8\",\"translated\":\"fd00::1\"}",
            "family");
    refuses(key,
            "{\"id\":1,\"action\":\"DNAT\",\"translated\":\"10.0.0.1\",\"translated_port\":80}",
            "translated_port");
    assert_int_equal(decode(key, "{\"id\":1,\"action\":\"NO_SNAT\",\"source\":\"10.0.0.0/8\"}"),
                     TS_OK);
}

static void test_decode_gateway_rule_takes_fields(void **state)
{
    (void)state;
    static const char KEY[] = "gateway-rule/7/00000000000000000001";
#define GATEWAY "\"action\":\"DROP\",\"direction\":\"IN\",\"gateway\":\"/infra/tier-0s/z\",\"id\":9"
    assert_int_equal(decode(KEY, "{" GATEWAY "}"), TS_OK);
    assert_int_equal(item.rule.router, 7);
    assert_string_equal(item.rule.order, "00000000000000000001");
    assert_true(item.rule.in && !item.rule.out && item.rule.ports.any);
    assert_int_equal(decode(RULE_KEY, RULE("")), TS_OK);
    assert_int_equal(item.rule.router, 0);
    refuses(KEY, RULE(""), "gateway");
    refuses(KEY, "{" GATEWAY ",\"ports\":[\"p1\"]}", "ports");
    refuses(KEY, "{" GATEWAY ",\"colour\":1}", "colour");
    refuses("gateway-rule/0/00000000000000000001", "{" GATEWAY "}", "form");
    refuses("gateway-rule/7/1", "{" GATEWAY "}", "form");
}

static void test_decode_route_by_the_uplink(void **state)
{
    (void)state;
    static const char ROUTE[] = "{\"uplink\":true,\"via\":\"198.51.100.1\"}";
    assert_int_equal(decode("route/7/0.0.0.0/0", ROUTE), TS_OK);
    assert_true(item.route.uplink);
    refuses("route/7/0.0.0.0/0", "{\"uplink\":true,\"via\":\"198.51.100.1\",\"segment\":5}",
            "one of uplink");
    refuses("route/7/0.0.0.0/0", "{\"uplink\":true}", "via");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode_segment_takes_fields),
        cmocka_unit_test(test_decode_segment_wrong_names_field),
        cmocka_unit_test(test_decode_unknown_is_told_apart),
        cmocka_unit_test(test_decode_addresses_have_one_form),
        cmocka_unit_test(test_decode_rule_takes_fields),
        cmocka_unit_test(test_decode_rule_wrong_names_field),
        cmocka_unit_test(test_decode_lists_have_bounds),
        cmocka_unit_test(test_decode_nat_families_agree),
        cmocka_unit_test(test_decode_gateway_rule_takes_fields),
        cmocka_unit_test(test_decode_route_by_the_uplink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
