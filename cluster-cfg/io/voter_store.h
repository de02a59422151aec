/* A voter's disk: one slot file a register, one for the start registrations, one
 * for the voter's own identity. The store sees bytes only; what they mean is
 * cluster-cfg/voter.h's.
 *
 *   DIR/identity        {start number and instance, the disks whose place it is for, list of
 *                       registers}
 *   DIR/register-<id>   the record of one register (R1.3)
 *   DIR/starts          the start registrations (R1.8), one record for all
 *   DIR/unmarked        room for one of the markers
 *   DIR/abandoned       the marker of a disk that failed once
 *   DIR/refused         the marker of a disk that the other voters refused (R1.8)
 *
 * All parts bear the voter's incarnation; a missing or foreign one makes the
 * whole disk unusable: a blank disk is never an initial value.
 *
 * open blocks (start-up only); writes are carried out on a worker thread, in
 * order, and their completions arrive on the loop. A voter whose disk hangs
 * simply does not answer; the loop goes on. */
#ifndef CLUSTER_CFG_IO_VOTER_STORE_H
#define CLUSTER_CFG_IO_VOTER_STORE_H

#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/io/files.h"
#include "cluster-cfg/register_msg.h"

/* Longest record of a register, bytes. */
#define VOTER_STORE_RECORD_MAX 8192U
/* Longest table of start registrations, bytes. */
#define VOTER_STORE_STARTS_MAX (128U * 1024U)
/* Registers of one voter: every group and the cluster register. */
#define VOTER_STORE_REGISTERS_MAX (TS_GROUPS_MAX + 1)
/* The id that stands for the start registrations in every call below. */
#define VOTER_STORE_STARTS UINT32_MAX
/* Writes that may wait for the disk. */
#define VOTER_STORE_QUEUE_MAX 256

struct voter_store;

/* A record as the voter core encoded it. */
struct voter_store_record {
    uint32_t id; /* register id, or VOTER_STORE_STARTS */
    struct ts_bytes bytes;
};

/* Called on the loop when the record is durable. */
typedef void voter_store_done_fn(void *arg);
/* Called on the loop, once, when the disk failed: nothing is written any more and no write that
 * was pending completes. TS_ERR_NOSPACE: it was merely full, and is used again by the next start
 * that finds room; any other disk is not. `text` says what, where, what to do; borrowed for the
 * call. */
typedef void voter_store_failed_fn(void *arg, enum ts_err err, const char *text);

/* Formats a voter's disk in one step: DIR must not exist or be empty. `initial` holds one record
 * for every register, and may hold one for VOTER_STORE_STARTS (otherwise it starts empty).
 * TS_ERR_EXISTS: formatted already, left untouched. TS_ERR_LIMIT: too many or too long records. */
enum ts_err voter_store_format(const char *dir, struct ts_incarnation incarnation,
                               const struct voter_store_record *initial, size_t count,
                               struct ts_why *why) TS_MUST_USE;

/* The same for a disk that is to take the place of one of `places` (adr/0029), at least one: its
 * registers are blank until the voters that are left have them filled. */
enum ts_err voter_store_format_blank(const char *dir, struct ts_incarnation incarnation,
                                     const struct reg_places *places, const uint32_t *ids,
                                     size_t count, struct ts_why *why) TS_MUST_USE;

/* Opens the disk, checks that every part is there and of one incarnation, and begins a start
 * durably (R1.8): the next one when the last was confirmed, otherwise the last one again. Gives
 * `*out`; voter_store_close frees it. TS_ERR_BUSY: another process has it open. TS_ERR_NOT_FOUND:
 * not formatted, or a part is missing. TS_ERR_CORRUPT: a part is damaged or foreign.
 * TS_ERR_ABANDONED: it failed once (R2.11). TS_ERR_CLONE: voters refused it once (R1.8). Either is
 * remembered by a marker. TS_ERR_IO, TS_ERR_NOSPACE, TS_ERR_SYSTEM. */
enum ts_err voter_store_open(struct voter_store **out, uv_loop_t *loop, const char *dir,
                             voter_store_failed_fn *failed, void *arg,
                             struct ts_why *why) TS_MUST_USE;

struct ts_incarnation voter_store_incarnation(const struct voter_store *s);
/* The disks whose place it was formatted for; none: it was formatted with values. Borrowed. */
const struct reg_places *voter_store_places(const struct voter_store *s);
/* The number of this start; the first is 1. */
uint64_t voter_store_start_number(const struct voter_store *s);
/* The random instance that was minted with that number. */
struct ts_instance voter_store_start_instance(const struct voter_store *s);
size_t voter_store_register_count(const struct voter_store *s);
/* The i-th register as it was on the disk at open, without bytes while it is blank; borrowed until
 * close. */
struct voter_store_record voter_store_register(const struct voter_store *s, size_t i);
/* The start registrations as they were at open; borrowed until close; may be empty. */
struct ts_bytes voter_store_starts(const struct voter_store *s);

/* Replaces a record. Copies `bytes`, returns at once; `done` runs on the loop when it is durable,
 * in the order of the calls. `id` is one of the formatted registers or VOTER_STORE_STARTS.
 * TS_ERR_NOT_FOUND: unknown id. TS_ERR_LIMIT: too long. TS_ERR_FULL: the queue is full.
 * TS_ERR_CLOSED: the disk failed before, or close was called. */
enum ts_err voter_store_write(struct voter_store *s, uint32_t id, struct ts_bytes bytes,
                              voter_store_done_fn *done, void *arg) TS_MUST_USE;

/* Remembers that this start is registered at a majority of voters (R1.8); `done` runs on the loop
 * when that is durable, and only then the voter may vote: so no two runs vote under one start
 * number. TS_ERR_FULL, TS_ERR_NOMEM, TS_ERR_CLOSED. */
enum ts_err voter_store_confirm_start(struct voter_store *s, voter_store_done_fn *done,
                                      void *arg) TS_MUST_USE;

/* Writes what is queued, delivers its completions, then calls `closed` (may be NULL) on the loop
 * and frees the store. With a hung disk that does not happen: the process may simply exit. */
void voter_store_close(struct voter_store *s, void (*closed)(void *arg), void *arg);

#endif
