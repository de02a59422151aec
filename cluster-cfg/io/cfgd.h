/* cluster-cfgd: this node's voter, its admin sockets, its event recorder.
 *
 * It knows its own voter's state and what the node's own processes report on run/cfgd.sock,
 * nothing else; the cluster's picture is put together by whoever asks all nodes.
 *
 * A voter whose disk is missing, damaged, failed or cloned does not vote; the admin side goes
 * on and says why. */
#ifndef CLUSTER_CFG_IO_CFGD_H
#define CLUSTER_CFG_IO_CFGD_H

#include <uv.h>

#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "net/log.h"

#define CFGD_SOCKET "run/cfgd.sock"

struct cfgd;

/* All borrowed, must outlive the daemon. */
struct cfgd_options {
    uv_loop_t *loop;
    struct net_log *log;
    const struct cfg_cluster *cluster;
    const struct cfg_node *self;
    const char *dir;     /* the node's data directory */
    const char *release; /* the program's version */
};

/* TS_ERR_CONFIG: only a person can help (certificates, a path that is too long); other errors may
 * pass (an address in use). `why` is the sentence. */
enum ts_err cfgd_open(struct cfgd **out, const struct cfgd_options *options,
                      struct ts_why *why) TS_MUST_USE;
/* Loads the node's certificate again, for new links; says in the log what came of it. */
void cfgd_renew_certificate(struct cfgd *d);
/* Whether it has stopped the loop by itself: its voter's disk takes no write for a reason that may
 * pass, as a full one, and another start is worth trying. The log says why. */
bool cfgd_has_ended(const struct cfgd *d);
/* Begins to end everything, without running the loop: for several on one loop. */
void cfgd_begin_close(struct cfgd *d);
/* Ends everything: runs the loop until all of it is closed, so other handles there must be
 * closed or unreferenced before. A hung disk keeps it waiting: then the process may be killed. */
void cfgd_close(struct cfgd *d);

#endif
