/* What twinstep prints, from canned answers and events. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/cli_fixture.h"

#include "cli/event_text.h"
#include "cli/explain.h"
#include "cli/gather.h"
#include "cli/latency.h"
#include "cli/notes.h"
#include "cli/status.h"
#include "cluster-cfg/io/cluster_yaml.h"

static struct cfg_cluster cluster;

static void expect(struct sheet *s, const char *text)
{
    assert_int_equal(fclose(s->cli.out), 0);
    assert_string_equal(s->text, text);
    free(s->text);
}

static int setup(void **state)
{
    char error[CLUSTER_YAML_ERROR_MAX];
    struct ts_bytes text = {(const uint8_t *)CLUSTER, sizeof(CLUSTER) - 1};
    (void)state;
    if (setenv("TZ", "EAST-5", 1) != 0) { /* nothing may depend on it */
        return -1;
    }
    tzset();
    return cluster_yaml_parse("c", text, &cluster, error) == TS_OK ? 0 : -1;
}

#define NIC1 \
    "{\"node\": \"nic1\", \"reply\": {\"voter\": {\"state\": \"ready\", \"start\": 2, " \
    "\"confirmed\": 3, \"voters\": 3}, \"processes\": [" \
    "{\"program\": \"heartbeatd\", \"group\": null, \"running\": true, \"pid\": 11, \"starts\": " \
    "1, " \
    "\"last_status\": 0}," \
    "{\"program\": \"replica\", \"group\": \"kv\", \"running\": true, \"pid\": 12, \"starts\": " \
    "3, " \
    "\"last_status\": -9}]," \
    "\"peers\": [{\"node\": \"nic2\", \"alive\": true, \"paths\": [{\"address\": \"10.0.0.2\", " \
    "\"up\": true}, {\"address\": \"10.0.1.2\", \"up\": false}]}]," \
    "\"groups\": [{\"group\": \"kv\", \"role\": \"primary\", \"epoch\": 4, \"primary\": " \
    "\"nic1\", " \
    "\"in_sync\": [\"nic1\", \"nic2\"], \"members\": [\"nic1\", \"nic2\"], " \
    "\"required\": [\"nic1\", \"nic2\"], \"last\": 9, \"committed\": 9, \"applied\": 9, " \
    "\"digest\": \"00112233445566778899aabbccddeeff\", \"requests\": 100, \"waiting\": 1, " \
    "\"rejected\": 0, \"why\": \"\"}]," \
    "\"alarms\": [{\"code\": \"path-down\", \"text\": \"path 2 to nic2 (10.0.1.2) is down\"}]}}"

#define NIC2(role, epoch, digest) \
    "{\"node\": \"nic2\", \"reply\": {\"voter\": {\"state\": \"ready\", \"start\": 1, " \
    "\"confirmed\": 3, \"voters\": 3}, \"processes\": []," \
    "\"groups\": [{\"group\": \"kv\", \"role\": \"" role "\", \"epoch\": " epoch \
    ", \"primary\": \"nic1\", \"in_sync\": [\"nic1\"], \"members\": [\"nic1\", \"nic2\"], " \
    "\"required\": [\"nic1\"], \"serving\": true, \"last\": 9, \"committed\": 8, " \
    "\"applied\": 9, \"digest\": " \
    "\"" digest "\", \"requests\": 0, \"waiting\": 0, \"rejected\": 0, \"why\": \"waits\"}]," \
    "\"alarms\": [{\"code\": \"path-down\", \"text\": \"path 2 to nic2 (10.0.1.2) is down\"}]}}"

#define SAME "00112233445566778899aabbccddeeff"
#define ARB1 "{\"node\": \"arb1\", \"error\": \"long\", \"state\": \"not running\"}"

static json_t *merge(const char *answers)
{
    json_t *json = json_loads(answers, 0, NULL);
    assert_non_null(json);
    json_t *merged = cli_merge(&cluster, json);
    json_decref(json);
    return merged;
}

/* Goal: the whole picture, with a path down and an arbiter that does not run. */
static void test_status_print_shows_everything(void **state)
{
    (void)state;
    struct sheet s = {0};
    json_t *merged = merge("[" NIC1 "," NIC2("secondary", "3", SAME) "," ARB1 "]");
    sheet_begin(&s);
    cli_status_print(&s.cli, merged);
    expect(&s,
           "cluster demo: 2 of 3 nodes answer\n"
           "\n"
           "group kv  primary nic1  epoch 4\n"
           "  in sync: nic1 nic2  required: nic1 nic2  members: nic1 nic2\n"
           "  replica  role       applied  lag  digest    requests  waiting  why\n"
           "  nic1     primary    9        0    00112233  100       1        \n"
           "  nic2     secondary  9        0    00112233  0         0        waits\n"
           "\n"
           "node  process     pid  state        restarts  last exit\n"
           "nic1  heartbeatd  11   up           0         -\n"
           "nic1  replica kv  12   up           2         signal 9\n"
           "arb1  -           -    not running  -         -\n"
           "\n"
           "from  to    state  paths\n"
           "nic1  nic2  heard  10.0.0.2 up, 10.0.1.2 DOWN\n"
           "\n"
           "voter  state  start  confirmed by\n"
           "nic1   ready  2      3 of 3\n"
           "nic2   ready  1      3 of 3\n"
           "\n"
           "alarms\n"
           "  alarm             group  seen by    meaning\n"
           "  path-down         -      nic1 nic2  path 2 to nic2 (10.0.1.2) is down\n"
           "  node-unreachable  -      status     arb1 does not run; start it with twinstep up\n");
    json_decref(merged);
}

