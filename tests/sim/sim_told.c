/* The log as a journal was given it, and as it told that it is durable. */
#include <stdlib.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

void sim_told_add(struct sim_told *t, struct ts_seq last, struct ts_hash hash)
{
    if (t->log_count == t->log_cap) {
        t->log_cap = t->log_cap == 0 ? 256 : 2 * t->log_cap;
        t->log = realloc(t->log, t->log_cap * sizeof(*t->log));
        ts_assert(t->log != NULL);
    }
    t->log[t->log_count++] = (struct sim_batch){last, hash};
}

void sim_told_cut(struct sim_told *t, struct ts_seq after, struct ts_hash hash)
{
    while (t->log_count > 0 && t->log[t->log_count - 1].last.v > after.v) {
        t->log_count--;
    }
    if (after.v < t->seq.v) {
        t->seq = after;
        t->hash = hash;
    }
}

bool sim_told_hash(const struct sim_told *t, struct ts_seq seq, struct ts_hash *hash)
{
    size_t lo = 0;
    size_t hi = t->log_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->log[mid].last.v < seq.v) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *hash = lo < t->log_count ? t->log[lo].hash : (struct ts_hash){0, 0};
    return lo < t->log_count && t->log[lo].last.v == seq.v;
}

/* The hash's place in the set, or the free one for it. */
static size_t place(const struct sim_told *t, uint64_t hash)
{
    size_t at = (size_t)hash & (t->known_cap - 1);
    while (t->known[at] != 0 && t->known[at] != hash) {
        at = (at + 1) & (t->known_cap - 1);
    }
    return at;
}

static void grow(struct sim_told *t)
{
    uint64_t *old = t->known;
    size_t cap = t->known_cap;
    t->known_cap = cap == 0 ? 1024 : 2 * cap;
    t->known = calloc(t->known_cap, sizeof(*t->known));
    ts_assert(t->known != NULL);
    for (size_t i = 0; i < cap; i++) {
        if (old[i] != 0) {
            t->known[place(t, old[i])] = old[i];
        }
    }
    free(old);
}

void sim_told_know(struct sim_told *t, struct ts_hash hash)
{
    if (2 * t->known_count >= t->known_cap) {
        grow(t);
    }
    size_t at = place(t, hash.lo | 1);
    t->known_count += t->known[at] == 0;
    t->known[at] = hash.lo | 1;
}

bool sim_told_knows(const struct sim_told *t, struct ts_hash hash)
{
    return t->known_cap > 0 && t->known[place(t, hash.lo | 1)] != 0;
}

void sim_told_free(struct sim_told *t)
{
    free(t->log);
    free(t->known);
    *t = (struct sim_told){0};
}
