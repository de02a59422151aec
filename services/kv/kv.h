/* kv: the reference service, a key-value store that Redis clients speak to.
 *
 * A pure deterministic state machine behind the service contract (svc.h). The
 * bytes of a COMMAND entry are a kv command (payload.h), the answer is the final
 * RESP reply. Time comes from the entry alone: a key is gone when its expiry is
 * at or before the entry's time, whether or not a TICK has swept it already.
 *
 * Nothing that a replica answers depends on its hash table's seed or layout: what
 * has an order (checkpoints, sweeps) follows the order in which keys were created. */
#ifndef SERVICES_KV_KV_H
#define SERVICES_KV_KV_H

#include <stdbool.h>

#include "services/svc.h"

/* The service's table of functions.
 *
 * `limits` of create() is text of `name=value` words separated by blanks, every
 * one optional, all but hash-seed to be equal on every replica:
 *   key-max, value-max        bytes of one key, one value
 *   reply-max                 bytes of one reply, at least 64 more than value-max
 *   memory-max                logical bytes of all keys and values
 *   piece-bytes               of a walk's piece, at most SVC_PIECE_BYTES: less is for tests
 *   hash-seed                 any 64-bit number: hides the table's layout from clients
 * The sink given to apply() must have room for reply-max bytes, on every replica.
 * A word it does not know, or a value out of range, makes create() give NULL. */
extern const struct svc kv_service;

#define KV_KEY_MAX_DEFAULT (64U * 1024U)
#define KV_VALUE_MAX_DEFAULT (512U * 1024U)
#define KV_REPLY_MAX_DEFAULT (4U * 1024U * 1024U)
#define KV_MEMORY_MAX_DEFAULT (1024ULL * 1024U * 1024U)

/* Logical bytes a key costs besides its name and value. */
#define KV_KEY_OVERHEAD 96U

/* What CHECKPOINT writes: the slice's digest (16 bytes), keys and leases in all, logical bytes,
 * those with an expiry, those in the slice, then the applied time: all little-endian. */
#define KV_CHECKPOINT_BYTES (16 + 5 * 8)

/* Figures for INFO; hints, valid for the applied state. */
struct kv_stats {
    uint64_t keys;
    uint64_t expires; /* keys that have an expiry */
    uint64_t leases;  /* that are held, or were until just now */
    uint64_t memory;  /* logical bytes in use */
    uint64_t memory_max;
    uint64_t value_max; /* bytes of the longest value that is taken */
    uint64_t expired;   /* keys that expired so far */
    uint64_t hits;      /* applied look-ups that found a key (reads by round do not count) */
    uint64_t misses;
    struct ts_ltime time; /* logical time of the last applied entry */
    uint64_t kept;        /* logical bytes that only a walk under way still needs */
};

void kv_stats(const void *state, struct kv_stats *out);

/* For drills and tests of divergence detection only: flips the lowest bit of the first byte
 * of a value, of the `n`-th key in creation order (modulo their number). False when there
 * is no key with a non-empty value. */
bool kv_flip_bit(void *state, uint64_t n);

#endif
