/* A block of a journal segment, as its header, as its base and as a note, with the checksum as it
 * is and put right: what decodes encodes to the same bytes. */
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "replicator/io/journal_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CRC_AT 8U
#define CRC_FROM 12U
#define HEADER_BYTES 38U
#define NOTE_FIXED 64U
#define NOTE_ENTRY 44U

static void check(const uint8_t *data, size_t size)
{
    uint8_t again[JOURNAL_BLOCK];
    struct ts_writer w = ts_writer_init(again, sizeof(again));
    struct journal_header h;
    if (journal_header_decode(&h, data, size) == TS_OK) {
        journal_header_encode(&h, &w);
        ts_assert(w.len == HEADER_BYTES && memcmp(again, data, w.len) == 0);
    }
    w = ts_writer_init(again, sizeof(again));
    struct journal_base b;
    if (journal_base_decode(&b, data, size) == TS_OK) {
        journal_base_encode(&b, &w);
        ts_assert(w.len == JOURNAL_BASE_BYTES && memcmp(again, data, w.len) == 0);
    }
    w = ts_writer_init(again, sizeof(again));
    struct journal_note n;
    if (journal_note_decode(&n, data, size) == TS_OK) {
        journal_note_encode(&n, &w);
        ts_assert(ts_writer_status(&w) == TS_OK && w.len <= size);
        ts_assert(memcmp(again, data, w.len) == 0);
    }
}

/* The same bytes with the checksum of `bytes` of them put right. */
static void check_fixed(const uint8_t *data, size_t size, size_t bytes)
{
    uint8_t fixed[JOURNAL_BLOCK];
    if (bytes > size || size > sizeof(fixed)) {
        return;
    }
    memcpy(fixed, data, size);
    struct ts_writer w = ts_writer_init(fixed + CRC_AT, 4);
    ts_put_u32(&w, ts_crc32c(fixed + CRC_FROM, bytes - CRC_FROM));
    check(fixed, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size);
    if (size >= HEADER_BYTES) {
        check_fixed(data, size, HEADER_BYTES);
    }
    if (size >= JOURNAL_BASE_BYTES) {
        check_fixed(data, size, JOURNAL_BASE_BYTES);
    }
    if (size >= NOTE_FIXED) {
        struct ts_reader rd = ts_reader_init(data + CRC_FROM, 4);
        uint32_t count = ts_get_u32(&rd);
        if (count <= JOURNAL_NOTE_ENTRIES) {
            check_fixed(data, size, NOTE_FIXED + (size_t)count * NOTE_ENTRY);
        }
    }
    return 0;
}
