/* A drill: a lab, a load, a row of faults, and what is expected of all that.
 *
 *   drill: kill-primary
 *   about: SIGKILL of the primary's replica; the other NIC takes over.
 *   topology: pair                    # that ships, or a file, from this one's folder
 *   workload: {clients: 16, keys: 8, reads: 30}
 *   timeline:
 *     - wait: 2s
 *     - {fault: kill, on: primary}    # whoever that is then
 *     - {until: redundant, within: 30s}
 *     - {fault: wire, on: nic1, to: nic2, both: true, rule: {loss: 30%, delay: 5ms}, for: 5s}
 *     - {say: handoff kv, on: nic1}   # twinstep handoff kv, in the machine of nic1
 *     - repeat: 3
 *       timeline:
 *         - {fault: freeze, on: nic1, whole: true, for: 2s}
 *         - {until: redundant, within: 30s}
 *     - random: 5                     # one of these each time, as the seed has it
 *       of:
 *         - {fault: kill, on: secondary}
 *         - {fault: kill, on: nic2, whole: true, for: 1s}
 *       until: redundant
 *       within: 30s
 *   expect: {outage: 500ms, takeovers: 4, alarms: [node-silent]}
 *
 * Nothing acknowledged lost, nothing executed twice, every answer explained by one order, and
 * one primary an epoch are expected of each drill. Pure but for reading the file. */
#ifndef LAB_DRILL_H
#define LAB_DRILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "lab/rot.h"
#include "lab/wire.h"

#define LAB_STEPS_MAX 512 /* repeats and random ones written out */
#define LAB_DRILL_ABOUT_MAX 200
#define LAB_DRILL_ALARMS_MAX 32
#define LAB_DRILL_ALARM_MAX 40
#define LAB_DRILL_WORDS_MAX 80
#define LAB_DRILL_TIMES_MAX_MS (24U * 3600U * 1000U)

/* Of the machine under a node, and of what the node shows that it is: lab/fault_host.h. */
#define LAB_DRILL_HOST_LIST(X) \
    X(LAB_DRILL_CLOCK_FORWARD, "clock-forward", "the node's wall clock jumps ahead `by`") \
    X(LAB_DRILL_CLOCK_BACK, "clock-back", "it jumps back `by`") \
    X(LAB_DRILL_CLOCK_DRIFT, "clock-drift", "it is fast by a `share` of the time") \
    X(LAB_DRILL_STARVE, "starve", \
      "a program, or with `whole` a node, has a `share` of each `period` only") \
    X(LAB_DRILL_MEMORY_FULL, "memory-full", "the same get no more memory than they have") \
    X(LAB_DRILL_CERT_EXPIRED, "certificate-expired", "the node's certificate is no longer valid") \
    X(LAB_DRILL_CERT_FOREIGN, "certificate-foreign", "it is of another authority") \
    X(LAB_DRILL_WRONG_KEY, "wrong-key", "the node starts again with another heartbeat.key")

/* X(symbol, name, what it does) */
#define LAB_DRILL_FAULT_LIST(X) \
    X(LAB_DRILL_KILL, "kill", "SIGKILL of a program, or with `whole` of a node") \
    X(LAB_DRILL_FREEZE, "freeze", "SIGSTOP of a program, or with `whole` of a node, until healed") \
    X(LAB_DRILL_WIRE, "wire", "`rule` for frames from it, and with `both` to it, until healed") \
    X(LAB_DRILL_DISK_HANG, "disk-hang", "syncs of the node's replicas wait until healed") \
    X(LAB_DRILL_DISK_SLOW, "disk-slow", "their syncs take `by` more, until healed") \
    X(LAB_DRILL_DISK_FULL, "disk-full", "their writes fail with ENOSPC until healed") \
    X(LAB_DRILL_DISK_READ_ONLY, "disk-read-only", \
      "their writes fail with EROFS, and names do not change, until healed") \
    X(LAB_DRILL_DISK_ERROR, "disk-error", \
      "their syncs fail with EIO; healed by a new disk, as disk-lost") \
    X(LAB_DRILL_DISK_LOST, "disk-lost", \
      "SIGKILL of the whole node, whose data is gone; healed by `twinstep nic replace`") \
    X(LAB_DRILL_POWER_LOSS, "power-loss", \
      "SIGKILL of the whole node, which loses what it did not sync; switched on again when " \
      "healed") \
    X(LAB_DRILL_BIT_ROT, "bit-rot", \
      "a bit of `files` is flipped, with `down` while the node is off") \
    X(LAB_DRILL_DISK_ROLLBACK, "disk-rollback", \
      "its data is that of its last `image` again; healed by its own") \
    X(LAB_DRILL_DISK_CLONE, "disk-clone", \
      "its data is a copy of that `of` another; healed as that") \
    LAB_DRILL_HOST_LIST(X)

enum lab_drill_fault {
#define LAB_DRILL_FAULT_ENUM(sym, name, about) sym,
    LAB_DRILL_FAULT_LIST(LAB_DRILL_FAULT_ENUM)
#undef LAB_DRILL_FAULT_ENUM
        LAB_DRILL_FAULTS
};

/* X(symbol, name, when it is reached) */
#define LAB_GOAL_LIST(X) \
    X(LAB_GOAL_REDUNDANT, "redundant", "all groups serve with all replicas in sync, no alarm") \
    X(LAB_GOAL_MOVED, "moved", "the group has another primary than before the last fault") \
    X(LAB_GOAL_SERVED, "served", "clients were answered since the step began") \
    X(LAB_GOAL_TOLD, "told", "clients were answered, or an alarm says why they are not") \
    X(LAB_GOAL_MENDED, "mended", "no flipped bit of this drill is on a disk any more") \
    X(LAB_GOAL_SNAPSHOTS, "snapshots", "the primary's journal goes back to a snapshot only") \
    X(LAB_GOAL_FETCHING, "fetching", "a NIC of the group has got a part of a snapshot")

