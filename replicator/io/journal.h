/* A replica's input log on disk (R6, R2.11), and its small durable record.
 *
 *   DIR/record          slot file: start number and instance, group, and the replica's
 *                       opaque bytes (acknowledgement floor and such)
 *   DIR/segment-000001  the log, in prewritten segments; layout: journal_format.h. The first one
 * may have any number: what came before is in a snapshot (snapshot_file.h) DIR/unmarked        room
 * for one of the markers DIR/abandoned       the marker of a disk that failed once DIR/refused the
 * marker of a disk that the voters refused (R1.8)
 *
 * One thread writes. It has one write in flight: appends that arrive meanwhile
 * form the next group, which costs one pwritev, one header note and one
 * fdatasync. A second thread prewrites the next segment (zero-filled, fsynced)
 * so that no append waits for it. The loop never waits for the disk: calls copy
 * and return, completions arrive on the loop through uv_async, in the order of
 * the calls.
 *
 * The journal knows batches: opaque bytes with their place in the chain. It
 * checks the chain (seq contiguous, prev hash = hash before), never the bytes.
 *
 * After one failed write or fsync nothing more is written, `failed` is called
 * once, and the incarnation is abandoned, also across restarts. One that fails in
 * journal_open abandons it, too. A write that finds the
 * disk full is told the same way but leaves no marker: nothing that was reported is in doubt. */
#ifndef REPLICATOR_IO_JOURNAL_H
#define REPLICATOR_IO_JOURNAL_H

#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/io/files.h"
#include "replicator/io/journal_place.h"

/* Longest opaque part of the replica record, bytes. */
#define JOURNAL_RECORD_MAX 4000U
/* Segment sizes that can be asked for, bytes; multiples of 4096. */
#define JOURNAL_SEGMENT_BYTES_MIN (128U * 1024U)
#define JOURNAL_SEGMENT_BYTES_MAX (256U * 1024U * 1024U)
#define JOURNAL_SEGMENT_BYTES_DEFAULT (16U * 1024U * 1024U)
/* Reads under way at once. */
#define JOURNAL_READS_MAX 8

struct journal;

/* A batch as the replication core built or received it (R2.1). */
struct journal_batch {
    struct ts_epoch epoch; /* of its last entry; for the log end's comparison (R4.2) */
    struct ts_seq first;   /* first..last, contiguous with the batch before */
    struct ts_seq last;
    struct ts_hash prev; /* hash of the batch before; zero for the first one */
    struct ts_hash hash; /* chain hash through this batch */
    struct ts_bytes bytes;
};

/* What the caller has from a snapshot: everything up to a place. */
struct journal_start {
    struct journal_place at;
    /* The snapshot is another replica's, and was installed here to replace the log: one that does
     * not go through `at` is removed, and begins anew behind it. */
    bool replaces;
};

struct journal_info;

/* Called by journal_open once, before it reads the log in `dir`: `info` has incarnation and group
 * only. Gives the place up to which the caller has everything from a snapshot: the log must go
 * through it, and is replayed from there. An error stops the opening and is returned by it; then
 * the callback has written `why`. */
typedef enum ts_err journal_begin_fn(void *arg, const char *dir, const struct journal_info *info,
                                     struct journal_start *from, struct ts_why *why);

/* Zero fields take the defaults. */
struct journal_options {
    uint32_t segment_bytes; /* of segments made from now on; default 16 MiB */
    /* Calls waiting for the disk; as many again may be in the writing thread's hands. */
    uint32_t queue_ops_max;  /* default 4096 */
    size_t queue_bytes_max;  /* of their bytes; default 64 MiB */
    journal_begin_fn *begin; /* with the replay's `arg`; NULL: there is no snapshot */
};

/* Completions, all on the loop. */
struct journal_callbacks {
    /* Everything up to and including `seq` is durable. Calls are merged: one tells of a whole
     * group. After journal_truncate was called it never tells of positions that were cut off,
     * even when they reach the disk before the cut does. */
    void (*persisted)(void *arg, struct ts_seq seq);
    /* A truncation is durable: `after` is the durable log end at that point. */
    void (*truncated)(void *arg, struct ts_seq after);
    /* The replica record given with `token` is durable. */
    void (*record_persisted)(void *arg, uint64_t token);
    /* A call of journal_repair is done: mended, durably, or nothing was changed. May be NULL when
     * that is never called. */
    void (*repaired)(void *arg, bool mended);
    /* Once. Nothing that was pending completes, every further call is refused (TS_ERR_CLOSED).
     * `text` says what, where, what to do; borrowed for the call. */
    void (*failed)(void *arg, enum ts_err err, const char *text);
    void *arg;
};

/* Called by journal_open for each batch found, in order, from where the replay begins. `commit` is
 * the committed position that was known when the batch was written (a hint: at most what was
 * committed). `batch->bytes` are borrowed for the call. An error stops the opening and is returned
 * by it; then the callback has written `why`. */
