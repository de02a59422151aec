/* Operations and bytes as text and as JSON. */
#ifndef TESTS_LINCHECK_IO_TEXT_H
#define TESTS_LINCHECK_IO_TEXT_H

#include <jansson.h>

#include "tests/lincheck/lincheck.h"

/* All texts: as many bytes as fit, always NUL-terminated. */

/* In quotes; a long value without its middle. */
void lin_bytes_text(struct ts_bytes b, char *out, size_t cap);
/* A key: in quotes only when it needs them. */
void lin_key_text(struct ts_bytes b, char *out, size_t cap);
/* "SET k \"v\" NX". */
void lin_op_text(const struct lin_op *op, char *out, size_t cap);
/* "→ \"v\"", "no answer", "refused". */
void lin_answer_text(const struct lin_op *op, char *out, size_t cap);

/* A string, or {"hex": …} for what is no UTF-8. Gives; NULL when memory is short. */
json_t *lin_bytes_json(struct ts_bytes b);
/* The operation as a line of a history would tell it, with its place as "line". Gives; NULL when
 * memory is short. */
json_t *lin_op_json(const struct lin_op *op);

#endif
