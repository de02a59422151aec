/* The replication core: one replica of one group (R2, R3.1, R4).
 *
 * A state machine without I/O. The shell (or the simulator) feeds events, each with the
 * time in it, and performs the effects in the order that replicator/io/perform.c fixes.
 * The core reaches the config register through a narrow interface: it asks with
 * REG_PREPARE, REG_READ or REG_CAS and hears REG_PREPARED, REG_WON or REG_LOST.
 *
 *   event → repl_step(core, &event, &effects) → perform
 *
 * Roles: a *primary* orders requests and answers; a *secondary* acknowledges what it has
 * on disk; a secondary that is not in the in-sync set is a *learner*. Files: step.c
 * (dispatch), primary.c, secondary.c, reads.c, membership.c (changes of the in-sync set),
 * takeover.c, abdication.c (a primary gives up), canary.c (disks that hang), enrolment.c (a blank
 * disk in the place of a lost one), divergence.c (results differ), config.c (what the replica knows
 * of the register). */
#ifndef REPLICATOR_REPL_H
#define REPLICATOR_REPL_H

#include "base/prng.h"
#include "base/trace.h"
#include "cluster-cfg/cluster.h"
#include "cluster-cfg/config.h"
#include "cluster-cfg/report.h"
#include "replicator/batch.h"
#include "replicator/log.h"
#include "replicator/msg.h"

/* Why a peer is taken for lost. A harder kind replaces a softer one. */
enum repl_evidence {
    REPL_EVIDENCE_NONE = 0,
    REPL_EVIDENCE_SILENT = 1,      /* the detector's timeout; waits a tie delay first */
    REPL_EVIDENCE_REFUSED = 2,     /* link closed and a reconnect refused on every path */
    REPL_EVIDENCE_EXITED = 3,      /* its nicd's word */
    REPL_EVIDENCE_RESTARTED = 4,   /* a new process instance answers */
    REPL_EVIDENCE_SELF = 5,        /* this process is the restarted primary itself (R2.6) */
    REPL_EVIDENCE_ABDICATED = 6,   /* the primary asks for it (R4.4) */
    REPL_EVIDENCE_STUCK = 7,       /* a secondary's disk hangs, so it was removed (R3.2) */
    REPL_EVIDENCE_HANDED_OVER = 8, /* the primary asks for it, since the operator does (R4.5) */
};

enum repl_role {
    REPL_ROLE_STARTING = 0, /* has not learned a decided config yet */
    REPL_ROLE_SECONDARY,    /* follows; in sync or learner by the config */
    REPL_ROLE_TAKING_OVER,
    REPL_ROLE_PRIMARY,
    REPL_ROLE_HALTED, /* waits for an operator; `why` says what for */
};

/* Why a replica does not serve: REPL_WHY_STARTING, REPL_WHY_NOT_IN_SYNC (R4.7), …; the list and the
 * sentences (report_why_text) stand in cluster-cfg/report.h. */
enum repl_why {
#define REPL_WHY_ENUM(name, number, text) REPL_WHY_##name = number,
    REPORT_WHY_LIST(REPL_WHY_ENUM)
#undef REPL_WHY_ENUM
};

struct repl_limits {
    /* Log window in memory. All of it but one batch's length may be filled with what is not
     * committed: that much may be wasted by how the batches lie. */
    size_t window_bytes; /* at least REPL_LOG_BYTES_MIN */
    size_t window_batches;
    size_t join_lag_bytes; /* a learner this close is required next (R4.6) */
    size_t run_bytes;      /* one append carries so much, or one longer batch; … */
    size_t fetch_bytes;    /* … one for a learner behind the window */
    /* Bytes of batches that one step commits, or one longer batch: to apply and answer them takes
     * the shell a few milliseconds at most. */
    size_t commit_bytes;
    uint64_t blocked_after; /* ns without progress until waiting clients are let go */
    uint64_t commit_lazy;   /* ns until an idle primary repeats its commit position */
    /* What a disk may take for one group of writes (canary.h): a primary's own, until another
     * replica is to go on; a secondary's, until it is removed. */
    uint64_t own_disk_hangs;
    uint64_t peer_disk_hangs;
};
struct repl_limits repl_limits_default(const struct cfg_timing *timing);

