/* What makes a node's table true (docs/NETCTL.md): the kernel's driver, or a model of it. A driver
 * keeps the table that it was given last; it is told of changes, or of a whole table.
 *
 * Each call tells of every item that it was to realize or to take away whether that is so. An item
 * that is wrong, or that the kernel does not take, does not keep the others from being realized. */
#ifndef SERVICES_AGENT_DRIVER_H
#define SERVICES_AGENT_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "services/netctl/tree.h"

struct agent_change {
    const char *key;
    struct ts_bytes was; /* data NULL: it was not there */
    struct ts_bytes is;  /* data NULL: it goes */
};

/* What the caller hears and decides. */
struct agent_caller {
    /* Of one item: error NULL = realized. Perhaps more than once; an error stays one. */
    void (*result)(void *arg, const char *key, const char *error);
    /* Asked right before each change of the kernel: false = nothing is changed any more, because
     * whoever ordered it is in office no longer. */
    bool (*may_commit)(void *arg);
    /* What is done, or would be: a line each; NULL: not wanted. */
    void (*says)(void *arg, const char *line);
    void *arg;
};

struct agent_rule_count {
    uint32_t id; /* of the firewall's or a translation's rule */
    bool nat;
    uint64_t packets;
    uint64_t bytes;
};

struct agent_port_count {
    uint32_t number;
    /* As the workload sees it. */
    uint64_t sent_packets;
    uint64_t sent_bytes;
    uint64_t received_packets;
    uint64_t received_bytes;
    uint64_t guarded; /* packets that the guard dropped */
};

struct agent_counts {
    void (*rule)(void *arg, const struct agent_rule_count *count);
    void (*port)(void *arg, const struct agent_port_count *count);
    void *arg;
};

struct agent_driver {
    const struct agent_driver_type *type;
};

struct agent_driver_type {
    const char *name;
    enum ts_err (*apply)(struct agent_driver *d, const struct agent_change *changes, size_t count,
                         const struct agent_caller *caller);
    enum ts_err (*reconcile)(struct agent_driver *d, const struct netctl_tree *table,
                             bool delete_orphans, const struct agent_caller *caller);
    bool (*lost)(struct agent_driver *d);
    enum ts_err (*statistics)(struct agent_driver *d, const struct agent_counts *counts);
    void (*close)(struct agent_driver *d);
};

/* Makes the changes true. Whatever goes is taken away after what comes is there. The first call
 * must have been a reconcile. TS_OK: each key has its result. TS_ERR_REFUSED: may_commit said no;
 * what has not been told is not done. Others: the kernel cannot be talked to. */
static inline enum ts_err agent_apply(struct agent_driver *d, const struct agent_change *changes,
                                      size_t count, const struct agent_caller *caller)
{
    return d->type->apply(d, changes, count, caller);
}

/* (After anything but TS_OK, and to try again what was not realized: agent_reconcile.)
 *
 * Compares what there is with the whole table, and makes the table true: also what somebody else
 * changed. Without delete_orphans nothing that is ours and not in the table is taken away (but
 * rules of the firewall, which are one list and are right as a whole only). Errors as agent_apply.
 */
static inline enum ts_err agent_reconcile(struct agent_driver *d, const struct netctl_tree *table,
                                          bool delete_orphans, const struct agent_caller *caller)
{
    return d->type->reconcile(d, table, delete_orphans, caller);
}

/* Whether something that the driver made has ended by itself, told once: agent_reconcile makes it
 * true again. May be called while another call is at work on another thread. */
static inline bool agent_lost(struct agent_driver *d)
{
    return d->type->lost(d);
}

static inline enum ts_err agent_statistics(struct agent_driver *d,
                                           const struct agent_counts *counts)
{
    return d->type->statistics(d, counts);
}

static inline void agent_close(struct agent_driver *d)
{
    if (d != NULL) {
        d->type->close(d);
    }
}

#endif
