#include "net/tls_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/assert.h"
#include "net/tls.h"
#include "net/tls_web.h"

#define WIRE_FIRST (16U * 1024)

struct net_tls_server {
    char dir[NET_TLS_DIR_MAX];
    const char *protocols; /* of the web; NULL: none, and no certificates of clients */
    bool mutual;           /* clients show certificates */
    SSL_CTX *ctx;          /* of new connections */
    SSL_CTX *node; /* … of nodes that ask for the own certificate, when that is another one */
    struct net_tls_identity self; /* of the node's own certificate; "": it was never used */
    BIO_METHOD *bio;
};

struct net_tls_stream {
    SSL *ssl;
    SSL_CTX *node;     /* as of the server when it began; NULL: there is none. Owned */
    const uint8_t *in; /* of the present read, borrowed */
    size_t in_len;
    uint8_t *wire; /* owned */
    size_t wire_len;
    size_t wire_cap;
    bool ended;  /* the peer's part is over, … */
    bool closed; /* … and ours */
};

/* ---- the server ---- */

static SSL_CTX *new_ctx(void)
{
    SSL_CTX *ctx = net_tls_new_ctx(TLS_server_method());
    if (ctx != NULL) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    }
    return ctx;
}

/* Loads certificate and key into the context. */
static enum ts_err load_pair(SSL_CTX *ctx, const char *cert, const char *key, struct ts_why *why)
{
    if (access(cert, R_OK) != 0 || access(key, R_OK) != 0) {
        return ts_why(why, TS_ERR_NOT_FOUND,
                      "%s and %s are for clients' connections, and one of them is missing or "
                      "cannot be read: issue the node's certificate with `twinstep ca issue`, or "
                      "put client.pem and client.key there, both",
                      cert, key);
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
        ERR_clear_error();
        return ts_why(why, TS_ERR_MALFORMED, "%s is not a PEM certificate: put a good one there",
                      cert);
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        ERR_clear_error();
        return ts_why(why, TS_ERR_AUTH,
                      "%s is not the PEM key of %s (without a password): put the right one there",
                      key, cert);
    }
    return TS_OK;
}

/* The node's own certificate and key, as its links have them: what is refused there is refused
 * here. The authority is read for that alone, unless clients are asked for certificates. */
static enum ts_err load_own(const struct net_tls_server *t, SSL_CTX *ctx, const char *cert,
                            const char *key, struct net_tls_identity *self, struct ts_why *why)
{
    char authority[TS_PATH_MAX];
    enum ts_err err = load_pair(ctx, cert, key, why);
    err = err != TS_OK ? err : ts_path(authority, why, t->dir, "ca.pem");
    if (err == TS_OK && SSL_CTX_load_verify_file(ctx, authority) != 1) {
        ERR_clear_error();
        err = ts_why(why, TS_ERR_MALFORMED, "%s is missing or no PEM certificate", authority);
    }
    return err != TS_OK ? err
                        : net_tls_check_own(ctx, t->dir, t->self.node[0] == '\0' ? NULL : &t->self,
                                            self, why);
}

/* What new connections use, before it is taken. */
struct loaded {
    SSL_CTX *ctx;
    SSL_CTX *node;
    struct net_tls_identity self;
};

static void free_loaded(struct loaded *l)
{
    SSL_CTX_free(l->ctx);
    SSL_CTX_free(l->node);
    *l = (struct loaded){.ctx = NULL};
}

/* A context with client.pem (`given`), or with the node's own certificate. */
static enum ts_err load_ctx(const struct net_tls_server *t, bool given, SSL_CTX **out,
                            struct net_tls_identity *self, struct ts_why *why)
{
    char cert[TS_PATH_MAX];
    char key[TS_PATH_MAX];
    const char *kind = given ? "client" : "node";
    if (ts_path(cert, why, t->dir, "%s.pem", kind) != TS_OK ||
        ts_path(key, why, t->dir, "%s.key", kind) != TS_OK) {
        return TS_ERR_LIMIT;
    }
    SSL_CTX *ctx = new_ctx();
    if (ctx == NULL) {
        char text[160];
        net_tls_error(NULL, text, sizeof(text));
        return ts_why(why, TS_ERR_NOMEM, "OpenSSL cannot set up TLS 1.3: %s", text);
    }
    enum ts_err err =
        given ? load_pair(ctx, cert, key, why) : load_own(t, ctx, cert, key, self, why);
    if (err == TS_OK && t->protocols != NULL) {
        err = net_tls_web_set_up(ctx, t->dir, t->protocols, why);
    }
    if (err == TS_OK && t->mutual) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        SSL_CTX_set_verify_depth(ctx, 1);
    }
    if (err != TS_OK) {
        SSL_CTX_free(ctx);
        return err;
    }
    *out = ctx;
    return TS_OK;
}

