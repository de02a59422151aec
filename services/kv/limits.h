/* The limits of a kv state, from text. */
#ifndef SERVICES_KV_LIMITS_H
#define SERVICES_KV_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

/* No limit of a length is higher: every length fits into 32 bits. */
#define KV_LIMIT_HIGH (512ULL * 1024 * 1024)

struct kv_limits {
    uint64_t key_max;    /* bytes */
    uint64_t value_max;  /* bytes */
    uint64_t reply_max;  /* bytes */
    uint64_t memory_max; /* logical bytes */
    uint64_t hash_seed;
    uint64_t piece_bytes; /* about, of a walk's piece */
};

/* Reads `name=value` words (kv.h) over the defaults; NULL gives the defaults. False for an
 * unknown name, a malformed value or one out of range. */
bool kv_limits_parse(const char *text, struct kv_limits *out);

#endif
