#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "services/agent/io/rtnl.h"

/* Of linux/if_addr.h, where that is new enough. */
#define ADDRESS_PROTOCOL 11
#define ADDR_GEN_NONE 1

static void put_address(struct nlmsghdr *h, uint16_t type, const struct agent_address *a)
{
    mnl_attr_put(h, type, agent_address_size(a), a->bytes);
}

static uint8_t family_of(const struct agent_address *a)
{
    return a->family == 4 ? AF_INET : AF_INET6;
}

static int ask(struct ts_netlink *n, const struct nlmsghdr *h)
{
    return ts_netlink_talk(n, h, NULL, NULL);
}

/* ---- links ---- */

static struct nlmsghdr *begin_link(struct ts_netlink *n, uint16_t flags, const char *name,
                                   struct ifinfomsg **m)
{
    struct nlmsghdr *h = ts_netlink_begin(n, RTM_NEWLINK, NLM_F_ACK | flags);
    *m = mnl_nlmsg_put_extra_header(h, sizeof(**m));
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    return h;
}

static void put_bridge(struct nlmsghdr *h)
{
    struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_str(h, IFLA_INFO_KIND, "bridge");
    struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    mnl_attr_put_u32(h, IFLA_BR_STP_STATE, 0);
    mnl_attr_put_u8(h, IFLA_BR_MCAST_SNOOPING, 0);
    mnl_attr_put_u8(h, IFLA_BR_NF_CALL_IPTABLES, 1);
    mnl_attr_put_u8(h, IFLA_BR_NF_CALL_IP6TABLES, 1);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
}

static void put_vxlan(struct nlmsghdr *h, const struct agent_object_value *v)
{
    struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_str(h, IFLA_INFO_KIND, "vxlan");
    struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    mnl_attr_put_u32(h, IFLA_VXLAN_ID, v->vni);
    put_address(h, v->address.family == 4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, &v->address);
    mnl_attr_put_u16(h, IFLA_VXLAN_PORT, htons((uint16_t)v->port));
    mnl_attr_put_u8(h, IFLA_VXLAN_LEARNING, 0);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
}

/* The leg, with its port of the bridge as the other end. */
static void put_leg(struct nlmsghdr *h, const struct agent_object_value *v)
{
    char peer[AGENT_NAME_MAX];
    struct ifinfomsg none = {0};
    agent_device_name(peer, 'p', v->vni);
    mnl_attr_put(h, IFLA_ADDRESS, sizeof(v->mac.bytes), v->mac.bytes);
    struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_str(h, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    struct nlattr *other = mnl_attr_nest_start(h, VETH_INFO_PEER);
    void *room = mnl_nlmsg_put_extra_header(h, sizeof(none));
    memcpy(room, &none, sizeof(none));
    mnl_attr_put_strz(h, IFLA_IFNAME, peer);
    mnl_attr_put_u32(h, IFLA_MTU, v->mtu);
    mnl_attr_put_u32(h, IFLA_GROUP, AGENT_LINK_GROUP);
    mnl_attr_nest_end(h, other);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
}

/* What a link has besides its kind: alias, MTU, no address of its own, up. */
static int finish_link(struct ts_netlink *n, const char *name, const char *what,
                       const struct agent_object_value *v, bool with_mac)
{
    char alias[64];
    struct ifinfomsg *m;
    struct nlmsghdr *h = begin_link(n, 0, name, &m);
    (void)snprintf(alias, sizeof(alias), AGENT_ALIAS_OURS "%s/%u", what, v->vni);
    mnl_attr_put_str(h, IFLA_IFALIAS, alias);
    mnl_attr_put_u32(h, IFLA_MTU, v->mtu);
    if (with_mac) {
        mnl_attr_put(h, IFLA_ADDRESS, sizeof(v->mac.bytes), v->mac.bytes);
    }
    struct nlattr *families = mnl_attr_nest_start(h, IFLA_AF_SPEC);
    struct nlattr *six = mnl_attr_nest_start(h, AF_INET6);
    mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_NONE);
    mnl_attr_nest_end(h, six);
    mnl_attr_nest_end(h, families);
    int err = ask(n, h);
    if (err != 0) {
        return err;
    }
    h = begin_link(n, 0, name, &m); /* together they would be done in the wrong order */
    m->ifi_flags = IFF_UP;
    m->ifi_change = IFF_UP;
    return ask(n, h);
}

static int remove_link(struct ts_netlink *n, const char *name)
{
    struct nlmsghdr *h = ts_netlink_begin(n, RTM_DELLINK, NLM_F_ACK);
    (void)mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    return ask(n, h);
}

