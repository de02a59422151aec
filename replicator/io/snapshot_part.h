/* A snapshot that comes from another replica in parts: written aside, and resumed where it stopped,
 * also over starts. What it holds is believed when all of it is there and whole.
 *
 *   DIR/snapshot-00000000000000005678.part
 *
 * It is installed by giving it this disk's name: its header says then that it replaces the log. The
 * next start loads it, and begins the journal anew behind it (journal_open). */
#ifndef REPLICATOR_IO_SNAPSHOT_PART_H
#define REPLICATOR_IO_SNAPSHOT_PART_H

#include "replicator/io/snapshot_file.h"

/* Appends `bytes` at `offset`; 0 begins anew. Blocks. TS_ERR_NOSPACE, TS_ERR_IO, TS_ERR_SYSTEM. */
enum ts_err snapshot_part_write(const char *dir, struct ts_seq seq, uint64_t offset,
                                struct ts_bytes bytes, struct ts_why *why) TS_MUST_USE;
/* How much of it is there, 0: nothing. Others than this one are removed. */
enum ts_err snapshot_part_size(const char *dir, struct ts_seq seq, uint64_t *bytes,
                               struct ts_why *why) TS_MUST_USE;
/* All is there: writes this disk's header and makes it durable, checks every byte. It is removed
 * when it is not whole (TS_ERR_CORRUPT): it comes again. TS_ERR_VERSION: of a release that this one
 * does not know; it stays. TS_ERR_IO of a sync ends trust. Blocks. */
enum ts_err snapshot_part_check(const char *dir, struct ts_seq seq,
                                struct ts_incarnation incarnation, struct ts_group_id group,
                                struct ts_why *why) TS_MUST_USE;
/* One that was checked gets its name, durably. Blocks for the sync of a directory; afterwards only
 * the next start may go on with this disk's log. */
enum ts_err snapshot_part_install(const char *dir, struct ts_seq seq,
                                  struct ts_why *why) TS_MUST_USE;
/* Up to `max` bytes of the snapshot `seq` of this disk, for another replica; gives *len and the
 * file's *size. TS_ERR_NOT_FOUND: a newer one has replaced it. */
enum ts_err snapshot_part_read(const char *dir, struct ts_seq seq, uint64_t offset, uint8_t *data,
                               size_t max, size_t *len, uint64_t *size,
                               struct ts_why *why) TS_MUST_USE;

#endif
