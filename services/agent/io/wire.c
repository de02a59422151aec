#include "services/agent/io/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define READ_BYTES (64U * 1024U)

struct conn {
    struct agent_wire *wire;
    unsigned slot;
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct net_tls_client *tls;
    bool up;
    bool closing;
    bool hung_up; /* on_down is not given */
    const char *why;
    size_t waiting; /* bytes given to the loop, not yet written */
    uint8_t *in;    /* owned: what is not a whole frame yet */
    size_t in_len;
    size_t in_cap;
};

struct agent_wire {
    struct agent_wire_config config;
    struct conn *conn[AGENT_SLOTS_MAX];
    unsigned open; /* connections whose handles are not closed */
    bool closing;
    uint8_t plain[READ_BYTES];
    char read[READ_BYTES];
};

struct write {
    uv_write_t uv;
    struct conn *conn;
    size_t len;
    uint8_t data[];
};

static void free_if_done(struct agent_wire *w)
{
    if (w->closing && w->open == 0) {
        free(w);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    struct agent_wire *w = c->wire;
    bool tell = !c->hung_up && !w->closing;
    unsigned slot = c->slot;
    const char *why = c->why;
    if (w->conn[slot] == c) {
        w->conn[slot] = NULL;
    }
    net_tls_client_close(c->tls);
    free(c->in);
    free(c);
    w->open--;
    if (tell) {
        w->config.on_down(w->config.arg, slot, why);
    }
    free_if_done(w);
}

static void end(struct conn *c, const char *why)
{
    if (!c->closing) {
        c->closing = true;
        c->why = why;
        uv_close((uv_handle_t *)&c->tcp, on_closed);
    }
}

static void on_written(uv_write_t *req, int status)
{
    struct write *q = (struct write *)req;
    struct conn *c = q->conn;
    c->waiting -= q->len;
    free(q);
    if (status != 0) {
        end(c, "the connection is broken");
    }
}

/* Gives the loop what TLS has to say. */
static void flush(struct conn *c)
{
    struct ts_bytes wire = net_tls_client_waiting(c->tls);
    if (c->closing || wire.len == 0) {
        return;
    }
    struct write *q = malloc(sizeof(*q) + wire.len);
    ts_must(q);
    q->conn = c;
    q->len = wire.len;
    memcpy(q->data, wire.data, wire.len);
    net_tls_client_sent(c->tls);
    c->waiting += q->len;
    uv_buf_t buf = uv_buf_init((char *)q->data, (unsigned)q->len);
    if (uv_write(&q->uv, (uv_stream_t *)&c->tcp, &buf, 1, on_written) != 0) {
        c->waiting -= q->len;
        free(q);
        end(c, "the connection is broken");
    } else if (c->waiting > AGENT_WIRE_MAX) {
        end(c, "the controller does not take its bytes");
    }
}

/* Whether the other side may be a controller. */
static bool is_controller(const struct conn *c)
{
    const struct agent_wire_config *config = &c->wire->config;
    struct net_tls_identity peer;
    bool found = false;
    if (net_tls_client_peer(c->tls, &peer) == TS_OK) {
        for (size_t i = 0; i < config->names; i++) {
            found = found || strcmp(config->name[i], peer.node) == 0;
        }
    }
    return found;
}

static void take_frames(struct conn *c)
{
    struct agent_wire *w = c->wire;
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
            end(c, "malformed bytes");
            break;
        }
        at += used;
        w->config.on_message(w->config.arg, c->slot, body);
    }
    c->in_len -= at;
    memmove(c->in, c->in + at, c->in_len);
}

static void take_plain(struct conn *c)
{
    struct agent_wire *w = c->wire;
    size_t n;
    while (!c->closing && (n = net_tls_client_read(c->tls, w->plain, sizeof(w->plain))) > 0) {
        if (c->in_cap - c->in_len < n) {
            c->in_cap = 2 * c->in_cap + n;
            c->in = realloc(c->in, c->in_cap);
            ts_must(c->in);
        }
        memcpy(c->in + c->in_len, w->plain, n);
        c->in_len += n;
        take_frames(c);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct conn *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->wire->read, sizeof(c->wire->read));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;
    if (n < 0) {
        end(c, c->up ? "closed by the controller" : "refused by the controller");
        return;
    }
    enum ts_err err =
        net_tls_client_take(c->tls, (struct ts_bytes){(const uint8_t *)buf->base, (size_t)n});
    flush(c);
    if (err != TS_OK) {
        end(c, "the controller's certificate is refused, or this is no TLS 1.3");
        return;
    }
    if (!c->up && net_tls_client_is_ready(c->tls)) {
        if (!is_controller(c)) {
            end(c, "the certificate is not one of a controller");
            return;
        }
        c->up = true;
        c->wire->config.on_up(c->wire->config.arg, c->slot);
    }
    take_plain(c);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct conn *c = req->data;
    if (c->closing) {
        return;
    }
    if (status != 0 || uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0) {
        end(c, "no connection");
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1);
    flush(c);
}

struct agent_wire *agent_wire_open(const struct agent_wire_config *config)
{
    struct agent_wire *w = calloc(1, sizeof(*w));
    ts_must(w);
    w->config = *config;
    return w;
}

void agent_wire_close(struct agent_wire *w)
{
    w->closing = true;
    for (unsigned i = 0; i < AGENT_SLOTS_MAX; i++) {
        agent_wire_hang_up(w, i);
    }
    free_if_done(w);
}

void agent_wire_dial(struct agent_wire *w, unsigned slot, const struct sockaddr_storage *to)
{
    struct conn *c = calloc(1, sizeof(*c));
    ts_must(c);
    ts_assert(w->conn[slot] == NULL && !w->closing);
    *c = (struct conn){.wire = w, .slot = slot, .tls = net_tls_client_open(w->config.trust)};
    ts_must(c->tls);
    (void)uv_tcp_init(w->config.loop, &c->tcp);
    c->tcp.data = c;
    c->connect.data = c;
    w->conn[slot] = c;
    w->open++;
    if (uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *)to, on_connected) != 0) {
        end(c, "no connection");
    }
}

void agent_wire_send(struct agent_wire *w, unsigned slot, struct ts_bytes frame)
{
    struct conn *c = w->conn[slot];
    if (c == NULL || c->closing || !c->up) {
        return;
    }
    if (net_tls_client_write(c->tls, frame) != TS_OK) {
        end(c, "the connection is broken");
        return;
    }
    flush(c);
}

void agent_wire_trust(struct agent_wire *w, struct net_tls_trust *trust)
{
    w->config.trust = trust;
}

void agent_wire_hang_up(struct agent_wire *w, unsigned slot)
{
    struct conn *c = w->conn[slot];
    if (c != NULL) {
        c->hung_up = true;
        w->conn[slot] = NULL;
        end(c, "");
    }
}
