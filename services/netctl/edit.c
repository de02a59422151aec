/* Requests that change intent: each on a copy of the tree, which takes its place when all of it
 * holds. References and parents are looked at when the request is done, so that the objects of one
 * request may come in any order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/netctl/check.h"
#include "services/netctl/edit_inner.h"
#include "services/netctl/store.h"

/* Objects of one request: what is longer is an error to its sender. */
#define TOUCHED_MAX 100000
/* Objects in one list of another one. */
#define EMBEDDED_MAX 10000

struct edit netctl_edit_begin(struct netctl_intent *t, const char *asked,
                              const struct netctl_author *author, struct netctl_error *e)
{
    return (struct edit){.t = t,
                         .objects = netctl_tree_copy(&t->objects),
                         .refs = netctl_tree_copy(&t->refs),
                         .marks = netctl_tree_copy(&t->marks),
                         .sizes = netctl_tree_copy(&t->sizes),
                         .asked = asked,
                         .author = author,
                         .e = e};
}

static bool touch(struct edit *x, const char *path)
{
    if (x->count == TOUCHED_MAX) {
        return netctl_error_set(x->e, 400, NETCTL_CODE_BODY,
                                "one request may change %d objects at most; send it in parts",
                                TOUCHED_MAX);
    }
    if (x->count == x->cap) {
        x->cap = x->cap == 0 ? 8 : 2 * x->cap;
        x->touched = realloc(x->touched, x->cap * sizeof(*x->touched));
        ts_must(x->touched);
    }
    char *copy = malloc(strlen(path) + 1);
    ts_must(copy);
    memcpy(copy, path, strlen(path) + 1);
    x->touched[x->count++] = copy;
    return true;
}

/* ---- what must hold when it is done ---- */

struct missing {
    const struct netctl_intent *t;
    const char *of;
    struct netctl_error *e;
};

static bool is_of(const char *const *types, const struct netctl_resource *r)
{
    for (size_t i = 0; types != NULL && types[i] != NULL; i++) {
        if (strcmp(types[i], r->type) == 0) {
            return true;
        }
    }
    return types == NULL;
}

static void on_reference(void *arg, const struct netctl_field *field, const char *target)
{
    const struct missing *m = arg;
    if (netctl_tree_get(&m->t->objects, target).data == NULL) {
        (void)netctl_error_set(m->e, 400, NETCTL_CODE_REFERENCE,
                               "%.180s refers to %.180s, which does not exist", m->of, target);
    } else if (!is_of(field->types, netctl_resource_of(target))) {
        (void)netctl_error_set(m->e, 400, NETCTL_CODE_REFERENCE,
                               "%.180s refers to %.180s, which is a %s; there it is to be a %s",
                               m->of, target, netctl_resource_of(target)->type, field->types[0]);
    }
}

static bool check_there(const struct edit *x, const char *path)
{
    char parent[NETCTL_PATH_ROOM];
    struct missing m = {x->t, path, x->e};
    json_t *object = netctl_store_get(x->t, path);
    if (netctl_resource_parent(path, parent) &&
        netctl_tree_get(&x->t->objects, parent).data == NULL) {
        (void)netctl_error_set(x->e, 404, NETCTL_CODE_NOT_FOUND,
                               "there is no object %.200s for %.200s", parent, path);
    }
    netctl_schema_paths(netctl_resource_of(path)->fields, object, on_reference, &m);
    json_decref(object);
    return x->e->status == 0;
}

static bool check_gone(const struct edit *x, const char *path)
{
    char source[NETCTL_PATH_ROOM];
    const char *child = netctl_store_child(x->t, path);
    if (child != NULL) {
        return netctl_error_set(x->e, 400, NETCTL_CODE_REFERENCED,
                                "%.200s cannot be deleted: %.200s is in it", path, child);
    }
    return !netctl_store_referrer(x->t, path, source) ||
           netctl_error_set(x->e, 400, NETCTL_CODE_REFERENCED,
                            "%.200s cannot be deleted: %.200s refers to it", path, source);
}

/* Of `was` and `is`, the one that is not to be goes. */
static void settle(struct netctl_tree *is, struct netctl_tree *was, bool good)
{
    netctl_tree_free(good ? was : is);
    *is = good ? *is : *was;
}

