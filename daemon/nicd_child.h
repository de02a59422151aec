/* Starting one child process of nicd. Not uv_spawn: the child must die with nicd
 * (PR_SET_PDEATHSIG), so that a NIC never lives by halves, and libuv has no place for that. */
#ifndef DAEMON_NICD_CHILD_H
#define DAEMON_NICD_CHILD_H

#include <sys/types.h>

/* What the child's exit status is when its program cannot be executed. */
#define NICD_EXIT_NO_EXEC 127

/* Forks and executes argv[0] (a path) in a process group of its own, with standard input from
 * /dev/null, standard output and error into a pipe, and SIGKILL when nicd's main thread ends. The
 * pipe does not block its writer: a line is rather lost than a child delayed by a hanging log.
 * `lifeline` is the fd of base/io/lifeline.h that it gets, or -1. Gives the pid and the pipe's
 * reading end (non-blocking, close-on-exec), or -1 with errno. */
pid_t nicd_child_start(char *const argv[], int lifeline, int *output);

#endif
