/* Status for people, from the merged picture of cli/gather.h. */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include "cli/cli.h"

/* Pure but for writing to cli->out. */
void cli_status_print(const struct cli *cli, const json_t *merged);

#endif
