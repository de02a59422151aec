/* A replica's disk: the shipped journal on a volume, and what that told. */
#ifndef TESTS_SIM_SIM_DISK_H
#define TESTS_SIM_SIM_DISK_H

#include "base/ids.h"
#include "replicator/repl.h"
#include "tests/sim/sim_event.h"
#include "tests/sim/sim_files.h"

struct journal;
struct journal_callbacks;
struct journal_info;
struct journal_start;
struct net_work;
struct snapshot_info;
struct snapshot_trailer;
struct ts_why;
struct sim_replica;
struct sim_fault;
struct sim_worker;

/* Of a disk (R1.8, adr/0010): raised when the last one is known at a majority. */
struct sim_start {
    uint64_t number;
    struct ts_instance instance;
    bool confirmed;
};

/* The end of a batch. */
struct sim_batch {
    struct ts_seq last;
    struct ts_hash hash; /* of the chain through it */
};

/* What a journal was given, and what it told. */
struct sim_told {
    struct ts_seq seq; /* told to be durable, and not cut off since */
    struct ts_hash hash;
    struct ts_epoch floor; /* told to be durable */
    struct sim_batch *log; /* as appended, or found */
    size_t log_count;
    size_t log_cap;
    struct ts_seq snapshot; /* told to be durable, up to here */
    uint64_t *known;        /* the hashes of all batches that were ever appended here */
    size_t known_count;
    size_t known_cap;
};

/* A snapshot that was begun after the process had another result than it should. */
struct sim_flipped {
    struct ts_seq snapshot;
    uint64_t at;
    int by;
};
#define SIM_FLIPPED_MAX 16

struct sim_disk {
    struct ts_incarnation incarnation;
    struct sim_volume volume;
    struct sim_volume kept; /* an old image, for a rollback */
    struct sim_start kept_start;
    bool has_kept;
    /* the process */
    struct journal *journal; /* NULL: not open */
    struct sim_worker *worker;
    struct sim_start start; /* as found at open, and confirmed since */
    struct ts_epoch floor;  /* as found at open */
    bool turn_runs;         /* the writing thread has something in hand */
    uint64_t turns;         /* that were planned or carried out: the newest one's number */
    bool thread;            /* a thread of the journal runs, not the loop */
    bool idle_planned;
    uint64_t idle_at;
    bool deliver; /* the loop is to hear of completions */
    bool busy;    /* within the journal's code: it is freed later */
    bool ending;  /* what the process had in hand is carried out in part */
    bool ended;   /* … and it is gone */
    struct sim_told told;
    struct ts_seq loaded;                        /* the snapshot of this start; 0: none */
    struct sim_flipped flipped[SIM_FLIPPED_MAX]; /* ring */
    uint64_t flipped_next;
    /* sim_room.c */
    uint32_t segment_bytes;
    uint64_t looks; /* at its room */
    uint64_t tight; /* the last one that found hardly any, counted from 1; 0 = none has */
    uint64_t over;  /* there is none since this window began, or this one; 0 = there is some, … */
    uint64_t over_looks; /* … and it had looked so often then */
    /* sim_scrub.c */
    uint64_t scrub_at;     /* a pass of this process began, … */
    uint64_t scrub_before; /* … and the one before; 0 = there was none */
    /* sim_snapshot.c */
    struct ts_seq could_drop;  /* of its journal, when the snapshot under way began */
    struct ts_seq told_broken; /* the snapshot that was found to be damaged last */
    /* faults */
    bool old;       /* an old image lies there */
    bool contested; /* a voter may know a copy by the number of this start */
    bool lost;      /* refused from now on, or on its way to that */
    bool out;       /* another was enrolled in its place, and it was told so */
    bool told_bad;  /* the process was told that its journal cannot be read any more, … */
    bool asked;     /* … and has asked another replica since for what is damaged */
    bool full_to_write;
    struct ts_seq segment_after;    /* the entry that the present segment follows; 0 = not known */
    bool switched;                  /* the last turn went on to the next segment */
    const struct sim_fault *at_cut; /* the end of the process waits for a truncation */
    const struct sim_fault *at_switch; /* damage that waits for the turn after that */
    const struct sim_fault *at_fetch;  /* damage to what is read for a learner */
    const struct sim_fault *crash;     /* of the volume's planned end of the process */
    uint64_t slow;                     /* times slower */
    uint64_t stalled_until;
    uint64_t full_until;
};

/* ---- sim_told.c -------------------------------------------------------------------------- */

