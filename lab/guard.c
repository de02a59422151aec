#include "lab/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab/clock.h"
#include "lab/nodes.h"

#define GRACE_MS 2000
#define LOOK_MS 100
/* A `twinstep up` that outlived its caller may still start nodes: so long nothing must run. */
#define QUIET_LOOKS 20
#define LOOKS_MAX 300

static bool runs_something(const struct nodes_run *run, const char *const nodes[])
{
    struct nodes_proc procs[NODES_PROCS_MAX];
    for (size_t i = 0; nodes[i] != NULL; i++) {
        if (nodes_procs(run, nodes[i], procs) > 0) {
            return true;
        }
    }
    return false;
}

static void end_nodes(const struct nodes_run *run, const char *const nodes[])
{
    unsigned quiet = 0;
    for (unsigned look = 0; look < LOOKS_MAX && quiet < QUIET_LOOKS; look++) {
        quiet = runs_something(run, nodes) ? 0 : quiet + 1;
        for (size_t i = 0; nodes[i] != NULL && quiet == 0; i++) {
            struct ts_why why = {{0}};
            if (nodes_stop(run, nodes[i], GRACE_MS, &why) != TS_OK) {
                fprintf(stderr, "%s\n", why.text);
            }
        }
        lab_pause_ms(LOOK_MS);
    }
}

/* The guard's life: until the pipe says that all is well, or ends. */
static _Noreturn void watch(int fd, const struct nodes_run *run, const char *const nodes[])
{
    char word;
    ssize_t n;
    (void)setsid(); /* what a terminal sends to the others must not end it */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
        (void)dup2(null, STDIN_FILENO);
        (void)dup2(null, STDOUT_FILENO);
    }
    do {
        n = read(fd, &word, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 0 && runs_something(run, nodes)) {
        fprintf(stderr, "ended before its nodes: these are ended now; data and logs: %s\n",
                run->run);
        end_nodes(run, nodes);
    }
    _exit(0);
}

enum ts_err lab_guard_begin(struct lab_guard *g, const char *run, const char *const nodes[],
                            struct ts_why *why)
{
    struct nodes_run r;
    int ends[2];
    *g = (struct lab_guard){.fd = -1};
    enum ts_err err = nodes_open(&r, run, why);
    if (err != TS_OK) {
        return err;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return ts_why_sys(why, errno, "cannot make a pipe for the guard of %s", run);
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ends[1]);
        watch(ends[0], &r, nodes);
    }
    (void)close(ends[0]);
    if (pid < 0) {
        (void)close(ends[1]);
        return ts_why_sys(why, errno, "cannot start a guard of %s", run);
    }
    *g = (struct lab_guard){.pid = pid, .fd = ends[1]};
    return TS_OK;
}

void lab_guard_end(struct lab_guard *g)
{
    if (g->pid == 0) {
        return;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* a guard that somebody killed */
    (void)!write(g->fd, "", 1);
    (void)close(g->fd);
    while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    *g = (struct lab_guard){.fd = -1};
}
