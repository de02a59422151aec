#include "base/io/slot_format.h"

#include "base/hash.h"

#define SLOT_MAGIC 0x31544f4c53535754ULL /* "TWSSLOT1" */
#define CRC_AT 12U
#define CRC_FROM 16U
#define LENGTH_AT 36U

size_t ts_slot_copy_size(size_t payload_max)
{
    size_t size = TS_SLOT_HEADER + payload_max;
    return (size + TS_SLOT_BLOCK - 1) / TS_SLOT_BLOCK * TS_SLOT_BLOCK;
}

uint64_t ts_slot_copy_offset(size_t copy_size, unsigned slot, unsigned copy)
{
    return (uint64_t)copy_size * (copy * TS_SLOT_SLOTS + slot);
}

enum ts_err ts_slot_encode(const struct ts_slot_copy *c, struct ts_writer *w)
{
    size_t start = w->len;
    ts_put_u64(w, SLOT_MAGIC);
    ts_put_u32(w, TS_SLOT_VERSION);
    ts_put_u32(w, 0);
    ts_put_u64(w, c->incarnation.v);
    ts_put_u64(w, c->generation);
    ts_put_u32(w, c->copy_size);
    ts_put_u32(w, (uint32_t)c->payload.len);
    ts_put_bytes(w, c->payload.data, c->payload.len);
    if (ts_writer_status(w) != TS_OK) {
        return TS_ERR_FULL;
    }
    uint32_t crc = ts_crc32c(w->data + start + CRC_FROM, w->len - start - CRC_FROM);
    ts_put_u32_at(w, start + CRC_AT, crc);
    return TS_OK;
}

enum ts_err ts_slot_decode(struct ts_slot_copy *c, const void *data, size_t len)
{
    struct ts_reader r = ts_reader_init(data, len);
    uint64_t magic = ts_get_u64(&r);
    uint32_t version = ts_get_u32(&r);
    uint32_t crc = ts_get_u32(&r);
    c->incarnation.v = ts_get_u64(&r);
    c->generation = ts_get_u64(&r);
    c->copy_size = ts_get_u32(&r);
    uint32_t payload_len = ts_get_u32(&r);
    c->payload = ts_get_bytes(&r, payload_len);
    if (magic != SLOT_MAGIC) {
        return TS_ERR_MALFORMED;
    }
    if (version != TS_SLOT_VERSION) {
        return TS_ERR_VERSION;
    }
    if (ts_reader_status(&r) != TS_OK) {
        return TS_ERR_MALFORMED;
    }
    if (ts_crc32c(r.data + CRC_FROM, r.pos - CRC_FROM) != crc) {
        return TS_ERR_CORRUPT;
    }
    if (c->generation == 0 || c->copy_size != len) {
        return TS_ERR_MALFORMED;
    }
    return TS_OK;
}

size_t ts_slot_extent(const void *block, size_t copy_size)
{
    struct ts_reader r = ts_reader_init((const uint8_t *)block + LENGTH_AT, sizeof(uint32_t));
    size_t len = TS_SLOT_HEADER + (size_t)ts_get_u32(&r);
    return len <= copy_size ? len : TS_SLOT_HEADER;
}
