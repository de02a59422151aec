/* What the node's processes report: states are kept, the newest of each; traces are recorded. */
#include <stdlib.h>

#include "cluster-cfg/io/cfgd_internal.h"

static void on_procs(struct cfgd *d, const struct report_procs *now)
{
    admin_take_procs(&d->state, now, net_now());
}

static void on_replica(struct cfgd *d, const struct report_replica *r)
{
    struct admin_replica *kept = &d->state.replica[r->group.v];
    kept->report = *r;
    kept->has = true;
    kept->at = net_now();
}

static void on_address(struct cfgd *d, const struct report_address *r)
{
    struct admin_address *kept = &d->state.address[r->group.v];
    kept->report = *r;
    kept->has = true;
    kept->at = net_now();
}

static void on_figures(struct cfgd *d, const struct report_figures *f)
{
    struct admin_figures *kept = &d->state.figures[f->group.v];
    if (kept->report == NULL) {
        kept->report = malloc(sizeof(*kept->report)); /* of groups with a replica here only */
    }
    if (kept->report != NULL) {
        *kept->report = *f;
        kept->at = net_now();
    }
}

/* Each trace repeats the sum of its reason: a lost one does not matter. */
static void keep_refused(struct cfgd *d, const struct report_trace *r, const struct ts_trace *t)
{
    struct admin_refused *kept = &d->state.heartbeats;
    if (r->role != REPORT_PROC_HEARTBEATD || t->kind != TS_TRACE_REJECTED_INPUT ||
        t->a >= ADMIN_REFUSED_REASONS) {
        return;
    }
    if (kept->instance.v != r->instance.v) {
        *kept = (struct admin_refused){.instance = r->instance};
    }
    kept->count[t->a] = t->b;
}

/* heartbeatd repeats each second that a node's heartbeats have a wrong key: an event is that it
 * begins. */
static bool is_known(struct cfgd *d, const struct report_trace *r, const struct ts_trace *t)
{
    struct ts_nic_id node = {(uint16_t)(t->a <= TS_NODES_MAX ? t->a : 0)};
    return r->role == REPORT_PROC_HEARTBEATD && t->kind == TS_TRACE_WRONG_KEY &&
           !admin_wrong_key_note(&d->state, node, net_now());
}

static void on_trace(struct cfgd *d, const struct report_trace *r)
{
    struct recorder_source source = {r->role, r->group, r->instance};
    /* A busy machine has many short stalls. They explain no failover and would push out those. */
    uint64_t stall_ms_min = d->o.cluster->timing.path_timeout / TS_NS_PER_MS;
    for (size_t i = 0; i < r->count; i++) {
        keep_refused(d, r, &r->t[i]);
        bool short_stall = r->t[i].kind == TS_TRACE_OWN_STALL && r->t[i].a < stall_ms_min;
        if (!short_stall && !is_known(d, r, &r->t[i])) {
            cfgd_record(d, source, &r->t[i]);
        }
    }
}

/* The links of the node's own voter may stand since before, and have the old certificate. */
static void on_refused(struct cfgd *d, const struct report_refused *r)
{
    struct ts_mono now = net_now();
    if (admin_refused_note(&d->state, r->peer, r->why, r->detail, now)) {
        cfgd_trace(d, &(struct ts_trace){.kind = TS_TRACE_LINK_REFUSED, .at = now, .a = r->peer.v});
    }
}

static enum ts_err on_peers(struct cfgd *d, struct ts_bytes datagram)
{
    struct report_peers r;
    enum ts_err err = report_peers_decode(&r, datagram);
    if (err == TS_OK && ts_nic_eq(r.nic, d->o.self->id)) {
        d->state.peers = r;
        d->state.has_peers = true;
        d->state.peers_at = net_now();
        cfgd_voter_paths(d, &r);
    }
    return err;
}

static enum ts_err dispatch(struct cfgd *d, struct ts_bytes datagram)
{
    union {
        struct report_procs procs;
        struct report_replica replica;
        struct report_trace trace;
        struct report_figures figures;
        struct report_address address;
        struct report_refused refused;
    } u;
    enum ts_err err = TS_ERR_MALFORMED;
    switch (report_peek(datagram)) {
    case REPORT_NONE:
        break;
    case REPORT_PEERS:
        return on_peers(d, datagram);
    case REPORT_PROCS:
        err = report_procs_decode(&u.procs, datagram);
        if (err == TS_OK && ts_nic_eq(u.procs.nic, d->o.self->id)) {
            on_procs(d, &u.procs);
        }
        break;
    case REPORT_REPLICA:
        err = report_replica_decode(&u.replica, datagram);
        if (err == TS_OK && ts_nic_eq(u.replica.nic, d->o.self->id)) {
            on_replica(d, &u.replica);
        }
        break;
    case REPORT_FIGURES:
        err = report_figures_decode(&u.figures, datagram);
        if (err == TS_OK && ts_nic_eq(u.figures.nic, d->o.self->id) &&
            cfg_cluster_group(d->o.cluster, u.figures.group) != NULL) {
            on_figures(d, &u.figures);
        }
        break;
    case REPORT_ADDRESS:
        err = report_address_decode(&u.address, datagram);
        if (err == TS_OK && ts_nic_eq(u.address.nic, d->o.self->id)) {
            on_address(d, &u.address);
        }
        break;
    case REPORT_REFUSED:
        err = report_refused_decode(&u.refused, datagram);
        if (err == TS_OK && ts_nic_eq(u.refused.nic, d->o.self->id)) {
            on_refused(d, &u.refused);
        }
        break;
    case REPORT_HANDOFF: /* these go to others */
    case REPORT_SERVES:
    case REPORT_RESET:
    case REPORT_SNAPSHOT:
        break;
    case REPORT_TRACE:
        err = report_trace_decode(&u.trace, datagram);
        if (err == TS_OK && ts_nic_eq(u.trace.nic, d->o.self->id)) {
            on_trace(d, &u.trace);
        }
        break;
    }
    return err;
}

void cfgd_on_report(void *arg, struct ts_bytes datagram)
{
    struct cfgd *d = arg;
    if (dispatch(d, datagram) != TS_OK) {
        d->state.reports_refused++;
        (void)net_log_limited(d->o.log, NET_LOG_WARNING, "report-refused",
                              "refused a malformed report of %zu bytes on " CFGD_SOCKET,
                              datagram.len);
    }
}
