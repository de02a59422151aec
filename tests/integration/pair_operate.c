/* What an operator's tools see of a running pair: latencies, metrics, a backup, a bundle. The tests
 * stand in one order and share the pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "lab/clock.h"
#include "lab/exec.h"
#include "tests/integration/fixture.h"

#define WAIT_MS 60000
#define WORDS_MAX 8

struct fixture fixture = {.name = "operate", .calm = true};
static char said[256 * 1024];

/* Runs `twinstep WORD --dir RUN [words]`, up to a NULL; `said` has what it printed. */
static enum ts_err twinstep(const char *word, const char *const *words)
{
    char program[TS_PATH_MAX];
    struct ts_why why;
    const char *argv[WORDS_MAX + 5] = {program, word, "--dir", fixture.run};
    assert_int_equal(ts_path(program, NULL, fixture.pair.run.bin, "twinstep"), TS_OK);
    for (size_t i = 0; i < WORDS_MAX && words[i] != NULL; i++) {
        argv[4 + i] = words[i];
    }
    return lab_exec(argv, NULL, said, sizeof(said), &why);
}

static json_t *twinstep_json(const char *word, const char *const *words)
{
    assert_int_equal(twinstep(word, words), TS_OK);
    json_t *json = json_loads(said, 0, NULL);
    assert_non_null(json);
    return json;
}

static void run_load(void)
{
    struct lab_load *load = fixture_load(&fixture, "operate");
    lab_pause_ms(500); /* some thousands of commands */
    fixture_judge(load);
}

