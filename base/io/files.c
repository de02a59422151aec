#include "base/io/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/io/disk.h"

/* Of a file that says it has no bytes. */
#define UNSIZED_MAX 65536U

enum ts_err ts_why(struct ts_why *why, enum ts_err err, const char *fmt, ...)
{
    if (why != NULL) {
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(why->text, sizeof(why->text), fmt, ap);
        va_end(ap);
    }
    return err;
}

static enum ts_err err_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
    case ENOTDIR:
        return TS_ERR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return TS_ERR_EXISTS;
    case ENOSPC:
    case EDQUOT:
        return TS_ERR_NOSPACE;
    case ENOMEM:
    case EMFILE: /* a want of this process or machine, too: it says nothing of the disk */
    case ENFILE:
        return TS_ERR_NOMEM;
    case EIO:
    case EROFS:
        return TS_ERR_IO;
    default:
        return TS_ERR_SYSTEM;
    }
}

/* What an operator can do about it; "" when the text of the error says enough. */
static const char *advice_of_errno(int errnum)
{
    switch (errnum) {
    case EACCES:
    case EPERM:
        return "; check the owner and the permissions";
    case ENOSPC:
    case EDQUOT:
        return "; free space on this file system";
    case EIO:
        return "; the device or file system failed: look at the kernel log and replace it";
    case EROFS:
        return "; the file system is mounted read-only: look at the kernel log";
    case EMFILE:
    case ENFILE:
        return "; raise the limit of open files";
    default:
        return "";
    }
}

static void say_errno(struct ts_why *why, int errnum, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
static void say_errno(struct ts_why *why, int errnum, const char *fmt, va_list ap)
{
    int n = vsnprintf(why->text, sizeof(why->text), fmt, ap);
    size_t used = n < 0 ? 0 : (size_t)n;
    if (used < sizeof(why->text)) {
        char buf[128];
        (void)snprintf(why->text + used, sizeof(why->text) - used, ": %s%s",
                       strerror_r(errnum, buf, sizeof(buf)), advice_of_errno(errnum));
    }
}

enum ts_err ts_why_sys(struct ts_why *why, int errnum, const char *fmt, ...)
{
    if (why != NULL) {
        va_list ap;
        va_start(ap, fmt);
        say_errno(why, errnum, fmt, ap);
        va_end(ap);
    }
    return err_of_errno(errnum);
}

enum ts_err ts_why_sync(struct ts_why *why, int errnum, const char *fmt, ...)
{
    if (why != NULL) {
        va_list ap;
        va_start(ap, fmt);
        say_errno(why, errnum, fmt, ap);
        va_end(ap);
    }
    return TS_ERR_IO;
}

enum ts_err ts_path(char out[TS_PATH_MAX], struct ts_why *why, const char *dir, const char *fmt,
                    ...)
{
    int n = snprintf(out, TS_PATH_MAX, "%s/", dir);
    if (n > 0 && n < TS_PATH_MAX) {
        va_list ap;
        va_start(ap, fmt);
        int m = vsnprintf(out + n, (size_t)(TS_PATH_MAX - n), fmt, ap);
        va_end(ap);
        if (m >= 0 && m < TS_PATH_MAX - n) {
            return TS_OK;
        }
    }
    return ts_why(why, TS_ERR_LIMIT,
                  "a path in %.200s… is longer than %d bytes; choose a shorter data directory", dir,
                  TS_PATH_MAX - 1);
}

/* Reads until the end or until `max` + 1 bytes are there; `data` has room for max + 1. */
static enum ts_err read_up_to(int fd, const char *path, uint8_t *data, size_t max, size_t *len,
                              struct ts_why *why)
{
    size_t got = 0;
    while (got <= max) {
        ssize_t n = read(fd, data + got, max + 1 - got);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return ts_why_sys(why, errno, "cannot read %s", path);
        }
        if (n == 0) {
            break;
        }
        got += (size_t)n;
    }
    if (got > max) {
        return ts_why(why, TS_ERR_LIMIT, "%s is longer than the %zu bytes it may have", path, max);
    }
    *len = got;
    return TS_OK;
}

enum ts_err ts_file_read(const char *path, size_t max, uint8_t **data, size_t *len,
                         struct ts_why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return ts_why_sys(why, errno, "cannot open %s", path);
    }
    /* Grows with the file's real size: `max` may be generous. Files of /proc say that they have
     * none.
     */
    struct stat st;
    size_t cap = max;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size < max) {
        cap = st.st_size > 0 ? (size_t)st.st_size : max < UNSIZED_MAX ? max : UNSIZED_MAX;
    }
    uint8_t *buf = malloc(cap + 1);
    if (buf == NULL) {
        (void)close(fd);
        return ts_why(why, TS_ERR_NOMEM, "no memory to read %s", path);
    }
    enum ts_err err = read_up_to(fd, path, buf, cap, len, why);
    (void)close(fd);
    if (err != TS_OK) {
        free(buf);
        return err;
    }
    buf[*len] = 0;
    *data = buf;
    return TS_OK;
}

