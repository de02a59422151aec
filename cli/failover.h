/* Failovers out of recorded events: what a replica that took over did, and when.
 *
 * One takeover is told by one process of one replica, so its phases are differences of one
 * monotonic clock. What other NICs saw (the exit of the old primary's process) carries another
 * clock: it is an annotation by wall time, never a phase.
 *
 * A takeover begins with the evidence against the primary (or, of a restarted primary, with the
 * role "taking over"), and ends with "active" (it answers), or with another role (it lost). Pure.
 */
#ifndef CLI_FAILOVER_H
#define CLI_FAILOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/history.h"
#include "cluster-cfg/cluster.h"

/* Phases, each from the point before to its own. X(symbol, key of JSON, what it is for people) */
#define CLI_PHASE_LIST(X) \
    X(CLI_PHASE_DECIDE, "decide", "evidence to decision") \
    X(CLI_PHASE_PREPARE, "prepare", "register prepared") \
    X(CLI_PHASE_SEAL, "seal", "sealed") \
    X(CLI_PHASE_REGISTER, "register", "register changed") \
    X(CLI_PHASE_TAIL, "tail", "tail committed") \
    X(CLI_PHASE_ANSWER, "answer", "first answer")

enum cli_phase {
#define CLI_PHASE_ENUM(sym, key, text) sym,
    CLI_PHASE_LIST(CLI_PHASE_ENUM)
#undef CLI_PHASE_ENUM
        CLI_PHASES
};

struct cli_failover {
    size_t group;                    /* index in cluster.groups */
    size_t node;                     /* index in cluster.nodes: who took over */
    struct ts_nic_id primary_before; /* 0 = not known */
    struct ts_epoch epoch_before;
    struct ts_epoch epoch_after;
    bool has_evidence;
    struct ts_nic_id accused;
    uint64_t evidence; /* enum report_evidence */
    uint64_t begin_wall_us;
    uint64_t end_wall_us;
    uint64_t phase_ns[CLI_PHASES]; /* from the point before */
    bool phase_seen[CLI_PHASES];   /* its event was recorded */
    uint64_t total_ns;             /* evidence (or decision) to first answer */
    uint64_t entries;              /* of the tail that was committed */
    unsigned rounds;               /* register rounds that were begun; 1 = none was lost */
    bool exit_seen;                /* the old primary's process exit, by its own node's clock */
    uint64_t exit_wall_us;
    int32_t exit_status;
    bool restored;        /* all members in sync again, told by this process */
    uint64_t restored_ns; /* after the first answer */
};

/* Finds the finished takeovers in a sorted history, oldest first, at most `max` of the latest.
 * `group` restricts to one (index in cluster.groups), SIZE_MAX = all. */
size_t cli_failovers(const struct cfg_cluster *cluster, const struct cli_history *h, size_t group,
                     struct cli_failover *out, size_t max);

/* Key and text of a phase; static storage. */
const char *cli_phase_key(enum cli_phase phase);
const char *cli_phase_text(enum cli_phase phase);

#endif
