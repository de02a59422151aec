#include "services/io/resp_conn.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

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
    ts_assert(c->in != NULL);
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
    free(c->deferred);
    free(c);
    ts_assert(s->handles > 0);
    s->handles--;
    resp_server_wake(s);
}

void resp_conn_close(struct resp_conn *c)
{
    if (c->closing) {
        return;
    }
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
    input_release(c);
    resp_pool_give(s, &c->out);
    resp_pool_give(s, &c->deferred_bytes);
    if (!c->writing) {
        resp_pool_give(s, &c->sending);
    }
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

void resp_conn_finish(struct resp_conn *c)
{
    bool owed = c->answered < c->ordered || c->reads > 0 || c->deferred_len > 0;
    if (c->finishing && !owed && c->out.len == 0 && !c->writing) {
        resp_conn_close(c);
    }
}

/* ---- output ---- */

void resp_conn_output_changed(struct resp_conn *c)
{
    struct resp_server *s = c->server;
    size_t total = c->out.len + c->sending.len + (c->deferred_bytes.len - c->deferred_at);
    s->output_bytes = s->output_bytes - c->bytes_total + total;
    c->bytes_total = total;
    if (total > s->config.client_output_hard) {
        s->stats.closed_slow++;
        resp_conn_close(c);
        return;
    }
    if (c->out.len > 0 && !c->writing) {
        resp_list_add(c, RESP_LINK_DIRTY);
    }
    resp_server_wake(s);
}

static void after_write(struct resp_conn *c)
{
    resp_conn_output_changed(c);
    /* Output above the soft bound had paused the parsing. */
    if (!c->closing && (c->in_len > c->in_at || c->eof)) {
        resp_list_add(c, RESP_LINK_RESUME);
        resp_server_wake(c->server);
    }
    if (!c->closing) {
        resp_conn_finish(c);
    }
}

static void on_written(uv_write_t *req, int status)
{
    struct resp_conn *c = req->data;
    c->writing = false;
    c->server->stats.bytes_out += status == 0 ? c->sending.len : 0;
    resp_pool_give(c->server, &c->sending);
    if (c->closing) {
        return;
    }
    if (status < 0) {
        resp_conn_close(c);
        return;
    }
    after_write(c);
}

/* What the socket did not take at once goes on its own; later replies gather meanwhile. */
static void write_rest(struct resp_conn *c, size_t from)
{
    c->sending = c->out;
    c->out = (struct svc_out){.max = SIZE_MAX / 2};
    uv_buf_t buf = uv_buf_init((char *)c->sending.data + from, (unsigned)(c->sending.len - from));
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) != 0) {
        resp_conn_close(c);
        return;
    }
    c->writing = true;
}

void resp_conn_flush(struct resp_conn *c)
{
    resp_list_remove(c, RESP_LINK_DIRTY);
    if (c->closing || c->writing || c->out.len == 0) {
        return;
    }
    uv_buf_t buf = uv_buf_init((char *)c->out.data, (unsigned)c->out.len);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (n < 0 && n != UV_EAGAIN) {
        resp_conn_close(c);
        return;
    }
    size_t done = n > 0 ? (size_t)n : 0;
    if (done < c->out.len) {
        write_rest(c, done);
        return;
    }
    c->server->stats.bytes_out += done;
    bool was_paused = c->bytes_total > c->server->config.client_output_soft;
    resp_pool_give(c->server, &c->out);
    if (was_paused) {
        after_write(c);
        return;
    }
    resp_conn_output_changed(c);
    resp_conn_finish(c);
}

/* ---- input ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct resp_conn *c = handle->data;
    struct resp_server *s = c->server;
    if (c->in_len == c->in_at) {
        /* Nothing is kept: read into the shared buffer, which is free again on return. */
        *buf = uv_buf_init((char *)s->chunk, RESP_READ_CHUNK);
        return;
    }
    input_reserve(c, RESP_INPUT_FIRST);
    *buf = uv_buf_init((char *)c->in + c->in_len, (unsigned)(c->in_cap - c->in_len));
}

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
    if (n == 0 || c->closing) {
        return;
    }
    if (n > 0) {
        take_bytes(c, (size_t)n);
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
    c->since_ms = uv_now(s->loop);
    c->id = s->next_id++;
    c->out.max = c->sending.max = c->deferred_bytes.max = SIZE_MAX / 2;
    c->index = s->free_slot;
    struct resp_slot *slot = &s->slots[c->index];
    s->free_slot = slot->next_free;
    slot->conn = c;
    c->gen = slot->gen;
    s->clients++;
    s->handles++;
    return c;
}

void resp_conn_accept(struct resp_server *s, uv_stream_t *listener)
{
    if (s->free_slot == UINT32_MAX) {
        refuse(s, listener);
        return;
    }
    struct resp_conn *c = conn_new(s);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0) {
        resp_conn_close(c);
        return;
    }
    s->stats.connections++;
    (void)uv_tcp_nodelay(&c->tcp, 1);
    (void)uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
    resp_conn_set_reading(c);
}
