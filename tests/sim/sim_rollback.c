/* Old images: the disk of a replica or of a voter comes back as it was (a virtual machine's
 * snapshot, a restored backup). */
#include <signal.h>

#include "tests/sim/sim.h"

/* The first half: an image is kept, and the process starts anew, so that the voters know of a later
 * start than the image does. (An image of the present start cannot be told from the disk itself by
 * a start number: that is outside the budget.) */
void sim_rollback_keep(struct sim *s, int node, enum sim_proc proc)
{
    if (proc == SIM_CFGD) {
        sim_voter_disk_keep_image(s, node);
    } else {
        sim_disk_keep_image(s, node);
    }
    sim_proc_end(s, node, proc, -SIGKILL);
}

bool sim_rollback_replica(struct sim *s, int node)
{
    struct sim_replica *r = &s->node[node].replica;
    if (!r->p.started || r->disk.lost || !r->disk.has_kept ||
        r->disk.kept_start.number >= r->disk.start.number ||
        !sim_budget_allows_replica_loss(s, node)) {
        return false;
    }
    sim_proc_end(s, node, SIM_REPLICA, -SIGKILL);
    sim_disk_put_image(s, node);
    sim_note(s, node, "an old image of the replica's disk is put back");
    return true;
}

bool sim_rollback_voter(struct sim *s, int node)
{
    struct sim_cfgd *c = &s->node[node].cfgd;
    if (c->core == NULL || !voter_is_ready(c->core) || !c->disk.has_kept ||
        c->disk.kept.start.number >= c->disk.durable.start.number ||
        !sim_budget_allows_voter_loss(s, node, true)) {
        return false;
    }
    sim_proc_end(s, node, SIM_CFGD, -SIGKILL);
    sim_voter_disk_put_image(s, node);
    sim_note(s, node, "an old image of the voter's disk is put back");
    return true;
}

/* ---- a voter and what it knew, together -------------------------------------------------------
 *
 * A voter's old image has forgotten promises, values and starts. That hurts most when no other
 * voter that is there remembers them:
 *   1. Images are kept of a voter and of a replica; the voter starts anew, which all others
 * confirm.
 *   2. Another voter is cut off, and the replica starts anew: that, and the configs which follow
 *      from it, only the rest knows.
 *   3. The voter's old image is put back, mostly the replica's, too; the one that was cut off is
 *      there again, and a third, which knows, is not. */

static struct sim_fault cut_off(const struct sim *s, const struct sim_fault *f, int steps)
{
    struct sim_fault cut = *f;
    cut.node = (uint8_t)((f->node + steps * (1 + (int)(f->b & 1)) - 1) % s->nodes + 1);
    cut.a = 0;
    return cut;
}

static void next_stage(struct sim *s, size_t fault, uint64_t stage, uint64_t after)
{
    sim_push(s, &(struct sim_event){
                    .kind = SIM_EV_FAULT_POINT, .at = s->now + after, .a = fault, .b = stage});
}

static uint64_t gap(const struct sim *s, const struct sim_fault *f)
{
    return 40 * SIM_MS + s->plan.failure_timeout * (1 + (f->a >> 24) % 4);
}

static int replica_of(const struct sim *s, const struct sim_fault *f)
{
    return 1 + (int)((f->a >> 8) % (uint64_t)s->nics);
}

void sim_rollback_begin(struct sim *s, size_t fault)
{
    const struct sim_fault *f = &s->plan.fault[fault];
    sim_disk_keep_image(s, replica_of(s, f));
    sim_rollback_keep(s, f->node, SIM_CFGD);
    next_stage(s, fault, 1, gap(s, f));
}

void sim_rollback_goes_on(struct sim *s, const struct sim_event *ev)
{
    const struct sim_fault *f = &s->plan.fault[ev->a];
    struct sim_fault away = cut_off(s, f, (int)ev->b);
    if (s->healed) {
        return;
    }
    away.lasts = gap(s, f);
    sim_note(s, 0, "%s is cut off", sim_node_name(s, away.node));
    sim_fault_isolate(s, &away);
    if (ev->b == 1) {
        sim_proc_end(s, replica_of(s, f), SIM_REPLICA, -SIGKILL);
        next_stage(s, ev->a, 2, away.lasts);
        return;
    }
    if ((f->a >> 18) % 2 == 0 && s->net.late_until <= s->now) {
        /* Which start is heard of first is open. */
        sim_note(s, 0, "register messages are late: up to %llu ms",
                 (unsigned long long)(away.lasts / SIM_MS));
        s->net.late_until = s->now + away.lasts;
        s->net.late_max = away.lasts;
    }
    bool both = (f->a >> 16) % 4 != 0;
    bool done = sim_rollback_voter(s, f->node);
    if (!both || !sim_rollback_replica(s, replica_of(s, f))) {
        sim_proc_end(s, replica_of(s, f), SIM_REPLICA, -SIGKILL); /* something is to be decided */
    }
    if (done) {
        sim_strike(s, f->kind);
    } else {
        s->stats.spared[f->kind]++;
    }
}
