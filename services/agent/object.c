#include "services/agent/object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define METRIC_LAST UINT32_MAX

void agent_objects_free(struct agent_objects *o)
{
    free(o->object);
    *o = (struct agent_objects){0};
}

void agent_objects_add(struct agent_objects *o, const struct agent_object *one)
{
    if (o->count == o->room) {
        o->room = o->room == 0 ? 64 : 2 * o->room;
        o->object = realloc(o->object, o->room * sizeof(*o->object));
        ts_must(o->object);
    }
    o->object[o->count++] = *one;
}

void agent_device_name(char out[AGENT_NAME_MAX], char letter, uint32_t vni)
{
    memset(out, 0, AGENT_NAME_MAX);
    (void)snprintf(out, AGENT_NAME_MAX, "tw%c%u", letter, vni);
}

const struct agent_interface *agent_place_find(const struct agent_place *p, const char *prefix,
                                               const char *alias)
{
    size_t len = strlen(prefix);
    for (size_t i = 0; i < p->interfaces; i++) {
        const char *has = p->interface[i].alias;
        if (strncmp(has, prefix, len) == 0 && strcmp(has + len, alias) == 0) {
            return &p->interface[i];
        }
    }
    return NULL;
}

const struct agent_interface *agent_place_named(const struct agent_place *p, const char *name)
{
    for (size_t i = 0; i < p->interfaces; i++) {
        if (strcmp(p->interface[i].name, name) == 0) {
            return &p->interface[i];
        }
    }
    return NULL;
}

/* ---- from items to objects ---- */

struct maker {
    struct agent_objects *objects;
    const char *item;
};

static struct agent_object begin(const struct maker *m, enum agent_object_kind kind)
{
    struct agent_object o;
    memset(&o, 0, sizeof(o));
    o.key.kind = kind;
    o.item = m->item;
    return o;
}

static struct agent_object begin_on(const struct maker *m, enum agent_object_kind kind, char letter,
                                    uint32_t vni)
{
    struct agent_object o = begin(m, kind);
    agent_device_name(o.key.device, letter, vni);
    return o;
}

/* A bridge's MAC is given: else it is that of one of its ports, and each time that another port
 * gets to be that one, the kernel forgets all of the bridge's neighbours. */
static struct agent_mac bridge_mac(uint32_t vni)
{
    return (struct agent_mac){
        {0x02, 0x54, 0x4e, (uint8_t)(vni >> 16), (uint8_t)(vni >> 8), (uint8_t)vni}};
}

static void put_link(const struct maker *m, enum agent_object_kind kind, char letter,
                     const struct agent_segment *s, const struct agent_place *place)
{
    struct agent_object o = begin_on(m, kind, letter, s->vni);
    o.value.vni = s->vni;
    o.value.mtu = s->mtu;
    if (kind == AGENT_O_VXLAN) {
        o.value.port = place->vxlan_port;
        o.value.address = place->vtep;
    } else if (kind == AGENT_O_LEG) {
        o.value.mac = s->mac;
    } else {
        o.value.mac = bridge_mac(s->vni);
    }
    agent_objects_add(m->objects, &o);
}

static void put_member(const struct maker *m, const char device[AGENT_NAME_MAX], uint32_t vni,
                       bool tunnel)
{
    struct agent_object o = begin(m, AGENT_O_MEMBER);
    memcpy(o.key.device, device, AGENT_NAME_MAX);
    o.value.vni = vni;
    o.value.suppress = tunnel;
    agent_objects_add(m->objects, &o);
}

static void put_fdb(const struct maker *m, const char device[AGENT_NAME_MAX],
                    const struct agent_mac *mac)
{
    struct agent_object o = begin(m, AGENT_O_FDB);
    memcpy(o.key.device, device, AGENT_NAME_MAX);
    o.key.mac = *mac;
    agent_objects_add(m->objects, &o);
}

/* With it the bridge answers ARP and ND itself, or knows that no tunnel needs to hear them. */
static void put_neighbour(const struct maker *m, uint32_t vni, const struct agent_address *ip,
                          const struct agent_mac *mac)
{
    struct agent_object o = begin_on(m, AGENT_O_NEIGHBOUR, 'b', vni);
    o.key.address = *ip;
    o.key.address.bits = (uint8_t)agent_address_bits(ip);
    o.value.mac = *mac;
    agent_objects_add(m->objects, &o);
}

static void put_address(const struct maker *m, const char device[AGENT_NAME_MAX],
                        const struct agent_address *a)
{
    struct agent_object o = begin(m, AGENT_O_ADDRESS);
    memcpy(o.key.device, device, AGENT_NAME_MAX);
    o.key.address = *a;
    agent_objects_add(m->objects, &o);
}

