/* Faults that wait for something: for an operation on a disk, for an effect, for a moment. They are
 * armed first, and counted when they strike; many never do. */
#include "base/assert.h"
#include "replicator/io/journal_internal.h"
#include "tests/sim/sim.h"

/* Those that begin() in sim_fault.c does no more than arm. */
#define WAITING \
    (1ULL << SIM_FAULT_CRASH_POINT | 1ULL << SIM_FAULT_CRASH_POINT_VOTER | \
     1ULL << SIM_FAULT_CRASH_POINT_HEART | 1ULL << SIM_FAULT_CRASH_OPERATION | \
     1ULL << SIM_FAULT_CRASH_OPERATION_VOTER | 1ULL << SIM_FAULT_PAUSE_POINT | \
     1ULL << SIM_FAULT_MOMENT | 1ULL << SIM_FAULT_SLOW_DISK | 1ULL << SIM_FAULT_STALL_DISK | \
     1ULL << SIM_FAULT_STALL_VOTER | 1ULL << SIM_FAULT_SLOW_VOTER | 1ULL << SIM_FAULT_FULL_VOTER | \
     1ULL << SIM_FAULT_FULL_DISK | 1ULL << SIM_FAULT_FSYNC_ERROR | 1ULL << SIM_FAULT_CORRUPT | \
     1ULL << SIM_FAULT_LOST_WRITE | 1ULL << SIM_FAULT_MISDIRECTED | 1ULL << SIM_FAULT_OLD_DISK | \
     1ULL << SIM_FAULT_CLONE | 1ULL << SIM_FAULT_CLONE_VOTER | 1ULL << SIM_FAULT_CLONE_OTHER | \
     1ULL << SIM_FAULT_VOTER_LOST_WRITE | 1ULL << SIM_FAULT_VOTER_MISDIRECTED | \
     1ULL << SIM_FAULT_VOTER_FSYNC | 1ULL << SIM_FAULT_VOTER_OLD | 1ULL << SIM_FAULT_OLD_TOGETHER)

bool sim_strike_waits(enum sim_fault_kind kind)
{
    return (WAITING >> kind & 1) != 0;
}

void sim_strike(struct sim *s, enum sim_fault_kind kind)
{
    ts_assert(sim_strike_waits(kind));
    s->stats.faults[kind]++;
}

void sim_strike_arm(struct sim_volume *v, enum sim_fault_kind kind)
{
    v->fresh |= 1ULL << kind;
}

void sim_strike_once(struct sim_volume *v, enum sim_fault_kind kind)
{
    if ((v->fresh >> kind & 1) != 0) {
        v->fresh &= ~(1ULL << kind);
        sim_strike(v->sim, kind);
    }
}

/* Whether the sync is one of those that the fault waits for: of a name, or of a file that never was
 * synced before. */
static bool is_meant(const struct sim_volume *v, const struct sim_file *f)
{
    return !v->syncs_of_new || f->dir || f->durable_size == 0;
}

bool sim_strike_sync(struct sim_volume *v, const struct sim_file *f)
{
    struct sim *s = v->sim;
    if (v->syncs_left == 0 || v->held || !is_meant(v, f) || --v->syncs_left > 0) {
        return false;
    }
    struct sim_node *n = &s->node[v->node];
    bool voter = v == &n->cfgd.disk.volume;
    enum sim_fault_kind kind = voter ? SIM_FAULT_VOTER_FSYNC : SIM_FAULT_FSYNC_ERROR;
    bool allowed = voter ? sim_budget_allows_voter_loss(s, v->node, false)
                         : sim_budget_allows_replica_loss(s, v->node);
    if (!allowed) {
        s->stats.spared[kind]++;
        return false;
    }
    sim_note(s, v->node, "a sync of the %s's disk fails", voter ? "voter" : "replica");
    sim_strike(s, kind);
    if (voter) {
        n->cfgd.disk.lost = true;
    } else {
        n->replica.disk.lost = true;
    }
    if (v->fails_full) {
        v->full = SIM_FULL_TO_GROW;
    }
    return true;
}

/* A lost or misdirected write has begun. */
void sim_strike_lie(struct sim_volume *v)
{
    bool voter = v == &v->sim->node[v->node].cfgd.disk.volume;
    bool lost = v->next == SIM_LIE_LOST;
    sim_strike(v->sim, voter  ? lost ? SIM_FAULT_VOTER_LOST_WRITE : SIM_FAULT_VOTER_MISDIRECTED
                       : lost ? SIM_FAULT_LOST_WRITE
                              : SIM_FAULT_MISDIRECTED);
}

void sim_strike_fetch(struct sim *s, int node, struct ts_seq after)
{
    struct sim_disk *d = &s->node[node].replica.disk;
    struct journal_index_entry at = journal_index_find(&d->journal->index, ts_seq_add(after, 1));
    if (sim_disk_good(d) && sim_budget_allows_replica_loss(s, node) &&
        sim_volume_corrupt_segment(&d->volume, at.segment, at.offset)) {
        sim_note(s, node, "the device damages what is read for a learner");
        sim_strike(s, SIM_FAULT_CORRUPT);
        sim_volume_drop_cache(&d->volume);
        for (int n = 1; n <= s->nics; n++) {
            s->node[n].replica.disk.at_fetch = NULL;
        }
    }
}
