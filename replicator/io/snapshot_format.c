#include "replicator/io/snapshot_format.h"

#include <lz4frame.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"

#define HEADER_MAGIC 0x31504e5353535754ULL /* "TWSSSNP1" */
#define PIECE_MAGIC 0x50535754U            /* "TWSP" */
#define TRAILER_MAGIC 0x45535754U          /* "TWSE" */

#define HEADER_CRC_AT 8U
#define HEADER_CRC_FROM 12U
/* Of piece and trailer. */
#define CRC_AT 4U
#define CRC_FROM 8U

/* LZ4 makes at most so many bytes of one. */
#define RATIO_MAX 256U

void snapshot_header_encode(const struct snapshot_header *h, struct ts_writer *w)
{
    size_t start = w->len;
    ts_put_u64(w, HEADER_MAGIC);
    ts_put_u32(w, 0);
    ts_put_u32(w, SNAPSHOT_VERSION);
    ts_put_u64(w, h->incarnation.v);
    ts_put_u16(w, h->group.v);
    ts_put_u8(w, h->installed ? 1 : 0);
    ts_put_u64(w, h->mark.pos.seq.v);
    ts_put_u64(w, h->mark.epoch.v);
    ts_put_hash(w, h->mark.pos.hash);
    ts_put_hash(w, h->mark.digest);
    ts_put_u64(w, h->mark.time.ns);
    if (ts_writer_status(w) == TS_OK) {
        ts_assert(w->len - start == SNAPSHOT_HEADER_BYTES);
        uint32_t crc =
            ts_crc32c(w->data + start + HEADER_CRC_FROM, SNAPSHOT_HEADER_BYTES - HEADER_CRC_FROM);
        ts_put_u32_at(w, start + HEADER_CRC_AT, crc);
    }
}

enum ts_err snapshot_header_decode(struct snapshot_header *h, const void *data, size_t len)
{
    struct ts_reader r = ts_reader_init(data, len);
    uint64_t magic = ts_get_u64(&r);
    uint32_t crc = ts_get_u32(&r);
    uint32_t version = ts_get_u32(&r);
    h->incarnation.v = ts_get_u64(&r);
    h->group.v = ts_get_u16(&r);
    h->installed = ts_get_bool(&r);
    h->mark.pos.seq.v = ts_get_u64(&r);
    h->mark.epoch.v = ts_get_u64(&r);
    h->mark.pos.hash = ts_get_hash(&r);
    h->mark.digest = ts_get_hash(&r);
    h->mark.time.ns = ts_get_u64(&r);
    if (ts_reader_status(&r) != TS_OK || magic != HEADER_MAGIC) {
        return TS_ERR_MALFORMED;
    }
    if (ts_crc32c(r.data + HEADER_CRC_FROM, SNAPSHOT_HEADER_BYTES - HEADER_CRC_FROM) != crc) {
        return TS_ERR_CORRUPT;
    }
    if (version != SNAPSHOT_VERSION) {
        return TS_ERR_VERSION;
    }
    return h->mark.pos.seq.v > 0 && h->mark.time.ns <= REPL_BATCH_TIME_MAX ? TS_OK : TS_ERR_CORRUPT;
}

/* ---- pieces ---- */

static LZ4F_preferences_t preferences(size_t plain)
{
    LZ4F_preferences_t p = LZ4F_INIT_PREFERENCES;
    p.frameInfo.contentSize = plain;
    p.frameInfo.blockSizeID = LZ4F_max256KB;
    return p;
}

enum ts_err snapshot_piece_pack(struct ts_bytes plain, uint8_t **out, size_t *len)
{
    ts_assert(plain.len > 0 && plain.len <= SNAPSHOT_PIECE_MAX);
    LZ4F_preferences_t p = preferences(plain.len);
    size_t bound = LZ4F_compressFrameBound(plain.len, &p);
    uint8_t *data = malloc(SNAPSHOT_HEAD_BYTES + bound);
    if (data == NULL) {
        return TS_ERR_NOMEM;
    }
    size_t n = LZ4F_compressFrame(data + SNAPSHOT_HEAD_BYTES, bound, plain.data, plain.len, &p);
    if (LZ4F_isError(n)) { /* for want of memory only: there is room */
        free(data);
        return TS_ERR_NOMEM;
    }
    struct ts_writer w = ts_writer_init(data, SNAPSHOT_HEAD_BYTES);
    ts_put_u32(&w, PIECE_MAGIC);
    ts_put_u32(&w, 0);
    ts_put_u32(&w, (uint32_t)n);
    ts_put_u32(&w, (uint32_t)plain.len);
    ts_put_u32_at(&w, CRC_AT, ts_crc32c(data + CRC_FROM, SNAPSHOT_HEAD_BYTES - CRC_FROM + n));
    *out = data;
    *len = SNAPSHOT_HEAD_BYTES + n;
    return TS_OK;
}

