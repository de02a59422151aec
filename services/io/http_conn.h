/* Inside the HTTP front-end: its connections and exchanges. One file a role:
 *
 *   http_server.c   set-up, the turn, the end
 *   http_accept.c   listening
 *   http_conn.c     a connection as its versions see it: which one it speaks, what it has read
 *   http_socket.c   its bytes: reading, TLS, writing, closing
 *   http_v1.c       HTTP/1.1: from bytes to exchanges and back (http-parser)
 *   http_v2.c       HTTP/2: the same (nghttp2); http_v2_send.c: what goes out
 *   http_exchange.c a request and its answer: its life, its token
 *   http_request.c  from headers and bodies to a request, or to an error
 *   http_who.c      who a request is from
 *   http_answer.c   answers and streams
 *   http_sweep.c    bounds in time
 *
 * The versions know neither sockets nor TLS: plain bytes go in by http_conn_take and come out by
 * http_conn_fill, and so tests and the fuzzer have connections without a socket. */
#ifndef SERVICES_IO_HTTP_CONN_H
#define SERVICES_IO_HTTP_CONN_H

#include "net/tls.h"
#include "net/tls_server.h"
#include "services/http_head.h"
#include "services/io/http_server.h"
#include "services/svc.h"

struct http_conn;
struct http_exchange;

#define HTTP_TURN_REQUESTS 64              /* given to ops.request */
#define HTTP_TURN_HANDSHAKES 8U            /* steps of TLS handshakes, a millisecond each at most */
#define HTTP_TURN_WRITE (2U * 1024 * 1024) /* bytes written to all clients … */
#define HTTP_TURN_WRITE_EACH (256U * 1024) /* … and to one */
#define HTTP_READ_CHUNK (64U * 1024)       /* of each connection, once a turn */
#define HTTP_WRITE_CHUNK (64U * 1024)      /* encrypted and given to the socket at once, about */
#define HTTP_AHEAD_MAX (64U * 1024)        /* bytes a connection of HTTP/1.1 may be ahead */
#define HTTP_PIPELINE_MAX 16U              /* exchanges of one connection of HTTP/1.1 */
#define HTTP_STREAMS_MAX 100U              /* … of HTTP/2 */
#define HTTP_OUTPUT_SOFT (1024U * 1024)    /* bytes of answers that wait: then HTTP/1.1 waits */
#define HTTP_OUTPUT_HARD (16U * 1024 * 1024) /* … then requests are refused */
#define HTTP_HEADERS_OUT_MAX 8192U
#define HTTP_DRAIN_MS \
    5000 /* for which an ended connection may be silent until its client closes \
          */
#define HTTP_SWEEP_MS 250
#define HTTP_MODULE "common-services"

/* Error codes of what the server answers by itself. */
enum http_error_code {
    HTTP_ERROR_BAD_REQUEST = 220,
    HTTP_ERROR_TOO_LARGE = 221,
    HTTP_ERROR_TIMEOUT = 222,
    HTTP_ERROR_OVERLOAD = 98,
    HTTP_ERROR_AUTH = 403, /* "The credentials were incorrect …": what NSX says with 401 */
    HTTP_ERROR_INTERNAL = 99,
};

enum http_list {
    HTTP_LIST_CONNS,     /* all whose memory is there */
    HTTP_LIST_STRANGERS, /* have not said who they are, the oldest first */
    HTTP_LIST_DIRTY,     /* have something to write */
    HTTP_LIST_RESUME,    /* may go on with what they have read */
    HTTP_LISTS,
};

struct http_node {
    struct http_conn *next;
    struct http_conn *prev;
    bool in;
};

/* What a version of HTTP is to a connection. None of these frees the connection. */
struct http_version {
    /* Takes bytes; gives how many: the others come again when http_conn_resume was called. */
    size_t (*take)(struct http_conn *c, struct ts_bytes in);
    /* Appends what is to be sent, about `most` bytes; counts what it takes of exchanges. */
    void (*fill)(struct http_conn *c, struct svc_out *out, size_t most);
    /* Whether `fill` would append something. */
    bool (*has_output)(const struct http_conn *c);
    /* An exchange has an answer, or more of it. */
    void (*answered)(struct http_exchange *x);
    /* The client may send the body that it waits with. */
    void (*go_on)(struct http_exchange *x);
    /* The body of an exchange that is answered has come for long enough: it may be NULL. */
    void (*drained)(struct http_exchange *x);
    /* An exchange that is being freed is not to be known any more. */
    void (*forget)(struct http_exchange *x);
    /* Headers took too long: ends the connection, with words where there are any. */
    void (*too_slow)(struct http_conn *c);
    /* Says that the connection ends, where the version has words for that. */
    void (*part)(struct http_conn *c);
    void (*close)(struct http_conn *c);
};

extern const struct http_version http_v1;
extern const struct http_version http_v2;

