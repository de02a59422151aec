#include "daemon/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netpacket/packet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <libmnl/libmnl.h>

#include "base/assert.h"
#include "base/netlink/talk.h"

/* How long an IPv6 address that was added is waited for, at most. */
#define LOCAL_TRIES 100
#define LOCAL_PAUSE_NS 200000
/* How often the addresses are listed, when others change theirs meanwhile. */
#define TORN_TRIES 5
/* The kernel answers at once, or not at all: nicd must not wait for ever. */
#define ANSWER_S 1

struct netlink {
    struct ts_netlink kernel;
    int arp; /* packet socket, which receives nothing; -1: none yet. To close one takes Linux 10 ms
              */
};

struct netlink_address netlink_address_of(const char *text, uint8_t prefix)
{
    struct netlink_address a = {.family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET,
                                .prefix = prefix};
    int good = inet_pton(a.family, text, a.bytes);
    ts_assert(good == 1); /* the cluster file's reader wrote it */
    return a;
}

static size_t size_of(const struct netlink_address *a)
{
    return a->family == AF_INET ? 4 : 16;
}

/* ---- rtnetlink ---- */

enum ts_err netlink_open(struct netlink **out, struct ts_why *why)
{
    struct netlink *n = calloc(1, sizeof(*n));
    if (n == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory");
    }
    n->arp = -1;
    enum ts_err err = ts_netlink_open(&n->kernel, NETLINK_ROUTE, ANSWER_S, why);
    if (err != TS_OK) {
        netlink_close(n);
        return err;
    }
    *out = n;
    return TS_OK;
}

void netlink_close(struct netlink *n)
{
    if (n != NULL) {
        ts_netlink_close(&n->kernel);
        if (n->arp >= 0) {
            (void)close(n->arp);
        }
        free(n);
    }
}

/* ---- finding the interface ---- */

/* How well an interface fits: what stands first counts most. */
enum {
    FITS = 1,
    FITS_AS_BEFORE = 2,       /* it is the one that had it */
    FITS_EXACTLY = 4,         /* its own address is of the very network, not of a part or more */
    FITS_RUNNING = 8,         /* it is up, and has a link */
    FITS_BEYOND_MACHINE = 16, /* it is not the loopback with an address for this machine alone */
};

struct search {
    const struct netlink_address *wanted;
    unsigned preferred; /* interface */
    int ioctls;         /* socket for ioctl */
    unsigned here;      /* the one that is being looked at, … */
    unsigned prefix;    /* … and that of its address */
    unsigned fits;      /* of the best one; 0: not found */
    unsigned index;     /* that one */
};

static bool same_network(const struct netlink_address *a, const uint8_t *other)
{
    size_t whole = a->prefix / 8;
    unsigned rest = a->prefix % 8;
    uint8_t mask = (uint8_t)(0xff00U >> rest);
    return memcmp(a->bytes, other, whole) == 0 &&
           (rest == 0 || ((a->bytes[whole] ^ other[whole]) & mask) == 0);
}

/* How well the interface that is being looked at fits, with its address of this network. */
static unsigned how_well(const struct search *s)
{
    struct ifreq r = {0};
    bool known =
        if_indextoname(s->here, r.ifr_name) != NULL && ioctl(s->ioctls, SIOCGIFFLAGS, &r) == 0;
    unsigned flags = known ? (unsigned short)r.ifr_flags : 0;
    bool runs = (flags & IFF_UP) != 0 && (flags & IFF_RUNNING) != 0;
    bool alone = (flags & IFF_LOOPBACK) != 0 && s->prefix == 8 * size_of(s->wanted);
    return FITS | (s->here == s->preferred ? (unsigned)FITS_AS_BEFORE : 0) |
           (s->prefix == s->wanted->prefix ? (unsigned)FITS_EXACTLY : 0) |
           (runs ? (unsigned)FITS_RUNNING : 0) | (alone ? 0 : (unsigned)FITS_BEYOND_MACHINE);
}

static int on_attribute(const struct nlattr *attr, void *arg)
{
    struct search *s = arg;
    /* IFA_LOCAL is the interface's own where the two differ (point to point). */
    unsigned type = mnl_attr_get_type(attr);
    bool own = type == IFA_LOCAL || (type == IFA_ADDRESS && s->wanted->family == AF_INET6);
    size_t len = size_of(s->wanted);
    if (own && mnl_attr_get_payload_len(attr) == len) {
        const uint8_t *bytes = mnl_attr_get_payload(attr);
        bool itself = memcmp(bytes, s->wanted->bytes, len) == 0;
        unsigned fits = itself || !same_network(s->wanted, bytes) ? 0 : how_well(s);
        s->index = fits > s->fits ? s->here : s->index;
        s->fits = fits > s->fits ? fits : s->fits;
    }
    return MNL_CB_OK;
}

