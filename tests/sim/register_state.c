#include "tests/sim/register_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/voter_state.h"

#define RETRY_NS (50 * TS_NS_PER_MS)

static const struct voter_limits LIMITS = {
    .self = {1}, .registers_max = 1, .starts_max = 1, .held_max = MODEL_PENDING_MAX - 4};

static struct voter *core_of(struct model_state *s, size_t voter)
{
    return (struct voter *)(void *)s->core[voter];
}

const struct voter *model_voter(const struct model_state *s, size_t voter)
{
    return (const struct voter *)(const void *)s->core[voter];
}

/* ---- small forms ------------------------------------------------------------------- */

static struct ts_instance instance_of(uint8_t actor, uint8_t life)
{
    return (struct ts_instance){100ULL * (actor + 1U) + life};
}

uint32_t model_pack_ballot(struct reg_ballot b)
{
    if (reg_ballot_is_zero(b)) {
        return 0;
    }
    return (uint32_t)(b.counter << 8 | (uint64_t)b.proposer.v << 4 | (b.instance.v % 100 + 1));
}

struct reg_ballot model_unpack_ballot(uint32_t packed)
{
    if (packed == 0) {
        return (struct reg_ballot){0};
    }
    uint16_t node = (packed >> 4) & 15;
    return (struct reg_ballot){
        .counter = packed >> 8,
        .proposer = {node},
        .instance = instance_of((uint8_t)(node - 1), (uint8_t)((packed & 15) - 1)),
    };
}

/* Who counts by a value of this step: r0, JOINS, REWRITTEN, VOTES. */
static struct cfg_voters voters_of(uint8_t step)
{
    static const enum cfg_voter_phase PHASES[] = {CFG_VOTER_VOTES, CFG_VOTER_JOINS,
                                                  CFG_VOTER_REWRITTEN, CFG_VOTER_VOTES};
    struct cfg_voters voters = {.count = MODEL_VOTERS};
    for (uint8_t i = 0; i < MODEL_VOTERS; i++) {
        voters.v[i].incarnation.v = i + 1U;
    }
    voters.v[MODEL_OLD] =
        (struct cfg_voter){{step == 0 ? MODEL_OLD + 1 : MODEL_NEW + 1}, PHASES[step]};
    return voters;
}

bool model_counts(const struct model_state *s, uint8_t value, size_t disk)
{
    if (!s->replaces) {
        return true;
    }
    struct cfg_voters voters = voters_of(s->values[value].step);
    uint8_t index = disk == MODEL_NEW ? MODEL_OLD : (uint8_t)disk;
    return cfg_voters_count(&voters, index, (struct ts_incarnation){disk + 1});
}

static struct cfg_config config_of(const struct model_state *s, uint8_t value)
{
    const struct model_value *v = &s->values[value];
    struct cfg_config c = {.epoch = {v->epoch}, .primary = {1}, .nonce = value};
    cfg_set_add(&c.members, (struct cfg_replica){{1}, {11}});
    c.in_sync = c.members;
    if (value != 0) {
        c.proposer = instance_of(v->actor, v->life);
    }
    if (s->replaces) {
        c.voters = voters_of(v->step);
    }
    return c;
}