/* Everything a replica is born with. */
struct repl_options {
    struct ts_nic_id self;
    struct ts_instance instance; /* of this process */
    struct ts_ltime first_time;  /* where logical time begins in an empty log, … */
    struct ts_mono first_now;    /* … as of this moment: it goes on while the disk is made */
    uint64_t seed;               /* jitter and nonces */
    struct cfg_timing timing;
    struct repl_limits limits;
};

/* ---- events ---------------------------------------------------------------------- */

enum repl_event_kind {
    REPL_EV_RESTORE_MARK,      /* the service's state is a snapshot's: the log begins behind it */
    REPL_EV_RESTORE_COMMITTED, /* what the next batch's record says was committed */
    REPL_EV_RESTORE,           /* a batch found in the journal, in order, before START */
    REPL_EV_START,             /* the journal is read and synced (R2.11) */
    REPL_EV_SUBMIT,            /* requests to order as one batch; result in effects->submit */
    REPL_EV_READ,              /* reads up to `token` have arrived (R2.9) */
    REPL_EV_TICK,              /* time passed; ask repl_deadline when the next is due */
    REPL_EV_LINK_UP,
    REPL_EV_LINK_DOWN,
    REPL_EV_MESSAGE,
    REPL_EV_EVIDENCE,        /* a peer is taken for lost */
    REPL_EV_EVIDENCE_CLEAR,  /* it was heard again */
    REPL_EV_PERSISTED,       /* the journal is durable up to seq */
    REPL_EV_FLOOR_PERSISTED, /* the floor is durable */
    REPL_EV_DISK_FAILED,
    REPL_EV_HANDOFF, /* the operator wants another primary (R4.5); result in effects->handoff */
    REPL_EV_APPLIED, /* by perform, after each batch: the rolling digest */
    REPL_EV_FETCHED, /* answers a FETCH effect */
    REPL_EV_VOTERS,  /* what there is to do about a voter's disk (adr/0029) */
    REPL_EV_REG_PREPARED,
    REPL_EV_REG_WON,
    REPL_EV_REG_LOST,
};

struct repl_event {
    enum repl_event_kind kind;
    struct ts_mono now;
    struct ts_nic_id peer; /* LINK_*, MESSAGE, EVIDENCE*, FETCHED; HANDOFF: to whom, 0 = any */
    union {
        struct repl_mark mark;   /* RESTORE_MARK */
        struct ts_bytes restore; /* one whole batch, borrowed */
        struct ts_seq committed; /* RESTORE_COMMITTED */
        struct {
            struct ts_incarnation incarnation; /* of the journal */
            struct ts_incarnation replaces;    /* by the operator's word: this disk is for that one
                                                * of the config's members; 0 = for none */
            struct ts_epoch floor; /* durable: acknowledges nothing below it (R2.3, seal) */
        } start;
        struct {
            const struct repl_request *requests; /* borrowed */
            size_t count;
        } submit;
        uint64_t read_token;
        struct {
            struct ts_instance instance;
            struct ts_incarnation incarnation;
        } link;
        struct {
            uint8_t type;
            struct ts_bytes frame; /* borrowed */
        } message;
        enum repl_evidence evidence;
        struct ts_seq persisted;
        struct ts_epoch floor;
        struct {
            struct ts_seq seq;
            struct ts_hash digest;
        } applied;
        struct {
            struct ts_seq after;
            /* Whole batches, borrowed. Empty: not to be had now. Every FETCH is answered. */
            struct ts_bytes batches;
            struct repl_pos base; /* not zero: they were dropped; the journal begins behind this */
        } fetched;
        struct {
            struct ts_epoch epoch; /* of the config that this is about */
            bool steps;            /* `next` may be proposed */
            struct cfg_voters next;
            bool ask; /* a read of the register may tell more, now and then */
        } voters;
        struct {
            uint64_t op; /* of the REG_* effect it answers */
            struct cfg_config config;
        } reg;
    } u;
};

