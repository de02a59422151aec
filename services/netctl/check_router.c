/* What routers, their networks, routes and translations say together. Routers that have one tier-0
 * route to each other: what is of one of them is of all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/netctl/check.h"
#include "services/netctl/expand.h"
#include "services/netctl/marks.h"
#include "services/netctl/store.h"

#define TRANSIT "464400000/010" /* 100.64.0.0/10, as a mark has it */

static json_t *get(void *arg, const char *path)
{
    return netctl_store_get(arg, path);
}

/* The tier-0 with which this router routes, or itself. */
static void domain_of(const struct netctl_intent *t, const char *router, char out[NETCTL_PATH_ROOM])
{
    json_t *object = netctl_store_get(t, router);
    const char *tier0 = netctl_check_text(object, "tier0_path");
    (void)snprintf(out, NETCTL_PATH_ROOM, "%s", tier0 == NULL ? router : tier0);
    json_decref(object);
}

/* The next router of a domain behind `at` ("": the first one); false: there is none. */
static bool next_router(const struct netctl_intent *t, const char *domain,
                        char at[NETCTL_PATH_ROOM])
{
    char key[2 * NETCTL_PATH_ROOM];
    size_t len = strlen(domain);
    if (at[0] == '\0') {
        (void)snprintf(at, NETCTL_PATH_ROOM, "%s", domain);
        return true;
    }
    (void)snprintf(key, sizeof(key), "%s\x01%s", domain, strcmp(at, domain) == 0 ? "" : at);
    struct netctl_item item = netctl_tree_seek(&t->refs, key, true);
    while (item.key != NULL && strncmp(item.key, domain, len) == 0 && item.key[len] == '\x01') {
        const char *source = item.key + len + 1;
        const struct netctl_resource *r = netctl_resource_of(source);
        if (r != NULL && strcmp(r->type, "Tier1") == 0) {
            (void)snprintf(at, NETCTL_PATH_ROOM, "%s", source);
            return true;
        }
        item = netctl_tree_seek(&t->refs, item.key, true);
    }
    return false;
}

/* ---- networks ---- */

/* A number of `count` digits at `text`; -1: it is none. */
static long read_digits(const char *text, size_t count, int base)
{
    char copy[4];
    char *end;
    if (strlen(text) < count || count >= sizeof(copy)) {
        return -1;
    }
    memcpy(copy, text, count);
    copy[count] = '\0';
    long n = strtol(copy, &end, base);
    return *end == '\0' ? n : -1;
}

/* "40a000100/024" read back. */
static bool read_network(const char *text, struct netctl_address *out)
{
    size_t count = text[0] == '6' ? 16 : 4;
    *out = (struct netctl_address){.v6 = text[0] == '6'};
    if (strlen(text) != 1 + 2 * count + 4) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        long byte = read_digits(text + 1 + 2 * i, 2, 16);
        if (byte < 0) {
            return false;
        }
        out->bytes[i] = (uint8_t)byte;
    }
    long bits = read_digits(text + 2 + 2 * count, 3, 10);
    out->bits = (uint8_t)bits;
    return bits >= 0 && bits <= (out->v6 ? 128 : 32);
}

static bool overlap(const char *a, const char *b)
{
    struct netctl_address x;
    struct netctl_address y;
    return read_network(a, &x) && read_network(b, &y) && x.v6 == y.v6 &&
           (x.bits <= y.bits ? netctl_address_is_in(&x, &y) : netctl_address_is_in(&y, &x));
}

/* Says so, if the mark `key` of a router is of a network that overlaps. */
static bool is_apart(const char *key, size_t prefix, const char *segment, const char *network,
                     struct netctl_error *e)
{
    char other[NETCTL_NETWORK_TEXT];
    char text[NETCTL_ADDRESS_TEXT_MAX];
    struct netctl_address a;
    size_t len = strcspn(key + prefix, "\x01");
    (void)snprintf(other, sizeof(other), "%.*s", (int)len, key + prefix);
    const char *path = key + prefix + len + 1;
    if (strcmp(path, segment) == 0 || !overlap(network, other) || !read_network(other, &a)) {
        return true;
    }
    netctl_address_write(&a, true, text);
    return netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                            "a subnet of %.180s overlaps with %s of %.180s, to which it is routed",
                            segment, text, path);
}

