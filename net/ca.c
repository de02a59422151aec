#include "net/ca.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/io/files.h"

#define CA_FILE_BYTES_MAX (64u << 10)
#define CA_SERIAL_BYTES 16
#define CA_DAY_S 86400
#define CA_SKEW_S 3600 /* clocks of nodes may be this late */

/* A certificate with its key; both owned. */
#define ALTERNATIVES_MAX (CA_NAME_MAX + 8 + CA_ADDRESSES_MAX * (INET6_ADDRSTRLEN + 4))

struct ca_pair {
    X509 *cert;
    EVP_PKEY *key;
};

/* What is to be issued; all borrowed. */
struct ca_order {
    const char *node;
    const char *unit;                     /* OU; NULL: none */
    const char *usage;                    /* sides of TLS */
    const struct ca_addresses *addresses; /* NULL: none */
    bool is_server;                       /* it bears the names by which clients verify it */
    bool has_heartbeat;                   /* the key of the heartbeats comes with it */
    struct ca_validity validity;
};

static void ca_pair_free(struct ca_pair *p)
{
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
    *p = (struct ca_pair){.cert = NULL};
}

struct ca_validity ca_validity_days(unsigned days)
{
    int64_t now = (int64_t)time(NULL);
    return (struct ca_validity){.not_before = now - CA_SKEW_S,
                                .not_after = now + (int64_t)days * CA_DAY_S};
}

static enum ts_err ca_crypto_failed(struct ts_why *why, const char *what)
{
    char text[160];
    ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    ERR_clear_error();
    return ts_why(why, TS_ERR_SYSTEM, "OpenSSL cannot %s: %s", what, text);
}

static enum ts_err ca_check_name(const char *what, const char *name, struct ts_why *why)
{
    size_t len = strlen(name);
    if (len < 1 || len > CA_NAME_MAX) {
        return ts_why(why, TS_ERR_LIMIT, "the %s name has %zu bytes: give 1 to %d", what, len,
                      CA_NAME_MAX);
    }
    return TS_OK;
}

static bool ca_add_name(X509_NAME *name, const char *field, const char *text)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)text, -1,
                                      -1, 0) == 1;
}

static bool ca_add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (ext == NULL) {
        return false;
    }
    bool ok = X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

static bool ca_set_serial(X509 *cert)
{
    unsigned char bytes[CA_SERIAL_BYTES];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return false;
    }
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive and of full length */
    BIGNUM *bn = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool ok = bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;
    BN_free(bn);
    return ok;
}

/* A certificate with everything but issuer, extensions and signature. */
static X509 *ca_new_cert(EVP_PKEY *key, const char *common_name, const char *unit,
                         const char *cluster, struct ca_validity validity)
{
    X509 *cert = X509_new();
    if (cert == NULL) {
        return NULL;
    }
    X509_NAME *name = X509_get_subject_name(cert);
    if (X509_set_version(cert, X509_VERSION_3) != 1 || !ca_set_serial(cert) ||
        ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)validity.not_before) == NULL ||
        ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)validity.not_after) == NULL ||
        !ca_add_name(name, "O", cluster) || (unit != NULL && !ca_add_name(name, "OU", unit)) ||
        !ca_add_name(name, "CN", common_name) || X509_set_pubkey(cert, key) != 1) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

static bool ca_finish_authority(X509 *cert, EVP_PKEY *key)
{
    return X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 &&
           ca_add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           ca_add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
           ca_add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
           X509_sign(cert, key, EVP_sha256()) > 0;
}

/* "DNS:nic1,IP:10.0.0.1,…"; what is in it was looked at. */
static void ca_alternative_names(const char *node, const struct ca_addresses *addresses,
                                 char out[ALTERNATIVES_MAX])
{
    int len = snprintf(out, ALTERNATIVES_MAX, "DNS:%s", node);
    for (size_t i = 0; addresses != NULL && i < addresses->count; i++) {
        len += snprintf(out + len, ALTERNATIVES_MAX - (size_t)len, ",IP:%s", addresses->address[i]);
    }
}

static enum ts_err ca_check_addresses(const struct ca_addresses *addresses, struct ts_why *why)
{
    for (size_t i = 0; addresses != NULL && i < addresses->count; i++) {
        const char *text = addresses->address[i];
        uint8_t bytes[16];
        if (inet_pton(AF_INET, text, bytes) != 1 && inet_pton(AF_INET6, text, bytes) != 1) {
            return ts_why(why, TS_ERR_MALFORMED,
                          "\"%.60s\" is no address: write it in numbers, without a prefix", text);
        }
    }
    return TS_OK;
}

