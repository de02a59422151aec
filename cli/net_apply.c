/* twinstep net apply: a directory's objects become those of the controller, all or none. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "cli/net.h"
#include "services/netctl/resource.h"

struct plan {
    json_t *children; /* of the hierarchical PATCH */
    bool is_silent;
    size_t created;
    size_t changed;
    size_t deleted;
    size_t same;
};

/* ---- what would change ---- */

static char *text_of(const json_t *value)
{
    char *text =
        value == NULL ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    if (text == NULL) {
        text = strdup("nothing");
    }
    ts_must(text);
    return text;
}

/* Whether all that `wanted` says stands in `is`: what is not said may be there. */
static bool says(const json_t *is, const json_t *wanted)
{
    const char *key;
    json_t *value;
    if (!json_is_object(wanted)) {
        return json_equal(is, wanted) == 1;
    }
    json_object_foreach((json_t *)(uintptr_t)wanted, key, value)
    {
        if (!says(json_object_get(is, key), value)) {
            return false;
        }
    }
    return json_is_object(is);
}

static bool is_of_request(const char *key)
{
    return strcmp(key, "path") == 0 || strcmp(key, "marked_for_delete") == 0;
}

/* Prints each field that would change. */
static void tell_fields(const struct cli_net *n, const json_t *is, const json_t *wanted)
{
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)wanted, key, value)
    {
        if (is_of_request(key) || says(json_object_get(is, key), value)) {
            continue;
        }
        if (count++ == 0) {
            (void)fprintf(n->cli->out, "~ %s\n", cli_string(wanted, "path", "?"));
        }
        char *was = text_of(json_object_get(is, key));
        char *now = text_of(value);
        (void)fprintf(n->cli->out, "    %s: %s -> %s\n", key, was, now);
        free(was);
        free(now);
    }
}

/* `mark`: '+' or '-'. */
static void tell(const struct cli_net *n, const struct plan *p, char mark, const char *path)
{
    if (!p->is_silent) {
        (void)fprintf(n->cli->out, "%c %s\n", mark, path);
    }
}

/* ---- the request ---- */

/* Wraps `child` as what is in each of the objects above `path`, and gives what is directly in
 * /infra. Takes `child`. */
static json_t *wrap(const char *path, json_t *child)
{
    char at[NETCTL_PATH_ROOM];
    char parent[NETCTL_PATH_ROOM];
    (void)snprintf(at, sizeof(at), "%s", path);
    while (netctl_resource_parent(at, parent) && strcmp(parent, "/infra") != 0) {
        child = json_pack("{ss,ss,ss,s[o]}", "resource_type", "ChildResourceReference",
                          "target_type", netctl_resource_of(parent)->type, "id",
                          netctl_resource_id(parent), "children", child);
        ts_must(child);
        memcpy(at, parent, sizeof(at));
    }
    return child;
}

static int add_change(struct plan *p, const json_t *wanted, bool gone)
{
    const char *path = cli_string(wanted, "path", "");
    const struct netctl_resource *r = netctl_resource_of(path);
    char name[128];
    ts_assert(r != NULL); /* as cli_net_intents gives them */
    json_t *object = json_deep_copy(wanted);
    ts_must(object);
    (void)json_object_del(object, "path");
    (void)json_object_del(object, "marked_for_delete");
    (void)json_object_set_new(object, "resource_type", json_string(r->type));
    (void)json_object_set_new(object, "id", json_string(netctl_resource_id(path)));
    (void)snprintf(name, sizeof(name), "Child%s", r->type);
    json_t *child =
        json_pack("{ss,sb,so}", "resource_type", name, "marked_for_delete", gone, r->type, object);
    ts_must(child);
    child = wrap(path, child);
    return (gone ? json_array_insert_new(p->children, 0, child)
                 : json_array_append_new(p->children, child)) == 0
               ? CLI_OK
               : CLI_FAILED;
}

static int plan_one(struct cli_net *n, struct plan *p, const json_t *wanted)
{
    const char *path = cli_string(wanted, "path", "");
    bool gone = cli_bool(wanted, "marked_for_delete");
    json_t *is = NULL;
    int status = cli_net_ask(n, "GET", path, NULL, true, &is);
    if (status != CLI_OK) {
        return status;
    }
    if (is == NULL ? gone : !gone && says(is, wanted)) {
        p->same++;
    } else if (is == NULL) {
        tell(n, p, '+', path);
        p->created++;
        status = add_change(p, wanted, false);
    } else if (gone) {
        tell(n, p, '-', path);
        p->deleted++;
        status = add_change(p, wanted, true);
    } else {
        if (!p->is_silent) {
            tell_fields(n, is, wanted);
        }
        p->changed++;
        status = add_change(p, wanted, false);
    }
    json_decref(is);
    return status;
}

static int make_plan(struct cli_net *n, struct plan *p, const json_t *intents)
{
    size_t i;
    const json_t *wanted;
    int status = CLI_OK;
    p->children = json_array();
    ts_must(p->children);
    json_array_foreach(intents, i, wanted)
    {
        status = status != CLI_OK ? status : plan_one(n, p, wanted);
    }
    return status;
}

/* Whether there is nothing left to do. */
static bool is_done(struct cli_net *n, const json_t *intents)
{
    struct plan p = {.is_silent = true};
    bool done = make_plan(n, &p, intents) == CLI_OK && json_array_size(p.children) == 0;
    json_decref(p.children);
    return done;
}

static int carry_out(struct cli_net *n, const struct plan *p, const json_t *intents)
{
    struct cli_net_said said;
    json_t *request = json_pack("{ss,sO}", "resource_type", "Infra", "children", p->children);
    ts_must(request);
    int status = cli_net_try(n, "PATCH", "/infra", request, &said);
    /* What is deleted can be missed by the second one: by who refers to it. */
    if (status == CLI_OK && said.status >= 300 && !(said.repeated && is_done(n, intents))) {
        status = cli_net_refused(n, "/infra", &said);
    }
    json_decref(said.body);
    json_decref(request);
    return status;
}

int cli_net_apply(struct cli_net *n, const char *operand)
{
    struct plan p = {.children = NULL};
    json_t *intents = cli_net_intents(n->cli, operand);
    int status = intents == NULL ? CLI_USAGE : make_plan(n, &p, intents);
    if (status == CLI_OK && json_array_size(p.children) > 0 && !n->dry_run) {
        status = carry_out(n, &p, intents);
    }
    if (status == CLI_OK) {
        (void)fprintf(n->cli->out, "%s%zu created, %zu changed, %zu deleted, %zu as they were\n",
                      n->dry_run ? "would be: " : "", p.created, p.changed, p.deleted, p.same);
    }
    json_decref(p.children);
    json_decref(intents);
    return status;
}
