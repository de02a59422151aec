#include "services/netctl/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "services/netctl/address.h"

/* A port as its node's table has it. */
struct place {
    const char *node;
    const struct netctl_tree *table;
    unsigned long number;
    unsigned long vni;
    struct netctl_address address; /* of the family that both have */
};

static json_t *item_of(struct ts_bytes value)
{
    json_t *item = json_loadb((const char *)value.data, value.len, JSON_DECODE_ANY, NULL);
    ts_must(item);
    return item;
}

/* ---- the ports ---- */

static bool find_port(const struct netctl_compiler *c, const char *path, struct place *out,
                      json_t **item)
{
    for (const char *n = netctl_compiler_next(c, NULL); n != NULL; n = netctl_compiler_next(c, n)) {
        const struct netctl_tree *table = netctl_compiler_table(c, n);
        struct netctl_item i = {NULL, {NULL, 0}};
        while (netctl_tree_next(table, "port/", &i)) {
            json_t *port = item_of(i.value);
            const char *is = json_string_value(json_object_get(port, "path"));
            if (is != NULL && strcmp(is, path) == 0) {
                *out = (struct place){
                    .node = n,
                    .table = table,
                    .number = strtoul(i.key + strlen("port/"), NULL, 10),
                    .vni = (unsigned long)json_integer_value(json_object_get(port, "segment"))};
                *item = port;
                return true;
            }
            json_decref(port);
        }
    }
    return false;
}

/* The first addresses of one family. */
static bool pair_addresses(struct place *from, const json_t *a, struct place *to, const json_t *b)
{
    const json_t *ours = json_object_get(a, "ips");
    const json_t *theirs = json_object_get(b, "ips");
    for (size_t i = 0; i < json_array_size(ours); i++) {
        for (size_t k = 0; k < json_array_size(theirs); k++) {
            const char *x = json_string_value(json_array_get(ours, i));
            const char *y = json_string_value(json_array_get(theirs, k));
            if (x != NULL && y != NULL && netctl_address_read(x, &from->address) &&
                netctl_address_read(y, &to->address) && from->address.v6 == to->address.v6) {
                return true;
            }
        }
    }
    return false;
}

/* ---- a rule ---- */

static bool set_has(const struct netctl_tree *table, const char *set,
                    const struct netctl_address *address)
{
    char prefix[128];
    struct netctl_item i = {NULL, {NULL, 0}};
    (void)snprintf(prefix, sizeof(prefix), "set/%s/", set);
    while (netctl_tree_next(table, prefix, &i)) {
        struct netctl_address network;
        if (netctl_prefix_read(i.key + strlen(prefix), &network) &&
            netctl_address_is_in(&network, address)) {
            return true;
        }
    }
    return false;
}

static bool side_matches(const struct place *at, const json_t *side,
                         const struct netctl_address *address)
{
    size_t i;
    json_t *set;
    bool found = false;
    if (side == NULL) {
        return true;
    }
    json_array_foreach(json_object_get(side, "sets"), i, set)
    {
        found = found || set_has(at->table, json_string_value(set), address);
    }
    return found != json_is_true(json_object_get(side, "not"));
}

static bool applies_to(const struct place *at, const json_t *ports)
{
    size_t i;
    json_t *set;
    json_array_foreach(ports, i, set)
    {
        char key[160];
        (void)snprintf(key, sizeof(key), "ports/%s/%lu", json_string_value(set), at->number);
        if (netctl_tree_get(at->table, key).data != NULL) {
            return true;
        }
    }
    return ports == NULL;
}

static bool ports_match(const json_t *ranges, uint16_t port)
{
    size_t i;
    json_t *range;
    json_array_foreach(ranges, i, range)
    {
        uint16_t first;
        uint16_t last;
        if (netctl_ports_read(json_string_value(range), &first, &last) && port >= first &&
            port <= last) {
            return true;
        }
    }
    return ranges == NULL;
}

/* A client's own port, and the type of an ICMP message, are not asked about. */
static bool service_matches(const json_t *services, const struct netctl_packet *p)
{
    size_t i;
    json_t *s;
    json_array_foreach(services, i, s)
    {
        if (json_integer_value(json_object_get(s, "protocol")) == p->protocol &&
            ports_match(json_object_get(s, "destination"), p->destination)) {
            return true;
        }
    }
    return services == NULL;
}

