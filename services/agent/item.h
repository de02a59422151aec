/* An item of a node's table (docs/NETCTL.md), decoded: a key and a JSON value give a struct, or a
 * sentence that names the key and the field that is wrong. Everything is checked here: what has
 * been decoded is within its bounds, and names in it are safe in the kernel's and nft's language.
 */
#ifndef SERVICES_AGENT_ITEM_H
#define SERVICES_AGENT_ITEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "services/agent/address.h"

#define AGENT_VNI_MAX 0xffffffU
#define AGENT_PORT_NUMBER_MAX 0x7fffffffU
#define AGENT_ROUTER_MAX 0xffffffU
#define AGENT_MTU_MIN 576U
#define AGENT_MTU_MAX 65485U
/* Characters of a set's name, of an interface's own part of an alias, of other texts. */
#define AGENT_SET_NAME_MAX 64
#define AGENT_ALIAS_MAX 200
#define AGENT_TEXT_MAX 1024
#define AGENT_LOG_MAX 64
#define AGENT_ORDER_DIGITS 20
/* In one item. */
#define AGENT_IPS_MAX 64
#define AGENT_GATEWAYS_MAX 8
#define AGENT_SETS_MAX 64
#define AGENT_SERVICES_MAX 64
#define AGENT_RANGES_MAX 32
#define AGENT_SERVERS_MAX 16
/* A domain name, a label of one, and the shortest lease (seconds). */
#define AGENT_DOMAIN_MAX 253
#define AGENT_LABEL_MAX 63
#define AGENT_LEASE_MIN 60U

#define AGENT_KIND_LIST(X) \
    X(AGENT_SEGMENT, "segment") \
    X(AGENT_FLOOD, "flood") \
    X(AGENT_PORT, "port") \
    X(AGENT_REMOTE, "remote") \
    X(AGENT_ROUTER, "router") \
    X(AGENT_ROUTE, "route") \
    X(AGENT_NAT, "nat") \
    X(AGENT_UPLINK, "uplink") \
    X(AGENT_DHCP, "dhcp") \
    X(AGENT_BINDING, "dhcp") /* with a MAC behind the VNI */ \
    X(AGENT_SET, "set") \
    X(AGENT_PORT_SET, "ports") \
    X(AGENT_RULE, "rule") \
    X(AGENT_GATEWAY_RULE, "gateway-rule")

enum agent_kind {
#define AGENT_KIND_ENUM(name, text) name,
    AGENT_KIND_LIST(AGENT_KIND_ENUM)
#undef AGENT_KIND_ENUM
        AGENT_KIND_COUNT
};

/* Why an item, or what follows from it, is not realized. */
struct agent_error {
    char text[384];
};

struct agent_segment {
    uint32_t vni;
    uint32_t mtu;
    uint32_t router; /* 0: not routed here; else the gateways and the MAC are there */
    size_t gateways;
    struct agent_address gateway[AGENT_GATEWAYS_MAX]; /* with the bits of the network */
    struct agent_mac mac;
};

struct agent_flood {
    uint32_t vni;
    struct agent_address vtep;
};

struct agent_port {
    uint32_t number;
    uint32_t vni;
    char vif[AGENT_ALIAS_MAX + 1];
    struct agent_mac mac;
    size_t ips;
    struct agent_address ip[AGENT_IPS_MAX];
    bool guard;
};

struct agent_remote {
    uint32_t vni;
    struct agent_mac mac;
    struct agent_address vtep;
    size_t ips;
    struct agent_address ip[AGENT_IPS_MAX];
};

struct agent_route {
    uint32_t router;
    struct agent_address prefix;
    bool drop;                /* or else: */
    struct agent_address via; /* of the prefix's family */
    uint32_t vni;
    bool uplink; /* instead of a segment */
};

struct agent_uplink {
    uint32_t router;
    char interface[AGENT_ALIAS_MAX + 1];
    size_t addresses;
    struct agent_address address[AGENT_GATEWAYS_MAX];
};

struct agent_dhcp {
    uint32_t vni;
    struct agent_address server; /* with the bits of the network */
    size_t routers;
    struct agent_address router[AGENT_SERVERS_MAX];
    size_t dns_servers;
    struct agent_address dns[AGENT_SERVERS_MAX];
    char domain[AGENT_DOMAIN_MAX + 1]; /* "": none */
    uint32_t lease;
};

