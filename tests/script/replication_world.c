#include "tests/script/replication_world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

static char name_of(struct ts_nic_id nic)
{
    return (char)('A' + nic.v - 1);
}

static void print_set(struct script_text *out, const struct cfg_set *s)
{
    script_printf(out, "{");
    for (size_t i = 0; i < s->count; i++) {
        script_printf(out, "%s%c", i == 0 ? "" : ",", name_of(s->r[i].nic));
    }
    script_printf(out, "}");
}

static void print_config(struct script_text *out, const struct cfg_config *c)
{
    script_printf(out, "config %" PRIu64 " primary %c in-sync ", c->epoch.v, name_of(c->primary));
    print_set(out, &c->in_sync);
}

/* The entries of a run of batches: "4..5@2 6@3" is two batches with their epochs. */
static void print_batches(struct script_text *out, struct ts_bytes bytes)
{
    struct ts_reader r = ts_reader_init(bytes.data, bytes.len);
    struct repl_batch b;
    while (ts_reader_left(&r) > 0) {
        if (repl_batch_decode(&b, &r) != TS_OK) {
            script_printf(out, " malformed");
            return;
        }
        if (ts_seq_eq(b.first, b.last)) {
            script_printf(out, " %" PRIu64 "@%" PRIu64, b.first.v, b.epoch.v);
        } else {
            script_printf(out, " %" PRIu64 "..%" PRIu64 "@%" PRIu64, b.first.v, b.last.v,
                          b.epoch.v);
        }
    }
}

static void print_message(struct script_text *out, uint8_t type, struct ts_bytes frame)
{
    struct repl_msg m;
    script_printf(out, "%s", repl_msg_name(type));
    if (repl_msg_decode(&m, type, frame) != TS_OK) {
        script_printf(out, " malformed");
        return;
    }
    switch (m.type) {
    case REPL_MSG_POSITION:
        script_printf(out,
                      " config=%" PRIu64 " floor=%" PRIu64 " committed=%" PRIu64 " tail=%" PRIu64,
                      m.u.position.config_epoch.v, m.u.position.floor.v,
                      m.u.position.committed.seq.v, m.u.position.tail.seq.v);
        break;
    case REPL_MSG_CONFIG:
        script_printf(out, " ");
        print_config(out, &m.u.config.config);
        break;
    case REPL_MSG_APPEND:
        script_printf(out, " epoch=%" PRIu64 " after=%" PRIu64 " committed=%" PRIu64,
                      m.u.append.epoch.v, m.u.append.prev.seq.v, m.u.append.committed.v);
        print_batches(out, m.u.append.batches);
        break;
    case REPL_MSG_ACK:
        script_printf(out,
                      " epoch=%" PRIu64 " instance=%" PRIu64 " seq=%" PRIu64 " applied=%" PRIu64,
                      m.u.ack.epoch.v, m.u.ack.instance.v, m.u.ack.pos.seq.v, m.u.ack.applied.v);
        break;
    case REPL_MSG_REFUSED:
        script_printf(out, " epoch=%" PRIu64 " floor=%" PRIu64, m.u.refused.epoch.v,
                      m.u.refused.floor.v);
        break;
    case REPL_MSG_CONFIRM:
        script_printf(out, " epoch=%" PRIu64 " round=%" PRIu64, m.u.confirm.epoch.v,
                      m.u.confirm.round);
        break;
    case REPL_MSG_CONFIRMED:
        script_printf(out, " epoch=%" PRIu64 " round=%" PRIu64, m.u.confirmed.epoch.v,
                      m.u.confirmed.round);
        break;
    case REPL_MSG_TAKE_OVER:
        script_printf(out, " epoch=%" PRIu64 " instance=%" PRIu64, m.u.take_over.epoch.v,
                      m.u.take_over.instance.v);
        break;
    case REPL_MSG_REPLAYED:
        script_printf(out, " seq=%" PRIu64 " instance=%" PRIu64, m.u.replayed.seq.v,
                      m.u.replayed.instance.v);
        break;
    case REPL_MSG_ENROL:
        script_printf(out, " disk=%" PRIu64 " instance=%" PRIu64 " replaces=%" PRIu64,
                      m.u.enrol.incarnation.v, m.u.enrol.instance.v, m.u.enrol.replaces.v);
        break;
    }
}

