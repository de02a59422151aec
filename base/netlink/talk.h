/* Questions to the kernel by netlink, and its answers. Calls block, for some ten microseconds each.
 */
#ifndef BASE_NETLINK_TALK_H
#define BASE_NETLINK_TALK_H

#include <libmnl/libmnl.h>

#include "base/io/files.h"

#define TS_NETLINK_BUFFER 65536

struct ts_netlink {
    struct mnl_socket *socket;         /* NULL: not open */
    uint32_t seq;                      /* of the last question */
    uint8_t buffer[TS_NETLINK_BUFFER]; /* a question, or a part of its answers */
};

/* `bus` is NETLINK_ROUTE or NETLINK_NETFILTER. The kernel answers at once, or not at all: for
 * `answer_s` seconds it is waited for. TS_ERR_SYSTEM. */
enum ts_err ts_netlink_open(struct ts_netlink *n, int bus, unsigned answer_s,
                            struct ts_why *why) TS_MUST_USE;
void ts_netlink_close(struct ts_netlink *n);

/* Begins a question in the buffer: a RTM_…, with NLM_F_REQUEST and `flags`. */
struct nlmsghdr *ts_netlink_begin(struct ts_netlink *n, uint16_t type, uint16_t flags);
/* Sends it and reads all answers, of which each goes to `told` (may be NULL; MNL_CB_STOP ends it).
 * Those to an earlier question, which was given up before its end, are passed over. Gives an errno,
 * or 0; EINTR: what was listed changed meanwhile, and something may be missing. (libmnl's own loop
 * passes over the rest of a torn part, and knows nothing of earlier questions.) */
int ts_netlink_talk(struct ts_netlink *n, const struct nlmsghdr *h, mnl_cb_t told, void *arg);

#endif
