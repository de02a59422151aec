/* What a lab is built from: a cluster file, which may have a section of the lab's own.
 *
 *   cluster: demo
 *   nics: …                      # as ever; the nodes of the cluster ignore what follows
 *   lab:
 *     networks: [fabric-a, fabric-b]                      # names of the paths, optional
 *     workloads:
 *       - {name: client1, paths: [10.71.1.50, 10.71.2.50]}
 *     transport-nodes:
 *       - {name: tn1, paths: [10.71.1.60]}
 *
 * Each path is a network of its own, to which every node has one interface; workloads and transport
 * nodes are joined to the first ones. So every cluster file is a topology, and a cluster can be
 * rehearsed by the file that it runs with. Without workloads there is one, `client`, with free
 * addresses. Pure but for reading the file. */
#ifndef LAB_TOPOLOGY_H
#define LAB_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io/files.h"
#include "cluster-cfg/cluster.h"

#define LAB_MACHINES_MAX (TS_NODES_MAX + 32)

enum lab_kind {
    LAB_KIND_NIC,
    LAB_KIND_ARBITER,
    LAB_KIND_WORKLOAD,
    LAB_KIND_TRANSPORT_NODE,
};

/* Static storage: "nic", "arbiter", "workload", "transport-node". */
const char *lab_kind_text(enum lab_kind kind);

/* One path of the cluster. */
struct lab_network {
    char name[CFG_NAME_MAX]; /* "path1" without another one */
    bool v6;
    uint8_t prefix; /* bits that all addresses have in common, at most 24, or 64 of IPv6 */
};

/* Whatever has namespaces, or a container, of its own. */
struct lab_machine {
    char name[CFG_NAME_MAX];
    enum lab_kind kind;
    uint8_t path_count;
    char paths[TS_PATHS_MAX][CFG_ADDR_MAX];
};

struct lab_topology {
    struct cfg_cluster cluster;
    size_t network_count;
    struct lab_network networks[TS_PATHS_MAX];
    size_t machine_count; /* the cluster's nodes in their order, then the others */
    struct lab_machine machines[LAB_MACHINES_MAX];
};

/* Reads and checks. TS_ERR_CONFIG: `why` has "FILE:LINE:COLUMN: what is wrong; what to do".
 * TS_ERR_NOT_FOUND, TS_ERR_IO, TS_ERR_LIMIT: the file cannot be read. TS_ERR_NOMEM. */
enum ts_err lab_topology_load(const char *file, struct lab_topology *out,
                              struct ts_why *why) TS_MUST_USE;
/* NULL: there is none of this name. Borrowed. */
const struct lab_machine *lab_topology_machine(const struct lab_topology *t, const char *name);

#endif
