/* nicd: the shell around nicd_perform.h. Starts the programs of a node and starts them again,
 * keeps their logs, and says at once who runs: report_procs to heartbeatd (which tells the other
 * NICs) and to cluster-cfgd, on every change and each NICD_REPORT_NS. As PID 1 it reaps whatever
 * is left to it. Needs no privilege. */
#ifndef DAEMON_NICD_H
#define DAEMON_NICD_H

#include <stdbool.h>

#include <uv.h>

#include "base/err.h"
#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "daemon/nicd_perform.h"
#include "net/log.h"

/* How long the end waits for a slow disk to take the last log lines. */
#define NICD_LOG_WAIT_NS (1 * TS_NS_PER_S)

struct nicd;

struct nicd_options {
    uv_loop_t *loop; /* borrowed for nicd's life, as all below */
    struct net_log *log;
    const struct cfg_cluster *cluster;
    const struct cfg_node *self; /* in `cluster` */
    const char *config;          /* passed on to the programs */
    const char *dir;             /* the node's directory; run/ and log/ exist in it */
    const char *libexec;         /* where the programs are */
};

/* Starts the programs and watches SIGCHLD, SIGTERM, SIGINT, and SIGHUP, which it passes on to the
 * programs with links: they load their certificates again. When all is stopped after SIGTERM or
 * SIGINT (a second one kills), the loop is stopped. Gives `*out`, freed by nicd_close.
 * TS_ERR_NOMEM, TS_ERR_LIMIT (a path is too long), TS_ERR_SYSTEM. */
enum ts_err nicd_open(struct nicd **out, const struct nicd_options *options,
                      struct ts_why *why) TS_MUST_USE;
/* Runs the loop until the last log lines are written, at most NICD_LOG_WAIT_NS, and frees. False:
 * the disk hangs, a thread still waits for it and the memory was left to it; end the process by
 * _exit. NULL is allowed. Processes that still run must not exist. */
bool nicd_close(struct nicd *n);

#endif
