#include "cluster-cfg/io/cluster_yaml.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/io/yaml_doc.h"

static const char *const ROOT_KEYS[] = {
    "cluster", "failure-timeout", "base-port", "metrics", "metrics-port",
    "nics",    "arbiters",        "groups",    "lab",     NULL};
static const char *const NODE_KEYS[] = {"name", "host", "paths", "voter", NULL};
static const char *const GROUP_KEYS[] = {"name",       "service",    "nics",       "port",
                                         "durability", "client-tls", "disk-limit", "scrub-every",
                                         "address",    "agent-port", NULL};
/* A node lives in RUN/NAME: these names are files of RUN itself, and "status" speaks in alarms. */
static const char *const RESERVED[] = {"ca",  "demo",   "formed", "lock",
                                       "run", "status", "users",  NULL};
static const char *const SERVICES[] = {"kv", "netctl", NULL};

/* The YAML node behind each part, for errors that only show once all is read. */
struct places {
    const yaml_node_t *node[TS_NODES_MAX];
    const yaml_node_t *path[TS_NODES_MAX][TS_PATHS_MAX];
    const yaml_node_t *port[TS_GROUPS_MAX];
    const yaml_node_t *agent_port[TS_GROUPS_MAX]; /* NULL: the default, or none */
    const yaml_node_t *metrics_port;              /* NULL: the default */
    const yaml_node_t *address[TS_GROUPS_MAX];
};

static void read_name(struct yaml_doc *y, const yaml_node_t *node, const char *what,
                      char out[CFG_NAME_MAX])
{
    const char *text = yaml_doc_text(y, node, what);
    if (y->failed) {
        return;
    }
    if (!cfg_name_is_valid(text)) {
        yaml_doc_fail(y, node, "%s is \"%.40s\"; " CFG_NAME_RULE, what, text);
        return;
    }
    memcpy(out, text, strlen(text) + 1);
}

/* Gives `out` as inet_ntop writes it, so that equal addresses are equal texts; otherwise what is
 * wrong with it. */
static const char *read_ip(const char *text, char out[CFG_ADDR_MAX])
{
    struct in_addr v4;
    struct in6_addr v6;
    bool one = false;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        uint32_t a = ntohl(v4.s_addr);
        one = a != 0 && a < 0xe0000000U;
        (void)inet_ntop(AF_INET, &v4, out, CFG_ADDR_MAX);
    } else if (inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LINKLOCAL(&v6)) {
        return "a link's own address, which means nothing elsewhere";
    } else if (inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_V4MAPPED(&v6)) {
        return "an IPv4 address within an IPv6 one";
    } else if (inet_pton(AF_INET6, text, &v6) == 1) {
        one = memcmp(&v6, &in6addr_any, sizeof(v6)) != 0 && v6.s6_addr[0] != 0xff;
        (void)inet_ntop(AF_INET6, &v6, out, CFG_ADDR_MAX);
    } else {
        return "not an IP address";
    }
    return one ? NULL : "no address of one machine";
}

static void read_address(struct yaml_doc *y, const yaml_node_t *node, char out[CFG_ADDR_MAX])
{
    const char *text = yaml_doc_text(y, node, "a path's address");
    const char *bad = y->failed ? NULL : read_ip(text, out);
    if (bad != NULL) {
        yaml_doc_fail(y, node, "\"%.60s\" is %s; write one like 10.0.1.1 or fd00::1", text, bad);
    }
}

static void read_paths(struct yaml_doc *y, const yaml_node_t *list, struct cfg_node *out,
                       const yaml_node_t *places[TS_PATHS_MAX])
{
    size_t n = yaml_doc_count(y, list, "paths");
    if (!y->failed && (n == 0 || n > TS_PATHS_MAX)) {
        yaml_doc_fail(y, list, "%s has %zu paths; give it 1 to %d addresses, one a path", out->name,
                      n, TS_PATHS_MAX);
    }
    for (size_t i = 0; i < n && !y->failed; i++) {
        places[i] = yaml_doc_item(y, list, i);
        read_address(y, places[i], out->paths[i]);
    }
    out->path_count = (uint8_t)(y->failed ? 0 : n);
}

