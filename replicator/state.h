/* The replication core's state and the functions its files share. Private to replicator/.
 *
 * Fields stand in groups: given, durable, log, config register, role, peers, reads,
 * bookkeeping. "Durable" fields mirror what the disk has confirmed. */
#ifndef REPLICATOR_STATE_H
#define REPLICATOR_STATE_H

#include "cluster-cfg/report.h"
#include "replicator/canary.h"
#include "replicator/repl.h"

/* Where the stream of batches to a peer stands. */
enum repl_stream {
    REPL_STREAM_OFF,   /* its position is not known yet */
    REPL_STREAM_LIVE,  /* follows the window */
    REPL_STREAM_FETCH, /* waits for batches from the journal */
    REPL_STREAM_DRAIN, /* waits until those are acknowledged */
};

struct repl_peer {
    bool used;
    struct ts_nic_id nic;
    /* link */
    bool connected;
    struct ts_instance instance;
    struct ts_incarnation incarnation;
    bool ever_connected;             /* since this process started */
    struct ts_mono position_told_at; /* when it was last told where we are */
    bool leads;                      /* as primary it has sent what fitted, on this link */
    enum repl_evidence evidence;
    struct ts_mono evidence_at;
    /* as seen by a primary, in the present epoch */
    enum repl_stream stream;
    struct repl_pos sent;       /* end of what was sent on this link */
    struct repl_pos committed;  /* as its newest position said: a prefix of every log */
    struct ts_mono fetch_after; /* the journal could not be read: not again before */
    bool acked_valid;
    struct repl_pos acked;
    bool refused;  /* it has sealed this epoch, and follows it no more */
    bool compared; /* a digest was equal, at compared_seq */
    struct ts_seq compared_seq;
    uint64_t confirmed_round;
    struct ts_seq committed_sent;
    struct ts_mono join_after;      /* hysteresis: no new join before */
    uint64_t join_pause;            /* ns before that; grows until it joins, 0 = it did */
    struct ts_mono rewind_after;    /* as a primary it is not told our position again before */
    uint64_t rewind_pause;          /* ns before that; grows until something fits, 0 = it did */
    struct canary disk;             /* what it has not acknowledged, though our own disk has it */
    struct ts_mono acked_at;        /* its acknowledgements came further */
    struct ts_mono ahead_at;        /* since then its disk has what ours owes; NEVER: it has not */
    struct ts_mono stuck_at;        /* removed as one whose disk hangs; 0 = never */
    uint64_t stuck_pause;           /* … and not taken in again for so long, ns */
    struct ts_seq replayed;         /* on this link it told what its replay has there: … */
    struct ts_hash replayed_digest; /* … */
    struct ts_incarnation enrols;   /* on this link it said that its disk is for that one; 0 = no */
    bool diverged;
    /* Why an alarm stands, also when another process or disk has taken its place: */
    struct ts_seq differs; /* its results differed there, and were not the same since; 0: no */
    bool parted;           /* its log was none of ours, and it has none of ours yet */
};

/* A primary that gives up (R4.4). */
enum repl_abdication {
    REPL_ABDICATION_NONE,
    REPL_ABDICATION_DRAINS,  /* a handoff: it orders nothing more, and answers what is ordered */
    REPL_ABDICATION_ASKED,   /* it asks others to take over, and does nothing else */
    REPL_ABDICATION_RESUMES, /* nobody did: it raises the epoch, and serves when that is decided */
};

enum repl_takeover {
    REPL_TAKEOVER_NONE,
    REPL_TAKEOVER_WAIT,    /* soft evidence: the tie delay runs */
    REPL_TAKEOVER_PREPARE, /* step 1 */
    REPL_TAKEOVER_SEAL,    /* step 2 */
    REPL_TAKEOVER_CAS,     /* step 3 */
    REPL_TAKEOVER_TAIL,    /* step 4: won; committing the tail */
};

struct repl {
    /* given */
    struct repl_options o;

    /* durable, as confirmed by the disk */
    struct ts_incarnation incarnation; /* of the journal; known from START on */
    struct ts_incarnation replaces;    /* the disk whose place this one is for; 0 = none */
    struct ts_epoch floor_durable;
    struct ts_seq persisted; /* journal, at a batch end */

    /* the same as promised in memory: never behind the durable one */
    struct ts_epoch floor;

