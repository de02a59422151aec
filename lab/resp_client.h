/* A client that behaves as a careful application would: one request at a time, several
 * server addresses, quick reconnects, and the truth about every request.
 *
 * The truth has three values. A reply is OK or a proof that the request was not executed; a
 * connection that closes, or a reply that does not come in time, after the first byte was
 * written leaves the outcome unknown: the request is reported AMBIGUOUS and never sent again
 * (R2.8: the only answers to an ordered request are its reply or a closed connection).
 * Refusals that prove that nothing was executed (-READONLY, -CLUSTERDOWN, -LOADING, …) are
 * followed silently: to the primary that the text names, or to the next address.
 *
 * Runs on the caller's libuv loop; every callback comes from that loop, never from inside
 * lab_client_send. */
#ifndef LAB_RESP_CLIENT_H
#define LAB_RESP_CLIENT_H

#include <netinet/in.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "lab/resp.h"
#include "net/tls_client.h"

#define LAB_ADDRS_MAX 8
#define LAB_ADDR_TEXT_MAX 64

/* The servers a client knows. */
struct lab_addrs {
    size_t count;
    struct sockaddr_in a[LAB_ADDRS_MAX];
};

/* Reads "127.0.0.1:6379,127.0.0.2:6379". TS_ERR_MALFORMED: not that, or too many. */
enum ts_err lab_addrs_parse(struct lab_addrs *out, const char *text) TS_MUST_USE;
/* "host:port", always NUL-terminated. */
void lab_addr_text(const struct sockaddr_in *a, char out[LAB_ADDR_TEXT_MAX]);
/* The HOST:PORT of "READONLY primary is HOST:PORT"; TS_ERR_NOT_FOUND when there is none. */
enum ts_err lab_readonly_target(struct ts_bytes error, struct sockaddr_in *out) TS_MUST_USE;

enum lab_outcome {
    LAB_ACKED,     /* the server's reply to the request */
    LAB_FAILED,    /* not executed: an error reply, or never sent */
    LAB_AMBIGUOUS, /* sent, outcome unknown */
};

struct lab_client_config {
    struct lab_addrs addrs;
    unsigned request_timeout_ms; /* a reply or a connection later than this is given up; >= 1 */
    unsigned give_up_ms;         /* a request that could not be sent so long is FAILED */
    const struct net_tls_trust *trust; /* borrowed: TLS; NULL: plain text */
    const char *user;                  /* borrowed: who says AUTH first; NULL: nobody does */
    const char *password;              /* borrowed */
};

struct lab_client_stats {
    uint64_t connects;
    uint64_t connects_failed;
    uint64_t redirects; /* -READONLY followed */
    uint64_t refusals;  /* -CLUSTERDOWN and the like: went to the next address */
    uint64_t closed;    /* connections that the server closed */
    uint64_t timeouts;
    uint64_t malformed;
};

struct lab_client;

/* `reply` is borrowed for the call; its kind is ERROR for LAB_FAILED, meaningless for
 * LAB_AMBIGUOUS. The next lab_client_send may be made from here. */
typedef void lab_client_reply_cb(void *arg, enum lab_outcome outcome,
                                 const struct lab_reply *reply);

/* Gives a client on `loop` (borrowed until closed). Connects with the first request only. */
struct lab_client *lab_client_new(uv_loop_t *loop, const struct lab_client_config *config);

/* Sends one command; `cb` tells the outcome exactly once. Precondition: none is under way.
 * The arguments are copied. */
void lab_client_send(struct lab_client *c, const struct ts_bytes *argv, size_t argc,
                     lab_client_reply_cb *cb, void *arg);

/* Closes and frees the client on the loop's next turn. A request under way is dropped
 * without a callback. */
void lab_client_close(struct lab_client *c);

const struct lab_client_stats *lab_client_stats(const struct lab_client *c);

#endif