static void read_node(struct yaml_doc *y, const yaml_node_t *map, bool arbiter,
                      struct cfg_cluster *c, struct places *at)
{
    const char *what = arbiter ? "an arbiter" : "a NIC";
    yaml_doc_check_map(y, map, what, NODE_KEYS);
    const yaml_node_t *name = yaml_doc_need(y, map, what, "name");
    struct cfg_node *n = &c->nodes[c->node_count];
    *n = (struct cfg_node){.id = {(uint16_t)(c->node_count + 1)}, .arbiter = arbiter};
    read_name(y, name, "name", n->name);
    if (!y->failed && cfg_cluster_node_by_name(c, n->name) != NULL) {
        yaml_doc_fail(y, name, "a node named \"%s\" is there already; give each its own name",
                      n->name);
    }
    for (size_t i = 0; RESERVED[i] != NULL && !y->failed; i++) {
        if (strcmp(RESERVED[i], n->name) == 0) {
            yaml_doc_fail(y, name,
                          "the name \"%s\" is taken by Twinstep itself in the run directory; give "
                          "the node another one",
                          n->name);
        }
    }
    const yaml_node_t *host = yaml_doc_get(y, map, "host");
    if (host != NULL) {
        read_name(y, host, "host", n->host);
    } else {
        memcpy(n->host, n->name, sizeof(n->host));
    }
    const yaml_node_t *paths = yaml_doc_need(y, map, what, "paths");
    read_paths(y, paths, n, at->path[c->node_count]);
    const yaml_node_t *voter = yaml_doc_get(y, map, "voter");
    n->voter = voter == NULL || yaml_doc_bool(y, voter, "voter");
    if (!y->failed && arbiter && !n->voter) {
        yaml_doc_fail(y, voter, "an arbiter without a vote does nothing; remove it or let it vote");
    }
    at->node[c->node_count] = map;
    if (!y->failed) {
        c->node_count++;
    }
}

static void read_nodes(struct yaml_doc *y, const yaml_node_t *list, bool arbiters,
                       struct cfg_cluster *c, struct places *at)
{
    const char *what = arbiters ? "arbiters" : "nics";
    size_t n = yaml_doc_count(y, list, what);
    if (!y->failed && !arbiters && n == 0) {
        yaml_doc_fail(y, list, "the list of nics is empty; name at least one");
    }
    for (size_t i = 0; i < n && !y->failed; i++) {
        const yaml_node_t *item = yaml_doc_item(y, list, i);
        if (c->node_count == TS_NODES_MAX) {
            yaml_doc_fail(y, item, "more than %d NICs and arbiters; remove some", TS_NODES_MAX);
            return;
        }
        read_node(y, item, arbiters, c, at);
    }
}

static void read_group_nic(struct yaml_doc *y, const yaml_node_t *node, const struct cfg_cluster *c,
                           struct cfg_group *g)
{
    char name[CFG_NAME_MAX] = "";
    read_name(y, node, "a NIC of the group", name);
    if (y->failed) {
        return;
    }
    const struct cfg_node *nic = cfg_cluster_node_by_name(c, name);
    if (nic == NULL) {
        yaml_doc_fail(y, node, "group %s names \"%s\", which is no NIC; use a name under nics",
                      g->name, name);
    } else if (nic->arbiter) {
        yaml_doc_fail(y, node, "group %s names the arbiter \"%s\"; an arbiter holds no replica",
                      g->name, name);
    } else if (cfg_group_has(g, nic->id)) {
        yaml_doc_fail(y, node, "group %s names \"%s\" twice; remove one", g->name, name);
    } else {
        g->nics[g->nic_count++] = nic->id;
    }
}

