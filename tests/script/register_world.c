#include "tests/script/register_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void world_print_ballot(struct script_text *out, struct reg_ballot b)
{
    if (reg_ballot_is_zero(b)) {
        script_printf(out, "0");
        return;
    }
    script_printf(out, "%" PRIu64 ".%u.%" PRIu64, b.counter, b.proposer.v, b.instance.v);
}

void world_print_config(struct script_text *out, const struct cfg_config *c)
{
    script_printf(out, "[epoch %" PRIu64 " primary %u in-sync", c->epoch.v, c->primary.v);
    for (size_t i = 0; i < c->in_sync.count; i++) {
        script_printf(out, "%c%u", i == 0 ? ' ' : ',', c->in_sync.r[i].nic.v);
    }
    script_printf(out, " nonce %" PRIu64 "]", c->nonce);
}

void world_print_value(struct script_text *out, const struct reg_value *v)
{
    if (v->len == 0) {
        script_printf(out, "[none]");
        return;
    }
    struct cfg_config c;
    struct ts_reader r = ts_reader_init(v->data, v->len);
    cfg_config_decode(&c, &r);
    if (ts_reader_finish(&r) != TS_OK) {
        script_printf(out, "[unreadable]");
        return;
    }
    world_print_config(out, &c);
}

static void print_start(struct script_text *out, const struct reg_start *s)
{
    script_printf(out, "incarnation %" PRIu64 " start %" PRIu64 " instance %" PRIu64,
                  s->incarnation.v, s->start, s->instance.v);
}

void world_print_msg(struct script_text *out, const struct reg_msg *m)
{
    script_printf(out, "%s ", reg_msg_name(m->type));
    switch (m->type) {
    case REG_MSG_PREPARE:
        world_print_ballot(out, m->prepare.ballot);
        return;
    case REG_MSG_PROMISE:
        world_print_ballot(out, m->promise.ballot);
        script_printf(out, " accepted ");
        world_print_ballot(out, m->promise.accepted);
        script_printf(out, " ");
        world_print_value(out, &m->promise.value);
        return;
    case REG_MSG_ACCEPT:
        world_print_ballot(out, m->accept.ballot);
        script_printf(out, " ");
        world_print_value(out, &m->accept.value);
        return;
    case REG_MSG_ACCEPTED:
        world_print_ballot(out, m->accepted.ballot);
        return;
    case REG_MSG_NACK:
        world_print_ballot(out, m->nack.ballot);
        script_printf(out, " promised ");
        world_print_ballot(out, m->nack.promised);
        script_printf(out, " (%s)", reg_nack_name(m->nack.reason));
        return;
    case REG_MSG_START:
    case REG_MSG_START_OK:
        print_start(out, &m->start);
        return;
    case REG_MSG_BLANK:
        world_print_ballot(out, m->blank.ballot);
        script_printf(out, " disk %" PRIu64 " for the place of %" PRIu64, m->blank.disk.v,
                      m->blank.places.v[0].v);
        return;
    case REG_MSG_STARTS_ASK:
        script_printf(out, "%u", (unsigned)m->starts_ask.index);
        return;
    case REG_MSG_STARTS_TELL:
        script_printf(out, "%u ", (unsigned)m->starts_tell.index);
        if (m->starts_tell.has) {
            print_start(out, &m->starts_tell.start);
        }
        return;
    case REG_MSG_START_REFUSED:
        print_start(out, &m->refused.asked);
        script_printf(out, " registered start %" PRIu64 " instance %" PRIu64,
                      m->refused.registered_start, m->refused.registered_instance.v);
        return;
    }
    ts_unreachable();
}

static void print_trace(struct script_text *out, const char *who, const struct ts_trace *t)
{
    char text[256];
    (void)ts_trace_format(t, text, sizeof(text));
    script_printf(out, "%s: %s\n", who, text);
}

static void print_record(struct script_text *out, const struct voter_record *rec)
{
    if (rec->kind == VOTER_RECORD_START) {
        script_printf(out, " ");
        print_start(out, &rec->start);
        return;
    }
    script_printf(out, " promised ");
    world_print_ballot(out, rec->reg.promised);
    script_printf(out, " accepted ");
    world_print_ballot(out, rec->reg.accepted);
    script_printf(out, " ");
    world_print_value(out, &rec->reg.value);
}

