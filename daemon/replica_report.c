/* The replica's reports to cluster-cfgd: its whole state again and again, and its trace
 * events as they come. Datagrams: nothing here waits, and a lost one does not matter. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/replica.h"
#include "services/session.h"

#define REPORT_INTERVAL_NS (100 * TS_NS_PER_MS)
#define FIGURES_INTERVAL_NS TS_NS_PER_S

static void send_traces(struct replica *r)
{
    uint8_t bytes[REPORT_BYTES_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    if (r->traces.count == 0) {
        return;
    }
    if (report_trace_encode(&r->traces, &w) != TS_OK ||
        !net_dgram_send(&r->dgram, r->cfgd_path, (struct ts_bytes){bytes, w.len})) {
        r->traces.dropped += r->traces.count;
    }
    r->traces.count = 0;
}

/* What the core does and why is told in traces; some of them are worth a number. */
static void count(struct replica *r, const struct ts_trace *t)
{
    if (t->kind == TS_TRACE_ROLE) {
        r->counted[REPORT_COUNTER_ROLES]++;
    } else if (t->kind == TS_TRACE_ACTIVE) {
        r->counted[REPORT_COUNTER_TAKEOVERS]++;
    } else if (t->kind == TS_TRACE_IN_SYNC_ADD || t->kind == TS_TRACE_IN_SYNC_REMOVE) {
        r->counted[REPORT_COUNTER_IN_SYNC]++;
    } else if (t->kind == TS_TRACE_HANDOFF) {
        r->counted[REPORT_COUNTER_HANDOFFS]++;
    }
}

void replica_trace(struct replica *r, const struct ts_trace *t)
{
    count(r, t);
    r->traces.nic = r->start->node->id;
    r->traces.role = REPORT_PROC_REPLICA;
    r->traces.group = r->start->group->id;
    r->traces.instance = r->instance;
    if (r->traces.count == REPORT_TRACES_MAX) {
        send_traces(r);
    }
    r->traces.t[r->traces.count++] = *t;
}

static enum report_role report_role_of(const struct repl_status *s)
{
    switch (s->role) {
    case REPL_ROLE_STARTING:
        return REPORT_ROLE_STARTING;
    case REPL_ROLE_TAKING_OVER:
        return REPORT_ROLE_TAKING_OVER;
    case REPL_ROLE_PRIMARY:
        return s->active ? REPORT_ROLE_PRIMARY : REPORT_ROLE_TAKING_OVER;
    case REPL_ROLE_HALTED:
        return REPORT_ROLE_HALTED;
    case REPL_ROLE_SECONDARY:
        break;
    }
    return REPORT_ROLE_SECONDARY;
}

/* How far the digest comparison, the register and the disk are from well. */
static uint64_t alarms_of(const struct replica *r, const struct repl_status *s)
{
    uint64_t alarms = s->alarms;
    struct ts_nic_id whose;
    if (perform_room(&r->p, &whose) >= DISK_ROOM_FULL) {
        alarms |= 1ULL << REPORT_ALARM_DISK_FULL;
    } else if (r->p.room.own == DISK_ROOM_SHORT) {
        alarms |= 1ULL << REPORT_ALARM_DISK_SPACE;
    }
    alarms |= r->p.scrub.damaged ? 1ULL << REPORT_ALARM_DISK_DAMAGED : 0;
    if (r->voters == NULL) {
        return alarms;
    }
    if (r->voters_away) {
        alarms |= 1ULL << REPORT_ALARM_NO_MAJORITY;
    } else if (r->voter_lost) {
        alarms |= 1ULL << REPORT_ALARM_VOTER_LOST;
    }
    return alarms;
}

static void fill_peers(const struct replica *r, const struct repl_status *s,
                       struct report_replica *out)
{
    for (size_t i = 0; i < s->peer_count; i++) {
        int path = r->links == NULL ? -1 : links_path(r->links, s->peers[i].nic);
        out->peers[out->peer_count++] = (struct report_replica_peer){
            .nic = s->peers[i].nic,
            .connected = s->peers[i].connected,
            .path = path < 0 ? 0 : (uint8_t)path,
            .acked = s->peers[i].acked.seq,
        };
    }
}

