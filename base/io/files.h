/* Files and directories that must survive a power cut, and the sentences an
 * operator reads when they do not. Everything here blocks: it is called at
 * start-up, or on a thread that may wait for a disk.
 *
 * "Durable" means: the file's bytes and its name in the directory have reached
 * the device (fsync of both). */
#ifndef BASE_IO_FILES_H
#define BASE_IO_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define TS_PATH_MAX 1024
#define TS_WHY_MAX 768

/* The sentence that goes with an error: what failed, where, what to do. Every
 * `why` parameter may be NULL; it is written on errors only. */
struct ts_why {
    char text[TS_WHY_MAX];
};

/* Writes the sentence and returns `err`, so that `return ts_why(...)` reads well. */
enum ts_err ts_why(struct ts_why *why, enum ts_err err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a failed system call: appends ": " and the text of `errnum`, and chooses the error:
 * TS_ERR_NOT_FOUND (ENOENT, ENOTDIR), TS_ERR_EXISTS, TS_ERR_NOSPACE (ENOSPC, EDQUOT),
 * TS_ERR_NOMEM (descriptors, too), TS_ERR_IO (EIO and read-only file systems), TS_ERR_SYSTEM
 * otherwise. */
enum ts_err ts_why_sys(struct ts_why *why, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a failed fsync or fdatasync: TS_ERR_IO whatever the reason, a lack of space or
 * memory included. Nobody knows what the disk holds then, and the next sync would not tell (R2.11).
 */
enum ts_err ts_why_sync(struct ts_why *why, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes "dir/name" (name printf-like) to `out`; TS_ERR_LIMIT when it is longer than TS_PATH_MAX.
 */
enum ts_err ts_path(char out[TS_PATH_MAX], struct ts_why *why, const char *dir, const char *fmt,
                    ...) __attribute__((format(printf, 4, 5))) TS_MUST_USE;

/* Reads a whole file of at most `max` bytes. Gives `*data`, malloc'ed, with a NUL byte behind
 * `*len` bytes; the caller frees it.
 * TS_ERR_NOT_FOUND; TS_ERR_LIMIT longer than `max`; TS_ERR_NOMEM; TS_ERR_IO; TS_ERR_SYSTEM. */
enum ts_err ts_file_read(const char *path, size_t max, uint8_t **data, size_t *len,
                         struct ts_why *why) TS_MUST_USE;

/* Replaces a file in one step: written aside ("PATH.new"), fsynced, renamed, the directory
 * fsynced. After a crash there is the old content or the new one, never a mixture.
 * `mode` is the new file's, regardless of the umask. TS_ERR_NOSPACE, TS_ERR_IO, TS_ERR_SYSTEM. */
enum ts_err ts_file_replace(const char *path, const void *data, size_t len, mode_t mode,
                            struct ts_why *why) TS_MUST_USE;

/* Removes a file durably; a missing one is no error. */
enum ts_err ts_file_remove(const char *path, struct ts_why *why) TS_MUST_USE;

/* write/pread until all is done; a short read at the end of the file is TS_ERR_SHORT.
 * `path` is for the sentence only. */
enum ts_err ts_fd_write_at(int fd, const char *path, const void *data, size_t len, uint64_t offset,
                           struct ts_why *why) TS_MUST_USE;
enum ts_err ts_fd_read_at(int fd, const char *path, void *data, size_t len, uint64_t offset,
                          struct ts_why *why) TS_MUST_USE;
/* fdatasync. An error is TS_ERR_IO and means that nothing written through this file may be trusted
 * (R2.11). */
enum ts_err ts_fd_sync(int fd, const char *path, struct ts_why *why) TS_MUST_USE;

/* fsync of a directory: makes creations, renames and removals in it durable. TS_ERR_IO when that
 * failed; otherwise the directory could not be opened. */
enum ts_err ts_dir_sync(const char *path, struct ts_why *why) TS_MUST_USE;
/* mkdir -p, durable; parts that exist are left alone. TS_ERR_EXISTS when a part is no directory. */
enum ts_err ts_dir_make(const char *path, mode_t mode, struct ts_why *why) TS_MUST_USE;
/* Removes a directory with all files in it, one level deep; a missing one is no error. */
enum ts_err ts_dir_remove(const char *path, struct ts_why *why) TS_MUST_USE;

/* Creating a directory with its content in one step: begin gives an empty "DIR.new" to be filled
 * (whatever an interrupted attempt left there is removed), finish fsyncs it and renames it to DIR.
 * So a directory that exists is complete. Parents are made.
 * TS_ERR_EXISTS when DIR exists and is not empty: it is never overwritten. */
enum ts_err ts_dir_stage_begin(const char *dir, char staging[TS_PATH_MAX],
                               struct ts_why *why) TS_MUST_USE;
enum ts_err ts_dir_stage_finish(const char *dir, struct ts_why *why) TS_MUST_USE;

/* Sets a place for a marker aside ("DIR/unmarked"), durably with DIR: a disk that is full can be
 * marked then, too. Part of formatting. TS_ERR_NOSPACE, TS_ERR_IO, TS_ERR_SYSTEM. */
enum ts_err ts_dir_reserve_mark(const char *dir, struct ts_why *why) TS_MUST_USE;
/* R2.11: a disk that failed once is never trusted again, also across restarts. Best effort: the
 * marker "DIR/abandoned" is on the disk that failed. `reason` is one sentence. */
void ts_dir_abandon(const char *dir, const char *reason);
/* R1.8: a disk that the voters refused once stays refused, whatever they still remember later. The
 * marker is "DIR/refused"; best effort, too. `reason` is part of a sentence. */
void ts_dir_refuse(const char *dir, const char *reason);
/* TS_ERR_ABANDONED or TS_ERR_CLONE, with the reason, when DIR bears a marker. */
enum ts_err ts_dir_check_marks(const char *dir, struct ts_why *why) TS_MUST_USE;

/* The lock of a data directory: one process at a time. */
struct ts_dir_lock {
    int fd; /* of DIR/lock, -1 when not held */
};

/* Takes the exclusive lock (fcntl's of the open file DIR/lock, given up by the kernel when the
 * process ends) and writes the own process id there. TS_ERR_BUSY: another process has it; `why`
 * names its pid. (A dead one may have left it to a process that it was just starting: up to 3 s are
 * given to that.)
 */
enum ts_err ts_dir_lock(struct ts_dir_lock *lock, const char *dir, struct ts_why *why) TS_MUST_USE;
void ts_dir_unlock(struct ts_dir_lock *lock);

enum ts_dir_use {
    TS_DIR_UNKNOWN, /* there is no lock that could be looked at */
    TS_DIR_FREE,
    TS_DIR_IN_USE,
};

/* Whether a process has the lock of DIR, in this process namespace or in another. Only asks: to try
 * the lock could keep a starting process from having it. */
enum ts_dir_use ts_dir_use(const char *dir);
/* The same for one program of a node, on DIR/run/PROGRAM.lock: two of them would take each other's
 * sockets away. Up to 3 s are given to one that is ending: whoever starts this one anew has killed
 * it. (A replica's lock is its record, a voter's its store; nicd's is that of the node.) */
enum ts_err ts_dir_lock_program(struct ts_dir_lock *lock, const char *dir, const char *program,
                                struct ts_why *why) TS_MUST_USE;

/* To be called first in a program: whichever of the descriptors 0, 1 and 2 is closed ("PROGRAM
 * >&-") refers to /dev/null then, so that no file that is opened later gets its number and, with
 * it, what is printed. Printing to it, or reading from it, fails as with a closed one (EBADF).
 * False when /dev/null cannot be opened; the program must open nothing then. */
bool ts_std_fds_hold(void) TS_MUST_USE;

/* A random 64-bit number from the operating system, never 0: incarnations, instances, nonces. */
uint64_t ts_random_id(void);

#endif