static void put_route(const struct maker *m, uint32_t table, const struct agent_address *prefix,
                      const char *device, const struct agent_address *via)
{
    struct agent_object o = begin(m, AGENT_O_ROUTE);
    o.key.table = table;
    o.key.address = *prefix;
    if (device == NULL) {
        o.value.drop = 1;
    } else {
        memcpy(o.value.device, device, AGENT_NAME_MAX);
    }
    if (via != NULL) {
        o.value.address = *via;
    }
    agent_objects_add(m->objects, &o);
}

/* What no route of the table takes goes nowhere: the host's own routes are not for workloads. */
static void put_last_route(const struct maker *m, uint32_t table, uint8_t family)
{
    struct agent_object o = begin(m, AGENT_O_ROUTE);
    o.key.table = table;
    o.key.address.family = family;
    o.key.mark = METRIC_LAST;
    o.value.drop = 1;
    agent_objects_add(m->objects, &o);
}

static void put_rule(const struct maker *m, uint32_t table, const char *device, uint32_t mark,
                     const struct agent_address *address)
{
    struct agent_object o = begin(m, AGENT_O_RULE);
    o.key.table = table;
    o.key.mark = mark;
    o.key.address = *address;
    if (device != NULL) {
        memcpy(o.key.device, device, AGENT_NAME_MAX);
    }
    agent_objects_add(m->objects, &o);
}

/* Both families' rules for what comes in by the device. */
static void put_iif_rules(const struct maker *m, uint32_t table, const char device[AGENT_NAME_MAX])
{
    put_rule(m, table, device, 0, &(struct agent_address){.family = 4});
    put_rule(m, table, device, 0, &(struct agent_address){.family = 6});
}

/* An own address of a router: what the node itself says from there goes by the router's routes. */
static void put_own_address(const struct maker *m, uint32_t router,
                            const char device[AGENT_NAME_MAX], const struct agent_address *a)
{
    uint32_t table = AGENT_TABLE_ROUTER + router;
    struct agent_address network = agent_address_network(a);
    struct agent_address alone = *a;
    alone.bits = (uint8_t)agent_address_bits(a);
    put_address(m, device, a);
    put_route(m, table, &network, device, NULL);
    put_rule(m, table, NULL, 0, &alone);
}

static void put_segment(const struct maker *m, const struct agent_segment *s,
                        const struct agent_place *place)
{
    char leg[AGENT_NAME_MAX];
    char leg_port[AGENT_NAME_MAX];
    char bridge[AGENT_NAME_MAX];
    char tunnel[AGENT_NAME_MAX];
    bool six = false;
    agent_device_name(leg, 'r', s->vni);
    agent_device_name(leg_port, 'p', s->vni);
    agent_device_name(bridge, 'b', s->vni);
    agent_device_name(tunnel, 'x', s->vni);
    put_link(m, AGENT_O_BRIDGE, 'b', s, place);
    put_link(m, AGENT_O_VXLAN, 'x', s, place);
    put_member(m, tunnel, s->vni, true);
    if (s->router == 0) {
        uint32_t table = AGENT_TABLE_SEGMENT + s->vni;
        put_route(m, table, &(struct agent_address){.family = 4}, bridge, NULL);
        put_rule(m, table, NULL, table, &(struct agent_address){.family = 4});
        put_route(m, table, &(struct agent_address){.family = 6}, bridge, NULL);
        put_rule(m, table, NULL, table, &(struct agent_address){.family = 6});
        return;
    }
    put_link(m, AGENT_O_LEG, 'r', s, place);
    put_member(m, leg_port, s->vni, false);
    put_fdb(m, leg_port, &s->mac);
    put_iif_rules(m, AGENT_TABLE_ROUTER + s->router, leg);
    for (size_t i = 0; i < s->gateways; i++) {
        put_own_address(m, s->router, leg, &s->gateway[i]);
        put_neighbour(m, s->vni, &s->gateway[i], &s->mac);
        six = six || s->gateway[i].family == 6;
    }
    if (six) { /* Linux asks for neighbours from a link-local address only */
        struct agent_address own = agent_mac_link_local(&s->mac);
        put_neighbour(m, s->vni, &own, &s->mac);
        own.bits = 64;
        put_address(m, leg, &own);
    }
}

static void put_remote(const struct maker *m, const struct agent_remote *r)
{
    struct agent_object tunnel = begin_on(m, AGENT_O_TUNNEL, 'x', r->vni);
    tunnel.key.mac = r->mac;
    tunnel.value.address = r->vtep;
    agent_objects_add(m->objects, &tunnel);
    put_fdb(m, tunnel.key.device, &r->mac);
    for (size_t i = 0; i < r->ips; i++) {
        put_neighbour(m, r->vni, &r->ip[i], &r->mac);
    }
}

