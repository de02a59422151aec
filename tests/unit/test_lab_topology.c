/* A lab's topology: what every cluster file gives, what the section of the lab's own adds, and the
 * words of each error. The topologies that ship are read as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lab/scratch.h"
#include "lab/shipped.h"
#include "lab/topology.h"

#define CLUSTER \
    "cluster: demo\n" \
    "nics:\n" \
    "  - {name: nic1, host: host1, paths: [10.7.1.1, 10.7.2.1]}\n" \
    "  - {name: nic2, host: host2, paths: [10.7.1.2, 10.7.2.2]}\n" \
    "arbiters:\n" \
    "  - {name: arb1, host: host3, paths: [10.7.1.3, 10.7.2.3]}\n" \
    "groups:\n" \
    "  - {name: kv, service: kv, nics: [nic1, nic2], port: 6379, address: 10.7.1.254/24}\n"

static struct lab_topology t;
static struct ts_why why;

static enum ts_err load(const char *text)
{
    char dir[LAB_SCRATCH_MAX];
    char file[TS_PATH_MAX];
    assert_int_equal(lab_scratch_make("topology", dir), TS_OK);
    assert_int_equal(ts_path(file, &why, dir, "c.yaml"), TS_OK);
    assert_int_equal(ts_file_replace(file, text, strlen(text), 0644, &why), TS_OK);
    why.text[0] = '\0';
    enum ts_err err = lab_topology_load(file, &t, &why);
    lab_scratch_remove(dir);
    return err;
}

/* The error is about the file, and ends like this. */
static void refused(const char *lab, const char *words)
{
    char text[4096];
    int n = snprintf(text, sizeof(text), CLUSTER "%s", lab);
    assert_true(n > 0 && (size_t)n < sizeof(text));
    assert_int_equal(load(text), TS_ERR_CONFIG);
    const char *at = strstr(why.text, "c.yaml:");
    assert_non_null(at);
    if (strstr(at, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", at, words);
    }
}

/* Goal: a plain cluster file is a topology: a network for each path, one client with addresses that
 * nobody has. */
static void test_cluster_file_is_a_topology(void **state)
{
    (void)state;
    assert_int_equal(load(CLUSTER), TS_OK);
    assert_int_equal(t.network_count, 2);
    assert_string_equal(t.networks[1].name, "path2");
    assert_int_equal(t.networks[1].prefix, 24);
    assert_int_equal(t.machine_count, 4);
    assert_int_equal(t.machines[2].kind, LAB_KIND_ARBITER);
    assert_string_equal(t.machines[3].name, "client");
    assert_int_equal(t.machines[3].kind, LAB_KIND_WORKLOAD);
    assert_string_equal(t.machines[3].paths[0], "10.7.1.253"); /* the service has the last one */
    assert_string_equal(t.machines[3].paths[1], "10.7.2.254");
}

/* Goal: workloads, transport nodes and names of networks are taken; who has no second path needs no
 * address there. */
static void test_section_adds_machines(void **state)
{
    (void)state;
    assert_int_equal(load(CLUSTER
                          "lab:\n"
                          "  networks: [red, blue]\n"
                          "  workloads: [{name: c1, paths: [10.7.1.50]}]\n"
                          "  transport-nodes: [{name: tn1, paths: [10.7.1.60, 10.7.2.60]}]\n"),
                     TS_OK);
    assert_string_equal(t.networks[0].name, "red");
    assert_int_equal(t.machine_count, 5);
    assert_int_equal(t.machines[3].path_count, 1);
    assert_int_equal(lab_topology_machine(&t, "tn1")->kind, LAB_KIND_TRANSPORT_NODE);
    assert_null(lab_topology_machine(&t, "client"));
}

/* Goal: addresses of one path that are further apart share a wider network; IPv6 has its own. */
static void test_prefix_is_what_addresses_share(void **state)
{
    (void)state;
    assert_int_equal(load("cluster: demo\n"
                          "nics:\n"
                          "  - {name: nic1, paths: [10.7.1.1, 'fd00::1']}\n"
                          "  - {name: nic2, paths: [10.7.2.2, 'fd00::2']}\n"
                          "  - {name: nic3, paths: [10.7.1.3, 'fd00::3']}\n"
                          "groups: [{name: kv, service: kv, nics: [nic1, nic2], port: 6379}]\n"),
                     TS_OK);
    assert_int_equal(t.networks[0].prefix, 22);
    assert_int_equal(t.networks[1].prefix, 64);
    assert_true(t.networks[1].v6);
    assert_string_equal(t.machines[3].paths[1], "fd00::fe");
}

static void test_errors_say_where_and_what(void **state)
{
    (void)state;
    refused("lab: {machines: []}\n", "machines");
    refused("lab: {networks: [red]}\n", "networks names 1, and the nodes have 2 paths");
    refused("lab: {networks: [red, red]}\n", "a network named \"red\" is there already");
    refused("lab: {networks: [Red, blue]}\n", "name is \"Red\"");
    refused("lab: {workloads: [{name: nic1, paths: [10.7.1.50]}]}\n", "\"nic1\" is there already");
    refused("lab: {workloads: [{name: c1, paths: [10.7.1.1]}]}\n", "10.7.1.1 is somebody's");
    refused("lab: {workloads: [{name: c1, paths: [10.7.1.254]}]}\n", "10.7.1.254 is somebody's");
    refused("lab: {workloads: [{name: c1, paths: [10.8.1.1]}]}\n", "not of the network of path1");
    refused("lab: {workloads: [{name: c1, paths: ['fd00::1']}]}\n", "no IPv4 address");
    refused("lab: {workloads: [{name: c1, paths: []}]}\n", "c1 has 0 paths");
    refused("lab: {workloads: [{name: c1}]}\n", "paths");
    refused("lab: [1]\n", "lab");
}

/* Goal: loopback reaches no other machine, so what runs on one machine by it is told so. */
static void test_loopback_is_no_network(void **state)
{
    (void)state;
    assert_int_equal(load("cluster: demo\n"
                          "nics:\n"
                          "  - {name: nic1, paths: [127.7.1.1]}\n"
                          "  - {name: nic2, paths: [127.7.1.2]}\n"
                          "arbiters: [{name: arb1, paths: [127.7.1.3]}]\n"
                          "groups: [{name: kv, service: kv, nics: [nic1, nic2], port: 6379}]\n"),
                     TS_ERR_CONFIG);
    assert_non_null(strstr(why.text, "127.7.1.1 of nic1 is a loopback address"));
}

/* Goal: what ships is good, and names its client. */
static void test_shipped_topologies_are_good(void **state)
{
    (void)state;
    size_t count = 0;
    for (const struct lab_shipped *s = lab_shipped_topologies; s->name != NULL; s++, count++) {
        if (load(s->text) != TS_OK) {
            fail_msg("%s: %s", s->name, why.text);
        }
        assert_string_equal(t.cluster.name, s->name);
        assert_non_null(lab_topology_machine(&t, "client1"));
        assert_int_equal(s->text[0], '#');
    }
    assert_true(count >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cluster_file_is_a_topology),
        cmocka_unit_test(test_section_adds_machines),
        cmocka_unit_test(test_prefix_is_what_addresses_share),
        cmocka_unit_test(test_errors_say_where_and_what),
        cmocka_unit_test(test_loopback_is_no_network),
        cmocka_unit_test(test_shipped_topologies_are_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
