/* What a seed stands for: a cluster, its scales, and the schedule of its faults.
 *
 * Swarm testing: each seed draws which kinds of faults there are at all, and how often. A plan is
 * explicit: a fault that is left out leaves the others where they are, so that a failing plan
 * can be made shorter.
 * Source: A. Groce et al., "Swarm Testing", ISSTA 2012. */
#ifndef TESTS_SIM_SIM_PLAN_H
#define TESTS_SIM_SIM_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_NODES_MAX 5
#define SIM_NICS_MAX 3
#define SIM_PATHS 2
#define SIM_CLIENTS_MAX 8
#define SIM_FAULTS_MAX 400

/* X(symbol, name, weight) */
#define SIM_FAULT_LIST(X) \
    X(SIM_FAULT_KILL_REPLICA, "kill-replica", 6) \
    X(SIM_FAULT_KILL_CFGD, "kill-cluster-cfgd", 3) \
    X(SIM_FAULT_KILL_HEARTBEATD, "kill-heartbeatd", 2) \
    X(SIM_FAULT_KILL_NICD, "kill-nicd", 2) \
    X(SIM_FAULT_STOP, "orderly-stop", 2) \
    X(SIM_FAULT_CRASH_POINT, "crash-at-effect", 8) \
    X(SIM_FAULT_CRASH_POINT_VOTER, "crash-voter-at-effect", 4) \
    X(SIM_FAULT_CRASH_POINT_HEART, "crash-heartbeatd-at-effect", 2) \
    X(SIM_FAULT_CRASH_OPERATION, "crash-at-file-operation", 6) \
    X(SIM_FAULT_CRASH_OPERATION_VOTER, "crash-voter-at-file-operation", 3) \
    X(SIM_FAULT_PAUSE_POINT, "pause-at-effect", 4) \
    X(SIM_FAULT_POWER_NODE, "power-loss-node", 5) \
    X(SIM_FAULT_POWER_ALL, "power-loss-all", 3) \
    X(SIM_FAULT_PAUSE_PROCESS, "pause-process", 5) \
    X(SIM_FAULT_BUSY, "busy-cpu", 3) \
    X(SIM_FAULT_PAUSE_NODE, "pause-node", 4) \
    X(SIM_FAULT_CUT, "cut", 6) \
    X(SIM_FAULT_CUT_ONE_WAY, "cut-one-way", 5) \
    X(SIM_FAULT_ISOLATE, "isolate-node", 5) \
    X(SIM_FAULT_MOMENT, "at-a-moment", 40) \
    X(SIM_FAULT_FLAP, "flap", 3) \
    X(SIM_FAULT_BAD_PATH, "bad-path", 5) \
    X(SIM_FAULT_SLOW_PATH, "slow-path", 2) \
    X(SIM_FAULT_RESET_LINK, "reset-link", 4) \
    X(SIM_FAULT_LATE_REGISTER, "late-register-messages", 4) \
    X(SIM_FAULT_SLOW_DISK, "slow-disk", 3) \
    X(SIM_FAULT_STALL_DISK, "stall-disk", 4) \
    X(SIM_FAULT_STALL_VOTER, "stall-voter-disk", 3) \
    X(SIM_FAULT_SLOW_VOTER, "slow-voter-disk", 2) \
    X(SIM_FAULT_FULL_VOTER, "full-voter-disk", 2) \
    X(SIM_FAULT_FULL_DISK, "full-disk", 2) \
    X(SIM_FAULT_FSYNC_ERROR, "fsync-error", 1) \
    X(SIM_FAULT_CORRUPT, "corrupt-sectors", 2) \
    X(SIM_FAULT_LOST_WRITE, "lost-write", 2) \
    X(SIM_FAULT_MISDIRECTED, "misdirected-write", 2) \
    X(SIM_FAULT_BLANK_DISK, "blank-disk", 1) \
    X(SIM_FAULT_OLD_DISK, "old-disk-image", 2) \
    X(SIM_FAULT_CLONE, "cloned-disk", 2) \
    X(SIM_FAULT_CLONE_VOTER, "cloned-voter-disk", 2) \
    X(SIM_FAULT_CLONE_OTHER, "disk-of-another", 2) \
    X(SIM_FAULT_VOTER_CORRUPT, "voter-corrupt-sector", 2) \
    X(SIM_FAULT_VOTER_LOST_WRITE, "voter-lost-write", 2) \
    X(SIM_FAULT_VOTER_MISDIRECTED, "voter-misdirected-write", 2) \
    X(SIM_FAULT_VOTER_FSYNC, "voter-fsync-error", 3) \
    X(SIM_FAULT_VOTER_BLANK, "voter-blank-disk", 1) \
    X(SIM_FAULT_VOTER_OLD, "voter-old-image", 1) \
    X(SIM_FAULT_OLD_TOGETHER, "old-images-together", 3) \
    X(SIM_FAULT_EVIDENCE, "random-evidence", 6) \
    X(SIM_FAULT_LIE, "false-config", 3) \
    X(SIM_FAULT_WALL_CLOCK, "wall-clock-jump", 2) \
    X(SIM_FAULT_GARBAGE, "garbage-messages", 2) \
    X(SIM_FAULT_STRAY, "stray-messages", 4) \
    X(SIM_FAULT_FALSE, "false-claims", 1) \
    X(SIM_FAULT_LONG, "long-entries", 1) \
    X(SIM_FAULT_OTHER_RESULT, "other-result", 2) \
    X(SIM_FAULT_HANDOFF, "planned-handoff", 3) \
    X(SIM_FAULT_REPLACE, "disk-replaced", 0) \
    X(SIM_FAULT_REPLACE_VOTER, "voter-disk-replaced", 0) \
    X(SIM_FAULT_ONE, "one-at-a-time", 0)

