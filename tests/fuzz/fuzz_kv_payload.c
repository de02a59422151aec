/* kv entries from any bytes: two states with different hash seeds answer alike and stay whole.
 * The input is a row of entries: u8 kind and flags, u8 length, then that many payload bytes. */
#include <string.h>

#include "base/assert.h"
#include "services/kv/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(void *const state[2], struct svc_out out[2], struct ts_reader *r)
{
    struct svc_entry e = {.epoch = {1}, .time = {TS_NS_PER_S}};
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
        kv_service.expect(state[1], &e, 1);
        for (int i = 0; i < 2; i++) {
            out[i].len = 0;
            kv_service.apply(state[i], &e, &out[i]);
        }
        ts_assert(out[0].len == out[1].len && memcmp(out[0].data, out[1].data, out[0].len) == 0);
        ts_assert(e.kind != SVC_ENTRY_COMMAND || out[0].len >= 3);
        out[0].len = 0;
        kv_service.read(state[0], payload, &out[0]);
        ts_assert(kv_service.next_tick(state[0]).ns == kv_service.next_tick(state[1]).ns);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *const state[2] = {
        kv_service.create("hash-seed=1 key-max=64 value-max=256 reply-max=1024 memory-max=4096"),
        kv_service.create("hash-seed=2 key-max=64 value-max=256 reply-max=1024 memory-max=4096"),
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
        kv_store_check(&((const struct kv_state *)state[i])->store);
        kv_service.destroy(state[i]);
        svc_out_free(&out[i]);
    }
    return 0;
}
