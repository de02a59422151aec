/* A small world for scenarios of the config register: voters with a disk that is written when
 * the scenario says so, proposers and starting processes, and links that deliver when told. */
#ifndef TESTS_SCRIPT_REGISTER_WORLD_H
#define TESTS_SCRIPT_REGISTER_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster-cfg/proposer.h"
#include "cluster-cfg/start.h"
#include "cluster-cfg/voter.h"
#include "tests/script/script.h"

#define WORLD_ACTORS_MAX 6
#define WORLD_QUEUE_MAX 64
#define WORLD_RECORDS_MAX 16
#define WORLD_REG 1
#define WORLD_RETRY_MS 50

struct world_packet {
    struct reg_msg msg;
    uint64_t handle;
};

struct world_queue {
    size_t count;
    struct world_packet p[WORLD_QUEUE_MAX];
};

struct world_write {
    uint64_t n;
    struct voter_record record;
};

/* A voter process and its disk. v1 lives on node 1, and so on. */
struct world_voter {
    struct voter *core; /* NULL while it is down */
    size_t pending_count;
    struct world_write pending[WORLD_QUEUE_MAX]; /* issued, not durable */
    size_t disk_count;
    struct voter_record disk[WORLD_RECORDS_MAX];
};

enum world_actor_kind {
    WORLD_PROPOSER = 1,
    WORLD_STARTER = 2,
};

/* A process that talks to voters. */
struct world_actor {
    enum world_actor_kind kind;
    char name[8];
    struct ts_nic_id node;
    struct proposer proposer;
    struct start starter;
};

struct world {
    struct ts_mono now;
    struct script_text *out;
    size_t voter_count;
    struct world_voter voter[TS_VOTERS_MAX];
    size_t actor_count;
    struct world_actor actor[WORLD_ACTORS_MAX];
    /* per pair: messages under way, and the number of the connection (0 = none) */
    struct world_queue to_voter[WORLD_ACTORS_MAX][TS_VOTERS_MAX];
    struct world_queue to_actor[WORLD_ACTORS_MAX][TS_VOTERS_MAX];
    uint64_t connection[WORLD_ACTORS_MAX][TS_VOTERS_MAX];
    uint64_t connections;
    /* of the present step; too large for the stack */
    struct voter_effects voter_fx;
    struct proposer_effects proposer_fx;
};

/* Text of parts, to `out`. */
void world_print_ballot(struct script_text *out, struct reg_ballot b);
void world_print_value(struct script_text *out, const struct reg_value *v);
void world_print_config(struct script_text *out, const struct cfg_config *c);
void world_print_msg(struct script_text *out, const struct reg_msg *m);

/* Voters v1..vN with the genesis value durable; bit n of `blank_mask`: voter n+1 lost its record.
 */
void world_make(struct world *w, size_t voters, unsigned blank_mask, bool ready);
void world_free(struct world *w);

/* Steps; each prints the effects and queues what is sent. */
void world_step_voter(struct world *w, size_t voter, const struct voter_event *ev);
void world_step_actor(struct world *w, size_t actor, const struct proposer_event *ev);
void world_step_starter(struct world *w, size_t actor, const struct start_event *ev);
void world_tick(struct world *w, size_t actor);
/* What an actor sends by hand or by effect. */
void world_send(struct world *w, size_t actor, size_t voter, const struct reg_msg *msg);

void world_connect(struct world *w, size_t actor, size_t voter);
void world_disconnect(struct world *w, size_t actor, size_t voter);
/* Deliver the oldest message; false when there is none. A voter that is down loses it. */
bool world_deliver_to_voter(struct world *w, size_t actor, size_t voter);
bool world_deliver_to_actor(struct world *w, size_t actor, size_t voter);
/* Makes all pending writes up to number `through` durable; false when there are none. */
bool world_persist(struct world *w, size_t voter, uint64_t through);
void world_crash(struct world *w, size_t voter);
void world_restart(struct world *w, size_t voter);
/* Delivers and persists until nothing moves, leaving out these voters and actors (bits). */
void world_settle(struct world *w, unsigned without_voters, unsigned without_actors);

#endif
