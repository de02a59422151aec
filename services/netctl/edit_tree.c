/* The hierarchical request: many objects at once, as a tree whose root is /infra. */
#include <string.h>

#include "base/memory.h"
#include "services/netctl/edit_inner.h"

/* Children in children in …: of whole trees there are fewer. */
#define DEPTH_MAX 16

/* A child's path below `parent`: its own words of type and id. */
static bool name_child(struct edit *x, const char *parent, const char *type, const json_t *object,
                       char path[NETCTL_PATH_ROOM])
{
    const char *id = json_string_value(json_object_get(object, "id"));
    if (id == NULL || !netctl_id_is_valid(id, strlen(id))) {
        return netctl_error_set(x->e, 400, NETCTL_CODE_INVALID,
                                "a %.60s below %.200s has no id of letters, digits and -_.:~@",
                                type, parent);
    }
    return netctl_resource_below(parent, type, id, path) != NULL ||
           netctl_error_set(x->e, 400, NETCTL_CODE_INVALID,
                            "there are no objects %.60s below %.200s", type, parent);
}

static bool is_gone(const json_t *child, const json_t *object)
{
    return json_is_true(json_object_get(child, "marked_for_delete")) ||
           json_is_true(json_object_get(object, "marked_for_delete"));
}

static bool edit_children(struct edit *x, const char *parent, json_t *object, unsigned depth);

static bool edit_child(struct edit *x, const char *parent, json_t *child, unsigned depth)
{
    const char *name = json_string_value(json_object_get(child, "resource_type"));
    char path[NETCTL_PATH_ROOM];
    if (name == NULL || strncmp(name, "Child", 5) != 0) {
        return netctl_error_set(x->e, 400, NETCTL_CODE_INVALID,
                                "a child of %.200s has no resource_type such as ChildSegment",
                                parent);
    }
    if (strcmp(name, "ChildResourceReference") == 0) {
        const char *type = json_string_value(json_object_get(child, "target_type"));
        return name_child(x, parent, type == NULL ? "(no target_type)" : type, child, path) &&
               (netctl_tree_get(&x->t->objects, path).data != NULL ||
                netctl_error_set(x->e, 404, NETCTL_CODE_NOT_FOUND, "there is no object %.400s",
                                 path)) &&
               edit_children(x, path, child, depth);
    }
    json_t *object = json_object_get(child, name + 5);
    if (!json_is_object(object)) {
        return netctl_error_set(x->e, 400, NETCTL_CODE_INVALID,
                                "a %.60s below %.200s has no \"%.60s\"", name, parent, name + 5);
    }
    if (!name_child(x, parent, name + 5, object, path)) {
        return false;
    }
    bool gone = is_gone(child, object);
    json_t *children = json_incref(json_object_get(object, "children"));
    (void)json_object_del(object, "children");
    json_t *rest = json_object();
    ts_must(rest);
    if (children != NULL) {
        netctl_edit_set(rest, "children", children);
    }
    /* What is deleted is deleted behind what is in it. */
    bool good = gone || netctl_edit_object(x, path, object, false, false);
    good = good && edit_children(x, path, rest, depth);
    if (good && gone && netctl_tree_get(&x->t->objects, path).data != NULL) {
        good = netctl_edit_remove(x, path);
    }
    json_decref(rest);
    return good;
}

static bool edit_children(struct edit *x, const char *parent, json_t *object, unsigned depth)
{
    const json_t *children = json_object_get(object, "children");
    bool good =
        children == NULL || json_is_null(children) ||
        (json_is_array(children) && depth < DEPTH_MAX) ||
        netctl_error_set(x->e, 400, NETCTL_CODE_BODY, "children of %.200s is no list […]", parent);
    for (size_t i = 0; good && i < json_array_size(children); i++) {
        good = edit_child(x, parent, json_array_get(children, i), depth + 1);
    }
    return good;
}

static bool children_go(const json_t *object, unsigned depth)
{
    const json_t *children = json_object_get(object, "children");
    bool all = depth < DEPTH_MAX;
    for (size_t i = 0; all && i < json_array_size(children); i++) {
        const json_t *child = json_array_get(children, i);
        const char *name = json_string_value(json_object_get(child, "resource_type"));
        bool named = name != NULL && strncmp(name, "Child", 5) == 0;
        bool reference = named && strcmp(name, "ChildResourceReference") == 0;
        const json_t *inner =
            reference || !named ? child : json_object_get(child, name + strlen("Child"));
        all = named && (reference || is_gone(child, inner)) && children_go(inner, depth + 1);
    }
    return all;
}

bool netctl_intent_tree_removes(const json_t *body)
{
    return children_go(body, 0);
}

bool netctl_intent_patch_tree(struct netctl_intent *t, json_t *body, bool revisions,
                              const struct netctl_author *author, struct netctl_error *e)
{
    struct edit x = netctl_edit_begin(t, "/infra", author, e);
    x.revisions = revisions;
    const char *type = json_string_value(json_object_get(body, "resource_type"));
    bool good = json_is_object(body) && type != NULL && strcmp(type, "Infra") == 0;
    if (!good) {
        (void)netctl_error_set(e, 400, NETCTL_CODE_BODY,
                               "the body is no JSON object with resource_type \"Infra\"");
    }
    return netctl_edit_end(&x, good && edit_children(&x, "/infra", body, 0));
}
