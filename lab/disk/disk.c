/* A disk that loses what was not synced: a library for LD_PRELOAD.
 *
 * Files under the folder LABDISK_DIR get a memory overlay: writes go there,
 * reads see it, and only fsync or fdatasync carries it to the real file. The end
 * of the process (SIGKILL) therefore loses what was not synced, as a power cut
 * would. Each process is its own machine: two do not see each other's overlay.
 *
 * LABDISK_ONLY=TEXT:…     only files whose path below the folder contains one of these
 * LABDISK_LEAK=PERCENT    so many of the sectors of a write reach the real file at once, at
 * random: a power cut keeps parts of unsynced writes in any order (torn writes)
 * LABDISK_IGNORE_SYNC=1   fdatasync reports success and carries nothing (a lying disk, or a
 * program that forgot it); any other value: only for files whose path contains it LABDISK_SEED=N
 * of the random choice; default: the process id
 * LABDISK_THROUGH=1       no overlay: writes reach the real file, and only LABDISK_FAIL matters
 * LABDISK_FAIL=FILE       while FILE exists, each of its lines says "write N TEXT", "sync N TEXT"
 * or "slow MS TEXT": that call on a file whose path contains TEXT does nothing and fails with the
 *     error N (names do not change either with EROFS), with 0 it waits until FILE says something
 *     else (sync, read); a slow sync takes so many milliseconds more
 * LABDISK_DONE=FILE       gets the line for each call that failed, waits or was slow
 *
 * Limits: names (creation, rename, removal) and truncation at open are durable at once; dup'ed
 * descriptors, mmap and stdio are not caught. libuv's vectored calls go through syscall(): caught,
 * in disk_syscall.c.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lab/disk/disk.h"

#define FDS_MAX 65536
#define PAGE ((size_t)4096)
#define SECTOR ((size_t)512)
#define WAITS (-1)
#define REAL_AND_ORDERS layer.syscall, layer.fail, layer.done, layer.dir
#define LOOK_AGAIN_MS 5

/* One file under the folder, known by its inode. */
struct file {
    struct file *next;
    dev_t dev;
    ino_t ino;
    unsigned opens;
    bool unlinked;
    bool sync_ignored;
    int fd; /* own descriptor for reading and writing the real file, -1 before the first write */
    uint8_t *data;  /* the whole content as the process sees it; NULL before the first write */
    uint8_t *dirty; /* one byte a page */
    size_t size;
    size_t cap; /* of data, whole pages */
    bool size_dirty;
};

/* An interposed function has no argument of ours: the one place for globals. */
static struct {
    pthread_mutex_t mutex;
    bool ready;
    disk_real_fn *syscall;
    char dir[DISK_PATH_BYTES]; /* "" switches the layer off */
    const char *only;          /* NULL: every file under dir */
    const char *ignore_sync;
    const char *fail; /* NULL: nothing fails */
    const char *done;
    bool through;
    unsigned leak_percent;
    uint64_t random;
    struct file *files;
    struct file *fds[FDS_MAX];
} layer = {.mutex = PTHREAD_MUTEX_INITIALIZER};

#define REAL(number, ...) layer.syscall((number), __VA_ARGS__)

/* ---- set-up ---- */

/* A child that is forked finds the lock free. */
static void before_fork(void)
{
    (void)pthread_mutex_lock(&layer.mutex);
}

static void after_fork(void)
{
    (void)pthread_mutex_unlock(&layer.mutex);
}

static void set_up_locked(void)
{
    if (layer.ready) {
        return;
    }
    void *next = dlsym(RTLD_NEXT, "syscall");
    memcpy(&layer.syscall, &next, sizeof(next));
    const char *dir = getenv("LABDISK_DIR");
    if (dir != NULL && realpath(dir, layer.dir) == NULL) {
        (void)snprintf(layer.dir, sizeof(layer.dir), "%s", dir);
    }
    layer.only = getenv("LABDISK_ONLY");
    layer.ignore_sync = getenv("LABDISK_IGNORE_SYNC");
    layer.fail = getenv("LABDISK_FAIL");
    layer.done = getenv("LABDISK_DONE");
    layer.through = getenv("LABDISK_THROUGH") != NULL;
    const char *leak = getenv("LABDISK_LEAK");
    layer.leak_percent = leak != NULL ? (unsigned)strtoul(leak, NULL, 10) : 0;
    const char *seed = getenv("LABDISK_SEED");
    layer.random = seed != NULL ? (uint64_t)strtoull(seed, NULL, 10) : (uint64_t)getpid();
    layer.random = layer.random * 0x9e3779b97f4a7c15ULL + 1ULL;
    (void)pthread_atfork(before_fork, after_fork, after_fork);
    __atomic_store_n(&layer.ready, true, __ATOMIC_RELEASE);
}

