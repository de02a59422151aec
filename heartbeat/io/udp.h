/* One UDP socket a path, without a queue of its own: a heartbeat that cannot be sent now is
 * worth nothing later. No allocation. */
#ifndef HEARTBEAT_IO_UDP_H
#define HEARTBEAT_IO_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>

#include "base/err.h"

struct hb_addr {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } sa;
    socklen_t len;
};

/* Reads an IPv4 or IPv6 address. TS_ERR_MALFORMED when it is neither. */
enum ts_err hb_addr_parse(struct hb_addr *a, const char *text, uint16_t port) TS_MUST_USE;

/* A non-blocking socket bound to `a`, also when no interface has the address yet: a path that
 * comes up later is used from then on. Gives its descriptor, or -1 with errno. */
int hb_udp_open(const struct hb_addr *a);
/* Gives whether the kernel took the packet; otherwise errno says why. */
bool hb_udp_send(int fd, const struct hb_addr *to, const uint8_t *data, size_t n);
/* The next packet's length, cut to `cap`, and where it says that it comes from; -1 when none waits.
 */
long hb_udp_receive(int fd, uint8_t *data, size_t cap, struct hb_addr *from);
/* Whether both are the same address and port. */
bool hb_addr_eq(const struct hb_addr *a, const struct hb_addr *b);

#endif
