/* A deterministic simulator of one group: nodes, networks and disks in one process, on virtual
 * time, from a seed.
 *
 * What is real: the replication core with perform.c (the order of effects), proposer, voter,
 * registration of starts, heartbeat core and detectors, the replica's rules of evidence, nicd's
 * supervisor, the kv service, and every codec that a message passes. What is modelled, a file
 * each:
 *
 *   sim_world.c    one run, memory that is used again
 *   sim_queue.c    the queue of virtual time
 *   sim_plan.c     swarm: which faults a seed has, how often, in which cluster; its schedule
 *   sim_fault.c    carries a schedule out, keeps to the fault budget, heals
 *   sim_strike.c   faults that wait for something, and strike
 *   sim_moment.c   faults that wait for a moment: a proposal, a seal, a round of reads
 *   sim_rollback.c old images of disks
 *   sim_available.c one fault at a time, and how long the clients wait then
 *   sim_budget.c   the fault budget: what the design survives
 *   sim_net.c      paths: loss, delay, order, copies, damage, partitions; datagrams, voters' links
 *   sim_link.c     TCP links between replicas: dial, choice of the path, sessions
 *   sim_volume.c   disks in memory: power loss, torn, lost, misdirected, corrupt writes
 *   sim_files.c    … under the shipped code
 *   sim_disk.c     a replica's disk under the shipped journal: calls and completions
 *   sim_disk_turn.c   … its threads
 *   sim_disk_start.c  … its starts, and what it may forget
 *   sim_told.c     … the log as it was told
 *   sim_work.c     libuv's worker threads, in virtual time
 *   sim_lies.c     false claims, which a new start of the replica makes right
 *   sim_stray.c, sim_stray_register.c: messages that nobody sent like this, or now, or to whom
 *                  they come
 *   sim_voter.c    cluster-cfgd's voter and its start
 *   sim_voter_disk.c  … its disk under the shipped store
 *   sim_voter_spoil.c … and when it is badly damaged
 *   sim_heart.c    heartbeatd
 *   sim_nic.c      a node: clocks, pauses, nicd, power
 *   sim_replica.c  the replica process: what is shared with the daemon, on …
 *   sim_replica_perform.c, sim_replica_peers.c  … the models of disk and links
 *   sim_load.c     clients
 *   sim_check.c    what must hold, apart from the load
 *   sim_clock.c    … of logical time, and of the key that expires
 *   sim_history.c  the clients' history, judged by tests/lincheck
 *   sim_story.c    the trace as a story
 *   sim_shrink.c   the shortest reproduction of a failure
 *   sim_coverage.c the branches of the cores that were taken
 *   sim_args.c     options
 *   sim.c          command line
 *
 * ---- the fault budget ----
 *
 * The design survives, in any number and combination, with safety always and with liveness once
 * they end: crashes and pauses of processes and nodes, at any effect and at any operation on a
 * file; loss of power of some or all nodes, which keeps any legal subset of what was not synced;
 * every fault of the network, slow, stalled and full disks, false evidence, false configs of a
 * peer, late and repeated messages, clocks that drift (200 ppm) or jump (wall clock).
 *
 * It survives these for good, within limits:
 *   - the disk of a replica is lost (failed fsync, damaged, blank, an old image): as long as
 *     another replica with a good disk is in every in-sync set that may be the present one. In a
 *     pair that is: one of the two, while both are in sync. A damaged disk (sectors that flipped or
 *     cannot be read, a write that was lost or went elsewhere) counts as lost from then on, until a
 *     start has read all of it and found it whole.
 *   - the disk of a voter is lost (failed fsync, badly damaged, blank, an old image): a minority of
 *     the voters, and an old image only when all other voters confirmed every start of it (R1.8's
 *     stated limit). Damage to one place costs a copy of a slot (R1.3): the voter goes on.
 *   - an old image is of an earlier start than the registered one (an image of the present start
 *     cannot be told from the disk itself by its start, adr/0010).
 * What lost its disk never comes back here: enrolling a new one is a mechanism of its own.
 *
 * A damaged disk is not the only fault of its seed, though: nobody notices it before it is read, so
 * its replica may drop the other one for a reason of its own, a pause say, and be refused at its
 * next start. Two faults in a row, which a pair does not survive: such a seed ends there
 * ("stopped"), with safety checked. sim_budget.c counts it: a group that stops in another way fails
 * its seed, and so does a replica that was told of its own damage and drops the last good one all
 * the same; of many seeds at most one of 30 may end so (sim.c).
 *
 * What no start can tell from a torn write is beyond it, and is not done (sim_volume.c):
 *   - damage to the newest group of a journal, before a note of a later group vouches for it. A
 * write that is lost or misdirected is made good when its lie would come out that early.
 *   - damage to both copies of a slot: one damage at a time on a disk, and a misdirected write does
 *     not land on the other copy of what it was to write.
 *   - a process that is killed between a sync that failed and the marker that remembers it.
 *
 * The generator keeps to that (sim_budget.c asks, before each such fault). With --beyond disks
 * are lost without asking, by faults that are noticed (not old images of voters, which the
 * design says it cannot see): then nothing is expected to come back, and all that was said must
 * still be true: no answer is wrong, none is lost as long as anybody serves. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/prng.h"
#include "cluster-cfg/io/voter_perform.h"
#include "daemon/nicd_perform.h"
#include "daemon/replica_evidence.h"
#include "heartbeat/io/hb_perform.h"
#include "replicator/io/perform_replica.h"
#include "tests/sim/sim_available.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_plan.h"
#include "tests/sim/sim_queue.h"
#include "tests/sim/sim_stray.h"
#include "tests/sim/sim_voter_disk.h"

#define SIM_MS TS_NS_PER_MS
#define SIM_S TS_NS_PER_S
#define SIM_GROUP 1       /* the group's id, and its register's */
#define SIM_GROUP_EMPTY 2 /* voters list this one, too, which was never formed */

