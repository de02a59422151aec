/* The service contract: what a replicated service is to the replicator.
 *
 * A service is a deterministic state machine. State changes in `apply` only;
 * `apply` sees nothing but the entry and the state: no clock, no randomness but
 * the entry's seed, no addresses, no floating point. The same entries give the
 * same state and the same output bytes on every replica.
 *
 * Outputs are written to the caller's sink; the caller releases them when the
 * output rule allows (R2.7), or drops them (a secondary). */
#ifndef SERVICES_SVC_H
#define SERVICES_SVC_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"

enum svc_entry_kind {
    SVC_ENTRY_NOOP = 0,       /* a takeover's first entry: only time moves */
    SVC_ENTRY_COMMAND = 1,    /* opaque bytes of a client */
    SVC_ENTRY_TICK = 2,       /* time moves: expire what is due */
    SVC_ENTRY_CHECKPOINT = 3, /* fold a slice of the state into the digest (R5.1) */
};

/* One committed log entry, as the service sees it. Borrowed for the call. */
struct svc_entry {
    struct ts_epoch epoch;
    struct ts_seq seq;
    enum svc_entry_kind kind;
    struct ts_ltime time; /* logical time, never lower than in the entry before */
    uint64_t session;     /* 0 = none */
    uint64_t request;
    struct ts_bytes payload;
};

/* Where a service writes its answer: a growing byte string that the caller owns.
 * A service that would exceed `max` sets nothing and answers with an error reply:
 * svc_out_put returns TS_ERR_LIMIT then and leaves the sink as it was. */
struct svc_out {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max;
};

enum ts_err svc_out_put(struct svc_out *out, const void *data, size_t n) TS_MUST_USE;
void svc_out_free(struct svc_out *out);

/* The table of functions a service brings. `state` is what `create` gave. */
struct svc {
    const char *name;

    /* Gives a new empty state, NULL when memory is short. `limits` is the service's own
     * text of key=value limits, may be NULL for the defaults. */
    void *(*create)(const char *limits);
    void (*destroy)(void *state);

    /* Executes one committed entry, in order, and writes its answer to `out` (nothing for NOOP
     * and TICK). CHECKPOINT writes the digest of the next slice of the state.
     * Never fails: a command that cannot be carried out answers with an error reply, the
     * same on every replica. */
    void (*apply)(void *state, const struct svc_entry *entry, struct svc_out *out);

    /* Answers a read-only command from the applied state, without changing it. */
    void (*read)(const void *state, struct ts_bytes command, struct svc_out *out);

    /* The earliest logical time at which a TICK would change the state; UINT64_MAX = never.
     * The primary orders a TICK then. */
    struct ts_ltime (*next_tick)(const void *state);
};

#endif