#define ADDRESS_AT(node, here, interface, why) \
    "{\"node\": \"" node "\", \"reply\": {\"groups\": [{\"group\": \"kv\", \"role\": " \
    "\"secondary\", \"epoch\": 4, \"service_address\": {\"address\": \"192.0.2.9/24\", " \
    "\"here\": " here ", \"interface\": \"" interface "\", \"why\": \"" why "\"}}]}}"

/* Goal: where the service address is stands in the picture, and if nowhere, why. */
static void test_status_print_tells_the_service_address(void **state)
{
    static const struct {
        const char *answers;
        const char *lines;
    } LIST[] = {
        {"[" ADDRESS_AT("nic1", "false", "", "no right") "," ADDRESS_AT("nic2", "true", "eth1",
                                                                        "") "]",
         "  service address 192.0.2.9/24: at nic2 (eth1)\n  replica"},
        {"[" ADDRESS_AT("nic1", "false", "", "no right") "," ADDRESS_AT("nic2", "false", "",
                                                                        "") "]",
         "  service address 192.0.2.9/24: nowhere, since no replica serves\n"
         "    not at nic1: no right\n  replica"},
        {"[" ADDRESS_AT("nic1", "false", "", "") "]",
         "  service address 192.0.2.9/24: not at the NICs that answer here\n  replica"},
    };
    (void)state;
    memcpy(cluster.groups[0].address, "192.0.2.9", sizeof("192.0.2.9"));
    cluster.groups[0].address_prefix = 24;
    for (size_t i = 0; i < sizeof(LIST) / sizeof(LIST[0]); i++) {
        struct sheet s = {0};
        json_t *merged = merge(LIST[i].answers);
        sheet_begin(&s);
        cli_status_print(&s.cli, merged);
        assert_int_equal(fclose(s.cli.out), 0);
        assert_non_null(strstr(s.text, LIST[i].lines));
        free(s.text);
        json_decref(merged);
    }
    cluster.groups[0].address[0] = '\0';
}

/* Goal: what was refused is told, and only when there is any. */
static void test_status_print_refused_input_is_told(void **state)
{
    (void)state;
    struct sheet s = {0};
    json_t *merged =
        merge("[{\"node\": \"nic1\", \"reply\": {\"heartbeats_refused\": 12, \"voter\": "
              "{\"rejected\": 0}, \"groups\": [{\"group\": \"kv\", \"role\": "
              "\"primary\", \"epoch\": 2, \"rejected\": 345}]}}]");
    sheet_begin(&s);
    cli_status_print(&s.cli, merged);
    assert_int_equal(fclose(s.cli.out), 0);
    assert_non_null(strstr(s.text, "node  refused by  count  what\n"
                                   "nic1  heartbeatd  12     datagrams\n"
                                   "nic1  replica kv  345    requests, links and frames\n"));
    free(s.text);
    json_decref(merged);
}

/* Goal: a replica that is down does not speak for the group, however new its last word was. */
static void test_merge_replica_down_does_not_give_config(void **state)
{
    (void)state;
    json_t *merged = merge("[" NIC2("down", "9", SAME) "]");
    const json_t *group = json_array_get(json_object_get(merged, "groups"), 0);
    assert_int_equal(cli_number(group, "epoch"), 0);
    assert_true(json_is_null(json_object_get(group, "primary")));
    json_decref(merged);
}

/* Goal: a frozen primary's last word does not read as a second primary. */
static void test_merge_superseded_primary_is_not_shown_as_one(void **state)
{
    (void)state;
    json_t *merged = merge("[" NIC2("primary", "9", SAME) "," NIC1 "]");
    const json_t *group = json_array_get(json_object_get(merged, "groups"), 0);
    const json_t *replicas = json_object_get(group, "replicas");
    assert_string_equal(cli_string(json_array_get(replicas, 0), "role", ""), "primary");
    assert_string_equal(cli_string(json_array_get(replicas, 1), "role", ""), "was primary");
    json_decref(merged);
}

/* The group's row of nic2 when nic1 is away: what it waits for, and since when. */
#define ALONE(role, serving) \
    "{\"node\": \"nic2\", \"reply\": {\"groups\": [{\"group\": \"kv\", \"role\": \"" role \
    "\", \"epoch\": 4, \"primary\": \"nic1\", \"age_ms\": 50, \"serving\": " serving "}]}}"
#define GONE "{\"node\": \"nic1\", \"error\": \"long\", \"state\": \"not running\"}"

