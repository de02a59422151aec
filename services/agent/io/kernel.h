/* The kernel's driver: rtnetlink for links, addresses, entries, routes; nft for rules, one
 * atomic batch a call; dnsmasq for DHCP. Linux only. Takes CAP_NET_ADMIN, in the network namespace
 * where it is opened.
 *
 * The order: bridges first, then the nft rules, then ports are put on bridges, so
 * that no port has a moment without its guard and its rules; what goes, goes last (ports before
 * their rules). When the kernel refuses the rules, the former ones stay and no port comes.
 *
 * Interfaces are looked for by their alias in each call. Whoever hears that one came, went or was
 * made anew calls agent_reconcile: an agent_apply of the same item changes nothing. */
#ifndef SERVICES_AGENT_IO_KERNEL_H
#define SERVICES_AGENT_IO_KERNEL_H

#include "base/io/files.h"
#include "services/agent/driver.h"
#include "services/agent/object.h"

struct agent_kernel_options {
    struct agent_address vtep; /* this node's end of the tunnels */
    uint16_t vxlan_port;       /* UDP; 0: 4789 */
    const char *dhcp;          /* copied: a directory for the servers of DHCP; NULL: none serves */
    bool detects;              /* what DETECT matches is copied, */
    uint16_t detect_group;     /* to this group of NFLOG */
    bool dry_run;              /* reads, says what it would do, changes nothing */
};

/* TS_ERR_SYSTEM, TS_ERR_NOMEM. agent_close it. */
enum ts_err agent_kernel_open(struct agent_driver **out, const struct agent_kernel_options *options,
                              struct ts_why *why) TS_MUST_USE;

#endif
