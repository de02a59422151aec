/* A replication core among peers that say anything. The input is a script: each byte picks an
 * event, the next ones fill it. Peers send raw frames and well-formed messages with wrong contents;
 * links come and go; the disk and the register are honest, but late. No assertion may fire on
 * anything that a peer says, the invariants hold after every step, and what the core sends is
 * well-formed.
 *
 * The first byte picks the role to begin in: starting, secondary, primary, taking over. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "replicator/io/perform.h"
#include "replicator/state.h"

#define NICS 10U /* more than a core has room for */
#define SELF 1U
#define BATCHES_MAX 512
#define FRAME_MAX 4096
#define SETTLE_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A batch in the journal. */
struct kept {
    struct ts_seq first;
    struct ts_seq last;
    uint8_t *bytes; /* owned */
    size_t len;
};

struct world {
    struct ts_reader in;
    struct perform p;
    struct ts_mono now;
    /* journal */
    struct kept kept[BATCHES_MAX];
    size_t kept_count;
    struct ts_epoch floor; /* to be confirmed */
    bool fetching;
    struct ts_nic_id fetch_peer;
    struct ts_seq fetch_after;
    /* register */
    struct cfg_config value;
    bool op_running;
    enum repl_effect_kind op_kind;
    uint64_t op;
    struct ts_epoch expected;
    struct cfg_config proposal;
    /* what was said last */
    uint64_t round;
    uint64_t read_token;
};

static uint8_t u8(struct world *w)
{
    return ts_reader_left(&w->in) == 0 ? 0 : ts_get_u8(&w->in);
}

/* Mostly small, sometimes at the other end of the range. */
static uint64_t odd_u64(struct world *w, uint64_t base)
{
    uint8_t b = u8(w);
    if (b >= 250) {
        return UINT64_MAX - (255U - b);
    }
    return b >= 128 ? base - (b - 128U) : base + b;
}

/* ---- what the core asks for ---- */

static void journal_append(void *ctx, const struct repl_batch *batch, struct ts_hash hash,
                           struct ts_seq committed)
{
    struct world *w = ctx;
    (void)hash;
    ts_assert(committed.v < batch->first.v && w->kept_count < BATCHES_MAX);
    struct kept *k = &w->kept[w->kept_count];
    ts_assert(w->kept_count == 0 ? batch->first.v == 1 : batch->first.v == k[-1].last.v + 1);
    *k = (struct kept){batch->first, batch->last, malloc(batch->bytes.len), batch->bytes.len};
    ts_assert(k->bytes != NULL);
    memcpy(k->bytes, batch->bytes.data, batch->bytes.len);
    w->kept_count++;
}

static void journal_truncate(void *ctx, struct repl_pos end)
{
    struct world *w = ctx;
    while (w->kept_count > 0 && ts_seq_lt(end.seq, w->kept[w->kept_count - 1].last)) {
        free(w->kept[--w->kept_count].bytes);
    }
    ts_assert(end.seq.v == (w->kept_count == 0 ? 0 : w->kept[w->kept_count - 1].last.v));
}

static void persist_floor(void *ctx, struct ts_epoch floor)
{
    struct world *w = ctx;
    w->floor = floor;
}

static void send(void *ctx, struct ts_nic_id to, uint8_t type, struct ts_bytes head,
                 struct ts_bytes body)
{
    struct world *w = ctx;
    struct repl_msg m;
    uint8_t *frame = malloc(head.len + body.len + 1);
    ts_assert(frame != NULL && to.v > SELF && to.v <= TS_NODES_MAX);
    memcpy(frame, head.data, head.len);
    if (body.len > 0) {
        memcpy(frame + head.len, body.data, body.len);
    }
    ts_assert(repl_msg_decode(&m, type, (struct ts_bytes){frame, head.len + body.len}) == TS_OK);
    if (m.type == REPL_MSG_CONFIRM) {
        w->round = m.u.confirm.round;
    }
    free(frame);
}

static void fetch(void *ctx, struct ts_nic_id peer, struct ts_seq after, size_t bytes_max)
{
    struct world *w = ctx;
    (void)bytes_max;
    w->fetching = true;
    w->fetch_peer = peer;
    w->fetch_after = after;
}

static void reg(void *ctx, enum repl_effect_kind kind, uint64_t op, struct ts_epoch expected,
                const struct cfg_config *config)
{
    struct world *w = ctx;
    w->op_running = kind != REPL_EF_REG_ABANDON;
    if (w->op_running) {
        w->op_kind = kind;
        w->op = op;
        w->expected = expected;
        w->proposal = *config;
    }
}

