/* False claims: what a replica's peer, link or journal says, and what nothing can make right again
 * but a new start. Whoever hears one may raise the alarm, refuse the peer or halt; what was said to
 * clients must stay true. The fault's end is the operator's: the replica starts anew.
 *
 * Not among them: a batch that the primary never ordered, at a place where the receiver has none
 * yet. Nothing but its later batches contradicts it. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "replicator/state.h"
#include "tests/sim/sim.h"

#define BYTES_MAX 512

static void hear(struct sim *s, const struct sim_fault *f, enum repl_msg_type type,
                 const struct ts_writer *w)
{
    ts_assert(!w->failed);
    if (sim_stray_listener(s, f->node, f->other) == NULL) {
        return;
    }
    sim_stray_hear(s, f->node, f->other, (uint8_t)type, (struct ts_bytes){w->data, w->len});
}

/* An acknowledgement with another digest of what the primary applied (R5.1). */
static void other_digest(struct sim *s, const struct sim_fault *f, const struct repl *c,
                         struct ts_writer *w)
{
    struct repl_msg_ack m = {
        .epoch = c->config.epoch,
        .incarnation = s->node[f->other].replica.incarnation,
        .instance = {s->node[f->other].proc[SIM_REPLICA].life},
        .applied = c->digest_seq,
        .digest = c->digest,
    };
    m.digest.lo ^= 1;
    repl_msg_ack_encode(&m, w);
    hear(s, f, REPL_MSG_ACK, w);
    hear(s, f, REPL_MSG_ACK, w); /* and stays with it */
}

/* A committed log that is not the beginning of the primary's. */
static void other_log(struct sim *s, const struct sim_fault *f, const struct repl *c,
                      struct ts_writer *w)
{
    struct repl_msg_position m = {
        .config_epoch = c->config.epoch,
        .floor = c->config.epoch,
        .incarnation = s->node[f->other].replica.incarnation,
        .instance = {s->node[f->other].proc[SIM_REPLICA].life},
        .committed = repl_log_tail(&c->log),
    };
    m.committed.hash.lo ^= 1;
    m.tail = m.committed;
    if (m.committed.seq.v > 0) {
        repl_msg_position_encode(&m, w);
        hear(s, f, REPL_MSG_POSITION, w);
        hear(s, f, REPL_MSG_POSITION, w);
    }
}

/* The primary's batches are to follow something else than what is committed here. */
static void other_chain(struct sim *s, const struct sim_fault *f, const struct repl *c,
                        struct ts_writer *w)
{
    struct repl_msg_append m = {.epoch = c->config.epoch, .prev = c->committed};
    m.prev.hash.lo ^= 1;
    if (m.prev.seq.v > 0) {
        repl_msg_append_encode(&m, w);
        hear(s, f, REPL_MSG_APPEND, w);
    }
}

/* The primary sends another batch for a place whose batch it sent in this epoch; `count` entries,
 * so that it may reach behind the end of the log window. */
static void other_batch(struct sim *s, const struct sim_fault *f, const struct repl *c,
                        struct ts_writer *w)
{
    struct repl_request q[4] = {{.request = f->b}, {.request = 1}, {.request = 2}, {.request = 3}};
    if (!ts_epoch_eq(c->verified_epoch, c->config.epoch) || c->verified.seq.v == 0) {
        return;
    }
    uint64_t back = f->b % 4 == 0 ? 0 : f->b % 64;
    struct ts_seq at = {c->verified.seq.v > back ? c->verified.seq.v - back : 1};
    const struct repl_log_slot *slot = repl_log_find(&c->log, at);
    struct repl_msg_append m = {.epoch = c->config.epoch, .prev = c->log.base};
    if (slot != NULL && f->b % 5 != 0) {
        m.prev = (struct repl_pos){{slot->first.v - 1}, slot->prev};
    } else if (m.prev.seq.v > 0) {
        m.prev = (struct repl_pos){{m.prev.seq.v - 1}, {1, 1}}; /* left the window: nobody knows */
    }
    if (ts_seq_lt(c->verified.seq, ts_seq_add(m.prev.seq, 2))) {
        return; /* a place that is still open */
    }
    m.prev.hash = m.prev.seq.v == 0 ? (struct ts_hash){0, 0} : m.prev.hash;
    repl_msg_append_encode(&m, w);
    repl_batch_encode(w, c->config.epoch, ts_seq_add(m.prev.seq, 1), c->last_time, m.prev.hash, q,
                      2 + f->b % 3);
    hear(s, f, REPL_MSG_APPEND, w);
}

/* The peer comes back with another disk; then it was not so. */
static void other_disk(struct sim *s, const struct sim_fault *f)
{
    struct repl_event ev = {.kind = REPL_EV_LINK_DOWN, .peer = {f->other}};
    uint64_t life = s->node[f->node].proc[SIM_REPLICA].life;
    sim_feed(s, f->node, &ev);
    if (s->node[f->node].proc[SIM_REPLICA].life == life) {
        ev = (struct repl_event){.kind = REPL_EV_LINK_UP, .peer = {f->other}};
        ev.u.link.instance.v = s->node[f->other].proc[SIM_REPLICA].life;
        ev.u.link.incarnation.v = 1;
        sim_feed(s, f->node, &ev);
    }
}