static enum ts_err put_port(const struct maker *m, const struct agent_port *p,
                            const struct agent_place *place, struct agent_error *error)
{
    const struct agent_interface *i = agent_place_find(place, AGENT_ALIAS_VIF, p->vif);
    if (i == NULL) {
        (void)snprintf(error->text, sizeof(error->text),
                       "no interface here has the alias " AGENT_ALIAS_VIF "%s", p->vif);
        return TS_ERR_NOT_FOUND;
    }
    put_member(m, i->name, p->vni, false);
    put_fdb(m, i->name, &p->mac);
    for (size_t n = 0; n < p->ips; n++) {
        put_neighbour(m, p->vni, &p->ip[n], &p->mac);
    }
    return TS_OK;
}

static enum ts_err put_uplink(const struct maker *m, const struct agent_uplink *u,
                              const struct agent_place *place, struct agent_error *error)
{
    const struct agent_interface *i = agent_place_find(place, "", u->interface);
    if (i == NULL || u->interface[0] == '\0') {
        (void)snprintf(error->text, sizeof(error->text), "no interface here has the alias %s",
                       u->interface);
        return TS_ERR_NOT_FOUND;
    }
    put_iif_rules(m, AGENT_TABLE_ROUTER + u->router, i->name);
    for (size_t n = 0; n < u->addresses; n++) {
        put_own_address(m, u->router, i->name, &u->address[n]);
    }
    return TS_OK;
}

static void put_router(const struct maker *m, uint32_t router)
{
    uint32_t table = AGENT_TABLE_ROUTER + router;
    for (uint8_t family = 4; family <= 6; family += 2) {
        put_last_route(m, table, family);
        put_rule(m, table, NULL, table, &(struct agent_address){.family = family});
    }
}

static void put_item_route(const struct maker *m, const struct agent_route *r)
{
    char device[AGENT_NAME_MAX];
    agent_device_name(device, 'r', r->vni);
    put_route(m, AGENT_TABLE_ROUTER + r->router, &r->prefix, r->drop ? NULL : device,
              r->drop ? NULL : &r->via);
}

enum ts_err agent_objects_of_item(struct agent_objects *o, const struct agent_item *item,
                                  const char *key, const struct agent_place *place,
                                  struct agent_error *error)
{
    const struct maker m = {o, key};
    struct agent_object flood = begin_on(&m, AGENT_O_FLOOD, 'x', item->flood.vni);
    switch (item->kind) {
    case AGENT_SEGMENT:
        put_segment(&m, &item->segment, place);
        return TS_OK;
    case AGENT_FLOOD:
        flood.key.address = item->flood.vtep;
        agent_objects_add(o, &flood);
        return TS_OK;
    case AGENT_PORT:
        return put_port(&m, &item->port, place, error);
    case AGENT_REMOTE:
        put_remote(&m, &item->remote);
        return TS_OK;
    case AGENT_ROUTER:
        put_router(&m, item->router);
        return TS_OK;
    case AGENT_ROUTE:
        put_item_route(&m, &item->route);
        return TS_OK;
    case AGENT_UPLINK:
        return put_uplink(&m, &item->uplink, place, error);
    case AGENT_NAT:
    case AGENT_SET:
    case AGENT_PORT_SET:
    case AGENT_RULE:
    case AGENT_GATEWAY_RULE:
    case AGENT_DHCP:
    case AGENT_KIND_COUNT:
        break;
    }
    return TS_OK;
}

/* ---- differences ---- */

static int by_key(const void *a, const void *b)
{
    const struct agent_object *x = a;
    const struct agent_object *y = b;
    if (x->key.kind != y->key.kind) {
        return x->key.kind < y->key.kind ? -1 : 1;
    }
    int order = memcmp(&x->key, &y->key, sizeof(x->key));
    /* One that is wanted twice goes to the item whose key is first, in every run. */
    bool same = order != 0 || x->item == NULL || y->item == NULL;
    return same ? order : strcmp(x->item, y->item);
}

static bool same_key(const struct agent_object *a, const struct agent_object *b)
{
    return memcmp(&a->key, &b->key, sizeof(a->key)) == 0;
}

static bool same_value(const struct agent_object *a, const struct agent_object *b)
{
    return memcmp(&a->value, &b->value, sizeof(a->value)) == 0;
}

