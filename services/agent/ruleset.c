#include "services/agent/ruleset_heads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

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
    {AGENT_KEY_INET "fw_begin", "type filter hook forward priority -20"},
    {AGENT_KEY_INET "fw_out", "type filter hook forward priority -10"},
    {AGENT_KEY_INET "fw_in", "type filter hook forward priority 0"},
    {AGENT_KEY_INET "fw_end", "type filter hook forward priority 10"},
    {AGENT_KEY_INET "gw_in", "type filter hook forward priority 20"},
    {AGENT_KEY_INET "gw_out", "type filter hook forward priority 21"},
    {AGENT_KEY_INET "gw_end", "type filter hook forward priority 22"},
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

/* ---- lists of names ---- */

/* All ports of all bridges. */
static void put_members(struct agent_heads *h, struct agent_text *t)
{
    agent_heads_devices(h, t, 'x', false);
    agent_heads_devices(h, t, 'p', true);
    for (size_t i = 0; i < h->ports; i++) {
        agent_text_put(t, "%s\"%s\"", t->len == 0 ? "" : ", ", h->port[i].name);
    }
}

/* ---- chains ---- */

/* `0<tab>BEFORE { "veth1" : goto from_17, … }`. */
static void put_dispatch(struct agent_heads *h, const char *before, const char *chain)
{
    for (size_t i = 0; i < h->ports; i++) {
        agent_text_put(&h->text, "%s\"%s\" : goto %s_%u", i == 0 ? before : ", ", h->port[i].name,
                       chain, h->port[i].number);
    }
    agent_text_put(&h->text, h->ports == 0 ? "" : " }\n");
}

static void put_bridge(struct agent_heads *h)
{
    struct agent_text members = {0};
    put_members(h, &members);
    const char *names = members.len == 0 ? "\"\"" : members.data;
    bool some = members.len > 0;
    if (some) {
        agent_text_put(&h->text, "0\tiifname { %s } meta mark set 0\n", names);
        put_dispatch(h, "0\tiifname vmap { ", "from");
    }
    agent_heads_chain(h, AGENT_KEY_BRIDGE "prerouting");
    agent_heads_dhcp_bridge(h);
    put_dispatch(h, "0\toifname vmap { ", "to");
    agent_heads_chain(h, AGENT_KEY_BRIDGE "forward");
    if (some) { /* a bridge is no way to the node itself */
        agent_text_put(&h->text, "0\tiifname { %s } drop\n", names);
    }
    agent_heads_chain(h, AGENT_KEY_BRIDGE "input");
    if (some) { /* a mark means nothing elsewhere */
        agent_text_put(&h->text, "0\toifname { %s } meta mark set 0\n", names);
    }
    agent_heads_chain(h, AGENT_KEY_BRIDGE "postrouting");
    agent_text_free(&members);
}

/* Connections are told apart by segment, and by router where packets are routed. */
static void put_zones(struct agent_heads *h)
{
    for (size_t i = 0; i < h->segments; i++) {
        const struct agent_bound_segment *s = &h->segment[i];
        char bridge[AGENT_NAME_MAX];
        char leg[AGENT_NAME_MAX];
        agent_device_name(bridge, 'b', s->vni);
        agent_device_name(leg, 'r', s->vni);
        agent_text_put(&h->text, "%s\"%s\" : %u", i == 0 ? "0\tct zone set iifname map { " : ", ",
                       bridge, s->zone);
        if (s->leg) {
            agent_text_put(&h->text, ", \"%s\" : %u", leg,
                           s->router == 0 ? s->zone
                                          : AGENT_ZONE_ROUTER | (s->router & AGENT_ZONE_MAX));
        }
    }
    for (size_t i = 0; h->segments > 0 && i < h->uplinks; i++) {
        agent_text_put(&h->text, ", \"%s\" : %u", h->uplink[i].name,
                       AGENT_ZONE_ROUTER | (h->uplink[i].router & AGENT_ZONE_MAX));
    }
    agent_text_put(&h->text, h->segments == 0 ? "" : " }\n");
    agent_heads_chain(h, AGENT_KEY_INET "zones");
}