    /* log */
    struct repl_log log;
    struct repl_pos committed;
    size_t commit_left;       /* bytes that the running step may still commit */
    bool commit_more;         /* it stopped there: the next tick, which is due at once, goes on */
    struct repl_pos verified; /* identical to the present primary's log up to here */
    struct ts_epoch verified_epoch;
    struct ts_mono position_at; /* when to tell the primary our position again; NEVER = not due */
    struct ts_mono due;         /* the next deadline of all, as of the newest step */
    bool position_rewind;
    struct ts_seq commit_told; /* by the primary of verified_epoch */
    struct ts_seq applied;
    struct ts_hash digest;     /* rolling, after digest_seq */
    struct ts_seq digest_seq;  /* follows `applied` within the performing of a step */
    struct repl_mark mark;     /* the same position, whole */
    struct ts_ltime last_time; /* largest logical time seen; 0 = none yet */
    struct ts_mono last_time_at;
    bool disk_failed;

    /* config register */
    bool config_known;
    struct cfg_config config;     /* the newest decided one known */
    struct ts_nic_id config_from; /* whose word that is; 0 = the register's */
    bool config_asked_for;        /* a peer speaks of a newer one: the register is to be asked */
    struct ts_epoch ask_epoch;    /* … of this one, … */
    struct ts_epoch asking_epoch; /* … or is asked since this one was spoken of */
    uint64_t op;                  /* number of the newest register operation, 0 = none yet */
    bool op_running;
    enum repl_effect_kind op_kind;
    struct cfg_config proposal; /* valid while a CAS runs */
    struct ts_mono poll_at;
    struct ts_epoch
        voters_epoch; /* primary: in this one a step for a voter's disk is to be taken, … */
    struct cfg_voters voters_next; /* … this; … */
    bool voters_ask;               /* … or more may be learnt by reading the register */

    /* role */
    enum repl_role role;
    enum repl_why why;
    bool active;
    enum repl_takeover takeover;
    enum repl_evidence takeover_why;
    struct ts_epoch takeover_epoch; /* e: the epoch that is sealed and replaced */
    struct ts_mono takeover_at;     /* end of the tie delay or of the retry pause */
    struct ts_seq takeover_noop;
    bool bump; /* a peer refused this epoch: raise it, keep the set (R4.1) */

    /* divergence */
    struct ts_seq doubt;     /* primary: an in-sync peer has other results there; 0 = none has */
    struct ts_seq replay_of; /* the suspect when this process learnt its first config, … */
    struct ts_seq restored;  /* … and the snapshot that it began with */
    bool replayed;           /* it has applied all up to that: … */
    struct ts_hash replayed_digest; /* … */
    bool live_known;                /* what it had there before, as far as it knows: … */
    struct ts_hash live_digest;     /* … */
    struct ts_mono tell_at;         /* the others are told again; 0 = at once */

    /* enrolment */
    struct ts_mono enrol_at; /* the primary is asked again then */

    /* abdication */
    struct canary disk; /* what this replica's own disk owes */
    enum repl_abdication abdication;
    struct ts_mono abdicated_at;
    struct ts_nic_id heir; /* asked last */
    enum repl_take_over_why giving_up_why;
    struct ts_mono ask_at;        /* when the next one is asked */
    enum repl_evidence asked_why; /* … */
    struct ts_epoch asked_epoch;  /* its primary asked this replica to take over; 0 = none did */

    /* primary */
    struct ts_nic_id joining;   /* required from now on, not proposed yet; 0 = none */
    struct ts_seq joining_from; /* committed when it became required: all later needs it */
    struct ts_mono joining_since;
    struct ts_mono commit_lazy_at;
    struct ts_mono progress_at; /* since when the oldest waiting request sees no progress */
    bool blocked;

    /* reads */
    uint64_t read_token;       /* newest arrived */
    uint64_t read_round_token; /* newest covered by the running round */
    uint64_t read_ready;       /* newest released */
    uint64_t round;            /* number of the newest round, never reused */
    bool round_running;
    uint64_t round_asked; /* bit = NIC */
    struct ts_epoch round_epoch;

    struct repl_peer peers[TS_MEMBERS_MAX];
    struct ts_prng prng;
    uint64_t alarms;
    uint64_t malformed;
    struct ts_mono now; /* of the running step */
};

/* ---- small helpers (state.c) ------------------------------------------------------ */

/* The newest batch goes to the journal; one effect for a run of them. */
void repl_journal_newest(struct repl *c, struct repl_effects *fx);
struct repl_effect *repl_fx(struct repl_effects *fx, enum repl_effect_kind kind);
void repl_trace(struct repl *c, struct repl_effects *fx, enum ts_trace_kind kind, struct ts_seq seq,
                uint64_t a, uint64_t b);
