/* What the controller and the agent of a transport node say to each other (docs/NETCTL.md,
 * "Southbound"): frames and their bytes. Pure functions: this file is the wire specification. All
 * integers are little-endian.
 *
 *     frame: u32 length of what follows | u8 type | u64 epoch | the type's fields
 *
 * The epoch of a controller's message is that in which it speaks; of an agent's the one of the
 * controller that it answers, in HELLO and INVENTORY the highest that it knows.
 *
 * A text: u16 length, bytes. A list: u32 count, its entries; it is checked as a whole when it is
 * decoded, and read by south_list_*. No entry is longer than a part, and no frame longer than
 * SOUTH_FRAME_MAX: what would be is said in parts. */
#ifndef SERVICES_NETCTL_SOUTH_MSG_H
#define SERVICES_NETCTL_SOUTH_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "services/netctl/tree.h"

#define SOUTH_VERSION 1
#define SOUTH_FRAME_HEADER 4
/* Of what follows the length. */
#define SOUTH_FRAME_MAX (1024U * 1024U)
/* A part of a list ends behind the entry with which it has this many bytes. */
#define SOUTH_PART_BYTES (64U * 1024U)
#define SOUTH_KEY_MAX NETCTL_KEY_MAX
#define SOUTH_VALUE_MAX (64U * 1024U)
#define SOUTH_NODE_MAX 63    /* bytes of a node's name */
#define SOUTH_ADDRESS_MAX 63 /* bytes of ADDRESS:PORT, of a tunnel's end */
#define SOUTH_NAME_MAX 200   /* bytes of a vif's or an uplink's name */
#define SOUTH_VIFS_MAX 4096
#define SOUTH_UPLINKS_MAX 64
#define SOUTH_ERROR_MAX 512 /* bytes of why an item is not realized */

/* X(symbol, number, name) */
#define SOUTH_TYPE_LIST(X) \
    X(SOUTH_HELLO, 1, "HELLO") \
    X(SOUTH_ROLE, 2, "ROLE") \
    X(SOUTH_SYNC_BEGIN, 3, "SYNC_BEGIN") \
    X(SOUTH_SYNC_PART, 4, "SYNC_PART") \
    X(SOUTH_SYNC_END, 5, "SYNC_END") \
    X(SOUTH_DELTA, 6, "DELTA") \
    X(SOUTH_ACK, 7, "ACK") \
    X(SOUTH_INVENTORY, 8, "INVENTORY") \
    X(SOUTH_ASK, 9, "ASK") \
    X(SOUTH_STATS, 10, "STATS") \
    X(SOUTH_PING, 11, "PING") \
    X(SOUTH_PONG, 12, "PONG")

enum south_type {
#define SOUTH_TYPE_ENUM(symbol, number, name) symbol = (number),
    SOUTH_TYPE_LIST(SOUTH_TYPE_ENUM)
#undef SOUTH_TYPE_ENUM
};

/* "HELLO"; NULL: there is no such type. */
const char *south_type_name(unsigned type);

/* The interfaces of a node that matter: all in names, in ascending order, none twice. */
struct south_inventory {
    struct ts_bytes vtep;   /* a text: this node's end of the tunnels */
    uint32_t vifs;          /* interfaces of workloads */
    struct ts_bytes vif;    /* encoded list */
    uint32_t uplinks;       /* interfaces with which an edge may go outside */
    struct ts_bytes uplink; /* encoded list */
};

/* One message; which fields it has its type says. Bytes are borrowed from the frame. */
struct south_msg {
    enum south_type type;
    struct ts_epoch epoch;

    /* HELLO */
    uint16_t version;
    struct ts_bytes node; /* its name, which its certificate bears, too */
    struct ts_hash boot;  /* random id of the machine's start */
    bool epoch_lost;      /* the store of the highest epoch was damaged: it may be too low */
    /* HELLO, INVENTORY */
    struct south_inventory inventory;

    /* ROLE */
    bool serves;             /* the sender is the primary */
    struct ts_bytes primary; /* ADDRESS:PORT where it is; "" = not known */

    /* HELLO, SYNC_*, DELTA, ACK: a generation of the table, 0 = none, and its digest */
    struct ts_seq gen;
    struct ts_hash digest; /* HELLO, SYNC_END, DELTA, ACK */
    struct ts_seq base;    /* DELTA: the generation to which the changes belong */
    uint32_t part;         /* SYNC_PART, DELTA: from 0 on */
    bool last;             /* DELTA, ACK, STATS: no further part */
    /* SYNC_PART, DELTA: items; ACK: errors that are new, or gone since the ACK before */
    uint32_t items;
    struct ts_bytes item; /* encoded list */

    /* ACK */
    bool applied;   /* the table is what the node does; else it is what a DELTA may build on */
    bool want_sync; /* a gap, or another digest than was said: only a whole table helps */
    bool more;      /* there are more errors than can be told */

    /* ASK, STATS, PING, PONG */
    uint64_t number;
    /* STATS */
    uint32_t rules;
    struct ts_bytes rule; /* encoded list */
    uint32_t ports;
    struct ts_bytes port; /* encoded list */
};

/* The first frame in `in`. Gives what is behind its length in *body and its whole size in *used.
 * TS_ERR_SHORT: more bytes are needed; *used is then how many are known to be.
 * TS_ERR_LIMIT, TS_ERR_MALFORMED: too long, too short for any message. */
enum ts_err south_frame_next(struct ts_bytes in, struct ts_bytes *body, size_t *used) TS_MUST_USE;

/* Appends a frame; what does not fit fails the writer. */
void south_msg_encode(struct ts_writer *w, const struct south_msg *m);
/* `body` as south_frame_next gave it. TS_ERR_SHORT, TS_ERR_MALFORMED; TS_ERR_VERSION: no such type,
 * or a HELLO of another version (then version is set). */
enum ts_err south_msg_decode(struct south_msg *m, struct ts_bytes body) TS_MUST_USE;

/* ---- entries of lists ---- */

/* An item that comes or changes; value.data NULL: it goes. */
struct south_item {
    struct ts_bytes key;
    struct ts_bytes value;
};

struct south_rule_count {
    uint32_t id;
    bool nat;
    uint64_t packets;
    uint64_t bytes;
};

struct south_port_count {
    uint32_t number;
    uint64_t sent_packets;
    uint64_t sent_bytes;
    uint64_t received_packets;
    uint64_t received_bytes;
    uint64_t guarded;
};

#define SOUTH_ITEM_HEADER 6
#define SOUTH_RULE_COUNT_BYTES 21
#define SOUTH_PORT_COUNT_BYTES 44

void south_item_put(struct ts_writer *w, const struct south_item *item);
void south_name_put(struct ts_writer *w, const char *name);
void south_rule_put(struct ts_writer *w, const struct south_rule_count *c);
void south_port_put(struct ts_writer *w, const struct south_port_count *c);

/* The next entry of a decoded list, from a reader of its bytes. */
struct south_item south_item_get(struct ts_reader *r);
struct ts_bytes south_name_get(struct ts_reader *r);
struct south_rule_count south_rule_get(struct ts_reader *r);
struct south_port_count south_port_get(struct ts_reader *r);

/* Letters, digits and "-_.:~@", not "." or "..", at most SOUTH_NODE_MAX. */
bool south_node_is_valid(struct ts_bytes name);
/* 1..SOUTH_NAME_MAX bytes, no control characters. */
bool south_name_is_valid(struct ts_bytes name);

#endif