/* The heading of the group, and whether the status command itself raises the alarm. */
static void expect_heading(const char *answers, const char *heading, bool alarm)
{
    struct sheet s = {0};
    json_t *merged = merge(answers);
    const json_t *alarms = json_object_get(merged, "alarms");
    size_t i;
    json_t *a;
    bool found = false;
    json_array_foreach(alarms, i, a)
    {
        found = found || strcmp(cli_string(a, "code", ""), "no-primary") == 0;
    }
    assert_int_equal(found, alarm);
    sheet_begin(&s);
    cli_status_print(&s.cli, merged);
    assert_int_equal(fclose(s.cli.out), 0);
    if (strstr(s.text, heading) == NULL) {
        print_error("no \"%s\" in:\n%s\n", heading, s.text);
    }
    assert_non_null(strstr(s.text, heading));
    free(s.text);
    json_decref(merged);
}

/* Goal: the heading names a primary only while somebody knows that it serves. */
static void test_status_heading_without_primary_says_so(void **state)
{
    (void)state;
    expect_heading("[" ALONE("secondary", "false, \"no_primary_ms\": 12345") "," GONE "]",
                   "group kv  no primary seen for 12.3 s, nic1 was the last  epoch 4\n", false);
    /* Its own cluster-cfgd is silent, but the replica that follows it knows. */
    expect_heading("[" ALONE("secondary", "true") "," GONE "]", "group kv  primary nic1  epoch 4\n",
                   false);
    /* nic1 may live on a machine that was not asked. */
    expect_heading("[" ALONE("secondary", "true") "]", "group kv  primary nic1  epoch 4\n", false);
    expect_heading("[" ALONE("down", "null") "]", "group kv  primary unknown  epoch 0\n", false);
    expect_heading("[" ALONE("down", "null") "," GONE "]", "group kv  no primary  epoch 0\n", true);
    expect_heading("[" ARB1 "]", "group kv  primary unknown  epoch 0\n", false);
    /* An arbiter's machine knows what its voter recorded, and no more. */
    expect_heading("[{\"node\": \"arb1\", \"reply\": {\"voter\": {\"registers\": [{\"group\": "
                   "\"kv\", \"epoch\": 7, \"primary\": \"nic2\"}]}}}]",
                   "group kv  primary nic2 as the voter of arb1 recorded  epoch 7\n"
                   "  none of its NICs is of this machine or answers\n",
                   false);
    /* What was said long ago does not count, whoever said it. */
    expect_heading("[" ALONE("primary", "null, \"age_ms\": 9000") "," GONE "]",
                   "group kv  no primary, nic1 was the last  epoch 4\n", true);
    expect_heading("[" ALONE("secondary", "true, \"age_ms\": 9000") "," GONE "]",
                   "group kv  no primary, nic1 was the last  epoch 4\n", true);
}

/* Goal: for programs, "primary" is null without one, and the last one stands beside it. */
static void test_merge_without_primary_gives_null_and_since(void **state)
{
    (void)state;
    json_t *merged = merge("[" ALONE("learner", "false, \"no_primary_ms\": 700") "]");
    const json_t *group = json_array_get(json_object_get(merged, "groups"), 0);
    assert_true(json_is_null(json_object_get(group, "primary")));
    assert_true(json_is_false(json_object_get(group, "serving")));
    assert_string_equal(cli_string(group, "last_primary", ""), "nic1");
    assert_int_equal(cli_number(group, "no_primary_ms"), 700);
    json_decref(merged);
    merged = merge("[" NIC1 "," ALONE("secondary", "false, \"no_primary_ms\": 700") "]");
    group = json_array_get(json_object_get(merged, "groups"), 0);
    assert_string_equal(cli_string(group, "primary", ""), "nic1");
    assert_true(json_is_true(json_object_get(group, "serving")));
    assert_true(json_is_null(json_object_get(group, "no_primary_ms")));
    json_decref(merged);
}

/* Goal: the highest epoch is believed. */
static void test_merge_highest_epoch_wins(void **state)
{
    (void)state;
    json_t *merged = merge("[" NIC1 "," NIC2("secondary", "5", SAME) "]");
    const json_t *group = json_array_get(json_object_get(merged, "groups"), 0);
    assert_int_equal(cli_number(group, "epoch"), 5);
    assert_int_equal(json_array_size(json_object_get(group, "in_sync")), 1);
    json_decref(merged);
}

/* Goal: two states at one position are an alarm, whoever noticed or not. */
static void test_merge_different_digests_are_an_alarm(void **state)
{
    (void)state;
    json_t *merged = merge("[" NIC1 "," NIC2("secondary", "4", "ff") "]");
    const json_t *alarms = json_object_get(merged, "alarms");
    const json_t *last = json_array_get(alarms, json_array_size(alarms) - 1);
    assert_string_equal(cli_string(last, "code", ""), "divergence");
    assert_string_equal(cli_string(last, "text", ""),
                        "replicas diverged: nic1 and nic2 have different states at entry 9");
    json_decref(merged);
}

