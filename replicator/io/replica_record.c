#include "replicator/io/replica_record.h"

#define RECORD_VERSION 1U

void replica_record_encode(struct ts_epoch floor, struct ts_writer *w)
{
    ts_put_u8(w, RECORD_VERSION);
    ts_put_u64(w, floor.v);
}

enum ts_err replica_record_floor(struct ts_bytes record, struct ts_epoch *floor)
{
    struct ts_reader r = ts_reader_init(record.data, record.len);
    floor->v = 0;
    if (record.len == 0) {
        return TS_OK; /* freshly formatted: nothing was promised */
    }
    uint8_t version = ts_get_u8(&r);
    if (version != RECORD_VERSION) {
        return TS_ERR_VERSION;
    }
    floor->v = ts_get_u64(&r);
    return ts_reader_finish(&r);
}
