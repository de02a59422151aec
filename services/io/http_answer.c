/* Answers and streams: what is to be sent, kept until the client takes it (http_v1.c,
 * http_v2_send.c). */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/io/http_conn.h"

#define AUTHENTICATE "Basic realm=\"twinstep\", charset=\"UTF-8\""
#define METHODS "GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS"

/* ---- what is kept ---- */

/* Appends "name\0value\0", the name in small letters as HTTP/2 wants it. */
static void keep_header(struct ts_writer *w, const char *name, const char *value)
{
    for (const char *c = name; *c != '\0'; c++) {
        ts_put_u8(w, (uint8_t)(*c >= 'A' && *c <= 'Z' ? *c + 'a' - 'A' : *c));
    }
    ts_put_u8(w, 0);
    ts_put_bytes(w, value, strlen(value) + 1);
}

/* Keeps the headers that the client gets besides those of every answer. False: they are none. */
static bool keep_headers(struct http_exchange *x, const struct http_answer *a)
{
    size_t len = 0;
    const char *type = a->content_type;
    if (type != NULL &&
        !http_type_is_valid((struct ts_bytes){(const uint8_t *)type, strlen(type)})) {
        return false;
    }
    for (size_t i = 0; i < a->header_count; i++) {
        if (!http_header_is_valid(a->headers[i].name, a->headers[i].value)) {
            return false;
        }
        len += strlen(a->headers[i].name) + strlen(a->headers[i].value) + 2;
    }
    len += type != NULL ? strlen(type) + sizeof("content-type") + 1 : 0;
    if (a->header_count > HTTP_ANSWER_HEADERS_MAX || len > HTTP_HEADERS_OUT_MAX / 2) {
        return false;
    }
    x->headers = malloc(len > 0 ? len : 1);
    ts_must(x->headers);
    struct ts_writer w = ts_writer_init(x->headers, len);
    if (type != NULL) {
        keep_header(&w, "content-type", type);
    }
    for (size_t i = 0; i < a->header_count; i++) {
        keep_header(&w, a->headers[i].name, a->headers[i].value);
    }
    ts_assert(ts_writer_status(&w) == TS_OK && w.len == len);
    x->headers_len = len;
    return true;
}

bool http_answer_header(const struct http_exchange *x, size_t *at, const char **name,
                        const char **value)
{
    if (*at >= x->headers_len) {
        return false;
    }
    *name = x->headers + *at;
    *value = *name + strlen(*name) + 1;
    *at += strlen(*name) + 1 + strlen(*value) + 1;
    return true;
}

/* Counts what a connection and all of them keep for their clients. */
static void count_output(struct http_exchange *x, size_t before)
{
    struct http_conn *c = x->conn;
    c->output = c->output - before + x->out_cap;
    c->server->answers = c->server->answers - before + x->out_cap;
}

/* Room for `n` more bytes that wait to be sent. */
static uint8_t *reserve_output(struct http_exchange *x, size_t n)
{
    size_t before = x->out_cap;
    if (x->out_at > 0) {
        memmove(x->out, x->out + x->out_at, x->out_len - x->out_at);
        x->out_len -= x->out_at;
        x->out_at = 0;
    }
    if (x->out_cap - x->out_len < n) {
        size_t cap = x->out_cap < 256 ? 256 : x->out_cap;
        while (cap - x->out_len < n) {
            cap *= 2;
        }
        /* An answer is one piece; only streams grow. */
        cap = x->out_cap == 0 && n > 256 ? n : cap;
        x->out = realloc(x->out, cap);
        ts_must(x->out);
        x->out_cap = cap;
        count_output(x, before);
    }
    return x->out + x->out_len;
}

bool http_answer_waits(const struct http_exchange *x)
{
    bool answered = x->stage == HTTP_WRITING || x->stage == HTTP_STREAM;
    return answered && !x->sent && (!x->head_sent || x->out_at < x->out_len || x->ends);
}

