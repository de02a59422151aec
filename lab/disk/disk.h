/* What the files of the preloaded library share. */
#ifndef LAB_DISK_DISK_H
#define LAB_DISK_DISK_H

#include <stdbool.h>

typedef long disk_real_fn(long number, ...);

/* The C library's own syscall(). */
disk_real_fn *disk_real(void);

/* ---- orders (disk_orders.c); `real` is what reads the files ---- */

/* The number of the first line of the file that says this verb of a text in the path. */
bool disk_ordered(disk_real_fn *real, const char *file, const char *path, const char *verb,
                  int *number);
/* One byte more in the file, for whoever wants to know that an order was carried out; NULL: none.
 */
void disk_tell_done(disk_real_fn *real, const char *file);
/* Whether one of the texts, separated by ":", is in the path. */
bool disk_path_has(const char *path, const char *texts);

#endif
