#include "cluster-cfg/io/admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster-cfg/io/metrics.h"

static const char *const VOTER_STATES[] = {
#define ADMIN_VOTER_NAME(sym, name) name,
    ADMIN_VOTER_LIST(ADMIN_VOTER_NAME)
#undef ADMIN_VOTER_NAME
};

static const char *const ROLES[] = {
    [REPORT_ROLE_STARTING] = "starting",       [REPORT_ROLE_PRIMARY] = "primary",
    [REPORT_ROLE_TAKING_OVER] = "taking over", [REPORT_ROLE_SECONDARY] = "secondary",
    [REPORT_ROLE_LEARNER] = "learner",         [REPORT_ROLE_HALTED] = "halted",
};

const char *admin_node_name(const struct cfg_cluster *c, struct ts_nic_id id)
{
    const struct cfg_node *node = cfg_cluster_node(c, id);
    return node == NULL ? "?" : node->name;
}

static void set(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new(object, key, value);
}

static json_t *hex64(uint64_t v)
{
    char text[17];
    (void)snprintf(text, sizeof(text), "%016" PRIx64, v);
    return json_string(text);
}

static json_t *number(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static json_t *age_ms(bool has, struct ts_mono at, struct ts_mono now)
{
    return has ? number(ts_mono_since(at, now) / TS_NS_PER_MS) : json_null();
}

static json_t *names_of_mask(const struct cfg_cluster *c, uint64_t mask)
{
    json_t *names = json_array();
    for (size_t i = 0; i < c->node_count; i++) {
        if ((mask & (1ULL << c->nodes[i].id.v)) != 0) {
            (void)json_array_append_new(names, json_string(c->nodes[i].name));
        }
    }
    return names;
}

static json_t *registers_json(const struct admin_state *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->cluster->group_count && s->voter.core != NULL; i++) {
        const struct cfg_group *g = &s->cluster->groups[i];
        const struct voter_register *reg = voter_find(s->voter.core, g->id.v);
        struct cfg_config c = {0};
        if (reg != NULL && reg->value.len > 0) {
            struct ts_reader r = ts_reader_init(reg->value.data, reg->value.len);
            cfg_config_decode(&c, &r);
            if (ts_reader_finish(&r) != TS_OK) {
                c = (struct cfg_config){0};
            }
        }
        json_t *entry = json_pack("{s:s,s:I}", "group", g->name, "epoch", (json_int_t)c.epoch.v);
        set(entry, "primary",
            c.epoch.v == 0 ? json_null() : json_string(admin_node_name(s->cluster, c.primary)));
        (void)json_array_append_new(list, entry);
    }
    return list;
}

enum admin_voter_state admin_voter_state(const struct admin_voter *v)
{
    if (v->state != ADMIN_VOTER_READY || v->core == NULL) {
        return v->state;
    }
    if (voter_is_replaced(v->core)) {
        return ADMIN_VOTER_REPLACED;
    }
    if (voter_is_misplaced(v->core)) {
        return ADMIN_VOTER_MISPLACED;
    }
    return voter_is_joining(v->core) ? ADMIN_VOTER_JOINING : ADMIN_VOTER_READY;
}

static json_t *voter_json(const struct admin_state *s)
{
    json_t *v =
        json_pack("{s:s,s:I,s:i,s:i,s:s}", "state", VOTER_STATES[admin_voter_state(&s->voter)],
                  "start", (json_int_t)s->voter.start, "confirmed", (int)s->voter.confirmed,
                  "voters", (int)s->voter.voters, "why", s->voter.why);
    set(v, "incarnation", hex64(s->voter.incarnation.v));
    set(v, "rejected", number(s->voter.rejected));
    set(v, "registers", registers_json(s));
    return v;
}

static json_t *processes_json(const struct admin_state *s)
{
    json_t *list = json_array();
    for (size_t i = 0; s->has_procs && i < s->procs.count; i++) {
        const struct report_proc *p = &s->procs.p[i];
        const struct cfg_group *g = cfg_cluster_group(s->cluster, p->group);
        json_t *entry =
            json_pack("{s:s,s:b,s:I,s:I,s:i,s:s}", "program", recorder_role_name(p->role),
                      "running", p->running ? 1 : 0, "pid", (json_int_t)p->pid, "starts",
                      (json_int_t)p->starts, "last_status", (int)p->last_status, "said", p->said);
        set(entry, "group", g == NULL ? json_null() : json_string(g->name));
        (void)json_array_append_new(list, entry);
    }
    return list;
}

