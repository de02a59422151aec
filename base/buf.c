#include "base/buf.h"

#include <isa-l/mem_routines.h>

#include "base/assert.h"

bool ts_is_zero(const void *data, size_t len)
{
    /* ISA-L does not write through the pointer. */
    return len == 0 || isal_zero_detect((void *)(uintptr_t)data, len) == 0;
}

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
