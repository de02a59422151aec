/* Calls by number, as libuv makes its vectored ones: those that disk.c follows go there. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lab/disk/disk.h"

static long dispatch(long number, const long a[6], bool *mine)
{
    *mine = true;
    switch (number) {
    case SYS_pwritev:
        return pwritev((int)a[0], (const struct iovec *)a[1], (int)a[2], a[3]);
    case SYS_pwritev2:
        return pwritev2((int)a[0], (const struct iovec *)a[1], (int)a[2], a[3], (int)a[5]);
    case SYS_preadv:
        return preadv((int)a[0], (const struct iovec *)a[1], (int)a[2], a[3]);
    case SYS_pwrite64:
        return pwrite((int)a[0], (const void *)a[1], (size_t)a[2], a[3]);
    case SYS_pread64:
        return pread((int)a[0], (void *)a[1], (size_t)a[2], a[3]);
    case SYS_write:
        return write((int)a[0], (const void *)a[1], (size_t)a[2]);
    case SYS_read:
        return read((int)a[0], (void *)a[1], (size_t)a[2]);
    case SYS_writev:
        return writev((int)a[0], (const struct iovec *)a[1], (int)a[2]);
    case SYS_fsync:
        return fsync((int)a[0]);
    case SYS_fdatasync:
        return fdatasync((int)a[0]);
    case SYS_ftruncate:
        return ftruncate((int)a[0], a[1]);
    case SYS_openat:
        return openat((int)a[0], (const char *)a[1], (int)a[2], (mode_t)a[3]);
    case SYS_close:
        return close((int)a[0]);
    default:
        *mine = false;
        return 0;
    }
}

long syscall(long number, ...)
{
    long a[6];
    va_list ap;
    va_start(ap, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(ap, long);
    }
    va_end(ap);
    bool mine;
    long rc = dispatch(number, a, &mine);
    return mine ? rc : disk_real()(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
