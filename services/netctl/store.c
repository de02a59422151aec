#include "services/netctl/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/netctl/marks.h"
#include "services/netctl/request.h"

/* Between the two paths of a reference. No path has it. */
#define SEPARATOR '\x01'
#define REF_ROOM (2 * NETCTL_PATH_ROOM)
_Static_assert(REF_ROOM <= NETCTL_KEY_MAX, "two paths are a key");

static json_t *parse(struct ts_bytes text)
{
    json_t *object = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    return object;
}

json_t *netctl_store_get(const struct netctl_intent *t, const char *path)
{
    struct ts_bytes text = netctl_tree_get(&t->objects, path);
    if (text.data == NULL) {
        return NULL;
    }
    json_t *object = parse(text);
    ts_must(object); /* it was JSON when it came in */
    return object;
}

/* ---- references ---- */

struct referring {
    struct netctl_tree *refs;
    const char *source;
    bool comes;
};

static void on_reference(void *arg, const struct netctl_field *field, const char *target)
{
    (void)field;
    const struct referring *r = arg;
    char key[REF_ROOM];
    int n = snprintf(key, sizeof(key), "%s%c%s", target, SEPARATOR, r->source);
    ts_assert(n > 0 && (size_t)n < sizeof(key));
    if (r->comes) {
        netctl_tree_put(r->refs, key, (struct ts_bytes){(const uint8_t *)"", 0});
    } else {
        (void)netctl_tree_remove(r->refs, key); /* it may be named twice by one object */
    }
}

static void refer(struct netctl_intent *t, const char *path, const json_t *object, bool comes)
{
    const struct netctl_resource *r = netctl_resource_of(path);
    struct referring arg = {&t->refs, path, comes};
    ts_assert(r != NULL);
    netctl_schema_paths(r->fields, object, on_reference, &arg);
    netctl_marks_put(&t->marks, path, object, comes);
}

bool netctl_store_referrer(const struct netctl_intent *t, const char *path,
                           char out[NETCTL_PATH_ROOM])
{
    char prefix[REF_ROOM];
    struct netctl_item item = {NULL, {NULL, 0}};
    (void)snprintf(prefix, sizeof(prefix), "%s%c", path, SEPARATOR);
    bool found = netctl_tree_next(&t->refs, prefix, &item);
    if (found) {
        (void)snprintf(out, NETCTL_PATH_ROOM, "%s", item.key + strlen(prefix));
    }
    return found;
}

/* ---- counts ---- */

uint64_t netctl_store_count(const struct netctl_intent *t, const char *collection)
{
    struct ts_bytes value = netctl_tree_get(&t->sizes, collection);
    struct ts_reader r = ts_reader_init(value.data, value.len);
    return value.data == NULL ? 0 : ts_get_u64(&r);
}

/* An object comes to its collection, or goes from it. */
static void count(struct netctl_intent *t, const char *path, bool comes)
{
    char collection[NETCTL_PATH_ROOM];
    uint8_t bytes[8];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    int len = (int)(netctl_resource_id(path) - path) - 1;
    (void)snprintf(collection, sizeof(collection), "%.*s", len, path);
    if (collection[0] == '\0') {
        return; /* the root */
    }
    uint64_t before = netctl_store_count(t, collection);
    ts_assert(comes || before > 0);
    uint64_t now = comes ? before + 1 : before - 1;
    if (now == 0) {
        (void)netctl_tree_remove(&t->sizes, collection);
    } else {
        ts_put_u64(&w, now);
        netctl_tree_put(&t->sizes, collection, (struct ts_bytes){bytes, w.len});
    }
}

/* ---- objects ---- */

void netctl_store_remove(struct netctl_intent *t, const char *path)
{
    json_t *object = netctl_store_get(t, path);
    ts_assert(object != NULL);
    refer(t, path, object, false);
    json_decref(object);
    bool was = netctl_tree_remove(&t->objects, path);
    ts_assert(was);
    count(t, path, false);
}

bool netctl_store_put(struct netctl_intent *t, const char *path, const json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    ts_must(text);
    bool fits = strlen(text) <= NETCTL_OBJECT_MAX;
    json_t *before = fits ? netctl_store_get(t, path) : NULL;
    if (before != NULL) {
        refer(t, path, before, false);
        json_decref(before);
    } else if (fits) {
        count(t, path, true);
    }
    if (fits) {
        netctl_tree_put(&t->objects, path, (struct ts_bytes){(const uint8_t *)text, strlen(text)});
        refer(t, path, object, true);
    }
    free(text);
    return fits;
}

const char *netctl_store_child(const struct netctl_intent *t, const char *path)
{
    char prefix[NETCTL_PATH_ROOM + 1];
    struct netctl_item item = {NULL, {NULL, 0}};
    (void)snprintf(prefix, sizeof(prefix), "%s/", path);
    return netctl_tree_next(&t->objects, prefix, &item) ? item.key : NULL;
}

