#include "services/kv/piece.h"

#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "services/kv/lease.h"
#include "services/kv/limits.h"

/* ---- writing ---- */

static void put(struct svc_out *out, const void *data, size_t n)
{
    enum ts_err err = svc_out_put(out, data, n);
    ts_assert(err == TS_OK); /* the walk's caller gives a sink with room for a piece */
}

void kv_piece_put_start(struct svc_out *out, uint32_t number)
{
    uint8_t data[KV_PIECE_START];
    struct ts_writer w = ts_writer_init(data, sizeof(data));
    ts_put_u8(&w, KV_PIECE_FORMAT);
    ts_put_u8(&w, 0);
    ts_put_u32(&w, number);
    ts_assert(ts_writer_status(&w) == TS_OK);
    put(out, data, w.len);
}

void kv_piece_mark_last(struct svc_out *out, size_t start)
{
    ts_assert(out->len - start >= KV_PIECE_START);
    out->data[start + 1] |= KV_PIECE_LAST;
}

/* The slots that are looked at together: in most stores few keys ever came or went. */
#define GONE_RUN 64U

/* The first slot from `i` on that tells something; KV_GONE_SLOTS: there is none. */
static uint32_t next_gone(const struct kv_head *head, uint32_t i)
{
    while (i < KV_GONE_SLOTS && head->gone[i] == 0) {
        bool run = i % GONE_RUN == 0 && ts_is_zero(&head->gone[i], GONE_RUN * sizeof(uint64_t));
        i += run ? GONE_RUN : 1;
    }
    return i;
}

void kv_piece_put_head(struct svc_out *out, const struct kv_head *head)
{
    uint8_t data[KV_PIECE_HEAD];
    struct ts_writer w = ts_writer_init(data, sizeof(data));
    uint32_t slots = 0;
    for (uint32_t i = next_gone(head, 0); i < KV_GONE_SLOTS; i = next_gone(head, i + 1)) {
        slots++;
    }
    ts_put_u64(&w, head->version);
    ts_put_u64(&w, head->time.ns);
    ts_put_u64(&w, head->expired);
    ts_put_u64(&w, head->hits);
    ts_put_u64(&w, head->misses);
    ts_put_u64(&w, head->next_serial);
    ts_put_u64(&w, head->cursor);
    ts_put_u64(&w, head->keys);
    ts_put_u64(&w, head->memory);
    ts_put_u64(&w, head->expiries);
    ts_put_u32(&w, slots);
    ts_assert(ts_writer_status(&w) == TS_OK && w.len == sizeof(data));
    put(out, data, w.len);
    for (uint32_t i = next_gone(head, 0); i < KV_GONE_SLOTS; i = next_gone(head, i + 1)) {
        uint8_t slot[KV_PIECE_SLOT];
        struct ts_writer ws = ts_writer_init(slot, sizeof(slot));
        ts_put_u32(&ws, i);
        ts_put_u64(&ws, head->gone[i]);
        ts_assert(ts_writer_status(&ws) == TS_OK);
        put(out, slot, ws.len);
    }
}

void kv_piece_put_entry(struct svc_out *out, const struct kv_entry *e)
{
    uint8_t data[KV_PIECE_ENTRY];
    struct ts_writer w = ts_writer_init(data, sizeof(data));
    ts_put_u64(&w, e->serial);
    ts_put_u64(&w, e->expire_ms);
    ts_put_u64(&w, e->version);
    ts_put_u8(&w, e->space);
    ts_put_u32(&w, e->key_len);
    ts_put_u32(&w, e->value_len);
    ts_assert(ts_writer_status(&w) == TS_OK && w.len == sizeof(data));
    put(out, data, w.len);
    put(out, e->key, e->key_len);
    put(out, e->value, e->value_len);
}

size_t kv_piece_entry_size(const struct kv_entry *e)
{
    return KV_PIECE_ENTRY + (size_t)e->key_len + e->value_len;
}

/* ---- reading ---- */

enum ts_err kv_piece_get_start(struct ts_reader *r, struct kv_piece_start *out)
{
    uint8_t format = ts_get_u8(r);
    uint8_t flags = ts_get_u8(r);
    out->number = ts_get_u32(r);
    out->last = flags == KV_PIECE_LAST;
    if (ts_reader_status(r) == TS_OK && format != KV_PIECE_FORMAT) {
        return TS_ERR_VERSION;
    }
    return ts_reader_status(r) == TS_OK && (flags & ~KV_PIECE_LAST) == 0 ? TS_OK : TS_ERR_MALFORMED;
}

/* The slots ascend, and nothing went later than the last applied entry. */
static void get_slots(struct ts_reader *r, struct kv_head *out)
{
    uint32_t slots = ts_get_u32(r);
    uint32_t next = 0;
    for (uint32_t i = 0; i < slots && ts_reader_status(r) == TS_OK; i++) {
        uint32_t slot = ts_get_u32(r);
        uint64_t version = ts_get_u64(r);
        if (slot < next || slot >= KV_GONE_SLOTS || version == 0 || version > out->version) {
            ts_reader_fail(r);
            return;
        }
        out->gone[slot] = version;
        next = slot + 1;
    }
}

enum ts_err kv_piece_get_head(struct ts_reader *r, struct kv_head *out)
{
    *out = (struct kv_head){0};
    out->version = ts_get_u64(r);
    out->time.ns = ts_get_u64(r);
    out->expired = ts_get_u64(r);
    out->hits = ts_get_u64(r);
    out->misses = ts_get_u64(r);
    out->next_serial = ts_get_u64(r);
    out->cursor = ts_get_u64(r);
    out->keys = ts_get_u64(r);
    out->memory = ts_get_u64(r);
    out->expiries = ts_get_u64(r);
    get_slots(r, out);
    bool ok = ts_reader_status(r) == TS_OK && out->next_serial > 0 &&
              out->cursor < out->next_serial && out->keys < out->next_serial &&
              out->expiries <= out->keys;
    return ok ? TS_OK : TS_ERR_MALFORMED;
}

enum ts_err kv_piece_get_entry(struct ts_reader *r, struct kv_piece_entry *out)
{
    out->serial = ts_get_u64(r);
    out->expire_ms = ts_get_u64(r);
    out->version = ts_get_u64(r);
    uint8_t space = ts_get_u8(r);
    uint32_t key_len = ts_get_u32(r);
    uint32_t value_len = ts_get_u32(r);
    out->key = ts_get_bytes(r, key_len);
    out->value = ts_get_bytes(r, value_len);
    bool ok = ts_reader_status(r) == TS_OK && key_len <= KV_LIMIT_HIGH &&
              value_len <= KV_LIMIT_HIGH && out->expire_ms <= INT64_MAX && space < KV_SPACES;
    out->space = ok ? (enum kv_space)space : KV_SPACE_KEYS;
    if (out->space == KV_SPACE_LEASES) {
        ok = value_len >= KV_LEASE_TOKEN && out->expire_ms != KV_NO_EXPIRY;
    }
    return ok ? TS_OK : TS_ERR_MALFORMED;
}