static struct ts_hash apply(void *ctx, const struct svc_entry *entry, struct ts_epoch epoch,
                            bool release)
{
    (void)ctx;
    (void)epoch;
    (void)release;
    return ts_hash_bytes(entry->payload.data, entry->payload.len);
}

static void reads_ready(void *ctx, uint64_t token)
{
    struct world *w = ctx;
    ts_assert(token <= w->read_token);
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static void no_trace(void *ctx, const struct ts_trace *t)
{
    (void)ctx;
    (void)t;
}

static const struct perform_table table = {
    .journal_append = journal_append,
    .journal_truncate = journal_truncate,
    .persist_floor = persist_floor,
    .send = send,
    .fetch = fetch,
    .reg = reg,
    .apply = apply,
    .reads_ready = reads_ready,
    .close_pending = nothing,
    .role = nothing,
    .trace = no_trace,
};

/* ---- honest events ---- */

static void feed(struct world *w, struct repl_event *ev)
{
    ev->now = w->now;
    perform_step(&w->p, ev);
    repl_check_invariants(w->p.core);
    (void)repl_deadline(w->p.core);
}

static void tick(struct world *w, uint64_t ns)
{
    w->now.ns += ns;
    feed(w, &(struct repl_event){.kind = REPL_EV_TICK});
}

/* The disk has everything, or everything but the newest batches. */
static void persisted(struct world *w, size_t behind)
{
    if (behind < w->kept_count) {
        struct repl_event ev = {.kind = REPL_EV_PERSISTED};
        ev.u.persisted = w->kept[w->kept_count - 1 - behind].last;
        feed(w, &ev);
    }
}

static void floor_persisted(struct world *w)
{
    if (w->floor.v != 0) {
        struct repl_event ev = {.kind = REPL_EV_FLOOR_PERSISTED};
        ev.u.floor = w->floor;
        w->floor.v = 0;
        feed(w, &ev);
    }
}

static void reg_answer(struct world *w)
{
    struct repl_event ev = {.kind = REPL_EV_REG_LOST};
    if (!w->op_running) {
        return;
    }
    w->op_running = false;
    if (w->op_kind == REPL_EF_REG_PREPARE) {
        ev.kind = REPL_EV_REG_PREPARED;
    } else if (w->op_kind == REPL_EF_REG_CAS && ts_epoch_eq(w->expected, w->value.epoch)) {
        w->value = w->proposal;
        ev.kind = REPL_EV_REG_WON;
    }
    ev.u.reg.op = w->op;
    ev.u.reg.config = w->value;
    feed(w, &ev);
}

static void fetched(struct world *w, bool good)
{
    struct repl_event ev = {.kind = REPL_EV_FETCHED, .peer = w->fetch_peer};
    if (!w->fetching) {
        return;
    }
    w->fetching = false;
    ev.u.fetched.after = w->fetch_after;
    for (size_t i = 0; good && i < w->kept_count; i++) {
        if (!ts_seq_lt(w->kept[i].last, ts_seq_add(w->fetch_after, 1))) {
            ev.u.fetched.batches = (struct ts_bytes){w->kept[i].bytes, w->kept[i].len};
            break;
        }
    }
    feed(w, &ev);
}

static void submit(struct world *w)
{
    static const uint8_t payload[255] = {1};
    struct repl_request requests[4];
    size_t count = 1 + u8(w) % 4;
    for (size_t i = 0; i < count; i++) {
        requests[i] = (struct repl_request){SVC_ENTRY_COMMAND, 1, i, {payload, u8(w)}};
    }
    struct repl_event ev = {.kind = REPL_EV_SUBMIT};
    ev.u.submit.requests = requests;
    ev.u.submit.count = count;
    if (w->kept_count + 8 < BATCHES_MAX) {
        feed(w, &ev);
    }
}

static void read_arrives(struct world *w)
{
    struct repl_event ev = {.kind = REPL_EV_READ};
    ev.u.read_token = ++w->read_token;
    feed(w, &ev);
}

/* Somebody else changes the register, as its rules allow. */
static void reg_other(struct world *w)
{
    struct ts_nic_id nic = {(uint16_t)(1 + u8(w) % w->value.members.count)};
    if (w->value.epoch.v < UINT64_MAX - 2) {
        w->value.epoch = ts_epoch_next(w->value.epoch);
        w->value.primary = nic;
        w->value.proposer.v = 200U + nic.v;
        w->value.nonce = w->value.epoch.v;
        cfg_set_add(&w->value.in_sync, (struct cfg_replica){nic, {100U + nic.v}});
    }
}

/* ---- what peers do ---- */

static struct ts_nic_id any_peer(struct world *w)
{
    return (struct ts_nic_id){(uint16_t)(2 + u8(w) % (NICS - 1))};
}

static void link_up(struct world *w, struct ts_nic_id peer, uint64_t run)
{
    struct repl_event ev = {.kind = REPL_EV_LINK_UP, .peer = peer};
    ev.u.link.instance.v = 200U + peer.v + run;
    ev.u.link.incarnation.v = 100U + peer.v;
    feed(w, &ev);
}

static void frame(struct world *w, struct ts_nic_id peer, uint8_t type, struct ts_bytes bytes)
{
    struct repl_event ev = {.kind = REPL_EV_MESSAGE, .peer = peer};
    ev.u.message.type = type;
    ev.u.message.frame = bytes;
    if (w->kept_count + 8 < BATCHES_MAX) {
        feed(w, &ev);
    }
}

static void frame_written(struct world *w, struct ts_nic_id peer, uint8_t type,
                          const struct ts_writer *wr)
{
    ts_assert(!wr->failed);
    frame(w, peer, type, (struct ts_bytes){wr->data, wr->len});
}

static void raw(struct world *w)
{
    struct ts_nic_id peer = any_peer(w);
    uint8_t type = (uint8_t)(REPL_MSG_POSITION + u8(w) % 8);
    size_t n = u8(w);
    n = n < ts_reader_left(&w->in) ? n : ts_reader_left(&w->in);
    frame(w, peer, type, ts_get_bytes(&w->in, n));
}

/* A position: of this log, or nearly. */
static struct repl_pos any_pos(struct world *w)
{
    const struct repl *c = w->p.core;
    uint8_t b = u8(w);
    struct repl_pos pos = repl_log_tail(&c->log);
    if (b % 8 == 1) {
        pos = c->committed;
    } else if (b % 8 == 2) {
        pos = c->log.base;
    } else if (b % 8 == 3) {
        pos = (struct repl_pos){{0}, {0, 0}};
    } else if (b % 8 == 4 && c->log.slot_count > 0) {
        size_t i = (c->log.slot_head + b / 8 % c->log.slot_count) % c->log.slots_cap;
        pos = (struct repl_pos){c->log.slots[i].last, c->log.slots[i].hash};
    } else if (b % 8 == 5) {
        pos.seq.v = odd_u64(w, pos.seq.v);
    } else if (b % 8 == 6) {
        pos.hash.lo ^= 1;
    }
    if (pos.seq.v == 0) {
        pos.hash = (struct ts_hash){0, 0};
    }
    return pos;
}

static struct ts_instance peer_instance(struct world *w, struct ts_nic_id peer)
{
    const struct repl_peer *p = repl_peer(w->p.core, peer);
    return p == NULL ? (struct ts_instance){1} : p->instance;
}

static uint64_t any_epoch(struct world *w)
{
    uint8_t b = u8(w);
    return b < 192 ? w->p.core->config.epoch.v : odd_u64(w, w->p.core->config.epoch.v);
}

static struct ts_nic_id primary_or_any(struct world *w)
{
    struct ts_nic_id primary = w->p.core->config.primary;
    bool other = u8(w) >= 192 || primary.v == SELF || primary.v == 0;
    return other ? any_peer(w) : primary;
}

static void say_append(struct world *w)
{
    uint8_t bytes[FRAME_MAX];
    static const uint8_t payload[64] = {2};
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct ts_nic_id peer = primary_or_any(w);
    struct repl_msg_append m = {.epoch = {any_epoch(w)}, .prev = any_pos(w)};
    m.committed.v = odd_u64(w, m.prev.seq.v);
    repl_msg_append_encode(&m, &wr);
    struct repl_pos at = m.prev;
    for (uint8_t n = u8(w) % 5; n > 0; n--) {
        struct repl_request requests[3] = {
            {SVC_ENTRY_COMMAND, 3, n, {payload, u8(w) % sizeof(payload)}},
            {SVC_ENTRY_TICK, 0, 0, {payload, 0}},
            {SVC_ENTRY_NOOP, 0, 0, {payload, 0}},
        };
        uint8_t flaw = u8(w);
        size_t start = wr.len;
        if (flaw == 255) {
            at.seq.v++;
        }
        size_t count = 1 + flaw % 3;
        repl_batch_encode(&wr, (struct ts_epoch){flaw == 254 ? m.epoch.v + 1 : m.epoch.v},
                          ts_seq_add(at.seq, 1), (struct ts_ltime){odd_u64(w, 1000)}, at.hash,
                          requests, count);
        at.seq = ts_seq_add(at.seq, count);
        at.hash = ts_hash_bytes(bytes + start, wr.len - start);
    }
    frame_written(w, peer, REPL_MSG_APPEND, &wr);
}

static void say_ack(struct world *w)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct ts_nic_id peer = any_peer(w);
    struct repl_msg_ack m = {.epoch = {any_epoch(w)},
                             .incarnation = {100U + peer.v},
                             .instance = peer_instance(w, peer),
                             .pos = any_pos(w),
                             .applied = w->p.core->digest_seq,
                             .digest = w->p.core->digest};
    uint8_t flaw = u8(w);
    if (flaw >= 192) {
        m.applied.v = odd_u64(w, m.applied.v);
        m.digest.lo ^= flaw & 1U;
    }
    repl_msg_ack_encode(&m, &wr);
    frame_written(w, peer, REPL_MSG_ACK, &wr);
}

