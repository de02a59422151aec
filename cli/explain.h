/* A failover for people and for programs. */
#ifndef CLI_EXPLAIN_H
#define CLI_EXPLAIN_H

#include "cli/cli.h"
#include "cli/failover.h"

void cli_explain_print(const struct cli *cli, const struct cfg_cluster *cluster,
                       const struct cli_failover *f);
/* A new object. */
json_t *cli_explain_json(const struct cfg_cluster *cluster, const struct cli_failover *f);

#endif
