/* A small record that is replaced as a whole and survives any crash (R1.3).
 *
 * Two slots are written in turn; each slot is written twice, in separate blocks
 * of 4 KiB, each copy with its checksum, a rising generation and the disk's
 * incarnation. The slot that holds the newest record is never written to, so a
 * write that a crash tears leaves the record before it. A slot counts as torn
 * only when both of its copies fail; a single bad copy is repaired from the
 * other one when the file is opened.
 *
 * Everything blocks; one thread at a time. Layout: base/io/slot_format.h. */
#ifndef BASE_IO_SLOT_FILE_H
#define BASE_IO_SLOT_FILE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/io/files.h"

/* The largest payload a slot file can be formatted for, bytes. */
#define TS_SLOT_PAYLOAD_LIMIT (1024U * 1024U)

struct ts_slot_file;

/* Creates the file durably with its first record (generation 2, in both slots).
 * payload_max: the largest record it will ever hold, 1..TS_SLOT_PAYLOAD_LIMIT.
 * TS_ERR_EXISTS: there is one already (left untouched); TS_ERR_LIMIT; TS_ERR_NOSPACE; TS_ERR_IO. */
enum ts_err ts_slot_format(const char *path, struct ts_incarnation incarnation, size_t payload_max,
                           struct ts_bytes first, struct ts_why *why) TS_MUST_USE;

/* Opens, locks (flock: until close or the end of the process), checks, repairs single bad copies,
 * and makes the record that it found durable before it gives it (the page cache of a killed process
 * is not durable). Gives `*out`; ts_slot_close frees it. TS_ERR_NOT_FOUND: no file (not formatted).
 * TS_ERR_BUSY: open already, here or in another process. TS_ERR_CORRUPT: both slots unreadable, a
 * wrong size, or another incarnation than `incarnation` (zero accepts any). TS_ERR_VERSION.
 * TS_ERR_IO: a write or a sync failed, and the file may not be trusted any more (R2.11); what
 * failed before the first write is TS_ERR_SYSTEM. TS_ERR_NOSPACE, TS_ERR_NOMEM, TS_ERR_SYSTEM. */
enum ts_err ts_slot_open(struct ts_slot_file **out, const char *path,
                         struct ts_incarnation incarnation, struct ts_why *why) TS_MUST_USE;

/* Replaces the record; durable when TS_OK is returned. Copies `data`.
 * TS_ERR_LIMIT: longer than payload_max (nothing happened). TS_ERR_IO, TS_ERR_NOSPACE: the disk
 * failed; this and every further write is refused (one failed fsync ends trust). */
enum ts_err ts_slot_write(struct ts_slot_file *f, struct ts_bytes data,
                          struct ts_why *why) TS_MUST_USE;

/* The newest durable record; borrowed until the next write or close. */
struct ts_bytes ts_slot_value(const struct ts_slot_file *f);
struct ts_incarnation ts_slot_incarnation(const struct ts_slot_file *f);
/* Rises by one with each write. */
uint64_t ts_slot_generation(const struct ts_slot_file *f);
/* Copies repaired when the file was opened (an alarm worth showing). */
unsigned ts_slot_repaired(const struct ts_slot_file *f);
/* NULL is allowed. */
void ts_slot_close(struct ts_slot_file *f);

#endif
