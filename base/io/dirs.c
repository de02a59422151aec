/* The directory half of base/io/files.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/ids.h"
#include "base/io/disk.h"
#include "base/io/files.h"

#define REASON_MAX 600
#define RESERVED_MARK "unmarked"
#define LOCK_RETRY_MS 10
#define LOCK_WAIT_MS 3000

enum ts_err ts_dir_sync(const char *path, struct ts_why *why)
{
    int fd = ts_disk_open(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        return ts_why_sys(why, errno, "cannot open the directory %s", path);
    }
    enum ts_err err = TS_OK;
    if (ts_disk_sync(fd) != 0) {
        err = ts_why_sync(why, errno, "cannot fsync the directory %s", path);
    }
    (void)ts_disk_close(fd);
    return err;
}

/* Makes one part and its name in the parent durable; the parent exists. */
static enum ts_err make_one(const char *path, mode_t mode, struct ts_why *why)
{
    bool is_dir = false;
    if (ts_disk_exists(path, &is_dir) == 0) {
        return is_dir ? TS_OK
                      : ts_why(why, TS_ERR_EXISTS, "%s exists and is not a directory; move it away",
                               path);
    }
    if (ts_disk_make_dir(path, mode) != 0 && errno != EEXIST) {
        return ts_why_sys(why, errno, "cannot create the directory %s", path);
    }
    char parent[TS_PATH_MAX + 4];
    (void)snprintf(parent, sizeof(parent), "%s/..", path);
    return ts_dir_sync(parent, why);
}

enum ts_err ts_dir_make(const char *path, mode_t mode, struct ts_why *why)
{
    char part[TS_PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(part)) {
        return ts_why(why, TS_ERR_LIMIT,
                      "cannot create a directory with a path of %zu bytes; 1 to %d are allowed",
                      len, TS_PATH_MAX - 1);
    }
    memcpy(part, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (part[i] != '/') {
            continue;
        }
        part[i] = 0;
        enum ts_err err = make_one(part, mode, why);
        if (err != TS_OK) {
            return err;
        }
        part[i] = '/';
    }
    return make_one(part, mode, why);
}

/* What a listing is for, and what came of it. */
struct listing {
    const char *path;
    enum ts_err err;
    struct ts_why *why;
};

static int remove_name(void *arg, const char *name)
{
    struct listing *l = arg;
    char path[TS_PATH_MAX];
    l->err = ts_path(path, l->why, l->path, "%s", name);
    if (l->err == TS_OK && ts_disk_unlink(path) != 0) {
        l->err = ts_why_sys(l->why, errno, "cannot remove %s", path);
    }
    return l->err == TS_OK ? 0 : 1;
}

enum ts_err ts_dir_remove(const char *path, struct ts_why *why)
{
    struct listing l = {.path = path, .why = why};
    if (ts_disk_list(path, remove_name, &l) < 0) {
        return errno == ENOENT ? TS_OK : ts_why_sys(why, errno, "cannot open %s", path);
    }
    if (l.err == TS_OK && ts_disk_remove_dir(path) != 0) {
        l.err = ts_why_sys(why, errno, "cannot remove the directory %s", path);
    }
    return l.err;
}

static enum ts_err staging_path(const char *dir, char staging[TS_PATH_MAX], struct ts_why *why)
{
    int n = snprintf(staging, TS_PATH_MAX, "%s.new", dir);
    if (n < 0 || n >= TS_PATH_MAX) {
        return ts_why(why, TS_ERR_LIMIT, "the path %.200s… is longer than %d bytes", dir,
                      TS_PATH_MAX - 5);
    }
    return TS_OK;
}

static int is_in_the_way(void *arg, const char *name)
{
    struct listing *l = arg;
    l->err = ts_why(l->why, TS_ERR_EXISTS,
                    "%s is formatted already (it contains %s); it is never overwritten: remove "
                    "it yourself only if its data may be lost",
                    l->path, name);
    return 1;
}

/* TS_OK when `dir` is missing or an empty directory. */
static enum ts_err check_free(const char *dir, struct ts_why *why)
{
    struct listing l = {.path = dir, .why = why};
    if (ts_disk_list(dir, is_in_the_way, &l) < 0 && errno != ENOENT) {
        return ts_why_sys(why, errno, "cannot open %s", dir);
    }
    return l.err;
}

