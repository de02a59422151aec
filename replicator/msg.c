#include "replicator/msg.h"

#include <string.h>

static void put_pos(struct ts_writer *w, struct repl_pos p)
{
    ts_put_u64(w, p.seq.v);
    ts_put_hash(w, p.hash);
}

static struct repl_pos get_pos(struct ts_reader *r)
{
    struct repl_pos p;
    p.seq.v = ts_get_u64(r);
    p.hash = ts_get_hash(r);
    if (p.seq.v == 0 && (p.hash.lo != 0 || p.hash.hi != 0)) {
        ts_reader_fail(r);
    }
    return p;
}

void repl_msg_position_encode(const struct repl_msg_position *m, struct ts_writer *w)
{
    ts_put_u64(w, m->config_epoch.v);
    ts_put_u64(w, m->floor.v);
    ts_put_u64(w, m->incarnation.v);
    ts_put_u64(w, m->instance.v);
    put_pos(w, m->committed);
    put_pos(w, m->tail);
}

static void position_decode(struct repl_msg_position *m, struct ts_reader *r)
{
    m->config_epoch.v = ts_get_u64(r);
    m->floor.v = ts_get_u64(r);
    m->incarnation.v = ts_get_u64(r);
    m->instance.v = ts_get_u64(r);
    m->committed = get_pos(r);
    m->tail = get_pos(r);
    if (ts_seq_lt(m->tail.seq, m->committed.seq)) {
        ts_reader_fail(r);
    }
}

void repl_msg_config_encode(const struct repl_msg_config *m, struct ts_writer *w)
{
    cfg_config_encode(&m->config, w);
}

void repl_msg_append_encode(const struct repl_msg_append *m, struct ts_writer *w)
{
    ts_put_u64(w, m->epoch.v);
    put_pos(w, m->prev);
    ts_put_u64(w, m->committed.v);
}

static void append_decode(struct repl_msg_append *m, struct ts_reader *r)
{
    m->epoch.v = ts_get_u64(r);
    m->prev = get_pos(r);
    m->committed.v = ts_get_u64(r);
    m->batches = ts_get_bytes(r, ts_reader_left(r));
}

void repl_msg_ack_encode(const struct repl_msg_ack *m, struct ts_writer *w)
{
    ts_put_u64(w, m->epoch.v);
    ts_put_u64(w, m->incarnation.v);
    ts_put_u64(w, m->instance.v);
    put_pos(w, m->pos);
    ts_put_u64(w, m->applied.v);
    ts_put_hash(w, m->digest);
}

static void ack_decode(struct repl_msg_ack *m, struct ts_reader *r)
{
    m->epoch.v = ts_get_u64(r);
    m->incarnation.v = ts_get_u64(r);
    m->instance.v = ts_get_u64(r);
    m->pos = get_pos(r);
    m->applied.v = ts_get_u64(r);
    m->digest = ts_get_hash(r);
}

void repl_msg_refused_encode(const struct repl_msg_refused *m, struct ts_writer *w)
{
    ts_put_u64(w, m->epoch.v);
    ts_put_u64(w, m->floor.v);
}

static void refused_decode(struct repl_msg_refused *m, struct ts_reader *r)
{
    m->epoch.v = ts_get_u64(r);
    m->floor.v = ts_get_u64(r);
}

void repl_msg_confirm_encode(const struct repl_msg_confirm *m, struct ts_writer *w)
{
    ts_put_u64(w, m->epoch.v);
    ts_put_u64(w, m->instance.v);
    ts_put_u64(w, m->round);
}

static void confirm_decode(struct repl_msg_confirm *m, struct ts_reader *r)
{
    m->epoch.v = ts_get_u64(r);
    m->instance.v = ts_get_u64(r);
    m->round = ts_get_u64(r);
}

void repl_msg_confirmed_encode(const struct repl_msg_confirmed *m, struct ts_writer *w)
{
    ts_put_u64(w, m->epoch.v);
    ts_put_u64(w, m->asker.v);
    ts_put_u64(w, m->round);
    ts_put_u64(w, m->incarnation.v);
    ts_put_u64(w, m->instance.v);
}

