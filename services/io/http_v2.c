/* HTTP/2 (RFC 9113) as a server, on nghttp2: frames and header compression are the library's, and
 * what it bounds by options; a stream is an exchange. What it is not told to bound is bounded here:
 * headers, requests that their clients give up, frames that wait for a client that does not read.
 *
 * A stream that is reset while its request is in the log is forgotten: the answer finds no token.
 */
#include "services/io/http_v2.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define WINDOW_STREAM (256 * 1024)       /* bytes of a body that a client may send ahead … */
#define WINDOW_CONN (1024 * 1024)        /* … and of all of a connection */
#define ACKS_MAX 1000U                   /* answers to PING and SETTINGS that wait */
#define SETTINGS_MAX 32U                 /* entries of one SETTINGS frame */
#define CONTINUATIONS_MAX 8U             /* frames of one header block */
#define QUEUE_MAX 2000U                  /* frames that wait */
#define HEAD_IGNORED 4U                  /* times headers_max, then the stream is reset */
#define ABANDONED_BURST 200.0            /* requests that are given up … */
#define ABANDONED_PER_MS (20.0 / 1000.0) /* … and how many are forgiven */
#define RESETS_BURST 1000U               /* the same of RST_STREAM, asked or not */
#define RESETS_PER_S 100U

static struct ts_bytes bytes(const uint8_t *data, size_t len)
{
    return (struct ts_bytes){data, len};
}

/* ---- heads ---- */

static void end_head(struct http_conn *c)
{
    struct http_v2 *v = c->state.v2;
    if (v->text != NULL) {
        explicit_bzero(v->text, v->head.len);
        free(v->text);
        v->text = NULL;
    }
    v->head_stream = 0;
    c->head_ms = 0;
}

static bool begins_request(const nghttp2_frame *frame)
{
    return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_conn *c = user;
    struct http_v2 *v = c->state.v2;
    (void)session;
    if (!begins_request(frame) || c->closing) {
        return 0;
    }
    end_head(c); /* of one that was refused */
    v->text = malloc(c->server->config.headers_max);
    ts_must(v->text);
    http_head_begin(&v->head, v->text, c->server->config.headers_max);
    v->head_stream = frame->hd.stream_id;
    c->head_ms = http_now(c->server);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct http_conn *c = user;
    struct http_v2 *v = c->state.v2;
    (void)session;
    (void)flags;
    if (v->head_stream == 0 || v->head_stream != frame->hd.stream_id || !begins_request(frame)) {
        return 0; /* trailers */
    }
    struct http_head *h = &v->head;
    if (h->bytes > HEAD_IGNORED * h->max) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (name_len == 7 && memcmp(name, ":method", 7) == 0) {
        http_head_method(h, bytes(value, value_len));
    } else if (name_len == 5 && memcmp(name, ":path", 5) == 0) {
        http_head_target(h, bytes(value, value_len));
    } else {
        http_head_name(h, bytes(name, name_len));
        http_head_value(h, bytes(value, value_len));
    }
    return 0;
}

static void take_request(struct http_conn *c, const nghttp2_frame *frame)
{
    struct http_v2 *v = c->state.v2;
    bool whole = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    enum http_framing framing = whole ? HTTP_FRAMING_NONE : HTTP_FRAMING_OPEN;
    if (!whole && v->head.seen[HTTP_FIELD_LENGTH]) {
        framing = HTTP_FRAMING_LENGTH;
    }
    struct http_exchange *x = http_exchange_new(c);
    x->stream_id = frame->hd.stream_id;
    int err = nghttp2_session_set_stream_user_data(v->session, x->stream_id, x);
    ts_assert(err == 0);
    http_request_begin(x, &v->head, framing);
    end_head(c);
}

/* ---- what came ---- */

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_conn *c = user;
    struct http_v2 *v = c->state.v2;
    bool carries = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (c->closing || !carries) {
        return 0;
    }
    if (begins_request(frame)) {
        if (v->head_stream == frame->hd.stream_id) {
            take_request(c, frame);
        }
        return 0;
    }
    struct http_exchange *x = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (x != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        http_request_complete(x);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t len, void *user)
{
    const struct http_conn *c = user;
    struct http_exchange *x = nghttp2_session_get_stream_user_data(session, stream_id);
    (void)flags;
    if (x != NULL && !c->closing) {
        http_request_body(x, bytes(data, len));
    }
    return 0;
}

