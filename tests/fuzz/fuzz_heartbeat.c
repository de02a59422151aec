/* The heartbeat datagram: what decodes encodes to the same bytes, and the state machine takes
 * any sequence of authentic packets. An input is one packet, or several of them in a row. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "heartbeat/heartbeat.h"

#define PACKETS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_codec(const struct hb_datagram *d, const uint8_t *packet)
{
    uint8_t again[HB_SIGNED_BYTES];
    struct ts_writer w = ts_writer_init(again, sizeof(again));
    ts_assert(hb_datagram_encode(d, &w) == TS_OK);
    ts_assert(w.len == HB_SIGNED_BYTES && memcmp(again, packet, w.len) == 0);
    ts_assert(hb_datagram_precheck((struct ts_bytes){packet, HB_DATAGRAM_BYTES}, d->cluster) ==
              TS_OK);
}

/* Node 1 of three, which gets every packet as if its tag were right. */
static void check_core(const uint8_t *data, size_t count)
{
    static const struct cfg_node nodes[3] = {
        {.id = {1}, .path_count = 2}, {.id = {2}, .path_count = 2}, {.id = {3}, .path_count = 1}};
    struct cfg_cluster *cluster = calloc(1, sizeof(*cluster));
    struct hb_core *core = calloc(1, sizeof(*core));
    struct hb_effects *effects = calloc(1, sizeof(*effects));
    struct report_peers *report = calloc(1, sizeof(*report));
    ts_assert(cluster != NULL && core != NULL && effects != NULL && report != NULL);
    struct ts_mono now = {1};
    cluster->timing = cfg_timing_derive(100 * TS_NS_PER_MS);
    cluster->node_count = 3;
    memcpy(cluster->nodes, nodes, sizeof(nodes));
    hb_init(core, cluster, nodes[0].id, (struct ts_instance){7}, now);
    for (size_t i = 0; i < count; i++) {
        struct hb_datagram d;
        const uint8_t *packet = data + i * HB_DATAGRAM_BYTES;
        if (hb_datagram_decode(&d, (struct ts_bytes){packet, HB_DATAGRAM_BYTES}) != TS_OK) {
            continue;
        }
        check_codec(&d, packet);
        now.ns += packet[HB_SIGNED_BYTES] * TS_NS_PER_MS; /* the tag's byte serves as a clock */
        struct hb_event event = {
            .kind = HB_EVENT_DATAGRAM, .now = now, .path = d.path, .datagram = &d};
        hb_step(core, &event, effects);
        hb_check_invariants(core);
        hb_step(core, &(struct hb_event){.kind = HB_EVENT_TICK, .now = now}, effects);
        hb_check_invariants(core);
        hb_report(core, now, report);
    }
    free(report);
    free(effects);
    free(core);
    free(cluster);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hb_datagram d;
    struct ts_bytes whole = {data, size};
    enum ts_err precheck = hb_datagram_precheck(whole, 0);
    ts_assert(precheck != TS_OK || size == HB_DATAGRAM_BYTES);
    if (hb_datagram_decode(&d, whole) == TS_OK) {
        check_codec(&d, data);
    }
    size_t count = size / HB_DATAGRAM_BYTES;
    if (count > 0 && count <= PACKETS_MAX) {
        check_core(data, count);
    }
    return 0;
}
