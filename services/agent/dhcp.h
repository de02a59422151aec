/* What the server of DHCP is told, a configuration of dnsmasq a segment: static bindings, and
 * nobody else is answered. It listens on the leg of its segment (ruleset_dhcp.c says what gets
 * there), and keeps no file of leases. A routed segment is answered from its gateway's address.
 * Pure. */
#ifndef SERVICES_AGENT_DHCP_H
#define SERVICES_AGENT_DHCP_H

#include "services/agent/object.h"

/* For each segment whose DHCP is answered here: its VNI → the configuration. Another interface
 * gives another text. Tells what is not realized. */
void agent_dhcp_configs(const struct netctl_tree *table, const struct agent_place *place,
                        struct netctl_tree *configs, agent_told *told, void *arg);

#endif
