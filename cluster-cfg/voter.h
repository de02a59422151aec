/* A voter: stores config registers for proposers and never forgets what it answered.
 *
 * Sans-I/O: events in, effects out. The state is changed in memory at once; whatever makes a
 * promise goes out only after the complete record is on disk (R1.3), so the core holds such
 * replies until PERSISTED. Refusals promise nothing and go out at once.
 *
 *     MESSAGE(prepare) → PERSIST(n, record)        … PERSISTED(n) → REPLY(promise)
 *     MESSAGE(accept)  → PERSIST(n, record)        … PERSISTED(n) → REPLY(accepted)
 *     MESSAGE(start)   → PERSIST(n, start record)  … PERSISTED(n) → REPLY(start-ok)
 *
 * Persists are numbered 1, 2, … and become durable in that order: PERSISTED(n) says that all
 * up to n are. The shell may write many records with one fdatasync, and of several records
 * of one register only the newest, as long as it confirms in order.
 *
 * The registers are those that were formatted: a listed register without a record is an
 * alarm, never an initial value.
 *
 * A disk that was formatted blank for the place of a lost one (adr/0029) has registers without a
 * record, too. It answers BLANK for them, which says whose place it is for, until an accept fills
 * them whose value lists it; and again when that was never decided, and a value without it came
 * after it. That value may say that it is rewritten only when the disk has the
 * starts that a majority of the other voters know: it asks for a copy (voter_wants_copy), and
 * refuses meanwhile. Until then it confirms no starts either. */
#ifndef CLUSTER_CFG_VOTER_H
#define CLUSTER_CFG_VOTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ids.h"
#include "base/trace.h"
#include "cluster-cfg/config.h"
#include "cluster-cfg/register_msg.h"

#define VOTER_REGISTERS_MAX (TS_GROUPS_MAX + 1)
/* Disks whose starts are remembered, for ever: four for each place of a replica or a voter. */
#define VOTER_STARTS_MAX (4 * (TS_GROUPS_MAX * TS_MEMBERS_MAX + TS_VOTERS_MAX))
/* Replies that wait for the disk; more requests are refused as busy. */
#define VOTER_HELD_MAX 128
/* The most effects of one step: all held replies, and a trace. */
#define VOTER_EFFECTS_MAX (VOTER_HELD_MAX + 4)

/* The longest encoding of either record, bytes. */
#define VOTER_RECORD_MAX 640

/* The complete durable record of one register (R1.3). */
struct voter_register {
    uint32_t reg;
    struct reg_ballot promised;
    struct reg_ballot accepted; /* of value; the zero ballot for what formation stored */
    struct reg_value value;     /* len 0: none */
    uint64_t generation;        /* of the voter set; never falls */
};

enum voter_record_kind {
    VOTER_RECORD_REGISTER = 1,
    VOTER_RECORD_START = 2,
};

/* What one persist writes: one complete record, keyed by `reg.reg` or `start.incarnation`. */
struct voter_record {
    enum voter_record_kind kind;
    union {
        struct voter_register reg;
        struct reg_start start;
    };
};

/* Sizes are fixed at creation; small ones make small models. */
struct voter_limits {
    struct ts_nic_id self;
    size_t registers_max; /* 1..VOTER_REGISTERS_MAX */
    size_t starts_max;    /* 1..VOTER_STARTS_MAX */
    size_t held_max;      /* 1..VOTER_HELD_MAX */
};

enum voter_event_kind {
    /* A decoded message of a peer. `from` is the node that its certificate names: ballots and
     * starts of another node are dropped. */
    VOTER_MESSAGE,
    VOTER_PERSISTED,      /* all persists up to `n` are durable */
    VOTER_PERSIST_FAILED, /* a write or sync failed: the voter is lost and never answers again */
    /* This voter's own start is registered at a majority of voters (start.h). Before it,
     * PREPARE and ACCEPT are refused (not-ready), START is answered to voters, and to a replica
     * only when it is refused: this disk may be an old image that has forgotten a later start. */
    VOTER_READY,
    /* Of a disk that enrols: the copies that it wants begin now, for all that have none yet;
     * `disks` have told all their starts since, and voter_learn_start was given them. */
    VOTER_COPY_BEGUN,
    VOTER_COPIED,
};

struct voter_event {
    enum voter_event_kind kind;
    struct ts_mono now;
    struct ts_nic_id from;              /* MESSAGE */
    uint64_t handle;                    /* MESSAGE: the connection that the reply goes to */
    const struct reg_msg *msg;          /* MESSAGE: borrowed for the step */
    uint64_t n;                         /* PERSISTED */
    const struct reg_start *own;        /* READY: this start; NULL in models without */
    const struct ts_incarnation *disks; /* COPIED: by voter, TS_VOTERS_MAX; 0: has not told */
};

