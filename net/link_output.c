/* The way out of a link: frames are gathered as plain text, encrypted into few full records and
 * written with one call a turn of the loop. */
#include <string.h>

#include <openssl/err.h>

#include "base/assert.h"
#include "net/link_internal.h"

static void link_bytes_consume(struct link_bytes *b, size_t n)
{
    ts_assert(n <= link_bytes_used(b));
    b->pos += n;
    if (b->pos < b->len) {
        return;
    }
    b->pos = 0;
    b->len = 0;
    if (b->cap > LINK_KEEP_BYTES) {
        link_bytes_free(b);
    }
}

void link_put_frame(struct net_link *l, uint8_t type, struct ts_bytes a, struct ts_bytes b)
{
    size_t size = NET_FRAME_HEADER + a.len + b.len;
    link_bytes_reserve(&l->out, size);
    struct ts_writer w = ts_writer_init(l->out.data + l->out.len, size);
    net_frame_header(&w, type, (uint32_t)(a.len + b.len));
    ts_put_bytes(&w, a.data, a.len);
    ts_put_bytes(&w, b.data, b.len);
    ts_assert(!w.failed && w.len == size);
    l->out.len += size;
    l->ep->counters.frames_out++;
    net_turn_request(l->ep->env.turn, &l->flush);
}

/* Encrypts a bounded piece of what was gathered; false when TLS fails. */
static bool link_encrypt(struct net_link *l)
{
    size_t budget = LINK_ENCRYPT_BYTES;
    while (link_bytes_used(&l->out) > 0 && budget > 0) {
        size_t n = link_bytes_used(&l->out);
        n = n < LINK_RECORD_BYTES ? n : LINK_RECORD_BYTES;
        n = n < budget ? n : budget;
        size_t written = 0;
        ERR_clear_error();
        if (SSL_write_ex(l->ssl, l->out.data + l->out.pos, n, &written) != 1) {
            return false;
        }
        budget -= written;
        link_bytes_consume(&l->out, written);
    }
    return true;
}

static void link_on_written(uv_write_t *request, int status)
{
    struct net_link *l = request->data;
    l->writing = false;
    if (l->state == LINK_ENDED) {
        return;
    }
    if (status != 0) {
        link_end(l, NET_DOWN_CLOSED, uv_strerror(status), true);
        return;
    }
    l->ep->counters.bytes_out += link_bytes_used(&l->in_flight);
    link_bytes_consume(&l->in_flight, link_bytes_used(&l->in_flight));
    /* Bytes that had waited were taken: the peer's kernel acknowledged earlier ones. */
    l->heard = net_now();
    if (link_bytes_used(&l->out) > 0 || link_bytes_used(&l->wire) > 0) {
        net_turn_request(l->ep->env.turn, &l->flush);
    }
}

/* Makes the gathered records the ones in flight and gives the kernel what it takes at once.
 * 0, or libuv's error. */
static int link_write_now(struct net_link *l)
{
    ts_assert(!l->writing && link_bytes_used(&l->in_flight) == 0);
    struct link_bytes empty = l->in_flight;
    l->in_flight = l->wire;
    l->wire = empty;
    size_t n = link_bytes_used(&l->in_flight);
    if (n == 0) {
        return 0;
    }
    uv_buf_t buf = uv_buf_init((char *)l->in_flight.data + l->in_flight.pos, (unsigned)n);
    int taken = uv_try_write((uv_stream_t *)&l->tcp, &buf, 1);
    if (taken == UV_EAGAIN) {
        return 0;
    }
    if (taken < 0) {
        return taken;
    }
    l->ep->counters.bytes_out += (uint64_t)taken;
    link_bytes_consume(&l->in_flight, (size_t)taken);
    return 0;
}

static int link_write_rest(struct net_link *l)
{
    size_t n = link_bytes_used(&l->in_flight);
    if (n == 0) {
        if (link_bytes_used(&l->out) > 0) {
            /* The kernel takes more: the next bounded piece, after the other links had a turn. */
            net_turn_request(l->ep->env.turn, &l->flush);
        }
        return 0;
    }
    uv_buf_t buf = uv_buf_init((char *)l->in_flight.data + l->in_flight.pos, (unsigned)n);
    int rc = uv_write(&l->write, (uv_stream_t *)&l->tcp, &buf, 1, link_on_written);
    l->writing = rc == 0;
    return rc;
}

void link_flush(void *link)
{
    struct net_link *l = link;
    ts_assert(l->state != LINK_ENDED);
    if (l->doomed) {
        link_end(l, l->doom, NULL, true);
        return;
    }
    if (l->writing || l->state == LINK_CONNECTING) {
        return;
    }
    if (l->state != LINK_HANDSHAKE && !link_encrypt(l)) {
        char text[160];
        net_tls_error(l->ssl, text, sizeof(text));
        link_end(l, NET_DOWN_TLS, text, true);
        return;
    }
    int rc = link_write_now(l);
    if (rc == 0) {
        rc = link_write_rest(l);
    }
    if (rc != 0) {
        link_end(l, NET_DOWN_CLOSED, uv_strerror(rc), true);
    }
}

void link_flush_last(struct net_link *l)
{
    /* Bytes in flight mean that a write is under way, or that it failed and is why the link ends.
     */
    if (l->state == LINK_CONNECTING || l->ssl == NULL || l->writing ||
        link_bytes_used(&l->in_flight) > 0) {
        return;
    }
    if (l->state != LINK_HANDSHAKE && !link_encrypt(l)) {
        ERR_clear_error();
    }
    (void)link_write_now(l);
}

static enum ts_err link_send_check(struct net_link *l, size_t payload_len)
{
    if (l->state != LINK_UP || l->doomed) {
        return TS_ERR_CLOSED;
    }
    if (payload_len > NET_FRAME_PAYLOAD_MAX) {
        return TS_ERR_LIMIT;
    }
    if (net_link_backlog(l) + payload_len + NET_FRAME_HEADER > l->ep->output_max) {
        link_doom(l, NET_DOWN_OVERFLOW);
        return TS_ERR_FULL;
    }
    return TS_OK;
}

enum ts_err net_link_send2(struct net_link *link, uint8_t type, struct ts_bytes a,
                           struct ts_bytes b)
{
    ts_assert(type >= NET_FRAME_ACTIVATE);
    enum ts_err err = link_send_check(link, a.len + b.len);
    if (err != TS_OK) {
        return err;
    }
    link_put_frame(link, type, a, b);
    return TS_OK;
}

enum ts_err net_link_send(struct net_link *link, uint8_t type, struct ts_bytes payload)
{
    return net_link_send2(link, type, payload, (struct ts_bytes){NULL, 0});
}

void net_link_ping(struct net_link *link)
{
    /* While bytes wait, their progress proves the round trip; pings would only pile up. */
    if (link->state != LINK_UP || link->doomed || link->writing) {
        return;
    }
    uint8_t bytes[8];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    ts_put_u64(&w, net_now().ns);
    link_put_frame(link, NET_FRAME_PING, (struct ts_bytes){bytes, w.len},
                   (struct ts_bytes){NULL, 0});
}
