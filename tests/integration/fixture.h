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
    const char *name; /* config: of the data directory */
    bool calm;        /* nobody may fail over: a failure timeout of FIXTURE_CALM_MS, else 100 */
    bool tls;         /* clients speak TLS */

    struct lab_pair pair;
    bool started;
    char run[LAB_SCRATCH_MAX];
    struct lab_guard guard; /* of the nodes, should the test be ended */
    bool own_network;
};

/* The program's pair, which it defines with its name. */
extern struct fixture fixture;

/* Set-up of cmocka's group: starts the pair and waits until it is redundant. Before any thread. */
int fixture_set_up(void **state);
/* Ends the pair behind the group, whose result is `failed`; gives the program's exit status. Data
 * and logs stay when a test failed or a process of the pair crashed; TS_KEEP_DATA in the
 * environment keeps them always. */
int fixture_finish(int failed);
/* Runs the tests on the program's pair; main's result. */
#define fixture_run(tests) fixture_finish(cmocka_run_group_tests(tests, fixture_set_up, NULL))

/* The index of the primary's NIC, once the pair is redundant. */
unsigned fixture_primary(const struct fixture *f);
/* SIGKILLs every process of a node, and starts it again. */
void fixture_kill_node(unsigned index);
void fixture_start_node(unsigned index);
/* A load that already gets answers. */
struct lab_load *fixture_load(const struct fixture *f, const char *tag);
/* Stops the load, reads back, demands that every promise held, frees it. */
void fixture_judge(struct lab_load *load);

#endif
