/* A path goes dark: whatever the nodes send each other over their addresses on it is dropped and
 * counted. Clients are spared: they are not on the fabric, their connections may share the
 * address only because a lab has no other. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/exec.h"
#include "lab/fault.h"

#define RULES_MAX 4096

static void put(char *out, size_t *len, const char *text)
{
    size_t n = strlen(text);
    if (*len + n < RULES_MAX) {
        memcpy(out + *len, text, n + 1);
        *len += n;
    }
}

static void put_addresses(const struct lab_fault *f, char *out, size_t *len)
{
    const struct cfg_cluster *c = f->cluster;
    put(out, len, "{ ");
    for (size_t i = 0; i < c->node_count; i++) {
        if (f->path < c->nodes[i].path_count) {
            put(out, len, i > 0 ? ", " : "");
            put(out, len, c->nodes[i].paths[f->path]);
        }
    }
    put(out, len, " }");
}

/* Between nodes: to or from an address of the path, on a port that is not a client's. */
static void make_rules(const struct lab_fault *f, char out[RULES_MAX])
{
    char line[160];
    size_t len = 0;
    uint16_t low = f->cluster->base_port;
    uint16_t high = cfg_port_replica(f->cluster, (struct ts_group_id){TS_GROUPS_MAX});
    snprintf(line, sizeof line,
             "table inet twinstep_path%u {\n counter dropped { }\n chain in {\n"
             "  type filter hook input priority 0; policy accept;\n",
             (unsigned)f->path);
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
    char table[32];
    char text[1024];
    snprintf(table, sizeof table, "twinstep_path%u", (unsigned)f->path);
    const char *argv[] = {"nft", "list", "counter", "inet", table, "dropped", NULL};
    enum ts_err err = lab_exec(argv, NULL, text, sizeof text, why);
    if (err != TS_OK) {
        return err;
    }
    const char *at = strstr(text, "packets ");
    f->effect = at == NULL ? 0 : strtoull(at + strlen("packets "), NULL, 10);
    if (f->effect == 0) {
        return ts_why(why, TS_ERR_NOT_FOUND, "no packet was dropped on path %u", (unsigned)f->path);
    }
    return TS_OK;
}

static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    char table[32];
    snprintf(table, sizeof table, "twinstep_path%u", (unsigned)f->path);
    const char *argv[] = {"nft", "delete", "table", "inet", table, NULL};
    return lab_exec(argv, NULL, NULL, 0, why);
}

static const struct lab_fault_type type = {
    .name = "path", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_path(struct lab_fault *f, const struct nodes_run *run,
                    const struct cfg_cluster *cluster, uint8_t path)
{
    *f = (struct lab_fault){.type = &type, .run = run, .cluster = cluster, .path = path};
}
