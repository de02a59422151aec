/* kv behind a table of sessions (services/session.h): what a group's replicas run. */
#ifndef SERVICES_KV_SESSIONS_H
#define SERVICES_KV_SESSIONS_H

#include "services/svc.h"

/* Named "kv", too. Its limits are kv's and the table's. */
extern const struct svc kv_with_sessions;

#endif
