#include "base/io/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int ts_disk_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags | O_CLOEXEC, mode);
}

int ts_disk_close(int fd)
{
    return close(fd);
}

ssize_t ts_disk_read(int fd, void *data, size_t len, uint64_t offset)
{
    return pread(fd, data, len, (off_t)offset);
}

ssize_t ts_disk_write(int fd, const void *data, size_t len, uint64_t offset)
{
    return pwrite(fd, data, len, (off_t)offset);
}

ssize_t ts_disk_write_vector(int fd, const struct iovec *iov, int count, uint64_t offset)
{
    return pwritev(fd, iov, count, (off_t)offset);
}

int ts_disk_sync_data(int fd)
{
    return fdatasync(fd);
}

int ts_disk_sync(int fd)
{
    return fsync(fd);
}

int ts_disk_size(int fd, uint64_t *bytes)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return -1;
    }
    *bytes = (uint64_t)st.st_size;
    return 0;
}

int ts_disk_space(const char *path, uint64_t *total, uint64_t *free)
{
    struct statvfs st;
    if (statvfs(path, &st) != 0) {
        return -1;
    }
    *total = (uint64_t)st.f_blocks * st.f_frsize;
    *free = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

void ts_disk_forget(int fd)
{
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

int ts_disk_set_mode(int fd, mode_t mode)
{
    return fchmod(fd, mode);
}

int ts_disk_lock(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB);
}

int ts_disk_rename(const char *from, const char *to)
{
    return rename(from, to);
}

int ts_disk_rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if ((errno != EINVAL && errno != ENOSYS) || link(from, to) != 0) {
        return -1;
    }
    return unlink(from);
}

int ts_disk_unlink(const char *path)
{
    return unlink(path);
}

int ts_disk_exists(const char *path, bool *is_dir)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return -1;
    }
    if (is_dir != NULL) {
        *is_dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    }
    return 0;
}

int ts_disk_make_dir(const char *path, mode_t mode)
{
    return mkdir(path, mode);
}

int ts_disk_remove_dir(const char *path)
{
    return rmdir(path);
}

int ts_disk_list(const char *path, ts_disk_name_fn *told, void *arg)
{
    DIR *d = opendir(path);
    if (d == NULL) {
        return -1;
    }
    int result = 0;
    int failed = 0;
    while (result == 0) {
        errno = 0; /* the only thing that tells an error from the end */
        const struct dirent *e = readdir(d);
        if (e == NULL) {
            failed = errno;
            break;
        }
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            result = told(arg, e->d_name);
        }
    }
    (void)closedir(d);
    if (failed != 0) {
        errno = failed;
        return -1;
    }
    return result;
}
