#include "tests/service/lock_random.h"

#include "base/assert.h"
#include "services/example/lock.h"

#define OWNERS 5
#define HOLD_MS_MAX 300

size_t lock_request(uint8_t lock, uint64_t owner, uint32_t ms, uint8_t *payload, size_t cap)
{
    struct ts_writer w = ts_writer_init(payload, cap);
    ts_put_u8(&w, lock);
    ts_put_u64(&w, owner);
    ts_put_u32(&w, ms);
    ts_assert(ts_writer_status(&w) == TS_OK && w.len == LOCK_REQUEST_BYTES);
    return w.len;
}

size_t lock_random_request(struct ts_prng *p, uint8_t *payload, size_t cap)
{
    uint8_t lock = (uint8_t)ts_prng_below(p, LOCK_COUNT + 2);
    uint64_t owner = ts_prng_below(p, OWNERS);
    uint32_t ms = ts_prng_below(p, 5) == 0 ? 0 : (uint32_t)ts_prng_below(p, HOLD_MS_MAX);
    size_t len = lock_request(lock, owner, ms, payload, cap);
    return ts_prng_below(p, 50) == 0 ? (size_t)ts_prng_below(p, len) : len;
}
