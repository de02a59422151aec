#include "services/io/http_server.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/loop.h"
#include "services/io/http_conn.h"

const char *http_role_name(enum net_role role)
{
    switch (role) {
    case NET_ROLE_READ:
        return "auditor";
    case NET_ROLE_WRITE:
        return "operator";
    case NET_ROLE_ADMIN:
        return "admin";
    case NET_ROLE_NONE:
        return "none";
    }
    ts_unreachable();
}

/* ---- lists ---- */

void http_list_add(struct http_conn *c, enum http_list list)
{
    struct http_server *s = c->server;
    struct http_node *n = &c->node[list];
    if (n->in) {
        return;
    }
    *n = (struct http_node){.prev = s->lists[list].last, .in = true};
    *(n->prev != NULL ? &n->prev->node[list].next : &s->lists[list].first) = c;
    s->lists[list].last = c;
    s->lists[list].len++;
}

void http_list_remove(struct http_conn *c, enum http_list list)
{
    struct http_server *s = c->server;
    struct http_node *n = &c->node[list];
    if (!n->in) {
        return;
    }
    *(n->prev != NULL ? &n->prev->node[list].next : &s->lists[list].first) = n->next;
    *(n->next != NULL ? &n->next->node[list].prev : &s->lists[list].last) = n->prev;
    s->lists[list].len--;
    *n = (struct http_node){0};
}

/* ---- set-up ---- */

static void or_default(uint32_t *field, uint32_t value)
{
    if (*field == 0) {
        *field = value;
    }
}

static struct http_server_config complete(const struct http_server_config *given)
{
    struct http_server_config c = *given;
    uint32_t sockets = net_sockets_max();
    or_default(&c.clients_max, 1024);
    c.clients_max = c.clients_max < sockets ? c.clients_max : sockets;
    or_default(&c.requests_max, 4096);
    or_default(&c.body_max, 8U * 1024 * 1024);
    or_default(&c.bodies_max, 64U * 1024 * 1024);
    or_default(&c.answers_max, 256U * 1024 * 1024);
    or_default(&c.headers_max, 16U * 1024);
    or_default(&c.stream_output_max, 256U * 1024);
    or_default(&c.stranger_ms, 10000);
    or_default(&c.request_ms, 60000);
    or_default(&c.answer_ms, 30000);
    or_default(&c.idle_ms, 120000);
    or_default(&c.stream_keepalive_ms, 15000);
    return c;
}

static void free_memory(struct http_server *s)
{
    if (s->tls != NULL) {
        net_tls_server_close(s->tls);
    }
    svc_out_free(&s->filled);
    svc_out_free(&s->spare);
    free(s->slots);
    free(s->wire);
    free(s->plain);
    free(s);
}

static void open_handles(struct http_server *s)
{
    int err = uv_idle_init(s->loop, &s->idle);
    ts_assert(err == 0);
    err = uv_timer_init(s->loop, &s->sweep);
    ts_assert(err == 0);
    s->idle.data = s;
    s->sweep.data = s;
    uv_unref((uv_handle_t *)&s->idle);
    uv_unref((uv_handle_t *)&s->sweep);
    s->handles = 1; /* the sweep's; the idle handle is the last one */
    err = uv_timer_start(&s->sweep, http_sweep, HTTP_SWEEP_MS, HTTP_SWEEP_MS);
    ts_assert(err == 0);
}

static void begin_turn(struct http_server *s)
{
    s->turn++;
    s->handshakes_left = HTTP_TURN_HANDSHAKES;
}

static bool allocate(struct http_server *s)
{
    s->slots = calloc(s->config.requests_max, sizeof(*s->slots));
    s->wire = malloc(HTTP_READ_CHUNK);
    s->plain = malloc(HTTP_READ_CHUNK + NET_TLS_RECORD_MAX);
    s->filled.max = s->spare.max = SIZE_MAX / 2;
    if (s->slots == NULL || s->wire == NULL || s->plain == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < s->config.requests_max; i++) {
        s->slots[i].generation = 1;
        s->slots[i].next_free = i + 1 < s->config.requests_max ? i + 1 : UINT32_MAX;
    }
    return true;
}

enum ts_err http_server_create(struct http_server **out, uv_loop_t *loop,
                               const struct http_server_ops *ops,
                               const struct http_server_config *config, struct ts_why *why)
{
    ts_assert(ops->request != NULL);
    if (!config->plain && config->tls_dir == NULL) {
        return ts_why(why, TS_ERR_CONFIG,
                      "HTTPS needs a directory with node.pem, node.key and ca.pem: name one");
    }
    struct http_server *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory for the HTTP front-end");
    }
    s->loop = loop;
    s->ops = *ops;
    s->config = complete(config);
    enum ts_err err = TS_OK;
    if (!allocate(s)) {
        err = ts_why(why, TS_ERR_NOMEM, "out of memory for the HTTP front-end");
    } else if (!config->plain) {
        err = net_tls_server_open_web(&s->tls, config->tls_dir,
                                      config->http2 ? "\x2h2\x8http/1.1" : "\x8http/1.1", why);
    }
    if (err != TS_OK) {
        free_memory(s);
        return err;
    }
    open_handles(s);
    begin_turn(s);
    *out = s;
    return TS_OK;
}

