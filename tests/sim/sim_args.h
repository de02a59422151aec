/* The simulator's options; `sim --help` tells what they are. */
#ifndef TESTS_SIM_SIM_ARGS_H
#define TESTS_SIM_SIM_ARGS_H

#include "tests/sim/sim.h"

struct sim_args {
    uint64_t seed;
    uint64_t seeds;
    bool forever;
    bool json;
    bool shrink;
    bool twice;
    bool coverage;
    bool uncovered;
    const char *at_least; /* per cent */
    const char *faults;   /* numbers of those that are kept; NULL: all */
    enum sim_check check; /* the only one that counts; SIM_CHECK_NONE: all */
    uint64_t until;       /* ns of virtual time at which the faults end; 0: as drawn */
    struct sim_options options;
};

/* Ends the program when it was used wrongly, saying what is wrong, and after --help. */
void sim_args_parse(struct sim_args *a, int argc, char **argv);
/* The command that runs this seed again and judges it in the same way; with `plan` also with the
 * faults that were kept. */
void sim_args_again(const struct sim_args *a, uint64_t seed, bool plan, FILE *out);

#endif
