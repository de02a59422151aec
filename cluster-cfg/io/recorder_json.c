#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/io/recorder.h"

static const char *const ROLES[] = {
    [REPORT_PROC_NICD] = "nicd",
    [REPORT_PROC_HEARTBEATD] = "heartbeatd",
    [REPORT_PROC_CLUSTER_CFGD] = "cluster-cfgd",
    [REPORT_PROC_REPLICA] = "replica",
};
#define ROLE_COUNT (sizeof(ROLES) / sizeof(ROLES[0]))

const char *recorder_role_name(enum report_proc_role role)
{
    ts_assert((size_t)role < ROLE_COUNT);
    return ROLES[role];
}

json_t *recorder_event_json(const struct recorder_event *e)
{
    char instance[17];
    (void)snprintf(instance, sizeof(instance), "%016" PRIx64, e->source.instance.v);
    return json_pack("{s:I,s:I,s:I,s:s,s:i,s:s,s:s,s:I,s:I,s:I,s:I}", "seq", (json_int_t)e->seq,
                     "wall_us", (json_int_t)e->wall_us, "mono_ns", (json_int_t)e->trace.at.ns,
                     "program", recorder_role_name(e->source.role), "group", (int)e->source.group.v,
                     "instance", instance, "kind", ts_trace_name(e->trace.kind), "epoch",
                     (json_int_t)e->trace.epoch.v, "pos", (json_int_t)e->trace.seq.v, "a",
                     (json_int_t)e->trace.a, "b", (json_int_t)e->trace.b);
}

static bool read_number(const json_t *json, const char *key, uint64_t *out)
{
    const json_t *value = json_object_get(json, key);
    *out = (uint64_t)json_integer_value(value);
    return json_is_integer(value);
}

static bool read_role(const json_t *json, enum report_proc_role *out)
{
    const char *text = json_string_value(json_object_get(json, "program"));
    for (size_t i = 0; i < ROLE_COUNT && text != NULL; i++) {
        if (strcmp(ROLES[i], text) == 0) {
            *out = (enum report_proc_role)i;
            return true;
        }
    }
    return false;
}

/* Kinds are told by name: their numbers change from version to version. */
static bool read_kind(const json_t *json, enum ts_trace_kind *out)
{
    const char *text = json_string_value(json_object_get(json, "kind"));
    for (unsigned i = 0; i < TS_TRACE_KINDS && text != NULL; i++) {
        if (strcmp(ts_trace_name((enum ts_trace_kind)i), text) == 0) {
            *out = (enum ts_trace_kind)i;
            return true;
        }
    }
    return false;
}

enum ts_err recorder_event_parse(struct recorder_event *e, const json_t *json)
{
    struct recorder_event got = {0};
    uint64_t group = 0;
    const char *instance = json_string_value(json_object_get(json, "instance"));
    bool ok = read_number(json, "seq", &got.seq) && read_number(json, "wall_us", &got.wall_us) &&
              read_number(json, "mono_ns", &got.trace.at.ns) && read_role(json, &got.source.role) &&
              read_number(json, "group", &group) && group <= TS_GROUPS_MAX &&
              read_kind(json, &got.trace.kind) && read_number(json, "epoch", &got.trace.epoch.v) &&
              read_number(json, "pos", &got.trace.seq.v) && read_number(json, "a", &got.trace.a) &&
              read_number(json, "b", &got.trace.b) && instance != NULL && strlen(instance) == 16 &&
              strspn(instance, "0123456789abcdef") == 16;
    if (!ok || got.seq == 0) {
        return TS_ERR_MALFORMED;
    }
    got.source.instance.v = strtoull(instance, NULL, 16);
    got.source.group.v = (uint16_t)group;
    *e = got;
    return TS_OK;
}
