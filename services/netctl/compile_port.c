/* Nodes, segments and their ports. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "services/netctl/compile_unit.h"
#include "services/netctl/inventory.h"
#include "services/netctl/marks.h"
#include "services/netctl/resource.h"

/* ---- nodes ---- */

void netctl_make_node(struct netctl_compiler *c, const char *id)
{
    json_t *node = netctl_unit_node(c, id);
    if (node == NULL) {
        return;
    }
    long long told = (long long)json_integer_value(json_object_get(node, "told"));
    const json_t *vifs = json_object_get(node, "vifs");
    char text[24];
    (void)snprintf(text, sizeof(text), "%020lld", told);
    for (size_t i = 0; i < json_array_size(vifs); i++) {
        const char *vif = json_string_value(json_array_get(vifs, i));
        netctl_unit_put(c, text, "h%s" NETCTL_SEP "%s", vif, id);
    }
    netctl_unit_put(c, netctl_unit_text(node, "vtep"), "t%s", id);
    netctl_unit_put_json(c, json_incref(json_object_get(node, "uplinks")), "u%s", id);
    netctl_unit_put(c, "", "Sn%s" NETCTL_SEP "%s", id, id);
    json_decref(node);
}

/* Where a vif is: with the node that told so last. */
void netctl_make_vif(struct netctl_compiler *c, const char *vif)
{
    char prefix[NETCTL_VIF_MAX + 4];
    char node[NETCTL_ID_MAX + 1] = "";
    char last[24] = "";
    struct netctl_item item = {NULL, {NULL, 0}};
    (void)snprintf(prefix, sizeof(prefix), "h%s" NETCTL_SEP, vif);
    while (netctl_unit_facts(c, prefix, &item)) {
        char told[24];
        (void)snprintf(told, sizeof(told), "%.*s", (int)item.value.len,
                       (const char *)item.value.data);
        if (strcmp(told, last) > 0) {
            memcpy(last, told, sizeof(last));
            (void)snprintf(node, sizeof(node), "%s", item.key + strlen(prefix));
        }
    }
    if (node[0] != '\0') {
        netctl_unit_put(c, node, "a%s", vif);
    }
}

/* ---- names and tags ---- */

/* What conditions of groups ask for. */
static void put_labels(struct netctl_compiler *c, char kind, const char *number, const char *path,
                       const json_t *object)
{
    json_t *tags = json_object_get(object, "tags");
    const char *name = netctl_unit_text(object, "display_name");
    json_t *label = json_pack("{ss}", "name", name == NULL ? netctl_resource_id(path) : name);
    ts_must(label);
    if (tags != NULL) {
        netctl_unit_set(label, "tags", json_incref(tags));
    }
    netctl_unit_put_json(c, label, "l%c" NETCTL_SEP "%s", kind, number);
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = netctl_unit_text(json_array_get(tags, i), "tag");
        tag = tag == NULL ? "" : tag;
        struct ts_hash h = ts_hash_bytes(tag, strlen(tag));
        netctl_unit_put(c, "", "g%c" NETCTL_SEP "%016" PRIx64 "%016" PRIx64 NETCTL_SEP "%s", kind,
                        h.hi, h.lo, number);
    }
}

/* ---- segments ---- */

/* The gateways as a table has them, a list; NULL: there are none. */
static json_t *gateways_of(const json_t *segment)
{
    const json_t *subnets = json_object_get(segment, "subnets");
    json_t *list = netctl_unit_list();
    for (size_t i = 0; i < json_array_size(subnets); i++) {
        const char *text = netctl_unit_text(json_array_get(subnets, i), "gateway_address");
        struct netctl_address a;
        char out[NETCTL_ADDRESS_TEXT_MAX];
        if (text != NULL && netctl_prefix_read(text, &a)) {
            netctl_address_write(&a, true, out);
            netctl_unit_append(list, json_string(out));
        }
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        return NULL;
    }
    return list;
}

