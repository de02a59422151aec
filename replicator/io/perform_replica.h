/* A replica around its cores: one set of files, shared by the shell and the simulator, for all that
 * follows from what its journal, the voters and its own clock say.
 *
 *   perform.c           the order in which the core's effects are performed
 *   perform_replica.c   start, one turn, end
 *   perform_disk.c      the journal: what is asked of it, what it tells, when it fails
 *   perform_snapshot.c  snapshots: when, how, and what may be dropped then; the start from one
 *   perform_transfer.c  snapshots for learners that are far behind
 *   perform_register.c  the voters: registration of the start (R1.8), then the proposer
 *   perform_room.c      room on the disk, and what is refused without
 *   perform_scrub.c     looking for damage on the disk
 *   perform_divergence.c  results differ: what is kept, and set aside before a replay
 *   perform_repair.c    … and mending it with what a peer has
 *   perform_service.c   the service: apply, release, and a primary's own entries
 *
 * No I/O and no clock but the journal's calls, which copy and return: sockets, files and people are
 * behind perform_table and perform_ops. The user owns the struct, opens the journal with
 * perform_disk_* as its callbacks, and calls perform_turn when it has read all that came in.
 *
 *   perform_open → journal_open (perform_snapshot_load, perform_disk_replay) → perform_disk_opened
 * → perform_register_open → … the disk remembers the registered start → open_links, START → turns
 */
#ifndef REPLICATOR_IO_PERFORM_REPLICA_H
#define REPLICATOR_IO_PERFORM_REPLICA_H

#include "cluster-cfg/proposer.h"
#include "cluster-cfg/start.h"
#include "replicator/io/disk_msg.h"
#include "replicator/io/journal_place.h"
#include "replicator/io/perform.h"
#include "replicator/io/snapshot_file.h"

struct journal;
struct journal_batch;
struct journal_info;
struct journal_start;

/* What the shell, or the simulator, does besides perform_table; `ctx` is perform.ctx. */
struct perform_ops {
    /* Puts the time in, calls perform_step, and does what the user does after each step. */
    void (*feed)(void *ctx, struct repl_event *ev);
    /* To the voter of this index. It may be lost: what is outstanding is sent again. */
    void (*send_voter)(void *ctx, uint8_t voter, const struct reg_msg *msg);
    /* The voters know of a later start of this disk (R1.8): marks it refused and ends. */
    void (*refused)(void *ctx, uint64_t registered);
    /* Another disk was enrolled in the place of this one (adr/0022): marks it refused and ends. */
    void (*replaced)(void *ctx);
    /* For people: results differ between replicas, and this is what it does about it. `left` is the
     * newest snapshot that counts. */
    void (*diverged)(void *ctx, struct ts_seq left, const char *text);
    /* Opens the links to the peers; the core starts when that gives true. */
    bool (*open_links)(void *ctx);
    /* The output of a client's command may leave, tagged with `epoch` (R2.7). */
    void (*release)(void *ctx, const struct svc_entry *entry, struct ts_epoch epoch,
                    struct ts_bytes out);
    /* For people: once, a call of the journal was refused; or what its `failed` said. */
    void (*journal_refuses)(void *ctx, const char *what, enum ts_err err);
    void (*journal_failed)(void *ctx, enum ts_err err, const char *text);
    /* For people: a learner cannot be fed from the journal now. `text` may be NULL. */
    void (*fetch_failed)(void *ctx, enum ts_err err, const char *text);
    /* For people: a snapshot begins, is durable, or could not be written now (`text` says why, and
     * what comes of it). */
    void (*snapshot_begins)(void *ctx, const struct repl_mark *mark);
    void (*snapshot_taken)(void *ctx, const struct repl_mark *mark,
                           const struct snapshot_trailer *t);
    void (*snapshot_failed)(void *ctx, enum ts_err err, const char *text);
    /* For people: a snapshot that `from` sends can not be had now. TS_ERR_CORRUPT: what it sent is
     * damaged; TS_ERR_VERSION: it is of a release that this one does not know. */
    void (*transfer_failed)(void *ctx, struct ts_nic_id from, enum ts_err err, const char *text);
    /* At the start: one is broken, and the one before is tried; the state is this one's. */
    void (*snapshot_broken)(void *ctx, const char *text);
    void (*snapshot_loaded)(void *ctx, const struct snapshot_info *info);
    /* Another replica's snapshot is there instead of this one's log; the replica ends, and starts
     * with it. */
    void (*snapshot_installed)(void *ctx, struct ts_seq seq);
    /* A pass through the disk begins; something is damaged (`text` says what); it has ended, with
     * `scrub.found`. */
    void (*scrub_begins)(void *ctx);
    void (*scrub_found)(void *ctx, const char *text);
    void (*scrub_ended)(void *ctx);
    /* A damaged batch of the journal was written again as it was. */
    void (*repaired)(void *ctx);
    /* The replica ends itself: without its journal, when the core has said its last; with `again`
     * to be started anew at once. */
    void (*end)(void *ctx, bool again);
};

