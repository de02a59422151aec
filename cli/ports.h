/* Whether a node's programs will be able to listen where the cluster file says. */
#ifndef CLI_PORTS_H
#define CLI_PORTS_H

#include "cli/cli.h"
#include "cluster-cfg/cluster.h"

/* Tries each address and port of a node that does not run, TCP and UDP, and lets go of it again: a
 * daemon that cannot listen would only say so in its log. `config` is for the sentence. Gives
 * CLI_OK, or CLI_FAILED when it has told what is wrong. */
int cli_ports_check(const struct cli *cli, const struct cfg_cluster *cluster,
                    const struct cfg_node *node, const char *config);

#endif
