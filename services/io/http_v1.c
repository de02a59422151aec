/* HTTP/1.1 (RFC 9112) as a server: http-parser reads the heads, services/http.h the bodies.
 *
 * Requests of a pipeline become exchanges as they come, a bounded number of them; answers go out in
 * the same order, each when those before it have. What cannot be taken yet stays with the
 * connection. After what is no HTTP nothing more is looked at: the error is the last answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define http_method http_parser_method /* there is one of this name here, too */
#include <http_parser.h>
#undef http_method

#include "base/assert.h"
#include "base/memory.h"
#include "services/io/http_conn.h"

#define CHUNK_HEAD_MAX 20

struct http_v1 {
    http_parser parser;
    struct http_head head;
    char *text;                    /* owned: the head's, while one comes */
    bool whole;                    /* the head is there */
    struct http_exchange *reading; /* whose body comes; NULL: no one's */
    struct http_chunks chunks;
};

/* ---- heads ---- */

static struct http_conn *conn_of(const http_parser *p)
{
    return p->data;
}

static int end_if_long(const struct http_head *head)
{
    return http_head_is_long(head) ? -1 : 0;
}

static int on_url(http_parser *p, const char *at, size_t len)
{
    struct http_head *head = &conn_of(p)->state.v1->head;
    http_head_target(head, (struct ts_bytes){(const uint8_t *)at, len});
    return end_if_long(head);
}

static int on_field(http_parser *p, const char *at, size_t len)
{
    struct http_head *head = &conn_of(p)->state.v1->head;
    http_head_name(head, (struct ts_bytes){(const uint8_t *)at, len});
    return end_if_long(head);
}

static int on_value(http_parser *p, const char *at, size_t len)
{
    struct http_head *head = &conn_of(p)->state.v1->head;
    http_head_value(head, (struct ts_bytes){(const uint8_t *)at, len});
    return end_if_long(head);
}

static int on_headers(http_parser *p)
{
    conn_of(p)->state.v1->whole = true;
    return 1; /* the body is not the parser's */
}

static int on_whole(http_parser *p)
{
    http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers,
    .on_message_complete = on_whole,
};

static void begin_head(struct http_conn *c)
{
    struct http_v1 *v = c->state.v1;
    v->text = malloc(c->server->config.headers_max);
    ts_must(v->text);
    http_head_begin(&v->head, v->text, c->server->config.headers_max);
    http_parser_init(&v->parser, HTTP_REQUEST);
    v->parser.data = c;
    v->whole = false;
    c->head_ms = http_now(c->server);
}

static void end_head(struct http_conn *c)
{
    struct http_v1 *v = c->state.v1;
    if (v->text != NULL) {
        explicit_bzero(v->text, v->head.len);
        free(v->text);
        v->text = NULL;
    }
    c->head_ms = 0;
}

/* What follows the head. False: it cannot be told for certain, and `why` says so. Where this end
 * and a proxy before it see different requests, one of them would be somebody else's. */
static bool find_framing(const struct http_v1 *v, enum http_framing *out, const char **why)
{
    const struct http_head *h = &v->head;
    uint64_t length = 0;
    bool coded = h->seen[HTTP_FIELD_CODING];
    bool told = h->seen[HTTP_FIELD_LENGTH];
    bool old = v->parser.http_major != 1 || v->parser.http_minor == 0;
    if (v->parser.http_major != 1) {
        *why = "the version is neither HTTP/1.0 nor HTTP/1.1";
        return false;
    }
    if (!old && !h->seen[HTTP_FIELD_HOST]) {
        *why = "the request has no Host header: HTTP/1.1 wants one";
        return false;
    }
    if (coded && (told || old || !http_is_chunked(http_head_get(h, HTTP_FIELD_CODING)))) {
        *why = "the Transfer-Encoding cannot be taken: send the body with a Content-Length, or "
               "chunked, and not both";
        return false;
    }
    if (told && (http_length_parse(http_head_get(h, HTTP_FIELD_LENGTH), &length) != TS_OK ||
                 length != v->parser.content_length)) {
        *why = "the Content-Length is not a number";
        return false;
    }
    *out = coded ? HTTP_FRAMING_OPEN : (length > 0 ? HTTP_FRAMING_LENGTH : HTTP_FRAMING_NONE);
    return true;
}