/* A read of the journal that could not begin. */
struct perform_refused_fetch {
    bool waits;
    struct ts_nic_id peer;
    struct ts_seq after;
};

/* A snapshot is taken when the batches applied since the newest one have more bytes than this, … */
#define PERFORM_SNAPSHOT_LIMIT (64ULL << 20)

struct perform_snapshot_job;

struct perform_snapshot {
    uint64_t limit;        /* … or than that one's state, if that is more; the user may set it */
    uint64_t newest_bytes; /* of that state */
    uint64_t taken_at;     /* perform.applied_bytes when it began */
    struct ts_mono retry_at; /* one that failed is not tried again before */
    uint64_t retry_ns;       /* … after the beginning of that one; 0: none has failed */
    struct ts_mono press_at; /* one for want of room alone is not begun before */
    struct svc_walk *walk;   /* of the one under way; NULL: all of it was handed over, or none is */
    struct perform_snapshot_job *job; /* … with what the worker needs; NULL: none is under way */
    struct ts_seq newest;             /* of those that are durable; 0: there is none */
    struct ts_seq wanted;   /* one is due that has this entry; 0: none is. The user raises it */
    struct ts_seq may_drop; /* the journal up to here is in two snapshots, … */
    struct ts_seq dropped;  /* … and was dropped up to here */
};

/* perform_transfer.c: a snapshot on its way to a learner, … */
struct perform_transfer {
    uint64_t giving;           /* bit = NIC: a piece for it is being read */
    struct ts_mono hold_until; /* no newer snapshot is begun before; … */
    struct ts_mono asked_at; /* … asked for last, which is all that counts when there is no room */
    struct ts_seq gave;      /* the newest that was asked for */
    struct ts_mono looks_at;  /* a look at it that somebody asked for may begin, not before */
    struct ts_seq bad;        /* somebody says that this one is damaged, … */
    struct ts_mono bad_until; /* … and it is not offered before */
    /* … or to this one */
    struct ts_nic_id from;
    struct ts_seq seq;
    struct repl_pos base;  /* where that one's journal began when it offered it */
    bool known;            /* how much of it is here: … */
    uint64_t offset;       /* … so many bytes */
    bool busy;             /* a worker is at it */
    bool asks;             /* for the next piece, … */
    struct ts_mono ask_at; /* … not before */
};

/* What a look at the disk found, bytes. */
struct perform_room_look {
    uint64_t total;     /* of the file system, … */
    uint64_t free;      /* … and what is left of it */
    uint64_t snapshots; /* but one that is being written */
    uint64_t newest;    /* of these */
    uint64_t kept;      /* for people, since results differed */
    uint64_t journal;   /* when the look began */
};

/* perform_room.c */
struct perform_room {
    uint64_t
        limit;  /* what journal and snapshots may take; the user may set it; 0: half of the disk */
    bool known; /* there was a look */
    bool looking; /* a worker is at it */
    struct perform_room_look look;
    struct ts_mono now; /* of the last turn */
    struct ts_mono look_at;
    uint64_t judged_at; /* perform.applied_bytes then */
    uint64_t use;       /* as last judged, … */
    uint64_t free;      /* … and what the file system has left */
    enum disk_room own;
    uint64_t told; /* bit = NIC: it has said … */
    struct {
        enum disk_room room;  /* … this, … */
        struct ts_mono until; /* … which holds until then */
    } peer[TS_NODES_MAX + 1];
};

struct perform_scrub_job;

