/* The admin protocol: what a node says of itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/cli_fixture.h"

#include "cluster-cfg/io/admin.h"
#include "cluster-cfg/io/cluster_yaml.h"
#include "cluster-cfg/io/metrics.h"

#define NOW_NS (100 * TS_NS_PER_S)

struct fixture {
    char dir[64];
    uv_loop_t loop;
    struct cfg_cluster cluster;
    struct recorder *recorder;
    struct admin_state state;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char error[CLUSTER_YAML_ERROR_MAX];
    char run[80];
    struct ts_bytes text = {(const uint8_t *)CLUSTER, sizeof(CLUSTER) - 1};
    if (f == NULL || cluster_yaml_parse("c", text, &f->cluster, error) != TS_OK ||
        uv_loop_init(&f->loop) != 0) {
        return -1;
    }
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/ts-admin-XXXXXX");
    if (mkdtemp(f->dir) == NULL) {
        return -1;
    }
    (void)snprintf(run, sizeof(run), "%s/run", f->dir);
    if (mkdir(run, 0700) != 0 ||
        recorder_open(&f->recorder, &f->loop, f->dir, NULL, NULL) != TS_OK) {
        return -1;
    }
    f->state = (struct admin_state){.cluster = &f->cluster,
                                    .self = &f->cluster.nodes[0],
                                    .release = "9.9",
                                    .pid = 42,
                                    .started = {NOW_NS - 5 * TS_NS_PER_S},
                                    .recorder = f->recorder};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char run[80];
    recorder_close(f->recorder, NULL, NULL);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    (void)snprintf(run, sizeof(run), "%s/run", f->dir);
    assert_int_equal(ts_dir_remove(run, NULL), TS_OK);
    assert_int_equal(ts_dir_remove(f->dir, NULL), TS_OK);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

/* A node on which all is well. */
static void fill(struct fixture *f)
{
    struct admin_state *s = &f->state;
    struct ts_mono at = {NOW_NS - 50 * TS_NS_PER_MS};
    s->voter = (struct admin_voter){.state = ADMIN_VOTER_READY,
                                    .start = 3,
                                    .incarnation = {0xabc},
                                    .confirmed = 3,
                                    .voters = 3};
    s->has_procs = true;
    s->procs_at = at;
    s->procs.nic.v = 1;
    s->procs.count = 2;
    s->procs.p[0] = (struct report_proc){
        .role = REPORT_PROC_HEARTBEATD, .running = true, .pid = 5, .starts = 1};
    s->procs.p[1] = (struct report_proc){.role = REPORT_PROC_REPLICA,
                                         .group = {1},
                                         .running = true,
                                         .pid = 6,
                                         .starts = 2,
                                         .last_status = -9};
    s->has_peers = true;
    s->peers_at = at;
    s->peers.nic.v = 1;
    s->peers.count = 2;
    s->peers.p[0] = (struct report_peer){.nic = {2}, .alive = true, .path_up_mask = 3};
    s->peers.p[1] = (struct report_peer){.nic = {3}, .alive = true, .path_up_mask = 3};
    struct admin_replica *r = &s->replica[1];
    r->has = true;
    r->at = at;
    r->report = (struct report_replica){.nic = {1}, .group = {1}, .role = REPORT_ROLE_PRIMARY};
    r->report.config.epoch.v = 7;
    r->report.config.primary.v = 1;
    cfg_set_add(&r->report.config.members, (struct cfg_replica){{1}, {1}});
    cfg_set_add(&r->report.config.members, (struct cfg_replica){{2}, {2}});
    r->report.config.in_sync = r->report.config.members;
    r->report.required_mask = 6;
    r->report.applied.v = 70;
    r->report.committed.v = 71;
    r->report.digest = (struct ts_hash){0xff, 1};
}

