/* Hostile and wrong peers at a node's port: each is refused and counted, and the link that
 * stands goes on. Node 1 listens; node 2 keeps a good link to it throughout. */
#include <sys/random.h>
#include <unistd.h>

#include "tests/unit/net_fixture.h"

#include "net/link_internal.h"
#include "net/listener.h"

#define PORT 7411
#define TYPE_ECHO 40
#define FLOOD 100

/* One endpoint with what happened to it. */
struct node {
    struct net_fixture *f;
    struct net_endpoint ep;
    bool drained;
    struct net_link *link; /* the last one that is up */
    unsigned ups;
    unsigned downs;
    enum net_down why;
    unsigned echoes;
};

struct world {
    struct net_fixture *f;
    struct node server;
    struct node good;
    struct node bad;
    struct net_listener *listener;
    struct sockaddr_storage address;
    struct net_tls bad_tls;
    char bad_dir[160];
    char other_ca[160];
};

static const char *node_name(const void *arg, struct ts_nic_id id)
{
    (void)arg;
    static const char *const names[] = {NULL, "nic1", "nic2", "arb3"};
    return id.v >= 1 && id.v <= 3 ? names[id.v] : NULL;
}

static void node_on_drained(void *arg)
{
    ((struct node *)arg)->drained = true;
}

static void node_on_up(void *arg, struct net_link *link, const struct net_hello *peer)
{
    struct node *n = arg;
    (void)peer;
    n->link = link;
    n->ups++;
}

static void node_on_frame(void *arg, struct net_link *link, uint8_t type, struct ts_bytes payload)
{
    struct node *n = arg;
    n->echoes++;
    if (type == TYPE_ECHO) {
        fx_ok(net_link_send(link, TYPE_ECHO + 1, payload), NULL);
    }
}

static void node_on_down(void *arg, struct net_link *link, enum net_down reason)
{
    struct node *n = arg;
    if (n->link == link) {
        n->link = NULL;
    }
    n->downs++;
    n->why = reason;
}

static const struct net_link_events node_events = {node_on_up, node_on_frame, node_on_down};

static void node_open(struct node *n, struct net_fixture *f, struct net_tls *tls, unsigned id)
{
    *n = (struct node){.f = f};
    n->ep = (struct net_endpoint){
        .env = fx_env(f, 1),
        .hello = {.cluster = "demo",
                  .node = {(uint16_t)id},
                  .purpose = NET_PURPOSE_REPLICA,
                  .group = {1},
                  .instance = {id + 1},
                  .start = 1},
        .name_of = node_name,
        .same_group = true,
        .connect_timeout_ns = 10 * TS_NS_PER_S,
        .handshake_timeout_ns = 10 * TS_NS_PER_S,
        .output_max = 16u << 20,
        .on_drained = node_on_drained,
        .drained_arg = n,
    };
    n->ep.env.tls = tls;
    fx_ok(net_endpoint_open(&n->ep), NULL);
}

static unsigned world_known(const void *arg, const struct sockaddr *from)
{
    (void)arg;
    const struct sockaddr_in *in = (const struct sockaddr_in *)from;
    unsigned last = ntohl(in->sin_addr.s_addr) & 0xff;
    return last <= 3 ? last : 0;
}

static void node_dial(struct node *n, struct world *w, unsigned from, unsigned expected)
{
    char text[CFG_ADDR_MAX];
    struct sockaddr_storage source;
    struct net_link *link = NULL;
    fx_address(text, 0, from);
    fx_ok(net_address(text, 0, &source), NULL);
    fx_ok(net_link_dial(&n->ep, (const struct sockaddr *)&source,
                        (const struct sockaddr *)&w->address,
                        (struct ts_nic_id){(uint16_t)expected}, &node_events, n, &link),
          NULL);
}

static bool node_is_up(void *arg)
{
    return ((const struct node *)arg)->link != NULL;
}

static bool node_is_down(void *arg)
{
    return ((const struct node *)arg)->downs > 0;
}

static bool node_is_drained(void *arg)
{
    return ((const struct node *)arg)->drained;
}

static bool node_has_echo(void *arg)
{
    return ((const struct node *)arg)->echoes > 0;
}