/* perform_scrub.c */
struct perform_scrub {
    uint64_t period_ns;            /* between two passes; the user may set it, … */
    uint64_t pause_ns;             /* … and this, between two steps */
    bool runs;                     /* a worker is at it */
    struct perform_scrub_job *job; /* the pass under way */
    struct ts_mono now;            /* of the last turn */
    struct ts_mono next_at;
    bool again;         /* a new pass is wanted at once */
    bool damaged;       /* the last pass found something */
    uint64_t found;     /* in this pass, or the last one, … */
    uint64_t found_all; /* … and in all */
    uint64_t passes;
    uint64_t bytes;      /* of the last one */
    struct ts_seq renew; /* snapshots behind this are wanted; 0: they are not */
    struct snapshot_broken broken;
};

/* perform_repair.c */
struct perform_repair {
    bool wanted; /* the journal is damaged here: … */
    struct journal_flaw flaw;
    bool writing;   /* … the journal is at it */
    bool own_tried; /* … it cannot be mended without a peer */
    bool gave_up;   /* … nor with those that were asked */
    uint64_t asked; /* peers that were asked */
    struct ts_mono ask_at;
    struct ts_nic_id from; /* asked last */
    uint64_t mended;       /* in all */
    uint64_t giving;       /* bit = NIC: what it asked for is being read */
};

struct perform_replica {
    struct perform perform;
    const struct perform_ops *ops;
    bool started; /* START was fed: the start is registered, and the disk remembers that */
    bool ended;   /* perform_close was called: nothing is fed any more */

    /* perform_disk.c */
    struct journal *journal;        /* borrowed */
    struct ts_epoch floor;          /* as the journal's record had it at the start, … */
    struct ts_incarnation replaces; /* … and this */
    bool kept;                      /* the state was kept for people (R5.2), … */
    bool judged;                    /* … and compared with what a replay gives */
    bool told_replaced;             /* the user heard that the disk is out for good */
    bool disk_failed;               /* the next turn ends the replica */
    bool unreadable;                /* … as does, when it cannot be mended, … */
                                    /* … the first one in which another could take over */
    struct perform_refused_fetch refused[TS_MEMBERS_MAX];

    /* perform_snapshot.c */
    struct perform_snapshot snapshot;
    struct perform_transfer transfer;

    /* perform_room.c */
    struct perform_room room;

    /* perform_scrub.c */
    struct perform_scrub scrub;

    /* perform_repair.c */
    struct perform_repair repair;

    /* perform_register.c */
    struct start registration;
    struct proposer proposer;
    uint64_t op;       /* the core's number of the running operation */
    bool start_counts; /* the start is registered with voters whose disks count; … */
    bool start_waits;  /* … until it is, what the register has told first is kept back */
    struct ts_epoch voters_told; /* the core knows what to do about the voters in this epoch, … */
    struct cfg_voters voters_next; /* … this, … */
    bool voters_step, voters_ask;  /* … or that */

    /* perform_service.c */
    const struct svc *svc; /* borrowed, with its state */
    void *state;
    struct svc_out out;       /* of the newest entry; the user sets `max` and frees it */
    struct ts_seq tick_seq;   /* the newest ordered TICK; one at a time */
    struct ts_mono own_after; /* an own entry that found the window full is tried again then */
    struct ts_mono checkpoint_at;
    struct ts_seq checkpoint_seq; /* the newest ordered CHECKPOINT */
};

/* ---- perform_replica.c --------------------------------------------------------------- */

/* Begins anew; no read for a learner may be under way from before, since its end would be taken for
 * one of now (a daemon opens once; the simulator ends the journal with the process). All pointers
 * are borrowed until perform_close. The user then sets `svc`, `state` and `out.max`. */
void perform_open(struct perform_replica *r, struct repl *core, const struct perform_table *table,
                  const struct perform_ops *ops, void *ctx);
/* Nothing is fed from now on, whatever is still told. */
void perform_close(struct perform_replica *r);
/* Everything that is due. Without its journal a replica can neither order nor acknowledge, yet its
 * links would go on answering: it would pass for alive, and the other one would wait for it for
 * ever. So it ends, and its end is the word that lets the other one go on. `early`: also what is
 * not yet due. The service's turn is a call of its own. */
void perform_turn(struct perform_replica *r, struct ts_mono now, bool early);
/* When the next turn is due; the service's is not in it. */
struct ts_mono perform_deadline(const struct perform_replica *r);

/* Whether a frame of a peer is for what is around the core, and such a frame: one that is malformed
 * is left alone, and says so. */
