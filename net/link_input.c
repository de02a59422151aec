/* The way into a link: bytes, TLS, frames, HELLO. Everything here was said by somebody
 * who may be hostile: nothing is believed, nothing is asserted. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "base/assert.h"
#include "net/link_internal.h"

/* TLS reads the bytes of the present read callback… */
static int link_bio_read(BIO *bio, char *out, size_t cap, size_t *got)
{
    struct net_link *l = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (l->cipher_len == 0) {
        BIO_set_retry_read(bio);
        *got = 0;
        return 0;
    }
    size_t n = cap < l->cipher_len ? cap : l->cipher_len;
    memcpy(out, l->cipher, n);
    l->cipher += n;
    l->cipher_len -= n;
    *got = n;
    return 1;
}

/* … and its records are gathered for this turn's write. */
static int link_bio_write(BIO *bio, const char *data, size_t n, size_t *written)
{
    struct net_link *l = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    link_bytes_reserve(&l->wire, n);
    memcpy(l->wire.data + l->wire.len, data, n);
    l->wire.len += n;
    *written = n;
    return 1;
}

static long link_bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *link_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "twinstep link");
    if (m == NULL || BIO_meth_set_read_ex(m, link_bio_read) != 1 ||
        BIO_meth_set_write_ex(m, link_bio_write) != 1 || BIO_meth_set_ctrl(m, link_bio_ctrl) != 1) {
        BIO_meth_free(m);
        return NULL;
    }
    return m;
}

/* Made when the first bytes come (accepted) or TCP stands (dialled): whoever merely connects
 * costs no TLS state. */
static bool link_make_ssl(struct net_link *l)
{
    if (l->ssl != NULL) {
        return true;
    }
    SSL *ssl = SSL_new(l->ep->env.tls->ctx);
    BIO *bio = ssl == NULL ? NULL : BIO_new(l->ep->bio);
    if (bio == NULL) {
        SSL_free(ssl);
        return false;
    }
    BIO_set_data(bio, l);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    if (l->dialled) {
        SSL_set_connect_state(ssl);
    } else {
        SSL_set_accept_state(ssl);
    }
    l->ssl = ssl;
    return true;
}

static void link_send_hello(struct net_link *l)
{
    uint8_t bytes[NET_HELLO_PAYLOAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    net_hello_encode(&l->ep->hello, &w);
    ts_assert(!w.failed);
    link_put_frame(l, NET_FRAME_HELLO, (struct ts_bytes){bytes, w.len}, (struct ts_bytes){NULL, 0});
}

/* Tells an authenticated peer why it is not wanted, so that its operator can read it in its
 * log, too. */
static void link_refuse(struct net_link *l, enum net_down reason, const char *detail)
{
    size_t n = strnlen(detail, NET_REFUSAL_MAX);
    if (!l->dialled) {
        link_put_frame(l, NET_FRAME_REFUSAL, (struct ts_bytes){(const uint8_t *)detail, n},
                       (struct ts_bytes){NULL, 0});
    }
    link_end(l, reason, detail, true);
}

static void link_on_refusal(struct net_link *l, struct ts_bytes payload)
{
    char text[NET_REFUSAL_MAX + 1];
    size_t n = payload.len < NET_REFUSAL_MAX ? payload.len : NET_REFUSAL_MAX;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = payload.data[i];
        text[i] = (char)(c >= 0x20 && c < 0x7f ? c : (uint8_t)'?');
    }
    text[n] = '\0';
    link_end(l, NET_DOWN_DENIED, text, true);
}

/* Whether the HELLO fits the certificate and this side; else `why` tells. */
static bool link_check_peer(const struct net_link *l, const struct net_hello *h, char *why,
                            size_t cap)
{
    const struct net_endpoint *ep = l->ep;
    struct net_tls_identity id;
    enum ts_err err = net_tls_peer(l->ssl, NET_TLS_NODE, &id);
    if (err == TS_ERR_REFUSED) {
        (void)snprintf(why, cap, "its certificate is of the agent of transport node %s, no node's",
                       id.node);
        return false;
    }
    if (err != TS_OK) {
        (void)snprintf(why, cap, "its certificate names no node and cluster");
        return false;
    }
    const char *name = ep->name_of(ep->name_arg, h->node);
    if (strcmp(h->cluster, ep->hello.cluster) != 0 || strcmp(id.cluster, h->cluster) != 0) {
        (void)snprintf(why, cap, "cluster is %s here, the HELLO says %s, the certificate %s",
                       ep->hello.cluster, h->cluster, id.cluster);
    } else if (name == NULL) {
        (void)snprintf(why, cap, "node %u is not in the cluster file here", (unsigned)h->node.v);
    } else if (strcmp(name, id.node) != 0) {
        (void)snprintf(why, cap, "node %u is %s in the cluster file here, the certificate says %s",
                       (unsigned)h->node.v, name, id.node);
    } else if (l->dialled && !ts_nic_eq(h->node, l->expected)) {
        (void)snprintf(why, cap, "node %u answers where node %u should be", (unsigned)h->node.v,
                       (unsigned)l->expected.v);
    } else if (h->purpose != ep->hello.purpose) {
        (void)snprintf(why, cap, "the link's purpose is %d here and %d there",
                       (int)ep->hello.purpose, (int)h->purpose);
    } else if (ep->same_group && h->group.v != ep->hello.group.v) {
        (void)snprintf(why, cap, "the group is %u here and %u there", (unsigned)ep->hello.group.v,
                       (unsigned)h->group.v);
    } else {
        return true;
    }
    return false;
}

