/* A relay between two addresses, which a test can freeze: a path that loses everything
 * without a word, in either direction. Header only. */
#ifndef TESTS_UNIT_NET_RELAY_H
#define TESTS_UNIT_NET_RELAY_H

#include "tests/unit/net_fixture.h"

#define RELAY_PAIRS_MAX 4096
#define RELAY_BYTES 65536

struct relay;

/* One relayed connection; side 0 came in, side 1 went out. */
struct relay_pair {
    struct relay *relay;
    uv_tcp_t side[2];
    bool open[2];
    unsigned writes; /* under way */
    uv_connect_t connect;
};

struct relay_write {
    uv_write_t request;
    struct relay_pair *pair;
    char bytes[];
};

struct relay {
    uv_tcp_t tcp;
    bool listening;
    bool frozen[2]; /* what comes in at side 0, at side 1 */
    struct sockaddr_storage to;
    size_t count;
    struct relay_pair *pairs[RELAY_PAIRS_MAX];
    char buffer[RELAY_BYTES];
};

static inline void relay_on_closed(uv_handle_t *handle)
{
    struct relay_pair *p = handle->data;
    p->open[handle == (uv_handle_t *)&p->side[1] ? 1 : 0] = false;
}

static inline void relay_pair_close(struct relay_pair *p)
{
    for (int i = 0; i < 2; i++) {
        if (p->open[i] && !uv_is_closing((uv_handle_t *)&p->side[i])) {
            uv_close((uv_handle_t *)&p->side[i], relay_on_closed);
        }
    }
}

static inline void relay_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    const struct relay_pair *p = handle->data;
    (void)suggested;
    *buf = uv_buf_init(p->relay->buffer, RELAY_BYTES);
}

static inline void relay_on_written(uv_write_t *request, int status)
{
    (void)status;
    free(request->data);
}

static inline void relay_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct relay_pair *p = stream->data;
    int other = stream == (uv_stream_t *)&p->side[0] ? 1 : 0;
    if (n < 0) {
        relay_pair_close(p);
        return;
    }
    struct relay_write *w = malloc(sizeof(*w) + (size_t)n);
    assert_non_null(w);
    memcpy(w->bytes, buf->base, (size_t)n);
    w->request.data = w;
    uv_buf_t out = uv_buf_init(w->bytes, (unsigned)n);
    if (uv_write(&w->request, (uv_stream_t *)&p->side[other], &out, 1, relay_on_written) != 0) {
        free(w);
    }
}

static inline void relay_pair_flow(struct relay_pair *p)
{
    for (int i = 0; i < 2; i++) {
        if (!p->open[i] || uv_is_closing((uv_handle_t *)&p->side[i])) {
            continue;
        }
        if (p->relay->frozen[i]) {
            (void)uv_read_stop((uv_stream_t *)&p->side[i]);
        } else {
            (void)uv_read_start((uv_stream_t *)&p->side[i], relay_on_alloc, relay_on_read);
        }
    }
}

static inline void relay_on_connect(uv_connect_t *request, int status)
{
    struct relay_pair *p = request->data;
    if (status != 0) {
        relay_pair_close(p);
        return;
    }
    relay_pair_flow(p);
}

static inline void relay_on_connection(uv_stream_t *server, int status)
{
    struct relay *r = server->data;
    assert_int_equal(status, 0);
    assert_true(r->count < RELAY_PAIRS_MAX);
    struct relay_pair *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->relay = r;
    p->connect.data = p;
    for (int i = 0; i < 2; i++) {
        (void)uv_tcp_init(server->loop, &p->side[i]);
        p->side[i].data = p;
        p->open[i] = true;
    }
    assert_int_equal(uv_accept(server, (uv_stream_t *)&p->side[0]), 0);
    r->pairs[r->count++] = p;
    if (uv_tcp_connect(&p->connect, &p->side[1], (const struct sockaddr *)&r->to,
                       relay_on_connect) != 0) {
        relay_pair_close(p);
    }
}

static inline struct relay *relay_open(struct net_fixture *f, const char *at, const char *to,
                                       uint16_t port)
{
    struct relay *r = calloc(1, sizeof(*r));
    struct sockaddr_storage address;
    assert_non_null(r);
    fx_ok(net_address(at, port, &address), NULL);
    fx_ok(net_address(to, port, &r->to), NULL);
    (void)uv_tcp_init(&f->loop, &r->tcp);
    r->tcp.data = r;
    assert_int_equal(uv_tcp_bind(&r->tcp, (const struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&r->tcp, 128, relay_on_connection), 0);
    return r;
}

/* Freezes or thaws what comes in at the dialling side (`in`) and at the other. */
static inline void relay_freeze(struct relay *r, bool in, bool back)
{
    r->frozen[0] = in;
    r->frozen[1] = back;
    for (size_t i = 0; i < r->count; i++) {
        relay_pair_flow(r->pairs[i]);
    }
}

/* Ends every connection, as a reset would. */
static inline void relay_break(struct relay *r)
{
    for (size_t i = 0; i < r->count; i++) {
        relay_pair_close(r->pairs[i]);
    }
}

/* Closes all; relay_free follows when the loop has run. */
static inline void relay_close(struct relay *r)
{
    uv_close((uv_handle_t *)&r->tcp, NULL);
    for (size_t i = 0; i < r->count; i++) {
        relay_pair_close(r->pairs[i]);
    }
}

static inline void relay_free(struct relay *r)
{
    for (size_t i = 0; i < r->count; i++) {
        assert_false(r->pairs[i]->open[0] || r->pairs[i]->open[1]);
        free(r->pairs[i]);
    }
    free(r);
}

#endif
