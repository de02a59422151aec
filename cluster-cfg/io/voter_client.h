/* The standing links of a proposer to every voter, its own NIC's included. Each voter has
 * one link, on the lowest path that works; another path is tried when it falls silent, closes, or
 * heartbeatd says that its path is down.
 *
 * Every callback comes from the loop, never from within a call of this interface. */
#ifndef CLUSTER_CFG_IO_VOTER_CLIENT_H
#define CLUSTER_CFG_IO_VOTER_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "net/link.h"

struct voter_client;

struct voter_client_events {
    /* A link to the voter's process is up. `hello` is borrowed for the call. */
    void (*on_up)(void *arg, struct ts_nic_id voter, const struct net_hello *hello);
    /* It ended; requests without an answer may or may not have been carried out. */
    void (*on_down)(void *arg, struct ts_nic_id voter);
    /* One frame, type ≥ NET_FRAME_USER, borrowed for the call. */
    void (*on_frame)(void *arg, struct ts_nic_id voter, uint8_t type, struct ts_bytes payload);
    /* A link did not come up, since one side does not take the other's certificate, or is not who
     * it must be: `why` and `detail` are parts of a sentence, borrowed. NULL: not told. */
    void (*on_refused)(void *arg, struct ts_nic_id voter, const char *why, const char *detail);
};

struct voter_client_config {
    struct net_env env;
    const struct cfg_cluster *cluster; /* borrowed, must outlive the client */
    struct ts_nic_id self;
    struct ts_group_id group; /* of a replica; 0 for a voter that registers its own start */
    struct ts_instance instance;
    struct ts_incarnation incarnation;
    uint64_t start;
    struct voter_client_events events;
    void *arg;
};

/* Begins to dial every voter. TS_ERR_CONFIG: this node is not in the cluster, or an address is
 * none; TS_ERR_NOMEM; TS_ERR_SYSTEM. `why` says what and where. */
enum ts_err voter_client_open(const struct voter_client_config *config, struct voter_client **out,
                              struct ts_why *why) TS_MUST_USE;
/* Closes without on_down; frees itself once the loop has closed the sockets. NULL is allowed. */
void voter_client_close(struct voter_client *c);
/* Gathers one frame for the end of this turn; copies. TS_ERR_CLOSED: no link; TS_ERR_LIMIT;
 * TS_ERR_FULL: on_down follows; TS_ERR_NOT_FOUND: no such voter. */
enum ts_err voter_client_send(struct voter_client *c, struct ts_nic_id voter, uint8_t type,
                              struct ts_bytes payload) TS_MUST_USE;
/* What heartbeatd says of the paths to a node: bit n set = path n is up. */
void voter_client_path_state(struct voter_client *c, struct ts_nic_id voter, uint8_t path_up_mask);

bool voter_client_is_up(const struct voter_client *c, struct ts_nic_id voter);
/* The link's path; -1 without one. */
int voter_client_path(const struct voter_client *c, struct ts_nic_id voter);

#endif
