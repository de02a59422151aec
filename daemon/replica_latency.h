/* How long a primary's commands take, by stage (REPORT_STAGE_LIST): a clock's readings at what the
 * shell sees anyway, once a batch, never once a command. The cores have no part in it.
 *
 *   ordered → persisted, acked (in either order) → committed → applied → replied
 *
 * Positions come in their order. A bounded number of batches is followed at a time; what exceeds it
 * is left out of all stages but the first, as is what another primary answers in the end. */
#ifndef DAEMON_REPLICA_LATENCY_H
#define DAEMON_REPLICA_LATENCY_H

#include <stdbool.h>

#include "base/ids.h"
#include "cluster-cfg/report.h"

#define REPLICA_LATENCY_BATCHES 4096U /* a power of two */
#define REPLICA_LATENCY_REPLIES 256U

struct replica_latency_batch {
    struct ts_seq first;
    struct ts_seq last;
    struct ts_mono ordered;
    bool others; /* replicas besides this one must acknowledge it */
};

struct replica_latency_reply {
    uint64_t commands;
    struct ts_mono applied;
};

/* All zero is one that has seen nothing. */
struct replica_latency {
    struct ts_histogram stage[REPORT_STAGES];

    /* Numbers of batches, each the next one to reach its stage: applied ≤ persisted, acked ≤ end.
     */
    uint64_t applied;
    uint64_t persisted;
    uint64_t acked;
    uint64_t end;
    struct ts_mono committed; /* of batch `applied`, while it is being applied */
    struct replica_latency_batch batch[REPLICA_LATENCY_BATCHES]; /* ring */
    size_t reply_count;
    struct replica_latency_reply reply[REPLICA_LATENCY_REPLIES]; /* applied, not yet written */
};

/* `n` commands were ordered as one batch, the oldest after it had waited for `waited_ns`; with
 * `others` replicas besides this one must acknowledge it. */
void replica_latency_ordered(struct replica_latency *l, struct ts_seq first, uint64_t n,
                             uint64_t waited_ns, bool others, struct ts_mono now);
/* All up to `seq` is durable here. */
void replica_latency_persisted(struct replica_latency *l, struct ts_seq seq, struct ts_mono now);
/* Whether an acknowledgement is worth looking at. */
static inline bool replica_latency_wants_acks(const struct replica_latency *l)
{
    return l->acked != l->end;
}
/* All other required replicas, and there are some, have acknowledged up to `seq`. */
void replica_latency_acked(struct replica_latency *l, struct ts_seq seq, struct ts_mono now);

static inline const struct replica_latency_batch *replica_latency_oldest(
    const struct replica_latency *l)
{
    return &l->batch[l->applied & (REPLICA_LATENCY_BATCHES - 1)];
}
/* Whether this entry begins the oldest batch, or passes it, and so says something new; … */
static inline bool replica_latency_is_first(const struct replica_latency *l, struct ts_seq seq)
{
    return l->applied != l->end && !ts_seq_lt(seq, replica_latency_oldest(l)->first);
}
/* … or ends the one that is being applied. */
static inline bool replica_latency_is_last(const struct replica_latency *l, struct ts_seq seq)
{
    return l->applied != l->end && l->committed.ns != 0 &&
           ts_seq_eq(seq, replica_latency_oldest(l)->last);
}
/* It is committed, and is about to be applied. */
void replica_latency_committed(struct replica_latency *l, struct ts_seq seq, struct ts_mono now);
/* The batch that was committed last has been applied. */
void replica_latency_applied(struct replica_latency *l, struct ts_mono now);
/* What was applied until now was handed to the clients' sockets. */
void replica_latency_replied(struct replica_latency *l, struct ts_mono now);
/* What is ordered and not applied is nobody's any more. */
void replica_latency_forget(struct replica_latency *l);

#endif
