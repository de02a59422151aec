#include "lab/resp_client.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "lab/mem.h"

#define RETRY_MS 1
#define WIRE_BYTES (16U * 1024)
#define LOGIN_BYTES 512

/* One connection. It outlives its client's interest until libuv has closed the handle. */
struct conn {
    uv_tcp_t tcp;
    uv_connect_t connect_req;
    uv_write_t write_req;
    struct lab_client *client; /* NULL once abandoned */
    uint8_t *in;               /* owned: bytes read, not yet parsed */
    size_t in_len;
    size_t in_cap;
    struct net_tls_client *tls; /* owned; NULL: plain text */
    uint8_t *wire;              /* owned: what is read then */
    bool greets;                /* AUTH was sent */
};

/* Bytes that the connection owns until they are written: those of TLS, and AUTH. */
struct sending {
    uv_write_t req;
    uint8_t bytes[];
};

enum phase {
    IDLE,    /* no request */
    SEEKING, /* a request that was not written yet: connecting or about to retry */
    WAITING, /* written: only a reply proves anything now */
};

struct lab_client {
    uv_loop_t *loop;
    struct lab_client_config config;
    struct lab_client_stats stats;
    enum phase phase;
    struct conn *conn; /* the present connection, NULL when there is none */
    bool connected;    /* conn is usable */
    size_t addr;       /* index of the address in use or to try next */
    unsigned hops;     /* redirects within this request */
    uint64_t give_up_at_ms;
    uv_timer_t retry;    /* 1 ms pauses between attempts */
    uv_timer_t deadline; /* of the attempt under way */
    int open_timers;
    bool closing;
    uint8_t *request; /* owned, encoded */
    size_t request_len;
    size_t request_cap;
    lab_client_reply_cb *cb;
    void *cb_arg;
};

static void try_connect(struct lab_client *c);

/* ---- addresses ---- */

