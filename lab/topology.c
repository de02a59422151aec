#include "lab/topology.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/io/cluster_yaml.h"
#include "cluster-cfg/io/yaml_doc.h"

#define V4_PREFIX 24
#define V6_PREFIX 64
/* Less in common than this is no network that a switch joins. */
#define PREFIX_MIN 8

static const char *const LAB_KEYS[] = {"networks", "workloads", "transport-nodes", NULL};
static const char *const MACHINE_KEYS[] = {"name", "paths", NULL};

const char *lab_kind_text(enum lab_kind kind)
{
    static const char *const TEXTS[] = {"nic", "arbiter", "workload", "transport-node"};
    return TEXTS[kind];
}

const struct lab_machine *lab_topology_machine(const struct lab_topology *t, const char *name)
{
    for (size_t i = 0; i < t->machine_count; i++) {
        if (strcmp(t->machines[i].name, name) == 0) {
            return &t->machines[i];
        }
    }
    return NULL;
}

/* ---- addresses ---------------------------------------------------------------------------- */

struct address {
    uint8_t bytes[16];
    bool v6;
};

static struct address address_of(const char *text)
{
    struct address a = {.v6 = strchr(text, ':') != NULL};
    int good = inet_pton(a.v6 ? AF_INET6 : AF_INET, text, a.bytes);
    ts_assert(good == 1); /* cluster_yaml.c or read_paths has read it */
    return a;
}

static unsigned bits_in_common(const struct address *a, const struct address *b)
{
    unsigned n = 0;
    while (n < 128 && ((a->bytes[n / 8] ^ b->bytes[n / 8]) >> (7 - n % 8) & 1) == 0) {
        n++;
    }
    return n;
}

static bool is_taken(const struct lab_topology *t, const char *address)
{
    for (size_t i = 0; i < t->machine_count; i++) {
        for (size_t p = 0; p < t->machines[i].path_count; p++) {
            if (strcmp(t->machines[i].paths[p], address) == 0) {
                return true;
            }
        }
    }
    for (size_t g = 0; g < t->cluster.group_count; g++) {
        if (strcmp(t->cluster.groups[g].address, address) == 0) {
            return true;
        }
    }
    return false;
}

/* The networks' prefixes, by the addresses of the cluster's nodes. */
static enum ts_err find_networks(struct lab_topology *t, const char *file, struct ts_why *why)
{
    t->network_count = t->cluster.nodes[0].path_count;
    for (size_t p = 0; p < t->network_count; p++) {
        struct lab_network *n = &t->networks[p];
        struct address first = address_of(t->machines[0].paths[p]);
        n->v6 = first.v6;
        n->prefix = first.v6 ? V6_PREFIX : V4_PREFIX;
        (void)snprintf(n->name, sizeof(n->name), "path%zu", p + 1);
        for (size_t i = 0; i < t->cluster.node_count; i++) {
            const char *text = t->machines[i].paths[p];
            struct address a = address_of(text);
            unsigned common = bits_in_common(&first, &a);
            n->prefix = common < n->prefix ? (uint8_t)common : n->prefix;
            if (!a.v6 && a.bytes[0] == 127) {
                return ts_why(why, TS_ERR_CONFIG,
                              "%s: %s of %s is a loopback address, which reaches no other machine; "
                              "in a lab each node is one: write addresses like 10.71.%zu.%zu",
                              file, text, t->machines[i].name, p + 1, i + 1);
            }
        }
        if (n->prefix < PREFIX_MIN) {
            return ts_why(why, TS_ERR_CONFIG,
                          "%s: the addresses of path %zu are of different networks; a lab joins "
                          "them by one switch: give them the first %u bits in common",
                          file, p + 1, PREFIX_MIN);
        }
    }
    return TS_OK;
}

/* ---- the section `lab` -------------------------------------------------------------------- */

