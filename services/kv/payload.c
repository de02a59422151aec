#include "services/kv/payload.h"

static size_t length_size(size_t n)
{
    size_t size = 1;
    while (n >= 0x80) {
        n >>= 7;
        size++;
    }
    return size;
}

size_t kv_payload_size(const struct ts_bytes *args, size_t argc)
{
    size_t size = KV_PAYLOAD_HEAD;
    for (size_t i = 1; i < argc; i++) {
        size += kv_payload_word_size(args[i]);
    }
    return size;
}

static void put_length(struct ts_writer *w, size_t n)
{
    while (n >= 0x80) {
        ts_put_u8(w, (uint8_t)(n | 0x80));
        n >>= 7;
    }
    ts_put_u8(w, (uint8_t)n);
}

size_t kv_payload_word_size(struct ts_bytes word)
{
    return length_size(word.len) + word.len;
}

void kv_payload_put_word(struct ts_writer *w, struct ts_bytes word)
{
    put_length(w, word.len);
    ts_put_bytes(w, word.data, word.len);
}

void kv_payload_encode(struct ts_writer *w, enum resp_version version, uint8_t command,
                       const struct ts_bytes *args, size_t argc)
{
    ts_put_u8(w, KV_PAYLOAD_FORMAT);
    ts_put_u8(w, (uint8_t)version);
    ts_put_u8(w, command);
    for (size_t i = 1; i < argc; i++) {
        kv_payload_put_word(w, args[i]);
    }
}

/* A length of at most 32 bits in its shortest form: one spelling only. */
static uint32_t get_length(struct ts_reader *r)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        uint8_t b = ts_get_u8(r);
        n |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            bool longer = b == 0 && shift > 0;
            if (longer || n > UINT32_MAX) {
                break;
            }
            return (uint32_t)n;
        }
    }
    ts_reader_fail(r);
    return 0;
}

struct ts_bytes kv_payload_get_word(struct ts_reader *r)
{
    return ts_get_bytes(r, get_length(r));
}

enum ts_err kv_payload_decode(struct kv_payload *p, struct ts_bytes payload)
{
    *p = (struct kv_payload){.r = ts_reader_init(payload.data, payload.len)};
    if (ts_get_u8(&p->r) != KV_PAYLOAD_FORMAT) {
        return payload.len == 0 ? TS_ERR_SHORT : TS_ERR_VERSION;
    }
    uint8_t version = ts_get_u8(&p->r);
    p->command = ts_get_u8(&p->r);
    if (ts_reader_status(&p->r) != TS_OK) {
        return TS_ERR_SHORT;
    }
    if (version != RESP_V2 && version != RESP_V3) {
        return TS_ERR_MALFORMED;
    }
    p->version = version == RESP_V3 ? RESP_V3 : RESP_V2;
    struct ts_reader walk = p->r;
    while (ts_reader_left(&walk) > 0) {
        (void)kv_payload_get_word(&walk);
        if (ts_reader_status(&walk) != TS_OK || p->words == KV_PAYLOAD_WORDS_MAX) {
            return TS_ERR_MALFORMED;
        }
        p->words++;
    }
    return TS_OK;
}

struct ts_bytes kv_payload_next(struct kv_payload *p)
{
    if (ts_reader_left(&p->r) == 0) {
        return (struct ts_bytes){NULL, 0};
    }
    return kv_payload_get_word(&p->r);
}
