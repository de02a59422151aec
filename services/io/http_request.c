/* From headers and bodies to a request: everything is validated, then who it is, then what comes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/io/http_conn.h"

#define BODY_FIRST 4096U
#define LONG_HEADERS "the request's headers are too long: send fewer or shorter ones"
#define LONG_PATH "the path is longer than 2048 bytes: use a shorter one"

/* ---- headers ---- */

static void refuse(struct http_exchange *x, unsigned status, const char *why)
{
    http_answer_error(x, status, HTTP_ERROR_BAD_REQUEST, why);
}

void http_request_refuse(struct http_exchange *x, const struct http_head *long_head,
                         const char *why)
{
    x->closes = true;
    if (long_head == NULL) {
        refuse(x, 400, why);
    } else if (long_head->headers == 0) {
        refuse(x, 414, LONG_PATH);
    } else {
        refuse(x, 431, LONG_HEADERS);
    }
}

/* Answers what cannot be a request. Gives whether it has. */
static bool refuse_head(struct http_exchange *x, const struct http_head *head,
                        struct http_target *target)
{
    if (http_head_is_long(head)) {
        http_request_refuse(x, head, NULL);
    } else if (!head->has_method) {
        refuse(x, 405, "the method is none of GET, HEAD, PUT, PATCH, POST, DELETE and OPTIONS");
    } else if (head->doubled) {
        http_request_refuse(x, NULL, "a header that may be there once was sent twice");
    } else if (http_target_divide(http_head_target_text(head), target) != TS_OK) {
        http_request_refuse(x, NULL, "the request names no path: it begins with '/'");
    } else if (target->is_server && head->method != HTTP_METHOD_OPTIONS) {
        http_request_refuse(x, NULL, "the path '*' is for OPTIONS only");
    } else if (!http_type_is_valid(http_head_get(head, HTTP_FIELD_TYPE))) {
        http_request_refuse(
            x, NULL, "the Content-Type is longer than 128 bytes, or has a control character");
    } else {
        return false;
    }
    return true;
}

/* Decodes the query's parameters to *at. Gives what is wrong, NULL: nothing. */
static const char *keep_params(struct http_exchange *x, struct ts_bytes query, uint8_t **at,
                               unsigned *status)
{
    struct ts_bytes raw;
    *status = 400;
    while (http_query_next(&query, &raw)) {
        size_t n = 0;
        if (x->request.param_count == HTTP_PARAMS_MAX) {
            return "the query has more than 32 parameters: send fewer";
        }
        enum ts_err err = http_percent_decode(raw, true, *at, &n);
        if (err == TS_OK) {
            err = http_param_parse((struct ts_bytes){*at, n}, &x->params[x->request.param_count]);
        }
        if (err != TS_OK) {
            *status = err == TS_ERR_LIMIT ? 414 : 400;
            return "a parameter of the query has no name, a control character, a '%' without two "
                   "digits, or more than 64 bytes in its name or 2048 in its value";
        }
        x->request.param_count++;
        *at += n;
    }
    return NULL;
}

/* Copies what the request borrows. Gives what is wrong, NULL: nothing. */
static const char *keep_head(struct http_exchange *x, const struct http_head *head,
                             const struct http_target *target, unsigned *status)
{
    struct ts_bytes type = http_head_get(head, HTTP_FIELD_TYPE);
    size_t n = 0;
    x->text = malloc(target->path.len + target->query.len + type.len + 1);
    ts_must(x->text);
    uint8_t *at = (uint8_t *)x->text;
    bool decoded = http_percent_decode(target->path, false, at, &n) == TS_OK;
    x->request.path = (struct ts_bytes){at, n};
    if (decoded && n > HTTP_PATH_MAX) {
        *status = 414;
        return LONG_PATH;
    }
    if (!decoded || !http_path_is_valid(x->request.path)) {
        *status = 400;
        return "the path is not valid: it begins with '/' and has no empty segment, no '..', no "
               "control character and no '%' without two digits";
    }
    at += n;
    if (type.len > 0) {
        memcpy(at, type.data, type.len);
    }
    x->request.content_type = (struct ts_bytes){at, type.len};
    at += type.len;
    x->request.params = x->params;
    memcpy(x->request.peer, x->conn->peer, sizeof(x->request.peer));
    x->request.http2 = x->conn->version == &http_v2;
    return keep_params(x, target->query, &at, status);
}

/* ---- bodies ---- */

