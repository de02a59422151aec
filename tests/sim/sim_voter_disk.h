/* A voter's disk: the shipped store on a volume, and what that told. */
#ifndef TESTS_SIM_SIM_VOTER_DISK_H
#define TESTS_SIM_SIM_VOTER_DISK_H

#include "cluster-cfg/voter.h"
#include "tests/sim/sim_disk.h"

struct voter_store;

#define SIM_STARTS_MAX 64

struct sim_voter_image {
    struct sim_start start;
    struct voter_register reg;
    struct reg_start starts[SIM_STARTS_MAX];
    size_t start_count;
};

struct sim_voter_op {
    bool has_record; /* false: the start is confirmed */
    struct voter_record record;
};

struct sim_voter_disk {
    struct ts_incarnation incarnation;
    struct sim_volume volume;
    struct sim_volume kept_volume; /* an old image, … */
    struct sim_voter_image kept;   /* … and what it holds */
    bool has_kept;
    /* the process */
    struct voter_store *store; /* NULL: not open */
    struct sim_worker *worker;
    bool ending; /* what the process had in hand is carried out in part */
    /* what the store told */
    struct sim_voter_image durable;              /* told, or found at open */
    struct sim_voter_op ops[VOTER_HELD_MAX + 8]; /* given to it since, in order */
    size_t op_count;
    /* faults */
    const struct sim_fault *crash; /* of the volume's planned end of the process */
    uint64_t busy_until;
    uint64_t stalled_until;
    uint64_t full_until;
    uint64_t slow;                   /* times slower */
    bool old;                        /* an old image lies there */
    bool enrols;                     /* formatted blank, for the place of … */
    struct reg_places places;        /* … one of these */
    bool lost;                       /* refused from now on, or on its way to that */
    bool refused_write;              /* of this process: no memory, say */
    const struct sim_fault *refuses; /* a write is refused like that */
    bool damaged;                    /* beyond what a slot's other copy mends */
};

/* A blank disk for the place of one of `places` instead of the present one. */
void sim_voter_disk_format_blank(struct sim *s, int node, struct ts_incarnation disk,
                                 const struct reg_places *places);
/* The one that the voter of this node is formed with. */
struct ts_incarnation sim_voter_first_disk(int node);
void sim_voter_disk_format(struct sim *s, int node, const struct reg_value *value);
/* Opens the store; what it holds stands in `durable`. False when it is refused, or the process has
 * ended meanwhile. */
bool sim_voter_disk_open(struct sim *s, int node);
/* For voter_perform_ops. */
enum ts_err sim_voter_disk_write(struct sim *s, int node, const struct voter_record *r, uint32_t id,
                                 struct ts_bytes bytes) TS_MUST_USE;
enum ts_err sim_voter_disk_confirm(struct sim *s, int node) TS_MUST_USE;
void sim_voter_disk_event(struct sim *s, struct sim_event *ev);
/* When a write to the disk that begins now is done. */
uint64_t sim_voter_due(struct sim *s, int node);
void sim_voter_disk_end(struct sim *s, int node);
void sim_voter_disk_power_lost(struct sim *s, int node);
void sim_voter_disk_refuse(struct sim *s, int node);
void sim_voter_disk_keep_image(struct sim *s, int node);
void sim_voter_disk_put_image(struct sim *s, int node);
void sim_voter_disk_blank(struct sim *s, int node);
/* sim_voter_spoil.c: damages it, between two starts. False: there was nothing that could be. */
bool sim_voter_spoil(struct sim *s, int node, const struct sim_fault *f);
void sim_voter_disk_free(struct sim *s, int node);

#endif
