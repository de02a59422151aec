#include "net/tls_web.h"

#include <stdint.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

/* Who speaks none of the protocols may go on without: HTTP/1.1 needs no name. */
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned int in_len, void *arg)
{
    const char *protocols = arg;
    unsigned char *chosen = NULL;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_len, (const unsigned char *)protocols,
                              (unsigned)strlen(protocols), in, in_len) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

enum ts_err net_tls_web_set_up(struct ssl_ctx_st *ctx, const char *dir, const char *protocols,
                               struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, dir, "ca.pem");
    if (err != TS_OK) {
        return err;
    }
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);
    if (names == NULL || SSL_CTX_load_verify_file(ctx, path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        ERR_clear_error();
        return ts_why(why, TS_ERR_MALFORMED,
                      "%s is missing or no PEM certificate, and it says whose certificates clients "
                      "may show: issue the node's certificate again with `twinstep ca issue`",
                      path);
    }
    SSL_CTX_set_client_CA_list(ctx, names); /* takes them */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_verify_depth(ctx, 1);
    SSL_CTX_set_alpn_select_cb(ctx, select_protocol, (void *)(uintptr_t)protocols);
    return TS_OK;
}
