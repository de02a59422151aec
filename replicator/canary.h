/* A canary: tells a disk that hangs from one that is slow (R4.4, R3.2).
 *
 * It is told what a disk owes: whether something is unfinished there, how far it has come, and how
 * many bytes were ahead. As long as it comes further, however slowly, it is well. It is late when
 * it has not, for a patience that its owner names and for the time that those bytes take on the
 * slowest disk that counts as one. It hangs when it still has not a while later: whoever looks may
 * have stood still himself, and what was finished meanwhile is told first of all then. */
#ifndef REPLICATOR_CANARY_H
#define REPLICATOR_CANARY_H

#include <stdbool.h>

#include "base/ids.h"

/* The slowest disk: 20 MB/s. One group of writes may be as long as the log window. */
#define CANARY_NS_PER_BYTE 50U
/* The part of the patience between late and hanging. */
#define CANARY_GRACE_PART 8U

struct canary {
    uint64_t patience; /* ns; given */
    bool owes;
    uint64_t done[2];       /* how far it had come when it was looked at last */
    struct ts_mono since;   /* while it owes: when it came further last, or began to owe */
    uint64_t bytes;         /* … that were ahead of it then */
    struct ts_mono late_at; /* when it was found late; 0 = it was not */
};

/* A look. `done_*`: any change of either is progress. `bytes`: from `done` to the end. */
void canary_look(struct canary *k, struct ts_mono now, bool owes, uint64_t done_a, uint64_t done_b,
                 uint64_t bytes);
/* As of the newest look. */
bool canary_hangs(const struct canary *k, struct ts_mono now);
/* When it hangs, or is to be looked at again, if nothing changes until then; TS_MONO_NEVER when it
 * owes nothing. In the past once it hangs. */
struct ts_mono canary_deadline(const struct canary *k);

#endif