/* Goal: `up` waits for nodes, voters, the primary and redundancy, and says for which. */
static void test_is_settled_names_what_is_awaited(void **state)
{
    (void)state;
    static const struct {
        const char *answers;
        const char *what; /* NULL: settled */
    } CASES[] = {
        {"[" NIC1 "]", NULL},
        {"[" NIC1 "," ARB1 "]", "arb1 does not answer yet"},
        {"[{\"node\": \"a\", \"reply\": {\"voter\": {\"state\": \"registering\", "
         "\"confirmed\": 1, \"voters\": 3}}}]",
         "the voter of a waits for a majority of voters (1 of 3 confirm its start)"},
        {"[{\"node\": \"a\", \"reply\": {\"voter\": {\"state\": \"ready\"}, \"processes\": [{"
         "\"program\": \"heartbeatd\", \"running\": false}]}}]",
         "heartbeatd of a is down"},
        {"[" NIC2("down", "3", SAME) "]", "kv: no primary yet"},
        {"[" NIC2("secondary", "3", SAME) "]", "kv: 1 of 2 replicas in sync"},
        {"[{\"node\": \"nic1\", \"reply\": {\"voter\": {\"state\": \"none\"}, \"groups\": [{"
         "\"group\": \"kv\", \"role\": \"taking over\", \"epoch\": 2, \"primary\": \"nic1\"}]}}]",
         "kv: nic1 takes over"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char what[100] = "";
        json_t *merged = merge(CASES[i].answers);
        bool settled = cli_is_settled(merged, what, sizeof(what));
        assert_int_equal(settled, CASES[i].what == NULL);
        assert_string_equal(what, CASES[i].what == NULL ? "" : CASES[i].what);
        json_decref(merged);
    }
}

/* Goal: a host whose failure takes a majority, or all copies, is told in words; several nodes on
 * one host are no fault by themselves. */
static void test_notes_one_host_for_too_much_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *note; /* NULL: none */
    } CASES[] = {
#define PAIR(one, two, three) \
    "cluster: c\nnics:\n  - {name: a, " one "paths: [10.0.0.1]}\n" \
    "  - {name: b, " two "paths: [10.0.0.2]}\narbiters:\n  - {name: c, " three \
    "paths: [10.0.0.3]}\ngroups:\n  - {name: kv, service: kv, port: 6379}\n"
        {PAIR("", "", ""), NULL},
        {PAIR("host: x, ", "host: y, ", "host: z, "), NULL},
        {PAIR("host: x, ", "host: y, ", "host: x, "),
         "host x carries a, c: its failure takes 2 of 3 voters (every group stops); spread them "
         "over hosts, or correct `host` in the cluster file"},
        {PAIR("host: x, ", "host: x, ", "host: y, "),
         "host x carries a, b: its failure takes 2 of 3 voters (every group stops) and all "
         "replicas of group kv; spread them over hosts, or correct `host` in the cluster file"},
        {"cluster: c\nnics:\n  - {name: a, host: x, paths: [10.0.0.1]}\n"
         "  - {name: b, host: x, voter: false, paths: [10.0.0.2]}\narbiters:\n"
         "  - {name: c, paths: [10.0.0.3]}\n  - {name: d, paths: [10.0.0.4]}\n"
         "groups:\n  - {name: kv, service: kv, port: 6379}\n",
         "host x carries a, b: its failure takes all replicas of group kv; spread them over hosts, "
         "or correct `host` in the cluster file"},
#define ALONE_FILE \
    "cluster: c\nnics:\n  - {name: a, paths: [10.0.0.1]}\n  - {name: b, paths: [10.0.0.2]}\n" \
    "  - {name: d, paths: [10.0.0.3]}\ngroups:\n  - {name: kv, service: kv, nics: [b], port: 1}\n"
        {ALONE_FILE,
         "group kv is not redundant: one NIC; its failure stops the group, and the loss "
         "of its disk loses the data"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct cfg_cluster c;
        char error[CLUSTER_YAML_ERROR_MAX];
        struct ts_bytes text = {(const uint8_t *)CASES[i].text, strlen(CASES[i].text)};
        assert_int_equal(cluster_yaml_parse("c", text, &c, error), TS_OK);
        json_t *notes = cli_notes(&c);
        assert_int_equal(json_array_size(notes), CASES[i].note == NULL ? 0 : 1);
        if (CASES[i].note != NULL) {
            assert_string_equal(json_string_value(json_array_get(notes, 0)), CASES[i].note);
        }
        json_decref(notes);
    }
}

/* Goal: a node that runs with another file than the one in its directory is an alarm. */
static void test_merge_other_cluster_file_is_an_alarm(void **state)
{
    (void)state;
    json_t *merged = merge("[{\"node\": \"nic1\", \"reply\": {\"cluster_digest\": "
                           "\"00000000000000ff\"}}]");
    const json_t *alarm = json_array_get(json_object_get(merged, "alarms"), 0);
    assert_string_equal(cli_string(alarm, "code", ""), "cluster-file");
    json_decref(merged);
}

/* ---- events and failovers ---- */

#define WALL 1800000000000000ULL /* 2027-01-15 08:00:00 UTC */
#define MS 1000ULL

/* One event of the replica of kv on node `node` (index), `ms` after the beginning. */
static struct cli_event event(uint8_t node, uint64_t ms, enum ts_trace_kind kind, uint64_t epoch,
                              uint64_t a, uint64_t b)
{
    struct cli_event e = {.node = node};
    e.e.wall_us = WALL + ms * MS;
    e.e.source = (struct recorder_source){
        .role = REPORT_PROC_REPLICA, .group = {1}, .instance = {node + 100U}};
    /* The clocks of two NICs have nothing in common. */
    e.e.trace = (struct ts_trace){.kind = kind,
                                  .at = {(node + 1U) * 1000 * TS_NS_PER_S + ms * TS_NS_PER_MS},
                                  .epoch = {epoch},
                                  .a = a,
                                  .b = b};
    return e;
}

