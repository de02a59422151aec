/* A snapshot file, as the reader goes through it, with the checksums as they are and put right:
 * whatever it holds, each step says so or gives what was packed. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "replicator/io/snapshot_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* More is not worth the time here. */
#define PLAIN_MAX (1U << 20)

static void put_crc(uint8_t *data, size_t at, size_t from, size_t len)
{
    struct ts_writer w = ts_writer_init(data + at, 4);
    ts_put_u32(&w, ts_crc32c(data + from, len - from));
}

/* The same bytes once more. */
static void check_header(const uint8_t *data, size_t size)
{
    uint8_t again[SNAPSHOT_HEADER_BYTES];
    struct ts_writer w = ts_writer_init(again, sizeof(again));
    struct snapshot_header h;
    if (snapshot_header_decode(&h, data, size) == TS_OK) {
        snapshot_header_encode(&h, &w);
        ts_assert(w.len == sizeof(again) && memcmp(again, data, sizeof(again)) == 0);
    }
}

static void check_trailer(const uint8_t *data, size_t size)
{
    uint8_t again[SNAPSHOT_TRAILER_BYTES];
    struct ts_writer w = ts_writer_init(again, sizeof(again));
    struct snapshot_trailer t;
    if (snapshot_trailer_decode(&t, data, size) == TS_OK) {
        snapshot_trailer_encode(&t, &w);
        ts_assert(w.len == size && memcmp(again, data, size) == 0);
    }
}

/* What unpacks can be packed, and unpacks to the same. */
static void check_piece(const uint8_t *data, size_t len, uint32_t plain)
{
    uint8_t *made = malloc(plain);
    uint8_t *again = malloc(plain);
    ts_assert(made != NULL && again != NULL);
    if (snapshot_piece_unpack(data, len, made) == TS_OK) {
        uint8_t *packed;
        size_t packed_len;
        enum ts_err err = snapshot_piece_pack((struct ts_bytes){made, plain}, &packed, &packed_len);
        ts_assert(err == TS_OK);
        err = snapshot_piece_unpack(packed, packed_len, again);
        ts_assert(err == TS_OK && memcmp(made, again, plain) == 0);
        free(packed);
    }
    free(made);
    free(again);
}

static void check(const uint8_t *data, size_t size)
{
    check_header(data, size);
    size_t at = SNAPSHOT_HEADER_BYTES;
    while (at < size) {
        struct snapshot_head h;
        enum ts_err err = snapshot_head_decode(&h, data + at, size - at);
        if (err == TS_ERR_NOT_FOUND) {
            check_trailer(data + at, size - at);
        }
        if (err != TS_OK || size - at - SNAPSHOT_HEAD_BYTES < h.stored || h.plain > PLAIN_MAX) {
            return;
        }
        check_piece(data + at, SNAPSHOT_HEAD_BYTES + (size_t)h.stored, h.plain);
        at += SNAPSHOT_HEAD_BYTES + (size_t)h.stored;
    }
}

/* Puts all checksums right that are in their place. */
static void mend(uint8_t *data, size_t size)
{
    if (size < SNAPSHOT_HEADER_BYTES) {
        return;
    }
    put_crc(data, 8, 12, SNAPSHOT_HEADER_BYTES);
    size_t at = SNAPSHOT_HEADER_BYTES;
    while (at < size) {
        struct snapshot_head h;
        enum ts_err err = snapshot_head_decode(&h, data + at, size - at);
        if (err == TS_ERR_NOT_FOUND && size - at == SNAPSHOT_TRAILER_BYTES) {
            put_crc(data + at, 4, 8, SNAPSHOT_TRAILER_BYTES);
        }
        if (err != TS_OK || size - at - SNAPSHOT_HEAD_BYTES < h.stored) {
            return;
        }
        put_crc(data + at, 4, 8, SNAPSHOT_HEAD_BYTES + (size_t)h.stored);
        at += SNAPSHOT_HEAD_BYTES + (size_t)h.stored;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *mended = malloc(size + 1);
    ts_assert(mended != NULL);
    memcpy(mended, data, size);
    mend(mended, size);
    check(data, size);
    check(mended, size);
    free(mended);
    return 0;
}
