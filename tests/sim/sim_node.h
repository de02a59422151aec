/* Nodes, their processes, and what each consists of. */
#ifndef TESTS_SIM_SIM_NODE_H
#define TESTS_SIM_SIM_NODE_H

#include "cluster-cfg/io/voter_perform.h"
#include "daemon/nicd_perform.h"
#include "daemon/replica_address.h"
#include "daemon/replica_evidence.h"
#include "daemon/service_address.h"
#include "heartbeat/io/hb_perform.h"
#include "replicator/io/perform_replica.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_plan.h"
#include "tests/sim/sim_voter_disk.h"

struct sim;

/* ---- processes --------------------------------------------------------------------------- */

struct sim_process {
    uint64_t life; /* 0 = does not run */
    uint32_t pid;
    bool ready;           /* its main has begun */
    uint64_t paused_from; /* the newest pause: not before, … */
    uint64_t paused_until;
    uint64_t tick_at;  /* of the pending tick event; 0 = none */
    uint32_t backlog;  /* datagrams that wait for it */
    uint64_t crash_in; /* effects until it crashes; 0 = not planned */
    uint64_t pause_in; /* effects until it stops for `pause_ns`; 0 = not planned */
    uint64_t pause_ns;
    bool dying;       /* crashed within a step: nothing more has an effect */
    int32_t exit_now; /* ends itself after the step, with this status; -1 = no */
    uint64_t voter_life[SIM_NODES_MAX + 1]; /* of cluster-cfgd there, as this one's link knows it */
};

#define SIM_VOTER_DISKS_MAX 40

struct sim_cfgd {
    struct sim *sim;
    int node;
    struct voter *core;     /* NULL: the voter does not vote */
    struct voter_perform p; /* what the daemon shares */
    bool registered;        /* the start's registration was checked */
    bool refused;           /* another voter has told it that its start is */
    struct sim_voter_disk disk;
    struct sim_voter_disk *aside; /* the one that was there before; NULL: none */
    uint64_t disks;               /* put in after the first, … */
    struct reg_places places[SIM_VOTER_DISKS_MAX + 1]; /* … from 1 on, for these places */
};

#define SIM_WAITING_MAX 64
#define SIM_DISKS_MAX 16

struct sim_waiting {
    bool used;
    uint32_t record; /* index of the operation in the load's history */
    uint64_t id;     /* of a write */
    uint64_t token;  /* of a read */
    struct ts_seq seq;
};

struct sim_peer {
    bool used;
    struct replica_evidence evidence;
};

struct sim_replica {
    struct sim *sim;
    int node;
    struct repl *core;             /* NULL: not open */
    struct perform_replica p;      /* what the daemon shares */
    enum repl_effect_kind op_kind; /* of the register operation under way */
    bool registered;               /* the start's registration was checked */
    struct ts_incarnation incarnation;
    uint64_t floor_more; /* its next start believes to have promised so many epochs more */
    bool floor_false;    /* … and this one does */
    struct ts_epoch published[SIM_NICS_MAX + 1]; /* told to the session with this node */
    struct sim_peer peers[SIM_NICS_MAX + 1];     /* by node */
    struct ts_hash digest;                       /* of all outputs, in order, … */
    bool noted;                                  /* … the newest among them */
    uint64_t applied_to; /* seq of the newest entry that this process applied */
    uint8_t *has;        /* bit = id of a request that it applied */
    size_t has_bytes;
    bool flip;           /* the next result is another than it should be (R5.1), … */
    uint64_t flipped_at; /* … was so at this seq, in this process, or that whose snapshot it has */
    int flipped_by;      /* … at this node; 0: none was */
    struct ts_epoch gave_up; /* as its primary; 0 = none in this process */
    unsigned drain_looks;    /* it was found to be handing over so often, in a row */
    unsigned asks;           /* it has asked others so often */
    uint64_t gave_up_at;     /* virtual time, … */
    uint64_t finished_at;    /* … and when its journal told of something durable last */
    uint64_t read_token;
    struct sim_waiting waiting[SIM_WAITING_MAX];
    struct sim_disk disk;
    struct sim_disk *aside; /* the one before, which may be put back; NULL: there is none */
    uint64_t disks;         /* that were put in later, … */
    struct ts_incarnation place[SIM_DISKS_MAX]; /* … and for the place of which */
};

