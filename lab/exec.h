/* Runs a helper program (nft, twinstep itself) and takes what it says. Blocks. */
#ifndef LAB_EXEC_H
#define LAB_EXEC_H

#include <stddef.h>

#include "base/io/files.h"

/* Runs argv[0] (found along PATH) with `input` on its standard input (NULL = nothing, at most
 * 64 KiB). What it writes to standard output goes to `out`, cut at `cap`, NUL-terminated; `out`
 * may be NULL. Standard error goes to the caller's.
 * TS_ERR_SYSTEM: it could not be started. TS_ERR_REFUSED: it ended with another status than 0. */
enum ts_err lab_exec(const char *const argv[], const char *input, char *out, size_t cap,
                     struct ts_why *why) TS_MUST_USE;

#endif
