/* A deterministic simulator of one group: nodes, networks and disks in one process, on virtual
 * time, from a seed.
 *
 * What is real: the cores (replication, proposer, voter, registration of starts, heartbeats and
 * detectors, nicd's supervisor), the files around each that have the order of its effects and what
 * follows from what it hears (perform_*.c, voter_perform.c, hb_perform.c, nicd_perform.c, the
 * replica's rules of evidence), journal and voter's store, the kv service, and every codec that a
 * message passes. Three things between them are models of code that tests/unit and
 * tests/integration run: the links of replicas (replicator/io/links*.c: sim_link.c), those of
 * voters (cluster-cfg/io/voter_client.c, voter_server.c: sim_net.c, sim_voter.c), and the queue of
 * requests and answers behind the front-end (daemon/replica_service.c: sim_load.c). What else is
 * modelled, a file each, whose types are in sim_node.h, sim_net.h, sim_load.h and those of the
 * disks:
 *
 *   sim_world.c    one run, memory that is used again
 *   sim_queue.c    the queue of virtual time
 *   sim_plan.c     swarm: which faults a seed has, how often, in which cluster; its schedule
 *   sim_fault.c    carries a schedule out, keeps to the fault budget, heals
 *   sim_strike.c   faults that wait for something, and strike
 *   sim_moment.c   faults that wait for a moment: a proposal, a seal, a round of reads
 *   sim_rollback.c old images of disks
 *   sim_replace.c  an operator who replaces disks of replicas
 *   sim_available.c one fault at a time, and how long the clients wait then
 *   sim_clone.c    copies of disks that run at once
 *   sim_budget.c   the fault budget: what the design survives
 *   sim_net.c      paths: loss, delay, order, copies, damage, partitions; datagrams, voters' links
 *   sim_link.c     TCP links between replicas: dial, choice of the path, sessions
 *   sim_volume.c   disks in memory: power loss, torn, lost, misdirected, corrupt writes
 *   sim_spoiled.c  … and what is damaged on them
 *   sim_files.c    … under the shipped code
 *   sim_disk.c     a replica's disk under the shipped journal: calls and completions
 *   sim_disk_turn.c   … its threads
 *   sim_disk_start.c  … its starts, and what it may forget
 *   sim_told.c     … the log as it was told
 *   sim_snapshot.c … what is taken, loaded and dropped, and what must hold of it
 *   sim_room.c     … room on it, and what is refused without
 *   sim_scrub.c    … and what looking through it finds
 *   sim_work.c     libuv's worker threads, in virtual time
 *   sim_lies.c     false claims, which a new start of the replica makes right
 *   sim_stray.c, sim_stray_register.c: messages that nobody sent like this, or now, or to whom
 *                  they come
 *   sim_voter.c    cluster-cfgd's voter and its start
 *   sim_voter_disk.c  … its disk under the shipped store
 *   sim_voter_spoil.c … and when it is badly damaged
 *   sim_heart.c    heartbeatd
 *   sim_nic.c      a node: clocks, pauses, nicd, power
 *   sim_address.c  the service address
 *   sim_replica.c  the replica process: what is shared with the daemon, on …
 *   sim_replica_perform.c, sim_replica_peers.c  … the models of disk and links
 *   sim_load.c     clients
 *   sim_session.c  clients with sessions
 *   sim_guest.c    another service beside kv, with --guest
 *   sim_check.c    what must hold, apart from the load
 *   sim_said.c     … of what is said to be on a disk
 *   sim_clock.c    … of logical time, and of the key that expires
 *   sim_gave_up.c  … of a primary that gives up (R4.4)
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
 * they end: crashes and pauses of processes (nicd among them, with which all of its node end) and
 * nodes, at any effect and at any operation on a file; orderly stops; busy CPUs; loss of power of
 * some or all nodes, which keeps any legal subset of what was not synced; every fault of the
 * network, slow, stalled and full disks, false evidence, false configs of a peer, late and repeated
 * messages, clocks that drift (200 ppm) or jump (wall clock).
 *
 * It survives these for good, within limits:
 *   - the disk of a replica is lost (failed fsync, damaged, blank, an old image): as long as
 *     another replica with a good disk is in every in-sync set that may be the present one. In a
 *     pair that is: one of the two, while both are in sync. A damaged disk (sectors that flipped or
 *     cannot be read, a write that was lost or went elsewhere) counts as lost from then on, until a
 *     start has read all of it and found it whole, or all of it was written anew: by the scrubber,
 *     with what a peer has.
 *   - the disk of a voter is lost (failed fsync, badly damaged, blank, an old image): a minority of
 *     the voters, and an old image only when all other voters confirmed every start of it (R1.8's
 *     stated limit). Damage to one place costs a copy of a slot (R1.3): the voter goes on.
 *   - an old image is of an earlier start than the registered one (an image of the present start
 *     cannot be told from the disk itself by its start, adr/0010).
 * A copy of a replica's or a voter's disk, of an earlier start, may be started beside the running
 * original, and is refused; one that is started as another replica's gets no answer. That costs
 * nothing. A voter's copy runs only while all others know of the original's present start, and none
 * of them gets an old image meanwhile.
 * A replica that lost its disk may get a blank one, which the primary enrols (sim_replace.c): from
 * then on it counts as any other, and the group must become redundant with it. So may a voter
 * (sim_replace_voter.c): it counts from the moment on in which a config is decided that lets it
 * vote, and must come to that.
 *
 * A damaged disk is not the only fault of its seed, though: nobody notices it before it is read, so
 * its replica may drop the other one for a reason of its own, a pause say, and be refused at its
 * next start. Two faults in a row, which a pair does not survive: such a seed ends there
 * ("stopped"), with safety checked. sim_budget.c counts it: a group that stops in another way fails
 * its seed, and so does a replica that was told of its own damage and drops the last good one all
 * the same; of many seeds no more than usual may end so (sim.c).
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
#include "tests/sim/sim_available.h"
#include "tests/sim/sim_load.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_plan.h"
#include "tests/sim/sim_queue.h"
#include "tests/sim/sim_stray.h"

#define SIM_MS TS_NS_PER_MS
#define SIM_S TS_NS_PER_S
#define SIM_GROUP 1       /* the group's id, and its register's */
#define SIM_GROUP_EMPTY 2 /* voters list this one, too, which was never formed */

