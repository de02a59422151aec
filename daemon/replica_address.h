/* What a replica tells nicd of itself, for the group's service address (R4.8). Pure: the replica's
 * shell sends it, and so does the simulator. */
#ifndef DAEMON_REPLICA_ADDRESS_H
#define DAEMON_REPLICA_ADDRESS_H

#include "cluster-cfg/report.h"
#include "replicator/repl.h"

struct replica_address {
    /* config */
    struct ts_group_id group;
    struct ts_nic_id self;
    uint64_t interval; /* while it serves it says so again and again */
    /* volatile */
    bool serves;           /* … as it was said last */
    bool spoken;           /* something was said */
    struct ts_epoch first; /* that was known at the start */
    struct ts_mono again_at;
};

/* When the peer was asked that has answered since; 0: never. */
typedef struct ts_mono replica_address_answered(const void *arg, struct ts_nic_id peer);

/* What is to be said now, if anything is: that it serves, again and again; that it does not, at
 * once, and a process that has said nothing yet when it hears of another epoch than at its start.
 * The time in it is when all who could take over had not: each has answered something that it was
 * asked then, and who takes over says so first. */
bool replica_address_say(struct replica_address *a, const struct repl *core, bool started,
                         replica_address_answered *answered, const void *arg, struct ts_mono now,
                         struct report_serves *out);

#endif
