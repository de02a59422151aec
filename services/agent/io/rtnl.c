#include "services/agent/io/rtnl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* How often what changes while it is listed is listed again. */
#define TORN_TRIES 20
/* The kernel answers at once; a great batch of rules takes it some seconds. */
#define ANSWER_S 30
#define RECEIVE_BYTES (4 * 1024 * 1024)

enum ts_err agent_rtnl_open(struct agent_rtnl *n, int bus, struct ts_why *why)
{
    const struct timeval patience = {.tv_sec = ANSWER_S};
    const int bytes = RECEIVE_BYTES;
    n->seq = 0;
    n->socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
    if (n->socket == NULL || mnl_socket_bind(n->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
        setsockopt(mnl_socket_get_fd(n->socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
                   sizeof(patience)) != 0) {
        enum ts_err err = ts_why_sys(why, errno, "cannot open a netlink socket");
        agent_rtnl_close(n);
        return err;
    }
    /* Best effort: less of it makes dumps slower only. */
    (void)setsockopt(mnl_socket_get_fd(n->socket), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    return TS_OK;
}

void agent_rtnl_close(struct agent_rtnl *n)
{
    if (n->socket != NULL) {
        (void)mnl_socket_close(n->socket);
        n->socket = NULL;
    }
}

struct nlmsghdr *agent_rtnl_begin(struct agent_rtnl *n, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(n->buffer);
    h->nlmsg_type = type;
    h->nlmsg_flags = NLM_F_REQUEST | flags;
    h->nlmsg_seq = ++n->seq;
    return h;
}

/* One message: 0 = the end, an errno = a refusal, -1 = there are more to come. */
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
    if (told != NULL) {
        (void)told(h, arg);
    }
    return -1;
}

int agent_rtnl_talk(struct agent_rtnl *n, const struct nlmsghdr *h, mnl_cb_t told, void *arg)
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

int agent_rtnl_dump(struct agent_rtnl *n, uint16_t type, void (*fill)(struct nlmsghdr *, void *),
                    void *fill_arg, mnl_cb_t told, void (*again)(void *), void *arg)
{
    int err = EINTR;
    for (int i = 0; i < TORN_TRIES && err == EINTR; i++) {
        struct nlmsghdr *h = agent_rtnl_begin(n, type, NLM_F_DUMP);
        fill(h, fill_arg);
        if (i > 0) {
            again(arg);
        }
        err = agent_rtnl_talk(n, h, told, arg);
    }
    return err;
}

void agent_kernel_state_free(struct agent_kernel_state *s)
{
    free(s->interface);
    free(s->figures);
    agent_objects_free(&s->objects);
    *s = (struct agent_kernel_state){0};
}