static void read_group_nics(struct yaml_doc *y, const yaml_node_t *map, const yaml_node_t *list,
                            const struct cfg_cluster *c, struct cfg_group *g)
{
    if (y->failed) {
        return;
    }
    size_t n = 0;
    if (list != NULL) {
        n = yaml_doc_count(y, list, "nics of a group");
    } else {
        for (size_t i = 0; i < c->node_count; i++) {
            n += !c->nodes[i].arbiter;
        }
    }
    if (!y->failed && (n == 0 || n > TS_MEMBERS_MAX)) {
        yaml_doc_fail(y, list != NULL ? list : map,
                      "group %s has %zu NICs; name 1 to %d under nics", g->name, n, TS_MEMBERS_MAX);
    }
    for (size_t i = 0; list != NULL && i < n && !y->failed; i++) {
        read_group_nic(y, yaml_doc_item(y, list, i), c, g);
    }
    for (size_t i = 0; list == NULL && i < n && !y->failed; i++) {
        g->nics[g->nic_count++] = c->nodes[i].id; /* NICs stand first */
    }
}

static void read_service(struct yaml_doc *y, const yaml_node_t *node, struct cfg_group *g)
{
    read_name(y, node, "service", g->service);
    for (size_t i = 0; SERVICES[i] != NULL && !y->failed; i++) {
        if (strcmp(SERVICES[i], g->service) == 0) {
            return;
        }
    }
    yaml_doc_fail(y, node, "there is no service \"%s\"; known are: kv, netctl", g->service);
}

/* R2.10's memory mode needs the clean marker: until a replica writes it, saying so here is the
 * only safe answer. */
static enum cfg_durability read_durability(struct yaml_doc *y, const yaml_node_t *node)
{
    const char *text = yaml_doc_text(y, node, "durability");
    if (!y->failed && strcmp(text, "disk") != 0) {
        yaml_doc_fail(y, node, "durability is \"%.40s\"; this version offers: disk", text);
    }
    return CFG_DURABILITY_DISK;
}

static bool read_client_tls(struct yaml_doc *y, const yaml_node_t *node)
{
    const char *text = yaml_doc_text(y, node, "client-tls");
    if (y->failed) {
        return false;
    }
    if (strcmp(text, "required") != 0 && strcmp(text, "off") != 0) {
        yaml_doc_fail(y, node, "client-tls is \"%.40s\"; write required or off", text);
    }
    return strcmp(text, "required") == 0;
}

/* "8GiB", "512MiB". */
static uint64_t read_disk_limit(struct yaml_doc *y, const yaml_node_t *node)
{
    const char *text = yaml_doc_text(y, node, "disk-limit");
    uint64_t v = 0;
    size_t i = 0;
    if (y->failed) {
        return 0;
    }
    for (; i < 9 && text[i] >= '0' && text[i] <= '9'; i++) {
        v = v * 10 + (uint64_t)(text[i] - '0');
    }
    unsigned shift = strcmp(text + i, "MiB") == 0   ? 20
                     : strcmp(text + i, "GiB") == 0 ? 30
                     : strcmp(text + i, "TiB") == 0 ? 40
                                                    : 0;
    if (i == 0 || shift == 0) {
        yaml_doc_fail(y, node,
                      "disk-limit is \"%.40s\"; write a number with MiB, GiB or TiB, like 8GiB",
                      text);
    } else if (v << shift < CFG_DISK_LIMIT_MIN || v << shift > CFG_DISK_LIMIT_MAX) {
        yaml_doc_fail(y, node, "disk-limit is %.40s; choose from 256MiB to 1024TiB", text);
    }
    return y->failed ? 0 : v << shift;
}