static bool ca_finish_node(X509 *cert, const struct ca_pair *authority,
                           const struct ca_order *order)
{
    char alternatives[ALTERNATIVES_MAX];
    X509 *issuer = authority->cert;
    ca_alternative_names(order->node, order->addresses, alternatives);
    return X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
           ca_add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           ca_add_extension(cert, issuer, NID_key_usage, "critical,digitalSignature") &&
           ca_add_extension(cert, issuer, NID_ext_key_usage, order->usage) &&
           ca_add_extension(cert, issuer, NID_subject_key_identifier, "hash") &&
           ca_add_extension(cert, issuer, NID_authority_key_identifier, "keyid:always") &&
           (!order->is_server ||
            ca_add_extension(cert, issuer, NID_subject_alt_name, alternatives)) &&
           X509_sign(cert, authority->key, EVP_sha256()) > 0;
}

/* Writes what the memory BIO holds to DIR/name. */
static enum ts_err ca_write_bio(BIO *bio, const char *dir, const char *name, mode_t mode,
                                struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, dir, "%s", name);
    if (err != TS_OK) {
        return err;
    }
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    return ts_file_replace(path, data, (size_t)len, mode, why);
}

static enum ts_err ca_write_cert(X509 *cert, const char *dir, const char *name, struct ts_why *why)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL || PEM_write_bio_X509(bio, cert) != 1) {
        BIO_free(bio);
        return ca_crypto_failed(why, "write a certificate");
    }
    enum ts_err err = ca_write_bio(bio, dir, name, 0644, why);
    BIO_free(bio);
    return err;
}

static enum ts_err ca_write_key(EVP_PKEY *key, const char *dir, const char *name,
                                struct ts_why *why)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    if (bio == NULL || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        BIO_free(bio);
        return ca_crypto_failed(why, "write a private key");
    }
    enum ts_err err = ca_write_bio(bio, dir, name, 0600, why);
    BIO_free(bio);
    return err;
}

static enum ts_err ca_write_bytes(const uint8_t *data, size_t len, const char *dir,
                                  const char *name, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, dir, "%s", name);
    return err != TS_OK ? err : ts_file_replace(path, data, len, 0600, why);
}

static enum ts_err ca_fill(const char *staging, const char *cluster, struct ts_why *why)
{
    struct ca_pair pair = {.key = EVP_EC_gen("P-256")};
    uint8_t heartbeat[CA_HEARTBEAT_KEY_BYTES];
    char common_name[CA_NAME_MAX + 1];
    /* X.509 limits a common name to 64 bytes, so a long cluster name stands alone. */
    int n = snprintf(common_name, sizeof(common_name), "%s authority", cluster);
    if (n < 0 || (size_t)n >= sizeof(common_name)) {
        (void)snprintf(common_name, sizeof(common_name), "%s", cluster);
    }
    if (pair.key != NULL) {
        pair.cert =
            ca_new_cert(pair.key, common_name, NULL, cluster, ca_validity_days(CA_AUTHORITY_DAYS));
    }
    enum ts_err err = TS_OK;
    if (pair.cert == NULL || !ca_finish_authority(pair.cert, pair.key) ||
        RAND_bytes(heartbeat, sizeof(heartbeat)) != 1) {
        err = ca_crypto_failed(why, "make an authority");
    }
    if (err == TS_OK) {
        err = ca_write_bytes(heartbeat, sizeof(heartbeat), staging, "heartbeat.key", why);
    }
    if (err == TS_OK) {
        err = ca_write_cert(pair.cert, staging, "ca.pem", why);
    }
    if (err == TS_OK) {
        err = ca_write_key(pair.key, staging, "ca.key", why);
    }
    OPENSSL_cleanse(heartbeat, sizeof(heartbeat));
    ca_pair_free(&pair);
    return err;
}

enum ts_err ca_init(const char *dir, const char *cluster, struct ts_why *why)
{
    enum ts_err err = ca_check_name("cluster", cluster, why);
    if (err != TS_OK) {
        return err;
    }
    char staging[TS_PATH_MAX];
    err = ts_dir_stage_begin(dir, staging, why);
    if (err != TS_OK) {
        return err;
    }
    err = ca_fill(staging, cluster, why);
    return err != TS_OK ? err : ts_dir_stage_finish(dir, why);
}

