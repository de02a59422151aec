/* heartbeatd around its core: what a packet must pass before it counts, what the own nicd's word
 * must pass, and how both leave again. One file, shared by heartbeatd and the simulator; the key,
 * sockets and the clock are behind hb_perform_ops. Nothing is allocated. */
#ifndef HEARTBEAT_IO_HB_PERFORM_H
#define HEARTBEAT_IO_HB_PERFORM_H

#include "base/buf.h"
#include "heartbeat/heartbeat.h"

/* Why a packet or a local report was refused. X(symbol, text) */
#define HB_REJECT_LIST(X) \
    X(HB_REJECT_MALFORMED, "packets that are no heartbeat") \
    X(HB_REJECT_VERSION, "heartbeats of another format version") \
    X(HB_REJECT_CLUSTER, "heartbeats of another cluster") \
    X(HB_REJECT_TAG, "heartbeats with a wrong key") \
    X(HB_REJECT_CONTENT, "authentic heartbeats with fields out of range") \
    X(HB_REJECT_LOCAL, "local reports that are not nicd's")

enum hb_reject {
#define HB_REJECT_ENUM(sym, text) sym,
    HB_REJECT_LIST(HB_REJECT_ENUM)
#undef HB_REJECT_ENUM
        HB_REJECTS
};

/* `ctx` is hb_perform.ctx. */
struct hb_perform_ops {
    /* Writes the tag of the packet's first HB_SIGNED_BYTES behind them; false: it cannot. */
    bool (*sign)(void *ctx, uint8_t packet[HB_DATAGRAM_BYTES]);
    bool (*is_signed)(void *ctx, const uint8_t packet[HB_DATAGRAM_BYTES]);
    /* To the peer of this index in the core. */
    void (*send)(void *ctx, uint8_t peer, uint8_t path, const uint8_t packet[HB_DATAGRAM_BYTES]);
    /* The report to all who listen. */
    void (*publish)(void *ctx, struct ts_bytes report);
    void (*trace)(void *ctx, const struct ts_trace *t);
    void (*rejected)(void *ctx, enum hb_reject why);
};

/* What one step needs and nobody keeps. */
struct hb_scratch {
    struct hb_effects effects;
    struct report_procs procs;
    struct report_peers peers;
    uint8_t report[REPORT_BYTES_MAX];
};

struct hb_perform {
    const struct hb_perform_ops *ops;
    void *ctx;
    struct hb_scratch *scratch; /* borrowed */
    struct hb_core core;
};

/* A packet that was read from a path, of any length. */
void hb_perform_packet(struct hb_perform *p, uint8_t path, struct ts_bytes packet,
                       struct ts_mono now);
/* A datagram on the local socket: the own nicd's report, or nothing. */
void hb_perform_local(struct hb_perform *p, struct ts_bytes datagram, struct ts_mono now);
/* At hb_deadline(&p->core), after all that waits was read: first hear who speaks, then judge who is
 * silent. */
void hb_perform_tick(struct hb_perform *p, struct ts_mono now);

#endif
