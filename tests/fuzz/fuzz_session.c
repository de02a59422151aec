/* Entries for a table of sessions from any bytes: two states with different hash seeds behind them
 * answer alike, what they answer decodes, and the tables stay whole. The input is a row of entries:
 * u8 kind and time, u8 length, then that many payload bytes. */
#include <string.h>

#include "base/assert.h"
#include "services/kv/sessions.h"
#include "services/session_state.h"

#define LIMITS \
    " key-max=64 value-max=256 reply-max=1024 memory-max=4096 session-max=5 session-window=4 " \
    "session-bytes=300 session-total-bytes=600 session-idle-ms=90 " \
    "session-yield-ms=20"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(struct ts_bytes payload, const struct svc_out *out)
{
    struct session_msg m = {.op = SESSION_ACK};
    struct session_answer a;
    bool good = session_msg_decode(&m, payload) == TS_OK;
    struct ts_bytes answer = {out->data, out->len};
    ts_assert(session_answer_decode(&a, m.op, answer) == TS_OK);
    ts_assert(good == (a.result != SESSION_MALFORMED));
    if (m.op == SESSION_RESUME && a.result == SESSION_DONE) {
        struct ts_reader r = ts_reader_init(a.rest.data, a.rest.len);
        for (uint32_t i = 0; i < a.count; i++) {
            (void)session_answer_next(&r);
        }
        ts_assert(ts_reader_finish(&r) == TS_OK && a.first == m.number + 1);
    }
}

static void run(void *const state[2], struct svc_out out[2], struct ts_reader *r)
{
    struct svc_entry e = {.epoch = {1}};
    while (ts_reader_left(r) > 0) {
        uint8_t head = ts_get_u8(r);
        struct ts_bytes payload = ts_get_bytes(r, ts_get_u8(r));
        if (ts_reader_status(r) != TS_OK) {
            return;
        }
        e.seq.v++;
        e.time.ns += (uint64_t)(head >> 2) * TS_NS_PER_MS;
        e.kind = (enum svc_entry_kind)(head & 3);
        e.payload = payload;
        for (int i = 0; i < 2; i++) {
            out[i].len = 0;
            kv_with_sessions.apply(state[i], &e, &out[i]);
            session_check(state[i]);
        }
        ts_assert(out[0].len == out[1].len && memcmp(out[0].data, out[1].data, out[0].len) == 0);
        if (e.kind == SVC_ENTRY_COMMAND && session_msg_is(payload)) {
            check_answer(payload, &out[0]);
        }
        ts_assert(kv_with_sessions.next_tick(state[0]).ns ==
                  kv_with_sessions.next_tick(state[1]).ns);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *const state[2] = {
        kv_with_sessions.create("hash-seed=1" LIMITS),
        kv_with_sessions.create("hash-seed=2" LIMITS),
    };
    struct svc_out out[2] = {{.max = 1 << 20}, {.max = 1 << 20}};
    struct ts_reader r = ts_reader_init(data, size);
    ts_assert(state[0] != NULL && state[1] != NULL);
    static const uint8_t nothing[1] = {0};
    for (int i = 0; i < 2; i++) {
        ts_assert(svc_out_put(&out[i], nothing, 1) == TS_OK); /* data is never NULL below */
    }
    run(state, out, &r);
    for (int i = 0; i < 2; i++) {
        kv_with_sessions.destroy(state[i]);
        svc_out_free(&out[i]);
    }
    return 0;
}
