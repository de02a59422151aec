/* Virtual disks, and the table that perform.c acts through. Operations of one disk become
 * durable in order; a crash keeps a prefix of those not yet confirmed. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "tests/sim/sim.h"

static struct sim *sim_of(void *ctx)
{
    return ((struct sim_replica *)ctx)->sim;
}

static int node_of(void *ctx)
{
    return ((struct sim_replica *)ctx)->node;
}

/* Counts an effect; true when the process has crashed before it. */
static bool crashed(void *ctx)
{
    struct sim_replica *r = ctx;
    if (r->crash_in > 0 && --r->crash_in == 0) {
        r->dying = true;
        sim_note(r->sim, r->node, "crashes in the middle of a step");
    }
    return r->dying;
}

void sim_disk_push(struct sim *s, int node, struct sim_op op)
{
    struct sim_disk *d = &s->replica[node].disk;
    ts_assert(d->op_count < SIM_OPS_MAX);
    d->ops[(d->op_head + d->op_count++) % SIM_OPS_MAX] = op;
    uint64_t from = d->busy_until > s->now ? d->busy_until : s->now;
    uint64_t took = sim_chance(s, 4) ? sim_rand(s, 1, 30) * SIM_MS : sim_rand(s, 60, 400) * 1000;
    d->busy_until = from + took;
    sim_push(s, (struct sim_event){.kind = SIM_EV_DISK,
                                   .at = d->busy_until,
                                   .node = node,
                                   .life = s->replica[node].life});
}

/* Makes the oldest operation durable. */
static struct sim_op commit_op(struct sim *s, int node)
{
    struct sim_disk *d = &s->replica[node].disk;
    ts_assert(d->op_count > 0);
    struct sim_op op = d->ops[d->op_head];
    d->op_head = (d->op_head + 1) % SIM_OPS_MAX;
    d->op_count--;
    if (op.kind == SIM_OP_APPEND) {
        ts_assert(d->log_count < SIM_BATCHES_MAX);
        d->log[d->log_count++] = op;
    } else if (op.kind == SIM_OP_TRUNCATE) {
        while (d->log_count > 0 && ts_seq_lt(op.seq, d->log[d->log_count - 1].seq)) {
            free(d->log[--d->log_count].bytes);
        }
    } else {
        d->floor = op.floor;
    }
    return op;
}

/* A completion for positions that were cut off meanwhile is not told, as the journal does. */
static bool cut_later(const struct sim_disk *d, struct ts_seq seq)
{
    for (size_t i = 0; i < d->op_count; i++) {
        const struct sim_op *op = &d->ops[(d->op_head + i) % SIM_OPS_MAX];
        if (op->kind == SIM_OP_TRUNCATE && ts_seq_lt(op->seq, seq)) {
            return true;
        }
    }
    return false;
}

void sim_disk_complete(struct sim *s, int node)
{
    struct sim_op op = commit_op(s, node);
    struct repl_event ev = {.kind = REPL_EV_PERSISTED};
    if (op.kind == SIM_OP_FLOOR) {
        ev.kind = REPL_EV_FLOOR_PERSISTED;
        ev.u.floor = op.floor;
        sim_feed(s, node, &ev);
    } else if (op.kind == SIM_OP_APPEND && !cut_later(&s->replica[node].disk, op.seq)) {
        ev.u.persisted = op.seq;
        sim_feed(s, node, &ev);
    }
}

void sim_disk_crash(struct sim *s, int node)
{
    struct sim_disk *d = &s->replica[node].disk;
    size_t keep = d->op_count == 0 ? 0 : (size_t)sim_rand(s, 0, d->op_count);
    while (keep-- > 0) {
        (void)commit_op(s, node);
    }
    while (d->op_count > 0) {
        free(d->ops[d->op_head].bytes);
        d->op_head = (d->op_head + 1) % SIM_OPS_MAX;
        d->op_count--;
    }
    d->busy_until = s->now;
}

