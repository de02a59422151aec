/* A packet that has a client's kernel look whether its TCP connection is still there (adr/0026): an
 * empty segment of that connection with numbers that cannot be right. A client that is in it
 * answers with the right ones (RFC 9293, 3.10.7.4), and a machine that has the server's address but
 * no such connection answers that with a reset, which the client believes. Where the connection
 * lives, nothing comes of it. Pure.
 *
 * To send one takes no more than the addresses and ports: no sequence number has to be known. */
#ifndef DAEMON_TCP_PROBE_H
#define DAEMON_TCP_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TCP_PROBE_BYTES_MAX 60

struct tcp_probe {
    bool v6;
    const uint8_t *from; /* the server's address, 4 or 16 bytes, borrowed */
    const uint8_t *to;   /* the client's */
    uint16_t from_port;
    uint16_t to_port;
    /* By chance a number is one that the client expects, and then it says nothing. Two probes
     * whose turns differ in the lowest bit have numbers that no client expects both. */
    uint8_t turn;
};

/* Writes the whole IP packet; gives its length. */
size_t tcp_probe_write(const struct tcp_probe *p, uint8_t out[TCP_PROBE_BYTES_MAX]);

#endif