/* "30s", "10min", "1h"; nanoseconds. */
static uint64_t read_scrub_every(struct yaml_doc *y, const yaml_node_t *node)
{
    const char *text = yaml_doc_text(y, node, "scrub-every");
    uint64_t v = 0;
    size_t i = 0;
    if (y->failed) {
        return 0;
    }
    for (; i < 9 && text[i] >= '0' && text[i] <= '9'; i++) {
        v = v * 10 + (uint64_t)(text[i] - '0');
    }
    uint64_t unit = strcmp(text + i, "s") == 0     ? 1
                    : strcmp(text + i, "min") == 0 ? 60
                    : strcmp(text + i, "h") == 0   ? 3600
                                                   : 0;
    if (i == 0 || unit == 0) {
        yaml_doc_fail(y, node, "scrub-every is \"%.40s\"; write a number with s, min or h, like 1h",
                      text);
    } else if (v == 0 || v * unit > CFG_SCRUB_EVERY_MAX_S) {
        yaml_doc_fail(y, node, "scrub-every is %.40s; choose from 1s to 720h", text);
    }
    return y->failed ? 0 : v * unit * TS_NS_PER_S;
}

/* Whether it is the network's own address, or of IPv4 its broadcast address: no machine's. With two
 * addresses in a network (RFC 3021, RFC 6164) both are machines'. */
static bool is_of_network(const char *ip, unsigned prefix)
{
    uint8_t a[16] = {0};
    bool v6 = strchr(ip, ':') != NULL;
    unsigned bits = v6 ? 128 : 32;
    bool first = true;
    bool last = !v6;
    int good = inet_pton(v6 ? AF_INET6 : AF_INET, ip, a);
    ts_assert(good == 1);
    for (unsigned i = prefix; i < bits; i++) {
        bool set = (a[i / 8] >> (7 - i % 8) & 1) != 0;
        first = first && !set;
        last = last && set;
    }
    return prefix + 1 < bits && (first || last);
}

/* "192.0.2.10/24", "2001:db8::10/64". */
static void read_service_address(struct yaml_doc *y, const yaml_node_t *node, struct cfg_group *g)
{
    char ip[CFG_ADDR_MAX] = "";
    const char *text = yaml_doc_text(y, node, "address");
    const char *slash = y->failed ? NULL : strchr(text, '/');
    unsigned prefix = 0;
    size_t i = 0;
    for (; slash != NULL && i < 3 && slash[1 + i] >= '0' && slash[1 + i] <= '9'; i++) {
        prefix = prefix * 10 + (unsigned)(slash[1 + i] - '0');
    }
    size_t len = slash == NULL ? 0 : (size_t)(slash - text);
    if (y->failed) {
        return;
    }
    if (len > 0 && len < sizeof(ip)) {
        memcpy(ip, text, len);
        ip[len] = '\0';
    }
    unsigned most = strchr(ip, ':') != NULL ? 128 : 32;
    /* A network of one address has no interface that it could come to. */
    if (i == 0 || slash[1 + i] != '\0' || prefix == 0 || prefix >= most ||
        read_ip(ip, g->address) != NULL) {
        yaml_doc_fail(y, node,
                      "address is \"%.60s\"; write the IP address of one machine and the bits of "
                      "its network, like 192.0.2.10/24 or 2001:db8::10/64",
                      text);
    } else if (is_of_network(g->address, prefix)) {
        yaml_doc_fail(
            y, node, "%s is the first or the last of its network, no machine's; choose another one",
            g->address);
    }
    g->address_prefix = (uint8_t)prefix;
}

