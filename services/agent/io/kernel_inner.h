/* Inside the kernel's driver: kernel.c has its calls and what rtnetlink does, kernel_rules.c the
 * nft rules. */
#ifndef SERVICES_AGENT_IO_KERNEL_INNER_H
#define SERVICES_AGENT_IO_KERNEL_INNER_H

#include "services/agent/io/kernel.h"
#include "services/agent/io/kernel_dhcp.h"
#include "services/agent/io/nft.h"

struct agent_kernel {
    struct agent_driver base;
    struct agent_kernel_options options;
    struct ts_netlink route;
    struct agent_nft nft;
    struct netctl_tree table;  /* what it was told to make true */
    struct netctl_tree record; /* the nft chains and sets that there are, with their hashes */
    struct netctl_tree starts; /* the orders that blocks of rules begin with */
    bool record_holds;         /* else it is read from the kernel first */
    uint32_t generation;
    struct agent_kernel_state state;
    struct agent_dhcp_servers dhcp;
    struct agent_item item;
};

/* One call. */
struct agent_call {
    struct agent_kernel *k;
    const struct agent_caller *caller;
    struct netctl_tree failed; /* keys of items with an error */
    struct ts_why why;
    bool refused;   /* may_commit said no */
    bool unguarded; /* the rules are not as they shall be: no port comes to a bridge */
};

/* `arg` is the call: the item is not realized. The first error of an item stays. */
void agent_kernel_fail_item(void *arg, const char *key, const char *error);
void agent_kernel_say(const struct agent_call *c, const char *line);
/* Asked right before each change; once it is refused it stays so. */
bool agent_kernel_may_commit(struct agent_call *c);
/* With the table that it is to make true. */
struct agent_place agent_kernel_place(const struct agent_kernel *k);

/* ---- the rules (kernel_rules.c) ---- */

/* Makes all rules true; errors of the kernel's are told for the items `concerned`. */
enum ts_err agent_kernel_rules_all(struct agent_call *c, const struct netctl_tree *concerned,
                                   bool delete_orphans) TS_MUST_USE;
/* The same for what differs from the table `before`: the keys `changed`. */
enum ts_err agent_kernel_rules_changes(struct agent_call *c, const struct netctl_tree *before,
                                       const struct netctl_tree *changed) TS_MUST_USE;

#endif
