#include "services/io/resp_conn.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define KEEPALIVE_S 300

/* ---- lists ---- */

void resp_list_add(struct resp_conn *c, enum resp_link link)
{
    struct resp_node *n = &c->node[link];
    if (n->in) {
        return;
    }
    struct resp_list *l = &c->server->lists[link];
    *n = (struct resp_node){.prev = l->last, .in = true};
    *(l->last != NULL ? &l->last->node[link].next : &l->first) = c;
    l->last = c;
    l->len++;
}

void resp_list_remove(struct resp_conn *c, enum resp_link link)
{
    struct resp_node *n = &c->node[link];
    if (!n->in) {
        return;
    }
    struct resp_list *l = &c->server->lists[link];
    *(n->prev != NULL ? &n->prev->node[link].next : &l->first) = n->next;
    *(n->next != NULL ? &n->next->node[link].prev : &l->last) = n->prev;
    l->len--;
    *n = (struct resp_node){0};
}

/* ---- buffers ---- */

struct svc_out resp_pool_take(struct resp_server *s)
{
    struct svc_out out = {.max = SIZE_MAX / 2};
    if (s->pool_len > 0) {
        struct resp_buffer b = s->pool[--s->pool_len];
        s->pool_bytes -= b.cap;
        out.data = b.data;
        out.cap = b.cap;
    }
    return out;
}

void resp_pool_give(struct resp_server *s, struct svc_out *out)
{
    bool keep = out->cap > 0 && out->cap <= RESP_POOL_BUFFER_MAX && s->pool_len < RESP_POOL_LEN &&
                s->pool_bytes + out->cap <= RESP_POOL_BYTES_MAX;
    if (keep) {
        s->pool[s->pool_len++] = (struct resp_buffer){out->data, out->cap};
        s->pool_bytes += out->cap;
    } else {
        free(out->data);
    }
    *out = (struct svc_out){.max = SIZE_MAX / 2};
}

static void input_release(struct resp_conn *c)
{
    struct svc_out b = {.data = c->in, .cap = c->in_cap};
    resp_pool_give(c->server, &b);
    c->in = NULL;
    c->in_at = c->in_len = c->in_cap = 0;
}

/* Makes room for `n` more bytes behind the connection's input. */
static void input_reserve(struct resp_conn *c, size_t n)
{
    if (c->in == NULL) {
        struct svc_out b = resp_pool_take(c->server);
        c->in = b.data;
        c->in_cap = b.cap;
    }
    if (c->in_at > 0) {
        ts_assert(c->in != NULL);
        memmove(c->in, c->in + c->in_at, c->in_len - c->in_at);
        c->in_len -= c->in_at;
        c->in_at = 0;
    }
    if (c->in_cap - c->in_len >= n) {
        return;
    }
    size_t cap = c->in_cap < RESP_INPUT_FIRST ? RESP_INPUT_FIRST : c->in_cap;
    while (cap - c->in_len < n) {
        cap *= 2;
    }
    c->in = realloc(c->in, cap);
    ts_must(c->in);
    c->in_cap = cap;
}

/* ---- closing ---- */

struct resp_conn *resp_conn_find(const struct resp_server *s, struct resp_owner o)
{
    ts_assert(o.index < s->config.clients_max);
    const struct resp_slot *slot = &s->slots[o.index];
    return slot->gen == o.gen ? slot->conn : NULL;
}

static void on_closed(uv_handle_t *handle)
{
    struct resp_conn *c = handle->data;
    struct resp_server *s = c->server;
    net_tls_stream_close(c->tls);
    free(c->deferred);
    free(c->held);
    svc_out_free(&c->out); /* written to by what closed it */
    resp_multi_free(&c->multi);
    free(c);
    ts_assert(s->handles > 0);
    s->handles--;
    resp_server_wake(s);
}

