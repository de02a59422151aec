#include "replicator/io/disk_msg.h"

void disk_msg_encode(const struct disk_msg *m, struct ts_writer *w)
{
    if (m->type == DISK_MSG_ROOM) {
        ts_put_u8(w, (uint8_t)m->room);
        return;
    }
    ts_put_u64(w, m->after.seq.v);
    ts_put_hash(w, m->after.hash);
}

enum ts_err disk_msg_decode(struct disk_msg *m, uint8_t type, struct ts_bytes frame)
{
    struct ts_reader r = ts_reader_init(frame.data, frame.len);
    if (!disk_msg_is(type)) {
        return TS_ERR_MALFORMED;
    }
    uint8_t room = DISK_ROOM_WELL;
    *m = (struct disk_msg){.type = (enum disk_msg_type)type};
    if (m->type == DISK_MSG_ROOM) {
        room = ts_get_u8(&r);
    } else {
        m->after.seq.v = ts_get_u64(&r);
        m->after.hash = ts_get_hash(&r);
    }
    if (m->type == DISK_MSG_GIVE) {
        m->batches = ts_get_bytes(&r, ts_reader_left(&r));
    }
    enum ts_err err = ts_reader_finish(&r);
    if (err != TS_OK) {
        return err;
    }
    m->room = room < DISK_ROOMS ? (enum disk_room)room : DISK_ROOM_WELL;
    return room < DISK_ROOMS ? TS_OK : TS_ERR_MALFORMED;
}