static void too_large(struct http_exchange *x)
{
    http_answer_error(x, 413, HTTP_ERROR_TOO_LARGE,
                      "the body is longer than this server takes: divide the request");
}

static void overload(struct http_exchange *x)
{
    http_answer_error(x, 503, HTTP_ERROR_OVERLOAD,
                      "too many requests are under way: try again in a moment");
}

/* Room for `n` more bytes of the body. False: it was answered. */
static bool reserve_body(struct http_exchange *x, size_t n)
{
    struct http_server *s = x->conn->server;
    uint64_t most = x->has_length ? x->length : s->config.body_max;
    if (n > most - x->body_len) {
        too_large(x);
        return false;
    }
    if (x->body_cap - x->body_len >= n) {
        return true;
    }
    size_t cap = x->body_cap < BODY_FIRST ? BODY_FIRST : x->body_cap;
    while (cap - x->body_len < n) {
        cap *= 2;
    }
    if (x->has_length && cap > x->length) {
        cap = (size_t)x->length;
    }
    if (cap - x->body_cap > s->config.bodies_max - s->bodies) {
        overload(x);
        return false;
    }
    s->bodies += cap - x->body_cap;
    x->body_cap = cap;
    x->body = realloc(x->body, cap);
    ts_must(x->body);
    return true;
}

void http_request_body(struct http_exchange *x, struct ts_bytes data)
{
    if (x->stage == HTTP_READING && data.len > 0 && reserve_body(x, data.len)) {
        memcpy(x->body + x->body_len, data.data, data.len);
        x->body_len += data.len;
    }
}

void http_request_complete(struct http_exchange *x)
{
    const struct http_server *s = x->conn->server;
    x->body_comes = false;
    x->continue_due = false;
    if (x->stage != HTTP_READING) {
        return;
    }
    bool full = s->answers > s->config.answers_max || x->conn->output > HTTP_OUTPUT_HARD;
    if (full || !http_exchange_number(x)) {
        overload(x);
    } else {
        http_exchange_enqueue(x);
    }
}

static void begin_body(struct http_exchange *x, const struct http_head *head,
                       enum http_framing framing)
{
    const struct http_server *s = x->conn->server;
    if (framing == HTTP_FRAMING_LENGTH) {
        if (http_length_parse(http_head_get(head, HTTP_FIELD_LENGTH), &x->length) != TS_OK) {
            http_request_refuse(x, NULL, "the Content-Length is not a number");
            return;
        }
        if (x->length > s->config.body_max) {
            too_large(x);
            return;
        }
        x->has_length = true;
    }
    if (framing == HTTP_FRAMING_NONE) {
        http_request_complete(x);
    } else if (http_head_expects(head) && !x->old) {
        x->conn->version->go_on(x);
    }
}

/* Answers who may ask nothing. Gives whether it has. */
static bool refuse_stranger(struct http_exchange *x, const struct http_head *head)
{
    switch (http_who_find(x, head)) {
    case HTTP_WHO_FOUND:
        return false;
    case HTTP_WHO_AGENT:
        http_answer_error(x, 403, HTTP_ERROR_AUTH,
                          "the certificate is of a transport node's agent, which may connect to "
                          "the agents' port and nothing else: ask without it, as a user");
        return true;
    case HTTP_WHO_NO_NIC:
        http_answer_error(
            x, 403, HTTP_ERROR_AUTH,
            "the header Twinstep-Client is for the NICs of this group: ask without it");
        return true;
    case HTTP_WHO_UNKNOWN:
        break;
    }
    http_answer_error(x, 401, HTTP_ERROR_AUTH,
                      "the request says not who it is from, or name or password are wrong: "
                      "send Authorization: Basic, or show a certificate of this cluster");
    return true;
}

void http_request_begin(struct http_exchange *x, const struct http_head *head,
                        enum http_framing framing)
{
    struct http_target target;
    unsigned status = 400;
    x->request.method = head->method;
    x->body_comes = framing != HTTP_FRAMING_NONE;
    if (refuse_head(x, head, &target)) {
        return;
    }
    if (refuse_stranger(x, head)) {
        return;
    }
    http_conn_is_known(x->conn);
    if (target.is_server) {
        http_answer_options(x);
        return;
    }
    const char *why = keep_head(x, head, &target, &status);
    if (why != NULL) {
        x->closes = true;
        refuse(x, status, why);
        return;
    }
    begin_body(x, head, framing);
}
