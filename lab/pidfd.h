/* A handle on a process: while it is open, the pid is given to no other. */
#ifndef LAB_PIDFD_H
#define LAB_PIDFD_H

#include <sys/types.h>

/* The handle of a process of this machine; -1 with errno (ESRCH: gone, ENOSYS: an old kernel). */
int lab_pidfd_open(pid_t pid);

/* Gives the handle back; -1 is allowed. */
void lab_pidfd_close(int fd);

#endif
