/* The shortest reproduction: the same failure with fewer kinds of faults, fewer faults, an earlier
 * end of them. What is left out moves everything after it a little, so this is a search, not a
 * proof: the result is short, not the shortest there is. */
#include "tests/sim/sim.h"

struct search {
    struct sim *s;
    struct sim_plan *best;
    enum sim_check check;
    unsigned left;
};

/* Keeps the candidate when it fails in the same way. */
static bool try(struct search *x, const struct sim_plan *candidate)
{
    struct sim_options quiet = x->s->options;
    if (x->left == 0) {
        return false;
    }
    x->left--;
    quiet.trace = quiet.clients = false;
    bool good = sim_run(x->s, candidate, &quiet);
    if (good && x->check == SIM_CHECK_COURSE) {
        good = sim_run_same(x->s, candidate, &quiet);
    }
    if (good || x->s->failure.check != x->check) {
        return false;
    }
    *x->best = *candidate;
    return true;
}

static bool drop_kinds(struct search *x)
{
    static struct sim_plan candidate;
    bool shorter = false;
    for (int k = 0; k < SIM_FAULT_KINDS; k++) {
        size_t dropped = 0;
        candidate = *x->best;
        for (size_t i = 0; i < candidate.fault_count; i++) {
            struct sim_fault *f = &candidate.fault[i];
            if ((int)f->kind == k && !f->off) {
                f->off = true;
                dropped++;
            }
        }
        shorter = (dropped > 0 && try(x, &candidate)) || shorter;
    }
    return shorter;
}

static bool drop_runs(struct search *x, size_t length)
{
    static struct sim_plan candidate;
    bool shorter = false;
    for (size_t from = 0; from < x->best->fault_count; from += length) {
        size_t dropped = 0;
        candidate = *x->best;
        for (size_t i = from; i < from + length && i < candidate.fault_count; i++) {
            dropped += !candidate.fault[i].off;
            candidate.fault[i].off = true;
        }
        shorter = (dropped > 0 && try(x, &candidate)) || shorter;
    }
    return shorter;
}

static bool stop_earlier(struct search *x)
{
    static struct sim_plan candidate;
    uint64_t last = 0;
    for (size_t i = 0; i < x->best->fault_count; i++) {
        const struct sim_fault *f = &x->best->fault[i];
        last = !f->off && f->at > last ? f->at : last;
    }
    for (uint64_t more = 10 * SIM_MS; last + more < x->best->faults_until; more *= 4) {
        candidate = *x->best;
        candidate.faults_until = last + more;
        if (try(x, &candidate)) {
            return true;
        }
    }
    return false;
}

void sim_shrink(struct sim *s, struct sim_plan *plan, unsigned runs)
{
    struct search x = {.s = s, .best = plan, .check = s->failure.check, .left = runs};
    bool shorter = true;
    while (shorter && x.left > 0) {
        shorter = drop_kinds(&x);
        for (size_t length = 64; length >= 1; length /= 4) {
            shorter = drop_runs(&x, length) || shorter;
        }
        shorter = stop_earlier(&x) || shorter;
    }
}
