/* The cluster file: what a good one gives, and the exact words and place of each error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster-cfg/io/cluster_yaml.h"

#define NICS \
    "nics:\n" \
    "  - {name: nic1, host: host1, paths: [127.77.1.1, 127.77.2.1]}\n" \
    "  - {name: nic2, host: host2, paths: [127.77.1.2, 127.77.2.2]}\n"
#define ARBITER \
    "arbiters:\n" \
    "  - {name: arb1, host: host3, paths: [127.77.1.3, 127.77.2.3]}\n"
#define GROUPS \
    "groups:\n" \
    "  - {name: kv, service: kv, nics: [nic1, nic2], port: 6379}\n"
#define GOOD "cluster: demo\n" NICS ARBITER GROUPS

static enum ts_err parse(const char *text, struct cfg_cluster *c,
                         char error[CLUSTER_YAML_ERROR_MAX])
{
    struct ts_bytes b = {(const uint8_t *)text, strlen(text)};
    return cluster_yaml_parse("c.yaml", b, c, error);
}

/* Goal: the ten-line file gives ids in the order of the file, defaults and derived values. */
static void test_parse_good_file_gives_cluster(void **state)
{
    (void)state;
    struct cfg_cluster c;
    char error[CLUSTER_YAML_ERROR_MAX];
    assert_int_equal(parse(GOOD, &c, error), TS_OK);
    assert_string_equal(error, "");
    assert_string_equal(c.name, "demo");
    assert_int_equal(c.base_port, 7400);
    assert_true(c.timing.failure_timeout == 100 * TS_NS_PER_MS);
    assert_true(c.timing.heartbeat_interval == 10 * TS_NS_PER_MS);
    assert_int_equal(c.node_count, 3);
    assert_int_equal(c.nodes[2].id.v, 3);
    assert_true(c.nodes[2].arbiter);
    assert_string_equal(c.nodes[1].paths[1], "127.77.2.2");
    assert_string_equal(c.nodes[1].host, "host2");
    assert_int_equal(c.group_count, 1);
    assert_int_equal(c.groups[0].nic_count, 2);
    assert_int_equal(c.groups[0].nics[0].v, 1);
    assert_int_equal(c.groups[0].client_port, 6379);
    struct ts_nic_id voters[TS_VOTERS_MAX];
    assert_int_equal(cfg_cluster_voters(&c, voters), 3);
    assert_int_equal(cfg_port_replica(&c, c.groups[0].id), 7411);
}

/* Goal: everything optional, in block style, with units, and `nics` of a group left out. */
static void test_parse_optional_parts_are_taken(void **state)
{
    (void)state;
    struct cfg_cluster c;
    char error[CLUSTER_YAML_ERROR_MAX];
    const char *text =
        "cluster: c\n"
        "failure-timeout: 2s\n"
        "base-port: 9000\n"
        "nics:\n"
        "  - name: a\n"
        "    paths:\n"
        "      - fd00::0:1\n"
        "  - name: b\n"
        "    paths: [\"fd00::2\"]\n"
        "    voter: false\n"
        "groups:\n"
        "  - {name: g, service: kv, port: 7000, durability: disk, client-tls: required}\n"
        "  - {name: h, service: kv, port: 7001, client-tls: off, disk-limit: 2GiB, scrub-every: "
        "10min}\n"
        "  - {name: n, service: netctl, port: 7002}\n"
        "  - {name: o, service: netctl, port: 7003, agent-port: 7004}\n";
    assert_int_equal(parse(text, &c, error), TS_OK);
    assert_true(c.timing.failure_timeout == 2 * TS_NS_PER_S);
    assert_int_equal(cfg_port_voter(&c), 9001);
    assert_string_equal(c.nodes[0].paths[0], "fd00::1");
    assert_string_equal(c.nodes[0].host, "a");
    assert_false(c.nodes[1].voter);
    assert_int_equal(c.groups[0].nic_count, 2);
    assert_true(c.groups[0].client_tls);
    assert_false(c.groups[1].client_tls);
    assert_true(c.groups[0].disk_limit == 0);
    assert_true(c.groups[1].disk_limit == 2ULL << 30);
    assert_true(c.groups[0].scrub_every == 0);
    assert_true(c.groups[1].scrub_every == 600 * TS_NS_PER_S);
    assert_int_equal(c.groups[1].agent_port, 0);
    assert_true(c.groups[2].client_tls && c.groups[2].agent_port == CFG_AGENT_PORT);
    assert_int_equal(c.groups[3].agent_port, 7004);
}

