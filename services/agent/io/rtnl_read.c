#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "services/agent/io/rtnl.h"

/* Of linux/if_addr.h, where that is new enough. */
#define ADDRESS_PROTOCOL 11

struct reader {
    struct agent_kernel_state *state;
    size_t before; /* objects and interfaces before this dump: a torn one is forgotten */
    size_t interfaces_before;
    bool all;
    int family;
};

#define ATTRIBUTES_MAX 80

struct attributes {
    const struct nlattr *of[ATTRIBUTES_MAX];
};

static int on_attribute(const struct nlattr *attr, void *arg)
{
    struct attributes *a = arg;
    unsigned type = mnl_attr_get_type(attr);
    if (type < ATTRIBUTES_MAX) {
        a->of[type] = attr;
    }
    return MNL_CB_OK;
}

static struct attributes attributes_of(const struct nlmsghdr *h, size_t header)
{
    struct attributes a = {0};
    (void)mnl_attr_parse(h, (unsigned)header, on_attribute, &a);
    return a;
}

static struct attributes attributes_in(const struct nlattr *nest)
{
    struct attributes a = {0};
    if (nest != NULL) {
        (void)mnl_attr_parse_nested(nest, on_attribute, &a);
    }
    return a;
}

static uint32_t number(const struct nlattr *attr)
{
    return attr == NULL || mnl_attr_get_payload_len(attr) < 4 ? 0 : mnl_attr_get_u32(attr);
}

