/* The cluster's nodes as the links need them: names for certificates, socket addresses
 * for dialling, and whose address a connection comes from. */
#ifndef CLUSTER_CFG_IO_KNOWN_NODES_H
#define CLUSTER_CFG_IO_KNOWN_NODES_H

#include <stddef.h>

#include <sys/socket.h>

#include "base/err.h"
#include "base/ids.h"
#include "base/io/files.h"
#include "cluster-cfg/cluster.h"

struct known_nodes {
    const struct cfg_cluster *cluster; /* borrowed */
    size_t count;
    struct sockaddr_storage addresses[TS_NODES_MAX * TS_PATHS_MAX]; /* port 0 */
};

/* TS_ERR_CONFIG: an address in the cluster is none; `why` names it. */
enum ts_err known_nodes_init(struct known_nodes *k, const struct cfg_cluster *cluster,
                             struct ts_why *why) TS_MUST_USE;
/* For net_endpoint.name_of; `known` is the struct known_nodes. */
const char *known_nodes_name(const void *known, struct ts_nic_id node);
/* For net_listener_config.known: 1.. for each configured address, 0 for any other. */
unsigned known_nodes_find(const void *known, const struct sockaddr *from);
/* The node's address on a path, with `port`. The node and the path must exist. */
struct sockaddr_storage known_nodes_address(const struct known_nodes *k, struct ts_nic_id node,
                                            unsigned path, uint16_t port);

#endif