/* The number of the routers with which this segment's routes; 0: it is not routed. */
static uint64_t domain_of(struct netctl_compiler *c, const char *path, const json_t *segment)
{
    char router[NETCTL_PATH_ROOM];
    if (!netctl_segment_router(path, segment, router)) {
        return 0;
    }
    struct ts_bytes domain = netctl_unit_fact(c, "d%" PRIu64, netctl_unit_number(c, router));
    uint64_t number = 0;
    for (size_t i = 0; i < domain.len; i++) {
        number = number * 10 + (domain.data[i] - '0');
    }
    return number;
}

void netctl_make_segment(struct netctl_compiler *c, const char *vni)
{
    char path[NETCTL_PATH_ROOM];
    char span[32];
    char mac[18];
    if (!netctl_unit_owner(c, NETCTL_N_VNI, vni, path) ||
        netctl_key_begins(path, "/infra/tier-0s/")) {
        return;
    }
    json_t *segment = netctl_unit_object(c, path);
    json_t *gateways = gateways_of(segment);
    uint64_t domain = gateways == NULL ? 0 : domain_of(c, path, segment);
    const char *name = netctl_unit_text(segment, "display_name");
    json_t *item = json_pack("{si}", "mtu", NETCTL_SEGMENT_MTU);
    json_t *fact = json_pack("{sI}", "router", (json_int_t)domain);
    ts_must(item);
    ts_must(fact);
    netctl_unit_set(item, "name", netctl_unit_clean(name == NULL ? "" : name));
    if (domain != 0) {
        unsigned long n = strtoul(vni, NULL, 10);
        (void)snprintf(mac, sizeof(mac), "02:54:4f:%02lx:%02lx:%02lx", n >> 16 & 0xff,
                       n >> 8 & 0xff, n & 0xff);
        netctl_unit_set(item, "router", json_integer((json_int_t)domain));
        netctl_unit_set(item, "gateway", json_incref(gateways));
        netctl_unit_set(item, "mac", json_string(mac));
        netctl_unit_put_json(c, json_incref(gateways), "c%" PRIu64 NETCTL_SEP "%s", domain, vni);
        (void)snprintf(span, sizeof(span), "d%" PRIu64, domain);
    } else {
        (void)snprintf(span, sizeof(span), "s%s", vni);
    }
    netctl_unit_item(c, "s", item, "segment/%s", vni);
    netctl_unit_span(c, "s", span, NULL);
    json_t *dhcp = netctl_unit_dhcp(c, path, segment);
    netctl_unit_set(fact, "dhcp", json_boolean(dhcp != NULL));
    if (dhcp != NULL) {
        (void)snprintf(span, sizeof(span), "s%s", vni);
        netctl_unit_item(c, "h", dhcp, "dhcp/%s", vni);
        netctl_unit_span(c, "h", span, NULL);
    }
    netctl_unit_put_json(c, fact, "s%s", vni);
    put_labels(c, 'S', vni, path, segment);
    json_decref(gateways);
    json_decref(segment);
}

/* ---- ports ---- */

/* The addresses and the MAC of its bindings; *mac: "", if they say none. */
static json_t *addresses_of(const json_t *port, char mac[18])
{
    const json_t *bindings = json_object_get(port, "address_bindings");
    json_t *list = netctl_unit_list();
    json_t *seen = json_object();
    ts_must(seen);
    mac[0] = '\0';
    for (size_t i = 0; i < json_array_size(bindings); i++) {
        const json_t *one = json_array_get(bindings, i);
        char text[NETCTL_ADDRESS_TEXT_MAX];
        const char *said = netctl_unit_text(one, "mac_address");
        if (said != NULL && mac[0] == '\0') {
            netctl_mac_text(said, mac);
        }
        if (netctl_prefix_address(netctl_unit_text(one, "ip_address"), text) &&
            json_object_get(seen, text) == NULL) {
            netctl_unit_append(list, json_string(text));
            netctl_unit_set(seen, text, json_true());
        }
    }
    json_decref(seen);
    return list;
}

