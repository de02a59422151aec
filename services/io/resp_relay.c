#include "services/io/resp_relay.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/io/resp_conn.h"

/* Bytes on their way to the other one before its client is not read any more. */
#define QUEUED_MAX (1024U * 1024)
#define HEARD_MAX (64U * 1024) /* answers to what is said first */
#define WORDS_MAX 4
/* Who acknowledges nothing for so long, or for twice a failure-timeout, has died with its NIC; so
 * has who does not say that it lives, after so many seconds without anything to say. This NIC is
 * not always the one that takes over, and closes all that it carries on. */
#define SILENT_MS 5000U
#define QUIET_S 3

struct resp_relay {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    struct resp_server *server;
    struct resp_conn *conn; /* NULL: it has closed */
    struct svc_out heard;   /* of the answers to what was said first; owned */
    unsigned swallow;       /* so many of these are still to come */
    size_t queued;          /* bytes given to the socket and not taken by it */
    bool up;
    bool reading;
    bool ended; /* the client sends no more, and the other one knows */
};

/* One write; the bytes stand behind it. */
struct piece {
    uv_write_t write;
    struct resp_relay *relay;
    size_t len;
    uint8_t bytes[];
};

bool resp_relay_wants(const struct resp_conn *c, const struct kv_command *command)
{
    const struct resp_server *s = c->server;
    bool of_state = command != NULL &&
                    ((command->flags & KV_CMD_LOCAL) == 0 || resp_multi_concerns(c, command) ||
                     resp_session_is(command) || command->id == KV_WAIT);
    bool session = c->session.state == RESP_SESSION_NONE ||
                   (c->session.state == RESP_SESSION_IN && !c->session.gap);
    return of_state && c->id < s->relay_below && !c->visitor &&
           s->status.role == FRONT_ROLE_SECONDARY && s->status.primary[0] != '\0' && !c->multi.on &&
           c->multi.watched.len == 0 && session && resp_pubsub_count(c) == 0 &&
           s->users.count == 0 && s->config.tls == NULL && resp_conn_may_open(s);
}

/* ---- the end ---- */

static void on_closed(uv_handle_t *handle)
{
    struct resp_relay *r = handle->data;
    struct resp_server *s = r->server;
    svc_out_free(&r->heard);
    free(r);
    ts_assert(s->handles > 0 && s->relays > 0);
    s->handles--;
    s->relays--;
    resp_server_wake(s);
}

void resp_relay_close(struct resp_relay *r)
{
    if (r != NULL && r->conn != NULL) {
        r->conn = NULL;
        uv_close((uv_handle_t *)&r->tcp, on_closed);
    }
}

/* The other one sends no more: what it sent is still written, and the client learns the rest by the
 * closed connection (R2.8). */
static void lose(struct resp_relay *r)
{
    struct resp_conn *c = r->conn;
    if (c != NULL) {
        c->finishing = true;
        c->relay = NULL;
        resp_relay_close(r);
        resp_conn_set_reading(c);
        resp_conn_finish(c);
    }
}

void resp_relay_end_all(struct resp_server *s)
{
    for (uint32_t i = 0; i < s->config.clients_max; i++) {
        struct resp_conn *c = s->slots[i].conn;
        if (c != NULL && c->relay != NULL) {
            s->stats.closed_unanswered++;
            resp_conn_close(c);
        }
    }
}

/* ---- replies ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct resp_relay *r = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)r->server->chunk, RESP_READ_CHUNK);
}

static void set_reading(struct resp_relay *r);

/* Takes the answers to what was said first, and leaves in *bytes what is behind them. False: the
 * other one does not agree. */
