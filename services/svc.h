/* The service contract: what a replicated service is to the replicator.
 *
 * A service is a deterministic state machine. State changes in `apply` only;
 * `apply` sees nothing but the entry and the state: no clock, no randomness but
 * the entry's seed, no addresses, no floating point. The same entries give the
 * same state and the same output bytes on every replica.
 *
 * Outputs are written to the caller's sink; the caller releases them when the
 * output rule allows (R2.7), or drops them (a secondary).
 *
 * A *walk* writes the whole state as bytes while entries go on being applied; a *load* makes a
 * state of them. Between the two nothing is forgotten that a later apply, read or walk would show.
 *
 * None of these functions does I/O, and all of one state are called by one thread.
 * docs/SERVICES.md tells how a service is written. */
#ifndef SERVICES_SVC_H
#define SERVICES_SVC_H

#include <stdbool.h>
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

/* Entries that a service is told of at once, before they are applied. */
#define SVC_EXPECT_MAX 16

/* Bytes of the longest answer: every sink given to apply() has room for them. What would be longer
 * is an error as the answer. */
#define SVC_ANSWER_MAX (8U * 1024U * 1024U)

/* A walk under way; what is in it is the service's own. */
struct svc_walk;

/* A piece of a walk has about this many bytes, … */
#define SVC_PIECE_BYTES (256U * 1024U)
/* … and at most this many: one thing that is stored as a whole may be longer than the others. */
#define SVC_PIECE_MAX (1024U * 1024U * 1024U + SVC_PIECE_BYTES)

/* The table of functions a service brings. `state` is what `create` gave. */
struct svc {
    const char *name;

    /* Gives a new empty state, NULL when memory is short or a limit is wrong. `limits` is the
     * service's own text of key=value limits, may be NULL for the defaults. A replica gives
     * `hash-seed=NUMBER`, each one another number: who has no use for it lets it be. */
    void *(*create)(const char *limits);
    void (*destroy)(void *state);

    /* Whether this release carries out a command as the one did that ordered it; false: that was a
     * newer one, and the replica ends with a sentence for the operator. Asked of each command
     * before apply. Bytes that no release orders may be known: their answer is an error for good.
     * NULL: the service knows all there are. */
    bool (*knows)(const void *state, struct ts_bytes command);

    /* Executes one committed entry, in order, and writes its answer to `out` (nothing for NOOP
     * and TICK). CHECKPOINT writes the digest of the next slice of the state.
     * Never fails: a command that cannot be carried out answers with an error reply, the
     * same on every replica. */
    void (*apply)(void *state, const struct svc_entry *entry, struct svc_out *out);

    /* Entries that are applied next, in this order, at most SVC_EXPECT_MAX: what they will touch
     * may be brought nearer to the processor meanwhile, all of it at once. Changes nothing, and
     * trusts no payload. NULL: the service does without. */
    void (*expect)(const void *state, const struct svc_entry *entries, size_t count);

    /* Answers a read-only command from the applied state, without changing it. */
    void (*read)(const void *state, struct ts_bytes command, struct svc_out *out);

    /* The earliest logical time at which a TICK would change the state; UINT64_MAX = never.
     * The primary orders a TICK then. */
    struct ts_ltime (*next_tick)(const void *state);

    /* ---- the walk ----
     *
     * Its bytes depend on the entries applied before it alone, pieces' boundaries included: they
     * are the same on every replica that begins one at the same seq, whatever its hash seeds,
     * however it came to its state (by a log, by a load), and whatever is applied meanwhile. */

    /* Freezes the state as of the last applied entry, in a time that does not grow with the state,
     * and gives a walk, which the caller owns and ends before `destroy`; NULL when memory is short.
     * One at a time. apply and read go on as ever meanwhile, at their usual cost: the state keeps
     * the old form of what is changed before the walk comes to it. That costs at most the memory of
     * the frozen state once more (and what was thrown away as a whole may be freed with the walk
     * only); much less when the walk is quick. */
    struct svc_walk *(*walk_begin)(void *state);

    /* Appends the next piece to `out`, whose `max` leaves room for SVC_PIECE_MAX more. False: it
     * was the last one, and there must be no further call. There is at least one piece, and each
     * has at least one byte. */
    bool (*walk_next)(struct svc_walk *walk, struct svc_out *out) TS_MUST_USE;

    /* Ends a walk, at any time, in a time that does not grow with what was kept. */
    void (*walk_end)(struct svc_walk *walk);

    /* ---- the load ---- */

    /* Takes the next piece, as walk_next gave it (borrowed for the call), into a state fresh from
     * `create`, with any limits under which the state could have come about. Pieces are not
     * trusted: TS_ERR_VERSION: another format. TS_ERR_MALFORMED: not what a walk gives, or not the
     * next one. TS_ERR_NOMEM: memory is short. After an error the state may only be destroyed. */
    enum ts_err (*load_piece)(void *state, struct ts_bytes piece) TS_MUST_USE;

    /* All pieces were taken: the state is the walk's from now on. TS_ERR_SHORT: the last piece was
     * not among them. TS_ERR_MALFORMED: they contradict one another. After an error the state may
     * only be destroyed. */
    enum ts_err (*load_end)(void *state) TS_MUST_USE;
};

#endif