static json_t *answer(struct fixture *f, const char *request)
{
    struct ts_bytes b = {(const uint8_t *)request, strlen(request)};
    char *text = admin_answer(&f->state, b, (struct ts_mono){NOW_NS}, 123);
    assert_non_null(text);
    json_t *json = json_loads(text, 0, NULL);
    free(text);
    assert_non_null(json);
    return json;
}

static const char *text_at(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text == NULL ? "(none)" : text;
}

static void assert_alarm(struct fixture *f, const char *code, const char *text)
{
    json_t *alarms = admin_alarms_json(&f->state, (struct ts_mono){NOW_NS}, 0);
    size_t i;
    json_t *a;
    bool found = false;
    json_array_foreach(alarms, i, a)
    {
        if (strcmp(text_at(a, "code"), code) == 0 && strcmp(text_at(a, "text"), text) == 0) {
            found = true;
        }
    }
    if (!found) {
        char *all = json_dumps(alarms, JSON_INDENT(1));
        print_error("no %s among %s\n", code, all);
        free(all);
    }
    json_decref(alarms);
    assert_true(found);
}

/* Goal: a well node's status names things and has no alarm. */
static void test_status_of_well_node_has_no_alarm(void **state)
{
    struct fixture *f = *state;
    fill(f);
    json_t *o = answer(f, "{\"version\": 1, \"cmd\": \"status\"}");
    assert_true(json_is_true(json_object_get(o, "ok")));
    assert_int_equal(json_array_size(json_object_get(o, "alarms")), 0);
    assert_string_equal(text_at(o, "node"), "nic1");
    assert_string_equal(text_at(o, "release"), "9.9");
    assert_int_equal(json_integer_value(json_object_get(o, "uptime_ms")), 5000);
    assert_string_equal(text_at(json_object_get(o, "voter"), "incarnation"), "0000000000000abc");
    const json_t *g = json_array_get(json_object_get(o, "groups"), 0);
    assert_string_equal(text_at(g, "role"), "primary");
    assert_string_equal(text_at(g, "primary"), "nic1");
    assert_int_equal(json_integer_value(json_object_get(g, "epoch")), 7);
    assert_int_equal(json_integer_value(json_object_get(g, "age_ms")), 50);
    assert_string_equal(text_at(g, "digest"), "000000000000000100000000000000ff");
    assert_int_equal(json_array_size(json_object_get(g, "required")), 2);
    const json_t *p = json_array_get(json_object_get(o, "processes"), 1);
    assert_string_equal(text_at(p, "group"), "kv");
    assert_int_equal(json_integer_value(json_object_get(p, "last_status")), -9);
    const json_t *peer = json_array_get(json_object_get(o, "peers"), 1);
    assert_string_equal(text_at(peer, "node"), "arb1");
    assert_int_equal(json_array_size(json_object_get(peer, "paths")), 2);
    json_decref(o);
}

/* Goal: the service address is told with who has it and why it cannot be here, which is an alarm; a
 * group without one has none, and a silent nicd is told as that. */