static void link_on_hello(struct net_link *l, struct ts_bytes payload)
{
    char why[NET_REFUSAL_MAX + 1];
    struct net_hello hello;
    enum ts_err err = net_hello_decode(&hello, payload);
    if (err == TS_ERR_VERSION) {
        (void)snprintf(why, sizeof(why), "format versions %d..%d here, %u..%u there: upgrade one",
                       NET_FORMAT_MIN, NET_FORMAT_MAX, (unsigned)hello.version_min,
                       (unsigned)hello.version_max);
        link_refuse(l, NET_DOWN_VERSION, why);
        return;
    }
    if (err != TS_OK) {
        link_end(l, NET_DOWN_MALFORMED, "its HELLO is malformed", true);
        return;
    }
    if (!link_check_peer(l, &hello, why, sizeof(why))) {
        link_refuse(l, NET_DOWN_IDENTITY, why);
        return;
    }
    if (!l->dialled) {
        link_send_hello(l);
    }
    l->peer = hello;
    l->state = LINK_UP;
    l->heard = net_now();
    l->ep->counters.up++;
    l->events->on_up(l->arg, l, &l->peer);
}

static void link_on_pong(struct net_link *l, struct ts_bytes payload)
{
    struct ts_reader r = ts_reader_init(payload.data, payload.len);
    struct ts_mono stamp = {ts_get_u64(&r)};
    if (ts_reader_finish(&r) != TS_OK || stamp.ns > net_now().ns) {
        link_end(l, NET_DOWN_MALFORMED, NULL, true);
        return;
    }
    if (ts_mono_lt(l->heard, stamp)) {
        l->heard = stamp;
    }
}

static void link_on_ping(struct net_link *l, struct ts_bytes payload)
{
    if (payload.len != 8) {
        link_end(l, NET_DOWN_MALFORMED, NULL, true);
        return;
    }
    /* Whoever pings without reading the answers meets the output limit. */
    if (net_link_backlog(l) + payload.len + NET_FRAME_HEADER > l->ep->output_max) {
        link_end(l, NET_DOWN_OVERFLOW, NULL, true);
        return;
    }
    link_put_frame(l, NET_FRAME_PONG, payload, (struct ts_bytes){NULL, 0});
}

static void link_on_frame(struct net_link *l, const struct net_frame *f)
{
    l->ep->counters.frames_in++;
    if (l->state == LINK_HELLO) {
        if (f->type == NET_FRAME_HELLO) {
            link_on_hello(l, f->payload);
        } else if (f->type == NET_FRAME_REFUSAL && l->dialled) {
            link_on_refusal(l, f->payload);
        } else {
            link_end(l, NET_DOWN_MALFORMED, "the first frame is no HELLO", true);
        }
        return;
    }
    if (f->type == NET_FRAME_PING) {
        link_on_ping(l, f->payload);
    } else if (f->type == NET_FRAME_PONG) {
        link_on_pong(l, f->payload);
    } else if (f->type >= NET_FRAME_ACTIVATE) {
        l->events->on_frame(l->arg, l, f->type, f->payload);
    } else {
        link_end(l, NET_DOWN_MALFORMED, NULL, true);
    }
}

/* Gives every complete frame on. Gives the whole size of the frame that is not complete yet;
 * 0 when the link ended. */
static size_t link_frames(struct net_link *l)
{
    struct link_bytes *in = &l->in;
    for (;;) {
        uint32_t max = l->state == LINK_UP ? NET_FRAME_PAYLOAD_MAX : NET_HELLO_PAYLOAD_MAX;
        struct net_frame f;
        size_t used = 0;
        struct ts_bytes bytes = {in->data + in->pos, link_bytes_used(in)};
        enum ts_err err = net_frame_next(bytes, max, &f, &used);
        if (err == TS_ERR_SHORT) {
            return used;
        }
        if (err != TS_OK) {
            link_end(l, err == TS_ERR_LIMIT ? NET_DOWN_OVERSIZED : NET_DOWN_MALFORMED, NULL, true);
            return 0;
        }
        in->pos += used;
        link_on_frame(l, &f);
        if (l->state == LINK_ENDED) {
            return 0;
        }
    }
}

