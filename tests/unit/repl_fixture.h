/* For tests of one replication core: what performs its effects, noting each call in one line of
 * text, and the events that lead it into a role. Header only: each test program is one file. */
#ifndef TESTS_UNIT_REPL_FIXTURE_H
#define TESTS_UNIT_REPL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "replicator/io/perform.h"

#define SELF 1
#define PEER 2
#define LOG_BYTES 4096

struct world {
    struct perform p;
    struct ts_mono now;
    char log[LOG_BYTES]; /* one letter a call, with what it is about */
    size_t log_len;
    /* the newest of each */
    struct ts_seq journal_end;
    struct ts_epoch floor;
    enum repl_effect_kind op_kind;
    uint64_t op;
    struct cfg_config proposal;
    bool released;
    struct repl_msg sent;
};

static inline void note(struct world *w, const char *what, uint64_t number)
{
    int n = snprintf(w->log + w->log_len, LOG_BYTES - w->log_len, "%s%llu ", what,
                     (unsigned long long)number);
    assert_true(n > 0 && (size_t)n < LOG_BYTES - w->log_len);
    w->log_len += (size_t)n;
}

static inline void note_append(void *ctx, const struct repl_batch *batch, struct ts_hash hash,
                               struct ts_seq committed)
{
    struct world *w = ctx;
    assert_true(ts_hash_eq(hash, ts_hash_bytes(batch->bytes.data, batch->bytes.len)));
    assert_true(committed.v < batch->first.v);
    w->journal_end = batch->last;
    note(w, "journal:", batch->last.v);
}

static inline void note_truncate(void *ctx, struct repl_pos end)
{
    struct world *w = ctx;
    w->journal_end = end.seq;
    note(w, "truncate:", end.seq.v);
}

static inline void persist_floor(void *ctx, struct ts_epoch floor)
{
    struct world *w = ctx;
    w->floor = floor;
    note(w, "floor:", floor.v);
}

static inline void note_send(void *ctx, struct ts_nic_id to, uint8_t type, struct ts_bytes head,
                             struct ts_bytes body)
{
    struct world *w = ctx;
    assert_int_equal(to.v, PEER);
    assert_true(type == REPL_MSG_APPEND || body.len == 0);
    assert_int_equal(repl_msg_decode(&w->sent, type, head), TS_OK);
    note(w, repl_msg_name(type), body.len != 0);
}

static inline void fetch(void *ctx, struct ts_nic_id peer, struct ts_seq after, size_t bytes_max)
{
    (void)peer;
    (void)bytes_max;
    note(ctx, "fetch:", after.v);
}

static inline void reg(void *ctx, enum repl_effect_kind kind, uint64_t op, struct ts_epoch expected,
                       const struct cfg_config *config)
{
    struct world *w = ctx;
    w->op_kind = kind;
    w->op = op;
    w->proposal = *config;
    note(w, "reg:", expected.v);
}

static inline struct ts_hash apply(void *ctx, const struct svc_entry *entry, struct ts_epoch epoch,
                                   bool release)
{
    struct world *w = ctx;
    struct repl_status s;
    repl_status(w->p.core, &s);
    assert_true(ts_epoch_eq(s.config.epoch, epoch));
    assert_true(entry->epoch.v <= epoch.v);
    w->released = release;
    note(w, "apply:", entry->seq.v);
    return ts_hash_bytes(entry->payload.data, entry->payload.len);
}

static inline void reads_ready(void *ctx, uint64_t token)
{
    note(ctx, "reads:", token);
}

static inline void close_pending(void *ctx)
{
    note(ctx, "close:", 0);
}

static inline void role(void *ctx)
{
    struct world *w = ctx;
    struct repl_status s;
    repl_status(w->p.core, &s);
    note(w, "role:", s.role);
}

static inline void trace(void *ctx, const struct ts_trace *t)
{
    (void)ctx;
    assert_non_null(t);
}

static const struct perform_table table = {
    .journal_append = note_append,
    .journal_truncate = note_truncate,
    .persist_floor = persist_floor,
    .send = note_send,
    .fetch = fetch,
    .reg = reg,
    .apply = apply,
    .reads_ready = reads_ready,
    .close_pending = close_pending,
    .role = role,
    .trace = trace,
};

/* Performs one event; the log holds what it led to. */
static inline void step(struct world *w, struct repl_event ev)
{
    w->log_len = 0;
    w->log[0] = '\0';
    w->now.ns += TS_NS_PER_MS;
    ev.now = w->now;
    perform_step(&w->p, &ev);
    repl_check_invariants(w->p.core);
}

static inline void persisted(struct world *w)
{
    struct repl_event ev = {.kind = REPL_EV_PERSISTED};
    ev.u.persisted = w->journal_end;
    step(w, ev);
}

static inline void floor_persisted(struct world *w)
{
    struct repl_event ev = {.kind = REPL_EV_FLOOR_PERSISTED};
    ev.u.floor = w->floor;
    step(w, ev);
}

static inline void reg_answer(struct world *w, enum repl_event_kind kind,
                              const struct cfg_config *config)
{
    struct repl_event ev = {.kind = kind};
    ev.u.reg.op = w->op;
    ev.u.reg.config = *config;
    step(w, ev);
}

/* `count` commands of one byte as one batch. */
static inline void submit(struct world *w, size_t count)
{
    static const uint8_t x[] = "x";
    struct repl_request requests[8];
    for (size_t i = 0; i < count; i++) {
        requests[i] = (struct repl_request){SVC_ENTRY_COMMAND, 0, i, {x, 1}};
    }
    struct repl_event ev = {.kind = REPL_EV_SUBMIT};
    ev.u.submit.requests = requests;
    ev.u.submit.count = count;
    step(w, ev);
}