bool netctl_edit_end(struct edit *x, bool good)
{
    for (size_t i = 0; i < x->count; i++) {
        const char *path = x->touched[i];
        bool there = netctl_tree_get(&x->t->objects, path).data != NULL;
        good = good && (there ? check_there(x, path) : check_gone(x, path));
    }
    /* What objects say of one another, when all that they refer to is there. */
    for (size_t i = 0; i < x->count; i++) {
        good = good && netctl_check(x->t, x->touched[i], x->e);
        free(x->touched[i]);
    }
    free(x->touched);
    bool grew = x->t->objects.bytes > x->objects.bytes;
    if (good && grew && x->t->objects.bytes > x->t->bytes_max) {
        good = netctl_error_set(x->e, 507, NETCTL_CODE_FULL,
                                "all objects together have more than %llu bytes; delete some",
                                (unsigned long long)x->t->bytes_max);
    }
    if (good) {
        netctl_numbers_follow(&x->t->numbers, &x->objects, &x->t->objects);
    }
    settle(&x->t->objects, &x->objects, good);
    settle(&x->t->refs, &x->refs, good);
    settle(&x->t->marks, &x->marks, good);
    settle(&x->t->sizes, &x->sizes, good);
    ts_assert(good == (x->e->status == 0));
    return good;
}

/* ---- one object ---- */

static const char *const OWN[] = {"_revision",           "_create_time",        "_create_user",
                                  "_last_modified_time", "_last_modified_user", NULL};

static bool is_same_content(const json_t *a, const json_t *b)
{
    json_t *x = json_copy((json_t *)a);
    json_t *y = json_copy((json_t *)b);
    ts_must(x);
    ts_must(y);
    for (size_t i = 0; OWN[i] != NULL; i++) {
        (void)json_object_del(x, OWN[i]);
        (void)json_object_del(y, OWN[i]);
    }
    bool same = json_equal(x, y) == 1;
    json_decref(x);
    json_decref(y);
    return same;
}

void netctl_edit_set(json_t *object, const char *key, json_t *value)
{
    ts_must(value);
    int failed = json_object_set_new(object, key, value);
    ts_assert(failed == 0);
}

/* Signs and puts what `object` says now. */
static bool put(struct edit *x, const char *path, json_t *object, const json_t *before)
{
    json_int_t ms = (json_int_t)x->author->ms;
    json_int_t revision = 0;
    netctl_edit_set(object, "_create_time", json_integer(ms));
    netctl_edit_set(object, "_create_user", json_string(x->author->user));
    if (before != NULL) {
        (void)json_object_set(object, "_create_time", json_object_get(before, "_create_time"));
        (void)json_object_set(object, "_create_user", json_object_get(before, "_create_user"));
        revision = json_integer_value(json_object_get(before, "_revision")) + 1;
    }
    netctl_edit_set(object, "_last_modified_time", json_integer(ms));
    netctl_edit_set(object, "_last_modified_user", json_string(x->author->user));
    netctl_edit_set(object, "_revision", json_integer(revision));
    return netctl_store_put(x->t, path, object) ||
           netctl_error_set(x->e, 400, NETCTL_CODE_BODY, "%.300s would have more than %u bytes",
                            path, NETCTL_OBJECT_MAX);
}

/* The body's own words of which object it is agree with the path. */
static bool check_names(struct edit *x, const struct netctl_resource *r, const char *path,
                        json_t *body)
{
    const char *const want[][2] = {{"id", netctl_resource_id(path)}, {"resource_type", r->type}};
    for (size_t i = 0; i < 2; i++) {
        const char *is = json_string_value(json_object_get(body, want[i][0]));
        if (is != NULL && strcmp(is, want[i][1]) != 0) {
            return netctl_error_set(x->e, 400, NETCTL_CODE_BODY,
                                    "%s is \"%.100s\", and the path %.200s says \"%.100s\"",
                                    want[i][0], is, path, want[i][1]);
        }
        (void)json_object_del(body, want[i][0]);
    }
    return true;
}

/* `inner`: an object in another one's list, which may come without: that one's counts. */
static bool check_revision(struct edit *x, const char *path, const json_t *sent,
                           const json_t *before, bool inner)
{
    json_int_t now = json_integer_value(json_object_get(before, "_revision"));
    if (before == NULL || !x->revisions || (inner && sent == NULL)) {
        return true;
    }
    if (json_is_integer(sent) && json_integer_value(sent) == now) {
        return true;
    }
    if (sent == NULL || json_is_null(sent)) {
        return netctl_error_set(x->e, 412, NETCTL_CODE_REVISION,
                                "_revision is missing; that of %.300s is %lld", path,
                                (long long)now);
    }
    return netctl_error_set(x->e, 412, NETCTL_CODE_REVISION,
                            "%.300s has changed meanwhile: its _revision is %lld; get it again",
                            path, (long long)now);
}

