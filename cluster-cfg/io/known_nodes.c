#include "cluster-cfg/io/known_nodes.h"

#include <string.h>

#include <netinet/in.h>

#include "base/assert.h"
#include "net/link.h"

enum ts_err known_nodes_init(struct known_nodes *k, const struct cfg_cluster *cluster,
                             struct ts_why *why)
{
    k->cluster = cluster;
    k->count = 0;
    for (size_t i = 0; i < cluster->node_count; i++) {
        const struct cfg_node *n = &cluster->nodes[i];
        for (size_t p = 0; p < n->path_count; p++) {
            if (net_address(n->paths[p], 0, &k->addresses[k->count]) != TS_OK) {
                return ts_why(why, TS_ERR_CONFIG,
                              "node %s: \"%s\" is no IPv4 or IPv6 address: correct its paths in "
                              "the cluster file",
                              n->name, n->paths[p]);
            }
            k->count++;
        }
    }
    return TS_OK;
}

const char *known_nodes_name(const void *known, struct ts_nic_id node)
{
    const struct known_nodes *k = known;
    const struct cfg_node *n = cfg_cluster_node(k->cluster, node);
    return n == NULL ? NULL : n->name;
}

static bool known_same_ip(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family) {
        return false;
    }
    if (a->sa_family == AF_INET) {
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    }
    return a->sa_family == AF_INET6 &&
           memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

unsigned known_nodes_find(const void *known, const struct sockaddr *from)
{
    const struct known_nodes *k = known;
    for (size_t i = 0; i < k->count; i++) {
        if (known_same_ip((const struct sockaddr *)&k->addresses[i], from)) {
            return (unsigned)i + 1;
        }
    }
    return 0;
}

struct sockaddr_storage known_nodes_address(const struct known_nodes *k, struct ts_nic_id node,
                                            unsigned path, uint16_t port)
{
    const struct cfg_node *n = cfg_cluster_node(k->cluster, node);
    ts_assert(n != NULL && path < n->path_count);
    struct sockaddr_storage out;
    enum ts_err err = net_address(n->paths[path], port, &out);
    ts_assert(err == TS_OK); /* known_nodes_init looked at every address */
    return out;
}
