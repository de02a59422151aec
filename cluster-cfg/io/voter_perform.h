/* A voter around its cores: one file, shared by cluster-cfgd and the simulator, for all that
 * follows from what comes in, what the disk tells, and the registration of the voter's own start.
 *
 * Order (R1.3, R1.8): a reply leaves only after the core was told that its record is durable;
 * PREPARE and ACCEPT are answered only after this start is registered at a majority and the disk
 * remembers that.
 *
 * A disk that was formatted for the place of a lost one (adr/0029) copies what the other voters
 * know of starts when a register is about to count it: one start a message, from each voter in
 * turn.
 *
 * No I/O and no clock: disk, links and people are behind voter_perform_ops, `now` is given. Not
 * re-entrant: the functions of the table call none of these. The user owns the struct and its core,
 * and ticks at voter_perform_deadline. */
#ifndef CLUSTER_CFG_IO_VOTER_PERFORM_H
#define CLUSTER_CFG_IO_VOTER_PERFORM_H

#include "cluster-cfg/start.h"
#include "cluster-cfg/voter.h"

/* Longest record of the disk, bytes: the table of all start registrations. */
#define VOTER_PERFORM_BYTES_MAX (128U * 1024U)

/* What the shell, or the simulator, does for the voter; `ctx` is voter_perform.ctx. */
struct voter_perform_ops {
    /* Replaces a record on the disk, of a register or all starts (VOTER_STORE_STARTS);
     * voter_perform_persisted tells when it is durable, in the order of the calls. `record` is what
     * the core gave. An error: this disk takes no more writes. */
    enum ts_err (*write)(void *ctx, const struct voter_record *record, uint32_t id,
                         struct ts_bytes bytes);
    /* Remembers the start as registered; voter_perform_confirmed tells when that is durable. */
    enum ts_err (*confirm_start)(void *ctx);
    /* To a proposer, or to another voter. It may be lost: who asked asks again on its next link. */
    void (*reply)(void *ctx, uint64_t handle, const struct reg_msg *msg);
    void (*send)(void *ctx, uint8_t voter, const struct reg_msg *msg);
    /* Voter `by` knows of a later start of this disk (R1.8): marks it refused. */
    void (*refused)(void *ctx, uint8_t by, uint64_t registered);
    /* For people: it votes from now on; it does not any more. */
    void (*ready)(void *ctx);
    void (*failed)(void *ctx, const char *text);
    void (*trace)(void *ctx, const struct ts_trace *t);
};

/* A copy of the other voters' starts. */
struct voter_copy_run {
    uint64_t session; /* 0: none is under way */
    struct ts_mono ask_at;
    uint16_t next[TS_VOTERS_MAX]; /* which start each is asked for */
    bool waits[TS_VOTERS_MAX];    /* it is asked when the disk has written what it told */
    bool told[TS_VOTERS_MAX];     /* all that it knows */
};

struct voter_perform {
    const struct voter_perform_ops *ops;
    void *ctx;
    struct voter *core;  /* borrowed */
    struct start start;  /* of the voter's own start */
    uint64_t issued;     /* how many records the core gave, … */
    uint64_t persisted;  /* … and how many of them are durable */
    bool persist_failed; /* a write was refused within a step */
    bool refused;        /* its disk is a clone or an old image: final */
    bool stepping;
    uint64_t sessions;
    struct voter_copy_run copy;
    size_t starts_count; /* the start registrations as the disk has them, or will */
    struct reg_start starts[VOTER_STARTS_MAX];
    struct voter_effects effects;
    uint8_t bytes[VOTER_PERFORM_BYTES_MAX]; /* scratch: one record being written */
};

/* Begins anew with an empty core. */
void voter_perform_open(struct voter_perform *v, struct voter *core,
                        const struct voter_perform_ops *ops, void *ctx);
/* Fills the core with what the disk holds. TS_ERR_CORRUPT: another register's record, or what
 * voter_record_decode, voter_starts_decode and voter_restore say. */
enum ts_err voter_perform_restore_starts(struct voter_perform *v,
                                         struct ts_bytes bytes) TS_MUST_USE;
enum ts_err voter_perform_restore(struct voter_perform *v, uint32_t id,
                                  struct ts_bytes bytes) TS_MUST_USE;
/* A register that there ought to be: an alarm when it was not restored (R1.6). */
enum ts_err voter_perform_list(struct voter_perform *v, uint32_t id) TS_MUST_USE;
/* After all that: voter_set_disk. */
void voter_perform_set_disk(struct voter_perform *v, struct ts_incarnation disk,
                            const struct reg_places *places);
/* Begins the registration of this start. */
void voter_perform_begin(struct voter_perform *v, const struct start_config *start,
                         struct ts_mono now);

/* A proposer's frame, or another voter's; `handle` is for the reply. One that is malformed is left
 * alone: what reg_msg_decode says of it. */
enum ts_err voter_perform_request(struct voter_perform *v, struct ts_nic_id from, uint64_t handle,
                                  uint8_t type, struct ts_bytes payload,
                                  struct ts_mono now) TS_MUST_USE;
/* The link to another voter is up, or down; a frame on it. The own voter needs no link: it
 * confirmed by raising its start number. */
void voter_perform_voter(struct voter_perform *v, uint8_t voter, bool up,
                         struct ts_incarnation disk, struct ts_mono now);
enum ts_err voter_perform_frame(struct voter_perform *v, uint8_t voter, uint8_t type,
                                struct ts_bytes payload, struct ts_mono now) TS_MUST_USE;
void voter_perform_tick(struct voter_perform *v, struct ts_mono now);
struct ts_mono voter_perform_deadline(const struct voter_perform *v);

/* What the disk tells. */
void voter_perform_persisted(struct voter_perform *v, struct ts_mono now);
void voter_perform_confirmed(struct voter_perform *v, struct ts_mono now);
void voter_perform_disk_failed(struct voter_perform *v, const char *text, struct ts_mono now);

#endif