static struct reg_value bytes_of(const struct model_state *s, uint8_t value)
{
    struct cfg_config c = config_of(s, value);
    struct reg_value bytes = {0};
    struct ts_writer w = ts_writer_init(bytes.data, sizeof(bytes.data));
    cfg_config_encode(&c, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    bytes.len = (uint16_t)w.len;
    return bytes;
}

/* A config ends with its nonce, which is the value's index here. */
static uint8_t value_of(const struct reg_value *bytes)
{
    if (bytes->len == 0) {
        return MODEL_NO_VALUE;
    }
    ts_assert(bytes->len > 8);
    return bytes->data[bytes->len - 8];
}

struct model_record model_pack_record(const struct voter_register *r)
{
    return (struct model_record){
        .promised = model_pack_ballot(r->promised),
        .accepted = model_pack_ballot(r->accepted),
        .value = value_of(&r->value),
    };
}

struct model_msg model_pack_msg(const struct reg_msg *m, uint8_t actor, uint8_t voter)
{
    struct model_msg p = {.type = (uint8_t)m->type, .actor = actor, .voter = voter};
    switch (m->type) {
    case REG_MSG_PREPARE:
        p.ballot = model_pack_ballot(m->prepare.ballot);
        break;
    case REG_MSG_PROMISE:
        p.ballot = model_pack_ballot(m->promise.ballot);
        p.other = model_pack_ballot(m->promise.accepted);
        p.value = value_of(&m->promise.value);
        break;
    case REG_MSG_ACCEPT:
        p.ballot = model_pack_ballot(m->accept.ballot);
        p.value = value_of(&m->accept.value);
        break;
    case REG_MSG_ACCEPTED:
        p.ballot = model_pack_ballot(m->accepted.ballot);
        break;
    case REG_MSG_NACK:
        p.ballot = model_pack_ballot(m->nack.ballot);
        p.other = model_pack_ballot(m->nack.promised);
        p.reason = (uint32_t)m->nack.reason;
        break;
    case REG_MSG_BLANK:
        p.ballot = model_pack_ballot(m->blank.ballot);
        break;
    case REG_MSG_START:
    case REG_MSG_START_OK:
    case REG_MSG_START_REFUSED:
    case REG_MSG_STARTS_ASK:
    case REG_MSG_STARTS_TELL:
        ts_unreachable();
    }
    return p;
}

static struct reg_msg unpack_msg(const struct model_state *s, const struct model_msg *p)
{
    struct reg_msg m = {.type = (enum reg_msg_type)p->type};
    struct reg_ballot ballot = model_unpack_ballot(p->ballot);
    switch (m.type) {
    case REG_MSG_PREPARE:
        m.prepare = (struct reg_prepare){.reg = MODEL_REG, .ballot = ballot};
        break;
    case REG_MSG_PROMISE:
        m.promise = (struct reg_promise){.reg = MODEL_REG,
                                         .ballot = ballot,
                                         .accepted = model_unpack_ballot(p->other),
                                         .value = bytes_of(s, p->value)};
        break;
    case REG_MSG_ACCEPT:
        m.accept = (struct reg_accept){
            .reg = MODEL_REG, .ballot = ballot, .generation = 1, .value = bytes_of(s, p->value)};
        break;
    case REG_MSG_ACCEPTED:
        m.accepted = (struct reg_accepted){.reg = MODEL_REG, .ballot = ballot};
        break;
    case REG_MSG_NACK:
        m.nack = (struct reg_nack){.reg = MODEL_REG,
                                   .ballot = ballot,
                                   .promised = model_unpack_ballot(p->other),
                                   .reason = (enum reg_nack_reason)p->reason};
        break;
    case REG_MSG_BLANK:
        m.blank = (struct reg_blank){.reg = MODEL_REG,
                                     .ballot = ballot,
                                     .disk = {MODEL_NEW + 1},
                                     .places = {1, {{MODEL_OLD + 1}}}};
        break;
    case REG_MSG_START:
    case REG_MSG_START_OK:
    case REG_MSG_START_REFUSED:
    case REG_MSG_STARTS_ASK:
    case REG_MSG_STARTS_TELL:
        ts_unreachable();
    }
    return m;
}

static void send(struct model_state *s, const struct model_msg *m)
{
    if (s->net_count == MODEL_NET_MAX) {
        s->violation = "the model's own network is full: raise MODEL_NET_MAX";
        return;
    }
    s->net[s->net_count++] = *m;
}

/* ---- voters ------------------------------------------------------------------------ */

static void boot_voter(struct model_state *s, size_t voter)
{
    struct voter *v = voter_new(&LIMITS);
    ts_assert(v != NULL && voter_bytes(&LIMITS) <= MODEL_CORE_BYTES);
    const struct model_record *d = &s->disk[voter];
    enum ts_err err = voter_list_register(v, MODEL_REG);
    if (d->value != MODEL_NO_VALUE) {
        struct voter_record rec = {
            .kind = VOTER_RECORD_REGISTER,
            .reg = {.reg = MODEL_REG,
                    .promised = model_unpack_ballot(d->promised),
                    .accepted = model_unpack_ballot(d->accepted),
                    .value = bytes_of(s, d->value),
                    .generation = 1},
        };
        err = voter_restore(v, &rec);
    }
    ts_assert(err == TS_OK);
    if (voter == MODEL_NEW) {
        voter_set_disk(v, (struct ts_incarnation){MODEL_NEW + 1},
                       &(struct reg_places){1, {{MODEL_OLD + 1}}});
    }
    memcpy(s->core[voter], v, voter_bytes(&LIMITS));
    voter_free(v);
    struct voter_effects fx;
    voter_step(core_of(s, voter), &(struct voter_event){.kind = VOTER_READY}, &fx);
}

/* A reply goes to the life of the process that asked; a later life has another connection. */
static void reply(struct model_state *s, size_t voter, uint64_t handle, const struct reg_msg *m)
{
    uint8_t actor = (uint8_t)(handle % MODEL_ACTORS);
    if (handle / MODEL_ACTORS == s->actor[actor].life) {
        struct model_msg p = model_pack_msg(m, actor, (uint8_t)voter);
        send(s, &p);
    }
}

static void write_disk(struct model_state *s, const struct model_scope *scope, size_t voter,
                       const struct model_record *rec)
{
    struct model_record *d = &s->disk[voter];
    struct model_record before = *d;
    *d = *rec;
    if (scope->mutant == MUTANT_RECORD_WITHOUT_VALUE) {
        d->accepted = before.accepted;
        d->value = before.value;
    } else if (scope->mutant == MUTANT_RECORD_WITHOUT_PROMISE) {
        d->promised = d->accepted;
    }
    model_note_durable(s, voter, rec);
}

/* Effects of a voter's step: writes become pending, replies go out. */
static void take_voter_effects(struct model_state *s, size_t voter, const struct voter_effects *fx)
{
    for (size_t i = 0; i < fx->count; i++) {
        const struct voter_effect *e = &fx->e[i];
        if (e->kind == VOTER_PERSIST) {
            ts_assert(s->pending_count[voter] < MODEL_PENDING_MAX);
            struct model_write *w = &s->pending[voter][s->pending_count[voter]++];
            w->n = e->persist.n;
            w->rec = model_pack_record(&e->persist.record.reg);
        } else if (e->kind == VOTER_REPLY) {
            reply(s, voter, e->reply.handle, &e->reply.msg);
        }
    }
}

static void confirm(struct model_state *s, size_t voter, uint64_t n)
{
    struct voter_effects fx;
    struct voter *v = core_of(s, voter);
    if (n <= v->persisted) {
        return; /* told before it was written: a mutant */
    }
    voter_step(v, &(struct voter_event){.kind = VOTER_PERSISTED, .n = n}, &fx);
    take_voter_effects(s, voter, &fx);
}

static void persist(struct model_state *s, const struct model_scope *scope, size_t voter)
{
    ts_assert(s->pending_count[voter] > 0);
    struct model_write w = s->pending[voter][0];
    s->pending_count[voter]--;
    memmove(&s->pending[voter][0], &s->pending[voter][1],
            s->pending_count[voter] * sizeof(s->pending[voter][0]));
    memset(&s->pending[voter][s->pending_count[voter]], 0, sizeof(w));
    write_disk(s, scope, voter, &w.rec);
    confirm(s, voter, w.n);
}

/* Without a crash to come, a write that waits differs from a reply that does only in name. */
static void persist_all(struct model_state *s, const struct model_scope *scope)
{
    for (size_t v = 0; v < MODEL_DISKS && s->crashes == 0; v++) {
        while (s->pending_count[v] > 0) {
            persist(s, scope, v);
        }
    }
}

static void deliver_to_voter(struct model_state *s, const struct model_scope *scope,
                             const struct model_msg *p)
{
    struct voter *v = core_of(s, p->voter);
    if (scope->mutant == MUTANT_NO_COMPARISON) {
        voter_slots(v)->rec.promised = (struct reg_ballot){0};
    }
    struct reg_msg m = unpack_msg(s, p);
    struct reg_ballot ballot = model_unpack_ballot(p->ballot);
    struct voter_event ev = {
        .kind = VOTER_MESSAGE,
        .from = {(uint16_t)(p->actor + 1)},
        .handle = (ballot.instance.v % 100) * MODEL_ACTORS + p->actor,
        .msg = &m,
    };
    struct voter_effects fx;
    voter_step(v, &ev, &fx);
    take_voter_effects(s, p->voter, &fx);
    if (voter_wants_copy(v)) {
        /* Starts are not modelled: it has them by the next time it is asked. */
        struct ts_incarnation disks[TS_VOTERS_MAX] = {{1}, {2}};
        voter_step(v, &(struct voter_event){.kind = VOTER_COPY_BEGUN}, &fx);
        voter_step(v, &(struct voter_event){.kind = VOTER_COPIED, .disks = disks}, &fx);
    }
    if (scope->mutant == MUTANT_REPLY_BEFORE_PERSIST) {
        confirm(s, p->voter, v->issued);
    }
    if (scope->mutant == MUTANT_NONE) {
        voter_check_invariants(v);
    }
    persist_all(s, scope);
}

static void crash(struct model_state *s, const struct model_scope *scope, size_t voter)
{
    s->crashes--;
    s->pending_count[voter] = 0;
    memset(s->pending[voter], 0, sizeof(s->pending[voter]));
    boot_voter(s, voter);
    persist_all(s, scope);
}

/* ---- proposers --------------------------------------------------------------------- */

/* What the link tells of the disk at its other end. */
static struct ts_incarnation told_disk(const struct model_scope *scope, size_t disk)
{
    bool alike = scope->mutant == MUTANT_DISKS_ALIKE && disk == MODEL_OLD;
    return (struct ts_incarnation){scope->replaces ? (alike ? MODEL_NEW : disk) + 1 : 0};
}

static void boot_actor(struct model_state *s, const struct model_scope *scope, uint8_t actor)
{
    struct model_actor *a = &s->actor[actor];
    struct proposer_config cfg = {
        .reg = MODEL_REG,
        .self = {(uint16_t)(actor + 1)},
        .instance = instance_of(actor, a->life),
        .generation = 1,
        .voters = MODEL_VOTERS,
        .retry_ns = RETRY_NS,
        .seed = 1,
    };
    proposer_init(&a->core, &cfg);
    a->core.counter_seen = scope->above[actor];
    struct proposer_effects fx;
    for (uint8_t v = 0; v < MODEL_VOTERS; v++) {
        struct proposer_event ev = {.kind = PROPOSER_EVENT_VOTER_UP,
                                    .voter = v,
                                    .disk = told_disk(scope, v == MODEL_OLD ? a->disk : v)};
        proposer_step(&a->core, &ev, &fx);
    }
}

static void finish_op(struct model_state *s, const struct model_scope *scope, uint8_t actor,
                      const struct proposer_result *r)
{
    struct model_actor *a = &s->actor[actor];
    uint8_t value = (uint8_t)r->value.nonce;
    model_check_result(s, a, r->outcome, value);
    if (r->outcome == PROPOSER_PREPARED) {
        a->shown = value;
        if (scope->mutant == MUTANT_STEP_FROM_SHOWN) {
            a->base = value;
            proposer_abandon(&a->core);
        }
        return;
    }
    a->base = value;
    a->proposal = 0;
    s->won = (uint8_t)(s->won + (r->outcome == PROPOSER_WON));
    s->lost = (uint8_t)(s->lost + (r->outcome == PROPOSER_LOST));
    s->decided = (uint8_t)(s->decided + (r->outcome == PROPOSER_DECIDED));
}

/* What the clock and the statistics say cannot matter; the rest of the state must not differ by it.
 */
static void normalize(struct proposer *p)
{
    p->prng = (struct ts_prng){{1, 2, 3, 4}};
    p->retry_ns = RETRY_NS;
    p->rounds = 0;
    p->ignored = 0;
    if (p->retry_at.ns != UINT64_MAX) {
        p->retry_at.ns = RETRY_NS;
    }
    for (size_t v = 0; v < MODEL_VOTERS; v++) {
        p->voter[v].asked_at = TS_MONO_NEVER;
    }
}

static void step_actor(struct model_state *s, const struct model_scope *scope, uint8_t actor,
                       const struct proposer_event *ev)
{
    struct proposer *p = &s->actor[actor].core;
    uint32_t ballot = model_pack_ballot(p->ballot);
    struct proposer_effects fx;
    proposer_step(p, ev, &fx);
    proposer_check_invariants(p);
    normalize(p);
    if (model_pack_ballot(p->ballot) != ballot) {
        s->beyond = s->beyond || s->actor[actor].rounds == 0;
        s->actor[actor].rounds--;
    }
    for (size_t i = 0; i < fx.count; i++) {
        const struct proposer_effect *e = &fx.e[i];
        if (e->kind == PROPOSER_EFFECT_SEND) {
            uint8_t disk = e->voter == MODEL_OLD ? s->actor[actor].disk : e->voter;
            struct model_msg m = model_pack_msg(&e->msg, actor, disk);
            send(s, &m);
        } else if (e->kind == PROPOSER_EFFECT_DONE) {
            finish_op(s, scope, actor, &e->result);
        }
    }
}

static void deliver_to_actor(struct model_state *s, const struct model_scope *scope,
                             const struct model_msg *p)
{
    struct model_msg seen = *p;
    struct proposer *core = &s->actor[p->actor].core;
    if (scope->mutant == MUTANT_REPLIES_UNMATCHED) {
        seen.ballot = model_pack_ballot(core->ballot);
    }
    struct reg_msg m = unpack_msg(s, &seen);
    if (p->voter >= MODEL_OLD && p->voter != s->actor[p->actor].disk) {
        return; /* over a link that is closed */
    }
    struct proposer_event ev = {.kind = PROPOSER_EVENT_MESSAGE,
                                .voter = p->voter < MODEL_OLD ? p->voter : MODEL_OLD,
                                .msg = &m};
    step_actor(s, scope, p->actor, &ev);
}

/* The swap derives its value from what the kept PREPARE showed, or from the newest decided value
 * that the process knows. */
static uint8_t propose(struct model_state *s, uint8_t actor, bool step)
{
    struct model_actor *a = &s->actor[actor];
    uint8_t parent = proposer_is_prepared(&a->core) ? a->shown : a->base;
    ts_assert(s->value_count < MODEL_VALUES_MAX);
    uint8_t id = s->value_count++;
    s->values[id] = (struct model_value){
        .epoch = (uint8_t)(s->values[parent].epoch + 1),
        .parent = parent,
        .actor = actor,
        .life = a->life,
        .step = (uint8_t)(s->values[parent].step + (step && s->values[parent].step < 3))};
    a->proposal = id;
    return id;
}

static void begin_op(struct model_state *s, const struct model_scope *scope, uint8_t actor)
{
    struct model_actor *a = &s->actor[actor];
    char op = scope->program[actor][a->pc++];
    struct proposer_event ev = {.kind = PROPOSER_EVENT_OP, .op = PROPOSER_OP_READ};
    struct cfg_config c;
    if (op == 'p') {
        ev.op = PROPOSER_OP_PREPARE;
    } else if (op == 'c' || op == 'v') {
        uint8_t id = propose(s, actor, op == 'v');
        c = config_of(s, id);
        ev.op = PROPOSER_OP_CAS;
        ev.expected.v = c.epoch.v - 1;
        ev.config = &c;
    }
    step_actor(s, scope, actor, &ev);
}

static void restart(struct model_state *s, const struct model_scope *scope, uint8_t actor)
{
    struct model_actor *a = &s->actor[actor];
    s->restarts--;
    a->life++;
    a->base = 0;
    a->proposal = 0;
    a->shown = 0;
    boot_actor(s, scope, actor);
    size_t kept = 0;
    for (size_t i = 0; i < s->net_count; i++) {
        bool to_actor = s->net[i].type != REG_MSG_PREPARE && s->net[i].type != REG_MSG_ACCEPT;
        if (s->net[i].actor != actor || !to_actor) {
            s->net[kept++] = s->net[i];
        }
    }
    s->net_count = (uint8_t)kept;
}

/* ---- the whole --------------------------------------------------------------------- */

void model_init(struct model_state *s, const struct model_scope *scope)
{
    memset(s, 0, sizeof(*s));
    s->value_count = 1;
    s->values[0].epoch = 1;
    s->restarts = scope->restarts;
    s->abandons = scope->abandons;
    s->crashes = scope->crashes;
    s->duplicates = scope->duplicates;
    s->replaces = scope->replaces;
    s->disk[MODEL_NEW].value = MODEL_NO_VALUE;
    for (size_t v = 0; v < MODEL_DISKS; v++) {
        boot_voter(s, v);
        if (v != MODEL_NEW) {
            model_note_durable(s, v, &s->disk[v]);
        }
    }
    for (uint8_t a = 0; a < MODEL_ACTORS; a++) {
        s->actor[a].ticks = scope->ticks[a];
        s->actor[a].rounds = scope->rounds[a];
        s->actor[a].switches = scope->switches[a];
        s->actor[a].disk = scope->begins_new[a] ? MODEL_NEW : MODEL_OLD;
        boot_actor(s, scope, a);
    }
}

static bool can_crash(const struct model_state *s, size_t voter)
{
    struct model_record mem = model_pack_record(&voter_slots(model_voter(s, voter))->rec);
    const struct model_record *d = &s->disk[voter];
    bool differs =
        mem.promised != d->promised || mem.accepted != d->accepted || mem.value != d->value;
    return s->crashes > 0 && (s->pending_count[voter] > 0 || differs);
}

static size_t add(struct model_action *out, size_t n, enum model_action_kind kind, size_t index)
{
    ts_assert(n < MODEL_ACTIONS_MAX);
    out[n] = (struct model_action){.kind = kind, .index = (uint8_t)index};
    return n + 1;
}

static size_t actor_actions(const struct model_state *s, size_t actor, struct model_action *out,
                            size_t n)
{
    const struct model_actor *a = &s->actor[actor];
    bool busy = proposer_is_busy(&a->core);
    if (busy && a->ticks > 0) {
        n = add(out, n, ACTION_TICK, actor);
    }
    if (s->restarts > 0 && a->pc > 0) {
        n = add(out, n, ACTION_RESTART, actor);
    }
    if (s->abandons > 0 && busy) {
        n = add(out, n, ACTION_ABANDON, actor);
    }
    if (a->switches > 0) {
        n = add(out, n, ACTION_SWITCH, actor);
    }
    return n;
}

size_t model_actions(const struct model_state *s, const struct model_scope *scope,
                     struct model_action out[MODEL_ACTIONS_MAX])
{
    size_t n = 0;
    /* An operation that could begin begins: it only sends, and messages may be late anyway. */
    for (size_t a = 0; a < MODEL_ACTORS; a++) {
        const struct model_actor *m = &s->actor[a];
        if (!proposer_is_busy(&m->core) && scope->program[a][m->pc] != '\0') {
            return add(out, n, ACTION_OP, a);
        }
    }
    for (size_t i = 0; i < s->net_count; i++) {
        n = add(out, n, ACTION_DELIVER, i);
        if (s->duplicates > 0) {
            n = add(out, n, ACTION_DUPLICATE, i);
        }
    }
    for (size_t v = 0; v < MODEL_DISKS; v++) {
        if (s->pending_count[v] > 0) {
            n = add(out, n, ACTION_PERSIST, v);
        }
        if (can_crash(s, v)) {
            n = add(out, n, ACTION_CRASH, v);
        }
    }
    for (size_t a = 0; a < MODEL_ACTORS; a++) {
        n = actor_actions(s, a, out, n);
    }
    return n;
}

static void deliver(struct model_state *s, const struct model_scope *scope, size_t i, bool keep)
{
    struct model_msg m = s->net[i];
    if (!keep) {
        s->net[i] = s->net[--s->net_count];
    }
    if (m.type == REG_MSG_PREPARE || m.type == REG_MSG_ACCEPT) {
        deliver_to_voter(s, scope, &m);
    } else {
        deliver_to_actor(s, scope, &m);
    }
}

/* A reply that its process ignores now and for ever: of an earlier ballot, or of a phase that is
 * over. */
static bool dead_reply(const struct model_state *s, const struct model_scope *scope,
                       const struct model_msg *m)
{
    const struct model_actor *a = &s->actor[m->actor];
    bool closed = m->voter >= MODEL_OLD && m->voter != a->disk && a->switches == 0;
    if (closed || m->ballot != model_pack_ballot(a->core.ballot)) {
        return true;
    }
    if (a->core.phase == PROPOSER_IDLE && scope->program[m->actor][a->pc] == '\0') {
        return true;
    }
    return (m->type == REG_MSG_PROMISE && a->core.phase != PROPOSER_PREPARING) ||
           (m->type == REG_MSG_ACCEPTED && a->core.phase != PROPOSER_ACCEPTING);
}

/* A request that its voter refuses now and for ever, crashes included, with a dead reply. */
static bool dead_request(const struct model_state *s, const struct model_scope *scope,
                         const struct model_msg *m)
{
    uint32_t promised = s->disk[m->voter].promised;
    bool refused = m->type == REG_MSG_PREPARE ? m->ballot <= promised : m->ballot < promised;
    return refused && dead_reply(s, scope, m);
}

/* Takes messages out that can change nothing: whether they arrive or are lost is all one. A
 * mutant may change what can be changed, so it keeps them. */
static void prune(struct model_state *s, const struct model_scope *scope)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->net_count; i++) {
        const struct model_msg *m = &s->net[i];
        bool request = m->type == REG_MSG_PREPARE || m->type == REG_MSG_ACCEPT;
        if (request ? !dead_request(s, scope, m) : !dead_reply(s, scope, m)) {
            s->net[kept++] = *m;
        }
    }
    s->net_count = (uint8_t)kept;
}

