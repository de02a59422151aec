#include "net/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netinet/tcp.h>

#include "base/assert.h"
#include "net/link_internal.h"

#define LISTENER_BACKLOG 128
#define LISTENER_CONNECTIONS_DEFAULT 512

struct net_listener {
    struct net_listener_config config;
    unsigned open_count; /* sockets that are not closed yet */
    bool closing;
    struct ts_mono bucket_at; /* strangers' rate: a bucket of NET_STRANGERS_PER_S */
    uint32_t bucket;
    struct listener_socket {
        struct net_listener *listener;
        unsigned index;
        uv_tcp_t tcp;
    } sockets[TS_PATHS_MAX];
};

/* One more stranger within the rate? */
static bool listener_take_token(struct net_listener *s)
{
    struct ts_mono now = net_now();
    uint64_t gain = ts_mono_since(s->bucket_at, now) / (TS_NS_PER_S / NET_STRANGERS_PER_S);
    if (gain > 0) {
        uint64_t sum = s->bucket + gain;
        s->bucket = sum < NET_STRANGERS_PER_S ? (uint32_t)sum : NET_STRANGERS_PER_S;
        s->bucket_at = now;
    }
    if (s->bucket == 0) {
        return false;
    }
    s->bucket--;
    return true;
}

/* A peer that gave up while the connection waited to be accepted: after a stall there are many of
 * them, and a handshake with each would make the stall longer. */
static bool listener_peer_gone(const struct net_link *l)
{
    uv_os_fd_t fd = -1;
    struct tcp_info info;
    socklen_t len = sizeof(info);
    memset(&info, 0, sizeof(info));
    if (uv_fileno((const uv_handle_t *)&l->tcp, &fd) != 0 ||
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0) {
        return false;
    }
    return info.tcpi_state != TCP_ESTABLISHED && info.tcpi_state != TCP_SYN_RECV;
}

static bool listener_is_half_open(const struct net_listener *s, const struct net_link *l)
{
    return l->listener == s && l->state != LINK_UP && !l->doomed;
}

/* Makes room in the share of `l`'s source: its oldest unfinished handshake ends. */
static void listener_limit_half_open(struct net_listener *s, const struct net_link *l)
{
    unsigned max = l->source_class > 0 ? NET_HALF_OPEN_KNOWN : NET_HALF_OPEN_STRANGERS;
    unsigned count = 0;
    struct net_link *oldest = NULL;
    for (struct net_link *i = s->config.ep->first; i != NULL; i = i->next) {
        if (listener_is_half_open(s, i) && i->source_class == l->source_class) {
            oldest = oldest == NULL ? i : oldest;
            count++;
        }
    }
    if (count > max && oldest != l) {
        link_end(oldest, NET_DOWN_HALF_OPEN, NULL, false);
    }
}

static uint32_t listener_accepted(const struct net_listener *s)
{
    uint32_t n = 0;
    for (const struct net_link *i = s->config.ep->first; i != NULL; i = i->next) {
        n += i->listener == s ? 1 : 0;
    }
    return n;
}

static void listener_admit(struct net_listener *s, struct net_link *l)
{
    struct sockaddr_storage from;
    memset(&from, 0, sizeof(from));
    int len = sizeof(from);
    if (uv_tcp_getpeername(&l->tcp, (struct sockaddr *)&from, &len) != 0 || listener_peer_gone(l)) {
        link_end(l, NET_DOWN_GONE, NULL, false);
        return;
    }
    link_set_address(l, (const struct sockaddr *)&from);
    if (s->config.known != NULL) {
        l->source_class = s->config.known(s->config.known_arg, (const struct sockaddr *)&from);
    }
    if (listener_accepted(s) > s->config.connections_max) {
        link_end(l, NET_DOWN_CONNECTIONS, NULL, false);
        return;
    }
    if (l->source_class == 0 && !listener_take_token(s)) {
        link_end(l, NET_DOWN_RATE, NULL, false);
        return;
    }
    listener_limit_half_open(s, l);
    link_start(l);
}

