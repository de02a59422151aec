/* How far intent is made true: told from what the nodes have acknowledged. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "services/netctl/io/controller_internal.h"
#include "services/netctl/resource.h"

enum progress {
    DONE,
    UNDER_WAY,
    FAILED,
};

struct told {
    enum progress progress;
    char why[512]; /* FAILED */
};

/* ---- one node ---- */

static uint64_t later(uint64_t seq, struct ts_bytes changed)
{
    struct ts_reader r = ts_reader_init(changed.data, changed.len);
    uint64_t v = changed.data == NULL ? 0 : ts_get_u64(&r);
    return v > seq ? v : seq;
}

/* With which generation the object, or what is in it, changed last. */
static uint64_t changed_with(const struct controller *c, const char *path)
{
    char below[NETCTL_PATH_ROOM + 1];
    struct netctl_item i = {NULL, {NULL, 0}};
    uint64_t newest = c->first.v;
    (void)snprintf(below, sizeof(below), "%s/", path);
    newest = later(newest, netctl_tree_get(&c->changed, path));
    while (netctl_tree_next(&c->changed, below, &i)) {
        newest = later(newest, i.value);
    }
    return newest;
}

/* The first error of an item that is of this object, or of what is in it. */
static bool find_error(const struct controller *c, const char *node, const char *path, char *out,
                       size_t cap)
{
    const struct netctl_tree *table = netctl_compiler_table(c->compiler, node);
    const struct south *core = south_server_core(c->server);
    size_t len = strlen(path);
    struct netctl_item i = south_next_error(core, node, "");
    for (; table != NULL && i.key != NULL; i = south_next_error(core, node, i.key)) {
        struct ts_bytes error = i.value;
        struct ts_bytes value = netctl_tree_get(table, i.key);
        if (value.data == NULL) {
            continue; /* it has gone from the table meanwhile */
        }
        json_t *item = json_loadb((const char *)value.data, value.len, JSON_DECODE_ANY, NULL);
        const char *of = json_string_value(json_object_get(item, "path"));
        bool is_of =
            of != NULL && strncmp(of, path, len) == 0 && (of[len] == '\0' || of[len] == '/');
        json_decref(item);
        if (is_of) {
            (void)snprintf(out, cap, "%.*s", (int)error.len, (const char *)error.data);
            ts_utf8_mend(out); /* a kernel's words, perhaps cut */
            return true;
        }
    }
    return false;
}

static struct told ask_node(const struct controller *c, const char *node, const char *path)
{
    struct told t = {.progress = UNDER_WAY};
    struct south_node_state s;
    if (controller_is_behind(c) || !south_node(south_server_core(c->server), node, &s) ||
        (s.acked.v < s.gen.v && s.acked.v < changed_with(c, path))) {
        return t;
    }
    if (leaving_is_on(c, node, path)) {
        return t;
    }
    bool failed = s.errors > 0 && find_error(c, node, path, t.why, sizeof(t.why));
    t.progress = failed ? FAILED : s.more ? UNDER_WAY : DONE;
    return t;
}

/* ---- all of its nodes ---- */

static const char *state_word(enum progress p)
{
    return p == DONE ? "REALIZED" : p == FAILED ? "ERROR" : "UNREALIZED";
}

/* Gives what holds of all; `each` is called for every node of its span, and for those that are to
 * let something of it go. */
static struct told ask_all(const struct controller *c, const char *path,
                           void (*each)(void *arg, const char *node, const struct told *t),
                           void *arg)
{
    struct told all = {.progress = DONE};
    struct netctl_tree span = netctl_compiler_span(c->compiler, c->config.state, path);
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(&span, "", &i)) {
        struct told t = ask_node(c, i.key, path);
        if (t.progress == FAILED || (t.progress == UNDER_WAY && all.progress == DONE)) {
            all = t;
        }
        if (each != NULL) {
            each(arg, i.key, &t);
        }
    }
    char node[SOUTH_NODE_MAX + 1] = "";
    while (leaving_next(c, node)) {
        if (netctl_tree_get(&span, node).data == NULL && leaving_is_on(c, node, path)) {
            const struct told t = {.progress = UNDER_WAY};
            all = all.progress == DONE ? t : all;
            if (each != NULL) {
                each(arg, node, &t);
            }
        }
    }
    netctl_tree_free(&span);
    return all;
}

