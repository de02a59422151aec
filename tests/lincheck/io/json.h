/* Reads histories: JSON, one object a line. The format is told in LIN_JSON_FORMAT, which
 * `lincheck --help` prints. */
#ifndef TESTS_LINCHECK_IO_JSON_H
#define TESTS_LINCHECK_IO_JSON_H

#include <stdio.h>

#include "tests/lincheck/lincheck.h"

#define LIN_JSON_ERROR_MAX 512
#define LIN_JSON_LINE_MAX ((size_t)64 << 20)

#define LIN_JSON_FORMAT \
    "One operation a line, in any order; empty lines and lines that begin with # are skipped:\n" \
    "\n" \
    "  " \
    "{\"client\":3,\"op\":[\"SET\",\"k\",\"v\"],\"begin\":1200,\"end\":1900,\"result\":\"OK\"}\n" \
    "\n" \
    "  client   a number, for people only; may be left out\n" \
    "  op       the command's words as the client sent them\n" \
    "  begin    when it was sent, in nanoseconds or any other unit from any start\n" \
    "  end      when its outcome was known, on the same clock; null: never\n" \
    "  result   the answer: \"OK\" or a string, a number, null for nil, an array for MGET,\n" \
    "           {\"error\":TEXT} for an INCR that found no number\n" \
    "  outcome  \"ok\"       answered, with a result; may be left out then\n" \
    "           \"unknown\"  sent, and never answered: it may take effect at any time after its\n" \
    "                      begin, once, or not at all; an end is ignored. May be left out when\n" \
    "                      there is no end\n" \
    "           \"failed\"   refused, or answered with an error: it never took effect\n" \
    "\n" \
    "Bytes that are no UTF-8 are written {\"hex\":\"00ff\"} wherever a string may stand. Every " \
    "key\n" \
    "is absent at first; what was there before is told by a SET that ended before all else.\n" \
    "Commands: GET SET (NX XX GET KEEPTTL) DEL EXISTS INCR DECR INCRBY DECRBY APPEND STRLEN " \
    "MGET\n" \
    "MSET FLUSHALL FLUSHDB. Keys that one command names are checked together, all others each " \
    "by\n" \
    "itself. Commands and options that depend on a clock are refused.\n"

/* Adds the operations of a stream or of a text to the history; the line's number becomes the
 * operation's place. On an error `error` says "NAME:LINE: what is wrong" and lines before it stay
 * added. TS_ERR_MALFORMED: a line is not as it must be. TS_ERR_FULL: the history has no more room.
 * TS_ERR_IO: reading failed. TS_ERR_NOMEM. */
enum ts_err lin_json_read(struct lin *l, const char *name, FILE *in,
                          char error[LIN_JSON_ERROR_MAX]) TS_MUST_USE;
enum ts_err lin_json_text(struct lin *l, const char *name, struct ts_bytes text,
                          char error[LIN_JSON_ERROR_MAX]) TS_MUST_USE;

#endif
