/* netctl's core from any bytes. First byte even: a request; whatever it was, what the state became
 * is walked, loaded, and walked to the same bytes. Odd: a load of one piece; what it takes is what
 * a walk gives, byte for byte. Tables are compiled from all of them. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/netctl/compile.h"
#include "services/netctl/netctl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct svc_out walk(void *state)
{
    struct svc_out out = {.max = SIZE_MAX};
    struct svc_walk *w = netctl_service.walk_begin(state);
    ts_assert(w != NULL);
    bool more = netctl_service.walk_next(w, &out);
    ts_assert(!more); /* so little is one piece */
    netctl_service.walk_end(w);
    return out;
}

static void compile(void *state)
{
    struct netctl_compiler *c = netctl_compiler_new(1);
    netctl_compile(c, state);
    netctl_compiler_free(c);
}

/* Gives whether it took the piece. */
static bool load(struct ts_bytes piece)
{
    void *state = netctl_service.create(NULL);
    ts_assert(state != NULL);
    bool taken =
        netctl_service.load_piece(state, piece) == TS_OK && netctl_service.load_end(state) == TS_OK;
    if (taken) {
        compile(state);
        struct svc_out again = walk(state);
        ts_assert(again.len == piece.len && memcmp(again.data, piece.data, piece.len) == 0);
        svc_out_free(&again);
    }
    netctl_service.destroy(state);
    return taken;
}

static void request(struct ts_bytes payload)
{
    void *state = netctl_service.create(NULL);
    struct svc_out answer = {.max = SVC_ANSWER_MAX};
    struct svc_entry e = {
        .epoch = {1}, .seq = {1}, .kind = SVC_ENTRY_COMMAND, .time = {1000}, .payload = payload};
    ts_assert(state != NULL);
    netctl_service.apply(state, &e, &answer);
    ts_assert(answer.len >= 2);
    struct svc_out all = walk(state);
    bool taken = load((struct ts_bytes){all.data, all.len});
    ts_assert(taken);
    svc_out_free(&all);
    svc_out_free(&answer);
    netctl_service.destroy(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] % 2 == 0) {
        request((struct ts_bytes){data + 1, size - 1});
    } else if (size > 0) {
        (void)load((struct ts_bytes){data + 1, size - 1});
    }
    return 0;
}