/* A file below /proc/sys/net; what is not there (a kernel without IPv6) is no error. */
static int write_setting(const char *family, const char *name, const char *what, const char *value)
{
    char path[160];
    (void)snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, what);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : errno;
    }
    ssize_t done = write(fd, value, strlen(value));
    int err = done < 0 ? errno : 0;
    (void)close(fd);
    return err;
}

/* A leg answers ARP for its own addresses only, and takes what comes by another way than
 * it would answer. */
static int set_leg(const char *name)
{
    static const struct {
        const char *family, *what, *value;
    } SETTINGS[] = {
        {"ipv4", "rp_filter", "0"},
        {"ipv4", "arp_ignore", "1"},
        {"ipv4", "send_redirects", "0"},
        {"ipv6", "accept_ra", "0"},
    };
    for (size_t i = 0; i < sizeof(SETTINGS) / sizeof(SETTINGS[0]); i++) {
        int err = write_setting(SETTINGS[i].family, name, SETTINGS[i].what, SETTINGS[i].value);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

static int make_link(struct ts_netlink *n, const struct agent_object *o, uint16_t flags)
{
    struct ifinfomsg *m;
    struct nlmsghdr *h = begin_link(n, flags, o->key.device, &m);
    mnl_attr_put_u32(h, IFLA_GROUP, AGENT_LINK_GROUP);
    mnl_attr_put_u32(h, IFLA_MTU, o->value.mtu);
    if (o->key.kind == AGENT_O_BRIDGE) {
        mnl_attr_put(h, IFLA_ADDRESS, sizeof(o->value.mac.bytes), o->value.mac.bytes);
        put_bridge(h);
    } else if (o->key.kind == AGENT_O_VXLAN) {
        put_vxlan(h, &o->value);
    } else {
        put_leg(h, &o->value);
    }
    return ask(n, h);
}

static int complete_link(struct ts_netlink *n, const struct agent_object *o)
{
    char peer[AGENT_NAME_MAX];
    const struct agent_object_value *v = &o->value;
    if (o->key.kind == AGENT_O_BRIDGE) {
        return finish_link(n, o->key.device, "segment", v, true);
    }
    if (o->key.kind == AGENT_O_VXLAN) {
        return finish_link(n, o->key.device, "tunnel", v, false);
    }
    agent_device_name(peer, 'p', v->vni);
    int err = finish_link(n, peer, "leg-port", v, false);
    err = err != 0 ? err : set_leg(o->key.device);
    return err != 0 ? err : finish_link(n, o->key.device, "leg", v, true);
}

static int perform_link(struct ts_netlink *n, const struct agent_op *op)
{
    if (op->kind == AGENT_REMOVE) {
        return remove_link(n, op->was->key.device);
    }
    const struct agent_object *o = op->is;
    bool other_tunnel =
        op->kind == AGENT_CHANGE && o->key.kind == AGENT_O_VXLAN &&
        (op->was->value.port != o->value.port || op->was->value.vni != o->value.vni ||
         memcmp(&op->was->value.address, &o->value.address, sizeof(o->value.address)) != 0);
    int err = 0;
    if (other_tunnel) { /* a tunnel's ends are given when it is made */
        err = remove_link(n, o->key.device);
    }
    if (err == 0 && (op->kind == AGENT_ADD || other_tunnel)) {
        err = make_link(n, o, NLM_F_CREATE | NLM_F_EXCL);
    }
    return err != 0 ? err : complete_link(n, o);
}

static int perform_member(struct ts_netlink *n, const struct agent_op *op)
{
    const struct agent_object *o = op->kind == AGENT_REMOVE ? op->was : op->is;
    char bridge[AGENT_NAME_MAX];
    struct ifinfomsg *m;
    agent_device_name(bridge, 'b', o->value.vni);
    unsigned index = op->kind == AGENT_REMOVE ? 0 : if_nametoindex(bridge);
    if (index == 0 && op->kind != AGENT_REMOVE) {
        return ENODEV;
    }
    struct nlmsghdr *h = begin_link(n, 0, o->key.device, &m);
    mnl_attr_put_u32(h, IFLA_MASTER, index);
    int err = ask(n, h);
    if (err != 0 || op->kind == AGENT_REMOVE) {
        return err;
    }
    h = begin_link(n, 0, o->key.device, &m);
    struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_str(h, IFLA_INFO_SLAVE_KIND, "bridge");
    struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_SLAVE_DATA);
    mnl_attr_put_u8(h, IFLA_BRPORT_LEARNING, !o->value.suppress);
    mnl_attr_put_u8(h, IFLA_BRPORT_NEIGH_SUPPRESS, o->value.suppress);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
    return ask(n, h);
}

/* ---- addresses, entries ---- */

/* Where a router has an address it forwards. For IPv6 a node does that as a whole, or not at all.
 */
static int set_forwarding(const struct agent_object_key *k)
{
    bool four = k->address.family == 4;
    return write_setting(four ? "ipv4" : "ipv6", four ? k->device : "all", "forwarding", "1");
}

static int perform_address(struct ts_netlink *n, const struct agent_op *op, unsigned index)
{
    bool add = op->kind != AGENT_REMOVE;
    const struct agent_address *a = add ? &op->is->key.address : &op->was->key.address;
    struct nlmsghdr *h =
        ts_netlink_begin(n, add ? RTM_NEWADDR : RTM_DELADDR,
                         (uint16_t)(NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_REPLACE : 0)));
    struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->ifa_family = family_of(a);
    m->ifa_prefixlen = a->bits;
    m->ifa_scope = RT_SCOPE_UNIVERSE;
    m->ifa_index = index;
    put_address(h, IFA_LOCAL, a);
    put_address(h, IFA_ADDRESS, a);
    if (add) {
        /* A router's networks are in its own table; what is local to a link is the link's. */
        bool link = a->family == 6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
        m->ifa_scope = link ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
        mnl_attr_put_u32(h, IFA_FLAGS, (link ? 0 : IFA_F_NOPREFIXROUTE) | IFA_F_NODAD);
        mnl_attr_put_u8(h, ADDRESS_PROTOCOL, AGENT_PROTOCOL);
    }
    int err = ask(n, h);
    return err != 0 || !add ? err : set_forwarding(&op->is->key);
}

