#include "lab/resp_tls.h"

#include <stdlib.h>

#include <openssl/err.h>

#include "base/assert.h"
#include "lab/mem.h"
#include "net/tls.h"

struct lab_tls {
    SSL *ssl;
    BIO *in; /* both are the SSL's */
    BIO *out;
};

enum ts_err lab_tls_trust(SSL_CTX **out, const char *authority, struct ts_why *why)
{
    SSL_CTX *ctx = net_tls_new_ctx(TLS_client_method());
    if (ctx == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "OpenSSL cannot set up TLS 1.3");
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_load_verify_file(ctx, authority) != 1) {
        ERR_clear_error();
        SSL_CTX_free(ctx);
        return ts_why(why, TS_ERR_MALFORMED, "%s is not a PEM certificate", authority);
    }
    *out = ctx;
    return TS_OK;
}

struct lab_tls *lab_tls_open(SSL_CTX *trust)
{
    struct lab_tls *t = lab_calloc(1, sizeof(*t));
    t->ssl = SSL_new(trust);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    ts_assert(t->ssl != NULL && t->in != NULL && t->out != NULL);
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_connect_state(t->ssl);
    (void)SSL_do_handshake(t->ssl);
    return t;
}

void lab_tls_close(struct lab_tls *t)
{
    if (t != NULL) {
        SSL_free(t->ssl);
        free(t);
    }
}

enum ts_err lab_tls_take(struct lab_tls *t, struct ts_bytes wire)
{
    ERR_clear_error();
    ts_assert(BIO_write(t->in, wire.data, (int)wire.len) == (int)wire.len);
    int rc = SSL_is_init_finished(t->ssl) ? 1 : SSL_do_handshake(t->ssl);
    bool waits = rc == 1 || SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_READ;
    return waits ? TS_OK : TS_ERR_AUTH;
}

/* What is no more than a wait, and what is an end, shows by what comes of the connection. */
size_t lab_tls_read(struct lab_tls *t, uint8_t *out, size_t cap)
{
    size_t got = 0;
    ERR_clear_error();
    return SSL_is_init_finished(t->ssl) && SSL_read_ex(t->ssl, out, cap, &got) == 1 ? got : 0;
}

bool lab_tls_is_ready(const struct lab_tls *t)
{
    return SSL_is_init_finished(t->ssl) == 1;
}

void lab_tls_write(struct lab_tls *t, struct ts_bytes plain)
{
    size_t wrote = 0;
    ts_assert(lab_tls_is_ready(t));
    ERR_clear_error();
    for (size_t at = 0; at < plain.len; at += wrote) {
        if (SSL_write_ex(t->ssl, plain.data + at, plain.len - at, &wrote) != 1) {
            return; /* broken: the connection ends, and with it the request's outcome is unknown */
        }
    }
}

struct ts_bytes lab_tls_waiting(const struct lab_tls *t)
{
    char *data = NULL;
    long len = BIO_get_mem_data(t->out, &data);
    return (struct ts_bytes){(const uint8_t *)data, len > 0 ? (size_t)len : 0};
}

void lab_tls_sent(struct lab_tls *t)
{
    (void)BIO_reset(t->out);
}
