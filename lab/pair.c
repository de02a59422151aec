#include "lab/pair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "cluster-cfg/io/cluster_yaml.h"
#include "lab/exec.h"
#include "lab/mem.h"

#define CLIENT_PORT 6379
#define BASE_PORT 7400
#define STOP_GRACE_MS 2000

const char *const lab_pair_nodes[] = {"nic1", "nic2", "arb1", NULL};

const char *lab_pair_node(const struct lab_pair *p, unsigned index)
{
    ts_assert(index < p->cluster.node_count);
    return p->cluster.nodes[index].name;
}

static enum ts_err write_cluster_file(const struct lab_pair_config *c, const char *path,
                                      struct ts_why *why)
{
    char text[1024];
    int n = snprintf(text, sizeof text,
                     "cluster: demo\n"
                     "failure-timeout: %ums\n"
                     "nics:\n"
                     "  - {name: nic1, host: host1, paths: [127.%u.1.1, 127.%u.2.1]}\n"
                     "  - {name: nic2, host: host2, paths: [127.%u.1.2, 127.%u.2.2]}\n"
                     "arbiters:\n"
                     "  - {name: arb1, host: host3, paths: [127.%u.1.3, 127.%u.2.3]}\n"
                     "groups:\n"
                     "  - {name: %s, service: kv, nics: [nic1, nic2], port: %d%s%s}\n",
                     c->failure_timeout_ms, c->net, c->net, c->net, c->net, c->net, c->net,
                     LAB_PAIR_GROUP, CLIENT_PORT, c->client_tls ? ", client-tls: required" : "",
                     c->group_more);
    ts_assert(n > 0 && (size_t)n < sizeof text);
    return ts_file_replace(path, text, (size_t)n, 0644, why);
}

/* Ends what an earlier run left in this directory. */
static enum ts_err stop_nodes(struct lab_pair *p, struct ts_why *why)
{
    enum ts_err result = TS_OK;
    for (size_t i = 0; lab_pair_nodes[i] != NULL; i++) {
        enum ts_err err = nodes_stop(&p->run, lab_pair_nodes[i], STOP_GRACE_MS, why);
        result = err == TS_OK ? result : err;
    }
    return result;
}

/* Adds an option to those that a sanitizer reads from the environment. */
static void add_option(const char *variable, const char *option)
{
    const char *old = getenv(variable);
    char text[1024];
    if (old == NULL) {
        setenv(variable, option, 1);
    } else if (strstr(old, option) == NULL) {
        snprintf(text, sizeof text, "%s:%s", old, option);
        setenv(variable, text, 1);
    }
}

/* Nodes of a sanitized build abort on a finding, which lab_state.crash shows: as daemons they
 * have nobody else to tell. A library that stands in front of theirs is no finding. */
static void tell_sanitizers(void)
{
    static const char *const variables[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        add_option(variables[i], "abort_on_error=1");
    }
    add_option("ASAN_OPTIONS", "verify_asan_link_order=0");
}

enum ts_err lab_pair_up(struct lab_pair *p, const struct lab_pair_config *config,
                        struct ts_why *why)
{
    char file[TS_PATH_MAX];
    char program[TS_PATH_MAX];
    char error[CLUSTER_YAML_ERROR_MAX];
    *p = (struct lab_pair){.config = *config};
    tell_sanitizers();
    enum ts_err err = ts_dir_make(config->run, 0755, why);
    err = err != TS_OK ? err : nodes_open(&p->run, config->run, why);
    if (err != TS_OK) {
        return err;
    }
    if (config->bin[0] != '\0') {
        /* For twinstep, and for nodes that are started again later. */
        snprintf(p->run.bin, sizeof p->run.bin, "%s", config->bin);
        setenv("TWINSTEP_BIN", config->bin, 1);
    }
    err = stop_nodes(p, why);
    err = err != TS_OK ? err : ts_path(file, why, p->run.run, "pair.yaml");
    err = err != TS_OK ? err : ts_path(program, why, p->run.bin, "twinstep");
    err = err != TS_OK ? err : write_cluster_file(config, file, why);
    if (err != TS_OK) {
        return err;
    }
    if (cluster_yaml_load(file, &p->cluster, error) != TS_OK) {
        return ts_why(why, TS_ERR_CONFIG, "%s", error);
    }
    const char *argv[] = {program, "up", "--config", file, "--dir", p->run.run, NULL};
    return lab_exec(argv, NULL, NULL, 0, why);
}

enum ts_err lab_pair_down(struct lab_pair *p, struct ts_why *why)
{
    return stop_nodes(p, why);
}

struct lab_addrs lab_pair_addrs(const struct lab_pair *p)
{
    struct lab_addrs addrs = {.count = LAB_NICS};
    for (unsigned i = 0; i < LAB_NICS; i++) {
        addrs.a[i].sin_family = AF_INET;
        addrs.a[i].sin_port = htons(p->cluster.groups[0].client_port);
        int rc = inet_pton(AF_INET, p->cluster.nodes[i].paths[0], &addrs.a[i].sin_addr);
        ts_assert(rc == 1);
    }
    return addrs;
}

/* ---- a free network ---- */

static bool can_bind(unsigned net, unsigned path, unsigned node, uint16_t port, int type)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    a.sin_addr.s_addr = htonl(127u << 24 | net << 16 | path << 8 | node);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    /* As the programs do: connections of an earlier run that linger are no obstacle. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool good = bind(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
                (type != SOCK_STREAM || listen(fd, 1) == 0);
    close(fd);
    return good;
}

static bool net_is_free(unsigned net)
{
    for (unsigned path = 1; path <= 2; path++) {
        for (unsigned node = 1; node <= 3; node++) {
            if (!can_bind(net, path, node, CLIENT_PORT, SOCK_STREAM) ||
                !can_bind(net, path, node, BASE_PORT + 1, SOCK_STREAM) ||
                !can_bind(net, path, node, BASE_PORT + 2, SOCK_DGRAM) ||
                !can_bind(net, path, node, BASE_PORT + 11, SOCK_STREAM)) {
                return false;
            }
        }
    }
    return true;
}

unsigned lab_pair_free_net(unsigned first)
{
    for (unsigned net = first; net < first + 40 && net < 255; net++) {
        if (net_is_free(net)) {
            return net;
        }
    }
    return 0;
}
