#include "replicator/io/journal_format.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

#define HEADER_MAGIC 0x314d474553535754ULL /* "TWSSEGM1" */
#define BASE_MAGIC 0x3145534142535754ULL   /* "TWSBASE1" */
#define NOTE_MAGIC 0x3145544f4e535754ULL   /* "TWSNOTE1" */
#define RECORD_MAGIC 0x52535754U           /* "TWSR" */

/* Header, base and note: the checksum at 8 covers what follows it. */
#define BLOCK_CRC_AT 8U
#define BLOCK_CRC_FROM 12U
#define NOTE_FIXED 64U
#define NOTE_ENTRY 44U
#define RECORD_CRC_AT 4U
#define RECORD_CRC_FROM 8U

_Static_assert(NOTE_FIXED + NOTE_ENTRY * JOURNAL_NOTE_ENTRIES <= JOURNAL_BLOCK,
               "a note fits into one block");

static void put_block_crc(struct ts_writer *w, size_t start)
{
    if (ts_writer_status(w) == TS_OK) {
        uint32_t crc = ts_crc32c(w->data + start + BLOCK_CRC_FROM, w->len - start - BLOCK_CRC_FROM);
        ts_put_u32_at(w, start + BLOCK_CRC_AT, crc);
    }
}

static bool block_crc_ok(const struct ts_reader *r, uint32_t crc)
{
    return ts_reader_status(r) == TS_OK && r->pos >= BLOCK_CRC_FROM &&
           ts_crc32c(r->data + BLOCK_CRC_FROM, r->pos - BLOCK_CRC_FROM) == crc;
}

void journal_header_encode(const struct journal_header *h, struct ts_writer *w)
{
    size_t start = w->len;
    ts_put_u64(w, HEADER_MAGIC);
    ts_put_u32(w, 0);
    ts_put_u32(w, JOURNAL_VERSION);
    ts_put_u64(w, h->incarnation.v);
    ts_put_u64(w, h->number);
    ts_put_u32(w, h->size);
    ts_put_u16(w, h->group.v);
    put_block_crc(w, start);
}

enum ts_err journal_header_decode(struct journal_header *h, const void *data, size_t len)
{
    struct ts_reader r = ts_reader_init(data, len);
    uint64_t magic = ts_get_u64(&r);
    uint32_t crc = ts_get_u32(&r);
    uint32_t version = ts_get_u32(&r);
    h->incarnation.v = ts_get_u64(&r);
    h->number = ts_get_u64(&r);
    h->size = ts_get_u32(&r);
    h->group.v = ts_get_u16(&r);
    if (ts_reader_status(&r) != TS_OK || magic != HEADER_MAGIC) {
        return TS_ERR_MALFORMED;
    }
    if (!block_crc_ok(&r, crc)) {
        return TS_ERR_CORRUPT;
    }
    if (version != JOURNAL_VERSION) {
        return TS_ERR_VERSION;
    }
    if (h->number == 0 || h->size < JOURNAL_SEGMENT_BYTES_MIN ||
        h->size > JOURNAL_SEGMENT_BYTES_MAX || h->size % JOURNAL_BLOCK != 0) {
        return TS_ERR_CORRUPT;
    }
    return TS_OK;
}

void journal_base_encode(const struct journal_base *b, struct ts_writer *w)
{
    size_t start = w->len;
    ts_put_u64(w, BASE_MAGIC);
    ts_put_u32(w, 0);
    ts_put_u32(w, 0);
    ts_put_u64(w, b->incarnation.v);
    ts_put_u64(w, b->number);
    ts_put_u64(w, b->place.seq.v);
    ts_put_u64(w, b->place.epoch.v);
    ts_put_hash(w, b->place.hash);
    put_block_crc(w, start);
}