/* From now on nothing is read from it, written to it or known of it; the socket is there. */
static void forget(struct resp_conn *c)
{
    struct resp_server *s = c->server;
    c->closing = true;
    for (unsigned link = 0; link < RESP_LINKS; link++) {
        resp_list_remove(c, (enum resp_link)link);
    }
    struct resp_slot *slot = &s->slots[c->index];
    slot->conn = NULL;
    slot->gen++;
    slot->next_free = s->free_slot;
    s->free_slot = c->index;
    s->clients--;
    s->output_bytes -= c->bytes_total;
    s->pubsub.unread -= c->unread;
    resp_pubsub_leave(c);
    resp_relay_close(c->relay);
    c->relay = NULL;
    input_release(c);
    resp_pool_give(s, &c->out);
    resp_pool_give(s, &c->plain);
    resp_pool_give(s, &c->deferred_bytes);
    resp_pool_give(s, &c->held_bytes);
    if (!c->writing) {
        resp_pool_give(s, &c->sending);
    }
}

void resp_conn_close(struct resp_conn *c)
{
    struct resp_server *s = c->server;
    if (c->closing) {
        return;
    }
    forget(c);
    if (c->visitor) {
        s->ops.visitor(s->ops.ctx, c->index, NULL);
    }
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

void resp_conn_mute(struct resp_conn *c)
{
    struct resp_server *s = c->server;
    if (c->closing) {
        return;
    }
    forget(c);
    uv_read_stop((uv_stream_t *)&c->tcp);
    c->next_muted = s->muted;
    s->muted = c;
    s->muted_count++;
}

void resp_conn_close_muted(struct resp_server *s)
{
    while (s->muted != NULL) {
        struct resp_conn *c = s->muted;
        s->muted = c->next_muted;
        uv_close((uv_handle_t *)&c->tcp, on_closed);
    }
    s->muted_count = 0;
}

/* Whether bytes wait to be written, or are being. */
static bool to_write(const struct resp_conn *c)
{
    return c->out.len > 0 || c->plain.len > 0 || c->sending.len > 0 ||
           (c->tls != NULL && net_tls_stream_waiting(c->tls) > 0);
}

void resp_conn_finish(struct resp_conn *c)
{
    bool owed = c->answered < c->ordered || c->reads > 0 || c->deferred_len > 0;
    if (!c->finishing || owed || to_write(c)) {
        return;
    }
    if (c->tls != NULL) {
        net_tls_stream_end(c->tls); /* the first time there is a word more to be written */
    }
    if (to_write(c)) {
        resp_conn_output_changed(c);
    } else {
        resp_conn_close(c);
    }
}

/* ---- output ---- */

void resp_conn_output_changed(struct resp_conn *c)
{
    struct resp_server *s = c->server;
    size_t total = c->out.len + (c->plain.len - c->plain_at) + (c->sending.len - c->sending_at) +
                   (c->deferred_bytes.len - c->deferred_at);
    s->output_bytes = s->output_bytes - c->bytes_total + total;
    c->bytes_total = total;
    size_t unread = resp_pubsub_count(c) > 0 ? total : 0;
    s->pubsub.unread = s->pubsub.unread - c->unread + unread;
    c->unread = unread;
    if (total > s->config.client_output_hard) {
        s->stats.closed_slow++;
        resp_conn_close(c);
        return;
    }
    if (to_write(c) && !c->writing) {
        resp_list_add(c, RESP_LINK_DIRTY);
    }
    if (c->held_len > 0 && total <= s->config.client_output_soft) {
        resp_list_add(c, RESP_LINK_HELD);
    }
    resp_server_wake(s);
}

/* Counts `n` more bytes of `sending` as written. */
static void written(struct resp_conn *c, size_t n)
{
    size_t soft = c->server->config.client_output_soft;
    bool was_paused = c->bytes_total > soft;
    c->server->stats.bytes_out += n;
    c->sending_at += n;
    if (c->sending_at == c->sending.len) {
        resp_pool_give(c->server, &c->sending);
        c->sending_at = 0;
    }
    resp_conn_output_changed(c);
    if (c->closing) {
        return;
    }
    /* Output above the soft bound had paused the parsing. */
    if (was_paused && c->bytes_total <= soft &&
        (c->in_len > c->in_at || c->eof || c->relay != NULL)) {
        resp_list_add(c, RESP_LINK_RESUME);
        resp_server_wake(c->server);
    }
    resp_conn_finish(c);
}

static void on_written(uv_write_t *req, int status)
{
    struct resp_conn *c = req->data;
    c->writing = false;
    if (c->closing) {
        resp_pool_give(c->server, &c->sending);
        return;
    }
    if (status < 0) {
        resp_conn_close(c);
        return;
    }
    written(c, c->write_len);
}

/* The socket takes no more now: a piece waits there until it does; later replies gather. */
static void write_when_ready(struct resp_conn *c)
{
    size_t left = c->sending.len - c->sending_at;
    c->write_len = left < RESP_WRITE_WAITING ? left : RESP_WRITE_WAITING;
    uv_buf_t buf = uv_buf_init((char *)c->sending.data + c->sending_at, (unsigned)c->write_len);
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) != 0) {
        resp_conn_close(c);
        return;
    }
    c->writing = true;
}