void sim_disk_restore(struct sim *s, int node)
{
    struct sim_disk *d = &s->replica[node].disk;
    for (size_t i = 0; i < d->log_count; i++) {
        struct repl_event committed = {.kind = REPL_EV_RESTORE_COMMITTED};
        struct repl_event ev = {.kind = REPL_EV_RESTORE};
        committed.u.committed = d->log[i].committed;
        sim_feed(s, node, &committed);
        ev.u.restore = (struct ts_bytes){d->log[i].bytes, d->log[i].len};
        sim_feed(s, node, &ev);
    }
    struct repl_event ev = {.kind = REPL_EV_START};
    ev.u.start.incarnation.v = 100 + (uint64_t)node;
    ev.u.start.floor = d->floor;
    sim_feed(s, node, &ev);
}

void sim_disk_free(struct sim *s, int node)
{
    struct sim_disk *d = &s->replica[node].disk;
    for (size_t i = 0; i < d->log_count; i++) {
        free(d->log[i].bytes);
    }
    for (size_t i = 0; i < d->op_count; i++) {
        free(d->ops[(d->op_head + i) % SIM_OPS_MAX].bytes);
    }
    free(d->log);
}

/* ---- the table ----------------------------------------------------------------------- */

static void on_append(void *ctx, const struct repl_batch *batch, struct ts_hash hash,
                      struct ts_seq committed)
{
    int node = node_of(ctx);
    (void)hash;
    if (crashed(ctx)) {
        return;
    }
    struct sim_op op = {.kind = SIM_OP_APPEND, .seq = batch->last, .committed = committed};
    op.len = batch->bytes.len;
    op.bytes = malloc(op.len);
    ts_assert(op.bytes != NULL);
    memcpy(op.bytes, batch->bytes.data, op.len);
    sim_disk_push(sim_of(ctx), node, op);
}

static void on_truncate(void *ctx, struct repl_pos end)
{
    if (!crashed(ctx)) {
        sim_disk_push(sim_of(ctx), node_of(ctx),
                      (struct sim_op){.kind = SIM_OP_TRUNCATE, .seq = end.seq});
    }
}

static void on_floor(void *ctx, struct ts_epoch floor)
{
    if (!crashed(ctx)) {
        sim_disk_push(sim_of(ctx), node_of(ctx),
                      (struct sim_op){.kind = SIM_OP_FLOOR, .floor = floor});
    }
}

static void on_send(void *ctx, struct ts_nic_id to, uint8_t type, struct ts_bytes head,
                    struct ts_bytes body)
{
    if (!crashed(ctx)) {
        sim_net_send(sim_of(ctx), node_of(ctx), to.v, type, head, body);
    }
}

static void on_fetch(void *ctx, struct ts_nic_id peer, struct ts_seq after, size_t bytes_max)
{
    int node = node_of(ctx);
    struct sim_disk *d = &sim_of(ctx)->replica[node].disk;
    if (crashed(ctx)) {
        return;
    }
    struct sim_event ev = {.kind = SIM_EV_FETCHED,
                           .at = sim_of(ctx)->now + sim_rand(sim_of(ctx), 100, 2000) * 1000,
                           .node = node,
                           .life = sim_of(ctx)->replica[node].life,
                           .peer = peer.v,
                           .a = after.v};
    uint8_t *bytes = malloc(bytes_max);
    ts_assert(bytes != NULL);
    bool refused = sim_chance(sim_of(ctx), 5); /* too many reads at once */
    for (size_t i = 0; i < d->log_count && !refused; i++) {
        if (ts_seq_lt(after, d->log[i].seq) && ev.len + d->log[i].len <= bytes_max &&
            ev.len < 2000) {
            memcpy(bytes + ev.len, d->log[i].bytes, d->log[i].len);
            ev.len += d->log[i].len;
        } else if (ev.len > 0) {
            break;
        }
    }
    ev.bytes = bytes;
    sim_note(sim_of(ctx), node, "reads %zu bytes after seq %llu for node %u", ev.len,
             (unsigned long long)after.v, peer.v);
    sim_push(sim_of(ctx), ev);
}

