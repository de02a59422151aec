/* A path goes dark: whatever the nodes send each other over their addresses on it is dropped and
 * counted. Clients are spared: they are not on the fabric, their connections may share the
 * address only because a lab has no other.
 *
 * A cut link is the same for the replicas' own links, on every path: heartbeats and voters stay. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "lab/clock.h"
#include "lab/exec.h"
#include "lab/fault.h"

#define RULES_MAX 4096
#define TABLE_MAX 32

static void put(char *out, size_t *len, const char *text)
{
    size_t n = strlen(text);
    if (*len + n < RULES_MAX) {
        memcpy(out + *len, text, n + 1);
        *len += n;
    }
}

static bool is_link(const struct lab_fault *f)
{
    return f->group[0] != '\0';
}

static void table_name(const struct lab_fault *f, char out[TABLE_MAX])
{
    if (is_link(f)) {
        snprintf(out, TABLE_MAX, "twinstep_link");
    } else {
        snprintf(out, TABLE_MAX, "twinstep_path%u", (unsigned)f->path);
    }
}

static void put_addresses(const struct lab_fault *f, char *out, size_t *len)
{
    const struct cfg_cluster *c = f->cluster;
    const char *comma = "";
    put(out, len, "{ ");
    for (size_t i = 0; i < c->node_count; i++) {
        for (uint8_t path = 0; path < c->nodes[i].path_count; path++) {
            if (is_link(f) || path == f->path) {
                put(out, len, comma);
                put(out, len, c->nodes[i].paths[path]);
                comma = ", ";
            }
        }
    }
    put(out, len, " }");
}

/* Between nodes: to or from an address of the path, on a port that is not a client's. */
static void make_rules(const struct lab_fault *f, char out[RULES_MAX])
{
    char line[160];
    size_t len = 0;
    char table[TABLE_MAX];
    uint16_t low = f->cluster->base_port;
    uint16_t high = cfg_port_replica(f->cluster, (struct ts_group_id){TS_GROUPS_MAX});
    if (is_link(f)) {
        low = cfg_port_replica(f->cluster, cfg_cluster_group_by_name(f->cluster, f->group)->id);
        high = low;
    }
    table_name(f, table);
    snprintf(line, sizeof line,
             "table inet %s {\n counter dropped { }\n chain in {\n"
             "  type filter hook input priority 0; policy accept;\n",
             table);
    put(out, &len, line);
    static const char *const sides[] = {"daddr", "saddr"};
    static const char *const ports[] = {"dport", "sport"};
    for (size_t side = 0; side < 2; side++) {
        for (size_t port = 0; port < 2; port++) {
            put(out, &len, "  ip ");
            put(out, &len, sides[side]);
            put(out, &len, " ");
            put_addresses(f, out, &len);
            snprintf(line, sizeof line, " th %s %u-%u counter name dropped drop\n", ports[port],
                     (unsigned)low, (unsigned)high);
            put(out, &len, line);
        }
    }
    put(out, &len, " }\n}\n");
}

static enum ts_err inject(struct lab_fault *f, struct ts_why *why)
{
    char rules[RULES_MAX];
    make_rules(f, rules);
    const char *argv[] = {"nft", "-f", "-", NULL};
    f->injected_ns = lab_now_ns();
    return lab_exec(argv, rules, NULL, 0, why);
}

static enum ts_err observe(struct lab_fault *f, struct ts_why *why)
{
    char table[TABLE_MAX];
    char text[1024];
    table_name(f, table);
    const char *argv[] = {"nft", "list", "counter", "inet", table, "dropped", NULL};
    enum ts_err err = lab_exec(argv, NULL, text, sizeof text, why);
    if (err != TS_OK) {
        return err;
    }
    const char *at = strstr(text, "packets ");
    f->effect = at == NULL ? 0 : strtoull(at + strlen("packets "), NULL, 10);
    if (f->effect == 0) {
        return ts_why(why, TS_ERR_NOT_FOUND, "no packet was dropped by %s", table);
    }
    return TS_OK;
}

static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    char table[TABLE_MAX];
    table_name(f, table);
    const char *argv[] = {"nft", "delete", "table", "inet", table, NULL};
    return lab_exec(argv, NULL, NULL, 0, why);
}

static const struct lab_fault_type path_type = {
    .name = "path", .inject = inject, .observe = observe, .heal = heal};
static const struct lab_fault_type link_type = {
    .name = "link", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_path(struct lab_fault *f, const struct nodes_run *run,
                    const struct cfg_cluster *cluster, uint8_t path)
{
    *f = (struct lab_fault){.type = &path_type, .run = run, .cluster = cluster, .path = path};
}

void lab_fault_link(struct lab_fault *f, const struct nodes_run *run,
                    const struct cfg_cluster *cluster, const char *group)
{
    ts_assert(cfg_cluster_group_by_name(cluster, group) != NULL);
    *f = (struct lab_fault){.type = &link_type, .run = run, .cluster = cluster};
    snprintf(f->group, sizeof f->group, "%s", group);
}
