#include "services/agent/item.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/agent/fields.h"

/* An item's value: the largest one is a rule with all its sets and services. */
#define VALUE_MAX 65536U
#define PARTS_MAX 4

/* A key, taken apart at its slashes; the last part may have slashes of its own (a prefix). */
struct parts {
    size_t count;
    char text[PARTS_MAX][AGENT_ADDRESS_TEXT + AGENT_SET_NAME_MAX];
};

static const char *const KINDS[] = {
#define KIND_TEXT(name, text) text,
    AGENT_KIND_LIST(KIND_TEXT)
#undef KIND_TEXT
};

enum agent_kind agent_kind_of(const char *key)
{
    unsigned kind = 0;
    for (; kind < AGENT_KIND_COUNT; kind++) {
        size_t len = strlen(KINDS[kind]);
        if (strncmp(key, KINDS[kind], len) == 0 && key[len] == '/') {
            break;
        }
    }
    if (kind == AGENT_DHCP && strchr(key + strlen("dhcp/"), '/') != NULL) {
        return AGENT_BINDING;
    }
    return (enum agent_kind)kind;
}

static enum ts_err bad_key(const char *key, const char *want, struct agent_error *error)
{
    (void)snprintf(error->text, sizeof(error->text), "%.120s: the key's form is %s", key, want);
    return TS_ERR_MALFORMED;
}

/* The parts behind the first word, `count` of them; false: there are fewer, or one is too long. */
static bool take_apart(struct parts *p, const char *key, size_t count)
{
    const char *at = strchr(key, '/');
    p->count = 0;
    while (at != NULL && p->count < count) {
        at++;
        const char *end = p->count + 1 < count ? strchr(at, '/') : at + strlen(at);
        if (end == NULL || end == at || (size_t)(end - at) >= sizeof(p->text[0])) {
            return false;
        }
        memcpy(p->text[p->count], at, (size_t)(end - at));
        p->text[p->count][end - at] = '\0';
        p->count++;
        at = *end == '\0' ? NULL : end;
    }
    return p->count == count;
}

/* Decimal, without leading zeros, 1 to `most`; 0: it is none. */
static uint32_t number_of(const char *text, uint32_t most)
{
    uint64_t n = 0;
    if (text[0] < '1' || text[0] > '9' || strlen(text) > 10) {
        return 0;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            return 0;
        }
        n = n * 10 + (unsigned)(*text - '0');
    }
    return n <= most ? (uint32_t)n : 0;
}

static bool is_order(const char *text)
{
    return strlen(text) == AGENT_ORDER_DIGITS && strspn(text, "0123456789") == AGENT_ORDER_DIGITS;
}

bool agent_is_set_name(const char *text)
{
    size_t len = strlen(text);
    bool begins = (text[0] >= '0' && text[0] <= '9') || (text[0] >= 'a' && text[0] <= 'z') ||
                  (text[0] >= 'A' && text[0] <= 'Z');
    return begins && len <= AGENT_SET_NAME_MAX &&
           strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-") == len;
}

/* A part of an interface's alias: what others could not mistake for ours. */
static void take_alias(struct agent_fields *f, const char *name, char *out)
{
    const char *text = agent_fields_text(f, name, AGENT_ALIAS_MAX, true);
    if (f->err == TS_OK && text[0] == '\0') {
        agent_fields_fail(f, name, "a text that is not empty");
    }
    (void)snprintf(out, AGENT_ALIAS_MAX + 1, "%s", text);
}

/* ---- one kind each ---- */

