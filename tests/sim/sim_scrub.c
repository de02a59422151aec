/* The scrubber, watched: it finds what the device has spoiled, and nothing else. */
#include "tests/sim/sim.h"

void sim_scrub_begins(void *ctx)
{
    struct sim_replica *r = ctx;
    struct sim_disk *d = &r->disk;
    d->scrub_before = d->scrub_at;
    d->scrub_at = r->sim->now;
}

void sim_scrub_found(void *ctx, const char *text)
{
    const struct sim_replica *r = ctx;
    const struct sim_disk *d = &r->disk;
    sim_note(r->sim, r->node, "found while looking through the disk: %s", text);
    r->sim->stats.scrub_found++;
    if (!d->lost && !d->volume.latent && !d->volume.dead) {
        sim_fail(r->sim, SIM_CHECK_SCRUB, "%s finds damage on its good disk: %s",
                 sim_node_name(r->sim, r->node), text);
    }
}

/* What was not durable yet when the pass began it need not see: the next one does. */
void sim_scrub_ended(void *ctx)
{
    struct sim_replica *r = ctx;
    struct sim *s = r->sim;
    const struct sim_disk *d = &r->disk;
    s->stats.scrubs++;
    const char *hidden =
        r->p.scrub.found == 0 ? sim_volume_hides(&d->volume, d->scrub_before) : NULL;
    if (hidden != NULL && !d->volume.dead) {
        sim_fail(s, SIM_CHECK_SCRUB,
                 "%s has looked through its disk, and did not see that %s is damaged",
                 sim_node_name(s, r->node), hidden);
    }
}
