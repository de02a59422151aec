/* Inside the agent's core: core.c has connections, roles and time, core_order.c the orders, the
 * store and the driver, core_say.c what is said. */
#ifndef SERVICES_AGENT_CORE_STATE_H
#define SERVICES_AGENT_CORE_STATE_H

#include "base/prng.h"
#include "services/agent/core.h"

#define AGENT_NO_SLOT UINT32_MAX

enum agent_slot_state {
    AGENT_SLOT_DOWN,
    AGENT_SLOT_DIALLED,
    AGENT_SLOT_UP,
};

struct agent_slot {
    enum agent_slot_state state;
    char address[SOUTH_ADDRESS_MAX + 1];
    uint64_t backoff;
    struct ts_mono at;    /* DOWN: dials then; DIALLED: since; UP: when something came */
    struct ts_mono pings; /* UP: says PING then */
    bool spoke;           /* its ROLE has come */
    bool serves;
    struct ts_epoch epoch; /* of its ROLE */
};

enum agent_order_kind {
    AGENT_ORDER_NONE,
    AGENT_ORDER_SYNC,
    AGENT_ORDER_DELTA,
};

/* A table that comes. */
struct agent_order {
    enum agent_order_kind kind;
    bool ready; /* all of it is here */
    bool built; /* `is` is the table it shall be */
    struct ts_epoch epoch;
    struct ts_seq gen;
    struct ts_hash digest;
    uint32_t part;               /* of the next one */
    struct netctl_tree gathered; /* SYNC: items. DELTA: a mark, and the value of what is put */
    struct netctl_tree is;
};

enum agent_work {
    AGENT_IDLE,
    AGENT_STORING, /* a table */
    AGENT_DRIVING,
    AGENT_COUNTING,
};

struct agent_core {
    /* config */
    char node[SOUTH_NODE_MAX + 1];
    struct ts_hash boot;
    unsigned slots;
    struct agent_slot slot[AGENT_SLOTS_MAX];
    struct ts_prng jitter;
    struct ts_mono now; /* of the step */

    /* the fence */
    struct ts_epoch seen;   /* highest that was heard of */
    struct ts_epoch stored; /* highest that is known to be durable */
    bool storing;           /* an epoch */
    bool epoch_lost;
    struct ts_mono settled; /* when one may be followed that has lost it */
    struct ts_mono store_epoch_at;
    uint32_t follow; /* a slot, or AGENT_NO_SLOT */
    bool answered;   /* it was told what this node has */

    /* the table: durable, the node's own */
    bool has_table;
    struct netctl_tree table;
    struct ts_epoch table_epoch;
    struct ts_seq gen;
    struct agent_order order;
    struct ts_mono store_at;

    /* the driver */
    enum agent_work work;
    bool unsure;    /* nobody knows what it does: it has to look */
    bool pending;   /* the table is not given to it as it was ordered */
    bool confirmed; /* somebody who serves in `seen` has said that this is the whole table */
    bool due;       /* it has to look because something may have changed */
    bool whole;     /* what it does now is a RECONCILE, … */
    bool deletes;   /* … that takes away what is too much */
    struct ts_mono drive_at;
    uint64_t drive_backoff;
    struct netctl_tree before;   /* what it had, while it gets changes */
    struct agent_change *change; /* owned: while it gets them */
    size_t changes;
    size_t change_room;

    /* what is told */
    struct netctl_tree errors;
    struct netctl_tree told; /* the errors as the followed one knows them */
    bool more;
    uint8_t *inventory; /* owned: vtep, vifs, uplinks, encoded, one behind the other */
    struct south_inventory known;
    bool count_due;
    uint64_t count_number;
    uint32_t count_slot;

    /* statistics */
    uint64_t refused;
    uint64_t syncs;
    uint64_t deltas;
    uint64_t wanted_syncs;
};

/* ---- core_say.c ---- */

struct agent_effect *agent_add(struct agent_effects *out, enum agent_effect_kind kind);
void agent_tell(struct agent_core *c, const char *text, uint32_t slot, struct agent_effects *out);
void agent_say(struct agent_core *c, uint32_t slot, const struct south_msg *m,
               struct agent_effects *out);
void agent_say_hello(struct agent_core *c, uint32_t slot, struct agent_effects *out);
/* What the node has, does and does not do, to the followed one. */
void agent_say_ack(struct agent_core *c, bool want_sync, struct agent_effects *out);
void agent_say_counts(struct agent_core *c, const struct agent_event *e, struct agent_effects *out);
void agent_take_inventory(struct agent_core *c, const struct south_inventory *i,
                          struct agent_effects *out);

/* ---- core_order.c ---- */

/* Whether the slot is that of the primary, and the epoch the one that this node obeys. */
bool agent_is_in_office(const struct agent_core *c, uint32_t slot, struct ts_epoch epoch);
/* SYNC_*, DELTA of one that is in office. NULL, or why the connection is not worth keeping. */
const char *agent_take_order(struct agent_core *c, const struct south_msg *m,
                             struct agent_effects *out);
/* What has come of an order is forgotten, unless it is being stored. */
void agent_drop_order(struct agent_core *c);
void agent_on_table_stored(struct agent_core *c, bool good, struct agent_effects *out);
void agent_on_driven(struct agent_core *c, const struct agent_event *e, struct agent_effects *out);
/* Begins the next work, if nothing is at work. */
void agent_next_work(struct agent_core *c, struct agent_effects *out);
struct ts_mono agent_work_deadline(const struct agent_core *c);

#endif
