#include "cluster-cfg/io/cfgd.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cluster-cfg/io/cfgd_internal.h"
#include "cluster-cfg/io/metrics.h"

static uint64_t wall_now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

void cfgd_record(struct cfgd *d, struct recorder_source source, const struct ts_trace *trace)
{
    if (d->closing) {
        return;
    }
    /* The event is a little older than its report: its monotonic time says by how much. */
    uint64_t age_us = ts_mono_since(trace->at, net_now()) / TS_NS_PER_US;
    const struct recorder_event *e =
        recorder_add(d->recorder, wall_now_us() - age_us, source, trace);
    if (d->admin == NULL) {
        return; /* not open yet */
    }
    json_t *json = recorder_event_json(e);
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    if (text != NULL) {
        admin_server_publish(d->admin, text);
    }
    free(text);
    json_decref(json);
}

void cfgd_trace(struct cfgd *d, const struct ts_trace *trace)
{
    struct recorder_source own = {.role = REPORT_PROC_CLUSTER_CFGD, .instance = d->instance};
    cfgd_record(d, own, trace);
}

static void count_rejected(struct cfgd *d)
{
    if (d->voter.server != NULL) {
        d->state.voter.rejected = net_counters_rejected(voter_server_counters(d->voter.server));
    }
}

static char *on_metrics(void *arg)
{
    struct cfgd *d = arg;
    count_rejected(d);
    return metrics_text(&d->state, net_now(), wall_now_us());
}

/* Nobody's service hangs on them: without them the rest goes on. */
static void open_metrics(struct cfgd *d)
{
    const char *address = cfg_metrics_address(d->o.cluster, d->o.self);
    struct ts_why why = {0};
    if (address != NULL &&
        metrics_server_open(&d->metrics, d->o.loop, address, d->o.cluster->metrics_port,
                            METRICS_IDLE_S, on_metrics, d, &why) != TS_OK) {
        net_log(d->o.log, NET_LOG_WARNING, "%s", why.text);
    }
}

static char *on_admin(void *arg, struct ts_bytes request)
{
    struct cfgd *d = arg;
    count_rejected(d);
    return admin_answer(&d->state, request, net_now(), wall_now_us());
}

static enum ts_err open_recorder(struct cfgd *d, struct ts_why *why)
{
    char dir[TS_PATH_MAX];
    enum ts_err err = ts_path(dir, why, d->o.dir, "log");
    err = err != TS_OK ? err : ts_dir_make(dir, 0700, why);
    err = err != TS_OK ? err : recorder_open(&d->recorder, d->o.loop, dir, NULL, why);
    d->state.recorder = d->recorder;
    return err;
}

static enum ts_err open_reports(struct cfgd *d, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, d->o.dir, "run");
    err = err != TS_OK ? err : ts_dir_make(path, 0700, why);
    err = err != TS_OK ? err : ts_path(path, why, d->o.dir, CFGD_SOCKET);
    if (err != TS_OK) {
        return err;
    }
    err = net_dgram_open(&d->reports, d->o.loop, path, cfgd_on_report, d);
    if (err == TS_ERR_LIMIT) {
        return ts_why(why, TS_ERR_CONFIG,
                      "%s is too long for a Unix socket (%d bytes); use a directory with a shorter "
                      "name",
                      path, NET_DGRAM_PATH_MAX - 1);
    }
    d->reports_open = err == TS_OK;
    return err == TS_OK ? TS_OK : ts_why_sys(why, errno, "cannot bind %s", path);
}

/* An expired certificate does not keep this from starting: clocks may be wrong after a power cut,
 * and a new one can be loaded while it runs. It is an alarm, beforehand and then. */
static void keep_dates(struct cfgd *d)
{
    d->state.certificate =
        (struct admin_certificate){.from_s = d->tls.not_before, .until_s = d->tls.not_after};
}