/* What a table has of a port that is on a node. */
static void put_placed(struct netctl_compiler *c, const char *number, const char *path,
                       const json_t *port, const json_t *ips, const char *said, const char *vni,
                       const char *node)
{
    const json_t *attachment = json_object_get(port, "attachment");
    const char *allocate = netctl_unit_text(attachment, "allocate_addresses");
    char mac[18];
    unsigned long n = strtoul(number, NULL, 10);
    (void)snprintf(mac, sizeof(mac), "02:74:%02lx:%02lx:%02lx:%02lx", n >> 24 & 0xff,
                   n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff);
    bool guard = said[0] != '\0' && json_array_size(ips) > 0;
    bool dhcp = allocate == NULL || strcmp(allocate, "NONE") != 0;
    json_t *fact =
        json_pack("{sssssssOsbsb}", "path", path, "vif", netctl_unit_text(attachment, "id"), "mac",
                  said[0] == '\0' ? mac : said, "ips", ips, "guard", guard, "dhcp", dhcp);
    netctl_unit_put_json(c, fact, "p%s" NETCTL_SEP "%s" NETCTL_SEP "%010lu", vni, node, n);
}

void netctl_make_port(struct netctl_compiler *c, const char *number)
{
    char path[NETCTL_PATH_ROOM];
    char segment[NETCTL_PATH_ROOM];
    char vni[16];
    char mac[18];
    char node[NETCTL_ID_MAX + 1] = "";
    if (!netctl_unit_owner(c, NETCTL_N_PORT, number, path) ||
        !netctl_resource_parent(path, segment)) {
        return;
    }
    json_t *port = netctl_unit_object(c, path);
    json_t *ips = addresses_of(port, mac);
    const char *vif = netctl_unit_text(json_object_get(port, "attachment"), "id");
    const char *state = netctl_unit_text(port, "admin_state");
    (void)snprintf(vni, sizeof(vni), "%" PRIu64, netctl_unit_number(c, segment));
    if (vif != NULL && (state == NULL || strcmp(state, "DOWN") != 0)) {
        struct ts_bytes at = netctl_unit_fact(c, "a%s", vif);
        (void)snprintf(node, sizeof(node), "%.*s", (int)at.len,
                       at.data == NULL ? "" : (const char *)at.data);
    }
    if (node[0] != '\0') {
        put_placed(c, number, path, port, ips, mac, vni, node);
    }
    json_t *member = json_pack("{sOss}", "ips", ips, "segment", vni);
    ts_must(member);
    if (node[0] != '\0') {
        netctl_unit_set(member, "node", json_string(node));
    }
    netctl_unit_put_json(c, member, "m%s", number);
    netctl_unit_put(c, "", "b%s" NETCTL_SEP "%s", vni, number);
    put_labels(c, 'P', number, path, port);
    json_decref(ips);
    json_decref(port);
}

/* ---- where segments are ---- */

/* 0: the segment is not routed, or gone. */
static long long router_of(struct netctl_compiler *c, const char *vni, bool *dhcp)
{
    json_t *fact = netctl_unit_fact_json(c, "s%s", vni);
    long long router = (long long)json_integer_value(json_object_get(fact, "router"));
    *dhcp = json_is_true(json_object_get(fact, "dhcp"));
    json_decref(fact);
    return router;
}

void netctl_make_segment_nodes(struct netctl_compiler *c, const char *vni)
{
    char prefix[32];
    char node[NETCTL_FACT_ROOM] = "";
    bool dhcp;
    long long router = router_of(c, vni, &dhcp);
    (void)snprintf(prefix, sizeof(prefix), "p%s" NETCTL_SEP, vni);
    while (netctl_unit_parts(c, prefix, node)) {
        netctl_unit_put(c, "", "Ss%s" NETCTL_SEP "%s", vni, node);
        netctl_unit_put(c, "", "k%s" NETCTL_SEP "%s", vni, node);
        netctl_unit_put(c, "", "y%s" NETCTL_SEP "%s", node, vni);
        if (router != 0) {
            netctl_unit_put(c, "", "n%lld" NETCTL_SEP "%s" NETCTL_SEP "%s", router, node, vni);
        }
    }
}

