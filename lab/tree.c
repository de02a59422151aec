#include "lab/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (256U * 1024U)
#define DIRS_MAX 256
#define NAME_MAX_BYTES 256

struct below {
    char path[NAME_MAX_BYTES]; /* from the top, "" = that */
};

/* Directories that are yet to be looked at. */
struct walk {
    size_t count;
    struct below *dirs;
};

/* What is done with each file, and with each folder (NULL: nothing), and its path at the other end.
 */
struct deed {
    enum ts_err (*file)(void *arg, const char *from, const char *to, struct ts_why *why);
    enum ts_err (*folder)(void *arg, const char *from, const char *to, struct ts_why *why);
    void *arg;
};

static enum ts_err one_entry(struct walk *w, const char *dir, const char *name,
                             const char *roots[2], const struct deed *deed, struct ts_why *why)
{
    char below[NAME_MAX_BYTES];
    char paths[2][TS_PATH_MAX];
    struct stat st;
    int n = snprintf(below, sizeof(below), "%s%s%s", dir, dir[0] == '\0' ? "" : "/", name);
    if (n < 0 || (size_t)n >= sizeof(below) || w->count == DIRS_MAX) {
        return ts_why(why, TS_ERR_LIMIT, "%s has too many folders, or too long names", roots[0]);
    }
    for (size_t i = 0; i < 2; i++) {
        enum ts_err err = ts_path(paths[i], why, roots[i], "%s", below);
        if (err != TS_OK) {
            return err;
        }
    }
    if (lstat(paths[0], &st) != 0) {
        return TS_OK; /* it went meanwhile */
    }
    if (S_ISREG(st.st_mode)) {
        return deed->file(deed->arg, paths[0], paths[1], why);
    }
    if (!S_ISDIR(st.st_mode)) {
        return TS_OK;
    }
    memcpy(w->dirs[w->count++].path, below, (size_t)n + 1);
    return deed->folder == NULL ? TS_OK : deed->folder(deed->arg, paths[0], paths[1], why);
}

/* Each file below roots[0], with the path that it has below roots[1]. */
static enum ts_err each(const char *roots[2], const struct deed *deed, struct ts_why *why)
{
    struct walk w = {.count = 1, .dirs = calloc(DIRS_MAX, sizeof(*w.dirs))};
    enum ts_err err = w.dirs == NULL ? ts_why(why, TS_ERR_NOMEM, "out of memory") : TS_OK;
    while (err == TS_OK && w.count > 0) {
        char path[TS_PATH_MAX];
        struct below dir = w.dirs[--w.count];
        err = dir.path[0] == '\0' ? ts_path(path, why, roots[0], ".")
                                  : ts_path(path, why, roots[0], "%s", dir.path);
        DIR *open = err != TS_OK ? NULL : opendir(path);
        if (err == TS_OK && open == NULL) {
            err = ts_why_sys(why, errno, "cannot read %s", path);
        }
        for (const struct dirent *e; err == TS_OK && (e = readdir(open)) != NULL;) {
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
                err = one_entry(&w, dir.path, e->d_name, roots, deed, why);
            }
        }
        if (open != NULL) {
            (void)closedir(open);
        }
    }
    free(w.dirs);
    return err;
}

/* ---- copies ---- */

static enum ts_err copy_bytes(int in, int out, const char *from, const char *to, struct ts_why *why)
{
    uint8_t *piece = malloc(PIECE);
    ssize_t n = piece == NULL ? -1 : 1;
    enum ts_err err = piece == NULL ? ts_why(why, TS_ERR_NOMEM, "out of memory") : TS_OK;
    while (err == TS_OK && (n = read(in, piece, PIECE)) > 0) {
        if (write(out, piece, (size_t)n) != n) {
            err = ts_why_sys(why, errno, "cannot write %s", to);
        }
    }
    free(piece);
    return err == TS_OK && n < 0 ? ts_why_sys(why, errno, "cannot read %s", from) : err;
}

static enum ts_err copy_file(void *arg, const char *from, const char *to, struct ts_why *why)
{
    (void)arg;
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (in < 0) {
        return errno == ENOENT ? TS_OK : ts_why_sys(why, errno, "cannot open %s", from);
    }
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    enum ts_err err =
        out < 0 ? ts_why_sys(why, errno, "cannot make %s", to) : copy_bytes(in, out, from, to, why);
    (void)close(in);
    if (out >= 0 && close(out) != 0 && err == TS_OK) {
        err = ts_why_sys(why, errno, "cannot write %s", to);
    }
    return err;
}

static enum ts_err copy_folder(void *arg, const char *from, const char *to, struct ts_why *why)
{
    (void)arg;
    (void)from;
    return ts_dir_make(to, 0700, why);
}

enum ts_err lab_tree_copy(const char *from, const char *to, struct ts_why *why)
{
    const struct deed copy = {.file = copy_file, .folder = copy_folder};
    const char *roots[2] = {from, to};
    enum ts_err err = ts_dir_make(to, 0700, why);
    return err != TS_OK ? err : each(roots, &copy, why);
}

/* ---- differences ---- */

static bool same_bytes(int a, int b)
{
    uint8_t *x = malloc(PIECE);
    uint8_t *y = malloc(PIECE);
    bool same = x != NULL && y != NULL;
    ssize_t n = 1;
    off_t at = 0;
    while (same && n > 0) {
        n = pread(a, x, PIECE, at);
        same = n >= 0 && pread(b, y, PIECE, at) == n && memcmp(x, y, (size_t)n) == 0;
        at += n;
    }
    free(x);
    free(y);
    return same;
}

static enum ts_err compare_file(void *arg, const char *from, const char *to, struct ts_why *why)
{
    size_t *count = arg;
    (void)why;
    int a = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int b = open(to, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    *count += a >= 0 && b >= 0 && same_bytes(a, b) ? 0 : 1;
    if (a >= 0) {
        (void)close(a);
    }
    if (b >= 0) {
        (void)close(b);
    }
    return TS_OK;
}

enum ts_err lab_tree_differs(const char *a, const char *b, size_t *count, struct ts_why *why)
{
    const struct deed compare = {.file = compare_file, .arg = count};
    const char *roots[2] = {a, b};
    *count = 0;
    return each(roots, &compare, why);
}
