/* labd: holds the namespaces of one lab. `twinstep lab up` starts it; see lab/pods.h.
 *
 *   labd DIR [LOCK]            the lab of DIR/lab.yaml; LOCK: an open descriptor of lab_hold()
 *   labd --machine NAME DIR    process 1 of a machine that is a container
 *
 * When all stands, it writes one line to standard output and closes it; what is wrong goes to
 * standard error. SIGTERM ends it, and the lab with it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "lab/pods.h"
#include "lab/pods_engine.h"
#include "lab/serve.h"

static int fail(enum ts_err err, const struct ts_why *why)
{
    bool for_a_person = err == TS_ERR_CONFIG || err == TS_ERR_REFUSED || err == TS_ERR_BUSY;
    fprintf(stderr, "labd: %s\n", why->text);
    return for_a_person ? TS_EXIT_CONFIG : TS_EXIT_FAILURE;
}

/* Whoever waits is told that the lab stands. */
static enum ts_err say_ready(struct ts_why *why)
{
    if (puts("ready") < 0 || fclose(stdout) != 0) {
        return ts_why(why, TS_ERR_SYSTEM, "who wanted this lab has ended");
    }
    return TS_OK;
}

static void block_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    /* Whoever started this may have ignored them: then they would never come. */
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGCHLD, SIG_DFL);
    /* A helper program that ends without reading what it is given tells so by its status. */
    (void)signal(SIGPIPE, SIG_IGN);
}

/* The lock comes from `twinstep lab up`, or is taken here. The machines inherit it. */
static enum ts_err hold(const char *dir, const char *inherited, int *out, struct ts_why *why)
{
    if (inherited == NULL) {
        return lab_hold(dir, 0, out, why);
    }
    char *end = NULL;
    long number = strtol(inherited, &end, 10);
    int fd = *end == '\0' && number > STDERR_FILENO && number < 1024 ? (int)number : -1;
    *out = fd;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0
               ? TS_OK
               : ts_why(why, TS_ERR_NOT_FOUND, "no file is open as \"%s\"", inherited);
}

static int run(const char *dir, const char *inherited, struct lab_topology *t, struct lab_pods *p)
{
    struct ts_why why = {{0}};
    char file[TS_PATH_MAX];
    int lock = -1;
    enum ts_err err = ts_path(file, &why, dir, LAB_FILE);
    err = err != TS_OK ? err : lab_topology_load(file, t, &why);
    err = err != TS_OK ? err : hold(dir, inherited, &lock, &why);
    err = err != TS_OK ? err : lab_keeper_lock(dir, &why);
    if (err != TS_OK) {
        return fail(err, &why);
    }
    err = lab_pods_begin(p, t, dir, lock, &why);
    err = err != TS_OK ? err : lab_pods_tell(p, dir, &why);
    err = err != TS_OK ? err : lab_serve(p, dir, say_ready, &why);
    int status = err == TS_OK ? TS_EXIT_OK : fail(err, &why);
    lab_pods_end(p);
    return status;
}

/* Nobody reads what a container prints: it goes to the lab's log. */
static int be_machine(const char *name, const char *dir)
{
    struct ts_why why = {{0}};
    char log[TS_PATH_MAX];
    int fd =
        ts_path(log, NULL, dir, LAB_LOG) == TS_OK ? open(log, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)dup2(fd, STDERR_FILENO);
    }
    enum ts_err err = lab_pods_engine_be(dir, name, &why);
    return err == TS_OK ? TS_EXIT_OK : fail(err, &why);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--machine") == 0) {
        return be_machine(argv[2], argv[3]);
    }
    bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
    if (argc < 2 || argc > 3 || argv[1][0] == '-') {
        fputs("usage: labd DIR [LOCK]\n"
              "       labd --machine NAME DIR\n"
              "\n"
              "Holds the namespaces of the lab that DIR/lab.yaml describes; \"twinstep lab up\"\n"
              "starts it, and gives it the number of a descriptor with the lock of DIR. With "
              "--machine it is\n"
              "process 1 of a machine that is a container.\n",
              help ? stdout : stderr);
        return help ? TS_EXIT_OK : TS_EXIT_CONFIG;
    }
    struct lab_topology *t = calloc(1, sizeof(*t));
    struct lab_pods *p = calloc(1, sizeof(*p));
    if (t == NULL || p == NULL) {
        fputs("labd: out of memory\n", stderr);
        free(p);
        free(t);
        return TS_EXIT_FAILURE;
    }
    block_signals();
    int status = run(argv[1], argc == 3 ? argv[2] : NULL, t, p);
    free(p);
    free(t);
    return status;
}