/* Whose certificate is asked for, when clients see one of another authority. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct net_tls_stream *s = BIO_get_data(SSL_get_rbio(ssl));
    (void)alert;
    (void)arg;
    if (name != NULL && s->node != NULL && strcmp(name, NET_TLS_NODE_NAME) == 0) {
        (void)SSL_set_SSL_CTX(ssl, s->node);
    }
    return SSL_TLSEXT_ERR_OK;
}

/* Loads the directory; nodes that ask a port of the web see the own certificate in any case. */
static enum ts_err load(const struct net_tls_server *t, struct loaded *out, struct ts_why *why)
{
    char given[2][TS_PATH_MAX];
    *out = (struct loaded){.self = t->self};
    if (ts_path(given[0], why, t->dir, "client.pem") != TS_OK ||
        ts_path(given[1], why, t->dir, "client.key") != TS_OK) {
        return TS_ERR_LIMIT;
    }
    bool other = !t->mutual && (access(given[0], F_OK) == 0 || access(given[1], F_OK) == 0);
    enum ts_err err = load_ctx(t, other, &out->ctx, &out->self, why);
    if (err == TS_OK && other && t->protocols != NULL) {
        err = load_ctx(t, false, &out->node, &out->self, why);
        (void)SSL_CTX_set_tlsext_servername_callback(out->ctx, on_server_name);
    }
    if (err != TS_OK) {
        free_loaded(out);
    }
    return err;
}

enum ts_err net_tls_server_reload_all(struct net_tls_server *const *servers, size_t n,
                                      struct ts_why *why)
{
    struct loaded loaded[NET_TLS_SERVERS_MAX] = {{.ctx = NULL}};
    enum ts_err err = TS_OK;
    ts_assert(n <= NET_TLS_SERVERS_MAX);
    for (size_t i = 0; i < n && err == TS_OK; i++) {
        err = servers[i] == NULL ? TS_OK : load(servers[i], &loaded[i], why);
    }
    for (size_t i = 0; i < n; i++) {
        struct net_tls_server *t = servers[i];
        if (err == TS_OK && t != NULL) {
            struct loaded former = {.ctx = t->ctx, .node = t->node};
            t->ctx = loaded[i].ctx;
            t->node = loaded[i].node;
            t->self = loaded[i].self;
            loaded[i] = former;
        }
        free_loaded(&loaded[i]);
    }
    return err;
}

enum ts_err net_tls_server_reload(struct net_tls_server *t, struct ts_why *why)
{
    return net_tls_server_reload_all(&t, 1, why);
}

/* TLS reads the bytes of the present call… */
static int bio_read(BIO *bio, char *out, size_t cap, size_t *got)
{
    struct net_tls_stream *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *got = 0;
    if (s->in_len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *got = cap < s->in_len ? cap : s->in_len;
    memcpy(out, s->in, *got);
    s->in += *got;
    s->in_len -= *got;
    return 1;
}

/* … and its records wait for the caller. */
static int bio_write(BIO *bio, const char *data, size_t n, size_t *written)
{
    struct net_tls_stream *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *written = 0;
    if (s->wire_cap - s->wire_len < n) {
        size_t cap = s->wire_cap < WIRE_FIRST ? WIRE_FIRST : s->wire_cap;
        while (cap - s->wire_len < n) {
            cap *= 2;
        }
        uint8_t *more = realloc(s->wire, cap);
        if (more == NULL) {
            return 0;
        }
        s->wire = more;
        s->wire_cap = cap;
    }
    memcpy(s->wire + s->wire_len, data, n);
    s->wire_len += n;
    *written = n;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static enum ts_err open_server(struct net_tls_server **out, const char *dir, const char *protocols,
                               bool mutual, struct ts_why *why)
{
    struct net_tls_server *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory for clients' TLS");
    }
    t->protocols = protocols;
    t->mutual = mutual;
    int n = snprintf(t->dir, sizeof(t->dir), "%s", dir);
    t->bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "twinstep client");
    enum ts_err err = TS_OK;
    if (n < 0 || (size_t)n >= sizeof(t->dir)) {
        err = ts_why(why, TS_ERR_LIMIT, "the path %s is longer than %zu bytes", dir,
                     sizeof(t->dir) - 1);
    } else if (t->bio == NULL || BIO_meth_set_read_ex(t->bio, bio_read) != 1 ||
               BIO_meth_set_write_ex(t->bio, bio_write) != 1 ||
               BIO_meth_set_ctrl(t->bio, bio_ctrl) != 1) {
        err = ts_why(why, TS_ERR_NOMEM, "out of memory for clients' TLS");
    } else {
        err = net_tls_server_reload(t, why);
    }
    if (err != TS_OK) {
        net_tls_server_close(t);
        return err;
    }
    *out = t;
    return TS_OK;
}

