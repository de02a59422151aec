/* See lab/view.h. */
#include "lab/view.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/exit.h"
#include "cluster-cfg/io/admin_client.h"
#include "lab/mem.h"

#define ASK_MS 500

struct lab_view *lab_view_make(const struct cfg_cluster *c)
{
    struct lab_view *v = lab_calloc(1, sizeof(*v));
    v->node_count = c->node_count;
    v->group_count = c->group_count;
    v->replicas = lab_calloc(c->node_count * c->group_count, sizeof(*v->replicas));
    return v;
}

void lab_view_free(struct lab_view *v)
{
    if (v != NULL) {
        free(v->replicas);
        free(v);
    }
}

static struct lab_view_replica *at(const struct lab_view *v, size_t group, size_t node)
{
    ts_assert(group < v->group_count && node < v->node_count);
    return &v->replicas[group * v->node_count + node];
}

const struct lab_view_replica *lab_view_of(const struct lab_view *v, size_t group, size_t node)
{
    return at(v, group, node);
}

/* ---- reading ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static uint64_t number_of(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static uint64_t mask_of(const struct cfg_cluster *c, const json_t *names)
{
    uint64_t mask = 0;
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        const char *text = json_string_value(name);
        const struct cfg_node *node = text == NULL ? NULL : cfg_cluster_node_by_name(c, text);
        mask |= node == NULL ? 0 : 1ULL << node->id.v;
    }
    return mask;
}

/* False for "down" and roles of later versions. */
static bool role_of(const char *text, enum report_role *out)
{
    static const char *const names[] = {
        [REPORT_ROLE_STARTING] = "starting",       [REPORT_ROLE_PRIMARY] = "primary",
        [REPORT_ROLE_TAKING_OVER] = "taking over", [REPORT_ROLE_SECONDARY] = "secondary",
        [REPORT_ROLE_LEARNER] = "learner",         [REPORT_ROLE_HALTED] = "halted",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], text) == 0) {
            *out = (enum report_role)i;
            return true;
        }
    }
    return false;
}

static void read_group(const struct cfg_cluster *c, const json_t *group, struct lab_view_replica *r)
{
    const struct cfg_node *primary = cfg_cluster_node_by_name(c, text_of(group, "primary"));
    r->asked = true;
    r->known = role_of(text_of(group, "role"), &r->role);
    r->instance = strtoull(text_of(group, "instance"), NULL, 16);
    r->epoch = number_of(group, "epoch");
    r->in_sync = mask_of(c, json_object_get(group, "in_sync"));
    r->members = mask_of(c, json_object_get(group, "members"));
    r->required = mask_of(c, json_object_get(group, "required"));
    r->primary = primary == NULL ? 0 : primary->id.v;
    r->applied = number_of(group, "applied");
    r->rejected = number_of(group, "rejected");
    (void)snprintf(r->why, sizeof(r->why), "%s", text_of(group, "why"));
}

static void read_alarms(const json_t *reply, struct lab_view *v)
{
    size_t i;
    json_t *alarm;
    json_array_foreach(json_object_get(reply, "alarms"), i, alarm)
    {
        if (v->alarm_count < LAB_VIEW_ALARMS_MAX) {
            struct lab_view_alarm *a = &v->alarms[v->alarm_count];
            (void)snprintf(a->node, sizeof(a->node), "%s", text_of(reply, "node"));
            (void)snprintf(a->code, sizeof(a->code), "%s", text_of(alarm, "code"));
            (void)snprintf(a->text, sizeof(a->text), "%s", text_of(alarm, "text"));
        }
        v->alarm_count++;
    }
}

/* Signals that a program raises against itself; the lab sends others. */
static bool is_crash(int64_t status)
{
    return status == -SIGABRT || status == -SIGSEGV || status == -SIGBUS || status == -SIGILL ||
           status == -SIGFPE;
}

/* Replicas that do not run since they need a person, and programs that their own fault ended. */
static void read_processes(const struct cfg_cluster *c, const json_t *reply, size_t node,
                           struct lab_view *v)
{
    size_t i;
    json_t *process;
    json_array_foreach(json_object_get(reply, "processes"), i, process)
    {
        int64_t status = json_integer_value(json_object_get(process, "last_status"));
        const struct cfg_group *g = cfg_cluster_group_by_name(c, text_of(process, "group"));
        if (is_crash(status)) {
            (void)snprintf(v->crash, sizeof(v->crash), "%s of %s ended by signal %d: see its log",
                           text_of(process, "program"), text_of(reply, "node"), (int)-status);
        }
        if (g != NULL) {
            at(v, (size_t)(g - c->groups), node)->refused =
                !json_is_true(json_object_get(process, "running")) && status == TS_EXIT_CONFIG;
        }
    }
}

