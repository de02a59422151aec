/* The system calls that touch a disk, one function each and nothing else: with their return values
 * and errno as the system call's. Whatever must survive a crash (base/io/files.h, slot files, the
 * journal) goes through here, so that the simulator can bring disks of its own, which lose power
 * and damage what they hold (tests/sim/sim_files.c).
 *
 * What they mean and which errors end trust is for the callers to say. */
#ifndef BASE_IO_DISK_H
#define BASE_IO_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* open with O_CLOEXEC; `mode` counts when the file is created. */
int ts_disk_open(const char *path, int flags, mode_t mode);
int ts_disk_close(int fd);
/* pread, pwrite, pwritev: may do a part, or be interrupted (EINTR). */
ssize_t ts_disk_read(int fd, void *data, size_t len, uint64_t offset);
ssize_t ts_disk_write(int fd, const void *data, size_t len, uint64_t offset);
ssize_t ts_disk_write_vector(int fd, const struct iovec *iov, int count, uint64_t offset);
/* fdatasync; fsync of a file, or of a directory. */
int ts_disk_sync_data(int fd);
int ts_disk_sync(int fd);
/* Of an open file, bytes. */
int ts_disk_size(int fd, uint64_t *bytes);
/* statvfs: of the file system that holds `path`, bytes in all, and those that this user may still
 * take. */
int ts_disk_space(const char *path, uint64_t *total, uint64_t *free);
/* posix_fadvise: what the page cache has of the file, and what is not to be written any more, goes:
 * the next read is the device's. A wish, which may do nothing. */
void ts_disk_forget(int fd);
int ts_disk_set_mode(int fd, mode_t mode);
/* flock: exclusive, refused at once (EWOULDBLOCK) when somebody else has it. */
int ts_disk_lock(int fd);

int ts_disk_rename(const char *from, const char *to);
/* The same, in one step refused (EEXIST) when there is something by that name. Where the file
 * system can not do so: link and unlink, between which both names are there. */
int ts_disk_rename_new(const char *from, const char *to);
int ts_disk_unlink(const char *path);
/* 0 when there is something by that name, a dangling link included; *is_dir, which may be NULL,
 * says whether it is a directory, or a link to one. */
int ts_disk_exists(const char *path, bool *is_dir);
int ts_disk_make_dir(const char *path, mode_t mode);
int ts_disk_remove_dir(const char *path);

/* Told of each name in a directory but "." and ".."; what it removes meanwhile may be told or not.
 * Another result than 0 ends the listing. */
typedef int ts_disk_name_fn(void *arg, const char *name);
/* 0, the callback's result, or -1 with errno when the directory cannot be read. */
int ts_disk_list(const char *path, ts_disk_name_fn *told, void *arg);

#endif
