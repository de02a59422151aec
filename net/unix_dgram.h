/* Local Unix datagrams inside one NIC. Each datagram repeats its sender's whole state,
 * so sending never blocks and a lost one does not matter. No allocation after open. */
#ifndef NET_UNIX_DGRAM_H
#define NET_UNIX_DGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "base/buf.h"
#include "base/err.h"

#define NET_DGRAM_BYTES_MAX 8192
#define NET_DGRAM_PATH_MAX 108 /* what a Unix socket address holds, NUL included */
#define NET_DGRAM_BATCH 64     /* datagrams read a wake-up, so that a flood starves nobody */

struct net_dgram {
    int fd;                        /* config */
    char path[NET_DGRAM_PATH_MAX]; /* "" when bound to nothing (send only) */
    void (*on_datagram)(void *arg, struct ts_bytes datagram);
    void *arg;
    bool polling;
    uv_poll_t poll;
    uint64_t received;  /* statistics */
    uint64_t oversized; /* dropped: longer than NET_DGRAM_BYTES_MAX */
    uint64_t sent;
    uint64_t unsent; /* receiver absent or full: the next repeat comes */
    uint8_t buffer[NET_DGRAM_BYTES_MAX + 1];
};

/* Binds `path` (a stale socket file is unlinked first, a new one has mode 0600) and gives every
 * datagram, borrowed for the call, to `on_datagram`. With NULL `path` only sending works and
 * `on_datagram` may be NULL. With NULL `loop` nothing is read: the caller polls `fd` itself
 * and calls net_dgram_read.
 * TS_ERR_LIMIT: the path is too long for a socket; TS_ERR_SYSTEM otherwise, errno is set. */
enum ts_err net_dgram_open(struct net_dgram *d, uv_loop_t *loop, const char *path,
                           void (*on_datagram)(void *arg, struct ts_bytes datagram),
                           void *arg) TS_MUST_USE;
/* Closes and unlinks. With a loop, it must run once more before the memory goes. */
void net_dgram_close(struct net_dgram *d);
/* Sends one datagram to the socket file `to`, or drops it. Never blocks. Gives whether the
 * receiver's queue has it. */
bool net_dgram_send(struct net_dgram *d, const char *to, struct ts_bytes datagram);
/* Reads what is there, at most NET_DGRAM_BATCH datagrams. For use without a loop. */
void net_dgram_read(struct net_dgram *d);

#endif