static void read_node(const struct cfg_cluster *c, size_t node, const json_t *reply,
                      struct lab_view *v)
{
    size_t i;
    json_t *each;
    v->answering++;
    read_alarms(reply, v);
    read_processes(c, reply, node, v);
    json_array_foreach(json_object_get(reply, "groups"), i, each)
    {
        const struct cfg_group *g = cfg_cluster_group_by_name(c, text_of(each, "group"));
        if (g != NULL && cfg_group_has(g, c->nodes[node].id)) {
            read_group(c, each, at(v, (size_t)(g - c->groups), node));
        }
    }
}

void lab_view_read(struct lab_view *v, const struct cfg_cluster *c, const struct nodes_run *run)
{
    memset(v->replicas, 0, v->node_count * v->group_count * sizeof(*v->replicas));
    v->answering = v->alarm_count = 0;
    v->crash[0] = '\0';
    for (size_t i = 0; i < c->node_count; i++) {
        char dir[TS_PATH_MAX];
        json_t *reply = NULL;
        const char *name = c->nodes[i].name;
        /* A frozen or dead node would cost the whole wait for its answer. */
        struct nodes_proc cfgd;
        if (!nodes_find(run, name, "cluster-cfgd", NULL, &cfgd) || cfgd.stopped ||
            ts_path(dir, NULL, run->run, "%s", name) != TS_OK ||
            admin_client_get(dir, "status", ASK_MS, &reply, NULL) != TS_OK) {
            continue;
        }
        read_node(c, i, reply, v);
        json_decref(reply);
    }
}

/* ---- what follows from it ---- */

int lab_view_primary(const struct lab_view *v, size_t group)
{
    int best = -1;
    for (size_t i = 0; i < v->node_count; i++) {
        const struct lab_view_replica *r = at(v, group, i);
        if (r->known && r->role == REPORT_ROLE_PRIMARY &&
            (best < 0 || r->epoch > at(v, group, (size_t)best)->epoch)) {
            best = (int)i;
        }
    }
    return best;
}

uint64_t lab_view_epoch(const struct lab_view *v, size_t group)
{
    uint64_t epoch = 0;
    for (size_t i = 0; i < v->node_count; i++) {
        uint64_t e = at(v, group, i)->epoch;
        epoch = e > epoch ? e : epoch;
    }
    return epoch;
}

/* What the group lacks; false: nothing. */
static bool lacks(const struct lab_view *v, const struct cfg_cluster *c, size_t group,
                  char *missing, size_t cap)
{
    const struct cfg_group *g = &c->groups[group];
    int primary = lab_view_primary(v, group);
    if (primary < 0) {
        (void)snprintf(missing, cap, "%s has no primary", g->name);
        return true;
    }
    const struct lab_view_replica *p = at(v, group, (size_t)primary);
    if (p->in_sync != p->members || p->required != p->members) {
        (void)snprintf(missing, cap, "not all replicas of %s are in sync", g->name);
        return true;
    }
    for (size_t i = 0; i < c->node_count; i++) {
        const struct lab_view_replica *r = at(v, group, i);
        bool member = (p->members >> c->nodes[i].id.v & 1) != 0;
        if (member && (int)i != primary &&
            (!r->known || r->role != REPORT_ROLE_SECONDARY || r->epoch != p->epoch)) {
            (void)snprintf(missing, cap, "%s does not follow the primary of %s", c->nodes[i].name,
                           g->name);
            return true;
        }
    }
    return false;
}

bool lab_view_redundant(const struct lab_view *v, const struct cfg_cluster *c, char *missing,
                        size_t cap)
{
    char text[TS_PATH_MAX] = "";
    bool good = v->answering == c->node_count;
    if (!good) {
        (void)snprintf(text, sizeof(text), "%zu of %zu nodes answer", v->answering, c->node_count);
    }
    for (size_t g = 0; g < c->group_count && good; g++) {
        good = !lacks(v, c, g, text, sizeof(text));
    }
    if (good && v->alarm_count > 0) {
        good = false;
        (void)snprintf(text, sizeof(text), "an alarm of %s: %s", v->alarms[0].node,
                       v->alarms[0].text);
    }
    if (missing != NULL && cap > 0) {
        (void)snprintf(missing, cap, "%s", text);
    }
    return good;
}