/* ---- the table of perform.c ------------------------------------------------------------ */

static struct script_text *out_of(void *ctx)
{
    return ((struct world_replica *)ctx)->world->out;
}

static char who(void *ctx)
{
    return ((struct world_replica *)ctx)->name;
}

static uint8_t *copy(struct ts_bytes a, struct ts_bytes b)
{
    uint8_t *p = malloc(a.len + b.len + 1);
    ts_assert(p != NULL);
    if (a.len > 0) {
        memcpy(p, a.data, a.len);
    }
    if (b.len > 0) {
        memcpy(p + a.len, b.data, b.len);
    }
    return p;
}

static void push_disk(void *ctx, struct world_disk_op op)
{
    struct world_replica *r = ctx;
    ts_assert(r->pending_count < WORLD_QUEUE_MAX);
    r->pending[r->pending_count++] = op;
}

static void on_append(void *ctx, const struct repl_batch *batch, struct ts_hash hash,
                      struct ts_seq committed)
{
    (void)hash;
    script_printf(out_of(ctx), "%c: journal append", who(ctx));
    print_batches(out_of(ctx), batch->bytes);
    script_printf(out_of(ctx), "\n");
    struct world_disk_op op = {.kind = WORLD_APPEND,
                               .last = batch->last,
                               .committed = committed,
                               .bytes = copy(batch->bytes, (struct ts_bytes){NULL, 0}),
                               .len = batch->bytes.len};
    push_disk(ctx, op);
}

static void on_cut(void *ctx, struct repl_pos end)
{
    script_printf(out_of(ctx), "%c: journal cut after %" PRIu64 "\n", who(ctx), end.seq.v);
    push_disk(ctx, (struct world_disk_op){.kind = WORLD_CUT, .last = end.seq});
}

static void on_floor(void *ctx, struct ts_epoch floor)
{
    script_printf(out_of(ctx), "%c: persist floor %" PRIu64 "\n", who(ctx), floor.v);
    push_disk(ctx, (struct world_disk_op){.kind = WORLD_FLOOR, .floor = floor});
}

static void on_send(void *ctx, struct ts_nic_id to, uint8_t type, struct ts_bytes head,
                    struct ts_bytes body)
{
    struct world_replica *r = ctx;
    struct world *w = r->world;
    struct world_message m = {.type = type, .bytes = copy(head, body), .len = head.len + body.len};
    struct world_queue *q = &w->to[r->nic - 1][to.v - 1];
    script_printf(w->out, "%c -> %c ", r->name, name_of(to));
    print_message(w->out, type, (struct ts_bytes){m.bytes, m.len});
    if (!w->linked[r->nic - 1][to.v - 1]) {
        script_printf(w->out, " (no link)\n");
        free(m.bytes);
        return;
    }
    script_printf(w->out, "\n");
    ts_assert(q->count < WORLD_QUEUE_MAX);
    q->m[q->count++] = m;
}

static void on_fetch(void *ctx, struct ts_nic_id peer, struct ts_seq after, size_t bytes_max)
{
    (void)bytes_max;
    script_printf(out_of(ctx), "%c: fetch for %c after %" PRIu64 "\n", who(ctx), name_of(peer),
                  after.v);
}

static void on_reg(void *ctx, enum repl_effect_kind kind, uint64_t op, struct ts_epoch expected,
                   const struct cfg_config *config)
{
    struct world_replica *r = ctx;
    if (kind == REPL_EF_REG_ABANDON) {
        script_printf(out_of(ctx), "%c: register abandon\n", r->name);
        r->reg_running = false;
        return;
    }
    r->reg_running = true;
    r->reg_kind = kind;
    r->reg_op = op;
    r->reg_expected = expected;
    r->reg_config = *config;
    if (kind == REPL_EF_REG_CAS) {
        script_printf(out_of(ctx), "%c: register swap %" PRIu64 " -> ", r->name, expected.v);
        print_config(out_of(ctx), config);
        script_printf(out_of(ctx), "\n");
    } else {
        script_printf(out_of(ctx), "%c: register %s\n", r->name,
                      kind == REPL_EF_REG_READ ? "read" : "prepare");
    }
}

