/* The bytes of a slot file (base/io/slot_file.h): pure, for the file and its fuzz target.
 *
 *   offset            content
 *   0                 slot 0, copy 0
 *   1 × copy_size     slot 1, copy 0
 *   2 × copy_size     slot 0, copy 1
 *   3 × copy_size     slot 1, copy 1
 *
 * copy_size is the header and the largest payload, rounded up to blocks of 4 KiB.
 * The two copies of a slot are apart, so that no single bad spot takes both.
 * One copy: magic u64, version u32, crc32c u32 of all that follows, incarnation u64,
 * generation u64, copy_size u32, length u32, payload. */
#ifndef BASE_IO_SLOT_FORMAT_H
#define BASE_IO_SLOT_FORMAT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"

#define TS_SLOT_BLOCK 4096U
#define TS_SLOT_VERSION 1U
#define TS_SLOT_HEADER 40U
#define TS_SLOT_SLOTS 2U
#define TS_SLOT_COPIES 2U

struct ts_slot_copy {
    struct ts_incarnation incarnation;
    uint64_t generation; /* >= 1 */
    uint32_t copy_size;
    struct ts_bytes payload; /* borrowed */
};

/* Bytes of one copy that can hold `payload_max`. */
size_t ts_slot_copy_size(size_t payload_max);
/* Where the copy stands in the file. */
uint64_t ts_slot_copy_offset(size_t copy_size, unsigned slot, unsigned copy);
/* The slot that a generation is written to. */
static inline unsigned ts_slot_of(uint64_t generation)
{
    return (unsigned)(generation % TS_SLOT_SLOTS);
}

/* Bytes that the copy beginning with this block (TS_SLOT_BLOCK bytes) says it has, at most
 * `copy_size`; what is no copy has a header only. */
size_t ts_slot_extent(const void *block, size_t copy_size);

/* Encodes header and payload; TS_ERR_FULL when `w` is too small. */
enum ts_err ts_slot_encode(const struct ts_slot_copy *c, struct ts_writer *w) TS_MUST_USE;
/* Decodes one copy from `len` bytes (its whole room). The payload is borrowed from `data`.
 * TS_ERR_MALFORMED: no magic, bad lengths. TS_ERR_VERSION. TS_ERR_CORRUPT: checksum. */
enum ts_err ts_slot_decode(struct ts_slot_copy *c, const void *data, size_t len) TS_MUST_USE;

#endif