void http_answer_moved(struct http_exchange *x, size_t n)
{
    x->out_at += n;
    ts_assert(x->out_at <= x->out_len);
    if (x->out_at == x->out_len) {
        x->out_at = x->out_len = 0;
    }
    x->moved_ms = http_now(x->conn->server);
    x->conn->active_ms = x->moved_ms;
}

void http_answer_free(struct http_exchange *x)
{
    size_t before = x->out_cap;
    free(x->headers);
    free(x->out);
    x->headers = NULL;
    x->out = NULL;
    x->out_cap = x->out_len = x->out_at = 0;
    count_output(x, before);
}

static void keep_answer(struct http_exchange *x, const struct http_answer *a)
{
    bool empty = a->status == 204 || a->status == 304;
    x->status = a->status;
    x->tells_length = !empty;
    x->out_total = empty ? 0 : a->body.len;
    if (!empty && x->request.method != HTTP_METHOD_HEAD && a->body.len > 0) {
        memcpy(reserve_output(x, a->body.len), a->body.data, a->body.len);
        x->out_len += a->body.len;
    }
    x->ends = true;
    x->moved_ms = http_now(x->conn->server);
}

static void keep_error(struct http_exchange *x, unsigned status, unsigned code, const char *module,
                       const char *message)
{
    char body[HTTP_ERROR_MAX];
    const struct http_answer_header who = {"www-authenticate", AUTHENTICATE};
    const struct http_answer_header methods = {"allow", METHODS};
    struct http_answer a = {.status = status, .content_type = "application/json"};
    a.headers = status == 401 ? &who : &methods;
    a.header_count = status == 401 || status == 405 ? 1 : 0;
    size_t len = http_error_body(body, status, code, module, message);
    a.body = (struct ts_bytes){(const uint8_t *)body, len};
    bool kept = keep_headers(x, &a);
    ts_assert(kept);
    keep_answer(x, &a);
}

static void count_error(struct http_server *s, unsigned status)
{
    bool stranger = status == 401 || status == 403;
    s->stats.unauthorized += stranger ? 1 : 0;
    s->stats.too_large += status == 413 ? 1 : 0;
    s->stats.overloads += status == 503 ? 1 : 0;
    s->stats.bad_requests += !stranger && status != 413 && status != 503 ? 1 : 0;
}

/* The rest of a body that nobody wants cannot be told from the next request. */
static void begin_own(struct http_exchange *x)
{
    x->closes = x->closes || x->body_comes;
    x->continue_due = false;
    x->stage = HTTP_WRITING;
}

void http_answer_error(struct http_exchange *x, unsigned status, enum http_error_code code,
                       const char *message)
{
    count_error(x->conn->server, status);
    begin_own(x);
    keep_error(x, status, code, HTTP_MODULE, message);
    x->conn->version->answered(x);
}

void http_answer_options(struct http_exchange *x)
{
    const struct http_answer_header methods = {"allow", METHODS};
    const struct http_answer a = {.status = 204, .headers = &methods, .header_count = 1};
    begin_own(x);
    bool kept = keep_headers(x, &a);
    ts_assert(kept);
    keep_answer(x, &a);
    x->conn->version->answered(x);
}

/* ---- the owner's ---- */

/* The exchange that may be answered under this token; counts one that has gone. */
static struct http_exchange *take_asked(struct http_server *s, uint64_t token)
{
    struct http_exchange *x = http_exchange_find(s, token);
    if (x == NULL || x->stage != HTTP_ASKED) {
        s->stats.dropped++;
        return NULL;
    }
    s->stats.unanswered--;
    s->stats.answers++;
    x->conn->active_ms = http_now(s);
    return x;
}

