/* Random requests to netctl: a few objects of each kind, in and out of order, some of them wrong.
 */
#ifndef TESTS_SERVICE_NETCTL_RANDOM_H
#define TESTS_SERVICE_NETCTL_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"

/* Each gives the length, at most `cap`. */
size_t netctl_random_request(struct ts_prng *p, uint8_t *payload, size_t cap);
size_t netctl_random_query(struct ts_prng *p, uint8_t *payload, size_t cap);

#endif