static void read_group(struct yaml_doc *y, const yaml_node_t *map, struct cfg_cluster *c,
                       struct places *at)
{
    yaml_doc_check_map(y, map, "a group", GROUP_KEYS);
    struct cfg_group *g = &c->groups[c->group_count];
    *g = (struct cfg_group){.id = {(uint16_t)(c->group_count + 1)}};
    const yaml_node_t *name = yaml_doc_need(y, map, "a group", "name");
    read_name(y, name, "name", g->name);
    if (!y->failed && cfg_cluster_group_by_name(c, g->name) != NULL) {
        yaml_doc_fail(y, name, "a group named \"%s\" is there already; give each its own name",
                      g->name);
    }
    const yaml_node_t *service = yaml_doc_need(y, map, "a group", "service");
    read_service(y, service, g);
    read_group_nics(y, map, yaml_doc_get(y, map, "nics"), c, g);
    const yaml_node_t *port = yaml_doc_need(y, map, "a group", "port");
    g->client_port = (uint16_t)yaml_doc_number(y, port, "port", 1, UINT16_MAX);
    const yaml_node_t *durability = yaml_doc_get(y, map, "durability");
    if (durability != NULL) {
        g->durability = read_durability(y, durability);
    }
    const yaml_node_t *tls = yaml_doc_get(y, map, "client-tls");
    g->client_tls = tls != NULL && read_client_tls(y, tls);
    const yaml_node_t *agents = yaml_doc_get(y, map, "agent-port");
    if (strcmp(g->service, "netctl") == 0) {
        g->agent_port = agents == NULL
                            ? CFG_AGENT_PORT
                            : (uint16_t)yaml_doc_number(y, agents, "agent-port", 1, UINT16_MAX);
        if (tls != NULL && !g->client_tls && !y->failed) {
            yaml_doc_fail(y, tls, "netctl speaks HTTPS only; leave client-tls out");
        }
        g->client_tls = true;
    } else if (agents != NULL) {
        yaml_doc_fail(y, agents, "agent-port is for groups of netctl only; leave it out");
    }
    at->agent_port[c->group_count] = agents;
    const yaml_node_t *limit = yaml_doc_get(y, map, "disk-limit");
    g->disk_limit = limit != NULL ? read_disk_limit(y, limit) : 0;
    const yaml_node_t *scrub = yaml_doc_get(y, map, "scrub-every");
    g->scrub_every = scrub != NULL ? read_scrub_every(y, scrub) : 0;
    const yaml_node_t *address = yaml_doc_get(y, map, "address");
    if (address != NULL) {
        read_service_address(y, address, g);
    }
    at->address[c->group_count] = address;
    at->port[c->group_count] = port;
    if (!y->failed) {
        c->group_count++;
    }
}

static void read_groups(struct yaml_doc *y, const yaml_node_t *list, struct cfg_cluster *c,
                        struct places *at)
{
    size_t n = yaml_doc_count(y, list, "groups");
    if (!y->failed && (n == 0 || n > TS_GROUPS_MAX)) {
        yaml_doc_fail(y, list, "%zu groups; describe 1 to %d", n, TS_GROUPS_MAX);
    }
    for (size_t i = 0; i < n && !y->failed; i++) {
        read_group(y, yaml_doc_item(y, list, i), c, at);
    }
}

/* Every node has the same paths: path n of one reaches path n of all others. */
static void check_paths(struct yaml_doc *y, const struct cfg_cluster *c, const struct places *at)
{
    const struct cfg_node *first = &c->nodes[0];
    for (size_t i = 0; i < c->node_count && !y->failed; i++) {
        const struct cfg_node *n = &c->nodes[i];
        if (n->path_count != first->path_count) {
            yaml_doc_fail(y, at->node[i], "%s has %u paths but %s has %u; give all nodes the same",
                          n->name, n->path_count, first->name, first->path_count);
            return;
        }
        for (size_t p = 0; p < n->path_count && !y->failed; p++) {
            if ((strchr(n->paths[p], ':') == NULL) != (strchr(first->paths[p], ':') == NULL)) {
                yaml_doc_fail(y, at->path[i][p],
                              "path %zu mixes IPv4 and IPv6 (%s has %s); use one family a path",
                              p + 1, first->name, first->paths[p]);
            }
        }
    }
}

static const struct cfg_node *address_owner(const struct cfg_cluster *c, size_t node, size_t path)
{
    const char *address = c->nodes[node].paths[path];
    for (size_t i = 0; i <= node; i++) {
        size_t end = i == node ? path : c->nodes[i].path_count;
        for (size_t p = 0; p < end; p++) {
            if (strcmp(c->nodes[i].paths[p], address) == 0) {
                return &c->nodes[i];
            }
        }
    }
    return NULL;
}