static void listener_on_connection(uv_stream_t *server, int status)
{
    struct listener_socket *socket = server->data;
    struct net_listener *s = socket->listener;
    struct net_endpoint *ep = s->config.ep;
    if (status != 0 || s->closing || ep->closing) {
        return;
    }
    struct net_link *l = NULL;
    if (link_new(ep, AF_UNSPEC, &l) != TS_OK) {
        net_log_limited(ep->env.log, NET_LOG_ERROR, "listener-memory",
                        "cannot accept a connection: out of memory");
        return;
    }
    l->events = s->config.events;
    l->arg = s->config.arg;
    l->listener = s;
    l->listen_index = socket->index;
    ep->counters.accepted++;
    int rc = uv_accept(server, (uv_stream_t *)&l->tcp);
    if (rc != 0) {
        link_end(l, NET_DOWN_SYSTEM, uv_strerror(rc), false);
        return;
    }
    listener_admit(s, l);
}

static void listener_socket_closed(uv_handle_t *handle)
{
    struct listener_socket *socket = handle->data;
    struct net_listener *s = socket->listener;
    struct net_endpoint *ep = s->config.ep;
    ts_assert(s->open_count > 0);
    s->open_count--;
    if (s->open_count == 0) {
        free(s);
    }
    endpoint_handle_closed(ep);
}

/* Gives libuv's error, with the handle counted as open once it is initialised. */
static int listener_open_socket(struct net_listener *s, unsigned index)
{
    const struct sockaddr *address = (const struct sockaddr *)&s->config.addresses[index];
    struct listener_socket *socket = &s->sockets[index];
    socket->listener = s;
    socket->index = index;
    int rc = uv_tcp_init_ex(s->config.ep->env.loop, &socket->tcp, address->sa_family);
    if (rc != 0) {
        return rc;
    }
    socket->tcp.data = socket;
    s->open_count++;
    s->config.ep->pending++;
    uv_os_fd_t fd = -1;
    int one = 1;
    if (uv_fileno((const uv_handle_t *)&socket->tcp, &fd) == 0) {
        /* An interface that is down at start must not keep the node from its other paths. */
        (void)setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
    }
    rc = uv_tcp_bind(&socket->tcp, address, 0);
    return rc != 0
               ? rc
               : uv_listen((uv_stream_t *)&socket->tcp, LISTENER_BACKLOG, listener_on_connection);
}

static void listener_close_sockets(struct net_listener *s)
{
    s->closing = true;
    unsigned open_count = s->open_count;
    for (unsigned i = 0; i < open_count; i++) {
        uv_close((uv_handle_t *)&s->sockets[i].tcp, listener_socket_closed);
    }
    if (open_count == 0) {
        free(s);
    }
}

enum ts_err net_listener_open(const struct net_listener_config *config, struct net_listener **out,
                              struct ts_why *why)
{
    ts_assert(config->address_count >= 1 && config->address_count <= TS_PATHS_MAX);
    ts_assert(config->ep->opened && config->events != NULL);
    struct net_listener *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory for a listener");
    }
    s->config = *config;
    s->bucket = NET_STRANGERS_PER_S;
    s->bucket_at = net_now();
    if (s->config.connections_max == 0) {
        s->config.connections_max = LISTENER_CONNECTIONS_DEFAULT;
    }
    for (unsigned i = 0; i < config->address_count; i++) {
        int rc = listener_open_socket(s, i);
        if (rc == 0) {
            continue;
        }
        struct net_link name; /* only for its address text */
        link_set_address(&name, (const struct sockaddr *)&config->addresses[i]);
        listener_close_sockets(s);
        return rc == UV_EADDRINUSE
                   ? ts_why(why, TS_ERR_BUSY,
                            "cannot listen on %s: another process does; stop it, or change "
                            "base-port or the node's paths in the cluster file",
                            name.address)
                   : ts_why(why, TS_ERR_SYSTEM,
                            "cannot listen on %s: %s; check the node's paths in the cluster file",
                            name.address, uv_strerror(rc));
    }
    *out = s;
    return TS_OK;
}

void net_listener_close(struct net_listener *l)
{
    if (l != NULL) {
        listener_close_sockets(l);
    }
}
