/* The batch: the unit of ordering, journaling and replication (R2.1).
 *
 * Its bytes are fixed when its entries are ordered and never change again: they are
 * journaled and re-sent byte-identical, with the epoch they were ordered in. The header
 * holds the hash of the batch before, so the hash of a batch's bytes is a link of a chain.
 *
 *   u32 magic, u32 length of everything, u64 epoch, u64 first seq, u32 count, u32 reserved,
 *   u64 time_ns, 16 bytes hash of the previous batch,
 *   count × { u8 kind, u64 session, u64 request, u32 length, payload } */
#ifndef REPLICATOR_BATCH_H
#define REPLICATOR_BATCH_H

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "services/svc.h"

#define REPL_BATCH_HEADER_BYTES 56
#define REPL_ENTRY_HEADER_BYTES 21
#define REPL_BATCH_BYTES_MAX (4U << 20)
/* One entry always fits a batch. */
#define REPL_PAYLOAD_BYTES_MAX \
    (REPL_BATCH_BYTES_MAX - REPL_BATCH_HEADER_BYTES - REPL_ENTRY_HEADER_BYTES)

/* The latest logical time of a batch: year 2262. The clock stands still there instead of turning
 * over, whatever a peer's batch says. */
#define REPL_BATCH_TIME_MAX ((uint64_t)INT64_MAX)

/* What a front-end wants ordered. Borrowed. */
struct repl_request {
    enum svc_entry_kind kind;
    uint64_t session;
    uint64_t request;
    struct ts_bytes payload;
};

/* A position in the log: the end of a batch and the hash of that batch. {0, zero} is the
 * position before the first entry. */
struct repl_pos {
    struct ts_seq seq;
    struct ts_hash hash;
};

/* A position, and all that a replica needs to go on from there besides the service's state: what a
 * snapshot says of the last entry that it holds. */
struct repl_mark {
    struct repl_pos pos;
    struct ts_epoch epoch; /* of the batch that ends there */
    struct ts_ltime time;  /* … and its logical time */
    struct ts_hash digest; /* rolling, after it (R5.1) */
};

static inline bool repl_pos_eq(struct repl_pos a, struct repl_pos b)
{
    return ts_seq_eq(a.seq, b.seq) && ts_hash_eq(a.hash, b.hash);
}

/* A parsed batch. `bytes` is borrowed. */
struct repl_batch {
    struct ts_bytes bytes;
    struct ts_epoch epoch;
    struct ts_seq first;
    struct ts_seq last;
    struct ts_ltime time;
    struct ts_hash prev;
};

/* Bytes that a batch of these requests needs; more than REPL_BATCH_BYTES_MAX does not fit one. */
size_t repl_batch_size(const struct repl_request *requests, size_t count);

/* Encodes a batch; asserts 1 <= count and that it fits the writer (ask repl_batch_size). */
void repl_batch_encode(struct ts_writer *w, struct ts_epoch epoch, struct ts_seq first,
                       struct ts_ltime time, struct ts_hash prev,
                       const struct repl_request *requests, size_t count);

/* Takes one batch off the reader and validates all of it, every entry included.
 * TS_ERR_SHORT: the bytes end early; TS_ERR_MALFORMED: not a batch; TS_ERR_LIMIT: too long. */
enum ts_err repl_batch_decode(struct repl_batch *out, struct ts_reader *r) TS_MUST_USE;

/* Goes through the entries of a decoded batch: returns false after the last one. */
struct repl_batch_iter {
    struct ts_reader r;
    const struct repl_batch *batch;
    uint64_t index;
};
struct repl_batch_iter repl_batch_iter_init(const struct repl_batch *b);
bool repl_batch_next(struct repl_batch_iter *it, struct svc_entry *out);

#endif