static void test_service_address_is_told(void **state)
{
    static const char STATUS[] = "{\"version\": 1, \"cmd\": \"status\"}";
    struct fixture *f = *state;
    fill(f);
    json_t *o = answer(f, STATUS);
    const json_t *g = json_array_get(json_object_get(o, "groups"), 0);
    assert_true(json_is_null(json_object_get(g, "service_address")));
    json_decref(o);
    memcpy(f->cluster.groups[0].address, "192.0.2.9", sizeof("192.0.2.9"));
    f->cluster.groups[0].address_prefix = 24;
    o = answer(f, STATUS);
    const json_t *a =
        json_object_get(json_array_get(json_object_get(o, "groups"), 0), "service_address");
    assert_string_equal(text_at(a, "address"), "192.0.2.9/24");
    assert_true(json_is_null(json_object_get(a, "here")));
    assert_string_equal(text_at(a, "why"), "nicd has not told of it for a while");
    json_decref(o);
    f->state.address[1] = (struct admin_address){
        .has = true, .at = {NOW_NS}, .report = {.nic = {1}, .group = {1}, .interface = "eth0"}};
    o = answer(f, STATUS);
    a = json_object_get(json_array_get(json_object_get(o, "groups"), 0), "service_address");
    assert_true(json_is_true(json_object_get(a, "here")));
    assert_string_equal(text_at(a, "interface"), "eth0");
    assert_string_equal(text_at(a, "why"), "");
    assert_int_equal(json_array_size(json_object_get(o, "alarms")), 0);
    json_decref(o);
    char *text = metrics_text(&f->state, (struct ts_mono){NOW_NS}, 0);
    assert_non_null(text);
    assert_non_null(
        strstr(text, "\ntwinstep_service_address{group=\"kv\",address=\"192.0.2.9\"} 1\n"));
    free(text);
    memcpy(f->state.address[1].report.why, "no right", 9);
    assert_alarm(f, "service-address",
                 "nic1 has the service address of kv on eth0, but clients may not find it "
                 "there: no right");
    f->state.address[1].report.interface[0] = '\0';
    assert_alarm(f, "service-address",
                 "nic1 cannot have the service address of kv, clients reach it at its own "
                 "addresses only: no right");
}

/* Goal: figures are told by name; without a word of the replica there are none. */
static void test_latency_tells_stages_and_counters(void **state)
{
    struct fixture *f = *state;
    json_t *o = answer(f, "{\"version\": 1, \"cmd\": \"latency\"}");
    const json_t *g = json_array_get(json_object_get(o, "groups"), 0);
    assert_true(json_is_null(json_object_get(g, "age_ms")));
    assert_int_equal(json_array_size(json_object_get(g, "stages")), 0);
    json_decref(o);
    static struct report_figures figures = {.nic = {1}, .group = {1}, .instance = {0xf}};
    figures.counter[REPORT_COUNTER_TAKEOVERS] = 2;
    figures.counter[REPORT_COUNTER_SESSIONS_REFUSED] = 5;
    figures.gauge[REPORT_GAUGE_SESSIONS] = 3;
    ts_histogram_add(&figures.stage[REPORT_STAGE_COMMIT], 50000, 9);
    ts_histogram_add(&figures.stage[REPORT_STAGE_COMMIT], 90 * TS_NS_PER_S, 1);
    f->state.figures[1] = (struct admin_figures){{NOW_NS - TS_NS_PER_MS}, &figures};
    o = answer(f, "{\"version\": 1, \"cmd\": \"latency\"}");
    g = json_array_get(json_object_get(o, "groups"), 0);
    assert_string_equal(text_at(g, "instance"), "000000000000000f");
    assert_int_equal(json_integer_value(json_object_get(g, "age_ms")), 1);
    const json_t *counters = json_object_get(g, "counters");
    assert_int_equal(json_object_size(counters), REPORT_COUNTERS);
    assert_int_equal(json_integer_value(json_object_get(counters, "takeovers")), 2);
    const json_t *gauges = json_object_get(g, "gauges");
    assert_int_equal(json_integer_value(json_object_get(gauges, "sessions")), 3);
    assert_int_equal(json_array_size(json_object_get(g, "stages")), REPORT_STAGES);
    const json_t *stage = json_array_get(json_object_get(g, "stages"), REPORT_STAGE_COMMIT);
    assert_string_equal(text_at(stage, "stage"), "commit");
    assert_int_equal(json_integer_value(json_object_get(stage, "count")), 10);
    assert_int_equal(json_integer_value(json_object_get(stage, "p90_ns")),
                     ts_histogram_bound(ts_histogram_bucket(50000)));
    assert_int_equal(json_integer_value(json_object_get(stage, "p99_ns")), 90 * TS_NS_PER_S);
    const json_t *buckets = json_object_get(stage, "buckets");
    assert_int_equal(json_array_size(buckets), 2);
    assert_true(json_is_null(json_array_get(json_array_get(buckets, 1), 0)));
    json_decref(o);
    /* In the metrics they end with the replica, as its gauges do. */
    fill(f);
    f->state.figures[1] = (struct admin_figures){{NOW_NS - TS_NS_PER_MS}, &figures};
    for (int runs = 1; runs >= 0; runs--) {
        f->state.procs.p[1].running = runs == 1;
        char *text = metrics_text(&f->state, (struct ts_mono){NOW_NS}, 0);
        assert_non_null(text);
        assert_int_equal(strstr(text, "_takeovers_total{group=\"kv\"} 2\n") != NULL, runs);
        assert_int_equal(strstr(text, "_sessions_refused_total{group=\"kv\"} 5\n") != NULL, runs);
        assert_int_equal(strstr(text, "twinstep_sessions{group=\"kv\"} 3\n") != NULL, runs);
        assert_int_equal(strstr(text, "_stage_seconds_count{group=\"kv\",") != NULL, runs);
        free(text);
    }
}

