/* What many runs amount to: the summary, as text and as JSON, and what is judged of all of them
 * together (sim_summary.c). */
#ifndef TESTS_SIM_SIM_SUMMARY_H
#define TESTS_SIM_SIM_SUMMARY_H

#include "tests/sim/sim.h"

/* The first of the seeds in which something happened that counts together. */
#define SIM_SEEDS_KEPT 48

struct sim_seeds {
    uint64_t seed[SIM_SEEDS_KEPT];
    size_t count;
};

struct sim_totals {
    uint64_t seeds;
    uint64_t masked; /* ended by a failure that was passed over */
    struct sim_stats stats;
    struct sim_seeds stopped; /* nobody was left who may serve */
    struct sim_seeds tied;    /* a primary that was parted from a secondary was replaced by it */
};

/* A run's part. */
void sim_totals_add(struct sim_totals *t, const struct sim_stats *s, uint64_t seed);
/* SIM_CHECK_NONE, or what does not hold of all runs so far, or at their end, with the sentence. */
enum sim_check sim_totals_judge(const struct sim_totals *t, bool beyond, bool at_end, char *text,
                                size_t size);
/* How to look at the runs that such a failure counts. */
void sim_totals_tell_seeds(const struct sim_totals *t, enum sim_check check, FILE *out);

/* One line. */
void sim_summary_line(const struct sim_totals *t, double took);
void sim_summary(const struct sim_totals *t, double took);
/* The members of an object, without its end. `check` is SIM_CHECK_NONE when all held; with
 * `together` it failed of all runs and not of the one of `seed`. */
void sim_summary_json(const struct sim_totals *t, double took, enum sim_check check, uint64_t seed,
                      bool together);

#endif
