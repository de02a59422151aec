/* Random entries for sessions: a service with kv behind a table of sessions, in which payloads name
 * a session by its slot, since nobody can guess an id. */
#ifndef TESTS_SERVICE_SESSION_RANDOM_H
#define TESTS_SERVICE_SESSION_RANDOM_H

#include "base/prng.h"
#include "services/svc.h"

/* kv_with_sessions; in a payload for the table a session below 65536 stands for the one in that
 * slot, connection 0 for the present one, and the number is that many above the acknowledged one.
 */
extern const struct svc session_random_service;

#define SESSION_RANDOM_SLOTS 12

/* A command of session_random_service; its length, at most `cap`. */
size_t session_random_command(struct ts_prng *p, uint8_t *payload, size_t cap);

#endif
