/* Random requests of the example service: a few owners, short holds, now and then nonsense. */
#ifndef TESTS_SERVICE_LOCK_RANDOM_H
#define TESTS_SERVICE_LOCK_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"

/* For commands and for queries. */
size_t lock_random_request(struct ts_prng *p, uint8_t *payload, size_t cap);
/* The request of these fields, for tests. */
size_t lock_request(uint8_t lock, uint64_t owner, uint32_t ms, uint8_t *payload, size_t cap);

#endif
