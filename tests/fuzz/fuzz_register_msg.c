/* The register's messages: the first byte is the frame's type, the rest its payload. What decodes
 * encodes to the same bytes. */
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/register_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct reg_msg m;
    if (reg_msg_decode(&m, data[0], (struct ts_bytes){data + 1, size - 1}) != TS_OK) {
        return 0;
    }
    ts_assert(reg_msg_name(m.type)[0] != '?');
    uint8_t again[REG_MSG_PAYLOAD_MAX];
    struct ts_writer w = ts_writer_init(again, sizeof(again));
    reg_msg_encode(&m, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    ts_assert(w.len == size - 1 && memcmp(again, data + 1, w.len) == 0);
    return 0;
}