/* Goal: metrics are for this machine alone unless the file says otherwise; each way has its
 * address. */
static void test_parse_metrics_addresses(void **state)
{
    (void)state;
    struct cfg_cluster c;
    char error[CLUSTER_YAML_ERROR_MAX];
    assert_int_equal(parse(GOOD, &c, error), TS_OK);
    uint64_t digest = cfg_cluster_digest(&c);
    assert_int_equal(c.metrics_port, 7403);
    assert_string_equal(cfg_metrics_address(&c, &c.nodes[0]), "127.77.1.1");
    memcpy(c.nodes[0].paths[0], "10.0.0.1", sizeof("10.0.0.1"));
    assert_string_equal(cfg_metrics_address(&c, &c.nodes[0]), "127.0.0.1");
    assert_int_equal(parse("metrics: path\nmetrics-port: 9464\n" GOOD, &c, error), TS_OK);
    assert_int_equal(c.metrics_port, 9464);
    memcpy(c.nodes[0].paths[0], "10.0.0.1", sizeof("10.0.0.1"));
    assert_string_equal(cfg_metrics_address(&c, &c.nodes[0]), "10.0.0.1");
    assert_int_equal(parse("metrics: 0.0.0.0\n" GOOD, &c, error), TS_OK);
    assert_string_equal(cfg_metrics_address(&c, &c.nodes[0]), "0.0.0.0");
    assert_true(cfg_cluster_digest(&c) != digest);
    assert_int_equal(parse("metrics: off\n" GOOD, &c, error), TS_OK);
    assert_null(cfg_metrics_address(&c, &c.nodes[0]));
    assert_int_equal(parse("metrics-port: 7403\n" GOOD, &c, error), TS_OK);
    assert_true(cfg_cluster_digest(&c) == digest);
}

struct bad {
    const char *text;
    const char *error;
};

