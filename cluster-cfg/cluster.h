/* The cluster as its one YAML file declares it, with everything that is derived
 * from it: node ids, ports, timing. Pure data; cluster-cfg/io/cluster_yaml.h reads the file. */
#ifndef CLUSTER_CFG_CLUSTER_H
#define CLUSTER_CFG_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"
#include "cluster-cfg/config.h"

#define CFG_NAME_MAX 32 /* bytes, NUL included: [a-z0-9-], begins with a letter */
#define CFG_NAME_RULE "write 1 to 31 of a-z, 0-9 and -, a letter first"
#define CFG_ADDR_MAX 46 /* text of an IPv4 or IPv6 address, NUL included */

/* Limits and defaults of the cluster file. */
#define CFG_FAILURE_TIMEOUT_MIN (20 * TS_NS_PER_MS)
#define CFG_FAILURE_TIMEOUT_MAX (60 * TS_NS_PER_S)
#define CFG_FAILURE_TIMEOUT_DEFAULT (100 * TS_NS_PER_MS)
#define CFG_DISK_LIMIT_MIN (256ULL << 20)
#define CFG_DISK_LIMIT_MAX (1ULL << 50)
#define CFG_SCRUB_EVERY_MAX_S (720ULL * 3600)
#define CFG_BASE_PORT_DEFAULT 7400
/* Ports base_port .. base_port + CFG_PORTS_OWN - 1 are Twinstep's own on every node. */
#define CFG_PORTS_OWN (10 + TS_GROUPS_MAX + 1)

/* Where a node's metrics are to be had (Prometheus' text over HTTP). */
enum cfg_metrics {
    CFG_METRICS_LOOPBACK = 0, /* by this machine alone; the default */
    CFG_METRICS_PATH,         /* on the node's first path */
    CFG_METRICS_ADDRESS,      /* on `metrics_address`, the same on all nodes: 0.0.0.0, say */
    CFG_METRICS_OFF,
};

/* A NIC or an arbiter. */
struct cfg_node {
    struct ts_nic_id id; /* 1.., order of the file: NICs, then arbiters */
    char name[CFG_NAME_MAX];
    char host[CFG_NAME_MAX]; /* failure domain */
    bool arbiter;
    bool voter;
    uint8_t path_count;
    char paths[TS_PATHS_MAX][CFG_ADDR_MAX]; /* address on each path, same order on all nodes */
};

struct cfg_group {
    struct ts_group_id id; /* 1.., order of the file */
    char name[CFG_NAME_MAX];
    char service[CFG_NAME_MAX];
    enum cfg_durability durability;
    uint16_t client_port;
    bool client_tls;     /* clients speak TLS on it, and nothing else */
    uint16_t agent_port; /* of netctl: where its transport nodes' agents connect; 0 of others */
    /* What a replica's journal and snapshots may take on a disk, bytes; 0: half of its file system.
     */
    uint64_t disk_limit;
    /* From the end of one look through a replica's disk to the next one, ns; 0: an hour. */
    uint64_t scrub_every;
    /* Where its primary serves, whichever NIC that is (R4.8); "" when clients have the NICs' own
     * addresses only. */
    char address[CFG_ADDR_MAX];
    uint8_t address_prefix; /* bits of its network */
    uint8_t nic_count;
    struct ts_nic_id nics[TS_MEMBERS_MAX]; /* the first one is the first primary */
};

/* Where agents connect unless the cluster file says otherwise. */
#define CFG_AGENT_PORT 1235

/* All derived from failure_timeout, see cfg_timing_derive. Nanoseconds. */
struct cfg_timing {
    uint64_t failure_timeout;    /* the one that is set; default 100 ms, 20 ms..60 s */
    uint64_t heartbeat_interval; /* failure_timeout / 10: UDP, every path */
    uint64_t path_timeout;       /* failure_timeout / 2: a silent path is left */
    uint64_t link_ping_interval; /* failure_timeout / 5: replica to replica */
    uint64_t tie_delay;          /* failure_timeout / 5: what a secondary waits more on silence,
                                    and up to a quarter of it again */
    uint64_t proposer_retry;     /* failure_timeout / 2: first; doubles to 20 × */
    uint64_t poll_register;      /* failure_timeout × 3: a replica without a primary asks */
};

