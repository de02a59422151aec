#include "services/session_msg.h"

void session_msg_encode(struct ts_writer *w, const struct session_msg *msg)
{
    ts_put_u8(w, SESSION_MARK);
    ts_put_u8(w, (uint8_t)msg->op);
    ts_put_u64(w, msg->session);
    ts_put_u64(w, msg->connection);
    ts_put_u64(w, msg->number);
    ts_put_bytes(w, msg->rest.data, msg->rest.len);
}

/* Each op has the fields that belong to it, and no other. */
static bool fits(const struct session_msg *m)
{
    bool named = m->rest.len > 0 && m->rest.len <= SESSION_NAME_MAX;
    switch (m->op) {
    case SESSION_OPEN:
        return m->session == 0 && m->connection == 0 && m->number == 0 && named;
    case SESSION_RESUME:
        return m->session != 0 && m->connection == 0 && named;
    case SESSION_ACK:
        return m->session != 0 && m->connection != 0 && m->rest.len == 0;
    case SESSION_CLOSE:
        return m->session != 0 && m->connection != 0 && m->number == 0 && m->rest.len == 0;
    case SESSION_REQUEST:
        /* A session's request is the service's, not one for this table again. */
        return m->session != 0 && m->connection != 0 && m->number != 0 && !session_msg_is(m->rest);
    }
    return false;
}

enum ts_err session_msg_decode(struct session_msg *msg, struct ts_bytes payload)
{
    struct ts_reader r = ts_reader_init(payload.data, payload.len);
    uint8_t mark = ts_get_u8(&r);
    uint8_t op = ts_get_u8(&r);
    struct session_msg m = {.session = ts_get_u64(&r)};
    m.connection = ts_get_u64(&r);
    m.number = ts_get_u64(&r);
    m.rest = ts_get_bytes(&r, ts_reader_left(&r));
    if (ts_reader_status(&r) != TS_OK) {
        return TS_ERR_SHORT;
    }
    if (mark != SESSION_MARK || op < SESSION_OPEN || op > SESSION_REQUEST) {
        return TS_ERR_MALFORMED;
    }
    m.op = (enum session_op)op;
    if (!fits(&m)) {
        return TS_ERR_MALFORMED;
    }
    *msg = m;
    return TS_OK;
}

enum ts_err session_answer_decode(struct session_answer *a, enum session_op op,
                                  struct ts_bytes answer)
{
    struct ts_reader r = ts_reader_init(answer.data, answer.len);
    uint8_t result = ts_get_u8(&r);
    if (result > SESSION_RESULT_LAST) {
        return TS_ERR_MALFORMED;
    }
    *a = (struct session_answer){.result = (enum session_result)result};
    if (session_is_refusal(a->result)) {
        a->figure = ts_get_u64(&r);
        return ts_reader_finish(&r);
    }
    if (a->result == SESSION_AGAIN && op != SESSION_REQUEST) {
        return TS_ERR_MALFORMED;
    }
    if (op == SESSION_OPEN) {
        a->session = ts_get_u64(&r);
    }
    if (op == SESSION_OPEN || op == SESSION_RESUME) {
        a->connection = ts_get_u64(&r);
    }
    if (op == SESSION_RESUME) {
        a->first = ts_get_u64(&r);
        a->count = ts_get_u32(&r);
    }
    if (op == SESSION_RESUME || op == SESSION_REQUEST) {
        a->rest = ts_get_bytes(&r, ts_reader_left(&r));
    }
    return ts_reader_finish(&r);
}

struct ts_bytes session_answer_next(struct ts_reader *rest)
{
    return ts_get_bytes(rest, ts_get_u32(rest));
}
