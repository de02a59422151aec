/* The bounded buffer: the only way to and from wire and disk bytes.
 *
 * A writer or reader carries a sticky failure: after the first operation that
 * does not fit, all further ones do nothing (a getter gives 0), and one check at
 * the end tells. So a codec is linear, encode beside decode, without a branch a
 * field. Integers are little-endian unless the name says `be`. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/ids.h"

/* Borrowed bytes. */
struct ts_bytes {
    const uint8_t *data;
    size_t len;
};

/* Whether these are all zeros; at the speed of memory, for what was prewritten. */
bool ts_is_zero(const void *data, size_t len);

struct ts_writer {
    uint8_t *data; /* borrowed */
    size_t cap;
    size_t len; /* bytes written so far, <= cap */
    bool failed;
};

struct ts_reader {
    const uint8_t *data; /* borrowed */
    size_t len;
    size_t pos; /* bytes read so far, <= len */
    bool failed;
};

static inline struct ts_writer ts_writer_init(void *data, size_t cap)
{
    return (struct ts_writer){.data = data, .cap = cap};
}

static inline struct ts_reader ts_reader_init(const void *data, size_t len)
{
    return (struct ts_reader){.data = data, .len = len};
}

/* TS_OK, or TS_ERR_FULL after a write that did not fit. */
enum ts_err ts_writer_status(const struct ts_writer *w) TS_MUST_USE;
/* TS_OK, or TS_ERR_SHORT after a read past the end. */
enum ts_err ts_reader_status(const struct ts_reader *r) TS_MUST_USE;
/* TS_OK when all was read exactly; TS_ERR_SHORT past the end; TS_ERR_MALFORMED with bytes left. */
enum ts_err ts_reader_finish(const struct ts_reader *r) TS_MUST_USE;

/* `n` bytes to be filled by the caller, or NULL when they do not fit (then failed is set). */
static inline uint8_t *ts_put_space(struct ts_writer *w, size_t n)
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

/* The `n` low bytes of `v`, 8 at most; codecs say the width by name. */
static inline void ts_put_le(struct ts_writer *w, uint64_t v, size_t n)
{
    ts_assert(w->len <= w->cap && n <= sizeof(v));
    if (w->failed || w->cap - w->len < n) {
        w->failed = true;
        return;
    }
    memcpy(w->data + w->len, &v, n);
    w->len += n;
}

static inline void ts_put_u8(struct ts_writer *w, uint8_t v)
{
    ts_put_le(w, v, 1);
}

static inline void ts_put_u16(struct ts_writer *w, uint16_t v)
{
    ts_put_le(w, v, 2);
}

static inline void ts_put_u32(struct ts_writer *w, uint32_t v)
{
    ts_put_le(w, v, 4);
}

static inline void ts_put_u64(struct ts_writer *w, uint64_t v)
{
    ts_put_le(w, v, 8);
}

void ts_put_bytes(struct ts_writer *w, const void *data, size_t n);
void ts_put_hash(struct ts_writer *w, struct ts_hash h);
/* Overwrites 4 bytes at `at`, which must have been written before. */
void ts_put_u32_at(struct ts_writer *w, size_t at, uint32_t v);

/* The next `n` bytes, borrowed from the reader's data; {NULL, 0} when they are not there. */
static inline struct ts_bytes ts_get_bytes(struct ts_reader *r, size_t n)
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

/* Integers are little-endian here and on every machine that is supported: a copy of their low
 * bytes, whose number is known where this is inlined. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian machines only");

static inline uint64_t ts_get_le(struct ts_reader *r, size_t n)
{
    uint64_t v = 0;
    struct ts_bytes b = ts_get_bytes(r, n);
    if (b.data != NULL) {
        memcpy(&v, b.data, n);
    }
    return v;
}

static inline uint8_t ts_get_u8(struct ts_reader *r)
{
    return (uint8_t)ts_get_le(r, 1);
}

static inline uint16_t ts_get_u16(struct ts_reader *r)
{
    return (uint16_t)ts_get_le(r, 2);
}

static inline uint32_t ts_get_u32(struct ts_reader *r)
{
    return (uint32_t)ts_get_le(r, 4);
}

static inline uint64_t ts_get_u64(struct ts_reader *r)
{
    return ts_get_le(r, 8);
}

struct ts_hash ts_get_hash(struct ts_reader *r);
/* 0 or 1; any other byte fails the reader. */
bool ts_get_bool(struct ts_reader *r);
/* Marks the reader failed: for a field whose value is out of its range. */
void ts_reader_fail(struct ts_reader *r);
static inline size_t ts_reader_left(const struct ts_reader *r)
{
    return r->len - r->pos;
}

#endif
