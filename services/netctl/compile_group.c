/* Groups: their members' ports and addresses, and the nodes that need them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "services/netctl/compile_unit.h"
#include "services/netctl/resource.h"

static const struct ts_bytes NOTHING = {(const uint8_t *)"", 0};

/* A group while it is made: ports by their numbers, all else as prefixes. */
struct group {
    struct netctl_compiler *c;
    struct netctl_tree ports;
    struct netctl_tree prefixes;
};

static struct netctl_tree none(void)
{
    return netctl_tree_make(0);
}

/* `into` takes all of `from`, and frees it. */
static void unite(struct netctl_tree *into, struct netctl_tree *from)
{
    struct netctl_item item = {NULL, {NULL, 0}};
    while (netctl_tree_next(from, "", &item)) {
        netctl_tree_put(into, item.key, NOTHING);
    }
    netctl_tree_free(from);
}

/* `into` keeps what is in `with`, too; that is freed. */
static void intersect(struct netctl_tree *into, struct netctl_tree *with)
{
    struct netctl_tree both = none();
    struct netctl_item item = {NULL, {NULL, 0}};
    while (netctl_tree_next(into, "", &item)) {
        if (netctl_tree_get(with, item.key).data != NULL) {
            netctl_tree_put(&both, item.key, NOTHING);
        }
    }
    netctl_tree_free(into);
    netctl_tree_free(with);
    *into = both;
}

/* ---- conditions ---- */

static bool matches_text(const char *operator, const char * is, const char *want)
{
    if (strcmp(operator, "CONTAINS") == 0) {
        return strstr(is, want) != NULL;
    }
    return strcmp(operator, "STARTSWITH") == 0 ? netctl_key_begins(is, want)
                                               : strcmp(is, want) == 0;
}

/* The value of a condition on tags is "scope|tag", or a tag of any scope. */
static bool matches_tags(const char *operator, const json_t * tags, const char *value)
{
    const char *bar = strchr(value, '|');
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const json_t *one = json_array_get(tags, i);
        const char *tag = netctl_unit_text(one, "tag");
        const char *scope = netctl_unit_text(one, "scope");
        tag = tag == NULL ? "" : tag;
        scope = scope == NULL ? "" : scope;
        size_t len = bar == NULL ? 0 : (size_t)(bar - value);
        bool scoped = bar == NULL || (strlen(scope) == len && strncmp(scope, value, len) == 0);
        if (scoped && matches_text(operator, tag, bar == NULL ? value : bar + 1)) {
            return true;
        }
    }
    return false;
}

static bool matches(const json_t *condition, const json_t *label)
{
    const char *key = netctl_unit_text(condition, "key");
    const char *operator= netctl_unit_text(condition, "operator");
    const char *value = netctl_unit_text(condition, "value");
    const char *name = netctl_unit_text(label, "name");
    return strcmp(key, "Tag") == 0 ? matches_tags(operator, json_object_get(label, "tags"), value)
                                   : matches_text(operator, name == NULL ? "" : name, value);
}

/* What was loaded was not checked as what is declared is: such a term has no members. */
static bool is_condition(const json_t *term)
{
    return netctl_unit_text(term, "member_type") != NULL && netctl_unit_text(term, "key") != NULL &&
           netctl_unit_text(term, "operator") != NULL && netctl_unit_text(term, "value") != NULL;
}

/* All that can match: those that have the tag, if it is said whole, else all. */
static void candidates(const json_t *condition, char kind, char prefix[64])
{
    const char *value = netctl_unit_text(condition, "value");
    bool tag = strcmp(netctl_unit_text(condition, "key"), "Tag") == 0 &&
               strcmp(netctl_unit_text(condition, "operator"), "EQUALS") == 0;
    (void)snprintf(prefix, 64, "l%c" NETCTL_SEP, kind);
    if (tag) {
        const char *bar = strchr(value, '|');
        const char *want = bar == NULL ? value : bar + 1;
        struct ts_hash h = ts_hash_bytes(want, strlen(want));
        (void)snprintf(prefix, 64, "g%c" NETCTL_SEP "%016" PRIx64 "%016" PRIx64 NETCTL_SEP, kind,
                       h.hi, h.lo);
    }
}

static void add_segment(struct netctl_compiler *c, const char *vni, struct netctl_tree *ports)
{
    char prefix[32];
    struct netctl_item item = {NULL, {NULL, 0}};
    (void)snprintf(prefix, sizeof(prefix), "b%s" NETCTL_SEP, vni);
    while (netctl_unit_facts(c, prefix, &item)) {
        netctl_tree_put(ports, item.key + strlen(prefix), NOTHING);
    }
}