typedef enum ts_err journal_replay_fn(void *arg, const struct journal_batch *batch,
                                      struct ts_seq commit, struct ts_why *why);

/* What was found at open. */
struct journal_info {
    struct ts_incarnation incarnation;
    struct ts_group_id group;
    /* Of this start (R1.8), durable. Open raises the number and mints an instance when the start
     * before was confirmed, and gives that one again otherwise; the first number is 1. */
    uint64_t start_number;
    struct ts_instance start_instance;
    struct ts_epoch epoch; /* of the last batch, 0 when the log is empty */
    struct ts_seq last;    /* the log end, 0 when empty; durable */
    struct ts_hash hash;   /* chain hash at the log end */
    struct ts_seq commit;  /* highest commit hint found */
    struct ts_seq base;    /* the log begins behind this one, 0 when nothing was dropped */
    uint64_t torn_bytes;   /* of an unfinished write that was cut off; 0 usually */
    unsigned repaired;     /* copies of the replica record repaired */
};

/* Creates DIR in one step with an empty log and the replica record `record` (opaque, may be empty).
 * DIR must not exist or be empty. options may be NULL.
 * TS_ERR_EXISTS: formatted already, left untouched. TS_ERR_LIMIT, TS_ERR_NOSPACE, TS_ERR_IO. */
enum ts_err journal_format(const char *dir, struct ts_incarnation incarnation,
                           struct ts_group_id group, struct ts_bytes record,
                           const struct journal_options *options, struct ts_why *why) TS_MUST_USE;
/* The log of a journal that was formatted and never opened begins behind `place`, durably: without
 * a snapshot of what comes before it is refused, and not taken for an empty one. TS_ERR_CORRUPT,
 * TS_ERR_NOT_FOUND, TS_ERR_IO. */
enum ts_err journal_begin_behind(const char *dir, struct ts_incarnation incarnation,
                                 struct ts_group_id group, const struct journal_place *place,
                                 struct ts_why *why) TS_MUST_USE;

/* Opens: begins a start durably (R1.8, journal_info), finds the log end, replays every batch
 * through `replay` (may be NULL), makes all of it durable (R2.11), and starts the threads. Blocks;
 * start-up only. Gives `*out`; journal_close frees it. `callbacks` is copied; options may be NULL.
 * An unfinished write past the durable position is cut off. A damaged batch at or before it is
 * TS_ERR_CORRUPT: nothing is cut, `why` names the seq, file and offset.
 * A log that does not go through the place that `begin` gives, or begins behind it, is
 * TS_ERR_CORRUPT, too.
 * TS_ERR_BUSY: another process has it open; nothing was touched.
 * TS_ERR_NOT_FOUND: not formatted, or the record or all segments are missing (a blank disk).
 * TS_ERR_ABANDONED: it failed once (R2.11). TS_ERR_CLONE: the voters refused it once (R1.8);
 * either is remembered by a marker. TS_ERR_VERSION, TS_ERR_IO, TS_ERR_NOSPACE,
 * TS_ERR_NOMEM. */
enum ts_err journal_open(struct journal **out, uv_loop_t *loop, const char *dir,
                         const struct journal_options *options,
                         const struct journal_callbacks *callbacks, journal_replay_fn *replay,
                         void *replay_arg, struct ts_why *why) TS_MUST_USE;

/* As found at open; borrowed until close. */
const struct journal_info *journal_info(const struct journal *j);
/* The replica record's opaque bytes as found at open; borrowed until close. */
struct ts_bytes journal_record(const struct journal *j);
/* The longest batch that can be appended, bytes. */
size_t journal_batch_max(const struct journal *j);
/* The durable log end: what the last completion told, less what a later truncation cuts off. */
struct ts_seq journal_persisted(const struct journal *j);

/* Appends a batch; `commit` is the committed position known now. Copies the bytes, returns at once;
 * `persisted` tells when it is durable.
 * TS_ERR_FULL: the queue is full, the disk is slow (nothing happened). TS_ERR_LIMIT: longer than
 * journal_batch_max. TS_ERR_MALFORMED: does not continue the chain of what was appended last.
 * TS_ERR_CLOSED: failed or closing. */
enum ts_err journal_append(struct journal *j, const struct journal_batch *batch,
                           struct ts_seq commit) TS_MUST_USE;

/* Cuts off everything after `after`, which must be the last seq of a batch (or 0) whose chain hash
 * is `hash` (zero for 0). Ordered with appends: the next append continues at `after` + 1, and no
 * completion of a later call comes before the cut is durable. `after` at or past the end: no cut,
 * TS_ERR_MALFORMED past it. TS_ERR_FULL, TS_ERR_CLOSED. */
enum ts_err journal_truncate(struct journal *j, struct ts_seq after,
                             struct ts_hash hash) TS_MUST_USE;

/* Removes the segments that hold nothing behind `seq`, whole ones only, the lowest first: whatever
 * a crash leaves is without a gap. The caller has a durable snapshot of all up to `seq`, and nobody
 * cuts the log there any more. Ordered with the other calls; nothing tells when it is done.
 * TS_ERR_FULL, TS_ERR_CLOSED, TS_ERR_NOMEM. */