static void lock(void)
{
    (void)pthread_mutex_lock(&layer.mutex);
    set_up_locked();
}

static void unlock(void)
{
    (void)pthread_mutex_unlock(&layer.mutex);
}

/* Whether the descriptor is none of the layer's, without the lock: signal handlers read and write
 * pipes, also of a thread that has the lock. */
static bool passes(int fd)
{
    return __atomic_load_n(&layer.ready, __ATOMIC_ACQUIRE) &&
           (fd < 0 || fd >= FDS_MAX || __atomic_load_n(&layer.fds[fd], __ATOMIC_ACQUIRE) == NULL);
}

static bool leaks(void)
{
    return disk_random(&layer.random) % 100 < layer.leak_percent;
}

/* ---- files ---- */

static struct file *find_file(dev_t dev, ino_t ino)
{
    struct file *f = layer.files;
    while (f != NULL && (f->dev != dev || f->ino != ino)) {
        f = f->next;
    }
    return f;
}

static void drop_content(struct file *f)
{
    free(f->data);
    free(f->dirty);
    f->data = NULL;
    f->dirty = NULL;
    f->size = 0;
    f->cap = 0;
    f->size_dirty = false;
    if (f->fd >= 0) {
        (void)REAL(SYS_close, f->fd);
        f->fd = -1;
    }
}

static bool is_dirty(const struct file *f)
{
    for (size_t i = 0; f->data != NULL && i < f->cap / PAGE; i++) {
        if (f->dirty[i] != 0) {
            return true;
        }
    }
    return f->size_dirty;
}

/* Forgets a file that nobody has open, unless it holds unsynced data. */
static void maybe_forget(struct file *f)
{
    if (f->opens > 0 || (is_dirty(f) && !f->unlinked)) {
        return;
    }
    struct file **link = &layer.files;
    while (*link != f) {
        link = &(*link)->next;
    }
    *link = f->next;
    drop_content(f);
    free(f);
}

/* Whether the descriptor's file lies under the folder; gives its path. */
static bool under_dir(int fd, char path[DISK_PATH_BYTES])
{
    return disk_under(layer.syscall, fd, layer.dir, layer.only, path);
}

/* The number of the order for this call on the descriptor; false: there is none. */
static bool ordered(int fd, const char *verb, int *number)
{
    char path[DISK_PATH_BYTES];
    return layer.fail != NULL && under_dir(fd, path) &&
           disk_ordered(layer.syscall, layer.fail, layer.done, path, verb, number);
}

/* The error with which this call on the descriptor is to fail now; 0 = none, WAITS = it waits. */
static int failing(int fd, const char *call)
{
    int error = 0;
    if (!ordered(fd, call, &error)) {
        return 0;
    }
    return error == 0 ? WAITS : error;
}