static void push(struct world_queue *q, const struct reg_msg *msg, uint64_t handle)
{
    ts_assert(q->count < WORLD_QUEUE_MAX);
    q->p[q->count].msg = *msg;
    q->p[q->count].handle = handle;
    q->count++;
}

static struct world_packet pop(struct world_queue *q)
{
    ts_assert(q->count > 0);
    struct world_packet p = q->p[0];
    q->count--;
    memmove(&q->p[0], &q->p[1], q->count * sizeof(q->p[0]));
    return p;
}

void world_send(struct world *w, size_t actor, size_t voter, const struct reg_msg *msg)
{
    script_printf(w->out, "%s -> v%zu ", w->actor[actor].name, voter + 1);
    world_print_msg(w->out, msg);
    script_printf(w->out, "\n");
    push(&w->to_voter[actor][voter], msg, w->connection[actor][voter]);
}

/* A handle is connection * WORLD_ACTORS_MAX + actor, so that a reply finds its connection. */
static void reply(struct world *w, size_t voter, uint64_t handle, const struct reg_msg *msg)
{
    size_t actor = (size_t)(handle % WORLD_ACTORS_MAX);
    bool gone = w->connection[actor][voter] != handle / WORLD_ACTORS_MAX;
    script_printf(w->out, "v%zu -> %s ", voter + 1, w->actor[actor].name);
    world_print_msg(w->out, msg);
    script_printf(w->out, "%s\n", gone ? " (connection gone)" : "");
    if (!gone) {
        push(&w->to_actor[actor][voter], msg, 0);
    }
}

void world_step_voter(struct world *w, size_t voter, const struct voter_event *ev)
{
    struct world_voter *v = &w->voter[voter];
    struct voter_effects *fx = &w->voter_fx;
    voter_step(v->core, ev, fx);
    voter_check_invariants(v->core);
    char name[8];
    (void)snprintf(name, sizeof(name), "v%zu", voter + 1);
    for (size_t i = 0; i < fx->count; i++) {
        const struct voter_effect *e = &fx->e[i];
        switch (e->kind) {
        case VOTER_PERSIST:
            ts_assert(v->pending_count < WORLD_QUEUE_MAX);
            v->pending[v->pending_count++] =
                (struct world_write){.n = e->persist.n, .record = e->persist.record};
            script_printf(w->out, "%s: persist #%" PRIu64, name, e->persist.n);
            print_record(w->out, &e->persist.record);
            script_printf(w->out, "\n");
            break;
        case VOTER_REPLY:
            reply(w, voter, e->reply.handle, &e->reply.msg);
            break;
        case VOTER_TRACE:
            print_trace(w->out, name, &e->trace);
            break;
        }
    }
}

void world_step_actor(struct world *w, size_t actor, const struct proposer_event *ev)
{
    struct world_actor *a = &w->actor[actor];
    struct proposer_effects *fx = &w->proposer_fx;
    proposer_step(&a->proposer, ev, fx);
    proposer_check_invariants(&a->proposer);
    for (size_t i = 0; i < fx->count; i++) {
        const struct proposer_effect *e = &fx->e[i];
        switch (e->kind) {
        case PROPOSER_EFFECT_SEND:
            world_send(w, actor, e->voter, &e->msg);
            break;
        case PROPOSER_EFFECT_DONE:
            script_printf(w->out, "%s: done %s %s ", a->name, proposer_op_name(e->result.op),
                          proposer_outcome_name(e->result.outcome));
            world_print_config(w->out, &e->result.value);
            script_printf(w->out, "\n");
            break;
        case PROPOSER_EFFECT_TRACE:
            print_trace(w->out, a->name, &e->trace);
            break;
        }
    }
}

