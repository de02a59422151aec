#include <string.h>

#include "services/agent/ruleset_heads.h"

/* One letter's devices of the segments whose DHCP is answered here; with alone: of those without a
 * router. False: there are none. */
static bool put_devices(const struct agent_heads *h, struct agent_text *t, char letter, bool alone)
{
    for (size_t i = 0; i < h->segments; i++) {
        const struct agent_bound_segment *s = &h->segment[i];
        char name[AGENT_NAME_MAX];
        agent_device_name(name, letter, s->vni);
        if (s->dhcp && (!alone || s->router == 0)) {
            agent_text_put(t, "%s\"%s\"", t->len == 0 ? "" : ", ", name);
        }
    }
    return t->len > 0;
}

/* Ports and tunnels of these segments: all ports of their bridges but the legs'. */
static void put_members(const struct agent_heads *h, struct agent_text *t)
{
    (void)put_devices(h, t, 'x', false);
    for (size_t i = 0; i < h->ports; i++) {
        for (size_t n = 0; n < h->segments; n++) {
            if (h->segment[n].dhcp && h->segment[n].vni == h->port[i].vni) {
                agent_text_put(t, ", \"%s\"", h->port[i].name);
            }
        }
    }
}

void agent_heads_dhcp_bridge(struct agent_heads *h)
{
    struct agent_text members = {0};
    struct agent_text legs = {0};
    struct agent_text tunnels = {0};
    put_members(h, &members);
    if (put_devices(h, &legs, 'p', false) && put_devices(h, &tunnels, 'x', false)) {
        agent_text_put(&h->text,
                       "0\tiifname { %s } oifname != { %s } ether type ip udp dport 67 drop\n"
                       "0\tiifname { %s } ether type ip udp sport 67 udp dport 68 drop\n"
                       "0\tiifname { %s } ether type ip udp dport 67 drop\n",
                       members.data, legs.data, members.data, tunnels.data);
    }
    agent_text_free(&members);
    agent_text_free(&legs);
    agent_text_free(&tunnels);
}

void agent_heads_dhcp_pass(struct agent_heads *h, bool out)
{
    struct agent_text servers = {0};
    struct agent_text bridges = {0};
    for (size_t i = 0; i < h->segments; i++) {
        const struct agent_bound_segment *s = &h->segment[i];
        for (size_t n = 0; n < s->servers; n++) {
            char text[AGENT_ADDRESS_TEXT];
            agent_text_put(&servers, "%s%s", servers.len == 0 ? "" : ", ",
                           agent_address_text(&s->server[n], false, text));
        }
    }
    if (put_devices(h, &bridges, 'b', false) && servers.len > 0 && out) {
        agent_text_put(&h->text,
                       "0\tiifname { %s } ip daddr { 255.255.255.255, %s } udp sport 68 udp dport "
                       "67 accept\n",
                       bridges.data, servers.data);
    } else if (bridges.len > 0 && servers.len > 0) {
        agent_text_put(&h->text,
                       "0\tiifname { %s } ip saddr { %s } udp sport 67 udp dport 68 accept\n",
                       bridges.data, servers.data);
    }
    agent_text_free(&servers);
    agent_text_free(&bridges);
}

void agent_heads_dhcp_no_way(struct agent_heads *h)
{
    struct agent_text legs = {0};
    if (put_devices(h, &legs, 'r', true)) {
        agent_text_put(&h->text, "0\tiifname { %s } drop\n", legs.data);
    }
    agent_text_free(&legs);
}

void agent_heads_dhcp_to_node(struct agent_heads *h)
{
    struct agent_text legs = {0};
    if (put_devices(h, &legs, 'r', false)) {
        agent_text_put(&h->text, "0\tiifname { %s } udp sport 68 udp dport 67 accept\n", legs.data);
    }
    agent_text_free(&legs);
}
