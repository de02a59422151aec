/* Rules of the distributed firewall, and of gateways. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "services/netctl/compile_unit.h"
#include "services/netctl/expand.h"
#include "services/netctl/resource.h"

#define LOG_MAX 64
#define SCOPES_MAX 64

struct rule {
    struct netctl_compiler *c;
    const char *id;
    const json_t *object;
    const json_t *policy;
    bool gateway;
    json_t *item;
    json_t *own;    /* prefixes that it names itself, by the name of their set */
    json_t *groups; /* numbers of those that it names, as keys */
    bool never;     /* it matches nothing */
};

static bool is_any(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(json_string_value(json_array_get(list, i)), "ANY") == 0) {
            return true;
        }
    }
    return json_array_size(list) == 0;
}

/* ---- sources and destinations ---- */

struct own_set {
    json_t *set;
};

static void on_prefix(void *arg, const char *prefix)
{
    const struct own_set *o = arg;
    netctl_unit_set(o->set, prefix, json_true());
}

/* Groups are sets of theirs; addresses are one set of the rule's. */
static void put_side(struct rule *r, const char *field, const char *excluded, const char *name,
                     char letter)
{
    const json_t *list = json_object_get(r->object, field);
    struct own_set own = {json_object()};
    char set[48];
    if (is_any(list)) {
        json_decref(own.set);
        return;
    }
    json_t *sets = netctl_unit_list();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = json_string_value(json_array_get(list, i));
        if (one[0] == '/') {
            char number[24];
            (void)snprintf(number, sizeof(number), "%" PRIu64, netctl_unit_number(r->c, one));
            (void)snprintf(set, sizeof(set), "g%s", number);
            netctl_unit_append(sets, json_string(set));
            netctl_unit_set(r->groups, number, json_true());
        } else {
            netctl_unit_prefixes(one, on_prefix, &own);
        }
    }
    if (json_object_size(own.set) > 0) {
        (void)snprintf(set, sizeof(set), "r%s%c", r->id, letter);
        netctl_unit_append(sets, json_string(set));
        netctl_unit_set(r->own, set, json_incref(own.set));
    }
    json_decref(own.set);
    json_t *side = json_pack("{so}", "sets", sets);
    ts_must(side);
    if (json_is_true(json_object_get(r->object, excluded))) {
        netctl_unit_set(side, "not", json_true());
    }
    netctl_unit_set(r->item, name, side);
}

/* ---- services ---- */

static json_t *get(void *arg, const char *path)
{
    return netctl_unit_object(arg, path);
}

static void put_services(struct rule *r)
{
    const json_t *list = json_object_get(r->object, "services");
    bool more = false;
    if (!is_any(list)) {
        json_t *services = netctl_expand_services(list, get, r->c, &more);
        r->never = r->never || json_array_size(services) == 0 || more;
        netctl_unit_set(r->item, "services", services);
    }
}

/* ---- all but where it is ---- */

static void put_words(struct rule *r, const char *path)
{
    static const char *const USUAL[][3] = {{"action", "ALLOW", "action"},
                                           {"direction", "IN_OUT", "direction"}};
    for (size_t i = 0; i < 2; i++) {
        const char *text = netctl_unit_text(r->object, USUAL[i][0]);
        netctl_unit_set(r->item, USUAL[i][2], json_string(text == NULL ? USUAL[i][1] : text));
    }
    const char *family = netctl_unit_text(r->object, "ip_protocol");
    if (family != NULL && strcmp(family, "IPV4_IPV6") != 0) {
        netctl_unit_set(r->item, "family", json_integer(strcmp(family, "IPV4") == 0 ? 4 : 6));
    }
    bool stateful = !json_is_false(json_object_get(r->policy, "stateful"));
    netctl_unit_set(r->item, "stateful", json_boolean(stateful));
    if (json_is_true(json_object_get(r->object, "logged"))) {
        const char *tag = netctl_unit_text(r->object, "tag");
        netctl_unit_set(r->item, "log", netctl_unit_clean(tag == NULL ? "" : tag));
    }
    netctl_unit_set(r->item, "path", json_string(path));
    netctl_unit_set(r->item, "id", json_integer((json_int_t)strtoll(r->id, NULL, 10)));
}

/* ---- where it is ---- */