/* ": start NAME, NAME", the voters that have no link. */
static void add_missing_voters(const struct replica *r, char *out, size_t cap)
{
    size_t used = strlen(out);
    const char *before = ": start ";
    for (uint8_t i = 0; i < r->voter_count; i++) {
        const struct cfg_node *n = cfg_cluster_node(&r->start->cluster, r->voter_ids[i]);
        if (n != NULL && used < cap && !voter_client_is_up(r->voters, r->voter_ids[i])) {
            (void)snprintf(out + used, cap - used, "%s%s", before, n->name);
            used = strlen(out);
            before = ", ";
        }
    }
}

void replica_why(const struct replica *r, const struct repl_status *s, char out[REPLICA_WHY_MAX])
{
    const char *text = report_why_text(s->why);
    bool names = r->voters != NULL && r->voters_away;
    if (names && s->why == REPL_WHY_STARTING) {
        text = "no majority of voters answers";
    } else if (names && s->why == REPL_WHY_TAKING_OVER) {
        text = "takes over, but no majority of voters answers";
    } else {
        names = names && s->why == REPL_WHY_ACK_MISSING;
    }
    (void)snprintf(out, REPLICA_WHY_MAX, "%s", text);
    if (names) {
        add_missing_voters(r, out, REPLICA_WHY_MAX);
    }
}

static uint64_t rejected(const struct replica *r, const struct repl_status *s,
                         const struct front_figures *stats)
{
    uint64_t n = s->malformed + r->rejected_reports + stats->protocol_errors;
    return r->links == NULL ? n : n + net_counters_rejected(links_counters(r->links));
}

/* The state is there from the start of the loop on. */
static void fill_sessions(const struct replica *r, struct report_figures *f)
{
    struct session_figures s;
    session_figures(r->p.state, &s);
    f->counter[REPORT_COUNTER_SESSIONS_EVICTED] = s.evicted;
    f->counter[REPORT_COUNTER_SESSIONS_REFUSED] = s.refused;
    f->gauge[REPORT_GAUGE_SESSIONS] = s.sessions;
    f->gauge[REPORT_GAUGE_SESSIONS_MAX] = s.sessions_max;
    f->gauge[REPORT_GAUGE_SESSION_BYTES] = s.bytes;
}