/* Goal: a cluster-cfgd that has just started waits for the first reports; it does not miss them. */
static void test_nobody_is_silent_at_the_start(void **state)
{
    struct fixture *f = *state;
    f->state.started = (struct ts_mono){NOW_NS - TS_NS_PER_MS};
    json_t *alarms = admin_alarms_json(&f->state, (struct ts_mono){NOW_NS}, 0);
    size_t i;
    json_t *a;
    json_array_foreach(alarms, i, a)
    {
        assert_null(strstr(text_at(a, "code"), "silent"));
    }
    json_decref(alarms);
}

/* Goal: each thing that is wrong is told in words. */
static void test_alarms_tell_what_is_wrong(void **state)
{
    struct fixture *f = *state;
    struct admin_state *s = &f->state;
    assert_alarm(f, "nicd-silent", "nicd has not reported for a while: is it stopped?");
    assert_alarm(f, "heartbeatd-silent", "heartbeatd has not reported for a while: is it stopped?");
    assert_alarm(f, "replica-silent", "the replica of kv has not reported for a while");
    fill(f);
    s->peers.p[0].path_up_mask = 1;
    s->peers.p[1].alive = false;
    assert_alarm(f, "path-down", "path 2 to nic2 (10.0.1.2) is down");
    assert_alarm(f, "node-silent", "arb1 is not heard on any path");
    s->replica[1].report.alarms = 1U << REPORT_ALARM_NOT_REDUNDANT | 1U << REPORT_ALARM_DIVERGENCE;
    assert_alarm(f, "not-redundant", "fewer replicas in sync than members");
    assert_alarm(f, "divergence", "replicas diverged: digests differ at the same seq");
    s->replica[1].report.role = REPORT_ROLE_HALTED;
    memcpy(s->replica[1].report.why, "why", 4);
    assert_alarm(f, "halted", "the replica of kv halted: why");
    s->procs.p[1].running = false;
    assert_alarm(f, "process-down", "replica of kv is down (last exit -9, started 2 times)");
    s->voter.state = ADMIN_VOTER_FAILED;
    memcpy(s->voter.why, "bad disk", 9);
    assert_alarm(f, "voter-failed", "the voter is lost: bad disk");
    s->voter.state = ADMIN_VOTER_REGISTERING;
    s->voter.confirmed = 1;
    assert_alarm(f, "voter-registering",
                 "the voter waits until a majority of voters confirms its start (1 of 3)");
    json_t *o = answer(f, "{\"version\": 1, \"cmd\": \"status\"}");
    assert_string_equal(text_at(json_array_get(json_object_get(o, "groups"), 0), "role"), "down");
    json_decref(o);
}

/* Goal: a voter's table of starts never forgets: that it will be full is told while there is room
 * for some more disks, and that it is. */