static void add(struct cli_history *h, struct cli_event e)
{
    e.e.seq = h->count + 1;
    assert_int_equal(cli_history_add(h, &e), TS_OK);
}

static void add_failover(struct cli_history *h)
{
    add(h, event(1, 0, TS_TRACE_CONFIG, 4, 1, 6));
    struct cli_event exited = event(0, 9, TS_TRACE_PROC_EXITED, 0, 77, (uint64_t)-9);
    exited.e.source.instance.v = 1; /* nicd tells it */
    add(h, exited);
    exited.e.wall_us += 700 * MS; /* its restart ends, too: no part of this failover */
    exited.e.trace.b = 1;
    add(h, exited);
    add(h, event(1, 10, TS_TRACE_EVIDENCE, 4, 1, REPORT_EVIDENCE_REFUSED));
    add(h, event(1, 10, TS_TRACE_EVIDENCE, 4, 1, REPORT_EVIDENCE_EXITED));
    add(h, event(1, 11, TS_TRACE_ROLE, 4, REPORT_TRACE_ROLE_TAKING_OVER, 0));
    add(h, event(1, 13, TS_TRACE_PREPARED, 4, 4, 0));
    add(h, event(1, 14, TS_TRACE_SEALED, 4, 4, 0));
    add(h, event(1, 14, TS_TRACE_CAS_SENT, 4, 4, 0));
    add(h, event(1, 17, TS_TRACE_CAS_DONE, 5, 1, 5));
    add(h, event(1, 17, TS_TRACE_CONFIG, 5, 2, 4));
    add(h, event(1, 17, TS_TRACE_ROLE, 5, REPORT_TRACE_ROLE_PRIMARY, 0));
    add(h, event(1, 19, TS_TRACE_TAIL_COMMITTED, 5, 8, 3));
    add(h, event(1, 20, TS_TRACE_ACTIVE, 5, 0, 0));
    add(h, event(1, 520, TS_TRACE_CONFIG, 6, 2, 6));
    cli_history_sort(h);
}

/* Goal: a failover told in words: who, why, each phase, redundancy. */
static void test_explain_print_tells_failover(void **state)
{
    (void)state;
    struct cli_history h = {0};
    struct cli_failover list[4];
    struct sheet s = {0};
    add_failover(&h);
    assert_int_equal(cli_failovers(&cluster, &h, SIZE_MAX, list, 4), 1);
    sheet_begin(&s);
    cli_explain_print(&s.cli, &cluster, &list[0]);
    expect(&s, "kv: nic2 took over from nic1 at 2027-01-15T08:00:00.010Z, epoch 4 to 5\n"
               "  why: nic1: its nicd said that the process exited\n"
               "  nic1's own record: its replica ended by signal 9 at 2027-01-15T08:00:00.009Z\n"
               "  phase                 took      since the start\n"
               "  evidence to decision  1.000 ms  1.000 ms\n"
               "  register prepared     2.000 ms  3.000 ms\n"
               "  sealed                1.000 ms  4.000 ms\n"
               "  register changed      3.000 ms  7.000 ms\n"
               "  tail committed        2.000 ms  9.000 ms\n"
               "  first answer          1.000 ms  10.000 ms\n"
               "  in all 10.000 ms; 3 entries of the tail committed; 1 register round\n"
               "  all replicas in sync again 500.000 ms after the first answer\n");
    cli_history_free(&h);
}

/* Goal: a takeover that another replica won is no failover; its evidence is not kept for later. */
static void test_failovers_lost_takeover_is_left_out(void **state)
{
    (void)state;
    struct cli_history h = {0};
    struct cli_failover list[4];
    add(&h, event(1, 0, TS_TRACE_CONFIG, 4, 1, 6));
    add(&h, event(1, 10, TS_TRACE_EVIDENCE, 4, 1, REPORT_EVIDENCE_SILENT));
    add(&h, event(1, 11, TS_TRACE_ROLE, 4, REPORT_TRACE_ROLE_TAKING_OVER, 0));
    add(&h, event(1, 12, TS_TRACE_CAS_DONE, 5, 0, 5));
    add(&h, event(1, 12, TS_TRACE_ROLE, 5, REPORT_TRACE_ROLE_SECONDARY, 0));
    assert_int_equal(cli_failovers(&cluster, &h, SIZE_MAX, list, 4), 0);
    add(&h, event(1, 900, TS_TRACE_ROLE, 5, REPORT_TRACE_ROLE_TAKING_OVER, 0));
    add(&h, event(1, 905, TS_TRACE_ACTIVE, 6, 0, 0));
    cli_history_sort(&h);
    assert_int_equal(cli_failovers(&cluster, &h, 0, list, 4), 1);
    assert_false(list[0].has_evidence);
    assert_true(list[0].total_ns == 5 * TS_NS_PER_MS);
    assert_int_equal(cli_failovers(&cluster, &h, 7, list, 4), 0);
    cli_history_free(&h);
}

