/* twinstep restore, as far as it comes without starting a node. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/cli_fixture.h"
#include "tests/unit/disk_fixture.h"

#include "replicator/io/backup_file.h"
#include "services/kv/sessions.h"

#define SEQ 7U
#define HOUR_US (3600ULL * 1000000U)

static uint64_t unix_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

static void put_state(struct snapshot_writer *w)
{
    void *state = kv_with_sessions.create(NULL);
    struct svc_walk *walk = kv_with_sessions.walk_begin(state);
    struct svc_out out = {.max = SVC_PIECE_MAX};
    for (bool more = true; more; out.len = 0) {
        more = kv_with_sessions.walk_next(walk, &out);
        assert_int_equal(snapshot_write_piece(w, (struct ts_bytes){out.data, out.len}, NULL),
                         TS_OK);
    }
    kv_with_sessions.walk_end(walk);
    kv_with_sessions.destroy(state);
    svc_out_free(&out);
}

/* DIR with "cluster.yaml" and "backup", a backup of epoch 5 that was taken at `taken_us`: of a new
 * state, or, if `foreign`, of bytes that no kv wrote. */
static void make_of(char dir[TS_PATH_MAX], uint64_t taken_us, bool foreign)
{
    char path[TS_PATH_MAX];
    struct snapshot_header h = {.incarnation = {77}, .group = {1}};
    struct backup_about about = {
        .cluster = "demo", .group = "kv", .service = "kv", .node = "nic2", .taken_us = taken_us};
    struct snapshot_writer *w = NULL;
    struct snapshot_info info;
    struct ts_seq oldest;
    disk_make(dir);
    h.mark.pos = (struct repl_pos){{SEQ}, {1, 2}};
    h.mark.epoch.v = 5;
    assert_int_equal(snapshot_write_begin(&w, dir, &h, NULL), TS_OK);
    if (foreign) {
        assert_int_equal(snapshot_write_piece(w, (struct ts_bytes){(const uint8_t *)"x", 1}, NULL),
                         TS_OK);
    } else {
        put_state(w);
    }
    assert_int_equal(snapshot_write_end(w, &oldest, NULL), TS_OK);
    assert_int_equal(ts_path(path, NULL, dir, "backup"), TS_OK);
    assert_int_equal(backup_write(path, &about, dir, (struct ts_seq){SEQ}, &info, NULL), TS_OK);
    assert_int_equal(ts_path(path, NULL, dir, "cluster.yaml"), TS_OK);
    assert_int_equal(ts_file_replace(path, CLUSTER, strlen(CLUSTER), 0600, NULL), TS_OK);
}

static void make(char dir[TS_PATH_MAX], uint64_t taken_us)
{
    make_of(dir, taken_us, false);
}

/* Restores DIR/backup into DIR/`name`; `above` may be NULL. What was said is the caller's. */
static char *restore(const char *dir, const char *name, const char *above, int status)
{
    char file[TS_PATH_MAX];
    char config[TS_PATH_MAX];
    char run[TS_PATH_MAX];
    char option[] = "--above";
    char *number = above == NULL ? NULL : strdup(above);
    char *argv[] = {"restore", "kv",    file, "--config",
                    config,    "--dir", run,  number == NULL ? NULL : option,
                    number,    NULL};
    struct sheet s = {0};
    assert_int_equal(ts_path(file, NULL, dir, "backup"), TS_OK);
    assert_int_equal(ts_path(config, NULL, dir, "cluster.yaml"), TS_OK);
    assert_int_equal(ts_path(run, NULL, dir, "%s", name), TS_OK);
    sheet_begin(&s);
    int got = cli_restore(&s.cli, number == NULL ? 7 : 9, argv);
    assert_int_equal(fclose(s.cli.out), 0);
    free(number);
    if (got != status) {
        fail_msg("%d: %s", got, s.text);
    }
    return s.text;
}

/* The same in a process of its own, as soon as the gate is closed at the other end. */
static int restore_at(const char *dir, const char *name, const int gate[2])
{
    char file[TS_PATH_MAX];
    char config[TS_PATH_MAX];
    char run[TS_PATH_MAX];
    char byte;
    char *argv[] = {"restore", "kv", file, "--config", config, "--dir", run, NULL};
    struct sheet s = {0};
    (void)close(gate[1]);
    if (ts_path(file, NULL, dir, "backup") != TS_OK ||
        ts_path(config, NULL, dir, "cluster.yaml") != TS_OK ||
        ts_path(run, NULL, dir, "%s", name) != TS_OK || read(gate[0], &byte, 1) != 0) {
        return CLI_USAGE;
    }
    sheet_begin(&s);
    return cli_restore(&s.cli, 7, argv);
}