/* Reads DIR/name into a memory BIO, which the caller frees; the bytes are wiped. */
static enum ts_err ca_read_bio(const char *dir, const char *name, BIO **out, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, dir, "%s", name);
    uint8_t *data = NULL;
    size_t len = 0;
    if (err == TS_OK) {
        err = ts_file_read(path, CA_FILE_BYTES_MAX, &data, &len, why);
    }
    if (err != TS_OK) {
        return err;
    }
    *out = BIO_new(BIO_s_secmem());
    if (*out == NULL || BIO_write(*out, data, (int)len) != (int)len) {
        BIO_free(*out);
        *out = NULL;
        err = ca_crypto_failed(why, "read a file");
    }
    OPENSSL_cleanse(data, len);
    free(data);
    return err;
}

/* Without this OpenSSL would ask on the terminal for the password of an encrypted key. */
static int ca_no_password(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

static enum ts_err ca_read_cert(const char *dir, const char *name, X509 **out, struct ts_why *why)
{
    BIO *bio = NULL;
    enum ts_err err = ca_read_bio(dir, name, &bio, why);
    *out = err == TS_OK ? PEM_read_bio_X509(bio, NULL, ca_no_password, NULL) : NULL;
    BIO_free(bio);
    if (err == TS_OK && *out == NULL) {
        ERR_clear_error();
        return ts_why(why, TS_ERR_MALFORMED, "%s/%s is not a PEM certificate", dir, name);
    }
    return err;
}

/* Seconds since the Unix epoch; false when it is no date. */
static bool ca_date(const ASN1_TIME *date, int64_t *out)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(date, &tm) != 1) {
        return false;
    }
    *out = (int64_t)timegm(&tm);
    return true;
}

enum ts_err ca_inspect(const char *dir, const char *node_dir, struct ca_paper *out,
                       struct ts_why *why)
{
    X509 *authority = NULL;
    X509 *cert = NULL;
    enum ts_err err = ca_read_cert(dir, "ca.pem", &authority, why);
    err = err != TS_OK ? err : ca_read_cert(node_dir, "node.pem", &cert, why);
    if (err == TS_OK) {
        out->of_authority = X509_verify(cert, X509_get0_pubkey(authority)) == 1;
        if (!ca_date(X509_get0_notBefore(cert), &out->validity.not_before) ||
            !ca_date(X509_get0_notAfter(cert), &out->validity.not_after)) {
            err = ts_why(why, TS_ERR_MALFORMED, "%s/node.pem has no dates", node_dir);
        }
    }
    ERR_clear_error();
    X509_free(authority);
    X509_free(cert);
    return err;
}

static enum ts_err ca_load(const char *dir, struct ca_pair *out, struct ts_why *why)
{
    *out = (struct ca_pair){.cert = NULL};
    BIO *cert = NULL;
    BIO *key = NULL;
    enum ts_err err = ca_read_bio(dir, "ca.pem", &cert, why);
    if (err == TS_OK) {
        err = ca_read_bio(dir, "ca.key", &key, why);
    }
    if (err == TS_OK) {
        out->cert = PEM_read_bio_X509(cert, NULL, ca_no_password, NULL);
        out->key = PEM_read_bio_PrivateKey(key, NULL, ca_no_password, NULL);
        if (out->cert == NULL || out->key == NULL ||
            X509_check_private_key(out->cert, out->key) != 1) {
            ERR_clear_error();
            ca_pair_free(out);
            err = ts_why(why, TS_ERR_MALFORMED,
                         "%s/ca.pem and %s/ca.key are damaged or do not belong together: restore "
                         "the authority from its copy",
                         dir, dir);
        }
    } else if (err == TS_ERR_NOT_FOUND) {
        err = ts_why(why, err, "no authority in %s: make one with `twinstep ca init`", dir);
    }
    BIO_free(cert);
    BIO_free(key);
    return err;
}

/* The cluster's name in the authority's certificate. */
static enum ts_err ca_cluster_name(X509 *cert, char out[CA_NAME_MAX + 1], struct ts_why *why)
{
    int n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_organizationName, out,
                                      CA_NAME_MAX + 1);
    if (n < 1 || strlen(out) != (size_t)n) {
        return ts_why(
            why, TS_ERR_MALFORMED,
            "the authority's certificate names no cluster (O): it is not one of Twinstep");
    }
    return TS_OK;
}

/* `heartbeat`: NULL when the owner is to have none. */
static enum ts_err ca_write_heartbeat(const uint8_t *heartbeat, const char *out_dir,
                                      struct ts_why *why)
{
    char path[TS_PATH_MAX];
    if (heartbeat != NULL) {
        return ca_write_bytes(heartbeat, CA_HEARTBEAT_KEY_BYTES, out_dir, "heartbeat.key", why);
    }
    enum ts_err err = ts_path(path, why, out_dir, "heartbeat.key");
    return err != TS_OK ? err : ts_file_remove(path, why);
}

