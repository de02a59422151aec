/* RESP requests: any bytes, whole and byte by byte, give the same requests and the same error. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "services/resp.h"

#define ARGS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ts_hash fold(struct ts_hash h, const struct resp_request *req)
{
    for (size_t i = 0; i < req->argc; i++) {
        uint64_t len = req->args[i].len;
        h = ts_hash_chain(h, &len, sizeof(len));
        h = ts_hash_chain(h, req->args[i].data, req->args[i].len);
    }
    return ts_hash_chain(h, "end", 3);
}

/* Parses all of `data` in pieces of at most `step` bytes; the digest of what it saw. */
static struct ts_hash run(const uint8_t *data, size_t size, size_t step)
{
    struct resp_limits limits = {
        .args_max = ARGS_MAX, .bulk_max = 4096, .inline_max = 4096, .request_max = 8192};
    struct ts_bytes args[ARGS_MAX];
    struct resp_request req = {.args = args, .args_cap = ARGS_MAX};
    struct resp_parser parser = {0};
    struct ts_hash h = {0, 0};
    uint8_t *copy = malloc(size > 0 ? size : 1);
    ts_assert(copy != NULL);
    memcpy(copy, data, size);
    size_t at = 0;
    size_t have = step < size ? step : size;
    while (at < size) {
        enum resp_result r = resp_parse(&parser, &limits, copy + at, have - at, &req);
        if (r == RESP_MORE) {
            if (have == size) {
                break;
            }
            have += step < size - have ? step : size - have;
            continue;
        }
        if (r == RESP_ERROR) {
            ts_assert(req.error[0] != '\0');
            h = ts_hash_chain(h, req.error, strlen(req.error));
            break;
        }
        ts_assert(req.consumed > 0 && req.consumed <= have - at);
        if (r == RESP_REQUEST) {
            ts_assert(req.argc >= 1 && req.argc <= ARGS_MAX);
            h = fold(h, &req);
        }
        at += req.consumed;
    }
    free(copy);
    return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096) {
        return 0; /* beyond the limits a piece decides which error comes first */
    }
    struct ts_hash whole = run(data, size, size > 0 ? size : 1);
    ts_assert(ts_hash_eq(whole, run(data, size, 1)));
    ts_assert(ts_hash_eq(whole, run(data, size, 7)));
    return 0;
}
