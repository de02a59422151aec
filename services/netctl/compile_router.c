/* Routers. A tier-0 and the tier-1s that have it as theirs route to each other in one table of
 * routes, by the number of the tier-0: a *domain*. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/netctl/compile_unit.h"
#include "services/netctl/expand.h"
#include "services/netctl/resource.h"

#define UPLINK_ADDRESSES_MAX 8

static bool is_tier0(const char *path)
{
    return netctl_key_begins(path, "/infra/tier-0s/");
}

void netctl_make_router(struct netctl_compiler *c, const char *number)
{
    char path[NETCTL_PATH_ROOM];
    char text[32];
    if (!netctl_unit_owner(c, NETCTL_N_ROUTER, number, path)) {
        return;
    }
    json_t *router = netctl_unit_object(c, path);
    const char *tier0 = netctl_unit_text(router, "tier0_path");
    (void)snprintf(text, sizeof(text), "%s", number);
    if (tier0 != NULL) {
        (void)snprintf(text, sizeof(text), "%" PRIu64, netctl_unit_number(c, tier0));
    } else {
        char span[32];
        (void)snprintf(span, sizeof(span), "d%s", number);
        netctl_unit_item(c, "r", json_pack("{ss}", "path", path), "router/%s", number);
        netctl_unit_span(c, "r", span, NULL);
    }
    netctl_unit_put(c, text, "d%s", number);
    json_decref(router);
}

/* A node on which the domain's networks are, or its edge. */
void netctl_make_router_node(struct netctl_compiler *c, const char *name)
{
    char prefix[NETCTL_ID_MAX + 32];
    struct netctl_item item = {NULL, {NULL, 0}};
    (void)snprintf(prefix, sizeof(prefix), "n%s" NETCTL_SEP, name);
    if (netctl_unit_facts(c, prefix, &item)) {
        netctl_unit_put(c, "", "Sd%s", name);
    }
}

/* ---- the edge ---- */

struct edge {
    char node[NETCTL_ID_MAX + 1];
    char interface[256];
    json_t *addresses;
    json_t *networks;
};

/* The node and the interface of one object; false: it leads out of nothing that is there. */
static bool find_place(struct netctl_compiler *c, const char *path, const json_t *interface,
                       struct edge *e)
{
    char services[NETCTL_PATH_ROOM];
    const char *type = netctl_unit_text(interface, "type");
    const char *name = netctl_unit_text(interface, "interface");
    const char *edge = netctl_unit_text(interface, "edge_path");
    (void)netctl_resource_parent(path, services);
    json_t *locale = edge != NULL ? NULL : netctl_unit_object(c, services);
    edge =
        edge != NULL
            ? edge
            : json_string_value(json_array_get(json_object_get(locale, "preferred_edge_paths"), 0));
    bool there = edge != NULL && (type == NULL || strcmp(type, "EXTERNAL") == 0);
    (void)snprintf(e->node, sizeof(e->node), "%s", there ? netctl_resource_id(edge) : "");
    json_decref(locale);
    json_t *uplinks = there ? netctl_unit_fact_json(c, "u%s", e->node) : NULL;
    bool has = uplinks != NULL;
    name = name != NULL ? name : json_string_value(json_array_get(uplinks, 0));
    has = has && name != NULL && name[0] != '\0';
    (void)snprintf(e->interface, sizeof(e->interface), "%s", has ? name : "");
    json_decref(uplinks);
    return has && netctl_vif_is_valid(e->interface);
}

