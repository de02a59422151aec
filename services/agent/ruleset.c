#include "services/agent/ruleset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define INDEX_MAX AGENT_MARK_FROM
#define ZONE_MAX 0x7fffU
#define ZONE_ROUTER 0x8000U

struct base {
    const char *key;
    const char *text;
};

static const struct base BASES[] = {
    {AGENT_KEY_BRIDGE "prerouting", "type filter hook prerouting priority -300"},
    {AGENT_KEY_BRIDGE "forward", "type filter hook forward priority -200"},
    {AGENT_KEY_BRIDGE "input", "type filter hook input priority -300"},
    {AGENT_KEY_BRIDGE "postrouting", "type filter hook postrouting priority 300"},
    {AGENT_KEY_INET "zones", "type filter hook prerouting priority -300"},
    {AGENT_KEY_INET "fw_out", "type filter hook forward priority -10"},
    {AGENT_KEY_INET "fw_in", "type filter hook forward priority 0"},
    {AGENT_KEY_INET "fw_end", "type filter hook forward priority 10"},
    {AGENT_KEY_INET "to_node", "type filter hook input priority -10"},
    {AGENT_KEY_INET "nat_in", "type nat hook prerouting priority -100"},
    {AGENT_KEY_INET "nat_out", "type nat hook postrouting priority 100"},
};

const char *agent_chain_base(const char *key)
{
    for (size_t i = 0; i < sizeof(BASES) / sizeof(BASES[0]); i++) {
        if (strcmp(BASES[i].key, key) == 0) {
            return BASES[i].text;
        }
    }
    return NULL;
}

/* What the heads are made of: read from the table once. */
struct bound_port {
    uint32_t number;
    uint32_t mark; /* 1 to INDEX_MAX: which of this node's ports */
    char name[AGENT_NAME_MAX];
};

struct bound_segment {
    uint32_t vni;
    uint32_t router;
    uint32_t zone;
};

struct heads {
    const struct netctl_tree *table;
    const struct netctl_tree *known;
    const struct agent_place *place;
    struct netctl_tree *wanted;
    agent_told *told;
    void *arg;
    struct agent_item *item;
    struct bound_port *port;
    size_t ports;
    struct bound_segment *segment;
    size_t segments;
    struct agent_text text;
};

static void put_chain(struct heads *h, const char *key)
{
    netctl_tree_put(h->wanted, key, agent_text_bytes(&h->text));
    agent_text_clear(&h->text);
}

/* ---- what there is ---- */

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
static void put_advertised(struct heads *h, const struct agent_address *a)
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
static void put_guard(struct heads *h, const struct agent_port *p)
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

static void bind_port(struct heads *h, const struct agent_port *p)
{
    const struct agent_interface *i = agent_place_find(h->place, AGENT_ALIAS_VIF, p->vif);
    char key[32];
    if (i == NULL) {
        return; /* told with its links */
    }
    h->port = realloc(h->port, (h->ports + 1) * sizeof(*h->port));
    ts_must(h->port);
    struct bound_port *b = &h->port[h->ports];
    b->number = p->number;
    memcpy(b->name, i->name, sizeof(b->name));
    b->mark = free_mark(i->index - 1, INDEX_MAX, &h->port[0].mark, sizeof(*b), h->ports);
    h->ports++;
    agent_text_put(&h->text, "0\tmeta mark set 0x%x\n", b->mark);
    if (p->guard) {
        put_guard(h, p);
    }
    (void)snprintf(key, sizeof(key), AGENT_KEY_BRIDGE "from_%u", p->number);
    put_chain(h, key);
    agent_text_put(&h->text, "0\tmeta mark set meta mark | 0x%x\n", b->mark << AGENT_MARK_TO_SHIFT);
    (void)snprintf(key, sizeof(key), AGENT_KEY_BRIDGE "to_%u", p->number);
    put_chain(h, key);
}

static void bind_segment(struct heads *h, const struct agent_segment *s)
{
    char name[AGENT_NAME_MAX];
    agent_device_name(name, 'b', s->vni);
    const struct agent_interface *i = agent_place_named(h->place, name);
    if (i == NULL) {
        return; /* told with its links */
    }
    h->segment = realloc(h->segment, (h->segments + 1) * sizeof(*h->segment));
    ts_must(h->segment);
    struct bound_segment *b = &h->segment[h->segments];
    b->vni = s->vni;
    b->router = s->router;
    b->zone = free_mark(i->index - 1, ZONE_MAX, &h->segment[0].zone, sizeof(*b), h->segments);
    h->segments++;
}

static void bind_all(struct heads *h)
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
}

/* ---- lists of names ---- */

/* `"a", "b"` of one letter's devices of all segments; with routed: only of those that are. */
static void put_devices(struct heads *h, struct agent_text *t, char letter, bool routed)
{
    for (size_t i = 0; i < h->segments; i++) {
        char name[AGENT_NAME_MAX];
        agent_device_name(name, letter, h->segment[i].vni);
        if (!routed || h->segment[i].router != 0) {
            agent_text_put(t, "%s\"%s\"", t->len == 0 ? "" : ", ", name);
        }
    }
}

