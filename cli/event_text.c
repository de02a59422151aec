#include "cli/event_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cluster-cfg/io/admin.h"

#define VALUE_MAX 160

static const char *names_of_mask(const struct cfg_cluster *c, uint64_t mask, char out[VALUE_MAX])
{
    size_t used = 0;
    (void)snprintf(out, VALUE_MAX, "-");
    for (size_t i = 0; i < c->node_count && used < VALUE_MAX; i++) {
        if ((mask & (1ULL << c->nodes[i].id.v)) != 0) {
            int n = snprintf(out + used, VALUE_MAX - used, "%s%s", used == 0 ? "" : ",",
                             c->nodes[i].name);
            used += n > 0 ? (size_t)n : 0;
        }
    }
    return out;
}

enum value_kind {
    VALUE_NUMBER,
    VALUE_STATUS, /* an exit status, or a signal as its negative */
    VALUE_PATH,   /* counted from 1 */
    VALUE_NODE,
    VALUE_NODES,
    VALUE_WORDS, /* a sentence without names */
};

static enum value_kind kind_of(const struct ts_trace *t, int field)
{
    const char *meaning = ts_trace_meaning(t->kind, field);
    bool evidence = (t->kind == TS_TRACE_EVIDENCE && strcmp(meaning, "kind") == 0) ||
                    ((t->kind == TS_TRACE_IN_SYNC_REMOVE || t->kind == TS_TRACE_ABDICATED) &&
                     strcmp(meaning, "reason") == 0);
    if (evidence || t->kind == TS_TRACE_ROLE || (t->kind == TS_TRACE_PEER_DOWN && field == 1)) {
        return VALUE_WORDS;
    }
    if (strcmp(meaning, "peer") == 0 || strcmp(meaning, "owner") == 0 ||
        strcmp(meaning, "primary") == 0 || strcmp(meaning, "last-primary") == 0 ||
        strcmp(meaning, "proposer") == 0) {
        return VALUE_NODE;
    }
    if (strcmp(meaning, "in-sync-mask") == 0) {
        return VALUE_NODES;
    }
    if (strcmp(meaning, "path") == 0) {
        return VALUE_PATH;
    }
    return strcmp(meaning, "status") == 0 ? VALUE_STATUS : VALUE_NUMBER;
}

static const char *words_of(const struct ts_trace *t, int field)
{
    uint64_t v = field == 0 ? t->a : t->b;
    if (t->kind == TS_TRACE_ROLE) {
        return field == 0 ? report_trace_role_text(v) : report_why_text(v);
    }
    return t->kind == TS_TRACE_PEER_DOWN ? "silent on every path" : report_evidence_text(v);
}

static const char *node_of(const struct cfg_cluster *c, uint64_t v)
{
    struct ts_nic_id id = {(uint16_t)(v <= TS_NODES_MAX ? v : 0)};
    return admin_node_name(c, id);
}

/* A field's value as its meaning wants to be read. */
static const char *value_text(const struct cfg_cluster *c, const struct ts_trace *t, int field,
                              char out[VALUE_MAX])
{
    uint64_t v = field == 0 ? t->a : t->b;
    switch (kind_of(t, field)) {
    case VALUE_NUMBER:
        (void)snprintf(out, VALUE_MAX, "%" PRIu64, v);
        break;
    case VALUE_STATUS:
        (void)snprintf(out, VALUE_MAX, "%d", (int)(int32_t)(uint32_t)v);
        break;
    case VALUE_PATH:
        (void)snprintf(out, VALUE_MAX, "%" PRIu64, v + 1);
        break;
    case VALUE_NODE:
        (void)snprintf(out, VALUE_MAX, "%s", node_of(c, v));
        break;
    case VALUE_NODES:
        return names_of_mask(c, v, out);
    case VALUE_WORDS:
        (void)snprintf(out, VALUE_MAX, "(%s)", words_of(t, field));
        break;
    }
    return out;
}

