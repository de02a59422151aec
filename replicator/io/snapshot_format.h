/* The bytes of a snapshot file (R6): pure, for snapshot_file.c and its fuzz target.
 *
 *   header    which log it belongs to, and the place in it up to which it holds everything
 *   pieces    of the service's walk (services/svc.h), in order: a head, then an LZ4 frame
 *   trailer   how many there were, and the hash of all of them
 *
 * Integers are little-endian. Header, each piece and trailer have a checksum of the bytes that are
 * stored; the trailer's hash is of what they stand for, the same on every replica whose walk began
 * at the same entry. A file without a whole trailer at its end is no snapshot. */
#ifndef REPLICATOR_IO_SNAPSHOT_FORMAT_H
#define REPLICATOR_IO_SNAPSHOT_FORMAT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "replicator/batch.h"

#define SNAPSHOT_VERSION 1U
#define SNAPSHOT_HEADER_BYTES 83U
#define SNAPSHOT_HEAD_BYTES 16U
#define SNAPSHOT_TRAILER_BYTES 40U
/* Of one piece, as the service gave it. */
#define SNAPSHOT_PIECE_MAX (1025U * 1024U * 1024U)

/* Layout: magic u64, crc32c u32 of what follows, version u32, incarnation u64, group u16, installed
 * u8, seq u64, epoch u64, chain hash, digest, time u64. */
struct snapshot_header {
    struct ts_incarnation incarnation; /* of the disk that it was written for */
    struct ts_group_id group;
    bool installed; /* it came from another replica, to replace the log that was here */
    struct repl_mark mark;
};

/* Of a piece, before its frame. Layout: magic u32, crc32c u32 of what follows (frame included),
 * stored u32, plain u32. */
struct snapshot_head {
    uint32_t stored; /* bytes of the frame */
    uint32_t plain;  /* bytes that it stands for, at least 1 */
};

/* Layout: magic u32, crc32c u32 of what follows, pieces u64, bytes u64, content. */
struct snapshot_trailer {
    uint64_t pieces;        /* at least 1 */
    uint64_t bytes;         /* of all pieces, as they were before they were packed */
    struct ts_hash content; /* … and their hash: a chain of the pieces, in order */
};

/* Writes SNAPSHOT_HEADER_BYTES. */
void snapshot_header_encode(const struct snapshot_header *h, struct ts_writer *w);
/* TS_ERR_MALFORMED: no header. TS_ERR_VERSION. TS_ERR_CORRUPT: checksum, or values that nobody
 * writes. */
enum ts_err snapshot_header_decode(struct snapshot_header *h, const void *data,
                                   size_t len) TS_MUST_USE;

/* Packs a piece of 1 to SNAPSHOT_PIECE_MAX bytes with its head. Gives `*out`, which the caller
 * frees. TS_ERR_NOMEM. */
enum ts_err snapshot_piece_pack(struct ts_bytes plain, uint8_t **out, size_t *len) TS_MUST_USE;
/* The head alone, to learn how long the piece is. TS_ERR_NOT_FOUND: a trailer begins here.
 * TS_ERR_CORRUPT. */
enum ts_err snapshot_head_decode(struct snapshot_head *h, const void *data, size_t len) TS_MUST_USE;
/* Unpacks a piece, head included, into `plain`, which has room for the head's h->plain bytes.
 * TS_ERR_CORRUPT: not exactly that. TS_ERR_NOMEM. */
enum ts_err snapshot_piece_unpack(const void *data, size_t len, uint8_t *plain) TS_MUST_USE;

/* Writes SNAPSHOT_TRAILER_BYTES. */
void snapshot_trailer_encode(const struct snapshot_trailer *t, struct ts_writer *w);
/* TS_ERR_CORRUPT: not a trailer and nothing behind it. */
enum ts_err snapshot_trailer_decode(struct snapshot_trailer *t, const void *data,
                                    size_t len) TS_MUST_USE;
/* One more piece. The trailer is all zero at first. */
void snapshot_trailer_add(struct snapshot_trailer *t, struct ts_bytes plain);

#endif