/* All ports of all bridges. */
static void put_members(struct heads *h, struct agent_text *t)
{
    put_devices(h, t, 'x', false);
    put_devices(h, t, 'p', true);
    for (size_t i = 0; i < h->ports; i++) {
        agent_text_put(t, "%s\"%s\"", t->len == 0 ? "" : ", ", h->port[i].name);
    }
}

/* ---- chains ---- */

/* `0<tab>BEFORE { "veth1" : goto from_17, … }`. */
static void put_dispatch(struct heads *h, const char *before, const char *chain)
{
    for (size_t i = 0; i < h->ports; i++) {
        agent_text_put(&h->text, "%s\"%s\" : goto %s_%u", i == 0 ? before : ", ", h->port[i].name,
                       chain, h->port[i].number);
    }
    agent_text_put(&h->text, h->ports == 0 ? "" : " }\n");
}

static void put_bridge(struct heads *h)
{
    struct agent_text members = {0};
    put_members(h, &members);
    const char *names = members.len == 0 ? "\"\"" : members.data;
    bool some = members.len > 0;
    if (some) {
        agent_text_put(&h->text, "0\tiifname { %s } meta mark set 0\n", names);
        put_dispatch(h, "0\tiifname vmap { ", "from");
    }
    put_chain(h, AGENT_KEY_BRIDGE "prerouting");
    put_dispatch(h, "0\toifname vmap { ", "to");
    put_chain(h, AGENT_KEY_BRIDGE "forward");
    if (some) { /* a bridge is no way to the node itself */
        agent_text_put(&h->text, "0\tiifname { %s } drop\n", names);
    }
    put_chain(h, AGENT_KEY_BRIDGE "input");
    if (some) { /* a mark means nothing elsewhere */
        agent_text_put(&h->text, "0\toifname { %s } meta mark set 0\n", names);
    }
    put_chain(h, AGENT_KEY_BRIDGE "postrouting");
    agent_text_free(&members);
}

/* Connections are told apart by segment, and by router where packets are routed. */
static void put_zones(struct heads *h)
{
    for (size_t i = 0; i < h->segments; i++) {
        const struct bound_segment *s = &h->segment[i];
        char bridge[AGENT_NAME_MAX];
        char leg[AGENT_NAME_MAX];
        agent_device_name(bridge, 'b', s->vni);
        agent_device_name(leg, 'r', s->vni);
        agent_text_put(&h->text, "%s\"%s\" : %u", i == 0 ? "0\tct zone set iifname map { " : ", ",
                       bridge, s->zone);
        if (s->router != 0) {
            agent_text_put(&h->text, ", \"%s\" : %u", leg, ZONE_ROUTER | (s->router & ZONE_MAX));
        }
    }
    struct netctl_item i = {NULL, {NULL, 0}};
    struct agent_error error;
    while (h->segments > 0 && netctl_tree_next(h->table, "uplink/", &i)) {
        const struct agent_interface *f =
            agent_item_decode(h->item, i.key, i.value, &error) != TS_OK
                ? NULL
                : agent_place_find(h->place, "", h->item->uplink.interface);
        if (f != NULL) {
            agent_text_put(&h->text, ", \"%s\" : %u", f->name,
                           ZONE_ROUTER | (h->item->uplink.router & ZONE_MAX));
        }
    }
    agent_text_put(&h->text, h->segments == 0 ? "" : " }\n");
    put_chain(h, AGENT_KEY_INET "zones");
}

/* The rules of one direction. What belongs to a connection that is known is done with at once. */
static void put_stage(struct heads *h, bool out)
{
    const char *key = out ? AGENT_KEY_INET "fw_out" : AGENT_KEY_INET "fw_in";
    const char *blocks = out ? AGENT_KEY_INET AGENT_BLOCK_OUT : AGENT_KEY_INET AGENT_BLOCK_IN;
    uint32_t own = out ? AGENT_MARK_OUT : AGENT_MARK_IN;
    uint32_t other = out ? AGENT_MARK_IN : AGENT_MARK_OUT;
    struct agent_text bridges = {0};
    put_devices(h, &bridges, 'b', false);
    if (bridges.len > 0) {
        agent_text_put(&h->text,
                       "0\tiifname != { %s } accept\n"
                       "0\tmeta mark & 0x%x == 0 accept\n"
                       "0\ticmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n"
                       "0\tjump known_%s\n",
                       bridges.data, out ? AGENT_MARK_FROM : AGENT_MARK_TO, out ? "out" : "in");
        struct netctl_item i = {NULL, {NULL, 0}};
        while (netctl_tree_next(h->known, blocks, &i)) {
            agent_text_put(&h->text, "0\tjump %s\n", i.key + strlen(AGENT_KEY_INET));
        }
    }
    put_chain(h, key);
    /* 0x%x: this port's bit with the generation's number. */
    agent_text_put(&h->text,
                   "0\tct direction original ct mark & 0x%x == @G@ meta mark set meta mark | 0x%x "
                   "accept\n"
                   "0\tct direction reply ct mark & 0x%x != 0 accept\n"
                   "0\tct state related ct mark & 0x%x != 0 accept\n",
                   own | AGENT_GENERATION_MAX, own, other, own | other);
    put_chain(h, out ? AGENT_KEY_INET "known_out" : AGENT_KEY_INET "known_in");
    agent_text_free(&bridges);
}

