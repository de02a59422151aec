/* The service addresses of a NIC in the kernel: hears the replicas on run/nicd.sock, and does what
 * service_address.h says, by netlink.h. Without the right to, it says so, and clients use the NICs'
 * own addresses. cluster-cfgd is told where they are (report_address). A replica also says whose
 * connections went with the former owner: these clients are told by tcp_probe.h. */
#ifndef DAEMON_SERVICE_ADDRESS_IO_H
#define DAEMON_SERVICE_ADDRESS_IO_H

#include <uv.h>

#include "base/err.h"
#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "net/log.h"

struct service_address_io;

/* Takes away what a nicd before this one has left. All is borrowed. *out is NULL when no group of
 * this NIC has an address, or the kernel cannot be asked, which is logged. TS_ERR_SYSTEM,
 * TS_ERR_LIMIT, TS_ERR_NOMEM. */
enum ts_err service_address_io_open(struct service_address_io **out, uv_loop_t *loop,
                                    struct net_log *log, const struct cfg_cluster *cluster,
                                    struct ts_nic_id self, const char *dir,
                                    struct ts_why *why) TS_MUST_USE;
/* The group's replica answers nobody any more. NULL is allowed, here and below. */
void service_address_io_ended(struct service_address_io *s, struct ts_group_id group);
/* Gives all up. The loop must run once more, and then service_address_io_free. */
void service_address_io_close(struct service_address_io *s);
void service_address_io_free(struct service_address_io *s);

#endif
