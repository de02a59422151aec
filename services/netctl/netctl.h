/* netctl as a replicated service (services/svc.h): intent, behind the requests of request.h.
 * Limits: bytes-max=NUMBER (of all objects, their paths included), hash-seed=NUMBER. */
#ifndef SERVICES_NETCTL_NETCTL_H
#define SERVICES_NETCTL_NETCTL_H

#include "services/svc.h"

extern const struct svc netctl_service;

#endif
