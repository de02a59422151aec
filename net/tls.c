#include "net/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/assert.h"
#include "net/ca.h"

/* Hardware AES first: 785 MB/s were measured at full records. */
#define TLS_CIPHERS "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define TLS_GROUPS "X25519:P-256"

void net_tls_error(const SSL *ssl, char *out, size_t cap)
{
    unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    long verify = ssl == NULL ? X509_V_OK : SSL_get_verify_result(ssl);
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    if (verify != X509_V_OK) {
        (void)snprintf(out, cap, "the peer's certificate is refused: %s",
                       X509_verify_cert_error_string(verify));
    } else if (reason != NULL) {
        (void)snprintf(out, cap, "%s", reason);
    } else {
        (void)snprintf(out, cap, "unknown TLS error");
    }
}

/* Exactly one field of this kind, without embedded NUL. */
static bool tls_name_field(const X509_NAME *name, int nid, char out[NET_NAME_MAX])
{
    int at = X509_NAME_get_index_by_NID(name, nid, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(name, nid, at) >= 0) {
        return false;
    }
    const ASN1_STRING *text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    unsigned char *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, text);
    if (len < 0) {
        return false;
    }
    bool ok = len >= 1 && len < NET_NAME_MAX && memchr(utf8, 0, (size_t)len) == NULL;
    if (ok) {
        memcpy(out, utf8, (size_t)len);
        out[len] = '\0';
    }
    OPENSSL_free(utf8);
    return ok;
}

/* False: its OU is none that this release knows, so nobody knows what its owner may. */
static bool tls_role(const X509_NAME *name, enum net_tls_role *out)
{
    char unit[NET_NAME_MAX];
    if (X509_NAME_get_index_by_NID(name, NID_organizationalUnitName, -1) < 0) {
        *out = NET_TLS_NODE;
        return true;
    }
    *out = NET_TLS_AGENT;
    return tls_name_field(name, NID_organizationalUnitName, unit) &&
           strcmp(unit, CA_AGENT_UNIT) == 0;
}

static enum ts_err tls_identity(const X509 *cert, struct net_tls_identity *out)
{
    struct net_tls_identity id = {.role = NET_TLS_NODE};
    const X509_NAME *name = X509_get_subject_name(cert);
    if (name == NULL || !tls_name_field(name, NID_commonName, id.node) ||
        !tls_name_field(name, NID_organizationName, id.cluster) || !tls_role(name, &id.role)) {
        ERR_clear_error();
        return TS_ERR_AUTH;
    }
    *out = id;
    return TS_OK;
}

enum ts_err net_tls_peer(const SSL *ssl, enum net_tls_role role, struct net_tls_identity *out)
{
    const X509 *cert = SSL_get0_peer_certificate(ssl);
    if (cert == NULL || SSL_get_verify_result(ssl) != X509_V_OK) {
        return TS_ERR_AUTH;
    }
    enum ts_err err = tls_identity(cert, out);
    return err == TS_OK && out->role != role ? TS_ERR_REFUSED : err;
}

enum ts_err net_tls_self(SSL_CTX *ctx, struct net_tls_identity *out)
{
    return tls_identity(SSL_CTX_get0_certificate(ctx), out);
}