static void test_alarm_table_of_starts_is_nearly_full(void **state)
{
    struct fixture *f = *state;
    struct voter_limits limits = {.self = {1}, .registers_max = 1, .starts_max = 20, .held_max = 1};
    struct voter *core = voter_new(&limits);
    assert_non_null(core);
    f->state.voter.core = core;
    for (uint64_t n = 1; n <= 20; n++) {
        struct voter_record rec = {.kind = VOTER_RECORD_START,
                                   .start = {{REG_OWNER_VOTER, {0}, {1}}, {n}, 1, {1}}};
        assert_int_equal(voter_restore(core, &rec), TS_OK);
        if (n == 17) {
            json_t *alarms = admin_alarms_json(&f->state, (struct ts_mono){NOW_NS}, 0);
            char *all = json_dumps(alarms, 0);
            assert_null(strstr(all, "voter-starts"));
            free(all);
            json_decref(alarms);
        } else if (n == 18) {
            assert_alarm(f, "voter-starts",
                         "the voter remembers the starts of 18 disks, and has room for 20: when "
                         "there is none, no replica and no voter can start on a new disk");
        }
    }
    assert_alarm(
        f, "voter-starts",
        "the voter remembers the starts of 20 disks, and has no room for another: no replica and "
        "no voter can start on a new disk; those that are known start as ever");
    f->state.voter.core = NULL;
    voter_free(core);
}

/* Goal: a disk in a wrong place is told as long as it comes, with whose it is and what to do, and
 * by the replica's own node in place of what the replica waits for. */
static void test_alarm_foreign_disk_is_told(void **state)
{
    struct fixture *f = *state;
    struct admin_state *s = &f->state;
    const struct reg_owner REPLICA = {.kind = REG_OWNER_REPLICA, .group = {1}, .node = {1}};
    const struct reg_owner VOTER = {.kind = REG_OWNER_VOTER, .node = {3}};
    struct ts_mono at = {NOW_NS - TS_NS_PER_S};
    fill(f);
    s->replica[1].report.role = REPORT_ROLE_STARTING;
    assert_true(admin_foreign_note(s, REPLICA, (struct ts_nic_id){2}, at));
    assert_false(admin_foreign_note(s, REPLICA, (struct ts_nic_id){2}, at));
    assert_true(admin_foreign_note(s, VOTER, (struct ts_nic_id){2}, at));
    assert_alarm(f, "foreign-disk",
                 "the replica of kv of nic1 runs on a disk that belongs to nic2, and gets no "
                 "answer: end nic1, put its own RUN/nic1/groups/kv back, or, when that is lost, "
                 "move RUN/nic1 away and say twinstep nic replace nic1 --yes");
    assert_alarm(f, "foreign-disk",
                 "the voter of arb1 runs on a disk that belongs to nic2, and gets no answer: end "
                 "arb1, put its own RUN/arb1/voter back, or, when that is lost, move RUN/arb1 away "
                 "and say twinstep nic replace arb1 --yes");
    json_t *o = answer(f, "{\"version\": 1, \"cmd\": \"status\"}");
    const json_t *g = json_array_get(json_object_get(o, "groups"), 0);
    assert_string_equal(text_at(g, "why"), "its disk belongs to nic2, so no voter answers it: see "
                                           "the alarm foreign-disk");
    json_decref(o);
}

/* Goal: it asks again within a second or so, 20 × 50 ms; when it does not any more, that is over,
 * and new when it comes again. However many come, none of those that still come is pushed out. */
static void test_foreign_disks_are_kept_in_bounds(void **state)
{
    struct fixture *f = *state;
    struct admin_state *s = &f->state;
    struct ts_mono later = {NOW_NS + 4 * TS_NS_PER_S + 1};
    const struct ts_nic_id owner = {2};
    for (uint16_t i = 1; i < 3 * ADMIN_FOREIGN_MAX; i++) {
        struct reg_owner asked = {.kind = REG_OWNER_REPLICA, .group = {i}, .node = {1}};
        assert_int_equal(admin_foreign_note(s, asked, owner, (struct ts_mono){NOW_NS}),
                         i <= ADMIN_FOREIGN_MAX);
        assert_false(admin_foreign_note(s, asked, owner, (struct ts_mono){NOW_NS}));
    }
    assert_string_equal(admin_foreign_of(s, (struct ts_group_id){1}, (struct ts_mono){NOW_NS}),
                        "nic2");
    assert_null(admin_foreign_of(s, (struct ts_group_id){1}, later));
    struct reg_owner first = {.kind = REG_OWNER_REPLICA, .group = {1}, .node = {1}};
    assert_true(admin_foreign_note(s, first, owner, later));
}