static struct ts_hash on_apply(void *ctx, const struct svc_entry *entry, struct ts_epoch epoch,
                               bool release)
{
    static const char *const KINDS[] = {"noop", "command", "tick", "checkpoint"};
    struct world_replica *r = ctx;
    if (entry->kind == SVC_ENTRY_COMMAND) {
        r->state = ts_hash_chain(r->state, entry->payload.data, entry->payload.len);
    }
    script_printf(out_of(ctx), "%c: apply %" PRIu64 "@%" PRIu64 " %s", r->name, entry->seq.v,
                  entry->epoch.v, KINDS[entry->kind]);
    if (entry->payload.len > WORLD_SHOWN_MAX) {
        script_printf(out_of(ctx), " of %zu bytes", entry->payload.len);
    } else if (entry->payload.len > 0) {
        script_printf(out_of(ctx), " %.*s", (int)entry->payload.len,
                      (const char *)entry->payload.data);
    }
    if (release && entry->kind == SVC_ENTRY_COMMAND) {
        script_printf(out_of(ctx), " -> answered in epoch %" PRIu64, epoch.v);
    }
    script_printf(out_of(ctx), "\n");
    return r->state;
}

static void on_reads_ready(void *ctx, uint64_t token)
{
    script_printf(out_of(ctx), "%c: reads up to %" PRIu64 " answered\n", who(ctx), token);
}

static void on_close_pending(void *ctx)
{
    script_printf(out_of(ctx), "%c: close pending\n", who(ctx));
}

static void on_role(void *ctx)
{
    (void)ctx; /* the trace event says it */
}

static void on_trace(void *ctx, const struct ts_trace *t)
{
    char line[256];
    (void)ts_trace_format(t, line, sizeof(line));
    script_printf(out_of(ctx), "%c: %s\n", who(ctx), line);
}