enum ts_err net_tls_server_open(struct net_tls_server **out, const char *dir, struct ts_why *why)
{
    return open_server(out, dir, NULL, false, why);
}

enum ts_err net_tls_server_open_web(struct net_tls_server **out, const char *dir,
                                    const char *protocols, struct ts_why *why)
{
    return open_server(out, dir, protocols, false, why);
}

enum ts_err net_tls_server_open_mutual(struct net_tls_server **out, const char *dir,
                                       struct ts_why *why)
{
    return open_server(out, dir, NULL, true, why);
}

void net_tls_server_close(struct net_tls_server *t)
{
    SSL_CTX_free(t->ctx);
    SSL_CTX_free(t->node);
    BIO_meth_free(t->bio);
    free(t);
}

/* ---- a stream ---- */

struct net_tls_stream *net_tls_stream_open(const struct net_tls_server *t)
{
    struct net_tls_stream *s = calloc(1, sizeof(*s));
    SSL *ssl = s == NULL ? NULL : SSL_new(t->ctx);
    BIO *bio = ssl == NULL ? NULL : BIO_new(t->bio);
    if (bio == NULL) {
        SSL_free(ssl);
        free(s);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_accept_state(ssl);
    s->ssl = ssl;
    s->node = t->node != NULL && SSL_CTX_up_ref(t->node) == 1 ? t->node : NULL;
    return s;
}

void net_tls_stream_close(struct net_tls_stream *s)
{
    if (s == NULL) {
        return;
    }
    SSL_free(s->ssl);
    SSL_CTX_free(s->node);
    free(s->wire);
    free(s);
}

enum ts_err net_tls_stream_read(struct net_tls_stream *s, const uint8_t *wire, size_t n,
                                uint8_t *plain, size_t *got, bool *ended)
{
    size_t cap = n + NET_TLS_RECORD_MAX;
    enum ts_err err = TS_OK;
    s->in = wire;
    s->in_len = n;
    *got = 0;
    while (err == TS_OK && !s->ended && *got < cap) {
        size_t k = 0;
        ERR_clear_error();
        if (SSL_read_ex(s->ssl, plain + *got, cap - *got, &k) == 1) {
            *got += k;
            continue;
        }
        int code = SSL_get_error(s->ssl, 0);
        s->ended = code == SSL_ERROR_ZERO_RETURN;
        if (code == SSL_ERROR_WANT_READ) {
            break;
        }
        err = s->ended ? TS_OK : TS_ERR_MALFORMED;
    }
    ERR_clear_error();
    s->in = NULL;
    s->in_len = 0;
    *ended = s->ended;
    return err;
}

bool net_tls_stream_is_ready(const struct net_tls_stream *s)
{
    return SSL_is_init_finished(s->ssl) == 1;
}

bool net_tls_stream_speaks(const struct net_tls_stream *s, const char *protocol)
{
    const unsigned char *chosen = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(s->ssl, &chosen, &len);
    return len == strlen(protocol) && memcmp(chosen, protocol, len) == 0;
}

enum ts_err net_tls_stream_peer(const struct net_tls_stream *s, enum net_tls_role role,
                                struct net_tls_identity *out)
{
    bool shown = net_tls_stream_is_ready(s) && SSL_get0_peer_certificate(s->ssl) != NULL;
    return shown ? net_tls_peer(s->ssl, role, out) : TS_ERR_NOT_FOUND;
}

enum ts_err net_tls_stream_write(struct net_tls_stream *s, const uint8_t *plain, size_t n)
{
    while (n > 0) {
        size_t k = 0;
        ERR_clear_error();
        if (s->closed || SSL_write_ex(s->ssl, plain, n, &k) != 1) {
            ERR_clear_error();
            return TS_ERR_NOMEM;
        }
        plain += k;
        n -= k;
    }
    return TS_OK;
}

void net_tls_stream_end(struct net_tls_stream *s)
{
    if (s->closed || !net_tls_stream_is_ready(s)) {
        return;
    }
    s->closed = true;
    ERR_clear_error();
    (void)SSL_shutdown(s->ssl);
    ERR_clear_error();
}

size_t net_tls_stream_waiting(const struct net_tls_stream *s)
{
    return s->wire_len;
}

void net_tls_stream_take(struct net_tls_stream *s, uint8_t *spare, size_t spare_cap, uint8_t **data,
                         size_t *len, size_t *cap)
{
    *data = s->wire;
    *len = s->wire_len;
    *cap = s->wire_cap;
    s->wire = spare;
    s->wire_len = 0;
    s->wire_cap = spare_cap;
}