static const struct bad BAD[] = {
    {"", "c.yaml:1:1: the file is empty; describe a cluster in it"},
    {"cluster: [", "c.yaml:2:1: not valid YAML: did not find expected node content; correct the "
                   "syntax here"},
    {"cluster: \xff", "c.yaml:1:10: not valid YAML: invalid leading UTF-8 octet; correct the "
                      "syntax here"},
    {"- a\n", "c.yaml:1:1: the cluster file is a list; write a mapping of \"key: value\" pairs "
              "here"},
    {GOOD "---\nx: 1\n", "c.yaml:10:1: a second document begins; a cluster is one document"},
    {GOOD "nics: []\n", "c.yaml:9:1: key \"nics\" is in the cluster file twice; remove one"},
    {"cluster: demo\nnick: 1\n",
     "c.yaml:2:1: unknown key \"nick\" in the cluster file; known are: cluster, failure-timeout, "
     "base-port, metrics, metrics-port, nics, arbiters, groups, lab"},
    {NICS GROUPS, "c.yaml:1:1: the cluster file has no \"cluster\"; add it"},
    {"cluster: demo\n" NICS ARBITER, "c.yaml:1:1: the cluster file has no \"groups\"; add it"},
    {"cluster: Demo\n" NICS GROUPS,
     "c.yaml:1:10: cluster is \"Demo\"; write 1 to 31 of a-z, 0-9 and -, a letter first"},
    {"cluster: demo\nfailure-timeout: 100\n",
     "c.yaml:2:18: failure-timeout is \"100\"; write a number with ms or s, like 100ms"},
    {"cluster: demo\nfailure-timeout: ms\n",
     "c.yaml:2:18: failure-timeout is \"ms\"; write a number with ms or s, like 100ms"},
    {"cluster: demo\nfailure-timeout: 19ms\n",
     "c.yaml:2:18: failure-timeout is 19ms; choose from 20ms to 60s"},
    {"cluster: demo\nfailure-timeout: 61s\n",
     "c.yaml:2:18: failure-timeout is 61s; choose from 20ms to 60s"},
    {"cluster: demo\nfailure-timeout: {a: 1}\n",
     "c.yaml:2:18: failure-timeout is a mapping; write a single value here"},
    {"cluster: demo\nbase-port: many\n",
     "c.yaml:2:12: base-port is \"many\"; write a whole number from 1024 to 65462"},
    {"cluster: demo\nbase-port: 65463\n",
     "c.yaml:2:12: base-port is \"65463\"; write a whole number from 1024 to 65462"},
    {"cluster: demo\nmetrics: everywhere\n", "c.yaml:2:10: metrics is \"everywhere\"; write "
                                             "loopback, path (each node's first one), off, or "
                                             "an IP address such as 0.0.0.0"},
    {"cluster: demo\nmetrics-port: 0\n",
     "c.yaml:2:15: metrics-port is \"0\"; write a whole number from 1 to 65535"},
    {"cluster: demo\nmetrics-port: 7401\n" NICS ARBITER GROUPS,
     "c.yaml:2:15: metrics-port 7401 lies in Twinstep's own 7400..7473; choose another"},
    {"cluster: demo\nmetrics-port: 6379\n" NICS ARBITER GROUPS,
     "c.yaml:2:15: port 6379 is group kv's already; choose another"},
    {"cluster: demo\nnics: nic1\n", "c.yaml:2:7: nics is a single value; write a list here"},
    {"cluster: demo\nnics:\n", "c.yaml:2:6: nics is nothing; write a list here"},
    {"cluster: demo\nnics: []\n", "c.yaml:2:7: the list of nics is empty; name at least one"},
    {"cluster: demo\nnics:\n  - nic1\n",
     "c.yaml:3:5: a NIC is a single value; write a mapping of \"key: value\" pairs here"},
    {"cluster: demo\nnics:\n  - {name: a, pats: [10.0.0.1]}\n",
     "c.yaml:3:15: unknown key \"pats\" in a NIC; known are: name, host, paths, voter"},
    {"cluster: demo\nnics:\n  - {paths: [10.0.0.1]}\n",
     "c.yaml:3:5: a NIC has no \"name\"; add it"},
    {"cluster: demo\nnics:\n\t- {name: a}\n",
     "c.yaml:3:1: a tab stands here; YAML is indented with spaces only: replace it"},
    {"cluster: demo\nnics:\n  - {name: ca, paths: [10.0.0.1]}\n",
     "c.yaml:3:12: the name \"ca\" is taken by Twinstep itself in the run directory; give the node "
     "another one"},
    {"cluster: demo\n" NICS "arbiters:\n  - {name: formed, paths: [127.9.9.9]}\n" GROUPS,
     "c.yaml:6:12: the name \"formed\" is taken by Twinstep itself in the run directory; give the "
     "node another one"},
    {"cluster: demo\nnics:\n  - {name: a}\n", "c.yaml:3:5: a NIC has no \"paths\"; add it"},
    {"cluster: demo\nnics:\n  - {name: a, paths: []}\n",
     "c.yaml:3:22: a has 0 paths; give it 1 to 4 addresses, one a path"},
    {"cluster: demo\nnics:\n  - {name: a, paths: [10.0.0.256]}\n",
     "c.yaml:3:23: \"10.0.0.256\" is not an IP address; write one like 10.0.1.1 or fd00::1"},
    {"cluster: demo\nnics:\n  - {name: a, paths: [0.0.0.0]}\n",
     "c.yaml:3:23: \"0.0.0.0\" is no address of one machine; write one like 10.0.1.1 or fd00::1"},
    {"cluster: demo\nnics:\n  - {name: a, paths: [\"ff02::1\"]}\n",
     "c.yaml:3:23: \"ff02::1\" is no address of one machine; write one like 10.0.1.1 or fd00::1"},
    {"cluster: demo\nnics:\n  - {name: a, paths: [\"fe80::1\"]}\n",
     "c.yaml:3:23: \"fe80::1\" is a link's own address, which means nothing elsewhere; write one "
     "like "
     "10.0.1.1 or fd00::1"},
    {"cluster: demo\nnics:\n  - {name: a, paths: [\"::ffff:10.0.0.1\"]}\n",
     "c.yaml:3:23: \"::ffff:10.0.0.1\" is an IPv4 address within an IPv6 one; write one like "
     "10.0.1.1 "
     "or fd00::1"},
    {"cluster: demo\nnics:\n  - {name: a, paths: [10.0.0.1], voter: maybe}\n",
     "c.yaml:3:41: voter is \"maybe\"; write true or false"},
    {"cluster: demo\nnics:\n  - {name: a, paths: [10.0.0.1]}\n  - {name: a, paths: [10.0.0.2]}\n",
     "c.yaml:4:12: a node named \"a\" is there already; give each its own name"},
    {"cluster: demo\nnics:\n  - {name: a, paths: [10.0.0.1]}\n"
     "  - {name: b, paths: [10.0.0.2, 10.1.0.2]}\n" GROUPS,
     "c.yaml:4:5: b has 2 paths but a has 1; give all nodes the same"},
    {"cluster: demo\nnics:\n  - {name: a, paths: [10.0.0.1]}\n"
     "  - {name: b, paths: [\"fd00::1\"]}\n" GROUPS,
     "c.yaml:4:23: path 1 mixes IPv4 and IPv6 (a has 10.0.0.1); use one family a path"},
    {"cluster: demo\nnics:\n  - {name: a, paths: [10.0.0.1, 10.0.0.1]}\n" GROUPS,
     "c.yaml:3:33: address 10.0.0.1 is a's already; give each path of each node its own"},
    {"cluster: demo\n" NICS "arbiters:\n  - {name: x, paths: [127.77.1.1, 127.9.9.9]}\n" GROUPS,
     "c.yaml:6:23: address 127.77.1.1 is nic1's already; give each path of each node its own"},
    {"cluster: demo\n" NICS GROUPS,
     "c.yaml:4:5: 2 voters: an even number cannot break a tie; add an arbiter or set "
     "\"voter: false\" on one node"},
    {"cluster: demo\nnics:\n  - {name: a, paths: [10.0.0.1], voter: false}\n" GROUPS,
     "c.yaml:1:1: no node votes; remove \"voter: false\" from one"},
    {"cluster: demo\nnics:\n"
     "  - {name: a, paths: [10.0.0.1]}\n  - {name: b, paths: [10.0.0.2]}\n"
     "  - {name: c, paths: [10.0.0.3]}\n  - {name: d, paths: [10.0.0.4]}\n"
     "  - {name: e, paths: [10.0.0.5]}\n  - {name: f, paths: [10.0.0.6]}\n"
     "  - {name: g, paths: [10.0.0.7]}\n" GROUPS,
     "c.yaml:9:5: 7 voters, at most 5 are allowed; set \"voter: false\" on some"},
    {"cluster: demo\n" NICS
     "arbiters:\n  - {name: x, paths: [127.1.1.1, 127.1.1.2], voter: false}\n" GROUPS,
     "c.yaml:6:53: an arbiter without a vote does nothing; remove it or let it vote"},
    {"cluster: demo\n" NICS ARBITER "groups: []\n", "c.yaml:7:9: 0 groups; describe 1 to 63"},
    {"cluster: demo\n" NICS ARBITER "groups:\n  - {name: kv, service: sql, port: 1}\n",
     "c.yaml:8:25: there is no service \"sql\"; known are: kv, netctl"},
    {"cluster: demo\n" NICS ARBITER "groups:\n  - {name: kv, service: kv, nics: [nic3], port: 1}\n",
     "c.yaml:8:36: group kv names \"nic3\", which is no NIC; use a name under nics"},
    {"cluster: demo\n" NICS ARBITER "groups:\n  - {name: kv, service: kv, nics: [arb1], port: 1}\n",
     "c.yaml:8:36: group kv names the arbiter \"arb1\"; an arbiter holds no replica"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, nics: [nic1, nic1], port: 1}\n",
     "c.yaml:8:42: group kv names \"nic1\" twice; remove one"},
    {"cluster: demo\n" NICS ARBITER "groups:\n  - {name: kv, service: kv, nics: [], port: 1}\n",
     "c.yaml:8:35: group kv has 0 NICs; name 1 to 8 under nics"},
    {"cluster: demo\n" NICS ARBITER "groups:\n  - {name: kv, service: kv}\n",
     "c.yaml:8:5: a group has no \"port\"; add it"},
    {"cluster: demo\n" NICS ARBITER "groups:\n  - {name: kv, service: kv, port: 0}\n",
     "c.yaml:8:35: port is \"0\"; write a whole number from 1 to 65535"},
    {"cluster: demo\n" NICS ARBITER "groups:\n  - {name: kv, service: kv, port: 7411}\n",
     "c.yaml:8:35: port 7411 of group kv lies in Twinstep's own 7400..7473; choose another or "
     "move base-port"},
    {"cluster: demo\n" NICS ARBITER GROUPS "  - {name: k2, service: kv, port: 6379}\n",
     "c.yaml:9:35: port 6379 is group kv's already on a shared NIC; choose another"},
    {"cluster: demo\n" NICS ARBITER GROUPS "  - {name: k2, service: kv, port: 1, agent-port: 2}\n",
     "c.yaml:9:50: agent-port is for groups of netctl only; leave it out"},
    {"cluster: demo\n" NICS ARBITER GROUPS "  - {name: n, service: netctl, port: 1235}\n",
     "c.yaml:9:38: port and agent-port of group n are both 1235; choose another"},
    {"cluster: demo\n" NICS ARBITER GROUPS
     "  - {name: n, service: netctl, port: 443, agent-port: 6379}\n",
     "c.yaml:9:55: port 6379 is group kv's already on a shared NIC; choose another"},
    {"cluster: demo\n" NICS ARBITER GROUPS
     "  - {name: n, service: netctl, port: 443, client-tls: off}\n",
     "c.yaml:9:55: netctl speaks HTTPS only; leave client-tls out"},
    {"cluster: demo\n" NICS ARBITER GROUPS "  - {name: kv, service: kv, port: 1}\n",
     "c.yaml:9:12: a group named \"kv\" is there already; give each its own name"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, port: 1, durability: memory}\n",
     "c.yaml:8:50: durability is \"memory\"; this version offers: disk"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, port: 1, client-tls: maybe}\n",
     "c.yaml:8:50: client-tls is \"maybe\"; write required or off"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, port: 1, disk-limit: 4G}\n",
     "c.yaml:8:50: disk-limit is \"4G\"; write a number with MiB, GiB or TiB, like 8GiB"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, port: 1, disk-limit: 255MiB}\n",
     "c.yaml:8:50: disk-limit is 255MiB; choose from 256MiB to 1024TiB"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, port: 1, scrub-every: 60}\n",
     "c.yaml:8:51: scrub-every is \"60\"; write a number with s, min or h, like 1h"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, port: 1, scrub-every: 721h}\n",
     "c.yaml:8:51: scrub-every is 721h; choose from 1s to 720h"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, port: 1, address: 10.0.0.9}\n",
     "c.yaml:8:47: address is \"10.0.0.9\"; write the IP address of one machine and the bits of "
     "its "
     "network, like 192.0.2.10/24 or 2001:db8::10/64"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, port: 1, address: 10.0.0.9/32}\n",
     "c.yaml:8:47: address is \"10.0.0.9/32\"; write the IP address of one machine and the bits of "
     "its network, like 192.0.2.10/24 or 2001:db8::10/64"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, port: 1, address: \"fe80::9/64\"}\n",
     "c.yaml:8:47: address is \"fe80::9/64\"; write the IP address of one machine and the bits of "
     "its network, like 192.0.2.10/24 or 2001:db8::10/64"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, port: 1, address: 10.0.1.0/24}\n",
     "c.yaml:8:47: 10.0.1.0 is the first or the last of its network, no machine's; choose another "
     "one"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, port: 1, address: 10.0.1.191/26}\n",
     "c.yaml:8:47: 10.0.1.191 is the first or the last of its network, no machine's; choose "
     "another "
     "one"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, port: 1, address: \"fd00:1::/64\"}\n",
     "c.yaml:8:47: fd00:1:: is the first or the last of its network, no machine's; choose another "
     "one"},
    {"cluster: demo\n" NICS ARBITER
     "groups:\n  - {name: kv, service: kv, port: 1, address: 10.0.0.9/24}\n"
     "  - {name: k2, service: kv, port: 2, address: 10.0.0.9/25}\n",
     "c.yaml:9:47: 10.0.0.9 is group kv's; each group has its own: choose another one"},
    {"cluster: \"a\\0b\"\n", "c.yaml:1:10: cluster contains a NUL character; remove it"},
    {"cluster: \"a\\nb\"\n",
     "c.yaml:1:10: cluster is \"a?b\"; write 1 to 31 of a-z, 0-9 and -, a letter first"},
};