const char *netctl_store_next(const struct netctl_intent *t, const char *collection,
                              const char *after)
{
    char prefix[NETCTL_PATH_ROOM + 1];
    char from[NETCTL_PATH_ROOM + 1];
    (void)snprintf(prefix, sizeof(prefix), "%s/", collection);
    size_t len = strlen(prefix);
    struct netctl_item item =
        netctl_tree_seek(&t->objects, after == NULL ? prefix : after, after != NULL);
    while (item.key != NULL && netctl_key_begins(item.key, prefix)) {
        size_t id = strcspn(item.key + len, "/");
        if (item.key[len + id] == '\0') {
            return item.key;
        }
        /* Below one of them: on behind all that are. '0' is the character behind '/'. */
        (void)snprintf(from, sizeof(from), "%.*s0", (int)(len + id), item.key);
        item = netctl_tree_seek(&t->objects, from, false);
    }
    return NULL;
}

/* ---- the whole ---- */

struct netctl_intent netctl_intent_make(uint64_t seed, uint64_t bytes_max)
{
    return (struct netctl_intent){.objects = netctl_tree_make(seed),
                                  .refs = netctl_tree_make(seed),
                                  .marks = netctl_tree_make(seed),
                                  .sizes = netctl_tree_make(seed),
                                  .numbers = netctl_numbers_make(seed),
                                  .bytes_max = bytes_max};
}

void netctl_intent_free(struct netctl_intent *t)
{
    netctl_tree_free(&t->objects);
    netctl_tree_free(&t->refs);
    netctl_tree_free(&t->marks);
    netctl_tree_free(&t->sizes);
    netctl_numbers_free(&t->numbers);
}

void netctl_intent_seed(struct netctl_intent *t)
{
    static const char *const PATHS[] = {
        "/infra",
        "/infra/domains/default",
        "/infra/sites/default",
        "/infra/sites/default/enforcement-points/default",
        "/infra/sites/default/enforcement-points/default/edge-clusters/default",
        "/infra/sites/default/enforcement-points/default/transport-zones/overlay",
    };
    for (size_t i = 0; i < sizeof(PATHS) / sizeof(PATHS[0]); i++) {
        json_t *object =
            json_pack("{sssisIsssIss}", "display_name", netctl_resource_id(PATHS[i]), "_revision",
                      0, "_create_time", (json_int_t)0, "_create_user", "system",
                      "_last_modified_time", (json_int_t)0, "_last_modified_user", "system");
        ts_must(object);
        bool fits = netctl_store_put(t, PATHS[i], object);
        ts_assert(fits);
        json_decref(object);
    }
}

/* ---- a load ---- */

/* Those that the service writes itself. */
static bool take_out_own(json_t *object)
{
    static const char *const NUMBERS[] = {"_revision", "_create_time", "_last_modified_time"};
    static const char *const TEXTS[] = {"_create_user", "_last_modified_user"};
    bool good = true;
    for (size_t i = 0; i < 3; i++) {
        const json_t *v = json_object_get(object, NUMBERS[i]);
        good = good && json_is_integer(v) && json_integer_value(v) >= 0;
        (void)json_object_del(object, NUMBERS[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        good = good && json_is_string(json_object_get(object, TEXTS[i]));
        (void)json_object_del(object, TEXTS[i]);
    }
    return good;
}

bool netctl_intent_load(struct netctl_intent *t, const char *path, struct ts_bytes text)
{
    struct netctl_error e = {0};
    const struct netctl_resource *r = netctl_path_is_valid(path) ? netctl_resource_of(path) : NULL;
    json_t *object = r == NULL ? NULL : parse(text);
    json_t *copy = json_deep_copy(object);
    bool good = json_is_object(copy) && take_out_own(copy) &&
                netctl_schema_check(r->fields, copy, NETCTL_RULES, "", &e) &&
                (r->embedded == NULL || json_object_get(copy, r->embedded) == NULL);
    if (good && netctl_store_put(t, path, object)) {
        struct ts_bytes kept = netctl_tree_get(&t->objects, path);
        good = kept.len == text.len && memcmp(kept.data, text.data, kept.len) == 0;
    } else {
        good = false;
    }
    json_decref(copy);
    json_decref(object);
    return good;
}

bool netctl_intent_loaded(const struct netctl_intent *t)
{
    struct netctl_item item = {NULL, {NULL, 0}};
    char path[NETCTL_PATH_ROOM];
    bool good = true;
    while (good && netctl_tree_next(&t->refs, "", &item)) {
        size_t n = strcspn(item.key, "\x01");
        (void)snprintf(path, sizeof(path), "%.*s", (int)n, item.key);
        good = netctl_tree_get(&t->objects, path).data != NULL;
    }
    item.key = NULL;
    while (good && netctl_tree_next(&t->objects, "", &item)) {
        good = !netctl_resource_parent(item.key, path) ||
               netctl_tree_get(&t->objects, path).data != NULL;
    }
    return good;
}
