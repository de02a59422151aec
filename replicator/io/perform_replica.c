#include "replicator/io/perform_replica.h"

#include "replicator/io/transfer_msg.h"

void perform_open(struct perform_replica *r, struct repl *core, const struct perform_table *table,
                  const struct perform_ops *ops, void *ctx)
{
    *r = (struct perform_replica){.ops = ops};
    r->perform.core = core;
    r->perform.table = table;
    r->perform.ctx = ctx;
    r->snapshot.limit = PERFORM_SNAPSHOT_LIMIT;
    perform_scrub_open(r);
}

void perform_close(struct perform_replica *r)
{
    perform_snapshot_close(r);
    perform_scrub_close(r);
    r->ended = true;
    r->started = false;
}

/* The last word: clients that wait are let go, once. nicd starts the replica again: an abandoned
 * disk is refused then, one that was merely full is used when there is room. */
static void end_without_journal(struct perform_replica *r)
{
    struct repl_event failed = {.kind = REPL_EV_DISK_FAILED};
    struct repl_status s;
    repl_status(r->perform.core, &s);
    if (s.why != REPL_WHY_DISK) {
        r->ops->feed(r->perform.ctx, &failed);
    }
    if (!r->ended) {
        r->ops->end(r->perform.ctx, false);
    }
}

static void (*const parts[])(struct perform_replica *) = {
    perform_divergence_keep, perform_divergence_judge,
    perform_disk_answer_refused, /* what the steps until now could not begin */
};

static void (*const timed[])(struct perform_replica *, struct ts_mono) = {
    perform_room_turn,   perform_scrub_turn,    perform_transfer_turn,
    perform_repair_turn, perform_snapshot_turn,
};

void perform_turn(struct perform_replica *r, struct ts_mono now, bool early)
{
    struct repl_event tick = {.kind = REPL_EV_TICK};
    perform_disk_look(r);
    if (r->disk_failed && !r->ended) {
        end_without_journal(r);
        return;
    }
    perform_register_tick(r, now, early);
    if (r->started && (early || !ts_mono_lt(now, repl_deadline(r->perform.core)))) {
        r->ops->feed(r->perform.ctx, &tick);
    }
    if (r->ended) {
        return; /* within the step: its core may be gone */
    }
    if (repl_is_replaced(r->perform.core) && !r->told_replaced) {
        r->told_replaced = true;
        r->ops->replaced(r->perform.ctx);
        return;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !r->ended; i++) {
        parts[i](r);
    }
    for (size_t i = 0; i < sizeof(timed) / sizeof(timed[0]) && !r->ended; i++) {
        timed[i](r, now);
    }
}

bool perform_takes_frame(uint8_t type)
{
    return transfer_msg_is(type) || disk_msg_is(type);
}

enum ts_err perform_frame(struct perform_replica *r, struct ts_nic_id peer, uint8_t type,
                          struct ts_bytes frame, struct ts_mono now)
{
    return disk_msg_is(type) ? perform_room_frame(r, peer, type, frame, now)
                             : perform_transfer_frame(r, peer, type, frame);
}

struct ts_mono perform_deadline(const struct perform_replica *r)
{
    struct ts_mono at = perform_register_deadline(r);
    if (r->started) {
        struct ts_mono core = repl_deadline(r->perform.core);
        at = ts_mono_lt(core, at) ? core : at;
        struct ts_mono again = perform_snapshot_deadline(r);
        at = ts_mono_lt(again, at) ? again : at;
        struct ts_mono look = perform_room_deadline(r);
        at = ts_mono_lt(look, at) ? look : at;
        struct ts_mono scrub = perform_scrub_deadline(r);
        at = ts_mono_lt(scrub, at) ? scrub : at;
        struct ts_mono piece = perform_transfer_deadline(r);
        at = ts_mono_lt(piece, at) ? piece : at;
        struct ts_mono ask = perform_repair_deadline(r);
        at = ts_mono_lt(ask, at) ? ask : at;
    }
    return at;
}