static void send_figures(struct replica *r)
{
    struct report_figures f = {
        .nic = r->start->node->id, .group = r->start->group->id, .instance = r->instance};
    struct front_figures stats;
    struct repl_status s;
    uint8_t bytes[REPORT_BYTES_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    repl_status(r->core, &s);
    front_figures(r->front, &stats);
    memcpy(f.counter, r->counted, sizeof(f.counter));
    f.counter[REPORT_COUNTER_REQUESTS] = r->requests_total;
    f.counter[REPORT_COUNTER_READS] = stats.reads;
    f.counter[REPORT_COUNTER_APPLIED_BYTES] = r->p.perform.applied_bytes;
    f.counter[REPORT_COUNTER_CLIENT_IN_BYTES] = stats.bytes_in;
    f.counter[REPORT_COUNTER_CLIENT_OUT_BYTES] = stats.bytes_out;
    f.counter[REPORT_COUNTER_CONNECTIONS] = stats.connections;
    f.counter[REPORT_COUNTER_REFUSED] = stats.refused;
    f.counter[REPORT_COUNTER_UNAUTHORIZED] = stats.unauthorized;
    f.counter[REPORT_COUNTER_CLOSED] = stats.closed_unanswered;
    f.counter[REPORT_COUNTER_SCRUBS] = r->p.scrub.passes;
    f.counter[REPORT_COUNTER_SCRUB_FOUND] = r->p.scrub.found_all;
    f.counter[REPORT_COUNTER_REJECTED] = rejected(r, &s, &stats);
    f.counter[REPORT_COUNTER_TRACES_DROPPED] = r->traces.dropped;
    if (r->has_sessions) {
        fill_sessions(r, &f);
    }
    memcpy(f.stage, r->latency.stage, sizeof(f.stage));
    if (report_figures_encode(&f, &w) == TS_OK) {
        (void)net_dgram_send(&r->dgram, r->cfgd_path, (struct ts_bytes){bytes, w.len});
    }
}

void replica_full(const struct replica *r, char out[REPLICA_WHY_MAX])
{
    const struct perform_room *room = &r->p.room;
    const char *group = r->start->group->name;
    struct ts_nic_id whose;
    char text[2 * REPLICA_WHY_MAX] = "";
    if (perform_room(&r->p, &whose) >= DISK_ROOM_FULL) {
        const struct cfg_node *n =
            cfg_cluster_node(&r->start->cluster, whose.v != 0 ? whose : r->start->node->id);
        const char *name = n == NULL ? "?" : n->name;
        unsigned long long limit = perform_room_limit(&r->p) >> 20;
        unsigned long long use = room->use >> 20;
        unsigned long long left = room->free >> 20;
        char kept[80] = "";
        unsigned long long kept_mib = (room->look.kept >> 20) + 1;
        if (room->look.kept > 0) {
            (void)snprintf(kept, sizeof(kept), "remove diverged-* and suspect-* (%llu MiB), ",
                           kept_mib);
        }
        if (whose.v != 0) {
            (void)snprintf(text, sizeof(text),
                           "group %s has no room on the disk of %s: free space there, raise "
                           "disk-limit, or remove keys",
                           group, name);
        } else if (use + left < limit) {
            (void)snprintf(text, sizeof(text),
                           "the disk of %s has %llu MiB left, too little for group %s: %sfree "
                           "space, or remove keys",
                           name, left, group, kept);
        } else {
            (void)snprintf(text, sizeof(text),
                           "group %s takes %llu of %llu MiB on %s: %sraise disk-limit, or remove "
                           "keys",
                           group, use, limit, name, kept);
        }
    }
    (void)snprintf(out, REPLICA_WHY_MAX, "%.159s", text);
}

static void send_state(struct replica *r)
{
    struct repl_status s;
    struct report_replica out;
    struct front_figures stats;
    repl_status(r->core, &s);
    front_figures(r->front, &stats);
    memset(&out, 0, sizeof(out));
    out.nic = r->start->node->id;
    out.group = r->start->group->id;
    out.role = report_role_of(&s);
    out.config = s.config;
    if (out.role == REPORT_ROLE_SECONDARY &&
        !cfg_set_has(&s.config.in_sync, out.nic, journal_info(r->p.journal)->incarnation)) {
        out.role = REPORT_ROLE_LEARNER;
    }
    out.required_mask = s.required_mask;
    out.instance = r->instance;
    out.incarnation = journal_info(r->p.journal)->incarnation;
    out.last = s.tail.seq;
    out.committed = s.committed;
    out.applied = s.applied;
    out.digest = s.digest;
    out.alarms = alarms_of(r, &s);
    out.requests_waiting = stats.unanswered;
    out.requests_total = r->requests_total;
    out.rejected_total = rejected(r, &s, &stats);
    replica_why(r, &s, out.why);
    if (out.why[0] == '\0' && repl_serves(r->core)) {
        replica_full(r, out.why);
    }
    fill_peers(r, &s, &out);
    uint8_t bytes[REPORT_BYTES_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    if (report_replica_encode(&out, &w) == TS_OK) {
        (void)net_dgram_send(&r->dgram, r->cfgd_path, (struct ts_bytes){bytes, w.len});
    }
}

void replica_report_flush(struct replica *r, struct ts_mono now, bool at_once)
{
    send_traces(r);
    if (at_once || !ts_mono_lt(now, r->report_at)) {
        r->report_at = ts_mono_add(now, REPORT_INTERVAL_NS);
        send_state(r);
    }
    if (!ts_mono_lt(now, r->figures_at)) {
        r->figures_at = ts_mono_add(now, FIGURES_INTERVAL_NS);
        send_figures(r);
    }
}
