/* The way to the config register: registration of the start (R1.8), then the proposer, both over
 * the same links to the voters. The registration hears each event first. */
#include "base/assert.h"
#include "replicator/io/perform_replica.h"

static void on_done(struct perform_replica *r, const struct proposer_result *result)
{
    struct repl_event ev = {0};
    switch (result->outcome) {
    case PROPOSER_PREPARED:
        ev.kind = REPL_EV_REG_PREPARED;
        break;
    case PROPOSER_WON:
        ev.kind = REPL_EV_REG_WON;
        break;
    case PROPOSER_DECIDED:
    case PROPOSER_LOST:
        ev.kind = REPL_EV_REG_LOST;
        break;
    }
    ev.u.reg.op = r->op;
    ev.u.reg.config = result->value;
    r->ops->feed(r->perform.ctx, &ev);
}

static void proposer_event(struct perform_replica *r, const struct proposer_event *ev)
{
    struct proposer_effects fx;
    proposer_step(&r->proposer, ev, &fx);
    for (size_t i = 0; i < fx.count && !r->ended; i++) {
        const struct proposer_effect *e = &fx.e[i];
        switch (e->kind) {
        case PROPOSER_EFFECT_SEND:
            r->ops->send_voter(r->perform.ctx, e->voter, &e->msg);
            break;
        case PROPOSER_EFFECT_DONE:
            /* Only a voter's message ends an operation, never the event that starts one:
             * so this is not within a step of the replication core. */
            ts_assert(ev->kind != PROPOSER_EVENT_OP);
            on_done(r, &e->result);
            break;
        case PROPOSER_EFFECT_TRACE:
            r->perform.table->trace(r->perform.ctx, &e->trace);
            break;
        }
    }
}

static void start_event(struct perform_replica *r, const struct start_event *ev)
{
    struct start_effects fx;
    start_step(&r->registration, ev, &fx);
    for (size_t i = 0; i < fx.count && !r->ended; i++) {
        const struct start_effect *e = &fx.e[i];
        switch (e->kind) {
        case START_EFFECT_SEND:
            r->ops->send_voter(r->perform.ctx, e->voter, &e->msg);
            break;
        case START_EFFECT_REGISTERED:
            perform_disk_confirm(r);
            break;
        case START_EFFECT_CLONE:
            r->ops->refused(r->perform.ctx, e->msg.refused.registered_start);
            break;
        case START_EFFECT_TRACE:
            r->perform.table->trace(r->perform.ctx, &e->trace);
            break;
        }
    }
}

void perform_register_open(struct perform_replica *r, const struct start_config *start,
                           const struct proposer_config *proposer, struct ts_mono now)
{
    start_init(&r->registration, start);
    proposer_init(&r->proposer, proposer);
    start_event(r, &(struct start_event){.kind = START_EVENT_BEGIN, .now = now});
}

void perform_register_op(struct perform_replica *r, enum repl_effect_kind kind, uint64_t op,
                         struct ts_epoch expected, const struct cfg_config *config,
                         struct ts_mono now)
{
    struct proposer_event ev = {.kind = PROPOSER_EVENT_OP,
                                .now = now,
                                .op = PROPOSER_OP_CAS,
                                .expected = expected,
                                .config = config};
    if (kind == REPL_EF_REG_ABANDON) {
        proposer_abandon(&r->proposer);
        return;
    }
    if (kind == REPL_EF_REG_PREPARE) {
        ev.op = PROPOSER_OP_PREPARE;
    } else if (kind == REPL_EF_REG_READ) {
        ev.op = PROPOSER_OP_READ;
    }
    r->op = op;
    proposer_event(r, &ev);
}

void perform_register_voter(struct perform_replica *r, uint8_t voter, bool up, struct ts_mono now)
{
    struct start_event start = {
        .kind = up ? START_EVENT_VOTER_UP : START_EVENT_VOTER_DOWN, .now = now, .voter = voter};
    struct proposer_event proposer = {.kind =
                                          up ? PROPOSER_EVENT_VOTER_UP : PROPOSER_EVENT_VOTER_DOWN,
                                      .now = now,
                                      .voter = voter};
    start_event(r, &start);
    if (!r->ended) {
        proposer_event(r, &proposer);
    }
}

enum ts_err perform_register_frame(struct perform_replica *r, uint8_t voter, uint8_t type,
                                   struct ts_bytes payload, struct ts_mono now)
{
    struct reg_msg msg;
    enum ts_err err = reg_msg_decode(&msg, type, payload);
    if (err != TS_OK) {
        return err;
    }
    struct start_event start = {
        .kind = START_EVENT_MESSAGE, .now = now, .voter = voter, .msg = &msg};
    struct proposer_event proposer = {
        .kind = PROPOSER_EVENT_MESSAGE, .now = now, .voter = voter, .msg = &msg};
    start_event(r, &start);
    if (!r->ended) {
        proposer_event(r, &proposer);
    }
    return TS_OK;
}

void perform_register_tick(struct perform_replica *r, struct ts_mono now, bool early)
{
    if (early || !ts_mono_lt(now, start_deadline(&r->registration))) {
        start_event(r, &(struct start_event){.kind = START_EVENT_TICK, .now = now});
    }
    if (!r->ended && (early || !ts_mono_lt(now, proposer_deadline(&r->proposer)))) {
        proposer_event(r, &(struct proposer_event){.kind = PROPOSER_EVENT_TICK, .now = now});
    }
}

struct ts_mono perform_register_deadline(const struct perform_replica *r)
{
    struct ts_mono a = start_deadline(&r->registration);
    struct ts_mono b = proposer_deadline(&r->proposer);
    return ts_mono_lt(a, b) ? a : b;
}
