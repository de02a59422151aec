/* Faults: each can be injected, shown to have had its effect, and healed. One file a fault.
 *
 *   kill     SIGKILL of one process; its nicd starts it again
 *   nic      SIGKILL of all processes of a node, nicd first so that it restarts none
 *   freeze   SIGSTOP of one process or of a whole node; SIGCONT heals
 *   path     all traffic between the nodes' addresses of one path is dropped (nft, in a network
 *            namespace of the lab's own)
 *   link     the same for the links between a group's replicas, on every path
 *   wire     what lab/wire.h does to frames between a machine and others, by labd
 *   disk     writes or syncs of a node's files fail, wait or are slow (lab/disk, in the processes)
 *   power    SIGKILL of a node whose disks keep what was not synced to themselves (lab/disk)
 *   rot      bits of a node's files are flipped
 *   clone    the data of a node that is off is an older copy of itself, or another node's
 *   clock, starve, memory, papers    lab/fault_host.h
 *
 * A fault that cannot be shown to have had an effect proves nothing: observe() says so. */
#ifndef LAB_FAULT_H
#define LAB_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "lab/nodes.h"
#include "lab/rot.h"
#include "lab/wire.h"

#define LAB_DISK_ORDERS "disk.orders" /* in the run directory: LABDISK_FAIL, … */
#define LAB_DISK_DONE "disk.done"     /* … and LABDISK_DONE */
#define LAB_DISK_ORDER_MAX 128
#define LAB_FAULT_NAME_MAX (CFG_NAME_MAX + 32)

struct lab_fault;
struct lab_turns;

struct lab_fault_type {
    const char *name;
    /* Does the harm and returns when it is done. TS_ERR_NOT_FOUND: the target does not run. */
    enum ts_err (*inject)(struct lab_fault *f, struct ts_why *why);
    /* TS_OK: the effect is visible. TS_ERR_NOT_FOUND: it is not (yet). */
    enum ts_err (*observe)(struct lab_fault *f, struct ts_why *why);
    /* Undoes it; processes that nicd restarts by itself are left to it. */
    enum ts_err (*heal)(struct lab_fault *f, struct ts_why *why);
};

/* One fault; filled by lab_fault_* below, then owned by the caller. Memory is behind it only while
 * one lasts that says so. */
struct lab_fault {
    const struct lab_fault_type *type;
    const struct nodes_run *run;       /* borrowed */
    const struct cfg_cluster *cluster; /* borrowed; path and link faults only */
    char node[CFG_NAME_MAX];
    char program[NODES_PROGRAM_MAX]; /* "" = the whole node */
    char group[CFG_NAME_MAX];        /* of a replica, else "" */
    uint8_t path;                    /* path faults only */

    size_t proc_count; /* what was hit */
    struct nodes_proc procs[NODES_PROCS_MAX];
    uint64_t injected_ns; /* monotonic, just before the harm; 0 = not injected */
    uint64_t effect; /* of a path or link fault: packets dropped when last observed; of a disk's:
                        bytes that were told of calls before; of a clone's: files that differ */
    char order[LAB_DISK_ORDER_MAX]; /* disk faults only: a line for lab/disk */
    /* wire faults only: frames from `node`, … */
    char to[CFG_NAME_MAX];      /* "" = to all */
    char network[CFG_NAME_MAX]; /* "" = of all */
    bool both;                  /* the other direction, too */
    struct lab_wire_rule rule;
    /* of those of lab/fault_host.h, one each */
    struct {
        int64_t jump_ms;
        int64_t drift_ppm;
    } clock;
    struct {
        unsigned share_percent;
        unsigned period_ms;
        struct lab_turns *turns; /* owned from inject to heal */
    } starve;
    unsigned wrong_paper; /* enum lab_wrong_paper */
    struct lab_rot rot;   /* of rot only */
    /* clone only, both names below the run directory: */
    char from[LAB_FAULT_NAME_MAX];  /* whose data it gets */
    char aside[LAB_FAULT_NAME_MAX]; /* where its own is meanwhile */
};

