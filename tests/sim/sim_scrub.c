/* The scrubber, watched: it finds what the device has spoiled, and nothing else. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

static bool is_snapshot(const char *name)
{
    return strstr(name, "/snapshot-") != NULL && strchr(name, '.') == NULL;
}

/* A damaged snapshot is better than none. */
void sim_scrub_removes(const struct sim_volume *v, const char *name)
{
    bool whole = false;
    bool damaged = false;
    if (!is_snapshot(name) || v->dead) {
        return;
    }
    for (size_t i = 0; i < v->names.count; i++) {
        const struct sim_name *n = &v->names.n[i];
        if (is_snapshot(n->name)) {
            bool is = n->file->wrong.count + n->file->lies.count > 0;
            bool itself = strcmp(n->name, name) == 0;
            damaged = itself ? is : damaged;
            whole = whole || (!itself && !is);
        }
    }
    if (damaged && !whole) {
        sim_fail(v->sim, SIM_CHECK_SCRUB, "%s removes %s, which is damaged, and has no whole one",
                 sim_node_name(v->sim, v->node), name);
    }
}

/* The loop hears of what is durable within this. */
#define TOLD_NS (500 * SIM_MS)

void sim_scrub_begins(void *ctx)
{
    struct sim_replica *r = ctx;
    r->disk.scrub_before = r->disk.scrub_at;
    r->disk.scrub_at = r->sim->now;
}

void sim_scrub_found(void *ctx, const char *text)
{
    struct sim_replica *r = ctx;
    struct sim_disk *d = &r->disk;
    const char *snapshot = strstr(text, "/snapshot-");
    if (snapshot != NULL) {
        d->told_broken.v = strtoull(snapshot + strlen("/snapshot-"), NULL, 10);
    }
    sim_note(r->sim, r->node, "found while looking through the disk: %s", text);
    r->sim->stats.scrub_found++;
    if (!d->lost && !d->volume.latent && !d->volume.dead) {
        sim_fail(r->sim, SIM_CHECK_SCRUB, "%s finds damage on its good disk: %s",
                 sim_node_name(r->sim, r->node), text);
    }
}

/* It is as good as new when nothing else is damaged. */
void sim_scrub_repaired(void *ctx)
{
    struct sim_replica *r = ctx;
    struct sim *s = r->sim;
    struct sim_volume *v = &r->disk.volume;
    s->stats.repaired++;
    sim_note(s, r->node, "mends its journal behind seq %llu with what %s has",
             (unsigned long long)r->p.repair.flaw.after.seq.v,
             r->p.repair.from.v == 0 ? "itself" : sim_node_name(s, r->p.repair.from.v));
    if (sim_volume_mends(v) && !v->dead) {
        sim_fail(s, SIM_CHECK_SAID, "%s says that its journal is mended, and that is not durable",
                 sim_node_name(s, r->node));
    }
    sim_volume_look(v);
    if (v->latent && sim_volume_is_whole(v)) {
        sim_note(s, r->node, "its disk is whole again");
        v->latent = false;
        v->spared = false;
        r->disk.told_bad = false;
        s->stats.whole_again++;
    }
}

/* What the loop did not know to be durable when the pass began it need not see: the next one does.
 */
void sim_scrub_ended(void *ctx)
{
    struct sim_replica *r = ctx;
    struct sim *s = r->sim;
    const struct sim_disk *d = &r->disk;
    s->stats.scrubs++;
    uint64_t since = d->scrub_at < TOLD_NS ? 0 : d->scrub_at - TOLD_NS;
    since = since < d->scrub_before ? since : d->scrub_before;
    r->disk.told_bad = r->disk.told_bad && r->p.unreadable;
    const char *hidden = r->p.scrub.found == 0 ? sim_volume_hides(&d->volume, since) : NULL;
    if (hidden != NULL && !d->volume.dead) {
        sim_fail(s, SIM_CHECK_SCRUB,
                 "%s has looked through its disk, and did not see that %s is damaged",
                 sim_node_name(s, r->node), hidden);
    }
}