static void put_ends(struct heads *h)
{
    struct agent_text bridges = {0};
    struct agent_text legs = {0};
    put_devices(h, &bridges, 'b', false);
    put_devices(h, &legs, 'r', true);
    if (bridges.len > 0) {
        agent_text_put(&h->text,
                       "0\tiifname != { %s } accept\n"
                       "0\tmeta mark & 0x%x == 0 accept\n"
                       "0\tct direction original ct mark set meta mark & 0x%x | @G@\n",
                       bridges.data, AGENT_MARK_FROM | AGENT_MARK_TO,
                       AGENT_MARK_OUT | AGENT_MARK_IN);
    }
    put_chain(h, AGENT_KEY_INET "fw_end");
    if (legs.len > 0) { /* a router answers ping and neighbours, and nothing of the node does */
        agent_text_put(&h->text,
                       "0\tiifname { %s } icmp type echo-request accept\n"
                       "0\tiifname { %s } icmpv6 type { echo-request, nd-neighbor-solicit, "
                       "nd-neighbor-advert } accept\n"
                       "0\tiifname { %s } ct state { established, related } accept\n"
                       "0\tiifname { %s } drop\n",
                       legs.data, legs.data, legs.data, legs.data);
    }
    put_chain(h, AGENT_KEY_INET "to_node");
    /* The answer finds its way by the mark: the node has no route of its own to a workload. */
    for (size_t i = 0; i < h->segments; i++) {
        const struct bound_segment *s = &h->segment[i];
        char bridge[AGENT_NAME_MAX];
        agent_device_name(bridge, 'b', s->vni);
        agent_text_put(
            &h->text, "%s\"%s\" : 0x%x", i == 0 ? "0\tmeta mark set iifname map { " : ", ", bridge,
            s->router != 0 ? AGENT_TABLE_ROUTER + s->router : AGENT_TABLE_SEGMENT + s->vni);
    }
    agent_text_put(&h->text,
                   "%s0\tmeta l4proto tcp reject with tcp reset\n"
                   "0\treject with icmpx admin-prohibited\n",
                   h->segments == 0 ? "" : " }\n");
    put_chain(h, AGENT_KEY_INET "refuse");
    agent_text_free(&bridges);
    agent_text_free(&legs);
}

/* ---- sets of ports ---- */

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* A set's marks in order, " " behind each. */
static void put_port_set(struct heads *h, const char *set, uint32_t *marks, size_t count)
{
    char key[AGENT_SET_NAME_MAX + 8];
    qsort(marks, count, sizeof(*marks), by_number);
    for (size_t i = 0; i < count; i++) {
        agent_text_put(&h->text, "%u ", marks[i]);
    }
    (void)snprintf(key, sizeof(key), AGENT_KEY_PORT_SET "%s", set);
    put_chain(h, key);
}

static uint32_t mark_of(const struct heads *h, uint32_t number)
{
    for (size_t i = 0; i < h->ports; i++) {
        if (h->port[i].number == number) {
            return h->port[i].mark;
        }
    }
    return 0;
}

static void put_port_sets(struct heads *h)
{
    char set[AGENT_SET_NAME_MAX + 1] = "";
    size_t count = 0;
    struct netctl_item i = {NULL, {NULL, 0}};
    struct agent_error error;
    uint32_t *marks = malloc((h->ports + 1) * sizeof(*marks));
    ts_must(marks);
    while (netctl_tree_next(h->table, "ports/", &i)) {
        if (agent_item_decode(h->item, i.key, i.value, &error) != TS_OK) {
            continue;
        }
        const struct agent_port_member *m = &h->item->port_member;
        if (strcmp(set, m->set) != 0) {
            if (set[0] != '\0') {
                put_port_set(h, set, marks, count);
            }
            (void)snprintf(set, sizeof(set), "%s", m->set);
            count = 0;
        }
        uint32_t mark = mark_of(h, m->number);
        if (mark != 0 && count < h->ports) {
            marks[count++] = mark;
        }
    }
    if (set[0] != '\0') {
        put_port_set(h, set, marks, count);
    }
    free(marks);
}

void agent_ruleset_heads(const struct netctl_tree *table, const struct netctl_tree *known,
                         const struct agent_place *place, struct netctl_tree *wanted,
                         agent_told *told, void *arg)
{
    struct heads h = {
        .table = table, .known = known, .place = place, .wanted = wanted, .told = told, .arg = arg};
    h.item = malloc(sizeof(*h.item));
    ts_must(h.item);
    bind_all(&h);
    put_bridge(&h);
    put_zones(&h);
    put_stage(&h, true);
    put_stage(&h, false);
    put_ends(&h);
    put_port_sets(&h);
    agent_ruleset_nat(table, place, wanted, told, arg);
    agent_text_free(&h.text);
    free(h.item);
    free(h.port);
    free(h.segment);
}