static void read_name(struct yaml_doc *y, const yaml_node_t *node, char out[CFG_NAME_MAX])
{
    const char *text = yaml_doc_text(y, node, "name");
    if (!y->failed && !cfg_name_is_valid(text)) {
        yaml_doc_fail(y, node, "name is \"%.40s\"; " CFG_NAME_RULE, text);
    }
    if (!y->failed) {
        memcpy(out, text, strlen(text) + 1);
    }
}

static void read_networks(struct yaml_doc *y, const yaml_node_t *list, struct lab_topology *t)
{
    size_t n = list == NULL ? 0 : yaml_doc_count(y, list, "networks");
    if (!y->failed && n != 0 && n != t->network_count) {
        yaml_doc_fail(y, list, "networks names %zu, and the nodes have %zu paths; name each path",
                      n, t->network_count);
    }
    for (size_t i = 0; i < n && !y->failed; i++) {
        const yaml_node_t *item = yaml_doc_item(y, list, i);
        read_name(y, item, t->networks[i].name);
        for (size_t k = 0; k < i && !y->failed; k++) {
            if (strcmp(t->networks[k].name, t->networks[i].name) == 0) {
                yaml_doc_fail(y, item, "a network named \"%s\" is there already",
                              t->networks[i].name);
            }
        }
    }
}

/* An address of the network that nobody has. */
static void read_address(struct yaml_doc *y, const yaml_node_t *node, const struct lab_topology *t,
                         size_t path, char out[CFG_ADDR_MAX])
{
    const struct lab_network *n = &t->networks[path];
    const char *text = yaml_doc_text(y, node, "a path's address");
    uint8_t bytes[16] = {0};
    if (y->failed) {
        return;
    }
    if (inet_pton(n->v6 ? AF_INET6 : AF_INET, text, bytes) != 1) {
        yaml_doc_fail(y, node, "\"%.60s\" is no IPv%c address, as those of %s are", text,
                      n->v6 ? '6' : '4', n->name);
        return;
    }
    (void)inet_ntop(n->v6 ? AF_INET6 : AF_INET, bytes, out, CFG_ADDR_MAX);
    struct address first = address_of(t->machines[0].paths[path]);
    struct address a = address_of(out);
    if (bits_in_common(&first, &a) < n->prefix) {
        yaml_doc_fail(y, node, "%s is not of the network of %s, %s/%u", out, n->name,
                      t->machines[0].paths[path], n->prefix);
    } else if (is_taken(t, out)) {
        yaml_doc_fail(y, node, "%s is somebody's already; give each path of each its own", out);
    }
}

static void read_machine(struct yaml_doc *y, const yaml_node_t *map, enum lab_kind kind,
                         struct lab_topology *t)
{
    const char *what = kind == LAB_KIND_WORKLOAD ? "a workload" : "a transport node";
    struct lab_machine m = {.kind = kind};
    yaml_doc_check_map(y, map, what, MACHINE_KEYS);
    const yaml_node_t *name = yaml_doc_need(y, map, what, "name");
    read_name(y, name, m.name);
    if (!y->failed && lab_topology_machine(t, m.name) != NULL) {
        yaml_doc_fail(y, name, "\"%s\" is there already; give each its own name", m.name);
    }
    const yaml_node_t *list = yaml_doc_need(y, map, what, "paths");
    size_t n = yaml_doc_count(y, list, "paths");
    if (!y->failed && (n == 0 || n > t->network_count)) {
        yaml_doc_fail(y, list, "%s has %zu paths; give it 1 to %zu addresses, as the nodes have",
                      m.name, n, t->network_count);
    }
    for (size_t p = 0; p < n && !y->failed; p++) {
        read_address(y, yaml_doc_item(y, list, p), t, p, m.paths[p]);
    }
    m.path_count = (uint8_t)n;
    if (!y->failed && t->machine_count == LAB_MACHINES_MAX) {
        yaml_doc_fail(y, map, "there are more than %d machines", LAB_MACHINES_MAX);
    }
    if (!y->failed) {
        t->machines[t->machine_count++] = m;
    }
}

