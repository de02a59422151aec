#include "net/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netinet/tcp.h>

#include "base/assert.h"
#include "base/memory.h"
#include "net/link_internal.h"

const char *net_down_text(enum net_down reason)
{
    static const char *const texts[NET_DOWN_REASONS] = {
#define NET_DOWN_TEXT(sym, text) text,
        NET_DOWN_LIST(NET_DOWN_TEXT)
#undef NET_DOWN_TEXT
    };
    ts_assert(reason >= 0 && reason < NET_DOWN_REASONS);
    return texts[reason];
}

void link_bytes_reserve(struct link_bytes *b, size_t n)
{
    if (b->cap - b->len >= n) {
        return;
    }
    /* Only when that makes much room: a long backlog must not be moved for every frame. */
    if (b->pos > 0 && b->pos >= b->len - b->pos) {
        memmove(b->data, b->data + b->pos, b->len - b->pos);
        b->len -= b->pos;
        b->pos = 0;
        if (b->cap - b->len >= n) {
            return;
        }
    }
    size_t cap = b->cap < 4096 ? 4096 : b->cap;
    while (cap - b->len < n) {
        cap *= 2;
    }
    uint8_t *data = realloc(b->data, cap);
    ts_must(data);
    b->data = data;
    b->cap = cap;
}

void link_bytes_free(struct link_bytes *b)
{
    free(b->data);
    *b = (struct link_bytes){.data = NULL};
}

static void link_list_add(struct net_endpoint *ep, struct net_link *l)
{
    l->prev = ep->last;
    if (ep->last != NULL) {
        ep->last->next = l;
    } else {
        ep->first = l;
    }
    ep->last = l;
    ep->link_count++;
}

static void link_list_remove(struct net_link *l)
{
    struct net_endpoint *ep = l->ep;
    if (l->prev != NULL) {
        l->prev->next = l->next;
    } else {
        ep->first = l->next;
    }
    if (l->next != NULL) {
        l->next->prev = l->prev;
    } else {
        ep->last = l->prev;
    }
    l->next = NULL;
    l->prev = NULL;
    ep->link_count--;
}

enum ts_err link_new(struct net_endpoint *ep, int family, struct net_link **out)
{
    struct net_link *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return TS_ERR_NOMEM;
    }
    int rc = uv_tcp_init_ex(ep->env.loop, &l->tcp, (unsigned)family);
    if (rc != 0) {
        free(l);
        errno = -rc;
        return TS_ERR_SYSTEM;
    }
    l->ep = ep;
    l->tcp.data = l;
    l->connect.data = l;
    l->write.data = l;
    l->state = LINK_CONNECTING;
    l->since = net_now();
    l->flush = (struct net_turn_hook){.run = link_flush, .arg = l, .stage = NET_TURN_FLUSH};
    link_list_add(ep, l);
    ep->pending++;
    *out = l;
    return TS_OK;
}

void link_set_address(struct net_link *l, const struct sockaddr *address)
{
    char ip[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        (void)uv_ip4_name(in, ip, sizeof(ip));
        port = ntohs(in->sin_port);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        (void)uv_ip6_name(in6, ip, sizeof(ip));
        port = ntohs(in6->sin6_port);
    }
    (void)snprintf(l->address, sizeof(l->address), "%s port %u", ip, port);
}

static void link_closed(uv_handle_t *handle)
{
    struct net_link *l = handle->data;
    struct net_endpoint *ep = l->ep;
    SSL_free(l->ssl);
    link_bytes_free(&l->in);
    link_bytes_free(&l->out);
    link_bytes_free(&l->wire);
    link_bytes_free(&l->in_flight);
    free(l);
    endpoint_handle_closed(ep);
}

/* What came of a link that never was up: peers that are merely away are their owner's to tell of;
 * what points at a wrong certificate, a wrong configuration or an attack is told here. */
static void link_log_failure(struct net_link *l, enum net_down reason, const char *detail)
{
    char key[32];
    (void)snprintf(key, sizeof(key), "link-%d-%d", (int)l->dialled, (int)reason);
    const char *more = detail == NULL ? "" : detail;
    const char *colon = detail == NULL ? "" : ": ";
    if (!l->dialled) {
        net_log_limited(l->ep->env.log, NET_LOG_WARNING, key,
                        "refused a connection from %s: %s%s%s", l->address, net_down_text(reason),
                        colon, more);
        return;
    }
    bool telling = reason == NET_DOWN_TLS || reason == NET_DOWN_IDENTITY ||
                   reason == NET_DOWN_DENIED || reason == NET_DOWN_VERSION ||
                   reason == NET_DOWN_MALFORMED || reason == NET_DOWN_OVERSIZED ||
                   reason == NET_DOWN_BUDGET || reason == NET_DOWN_SYSTEM;
    if (telling) {
        net_log_limited(l->ep->env.log, NET_LOG_WARNING, key, "no link to node %u at %s: %s%s%s",
                        (unsigned)l->expected.v, l->address, net_down_text(reason), colon, more);
    }
}

uint64_t net_counters_rejected(const struct net_counters *c)
{
    static const enum net_down REASONS[] = {
        NET_DOWN_TLS,       NET_DOWN_IDENTITY,    NET_DOWN_VERSION,
        NET_DOWN_MALFORMED, NET_DOWN_OVERSIZED,   NET_DOWN_BUDGET,
        NET_DOWN_HALF_OPEN, NET_DOWN_CONNECTIONS, NET_DOWN_RATE};
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof(REASONS) / sizeof(REASONS[0]); i++) {
        n += c->refused[REASONS[i]] + c->lost[REASONS[i]] + c->failed[REASONS[i]];
    }
    return n;
}

