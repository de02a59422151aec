/* The recorded events of all nodes, read page by page and put in order of their wall time. */
#ifndef CLI_HISTORY_H
#define CLI_HISTORY_H

#include <jansson.h>

#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "cluster-cfg/io/recorder.h"

#define CLI_HISTORY_MAX 65536 /* events of one node that are read */

struct cli_event {
    uint8_t node; /* index in cluster.nodes */
    struct recorder_event e;
};

struct cli_history {
    struct cli_event *events; /* ordered by wall time, then node, then number */
    size_t count;
    size_t room;
    size_t nodes_asked;
    size_t nodes_answered;
    uint64_t last_seq[TS_NODES_MAX]; /* newest number read, by node index */
    char unreachable[512];           /* a sentence a node that did not answer; "" when all did */
};

/* Reads what happened at or after `since_wall_us` (0 = all). Free with cli_history_free. */
enum ts_err cli_history_read(const char *run, const struct cfg_cluster *cluster,
                             uint64_t since_wall_us, struct cli_history *out) TS_MUST_USE;
/* Reads what came after last_seq of one node and appends it (in the node's own order). */
enum ts_err cli_history_more(const char *run, const struct cfg_cluster *cluster, size_t node,
                             struct cli_history *h, struct ts_why *why) TS_MUST_USE;
/* Appends one event; used by tests too. */
enum ts_err cli_history_add(struct cli_history *h, const struct cli_event *e) TS_MUST_USE;
void cli_history_sort(struct cli_history *h);
/* `events --follow` holds an event back for this long, for what another node says of before. */
#define CLI_EVENTS_HOLD_US 200000
/* Sorts, and gives how many of the first ones may be printed at `wall_us`. Pure. */
size_t cli_events_due(struct cli_history *held, uint64_t wall_us);
void cli_history_free(struct cli_history *h);

#endif