enum ts_err journal_drop_before(struct journal *j, struct ts_seq seq) TS_MUST_USE;

/* Where the log begins now: what comes before can be read no more. */
struct journal_place journal_base(struct journal *j);

/* What its segments take on the disk, bytes, the one that is prepared ahead counted; and how long
 * one is. */
uint64_t journal_disk_bytes(struct journal *j);
uint32_t journal_segment_bytes(const struct journal *j);

/* R2.11: something could not be done with another file of the directory. When that casts doubt on
 * the disk (TS_ERR_IO, TS_ERR_SYSTEM, TS_ERR_CORRUPT, TS_ERR_SHORT), it is abandoned and the
 * journal fails, as after an error of its own; otherwise nothing happens. By any thread. */
void journal_doubt(struct journal *j, enum ts_err err, const struct ts_why *why);

/* The loop that it runs on, and its directory; borrowed. For those who write beside it. */
uv_loop_t *journal_uv_loop(const struct journal *j);
const char *journal_dir(const struct journal *j);

/* Replaces the replica record; copies `bytes`; `record_persisted(token)` tells when it is durable.
 * Ordered with the other calls. TS_ERR_LIMIT, TS_ERR_FULL, TS_ERR_CLOSED. */
enum ts_err journal_persist_record(struct journal *j, struct ts_bytes bytes,
                                   uint64_t token) TS_MUST_USE;

/* Remembers that this start is registered at a majority of voters (R1.8); `record_persisted(token)`
 * tells when that is durable, and only then the replica may act: so no two runs act under one start
 * number. Before the first journal_persist_record. TS_ERR_FULL, TS_ERR_CLOSED, TS_ERR_NOMEM. */
enum ts_err journal_confirm_start(struct journal *j, uint64_t token) TS_MUST_USE;

/* Batches read for a learner, in order, whole, byte-identical to what was appended. `batches` and
 * their bytes are borrowed for the call. With err other than TS_OK count is 0 and `text` says why:
 * TS_ERR_BUSY: a truncation or a repair came in between, ask again. TS_ERR_GONE: dropped meanwhile.
 * TS_ERR_CORRUPT, TS_ERR_IO: the disk. */
typedef void journal_read_fn(void *arg, enum ts_err err, const struct journal_batch *batches,
                             size_t count, const char *text);

/* Reads batches beginning with the one that contains `from`, up to about `bytes_max` bytes (at
 * least one batch, at most to the persisted end; none when `from` is past that). Runs on a worker
 * thread; `done` is always called on the loop when TS_OK was returned. TS_ERR_BUSY:
 * JOURNAL_READS_MAX under way. TS_ERR_GONE: `from` was dropped (journal_drop_before).
 * TS_ERR_CLOSED. TS_ERR_NOMEM. */
enum ts_err journal_read(struct journal *j, struct ts_seq from, size_t bytes_max,
                         journal_read_fn *done, void *arg) TS_MUST_USE;

/* ---- looking for damage ---- */

struct journal_scrub;

/* A pass through all that is durable now, from the log's beginning on. NULL: not now. On the loop.
 */
struct journal_scrub *journal_scrub_begin(struct journal *j);
void journal_scrub_end(struct journal_scrub *s);
/* Reads about `bytes` more, and checks them; *more says whether there is more. On a worker thread;
 * one step at a time, and none when the pass has ended. TS_ERR_CORRUPT, or TS_ERR_IO: see
 * journal_scrub_flaw; other errors are of no account. */
enum ts_err journal_scrub_step(struct journal_scrub *s, size_t bytes, bool *more) TS_MUST_USE;
/* Between two steps, on the loop: whether what the last one said counts. The log may have been cut,
 * or dropped there, meanwhile. */
bool journal_scrub_counts(const struct journal_scrub *s);
uint64_t journal_scrub_bytes(const struct journal_scrub *s);
const struct journal_flaw *journal_scrub_flaw(const struct journal_scrub *s);

/* Writes batches again that are damaged where `flaw` says. They are what was there when their
 * hashes lead from what is good before it to what is good behind it; there may be more than are
 * needed, and none when only the segment's end record is damaged. `repaired` tells what came of it.
 * Copies. TS_ERR_CORRUPT: they do not continue what is good. TS_ERR_GONE: the log was cut since the
 * flaw was found. TS_ERR_FULL, TS_ERR_CLOSED, TS_ERR_NOMEM. */
enum ts_err journal_repair(struct journal *j, const struct journal_flaw *flaw,
                           const struct journal_batch *batches, size_t count) TS_MUST_USE;

/* Writes what is queued, delivers completions, ends the threads, then calls `closed` (may be NULL)
 * on the loop and frees the journal. With a hung disk that does not happen: the process may just
 * exit. */
void journal_close(struct journal *j, void (*closed)(void *arg), void *arg);

#endif