static void confirmed_decode(struct repl_msg_confirmed *m, struct ts_reader *r)
{
    m->epoch.v = ts_get_u64(r);
    m->asker.v = ts_get_u64(r);
    m->round = ts_get_u64(r);
    m->incarnation.v = ts_get_u64(r);
    m->instance.v = ts_get_u64(r);
}

void repl_msg_take_over_encode(const struct repl_msg_take_over *m, struct ts_writer *w)
{
    ts_put_u64(w, m->epoch.v);
    ts_put_u64(w, m->instance.v);
    ts_put_u8(w, (uint8_t)m->why);
}

static void take_over_decode(struct repl_msg_take_over *m, struct ts_reader *r)
{
    m->epoch.v = ts_get_u64(r);
    m->instance.v = ts_get_u64(r);
    uint8_t why = ts_get_u8(r);
    m->why = (enum repl_take_over_why)why;
    if (why != REPL_TAKE_OVER_DISK && why != REPL_TAKE_OVER_HANDOFF) {
        ts_reader_fail(r);
    }
}

void repl_msg_enrol_encode(const struct repl_msg_enrol *m, struct ts_writer *w)
{
    ts_put_u64(w, m->incarnation.v);
    ts_put_u64(w, m->instance.v);
    ts_put_u64(w, m->replaces.v);
}

static void enrol_decode(struct repl_msg_enrol *m, struct ts_reader *r)
{
    m->incarnation.v = ts_get_u64(r);
    m->instance.v = ts_get_u64(r);
    m->replaces.v = ts_get_u64(r);
    if (m->incarnation.v == 0 || m->replaces.v == 0 ||
        ts_incarnation_eq(m->incarnation, m->replaces)) {
        ts_reader_fail(r);
    }
}

void repl_msg_replayed_encode(const struct repl_msg_replayed *m, struct ts_writer *w)
{
    ts_put_u64(w, m->seq.v);
    ts_put_u64(w, m->incarnation.v);
    ts_put_u64(w, m->instance.v);
    ts_put_hash(w, m->digest);
}

static void replayed_decode(struct repl_msg_replayed *m, struct ts_reader *r)
{
    m->seq.v = ts_get_u64(r);
    m->incarnation.v = ts_get_u64(r);
    m->instance.v = ts_get_u64(r);
    m->digest = ts_get_hash(r);
}

enum ts_err repl_msg_decode(struct repl_msg *out, uint8_t type, struct ts_bytes frame)
{
    struct ts_reader r = ts_reader_init(frame.data, frame.len);
    struct repl_msg m;
    memset(&m, 0, sizeof(m));
    m.type = (enum repl_msg_type)type;
    switch (type) {
    case REPL_MSG_POSITION:
        position_decode(&m.u.position, &r);
        break;
    case REPL_MSG_CONFIG:
        cfg_config_decode(&m.u.config.config, &r);
        break;
    case REPL_MSG_APPEND:
        append_decode(&m.u.append, &r);
        break;
    case REPL_MSG_ACK:
        ack_decode(&m.u.ack, &r);
        break;
    case REPL_MSG_REFUSED:
        refused_decode(&m.u.refused, &r);
        break;
    case REPL_MSG_CONFIRM:
        confirm_decode(&m.u.confirm, &r);
        break;
    case REPL_MSG_CONFIRMED:
        confirmed_decode(&m.u.confirmed, &r);
        break;
    case REPL_MSG_TAKE_OVER:
        take_over_decode(&m.u.take_over, &r);
        break;
    case REPL_MSG_ENROL:
        enrol_decode(&m.u.enrol, &r);
        break;
    case REPL_MSG_REPLAYED:
        replayed_decode(&m.u.replayed, &r);
        break;
    default:
        return TS_ERR_MALFORMED;
    }
    enum ts_err err = ts_reader_finish(&r);
    if (err != TS_OK) {
        return err;
    }
    *out = m;
    return TS_OK;
}

const char *repl_msg_name(uint8_t type)
{
    switch (type) {
#define REPL_MSG_NAME(sym, number, name) \
    case number: \
        return name;
        REPL_MSG_LIST(REPL_MSG_NAME)
#undef REPL_MSG_NAME
    default:
        return "unknown";
    }
}
