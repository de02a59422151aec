/* Patterns of names, as KEYS and SCAN take them: `*`, `?`, `[a-z]`, `[^x]`, `\` before a byte. */
#ifndef SERVICES_KV_GLOB_H
#define SERVICES_KV_GLOB_H

#include <stdbool.h>

#include "base/buf.h"

/* Whether all of `text` matches. Bytes, not letters; takes at most pattern × text steps. */
bool kv_glob_match(struct ts_bytes pattern, struct ts_bytes text);

#endif