/* Goal: a certificate is told of in time, and when it is too late; one that holds only for days
 * not from its first day on. */
static void test_alarm_certificate_expiry_is_told(void **state)
{
    struct fixture *f = *state;
    const int64_t day = 86400;
    static const struct {
        int64_t now; /* all in days since 1970 */
        int64_t from;
        int64_t until;
        const char *says; /* NULL: no alarm */
    } CASES[] = {
        {100, 0, 365, NULL},
        {350, 0, 365, NULL},
        {352, 0, 365, "the certificate of nic1 expires at 1971-01-01T00:00:00Z: issue"},
        {365, 0, 365, "expired at 1971-01-01T00:00:00Z, and no node takes a new link with it: i"},
        {1, 0, 9, NULL},
        {6, 0, 9, "expires at 1970-01-10T00:00:00Z"},
        {0, 1, 9, "holds from 1970-01-02T00:00:00Z on only, by this node's clock: set the clock"},
    };
    fill(f);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint64_t wall_us = (uint64_t)(CASES[i].now * day) * 1000000U;
        f->state.certificate =
            (struct admin_certificate){CASES[i].from * day, CASES[i].until * day};
        json_t *alarms = admin_alarms_json(&f->state, (struct ts_mono){NOW_NS}, wall_us);
        assert_int_equal(json_array_size(alarms), CASES[i].says == NULL ? 0 : 1);
        if (CASES[i].says != NULL) {
            assert_non_null(strstr(text_at(json_array_get(alarms, 0), "text"), CASES[i].says));
        }
        json_decref(alarms);
    }
}

static bool has_code(struct fixture *f, uint64_t now_ns, const char *code)
{
    json_t *alarms = admin_alarms_json(&f->state, (struct ts_mono){now_ns}, 0);
    size_t i;
    json_t *a;
    bool found = false;
    json_array_foreach(alarms, i, a)
    {
        found = found || strcmp(text_at(a, "code"), code) == 0;
    }
    json_decref(alarms);
    return found;
}

static bool has_alarm(struct fixture *f, uint64_t now_ns)
{
    return has_code(f, now_ns, "no-primary");
}

/* All reports are of now; gives what the look at kv's primary found. */
static enum admin_primary_change look(struct fixture *f, uint64_t now_ns)
{
    struct admin_state *s = &f->state;
    uint64_t lost_ns = 0;
    s->procs_at.ns = now_ns;
    s->peers_at.ns = now_ns;
    s->replica[1].at.ns = now_ns;
    return admin_primary_update(s, &f->cluster.groups[0], (struct ts_mono){now_ns}, &lost_ns);
}

/* Goal: a secondary whose link to the primary is gone knows of no primary; after a few
 * failure-timeouts that is an alarm, until there is one. */
