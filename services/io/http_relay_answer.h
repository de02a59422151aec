/* The primary's answer to a request that was carried to it (http_relay.h), in HTTP/1.1: bytes in.
 */
#ifndef SERVICES_IO_HTTP_RELAY_ANSWER_H
#define SERVICES_IO_HTTP_RELAY_ANSWER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "services/svc.h"

#define HTTP_RELAY_TYPE_MAX 128

struct http_parser; /* http_parser.h */

/* Zeroed before first use. */
struct http_relay_answer {
    struct http_parser *parser; /* owned */
    char name[32];              /* of the header that comes; longer ones are cut */
    bool in_value;
    bool too_long;
    /* what came */
    bool whole; /* all of it; before that the rest is not to be looked at */
    bool stays; /* the connection may have another request */
    unsigned status;
    char type[HTTP_RELAY_TYPE_MAX]; /* Content-Type; "": none */
    struct svc_out body;            /* owned */
};

/* A request was sent: its answer has `body_max` bytes at most. */
void http_relay_answer_begin(struct http_relay_answer *a, size_t body_max);
/* Takes bytes of it, not behind its end. TS_ERR_MALFORMED: it is none that could be passed on, and
 * *why is a clause that says so; static storage. */
enum ts_err http_relay_answer_take(struct http_relay_answer *a, struct ts_bytes bytes,
                                   const char **why) TS_MUST_USE;
void http_relay_answer_free(struct http_relay_answer *a);

#endif