/* Goal: each mistake is named with its place and the way out. */
static void test_parse_bad_file_says_place_and_remedy(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct cfg_cluster c;
        char error[CLUSTER_YAML_ERROR_MAX];
        assert_int_equal(parse(BAD[i].text, &c, error), TS_ERR_CONFIG);
        assert_string_equal(error, BAD[i].error);
    }
}

#define MARK "\xef\xbb\xbf"

/* Goal: editors put a mark in front of UTF-8; the file is what it is without it, and places of
 * mistakes are those that an editor shows. */
static void test_parse_marked_utf8_is_taken(void **state)
{
    (void)state;
    struct cfg_cluster c;
    struct cfg_cluster plain;
    char error[CLUSTER_YAML_ERROR_MAX];
    assert_int_equal(parse(GOOD, &plain, error), TS_OK);
    assert_int_equal(parse(MARK GOOD, &c, error), TS_OK);
    assert_true(cfg_cluster_digest(&c) == cfg_cluster_digest(&plain));
    assert_int_equal(parse(MARK "cluster: \xff", &c, error), TS_ERR_CONFIG);
    assert_string_equal(error, "c.yaml:1:10: not valid YAML: invalid leading UTF-8 octet; correct "
                               "the syntax here");
    assert_int_equal(parse(MARK, &c, error), TS_ERR_CONFIG);
    assert_string_equal(error, "c.yaml:1:1: the file is empty; describe a cluster in it");
}

