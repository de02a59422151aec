/* Messages that a peer never sent like this, or long ago, or to somebody else.
 *
 *   garbage   what no decoder may take: damaged copies of true messages. TLS keeps damage on the
 *             way out; a bug, a memory, another version does not care about TLS.
 *   strays    true messages of an earlier session or process, and such with one field changed that
 *             says whom or which epoch, process, disk, round they are about (R2.3, R2.9).
 *
 * None of them may change anything but counters and, at most, have somebody ask again. A message
 * that is false in what it claims, and right in all that says whom it is about, is not among them:
 * nothing could tell it from a true one. */
#include "tests/sim/sim_stray.h"

#include <string.h>

#include "base/assert.h"
#include "replicator/io/transfer_msg.h"
#include "replicator/state.h"
#include "tests/sim/sim.h"

#define TRIES 40
#define FIELDS_END 200 /* damage lies among a message's fields, not deep in its payload */

/* ---- what is kept --------------------------------------------------------------------------- */

/* Slot k is taken by every 2^(k+1)th. */
static size_t slot_of(uint64_t count)
{
    size_t k = (size_t)__builtin_ctzll(count);
    return k < SIM_STRAY_KEPT ? k : SIM_STRAY_KEPT - 1;
}

void sim_stray_keep_frame(struct sim *s, int from, int to, uint8_t type, struct ts_bytes frame)
{
    size_t i = (size_t)(type - REPL_MSG_POSITION);
    if (perform_takes_frame(type)) {
        return; /* what is left of them is seen by their place */
    }
    ts_assert(i < SIM_STRAY_FRAME_TYPES);
    struct sim_stray_frame *f = &s->stray.frame[i][slot_of(++s->stray.frames[i])];
    if (frame.len > SIM_STRAY_FRAME_BYTES_MAX) {
        return;
    }
    sim_bytes_drop(s, f->bytes);
    *f = (struct sim_stray_frame){.bytes = sim_bytes_ref((uint8_t *)frame.data),
                                  .len = frame.len,
                                  .type = type,
                                  .from = (uint8_t)from,
                                  .to = (uint8_t)to};
}

void sim_stray_keep_register(struct sim *s, int from, const struct sim_event *ev,
                             struct ts_bytes payload)
{
    size_t i = (size_t)(ev->type - REG_MSG_PREPARE);
    ts_assert(i < SIM_STRAY_REG_TYPES && payload.len <= REG_MSG_PAYLOAD_MAX);
    struct sim_stray_reg *r = &s->stray.reg[i][slot_of(++s->stray.regs[i])];
    r->handle = ev->a;
    r->len = payload.len;
    r->type = ev->type;
    r->from = (uint8_t)from;
    r->to = ev->node;
    r->proc = ev->proc;
    memcpy(r->bytes, payload.data, payload.len);
}

void sim_stray_reset(struct sim *s)
{
    for (size_t i = 0; i < SIM_STRAY_FRAME_TYPES; i++) {
        for (size_t k = 0; k < SIM_STRAY_KEPT; k++) {
            sim_bytes_drop(s, s->stray.frame[i][k].bytes);
            s->stray.frame[i][k] = (struct sim_stray_frame){0};
        }
        s->stray.frames[i] = 0;
    }
    for (size_t i = 0; i < SIM_STRAY_REG_TYPES; i++) {
        for (size_t k = 0; k < SIM_STRAY_KEPT; k++) {
            s->stray.reg[i][k].len = 0;
        }
        s->stray.regs[i] = 0;
    }
}

/* ---- damage --------------------------------------------------------------------------------- */

static void put_field(struct sim *s, uint8_t *bytes, size_t len)
{
    size_t size = (size_t)1 << sim_rand(s, 0, 3);
    size_t end = len < FIELDS_END ? len : FIELDS_END;
    if (size > end) {
        return;
    }
    uint8_t *field = bytes + sim_rand(s, 0, end - size);
    uint64_t how = sim_rand(s, 0, 3);
    if (how < 2) {
        memset(field, how == 0 ? 0 : 0xff, size);
    } else if (how == 2) {
        field[0]++; /* the next number */
    } else {
        uint64_t any = ts_prng_next(&s->prng);
        memcpy(field, &any, size);
    }
}