static int perform_entry(struct ts_netlink *n, const struct agent_op *op, unsigned index)
{
    bool add = op->kind != AGENT_REMOVE;
    const struct agent_object *o = add ? op->is : op->was;
    const struct agent_object_key *k = &o->key;
    bool flood = k->kind == AGENT_O_FLOOD;
    int how = !add ? 0 : flood ? NLM_F_CREATE | NLM_F_APPEND : NLM_F_CREATE | NLM_F_REPLACE;
    struct nlmsghdr *h =
        ts_netlink_begin(n, add ? RTM_NEWNEIGH : RTM_DELNEIGH, (uint16_t)(NLM_F_ACK | how));
    struct ndmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->ndm_ifindex = (int)index;
    m->ndm_family = AF_BRIDGE;
    m->ndm_state = NUD_NOARP | (flood || k->kind == AGENT_O_TUNNEL ? NUD_PERMANENT : 0);
    m->ndm_flags = k->kind == AGENT_O_FDB ? NTF_MASTER : NTF_SELF;
    if (k->kind == AGENT_O_NEIGHBOUR) {
        m->ndm_family = family_of(&k->address);
        m->ndm_state = NUD_PERMANENT;
        m->ndm_flags = 0;
        put_address(h, NDA_DST, &k->address);
        mnl_attr_put(h, NDA_LLADDR, sizeof(o->value.mac.bytes), o->value.mac.bytes);
        return ask(n, h);
    }
    mnl_attr_put(h, NDA_LLADDR, sizeof(k->mac.bytes), k->mac.bytes);
    if (k->kind != AGENT_O_FDB) {
        put_address(h, NDA_DST, flood ? &k->address : &o->value.address);
    }
    return ask(n, h);
}

/* ---- routes, rules ---- */

static int send_route(struct ts_netlink *n, const struct agent_object *o, bool add, unsigned index)
{
    const struct agent_object_key *k = &o->key;
    struct nlmsghdr *h =
        ts_netlink_begin(n, add ? RTM_NEWROUTE : RTM_DELROUTE,
                         (uint16_t)(NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_REPLACE : 0)));
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    bool via = o->value.address.family != 0;
    m->rtm_family = family_of(&k->address);
    m->rtm_dst_len = k->address.bits;
    m->rtm_protocol = AGENT_PROTOCOL;
    m->rtm_type = o->value.drop ? RTN_UNREACHABLE : RTN_UNICAST;
    m->rtm_scope = !add                   ? RT_SCOPE_NOWHERE
                   : via || o->value.drop ? RT_SCOPE_UNIVERSE
                                          : RT_SCOPE_LINK;
    m->rtm_flags = via && add ? RTNH_F_ONLINK : 0;
    mnl_attr_put_u32(h, RTA_TABLE, k->table);
    if (k->address.bits > 0) {
        put_address(h, RTA_DST, &k->address);
    }
    if (k->mark != 0) {
        mnl_attr_put_u32(h, RTA_PRIORITY, k->mark);
    }
    if (!o->value.drop) {
        mnl_attr_put_u32(h, RTA_OIF, index);
        if (via) {
            put_address(h, RTA_GATEWAY, &o->value.address);
        }
    }
    return ask(n, h);
}