/* Without this OpenSSL would ask on the terminal for the password of an encrypted key. */
static int tls_no_password(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

SSL_CTX *net_tls_new_ctx(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx == NULL) {
        return NULL;
    }
    SSL_CTX_set_default_passwd_cb(ctx, tls_no_password);
    /* No resumption: every connection proves its certificate anew. */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_mode(ctx,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
        SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, TLS_CIPHERS) != 1 ||
        SSL_CTX_set1_groups_list(ctx, TLS_GROUPS) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

/* A file that is missing or unreadable, told apart from one that is no PEM. */
static enum ts_err tls_check_file(const char *path, struct ts_why *why)
{
    uint8_t *data = NULL;
    size_t len = 0;
    enum ts_err err = ts_file_read(path, 1u << 20, &data, &len, why);
    if (err == TS_ERR_NOT_FOUND) {
        return ts_why(why, err,
                      "%s is missing: issue this node's certificate with `twinstep ca issue`",
                      path);
    }
    if (err == TS_OK) {
        OPENSSL_cleanse(data, len);
        free(data);
    }
    return err;
}

static enum ts_err tls_load_files(SSL_CTX *ctx, const char *dir, struct ts_why *why)
{
    char path[3][TS_PATH_MAX];
    static const char *const names[3] = {"ca.pem", "node.pem", "node.key"};
    for (size_t i = 0; i < 3; i++) {
        enum ts_err err = ts_path(path[i], why, dir, "%s", names[i]);
        if (err == TS_OK) {
            err = tls_check_file(path[i], why);
        }
        if (err != TS_OK) {
            return err;
        }
    }
    int bad = -1;
    if (SSL_CTX_load_verify_file(ctx, path[0]) != 1) {
        bad = 0;
    } else if (SSL_CTX_use_certificate_file(ctx, path[1], SSL_FILETYPE_PEM) != 1) {
        bad = 1;
    } else if (SSL_CTX_use_PrivateKey_file(ctx, path[2], SSL_FILETYPE_PEM) != 1) {
        bad = 2;
    }
    bool mismatch = bad == 2 && ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
    ERR_clear_error();
    if (mismatch || (bad < 0 && SSL_CTX_check_private_key(ctx) != 1)) {
        ERR_clear_error();
        return ts_why(why, TS_ERR_AUTH,
                      "%s does not belong to %s: issue the node's certificate again with "
                      "`twinstep ca issue`",
                      path[2], path[1]);
    }
    if (bad >= 0) {
        return ts_why(why, TS_ERR_MALFORMED,
                      "%s is not a PEM file of the kind it must be: issue the node's certificate "
                      "again with `twinstep ca issue`",
                      path[bad]);
    }
    return TS_OK;
}

/* Whether the node's certificate comes from ca.pem, dates aside: an expired one is refused
 * by the peers when a connection is set up, and the operator is told there. */
static enum ts_err tls_check_chain(SSL_CTX *ctx, X509 *cert, const char *dir, struct ts_why *why)
{
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    if (check == NULL || X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(ctx), cert, NULL) != 1) {
        X509_STORE_CTX_free(check);
        return TS_ERR_NOMEM;
    }
    X509_STORE_CTX_set_flags(check, X509_V_FLAG_NO_CHECK_TIME);
    int ok = X509_verify_cert(check);
    int code = X509_STORE_CTX_get_error(check);
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    if (ok == 1) {
        return TS_OK;
    }
    return ts_why(why, TS_ERR_AUTH,
                  "%s/node.pem is not from the authority in %s/ca.pem (%s): issue it again with "
                  "`twinstep ca issue`",
                  dir, dir, X509_verify_cert_error_string(code));
}

static int64_t tls_seconds(const ASN1_TIME *date)
{
    struct tm tm = {0};
    if (ASN1_TIME_to_tm(date, &tm) != 1) {
        ERR_clear_error();
        return 0;
    }
    return (int64_t)timegm(&tm);
}

enum ts_err net_tls_check_own(SSL_CTX *ctx, const char *dir, const struct net_tls_identity *keep,
                              struct net_tls_identity *self, struct ts_why *why)
{
    X509 *cert = SSL_CTX_get0_certificate(ctx);
    enum ts_err err = tls_check_chain(ctx, cert, dir, why);
    if (err != TS_OK) {
        return err;
    }
    if (tls_identity(cert, self) != TS_OK) {
        return ts_why(why, TS_ERR_LIMIT,
                      "%s/node.pem names no node (CN) and cluster (O) of 1 to %d bytes: issue it "
                      "with `twinstep ca issue`",
                      dir, NET_NAME_MAX - 1);
    }
    if (self->role != NET_TLS_NODE) {
        return ts_why(why, TS_ERR_AUTH,
                      "%s/node.pem is of the agent of transport node %s, and no node's: issue this "
                      "node's with `twinstep ca issue --node`",
                      dir, self->node);
    }
    if (keep != NULL &&
        (strcmp(self->node, keep->node) != 0 || strcmp(self->cluster, keep->cluster) != 0)) {
        return ts_why(why, TS_ERR_AUTH,
                      "%s/node.pem is of node %s of cluster %s, and this is %s of %s: issue this "
                      "node's with `twinstep ca issue`",
                      dir, self->node, self->cluster, keep->node, keep->cluster);
    }
    return TS_OK;
}