/* Goal: UTF-16 and UTF-32 are named, with a mark and without; bytes of zero are neither. */
static void test_parse_wide_text_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        bool wide;
    } CASES[] = {
        {"\xff\xfe"
         "c\0l\0",
         6, true},
        {"\xfe\xff"
         "\0c\0l",
         6, true},
        {"c\0l\0", 4, true},
        {"\0c\0l", 4, true},
        {"\xff\xfe\0\0c\0\0\0", 8, true},
        {"\0\0\xfe\xff\0\0\0c", 8, true},
        {"c\0\0\0l\0\0\0", 8, true},
        {"\0\0\0c\0\0\0l", 8, true},
        {"\0\0\0\0\0\0\0\0", 8, false},
        {"\xff\xff", 2, false},
        {"\0", 1, false},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct cfg_cluster c;
        char error[CLUSTER_YAML_ERROR_MAX];
        struct ts_bytes text = {(const uint8_t *)CASES[i].text, CASES[i].len};
        assert_int_equal(cluster_yaml_parse("c.yaml", text, &c, error), TS_ERR_CONFIG);
        assert_int_equal(strcmp(error, "c.yaml:1:1: the file is in UTF-16 or UTF-32; save it as "
                                       "UTF-8") == 0,
                         CASES[i].wide);
    }
}

