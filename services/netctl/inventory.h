/* What transport nodes tell of themselves: the address of a node's tunnels, the workloads'
 * interfaces that are there (vifs), the interfaces that lead out of the network (uplinks). It is no
 * intent: whoever declares a port does not know where its workload runs. */
#ifndef SERVICES_NETCTL_INVENTORY_H
#define SERVICES_NETCTL_INVENTORY_H

#include <jansson.h>

#include "services/netctl/schema.h"
#include "services/netctl/tree.h"

#define NETCTL_VIFS_MAX 10000
#define NETCTL_UPLINKS_MAX 64
/* Bytes of a vif or an uplink. */
#define NETCTL_VIF_MAX 200
/* Where a transport node's object stands; behind it is its id. */
#define NETCTL_NODES "/infra/sites/default/enforcement-points/default/host-transport-nodes/"

struct netctl_inventory {
    /* A node's id → JSON with sorted keys: told (a number, higher than those of all that told
     * before), uplinks, vifs (sorted), vtep. */
    struct netctl_tree nodes;
    struct netctl_tree tunnels; /* vtep → a node's id; follows from `nodes` */
    uint64_t told;
};

struct netctl_inventory netctl_inventory_make(uint64_t seed);
void netctl_inventory_free(struct netctl_inventory *i);

/* What the node of this path, or of this id, tells: {"vtep": ADDRESS, "vifs": […], "uplinks": […]}.
 * `objects`: that there is one. False: nothing has changed, and *e says why. */
bool netctl_inventory_tell(struct netctl_inventory *i, const struct netctl_tree *objects,
                           const char *node, const json_t *body, struct netctl_error *e);
/* Forgets the nodes whose objects were there before and are not any more. */
void netctl_inventory_follow(struct netctl_inventory *i, const struct netctl_tree *before,
                             const struct netctl_tree *after);
/* For a load: one node as it was kept; its object is there. False: it is none. */
bool netctl_inventory_load(struct netctl_inventory *i, const struct netctl_tree *objects,
                           const char *id, struct ts_bytes text);
/* Of all nodes, when `told` is known. */
bool netctl_inventory_loaded(const struct netctl_inventory *i);

/* Whether `text` can be a vif or an uplink's alias: 1 to NETCTL_VIF_MAX bytes, no control
 * characters. */
bool netctl_vif_is_valid(const char *text);

#endif
