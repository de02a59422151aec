/* HTTP as text: what requests bring and answers say, without a connection. Pure; the front-end that
 * uses it is services/io/http_server.h.
 *
 * Everything a client says is validated here: lengths are bounded, no byte below a blank gets
 * through, and nothing is decoded twice. */
#ifndef SERVICES_HTTP_H
#define SERVICES_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define HTTP_PATH_MAX 2048        /* bytes of a decoded path */
#define HTTP_PARAMS_MAX 32        /* parameters of a query */
#define HTTP_PARAM_NAME_MAX 64    /* bytes of a parameter's name … */
#define HTTP_PARAM_VALUE_MAX 2048 /* … and value, decoded */
#define HTTP_TYPE_MAX 128         /* bytes of a content type */
#define HTTP_NAME_MAX 64          /* bytes of a user's name as Basic has it */
#define HTTP_PASSWORD_MAX 512

#define HTTP_METHOD_LIST(X) \
    X(GET) \
    X(HEAD) \
    X(PUT) \
    X(PATCH) \
    X(POST) \
    X(DELETE) \
    X(OPTIONS)

enum http_method {
#define HTTP_METHOD_ENUM(name) HTTP_METHOD_##name,
    HTTP_METHOD_LIST(HTTP_METHOD_ENUM)
#undef HTTP_METHOD_ENUM
};

/* "GET"; static storage. */
const char *http_method_name(enum http_method method);

/* ---- requests ---- */

/* Whether a decoded path may be passed on: it begins with '/', has no control character, no empty
 * segment but the last, none that is "." or "..", and HTTP_PATH_MAX bytes at most. */
bool http_path_is_valid(struct ts_bytes path);

struct http_param {
    struct ts_bytes name;
    struct ts_bytes value;
};

/* Divides one decoded "NAME=VALUE", or "NAME", of a query; borrows from `text`.
 * TS_ERR_MALFORMED: no name, or a control character. TS_ERR_LIMIT: too long. */
enum ts_err http_param_parse(struct ts_bytes text, struct http_param *out) TS_MUST_USE;

struct http_credentials {
    char name[HTTP_NAME_MAX + 1];
    size_t name_len;
    char password[HTTP_PASSWORD_MAX + 1];
    size_t password_len;
};

/* Decodes an Authorization header of the Basic scheme (RFC 7617). TS_ERR_NOT_FOUND: another scheme.
 * TS_ERR_MALFORMED: no base64, no colon, or a control character; TS_ERR_LIMIT: too long. */
enum ts_err http_basic_parse(struct ts_bytes header, struct http_credentials *out) TS_MUST_USE;

/* A Content-Length: decimal digits, at most 18. TS_ERR_MALFORMED: anything else. */
enum ts_err http_length_parse(struct ts_bytes header, uint64_t *out) TS_MUST_USE;

/* Whether a Transfer-Encoding is exactly "chunked". */
bool http_is_chunked(struct ts_bytes header);

/* Whether a content type may be passed on: printable, HTTP_TYPE_MAX bytes at most. */
bool http_type_is_valid(struct ts_bytes type);

/* ---- the chunked coding (RFC 9112, 7.1) ---- */

#define HTTP_CHUNK_LINE_MAX 256      /* a size with its extensions */
#define HTTP_CHUNK_TRAILERS_MAX 4096 /* all trailers; they are ignored */

enum http_chunk_state {
    HTTP_CHUNK_SIZE = 0,
    HTTP_CHUNK_EXTENSION,
    HTTP_CHUNK_SIZE_LF,
    HTTP_CHUNK_DATA,
    HTTP_CHUNK_DATA_CR,
    HTTP_CHUNK_DATA_LF,
    HTTP_CHUNK_TRAILER,      /* at the beginning of a line */
    HTTP_CHUNK_TRAILER_TEXT, /* within a line */
    HTTP_CHUNK_END_LF,
    HTTP_CHUNK_DONE,
};

/* Zeroed before first use. */
struct http_chunks {
    enum http_chunk_state state;
    uint64_t left;   /* of the chunk */
    uint32_t digits; /* of its size */
    uint32_t line;   /* bytes of the present line, or of all trailers */
};

/* Reads on in `in`: *used bytes are done with; *data are the body's next bytes, borrowed, may be
 * none. To be called again with what is left while *used > 0 and the state is not DONE.
 * TS_ERR_MALFORMED: no chunks. TS_ERR_LIMIT: an unreasonable size, extension or trailer. */
enum ts_err http_chunks_read(struct http_chunks *c, struct ts_bytes in, size_t *used,
                             struct ts_bytes *data) TS_MUST_USE;

/* ---- answers ---- */

/* "Not Found"; "Unknown" for a status that has no name here. Static storage. */
const char *http_status_reason(unsigned status);
/* "NOT_FOUND"; static storage. */
const char *http_status_word(unsigned status);

/* Whether a header may be sent: a token as name, a value without control characters, and none of
 * the headers that the front-end writes itself. */
bool http_header_is_valid(const char *name, const char *value);

#define HTTP_ERROR_MAX 1024 /* bytes of an error's body, with a NUL */

/* Writes an error as NSX has it, in JSON, with its NUL:
 *     {"httpStatus":"NOT_FOUND","error_code":600,"module_name":"policy","error_message":"…"}
 * A message that is too long is cut, bytes that are no UTF-8 are '?'. Gives its length. */
size_t http_error_body(char out[HTTP_ERROR_MAX], unsigned status, unsigned code, const char *module,
                       const char *message);

/* One event of a stream (text/event-stream); `name` and `id` may be NULL. */
struct http_event {
    const char *name;
    const char *id;
    struct ts_bytes data; /* may have many lines */
};

/* Whether name and id have no line's end. */
bool http_event_is_valid(const struct http_event *event);
/* Its bytes as http_event_write writes them. */
size_t http_event_size(const struct http_event *event);
void http_event_write(struct ts_writer *w, const struct http_event *event);

#endif
