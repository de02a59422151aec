/* The HTTPS front-end of netctl: the NSX Policy API (services/netctl/northbound.h).
 *
 * A change is ordered by the log, and answered when the output rule lets it be; a read waits for a
 * round that confirms this replica as the primary. What comes while this replica is not the primary
 * is answered with 503 and Retry-After: it was not done. */
#ifndef SERVICES_IO_NETCTL_FRONT_H
#define SERVICES_IO_NETCTL_FRONT_H

#include "services/io/front.h"

extern const struct front_ops netctl_front;

#endif