/* ---- effects --------------------------------------------------------------------- */

enum repl_effect_kind {
    REPL_EF_JOURNAL_TRUNCATE, /* forget what follows; before any later append */
    REPL_EF_JOURNAL_APPEND,   /* durable later: answers PERSISTED */
    REPL_EF_PERSIST_FLOOR,    /* answers FLOOR_PERSISTED */
    REPL_EF_SEND,             /* at once */
    REPL_EF_APPLY,            /* committed entries (from, to]; release their outputs or drop them */
    REPL_EF_READS_READY,      /* reads up to the token may be answered from the applied state */
    REPL_EF_CLOSE_PENDING,    /* answer nothing that is waiting: close those connections (R2.8) */
    REPL_EF_ROLE,             /* role, activity or config changed: tell the front-end */
    REPL_EF_FETCH,            /* read batches after seq from the journal, answers FETCHED */
    REPL_EF_REG_PREPARE,      /* answers REG_PREPARED: shows a value, decides nothing */
    REPL_EF_REG_READ,         /* full round, answers REG_LOST with the decided value */
    REPL_EF_REG_CAS,          /* answers REG_WON or REG_LOST, keeps trying until then */
    REPL_EF_REG_ABANDON,      /* stop the operation, whatever became of it */
    REPL_EF_TRACE,
};

struct repl_effect {
    enum repl_effect_kind kind;
    struct ts_nic_id peer; /* SEND, FETCH */
    union {
        struct {
            struct ts_seq from;      /* exclusive: whole batches of the window */
            struct ts_seq to;        /* inclusive */
            struct ts_seq committed; /* hint stored beside each */
        } append;
        struct repl_pos truncate; /* the log end from now on */
        struct ts_epoch floor;
        struct {
            uint8_t type;
            struct ts_bytes head; /* borrowed from the effects */
            struct ts_bytes body; /* borrowed from the window or the event; may be empty */
        } send;
        struct {
            struct ts_seq from; /* exclusive */
            struct ts_seq to;   /* inclusive */
            bool release;
        } apply;
        uint64_t read_token;
        struct {
            struct ts_seq after;
            size_t bytes_max;
        } fetch;
        struct {
            uint64_t op;
            struct ts_epoch expected;
            struct cfg_config config;
        } reg;
        struct ts_trace trace;
    } u;
};

/* A step's effects are bounded: a handful a peer. */
#define REPL_EFFECTS_MAX 128
#define REPL_EFFECTS_HEAD_BYTES (32 * REPL_MSG_HEAD_MAX)

enum repl_submit_result {
    REPL_SUBMIT_NONE = 0,
    REPL_SUBMIT_ORDERED,     /* `first_seq` is the first request's */
    REPL_SUBMIT_NOT_PRIMARY, /* not ordered: answer with an error */
    REPL_SUBMIT_BUSY,        /* not ordered: keep it and try again after a commit */
};

enum repl_handoff_result {
    REPL_HANDOFF_NONE = 0,
    REPL_HANDOFF_BEGUN,       /* what is ordered is answered first */
    REPL_HANDOFF_NOT_PRIMARY, /* or not yet, or not any more, or blocked */
    REPL_HANDOFF_NO_HEIR,     /* nobody, or not that one, is in sync and connected */
    REPL_HANDOFF_BUSY,        /* one is under way, or the in-sync set changes just now */
};

struct repl_effects {
    size_t count;
    struct repl_effect e[REPL_EFFECTS_MAX];
    enum repl_submit_result submit;
    struct ts_seq first_seq;
    enum repl_handoff_result handoff;
    size_t head_used;
    uint8_t heads[REPL_EFFECTS_HEAD_BYTES];
};

/* ---- the core -------------------------------------------------------------------- */

struct repl; /* its parts: replicator/state.h */

/* Gives a core that the caller frees with repl_free; NULL when memory is short. */
struct repl *repl_new(const struct repl_options *options);
void repl_free(struct repl *c);

