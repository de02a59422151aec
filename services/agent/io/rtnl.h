/* Links, addresses, entries, routes and routing rules of the kernel, by netlink. All calls block,
 * for some ten microseconds each; they take CAP_NET_ADMIN. */
#ifndef SERVICES_AGENT_IO_RTNL_H
#define SERVICES_AGENT_IO_RTNL_H

#include "base/netlink/talk.h"
#include "services/agent/object.h"

/* A great batch of rules takes the kernel some seconds. */
#define AGENT_RTNL_ANSWER_S 30

/* ts_netlink_talk of a dump that `fill` makes anew as long as it is torn. */
int agent_rtnl_dump(struct ts_netlink *n, uint16_t type, void (*fill)(struct nlmsghdr *, void *),
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
enum ts_err agent_rtnl_read(struct ts_netlink *n, bool all, struct agent_kernel_state *s,
                            struct ts_why *why) TS_MUST_USE;

/* Does one thing. TS_ERR_SYSTEM: `error` says what the kernel does not take. */
enum ts_err agent_rtnl_perform(struct ts_netlink *n, const struct agent_op *op,
                               struct agent_error *error) TS_MUST_USE;

#endif
