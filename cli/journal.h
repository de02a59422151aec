/* What a replica's directory holds, as text and as JSON. */
#ifndef CLI_JOURNAL_H
#define CLI_JOURNAL_H

#include "cli/cli.h"
#include "replicator/io/journal_inspect.h"

/* {"version": 1, "directory", "holder", "record": {…}, "log": {…}, "segments": […],
 *  "snapshots": […], "damage": null or {…}}, new. */
json_t *cli_journal_json(const char *dir, const struct journal_inspection *n);
void cli_journal_print(const struct cli *cli, const char *dir, const struct journal_inspection *n);

#endif
