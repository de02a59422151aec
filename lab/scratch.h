/* A temporary directory for one run of a test or demonstration. */
#ifndef LAB_SCRATCH_H
#define LAB_SCRATCH_H

#include "base/err.h"

#define LAB_SCRATCH_MAX 128

/* Makes "/tmp/twinstep-NAME-XXXXXX" (or below $TMPDIR when that is short enough: the paths of
 * Unix sockets are short). TS_ERR_SYSTEM when it cannot. */
enum ts_err lab_scratch_make(const char *name, char out[LAB_SCRATCH_MAX]) TS_MUST_USE;
/* Removes a directory with all that is in it; does not follow symbolic links. */
void lab_scratch_remove(const char *dir);

#endif