/* Room for the next record. The buffer grows with the bytes that came, never with what a length
 * field claims. */
static void link_in_room(struct link_bytes *in)
{
    if (in->pos == in->len) {
        in->pos = 0;
        in->len = 0;
        if (in->cap > LINK_KEEP_BYTES) {
            link_bytes_free(in);
        }
    }
    link_bytes_reserve(in, LINK_RECORD_BYTES);
}

static void link_tls_failed(struct net_link *l)
{
    char text[160];
    net_tls_error(l->ssl, text, sizeof(text));
    link_end(l, NET_DOWN_TLS, text, true);
}

static void link_read_records(struct net_link *l)
{
    for (;;) {
        link_in_room(&l->in);
        size_t got = 0;
        ERR_clear_error();
        int ok = SSL_read_ex(l->ssl, l->in.data + l->in.len, l->in.cap - l->in.len, &got);
        if (ok != 1) {
            int why = SSL_get_error(l->ssl, ok);
            if (why == SSL_ERROR_ZERO_RETURN) {
                link_end(l, NET_DOWN_CLOSED, NULL, true);
            } else if (why != SSL_ERROR_WANT_READ) {
                link_tls_failed(l);
            }
            return;
        }
        l->in.len += got;
        if (link_frames(l) == 0) {
            return;
        }
    }
}

static void link_handshake(struct net_link *l)
{
    ERR_clear_error();
    int ok = SSL_do_handshake(l->ssl);
    if (link_bytes_used(&l->wire) > 0) {
        net_turn_request(l->ep->env.turn, &l->flush);
    }
    if (ok != 1) {
        if (SSL_get_error(l->ssl, ok) != SSL_ERROR_WANT_READ) {
            link_tls_failed(l);
        }
        return;
    }
    l->state = LINK_HELLO;
    /* The dialler speaks first: its HELLO travels with the last flight of the handshake. */
    if (l->dialled) {
        link_send_hello(l);
    }
}

static void link_input(struct net_link *l)
{
    if (!link_make_ssl(l)) {
        link_end(l, NET_DOWN_SYSTEM, "out of memory", true);
        return;
    }
    if (l->state == LINK_HANDSHAKE) {
        link_handshake(l);
    }
    if (l->state == LINK_HELLO || l->state == LINK_UP) {
        link_read_records(l);
    }
    bool unknown = l->state == LINK_HANDSHAKE || l->state == LINK_HELLO;
    if (unknown && l->raw_in > LINK_BUDGET_BYTES) {
        link_end(l, NET_DOWN_BUDGET, NULL, true);
    }
}

static void link_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct net_link *l = handle->data;
    if (l->read_turn != l->ep->env.turn->number) {
        l->read_turn = l->ep->env.turn->number;
        l->read_left = LINK_TURN_BYTES;
    }
    /* What one peer sends at full speed must not keep the loop from the others, nor from timers:
     * without a buffer libuv asks again in the next turn. */
    *buf = uv_buf_init((char *)l->ep->read_buffer, l->read_left > 0 ? LINK_READ_BYTES : 0);
}

static void link_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct net_link *l = stream->data;
    if (n == 0 || n == UV_ENOBUFS || l->state == LINK_ENDED) {
        return;
    }
    if (n < 0) {
        link_end(l, NET_DOWN_CLOSED, n == UV_EOF ? NULL : uv_strerror((int)n), true);
        return;
    }
    l->raw_in += (uint64_t)n;
    l->read_left -= (size_t)n < l->read_left ? (size_t)n : l->read_left;
    l->ep->counters.bytes_in += (uint64_t)n;
    l->received = net_now();
    if (l->raw_in - l->proven_in >= LINK_STREAM_BYTES) {
        /* A long stream comes only while its acknowledgements arrive; a PONG may be far behind. */
        l->proven_in = l->raw_in;
        l->heard = l->received;
    }
    l->cipher = (const uint8_t *)buf->base;
    l->cipher_len = (size_t)n;
    link_input(l);
    if (l->state != LINK_ENDED) {
        l->cipher = NULL;
        l->cipher_len = 0;
    }
}

void link_read_start(struct net_link *l)
{
    int rc = uv_read_start((uv_stream_t *)&l->tcp, link_on_alloc, link_on_read);
    if (rc != 0) {
        link_doom(l, NET_DOWN_SYSTEM);
    } else if (l->dialled) {
        link_input(l);
    }
}
