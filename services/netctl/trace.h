/* Which rule decides about a packet, and where: told from the nodes' tables, as their agents
 * evaluate them (docs/NETCTL.md). */
#ifndef SERVICES_NETCTL_TRACE_H
#define SERVICES_NETCTL_TRACE_H

#include <jansson.h>

#include "services/netctl/compile.h"
#include "services/netctl/schema.h"

struct netctl_packet {
    const char *from; /* paths of ports */
    const char *to;
    uint8_t protocol;     /* 1, 6, 17, 58, … */
    uint16_t destination; /* port, of TCP and UDP */
};

/* The first packet of a connection: where it passes, what decides there, whether it arrives. NULL
 * with *e: a port is none, or is nowhere. The caller's. */
json_t *netctl_trace(const struct netctl_compiler *c, const struct netctl_packet *p,
                     struct netctl_error *e);

#endif
