/* Waits until nodes of a cluster that were started are all in sync, and tells meanwhile what is
 * missing: `twinstep up` and `twinstep lab up` end with it. */
#ifndef CLI_SETTLE_H
#define CLI_SETTLE_H

#include <signal.h>
#include <stdbool.h>

#include "cli/cli.h"
#include "cluster-cfg/cluster.h"
#include "lab/nodes.h"

/* All borrowed. */
struct cli_settle {
    const struct cli *cli;
    const struct cfg_cluster *cluster;
    const struct nodes_run *run;
    bool chosen[TS_NODES_MAX]; /* by their index: whom to wait for */
    bool some;                 /* the others run on other machines, so alarms are no failure */
    unsigned timeout_s;
    const char *advice; /* told behind what is missing when time is up */
    /* NULL, or set by a handler of signals: the wait ends then with CLI_INTERRUPTED. */
    const volatile sig_atomic_t *interrupted;
};

/* CLI_OK: all groups of these nodes have a primary and all replicas in sync; the endpoints were
 * told. CLI_FAILED: there are alarms, or time is up, or a nicd has ended; it was told. */
int cli_settle(const struct cli_settle *s);

#endif