size_t sim_stray_damage(struct sim *s, uint8_t *bytes, size_t len, size_t cap)
{
    uint64_t how = sim_rand(s, 0, 9);
    if (how == 0) {
        return (size_t)sim_rand(s, 0, len);
    }
    if (how == 1) {
        for (uint64_t more = sim_rand(s, 1, 8); more > 0 && len < cap; more--) {
            bytes[len++] = (uint8_t)sim_rand(s, 0, 255);
        }
        return len;
    }
    put_field(s, bytes, len);
    if (how == 2) {
        put_field(s, bytes, len);
    }
    return len;
}

/* ---- between replicas ----------------------------------------------------------------------- */

const struct repl *sim_stray_listener(const struct sim *s, int node, int other)
{
    const struct sim_replica *r = &s->node[node].replica;
    bool runs = sim_runs(s, node, SIM_REPLICA) && !sim_paused(s, node, SIM_REPLICA);
    return runs && r->p.started && sim_link_is_up(s, node, other) ? r->core : NULL;
}

void sim_stray_hear(struct sim *s, int node, int other, uint8_t type, struct ts_bytes frame)
{
    const char *name = repl_msg_name(type);
    sim_note(s, node, "hears a stray %s, %zu bytes", name, frame.len);
    s->stray_heard = true;
    struct sim_event ev = {.kind = SIM_EV_LIE,
                           .at = s->now,
                           .node = (uint8_t)node,
                           .proc = SIM_REPLICA,
                           .peer = (uint8_t)other,
                           .type = type,
                           .bytes = (uint8_t *)frame.data,
                           .len = frame.len};
    sim_dispatch(s, &ev);
    s->stray_heard = false;
}

/* What the primary would send behind what it is known to have: from there on it is not believed.
 * False when `other` is not this one's primary. */
static bool append_head(const struct repl *c, int other, struct ts_writer *w)
{
    if (c->config.primary.v != other || !ts_epoch_eq(c->verified_epoch, c->config.epoch)) {
        return false;
    }
    struct repl_msg_append m = {.epoch = c->config.epoch, .prev = c->verified};
    repl_msg_append_encode(&m, w);
    return true;
}