static unsigned long long epoch_of(char *said)
{
    const char *at = strstr(said, "goes on in epoch ");
    assert_non_null(at);
    unsigned long long epoch = strtoull(at + strlen("goes on in epoch "), NULL, 10);
    free(said);
    return epoch;
}

/* Goal: of one backup, each restore begins above the one before, by far more than that one can have
 * gone on: a fencing token of the first is never given again by the second. */
static void test_restore_again_begins_above_the_restore_before(void **state)
{
    (void)state;
    char dir[TS_PATH_MAX];
    uint64_t before = unix_us();
    make(dir, before - HOUR_US);
    unsigned long long first = epoch_of(restore(dir, "one", NULL, 0));
    unsigned long long second = epoch_of(restore(dir, "two", NULL, 0));
    assert_true(first >= before);
    assert_true(second > first + 100); /* microseconds that a restore takes at least */
    assert_true(second <= unix_us());
    disk_remove(dir);
}

/* Goal: a backup whose bytes are whole, and that the service cannot load, is refused before
 * anything is made: otherwise each replica of the new cluster would refuse it at each start. */
static void test_restore_of_what_the_service_cannot_read_is_refused(void **state)
{
    (void)state;
    char dir[TS_PATH_MAX];
    char path[TS_PATH_MAX];
    make_of(dir, unix_us() - HOUR_US, true);
    char *said = restore(dir, "run", NULL, 1);
    assert_non_null(strstr(said, "of this release cannot read it"));
    free(said);
    assert_int_equal(ts_path(path, NULL, dir, "run"), TS_OK);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(ts_path(path, NULL, dir, "run.restoring"), TS_OK);
    assert_int_equal(access(path, F_OK), -1);
    disk_remove(dir);
}

/* Goal: with a clock that is behind the backup nothing is made without somebody's word. */
static void test_restore_with_a_clock_behind_asks_for_a_word(void **state)
{
    (void)state;
    char dir[TS_PATH_MAX];
    char said_above[32];
    uint64_t taken = unix_us() + 24 * HOUR_US;
    make(dir, taken);
    char *said = restore(dir, "one", NULL, CLI_FAILED);
    assert_non_null(strstr(said, "the clock of this machine is behind"));
    assert_non_null(strstr(said, "--above EPOCH"));
    free(said);
    (void)snprintf(said_above, sizeof(said_above), "%llu", (unsigned long long)taken);
    assert_true(epoch_of(restore(dir, "one", said_above, 0)) == taken + 1);
    static const char *const WRONG[] = {
        "", "-1", "+1", " 1", "1x", "4611686018427387904", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        said = restore(dir, "two", WRONG[i], CLI_USAGE);
        assert_non_null(strstr(said, "--above"));
        free(said);
    }
    disk_remove(dir);
}

/* Goal: of restores into one directory at once, exactly one goes on, and what it makes is its own.
 */
static void test_restores_at_once_into_one_directory_are_one(void **state)
{
    (void)state;
    char dir[TS_PATH_MAX];
    enum { ROUNDS = 3, CHILDREN = 4 };
    make(dir, unix_us() - HOUR_US);
    for (unsigned round = 0; round < ROUNDS; round++) {
        char name[16];
        int gate[2];
        int done = 0;
        (void)snprintf(name, sizeof(name), "run%u", round);
        assert_int_equal(pipe(gate), 0);
        for (unsigned i = 0; i < CHILDREN; i++) {
            pid_t pid = fork();
            assert_true(pid >= 0);
            if (pid == 0) {
                _exit(restore_at(dir, name, gate));
            }
        }
        assert_int_equal(close(gate[0]), 0);
        assert_int_equal(close(gate[1]), 0); /* all go */
        for (unsigned i = 0; i < CHILDREN; i++) {
            int status = 0;
            assert_true(wait(&status) > 0);
            assert_true(WIFEXITED(status));
            done += WEXITSTATUS(status) == CLI_OK;
            assert_true(WEXITSTATUS(status) == CLI_OK || WEXITSTATUS(status) == CLI_FAILED);
        }
        assert_int_equal(done, 1);
    }
    disk_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restore_again_begins_above_the_restore_before),
        cmocka_unit_test(test_restores_at_once_into_one_directory_are_one),
        cmocka_unit_test(test_restore_of_what_the_service_cannot_read_is_refused),
        cmocka_unit_test(test_restore_with_a_clock_behind_asks_for_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
