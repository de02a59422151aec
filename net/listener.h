/* Accepts links on several addresses (one a path) of one endpoint.
 *
 * Nobody is known before the handshake, so whoever connects gets little: bounded bytes and time
 * (net/link.h), and a bounded number of unfinished handshakes. Source addresses of configured
 * nodes have a share of their own each; all strangers together have one share and a rate, so that
 * a flood of strangers does not keep a node out. When a share is used up its oldest
 * unfinished handshake ends. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ids.h"
#include "base/io/files.h"
#include "net/link.h"

#define NET_HALF_OPEN_KNOWN 16     /* unfinished handshakes for each configured address */
#define NET_HALF_OPEN_STRANGERS 32 /* and for all other addresses together */
#define NET_STRANGERS_PER_S 200    /* new connections of strangers, over one second */

struct net_listener;

struct net_listener_config {
    struct net_endpoint *ep; /* borrowed, opened */
    unsigned address_count;  /* 1..TS_PATHS_MAX */
    struct sockaddr_storage addresses[TS_PATHS_MAX];
    uint32_t connections_max;             /* up and unfinished together; 0 = 512 */
    const struct net_link_events *events; /* borrowed: of accepted links */
    void *arg;
    /* Whether a source address belongs to a configured node: gives 1.. for those, 0 otherwise. */
    unsigned (*known)(const void *arg, const struct sockaddr *from);
    const void *known_arg;
};

/* Listens on all addresses, also on one that this machine does not have yet (a cable may come
 * later). The endpoint's net_endpoint_close closes accepted links; net_listener_close the sockets.
 * On failure `why` names the address. TS_ERR_BUSY: another process listens there;
 * TS_ERR_SYSTEM; TS_ERR_NOMEM. */
enum ts_err net_listener_open(const struct net_listener_config *config, struct net_listener **out,
                              struct ts_why *why) TS_MUST_USE;
/* Stops accepting; frees itself when the loop has closed the sockets, before on_drained of the
 * endpoint. `l` is gone for the caller. NULL is allowed. */
void net_listener_close(struct net_listener *l);

#endif