static enum ts_err open_net(struct cfgd *d, struct ts_why *why)
{
    enum ts_err err = net_turn_open(&d->turn, d->o.loop);
    if (err != TS_OK) {
        return ts_why(why, err, "cannot set up the event loop: %s", ts_err_text(err));
    }
    d->turn_open = true;
    char dir[TS_PATH_MAX];
    err = ts_path(dir, why, d->o.dir, "tls");
    if (err != TS_OK) {
        return err;
    }
    err = net_tls_open_as(&d->tls, dir, d->o.self->name, d->o.cluster->name, why);
    if (err != TS_OK) {
        return TS_ERR_CONFIG;
    }
    d->tls_open = true;
    keep_dates(d);
    d->env = (struct net_env){.loop = d->o.loop, .turn = &d->turn, .log = d->o.log, .tls = &d->tls};
    return TS_OK;
}

/* Gives whether the replica of this group is there to hear it. */
static bool tell_replica(struct cfgd *d, struct ts_group_id group, const struct ts_writer *w)
{
    char path[TS_PATH_MAX];
    const struct cfg_group *g = cfg_cluster_group(d->o.cluster, group);
    return g != NULL && ts_path(path, NULL, d->o.dir, "run/replica-%s.sock", g->name) == TS_OK &&
           net_dgram_send(&d->reports, path, (struct ts_bytes){w->data, w->len});
}

static bool on_wish(void *arg, const struct report_handoff *wish)
{
    uint8_t bytes[REPORT_BYTES_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    return report_handoff_encode(wish, &w) == TS_OK && tell_replica(arg, wish->group, &w);
}

static bool on_want_snapshot(void *arg, const struct report_snapshot *wish)
{
    uint8_t bytes[REPORT_BYTES_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    return report_snapshot_encode(wish, &w) == TS_OK && tell_replica(arg, wish->group, &w);
}

static void init_state(struct cfgd *d)
{
    d->state.wish = on_wish;
    d->state.want_snapshot = on_want_snapshot;
    d->state.wish_arg = d;
    d->state.cluster = d->o.cluster;
    d->state.self = d->o.self;
    d->state.release = d->o.release;
    d->state.pid = (uint32_t)getpid();
    d->state.started = net_now();
}

enum ts_err cfgd_open(struct cfgd **out, const struct cfgd_options *options, struct ts_why *why)
{
    struct cfgd *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory; free some");
    }
    d->o = *options;
    d->instance.v = ts_random_id();
    init_state(d);
    enum ts_err err = open_recorder(d, why);
    err = err != TS_OK ? err : open_net(d, why);
    err = err != TS_OK ? err : cfgd_voter_open(d, why);
    err = err != TS_OK ? err : open_reports(d, why);
    err = err != TS_OK ? err : cfgd_primary_open(d, why);
    err = err != TS_OK ? err : admin_server_open(&d->admin, d->o.loop, d->o.dir, on_admin, d, why);
    if (err != TS_OK) {
        cfgd_close(d);
        return err;
    }
    open_metrics(d);
    *out = d;
    return TS_OK;
}

bool cfgd_has_ended(const struct cfgd *d)
{
    return d->has_ended;
}

void cfgd_renew_certificate(struct cfgd *d)
{
    net_tls_renew(&d->tls, d->o.log);
    keep_dates(d);
}

void cfgd_begin_close(struct cfgd *d)
{
    if (d->closing) {
        return;
    }
    d->closing = true;
    net_log_tell_held(d->o.log, net_now(), true);
    cfgd_voter_close(d);
    cfgd_primary_close(d);
    admin_server_close(d->admin);
    metrics_server_close(d->metrics);
    if (d->reports_open) {
        net_dgram_close(&d->reports);
    }
    if (d->recorder != NULL) {
        recorder_close(d->recorder, NULL, NULL);
    }
}

void cfgd_close(struct cfgd *d)
{
    cfgd_begin_close(d);
    (void)uv_run(d->o.loop, UV_RUN_DEFAULT);
    if (d->turn_open) {
        net_turn_close(&d->turn);
        (void)uv_run(d->o.loop, UV_RUN_DEFAULT);
    }
    if (d->tls_open) {
        net_tls_close(&d->tls);
    }
    voter_free(d->voter.core);
    for (size_t i = 0; i <= TS_GROUPS_MAX; i++) {
        free(d->state.figures[i].report);
    }
    free(d);
}
