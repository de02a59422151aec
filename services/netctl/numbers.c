#include "services/netctl/numbers.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/netctl/resource.h"

struct kind {
    const char *type;
    enum netctl_number letter;
    uint32_t first;
    uint32_t max;
    bool counted; /* up, instead of the lowest free one */
};

static const struct kind KINDS[NETCTL_N_KINDS] = {
    {"Segment", NETCTL_N_VNI, NETCTL_VNI_FIRST, NETCTL_VNI_MAX, false},
    {"SegmentPort", NETCTL_N_PORT, 1, INT32_MAX, false},
    {"Group", NETCTL_N_GROUP, 1, INT32_MAX, false},
    {"Tier", NETCTL_N_ROUTER, 1, 0xffffff, false},
    {"Rule", NETCTL_N_RULE, 1, UINT32_MAX, true},
    {"PolicyNatRule", NETCTL_N_NAT, 1, UINT32_MAX, true},
};
#define KIND_VNI 0

/* Which of them the objects of this path are; NETCTL_N_KINDS: none. */
static size_t kind_of(const char *path)
{
    const struct netctl_resource *r = netctl_resource_of(path);
    size_t k = 0;
    while (k < NETCTL_N_KINDS && r != NULL &&
           (strcmp(KINDS[k].type, "Tier") == 0
                ? strcmp(r->type, "Tier0") != 0 && strcmp(r->type, "Tier1") != 0
                : strcmp(KINDS[k].type, r->type) != 0)) {
        k++;
    }
    return r == NULL ? NETCTL_N_KINDS : k;
}

static bool is_tier0(const char *path)
{
    return netctl_key_begins(path, "/infra/tier-0s/");
}

bool netctl_number_kind(const char *path, enum netctl_number *kind)
{
    size_t k = kind_of(path);
    *kind = k == NETCTL_N_KINDS ? NETCTL_N_VNI : KINDS[k].letter;
    return k < NETCTL_N_KINDS;
}

struct netctl_numbers netctl_numbers_make(uint64_t seed)
{
    struct netctl_numbers n = {.given = netctl_tree_make(seed),
                               .owners = netctl_tree_make(seed),
                               .order = netctl_tree_make(seed)};
    for (size_t k = 0; k < NETCTL_N_KINDS; k++) {
        n.low[k] = KINDS[k].first;
    }
    return n;
}

void netctl_numbers_free(struct netctl_numbers *n)
{
    netctl_tree_free(&n->given);
    netctl_tree_free(&n->owners);
    netctl_tree_free(&n->order);
}

/* ---- texts ---- */

struct pair {
    uint64_t number;
    uint64_t second;
};