/* After a successful open: begins to follow the descriptor. */
static void follow(int fd, int flags)
{
    char path[DISK_PATH_BYTES];
    struct stat st;
    if (fd < 0 || fd >= FDS_MAX || REAL(SYS_fstat, fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        !under_dir(fd, path)) {
        return;
    }
    struct file *f = find_file(st.st_dev, st.st_ino);
    if (f == NULL) {
        f = calloc(1, sizeof(*f));
        if (f == NULL) {
            disk_die("memory");
        }
        f->dev = st.st_dev;
        f->ino = st.st_ino;
        f->fd = -1;
        f->next = layer.files;
        layer.files = f;
    }
    f->sync_ignored = disk_ignores(layer.ignore_sync, path);
    if ((flags & O_TRUNC) != 0) {
        drop_content(f);
    }
    f->opens++;
    layer.fds[fd] = f;
}

static struct file *file_of(int fd)
{
    return fd >= 0 && fd < FDS_MAX ? layer.fds[fd] : NULL;
}

/* ---- content ---- */

static void grow(struct file *f, size_t size)
{
    size_t cap = (size + PAGE - 1) / PAGE * PAGE;
    if (cap <= f->cap) {
        return;
    }
    cap = cap < 2 * f->cap ? 2 * f->cap : cap;
    f->data = realloc(f->data, cap);
    f->dirty = realloc(f->dirty, cap / PAGE);
    if (f->data == NULL || f->dirty == NULL) {
        disk_die("memory");
    }
    memset(f->data + f->cap, 0, cap - f->cap);
    memset(f->dirty + f->cap / PAGE, 0, (cap - f->cap) / PAGE);
    f->cap = cap;
}

/* Before the first write: takes the real content into memory. */
static void load(struct file *f, int fd)
{
    if (f->data != NULL) {
        return;
    }
    char link[64];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    f->fd = (int)REAL(SYS_openat, AT_FDCWD, link, O_RDWR | O_CLOEXEC);
    struct stat st;
    if (f->fd < 0 || REAL(SYS_fstat, f->fd, &st) != 0) {
        disk_die("cannot open the real file");
    }
    f->size = (size_t)st.st_size;
    grow(f, f->size + 1);
    size_t done = 0;
    while (done < f->size) {
        long n = REAL(SYS_pread64, f->fd, f->data + done, f->size - done, done);
        if (n <= 0) {
            disk_die("cannot read the real file");
        }
        done += (size_t)n;
    }
}

static void write_real(struct file *f, size_t from, size_t to)
{
    while (from < to) {
        long n = REAL(SYS_pwrite64, f->fd, f->data + from, to - from, from);
        if (n <= 0) {
            disk_die("cannot write the real file");
        }
        from += (size_t)n;
    }
}

static void leak_sectors(struct file *f, size_t from, size_t to)
{
    for (size_t at = from / SECTOR * SECTOR; at < to; at += SECTOR) {
        size_t end = at + SECTOR < f->size ? at + SECTOR : f->size;
        if (leaks()) {
            write_real(f, at, end);
        }
    }
}

static void overlay_write(struct file *f, int fd, const void *data, size_t len, size_t at)
{
    load(f, fd);
    if (len == 0) {
        return;
    }
    grow(f, at + len);
    memcpy(f->data + at, data, len);
    memset(f->dirty + at / PAGE, 1, (at + len - 1) / PAGE - at / PAGE + 1);
    if (at + len > f->size) {
        f->size = at + len;
        f->size_dirty = true;
    }
    if (layer.leak_percent > 0) {
        leak_sectors(f, at, at + len);
    }
}

static size_t overlay_read(const struct file *f, void *data, size_t len, size_t at)
{
    if (at >= f->size) {
        return 0;
    }
    size_t n = f->size - at < len ? f->size - at : len;
    memcpy(data, f->data + at, n);
    return n;
}

/* Carries the overlay to the real file. */
static void flush(struct file *f)
{
    if (f->data == NULL) {
        return;
    }
    size_t pages = f->cap / PAGE;
    size_t i = 0;
    while (i < pages) {
        size_t first = i;
        while (i < pages && f->dirty[i] != 0) {
            f->dirty[i++] = 0;
        }
        size_t end = i * PAGE < f->size ? i * PAGE : f->size;
        if (end > first * PAGE) {
            write_real(f, first * PAGE, end);
        }
        i += i == first ? 1 : 0;
    }
    if (f->size_dirty && REAL(SYS_ftruncate, f->fd, f->size) != 0) {
        disk_die("cannot set the real file's size");
    }
    f->size_dirty = false;
}

/* ---- opening, closing, names ---- */

int disk_open_at(int dir, const char *path, int flags, mode_t mode)
{
    if (((flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0) &&
        disk_refuses(REAL_AND_ORDERS, path)) {
        return -1;
    }
    lock();
    int fd = (int)REAL(SYS_openat, dir, path, flags, mode);
    int saved = errno;
    follow(fd, flags);
    unlock();
    errno = saved;
    return fd;
}

int close(int fd)
{
    if (passes(fd)) {
        return (int)REAL(SYS_close, fd);
    }
    lock();
    struct file *f = file_of(fd);
    if (f != NULL) {
        layer.fds[fd] = NULL;
        f->opens--;
        maybe_forget(f);
    }
    unlock();
    return (int)REAL(SYS_close, fd);
}

/* The inode behind a name is about to lose that name: it may be reused, its overlay must not. */
static void name_goes(int dir, const char *path)
{
    struct stat st;
    if (REAL(SYS_newfstatat, dir, path, &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_nlink > 1) {
        return;
    }
    struct file *f = find_file(st.st_dev, st.st_ino);
    if (f != NULL) {
        f->unlinked = true;
        maybe_forget(f);
    }
}

int unlinkat(int dir, const char *path, int flags)
{
    if (disk_refuses(REAL_AND_ORDERS, path)) {
        return -1;
    }
    lock();
    if ((flags & AT_REMOVEDIR) == 0) {
        name_goes(dir, path);
    }
    int rc = (int)REAL(SYS_unlinkat, dir, path, flags);
    unlock();
    return rc;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rename(const char *from, const char *to)
{
    if (disk_refuses(REAL_AND_ORDERS, to)) {
        return -1;
    }
    lock();
    name_goes(AT_FDCWD, to);
    int rc = (int)REAL(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    unlock();
    return rc;
}

/* ---- writing ---- */

/* All of an iovec at an offset; false when it is the real file's to write. */
static bool write_vector(int fd, const struct iovec *iov, int count, off_t at, ssize_t *result)
{
    lock();
    struct file *f = file_of(fd);
    int error = f == NULL ? 0 : failing(fd, "write");
    bool mine = f != NULL && (error != 0 || !layer.through);
    size_t done = 0;
    for (int i = 0; mine && error == 0 && i < count; i++) {
        overlay_write(f, fd, iov[i].iov_base, iov[i].iov_len, (size_t)at + done);
        done += iov[i].iov_len;
    }
    unlock();
    *result = error == 0 ? (ssize_t)done : -1;
    errno = error == 0 ? errno : error;
    return mine;
}

/* At the descriptor's own offset, which it moves. */
static bool write_vector_here(int fd, const struct iovec *iov, int count, ssize_t *result)
{
    if (passes(fd)) {
        return false;
    }
    lock();
    struct file *f = file_of(fd);
    off_t at = 0;
    if (f != NULL && !layer.through) {
        load(f, fd);
        bool append = (REAL(SYS_fcntl, fd, F_GETFL) & O_APPEND) != 0;
        at = append ? (off_t)f->size : (off_t)REAL(SYS_lseek, fd, 0, SEEK_CUR);
    }
    unlock();
    if (f == NULL || !write_vector(fd, iov, count, at, result)) {
        return false;
    }
    if (*result >= 0) {
        (void)REAL(SYS_lseek, fd, at + *result, SEEK_SET);
    }
    return true;
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
    ssize_t n;
    return write_vector(fd, iov, count, at, &n) ? n : REAL(SYS_pwritev, fd, iov, count, at, 0);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off_t at)
{
    return pwritev(fd, iov, count, at);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t at, int flags)
{
    ssize_t n;
    if (at == -1 ? write_vector_here(fd, iov, count, &n) : write_vector(fd, iov, count, at, &n)) {
        return n;
    }
    return REAL(SYS_pwritev2, fd, iov, count, at, 0, flags);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    struct iovec v = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    ssize_t n;
    return write_vector(fd, &v, 1, at, &n) ? n : REAL(SYS_pwrite64, fd, data, len, at);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t at)
{
    return pwrite(fd, data, len, at);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    ssize_t n;
    return write_vector_here(fd, iov, count, &n) ? n : REAL(SYS_writev, fd, iov, count);
}

ssize_t write(int fd, const void *data, size_t len)
{
    struct iovec v = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    ssize_t n;
    return write_vector_here(fd, &v, 1, &n) ? n : REAL(SYS_write, fd, data, len);
}

int ftruncate(int fd, off_t size)
{
    lock();
    struct file *f = layer.through ? NULL : file_of(fd);
    if (f != NULL) {
        load(f, fd);
        grow(f, (size_t)size + 1);
        if ((size_t)size < f->size) {
            memset(f->data + size, 0, f->size - (size_t)size);
        }
        f->size = (size_t)size;
        f->size_dirty = true;
    }
    unlock();
    return f != NULL ? 0 : (int)REAL(SYS_ftruncate, fd, size);
}

int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

/* ---- syncing ---- */

/* As long as this call is to wait, waits. */
static int ordered_error(int fd, const char *call)
{
    for (;;) {
        lock();
        int error = file_of(fd) == NULL ? 0 : failing(fd, call);
        unlock();
        if (error != WAITS) {
            return error;
        }
        (void)poll(NULL, 0, LOOK_AGAIN_MS); /* until FILE says something else */
    }
}

/* false when it is the real file's to sync. */
static bool sync_overlay(int fd, bool may_ignore, int *result)
{
    int ms = 0;
    lock();
    if (file_of(fd) != NULL) {
        (void)ordered(fd, "slow", &ms);
    }
    unlock();
    (void)poll(NULL, 0, ms);
    int error = ordered_error(fd, "sync");
    lock();
    struct file *f = file_of(fd);
    bool mine = f != NULL && (error != 0 || !layer.through);
    if (mine && error == 0 && !(may_ignore && f->sync_ignored)) {
        flush(f);
    }
    unlock();
    *result = error == 0 ? 0 : -1;
    errno = error == 0 ? errno : error;
    return mine;
}

int fsync(int fd)
{
    int rc;
    return sync_overlay(fd, false, &rc) ? rc : (int)REAL(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    int rc;
    return sync_overlay(fd, true, &rc) ? rc : (int)REAL(SYS_fdatasync, fd);
}

/* ---- reading ---- */

/* false when the descriptor is not ours or its file has no overlay. */
static bool read_vector(int fd, const struct iovec *iov, int count, off_t at, ssize_t *result)
{
    int error = ordered_error(fd, "read");
    if (error != 0) {
        errno = error;
        *result = -1;
        return true;
    }
    lock();
    const struct file *f = file_of(fd);
    bool mine = f != NULL && f->data != NULL;
    size_t done = 0;
    for (int i = 0; mine && i < count; i++) {
        size_t n = overlay_read(f, iov[i].iov_base, iov[i].iov_len, (size_t)at + done);
        done += n;
        if (n < iov[i].iov_len) {
            break;
        }
    }
    unlock();
    *result = (ssize_t)done;
    return mine;
}

static bool read_vector_here(int fd, const struct iovec *iov, int count, ssize_t *result)
{
    if (passes(fd)) {
        return false;
    }
    lock();
    bool mine = file_of(fd) != NULL;
    off_t at = mine ? (off_t)REAL(SYS_lseek, fd, 0, SEEK_CUR) : 0;
    unlock();
    if (!mine || !read_vector(fd, iov, count, at, result)) {
        return false;
    }
    if (*result >= 0) {
        (void)REAL(SYS_lseek, fd, at + *result, SEEK_SET);
    }
    return true;
}

ssize_t preadv(int fd, const struct iovec *iov, int count, off_t at)
{
    ssize_t n;
    return read_vector(fd, iov, count, at, &n) ? n : REAL(SYS_preadv, fd, iov, count, at, 0);
}

ssize_t preadv64(int fd, const struct iovec *iov, int count, off_t at)
{
    return preadv(fd, iov, count, at);
}

ssize_t pread(int fd, void *data, size_t len, off_t at)
{
    struct iovec v = {.iov_base = data, .iov_len = len};
    ssize_t n;
    return read_vector(fd, &v, 1, at, &n) ? n : REAL(SYS_pread64, fd, data, len, at);
}

ssize_t pread64(int fd, void *data, size_t len, off_t at)
{
    return pread(fd, data, len, at);
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
    ssize_t n;
    return read_vector_here(fd, iov, count, &n) ? n : REAL(SYS_readv, fd, iov, count);
}

ssize_t read(int fd, void *data, size_t len)
{
    struct iovec v = {.iov_base = data, .iov_len = len};
    ssize_t n;
    return read_vector_here(fd, &v, 1, &n) ? n : REAL(SYS_read, fd, data, len);
}

/* ---- size and offset ---- */

static void patch_size(struct stat *st)
{
    lock();
    const struct file *f = find_file(st->st_dev, st->st_ino);
    if (f != NULL && f->data != NULL) {
        st->st_size = (off_t)f->size;
    }
    unlock();
}

/* Makes sure that REAL works in functions that do not lock. */
static void ready(void)
{
    lock();
    unlock();
}

int fstatat(int dir, const char *path, struct stat *st, int flags)
{
    ready();
    int rc = (int)REAL(SYS_newfstatat, dir, path, st, flags);
    if (rc == 0) {
        patch_size(st);
    }
    return rc;
}

int fstat(int fd, struct stat *st)
{
    ready();
    int rc = (int)REAL(SYS_fstat, fd, st);
    if (rc == 0) {
        patch_size(st);
    }
    return rc;
}

int stat(const char *path, struct stat *st)
{
    return fstatat(AT_FDCWD, path, st, 0);
}

int lstat(const char *path, struct stat *st)
{
    return fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

off_t lseek(int fd, off_t offset, int whence)
{
    lock();
    const struct file *f = file_of(fd);
    if (f != NULL && f->data != NULL && whence == SEEK_END) {
        offset += (off_t)f->size;
        whence = SEEK_SET;
    }
    unlock();
    return REAL(SYS_lseek, fd, offset, whence);
}

off_t lseek64(int fd, off_t offset, int whence)
{
    return lseek(fd, offset, whence);
}

disk_real_fn *disk_real(void)
{
    ready();
    return layer.syscall;
}