static json_t *peers_json(const struct admin_state *s)
{
    json_t *list = json_array();
    for (size_t i = 0; s->has_peers && i < s->peers.count; i++) {
        const struct report_peer *p = &s->peers.p[i];
        const struct cfg_node *node = cfg_cluster_node(s->cluster, p->nic);
        if (node == NULL || ts_nic_eq(node->id, s->self->id)) {
            continue;
        }
        json_t *paths = json_array();
        for (unsigned n = 0; n < node->path_count; n++) {
            bool up = (p->path_up_mask & (1U << n)) != 0;
            json_t *path = json_pack("{s:s,s:b}", "address", node->paths[n], "up", up ? 1 : 0);
            (void)json_array_append_new(paths, path);
        }
        json_t *entry =
            json_pack("{s:s,s:b,s:I,s:o}", "node", node->name, "alive", p->alive ? 1 : 0,
                      "silent_ms", (json_int_t)p->silent_ms, "paths", paths);
        (void)json_array_append_new(list, entry);
    }
    return list;
}

static const struct report_proc *replica_proc(const struct report_procs *procs,
                                              struct ts_group_id group)
{
    for (size_t i = 0; i < procs->count; i++) {
        const struct report_proc *p = &procs->p[i];
        if (p->role == REPORT_PROC_REPLICA && p->group.v == group.v) {
            return p;
        }
    }
    return NULL;
}

void admin_take_procs(struct admin_state *s, const struct report_procs *procs, struct ts_mono now)
{
    for (size_t i = 0; s->has_procs && i < procs->count; i++) {
        const struct report_proc *p = &procs->p[i];
        const struct report_proc *before = p->role != REPORT_PROC_REPLICA || !p->running
                                               ? NULL
                                               : replica_proc(&s->procs, p->group);
        if (before != NULL && (!before->running || before->pid != p->pid)) {
            s->replica[p->group.v].started = now;
        }
    }
    s->procs = *procs;
    s->has_procs = true;
    s->procs_at = now;
}

bool admin_replica_runs(const struct admin_state *s, struct ts_group_id group)
{
    const struct report_proc *p = s->has_procs ? replica_proc(&s->procs, group) : NULL;
    return p == NULL || p->running;
}

static json_t *replica_peers_json(const struct admin_state *s, const struct report_replica *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->peer_count; i++) {
        json_t *entry =
            json_pack("{s:s,s:b,s:i,s:I}", "node", admin_node_name(s->cluster, r->peers[i].nic),
                      "connected", r->peers[i].connected ? 1 : 0, "path", r->peers[i].path + 1,
                      "acked", (json_int_t)r->peers[i].acked.v);
        (void)json_array_append_new(list, entry);
    }
    return list;
}

static json_t *digest_json(struct ts_hash h)
{
    char text[33] = "";
    if (h.lo != 0 || h.hi != 0) {
        (void)snprintf(text, sizeof(text), "%016" PRIx64 "%016" PRIx64, h.hi, h.lo);
    }
    return json_string(text);
}

/* The disk that the config lists for each member. */
static json_t *disks_json(const struct cfg_cluster *c, const struct cfg_set *members)
{
    json_t *o = json_object();
    for (size_t i = 0; i < members->count; i++) {
        (void)json_object_set_new(o, admin_node_name(c, members->r[i].nic),
                                  hex64(members->r[i].incarnation.v));
    }
    return o;
}

const struct report_address *admin_address_of(const struct admin_state *s, struct ts_group_id group,
                                              struct ts_mono now)
{
    const struct admin_address *kept = &s->address[group.v];
    bool fresh = kept->has && ts_mono_since(kept->at, now) <= ADMIN_SILENT_NS;
    return fresh ? &kept->report : NULL;
}

