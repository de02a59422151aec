/* Whether a group has a primary, as far as one node can know.
 *
 * A replica knows it of itself, and of the primary that it has a live link to: that is silent
 * for failure-timeout at most. A node without a replica's word (an arbiter, or a replica that is
 * down) knows only that no replica of the group runs on any node that it hears. All else is not
 * known here, and no reason for an alarm. */
#include "cluster-cfg/io/admin.h"

#define LOST_TIMEOUTS 5
#define LOST_NS_MIN TS_NS_PER_S

uint64_t admin_no_primary_after(const struct cfg_timing *t)
{
    uint64_t after = LOST_TIMEOUTS * t->failure_timeout;
    return after > LOST_NS_MIN ? after : LOST_NS_MIN;
}

static bool is_linked_to(const struct report_replica *r, struct ts_nic_id nic)
{
    for (size_t i = 0; i < r->peer_count; i++) {
        if (ts_nic_eq(r->peers[i].nic, nic)) {
            return r->peers[i].connected;
        }
    }
    return false;
}

/* What the replica of this node says of the primary. */
static bool replica_sees_primary(const struct report_replica *r)
{
    switch (r->role) {
    case REPORT_ROLE_PRIMARY:
        return true;
    case REPORT_ROLE_SECONDARY:
    case REPORT_ROLE_LEARNER:
        return r->config.epoch.v != 0 && is_linked_to(r, r->config.primary);
    case REPORT_ROLE_STARTING:
    case REPORT_ROLE_TAKING_OVER:
    case REPORT_ROLE_HALTED:
        break;
    }
    return false;
}

static bool peer_runs_none(const struct admin_state *s, struct ts_nic_id nic, struct ts_group_id g)
{
    for (size_t i = 0; i < s->peers.count; i++) {
        const struct report_peer *p = &s->peers.p[i];
        if (ts_nic_eq(p->nic, nic)) {
            bool stopped = (p->replica_known_mask & ~p->replica_running_mask & (1ULL << g.v)) != 0;
            return !p->alive || stopped;
        }
    }
    return false;
}

/* What heartbeatd and nicd say: that no replica runs on any node that is heard, or none but the one
 * here that has just been started again, and has no word yet. */
static bool runs_nowhere(const struct admin_state *s, const struct cfg_group *g, struct ts_mono now)
{
    if (!s->has_peers || ts_mono_since(s->peers_at, now) > ADMIN_SILENT_NS) {
        return false;
    }
    for (size_t i = 0; i < g->nic_count; i++) {
        bool none =
            ts_nic_eq(g->nics[i], s->self->id)
                ? !admin_replica_runs(s, g->id) || s->primary[g->id.v].state == ADMIN_PRIMARY_NONE
                : peer_runs_none(s, g->nics[i], g->id);
        if (!none) {
            return false;
        }
    }
    return true;
}

static enum admin_primary_state state_now(const struct admin_state *s, const struct cfg_group *g,
                                          struct ts_mono now)
{
    const struct admin_replica *own = &s->replica[g->id.v];
    bool has_word = cfg_group_has(g, s->self->id) && own->has && admin_replica_runs(s, g->id) &&
                    ts_mono_since(own->at, now) <= ADMIN_SILENT_NS;
    if (has_word) {
        return replica_sees_primary(&own->report) ? ADMIN_PRIMARY_SEEN : ADMIN_PRIMARY_NONE;
    }
    return runs_nowhere(s, g, now) ? ADMIN_PRIMARY_NONE : ADMIN_PRIMARY_UNKNOWN;
}

bool admin_primary_is_lost(const struct admin_state *s, struct ts_group_id group,
                           struct ts_mono now)
{
    const struct admin_primary *p = &s->primary[group.v];
    return p->state == ADMIN_PRIMARY_NONE &&
           ts_mono_since(p->since, now) > admin_no_primary_after(&s->cluster->timing);
}

enum admin_primary_change admin_primary_update(struct admin_state *s, const struct cfg_group *g,
                                               struct ts_mono now, uint64_t *lost_ns)
{
    struct admin_primary *p = &s->primary[g->id.v];
    enum admin_primary_state state = state_now(s, g, now);
    if (state != p->state) {
        /* The time without one begins when it was last seen, not when that was noticed. */
        p->since = p->state == ADMIN_PRIMARY_SEEN && state == ADMIN_PRIMARY_NONE ? p->seen : now;
        p->state = state;
    }
    if (state == ADMIN_PRIMARY_SEEN) {
        p->seen = now;
    }
    bool lost = admin_primary_is_lost(s, g->id, now);
    if (lost && (!p->told || p->lost_at.ns != p->since.ns)) {
        p->told = true;
        p->lost_at = p->since;
        *lost_ns = ts_mono_since(p->lost_at, now);
        return ADMIN_PRIMARY_LOST;
    }
    if (p->told && state == ADMIN_PRIMARY_SEEN) {
        p->told = false;
        *lost_ns = ts_mono_since(p->lost_at, now);
        return ADMIN_PRIMARY_BACK;
    }
    return ADMIN_PRIMARY_SAME;
}
