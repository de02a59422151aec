/* A running pair for one test program, in a network namespace of its own where the kernel
 * allows one. cmocka's assertions inside. */
#ifndef TESTS_INTEGRATION_FIXTURE_H
#define TESTS_INTEGRATION_FIXTURE_H

#include <stdbool.h>

#include "lab/guard.h"
#include "lab/load.h"
#include "lab/pair.h"
#include "lab/scratch.h"

struct fixture {
    struct lab_pair pair;
    char run[LAB_SCRATCH_MAX];
    struct lab_guard guard; /* of the nodes, should the test be ended */
    bool own_network;
};

/* Starts the pair and waits until it is redundant. Call before any thread exists. */
void fixture_begin(struct fixture *f, const char *name);
/* Ends the pair; its data go when `good`, and stay for a look otherwise. */
void fixture_end(struct fixture *f, bool good);

/* The index of the primary's NIC, once the pair is redundant. */
unsigned fixture_primary(const struct fixture *f);
/* A load that already gets answers. */
struct lab_load *fixture_load(const struct fixture *f, const char *tag);
/* Stops the load, reads back, demands that every promise held, frees it. */
void fixture_judge(struct lab_load *load);

#endif