static void test_primary_lost_link_becomes_alarm(void **state)
{
    struct fixture *f = *state;
    struct report_replica *r = &f->state.replica[1].report;
    uint64_t after = admin_no_primary_after(&f->cluster.timing);
    fill(f);
    assert_int_equal(look(f, NOW_NS), ADMIN_PRIMARY_SAME);
    r->role = REPORT_ROLE_SECONDARY;
    r->config.primary.v = 2;
    r->peer_count = 1;
    r->peers[0] = (struct report_replica_peer){.nic = {2}, .connected = true};
    assert_int_equal(look(f, NOW_NS + after), ADMIN_PRIMARY_SAME);
    r->peers[0].connected = false;
    assert_int_equal(look(f, NOW_NS + 2 * after), ADMIN_PRIMARY_SAME);
    assert_false(has_alarm(f, NOW_NS + 2 * after));
    assert_int_equal(look(f, NOW_NS + 2 * after + 1), ADMIN_PRIMARY_LOST);
    assert_int_equal(look(f, NOW_NS + 3 * after), ADMIN_PRIMARY_SAME); /* told once */
    assert_true(has_alarm(f, NOW_NS + 3 * after));
    struct ts_mono now = {NOW_NS + 3 * after};
    json_t *o = admin_status_json(&f->state, now, 123);
    const json_t *g = json_array_get(json_object_get(o, "groups"), 0);
    assert_true(json_is_false(json_object_get(g, "serving")));
    assert_int_equal(json_integer_value(json_object_get(g, "no_primary_ms")),
                     2 * after / TS_NS_PER_MS);
    json_decref(o);
    r->role = REPORT_ROLE_PRIMARY;
    assert_int_equal(look(f, NOW_NS + 4 * after), ADMIN_PRIMARY_BACK);
    assert_false(has_alarm(f, NOW_NS + 4 * after));
}

/* Goal: while a replica is started again and again, its alarms stay as they are: a new process has
 * time to report, and is no sign of a primary. */
static void test_alarms_outlast_restarts_of_the_replica(void **state)
{
    struct fixture *f = *state;
    struct admin_state *s = &f->state;
    uint64_t after = admin_no_primary_after(&f->cluster.timing);
    uint64_t later = NOW_NS + 2 * after + 2 * ADMIN_SILENT_NS;
    fill(f);
    s->replica[1].report.role = REPORT_ROLE_STARTING;
    s->peers.p[0].replica_known_mask = 2; /* kv's replica of nic2 does not run */
    assert_int_equal(look(f, NOW_NS), ADMIN_PRIMARY_SAME);
    assert_int_equal(look(f, NOW_NS + after + 1), ADMIN_PRIMARY_LOST);
    struct report_procs procs = s->procs;
    procs.p[1].running = false;
    admin_take_procs(s, &procs, (struct ts_mono){later - 1});
    procs.p[1].running = true;
    procs.p[1].pid++;
    admin_take_procs(s, &procs, (struct ts_mono){later});
    uint64_t lost_ns = 0;
    s->peers_at.ns = later;
    assert_int_equal(
        admin_primary_update(s, &f->cluster.groups[0], (struct ts_mono){later}, &lost_ns),
        ADMIN_PRIMARY_SAME);
    assert_true(has_alarm(f, later));
    s->peers.p[0].replica_running_mask = 2; /* that one may be the primary */
    (void)admin_primary_update(s, &f->cluster.groups[0], (struct ts_mono){later}, &lost_ns);
    assert_false(has_alarm(f, later));
    assert_false(has_code(f, later, "replica-silent"));
    s->replica[1].has = false; /* it never reported to this cluster-cfgd */
    s->replica[1].at.ns = 0;
    assert_false(has_code(f, later, "replica-silent"));
    later += ADMIN_SILENT_NS + 1;
    s->procs_at.ns = s->peers_at.ns = later;
    assert_true(has_code(f, later, "replica-silent"));
}

/* Goal: an arbiter knows that a group has no primary only when no replica runs on any node that
 * it hears; a replica that runs may be the primary. */
