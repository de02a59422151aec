/* Goal: a soak that is ended, by whatever signal, leaves none of its nodes behind. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lab/clock.h"
#include "lab/nodes.h"
#include "lab/pair.h"
#include "lab/scratch.h"

#define WAIT_MS 60000

/* Starts the soak that lies beside this program; its directory is made in `tmp`. */
static pid_t start_soak(const char *tmp)
{
    char program[TS_PATH_MAX] = "";
    assert_true(readlink("/proc/self/exe", program, sizeof(program) - 8) > 0);
    (void)snprintf(strrchr(program, '/'), 8, "/soak");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setenv("TMPDIR", tmp, 1);
        (void)execl(program, program, "--rounds", "1000", "--faults", "kill-secondary",
                    (char *)NULL);
        _exit(127);
    }
    return pid;
}

/* The soak's run directory, once it is there. */
static bool find_run(const char *tmp, char run[TS_PATH_MAX])
{
    DIR *d = opendir(tmp);
    const struct dirent *e;
    bool found = false;
    assert_non_null(d);
    while (!found && (e = readdir(d)) != NULL) {
        found = strncmp(e->d_name, "twinstep-soak-", 14) == 0 &&
                ts_path(run, NULL, tmp, "%s/1", e->d_name) == TS_OK;
    }
    (void)closedir(d);
    return found;
}

static size_t count_procs(const struct nodes_run *run)
{
    struct nodes_proc procs[NODES_PROCS_MAX];
    size_t n = 0;
    for (size_t i = 0; lab_pair_nodes[i] != NULL; i++) {
        n += nodes_procs(run, lab_pair_nodes[i], procs);
    }
    return n;
}

static void wait_nodes(const char *tmp, struct nodes_run *run)
{
    char dir[TS_PATH_MAX];
    pid_t pid;
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    while (!find_run(tmp, dir) || nodes_open(run, dir, NULL) != TS_OK ||
           !nodes_is_running(run, "arb1", &pid) || !nodes_is_running(run, "nic1", &pid)) {
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
    }
}

static void end_soak_by(int signum)
{
    char tmp[] = "/tmp/ts-end-XXXXXX"; /* short: Unix sockets lie in it */
    struct nodes_run run;
    int status = 0;
    assert_non_null(mkdtemp(tmp));
    pid_t soak = start_soak(tmp);
    wait_nodes(tmp, &run);
    assert_true(count_procs(&run) > 0);
    assert_int_equal(kill(soak, signum), 0);
    while (waitpid(soak, &status, 0) < 0) {
        assert_int_equal(errno, EINTR);
    }
    assert_true(WIFSIGNALED(status));
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    while (count_procs(&run) > 0) {
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
    }
    /* The guard is ours now, see begin: nothing starts behind its back. */
    while (waitpid(-1, NULL, 0) > 0) {
    }
    assert_int_equal(count_procs(&run), 0);
    lab_scratch_remove(tmp);
}

static void test_soak_interrupted_ends_its_nodes(void **state)
{
    (void)state;
    end_soak_by(SIGINT);
}

static void test_soak_terminated_ends_its_nodes(void **state)
{
    (void)state;
    end_soak_by(SIGTERM);
}

static void test_soak_killed_ends_its_nodes(void **state)
{
    (void)state;
    end_soak_by(SIGKILL);
}

/* What the soak leaves behind comes to us, and can be waited for. */
static int begin(void **state)
{
    (void)state;
    return prctl(PR_SET_CHILD_SUBREAPER, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_soak_interrupted_ends_its_nodes),
        cmocka_unit_test(test_soak_terminated_ends_its_nodes),
        cmocka_unit_test(test_soak_killed_ends_its_nodes),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
