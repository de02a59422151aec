/* Local reports: what decodes encodes to the same bytes. */
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static union {
    struct report_procs procs;
    struct report_peers peers;
    struct report_replica replica;
    struct report_trace trace;
    struct report_handoff handoff;
    struct report_figures figures;
    struct report_serves serves;
    struct report_snapshot snapshot;
    struct report_reset reset;
    struct report_address address;
    struct report_refused refused;
} report;

static enum ts_err decode(struct ts_bytes b)
{
    switch (report_peek(b)) {
    case REPORT_NONE:
        break;
    case REPORT_PROCS:
        return report_procs_decode(&report.procs, b);
    case REPORT_PEERS:
        return report_peers_decode(&report.peers, b);
    case REPORT_REPLICA:
        return report_replica_decode(&report.replica, b);
    case REPORT_TRACE:
        return report_trace_decode(&report.trace, b);
    case REPORT_HANDOFF:
        return report_handoff_decode(&report.handoff, b);
    case REPORT_FIGURES:
        return report_figures_decode(&report.figures, b);
    case REPORT_SERVES:
        return report_serves_decode(&report.serves, b);
    case REPORT_SNAPSHOT:
        return report_snapshot_decode(&report.snapshot, b);
    case REPORT_RESET:
        return report_reset_decode(&report.reset, b);
    case REPORT_ADDRESS:
        return report_address_decode(&report.address, b);
    case REPORT_REFUSED:
        return report_refused_decode(&report.refused, b);
    }
    return TS_ERR_MALFORMED;
}

static enum ts_err encode(enum report_kind kind, struct ts_writer *w)
{
    switch (kind) {
    case REPORT_NONE:
        break;
    case REPORT_PROCS:
        return report_procs_encode(&report.procs, w);
    case REPORT_PEERS:
        return report_peers_encode(&report.peers, w);
    case REPORT_REPLICA:
        return report_replica_encode(&report.replica, w);
    case REPORT_TRACE:
        return report_trace_encode(&report.trace, w);
    case REPORT_HANDOFF:
        return report_handoff_encode(&report.handoff, w);
    case REPORT_FIGURES:
        return report_figures_encode(&report.figures, w);
    case REPORT_SERVES:
        return report_serves_encode(&report.serves, w);
    case REPORT_SNAPSHOT:
        return report_snapshot_encode(&report.snapshot, w);
    case REPORT_RESET:
        return report_reset_encode(&report.reset, w);
    case REPORT_ADDRESS:
        return report_address_encode(&report.address, w);
    case REPORT_REFUSED:
        return report_refused_encode(&report.refused, w);
    }
    return TS_ERR_MALFORMED;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ts_bytes b = {data, size};
    if (decode(b) != TS_OK) {
        return 0;
    }
    uint8_t again[REPORT_BYTES_MAX];
    struct ts_writer w = ts_writer_init(again, sizeof(again));
    ts_assert(encode(report_peek(b), &w) == TS_OK);
    ts_assert(w.len == size && memcmp(again, data, size) == 0);
    return 0;
}
