/* nicd's rules: when a process is started again, and in what order all of them stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>

#include "base/exit.h"
#include "daemon/nicd_supervisor.h"

#define MS TS_NS_PER_MS

/* The node's processes, as they are ordered. */
enum { HEARTBEATD, CFGD, REPLICA_1, REPLICA_2, PROCS };

struct world {
    struct nicd_supervisor s;
    struct nicd_effects out;
    struct ts_mono now;
};

static void step(struct world *w, struct nicd_event event)
{
    event.now = w->now;
    nicd_supervisor_step(&w->s, &event, &w->out);
}

/* Answers every SPAWN; the pid is 100 × (index + 1) + the number of the start. */
static void start_what_is_due(struct world *w)
{
    step(w, (struct nicd_event){.kind = NICD_EVENT_TICK});
    struct nicd_effects due = w->out;
    for (uint8_t i = 0; i < due.count; i++) {
        assert_int_equal(due.e[i].kind, NICD_EFFECT_SPAWN);
        uint8_t proc = due.e[i].proc;
        step(w, (struct nicd_event){.kind = NICD_EVENT_STARTED,
                                    .proc = proc,
                                    .pid = 100U * (proc + 1U) + w->s.procs[proc].starts + 1});
        assert_int_equal(w->out.count, 0);
    }
}

static void make_cluster(struct cfg_cluster *c)
{
    *c = (struct cfg_cluster){.node_count = 3, .group_count = 2};
    c->nodes[0].id.v = 1;
    c->nodes[1].id.v = 2;
    c->nodes[2].id.v = 3;
    c->nodes[2].arbiter = true;
    for (uint16_t g = 0; g < 2; g++) {
        c->groups[g].id.v = (uint16_t)(g + 1);
        c->groups[g].nic_count = 2;
        c->groups[g].nics[0].v = 1;
        c->groups[g].nics[1].v = 2;
    }
}

static struct world started(void)
{
    static struct cfg_cluster cluster;
    struct world w = {.now = {1000 * MS}};
    make_cluster(&cluster);
    nicd_supervisor_init(&w.s, &cluster, (struct ts_nic_id){1}, w.now);
    start_what_is_due(&w);
    assert_int_equal(w.s.count, PROCS);
    return w;
}

static void pass(struct world *w, uint64_t ms)
{
    w->now.ns += ms * MS;
}

static void end_of(struct world *w, uint8_t proc, int32_t status)
{
    step(w, (struct nicd_event){
                .kind = NICD_EVENT_EXITED, .pid = w->s.procs[proc].pid, .status = status});
}

/* Goal: an arbiter runs no replica, a NIC runs one of each of its groups. */
static void test_supervisor_init_arbiter_has_no_replica(void **state)
{
    (void)state;
    struct cfg_cluster cluster;
    struct nicd_supervisor s;
    make_cluster(&cluster);
    nicd_supervisor_init(&s, &cluster, (struct ts_nic_id){3}, (struct ts_mono){1});
    assert_int_equal(s.count, 2);
    nicd_supervisor_init(&s, &cluster, (struct ts_nic_id){2}, (struct ts_mono){1});
    assert_int_equal(s.count, PROCS);
    assert_int_equal(s.procs[REPLICA_2].group.v, 2);
}

/* Goal: the first restart is at once, later ones wait 50 ms, 100 ms, … at most 5 s. */
static void test_supervisor_crash_loop_backs_off_to_5_s(void **state)
{
    (void)state;
    struct world w = started();
    static const uint64_t waits_ms[] = {0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000};
    for (size_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++) {
        pass(&w, 3);
        end_of(&w, REPLICA_1, -SIGKILL);
        assert_true(w.s.procs[REPLICA_1].due.ns == w.now.ns + waits_ms[i] * MS);
        assert_int_equal(w.out.count, waits_ms[i] == 0 ? 1 : 0);
        pass(&w, waits_ms[i]);
        assert_true(nicd_supervisor_deadline(&w.s).ns == w.now.ns);
        start_what_is_due(&w);
        assert_int_equal(w.s.procs[REPLICA_1].state, NICD_PROC_RUNNING);
        assert_int_equal(w.s.procs[REPLICA_1].starts, i + 2);
    }
    assert_true(nicd_supervisor_deadline(&w.s).ns == TS_MONO_NEVER.ns);
}

