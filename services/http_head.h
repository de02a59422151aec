/* A request's target and headers, as they come: in pieces (HTTP/1.1) or field by field (HTTP/2).
 * Pure. What is of use here is kept in the caller's buffer, all of it is counted.
 *
 *   http_head_begin → http_head_method, http_head_target, then for each header http_head_name and
 *   http_head_value, in as many pieces as they come → http_head_get … */
#ifndef SERVICES_HTTP_HEAD_H
#define SERVICES_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "services/http.h"

/* X(symbol, name): the headers that are kept. Each may be there once. */
#define HTTP_FIELD_LIST(X) \
    X(HOST, "host") \
    X(TYPE, "content-type") \
    X(LENGTH, "content-length") \
    X(CODING, "transfer-encoding") \
    X(AUTHORIZATION, "authorization") \
    X(EXPECT, "expect") \
    X(CLIENT, "twinstep-client")

enum http_field {
#define HTTP_FIELD_ENUM(symbol, name) HTTP_FIELD_##symbol,
    HTTP_FIELD_LIST(HTTP_FIELD_ENUM)
#undef HTTP_FIELD_ENUM
        HTTP_FIELDS, /* any other */
};

#define HTTP_FIELD_COST 32U /* bytes that a header counts for besides its own (RFC 9113, 6.5.2) */
#define HTTP_FIELD_NAME_MAX 24 /* of those that are kept */

struct http_span {
    size_t at;
    size_t len;
};

struct http_head {
    /* config */
    char *text; /* borrowed; `max` bytes */
    size_t max;

    /* what came */
    enum http_method method;
    bool has_method; /* false: another one */
    bool doubled;    /* a header that may be there once was there twice */
    size_t bytes;    /* of target and headers, with HTTP_FIELD_COST for each */
    struct http_span target;
    bool seen[HTTP_FIELDS];
    struct http_span fields[HTTP_FIELDS];

    /* where it is */
    size_t len; /* of the text */
    uint32_t headers;
    bool in_value;
    enum http_field now;
    char name[HTTP_FIELD_NAME_MAX];
    size_t name_len; /* may be more than fits */
};

/* Nothing has come. Borrows `text`, of `max` bytes: more than that of all is too long. */
void http_head_begin(struct http_head *h, char *text, size_t max);
/* Whether more has come than may; what is kept is not whole then. */
bool http_head_is_long(const struct http_head *h);

void http_head_method(struct http_head *h, struct ts_bytes name);
void http_head_target(struct http_head *h, struct ts_bytes piece);
/* A piece of a header's name; after a value's it begins the next header. */
void http_head_name(struct http_head *h, struct ts_bytes piece);
void http_head_value(struct http_head *h, struct ts_bytes piece);

/* Borrowed from the text; empty when it is not there. */
struct ts_bytes http_head_get(const struct http_head *h, enum http_field field);
struct ts_bytes http_head_target_text(const struct http_head *h);
/* Whether it expects "100-continue". */
bool http_head_expects(const struct http_head *h);

/* A request's target (RFC 9112, 3.2), divided and not decoded. */
struct http_target {
    bool is_server; /* "*": what is asked is asked of the server as a whole */
    struct ts_bytes path;
    struct ts_bytes query;
};

/* Borrows from `text`, which is a path, or an http(s) URL as proxies are sent one.
 * TS_ERR_MALFORMED: it is neither, or has a fragment. */
enum ts_err http_target_divide(struct ts_bytes text, struct http_target *out) TS_MUST_USE;

/* Decodes %XX once, and with `plus` a '+' as a blank. `out` has room for in.len bytes and gets
 * *len. TS_ERR_MALFORMED: a '%' without two digits behind it. */
enum ts_err http_percent_decode(struct ts_bytes in, bool plus, uint8_t *out,
                                size_t *len) TS_MUST_USE;

/* The next parameter of a query, not decoded; `query` goes on behind it. Empty ones are passed
 * over. False: there is none. */
bool http_query_next(struct ts_bytes *query, struct ts_bytes *param);

#endif
