/* The wire's numbers as people write them, its rules as JSON, and labd's requests: what is read,
 * and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lab/control.h"
#include "lab/wire_text.h"

static struct ts_why why;

static struct lab_topology topology = {
    .network_count = 2,
    .networks = {{.name = "fabric-a"}, {.name = "fabric-b"}},
    .machine_count = 3,
    .machines = {{.name = "nic1", .path_count = 2},
                 {.name = "nic2", .path_count = 2},
                 {.name = "client1", .path_count = 1}},
};

static void test_shares_are_of_a_hundred(void **state)
{
    (void)state;
    uint64_t n = 0;
    assert_true(lab_wire_parse_share("30%", &n));
    assert_int_equal(n, 300000);
    assert_true(lab_wire_parse_share("0.1%", &n));
    assert_int_equal(n, 1000);
    assert_true(lab_wire_parse_share("100%", &n));
    assert_int_equal(n, LAB_WIRE_PPM);
    assert_false(lab_wire_parse_share("100.1%", &n));
    assert_false(lab_wire_parse_share("30", &n));
    assert_false(lab_wire_parse_share("-1%", &n));
    assert_false(lab_wire_parse_share("%", &n));
    assert_false(lab_wire_parse_share("1.%", &n));
    assert_false(lab_wire_parse_share("1.0000001%", &n));
    assert_false(lab_wire_parse_share("99999999999999999999%", &n));
}

static void test_times_have_a_unit_and_a_limit(void **state)
{
    (void)state;
    uint64_t n = 0;
    uint64_t m = 0;
    assert_true(lab_wire_parse_time("1.5ms", &n));
    assert_int_equal(n, 1500);
    assert_true(lab_wire_parse_time("200us", &n));
    assert_int_equal(n, 200);
    assert_true(lab_wire_parse_time("60s", &n));
    assert_int_equal(n, LAB_WIRE_US_MAX);
    assert_false(lab_wire_parse_time("61s", &n));
    assert_false(lab_wire_parse_time("5", &n));
    assert_false(lab_wire_parse_time("5 ms", &n));
    assert_true(lab_wire_parse_flap("200ms/300ms", &n, &m));
    assert_int_equal(n, 200000);
    assert_int_equal(m, 300000);
    assert_false(lab_wire_parse_flap("200ms", &n, &m));
    assert_false(lab_wire_parse_flap("0ms/300ms", &n, &m));
    assert_false(lab_wire_parse_flap("200ms/0ms", &n, &m));
    assert_false(lab_wire_parse_flap("/300ms", &n, &m));
}

static void test_rates_are_bits_and_queues_bytes(void **state)
{
    (void)state;
    uint64_t n = 0;
    assert_true(lab_wire_parse_rate("10mbit", &n));
    assert_int_equal(n, 1250000);
    assert_true(lab_wire_parse_rate("1.5kbit", &n));
    assert_int_equal(n, 187);
    assert_false(lab_wire_parse_rate("0mbit", &n));
    assert_false(lab_wire_parse_rate("81gbit", &n));
    assert_false(lab_wire_parse_rate("10", &n));
    assert_true(lab_wire_parse_bytes("64k", &n));
    assert_int_equal(n, 65536);
    assert_true(lab_wire_parse_bytes("1500", &n));
    assert_int_equal(n, 1500);
    assert_false(lab_wire_parse_bytes("1g", &n));
}

static enum ts_err ask(const char *text, struct lab_request *r)
{
    why.text[0] = '\0';
    return lab_request_read((struct ts_bytes){(const uint8_t *)text, strlen(text)}, &topology, r,
                            &why);
}

/* Goal: a request means the pairs that it names in one direction, or in both; what it leaves out
 * means all that there are. */
