/* Inside the rules: what the chains are made of that are no blocks (ruleset.c). ruleset_bind.c
 * reads it from the table, ruleset_gateway.c has the chains of the routers' uplinks. */
#ifndef SERVICES_AGENT_RULESET_HEADS_H
#define SERVICES_AGENT_RULESET_HEADS_H

#include "services/agent/ruleset.h"

#define AGENT_INDEX_MAX AGENT_MARK_FROM
/* conntrack's zones: of segments, and (with the bit) of routers. */
#define AGENT_ZONE_MAX 0x7fffU
#define AGENT_ZONE_ROUTER 0x8000U

/* Words behind all rules: the connection's mark is what they gave, and DETECT's copies are made. */
#define AGENT_KEEP_STATE \
    "0\tct direction original ct mark & 0x%x != 0 ct mark set meta mark & 0x%x | @D@\n" \
    "0\tct direction original ct mark & 0x%x == 0 ct mark set meta mark & 0x%x | @G@\n" \
    "0\tct mark & 0x%x != 0 jump detect\n"
#define AGENT_KEEP_STATE_MARKS \
    AGENT_MARK_DETECT, AGENT_MARK_OUT | AGENT_MARK_IN, AGENT_MARK_DETECT, \
        AGENT_MARK_OUT | AGENT_MARK_IN, AGENT_MARK_DETECT

/* What the heads are made of: read from the table once. */
struct agent_bound_port {
    uint32_t number;
    uint32_t vni;
    uint32_t mark; /* 1 to AGENT_INDEX_MAX: which of this node's ports */
    char name[AGENT_NAME_MAX];
};

struct agent_bound_segment {
    uint32_t vni;
    uint32_t router;
    uint32_t zone;
    bool leg;  /* of a router, or of the server of DHCP */
    bool dhcp; /* it is answered here, */
    size_t servers;
    struct agent_address server[AGENT_GATEWAYS_MAX]; /* from one of these */
};

struct agent_bound_uplink {
    uint32_t router;
    char name[AGENT_NAME_MAX];
};

struct agent_heads {
    const struct netctl_tree *table;
    const struct netctl_tree *known;
    const struct agent_place *place;
    struct netctl_tree *wanted;
    agent_told *told;
    void *arg;
    struct agent_item *item;
    struct agent_bound_port *port;
    size_t ports;
    struct agent_bound_segment *segment;
    size_t segments;
    struct agent_bound_uplink *uplink;
    size_t uplinks;
    struct agent_text text; /* of the chain that is being written */
};

/* Reads the table; ports' own chains are wanted then. */
void agent_heads_bind(struct agent_heads *h);
/* The text is what this chain shall have. */
void agent_heads_chain(struct agent_heads *h, const char *key);
/* `"a", "b"` of one letter's devices of all segments; with legs: only of those that have
 * one. */
void agent_heads_devices(struct agent_heads *h, struct agent_text *t, char letter, bool legs);
/* DHCP (ruleset_dhcp.c), in the chains where they are called. Between bridge ports: questions go to
 * this node's server only, and answers come from there only. */
void agent_heads_dhcp_bridge(struct agent_heads *h);
/* No rule decides about them. */
void agent_heads_dhcp_pass(struct agent_heads *h, bool out);
/* The leg of a segment without a router leads nowhere, */
void agent_heads_dhcp_no_way(struct agent_heads *h);
/* and to the server. */
void agent_heads_dhcp_to_node(struct agent_heads *h);
/* The base chains of what crosses an uplink. */
void agent_heads_gateways(struct agent_heads *h);

#endif
