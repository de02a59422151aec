/* A proposer of one config register: read and compare-and-swap, decided by a majority of
 * voters, without a log and without a leader. One lives in every replica process.
 *
 * Source: D. Rystsov, "CASPaxos: Replicated State Machines without logs", 2018. OURS: the
 * change function is a comparison of epochs, and a failed comparison still finishes its round
 * with the value it saw, so that it answers with a decided value (R1.4).
 *
 * Operations, one at a time:
 *   PREPARE  asks a majority to promise a new ballot and shows the newest accepted value. That
 *            value need not be decided and nothing is defeated by it. The ballot is kept.
 *   READ     shows the value and has a majority accept it again: the result is decided.
 *   CAS      if the newest value has the expected epoch, has the new one accepted. A CAS that
 *            follows a PREPARE uses the kept ballot and so needs one round only; so does a READ.
 *            Decided values have distinct epochs, so an epoch names one. What a PREPARE showed
 *            may be undecided and be replaced by another value of the same epoch: a CAS that
 *            follows compares who proposed it, too.
 *
 * A CAS ends in one of two ways, or is still trying:
 *   WON(value)   the proposal is decided.
 *   LOST(value)  `value` is decided by a full round at a ballot above all that the proposal was
 *                ever sent with: the proposal is defeated and can no longer become the current
 *                value. (If `value` has a higher epoch than the proposal, then the proposal may
 * have been current in between and been replaced.)
 *
 * Whose promises count stands in the value itself (config.h, `voters`): a round takes the newest
 * value that any voter shows, and goes on once a majority promised whose disks count by that value.
 * What it has accepted counts by the value that is sent. A proposal may change the voters by one
 * step (cfg_voters_follow) if it is derived from a decided value; otherwise it loses. Why this is
 * sound: adr/0029.
 *
 * Abandoning an operation takes nothing back: an abandoned proposal may still be decided by
 * messages under way. It is defeated, or decided, only when a later READ or CAS has ended:
 * until then it belongs to the required set (R2.5). */
#ifndef CLUSTER_CFG_PROPOSER_H
#define CLUSTER_CFG_PROPOSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/prng.h"
#include "base/trace.h"
#include "cluster-cfg/config.h"
#include "cluster-cfg/register_msg.h"

/* Retries double from retry_ns to this many times it. */
#define PROPOSER_RETRY_FACTOR_MAX 20
/* A send to each voter of two rounds at most, one result, traces. */
#define PROPOSER_EFFECTS_MAX (2 * TS_VOTERS_MAX + 6)

struct proposer_config {
    uint32_t reg;                /* register id = group id */
    struct ts_nic_id self;       /* node of this proposer */
    struct ts_instance instance; /* random, of this process; not 0 */
    uint64_t generation;         /* of the voter set, >= 1 */
    uint8_t voters;              /* 1..TS_VOTERS_MAX; a voter is named by its index 0.. */
    uint64_t retry_ns;           /* timing.proposer_retry */
    uint64_t seed;               /* of the jitter */
};

/* X(symbol, name) */
#define PROPOSER_OP_LIST(X) \
    X(PROPOSER_OP_NONE, "none") \
    X(PROPOSER_OP_PREPARE, "prepare") \
    X(PROPOSER_OP_READ, "read") \
    X(PROPOSER_OP_CAS, "cas")

enum proposer_op {
#define PROPOSER_OP_ENUM(sym, name) sym,
    PROPOSER_OP_LIST(PROPOSER_OP_ENUM)
#undef PROPOSER_OP_ENUM
};

/* X(symbol, name) */
#define PROPOSER_OUTCOME_LIST(X) \
    X(PROPOSER_PREPARED, "prepared") /* of PREPARE: `value` was seen, the ballot is kept */ \
    X(PROPOSER_DECIDED, "decided")   /* of READ: `value` is decided */ \
    X(PROPOSER_WON, "won")           /* of CAS: `value` is the proposal, decided */ \
    X(PROPOSER_LOST, "lost")         /* of CAS: `value` is decided, the proposal defeated */

enum proposer_outcome {
#define PROPOSER_OUTCOME_ENUM(sym, name) sym,
    PROPOSER_OUTCOME_LIST(PROPOSER_OUTCOME_ENUM)
#undef PROPOSER_OUTCOME_ENUM
};

enum proposer_event_kind {
    /* Start of an operation `op`; none may be under way (assert): it has ended, or
     * proposer_abandon was called. CAS asserts: config valid, config.epoch > expected,
     * config.proposer = this instance, config.nonce not 0. */
    PROPOSER_EVENT_OP,
    PROPOSER_EVENT_MESSAGE, /* PROMISE, ACCEPTED, NACK or BLANK of `voter`; others are ignored */
    /* The link to `voter` was made (again): what is outstanding is sent to it. All voters begin
     * as down, and nothing is sent to a voter that is down. */
    PROPOSER_EVENT_VOTER_UP,
    PROPOSER_EVENT_VOTER_DOWN,
    PROPOSER_EVENT_TICK,
};

struct proposer_event {
    enum proposer_event_kind kind;
    struct ts_mono now;
    enum proposer_op op;             /* OP */
    struct ts_epoch expected;        /* OP CAS: of a decided value, or of what the PREPARE just
                                      * before showed */
    const struct cfg_config *config; /* OP CAS: the new value; copied */
    uint8_t voter;                   /* MESSAGE, VOTER_UP, VOTER_DOWN */
    struct ts_incarnation disk;      /* VOTER_UP: of the voter at the other end */
    const struct reg_msg *msg;       /* MESSAGE: borrowed for the step */
};

