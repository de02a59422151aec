/* What groups, services and policies say together. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/netctl/check.h"
#include "services/netctl/expand.h"
#include "services/netctl/store.h"

#define SETS_MAX 64

static bool is_type(const char *path, const char *type)
{
    const struct netctl_resource *r = netctl_resource_of(path);
    return r != NULL && strcmp(r->type, type) == 0;
}

static json_t *get(void *arg, const char *path)
{
    return netctl_store_get(arg, path);
}

/* ---- who is in whom ---- */

/* Paths of this type that an object refers to, added to a list. */
struct gathering {
    json_t *list;
    const char *type;
};

static void on_path(void *arg, const struct netctl_field *field, const char *path)
{
    (void)field;
    const struct gathering *g = arg;
    if (is_type(path, g->type)) {
        int failed = json_array_append_new(g->list, json_string(path));
        ts_assert(failed == 0);
    }
}

/* That `path` is not in itself, through others of its type. */
static bool check_cycle(const struct netctl_intent *t, const char *path, const char *type,
                        struct netctl_error *e)
{
    json_t *todo = json_pack("[s]", path);
    json_t *seen = json_object();
    ts_must(todo);
    ts_must(seen);
    struct gathering g = {json_array(), type};
    ts_must(g.list);
    for (size_t i = 0; e->status == 0 && i < json_array_size(todo); i++) {
        const char *at = json_string_value(json_array_get(todo, i));
        json_t *object = netctl_store_get(t, at);
        (void)json_array_clear(g.list);
        netctl_schema_paths(netctl_resource_of(at)->fields, object, on_path, &g);
        for (size_t n = 0; n < json_array_size(g.list); n++) {
            const char *next = json_string_value(json_array_get(g.list, n));
            if (strcmp(next, path) == 0) {
                (void)netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                       "%.200s is in itself: %.200s has it", path, at);
            } else if (json_object_get(seen, next) == NULL) {
                int failed = json_object_set_new(seen, next, json_true());
                failed += json_array_append(todo, json_array_get(g.list, n));
                ts_assert(failed == 0);
            }
        }
        json_decref(object);
    }
    json_decref(todo);
    json_decref(seen);
    json_decref(g.list);
    return e->status == 0;
}

/* ---- groups ---- */

static bool wrong(struct netctl_error *e, const char *path, const char *what)
{
    return netctl_error_set(e, 400, NETCTL_CODE_INVALID, "%.300s: %s", path, what);
}

static bool check_condition(const char *path, const json_t *one, struct netctl_error *e)
{
    const char *member = netctl_check_text(one, "member_type");
    if (member == NULL || strcmp(member, "IPSet") == 0 || netctl_check_text(one, "key") == NULL ||
        netctl_check_text(one, "operator") == NULL || netctl_check_text(one, "value") == NULL) {
        return wrong(e, path,
                     "a Condition has member_type (VirtualMachine, Segment, SegmentPort), key, "
                     "operator and value");
    }
    return true;
}

static bool check_paths(const char *path, const json_t *one, struct netctl_error *e)
{
    const json_t *paths = json_object_get(one, "paths");
    for (size_t i = 0; i < json_array_size(paths); i++) {
        const char *member = json_string_value(json_array_get(paths, i));
        if (!is_type(member, "Segment") && !is_type(member, "SegmentPort") &&
            !is_type(member, "Group")) {
            return netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                    "%.200s: %.200s can be no member; segments, ports and groups "
                                    "can",
                                    path, member);
        }
    }
    return true;
}

/* Terms and conjunctions by turns; AND is between conditions only. */
static bool check_expression(const char *path, const json_t *list, bool nested,
                             struct netctl_error *e)
{
    const char *before = "";
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *type = netctl_check_text(one, "resource_type");
        bool conjunction = type != NULL && strcmp(type, "ConjunctionOperator") == 0;
        bool condition = type != NULL && strcmp(type, "Condition") == 0;
        bool deep = type != NULL && strcmp(type, "NestedExpression") == 0 && !nested;
        bool paths = type != NULL && strcmp(type, "PathExpression") == 0 && !nested;
        bool addresses = type != NULL && strcmp(type, "IPAddressExpression") == 0 && !nested;
        if (conjunction != (i % 2 == 1)) {
            return wrong(e, path, "an expression is terms with a ConjunctionOperator between them");
        }
        if (conjunction) {
            before = netctl_check_text(one, "conjunction_operator");
            if (before == NULL || i + 1 == json_array_size(list)) {
                return wrong(e, path, "a ConjunctionOperator is AND or OR, between two terms");
            }
            continue;
        }
        if (!condition && !deep && !paths && !addresses) {
            return wrong(e, path,
                         "a term is a Condition, a NestedExpression of conditions, a "
                         "PathExpression or an IPAddressExpression");
        }
        bool fits = condition || deep;
        const char *behind = netctl_check_text(json_array_get(list, i + 1), "conjunction_operator");
        bool joined = strcmp(before, "AND") == 0 || (behind != NULL && strcmp(behind, "AND") == 0);
        if (!fits && joined) {
            return wrong(e, path, "AND is between conditions only");
        }
        if ((condition && !check_condition(path, one, e)) ||
            (paths && !check_paths(path, one, e))) {
            return false;
        }
    }
    return true;
}

