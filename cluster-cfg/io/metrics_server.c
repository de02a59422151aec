#include "cluster-cfg/io/metrics_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "cluster-cfg/io/metrics.h"
#include "net/link.h"

#define CLIENTS_MAX 16U
#define CLIENT_BYTES_MAX ((size_t)16 << 10) /* of a request, and for its head of an answer */
#define BACKLOG 16
/* So long nobody is let in after that has failed. */
#define STUCK_MS 200

struct metrics_server {
    struct MHD_Daemon *daemon;
    metrics_render_fn *render;
    void *arg;
    uint16_t port;
    int epoll; /* the library's descriptor */
    bool stuck;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned handles; /* not closed yet */
};

static enum MHD_Result queue(struct MHD_Connection *c, unsigned status, struct MHD_Response *r,
                             const char *type)
{
    if (r == NULL) {
        return MHD_NO;
    }
    enum MHD_Result result = MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (result == MHD_YES && status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        result = MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    }
    result = result == MHD_YES ? MHD_queue_response(c, status, r) : result;
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned status, const char *text)
{
    /* The library copies it: the parameter is not const for the sake of another mode. */
    struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                             MHD_RESPMEM_MUST_COPY);
    return queue(c, status, r, "text/plain; charset=utf-8");
}

static enum MHD_Result give(struct metrics_server *s, struct MHD_Connection *c)
{
    char *text = s->render(s->arg);
    if (text == NULL) {
        return refuse(c, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory; ask again\n");
    }
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (r == NULL) {
        free(text);
    }
    return queue(c, MHD_HTTP_OK, r, METRICS_CONTENT_TYPE);
}

/* Called with the head of a request, then for each part of its body, then for the answer. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_len, void **state)
{
    (void)version;
    (void)body;
    if (*state == NULL) {
        *state = arg; /* anything but NULL: the next call comes behind the head */
        return MHD_YES;
    }
    if (*body_len > 0) {
        return MHD_NO; /* nothing takes a body here: the connection ends */
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET is answered here\n");
    }
    if (strcmp(url, "/metrics") != 0) {
        return refuse(c, MHD_HTTP_NOT_FOUND, "the metrics are at /metrics\n");
    }
    return give(arg, c);
}

/* ---- on the loop ---------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);
static void on_poll(uv_poll_t *poll, int status, int events);

static unsigned clients(const struct metrics_server *s)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info == NULL ? 0 : info->num_connections;
}

/* Somebody waits to be let in, and the library could not: it has no connection whose end it could
 * wait for, and leaves its descriptor readable. The loop would call it again and again. */
static bool is_stuck(const struct metrics_server *s)
{
    struct pollfd p = {.fd = s->epoll, .events = POLLIN};
    return clients(s) == 0 && poll(&p, 1, 0) > 0;
}

/* At its limit the library listens no more, and begins again in the run after one in which a
 * connection ended: nothing else would call that. */
static void serve(struct metrics_server *s)
{
    unsigned before;
    do {
        before = clients(s);
        (void)MHD_run(s->daemon);
    } while (clients(s) < before);
}

static void run(struct metrics_server *s)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    serve(s);
    bool was = s->stuck;
    s->stuck = is_stuck(s);
    if (s->stuck) {
        (void)uv_poll_stop(&s->poll);
        (void)uv_timer_start(&s->timer, on_timer, STUCK_MS, 0);
        return;
    }
    if (was) {
        (void)uv_poll_start(&s->poll, UV_READABLE, on_poll);
    }
    if (MHD_get_timeout(s->daemon, &ms) == MHD_YES) {
        (void)uv_timer_start(&s->timer, on_timer, ms, 0);
    } else {
        (void)uv_timer_stop(&s->timer);
    }
}

static void on_timer(uv_timer_t *timer)
{
    run(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run(poll->data);
}

/* ---- open and close -------------------------------------------------------------------------- */

/* Gives a listening socket, or -1 with errno. */
static int listen_on(const char *address, uint16_t port)
{
    struct sockaddr_storage to;
    int on = 1;
    if (net_address(address, port, &to) != TS_OK) {
        errno = EINVAL;
        return -1;
    }
    bool v4 = to.ss_family == AF_INET;
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    socklen_t len = v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (bind(fd, (const struct sockaddr *)&to, len) != 0 || listen(fd, BACKLOG) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at;
    socklen_t len = sizeof(at);
    memset(&at, 0, sizeof(at));
    if (getsockname(fd, &at.any, &len) != 0) {
        return 0;
    }
    return ntohs(at.any.sa_family == AF_INET ? at.v4.sin_port : at.v6.sin6_port);
}

static void on_closed(uv_handle_t *h)
{
    struct metrics_server *s = h->data;
    if (--s->handles == 0) {
        free(s);
    }
}

/* Has the loop watch the library's descriptor; it must be open already. */
static int watch(struct metrics_server *s, uv_loop_t *loop)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int err = info == NULL ? UV_ENOTSUP : uv_timer_init(loop, &s->timer);
    if (err != 0) {
        return err;
    }
    s->timer.data = s;
    s->handles = 1;
    s->epoll = info->epoll_fd;
    err = uv_poll_init(loop, &s->poll, s->epoll);
    if (err == 0) {
        s->poll.data = s;
        s->handles = 2;
        err = uv_poll_start(&s->poll, UV_READABLE, on_poll);
    }
    return err;
}

enum ts_err metrics_server_open(struct metrics_server **out, uv_loop_t *loop, const char *address,
                                uint16_t port, unsigned idle_s, metrics_render_fn *render,
                                void *arg, struct ts_why *why)
{
    struct metrics_server *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory for the metrics; free some");
    }
    s->render = render;
    s->arg = arg;
    int fd = listen_on(address, port);
    if (fd < 0) {
        int error = errno;
        free(s);
        return ts_why(why, TS_ERR_SYSTEM,
                      "the metrics cannot be had on http://%s:%u/metrics: %s; change `metrics` or "
                      "`metrics-port` in the cluster file, or end what listens there",
                      address, port, strerror(error));
    }
    s->port = port_of(fd);
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, CLIENTS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, idle_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CLIENT_BYTES_MAX, MHD_OPTION_END);
    if (s->daemon == NULL) {
        (void)close(fd);
        free(s);
        return ts_why(why, TS_ERR_SYSTEM,
                      "the metrics cannot be had: libmicrohttpd does not start");
    }
    int err = watch(s, loop);
    if (err != 0) {
        metrics_server_close(s);
        return ts_why(why, TS_ERR_SYSTEM, "the metrics cannot be had: %s", uv_strerror(err));
    }
    *out = s;
    return TS_OK;
}

uint16_t metrics_server_port(const struct metrics_server *s)
{
    return s->port;
}

void metrics_server_close(struct metrics_server *s)
{
    if (s == NULL) {
        return;
    }
    unsigned handles = s->handles;
    if (handles == 2) {
        (void)uv_poll_stop(&s->poll); /* before its descriptor is closed */
    }
    MHD_stop_daemon(s->daemon);
    if (handles == 0) {
        free(s);
        return;
    }
    uv_close((uv_handle_t *)&s->timer, on_closed);
    if (handles == 2) {
        uv_close((uv_handle_t *)&s->poll, on_closed);
    }
}