struct sim;
struct lin;

/* ---- processes --------------------------------------------------------------------------- */

struct sim_process {
    uint64_t life; /* 0 = does not run */
    uint32_t pid;
    bool ready; /* its main has begun */
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

struct sim_cfgd {
    struct sim *sim;
    int node;
    struct voter *core;     /* NULL: the voter does not vote */
    struct voter_perform p; /* what the daemon shares */
    bool registered;        /* the start's registration was checked */
    struct sim_voter_disk disk;
};

#define SIM_WAITING_MAX 64

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
    struct sim_peer peers[SIM_NICS_MAX + 1]; /* by node */
    struct ts_hash digest;                   /* of all outputs, in order, … */
    bool noted;                              /* … the newest among them */
    uint64_t applied_to;                     /* seq of the newest entry that this process applied */
    uint8_t *has;                            /* bit = id of a request that it applied */
    size_t has_bytes;
    bool flip;           /* the next result is another than it should be (R5.1), … */
    uint64_t flipped_at; /* … was so at this seq, in this process; 0: none was */
    uint64_t read_token;
    struct sim_waiting waiting[SIM_WAITING_MAX];
    struct sim_disk disk;
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
    struct nicd_perform nicd; /* what the daemon shares */
    struct sim_process proc[SIM_PROCS];
    struct hb_perform *heart; /* what the daemon shares; NULL: not running */
    struct sim_cfgd cfgd;
    struct sim_replica replica;
};

/* ---- the network ------------------------------------------------------------------------- */

struct sim_path {
    uint64_t cut_from; /* cut between the two, and if `flap` is set in every other period of it */
    uint64_t cut_until;
    uint64_t flap;
    uint64_t bad_until; /* until then: */
    uint16_t loss_pm;   /* per mille */
    uint16_t copy_pm;
    uint16_t damage_pm;
    uint16_t replay_pm;
    uint64_t delay_more;   /* at most so much more, at random: this reorders */
    uint64_t bytes_per_ms; /* 0 = any */
};