static enum ts_err parse_addr(const char *text, size_t len, struct sockaddr_in *out)
{
    char host[LAB_ADDR_TEXT_MAX];
    if (len == 0 || len >= sizeof host) {
        return TS_ERR_MALFORMED;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    char *colon = strrchr(host, ':');
    if (colon == NULL) {
        return TS_ERR_MALFORMED;
    }
    *colon = '\0';
    int64_t port;
    if (lab_parse_int(lab_bytes(colon + 1), &port) != TS_OK || port < 1 || port > 65535) {
        return TS_ERR_MALFORMED;
    }
    return uv_ip4_addr(host, (int)port, out) == 0 ? TS_OK : TS_ERR_MALFORMED;
}

enum ts_err lab_addrs_parse(struct lab_addrs *out, const char *text)
{
    struct lab_addrs found = {0};
    while (*text != '\0') {
        size_t len = strcspn(text, ",");
        if (found.count == LAB_ADDRS_MAX) {
            return TS_ERR_MALFORMED;
        }
        if (parse_addr(text, len, &found.a[found.count]) != TS_OK) {
            return TS_ERR_MALFORMED;
        }
        found.count++;
        text += len;
        text += *text == ',' ? 1 : 0;
    }
    if (found.count == 0) {
        return TS_ERR_MALFORMED;
    }
    *out = found;
    return TS_OK;
}

void lab_addr_text(const struct sockaddr_in *a, char out[LAB_ADDR_TEXT_MAX])
{
    char host[INET_ADDRSTRLEN] = "?";
    (void)inet_ntop(AF_INET, &a->sin_addr, host, sizeof host);
    snprintf(out, LAB_ADDR_TEXT_MAX, "%s:%u", host, (unsigned)ntohs(a->sin_port));
}

enum ts_err lab_readonly_target(struct ts_bytes error, struct sockaddr_in *out)
{
    static const char mark[] = "primary is ";
    const uint8_t *at = memmem(error.data, error.len, mark, sizeof mark - 1);
    if (at == NULL) {
        return TS_ERR_NOT_FOUND;
    }
    at += sizeof mark - 1;
    size_t left = error.len - (size_t)(at - error.data);
    size_t len = 0;
    while (len < left && at[len] > ' ') {
        len++;
    }
    return parse_addr((const char *)at, len, out) == TS_OK ? TS_OK : TS_ERR_NOT_FOUND;
}

/* Makes `a` the address in use; it joins the list when there is room. */
static void use_addr(struct lab_client *c, const struct sockaddr_in *a)
{
    struct lab_addrs *list = &c->config.addrs;
    for (size_t i = 0; i < list->count; i++) {
        if (list->a[i].sin_addr.s_addr == a->sin_addr.s_addr &&
            list->a[i].sin_port == a->sin_port) {
            c->addr = i;
            return;
        }
    }
    if (list->count < LAB_ADDRS_MAX) {
        list->a[list->count] = *a;
        c->addr = list->count++;
    }
}

static void next_addr(struct lab_client *c)
{
    c->addr = (c->addr + 1) % c->config.addrs.count;
}

/* ---- connections ---- */

static void conn_closed_cb(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    net_tls_client_close(conn->tls);
    free(conn->wire);
    free(conn->in);
    free(conn);
}

static void drop_conn(struct lab_client *c)
{
    if (c->conn == NULL) {
        return;
    }
    c->conn->client = NULL;
    if (!uv_is_closing((uv_handle_t *)&c->conn->tcp)) {
        uv_close((uv_handle_t *)&c->conn->tcp, conn_closed_cb);
    }
    c->conn = NULL;
    c->connected = false;
}

/* Ends the request: the callback may start the next one. */
static void finish(struct lab_client *c, enum lab_outcome outcome, const struct lab_reply *reply)
{
    ts_assert(c->phase != IDLE);
    c->phase = IDLE;
    uv_timer_stop(&c->deadline);
    uv_timer_stop(&c->retry);
    c->cb(c->cb_arg, outcome, reply);
}

static void finish_ambiguous(struct lab_client *c)
{
    struct lab_reply none = {.kind = LAB_REPLY_NIL};
    drop_conn(c);
    next_addr(c);
    finish(c, LAB_AMBIGUOUS, &none);
}

static void retry_cb(uv_timer_t *timer)
{
    struct lab_client *c = timer->data;
    if (c->phase != SEEKING) {
        return;
    }
    if (uv_now(c->loop) >= c->give_up_at_ms) {
        struct lab_reply none = {.kind = LAB_REPLY_ERROR,
                                 .text = lab_bytes("ERR no server took the request in time")};
        finish(c, LAB_FAILED, &none);
        return;
    }
    try_connect(c);
}

/* Nothing was executed: another attempt after a short pause. */
static void seek_again(struct lab_client *c)
{
    drop_conn(c);
    c->phase = SEEKING;
    uv_timer_stop(&c->deadline);
    uv_timer_start(&c->retry, retry_cb, RETRY_MS, 0);
}

static void deadline_cb(uv_timer_t *timer)
{
    struct lab_client *c = timer->data;
    c->stats.timeouts++;
    if (c->phase == WAITING) {
        finish_ambiguous(c);
    } else if (c->phase == SEEKING) {
        next_addr(c);
        seek_again(c);
    }
}

/* The connection is gone: by the peer, by an error or by bytes that are no RESP. */
static void conn_lost(struct lab_client *c)
{
    c->stats.closed++;
    if (c->phase == WAITING) {
        finish_ambiguous(c);
    } else if (c->phase == SEEKING) {
        next_addr(c);
        seek_again(c);
    } else {
        drop_conn(c);
        next_addr(c);
    }
}

/* ---- requests ---- */

static bool has_prefix(struct ts_bytes text, const char *prefix)
{
    size_t n = strlen(prefix);
    return text.len >= n && memcmp(text.data, prefix, n) == 0;
}

/* An error that says "not here" or "not now", given before the request was ordered. */
static bool is_refusal(struct ts_bytes error)
{
    static const char *const prefixes[] = {"READONLY", "CLUSTERDOWN", "LOADING", "MASTERDOWN",
                                           "TRYAGAIN"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (has_prefix(error, prefixes[i])) {
            return true;
        }
    }
    return false;
}

static void follow_refusal(struct lab_client *c, struct ts_bytes error)
{
    struct sockaddr_in target;
    if (lab_readonly_target(error, &target) == TS_OK) {
        c->stats.redirects++;
        use_addr(c, &target);
    } else {
        c->stats.refusals++;
        next_addr(c);
    }
    bool at_once = c->hops++ == 0; /* further hops pause: two secondaries may name each other */
    seek_again(c);
    if (at_once) {
        uv_timer_stop(&c->retry);
        try_connect(c);
    }
}

static void take_reply(struct lab_client *c, const struct lab_reply *reply)
{
    if (reply->kind == LAB_REPLY_ERROR && is_refusal(reply->text)) {
        follow_refusal(c, reply->text);
        return;
    }
    finish(c, reply->kind == LAB_REPLY_ERROR ? LAB_FAILED : LAB_ACKED, reply);
}

/* ---- the connection's own beginning: TLS, and who one is ---- */

static void write_request(struct lab_client *c);

static void sent_cb(uv_write_t *req, int status)
{
    struct conn *conn = req->data;
    if (conn->client != NULL && status < 0) {
        conn_lost(conn->client);
    }
    free(req);
}

static void send_copy(struct conn *conn, struct ts_bytes bytes)
{
    struct sending *s = lab_calloc(1, sizeof *s + bytes.len);
    memcpy(s->bytes, bytes.data, bytes.len);
    s->req.data = conn;
    uv_buf_t buf = uv_buf_init((char *)s->bytes, (unsigned)bytes.len);
    if (uv_write(&s->req, (uv_stream_t *)&conn->tcp, &buf, 1, sent_cb) < 0) {
        free(s); /* the connection is broken: its end or the deadline tells */
    }
}

static void send_tls(struct conn *conn)
{
    struct ts_bytes waiting = net_tls_client_waiting(conn->tls);
    if (waiting.len > 0) {
        send_copy(conn, waiting);
        net_tls_client_sent(conn->tls);
    }
}

static void send_plain(struct conn *conn, struct ts_bytes bytes)
{
    if (conn->tls == NULL) {
        send_copy(conn, bytes);
        return;
    }
    if (net_tls_client_write(conn->tls, bytes) == TS_OK) {
        send_tls(conn); /* or the deadline tells that it is broken */
    }
}

static void become_ready(struct lab_client *c)
{
    c->connected = true;
    uv_timer_stop(&c->deadline);
    if (c->phase == SEEKING) {
        write_request(c);
    }
}

/* The next of TLS, AUTH, the request that may begin now. */
static void begin(struct conn *conn)
{
    struct lab_client *c = conn->client;
    uint8_t text[LOGIN_BYTES];
    if (conn->tls != NULL && !net_tls_client_is_ready(conn->tls)) {
        return;
    }
    if (c->config.user == NULL) {
        become_ready(c);
        return;
    }
    if (!conn->greets) {
        struct ts_bytes argv[] = {lab_bytes("AUTH"), lab_bytes(c->config.user),
                                  lab_bytes(c->config.password)};
        struct ts_writer w = ts_writer_init(text, sizeof text);
        lab_resp_command(&w, argv, 3);
        ts_assert(ts_writer_status(&w) == TS_OK);
        conn->greets = true;
        send_plain(conn, (struct ts_bytes){text, w.len});
    }
}

/* The answer to AUTH. One who is not known there yet may be soon. */
static void take_greeting(struct conn *conn, const struct lab_reply *reply)
{
    struct lab_client *c = conn->client;
    conn->in_len = 0;
    if (reply->kind == LAB_REPLY_SIMPLE) {
        become_ready(c);
    } else {
        c->stats.refusals++;
        next_addr(c);
        seek_again(c);
    }
}

/* Parses what has come. At most one reply is due; more bytes than that are a broken server. */
static void parse_input(struct conn *conn)
{
    struct lab_client *c = conn->client;
    struct lab_reply reply;
    size_t used;
    enum lab_resp_result got =
        lab_resp_parse((struct ts_bytes){conn->in, conn->in_len}, &reply, &used);
    if (got == LAB_RESP_MORE) {
        return;
    }
    if (got == LAB_RESP_REPLY && !c->connected && conn->greets && used == conn->in_len) {
        take_greeting(conn, &reply);
        return;
    }
    if (got == LAB_RESP_MALFORMED || c->phase != WAITING || used != conn->in_len) {
        c->stats.malformed++;
        conn_lost(c);
        return;
    }
    conn->in_len = 0; /* the reply's bytes stay until the next read */
    take_reply(c, &reply);
}

static void make_room(struct conn *conn)
{
    if (conn->in_cap - conn->in_len < 4096) {
        conn->in_cap = conn->in_cap * 2 + 8192;
        conn->in = lab_realloc(conn->in, conn->in_cap, 1);
    }
}

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct conn *conn = handle->data;
    if (conn->tls != NULL) {
        *buf = uv_buf_init((char *)conn->wire, WIRE_BYTES);
        return;
    }
    make_room(conn);
    *buf = uv_buf_init((char *)conn->in + conn->in_len, (unsigned)(conn->in_cap - conn->in_len));
}

