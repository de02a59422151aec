#include "replicator/canary.h"

static struct ts_mono due(const struct canary *k)
{
    return ts_mono_add(k->since, k->patience + k->bytes * CANARY_NS_PER_BYTE);
}

void canary_look(struct canary *k, struct ts_mono now, bool owes, uint64_t done_a, uint64_t done_b,
                 uint64_t bytes)
{
    bool further = k->done[0] != done_a || k->done[1] != done_b;
    if (!owes || !k->owes || further) {
        k->since = now;
        k->bytes = bytes;
        k->late_at.ns = 0;
    }
    k->owes = owes;
    k->done[0] = done_a;
    k->done[1] = done_b;
    if (owes && k->late_at.ns == 0 && !ts_mono_lt(now, due(k))) {
        k->late_at = now;
    }
}

bool canary_hangs(const struct canary *k, struct ts_mono now)
{
    return k->late_at.ns != 0 && !ts_mono_lt(now, canary_deadline(k));
}

struct ts_mono canary_deadline(const struct canary *k)
{
    if (!k->owes) {
        return TS_MONO_NEVER;
    }
    return k->late_at.ns == 0 ? due(k) : ts_mono_add(k->late_at, k->patience / CANARY_GRACE_PART);
}