static void check_addresses(struct yaml_doc *y, const struct cfg_cluster *c,
                            const struct places *at)
{
    for (size_t i = 0; i < c->node_count && !y->failed; i++) {
        for (size_t p = 0; p < c->nodes[i].path_count && !y->failed; p++) {
            const struct cfg_node *owner = address_owner(c, i, p);
            if (owner != NULL) {
                yaml_doc_fail(y, at->path[i][p],
                              "address %s is %s's already; give each path of each node its own",
                              c->nodes[i].paths[p], owner->name);
            }
        }
    }
}

static void check_voters(struct yaml_doc *y, const yaml_node_t *root, const struct cfg_cluster *c,
                         const struct places *at)
{
    if (y->failed) {
        return;
    }
    size_t voters = 0;
    const yaml_node_t *last = root;
    for (size_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i].voter) {
            voters++;
            last = at->node[i];
        }
    }
    if (voters == 0) {
        yaml_doc_fail(y, last, "no node votes; remove \"voter: false\" from one");
    } else if (voters > TS_VOTERS_MAX) {
        yaml_doc_fail(y, last, "%zu voters, at most %d are allowed; set \"voter: false\" on some",
                      voters, TS_VOTERS_MAX);
    } else if (voters % 2 == 0) {
        yaml_doc_fail(y, last,
                      "%zu voters: an even number cannot break a tie; add an arbiter or set "
                      "\"voter: false\" on one node",
                      voters);
    }
}

static bool share_nic(const struct cfg_group *a, const struct cfg_group *b)
{
    for (size_t i = 0; i < a->nic_count; i++) {
        if (cfg_group_has(b, a->nics[i])) {
            return true;
        }
    }
    return false;
}

/* A port of group `i`, as it stands at `node`, must be nobody else's on its NICs. */
static void check_port(struct yaml_doc *y, const struct cfg_cluster *c, const yaml_node_t *node,
                       size_t i, uint16_t port)
{
    unsigned own_last = c->base_port + CFG_PORTS_OWN - 1U;
    const struct cfg_group *g = &c->groups[i];
    if (port >= c->base_port && port <= own_last) {
        yaml_doc_fail(y, node,
                      "port %u of group %s lies in Twinstep's own %u..%u; choose another or "
                      "move base-port",
                      port, g->name, c->base_port, own_last);
    }
    for (size_t j = 0; j < i && !y->failed; j++) {
        const struct cfg_group *other = &c->groups[j];
        if ((other->client_port == port || other->agent_port == port) && share_nic(other, g)) {
            yaml_doc_fail(y, node, "port %u is group %s's already on a shared NIC; choose another",
                          port, other->name);
        }
    }
}

static void check_ports(struct yaml_doc *y, const struct cfg_cluster *c, const struct places *at)
{
    for (size_t i = 0; i < c->group_count && !y->failed; i++) {
        const struct cfg_group *g = &c->groups[i];
        const yaml_node_t *agents = at->agent_port[i] != NULL ? at->agent_port[i] : at->port[i];
        check_port(y, c, at->port[i], i, g->client_port);
        if (g->agent_port != 0 && !y->failed) {
            check_port(y, c, agents, i, g->agent_port);
        }
        if (g->agent_port == g->client_port && !y->failed) {
            yaml_doc_fail(y, agents, "port and agent-port of group %s are both %u; choose another",
                          g->name, g->client_port);
        }
    }
}