/* A batch was appended, or found. */
void sim_told_add(struct sim_told *t, struct ts_seq last, struct ts_hash hash);
/* Everything after `after` is on its way to be cut off. */
void sim_told_cut(struct sim_told *t, struct ts_seq after, struct ts_hash hash);
/* The hash of the log through `seq`; false when no batch ends there. */
bool sim_told_hash(const struct sim_told *t, struct ts_seq seq, struct ts_hash *hash);
/* A batch was handed to the journal: it may be found from now on. */
void sim_told_know(struct sim_told *t, struct ts_hash hash);
bool sim_told_knows(const struct sim_told *t, struct ts_hash hash);
void sim_told_free(struct sim_told *t);

/* ---- sim_disk_turn.c --------------------------------------------------------------------- */

void sim_disk_event(struct sim *s, struct sim_event *ev);
/* A worker thread of the process does this. */
void sim_disk_work(struct sim *s, int node, struct net_work *w);
/* What was in hand is carried out in part. */
void sim_disk_process_ended(struct sim *s, int node);
enum sim_full sim_disk_full(const struct sim *s, const struct sim_disk *d);
/* The process was to be killed at an operation on its files, and came to it. */
bool sim_disk_killed(struct sim *s, int node);

/* ---- sim_snapshot.c ---------------------------------------------------------------------- */

/* For journal_open. */
enum ts_err sim_snapshot_load(void *arg, const char *dir, const struct journal_info *info,
                              struct journal_start *from, struct ts_why *why);
/* An entry was applied: the state is compared where another replica's snapshot stands. */
void sim_snapshot_passed(struct sim *s, int node, struct ts_seq seq);
/* After the start: the newest snapshot that was told to be durable is there. */
void sim_snapshot_check_found(struct sim *s, int node);
/* For perform_ops. */
void sim_snapshot_begins(void *ctx, const struct repl_mark *mark);
void sim_snapshot_taken(void *ctx, const struct repl_mark *mark, const struct snapshot_trailer *t);
void sim_snapshot_failed(void *ctx, enum ts_err err, const char *text);
void sim_transfer_failed(void *ctx, struct ts_nic_id from, enum ts_err err, const char *text);
void sim_snapshot_broken(void *ctx, const char *text);
void sim_snapshot_loaded(void *ctx, const struct snapshot_info *info);
void sim_snapshot_installed(void *ctx, struct ts_seq seq);

/* ---- sim_room.c -------------------------------------------------------------------------- */

/* Whether others have taken all that the file system had left. */
bool sim_room_is_tight(const struct sim *s, int node);
/* The replica looks at what there is. */
void sim_room_looked(struct sim *s, int node);
/* Whether the replica may go by a look that found hardly any room. */
bool sim_room_was_tight(const struct sim_disk *d);
void sim_room_watch(struct sim *s, int node);
/* It has ordered what may make its state longer. */
void sim_room_check_takes(struct sim *s, int node);

/* ---- sim_scrub.c ------------------------------------------------------------------------- */

/* For perform_ops. */
void sim_scrub_begins(void *ctx);
void sim_scrub_found(void *ctx, const char *text);
void sim_scrub_ended(void *ctx);
void sim_scrub_repaired(void *ctx);
/* A name is about to be removed. */
void sim_scrub_removes(const struct sim_volume *v, const char *name);

/* ---- sim_disk.c, sim_disk_start.c ---------------------------------------------------------- */

/* The path of a volume: kind 'r' for a replica's, 'v' for a voter's. */
void sim_disk_dir(char out[8], int node, char kind);
/* A new disk, for the place of `replaces` or, at the formation, of none. */
void sim_disk_format(struct sim *s, int node, struct ts_incarnation incarnation,
                     struct ts_incarnation replaces);
/* Of this run's journals. */
uint32_t sim_disk_segment_bytes(const struct sim *s);
/* What the journal tells. */
struct journal_callbacks sim_disk_callbacks(struct sim_replica *r);
/* Opens the journal and replays it to the core: false when it is refused, or the process has ended
 * meanwhile. */
bool sim_disk_open(struct sim *s, int node);
void sim_disk_append(struct sim *s, int node, const struct repl_batch *b, struct ts_hash hash,
                     struct ts_seq committed);
void sim_disk_truncate(struct sim *s, int node, struct repl_pos end);
void sim_disk_refuse(struct sim *s, int node, const char *reason);
void sim_disk_fetch(struct sim *s, int node, int peer, struct ts_seq after, size_t bytes_max);
void sim_disk_power_lost(struct sim *s, int node);
void sim_disk_keep_image(struct sim *s, int node);
void sim_disk_put_image(struct sim *s, int node);
void sim_disk_blank(struct sim *s, int node);
/* Neither lost nor damaged in a way that shows only later. */
bool sim_disk_good(const struct sim_disk *d);
void sim_disk_free(struct sim *s, int node);
/* The same for one that is not in use. */
void sim_disk_drop(struct sim_disk *d);

#endif