/* Makes the next piece of output, at most about `most` bytes, `sending`. False: it cannot. */
static bool encrypt(struct resp_conn *c, size_t most)
{
    struct resp_server *s = c->server;
    if (c->plain.len == 0 && net_tls_stream_is_ready(c->tls)) {
        c->plain = c->out;
        c->out = (struct svc_out){.max = SIZE_MAX / 2};
    }
    size_t left = c->plain.len - c->plain_at;
    size_t n = left < RESP_WRITE_AT_ONCE ? left : RESP_WRITE_AT_ONCE;
    n = n < most ? n : most;
    if (n > 0 && net_tls_stream_write(c->tls, c->plain.data + c->plain_at, n) != TS_OK) {
        return false;
    }
    c->plain_at += n;
    if (c->plain_at == c->plain.len) {
        resp_pool_give(s, &c->plain);
        c->plain_at = 0;
    }
    struct svc_out spare = resp_pool_take(s);
    resp_pool_give(s, &c->sending);
    c->sending_at = 0;
    net_tls_stream_take(c->tls, spare.data, spare.cap, &c->sending.data, &c->sending.len,
                        &c->sending.cap);
    return true;
}

size_t resp_conn_flush(struct resp_conn *c, size_t most)
{
    resp_list_remove(c, RESP_LINK_DIRTY);
    if (c->closing || c->writing) {
        return 0;
    }
    if (c->sending.len == 0 && c->tls == NULL) {
        c->sending = c->out;
        c->out = (struct svc_out){.max = SIZE_MAX / 2};
    } else if (c->sending.len == 0 && !encrypt(c, most)) {
        resp_conn_close(c);
        return 0;
    }
    size_t left = c->sending.len - c->sending_at;
    size_t n = left < RESP_WRITE_AT_ONCE ? left : RESP_WRITE_AT_ONCE;
    n = n < most ? n : most;
    if (n == 0) {
        return 0;
    }
    uv_buf_t buf = uv_buf_init((char *)c->sending.data + c->sending_at, (unsigned)n);
    int taken = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (taken < 0 && taken != UV_EAGAIN) {
        resp_conn_close(c);
        return 0;
    }
    size_t done = taken > 0 ? (size_t)taken : 0;
    if (done > 0) {
        written(c, done); /* lists it again when something is left */
    }
    if (done < n && !c->closing) {
        resp_list_remove(c, RESP_LINK_DIRTY);
        write_when_ready(c);
    }
    return done;
}