static void test_primary_seen_from_arbiter_needs_all_down(void **state)
{
    struct fixture *f = *state;
    struct report_peer *p = f->state.peers.p;
    uint64_t after = admin_no_primary_after(&f->cluster.timing);
    fill(f);
    f->state.self = &f->cluster.nodes[2];
    f->state.replica[1].has = false;
    p[0] = (struct report_peer){.nic = {1}, .alive = false};
    p[1] = (struct report_peer){.nic = {2}, .alive = true};
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(look(f, NOW_NS + i * after), ADMIN_PRIMARY_SAME);
        assert_false(has_alarm(f, NOW_NS + i * after));
    }
    p[1].replica_known_mask = 2; /* nicd of nic2 says that kv's replica does not run */
    assert_int_equal(look(f, NOW_NS + 3 * after), ADMIN_PRIMARY_SAME);
    assert_int_equal(look(f, NOW_NS + 4 * after + 1), ADMIN_PRIMARY_LOST);
    assert_true(has_alarm(f, NOW_NS + 4 * after + 1));
    p[1].replica_running_mask = 2;
    assert_int_equal(look(f, NOW_NS + 5 * after), ADMIN_PRIMARY_SAME);
    assert_false(has_alarm(f, NOW_NS + 5 * after));
    p[1].alive = false; /* another loss is told again */
    assert_int_equal(look(f, NOW_NS + 6 * after), ADMIN_PRIMARY_SAME);
    assert_int_equal(look(f, NOW_NS + 7 * after + 1), ADMIN_PRIMARY_LOST);
}

/* Goal: bad requests get a sentence, not silence. */
static void test_answer_bad_request_says_why(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *request;
        const char *error;
    } BAD[] = {
        {"", "the request is no JSON object"},
        {"[]", "the request is no JSON object"},
        {"{\"cmd\": \"status\"}", "speaks version 1"},
        {"{\"version\": 2, \"cmd\": \"status\"}", "speaks version 1"},
        {"{\"version\": 1}", "\"cmd\" is missing"},
        {"{\"version\": 1, \"cmd\": \"reboot\"}", "unknown \"cmd\""},
        {"{\"version\": 1, \"cmd\": \"events\", \"since\": -1}", "\"since\" must be"},
        {"{\"version\": 1, \"cmd\": \"events\", \"limit\": 1001}", "\"limit\" one of"},
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        json_t *o = answer(f, BAD[i].request);
        assert_true(json_is_false(json_object_get(o, "ok")));
        assert_non_null(strstr(text_at(o, "error"), BAD[i].error));
        json_decref(o);
    }
}

/* Goal: events come in pages, and the last page says so. */
static void test_events_are_paged(void **state)
{
    struct fixture *f = *state;
    struct ts_trace t = {.kind = TS_TRACE_SEALED};
    for (uint64_t i = 1; i <= 3; i++) {
        t.a = i;
        (void)recorder_add(f->recorder, i, (struct recorder_source){.role = REPORT_PROC_REPLICA},
                           &t);
    }
    json_t *o = answer(f, "{\"version\": 1, \"cmd\": \"events\", \"limit\": 2}");
    assert_int_equal(json_array_size(json_object_get(o, "events")), 2);
    assert_true(json_is_true(json_object_get(o, "more")));
    json_decref(o);
    o = answer(f, "{\"version\": 1, \"cmd\": \"events\", \"since\": 2}");
    assert_int_equal(json_array_size(json_object_get(o, "events")), 1);
    assert_false(json_is_true(json_object_get(o, "more")));
    assert_int_equal(json_integer_value(json_object_get(o, "newest")), 3);
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        TEST(test_status_of_well_node_has_no_alarm),
        TEST(test_service_address_is_told),
        TEST(test_latency_tells_stages_and_counters),
        TEST(test_nobody_is_silent_at_the_start),
        TEST(test_alarms_tell_what_is_wrong),
        TEST(test_alarm_table_of_starts_is_nearly_full),
        TEST(test_alarm_foreign_disk_is_told),
        TEST(test_foreign_disks_are_kept_in_bounds),
        TEST(test_alarm_certificate_expiry_is_told),
        TEST(test_primary_lost_link_becomes_alarm),
        TEST(test_alarms_outlast_restarts_of_the_replica),
        TEST(test_primary_seen_from_arbiter_needs_all_down),
        TEST(test_answer_bad_request_says_why),
        TEST(test_events_are_paged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