static bool swallow(struct resp_relay *r, struct ts_bytes *bytes)
{
    size_t at = 0;
    size_t before = r->heard.len;
    r->heard.max = HEARD_MAX + RESP_READ_CHUNK;
    if (before > HEARD_MAX || svc_out_put(&r->heard, bytes->data, bytes->len) != TS_OK) {
        return false;
    }
    while (r->swallow > 0) {
        struct ts_bytes rest = {r->heard.data + at, r->heard.len - at};
        size_t n = resp_reply_len(rest);
        if (n == 0) {
            break;
        }
        if (rest.data[0] == '-') {
            return false;
        }
        at += n;
        r->swallow--;
    }
    /* The last of them ends in these bytes: it was not whole before. */
    size_t used = r->swallow > 0 ? bytes->len : at - before;
    *bytes = (struct ts_bytes){bytes->data + used, bytes->len - used};
    if (r->swallow == 0) {
        svc_out_free(&r->heard);
    } else {
        r->heard.len -= at;
        memmove(r->heard.data, r->heard.data + at, r->heard.len);
    }
    return true;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct resp_relay *r = stream->data;
    struct resp_conn *c = r->conn;
    if (c == NULL || n == 0 || n == UV_ENOBUFS) {
        return;
    }
    if (n < 0) {
        lose(r);
        return;
    }
    struct ts_bytes bytes = {(const uint8_t *)buf->base, (size_t)n};
    if (r->swallow > 0 && !swallow(r, &bytes)) {
        lose(r);
        return;
    }
    if (r->swallow == 0 && c->paused) {
        resp_list_add(c, RESP_LINK_RESUME);
        resp_server_wake(r->server);
    }
    if (bytes.len == 0) {
        return;
    }
    if (c->out.cap == 0) {
        c->out = resp_pool_take(r->server);
    }
    if (c->out.cap - c->out.len < bytes.len) {
        resp_arena_grow(&c->out, bytes.len);
    }
    memcpy(c->out.data + c->out.len, bytes.data, bytes.len);
    c->out.len += bytes.len;
    resp_conn_output_changed(c);
    if (!c->closing) {
        set_reading(r);
    }
}

static void set_reading(struct resp_relay *r)
{
    bool want = r->up && r->conn->bytes_total <= r->server->config.client_output_soft;
    if (want == r->reading) {
        return;
    }
    r->reading = want;
    if (!want) {
        uv_read_stop((uv_stream_t *)&r->tcp);
    } else if (uv_read_start((uv_stream_t *)&r->tcp, on_alloc, on_read) != 0) {
        lose(r);
    }
}

/* ---- requests ---- */

static void on_written(uv_write_t *write, int status)
{
    struct piece *p = write->data;
    struct resp_relay *r = p->relay;
    r->queued -= p->len;
    free(p);
    if (r->conn == NULL) {
        return;
    }
    if (status != 0) {
        lose(r);
    } else if (r->conn->paused && r->queued <= QUEUED_MAX / 2) {
        resp_list_add(r->conn, RESP_LINK_RESUME);
        resp_server_wake(r->server);
    }
}

/* False: the connection was closed, since nothing would wake it when there is memory again. */
static bool pass_on(struct resp_conn *c, const uint8_t *data, size_t len)
{
    struct resp_relay *r = c->relay;
    struct piece *p = malloc(sizeof(*p) + len);
    if (p == NULL) {
        resp_conn_close(c);
        return false;
    }
    p->relay = r;
    p->len = len;
    p->write.data = p;
    memcpy(p->bytes, data, len);
    uv_buf_t buf = uv_buf_init((char *)p->bytes, (unsigned)len);
    if (uv_write(&p->write, (uv_stream_t *)&r->tcp, &buf, 1, on_written) != 0) {
        free(p);
        resp_conn_close(c);
        return false;
    }
    r->queued += len;
    return true;
}

size_t resp_relay_take(struct resp_conn *c, const uint8_t *data, size_t len)
{
    /* Before the other one has taken the connection for what it is, it would carry requests out for
     * somebody else: outside of the session, and once more when the client resumes that. */
    c->paused = c->relay->queued >= QUEUED_MAX || c->relay->swallow > 0;
    if (c->paused) {
        return 0; /* it is the other one's turn */
    }
    return pass_on(c, data, len) ? len : 0;
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    (void)shutdown; /* the replies follow, and then the other one closes */
    (void)status;
}

void resp_relay_resume(struct resp_conn *c)
{
    struct resp_relay *r = c->relay;
    set_reading(r);
    if (r->conn == c && c->eof && c->in_len == c->in_at && !r->ended) {
        r->ended = true;
        if (uv_shutdown(&r->shutdown, (uv_stream_t *)&r->tcp, on_shutdown) != 0) {
            resp_conn_close(c);
        }
    }
}

/* ---- the beginning ---- */

