/* Which cluster file `up` goes by, and whether a formed or running cluster may take it. */
#ifndef CLI_CLUSTER_FILE_H
#define CLI_CLUSTER_FILE_H

#include <stdbool.h>

#include "cli/cli.h"
#include "cluster-cfg/cluster.h"
#include "lab/nodes.h"

#define CLI_DIFFERENCE_MAX 512

/* What another cluster file changes, in words: "failure-timeout 100ms to 200ms, …", cut when it is
 * long. Gives false, and "", when both mean the same. Pure. */
bool cli_cluster_differs(const struct cfg_cluster *before, const struct cfg_cluster *now,
                         char out[CLI_DIFFERENCE_MAX]);

/* Chooses and loads: `*config` if given, else the copy in RUN that a formed cluster goes by, else
 * ./cluster.yaml. A ./cluster.yaml that is passed over is told. Sets `*config` to what was chosen,
 * which may be `copy`. Gives a cli_exit. */
int cli_cluster_load(const struct cli *cli, const char **config, const char *dir,
                     char copy[TS_PATH_MAX], struct cfg_cluster *cluster);

/* Whether the cluster of `run` may go by `now`, read from `path`, from here on: it fits what was
 * formed there, and when it differs from the copy in RUN, no node runs. Tells a change that is
 * taken. The caller holds RUN's lock. Gives a cli_exit. */
int cli_cluster_check(const struct cli *cli, const struct nodes_run *run, const char *path,
                      const struct cfg_cluster *now);

#endif