/* One step. `fx` is cleared first. */
void repl_step(struct repl *c, const struct repl_event *ev, struct repl_effects *fx);

/* When the next TICK is due; TS_MONO_NEVER when none is. */
struct ts_mono repl_deadline(const struct repl *c);

/* The batch that holds `seq` and the hash of its bytes, for an effect that names positions.
 * Asserts that it is in the window. */
void repl_batch_at(const struct repl *c, struct ts_seq seq, struct repl_batch *out,
                   struct ts_hash *hash);

/* Logical time as a primary would stamp it now. */
struct ts_ltime repl_logical_now(const struct repl *c, struct ts_mono now);

struct repl_peer_status {
    struct ts_nic_id nic;
    bool connected;
    struct repl_pos acked; /* counted in the present epoch */
    enum repl_evidence evidence;
};

/* What is asked at every batch, of all that repl_status tells. */
enum repl_role repl_role(const struct repl *c);
struct ts_epoch repl_epoch(const struct repl *c); /* of the config that it follows */
/* The decided config of a primary; NULL when it is none. Borrowed until the next step. */
const struct cfg_config *repl_led_config(const struct repl *c);
struct ts_seq repl_applied(const struct repl *c);
/* Where a snapshot of the state stands that is taken now, between two steps; its position is 0 when
 * nothing was applied. */
const struct repl_mark *repl_applied_mark(const struct repl *c);
/* Whether it has ended to replay its log up to *suspect, since the register says that results
 * differ there (R5.2). *digest is what it had there, *known: it can tell. */
bool repl_replays(const struct repl *c, struct ts_seq *suspect, bool *known,
                  struct ts_hash *digest);
/* Whether it has done that; *digest is what the replay has there. */
bool repl_replayed(const struct repl *c, struct ts_seq *suspect, struct ts_hash *digest);
/* Whether the register lists another disk for this NIC, which replaced this one: for good. */
bool repl_is_replaced(const struct repl *c);
/* Whether this replica is a learner of `peer` whose log does not go through `base`, and that has
 * not applied what `peer` has a snapshot of: that is what it needs. */
bool repl_lacks(const struct repl *c, struct ts_nic_id peer, struct repl_pos base,
                struct ts_seq snapshot);
/* Whether reads and requests are taken: it is the primary, has finished its takeover, and can
 * answer. */
bool repl_serves(const struct repl *c);
/* Whether it serves, and each other replica that is required has told on its present link that it
 * follows, and not since that it does no more: as long as they answer there, none of them has taken
 * over. */
bool repl_is_followed(const struct repl *c);

/* A copy of everything that status, front-end and tests want to know; of `peers` the first
 * `peer_count`. */
struct repl_status {
    enum repl_role role;
    bool active;  /* a primary that has finished its takeover */
    bool blocked; /* clients were let go; nothing is ordered until the log is committed */
    enum repl_why why;
    bool config_known;
    bool config_told; /* by a peer; the register has not confirmed it yet */
    struct cfg_config config;
    uint64_t required_mask;
    struct ts_epoch floor;
    struct repl_pos tail;
    struct ts_seq persisted;
    struct ts_seq committed;
    struct ts_seq applied;
    struct ts_hash digest;
    uint64_t alarms;    /* bits of enum report_alarm */
    uint64_t malformed; /* messages refused */
    size_t peer_count;
    struct repl_peer_status peers[TS_MEMBERS_MAX];
};
void repl_status(const struct repl *c, struct repl_status *out);
/* Whether it hands over (R4.5): what comes now is better kept for whoever is primary next. */
bool repl_hands_over(const struct repl *c);
/* Whether this primary may leave, because another in-sync replica is connected and would go on. */
bool repl_has_successor(const struct repl *c);
/* Whether the group goes on without this replica, whatever its disk holds: as a primary it has a
 * successor, as a secondary it hears from its primary. */
bool repl_may_leave(struct repl *c);

/* Asserts what must hold between steps. Run after every step in tests. */
void repl_check_invariants(const struct repl *c);

#endif
