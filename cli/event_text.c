#include "cli/event_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

/* A field's value as its meaning wants to be read. */
static const char *value_text(const struct cfg_cluster *c, const struct ts_trace *t, int field,
                              char out[VALUE_MAX])
{
    const char *meaning = ts_trace_meaning(t->kind, field);
    uint64_t v = field == 0 ? t->a : t->b;
    bool evidence = (t->kind == TS_TRACE_EVIDENCE && strcmp(meaning, "kind") == 0) ||
                    (t->kind == TS_TRACE_IN_SYNC_REMOVE && strcmp(meaning, "reason") == 0);
    if (strcmp(meaning, "peer") == 0 || strcmp(meaning, "primary") == 0 ||
        strcmp(meaning, "last-primary") == 0 || strcmp(meaning, "proposer") == 0) {
        struct ts_nic_id id = {(uint16_t)(v <= TS_NODES_MAX ? v : 0)};
        (void)snprintf(out, VALUE_MAX, "%s", admin_node_name(c, id));
    } else if (evidence) {
        (void)snprintf(out, VALUE_MAX, "(%s)", report_evidence_text(v));
    } else if (t->kind == TS_TRACE_ROLE && field == 0) {
        (void)snprintf(out, VALUE_MAX, "(%s)", report_trace_role_text(v));
    } else if (t->kind == TS_TRACE_ROLE) {
        (void)snprintf(out, VALUE_MAX, "(%s)", report_why_text(v));
    } else if (t->kind == TS_TRACE_PEER_DOWN && field == 1) {
        (void)snprintf(out, VALUE_MAX, "(silent on every path)");
    } else if (strcmp(meaning, "in-sync-mask") == 0) {
        return names_of_mask(c, v, out);
    } else if (strcmp(meaning, "path") == 0) {
        (void)snprintf(out, VALUE_MAX, "%" PRIu64, v + 1);
    } else if (strcmp(meaning, "status") == 0) {
        (void)snprintf(out, VALUE_MAX, "%d", (int)(int32_t)(uint32_t)v);
    } else {
        (void)snprintf(out, VALUE_MAX, "%" PRIu64, v);
    }
    return out;
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
