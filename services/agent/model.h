/* A driver that keeps in memory what the kernel's driver would make of a table, with its rules of
 * what is realized: for simulations, and to compare. Every interface that a port names is there. */
#ifndef SERVICES_AGENT_MODEL_H
#define SERVICES_AGENT_MODEL_H

#include "services/agent/driver.h"
#include "services/agent/object.h"

/* Never NULL; agent_close it. */
struct agent_driver *agent_model_new(const struct agent_address *vtep);
/* What there is now: borrowed until the next call. */
const struct netctl_tree *agent_model_table(const struct agent_driver *d);
/* Links, entries, routes … and chains of rules, as keys with texts; the caller frees it. Equal
 * states have equal digests, whichever way they came about. */
struct netctl_tree agent_model_state(const struct agent_driver *d);

#endif