struct sim;
struct lin;

/* ---- a run ------------------------------------------------------------------------------- */

struct sim_stats {
    uint64_t events, acked, ambiguous, reads, refused, crashes, takeovers, epochs;
    uint64_t heartbeats, frames, register_messages;
    uint64_t operations, lin_steps; /* of clients, that were judged; what that took */
    uint64_t stopped;               /* nobody was left who may serve: as the design says */
    uint64_t dropped;               /* … since the last good replica had been dropped before */
    uint64_t noticed;               /* ended there: replicas found that their results differ */
    uint64_t replays; /* … and this often replicas in sync were to replay their logs */
    uint64_t virtual_ns;
    uint64_t course;                  /* a hash of all that happened, in order */
    uint64_t faults[SIM_FAULT_KINDS]; /* that struck */
    uint64_t armed[SIM_FAULT_KINDS];  /* of those that wait for something (sim_strike_waits) */
    uint64_t spared[SIM_FAULT_KINDS]; /* that the budget did not allow, or that found nothing */
    uint64_t parted;      /* how often a primary and a secondary lost sight of each other, … */
    uint64_t parted_kept; /* … and the primary stayed */
    uint64_t snapshots;   /* that were taken, … */
    uint64_t snapshots_loaded; /* … and loaded at a start; … */
    uint64_t starts_behind;    /* … starts with a log that begins behind one */
    uint64_t installed;        /* snapshots of another replica */
    uint64_t joining;          /* looks at a voter that told that it joins, … */
    uint64_t replaced;         /* … or that another disk has its place */
    uint64_t scrubs;           /* passes through a disk, … */
    uint64_t scrub_found;      /* … and damaged places that they found; … */
    uint64_t repaired;         /* … of these were mended, … */
    uint64_t whole_again;      /* … the last one of a disk so often */
    uint64_t sessions;         /* that were opened, … */
    uint64_t resumed;          /* … resumed, and … */
    uint64_t ended;            /* … found to be no more */
    uint64_t resent;           /* writes of sessions that were sent again, … */
    uint64_t recovered;        /* … and that RESUME had an answer to */
    uint64_t fenced;           /* that came by an old connection, … */
    uint64_t again;            /* … or a second time, and were not executed */
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
    X(SIM_CHECK_TIES, "ties-are-the-primarys") \
    X(SIM_CHECK_GAVE_UP, "silent-after-giving-up") \
    X(SIM_CHECK_DIGEST, "digests") \
    X(SIM_CHECK_CLONE, "old-disks-refused") \
    X(SIM_CHECK_DISK, "durable-kept") \
    X(SIM_CHECK_SAID, "said-is-durable") \
    X(SIM_CHECK_SNAPSHOT, "snapshots") \
    X(SIM_CHECK_ROOM, "refused-without-room") \
    X(SIM_CHECK_SCRUB, "damage-found") \
    X(SIM_CHECK_SESSION, "sessions") \
    X(SIM_CHECK_ADDRESS, "service-address") \
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
    bool clients; /* with trace: what clients ask and hear, too */
    bool beyond;
    bool invariants;     /* run the cores' own checks, too */
    bool checkers_only;  /* alarms of the cores are no failure */
    const char *guest;   /* the service beside kv (sim_guest.h), NULL: none */
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
    struct sim_clone clone;
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
/* Once more, after a run that was good. False: it was another one, s->failure says so. */
bool sim_run_same(struct sim *s, const struct sim_plan *plan, const struct sim_options *options);

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

/* ---- sim_fault.c, sim_budget.c ------------------------------------------------------------- */

void sim_fault_schedule(struct sim *s);
void sim_fault_event(struct sim *s, struct sim_event *ev);
/* ---- sim_moment.c: faults that wait for a moment ------------------------------------------- */

void sim_moment_arm(struct sim *s, size_t fault);
/* Says in the trace what it waits for, and what it does then. */
void sim_moment_note(const struct sim *s, const struct sim_fault *f);
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

/* ---- sim_replace.c ----------------------------------------------------------------------- */

/* A blank disk is put in; false when the fault budget does not allow it, or nothing is the matter.
 */
bool sim_replace_begin(struct sim *s, const struct sim_fault *f);
/* Now and then the former one is put back. */
bool sim_replace_end(struct sim *s, const struct sim_fault *f);
/* Of a replica that runs: the register lists its disk, or the one for whose place it is. */
void sim_replace_watch(struct sim *s, int node);
/* The replica was told that its disk was replaced. */
void sim_replace_out(struct sim *s, int node);
/* The operator sees to it that the NIC has the disk that the register lists, or a new one. */
void sim_replace_look(struct sim *s, int node);
/* What was decided to follow lists the right disks. */
void sim_replace_check(struct sim *s, const struct cfg_config *from, const struct cfg_config *to);
/* Whether any disk was put in. */
bool sim_replace_any(const struct sim *s);
/* The same for the voters' disks (sim_replace_voter.c). */
bool sim_replace_voter_begin(struct sim *s, const struct sim_fault *f);
void sim_replace_voter_end(struct sim *s, const struct sim_fault *f);
void sim_replace_voter_look(struct sim *s, int node);
void sim_replace_voter_free(struct sim *s, int node);
/* Whether no voter's disk waits for its place any more; and whether any had to. */
bool sim_replace_voter_done(const struct sim *s);
bool sim_replace_voter_any(const struct sim *s);
/* Whether what the voter's disk says counts by the newest decided config. */
bool sim_replace_voter_counts(const struct sim *s, int node);
void sim_replace_voter_check(struct sim *s, const struct cfg_config *from,
                             const struct cfg_config *to);
void sim_replace_free(struct sim *s, int node);

/* For both. */
void sim_fault_isolate(struct sim *s, const struct sim_fault *f);
uint64_t sim_fault_end(const struct sim *s, const struct sim_fault *f);
uint64_t sim_fault_pause_end(const struct sim *s, const struct sim_fault *f);
void sim_fault_power_on_at(struct sim *s, int node, uint64_t at);
/* A process that runs stands still until then, at least; false when it would anyway, or none runs.
 */
bool sim_fault_pause(struct sim *s, int node, enum sim_proc proc, uint64_t until);
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
/* What a primary that has a successor is about to read for a learner is damaged. */
void sim_strike_fetch(struct sim *s, int node, struct ts_seq after);
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
/* A voter's answer, if it refuses a ballot. */
void sim_story_refused(const struct sim *s, int node, const struct reg_msg *m);
/* "cut: nic1, nic2, path 0, 30 ms"; all faults end at `until`. */
void sim_story_fault_text(const struct sim *s, const struct sim_fault *f, uint64_t until, char *out,
                          size_t cap);
#define SIM_STORY_FAULT_MAX 128
/* A fault begins: the line is written before the first one of what it does, and otherwise … */
void sim_story_fault(const char *text);
/* … when it is done; or it was none, for this reason (NULL: it was). */
void sim_story_fault_done(const struct sim *s, const char *why_not);
/* What happens to the operation of this number in the load's history. */
void sim_story_client(const struct sim *s, uint32_t record, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* An answer for people, or the end of it; written to `out` if need be. */
#define SIM_STORY_REPLY_MAX 32
const char *sim_story_reply(struct ts_bytes reply, char out[SIM_STORY_REPLY_MAX]);
#define sim_note(s, ...) ((s)->options.trace ? sim_story_line((s), __VA_ARGS__) : (void)0)
#define sim_note_client(s, ...) \
    ((s)->options.clients ? sim_story_client((s), __VA_ARGS__) : (void)0)
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
