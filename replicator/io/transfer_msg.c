#include "replicator/io/transfer_msg.h"

void transfer_msg_encode(const struct transfer_msg *m, struct ts_writer *w)
{
    ts_put_u64(w, m->snapshot.v);
    if (m->type == TRANSFER_MSG_OFFER) {
        ts_put_u64(w, m->base.seq.v);
        ts_put_hash(w, m->base.hash);
        return;
    }
    if (m->type == TRANSFER_MSG_BAD) {
        return;
    }
    ts_put_u64(w, m->offset);
    if (m->type == TRANSFER_MSG_PIECE) {
        ts_put_u64(w, m->size);
    }
}

enum ts_err transfer_msg_decode(struct transfer_msg *m, uint8_t type, struct ts_bytes frame)
{
    struct ts_reader r = ts_reader_init(frame.data, frame.len);
    if (!transfer_msg_is(type)) {
        return TS_ERR_MALFORMED;
    }
    *m = (struct transfer_msg){.type = (enum transfer_msg_type)type};
    m->snapshot.v = ts_get_u64(&r);
    if (m->type == TRANSFER_MSG_OFFER) {
        m->base.seq.v = ts_get_u64(&r);
        m->base.hash = ts_get_hash(&r);
    } else if (m->type != TRANSFER_MSG_BAD) {
        m->offset = ts_get_u64(&r);
    }
    if (m->type == TRANSFER_MSG_PIECE) {
        m->size = ts_get_u64(&r);
        m->bytes = ts_get_bytes(&r, ts_reader_left(&r));
    }
    enum ts_err err = ts_reader_finish(&r);
    if (err != TS_OK) {
        return err;
    }
    bool fits = m->type != TRANSFER_MSG_PIECE ||
                (m->bytes.len <= TRANSFER_PIECE_BYTES && m->offset <= m->size &&
                 m->size - m->offset >= m->bytes.len && (m->bytes.len > 0 || m->offset == m->size));
    bool based = m->type != TRANSFER_MSG_OFFER || !ts_seq_lt(m->snapshot, m->base.seq);
    return m->snapshot.v > 0 && fits && based ? TS_OK : TS_ERR_MALFORMED;
}
