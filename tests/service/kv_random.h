/* Random requests of all of kv's state commands over a few hundred keys: transactions, renames,
 * flushes, expiries, values of up to 60 KB, and now and then what no front-end sends. */
#ifndef TESTS_SERVICE_KV_RANDOM_H
#define TESTS_SERVICE_KV_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"

/* The longest payload that these write; `cap` is at least that. */
#define KV_RANDOM_MAX (256U * 1024U)

size_t kv_random_command(struct ts_prng *p, uint8_t *payload, size_t cap);
size_t kv_random_query(struct ts_prng *p, uint8_t *payload, size_t cap);

#endif