void world_step_starter(struct world *w, size_t actor, const struct start_event *ev)
{
    struct world_actor *a = &w->actor[actor];
    struct start_effects fx;
    start_step(&a->starter, ev, &fx);
    start_check_invariants(&a->starter);
    for (size_t i = 0; i < fx.count; i++) {
        const struct start_effect *e = &fx.e[i];
        switch (e->kind) {
        case START_EFFECT_SEND:
            world_send(w, actor, e->voter, &e->msg);
            break;
        case START_EFFECT_REGISTERED:
            script_printf(w->out, "%s: registered at a majority\n", a->name);
            break;
        case START_EFFECT_CLONE:
            script_printf(w->out, "%s: CLONE, says v%u\n", a->name, e->voter + 1U);
            break;
        case START_EFFECT_TRACE:
            print_trace(w->out, a->name, &e->trace);
            break;
        }
    }
}

static void step_link(struct world *w, size_t actor, size_t voter, bool up)
{
    if (w->actor[actor].kind == WORLD_PROPOSER) {
        struct proposer_event ev = {
            .kind = up ? PROPOSER_EVENT_VOTER_UP : PROPOSER_EVENT_VOTER_DOWN,
            .now = w->now,
            .voter = (uint8_t)voter,
        };
        world_step_actor(w, actor, &ev);
        return;
    }
    struct start_event ev = {
        .kind = up ? START_EVENT_VOTER_UP : START_EVENT_VOTER_DOWN,
        .now = w->now,
        .voter = (uint8_t)voter,
    };
    world_step_starter(w, actor, &ev);
}

void world_connect(struct world *w, size_t actor, size_t voter)
{
    w->connection[actor][voter] = ++w->connections;
    step_link(w, actor, voter, true);
}

void world_disconnect(struct world *w, size_t actor, size_t voter)
{
    w->connection[actor][voter] = 0;
    w->to_voter[actor][voter].count = 0;
    w->to_actor[actor][voter].count = 0;
    step_link(w, actor, voter, false);
}

void world_tick(struct world *w, size_t actor)
{
    if (w->actor[actor].kind == WORLD_PROPOSER) {
        struct proposer_event ev = {.kind = PROPOSER_EVENT_TICK, .now = w->now};
        world_step_actor(w, actor, &ev);
        return;
    }
    struct start_event ev = {.kind = START_EVENT_TICK, .now = w->now};
    world_step_starter(w, actor, &ev);
}

bool world_deliver_to_voter(struct world *w, size_t actor, size_t voter)
{
    struct world_queue *q = &w->to_voter[actor][voter];
    if (q->count == 0) {
        return false;
    }
    struct world_packet p = pop(q);
    if (w->voter[voter].core == NULL) {
        script_printf(w->out, "v%zu is down\n", voter + 1);
        return true;
    }
    struct voter_event ev = {
        .kind = VOTER_MESSAGE,
        .now = w->now,
        .from = w->actor[actor].node,
        .handle = p.handle * WORLD_ACTORS_MAX + actor,
        .msg = &p.msg,
    };
    world_step_voter(w, voter, &ev);
    return true;
}

bool world_deliver_to_actor(struct world *w, size_t actor, size_t voter)
{
    struct world_queue *q = &w->to_actor[actor][voter];
    if (q->count == 0) {
        return false;
    }
    struct world_packet p = pop(q);
    if (w->actor[actor].kind == WORLD_PROPOSER) {
        struct proposer_event ev = {
            .kind = PROPOSER_EVENT_MESSAGE, .now = w->now, .voter = (uint8_t)voter, .msg = &p.msg};
        world_step_actor(w, actor, &ev);
        return true;
    }
    struct start_event ev = {
        .kind = START_EVENT_MESSAGE, .now = w->now, .voter = (uint8_t)voter, .msg = &p.msg};
    world_step_starter(w, actor, &ev);
    return true;
}

static bool same_key(const struct voter_record *a, const struct voter_record *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    return a->kind == VOTER_RECORD_REGISTER
               ? a->reg.reg == b->reg.reg
               : ts_incarnation_eq(a->start.incarnation, b->start.incarnation);
}

