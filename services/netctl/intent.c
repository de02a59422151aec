/* Reads of intent. Requests that change it: edit.c. */
#include "services/netctl/intent.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/netctl/store.h"

static void put_text(json_t *object, const char *key, const char *text)
{
    json_t *value = json_string(text);
    ts_must(value);
    int failed = json_object_set_new(object, key, value);
    ts_assert(failed == 0);
}

/* What follows from the path. */
static void add_names(json_t *object, const char *path, const struct netctl_resource *r)
{
    char parent[NETCTL_PATH_ROOM];
    const char *id = netctl_resource_id(path);
    put_text(object, "id", id);
    put_text(object, "path", path);
    put_text(object, "relative_path", id);
    put_text(object, "resource_type", r->type);
    if (netctl_resource_parent(path, parent)) {
        put_text(object, "parent_path", parent);
    }
}

static json_t *get(const struct netctl_intent *t, const char *path, const struct netctl_resource *r)
{
    json_t *object = netctl_store_get(t, path);
    if (object != NULL) {
        add_names(object, path, r);
    }
    return object;
}

static json_t *new_list(void)
{
    json_t *list = json_array();
    ts_must(list);
    return list;
}

/* The objects below that clients see as a list in this one. */
static void add_embedded(const struct netctl_intent *t, json_t *object, const char *path,
                         const struct netctl_resource *r)
{
    char collection[NETCTL_PATH_ROOM + 32];
    json_t *list = new_list();
    (void)snprintf(collection, sizeof(collection), "%s/%s", path, r->embedded);
    const struct netctl_resource *inner = netctl_resource_in(collection);
    ts_assert(inner != NULL);
    for (const char *at = netctl_store_next(t, collection, NULL); at != NULL;
         at = netctl_store_next(t, collection, at)) {
        int failed = json_array_append_new(list, get(t, at, inner));
        ts_assert(failed == 0);
    }
    int failed = json_object_set_new(object, r->embedded, list);
    ts_assert(failed == 0);
}

json_t *netctl_intent_get(const struct netctl_intent *t, const char *path, struct netctl_error *e)
{
    const struct netctl_resource *r = netctl_path_is_valid(path) ? netctl_resource_of(path) : NULL;
    json_t *object = r == NULL ? NULL : get(t, path, r);
    if (object == NULL) {
        (void)netctl_error_set(e, 404, NETCTL_CODE_NOT_FOUND, "there is no object %.400s", path);
    } else if (r->embedded != NULL) {
        add_embedded(t, object, path, r);
    }
    return object;
}

json_t *netctl_intent_list(const struct netctl_intent *t, const char *collection,
                           const char *cursor, size_t page, struct netctl_error *e)
{
    const struct netctl_resource *r =
        netctl_path_is_valid(collection) ? netctl_resource_in(collection) : NULL;
    char parent[NETCTL_PATH_ROOM];
    char after[2 * NETCTL_PATH_ROOM];
    char one[NETCTL_PATH_ROOM + 2];
    if (r == NULL) {
        (void)netctl_error_set(e, 404, NETCTL_CODE_NOT_FOUND, "there is no collection %.400s",
                               collection);
        return NULL;
    }
    (void)snprintf(one, sizeof(one), "%s/x", collection);
    if (netctl_resource_parent(one, parent) && netctl_tree_get(&t->objects, parent).data == NULL) {
        (void)netctl_error_set(e, 404, NETCTL_CODE_NOT_FOUND, "there is no object %.400s", parent);
        return NULL;
    }
    if (cursor[0] != '\0' && !netctl_id_is_valid(cursor, strlen(cursor))) {
        (void)netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                               "cursor is not what the page before ended with");
        return NULL;
    }
    (void)snprintf(after, sizeof(after), "%s/%s", collection, cursor);
    json_t *results = new_list();
    const char *at = netctl_store_next(t, collection, cursor[0] == '\0' ? NULL : after);
    const char *last = NULL;
    while (at != NULL && json_array_size(results) < page) {
        int failed = json_array_append_new(results, get(t, at, r));
        ts_assert(failed == 0);
        last = at;
        at = netctl_store_next(t, collection, at);
    }
    json_t *list = json_pack("{sosb}", "results", results, "sort_ascending", 1);
    ts_must(list);
    if (cursor[0] == '\0') {
        json_int_t count = (json_int_t)netctl_store_count(t, collection);
        (void)json_object_set_new(list, "result_count", json_integer(count));
    }
    if (at != NULL) {
        char text[sizeof(NETCTL_CURSOR) + NETCTL_ID_MAX];
        (void)snprintf(text, sizeof(text), NETCTL_CURSOR "%s", netctl_resource_id(last));
        put_text(list, "cursor", text);
    }
    return list;
}