static enum ts_err decode_segment(struct agent_segment *s, struct agent_fields *f)
{
    (void)agent_fields_text(f, "name", AGENT_TEXT_MAX, false);
    s->mtu = (uint32_t)agent_fields_number(f, "mtu", AGENT_MTU_MIN, AGENT_MTU_MAX, true, 0);
    s->router = (uint32_t)agent_fields_number(f, "router", 1, AGENT_ROUTER_MAX, false, 0);
    bool routed = s->router != 0;
    s->gateways = agent_fields_addresses(f, "gateway", AGENT_ADDRESS_IN_NETWORK, AGENT_GATEWAYS_MAX,
                                         s->gateway, routed);
    if (routed || json_object_get(f->object, "mac") != NULL) {
        agent_fields_mac(f, "mac", &s->mac);
    }
    if (!routed && s->gateways > 0) {
        agent_fields_fail(f, "router", "a number, where a gateway is");
    }
    return agent_fields_end(f);
}

static enum ts_err decode_port(struct agent_port *p, struct agent_fields *f)
{
    p->vni = (uint32_t)agent_fields_number(f, "segment", 1, AGENT_VNI_MAX, true, 0);
    take_alias(f, "vif", p->vif);
    agent_fields_mac(f, "mac", &p->mac);
    p->ips = agent_fields_addresses(f, "ips", AGENT_ADDRESS_ALONE, AGENT_IPS_MAX, p->ip, true);
    p->guard = agent_fields_bool(f, "guard", false);
    (void)agent_fields_text(f, "path", AGENT_TEXT_MAX, false);
    return agent_fields_end(f);
}

static enum ts_err decode_remote(struct agent_remote *r, struct agent_fields *f)
{
    r->vtep = agent_fields_address(f, "vtep", AGENT_ADDRESS_ALONE, true);
    if (f->err == TS_OK && !agent_address_is_host(&r->vtep)) {
        agent_fields_fail(f, "vtep", "an address that a host can have");
    }
    r->ips = agent_fields_addresses(f, "ips", AGENT_ADDRESS_ALONE, AGENT_IPS_MAX, r->ip, false);
    return agent_fields_end(f);
}

static enum ts_err decode_route(struct agent_route *r, struct agent_fields *f)
{
    r->drop = agent_fields_bool(f, "drop", false);
    r->via = agent_fields_address(f, "via", AGENT_ADDRESS_ALONE, !r->drop);
    r->uplink = agent_fields_bool(f, "uplink", false);
    bool by_segment = !r->drop && !r->uplink;
    r->vni = (uint32_t)agent_fields_number(f, "segment", 1, AGENT_VNI_MAX, by_segment, 0);
    if (r->uplink && (r->drop || r->vni != 0)) {
        agent_fields_fail(f, "uplink", "one of uplink, segment and drop");
    } else if (r->drop && (r->via.family != 0 || r->vni != 0)) {
        agent_fields_fail(f, "drop", "either drop, or via and segment");
    } else if (!r->drop && f->err == TS_OK &&
               (r->via.family != r->prefix.family || !agent_address_is_host(&r->via))) {
        agent_fields_fail(f, "via", "a host's address of the prefix's family");
    }
    return agent_fields_end(f);
}

static enum ts_err decode_uplink(struct agent_uplink *u, struct agent_fields *f)
{
    take_alias(f, "interface", u->interface);
    u->addresses = agent_fields_addresses(f, "addresses", AGENT_ADDRESS_IN_NETWORK,
                                          AGENT_GATEWAYS_MAX, u->address, true);
    return agent_fields_end(f);
}

static enum ts_err decode_router(struct agent_fields *f)
{
    (void)agent_fields_text(f, "path", AGENT_TEXT_MAX, false);
    return agent_fields_end(f);
}

/* ---- keys ---- */

struct target {
    struct agent_item *item;
    const struct parts *parts;
};

static bool key_flood(const struct target *t)
{
    struct agent_flood *o = &t->item->flood;
    o->vni = number_of(t->parts->text[0], AGENT_VNI_MAX);
    return o->vni != 0 &&
           agent_address_parse(&o->vtep, t->parts->text[1], AGENT_ADDRESS_ALONE) == TS_OK &&
           agent_address_is_host(&o->vtep);
}

