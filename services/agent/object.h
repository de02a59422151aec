/* What the kernel of a transport node shall have besides nft rules: links, which of them are on
 * which bridge, addresses, forwarding and neighbour entries, routes and routing rules. Items of the
 * table give objects; the objects that the kernel has are compared with them; the differences are
 * what is to be done. All of it is pure: io/ reads and writes the kernel. */
#ifndef SERVICES_AGENT_OBJECT_H
#define SERVICES_AGENT_OBJECT_H

#include "services/agent/item.h"
#include "services/netctl/tree.h"

/* With the NUL byte, as Linux has it. */
#define AGENT_NAME_MAX 16
#define AGENT_OBJECT_TEXT 256

/* What is ours bears one of these. */
#define AGENT_ALIAS_OURS "twinstep-net:"
#define AGENT_ALIAS_VIF "twinstep-vif="
#define AGENT_PROTOCOL 84
#define AGENT_NFT_TABLE "twinstep_net"
/* A link's group from its creation on: its alias can be given in a second step only. */
#define AGENT_LINK_GROUP 0x54574e54U
/* Routing tables: of a router, of a segment without one (for answers of REJECT). A packet's mark
 * that leads there is the table's number. */
#define AGENT_TABLE_ROUTER 0x54000000U
#define AGENT_TABLE_SEGMENT 0x55000000U
/* Priorities of routing rules. */
#define AGENT_RULE_IIF 8400
#define AGENT_RULE_FROM 8410
#define AGENT_RULE_MARK 8420

/* In the order in which they are made; they are taken away in the other order. */
#define AGENT_OBJECT_LIST(X) \
    X(AGENT_O_BRIDGE, "bridge") \
    X(AGENT_O_VXLAN, "vxlan") \
    X(AGENT_O_LEG, "router leg") \
    X(AGENT_O_MEMBER, "member") \
    X(AGENT_O_ADDRESS, "address") \
    X(AGENT_O_FLOOD, "flood entry") \
    X(AGENT_O_TUNNEL, "tunnel entry") \
    X(AGENT_O_FDB, "forwarding entry") \
    X(AGENT_O_NEIGHBOUR, "neighbour") \
    X(AGENT_O_ROUTE, "route") \
    X(AGENT_O_RULE, "routing rule")

enum agent_object_kind {
#define AGENT_OBJECT_ENUM(name, text) name,
    AGENT_OBJECT_LIST(AGENT_OBJECT_ENUM)
#undef AGENT_OBJECT_ENUM
};

/* The bytes of a key and of a value are compared as they are: all that is not used is zero. */
struct agent_object_key {
    uint32_t kind;
    uint32_t table;               /* route, rule */
    char device[AGENT_NAME_MAX];  /* NUL-padded; of a rule: the incoming interface, or "" */
    struct agent_address address; /* flood: the tunnel's end; rule: the source's, or the family */
    struct agent_mac mac;         /* entries */
    uint32_t mark;                /* rule; of a route the metric */
};

struct agent_object_value {
    uint32_t vni;                 /* bridge, vxlan, leg; of a member: that of its bridge */
    uint32_t mtu;                 /* links */
    uint32_t port;                /* vxlan: of UDP */
    struct agent_address address; /* vxlan: this end; tunnel: the other end; route: via, if any */
    struct agent_mac mac;         /* bridge, leg, neighbour */
    char device[AGENT_NAME_MAX];  /* route */
    uint8_t suppress;             /* member: a tunnel, which learns nothing and gets no ARP */
    uint8_t drop;                 /* route */
    uint8_t unused[2];            /* else the compiler's, of any value */
};

_Static_assert(sizeof(struct agent_object_key) == 52, "no byte of the compiler's in it");
_Static_assert(sizeof(struct agent_object_value) == 56, "no byte of the compiler's in it");

struct agent_object {
    struct agent_object_key key;
    struct agent_object_value value;
    const char *item; /* the key of the item that wants it; borrowed; NULL: the kernel has it */
};

/* An interface that the kernel has. */
struct agent_interface {
    char name[AGENT_NAME_MAX];
    uint32_t index;
    char alias[256];
};

/* Where the table is made true. */
struct agent_place {
    struct agent_address vtep; /* this node's end of the tunnels */
    uint32_t vxlan_port;       /* UDP; 4789 by custom */
    const struct agent_interface *interface;
    size_t interfaces;
    /* What items need of others: borrowed; NULL: there are none. */
    const struct netctl_tree *table;
    bool detects;          /* there is a consumer of DETECT's copies: */
    uint16_t detect_group; /* of NFLOG */
};

struct agent_objects {
    struct agent_object *object; /* owned */
    size_t count;
    size_t room;
};

void agent_objects_free(struct agent_objects *o);
void agent_objects_add(struct agent_objects *o, const struct agent_object *one);
/* Sorts them. Of those with one key the first stays; the others are told with their item. */
typedef void agent_told(void *arg, const char *key, const char *error);
void agent_objects_sort(struct agent_objects *o, agent_told *told, void *arg);

/* "twb<vni>", "twx<vni>", "twr<vni>", "twp<vni>": bridge, tunnel, a router's leg, its port. */
void agent_device_name(char out[AGENT_NAME_MAX], char letter, uint32_t vni);
/* The interface with this alias behind `prefix`; NULL: there is none. */
const struct agent_interface *agent_place_find(const struct agent_place *p, const char *prefix,
                                               const char *alias);
const struct agent_interface *agent_place_named(const struct agent_place *p, const char *name);

/* The MAC of the leg in a segment: its own, or that of its server of DHCP. */
struct agent_mac agent_segment_leg_mac(const struct agent_segment *s);
/* What the table says of a segment's DHCP; false: nothing that is right. */
bool agent_table_dhcp(const struct netctl_tree *table, uint32_t vni, struct agent_dhcp *out);

/* Adds what one item wants. TS_ERR_NOT_FOUND: the interface is not there; `error` says so. */
enum ts_err agent_objects_of_item(struct agent_objects *o, const struct agent_item *item,
                                  const char *key, const struct agent_place *place,
                                  struct agent_error *error) TS_MUST_USE;

enum agent_op_kind {
    AGENT_ADD,
    AGENT_CHANGE,
    AGENT_REMOVE,
};

struct agent_op {
    enum agent_op_kind kind;
    const struct agent_object *was; /* NULL with AGENT_ADD */
    const struct agent_object *is;  /* NULL with AGENT_REMOVE */
};

/* What leads from `was` to `is` (both sorted), in the order in which it is to be done: what comes
 * and what changes, then what goes. The list is the caller's to free; it borrows from both. */
struct agent_op *agent_objects_plan(const struct agent_objects *was, const struct agent_objects *is,
                                    size_t *count);

/* For people: "bridge twb5001 mtu 1450". */
const char *agent_object_text(const struct agent_object *o, char text[AGENT_OBJECT_TEXT]);

#endif