/* sim_address.c: the group's service address, as far as this NIC is concerned. */
struct sim_address {
    struct replica_address says;   /* the replica */
    struct service_addresses core; /* nicd */
    uint64_t until;                /* the kernel has it so long; 0: it has not */
    uint64_t served_at;            /* the replica was seen to serve then */
};

struct sim_node {
    struct sim *sim;
    int id;
    bool nic;
    bool powered;
    uint64_t clock_from; /* virtual time of the last power-on, … */
    uint64_t clock_base; /* … and what the local monotonic clock said then */
    int64_t drift_ppm;
    int64_t wall_offset;
    uint64_t nicd_again; /* when nicd that is being stopped is started again, at the earliest */
    uint64_t busy_until; /* its CPU is: … */
    uint64_t busy_us;    /* … now and then a step of the replica takes so long, … */
    bool busy_all;       /* … or of every process */
    struct nicd_perform nicd;               /* what the daemon shares */
    struct sim_process proc[SIM_PROCS + 1]; /* the last one: SIM_CLONE */
    struct hb_perform *heart;               /* what the daemon shares; NULL: not running */
    struct sim_cfgd cfgd;
    struct sim_replica replica;
    struct sim_address address;
};

/* A copy of a disk, started elsewhere. */
struct sim_clone {
    int node;                 /* where it comes from; 0 = there is none */
    int of;                   /* whose it is */
    enum sim_fault_kind kind; /* CLONE, CLONE_VOTER, or CLONE_OTHER: by another replica */
    bool struck;
    uint64_t number; /* the original's start when it was made */
    struct sim_volume volume;
    struct start start;
};

/* ---- sim_clone.c: copies of disks that run at once ------------------------------------------ */

/* A copy is made, and the original starts anew; false when there is one. */
bool sim_clone_keep(struct sim *s, int node, enum sim_fault_kind kind);
/* Its start would have the number of the original's, which is to start once more before. */
bool sim_clone_is_too_new(const struct sim *s, int node);
/* It is started; false when the voters do not know of a later start of the original. */
bool sim_clone_begin(struct sim *s, int node);
/* A copy of a replica's present disk is started as another replica's. Goes on until sim_clone_end.
 */
bool sim_clone_begin_other(struct sim *s, int node, int other);
/* Whether a copy of a voter's disk runs. */
bool sim_clone_votes(const struct sim *s);
void sim_clone_event(struct sim *s, struct sim_event *ev);
/* It goes away. */
void sim_clone_end(struct sim *s);

/* ---- sim_nic.c --------------------------------------------------------------------------- */

struct ts_mono sim_local(const struct sim *s, int node);
/* The virtual time at which the node's clock will say `t`; not before now. */
uint64_t sim_when(const struct sim *s, int node, struct ts_mono t);
void sim_nic_power_on(struct sim *s, int node);
void sim_nic_power_off(struct sim *s, int node);
void sim_nic_event(struct sim *s, struct sim_event *ev);

/* sim_address.c */
void sim_address_replica_starts(struct sim *s, int node);
void sim_address_replica_turn(struct sim *s, int node);  /* at the end of each of its turns */
void sim_address_replica_ended(struct sim *s, int node); /* as nicd hears of it */
void sim_address_nicd_starts(struct sim *s, int node);
void sim_address_said(struct sim *s, const struct sim_event *ev);
void sim_address_turn(struct sim *s, int node); /* nicd's */
struct ts_mono sim_address_deadline(const struct sim *s, int node);
void sim_address_power_lost(struct sim *s, int node);
/* Whether this NIC has it, and no other one. */
bool sim_address_is_at(const struct sim *s, int node);
/* nicd is killed, and the kernel kills what it started (PR_SET_PDEATHSIG); whoever starts nodes
 * starts it again then. */
