/* A guest: another service beside kv in each replica of the simulator, so that it goes through all
 * that kv goes through: takeovers, truncated tails, restarts, loads of walks.
 *
 * Each command of the log is made a random request of the guest's, by dice that are the entry's.
 * What it answers nobody sees; a hash of it stands in the results of all entries but commands,
 * which replicas compare (R5.1). */
#ifndef TESTS_SIM_SIM_GUEST_H
#define TESTS_SIM_SIM_GUEST_H

#include <stdbool.h>

#include "services/svc.h"

/* kv and a guest in one, behind a table of sessions. Its limits are "guest=NAME" and a blank before
 * those of kv. */
extern const struct svc sim_guest_service;

/* Whether there is such a guest. */
bool sim_guest_known(const char *name);
/* "NAME, NAME or NAME" */
const char *sim_guest_names(void);

#endif