/* One port: its item on this node, what others know of it. */
static void put_port(struct netctl_compiler *c, const char *vni, unsigned long number,
                     const json_t *port, const char *vtep, bool dhcp)
{
    const char *mac = netctl_unit_text(port, "mac");
    const char *path = netctl_unit_text(port, "path");
    json_t *ips = json_object_get(port, "ips");
    json_t *item = json_pack("{sIsssssOsOss}", "segment", (json_int_t)strtoul(vni, NULL, 10), "vif",
                             netctl_unit_text(port, "vif"), "mac", mac, "ips", ips, "guard",
                             json_object_get(port, "guard"), "path", path);
    netctl_unit_item(c, "l", item, "port/%lu", number);
    netctl_unit_item(c, "r", json_pack("{sssO}", "vtep", vtep, "ips", ips), "remote/%s/%s", vni,
                     mac);
    for (size_t i = 0;
         dhcp && json_is_true(json_object_get(port, "dhcp")) && i < json_array_size(ips); i++) {
        const char *ip = json_string_value(json_array_get(ips, i));
        if (strchr(ip, ':') == NULL) {
            json_t *host = netctl_unit_clean(netctl_resource_id(path));
            netctl_unit_item(c, "l", json_pack("{ssso}", "ip", ip, "host", host), "dhcp/%s/%s", vni,
                             mac);
            break;
        }
    }
}

void netctl_make_segment_node(struct netctl_compiler *c, const char *name)
{
    char vni[16];
    char prefix[NETCTL_ID_MAX + 32];
    char span[NETCTL_ID_MAX + 2];
    char tunnel[NETCTL_ADDRESS_TEXT_MAX];
    bool dhcp;
    const char *node = strchr(name, NETCTL_SEP[0]) + 1;
    struct netctl_item item = {NULL, {NULL, 0}};
    (void)snprintf(vni, sizeof(vni), "%.*s", (int)(node - name) - 1, name);
    (void)snprintf(prefix, sizeof(prefix), "p%s" NETCTL_SEP, name);
    struct ts_bytes vtep = netctl_unit_fact(c, "t%s", node);
    (void)snprintf(tunnel, sizeof(tunnel), "%.*s", (int)vtep.len,
                   vtep.data == NULL ? "" : (const char *)vtep.data);
    long long router = router_of(c, vni, &dhcp);
    bool any = false;
    while (vtep.data != NULL && netctl_unit_facts(c, prefix, &item)) {
        json_t *port = json_loadb((const char *)item.value.data, item.value.len, 0, NULL);
        ts_assert(port != NULL);
        put_port(c, vni, strtoul(item.key + strlen(prefix), NULL, 10), port, tunnel, dhcp);
        json_decref(port);
        any = true;
    }
    if (any) {
        netctl_unit_item(c, "r", json_true(), "flood/%s/%s", vni, tunnel);
        (void)snprintf(span, sizeof(span), "n%s", node);
        netctl_unit_span(c, "l", span, NULL);
        (void)snprintf(span, sizeof(span), "%c%lld", router == 0 ? 's' : 'd',
                       router == 0 ? strtoll(vni, NULL, 10) : router);
        netctl_unit_span(c, "r", span, node);
    }
}

/* A node that has ports of any segment. */
void netctl_make_port_node(struct netctl_compiler *c, const char *node)
{
    char prefix[NETCTL_ID_MAX + 4];
    struct netctl_item item = {NULL, {NULL, 0}};
    (void)snprintf(prefix, sizeof(prefix), "y%s" NETCTL_SEP, node);
    if (netctl_unit_facts(c, prefix, &item)) {
        netctl_unit_put(c, "", "Sa" NETCTL_SEP "%s", node);
    }
}