struct agent_binding {
    uint32_t vni;
    struct agent_mac mac;
    struct agent_address ip;
    char host[AGENT_LABEL_MAX + 1]; /* "": none that a client can be told */
};

struct agent_range {
    uint16_t first;
    uint16_t last;
};

struct agent_service {
    uint8_t protocol;
    size_t sources;
    size_t destinations;
    struct agent_range source[AGENT_RANGES_MAX]; /* ports; TCP, UDP and SCTP only */
    struct agent_range destination[AGENT_RANGES_MAX];
    int type; /* of ICMP, ICMPv6; -1: any */
    int code;
};

struct agent_sets {
    bool any;     /* nothing is said */
    bool negated; /* none of them */
    size_t count;
    char name[AGENT_SETS_MAX][AGENT_SET_NAME_MAX + 1];
};

#define AGENT_ACTION_LIST(X) \
    X(AGENT_ALLOW, "ALLOW") \
    X(AGENT_DROP, "DROP") \
    X(AGENT_REJECT, "REJECT") \
    X(AGENT_DETECT, "DETECT")

enum agent_action {
#define AGENT_ACTION_ENUM(name, text) name,
    AGENT_ACTION_LIST(AGENT_ACTION_ENUM)
#undef AGENT_ACTION_ENUM
};

struct agent_rule {
    uint32_t router; /* whose gateway's it is; 0: it is the distributed firewall's */
    char order[AGENT_ORDER_DIGITS + 1];
    uint32_t id;
    enum agent_action action;
    bool in;
    bool out;
    int family; /* 4, 6, 0 = both */
    struct agent_sets sources;
    struct agent_sets destinations;
    size_t services; /* 0: any */
    struct agent_service service[AGENT_SERVICES_MAX];
    struct agent_sets ports; /* any, or one of them; never negated */
    bool stateful;
    bool logged;
    char log[AGENT_LOG_MAX + 1];
};

#define AGENT_NAT_LIST(X) \
    X(AGENT_SNAT, "SNAT") \
    X(AGENT_DNAT, "DNAT") \
    X(AGENT_NO_SNAT, "NO_SNAT") \
    X(AGENT_NO_DNAT, "NO_DNAT")

enum agent_nat_action {
#define AGENT_NAT_ENUM(name, text) name,
    AGENT_NAT_LIST(AGENT_NAT_ENUM)
#undef AGENT_NAT_ENUM
};

struct agent_nat {
    uint32_t router;
    char order[AGENT_ORDER_DIGITS + 1];
    uint32_t id;
    enum agent_nat_action action;
    struct agent_address source; /* family 0: any */
    struct agent_address destination;
    struct agent_address translated; /* family 0 with NO_SNAT, NO_DNAT only */
    bool has_service;
    struct agent_service service;
    uint16_t translated_port; /* 0: as it was */
    bool logged;
};

struct agent_set_member {
    char set[AGENT_SET_NAME_MAX + 1];
    struct agent_address prefix;
};

struct agent_port_member {
    char set[AGENT_SET_NAME_MAX + 1];
    uint32_t number;
};

struct agent_item {
    enum agent_kind kind;
    union {
        struct agent_segment segment;
        struct agent_flood flood;
        struct agent_port port;
        struct agent_remote remote;
        uint32_t router;
        struct agent_route route;
        struct agent_nat nat;
        struct agent_uplink uplink;
        struct agent_dhcp dhcp;
        struct agent_binding binding;
        struct agent_set_member member;
        struct agent_port_member port_member;
        struct agent_rule rule;
    };
};

/* Of an item's key alone: AGENT_KIND_COUNT when it begins with none of the words. */
enum agent_kind agent_kind_of(const char *key);

/* Whether it is a set's name: letters, digits, '_', '.', '-', the first one a letter or a digit. */
bool agent_is_set_name(const char *text);

/* Decodes one item. TS_ERR_MALFORMED: `error` says which key and field, and what is wanted.
 * TS_ERR_VERSION: a kind or a field that this agent does not know. `item` is some 100 KiB: keep
 * one, and use it again. */
enum ts_err agent_item_decode(struct agent_item *item, const char *key, struct ts_bytes value,
                              struct agent_error *error) TS_MUST_USE;

#endif
