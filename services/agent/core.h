/* The agent's part of the southbound protocol (services/netctl/south_msg.h, docs/NETCTL.md): whom a
 * transport node obeys, which table it has, and when the driver makes it true. A core without I/O:
 * `agent_core_step` takes an event and gives effects; the caller carries them out in their order.
 *
 * Concepts. A *slot* is a controller's address; all are dialled, and one of those whose ROLE says
 * that it serves is *followed*: the one of the highest epoch. The *fence* is the highest epoch that
 * was heard of; it is stored before anything of it is done, and orders of lower ones are refused.
 * An *order* is a table that came as a whole (SYNC) or as changes (DELTA) and whose digest is the
 * controller's: it is stored, then given to the driver, then acknowledged. What is stored is the
 * node's own from then on: it is restored at the next start, whoever serves then.
 *
 * While the driver or the store works on a table (DRIVE …, STORE_TABLE until their results), this
 * core leaves all trees alone that it gave them: they may be read on another thread. */
#ifndef SERVICES_AGENT_CORE_H
#define SERVICES_AGENT_CORE_H

#include "services/agent/driver.h"
#include "services/netctl/south_msg.h"

#define AGENT_SLOTS_MAX 8
/* To a connection: the first time after a failure, and at most; with a jitter of a quarter. */
#define AGENT_DIAL_NS (250 * TS_NS_PER_MS)
#define AGENT_DIAL_MAX_NS (8 * TS_NS_PER_S)
#define AGENT_DIAL_TIMEOUT_NS (5 * TS_NS_PER_S)
#define AGENT_PING_NS (2 * TS_NS_PER_S)
/* Three PINGs without an answer. */
#define AGENT_SILENCE_NS (6 * TS_NS_PER_S)
/* After a disk or a kernel that refuses: the first time, and at most. */
#define AGENT_RETRY_NS TS_NS_PER_S
#define AGENT_RETRY_MAX_NS (30 * TS_NS_PER_S)
/* Items that are not realized are tried again. */
#define AGENT_AGAIN_NS (60 * TS_NS_PER_S)
/* Whoever has lost the highest epoch listens so long, or until all controllers have spoken, before
 * it follows one. */
#define AGENT_SETTLE_NS (10 * TS_NS_PER_S)
/* Errors that are told; more of them are "more". */
#define AGENT_ERRORS_MAX 16384U
/* Of a table's keys and values. */
#define AGENT_TABLE_MAX (512U * 1024U * 1024U)

struct agent_core;

/* What a start finds; the table is taken over. */
struct agent_stored {
    struct ts_epoch epoch; /* highest that was stored; when it is lost: at least this */
    bool epoch_lost;       /* the store was damaged */
    bool has_table;
    struct netctl_tree table;
    struct ts_epoch table_epoch; /* of its order */
    struct ts_seq gen;
};

struct agent_core_config {
    const char *node; /* copied, as all of it */
    struct ts_hash boot;
    unsigned slots;
    const char *address[AGENT_SLOTS_MAX]; /* ADDRESS:PORT of the controllers */
    uint64_t jitter;                      /* seed */
};

enum agent_event_kind {
    AGENT_E_UP,           /* slot: connected, the other side's certificate is good */
    AGENT_E_DOWN,         /* slot: by the other side, by the network, or not to be had */
    AGENT_E_MESSAGE,      /* slot, body */
    AGENT_E_TIME,         /* the deadline is here */
    AGENT_E_EPOCH_STORED, /* epoch; good: it is durable */
    AGENT_E_TABLE_STORED, /* good: it is durable */
    AGENT_E_DRIVEN,       /* err, results: of an AGENT_APPLY or AGENT_RECONCILE */
    AGENT_E_COUNTED,      /* rules, ports: of an AGENT_COUNT */
    AGENT_E_LOST,         /* something that the driver made has ended by itself */
    AGENT_E_INTERFACES, /* inventory: at the start, and when an interface came, went, was made anew
                         */
};

