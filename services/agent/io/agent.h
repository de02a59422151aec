/* The agent of a transport node as it runs: the core (services/agent/core.h) with its connections,
 * its store, its driver and its interfaces, on one loop. The driver and the store work on worker
 * threads; the fence is read there right before each change of the kernel. */
#ifndef SERVICES_AGENT_IO_AGENT_H
#define SERVICES_AGENT_IO_AGENT_H

#include <netinet/in.h>
#include <uv.h>

#include "base/io/files.h"
#include "net/log.h"
#include "services/agent/core.h"

#define AGENT_NAMES_MAX 16

struct agent;

struct agent_config {
    uv_loop_t *loop;     /* borrowed */
    struct net_log *log; /* borrowed */
    char node[SOUTH_NODE_MAX + 1];
    char vtep[SOUTH_ADDRESS_MAX + 1]; /* as it is told to the controllers */
    char state[TS_PATH_MAX];          /* a directory */
    char ca[TS_PATH_MAX];
    char certificate[TS_PATH_MAX];
    char key[TS_PATH_MAX];
    unsigned controllers;
    char address[AGENT_SLOTS_MAX][SOUTH_ADDRESS_MAX + 1]; /* ADDRESS:PORT */
    struct sockaddr_storage to[AGENT_SLOTS_MAX];          /* the same */
    unsigned names;
    char name[AGENT_NAMES_MAX][NET_LOG_NAME_MAX]; /* whose certificates are controllers' */
    bool watches;                                 /* the node's interfaces */
    struct agent_driver *driver;                  /* taken over */
    /* It has ended: the store of the epoch failed, or agent_stop was called. */
    void (*on_ended)(void *arg, bool failed);
    void *arg;
};

/* ADDRESS:PORT, [ADDRESS]:PORT. TS_ERR_MALFORMED. */
enum ts_err agent_address_of(const char *text, struct sockaddr_storage *out) TS_MUST_USE;

/* Opens the store, restores the table, dials. The driver is taken over with TS_OK only. Errors as
 * of the store, the certificates, netlink; `why` says which. */
enum ts_err agent_start(struct agent **out, const struct agent_config *config,
                        struct ts_why *why) TS_MUST_USE;
/* Ends: what the driver does now is done first, what it has done stays. on_ended follows, after
 * which the memory goes by the loop. */
void agent_stop(struct agent *a);

/* Loads the certificates again, for connections that begin from now on. What is wrong with them is
 * in `why`, and the former ones stay. Errors as of net_tls_trust_open and _show. */
enum ts_err agent_reload(struct agent *a, struct ts_why *why) TS_MUST_USE;

/* For queries. */
const struct agent_core *agent_core_of(const struct agent *a);

#endif
