/* Links, addresses, entries, routes and routing rules of the kernel, by netlink. All calls block,
 * for some ten microseconds each; they take CAP_NET_ADMIN. */
#ifndef SERVICES_AGENT_IO_RTNL_H
#define SERVICES_AGENT_IO_RTNL_H

#include <libmnl/libmnl.h>

#include "base/io/files.h"
#include "services/agent/object.h"

#define AGENT_RTNL_BUFFER 65536

struct agent_rtnl {
    struct mnl_socket *socket;
    uint32_t seq;
    uint8_t buffer[AGENT_RTNL_BUFFER];
};

/* `bus` is NETLINK_ROUTE or NETLINK_NETFILTER. TS_ERR_SYSTEM. */
enum ts_err agent_rtnl_open(struct agent_rtnl *n, int bus, struct ts_why *why) TS_MUST_USE;
void agent_rtnl_close(struct agent_rtnl *n);
struct nlmsghdr *agent_rtnl_begin(struct agent_rtnl *n, uint16_t type, uint16_t flags);
/* Sends it and reads all answers: 0 or an errno; EINTR: what was listed changed meanwhile. */
int agent_rtnl_talk(struct agent_rtnl *n, const struct nlmsghdr *h, mnl_cb_t told, void *arg);
/* The same for a dump that begin() and `fill` make anew as long as it is torn. */
int agent_rtnl_dump(struct agent_rtnl *n, uint16_t type, void (*fill)(struct nlmsghdr *, void *),
                    void *fill_arg, mnl_cb_t told, void (*again)(void *), void *arg);

/* An interface's figures. */
struct agent_interface_counts {
    uint32_t index;
    uint64_t rx_packets;
    uint64_t rx_bytes;
    uint64_t tx_packets;
    uint64_t tx_bytes;
};

struct agent_kernel_state {
    struct agent_interface *interface;      /* owned */
    struct agent_interface_counts *figures; /* owned; of the same interfaces */
    size_t interfaces;
    size_t room;
    struct agent_objects objects; /* what is ours; sorted */
};

void agent_kernel_state_free(struct agent_kernel_state *s);
/* Interfaces only, or (all) what is ours of everything, too. */
enum ts_err agent_rtnl_read(struct agent_rtnl *n, bool all, struct agent_kernel_state *s,
                            struct ts_why *why) TS_MUST_USE;

/* Does one thing. TS_ERR_SYSTEM: `error` says what the kernel does not take. */
enum ts_err agent_rtnl_perform(struct agent_rtnl *n, const struct agent_op *op,
                               struct agent_error *error) TS_MUST_USE;

#endif