static void link_count_end(struct net_link *l, enum net_down reason, const char *detail)
{
    struct net_counters *c = &l->ep->counters;
    if (l->state == LINK_UP) {
        c->lost[reason]++;
        return;
    }
    if (l->dialled) {
        c->failed[reason]++;
    } else {
        c->refused[reason]++;
    }
    if (reason != NET_DOWN_LOCAL) {
        link_log_failure(l, reason, detail);
    }
}

void link_end(struct net_link *l, enum net_down reason, const char *detail, bool tell)
{
    if (l->state == LINK_ENDED) {
        return;
    }
    bool was_up = l->state == LINK_UP;
    link_count_end(l, reason, detail);
    link_flush_last(l);
    l->state = LINK_ENDED;
    net_turn_cancel(l->ep->env.turn, &l->flush);
    link_list_remove(l);
    uv_close((uv_handle_t *)&l->tcp, link_closed);
    if (tell && (was_up || l->dialled)) {
        l->end_detail = detail;
        l->events->on_down(l->arg, l, reason);
        l->end_detail = NULL;
    }
}

void link_doom(struct net_link *l, enum net_down reason)
{
    if (!l->doomed) {
        l->doomed = true;
        l->doom = reason;
    }
    net_turn_request(l->ep->env.turn, &l->flush);
}

/* The kernel takes no more than it can soon send: what waits, waits here, where its progress is
 * seen and pings stay young. */
static void link_limit_unsent(struct net_link *l)
{
    uv_os_fd_t fd = -1;
    int bytes = LINK_UNSENT_BYTES;
    if (uv_fileno((const uv_handle_t *)&l->tcp, &fd) == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
    }
}

void link_start(struct net_link *l)
{
    l->state = LINK_HANDSHAKE;
    l->since = net_now();
    (void)uv_tcp_nodelay(&l->tcp, 1);
    link_limit_unsent(l);
    endpoint_sweep_start(l->ep);
    link_read_start(l);
}

static enum net_down link_connect_reason(int status)
{
    switch (status) {
    case UV_ECONNREFUSED:
        return NET_DOWN_REFUSED;
    case UV_ETIMEDOUT:
        return NET_DOWN_TIMEOUT;
    default:
        return NET_DOWN_UNREACHABLE;
    }
}

static void link_on_connect(uv_connect_t *request, int status)
{
    struct net_link *l = request->data;
    if (l->state == LINK_ENDED) {
        return;
    }
    if (status != 0) {
        link_end(l, link_connect_reason(status), uv_strerror(status), true);
        return;
    }
    link_start(l);
}

/* Binds the source, so that the connection takes the path whose address it bears. */
static int link_bind(struct net_link *l, const struct sockaddr *from)
{
    uv_os_fd_t fd = -1;
    int one = 1;
    if (uv_fileno((const uv_handle_t *)&l->tcp, &fd) == 0) {
        /* The port is chosen at connect: many links may share the ephemeral range. */
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    }
    return uv_tcp_bind(&l->tcp, from, 0);
}

enum ts_err net_link_dial(struct net_endpoint *ep, const struct sockaddr *from,
                          const struct sockaddr *to, struct ts_nic_id peer,
                          const struct net_link_events *events, void *arg, struct net_link **out)
{
    ts_assert(ep->opened && !ep->closing);
    struct net_link *l = NULL;
    enum ts_err err = link_new(ep, to->sa_family, &l);
    if (err != TS_OK) {
        return err;
    }
    ep->counters.dialled++;
    l->dialled = true;
    l->expected = peer;
    l->events = events;
    l->arg = arg;
    link_set_address(l, to);
    int rc = from == NULL ? 0 : link_bind(l, from);
    if (rc == UV_EADDRNOTAVAIL) {
        net_log_limited(ep->env.log, NET_LOG_WARNING, "link-source",
                        "the source address of a path to %s is not on this machine: check the "
                        "node's paths in the cluster file and the network interface",
                        l->address);
    }
    if (rc == 0) {
        rc = uv_tcp_connect(&l->connect, &l->tcp, to, link_on_connect);
    }
    if (rc != 0) {
        link_doom(l, link_connect_reason(rc));
    }
    endpoint_sweep_start(ep);
    *out = l;
    return TS_OK;
}

void net_link_close(struct net_link *link, enum net_down reason)
{
    link_end(link, reason, NULL, false);
}

void net_link_set_arg(struct net_link *link, void *arg)
{
    link->arg = arg;
}

bool net_link_is_dialled(const struct net_link *link)
{
    return link->dialled;
}

const struct net_hello *net_link_peer(const struct net_link *link)
{
    return &link->peer;
}

struct ts_mono net_link_heard(const struct net_link *link)
{
    return link->heard;
}

struct ts_mono net_link_received(const struct net_link *link)
{
    return link->received;
}

uint32_t net_link_backlog(const struct net_link *link)
{
    /* TLS records are a little longer than their text; the sum stays within twice output_max. */
    return (uint32_t)(link_bytes_used(&link->out) + link_bytes_used(&link->in_flight));
}

unsigned net_link_listen_index(const struct net_link *link)
{
    return link->listen_index;
}

const char *net_link_detail(const struct net_link *link)
{
    return link->end_detail == NULL ? "" : link->end_detail;
}

const char *net_link_address(const struct net_link *link)
{
    return link->address;
}
