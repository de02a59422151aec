/* Which replica a backup is taken from. */
#ifndef CLI_BACKUP_H
#define CLI_BACKUP_H

#include "cli/cli.h"
#include "cluster-cfg/cluster.h"

/* Whose snapshot it is to be, and of which entry at least. */
struct backup_source {
    char nic[CFG_NAME_MAX];
    uint64_t committed;
};

/* Chooses by the picture of cli_merge: a secondary in sync, else the primary; and nobody while no
 * primary serves, or results differ between replicas, since what they have then may not be all, or
 * not be right. `nic` (may be NULL) names one that is taken as it is, with a word of warning in
 * that case. CLI_OK, or CLI_FAILED and a sentence. */
int backup_choose(const struct cli *cli, const json_t *merged, const char *group, const char *nic,
                  struct backup_source *out);

#endif