/* What another generation allowed is judged anew, and copied no more until then. */
static void put_begin(struct agent_heads *h)
{
    struct agent_text ways = {0};
    agent_heads_devices(h, &ways, 'b', false);
    agent_heads_devices(h, &ways, 'r', true);
    for (size_t i = 0; i < h->uplinks; i++) {
        agent_text_put(&ways, "%s\"%s\"", ways.len == 0 ? "" : ", ", h->uplink[i].name);
    }
    if (ways.len > 0) {
        agent_text_put(&h->text,
                       "0\tiifname { %s } ct direction original ct mark & 0x%x != @G@ "
                       "ct mark set ct mark & 0x%x\n",
                       ways.data, AGENT_GENERATION_MAX, ~AGENT_MARK_DETECT);
    }
    agent_heads_chain(h, AGENT_KEY_INET "fw_begin");
    agent_text_free(&ways);
    if (h->place->detects) {
        agent_text_put(&h->text, "0\tlog group %u\n", (unsigned)h->place->detect_group);
    }
    agent_heads_chain(h, AGENT_KEY_INET "detect");
}

/* The rules of one direction. What belongs to a connection that is known is done with at once. */
static void put_stage(struct agent_heads *h, bool out)
{
    const char *key = out ? AGENT_KEY_INET "fw_out" : AGENT_KEY_INET "fw_in";
    const char *blocks = out ? AGENT_KEY_INET AGENT_BLOCK_OUT : AGENT_KEY_INET AGENT_BLOCK_IN;
    uint32_t own = out ? AGENT_MARK_OUT : AGENT_MARK_IN;
    uint32_t other = out ? AGENT_MARK_IN : AGENT_MARK_OUT;
    struct agent_text bridges = {0};
    agent_heads_devices(h, &bridges, 'b', false);
    if (bridges.len > 0) {
        agent_text_put(&h->text,
                       "0\tiifname != { %s } accept\n"
                       "0\tmeta mark & 0x%x == 0 accept\n"
                       "0\ticmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n",
                       bridges.data, out ? AGENT_MARK_FROM : AGENT_MARK_TO);
        agent_heads_dhcp_pass(h, out);
        agent_text_put(&h->text, "0\tjump known_%s\n", out ? "out" : "in");
        struct netctl_item i = {NULL, {NULL, 0}};
        while (netctl_tree_next(h->known, blocks, &i)) {
            agent_text_put(&h->text, "0\tjump %s\n", i.key + strlen(AGENT_KEY_INET));
        }
    }
    agent_heads_chain(h, key);
    /* 0x%x: this port's bit with the generation's number. */
    agent_text_put(&h->text,
                   "0\tct direction original ct mark & 0x%x == @G@ meta mark set meta mark | 0x%x "
                   "accept\n"
                   "0\tct direction reply ct mark & 0x%x != 0 accept\n"
                   "0\tct state related ct mark & 0x%x != 0 accept\n",
                   own | AGENT_GENERATION_MAX, own, other, own | other);
    agent_heads_chain(h, out ? AGENT_KEY_INET "known_out" : AGENT_KEY_INET "known_in");
    agent_text_free(&bridges);
}