#define SIM_KEPT_MAX 32

/* A datagram that may be sent again. */
struct sim_kept {
    uint8_t bytes[HB_DATAGRAM_BYTES];
    uint8_t from, to, path;
};

struct sim_net {
    struct sim_path path[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1][SIM_PATHS];
    uint64_t late_until; /* register messages may take up to `late_max` until then */
    uint64_t late_max;
    struct sim_kept kept[SIM_KEPT_MAX];
    uint64_t kept_count;
};

/* A frame in a stream. */
struct sim_frame {
    struct sim_frame *next;
    uint64_t due;
    uint8_t *bytes;
    uint32_t len;
    uint8_t type;
};

/* One end of a connection, and the stream to it. */
struct sim_end {
    bool open;
    uint64_t life;     /* of the process */
    uint64_t heard;    /* newest proven round trip, virtual time */
    uint64_t received; /* newest bytes that came in */
    uint64_t up_at;
    uint64_t asked_at; /* when it last asked for this one to be chosen */
    struct sim_frame *first;
    struct sim_frame *last;
    uint64_t last_due;
    uint64_t pump_at; /* of the pending event; 0 = none */
    uint64_t rto;
};

struct sim_conn {
    bool used;
    uint64_t id;
    int path;
    struct sim_end end[2]; /* of the lower and the higher node */
};

#define SIM_CONNS_MAX 12

/* What one side keeps of the links to one peer. */
struct sim_side {
    uint64_t process;    /* newest peer life seen */
    uint64_t generation; /* of the newest ACTIVATE sent or followed */
    uint64_t active;     /* connection id, 0 = no session */
    uint64_t wanted;
    uint64_t wanted_at;
    uint64_t live_end;
    uint64_t heard;
    uint8_t path_up_mask;
    uint64_t doubt_until[SIM_PATHS];
    uint64_t backoff[SIM_PATHS];
    uint64_t refused_at[SIM_PATHS];
    bool dialling[SIM_PATHS];
    uint64_t ping_at;
    uint64_t watched_at; /* the newest look, to notice own stalls */
    uint64_t judge_from; /* silence before it may be an own stall */
};

/* The links between two NICs. */
struct sim_pair {
    int node[2];
    struct sim_conn conn[SIM_CONNS_MAX];
    struct sim_side side[2];
};

/* ---- the load and the checks -------------------------------------------------------------- */

/* One operation of a client, for the checks and for the linearizability library. */
struct sim_record {
    uint64_t begun;
    uint64_t ended; /* UINT64_MAX: never answered */
    uint64_t id;    /* also the value that a write brings */
    uint64_t floor; /* the newest position that any operation had seen when this one began */
    uint64_t position;
    uint32_t client;
    uint8_t command; /* enum kv_command_id */
    uint8_t key;
    bool read;
    bool refused; /* certainly not executed */
    bool answered;
    size_t reply_at; /* its bytes, in the load's */
    size_t reply_len;
};

struct sim_client {
    int guess;
    bool busy;
    unsigned misses; /* tries in a row without a node that serves */
    uint32_t record;
};

struct sim_load {
    struct sim_client client[SIM_CLIENTS_MAX];
    uint64_t
        focus_until; /* until then half of the clients stay with this node, the others do not, … */
    int focus;       /* … and all are in a hurry */
    struct sim_record *record;
    size_t count;
    size_t cap;
    uint64_t next_id;
    uint8_t *bytes; /* of all replies */
    size_t bytes_len;
    size_t bytes_cap;
    unsigned long_left; /* so many of the next batches may carry */
    size_t long_max;    /* so many bytes more, at most */
    uint8_t *zeros;
};

/* What is known of a request, by its id. */
struct sim_request {
    uint64_t ordered_at; /* virtual time */
    uint32_t record;     /* in the load's history */
    bool committed;
    bool refused;
};