static void world_listen(struct world *w)
{
    struct net_listener_config config = {.ep = &w->server.ep,
                                         .address_count = 1,
                                         .events = &node_events,
                                         .arg = &w->server,
                                         .known = world_known};
    struct ts_why why = {.text = ""};
    fx_ok(net_address(w->f->cluster.nodes[0].paths[0], PORT, &w->address), NULL);
    config.addresses[0] = w->address;
    fx_ok(net_listener_open(&config, &w->listener, &why), &why);
}

static struct world *world_open(void)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->f = fx_open();
    node_open(&w->server, w->f, &w->f->tls[1], 1);
    node_open(&w->good, w->f, &w->f->tls[2], 2);
    world_listen(w);
    node_dial(&w->good, w, 2, 1);
    fx_until(w->f, node_is_up, &w->good);
    (void)snprintf(w->bad_dir, sizeof(w->bad_dir), "%s/bad", w->f->dir);
    (void)snprintf(w->other_ca, sizeof(w->other_ca), "%s/ca2", w->f->dir);
    return w;
}

/* The good link answers. */
static void world_check_good(struct world *w)
{
    w->good.echoes = 0;
    assert_int_equal(w->good.downs, 0);
    fx_ok(net_link_send(w->good.link, TYPE_ECHO, (struct ts_bytes){(const uint8_t *)"x", 1}), NULL);
    fx_until(w->f, node_has_echo, &w->good);
}

static void node_close(struct node *n)
{
    net_endpoint_close(&n->ep);
    fx_until(n->f, node_is_drained, n);
}

static void world_close(struct world *w)
{
    world_check_good(w);
    net_listener_close(w->listener);
    node_close(&w->server);
    node_close(&w->good);
    fx_ok(ts_dir_remove(w->bad_dir, NULL), NULL);
    fx_ok(ts_dir_remove(w->other_ca, NULL), NULL);
    fx_close(w->f);
    free(w);
}

static uint64_t refused(const struct world *w, enum net_down reason)
{
    return w->server.ep.counters.refused[reason];
}

/* Connects as `bad` with these files and this HELLO; waits for its end. */
static void world_refuses(struct world *w, struct net_tls *tls, struct net_hello hello,
                          enum net_down at_server)
{
    uint64_t before = refused(w, at_server);
    node_open(&w->bad, w->f, tls, 2);
    hello.version_min = w->bad.ep.hello.version_min;
    hello.version_max = w->bad.ep.hello.version_max;
    w->bad.ep.hello = hello;
    node_dial(&w->bad, w, 2, 1);
    fx_until(w->f, node_is_down, &w->bad);
    assert_int_equal(w->bad.ups, 0);
    while (refused(w, at_server) == before) {
        (void)uv_run(&w->f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(refused(w, at_server), before + 1);
    if (at_server == NET_DOWN_IDENTITY) {
        assert_int_equal(w->bad.why, NET_DOWN_DENIED);
    }
    node_close(&w->bad);
    world_check_good(w);
}

static struct net_hello hello_of(unsigned node)
{
    return (struct net_hello){.cluster = "demo",
                              .node = {(uint16_t)node},
                              .purpose = NET_PURPOSE_REPLICA,
                              .group = {1},
                              .instance = {5},
                              .start = 1};
}

/* A certificate of node 2 from `ca` with this validity. */
static void world_bad_files(struct world *w, const char *ca, struct ca_validity validity)
{
    struct ts_why why = {.text = ""};
    fx_ok(ca_issue(ca, "nic2", w->bad_dir, NULL, validity, &why), &why);
    fx_ok(net_tls_open(&w->bad_tls, w->bad_dir, &why), &why);
}

/* An authority of the same name is another authority. */
static void test_net_link_foreign_authority_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    struct ts_why why = {.text = ""};
    fx_ok(ca_init(w->other_ca, "demo", &why), &why);
    world_bad_files(w, w->other_ca, ca_validity_days(1));
    /* It trusts the right authority, so that only the server can refuse. */
    struct ts_why unused;
    char from[256];
    char to[256];
    int n = snprintf(from, sizeof(from), "%s/ca.pem", w->f->ca);
    assert_in_range(n, 1, sizeof(from) - 1);
    n = snprintf(to, sizeof(to), "%s/ca.pem", w->bad_dir);
    assert_in_range(n, 1, sizeof(to) - 1);
    fx_ok(ts_file_remove(to, &unused), &unused);
    assert_int_equal(link(from, to), 0);
    assert_int_equal(SSL_CTX_load_verify_file(w->bad_tls.ctx, to), 1);
    world_refuses(w, &w->bad_tls, hello_of(2), NET_DOWN_TLS);
    net_tls_close(&w->bad_tls);
    world_close(w);
}

/* Gives the context the certificate of an agent, and its key. */
static void world_bad_agent(struct world *w, const char *name)
{
    char path[256];
    struct ts_why why = {.text = ""};
    fx_ok(ca_issue_agent(w->f->ca, name, w->bad_dir, ca_validity_days(1), &why), &why);
    (void)snprintf(path, sizeof(path), "%s/node.pem", w->bad_dir);
    assert_int_equal(SSL_CTX_use_certificate_file(w->bad_tls.ctx, path, SSL_FILETYPE_PEM), 1);
    (void)snprintf(path, sizeof(path), "%s/node.key", w->bad_dir);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(w->bad_tls.ctx, path, SSL_FILETYPE_PEM), 1);
}