static void add_addresses(struct edge *e, const json_t *interface)
{
    const json_t *subnets = json_object_get(interface, "subnets");
    for (size_t i = 0; i < json_array_size(subnets); i++) {
        const json_t *subnet = json_array_get(subnets, i);
        const char *text =
            json_string_value(json_array_get(json_object_get(subnet, "ip_addresses"), 0));
        json_int_t bits = json_integer_value(json_object_get(subnet, "prefix_len"));
        struct netctl_address a;
        char out[NETCTL_ADDRESS_TEXT_MAX];
        if (text == NULL || !netctl_address_read(text, &a) || !netctl_address_is_host(&a) ||
            bits > a.bits || json_array_size(e->addresses) == UPLINK_ADDRESSES_MAX) {
            continue;
        }
        a.bits = (uint8_t)bits;
        netctl_address_write(&a, true, out);
        netctl_unit_append(e->addresses, json_string(out));
    }
}

/* A tier-0's edge is the node of its first external interface that is there; others of the same
 * interface of that node give their addresses, too. */
void netctl_make_edge(struct netctl_compiler *c, const char *number)
{
    char path[NETCTL_PATH_ROOM];
    char prefix[NETCTL_PATH_ROOM + 32];
    char span[NETCTL_ID_MAX + 2];
    struct netctl_item item = {NULL, {NULL, 0}};
    struct edge e = {.node = "", .addresses = netctl_unit_list()};
    if (!netctl_unit_owner(c, NETCTL_N_ROUTER, number, path) || !is_tier0(path)) {
        json_decref(e.addresses);
        return;
    }
    (void)snprintf(prefix, sizeof(prefix), "%s/locale-services/", path);
    while (netctl_unit_objects(c, prefix, &item)) {
        struct edge one = {.node = ""};
        if (strstr(item.key + strlen(prefix), "/interfaces/") == NULL) {
            continue;
        }
        json_t *interface = netctl_unit_object(c, item.key);
        bool there = find_place(c, item.key, interface, &one);
        bool same = strcmp(one.node, e.node) == 0 && strcmp(one.interface, e.interface) == 0;
        if (there && (same || json_array_size(e.addresses) == 0)) {
            memcpy(e.node, one.node, sizeof(e.node));
            memcpy(e.interface, one.interface, sizeof(e.interface));
            add_addresses(&e, interface);
        }
        json_decref(interface);
    }
    size_t count = json_array_size(e.addresses);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(e.addresses, i));
        netctl_unit_put(c, "", "x%s" NETCTL_SEP "%s", number, text);
    }
    if (count > 0) {
        netctl_unit_put(c, e.node, "e%s", number);
        netctl_unit_put(c, "", "Se%s" NETCTL_SEP "%s", number, e.node);
        netctl_unit_put(c, "", "n%s" NETCTL_SEP "%s" NETCTL_SEP "edge", number, e.node);
        (void)snprintf(span, sizeof(span), "e%s", number);
        netctl_unit_item(c, "u",
                         json_pack("{sssO}", "interface", e.interface, "addresses", e.addresses),
                         "uplink/%s", number);
        netctl_unit_span(c, "u", span, NULL);
    }
    json_decref(e.addresses);
}

/* ---- the way to the edge ---- */

struct transit {
    const char *domain;
    unsigned long long vni;
    char edge[NETCTL_ID_MAX + 1];
    char vtep[NETCTL_ADDRESS_TEXT_MAX];
    char four[2][NETCTL_ADDRESS_TEXT_MAX]; /* the edge's address, the others' */
    char six[2][NETCTL_ADDRESS_TEXT_MAX];
    char mac[2][18];
};

/* Addresses that follow from the domain's number: 100.64.0.0/10 and fd00:5457::/32 have a network
 * for each. */
