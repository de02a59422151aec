/* Clients that take leases, keep them, give them back or let them go: what the load does when it is
 * of that kind, and how it looks on the wire. */
#ifndef LAB_LOAD_LEASES_H
#define LAB_LOAD_LEASES_H

#include "base/prng.h"
#include "lab/load_keys.h"

/* What one client is at. An owner that does not know what became of its request is none any more:
 * the client goes on under another name, so that what comes late is nobody's. */
struct lab_leaser {
    bool holds;
    unsigned keeps_left; /* before it gives the lease back */
    uint32_t lease;
    uint32_t lives; /* names that it had before */
};

/* Chooses the next operation, and how long the client rests before it. */
unsigned lab_lease_next(struct lab_leaser *l, struct ts_prng *prng, uint16_t client,
                        unsigned leases, unsigned lease_ms, struct lab_op *op);
/* Takes the operation's outcome in. */
void lab_lease_done(struct lab_leaser *l, const struct lab_op *op);

/* The command of `op`, which is one of a lease. */
void lab_lease_request(struct lab_request *r, const char *tag, const struct lab_op *op,
                       unsigned lease_ms);
/* As lab_take_answer. */
bool lab_lease_take_answer(struct lab_op *op, const struct lab_reply *reply);

#endif
