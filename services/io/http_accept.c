/* Listening, and taking connections. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "services/io/http_conn.h"

#define BACKLOG 511
#define KEEPALIVE_S 300

/* ---- accepting ---- */

static void name_peer(struct http_conn *c)
{
    struct sockaddr_storage from = {0};
    int len = sizeof(from);
    char host[64] = "?";
    (void)snprintf(c->peer, sizeof(c->peer), "?");
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&from, &len) != 0) {
        return;
    }
    if (from.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&from;
        (void)uv_ip6_name(v6, host, sizeof(host));
        (void)snprintf(c->peer, sizeof(c->peer), "[%s]:%u", host, ntohs(v6->sin6_port));
    } else if (from.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&from;
        (void)uv_ip4_name(v4, host, sizeof(host));
        (void)snprintf(c->peer, sizeof(c->peer), "%s:%u", host, ntohs(v4->sin_port));
    }
}

/* Whoever has not said who it is has its place until another one needs it. */
static void make_room(struct http_server *s)
{
    struct http_conn *oldest = s->lists[HTTP_LIST_STRANGERS].first;
    if (oldest != NULL && s->stats.clients >= s->config.clients_max) {
        s->stats.closed_strangers++;
        http_conn_close(oldest);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct http_server *s = listener->data;
    if (status != 0 || s->ending) {
        return;
    }
    make_room(s);
    bool full = s->stats.clients >= s->config.clients_max;
    struct http_conn *c = http_conn_new(s);
    /* A connection that is not accepted would stop the listener for ever. */
    ts_assert(c != NULL);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 || full) {
        s->stats.rejected += full ? 1 : 0;
        http_conn_close(c);
        return;
    }
    s->stats.connections++;
    c->open = true;
    name_peer(c);
    (void)uv_tcp_nodelay(&c->tcp, 1);
    (void)uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
    http_socket_set_reading(c);
}

/* ---- listening ---- */

/* Binds, also to an address that is not here yet (Linux), and listens. Gives an errno, or 0. */
static int open_socket(const struct sockaddr_storage *where, int *out)
{
    int on = 1;
    bool v6 = where->ss_family == AF_INET6;
    int fd = socket(where->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    socklen_t len = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
              setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, &on,
                         sizeof(on)) == 0 &&
              (!v6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
              bind(fd, (const struct sockaddr *)where, len) == 0 && listen(fd, BACKLOG) == 0;
    if (!ok) {
        int err = errno;
        (void)close(fd);
        return err;
    }
    *out = fd;
    return 0;
}

/* Gives the socket to the loop, and it is closed when that fails. */
static int attach(struct http_server *s, int fd)
{
    uv_tcp_t *tcp = &s->listeners[s->listener_count];
    int err = uv_tcp_init(s->loop, tcp);
    if (err != 0) {
        (void)close(fd);
        return err;
    }
    tcp->data = s;
    s->listener_count++;
    s->handles++;
    err = uv_tcp_open(tcp, fd);
    if (err != 0) {
        (void)close(fd); /* the handle stays until the end: it has no socket */
        return err;
    }
    return uv_listen((uv_stream_t *)tcp, BACKLOG, on_connection);
}

enum ts_err http_server_listen(struct http_server *s, const char *address, uint16_t port,
                               struct ts_why *why)
{
    struct sockaddr_storage where = {0};
    if (uv_ip4_addr(address, port, (struct sockaddr_in *)&where) != 0 &&
        uv_ip6_addr(address, port, (struct sockaddr_in6 *)&where) != 0) {
        return ts_why(why, TS_ERR_CONFIG,
                      "%s is no address to listen on: write a numeric IPv4 or IPv6 address",
                      address);
    }
    if (s->listener_count == HTTP_LISTENERS_MAX) {
        return ts_why(why, TS_ERR_LIMIT,
                      "cannot listen on %s, too: %d addresses are the most there may be", address,
                      HTTP_LISTENERS_MAX);
    }
    int fd = -1;
    int err = open_socket(&where, &fd);
    if (err == EADDRINUSE) {
        return ts_why(why, TS_ERR_BUSY,
                      "cannot listen on %s port %u: another process does; stop it, or choose "
                      "another port",
                      address, port);
    }
    if (err != 0) {
        return ts_why_sys(why, err, "cannot listen on %s port %u; check address and port", address,
                          port) == TS_ERR_NOMEM
                   ? TS_ERR_NOMEM
                   : TS_ERR_SYSTEM;
    }
    err = attach(s, fd);
    if (err != 0) {
        return ts_why(why, TS_ERR_SYSTEM, "cannot wait for connections to %s port %u: %s", address,
                      port, uv_strerror(err));
    }
    return TS_OK;
}

uint16_t http_server_port(const struct http_server *s)
{
    struct sockaddr_storage where = {0};
    int len = sizeof(where);
    if (s->listener_count == 0 ||
        uv_tcp_getsockname(&s->listeners[0], (struct sockaddr *)&where, &len) != 0) {
        return 0;
    }
    return ntohs(where.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&where)->sin6_port
                                             : ((const struct sockaddr_in *)&where)->sin_port);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;
    s->handles--;
    http_wake(s);
}

void http_listener_close_all(struct http_server *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        uv_close((uv_handle_t *)&s->listeners[i], on_listener_closed);
    }
}
