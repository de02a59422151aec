/* Parts of cluster-cfgd: cfgd.c composes, cfgd_voter.c votes, cfgd_reports.c listens,
 * cfgd_primary.c watches over the groups' primaries. */
#ifndef CLUSTER_CFG_IO_CFGD_INTERNAL_H
#define CLUSTER_CFG_IO_CFGD_INTERNAL_H

#include "cluster-cfg/io/admin.h"
#include "cluster-cfg/io/admin_server.h"
#include "cluster-cfg/io/cfgd.h"
#include "cluster-cfg/io/metrics_server.h"
#include "cluster-cfg/io/voter_client.h"
#include "cluster-cfg/io/voter_perform.h"
#include "cluster-cfg/io/voter_server.h"
#include "cluster-cfg/io/voter_store.h"
#include "net/loop.h"
#include "net/tls.h"
#include "net/unix_dgram.h"

struct cfgd;

struct cfgd_voter {
    struct cfgd *d; /* config */
    uint8_t self_index;
    uint8_t voter_count;
    struct ts_nic_id voter_ids[TS_VOTERS_MAX];

    struct voter *core; /* NULL: this node does not vote, or its disk cannot be used */
    struct voter_store *store;
    struct voter_server *server;
    struct voter_client *client;
    struct voter_perform p;  /* what the simulator shares */
    struct ts_trace foreign; /* with has_foreign: a disk in a wrong place that a step told of */
    bool has_foreign;
    uv_timer_t timer; /* of its start's registration */
    bool timer_open;
};

struct cfgd {
    struct cfgd_options o; /* config */
    struct ts_instance instance;
    struct net_turn turn;
    struct net_tls tls;
    struct net_env env;
    bool turn_open;
    bool tls_open;
    bool reports_open;
    bool closing;
    bool has_ended;

    struct cfgd_voter voter;
    struct net_dgram reports;
    struct recorder *recorder;
    struct admin_server *admin;
    struct metrics_server *metrics; /* NULL: off, or it cannot listen */
    struct admin_state state;
    uv_timer_t primary_timer;
    bool primary_open;
};

/* cfgd.c: an event of this process, or of another one, into the recorder and to subscribers. */
void cfgd_record(struct cfgd *d, struct recorder_source source, const struct ts_trace *trace);
void cfgd_trace(struct cfgd *d, const struct ts_trace *trace);

/* cfgd_voter.c. A voter that cannot vote is no error: state.voter says why. One whose disk is in
 * use (TS_ERR_BUSY), or wants memory, space or a permission, is: another start may find it mended.
 */
enum ts_err cfgd_voter_open(struct cfgd *d, struct ts_why *why) TS_MUST_USE;
void cfgd_voter_close(struct cfgd *d);
void cfgd_voter_paths(struct cfgd *d, const struct report_peers *peers);

/* cfgd_primary.c: tells in events and in the log when a group has no primary for long. */
enum ts_err cfgd_primary_open(struct cfgd *d, struct ts_why *why) TS_MUST_USE;
void cfgd_primary_close(struct cfgd *d);

/* cfgd_reports.c */
void cfgd_on_report(void *arg, struct ts_bytes datagram);

#endif