/* An accepted connection. It lives as long as its handle. */
struct http_conn {
    struct http_server *server;
    struct http_node node[HTTP_LISTS];
    char peer[HTTP_ADDR_MAX];
    uint64_t begun_ms;
    uint64_t active_ms; /* when something was asked or answered last */
    uint64_t head_ms;   /* since when headers come that are not whole; 0: none do */

    /* socket */
    uv_tcp_t tcp;
    uv_write_t write;
    uv_shutdown_t shutdown;
    bool open;    /* it has a socket */
    bool reading; /* uv_read_start is on */
    bool writing; /* uv_write or uv_shutdown is under way */
    uint64_t read_turn;
    uint64_t moved_ms;          /* when the socket took or gave bytes last */
    size_t unsent;              /* of the present write, when that was looked at last */
    uint64_t ended_ms;          /* since when it lingers */
    struct net_tls_stream *tls; /* owned; NULL: it speaks plainly, or has not spoken */
    struct svc_out sending;     /* owned; bytes sending_at..len are being written */
    size_t sending_at;

    /* state */
    bool greeted;         /* a request came */
    bool known;           /* it has said who it is */
    bool eof;             /* its client sends no more */
    bool finishing;       /* takes no more requests; ends when all is written */
    bool lingering;       /* has ended its part, and waits for the client's */
    bool closing;         /* uv_close was called */
    bool looked;          /* for a certificate */
    bool is_agent;        /* it has shown that of a transport node's agent, who asks nothing here */
    struct http_who cert; /* when it has shown one */

    /* what it speaks */
    const struct http_version *version; /* NULL: not known yet */
    union {
        struct http_v1 *v1; /* owned by the version */
        struct http_v2 *v2;
    } state;
    struct svc_out in;               /* owned: bytes that could not be taken yet */
    struct http_exchange *exchanges; /* in the order in which they came */
    struct http_exchange *newest;
    uint32_t exchange_count;
    size_t output; /* bytes of their answers */
};

enum http_stage {
    HTTP_READING, /* the body is coming */
    HTTP_QUEUED,  /* whole; waits for the turn */
    HTTP_ASKED,   /* given to the owner */
    HTTP_WRITING, /* answered; not all is sent */
    HTTP_STREAM,
};

/* A request and its answer. Freed when the answer is sent or the client has gone. */
struct http_exchange {
    struct http_conn *conn;
    struct http_exchange *next; /* of the connection */
    struct http_exchange *prev;
    struct http_exchange *next_queued;
    struct http_exchange *prev_queued;
    enum http_stage stage;
    uint64_t token;    /* 0: none yet */
    int32_t stream_id; /* of HTTP/2 */
    uint64_t begun_ms;
    uint64_t moved_ms; /* when a byte of the answer came or went last */

    /* request */
    struct http_request request; /* borrows from what follows */
    struct http_param params[HTTP_PARAMS_MAX];
    char *text;                  /* owned: path, parameters, content type */
    uint8_t hash[NET_USER_HASH]; /* of its user's password */
    uint8_t *body;               /* owned */
    size_t body_len;
    size_t body_cap;
    uint64_t length;   /* of the body … */
    bool has_length;   /* … which was told */
    bool body_comes;   /* it is not whole, whatever becomes of it */
    bool closes;       /* a connection of HTTP/1.1 ends after this one */
    bool old;          /* HTTP/1.0: neither chunks nor "100 Continue" */
    bool continue_due; /* HTTP/1.1: "100 Continue" is to be sent when its turn comes */

    /* answer */
    unsigned status;
    char *headers; /* owned: "name\0value\0" … */
    size_t headers_len;
    bool tells_length;
    uint8_t *out; /* owned: bytes from out_at on wait */
    size_t out_at;
    size_t out_len;
    size_t out_cap;
    uint64_t out_total; /* Content-Length */
    bool head_sent;
    bool ends; /* what waits is all */
    bool sent; /* HTTP/2: all is on its way, and the body comes still, which is thrown away */
};

struct http_slot {
    struct http_exchange *exchange;
    uint32_t generation;
    uint32_t next_free;
};

struct http_server {
    uv_loop_t *loop;
    struct http_server_ops ops;
    struct http_server_config config;
    struct net_tls_server *tls; /* NULL: plain */
    struct net_users users;

    uv_tcp_t listeners[HTTP_LISTENERS_MAX];
    size_t listener_count;

    struct {
        struct http_conn *first;
        struct http_conn *last;
        uint32_t len;
    } lists[HTTP_LISTS];
    struct http_slot *slots; /* requests_max */
    uint32_t free_slot;
    struct http_exchange *queue_first;
    struct http_exchange *queue_last;
    size_t bodies;  /* bytes of requests that are coming or wait */
    size_t answers; /* … of answers that wait */

    uint64_t turn;
    uint32_t handshakes_left; /* in this turn */
    uint8_t *wire;            /* bytes of one read … */
    uint8_t *plain;           /* … and what they decrypt to */
    struct svc_out filled;    /* … and what is to be encrypted */
    struct svc_out spare;     /* a buffer for the next write */

