/* The order in which effects are performed: one file, shared by the shell and the simulator.
 *
 *   1. journal: truncate, append, floor     (starts the disk; nothing waits for it here)
 *   2. send, register, fetch                (at the same time as the disk writes)
 *   3. apply committed entries, each output handed over tagged with its entry
 *   4. reads, closing of waiting clients, role, trace
 *
 * Acknowledgements, promises and seals are sends that the cores emit only after the
 * disk's completion came back as an event: that order is theirs, not this file's. A removal is
 * published (2) before anything is released because of it (3), as R3.1 asks. */
#ifndef REPLICATOR_IO_PERFORM_H
#define REPLICATOR_IO_PERFORM_H

#include "replicator/repl.h"

/* What the shell, or the simulator, does for the core. `ctx` is perform.ctx. */
struct perform_table {
    void (*journal_append)(void *ctx, const struct repl_batch *batch, struct ts_hash hash,
                           struct ts_seq committed);
    void (*journal_truncate)(void *ctx, struct repl_pos end);
    void (*persist_floor)(void *ctx, struct ts_epoch floor);
    void (*send)(void *ctx, struct ts_nic_id to, uint8_t type, struct ts_bytes head,
                 struct ts_bytes body);
    void (*fetch)(void *ctx, struct ts_nic_id peer, struct ts_seq after, size_t bytes_max);
    /* kind is REG_PREPARE, REG_READ, REG_CAS or REG_ABANDON. */
    void (*reg)(void *ctx, enum repl_effect_kind kind, uint64_t op, struct ts_epoch expected,
                const struct cfg_config *config);
    /* These committed entries are applied next, at most SVC_EXPECT_MAX. NULL: nobody cares. */
    void (*expect)(void *ctx, const struct svc_entry *entries, size_t count);
    /* Applies one committed entry and gives the hash of its output. With `release` the output
     * may go to whoever waits for it, tagged with `epoch`; without, it is dropped. */
    struct ts_hash (*apply)(void *ctx, const struct svc_entry *entry, struct ts_epoch epoch,
                            bool release);
    void (*reads_ready)(void *ctx, uint64_t token);
    void (*close_pending)(void *ctx);
    void (*role)(void *ctx);
    void (*trace)(void *ctx, const struct ts_trace *t);
};

struct perform {
    struct repl *core; /* borrowed */
    const struct perform_table *table;
    void *ctx;
    struct ts_hash digest;     /* rolling, of everything applied (R5.1) */
    uint64_t applied_bytes;    /* of all batches that were applied */
    struct repl_effects fx;    /* of the running step */
    struct repl_effects inner; /* of the steps that applying feeds */
};

/* Steps the core with `ev` and performs what follows. Not re-entrant: functions of the table
 * must not call it; events that they cause are fed later. The results of a SUBMIT stand in
 * p->fx.submit and p->fx.first_seq afterwards. */
void perform_step(struct perform *p, const struct repl_event *ev);

#endif