/* What happens in a run that has one fault at a time (sim_available.c): to whom, and what the
 * clients wait for. X(symbol, name, wait) */
#define SIM_ONE_LIST(X) \
    X(SIM_ONE_PRIMARY_KILLED, "primary killed", EVIDENCE) \
    X(SIM_ONE_PRIMARY_DOWN, "primary's process down", EVIDENCE) \
    X(SIM_ONE_PRIMARY_PAUSED, "primary's process stopped", TAKEOVER) \
    X(SIM_ONE_PRIMARY_HOST_PAUSED, "primary's host stopped", TAKEOVER) \
    X(SIM_ONE_PRIMARY_CUT, "primary's NIC cut off", TAKEOVER) \
    X(SIM_ONE_PRIMARY_OFF, "primary's host off", TAKEOVER) \
    X(SIM_ONE_PRIMARY_FULL, "primary's disk full", EVIDENCE) \
    X(SIM_ONE_PRIMARY_STALLED, "primary's disk hangs", ABDICATION) \
    X(SIM_ONE_PRIMARY_DISK, "primary's disk failed", EVIDENCE) \
    X(SIM_ONE_HANDOFF, "the operator hands over", HANDOFF) \
    X(SIM_ONE_PARTED, "primary and secondary parted", TAKEOVER) \
    X(SIM_ONE_SECONDARY_KILLED, "secondary killed", EVIDENCE) \
    X(SIM_ONE_SECONDARY_DOWN, "secondary's process down", EVIDENCE) \
    X(SIM_ONE_SECONDARY_PAUSED, "secondary's process stopped", REMOVAL) \
    X(SIM_ONE_SECONDARY_HOST_PAUSED, "secondary's host stopped", REMOVAL) \
    X(SIM_ONE_SECONDARY_CUT, "secondary's NIC cut off", REMOVAL) \
    X(SIM_ONE_SECONDARY_STALLED, "secondary's disk hangs", PATIENCE) \
    X(SIM_ONE_SECONDARY_OFF, "secondary's host off", REMOVAL) \
    X(SIM_ONE_PATH, "a path cut", PATH) \
    X(SIM_ONE_ARBITER_OFF, "arbiter off", NOTHING) \
    X(SIM_ONE_ARBITER_PAUSED, "arbiter stopped", NOTHING) \
    X(SIM_ONE_ARBITER_CUT, "arbiter cut off", NOTHING) \
    X(SIM_ONE_LATE, "register messages late", NOTHING)

enum sim_one {
#define SIM_ONE_ENUM(symbol, name, wait) symbol,
    SIM_ONE_LIST(SIM_ONE_ENUM)
#undef SIM_ONE_ENUM
        SIM_ONES
};

/* What a fault can wait for: the next time that a replica is there. X(symbol, name) */
#define SIM_MOMENT_LIST(X) \
    X(SIM_MOMENT_PROPOSAL, "proposes a config") \
    X(SIM_MOMENT_ACCEPTS, "asks voters to accept a config") \
    X(SIM_MOMENT_JOINING, "requires a learner") \
    X(SIM_MOMENT_REMOVAL, "removes a replica") \
    X(SIM_MOMENT_PREPARED, "has prepared") \
    X(SIM_MOMENT_SEALED, "has sealed") \
    X(SIM_MOMENT_DECIDED, "hears what became of its proposal") \
    X(SIM_MOMENT_TAIL, "commits what it found") \
    X(SIM_MOMENT_ACTIVE, "serves") \
    X(SIM_MOMENT_LEARNER, "streams to a learner") \
    X(SIM_MOMENT_CUT, "cuts its log") \
    X(SIM_MOMENT_REFUSED, "is refused") \
    X(SIM_MOMENT_READS, "asks for confirmations") \
    X(SIM_MOMENT_GIVES_UP, "gives up") \
    X(SIM_MOMENT_ASKED, "is asked to take over") \
    X(SIM_MOMENT_HANDOFF, "begins to hand over") \
    X(SIM_MOMENT_RESUMES, "serves again after it gave up")