static void name_transit(struct transit *t)
{
    unsigned long n = strtoul(t->domain, NULL, 10);
    for (unsigned i = 0; i < 2; i++) {
        unsigned long a = (100UL << 24 | 64UL << 16) + ((n & 0xfffff) << 2) + i + 1;
        (void)snprintf(t->four[i], sizeof(t->four[i]), "%lu.%lu.%lu.%lu", a >> 24, a >> 16 & 0xff,
                       a >> 8 & 0xff, a & 0xff);
        char text[NETCTL_ADDRESS_TEXT_MAX];
        struct netctl_address six;
        (void)snprintf(text, sizeof(text), "fd00:5457:%lx:%lx::%u", n >> 16 & 0xffff, n & 0xffff,
                       i + 1);
        bool good = netctl_address_read(text, &six);
        ts_assert(good);
        netctl_address_write(&six, false, t->six[i]);
        (void)snprintf(t->mac[i], sizeof(t->mac[i]), "02:54:5%u:%02llx:%02llx:%02llx", i,
                       t->vni >> 16 & 0xff, t->vni >> 8 & 0xff, t->vni & 0xff);
    }
}

static void put_transit_segment(struct netctl_compiler *c, const struct transit *t, unsigned which,
                                bool six)
{
    char text[NETCTL_ADDRESS_TEXT_MAX + 4];
    json_t *gateways = netctl_unit_list();
    const char *slot = which == 0 ? "e" : "o";
    (void)snprintf(text, sizeof(text), "%s/30", t->four[which]);
    netctl_unit_append(gateways, json_string(text));
    if (six) {
        (void)snprintf(text, sizeof(text), "%s/64", t->six[which]);
        netctl_unit_append(gateways, json_string(text));
    }
    netctl_unit_item(c, slot,
                     json_pack("{sssisIsoss}", "name", "transit", "mtu", NETCTL_SEGMENT_MTU,
                               "router", (json_int_t)strtoul(t->domain, NULL, 10), "gateway",
                               gateways, "mac", t->mac[which]),
                     "segment/%llu", t->vni);
}

static void put_default(struct netctl_compiler *c, const struct transit *t, const char *prefix,
                        const char *via)
{
    if (netctl_unit_fact(c, "r%s" NETCTL_SEP "%s", t->domain, prefix).data == NULL) {
        netctl_unit_item(c, "o", json_pack("{sssI}", "via", via, "segment", (json_int_t)t->vni),
                         "route/%s/%s", t->domain, prefix);
    }
}

static bool take_text(struct ts_bytes text, char *out, size_t room)
{
    (void)snprintf(out, room, "%.*s", (int)text.len,
                   text.data == NULL ? "" : (const char *)text.data);
    return text.data != NULL;
}

void netctl_make_transit(struct netctl_compiler *c, const char *domain)
{
    char path[NETCTL_PATH_ROOM];
    char prefix[32];
    char span[32];
    struct transit t = {.domain = domain};
    struct netctl_item item = {NULL, {NULL, 0}};
    bool six = false;
    if (!netctl_unit_owner(c, NETCTL_N_ROUTER, domain, path) || !is_tier0(path) ||
        !take_text(netctl_unit_fact(c, "e%s", domain), t.edge, sizeof(t.edge)) ||
        !take_text(netctl_unit_fact(c, "t%s", t.edge), t.vtep, sizeof(t.vtep))) {
        return;
    }
    t.vni = netctl_unit_second(c, path);
    name_transit(&t);
    (void)snprintf(prefix, sizeof(prefix), "x%s" NETCTL_SEP, domain);
    while (netctl_unit_facts(c, prefix, &item)) {
        six = six || strchr(item.key, ':') != NULL;
    }
    put_transit_segment(c, &t, 0, six);
    put_transit_segment(c, &t, 1, six);
    json_t *ips = netctl_unit_list();
    netctl_unit_append(ips, json_string(t.four[0]));
    if (six) {
        netctl_unit_append(ips, json_string(t.six[0]));
    }
    netctl_unit_item(c, "o", json_pack("{ssso}", "vtep", t.vtep, "ips", ips), "remote/%llu/%s",
                     t.vni, t.mac[0]);
    netctl_unit_item(c, "o", json_true(), "flood/%llu/%s", t.vni, t.vtep);
    put_default(c, &t, "0.0.0.0/0", t.four[0]);
    if (six) {
        put_default(c, &t, "::/0", t.six[0]);
    }
    (void)snprintf(span, sizeof(span), "e%s", domain);
    netctl_unit_span(c, "e", span, NULL);
    (void)snprintf(span, sizeof(span), "d%s", domain);
    netctl_unit_span(c, "o", span, t.edge);
}