static int64_t number_at(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static const json_t *group_of(const json_t *latency, unsigned node)
{
    const json_t *n = json_array_get(json_object_get(latency, "nodes"), node);
    const json_t *g = json_array_get(json_object_get(n, "groups"), 0);
    assert_string_equal(json_string_value(json_object_get(g, "group")), "kv");
    return g;
}

static int64_t count_of(const json_t *group, size_t stage)
{
    return number_at(json_array_get(json_object_get(group, "stages"), stage), "count");
}

/* -1 until the replica's figures are there. */
static int64_t counter(const json_t *group, const char *name)
{
    const json_t *value = json_object_get(json_object_get(group, "counters"), name);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

/* Goal: what went through the first stage went through all others, and as often as it was ordered;
 * the secondary applied it too, and answered none of it. */
static void test_latency_of_all_stages_is_told(void **state)
{
    (void)state;
    static const char *const JSON[] = {"--latency", "--json", NULL};
    unsigned primary = fixture_primary(&fixture);
    run_load();
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    for (bool whole = false; !whole;) { /* figures are told once a second */
        json_t *latency = twinstep_json("status", JSON);
        const json_t *group = group_of(latency, primary);
        int64_t requests = counter(group, "requests");
        whole = requests > 10;
        for (size_t i = 0; i < json_array_size(json_object_get(group, "stages")); i++) {
            whole = whole && count_of(group, i) == requests;
        }
        whole = whole && counter(group_of(latency, 1 - primary), "commits") >= requests &&
                counter(group_of(latency, 1 - primary), "requests") >= 0;
        assert_true(whole || lab_now_ns() < end);
        if (whole) {
            const json_t *stages = json_object_get(group, "stages");
            assert_int_equal(json_array_size(stages), 6);
            const json_t *journal = json_array_get(stages, 1);
            const json_t *commit = json_array_get(stages, 3);
            assert_true(number_at(journal, "p50_ns") > 0);
            assert_true(number_at(commit, "sum_ns") >= number_at(journal, "sum_ns"));
            assert_true(counter(group, "client_received_bytes") > requests);
            assert_true(counter(group, "batches") > 0);
            assert_int_equal(counter(group_of(latency, 1 - primary), "requests"), 0);
            assert_int_equal(count_of(group_of(latency, 1 - primary), 0), 0);
        }
        json_decref(latency);
        lab_pause_ms(50);
    }
    static const char *const TEXT[] = {"--latency", NULL};
    assert_int_equal(twinstep("status", TEXT), TS_OK);
    assert_non_null(strstr(said, "p99.9 ms"));
    assert_non_null(strstr(said, "fabric"));
}

/* The value of a line "NODE NAME VALUE". */
static long long metric(const char *node, const char *name)
{
    char key[128];
    snprintf(key, sizeof(key), "%s twinstep_%s ", node, name);
    const char *at = strstr(said, key);
    if (at == NULL) {
        print_error("no \"%s\" in\n%s", key, said);
        fail();
        return 0;
    }
    return strtoll(at + strlen(key), NULL, 10);
}

static void scrape(void)
{
    char program[512];
    char url[3][128];
    struct ts_why why;
    snprintf(program, sizeof(program), "%s/scrape.py", CLIENTS_DIR);
    const char *argv[] = {"python3", program, url[0], url[1], url[2], NULL};
    for (size_t i = 0; i < 3; i++) {
        snprintf(url[i], sizeof(url[i]), "http://%s:%u/metrics",
                 cfg_metrics_address(&fixture.pair.cluster, &fixture.pair.cluster.nodes[i]),
                 fixture.pair.cluster.metrics_port);
    }
    if (lab_exec(argv, NULL, said, sizeof(said), &why) != TS_OK) {
        print_error("%s\n%s", why.text, said);
        fail();
    }
}

/* Goal: every node's metrics are what Prometheus reads, and say of the group what it is. */
static void test_metrics_are_scraped(void **state)
{
    (void)state;
    unsigned index = fixture_primary(&fixture);
    const char *primary = lab_pair_node(&fixture.pair, index);
    const char *other = lab_pair_node(&fixture.pair, 1 - index);
    scrape();
    assert_int_equal(metric(primary, "alarms"), 0);
    assert_int_equal(metric(primary, "in_sync_replicas"), 2);
    assert_int_equal(metric(other, "in_sync"), 1);
    assert_int_equal(metric(other, "serving"), 1);
    assert_int_equal(metric(other, "epoch"), metric(primary, "epoch"));
    assert_true(metric(primary, "requests_total") > 10);
    assert_true(metric(other, "commits_total") > 10);
    assert_int_equal(metric(other, "sessions_max"), 8192);
    assert_int_equal(metric(primary, "session_reply_bytes"), 0);
    assert_int_equal(metric(lab_pair_node(&fixture.pair, 2), "voter_ready"), 1);
    assert_null(strstr(said, "arb1 twinstep_epoch"));
}

/* Runs a line of shell with $T, the command, $RUN, $NEW, a run directory beside it, and $H, the
 * address of NIC `nic`. */
static enum ts_err shell(unsigned nic, const char *line)
{
    char text[4096];
    struct ts_why why;
    snprintf(text, sizeof(text), "T=%s/twinstep; RUN=%s; NEW=%s.new; H=%s; %s",
             fixture.pair.run.bin, fixture.run, fixture.run,
             fixture.pair.cluster.nodes[nic].paths[0], line);
    const char *argv[] = {"sh", "-c", text, NULL};
    return lab_exec(argv, NULL, said, sizeof(said), &why);
}

static void expect(unsigned nic, const char *line, const char *words)
{
    enum ts_err err = shell(nic, line);
    if (err != TS_OK || strstr(said, words) == NULL) {
        print_error("%s\nsaid (%s):\n%s", line, ts_err_text(err), said);
        fail();
    }
}

/* Until the answer of NIC `nic`, or a refusal that is not meant, is there. */
static void expect_soon(unsigned nic, const char *line, const char *words)
{
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        (void)shell(nic, line);
        assert_true(lab_now_ns() < end);
        lab_pause_ms(50);
    } while (strstr(said, words) == NULL);
}

/* Goal: a cluster that is restored has what the backup has and nothing else, in an epoch above; an
 * old voter with a valid certificate does not count, and says so, an old replica is left out. */
static void test_backup_is_restored_and_old_disks_are_left_out(void **state)
{
    (void)state;
    unsigned primary = fixture_primary(&fixture);
    struct lab_guard guard = {0};
    struct ts_why why;
    char fresh[LAB_SCRATCH_MAX + 8];
    snprintf(fresh, sizeof(fresh), "%s.new", fixture.run);
    assert_int_equal(lab_guard_begin(&guard, fresh, lab_pair_nodes, &why), TS_OK);
    expect(primary, "redis-cli -h $H SET keep yes", "OK");
    expect(primary, "$T backup kv $NEW.kv --dir $RUN", "taken on");
    assert_null(strstr(said, lab_pair_node(&fixture.pair, primary))); /* a secondary's will do */
    expect(primary, "redis-cli -h $H SET lost yes", "OK");
    expect(primary,
           "$T backup kv $NEW.kv2 --dir $RUN --json --nic $($T status --dir $RUN --json | "
           "python3 -c 'import json,sys; print(json.load(sys.stdin)[\"groups\"][0]"
           "[\"primary\"])')",
           "\"seq\"");
    expect(0, "! $T restore kv $NEW.kv --config $RUN/cluster.yaml --dir $RUN 2>&1",
           "not an empty directory");
    expect(0, "$T down --dir $RUN", "ended");
    expect(0, "$T restore kv $NEW.kv --config $RUN/cluster.yaml --dir $NEW", "goes on in epoch 1");
    expect(0,
           "rm -r $NEW/arb1/voter && cp -a $RUN/arb1/voter $NEW/arb1/voter && "
           "($T up --timeout 5 --dir $NEW 2>&1 || :)",
           "the voter of arb1 is replaced");
    expect_soon(0, "redis-cli -h $H MGET keep lost; redis-cli -h $H SET new yes", "yes\n\nOK");
    expect(0, "$T status --dir $NEW | grep -E 'epoch [1-9][0-9]{15}'", "epoch ");
    expect(0,
           "$T down --dir $NEW --nic nic2 && mv $NEW/nic2/groups/kv $NEW/aside && "
           "cp -a $RUN/nic2/groups/kv $NEW/nic2/groups/kv && "
           "($T up --timeout 5 --dir $NEW --nic nic2 2>&1 || :)",
           "another disk was enrolled in its place");
    expect_soon(0, "redis-cli -h $H MGET new lost", "yes\n\n");
    expect(0, "$T down --dir $NEW; rm -rf $NEW $NEW.kv $NEW.kv2; $T up --dir $RUN", "in sync");
    expect_soon(fixture_primary(&fixture), "redis-cli -h $H MGET keep lost", "yes\nyes");
    lab_guard_end(&guard);
}

/* Goal: a bundle has what it says, of every node, and no key, user or client's data. */
static void test_support_bundle_has_no_secrets(void **state)
{
    (void)state;
    unsigned primary = fixture_primary(&fixture);
    expect(primary, "redis-cli -h $H SET tell-nobody 123454321", "OK");
    expect(primary,
           "umask 022; mkdir $RUN/many && (cd $RUN/many && seq -f 'a-name-of-fifty-bytes-in-a-long-"
           "list-of-them-%06.0f' 1500 | xargs touch) && $T user add app --role write --dir $RUN "
           ">/dev/null && "
           "$T support-bundle $NEW.tar.gz --dir $RUN && stat -c %a $NEW.tar.gz",
           "600");
    expect(primary, "tar -xzOf $NEW.tar.gz --wildcards '*/MANIFEST'", "nic2/journal-kv.txt");
    static const char *const PARTS[] = {"status.json",      "latency.json", "explain.txt",
                                        "cluster.yaml",     "machine.txt",  "nic1/metrics.txt",
                                        "arb1/log-nicd.log"};
    for (size_t i = 0; i < sizeof(PARTS) / sizeof(PARTS[0]); i++) {
        char line[256];
        snprintf(line, sizeof(line), "tar -xzOf $NEW.tar.gz --wildcards '*/%s' | grep -c .",
                 PARTS[i]);
        expect(primary, line, "");
        assert_true(strtol(said, NULL, 10) > 0);
    }
    expect(primary, "tar -xzOf $NEW.tar.gz --wildcards '*/nic1/metrics.txt'", "# TYPE twinstep_");
    expect(primary,
           "tar -xzOf $NEW.tar.gz --wildcards '*/machine.txt' | grep -c -e a-name-of-fifty -e "
           "'/arb1/voter:$'; "
           "rm -r $RUN/many",
           "1501");
    expect(primary,
           "! tar -xzOf $NEW.tar.gz | grep -a -e 'PRIVATE KEY' -e 123454321 -e BEGIN && "
           "! tar -xzOf $NEW.tar.gz | grep -a -F \"$(cut -d' ' -f5 $RUN/users | tail -1)\" "
           "&& echo clean",
           "clean");
    expect(primary,
           "! $T support-bundle $NEW.tar.gz --dir $RUN 2>&1 && rm $NEW.tar.gz && "
           "$T user remove app --open --dir $RUN",
           "never overwritten");
}

/* Goal: tar's own meanings of a file's name make no empty bundle and ask no other machine. */
static void test_support_bundle_takes_odd_names(void **state)
{
    (void)state;
    expect(0,
           "mkdir $NEW.odd && cd $NEW.odd && for f in - host:file -x; do "
           "$T support-bundle --dir $RUN -- $f >/dev/null && tar -tzf ./$f; done | grep -c "
           "MANIFEST; rm -r $NEW.odd",
           "3");
}

/* Goal: whoever starts nicd as systemd does is told when its programs are started. */
static void test_nicd_tells_systemd_that_it_is_ready(void **state)
{
    (void)state;
    expect(0, "python3 " CLIENTS_DIR "/notified.py $NEW.sock $T $RUN arb1", "READY=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency_of_all_stages_is_told),
        cmocka_unit_test(test_metrics_are_scraped),
        cmocka_unit_test(test_backup_is_restored_and_old_disks_are_left_out),
        cmocka_unit_test(test_support_bundle_has_no_secrets),
        cmocka_unit_test(test_support_bundle_takes_odd_names),
        cmocka_unit_test(test_nicd_tells_systemd_that_it_is_ready),
    };
    return fixture_run(tests);
}
