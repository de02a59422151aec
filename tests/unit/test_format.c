/* Formation: complete after a crash at any step, and never done twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io/slot_file.h"
#include "cluster-cfg/io/cluster_yaml.h"
#include "cluster-cfg/io/format.h"

static const char CLUSTER[] = "cluster: demo\n"
                              "nics:\n"
                              "  - {name: nic1, paths: [127.77.1.1]}\n"
                              "  - {name: nic2, paths: [127.77.1.2]}\n"
                              "arbiters:\n"
                              "  - {name: arb1, paths: [127.77.1.3]}\n"
                              "groups:\n"
                              "  - {name: kv, service: kv, port: 6379}\n"
                              "  - {name: k2, service: kv, port: 6380}\n";

struct fixture {
    char run[64];
    struct cfg_cluster cluster;
    struct ts_why why;
    unsigned steps;  /* taken so far */
    unsigned die_at; /* the process ends before this step; 0 = never */
};

static enum ts_err fake_replica(const char *dir, const struct format_replica *want,
                                struct ts_why *why)
{
    char staging[TS_PATH_MAX];
    char record[TS_PATH_MAX];
    enum ts_err err = ts_dir_stage_begin(dir, staging, why);
    if (err != TS_OK) {
        return err;
    }
    const uint8_t id = (uint8_t)want->group.v;
    assert_int_equal(ts_path(record, why, staging, "record"), TS_OK);
    assert_int_equal(ts_slot_format(record, want->incarnation, 64, (struct ts_bytes){&id, 1}, why),
                     TS_OK);
    return ts_dir_stage_finish(dir, why);
}