static void say_position(struct world *w)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct ts_nic_id peer = any_peer(w);
    struct repl_msg_position m = {.config_epoch = {any_epoch(w)},
                                  .floor = {any_epoch(w)},
                                  .incarnation = {100U + peer.v},
                                  .instance = peer_instance(w, peer),
                                  .committed = any_pos(w),
                                  .tail = any_pos(w)};
    repl_msg_position_encode(&m, &wr);
    frame_written(w, peer, REPL_MSG_POSITION, &wr);
}

static void say_config(struct world *w)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct ts_nic_id peer = any_peer(w);
    uint8_t b = u8(w);
    struct cfg_config cfg = w->value;
    if (b % 4 == 1) {
        cfg = w->p.core->config;
    } else if (b % 4 == 2) {
        cfg = w->proposal;
    }
    if ((b & 4U) != 0) {
        cfg.epoch.v = odd_u64(w, cfg.epoch.v);
    }
    if ((b & 8U) != 0) {
        struct ts_nic_id nic = {(uint16_t)(1 + u8(w) % 20)};
        cfg.primary = nic;
        if (cfg_set_find(&cfg.members, nic) != NULL || cfg.members.count < TS_MEMBERS_MAX) {
            cfg_set_add(&cfg.members, (struct cfg_replica){nic, {100U + nic.v}});
            cfg.in_sync = cfg.members;
        }
    }
    if ((b & 16U) != 0) {
        cfg.proposer.v = 200U + u8(w) % NICS;
    }
    if (cfg_config_valid(&cfg)) {
        repl_msg_config_encode(&(struct repl_msg_config){cfg}, &wr);
        frame_written(w, peer, REPL_MSG_CONFIG, &wr);
    }
}