/* ---- static routes ---- */

/* Whether a prefix of a text has the address in it. */
static bool is_in(const char *prefix, const struct netctl_address *a)
{
    struct netctl_address p;
    return netctl_prefix_read(prefix, &p) && netctl_address_is_in(&p, a);
}

/* The VNI of the domain's segment that has the address in one of its subnets; 0: none has. */
static unsigned long find_segment(struct netctl_compiler *c, const char *domain,
                                  const struct netctl_address *a)
{
    char prefix[48];
    struct netctl_item item = {NULL, {NULL, 0}};
    unsigned long vni = 0;
    (void)snprintf(prefix, sizeof(prefix), "c%s" NETCTL_SEP, domain);
    while (vni == 0 && netctl_unit_facts(c, prefix, &item)) {
        json_t *list = json_loadb((const char *)item.value.data, item.value.len, 0, NULL);
        for (size_t i = 0; i < json_array_size(list); i++) {
            if (is_in(json_string_value(json_array_get(list, i)), a)) {
                vni = strtoul(item.key + strlen(prefix), NULL, 10);
            }
        }
        json_decref(list);
    }
    return vni;
}

static bool is_outside(struct netctl_compiler *c, const char *domain,
                       const struct netctl_address *a)
{
    char prefix[48];
    struct netctl_item item = {NULL, {NULL, 0}};
    bool found = false;
    (void)snprintf(prefix, sizeof(prefix), "x%s" NETCTL_SEP, domain);
    while (!found && netctl_unit_facts(c, prefix, &item)) {
        found = is_in(item.key + strlen(prefix), a);
    }
    return found;
}

static long long distance_of(const json_t *hop)
{
    const json_t *d = json_object_get(hop, "admin_distance");
    return d == NULL ? 1 : (long long)json_integer_value(d);
}

/* By the nearest of its next hops that is in a network of the domain. */
static void put_route(struct netctl_compiler *c, const char *domain, const json_t *route)
{
    const json_t *hops = json_object_get(route, "next_hops");
    struct netctl_address network;
    struct netctl_address hop;
    char prefix[NETCTL_ADDRESS_TEXT_MAX];
    char via[NETCTL_ADDRESS_TEXT_MAX];
    unsigned long best_vni = 0;
    long long best = 0;
    for (size_t i = 0; i < json_array_size(hops); i++) {
        const json_t *one = json_array_get(hops, i);
        const char *text = netctl_unit_text(one, "ip_address");
        if (text == NULL || !netctl_address_read(text, &hop) || !netctl_address_is_host(&hop) ||
            (best != 0 && distance_of(one) >= best)) {
            continue;
        }
        unsigned long vni = find_segment(c, domain, &hop);
        if (vni != 0 || is_outside(c, domain, &hop)) {
            best = distance_of(one);
            best_vni = vni;
            netctl_address_write(&hop, false, via);
        }
    }
    if (best == 0 || !netctl_prefix_read(netctl_unit_text(route, "network"), &network)) {
        return;
    }
    network = netctl_address_network(&network);
    netctl_address_write(&network, true, prefix);
    json_t *item = json_pack("{ss}", "via", via);
    ts_must(item);
    if (best_vni != 0) {
        netctl_unit_set(item, "segment", json_integer((json_int_t)best_vni));
        netctl_unit_put(c, "", "r%s" NETCTL_SEP "%s", domain, prefix);
    } else {
        netctl_unit_set(item, "uplink", json_true());
    }
    netctl_unit_item(c, best_vni != 0 ? "d" : "e", item, "route/%s/%s", domain, prefix);
}