static json_t *address_json(const struct admin_state *s, const struct cfg_group *g,
                            struct ts_mono now)
{
    char text[CFG_ADDR_MAX + 8];
    if (g->address[0] == '\0') {
        return json_null();
    }
    const struct report_address *r = admin_address_of(s, g->id, now);
    (void)snprintf(text, sizeof(text), "%s/%u", g->address, (unsigned)g->address_prefix);
    json_t *o =
        json_pack("{s:s,s:s,s:s}", "address", text, "interface", r == NULL ? "" : r->interface,
                  "why", r == NULL ? "nicd has not told of it for a while" : r->why);
    set(o, "here", r == NULL ? json_null() : json_boolean(r->interface[0] != '\0'));
    return o;
}

/* The disk that the config lists for each voter, and whether it votes. */
static json_t *voters_json(const struct cfg_cluster *c, const struct cfg_voters *voters)
{
    static const char *const PHASES[] = {"votes", "joins", "rewritten"};
    struct ts_nic_id ids[TS_VOTERS_MAX];
    json_t *o = json_object();
    for (size_t i = 0; i < voters->count && voters->count == cfg_cluster_voters(c, ids); i++) {
        (void)json_object_set_new(o, admin_node_name(c, ids[i]),
                                  json_pack("{s:o,s:s}", "disk", hex64(voters->v[i].incarnation.v),
                                            "phase", PHASES[voters->v[i].phase]));
    }
    return o;
}

static json_t *group_json(const struct admin_state *s, const struct cfg_group *g,
                          struct ts_mono now)
{
    static const struct report_replica NOTHING;
    const struct admin_replica *kept = &s->replica[g->id.v];
    bool runs = admin_replica_runs(s, g->id) && kept->has;
    const struct report_replica *r = kept->has ? &kept->report : &NOTHING;
    json_t *o = json_pack(
        "{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s}", "group", g->name, "role",
        runs ? ROLES[r->role] : "down", "epoch", (json_int_t)r->config.epoch.v, "last",
        (json_int_t)r->last.v, "committed", (json_int_t)r->committed.v, "applied",
        (json_int_t)r->applied.v, "waiting", (json_int_t)r->requests_waiting, "requests",
        (json_int_t)r->requests_total, "rejected", (json_int_t)r->rejected_total, "why", r->why);
    const char *owner =
        runs && r->role == REPORT_ROLE_STARTING ? admin_foreign_of(s, g->id, now) : NULL;
    if (owner != NULL) { /* it cannot know: nobody answers it */
        set(o, "why",
            json_sprintf("its disk belongs to %s, so no voter answers it: see the alarm "
                         "foreign-disk",
                         owner));
    }
    set(o, "primary",
        r->config.epoch.v == 0 ? json_null()
                               : json_string(admin_node_name(s->cluster, r->config.primary)));
    set(o, "in_sync", names_of_mask(s->cluster, cfg_set_mask(&r->config.in_sync)));
    set(o, "members", names_of_mask(s->cluster, cfg_set_mask(&r->config.members)));
    set(o, "required", names_of_mask(s->cluster, r->required_mask));
    set(o, "disks", disks_json(s->cluster, &r->config.members));
    set(o, "voters", voters_json(s->cluster, &r->config.voters));
    set(o, "instance", hex64(r->instance.v));
    set(o, "digest", digest_json(r->digest));
    set(o, "age_ms", age_ms(kept->has, kept->at, now));
    set(o, "peers", replica_peers_json(s, r));
    set(o, "service_address", address_json(s, g, now));
    const struct admin_primary *p = &s->primary[g->id.v];
    bool none = p->state == ADMIN_PRIMARY_NONE;
    set(o, "serving", p->state == ADMIN_PRIMARY_UNKNOWN ? json_null() : json_boolean(!none));
    set(o, "no_primary_ms", age_ms(none, p->since, now));
    return o;
}

static json_t *groups_json(const struct admin_state *s, struct ts_mono now)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->cluster->group_count; i++) {
        if (cfg_group_has(&s->cluster->groups[i], s->self->id)) {
            (void)json_array_append_new(list, group_json(s, &s->cluster->groups[i], now));
        }
    }
    return list;
}

