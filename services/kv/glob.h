/* Patterns of names, as KEYS and SCAN take them: `*`, `?`, `[a-z]`, `[^x]`, `\` before a byte. */
#ifndef SERVICES_KV_GLOB_H
#define SERVICES_KV_GLOB_H

#include <stdbool.h>

#include "base/buf.h"

/* Some tens of milliseconds' worth of them, in which nobody else is answered. */
#define KV_STEPS_MAX (1U << 25)

/* Whether all of `text` matches. Bytes, not letters; takes at most pattern × text steps. */
bool kv_glob_match(struct ts_bytes pattern, struct ts_bytes text);
/* The same in at most *steps, which becomes what is left; at 0 the answer is not known. */
bool kv_glob_match_within(struct ts_bytes pattern, struct ts_bytes text, uint64_t *steps);

#endif
