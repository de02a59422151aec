/* cluster-cfgd in one process: voters start each other, a cloned disk is refused, reports arrive.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/form.h"
#include "cluster-cfg/io/cfgd_internal.h"
#include "cluster-cfg/io/cluster_yaml.h"

#define NODES 3
#define WAIT_MS 30000 /* of a test that has failed */

struct fixture {
    char run[64];
    uv_loop_t loop;
    uv_timer_t deadline;
    uv_timer_t poll;
    struct net_log log;
    struct cfg_cluster cluster;
    char dir[NODES][TS_PATH_MAX];
    struct cfgd *d[NODES];
    bool (*until)(const struct fixture *f);
    bool reached;
};

static void run_command(const char *program, const char *a, const char *b, const char *c)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp(program, program, a, b, c, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Own addresses for each process, so that tests may run side by side. */
static void write_cluster(const struct fixture *f, const char *path)
{
    FILE *file = fopen(path, "w");
    unsigned pid = (unsigned)getpid();
    assert_non_null(file);
    assert_non_null(f);
    (void)fprintf(file,
                  "cluster: t\nnics:\n"
                  "  - {name: nic1, paths: [127.91.%u.%u]}\n"
                  "  - {name: nic2, paths: [127.92.%u.%u]}\n"
                  "arbiters:\n"
                  "  - {name: arb1, paths: [127.93.%u.%u]}\n"
                  "groups:\n  - {name: kv, service: kv, port: 6379}\n",
                  pid / 250 % 250, pid % 250 + 1, pid / 250 % 250, pid % 250 + 1, pid / 250 % 250,
                  pid % 250 + 1);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char path[80];
    char error[CLUSTER_YAML_ERROR_MAX];
    struct ts_why why = {0};
    assert_non_null(f);
    *state = f;
    (void)snprintf(f->run, sizeof(f->run), "/tmp/ts-cfgd-XXXXXX");
    assert_non_null(mkdtemp(f->run));
    (void)snprintf(path, sizeof(path), "%s/in.yaml", f->run);
    write_cluster(f, path);
    assert_int_equal(cluster_yaml_load(path, &f->cluster, error), TS_OK);
    struct cli_form form = {.cluster = &f->cluster, .config = path, .run = f->run};
    for (size_t i = 0; i < NODES; i++) {
        form.chosen[i] = true;
        (void)snprintf(f->dir[i], sizeof(f->dir[i]), "%s/%s", f->run, f->cluster.nodes[i].name);
    }
    if (cli_form(&form, NULL, &why) != TS_OK) {
        fail_msg("%s", why.text);
    }
    net_log_init(&f->log, "test", "all");
    assert_int_equal(uv_loop_init(&f->loop), 0);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(uv_loop_close(&f->loop), 0);
    run_command("rm", "-rf", "--", f->run);
    free(f);
    return 0;
}

static enum ts_err try_start(struct fixture *f, size_t i, struct ts_why *why)
{
    struct cfgd_options o = {.loop = &f->loop,
                             .log = &f->log,
                             .cluster = &f->cluster,
                             .self = &f->cluster.nodes[i],
                             .dir = f->dir[i],
                             .release = "test"};
    return cfgd_open(&f->d[i], &o, why);
}

static void start(struct fixture *f, size_t i)
{
    struct ts_why why = {0};
    if (try_start(f, i, &why) != TS_OK) {
        fail_msg("%s", why.text);
    }
}

/* Closing runs the loop until nothing is left on it: the others are ended too. */
static void stop_all(struct fixture *f)
{
    for (size_t i = 0; i < NODES; i++) {
        if (f->d[i] != NULL) {
            cfgd_begin_close(f->d[i]);
        }
    }
    for (size_t i = 0; i < NODES; i++) {
        if (f->d[i] != NULL) {
            cfgd_close(f->d[i]);
            f->d[i] = NULL;
        }
    }
}

static void on_poll(uv_timer_t *timer)
{
    struct fixture *f = timer->data;
    f->reached = f->until(f);
    if (f->reached) {
        uv_stop(timer->loop);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void wait_until(struct fixture *f, bool (*until)(const struct fixture *f))
{
    f->until = until;
    f->reached = false;
    assert_int_equal(uv_timer_init(&f->loop, &f->poll), 0);
    assert_int_equal(uv_timer_init(&f->loop, &f->deadline), 0);
    f->poll.data = f;
    assert_int_equal(uv_timer_start(&f->poll, on_poll, 1, 5), 0);
    assert_int_equal(uv_timer_start(&f->deadline, on_deadline, WAIT_MS, 0), 0);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&f->poll, NULL);
    uv_close((uv_handle_t *)&f->deadline, NULL);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_true(f->reached);
}

static enum admin_voter_state state_of(const struct fixture *f, size_t i)
{
    return f->d[i]->state.voter.state;
}

static bool first_two_vote(const struct fixture *f)
{
    return state_of(f, 0) == ADMIN_VOTER_READY && state_of(f, 1) == ADMIN_VOTER_READY;
}

static bool all_confirmed(const struct fixture *f)
{
    for (size_t i = 0; i < NODES; i++) {
        if (state_of(f, i) != ADMIN_VOTER_READY || f->d[i]->state.voter.confirmed != NODES) {
            return false;
        }
    }
    return true;
}

static bool first_is_clone(const struct fixture *f)
{
    return state_of(f, 0) == ADMIN_VOTER_CLONE;
}

static bool report_came(const struct fixture *f)
{
    return f->d[0]->state.replica[1].has && f->d[0]->state.reports_refused == 1 &&
           recorder_newest(f->d[0]->recorder) > 0;
}

/* Goal (R1.8): one voter of three does not vote alone, two start each other, and all know all. */
static void test_voter_is_ready_with_a_majority_only(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    for (int i = 0; i < 50; i++) {
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(state_of(f, 0), ADMIN_VOTER_REGISTERING);
    start(f, 1);
    wait_until(f, first_two_vote);
    start(f, 2);
    wait_until(f, all_confirmed);
    assert_int_equal(f->d[0]->state.voter.start, 1);
    assert_int_equal(voter_empty_registers(f->d[0]->voter.core), 0);
    stop_all(f);
}

/* Goal: start registrations survive the voters' restart; the number rises. */
static void test_voter_after_restart_has_next_start(void **state)
{
    struct fixture *f = *state;
    for (uint64_t round = 1; round <= 2; round++) {
        for (size_t i = 0; i < NODES; i++) {
            start(f, i);
        }
        wait_until(f, all_confirmed);
        assert_int_equal(f->d[2]->state.voter.start, round);
        assert_int_equal(f->d[2]->voter.p.starts_count, NODES - 1);
        stop_all(f);
    }
}

static bool all_started(const struct fixture *f, uint64_t number)
{
    bool all = true;
    for (size_t i = 0; i < NODES; i++) {
        all = all && f->d[i]->state.voter.start == number;
    }
    return all;
}

/* Goal (R1.8): a voter's disk that was rolled back to an older image is refused, in words, and
 * stays refused: not by being started alone as often as the original was, nor by the others'
 * absence. */
static void test_voter_with_rolled_back_disk_is_refused(void **state)
{
    struct fixture *f = *state;
    char voter[TS_PATH_MAX + 16];
    char copy[TS_PATH_MAX];
    (void)snprintf(voter, sizeof(voter), "%s/voter", f->dir[0]);
    (void)snprintf(copy, sizeof(copy), "%s/copy", f->run);
    run_command("cp", "-a", voter, copy);
    for (uint64_t round = 1; round <= 2; round++) {
        for (size_t i = 0; i < NODES; i++) {
            start(f, i);
        }
        wait_until(f, all_confirmed);
        assert_true(all_started(f, round));
        stop_all(f);
    }
    run_command("rm", "-rf", "--", voter);
    run_command("mv", "--", copy, voter);
    for (int alone = 0; alone < 4; alone++) {
        start(f, 0);
        assert_int_equal(state_of(f, 0), ADMIN_VOTER_REGISTERING);
        stop_all(f);
    }
    for (size_t i = 0; i < NODES; i++) {
        start(f, i);
    }
    wait_until(f, first_is_clone);
    assert_non_null(strstr(f->d[0]->state.voter.why, "clone or a rolled-back image"));
    assert_true(voter_has_failed(f->d[0]->voter.core));
    stop_all(f);
    for (int again = 0; again < 3; again++) {
        start(f, 0);
        assert_int_equal(state_of(f, 0), ADMIN_VOTER_CLONE);
        assert_non_null(strstr(f->d[0]->state.voter.why, "clone or a rolled-back image"));
        stop_all(f);
    }
}

/* Goal: without its disk a voter does not vote, and the admin side says why. */
static void test_voter_without_disk_does_not_vote(void **state)
{
    struct fixture *f = *state;
    char voter[TS_PATH_MAX + 16];
    (void)snprintf(voter, sizeof(voter), "%s/voter", f->dir[0]);
    run_command("rm", "-rf", "--", voter);
    start(f, 0);
    assert_int_equal(state_of(f, 0), ADMIN_VOTER_FAILED);
    assert_true(f->d[0]->state.voter.why[0] != '\0');
    stop_all(f);
}

/* Goal: a disk that the process before has not given up yet is worth another start: it is no failed
 * voter. */
static void test_voter_with_busy_disk_ends_with_an_error(void **state)
{
    struct fixture *f = *state;
    struct ts_why why = {0};
    char identity[TS_PATH_MAX + 32];
    (void)snprintf(identity, sizeof(identity), "%s/voter/identity", f->dir[0]);
    int fd = open(identity, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(try_start(f, 0, &why), TS_ERR_BUSY);
    assert_non_null(strstr(why.text, "in use by another process"));
    assert_int_equal(close(fd), 0);
    start(f, 0);
    assert_int_equal(state_of(f, 0), ADMIN_VOTER_REGISTERING);
    stop_all(f);
}

/* Goal: reports of the node's processes are kept, garbage is counted, foreign reports ignored. */
static void test_reports_are_kept_and_garbage_is_counted(void **state)
{
    struct fixture *f = *state;
    struct net_dgram sender;
    char to[TS_PATH_MAX + 16];
    uint8_t bytes[REPORT_BYTES_MAX];
    start(f, 0);
    (void)snprintf(to, sizeof(to), "%s/" CFGD_SOCKET, f->dir[0]);
    assert_int_equal(net_dgram_open(&sender, NULL, NULL, NULL, NULL), TS_OK);

    struct report_replica r = {.nic = {1}, .group = {1}};
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    assert_int_equal(report_replica_encode(&r, &w), TS_OK);
    assert_true(net_dgram_send(&sender, to, (struct ts_bytes){bytes, w.len}));
    bytes[w.len - 1] = 0xff; /* more peers than there are */
    assert_true(net_dgram_send(&sender, to, (struct ts_bytes){bytes, w.len}));

    struct report_trace t = {.nic = {1}, .role = REPORT_PROC_REPLICA, .group = {1}, .count = 2};
    t.t[0] = (struct ts_trace){.kind = TS_TRACE_ACTIVE, .at = net_now()};
    t.t[1] = (struct ts_trace){.kind = TS_TRACE_OWN_STALL, .at = net_now(), .a = 1};
    w = ts_writer_init(bytes, sizeof(bytes));
    assert_int_equal(report_trace_encode(&t, &w), TS_OK);
    assert_true(net_dgram_send(&sender, to, (struct ts_bytes){bytes, w.len}));
    t.nic.v = 2; /* not of this node */
    w = ts_writer_init(bytes, sizeof(bytes));
    assert_int_equal(report_trace_encode(&t, &w), TS_OK);
    assert_true(net_dgram_send(&sender, to, (struct ts_bytes){bytes, w.len}));

    wait_until(f, report_came);
    struct recorder_event e[16];
    size_t n = recorder_read(f->d[0]->recorder, 0, e, 16);
    size_t active = 0;
    for (size_t i = 0; i < n; i++) {
        active += e[i].trace.kind == TS_TRACE_ACTIVE ? 1 : 0;
        assert_int_not_equal(e[i].trace.kind, TS_TRACE_OWN_STALL); /* too short to tell */
    }
    assert_int_equal(active, 1);
    net_dgram_close(&sender);
    stop_all(f);
}

static size_t count_events(const struct fixture *f, enum ts_trace_kind kind)
{
    struct recorder_event e[64];
    size_t n = recorder_read(f->d[0]->recorder, 0, e, 64);
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        found += e[i].trace.kind == kind && e[i].source.group.v == 1 ? 1 : 0;
    }
    return found;
}

static bool loss_is_told(const struct fixture *f)
{
    return count_events(f, TS_TRACE_ALARM_NO_PRIMARY) == 1;
}

static bool end_of_loss_is_told(const struct fixture *f)
{
    return count_events(f, TS_TRACE_PRIMARY_SEEN) == 1;
}

static void say_role(struct fixture *f, enum report_role role)
{
    struct admin_replica *r = &f->d[0]->state.replica[1];
    r->has = true;
    r->at = (struct ts_mono){net_now().ns + 3600 * TS_NS_PER_S}; /* not older than now for long */
    r->report.role = role;
}

/* Goal: a group without a primary is told in the events, once, and so is its end. */
static void test_group_without_primary_is_told_in_events(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    say_role(f, REPORT_ROLE_LEARNER);
    wait_until(f, loss_is_told);
    say_role(f, REPORT_ROLE_PRIMARY);
    wait_until(f, end_of_loss_is_told);
    assert_true(loss_is_told(f));
    stop_all(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        TEST(test_voter_is_ready_with_a_majority_only),
        TEST(test_voter_after_restart_has_next_start),
        TEST(test_voter_with_rolled_back_disk_is_refused),
        TEST(test_voter_without_disk_does_not_vote),
        TEST(test_voter_with_busy_disk_ends_with_an_error),
        TEST(test_reports_are_kept_and_garbage_is_counted),
        TEST(test_group_without_primary_is_told_in_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
