/* What the disk is told to do wrong, from a file, and what it tells of that. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "lab/disk/disk.h"

#define ORDERS_BYTES 4096

void disk_tell_done(disk_real_fn *real, const char *file)
{
    int fd = file == NULL ? -1
                          : (int)real(SYS_openat, AT_FDCWD, file,
                                      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
        (void)real(SYS_write, fd, ".", 1);
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

bool disk_ordered(disk_real_fn *real, const char *file, const char *path, const char *verb,
                  int *number)
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
    }
    return found;
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