static inline void link_up(struct world *w)
{
    struct repl_event ev = {.kind = REPL_EV_LINK_UP, .peer = {PEER}};
    ev.u.link.instance.v = 202;
    ev.u.link.incarnation.v = 102;
    step(w, ev);
}

static inline void message(struct world *w, uint8_t type, const struct ts_writer *bytes)
{
    struct repl_event ev = {.kind = REPL_EV_MESSAGE, .peer = {PEER}};
    ev.u.message.type = type;
    ev.u.message.frame = (struct ts_bytes){bytes->data, bytes->len};
    step(w, ev);
}

static inline struct cfg_config first_config(uint16_t primary, bool alone)
{
    struct cfg_config c = {.epoch = {1}, .primary = {primary}};
    cfg_set_add(&c.members, (struct cfg_replica){{SELF}, {101}});
    if (!alone) {
        cfg_set_add(&c.members, (struct cfg_replica){{PEER}, {102}});
    }
    c.in_sync = c.members;
    return c;
}

static inline int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    struct repl_options o = {.self = {SELF}, .instance = {201}, .first_time = {1000}, .seed = 3};
    o.timing = cfg_timing_derive(100 * TS_NS_PER_MS);
    o.limits = repl_limits_default(&o.timing);
    o.limits.window_bytes = REPL_LOG_BYTES_MIN;
    o.limits.window_batches = 4;
    w->p = (struct perform){.core = repl_new(&o), .table = &table, .ctx = w};
    assert_non_null(w->p.core);
    w->now.ns = TS_NS_PER_S;
    struct repl_event ev = {.kind = REPL_EV_START};
    ev.u.start.incarnation.v = 101;
    step(w, ev);
    assert_string_equal(w->log, "reg:0 "); /* a read: nothing is known yet */
    *state = w;
    return 0;
}

static inline int teardown(void **state)
{
    struct world *w = *state;
    repl_free(w->p.core);
    free(w);
    return 0;
}

/* Makes the replica the active primary of epoch 2 with nobody else in sync; seq 1 is its no-op. */
static inline void become_primary(struct world *w, bool alone)
{
    struct cfg_config c = first_config(SELF, alone);
    reg_answer(w, REPL_EV_REG_LOST, &c);
    assert_int_equal(w->op_kind, REPL_EF_REG_PREPARE); /* R2.6: it took over from itself */
    reg_answer(w, REPL_EV_REG_PREPARED, &c);
    floor_persisted(w);
    assert_int_equal(w->op_kind, REPL_EF_REG_CAS);
    c = w->proposal;
    reg_answer(w, REPL_EV_REG_WON, &c);
    persisted(w);
    struct repl_status s;
    repl_status(w->p.core, &s);
    assert_true(s.active && s.applied.v == 1 && s.config.epoch.v == 2);
}

static inline struct repl_status status(const struct world *w)
{
    struct repl_status s;
    repl_status(w->p.core, &s);
    return s;
}

static inline void tick_after(struct world *w, uint64_t ms)
{
    w->now.ns += ms * TS_NS_PER_MS;
    step(w, (struct repl_event){.kind = REPL_EV_TICK});
}

static inline void say_position(struct world *w, uint64_t config_epoch, struct repl_pos tail)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct repl_msg_position m = {
        .config_epoch = {config_epoch}, .incarnation = {102}, .instance = {202}, .tail = tail};
    repl_msg_position_encode(&m, &wr);
    message(w, REPL_MSG_POSITION, &wr);
}

/* The journal's answer to a FETCH: one batch of `count` no-ops from `first` on. */
static inline void fetched(struct world *w, uint64_t after, uint64_t first, size_t count)
{
    uint8_t bytes[512];
    struct repl_request noops[8] = {{.kind = SVC_ENTRY_NOOP}};
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct ts_hash prev = {first - 1, first - 1}; /* none before the first */
    repl_batch_encode(&wr, (struct ts_epoch){2}, (struct ts_seq){first}, (struct ts_ltime){2000},
                      prev, noops, count);
    struct repl_event ev = {.kind = REPL_EV_FETCHED, .peer = {PEER}};
    ev.u.fetched.after.v = after;
    ev.u.fetched.batches = (struct ts_bytes){bytes, wr.len};
    step(w, ev);
}

static inline struct repl_pos own_end(const struct world *w)
{
    struct repl_batch b;
    struct repl_pos end = {.seq = status(w).tail.seq};
    repl_batch_at(w->p.core, end.seq, &b, &end.hash);
    return end;
}

static inline void give_ack(struct world *w, const struct repl_msg_ack *m)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    repl_msg_ack_encode(m, &wr);
    message(w, REPL_MSG_ACK, &wr);
}

/* What the peer rightly says of everything that is in the log. */
static inline struct repl_msg_ack true_ack(const struct world *w)
{
    return (struct repl_msg_ack){.epoch = status(w).config.epoch,
                                 .incarnation = {102},
                                 .instance = {202},
                                 .pos = own_end(w),
                                 .applied = status(w).applied,
                                 .digest = w->p.digest};
}

/* An active primary with the peer in sync, in epoch 3. */
static inline void with_secondary(struct world *w)
{
    become_primary(w, false);
    link_up(w);
    say_position(w, 2, (struct repl_pos){{0}, {0, 0}});
    struct repl_msg_ack m = true_ack(w);
    give_ack(w, &m);
    assert_int_equal(w->op_kind, REPL_EF_REG_CAS);
    struct cfg_config c = w->proposal;
    assert_int_equal(c.in_sync.count, 2);
    reg_answer(w, REPL_EV_REG_WON, &c);
    floor_persisted(w);
    assert_int_equal(status(w).required_mask, 1U << SELF | 1U << PEER);
}

#endif