enum sim_moment {
#define SIM_MOMENT_ENUM(symbol, name) symbol,
    SIM_MOMENT_LIST(SIM_MOMENT_ENUM)
#undef SIM_MOMENT_ENUM
        SIM_MOMENTS
};

/* What happens to that replica then. X(symbol, name) */
#define SIM_BLOW_LIST(X) \
    X(SIM_BLOW_ISOLATE, "is isolated") \
    X(SIM_BLOW_KILL, "is killed") \
    X(SIM_BLOW_CRASH, "crashes soon") \
    X(SIM_BLOW_SLOW_CRASH, "is heard late, and crashes soon") \
    X(SIM_BLOW_POWER, "loses power") \
    X(SIM_BLOW_PAUSE, "stops for a while") \
    X(SIM_BLOW_DOUBT, "is taken for lost") \
    X(SIM_BLOW_SLOW_DOUBT, "is taken for lost, and hears it late") \
    X(SIM_BLOW_DUEL, "takes another for lost as that does it, while a voter restarts") \
    X(SIM_BLOW_LATE, "waits for the voters") \
    X(SIM_BLOW_WELL, "has a disk that works again, and loses its heir") \
    X(SIM_BLOW_STRAY, "hears what nobody says")

enum sim_blow {
#define SIM_BLOW_ENUM(symbol, name) symbol,
    SIM_BLOW_LIST(SIM_BLOW_ENUM)
#undef SIM_BLOW_ENUM
        SIM_BLOWS
};

enum sim_fault_kind {
#define SIM_FAULT_ENUM(symbol, name, weight) symbol,
    SIM_FAULT_LIST(SIM_FAULT_ENUM)
#undef SIM_FAULT_ENUM
        SIM_FAULT_KINDS
};
const char *sim_fault_name(enum sim_fault_kind kind);

/* One fault; what each field means stands with its kind in sim_fault.c. */
struct sim_fault {
    uint64_t at; /* ns of virtual time */
    uint64_t lasts;
    uint64_t pause; /* instead of `lasts`, for what stands still */
    enum sim_fault_kind kind;
    uint8_t node;
    uint8_t other;
    uint8_t path; /* SIM_PATHS: all */
    uint64_t a;
    uint64_t b;
    bool off; /* left out: by the search for a shorter plan */
};

struct sim_plan {
    uint64_t seed;
    int nics;
    int arbiters;
    int arbiter_paths;
    size_t voter_held;        /* answers that a voter may hold back until they are durable */
    uint64_t failure_timeout; /* ns */
    int clients;
    uint64_t think;          /* ns, on average */
    uint64_t net_us;         /* a typical one-way delay, microseconds, between nodes, … */
    uint64_t client_us;      /* … and of clients; 0: they are where the nodes are */
    uint64_t disk_us;        /* a typical write, microseconds */
    uint64_t window;         /* batches of the log window */
    uint64_t commit_bytes;   /* applied a step, at least a batch */
    uint64_t run_bytes;      /* sent at once, at least a batch */
    uint64_t snapshot_bytes; /* of log between two snapshots */
    uint64_t disk_segments;  /* that a replica may take, snapshots counted; 0 = no limit */
    uint64_t scrub_ms;       /* between two passes through a disk */
    uint64_t sessions;       /* bit = client that has one; 0 = none */
    uint64_t session_idle_ms;
    bool disk_shared;      /* others take room of its file system, and give it back */
    uint64_t drift_ppm;    /* largest */
    uint64_t faults_until; /* ns */
    uint64_t kinds;        /* bit = enum sim_fault_kind */
    bool one;              /* one fault at a time, and otherwise: */
    uint16_t mild_loss_pm; /* all paths lose so much, */
    uint64_t mild_delay;   /* … and delay at most so much more, ns */
    size_t fault_count;
    struct sim_fault fault[SIM_FAULTS_MAX];
};

/* Kinds of faults that are no reason for a failover: all of a gentle seed are of these. */
#define SIM_GENTLE_KINDS \
    (1ULL << SIM_FAULT_RESET_LINK | 1ULL << SIM_FAULT_WALL_CLOCK | 1ULL << SIM_FAULT_KILL_CFGD | \
     1ULL << SIM_FAULT_KILL_HEARTBEATD | 1ULL << SIM_FAULT_CRASH_POINT_VOTER | \
     1ULL << SIM_FAULT_STALL_VOTER)

static inline bool sim_plan_is_gentle(const struct sim_plan *plan)
{
    return (plan->kinds & ~SIM_GENTLE_KINDS) == 0;
}

/* Draws the plan of a seed. `beyond`: disks are lost more often, and without asking. */
void sim_plan_draw(struct sim_plan *plan, uint64_t seed, bool beyond);

#endif
