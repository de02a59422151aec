/* The shell around heartbeat.h: UDP on every path, the authentication, the timer, the local
 * reports. One loop, one thread. After hb_daemon_open it allocates nothing and touches no disk:
 * a NIC whose disk hangs still beats, and says what its nicd says.
 *
 * Reads DIR/tls/heartbeat.key; binds DIR/run/heartbeatd.sock (report_procs comes in), sends
 * report_peers to DIR/run/cfgd.sock and DIR/run/replica-GROUP.sock of the node's groups, and
 * report_trace to DIR/run/cfgd.sock. */
#ifndef HEARTBEAT_IO_HEARTBEATD_H
#define HEARTBEAT_IO_HEARTBEATD_H

#include <uv.h>

#include "base/err.h"
#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "net/log.h"

/* Packets read from one path before the others have their turn, so that a flood on one path
 * starves neither the others nor the timer. */
#define HB_READ_BATCH 128

struct hb_daemon;

struct hb_daemon_options {
    uv_loop_t *loop;                   /* borrowed for the daemon's life */
    struct net_log *log;               /* likewise */
    const struct cfg_cluster *cluster; /* likewise */
    struct ts_nic_id self;
    const char *dir; /* the node's directory */
};

/* Opens everything and starts beating. Gives `*out`, freed by hb_daemon_close.
 * TS_ERR_CONFIG   the key is missing or not of HB_KEY_BYTES_MIN..MAX bytes: a person must act
 * TS_ERR_SYSTEM   a socket could not be opened (address in use), or OpenSSL refused
 * TS_ERR_NOMEM    */
enum ts_err hb_daemon_open(struct hb_daemon **out, const struct hb_daemon_options *options,
                           struct ts_why *why) TS_MUST_USE;
/* Stops. The loop runs once more inside. NULL is allowed. */
void hb_daemon_close(struct hb_daemon *d);

/* Tries real-time scheduling and locked memory for the whole process; says in one line what it
 * got (information), or what is missing and what that means (a warning). */
void hb_daemon_go_realtime(const struct net_log *log);

#endif
