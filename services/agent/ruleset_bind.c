#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "services/agent/ruleset_heads.h"

void agent_heads_chain(struct agent_heads *h, const char *key)
{
    netctl_tree_put(h->wanted, key, agent_text_bytes(&h->text));
    agent_text_clear(&h->text);
}

void agent_heads_devices(struct agent_heads *h, struct agent_text *t, char letter, bool legs)
{
    for (size_t i = 0; i < h->segments; i++) {
        char name[AGENT_NAME_MAX];
        agent_device_name(name, letter, h->segment[i].vni);
        if (!legs || h->segment[i].leg) {
            agent_text_put(t, "%s\"%s\"", t->len == 0 ? "" : ", ", name);
        }
    }
}

/* A number up to `max` that no other has: the interface's own index wherever that goes, so that it
 * is the same after a restart. */
static uint32_t free_mark(uint32_t index, uint32_t max, const uint32_t *taken, size_t stride,
                          size_t count)
{
    uint32_t mark = index % max + 1;
    for (size_t i = 0; i < count; i++) {
        const uint32_t *other = (const uint32_t *)((const char *)taken + i * stride);
        if (*other == mark) {
            mark = mark % max + 1;
            i = (size_t)-1; /* look at all of them again */
        }
    }
    return mark;
}

/* That the port may say it has this address: the target, 8 bytes into the advertisement. */
static void put_advertised(struct agent_heads *h, const struct agent_address *a)
{
    if (a->family != 6) {
        return;
    }
    agent_text_put(&h->text, "0\ticmpv6 type nd-neighbor-advert @th,64,128 0x");
    for (size_t i = 0; i < sizeof(a->bytes); i++) {
        agent_text_put(&h->text, "%02x", (unsigned)a->bytes[i]);
    }
    agent_text_put(&h->text, " accept\n");
}

/* nft's words for what one guarded port may send. */
static void put_guard(struct agent_heads *h, const struct agent_port *p)
{
    char mac[AGENT_MAC_TEXT];
    char ip[AGENT_ADDRESS_TEXT];
    struct agent_text four = {0};
    struct agent_text six = {0};
    struct agent_address own = agent_mac_link_local(&p->mac);
    (void)agent_mac_text(&p->mac, mac);
    for (size_t i = 0; i < p->ips; i++) {
        struct agent_text *t = p->ip[i].family == 4 ? &four : &six;
        agent_text_put(t, "%s, ", agent_address_text(&p->ip[i], false, ip));
    }
    agent_text_put(&six, "%s", agent_address_text(&own, false, ip));
    agent_text_put(&h->text,
                   "0\tether saddr != %s @C@ drop\n"
                   "0\tether type arp arp saddr ether != %s @C@ drop\n"
                   "0\tether type arp arp saddr ip { %s0.0.0.0 } accept\n"
                   "0\tip saddr 0.0.0.0 udp sport 68 udp dport 67 accept\n",
                   mac, mac, four.len > 0 ? four.data : "");
    if (four.len > 0) {
        agent_text_put(&h->text, "0\tip saddr { %s } accept\n", four.data);
    }
    /* An address that is being tried, and groups that are joined before there is one. */
    agent_text_put(&h->text,
                   "0\tip6 saddr :: icmpv6 type { nd-neighbor-solicit, mld2-listener-report } "
                   "accept\n"
                   "0\tether type ip6 ip6 saddr != { %s } @C@ drop\n",
                   six.data);
    for (size_t i = 0; i < p->ips; i++) {
        put_advertised(h, &p->ip[i]);
    }
    put_advertised(h, &own);
    agent_text_put(&h->text, "0\ticmpv6 type nd-neighbor-advert @C@ drop\n"
                             "0\tether type ip6 accept\n"
                             "0\t@C@ drop\n");
    agent_text_free(&four);
    agent_text_free(&six);
}