static int on_address(const struct nlmsghdr *h, void *arg)
{
    struct search *s = arg;
    const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
    s->here = m->ifa_index;
    s->prefix = m->ifa_prefixlen;
    bool looks = m->ifa_family == s->wanted->family;
    return looks ? mnl_attr_parse(h, sizeof(*m), on_attribute, s) : MNL_CB_OK;
}

/* What is wrong with the best that there is. */
static void tell_faults(const struct search *s, struct ts_why *why)
{
    char text[INET6_ADDRSTRLEN];
    char name[IF_NAMESIZE] = "?";
    (void)if_indextoname(s->index, name);
    (void)inet_ntop(s->wanted->family, s->wanted->bytes, text, sizeof(text));
    if ((s->fits & FITS_BEYOND_MACHINE) == 0) {
        (void)!ts_why(why, TS_ERR_NOT_FOUND,
                      "%s has the only address in the network of %s/%u, and that is for this "
                      "machine alone: give one to the interface that clients come by",
                      name, text, (unsigned)s->wanted->prefix);
    } else if ((s->fits & FITS_RUNNING) == 0) {
        (void)!ts_why(why, TS_ERR_NOT_FOUND,
                      "%s is down, or has no link, and no other interface has an address in the "
                      "network of %s/%u",
                      name, text, (unsigned)s->wanted->prefix);
    }
}

enum ts_err netlink_find(struct netlink *n, const struct netlink_address *a, unsigned *index,
                         struct ts_why *why)
{
    struct search s = {.wanted = a, .preferred = *index};
    char text[INET6_ADDRSTRLEN];
    int err = EINTR;
    why->text[0] = '\0';
    s.ioctls = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s.ioctls < 0) {
        return ts_why_sys(why, errno, "cannot ask for the interfaces' state");
    }
    for (int i = 0; i < TORN_TRIES && err == EINTR; i++) {
        struct nlmsghdr *h = ts_netlink_begin(&n->kernel, RTM_GETADDR, NLM_F_DUMP);
        struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
        m->ifa_family = (uint8_t)a->family;
        err = ts_netlink_talk(&n->kernel, h, on_address, &s);
    }
    (void)close(s.ioctls);
    /* Of a torn list the one that was before may be missing, but not that one alone each time. */
    err = err == EINTR && s.index != 0 ? 0 : err;
    if (err != 0) {
        return ts_why_sys(why, err, "cannot list the interfaces' addresses");
    }
    if (s.index == 0) {
        (void)inet_ntop(a->family, a->bytes, text, sizeof(text));
        return ts_why(why, TS_ERR_NOT_FOUND,
                      "no interface here has an address in the network of %s/%u: give one to the "
                      "interface that clients come by",
                      text, (unsigned)a->prefix);
    }
    *index = s.index;
    tell_faults(&s, why);
    return TS_OK;
}

/* ---- giving and taking it ---- */

static enum ts_err told(int err, const struct netlink_address *a, unsigned index, const char *what,
                        const char *right, struct ts_why *why)
{
    char text[INET6_ADDRSTRLEN];
    char name[IF_NAMESIZE] = "?";
    if (err == 0) {
        return TS_OK;
    }
    (void)inet_ntop(a->family, a->bytes, text, sizeof(text));
    (void)if_indextoname(index, name);
    if (err == EPERM || err == EACCES) {
        return ts_why(why, TS_ERR_REFUSED, "cannot %s %s on %s: nicd lacks the right (CAP_NET_%s)",
                      what, text, name, right);
    }
    return ts_why_sys(why, err, "cannot %s %s on %s", what, text, name);
}

static struct nlmsghdr *put_address(struct netlink *n, const struct netlink_address *a,
                                    unsigned index, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *h = ts_netlink_begin(&n->kernel, type, NLM_F_ACK | flags);
    struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->ifa_family = (uint8_t)a->family;
    m->ifa_prefixlen = a->prefix;
    /* No check for a double: who had it may have it for a moment still, and serves nobody. */
    m->ifa_flags = a->family == AF_INET6 ? IFA_F_NODAD : 0;
    m->ifa_scope = RT_SCOPE_UNIVERSE;
    m->ifa_index = index;
    mnl_attr_put(h, IFA_LOCAL, size_of(a), a->bytes);
    mnl_attr_put(h, IFA_ADDRESS, size_of(a), a->bytes);
    return h;
}

static int on_route(const struct nlmsghdr *h, void *arg)
{
    const struct rtmsg *m = mnl_nlmsg_get_payload(h);
    *(bool *)arg = h->nlmsg_type == RTM_NEWROUTE && m->rtm_type == RTN_LOCAL;
    return MNL_CB_STOP;
}

