#include "daemon/nicd_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/io/lifeline.h"

/* The number that the lifeline's fd has in the child. */
#define LIFELINE_FD 3
#define LIFELINE_VARIABLE TS_LIFELINE_ENV "=3"
/* Has malloc ask for huge pages. Clients see a killed replica's connections end when the kernel has
 * given back its memory: of 70 MB that takes 10 ms and more by small pages. A person's own setting
 * stands. */
#define MALLOC_NAME "GLIBC_TUNABLES"
#define MALLOC_VARIABLE MALLOC_NAME "=glibc.malloc.hugetlb=1"

/* The environment of a child with a lifeline: made before the fork, since no memory may be asked
 * for behind it. NULL without memory. */
static char **make_environment(void)
{
    size_t count = 0;
    size_t len = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **made = calloc(count + 3, sizeof(*made));
    for (size_t i = 0; i < count && made != NULL; i++) {
        if (strncmp(environ[i], TS_LIFELINE_ENV "=", strlen(TS_LIFELINE_ENV "=")) != 0) {
            made[len++] = environ[i];
        }
    }
    if (made != NULL) {
        made[len++] = (char *)(uintptr_t)LIFELINE_VARIABLE;
        made[len] = getenv(MALLOC_NAME) == NULL ? (char *)(uintptr_t)MALLOC_VARIABLE : NULL;
    }
    return made;
}

/* In the child, between fork and exec: async-signal-safe calls only. */
static _Noreturn void become(char *const argv[], char *const environment[], pid_t parent,
                             int lifeline, int output)
{
    sigset_t none;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(NICD_EXIT_NO_EXEC); /* nicd ended before the line above */
    }
    (void)setpgid(0, 0);
    for (int signum = 1; signum < NSIG; signum++) {
        (void)signal(signum, SIG_DFL); /* some cannot be set, and need not */
    }
    /* Sent when certificates were renewed: it must end nobody who does not look for it yet. */
    (void)signal(SIGHUP, SIG_IGN);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0) {
        (void)dup2(null, STDIN_FILENO);
        if (null > STDERR_FILENO) {
            (void)close(null);
        }
    }
    if (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0) {
        _exit(NICD_EXIT_NO_EXEC);
    }
    /* Behind this the other fds count no more: the number may be one of theirs. */
    if (lifeline == LIFELINE_FD) {
        (void)fcntl(lifeline, F_SETFD, 0);
    } else if (lifeline >= 0) {
        (void)dup2(lifeline, LIFELINE_FD);
    }
    (void)execve(argv[0], argv, environment);
    const char *why = strerrordesc_np(errno);
    (void)!write(STDERR_FILENO, "cannot execute ", strlen("cannot execute "));
    (void)!write(STDERR_FILENO, argv[0], strlen(argv[0]));
    (void)!write(STDERR_FILENO, ": ", 2);
    (void)!write(STDERR_FILENO, why, strlen(why));
    (void)!write(STDERR_FILENO, "\n", 1);
    _exit(NICD_EXIT_NO_EXEC);
}

pid_t nicd_child_start(char *const argv[], int lifeline, int *output)
{
    int ends[2];
    char **environment = lifeline < 0 ? NULL : make_environment();
    if ((lifeline >= 0 && environment == NULL) || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        free(environment);
        return -1;
    }
    /* The loop's signal handlers write into a pipe that a forked child shares: a signal to the
     * child before it is another program would seem one to nicd. So none is delivered until the
     * handlers are gone. */
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become(argv, lifeline < 0 ? environ : environment, parent, lifeline, ends[1]);
    }
    int saved = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)close(ends[1]);
    free(environment);
    if (pid < 0) {
        (void)close(ends[0]);
        errno = saved;
        return -1;
    }
    *output = ends[0];
    return pid;
}
