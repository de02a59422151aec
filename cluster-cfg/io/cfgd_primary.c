/* Whether each group has a primary, looked at again and again: a loss is told once, and its
 * end once. That it lasts is an alarm of the admin side. */
#include "cluster-cfg/io/cfgd_internal.h"

#define LOOK_MS_MAX 1000

static void tell(struct cfgd *d, const struct cfg_group *g, enum ts_trace_kind kind,
                 uint64_t lost_ns)
{
    const struct cfg_config *c = &d->state.replica[g->id.v].report.config;
    struct recorder_source source = {
        .role = REPORT_PROC_CLUSTER_CFGD, .group = g->id, .instance = d->instance};
    struct ts_trace trace = {.kind = kind,
                             .at = net_now(),
                             .epoch = c->epoch,
                             .a = c->primary.v,
                             .b = lost_ns / TS_NS_PER_MS};
    cfgd_record(d, source, &trace);
}

static void look_at(struct cfgd *d, const struct cfg_group *g)
{
    uint64_t lost_ns = 0;
    switch (admin_primary_update(&d->state, g, net_now(), &lost_ns)) {
    case ADMIN_PRIMARY_SAME:
        break;
    case ADMIN_PRIMARY_LOST:
        net_log(d->o.log, NET_LOG_WARNING,
                "no primary of %s has been seen here for %llu ms; twinstep status tells what is "
                "missing",
                g->name, (unsigned long long)(lost_ns / TS_NS_PER_MS));
        tell(d, g, TS_TRACE_ALARM_NO_PRIMARY, lost_ns);
        break;
    case ADMIN_PRIMARY_BACK:
        net_log(d->o.log, NET_LOG_INFO, "%s has a primary again, after %llu ms without", g->name,
                (unsigned long long)(lost_ns / TS_NS_PER_MS));
        tell(d, g, TS_TRACE_PRIMARY_SEEN, lost_ns);
        break;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct cfgd *d = timer->data;
    for (size_t i = 0; i < d->o.cluster->group_count; i++) {
        look_at(d, &d->o.cluster->groups[i]);
    }
    net_log_tell_held(d->o.log, net_now(), false);
}

enum ts_err cfgd_primary_open(struct cfgd *d, struct ts_why *why)
{
    uint64_t after_ms = admin_no_primary_after(&d->o.cluster->timing) / TS_NS_PER_MS;
    uint64_t every_ms = after_ms / 10 < LOOK_MS_MAX ? after_ms / 10 : LOOK_MS_MAX;
    if (uv_timer_init(d->o.loop, &d->primary_timer) != 0) {
        return ts_why(why, TS_ERR_SYSTEM, "cannot set up a timer");
    }
    d->primary_open = true;
    d->primary_timer.data = d;
    (void)uv_timer_start(&d->primary_timer, on_timer, 0, every_ms);
    return TS_OK;
}

void cfgd_primary_close(struct cfgd *d)
{
    if (d->primary_open) {
        uv_close((uv_handle_t *)&d->primary_timer, NULL);
        d->primary_open = false;
    }
}