static void on_reg(void *ctx, enum repl_effect_kind kind, uint64_t op, struct ts_epoch expected,
                   const struct cfg_config *config);

static struct ts_hash on_apply(void *ctx, const struct svc_entry *entry, struct ts_epoch epoch,
                               bool release)
{
    int node = node_of(ctx);
    struct sim_service *v = &sim_of(ctx)->replica[node].service;
    if (entry->kind == SVC_ENTRY_COMMAND) {
        v->count++;
        v->hash = ts_hash_chain(v->hash, entry->payload.data, entry->payload.len);
    }
    if (!(release && crashed(ctx))) {
        sim_client_applied(sim_of(ctx), node, entry, v->count,
                           release && !sim_of(ctx)->replica[node].dying, epoch);
    }
    return v->hash;
}

static void on_reads_ready(void *ctx, uint64_t token)
{
    if (!crashed(ctx)) {
        sim_client_reads_ready(sim_of(ctx), node_of(ctx), token);
    }
}

static void on_close_pending(void *ctx)
{
    sim_client_gone(sim_of(ctx), node_of(ctx));
}

static void on_role(void *ctx)
{
    (void)ctx;
}

static void on_trace(void *ctx, const struct ts_trace *t)
{
    char line[200];
    if (t->kind == TS_TRACE_ACTIVE) {
        sim_of(ctx)->takeovers++;
    }
    if (t->kind == TS_TRACE_ALARM_DIVERGENCE || t->kind == TS_TRACE_ALARM_CHAIN) {
        (void)ts_trace_format(t, line, sizeof(line));
        sim_fail(sim_of(ctx), "node %d: %s", node_of(ctx), line);
    }
    if (sim_of(ctx)->trace) {
        (void)ts_trace_format(t, line, sizeof(line));
        sim_note(sim_of(ctx), node_of(ctx), "%s", line);
    }
}

static void reg_effects(void *ctx, struct proposer_effects *fx);

static void on_reg(void *ctx, enum repl_effect_kind kind, uint64_t op, struct ts_epoch expected,
                   const struct cfg_config *config)
{
    int node = node_of(ctx);
    struct sim_replica *r = &sim_of(ctx)->replica[node];
    if (crashed(ctx)) {
        return;
    }
    if (kind == REPL_EF_REG_ABANDON) {
        proposer_abandon(&r->proposer);
        return;
    }
    struct proposer_event ev = {.kind = PROPOSER_EVENT_OP,
                                .now = {sim_of(ctx)->now},
                                .op = PROPOSER_OP_CAS,
                                .expected = expected,
                                .config = config};
    if (kind == REPL_EF_REG_PREPARE) {
        ev.op = PROPOSER_OP_PREPARE;
    } else if (kind == REPL_EF_REG_READ) {
        ev.op = PROPOSER_OP_READ;
    }
    r->op = op;
    struct proposer_effects fx;
    proposer_step(&r->proposer, &ev, &fx);
    reg_effects(ctx, &fx);
}

static void reg_effects(void *ctx, struct proposer_effects *fx)
{
    for (size_t i = 0; i < fx->count; i++) {
        if (fx->e[i].kind == PROPOSER_EFFECT_SEND && !crashed(ctx)) {
            sim_net_to_voter(sim_of(ctx), node_of(ctx), fx->e[i].voter + 1, &fx->e[i].msg);
        }
    }
}

const struct perform_table sim_perform_table = {
    .journal_append = on_append,
    .journal_truncate = on_truncate,
    .persist_floor = on_floor,
    .send = on_send,
    .fetch = on_fetch,
    .reg = on_reg,
    .apply = on_apply,
    .reads_ready = on_reads_ready,
    .close_pending = on_close_pending,
    .role = on_role,
    .trace = on_trace,
};
