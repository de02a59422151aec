#include "cluster-cfg/io/metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is being written, and of whom. */
struct sheet {
    FILE *out;
    const struct admin_state *s;
    struct ts_mono now;
    uint64_t wall_us;
};

static void family(const struct sheet *m, const char *name, const char *type, const char *help)
{
    (void)fprintf(m->out, "# HELP twinstep_%s %s\n# TYPE twinstep_%s %s\n", name, help, name, type);
}

/* Seconds, exact. */
static void put_seconds(const struct sheet *m, uint64_t ns)
{
    uint64_t s = ns / TS_NS_PER_S;
    uint64_t rest = ns % TS_NS_PER_S;
    (void)fprintf(m->out, "%" PRIu64 ".%09" PRIu64, s, rest);
}

static void put_plain(const struct sheet *m, const char *name, uint64_t v)
{
    (void)fprintf(m->out, "twinstep_%s %" PRIu64 "\n", name, v);
}

/* ---- the node ------------------------------------------------------------------------------- */

static void put_about(const struct sheet *m)
{
    const struct admin_state *s = m->s;
    family(m, "build_info", "gauge", "Release, cluster and node; always 1.");
    (void)fprintf(m->out,
                  "twinstep_build_info{release=\"%s\",cluster=\"%s\",node=\"%s\",arbiter=\"%s\"} "
                  "1\n",
                  s->release, s->cluster->name, s->self->name, s->self->arbiter ? "yes" : "no");
    family(m, "uptime_seconds", "gauge", "Since cluster-cfgd started.");
    (void)fputs("twinstep_uptime_seconds ", m->out);
    put_seconds(m, ts_mono_since(s->started, m->now));
    (void)fputs("\n", m->out);
    family(m, "certificate_expiry_timestamp_seconds", "gauge",
           "Unix time at which the node's certificate ends; 0 when it is not known.");
    put_plain(m, "certificate_expiry_timestamp_seconds",
              s->certificate.until_s > 0 ? (uint64_t)s->certificate.until_s : 0);
}

/* An alarm's code and group; several of the same, as of two paths, are one sample. */
static void put_alarms(const struct sheet *m)
{
    json_t *alarms = admin_alarms_json(m->s, m->now, m->wall_us);
    json_t *sums = json_object();
    size_t i;
    json_t *alarm;
    const char *key;
    json_array_foreach(alarms, i, alarm)
    {
        const char *code = json_string_value(json_object_get(alarm, "code"));
        const char *group = json_string_value(json_object_get(alarm, "group"));
        char labels[3 * CFG_NAME_MAX + 64];
        (void)snprintf(labels, sizeof(labels), "code=\"%.60s\",group=\"%.*s\"",
                       code == NULL ? "" : code, CFG_NAME_MAX, group == NULL ? "" : group);
        json_int_t n = json_integer_value(json_object_get(sums, labels));
        (void)json_object_set_new(sums, labels, json_integer(n + 1));
    }
    family(m, "alarms", "gauge", "Alarms that this node tells now; what each means: status.");
    put_plain(m, "alarms", json_array_size(alarms));
    family(m, "alarm", "gauge", "Alarms that this node tells now, by code and group.");
    json_object_foreach(sums, key, alarm)
    {
        (void)fprintf(m->out, "twinstep_alarm{%s} %" JSON_INTEGER_FORMAT "\n", key,
                      json_integer_value(alarm));
    }
    json_decref(sums);
    json_decref(alarms);
}

static void put_voter(const struct sheet *m)
{
    const struct admin_voter *v = &m->s->voter;
    family(m, "voter_ready", "gauge", "Whether this node's voter votes.");
    put_plain(m, "voter_ready", admin_voter_state(v) == ADMIN_VOTER_READY ? 1 : 0);
    family(m, "voter_confirmed", "gauge", "Voters that have confirmed this one's start.");
    put_plain(m, "voter_confirmed", v->confirmed);
    family(m, "voter_rejected_packets_total", "counter",
           "Links and frames to the voter that were refused.");
    put_plain(m, "voter_rejected_packets_total", v->rejected);
}

