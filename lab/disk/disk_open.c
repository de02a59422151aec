/* Opening, by all its names. */
#include <fcntl.h>
#include <stdarg.h>

#include "lab/disk/disk.h"

#define TAKE_MODE(mode, flags) \
    mode_t mode = 0; \
    if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE) { \
        va_list ap; \
        va_start(ap, flags); \
        mode = va_arg(ap, mode_t); \
        va_end(ap); \
    }

int open(const char *path, int flags, ...)
{
    TAKE_MODE(mode, flags)
    return disk_open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    TAKE_MODE(mode, flags)
    return disk_open_at(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    TAKE_MODE(mode, flags)
    return disk_open_at(dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...)
{
    TAKE_MODE(mode, flags)
    return disk_open_at(dir, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
    return disk_open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return disk_open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
