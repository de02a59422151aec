/* A journal record from the disk. Its checksum is put right first for every second look, so that
 * the checks behind it are reached: what decodes then encodes to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "replicator/io/journal_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *data, size_t size)
{
    struct journal_record r;
    if (journal_record_decode(&r, data, size) != TS_OK) {
        return;
    }
    size_t bytes = JOURNAL_RECORD_HEADER + r.batch.bytes.len;
    ts_assert(journal_record_extent(&r) <= size && bytes <= size);
    ts_assert(r.batch.last.v >= r.batch.first.v);
    uint8_t *again = malloc(bytes);
    ts_assert(again != NULL);
    memcpy(again, data, bytes);
    memset(again, 0, JOURNAL_RECORD_HEADER);
    journal_record_seal(&r, again);
    ts_assert(memcmp(again, data, bytes) == 0);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size);
    if (size < JOURNAL_RECORD_HEADER) {
        return 0;
    }
    uint8_t *fixed = malloc(size);
    ts_assert(fixed != NULL);
    memcpy(fixed, data, size);
    struct ts_reader rd = ts_reader_init(fixed + 8, 4);
    uint32_t length = ts_get_u32(&rd);
    if (length <= size - JOURNAL_RECORD_HEADER) {
        struct ts_writer w = ts_writer_init(fixed + 4, 4);
        ts_put_u32(&w, ts_crc32c(fixed + 8, JOURNAL_RECORD_HEADER - 8 + length));
        check(fixed, size);
    }
    free(fixed);
    return 0;
}
