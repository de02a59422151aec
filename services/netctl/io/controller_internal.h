/* What controller.c (tables, inventories) and realization.c share. Nobody else includes it. */
#ifndef SERVICES_NETCTL_IO_CONTROLLER_INTERNAL_H
#define SERVICES_NETCTL_IO_CONTROLLER_INTERNAL_H

#include "services/netctl/compile.h"
#include "services/netctl/io/controller.h"

struct controller {
    struct controller_config config;
    struct south_server *server;
    struct netctl_compiler *compiler;
    bool serves;
    bool compiles;              /* a compile is under way */
    struct ts_seq compiled;     /* up to which it goes, or the last one went; 0 = there was none */
    struct ts_epoch epoch;      /* of its office */
    struct netctl_tree objects; /* of that state */
    struct ts_hash inventory;   /* digest of that state's */
    struct netctl_tree changed; /* path → 8 bytes: the seq with which it was last seen to change */
    struct ts_seq first;        /* what is not in `changed` did not change since */
    struct netctl_tree parting; /* objects in which something was deleted, before the compile */
    struct netctl_tree leaving; /* node, object → 8 bytes: the seq of such a deletion (leaving.c) */
    struct netctl_tree told;    /* node → JSON: what it said last, to this primary */
    struct netctl_tree unsettled; /* those of `told` that the state may not have */
    struct netctl_tree ordered;   /* those under way to it */
    struct netctl_tree refused;   /* those that this state does not take */
};

/* ---- leaving.c ---- */

/* The object of this path is no longer there; the compile of this state comes next … */
void leaving_deleted(struct controller *c, const char *path);
/* … or has come. */
void leaving_compiled(struct controller *c);
/* The node has made the table of this generation true. */
void leaving_acked(struct controller *c, const char *node, struct ts_seq gen);
/* Whether the node may still have what was deleted in this object, or in those in it. */
bool leaving_is_on(const struct controller *c, const char *node, const char *path);
/* The next node that may have anything of that kind; `node`: "" = the first one. False: none is
 * left. */
bool leaving_next(const struct controller *c, char node[SOUTH_NODE_MAX + 1]);

#endif