static void put_processes(const struct sheet *m)
{
    const struct admin_state *s = m->s;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 0) {
            family(m, "process_up", "gauge", "Whether nicd says that the program runs.");
        } else {
            family(m, "process_starts_total", "counter", "How often nicd started the program.");
        }
        for (size_t i = 0; s->has_procs && i < s->procs.count; i++) {
            const struct report_proc *p = &s->procs.p[i];
            const struct cfg_group *g = cfg_cluster_group(s->cluster, p->group);
            (void)fprintf(m->out, "twinstep_%s{program=\"%s\",group=\"%s\"} %u\n",
                          pass == 0 ? "process_up" : "process_starts_total",
                          recorder_role_name(p->role), g == NULL ? "" : g->name,
                          pass == 0 ? (unsigned)p->running : p->starts);
        }
    }
}

/* One sample for each other node that heartbeatd tells of. */
static void put_peers(const struct sheet *m, const char *name, const char *type, const char *help,
                      uint64_t (*value)(const struct report_peer *p))
{
    const struct admin_state *s = m->s;
    family(m, name, type, help);
    for (size_t i = 0; s->has_peers && i < s->peers.count; i++) {
        const struct report_peer *p = &s->peers.p[i];
        (void)fprintf(m->out, "twinstep_%s{peer=\"%s\"} %" PRIu64 "\n", name,
                      admin_node_name(s->cluster, p->nic), value(p));
    }
}

static uint64_t alive_of(const struct report_peer *p)
{
    return p->alive ? 1 : 0;
}

static uint64_t received_of(const struct report_peer *p)
{
    return p->heartbeats_received;
}

static uint64_t lost_of(const struct report_peer *p)
{
    return p->heartbeats_lost;
}

static void put_paths(const struct sheet *m)
{
    const struct admin_state *s = m->s;
    family(m, "path_up", "gauge", "Whether a node is heard on this path, numbered from 1.");
    for (size_t i = 0; s->has_peers && i < s->peers.count; i++) {
        const struct report_peer *p = &s->peers.p[i];
        const struct cfg_node *node = cfg_cluster_node(s->cluster, p->nic);
        for (unsigned n = 0; node != NULL && n < node->path_count; n++) {
            (void)fprintf(m->out, "twinstep_path_up{peer=\"%s\",path=\"%u\",address=\"%s\"} %u\n",
                          node->name, n + 1, node->paths[n], (p->path_up_mask >> n) & 1U);
        }
    }
}

static void put_detection(const struct sheet *m)
{
    const struct admin_state *s = m->s;
    uint64_t refused = 0;
    for (size_t i = 0; i < ADMIN_REFUSED_REASONS; i++) {
        refused += s->heartbeats.count[i];
    }
    put_peers(m, "peer_up", "gauge", "Whether a node is heard on any path.", alive_of);
    put_paths(m);
    put_peers(m, "heartbeats_received_total", "counter", "Heartbeats of a node, on all paths.",
              received_of);
    put_peers(m, "heartbeats_lost_total", "counter",
              "Heartbeats of a node that did not come, or came behind later ones.", lost_of);
    family(m, "heartbeats_rejected_total", "counter",
           "Datagrams and reports that heartbeatd refused.");
    put_plain(m, "heartbeats_rejected_total", refused);
    family(m, "own_stall_seconds", "gauge",
           "The longest stall of heartbeatd within the last second.");
    (void)fputs("twinstep_own_stall_seconds ", m->out);
    put_seconds(m, (s->has_peers ? s->peers.own_stall_ms : 0) * TS_NS_PER_MS);
    (void)fputs("\n", m->out);
}