static int perform_route(struct ts_netlink *n, const struct agent_op *op)
{
    const struct agent_object *o = op->kind == AGENT_REMOVE ? op->was : op->is;
    unsigned index = o->value.drop ? 0 : if_nametoindex(o->value.device);
    if (!o->value.drop && index == 0) {
        return ENODEV;
    }
    return send_route(n, o, op->kind != AGENT_REMOVE, index);
}

static int perform_rule(struct ts_netlink *n, const struct agent_op *op)
{
    bool add = op->kind != AGENT_REMOVE;
    const struct agent_object_key *k = add ? &op->is->key : &op->was->key;
    struct nlmsghdr *h =
        ts_netlink_begin(n, add ? RTM_NEWRULE : RTM_DELRULE,
                         (uint16_t)(NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0)));
    struct fib_rule_hdr *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    bool from = k->address.bits > 0;
    m->family = family_of(&k->address);
    m->action = FR_ACT_TO_TBL;
    m->src_len = k->address.bits;
    mnl_attr_put_u32(h, FRA_TABLE, k->table);
    mnl_attr_put_u8(h, FRA_PROTOCOL, AGENT_PROTOCOL);
    mnl_attr_put_u32(h, FRA_PRIORITY,
                     k->device[0] != '\0' ? AGENT_RULE_IIF
                     : from               ? AGENT_RULE_FROM
                                          : AGENT_RULE_MARK);
    if (k->device[0] != '\0') {
        mnl_attr_put_strz(h, FRA_IIFNAME, k->device);
    }
    if (from) {
        put_address(h, FRA_SRC, &k->address);
    }
    if (k->mark != 0) {
        mnl_attr_put_u32(h, FRA_FWMARK, k->mark);
    }
    int err = ask(n, h);
    return add && err == EEXIST ? 0 : err;
}

/* ---- any of them ---- */

static int perform(struct ts_netlink *n, const struct agent_op *op)
{
    const struct agent_object *o = op->kind == AGENT_REMOVE ? op->was : op->is;
    switch ((enum agent_object_kind)o->key.kind) {
    case AGENT_O_BRIDGE:
    case AGENT_O_VXLAN:
    case AGENT_O_LEG:
        return perform_link(n, op);
    case AGENT_O_MEMBER:
        return perform_member(n, op);
    case AGENT_O_ROUTE:
        return perform_route(n, op);
    case AGENT_O_RULE:
        return perform_rule(n, op);
    case AGENT_O_ADDRESS:
    case AGENT_O_FLOOD:
    case AGENT_O_TUNNEL:
    case AGENT_O_FDB:
    case AGENT_O_NEIGHBOUR:
        break;
    }
    unsigned index = if_nametoindex(o->key.device);
    if (index == 0) {
        return ENODEV;
    }
    return o->key.kind == AGENT_O_ADDRESS ? perform_address(n, op, index)
                                          : perform_entry(n, op, index);
}

/* What goes may have gone with the link that it was on, or with that link's place on a bridge. */
static bool is_gone(const struct agent_op *op, int err)
{
    if (op->was->key.kind == AGENT_O_FDB && err == EOPNOTSUPP) {
        return true;
    }
    return err == ENODEV || err == ENOENT || err == ESRCH || err == EADDRNOTAVAIL;
}

enum ts_err agent_rtnl_perform(struct ts_netlink *n, const struct agent_op *op,
                               struct agent_error *error)
{
    static const char *const VERBS[] = {"add", "change", "remove"};
    char text[AGENT_OBJECT_TEXT];
    int err = perform(n, op);
    if (err == 0 || (op->kind == AGENT_REMOVE && is_gone(op, err))) {
        return TS_OK;
    }
    const struct agent_object *o = op->kind == AGENT_REMOVE ? op->was : op->is;
    (void)snprintf(error->text, sizeof(error->text), "cannot %s %s: %s", VERBS[op->kind],
                   agent_object_text(o, text), strerror(err));
    return TS_ERR_SYSTEM;
}