enum proposer_effect_kind {
    PROPOSER_EFFECT_SEND,
    PROPOSER_EFFECT_DONE, /* the operation ended; the next may start with the next event */
    PROPOSER_EFFECT_TRACE,
};

struct proposer_result {
    enum proposer_op op;
    enum proposer_outcome outcome;
    struct cfg_config value;
};

struct proposer_effect {
    enum proposer_effect_kind kind;
    uint8_t voter; /* SEND */
    union {
        struct reg_msg msg;            /* SEND */
        struct proposer_result result; /* DONE */
        struct ts_trace trace;         /* TRACE */
    };
};

struct proposer_effects {
    size_t count;
    struct proposer_effect e[PROPOSER_EFFECTS_MAX];
};

enum proposer_phase {
    PROPOSER_IDLE = 0,
    PROPOSER_PREPARING = 1,
    PROPOSER_ACCEPTING = 2,
    PROPOSER_BACKING_OFF = 3, /* refused by a higher ballot: waits until retry_at */
};

/* What this round (of prepares, or of accepts) knows of one voter. */
enum proposer_answer {
    PROPOSER_NO_ANSWER = 0,
    PROPOSER_GRANTED = 1, /* promised or accepted */
    PROPOSER_OUTBID = 2,  /* will not grant this ballot any more */
    PROPOSER_GRANT_LOST =
        3,                /* says it promised this very ballot: its answer is under way or lost */
    PROPOSER_REFUSED = 4, /* cannot at present (busy, not ready, empty) */
};

struct proposer_voter {
    bool up;
    bool asked;                  /* in this round */
    bool asked_before_up;        /* in this round, over an earlier connection */
    enum proposer_answer answer; /* in this round */
    struct ts_mono asked_at;     /* oldest request without an answer; NEVER = none */
    struct ts_incarnation disk;  /* at the other end of the newest link, … */
    struct reg_places places; /* … and whose place it is for: it says so as long as it is blank */
    bool passed_over;         /* what it stores lists other disks, and it waits for no place */
    struct ts_epoch holds;    /* newest epoch of a value that this disk is known to store, … */
    bool votes;               /* … by which it votes */
    bool empty;               /* it has no value at all, which asking does not mend */
};

/* Allocated by the caller; no pointers inside: a copy is a second proposer. */
struct proposer {
    struct proposer_config cfg;
    struct ts_prng prng;

    /* the operation */
    enum proposer_op op;
    struct ts_epoch expected; /* CAS */
    bool pinned;              /* CAS: the expected value is also known by name, as below */
    struct ts_instance pinned_proposer;
    uint64_t pinned_nonce;
    struct cfg_config proposal; /* CAS */

    /* the round */
    enum proposer_phase phase;
    struct reg_ballot ballot; /* of this round; zero before the first */
    struct proposer_voter voter[TS_VOTERS_MAX];
    struct reg_ballot seen_ballot; /* of `seen` */
    bool has_seen;                 /* a promise of this round showed a value */
    struct cfg_config seen;        /* the newest accepted value among the promises; ACCEPTING: what
                                    * `sent` holds */
    bool prepared;                 /* a majority promised `ballot`; no value was sent with it */
    struct reg_value sent;         /* the one value that `ballot` was sent with; len 0: none yet */
    enum proposer_outcome pending; /* ACCEPTING: the outcome once a majority accepts */

    /* timers */
    uint64_t retry_ns; /* present interval of silence */
    bool told;         /* a refusal has told which ballot to beat, since the last wait */
    unsigned waits;    /* … of this operation, for higher ballots */
    struct ts_mono retry_at;
    struct ts_mono round_at; /* this round began */

    /* statistics and memory */
    uint64_t counter_seen; /* the highest counter seen anywhere */
    uint64_t rounds;       /* ballots used so far */
    uint64_t ignored;      /* messages that matched nothing or were malformed */
};

/* Asserts that the configuration is in range. */
void proposer_init(struct proposer *p, const struct proposer_config *cfg);
void proposer_step(struct proposer *p, const struct proposer_event *ev,
                   struct proposer_effects *fx);

/* Ends the operation under way without a result, and drops a kept ballot. No effect when
 * idle without one. See the top for what it does not mean. */
void proposer_abandon(struct proposer *p);

/* Pure queries. */
/* When a TICK is due; TS_MONO_NEVER when none is. */
struct ts_mono proposer_deadline(const struct proposer *p);
bool proposer_is_busy(const struct proposer *p);
/* Whether a CAS would use the ballot of an earlier PREPARE. */
bool proposer_is_prepared(const struct proposer *p);
/* Voters with a link. */
unsigned proposer_connected(const struct proposer *p);
/* Voters with a link that owe no answer for four retries and that did not refuse the round under
 * way as unable (not ready, empty): fewer than proposer_majority is the alarm "no voter
 * majority". */
unsigned proposer_answering(const struct proposer *p, struct ts_mono now);
unsigned proposer_majority(const struct proposer *p);
/* Whether `config`, which is decided, leaves a step to take for a disk that enrols: *next is then
 * what may be proposed. `*ask`: a READ tells more: a voter has a disk that is not listed and may
 * wait for the place, one that is being taken in is not known to store `config`, or one that votes
 * is not known to have stored a value by which it does. */
bool proposer_next_voters(const struct proposer *p, const struct cfg_config *config,
                          struct cfg_voters *next, bool *ask);
void proposer_check_invariants(const struct proposer *p);

const char *proposer_op_name(enum proposer_op op);
const char *proposer_outcome_name(enum proposer_outcome outcome);

#endif