void http_server_answer(struct http_server *s, uint64_t token, const struct http_answer *answer)
{
    ts_assert(answer->status >= 200 && answer->status <= 599);
    struct http_exchange *x = take_asked(s, token);
    if (x == NULL) {
        return;
    }
    x->stage = HTTP_WRITING;
    if (keep_headers(x, answer)) {
        keep_answer(x, answer);
    } else {
        keep_error(x, 500, HTTP_ERROR_INTERNAL, HTTP_MODULE,
                   "the answer has a header that cannot be sent: tell the operator");
    }
    x->conn->version->answered(x);
}

void http_server_error(struct http_server *s, uint64_t token, unsigned status, unsigned code,
                       const char *module, const char *message)
{
    ts_assert(status >= 400 && status <= 599);
    struct http_exchange *x = take_asked(s, token);
    if (x == NULL) {
        return;
    }
    x->stage = HTTP_WRITING;
    keep_error(x, status, code, module, message);
    x->conn->version->answered(x);
}

/* ---- streams ---- */

bool http_server_stream(struct http_server *s, uint64_t token)
{
    static const struct http_answer_header fresh = {"cache-control", "no-store"};
    struct http_answer a = {
        .status = 200, .headers = &fresh, .header_count = 1, .content_type = "text/event-stream"};
    struct http_exchange *x = take_asked(s, token);
    if (x == NULL) {
        return false;
    }
    bool kept = keep_headers(x, &a);
    ts_assert(kept);
    x->status = 200;
    if (x->request.method == HTTP_METHOD_HEAD) {
        x->stage = HTTP_WRITING;
        x->ends = true;
        x->moved_ms = http_now(s);
        x->conn->version->answered(x);
        return false;
    }
    x->stage = HTTP_STREAM;
    x->closes = x->closes || x->old; /* without chunks its end is the connection's */
    x->moved_ms = http_now(s);
    s->stats.streams++;
    s->stats.streaming++;
    x->conn->version->answered(x);
    return true;
}

static struct http_exchange *find_stream(const struct http_server *s, uint64_t stream)
{
    struct http_exchange *x = http_exchange_find(s, stream);
    return x != NULL && x->stage == HTTP_STREAM && !x->ends ? x : NULL;
}

enum ts_err http_server_event(struct http_server *s, uint64_t stream,
                              const struct http_event *event)
{
    struct http_exchange *x = find_stream(s, stream);
    if (x == NULL) {
        return TS_ERR_NOT_FOUND;
    }
    if (!http_event_is_valid(event)) {
        return TS_ERR_MALFORMED;
    }
    size_t n = http_event_size(event);
    size_t waits = x->out_len - x->out_at;
    size_t most = s->config.stream_output_max;
    if (waits > 0 && (waits >= most || n > most - waits)) {
        s->stats.closed_slow++;
        http_conn_close(x->conn);
        return TS_ERR_LIMIT;
    }
    struct ts_writer w = ts_writer_init(reserve_output(x, n), n);
    http_event_write(&w, event);
    ts_assert(ts_writer_status(&w) == TS_OK && w.len == n);
    x->out_len += n;
    x->moved_ms = waits == 0 ? http_now(s) : x->moved_ms;
    s->stats.events++;
    x->conn->version->answered(x);
    return TS_OK;
}

void http_stream_keep_alive(struct http_exchange *x)
{
    static const char comment[] = ": keep-alive\n\n";
    memcpy(reserve_output(x, sizeof(comment) - 1), comment, sizeof(comment) - 1);
    x->out_len += sizeof(comment) - 1;
    x->moved_ms = http_now(x->conn->server);
    x->conn->version->answered(x);
}

void http_server_stream_end(struct http_server *s, uint64_t stream)
{
    struct http_exchange *x = find_stream(s, stream);
    if (x != NULL) {
        x->ends = true;
        x->conn->version->answered(x);
    }
}

void http_stream_closed(const struct http_exchange *x)
{
    struct http_server *s = x->conn->server;
    s->stats.streaming--;
    if (!x->ends && s->ops.stream_closed != NULL) {
        s->ops.stream_closed(s->ops.ctx, x->token);
    }
}
