#include "services/svc.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define SVC_OUT_FIRST 256

enum ts_err svc_out_put(struct svc_out *out, const void *data, size_t n)
{
    ts_assert(out->len <= out->cap && out->len <= out->max);
    if (n > out->max - out->len) {
        return TS_ERR_LIMIT;
    }
    if (n > out->cap - out->len) {
        size_t cap = out->cap < SVC_OUT_FIRST ? SVC_OUT_FIRST : out->cap;
        while (cap - out->len < n) {
            cap *= 2;
        }
        uint8_t *grown = realloc(out->data, cap);
        /* An answer must not depend on one machine's memory: replicas would differ. */
        ts_must(grown);
        out->data = grown;
        out->cap = cap;
    }
    if (n > 0) {
        memcpy(out->data + out->len, data, n);
        out->len += n;
    }
    return TS_OK;
}

void svc_out_free(struct svc_out *out)
{
    free(out->data);
    *out = (struct svc_out){.max = out->max};
}