void sim_nic_kill(struct sim *s, int node, uint64_t again);
/* Stops nicd in an orderly way (a second time: at once); it is started again then, or when it has
 * ended. */
void sim_nic_stop(struct sim *s, int node, uint64_t again);
/* A process of a node whose CPU is busy has done a step. */
void sim_nic_busy(struct sim *s, int node, enum sim_proc proc);
/* Ends a process: killed, or with a status of its own. */
void sim_proc_end(struct sim *s, int node, enum sim_proc proc, int32_t status);
/* Plans the tick of a process's cores for the local time `due`. */
void sim_proc_tick_at(struct sim *s, int node, enum sim_proc proc, struct ts_mono due);
/* Counts an effect; true when the process has crashed before it. */
bool sim_proc_crashed(struct sim *s, int node, enum sim_proc proc);
/* What a step left to do: the end of its process. True when it ended. */
bool sim_proc_settle(struct sim *s, int node, enum sim_proc proc);
bool sim_runs(const struct sim *s, int node, enum sim_proc proc);
bool sim_paused(const struct sim *s, int node, enum sim_proc proc);

/* ---- sim_heart.c ------------------------------------------------------------------------- */

void sim_heart_start(struct sim *s, int node);
void sim_heart_end(struct sim *s, int node);
void sim_heart_event(struct sim *s, struct sim_event *ev);
/* Faults: datagrams that are not heartbeats, without the cluster's key or with it; and such as are
 * not for this node. */
void sim_heart_garbage(struct sim *s, int node);
/* A peer's heartbeat that answers what this node never asked. */
void sim_heart_stray(struct sim *s, int node);

/* ---- sim_voter.c ------------------------------------------------------------------------- */

void sim_voter_start(struct sim *s, int node);
void sim_voter_end(struct sim *s, int node);
void sim_voter_event(struct sim *s, struct sim_event *ev);
/* Compares what a process knows of its links to the voters with how they are; tells `up`/`down`. */
void sim_voter_links(struct sim *s, int node, enum sim_proc proc,
                     void (*told)(struct sim *s, int node, int voter, bool up));

/* ---- sim_replica.c ----------------------------------------------------------------------- */

void sim_replica_start(struct sim *s, int node);
void sim_replica_end(struct sim *s, int node);
void sim_replica_event(struct sim *s, struct sim_event *ev);
void sim_feed(struct sim *s, int node, struct repl_event *ev);
/* ---- sim_replica_perform.c, sim_replica_peers.c ------------------------------------------ */

extern const struct perform_table sim_replica_table;
extern const struct perform_ops sim_replica_ops;
/* What was read for a learner comes now, or late, or torn. */
void sim_replica_fetched(struct sim *s, struct sim_event *ev);
/* No peer is known of; all are, from the start on. */
void sim_replica_peers_begin(struct sim *s, int node);
void sim_replica_peers_report(struct sim *s, struct sim_event *ev);
void sim_replica_peers_look(struct sim *s, int node);
void sim_replica_evidence(struct sim *s, int node, int peer, enum repl_evidence kind);
/* The links' callbacks. */
void sim_replica_link_up(struct sim *s, int node, int peer, uint64_t life);
void sim_replica_link_down(struct sim *s, int node, int peer);
void sim_replica_refused(struct sim *s, int node, int peer);
void sim_replica_frame(struct sim *s, int node, int peer, uint8_t type, struct ts_bytes bytes);
bool sim_replica_serves(const struct sim *s, int node);

/* ---- sim_work.c -------------------------------------------------------------------------- */

/* Of a process; freed at its end. */
struct sim_worker *sim_worker_new(struct sim *s, int node, enum sim_proc proc);
/* What the shipped code takes for its loop. */
struct uv_loop_s *sim_worker_loop(struct sim_worker *k);
void sim_worker_event(struct sim_worker *k, struct sim_event *ev);
/* Does what is in hand, but does not tell. */
void sim_worker_run(struct sim_worker *k);
/* The process ends: what is in hand is done, as far as its disk lets it. NULL is allowed. */
void sim_worker_end(struct sim_worker *k);

#endif