static bool read_pair(struct ts_bytes text, struct pair *out)
{
    char copy[48];
    char *end = copy;
    *out = (struct pair){0, 0};
    if (text.data == NULL || text.len >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    out->number = strtoull(copy, &end, 10);
    if (*end == ' ') {
        out->second = strtoull(end + 1, &end, 10);
    }
    return *end == '\0' && end != copy;
}

static size_t write_pair(const struct pair *p, char out[48])
{
    int n = p->second == 0 ? snprintf(out, 48, "%" PRIu64, p->number)
                           : snprintf(out, 48, "%" PRIu64 " %" PRIu64, p->number, p->second);
    ts_assert(n > 0 && n < 48);
    return (size_t)n;
}

uint64_t netctl_number_of(const struct netctl_numbers *n, const char *path)
{
    struct pair p;
    (void)read_pair(netctl_tree_get(&n->given, path), &p);
    return p.number;
}

uint64_t netctl_number_second(const struct netctl_numbers *n, const char *path)
{
    struct pair p;
    (void)read_pair(netctl_tree_get(&n->given, path), &p);
    return p.second;
}

static void owner_key(enum netctl_number kind, uint64_t number, char out[24])
{
    (void)snprintf(out, 24, "%c%010" PRIu64, (int)kind, number);
}

bool netctl_number_owner(const struct netctl_numbers *n, enum netctl_number kind, uint64_t number,
                         char out[NETCTL_PATH_ROOM])
{
    char key[24];
    owner_key(kind, number, key);
    struct ts_bytes path = netctl_tree_get(&n->owners, key);
    if (path.data != NULL) {
        memcpy(out, path.data, path.len);
        out[path.len] = '\0';
    }
    return path.data != NULL;
}

/* ---- to give and to take back ---- */

static bool is_free(const struct netctl_numbers *n, size_t k, uint64_t number)
{
    char key[24];
    owner_key(KINDS[k].letter, number, key);
    return netctl_tree_get(&n->owners, key).data == NULL;
}

static void own(struct netctl_numbers *n, size_t k, uint64_t number, const char *path)
{
    char key[24];
    owner_key(KINDS[k].letter, number, key);
    netctl_tree_put(&n->owners, key, (struct ts_bytes){(const uint8_t *)path, strlen(path)});
}

static void disown(struct netctl_numbers *n, size_t k, uint64_t number)
{
    char key[24];
    owner_key(KINDS[k].letter, number, key);
    (void)netctl_tree_remove(&n->owners, key);
    if (number >= KINDS[k].first && number < n->low[k]) {
        n->low[k] = (uint32_t)number;
    }
}

static uint32_t lowest(struct netctl_numbers *n, size_t k)
{
    while (!is_free(n, k, n->low[k])) {
        ts_assert(n->low[k] < KINDS[k].max); /* there is no memory for so many objects */
        n->low[k]++;
    }
    return n->low[k];
}

static uint32_t counted(struct netctl_numbers *n, size_t k)
{
    uint32_t *last = KINDS[k].letter == NETCTL_N_RULE ? &n->last_rule : &n->last_nat;
    do {
        *last = *last == UINT32_MAX ? 1 : *last + 1;
    } while (!is_free(n, k, *last));
    return *last;
}

static void store(struct netctl_numbers *n, const char *path, const struct pair *p)
{
    char text[48];
    size_t len = write_pair(p, text);
    netctl_tree_put(&n->given, path, (struct ts_bytes){(const uint8_t *)text, len});
}

/* overlay_id; 0: it has none. */
static uint64_t wanted_vni(struct ts_bytes text)
{
    json_t *object =
        text.data == NULL ? NULL : json_loadb((const char *)text.data, text.len, 0, NULL);
    uint64_t vni = (uint64_t)json_integer_value(json_object_get(object, "overlay_id"));
    json_decref(object);
    return vni;
}

struct following {
    struct netctl_numbers *n;
    const struct netctl_tree *before;
    const struct netctl_tree *after;
    struct netctl_tree places; /* rules that may have to be placed anew */
};

/* What goes, and VNIs that are given up for others. */
static void on_gone(void *arg, const char *path, struct ts_bytes was, struct ts_bytes is)
{
    struct following *f = arg;
    struct pair p;
    size_t k = kind_of(path);
    if (was.data == NULL || k == NETCTL_N_KINDS ||
        !read_pair(netctl_tree_get(&f->n->given, path), &p)) {
        return;
    }
    if (is.data == NULL) {
        disown(f->n, k, p.number);
        if (is_tier0(path)) {
            disown(f->n, KIND_VNI, p.second);
        }
        (void)netctl_tree_remove(&f->n->given, path);
    } else if (k == KIND_VNI && wanted_vni(is) != 0 && wanted_vni(is) != p.number) {
        disown(f->n, k, p.number);
        (void)netctl_tree_remove(&f->n->given, path);
    }
}

/* VNIs that intent says: they come before those that are given. */
static void on_said(void *arg, const char *path, struct ts_bytes was, struct ts_bytes is)
{
    struct following *f = arg;
    (void)was;
    uint64_t vni = is.data != NULL && kind_of(path) == KIND_VNI ? wanted_vni(is) : 0;
    if (vni != 0 && netctl_number_of(f->n, path) == 0) {
        ts_assert(is_free(f->n, KIND_VNI, vni)); /* it was checked */
        own(f->n, KIND_VNI, vni, path);
        store(f->n, path, &(struct pair){vni, 0});
    }
}

static void on_new(void *arg, const char *path, struct ts_bytes was, struct ts_bytes is)
{
    struct following *f = arg;
    (void)was;
    size_t k = is.data == NULL ? NETCTL_N_KINDS : kind_of(path);
    if (k == NETCTL_N_KINDS || netctl_tree_get(&f->n->given, path).data != NULL) {
        return;
    }
    struct pair p = {KINDS[k].counted ? counted(f->n, k) : lowest(f->n, k), 0};
    own(f->n, k, p.number, path);
    if (is_tier0(path)) {
        p.second = lowest(f->n, KIND_VNI);
        own(f->n, KIND_VNI, p.second, path);
    }
    store(f->n, path, &p);
}

/* ---- places ---- */

static void mark_rules(struct following *f, const struct netctl_tree *objects, const char *policy)
{
    char prefix[NETCTL_PATH_ROOM + 8];
    struct netctl_item item = {NULL, {NULL, 0}};
    (void)snprintf(prefix, sizeof(prefix), "%s/rules/", policy);
    while (netctl_tree_next(objects, prefix, &item)) {
        netctl_tree_put(&f->places, item.key, (struct ts_bytes){(const uint8_t *)"", 0});
    }
}

static void on_rule(void *arg, const char *path, struct ts_bytes was, struct ts_bytes is)
{
    struct following *f = arg;
    const struct netctl_resource *r = netctl_resource_of(path);
    if (r != NULL && strcmp(r->type, "Rule") == 0) {
        netctl_tree_put(&f->places, path, (struct ts_bytes){(const uint8_t *)"", 0});
    } else if (r != NULL && r->embedded != NULL && was.data != NULL && is.data != NULL) {
        mark_rules(f, f->before, path);
        mark_rules(f, f->after, path);
    }
}

static void place_all(struct following *f)
{
    char was[NETCTL_ORDER_ROOM];
    char is[NETCTL_ORDER_ROOM];
    struct netctl_item item = {NULL, {NULL, 0}};
    /* All that leave their places do it before any comes to a new one. */
    while (netctl_tree_next(&f->places, "", &item)) {
        bool there = netctl_order_key(f->after, item.key, is);
        if (netctl_order_key(f->before, item.key, was) && (!there || strcmp(was, is) != 0)) {
            (void)netctl_tree_remove(&f->n->order, was);
        }
    }
    item.key = NULL;
    while (netctl_tree_next(&f->places, "", &item)) {
        if (netctl_order_key(f->after, item.key, is) &&
            netctl_tree_get(&f->n->order, is).data == NULL) {
            netctl_order_put(f->n, item.key, is);
        }
    }
}

void netctl_numbers_follow(struct netctl_numbers *n, const struct netctl_tree *before,
                           const struct netctl_tree *after)
{
    struct following f = {n, before, after, netctl_tree_make(before->seed)};
    netctl_tree_diff(before, after, on_gone, &f);
    netctl_tree_diff(before, after, on_said, &f);
    netctl_tree_diff(before, after, on_new, &f);
    netctl_tree_diff(before, after, on_rule, &f);
    place_all(&f);
    netctl_tree_free(&f.places);
}

/* ---- a load ---- */

bool netctl_numbers_load(struct netctl_numbers *n, const struct netctl_tree *objects,
                         const char *path, struct ts_bytes text)
{
    struct pair p;
    char again[48];
    char key[NETCTL_ORDER_ROOM];
    struct ts_bytes object = netctl_tree_get(objects, path);
    size_t k = object.data == NULL ? NETCTL_N_KINDS : kind_of(path);
    if (k == NETCTL_N_KINDS || !read_pair(text, &p) || p.number < 1 || p.number > KINDS[k].max ||
        !is_free(n, k, p.number) || write_pair(&p, again) != text.len ||
        memcmp(again, text.data, text.len) != 0) {
        return false;
    }
    bool rule = KINDS[k].letter == NETCTL_N_RULE;
    if (!rule && !is_tier0(path) && p.second != 0) {
        return false;
    }
    if (k == KIND_VNI && wanted_vni(object) != 0 && wanted_vni(object) != p.number) {
        return false;
    }
    if (is_tier0(path)) {
        if (p.second < 1 || p.second > NETCTL_VNI_MAX || !is_free(n, KIND_VNI, p.second)) {
            return false;
        }
        own(n, KIND_VNI, p.second, path);
    }
    own(n, k, p.number, path);
    store(n, path, &p);
    if (rule) {
        if (!netctl_order_key(objects, path, key) || !netctl_order_fits(n, key, p.second)) {
            return false;
        }
        netctl_order_store(n, path, key, p.second);
    }
    return true;
}

bool netctl_numbers_loaded(const struct netctl_numbers *n, const struct netctl_tree *objects)
{
    struct netctl_item item = {NULL, {NULL, 0}};
    size_t count = 0;
    while (netctl_tree_next(objects, "", &item)) {
        count += kind_of(item.key) < NETCTL_N_KINDS;
    }
    return count == n->given.count;
}
