/* A backup: one snapshot of a group in a file of its own, with what a restore must know (adr/0021).
 *
 *   block of 4 KiB   magic, checksum, version, names, when it was taken
 *   snapshot         as snapshot_format.h has it, byte for byte
 *
 * It says what the state was, not whose: a restore makes new disks of it. Everything blocks; for
 * the command line. */
#ifndef REPLICATOR_IO_BACKUP_FILE_H
#define REPLICATOR_IO_BACKUP_FILE_H

#include "replicator/io/snapshot_file.h"

#define BACKUP_VERSION 1U
#define BACKUP_BLOCK 4096U
#define BACKUP_NAME_MAX 32U /* NUL included */

struct backup_about {
    char cluster[BACKUP_NAME_MAX];
    char group[BACKUP_NAME_MAX];
    char service[BACKUP_NAME_MAX];
    char node[BACKUP_NAME_MAX]; /* on whose disk it was taken */
    uint64_t taken_us;          /* Unix time, microseconds */
};

/* Writes BACKUP_BLOCK bytes. */
void backup_about_encode(const struct backup_about *a, struct ts_writer *w);
/* TS_ERR_MALFORMED: no backup. TS_ERR_VERSION. TS_ERR_CORRUPT. */
enum ts_err backup_about_decode(struct backup_about *a, const void *data, size_t len) TS_MUST_USE;

/* The newest snapshot in a replica's directory; 0 when there is none. It may go at any time. */
enum ts_err backup_newest(const char *dir, struct ts_seq *seq, struct ts_why *why) TS_MUST_USE;
/* Copies that snapshot to FILE: written aside (FILE.new), fsynced, read again and checked as a
 * whole, then given its name. Neither name may be there: nothing is overwritten, and on an error
 * nothing is left. Gives what is in it in *info. TS_ERR_GONE: the snapshot has gone meanwhile,
 * there is a newer one. TS_ERR_NOT_FOUND: FILE's folder is not there. TS_ERR_EXISTS,
 * TS_ERR_CORRUPT, TS_ERR_NOSPACE, … */
enum ts_err backup_write(const char *file, const struct backup_about *about, const char *dir,
                         struct ts_seq seq, struct snapshot_info *info,
                         struct ts_why *why) TS_MUST_USE;
/* Reads and checks all of FILE. `piece` may be NULL. Errors as snapshot_read. */
enum ts_err backup_read(const char *file, struct backup_about *about, snapshot_piece_fn *piece,
                        void *arg, struct snapshot_info *info, struct ts_why *why) TS_MUST_USE;
/* Makes FILE's snapshot that of the formatted replica in `dir`, which never ran: its log then
 * begins behind it. */
enum ts_err backup_install(const char *file, const char *dir, struct ts_incarnation incarnation,
                           struct ts_group_id group, struct ts_why *why) TS_MUST_USE;

#endif