static void text(char *out, size_t room, const struct nlattr *attr)
{
    memset(out, 0, room);
    if (attr != NULL) {
        size_t len = strnlen(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
        memcpy(out, mnl_attr_get_payload(attr), len < room ? len : room - 1);
    }
}

static bool address(struct agent_address *out, const struct nlattr *attr, unsigned bits)
{
    size_t len = attr == NULL ? 0 : mnl_attr_get_payload_len(attr);
    memset(out, 0, sizeof(*out));
    if (len != 4 && len != 16) {
        return false;
    }
    out->family = len == 4 ? 4 : 6;
    out->bits = (uint8_t)(bits > 8 * len ? 8 * len : bits);
    memcpy(out->bytes, mnl_attr_get_payload(attr), len);
    return true;
}

static bool mac(struct agent_mac *out, const struct nlattr *attr)
{
    if (attr == NULL || mnl_attr_get_payload_len(attr) != sizeof(out->bytes)) {
        return false;
    }
    memcpy(out->bytes, mnl_attr_get_payload(attr), sizeof(out->bytes));
    return true;
}

static const struct agent_interface *by_index(const struct reader *r, uint32_t index)
{
    for (size_t i = 0; i < r->state->interfaces; i++) {
        if (r->state->interface[i].index == index) {
            return &r->state->interface[i];
        }
    }
    return NULL;
}

/* The letter and segment of a link that is ours; 0: it is not. One that was being made has its
 * group and no alias. */
static char ours(const struct agent_interface *i, uint32_t group, uint32_t *vni)
{
    char letter = 0;
    char again[AGENT_NAME_MAX];
    bool is_ours = strncmp(i->alias, AGENT_ALIAS_OURS, strlen(AGENT_ALIAS_OURS)) == 0 ||
                   (i->alias[0] == '\0' && group == AGENT_LINK_GROUP);
    if (!is_ours || sscanf(i->name, "tw%c%8u", &letter, vni) != 2 || // NOLINT(cert-err34-c)
        strchr("bxrp", letter) == NULL) {
        return 0;
    }
    agent_device_name(again, letter, *vni);
    return strcmp(again, i->name) == 0 ? letter : 0;
}

static bool is_alias_ours(const struct agent_interface *i)
{
    return i != NULL && strncmp(i->alias, AGENT_ALIAS_OURS, strlen(AGENT_ALIAS_OURS)) == 0;
}

/* ---- links ---- */

static void put_link(struct reader *r, const struct agent_interface *i, char letter, uint32_t vni,
                     const struct attributes *a, const struct attributes *data)
{
    struct agent_object o;
    memset(&o, 0, sizeof(o));
    o.key.kind = letter == 'b' ? AGENT_O_BRIDGE : letter == 'x' ? AGENT_O_VXLAN : AGENT_O_LEG;
    memcpy(o.key.device, i->name, sizeof(o.key.device));
    o.value.vni = vni;
    o.value.mtu = number(a->of[IFLA_MTU]);
    if (letter == 'x') {
        o.value.vni = number(data->of[IFLA_VXLAN_ID]);
        const struct nlattr *port = data->of[IFLA_VXLAN_PORT];
        o.value.port = port == NULL ? 0 : ntohs(mnl_attr_get_u16(port));
        (void)(address(&o.value.address, data->of[IFLA_VXLAN_LOCAL], 128) ||
               address(&o.value.address, data->of[IFLA_VXLAN_LOCAL6], 128));
    } else {
        (void)mac(&o.value.mac, a->of[IFLA_ADDRESS]);
    }
    /* One that is half made (no alias, not up) is not as it shall be, whatever its figures. */
    o.value.mtu = is_alias_ours(i) ? o.value.mtu : 0;
    agent_objects_add(&r->state->objects, &o);
}

static void put_member(struct reader *r, const struct agent_interface *i, uint32_t vni,
                       const struct attributes *port)
{
    struct agent_object o;
    memset(&o, 0, sizeof(o));
    o.key.kind = AGENT_O_MEMBER;
    memcpy(o.key.device, i->name, sizeof(o.key.device));
    o.value.vni = vni;
    const struct nlattr *suppress = port->of[IFLA_BRPORT_NEIGH_SUPPRESS];
    o.value.suppress = suppress != NULL && mnl_attr_get_u8(suppress) != 0;
    agent_objects_add(&r->state->objects, &o);
}

static int on_link(const struct nlmsghdr *h, void *arg)
{
    struct reader *r = arg;
    const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
    struct attributes a = attributes_of(h, sizeof(*m));
    struct agent_kernel_state *s = r->state;
    if (s->interfaces == s->room) {
        s->room = s->room == 0 ? 64 : 2 * s->room;
        s->interface = realloc(s->interface, s->room * sizeof(*s->interface));
        s->figures = realloc(s->figures, s->room * sizeof(*s->figures));
        ts_must(s->interface);
        ts_must(s->figures);
    }
    struct agent_interface *i = &s->interface[s->interfaces];
    struct agent_interface_counts *f = &s->figures[s->interfaces++];
    i->index = (uint32_t)m->ifi_index;
    text(i->name, sizeof(i->name), a.of[IFLA_IFNAME]);
    text(i->alias, sizeof(i->alias), a.of[IFLA_IFALIAS]);
    *f = (struct agent_interface_counts){.index = i->index};
    if (a.of[IFLA_STATS64] != NULL) {
        struct rtnl_link_stats64 stats = {0};
        size_t len = mnl_attr_get_payload_len(a.of[IFLA_STATS64]);
        memcpy(&stats, mnl_attr_get_payload(a.of[IFLA_STATS64]),
               len < sizeof(stats) ? len : sizeof(stats));
        *f = (struct agent_interface_counts){i->index, stats.rx_packets, stats.rx_bytes,
                                             stats.tx_packets, stats.tx_bytes};
    }
    uint32_t vni = 0;
    char letter = ours(i, number(a.of[IFLA_GROUP]), &vni);
    if (r->all && letter != 0 && letter != 'p') {
        struct attributes info = attributes_in(a.of[IFLA_LINKINFO]);
        struct attributes data = attributes_in(info.of[IFLA_INFO_DATA]);
        put_link(r, i, letter, vni, &a, &data);
    }
    return MNL_CB_OK;
}

/* Which interfaces are on our bridges: when all interfaces are known. */
static int on_member(const struct nlmsghdr *h, void *arg)
{
    struct reader *r = arg;
    const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
    struct attributes a = attributes_of(h, sizeof(*m));
    const struct agent_interface *bridge = by_index(r, number(a.of[IFLA_MASTER]));
    const struct agent_interface *i = by_index(r, (uint32_t)m->ifi_index);
    uint32_t vni = 0;
    if (i != NULL && bridge != NULL && ours(bridge, 0, &vni) == 'b') {
        struct attributes info = attributes_in(a.of[IFLA_LINKINFO]);
        struct attributes port = attributes_in(info.of[IFLA_INFO_SLAVE_DATA]);
        put_member(r, i, vni, &port);
    }
    return MNL_CB_OK;
}

static void fill_link(struct nlmsghdr *h, void *arg)
{
    struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    (void)arg;
    m->ifi_family = AF_UNSPEC;
}

/* ---- addresses, entries ---- */

static int on_address(const struct nlmsghdr *h, void *arg)
{
    struct reader *r = arg;
    const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
    struct attributes a = attributes_of(h, sizeof(*m));
    const struct agent_interface *i = by_index(r, m->ifa_index);
    const struct nlattr *own = a.of[IFA_LOCAL] != NULL ? a.of[IFA_LOCAL] : a.of[IFA_ADDRESS];
    const struct nlattr *protocol = a.of[ADDRESS_PROTOCOL];
    bool tagged = protocol != NULL && mnl_attr_get_u8(protocol) == AGENT_PROTOCOL;
    struct agent_object o;
    memset(&o, 0, sizeof(o));
    o.key.kind = AGENT_O_ADDRESS;
    if (i != NULL && (tagged || is_alias_ours(i)) &&
        address(&o.key.address, own, m->ifa_prefixlen)) {
        memcpy(o.key.device, i->name, sizeof(o.key.device));
        agent_objects_add(&r->state->objects, &o);
    }
    return MNL_CB_OK;
}

static void fill_address(struct nlmsghdr *h, void *arg)
{
    (void)mnl_nlmsg_put_extra_header(h, sizeof(struct ifaddrmsg));
    (void)arg;
}

/* Of the bridge family: forwarding entries of bridges and of tunnels. */
static void put_fdb(struct reader *r, const struct ndmsg *m, const struct attributes *a,
                    const struct agent_interface *i)
{
    static const struct agent_mac all;
    struct agent_object o;
    uint32_t vni = 0;
    bool own = (m->ndm_flags & NTF_SELF) != 0;
    memset(&o, 0, sizeof(o));
    memcpy(o.key.device, i->name, sizeof(o.key.device));
    if (!mac(&o.key.mac, a->of[NDA_LLADDR])) {
        return;
    }
    if (own && ours(i, 0, &vni) == 'x') {
        struct agent_address to;
        bool flood = memcmp(&o.key.mac, &all, sizeof(all)) == 0;
        if (address(&to, a->of[NDA_DST], 128)) {
            o.key.kind = flood ? AGENT_O_FLOOD : AGENT_O_TUNNEL;
            o.key.address = flood ? to : o.key.address;
            o.value.address = flood ? o.value.address : to;
            agent_objects_add(&r->state->objects, &o);
        }
        return;
    }
    const struct agent_interface *bridge = by_index(r, number(a->of[NDA_MASTER]));
    bool set = (m->ndm_state & NUD_NOARP) != 0; /* static: neither learned nor a port's own */
    if (!own && set && bridge != NULL && ours(bridge, 0, &vni) == 'b') {
        o.key.kind = AGENT_O_FDB;
        agent_objects_add(&r->state->objects, &o);
    }
}

static int on_neighbour(const struct nlmsghdr *h, void *arg)
{
    struct reader *r = arg;
    const struct ndmsg *m = mnl_nlmsg_get_payload(h);
    struct attributes a = attributes_of(h, sizeof(*m));
    const struct agent_interface *i = by_index(r, (uint32_t)m->ndm_ifindex);
    struct agent_object o;
    if (i == NULL) {
        return MNL_CB_OK;
    }
    if (m->ndm_family == AF_BRIDGE) {
        put_fdb(r, m, &a, i);
        return MNL_CB_OK;
    }
    memset(&o, 0, sizeof(o));
    o.key.kind = AGENT_O_NEIGHBOUR;
    if ((m->ndm_state & NUD_PERMANENT) != 0 && is_alias_ours(i) &&
        address(&o.key.address, a.of[NDA_DST], 128) && mac(&o.value.mac, a.of[NDA_LLADDR])) {
        memcpy(o.key.device, i->name, sizeof(o.key.device));
        agent_objects_add(&r->state->objects, &o);
    }
    return MNL_CB_OK;
}

static void fill_neighbour(struct nlmsghdr *h, void *arg)
{
    const struct reader *r = arg;
    if (r->family == AF_BRIDGE) { /* which asks for it as for links */
        struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
        m->ifi_family = AF_BRIDGE;
        return;
    }
    struct ndmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->ndm_family = (uint8_t)r->family;
}

/* ---- routes, rules ---- */

static int on_route(const struct nlmsghdr *h, void *arg)
{
    struct reader *r = arg;
    const struct rtmsg *m = mnl_nlmsg_get_payload(h);
    struct attributes a = attributes_of(h, sizeof(*m));
    struct agent_object o;
    memset(&o, 0, sizeof(o));
    bool known = m->rtm_family == AF_INET || m->rtm_family == AF_INET6;
    if (m->rtm_protocol != AGENT_PROTOCOL || !known || (m->rtm_flags & RTM_F_CLONED) != 0) {
        return MNL_CB_OK;
    }
    o.key.kind = AGENT_O_ROUTE;
    o.key.table = a.of[RTA_TABLE] == NULL ? m->rtm_table : number(a.of[RTA_TABLE]);
    o.key.address.family = m->rtm_family == AF_INET ? 4 : 6;
    (void)address(&o.key.address, a.of[RTA_DST], m->rtm_dst_len);
    o.key.address.family = m->rtm_family == AF_INET ? 4 : 6;
    o.key.mark = number(a.of[RTA_PRIORITY]);
    bool six_default = m->rtm_family == AF_INET6 && o.key.mark == 1024;
    o.key.mark = six_default ? 0 : o.key.mark; /* what 0 means there */
    o.value.drop = m->rtm_type == RTN_UNREACHABLE;
    const struct agent_interface *i = by_index(r, number(a.of[RTA_OIF]));
    if (!o.value.drop && i != NULL) {
        memcpy(o.value.device, i->name, sizeof(o.value.device));
        (void)address(&o.value.address, a.of[RTA_GATEWAY], 128);
    }
    agent_objects_add(&r->state->objects, &o);
    return MNL_CB_OK;
}

static void fill_route(struct nlmsghdr *h, void *arg)
{
    (void)mnl_nlmsg_put_extra_header(h, sizeof(struct rtmsg));
    (void)arg;
}

static int on_rule(const struct nlmsghdr *h, void *arg)
{
    struct reader *r = arg;
    const struct fib_rule_hdr *m = mnl_nlmsg_get_payload(h);
    struct attributes a = attributes_of(h, sizeof(*m));
    const struct nlattr *protocol = a.of[FRA_PROTOCOL];
    struct agent_object o;
    memset(&o, 0, sizeof(o));
    bool known = m->family == AF_INET || m->family == AF_INET6;
    if (protocol == NULL || mnl_attr_get_u8(protocol) != AGENT_PROTOCOL || !known) {
        return MNL_CB_OK;
    }
    o.key.kind = AGENT_O_RULE;
    o.key.table = a.of[FRA_TABLE] == NULL ? m->table : number(a.of[FRA_TABLE]);
    (void)address(&o.key.address, a.of[FRA_SRC], m->src_len);
    o.key.address.family = m->family == AF_INET ? 4 : 6;
    o.key.mark = number(a.of[FRA_FWMARK]);
    text(o.key.device, sizeof(o.key.device), a.of[FRA_IIFNAME]);
    agent_objects_add(&r->state->objects, &o);
    return MNL_CB_OK;
}

static void fill_rule(struct nlmsghdr *h, void *arg)
{
    (void)mnl_nlmsg_put_extra_header(h, sizeof(struct fib_rule_hdr));
    (void)arg;
}

/* ---- all of it ---- */

static void forget(void *arg)
{
    struct reader *r = arg;
    r->state->objects.count = r->before;
    r->state->interfaces = r->interfaces_before;
}

struct step {
    uint16_t type;
    int family;
    void (*fill)(struct nlmsghdr *h, void *arg);
    mnl_cb_t on;
    const char *what;
};

enum ts_err agent_rtnl_read(struct ts_netlink *n, bool all, struct agent_kernel_state *s,
                            struct ts_why *why)
{
    static const struct step STEPS[] = {
        {RTM_GETLINK, AF_UNSPEC, fill_link, on_link, "interfaces"},
        {RTM_GETLINK, AF_UNSPEC, fill_link, on_member, "bridges' ports"},
        {RTM_GETADDR, AF_UNSPEC, fill_address, on_address, "addresses"},
        {RTM_GETNEIGH, AF_BRIDGE, fill_neighbour, on_neighbour, "forwarding entries"},
        {RTM_GETNEIGH, AF_INET, fill_neighbour, on_neighbour, "neighbours"},
        {RTM_GETNEIGH, AF_INET6, fill_neighbour, on_neighbour, "neighbours"},
        {RTM_GETROUTE, AF_UNSPEC, fill_route, on_route, "routes"},
        {RTM_GETRULE, AF_UNSPEC, fill_rule, on_rule, "routing rules"},
    };
    size_t steps = all ? sizeof(STEPS) / sizeof(STEPS[0]) : 1;
    agent_kernel_state_free(s);
    for (size_t i = 0; i < steps; i++) {
        struct reader r = {.state = s,
                           .before = s->objects.count,
                           .interfaces_before = s->interfaces,
                           .all = all,
                           .family = STEPS[i].family};
        int err = agent_rtnl_dump(n, STEPS[i].type, STEPS[i].fill, &r, STEPS[i].on, forget, &r);
        if (err != 0) {
            return ts_why_sys(why, err, "cannot list the kernel's %s", STEPS[i].what);
        }
    }
    agent_objects_sort(&s->objects, NULL, NULL);
    return TS_OK;
}
