#include "services/netctl/io/south_server.h"

#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"
#include "net/loop.h"
#include "net/tls_server.h"

#define READ_BYTES (64U * 1024U)
#define TICK_MS (SOUTH_TICK_NS / TS_NS_PER_MS)
#define BACKLOG 128

struct conn {
    struct south_server *server;
    uint32_t number;
    uv_tcp_t tcp;
    struct net_tls_stream *tls;
    struct ts_mono since;
    bool told; /* the core knows of it */
    bool closing;
    bool writing;
    uv_write_t write;
    uint8_t *out; /* owned: what the kernel gets now */
    size_t out_len;
    size_t out_cap;
    size_t plain; /* bytes of the core's in what waits, and in what the kernel gets now */
    size_t plain_out;
    uint8_t *in; /* owned: what is not a whole frame yet */
    size_t in_len;
    size_t in_cap;
};

struct south_server {
    struct south_server_config config;
    struct net_tls_server *tls;
    struct south *core;
    uv_tcp_t listener[SOUTH_LISTENERS_MAX];
    unsigned listeners;
    uv_timer_t timer;
    struct conn **conn; /* owned; by the core's number */
    unsigned handles;
    bool closing;
    struct south_effects effects;
    uint8_t plain[READ_BYTES + NET_TLS_RECORD_MAX];
    char read[READ_BYTES];
};

static void flush(struct conn *c);
static void end(struct conn *c);

static void free_if_done(struct south_server *s)
{
    if (s->closing && s->handles == 0) {
        south_free(s->core);
        south_effects_free(&s->effects);
        net_tls_server_close(s->tls);
        free(s->conn);
        free(s);
    }
}

/* ---- the core ---- */

static void perform(struct south_server *s, const struct south_effect *e)
{
    if (e->kind == SOUTH_SEND) {
        struct conn *c = s->conn[e->connection];
        struct ts_bytes frame = south_effect_bytes(&s->effects, e);
        c->plain += frame.len;
        if (net_tls_stream_write(c->tls, frame.data, frame.len) == TS_OK) {
            flush(c);
        } else {
            uv_read_stop((uv_stream_t *)&c->tcp); /* silence ends it */
        }
    } else if (e->kind == SOUTH_CLOSE) {
        s->conn[e->connection]->told = false;
        end(s->conn[e->connection]);
    } else if (s->config.on_effect != NULL) {
        s->config.on_effect(s->config.arg, &s->effects, e);
    }
}

void south_server_step(struct south_server *s, struct south_event *e)
{
    e->now = net_now();
    south_step(s->core, e, &s->effects);
    for (size_t i = 0; i < s->effects.count; i++) {
        perform(s, &s->effects.effect[i]);
    }
    south_effects_clear(&s->effects);
}

/* ---- a connection ---- */

static void on_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    struct south_server *s = c->server;
    net_tls_stream_close(c->tls);
    free(c->out);
    free(c->in);
    s->conn[c->number] = NULL;
    free(c);
    s->handles--;
    free_if_done(s);
}

/* Its number is the core's again once the handle is closed. */
static void end(struct conn *c)
{
    if (!c->closing) {
        c->closing = true;
        uv_close((uv_handle_t *)&c->tcp, on_closed);
    }
}

/* The same, and the core hears of it. */
static void lose(struct conn *c)
{
    bool told = c->told && !c->closing;
    end(c);
    if (told) {
        c->told = false;
        south_server_step(c->server,
                          &(struct south_event){.kind = SOUTH_E_CLOSED, .connection = c->number});
    }
}

static void on_written(uv_write_t *req, int status)
{
    struct conn *c = req->data;
    size_t sent = c->plain_out;
    c->writing = false;
    c->plain_out = 0;
    if (status != 0) {
        lose(c);
    }
    if (c->closing) {
        return;
    }
    if (sent > 0 && c->told) {
        south_server_step(
            c->server,
            &(struct south_event){.kind = SOUTH_E_SENT, .connection = c->number, .bytes = sent});
    }
    flush(c);
}

/* One write at a time: what comes meanwhile goes with the next. */
static void flush(struct conn *c)
{
    if (c->closing || c->writing || net_tls_stream_waiting(c->tls) == 0) {
        return;
    }
    net_tls_stream_take(c->tls, c->out, c->out_cap, &c->out, &c->out_len, &c->out_cap);
    c->plain_out = c->plain;
    c->plain = 0;
    uv_buf_t buf = uv_buf_init((char *)c->out, (unsigned)c->out_len);
    c->write.data = c;
    c->writing = uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) == 0;
    if (!c->writing) {
        uv_read_stop((uv_stream_t *)&c->tcp); /* silence ends it */
    }
}

static void take_frames(struct conn *c)
{
    size_t at = 0;
    while (!c->closing) {
        struct ts_bytes body;
        size_t used = 0;
        enum ts_err err =
            south_frame_next((struct ts_bytes){c->in + at, c->in_len - at}, &body, &used);
        if (err == TS_ERR_SHORT) {
            break;
        }
        if (err != TS_OK) {
            lose(c);
            break;
        }
        at += used;
        south_server_step(
            c->server,
            &(struct south_event){.kind = SOUTH_E_MESSAGE, .connection = c->number, .body = body});
    }
    c->in_len -= at;
    memmove(c->in, c->in + at, c->in_len);
}

