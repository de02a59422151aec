#include "cli/cluster_file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/gather.h"
#include "cluster-cfg/io/cluster_yaml.h"
#include "cluster-cfg/io/format.h"

/* ---- what differs ---- */

struct difference {
    char *out;
    size_t used;
};

static void __attribute__((format(printf, 2, 3)))
differ(struct difference *d, const char *format, ...)
{
    va_list args;
    size_t room = CLI_DIFFERENCE_MAX - d->used;
    int n = snprintf(d->out + d->used, room, "%s", d->used == 0 ? "" : ", ");
    if (n < 0 || (size_t)n >= room) {
        return;
    }
    va_start(args, format);
    int m = vsnprintf(d->out + d->used + n, room - (size_t)n, format, args);
    va_end(args);
    size_t all = (size_t)n + (size_t)(m > 0 ? m : 0);
    d->used += all < room ? all : room - 1;
}

static void compare_node(struct difference *d, const struct cfg_node *a, const struct cfg_node *b)
{
    if (strcmp(a->host, b->host) != 0) {
        differ(d, "host of %s %s to %s", a->name, a->host, b->host);
    }
    if (a->arbiter != b->arbiter || a->voter != b->voter || !ts_nic_eq(a->id, b->id)) {
        differ(d, "kind, vote or place of %s", a->name);
    }
    for (unsigned p = 0; p < TS_PATHS_MAX; p++) {
        const char *x = p < a->path_count ? a->paths[p] : "none";
        const char *y = p < b->path_count ? b->paths[p] : "none";
        if (strcmp(x, y) != 0) {
            differ(d, "path %u of %s %s to %s", p + 1, a->name, x, y);
        }
    }
}

static void compare_group(struct difference *d, const struct cfg_group *a,
                          const struct cfg_group *b)
{
    bool same = a->nic_count == b->nic_count && a->durability == b->durability &&
                strcmp(a->service, b->service) == 0;
    for (size_t i = 0; same && i < a->nic_count; i++) {
        same = ts_nic_eq(a->nics[i], b->nics[i]);
    }
    if (!same) {
        differ(d, "NICs or service of group %s", a->name);
    }
    if (a->client_tls != b->client_tls) {
        differ(d, "client-tls of group %s %s to %s", a->name, a->client_tls ? "required" : "off",
               b->client_tls ? "required" : "off");
    }
    if (a->disk_limit != b->disk_limit) {
        differ(d, "disk-limit of group %s %llu MiB to %llu MiB", a->name,
               (unsigned long long)(a->disk_limit >> 20),
               (unsigned long long)(b->disk_limit >> 20));
    }
    if (a->scrub_every != b->scrub_every) {
        differ(d, "scrub-every of group %s %llus to %llus", a->name,
               (unsigned long long)(a->scrub_every / TS_NS_PER_S),
               (unsigned long long)(b->scrub_every / TS_NS_PER_S));
    }
    if (strcmp(a->address, b->address) != 0 || a->address_prefix != b->address_prefix) {
        differ(d, "address of group %s %s/%u to %s/%u", a->name,
               a->address[0] == '\0' ? "none" : a->address, (unsigned)a->address_prefix,
               b->address[0] == '\0' ? "none" : b->address, (unsigned)b->address_prefix);
    }
    if (a->client_port != b->client_port) {
        differ(d, "port of group %s %u to %u", a->name, a->client_port, b->client_port);
    }
    if (a->agent_port != b->agent_port) {
        differ(d, "agent-port of group %s %u to %u", a->name, a->agent_port, b->agent_port);
    }
}

