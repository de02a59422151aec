#include "replicator/io/replica_record.h"

#define RECORD_VERSION 2U
/* Without `replaces`. */
#define RECORD_VERSION_FLOOR 1U

void replica_record_encode(const struct replica_record *r, struct ts_writer *w)
{
    ts_put_u8(w, RECORD_VERSION);
    ts_put_u64(w, r->floor.v);
    ts_put_u64(w, r->replaces.v);
}

enum ts_err replica_record_decode(struct replica_record *out, struct ts_bytes record)
{
    struct ts_reader r = ts_reader_init(record.data, record.len);
    *out = (struct replica_record){0};
    if (record.len == 0) {
        return TS_OK; /* freshly formatted: nothing was promised */
    }
    uint8_t version = ts_get_u8(&r);
    if (version != RECORD_VERSION && version != RECORD_VERSION_FLOOR) {
        return TS_ERR_VERSION;
    }
    out->floor.v = ts_get_u64(&r);
    out->replaces.v = version == RECORD_VERSION ? ts_get_u64(&r) : 0;
    return ts_reader_finish(&r);
}