/* ---- input ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct resp_conn *c = handle->data;
    struct resp_server *s = c->server;
    if (c->read_turn == s->turn) {
        *buf = uv_buf_init(NULL, 0); /* the others' turn: libuv asks again in the next one */
        return;
    }
    size_t n = s->read_left < RESP_READ_CHUNK ? s->read_left : RESP_READ_CHUNK;
    n = n < RESP_TURN_READ_EACH ? RESP_TURN_READ_EACH : n;
    if (c->tls != NULL) {
        bool wait = s->handshakes_left == 0 && !net_tls_stream_is_ready(c->tls);
        *buf = wait ? uv_buf_init(NULL, 0) : uv_buf_init((char *)s->wire, (unsigned)n);
        return;
    }
    if (c->in_len == c->in_at) {
        /* Nothing is kept: read into the shared buffer, which is free again on return. */
        *buf = uv_buf_init((char *)s->chunk, (unsigned)n);
        return;
    }
    input_reserve(c, RESP_INPUT_FIRST);
    size_t room = c->in_cap - c->in_len;
    *buf = uv_buf_init((char *)c->in + c->in_len, (unsigned)(room < n ? room : n));
}

/* Takes `n` bytes: behind the connection's own input when it has some, else in the shared chunk. */
static void take_bytes(struct resp_conn *c, size_t n)
{
    struct resp_server *s = c->server;
    s->stats.bytes_in += n;
    if (c->in_len > c->in_at) {
        c->in_len += n;
        resp_conn_parse_input(c);
        return;
    }
    size_t used = resp_intake(c, s->chunk, n);
    if (used < n && !c->closing) {
        input_reserve(c, n - used);
        ts_assert(c->in != NULL);
        memcpy(c->in + c->in_len, s->chunk + used, n - used);
        c->in_len += n - used;
    }
}

/* Takes `n` bytes of the wire. What they decrypt to is taken as if it had been read. */
static void take_wire(struct resp_conn *c, size_t n)
{
    struct resp_server *s = c->server;
    size_t got = 0;
    bool ended = false;
    if (!net_tls_stream_is_ready(c->tls)) {
        s->handshakes_left -= s->handshakes_left > 0;
    }
    enum ts_err err = net_tls_stream_read(c->tls, s->wire, n, s->chunk, &got, &ended);
    if (err != TS_OK) {
        s->stats.protocol_errors++;
        c->finishing = true;
        resp_conn_output_changed(c); /* an alert may wait to be sent */
        if (!c->closing) {
            resp_conn_finish(c);
        }
        return;
    }
    if (got > 0 && c->in_len > c->in_at) {
        input_reserve(c, got);
        ts_assert(c->in != NULL);
        memcpy(c->in + c->in_len, s->chunk, got);
    }
    if (got > 0) {
        take_bytes(c, got);
    }
    if (c->closing) {
        return;
    }
    if (ended) {
        c->eof = true;
        resp_list_add(c, RESP_LINK_RESUME);
    }
    resp_conn_output_changed(c);
}

void resp_conn_parse_input(struct resp_conn *c)
{
    size_t used = resp_intake(c, c->in + c->in_at, c->in_len - c->in_at);
    if (c->closing) {
        return; /* its input is given back already */
    }
    c->in_at += used;
    if (c->in_at == c->in_len) {
        input_release(c);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    struct resp_conn *c = stream->data;
    if (n == 0 || n == UV_ENOBUFS || c->closing) {
        return;
    }
    if (n > 0) {
        struct resp_server *s = c->server;
        c->read_turn = s->turn;
        c->heard_ms = uv_now(s->loop);
        s->now_us = resp_now_us(net_now());
        s->read_left -= (size_t)n < s->read_left ? (size_t)n : s->read_left;
        if (c->tls != NULL) {
            take_wire(c, (size_t)n);
        } else {
            take_bytes(c, (size_t)n);
        }
    } else if (n == UV_EOF) {
        /* What it sent before is still carried out and answered. */
        c->eof = true;
        resp_list_add(c, RESP_LINK_RESUME);
    } else {
        resp_conn_close(c);
    }
    if (!c->closing) {
        resp_conn_set_reading(c);
    }
    resp_server_wake(c->server);
}

void resp_conn_set_reading(struct resp_conn *c)
{
    /* While it is paused its input is bounded here, otherwise by the parser's limits. */
    bool enough = c->paused && c->in_len - c->in_at >= RESP_INPUT_PAUSE;
    bool want = !c->eof && !c->finishing && !enough;
    if (want == c->reading) {
        return;
    }
    c->reading = want;
    if (!want) {
        uv_read_stop((uv_stream_t *)&c->tcp);
    } else if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0) {
        resp_conn_close(c);
    }
}

