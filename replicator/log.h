/* The log window: the newest batches of the input log, in memory.
 *
 * A ring of bytes and a ring of slots. Batches lie whole and in order; the oldest are
 * evicted when room is needed and the owner allows it. What left the window is in the
 * journal. `base` is the position before the oldest batch held, so that the chain can be
 * checked across it.
 *
 * A batch never wraps, so up to a batch's length is wasted at the end of the ring, or between the
 * two pieces that are free: how much fits by chance depends on how the batches came to lie. What a
 * replica takes must fit again when it restarts from its journal, where they lie differently. So
 * it asks repl_log_has_room first, which counts on the worst. */
#ifndef REPLICATOR_LOG_H
#define REPLICATOR_LOG_H

#include "replicator/batch.h"

/* A spare batch: one entry without a payload. */
#define REPL_LOG_SPARE_BYTES (REPL_BATCH_HEADER_BYTES + REPL_ENTRY_HEADER_BYTES)
/* A window of this size has room for a batch of any size when all it holds may be evicted. */
#define REPL_LOG_BYTES_MIN (3U * (size_t)REPL_BATCH_BYTES_MAX)

struct repl_log_slot {
    struct ts_seq first;
    struct ts_seq last;
    struct ts_epoch epoch;
    struct ts_ltime time;
    struct ts_hash hash; /* of the batch's bytes */
    struct ts_hash prev;
    size_t offset; /* into the ring of bytes */
    size_t len;
    uint64_t total; /* bytes ever appended, up to and with this batch */
    bool digested;  /* applied, and `digest` is the rolling digest after it */
    struct ts_hash digest;
};

struct repl_log {
    uint8_t *bytes; /* owned */
    size_t bytes_cap;
    struct repl_log_slot *slots; /* owned ring */
    size_t slots_cap;
    size_t slot_head; /* index of the oldest */
    size_t slot_count;
    struct repl_pos base; /* before the oldest batch held */
    struct repl_pos tail; /* behind the newest one; the base when there is none */
    bool base_digested;   /* applied, and `base_digest` is the rolling digest after it */
    struct ts_hash base_digest;
    uint64_t base_total; /* bytes ever appended, up to the base */
};

/* Allocates; TS_ERR_NOMEM. `bytes_cap` is at least two batches of the maximal size. */
enum ts_err repl_log_init(struct repl_log *log, size_t bytes_cap, size_t slots_cap) TS_MUST_USE;
void repl_log_free(struct repl_log *log);
/* An empty window begins behind `mark`: what comes before is in a snapshot. */
void repl_log_begin(struct repl_log *log, const struct repl_mark *mark);

/* The end of the log. */
struct repl_pos repl_log_tail(const struct repl_log *log);
/* The newest slot; NULL when the window is empty. */
const struct repl_log_slot *repl_log_newest(const struct repl_log *log);

/* Whether a batch of `len` bytes fits behind all that may not be evicted, wherever that lies, and
 * leaves room for `spare` batches of REPL_LOG_SPARE_BYTES more. Then repl_log_reserve succeeds, in
 * this window and in every other of its size that holds the same batches or fewer of the oldest. */
bool repl_log_has_room(const struct repl_log *log, size_t len, struct ts_seq evictable,
                       size_t spare);
/* `len` contiguous bytes for the next batch, evicting the oldest batches whose last seq is
 * at most `evictable`; NULL when that does not make enough room. Nothing is appended yet. */
uint8_t *repl_log_reserve(struct repl_log *log, size_t len, struct ts_seq evictable);
/* Appends the batch that lies at the place given by repl_log_reserve. It must chain. */
void repl_log_append(struct repl_log *log, const struct repl_batch *b);

/* The slot of the batch that holds `seq`; NULL when not in the window. */
struct repl_log_slot *repl_log_find(const struct repl_log *log, struct ts_seq seq);

/* The rolling digest after `seq`, a batch end in the window or the base; false when it is none of
 * them, or not applied. */
bool repl_log_digest(const struct repl_log *log, struct ts_seq seq, struct ts_hash *digest);

enum repl_log_match {
    REPL_LOG_SAME,    /* the end of a batch held here (or the base), with this hash */
    REPL_LOG_OTHER,   /* this seq ends no batch here, or one with another hash */
    REPL_LOG_EVICTED, /* before the window: cannot tell */
    REPL_LOG_BEYOND,  /* after the tail */
};
enum repl_log_match repl_log_match(const struct repl_log *log, struct repl_pos pos);

/* Forgets everything after `seq`, which must be a batch end in the window or the base. */
void repl_log_truncate(struct repl_log *log, struct ts_seq seq);

/* The bytes of whole batches that follow `after` (a batch end in the window), contiguous in
 * memory, at most `max` bytes but at least one batch; `last` gets the end of the run.
 * Empty at the tail. */
struct ts_bytes repl_log_run(const struct repl_log *log, struct ts_seq after, size_t max,
                             struct repl_pos *last);
/* Moves `end`, a batch end in the window, over whole batches towards `to`, another one behind it:
 * as far as `max` bytes reach, and over the batch in which they end. Returns the bytes passed. */
size_t repl_log_walk(const struct repl_log *log, struct ts_seq to, size_t max,
                     struct repl_pos *end);
/* Bytes of the batches after `seq`; everything held when it lies before the window. */
uint64_t repl_log_bytes_after(const struct repl_log *log, struct ts_seq seq);
struct ts_bytes repl_log_bytes(const struct repl_log *log, const struct repl_log_slot *slot);

#endif
