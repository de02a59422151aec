/* Which service addresses this NIC has (R4.8): that of a group whose replica here serves and was
 * confirmed within a failure-timeout. Sans-I/O; service_address_io.c performs what it says.
 *
 *   serves, confirmed                                  → TAKE, and then KEEP again and again
 *   no longer, or not confirmed for a failure-timeout  → GIVE
 *
 * A process that was stopped confirms nothing, and its kernel would go on accepting connections:
 * nicd takes the address away from it. One that ended leaves it here until then, or until its
 * successor has heard of another epoch, and announces it no more: clients that knock meanwhile are
 * refused at once by the kernel, and try again; where nobody has the address they would wait for
 * TCP's next try. */
#ifndef DAEMON_SERVICE_ADDRESS_H
#define DAEMON_SERVICE_ADDRESS_H

#include "cluster-cfg/cluster.h"
#include "cluster-cfg/report.h"

/* An address that is kept is announced again so often: a switch, or a client, may have missed it.
 * At first half a failure-timeout after it came, and each time twice as late: the former owner may
 * have answered for it as long as that. */
#define SERVICE_ADDRESS_KEEP_NS (1 * TS_NS_PER_S)

enum service_address_act {
    SERVICE_ADDRESS_NOTHING,
    SERVICE_ADDRESS_TAKE, /* it becomes this NIC's, and all are told */
    SERVICE_ADDRESS_KEEP, /* it is this NIC's, and all are told again */
    SERVICE_ADDRESS_GIVE, /* it is no more */
};

struct service_address {
    struct ts_group_id group;
    bool held;
    struct ts_epoch epoch;    /* newest that was heard of */
    struct ts_mono confirmed; /* newest time at which the replica was known to serve */
    struct ts_mono kept;      /* while held: of the newest TAKE or KEEP */
    uint64_t pause;           /* while held: from then to the next KEEP */
    struct ts_mono ended;     /* a replica ended then: what it had said may come in still */
};

struct service_addresses {
    uint64_t timeout;
    uint8_t count;
    struct service_address a[TS_GROUPS_MAX];
};

/* Those of the groups that `self` is a NIC of. */
void service_addresses_init(struct service_addresses *s, const struct cfg_cluster *cluster,
                            struct ts_nic_id self);
/* Index of the group's; -1: it has none here. */
int service_addresses_find(const struct service_addresses *s, struct ts_group_id group);
/* The group's replica said so. What is older than what it said before changes nothing. */
enum service_address_act service_address_said(struct service_addresses *s, int i,
                                              const struct report_serves *said, struct ts_mono now);
/* The group's replica answers nobody any more: what it had said before counts as before, and what
 * comes of it now does not. */
void service_address_ended(struct service_addresses *s, int i, struct ts_mono now);
/* nicd ends: no address without it. */
enum service_address_act service_address_close(struct service_addresses *s, int i);
enum service_address_act service_address_tick(struct service_addresses *s, int i,
                                              struct ts_mono now);
/* When the next tick is due; TS_MONO_NEVER: none is held. */
struct ts_mono service_addresses_deadline(const struct service_addresses *s);

#endif