static void read_metrics_address(struct yaml_doc *y, const yaml_node_t *node, struct cfg_cluster *c)
{
    const char *text = yaml_doc_text(y, node, "metrics");
    struct in6_addr any;
    if (y->failed) {
        return;
    }
    if (strcmp(text, "loopback") == 0) {
        c->metrics = CFG_METRICS_LOOPBACK;
    } else if (strcmp(text, "path") == 0) {
        c->metrics = CFG_METRICS_PATH;
    } else if (strcmp(text, "off") == 0) {
        c->metrics = CFG_METRICS_OFF;
    } else if (inet_pton(AF_INET, text, &any) == 1 || inet_pton(AF_INET6, text, &any) == 1) {
        c->metrics = CFG_METRICS_ADDRESS;
        (void)snprintf(c->metrics_address, sizeof(c->metrics_address), "%s", text);
    } else {
        yaml_doc_fail(y, node,
                      "metrics is \"%.40s\"; write loopback, path (each node's first one), off, or "
                      "an IP address such as 0.0.0.0",
                      text);
    }
}

static void read_metrics(struct yaml_doc *y, const yaml_node_t *root, struct cfg_cluster *c,
                         struct places *at)
{
    const yaml_node_t *address = yaml_doc_get(y, root, "metrics");
    at->metrics_port = yaml_doc_get(y, root, "metrics-port");
    c->metrics_port = cfg_port_metrics_default(c->base_port);
    if (address != NULL) {
        read_metrics_address(y, address, c);
    }
    if (at->metrics_port != NULL) {
        c->metrics_port =
            (uint16_t)yaml_doc_number(y, at->metrics_port, "metrics-port", 1, UINT16_MAX);
    }
}

/* The default lies among Twinstep's own ports, which no group may take; another one must not. */
static void check_metrics_port(struct yaml_doc *y, const struct cfg_cluster *c,
                               const struct places *at)
{
    uint16_t port = c->metrics_port;
    bool own = port >= c->base_port && port < c->base_port + CFG_PORTS_OWN;
    if (y->failed || at->metrics_port == NULL) {
        return;
    }
    if (own && port != cfg_port_metrics_default(c->base_port)) {
        yaml_doc_fail(y, at->metrics_port,
                      "metrics-port %u lies in Twinstep's own %u..%u; choose another", port,
                      c->base_port, c->base_port + CFG_PORTS_OWN - 1U);
    }
    for (size_t i = 0; i < c->group_count && !y->failed; i++) {
        if (c->groups[i].client_port == port || c->groups[i].agent_port == port) {
            yaml_doc_fail(y, at->metrics_port, "port %u is group %s's already; choose another",
                          port, c->groups[i].name);
        }
    }
}

/* A service address is of one group alone: each goes its own way. */
static void check_service_addresses(struct yaml_doc *y, const struct cfg_cluster *c,
                                    const struct places *at)
{
    for (size_t i = 0; i < c->group_count && !y->failed; i++) {
        const char *address = c->groups[i].address;
        for (size_t n = 0; n < c->node_count && address[0] != '\0' && !y->failed; n++) {
            for (size_t p = 0; p < c->nodes[n].path_count; p++) {
                if (strcmp(c->nodes[n].paths[p], address) == 0) {
                    yaml_doc_fail(y, at->address[i],
                                  "%s is %s's own; a service address goes from NIC to NIC: choose "
                                  "another one",
                                  address, c->nodes[n].name);
                }
            }
        }
        for (size_t j = 0; j < i && address[0] != '\0' && !y->failed; j++) {
            if (strcmp(c->groups[j].address, address) == 0) {
                yaml_doc_fail(y, at->address[i],
                              "%s is group %s's; each group has its own: choose another one",
                              address, c->groups[j].name);
            }
        }
    }
}