bool netctl_check_group(const struct netctl_intent *t, const char *path, const json_t *object,
                        struct netctl_error *e)
{
    const json_t *list = json_object_get(object, "expression");
    bool good = check_expression(path, list, false, e);
    for (size_t i = 0; good && i < json_array_size(list); i++) {
        good = check_expression(path, json_object_get(json_array_get(list, i), "expressions"), true,
                                e);
    }
    return good && check_cycle(t, path, "Group", e);
}

/* ---- services ---- */

static bool check_entry(const char *path, const json_t *entry, struct netctl_error *e)
{
    const char *nested = netctl_check_text(entry, "nested_service_path");
    const char *l4 = netctl_check_text(entry, "l4_protocol");
    const char *icmp = netctl_check_text(entry, "protocol");
    bool number = json_object_get(entry, "protocol_number") != NULL;
    bool ports = json_object_get(entry, "source_ports") != NULL ||
                 json_object_get(entry, "destination_ports") != NULL;
    bool type = json_object_get(entry, "icmp_type") != NULL;
    bool code = json_object_get(entry, "icmp_code") != NULL;
    if ((nested != NULL) + (l4 != NULL) + (icmp != NULL) + number != 1) {
        return wrong(e, path,
                     "a service entry has one of l4_protocol, protocol (of ICMP), protocol_number "
                     "and nested_service_path");
    }
    if ((ports && l4 == NULL) || ((type || code) && icmp == NULL) || (code && !type)) {
        return wrong(e, path,
                     "a service entry has ports with l4_protocol, icmp_type with protocol, and "
                     "icmp_code with icmp_type only");
    }
    return true;
}

/* All that use a service, through others as well, are what they can be. */
static bool check_users(const struct netctl_intent *t, const char *path, struct netctl_error *e)
{
    json_t *todo = json_pack("[s]", path);
    json_t *seen = json_object();
    ts_must(todo);
    ts_must(seen);
    for (size_t i = 0; e->status == 0 && i < json_array_size(todo); i++) {
        char prefix[NETCTL_PATH_ROOM + 2];
        struct netctl_item item = {NULL, {NULL, 0}};
        (void)snprintf(prefix, sizeof(prefix), "%s\x01",
                       json_string_value(json_array_get(todo, i)));
        while (e->status == 0 && netctl_tree_next(&t->refs, prefix, &item)) {
            const char *user = item.key + strlen(prefix);
            json_t *object = netctl_store_get(t, user);
            if (is_type(user, "Rule")) {
                (void)netctl_check_rule(t, user, object, e);
            } else if (is_type(user, "PolicyNatRule")) {
                (void)netctl_check_nat(t, user, object, e);
            } else if (is_type(user, "Service") && json_object_get(seen, user) == NULL) {
                int failed = json_object_set_new(seen, user, json_true());
                failed += json_array_append_new(todo, json_string(user));
                ts_assert(failed == 0);
            }
            json_decref(object);
        }
    }
    json_decref(todo);
    json_decref(seen);
    return e->status == 0;
}

bool netctl_check_service(const struct netctl_intent *t, const char *path, const json_t *object,
                          struct netctl_error *e)
{
    const json_t *entries = json_object_get(object, "service_entries");
    bool good = true;
    for (size_t i = 0; good && i < json_array_size(entries); i++) {
        good = check_entry(path, json_array_get(entries, i), e);
    }
    return good && check_cycle(t, path, "Service", e) && check_users(t, path, e);
}

/* ---- policies ---- */