/* Goal: after 10 s of running the next restart is at once again. */
static void test_supervisor_stable_run_resets_back_off(void **state)
{
    (void)state;
    struct world w = started();
    for (int i = 0; i < 4; i++) {
        end_of(&w, CFGD, 1);
        pass(&w, 400);
        start_what_is_due(&w);
    }
    pass(&w, 10000);
    end_of(&w, CFGD, 1);
    assert_int_equal(w.out.count, 1);
    assert_int_equal(w.out.e[0].kind, NICD_EFFECT_SPAWN);
    assert_int_equal(w.out.e[0].proc, CFGD);
}

/* Goal: a process that says that only a person can help is not tried again at once. */
static void test_supervisor_exit_config_waits_5_s(void **state)
{
    (void)state;
    struct world w = started();
    end_of(&w, REPLICA_2, TS_EXIT_CONFIG);
    assert_int_equal(w.out.count, 0);
    assert_true(w.s.procs[REPLICA_2].due.ns == w.now.ns + 5000 * MS);
    assert_int_equal(w.s.procs[REPLICA_2].last_status, TS_EXIT_CONFIG);
}

/* Goal: a process that ended to begin anew is started at once, however often it failed before
 * (seed 68 of a simulation: a learner waited 5 s with the snapshot that it had just got). */
static void test_supervisor_exit_again_does_not_wait(void **state)
{
    (void)state;
    struct world w = started();
    end_of(&w, REPLICA_2, 1);
    uint64_t backoff = w.s.procs[REPLICA_2].backoff_ns;
    assert_true(backoff > 0);
    w.s.procs[REPLICA_2].state = NICD_PROC_RUNNING;
    end_of(&w, REPLICA_2, TS_EXIT_AGAIN);
    assert_int_equal(w.out.count, 1);
    assert_int_equal(w.out.e[0].kind, NICD_EFFECT_SPAWN);
    assert_int_equal(w.out.e[0].proc, REPLICA_2);
    assert_true(w.s.procs[REPLICA_2].backoff_ns == backoff);
}

/* Goal: a start that fails (no memory, no processes left) is tried again like a crash. */
static void test_supervisor_failed_start_backs_off(void **state)
{
    (void)state;
    struct world w = started();
    end_of(&w, HEARTBEATD, 1);
    assert_int_equal(w.out.count, 1);
    step(&w, (struct nicd_event){.kind = NICD_EVENT_FAILED, .proc = HEARTBEATD});
    assert_int_equal(w.s.procs[HEARTBEATD].state, NICD_PROC_WAITING);
    assert_true(w.s.procs[HEARTBEATD].due.ns == w.now.ns + 50 * MS);
}

/* Goal: an orphan that PID 1 reaps is nobody's business. */
static void test_supervisor_unknown_pid_changes_nothing(void **state)
{
    (void)state;
    struct world w = started();
    struct nicd_supervisor before = w.s;
    step(&w, (struct nicd_event){.kind = NICD_EVENT_EXITED, .pid = 77777});
    assert_int_equal(w.out.count, 0);
    assert_memory_equal(&before, &w.s, sizeof(before));
}

/* Goal: replicas stop first, heartbeatd last, so that the other NICs are told of the exits. */
static void test_supervisor_stop_goes_by_stages(void **state)
{
    (void)state;
    struct world w = started();
    struct report_procs report;
    step(&w, (struct nicd_event){.kind = NICD_EVENT_STOP});
    assert_int_equal(w.out.count, 2);
    assert_true(w.out.e[0].proc == REPLICA_1 && w.out.e[0].signal == SIGTERM);
    assert_true(w.out.e[1].proc == REPLICA_2 && w.out.e[1].signal == SIGTERM);
    end_of(&w, REPLICA_1, 0);
    assert_int_equal(w.out.count, 0);
    nicd_supervisor_report(&w.s, &report);
    assert_false(report.p[REPLICA_1].running);
    assert_true(report.p[REPLICA_2].running);
    end_of(&w, REPLICA_2, 0);
    assert_int_equal(w.out.count, 1);
    assert_true(w.out.e[0].proc == CFGD && w.out.e[0].signal == SIGTERM);
    end_of(&w, CFGD, 0);
    assert_true(w.out.e[0].proc == HEARTBEATD && w.out.e[0].signal == SIGTERM);
    end_of(&w, HEARTBEATD, 0);
    assert_int_equal(w.out.count, 1);
    assert_int_equal(w.out.e[0].kind, NICD_EFFECT_DONE);
}