    uv_idle_t idle; /* active while there is work: the loop does not block then */
    uv_timer_t sweep;
    uint32_t handles; /* not closed yet */
    bool ending;
    void (*closed)(void *ctx);
    void *closed_ctx;
    struct http_server_stats stats;
};

/* ---- http_server.c ---- */
void http_list_add(struct http_conn *c, enum http_list list);
void http_list_remove(struct http_conn *c, enum http_list list);
/* Keeps the loop awake while there is work; ends the end when nothing is left. */
void http_wake(struct http_server *s);
uint64_t http_now(const struct http_server *s);

/* ---- http_accept.c ---- */
void http_listener_close_all(struct http_server *s);

/* ---- http_conn.c ---- */
/* Makes a connection without a socket. NULL: memory is short. */
struct http_conn *http_conn_new(struct http_server *s);
/* Takes plain bytes of the client; it may be closed on return. */
void http_conn_take(struct http_conn *c, struct ts_bytes in);
/* Its version is known: before the first bytes with TLS, else by these. */
void http_conn_speak(struct http_conn *c, const struct http_version *version);
/* What could not be taken may be taken now, as far as the connection knows. */
void http_conn_resume(struct http_conn *c);
/* Appends plain bytes for the client. */
void http_conn_fill(struct http_conn *c, struct svc_out *out, size_t most);
/* The client sends no more. */
void http_conn_eof(struct http_conn *c);
/* It has said who it is. */
void http_conn_is_known(struct http_conn *c);
/* Says good-bye, as far as the socket takes it now, and closes. */
void http_conn_part(struct http_conn *c);
/* Closes. Its exchanges are gone on return, its memory later. */
void http_conn_close(struct http_conn *c);

/* ---- http_socket.c ---- */
/* Reads from the socket, or not, as the connection can take it. */
void http_socket_set_reading(struct http_conn *c);
/* There may be something to write. */
void http_socket_changed(struct http_conn *c);
/* Writes what the socket takes now; gives how much. */
size_t http_socket_flush(struct http_conn *c, size_t most);

/* ---- http_exchange.c ---- */
struct http_exchange *http_exchange_new(struct http_conn *c);
void http_exchange_free(struct http_exchange *x);
/* Gives it a token. False: there are too many requests. */
bool http_exchange_number(struct http_exchange *x);
/* NULL: the token is nobody's (any more). */
struct http_exchange *http_exchange_find(const struct http_server *s, uint64_t token);
/* It waits for the turn, with a token. */
void http_exchange_enqueue(struct http_exchange *x);
/* Gives whole requests to the owner, as many as a turn may. */
void http_exchange_hand_over(struct http_server *s);

/* ---- http_request.c ---- */
/* What a version knows of a request's body when the headers are there. */
enum http_framing {
    HTTP_FRAMING_NONE,   /* there is none */
    HTTP_FRAMING_LENGTH, /* its length is told: as the headers say */
    HTTP_FRAMING_OPEN,   /* its end will be told */
};

/* The headers are there. Of the exchange it can be seen then whether its body is wanted
 * (HTTP_READING), or what became of it. */
void http_request_begin(struct http_exchange *x, const struct http_head *head,
                        enum http_framing framing);
/* What came is no request, and is answered so. `long_head`: it has too much of headers. */
void http_request_refuse(struct http_exchange *x, const struct http_head *long_head,
                         const char *why);
/* A piece of the body; of no effect on an exchange that wants none. */
void http_request_body(struct http_exchange *x, struct ts_bytes data);
/* The body is whole. */
void http_request_complete(struct http_exchange *x);

/* ---- http_who.c ---- */
enum http_who_found {
    HTTP_WHO_FOUND,
    HTTP_WHO_UNKNOWN, /* it does not say so, or wrongly */
    HTTP_WHO_AGENT,   /* from a transport node's agent, whatever else it says */
    HTTP_WHO_NO_NIC,  /* it says for whom it is passed on, and is from no NIC of the group */
};

/* Finds out who the request is from. */
enum http_who_found http_who_find(struct http_exchange *x, const struct http_head *head);

/* ---- http_answer.c ---- */
/* Answers by itself, before the owner has seen the request. */
void http_answer_error(struct http_exchange *x, unsigned status, enum http_error_code code,
                       const char *message);
/* Answers what is asked of the server as a whole: which methods there are. */
void http_answer_options(struct http_exchange *x);
/* The next name and value of the kept headers; *at goes on. False: there is none. */
bool http_answer_header(const struct http_exchange *x, size_t *at, const char **name,
                        const char **value);
/* Whether it has a head, or bytes, or its end to be sent. */
bool http_answer_waits(const struct http_exchange *x);
/* `n` more of the waiting bytes are on their way. */
void http_answer_moved(struct http_exchange *x, size_t n);
/* Frees what is left of it. */
void http_answer_free(struct http_exchange *x);
void http_stream_closed(const struct http_exchange *x);
void http_stream_keep_alive(struct http_exchange *x);

/* ---- http_sweep.c ---- */
void http_sweep(uv_timer_t *timer);

#endif
