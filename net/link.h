/* One framed connection between two nodes: TCP, TLS 1.3, frames.
 *
 * An endpoint says who this side is and which peers it accepts; links belong to one.
 * A link is dialled (net_link_dial) or accepted (net/listener.h), shakes hands within
 * bounded time and bytes, exchanges HELLO, and is then up. Frames to send are gathered
 * and written once a turn of the loop.
 *
 * Every callback comes from the loop, never from within a call of this interface.
 * Everything runs on the loop's thread. */
#ifndef NET_LINK_H
#define NET_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <netinet/in.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/frame.h"
#include "net/log.h"
#include "net/loop.h"
#include "net/tls.h"

struct net_link;

/* Why a link ended. X(symbol, text) */
#define NET_DOWN_LIST(X) \
    X(NET_DOWN_LOCAL, "closed by this side") \
    X(NET_DOWN_CLOSED, "closed by the peer") \
    X(NET_DOWN_REFUSED, "connection refused") \
    X(NET_DOWN_UNREACHABLE, "address unreachable") \
    X(NET_DOWN_TIMEOUT, "no connection in time") \
    X(NET_DOWN_HANDSHAKE_TIMEOUT, "no handshake in time") \
    X(NET_DOWN_TLS, "TLS refused") \
    X(NET_DOWN_IDENTITY, "the peer is not who it must be") \
    X(NET_DOWN_DENIED, "the peer refused this node") \
    X(NET_DOWN_VERSION, "no common format version") \
    X(NET_DOWN_MALFORMED, "malformed bytes") \
    X(NET_DOWN_OVERSIZED, "a frame exceeds the limit") \
    X(NET_DOWN_BUDGET, "too many bytes before the handshake was done") \
    X(NET_DOWN_HALF_OPEN, "too many unfinished handshakes") \
    X(NET_DOWN_CONNECTIONS, "too many connections") \
    X(NET_DOWN_RATE, "strangers connect too fast") \
    X(NET_DOWN_GONE, "the peer left before it was accepted") \
    X(NET_DOWN_OVERFLOW, "the peer does not take its bytes: output limit reached") \
    X(NET_DOWN_SILENT, "silent for too long") \
    X(NET_DOWN_SYSTEM, "a system call failed")

enum net_down {
#define NET_DOWN_ENUM(sym, text) sym,
    NET_DOWN_LIST(NET_DOWN_ENUM)
#undef NET_DOWN_ENUM
        NET_DOWN_REASONS
};

/* Static storage. */
const char *net_down_text(enum net_down reason);

/* What the loop's owner shares among endpoints. All borrowed, must outlive them. */
struct net_env {
    uv_loop_t *loop;
    struct net_turn *turn;
    struct net_log *log; /* may be NULL */
    struct net_tls *tls;
};

struct net_link_events {
    /* HELLO of both sides done. `peer` is borrowed for the call. For an accepted link this is
     * the first the owner hears of it: net_link_set_arg gives it an own `arg`. */
    void (*on_up)(void *arg, struct net_link *link, const struct net_hello *peer);
    /* A frame of type ≥ NET_FRAME_ACTIVATE after on_up; `payload` is borrowed for the call. */
    void (*on_frame)(void *arg, struct net_link *link, uint8_t type, struct ts_bytes payload);
    /* The link ended by itself; `link` is gone after the call. Given once for every dialled
     * link and for every accepted one that was up. Not given after net_link_close. */
    void (*on_down)(void *arg, struct net_link *link, enum net_down reason);
};

struct net_counters {
    uint64_t accepted; /* TCP connections accepted */
    uint64_t dialled;  /* connections tried */
    uint64_t up;       /* links that came up */
    uint64_t frames_in;
    uint64_t frames_out;
    uint64_t bytes_in; /* on the wire */
    uint64_t bytes_out;
    uint64_t refused[NET_DOWN_REASONS]; /* accepted connections refused before up, by reason */
    uint64_t lost[NET_DOWN_REASONS];    /* links that were up and ended, by reason */
    uint64_t failed[NET_DOWN_REASONS];  /* dialled links that never came up */
};

/* Connections that were ended for who made them or for what came in on them: a foreign or expired
 * certificate, a wrong node, malformed or too many bytes, floods. Peers that are merely away or
 * slow do not count. */
uint64_t net_counters_rejected(const struct net_counters *c);

