/* What HTTP/2 sends: answers as nghttp2 asks for them, within the windows that the client gives. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "services/io/http_v2.h"

#define FIELDS_MAX (HTTP_ANSWER_HEADERS_MAX + 3U) /* status, type, length */

static ssize_t on_read(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t length,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct http_exchange *x = nghttp2_session_get_stream_user_data(session, stream_id);
    (void)source;
    (void)user;
    if (x == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* it is reset */
    }
    size_t left = x->out_len - x->out_at;
    size_t n = left < length ? left : length;
    if (n == 0 && !x->ends) {
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n > 0) {
        memcpy(buf, x->out + x->out_at, n);
    }
    if (n == left && x->ends) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    http_answer_moved(x, n);
    return (ssize_t)n;
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value),
                        .flags = NGHTTP2_NV_FLAG_NONE};
}

static void submit(struct http_exchange *x)
{
    nghttp2_nv fields[FIELDS_MAX];
    char status[16];
    char length[24];
    const char *name = NULL;
    const char *value = NULL;
    size_t at = 0;
    size_t n = 0;
    const nghttp2_data_provider provider = {.read_callback = on_read};
    bool empty = x->ends && x->out_at == x->out_len;
    (void)snprintf(status, sizeof(status), "%u", x->status);
    fields[n++] = field(":status", status);
    while (http_answer_header(x, &at, &name, &value)) {
        ts_assert(n < FIELDS_MAX);
        fields[n++] = field(name, value);
    }
    if (x->tells_length) {
        ts_assert(n < FIELDS_MAX);
        (void)snprintf(length, sizeof(length), "%llu", (unsigned long long)x->out_total);
        fields[n++] = field("content-length", length);
    }
    x->head_sent = true;
    int err = nghttp2_submit_response(x->conn->state.v2->session, x->stream_id, fields, n,
                                      empty ? NULL : &provider);
    ts_assert(err == 0 || err == NGHTTP2_ERR_NOMEM || err == NGHTTP2_ERR_DATA_EXIST);
    if (err != 0) {
        http_conn_close(x->conn);
    }
}

void http_v2_answered(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    if (!x->head_sent) {
        submit(x);
    } else {
        /* Refused when it is not waiting for more: then it will be asked anyway. */
        (void)nghttp2_session_resume_data(c->state.v2->session, x->stream_id);
    }
    http_socket_changed(c);
}

void http_v2_go_on(struct http_exchange *x)
{
    const nghttp2_nv status = field(":status", "100");
    struct http_conn *c = x->conn;
    if (nghttp2_submit_headers(c->state.v2->session, NGHTTP2_FLAG_NONE, x->stream_id, NULL, &status,
                               1, NULL) < 0) {
        http_conn_close(c);
        return;
    }
    http_socket_changed(c);
}

int http_v2_on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    bool last = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
                (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct http_exchange *x =
        last ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) : NULL;
    (void)user;
    if (x != NULL) {
        x->sent = true;
        x->moved_ms = http_now(x->conn->server);
    }
    return 0;
}

/* Not at once: clients would take the reset for the answer. */
void http_v2_drained(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    if (nghttp2_submit_rst_stream(c->state.v2->session, NGHTTP2_FLAG_NONE, x->stream_id,
                                  NGHTTP2_NO_ERROR) != 0) {
        http_conn_close(c);
        return;
    }
    http_socket_changed(c);
}

bool http_v2_has_output(const struct http_conn *c)
{
    return c->state.v2 != NULL && nghttp2_session_want_write(c->state.v2->session) != 0;
}

void http_v2_fill(struct http_conn *c, struct svc_out *out, size_t most)
{
    while (c->state.v2 != NULL && out->len < most && !c->closing) {
        const uint8_t *data = NULL;
        ssize_t n = nghttp2_session_mem_send(c->state.v2->session, &data);
        if (n < 0) {
            http_conn_close(c);
            return;
        }
        if (n == 0) {
            break;
        }
        enum ts_err err = svc_out_put(out, data, (size_t)n);
        ts_assert(err == TS_OK);
    }
    if (c->state.v2 != NULL && nghttp2_session_want_read(c->state.v2->session) == 0 &&
        nghttp2_session_want_write(c->state.v2->session) == 0) {
        c->finishing = true;
    }
}
