/* The durable records of a voter: encode beside decode. */
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/voter.h"

/* Raised when the layout changes; an older program refuses a newer record (R7). */
#define RECORD_FORMAT 1
#define STARTS_FORMAT 1

static void register_encode(const struct voter_register *rec, struct ts_writer *w)
{
    ts_put_u32(w, rec->reg);
    reg_ballot_encode(rec->promised, w);
    reg_ballot_encode(rec->accepted, w);
    ts_put_u64(w, rec->generation);
    reg_value_encode(&rec->value, w);
}

static void register_decode(struct voter_register *rec, struct ts_reader *r)
{
    rec->reg = ts_get_u32(r);
    reg_ballot_decode(&rec->promised, r);
    reg_ballot_decode(&rec->accepted, r);
    rec->generation = ts_get_u64(r);
    reg_value_decode(&rec->value, r);
    bool accepted_nothing = rec->value.len == 0 && !reg_ballot_is_zero(rec->accepted);
    if (rec->generation == 0 || accepted_nothing ||
        reg_ballot_cmp(rec->accepted, rec->promised) > 0) {
        ts_reader_fail(r);
    }
}

void voter_record_encode(const struct voter_record *rec, struct ts_writer *w)
{
    ts_put_u8(w, RECORD_FORMAT);
    ts_put_u8(w, (uint8_t)rec->kind);
    switch (rec->kind) {
    case VOTER_RECORD_REGISTER:
        register_encode(&rec->reg, w);
        return;
    case VOTER_RECORD_START:
        reg_start_encode(&rec->start, w);
        return;
    }
    ts_unreachable();
}

enum ts_err voter_record_decode(struct voter_record *rec, struct ts_bytes bytes)
{
    struct ts_reader r = ts_reader_init(bytes.data, bytes.len);
    memset(rec, 0, sizeof(*rec));
    uint8_t format = ts_get_u8(&r);
    uint8_t kind = ts_get_u8(&r);
    if (r.failed) {
        return TS_ERR_SHORT;
    }
    if (format != RECORD_FORMAT) {
        return TS_ERR_VERSION;
    }
    rec->kind = (enum voter_record_kind)kind;
    switch (rec->kind) {
    case VOTER_RECORD_REGISTER:
        register_decode(&rec->reg, &r);
        break;
    case VOTER_RECORD_START:
        reg_start_decode(&rec->start, &r);
        break;
    default:
        return TS_ERR_MALFORMED;
    }
    return ts_reader_finish(&r);
}

void voter_starts_encode(const struct reg_start *starts, size_t count, struct ts_writer *w)
{
    ts_assert(count <= VOTER_STARTS_MAX);
    ts_put_u8(w, STARTS_FORMAT);
    ts_put_u16(w, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        reg_start_encode(&starts[i], w);
    }
}

enum ts_err voter_starts_decode(struct reg_start *starts, size_t cap, size_t *count,
                                struct ts_bytes bytes)
{
    *count = 0;
    if (bytes.len == 0) {
        return TS_OK; /* freshly formatted */
    }
    struct ts_reader r = ts_reader_init(bytes.data, bytes.len);
    uint8_t format = ts_get_u8(&r);
    uint16_t n = ts_get_u16(&r);
    if (format != STARTS_FORMAT) {
        return TS_ERR_VERSION;
    }
    if (n > cap) {
        return TS_ERR_CORRUPT;
    }
    for (uint16_t i = 0; i < n && !r.failed; i++) {
        reg_start_decode(&starts[i], &r);
    }
    if (ts_reader_finish(&r) != TS_OK) {
        return TS_ERR_CORRUPT;
    }
    *count = n;
    return TS_OK;
}
