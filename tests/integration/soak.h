/* The soak: rounds of faults under load, each judged. Parts:
 *
 *   soak.c         clusters, rounds, the summary
 *   soak_options.c the command line
 *   soak_step.c    what all faults do before and after the harm
 *   soak_faults.c  one function a kind of fault: harm, what must follow, healing
 *   soak_disk.c    the same for those of disks
 *   soak_probe.c   a client that asked a primary which then froze, and its answer on waking */
#ifndef TESTS_INTEGRATION_SOAK_H
#define TESTS_INTEGRATION_SOAK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/prng.h"
#include "lab/fault.h"
#include "lab/guard.h"
#include "lab/load.h"
#include "lab/pair.h"
#include "lab/scratch.h"

/* X(symbol, name) */
#define SOAK_KIND_LIST(X) \
    X(SOAK_KILL_PRIMARY, "kill-primary") \
    X(SOAK_KILL_SECONDARY, "kill-secondary") \
    X(SOAK_KILL_PRIMARY_NIC, "kill-primary-nic") \
    X(SOAK_KILL_SECONDARY_NIC, "kill-secondary-nic") \
    X(SOAK_KILL_ARBITER, "kill-arbiter") \
    X(SOAK_FREEZE_PRIMARY, "freeze-primary") \
    X(SOAK_FREEZE_SECONDARY, "freeze-secondary") \
    X(SOAK_FREEZE_PRIMARY_NIC, "freeze-primary-nic") \
    X(SOAK_FREEZE_ARBITER, "freeze-arbiter") \
    X(SOAK_KILL_BOTH, "kill-both") \
    X(SOAK_DROP_PATH_A, "drop-path-a") \
    X(SOAK_DROP_PATH_B, "drop-path-b") \
    X(SOAK_CUT_AND_KILL, "cut-and-kill") \
    X(SOAK_HANDOFF, "handoff") \
    X(SOAK_HANDOFF_AND_KILL, "handoff-and-kill") \
    X(SOAK_HANG_DISK, "hang-disk") \
    X(SOAK_FILL_DISK, "fill-disk") \
    X(SOAK_FAIL_SYNC, "fail-sync") \
    X(SOAK_DAMAGE_JOURNAL, "damage-journal") \
    X(SOAK_DAMAGE_AND_START, "damage-and-start") \
    X(SOAK_BLANK_DISK, "blank-disk") \
    X(SOAK_KILL_IN_SNAPSHOT, "kill-in-snapshot")

enum soak_kind {
#define SOAK_KIND_ENUM(sym, name) sym,
    SOAK_KIND_LIST(SOAK_KIND_ENUM)
#undef SOAK_KIND_ENUM
        SOAK_KINDS
};

enum soak_exit {
    SOAK_EXIT_HELD = 0,
    SOAK_EXIT_BROKEN = 1, /* a promise was broken */
    SOAK_EXIT_STUCK = 2,  /* something did not follow in time, or could not be run */
    SOAK_EXIT_USAGE = 64,
};

/* What the command line says. */
struct soak_options {
    unsigned rounds;
    unsigned from; /* the rounds before it are only counted */
    unsigned failure_timeout_ms;
    unsigned faults_a_round; /* 0 = so that all kinds are met */
    uint64_t seed;
    uint32_t kinds; /* bit of enum soak_kind */
    unsigned clients;
    unsigned freeze_ms_max;
    bool plan; /* only tells which faults each round would get */
    bool expect_loss;
    bool keep;
    const char *bin;
    const char *history;     /* file for what clients asked and were told; NULL = none is written */
    const char *lost_writes; /* the library of lab/disk, NULL = a disk that keeps its word */
};

/* What one run shares. */
struct soak {
    struct lab_pair pair;
    struct lab_guard guard;    /* ends the nodes when the soak is ended */
    struct ts_prng prng;       /* of the present round */
    char dir[LAB_SCRATCH_MAX]; /* cluster N lives in dir/N */
    unsigned clusters;
    unsigned net;
    bool own_network;        /* paths can be cut */
    char order[TS_PATH_MAX]; /* tells the disks what to fail (lab/disk); "" = they cannot */
    bool settled;            /* the cluster was whole for a while behind the last fault */
    bool voter_lost; /* a disk was replaced: its voter is gone, and the cluster is used up */
    unsigned freeze_ms_max;
    unsigned settle_ms;    /* how long redundancy may take to come back */
    struct lab_load *load; /* of the present round */
    unsigned round;
    uint64_t worst_gap_ns; /* of the present round */
    unsigned probes;       /* probe keys used so far */
};

/* What one fault did; text for people. */
struct soak_fault {
    enum soak_kind kind;
    bool good;
    char text[1200];
};

/* Ends the program with SOAK_EXIT_USAGE when the command line is wrong, with 0 behind --help. */
struct soak_options soak_read_options(int argc, char **argv);

const char *soak_kind_name(enum soak_kind kind);

/* Injects, observes, heals, waits until redundancy is back and clients go on. False when
 * something that must follow did not; `out->text` says what was done or what is wrong. */
bool soak_inflict(struct soak *s, enum soak_kind kind, struct soak_fault *out);

/* A connection to the primary, opened before it freezes. -1 when it cannot be made. */
int soak_probe_open(const struct lab_pair *p, unsigned nic);
/* Sends a GET without waiting: it lies in the frozen server's kernel. */
bool soak_probe_ask(int fd, unsigned round);
/* After the thaw: false when the answer is an older value than `newest`. A closed connection, an
 * error or silence for `timeout_ms` are right. `what` gets a clause on what came. */
bool soak_probe_judge(int fd, unsigned newest, unsigned timeout_ms, char *what, size_t cap);

#endif
