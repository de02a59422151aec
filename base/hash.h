/* Checksums and hashes. crc32c guards bytes against the disk and the wire; the
 * 128-bit hash chains batches and digests state. Neither is a defence against a
 * forger: between NICs that is TLS's work. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"

/* CRC-32C (Castagnoli) of `n` bytes, standard init and final inversion.
 * Source: RFC 3720 appendix B.4 (test vectors); ISA-L does the work. */
uint32_t ts_crc32c(const void *data, size_t n);

/* XXH3-128 of `n` bytes. */
struct ts_hash ts_hash_bytes(const void *data, size_t n);

/* XXH3-64 under a seed: for hash tables whose keys come from strangers. */
uint64_t ts_hash_seeded(uint64_t seed, const void *data, size_t n);

/* The hash of `prev` followed by `n` bytes: one link of a chain. */
struct ts_hash ts_hash_chain(struct ts_hash prev, const void *data, size_t n);

#endif