bool perform_takes_frame(uint8_t type);
enum ts_err perform_frame(struct perform_replica *r, struct ts_nic_id peer, uint8_t type,
                          struct ts_bytes frame, struct ts_mono now) TS_MUST_USE;

/* ---- perform_disk.c ------------------------------------------------------------------ */

/* For journal_open: a batch that was found. False when it does not fit the log before it, or the
 * log window. */
bool perform_disk_replay(struct perform_replica *r, const struct journal_batch *batch,
                         struct ts_seq commit) TS_MUST_USE;
/* The journal is open. What replica_record_decode says of its record. */
enum ts_err perform_disk_opened(struct perform_replica *r, struct journal *journal) TS_MUST_USE;

/* For perform_table. */
void perform_disk_append(struct perform_replica *r, const struct repl_batch *batch,
                         struct ts_hash hash, struct ts_seq committed);
void perform_disk_truncate(struct perform_replica *r, struct repl_pos end);
void perform_disk_floor(struct perform_replica *r, struct ts_epoch floor);
void perform_disk_fetch(struct perform_replica *r, struct ts_nic_id peer, struct ts_seq after,
                        size_t bytes_max);
/* A read that cannot begin: it is answered by the next turn, since within a step of the core it
 * cannot be. */
void perform_disk_fetch_refused(struct perform_replica *r, struct ts_nic_id peer,
                                struct ts_seq after, enum ts_err err);

/* For journal_callbacks; `arg` is the struct perform_replica. */
void perform_disk_persisted(void *arg, struct ts_seq seq);
void perform_disk_truncated(void *arg, struct ts_seq after);
void perform_disk_record_persisted(void *arg, uint64_t token);
void perform_disk_failed(void *arg, enum ts_err err, const char *text);
void perform_disk_repaired(void *arg, bool mended); /* perform_repair.c */

/* Parts of a turn. */
/* A journal that cannot be read any more fails when another replica could take over. */
void perform_disk_look(struct perform_replica *r);
void perform_disk_confirm(struct perform_replica *r);
void perform_disk_answer_refused(struct perform_replica *r);

/* ---- perform_snapshot.c -------------------------------------------------------------- */

/* For journal_open, as its `begin`: loads the newest whole snapshot into the fresh state, and has
 * the core begin behind it. A replica without one begins with an empty state and entry 1. */
enum ts_err perform_snapshot_load(struct perform_replica *r, const char *dir,
                                  const struct journal_info *info, struct journal_start *from,
                                  struct ts_why *why) TS_MUST_USE;
/* Begins a snapshot that is due, or hands its next piece to a worker: a few hundred kilobytes a
 * turn at most, and never while the worker has one in hand. */
void perform_snapshot_turn(struct perform_replica *r, struct ts_mono now);
struct ts_mono perform_snapshot_deadline(const struct perform_replica *r);
/* No snapshot is under way from now on; false: a worker has one in hand still. */
bool perform_snapshot_stop(struct perform_replica *r);
/* Ends the walk; the state may be destroyed then. */
void perform_snapshot_close(struct perform_replica *r);

/* ---- perform_divergence.c ------------------------------------------------------------ */

/* The core has ended to replay its log: keeps what is there, and has the replica started again. */
void perform_divergence_keep(struct perform_replica *r);
/* After the replay: whether this replica was the culprit. */
void perform_divergence_judge(struct perform_replica *r);

/* ---- perform_transfer.c -------------------------------------------------------------- */

/* What this peer needs is in a snapshot only: it may have that. */
void perform_transfer_offer(struct perform_replica *r, struct ts_nic_id peer);
/* A learner asks for the next piece, when it is due. */
void perform_transfer_turn(struct perform_replica *r, struct ts_mono now);
struct ts_mono perform_transfer_deadline(const struct perform_replica *r);
/* A frame of these types (transfer_msg_is). One that is malformed is left alone: what
 * transfer_msg_decode says of it. */
enum ts_err perform_transfer_frame(struct perform_replica *r, struct ts_nic_id peer, uint8_t type,
                                   struct ts_bytes frame) TS_MUST_USE;

/* ---- perform_room.c ------------------------------------------------------------------ */

/* Looks at the disk now and then. */
void perform_room_turn(struct perform_replica *r, struct ts_mono now);
struct ts_mono perform_room_deadline(const struct perform_replica *r);
/* What the group's journals and snapshots may take here, bytes. */
uint64_t perform_room_limit(const struct perform_replica *r);
/* The least that this replica has, and those that it requires as primary; *whose is 0 when it is
 * its own. */