bool netctl_check_network(const struct netctl_intent *t, const char *segment, const char *router,
                          const char *network, struct netctl_error *e)
{
    char domain[NETCTL_PATH_ROOM];
    char at[NETCTL_PATH_ROOM] = "";
    char prefix[NETCTL_PATH_ROOM + 8];
    char key[NETCTL_PATH_ROOM + 64];
    if (overlap(network, TRANSIT)) {
        return netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                "a subnet of %.300s overlaps with 100.64.0.0/10, which is used "
                                "between routers",
                                segment);
    }
    domain_of(t, router, domain);
    bool good = true;
    while (good && next_router(t, domain, at)) {
        (void)snprintf(prefix, sizeof(prefix), "n\x01%s\x01", at);
        size_t len = strlen(prefix);
        /* Networks overlap with their neighbours, if with any. */
        (void)snprintf(key, sizeof(key), "%s%s\x01", prefix, network);
        struct netctl_item item = netctl_tree_seek_before(&t->marks, key);
        good = item.key == NULL || !netctl_key_begins(item.key, prefix) ||
               is_apart(item.key, len, segment, network, e);
        item = netctl_tree_seek(&t->marks, key, false);
        while (good && item.key != NULL && netctl_key_begins(item.key, prefix)) {
            good = is_apart(item.key, len, segment, network, e);
            const char *path = strrchr(item.key, '\x01') + 1;
            bool own = strcmp(path, segment) == 0;
            item = netctl_tree_seek(&t->marks, item.key, true);
            if (!own) {
                break;
            }
        }
    }
    return good;
}

/* ---- routers ---- */

bool netctl_check_route(const struct netctl_intent *t, const char *path, const json_t *object,
                        struct netctl_error *e)
{
    char router[NETCTL_PATH_ROOM];
    char domain[NETCTL_PATH_ROOM];
    char at[NETCTL_PATH_ROOM] = "";
    char network[NETCTL_NETWORK_TEXT];
    char prefix[2 * NETCTL_PATH_ROOM];
    struct netctl_address a;
    const json_t *hops = json_object_get(object, "next_hops");
    if (!netctl_prefix_read(netctl_check_text(object, "network"), &a)) {
        return true;
    }
    for (size_t i = 0; i < json_array_size(hops); i++) {
        struct netctl_address hop;
        const char *text = netctl_check_text(json_array_get(hops, i), "ip_address");
        if (text == NULL || !netctl_address_read(text, &hop) || hop.v6 != a.v6) {
            return netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                    "%.300s: next_hops[%zu] has no address of its network's family",
                                    path, i);
        }
    }
    netctl_network_text(&a, network);
    (void)netctl_resource_parent(path, router);
    domain_of(t, router, domain);
    while (next_router(t, domain, at)) {
        struct netctl_item item = {NULL, {NULL, 0}};
        (void)snprintf(prefix, sizeof(prefix), "s\x01%s\x01%s\x01", at, network);
        while (netctl_tree_next(&t->marks, prefix, &item)) {
            if (strcmp(item.key + strlen(prefix), path) != 0) {
                return netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                        "%.180s and %.180s are routes to one network, of routers "
                                        "that route to each other",
                                        path, item.key + strlen(prefix));
            }
        }
    }
    return true;
}

static bool check_below(const struct netctl_intent *t, const char *path, bool linked,
                        struct netctl_error *e)
{
    char prefix[NETCTL_PATH_ROOM + 32];
    struct netctl_item item = {NULL, {NULL, 0}};
    (void)snprintf(prefix, sizeof(prefix), "%s/nat/USER/nat-rules/", path);
    if (!linked && netctl_tree_next(&t->objects, prefix, &item)) {
        return netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                "%.180s has no tier0_path, and %.180s translates what leaves it",
                                path, item.key);
    }
    (void)snprintf(prefix, sizeof(prefix), "%s/static-routes/", path);
    item.key = NULL;
    bool good = true;
    while (good && netctl_tree_next(&t->objects, prefix, &item)) {
        json_t *route = netctl_store_get(t, item.key);
        good = netctl_check_route(t, item.key, route, e);
        json_decref(route);
    }
    return good;
}