/* The agent of a transport node is no node, whatever its name: neither who dials a link nor who
 * answers one. */
static void test_net_link_of_an_agent_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_bad_files(w, w->f->ca, ca_validity_days(1));
    world_bad_agent(w, "nic2");
    world_refuses(w, &w->bad_tls, hello_of(2), NET_DOWN_IDENTITY);

    SSL_CTX *right = w->f->tls[1].ctx;
    world_bad_agent(w, "nic1");
    w->f->tls[1].ctx = w->bad_tls.ctx;
    node_open(&w->bad, w->f, &w->f->tls[2], 2);
    node_dial(&w->bad, w, 2, 1);
    fx_until(w->f, node_is_down, &w->bad);
    assert_int_equal(w->bad.why, NET_DOWN_TLS);
    w->f->tls[1].ctx = right;
    node_close(&w->bad);
    net_tls_close(&w->bad_tls);
    world_close(w);
}

/* Dates are checked when a connection is set up. */
static void test_net_link_expired_certificate_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    int64_t now = (int64_t)time(NULL);
    world_bad_files(w, w->f->ca, (struct ca_validity){now - 7200, now - 3600});
    world_refuses(w, &w->bad_tls, hello_of(2), NET_DOWN_TLS);
    net_tls_close(&w->bad_tls);
    world_bad_files(w, w->f->ca, (struct ca_validity){now + 3600, now + 7200});
    world_refuses(w, &w->bad_tls, hello_of(2), NET_DOWN_TLS);
    net_tls_close(&w->bad_tls);
    world_close(w);
}

/* No certificate at all, and an older TLS. */
static void test_net_link_no_certificate_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_bad_files(w, w->f->ca, ca_validity_days(1));
    SSL_CTX *right = w->bad_tls.ctx;
    w->bad_tls.ctx = SSL_CTX_new(TLS_method());
    assert_non_null(w->bad_tls.ctx);
    world_refuses(w, &w->bad_tls, hello_of(2), NET_DOWN_TLS);
    SSL_CTX_free(w->bad_tls.ctx);
    w->bad_tls.ctx = right;
    assert_int_equal(SSL_CTX_set_min_proto_version(right, TLS1_2_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(right, TLS1_2_VERSION), 1);
    world_refuses(w, &w->bad_tls, hello_of(2), NET_DOWN_TLS);
    net_tls_close(&w->bad_tls);
    world_close(w);
}

/* The certificate says who one is; the HELLO must say the same, and fit this side. */
static void test_net_link_hello_of_somebody_else_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    struct net_tls *nic2 = &w->f->tls[2];
    struct net_hello h = hello_of(3); /* configured, but another node's id */
    world_refuses(w, nic2, h, NET_DOWN_IDENTITY);
    h = hello_of(60); /* not configured */
    world_refuses(w, nic2, h, NET_DOWN_IDENTITY);
    h = hello_of(2);
    (void)snprintf(h.cluster, sizeof(h.cluster), "other");
    world_refuses(w, nic2, h, NET_DOWN_IDENTITY);
    h = hello_of(2);
    h.group.v = 2;
    world_refuses(w, nic2, h, NET_DOWN_IDENTITY);
    h = hello_of(2);
    h.purpose = NET_PURPOSE_VOTER;
    world_refuses(w, nic2, h, NET_DOWN_IDENTITY);
    /* A certificate of this authority for a node that the cluster does not have. */
    world_refuses(w, &w->f->tls[4], hello_of(2), NET_DOWN_IDENTITY);
    world_close(w);
}