/* Everything is borrowed for the step. */
struct agent_event {
    enum agent_event_kind kind;
    struct ts_mono now;
    unsigned slot;
    struct ts_bytes body;
    struct ts_epoch epoch;
    bool good;
    enum ts_err err;
    const struct netctl_tree *results; /* key → why it is not realized; empty = it is */
    const struct south_inventory *inventory;
    const struct south_rule_count *rule;
    size_t rules;
    const struct south_port_count *port;
    size_t ports;
};

enum agent_effect_kind {
    AGENT_DIAL,        /* slot: UP or DOWN follows */
    AGENT_HANG_UP,     /* slot, text: why. No DOWN follows */
    AGENT_SEND,        /* slot, bytes */
    AGENT_STORE_EPOCH, /* epoch: EPOCH_STORED follows. One at a time, beside a table */
    AGENT_STORE_TABLE, /* was, is, epoch, gen: TABLE_STORED follows. `was` is what was stored last
                        */
    AGENT_RECONCILE,   /* is, delete_orphans, order: DRIVEN follows */
    AGENT_APPLY,       /* change, changes, order: DRIVEN follows */
    AGENT_COUNT,       /* COUNTED follows */
    AGENT_TELL,        /* text, slot, epoch, gen: for people */
};

struct agent_effect {
    enum agent_effect_kind kind;
    unsigned slot;
    const char *text; /* static */
    size_t at;        /* where its bytes begin in the effects' */
    size_t len;
    struct ts_epoch epoch;
    struct ts_seq gen;
    /* Borrowed until the result is told. */
    const struct netctl_tree *was;
    const struct netctl_tree *is;
    const struct agent_change *change;
    size_t changes;
    bool delete_orphans;
    struct ts_epoch order; /* whose order it is: 0 = the node's own table. agent_core_may_commit */
};

/* Filled by steps, emptied by the caller; zeroed before first use. */
struct agent_effects {
    struct agent_effect *effect; /* owned */
    size_t count;
    size_t room;
    uint8_t *bytes; /* owned */
    size_t len;
    size_t cap;
};

struct ts_bytes agent_effect_bytes(const struct agent_effects *all, const struct agent_effect *e);
void agent_effects_clear(struct agent_effects *e);
void agent_effects_free(struct agent_effects *e);

/* Never NULL. The first TIME event, due at once, begins. */
struct agent_core *agent_core_new(const struct agent_core_config *config,
                                  struct agent_stored *stored, struct ts_mono now);
/* Neither the driver nor the store may be at work. */
void agent_core_free(struct agent_core *c);

void agent_core_step(struct agent_core *c, const struct agent_event *e, struct agent_effects *out);
/* When a TIME event is due. */
struct ts_mono agent_core_deadline(const struct agent_core *c);

/* ---- the fence ---- */

struct ts_epoch agent_core_fence(const struct agent_core *c);

/* Asked right before each change of the kernel, with the fence as it is then. */
static inline bool agent_core_may_commit(struct ts_epoch order, struct ts_epoch fence)
{
    return order.v == 0 || !ts_epoch_lt(order, fence);
}

/* ---- queries ---- */

struct agent_core_state {
    bool follows;
    unsigned slot;
    struct ts_epoch epoch; /* the fence */
    struct ts_epoch stored;
    bool has_table;
    struct ts_seq gen;
    struct ts_hash digest;
    size_t items;
    bool applied; /* the driver does this table, by the order of who is followed */
    bool busy;    /* the driver or the store has a table */
    size_t errors;
    /* statistics */
    uint64_t refused; /* messages of former primaries */
    uint64_t syncs;
    uint64_t deltas;
    uint64_t wanted_syncs;
};

struct agent_core_state agent_core_state(const struct agent_core *c);
/* Why an item is not realized: key → text. Borrowed. */
const struct netctl_tree *agent_core_errors(const struct agent_core *c);

void agent_core_check_invariants(const struct agent_core *c);

#endif