/* Goal: a process that answers nobody any more is told as not running before its exit is known, and
 * is started again only behind that. */
static void test_supervisor_ending_is_told_before_the_exit(void **state)
{
    (void)state;
    struct world w = started();
    struct report_procs r;
    step(&w, (struct nicd_event){.kind = NICD_EVENT_ENDING, .pid = w.s.procs[REPLICA_1].pid});
    assert_int_equal(w.out.count, 0);
    nicd_supervisor_report(&w.s, &r);
    assert_false(r.p[REPLICA_1].running);
    assert_true(r.p[REPLICA_2].running);
    end_of(&w, REPLICA_1, -SIGKILL);
    assert_int_equal(w.out.count, 1);
    assert_int_equal(w.out.e[0].kind, NICD_EFFECT_SPAWN);
    step(&w, (struct nicd_event){.kind = NICD_EVENT_STARTED, .proc = REPLICA_1, .pid = 4711});
    step(&w, (struct nicd_event){.kind = NICD_EVENT_ENDING, .pid = 815}); /* unknown: no error */
    nicd_supervisor_report(&w.s, &r);
    assert_true(r.p[REPLICA_1].running);
}

/* Goal: who ignores TERM is killed after 2 s, and who survives that is given up after 2 s more. */
static void test_supervisor_stop_kills_the_deaf(void **state)
{
    (void)state;
    struct world w = started();
    end_of(&w, REPLICA_2, TS_EXIT_CONFIG); /* waits for its restart, which must not come */
    step(&w, (struct nicd_event){.kind = NICD_EVENT_STOP});
    assert_int_equal(w.out.count, 1);
    pass(&w, 1999);
    step(&w, (struct nicd_event){.kind = NICD_EVENT_TICK});
    assert_int_equal(w.out.count, 0);
    pass(&w, 1);
    assert_true(nicd_supervisor_deadline(&w.s).ns == w.now.ns);
    step(&w, (struct nicd_event){.kind = NICD_EVENT_TICK});
    assert_int_equal(w.out.count, 1);
    assert_true(w.out.e[0].proc == REPLICA_1 && w.out.e[0].signal == SIGKILL);
    pass(&w, 2000);
    step(&w, (struct nicd_event){.kind = NICD_EVENT_TICK});
    assert_int_equal(w.out.count, 1);
    assert_true(w.out.e[0].proc == CFGD && w.out.e[0].signal == SIGTERM);
}

/* Goal: asked twice, everything is killed at once. */
static void test_supervisor_second_stop_kills_all(void **state)
{
    (void)state;
    struct world w = started();
    step(&w, (struct nicd_event){.kind = NICD_EVENT_STOP});
    step(&w, (struct nicd_event){.kind = NICD_EVENT_STOP});
    assert_int_equal(w.out.count, PROCS);
    for (int i = 0; i < PROCS; i++) {
        assert_int_equal(w.out.e[i].signal, SIGKILL);
    }
    end_of(&w, CFGD, -SIGKILL);
    end_of(&w, HEARTBEATD, -SIGKILL);
    end_of(&w, REPLICA_1, -SIGKILL);
    assert_int_equal(w.out.count, 0);
    end_of(&w, REPLICA_2, -SIGKILL);
    assert_int_equal(w.out.count, 1);
    assert_int_equal(w.out.e[0].kind, NICD_EFFECT_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_supervisor_init_arbiter_has_no_replica),
        cmocka_unit_test(test_supervisor_ending_is_told_before_the_exit),
        cmocka_unit_test(test_supervisor_crash_loop_backs_off_to_5_s),
        cmocka_unit_test(test_supervisor_stable_run_resets_back_off),
        cmocka_unit_test(test_supervisor_exit_config_waits_5_s),
        cmocka_unit_test(test_supervisor_exit_again_does_not_wait),
        cmocka_unit_test(test_supervisor_failed_start_backs_off),
        cmocka_unit_test(test_supervisor_unknown_pid_changes_nothing),
        cmocka_unit_test(test_supervisor_stop_goes_by_stages),
        cmocka_unit_test(test_supervisor_stop_kills_the_deaf),
        cmocka_unit_test(test_supervisor_second_stop_kills_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
