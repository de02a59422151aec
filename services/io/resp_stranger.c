/* Who has connected, and may do nothing yet: the TLS handshake is not done, or it is not known who
 * it is. It has a place among the clients, which cost whoever took it nothing: so it has it for a
 * while only, and yields it to the next one when there is no other. */
#include "base/assert.h"
#include "services/io/resp_conn.h"

static bool is_stranger(const struct resp_conn *c)
{
    bool ready = c->tls == NULL || net_tls_stream_is_ready(c->tls);
    return !ready || resp_auth_is_stranger(c);
}

/* The one that is it for the longest time; NULL: nobody is. */
static struct resp_conn *oldest(struct resp_server *s)
{
    struct resp_list *strangers = &s->lists[RESP_LINK_STRANGER];
    while (strangers->first != NULL && !is_stranger(strangers->first)) {
        resp_list_remove(strangers->first, RESP_LINK_STRANGER);
    }
    return strangers->first;
}

static void send_away(struct resp_conn *c)
{
    c->server->stats.closed_strangers++;
    resp_conn_close(c);
}

static void on_timer(uv_timer_t *timer)
{
    struct resp_server *s = timer->data;
    struct resp_conn *c = oldest(s);
    while (c != NULL && uv_now(s->loop) >= c->stranger_until) {
        send_away(c);
        c = oldest(s);
    }
    if (c != NULL) {
        uint64_t left = c->stranger_until - uv_now(s->loop);
        int err = uv_timer_start(timer, on_timer, left, 0);
        ts_assert(err == 0);
    }
}

void resp_stranger_begin(struct resp_conn *c)
{
    struct resp_server *s = c->server;
    if (!is_stranger(c) || s->destroying) {
        return;
    }
    resp_list_remove(c, RESP_LINK_STRANGER);
    resp_list_add(c, RESP_LINK_STRANGER);
    c->stranger_until = uv_now(s->loop) + s->config.stranger_ms;
    if (!uv_is_active((uv_handle_t *)&s->stranger_timer)) {
        int err = uv_timer_start(&s->stranger_timer, on_timer, s->config.stranger_ms, 0);
        ts_assert(err == 0);
    }
}

bool resp_stranger_yields(struct resp_server *s)
{
    struct resp_conn *c = oldest(s);
    if (c != NULL) {
        send_away(c);
    }
    return c != NULL;
}
