/* Availability while a fault lasts: in some seeds there is one fault at a time, and while it is
 * there the clients must be answered again within a bound (sim_available.c). */
#ifndef TESTS_SIM_SIM_AVAILABLE_H
#define TESTS_SIM_SIM_AVAILABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/sim_plan.h"

struct sim;
struct sim_event;

/* Pauses are counted in tenths of the failure-timeout; longer ones are in the last. */
#define SIM_PAUSES 160

/* Of one kind of fault, over all runs. */
struct sim_pauses {
    uint64_t count[SIM_PAUSES];
    uint64_t longest_pm; /* of the failure-timeout */
    uint64_t nearest;    /* the most of its bound that one took, per cent */
};

struct sim_available {
    bool looking;        /* the event that looks is planned */
    size_t waiting;      /* 1 + number of the fault that is to strike; 0 = none */
    bool joins;          /* it was waiting for the joining that has begun */
    uint64_t well_since; /* 0 = the group is not well */
    bool joined;         /* the present fault struck then */
    bool measured;       /* a fault has struck: the pauses since are its own */
    enum sim_one kind;
    int node;             /* that it struck; 0 = none alone */
    int primary;          /* … which led when it struck */
    uint64_t ends;        /* the fault */
    uint64_t bound;       /* for a pause */
    uint64_t running;     /* … while the primary has an operation of the register, … */
    uint64_t idle_at;     /* … which it had not at this time */
    uint64_t answered[2]; /* when a write, a read was answered last; the strike at the earliest */
    uint64_t longest;
};

const char *sim_one_name(enum sim_one kind);
/* What the clients wait for when it happens. */
const char *sim_one_wait(enum sim_one kind);
/* A fault is to strike as soon as the group is as it is meant to find it. */
void sim_available_begin(struct sim *s, const struct sim_event *ev);
void sim_available_look(struct sim *s, const struct sim_event *ev);
/* The register operation that takes a learner in has begun. */
void sim_available_joining(struct sim *s);
/* Whether a replica that starts now is ended at once. */
bool sim_available_keeps_down(const struct sim *s, int node);
void sim_available_answered(struct sim *s, bool read);
/* The run ends. */
void sim_available_close(struct sim *s);

#endif
