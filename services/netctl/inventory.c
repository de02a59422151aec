#include "services/netctl/inventory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/netctl/address.h"

struct netctl_inventory netctl_inventory_make(uint64_t seed)
{
    return (struct netctl_inventory){.nodes = netctl_tree_make(seed),
                                     .tunnels = netctl_tree_make(seed)};
}

void netctl_inventory_free(struct netctl_inventory *i)
{
    netctl_tree_free(&i->nodes);
    netctl_tree_free(&i->tunnels);
}

bool netctl_vif_is_valid(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            return false;
        }
    }
    return len > 0 && len <= NETCTL_VIF_MAX;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The texts sorted, the caller's; NULL: they are none, or one is there twice. */
static json_t *sorted_texts(const json_t *list, const char *name, size_t most,
                            struct netctl_error *e)
{
    size_t count = json_array_size(list);
    bool good = json_is_array(list) && count <= most;
    const char **texts = malloc((count + 1) * sizeof(*texts));
    ts_must(texts);
    for (size_t i = 0; good && i < count; i++) {
        const json_t *one = json_array_get(list, i);
        texts[i] = json_string_value(one);
        good = texts[i] != NULL && strlen(texts[i]) == json_string_length(one) &&
               netctl_vif_is_valid(texts[i]);
    }
    if (good) {
        qsort(texts, count, sizeof(*texts), by_text);
    }
    for (size_t i = 1; good && i < count; i++) {
        good = strcmp(texts[i - 1], texts[i]) != 0;
    }
    json_t *sorted = good ? json_array() : NULL;
    for (size_t i = 0; good && i < count; i++) {
        int failed = json_array_append_new(sorted, json_string(texts[i]));
        ts_assert(failed == 0);
    }
    free(texts);
    if (!good) {
        (void)netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                               "%s is no list of at most %zu different texts of 1 to %d bytes",
                               name, most, NETCTL_VIF_MAX);
    }
    return sorted;
}

/* What is kept of `body`, the caller's; NULL with *e. Fields that it lacks are empty lists. */
static json_t *check_body(const json_t *body, char vtep[NETCTL_ADDRESS_TEXT_MAX],
                          struct netctl_error *e)
{
    const char *key;
    json_t *value;
    struct netctl_address a;
    json_t *empty = json_array();
    ts_must(empty);
    json_object_foreach((json_t *)body, key, value)
    {
        if (strcmp(key, "vtep") != 0 && strcmp(key, "vifs") != 0 && strcmp(key, "uplinks") != 0) {
            (void)netctl_error_set(e, 400, NETCTL_CODE_INVALID, "%.64s is not known here", key);
        }
    }
    const char *text = json_string_value(json_object_get(body, "vtep"));
    if (!json_is_object(body)) {
        (void)netctl_error_set(e, 400, NETCTL_CODE_BODY, "the body is no JSON object {…}");
    } else if (text == NULL || !netctl_address_read(text, &a) || !netctl_address_is_host(&a)) {
        (void)netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                               "vtep is no address that a node can have, such as 192.0.2.1");
    }
    const json_t *vifs = json_object_get(body, "vifs");
    const json_t *uplinks = json_object_get(body, "uplinks");
    json_t *kept = NULL;
    json_t *v = sorted_texts(vifs == NULL ? empty : vifs, "vifs", NETCTL_VIFS_MAX, e);
    json_t *u = sorted_texts(uplinks == NULL ? empty : uplinks, "uplinks", NETCTL_UPLINKS_MAX, e);
    if (e->status == 0) {
        netctl_address_write(&a, false, vtep);
        kept = json_pack("{sOsOss}", "vifs", v, "uplinks", u, "vtep", vtep);
        ts_must(kept);
    }
    json_decref(v);
    json_decref(u);
    json_decref(empty);
    return kept;
}

static void forget_tunnel(struct netctl_inventory *i, const char *id)
{
    struct ts_bytes text = netctl_tree_get(&i->nodes, id);
    json_t *was = text.data == NULL ? NULL : json_loadb((const char *)text.data, text.len, 0, NULL);
    if (was != NULL) {
        (void)netctl_tree_remove(&i->tunnels, json_string_value(json_object_get(was, "vtep")));
    }
    json_decref(was);
}