void agent_objects_sort(struct agent_objects *o, agent_told *told, void *arg)
{
    size_t kept = 0;
    if (o->count == 0) {
        return;
    }
    qsort(o->object, o->count, sizeof(*o->object), by_key);
    for (size_t i = 1; i < o->count; i++) {
        const struct agent_object *last = &o->object[kept];
        const struct agent_object *one = &o->object[i];
        if (!same_key(last, one)) {
            o->object[++kept] = *one;
        } else if (told != NULL && one->item != NULL && !same_value(last, one)) {
            char text[AGENT_OBJECT_TEXT];
            struct agent_error error;
            (void)snprintf(error.text, sizeof(error.text), "%.200s is what %.120s wants, too",
                           agent_object_text(one, text), last->item);
            told(arg, one->item, error.text);
        }
    }
    o->count = kept + 1;
}

static int key_order(const struct agent_objects *a, size_t i, const struct agent_objects *b,
                     size_t j)
{
    if (i == a->count || j == b->count) {
        return i == a->count ? 1 : -1;
    }
    const struct agent_object *x = &a->object[i];
    const struct agent_object *y = &b->object[j];
    if (x->key.kind != y->key.kind) {
        return x->key.kind < y->key.kind ? -1 : 1;
    }
    return memcmp(&x->key, &y->key, sizeof(x->key));
}

struct agent_op *agent_objects_plan(const struct agent_objects *was, const struct agent_objects *is,
                                    size_t *count)
{
    size_t made = 0;
    size_t gone = 0;
    size_t all = was->count + is->count;
    struct agent_op *ops = calloc(all + 1, sizeof(*ops));
    ts_must(ops);
    for (size_t i = 0, j = 0; i < was->count || j < is->count;) {
        int order = key_order(was, i, is, j);
        const struct agent_object *a = order <= 0 ? &was->object[i] : NULL;
        const struct agent_object *b = order >= 0 ? &is->object[j] : NULL;
        i += order <= 0;
        j += order >= 0;
        if (a == NULL) {
            ops[made++] = (struct agent_op){AGENT_ADD, NULL, b};
        } else if (b == NULL) {
            ops[all - 1 - gone++] = (struct agent_op){AGENT_REMOVE, a, NULL};
        } else if (!same_value(a, b)) {
            ops[made++] = (struct agent_op){AGENT_CHANGE, a, b};
        }
    }
    /* What goes stands at the end in the opposite order already. */
    memmove(ops + made, ops + all - gone, gone * sizeof(*ops));
    *count = made + gone;
    return ops;
}

/* ---- for people ---- */

static const char *const KINDS[] = {
#define KIND_TEXT(name, text) text,
    AGENT_OBJECT_LIST(KIND_TEXT)
#undef KIND_TEXT
};

static void say(char text[AGENT_OBJECT_TEXT], const char *word, const char *value)
{
    size_t len = strlen(text);
    (void)snprintf(text + len, AGENT_OBJECT_TEXT - len, " %s %s", word, value);
}

static void say_number(char text[AGENT_OBJECT_TEXT], const char *word, uint32_t n)
{
    char value[16];
    (void)snprintf(value, sizeof(value), "%u", n);
    if (n != 0) {
        say(text, word, value);
    }
}

static void say_address(char text[AGENT_OBJECT_TEXT], const char *word,
                        const struct agent_address *a)
{
    char value[AGENT_ADDRESS_TEXT];
    if (a->family != 0) {
        say(text, word, agent_address_text(a, true, value));
    }
}

static void say_mac(char text[AGENT_OBJECT_TEXT], const struct agent_mac *m)
{
    static const struct agent_mac none;
    char value[AGENT_MAC_TEXT];
    if (memcmp(m, &none, sizeof(none)) != 0) {
        say(text, "mac", agent_mac_text(m, value));
    }
}

const char *agent_object_text(const struct agent_object *o, char text[AGENT_OBJECT_TEXT])
{
    const struct agent_object_key *k = &o->key;
    const struct agent_object_value *v = &o->value;
    (void)snprintf(text, AGENT_OBJECT_TEXT, "%s", KINDS[k->kind]);
    if (k->device[0] != '\0') {
        say(text, k->kind == AGENT_O_RULE ? "iif" : "dev", k->device);
    }
    say_address(text, k->kind == AGENT_O_RULE ? "from" : "to", &k->address);
    say_mac(text, &k->mac);
    say_number(text, k->kind == AGENT_O_ROUTE ? "metric" : "mark", k->mark);
    say_number(text, "table", k->table);
    say_number(text, k->kind == AGENT_O_MEMBER ? "of segment" : "vni", v->vni);
    say_number(text, "mtu", v->mtu);
    say_address(text, k->kind == AGENT_O_VXLAN ? "local" : "via", &v->address);
    say_mac(text, &v->mac);
    if (v->device[0] != '\0') {
        say(text, "dev", v->device);
    }
    return text;
}