static enum ts_err ca_write_node(const struct ca_pair *authority, const struct ca_pair *node,
                                 const uint8_t *heartbeat, const char *out_dir, struct ts_why *why)
{
    char marker[TS_PATH_MAX];
    enum ts_err err = ts_dir_make(out_dir, 0700, why);
    err = err != TS_OK ? err : ts_path(marker, why, out_dir, CA_ISSUED);
    err = err != TS_OK ? err : ts_file_remove(marker, why);
    if (err == TS_OK) {
        err = ca_write_cert(authority->cert, out_dir, "ca.pem", why);
    }
    if (err == TS_OK) {
        err = ca_write_heartbeat(heartbeat, out_dir, why);
    }
    if (err == TS_OK) {
        err = ca_write_key(node->key, out_dir, "node.key", why);
    }
    if (err == TS_OK) {
        err = ca_write_cert(node->cert, out_dir, "node.pem", why);
    }
    return err != TS_OK ? err : ts_file_replace(marker, "", 0, 0600, why);
}

static enum ts_err ca_issue_order(const char *dir, const struct ca_order *order,
                                  const char *out_dir, struct ts_why *why)
{
    struct ca_pair authority = {.cert = NULL};
    struct ca_pair pair = {.cert = NULL};
    char cluster[CA_NAME_MAX + 1];
    uint8_t heartbeat[CA_HEARTBEAT_KEY_BYTES];
    enum ts_err err = ca_check_name("node", order->node, why);
    err = err != TS_OK ? err : ca_check_addresses(order->addresses, why);
    if (err == TS_OK) {
        err = ca_load(dir, &authority, why);
    }
    if (err == TS_OK) {
        err = ca_cluster_name(authority.cert, cluster, why);
    }
    if (err == TS_OK && order->has_heartbeat) {
        err = ca_heartbeat_key(dir, heartbeat, why);
    }
    if (err == TS_OK) {
        pair.key = EVP_EC_gen("P-256");
        pair.cert = pair.key == NULL
                        ? NULL
                        : ca_new_cert(pair.key, order->node, order->unit, cluster, order->validity);
        if (pair.cert == NULL || !ca_finish_node(pair.cert, &authority, order)) {
            err = ca_crypto_failed(why, "issue a certificate");
        }
    }
    if (err == TS_OK) {
        err =
            ca_write_node(&authority, &pair, order->has_heartbeat ? heartbeat : NULL, out_dir, why);
    }
    OPENSSL_cleanse(heartbeat, sizeof(heartbeat));
    ca_pair_free(&pair);
    ca_pair_free(&authority);
    return err;
}

enum ts_err ca_issue(const char *dir, const char *node, const char *out_dir,
                     const struct ca_addresses *addresses, struct ca_validity validity,
                     struct ts_why *why)
{
    const struct ca_order order = {.node = node,
                                   .usage = "serverAuth,clientAuth",
                                   .addresses = addresses,
                                   .is_server = true,
                                   .has_heartbeat = true,
                                   .validity = validity};
    return ca_issue_order(dir, &order, out_dir, why);
}

enum ts_err ca_issue_agent(const char *dir, const char *node, const char *out_dir,
                           struct ca_validity validity, struct ts_why *why)
{
    const struct ca_order order = {
        .node = node, .unit = CA_AGENT_UNIT, .usage = "clientAuth", .validity = validity};
    return ca_issue_order(dir, &order, out_dir, why);
}

enum ts_err ca_heartbeat_key(const char *dir, uint8_t key[CA_HEARTBEAT_KEY_BYTES],
                             struct ts_why *why)
{
    char path[TS_PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    enum ts_err err = ts_path(path, why, dir, "heartbeat.key");
    if (err == TS_OK) {
        err = ts_file_read(path, CA_FILE_BYTES_MAX, &data, &len, why);
    }
    if (err != TS_OK) {
        return err;
    }
    if (len == CA_HEARTBEAT_KEY_BYTES) {
        memcpy(key, data, CA_HEARTBEAT_KEY_BYTES);
    } else {
        err = ts_why(why, TS_ERR_MALFORMED,
                     "%s has %zu bytes instead of %d: copy it from the authority's directory or "
                     "issue the node's files again",
                     path, len, CA_HEARTBEAT_KEY_BYTES);
    }
    OPENSSL_cleanse(data, len);
    free(data);
    return err;
}
