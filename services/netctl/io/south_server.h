/* Where the agents of transport nodes connect: TCP, TLS 1.3 with certificates on both sides,
 * frames, around the core of services/netctl/south.h. Only certificates of agents are taken, so a
 * node of the cluster has no business here; a connection's name is that of its certificate, so a
 * transport node can only be itself. Everything runs on the loop's thread. */
#ifndef SERVICES_NETCTL_IO_SOUTH_SERVER_H
#define SERVICES_NETCTL_IO_SOUTH_SERVER_H

#include <netinet/in.h>
#include <uv.h>

#include "base/io/files.h"
#include "services/netctl/south.h"

/* From the connection to the end of its TLS handshake. */
#define SOUTH_HANDSHAKE_NS (5 * TS_NS_PER_S)

struct south_server;
struct net_tls_server;

struct south_server_config {
    uv_loop_t *loop; /* borrowed */
    const char *dir; /* borrowed: ca.pem, node.pem, node.key of this controller */
    struct south_limits limits;
    /* Told of each effect of the core that is not SEND or CLOSE; may be NULL. Within it there may
     * be no south_server_step. */
    void (*on_effect)(void *arg, const struct south_effects *all, const struct south_effect *e);
    void *arg;
};

/* It listens nowhere yet. Errors as of net_tls_server_open. */
enum ts_err south_server_open(struct south_server **out, const struct south_server_config *config,
                              struct ts_why *why) TS_MUST_USE;
#define SOUTH_LISTENERS_MAX 16
/* Listens on one more address, also on one that this machine does not have yet. TS_ERR_LIMIT: too
 * many. TS_ERR_BUSY: another process listens there. TS_ERR_SYSTEM. */
enum ts_err south_server_listen(struct south_server *s, const struct sockaddr_storage *address,
                                struct ts_why *why) TS_MUST_USE;
/* Ends all; the memory goes when the loop has closed its handles. */
void south_server_close(struct south_server *s);
/* For who loads the certificates again (net_tls_server_reload_all). */
struct net_tls_server *south_server_tls(const struct south_server *s);

/* The port of the first address. */
uint16_t south_server_port(const struct south_server *s);
/* Gives the core an event: ROLE, TABLE, FORGET, ASK. `now` is filled in. */
void south_server_step(struct south_server *s, struct south_event *e);
/* For queries. */
const struct south *south_server_core(const struct south_server *s);

#endif