enum ts_err journal_base_decode(struct journal_base *b, const void *data, size_t len)
{
    struct ts_reader r = ts_reader_init(data, len);
    uint64_t magic = ts_get_u64(&r);
    uint32_t crc = ts_get_u32(&r);
    uint32_t zero = ts_get_u32(&r);
    b->incarnation.v = ts_get_u64(&r);
    b->number = ts_get_u64(&r);
    b->place.seq.v = ts_get_u64(&r);
    b->place.epoch.v = ts_get_u64(&r);
    b->place.hash = ts_get_hash(&r);
    if (ts_reader_status(&r) != TS_OK || magic != BASE_MAGIC) {
        return TS_ERR_MALFORMED;
    }
    return block_crc_ok(&r, crc) && zero == 0 && b->number > 0 ? TS_OK : TS_ERR_CORRUPT;
}

void journal_note_encode(const struct journal_note *n, struct ts_writer *w)
{
    ts_assert(n->count <= JOURNAL_NOTE_ENTRIES);
    size_t start = w->len;
    ts_put_u64(w, NOTE_MAGIC);
    ts_put_u32(w, 0);
    ts_put_u32(w, n->count);
    ts_put_u64(w, n->counter);
    ts_put_u64(w, n->incarnation.v);
    ts_put_u64(w, n->segment);
    ts_put_u64(w, n->durable.v);
    ts_put_hash(w, n->durable_hash);
    for (uint32_t i = 0; i < n->count; i++) {
        const struct journal_note_entry *e = &n->entries[i];
        ts_put_u64(w, e->first.v);
        ts_put_u64(w, e->last.v);
        ts_put_u32(w, e->offset);
        ts_put_u32(w, e->length);
        ts_put_u32(w, e->crc);
        ts_put_hash(w, e->hash);
    }
    put_block_crc(w, start);
}

enum ts_err journal_note_decode(struct journal_note *n, const void *data, size_t len)
{
    struct ts_reader r = ts_reader_init(data, len);
    uint64_t magic = ts_get_u64(&r);
    uint32_t crc = ts_get_u32(&r);
    n->count = ts_get_u32(&r);
    n->counter = ts_get_u64(&r);
    n->incarnation.v = ts_get_u64(&r);
    n->segment = ts_get_u64(&r);
    n->durable.v = ts_get_u64(&r);
    n->durable_hash = ts_get_hash(&r);
    if (ts_reader_status(&r) != TS_OK || magic != NOTE_MAGIC) {
        return TS_ERR_MALFORMED;
    }
    if (n->count > JOURNAL_NOTE_ENTRIES) {
        return TS_ERR_CORRUPT;
    }
    for (uint32_t i = 0; i < n->count; i++) {
        struct journal_note_entry *e = &n->entries[i];
        e->first.v = ts_get_u64(&r);
        e->last.v = ts_get_u64(&r);
        e->offset = ts_get_u32(&r);
        e->length = ts_get_u32(&r);
        e->crc = ts_get_u32(&r);
        e->hash = ts_get_hash(&r);
    }
    return block_crc_ok(&r, crc) && n->counter > 0 ? TS_OK : TS_ERR_CORRUPT;
}

void journal_record_seal(struct journal_record *r, uint8_t *room)
{
    const struct journal_batch *b = &r->batch;
    struct ts_writer w = ts_writer_init(room, JOURNAL_RECORD_HEADER);
    ts_put_u32(&w, RECORD_MAGIC);
    ts_put_u32(&w, 0);
    ts_put_u32(&w, (uint32_t)b->bytes.len);
    ts_put_u16(&w, (uint16_t)r->kind);
    ts_put_u16(&w, r->pad);
    ts_put_u64(&w, b->epoch.v);
    ts_put_u64(&w, b->first.v);
    ts_put_u64(&w, b->last.v);
    ts_put_u64(&w, r->commit.v);
    ts_put_hash(&w, b->prev);
    ts_put_hash(&w, b->hash);
    ts_assert(w.len == JOURNAL_RECORD_HEADER && ts_writer_status(&w) == TS_OK);
    r->crc =
        ts_crc32c(room + RECORD_CRC_FROM, JOURNAL_RECORD_HEADER - RECORD_CRC_FROM + b->bytes.len);
    ts_put_u32_at(&w, RECORD_CRC_AT, r->crc);
}

