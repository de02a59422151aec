/* Batches, one behind the other as an APPEND carries them. What decodes has the entries that its
 * header promises, all within the input, and encodes to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "replicator/batch.h"

#define ENTRIES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct repl_batch *b)
{
    struct repl_request *requests = malloc(ENTRIES_MAX * sizeof(*requests));
    uint8_t *again = malloc(b->bytes.len);
    ts_assert(requests != NULL && again != NULL);
    struct repl_batch_iter it = repl_batch_iter_init(b);
    struct svc_entry e;
    size_t n = 0;
    while (repl_batch_next(&it, &e)) {
        ts_assert(e.seq.v == b->first.v + n && e.time.ns == b->time.ns);
        ts_assert(e.payload.len <= b->bytes.len);
        if (n < ENTRIES_MAX) {
            requests[n] = (struct repl_request){e.kind, e.session, e.request, e.payload};
        }
        n++;
    }
    ts_assert(n == b->last.v - b->first.v + 1);
    if (n <= ENTRIES_MAX) {
        ts_assert(repl_batch_size(requests, n) == b->bytes.len);
        struct ts_writer w = ts_writer_init(again, b->bytes.len);
        repl_batch_encode(&w, b->epoch, b->first, b->time, b->prev, requests, n);
        ts_assert(w.len == b->bytes.len && memcmp(again, b->bytes.data, w.len) == 0);
    }
    free(again);
    free(requests);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ts_reader r = ts_reader_init(data, size);
    struct repl_batch b;
    while (ts_reader_left(&r) > 0) {
        size_t before = r.pos;
        if (repl_batch_decode(&b, &r) != TS_OK) {
            return 0;
        }
        ts_assert(b.bytes.data == data + before && b.bytes.len == r.pos - before);
        check(&b);
    }
    return 0;
}
