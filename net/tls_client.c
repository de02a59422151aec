#include "net/tls_client.h"

#include <limits.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "base/assert.h"
#include "net/tls.h"

struct net_tls_trust {
    SSL_CTX *ctx;
    bool wants_node;
};

struct net_tls_client {
    SSL *ssl;
    BIO *in; /* both are the SSL's */
    BIO *out;
};

enum ts_err net_tls_trust_open(struct net_tls_trust **out, const char *authority,
                               struct ts_why *why)
{
    struct net_tls_trust *t = calloc(1, sizeof(*t));
    SSL_CTX *ctx = t == NULL ? NULL : net_tls_new_ctx(TLS_client_method());
    if (ctx == NULL) {
        free(t);
        return ts_why(why, TS_ERR_NOMEM, "OpenSSL cannot set up TLS 1.3");
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_load_verify_file(ctx, authority) != 1) {
        ERR_clear_error();
        SSL_CTX_free(ctx);
        free(t);
        return ts_why(why, TS_ERR_MALFORMED, "%s is not a PEM certificate", authority);
    }
    t->ctx = ctx;
    *out = t;
    return TS_OK;
}

enum ts_err net_tls_trust_show(struct net_tls_trust *t, const char *certificate, const char *key,
                               struct net_tls_identity *self, struct ts_why *why)
{
    if (SSL_CTX_use_certificate_chain_file(t->ctx, certificate) != 1) {
        ERR_clear_error();
        return ts_why(why, TS_ERR_MALFORMED, "%s is not a PEM certificate", certificate);
    }
    if (SSL_CTX_use_PrivateKey_file(t->ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(t->ctx) != 1) {
        ERR_clear_error();
        return ts_why(why, TS_ERR_AUTH, "%s is not the PEM key of %s (without a password)", key,
                      certificate);
    }
    if (net_tls_self(t->ctx, self) != TS_OK) {
        return ts_why(why, TS_ERR_AUTH,
                      "%s names no node (CN), cluster (O) and what it is for (OU): issue it with "
                      "`twinstep ca issue`",
                      certificate);
    }
    return TS_OK;
}

void net_tls_trust_want_node(struct net_tls_trust *t)
{
    t->wants_node = true;
}

void net_tls_trust_close(struct net_tls_trust *t)
{
    if (t != NULL) {
        SSL_CTX_free(t->ctx);
        free(t);
    }
}

struct net_tls_client *net_tls_client_open(const struct net_tls_trust *trust)
{
    struct net_tls_client *c = calloc(1, sizeof(*c));
    SSL *ssl = SSL_new(trust->ctx);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    if (c == NULL || ssl == NULL || in == NULL || out == NULL) {
        SSL_free(ssl);
        (void)BIO_free(in);
        (void)BIO_free(out);
        free(c);
        return NULL;
    }
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    if (trust->wants_node && SSL_set_tlsext_host_name(ssl, NET_TLS_NODE_NAME) != 1) {
        SSL_free(ssl); /* with both BIOs */
        free(c);
        return NULL;
    }
    *c = (struct net_tls_client){.ssl = ssl, .in = in, .out = out};
    (void)SSL_do_handshake(ssl); /* its first words */
    return c;
}

void net_tls_client_close(struct net_tls_client *c)
{
    if (c != NULL) {
        SSL_free(c->ssl);
        free(c);
    }
}

enum ts_err net_tls_client_take(struct net_tls_client *c, struct ts_bytes wire)
{
    ts_assert(wire.len <= INT_MAX);
    ERR_clear_error();
    if (BIO_write(c->in, wire.data, (int)wire.len) != (int)wire.len) {
        return TS_ERR_NOMEM;
    }
    int rc = SSL_is_init_finished(c->ssl) ? 1 : SSL_do_handshake(c->ssl);
    bool waits = rc == 1 || SSL_get_error(c->ssl, rc) == SSL_ERROR_WANT_READ;
    return waits ? TS_OK : TS_ERR_AUTH;
}

size_t net_tls_client_read(struct net_tls_client *c, uint8_t *out, size_t cap)
{
    size_t got = 0;
    ERR_clear_error();
    return SSL_is_init_finished(c->ssl) && SSL_read_ex(c->ssl, out, cap, &got) == 1 ? got : 0;
}

bool net_tls_client_is_ready(const struct net_tls_client *c)
{
    return SSL_is_init_finished(c->ssl) == 1;
}

enum ts_err net_tls_client_peer(const struct net_tls_client *c, struct net_tls_identity *out)
{
    return net_tls_client_is_ready(c) ? net_tls_peer(c->ssl, NET_TLS_NODE, out) : TS_ERR_AUTH;
}

enum ts_err net_tls_client_write(struct net_tls_client *c, struct ts_bytes plain)
{
    size_t wrote = 0;
    ts_assert(net_tls_client_is_ready(c));
    ERR_clear_error();
    for (size_t at = 0; at < plain.len; at += wrote) {
        if (SSL_write_ex(c->ssl, plain.data + at, plain.len - at, &wrote) != 1) {
            return TS_ERR_SYSTEM;
        }
    }
    return TS_OK;
}

struct ts_bytes net_tls_client_waiting(const struct net_tls_client *c)
{
    char *data = NULL;
    long len = BIO_get_mem_data(c->out, &data);
    return (struct ts_bytes){(const uint8_t *)data, len > 0 ? (size_t)len : 0};
}

void net_tls_client_sent(struct net_tls_client *c)
{
    (void)BIO_reset(c->out);
}