/* A batch that is damaged, of a later epoch, or that leaves a gap or another chain. */
static void bad_batch(struct sim *s, int node, int other)
{
    const struct repl *c = sim_stray_listener(s, node, other);
    uint8_t bytes[SIM_STRAY_FRAME_BYTES_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    struct repl_request q[2] = {{.kind = SVC_ENTRY_NOOP}, {.kind = SVC_ENTRY_NOOP}};
    struct ts_bytes body = {(const uint8_t *)"bytes", 5};
    q[1].payload = body;
    if (c == NULL || !append_head(c, other, &w)) {
        return;
    }
    size_t head = w.len;
    uint64_t how = sim_rand(s, 0, 7);
    struct ts_epoch epoch = {c->config.epoch.v + (how == 0)};
    struct ts_seq first = ts_seq_add(c->verified.seq, how == 1 ? 2 : 1);
    struct ts_hash prev = c->verified.hash;
    prev.lo += how == 2;
    repl_batch_encode(&w, epoch, first, c->last_time, prev, q, 2);
    size_t len = w.len;
    if (how > 2) {
        static const uint8_t fields[][2] = {{0, 4},  {4, 4},  {8, 8}, {16, 8},
                                            {24, 4}, {28, 4}, {32, 8}};
        const uint8_t *field = fields[sim_rand(s, 0, sizeof(fields) / sizeof(fields[0]) - 1)];
        struct repl_batch b;
        if (how > 4) {
            memset(bytes + head + field[0], how % 2 == 0 ? 0 : 0xff, field[1]);
        } else {
            len = head + sim_stray_damage(s, bytes + head, w.len - head, sizeof(bytes) - head);
        }
        struct ts_reader r = ts_reader_init(bytes + head, len - head);
        if (len == head || repl_batch_decode(&b, &r) == TS_OK) {
            return; /* whole after all: it could be true */
        }
    }
    sim_stray_hear(s, node, other, REPL_MSG_APPEND, (struct ts_bytes){bytes, len});
}

static const struct sim_stray_frame *kept_frame(struct sim *s, int node, int other)
{
    size_t type = (size_t)sim_rand(s, 0, SIM_STRAY_FRAME_TYPES - 1);
    const struct sim_stray_frame *f = &s->stray.frame[type][sim_rand(s, 0, SIM_STRAY_KEPT - 1)];
    return f->bytes != NULL && f->from == other && f->to == node ? f : NULL;
}

void sim_stray_garbage_frames(struct sim *s, int node, int other)
{
    uint8_t bytes[SIM_STRAY_FRAME_BYTES_MAX + 8];
    for (int i = 0; i < TRIES && sim_stray_listener(s, node, other) != NULL; i++) {
        const struct sim_stray_frame *f = kept_frame(s, node, other);
        struct repl_msg m;
        if (i % 2 == 0) {
            bad_batch(s, node, other);
            continue;
        }
        if (f == NULL) {
            continue;
        }
        memcpy(bytes, f->bytes, f->len);
        size_t len = sim_stray_damage(s, bytes, f->len, sizeof(bytes));
        uint8_t type = sim_chance_pm(s, 100) ? (uint8_t)sim_rand(s, 0, 255) : f->type;
        if (repl_msg_decode(&m, type, (struct ts_bytes){bytes, len}) != TS_OK) {
            sim_stray_hear(s, node, other, type, (struct ts_bytes){bytes, len});
        }
    }
}

/* ---- strays between replicas ---------------------------------------------------------------- */

/* Changes the n-th field that says whom a message is about, if it has so many. */
static void change_position(struct repl_msg_position *m, uint64_t n)
{
    m->instance.v += n == 0;
    m->incarnation.v += n == 1;
    m->config_epoch.v += n == 2;
    m->config_epoch.v -= n == 3 && m->config_epoch.v > 0;
}

static void change_append(const struct repl *c, struct repl_msg_append *m, uint64_t n)
{
    m->batches.len = n < 4 ? 0 : m->batches.len;
    m->epoch.v += n == 0;
    m->epoch.v -= n == 1 && m->epoch.v > 0;
    if (n == 2 && m->prev.seq.v > 0) {
        m->prev.seq.v += 1ULL << 40; /* far behind the end of every log */
    }
    if (n == 3 && ts_seq_lt(c->committed.seq, m->prev.seq)) {
        m->prev.hash.lo++;
    }
}

static void change_ack(const struct repl *c, struct repl_msg_ack *m, uint64_t n)
{
    m->instance.v += n == 0;
    m->incarnation.v += n == 1;
    m->epoch.v += n == 2;
    m->epoch.v -= n == 3 && m->epoch.v > 0;
    if (n == 4) {
        m->pos.seq.v += 1ULL << 40;
        m->pos.hash.lo |= 1;
    }
    if (n == 5 && m->pos.seq.v > 0) {
        m->pos.hash.lo++;
    }
    if (n == 6 && m->applied.v > 0) {
        /* Within a batch, or not in the window any more: a digest of that place is nowhere. */
        struct ts_seq before = {m->applied.v - 1};
        const struct repl_log_slot *slot = repl_log_find(&c->log, before);
        m->applied = slot == NULL || !ts_seq_eq(slot->last, before) ? before : m->applied;
    }
    if (n == 7 && ts_seq_lt(c->applied, repl_log_tail(&c->log).seq)) {
        m->applied = repl_log_tail(&c->log).seq; /* not applied here yet */
    }
}

static void change_confirmed(struct repl_msg_confirmed *m, uint64_t n)
{
    m->instance.v += n == 0;
    m->incarnation.v += n == 1;
    m->asker.v += n == 2;
    m->epoch.v += n == 3;
    m->round += n == 4;
}

static void encode_frame(const struct repl_msg *m, struct ts_writer *w)
{
    switch (m->type) {
    case REPL_MSG_POSITION:
        repl_msg_position_encode(&m->u.position, w);
        return;
    case REPL_MSG_CONFIG:
        repl_msg_config_encode(&m->u.config, w);
        return;
    case REPL_MSG_APPEND:
        repl_msg_append_encode(&m->u.append, w);
        ts_put_bytes(w, m->u.append.batches.data, m->u.append.batches.len);
        return;
    case REPL_MSG_ACK:
        repl_msg_ack_encode(&m->u.ack, w);
        return;
    case REPL_MSG_REFUSED:
        repl_msg_refused_encode(&m->u.refused, w);
        return;
    case REPL_MSG_CONFIRM:
        repl_msg_confirm_encode(&m->u.confirm, w);
        return;
    case REPL_MSG_CONFIRMED:
        repl_msg_confirmed_encode(&m->u.confirmed, w);
        return;
    case REPL_MSG_TAKE_OVER:
        repl_msg_take_over_encode(&m->u.take_over, w);
        return;
    case REPL_MSG_REPLAYED:
        repl_msg_replayed_encode(&m->u.replayed, w);
        return;
    case REPL_MSG_ENROL:
        repl_msg_enrol_encode(&m->u.enrol, w);
        return;
    }
    ts_unreachable();
}

static void change(struct sim *s, const struct repl *c, struct repl_msg *m)
{
    uint64_t n = sim_rand(s, 0, 8); /* beyond a message's last: it comes as it was sent */
    if (m->type == REPL_MSG_POSITION) {
        change_position(&m->u.position, n);
    } else if (m->type == REPL_MSG_APPEND) {
        change_append(c, &m->u.append, n);
    } else if (m->type == REPL_MSG_ACK) {
        change_ack(c, &m->u.ack, n);
    } else if (m->type == REPL_MSG_CONFIRMED) {
        change_confirmed(&m->u.confirmed, n);
    } else if (m->type == REPL_MSG_CONFIRM) {
        m->u.confirm.epoch.v += n == 0;
        m->u.confirm.epoch.v -= n == 1 && m->u.confirm.epoch.v > 0;
    } else if (m->type == REPL_MSG_REFUSED) {
        m->u.refused.epoch.v += n == 0;
    } else if (m->type == REPL_MSG_TAKE_OVER) {
        m->u.take_over.epoch.v = n == 0 ? c->config.epoch.v + 1 : m->u.take_over.epoch.v;
        m->u.take_over.instance.v += n == 1;
    } else if (m->type == REPL_MSG_REPLAYED) {
        m->u.replayed.seq.v += n == 0;
        m->u.replayed.instance.v += n == 1;
        m->u.replayed.incarnation.v += n == 2;
    } else if (m->type == REPL_MSG_ENROL) {
        m->u.enrol.incarnation.v += n == 0;
        m->u.enrol.instance.v += n == 1;
        m->u.enrol.replaces.v += n == 2;
    }
}

/* One that is not primary speaks as if it were, in the right epoch. */
static bool usurp(const struct repl *c, int other, struct repl_msg *m)
{
    if (c->config.primary.v == other) {
        return false;
    }
    m->u.append.epoch = m->type == REPL_MSG_APPEND ? c->config.epoch : m->u.append.epoch;
    m->u.confirm.epoch = m->type == REPL_MSG_CONFIRM ? c->config.epoch : m->u.confirm.epoch;
    m->u.take_over.epoch = m->type == REPL_MSG_TAKE_OVER ? c->config.epoch : m->u.take_over.epoch;
    return m->type == REPL_MSG_APPEND || m->type == REPL_MSG_CONFIRM ||
           m->type == REPL_MSG_TAKE_OVER;
}

void sim_stray_old_frames(struct sim *s, int node, int other)
{
    for (int i = 0; i < TRIES; i++) {
        const struct repl *c = sim_stray_listener(s, node, other);
        const struct sim_stray_frame *f = kept_frame(s, node, other);
        uint8_t bytes[SIM_STRAY_FRAME_BYTES_MAX];
        struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
        struct repl_msg m;
        if (c == NULL) {
            return;
        }
        if (f == NULL) {
            continue;
        }
        enum ts_err err = repl_msg_decode(&m, f->type, (struct ts_bytes){f->bytes, f->len});
        ts_assert(err == TS_OK);
        if (sim_chance_pm(s, 800) || !usurp(c, other, &m)) {
            change(s, c, &m);
        }
        encode_frame(&m, &w);
        ts_assert(!w.failed);
        sim_stray_hear(s, node, other, f->type, (struct ts_bytes){bytes, w.len});
    }
}