/* Goal: evidence against a secondary is none against the primary. */
static void test_failovers_evidence_against_secondary_is_ignored(void **state)
{
    (void)state;
    struct cli_history h = {0};
    struct cli_failover list[1];
    add(&h, event(0, 0, TS_TRACE_CONFIG, 4, 1, 6));
    add(&h, event(0, 5, TS_TRACE_EVIDENCE, 4, 2, REPORT_EVIDENCE_SILENT));
    add(&h, event(0, 50, TS_TRACE_ROLE, 4, REPORT_TRACE_ROLE_TAKING_OVER, 0));
    add(&h, event(0, 60, TS_TRACE_ACTIVE, 5, 0, 0));
    cli_history_sort(&h);
    assert_int_equal(cli_failovers(&cluster, &h, SIZE_MAX, list, 1), 1);
    assert_false(list[0].has_evidence);
    assert_int_equal(list[0].primary_before.v, 1);
    cli_history_free(&h);
}

/* Goal: of many, the latest are kept, in order. */
static void test_failovers_keeps_the_latest(void **state)
{
    (void)state;
    struct cli_history h = {0};
    struct cli_failover list[3];
    for (uint64_t i = 0; i < 6; i++) {
        uint8_t node = (uint8_t)(i % 2);
        add(&h, event(node, i * 100, TS_TRACE_ROLE, i, REPORT_TRACE_ROLE_TAKING_OVER, 0));
        add(&h, event(node, i * 100 + 1, TS_TRACE_ACTIVE, i + 1, 0, 0));
    }
    cli_history_sort(&h);
    assert_int_equal(cli_failovers(&cluster, &h, SIZE_MAX, list, 3), 3);
    assert_int_equal(list[0].epoch_after.v, 4);
    assert_int_equal(list[2].epoch_after.v, 6);
    json_t *json = cli_explain_json(&cluster, &list[2]);
    assert_string_equal(cli_string(json, "primary_after", ""), "nic2");
    assert_true(json_is_null(json_object_get(json, "evidence")));
    json_decref(json);
    cli_history_free(&h);
}

/* Goal: numbers become names where they stand for something. */
static void test_event_text_names_nodes_and_reasons(void **state)
{
    (void)state;
    char text[CLI_EVENT_TEXT_MAX];
    struct cli_event e = event(1, 0, TS_TRACE_EVIDENCE, 4, 1, REPORT_EVIDENCE_SILENT);
    assert_string_equal(cli_event_text(&cluster, &e.e, text),
                        "replica kv: evidence epoch=4 peer=nic1 kind=(silent for the failure "
                        "timeout)");
    e = event(1, 0, TS_TRACE_CONFIG, 5, 2, 6);
    assert_string_equal(cli_event_text(&cluster, &e.e, text),
                        "replica kv: config epoch=5 primary=nic2 in-sync-mask=nic1,nic2");
    e = event(1, 0, TS_TRACE_PROC_EXITED, 0, 7, (uint64_t)-9);
    assert_string_equal(cli_event_text(&cluster, &e.e, text),
                        "replica kv: process-exited pid=7 status=-9");
    e = event(1, 0, TS_TRACE_LINK_DOWN, 0, 99, 1);
    e.e.source.role = REPORT_PROC_HEARTBEATD;
    e.e.source.group.v = 0;
    assert_string_equal(cli_event_text(&cluster, &e.e, text),
                        "heartbeatd: link-down peer=? path=2");
}

/* Goal: for programs the same, field by field. */
static void test_event_json_names_nodes_and_fields(void **state)
{
    (void)state;
    struct cli_event e = event(1, 5, TS_TRACE_CONFIG, 5, 2, 6);
    json_t *json = cli_event_json(&cluster, "nic2", &e.e);
    const json_t *fields = json_object_get(json, "fields");
    assert_string_equal(cli_string(json, "time", ""), "2027-01-15T08:00:00.005Z");
    assert_string_equal(cli_string(json, "node", ""), "nic2");
    assert_string_equal(cli_string(json, "program", ""), "replica");
    assert_string_equal(cli_string(json, "group", ""), "kv");
    assert_string_equal(cli_string(json, "kind", ""), "config");
    assert_string_equal(cli_string(fields, "primary", ""), "nic2");
    assert_int_equal(json_array_size(json_object_get(fields, "in-sync")), 2);
    json_decref(json);
    e = event(1, 0, TS_TRACE_EVIDENCE, 4, 1, REPORT_EVIDENCE_SILENT);
    e.e.source.group.v = 0;
    json = cli_event_json(&cluster, "nic2", &e.e);
    fields = json_object_get(json, "fields");
    assert_true(json_is_null(json_object_get(json, "group")));
    assert_string_equal(cli_string(fields, "peer", ""), "nic1");
    assert_string_equal(cli_string(fields, "kind", ""), "silent for the failure timeout");
    json_decref(json);
    e = event(1, 0, TS_TRACE_PROC_EXITED, 0, 7, (uint64_t)-9);
    json = cli_event_json(&cluster, "nic2", &e.e);
    fields = json_object_get(json, "fields");
    assert_int_equal(cli_number(fields, "status"), -9);
    assert_int_equal(cli_number(fields, "pid"), 7);
    json_decref(json);
}

