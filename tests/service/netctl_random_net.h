/* Random requests to netctl that make sense together: a network of a few of everything, which is
 * built, changed and taken apart. */
#ifndef TESTS_SERVICE_NETCTL_RANDOM_NET_H
#define TESTS_SERVICE_NETCTL_RANDOM_NET_H

#include "base/prng.h"
#include "services/netctl/request.h"

#define NETCTL_RANDOM_BODY 4096

/* One of them; `body` is where r->body points to then. */
void netctl_random_net(struct ts_prng *p, struct netctl_request *r, char body[NETCTL_RANDOM_BODY]);

#endif