/* Goal: an alias that contains itself neither crashes nor hangs. */
static void test_parse_self_alias_is_refused(void **state)
{
    (void)state;
    struct cfg_cluster c;
    char error[CLUSTER_YAML_ERROR_MAX];
    assert_int_equal(parse("cluster: demo\nnics: &a [*a]\n", &c, error), TS_ERR_CONFIG);
    assert_string_equal(error, "c.yaml:2:7: a NIC is a list; write a mapping of \"key: value\" "
                               "pairs here");
}

/* Goal: a missing file is told from a bad one, with what to do. */
static void test_load_missing_file_is_not_found(void **state)
{
    (void)state;
    struct cfg_cluster c;
    char error[CLUSTER_YAML_ERROR_MAX];
    assert_int_equal(cluster_yaml_load("/nonexistent/cluster.yaml", &c, error), TS_ERR_NOT_FOUND);
    assert_string_equal(error, "/nonexistent/cluster.yaml: cannot open the cluster file: No such "
                               "file or directory; name one with --config FILE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_good_file_gives_cluster),
        cmocka_unit_test(test_parse_metrics_addresses),
        cmocka_unit_test(test_parse_optional_parts_are_taken),
        cmocka_unit_test(test_parse_bad_file_says_place_and_remedy),
        cmocka_unit_test(test_parse_marked_utf8_is_taken),
        cmocka_unit_test(test_parse_wide_text_is_named),
        cmocka_unit_test(test_parse_self_alias_is_refused),
        cmocka_unit_test(test_load_missing_file_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
