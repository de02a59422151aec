#include "replicator/io/perform.h"

#include "base/assert.h"
#include "base/hash.h"

static void append(struct perform *p, const struct repl_effect *e)
{
    for (struct ts_seq at = e->u.append.from; ts_seq_lt(at, e->u.append.to);) {
        struct repl_batch b;
        struct ts_hash hash;
        repl_batch_at(p->core, ts_seq_add(at, 1), &b, &hash);
        ts_assert(b.first.v == at.v + 1 && !ts_seq_lt(e->u.append.to, b.last));
        p->table->journal_append(p->ctx, &b, hash, e->u.append.committed);
        at = b.last;
    }
}

static void start_disk(struct perform *p, const struct repl_effect *e)
{
    if (e->kind == REPL_EF_JOURNAL_TRUNCATE) {
        p->table->journal_truncate(p->ctx, e->u.truncate);
    } else if (e->kind == REPL_EF_JOURNAL_APPEND) {
        append(p, e);
    } else if (e->kind == REPL_EF_PERSIST_FLOOR) {
        p->table->persist_floor(p->ctx, e->u.floor);
    }
}

static void send_now(struct perform *p, const struct repl_effect *e)
{
    if (e->kind == REPL_EF_SEND) {
        p->table->send(p->ctx, e->peer, e->u.send.type, e->u.send.head, e->u.send.body);
    } else if (e->kind == REPL_EF_FETCH) {
        p->table->fetch(p->ctx, e->peer, e->u.fetch.after, e->u.fetch.bytes_max);
    } else if (e->kind == REPL_EF_REG_PREPARE || e->kind == REPL_EF_REG_READ ||
               e->kind == REPL_EF_REG_CAS || e->kind == REPL_EF_REG_ABANDON) {
        p->table->reg(p->ctx, e->kind, e->u.reg.op, e->u.reg.expected, &e->u.reg.config);
    }
}

static size_t next_entries(struct repl_batch_iter *it, struct svc_entry out[SVC_EXPECT_MAX])
{
    size_t n = 0;
    while (n < SVC_EXPECT_MAX && repl_batch_next(it, &out[n])) {
        n++;
    }
    return n;
}

static struct ts_hash apply_batch(struct perform *p, const struct repl_batch *b,
                                  struct ts_epoch epoch, bool release)
{
    struct repl_batch_iter it = repl_batch_iter_init(b);
    struct svc_entry entry[SVC_EXPECT_MAX];
    struct ts_hash digest = p->digest;
    for (size_t n; (n = next_entries(&it, entry)) > 0;) {
        if (p->table->expect != NULL) {
            p->table->expect(p->ctx, entry, n);
        }
        for (size_t i = 0; i < n; i++) {
            struct ts_hash out = p->table->apply(p->ctx, &entry[i], epoch, release);
            uint64_t parts[4] = {entry[i].seq.v, (uint64_t)entry[i].kind, out.lo, out.hi};
            digest = ts_hash_chain(digest, parts, sizeof(parts));
        }
    }
    return digest;
}

/* Applies batch by batch; the core hears of each, and may acknowledge after the last. */
static void apply(struct perform *p, const struct repl_effect *e, struct ts_mono now)
{
    struct ts_epoch epoch = repl_epoch(p->core);
    struct ts_seq at = e->u.apply.from;
    while (ts_seq_lt(at, e->u.apply.to)) {
        struct repl_batch b;
        struct ts_hash hash;
        repl_batch_at(p->core, ts_seq_add(at, 1), &b, &hash);
        ts_assert(b.first.v == at.v + 1 && !ts_seq_lt(e->u.apply.to, b.last));
        p->digest = apply_batch(p, &b, epoch, e->u.apply.release);
        p->applied_bytes += b.bytes.len;
        struct repl_event applied = {.kind = REPL_EV_APPLIED, .now = now};
        applied.u.applied.seq = b.last;
        applied.u.applied.digest = p->digest;
        repl_step(p->core, &applied, &p->inner);
        for (size_t i = 0; i < p->inner.count; i++) {
            ts_assert(p->inner.e[i].kind == REPL_EF_SEND);
            send_now(p, &p->inner.e[i]);
        }
        at = b.last;
    }
}

static void tell(struct perform *p, const struct repl_effect *e)
{
    if (e->kind == REPL_EF_READS_READY) {
        p->table->reads_ready(p->ctx, e->u.read_token);
    } else if (e->kind == REPL_EF_CLOSE_PENDING) {
        p->table->close_pending(p->ctx);
    } else if (e->kind == REPL_EF_ROLE) {
        p->table->role(p->ctx);
    } else if (e->kind == REPL_EF_TRACE) {
        p->table->trace(p->ctx, &e->u.trace);
    }
}

void perform_step(struct perform *p, const struct repl_event *ev)
{
    repl_step(p->core, ev, &p->fx);
    for (size_t i = 0; i < p->fx.count; i++) {
        start_disk(p, &p->fx.e[i]);
    }
    for (size_t i = 0; i < p->fx.count; i++) {
        send_now(p, &p->fx.e[i]);
    }
    for (size_t i = 0; i < p->fx.count; i++) {
        if (p->fx.e[i].kind == REPL_EF_APPLY) {
            apply(p, &p->fx.e[i], ev->now);
        }
    }
    for (size_t i = 0; i < p->fx.count; i++) {
        tell(p, &p->fx.e[i]);
    }
}