enum disk_room perform_room(const struct perform_replica *r, struct ts_nic_id *whose);
/* Whether a client's write may be ordered; `grows`: one that may make the state longer. */
bool perform_room_takes(const struct perform_replica *r, bool grows);
/* Whether so many bytes of another replica's snapshot fit into the file system beside what is to
 * have room there; false: `why` says what is short. */
bool perform_room_fits(const struct perform_replica *r, uint64_t bytes, struct ts_why *why);
/* A frame of these types (disk_msg_is). What disk_msg_decode says of it. */
enum ts_err perform_room_frame(struct perform_replica *r, struct ts_nic_id peer, uint8_t type,
                               struct ts_bytes frame, struct ts_mono now) TS_MUST_USE;

/* ---- perform_scrub.c ----------------------------------------------------------------- */

void perform_scrub_open(struct perform_replica *r);
void perform_scrub_close(struct perform_replica *r);
/* Somebody came upon damage: a pass begins as soon as may be. */
void perform_scrub_again(struct perform_replica *r);
void perform_scrub_turn(struct perform_replica *r, struct ts_mono now);
struct ts_mono perform_scrub_deadline(const struct perform_replica *r);

/* ---- perform_repair.c ---------------------------------------------------------------- */

/* The journal is damaged there. */
void perform_repair_found(struct perform_replica *r, const struct journal_flaw *flaw);
/* Whether the damage that was found last stays: whoever is connected was asked. */
bool perform_repair_is_hopeless(const struct perform_replica *r);
/* Asks the next peer, when it is time to. */
void perform_repair_turn(struct perform_replica *r, struct ts_mono now);
struct ts_mono perform_repair_deadline(const struct perform_replica *r);
/* ASK or GIVE. */
void perform_repair_message(struct perform_replica *r, struct ts_nic_id peer,
                            const struct disk_msg *m);

/* ---- perform_register.c -------------------------------------------------------------- */

/* Begins the registration of this start. The instance in `proposer` is the core's. */
void perform_register_open(struct perform_replica *r, const struct start_config *start,
                           const struct proposer_config *proposer, struct ts_mono now);
/* For perform_table. */
void perform_register_op(struct perform_replica *r, enum repl_effect_kind kind, uint64_t op,
                         struct ts_epoch expected, const struct cfg_config *config,
                         struct ts_mono now);
/* The link to a voter is up, or down. */
void perform_register_voter(struct perform_replica *r, uint8_t voter, bool up,
                            struct ts_incarnation disk, struct ts_mono now);
/* A frame of a voter. One that is malformed is left alone: what reg_msg_decode says of it. */
enum ts_err perform_register_frame(struct perform_replica *r, uint8_t voter, uint8_t type,
                                   struct ts_bytes payload, struct ts_mono now) TS_MUST_USE;
void perform_register_tick(struct perform_replica *r, struct ts_mono now, bool early);
struct ts_mono perform_register_deadline(const struct perform_replica *r);

/* ---- perform_service.c --------------------------------------------------------------- */

/* For perform_table. */
void perform_service_expect(struct perform_replica *r, const struct svc_entry *entries,
                            size_t count);
/* For perform_table: every committed entry goes to the service, also those without a client, since
 * time moves with each (R2.2). */
struct ts_hash perform_service_apply(struct perform_replica *r, const struct svc_entry *entry,
                                     struct ts_epoch epoch, bool release);
/* Orders requests as one batch. TS_ERR_BUSY: the window is full; TS_ERR_REFUSED: not primary;
 * TS_ERR_NOSPACE: commands, for which there is no room (perform_room_takes). */
enum ts_err perform_service_order(struct perform_replica *r, const struct repl_request *requests,
                                  size_t count, struct ts_seq *first) TS_MUST_USE;
/* Orders what the primary orders by itself: TICK when something expires, CHECKPOINT for the digest
 * (R5.1). */
void perform_service_turn(struct perform_replica *r, struct ts_mono now);
struct ts_mono perform_service_deadline(const struct perform_replica *r, struct ts_mono now);
/* Own entries may be cut off with the log's end: nobody waits for them any more. */
void perform_service_forget(struct perform_replica *r);

#endif
