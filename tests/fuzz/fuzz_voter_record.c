/* The voter's durable records: what decodes encodes to the same bytes, and a voter takes it back.
 */
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/voter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct voter_record rec;
    if (voter_record_decode(&rec, (struct ts_bytes){data, size}) != TS_OK) {
        return 0;
    }
    uint8_t again[VOTER_RECORD_MAX];
    struct ts_writer w = ts_writer_init(again, sizeof(again));
    voter_record_encode(&rec, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    ts_assert(w.len == size && memcmp(again, data, w.len) == 0);

    struct voter_limits limits = {.self = {1}, .registers_max = 1, .starts_max = 1, .held_max = 1};
    struct voter *v = voter_new(&limits);
    if (v != NULL) {
        ts_assert(voter_restore(v, &rec) == TS_OK);
        voter_check_invariants(v);
    }
    voter_free(v);
    return 0;
}
