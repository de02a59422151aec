/* The histogram of durations: every duration has one bucket, and quantiles are close. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/histogram.h"

/* Goal: bounds rise, each belongs to its own bucket and what follows it to the next. */
static void test_bound_of_each_bucket_is_its_last(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < TS_HISTOGRAM_BUCKETS; i++) {
        uint64_t bound = ts_histogram_bound(i);
        assert_int_equal(ts_histogram_bucket(bound), i);
        assert_int_equal(ts_histogram_bucket(bound + 1), i + 1);
        assert_true(i == 0 || bound > ts_histogram_bound(i - 1));
    }
    assert_int_equal(ts_histogram_bucket(0), 0);
    assert_int_equal(ts_histogram_bucket(UINT64_MAX), TS_HISTOGRAM_BUCKETS - 1);
    assert_true(ts_histogram_bound(TS_HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
    assert_true(ts_histogram_bound(TS_HISTOGRAM_BUCKETS - 2) == 1ULL << 34);
}

/* Goal: a bound is at most a quarter above the one before, so a quantile is never further off. */
static void test_bounds_are_a_quarter_apart_at_most(void **state)
{
    (void)state;
    for (size_t i = 1; i + 1 < TS_HISTOGRAM_BUCKETS; i++) {
        uint64_t low = ts_histogram_bound(i - 1);
        assert_true((ts_histogram_bound(i) - low) * 4 <= low);
    }
}

/* Goal: an empty one has no quantiles; a single duration is every quantile. */
static void test_quantile_of_none_and_one(void **state)
{
    (void)state;
    struct ts_histogram h = {0};
    assert_int_equal(ts_histogram_quantile(&h, 5000), 0);
    assert_int_equal(ts_histogram_total(&h), 0);
    ts_histogram_add(&h, 12345, 1);
    assert_int_equal(ts_histogram_quantile(&h, 0), 12345);
    assert_int_equal(ts_histogram_quantile(&h, 5000), 12345);
    assert_int_equal(ts_histogram_quantile(&h, 10000), 12345);
    ts_histogram_add(&h, 99999, 0);
    assert_int_equal(h.max_ns, 12345);
    assert_int_equal(ts_histogram_total(&h), 1);
}

/* Goal: quantiles of even spread durations are within a quarter, sum and most are exact. */
static void test_quantiles_of_many(void **state)
{
    (void)state;
    struct ts_histogram h = {0};
    for (uint64_t us = 1; us <= 10000; us++) {
        ts_histogram_add(&h, us * 1000, 2);
    }
    assert_int_equal(ts_histogram_total(&h), 20000);
    assert_true(h.sum_ns == 2 * 1000ULL * (10000ULL * 10001 / 2));
    assert_int_equal(h.max_ns, 10000000);
    static const unsigned ASKED[] = {1000, 5000, 9000, 9900, 9990};
    for (size_t i = 0; i < sizeof(ASKED) / sizeof(ASKED[0]); i++) {
        uint64_t exact = ASKED[i] * 1000ULL;
        uint64_t got = ts_histogram_quantile(&h, ASKED[i]);
        assert_true(got >= exact && got <= exact + exact / 4);
    }
    assert_true(ts_histogram_quantile(&h, 10000) == 10000000);
}

/* Goal: what is longer than the last bound is counted, and the longest is told as it is. */
static void test_very_long_is_counted(void **state)
{
    (void)state;
    struct ts_histogram h = {0};
    ts_histogram_add(&h, 3600ULL * 1000000000, 5);
    assert_int_equal(h.count[TS_HISTOGRAM_BUCKETS - 1], 5);
    assert_true(ts_histogram_quantile(&h, 5000) == 3600ULL * 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound_of_each_bucket_is_its_last),
        cmocka_unit_test(test_bounds_are_a_quarter_apart_at_most),
        cmocka_unit_test(test_quantile_of_none_and_one),
        cmocka_unit_test(test_quantiles_of_many),
        cmocka_unit_test(test_very_long_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
