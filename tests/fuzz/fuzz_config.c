/* The config record: what decodes is valid and encodes to the same bytes. */
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cfg_config c;
    struct ts_reader r = ts_reader_init(data, size);
    cfg_config_decode(&c, &r);
    if (ts_reader_status(&r) != TS_OK) {
        ts_assert(c.epoch.v == 0 && c.members.count == 0);
        return 0;
    }
    ts_assert(cfg_config_valid(&c));
    uint8_t again[CFG_CONFIG_ENCODED_MAX];
    struct ts_writer w = ts_writer_init(again, sizeof(again));
    cfg_config_encode(&c, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    ts_assert(w.len == r.pos && memcmp(again, data, w.len) == 0);
    return 0;
}
