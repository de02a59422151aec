/* The bytes of a journal segment (R6): pure, for the journal and its fuzz targets.
 *
 *   block 0        segment header: written when the segment is prepared, never again; in its
 *                  second sector the base: where the log stands before the segment's first record,
 *                  written with that, or before
 *   blocks 1..16   the header ring: one note a group commit, in turn
 *   then           records, one behind the other, up to an end record or to zeros
 *
 * A note says how far the log was known to be durable when it was written, and
 * repeats the headers of the group that is written with it. The newest note of
 * all segments (highest counter) therefore tells a torn write (past the durable
 * position: it was never acknowledged) from a corrupt one (at or before it).
 *
 * Integers are little-endian. A block is 4 KiB: a torn block never takes the
 * note before it along. The last record of a group is padded to 512 bytes, so
 * that a later group never rewrites a sector that holds durable records. */
#ifndef REPLICATOR_IO_JOURNAL_FORMAT_H
#define REPLICATOR_IO_JOURNAL_FORMAT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "replicator/io/journal.h"

#define JOURNAL_VERSION 2U
#define JOURNAL_BLOCK 4096U
#define JOURNAL_SECTOR 512U
#define JOURNAL_BASE_AT JOURNAL_SECTOR
#define JOURNAL_RING_BLOCKS 16U
#define JOURNAL_DATA_START (JOURNAL_BLOCK * (1U + JOURNAL_RING_BLOCKS))
#define JOURNAL_RECORD_HEADER 80U
/* Record headers repeated in one note: the last ones of its group. */
#define JOURNAL_NOTE_ENTRIES 64U

/* Block 0. Layout: magic u64, crc32c u32 of what follows, version u32, incarnation u64,
 * number u64, size u32, group u16. */
struct journal_header {
    struct ts_incarnation incarnation;
    struct ts_group_id group;
    uint64_t number; /* of the segment, from 1 */
    uint32_t size;   /* of the file, bytes */
};

/* What the log holds before a segment's first record. Earlier segments may be gone: a snapshot has
 * what was in them. Layout: magic u64, crc32c u32 of what follows, zero u32, incarnation u64,
 * number u64, seq u64, epoch u64, hash. */
struct journal_base {
    struct ts_incarnation incarnation;
    uint64_t number; /* of the segment */
    struct journal_place place;
};

/* The end of the log, or a place in it. */
struct journal_position {
    struct ts_seq seq; /* last entry before this place, 0 at the start */
    struct ts_hash hash;
    struct ts_epoch epoch;
    uint64_t segment;
    uint32_t offset; /* in the segment's file */
};

/* One record header, repeated in a note. */
struct journal_note_entry {
    struct ts_seq first;
    struct ts_seq last;
    uint32_t offset; /* of the record in this segment */
    uint32_t length; /* of its bytes */
    uint32_t crc;
    struct ts_hash hash;
};

/* A block of the ring. Layout: magic u64, crc32c u32 of what follows, count u32, counter u64,
 * incarnation u64, segment u64, durable seq u64, durable hash, then entries of 44 bytes. */
struct journal_note {
    uint64_t counter; /* rises by one with each note of the journal, over all segments; from 1 */
    struct ts_incarnation incarnation;
    uint64_t segment;
    struct ts_seq durable; /* everything up to here was fdatasynced before this was written */
    struct ts_hash durable_hash;
    uint32_t count;
    struct journal_note_entry entries[JOURNAL_NOTE_ENTRIES];
};

enum journal_record_kind {
    JOURNAL_KIND_BATCH = 1,
    JOURNAL_KIND_END = 2, /* the log goes on in the next segment; no bytes */
};

/* Layout: magic u32, crc32c u32 of what follows (bytes included), length u32, kind u16,
 * pad u16, epoch u64, first u64, last u64, commit u64, prev hash, hash, bytes. */
struct journal_record {
    enum journal_record_kind kind;
    uint16_t pad; /* unused bytes behind the record */
    struct journal_batch batch;
    struct ts_seq commit;
    uint32_t crc; /* set by encode and decode */
};

void journal_header_encode(const struct journal_header *h, struct ts_writer *w);
/* TS_ERR_MALFORMED: no header. TS_ERR_VERSION. TS_ERR_CORRUPT: checksum or values out of range. */
enum ts_err journal_header_decode(struct journal_header *h, const void *data,
                                  size_t len) TS_MUST_USE;

/* Writes at most JOURNAL_BLOCK bytes. */
/* Writes JOURNAL_BASE_BYTES. */
#define JOURNAL_BASE_BYTES 64U
void journal_base_encode(const struct journal_base *b, struct ts_writer *w);
/* TS_ERR_MALFORMED: there is none (a segment without records). TS_ERR_CORRUPT: torn or damaged. */
enum ts_err journal_base_decode(struct journal_base *b, const void *data, size_t len) TS_MUST_USE;

void journal_note_encode(const struct journal_note *n, struct ts_writer *w);
/* TS_ERR_MALFORMED: no note there (a blank block). TS_ERR_CORRUPT: torn or damaged. */
enum ts_err journal_note_decode(struct journal_note *n, const void *data, size_t len) TS_MUST_USE;

/* Writes the header into the first JOURNAL_RECORD_HEADER bytes of `room`, behind which
 * r->batch.bytes.len bytes of the batch stand already; sets r->crc. */
void journal_record_seal(struct journal_record *r, uint8_t *room);
/* Decodes the record at `data`; its bytes are borrowed. TS_ERR_MALFORMED: no record (zeros, or
 * something else). TS_ERR_SHORT: it would end behind `len`. TS_ERR_CORRUPT: checksum, or fields
 * that no writer writes. */
enum ts_err journal_record_decode(struct journal_record *r, const void *data,
                                  size_t len) TS_MUST_USE;
/* Where the next record may begin at or behind `from`; `len` when nowhere. Its header is whole. */
size_t journal_record_search(const uint8_t *data, size_t from, size_t len);
/* What the header there says of the record's place in the log: kind, first and prev. Nothing of it
 * is checked. */
void journal_record_peek(struct journal_record *r, const uint8_t *data);
/* How many bytes the record takes whose first JOURNAL_RECORD_HEADER are at `data`, as it says
 * itself; at most `max`. */
size_t journal_record_need(const void *data, size_t max);
/* Bytes from this record to the next one. */
static inline size_t journal_record_extent(const struct journal_record *r)
{
    return JOURNAL_RECORD_HEADER + r->batch.bytes.len + r->pad;
}
/* Whether `r` continues the log that ends at `end`. A record that does not is a leftover of an
 * earlier, cut-off log, not a part of this one. */
bool journal_record_continues(const struct journal_record *r, const struct journal_position *end);

/* Where a note of this counter stands in its segment. */
static inline uint32_t journal_note_offset(uint64_t counter)
{
    return JOURNAL_BLOCK * (1U + (uint32_t)(counter % JOURNAL_RING_BLOCKS));
}

#endif
