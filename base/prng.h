/* A small deterministic generator for jitter, simulation and tests.
 * Not for ids or secrets: those come from the operating system.
 * Source: Blackman & Vigna, xoshiro256** 1.0; seeding by splitmix64. */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H

#include <stdint.h>

struct ts_prng {
    uint64_t s[4];
};

struct ts_prng ts_prng_init(uint64_t seed);
uint64_t ts_prng_next(struct ts_prng *p);
/* Uniform in [0, bound); bound >= 1. */
uint64_t ts_prng_below(struct ts_prng *p, uint64_t bound);

#endif
