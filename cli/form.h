/* Forming the nodes of this machine in a run directory; what `twinstep up` does before it starts
 * anything. Certificates: RUN/ca is the lab's authority, made when all nodes are formed here and
 * none has a certificate. What a node has stays, from whichever authority it came; what a formed
 * node lost is not replaced: TS_ERR_NOT_FOUND. */
#ifndef CLI_FORM_H
#define CLI_FORM_H

#include <stdbool.h>

#include "base/ids.h"
#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "cluster-cfg/io/format.h"

struct cli_form {
    const struct cfg_cluster *cluster;
    const char *config;        /* the cluster file; copied to RUN/cluster.yaml */
    const char *run;           /* made when missing */
    bool chosen[TS_NODES_MAX]; /* nodes of this machine, by index */
    const struct ts_epoch
        *epochs; /* by group, when the genesis is minted; NULL: all begin with 1 */
};

/* Formation as in cluster-cfg/io/format.h, certificates for each chosen node, the cluster file's
 * copy. A genesis is minted only when every node is chosen: nodes elsewhere need the same one.
 * Gives in `*first` (may be NULL) whether the genesis was minted now. Errors of format.h and
 * net/ca.h. */
enum ts_err cli_form(const struct cli_form *f, bool *first, struct ts_why *why) TS_MUST_USE;

/* A blank disk in the place of the lost one of NIC `node` (format_replace), with a certificate of
 * the lab's authority when it has none. `listed` as there. With `dry` it only checks. Errors of
 * format.h and net/ca.h. */
enum ts_err cli_form_replace(const struct cli_form *f, const struct cfg_node *node,
                             const struct format_listed *listed, bool dry,
                             struct ts_why *why) TS_MUST_USE;

#endif
