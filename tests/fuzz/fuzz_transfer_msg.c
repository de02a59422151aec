/* A message about a snapshot from a peer: what decodes encodes to the same bytes. */
#include <string.h>

#include "base/assert.h"
#include "replicator/io/transfer_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (unsigned t = TRANSFER_MSG_OFFER; t <= TRANSFER_MSG_BAD; t++) {
        uint8_t type = (uint8_t)t;
        struct transfer_msg m;
        if (transfer_msg_decode(&m, type, (struct ts_bytes){data, size}) != TS_OK) {
            continue;
        }
        uint8_t head[TRANSFER_HEAD_MAX];
        struct ts_writer w = ts_writer_init(head, sizeof(head));
        transfer_msg_encode(&m, &w);
        ts_assert(ts_writer_status(&w) == TS_OK);
        ts_assert(w.len + m.bytes.len == size && memcmp(head, data, w.len) == 0);
        ts_assert(m.bytes.len == 0 || m.bytes.data == data + w.len);
    }
    return 0;
}