static void put_recorder(const struct sheet *m)
{
    const struct admin_state *s = m->s;
    family(m, "events_total", "counter", "Events that the recorder has numbered.");
    put_plain(m, "events_total", recorder_newest(s->recorder));
    family(m, "events_unwritten_total", "counter", "Events that its file did not take.");
    put_plain(m, "events_unwritten_total", recorder_unwritten(s->recorder));
    family(m, "reports_rejected_total", "counter", "Malformed reports of this node's programs.");
    put_plain(m, "reports_rejected_total", s->reports_refused);
}

/* ---- its groups ------------------------------------------------------------------------------ */

/* The next group with a replica here, from *at on; NULL behind the last. */
static const struct cfg_group *next_group(const struct sheet *m, size_t *at)
{
    const struct cfg_cluster *c = m->s->cluster;
    while (*at < c->group_count) {
        const struct cfg_group *g = &c->groups[(*at)++];
        if (cfg_group_has(g, m->s->self->id)) {
            return g;
        }
    }
    return NULL;
}

/* What the replica said last; NULL when it does not run, or has said nothing. */
static const struct report_replica *replica_of(const struct sheet *m, const struct cfg_group *g)
{
    const struct admin_replica *kept = &m->s->replica[g->id.v];
    return kept->has && admin_replica_runs(m->s, g->id) ? &kept->report : NULL;
}

/* … and its counters, as long as it runs. */
static const struct report_figures *figures_of(const struct sheet *m, const struct cfg_group *g)
{
    return admin_replica_runs(m->s, g->id) ? m->s->figures[g->id.v].report : NULL;
}

static void put_roles(const struct sheet *m)
{
    static const char *const ROLES[] = {
        [REPORT_ROLE_STARTING] = "starting",       [REPORT_ROLE_PRIMARY] = "primary",
        [REPORT_ROLE_TAKING_OVER] = "taking-over", [REPORT_ROLE_SECONDARY] = "secondary",
        [REPORT_ROLE_LEARNER] = "learner",         [REPORT_ROLE_HALTED] = "halted",
    };
    size_t at = 0;
    const struct cfg_group *g;
    family(m, "role", "gauge", "1 for the role of the replica here, 0 for the others.");
    while ((g = next_group(m, &at)) != NULL) {
        const struct report_replica *r = replica_of(m, g);
        for (size_t i = 0; i < sizeof(ROLES) / sizeof(ROLES[0]); i++) {
            (void)fprintf(m->out, "twinstep_role{group=\"%s\",role=\"%s\"} %d\n", g->name, ROLES[i],
                          r != NULL && (size_t)r->role == i);
        }
        (void)fprintf(m->out, "twinstep_role{group=\"%s\",role=\"down\"} %d\n", g->name, r == NULL);
    }
}

static uint64_t count_of(uint64_t mask)
{
    return (uint64_t)__builtin_popcountll(mask);
}

static uint64_t epoch_of(const struct sheet *m, const struct report_replica *r)
{
    (void)m;
    return r->config.epoch.v;
}

static uint64_t last_of(const struct sheet *m, const struct report_replica *r)
{
    (void)m;
    return r->last.v;
}

static uint64_t committed_of(const struct sheet *m, const struct report_replica *r)
{
    (void)m;
    return r->committed.v;
}

static uint64_t applied_of(const struct sheet *m, const struct report_replica *r)
{
    (void)m;
    return r->applied.v;
}

static uint64_t in_sync_of(const struct sheet *m, const struct report_replica *r)
{
    return cfg_set_has(&r->config.in_sync, m->s->self->id, r->incarnation) ? 1 : 0;
}

static uint64_t in_sync_count_of(const struct sheet *m, const struct report_replica *r)
{
    (void)m;
    return count_of(cfg_set_mask(&r->config.in_sync));
}

static uint64_t members_of(const struct sheet *m, const struct report_replica *r)
{
    (void)m;
    return count_of(cfg_set_mask(&r->config.members));
}