/* The objects that the body has as a list. With `whole` those that it has not are deleted.
 * *changed: any was. */
static bool edit_embedded(struct edit *x, const struct netctl_resource *r, const char *path,
                          const json_t *list, bool whole, bool *changed)
{
    char inner[NETCTL_PATH_ROOM + NETCTL_ID_MAX + 32];
    struct ts_hash before = x->t->objects.digest;
    json_t *named = json_object();
    ts_must(named);
    bool good = list == NULL || (json_is_array(list) && json_array_size(list) <= EMBEDDED_MAX) ||
                netctl_error_set(x->e, 400, NETCTL_CODE_INVALID, "%s is no list […] of at most %d",
                                 r->embedded, EMBEDDED_MAX);
    for (size_t i = 0; good && i < json_array_size(list); i++) {
        json_t *one = json_array_get(list, i);
        const char *id = json_string_value(json_object_get(one, "id"));
        if (id == NULL || !netctl_id_is_valid(id, strlen(id))) {
            good = netctl_error_set(x->e, 400, NETCTL_CODE_INVALID,
                                    "%s[%zu].id is missing, or is none: letters, digits and -_.:~@",
                                    r->embedded, i);
        } else if (json_object_get(named, id) != NULL) {
            good = netctl_error_set(x->e, 400, NETCTL_CODE_INVALID, "%s[%zu].id is there twice",
                                    r->embedded, i);
        } else {
            netctl_edit_set(named, id, json_true());
            int n = snprintf(inner, sizeof(inner), "%s/%s/%s", path, r->embedded, id);
            good = (n <= NETCTL_PATH_MAX ||
                    netctl_error_set(x->e, 400, NETCTL_CODE_INVALID,
                                     "the path of %s[%zu] is too long", r->embedded, i)) &&
                   netctl_edit_object(x, inner, one, whole, true);
        }
    }
    (void)snprintf(inner, sizeof(inner), "%s/%s", path, r->embedded);
    const char *at = good && whole ? netctl_store_next(x->t, inner, NULL) : NULL;
    while (good && at != NULL) {
        char old[NETCTL_PATH_ROOM];
        (void)snprintf(old, sizeof(old), "%s", at);
        if (json_object_get(named, netctl_resource_id(old)) == NULL) {
            netctl_store_remove(x->t, old);
            good = touch(x, old);
        }
        at = netctl_store_next(x->t, inner, old);
    }
    json_decref(named);
    *changed = !ts_hash_eq(before, x->t->objects.digest);
    return good;
}

/* What an object that is `before`, or is new, says with the fields of `part`; one that is null
 * there is taken away. The caller's. */
static json_t *merge(const json_t *before, const json_t *part)
{
    json_t *after = before == NULL ? json_object() : json_copy((json_t *)before);
    const char *key;
    json_t *value;
    ts_must(after);
    json_object_foreach((json_t *)part, key, value)
    {
        if (json_is_null(value)) {
            (void)json_object_del(after, key);
        } else {
            int failed = json_object_set(after, key, value);
            ts_assert(failed == 0);
        }
    }
    return after;
}

#define NAME_ROOM 160

/* What stands in front of the names of its fields: a request may be about many objects. */
static void name_in_errors(const struct edit *x, const char *path, char where[NAME_ROOM])
{
    bool own = strcmp(path, x->asked) == 0;
    (void)snprintf(where, NAME_ROOM, "%.150s%s", own ? "" : path, own ? "" : ": ");
}

/* `body` as clients send it, of an object that is `before`, or is new. */
static bool edit_checked(struct edit *x, const struct netctl_resource *r, const char *path,
                         json_t *body, const json_t *embedded, const json_t *before, bool whole)
{
    bool inner = false;
    bool good = (embedded == NULL && !(whole && r->embedded != NULL)) ||
                edit_embedded(x, r, path, embedded, whole, &inner);
    char where[NAME_ROOM];
    json_t *after = merge(whole ? NULL : before, body);
    name_in_errors(x, path, where);
    good = good && netctl_schema_check_needed(r->fields, after, x->author->rules, where, x->e);
    if (json_object_get(after, "display_name") == NULL) {
        netctl_edit_set(after, "display_name", json_string(netctl_resource_id(path)));
    }
    if (good && (before == NULL || inner || !is_same_content(before, after))) {
        good = put(x, path, after, before) && touch(x, path);
    }
    json_decref(after);
    return good;
}

