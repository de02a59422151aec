/* A first, small simulator of one group: two NICs and an arbiter in one process, on virtual
 * time, a virtual network and virtual disks, from a seed.
 *
 * What is real: the replication core, the proposer and voter cores, and perform.c, the
 * order of effects. What is modelled: sessions between replicas (ordered until they break),
 * messages to voters (delayed, lost, doubled), disks (ordered writes; a crash keeps a prefix of
 * what was not yet confirmed), processes (crash at any effect, pause), a detector that may be
 * wrong. Files: sim.c (queue, run), sim_node.c (processes), sim_net.c, sim_disk.c,
 * sim_client.c (load and its checks), sim_check.c (what must hold). */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdio.h>

#include "cluster-cfg/proposer.h"
#include "cluster-cfg/voter.h"
#include "replicator/io/perform.h"

#define SIM_NICS 2
#define SIM_NODES 3 /* node ids 1, 2 are NICs, 3 is the arbiter */
#define SIM_CLIENTS 4
#define SIM_ENTRIES_MAX 200000
#define SIM_REG 1

#define SIM_MS TS_NS_PER_MS

struct sim;

enum sim_event_kind {
    SIM_EV_REPL_MSG,
    SIM_EV_LINK_UP,
    SIM_EV_LINK_DOWN,
    SIM_EV_EVIDENCE,
    SIM_EV_DISK,
    SIM_EV_VOTER_DISK,
    SIM_EV_TO_VOTER,
    SIM_EV_TO_PROPOSER,
    SIM_EV_VOTER_LINK, /* a proposer's link to a voter: a = voter, b = up */
    SIM_EV_TICK,
    SIM_EV_FETCHED,
    SIM_EV_CLIENT,
    SIM_EV_START_REPLICA,
    SIM_EV_START_VOTER,
    SIM_EV_WATCH, /* redials, and takes back what a detector no longer sees */
    SIM_EV_FAULT,
    SIM_EV_HEAL,
};

struct sim_event {
    uint64_t at;
    uint64_t order;
    enum sim_event_kind kind;
    int node;
    uint64_t life; /* of the process it is for; 0 = any */
    int peer;
    uint64_t session;
    uint64_t a;
    uint64_t b;
    uint8_t type;
    struct ts_hash hash;
    uint8_t *bytes; /* owned */
    size_t len;
};

/* One ordered disk operation that is not confirmed yet. */
enum sim_op_kind { SIM_OP_APPEND, SIM_OP_TRUNCATE, SIM_OP_FLOOR };
struct sim_op {
    enum sim_op_kind kind;
    struct ts_seq seq; /* last of the batch, or the new end */
    struct ts_seq committed;
    struct ts_epoch floor;
    uint8_t *bytes;
    size_t len;
};

#define SIM_OPS_MAX 4096
#define SIM_BATCHES_MAX 100000

struct sim_disk {
    /* durable */
    struct sim_op *log; /* batches in order */
    size_t log_count;
    struct ts_epoch floor;
    /* in flight, in order */
    struct sim_op ops[SIM_OPS_MAX];
    size_t op_head;
    size_t op_count;
    uint64_t busy_until;
};

struct sim_voter_op {
    uint64_t n;
    struct voter_record record;
};
struct sim_voter {
    struct voter *core; /* NULL = not running */
    uint64_t life;
    struct voter_register durable;
    struct sim_voter_op ops[64];
    size_t op_count;
    uint64_t busy_until;
};

struct sim_client_op {
    bool used;
    int client;
    bool read;
    uint64_t id;       /* of a write */
    struct ts_seq seq; /* where it was ordered */
    uint64_t token;    /* of a read */
    uint64_t floor;    /* entries that had been seen by a completed operation when it began */
    uint64_t epoch;
};
#define SIM_WAITING_MAX 16

struct sim_service {
    uint64_t count;
    struct ts_hash hash;
};

struct sim_replica {
    struct sim *sim;
    int node;
    bool running;
    bool dying; /* crashed in the middle of a step: nothing more has an effect */
    uint64_t life;
    uint64_t paused_until;
    uint64_t session;  /* whose LINK_UP it heard last */
    uint64_t crash_in; /* effects until a crash; 0 = none planned */
    struct repl *core;
    struct perform perform;
    struct proposer proposer;
    uint64_t op;
    struct sim_service service;
    struct sim_disk disk;
    uint64_t tick_at;
    uint64_t read_token;
    struct sim_client_op waiting[SIM_WAITING_MAX];
};

