/* A simulated world for the southbound protocol: controllers (services/netctl/south.h) whose office
 * changes hands, agents (services/agent/core.h) with a disk, a kernel (services/agent/model.h) and
 * crashes, and a network between them that is slow, cuts one direction, and ends connections. All
 * follows from a seed.
 *
 * The files: world.c has time, the group and its tables; world_net.c connections; world_agent.c the
 * agents' shells; world_check.c what must hold. */
#ifndef TESTS_SOUTH_WORLD_H
#define TESTS_SOUTH_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/prng.h"
#include "services/agent/core.h"
#include "services/agent/model.h"
#include "services/netctl/south.h"

#define CONTROLLERS_MAX 3
#define AGENTS_MAX 2
#define LINKS_MAX 64
#define EVENTS_MAX 65536
#define COMMITTED_MAX 4096
#define SECRET_KEYS 40

enum event_kind {
    EV_AGENT_TIME,       /* agent; id: its number */
    EV_AGENT_START,      /* agent */
    EV_EPOCH_STORED,     /* agent, id: its life */
    EV_TABLE_STORED,     /* agent, id: its life */
    EV_DRIVE,            /* agent, id: its life */
    EV_DRIVEN,           /* agent, id: its life */
    EV_COUNTED,          /* agent, id: its life */
    EV_DELIVER,          /* link, way, id: its number */
    EV_OPENED,           /* link, id: at the controller; then at the agent */
    EV_BROKEN,           /* link, way, id: this end learns that it is over */
    EV_CONTROLLER_TIME,  /* controller */
    EV_CATCH_UP,         /* controller: applies what is committed */
    EV_DEPOSED,          /* controller, id: epoch: it learns of its successor */
    EV_CONTROLLER_START, /* controller */
    EV_CHANGE,           /* a request of an operator */
    EV_FAULT,
};

struct event {
    struct ts_mono at;
    uint64_t order;
    enum event_kind kind;
    unsigned who;
    unsigned way;
    uint64_t id;
};

struct packet {
    uint8_t *bytes; /* a frame */
    size_t len;
    struct packet *next;
};

/* One connection. Ways: 0 to the controller, 1 to the agent. */
struct link {
    bool used;
    uint64_t number; /* no other one's */
    size_t owed;     /* bytes that have gone while the controller stood still */
    bool end[2];     /* [1]: the agent has it; [0]: the controller has it */
    unsigned agent;
    uint64_t life; /* of the agent */
    unsigned slot; /* the controller */
    struct packet *first[2];
    struct packet *last[2];
    struct ts_mono arrives[2];
};

struct disk {
    struct ts_epoch epoch;
    bool has_table;
    struct netctl_tree table;
    struct ts_epoch table_epoch;
    struct ts_seq gen;
};

struct agent {
    struct agent_core *core; /* NULL: it is down */
    uint64_t life;
    uint64_t timer;
    struct disk disk;
    struct agent_driver *kernel;
    /* at work */
    bool storing_epoch;
    struct ts_epoch epoch_to_store;
    bool storing;
    struct agent_effect store;
    bool driving; /* the driver is called, now */
    struct agent_effect drive;
    struct netctl_tree results;
    enum ts_err result;
    bool fails;   /* this call of the driver ends with an error */
    bool crashes; /* … with the agent's end */
    uint64_t commits;
    struct ts_epoch applied_epoch; /* highest of a table that the kernel got something of */
    uint32_t link[CONTROLLERS_MAX];
};

struct controller {
    struct south *south; /* NULL: it is down */
    uint64_t started;
    bool serves; /* it believes */
    struct ts_epoch epoch;
    size_t applied;        /* of the committed changes */
    struct ts_mono frozen; /* until then it does nothing */
};

/* A table at a generation: what the group has committed. */
struct commit {
    unsigned node;
    struct ts_seq gen;
    struct netctl_tree table;
};

struct world {
    uint64_t seed;
    struct ts_prng prng;
    bool verbose;
    struct ts_mono now;
    uint64_t order;
    struct event *queue; /* a heap */
    size_t queued;
    bool nested; /* events of others, while a driver is called */
    bool quiet;  /* no faults any more */
    bool big;    /* tables of several parts */
    bool lossy;  /* tables are spoiled on their way, rarely */
    unsigned controllers;
    unsigned agents;
    struct controller controller[CONTROLLERS_MAX];
    struct agent agent[AGENTS_MAX];
    struct link link[LINKS_MAX];
    bool cut[AGENTS_MAX][CONTROLLERS_MAX][2];
    uint64_t slow[AGENTS_MAX][CONTROLLERS_MAX][2]; /* ns */
    /* the group */
    struct ts_epoch epoch;
    unsigned primary;
    struct ts_seq seq;
    struct commit commit[COMMITTED_MAX];
    size_t commits;
    struct south_effects south_effects;
    /* what happened */
    uint64_t acks;
    uint64_t failovers;
    uint64_t crashes;
    uint64_t refused_commits;
};

/* ---- world.c ---- */

uint64_t below(struct world *w, uint64_t bound);
static inline unsigned long ms_of(const struct world *w)
{
    return (unsigned long)(w->now.ns / TS_NS_PER_MS);
}
bool chance(struct world *w, unsigned of_1000);
void later(struct world *w, uint64_t ns, enum event_kind kind, unsigned who, unsigned way,
           uint64_t id);
/* Runs the next event; false: there is none before `until`. */
bool run_one(struct world *w, struct ts_mono until);
const char *node_name(unsigned agent);
/* The newest of a node's; NULL: none. */
const struct commit *newest_of(const struct world *w, unsigned node);
void south_do(struct world *w, unsigned controller, const struct south_event *e);
void controller_stop(struct world *w, unsigned controller);

/* ---- world_net.c ---- */

void net_dial(struct world *w, unsigned agent, unsigned slot);
void net_send(struct world *w, uint32_t link, unsigned way, struct ts_bytes frame);
/* The end that `way` leads from goes; the other one learns of it later. */
void net_close(struct world *w, uint32_t link, unsigned way);
void net_event(struct world *w, const struct event *e);
/* The controller goes on: it hears what has gone meanwhile. */
void net_thaw(struct world *w, unsigned controller);
void net_free(struct world *w);

/* ---- world_agent.c ---- */

void agent_start(struct world *w, unsigned agent);
void agent_crash(struct world *w, unsigned agent);
void agent_do(struct world *w, unsigned agent, struct agent_event *e);
void agent_event_runs(struct world *w, const struct event *e);

/* ---- world_check.c ---- */

_Noreturn void fail(const struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A table is the group's at that generation. */
void check_committed(const struct world *w, unsigned node, struct ts_seq gen,
                     const struct netctl_tree *table, const char *what);
/* The driver is called; it changes something, it is done. */
void check_call(struct world *w, unsigned agent);
void check_commit(struct world *w, unsigned agent);
void check_called(struct world *w, unsigned agent, const struct netctl_tree *was);
/* An agent says that it does a table. */
void check_said(struct world *w, unsigned agent, struct ts_bytes frame);
/* A controller believes that. */
void check_acked(struct world *w, unsigned node, struct ts_seq gen, struct ts_hash digest);
void check_quiet(struct world *w);

#endif
