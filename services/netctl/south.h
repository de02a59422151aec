/* The controller's part of the southbound protocol (south_msg.h, docs/NETCTL.md): which table each
 * transport node has, and what has to be said so that it gets the newest one. A core without I/O:
 * `south_step` takes an event and gives effects; the caller carries them out in their order, and
 * forgets them before the next step. No thread, no clock, no socket.
 *
 * Concepts. A *node* has a table (TABLE events, from what this replica has applied) and perhaps a
 * connection. One table is under way to a node at a time; what comes meanwhile is left out, but for
 * the newest. The tables of a node's last generations are kept (they share what is equal), so that
 * a node that has one of them gets the changes only. A replica that does not serve answers HELLO
 * with ROLE and sends no tables; it ends all connections when it loses its office. */
#ifndef SERVICES_NETCTL_SOUTH_H
#define SERVICES_NETCTL_SOUTH_H

#include "services/netctl/south_msg.h"

/* Tables of former generations that are kept of each node. */
#define SOUTH_KEPT 8
/* A table is sent on while fewer bytes than this wait on the connection, … */
#define SOUTH_WINDOW (512U * 1024U)
/* … which ends when more than this do: who does not read its answers. */
#define SOUTH_QUEUE_MAX (4U * 1024U * 1024U)
/* An agent says something every other second (core.h of the agent): six missing ones are silence.
 */
#define SOUTH_SILENCE_NS (15 * TS_NS_PER_S)
/* From the connection to its HELLO. */
#define SOUTH_HELLO_NS (5 * TS_NS_PER_S)
/* TIME events are to come about this often. */
#define SOUTH_TICK_NS TS_NS_PER_S
/* Errors of a node that are kept; more of them are "more". */
#define SOUTH_ERRORS_MAX 65536U

struct south;

struct south_limits {
    uint32_t connections_max;
    uint32_t nodes_max; /* that have a table or a connection */
};

enum south_event_kind {
    SOUTH_E_ROLE,    /* epoch, serves, primary: this replica's office, whenever it changes */
    SOUTH_E_OPENED,  /* connection; name: of its certificate, NULL = nobody asked for one */
    SOUTH_E_CLOSED,  /* connection: by the other side, or by the network */
    SOUTH_E_MESSAGE, /* connection, body (of a frame) */
    SOUTH_E_SENT,    /* connection, bytes: so many are no longer waiting */
    SOUTH_E_TABLE,   /* name (of a node), table, gen: what it shall do */
    SOUTH_E_FORGET,  /* name: it has no table any more */
    SOUTH_E_ASK,     /* name, number: its counters are wanted */
    SOUTH_E_TIME,    /* nothing but `now` */
};

/* Everything is borrowed for the step. */
struct south_event {
    enum south_event_kind kind;
    struct ts_mono now;
    uint32_t connection; /* chosen by the caller, < connections_max; its own until it is closed */
    const char *name;
    struct ts_epoch epoch;
    bool serves;
    const char *primary; /* ADDRESS:PORT of the present primary, NULL = not known */
    struct ts_bytes body;
    size_t bytes;
    const struct netctl_tree *table; /* all of one node with one seed */
    struct ts_seq gen;
    uint64_t number;
};

enum south_effect_kind {
    SOUTH_SEND,      /* connection, bytes */
    SOUTH_CLOSE,     /* connection, text: why. No CLOSED follows */
    SOUTH_TELLS,     /* name, bytes: body of the HELLO or INVENTORY with what the node has now */
    SOUTH_ACKED,     /* name, gen, digest: it does this now; or what it does not do has changed */
    SOUTH_COUNTS,    /* name, number, bytes: body of a STATS */
    SOUTH_OUTDATED,  /* name, epoch: the node knows a higher one than this primary has */
    SOUTH_LOST_EPOCH /* name: its store of the highest epoch was damaged: worth an alarm */
};

struct south_effect {
    enum south_effect_kind kind;
    uint32_t connection;
    char name[SOUTH_NODE_MAX + 1]; /* of a node */
    const char *text;              /* static */
    size_t at;                     /* where its bytes begin in the effects' */
    size_t len;
    struct ts_seq gen;
    struct ts_hash digest;
    struct ts_epoch epoch;
    uint64_t number;
};

/* Filled by steps, emptied by the caller; zeroed before first use. */
struct south_effects {
    struct south_effect *effect; /* owned */
    size_t count;
    size_t room;
    uint8_t *bytes; /* owned */
    size_t len;
    size_t cap;
};

struct ts_bytes south_effect_bytes(const struct south_effects *all, const struct south_effect *e);
void south_effects_clear(struct south_effects *e);
void south_effects_free(struct south_effects *e);

/* Without an office, until a ROLE event. NULL: memory is short. */
struct south *south_new(const struct south_limits *limits);
void south_free(struct south *s);

void south_step(struct south *s, const struct south_event *e, struct south_effects *out);

/* ---- queries ---- */

struct south_node_state {
    bool connected;
    bool has_table;
    struct ts_seq gen;     /* of its newest table */
    struct ts_hash digest; /* of the same */
    /* The highest generation that it has said to do, to this primary; an item is realized when the
     * generation of its last change is not above it and it has no error. */
    struct ts_seq acked;
    struct ts_hash acked_digest;
    size_t errors;
    bool more; /* it has more errors than it could tell: no item is known to be realized */
    bool under_way;
    /* statistics */
    uint64_t syncs;
    uint64_t deltas;
};

/* False: there is no such node. */
bool south_node(const struct south *s, const char *name, struct south_node_state *out);
/* The nodes by their names, in ascending order: the first behind `name` ("" = the first of all),
 * NULL: there is none. Borrowed until the next step. */
const char *south_next_node(const struct south *s, const char *name);
/* Why the node does not do this item; data NULL: it has said nothing against it. Borrowed. */
struct ts_bytes south_error(const struct south *s, const char *name, const char *key);
/* The node's errors in the order of their keys: the first behind `key` ("" = the first of all). Key
 * NULL: there is none. Borrowed until the next step. */
struct netctl_item south_next_error(const struct south *s, const char *name, const char *key);
/* Connections that have said HELLO. */
size_t south_connected(const struct south *s);

void south_check_invariants(const struct south *s);

#endif