/* ---- translations ---- */

static json_t *get(void *arg, const char *path)
{
    return netctl_unit_object(arg, path);
}

/* An address, or a prefix, as a prefix. */
static void set_side(json_t *item, const char *name, const char *text)
{
    struct netctl_address a;
    char out[NETCTL_ADDRESS_TEXT_MAX];
    if (text != NULL && (netctl_address_read(text, &a) || netctl_prefix_read(text, &a))) {
        a = netctl_address_network(&a);
        netctl_address_write(&a, true, out);
        netctl_unit_set(item, name, json_string(out));
    }
}

static void put_nat(struct netctl_compiler *c, const char *domain, const char *path,
                    const json_t *rule)
{
    char translated[NETCTL_ADDRESS_TEXT_MAX];
    struct netctl_address a;
    uint64_t id = netctl_unit_number(c, path);
    const char *action = netctl_unit_text(rule, "action");
    const char *service = netctl_unit_text(rule, "service");
    const char *ports = netctl_unit_text(rule, "translated_ports");
    const char *to = netctl_unit_text(rule, "translated_network");
    bool needed = strcmp(action, "SNAT") == 0 || strcmp(action, "DNAT") == 0;
    bool more = false;
    json_t *item = json_pack("{sIss}", "id", (json_int_t)id, "action", action);
    ts_must(item);
    set_side(item, "source", netctl_unit_text(rule, "source_network"));
    set_side(item, "destination", netctl_unit_text(rule, "destination_network"));
    if (needed && to != NULL && (netctl_address_read(to, &a) || netctl_prefix_read(to, &a))) {
        netctl_address_write(&a, false, translated);
        netctl_unit_set(item, "translated", json_string(translated));
    }
    if (service != NULL) {
        json_t *paths = json_pack("[s]", service);
        json_t *list = netctl_expand_services(paths, get, c, &more);
        netctl_unit_set(item, "service", json_incref(json_array_get(list, 0)));
        json_decref(list);
        json_decref(paths);
    }
    if (ports != NULL) {
        netctl_unit_set(item, "translated_port", json_integer(strtol(ports, NULL, 10)));
    }
    if (json_is_true(json_object_get(rule, "logging"))) {
        netctl_unit_set(item, "log", json_true());
    }
    netctl_unit_item(c, "e", item, "nat/%s/%010lld%010" PRIu64, domain,
                     (long long)json_integer_value(json_object_get(rule, "sequence_number")), id);
}

void netctl_make_routes(struct netctl_compiler *c, const char *number)
{
    char path[NETCTL_PATH_ROOM];
    char prefix[NETCTL_PATH_ROOM + 32];
    char domain[32];
    char span[40];
    struct netctl_item item = {NULL, {NULL, 0}};
    if (!netctl_unit_owner(c, NETCTL_N_ROUTER, number, path) ||
        !take_text(netctl_unit_fact(c, "d%s", number), domain, sizeof(domain))) {
        return;
    }
    (void)snprintf(prefix, sizeof(prefix), "%s/static-routes/", path);
    while (netctl_unit_objects(c, prefix, &item)) {
        json_t *route = netctl_unit_object(c, item.key);
        put_route(c, domain, route);
        json_decref(route);
    }
    (void)snprintf(prefix, sizeof(prefix), "%s/nat/USER/nat-rules/", path);
    item.key = NULL;
    while (netctl_unit_objects(c, prefix, &item)) {
        json_t *rule = netctl_unit_object(c, item.key);
        if (!json_is_false(json_object_get(rule, "enabled"))) {
            put_nat(c, domain, item.key, rule);
        }
        json_decref(rule);
    }
    (void)snprintf(span, sizeof(span), "d%s", domain);
    netctl_unit_span(c, "d", span, NULL);
    (void)snprintf(span, sizeof(span), "e%s", domain);
    netctl_unit_span(c, "e", span, NULL);
}
