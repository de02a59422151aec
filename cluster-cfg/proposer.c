#include "cluster-cfg/proposer.h"

#include "base/assert.h"

/* The first back-off after losing twice to a higher ballot: the time of two such rounds, so that
 * the winner can finish, within these parts of retry_ns. Doubles with every wait, … */
#define BACK_OFF_LEAST 256
#define BACK_OFF_MOST 16
/* … up to so many times retry_ns. */
#define BACK_OFF_RETRIES 4
#define BACK_OFF_DOUBLINGS_MAX 10
/* A voter that left a request unanswered for so many retries does not count as answering. */
#define SILENT_RETRIES 4

static const char *const OP_NAMES[] = {
#define OP_NAME(sym, name) [sym] = name,
    PROPOSER_OP_LIST(OP_NAME)
#undef OP_NAME
};

static const char *const OUTCOME_NAMES[] = {
#define OUTCOME_NAME(sym, name) [sym] = name,
    PROPOSER_OUTCOME_LIST(OUTCOME_NAME)
#undef OUTCOME_NAME
};

const char *proposer_op_name(enum proposer_op op)
{
    ts_assert((size_t)op < sizeof(OP_NAMES) / sizeof(OP_NAMES[0]));
    return OP_NAMES[op];
}

const char *proposer_outcome_name(enum proposer_outcome outcome)
{
    ts_assert((size_t)outcome < sizeof(OUTCOME_NAMES) / sizeof(OUTCOME_NAMES[0]));
    return OUTCOME_NAMES[outcome];
}

unsigned proposer_majority(const struct proposer *p)
{
    return p->cfg.voters / 2U + 1;
}

static unsigned count_answers(const struct proposer *p, enum proposer_answer answer)
{
    unsigned n = 0;
    for (size_t v = 0; v < p->cfg.voters; v++) {
        n += p->voter[v].answer == answer;
    }
    return n;
}

/* Whether what this voter grants helps to a majority, by what the round has seen. */
static bool counts(const struct proposer *p, uint8_t voter)
{
    return !p->has_seen || cfg_voters_count(&p->seen.voters, voter, p->voter[voter].disk);
}

static unsigned count_granted(const struct proposer *p)
{
    unsigned n = 0;
    for (uint8_t v = 0; v < p->cfg.voters; v++) {
        n += p->voter[v].answer == PROPOSER_GRANTED && counts(p, v);
    }
    return n;
}

void proposer_init(struct proposer *p, const struct proposer_config *cfg)
{
    ts_assert(cfg->self.v >= 1 && cfg->self.v <= TS_NODES_MAX);
    ts_assert(cfg->instance.v != 0);
    ts_assert(cfg->generation >= 1);
    ts_assert(cfg->voters >= 1 && cfg->voters <= TS_VOTERS_MAX);
    ts_assert(cfg->retry_ns > 0);
    *p = (struct proposer){
        .cfg = *cfg,
        .prng = ts_prng_init(cfg->seed),
        .retry_ns = cfg->retry_ns,
        .retry_at = TS_MONO_NEVER,
    };
    for (size_t v = 0; v < TS_VOTERS_MAX; v++) {
        p->voter[v].asked_at = TS_MONO_NEVER;
    }
}

static struct proposer_effect *add_effect(struct proposer_effects *fx,
                                          enum proposer_effect_kind kind)
{
    ts_assert(fx->count < PROPOSER_EFFECTS_MAX);
    struct proposer_effect *e = &fx->e[fx->count++];
    e->kind = kind;
    return e;
}

static void trace(const struct proposer_event *ev, struct proposer_effects *fx,
                  enum ts_trace_kind kind, uint64_t a, uint64_t b)
{
    add_effect(fx, PROPOSER_EFFECT_TRACE)->trace =
        (struct ts_trace){.kind = kind, .at = ev->now, .a = a, .b = b};
}