struct sim_session {
    uint64_t id; /* 0 = none */
    bool up;
    uint64_t last_at[2]; /* delivery time of the newest message by direction: keeps the order */
};

struct sim_client {
    int guess; /* NIC it talks to */
    bool busy;
    uint64_t begun;
    uint64_t tries;
};

/* What is known of each committed position, from whoever applied it first. */
struct sim_entry {
    uint64_t id;    /* of a client's write, else 0 */
    uint64_t count; /* of the service after it */
    uint64_t epoch;
    uint64_t time;
    bool acked;
};

struct sim {
    uint64_t seed;
    bool trace;
    struct ts_prng prng;
    uint64_t now;
    uint64_t end_of_faults;

    struct sim_event *queue; /* binary heap */
    size_t queue_count;
    size_t queue_cap;
    uint64_t order;

    struct sim_replica replica[SIM_NICS + 1]; /* by node id */
    struct sim_voter voter[SIM_NODES + 1];
    struct sim_session session; /* between the two replicas */
    uint64_t sessions;
    bool cut[SIM_NODES + 1][SIM_NODES + 1];
    struct cfg_config genesis;

    struct sim_client client[SIM_CLIENTS];
    uint64_t next_id;
    uint64_t seen; /* service count that some completed operation has seen */

    struct sim_entry *entries; /* by seq */
    uint64_t entry_count;
    uint64_t releaser[4096]; /* by epoch: life of the process that released outputs */
    uint64_t won_nonce[4096];
    bool *id_committed;
    bool *id_acked;

    /* statistics */
    uint64_t steps, acked, ambiguous, reads, crashes, takeovers, epochs, faults;
};

/* sim.c */
void sim_push(struct sim *s, struct sim_event ev);
uint64_t sim_rand(struct sim *s, uint64_t lo, uint64_t hi); /* uniform in [lo, hi] */
bool sim_chance(struct sim *s, unsigned percent);
_Noreturn void sim_fail(struct sim *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_note(struct sim *s, int node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* sim_node.c */
void sim_feed(struct sim *s, int node, struct repl_event *ev);
void sim_replica_start(struct sim *s, int node);
void sim_replica_crash(struct sim *s, int node);
void sim_replica_tick(struct sim *s, int node);
void sim_proposer_message(struct sim *s, int node, int voter, const struct reg_msg *msg);
void sim_proposer_link(struct sim *s, int node, int voter, bool up);
void sim_voter_start(struct sim *s, int node);
void sim_voter_crash(struct sim *s, int node);
void sim_voter_message(struct sim *s, int node, int from, uint64_t life, const struct reg_msg *msg);
void sim_voter_disk(struct sim *s, int node);

/* sim_net.c */
void sim_net_send(struct sim *s, int from, int to, uint8_t type, struct ts_bytes head,
                  struct ts_bytes body);
void sim_net_to_voter(struct sim *s, int from, int voter, const struct reg_msg *msg);
void sim_net_to_proposer(struct sim *s, int voter, int to, uint64_t life,
                         const struct reg_msg *msg);
void sim_net_connect(struct sim *s);
void sim_net_break(struct sim *s, const char *why);
void sim_net_cut(struct sim *s, int a, int b);
void sim_net_heal(struct sim *s);
void sim_net_watch(struct sim *s);

/* sim_disk.c */
extern const struct perform_table sim_perform_table;
void sim_disk_complete(struct sim *s, int node);
void sim_disk_crash(struct sim *s, int node);
void sim_disk_restore(struct sim *s, int node);
void sim_disk_free(struct sim *s, int node);
void sim_disk_push(struct sim *s, int node, struct sim_op op);
struct ts_bytes sim_disk_read(struct sim *s, int node, struct ts_seq after, uint8_t **owned);

/* sim_client.c */
void sim_client_act(struct sim *s, int client);
void sim_client_applied(struct sim *s, int node, const struct svc_entry *entry, uint64_t count,
                        bool release, struct ts_epoch epoch);
void sim_client_reads_ready(struct sim *s, int node, uint64_t token);
void sim_client_gone(struct sim *s, int node);
void sim_client_check_end(struct sim *s);

#endif