/* Who dials checks, too: the node that answers must be the one meant. */
static void test_net_link_dial_other_node_answers_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    node_open(&w->bad, w->f, &w->f->tls[2], 2);
    node_dial(&w->bad, w, 2, 3);
    fx_until(w->f, node_is_down, &w->bad);
    assert_int_equal(w->bad.ups, 0);
    assert_int_equal(w->bad.why, NET_DOWN_IDENTITY);
    assert_int_equal(w->bad.ep.counters.failed[NET_DOWN_IDENTITY], 1);
    node_close(&w->bad);
    world_close(w);
}

/* Puts raw plain text into the link's TLS stream, as a hostile but certified peer may. */
static void put_raw(struct net_link *l, const void *data, size_t n)
{
    link_bytes_reserve(&l->out, n);
    memcpy(l->out.data + l->out.len, data, n);
    l->out.len += n;
    net_turn_request(l->ep->env.turn, &l->flush);
}

/* A certified peer whose first frames are these raw bytes instead of its HELLO. */
static void world_refuses_first(struct world *w, const void *data, size_t n, enum net_down reason)
{
    uint64_t before = refused(w, reason);
    node_open(&w->bad, w->f, &w->f->tls[2], 2);
    node_dial(&w->bad, w, 2, 1);
    /* Gathered now, they go out before the HELLO that is gathered when TLS stands. */
    put_raw(w->bad.ep.first, data, n);
    fx_until(w->f, node_is_down, &w->bad);
    assert_int_equal(refused(w, reason), before + 1);
    node_close(&w->bad);
    world_check_good(w);
}

static size_t raw_hello(uint8_t out[512], struct net_hello h, uint16_t version)
{
    uint8_t payload[NET_HELLO_PAYLOAD_MAX];
    struct ts_writer p = ts_writer_init(payload, sizeof(payload));
    h.version_min = version;
    h.version_max = version;
    net_hello_encode(&h, &p);
    struct ts_writer w = ts_writer_init(out, 512);
    net_frame_header(&w, NET_FRAME_HELLO, (uint32_t)p.len);
    ts_put_bytes(&w, payload, p.len);
    assert_false(w.failed);
    return w.len;
}

/* Frames that are none, before the peer is known. */
static void test_net_link_bad_first_frame_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    uint8_t bytes[512] = {0};
    world_refuses_first(w, "\xff\xff\xff\xff\x00", 5, NET_DOWN_OVERSIZED);
    world_refuses_first(w, "\x02\x01\x00\x00\x00", 5, NET_DOWN_OVERSIZED);
    world_refuses_first(w, "\x00\x00\x00\x00\x00", 5, NET_DOWN_MALFORMED);
    world_refuses_first(w, "\x01\x00\x00\x00\x20", 5, NET_DOWN_MALFORMED);
    world_refuses_first(w, "\x03\x00\x00\x00\x00zz", 7, NET_DOWN_MALFORMED);
    size_t n = raw_hello(bytes, hello_of(2), 9);
    world_refuses_first(w, bytes, n, NET_DOWN_VERSION);
    world_close(w);
}

/* Frames that are none from a peer that is known: its link ends, no other. */
static void world_drops_known(struct world *w, const void *data, size_t n, enum net_down reason)
{
    uint64_t before = w->server.ep.counters.lost[reason];
    node_open(&w->bad, w->f, &w->f->tls[2], 2);
    node_dial(&w->bad, w, 2, 1);
    fx_until(w->f, node_is_up, &w->bad);
    put_raw(w->bad.link, data, n);
    fx_until(w->f, node_is_down, &w->bad);
    assert_int_equal(w->server.ep.counters.lost[reason], before + 1);
    node_close(&w->bad);
    world_check_good(w);
}