/* Sends this round's request to one voter; nothing while it is down. */
static void ask(struct proposer *p, struct proposer_effects *fx, uint8_t voter, struct ts_mono now)
{
    struct proposer_voter *v = &p->voter[voter];
    if (!v->up) {
        return;
    }
    v->asked = true;
    if (ts_mono_lt(now, v->asked_at)) {
        v->asked_at = now;
    }
    struct proposer_effect *e = add_effect(fx, PROPOSER_EFFECT_SEND);
    e->voter = voter;
    if (p->phase == PROPOSER_PREPARING) {
        e->msg = (struct reg_msg){
            .type = REG_MSG_PREPARE,
            .prepare = {.reg = p->cfg.reg, .ballot = p->ballot},
        };
        return;
    }
    ts_assert(p->phase == PROPOSER_ACCEPTING);
    ts_assert(p->sent.len > 0);
    e->msg = (struct reg_msg){
        .type = REG_MSG_ACCEPT,
        .accept = {.reg = p->cfg.reg,
                   .ballot = p->ballot,
                   .generation = p->cfg.generation,
                   .value = p->sent},
    };
}

/* A new round of this phase: no voter has answered it. */
static void ask_all(struct proposer *p, struct proposer_effects *fx, enum proposer_phase phase,
                    struct ts_mono now)
{
    p->phase = phase;
    p->retry_at = ts_mono_add(now, p->retry_ns);
    for (uint8_t v = 0; v < p->cfg.voters; v++) {
        p->voter[v].asked = false;
        p->voter[v].asked_before_up = false;
        p->voter[v].answer = PROPOSER_NO_ANSWER;
        ask(p, fx, v, now);
    }
}

/* Phase 1 with a ballot above all that were seen or used. */
static void begin_round(struct proposer *p, struct proposer_effects *fx, struct ts_mono now)
{
    ts_assert(p->op != PROPOSER_OP_NONE);
    uint64_t above = p->counter_seen > p->ballot.counter ? p->counter_seen : p->ballot.counter;
    p->ballot = (struct reg_ballot){
        .counter = above + 1, .proposer = p->cfg.self, .instance = p->cfg.instance};
    p->rounds++;
    p->round_at = now;
    p->has_seen = false;
    p->seen_ballot = (struct reg_ballot){0};
    p->seen = (struct cfg_config){0};
    p->prepared = false;
    p->sent = (struct reg_value){0};
    ask_all(p, fx, PROPOSER_PREPARING, now);
}

/* What was only shown may be replaced by another value with the voters as they were: only from a
 * decided value a step is taken. */
static bool voters_may_follow(const struct proposer *p)
{
    return cfg_voters_eq(&p->seen.voters, &p->proposal.voters) ||
           (!p->pinned && cfg_voters_follow(&p->seen.voters, &p->proposal.voters));
}

static bool is_expected(const struct proposer *p)
{
    if (!ts_epoch_eq(p->seen.epoch, p->expected) || !voters_may_follow(p)) {
        return false;
    }
    return !p->pinned || (p->seen.nonce == p->pinned_nonce &&
                          ts_instance_eq(p->seen.proposer, p->pinned_proposer));
}

/* The comparison of the compare-and-swap (R1.4), on the newest accepted value of a majority.
 * Gives what this ballot carries and the outcome once that is decided:
 *  1. READ: the same value again.
 *  2. One's own proposal was seen: it may have been decided by an earlier round of ours or by a
 *     reader. It is carried again, and its decision is ours, whatever the epochs say.
 *  3. The expected value: our proposal.
 *  4. Anything else: the same value again. Only when that is decided is the proposal defeated;
 *     before, an earlier accept of ours could still reach a majority. */
static enum proposer_outcome choose(const struct proposer *p, struct cfg_config *value)
{
    *value = p->seen;
    if (p->op == PROPOSER_OP_READ) {
        return PROPOSER_DECIDED;
    }
    ts_assert(p->op == PROPOSER_OP_CAS);
    if (p->seen.nonce == p->proposal.nonce &&
        ts_instance_eq(p->seen.proposer, p->proposal.proposer)) {
        return PROPOSER_WON;
    }
    if (is_expected(p)) {
        *value = p->proposal;
        return PROPOSER_WON;
    }
    return PROPOSER_LOST;
}

