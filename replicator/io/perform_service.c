#include "base/hash.h"
#include "replicator/io/perform_replica.h"

/* A slice of the state is folded into the digest this often while entries come, … */
#define CHECKPOINT_BUSY_NS TS_NS_PER_S
/* … and this often when none do, so that a flipped bit in idle state is found too. */
#define CHECKPOINT_IDLE_NS (10 * TS_NS_PER_S)

/* An own entry that found the log window full waits this long: commits make room. */
#define OWN_RETRY_NS (5 * TS_NS_PER_MS)

void perform_service_expect(struct perform_replica *r, const struct svc_entry *entries,
                            size_t count)
{
    if (r->svc->expect != NULL) {
        r->svc->expect(r->state, entries, count);
    }
}

struct ts_hash perform_service_apply(struct perform_replica *r, const struct svc_entry *entry,
                                     struct ts_epoch epoch, bool release)
{
    r->out.len = 0;
    r->svc->apply(r->state, entry, &r->out);
    struct ts_bytes out = {r->out.data, r->out.len};
    if (release && entry->kind == SVC_ENTRY_COMMAND) {
        r->ops->release(r->perform.ctx, entry, epoch, out);
    }
    return ts_hash_bytes(out.data, out.len);
}

enum ts_err perform_service_order(struct perform_replica *r, const struct repl_request *requests,
                                  size_t count, struct ts_seq *first)
{
    struct repl_event ev = {.kind = REPL_EV_SUBMIT};
    ev.u.submit.requests = requests;
    ev.u.submit.count = count;
    if (requests[0].kind == SVC_ENTRY_COMMAND && !perform_room_takes(r, false)) {
        return TS_ERR_NOSPACE;
    }
    r->ops->feed(r->perform.ctx, &ev);
    *first = r->perform.fx.first_seq;
    switch (r->perform.fx.submit) {
    case REPL_SUBMIT_ORDERED:
        return TS_OK;
    case REPL_SUBMIT_BUSY:
        return TS_ERR_BUSY;
    case REPL_SUBMIT_NONE:
    case REPL_SUBMIT_NOT_PRIMARY:
        break;
    }
    return TS_ERR_REFUSED;
}

/* The logical time at which a TICK is due, as local time; NEVER when none is. */
static struct ts_mono tick_due(const struct perform_replica *r, struct ts_mono now)
{
    const struct repl *core = r->perform.core;
    struct ts_ltime next = r->svc->next_tick(r->state);
    if (!repl_serves(core) || next.ns == UINT64_MAX || ts_seq_lt(repl_applied(core), r->tick_seq)) {
        return TS_MONO_NEVER;
    }
    struct ts_ltime logical = repl_logical_now(core, now);
    struct ts_mono due = next.ns > logical.ns ? ts_mono_add(now, next.ns - logical.ns) : now;
    return ts_mono_lt(due, r->own_after) ? r->own_after : due;
}

static struct ts_mono checkpoint_due(const struct perform_replica *r)
{
    struct ts_seq applied = repl_applied(r->perform.core);
    if (!repl_serves(r->perform.core) || ts_seq_lt(applied, r->checkpoint_seq)) {
        return TS_MONO_NEVER;
    }
    /* Without room somebody wants a snapshot, which needs something new behind the last one. */
    bool busy = ts_seq_lt(r->checkpoint_seq, applied) || !perform_room_takes(r, true);
    struct ts_mono due =
        ts_mono_add(r->checkpoint_at, busy ? CHECKPOINT_BUSY_NS : CHECKPOINT_IDLE_NS);
    return ts_mono_lt(due, r->own_after) ? r->own_after : due;
}

struct ts_mono perform_service_deadline(const struct perform_replica *r, struct ts_mono now)
{
    struct ts_mono a = tick_due(r, now);
    struct ts_mono b = checkpoint_due(r);
    return ts_mono_lt(a, b) ? a : b;
}

static void order_own(struct perform_replica *r, enum svc_entry_kind kind, struct ts_seq *seq,
                      struct ts_mono now)
{
    struct repl_request q = {.kind = kind};
    struct ts_seq first;
    enum ts_err err = perform_service_order(r, &q, 1, &first);
    if (err == TS_OK) {
        *seq = first;
    } else if (err == TS_ERR_BUSY) {
        r->own_after = ts_mono_add(now, OWN_RETRY_NS);
    }
}

void perform_service_turn(struct perform_replica *r, struct ts_mono now)
{
    if (!ts_mono_lt(now, tick_due(r, now))) {
        order_own(r, SVC_ENTRY_TICK, &r->tick_seq, now);
    }
    if (r->ended) {
        return;
    }
    if (!ts_mono_lt(now, checkpoint_due(r))) {
        r->checkpoint_at = now;
        order_own(r, SVC_ENTRY_CHECKPOINT, &r->checkpoint_seq, now);
    }
}

void perform_service_forget(struct perform_replica *r)
{
    r->tick_seq.v = 0;
    r->checkpoint_seq.v = 0;
}