static json_t *value_json(const struct cfg_cluster *c, const struct ts_trace *t, int field)
{
    uint64_t v = field == 0 ? t->a : t->b;
    json_t *names;
    switch (kind_of(t, field)) {
    case VALUE_NUMBER:
        break;
    case VALUE_STATUS:
        return json_integer((int32_t)(uint32_t)v);
    case VALUE_PATH:
        return json_integer((json_int_t)v + 1);
    case VALUE_NODE:
        return json_string(node_of(c, v));
    case VALUE_NODES:
        names = json_array();
        for (size_t i = 0; i < c->node_count; i++) {
            if ((v & (1ULL << c->nodes[i].id.v)) != 0) {
                (void)json_array_append_new(names, json_string(c->nodes[i].name));
            }
        }
        return names;
    case VALUE_WORDS:
        return json_string(words_of(t, field));
    }
    return json_integer((json_int_t)v);
}

/* "no reason" of a role needs no word. */
static bool is_nothing(const struct ts_trace *t, int field)
{
    return t->kind == TS_TRACE_ROLE && field == 1 && t->b == REPORT_WHY_NONE;
}

const char *cli_event_text(const struct cfg_cluster *cluster, const struct recorder_event *e,
                           char out[CLI_EVENT_TEXT_MAX])
{
    const struct cfg_group *g = cfg_cluster_group(cluster, e->source.group);
    int n = snprintf(out, CLI_EVENT_TEXT_MAX, "%s%s%s: %s", recorder_role_name(e->source.role),
                     g == NULL ? "" : " ", g == NULL ? "" : g->name, ts_trace_name(e->trace.kind));
    size_t used = n > 0 ? (size_t)n : 0;
    if (e->trace.epoch.v != 0 && used < CLI_EVENT_TEXT_MAX) {
        n = snprintf(out + used, CLI_EVENT_TEXT_MAX - used, " epoch=%" PRIu64, e->trace.epoch.v);
        used += n > 0 ? (size_t)n : 0;
    }
    if (e->trace.seq.v != 0 && used < CLI_EVENT_TEXT_MAX) {
        n = snprintf(out + used, CLI_EVENT_TEXT_MAX - used, " seq=%" PRIu64, e->trace.seq.v);
        used += n > 0 ? (size_t)n : 0;
    }
    for (int field = 0; field < 2 && used < CLI_EVENT_TEXT_MAX; field++) {
        const char *meaning = ts_trace_meaning(e->trace.kind, field);
        char value[VALUE_MAX];
        if (meaning[0] != '\0' && !is_nothing(&e->trace, field)) {
            n = snprintf(out + used, CLI_EVENT_TEXT_MAX - used, " %s=%s", meaning,
                         value_text(cluster, &e->trace, field, value));
            used += n > 0 ? (size_t)n : 0;
        }
    }
    return out;
}

json_t *cli_event_json(const struct cfg_cluster *cluster, const char *node,
                       const struct recorder_event *e)
{
    const struct cfg_group *g = cfg_cluster_group(cluster, e->source.group);
    char time[CLI_TIME_MAX];
    char instance[17];
    json_t *fields = json_object();
    for (int field = 0; field < 2; field++) {
        const char *meaning = ts_trace_meaning(e->trace.kind, field);
        const char *key = strcmp(meaning, "in-sync-mask") == 0 ? "in-sync" : meaning;
        if (meaning[0] != '\0' && !is_nothing(&e->trace, field)) {
            (void)json_object_set_new(fields, key, value_json(cluster, &e->trace, field));
        }
    }
    (void)snprintf(instance, sizeof(instance), "%016" PRIx64, e->source.instance.v);
    return json_pack("{s:s,s:I,s:I,s:s,s:s,s:s?,s:s,s:I,s:s,s:I,s:I,s:o}", "time",
                     cli_time((int64_t)e->wall_us, time), "wall_us", (json_int_t)e->wall_us,
                     "mono_ns", (json_int_t)e->trace.at.ns, "node", node, "program",
                     recorder_role_name(e->source.role), "group", g == NULL ? NULL : g->name,
                     "instance", instance, "number", (json_int_t)e->seq, "kind",
                     ts_trace_name(e->trace.kind), "epoch", (json_int_t)e->trace.epoch.v, "seq",
                     (json_int_t)e->trace.seq.v, "fields", fields);
}
