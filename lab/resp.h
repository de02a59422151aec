/* RESP2 as the lab's clients speak it: commands out, replies in. Pure; the lab has a codec of
 * its own so that a fault of the server's codec cannot hide itself.
 * Source: redis.io, "Redis serialization protocol specification". */
#ifndef LAB_RESP_H
#define LAB_RESP_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum lab_reply_kind {
    LAB_REPLY_SIMPLE,  /* +text */
    LAB_REPLY_ERROR,   /* -text */
    LAB_REPLY_INTEGER, /* :integer */
    LAB_REPLY_BULK,    /* $text */
    LAB_REPLY_NIL,     /* $-1, *-1 */
    LAB_REPLY_PAIR,    /* an array of two integers, a lease's token */
};

struct lab_reply {
    enum lab_reply_kind kind;
    int64_t integer;      /* INTEGER; PAIR: the first one */
    int64_t second;       /* PAIR only */
    struct ts_bytes text; /* SIMPLE, ERROR, BULK; borrowed from the parsed bytes */
};

enum lab_resp_result {
    LAB_RESP_MORE,      /* the reply is not complete yet */
    LAB_RESP_REPLY,     /* one reply, `*used` bytes long */
    LAB_RESP_MALFORMED, /* not RESP2, or another array: the lab asks for none */
};

/* The largest bulk string that is taken, bytes. */
#define LAB_RESP_BULK_MAX (64 * 1024 * 1024)
/* The longest line (simple string, error, number), bytes. */
#define LAB_RESP_LINE_MAX 4096

/* Parses one reply from the front of `in`. On LAB_RESP_REPLY fills `out` and `used`. */
enum lab_resp_result lab_resp_parse(struct ts_bytes in, struct lab_reply *out, size_t *used);

/* Writes one command as an array of bulk strings. The writer's status tells whether it fit. */
void lab_resp_command(struct ts_writer *w, const struct ts_bytes *argv, size_t argc);

/* Bytes that lab_resp_command needs at most. */
size_t lab_resp_command_bytes(const struct ts_bytes *argv, size_t argc);

/* A borrowed C string as bytes, without its NUL. */
struct ts_bytes lab_bytes(const char *text);

/* Decimal integer with an optional sign that fills `in` exactly; TS_ERR_MALFORMED otherwise. */
enum ts_err lab_parse_int(struct ts_bytes in, int64_t *out) TS_MUST_USE;

#endif
