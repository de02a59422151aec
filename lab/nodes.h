/* Starting and ending the nodes of this machine: each is one nicd with its children, in the
 * data directory RUN/NAME. Used by `twinstep up | down` and by the lab.
 *
 * Whether a node runs is told by /proc: a nicd whose `--data` is the node's directory. So pid files
 * of crashed runs need no care, and a process is only signalled after its program's name and its
 * `--data` were seen to be this node's. That there are never two of them is the directory's lock.
 */
#ifndef LAB_NODES_H
#define LAB_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ids.h"
#include "base/io/files.h"
#include "cluster-cfg/cluster.h"

#define NODES_PROCS_MAX 128 /* processes of one node that are looked at */
#define NODES_PROGRAM_MAX 32
/* In the last line of nicd's log when it ended as it was asked to. */
#define NODES_ENDED "all programs are stopped"

/* Where a cluster runs on this machine. All paths are absolute. */
struct nodes_run {
    char run[TS_PATH_MAX];    /* the run directory; node NAME lives in RUN/NAME */
    char config[TS_PATH_MAX]; /* the cluster file that the nodes read: RUN/cluster.yaml */
    char bin[TS_PATH_MAX];    /* the directory of nicd, heartbeatd, cluster-cfgd, replica */
};

/* A running process of a node. */
struct nodes_proc {
    pid_t pid;
    uint64_t start_ticks;            /* with the pid it names one process for ever */
    char program[NODES_PROGRAM_MAX]; /* "nicd", "replica", … */
    char group[CFG_NAME_MAX];        /* of a replica, else "" */
    bool stopped;                    /* by SIGSTOP */
};

/* Makes RUN absolute and finds the programs: TWINSTEP_BIN if set, else beside this executable.
 * TS_ERR_NOT_FOUND: no nicd there; TS_ERR_LIMIT: RUN is too long for the Unix sockets in it. */
enum ts_err nodes_open(struct nodes_run *r, const char *run, struct ts_why *why) TS_MUST_USE;

/* Whether the node's nicd runs (or is stopped); gives its pid when `pid` is not NULL. */
bool nodes_is_running(const struct nodes_run *r, const char *node, pid_t *pid);

/* Starts nicd as a daemon (own session, standard streams to RUN/NODE/log/nicd.log) and waits
 * until it holds the lock or exited. Children of a crashed nicd that still run are ended first.
 * TS_ERR_BUSY: it runs already. TS_ERR_REFUSED: it exited at once; `why` has its last line. */
enum ts_err nodes_start(const struct nodes_run *r, const char *node, pid_t *pid,
                        struct ts_why *why) TS_MUST_USE;

/* Ends the node: SIGTERM to nicd, waits up to `grace_ms`, then SIGKILL to exactly the processes
 * that are left of this node. No error when nothing runs.
 * TS_ERR_TIMEOUT: a process is left even after SIGKILL (a hung disk). */
enum ts_err nodes_stop(const struct nodes_run *r, const char *node, unsigned grace_ms,
                       struct ts_why *why) TS_MUST_USE;

/* All processes of the node, nicd first, in the order of their pids. Gives their number. */
size_t nodes_procs(const struct nodes_run *r, const char *node,
                   struct nodes_proc out[NODES_PROCS_MAX]);
/* The names of the nodes with a directory in RUN of which a process runs, whatever the cluster file
 * says, each once. Gives their number, at most TS_NODES_MAX. */
size_t nodes_running(const struct nodes_run *r, char out[TS_NODES_MAX][CFG_NAME_MAX]);
/* Finds the replica of `group` (or, with NULL `group`, the program `program`). */
bool nodes_find(const struct nodes_run *r, const char *node, const char *program, const char *group,
                struct nodes_proc *out);
/* Sends `signal` if the pid still is this process. Gives whether it was sent. */
bool nodes_signal(const struct nodes_run *r, const char *node, const struct nodes_proc *proc,
                  int signal);
/* Signals every process of the node at once, nicd first. Gives how many were signalled. */
size_t nodes_signal_all(const struct nodes_run *r, const char *node, int signal);
/* Waits until no process of the node is left; false after `timeout_ms`. */
bool nodes_wait_gone(const struct nodes_run *r, const char *node, unsigned timeout_ms);

#endif