static const struct perform_table TABLE = {
    .journal_append = on_append,
    .journal_truncate = on_cut,
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

/* ---- what the scenario lets happen ------------------------------------------------------ */

void world_feed(struct world *w, size_t i, struct repl_event *ev)
{
    ev->now.ns = (1000000 + w->ms) * TS_NS_PER_MS;
    perform_step(&w->r[i].perform, ev);
    repl_check_invariants(w->r[i].core);
}

void world_boot(struct world *w, size_t i)
{
    struct world_replica *r = &w->r[i];
    struct cfg_timing timing = cfg_timing_derive(100 * TS_NS_PER_MS);
    r->instance += 100;
    struct repl_options o = {
        .self = {r->nic},
        .instance = {r->instance + r->nic},
        .first_time = {5000 * TS_NS_PER_S},
        .first_now = {(1000000 + w->ms) * TS_NS_PER_MS},
        .seed = 7,
        .timing = timing,
        .limits = repl_limits_default(&timing),
    };
    o.limits.window_bytes = REPL_LOG_BYTES_MIN;
    o.limits.window_batches = 64;
    r->core = repl_new(&o);
    ts_assert(r->core != NULL);
    r->perform = (struct perform){.core = r->core, .table = &TABLE, .ctx = r};
    r->state = (struct ts_hash){0, 0};
    r->reg_running = false;
    for (size_t k = 0; k < r->durable_count; k++) {
        struct repl_event committed = {.kind = REPL_EV_RESTORE_COMMITTED};
        struct repl_event ev = {.kind = REPL_EV_RESTORE};
        committed.u.committed = r->durable[k].committed;
        world_feed(w, i, &committed);
        ev.u.restore = (struct ts_bytes){r->durable[k].bytes, r->durable[k].len};
        world_feed(w, i, &ev);
    }
    struct repl_event ev = {.kind = REPL_EV_START};
    ev.u.start.incarnation.v = world_incarnation(w, i);
    ev.u.start.replaces.v = r->replaces;
    ev.u.start.floor = r->floor;
    world_feed(w, i, &ev);
}

static struct world_disk_op make_durable(struct world_replica *r)
{
    struct world_disk_op op = r->pending[0];
    r->pending_count--;
    memmove(&r->pending[0], &r->pending[1], r->pending_count * sizeof(op));
    if (op.kind == WORLD_APPEND) {
        ts_assert(r->durable_count < WORLD_LOG_MAX);
        r->durable[r->durable_count++] = op;
    } else if (op.kind == WORLD_CUT) {
        while (r->durable_count > 0 && ts_seq_lt(op.last, r->durable[r->durable_count - 1].last)) {
            free(r->durable[--r->durable_count].bytes);
        }
    } else {
        r->floor = op.floor;
    }
    return op;
}

bool world_disk(struct world *w, size_t i)
{
    struct world_replica *r = &w->r[i];
    if (r->pending_count == 0) {
        return false;
    }
    struct world_disk_op op = make_durable(r);
    struct repl_event ev = {.kind = REPL_EV_PERSISTED};
    if (op.kind == WORLD_FLOOR) {
        ev.kind = REPL_EV_FLOOR_PERSISTED;
        ev.u.floor = op.floor;
        world_feed(w, i, &ev);
    } else if (op.kind == WORLD_APPEND) {
        ev.u.persisted = op.last;
        world_feed(w, i, &ev);
    }
    return true;
}

static void drop_oldest(struct world_queue *q)
{
    free(q->m[0].bytes);
    q->count--;
    memmove(&q->m[0], &q->m[1], q->count * sizeof(q->m[0]));
}

void world_drop(struct world *w, size_t from, size_t to)
{
    while (w->to[from][to].count > 0) {
        drop_oldest(&w->to[from][to]);
    }
}

void world_crash(struct world *w, size_t i, size_t keep)
{
    struct world_replica *r = &w->r[i];
    while (keep-- > 0 && r->pending_count > 0) {
        (void)make_durable(r);
    }
    for (size_t k = 0; k < r->pending_count; k++) {
        free(r->pending[k].bytes);
    }
    r->pending_count = 0;
    repl_free(r->core);
    r->core = NULL;
    for (size_t k = 0; k < w->count; k++) {
        world_drop(w, i, k);
        world_drop(w, k, i);
    }
}

void world_blank(struct world *w, size_t i)
{
    struct world_replica *r = &w->r[i];
    while (r->durable_count > 0) {
        free(r->durable[--r->durable_count].bytes);
    }
    r->floor.v = 0;
}

bool world_deliver(struct world *w, size_t from, size_t to, bool keep)
{
    struct world_queue *q = &w->to[from][to];
    if (q->count == 0 || w->r[to].core == NULL) {
        return false;
    }
    struct world_message m = q->m[0];
    uint8_t *bytes = copy((struct ts_bytes){m.bytes, m.len}, (struct ts_bytes){NULL, 0});
    if (!keep) {
        drop_oldest(q);
    }
    struct repl_event ev = {.kind = REPL_EV_MESSAGE, .peer = {w->r[from].nic}};
    ev.u.message.type = m.type;
    ev.u.message.frame = (struct ts_bytes){bytes, m.len};
    world_feed(w, to, &ev);
    free(bytes);
    return true;
}

bool world_register(struct world *w, size_t i, bool prepare_only)
{
    struct world_replica *r = &w->r[i];
    if (!r->reg_running || (prepare_only && r->reg_kind != REPL_EF_REG_PREPARE)) {
        return false;
    }
    struct repl_event ev = {.kind = REPL_EV_REG_LOST};
    r->reg_running = false;
    if (r->reg_kind == REPL_EF_REG_PREPARE) {
        ev.kind = REPL_EV_REG_PREPARED;
    } else if (r->reg_kind == REPL_EF_REG_CAS && (ts_epoch_eq(w->decided.epoch, r->reg_expected) ||
                                                  cfg_config_eq(&w->decided, &r->reg_config))) {
        ev.kind = REPL_EV_REG_WON;
        w->decided = r->reg_config;
    }
    ev.u.reg.op = r->reg_op;
    ev.u.reg.config = w->decided;
    world_feed(w, i, &ev);
    return true;
}

void world_free(struct world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        if (w->r[i].core != NULL) {
            world_crash(w, i, 0);
        }
        world_blank(w, i);
    }
    free(w);
}
