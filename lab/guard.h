/* A process beside this one that ends the nodes which this one started, when it ends without
 * having done so: by a signal, a crash, or a forgotten exit. Nodes are daemons, with a life of
 * their own, so nobody else would. */
#ifndef LAB_GUARD_H
#define LAB_GUARD_H

#include <sys/types.h>

#include "base/io/files.h"

struct lab_guard {
    pid_t pid; /* 0 = none */
    int fd;    /* its other end is the guard's: closed when this process ends, however it ends */
};

/* Watches from now on over `nodes` (names, NULL-terminated, static storage) of the run directory.
 * To be called before any thread exists, and behind lab_netns_enter.
 * TS_ERR_SYSTEM, TS_ERR_LIMIT, TS_ERR_NOT_FOUND as nodes_open. */
enum ts_err lab_guard_begin(struct lab_guard *g, const char *run, const char *const nodes[],
                            struct ts_why *why) TS_MUST_USE;
/* The nodes were ended, or shall go on: the guard goes away. No effect without one. */
void lab_guard_end(struct lab_guard *g);

#endif
