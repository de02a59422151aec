/* A connection as the versions of HTTP see it: plain bytes in, plain bytes out. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/io/http_conn.h"

#define PREFACE "PRI " /* with which HTTP/2 begins; HTTP/1.1 has no such method */

struct http_conn *http_conn_new(struct http_server *s)
{
    struct http_conn *c = calloc(1, sizeof(*c));
    if (c == NULL || uv_tcp_init(s->loop, &c->tcp) != 0) {
        free(c);
        return NULL;
    }
    c->server = s;
    c->tcp.data = c;
    c->begun_ms = c->active_ms = c->moved_ms = http_now(s);
    c->in.max = c->sending.max = SIZE_MAX / 2;
    http_list_add(c, HTTP_LIST_CONNS);
    http_list_add(c, HTTP_LIST_STRANGERS);
    s->handles++;
    s->stats.clients++;
    return c;
}

void http_conn_speak(struct http_conn *c, const struct http_version *version)
{
    ts_assert(c->version == NULL);
    c->version = version;
}

/* Plain bytes say what is spoken. False: there are too few of them yet. */
static bool find_version(struct http_conn *c, struct ts_bytes in)
{
    size_t n = in.len < sizeof(PREFACE) - 1 ? in.len : sizeof(PREFACE) - 1;
    bool fits = c->server->config.http2 && memcmp(in.data, PREFACE, n) == 0;
    if (fits && n < sizeof(PREFACE) - 1) {
        return false;
    }
    http_conn_speak(c, fits ? &http_v2 : &http_v1);
    return true;
}

static void append(struct svc_out *to, struct ts_bytes data)
{
    enum ts_err err = data.len > 0 ? svc_out_put(to, data.data, data.len) : TS_OK;
    ts_assert(err == TS_OK);
}

void http_conn_take(struct http_conn *c, struct ts_bytes in)
{
    bool kept = c->in.len > 0;
    if (kept) {
        append(&c->in, in);
        in = (struct ts_bytes){c->in.data, c->in.len};
    }
    size_t used = in.len;
    if (in.len > 0 && !c->finishing && !c->closing) {
        bool known = c->version != NULL || find_version(c, in);
        used = known ? c->version->take(c, in) : 0;
    }
    if (c->closing) {
        return; /* what was kept is gone */
    }
    if (c->finishing) {
        used = in.len;
    }
    if (!kept) {
        append(&c->in, (struct ts_bytes){in.data + used, in.len - used});
    } else if (used == in.len) {
        svc_out_free(&c->in);
        c->in.max = SIZE_MAX / 2;
    } else if (used > 0) {
        memmove(c->in.data, c->in.data + used, in.len - used);
        c->in.len -= used;
    }
    http_socket_changed(c);
    http_socket_set_reading(c);
}

void http_conn_resume(struct http_conn *c)
{
    if (!c->closing && c->in.len > 0) {
        http_list_add(c, HTTP_LIST_RESUME);
        http_wake(c->server);
    }
}

void http_conn_fill(struct http_conn *c, struct svc_out *out, size_t most)
{
    if (c->version != NULL && !c->closing) {
        c->version->fill(c, out, most);
    }
}

void http_conn_eof(struct http_conn *c)
{
    c->eof = true;
    c->server->stats.no_request += c->greeted || c->finishing || c->lingering ? 0 : 1;
    for (const struct http_exchange *x = c->exchanges; x != NULL; x = x->next) {
        if (x->stage != HTTP_WRITING) {
            http_conn_close(c); /* nobody waits for what is not answered yet */
            return;
        }
    }
    bool waits = c->exchanges != NULL || c->writing || c->sending.len > c->sending_at;
    if (!waits || c->lingering) {
        http_conn_close(c);
        return;
    }
    c->finishing = true;
    http_socket_set_reading(c);
    http_socket_changed(c);
}

void http_conn_is_known(struct http_conn *c)
{
    c->known = true;
    http_list_remove(c, HTTP_LIST_STRANGERS);
}

static void on_closed(uv_handle_t *handle)
{
    struct http_conn *c = handle->data;
    struct http_server *s = c->server;
    if (c->version != NULL) {
        c->version->close(c);
    }
    net_tls_stream_close(c->tls);
    svc_out_free(&c->in);
    svc_out_free(&c->sending);
    http_list_remove(c, HTTP_LIST_CONNS);
    free(c);
    s->handles--;
    http_wake(s);
}

void http_conn_close(struct http_conn *c)
{
    struct http_server *s = c->server;
    if (c->closing) {
        return;
    }
    c->closing = true;
    while (c->exchanges != NULL) {
        http_exchange_free(c->exchanges);
    }
    svc_out_free(&c->in);
    http_list_remove(c, HTTP_LIST_STRANGERS);
    http_list_remove(c, HTTP_LIST_DIRTY);
    http_list_remove(c, HTTP_LIST_RESUME);
    s->stats.clients--;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

void http_conn_part(struct http_conn *c)
{
    if (!c->closing && !c->writing && !c->lingering && c->open) {
        if (c->version != NULL) {
            c->version->part(c);
        }
        c->finishing = true;
        (void)http_socket_flush(c, HTTP_WRITE_CHUNK);
    }
    http_conn_close(c);
}
