/* Bounds in time: four times a second each connection is looked at. */
#include "services/io/http_conn.h"

/* Since when nothing of an answer has moved. What the socket takes is not told by exchanges. */
static uint64_t moved_at(const struct http_exchange *x)
{
    const struct http_conn *c = x->conn;
    bool by_socket = c->writing || c->version == &http_v1;
    return by_socket && c->moved_ms > x->moved_ms ? c->moved_ms : x->moved_ms;
}

/* A request that took too long is told so, once. */
static void tell_slow(struct http_exchange *x)
{
    x->conn->server->stats.closed_slow++;
    x->closes = true;
    http_answer_error(x, 408, HTTP_ERROR_TIMEOUT,
                      "the request did not come as a whole in time: send it again");
}

/* False: the connection is to be closed for it. */
static bool judge(struct http_exchange *x, uint64_t now)
{
    const struct http_server *s = x->conn->server;
    bool turn = x->conn->version != &http_v1 || x->prev == NULL; /* it may be sent */
    bool waits = turn && http_answer_waits(x);
    if (x->stage == HTTP_READING && now - x->begun_ms > s->config.request_ms) {
        tell_slow(x);
    } else if (x->stage == HTTP_STREAM && !waits && turn &&
               now - x->moved_ms >= s->config.stream_keepalive_ms) {
        http_stream_keep_alive(x);
    } else if (x->sent && now - x->moved_ms > HTTP_DRAIN_MS && x->conn->version->drained != NULL) {
        x->conn->version->drained(x);
    } else if (waits && now - moved_at(x) > s->config.answer_ms) {
        return false;
    }
    return true;
}

static void note_progress(struct http_conn *c, uint64_t now)
{
    size_t unsent = uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp);
    if (c->writing && unsent < c->unsent) {
        c->unsent = unsent;
        c->moved_ms = now;
    }
}

static void close_slow(struct http_conn *c)
{
    c->server->stats.closed_slow++;
    http_conn_close(c);
}

static void sweep_conn(struct http_conn *c, uint64_t now)
{
    struct http_server *s = c->server;
    struct http_exchange *next = NULL;
    note_progress(c, now);
    if (c->lingering) {
        if (now - c->moved_ms > HTTP_DRAIN_MS || now - c->ended_ms > s->config.request_ms) {
            http_conn_close(c);
        }
        return;
    }
    for (struct http_exchange *x = c->exchanges; x != NULL && !c->closing; x = next) {
        next = x->next;
        if (!judge(x, now)) {
            close_slow(c);
        }
    }
    if (c->closing) {
        return;
    }
    if (c->writing && now - c->moved_ms > s->config.answer_ms) {
        close_slow(c);
    } else if (!c->known && now - c->begun_ms > s->config.stranger_ms) {
        s->stats.closed_strangers++;
        http_conn_close(c);
    } else if (c->head_ms != 0 && c->in.len == 0 && now - c->head_ms > s->config.request_ms) {
        s->stats.closed_slow++;
        c->version->too_slow(c);
    } else if (c->exchanges == NULL && now - c->active_ms > s->config.idle_ms) {
        s->stats.closed_idle++;
        http_conn_part(c);
    }
}

void http_sweep(uv_timer_t *timer)
{
    struct http_server *s = timer->data;
    uint64_t now = http_now(s);
    /* One that is closed stays in this list until its handle is gone, which is not now. */
    for (struct http_conn *c = s->lists[HTTP_LIST_CONNS].first; c != NULL;
         c = c->node[HTTP_LIST_CONNS].next) {
        if (!c->closing) {
            sweep_conn(c, now);
        }
    }
}
