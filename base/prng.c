#include "base/prng.h"

#include "base/assert.h"

static uint64_t splitmix64(uint64_t *x)
{
    *x += 0x9e3779b97f4a7c15ULL;
    uint64_t z = *x;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, unsigned k)
{
    return (x << k) | (x >> (64 - k));
}

struct ts_prng ts_prng_init(uint64_t seed)
{
    struct ts_prng p;
    for (int i = 0; i < 4; i++) {
        p.s[i] = splitmix64(&seed);
    }
    return p;
}

uint64_t ts_prng_next(struct ts_prng *p)
{
    uint64_t result = rotl(p->s[1] * 5, 7) * 9;
    uint64_t t = p->s[1] << 17;
    p->s[2] ^= p->s[0];
    p->s[3] ^= p->s[1];
    p->s[1] ^= p->s[2];
    p->s[0] ^= p->s[3];
    p->s[2] ^= t;
    p->s[3] = rotl(p->s[3], 45);
    return result;
}

uint64_t ts_prng_below(struct ts_prng *p, uint64_t bound)
{
    ts_assert(bound >= 1);
    /* Reject the last, incomplete stretch, so that every value is equally likely. */
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t v;
    do {
        v = ts_prng_next(p);
    } while (v >= limit);
    return v % bound;
}
