#include "services/agent/dhcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "services/agent/text.h"

/* What may be answered at once, beside the bindings: one that moves has two for a moment. */
#define LEASES_MORE 16

struct maker {
    const struct netctl_tree *table;
    const struct agent_place *place;
    struct netctl_tree *configs;
    agent_told *told;
    void *arg;
    struct agent_item *item;
    struct agent_text text;
    struct agent_dhcp dhcp;
    uint32_t mtu;
    bool routed;
    size_t networks; /* addresses of the server, each in a network that it serves */
    struct agent_address network[AGENT_GATEWAYS_MAX];
};

/* The segment, and from which addresses it is served; NULL: all is well. */
static const char *find_segment(struct maker *m)
{
    struct agent_error error;
    char key[32];
    (void)snprintf(key, sizeof(key), "segment/%u", m->dhcp.vni);
    struct ts_bytes value = netctl_tree_get(m->table, key);
    if (value.data == NULL || agent_item_decode(m->item, key, value, &error) != TS_OK) {
        return "its segment is not here";
    }
    const struct agent_segment *s = &m->item->segment;
    m->mtu = s->mtu;
    m->routed = s->router != 0;
    m->networks = 0;
    if (!m->routed) {
        m->network[m->networks++] = m->dhcp.server;
    }
    for (size_t i = 0; i < s->gateways; i++) {
        if (s->gateway[i].family == 4) {
            m->network[m->networks++] = s->gateway[i];
        }
    }
    return m->networks == 0 ? "its segment has no IPv4 gateway" : NULL;
}

static void put_addresses(struct maker *m, const char *option, const struct agent_address *list,
                          size_t count)
{
    agent_text_put(&m->text, "dhcp-option=option:%s", option);
    for (size_t i = 0; i < count; i++) {
        char text[AGENT_ADDRESS_TEXT];
        agent_text_put(&m->text, ",%s", agent_address_text(&list[i], false, text));
    }
    agent_text_put(&m->text, "\n");
}

static void put_networks(struct maker *m)
{
    for (size_t i = 0; i < m->networks; i++) {
        struct agent_address net = agent_address_network(&m->network[i]);
        struct agent_address mask = {.family = 4, .bits = net.bits};
        char text[AGENT_ADDRESS_TEXT];
        memset(mask.bytes, 0xff, 4);
        mask = agent_address_network(&mask);
        agent_text_put(&m->text, "dhcp-range=%s,static,", agent_address_text(&net, false, text));
        agent_text_put(&m->text, "%s,%u\n", agent_address_text(&mask, false, text), m->dhcp.lease);
    }
}

static void put_head(struct maker *m, const struct agent_interface *leg)
{
    agent_text_put(&m->text,
                   "# Segment %u, interface %u.\n"
                   "port=0\nno-hosts\nno-resolv\nbind-interfaces\nexcept-interface=lo\n"
                   "interface=%s\ndhcp-authoritative\nleasefile-ro\nno-ping\nquiet-dhcp\n"
                   "dhcp-ignore=tag:!known\n",
                   m->dhcp.vni, leg->index, leg->name);
    put_networks(m);
    put_addresses(m, "router", m->dhcp.router, m->dhcp.routers);
    if (m->dhcp.dns_servers > 0) {
        put_addresses(m, "dns-server", m->dhcp.dns, m->dhcp.dns_servers);
    }
    if (m->dhcp.domain[0] != '\0') {
        agent_text_put(&m->text, "dhcp-option=option:domain-name,%s\n", m->dhcp.domain);
    }
    agent_text_put(&m->text, "dhcp-option=option:mtu,%u\n", m->mtu);
}

/* The network that has an address in it, which is not the server's own. */
static bool serves(const struct maker *m, const struct agent_address *ip)
{
    bool in = false;
    for (size_t i = 0; i < m->networks; i++) {
        struct agent_address net = agent_address_network(&m->network[i]);
        if (memcmp(m->network[i].bytes, ip->bytes, sizeof(ip->bytes)) == 0) {
            return false;
        }
        in = in || agent_address_covers(&net, ip);
    }
    return in;
}

static void put_bindings(struct maker *m)
{
    char prefix[32];
    struct agent_error error;
    struct netctl_item i = {NULL, {NULL, 0}};
    struct netctl_tree taken = netctl_tree_make(0);
    size_t count = 0;
    (void)snprintf(prefix, sizeof(prefix), "dhcp/%u/", m->dhcp.vni);
    while (netctl_tree_next(m->table, prefix, &i)) {
        if (agent_item_decode(m->item, i.key, i.value, &error) != TS_OK) {
            continue; /* told by who decodes all items */
        }
        const struct agent_binding *b = &m->item->binding;
        char ip[AGENT_ADDRESS_TEXT];
        char mac[AGENT_MAC_TEXT];
        (void)agent_address_text(&b->ip, false, ip);
        if (!serves(m, &b->ip)) {
            m->told(m->arg, i.key, "the address is in no network that the segment's server is in");
        } else if (netctl_tree_get(&taken, ip).data != NULL) {
            m->told(m->arg, i.key, "the address is another port's");
        } else {
            netctl_tree_put(&taken, ip, (struct ts_bytes){(const uint8_t *)ip, 0});
            agent_text_put(&m->text, "dhcp-host=%s,%s%s%s\n", agent_mac_text(&b->mac, mac), ip,
                           b->host[0] == '\0' ? "" : ",", b->host);
            count++;
        }
    }
    agent_text_put(&m->text, "dhcp-lease-max=%zu\n", count + LEASES_MORE);
    netctl_tree_free(&taken);
}

static void make_segment(struct maker *m, const char *key)
{
    char leg[AGENT_NAME_MAX];
    char vni[16];
    const char *wrong = find_segment(m);
    agent_device_name(leg, 'r', m->dhcp.vni);
    const struct agent_interface *i = agent_place_named(m->place, leg);
    if (wrong != NULL || i == NULL) {
        m->told(m->arg, key, wrong != NULL ? wrong : "its segment's leg is not there");
        return;
    }
    put_head(m, i);
    put_bindings(m);
    (void)snprintf(vni, sizeof(vni), "%u", m->dhcp.vni);
    netctl_tree_put(m->configs, vni, agent_text_bytes(&m->text));
    agent_text_clear(&m->text);
}

/* A binding of a segment that has no DHCP. */
static void tell_lost(struct maker *m, const char *key, uint32_t vni)
{
    struct agent_dhcp dhcp;
    if (!agent_table_dhcp(m->table, vni, &dhcp)) {
        m->told(m->arg, key, "its segment's DHCP is not here");
    }
}

void agent_dhcp_configs(const struct netctl_tree *table, const struct agent_place *place,
                        struct netctl_tree *configs, agent_told *told, void *arg)
{
    struct maker m = {.table = table, .place = place, .configs = configs, .told = told, .arg = arg};
    struct netctl_item i = {NULL, {NULL, 0}};
    m.item = malloc(sizeof(*m.item));
    ts_must(m.item);
    while (netctl_tree_next(table, "dhcp/", &i)) {
        struct agent_error error;
        if (agent_item_decode(m.item, i.key, i.value, &error) != TS_OK) {
            continue; /* told by who decodes all items */
        }
        if (m.item->kind == AGENT_BINDING) {
            tell_lost(&m, i.key, m.item->binding.vni);
        } else {
            m.dhcp = m.item->dhcp;
            make_segment(&m, i.key);
        }
    }
    agent_text_free(&m.text);
    free(m.item);
}