/* `group` NULL for programs other than replica. */
void lab_fault_kill(struct lab_fault *f, const struct nodes_run *run, const char *node,
                    const char *program, const char *group);
void lab_fault_nic(struct lab_fault *f, const struct nodes_run *run, const char *node);
/* `program` NULL: the whole node. */
void lab_fault_freeze(struct lab_fault *f, const struct nodes_run *run, const char *node,
                      const char *program, const char *group);
/* Whether all that was stopped is so still, or has ended: another fault may have woken it. */
bool lab_fault_is_frozen(const struct lab_fault *f);
void lab_fault_path(struct lab_fault *f, const struct nodes_run *run,
                    const struct cfg_cluster *cluster, uint8_t path);
/* The links between the group's replicas, on every path. */
void lab_fault_link(struct lab_fault *f, const struct nodes_run *run,
                    const struct cfg_cluster *cluster, const char *group);

/* What lab/disk does with files whose path has "/NODE/PART" in it: `verb` "sync", "write" or
 * "slow", with an error or milliseconds. The node's processes have the library (lab_disk_prepare).
 */
void lab_fault_disk(struct lab_fault *f, const struct nodes_run *run, const char *node,
                    const char *verb, unsigned number, const char *part);
/* Programs that this process starts from now on have disks that such a fault can hit. `lossy`: a
 * process that ends loses what it did not sync. TS_ERR_NOT_FOUND: the library is not there. */
enum ts_err lab_disk_prepare(const struct nodes_run *run, bool lossy,
                             struct ts_why *why) TS_MUST_USE;

/* A node whose programs have disks that lose what was not synced (lab_disk_prepare): it is switched
 * off as by pulling its plug. */
void lab_fault_power(struct lab_fault *f, const struct nodes_run *run, const char *node);

/* A bit of one byte, or of several, is another one. `group`: of a replica's files. The damage stays
 * when it is healed: who finds it mends it. */
void lab_fault_rot(struct lab_fault *f, const struct nodes_run *run, const char *node,
                   const char *group, enum lab_files files, bool all_copies, uint64_t seed);
/* Whether what was flipped is not on the disk any more: it was written anew, or its file is gone.
 */
bool lab_fault_rot_mended(const struct lab_fault *f);

/* A node that is off gets a copy of the data that lies in `from`, a name below the run directory:
 * an image of its own (lab_fault_image), or another node. Healed, also off, by its own. */
void lab_fault_clone(struct lab_fault *f, const struct nodes_run *run, const char *node,
                     const char *from);
/* Copies the node's data to RUN/NODE.image, in place of an older image; the node may run. */
enum ts_err lab_fault_image(const struct nodes_run *run, const char *node,
                            struct ts_why *why) TS_MUST_USE;
/* The name of that image. */
void lab_fault_image_name(const char *node, char out[LAB_FAULT_NAME_MAX]);

/* Of a lab that runs in the run directory. `to`, `network`: NULL = all. */
void lab_fault_wire(struct lab_fault *f, const struct nodes_run *run, const char *from,
                    const char *to, const char *network, bool both,
                    const struct lab_wire_rule *rule);

enum ts_err lab_fault_inject(struct lab_fault *f, struct ts_why *why) TS_MUST_USE;
enum ts_err lab_fault_observe(struct lab_fault *f, struct ts_why *why) TS_MUST_USE;
enum ts_err lab_fault_heal(struct lab_fault *f, struct ts_why *why) TS_MUST_USE;

/* ---- shared by the faults ---- */

/* Fills f->procs with the target's processes, nicd first. False when there are none. */
bool lab_fault_find_procs(struct lab_fault *f);
/* Waits until the process is gone; at once when it is. False after `timeout_ms`. */
bool lab_wait_exit(const struct nodes_proc *proc, unsigned timeout_ms);
/* Whether the process is stopped by SIGSTOP now. */
bool lab_is_stopped(const struct nodes_proc *proc);

#endif
