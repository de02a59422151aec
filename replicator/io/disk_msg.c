#include "replicator/io/disk_msg.h"

void disk_msg_encode(const struct disk_msg *m, struct ts_writer *w)
{
    ts_put_u8(w, (uint8_t)m->room);
}

enum ts_err disk_msg_decode(struct disk_msg *m, uint8_t type, struct ts_bytes frame)
{
    struct ts_reader r = ts_reader_init(frame.data, frame.len);
    if (!disk_msg_is(type)) {
        return TS_ERR_MALFORMED;
    }
    uint8_t room = ts_get_u8(&r);
    enum ts_err err = ts_reader_finish(&r);
    if (err != TS_OK || room >= DISK_ROOMS) {
        return err != TS_OK ? err : TS_ERR_MALFORMED;
    }
    *m = (struct disk_msg){.type = (enum disk_msg_type)type, .room = (enum disk_room)room};
    return TS_OK;
}
