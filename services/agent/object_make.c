/* From items to objects. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "services/agent/ruleset.h"

#define METRIC_LAST UINT32_MAX

struct agent_mac agent_segment_leg_mac(const struct agent_segment *s)
{
    return s->router != 0 ? s->mac
                          : (struct agent_mac){{0x02, 0x54, 0x4f, (uint8_t)(s->vni >> 16),
                                                (uint8_t)(s->vni >> 8), (uint8_t)s->vni}};
}

bool agent_table_dhcp(const struct netctl_tree *table, uint32_t vni, struct agent_dhcp *out)
{
    struct agent_error error;
    char key[32];
    (void)snprintf(key, sizeof(key), "dhcp/%u", vni);
    struct ts_bytes value =
        table == NULL ? (struct ts_bytes){NULL, 0} : netctl_tree_get(table, key);
    if (value.data == NULL) {
        return false;
    }
    struct agent_item *item = malloc(sizeof(*item));
    ts_must(item);
    bool good = agent_item_decode(item, key, value, &error) == TS_OK;
    *out = item->dhcp;
    free(item);
    return good;
}

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
        o.value.mac = agent_segment_leg_mac(s);
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

/* A segment without a router whose DHCP is answered here has a leg, too: with the server's address,
 * and without a way to anywhere. */
static void put_dhcp_leg(const struct maker *m, const struct agent_segment *s,
                         const struct agent_place *place)
{
    char leg[AGENT_NAME_MAX];
    char leg_port[AGENT_NAME_MAX];
    struct agent_mac mac = agent_segment_leg_mac(s);
    struct agent_dhcp dhcp;
    if (!agent_table_dhcp(place->table, s->vni, &dhcp)) {
        return;
    }
    agent_device_name(leg, 'r', s->vni);
    agent_device_name(leg_port, 'p', s->vni);
    put_link(m, AGENT_O_LEG, 'r', s, place);
    put_member(m, leg_port, s->vni, false);
    put_fdb(m, leg_port, &mac);
    put_address(m, leg, &dhcp.server);
    put_neighbour(m, s->vni, &dhcp.server, &mac);
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
        put_dhcp_leg(m, s, place);
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

static bool find_uplink(const struct agent_place *place, uint32_t router,
                        char device[AGENT_NAME_MAX])
{
    struct agent_item *item = malloc(sizeof(*item));
    ts_must(item);
    if (place->table != NULL) {
        agent_ruleset_uplink(place->table, place, router, item, device);
    }
    free(item);
    return device[0] != '\0';
}

static enum ts_err put_item_route(const struct maker *m, const struct agent_route *r,
                                  const struct agent_place *place, struct agent_error *error)
{
    char device[AGENT_NAME_MAX];
    memset(device, 0, sizeof(device));
    if (!r->uplink) {
        agent_device_name(device, 'r', r->vni);
    } else if (!find_uplink(place, r->router, device)) {
        (void)snprintf(error->text, sizeof(error->text), "its router has no uplink here");
        return TS_ERR_NOT_FOUND;
    }
    put_route(m, AGENT_TABLE_ROUTER + r->router, &r->prefix, r->drop ? NULL : device,
              r->drop ? NULL : &r->via);
    return TS_OK;
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
        return put_item_route(&m, &item->route, place, error);
    case AGENT_UPLINK:
        return put_uplink(&m, &item->uplink, place, error);
    case AGENT_NAT:
    case AGENT_SET:
    case AGENT_PORT_SET:
    case AGENT_RULE:
    case AGENT_GATEWAY_RULE:
    case AGENT_DHCP: /* its segment has what it needs */
    case AGENT_BINDING:
    case AGENT_KIND_COUNT:
        break;
    }
    return TS_OK;
}