static bool key_remote(const struct target *t)
{
    struct agent_remote *o = &t->item->remote;
    o->vni = number_of(t->parts->text[0], AGENT_VNI_MAX);
    return o->vni != 0 && agent_mac_parse(&o->mac, t->parts->text[1]) == TS_OK;
}

static bool key_route(const struct target *t)
{
    struct agent_route *o = &t->item->route;
    o->router = number_of(t->parts->text[0], AGENT_ROUTER_MAX);
    return o->router != 0 &&
           agent_address_parse(&o->prefix, t->parts->text[1], AGENT_ADDRESS_PREFIX) == TS_OK;
}

static bool key_nat(const struct target *t)
{
    struct agent_nat *o = &t->item->nat;
    o->router = number_of(t->parts->text[0], AGENT_ROUTER_MAX);
    (void)snprintf(o->order, sizeof(o->order), "%.20s", t->parts->text[1]);
    return o->router != 0 && is_order(t->parts->text[1]);
}

static bool key_set(const struct target *t)
{
    struct agent_set_member *o = &t->item->member;
    (void)snprintf(o->set, sizeof(o->set), "%.64s", t->parts->text[0]);
    return agent_is_set_name(t->parts->text[0]) &&
           agent_address_parse(&o->prefix, t->parts->text[1], AGENT_ADDRESS_PREFIX) == TS_OK;
}

static bool key_ports(const struct target *t)
{
    struct agent_port_member *o = &t->item->port_member;
    (void)snprintf(o->set, sizeof(o->set), "%.64s", t->parts->text[0]);
    o->number = number_of(t->parts->text[1], AGENT_PORT_NUMBER_MAX);
    return agent_is_set_name(t->parts->text[0]) && o->number != 0;
}

static bool key_rule(const struct target *t)
{
    (void)snprintf(t->item->rule.order, sizeof(t->item->rule.order), "%.20s", t->parts->text[0]);
    return is_order(t->parts->text[0]);
}

static bool key_gateway_rule(const struct target *t)
{
    struct agent_rule *o = &t->item->rule;
    o->router = number_of(t->parts->text[0], AGENT_ROUTER_MAX);
    (void)snprintf(o->order, sizeof(o->order), "%.20s", t->parts->text[1]);
    return o->router != 0 && is_order(t->parts->text[1]);
}

static bool key_segment(const struct target *t)
{
    return (t->item->segment.vni = number_of(t->parts->text[0], AGENT_VNI_MAX)) != 0;
}

static bool key_port(const struct target *t)
{
    return (t->item->port.number = number_of(t->parts->text[0], AGENT_PORT_NUMBER_MAX)) != 0;
}

static bool key_router(const struct target *t)
{
    return (t->item->router = number_of(t->parts->text[0], AGENT_ROUTER_MAX)) != 0;
}

static bool key_uplink(const struct target *t)
{
    return (t->item->uplink.router = number_of(t->parts->text[0], AGENT_ROUTER_MAX)) != 0;
}

static bool key_dhcp(const struct target *t)
{
    return (t->item->dhcp.vni = number_of(t->parts->text[0], AGENT_VNI_MAX)) != 0;
}

static bool key_binding(const struct target *t)
{
    struct agent_binding *o = &t->item->binding;
    o->vni = number_of(t->parts->text[0], AGENT_VNI_MAX);
    return o->vni != 0 && agent_mac_parse(&o->mac, t->parts->text[1]) == TS_OK;
}

struct form {
    size_t parts;
    const char *text;
    bool (*decode)(const struct target *t);
    bool is_true; /* its value is `true` */
};