static void take_request(struct http_conn *c)
{
    struct http_v1 *v = c->state.v1;
    enum http_framing framing = HTTP_FRAMING_NONE;
    const char *why = NULL;
    const char *method = http_method_str((enum http_parser_method)v->parser.method);
    struct http_exchange *x = http_exchange_new(c);
    http_head_method(&v->head, (struct ts_bytes){(const uint8_t *)method, strlen(method)});
    x->old = v->parser.http_major == 1 && v->parser.http_minor == 0;
    x->closes = http_should_keep_alive(&v->parser) == 0;
    if (!find_framing(v, &framing, &why)) {
        http_request_refuse(x, NULL, why);
        return;
    }
    http_request_begin(x, &v->head, framing);
    if (framing != HTTP_FRAMING_NONE && x->stage == HTTP_READING) {
        v->reading = x;
        v->chunks = (struct http_chunks){.state = HTTP_CHUNK_SIZE};
    }
}

/* Reads on in a head; gives the bytes that it took. */
static size_t take_head(struct http_conn *c, struct ts_bytes in)
{
    struct http_v1 *v = c->state.v1;
    if (v->text == NULL) {
        begin_head(c);
    }
    size_t used = http_parser_execute(&v->parser, &settings, (const char *)in.data, in.len);
    enum http_errno error = HTTP_PARSER_ERRNO(&v->parser);
    if (v->whole && error == HPE_PAUSED) {
        take_request(c);
        end_head(c);
        return used;
    }
    if (error == HPE_OK && used == in.len && v->parser.upgrade == 0) {
        return used;
    }
    bool long_head = http_head_is_long(&v->head) || error == HPE_HEADER_OVERFLOW;
    struct http_exchange *x = http_exchange_new(c);
    http_request_refuse(x, long_head ? &v->head : NULL,
                        "what came is no request of HTTP/1.1: look at its first lines");
    end_head(c);
    return in.len;
}

/* ---- bodies ---- */

/* Reads on in a body; gives the bytes that it took. */
static size_t take_body(struct http_conn *c, struct ts_bytes in)
{
    struct http_v1 *v = c->state.v1;
    struct http_exchange *x = v->reading;
    size_t used = 0;
    bool done = false;
    if (x->has_length) {
        uint64_t left = x->length - x->body_len;
        used = left < in.len ? (size_t)left : in.len;
        done = used == left;
        http_request_body(x, (struct ts_bytes){in.data, used});
    } else {
        struct ts_bytes data;
        if (http_chunks_read(&v->chunks, in, &used, &data) != TS_OK) {
            v->reading = NULL;
            http_answer_error(x, 400, HTTP_ERROR_BAD_REQUEST,
                              "the body is not chunked as its Transfer-Encoding says");
            return in.len;
        }
        http_request_body(x, data);
        done = v->chunks.state == HTTP_CHUNK_DONE;
    }
    if (x->stage != HTTP_READING || done) {
        v->reading = NULL;
    }
    if (done) {
        http_request_complete(x);
    }
    return used;
}

static bool must_wait(const struct http_conn *c)
{
    return c->state.v1->reading == NULL &&
           (c->exchange_count >= HTTP_PIPELINE_MAX || c->output > HTTP_OUTPUT_SOFT);
}

static size_t take(struct http_conn *c, struct ts_bytes in)
{
    size_t at = 0;
    if (c->state.v1 == NULL) {
        c->state.v1 = calloc(1, sizeof(*c->state.v1));
        ts_must(c->state.v1);
    }
    while (at < in.len && !must_wait(c)) {
        struct ts_bytes rest = {in.data + at, in.len - at};
        if (c->newest != NULL && c->newest->closes && c->state.v1->reading == NULL) {
            return in.len; /* nothing behind the last request is one */
        }
        at += c->state.v1->reading != NULL ? take_body(c, rest) : take_head(c, rest);
    }
    return at;
}

/* ---- answers ---- */