static void test_net_link_bad_later_frame_ends_it(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_drops_known(w, "\x02\x00\x80\x00\x20", 5, NET_DOWN_OVERSIZED);
    world_drops_known(w, "\x00\x00\x00\x00\x20", 5, NET_DOWN_MALFORMED);
    world_drops_known(w, "\x01\x00\x00\x00\x00", 5, NET_DOWN_MALFORMED);  /* a second HELLO */
    world_drops_known(w, "\x02\x00\x00\x00\x01z", 6, NET_DOWN_MALFORMED); /* a short PING */
    world_drops_known(w, "\x09\x00\x00\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff", 13,
                      NET_DOWN_MALFORMED); /* a PONG from the future */
    world_close(w);
}

/* A raw TCP client that writes and waits for the end. */
struct raw {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    uv_buf_t data;
    bool half_close;
    bool closed;
    char buffer[4096];
};

static void raw_on_closed(uv_handle_t *handle)
{
    ((struct raw *)handle->data)->closed = true;
}

static void raw_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct raw *r = handle->data;
    *buf = uv_buf_init(r->buffer, sizeof(r->buffer));
}

static void raw_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    if (n < 0 && !uv_is_closing((uv_handle_t *)stream)) {
        uv_close((uv_handle_t *)stream, raw_on_closed);
    }
}

static void raw_on_written(uv_write_t *request, int status)
{
    struct raw *r = request->data;
    (void)status;
    if (r->half_close && !uv_is_closing((uv_handle_t *)&r->tcp)) {
        uv_close((uv_handle_t *)&r->tcp, raw_on_closed);
    }
}

static void raw_on_connect(uv_connect_t *request, int status)
{
    struct raw *r = request->data;
    if (status != 0) {
        if (!uv_is_closing((uv_handle_t *)&r->tcp)) {
            uv_close((uv_handle_t *)&r->tcp, raw_on_closed);
        }
        return;
    }
    (void)uv_read_start((uv_stream_t *)&r->tcp, raw_on_alloc, raw_on_read);
    if (r->data.len > 0) {
        (void)uv_write(&r->write, (uv_stream_t *)&r->tcp, &r->data, 1, raw_on_written);
    }
}

static void raw_open(struct raw *r, struct world *w, unsigned from, const void *data, size_t n)
{
    char text[CFG_ADDR_MAX];
    struct sockaddr_storage source;
    *r = (struct raw){.closed = false};
    (void)uv_tcp_init(&w->f->loop, &r->tcp);
    r->tcp.data = r;
    r->connect.data = r;
    r->write.data = r;
    r->data = uv_buf_init((char *)(uintptr_t)data, (unsigned)n);
    fx_address(text, 0, from);
    fx_ok(net_address(text, 0, &source), NULL);
    assert_int_equal(uv_tcp_bind(&r->tcp, (const struct sockaddr *)&source, 0), 0);
    assert_int_equal(
        uv_tcp_connect(&r->connect, &r->tcp, (const struct sockaddr *)&w->address, raw_on_connect),
        0);
}

static bool raw_is_closed(void *arg)
{
    return ((const struct raw *)arg)->closed;
}

static uint64_t refused_all(const struct world *w)
{
    uint64_t sum = 0;
    for (int i = 0; i < NET_DOWN_REASONS; i++) {
        sum += w->server.ep.counters.refused[i];
    }
    return sum;
}

static void world_refuses_raw(struct world *w, const void *data, size_t n)
{
    struct raw r;
    uint64_t before = refused_all(w);
    raw_open(&r, w, 9, data, n);
    fx_until(w->f, raw_is_closed, &r);
    assert_int_equal(refused_all(w), before + 1);
    world_check_good(w);
}

