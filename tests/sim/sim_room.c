/* Room on a replica's disk: who else takes some, and that a primary without any refuses writes.
 *
 * The checker measures the files by itself. What the replica knows is from a look now and then, so
 * it may take writes until it has looked twice since there is no room any more: the second look
 * begins when what the first one found has been judged. */
#include <string.h>

#include "base/hash.h"
#include "tests/sim/sim.h"

/* Others keep the room that they take so long. */
#define WINDOW_NS (3 * SIM_S)
/* As in replicator/io/perform_room.c. */
#define KEPT_SEGMENTS 4U

static uint64_t window_of(const struct sim *s)
{
    return 1 + s->now / WINDOW_NS;
}

bool sim_room_is_tight(const struct sim *s, int node)
{
    uint64_t parts[3] = {s->seed, (uint64_t)node, window_of(s)};
    return s->plan.disk_shared && s->now < s->end_of_faults &&
           ts_hash_bytes(parts, sizeof(parts)).lo % 3 == 0;
}

void sim_room_looked(struct sim *s, int node)
{
    struct sim_disk *d = &s->node[node].replica.disk;
    d->looks++;
    d->tight = sim_room_is_tight(s, node) ? d->looks : d->tight;
}

bool sim_room_was_tight(const struct sim_disk *d)
{
    return d->tight != 0 && d->looks - d->tight <= 1;
}

/* Of the journal and whole snapshots, as their files are. */
static uint64_t use_of(const struct sim_volume *v)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < v->names.count; i++) {
        const char *name = v->names.n[i].name;
        bool unfinished = strstr(name, ".new") != NULL;
        bool counts = strstr(name, "/segment-") != NULL || strstr(name, "/snapshot-") != NULL;
        bytes += counts && !unfinished ? v->names.n[i].file->size : 0;
    }
    return bytes;
}

static bool is_over(const struct sim *s, int node)
{
    const struct sim_disk *d = &s->node[node].replica.disk;
    uint64_t kept = (uint64_t)KEPT_SEGMENTS * d->segment_bytes;
    uint64_t limit = s->plan.disk_segments * d->segment_bytes;
    return sim_room_is_tight(s, node) || (limit != 0 && use_of(&d->volume) + kept > limit);
}

void sim_room_watch(struct sim *s, int node)
{
    struct sim_disk *d = &s->node[node].replica.disk;
    if (!is_over(s, node)) {
        d->over = 0;
    } else if (d->over == 0 || d->over != window_of(s)) {
        d->over = window_of(s);
        d->over_looks = d->looks;
    }
}

void sim_room_check_takes(struct sim *s, int node)
{
    const struct sim_disk *d = &s->node[node].replica.disk;
    if (d->over == window_of(s) && d->looks >= d->over_looks + 2 && is_over(s, node)) {
        sim_fail(s, SIM_CHECK_ROOM, "%s takes a write, and its disk has no room any more",
                 sim_node_name(s, node));
    }
}