static json_t *head(const struct admin_state *s)
{
    return json_pack("{s:i,s:b,s:s,s:s,s:s,s:I}", "version", ADMIN_VERSION, "ok", 1, "release",
                     s->release, "cluster", s->cluster->name, "node", s->self->name, "pid",
                     (json_int_t)s->pid);
}

json_t *admin_status_json(const struct admin_state *s, struct ts_mono now, uint64_t wall_us)
{
    json_t *o = head(s);
    set(o, "id", json_integer(s->self->id.v));
    set(o, "arbiter", json_boolean(s->self->arbiter));
    set(o, "cluster_digest", hex64(cfg_cluster_digest(s->cluster)));
    set(o, "uptime_ms", number(ts_mono_since(s->started, now) / TS_NS_PER_MS));
    set(o, "wall_us", number(wall_us));
    set(o, "certificate",
        json_pack("{s:I,s:I}", "from_s", (json_int_t)s->certificate.from_s, "until_s",
                  (json_int_t)s->certificate.until_s));
    set(o, "voter", voter_json(s));
    set(o, "processes", processes_json(s));
    set(o, "processes_age_ms", age_ms(s->has_procs, s->procs_at, now));
    set(o, "peers", peers_json(s));
    set(o, "peers_age_ms", age_ms(s->has_peers, s->peers_at, now));
    set(o, "own_stall_ms", number(s->has_peers ? s->peers.own_stall_ms : 0));
    set(o, "groups", groups_json(s, now));
    uint64_t refused = 0;
    for (size_t i = 0; i < ADMIN_REFUSED_REASONS; i++) {
        refused += s->heartbeats.count[i];
    }
    set(o, "heartbeats_refused", number(refused));
    json_t *events = json_object();
    set(events, "oldest", number(recorder_oldest(s->recorder)));
    set(events, "newest", number(recorder_newest(s->recorder)));
    set(events, "unwritten", number(recorder_unwritten(s->recorder)));
    set(events, "unreadable", number(recorder_unreadable(s->recorder)));
    set(events, "reports_refused", number(s->reports_refused));
    set(o, "events", events);
    set(o, "alarms", admin_alarms_json(s, now, wall_us));
    return o;
}

static json_t *refusal(const char *text)
{
    return json_pack("{s:i,s:b,s:s}", "version", ADMIN_VERSION, "ok", 0, "error", text);
}

/* A whole number of the request; `fallback` when absent. */
static bool argument(const json_t *request, const char *key, uint64_t fallback, uint64_t *out)
{
    const json_t *value = json_object_get(request, key);
    if (value == NULL) {
        *out = fallback;
        return true;
    }
    *out = (uint64_t)json_integer_value(value);
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

static json_t *events_json(const struct admin_state *s, const json_t *request)
{
    uint64_t since;
    uint64_t limit;
    if (!argument(request, "since", 0, &since) ||
        !argument(request, "limit", ADMIN_EVENTS_MAX, &limit) || limit > ADMIN_EVENTS_MAX) {
        return refusal("\"since\" must be a whole number and \"limit\" one of 0 to 1000");
    }
    struct recorder_event *events = calloc(ADMIN_EVENTS_MAX, sizeof(*events));
    if (events == NULL) {
        return refusal("out of memory; free some");
    }
    size_t n = recorder_read(s->recorder, since, events, (size_t)limit);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        (void)json_array_append_new(list, recorder_event_json(&events[i]));
    }
    uint64_t newest = recorder_newest(s->recorder);
    bool more = n > 0 ? events[n - 1].seq < newest : since < newest;
    free(events);
    json_t *o = head(s);
    set(o, "events", list);
    set(o, "newest", number(newest));
    set(o, "more", json_boolean(more));
    return o;
}