static void put(struct svc_out *out, const void *data, size_t len)
{
    enum ts_err err = svc_out_put(out, data, len);
    ts_assert(err == TS_OK);
}

static void put_text(struct svc_out *out, const char *text)
{
    put(out, text, strlen(text));
}

static bool is_chunked(const struct http_exchange *x)
{
    return !x->tells_length && x->stage == HTTP_STREAM && !x->old;
}

static void put_head(struct http_exchange *x, struct svc_out *out)
{
    char line[96];
    const char *name = NULL;
    const char *value = NULL;
    size_t at = 0;
    (void)snprintf(line, sizeof(line), "HTTP/1.1 %u %s\r\n", x->status,
                   http_status_reason(x->status));
    put_text(out, line);
    while (http_answer_header(x, &at, &name, &value)) {
        put_text(out, name);
        put_text(out, ": ");
        put_text(out, value);
        put_text(out, "\r\n");
    }
    if (x->tells_length) {
        (void)snprintf(line, sizeof(line), "content-length: %llu\r\n",
                       (unsigned long long)x->out_total);
        put_text(out, line);
    } else if (is_chunked(x)) {
        put_text(out, "transfer-encoding: chunked\r\n");
    }
    put_text(out, x->closes ? "connection: close\r\n\r\n" : "connection: keep-alive\r\n\r\n");
    x->head_sent = true;
}

/* Some of the bytes that wait. */
static void put_body(struct http_exchange *x, struct svc_out *out, size_t most)
{
    char line[CHUNK_HEAD_MAX];
    size_t left = x->out_len - x->out_at;
    size_t n = left < most ? left : most;
    if (n == 0) {
        return;
    }
    if (is_chunked(x)) {
        (void)snprintf(line, sizeof(line), "%zx\r\n", n);
        put_text(out, line);
    }
    put(out, x->out + x->out_at, n);
    if (is_chunked(x)) {
        put_text(out, "\r\n");
    }
    http_answer_moved(x, n);
}

static void fill(struct http_conn *c, struct svc_out *out, size_t most)
{
    while (out->len < most && c->exchanges != NULL && !c->finishing) {
        struct http_exchange *x = c->exchanges;
        if (x->continue_due) {
            x->continue_due = false;
            put_text(out, "HTTP/1.1 100 Continue\r\n\r\n");
        }
        if (!http_answer_waits(x)) {
            return;
        }
        if (!x->head_sent) {
            put_head(x, out);
        }
        put_body(x, out, most > out->len ? most - out->len : 1);
        if (x->out_at < x->out_len || !x->ends) {
            continue;
        }
        if (is_chunked(x)) {
            put_text(out, "0\r\n\r\n");
        }
        c->finishing = x->closes;
        http_exchange_free(x);
    }
}

static bool has_output(const struct http_conn *c)
{
    const struct http_exchange *x = c->exchanges;
    return x != NULL && !c->finishing && (x->continue_due || http_answer_waits(x));
}

static void answered(struct http_exchange *x)
{
    http_socket_changed(x->conn);
}

static void go_on(struct http_exchange *x)
{
    x->continue_due = true;
    http_socket_changed(x->conn);
}

/* ---- the end ---- */

static void forget(struct http_exchange *x)
{
    struct http_v1 *v = x->conn->state.v1;
    v->reading = v->reading == x ? NULL : v->reading;
}

static void too_slow(struct http_conn *c)
{
    struct http_exchange *x = http_exchange_new(c);
    x->closes = true;
    end_head(c);
    http_answer_error(x, 408, HTTP_ERROR_TIMEOUT,
                      "the request did not come as a whole in time: send it again");
}

static void part(struct http_conn *c)
{
    (void)c; /* there are no words for it */
}

static void close_v1(struct http_conn *c)
{
    if (c->state.v1 != NULL) {
        end_head(c);
        free(c->state.v1);
    }
}

const struct http_version http_v1 = {
    .take = take,
    .fill = fill,
    .has_output = has_output,
    .answered = answered,
    .go_on = go_on,
    .forget = forget,
    .too_slow = too_slow,
    .part = part,
    .close = close_v1,
};
