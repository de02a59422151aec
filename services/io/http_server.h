/* The HTTPS front-end of a replica: requests in, answers out, in any order. It knows nothing of the
 * service behind it. HTTP/1.1, and HTTP/2 where it is asked for and the client agrees (ALPN).
 *
 *   request   a client that said who it is → ops.request, once its body is there
 *   answer    http_server_answer, at any time later; a token whose client has gone is dropped
 *   stream    http_server_stream instead of an answer, then http_server_event (Server-Sent Events)
 *
 * The owner (replica main) drives it, on the loop's thread: http_server_turn once a turn, after the
 * poll phase (uv_check). It is what calls ops.request; when there is work left for another turn the
 * server keeps the loop from blocking by itself. All other functions may be called from anywhere on
 * the loop's thread, also from within ops.request.
 *
 * Who a client is, it says with each request (Authorization: Basic, net/users.h) or once with a
 * certificate of the cluster's own authority: a node's. That of a transport node's agent is
 * refused. Without users in the file everybody is let in, as everywhere in this cluster. What a
 * role may do is the owner's matter; so is which request is answered while this replica is not the
 * primary.
 *
 * What one turn does is bounded (HTTP_TURN_…): handshakes, which cost the most, one by one.
 * Every connection is bounded in time (a stranger, slow headers, slow bodies, an idle one) and
 * space. Errors that the server answers by itself have a body as NSX has it (services/http.h).
 *
 * nghttp2 and http-parser know the protocols (docs/adr/0035); sockets, TLS and bounds are this
 * project's. Requests of one connection of HTTP/1.1 are answered in their order, as it wants them,
 * but given to the owner as they come. The process must ignore SIGPIPE. */
#ifndef SERVICES_IO_HTTP_SERVER_H
#define SERVICES_IO_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/io/files.h"
#include "net/users.h"
#include "services/http.h"

#define HTTP_ADDR_MAX 80 /* "HOST:PORT" with its NUL */
#define HTTP_LISTENERS_MAX 16
#define HTTP_ANSWER_HEADERS_MAX 16

enum http_who_kind {
    HTTP_WHO_ANYBODY,     /* there are no users, and it has shown no certificate */
    HTTP_WHO_USER,        /* name and password */
    HTTP_WHO_CERTIFICATE, /* of the cluster's authority: the name is the certificate's CN */
};

struct http_who {
    enum http_who_kind kind;
    char name[HTTP_NAME_MAX + 1]; /* "" of anybody */
    enum net_role role;           /* ADMIN of anybody and of a certificate */
};

/* The name that controllers have for a role: "auditor" (read), "operator" (write), "admin". */
const char *http_role_name(enum net_role role);

/* Borrowed for the call. */
struct http_request {
    enum http_method method;
    struct ts_bytes path; /* decoded and valid: http_path_is_valid */
    const struct http_param *params;
    size_t param_count;
    struct ts_bytes content_type; /* empty: none */
    struct ts_bytes body;
    struct http_who who;
    char peer[HTTP_ADDR_MAX];
    bool http2;
    bool is_relayed; /* by another NIC of the group (http_claim.h), which asks nobody else */
};

struct http_answer_header {
    const char *name;
    const char *value;
};

/* Borrowed for the call. Of what is no header (http_header_is_valid) or too much, the server makes
 * an INTERNAL_SERVER_ERROR. */
struct http_answer {
    unsigned status; /* 200 to 599 */
    const struct http_answer_header *headers;
    size_t header_count;
    const char *content_type; /* NULL: none */
    struct ts_bytes body;     /* not sent when the request was HEAD, nor with 204 and 304 */
};

/* What the server asks of its owner. */
struct http_server_ops {
    void *ctx; /* borrowed, given back in each call */

    /* A request, to be answered under this token, which is never 0 and never given twice. */
    void (*request)(void *ctx, uint64_t token, const struct http_request *request);

    /* A stream has ended: its client has gone, or was too slow. Not called for those that the owner
     * ended. May be NULL. Called at any time, also from within other functions of the server. */
    void (*stream_closed)(void *ctx, uint64_t stream);
};

/* Every bound and its default; 0 in a field means the default. */
struct http_server_config {
    const char *tls_dir;     /* node.pem … of net/tls_server.h; NULL only with `plain` */
    const char *cluster;     /* whose certificates are taken; NULL: of any that ca.pem issued */
    const char *const *nics; /* who may pass on what others ask: names in their certificates; … */
    size_t nic_count;        /* … borrowed for the server's life */
    bool plain;              /* HTTP without TLS, for tests and labs */
    bool http2; /* HTTP/2, too, to clients that ask for it: by ALPN, or, where it is plain,
                   by beginning with its preface */
    uint32_t clients_max;         /* connections, 1024; lowered to what RLIMIT_NOFILE allows */
    uint32_t requests_max;        /* not answered yet, of all clients, 4096 */
    uint32_t body_max;            /* bytes of one request's body, 8 MiB … */
    uint32_t bodies_max;          /* … and of all of them together, 64 MiB */
    uint32_t answers_max;         /* bytes of answers that wait for their clients: while there are
                                     more, requests are refused, 256 MiB */
    uint32_t headers_max;         /* bytes of a request's target and headers, 32 more for each of
                                     these, 16 KiB */
    uint32_t stream_output_max;   /* bytes that a stream's client is behind, 256 KiB */
    uint32_t stranger_ms;         /* for which a connection may be nobody's, 10000 */
    uint32_t request_ms;          /* for a whole request from its headers on, 60000 */
    uint32_t answer_ms;           /* without a byte taken by a client that is answered, 30000 */
    uint32_t idle_ms;             /* without a request, 120000 */
    uint32_t stream_keepalive_ms; /* between comments on a silent stream, 15000 */
};