static bool check_scope(const char *path, const json_t *object, struct netctl_error *e)
{
    bool gateway = strstr(path, "/gateway-policies/") != NULL;
    const json_t *scope = json_object_get(object, "scope");
    if (json_array_size(scope) > SETS_MAX) {
        return wrong(e, path, "scope has more than 64 members");
    }
    for (size_t i = 0; i < json_array_size(scope); i++) {
        const char *one = json_string_value(json_array_get(scope, i));
        if (strcmp(one, "ANY") != 0 && is_type(one, "Group") == gateway) {
            return netctl_error_set(
                e, 400, NETCTL_CODE_INVALID,
                "%.200s applies to %.200s: that of a gateway policy is routers, "
                "that of others groups",
                path, one);
        }
    }
    return true;
}

static bool names_router(const json_t *object)
{
    const json_t *scope = json_object_get(object, "scope");
    bool found = false;
    for (size_t i = 0; i < json_array_size(scope); i++) {
        found = found || json_string_value(json_array_get(scope, i))[0] == '/';
    }
    return found;
}

/* That a rule of a gateway policy has a router: its own, or its policy's. */
static bool check_gateway(const struct netctl_intent *t, const char *path, const json_t *rule,
                          struct netctl_error *e)
{
    char policy[NETCTL_PATH_ROOM];
    if (strstr(path, "/gateway-policies/") == NULL || !netctl_resource_parent(path, policy)) {
        return true;
    }
    json_t *object = netctl_store_get(t, policy);
    bool good = names_router(rule) || names_router(object);
    json_decref(object);
    return good || netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                    "neither the scope of %.180s nor that of %.180s names a router",
                                    path, policy);
}

/* Its rules, if they are of a gateway. */
static bool check_rules(const struct netctl_intent *t, const char *path, struct netctl_error *e)
{
    char prefix[NETCTL_PATH_ROOM + 8];
    struct netctl_item item = {NULL, {NULL, 0}};
    bool good = true;
    (void)snprintf(prefix, sizeof(prefix), "%s/rules/", path);
    while (good && netctl_tree_next(&t->objects, prefix, &item)) {
        json_t *rule = netctl_store_get(t, item.key);
        good = check_gateway(t, item.key, rule, e);
        json_decref(rule);
    }
    return good;
}

bool netctl_check_policy(const struct netctl_intent *t, const char *path, const json_t *object,
                         struct netctl_error *e)
{
    const char *category = netctl_check_text(object, "category");
    const char *preference = netctl_check_text(object, "connectivity_preference");
    if (category != NULL && strcmp(category, "Ethernet") == 0) {
        return wrong(e, path, "rules of the category Ethernet are not done");
    }
    if (preference != NULL && strcmp(preference, "NONE") != 0) {
        return wrong(e, path, "connectivity_preference is not done; write a last rule");
    }
    bool gateway = strstr(path, "/gateway-policies/") != NULL;
    return check_scope(path, object, e) && (!gateway || check_rules(t, path, e));
}

bool netctl_check_rule(const struct netctl_intent *t, const char *path, const json_t *object,
                       struct netctl_error *e)
{
    static const char *const SIDES[] = {"source_groups", "destination_groups"};
    bool more = false;
    for (size_t i = 0; i < 2; i++) {
        const json_t *list = json_object_get(object, SIDES[i]);
        size_t groups = 1; /* all addresses together are one set */
        for (size_t n = 0; n < json_array_size(list); n++) {
            groups += json_string_value(json_array_get(list, n))[0] == '/';
        }
        if (groups > SETS_MAX) {
            return netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                    "%.300s: %s has more than %d groups", path, SIDES[i],
                                    SETS_MAX - 1);
        }
    }
    json_t *paths = json_array();
    ts_must(paths);
    const json_t *services = json_object_get(object, "services");
    for (size_t i = 0; i < json_array_size(services); i++) {
        json_t *one = json_array_get(services, i);
        if (strcmp(json_string_value(one), "ANY") != 0) {
            int failed = json_array_append(paths, one);
            ts_assert(failed == 0);
        }
    }
    json_decref(netctl_expand_services(paths, get, (void *)t, &more));
    json_decref(paths);
    if (more) {
        return netctl_error_set(e, 400, NETCTL_CODE_INVALID,
                                "%.300s: its services have more than %d entries", path,
                                NETCTL_SERVICES_MAX);
    }
    return check_scope(path, object, e) && check_gateway(t, path, object, e);
}