/* The handshake is done: the core hears of it. */
static void tell(struct conn *c)
{
    struct net_tls_identity peer;
    if (net_tls_stream_peer(c->tls, NET_TLS_AGENT, &peer) != TS_OK) {
        end(c);
        return;
    }
    c->told = true;
    south_server_step(
        c->server,
        &(struct south_event){.kind = SOUTH_E_OPENED, .connection = c->number, .name = peer.node});
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct conn *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->server->read, sizeof(c->server->read));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;
    struct south_server *s = c->server;
    size_t got = 0;
    bool ended = false;
    if (n < 0) {
        lose(c);
        return;
    }
    enum ts_err err =
        net_tls_stream_read(c->tls, (const uint8_t *)buf->base, (size_t)n, s->plain, &got, &ended);
    flush(c);
    if (err == TS_OK && !c->told && net_tls_stream_is_ready(c->tls)) {
        tell(c);
    }
    if (got > 0 && c->told) {
        if (c->in_cap - c->in_len < got) {
            c->in_cap = 2 * c->in_cap + got;
            c->in = realloc(c->in, c->in_cap);
            ts_must(c->in);
        }
        memcpy(c->in + c->in_len, s->plain, got);
        c->in_len += got;
        take_frames(c);
    }
    if (err != TS_OK || ended) {
        lose(c);
    }
}

static void on_refused(uv_handle_t *handle)
{
    struct south_server *s = handle->data;
    free(handle);
    s->handles--;
    free_if_done(s);
}

/* There is no place for one more. */
static void refuse(struct south_server *s, uv_stream_t *listener)
{
    uv_tcp_t *tcp = calloc(1, sizeof(*tcp));
    ts_must(tcp);
    (void)uv_tcp_init(s->config.loop, tcp);
    tcp->data = s;
    s->handles++;
    (void)uv_accept(listener, (uv_stream_t *)tcp);
    uv_close((uv_handle_t *)tcp, on_refused);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct south_server *s = listener->data;
    uint32_t number = 0;
    while (number < s->config.limits.connections_max && s->conn[number] != NULL) {
        number++;
    }
    if (status != 0) {
        return;
    }
    struct net_tls_stream *tls =
        number < s->config.limits.connections_max ? net_tls_stream_open(s->tls) : NULL;
    if (tls == NULL) {
        refuse(s, listener);
        return;
    }
    struct conn *c = calloc(1, sizeof(*c));
    ts_must(c);
    *c = (struct conn){.server = s, .number = number, .tls = tls, .since = net_now()};
    (void)uv_tcp_init(s->config.loop, &c->tcp);
    c->tcp.data = c;
    s->handles++;
    s->conn[number] = c;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0) {
        end(c);
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1);
}

/* ---- the server ---- */

static void on_timer(uv_timer_t *timer)
{
    struct south_server *s = timer->data;
    struct ts_mono now = net_now();
    for (uint32_t i = 0; i < s->config.limits.connections_max; i++) {
        struct conn *c = s->conn[i];
        if (c != NULL && !c->told && ts_mono_since(c->since, now) > SOUTH_HANDSHAKE_NS) {
            end(c);
        }
    }
    south_server_step(s, &(struct south_event){.kind = SOUTH_E_TIME});
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct south_server *s = handle->data;
    s->handles--;
    free_if_done(s);
}

enum ts_err south_server_listen(struct south_server *s, const struct sockaddr_storage *address,
                                struct ts_why *why)
{
    if (s->listeners == SOUTH_LISTENERS_MAX) {
        return ts_why(why, TS_ERR_LIMIT, "transport nodes can come by %d addresses at most",
                      SOUTH_LISTENERS_MAX);
    }
    uv_tcp_t *tcp = &s->listener[s->listeners];
    int rc = uv_tcp_init_ex(s->config.loop, tcp, address->ss_family);
    if (rc == 0) {
        tcp->data = s;
        s->listeners++;
        s->handles++;
        rc = net_bind_ahead(tcp, address);
    }
    rc = rc != 0 ? rc : uv_listen((uv_stream_t *)tcp, BACKLOG, on_connection);
    return rc == 0 ? TS_OK
                   : ts_why(why, rc == UV_EADDRINUSE ? TS_ERR_BUSY : TS_ERR_SYSTEM,
                            "cannot listen for transport nodes: %s; free the port, or choose "
                            "another",
                            uv_strerror(rc));
}

enum ts_err south_server_open(struct south_server **out, const struct south_server_config *config,
                              struct ts_why *why)
{
    struct south_server *s = calloc(1, sizeof(*s));
    ts_must(s);
    s->config = *config;
    enum ts_err err = net_tls_server_open_mutual(&s->tls, config->dir, why);
    if (err != TS_OK) {
        free(s);
        return err;
    }
    s->core = south_new(&config->limits);
    ts_must(s->core);
    s->conn = calloc(config->limits.connections_max, sizeof(struct conn *));
    ts_must(s->conn);
    (void)uv_timer_init(config->loop, &s->timer);
    s->timer.data = s;
    s->handles = 1;
    (void)uv_timer_start(&s->timer, on_timer, TICK_MS, TICK_MS);
    *out = s;
    return TS_OK;
}

void south_server_close(struct south_server *s)
{
    s->closing = true;
    for (uint32_t i = 0; i < s->config.limits.connections_max; i++) {
        if (s->conn[i] != NULL) {
            end(s->conn[i]);
        }
    }
    uv_close((uv_handle_t *)&s->timer, on_handle_closed);
    for (unsigned i = 0; i < s->listeners; i++) {
        uv_close((uv_handle_t *)&s->listener[i], on_handle_closed);
    }
}

struct net_tls_server *south_server_tls(const struct south_server *s)
{
    return s->tls;
}

uint16_t south_server_port(const struct south_server *s)
{
    struct sockaddr_storage a;
    int len = sizeof(a);
    if (uv_tcp_getsockname(&s->listener[0], (struct sockaddr *)&a, &len) != 0) {
        return 0;
    }
    return ntohs(a.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&a)->sin6_port
                                         : ((const struct sockaddr_in *)&a)->sin_port);
}

const struct south *south_server_core(const struct south_server *s)
{
    return s->core;
}
