/* The inside of a voter: for voter.c, and for models that hash states. Others use voter.h. */
#ifndef CLUSTER_CFG_VOTER_STATE_H
#define CLUSTER_CFG_VOTER_STATE_H

#include "cluster-cfg/voter.h"

/* How far a disk that enrols is with the starts that it must know before this register may call it
 * rewritten. */
enum voter_copy {
    VOTER_COPY_NONE = 0,
    VOTER_COPY_WANTED,
    VOTER_COPY_BEGINS, /* it was wanted before the copy was begun that is under way */
    VOTER_COPY_DONE,
};

struct voter_slot {
    struct voter_register rec; /* ahead of the disk until persist `n` */
    uint64_t n;                /* newest persist of this record, 0 = it is as restored */
    enum voter_copy copy;
    struct cfg_voters voters; /* by the value that it was wanted for */
    bool misplaced;           /* blank, and a value lists none of the disks whose place it is for */
};

struct voter_start {
    struct reg_start rec;
    uint64_t n;
};

/* A reply that waits until persist `n` is durable. */
struct voter_held {
    uint64_t n;
    uint64_t handle;
    struct reg_msg msg;
};

struct voter {
    /* config */
    struct voter_limits limits;
    struct ts_incarnation disk; /* 0: not told (models) */
    struct reg_places places;   /* it enrols for one of these; none: it was formatted with values */

    /* volatile */
    bool ready;
    bool failed;
    struct reg_start
        own;            /* of this voter's process, once ready; without an incarnation: not told */
    bool stepped;       /* restore is over */
    uint64_t issued;    /* number of the newest persist */
    uint64_t persisted; /* all up to this one are durable */
    size_t slot_count;
    size_t start_count;
    size_t held_count; /* oldest first, `n` never falls */

    /* statistics */
    uint64_t rejected; /* messages that a peer had no right to send */

    /* slots, starts, held; see the functions below */
    _Alignas(16) unsigned char mem[];
};

static inline struct voter_slot *voter_slots(const struct voter *v)
{
    return (struct voter_slot *)(uintptr_t)v->mem;
}

static inline struct voter_start *voter_starts(const struct voter *v)
{
    return (struct voter_start *)(void *)(voter_slots(v) + v->limits.registers_max);
}

static inline struct voter_held *voter_held(const struct voter *v)
{
    return (struct voter_held *)(void *)(voter_starts(v) + v->limits.starts_max);
}

#endif
