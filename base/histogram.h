/* A histogram of durations: fixed memory, no allocation, a few instructions to count one.
 *
 * Buckets grow with what they count: four for each doubling from 1.024 µs to 17 s, one for all that
 * is shorter and one for all that is longer. So a quantile is told within 19 % (bounds are a
 * quarter of an octave apart at most), which is finer than two runs of anything agree. Not for
 * protocols: a core has no clock. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/* The first bound is 2^10 ns, the last one 2^34 ns. */
#define TS_HISTOGRAM_FIRST_LOG2 10U
#define TS_HISTOGRAM_OCTAVES 24U
#define TS_HISTOGRAM_PARTS 4U /* of an octave */
#define TS_HISTOGRAM_BUCKETS (2U + TS_HISTOGRAM_OCTAVES * TS_HISTOGRAM_PARTS)

/* All zero is an empty one. Copied as a value. */
struct ts_histogram {
    uint64_t count[TS_HISTOGRAM_BUCKETS];
    uint64_t sum_ns;
    uint64_t max_ns;
};

/* Counts `n` that took `ns` nanoseconds each. */
void ts_histogram_add(struct ts_histogram *h, uint64_t ns, uint64_t n);
/* The bucket of a duration. */
size_t ts_histogram_bucket(uint64_t ns);
/* The longest duration that a bucket counts; UINT64_MAX for the last one. */
uint64_t ts_histogram_bound(size_t bucket);
/* How many were counted. */
uint64_t ts_histogram_total(const struct ts_histogram *h);
/* Within what time `per_10000` of 10,000 ended: the bound of that one's bucket, or the longest of
 * all if that is less; 0 when nothing was counted. */
uint64_t ts_histogram_quantile(const struct ts_histogram *h, unsigned per_10000);

#endif
