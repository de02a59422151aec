/* labd: holds the namespaces of one lab. `twinstep lab up` starts it; see lab/pods.h.
 *
 *   labd DIR    the lab of DIR/lab.yaml
 *
 * When all stands, it writes one line to standard output and closes it; what is wrong goes to
 * standard error. SIGTERM ends it, and the lab with it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/pods.h"

static int fail(const struct ts_why *why)
{
    fprintf(stderr, "labd: %s\n", why->text);
    return 1;
}

/* Until it is told to end. A machine that ends by itself is told of; the others go on. */
static int keep(struct lab_pods *p, const char *dir)
{
    struct ts_why why = {{0}};
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGCHLD);
    for (;;) {
        int number = 0;
        if (sigwait(&set, &number) != 0 || number != SIGCHLD) {
            return 0;
        }
        if (lab_pods_reap(p) && lab_pods_tell(p, dir, &why) != TS_OK) {
            return fail(&why);
        }
    }
}

int main(int argc, char **argv)
{
    struct ts_why why = {{0}};
    char file[TS_PATH_MAX];
    sigset_t set;
    if (argc != 2 || argv[1][0] == '-') {
        fputs("usage: labd DIR\n\nHolds the namespaces of a lab; \"twinstep lab up\" starts it.\n",
              argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    struct lab_topology *t = calloc(1, sizeof(*t));
    struct lab_pods *p = calloc(1, sizeof(*p));
    if (t == NULL || p == NULL) {
        fputs("labd: out of memory\n", stderr);
        return 1;
    }
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    enum ts_err err = ts_path(file, &why, argv[1], LAB_FILE);
    err = err != TS_OK ? err : lab_topology_load(file, t, &why);
    err = err != TS_OK ? err : lab_keeper_lock(argv[1], &why);
    err = err != TS_OK ? err : lab_pods_begin(p, t, &why);
    err = err != TS_OK ? err : lab_pods_tell(p, argv[1], &why);
    int status = 1;
    if (err == TS_OK) {
        puts("ready");
        (void)fclose(stdout);
        status = keep(p, argv[1]);
    } else {
        (void)fail(&why);
    }
    lab_pods_end(p);
    free(p);
    free(t);
    return status;
}