bool cli_cluster_differs(const struct cfg_cluster *before, const struct cfg_cluster *now,
                         char out[CLI_DIFFERENCE_MAX])
{
    struct difference d = {.out = out};
    uint64_t ms[] = {before->timing.failure_timeout / TS_NS_PER_MS,
                     now->timing.failure_timeout / TS_NS_PER_MS};
    out[0] = '\0';
    if (cfg_cluster_digest(before) == cfg_cluster_digest(now)) {
        return false;
    }
    if (strcmp(before->name, now->name) != 0) {
        differ(&d, "cluster %s to %s", before->name, now->name);
    }
    if (ms[0] != ms[1]) {
        differ(&d, "failure-timeout %" PRIu64 "ms to %" PRIu64 "ms", ms[0], ms[1]);
    }
    if (before->base_port != now->base_port) {
        differ(&d, "base-port %u to %u", before->base_port, now->base_port);
    }
    for (size_t i = 0; i < before->node_count; i++) {
        const struct cfg_node *other = cfg_cluster_node_by_name(now, before->nodes[i].name);
        if (other == NULL) {
            differ(&d, "no %s any more", before->nodes[i].name);
        } else {
            compare_node(&d, &before->nodes[i], other);
        }
    }
    for (size_t i = 0; i < now->node_count; i++) {
        if (cfg_cluster_node_by_name(before, now->nodes[i].name) == NULL) {
            differ(&d, "%s is new", now->nodes[i].name);
        }
    }
    for (size_t i = 0; i < before->group_count; i++) {
        const struct cfg_group *other = cfg_cluster_group_by_name(now, before->groups[i].name);
        if (other != NULL) {
            compare_group(&d, &before->groups[i], other);
        }
    }
    if (d.used == 0) {
        differ(&d, "its groups");
    }
    return true;
}

/* ---- which file ---- */

/* Somebody who edited ./cluster.yaml must not believe that it was taken. */
static void tell_passed_over(const struct cli *cli, const char *path,
                             const struct cfg_cluster *cluster)
{
    struct cfg_cluster here;
    char error[CLUSTER_YAML_ERROR_MAX];
    char what[CLI_DIFFERENCE_MAX];
    if (cluster_yaml_load(CLI_DEFAULT_CONFIG, &here, error) == TS_OK &&
        cli_cluster_differs(cluster, &here, what)) {
        (void)cli_fail(cli, CLI_OK,
                       "note: the cluster goes by %s; ./" CLI_DEFAULT_CONFIG
                       " differs (%s) and is not looked at without --config",
                       path, what);
    }
}

int cli_cluster_load(const struct cli *cli, const char **config, const char *dir,
                     char copy[TS_PATH_MAX], struct cfg_cluster *cluster)
{
    char error[CLUSTER_YAML_ERROR_MAX];
    struct ts_why why = {0};
    bool may = *config == NULL && ts_path(copy, NULL, dir, CLI_DEFAULT_CONFIG) == TS_OK;
    if (may && cli_is_foreign(dir, copy, &why)) {
        return cli_fail(cli, CLI_FAILED, "%s", why.text);
    }
    bool formed = may && access(copy, F_OK) == 0;
    if (*config == NULL) {
        *config = formed ? copy : CLI_DEFAULT_CONFIG;
    }
    if (cluster_yaml_load(*config, cluster, error) != TS_OK) {
        return cli_fail(cli, CLI_FAILED, "%s", error);
    }
    if (formed) {
        tell_passed_over(cli, copy, cluster);
    }
    return CLI_OK;
}

/* ---- whether it may be taken ---- */

static const char *running_node(const struct nodes_run *run, const struct cfg_cluster *cluster)
{
    struct nodes_proc procs[NODES_PROCS_MAX];
    for (size_t i = 0; i < cluster->node_count; i++) {
        if (nodes_procs(run, cluster->nodes[i].name, procs) > 0) {
            return cluster->nodes[i].name;
        }
    }
    return NULL;
}

int cli_cluster_check(const struct cli *cli, const struct nodes_run *run, const char *path,
                      const struct cfg_cluster *now)
{
    struct cfg_cluster before;
    struct format_genesis genesis;
    struct ts_why why = {0};
    char error[CLUSTER_YAML_ERROR_MAX];
    char what[CLI_DIFFERENCE_MAX] = "the old one cannot be read";
    enum ts_err err = format_genesis_load(run->run, now, &genesis, &why);
    if (err != TS_OK && err != TS_ERR_NOT_FOUND) {
        return cli_fail(cli, CLI_FAILED, "%s", why.text);
    }
    err = cluster_yaml_load(run->config, &before, error);
    if (err == TS_ERR_NOT_FOUND || (err == TS_OK && !cli_cluster_differs(&before, now, what))) {
        return CLI_OK;
    }
    const char *runs = running_node(run, err == TS_OK ? &before : now);
    if (runs != NULL) {
        return cli_fail(cli, CLI_FAILED,
                        "%s differs from the file that the nodes of %s run with (%s), and %s runs; "
                        "end all of them first: twinstep down --dir %s",
                        path, run->run, what, runs, run->run);
    }
    (void)fprintf(cli->out, "cluster file changed: %s\n", what);
    return CLI_OK;
}