/* Goal: an event that another node told later, of before, is printed before. */
static void test_events_due_waits_for_earlier_ones(void **state)
{
    (void)state;
    struct cli_history h = {0};
    add(&h, event(0, 100, TS_TRACE_ACTIVE, 1, 0, 0));
    assert_int_equal(cli_events_due(&h, WALL + 299 * MS), 0);
    add(&h, event(1, 90, TS_TRACE_ACTIVE, 2, 0, 0));
    add(&h, event(1, 150, TS_TRACE_ACTIVE, 3, 0, 0));
    assert_int_equal(cli_events_due(&h, WALL + 300 * MS), 2);
    assert_int_equal(h.events[0].e.trace.epoch.v, 2);
    assert_int_equal(h.events[1].e.trace.epoch.v, 1);
    /* The clock was set back by a second: nothing is held for that long. */
    assert_int_equal(cli_events_due(&h, WALL - 1000 * MS), 3);
    cli_history_free(&h);
}

/* Goal: a clock that went back does not put one node's events out of their order. */
static void test_history_sort_keeps_each_nodes_order(void **state)
{
    (void)state;
    struct cli_history h = {0};
    add(&h, event(0, 100, TS_TRACE_ACTIVE, 1, 0, 0));
    add(&h, event(0, 50, TS_TRACE_ACTIVE, 2, 0, 0)); /* the clock was set back */
    add(&h, event(1, 70, TS_TRACE_ACTIVE, 3, 0, 0));
    cli_history_sort(&h);
    assert_int_equal(h.events[0].e.trace.epoch.v, 3);
    assert_int_equal(h.events[1].e.trace.epoch.v, 1);
    assert_int_equal(h.events[2].e.trace.epoch.v, 2);
    cli_history_free(&h);
}

/* Goal: what did not reach standard output was not done; other statuses stay. */
static void test_finish_full_output_is_a_failure(void **state)
{
    (void)state;
    struct sheet s = {0};
    sheet_begin(&s);
    struct cli cli = {.out = fopen("/dev/full", "we"), .err = s.cli.out};
    assert_non_null(cli.out);
    assert_int_equal(cli_finish(&cli, CLI_OK), CLI_OK);
    assert_true(fputs("text", cli.out) >= 0);
    assert_int_equal(cli_finish(&cli, CLI_OK), CLI_FAILED);
    assert_int_equal(cli_finish(&cli, CLI_UNREACHABLE), CLI_UNREACHABLE);
    (void)fclose(cli.out);
    assert_int_equal(fclose(s.cli.out), 0);
    assert_non_null(strstr(s.text, "standard output did not take all that was to be printed: No "
                                   "space left on device"));
    free(s.text);
}

/* Goal: a directory that another user owns is no missing cluster. */
static void test_open_run_of_another_user_says_so(void **state)
{
    (void)state;
    char dir[] = "/tmp/ts-cli-XXXXXX";
    struct sheet s = {0};
    struct cfg_cluster c;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chmod(dir, 0), 0);
    pid_t child = fork();
    if (child == 0) { /* root may read everything */
        int status = geteuid() == 0 && setuid(65534) != 0 ? CLI_FAILED : -1;
        sheet_begin(&s);
        status = status >= 0 ? status : cli_open_run(&s.cli, dir, &c);
        (void)fclose(s.cli.out);
        bool told = strstr(s.text, "run it as the owner (") != NULL;
        _exit(status == CLI_FAILED && told ? 0 : 1);
    }
    int ended = -1;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
    assert_int_equal(rmdir(dir), 0);
}

struct use {
    int (*run)(const struct cli *cli, int argc, char **argv);
    const char *argv[4];
    int status;
    const char *says;
};

