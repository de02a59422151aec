/* One copy of a slot, with its checksum as it is and put right: what decodes encodes to the same
 * bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/io/slot_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *data, size_t size)
{
    struct ts_slot_copy c;
    if (ts_slot_decode(&c, data, size) != TS_OK) {
        return;
    }
    ts_assert(c.generation > 0 && c.payload.len + TS_SLOT_HEADER <= size);
    uint8_t *again = malloc(size);
    ts_assert(again != NULL);
    struct ts_writer w = ts_writer_init(again, size);
    enum ts_err err = ts_slot_encode(&c, &w);
    ts_assert(err == TS_OK && memcmp(again, data, w.len) == 0);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size);
    if (size < TS_SLOT_HEADER) {
        return 0;
    }
    uint8_t *fixed = malloc(size);
    ts_assert(fixed != NULL);
    memcpy(fixed, data, size);
    /* The room's size is part of the record: make it fit, too. */
    struct ts_writer w = ts_writer_init(fixed + 32, 4);
    ts_put_u32(&w, (uint32_t)size);
    struct ts_reader rd = ts_reader_init(fixed + 36, 4);
    uint32_t length = ts_get_u32(&rd);
    if (length <= size - TS_SLOT_HEADER) {
        w = ts_writer_init(fixed + 12, 4);
        ts_put_u32(&w, ts_crc32c(fixed + 16, TS_SLOT_HEADER - 16 + length));
        check(fixed, size);
    }
    free(fixed);
    return 0;
}
