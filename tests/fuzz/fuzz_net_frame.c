/* What a peer sends over a link, behind TLS: a stream of frames, the first of them HELLO. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "net/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A HELLO that was understood is understood again when it is written again. */
static void check_hello(struct ts_bytes payload)
{
    struct net_hello h;
    if (net_hello_decode(&h, payload) != TS_OK) {
        return;
    }
    uint8_t bytes[NET_HELLO_PAYLOAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    net_hello_encode(&h, &w);
    ts_assert(!w.failed && w.len <= payload.len);
    ts_assert(memcmp(bytes, payload.data, w.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at = 0;
    uint32_t max = NET_HELLO_PAYLOAD_MAX;
    for (;;) {
        struct net_frame f;
        size_t used = 0;
        enum ts_err err = net_frame_next((struct ts_bytes){data + at, size - at}, max, &f, &used);
        if (err != TS_OK) {
            ts_assert(err != TS_ERR_SHORT || used > size - at);
            return 0;
        }
        ts_assert(used <= size - at && f.payload.len + NET_FRAME_HEADER == used);
        if (at == 0) {
            check_hello(f.payload);
        }
        at += used;
        max = NET_FRAME_PAYLOAD_MAX;
    }
}
