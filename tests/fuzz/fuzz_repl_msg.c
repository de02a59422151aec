/* The replication messages: the first byte is the frame's type, the rest its payload. What decodes
 * encodes to the same bytes. */
#include <string.h>

#include "base/assert.h"
#include "replicator/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct repl_msg *m, struct ts_writer *w)
{
    switch (m->type) {
    case REPL_MSG_POSITION:
        repl_msg_position_encode(&m->u.position, w);
        break;
    case REPL_MSG_CONFIG:
        repl_msg_config_encode(&m->u.config, w);
        break;
    case REPL_MSG_APPEND:
        repl_msg_append_encode(&m->u.append, w);
        break;
    case REPL_MSG_ACK:
        repl_msg_ack_encode(&m->u.ack, w);
        break;
    case REPL_MSG_REFUSED:
        repl_msg_refused_encode(&m->u.refused, w);
        break;
    case REPL_MSG_CONFIRM:
        repl_msg_confirm_encode(&m->u.confirm, w);
        break;
    case REPL_MSG_CONFIRMED:
        repl_msg_confirmed_encode(&m->u.confirmed, w);
        break;
    case REPL_MSG_TAKE_OVER:
        repl_msg_take_over_encode(&m->u.take_over, w);
        break;
    case REPL_MSG_REPLAYED:
        repl_msg_replayed_encode(&m->u.replayed, w);
        break;
    case REPL_MSG_ENROL:
        repl_msg_enrol_encode(&m->u.enrol, w);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct repl_msg m;
    if (size == 0 || repl_msg_decode(&m, data[0], (struct ts_bytes){data + 1, size - 1}) != TS_OK) {
        return 0;
    }
    ts_assert(strcmp(repl_msg_name(data[0]), "unknown") != 0);
    uint8_t again[REPL_MSG_HEAD_MAX];
    struct ts_writer w = ts_writer_init(again, sizeof(again));
    encode(&m, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    size_t body = m.type == REPL_MSG_APPEND ? m.u.append.batches.len : 0;
    ts_assert(w.len + body == size - 1 && memcmp(again, data + 1, w.len) == 0);
    ts_assert(body == 0 || m.u.append.batches.data == data + 1 + w.len);
    return 0;
}
