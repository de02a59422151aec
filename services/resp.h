/* RESP, the protocol of Redis clients: the request parser and the reply writers.
 *
 * Pure: works on bytes that the caller owns. A request is an array of bulk
 * strings or an inline command; a reply is RESP2 or, for the few types that
 * differ, RESP3. Protocol errors are worded as Redis words them.
 *
 * Source: redis.io "Redis serialization protocol specification" (RESP2, RESP3). */
#ifndef SERVICES_RESP_H
#define SERVICES_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "services/svc.h"

/* ---- requests ---- */

/* What a request may be; every field is a hard bound. */
struct resp_limits {
    uint32_t args_max;    /* words of one request, the command's name counted */
    uint32_t bulk_max;    /* bytes of one word */
    uint32_t inline_max;  /* bytes of one inline or header line */
    uint32_t request_max; /* bytes of one whole request as sent */
};

#define RESP_ARGS_MAX_DEFAULT 65536U
#define RESP_BULK_MAX_DEFAULT (1024U * 1024U)
#define RESP_INLINE_MAX_DEFAULT (64U * 1024U)
#define RESP_REQUEST_MAX_DEFAULT (2U * 1024U * 1024U)

struct resp_limits resp_limits_default(void);

/* Where the parser stands inside one incomplete request, as offsets from the
 * request's first byte: so the caller may move the bytes between two calls and
 * no byte is scanned twice, however small the pieces are. All zero = at the start. */
struct resp_parser {
    size_t pos;         /* bytes of the request understood so far */
    size_t scanned;     /* bytes looked at for the end of the present line, >= pos */
    uint32_t args_left; /* words of the array still to come */
    uint32_t args_seen;
    uint32_t bulk_len; /* length of the word being awaited, valid with in_bulk */
    bool in_array;
    bool in_bulk;
};

enum resp_result {
    RESP_MORE,    /* the request is not complete; call again with more bytes behind the same ones */
    RESP_REQUEST, /* a request: argc >= 1 */
    RESP_EMPTY,   /* an empty line or array: consume and go on, no reply */
    RESP_ERROR,   /* protocol error: answer `error`, then close */
};

/* A parsed request; the words borrow from the caller's bytes (inline words with
 * quotes are unescaped in place, therefore the bytes are writable). */
struct resp_request {
    struct ts_bytes *args; /* the caller's array, args_cap long */
    size_t args_cap;       /* >= limits.args_max */
    size_t argc;
    size_t consumed; /* with REQUEST and EMPTY: bytes to drop before the next call */
    char error[128]; /* with ERROR: "Protocol error: …", without "-ERR " and line end */
};

/* Parses the request that begins at data[0]. `p` must be zero at a request's
 * start and is zero again after REQUEST and EMPTY. `req->args`, `args_cap` are the
 * caller's; the rest is filled in. */
enum resp_result resp_parse(struct resp_parser *p, const struct resp_limits *limits, uint8_t *data,
                            size_t len, struct resp_request *req);

/* ---- numbers ---- */

/* A signed 64-bit number in its only canonical spelling (no sign but '-', no
 * leading zero, no blank); anything else is false and leaves `out` alone. */
bool resp_parse_i64(struct ts_bytes text, int64_t *out);
/* The canonical spelling without NUL; returns its length, at most RESP_I64_TEXT_MAX. */
size_t resp_format_i64(char *out, int64_t v);
#define RESP_I64_TEXT_MAX 20

/* ASCII comparison without regard to case; `word` is NUL-terminated lower case. */
bool resp_word_is(struct ts_bytes text, const char *word);

/* ---- replies ---- */

/* The version of the protocol that a connection speaks (HELLO). */
enum resp_version {
    RESP_V2 = 2,
    RESP_V3 = 3,
};

/* Writes one reply to a sink, with a sticky failure like ts_writer: after the
 * first part that does not fit, all further ones do nothing; resp_writer_finish then
 * takes the whole reply back. */
struct resp_writer {
    struct svc_out *out; /* borrowed */
    size_t start;        /* out->len at init */
    size_t max;          /* bytes this reply may have */
    enum resp_version version;
    bool failed;
};

struct resp_writer resp_writer_init(struct svc_out *out, enum resp_version version, size_t max);
/* TS_OK, or TS_ERR_LIMIT after a reply that did not fit: the sink is then as it was at init. */
enum ts_err resp_writer_finish(struct resp_writer *w) TS_MUST_USE;

/* Bytes of the reply that these begin with, all that it holds included; 0: it is not whole. */
size_t resp_reply_len(struct ts_bytes bytes);

void resp_put_simple(struct resp_writer *w, const char *text);
/* An array of such: what HELP answers. */
void resp_put_lines(struct resp_writer *w, const char *const *lines, size_t n);
/* "-TEXT"; the text brings its own code ("ERR …", "OOM …"); line ends in it become
 * blanks, those behind it go. */
void resp_put_error(struct resp_writer *w, const char *text);
void resp_put_integer(struct resp_writer *w, int64_t v);
void resp_put_bulk(struct resp_writer *w, const void *data, size_t n);
void resp_put_bulk_text(struct resp_writer *w, const char *text);
/* The absent value: "$-1" or "_". */
void resp_put_null(struct resp_writer *w);
/* The absent array: "*-1" or "_". */
void resp_put_null_array(struct resp_writer *w);
/* Bytes that are no reply by themselves, or one that was written elsewhere. */
void resp_put_raw(struct resp_writer *w, const void *data, size_t n);
/* The head of an array of `n` replies that follow. */
void resp_put_array(struct resp_writer *w, size_t n);
/* The head of a message out of turn, of `n` replies that follow: ">n", or "*n" in RESP2. */
void resp_put_push(struct resp_writer *w, size_t n);
/* The head of a map of `n` pairs that follow: "%n", or "*2n" in RESP2. */
void resp_put_map(struct resp_writer *w, size_t n);
/* The head of a set of `n` replies that follow: "~n", or "*n" in RESP2. */
void resp_put_set(struct resp_writer *w, size_t n);
/* Text for people: a verbatim string, or a bulk string in RESP2. */
void resp_put_verbatim(struct resp_writer *w, const void *text, size_t n);

#endif