/* Who this side is. Filled by the owner, then net_endpoint_open. */
struct net_endpoint {
    struct net_env env;     /* config */
    struct net_hello hello; /* what this side says; versions are filled in */
    /* The configured name of a node; NULL when there is no such node. */
    const char *(*name_of)(const void *arg, struct ts_nic_id node);
    const void *name_arg;
    bool same_group;               /* the peer's group must equal hello.group */
    uint64_t connect_timeout_ns;   /* TCP; 0 = 1 s */
    uint64_t handshake_timeout_ns; /* TLS and HELLO, after TCP; 0 = 2 s */
    uint32_t output_max;           /* bytes not yet taken by the kernel; 0 = 64 MiB */
    void (*on_drained)(void *arg); /* after net_endpoint_close: all links are gone; may be NULL */
    void *drained_arg;

    struct net_link *first; /* volatile: all links, the oldest first */
    struct net_link *last;
    uint32_t link_count;
    uint32_t pending; /* libuv handles that are not closed yet */
    bool opened;
    bool closing;
    bool drained;
    BIO_METHOD *bio;      /* TLS reads from and writes to the link's buffers */
    uv_timer_t sweep;     /* ends what takes too long */
    uint8_t *read_buffer; /* shared: what libuv reads is taken over at once */

    struct net_counters counters; /* statistics */
};

/* Completes the configuration. Has the process ignore SIGPIPE. TS_ERR_NOMEM. */
enum ts_err net_endpoint_open(struct net_endpoint *ep) TS_MUST_USE;
/* Closes all links, without on_down. The memory must stay until on_drained; it comes from the loop.
 */
void net_endpoint_close(struct net_endpoint *ep);

/* Connects from `from` (NULL or its port 0: any) to `to`. The peer must be node `peer`.
 * `events` is borrowed until the link is gone. Failures to connect come as on_down.
 * TS_ERR_NOMEM; TS_ERR_SYSTEM: no socket to be had (too many open files). */
enum ts_err net_link_dial(struct net_endpoint *ep, const struct sockaddr *from,
                          const struct sockaddr *to, struct ts_nic_id peer,
                          const struct net_link_events *events, void *arg,
                          struct net_link **out) TS_MUST_USE;
/* Ends the link at once; what was gathered this turn is still tried. No callback follows; `link`
 * is gone for the caller. */
void net_link_close(struct net_link *link, enum net_down reason);
void net_link_set_arg(struct net_link *link, void *arg);
/* Gathers one frame for the end of this turn; copies. TS_ERR_CLOSED: not up;
 * TS_ERR_LIMIT: longer than a frame may be; TS_ERR_FULL: the output limit: nothing was taken
 * and the link ends with NET_DOWN_OVERFLOW this turn. */
enum ts_err net_link_send(struct net_link *link, uint8_t type, struct ts_bytes payload) TS_MUST_USE;
/* The same for a payload in two parts, written one behind the other. */
enum ts_err net_link_send2(struct net_link *link, uint8_t type, struct ts_bytes a,
                           struct ts_bytes b) TS_MUST_USE;
/* Sends a PING; the answer moves net_link_heard. */
void net_link_ping(struct net_link *link);

/* Queries. */
bool net_link_is_dialled(const struct net_link *link);
/* The peer's HELLO; only of a link that is up. Borrowed. */
const struct net_hello *net_link_peer(const struct net_link *link);
/* The newest time of which a full round trip is proven: when the newest answered PING was sent,
 * the link came up, bytes that had waited were taken, or a long stream came in. */
struct ts_mono net_link_heard(const struct net_link *link);
/* The newest time at which bytes came in. */
struct ts_mono net_link_received(const struct net_link *link);
/* Bytes gathered and not yet taken by the kernel. */
uint32_t net_link_backlog(const struct net_link *link);
/* Which of the listener's addresses accepted it; 0 for a dialled one. */
unsigned net_link_listen_index(const struct net_link *link);
/* The peer's address as text; borrowed from the link. */
const char *net_link_address(const struct net_link *link);
/* Within on_down: what is known of the end beside its reason, such as why a certificate is refused;
 * "" when nothing is. Borrowed for the call. */
const char *net_link_detail(const struct net_link *link);

/* Parses an IPv4 or IPv6 address. TS_ERR_MALFORMED. */
enum ts_err net_address(const char *text, uint16_t port, struct sockaddr_storage *out) TS_MUST_USE;

#endif