/* Gives whether plain bytes may have come. */
static bool read_tls(struct conn *conn, struct ts_bytes wire)
{
    bool was_ready = net_tls_client_is_ready(conn->tls);
    enum ts_err err = net_tls_client_take(conn->tls, wire);
    send_tls(conn); /* an alert, too */
    if (err != TS_OK) {
        conn_lost(conn->client);
        return false;
    }
    size_t got = 0;
    do {
        make_room(conn);
        got = net_tls_client_read(conn->tls, conn->in + conn->in_len, conn->in_cap - conn->in_len);
        conn->in_len += got;
    } while (got > 0);
    if (!was_ready) {
        begin(conn);
    }
    return conn->client != NULL && conn->in_len > 0;
}

static void read_cb(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *conn = stream->data;
    if (conn->client == NULL || n == 0) {
        return;
    }
    if (n < 0) {
        conn_lost(conn->client);
        return;
    }
    if (conn->tls == NULL) {
        conn->in_len += (size_t)n;
    } else if (!read_tls(conn, (struct ts_bytes){(const uint8_t *)buf->base, (size_t)n})) {
        return;
    }
    parse_input(conn);
}

static void write_cb(uv_write_t *req, int status)
{
    struct conn *conn = req->data;
    if (conn->client != NULL && status < 0) {
        conn_lost(conn->client);
    }
}

