/* The load of a table of sessions from any bytes: what it takes is what a walk gives, byte for
 * byte, and the table is whole. The input is a row of pieces: u32 length, then that many bytes. */
#include <string.h>

#include "base/assert.h"
#include "services/example/lock.h"
#include "services/session_state.h"

#define PIECES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *create(const char *limits)
{
    return session_create(&lock_service, limits);
}

static const struct svc service = SESSION_SERVICE("lock", create);

/* Loads all pieces; gives them without their lengths in `taken`. */
static enum ts_err load(void *state, struct ts_reader *r, struct svc_out *taken)
{
    for (int i = 0; i < PIECES_MAX && ts_reader_left(r) > 0; i++) {
        uint32_t len = ts_get_u32(r);
        struct ts_bytes piece = ts_get_bytes(r, len);
        if (ts_reader_status(r) != TS_OK) {
            return TS_ERR_SHORT;
        }
        enum ts_err err = service.load_piece(state, piece);
        if (err != TS_OK) {
            return err;
        }
        ts_assert(svc_out_put(taken, piece.data, piece.len) == TS_OK);
    }
    return service.load_end(state);
}

static void check(void *state, const struct svc_out *taken)
{
    struct session_state *st = state;
    struct svc_out out = {.max = SIZE_MAX};
    struct svc_walk *walk = service.walk_begin(state);
    ts_assert(walk != NULL);
    /* What is applied under the walk is not in it. */
    struct svc_entry tick = {
        .epoch = {1}, .seq = {st->seq + 1}, .kind = SVC_ENTRY_TICK, .time = {UINT64_MAX}};
    if (st->seq < UINT64_MAX) {
        service.apply(state, &tick, &out);
    }
    while (service.walk_next(walk, &out)) {
    }
    service.walk_end(walk);
    ts_assert(out.data != NULL && taken->data != NULL);
    ts_assert(out.len == taken->len && memcmp(out.data, taken->data, out.len) == 0);
    session_check(st);
    svc_out_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *state = service.create("session-max=6 session-window=8 session-piece-bytes=100");
    struct svc_out taken = {.max = SIZE_MAX};
    struct ts_reader r = ts_reader_init(data, size);
    ts_assert(state != NULL);
    if (load(state, &r, &taken) == TS_OK) {
        session_check(state);
        check(state, &taken);
    }
    service.destroy(state);
    svc_out_free(&taken);
    return 0;
}