static void write_disk(struct world_voter *v, const struct voter_record *rec)
{
    size_t at = 0;
    while (at < v->disk_count && !same_key(&v->disk[at], rec)) {
        at++;
    }
    ts_assert(at < WORLD_RECORDS_MAX);
    v->disk[at] = *rec;
    v->disk_count += at == v->disk_count;
}

bool world_persist(struct world *w, size_t voter, uint64_t through)
{
    struct world_voter *v = &w->voter[voter];
    uint64_t n = 0;
    size_t done = 0;
    while (done < v->pending_count && v->pending[done].n <= through) {
        n = v->pending[done].n;
        write_disk(v, &v->pending[done].record);
        done++;
    }
    if (done == 0) {
        return false;
    }
    v->pending_count -= done;
    memmove(&v->pending[0], &v->pending[done], v->pending_count * sizeof(v->pending[0]));
    struct voter_event ev = {.kind = VOTER_PERSISTED, .now = w->now, .n = n};
    world_step_voter(w, voter, &ev);
    return true;
}

/* What was issued but not confirmed is lost: the worst case the disk allows. */
void world_crash(struct world *w, size_t voter)
{
    struct world_voter *v = &w->voter[voter];
    voter_free(v->core);
    v->core = NULL;
    v->pending_count = 0;
}

void world_restart(struct world *w, size_t voter)
{
    struct world_voter *v = &w->voter[voter];
    ts_assert(v->core == NULL);
    struct voter_limits limits = {
        .self = {(uint16_t)(voter + 1)}, .registers_max = 2, .starts_max = 8, .held_max = 16};
    v->core = voter_new(&limits);
    ts_assert(v->core != NULL);
    enum ts_err err = voter_list_register(v->core, WORLD_REG);
    for (size_t i = 0; i < v->disk_count && err == TS_OK; i++) {
        err = voter_restore(v->core, &v->disk[i]);
    }
    ts_assert(err == TS_OK);
}

void world_make(struct world *w, size_t voters, unsigned blank_mask, bool ready)
{
    struct cfg_config genesis = {.epoch = {1}, .primary = {1}};
    cfg_set_add(&genesis.members, (struct cfg_replica){{1}, {11}});
    cfg_set_add(&genesis.members, (struct cfg_replica){{2}, {12}});
    cfg_set_add(&genesis.members, (struct cfg_replica){{3}, {13}});
    genesis.in_sync = genesis.members;
    cfg_set_remove(&genesis.in_sync, (struct ts_nic_id){3});
    struct reg_value value = {0};
    struct ts_writer wr = ts_writer_init(value.data, sizeof(value.data));
    cfg_config_encode(&genesis, &wr);
    ts_assert(ts_writer_status(&wr) == TS_OK);
    value.len = (uint16_t)wr.len;

    w->voter_count = voters;
    for (size_t i = 0; i < voters; i++) {
        if ((blank_mask & (1U << i)) == 0) {
            struct voter_record rec = {.kind = VOTER_RECORD_REGISTER,
                                       .reg = voter_genesis(WORLD_REG, &value)};
            write_disk(&w->voter[i], &rec);
        }
        world_restart(w, i);
        if (ready) {
            struct voter_event ev = {.kind = VOTER_READY, .now = w->now};
            world_step_voter(w, i, &ev);
        }
    }
}

void world_free(struct world *w)
{
    for (size_t i = 0; i < w->voter_count; i++) {
        voter_free(w->voter[i].core);
    }
}

static bool settle_pair(struct world *w, size_t actor, size_t voter)
{
    bool moved = world_deliver_to_voter(w, actor, voter);
    if (w->voter[voter].core != NULL) {
        moved = world_persist(w, voter, UINT64_MAX) || moved;
    }
    return world_deliver_to_actor(w, actor, voter) || moved;
}

void world_settle(struct world *w, unsigned without_voters, unsigned without_actors)
{
    bool moved = true;
    while (moved) {
        moved = false;
        for (size_t a = 0; a < w->actor_count; a++) {
            for (size_t v = 0; v < w->voter_count; v++) {
                bool out = ((without_voters >> v) & 1U) != 0 || ((without_actors >> a) & 1U) != 0;
                moved = (!out && settle_pair(w, a, v)) || moved;
            }
        }
    }
}