void repl_alarm(struct repl *c, enum report_alarm alarm, bool on);
/* The peer's record; NULL for a NIC that is no member of anything known. */
struct repl_peer *repl_peer(struct repl *c, struct ts_nic_id nic);
/* The same, made on demand; NULL when there are too many. */
struct repl_peer *repl_peer_or_new(struct repl *c, struct ts_nic_id nic);
bool repl_is_self(const struct repl *c, struct ts_nic_id nic);
/* A message's head is encoded into the effects: the writer to use, then repl_send_done. */
struct ts_writer repl_head(struct repl_effects *fx);
void repl_send(struct repl *c, struct repl_effects *fx, struct ts_nic_id to, uint8_t type,
               const struct ts_writer *head, struct ts_bytes body);
/* Whether this replica, with this disk, is in the in-sync set of `cfg`. */
bool repl_self_in_sync(const struct repl *c, const struct cfg_config *cfg);
/* A pause of [base, 2·base) ns. */
uint64_t repl_jitter(struct repl *c, uint64_t base);
void repl_set_role(struct repl *c, struct repl_effects *fx, enum repl_role role, enum repl_why why);
/* Ends all that this replica does, until the process is started again. */
void repl_halt(struct repl *c, struct repl_effects *fx, enum repl_why why);

/* ---- config.c: what the replica knows of the register ----------------------------- */

void repl_reg_start(struct repl *c, struct repl_effects *fx, enum repl_effect_kind kind,
                    struct ts_epoch expected, const struct cfg_config *proposal);
void repl_reg_abandon(struct repl *c, struct repl_effects *fx);
/* A peer says that this config was decided. Its word for the next epoch is believed until the
 * register has been asked; of a later one it only makes this replica ask. */
void repl_config_on_told(struct repl *c, const struct repl_peer *p, const struct cfg_config *cfg,
                         struct repl_effects *fx);
/* Asks the register when a peer gave reason to. */
void repl_config_advance(struct repl *c, struct repl_effects *fx);
/* A peer has spoken of this epoch, and its word for it is not enough. */
void repl_config_ask(struct repl *c, struct ts_epoch epoch);
void repl_config_on_reg(struct repl *c, const struct repl_event *ev, struct repl_effects *fx);
void repl_config_publish(struct repl *c, struct repl_effects *fx);
void repl_config_send(struct repl *c, struct repl_peer *p, struct repl_effects *fx);
void repl_position_send(struct repl *c, struct repl_peer *p, bool rewind, struct repl_effects *fx);
void repl_config_tick(struct repl *c, struct repl_effects *fx);

/* ---- primary.c: order, stream, commit ---------------------------------------------- */

void repl_primary_submit(struct repl *c, const struct repl_event *ev, struct repl_effects *fx);
/* Orders one batch; false when the window has no room. */
bool repl_primary_order(struct repl *c, const struct repl_request *requests, size_t count,
                        struct repl_effects *fx);
void repl_primary_on_position(struct repl *c, struct repl_peer *p,
                              const struct repl_msg_position *m, struct repl_effects *fx);
void repl_primary_on_ack(struct repl *c, struct repl_peer *p, const struct repl_msg_ack *m,
                         struct repl_effects *fx);
void repl_primary_on_fetched(struct repl *c, struct repl_peer *p, const struct repl_event *ev,
                             struct repl_effects *fx);
/* Sends what may be sent now to this peer; `always` sends the position also without batches. */
void repl_primary_pump(struct repl *c, struct repl_peer *p, bool always, struct repl_effects *fx);
/* Bit = NIC: whose acknowledgement every commit, release and at-once read needs (R2.5). */
uint64_t repl_required_mask(const struct repl *c);
/* Commits what the required set has acknowledged in this epoch, applies, answers. */
void repl_commit_advance(struct repl *c, struct repl_effects *fx);
/* After a new epoch of ours: acknowledgements start over. */
void repl_primary_new_epoch(struct repl *c, struct repl_effects *fx);
void repl_primary_tick(struct repl *c, struct repl_effects *fx);
/* Batches up to here may leave the window: performed and durable. What this very step applies
 * may not, since performing it comes after the step. */
struct ts_seq repl_evictable(const struct repl *c);
/* Commits up to `to`, or as far as the step may: then commit_more is set. */
void repl_apply_to(struct repl *c, struct repl_pos to, struct repl_effects *fx);

/* ---- secondary.c: append, acknowledge, truncate ------------------------------------ */

void repl_secondary_on_append(struct repl *c, struct repl_peer *p, const struct repl_msg_append *m,
                              struct repl_effects *fx);
void repl_secondary_tick(struct repl *c, struct repl_effects *fx);
void repl_secondary_ack(struct repl *c, struct repl_effects *fx);
void repl_secondary_on_confirm(struct repl *c, struct repl_peer *p,
                               const struct repl_msg_confirm *m, struct repl_effects *fx);