static uint64_t waiting_of(const struct sheet *m, const struct report_replica *r)
{
    (void)m;
    return r->requests_waiting;
}

static void put_gauge(const struct sheet *m, const char *name, const char *help,
                      uint64_t (*value)(const struct sheet *m, const struct report_replica *r))
{
    size_t at = 0;
    const struct cfg_group *g;
    family(m, name, "gauge", help);
    while ((g = next_group(m, &at)) != NULL) {
        const struct report_replica *r = replica_of(m, g);
        if (r != NULL) {
            (void)fprintf(m->out, "twinstep_%s{group=\"%s\"} %" PRIu64 "\n", name, g->name,
                          value(m, r));
        }
    }
}

static void put_links(const struct sheet *m)
{
    for (int pass = 0; pass < 2; pass++) {
        const char *name = pass == 0 ? "link_up" : "link_acknowledged_position";
        size_t at = 0;
        const struct cfg_group *g;
        family(m, name, "gauge",
               pass == 0 ? "Whether the replica here has a link to that of another node."
                         : "The log position that the other replica has acknowledged.");
        while ((g = next_group(m, &at)) != NULL) {
            const struct report_replica *r = replica_of(m, g);
            for (size_t i = 0; r != NULL && i < r->peer_count; i++) {
                (void)fprintf(m->out, "twinstep_%s{group=\"%s\",peer=\"%s\"} %" PRIu64 "\n", name,
                              g->name, admin_node_name(m->s->cluster, r->peers[i].nic),
                              pass == 0 ? (uint64_t)r->peers[i].connected : r->peers[i].acked.v);
            }
        }
    }
}

static void put_serving(const struct sheet *m)
{
    size_t at = 0;
    const struct cfg_group *g;
    family(m, "serving", "gauge",
           "Whether the group has a serving primary; no sample while this node cannot know.");
    while ((g = next_group(m, &at)) != NULL) {
        enum admin_primary_state state = m->s->primary[g->id.v].state;
        if (state != ADMIN_PRIMARY_UNKNOWN) {
            (void)fprintf(m->out, "twinstep_serving{group=\"%s\"} %d\n", g->name,
                          state == ADMIN_PRIMARY_SEEN);
        }
    }
}

static void put_addresses(const struct sheet *m)
{
    size_t at = 0;
    const struct cfg_group *g;
    family(m, "service_address", "gauge",
           "Whether this node has the group's service address; no sample while nicd is silent.");
    while ((g = next_group(m, &at)) != NULL) {
        const struct report_address *r = admin_address_of(m->s, g->id, m->now);
        if (g->address[0] != '\0' && r != NULL) {
            (void)fprintf(m->out, "twinstep_service_address{group=\"%s\",address=\"%s\"} %d\n",
                          g->name, g->address, r->interface[0] != '\0');
        }
    }
}

/* Samples of one of the figures that the replicas here tell, at this place of them. */
static void put_figure(const struct sheet *m, const char *name, const char *type, const char *text,
                       size_t offset)
{
    size_t at = 0;
    const struct cfg_group *g;
    family(m, name, type, text);
    while ((g = next_group(m, &at)) != NULL) {
        const struct report_figures *f = figures_of(m, g);
        uint64_t v = 0;
        if (f != NULL) {
            memcpy(&v, (const uint8_t *)f + offset, sizeof(v));
            (void)fprintf(m->out, "twinstep_%s{group=\"%s\"} %" PRIu64 "\n", name, g->name, v);
        }
    }
}

static void put_counter(const struct sheet *m, enum report_counter counter)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "%s_total", report_counter_name(counter));
    put_figure(m, name, "counter", report_counter_text(counter),
               offsetof(struct report_figures, counter) + counter * sizeof(uint64_t));
}

static void put_replica_gauge(const struct sheet *m, enum report_gauge gauge)
{
    put_figure(m, report_gauge_name(gauge), "gauge", report_gauge_text(gauge),
               offsetof(struct report_figures, gauge) + gauge * sizeof(uint64_t));
}

