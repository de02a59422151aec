#include "base/histogram.h"

#include "base/assert.h"

#define PARTS_LOG2 2U
_Static_assert((1U << PARTS_LOG2) == TS_HISTOGRAM_PARTS, "an octave's parts are a power of two");

size_t ts_histogram_bucket(uint64_t ns)
{
    if (ns <= 1ULL << TS_HISTOGRAM_FIRST_LOG2) {
        return 0;
    }
    uint64_t v = ns - 1; /* a bound belongs to the bucket below it */
    unsigned log2 = 63U - (unsigned)__builtin_clzll(v);
    if (log2 >= TS_HISTOGRAM_FIRST_LOG2 + TS_HISTOGRAM_OCTAVES) {
        return TS_HISTOGRAM_BUCKETS - 1;
    }
    size_t part = (v >> (log2 - PARTS_LOG2)) & (TS_HISTOGRAM_PARTS - 1);
    return 1 + (size_t)(log2 - TS_HISTOGRAM_FIRST_LOG2) * TS_HISTOGRAM_PARTS + part;
}

uint64_t ts_histogram_bound(size_t bucket)
{
    ts_assert(bucket < TS_HISTOGRAM_BUCKETS);
    if (bucket == TS_HISTOGRAM_BUCKETS - 1) {
        return UINT64_MAX;
    }
    if (bucket == 0) {
        return 1ULL << TS_HISTOGRAM_FIRST_LOG2;
    }
    size_t octave = (bucket - 1) / TS_HISTOGRAM_PARTS;
    size_t part = (bucket - 1) % TS_HISTOGRAM_PARTS;
    uint64_t low = 1ULL << (TS_HISTOGRAM_FIRST_LOG2 + octave);
    return low + (low >> PARTS_LOG2) * (part + 1);
}

void ts_histogram_add(struct ts_histogram *h, uint64_t ns, uint64_t n)
{
    h->count[ts_histogram_bucket(ns)] += n;
    h->sum_ns += ns * n;
    h->max_ns = n > 0 && ns > h->max_ns ? ns : h->max_ns;
}

uint64_t ts_histogram_total(const struct ts_histogram *h)
{
    uint64_t total = 0;
    for (size_t i = 0; i < TS_HISTOGRAM_BUCKETS; i++) {
        total += h->count[i];
    }
    return total;
}

uint64_t ts_histogram_quantile(const struct ts_histogram *h, unsigned per_10000)
{
    ts_assert(per_10000 <= 10000);
    uint64_t total = ts_histogram_total(h);
    /* Rounded up, in parts: a total times 10,000 may not fit. */
    uint64_t wanted = total / 10000 * per_10000 + (total % 10000 * per_10000 + 9999) / 10000;
    uint64_t seen = 0;
    for (size_t i = 0; i < TS_HISTOGRAM_BUCKETS && total > 0; i++) {
        seen += h->count[i];
        if (seen >= wanted && seen > 0) {
            uint64_t bound = ts_histogram_bound(i);
            return bound < h->max_ns ? bound : h->max_ns;
        }
    }
    return total == 0 ? 0 : h->max_ns;
}
