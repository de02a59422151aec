/* What the files of the preloaded library share. */
#ifndef LAB_DISK_DISK_H
#define LAB_DISK_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define DISK_PATH_BYTES 4096

typedef long disk_real_fn(long number, ...);

/* The C library's own syscall(). */
disk_real_fn *disk_real(void);

/* open() below a directory, followed when the file is the layer's. */
int disk_open_at(int dir, const char *path, int flags, mode_t mode);
/* Ends the process: a test whose layer is broken must not pass. */
_Noreturn void disk_die(const char *what);
/* The next number of a row that is not 0. */
uint64_t disk_random(uint64_t *row);

/* ---- orders (disk_orders.c); `real` is what reads the files ---- */

/* The number of the first line of the file that says this verb of a text in the path. That line is
 * appended to `done`, for whoever wants to know that the order was carried out; NULL: nobody. */
bool disk_ordered(disk_real_fn *real, const char *file, const char *done, const char *path,
                  const char *verb, int *number);
/* Whether a name in the folder cannot be made, changed, removed or opened for writing, since writes
 * to it fail with EROFS by an order; errno says so then. */
bool disk_refuses(disk_real_fn *real, const char *file, const char *done, const char *folder,
                  const char *path);
/* What LABDISK_IGNORE_SYNC says of the path; `value` may be NULL. */
bool disk_ignores(const char *value, const char *path);
/* Whether the descriptor's file lies under the folder, and its path below that has one of the texts
 * of `only` (NULL: any); gives its path. */
bool disk_under(disk_real_fn *real, int fd, const char *folder, const char *only,
                char path[DISK_PATH_BYTES]);
/* Whether one of the texts, separated by ":", is in the path. */
bool disk_path_has(const char *path, const char *texts);

#endif