enum voter_effect_kind {
    VOTER_PERSIST, /* write `record` durably, then PERSISTED(n) */
    VOTER_REPLY,   /* send `msg` on connection `handle`; nothing when it is gone */
    VOTER_TRACE,
};

struct voter_effect {
    enum voter_effect_kind kind;
    union {
        struct {
            uint64_t n;
            struct voter_record record;
        } persist;
        struct {
            uint64_t handle;
            struct reg_msg msg;
        } reply;
        struct ts_trace trace;
    };
};

/* Given by the caller; a step empties it first. */
struct voter_effects {
    size_t count;
    struct voter_effect e[VOTER_EFFECTS_MAX];
};

/* One block of memory without pointers inside: a byte copy of voter_bytes() is a second voter
 * (models and simulators copy states so). */
struct voter;

/* A new voter without registers, not ready. Asserts that the limits are in range.
 * Gives ownership; NULL when memory is short. */
struct voter *voter_new(const struct voter_limits *limits);
void voter_free(struct voter *v); /* takes; NULL is fine */
size_t voter_bytes(const struct voter_limits *limits);

/* Before the first step: says that this register must exist here (a group of the cluster).
 * TS_ERR_LIMIT when there are too many. */
enum ts_err voter_list_register(struct voter *v, uint32_t reg) TS_MUST_USE;

/* Before the first step: takes back what the disk holds; copies. A restored register counts
 * as listed. TS_ERR_EXISTS: a second record of one key. TS_ERR_LIMIT: too many. */
enum ts_err voter_restore(struct voter *v, const struct voter_record *record) TS_MUST_USE;

/* After what it holds was restored, before the first step: this is disk `disk`. With `places` it
 * was formatted blank, for the place of one of these. */
void voter_set_disk(struct voter *v, struct ts_incarnation disk, const struct reg_places *places);

/* A start that another voter knows: kept if it is above what is known here. It is written with the
 * effects of this call. False: no room. */
bool voter_learn_start(struct voter *v, const struct reg_start *start, struct voter_effects *fx);

/* The one entry point. */
void voter_step(struct voter *v, const struct voter_event *ev, struct voter_effects *fx);

/* Queries. */
bool voter_is_ready(const struct voter *v);
bool voter_has_failed(const struct voter *v);
/* Whether this disk enrols and there is a register whose newest value here does not let it vote. */
bool voter_is_joining(const struct voter *v);
/* Whether another disk has this one's place in a register, as far as is known here: what it says of
 * that one does not count, and never will. */
bool voter_is_replaced(const struct voter *v);
/* Of one that is joining: whether a register lists a disk whose place this one is not for. */
bool voter_is_misplaced(const struct voter *v);
/* Whether a copy of the other voters' starts is wanted that was not begun yet; whether one that was
 * begun waits for more voters to tell theirs. */
bool voter_wants_copy(const struct voter *v);
bool voter_is_copying(const struct voter *v);
/* NULL when the register has no record. Borrowed until the next step. It may be ahead of the
 * disk. */
const struct voter_register *voter_find(const struct voter *v, uint32_t reg);
/* The number of registers listed without a record: an alarm (R1.6) when it is not 0. */
size_t voter_empty_registers(const struct voter *v);
/* Of how many disks it remembers starts, and of how many it could. */
size_t voter_starts_known(const struct voter *v, size_t *max);
/* Asserts what must hold between steps. */
void voter_check_invariants(const struct voter *v);

/* What formation stores: the value, accepted at the zero ballot, generation 1. */
struct voter_register voter_genesis(uint32_t reg, const struct reg_value *value);

/* Codec of the durable records, for the voter store. Begins with a format version.
 * Decode: TS_ERR_VERSION, TS_ERR_SHORT (or a field out of range), TS_ERR_MALFORMED. */
void voter_record_encode(const struct voter_record *rec, struct ts_writer *w);
enum ts_err voter_record_decode(struct voter_record *rec, struct ts_bytes bytes) TS_MUST_USE;

/* All start registrations as one record of the disk; at most VOTER_STARTS_MAX. */
void voter_starts_encode(const struct reg_start *starts, size_t count, struct ts_writer *w);
/* Fills `starts`, which has room for `cap`; no bytes are no registrations. TS_ERR_VERSION;
 * TS_ERR_CORRUPT: damaged, or more than `cap`. */
enum ts_err voter_starts_decode(struct reg_start *starts, size_t cap, size_t *count,
                                struct ts_bytes bytes) TS_MUST_USE;

#endif