/* `keep`: the names must be these; NULL: any. */
static enum ts_err tls_load(struct net_tls *t, const char *dir, const struct net_tls_identity *keep,
                            struct ts_why *why)
{
    SSL_CTX *ctx = net_tls_new_ctx(TLS_method());
    if (ctx == NULL) {
        char text[160];
        net_tls_error(NULL, text, sizeof(text));
        return ts_why(why, TS_ERR_NOMEM, "OpenSSL cannot set up TLS 1.3: %s", text);
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_verify_depth(ctx, 1);
    struct net_tls_identity self = {.node = ""};
    enum ts_err err = tls_load_files(ctx, dir, why);
    err = err != TS_OK ? err : net_tls_check_own(ctx, dir, keep, &self, why);
    if (err != TS_OK) {
        SSL_CTX_free(ctx);
        return err;
    }
    const X509 *cert = SSL_CTX_get0_certificate(ctx);
    SSL_CTX_free(t->ctx);
    t->ctx = ctx;
    t->self = self;
    t->not_before = tls_seconds(X509_get0_notBefore(cert));
    t->not_after = tls_seconds(X509_get0_notAfter(cert));
    return TS_OK;
}

static enum ts_err tls_open(struct net_tls *t, const char *dir, const struct net_tls_identity *self,
                            struct ts_why *why)
{
    *t = (struct net_tls){.ctx = NULL};
    int n = snprintf(t->dir, sizeof(t->dir), "%s", dir);
    if (n < 0 || (size_t)n >= sizeof(t->dir)) {
        return ts_why(why, TS_ERR_LIMIT, "the path %s is longer than %zu bytes", dir,
                      sizeof(t->dir) - 1);
    }
    return tls_load(t, dir, self, why);
}

enum ts_err net_tls_open(struct net_tls *t, const char *dir, struct ts_why *why)
{
    return tls_open(t, dir, NULL, why);
}

enum ts_err net_tls_open_as(struct net_tls *t, const char *dir, const char *node,
                            const char *cluster, struct ts_why *why)
{
    struct net_tls_identity self = {.node = ""};
    int n = snprintf(self.node, sizeof(self.node), "%s", node);
    int c = snprintf(self.cluster, sizeof(self.cluster), "%s", cluster);
    if (n < 0 || c < 0 || (size_t)n >= sizeof(self.node) || (size_t)c >= sizeof(self.cluster)) {
        *t = (struct net_tls){.ctx = NULL};
        return ts_why(why, TS_ERR_LIMIT,
                      "the name of node %s or cluster %s is longer than %d bytes", node, cluster,
                      NET_NAME_MAX - 1);
    }
    return tls_open(t, dir, &self, why);
}

enum ts_err net_tls_reload(struct net_tls *t, struct ts_why *why)
{
    struct net_tls_identity self = t->self;
    return tls_load(t, t->dir, &self, why);
}

const char *net_tls_date(int64_t s, char out[NET_TLS_DATE_MAX])
{
    time_t t = (time_t)s;
    struct tm tm = {0};
    if (gmtime_r(&t, &tm) == NULL ||
        strftime(out, NET_TLS_DATE_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        (void)snprintf(out, NET_TLS_DATE_MAX, "an unknown date");
    }
    return out;
}

void net_tls_renew(struct net_tls *t, const struct net_log *log)
{
    struct ts_why why = {.text = ""};
    char date[NET_TLS_DATE_MAX];
    enum ts_err err = net_tls_reload(t, &why);
    (void)net_tls_date(t->not_after, date);
    if (err == TS_OK) {
        net_log(log, NET_LOG_INFO, "new links use the certificate of %s that holds until %s",
                t->self.node, date);
    } else {
        net_log(log, NET_LOG_ERROR,
                "the certificate was not renewed, new links use the one that holds until %s: %s",
                date, why.text[0] == '\0' ? ts_err_text(err) : why.text);
    }
}

void net_tls_close(struct net_tls *t)
{
    SSL_CTX_free(t->ctx);
    t->ctx = NULL;
}