struct cfg_cluster {
    char name[CFG_NAME_MAX];
    uint16_t base_port; /* default 7400 */
    struct cfg_timing timing;
    enum cfg_metrics metrics;
    char metrics_address[CFG_ADDR_MAX]; /* with CFG_METRICS_ADDRESS */
    uint16_t metrics_port;              /* default base_port + 3 */
    size_t node_count;
    struct cfg_node nodes[TS_NODES_MAX];
    size_t group_count;
    struct cfg_group groups[TS_GROUPS_MAX];
};

/* Ports of a node, the same on each of its paths. */
static inline uint16_t cfg_port_voter(const struct cfg_cluster *c)
{
    return (uint16_t)(c->base_port + 1); /* TCP, TLS */
}
static inline uint16_t cfg_port_heartbeat(const struct cfg_cluster *c)
{
    return (uint16_t)(c->base_port + 2); /* UDP, HMAC */
}
static inline uint16_t cfg_port_replica(const struct cfg_cluster *c, struct ts_group_id g)
{
    return (uint16_t)(c->base_port + 10 + g.v); /* TCP, TLS */
}

static inline uint16_t cfg_port_metrics_default(uint16_t base_port)
{
    return (uint16_t)(base_port + 3); /* TCP, HTTP */
}
/* The address on which this node's metrics are, NULL when they are off; borrowed. On a node whose
 * first path is of the loopback network CFG_METRICS_LOOPBACK is that address, so that several nodes
 * of one machine have each its own. */
const char *cfg_metrics_address(const struct cfg_cluster *c, const struct cfg_node *node);

/* `failure_timeout_ns` must lie within CFG_FAILURE_TIMEOUT_MIN..MAX. */
struct cfg_timing cfg_timing_derive(uint64_t failure_timeout_ns);
/* Whether a node, host, group or cluster may be called this: it ends in file names, certificates
 * and host names. CFG_NAME_RULE says it to people. */
bool cfg_name_is_valid(const char *name);
/* NULL when there is none. Borrowed from `c`. */
const struct cfg_node *cfg_cluster_node(const struct cfg_cluster *c, struct ts_nic_id id);
const struct cfg_node *cfg_cluster_node_by_name(const struct cfg_cluster *c, const char *name);
const struct cfg_group *cfg_cluster_group(const struct cfg_cluster *c, struct ts_group_id id);
const struct cfg_group *cfg_cluster_group_by_name(const struct cfg_cluster *c, const char *name);
/* Whether the group has a replica on this NIC. */
bool cfg_group_has(const struct cfg_group *g, struct ts_nic_id nic);
/* What the failure of a host that carries several nodes would take. */
struct cfg_host_risk {
    const char *host; /* borrowed from the cluster */
    unsigned nodes;   /* that it carries; at least two when there is a risk */
    unsigned voters;
    unsigned voters_all;           /* of the cluster */
    bool majority;                 /* what is left has no majority of voters: all groups stop */
    const struct cfg_group *group; /* the first that would lose all its several replicas, or NULL */
};
/* Looks at the host of the node at `index`. Gives false when that node is not the first one of its
 * host, or when its failure alone stops nothing that several nodes were there to prevent. */
bool cfg_cluster_host_risk(const struct cfg_cluster *c, size_t index, struct cfg_host_risk *out);
/* A digest of all that the file says: two files that mean the same have the same one. Never zero;
 * for comparison within one release only. */
uint64_t cfg_cluster_digest(const struct cfg_cluster *c);
/* Writes the ids of the voters to `out` and returns their number. */
size_t cfg_cluster_voters(const struct cfg_cluster *c, struct ts_nic_id out[TS_VOTERS_MAX]);

#endif
