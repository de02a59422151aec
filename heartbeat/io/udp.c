#include "heartbeat/io/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A heartbeat must not wait behind bulk traffic: the class of routing protocols. */
#define TRAFFIC_CLASS IPTOS_CLASS_CS6

enum ts_err hb_addr_parse(struct hb_addr *a, const char *text, uint16_t port)
{
    *a = (struct hb_addr){0};
    if (inet_pton(AF_INET, text, &a->sa.v4.sin_addr) == 1) {
        a->sa.v4.sin_family = AF_INET;
        a->sa.v4.sin_port = htons(port);
        a->len = sizeof(a->sa.v4);
        return TS_OK;
    }
    if (inet_pton(AF_INET6, text, &a->sa.v6.sin6_addr) == 1) {
        a->sa.v6.sin6_family = AF_INET6;
        a->sa.v6.sin6_port = htons(port);
        a->len = sizeof(a->sa.v6);
        return TS_OK;
    }
    return TS_ERR_MALFORMED;
}

/* Options that are only better to have: a refusal changes nothing that is promised. */
static void set_options(int fd, int family)
{
    const int one = 1;
    const int traffic_class = TRAFFIC_CLASS;
    if (family == AF_INET) {
        (void)setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
        (void)setsockopt(fd, IPPROTO_IP, IP_TOS, &traffic_class, sizeof(traffic_class));
    } else {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one));
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &traffic_class, sizeof(traffic_class));
    }
}

int hb_udp_open(const struct hb_addr *a)
{
    int fd = socket(a->sa.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    set_options(fd, a->sa.any.sa_family);
    if (bind(fd, &a->sa.any, a->len) != 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

bool hb_udp_send(int fd, const struct hb_addr *to, const uint8_t *data, size_t n)
{
    ssize_t sent = sendto(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL, &to->sa.any, to->len);
    return sent == (ssize_t)n;
}

long hb_udp_receive(int fd, uint8_t *data, size_t cap, struct hb_addr *from)
{
    for (;;) {
        *from = (struct hb_addr){.len = sizeof(from->sa)};
        ssize_t n = recvfrom(fd, data, cap, MSG_DONTWAIT, &from->sa.any, &from->len);
        if (n >= 0 || errno != EINTR) {
            return n;
        }
    }
}

bool hb_addr_eq(const struct hb_addr *a, const struct hb_addr *b)
{
    if (a->sa.any.sa_family != b->sa.any.sa_family) {
        return false;
    }
    if (a->sa.any.sa_family == AF_INET) {
        return a->sa.v4.sin_port == b->sa.v4.sin_port &&
               a->sa.v4.sin_addr.s_addr == b->sa.v4.sin_addr.s_addr;
    }
    return a->sa.any.sa_family == AF_INET6 && a->sa.v6.sin6_port == b->sa.v6.sin6_port &&
           memcmp(&a->sa.v6.sin6_addr, &b->sa.v6.sin6_addr, sizeof(a->sa.v6.sin6_addr)) == 0;
}
