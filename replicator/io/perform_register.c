/* The way to the config register: registration of the start (R1.8), then the proposer, both over
 * the same links to the voters. The registration hears each event first. */
#include "base/assert.h"
#include "replicator/io/perform_replica.h"

/* A disk that was replaced since may have confirmed the start, and what it knew may be lost with
 * it: what counts is a majority by a decided value that was read after they confirmed (adr/0029).
 * The core reads the register before all else. */
static bool start_counts_by(struct perform_replica *r, const struct proposer_result *result)
{
    bool first = !r->start_counts && result->outcome == PROPOSER_DECIDED;
    r->start_waits = first && !start_counts(&r->registration, &result->value.voters);
    r->start_counts = !r->start_waits;
    return !r->start_waits;
}

static void on_done(struct perform_replica *r, const struct proposer_result *result)
{
    struct repl_event ev = {0};
    if (!start_counts_by(r, result)) {
        return;
    }
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
    uint8_t confirmed = r->registration.confirmed_mask;
    start_step(&r->registration, ev, &fx);
    if (r->start_waits && (r->registration.confirmed_mask & ~confirmed) != 0) {
        r->start_waits = false;
        proposer_event(r, &(struct proposer_event){
                              .kind = PROPOSER_EVENT_OP, .now = ev->now, .op = PROPOSER_OP_READ});
    }
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
    r->start_counts = false;
    r->start_waits = false;
    r->voters_told.v = 0;
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
    r->start_waits = false;
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

/* Tells the core of a primary what there is to do about a voter's disk, when that changes. */
static void look_at_voters(struct perform_replica *r)
{
    const struct cfg_config *c = r->ended || !r->started ? NULL : repl_led_config(r->perform.core);
    if (c == NULL || c->voters.count == 0) {
        return;
    }
    struct repl_event ev = {.kind = REPL_EV_VOTERS, .u.voters.epoch = c->epoch};
    ev.u.voters.steps = proposer_next_voters(&r->proposer, c, &ev.u.voters.next, &ev.u.voters.ask);
    if (!ts_epoch_eq(r->voters_told, c->epoch) || r->voters_step != ev.u.voters.steps ||
        r->voters_ask != ev.u.voters.ask || !cfg_voters_eq(&r->voters_next, &ev.u.voters.next)) {
        r->voters_told = c->epoch;
        r->voters_step = ev.u.voters.steps;
        r->voters_ask = ev.u.voters.ask;
        r->voters_next = ev.u.voters.next;
        r->ops->feed(r->perform.ctx, &ev);
    }
}

void perform_register_voter(struct perform_replica *r, uint8_t voter, bool up,
                            struct ts_incarnation disk, struct ts_mono now)
{
    struct start_event start = {.kind = up ? START_EVENT_VOTER_UP : START_EVENT_VOTER_DOWN,
                                .now = now,
                                .voter = voter,
                                .disk = disk};
    struct proposer_event proposer = {.kind =
                                          up ? PROPOSER_EVENT_VOTER_UP : PROPOSER_EVENT_VOTER_DOWN,
                                      .now = now,
                                      .voter = voter,
                                      .disk = disk};
    start_event(r, &start);
    if (!r->ended) {
        proposer_event(r, &proposer);
    }
    look_at_voters(r);
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
    look_at_voters(r);
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