/* Promises to acknowledge nothing below `epoch`; durable when FLOOR_PERSISTED comes. */
void repl_floor_raise(struct repl *c, struct ts_epoch epoch, struct repl_effects *fx);

/* ---- reads.c ------------------------------------------------------------------------ */

void repl_reads_on_read(struct repl *c, uint64_t token, struct repl_effects *fx);
void repl_reads_on_confirmed(struct repl *c, struct repl_peer *p,
                             const struct repl_msg_confirmed *m, struct repl_effects *fx);
/* Starts, restarts or ends a round: after each change of epoch, set or activity. */
void repl_reads_advance(struct repl *c, struct repl_effects *fx);

/* ---- membership.c: removal, joining, raising the epoch ------------------------------ */

void repl_membership_advance(struct repl *c, struct repl_effects *fx);
void repl_membership_on_refused(struct repl *c, struct repl_peer *p,
                                const struct repl_msg_refused *m, struct repl_effects *fx);
/* Whether this peer could take over: it is connected and in sync, nothing speaks against it, and no
 * proposal of ours that may still be decided drops it. */
bool repl_is_heir(const struct repl *c, const struct repl_peer *p);

/* ---- abdication.c -------------------------------------------------------------------- */

/* Looks after the disks; gives up, asks again, resumes. */
void repl_abdication_advance(struct repl *c, struct repl_effects *fx);
void repl_abdication_on_take_over(struct repl *c, struct repl_peer *p,
                                  const struct repl_msg_take_over *m, struct repl_effects *fx);
/* The journal has failed: the last word of a primary, before it halts. */
void repl_abdication_disk_failed(struct repl *c, struct repl_effects *fx);
/* Our own proposal was decided, and this is its primary. */
void repl_abdication_won(struct repl *c, struct repl_effects *fx);
void repl_abdication_handoff(struct repl *c, struct ts_nic_id target, struct repl_effects *fx);
struct ts_mono repl_abdication_deadline(const struct repl *c);

/* ---- enrolment.c: a blank disk in the place of a lost one ---------------------------- */

/* What the members of the config say of this replica's disk. */
enum repl_why repl_enrolment_why(const struct repl *c);
/* Asks the primary to enrol this disk; halts when another one was enrolled for this NIC. */
void repl_enrolment_advance(struct repl *c, struct repl_effects *fx);
void repl_enrolment_on_enrol(struct repl *c, struct repl_peer *p, const struct repl_msg_enrol *m);
/* Puts the disks of all that ask into `next`; true when there is one. */
bool repl_enrolment_propose(struct repl *c, struct cfg_config *next, struct repl_effects *fx);
void repl_enrolment_on_voters(struct repl *c, const struct repl_event *ev);
bool repl_enrolment_propose_voters(struct repl *c, struct cfg_config *next,
                                   struct repl_effects *fx);
struct ts_mono repl_enrolment_deadline(const struct repl *c);
/* Whether what this peer says counts for the disk that the required set means (R2.3): the NIC may
 * have another one by now. */
bool repl_is_required_disk(const struct repl *c, const struct repl_peer *p);

/* ---- divergence.c: results differ ---------------------------------------------------- */

enum repl_replays {
    REPL_REPLAYS_AGREE,   /* another one's with ours, or there is no other one */
    REPL_REPLAYS_AWAITED, /* nobody has told yet */
    REPL_REPLAYS_DIFFER,  /* nobody agrees, and somebody differs */
};
/* A peer's digest at `seq` is another than ours. */
void repl_divergence_found(struct repl *c, const struct repl_peer *p, struct ts_seq seq,
                           struct repl_effects *fx);
void repl_divergence_advance(struct repl *c, struct repl_effects *fx);
void repl_divergence_on_replayed(struct repl *c, struct repl_peer *p,
                                 const struct repl_msg_replayed *m, struct repl_effects *fx);
/* What all in-sync replicas say of the config's suspect. */
enum repl_replays repl_divergence_replays(const struct repl *c);
struct ts_mono repl_divergence_deadline(const struct repl *c);

/* ---- takeover.c ---------------------------------------------------------------------- */

/* Starts, continues or cancels a takeover by what is known now. */
void repl_takeover_advance(struct repl *c, struct repl_effects *fx);
void repl_takeover_on_prepared(struct repl *c, const struct cfg_config *shown,
                               struct repl_effects *fx);
/* Our CAS was decided: primary of the new epoch, from here without a way back. */
void repl_takeover_won(struct repl *c, struct repl_effects *fx);
void repl_takeover_tail_committed(struct repl *c, struct repl_effects *fx);
struct ts_mono repl_takeover_deadline(const struct repl *c);

#endif