/* One request of what is said first. */
static void say(struct resp_relay *r, struct svc_out *out, const char *const words[WORDS_MAX])
{
    size_t n = 0;
    while (n < WORDS_MAX && words[n] != NULL) {
        n++;
    }
    struct resp_writer w = resp_writer_init(out, RESP_V2, SIZE_MAX / 4);
    resp_put_array(&w, n);
    for (size_t i = 0; i < n; i++) {
        resp_put_bulk_text(&w, words[i]);
    }
    ts_assert(resp_writer_finish(&w) == TS_OK);
    r->swallow++;
}

/* Tells the other one what the connection is. */
static void introduce(struct resp_conn *c)
{
    const struct resp_session *session = &c->session;
    struct svc_out out = resp_pool_take(c->server);
    char v[3][24];
    if (c->version == RESP_V3) {
        say(c->relay, &out, (const char *const[WORDS_MAX]){"HELLO", "3"});
    }
    if (c->name[0] != '\0') {
        say(c->relay, &out, (const char *const[WORDS_MAX]){"CLIENT", "SETNAME", c->name});
    }
    if (c->lib_name[0] != '\0') {
        say(c->relay, &out,
            (const char *const[WORDS_MAX]){"CLIENT", "SETINFO", "LIB-NAME", c->lib_name});
    }
    if (c->lib_ver[0] != '\0') {
        say(c->relay, &out,
            (const char *const[WORDS_MAX]){"CLIENT", "SETINFO", "LIB-VER", c->lib_ver});
    }
    if (session->state == RESP_SESSION_IN) {
        const uint64_t numbers[3] = {session->id, session->connection, session->next};
        for (size_t i = 0; i < 3; i++) {
            (void)snprintf(v[i], sizeof(v[i]), "%llu", (unsigned long long)numbers[i]);
        }
        say(c->relay, &out, (const char *const[WORDS_MAX]){"SESSION.CARRY", v[0], v[1], v[2]});
    }
    if (out.len > 0) {
        (void)pass_on(c, out.data, out.len);
    }
    resp_pool_give(c->server, &out);
}

static void on_connect(uv_connect_t *connect, int status)
{
    struct resp_relay *r = connect->data;
    if (r->conn == NULL) {
        return;
    }
    if (status != 0) {
        lose(r);
        return;
    }
    r->up = true;
    set_reading(r);
}

static bool address_of(const char *text, struct sockaddr_storage *out)
{
    char host[FRONT_ADDR_MAX];
    const char *port = NULL;
    int n = resp_host_len(text, &port);
    int number = (int)strtol(port, NULL, 10);
    (void)snprintf(host, sizeof(host), "%.*s", n, text);
    return uv_ip4_addr(host, number, (struct sockaddr_in *)out) == 0 ||
           uv_ip6_addr(host, number, (struct sockaddr_in6 *)out) == 0;
}

/* Linux. */
static void watch_silence(const struct resp_relay *r)
{
    const unsigned silent_ms = 2 * r->server->config.failure_timeout_ms;
    const int on = 1;
    const int quiet_s = QUIET_S;
    const unsigned timeout_ms = silent_ms > SILENT_MS ? silent_ms : SILENT_MS;
    uv_os_fd_t fd;
    int err = uv_fileno((const uv_handle_t *)&r->tcp, &fd);
    ts_assert(err == 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &quiet_s, sizeof(quiet_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

void resp_relay_begin(struct resp_conn *c)
{
    struct resp_server *s = c->server;
    struct sockaddr_storage where;
    bool owed = c->answered < c->ordered || c->reads > 0 || c->deferred_len > 0;
    struct resp_relay *r =
        owed || !address_of(s->status.primary, &where) ? NULL : calloc(1, sizeof(*r));
    if (r == NULL || uv_tcp_init_ex(s->loop, &r->tcp, where.ss_family) != 0) {
        free(r);
        s->stats.closed_unanswered++;
        resp_conn_close(c);
        return;
    }
    r->server = s;
    r->conn = c;
    r->tcp.data = r;
    r->connect.data = r;
    s->handles++;
    s->relays++;
    c->relay = r;
    watch_silence(r);
    s->stats.relayed++;
    (void)uv_tcp_nodelay(&r->tcp, 1);
    if (uv_tcp_connect(&r->connect, &r->tcp, (const struct sockaddr *)&where, on_connect) != 0) {
        resp_conn_close(c);
        return;
    }
    introduce(c);
    if (!c->closing) {
        resp_list_add(c, RESP_LINK_RESUME);
    }
}