static void put_ends(struct agent_heads *h)
{
    struct agent_text bridges = {0};
    struct agent_text legs = {0};
    agent_heads_devices(h, &bridges, 'b', false);
    agent_heads_devices(h, &legs, 'r', true);
    agent_heads_dhcp_no_way(h);
    if (bridges.len > 0) {
        agent_text_put(&h->text,
                       "0\tiifname != { %s } accept\n"
                       "0\tmeta mark & 0x%x == 0 accept\n" AGENT_KEEP_STATE,
                       bridges.data, AGENT_MARK_FROM | AGENT_MARK_TO, AGENT_KEEP_STATE_MARKS);
    }
    agent_heads_chain(h, AGENT_KEY_INET "fw_end");
    agent_heads_dhcp_to_node(h);
    if (legs.len > 0) { /* a router answers ping and neighbours, and nothing of the node does */
        agent_text_put(&h->text,
                       "0\tiifname { %s } icmp type echo-request accept\n"
                       "0\tiifname { %s } icmpv6 type { echo-request, nd-neighbor-solicit, "
                       "nd-neighbor-advert } accept\n"
                       "0\tiifname { %s } ct state { established, related } accept\n"
                       "0\tiifname { %s } drop\n",
                       legs.data, legs.data, legs.data, legs.data);
    }
    agent_heads_chain(h, AGENT_KEY_INET "to_node");
    agent_text_free(&bridges);
    agent_text_free(&legs);
}

/* REJECT. The answer finds its way by the mark: the node has no route of its own to a workload. */
static void put_refusal(struct agent_heads *h)
{
    const char *before = "0\tmeta mark set iifname map { ";
    for (size_t i = 0; i < h->segments; i++) {
        const struct agent_bound_segment *s = &h->segment[i];
        uint32_t router = AGENT_TABLE_ROUTER + s->router;
        char name[AGENT_NAME_MAX];
        agent_device_name(name, 'b', s->vni);
        agent_text_put(&h->text, "%s\"%s\" : 0x%x", i == 0 ? before : ", ", name,
                       s->router != 0 ? router : AGENT_TABLE_SEGMENT + s->vni);
        if (s->router != 0) {
            agent_device_name(name, 'r', s->vni);
            agent_text_put(&h->text, ", \"%s\" : 0x%x", name, router);
        }
    }
    for (size_t i = 0; h->segments > 0 && i < h->uplinks; i++) {
        agent_text_put(&h->text, ", \"%s\" : 0x%x", h->uplink[i].name,
                       AGENT_TABLE_ROUTER + h->uplink[i].router);
    }
    agent_text_put(&h->text,
                   "%s0\tmeta l4proto tcp reject with tcp reset\n"
                   "0\treject with icmpx admin-prohibited\n",
                   h->segments == 0 ? "" : " }\n");
    agent_heads_chain(h, AGENT_KEY_INET "refuse");
}

/* ---- sets of ports ---- */

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* A set's marks in order, " " behind each. */
static void put_port_set(struct agent_heads *h, const char *set, uint32_t *marks, size_t count)
{
    char key[AGENT_SET_NAME_MAX + 8];
    qsort(marks, count, sizeof(*marks), by_number);
    for (size_t i = 0; i < count; i++) {
        agent_text_put(&h->text, "%u ", marks[i]);
    }
    (void)snprintf(key, sizeof(key), AGENT_KEY_PORT_SET "%s", set);
    agent_heads_chain(h, key);
}

static uint32_t mark_of(const struct agent_heads *h, uint32_t number)
{
    for (size_t i = 0; i < h->ports; i++) {
        if (h->port[i].number == number) {
            return h->port[i].mark;
        }
    }
    return 0;
}

static void put_port_sets(struct agent_heads *h)
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
    struct agent_heads h = {
        .table = table, .known = known, .place = place, .wanted = wanted, .told = told, .arg = arg};
    h.item = malloc(sizeof(*h.item));
    ts_must(h.item);
    agent_heads_bind(&h);
    put_bridge(&h);
    put_zones(&h);
    put_begin(&h);
    put_stage(&h, true);
    put_stage(&h, false);
    put_ends(&h);
    put_refusal(&h);
    agent_heads_gateways(&h);
    put_port_sets(&h);
    agent_ruleset_nat(table, place, wanted, told, arg);
    agent_text_free(&h.text);
    free(h.item);
    free(h.port);
    free(h.segment);
    free(h.uplink);
}
