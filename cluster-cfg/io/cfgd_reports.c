/* What the node's processes report, kept as the newest of each kind; changes that nobody else
 * tells of become events. */
#include "cluster-cfg/io/cfgd_internal.h"

static const struct report_proc *find(const struct report_procs *r, const struct report_proc *like)
{
    for (size_t i = 0; i < r->count; i++) {
        if (r->p[i].role == like->role && r->p[i].group.v == like->group.v) {
            return &r->p[i];
        }
    }
    return NULL;
}

static void record_proc(struct cfgd *d, const struct report_proc *p, enum ts_trace_kind kind,
                        uint64_t pid, uint64_t b)
{
    struct ts_trace t = {.kind = kind, .at = net_now(), .a = pid, .b = b};
    cfgd_record(d, (struct recorder_source){.role = p->role, .group = p->group}, &t);
}

/* nicd repeats the whole list; its changes are the events. A pid that changed without a pause
 * seen in between is an exit and a start. */
static void on_procs(struct cfgd *d, const struct report_procs *now)
{
    for (size_t i = 0; i < now->count; i++) {
        const struct report_proc *p = &now->p[i];
        const struct report_proc *old = d->state.has_procs ? find(&d->state.procs, p) : NULL;
        bool ran = old != NULL && old->running;
        bool same = ran && p->running && old->pid == p->pid;
        if (ran && !same) {
            /* The exit status goes as 32 bits of two's complement. */
            record_proc(d, p, TS_TRACE_PROC_EXITED, old->pid, (uint32_t)p->last_status);
        }
        if (p->running && !same) {
            record_proc(d, p, TS_TRACE_PROC_STARTED, p->pid, 0);
        }
    }
    d->state.procs = *now;
    d->state.has_procs = true;
    d->state.procs_at = net_now();
}

static void on_replica(struct cfgd *d, const struct report_replica *r)
{
    struct admin_replica *kept = &d->state.replica[r->group.v];
    kept->report = *r;
    kept->has = true;
    kept->at = net_now();
}

static void on_trace(struct cfgd *d, const struct report_trace *r)
{
    struct recorder_source source = {r->role, r->group, r->instance};
    for (size_t i = 0; i < r->count; i++) {
        cfgd_record(d, source, &r->t[i]);
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
