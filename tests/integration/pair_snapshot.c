/* Goal: a pair that is written to for long keeps snapshots and the journal behind them, not all it
 * ever wrote, while its clients are served; both NICs start from these when all is killed; and one
 * that was away for long gets the other one's. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lab/exec.h"
#include "tests/integration/fixture.h"

#define ROUNDS_MIN 5
#define ROUNDS_MAX 12
#define KEYS 300U
#define BYTES 65536U

struct fixture fixture = {.name = "snapshot", .calm = true};

static void sh(const char *command, char *out, size_t cap)
{
    struct ts_why why = {{0}};
    const char *argv[] = {"sh", "-c", command, NULL};
    if (lab_exec(argv, NULL, out, cap, &why) != TS_OK) {
        print_error("%s\n%s\n", why.text, out);
        fail();
    }
}

static const char *primary_host(void)
{
    return fixture.pair.cluster.nodes[fixture_primary(&fixture)].paths[0];
}

/* Some 65 MB of the log, over some 20 MB of state. */
static void write_much(const char *host)
{
    char command[256];
    char out[8192];
    snprintf(command, sizeof(command),
             "redis-benchmark -h %s -p 6379 -t set -d %u -r %u -n 1000 -c 8 --csv 2>&1", host,
             BYTES, KEYS);
    sh(command, out, sizeof(out));
    assert_null(strstr(out, "rror"));
}

struct found {
    unsigned snapshots;
    unsigned segments;
    unsigned first; /* number of the lowest segment */
};

/* What a NIC's group has on its disk. */
static struct found look(unsigned index)
{
    char path[TS_PATH_MAX];
    struct found f = {.first = UINT32_MAX};
    snprintf(path, sizeof(path), "%s/%s/groups/kv", fixture.run,
             fixture.pair.cluster.nodes[index].name);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strncmp(e->d_name, "segment-", 8) == 0) {
            unsigned n = (unsigned)strtoul(e->d_name + 8, NULL, 10);
            f.segments++;
            f.first = n < f.first ? n : f.first;
        }
        f.snapshots += strncmp(e->d_name, "snapshot-", 9) == 0 && strstr(e->d_name, ".new") == NULL;
    }
    (void)closedir(d);
    return f;
}

/* Both have two snapshots, and journals that do not begin with the first segment any more. */
static bool is_compact(void)
{
    for (unsigned i = 0; i < LAB_NICS; i++) {
        struct found f = look(i);
        if (f.snapshots != 2 || f.first == 1) {
            return false;
        }
    }
    return true;
}

static void test_journals_stay_short(void **state)
{
    (void)state;
    const char *host = primary_host();
    for (int i = 0; i < ROUNDS_MIN || (i < ROUNDS_MAX && !is_compact()); i++) {
        write_much(host);
    }
    assert_true(is_compact());
    for (unsigned i = 0; i < LAB_NICS; i++) {
        assert_true(look(i).segments < 16); /* of 16 MiB: 20 and more were written */
    }
}

static void test_all_start_from_snapshots(void **state)
{
    (void)state;
    char command[512];
    char out[4096];
    snprintf(command, sizeof(command), "redis-cli -h %s -p 6379 SET last word", primary_host());
    sh(command, out, sizeof(out));
    for (unsigned i = 0; i < fixture.pair.cluster.node_count; i++) {
        fixture_kill_node(i);
    }
    for (unsigned i = 0; i < fixture.pair.cluster.node_count; i++) {
        fixture_start_node(i);
    }
    const char *host = primary_host();
    snprintf(command, sizeof(command), "redis-cli -h %s -p 6379 GET last", host);
    sh(command, out, sizeof(out));
    assert_string_equal(out, "word\n");
    snprintf(command, sizeof(command), "redis-cli -h %s -p 6379 DBSIZE", host);
    sh(command, out, sizeof(out));
    assert_true(strtoul(out, NULL, 10) > KEYS / 2);
    snprintf(command, sizeof(command),
             "grep -l 'loaded the snapshot' %s/*/log/replica*.log | wc -l", fixture.run);
    sh(command, out, sizeof(out));
    assert_int_equal(strtoul(out, NULL, 10), LAB_NICS);
}

/* The digests of both are compared all the time: a state that was loaded wrong would be told. */
static void test_goes_on_in_sync(void **state)
{
    (void)state;
    struct lab_state now;
    write_much(primary_host());
    assert_true(lab_pair_wait_redundant(&fixture.pair, 30000, &now));
    assert_int_equal(now.alarm_count, 0);
}

/* The primary's journal does not reach back to where the other one stopped. */
static void test_who_was_away_gets_a_snapshot(void **state)
{
    (void)state;
    char command[512];
    char out[4096];
    struct lab_state now;
    const char *host = primary_host();
    unsigned other = LAB_NICS - 1 - fixture_primary(&fixture);
    fixture_kill_node(other);
    for (int i = 0; i < ROUNDS_MIN; i++) {
        write_much(host);
    }
    assert_true(look(LAB_NICS - 1 - other).segments < 16);
    fixture_start_node(other);
    assert_true(fixture_primary(&fixture) != other); /* in sync again */
    snprintf(command, sizeof(command), "grep -h 'got a snapshot' %s/%s/log/replica*.log | wc -l",
             fixture.run, fixture.pair.cluster.nodes[other].name);
    sh(command, out, sizeof(out));
    assert_true(strtoul(out, NULL, 10) >= 1);
    assert_true(lab_pair_wait_redundant(&fixture.pair, 30000, &now));
    assert_int_equal(now.alarm_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_journals_stay_short),
        cmocka_unit_test(test_all_start_from_snapshots),
        cmocka_unit_test(test_goes_on_in_sync),
        cmocka_unit_test(test_who_was_away_gets_a_snapshot),
    };
    return fixture_run(tests);
}
