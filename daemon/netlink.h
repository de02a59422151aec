/* Addresses of this machine's interfaces, by rtnetlink, and telling the neighbours of them: an ARP
 * announcement (RFC 5227) or an unsolicited neighbour advertisement (RFC 4861, 7.2.6). Linux only.
 * To change something takes CAP_NET_ADMIN in the network namespace's user namespace, to announce it
 * CAP_NET_RAW. All calls block, for some ten microseconds; netlink_add of an IPv6 address until the
 * kernel takes packets to it, some 100 microseconds, at most 20 ms.
 *
 * An address has a lifetime in the kernel: it goes by itself when whoever keeps it has died. */
#ifndef DAEMON_NETLINK_H
#define DAEMON_NETLINK_H

#include <stdint.h>

#include "base/err.h"
#include "base/io/files.h"

struct netlink_address {
    int family; /* AF_INET, AF_INET6 */
    uint8_t bytes[16];
    uint8_t prefix; /* bits of its network */
};

/* `text` as inet_ntop writes it. */
struct netlink_address netlink_address_of(const char *text, uint8_t prefix);

struct netlink;

/* TS_ERR_SYSTEM, TS_ERR_NOMEM. The caller closes it. */
enum ts_err netlink_open(struct netlink **out, struct ts_why *why) TS_MUST_USE;
void netlink_close(struct netlink *n);
/* The interface that has another address of the same network. Of several one that runs, then one
 * whose own network is that very one, then the one that *index is already, or else the first; the
 * loopback with an address for this machine alone only when there is no other. TS_ERR_NOT_FOUND:
 * none has; *index is as it was then. With TS_OK `why` says what is wrong with the best, "" if
 * nothing is. */
enum ts_err netlink_find(struct netlink *n, const struct netlink_address *a, unsigned *index,
                         struct ts_why *why) TS_MUST_USE;
/* Gives the address to the interface for so many seconds, or again. TS_ERR_REFUSED: no right. */
enum ts_err netlink_add(struct netlink *n, const struct netlink_address *a, unsigned index,
                        uint32_t seconds, struct ts_why *why) TS_MUST_USE;
/* Takes it away; one that is not there is no error. */
enum ts_err netlink_remove(struct netlink *n, const struct netlink_address *a, unsigned index,
                           struct ts_why *why) TS_MUST_USE;
/* Tells all on the interface's network that the address is here. Where nobody asks for addresses
 * (loopback) nothing is sent. TS_ERR_REFUSED: no right. */
enum ts_err netlink_announce(struct netlink *n, const struct netlink_address *a, unsigned index,
                             struct ts_why *why) TS_MUST_USE;

#endif
