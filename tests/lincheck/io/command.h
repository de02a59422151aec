/* Commands as clients write them, read into operations: upper or lower case, INCR and DECR and all
 * options of SET that need no clock. */
#ifndef TESTS_LINCHECK_IO_COMMAND_H
#define TESTS_LINCHECK_IO_COMMAND_H

#include "tests/lincheck/lincheck.h"

#define LIN_COMMAND_ERROR_MAX 240

/* Fills in command, flags, by, key_count, keys, values of `op`; the two arrays are the caller's, of
 * at least `n` elements each, and borrow from the words.
 * TS_ERR_MALFORMED with a clause for people in `error`: no command that can be checked. */
enum ts_err lin_command_read(const struct ts_bytes *words, size_t n, struct ts_bytes *keys,
                             struct ts_bytes *values, struct lin_op *op,
                             char error[LIN_COMMAND_ERROR_MAX]) TS_MUST_USE;

#endif
