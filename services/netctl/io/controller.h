/* The controller at work: what is applied becomes tables (compile.h), tables go to the agents of
 * transport nodes (south_server.h), what these tell becomes requests, and what they have made true
 * is known. Each replica compiles, so that a new primary has the tables at once; the primary alone
 * is followed. Everything runs on the loop's thread. */
#ifndef SERVICES_NETCTL_IO_CONTROLLER_H
#define SERVICES_NETCTL_IO_CONTROLLER_H

#include <jansson.h>

#include "services/netctl/io/south_server.h"
#include "services/netctl/trace.h"
#include "services/netctl/walk.h"

#define CONTROLLER_NODES_MAX 4096U

struct controller;

struct controller_config {
    uv_loop_t *loop; /* borrowed */
    const char *dir; /* borrowed: certificates, as of south_server_open */
    const struct netctl_state *state;
    /* A node tells another inventory than the state has: `body` is its JSON, borrowed. The owner
     * orders it, and calls controller_ordered when it is answered, or never will be. False: not
     * now. */
    bool (*tells)(void *arg, const char *node, struct ts_bytes body);
    /* A node has made a generation true, or cannot; `event` is JSON, borrowed. */
    void (*realized)(void *arg, const char *node, struct ts_bytes event);
    /* A line for the operator; some of one `key` (static) are enough. */
    void (*warns)(void *arg, const char *key, const char *line);
    void *arg;
};

/* Errors as of south_server_open. */
enum ts_err controller_open(struct controller **out, const struct controller_config *config,
                            struct ts_why *why) TS_MUST_USE;
void controller_close(struct controller *c);
/* Frees the tables, before the process ends; nothing may be called any more. */
void controller_forget(struct controller *c);
/* As south_server_listen. */
enum ts_err controller_listen(struct controller *c, const struct sockaddr_storage *address,
                              struct ts_why *why) TS_MUST_USE;
/* As south_server_tls. */
struct net_tls_server *controller_tls(const struct controller *c);

/* This replica's office; `primary`: ADDRESS:PORT of the agents' port at the primary, NULL = not
 * known. */
void controller_office(struct controller *c, struct ts_epoch epoch, bool serves,
                       const char *primary);
/* The state is that of this seq: some of what there is to compile is compiled, for a few
 * milliseconds. True: there is more; call it again soon. Cheap when nothing has changed. */
bool controller_applied(struct controller *c, struct ts_seq seq);
/* Whether the tables are not yet those of the state. */
bool controller_is_behind(const struct controller *c);
/* A node's inventory was answered; `done`: the state has it. One that was refused is ordered again
 * when the state has changed. Calls nothing back. */
void controller_ordered(struct controller *c, const char *node, bool done);

/* How far the object of this path is made true, as the NSX Policy API tells it; new references. */
json_t *controller_entities(const struct controller *c, const char *path);
json_t *controller_status(const struct controller *c, const char *path);
json_t *controller_segment_state(const struct controller *c, const char *path);
/* As netctl_trace; 503 while the tables are behind. */
json_t *controller_trace(const struct controller *c, const struct netctl_packet *p,
                         struct netctl_error *e);

#endif