static const struct form FORMS[AGENT_KIND_COUNT] = {
    [AGENT_SEGMENT] = {1, "segment/VNI", key_segment, false},
    [AGENT_FLOOD] = {2, "flood/VNI/ADDRESS", key_flood, true},
    [AGENT_PORT] = {1, "port/NUMBER", key_port, false},
    [AGENT_REMOTE] = {2, "remote/VNI/MAC", key_remote, false},
    [AGENT_ROUTER] = {1, "router/NUMBER", key_router, false},
    [AGENT_ROUTE] = {2, "route/ROUTER/PREFIX", key_route, false},
    [AGENT_NAT] = {2, "nat/ROUTER/ORDER, the order of 20 digits", key_nat, false},
    [AGENT_UPLINK] = {1, "uplink/ROUTER", key_uplink, false},
    [AGENT_DHCP] = {1, "dhcp/VNI", key_dhcp, false},
    [AGENT_BINDING] = {2, "dhcp/VNI/MAC", key_binding, false},
    [AGENT_SET] = {2, "set/NAME/PREFIX", key_set, true},
    [AGENT_PORT_SET] = {2, "ports/NAME/NUMBER", key_ports, true},
    [AGENT_RULE] = {1, "rule/ORDER, of 20 digits", key_rule, false},
    [AGENT_GATEWAY_RULE] = {2, "gateway-rule/ROUTER/ORDER, the order of 20 digits",
                            key_gateway_rule, false},
};

static enum ts_err decode_value(struct agent_item *item, struct agent_fields *f)
{
    switch (item->kind) {
    case AGENT_SEGMENT:
        return decode_segment(&item->segment, f);
    case AGENT_PORT:
        return decode_port(&item->port, f);
    case AGENT_REMOTE:
        return decode_remote(&item->remote, f);
    case AGENT_ROUTER:
        return decode_router(f);
    case AGENT_ROUTE:
        return decode_route(&item->route, f);
    case AGENT_UPLINK:
        return decode_uplink(&item->uplink, f);
    case AGENT_RULE:
        return agent_rule_decode(&item->rule, f);
    case AGENT_NAT:
        return agent_nat_decode(&item->nat, f);
    case AGENT_GATEWAY_RULE:
        (void)agent_fields_text(f, "gateway", AGENT_TEXT_MAX, true);
        if (json_object_get(f->object, "ports") != NULL) {
            agent_fields_fail(f, "ports", "none: a gateway's rule is of its uplink");
        }
        return agent_rule_decode(&item->rule, f);
    case AGENT_DHCP:
        return agent_dhcp_decode(&item->dhcp, f);
    case AGENT_BINDING:
        return agent_binding_decode(&item->binding, f);
    case AGENT_FLOOD:
    case AGENT_SET:
    case AGENT_PORT_SET:
    case AGENT_KIND_COUNT:
        break;
    }
    return TS_OK;
}

enum ts_err agent_item_decode(struct agent_item *item, const char *key, struct ts_bytes value,
                              struct agent_error *error)
{
    struct parts parts;
    json_error_t bad;
    memset(item, 0, sizeof(*item));
    item->kind = agent_kind_of(key);
    if (item->kind == AGENT_KIND_COUNT) {
        (void)snprintf(error->text, sizeof(error->text),
                       "%.120s: this agent does not know such items", key);
        return TS_ERR_VERSION;
    }
    const struct form *form = &FORMS[item->kind];
    const struct target target = {item, &parts};
    if (!take_apart(&parts, key, form->parts) || !form->decode(&target)) {
        return bad_key(key, form->text, error);
    }
    json_t *json = value.data == NULL || value.len > VALUE_MAX
                       ? NULL
                       : json_loadb((const char *)value.data, value.len,
                                    JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &bad);
    if (json == NULL || (form->is_true ? !json_is_true(json) : !json_is_object(json))) {
        (void)snprintf(error->text, sizeof(error->text), "%.120s: the value is not %s", key,
                       form->is_true ? "`true`" : "a JSON object");
        json_decref(json);
        return TS_ERR_MALFORMED;
    }
    struct agent_fields fields = agent_fields_of(key, "", json, error);
    enum ts_err err = decode_value(item, &fields);
    json_decref(json);
    return err;
}