/* The ports that a condition is true of: of their own, or of their segments. */
static struct netctl_tree condition_ports(struct netctl_compiler *c, const json_t *condition)
{
    char prefix[64];
    struct netctl_tree ports = none();
    struct netctl_item item = {NULL, {NULL, 0}};
    if (!is_condition(condition)) {
        return ports;
    }
    bool segments = strcmp(netctl_unit_text(condition, "member_type"), "Segment") == 0;
    char kind = segments ? 'S' : 'P';
    candidates(condition, kind, prefix);
    while (netctl_unit_facts(c, prefix, &item)) {
        const char *number = item.key + strlen(prefix);
        json_t *label = netctl_unit_fact_json(c, "l%c" NETCTL_SEP "%s", kind, number);
        if (label != NULL && matches(condition, label)) {
            if (segments) {
                add_segment(c, number, &ports);
            } else {
                netctl_tree_put(&ports, number, NOTHING);
            }
        }
        json_decref(label);
    }
    return ports;
}

/* ---- expressions ---- */

/* The ports of terms with conjunctions between them: AND before OR. */
struct sum {
    struct netctl_tree all;
    struct netctl_tree some; /* of terms with AND between them */
};

/* Term `i` of the list has these ports. */
static void add_term(struct sum *s, const json_t *list, size_t i, struct netctl_tree ports)
{
    const char *before =
        i == 0 ? NULL : netctl_unit_text(json_array_get(list, i - 1), "conjunction_operator");
    if (before != NULL && strcmp(before, "AND") == 0) {
        intersect(&s->some, &ports);
    } else {
        unite(&s->all, &s->some);
        s->some = ports;
    }
}

static struct netctl_tree nested_ports(struct netctl_compiler *c, const json_t *list)
{
    struct sum s = {none(), none()};
    for (size_t i = 0; i < json_array_size(list); i += 2) {
        add_term(&s, list, i, condition_ports(c, json_array_get(list, i)));
    }
    unite(&s.all, &s.some);
    return s.all;
}

static void on_prefix(void *arg, const char *prefix)
{
    struct group *g = arg;
    netctl_tree_put(&g->prefixes, prefix, NOTHING);
}

static void add_group(struct group *g, const char *path, struct netctl_tree *ports)
{
    char prefix[32];
    struct netctl_item item = {NULL, {NULL, 0}};
    uint64_t number = netctl_unit_number(g->c, path);
    (void)snprintf(prefix, sizeof(prefix), "o%" PRIu64 NETCTL_SEP, number);
    while (netctl_unit_facts(g->c, prefix, &item)) {
        netctl_tree_put(ports, item.key + strlen(prefix), NOTHING);
    }
    (void)snprintf(prefix, sizeof(prefix), "i%" PRIu64 NETCTL_SEP, number);
    item.key = NULL;
    while (netctl_unit_facts(g->c, prefix, &item)) {
        on_prefix(g, item.key + strlen(prefix));
    }
}

static void add_paths(struct group *g, const json_t *paths, struct netctl_tree *ports)
{
    for (size_t i = 0; i < json_array_size(paths); i++) {
        const char *path = json_string_value(json_array_get(paths, i));
        char number[24];
        enum netctl_number kind;
        if (!netctl_number_kind(path, &kind)) {
            continue;
        }
        (void)snprintf(number, sizeof(number), "%" PRIu64, netctl_unit_number(g->c, path));
        if (kind == NETCTL_N_GROUP) {
            add_group(g, path, ports);
        } else if (kind == NETCTL_N_VNI) {
            add_segment(g->c, number, ports);
        } else if (kind == NETCTL_N_PORT) {
            netctl_tree_put(ports, number, NOTHING);
        }
    }
}

static struct netctl_tree term_ports(struct group *g, const json_t *term)
{
    const char *type = netctl_unit_text(term, "resource_type");
    struct netctl_tree ports = none();
    const json_t *addresses = json_object_get(term, "ip_addresses");
    type = type == NULL ? "" : type;
    if (strcmp(type, "Condition") == 0) {
        return condition_ports(g->c, term);
    }
    if (strcmp(type, "NestedExpression") == 0) {
        return nested_ports(g->c, json_object_get(term, "expressions"));
    }
    add_paths(g, json_object_get(term, "paths"), &ports);
    for (size_t i = 0; i < json_array_size(addresses); i++) {
        netctl_unit_prefixes(json_string_value(json_array_get(addresses, i)), on_prefix, g);
    }
    return ports;
}

static struct netctl_tree list_ports(struct group *g, const json_t *list)
{
    struct sum s = {none(), none()};
    for (size_t i = 0; i < json_array_size(list); i += 2) {
        add_term(&s, list, i, term_ports(g, json_array_get(list, i)));
    }
    unite(&s.all, &s.some);
    return s.all;
}