static void say_reads(struct world *w)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct ts_nic_id peer = any_peer(w);
    struct repl_msg_confirmed m = {.epoch = {any_epoch(w)},
                                   .asker = w->p.core->o.instance,
                                   .round = u8(w) < 192 ? w->round : odd_u64(w, w->round),
                                   .incarnation = {100U + peer.v},
                                   .instance = peer_instance(w, peer)};
    repl_msg_confirmed_encode(&m, &wr);
    frame_written(w, peer, REPL_MSG_CONFIRMED, &wr);
    wr.len = 0;
    struct repl_msg_confirm ask = {m.epoch, m.instance, m.round};
    repl_msg_confirm_encode(&ask, &wr);
    frame_written(w, primary_or_any(w), REPL_MSG_CONFIRM, &wr);
}

static void say_refused(struct world *w)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct repl_msg_refused m = {{any_epoch(w)}, {odd_u64(w, w->p.core->config.epoch.v)}};
    repl_msg_refused_encode(&m, &wr);
    frame_written(w, any_peer(w), REPL_MSG_REFUSED, &wr);
}

static void say_take_over(struct world *w)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer wr = ts_writer_init(bytes, sizeof(bytes));
    struct ts_nic_id peer = primary_or_any(w);
    struct repl_msg_take_over m = {
        .epoch = {any_epoch(w)}, .instance = peer_instance(w, peer), .why = REPL_TAKE_OVER_DISK};
    repl_msg_take_over_encode(&m, &wr);
    frame_written(w, peer, REPL_MSG_TAKE_OVER, &wr);
}