static void switch_disk(struct model_state *s, const struct model_scope *scope, uint8_t actor)
{
    struct model_actor *a = &s->actor[actor];
    a->switches--;
    a->disk = a->disk == MODEL_OLD ? MODEL_NEW : MODEL_OLD;
    struct proposer_event down = {.kind = PROPOSER_EVENT_VOTER_DOWN, .voter = MODEL_OLD};
    struct proposer_event up = {
        .kind = PROPOSER_EVENT_VOTER_UP, .voter = MODEL_OLD, .disk = told_disk(scope, a->disk)};
    step_actor(s, scope, actor, &down);
    step_actor(s, scope, actor, &up);
}

static void apply(struct model_state *s, const struct model_scope *scope, struct model_action a)
{
    switch (a.kind) {
    case ACTION_DELIVER:
        deliver(s, scope, a.index, false);
        return;
    case ACTION_DUPLICATE:
        s->duplicates--;
        deliver(s, scope, a.index, true);
        return;
    case ACTION_PERSIST:
        persist(s, scope, a.index);
        return;
    case ACTION_CRASH:
        crash(s, scope, a.index);
        return;
    case ACTION_OP:
        begin_op(s, scope, a.index);
        return;
    case ACTION_TICK: {
        s->actor[a.index].ticks--;
        struct proposer_event ev = {.kind = PROPOSER_EVENT_TICK,
                                    .now = proposer_deadline(&s->actor[a.index].core)};
        step_actor(s, scope, a.index, &ev);
        return;
    }
    case ACTION_RESTART:
        restart(s, scope, a.index);
        return;
    case ACTION_SWITCH:
        switch_disk(s, scope, a.index);
        return;
    case ACTION_ABANDON:
        s->abandons--;
        proposer_abandon(&s->actor[a.index].core);
        return;
    }
    ts_unreachable();
}

void model_apply(struct model_state *s, const struct model_scope *scope, struct model_action a)
{
    apply(s, scope, a);
    if (scope->mutant == MUTANT_NONE) {
        prune(s, scope);
    }
}

void model_print_action(const struct model_state *s, struct model_action a)
{
    static const char *const NAMES[] = {
        "deliver", "deliver a copy of", "persist",           "crash", "begin", "tick",
        "restart", "abandon",           "switch the disk of"};
    if (a.kind != ACTION_DELIVER && a.kind != ACTION_DUPLICATE) {
        bool voter = a.kind == ACTION_PERSIST || a.kind == ACTION_CRASH;
        printf("  %s %c%d\n", NAMES[a.kind], voter ? 'v' : 'A', a.index + (voter ? 1 : 0));
        return;
    }
    const struct model_msg *m = &s->net[a.index];
    printf("  %s %s A%u v%u ballot %x other %x value %u\n", NAMES[a.kind],
           reg_msg_name((enum reg_msg_type)m->type), m->actor, m->voter + 1U, m->ballot, m->other,
           m->value);
}
