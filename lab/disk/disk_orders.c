/* What the disk is told to do wrong, from a file, and what it tells of that. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "lab/disk/disk.h"

#define ORDERS_BYTES 4096

_Noreturn void disk_die(const char *what)
{
    (void)fprintf(stderr, "labdisk: %s: %s\n", what, strerror(errno));
    abort();
}

uint64_t disk_random(uint64_t *row)
{
    *row ^= *row << 13;
    *row ^= *row >> 7;
    *row ^= *row << 17;
    return *row;
}

/* Whoever gave the order learns that it was carried out. */
static void tell_done(disk_real_fn *real, const char *file, const char *line)
{
    char text[ORDERS_BYTES];
    int n = snprintf(text, sizeof(text), "%s\n", line);
    int fd = file == NULL ? -1
                          : (int)real(SYS_openat, AT_FDCWD, file,
                                      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
        (void)real(SYS_write, fd, text, (size_t)n);
        (void)real(SYS_close, fd);
    }
}

static bool line_means(const char *line, const char *verb, const char *path, int *number)
{
    char said[8];
    char text[16];
    char part[256];
    bool means = sscanf(line, "%7s %15s %255s", said, text, part) == 3 && strcmp(said, verb) == 0 &&
                 strstr(path, part) != NULL;
    *number = means ? (int)strtol(text, NULL, 10) : 0;
    return means;
}

bool disk_ordered(disk_real_fn *real, const char *file, const char *done, const char *path,
                  const char *verb, int *number)
{
    char text[ORDERS_BYTES] = "";
    char *rest = NULL;
    bool found = false;
    int in = (int)real(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    if (in < 0) {
        return false;
    }
    (void)real(SYS_read, in, text, sizeof(text) - 1);
    (void)real(SYS_close, in);
    for (char *line = strtok_r(text, "\n", &rest); line != NULL && !found;
         line = strtok_r(NULL, "\n", &rest)) {
        found = line_means(line, verb, path, number);
        if (found) {
            tell_done(real, done, line);
        }
    }
    return found;
}

bool disk_refuses(disk_real_fn *real, const char *file, const char *done, const char *folder,
                  const char *path)
{
    int error = 0;
    if (file == NULL || strncmp(path, folder, strlen(folder)) != 0 ||
        !disk_ordered(real, file, NULL, path, "write", &error) || error != EROFS) {
        return false;
    }
    (void)disk_ordered(real, file, done, path, "write", &error);
    errno = EROFS;
    return true;
}

bool disk_ignores(const char *value, const char *path)
{
    return value != NULL && value[0] != '\0' &&
           (strcmp(value, "1") == 0 || strstr(path, value) != NULL);
}

bool disk_under(disk_real_fn *real, int fd, const char *folder, const char *only,
                char path[DISK_PATH_BYTES])
{
    if (folder[0] == 0) {
        return false;
    }
    char link[64];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    long n = real(SYS_readlinkat, AT_FDCWD, link, path, (size_t)DISK_PATH_BYTES - 1);
    path[n < 0 ? 0 : n] = 0;
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && path[len] == '/' &&
           (only == NULL || disk_path_has(path + len, only));
}

bool disk_path_has(const char *path, const char *texts)
{
    for (const char *at = texts; *at != '\0'; at += *at == ':') {
        size_t n = strcspn(at, ":");
        if (n > 0 && memmem(path, strlen(path), at, n) != NULL) {
            return true;
        }
        at += n;
    }
    return false;
}
