/* What the programs of one node have in common at their start: the command line, the cluster
 * file, the node's own entry in it, the log.
 *
 *     PROGRAM --config FILE --node NAME --data DIR [--group NAME] [--libexec DIR] */
#ifndef DAEMON_ARGS_H
#define DAEMON_ARGS_H

#include <stdbool.h>

#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "net/log.h"

/* What only some programs take. */
#define DAEMON_TAKES_GROUP 1U   /* --group, required: replica */
#define DAEMON_TAKES_LIBEXEC 2U /* --libexec, optional: nicd */
#define DAEMON_TAKES_LOCK 4U    /* ts_dir_lock_program, until the process ends: what has no other */

/* Borrowed from argv; NULL when not given. */
struct daemon_args {
    const char *config;
    const char *node;
    const char *data;
    const char *group;
    const char *libexec;
};

struct daemon_start {
    struct daemon_args args;
    struct cfg_cluster cluster;
    const struct cfg_node *node;   /* in `cluster` */
    const struct cfg_group *group; /* in `cluster`; NULL unless the program takes one */
    struct net_log log;
    struct ts_dir_lock lock; /* with DAEMON_TAKES_LOCK */
};

/* Reads the command line and the cluster file, finds the node (and the group, of which the node
 * must be a member), opens the log, takes the lock. `takes` is a set of DAEMON_TAKES_*.
 * Gives -1 to go on, or the exit status: TS_EXIT_OK after --help, TS_EXIT_CONFIG after a mistake,
 * TS_EXIT_FAILURE without the lock; what it was is then on standard error in one line. `s` is
 * large: keep it off small stacks. */
int daemon_start(struct daemon_start *s, const char *program, unsigned takes, int argc,
                 char **argv);

#endif
