/* Directories of data, copied and compared. Neither follows symbolic links. */
#ifndef LAB_TREE_H
#define LAB_TREE_H

#include "base/io/files.h"

/* Copies directories and files from `from` to `to`, which it makes; sockets and the like are left
 * out. Who writes there meanwhile gives a copy of each file as it was then. */
enum ts_err lab_tree_copy(const char *from, const char *to, struct ts_why *why) TS_MUST_USE;
/* Files of `a` that are not the same in `b`, or not there. */
enum ts_err lab_tree_differs(const char *a, const char *b, size_t *count,
                             struct ts_why *why) TS_MUST_USE;

#endif