/* One bound for each doubling: finer ones are `twinstep status --latency`'s. */
static void put_stage(const struct sheet *m, const char *group, enum report_stage stage,
                      const struct ts_histogram *h)
{
    const char *name = report_stage_name(stage);
    uint64_t sum = 0;
    for (size_t i = 0; i + 1 < TS_HISTOGRAM_BUCKETS; i++) {
        sum += h->count[i];
        if (i % TS_HISTOGRAM_PARTS == 0) {
            (void)fprintf(m->out,
                          "twinstep_command_stage_seconds_bucket{group=\"%s\",stage=\"%s\",le=\"",
                          group, name);
            put_seconds(m, ts_histogram_bound(i));
            (void)fprintf(m->out, "\"} %" PRIu64 "\n", sum);
        }
    }
    uint64_t total = ts_histogram_total(h);
    (void)fprintf(m->out,
                  "twinstep_command_stage_seconds_bucket{group=\"%s\",stage=\"%s\",le=\"+Inf\"} "
                  "%" PRIu64 "\n",
                  group, name, total);
    (void)fprintf(m->out, "twinstep_command_stage_seconds_sum{group=\"%s\",stage=\"%s\"} ", group,
                  name);
    put_seconds(m, h->sum_ns);
    (void)fprintf(m->out,
                  "\ntwinstep_command_stage_seconds_count{group=\"%s\",stage=\"%s\"} %" PRIu64 "\n",
                  group, name, total);
}

static void put_stages(const struct sheet *m)
{
    size_t at = 0;
    const struct cfg_group *g;
    family(m, "command_stage_seconds", "histogram",
           "How long clients' commands took at the primary, by stage.");
    while ((g = next_group(m, &at)) != NULL) {
        const struct report_figures *f = figures_of(m, g);
        for (unsigned i = 0; f != NULL && i < REPORT_STAGES; i++) {
            put_stage(m, g->name, (enum report_stage)i, &f->stage[i]);
        }
    }
}

static void put_groups(const struct sheet *m)
{
    put_roles(m);
    put_serving(m);
    put_addresses(m);
    put_gauge(m, "epoch", "The epoch of the configuration that the replica knows.", epoch_of);
    put_gauge(m, "log_position", "The end of the replica's log.", last_of);
    put_gauge(m, "committed_position", "The newest entry that it knows as committed.",
              committed_of);
    put_gauge(m, "applied_position", "The newest entry that it has executed.", applied_of);
    put_gauge(m, "in_sync", "Whether the replica is in the in-sync set that it knows.", in_sync_of);
    put_gauge(m, "in_sync_replicas", "Replicas in the in-sync set.", in_sync_count_of);
    put_gauge(m, "member_replicas", "Replicas that the group has.", members_of);
    put_gauge(m, "waiting_requests", "Commands that are ordered and not answered.", waiting_of);
    put_links(m);
    for (unsigned i = 0; i < REPORT_COUNTERS; i++) {
        put_counter(m, (enum report_counter)i);
    }
    for (unsigned i = 0; i < REPORT_GAUGES; i++) {
        put_replica_gauge(m, (enum report_gauge)i);
    }
    put_stages(m);
}

char *metrics_text(const struct admin_state *s, struct ts_mono now, uint64_t wall_us)
{
    char *text = NULL;
    size_t len = 0;
    struct sheet m = {open_memstream(&text, &len), s, now, wall_us};
    if (m.out == NULL) {
        return NULL;
    }
    put_about(&m);
    put_alarms(&m);
    put_voter(&m);
    put_processes(&m);
    put_detection(&m);
    put_recorder(&m);
    put_groups(&m);
    bool whole = ferror(m.out) == 0;
    whole = fclose(m.out) == 0 && whole;
    if (!whole) {
        free(text);
        return NULL;
    }
    return text;
}
