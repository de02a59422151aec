/* How long clients' commands took, by stage: the part of `twinstep status` with --latency. */
#ifndef CLI_LATENCY_H
#define CLI_LATENCY_H

#include "cli/cli.h"

/* Asks the nodes in RUN and prints what they answer; gives the exit status. */
int cli_latency(const struct cli *cli, const char *run, bool as_json);
/* The same of answers to "latency" (cli_ask_all). */
void cli_latency_print(const struct cli *cli, const json_t *answers);

#endif