/* Goal: each command refuses what it does not know, and --help is no mistake. */
static void test_commands_wrong_usage_is_told(void **state)
{
    (void)state;
    static const struct use USES[] = {
        {cli_up, {"up", "--timeout", "soon"}, CLI_USAGE, "--timeout soon: give 0 to 86400 seconds"},
        {cli_up, {"up", "extra"}, CLI_USAGE, "twinstep up --help"},
        {cli_up, {"up", "--config", "/nonexistent"}, CLI_FAILED, "cannot open the cluster file"},
        {cli_up, {"up", "--help"}, CLI_OK, "usage: twinstep up"},
        {cli_up, {"up", "-h"}, CLI_OK, "usage: twinstep up"},
        {cli_ca, {"ca", "-h"}, CLI_OK, "Exit status: 0 done"},
        {cli_ca, {"ca", "issue", "-h"}, CLI_OK, "usage: twinstep ca init"},
        {cli_version, {"version", "-h"}, CLI_OK, "Exit status: 0 done"},
        {cli_down, {"down", "--dir", "/nonexistent"}, CLI_UNREACHABLE, "no cluster was"},
        {cli_status, {"status", "--dir", "/nonexistent"}, CLI_UNREACHABLE, "no cluster was"},
        {cli_status,
         {"status", "--dir", "/dev/null"},
         CLI_UNREACHABLE,
         "null is no directory; name"},
        {cli_status, {"status", "--dir", "/dev/null/run"}, CLI_UNREACHABLE, "run is no directory"},
        {cli_status, {"status", "x"}, CLI_USAGE, "twinstep status --help"},
        {cli_events, {"events", "--since", "5"}, CLI_USAGE, "give a time like 30s"},
        {cli_events, {"events", "--help"}, CLI_OK, "--follow"},
        {cli_explain, {"explain", "--last", "0"}, CLI_USAGE, "--last 0: give 1 to 1000"},
        {cli_explain, {"explain", "a", "b"}, CLI_USAGE, "twinstep explain --help"},
        {cli_ca, {"ca"}, CLI_USAGE, "init or issue"},
        {cli_ca, {"ca", "init"}, CLI_USAGE, "ca init needs --dir CA and --cluster NAME"},
        {cli_ca, {"ca", "burn"}, CLI_USAGE, "there is no \"ca burn\""},
        {cli_version, {"version", "--dir", "/nonexistent"}, CLI_OK, "twinstep "},
    };
    for (size_t i = 0; i < sizeof(USES) / sizeof(USES[0]); i++) {
        struct sheet s = {0};
        char *argv[5] = {NULL};
        int argc = 0;
        while (argc < 4 && USES[i].argv[argc] != NULL) {
            argv[argc] = strdup(USES[i].argv[argc]);
            argc++;
        }
        sheet_begin(&s);
        int status = USES[i].run(&s.cli, argc, argv);
        assert_int_equal(fclose(s.cli.out), 0);
        if (status != USES[i].status || strstr(s.text, USES[i].says) == NULL) {
            print_error("case %zu: status %d, said: %s\n", i, status, s.text);
        }
        assert_int_equal(status, USES[i].status);
        assert_non_null(strstr(s.text, USES[i].says));
        free(s.text);
        while (argc > 0) {
            free(argv[--argc]);
        }
    }
}

#define STAGE(name, count) \
    "{\"stage\": \"" name "\", \"count\": " count ", \"p50_ns\": 1000, \"p90_ns\": 20500, " \
    "\"p99_ns\": 1234567, \"p999_ns\": 2000000000, \"max_ns\": 3000000000}"
#define GROUP_REPLY(node, stages) \
    "{\"node\": \"" node "\", \"reply\": {\"groups\": [{\"group\": \"kv\", \"stages\": [" stages \
    "]}]}},"

/* Goal: stages stand below their replica; who answered nothing says so, and who is away. */
static void test_latency_is_told_by_stage(void **state)
{
    struct sheet s = {0};
    (void)state;
    json_t *answers =
        json_loads("[" GROUP_REPLY("nic1", STAGE("queue", "10") "," STAGE("fabric", "0") "," STAGE(
                                               "commit", "10")) GROUP_REPLY("nic2", "") ARB1 "]",
                   0, NULL);
    assert_non_null(answers);
    sheet_begin(&s);
    cli_latency_print(&s.cli, answers);
    json_decref(answers);
    expect(&s, "group kv\n"
               "  nic2 has answered no command since it started\n"
               "  replica  stage   commands  p50 ms  p90 ms  p99 ms  p99.9 ms  longest\n"
               "  nic1     queue   10        0.001   0.021   1.235   2000.000  3000.000\n"
               "           commit  10        0.001   0.021   1.235   2000.000  3000.000\n"
               "arb1: long\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_print_shows_everything),
        cmocka_unit_test(test_status_print_tells_the_service_address),
        cmocka_unit_test(test_status_print_refused_input_is_told),
        cmocka_unit_test(test_merge_replica_down_does_not_give_config),
        cmocka_unit_test(test_merge_superseded_primary_is_not_shown_as_one),
        cmocka_unit_test(test_status_heading_without_primary_says_so),
        cmocka_unit_test(test_merge_without_primary_gives_null_and_since),
        cmocka_unit_test(test_merge_highest_epoch_wins),
        cmocka_unit_test(test_merge_different_digests_are_an_alarm),
        cmocka_unit_test(test_is_settled_names_what_is_awaited),
        cmocka_unit_test(test_notes_one_host_for_too_much_is_told),
        cmocka_unit_test(test_merge_other_cluster_file_is_an_alarm),
        cmocka_unit_test(test_explain_print_tells_failover),
        cmocka_unit_test(test_latency_is_told_by_stage),
        cmocka_unit_test(test_failovers_lost_takeover_is_left_out),
        cmocka_unit_test(test_failovers_evidence_against_secondary_is_ignored),
        cmocka_unit_test(test_failovers_keeps_the_latest),
        cmocka_unit_test(test_event_text_names_nodes_and_reasons),
        cmocka_unit_test(test_event_json_names_nodes_and_fields),
        cmocka_unit_test(test_events_due_waits_for_earlier_ones),
        cmocka_unit_test(test_history_sort_keeps_each_nodes_order),
        cmocka_unit_test(test_finish_full_output_is_a_failure),
        cmocka_unit_test(test_open_run_of_another_user_says_so),
        cmocka_unit_test(test_commands_wrong_usage_is_told),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