/* The primary by its own word, and in this epoch: what was meant for an earlier one is over. */
static json_t *handoff_json(const struct admin_state *s, const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "group"));
    const char *nic = json_string_value(json_object_get(request, "nic"));
    const struct cfg_group *g = name == NULL ? NULL : cfg_cluster_group_by_name(s->cluster, name);
    const struct cfg_node *to = nic == NULL ? NULL : cfg_cluster_node_by_name(s->cluster, nic);
    struct report_handoff wish = {0};
    if (g == NULL) {
        return refusal("\"group\" is missing, or no group of this cluster");
    }
    if (nic != NULL && (to == NULL || !cfg_group_has(g, to->id))) {
        return refusal("\"nic\" is no NIC of this group");
    }
    if (!argument(request, "epoch", 0, &wish.epoch.v) || wish.epoch.v == 0) {
        return refusal("\"epoch\" must be that of the primary");
    }
    const struct admin_replica *r = &s->replica[g->id.v];
    if (!r->has || r->report.role != REPORT_ROLE_PRIMARY ||
        r->report.config.epoch.v != wish.epoch.v) {
        return refusal("the replica here is not the primary of that epoch; twinstep status tells "
                       "which one is");
    }
    wish.group = g->id;
    wish.target = to == NULL ? wish.target : to->id;
    if (s->wish == NULL || !s->wish(s->wish_arg, &wish)) {
        return refusal("the replica does not listen; its log in the node's directory tells why");
    }
    return head(s);
}

static json_t *snapshot_json(const struct admin_state *s, const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "group"));
    const struct cfg_group *g = name == NULL ? NULL : cfg_cluster_group_by_name(s->cluster, name);
    struct report_snapshot wish = {0};
    if (g == NULL || !cfg_group_has(g, s->self->id)) {
        return refusal("\"group\" is missing, or none with a replica here");
    }
    if (!argument(request, "seq", 0, &wish.seq.v) || wish.seq.v == 0) {
        return refusal("\"seq\" must be the number of an entry");
    }
    wish.group = g->id;
    if (s->want_snapshot == NULL || !s->want_snapshot(s->wish_arg, &wish)) {
        return refusal("the replica does not listen; its log in the node's directory tells why");
    }
    return head(s);
}

static json_t *dispatch(const struct admin_state *s, const json_t *request, struct ts_mono now,
                        uint64_t wall_us)
{
    if (!json_is_object(request)) {
        return refusal("the request is no JSON object; send {\"version\": 1, \"cmd\": \"status\"}");
    }
    const json_t *version = json_object_get(request, "version");
    if (!json_is_integer(version) || json_integer_value(version) != ADMIN_VERSION) {
        return refusal("this cluster-cfgd speaks version 1 of the admin protocol; use the "
                       "twinstep command of its release");
    }
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    if (cmd == NULL) {
        return refusal("\"cmd\" is missing; known are: status, latency, metrics, events, handoff, "
                       "snapshot, version");
    }
    if (strcmp(cmd, "status") == 0) {
        return admin_status_json(s, now, wall_us);
    }
    if (strcmp(cmd, "latency") == 0) {
        json_t *o = head(s);
        set(o, "groups", admin_latency_json(s, now));
        return o;
    }
    if (strcmp(cmd, "metrics") == 0) {
        json_t *o = head(s);
        char *text = metrics_text(s, now, wall_us);
        set(o, "text", text == NULL ? json_null() : json_string(text));
        free(text);
        return o;
    }
    if (strcmp(cmd, "events") == 0) {
        return events_json(s, request);
    }
    if (strcmp(cmd, "handoff") == 0) {
        return handoff_json(s, request);
    }
    if (strcmp(cmd, "snapshot") == 0) {
        return snapshot_json(s, request);
    }
    if (strcmp(cmd, "version") == 0) {
        return head(s);
    }
    return refusal(
        "unknown \"cmd\"; known are: status, latency, metrics, events, handoff, snapshot, version");
}

char *admin_answer(const struct admin_state *s, struct ts_bytes request, struct ts_mono now,
                   uint64_t wall_us)
{
    json_t *parsed = NULL;
    if (request.len <= ADMIN_REQUEST_BYTES_MAX) {
        parsed = json_loadb((const char *)request.data, request.len, JSON_REJECT_DUPLICATES, NULL);
    }
    json_t *reply = dispatch(s, parsed, now, wall_us);
    json_decref(parsed);
    char *text = reply == NULL ? NULL : json_dumps(reply, JSON_COMPACT);
    json_decref(reply);
    return text;
}