static void evidence(struct world *w)
{
    uint8_t b = u8(w);
    struct repl_event ev = {.kind = REPL_EV_EVIDENCE, .peer = any_peer(w)};
    if (b % 6 == 0) {
        ev.kind = REPL_EV_EVIDENCE_CLEAR;
    } else {
        ev.u.evidence = (enum repl_evidence)(b % 6 == 5 ? 4 : b % 6);
    }
    feed(w, &ev);
}

static void say(struct world *w, uint8_t what)
{
    switch (what) {
    case 0:
        raw(w);
        break;
    case 1:
    case 2:
        say_append(w);
        break;
    case 3:
        say_ack(w);
        break;
    case 4:
        say_position(w);
        break;
    case 5:
        say_config(w);
        break;
    case 6:
        say_reads(w);
        break;
    case 7:
        say_refused(w);
        say_take_over(w);
        break;
    default:
        link_up(w, any_peer(w), u8(w) % 3);
        break;
    }
}

static void settle(struct world *w)
{
    floor_persisted(w);
    persisted(w, 0);
    reg_answer(w);
    fetched(w, true);
}

static void one_event(struct world *w)
{
    uint8_t b = u8(w) % 20;
    switch (b) {
    case 9:
        feed(w, &(struct repl_event){.kind = REPL_EV_LINK_DOWN, .peer = any_peer(w)});
        break;
    case 10:
        evidence(w);
        break;
    case 11:
        tick(w, (uint64_t)u8(w) * TS_NS_PER_MS);
        break;
    case 12:
        persisted(w, u8(w) % 4);
        break;
    case 13:
        floor_persisted(w);
        break;
    case 14:
        submit(w);
        break;
    case 15:
        read_arrives(w);
        break;
    case 16:
        reg_answer(w);
        break;
    case 17:
        fetched(w, u8(w) < 192);
        break;
    case 18:
        reg_other(w);
        break;
    case 19:
        settle(w);
        break;
    default:
        say(w, b);
        break;
    }
}

/* ---- the beginning ---- */

static void begin(struct world *w, uint8_t role, uint8_t members, uint64_t floor)
{
    struct repl_event ev = {.kind = REPL_EV_START};
    w->value.epoch.v = 5;
    w->value.primary.v = role == 2 ? SELF : 2;
    w->value.proposer.v = 200U + w->value.primary.v;
    for (uint16_t nic = 1; nic <= members; nic++) {
        cfg_set_add(&w->value.members, (struct cfg_replica){{nic}, {100U + nic}});
    }
    w->value.in_sync = w->value.members;
    ev.u.start.incarnation.v = 100U + SELF;
    ev.u.start.floor.v = floor;
    feed(w, &ev);
    for (uint16_t nic = 2; role != 0 && nic <= members; nic++) {
        link_up(w, (struct ts_nic_id){nic}, 0);
    }
    for (int i = 0; role != 0 && i < SETTLE_MAX && w->p.core->active == false; i++) {
        settle(w);
        tick(w, role == 2 ? TS_NS_PER_MS : 0);
    }
    if (role == 3) {
        ev = (struct repl_event){.kind = REPL_EV_EVIDENCE, .peer = {2}};
        ev.u.evidence = REPL_EVIDENCE_EXITED;
        feed(w, &ev);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 8192) {
        return 0;
    }
    struct world *w = calloc(1, sizeof(*w));
    ts_assert(w != NULL);
    w->in = ts_reader_init(data, size);
    w->now.ns = TS_NS_PER_S;
    struct repl_options o = {.self = {SELF}, .instance = {777}, .first_time = {1000}, .seed = 1};
    o.timing = cfg_timing_derive(100 * TS_NS_PER_MS);
    o.limits = repl_limits_default(&o.timing);
    o.limits.window_bytes = REPL_LOG_BYTES_MIN;
    o.limits.window_batches = 8;
    w->p = (struct perform){.core = repl_new(&o), .table = &table, .ctx = w};
    ts_assert(w->p.core != NULL);
    uint8_t first = u8(w);
    /* A floor far ahead: an earlier run believed a peer that lied. */
    begin(w, first % 4, (uint8_t)(2 + u8(w) % (TS_MEMBERS_MAX - 1)), first < 128 ? 5 : 9);
    while (ts_reader_left(&w->in) > 0) {
        one_event(w);
    }
    repl_free(w->p.core);
    while (w->kept_count > 0) {
        free(w->kept[--w->kept_count].bytes);
    }
    free(w);
    return 0;
}
