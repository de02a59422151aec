/* Snapshot files in a replica's directory, beside its journal (R6). Layout: snapshot_format.h.
 *
 *   DIR/snapshot-00000000000000001234      everything up to entry 1234
 *   DIR/snapshot-00000000000000005678.new  one that is being written, or a rest of that
 *
 * A snapshot counts when it is there by its name, and that is durable: it is written aside,
 * fdatasynced, renamed, and the directory fsynced. Only then older ones may be removed, and what
 * the journal has of the same entries (journal_drop_before). Two are kept, so that damage to the
 * newest one costs nothing: the journal goes back to the one before.
 *
 * Everything here blocks: at the start, or on a worker thread. */
#ifndef REPLICATOR_IO_SNAPSHOT_FILE_H
#define REPLICATOR_IO_SNAPSHOT_FILE_H

#include "base/io/files.h"
#include "replicator/io/snapshot_format.h"

/* How many are kept. */
#define SNAPSHOT_KEPT 2U

/* Snapshots that were found to be damaged lately. */
struct snapshot_broken {
    struct ts_seq seq[SNAPSHOT_KEPT]; /* the newest find first; 0: none */
};

void snapshot_broken_add(struct snapshot_broken *b, struct ts_seq seq);
bool snapshot_broken_has(const struct snapshot_broken *b, struct ts_seq seq);

/* ---- writing ---- */

struct snapshot_writer;

/* Begins a file aside, and removes what is left of others that were not finished. Gives `*out`,
 * which snapshot_write_end or snapshot_write_abort frees. `dir` is borrowed until then.
 * TS_ERR_NOSPACE, TS_ERR_IO, TS_ERR_SYSTEM, TS_ERR_NOMEM. */
enum ts_err snapshot_write_begin(struct snapshot_writer **out, const char *dir,
                                 const struct snapshot_header *h, struct ts_why *why) TS_MUST_USE;
/* Packs and appends the next piece. Errors as above; only snapshot_write_abort may follow. */
enum ts_err snapshot_write_piece(struct snapshot_writer *w, struct ts_bytes plain,
                                 struct ts_why *why) TS_MUST_USE;
/* Before snapshot_write_end: these are not counted among those that are kept. */
void snapshot_write_besides(struct snapshot_writer *w, const struct snapshot_broken *broken);
/* All pieces are there: makes the snapshot durable under its name, then removes the oldest ones but
 * SNAPSHOT_KEPT. Frees `w`. Gives in *oldest the entry up to which the oldest kept one goes, 0 when
 * there are fewer than SNAPSHOT_KEPT: what the journal has up to there may be dropped.
 * TS_ERR_IO of a sync: the disk is not to be trusted any more (R2.11). */
enum ts_err snapshot_write_end(struct snapshot_writer *w, struct ts_seq *oldest,
                               struct ts_why *why) TS_MUST_USE;
/* The same for a state that is kept for people, as DIR/diverged-SEQ: it never counts as a snapshot.
 * Frees `w`. */
enum ts_err snapshot_write_diverged(struct snapshot_writer *w, struct ts_why *why) TS_MUST_USE;
/* Removes what was written, as far as that goes. */
void snapshot_write_abort(struct snapshot_writer *w);
/* What was written so far. */
const struct snapshot_trailer *snapshot_written(const struct snapshot_writer *w);

/* Snapshots of `from` and later become DIR/suspect-SEQ: none of them is loaded any more.
 * *left is the newest that remains, 0: none does, which does when the journal, which begins behind
 * `base`, has everything. TS_ERR_GONE: there would be nothing to begin with, or something behind
 * which the journal does not go on, and nothing was done. */
enum ts_err snapshot_set_aside(const char *dir, struct ts_seq from, struct ts_seq base,
                               struct ts_seq *left, struct ts_why *why) TS_MUST_USE;

/* ---- reading ---- */

/* A snapshot as it was found: all of it was read, and is whole. */
struct snapshot_info {
    struct snapshot_header header;
    struct snapshot_trailer trailer;
    uint64_t file_bytes;
    struct ts_seq before; /* up to where the next older one goes, 0: there is none */
};

/* A piece, borrowed for the call. An error ends the reading and is returned by it; then the
 * callback has written `why`. */
typedef enum ts_err snapshot_piece_fn(void *arg, struct ts_bytes piece, struct ts_why *why);

/* Reads the snapshot of `seq`, checks all of it, and gives each piece to `piece`, which may be
 * NULL. TS_ERR_NOT_FOUND. TS_ERR_CORRUPT: damaged, cut, or of another disk. TS_ERR_VERSION,
 * TS_ERR_IO, TS_ERR_NOMEM, TS_ERR_SYSTEM. */
enum ts_err snapshot_read(const char *dir, struct ts_seq seq, struct ts_incarnation incarnation,
                          struct ts_group_id group, snapshot_piece_fn *piece, void *arg,
                          struct snapshot_info *info, struct ts_why *why) TS_MUST_USE;

/* ---- looking for damage ---- */

struct snapshot_scrub;

/* Begins to look through the newest snapshot that is older than `below`; gives its entry in *seq,
 * 0: there is none. TS_ERR_CORRUPT, TS_ERR_IO: it is damaged. Other errors are of no account;
 * `*out` is NULL with all of them. */
enum ts_err snapshot_scrub_begin(struct snapshot_scrub **out, const char *dir, struct ts_seq below,
                                 struct ts_incarnation incarnation, struct ts_group_id group,
                                 struct ts_seq *seq, struct ts_why *why) TS_MUST_USE;
/* Reads about `bytes` more; *more says whether there is more. Errors as above. */
enum ts_err snapshot_scrub_step(struct snapshot_scrub *s, size_t bytes, bool *more,
                                struct ts_why *why) TS_MUST_USE;
uint64_t snapshot_scrub_bytes(const struct snapshot_scrub *s);
void snapshot_scrub_end(struct snapshot_scrub *s);
/* Removes a snapshot, durably; one that is missing is no error. TS_ERR_IO, TS_ERR_SYSTEM. */
enum ts_err snapshot_remove(const char *dir, struct ts_seq seq, struct ts_why *why) TS_MUST_USE;

/* A snapshot cannot be used; the one before is tried. */
typedef void snapshot_broken_fn(void *arg, const char *text);

/* Finds the newest one that is whole; newer ones that are not are told, and stay. *found says
 * whether there is one at all. TS_ERR_CORRUPT: there are some, and none is whole. Other errors as
 * above. */
enum ts_err snapshot_find(const char *dir, struct ts_incarnation incarnation,
                          struct ts_group_id group, snapshot_broken_fn *broken, void *arg,
                          bool *found, struct snapshot_info *info, struct ts_why *why) TS_MUST_USE;
/* Removes those that are newer than `seq`, durably: they were told as broken, and must not be
 * counted on when older ones are removed, or the journal's segments. Only when it is known that the
 * journal goes on behind `seq`: until then nobody has anything better. */
enum ts_err snapshot_remove_newer(const char *dir, struct ts_seq seq,
                                  struct ts_why *why) TS_MUST_USE;

#endif