enum lab_goal {
#define LAB_GOAL_ENUM(sym, name, about) sym,
    LAB_GOAL_LIST(LAB_GOAL_ENUM)
#undef LAB_GOAL_ENUM
        LAB_GOALS
};

enum lab_step_kind {
    LAB_STEP_WAIT,  /* `ms` */
    LAB_STEP_FAULT, /* healed after `ms`, 0: when a step or the end says so */
    LAB_STEP_HEAL,  /* all faults that last */
    LAB_STEP_SAY,   /* `twinstep WORDS --dir RUN` in the machine of `on` */
    LAB_STEP_UNTIL, /* `goal`, within `ms` */
    LAB_STEP_IMAGE, /* a copy of the data of `on`, for disk-rollback */
};

struct lab_step {
    enum lab_step_kind kind;
    unsigned line; /* of the file */
    uint32_t ms;
    enum lab_goal goal;
    /* of a fault */
    enum lab_drill_fault fault;
    char on[CFG_NAME_MAX];      /* a node, or "primary", "secondary", "arbiter", "struck"; "all" */
    bool host;                  /* all nodes of its host */
    char program[CFG_NAME_MAX]; /* "" = the whole node */
    char to[CFG_NAME_MAX];      /* of wire: as `on`; "" = all; of disk-clone: whose disk */
    char network[CFG_NAME_MAX]; /* "" = all */
    bool both;
    struct lab_wire_rule rule;
    uint32_t by_ms;                  /* of disk-slow */
    uint64_t jump_ms;                /* of clocks */
    uint32_t share_percent;          /* of clock-drift and starve */
    uint32_t period_ms;              /* of starve */
    enum lab_files files;            /* of bit-rot, and of disks that fail */
    bool all_copies;                 /* of a voter's file; else one of four */
    bool down;                       /* while the node is off, which it is for that */
    bool replace;                    /* healed by a blank disk */
    char words[LAB_DRILL_WORDS_MAX]; /* of LAB_STEP_SAY, separated by blanks */
};

/* Of which all processes of several nodes may be hit at once. */
#define LAB_DRILL_OF_NODES(fault) \
    ((fault) == LAB_DRILL_KILL || (fault) == LAB_DRILL_FREEZE || (fault) == LAB_DRILL_POWER_LOSS)
#define LAB_DRILL_IS_DISK(fault) ((fault) >= LAB_DRILL_DISK_HANG && (fault) <= LAB_DRILL_DISK_ERROR)

#define LAB_DRILL_IS_HOST(fault) \
    ((fault) >= LAB_DRILL_CLOCK_FORWARD && (fault) <= LAB_DRILL_WRONG_KEY)
#define LAB_DRILL_IS_CLOCK(fault) \
    ((fault) >= LAB_DRILL_CLOCK_FORWARD && (fault) <= LAB_DRILL_CLOCK_DRIFT)
/* Faults of programs, or of a whole node. */
#define LAB_DRILL_IS_OF_PROGRAMS(fault) \
    ((fault) == LAB_DRILL_KILL || (fault) == LAB_DRILL_FREEZE || (fault) == LAB_DRILL_STARVE || \
     (fault) == LAB_DRILL_MEMORY_FULL)

struct lab_drill {
    char name[CFG_NAME_MAX];
    char about[LAB_DRILL_ABOUT_MAX];
    char topology[TS_PATH_MAX]; /* a shipped one's name, or a path */
    char group[CFG_NAME_MAX];   /* whose primary is meant and whom the load asks; "" = the first */
    unsigned clients;
    unsigned keys;
    unsigned reads_percent;
    unsigned value_bytes;
    uint32_t rest_ms;  /* of a client between an answer and its next request */
    bool has_user;     /* the clients are a user of the group's, with a password */
    uint32_t lease_ms; /* `kind: leases`: for so long; 0 = keys */
    bool lossy; /* `disks: lossy`, or a power-loss: a process that ends loses what it did not sync
                 */
    uint64_t seed;  /* that the random steps were drawn with */
    uint64_t kinds; /* bit k: a fault of this kind is among the steps, or might have been drawn */
    size_t step_count;
    struct lab_step steps[LAB_STEPS_MAX];
    /* what is expected */
    uint32_t outage_ms;    /* the longest time without an answer; 0 = any */
    bool counts_takeovers; /* exactly `takeovers` */
    uint32_t takeovers;
    size_t alarm_count; /* alarms that have to be raised */
    char alarms[LAB_DRILL_ALARMS_MAX][LAB_DRILL_ALARM_MAX];
    size_t allowed_count; /* … and that may be, besides */
    char allowed[LAB_DRILL_ALARMS_MAX][LAB_DRILL_ALARM_MAX];
};

const char *lab_drill_fault_name(enum lab_drill_fault fault);
const char *lab_goal_name(enum lab_goal goal);

/* Reads and checks `text`, `file` its name in errors; a topology that is a path is taken from the
 * file's folder. `seed` draws the random steps, 0: the file's, or 1. TS_ERR_CONFIG: `why` has
 * "FILE:LINE:COLUMN: what is wrong; what to do". */
enum ts_err lab_drill_parse(const char *file, struct ts_bytes text, uint64_t seed,
                            struct lab_drill *out, struct ts_why *why) TS_MUST_USE;

#endif
