/* Inside the controller's part of the southbound protocol: south.c has connections, nodes and the
 * office, south_send.c what is said of one node's table. */
#ifndef SERVICES_NETCTL_SOUTH_STATE_H
#define SERVICES_NETCTL_SOUTH_STATE_H

#include <stdio.h>

#include "services/netctl/south.h"

#define SOUTH_NOBODY UINT32_MAX
/* A part of a list, and the entry with which it is complete. */
#define SOUTH_PART_ROOM (SOUTH_PART_BYTES + SOUTH_ITEM_HEADER + SOUTH_KEY_MAX + SOUTH_VALUE_MAX)

enum south_way {
    SOUTH_NOTHING, /* no table is under way */
    SOUTH_WHOLE,   /* SYNC_BEGIN, parts, SYNC_END */
    SOUTH_CHANGES, /* DELTAs */
    SOUTH_AWAITED, /* all of it is said, the ACK is not here */
};

/* One table on its way to a node. */
struct south_sending {
    enum south_way way;
    bool whole;                /* it is a sync, also while it is awaited */
    bool begun;                /* SYNC_BEGIN was said */
    struct netctl_tree table;  /* owned */
    struct netctl_tree base;   /* owned: what the changes belong to */
    struct south_item *change; /* owned: what differs, borrowed from the two */
    size_t changes;
    size_t room;
    uint64_t change_bytes;
    size_t next;                /* of the changes */
    char at[SOUTH_KEY_MAX + 1]; /* of the whole table: the key said last, "" = none */
    struct ts_seq gen;
    uint32_t part;
};

struct south_node {
    char name[SOUTH_NODE_MAX + 1];
    uint32_t connection; /* SOUTH_NOBODY = none */
    /* what it shall do */
    bool has_table;
    struct netctl_tree table;
    struct ts_seq gen;
    struct netctl_tree kept[SOUTH_KEPT]; /* of former generations; unused ones are empty */
    unsigned kept_next;                  /* the newest of them */
    struct netctl_tree refused;          /* items that fit no message: key → why */
    /* what it has, by its own word on this connection */
    bool heard;     /* its first ACK in this epoch has come */
    bool confirmed; /* it has answered a table of this epoch */
    bool must_sync;
    struct ts_seq has_gen;
    struct ts_hash has_digest;
    struct south_sending sending;
    /* what it does, by its word to this primary */
    struct ts_seq acked;
    struct ts_hash acked_digest;
    struct netctl_tree errors; /* key → why */
    bool more;
    bool errors_begun; /* parts of an ACK have come, the last one has not */
    /* statistics */
    uint64_t syncs;
    uint64_t deltas;
};

struct south_connection {
    bool open;
    char name[SOUTH_NODE_MAX + 1]; /* of its certificate; "" = nobody asked */
    struct south_node *node;       /* once it has said HELLO */
    struct ts_mono heard;          /* when something came */
    size_t queued;                 /* bytes that wait */
    uint8_t *inventory;            /* owned: the body that told it last */
    size_t inventory_len;
};

struct south {
    struct south_limits limits;
    struct ts_epoch epoch;
    bool serves;
    char primary[SOUTH_ADDRESS_MAX + 1];
    struct south_connection *connection; /* owned */
    struct south_node **node;            /* owned, by name */
    uint32_t nodes;
    uint8_t part[SOUTH_PART_ROOM]; /* of the message that is being made */
};

/* The next message of what this node's table needs; its items are written to `room`, which has
 * SOUTH_PART_ROOM bytes. False: there is nothing to say now. */
bool south_send_next(struct south_node *n, uint8_t *room, size_t cap, struct south_msg *m);
/* What is under way is no longer. */
void south_send_abort(struct south_node *n);
/* False: there are too many. */
bool south_take_errors(struct south_node *n, const struct south_msg *ack);
/* The last part of an ACK. NULL, or what is wrong with it. */
const char *south_take_ack(struct south_node *n, const struct south_msg *ack);

#endif
