#include "base/netlink/talk.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/time.h>

#define RECEIVE_BYTES (4 * 1024 * 1024)

enum ts_err ts_netlink_open(struct ts_netlink *n, int bus, unsigned answer_s, struct ts_why *why)
{
    const struct timeval patience = {.tv_sec = (time_t)answer_s};
    const int bytes = RECEIVE_BYTES;
    n->seq = 0;
    n->socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
    if (n->socket == NULL || mnl_socket_bind(n->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
        setsockopt(mnl_socket_get_fd(n->socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
                   sizeof(patience)) != 0) {
        enum ts_err err = ts_why_sys(why, errno, "cannot open a netlink socket");
        ts_netlink_close(n);
        return err;
    }
    /* Best effort: less of it makes dumps slower only. */
    (void)setsockopt(mnl_socket_get_fd(n->socket), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    return TS_OK;
}

void ts_netlink_close(struct ts_netlink *n)
{
    if (n->socket != NULL) {
        (void)mnl_socket_close(n->socket);
        n->socket = NULL;
    }
}

struct nlmsghdr *ts_netlink_begin(struct ts_netlink *n, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(n->buffer);
    h->nlmsg_type = type;
    h->nlmsg_flags = NLM_F_REQUEST | flags;
    h->nlmsg_seq = ++n->seq;
    return h;
}

/* One message: 0 = it was an acknowledgement or the end, an errno = a refusal, -1 = there are more
 * to come. *torn: what was listed has changed meanwhile, and something may be missing. */
static int take(const struct nlmsghdr *h, mnl_cb_t told, void *arg, bool *torn)
{
    *torn = *torn || (h->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
    if (h->nlmsg_type == NLMSG_ERROR) {
        const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
        return mnl_nlmsg_get_payload_len(h) < sizeof(*e) ? EBADMSG : -e->error;
    }
    if (h->nlmsg_type == NLMSG_DONE) {
        return 0;
    }
    return told != NULL && told(h, arg) == MNL_CB_STOP ? 0 : -1;
}

int ts_netlink_talk(struct ts_netlink *n, const struct nlmsghdr *h, mnl_cb_t told, void *arg)
{
    unsigned port = mnl_socket_get_portid(n->socket);
    bool torn = false;
    if (mnl_socket_sendto(n->socket, h, h->nlmsg_len) < 0) {
        return errno;
    }
    for (;;) {
        ssize_t len = mnl_socket_recvfrom(n->socket, n->buffer, sizeof(n->buffer));
        if (len < 0 && errno != EINTR) {
            return errno == EAGAIN ? ETIMEDOUT : errno;
        }
        int left = len < 0 ? 0 : (int)len;
        const struct nlmsghdr *m = (const struct nlmsghdr *)n->buffer;
        for (; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
            bool ours = m->nlmsg_seq == n->seq && (m->nlmsg_pid == port || m->nlmsg_pid == 0);
            int result = ours ? take(m, told, arg, &torn) : -1;
            if (result >= 0) {
                return result == 0 && torn ? EINTR : result;
            }
        }
    }
}