/* Phase 2. The ballot is used up by it: `prepared` ends. */
static void begin_accept(struct proposer *p, struct proposer_effects *fx, struct ts_mono now)
{
    ts_assert(p->prepared && p->has_seen);
    ts_assert(p->sent.len == 0); /* R1.2: one ballot never carries two values */
    struct cfg_config value;
    p->pending = choose(p, &value);
    p->seen = value;
    p->prepared = false;
    struct ts_writer w = ts_writer_init(p->sent.data, sizeof(p->sent.data));
    cfg_config_encode(&value, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    p->sent.len = (uint16_t)w.len;
    ask_all(p, fx, PROPOSER_ACCEPTING, now);
}

static void finish(struct proposer *p, struct proposer_effects *fx, enum proposer_outcome outcome)
{
    add_effect(fx, PROPOSER_EFFECT_DONE)->result =
        (struct proposer_result){.op = p->op, .outcome = outcome, .value = p->seen};
    p->op = PROPOSER_OP_NONE;
    p->phase = PROPOSER_IDLE;
    p->retry_at = TS_MONO_NEVER;
}

/* A higher ballot took so many voters that this one cannot get a majority. The first time, and the
 * first time after each wait, the answer told which ballot to beat: what this one knew was as old
 * as that, and whoever raised it may be done. After that two proposers may be chasing each other,
 * so each waits a random while. */
static void lose_round(struct proposer *p, struct proposer_effects *fx,
                       const struct proposer_event *ev)
{
    trace(ev, fx, TS_TRACE_REGISTER_OUTBID, p->ballot.counter, p->counter_seen);
    if (!p->told) {
        p->told = true;
        begin_round(p, fx, ev->now);
        return;
    }
    p->told = false;
    unsigned doublings = p->waits < BACK_OFF_DOUBLINGS_MAX ? p->waits : BACK_OFF_DOUBLINGS_MAX;
    uint64_t base = 2 * ts_mono_since(p->round_at, ev->now);
    uint64_t least = p->cfg.retry_ns / BACK_OFF_LEAST + 1;
    uint64_t most = p->cfg.retry_ns / BACK_OFF_MOST + 1;
    base = base < least ? least : base;
    base = (base > most ? most : base) << doublings;
    base = base > BACK_OFF_RETRIES * p->cfg.retry_ns ? BACK_OFF_RETRIES * p->cfg.retry_ns : base;
    p->waits++;
    p->phase = PROPOSER_BACKING_OFF;
    p->retry_at = ts_mono_add(ev->now, base / 2 + ts_prng_below(&p->prng, base));
}

/* Whether a higher ballot keeps this one from a majority: for good, or as long as the voters that
 * are down or unable stay so while a new ballot could be asked of a majority now. */
static bool round_is_lost(const struct proposer *p)
{
    unsigned outbid = 0;
    unsigned possible = count_granted(p);
    unsigned up = 0;
    for (uint8_t i = 0; i < p->cfg.voters; i++) {
        const struct proposer_voter *v = &p->voter[i];
        bool undecided = v->answer == PROPOSER_NO_ANSWER || v->answer == PROPOSER_GRANT_LOST;
        bool helps = counts(p, i);
        outbid += v->answer == PROPOSER_OUTBID && helps;
        up += v->up && helps;
        possible += v->up && undecided && helps;
    }
    if (outbid > p->cfg.voters - proposer_majority(p)) {
        return true;
    }
    return outbid > 0 && possible < proposer_majority(p) && up >= proposer_majority(p);
}

static bool is_asking(const struct proposer *p)
{
    return p->phase == PROPOSER_PREPARING || p->phase == PROPOSER_ACCEPTING;
}

static void note_counter(struct proposer *p, uint64_t counter)
{
    if (counter > p->counter_seen) {
        p->counter_seen = counter;
    }
}

/* A voter showed something that no correct one does: it does not count for now. */
static void distrust(struct proposer *p, const struct proposer_event *ev,
                     struct proposer_effects *fx, enum ts_trace_kind kind, uint64_t a, uint64_t b)
{
    p->ignored++;
    p->voter[ev->voter].answer = PROPOSER_REFUSED;
    trace(ev, fx, kind, a, b);
}

/* Takes the promise's value when it is the newest; false when the promise must not count. */
static bool take_promise(struct proposer *p, const struct proposer_event *ev,
                         struct proposer_effects *fx)
{
    const struct reg_promise *m = &ev->msg->promise;
    if (m->value.len == 0) {
        /* A blank voter is an alarm, never an initial value (R1.6). */
        distrust(p, ev, fx, TS_TRACE_ALARM_REGISTER_EMPTY, p->cfg.reg, 0);
        return false;
    }
    struct cfg_config value;
    struct ts_reader r = ts_reader_init(m->value.data, m->value.len);
    cfg_config_decode(&value, &r);
    if (ts_reader_finish(&r) != TS_OK ||
        (value.voters.count != 0 && value.voters.count != p->cfg.voters)) {
        distrust(p, ev, fx, TS_TRACE_REJECTED_INPUT, ev->voter, p->ignored + 1);
        return false;
    }
    int order = p->has_seen ? reg_ballot_cmp(m->accepted, p->seen_ballot) : 1;
    if (order == 0 && !cfg_config_eq(&value, &p->seen)) {
        distrust(p, ev, fx, TS_TRACE_ALARM_TWO_VALUES, m->accepted.counter, m->accepted.proposer.v);
        return false;
    }
    if (order > 0) {
        p->has_seen = true;
        p->seen_ballot = m->accepted;
        p->seen = value;
    }
    note_counter(p, m->accepted.counter);
    return true;
}

static bool has_place(const struct cfg_voters *s, struct ts_incarnation disk)
{
    bool has = false;
    for (uint8_t i = 0; i < s->count; i++) {
        has = has || ts_incarnation_eq(s->v[i].incarnation, disk);
    }
    return has;
}

/* Whether a value lists other disks only. */
static bool passes_over(const struct reg_value *value, struct ts_incarnation disk)
{
    struct cfg_config c;
    struct ts_reader r = ts_reader_init(value->data, value->len);
    cfg_config_decode(&c, &r);
    return ts_reader_finish(&r) == TS_OK && c.voters.count > 0 && !has_place(&c.voters, disk);
}

static void on_promise(struct proposer *p, const struct proposer_event *ev,
                       struct proposer_effects *fx)
{
    const struct reg_promise *m = &ev->msg->promise;
    struct proposer_voter *v = &p->voter[ev->voter];
    if (reg_ballot_cmp(m->ballot, p->ballot) == 0) {
        v->passed_over = passes_over(&m->value, v->disk); /* also late */
    }
    if (p->phase != PROPOSER_PREPARING || reg_ballot_cmp(m->ballot, p->ballot) != 0 ||
        v->answer == PROPOSER_GRANTED) {
        p->ignored++;
        return;
    }
    if (!take_promise(p, ev, fx)) {
        return;
    }
    v->answer = PROPOSER_GRANTED;
    if (count_granted(p) < proposer_majority(p)) {
        return;
    }
    p->prepared = true;
    if (p->op == PROPOSER_OP_PREPARE) {
        finish(p, fx, PROPOSER_PREPARED);
        return;
    }
    begin_accept(p, fx, ev->now);
}

static void on_accepted(struct proposer *p, const struct proposer_event *ev,
                        struct proposer_effects *fx)
{
    if (p->sent.len > 0 && reg_ballot_cmp(ev->msg->accepted.ballot, p->ballot) == 0) {
        struct proposer_voter *v = &p->voter[ev->voter]; /* also after the majority's answers */
        v->holds = p->seen.epoch;
        v->votes = counts(p, ev->voter);
    }
    if (p->phase != PROPOSER_ACCEPTING ||
        reg_ballot_cmp(ev->msg->accepted.ballot, p->ballot) != 0) {
        p->ignored++;
        return;
    }
    p->voter[ev->voter].answer = PROPOSER_GRANTED;
    if (count_granted(p) >= proposer_majority(p)) {
        finish(p, fx, p->pending);
    }
}

/* What a refusal says of the voter in this round. */
static enum proposer_answer judge_nack(const struct proposer *p, const struct reg_nack *m,
                                       const struct proposer_voter *v)
{
    if (m->reason == REG_NACK_TWO_VALUES) {
        return PROPOSER_OUTBID;
    }
    if (m->reason != REG_NACK_BALLOT) {
        return PROPOSER_REFUSED;
    }
    int order = reg_ballot_cmp(m->promised, p->ballot);
    if (order > 0) {
        return PROPOSER_OUTBID;
    }
    if (order == 0 && p->phase == PROPOSER_PREPARING) {
        /* A repeat of ours came second. Over the same connection the promise is on its way;
         * one that went out over an earlier connection is lost. */
        return v->asked_before_up ? PROPOSER_OUTBID : PROPOSER_GRANT_LOST;
    }
    return v->answer; /* the refusal of a repeated prepare, late: it says nothing new */
}

static void on_nack(struct proposer *p, const struct proposer_event *ev,
                    struct proposer_effects *fx)
{
    const struct reg_nack *m = &ev->msg->nack;
    struct proposer_voter *v = &p->voter[ev->voter];
    if (reg_ballot_cmp(m->ballot, p->ballot) != 0) {
        p->ignored++;
        return;
    }
    note_counter(p, m->promised.counter);
    v->empty = v->empty || m->reason == REG_NACK_EMPTY; /* also late */
    if (!is_asking(p) || v->answer == PROPOSER_GRANTED) {
        p->ignored++;
        return;
    }
    if (m->reason == REG_NACK_EMPTY) {
        trace(ev, fx, TS_TRACE_ALARM_REGISTER_EMPTY, p->cfg.reg, 0);
    }
    v->answer = judge_nack(p, m, v);
    if (round_is_lost(p)) {
        lose_round(p, fx, ev);
    }
}

/* Its disk is no part of the register yet, and says for whose place it is meant. */
static void on_blank(struct proposer *p, const struct proposer_event *ev)
{
    const struct reg_blank *m = &ev->msg->blank;
    struct proposer_voter *v = &p->voter[ev->voter];
    if (!ts_incarnation_eq(m->disk, v->disk)) {
        p->ignored++;
        return;
    }
    v->places = m->places;
    if (is_asking(p) && reg_ballot_cmp(m->ballot, p->ballot) == 0) {
        v->answer = PROPOSER_REFUSED;
    }
}

static void on_message(struct proposer *p, const struct proposer_event *ev,
                       struct proposer_effects *fx)
{
    p->voter[ev->voter].asked_at = TS_MONO_NEVER;
    switch (ev->msg->type) {
    case REG_MSG_PROMISE:
        if (ev->msg->promise.reg == p->cfg.reg) {
            on_promise(p, ev, fx);
        }
        return;
    case REG_MSG_ACCEPTED:
        if (ev->msg->accepted.reg == p->cfg.reg) {
            on_accepted(p, ev, fx);
        }
        return;
    case REG_MSG_NACK:
        if (ev->msg->nack.reg == p->cfg.reg) {
            on_nack(p, ev, fx);
        }
        return;
    case REG_MSG_BLANK:
        if (ev->msg->blank.reg == p->cfg.reg) {
            on_blank(p, ev);
        }
        return;
    case REG_MSG_PREPARE:
    case REG_MSG_ACCEPT:
    case REG_MSG_START:
    case REG_MSG_START_OK:
    case REG_MSG_START_REFUSED:
    case REG_MSG_STARTS_ASK:
    case REG_MSG_STARTS_TELL:
        p->ignored++;
        return;
    }
    ts_unreachable();
}

static void on_op(struct proposer *p, const struct proposer_event *ev, struct proposer_effects *fx)
{
    ts_assert(p->op == PROPOSER_OP_NONE && ev->op != PROPOSER_OP_NONE);
    if (ev->op == PROPOSER_OP_CAS) {
        ts_assert(cfg_config_valid(ev->config));
        ts_assert(ts_epoch_lt(ev->expected, ev->config->epoch)); /* R1.5 */
        ts_assert(ts_instance_eq(ev->config->proposer, p->cfg.instance));
        ts_assert(ev->config->nonce != 0);
        p->expected = ev->expected;
        p->proposal = *ev->config;
        p->pinned = p->prepared && ts_epoch_eq(p->seen.epoch, ev->expected);
        p->pinned_proposer = p->seen.proposer;
        p->pinned_nonce = p->seen.nonce;
    }
    p->op = ev->op;
    p->retry_ns = p->cfg.retry_ns;
    p->told = false;
    p->waits = 0;
    if (p->prepared && p->op != PROPOSER_OP_PREPARE) {
        begin_accept(p, fx, ev->now);
        return;
    }
    begin_round(p, fx, ev->now);
}

/* Asks again whoever has neither granted nor been lost to a higher ballot. */
static void ask_rest(struct proposer *p, struct proposer_effects *fx, struct ts_mono now)
{
    p->retry_at = ts_mono_add(now, p->retry_ns);
    for (uint8_t v = 0; v < p->cfg.voters; v++) {
        if (p->voter[v].answer != PROPOSER_GRANTED) {
            ask(p, fx, v, now);
        }
    }
}

static void on_tick(struct proposer *p, const struct proposer_event *ev,
                    struct proposer_effects *fx)
{
    if (ts_mono_lt(ev->now, p->retry_at) || p->phase == PROPOSER_IDLE) {
        return;
    }
    if (p->phase == PROPOSER_BACKING_OFF) {
        begin_round(p, fx, ev->now);
        return;
    }
    /* Silence is waited for longer each time; a voter that said "not yet" is asked again soon. */
    uint64_t max = p->cfg.retry_ns * PROPOSER_RETRY_FACTOR_MAX;
    if (count_answers(p, PROPOSER_REFUSED) == 0) {
        p->retry_ns = p->retry_ns * 2 < max ? p->retry_ns * 2 : max;
    }
    /* A voter that cannot grant this ballot any more can grant the next. */
    if (count_answers(p, PROPOSER_OUTBID) + count_answers(p, PROPOSER_GRANT_LOST) > 0) {
        begin_round(p, fx, ev->now);
        return;
    }
    ask_rest(p, fx, ev->now);
}

static void on_voter_up(struct proposer *p, const struct proposer_event *ev,
                        struct proposer_effects *fx)
{
    struct proposer_voter *v = &p->voter[ev->voter];
    v->up = true;
    v->empty = false;
    v->asked_at = TS_MONO_NEVER;
    if (!ts_incarnation_eq(v->disk, ev->disk)) {
        v->disk = ev->disk; /* another voter: it has granted nothing yet */
        v->places.count = 0;
        v->passed_over = false;
        v->holds.v = 0;
        v->votes = false;
        v->asked = false;
        v->answer = PROPOSER_NO_ANSWER;
    }
    if (!is_asking(p) || v->answer == PROPOSER_GRANTED || v->answer == PROPOSER_OUTBID) {
        return;
    }
    v->asked_before_up = v->asked;
    if (v->answer == PROPOSER_GRANT_LOST) {
        v->answer = PROPOSER_OUTBID; /* the promise went out over the old connection */
        if (round_is_lost(p)) {
            lose_round(p, fx, ev);
        }
        return;
    }
    ask(p, fx, ev->voter, ev->now);
}

static void on_voter_down(struct proposer *p, const struct proposer_event *ev,
                          struct proposer_effects *fx)
{
    p->voter[ev->voter].up = false;
    p->voter[ev->voter].asked_at = TS_MONO_NEVER;
    if (is_asking(p) && round_is_lost(p)) {
        lose_round(p, fx, ev);
    }
}

void proposer_step(struct proposer *p, const struct proposer_event *ev, struct proposer_effects *fx)
{
    fx->count = 0;
    switch (ev->kind) {
    case PROPOSER_EVENT_OP:
        on_op(p, ev, fx);
        return;
    case PROPOSER_EVENT_MESSAGE:
        ts_assert(ev->voter < p->cfg.voters);
        on_message(p, ev, fx);
        return;
    case PROPOSER_EVENT_VOTER_UP:
        ts_assert(ev->voter < p->cfg.voters);
        on_voter_up(p, ev, fx);
        return;
    case PROPOSER_EVENT_VOTER_DOWN:
        ts_assert(ev->voter < p->cfg.voters);
        on_voter_down(p, ev, fx);
        return;
    case PROPOSER_EVENT_TICK:
        on_tick(p, ev, fx);
        return;
    }
    ts_unreachable();
}

void proposer_abandon(struct proposer *p)
{
    p->op = PROPOSER_OP_NONE;
    p->phase = PROPOSER_IDLE;
    p->prepared = false;
    p->retry_at = TS_MONO_NEVER;
}

struct ts_mono proposer_deadline(const struct proposer *p)
{
    return p->retry_at;
}

bool proposer_is_busy(const struct proposer *p)
{
    return p->op != PROPOSER_OP_NONE;
}

bool proposer_is_prepared(const struct proposer *p)
{
    return p->prepared;
}

unsigned proposer_connected(const struct proposer *p)
{
    unsigned n = 0;
    for (size_t v = 0; v < p->cfg.voters; v++) {
        n += p->voter[v].up;
    }
    return n;
}

unsigned proposer_answering(const struct proposer *p, struct ts_mono now)
{
    unsigned n = 0;
    for (size_t v = 0; v < p->cfg.voters; v++) {
        const struct proposer_voter *pv = &p->voter[v];
        bool silent = ts_mono_since(pv->asked_at, now) >= SILENT_RETRIES * p->cfg.retry_ns;
        /* A refusal is news only while somebody asks: nobody would hear that it is over. */
        bool unable = p->phase != PROPOSER_IDLE && pv->answer == PROPOSER_REFUSED;
        n += pv->up && !silent && !unable && counts(p, (uint8_t)v);
    }
    return n;
}

bool proposer_next_voters(const struct proposer *p, const struct cfg_config *config,
                          struct cfg_voters *next, bool *ask)
{
    uint8_t joining = cfg_voters_joining(&config->voters);
    *next = config->voters;
    *ask = false;
    for (uint8_t i = 0; i < config->voters.count; i++) {
        const struct proposer_voter *v = &p->voter[i];
        struct cfg_voter *n = &next->v[i];
        if (!v->up || (joining != config->voters.count && joining != i)) {
            continue; /* one at a time */
        }
        if (!ts_incarnation_eq(v->disk, n->incarnation)) {
            *ask = *ask || (v->places.count == 0 && !v->passed_over);
            /* What a voter says may be false: a disk that has a place takes no other. */
            if (reg_places_has(&v->places, n->incarnation) &&
                !has_place(&config->voters, v->disk)) {
                *n = (struct cfg_voter){v->disk, CFG_VOTER_JOINS};
                return true;
            }
        } else if (joining == i) {
            bool holds = !ts_epoch_lt(v->holds, config->epoch);
            *ask = *ask || !holds;
            if (holds) {
                n->phase = n->phase == CFG_VOTER_JOINS ? CFG_VOTER_REWRITTEN : CFG_VOTER_VOTES;
                return true;
            }
        } else if (!v->votes && !v->empty) {
            *ask = true; /* it may have missed the last step, while nobody could reach it */
        }
    }
    return false;
}

void proposer_check_invariants(const struct proposer *p)
{
    bool idle = p->phase == PROPOSER_IDLE;
    ts_assert(idle == (p->op == PROPOSER_OP_NONE));
    ts_assert(idle == (p->retry_at.ns == UINT64_MAX));
    ts_assert(!p->prepared || (p->has_seen && p->sent.len == 0 && idle));
    ts_assert(p->phase != PROPOSER_ACCEPTING || p->sent.len > 0);
    ts_assert(p->phase != PROPOSER_PREPARING || p->sent.len == 0);
    ts_assert(p->phase != PROPOSER_PREPARING || count_granted(p) < proposer_majority(p));
    ts_assert(p->rounds == 0 || p->ballot.counter >= p->rounds);
    ts_assert(p->retry_ns <= p->cfg.retry_ns * PROPOSER_RETRY_FACTOR_MAX);
}