static bool matches(const struct place *at, const char *direction, const json_t *rule,
                    const struct place *from, const struct place *to, const struct netctl_packet *p)
{
    const char *is = json_string_value(json_object_get(rule, "direction"));
    json_int_t family = json_integer_value(json_object_get(rule, "family"));
    bool way = is == NULL || strcmp(is, "IN_OUT") == 0 || strcmp(is, direction) == 0;
    bool kind = family == 0 || family == (from->address.v6 ? 6 : 4);
    return way && kind && applies_to(at, json_object_get(rule, "ports")) &&
           side_matches(at, json_object_get(rule, "sources"), &from->address) &&
           side_matches(at, json_object_get(rule, "destinations"), &to->address) &&
           service_matches(json_object_get(rule, "services"), p);
}

/* ---- the way ---- */

/* Appends what the rules of one port say; gives whether they let it pass. */
static bool decide(const struct place *at, const char *direction, const struct place *from,
                   const struct place *to, const struct netctl_packet *p, json_t *steps)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    char port[32];
    char text[NETCTL_ADDRESS_TEXT_MAX];
    json_t *step = NULL;
    bool passes = true;
    (void)snprintf(port, sizeof(port), "port/%lu", at->number);
    netctl_address_write(&at->address, false, text);
    while (step == NULL && netctl_tree_next(at->table, "rule/", &i)) {
        json_t *rule = item_of(i.value);
        if (matches(at, direction, rule, from, to, p)) {
            const char *action = json_string_value(json_object_get(rule, "action"));
            passes = strcmp(action, "ALLOW") == 0 || strcmp(action, "DETECT") == 0;
            step = json_pack("{ss,ss,ss,ss,ss,ss}", "node", at->node, "item", port, "address", text,
                             "direction", direction, "action", action, "rule",
                             json_string_value(json_object_get(rule, "path")));
        }
        json_decref(rule);
    }
    if (step == NULL) {
        step = json_pack("{ss,ss,ss,ss,ss,sn}", "node", at->node, "item", port, "address", text,
                         "direction", direction, "action", "ALLOW", "rule");
    }
    ts_must(step);
    (void)json_array_append_new(steps, step);
    return passes;
}

/* Of two segments: the router that both have on the node where the packet begins. */
static bool is_routed(const struct place *from, const struct place *to, json_t *steps)
{
    json_int_t router[2];
    const unsigned long vni[2] = {from->vni, to->vni};
    for (int i = 0; i < 2; i++) {
        char key[40];
        (void)snprintf(key, sizeof(key), "segment/%lu", vni[i]);
        struct ts_bytes value = netctl_tree_get(from->table, key);
        json_t *segment = value.data == NULL ? NULL : item_of(value);
        router[i] = json_integer_value(json_object_get(segment, "router"));
        json_decref(segment);
    }
    bool routed = router[0] != 0 && router[0] == router[1];
    json_t *step = json_pack("{ss,so,ss}", "node", from->node, "router",
                             routed ? json_integer(router[0]) : json_null(), "action",
                             routed ? "ROUTE" : "UNREACHABLE");
    ts_must(step);
    (void)json_array_append_new(steps, step);
    return routed;
}

json_t *netctl_trace(const struct netctl_compiler *c, const struct netctl_packet *p,
                     struct netctl_error *e)
{
    struct place from;
    struct place to;
    json_t *a = NULL;
    json_t *b = NULL;
    json_t *answer = NULL;
    if (!find_port(c, p->from, &from, &a) || !find_port(c, p->to, &to, &b)) {
        (void)netctl_error_set(e, 404, NETCTL_CODE_NOT_FOUND,
                               "%.400s is no port with an interface on a node: declare it, and see "
                               "that a node has its attachment's interface",
                               a == NULL ? p->from : p->to);
    } else if (!pair_addresses(&from, a, &to, b)) {
        (void)netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                               "%.200s and %.200s have no addresses of one family bound", p->from,
                               p->to);
    } else {
        json_t *steps = json_array();
        ts_must(steps);
        bool passes = decide(&from, "OUT", &from, &to, p, steps);
        passes = passes && (from.vni == to.vni || is_routed(&from, &to, steps));
        passes = passes && decide(&to, "IN", &from, &to, p, steps);
        answer = json_pack("{sb,so}", "arrives", passes, "steps", steps);
        ts_must(answer);
    }
    json_decref(a);
    json_decref(b);
    return answer;
}
