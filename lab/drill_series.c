#include <stdlib.h>

#include "lab/clock.h"
#include "lab/drill_run.h"
#include "lab/mem.h"

#define BIN_NS_MIN (10 * TS_NS_PER_MS)
#define BINS_MAX 600U

struct answer {
    uint32_t bin;
    uint32_t us;
};

static int by_bin_and_time(const void *a, const void *b)
{
    const struct answer *x = a;
    const struct answer *y = b;
    return x->bin != y->bin ? (x->bin > y->bin) - (x->bin < y->bin)
                            : (x->us > y->us) - (x->us < y->us);
}

void lab_drill_count_answers(const struct lab_history *h, struct lab_drill_result *r)
{
    struct lab_drill_series *s = &r->series;
    uint64_t whole = lab_now_ns() - r->begin_ns;
    s->bin_ns = whole / BINS_MAX / BIN_NS_MIN * BIN_NS_MIN + BIN_NS_MIN;
    s->count = (size_t)(whole / s->bin_ns) + 1;
    s->bins = lab_calloc(s->count, sizeof(*s->bins));
    struct answer *all = lab_calloc(h->count + 1, sizeof(*all));
    size_t n = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct lab_op *op = &h->ops[i];
        uint64_t bin = op->end_ns < r->begin_ns ? s->count : (op->end_ns - r->begin_ns) / s->bin_ns;
        if (op->outcome == LAB_ACKED && bin < s->count) {
            all[n++] =
                (struct answer){(uint32_t)bin, (uint32_t)((op->end_ns - op->begin_ns) / 1000)};
        }
    }
    qsort(all, n, sizeof(*all), by_bin_and_time);
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && all[end].bin == all[i].bin) {
            end++;
        }
        s->bins[all[i].bin] = (struct lab_drill_bin){
            (uint32_t)(end - i), all[i + (end - i - 1) / 2].us, all[end - 1].us};
        i = end;
    }
    free(all);
}

void lab_drill_result_free(struct lab_drill_result *r)
{
    free(r->series.bins);
    r->series = (struct lab_drill_series){0};
}