static void read_cluster(struct yaml_doc *y, struct cfg_cluster *c, struct places *at)
{
    const yaml_node_t *root = yaml_doc_root(y);
    yaml_doc_check_map(y, root, "the cluster file", ROOT_KEYS);
    const yaml_node_t *name = yaml_doc_need(y, root, "the cluster file", "cluster");
    read_name(y, name, "cluster", c->name);

    uint64_t timeout = CFG_FAILURE_TIMEOUT_DEFAULT;
    const yaml_node_t *timeout_node = yaml_doc_get(y, root, "failure-timeout");
    if (timeout_node != NULL) {
        timeout = yaml_doc_duration(y, timeout_node, "failure-timeout", CFG_FAILURE_TIMEOUT_MIN,
                                    CFG_FAILURE_TIMEOUT_MAX);
    }
    c->base_port = CFG_BASE_PORT_DEFAULT;
    const yaml_node_t *port = yaml_doc_get(y, root, "base-port");
    if (port != NULL) {
        c->base_port =
            (uint16_t)yaml_doc_number(y, port, "base-port", 1024, UINT16_MAX - CFG_PORTS_OWN + 1);
    }
    read_metrics(y, root, c, at);
    const yaml_node_t *nics = yaml_doc_need(y, root, "the cluster file", "nics");
    read_nodes(y, nics, false, c, at);
    const yaml_node_t *arbiters = yaml_doc_get(y, root, "arbiters");
    if (arbiters != NULL) {
        read_nodes(y, arbiters, true, c, at);
    }
    check_paths(y, c, at);
    check_addresses(y, c, at);
    check_voters(y, root, c, at);
    const yaml_node_t *groups = yaml_doc_need(y, root, "the cluster file", "groups");
    read_groups(y, groups, c, at);
    check_ports(y, c, at);
    check_metrics_port(y, c, at);
    check_service_addresses(y, c, at);
    if (!y->failed) {
        c->timing = cfg_timing_derive(timeout);
    }
}

enum ts_err cluster_yaml_parse(const char *name, struct ts_bytes text, struct cfg_cluster *out,
                               char error[CLUSTER_YAML_ERROR_MAX])
{
    struct yaml_doc y;
    struct places at = {0};
    *out = (struct cfg_cluster){0};
    yaml_doc_open(&y, name, text, error, CLUSTER_YAML_ERROR_MAX);
    if (!y.failed) {
        read_cluster(&y, out, &at);
    }
    yaml_doc_close(&y);
    ts_assert(y.failed == (error[0] != '\0'));
    return y.failed ? TS_ERR_CONFIG : TS_OK;
}

enum ts_err cluster_yaml_load(const char *file, struct cfg_cluster *out,
                              char error[CLUSTER_YAML_ERROR_MAX])
{
    enum ts_err err = TS_OK;
    uint8_t *text = NULL;
    FILE *f = fopen(file, "re");
    if (f == NULL) {
        err = errno == ENOENT ? TS_ERR_NOT_FOUND : TS_ERR_IO;
        (void)snprintf(error, CLUSTER_YAML_ERROR_MAX,
                       "%.200s: cannot open the cluster file: %s; name one with --config FILE",
                       file, strerror(errno));
        return err;
    }
    text = malloc(CLUSTER_YAML_BYTES_MAX + 1);
    size_t n = text == NULL ? 0 : fread(text, 1, CLUSTER_YAML_BYTES_MAX + 1, f);
    if (text == NULL) {
        err = TS_ERR_NOMEM;
        (void)snprintf(error, CLUSTER_YAML_ERROR_MAX, "%.200s: out of memory; free some", file);
    } else if (ferror(f) != 0) {
        err = TS_ERR_IO;
        (void)snprintf(error, CLUSTER_YAML_ERROR_MAX,
                       "%.200s: cannot read the cluster file: %s; check the file", file,
                       strerror(errno));
    } else if (n > CLUSTER_YAML_BYTES_MAX) {
        err = TS_ERR_LIMIT;
        (void)snprintf(error, CLUSTER_YAML_ERROR_MAX,
                       "%.200s: the cluster file is larger than %d bytes; is it the right file?",
                       file, CLUSTER_YAML_BYTES_MAX);
    } else {
        err = cluster_yaml_parse(file, (struct ts_bytes){text, n}, out, error);
    }
    free(text);
    (void)fclose(f);
    return err;
}