/* Counters since the start. */
struct http_server_stats {
    uint64_t connections;      /* accepted */
    uint64_t rejected;         /* refused: too many clients */
    uint64_t requests;         /* given to ops.request */
    uint64_t answers;          /* by http_server_answer, to a client that was there */
    uint64_t dropped;          /* answers whose client had gone */
    uint64_t unauthorized;     /* 401; 403: a transport node's agent */
    uint64_t bad_requests;     /* 400, 405, 408, 414, 431 */
    uint64_t too_large;        /* 413 */
    uint64_t overloads;        /* 503: too many requests, or bytes of bodies or answers */
    uint64_t no_request;       /* connections that ended before any: no handshake, no HTTP */
    uint64_t closed_strangers; /* for not saying who they are */
    uint64_t closed_slow;      /* for slow requests, or not taking their answers */
    uint64_t closed_idle;
    uint64_t closed_unanswered; /* by http_server_fail_unanswered */
    uint64_t streams;           /* opened */
    uint64_t events;
    uint32_t clients;    /* connected now */
    uint32_t unanswered; /* given to ops.request, not answered */
    uint32_t streaming;  /* streams now */
};

struct http_server;
struct net_tls_server;

/* Gives a server that listens nowhere yet. `loop` and ops->ctx are borrowed for its life.
 * Errors of the certificates as of net_tls_server_open; TS_ERR_NOMEM; TS_ERR_CONFIG: neither plain
 * nor a directory. Blocks. */
enum ts_err http_server_create(struct http_server **out, uv_loop_t *loop,
                               const struct http_server_ops *ops,
                               const struct http_server_config *config,
                               struct ts_why *why) TS_MUST_USE;

/* Closes all, once clients of HTTP/2 are told which requests were looked at (GOAWAY), as far as
 * their sockets take it; `closed` is called on the loop when every handle is gone and the memory is
 * freed. No other function may be called after it. Not from within an op. */
void http_server_destroy(struct http_server *s, void (*closed)(void *ctx), void *ctx);

/* Listens on one more address (numeric), also on one that this machine does not have yet. Port 0
 * takes a free one. TS_ERR_CONFIG: not an address. TS_ERR_LIMIT: too many. TS_ERR_BUSY: another
 * process listens there. TS_ERR_SYSTEM. */
enum ts_err http_server_listen(struct http_server *s, const char *address, uint16_t port,
                               struct ts_why *why) TS_MUST_USE;
/* The port that the first listener got. */
uint16_t http_server_port(const struct http_server *s);

/* Takes in what waits: new connections, whole requests. Once a turn, after the poll phase. */
void http_server_turn(struct http_server *s);
/* Whether http_server_turn has work now (the loop does not block meanwhile). */
bool http_server_has_work(const struct http_server *s);

/* Answers; all is copied. */
void http_server_answer(struct http_server *s, uint64_t token, const struct http_answer *answer);
/* Answers with an error as NSX has it. `module`: "common-services" or "policy". */
void http_server_error(struct http_server *s, uint64_t token, unsigned status, unsigned code,
                       const char *module, const char *message);
/* Closes the connection of this request, of which nobody knows whether it was carried out. */
void http_server_give_up(struct http_server *s, uint64_t token);
/* Closes, without an answer, every connection that has unanswered requests: the replica lost its
 * right to answer. */
void http_server_fail_unanswered(struct http_server *s);

/* Makes the answer a stream of events, whose id is the token. False: there is none, since the
 * client has gone, or has asked for the head alone (HEAD), which it gets. */
bool http_server_stream(struct http_server *s, uint64_t token);
/* Appends one event; copied. TS_ERR_NOT_FOUND: there is no such stream (any more).
 * TS_ERR_MALFORMED: name or id have a line's end. TS_ERR_LIMIT: its client is too far behind; the
 * connection is closed, and ops.stream_closed was called. */
enum ts_err http_server_event(struct http_server *s, uint64_t stream,
                              const struct http_event *event) TS_MUST_USE;
/* Ends a stream once all its events are sent. */
void http_server_stream_end(struct http_server *s, uint64_t stream);

/* Who may be what from now on; copied. A request is judged by the users of the moment when its
 * headers came; streams of users that are gone, or have another password, are closed. */
void http_server_set_users(struct http_server *s, const struct net_users *users);
/* Loads the certificates again, for new connections; on failure all stays as it was. Errors as of
 * net_tls_server_reload; nothing to do when it is plain. Blocks. */
enum ts_err http_server_reload(struct http_server *s, struct ts_why *why) TS_MUST_USE;
/* For who reloads several (net_tls_server_reload_all); NULL when it is plain. */
struct net_tls_server *http_server_tls(const struct http_server *s);

void http_server_stats(const struct http_server *s, struct http_server_stats *out);

#endif
