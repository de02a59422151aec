/* A failover's phases, from the events that the new primary's node recorded. Events bear the
 * machine's monotonic time, which is also the lab's: the first phase can begin with the fault. */
#ifndef LAB_PHASES_H
#define LAB_PHASES_H

#include <stddef.h>
#include <stdint.h>

#include "lab/nodes.h"

#define LAB_PHASES_MAX 8

/* One step of a failover, as the new primary saw it. */
struct lab_phase {
    const char *name; /* static: "noticed", "seal", … */
    double ms;        /* since the one before; of the first: since the fault */
    uint64_t end_ns;  /* monotonic */
};

struct lab_phases {
    size_t count;
    struct lab_phase p[LAB_PHASES_MAX];
};

/* The phases of the first failover at or after `since_ns` (monotonic); none when the events of
 * `node`, the new primary, do not tell. They reach its recorder a little after the failover: within
 * a report interval. */
void lab_phases_read(const struct nodes_run *run, const char *node, uint64_t since_ns,
                     struct lab_phases *out);

#endif