/* Plain text, random bytes, and a handshake that never ends in bytes. */
static void test_net_listener_bytes_that_are_no_tls_are_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_refuses_raw(w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
    world_refuses_raw(w, "*1\r\n$4\r\nPING\r\n", 14);
    uint8_t noise[2048];
    for (unsigned i = 0; i < 20; i++) {
        fx_ok(net_random(noise, sizeof(noise)), NULL);
        noise[0] |= 0x80; /* never the type of a TLS record, which might make it wait for more */
        world_refuses_raw(w, noise, sizeof(noise));
    }
    /* A ClientHello of 100 kB, in records of the largest size: cut at the budget. */
    static uint8_t endless[5 * (16384 + 5)];
    static const uint8_t record[5] = {0x16, 0x03, 0x01, 0x40, 0x00};
    static const uint8_t hello[6] = {0x01, 0x01, 0x86, 0xa0, 0x03, 0x03};
    for (size_t i = 0; i < 5; i++) {
        memcpy(endless + i * (16384 + 5), record, sizeof(record));
    }
    memcpy(endless + 5, hello, sizeof(hello));
    world_refuses_raw(w, endless, sizeof(endless));
    assert_true(refused(w, NET_DOWN_BUDGET) + refused(w, NET_DOWN_TLS) > 0);
    world_close(w);
}

/* A handshake cut at each of its first bytes. */
static void test_net_listener_truncated_handshake_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    SSL *ssl = SSL_new(w->f->tls[2].ctx);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    SSL_set_connect_state(ssl);
    assert_int_equal(SSL_do_handshake(ssl), -1);
    char *hello = NULL;
    long n = BIO_get_mem_data(out, &hello);
    assert_true(n > 64);
    for (long len = 1; len <= n; len += 1 + n / 24) {
        struct raw r;
        raw_open(&r, w, 9, hello, (size_t)len);
        r.half_close = true;
        fx_until(w->f, raw_is_closed, &r);
        world_check_good(w);
    }
    SSL_free(ssl);
    world_close(w);
}

/* Whoever connects and is silent is sent away, known address or not. */
static void test_net_listener_slow_handshake_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    struct raw r[2];
    w->server.ep.handshake_timeout_ns = 50 * TS_NS_PER_MS;
    raw_open(&r[0], w, 9, "", 0);
    raw_open(&r[1], w, 3, "\x16", 1);
    fx_until(w->f, raw_is_closed, &r[0]);
    fx_until(w->f, raw_is_closed, &r[1]);
    assert_int_equal(refused(w, NET_DOWN_HANDSHAKE_TIMEOUT), 2);
    world_close(w);
}

static bool flood_is_shed(void *arg)
{
    const struct world *w = arg;
    return refused(w, NET_DOWN_HALF_OPEN) >= FLOOD - NET_HALF_OPEN_STRANGERS - 1;
}

/* A hundred silent strangers: the oldest go, a node with a configured address still gets in. */
static void test_net_listener_flood_of_strangers_is_shed(void **state)
{
    (void)state;
    struct world *w = world_open();
    struct raw *r = calloc(FLOOD, sizeof(*r));
    assert_non_null(r);
    for (unsigned i = 0; i < FLOOD; i++) {
        raw_open(&r[i], w, 9, "", 0);
    }
    fx_until(w->f, flood_is_shed, w);
    world_check_good(w);
    node_open(&w->bad, w->f, &w->f->tls[3], 3);
    node_dial(&w->bad, w, 3, 1);
    fx_until(w->f, node_is_up, &w->bad);
    node_close(&w->bad);
    for (unsigned i = 0; i < FLOOD; i++) {
        if (!uv_is_closing((uv_handle_t *)&r[i].tcp)) {
            uv_close((uv_handle_t *)&r[i].tcp, raw_on_closed);
        }
        fx_until(w->f, raw_is_closed, &r[i]);
    }
    free(r);
    world_close(w);
}

/* The limit of connections, and strangers beyond the rate. */
static bool many_are_refused(void *arg)
{
    const struct world *w = arg;
    return refused(w, NET_DOWN_RATE) >= 100;
}

static void test_net_listener_strangers_beyond_the_rate_are_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    unsigned count = 0;
    while (!many_are_refused(w)) {
        struct raw *r = calloc(64, sizeof(*r));
        assert_non_null(r);
        for (unsigned i = 0; i < 64; i++) {
            raw_open(&r[i], w, 9, "GET / HTTP/1.1\r\n", 16);
        }
        for (unsigned i = 0; i < 64; i++) {
            fx_until(w->f, raw_is_closed, &r[i]);
        }
        free(r);
        count += 64;
    }
    assert_true(count >= NET_STRANGERS_PER_S);
    world_close(w);
}

