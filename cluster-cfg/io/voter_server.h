/* The links that proposers keep to this voter. Each has a handle, which is never used again
 * for another link within one run.
 *
 * Every callback comes from the loop, never from within a call of this interface. */
#ifndef CLUSTER_CFG_IO_VOTER_SERVER_H
#define CLUSTER_CFG_IO_VOTER_SERVER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "net/link.h"

#define VOTER_SERVER_LINKS_MAX 512

struct voter_server;

struct voter_server_events {
    /* A proposer is there. `hello` is borrowed for the call. May be NULL. */
    void (*on_up)(void *arg, uint64_t handle, const struct net_hello *hello);
    /* It left. May be NULL. */
    void (*on_down)(void *arg, uint64_t handle);
    /* One frame of type ≥ NET_FRAME_USER from the node and group that `hello` names; borrowed for
     * the call. */
    void (*on_frame)(void *arg, uint64_t handle, const struct net_hello *hello, uint8_t type,
                     struct ts_bytes payload);
};

struct voter_server_config {
    struct net_env env;
    const struct cfg_cluster *cluster; /* borrowed, must outlive the server */
    struct ts_nic_id self;
    struct ts_instance instance;
    struct ts_incarnation incarnation;
    uint64_t start;
    struct voter_server_events events;
    void *arg;
};

/* Listens on every path of this node. Errors as in links_open. */
enum ts_err voter_server_open(const struct voter_server_config *config, struct voter_server **out,
                              struct ts_why *why) TS_MUST_USE;
/* Closes without on_down; frees itself once the loop has closed the sockets. NULL is allowed. */
void voter_server_close(struct voter_server *s);
/* Gathers one frame for the end of this turn; copies. TS_ERR_CLOSED: the proposer left (its
 * request may be repeated on a new link); TS_ERR_LIMIT; TS_ERR_FULL: on_down follows. */
enum ts_err voter_server_reply(struct voter_server *s, uint64_t handle, uint8_t type,
                               struct ts_bytes payload) TS_MUST_USE;
/* Changes what later links are told (after the start number was registered). */
void voter_server_set_start(struct voter_server *s, uint64_t start);
const struct net_counters *voter_server_counters(const struct voter_server *s);

#endif