static void read_machines(struct yaml_doc *y, const yaml_node_t *list, const char *what,
                          enum lab_kind kind, struct lab_topology *t)
{
    size_t n = list == NULL ? 0 : yaml_doc_count(y, list, what);
    for (size_t i = 0; i < n && !y->failed; i++) {
        read_machine(y, yaml_doc_item(y, list, i), kind, t);
    }
}

/* Somebody to ask the cluster from, with the highest free addresses. */
static void add_client(struct lab_topology *t)
{
    struct lab_machine m = {.name = "client", .kind = LAB_KIND_WORKLOAD};
    for (size_t p = 0; p < t->network_count; p++) {
        struct address a = address_of(t->machines[0].paths[p]);
        for (int last = 254; last > 0 && m.paths[p][0] == '\0'; last--) {
            char text[CFG_ADDR_MAX];
            a.bytes[a.v6 ? 15 : 3] = (uint8_t)last;
            (void)inet_ntop(a.v6 ? AF_INET6 : AF_INET, a.bytes, text, sizeof(text));
            if (!is_taken(t, text)) {
                memcpy(m.paths[p], text, sizeof(text));
            }
        }
        ts_assert(m.paths[p][0] != '\0'); /* fewer machines than addresses */
    }
    m.path_count = (uint8_t)t->network_count;
    t->machines[t->machine_count++] = m;
}

static void read_lab(struct yaml_doc *y, struct lab_topology *t)
{
    const yaml_node_t *lab = yaml_doc_get(y, yaml_doc_root(y), "lab");
    if (lab != NULL) {
        yaml_doc_check_map(y, lab, "lab", LAB_KEYS);
        read_networks(y, yaml_doc_get(y, lab, "networks"), t);
        read_machines(y, yaml_doc_get(y, lab, "workloads"), "workloads", LAB_KIND_WORKLOAD, t);
        read_machines(y, yaml_doc_get(y, lab, "transport-nodes"), "transport-nodes",
                      LAB_KIND_TRANSPORT_NODE, t);
    }
    bool has_workload = false;
    for (size_t i = 0; i < t->machine_count; i++) {
        has_workload = has_workload || t->machines[i].kind == LAB_KIND_WORKLOAD;
    }
    if (!y->failed && !has_workload && lab_topology_machine(t, "client") == NULL &&
        t->machine_count < LAB_MACHINES_MAX) {
        add_client(t);
    }
}

enum ts_err lab_topology_load(const char *file, struct lab_topology *out, struct ts_why *why)
{
    char error[CLUSTER_YAML_ERROR_MAX];
    struct yaml_doc y;
    uint8_t *text = NULL;
    size_t len = 0;
    *out = (struct lab_topology){0};
    enum ts_err err = cluster_yaml_load(file, &out->cluster, error);
    if (err != TS_OK) {
        return ts_why(why, err, "%s", error);
    }
    for (size_t i = 0; i < out->cluster.node_count; i++) {
        const struct cfg_node *n = &out->cluster.nodes[i];
        struct lab_machine *m = &out->machines[out->machine_count++];
        memcpy(m->name, n->name, sizeof(m->name));
        memcpy(m->paths, n->paths, sizeof(m->paths));
        m->kind = n->arbiter ? LAB_KIND_ARBITER : LAB_KIND_NIC;
        m->path_count = n->path_count;
    }
    err = find_networks(out, file, why);
    err = err != TS_OK ? err : ts_file_read(file, CLUSTER_YAML_BYTES_MAX, &text, &len, why);
    if (err != TS_OK) {
        return err;
    }
    yaml_doc_open(&y, file, (struct ts_bytes){text, len}, error, sizeof(error));
    read_lab(&y, out);
    err = y.failed ? ts_why(why, TS_ERR_CONFIG, "%s", error) : TS_OK;
    yaml_doc_close(&y);
    free(text);
    return err;
}