enum ts_err ts_dir_stage_begin(const char *dir, char staging[TS_PATH_MAX], struct ts_why *why)
{
    enum ts_err err = staging_path(dir, staging, why);
    if (err == TS_OK) {
        err = check_free(dir, why);
    }
    if (err == TS_OK) {
        err = ts_dir_remove(staging, why);
    }
    return err != TS_OK ? err : ts_dir_make(staging, 0700, why);
}

enum ts_err ts_dir_stage_finish(const char *dir, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = staging_path(dir, path, why);
    if (err == TS_OK) {
        err = ts_dir_sync(path, why);
    }
    if (err != TS_OK) {
        return err;
    }
    /* rename replaces an empty directory, and refuses a filled one. */
    if (ts_disk_rename(path, dir) != 0) {
        return ts_why_sys(why, errno, "cannot rename %s to %s", path, dir);
    }
    char parent[TS_PATH_MAX + 4];
    (void)snprintf(parent, sizeof(parent), "%s/..", dir);
    return ts_dir_sync(parent, why);
}

enum ts_err ts_dir_reserve_mark(const char *dir, struct ts_why *why)
{
    static const uint8_t blank[REASON_MAX];
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, dir, RESERVED_MARK);
    return err != TS_OK ? err : ts_file_replace(path, blank, sizeof(blank), 0600, why);
}

static void mark(const char *dir, const char *name, const char *reason)
{
    char path[TS_PATH_MAX];
    char reserved[TS_PATH_MAX];
    if (ts_path(path, NULL, dir, "%s", name) != TS_OK ||
        ts_path(reserved, NULL, dir, RESERVED_MARK) != TS_OK) {
        return;
    }
    /* A new name may need space that there is not; this one is there. It is missing when the
     * directory bears a marker already. */
    (void)ts_disk_rename(reserved, path);
    /* Written in place: on a disk that fails already, each further step is one more that may fail,
     * and the name alone carries the meaning. */
    int fd = ts_disk_open(path, O_WRONLY | O_CREAT, 0600);
    if (fd >= 0) {
        if (ts_fd_write_at(fd, path, reason, strnlen(reason, REASON_MAX), 0, NULL) == TS_OK) {
            (void)ts_disk_sync(fd);
        }
        (void)ts_disk_close(fd);
    }
    enum ts_err best_effort = ts_dir_sync(dir, NULL);
    (void)best_effort;
}

void ts_dir_abandon(const char *dir, const char *reason)
{
    mark(dir, "abandoned", reason);
}

void ts_dir_refuse(const char *dir, const char *reason)
{
    mark(dir, "refused", reason);
}

/* Whether DIR bears the marker `name`; then its text is in `reason`. */
static bool is_marked(const char *dir, const char *name, char reason[REASON_MAX + 1])
{
    char path[TS_PATH_MAX];
    (void)snprintf(reason, REASON_MAX + 1, "the reason is unreadable");
    if (ts_path(path, NULL, dir, "%s", name) != TS_OK) {
        return true;
    }
    int fd = ts_disk_open(path, O_RDONLY, 0);
    if (fd < 0) {
        return errno != ENOENT && errno != ENOTDIR;
    }
    ssize_t n = ts_disk_read(fd, reason, REASON_MAX, 0);
    if (n > 0) {
        reason[n] = 0;
    }
    (void)ts_disk_close(fd);
    return true;
}

enum ts_err ts_dir_check_marks(const char *dir, struct ts_why *why)
{
    char reason[REASON_MAX + 1];
    if (is_marked(dir, "abandoned", reason)) {
        return ts_why(why, TS_ERR_ABANDONED,
                      "%s failed before and is not trusted any more (%.300s); replace the disk, "
                      "remove this directory and enrol a new one",
                      dir, reason);
    }
    if (is_marked(dir, "refused", reason)) {
        return ts_why(why, TS_ERR_CLONE,
                      "%s was refused before as a clone or a rolled-back image, or since it was "
                      "replaced (%.300s); put the right directory back in its place, or remove it "
                      "and enrol a blank disk (twinstep nic replace)",
                      dir, reason);
    }
    return TS_OK;
}