struct entities {
    json_t *list;
    const char *path;
    char type[100];
};

static void add_entity(const struct entities *e, const char *id, const char *type,
                       const struct told *t)
{
    char path[NETCTL_PATH_ROOM + 300];
    (void)snprintf(path, sizeof(path), "/infra/realized-state/enforcement-points/default/%s%s", id,
                   e->path);
    json_t *alarms = json_array();
    ts_must(alarms);
    if (t->progress == FAILED) {
        (void)json_array_append_new(alarms,
                                    json_pack("{ss,ss,ss}", "resource_type", "PolicyRuntimeAlarm",
                                              "message", t->why, "source_reference", e->path));
    }
    json_t *entity = json_pack("{ss,ss,ss,ss,ss,s[s],ss,so,ss}", "resource_type",
                               "GenericPolicyRealizedResource", "entity_type", type, "id", id,
                               "display_name", id, "path", path, "intent_paths", e->path, "state",
                               state_word(t->progress), "alarms", alarms, "runtime_status",
                               t->progress == DONE     ? "SUCCESS"
                               : t->progress == FAILED ? "ERROR"
                                                       : "IN_PROGRESS");
    ts_must(entity);
    (void)json_array_append_new(e->list, entity);
}

static void add_node(void *arg, const char *node, const struct told *t)
{
    const struct entities *e = arg;
    char type[120];
    (void)snprintf(type, sizeof(type), "%sOnNode", e->type);
    add_entity(e, node, type, t);
}

/* Clients take the first one for all: it is what holds of all nodes. */
json_t *controller_entities(const struct controller *c, const char *path)
{
    struct entities e = {.list = json_array(), .path = path};
    ts_must(e.list);
    (void)snprintf(e.type, sizeof(e.type), "Realized%s", netctl_resource_of(path)->type);
    const struct told all = ask_all(c, path, NULL, NULL);
    add_entity(&e, "default", e.type, &all);
    (void)ask_all(c, path, add_node, &e);
    json_t *answer = json_pack("{so,sI,sb}", "results", e.list, "result_count",
                               (json_int_t)json_array_size(e.list), "sort_ascending", 1);
    ts_must(answer);
    return answer;
}

json_t *controller_status(const struct controller *c, const char *path)
{
    const struct told all = ask_all(c, path, NULL, NULL);
    const char *word = all.progress == DONE     ? "SUCCESS"
                       : all.progress == FAILED ? "ERROR"
                                                : "IN_PROGRESS";
    json_t *answer = json_pack("{ss,ss,s{ss},ss}", "intent_path", path, "publish_status",
                               state_word(all.progress), "consolidated_status",
                               "consolidated_status", word, "intent_version", "0");
    ts_must(answer);
    if (all.progress == FAILED) {
        (void)json_object_set_new(answer, "error_message", json_string(all.why));
    }
    return answer;
}

static void add_detail(void *arg, const char *node, const struct told *t)
{
    json_t *detail = json_pack("{ss,ss}", "sub_system_id", node, "state",
                               t->progress == DONE     ? "success"
                               : t->progress == FAILED ? "failed"
                                                       : "in_progress");
    ts_must(detail);
    if (t->progress == FAILED) {
        (void)json_object_set_new(detail, "failure_message", json_string(t->why));
    }
    (void)json_array_append_new(arg, detail);
}

json_t *controller_segment_state(const struct controller *c, const char *path)
{
    json_t *details = json_array();
    ts_must(details);
    const struct told all = ask_all(c, path, add_detail, details);
    json_t *answer = json_pack("{ss,ss,so}", "segment_path", path, "state",
                               all.progress == DONE     ? "success"
                               : all.progress == FAILED ? "failed"
                                                        : "in_progress",
                               "details", details);
    ts_must(answer);
    return answer;
}

json_t *controller_trace(const struct controller *c, const struct netctl_packet *p,
                         struct netctl_error *e)
{
    if (controller_is_behind(c)) {
        (void)netctl_error_set(e, 503, NETCTL_CODE_FULL,
                               "the nodes' tables are being worked out; try again");
        return NULL;
    }
    return netctl_trace(c->compiler, p, e);
}