static const uint8_t zeros[1 << 16];

/* A peer that does not read: the sender's memory is bounded, the link ends, the others go on. */
static void test_net_link_send_peer_does_not_read_ends_it(void **state)
{
    (void)state;
    struct world *w = world_open();
    node_open(&w->bad, w->f, &w->f->tls[2], 2);
    node_dial(&w->bad, w, 2, 1);
    w->server.link = NULL;
    fx_until(w->f, node_is_up, &w->server);
    fx_until(w->f, node_is_up, &w->bad);
    (void)uv_read_stop((uv_stream_t *)&w->bad.link->tcp);
    assert_int_equal(w->server.downs, 0);
    enum ts_err err = TS_OK;
    unsigned sent = 0;
    while (err == TS_OK) {
        err = net_link_send(w->server.link, 50, (struct ts_bytes){zeros, sizeof(zeros)});
        (void)uv_run(&w->f->loop, UV_RUN_NOWAIT);
        sent++;
    }
    assert_int_equal(err, TS_ERR_FULL);
    assert_true(sent > w->server.ep.output_max / sizeof(zeros));
    fx_until(w->f, node_is_down, &w->server);
    assert_int_equal(w->server.why, NET_DOWN_OVERFLOW);
    node_close(&w->bad);
    world_close(w);
}

static bool good_heard_more(void *arg)
{
    struct world *w = arg;
    return net_link_heard(w->good.link).ns > w->good.link->since.ns &&
           net_link_heard(w->good.link).ns >= w->server.ep.hello.start;
}

/* An answered PING proves the round trip from the time it was sent. */
static void test_net_link_ping_answer_moves_heard(void **state)
{
    (void)state;
    struct world *w = world_open();
    w->server.ep.hello.start = net_now().ns; /* a mark only */
    net_link_ping(w->good.link);
    fx_until(w->f, good_heard_more, w);
    assert_true(net_link_heard(w->good.link).ns <= net_now().ns);
    world_close(w);
}

/* New connections use reloaded files; the link that stands is not touched. */
static void test_net_tls_reload_new_connections_use_it(void **state)
{
    (void)state;
    struct world *w = world_open();
    struct ts_why why = {.text = ""};
    fx_ok(ca_init(w->other_ca, "demo", &why), &why);
    fx_ok(ca_issue(w->other_ca, "nic1", w->f->tls_dir[1], NULL, ca_validity_days(1), &why), &why);
    fx_ok(net_tls_reload(&w->f->tls[1], &why), &why);
    world_refuses(w, &w->f->tls[2], hello_of(2), NET_DOWN_TLS);
    world_bad_files(w, w->other_ca, ca_validity_days(1));
    node_open(&w->bad, w->f, &w->bad_tls, 2);
    node_dial(&w->bad, w, 2, 1);
    fx_until(w->f, node_is_up, &w->bad);
    node_close(&w->bad);
    net_tls_close(&w->bad_tls);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net_link_foreign_authority_is_refused),
        cmocka_unit_test(test_net_link_of_an_agent_is_refused),
        cmocka_unit_test(test_net_link_expired_certificate_is_refused),
        cmocka_unit_test(test_net_link_no_certificate_is_refused),
        cmocka_unit_test(test_net_link_hello_of_somebody_else_is_refused),
        cmocka_unit_test(test_net_link_dial_other_node_answers_is_refused),
        cmocka_unit_test(test_net_link_bad_first_frame_is_refused),
        cmocka_unit_test(test_net_link_bad_later_frame_ends_it),
        cmocka_unit_test(test_net_listener_bytes_that_are_no_tls_are_refused),
        cmocka_unit_test(test_net_listener_truncated_handshake_is_refused),
        cmocka_unit_test(test_net_listener_slow_handshake_is_refused),
        cmocka_unit_test(test_net_listener_flood_of_strangers_is_shed),
        cmocka_unit_test(test_net_listener_strangers_beyond_the_rate_are_refused),
        cmocka_unit_test(test_net_link_send_peer_does_not_read_ends_it),
        cmocka_unit_test(test_net_link_ping_answer_moves_heard),
        cmocka_unit_test(test_net_tls_reload_new_connections_use_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