/* The pid in the lock file, 0 when it is unreadable. */
static long holder_of(int fd)
{
    char text[32] = {0};
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

/* Whether the process has ended, or is at it: its memory goes before its files. */
static bool is_ending(long pid)
{
    char path[48];
    char byte;
    if (kill((pid_t)pid, 0) != 0) {
        return errno == ESRCH;
    }
    (void)snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT;
    }
    ssize_t n = read(fd, &byte, 1);
    (void)close(fd);
    return n == 0;
}

/* Of the open file (OFD), so that it ends with the last copy of the descriptor, and that it can be
 * asked for without being taken. */
static struct flock whole_file(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

/* A process that was killed while it started another one leaves the lock to that one, until it
 * becomes another program or ends as well: soon. With `patient` a holder that is there is waited
 * for, too: it may be about to end. */
static bool lock_or_wait(int fd, bool patient)
{
    const struct timespec pause = {.tv_nsec = LOCK_RETRY_MS * TS_NS_PER_MS};
    for (int waited = 0;; waited += LOCK_RETRY_MS) {
        struct flock whole = whole_file();
        if (fcntl(fd, F_OFD_SETLK, &whole) == 0) {
            return true;
        }
        if (errno != EAGAIN && errno != EACCES) {
            return false;
        }
        long holder = holder_of(fd);
        bool gone = holder > 0 && is_ending(holder);
        if ((!gone && !patient) || waited >= LOCK_WAIT_MS) {
            errno = EWOULDBLOCK;
            return false;
        }
        (void)nanosleep(&pause, NULL);
    }
}

/* `shown` is what is in use when the lock at `path` is held. */
static enum ts_err lock_path(struct ts_dir_lock *lock, const char *path, const char *shown,
                             bool patient, struct ts_why *why)
{
    enum ts_err err;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return ts_why_sys(why, errno, "cannot open the lock %s", path);
    }
    if (!lock_or_wait(fd, patient)) {
        err = errno == EWOULDBLOCK
                  ? ts_why(why, TS_ERR_BUSY,
                           "%s is in use by process %ld; stop it first, or choose another "
                           "data directory",
                           shown, holder_of(fd))
                  : ts_why_sys(why, errno, "cannot lock %s", path);
        (void)close(fd);
        return err;
    }
    char text[32];
    int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        err = ts_why_sys(why, errno, "cannot write %s", path);
        (void)close(fd);
        return err;
    }
    lock->fd = fd;
    return TS_OK;
}

enum ts_err ts_dir_lock(struct ts_dir_lock *lock, const char *dir, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    lock->fd = -1;
    enum ts_err err = ts_path(path, why, dir, "lock");
    return err != TS_OK ? err : lock_path(lock, path, dir, false, why);
}

enum ts_err ts_dir_lock_program(struct ts_dir_lock *lock, const char *dir, const char *program,
                                struct ts_why *why)
{
    char path[TS_PATH_MAX];
    char shown[TS_PATH_MAX];
    lock->fd = -1;
    enum ts_err err = ts_path(path, why, dir, "run");
    err = err != TS_OK ? err : ts_dir_make(path, 0700, why);
    err = err != TS_OK ? err : ts_path(path, why, dir, "run/%s.lock", program);
    (void)snprintf(shown, sizeof(shown), "%.900s (by a %.40s)", dir, program);
    return err != TS_OK ? err : lock_path(lock, path, shown, true, why);
}

enum ts_dir_use ts_dir_use(const char *dir)
{
    char path[TS_PATH_MAX];
    struct flock whole = whole_file();
    int fd = ts_path(path, NULL, dir, "lock") == TS_OK ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return TS_DIR_UNKNOWN;
    }
    enum ts_dir_use use = TS_DIR_UNKNOWN;
    if (fcntl(fd, F_OFD_GETLK, &whole) == 0) {
        use = whole.l_type == F_UNLCK ? TS_DIR_FREE : TS_DIR_IN_USE;
    }
    (void)close(fd);
    return use;
}

void ts_dir_unlock(struct ts_dir_lock *lock)
{
    if (lock->fd >= 0) {
        (void)close(
            lock->fd); /* gives the lock up; the file stays, so that no two ever race on it */
        lock->fd = -1;
    }
}
