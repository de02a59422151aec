/* HTTP as text: any bytes as path, parameter, header, chunks, event: within bounds, and chunks give
 * the same body in any pieces. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "services/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The digest of the body and of how it ends. */
static struct ts_hash read_chunks(const uint8_t *data, size_t size, size_t step)
{
    struct http_chunks c = {.state = HTTP_CHUNK_SIZE};
    struct ts_hash h = {0, 0};
    size_t at = 0;
    while (at < size && c.state != HTTP_CHUNK_DONE) {
        size_t used = 0;
        struct ts_bytes body;
        struct ts_bytes in = {data + at, size - at < step ? size - at : step};
        enum ts_err err = http_chunks_read(&c, in, &used, &body);
        if (err != TS_OK) {
            ts_assert(err == TS_ERR_MALFORMED || err == TS_ERR_LIMIT);
            return ts_hash_chain(h, &err, sizeof(err));
        }
        ts_assert(used > 0 && used <= in.len && body.len <= used);
        for (size_t i = 0; i < body.len; i++) {
            h = ts_hash_chain(h, body.data + i, 1);
        }
        at += used;
    }
    return ts_hash_chain(h, &c.state, sizeof(c.state));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char message[HTTP_ERROR_MAX * 2];
    char error[HTTP_ERROR_MAX];
    struct ts_bytes all = {data, size};
    struct http_param param;
    struct http_credentials said;
    uint64_t length = 0;
    if (http_path_is_valid(all)) {
        ts_assert(size > 0 && size <= HTTP_PATH_MAX && data[0] == '/');
        ts_assert(memchr(data, 0, size) == NULL && memmem(data, size, "/../", 4) == NULL);
    }
    if (http_param_parse(all, &param) == TS_OK) {
        ts_assert(param.name.len >= 1 && param.name.len + param.value.len <= size);
    }
    if (http_basic_parse(all, &said) == TS_OK) {
        ts_assert(strlen(said.name) == said.name_len);
        ts_assert(strlen(said.password) == said.password_len);
    }
    if (http_length_parse(all, &length) == TS_OK) {
        ts_assert(length < 1000000000000000000U);
    }
    (void)http_is_chunked(all);
    (void)http_type_is_valid(all);
    struct ts_hash whole = read_chunks(data, size, size > 0 ? size : 1);
    ts_assert(ts_hash_eq(whole, read_chunks(data, size, 1)));
    size_t n = size < sizeof(message) - 1 ? size : sizeof(message) - 1;
    memcpy(message, data, n);
    message[n] = '\0';
    size_t len = http_error_body(error, 400, 1, "policy", message);
    ts_assert(len < HTTP_ERROR_MAX && error[len] == '\0' && error[len - 1] == '}');
    struct http_event event = {.id = "1", .data = all};
    size_t need = http_event_size(&event);
    uint8_t *out = malloc(need);
    ts_assert(out != NULL);
    struct ts_writer w = ts_writer_init(out, need);
    http_event_write(&w, &event);
    ts_assert(ts_writer_status(&w) == TS_OK && w.len == need);
    free(out);
    return 0;
}
