#include "base/hash.h"

#include <isa-l/crc.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/assert.h"

uint32_t ts_crc32c(const void *data, size_t n)
{
    ts_assert(n <= INT32_MAX);
    /* ISA-L leaves both inversions to its caller; it does not write through the pointer. */
    return ~crc32_iscsi((unsigned char *)(uintptr_t)data, (int)n, 0xffffffffU);
}

struct ts_hash ts_hash_bytes(const void *data, size_t n)
{
    XXH128_hash_t h = XXH3_128bits(data, n);
    return (struct ts_hash){.lo = h.low64, .hi = h.high64};
}

uint64_t ts_hash_seeded(uint64_t seed, const void *data, size_t n)
{
    return XXH3_64bits_withSeed(data, n, seed);
}

struct ts_hash ts_hash_chain(struct ts_hash prev, const void *data, size_t n)
{
    /* Hash the data with the low half as seed, then fold in the high half:
     * one pass over the bytes, and every bit of `prev` counts. */
    XXH128_hash_t h = XXH3_128bits_withSeed(data, n, prev.lo);
    uint64_t parts[4] = {prev.lo, prev.hi, h.low64, h.high64};
    return ts_hash_bytes(parts, sizeof(parts));
}