/* One that halted takes no part any more, whatever comes. */
static void hear_halted(struct repl *c, struct repl_effects *fx, const struct repl_options *o)
{
    static const enum repl_event_kind KINDS[] = {
        REPL_EV_RESTORE_COMMITTED, REPL_EV_RESTORE, REPL_EV_START,
        REPL_EV_LINK_UP,           REPL_EV_TICK,    REPL_EV_LINK_DOWN,
    };
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        struct repl_event ev = {.kind = KINDS[i], .now = c->now};
        if (ev.kind == REPL_EV_START) {
            ev.u.start.incarnation.v = 1;
        } else if (ev.kind == REPL_EV_LINK_UP || ev.kind == REPL_EV_LINK_DOWN) {
            ev.peer.v = o->self.v + 1;
            ev.u.link.instance.v = 1;
        }
        repl_step(c, &ev, fx);
    }
}

/* A journal gives what does not follow what it gave before, or more than the window holds: the
 * replica does not start on that. */
static void other_journal(struct sim *s, const struct sim_fault *f, const struct repl *like)
{
    struct repl *c = repl_new(&like->o);
    struct repl_effects *fx = malloc(sizeof(*fx));
    struct ts_seq first = {1};
    struct ts_hash prev = {0, 0};
    ts_assert(c != NULL && fx != NULL);
    uint64_t good = f->b % 4 == 0 ? like->o.limits.window_batches : f->b % 5;
    for (uint64_t i = 0; i <= good && c->role != REPL_ROLE_HALTED; i++) {
        uint8_t bytes[BYTES_MAX];
        struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
        struct repl_request q[2] = {{.kind = SVC_ENTRY_NOOP}, {.kind = SVC_ENTRY_NOOP}};
        bool bad = i == good;
        first.v += bad && f->a >> 8 & 1;
        prev.lo += bad && f->a >> 9 & 1;
        repl_batch_encode(&w, (struct ts_epoch){1}, first, (struct ts_ltime){1}, prev, q, 2);
        first.v += 2;
        prev = ts_hash_bytes(bytes, w.len);
        struct repl_event ev = {.kind = REPL_EV_RESTORE, .now = sim_local(s, f->node)};
        ev.u.restore = (struct ts_bytes){bytes, w.len - (bad && (f->a >> 8 & 3) == 0)};
        repl_step(c, &ev, fx);
        /* The end of no batch was committed: that is nothing that can be applied. */
        ev = (struct repl_event){.kind = REPL_EV_RESTORE_COMMITTED, .now = ev.now};
        ev.u.committed.v = first.v - 2;
        repl_step(c, &ev, fx);
    }
    bool halted = c->role == REPL_ROLE_HALTED;
    hear_halted(c, fx, &like->o);
    halted = halted && c->role == REPL_ROLE_HALTED;
    repl_free(c);
    free(fx);
    if (!halted) {
        sim_fail(s, SIM_CHECK_ALARM, "a journal that does not fit was taken");
    }
}

bool sim_lies_begin(struct sim *s, const struct sim_fault *f)
{
    uint8_t bytes[BYTES_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    const struct repl *c = sim_stray_listener(s, f->node, f->other);
    if (c == NULL) {
        return false;
    }
    switch (f->a % 7) {
    case 0:
        other_digest(s, f, c, &w);
        return true;
    case 1:
        other_log(s, f, c, &w);
        return true;
    case 2:
        other_disk(s, f);
        return true;
    case 3:
        other_journal(s, f, c);
        return true;
    case 6:
        /* It comes back where somebody has to take over. */
        s->node[f->node].replica.floor_more = 2 + f->b % 8;
        sim_proc_end(s, f->node, SIM_REPLICA, -SIGKILL);
        sim_proc_end(s, f->other, SIM_REPLICA, -SIGKILL);
        return true;
    default:
        break;
    }
    if (c->config.primary.v != f->other) {
        return false;
    }
    if (f->a % 7 == 4) {
        other_chain(s, f, c, &w);
    } else {
        other_batch(s, f, c, &w);
    }
    return true;
}

void sim_lies_end(struct sim *s, const struct sim_fault *f)
{
    sim_note(s, f->node, "the operator starts the replica anew");
    s->node[f->node].replica.floor_more = 0; /* it may not have begun yet */
    sim_proc_end(s, f->node, SIM_REPLICA, -SIGKILL);
}

/* ---- of nobody ------------------------------------------------------------------------------ */

void sim_lies_of_nobody(struct sim *s, const struct sim_fault *f)
{
    static const enum repl_event_kind KINDS[] = {
        REPL_EV_LINK_UP,        REPL_EV_LINK_DOWN, REPL_EV_MESSAGE,         REPL_EV_EVIDENCE,
        REPL_EV_EVIDENCE_CLEAR, REPL_EV_FETCHED,   REPL_EV_FLOOR_PERSISTED,
    };
    const struct sim_replica *r = &s->node[f->node].replica;
    for (size_t i = 0; i < 2 * sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        uint16_t nobody = i % 4 == 0 ? 0 : TS_NODES_MAX + (i % 4 == 1);
        struct repl_event ev = {.kind = KINDS[i / 2], .peer = {nobody}};
        if (!r->p.started || sim_paused(s, f->node, SIM_REPLICA)) {
            return;
        }
        if (i % 2 == 1 && ev.kind != REPL_EV_LINK_UP && !sim_link_is_up(s, f->node, f->other)) {
            ev.peer.v = f->other; /* a word of a session that is over */
        }
        if (ev.kind == REPL_EV_MESSAGE) {
            ev.u.message.type = REPL_MSG_CONFIRM;
        } else if (ev.kind == REPL_EV_EVIDENCE) {
            ev.peer.v = nobody;
            ev.u.evidence = REPL_EVIDENCE_SILENT;
        }
        sim_feed(s, f->node, &ev);
    }
}