enum ts_err snapshot_head_decode(struct snapshot_head *h, const void *data, size_t len)
{
    struct ts_reader r = ts_reader_init(data, len);
    uint32_t magic = ts_get_u32(&r);
    (void)ts_get_u32(&r);
    h->stored = ts_get_u32(&r);
    h->plain = ts_get_u32(&r);
    if (ts_reader_status(&r) == TS_OK && magic == TRAILER_MAGIC) {
        return TS_ERR_NOT_FOUND;
    }
    bool sane = ts_reader_status(&r) == TS_OK && magic == PIECE_MAGIC && h->plain > 0 &&
                h->plain <= SNAPSHOT_PIECE_MAX && h->plain / RATIO_MAX <= h->stored;
    return sane ? TS_OK : TS_ERR_CORRUPT;
}

/* The frame must give all of `plain`, and end there. */
static enum ts_err unpack_frame(const uint8_t *frame, size_t stored, uint8_t *plain, size_t len)
{
    LZ4F_dctx *ctx = NULL;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION))) {
        return TS_ERR_NOMEM;
    }
    size_t in = 0;
    size_t made = 0;
    size_t more = 1;
    while (more != 0 && !LZ4F_isError(more)) {
        size_t n = len - made;
        size_t used = stored - in;
        more = LZ4F_decompress(ctx, plain + made, &n, frame + in, &used, NULL);
        made += n;
        in += used;
        if (n == 0 && used == 0) {
            break; /* it is cut, or longer than it says */
        }
    }
    LZ4F_freeDecompressionContext(ctx);
    return more == 0 && made == len && in == stored ? TS_OK : TS_ERR_CORRUPT;
}

enum ts_err snapshot_piece_unpack(const void *data, size_t len, uint8_t *plain)
{
    struct snapshot_head h;
    const uint8_t *bytes = data;
    if (snapshot_head_decode(&h, data, len) != TS_OK || len - SNAPSHOT_HEAD_BYTES != h.stored) {
        return TS_ERR_CORRUPT;
    }
    struct ts_reader r = ts_reader_init(bytes + CRC_AT, 4);
    if (ts_get_u32(&r) != ts_crc32c(bytes + CRC_FROM, len - CRC_FROM)) {
        return TS_ERR_CORRUPT;
    }
    return unpack_frame(bytes + SNAPSHOT_HEAD_BYTES, h.stored, plain, h.plain);
}

/* ---- trailer ---- */

void snapshot_trailer_encode(const struct snapshot_trailer *t, struct ts_writer *w)
{
    size_t start = w->len;
    ts_put_u32(w, TRAILER_MAGIC);
    ts_put_u32(w, 0);
    ts_put_u64(w, t->pieces);
    ts_put_u64(w, t->bytes);
    ts_put_hash(w, t->content);
    if (ts_writer_status(w) == TS_OK) {
        uint32_t crc = ts_crc32c(w->data + start + CRC_FROM, SNAPSHOT_TRAILER_BYTES - CRC_FROM);
        ts_put_u32_at(w, start + CRC_AT, crc);
    }
}

enum ts_err snapshot_trailer_decode(struct snapshot_trailer *t, const void *data, size_t len)
{
    struct ts_reader r = ts_reader_init(data, len);
    uint32_t magic = ts_get_u32(&r);
    uint32_t crc = ts_get_u32(&r);
    t->pieces = ts_get_u64(&r);
    t->bytes = ts_get_u64(&r);
    t->content = ts_get_hash(&r);
    bool good = ts_reader_finish(&r) == TS_OK && magic == TRAILER_MAGIC && t->pieces > 0 &&
                t->bytes >= t->pieces && ts_crc32c(r.data + CRC_FROM, len - CRC_FROM) == crc;
    return good ? TS_OK : TS_ERR_CORRUPT;
}

void snapshot_trailer_add(struct snapshot_trailer *t, struct ts_bytes plain)
{
    t->pieces++;
    t->bytes += plain.len;
    t->content = ts_hash_chain(t->content, plain.data, plain.len);
}
