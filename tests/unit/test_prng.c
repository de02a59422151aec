/* The deterministic generator: the published sequence, the bound, and an even spread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"

#define BUCKETS 64
#define DRAWS_PER_BUCKET 4096

/* Goal: the generator is the published one, so that a seed means the same for ever.
 * Source: xoshiro256starstar.c of Blackman & Vigna, state {1, 2, 3, 4}. */
static void test_prng_next_known_state_gives_published_values(void **state)
{
    (void)state;
    struct ts_prng p = {{1, 2, 3, 4}};
    assert_true(ts_prng_next(&p) == 11520);
    assert_true(ts_prng_next(&p) == 0);
    assert_true(ts_prng_next(&p) == 1509978240);
    assert_true(ts_prng_next(&p) == 1215971899390074240ULL);
}

/* Goal: the state comes from the seed by splitmix64, also for the seed 0.
 * Source: splitmix64.c of Vigna, seed 0. */
static void test_prng_init_zero_seed_gives_published_state(void **state)
{
    (void)state;
    struct ts_prng p = ts_prng_init(0);
    assert_true(p.s[0] == 0xe220a8397b1dcdafULL);
    assert_true(p.s[1] == 0x6e789e6aa1b965f4ULL);
    assert_true(p.s[2] == 0x06c45d188009454fULL);
    assert_true(p.s[3] == 0xf88bb8a8724c81ecULL);
}

/* Goal: equal seeds give equal sequences, near seeds differ from the first value on. */
static void test_prng_init_same_seed_same_sequence(void **state)
{
    (void)state;
    struct ts_prng a = ts_prng_init(7);
    struct ts_prng b = ts_prng_init(7);
    struct ts_prng c = ts_prng_init(8);
    assert_true(ts_prng_next(&a) != ts_prng_next(&c));
    (void)ts_prng_next(&b);
    for (int i = 0; i < 1000; i++) {
        assert_true(ts_prng_next(&a) == ts_prng_next(&b));
    }
}

/* Goal: a value never reaches the bound, for bounds at both ends of the range. */
static void test_prng_below_any_bound_stays_below(void **state)
{
    (void)state;
    static const uint64_t bounds[] = {
        1, 2, 3, 7, 1000, (1ULL << 32) + 1, 1ULL << 63, UINT64_MAX - 1, UINT64_MAX};
    struct ts_prng p = ts_prng_init(42);
    for (size_t b = 0; b < sizeof(bounds) / sizeof(bounds[0]); b++) {
        for (int i = 0; i < 1000; i++) {
            assert_true(ts_prng_below(&p, bounds[b]) < bounds[b]);
        }
    }
}

/* Goal: every value is about equally likely. The seeds are fixed, so the verdict is too: chi
 * squared with 63 degrees of freedom exceeds 130 once in a million. */
static void test_prng_below_many_draws_spread_evenly(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 16; seed++) {
        uint64_t counts[BUCKETS] = {0};
        struct ts_prng p = ts_prng_init(seed);
        for (int i = 0; i < BUCKETS * DRAWS_PER_BUCKET; i++) {
            counts[ts_prng_below(&p, BUCKETS)]++;
        }
        uint64_t sum_of_squares = 0;
        for (int i = 0; i < BUCKETS; i++) {
            uint64_t off = counts[i] > DRAWS_PER_BUCKET ? counts[i] - DRAWS_PER_BUCKET
                                                        : DRAWS_PER_BUCKET - counts[i];
            sum_of_squares += off * off;
        }
        assert_true(sum_of_squares / DRAWS_PER_BUCKET < 130);
        assert_true(sum_of_squares / DRAWS_PER_BUCKET > 20); /* nor suspiciously even */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prng_next_known_state_gives_published_values),
        cmocka_unit_test(test_prng_init_zero_seed_gives_published_state),
        cmocka_unit_test(test_prng_init_same_seed_same_sequence),
        cmocka_unit_test(test_prng_below_any_bound_stays_below),
        cmocka_unit_test(test_prng_below_many_draws_spread_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