/* ---- the units ---- */

/* Its ports, by node, and their addresses. */
static void put_ports(struct group *g, const char *number, bool is_scope)
{
    struct netctl_item item = {NULL, {NULL, 0}};
    while (netctl_tree_next(&g->ports, "", &item)) {
        json_t *port = netctl_unit_fact_json(g->c, "m%s", item.key);
        const char *node = netctl_unit_text(port, "node");
        const json_t *ips = json_object_get(port, "ips");
        for (size_t i = 0; i < json_array_size(ips); i++) {
            netctl_unit_prefixes(json_string_value(json_array_get(ips, i)), on_prefix, g);
        }
        if (port != NULL) {
            netctl_unit_put(g->c, node == NULL ? "" : node, "o%s" NETCTL_SEP "%s", number,
                            item.key);
        }
        if (node != NULL && is_scope) {
            char span[NETCTL_ID_MAX + 2];
            (void)snprintf(span, sizeof(span), "n%s", node);
            netctl_unit_put(g->c, "", "q%s" NETCTL_SEP "%s", number, node);
            netctl_unit_item(g->c, span, json_true(), "ports/p%s/%s", number, item.key);
            netctl_unit_span(g->c, span, span, NULL);
        }
        json_decref(port);
    }
}

void netctl_make_group(struct netctl_compiler *c, const char *number)
{
    char path[NETCTL_PATH_ROOM];
    char prefix[32];
    struct netctl_item item = {NULL, {NULL, 0}};
    struct group g = {c, none(), none()};
    if (!netctl_unit_owner(c, NETCTL_N_GROUP, number, path)) {
        return;
    }
    json_t *group = netctl_unit_object(c, path);
    g.ports = list_ports(&g, json_object_get(group, "expression"));
    (void)snprintf(prefix, sizeof(prefix), "z%s" NETCTL_SEP, number);
    put_ports(&g, number, netctl_unit_facts(c, prefix, &item));
    item.key = NULL;
    while (netctl_tree_next(&g.prefixes, "", &item)) {
        netctl_unit_put(c, "", "i%s" NETCTL_SEP "%s", number, item.key);
    }
    netctl_tree_free(&g.ports);
    netctl_tree_free(&g.prefixes);
    json_decref(group);
}

/* Groups are named with a blank between them: "3 17". The nodes that have ports of any. */
void netctl_make_scope(struct netctl_compiler *c, const char *name)
{
    char prefix[64];
    char groups[NETCTL_FACT_ROOM];
    struct netctl_item item = {NULL, {NULL, 0}};
    (void)snprintf(prefix, sizeof(prefix), "j%s" NETCTL_SEP, name);
    if (!netctl_unit_facts(c, prefix, &item)) {
        return;
    }
    (void)snprintf(groups, sizeof(groups), "%.*s", (int)item.value.len,
                   (const char *)item.value.data);
    for (const char *at = groups; *at != '\0'; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        struct netctl_item node = {NULL, {NULL, 0}};
        (void)snprintf(prefix, sizeof(prefix), "q%.*s" NETCTL_SEP, (int)len, at);
        while (netctl_unit_facts(c, prefix, &node)) {
            netctl_unit_put(c, "", "Sk%s" NETCTL_SEP "%s", name, node.key + strlen(prefix));
        }
        at += len;
    }
}

/* The addresses of a group are where rules are that name it. */
void netctl_make_group_span(struct netctl_compiler *c, const char *number)
{
    char prefix[NETCTL_FACT_ROOM + 32];
    char span[NETCTL_FACT_ROOM] = "";
    struct netctl_item item = {NULL, {NULL, 0}};
    bool used = false;
    (void)snprintf(prefix, sizeof(prefix), "w%s" NETCTL_SEP, number);
    while (netctl_unit_parts(c, prefix, span)) {
        char nodes[NETCTL_FACT_ROOM + 4];
        used = true;
        (void)snprintf(nodes, sizeof(nodes), "S%s" NETCTL_SEP, span);
        item.key = NULL;
        while (netctl_unit_facts(c, nodes, &item)) {
            netctl_unit_put(c, "", "Su%s" NETCTL_SEP "%s", number, item.key + strlen(nodes));
        }
    }
    if (!used) {
        return;
    }
    (void)snprintf(prefix, sizeof(prefix), "i%s" NETCTL_SEP, number);
    item.key = NULL;
    while (netctl_unit_facts(c, prefix, &item)) {
        netctl_unit_item(c, "a", json_true(), "set/g%s/%s", number, item.key + strlen(prefix));
    }
    (void)snprintf(span, sizeof(span), "u%s", number);
    netctl_unit_span(c, "a", span, NULL);
}