/* ---- accepting ---- */

static void on_refused_closed(uv_handle_t *handle)
{
    struct resp_server *s = handle->data;
    free(handle);
    s->handles--;
    resp_server_wake(s);
}

static void refuse(struct resp_server *s, uv_stream_t *listener)
{
    static const char text[] = "-ERR max number of clients reached\r\n";
    uv_tcp_t *tcp = malloc(sizeof(*tcp));
    /* A connection that is not accepted would stop the listener for ever. */
    ts_assert(tcp != NULL && uv_tcp_init(s->loop, tcp) == 0);
    tcp->data = s;
    s->handles++;
    s->stats.rejected++;
    if (uv_accept(listener, (uv_stream_t *)tcp) == 0) {
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)text, sizeof(text) - 1);
        buf.len = s->config.tls != NULL ? 0 : buf.len; /* it would not understand */
        (void)uv_try_write((uv_stream_t *)tcp, &buf, 1);
    }
    uv_close((uv_handle_t *)tcp, on_refused_closed);
}

static struct resp_conn *conn_new(struct resp_server *s)
{
    struct resp_conn *c = calloc(1, sizeof(*c));
    /* A connection that is not accepted would stop the listener for ever. */
    ts_assert(c != NULL && uv_tcp_init(s->loop, &c->tcp) == 0);
    c->tcp.data = c;
    c->server = s;
    c->version = RESP_V2;
    c->last_command = "NULL";
    c->since_ms = c->heard_ms = uv_now(s->loop);
    c->id = s->next_id++;
    c->plain.max = c->out.max = c->sending.max = c->deferred_bytes.max = c->held_bytes.max =
        SIZE_MAX / 2;
    c->index = s->free_slot;
    struct resp_slot *slot = &s->slots[c->index];
    s->free_slot = slot->next_free;
    slot->conn = c;
    c->gen = slot->gen;
    s->clients++;
    s->handles++;
    return c;
}

/* Tells the owner of a connection that came by an address that may go. */
static void tell_visitor(struct resp_conn *c, const uv_stream_t *listener)
{
    struct resp_server *s = c->server;
    struct sockaddr_storage client = {0};
    int len = sizeof(client);
    bool ahead = false;
    for (size_t i = 0; i < s->listener_count; i++) {
        ahead = ahead || (s->ahead[i] && listener == (const uv_stream_t *)&s->listeners[i]);
    }
    if (ahead && s->ops.visitor != NULL &&
        uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&client, &len) == 0) {
        c->visitor = true;
        s->ops.visitor(s->ops.ctx, c->index, (const struct sockaddr *)&client);
    }
}

bool resp_conn_may_open(const struct resp_server *s)
{
    return s->clients + s->muted_count + s->relays < s->sockets_max;
}

void resp_conn_accept(struct resp_server *s, uv_stream_t *listener)
{
    bool full = s->free_slot == UINT32_MAX || !resp_conn_may_open(s);
    if (full && !resp_stranger_yields(s)) {
        refuse(s, listener);
        return;
    }
    struct resp_conn *c = conn_new(s);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0) {
        resp_conn_close(c);
        return;
    }
    s->stats.connections++;
    c->tls = s->config.tls != NULL ? net_tls_stream_open(s->config.tls) : NULL;
    if (s->config.tls != NULL && c->tls == NULL) {
        resp_conn_close(c);
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1);
    (void)uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
    tell_visitor(c, listener);
    resp_stranger_begin(c);
    resp_conn_set_reading(c);
}
