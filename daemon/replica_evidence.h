/* What a replica takes for evidence about one of its peers, besides what the links say at once:
 * silence on the link, and the word of the peer's nicd. Pure: the replica's shell feeds it, and
 * so does the simulator.
 *
 * Each function that may change the verdict gives whether it did; then `*out` is what the
 * replication core is to hear: REPL_EVIDENCE_NONE takes back what was said before. */
#ifndef DAEMON_REPLICA_EVIDENCE_H
#define DAEMON_REPLICA_EVIDENCE_H

#include <stdbool.h>

#include "cluster-cfg/cluster.h"
#include "cluster-cfg/report.h"
#include "heartbeat/detector.h"
#include "replicator/repl.h"

struct replica_evidence {
    struct hb_detector detector; /* of the link */
    struct ts_mono heard;
    enum hb_verdict verdict;
    bool running_known; /* the peer's nicd has spoken of its replica */
    bool running;
    uint8_t starts;   /* low byte of its nicd's start count */
    bool exited_told; /* evidence stands on nicd's word */
};

void replica_evidence_init(struct replica_evidence *e, const struct cfg_timing *timing,
                           struct ts_mono now);
/* A session with the peer begins. */
void replica_evidence_link_up(struct replica_evidence *e, struct ts_mono now);
/* Looks at the link: `heard` is the newest sign of life on it, `read_to` the time up to which all
 * that came in was read. `*stall_ns` is this process's own stall since the look before, 0 when
 * there was none. */
bool replica_evidence_look(struct replica_evidence *e, struct ts_mono heard, struct ts_mono read_to,
                           enum repl_evidence *out, uint64_t *stall_ns);
/* heartbeatd's report: what the peer's nicd says of group `group`'s replica there. `up`: there
 * is a session with it. */
bool replica_evidence_word(struct replica_evidence *e, const struct report_peer *report,
                           struct ts_group_id group, bool up, enum repl_evidence *out);

/* The event that tells the core of `kind`. */
struct repl_event replica_evidence_event(struct ts_nic_id peer, enum repl_evidence kind);

#endif