static void count_step(void *arg, const char *what)
{
    struct fixture *f = arg;
    (void)what;
    f->steps++;
    if (f->steps == f->die_at) {
        _exit(42);
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char error[CLUSTER_YAML_ERROR_MAX];
    struct ts_bytes text = {(const uint8_t *)CLUSTER, sizeof(CLUSTER) - 1};
    if (f == NULL || cluster_yaml_parse("c", text, &f->cluster, error) != TS_OK) {
        return -1;
    }
    (void)snprintf(f->run, sizeof(f->run), "/tmp/ts-format-XXXXXX");
    *state = f;
    return mkdtemp(f->run) == NULL ? -1 : 0;
}

static void remove_tree(const char *dir)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp("rm", "rm", "-rf", "--", dir, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    remove_tree(f->run);
    free(f);
    return 0;
}

/* What `twinstep up` does. */
static enum ts_err form(struct fixture *f, struct format_genesis *g)
{
    struct format_env env = {.replica = fake_replica, .step = count_step, .arg = f};
    enum ts_err err = format_genesis_load(f->run, &f->cluster, g, &f->why);
    if (err == TS_ERR_NOT_FOUND) {
        err = format_genesis_mint(f->run, &f->cluster, NULL, g, &env, &f->why);
    }
    bool formed[TS_NODES_MAX] = {false};
    for (size_t i = 0; i < f->cluster.node_count && err == TS_OK; i++) {
        err = format_node(f->run, &f->cluster, g, &f->cluster.nodes[i], &env, &f->why);
        formed[i] = err == TS_OK;
    }
    return err == TS_OK ? format_finish(f->run, &f->cluster, formed, &env, &f->why) : err;
}

static void assert_incarnation(const struct fixture *f, const char *file,
                               struct ts_incarnation expected)
{
    char path[TS_PATH_MAX];
    struct ts_slot_file *slot;
    assert_int_equal(ts_path(path, NULL, f->run, "%s", file), TS_OK);
    assert_int_equal(ts_slot_open(&slot, path, expected, NULL), TS_OK);
    ts_slot_close(slot);
}

static void assert_formed(const struct fixture *f, const struct format_genesis *g)
{
    assert_incarnation(f, "nic1/voter/identity", g->voter[0]);
    assert_incarnation(f, "nic2/voter/identity", g->voter[1]);
    assert_incarnation(f, "arb1/voter/identity", g->voter[2]);
    assert_incarnation(f, "nic1/groups/kv/record", g->replica[0][0]);
    assert_incarnation(f, "nic2/groups/kv/record", g->replica[0][1]);
    assert_incarnation(f, "nic2/groups/k2/record", g->replica[1][1]);
    for (size_t i = 0; i < 3; i++) {
        assert_true(format_node_is_complete(f->run, &f->cluster.nodes[i]));
    }
}

static void write_file(const struct fixture *f, const char *name, const char *text)
{
    char path[TS_PATH_MAX];
    assert_int_equal(ts_path(path, NULL, f->run, "%s", name), TS_OK);
    assert_int_equal(ts_file_replace(path, text, strlen(text), 0600, NULL), TS_OK);
}

static void remove_in(const struct fixture *f, const char *name)
{
    char path[TS_PATH_MAX];
    assert_int_equal(ts_path(path, NULL, f->run, "%s", name), TS_OK);
    remove_tree(path);
}

/* Goal: all disks bear their minted incarnation, and a voter holds the first config of each
 * group, accepted at the zero ballot. */
static void test_format_new_cluster_gives_genesis_everywhere(void **state)
{
    struct fixture *f = *state;
    struct format_genesis g;
    assert_int_equal(form(f, &g), TS_OK);
    assert_formed(f, &g);

    char path[TS_PATH_MAX];
    struct ts_slot_file *slot;
    assert_int_equal(ts_path(path, NULL, f->run, "arb1/voter/register-2"), TS_OK);
    assert_int_equal(ts_slot_open(&slot, path, g.voter[2], NULL), TS_OK);
    struct voter_record rec;
    assert_int_equal(voter_record_decode(&rec, ts_slot_value(slot)), TS_OK);
    ts_slot_close(slot);
    assert_int_equal(rec.reg.reg, 2);
    assert_true(reg_ballot_is_zero(rec.reg.accepted));
    struct cfg_config c;
    struct ts_reader r = ts_reader_init(rec.reg.value.data, rec.reg.value.len);
    cfg_config_decode(&c, &r);
    assert_int_equal(ts_reader_finish(&r), TS_OK);
    struct cfg_config first = format_first_config(&f->cluster, &g, &f->cluster.groups[1]);
    assert_true(cfg_config_eq(&c, &first));
    assert_int_equal(c.primary.v, 1);
    assert_int_equal(c.in_sync.count, 2);
}

/* Goal: a second formation changes nothing. */
static void test_format_again_takes_no_step(void **state)
{
    struct fixture *f = *state;
    struct format_genesis g1;
    struct format_genesis g2;
    assert_int_equal(form(f, &g1), TS_OK);
    f->steps = 0;
    assert_int_equal(form(f, &g2), TS_OK);
    assert_int_equal(f->steps, 0);
    assert_memory_equal(&g1, &g2, sizeof(g1));
}

/* Goal: whichever step the process dies before, the next call completes the formation, with the
 * incarnations of the first one once these were written. */
static void test_format_killed_at_every_step_is_completed(void **state)
{
    struct fixture *f = *state;
    struct format_genesis g;
    assert_int_equal(form(f, &g), TS_OK);
    unsigned steps = f->steps;
    assert_in_range(steps, 20, 200);
    for (unsigned k = 1; k <= steps; k++) {
        remove_tree(f->run);
        f->steps = 0;
        pid_t pid = fork();
        if (pid == 0) {
            f->die_at = k;
            (void)form(f, &g);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
        struct format_genesis before;
        enum ts_err had = format_genesis_load(f->run, &f->cluster, &before, &f->why);
        assert_int_equal(had, k <= 2 ? TS_ERR_NOT_FOUND : TS_OK);
        assert_int_equal(form(f, &g), TS_OK);
        assert_formed(f, &g);
        if (had == TS_OK) {
            assert_memory_equal(&before, &g, sizeof(g));
        }
    }
}

/* Goal: without the genesis nothing is minted beside data that bears another one. */
static void test_format_lost_genesis_is_refused(void **state)
{
    struct fixture *f = *state;
    struct format_genesis g;
    assert_int_equal(form(f, &g), TS_OK);
    remove_in(f, "genesis.json");
    assert_int_equal(form(f, &g), TS_ERR_EXISTS);
    assert_non_null(strstr(f->why.text, "put that file back"));
}

/* Goal: a node whose disk was replaced does not come back as if it had never run. */
static void test_format_blank_disk_of_formed_node_is_refused(void **state)
{
    struct fixture *f = *state;
    struct format_genesis g;
    assert_int_equal(form(f, &g), TS_OK);
    remove_in(f, "nic2");
    assert_int_equal(form(f, &g), TS_ERR_NOT_FOUND);
    assert_non_null(strstr(f->why.text, "nic2 was formed before"));
    assert_non_null(strstr(f->why.text, "a blank disk"));
}

/* What `twinstep nic replace nic2` does. */
static enum ts_err replace(struct fixture *f, const struct format_listed *listed)
{
    struct format_env env = {.replica = fake_replica, .step = count_step, .arg = f};
    const struct cfg_node *node = &f->cluster.nodes[1];
    struct format_genesis g;
    enum ts_err err = format_genesis_load(f->run, &f->cluster, &g, &f->why);
    err = err != TS_OK
              ? err
              : format_replace(f->run, &f->cluster, &g, node, listed, false, &env, &f->why);
    err = err != TS_OK ? err : format_node(f->run, &f->cluster, &g, node, &env, &f->why);
    return err != TS_OK ? err : format_replace_finish(f->run, &f->cluster, &g, node, &env, &f->why);
}

/* Goal: a lost disk gets new incarnations that remember which they replace; other nodes keep
 * theirs; a disk with data is refused. */
static void test_format_replace_gives_new_incarnations(void **state)
{
    struct fixture *f = *state;
    struct format_listed listed = {0};
    struct format_genesis before;
    struct format_genesis after;
    assert_int_equal(form(f, &before), TS_OK);
    assert_int_equal(replace(f, &listed), TS_ERR_EXISTS);
    assert_non_null(strstr(f->why.text, "not blank"));
    remove_in(f, "nic2");
    listed.replica[1].v = 77; /* that group's register lists another one by now */
    assert_int_equal(replace(f, &listed), TS_OK);
    assert_int_equal(format_genesis_load(f->run, &f->cluster, &after, &f->why), TS_OK);
    assert_int_equal(after.replaces[0][1].v, before.replica[0][1].v);
    assert_int_equal(after.replaces[1][1].v, 77);
    assert_int_not_equal(after.replica[0][1].v, before.replica[0][1].v);
    assert_int_equal(after.replica[0][0].v, before.replica[0][0].v);
    assert_true(after.voter_replaces[0].count == 0 && !after.replacing[1]);
    assert_int_equal(after.voter_replaces[1].count, 1);
    assert_int_equal(after.voter_replaces[1].v[0].v, before.voter[1].v);
    assert_int_not_equal(after.voter[1].v, before.voter[1].v);
    assert_incarnation(f, "nic2/voter/identity", after.voter[1]);
    assert_incarnation(f, "nic2/groups/kv/record", after.replica[0][1]);
    assert_int_equal(form(f, &after), TS_OK); /* `up` finds it complete */

    /* It is lost, too. */
    remove_in(f, "nic2");
    listed.replica[1].v = 0;
    assert_int_equal(replace(f, &listed), TS_OK);
    struct format_genesis third;
    assert_int_equal(format_genesis_load(f->run, &f->cluster, &third, &f->why), TS_OK);
    assert_int_equal(third.replaces[1][1].v, after.replica[1][1].v);
    /* A group may list either: not all of them had taken the second one in. */
    assert_int_equal(third.voter_replaces[1].count, 2);
    assert_int_equal(third.voter_replaces[1].v[0].v, after.voter[1].v);
    assert_int_equal(third.voter_replaces[1].v[1].v, before.voter[1].v);
}

static void rename_in(const struct fixture *f, const char *from, const char *to)
{
    char old[TS_PATH_MAX];
    char new[TS_PATH_MAX];
    assert_int_equal(ts_path(old, NULL, f->run, "%s", from), TS_OK);
    assert_int_equal(ts_path(new, NULL, f->run, "%s", to), TS_OK);
    assert_int_equal(rename(old, new), 0);
}

/* Goal: the genesis of before each replacement is kept: with it a disk fits that is found again
 * before the new one is enrolled, and may be the only one that has everything. */
static void test_format_replace_keeps_the_genesis_of_before(void **state)
{
    struct fixture *f = *state;
    struct format_listed listed = {.voter = {0}};
    struct format_genesis first;
    struct format_genesis g;
    assert_int_equal(form(f, &first), TS_OK);
    rename_in(f, "nic2", "lost");
    for (int i = 0; i < 2; i++) { /* the new one is lost, too */
        assert_int_equal(replace(f, &listed), TS_OK);
        remove_in(f, "nic2");
    }
    rename_in(f, "lost", "nic2");
    assert_int_equal(form(f, &g), TS_ERR_EXISTS);
    assert_non_null(strstr(f->why.text, "genesis-before-1.json"));
    rename_in(f, "genesis-before-2.json", "genesis.json");
    assert_int_equal(form(f, &g), TS_ERR_EXISTS);
    rename_in(f, "genesis-before-1.json", "genesis.json");
    assert_int_equal(form(f, &g), TS_OK);
    assert_formed(f, &first);
}

/* Goal: whichever step a replacement dies before, the next one completes it, for the same place and
 * with one set of incarnations once these were written. */
static void test_format_replace_killed_at_every_step_is_completed(void **state)
{
    struct fixture *f = *state;
    const struct format_listed listed = {0};
    struct format_genesis first;
    for (unsigned k = 1;; k++) {
        remove_tree(f->run);
        assert_int_equal(form(f, &first), TS_OK);
        remove_in(f, "nic2");
        f->steps = 0;
        pid_t pid = fork();
        if (pid == 0) {
            f->die_at = k;
            (void)replace(f, &listed);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 0) {
            assert_in_range(k, 8, 40);
            return; /* it has no more steps */
        }
        struct format_genesis begun;
        assert_int_equal(format_genesis_load(f->run, &f->cluster, &begun, &f->why), TS_OK);
        assert_int_equal(replace(f, &listed), TS_OK);
        struct format_genesis g;
        assert_int_equal(format_genesis_load(f->run, &f->cluster, &g, &f->why), TS_OK);
        assert_int_equal(g.replaces[0][1].v, first.replica[0][1].v);
        /* Until the genesis is written, in the second step, nothing is minted. */
        assert_true(k <= 2 || g.replica[0][1].v == begun.replica[0][1].v);
        assert_incarnation(f, "nic2/groups/kv/record", g.replica[0][1]);
        assert_true(format_node_is_complete(f->run, &f->cluster.nodes[1]));
    }
}

/* Goal: half a formation with one genesis is not completed with another. */
static void test_format_parts_of_other_genesis_are_refused(void **state)
{
    struct fixture *f = *state;
    struct format_genesis g;
    assert_int_equal(form(f, &g), TS_OK);
    remove_in(f, "formed");
    remove_in(f, "nic1/formatted");
    g.voter[0].v ^= 1;
    struct format_env env = {.replica = fake_replica, .step = count_step, .arg = f};
    assert_int_equal(format_node(f->run, &f->cluster, &g, &f->cluster.nodes[0], &env, &f->why),
                     TS_ERR_EXISTS);
    assert_non_null(strstr(f->why.text, "another formation"));
}

/* Goal: ids come from the file's order, so a formed cluster refuses a file whose ids moved. */
static void test_genesis_load_changed_cluster_is_refused(void **state)
{
    struct fixture *f = *state;
    struct format_genesis g;
    assert_int_equal(form(f, &g), TS_OK);
    struct cfg_cluster other = f->cluster;
    struct cfg_node first = other.nodes[0];
    other.nodes[0] = other.nodes[1];
    other.nodes[1] = first;
    other.nodes[0].id.v = 1;
    other.nodes[1].id.v = 2;
    assert_int_equal(format_genesis_load(f->run, &other, &g, &f->why), TS_ERR_CONFIG);
    assert_non_null(strstr(f->why.text, "node \"nic2\""));

    other = f->cluster;
    other.groups[0].nic_count = 1;
    assert_int_equal(format_genesis_load(f->run, &other, &g, &f->why), TS_ERR_CONFIG);
    assert_non_null(strstr(f->why.text, "group \"kv\""));

    other = f->cluster;
    other.name[0] = 'x';
    assert_int_equal(format_genesis_load(f->run, &other, &g, &f->why), TS_ERR_CONFIG);
    assert_non_null(strstr(f->why.text, "is of the cluster \"demo\""));
}

/* Goal: damage is told from change, and neither crashes. */
static void test_genesis_load_damaged_is_corrupt(void **state)
{
    struct fixture *f = *state;
    struct format_genesis g;
    static const char *const BAD[] = {
        "",
        "{",
        "[]",
        "{\"version\": 1}",
        "{\"version\": 1, \"cluster\": \"demo\", \"nodes\": 3, \"groups\": []}",
        ("{\"version\": 1, \"cluster\": \"demo\", \"groups\": [], \"nodes\": "
         "[{\"id\": 1, \"name\": \"nic1\", \"voter\": \"0000000000000000\"}]}"),
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        write_file(f, "genesis.json", BAD[i]);
        assert_int_equal(format_genesis_load(f->run, &f->cluster, &g, &f->why), TS_ERR_CORRUPT);
    }
    write_file(f, "genesis.json", "{\"version\": 2}");
    assert_int_equal(format_genesis_load(f->run, &f->cluster, &g, &f->why), TS_ERR_VERSION);
}

/* Goal: a group from a backup begins with its epoch, also as the genesis is read again, and with a
 * ballot that an earlier formation's voters can not have reached; others begin as ever. */
static void test_genesis_with_epochs_begins_above(void **state)
{
    struct fixture *f = *state;
    struct format_env env = {.replica = fake_replica};
    struct format_genesis minted;
    struct format_genesis loaded;
    struct ts_epoch epochs[2] = {{1}, {1763872327000001}};
    assert_int_equal(format_genesis_mint(f->run, &f->cluster, epochs, &minted, &env, &f->why),
                     TS_OK);
    assert_int_equal(format_genesis_load(f->run, &f->cluster, &loaded, &f->why), TS_OK);
    struct cfg_config a = format_first_config(&f->cluster, &loaded, &f->cluster.groups[0]);
    struct cfg_config b = format_first_config(&f->cluster, &loaded, &f->cluster.groups[1]);
    assert_int_equal(a.epoch.v, 1);
    assert_true(b.epoch.v == 1763872327000001);
}

/* Goal: each restore begins above all that the backup, its cluster and earlier restores of it may
 * have had: the clock says by how much. One that can not be right needs somebody's word. */
static void test_epoch_restored_is_above_all_before(void **state)
{
    (void)state;
    static const uint64_t HOUR = 3600ULL * 1000000U;
    static const uint64_t T = 1763872327000000U;
    static const struct {
        struct format_restored by;
        enum ts_err err;
        uint64_t epoch;
    } CASES[] = {
        {{{5}, T, T + HOUR, false, {0}}, TS_OK, T + HOUR},
        {{{5}, T, T + 2 * HOUR, false, {0}}, TS_OK, T + 2 * HOUR}, /* again: not the same one */
        {{{T + 9}, T + HOUR, T + HOUR + 1, false, {0}}, TS_OK, T + HOUR + 1},
        {{{5}, T, T, false, {0}}, TS_ERR_CONFIG, 0},
        {{{5}, T, 7, false, {0}}, TS_ERR_CONFIG, 0},
        {{{T + HOUR}, T, T + 1, false, {0}}, TS_ERR_CONFIG, 0}, /* it was ahead when restored */
        {{{5}, T, 7, true, {T + HOUR}}, TS_OK, T + HOUR + 1},
        {{{T + HOUR}, T, 7, true, {6}}, TS_OK, T + HOUR + 1},
        {{{5}, T, T + HOUR, true, {6}}, TS_OK, T + HOUR},
        {{{5}, T, 7, true, {6}}, TS_OK, FORMAT_EPOCH_RESTORED},
        {{{5}, T, FORMAT_EPOCH_MAX - 1, false, {0}}, TS_OK, FORMAT_EPOCH_MAX - 1},
        {{{5}, T, FORMAT_EPOCH_MAX, false, {0}}, TS_ERR_LIMIT, 0},
        {{{5}, T, T + 1, true, {FORMAT_EPOCH_MAX - 1}}, TS_ERR_LIMIT, 0},
        {{{UINT64_MAX}, T, T + 1, true, {1}}, TS_ERR_LIMIT, 0},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct ts_epoch epoch = {0};
        struct ts_why why = {{0}};
        assert_int_equal(format_epoch_restored(&CASES[i].by, &epoch, &why), CASES[i].err);
        assert_true(epoch.v == CASES[i].epoch);
        assert_int_equal(why.text[0] == '\0', CASES[i].err == TS_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        TEST(test_format_new_cluster_gives_genesis_everywhere),
        TEST(test_format_again_takes_no_step),
        TEST(test_genesis_with_epochs_begins_above),
        cmocka_unit_test(test_epoch_restored_is_above_all_before),
        TEST(test_format_killed_at_every_step_is_completed),
        TEST(test_format_lost_genesis_is_refused),
        TEST(test_format_blank_disk_of_formed_node_is_refused),
        TEST(test_format_replace_gives_new_incarnations),
        TEST(test_format_replace_keeps_the_genesis_of_before),
        TEST(test_format_replace_killed_at_every_step_is_completed),
        TEST(test_format_parts_of_other_genesis_are_refused),
        TEST(test_genesis_load_changed_cluster_is_refused),
        TEST(test_genesis_load_damaged_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