/* The directory part of `path`; "." when there is none. */
static enum ts_err parent_of(char out[TS_PATH_MAX], const char *path, struct ts_why *why)
{
    size_t len = strlen(path);
    if (len >= TS_PATH_MAX) {
        return ts_why(why, TS_ERR_LIMIT, "the path %.200s… is longer than %d bytes", path,
                      TS_PATH_MAX - 1);
    }
    memcpy(out, path, len + 1);
    char *slash = strrchr(out, '/');
    if (slash == NULL) {
        memcpy(out, ".", 2);
    } else if (slash == out) {
        out[1] = 0;
    } else {
        *slash = 0;
    }
    return TS_OK;
}

static enum ts_err sync_parent(const char *path, struct ts_why *why)
{
    char parent[TS_PATH_MAX];
    enum ts_err err = parent_of(parent, path, why);
    return err != TS_OK ? err : ts_dir_sync(parent, why);
}

static enum ts_err write_aside(const char *aside, const void *data, size_t len, mode_t mode,
                               struct ts_why *why)
{
    int fd = ts_disk_open(aside, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) {
        return ts_why_sys(why, errno, "cannot create %s", aside);
    }
    enum ts_err err = TS_OK;
    if (ts_disk_set_mode(fd, mode) != 0) {
        err = ts_why_sys(why, errno, "cannot set the permissions of %s", aside);
    }
    if (err == TS_OK) {
        err = ts_fd_write_at(fd, aside, data, len, 0, why);
    }
    if (err == TS_OK && ts_disk_sync(fd) != 0) {
        err = ts_why_sync(why, errno, "cannot fsync %s", aside);
    }
    if (ts_disk_close(fd) != 0 && err == TS_OK) {
        err = ts_why_sys(why, errno, "cannot close %s", aside);
    }
    return err;
}

enum ts_err ts_file_replace(const char *path, const void *data, size_t len, mode_t mode,
                            struct ts_why *why)
{
    char aside[TS_PATH_MAX];
    int n = snprintf(aside, sizeof(aside), "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof(aside)) {
        return ts_why(why, TS_ERR_LIMIT, "the path %.200s… is longer than %d bytes", path,
                      TS_PATH_MAX - 5);
    }
    enum ts_err err = write_aside(aside, data, len, mode, why);
    if (err != TS_OK) {
        (void)ts_disk_unlink(aside);
        return err;
    }
    if (ts_disk_rename(aside, path) != 0) {
        err = ts_why_sys(why, errno, "cannot rename %s to %s", aside, path);
        (void)ts_disk_unlink(aside);
        return err;
    }
    return sync_parent(path, why);
}

enum ts_err ts_file_remove(const char *path, struct ts_why *why)
{
    if (ts_disk_unlink(path) != 0) {
        return errno == ENOENT ? TS_OK : ts_why_sys(why, errno, "cannot remove %s", path);
    }
    return sync_parent(path, why);
}

enum ts_err ts_fd_write_at(int fd, const char *path, const void *data, size_t len, uint64_t offset,
                           struct ts_why *why)
{
    const uint8_t *p = data;
    size_t done = 0;
    while (done < len) {
        ssize_t n = ts_disk_write(fd, p + done, len - done, offset + done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return ts_why_sys(why, n < 0 ? errno : EIO, "cannot write %zu bytes at %llu of %s", len,
                              (unsigned long long)offset, path);
        }
        done += (size_t)n;
    }
    return TS_OK;
}

enum ts_err ts_fd_read_at(int fd, const char *path, void *data, size_t len, uint64_t offset,
                          struct ts_why *why)
{
    uint8_t *p = data;
    size_t done = 0;
    while (done < len) {
        ssize_t n = ts_disk_read(fd, p + done, len - done, offset + done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return ts_why_sys(why, errno, "cannot read %zu bytes at %llu of %s", len,
                              (unsigned long long)offset, path);
        }
        if (n == 0) {
            return ts_why(why, TS_ERR_SHORT, "%s ends before byte %llu; it was cut short", path,
                          (unsigned long long)offset + len);
        }
        done += (size_t)n;
    }
    return TS_OK;
}

enum ts_err ts_fd_sync(int fd, const char *path, struct ts_why *why)
{
    if (ts_disk_sync_data(fd) != 0) {
        return ts_why_sync(why, errno, "cannot fdatasync %s", path);
    }
    return TS_OK;
}

bool ts_std_fds_hold(void)
{
    static const int MODES[] = {[STDIN_FILENO] = O_WRONLY, /* as good as closed: no EOF is read */
                                [STDOUT_FILENO] = O_RDONLY,
                                [STDERR_FILENO] = O_RDONLY};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            continue;
        }
        if (open("/dev/null", MODES[fd]) !=
            fd) { /* the lowest that is free: those below are open */
            return false;
        }
    }
    return true;
}