static void bind_port(struct agent_heads *h, const struct agent_port *p)
{
    const struct agent_interface *i = agent_place_find(h->place, AGENT_ALIAS_VIF, p->vif);
    char key[32];
    if (i == NULL) {
        return; /* told with its links */
    }
    h->port = realloc(h->port, (h->ports + 1) * sizeof(*h->port));
    ts_must(h->port);
    struct agent_bound_port *b = &h->port[h->ports];
    b->number = p->number;
    b->vni = p->vni;
    memcpy(b->name, i->name, sizeof(b->name));
    b->mark = free_mark(i->index - 1, AGENT_INDEX_MAX, &h->port[0].mark, sizeof(*b), h->ports);
    h->ports++;
    agent_text_put(&h->text, "0\tmeta mark set 0x%x\n", b->mark);
    if (p->guard) {
        put_guard(h, p);
    }
    (void)snprintf(key, sizeof(key), AGENT_KEY_BRIDGE "from_%u", p->number);
    agent_heads_chain(h, key);
    agent_text_put(&h->text, "0\tmeta mark set meta mark | 0x%x\n", b->mark << AGENT_MARK_TO_SHIFT);
    (void)snprintf(key, sizeof(key), AGENT_KEY_BRIDGE "to_%u", p->number);
    agent_heads_chain(h, key);
}

static void bind_segment(struct agent_heads *h, const struct agent_segment *s)
{
    char name[AGENT_NAME_MAX];
    struct agent_dhcp dhcp;
    agent_device_name(name, 'b', s->vni);
    const struct agent_interface *i = agent_place_named(h->place, name);
    if (i == NULL) {
        return; /* told with its links */
    }
    h->segment = realloc(h->segment, (h->segments + 1) * sizeof(*h->segment));
    ts_must(h->segment);
    struct agent_bound_segment *b = &h->segment[h->segments];
    b->vni = s->vni;
    b->router = s->router;
    b->zone = free_mark(i->index - 1, AGENT_ZONE_MAX, &h->segment[0].zone, sizeof(*b), h->segments);
    b->dhcp = agent_table_dhcp(h->table, s->vni, &dhcp);
    b->leg = s->router != 0 || b->dhcp;
    b->servers = 0;
    if (b->dhcp && s->router == 0) {
        b->server[b->servers++] = dhcp.server;
    }
    for (size_t n = 0; b->dhcp && n < s->gateways; n++) {
        if (s->gateway[n].family == 4) {
            b->server[b->servers++] = s->gateway[n];
        }
    }
    h->segments++;
}

static void bind_uplink(struct agent_heads *h, const char *key, const struct agent_uplink *u)
{
    const struct agent_interface *i = agent_place_find(h->place, "", u->interface);
    if (i == NULL) {
        return; /* told with its addresses */
    }
    for (size_t n = 0; n < h->uplinks; n++) {
        if (strcmp(h->uplink[n].name, i->name) == 0) {
            h->told(h->arg, key, "its interface is the uplink of another router");
            return;
        }
    }
    h->uplink = realloc(h->uplink, (h->uplinks + 1) * sizeof(*h->uplink));
    ts_must(h->uplink);
    struct agent_bound_uplink *b = &h->uplink[h->uplinks++];
    b->router = u->router;
    memcpy(b->name, i->name, sizeof(b->name));
}

void agent_heads_bind(struct agent_heads *h)
{
    struct agent_error error;
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(h->table, "segment/", &i)) {
        if (agent_item_decode(h->item, i.key, i.value, &error) == TS_OK) {
            bind_segment(h, &h->item->segment);
        }
    }
    i.key = NULL;
    while (netctl_tree_next(h->table, "port/", &i)) {
        if (agent_item_decode(h->item, i.key, i.value, &error) == TS_OK) {
            bind_port(h, &h->item->port);
        }
    }
    i.key = NULL;
    while (netctl_tree_next(h->table, "uplink/", &i)) {
        if (agent_item_decode(h->item, i.key, i.value, &error) == TS_OK) {
            bind_uplink(h, i.key, &h->item->uplink);
        }
    }
}
