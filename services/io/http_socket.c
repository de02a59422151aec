/* A connection's bytes: reading, TLS, writing, and the end of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/io/http_conn.h"

#define RECORD_HANDSHAKE 22 /* with which TLS begins */

/* ---- output ---- */

static bool may_speak(const struct http_conn *c)
{
    return c->version != NULL && (c->tls == NULL || net_tls_stream_is_ready(c->tls));
}

static bool has_output(const struct http_conn *c)
{
    return c->sending_at < c->sending.len ||
           (c->tls != NULL && net_tls_stream_waiting(c->tls) > 0) || c->finishing ||
           (may_speak(c) && c->version->has_output(c));
}

void http_socket_changed(struct http_conn *c)
{
    if (c->open && !c->closing && !c->writing && !c->lingering && has_output(c)) {
        http_list_add(c, HTTP_LIST_DIRTY);
        http_wake(c->server);
    }
}

/* All of it is written: its buffer serves the next one. */
static void release_sending(struct http_conn *c)
{
    struct http_server *s = c->server;
    if (s->spare.data == NULL) {
        s->spare = c->sending;
        s->spare.len = 0;
    } else {
        svc_out_free(&c->sending);
    }
    c->sending = (struct svc_out){.max = SIZE_MAX / 2};
    c->sending_at = 0;
}

/* Makes the next piece of output `sending`, which is empty when there is none. False: it cannot. */
static bool gather(struct http_conn *c)
{
    struct http_server *s = c->server;
    if (c->tls == NULL) {
        c->sending = s->spare;
        c->sending.max = SIZE_MAX / 2;
        s->spare = (struct svc_out){.max = SIZE_MAX / 2};
        http_conn_fill(c, &c->sending, HTTP_WRITE_CHUNK);
    } else {
        s->filled.len = 0;
        if (may_speak(c)) {
            http_conn_fill(c, &s->filled, HTTP_WRITE_CHUNK);
        }
        if (s->filled.len > 0 &&
            net_tls_stream_write(c->tls, s->filled.data, s->filled.len) != TS_OK) {
            return false;
        }
        if (net_tls_stream_waiting(c->tls) > 0) {
            net_tls_stream_take(c->tls, s->spare.data, s->spare.cap, &c->sending.data,
                                &c->sending.len, &c->sending.cap);
            s->spare = (struct svc_out){.max = SIZE_MAX / 2};
        }
    }
    if (c->sending.len == 0 && c->sending.data != NULL) {
        release_sending(c);
    }
    return true;
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct http_conn *c = req->data;
    c->writing = false;
    if (status < 0) {
        http_conn_close(c);
    }
}

/* All is written. An ended connection is closed when its client has closed it, too: before that,
 * what it still sends would make the kernel throw away what it has not read yet. True: there is a
 * word more to be written. */
static bool finish(struct http_conn *c)
{
    if (!c->finishing || c->lingering) {
        return false;
    }
    if (c->tls != NULL) {
        net_tls_stream_end(c->tls); /* of effect once */
        if (net_tls_stream_waiting(c->tls) > 0) {
            return true;
        }
    }
    c->shutdown.data = c;
    if (c->eof || uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown) != 0) {
        http_conn_close(c);
        return false;
    }
    c->writing = true;
    c->lingering = true;
    c->ended_ms = c->moved_ms = http_now(c->server);
    while (c->exchanges != NULL) {
        http_exchange_free(c->exchanges); /* behind one that ended the connection */
    }
    http_socket_set_reading(c);
    return false;
}

static void written(struct http_conn *c, size_t n)
{
    c->sending_at += n;
    c->moved_ms = http_now(c->server);
    if (c->sending_at == c->sending.len) {
        release_sending(c);
    }
}

static void on_written(uv_write_t *req, int status)
{
    struct http_conn *c = req->data;
    c->writing = false;
    if (c->closing) {
        return;
    }
    if (status < 0) {
        http_conn_close(c);
        return;
    }
    written(c, c->sending.len - c->sending_at);
    http_socket_changed(c);
}

/* The socket takes no more now: the rest waits there until it does. */
static void write_when_ready(struct http_conn *c)
{
    uv_buf_t buf = uv_buf_init((char *)c->sending.data + c->sending_at,
                               (unsigned)(c->sending.len - c->sending_at));
    c->write.data = c;
    c->unsent = buf.len;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) != 0) {
        http_conn_close(c);
        return;
    }
    c->writing = true;
}

/* Writes a piece. False: there is none, or the socket takes no more now. */
static bool write_piece(struct http_conn *c, size_t *total)
{
    if (c->sending_at == c->sending.len && !gather(c)) {
        http_conn_close(c);
    }
    if (c->closing) {
        return false;
    }
    size_t left = c->sending.len - c->sending_at;
    if (left == 0) {
        return finish(c);
    }
    uv_buf_t buf = uv_buf_init((char *)c->sending.data + c->sending_at, (unsigned)left);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (n < 0 && n != UV_EAGAIN) {
        http_conn_close(c);
        return false;
    }
    if (n > 0) {
        *total += (size_t)n;
        written(c, (size_t)n);
    }
    if (n < 0 || (size_t)n < left) {
        write_when_ready(c);
        return false;
    }
    return true;
}