/* Whether the kernel takes what is sent to the address for its own. */
static bool is_local(struct netlink *n, const struct netlink_address *a)
{
    bool local = false;
    struct nlmsghdr *h = ts_netlink_begin(&n->kernel, RTM_GETROUTE, 0);
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->rtm_family = (uint8_t)a->family;
    m->rtm_dst_len = (uint8_t)(8 * size_of(a));
    mnl_attr_put(h, RTA_DST, size_of(a), a->bytes);
    return ts_netlink_talk(&n->kernel, h, on_route, &local) == 0 && local;
}

/* Linux has an IPv6 address at once, and a moment later the route by which it takes packets to it:
 * whoever heard of the address sooner would be answered nothing. */
static void wait_until_local(struct netlink *n, const struct netlink_address *a)
{
    const struct timespec pause = {.tv_nsec = LOCAL_PAUSE_NS};
    for (int i = 0; i < LOCAL_TRIES && !is_local(n, a); i++) {
        (void)nanosleep(&pause, NULL);
    }
}

enum ts_err netlink_add(struct netlink *n, const struct netlink_address *a, unsigned index,
                        uint32_t seconds, struct ts_why *why)
{
    /* Never preferred: this machine's own connections do not go out from it. */
    struct ifa_cacheinfo life = {.ifa_prefered = 0, .ifa_valid = seconds};
    struct nlmsghdr *h = put_address(n, a, index, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    mnl_attr_put(h, IFA_CACHEINFO, sizeof(life), &life);
    int err = ts_netlink_talk(&n->kernel, h, NULL, NULL);
    if (err == 0 && a->family == AF_INET6) {
        wait_until_local(n, a);
    }
    return told(err, a, index, "add", "ADMIN", why);
}

enum ts_err netlink_remove(struct netlink *n, const struct netlink_address *a, unsigned index,
                           struct ts_why *why)
{
    struct nlmsghdr *h = put_address(n, a, index, RTM_DELADDR, 0);
    int err = ts_netlink_talk(&n->kernel, h, NULL, NULL);
    return told(err == EADDRNOTAVAIL ? 0 : err, a, index, "remove", "ADMIN", why);
}

/* ---- telling the neighbours ---- */

static int announce_v4(struct netlink *n, const struct netlink_address *a, unsigned index,
                       const uint8_t mac[6])
{
    struct ether_arp arp = {
        .ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                   .ar_pro = htons(ETHERTYPE_IP),
                   .ar_hln = 6,
                   .ar_pln = 4,
                   .ar_op = htons(ARPOP_REQUEST)},
    };
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETHERTYPE_ARP),
                             .sll_ifindex = (int)index,
                             .sll_halen = 6};
    memset(to.sll_addr, 0xff, 6);
    memcpy(arp.arp_sha, mac, 6);
    memcpy(arp.arp_spa, a->bytes, 4);
    memcpy(arp.arp_tpa, a->bytes, 4);
    if (n->arp < 0) {
        n->arp = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    }
    bool sent = n->arp >= 0 &&
                sendto(n->arp, &arp, sizeof(arp), 0, (struct sockaddr *)&to, sizeof(to)) >= 0;
    return sent ? 0 : errno;
}

static int announce_v6(const struct netlink_address *a, unsigned index, const uint8_t mac[6])
{
    struct {
        struct nd_neighbor_advert head;
        struct nd_opt_hdr option;
        uint8_t mac[6];
    } advert = {
        .head.nd_na_type = ND_NEIGHBOR_ADVERT,
        .head.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE,
        .option = {.nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = 1},
    };
    struct sockaddr_in6 from = {.sin6_family = AF_INET6, .sin6_scope_id = index};
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_scope_id = index};
    int hops = 255; /* others are not believed */
    memcpy(&advert.head.nd_na_target, a->bytes, 16);
    memcpy(advert.mac, mac, 6);
    memcpy(&from.sin6_addr, a->bytes, 16);
    (void)inet_pton(AF_INET6, "ff02::1", &to.sin6_addr);
    int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
    int device = (int)index;
    int err =
        fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)) != 0 ||
                setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &device, sizeof(device)) != 0 ||
                bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
                sendto(fd, &advert, sizeof(advert), 0, (struct sockaddr *)&to, sizeof(to)) < 0
            ? errno
            : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return err;
}

enum ts_err netlink_announce(struct netlink *n, const struct netlink_address *a, unsigned index,
                             struct ts_why *why)
{
    struct ifreq r = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool found =
        fd >= 0 && if_indextoname(index, r.ifr_name) != NULL && ioctl(fd, SIOCGIFHWADDR, &r) == 0;
    int err = found ? 0 : errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (found && r.ifr_hwaddr.sa_family == ARPHRD_ETHER) {
        const uint8_t *mac = (const uint8_t *)r.ifr_hwaddr.sa_data;
        err = a->family == AF_INET ? announce_v4(n, a, index, mac) : announce_v6(a, index, mac);
    }
    return told(err, a, index, "announce", "RAW", why);
}