/* What the key that expires holds from a position on. */
struct sim_value {
    uint64_t seq;
    uint64_t id;        /* of the request that set it, 0 = nothing */
    uint64_t expire_ms; /* logical time; 0 = never */
};

/* What is known of a committed position, from whoever applied it first. */
struct sim_entry {
    uint64_t id;
    struct ts_epoch epoch;
    uint64_t time;
    struct ts_hash payload;
    struct ts_hash digest; /* of all outputs up to here */
};

#define SIM_EPOCHS_MAX 8192
#define SIM_BALLOTS_MAX 64
#define SIM_DEFEATED_MAX 64

struct sim_ballot {
    struct reg_ballot ballot;
    struct ts_epoch epoch; /* of the value it carries */
    uint64_t nonce;
    uint64_t voters; /* bit = node */
};

/* A proposal that its proposer was told to have lost. */
struct sim_defeated {
    struct ts_epoch epoch;
    uint64_t nonce;
};

struct sim_checks {
    struct sim_entry *entry; /* by seq */
    size_t entry_cap;
    uint64_t entries;
    struct sim_request *request; /* by id */
    size_t request_cap;
    struct sim_value *value; /* of the key that expires, by position */
    size_t value_count;
    size_t value_cap;
    uint64_t timed; /* position of the newest request, whose time the next one's follows */
    uint64_t
        lead; /* of logical time over virtual time, in any entry: the largest there can be, … */
    uint64_t lead_at;                  /* … at this time; 0 = nothing was ordered yet */
    uint64_t seen;                     /* newest position that some completed operation has seen */
    uint64_t releaser[SIM_EPOCHS_MAX]; /* life of the process that released outputs */
    uint64_t nonce[SIM_EPOCHS_MAX];    /* of the decided config */
    uint64_t expected[SIM_EPOCHS_MAX]; /* by proposal: unused slots are 0 */
    uint64_t epochs;                   /* highest touched */
    struct sim_ballot ballots[SIM_BALLOTS_MAX];
    uint64_t ballot_next;
    struct sim_defeated defeated[SIM_DEFEATED_MAX];
    uint64_t defeated_count;
    struct reg_ballot top; /* the highest ballot that decided */
    struct cfg_config decided;
    struct ts_epoch consumer_epoch; /* of an external consumer of outputs (R2.7) */
    struct ts_seq consumer_seq;
    uint64_t consumer_taken;
    uint64_t consumer_refused;
};

struct sim_stats {
    uint64_t events, acked, ambiguous, reads, refused, crashes, takeovers, epochs;
    uint64_t heartbeats, frames, register_messages;
    uint64_t operations, lin_steps; /* of clients, that were judged; what that took */
    uint64_t stopped;               /* nobody was left who may serve: as the design says */
    uint64_t dropped;               /* … since the last good replica had been dropped before */
    uint64_t virtual_ns;
    uint64_t course;                  /* a hash of all that happened, in order */
    uint64_t faults[SIM_FAULT_KINDS]; /* that struck */
    uint64_t armed[SIM_FAULT_KINDS];  /* of those that wait for something (sim_strike_waits) */
    uint64_t spared[SIM_FAULT_KINDS]; /* faults that the budget did not allow then */
    struct sim_pauses pauses[SIM_ONES];
    struct sim_pauses well; /* after the faults: counted in tenths of a second, longest in ms */
};

