#include "base/buf.h"

#include <string.h>

#include "base/assert.h"

enum ts_err ts_writer_status(const struct ts_writer *w)
{
    return w->failed ? TS_ERR_FULL : TS_OK;
}

enum ts_err ts_reader_status(const struct ts_reader *r)
{
    return r->failed ? TS_ERR_SHORT : TS_OK;
}

enum ts_err ts_reader_finish(const struct ts_reader *r)
{
    if (r->failed) {
        return TS_ERR_SHORT;
    }
    return r->pos == r->len ? TS_OK : TS_ERR_MALFORMED;
}

uint8_t *ts_put_space(struct ts_writer *w, size_t n)
{
    ts_assert(w->len <= w->cap);
    if (w->failed || w->cap - w->len < n) {
        w->failed = true;
        return NULL;
    }
    uint8_t *p = w->data + w->len;
    w->len += n;
    return p;
}

/* Integers are little-endian here and on every machine that is supported: a copy of their low
 * bytes, whose number is known where these are inlined. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian machines only");

static inline __attribute__((always_inline)) void put_le(struct ts_writer *w, uint64_t v, size_t n)
{
    uint8_t *p = ts_put_space(w, n);
    if (p != NULL) {
        memcpy(p, &v, n);
    }
}

void ts_put_u8(struct ts_writer *w, uint8_t v)
{
    put_le(w, v, 1);
}

void ts_put_u16(struct ts_writer *w, uint16_t v)
{
    put_le(w, v, 2);
}

void ts_put_u32(struct ts_writer *w, uint32_t v)
{
    put_le(w, v, 4);
}

void ts_put_u64(struct ts_writer *w, uint64_t v)
{
    put_le(w, v, 8);
}

void ts_put_bytes(struct ts_writer *w, const void *data, size_t n)
{
    uint8_t *p = ts_put_space(w, n);
    if (p != NULL && n > 0) {
        memcpy(p, data, n);
    }
}

void ts_put_hash(struct ts_writer *w, struct ts_hash h)
{
    ts_put_u64(w, h.lo);
    ts_put_u64(w, h.hi);
}

void ts_put_u32_at(struct ts_writer *w, size_t at, uint32_t v)
{
    if (w->failed) {
        return;
    }
    ts_assert(at <= w->len && w->len - at >= 4);
    memcpy(w->data + at, &v, 4);
}

struct ts_bytes ts_get_bytes(struct ts_reader *r, size_t n)
{
    ts_assert(r->pos <= r->len);
    if (r->failed || r->len - r->pos < n) {
        r->failed = true;
        return (struct ts_bytes){NULL, 0};
    }
    struct ts_bytes b = {r->data + r->pos, n};
    r->pos += n;
    return b;
}

static inline __attribute__((always_inline)) uint64_t get_le(struct ts_reader *r, size_t n)
{
    uint64_t v = 0;
    struct ts_bytes b = ts_get_bytes(r, n);
    if (b.data != NULL) {
        memcpy(&v, b.data, n);
    }
    return v;
}

uint8_t ts_get_u8(struct ts_reader *r)
{
    return (uint8_t)get_le(r, 1);
}

uint16_t ts_get_u16(struct ts_reader *r)
{
    return (uint16_t)get_le(r, 2);
}

uint32_t ts_get_u32(struct ts_reader *r)
{
    return (uint32_t)get_le(r, 4);
}

uint64_t ts_get_u64(struct ts_reader *r)
{
    return get_le(r, 8);
}

struct ts_hash ts_get_hash(struct ts_reader *r)
{
    struct ts_hash h;
    h.lo = ts_get_u64(r);
    h.hi = ts_get_u64(r);
    return h;
}

bool ts_get_bool(struct ts_reader *r)
{
    uint8_t v = ts_get_u8(r);
    if (v > 1) {
        r->failed = true;
    }
    return v == 1;
}

void ts_reader_fail(struct ts_reader *r)
{
    r->failed = true;
}
