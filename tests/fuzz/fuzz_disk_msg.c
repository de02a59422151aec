/* A message about disks from a peer: what decodes encodes to the same bytes. */
#include <string.h>

#include "base/assert.h"
#include "replicator/io/disk_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int each = DISK_MSG_ROOM; each <= DISK_MSG_GIVE; each++) {
        uint8_t type = (uint8_t)each;
        struct disk_msg m;
        if (disk_msg_decode(&m, type, (struct ts_bytes){data, size}) != TS_OK) {
            continue;
        }
        uint8_t head[DISK_HEAD_MAX];
        struct ts_writer w = ts_writer_init(head, sizeof(head));
        disk_msg_encode(&m, &w);
        ts_assert(ts_writer_status(&w) == TS_OK);
        ts_assert(w.len + m.batches.len == size && memcmp(head, data, w.len) == 0);
        ts_assert(m.batches.len == 0 || m.batches.data == data + w.len);
    }
    return 0;
}