static void test_request_means_its_pairs(void **state)
{
    (void)state;
    struct lab_request r;
    assert_int_equal(ask("{\"cmd\":\"wire-set\",\"network\":\"fabric-a\",\"from\":[\"nic1\"],"
                         "\"to\":[\"nic2\"],\"rule\":{\"loss_ppm\":5,\"cut\":true}}",
                         &r),
                     TS_OK);
    assert_int_equal(r.cmd, LAB_CMD_WIRE_SET);
    assert_int_equal(r.rule.loss_ppm, 5);
    assert_true(r.rule.cut);
    assert_true(lab_request_means(&r, &topology, 0, 0, 1));
    assert_false(lab_request_means(&r, &topology, 0, 1, 0));
    assert_false(lab_request_means(&r, &topology, 1, 0, 1));
    assert_false(lab_request_means(&r, &topology, 0, 0, 2));
    assert_int_equal(ask("{\"cmd\":\"wire-clear\",\"from\":[\"nic1\"],\"both\":true}", &r), TS_OK);
    assert_true(lab_request_means(&r, &topology, 0, 0, 2));
    assert_true(lab_request_means(&r, &topology, 0, 2, 0));
    assert_true(lab_request_means(&r, &topology, 1, 1, 0));
    assert_false(lab_request_means(&r, &topology, 1, 0, 2)); /* the client is not there */
    assert_false(lab_request_means(&r, &topology, 0, 1, 2));
    assert_false(lab_request_means(&r, &topology, 0, 0, 0));
}

static void refused(const char *text, const char *words)
{
    struct lab_request r;
    assert_int_equal(ask(text, &r), TS_ERR_MALFORMED);
    if (strstr(why.text, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", why.text, words);
    }
}

static void test_requests_are_refused_with_reason(void **state)
{
    (void)state;
    refused("", "no JSON");
    refused("[]", "no JSON object");
    refused("{}", "no command \"\"");
    refused("{\"cmd\":\"wire\"}", "no command \"wire\"");
    refused("{\"cmd\":\"wire-show\",\"from\":[\"nic1\"]}", "takes no \"from\"");
    refused("{\"cmd\":\"wire-clear\",\"network\":\"fabric-c\"}", "no network \"fabric-c\"");
    refused("{\"cmd\":\"wire-clear\",\"network\":7}", "no network");
    refused("{\"cmd\":\"wire-clear\",\"from\":[\"nic3\"]}", "no machine \"nic3\"");
    refused("{\"cmd\":\"wire-clear\",\"from\":[7]}", "no machine");
    refused("{\"cmd\":\"wire-clear\",\"from\":[]}", "lists of machines");
    refused("{\"cmd\":\"wire-clear\",\"both\":1}", "both is true or false");
    refused("{\"cmd\":\"wire-clear\",\"network\":\"fabric-b\",\"to\":[\"client1\"]}", "no two of");
    refused("{\"cmd\":\"wire-clear\",\"from\":[\"nic1\"],\"to\":[\"nic1\"]}", "no two of");
    refused("{\"cmd\":\"wire-set\"}", "the rule is no object");
    refused("{\"cmd\":\"wire-set\",\"rule\":{\"loss\":1}}", "no \"loss\"");
    refused("{\"cmd\":\"wire-set\",\"rule\":{\"loss_ppm\":1000001}}", "from 0 to 1000000");
    refused("{\"cmd\":\"wire-set\",\"rule\":{\"loss_ppm\":-1}}", "from 0 to 1000000");
    refused("{\"cmd\":\"wire-set\",\"rule\":{\"loss_ppm\":0.5}}", "from 0 to 1000000");
    refused("{\"cmd\":\"wire-set\",\"rule\":{\"cut\":1}}", "cut is true or false");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares_are_of_a_hundred),
        cmocka_unit_test(test_times_have_a_unit_and_a_limit),
        cmocka_unit_test(test_rates_are_bits_and_queues_bytes),
        cmocka_unit_test(test_request_means_its_pairs),
        cmocka_unit_test(test_requests_are_refused_with_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