/* A client that makes requests and gives them up at once has them worked on, and never too many of
 * them at the same time: this bounds how often. */
static void count_abandoned(struct http_conn *c)
{
    struct http_v2 *v = c->state.v2;
    uint64_t now = http_now(c->server);
    double forgiven = (double)(now - v->abandoned_ms) * ABANDONED_PER_MS;
    v->abandoned = v->abandoned > forgiven ? v->abandoned - forgiven : 0;
    v->abandoned_ms = now;
    v->abandoned += 1;
    if (v->abandoned > ABANDONED_BURST) {
        (void)nghttp2_session_terminate_session(v->session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error, void *user)
{
    struct http_conn *c = user;
    struct http_exchange *x = nghttp2_session_get_stream_user_data(session, stream_id);
    (void)error;
    if (c->state.v2->head_stream == stream_id) {
        end_head(c);
    }
    if (x == NULL || c->closing) {
        return 0;
    }
    if (x->stage == HTTP_QUEUED || x->stage == HTTP_ASKED) {
        count_abandoned(c);
    }
    http_exchange_free(x);
    return 0;
}

/* ---- the session ---- */

static bool set_callbacks(nghttp2_session_callbacks **out)
{
    nghttp2_session_callbacks *cb = NULL;
    if (nghttp2_session_callbacks_new(&cb) != 0) {
        return false;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, http_v2_on_sent);
    *out = cb;
    return true;
}

static bool open_session(struct http_conn *c)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_STREAM},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, c->server->config.headers_max},
    };
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    struct http_v2 *v = c->state.v2;
    bool ok = set_callbacks(&callbacks) && nghttp2_option_new(&option) == 0;
    if (ok) {
        nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
        nghttp2_option_set_max_settings(option, SETTINGS_MAX);
        nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
        nghttp2_option_set_stream_reset_rate_limit(option, RESETS_BURST, RESETS_PER_S);
        nghttp2_option_set_no_closed_streams(option, 1);
        ok = nghttp2_session_server_new2(&v->session, callbacks, c, option) == 0;
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return ok &&
           nghttp2_submit_settings(v->session, NGHTTP2_FLAG_NONE, settings,
                                   sizeof(settings) / sizeof(settings[0])) == 0 &&
           nghttp2_session_set_local_window_size(v->session, NGHTTP2_FLAG_NONE, 0, WINDOW_CONN) ==
               0;
}

static size_t take(struct http_conn *c, struct ts_bytes in)
{
    if (c->state.v2 == NULL) {
        c->state.v2 = calloc(1, sizeof(*c->state.v2));
        ts_must(c->state.v2);
        if (!open_session(c)) {
            http_conn_close(c);
            return in.len;
        }
    }
    nghttp2_session *session = c->state.v2->session;
    ssize_t n = nghttp2_session_mem_recv(session, in.data, in.len);
    if (c->closing) {
        return in.len;
    }
    if (n < 0) {
        /* No HTTP/2, or a flood; an error of the protocol is answered by nghttp2 itself. */
        c->server->stats.bad_requests++;
        http_conn_close(c);
    } else if (nghttp2_session_get_outbound_queue_size(session) > QUEUE_MAX) {
        c->server->stats.closed_slow++;
        http_conn_close(c);
    }
    return in.len;
}

static void forget(struct http_exchange *x)
{
    struct http_v2 *v = x->conn->state.v2;
    (void)nghttp2_session_set_stream_user_data(v->session, x->stream_id, NULL);
}

static void part(struct http_conn *c)
{
    if (c->state.v2 != NULL) {
        (void)nghttp2_session_terminate_session(c->state.v2->session, NGHTTP2_NO_ERROR);
    }
}

static void too_slow(struct http_conn *c)
{
    http_conn_part(c);
}

static void close_v2(struct http_conn *c)
{
    if (c->state.v2 != NULL) {
        end_head(c);
        nghttp2_session_del(c->state.v2->session);
        free(c->state.v2);
    }
}

const struct http_version http_v2 = {
    .take = take,
    .fill = http_v2_fill,
    .has_output = http_v2_has_output,
    .answered = http_v2_answered,
    .go_on = http_v2_go_on,
    .drained = http_v2_drained,
    .forget = forget,
    .too_slow = too_slow,
    .part = part,
    .close = close_v2,
};
