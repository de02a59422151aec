/* What every node of a cluster says of its replicas now: each one's own belief, asked of its
 * node's cluster-cfgd. What does not answer is not known, and costs little. */
#ifndef LAB_VIEW_H
#define LAB_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster-cfg/cluster.h"
#include "cluster-cfg/report.h"
#include "lab/nodes.h"

#define LAB_VIEW_ALARMS_MAX 512

/* What one replica last reported. */
struct lab_view_replica {
    bool asked; /* its cluster-cfgd answered */
    bool known; /* its cluster-cfgd answered and had a report; the replica runs */
    enum report_role role;
    uint64_t instance; /* of the process that made the report */
    uint64_t epoch;
    uint64_t in_sync; /* bit n: node n */
    uint64_t members;
    uint64_t required;
    unsigned primary; /* node id as of its config, 0 = none */
    uint64_t applied;
    uint64_t rejected; /* hostile inputs that it refused */
    bool refused;      /* it does not run: it ended with a sentence that asks for a person */
    char why[160];
};

struct lab_view_alarm {
    char node[CFG_NAME_MAX];
    char code[40];
    char text[160];
};

struct lab_view {
    size_t answering;                  /* nodes whose cluster-cfgd answered */
    struct lab_view_replica *replicas; /* [group index][node index], owned */
    size_t node_count;
    size_t group_count;
    size_t alarm_count; /* of all nodes together */
    struct lab_view_alarm alarms[LAB_VIEW_ALARMS_MAX];
    char crash[96]; /* a program that its own fault ended, as its nicd says; "" = none */
};

struct lab_view *lab_view_make(const struct cfg_cluster *c);
void lab_view_free(struct lab_view *v);

/* Asks every node that runs and is not stopped. Never fails. */
void lab_view_read(struct lab_view *v, const struct cfg_cluster *c, const struct nodes_run *run);

const struct lab_view_replica *lab_view_of(const struct lab_view *v, size_t group, size_t node);
/* Index of the node whose replica says it is primary in the highest epoch; -1 when none does. */
int lab_view_primary(const struct lab_view *v, size_t group);
/* The highest epoch that any replica of the group knows. */
uint64_t lab_view_epoch(const struct lab_view *v, size_t group);
/* Whether every node answers, each group's primary serves with all members in sync and required,
 * the other members know it, and no alarm stands. Otherwise the first thing that is missing, when
 * `missing` is not NULL. */
bool lab_view_redundant(const struct lab_view *v, const struct cfg_cluster *c, char *missing,
                        size_t cap);

#endif