/* Keeps `object`, which was checked. */
static void keep(struct netctl_inventory *i, const char *id, const json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    ts_must(text);
    forget_tunnel(i, id);
    netctl_tree_put(&i->nodes, id, (struct ts_bytes){(const uint8_t *)text, strlen(text)});
    netctl_tree_put(&i->tunnels, json_string_value(json_object_get(object, "vtep")),
                    (struct ts_bytes){(const uint8_t *)id, strlen(id)});
    free(text);
}

static bool is_tunnel_free(const struct netctl_inventory *i, const char *id, const char *vtep,
                           struct netctl_error *e)
{
    struct ts_bytes other = netctl_tree_get(&i->tunnels, vtep);
    if (other.data == NULL || (other.len == strlen(id) && memcmp(other.data, id, other.len) == 0)) {
        return true;
    }
    return netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                            "%.100s has vtep %s, which transport node %.*s has, too", id, vtep,
                            (int)other.len, (const char *)other.data);
}

bool netctl_inventory_tell(struct netctl_inventory *i, const struct netctl_tree *objects,
                           const char *node, const json_t *body, struct netctl_error *e)
{
    char path[sizeof(NETCTL_NODES) + NETCTL_ID_MAX];
    char vtep[NETCTL_ADDRESS_TEXT_MAX];
    bool is_path = netctl_key_begins(node, NETCTL_NODES);
    const char *id = is_path ? node + strlen(NETCTL_NODES) : node;
    bool good = netctl_id_is_valid(id, strlen(id));
    (void)snprintf(path, sizeof(path), "%s%s", NETCTL_NODES, good ? id : "");
    if (!good || netctl_tree_get(objects, path).data == NULL) {
        return netctl_error_set(e, 404, NETCTL_CODE_NOT_FOUND,
                                "there is no HostTransportNode %.300s; declare it first", node);
    }
    json_t *kept = check_body(body, vtep, e);
    if (kept == NULL || !is_tunnel_free(i, id, vtep, e)) {
        json_decref(kept);
        return false;
    }
    i->told++;
    int failed = json_object_set_new(kept, "told", json_integer((json_int_t)i->told));
    ts_assert(failed == 0);
    keep(i, id, kept);
    json_decref(kept);
    return true;
}

static void on_object(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    struct netctl_inventory *i = arg;
    (void)was;
    if (is.data == NULL && netctl_key_begins(key, NETCTL_NODES)) {
        forget_tunnel(i, key + strlen(NETCTL_NODES));
        (void)netctl_tree_remove(&i->nodes, key + strlen(NETCTL_NODES));
    }
}

void netctl_inventory_follow(struct netctl_inventory *i, const struct netctl_tree *before,
                             const struct netctl_tree *after)
{
    netctl_tree_diff(before, after, on_object, i);
}

bool netctl_inventory_load(struct netctl_inventory *i, const struct netctl_tree *objects,
                           const char *id, struct ts_bytes text)
{
    struct netctl_error e = {0};
    char path[sizeof(NETCTL_NODES) + NETCTL_ID_MAX];
    char vtep[NETCTL_ADDRESS_TEXT_MAX];
    bool good = netctl_id_is_valid(id, strlen(id));
    (void)snprintf(path, sizeof(path), "%s%s", NETCTL_NODES, good ? id : "");
    json_t *object = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    json_t *told = json_incref(json_object_get(object, "told"));
    (void)json_object_del(object, "told");
    good = good && netctl_tree_get(objects, path).data != NULL && json_is_integer(told) &&
           json_integer_value(told) > 0 && (uint64_t)json_integer_value(told) <= i->told;
    json_t *kept = good ? check_body(object, vtep, &e) : NULL;
    good = kept != NULL && is_tunnel_free(i, id, vtep, &e);
    if (good) {
        int failed = json_object_set(kept, "told", told);
        ts_assert(failed == 0);
        keep(i, id, kept);
        struct ts_bytes now = netctl_tree_get(&i->nodes, id);
        good = now.len == text.len && memcmp(now.data, text.data, now.len) == 0;
    }
    json_decref(kept);
    json_decref(told);
    json_decref(object);
    return good;
}

bool netctl_inventory_loaded(const struct netctl_inventory *i)
{
    struct netctl_item item = {NULL, {NULL, 0}};
    bool good = true;
    while (good && netctl_tree_next(&i->nodes, "", &item)) {
        json_t *object = json_loadb((const char *)item.value.data, item.value.len, 0, NULL);
        good = (uint64_t)json_integer_value(json_object_get(object, "told")) <= i->told;
        json_decref(object);
    }
    return good;
}