/* The fields of a body, each as it may be, and those that are null. */
static bool check_body(const struct edit *x, const struct netctl_resource *r, const char *path,
                       json_t *body)
{
    char where[NAME_ROOM];
    json_t *nulls = json_object();
    const char *key;
    json_t *value;
    ts_must(nulls);
    json_object_foreach(body, key, value)
    {
        if (json_is_null(value)) {
            netctl_edit_set(nulls, key, json_null());
        }
    }
    name_in_errors(x, path, where);
    bool good = netctl_schema_check_part(r->fields, body, x->author->rules, where, x->e);
    int failed = json_object_update(body, nulls);
    ts_assert(failed == 0);
    json_decref(nulls);
    return good;
}

bool netctl_edit_object(struct edit *x, const char *path, json_t *body, bool whole, bool inner)
{
    const struct netctl_resource *r = netctl_path_is_valid(path) ? netctl_resource_of(path) : NULL;
    if (r == NULL || r->since > x->author->rules) {
        return netctl_error_set(x->e, 404, NETCTL_CODE_NOT_FOUND,
                                "there are no objects like %.400s", path);
    }
    if (r->is_fixed) {
        return netctl_error_set(x->e, 400, NETCTL_CODE_BODY, "%.400s cannot be changed", path);
    }
    if (!json_is_object(body)) {
        return netctl_error_set(x->e, 400, NETCTL_CODE_BODY, "the body is no JSON object {…}");
    }
    json_t *revision = json_incref(json_object_get(body, "_revision"));
    json_t *embedded = r->embedded == NULL ? NULL : json_incref(json_object_get(body, r->embedded));
    if (embedded != NULL) {
        (void)json_object_del(body, r->embedded); /* objects of their own, with their revisions */
    }
    if (json_is_null(embedded)) { /* as if it were left out */
        embedded = NULL;
    }
    json_t *before = netctl_store_get(x->t, path);
    bool good = check_body(x, r, path, body) && check_names(x, r, path, body) &&
                check_revision(x, path, revision, before, inner) &&
                edit_checked(x, r, path, body, embedded, before, whole);
    json_decref(revision);
    json_decref(embedded);
    json_decref(before);
    return good;
}

/* ---- the requests ---- */

bool netctl_intent_put(struct netctl_intent *t, const char *path, json_t *body,
                       const struct netctl_author *author, struct netctl_error *e)
{
    struct edit x = netctl_edit_begin(t, path, author, e);
    x.revisions = true;
    return netctl_edit_end(&x, netctl_edit_object(&x, path, body, true, false));
}

bool netctl_intent_patch(struct netctl_intent *t, const char *path, json_t *body,
                         const struct netctl_author *author, struct netctl_error *e)
{
    struct edit x = netctl_edit_begin(t, path, author, e);
    return netctl_edit_end(&x, netctl_edit_object(&x, path, body, false, false));
}

bool netctl_edit_remove(struct edit *x, const char *path)
{
    const struct netctl_resource *r = netctl_path_is_valid(path) ? netctl_resource_of(path) : NULL;
    if (r == NULL || netctl_tree_get(&x->t->objects, path).data == NULL) {
        return netctl_error_set(x->e, 404, NETCTL_CODE_NOT_FOUND, "there is no object %.400s",
                                path);
    }
    if (r->is_fixed) {
        return netctl_error_set(x->e, 400, NETCTL_CODE_BODY, "%.400s cannot be deleted", path);
    }
    bool good = true;
    char collection[NETCTL_PATH_ROOM + 32];
    (void)snprintf(collection, sizeof(collection), "%s/%s", path,
                   r->embedded == NULL ? "" : r->embedded);
    const char *at = r->embedded == NULL ? NULL : netctl_store_next(x->t, collection, NULL);
    while (good && at != NULL) {
        char old[NETCTL_PATH_ROOM];
        (void)snprintf(old, sizeof(old), "%s", at);
        netctl_store_remove(x->t, old);
        good = touch(x, old);
        at = netctl_store_next(x->t, collection, NULL);
    }
    netctl_store_remove(x->t, path);
    return good && touch(x, path);
}

bool netctl_intent_delete(struct netctl_intent *t, const char *path, struct netctl_error *e)
{
    struct edit x = netctl_edit_begin(t, path, NULL, e);
    return netctl_edit_end(&x, netctl_edit_remove(&x, path));
}