size_t http_socket_flush(struct http_conn *c, size_t most)
{
    size_t total = 0;
    bool more = true;
    http_list_remove(c, HTTP_LIST_DIRTY);
    while (more && total < most && !c->closing && !c->writing && !c->lingering) {
        more = write_piece(c, &total);
    }
    if (more && total >= most) {
        http_socket_changed(c);
    }
    return total;
}

/* ---- input ---- */

/* Who speaks HTTP without TLS where TLS is spoken is told so. */
static void tell_plain(struct http_conn *c)
{
    char body[HTTP_ERROR_MAX];
    char text[HTTP_ERROR_MAX + 256];
    size_t len = http_error_body(body, 400, HTTP_ERROR_BAD_REQUEST, HTTP_MODULE,
                                 "this port speaks HTTPS only: write https:// in the address");
    int n = snprintf(text, sizeof(text),
                     "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
                     "content-length: %zu\r\nconnection: close\r\n\r\n%s",
                     len, body);
    c->server->stats.bad_requests++;
    c->finishing = true;
    enum ts_err err = svc_out_put(&c->sending, text, (size_t)n);
    ts_assert(err == TS_OK);
    http_socket_changed(c);
}

/* The first bytes are there. False: they are no TLS. */
static bool begin_tls(struct http_conn *c, uint8_t first)
{
    struct http_server *s = c->server;
    if (first >= 'A' && first <= 'Z') {
        tell_plain(c);
        return false;
    }
    c->tls = first == RECORD_HANDSHAKE ? net_tls_stream_open(s->tls) : NULL;
    if (c->tls == NULL) {
        s->stats.no_request++;
        http_conn_close(c);
        return false;
    }
    return true;
}

static void take_wire(struct http_conn *c, size_t n)
{
    struct http_server *s = c->server;
    size_t got = 0;
    bool ended = false;
    if (c->tls == NULL && !begin_tls(c, s->wire[0])) {
        return;
    }
    if (!net_tls_stream_is_ready(c->tls)) {
        s->handshakes_left -= s->handshakes_left > 0;
    }
    enum ts_err err = net_tls_stream_read(c->tls, s->wire, n, s->plain, &got, &ended);
    if (err != TS_OK) {
        s->stats.no_request += c->greeted ? 0 : 1;
        c->finishing = c->eof = true; /* an alert may wait to be sent */
        http_socket_changed(c);
        return;
    }
    if (c->version == NULL && net_tls_stream_is_ready(c->tls)) {
        bool two = s->config.http2 && net_tls_stream_speaks(c->tls, "h2");
        http_conn_speak(c, two ? &http_v2 : &http_v1);
    }
    if (got > 0) {
        http_conn_take(c, (struct ts_bytes){s->plain, got});
    }
    if (ended && !c->closing) {
        http_conn_eof(c);
    }
    http_socket_changed(c);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct http_conn *c = handle->data;
    const struct http_server *s = c->server;
    (void)suggested;
    bool shakes = s->tls != NULL && (c->tls == NULL || !net_tls_stream_is_ready(c->tls));
    /* Without room libuv asks again in the next turn: this one is the others'. */
    bool wait = c->read_turn == s->turn || (shakes && s->handshakes_left == 0);
    *buf = wait ? uv_buf_init(NULL, 0) : uv_buf_init((char *)s->wire, HTTP_READ_CHUNK);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct http_conn *c = stream->data;
    struct http_server *s = c->server;
    (void)buf;
    if (n == 0 || n == UV_ENOBUFS || c->closing) {
        return;
    }
    c->read_turn = s->turn;
    if (n == UV_EOF) {
        http_conn_eof(c);
    } else if (n < 0) {
        s->stats.no_request += c->greeted || c->lingering ? 0 : 1;
        http_conn_close(c);
    } else if (c->lingering) {
        c->moved_ms = http_now(s); /* what comes now is nobody's */
    } else if (s->tls != NULL) {
        take_wire(c, (size_t)n);
    } else {
        http_conn_take(c, (struct ts_bytes){s->wire, (size_t)n});
    }
    if (!c->closing) {
        http_socket_set_reading(c);
    }
}

void http_socket_set_reading(struct http_conn *c)
{
    bool takes = !c->finishing && c->in.len < HTTP_AHEAD_MAX;
    bool want = c->open && !c->closing && !c->eof && (takes || c->lingering);
    if (want == c->reading || c->closing) {
        return;
    }
    c->reading = want;
    if (!want) {
        uv_read_stop((uv_stream_t *)&c->tcp);
    } else if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0) {
        http_conn_close(c);
    }
}