static void write_request(struct lab_client *c)
{
    struct conn *conn = c->conn;
    uv_buf_t buf = uv_buf_init((char *)c->request, (unsigned)c->request_len);
    conn->write_req.data = conn;
    c->phase = WAITING;
    uv_timer_start(&c->deadline, deadline_cb, c->config.request_timeout_ms, 0);
    if (conn->tls != NULL) {
        send_plain(conn, (struct ts_bytes){c->request, c->request_len});
        return;
    }
    int rc = uv_write(&conn->write_req, (uv_stream_t *)&conn->tcp, &buf, 1, write_cb);
    if (rc < 0) {
        /* Nothing was queued, so nothing was sent. */
        c->stats.closed++;
        next_addr(c);
        seek_again(c);
    }
}

static void connect_cb(uv_connect_t *req, int status)
{
    struct conn *conn = req->data;
    struct lab_client *c = conn->client;
    if (c == NULL) {
        return;
    }
    if (status < 0 || uv_read_start((uv_stream_t *)&conn->tcp, alloc_cb, read_cb) < 0) {
        c->stats.connects_failed++;
        next_addr(c);
        seek_again(c);
        return;
    }
    if (c->config.trust != NULL) {
        conn->tls = net_tls_client_open(c->config.trust);
        ts_assert(conn->tls != NULL); /* the lab cannot do anything useful without memory */
        conn->wire = lab_realloc(NULL, WIRE_BYTES, 1);
        send_tls(conn);
    }
    begin(conn);
}

static void try_connect(struct lab_client *c)
{
    ts_assert(c->conn == NULL);
    struct conn *conn = lab_calloc(1, sizeof *conn);
    conn->client = c;
    conn->connect_req.data = conn;
    conn->tcp.data = conn;
    c->stats.connects++;
    int rc = uv_tcp_init(c->loop, &conn->tcp);
    ts_assert(rc == 0); /* without a socket family libuv allocates nothing here */
    c->conn = conn;
    uv_timer_start(&c->deadline, deadline_cb, c->config.request_timeout_ms, 0);
    rc = uv_tcp_connect(&conn->connect_req, &conn->tcp,
                        (const struct sockaddr *)&c->config.addrs.a[c->addr], connect_cb);
    if (rc < 0) {
        c->stats.connects_failed++;
        next_addr(c);
        seek_again(c);
        return;
    }
    (void)uv_tcp_nodelay(&conn->tcp, 1);
}

struct lab_client *lab_client_new(uv_loop_t *loop, const struct lab_client_config *config)
{
    ts_assert(config->addrs.count > 0 && config->request_timeout_ms > 0);
    struct lab_client *c = lab_calloc(1, sizeof *c);
    c->loop = loop;
    c->config = *config;
    int rc = uv_timer_init(loop, &c->retry);
    ts_assert(rc == 0);
    rc = uv_timer_init(loop, &c->deadline);
    ts_assert(rc == 0);
    c->retry.data = c;
    c->deadline.data = c;
    c->open_timers = 2;
    return c;
}

void lab_client_send(struct lab_client *c, const struct ts_bytes *argv, size_t argc,
                     lab_client_reply_cb *cb, void *arg)
{
    ts_assert(c->phase == IDLE && !c->closing);
    size_t need = lab_resp_command_bytes(argv, argc);
    if (need > c->request_cap) {
        c->request = lab_realloc(c->request, need, 1);
        c->request_cap = need;
    }
    struct ts_writer w = ts_writer_init(c->request, c->request_cap);
    lab_resp_command(&w, argv, argc);
    ts_assert(ts_writer_status(&w) == TS_OK);
    c->request_len = w.len;
    c->cb = cb;
    c->cb_arg = arg;
    c->hops = 0;
    c->give_up_at_ms = uv_now(c->loop) + c->config.give_up_ms;
    c->phase = SEEKING;
    if (c->connected) {
        write_request(c);
    } else if (c->conn == NULL) {
        try_connect(c);
    }
}

static void timer_closed_cb(uv_handle_t *handle)
{
    struct lab_client *c = handle->data;
    if (--c->open_timers == 0) {
        free(c->request);
        free(c);
    }
}

void lab_client_close(struct lab_client *c)
{
    ts_assert(!c->closing);
    c->closing = true;
    c->phase = IDLE;
    drop_conn(c);
    uv_close((uv_handle_t *)&c->retry, timer_closed_cb);
    uv_close((uv_handle_t *)&c->deadline, timer_closed_cb);
}

const struct lab_client_stats *lab_client_stats(const struct lab_client *c)
{
    return &c->stats;
}
