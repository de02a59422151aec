#include "lab/bridge.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_BYTES 1024

/* RTM_SETLINK with one number for the bridge's port. */
struct set_port {
    struct nlmsghdr head;
    struct ifinfomsg link;
    struct nlattr outer;
    struct nlattr inner;
    uint8_t value;
    uint8_t padding[3];
};

static enum ts_err answer_of(int fd, struct ts_why *why)
{
    union {
        struct nlmsghdr head;
        uint8_t bytes[ANSWER_BYTES];
    } answer;
    struct nlmsgerr error;
    ssize_t n = recv(fd, &answer, sizeof(answer), 0);
    if (n < (ssize_t)(NLMSG_LENGTH(sizeof(error))) || answer.head.nlmsg_type != NLMSG_ERROR) {
        return ts_why_sys(why, n < 0 ? errno : EPROTO, "no answer about a port of the switch");
    }
    memcpy(&error, NLMSG_DATA(&answer.head), sizeof(error));
    return error.error == 0 ? TS_OK
                            : ts_why_sys(why, -error.error, "cannot change a port of the switch");
}

enum ts_err lab_bridge_isolate(unsigned port, bool isolated, struct ts_why *why)
{
    struct set_port m = {
        .head = {.nlmsg_len = sizeof(m),
                 .nlmsg_type = RTM_SETLINK,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
        .link = {.ifi_family = AF_BRIDGE, .ifi_index = (int)port},
        .outer = {.nla_len =
                      sizeof(m.outer) + sizeof(m.inner) + sizeof(m.value) + sizeof(m.padding),
                  .nla_type = IFLA_PROTINFO | NLA_F_NESTED},
        .inner = {.nla_len = sizeof(m.inner) + sizeof(m.value), .nla_type = IFLA_BRPORT_ISOLATED},
        .value = isolated ? 1 : 0};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) {
        return ts_why_sys(why, errno, "no netlink socket");
    }
    enum ts_err err = send(fd, &m, sizeof(m), 0) == (ssize_t)sizeof(m)
                          ? answer_of(fd, why)
                          : ts_why_sys(why, errno, "cannot ask for a port of the switch");
    (void)close(fd);
    return err;
}
