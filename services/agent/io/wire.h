/* The agent's connections: TCP, TLS 1.3 with certificates on both sides, frames of
 * services/netctl/south_msg.h. A slot has one connection at a time. Everything runs on the loop's
 * thread; callbacks come from the loop, never from within a call of this interface. */
#ifndef SERVICES_AGENT_IO_WIRE_H
#define SERVICES_AGENT_IO_WIRE_H

#include <netinet/in.h>
#include <uv.h>

#include "net/tls_client.h"
#include "services/agent/core.h"

/* Names that a controller's certificate may have. */
#define AGENT_CONTROLLERS_MAX 16
/* Bytes that the kernel has not taken; more end the connection. */
#define AGENT_WIRE_MAX (16U * 1024U * 1024U)

struct agent_wire;

struct agent_wire_config {
    uv_loop_t *loop;             /* borrowed */
    struct net_tls_trust *trust; /* borrowed */
    size_t names;
    const char *name[AGENT_CONTROLLERS_MAX]; /* borrowed: who is a controller */
    void (*on_up)(void *arg, unsigned slot);
    /* `why` is borrowed for the call. Not given after agent_wire_hang_up. */
    void (*on_down)(void *arg, unsigned slot, const char *why);
    /* `body` is borrowed for the call. */
    void (*on_message)(void *arg, unsigned slot, struct ts_bytes body);
    void *arg;
};

/* Never NULL. */
struct agent_wire *agent_wire_open(const struct agent_wire_config *config);
/* Ends all connections; the memory goes when the loop has closed them. */
void agent_wire_close(struct agent_wire *w);

/* on_up or on_down follows, later. The slot must have none. */
void agent_wire_dial(struct agent_wire *w, unsigned slot, const struct sockaddr_storage *to);
/* Copies; no effect when the connection is about to end. */
void agent_wire_send(struct agent_wire *w, unsigned slot, struct ts_bytes frame);
/* For connections that begin from now on. */
void agent_wire_trust(struct agent_wire *w, struct net_tls_trust *trust);
/* No effect without a connection. */
void agent_wire_hang_up(struct agent_wire *w, unsigned slot);

#endif