/* X(symbol, name): who caught it. */
#define SIM_CHECK_LIST(X) \
    X(SIM_CHECK_NONE, "none") \
    X(SIM_CHECK_AGREEMENT, "replicas-agree") \
    X(SIM_CHECK_ORDER, "applied-in-order") \
    X(SIM_CHECK_TWICE, "executed-once") \
    X(SIM_CHECK_LOST, "acknowledged-kept") \
    X(SIM_CHECK_STALE, "not-stale") \
    X(SIM_CHECK_RELEASE, "one-primary-releases") \
    X(SIM_CHECK_REGISTER, "register-chain") \
    X(SIM_CHECK_MEMBERS, "members") \
    X(SIM_CHECK_REFUSED, "refused-not-executed") \
    X(SIM_CHECK_CLOSED, "answered-or-closed") \
    X(SIM_CHECK_TIME, "logical-time") \
    X(SIM_CHECK_EXPIRY, "expiry") \
    X(SIM_CHECK_FAILOVER, "no-needless-failover") \
    X(SIM_CHECK_DIGEST, "digests") \
    X(SIM_CHECK_CLONE, "old-disks-refused") \
    X(SIM_CHECK_DISK, "durable-kept") \
    X(SIM_CHECK_LINEAR, "linearizable") \
    X(SIM_CHECK_LIVE, "liveness") \
    X(SIM_CHECK_AVAILABLE, "available") \
    X(SIM_CHECK_COURSE, "deterministic") \
    X(SIM_CHECK_ALARM, "core-alarm") \
    X(SIM_CHECK_ASSERT, "assertion")

enum sim_check {
#define SIM_CHECK_ENUM(symbol, name) symbol,
    SIM_CHECK_LIST(SIM_CHECK_ENUM)
#undef SIM_CHECK_ENUM
};
const char *sim_check_name(enum sim_check c);

struct sim_failure {
    enum sim_check check;
    uint64_t at;
    char text[400];
};

struct sim_options {
    bool trace;
    bool beyond;
    bool invariants;     /* run the cores' own checks, too */
    bool checkers_only;  /* alarms of the cores are no failure */
    bool digests;        /* the course is told by all bytes, too, not only by what happens when */
    enum sim_check only; /* no other checker ends a run; SIM_CHECK_NONE: each does */
};

struct sim {
    struct sim_options options;
    uint64_t seed;
    struct sim_plan plan;
    struct ts_prng prng;
    uint64_t now;
    uint64_t lives;
    uint64_t end_of_faults;
    bool healed;
    struct sim_queue queue;
    struct sim_frame *free_frames;
    void *free_bytes[4];

    struct cfg_cluster cluster;
    struct cfg_config genesis;
    int nodes;
    int nics;
    struct sim_node node[SIM_NODES_MAX + 1]; /* by id */
    struct sim_net net;
    size_t armed[SIM_MOMENTS]; /* 1 + number of the fault that waits for it; 0 = none */
    uint64_t quiet_until;      /* no other fault begins before that: what one broke is to be seen */
    struct sim_available available;
    struct sim_stray stray;
    bool stray_heard; /* what a replica just hears is a stray: its alarms are right */
    struct sim_pair pair[SIM_NICS_MAX]; /* (1,2), (1,3), (2,3) */
    uint64_t conns;
    struct sim_load load;
    struct sim_checks checks;
    bool noticed; /* that a replica's results are others: the run ends */
    struct sim_stats stats;
    struct report_peers report; /* scratch */
    struct hb_scratch hb_scratch;

    struct lin *history;

    struct sim_failure failure;
    jmp_buf escape;
};

/* ---- sim_world.c ------------------------------------------------------------------------- */

struct sim *sim_new(void);
void sim_free(struct sim *s);
/* One run of this plan. False: s->failure says what broke. */
bool sim_run(struct sim *s, const struct sim_plan *plan, const struct sim_options *options);