/* Whether the fields are ones that a writer writes. */
static bool record_sane(const struct journal_record *r, uint16_t kind)
{
    const struct journal_batch *b = &r->batch;
    if (r->pad >= JOURNAL_SECTOR) {
        return false;
    }
    if (kind == JOURNAL_KIND_END) {
        return b->bytes.len == 0 && b->first.v == b->last.v;
    }
    return kind == JOURNAL_KIND_BATCH && b->first.v >= 1 && b->last.v >= b->first.v;
}

enum ts_err journal_record_decode(struct journal_record *r, const void *data, size_t len)
{
    struct ts_reader rd = ts_reader_init(data, len);
    uint32_t magic = ts_get_u32(&rd);
    r->crc = ts_get_u32(&rd);
    uint32_t length = ts_get_u32(&rd);
    uint16_t kind = ts_get_u16(&rd);
    r->pad = ts_get_u16(&rd);
    r->batch.epoch.v = ts_get_u64(&rd);
    r->batch.first.v = ts_get_u64(&rd);
    r->batch.last.v = ts_get_u64(&rd);
    r->commit.v = ts_get_u64(&rd);
    r->batch.prev = ts_get_hash(&rd);
    r->batch.hash = ts_get_hash(&rd);
    if (ts_reader_status(&rd) != TS_OK || magic != RECORD_MAGIC) {
        return TS_ERR_MALFORMED;
    }
    r->batch.bytes = ts_get_bytes(&rd, length);
    if (ts_reader_status(&rd) != TS_OK || ts_reader_left(&rd) < r->pad) {
        return TS_ERR_SHORT;
    }
    if (ts_crc32c(rd.data + RECORD_CRC_FROM, rd.pos - RECORD_CRC_FROM) != r->crc ||
        !record_sane(r, kind)) {
        return TS_ERR_CORRUPT;
    }
    r->kind = (enum journal_record_kind)kind;
    return TS_OK;
}

size_t journal_record_search(const uint8_t *data, size_t from, size_t len)
{
    uint8_t magic[4];
    struct ts_writer w = ts_writer_init(magic, sizeof(magic));
    ts_put_u32(&w, RECORD_MAGIC);
    while (len >= JOURNAL_RECORD_HEADER && from <= len - JOURNAL_RECORD_HEADER) {
        const uint8_t *at = memchr(data + from, magic[0], len - JOURNAL_RECORD_HEADER + 1 - from);
        if (at == NULL) {
            return len;
        }
        from = (size_t)(at - data);
        if (memcmp(at, magic, sizeof(magic)) == 0) {
            return from;
        }
        from++;
    }
    return len;
}

void journal_record_peek(struct journal_record *r, const uint8_t *data)
{
    struct ts_reader rd = ts_reader_init(data, JOURNAL_RECORD_HEADER);
    (void)ts_get_u64(&rd); /* magic, checksum */
    (void)ts_get_u32(&rd); /* length */
    uint16_t kind = ts_get_u16(&rd);
    (void)ts_get_u16(&rd); /* pad */
    (void)ts_get_u64(&rd); /* epoch */
    r->kind = kind == JOURNAL_KIND_END ? JOURNAL_KIND_END : JOURNAL_KIND_BATCH;
    r->batch.first.v = ts_get_u64(&rd);
    (void)ts_get_u64(&rd); /* last */
    (void)ts_get_u64(&rd); /* commit */
    r->batch.prev = ts_get_hash(&rd);
}

size_t journal_record_need(const void *data, size_t max)
{
    struct ts_reader r = ts_reader_init(data, JOURNAL_RECORD_HEADER);
    (void)ts_get_u64(&r); /* magic, checksum */
    uint32_t length = ts_get_u32(&r);
    (void)ts_get_u16(&r); /* kind */
    size_t need = JOURNAL_RECORD_HEADER + (size_t)length + ts_get_u16(&r);
    return need < max ? need : max;
}

bool journal_record_continues(const struct journal_record *r, const struct journal_position *end)
{
    uint64_t first = r->kind == JOURNAL_KIND_END ? end->seq.v : end->seq.v + 1;
    return r->batch.first.v == first && ts_hash_eq(r->batch.prev, end->hash);
}