/* What it names is needed where it is. */
static void put_uses(struct rule *r, const char *slot, const char *span)
{
    const char *key;
    json_t *value;
    const char *prefix;
    json_t *one;
    json_object_foreach(r->groups, key, value)
    {
        netctl_unit_put(r->c, "", "w%s" NETCTL_SEP "%s" NETCTL_SEP "%s", key, span, r->id);
    }
    json_object_foreach(r->own, key, value)
    {
        json_object_foreach(value, prefix, one)
        {
            netctl_unit_item(r->c, slot, json_incref(one), "set/%s/%s", key, prefix);
        }
    }
    netctl_unit_span(r->c, slot, span, NULL);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* On the nodes that have ports of these groups; "a": on all that have ports. */
static void find_span(struct rule *r, const json_t *scope, char span[64])
{
    uint64_t number[SCOPES_MAX];
    char text[NETCTL_FACT_ROOM * 2] = "";
    size_t len = 0;
    size_t count = json_array_size(scope);
    (void)snprintf(span, 64, "a");
    if (is_any(scope) || count > SCOPES_MAX) {
        return;
    }
    json_t *ports = netctl_unit_list();
    for (size_t i = 0; i < count; i++) {
        number[i] = netctl_unit_number(r->c, json_string_value(json_array_get(scope, i)));
    }
    qsort(number, count, sizeof(number[0]), by_number);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && number[i] == number[i - 1]) {
            continue;
        }
        char set[32];
        (void)snprintf(set, sizeof(set), "p%" PRIu64, number[i]);
        netctl_unit_append(ports, json_string(set));
        netctl_unit_put(r->c, "", "z%" PRIu64 NETCTL_SEP "%s", number[i], r->id);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%" PRIu64, len == 0 ? "" : " ",
                                number[i]);
    }
    netctl_unit_set(r->item, "ports", ports);
    struct ts_hash h = ts_hash_bytes(text, len);
    (void)snprintf(span, 64, "k%016" PRIx64 "%016" PRIx64, h.hi, h.lo);
    netctl_unit_put(r->c, text, "j%s" NETCTL_SEP "%s", span + 1, r->id);
}

static void put_distributed(struct rule *r, const json_t *scope, uint64_t place)
{
    char span[64];
    find_span(r, scope, span);
    netctl_unit_item(r->c, "r", json_incref(r->item), "rule/%020" PRIu64, place);
    put_uses(r, "r", span);
}

/* On the edges of these routers. */
static void put_gateway(struct rule *r, const json_t *scope, uint64_t place)
{
    for (size_t i = 0; i < json_array_size(scope); i++) {
        const char *router = json_string_value(json_array_get(scope, i));
        char span[40];
        char domain[32];
        if (router[0] != '/') {
            continue;
        }
        struct ts_bytes at = netctl_unit_fact(r->c, "d%" PRIu64, netctl_unit_number(r->c, router));
        if (at.data == NULL) {
            continue;
        }
        (void)snprintf(domain, sizeof(domain), "%.*s", (int)at.len, (const char *)at.data);
        (void)snprintf(span, sizeof(span), "e%s", domain);
        json_t *item = json_copy(r->item);
        ts_must(item);
        netctl_unit_set(item, "gateway", json_string(router));
        netctl_unit_item(r->c, span, item, "gateway-rule/%s/%020" PRIu64, domain, place);
        put_uses(r, span, span);
    }
}

void netctl_make_rule(struct netctl_compiler *c, const char *id)
{
    char path[NETCTL_PATH_ROOM];
    char policy[NETCTL_PATH_ROOM];
    if (!netctl_unit_owner(c, NETCTL_N_RULE, id, path) || !netctl_resource_parent(path, policy)) {
        return;
    }
    json_t *object = netctl_unit_object(c, path);
    json_t *parent = netctl_unit_object(c, policy);
    uint64_t place = netctl_unit_second(c, path);
    if (object != NULL && parent != NULL && !json_is_true(json_object_get(object, "disabled"))) {
        struct rule r = {.c = c,
                         .id = id,
                         .object = object,
                         .policy = parent,
                         .gateway = strstr(path, "/gateway-policies/") != NULL,
                         .item = json_object(),
                         .own = json_object(),
                         .groups = json_object()};
        ts_must(r.item);
        ts_must(r.own);
        ts_must(r.groups);
        const json_t *of_policy = json_object_get(parent, "scope");
        const json_t *scope = is_any(of_policy) ? json_object_get(object, "scope") : of_policy;
        put_words(&r, path);
        put_side(&r, "source_groups", "sources_excluded", "sources", 's');
        put_side(&r, "destination_groups", "destinations_excluded", "destinations", 'd');
        put_services(&r);
        if (r.gateway && !r.never) {
            put_gateway(&r, scope, place);
        } else if (!r.never) {
            put_distributed(&r, scope, place);
        }
        json_decref(r.item);
        json_decref(r.own);
        json_decref(r.groups);
    }
    json_decref(object);
    json_decref(parent);
}
