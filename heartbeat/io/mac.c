#include "heartbeat/io/mac.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

enum ts_err hb_mac_open(struct hb_mac *m, const uint8_t *key, size_t n)
{
    *m = (struct hb_mac){0};
    if (n < HB_KEY_BYTES_MIN || n > HB_KEY_BYTES_MAX) {
        return TS_ERR_LIMIT;
    }
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (mac == NULL) {
        return TS_ERR_SYSTEM;
    }
    m->ctx = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac); /* the context holds its own reference */
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    if (m->ctx == NULL || EVP_MAC_init(m->ctx, key, n, params) != 1) {
        hb_mac_close(m);
        return TS_ERR_SYSTEM;
    }
    return TS_OK;
}

enum ts_err hb_mac_tag(struct hb_mac *m, const uint8_t *data, size_t n, uint8_t tag[HB_TAG_BYTES])
{
    size_t len = 0;
    /* Without a key the context begins anew with the one that it has. */
    if (EVP_MAC_init(m->ctx, NULL, 0, NULL) != 1 || EVP_MAC_update(m->ctx, data, n) != 1 ||
        EVP_MAC_final(m->ctx, tag, &len, HB_TAG_BYTES) != 1 || len != HB_TAG_BYTES) {
        return TS_ERR_SYSTEM;
    }
    return TS_OK;
}

void hb_mac_close(struct hb_mac *m)
{
    EVP_MAC_CTX_free(m->ctx);
    m->ctx = NULL;
}