enum ts_err http_server_reload(struct http_server *s, struct ts_why *why)
{
    return s->tls != NULL ? net_tls_server_reload(s->tls, why) : TS_OK;
}

struct net_tls_server *http_server_tls(const struct http_server *s)
{
    return s->tls;
}

/* ---- the turn ---- */

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* being active is all it is for */
}

uint64_t http_now(const struct http_server *s)
{
    return uv_now(s->loop);
}

bool http_server_has_work(const struct http_server *s)
{
    return s->lists[HTTP_LIST_DIRTY].len > 0 || s->lists[HTTP_LIST_RESUME].len > 0 ||
           s->queue_first != NULL;
}

static void on_last_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;
    void (*closed)(void *ctx) = s->closed;
    void *ctx = s->closed_ctx;
    free_memory(s);
    if (closed != NULL) {
        closed(ctx);
    }
}

void http_wake(struct http_server *s)
{
    if (s->ending) {
        if (s->handles == 0 && !uv_is_closing((uv_handle_t *)&s->idle)) {
            uv_close((uv_handle_t *)&s->idle, on_last_closed);
        }
        return;
    }
    if (!http_server_has_work(s)) {
        uv_idle_stop(&s->idle);
    } else if (!uv_is_active((uv_handle_t *)&s->idle)) {
        uv_idle_start(&s->idle, on_idle);
    }
}

static void resume(struct http_server *s)
{
    /* Those that are listed again meanwhile wait for the next turn. */
    for (uint32_t n = s->lists[HTTP_LIST_RESUME].len; n > 0; n--) {
        struct http_conn *c = s->lists[HTTP_LIST_RESUME].first;
        if (c == NULL) {
            return;
        }
        http_list_remove(c, HTTP_LIST_RESUME);
        http_conn_take(c, (struct ts_bytes){s->plain, 0});
    }
}

static void flush(struct http_server *s)
{
    size_t left = HTTP_TURN_WRITE;
    for (uint32_t n = s->lists[HTTP_LIST_DIRTY].len; n > 0 && left > 0; n--) {
        struct http_conn *c = s->lists[HTTP_LIST_DIRTY].first;
        if (c == NULL) {
            return;
        }
        size_t done = http_socket_flush(c, HTTP_TURN_WRITE_EACH);
        left -= done < left ? done : left;
    }
}

void http_server_turn(struct http_server *s)
{
    resume(s);
    http_exchange_hand_over(s);
    flush(s);
    begin_turn(s);
    http_wake(s);
}

void http_server_give_up(struct http_server *s, uint64_t token)
{
    struct http_exchange *x = http_exchange_find(s, token);
    if (x != NULL && x->stage == HTTP_ASKED) {
        s->stats.closed_unanswered++;
        http_conn_close(x->conn);
    }
}

void http_server_fail_unanswered(struct http_server *s)
{
    for (struct http_conn *c = s->lists[HTTP_LIST_CONNS].first; c != NULL;
         c = c->node[HTTP_LIST_CONNS].next) {
        bool owes = false;
        for (const struct http_exchange *x = c->exchanges; x != NULL; x = x->next) {
            owes = owes || x->stage == HTTP_ASKED;
        }
        if (owes) {
            s->stats.closed_unanswered++;
            http_conn_close(c);
        }
    }
}

void http_server_set_users(struct http_server *s, const struct net_users *users)
{
    s->users = *users;
    for (struct http_conn *c = s->lists[HTTP_LIST_CONNS].first; c != NULL;
         c = c->node[HTTP_LIST_CONNS].next) {
        bool gone = false;
        for (const struct http_exchange *x = c->exchanges; x != NULL; x = x->next) {
            const struct http_who *who = &x->request.who;
            if (x->stage != HTTP_STREAM || who->kind == HTTP_WHO_CERTIFICATE) {
                continue;
            }
            const struct net_user *u = net_users_find(
                users, (struct ts_bytes){(const uint8_t *)who->name, strlen(who->name)});
            bool same = u != NULL && memcmp(u->hash, x->hash, sizeof(x->hash)) == 0;
            gone = gone || (users->count > 0 && !same);
        }
        if (gone) {
            http_conn_close(c);
        }
    }
}

void http_server_stats(const struct http_server *s, struct http_server_stats *out)
{
    *out = s->stats;
}

/* ---- the end ---- */

static void on_sweep_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;
    s->handles--;
    http_wake(s);
}

void http_server_destroy(struct http_server *s, void (*closed)(void *ctx), void *ctx)
{
    ts_assert(!s->ending);
    s->ending = true;
    s->closed = closed;
    s->closed_ctx = ctx;
    s->ops.stream_closed = NULL;
    uv_idle_stop(&s->idle);
    http_listener_close_all(s);
    for (struct http_conn *c = s->lists[HTTP_LIST_CONNS].first; c != NULL;
         c = c->node[HTTP_LIST_CONNS].next) {
        http_conn_part(c);
    }
    uv_close((uv_handle_t *)&s->sweep, on_sweep_closed);
}
