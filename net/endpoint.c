#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/link_internal.h"

static void endpoint_drained(struct net_endpoint *ep)
{
    ts_assert(!ep->drained && ep->link_count == 0);
    ep->drained = true;
    BIO_meth_free(ep->bio);
    ep->bio = NULL;
    free(ep->read_buffer);
    ep->read_buffer = NULL;
    if (ep->on_drained != NULL) {
        ep->on_drained(ep->drained_arg);
    }
}

void endpoint_handle_closed(struct net_endpoint *ep)
{
    ts_assert(ep->pending > 0);
    ep->pending--;
    if (ep->pending == 0 && ep->closing) {
        endpoint_drained(ep);
    }
}

static uint64_t endpoint_limit_ns(const struct net_link *l)
{
    switch (l->state) {
    case LINK_CONNECTING:
        return l->ep->connect_timeout_ns;
    case LINK_HANDSHAKE:
    case LINK_HELLO:
        return l->ep->handshake_timeout_ns;
    case LINK_UP:
    case LINK_ENDED:
        return UINT64_MAX;
    }
    ts_unreachable();
}

static void endpoint_sweep(uv_timer_t *timer)
{
    struct net_endpoint *ep = timer->data;
    struct ts_mono now = net_now();
    bool unfinished = false;
    struct net_link *next = NULL;
    for (struct net_link *l = ep->first; l != NULL; l = next) {
        next = l->next;
        uint64_t limit = endpoint_limit_ns(l);
        if (limit == UINT64_MAX) {
            continue;
        }
        if (ts_mono_since(l->since, now) < limit) {
            unfinished = true;
        } else if (!l->doomed) {
            /* Ended in the flush: an owner told of it here could close the link that is next. */
            link_doom(l,
                      l->state == LINK_CONNECTING ? NET_DOWN_TIMEOUT : NET_DOWN_HANDSHAKE_TIMEOUT);
        }
    }
    if (!unfinished) {
        (void)uv_timer_stop(timer);
    }
}

void endpoint_sweep_start(struct net_endpoint *ep)
{
    if (ep->closing || uv_is_active((const uv_handle_t *)&ep->sweep)) {
        return;
    }
    uint64_t shorter = ep->connect_timeout_ns < ep->handshake_timeout_ns ? ep->connect_timeout_ns
                                                                         : ep->handshake_timeout_ns;
    uint64_t period_ms = shorter / 4 / TS_NS_PER_MS;
    if (period_ms < 2) {
        period_ms = 2;
    }
    (void)uv_timer_start(&ep->sweep, endpoint_sweep, period_ms, period_ms);
}

enum ts_err net_endpoint_open(struct net_endpoint *ep)
{
    ts_assert(ep->env.loop != NULL && ep->env.turn != NULL && ep->env.tls != NULL);
    ts_assert(ep->name_of != NULL && ep->hello.cluster[0] != '\0' && ep->hello.instance.v != 0);
    ep->hello.version_min = NET_FORMAT_MIN;
    ep->hello.version_max = NET_FORMAT_MAX;
    if (ep->connect_timeout_ns == 0) {
        ep->connect_timeout_ns = LINK_CONNECT_DEFAULT;
    }
    if (ep->handshake_timeout_ns == 0) {
        ep->handshake_timeout_ns = LINK_HANDSHAKE_DEFAULT;
    }
    if (ep->output_max == 0) {
        ep->output_max = LINK_OUTPUT_DEFAULT;
    }
    ep->first = NULL;
    ep->last = NULL;
    ep->link_count = 0;
    ep->closing = false;
    ep->drained = false;
    ep->read_buffer = malloc(LINK_READ_BYTES);
    ep->bio = link_bio_method();
    if (ep->read_buffer == NULL || ep->bio == NULL) {
        free(ep->read_buffer);
        BIO_meth_free(ep->bio);
        return TS_ERR_NOMEM;
    }
    /* A peer that closed must be an error of the write, not the end of this process. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)uv_timer_init(ep->env.loop, &ep->sweep);
    ep->sweep.data = ep;
    ep->pending = 1;
    ep->opened = true;
    return TS_OK;
}

static void endpoint_sweep_closed(uv_handle_t *handle)
{
    endpoint_handle_closed(handle->data);
}

void net_endpoint_close(struct net_endpoint *ep)
{
    ts_assert(ep->opened && !ep->closing);
    ep->closing = true;
    while (ep->first != NULL) {
        link_end(ep->first, NET_DOWN_LOCAL, NULL, false);
    }
    uv_close((uv_handle_t *)&ep->sweep, endpoint_sweep_closed);
}

enum ts_err net_address(const char *text, uint16_t port, struct sockaddr_storage *out)
{
    struct sockaddr_storage address;
    memset(&address, 0, sizeof(address));
    if (uv_ip4_addr(text, port, (struct sockaddr_in *)&address) != 0 &&
        uv_ip6_addr(text, port, (struct sockaddr_in6 *)&address) != 0) {
        return TS_ERR_MALFORMED;
    }
    *out = address;
    return TS_OK;
}
