#include "cli/ports.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lab/clock.h"
#include "net/link.h"

#define NAMES_MAX 512
/* How long a port may still be with a process that is about to be gone: one that was just killed
 * gives its memory back first. */
#define PORT_WAIT_MS 1000U
#define PORT_RETRY_MS 10U

struct port {
    uint16_t number;
    int type;
    const char *whose;
};

/* Gives 0 or the errno of a program that would listen there. What cannot be tried is left to the
 * daemons. */
static int try_port(const char *address, uint16_t port, int type)
{
    struct sockaddr_storage to;
    int on = 1;
    if (net_address(address, port, &to) != TS_OK) {
        return 0;
    }
    int fd = socket(to.ss_family, type | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return 0;
    }
    if (type == SOCK_STREAM) { /* as the programs do; for UDP it would let two of them in */
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    socklen_t len =
        to.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int rc = bind(fd, (const struct sockaddr *)&to, len);
    rc = rc == 0 && type == SOCK_STREAM ? listen(fd, 1) : rc;
    int error = rc == 0 ? 0 : errno;
    (void)close(fd);
    return error;
}

static int await_port(const char *address, const struct port *port)
{
    int error = try_port(address, port->number, port->type);
    for (unsigned ms = 0; error == EADDRINUSE && ms < PORT_WAIT_MS; ms += PORT_RETRY_MS) {
        lab_pause_ms(PORT_RETRY_MS);
        error = try_port(address, port->number, port->type);
    }
    return error;
}

/* " --nic nic1": the nodes whose addresses this machine has. */
static void own_nodes(const struct cfg_cluster *c, char out[NAMES_MAX])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < c->node_count && used < NAMES_MAX; i++) {
        bool own = true;
        for (unsigned p = 0; p < c->nodes[i].path_count; p++) {
            own = own && try_port(c->nodes[i].paths[p], 0, SOCK_DGRAM) != EADDRNOTAVAIL;
        }
        if (own) {
            int n = snprintf(out + used, NAMES_MAX - used, " --nic %s", c->nodes[i].name);
            used += n > 0 ? (size_t)n : 0;
        }
    }
}

static int check(const struct cli *cli, const struct cfg_cluster *c, const struct cfg_node *node,
                 const struct port *port, const char *config)
{
    for (unsigned p = 0; p < node->path_count; p++) {
        int error = await_port(node->paths[p], port);
        bool udp = port->type == SOCK_DGRAM;
        if (error == EADDRNOTAVAIL) {
            char own[NAMES_MAX];
            own_nodes(c, own);
            return cli_fail(cli, CLI_FAILED,
                            "%s (path %u of %s) is no address of this machine; add it to an "
                            "interface, or start this machine's nodes only: twinstep up%s",
                            node->paths[p], p + 1, node->name,
                            own[0] == '\0' ? " --nic NAME" : own);
        }
        if (error != 0) {
            return cli_fail(
                cli, CLI_FAILED,
                "%s of %s cannot listen on %s %sport %u: %s; end what listens there (ss "
                "-l%snp shows it), or change the port or address in %s",
                port->whose, node->name, node->paths[p], udp ? "UDP " : "", port->number,
                strerror(error), udp ? "u" : "t", config);
        }
    }
    return CLI_OK;
}

int cli_ports_check(const struct cli *cli, const struct cfg_cluster *cluster,
                    const struct cfg_node *node, const char *config)
{
    struct port heartbeats = {cfg_port_heartbeat(cluster), SOCK_DGRAM, "heartbeatd"};
    struct port voter = {cfg_port_voter(cluster), SOCK_STREAM, "the voter"};
    int status = check(cli, cluster, node, &heartbeats, config);
    if (status == CLI_OK && node->voter) {
        status = check(cli, cluster, node, &voter, config);
    }
    for (size_t g = 0; g < cluster->group_count && status == CLI_OK; g++) {
        const struct cfg_group *group = &cluster->groups[g];
        struct port peers = {cfg_port_replica(cluster, group->id), SOCK_STREAM, "a replica"};
        struct port clients = {group->client_port, SOCK_STREAM, group->name};
        struct port agents = {group->agent_port, SOCK_STREAM, group->name};
        if (cfg_group_has(group, node->id)) {
            status = check(cli, cluster, node, &peers, config);
            status = status != CLI_OK ? status : check(cli, cluster, node, &clients, config);
            if (status == CLI_OK && group->agent_port != 0) {
                status = check(cli, cluster, node, &agents, config);
            }
        }
    }
    return status;
}