bool netctl_check_tier1(const struct netctl_intent *t, const char *path, const json_t *object,
                        struct netctl_error *e)
{
    char prefix[NETCTL_PATH_ROOM + 8];
    char network[NETCTL_NETWORK_TEXT];
    struct netctl_item item = {NULL, {NULL, 0}};
    bool linked = netctl_check_text(object, "tier0_path") != NULL;
    bool good = check_below(t, path, linked, e);
    (void)snprintf(prefix, sizeof(prefix), "n\x01%s\x01", path);
    while (good && linked && netctl_tree_next(&t->marks, prefix, &item)) {
        const char *at = item.key + strlen(prefix);
        (void)snprintf(network, sizeof(network), "%.*s", (int)strcspn(at, "\x01"), at);
        good = netctl_check_network(t, strrchr(item.key, '\x01') + 1, path, network, e);
    }
    return good;
}

/* ---- translations ---- */

static bool wrong(struct netctl_error *e, const char *path, const char *action, const char *what)
{
    return netctl_error_set(e, 400, NETCTL_CODE_INVALID, "%.300s: %s %s", path, action, what);
}

/* Absent, or an address, or a prefix; *a with all its bits. */
static bool read_side(const json_t *object, const char *name, struct netctl_address *a, bool *has)
{
    const char *text = netctl_check_text(object, name);
    *has = text != NULL && strcmp(text, "ANY") != 0;
    return !*has || netctl_address_read(text, a) || netctl_prefix_read(text, a);
}

static bool check_families(const char *path, const char *action, const json_t *object, bool needed,
                           struct netctl_error *e)
{
    struct netctl_address side[3];
    bool has[3];
    static const char *const NAMES[] = {"source_network", "destination_network",
                                        "translated_network"};
    for (size_t i = 0; i < 3; i++) {
        if (!read_side(object, NAMES[i], &side[i], &has[i])) {
            return wrong(e, path, NAMES[i], "is no address and no prefix");
        }
        for (size_t n = 0; n < i; n++) {
            if (has[n] && has[i] && side[n].v6 != side[i].v6) {
                return wrong(e, path, NAMES[i], "is of another family than the others");
            }
        }
    }
    if (has[2] != needed) {
        return wrong(e, path, action,
                     needed ? "needs a translated_network" : "has no translated_network");
    }
    bool whole =
        !needed || (side[2].bits == (side[2].v6 ? 128 : 32) && netctl_address_is_host(&side[2]));
    return whole || wrong(e, path, "translated_network", "is not one address of a host");
}

static bool check_nat_service(const struct netctl_intent *t, const char *path, const json_t *object,
                              bool dnat, struct netctl_error *e)
{
    bool more = false;
    bool good = true;
    const char *ports = netctl_check_text(object, "translated_ports");
    const char *service = netctl_check_text(object, "service");
    bool any = service == NULL || strcmp(service, "ANY") == 0;
    json_t *paths = any ? json_array() : json_pack("[s]", service);
    json_t *list = netctl_expand_services(paths, get, (void *)t, &more);
    const json_t *one = json_array_get(list, 0);
    json_int_t protocol = json_integer_value(json_object_get(one, "protocol"));
    if (!any && json_array_size(list) != 1) {
        good = netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                "%.200s: its service %.200s has not just one entry", path, service);
    } else if (ports != NULL && (!dnat || any || (protocol != 6 && protocol != 17) ||
                                 strchr(ports, '-') != NULL || strcmp(ports, "0") == 0)) {
        good = wrong(e, path, "translated_ports",
                     "is for DNAT of a service that has ports, and one port");
    }
    json_decref(list);
    json_decref(paths);
    return good;
}

bool netctl_check_nat(const struct netctl_intent *t, const char *path, const json_t *object,
                      struct netctl_error *e)
{
    char router[NETCTL_PATH_ROOM];
    const char *action = netctl_check_text(object, "action");
    bool dnat = strcmp(action, "DNAT") == 0;
    bool needed = dnat || strcmp(action, "SNAT") == 0;
    if (strcmp(action, "REFLEXIVE") == 0) {
        return wrong(e, path, action, "is not done; use SNAT and DNAT");
    }
    if (dnat && netctl_check_text(object, "destination_network") == NULL) {
        return wrong(e, path, action, "needs a destination_network");
    }
    if (!check_families(path, action, object, needed, e) ||
        !check_nat_service(t, path, object, dnat, e)) {
        return false;
    }
    (void)netctl_resource_parent(path, router);
    if (!netctl_key_begins(router, "/infra/tier-1s/")) {
        return true;
    }
    json_t *tier1 = netctl_store_get(t, router);
    bool linked = netctl_check_text(tier1, "tier0_path") != NULL;
    json_decref(tier1);
    return linked || netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                      "%.180s has no tier0_path, and %.180s translates what leaves "
                                      "it",
                                      router, path);
}