/* Takes ev->bytes. */
void sim_push(struct sim *s, const struct sim_event *ev);
uint64_t sim_rand(struct sim *s, uint64_t lo, uint64_t hi); /* uniform in [lo, hi] */
bool sim_chance_pm(struct sim *s, uint64_t per_mille);
uint64_t sim_us(struct sim *s, uint64_t lo_us, uint64_t hi_us); /* ns */
/* Buffers that are used again; references are counted. */
uint8_t *sim_bytes_new(struct sim *s, size_t len);
uint8_t *sim_bytes_ref(uint8_t *bytes);
void sim_bytes_drop(struct sim *s, uint8_t *bytes);
uint8_t *sim_bytes_copy(struct sim *s, struct ts_bytes a, struct ts_bytes b);
void sim_dispatch(struct sim *s, struct sim_event *ev);
/* Something happened, of which these bytes tell. */
void sim_course(struct sim *s, uint64_t what, const void *bytes, size_t len);
/* Ends the run, or does nothing when it is left to another checker (options.only). */
void sim_fail(struct sim *s, enum sim_check check, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- sim_nic.c --------------------------------------------------------------------------- */

struct ts_mono sim_local(const struct sim *s, int node);
/* The virtual time at which the node's clock will say `t`; not before now. */
uint64_t sim_when(const struct sim *s, int node, struct ts_mono t);
void sim_nic_power_on(struct sim *s, int node);
void sim_nic_power_off(struct sim *s, int node);
void sim_nic_event(struct sim *s, struct sim_event *ev);
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
bool sim_replica_serves(const struct sim *s, int node, struct repl_status *st);

/* ---- sim_net.c --------------------------------------------------------------------------- */

bool sim_net_is_cut(const struct sim *s, int from, int to, int path);
/* Whether both ways of the path are open. */
bool sim_net_path_open(const struct sim *s, int a, int b, int path);
bool sim_net_any_path_open(const struct sim *s, int a, int b);
uint64_t sim_net_delay(struct sim *s, int from, int to, int path, size_t len);
void sim_net_datagram(struct sim *s, int from, int to, int path, const uint8_t *bytes);
/* A register message from a process to a voter, or a voter's reply to it. */
void sim_net_to_voter(struct sim *s, int from, enum sim_proc proc, int voter,
                      const struct reg_msg *msg);
void sim_net_from_voter(struct sim *s, int voter, uint64_t handle, const struct reg_msg *msg);
uint64_t sim_net_handle(int node, enum sim_proc proc, uint64_t life);
void sim_net_heal(struct sim *s);

/* ---- sim_link.c -------------------------------------------------------------------------- */

void sim_link_open(struct sim *s, int node); /* the replica listens and dials from now on */
void sim_link_process_ended(struct sim *s, int node);
void sim_link_node_lost(struct sim *s, int node); /* without a word to the others */
void sim_link_watch(struct sim *s, int node);     /* pings, judges, chooses */
void sim_link_event(struct sim *s, struct sim_event *ev);
void sim_link_send(struct sim *s, int from, int to, uint8_t type, struct ts_bytes head,
                   struct ts_bytes body);
void sim_link_path_state(struct sim *s, int node, int peer, uint8_t mask);
bool sim_link_is_up(const struct sim *s, int node, int peer);
uint64_t sim_link_heard(const struct sim *s, int node, int peer);
/* Faults: resets the connections of a pair on this path, or all (-1). */
void sim_link_reset(struct sim *s, int a, int b, int path);
void sim_link_free(struct sim *s);

/* ---- sim_work.c -------------------------------------------------------------------------- */

/* Of a process; freed at its end. */
struct sim_worker *sim_worker_new(struct sim *s, int node, enum sim_proc proc);
/* What the shipped code takes for its loop. */
struct uv_loop_s *sim_worker_loop(struct sim_worker *k);
void sim_worker_event(struct sim_worker *k, struct sim_event *ev);
/* The process ends: what is in hand is done, as far as its disk lets it. NULL is allowed. */
void sim_worker_end(struct sim_worker *k);

/* ---- sim_history.c ------------------------------------------------------------------------ */

void sim_history_open(struct sim *s);
void sim_history_close(struct sim *s);
/* Judges all answers of the run by what the clients saw alone. */
void sim_history_check(struct sim *s);

/* ---- sim_load.c -------------------------------------------------------------------------- */

/* The key that expires. */
#define SIM_KEY_EXPIRES 8
/* Digits of a value. */
#define SIM_VALUE_MAX 8

void sim_load_start(struct sim *s);
void sim_load_free(struct sim *s);
/* Whether those of sim_load_long may be as long as entries get. */
bool sim_load_is_huge(uint64_t how);
/* Fault: a replica that does not serve is asked to order and to read. */
void sim_load_unserved(struct sim *s, int node);
/* Fault: entries are long for a while. */
void sim_load_long(struct sim *s, uint64_t how);
/* The operation's key. */
struct ts_bytes sim_load_key(const struct sim_record *r);
/* The value that this operation brings, written to `out` if need be; empty: none. */
struct ts_bytes sim_load_value(const struct sim_record *r, uint8_t out[SIM_VALUE_MAX]);
/* A command reaches a replica that did not read when it was sent. */
void sim_load_arrived(struct sim *s, const struct sim_event *ev);
/* A client's turn; with ev->b its patience with operation b - 1 ends. */
void sim_load_act(struct sim *s, const struct sim_event *ev);
void sim_load_released(struct sim *s, int node, const struct svc_entry *entry);
void sim_load_reads_ready(struct sim *s, int node, uint64_t token);
/* The replica closes all connections without an answer, or has ended. */
void sim_load_closed(struct sim *s, int node);

/* ---- sim_check.c ------------------------------------------------------------------------- */

void sim_check_reset(struct sim *s);
void sim_check_free(struct sim *s);
void sim_check_applied(struct sim *s, int node, const struct svc_entry *entry);
/* A process begins with an empty state. */
void sim_check_begins(struct sim_replica *r);
void sim_check_released(struct sim *s, int node, const struct svc_entry *entry,
                        struct ts_epoch epoch);
void sim_check_consumer(struct sim *s, struct ts_epoch epoch, struct ts_seq seq);
void sim_check_answered(struct sim *s, struct sim_record *r, uint64_t position);
/* A client's request is in a log, or was refused: an error means that it is in none (R2.8). */
void sim_check_ordered(struct sim *s, uint64_t id, uint32_t record);
void sim_check_refused(struct sim *s, uint64_t id);
/* A replica's role changed: who cannot answer has closed the connections that waited (R2.8). */
void sim_check_role(struct sim *s, int node);
/* A voter's record is durable. */
void sim_check_voted(struct sim *s, int voter, const struct voter_register *rec);
/* A compare-and-swap of `proposal` was told to be lost to `value`. */
void sim_check_defeated(struct sim *s, const struct cfg_config *proposal,
                        const struct cfg_config *value);
void sim_check_config(struct sim *s, int node);
void sim_check_registered(struct sim *s, int node, enum sim_proc proc);
bool sim_check_is_committed(const struct sim *s, uint64_t id);
void sim_check_end(struct sim *s);
/* A core says that replicas have different results: an alarm if they have not. */
bool sim_check_notices(struct sim *s);
bool sim_check_well(const struct sim *s);

/* ---- sim_clock.c ------------------------------------------------------------------------- */

/* A primary has ordered an entry of this time now. */
void sim_clock_ordered(struct sim *s, struct ts_ltime time);
/* A position's entry is known. */
void sim_clock_applied(struct sim *s, const struct svc_entry *e);
/* A read of the key that expires was answered at this position. */
void sim_clock_answered(struct sim *s, const struct sim_record *r, struct ts_bytes reply);

/* ---- sim_fault.c, sim_budget.c ------------------------------------------------------------- */

void sim_fault_schedule(struct sim *s);
void sim_fault_event(struct sim *s, struct sim_event *ev);
/* ---- sim_moment.c: faults that wait for a moment ------------------------------------------- */

void sim_moment_arm(struct sim *s, size_t fault);
/* A replica is there: what waits for that comes about soon. */
void sim_moment_came(struct sim *s, int node, enum sim_moment moment);
void sim_moment_traced(struct sim *s, int node, const struct ts_trace *t);
void sim_moment_blow(struct sim *s, const struct sim_event *ev);
/* ---- sim_rollback.c: old images -----------------------------------------------------------------
 */

void sim_rollback_keep(struct sim *s, int node, enum sim_proc proc);
/* Puts the image back; false when the fault budget does not allow it. */
bool sim_rollback_replica(struct sim *s, int node);
bool sim_rollback_voter(struct sim *s, int node);
void sim_rollback_begin(struct sim *s, size_t fault);
void sim_rollback_goes_on(struct sim *s, const struct sim_event *ev);

/* For both. */
void sim_fault_isolate(struct sim *s, const struct sim_fault *f);
uint64_t sim_fault_end(const struct sim *s, const struct sim_fault *f);
void sim_fault_power_on_at(struct sim *s, int node, uint64_t at);
/* A process that runs stands still until then, at least. */
void sim_fault_pause(struct sim *s, int node, enum sim_proc proc, uint64_t until);
/* The journal of a replica has written the first group of a segment. */
void sim_fault_at_switch(struct sim *s, int node);
/* A process is killed at an operation on its files, or its node loses power there. */
void sim_fault_at_operation(struct sim *s, int node, enum sim_proc proc);

/* ---- sim_strike.c ------------------------------------------------------------------------ */

/* Whether the kind is armed first, and counted when it strikes. */
bool sim_strike_waits(enum sim_fault_kind kind);
void sim_strike(struct sim *s, enum sim_fault_kind kind);
/* The same for what goes on for a while: counted at the first operation that it hits. */
void sim_strike_arm(struct sim_volume *v, enum sim_fault_kind kind);
void sim_strike_once(struct sim_volume *v, enum sim_fault_kind kind);
/* Whether a sync of this file fails, which is asked at each. */
bool sim_strike_sync(struct sim_volume *v, const struct sim_file *f);
/* The lie that the volume waits for begins. */
void sim_strike_lie(struct sim_volume *v);

bool sim_budget_allows_replica_loss(const struct sim *s, int node);
bool sim_budget_allows_voter_loss(const struct sim *s, int node, bool old_image);
/* Whether somebody is left who may serve, by the decided config and the disks. */
bool sim_budget_group_can_serve(const struct sim *s);
/* How many good replicas a redundant group can have. */
int sim_budget_replicas_left(const struct sim *s);
/* A replica proposes a config. */
void sim_budget_proposed(struct sim *s, int node);
/* `next` was decided to follow the present config. */
void sim_budget_decided(struct sim *s, const struct cfg_config *next);

/* ---- sim_story.c ------------------------------------------------------------------------- */

void sim_story_line(const struct sim *s, int node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void sim_story_trace(struct sim *s, int node, enum sim_proc proc, const struct ts_trace *t);
void sim_story_state(const struct sim *s, FILE *out);
#define sim_note(s, ...) ((s)->options.trace ? sim_story_line((s), __VA_ARGS__) : (void)0)
const char *sim_node_name(const struct sim *s, int node);

/* ---- sim_shrink.c ------------------------------------------------------------------------ */

/* Looks for a shorter plan that fails, too, by at most `runs` runs; leaves it in *plan. */
void sim_shrink(struct sim *s, struct sim_plan *plan, unsigned runs);

/* ---- sim_coverage.c ---------------------------------------------------------------------- */

#define SIM_COVERAGE_DIRECTORY_BYTES 32

/* Whether this is the program whose cores count their branches. */
bool sim_coverage_counts(void);
/* Starts that program in place of this one. Returns when it cannot, having said why. */
void sim_coverage_exec(char **argv);
/* Makes a directory for the counters. False: it cannot, and said why. */
bool sim_coverage_begin(char directory[SIM_COVERAGE_DIRECTORY_BYTES]);
/* Prints what was taken until now, as the script tests/sim/sim_coverage does when told `how`.
 * False: it cannot, and said why, or it is less than so many per cent. */
bool sim_coverage_tell(const char *directory, const char *how, const char *at_least);
/* Removes the directory. */
void sim_coverage_end(const char *directory);

#endif
