#include "cluster-cfg/voter.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/voter_state.h"

_Static_assert(sizeof(struct voter_slot) % _Alignof(struct voter_start) == 0, "starts are aligned");
_Static_assert(sizeof(struct voter_start) % _Alignof(struct voter_held) == 0, "held are aligned");

size_t voter_bytes(const struct voter_limits *l)
{
    return sizeof(struct voter) + l->registers_max * sizeof(struct voter_slot) +
           l->starts_max * sizeof(struct voter_start) + l->held_max * sizeof(struct voter_held);
}

struct voter *voter_new(const struct voter_limits *limits)
{
    ts_assert(limits->self.v >= 1 && limits->self.v <= TS_NODES_MAX);
    ts_assert(limits->registers_max >= 1 && limits->registers_max <= VOTER_REGISTERS_MAX);
    ts_assert(limits->starts_max >= 1 && limits->starts_max <= VOTER_STARTS_MAX);
    ts_assert(limits->held_max >= 1 && limits->held_max <= VOTER_HELD_MAX);
    struct voter *v = calloc(1, voter_bytes(limits));
    if (v != NULL) {
        v->limits = *limits;
    }
    return v;
}

void voter_free(struct voter *v)
{
    free(v);
}

static struct voter_slot *find_slot(const struct voter *v, uint32_t reg)
{
    struct voter_slot *slots = voter_slots(v);
    for (size_t i = 0; i < v->slot_count; i++) {
        if (slots[i].rec.reg == reg) {
            return &slots[i];
        }
    }
    return NULL;
}

static struct voter_start *find_start(const struct voter *v, struct ts_incarnation inc)
{
    struct voter_start *starts = voter_starts(v);
    for (size_t i = 0; i < v->start_count; i++) {
        if (ts_incarnation_eq(starts[i].rec.incarnation, inc)) {
            return &starts[i];
        }
    }
    return NULL;
}

enum ts_err voter_list_register(struct voter *v, uint32_t reg)
{
    ts_assert(!v->stepped);
    if (find_slot(v, reg) != NULL) {
        return TS_OK;
    }
    if (v->slot_count == v->limits.registers_max) {
        return TS_ERR_LIMIT;
    }
    voter_slots(v)[v->slot_count++] = (struct voter_slot){.rec = {.reg = reg, .generation = 1}};
    return TS_OK;
}

static bool enrols(const struct voter *v)
{
    return v->places.count > 0;
}

/* What a value says of this disk; false when it does not list it. */
static bool lists_this(const struct voter *v, const struct reg_value *value,
                       struct cfg_voters *voters, enum cfg_voter_phase *phase)
{
    struct cfg_config c;
    struct ts_reader r = ts_reader_init(value->data, value->len);
    cfg_config_decode(&c, &r);
    *voters = c.voters;
    for (size_t i = 0; i < c.voters.count && ts_reader_finish(&r) == TS_OK; i++) {
        if (ts_incarnation_eq(c.voters.v[i].incarnation, v->disk)) {
            *phase = c.voters.v[i].phase;
            return true;
        }
    }
    return false;
}

void voter_set_disk(struct voter *v, struct ts_incarnation disk, const struct reg_places *places)
{
    ts_assert(!v->stepped && disk.v != 0);
    v->disk = disk;
    v->places = *places;
    for (size_t i = 0; i < v->slot_count; i++) {
        struct voter_slot *s = &voter_slots(v)[i];
        struct cfg_voters voters;
        enum cfg_voter_phase phase = CFG_VOTER_JOINS;
        bool listed = s->rec.value.len > 0 && lists_this(v, &s->rec.value, &voters, &phase);
        /* The starts were written before the value that says so. */
        s->copy = listed && phase != CFG_VOTER_JOINS ? VOTER_COPY_DONE : VOTER_COPY_NONE;
    }
}

static enum ts_err restore_register(struct voter *v, const struct voter_register *rec)
{
    struct voter_slot *s = find_slot(v, rec->reg);
    if (s != NULL && s->rec.value.len > 0) {
        return TS_ERR_EXISTS;
    }
    enum ts_err err = voter_list_register(v, rec->reg);
    if (err != TS_OK) {
        return err;
    }
    find_slot(v, rec->reg)->rec = *rec;
    return TS_OK;
}

static enum ts_err restore_start(struct voter *v, const struct reg_start *rec)
{
    if (find_start(v, rec->incarnation) != NULL) {
        return TS_ERR_EXISTS;
    }
    if (v->start_count == v->limits.starts_max) {
        return TS_ERR_LIMIT;
    }
    voter_starts(v)[v->start_count++] = (struct voter_start){.rec = *rec};
    return TS_OK;
}

enum ts_err voter_restore(struct voter *v, const struct voter_record *record)
{
    ts_assert(!v->stepped);
    switch (record->kind) {
    case VOTER_RECORD_REGISTER:
        return restore_register(v, &record->reg);
    case VOTER_RECORD_START:
        return restore_start(v, &record->start);
    }
    ts_unreachable();
}

static struct voter_effect *add_effect(struct voter_effects *fx, enum voter_effect_kind kind)
{
    ts_assert(fx->count < VOTER_EFFECTS_MAX);
    struct voter_effect *e = &fx->e[fx->count++];
    e->kind = kind;
    return e;
}

static void trace(const struct voter_event *ev, struct voter_effects *fx, enum ts_trace_kind kind,
                  uint64_t a, uint64_t b)
{
    add_effect(fx, VOTER_TRACE)->trace =
        (struct ts_trace){.kind = kind, .at = ev->now, .a = a, .b = b};
}

static void reply_now(struct voter_effects *fx, uint64_t handle, const struct reg_msg *msg)
{
    struct voter_effect *e = add_effect(fx, VOTER_REPLY);
    e->reply.handle = handle;
    e->reply.msg = *msg;
}

/* Sends `msg` once persist `n` is durable. Held replies keep their order, so one that needs
 * an older persist waits for the newest one: it costs at most one write's time. */
static void reply_after(struct voter *v, struct voter_effects *fx, uint64_t n, uint64_t handle,
                        const struct reg_msg *msg)
{
    if (n <= v->persisted) {
        reply_now(fx, handle, msg);
        return;
    }
    ts_assert(v->held_count < v->limits.held_max);
    struct voter_held *h = &voter_held(v)[v->held_count++];
    h->n = v->issued;
    h->handle = handle;
    h->msg = *msg;
}

static void persist_slot(struct voter *v, struct voter_effects *fx, struct voter_slot *s)
{
    s->n = ++v->issued;
    struct voter_effect *e = add_effect(fx, VOTER_PERSIST);
    e->persist.n = s->n;
    e->persist.record = (struct voter_record){.kind = VOTER_RECORD_REGISTER, .reg = s->rec};
}

static void persist_start(struct voter *v, struct voter_effects *fx, struct voter_start *s)
{
    s->n = ++v->issued;
    struct voter_effect *e = add_effect(fx, VOTER_PERSIST);
    e->persist.n = s->n;
    e->persist.record = (struct voter_record){.kind = VOTER_RECORD_START, .start = s->rec};
}

/* A peer spoke for somebody else: no answer, since none was asked for by who is named. */
static void reject(struct voter *v, const struct voter_event *ev, struct voter_effects *fx)
{
    v->rejected++;
    trace(ev, fx, TS_TRACE_REJECTED_INPUT, ev->from.v, v->rejected);
}

/* A node came with a disk that is another one's, or with one of its own in a wrong place. Of two
 * that have the same voter's disk the one whose start a majority confirmed has it rightly: until
 * then it is not for this one to say. */
static void reject_start(struct voter *v, const struct voter_event *ev,
                         const struct voter_start *known, struct voter_effects *fx)
{
    bool doubtful = known == NULL && !v->ready;
    if (doubtful || !ts_nic_eq(ev->msg->start.owner.node, ev->from)) {
        reject(v, ev, fx);
        return;
    }
    v->rejected++;
    trace(ev, fx, TS_TRACE_FOREIGN_DISK, ev->from.v,
          known == NULL ? v->limits.self.v : known->rec.owner.node.v);
}

/* A refusal promises nothing, so it needs no disk; that `promised` may not be durable yet only
 * makes a proposer bid higher than it had to. */
static void nack(const struct voter_event *ev, struct voter_effects *fx, uint32_t reg,
                 struct reg_ballot ballot, struct reg_ballot promised, enum reg_nack_reason reason)
{
    struct reg_msg msg = {
        .type = REG_MSG_NACK,
        .nack = {.reg = reg, .ballot = ballot, .promised = promised, .reason = reason},
    };
    reply_now(fx, ev->handle, &msg);
    if (reason == REG_NACK_BALLOT) {
        trace(ev, fx, TS_TRACE_VOTER_REFUSED, ballot.counter, promised.counter);
    } else if (reason == REG_NACK_EMPTY) {
        trace(ev, fx, TS_TRACE_ALARM_REGISTER_EMPTY, reg, 0);
    } else if (reason == REG_NACK_TWO_VALUES) {
        trace(ev, fx, TS_TRACE_ALARM_TWO_VALUES, ballot.counter, ballot.proposer.v);
    }
}

static void tell_blank(const struct voter *v, const struct voter_event *ev,
                       struct voter_effects *fx, uint32_t reg, struct reg_ballot ballot)
{
    struct reg_msg msg = {
        .type = REG_MSG_BLANK,
        .blank = {.reg = reg, .ballot = ballot, .disk = v->disk, .places = v->places},
    };
    reply_now(fx, ev->handle, &msg);
}

static bool lists_place(const struct voter *v, const struct cfg_voters *voters)
{
    bool lists = false;
    for (size_t i = 0; i < voters->count; i++) {
        lists = lists || reg_places_has(&v->places, voters->v[i].incarnation);
    }
    return lists;
}

/* Whether this register has no place for this disk yet: it is blank; or what filled it was never
 * decided, and what came after lists the disk whose place this one is for. */
static bool waits(const struct voter *v, const struct voter_slot *s)
{
    struct cfg_voters voters = {0};
    enum cfg_voter_phase phase = CFG_VOTER_JOINS;
    bool blank = s->rec.value.len == 0;
    return enrols(v) &&
           (blank || (!lists_this(v, &s->rec.value, &voters, &phase) && lists_place(v, &voters)));
}

/* Whether a register that waits may take this accept, or one that does not may take the next step.
 */
static bool may_fill(struct voter *v, const struct voter_event *ev, struct voter_effects *fx,
                     struct voter_slot *s)
{
    const struct reg_accept *m = &ev->msg->accept;
    struct cfg_voters voters;
    enum cfg_voter_phase phase = CFG_VOTER_JOINS;
    if (!lists_this(v, &m->value, &voters, &phase)) {
        if (!waits(v, s) || (s->rec.value.len > 0 && !lists_place(v, &voters))) {
            return true; /* another disk has its place by now, or still: it does not count */
        }
        s->misplaced = voters.count > 0 && !lists_place(v, &voters);
        tell_blank(v, ev, fx, m->reg, m->ballot);
        return false;
    }
    s->misplaced = false;
    if (phase == CFG_VOTER_JOINS || s->copy == VOTER_COPY_DONE) {
        return true;
    }
    if (s->copy == VOTER_COPY_NONE || !cfg_voters_eq(&voters, &s->voters)) {
        s->copy = VOTER_COPY_WANTED;
        s->voters = voters;
    }
    nack(ev, fx, m->reg, m->ballot, s->rec.promised, REG_NACK_NOT_READY);
    return false;
}

/* The register that may be changed now; NULL after refusing. */
static struct voter_slot *admit(struct voter *v, const struct voter_event *ev,
                                struct voter_effects *fx, uint32_t reg, struct reg_ballot ballot)
{
    if (!ts_nic_eq(ballot.proposer, ev->from)) {
        reject(v, ev, fx);
        return NULL;
    }
    struct voter_slot *s = find_slot(v, reg);
    struct reg_ballot promised = s != NULL ? s->rec.promised : (struct reg_ballot){0};
    if (s == NULL) {
        nack(ev, fx, reg, ballot, promised, REG_NACK_UNKNOWN);
        return NULL;
    }
    if (s->rec.value.len == 0 && !enrols(v)) {
        nack(ev, fx, reg, ballot, promised, REG_NACK_EMPTY);
        return NULL;
    }
    if (!v->ready) {
        nack(ev, fx, reg, ballot, promised, REG_NACK_NOT_READY);
        return NULL;
    }
    if (v->held_count == v->limits.held_max) {
        nack(ev, fx, reg, ballot, promised, REG_NACK_BUSY);
        return NULL;
    }
    return s;
}

/* R1.2: strictly greater. A repeat of the promised ballot is refused too, since the second
 * asker might be another one. */
static void on_prepare(struct voter *v, const struct voter_event *ev, struct voter_effects *fx)
{
    const struct reg_prepare *m = &ev->msg->prepare;
    struct voter_slot *s = admit(v, ev, fx, m->reg, m->ballot);
    if (s == NULL) {
        return;
    }
    if (waits(v, s)) {
        tell_blank(v, ev, fx, m->reg, m->ballot);
        return;
    }
    if (reg_ballot_cmp(m->ballot, s->rec.promised) <= 0) {
        nack(ev, fx, m->reg, m->ballot, s->rec.promised, REG_NACK_BALLOT);
        return;
    }
    s->rec.promised = m->ballot;
    persist_slot(v, fx, s);
    struct reg_msg msg = {
        .type = REG_MSG_PROMISE,
        .promise = {.reg = m->reg,
                    .ballot = m->ballot,
                    .accepted = s->rec.accepted,
                    .value = s->rec.value},
    };
    reply_after(v, fx, s->n, ev->handle, &msg);
    trace(ev, fx, TS_TRACE_VOTER_PROMISED, m->ballot.counter, m->ballot.proposer.v);
}

static void on_accept(struct voter *v, const struct voter_event *ev, struct voter_effects *fx)
{
    const struct reg_accept *m = &ev->msg->accept;
    struct voter_slot *s = admit(v, ev, fx, m->reg, m->ballot);
    if (s == NULL || (enrols(v) && !may_fill(v, ev, fx, s))) {
        return;
    }
    struct voter_register *rec = &s->rec;
    if (m->generation < rec->generation) {
        nack(ev, fx, m->reg, m->ballot, rec->promised, REG_NACK_GENERATION);
        return;
    }
    if (reg_ballot_cmp(m->ballot, rec->promised) < 0) {
        nack(ev, fx, m->reg, m->ballot, rec->promised, REG_NACK_BALLOT);
        return;
    }
    bool repeat = reg_ballot_cmp(m->ballot, rec->accepted) == 0;
    if (repeat && !reg_value_eq(&m->value, &rec->value)) {
        nack(ev, fx, m->reg, m->ballot, rec->promised, REG_NACK_TWO_VALUES);
        return;
    }
    if (!repeat || m->generation > rec->generation) {
        rec->promised = m->ballot;
        rec->accepted = m->ballot;
        rec->value = m->value;
        rec->generation = m->generation;
        persist_slot(v, fx, s);
        trace(ev, fx, TS_TRACE_VOTER_ACCEPTED, m->ballot.counter, m->ballot.proposer.v);
    }
    struct reg_msg msg = {
        .type = REG_MSG_ACCEPTED,
        .accepted = {.reg = m->reg, .ballot = m->ballot},
    };
    reply_after(v, fx, s->n, ev->handle, &msg);
}

static void refuse_start(const struct voter_event *ev, struct voter_effects *fx,
                         const struct reg_start *registered)
{
    struct reg_msg msg = {
        .type = REG_MSG_START_REFUSED,
        .refused = {.asked = ev->msg->start,
                    .registered_start = registered->start,
                    .registered_instance = registered->instance},
    };
    reply_now(fx, ev->handle, &msg);
    trace(ev, fx, TS_TRACE_START_REFUSED, ev->msg->start.start, registered->start);
}

/* A blank disk has forgotten what the lost one knew, until it has a copy. */
static bool knows_starts(const struct voter *v, const struct reg_owner *owner)
{
    bool any = !enrols(v);
    for (size_t i = 0; i < v->slot_count && !any; i++) {
        const struct voter_slot *s = &voter_slots(v)[i];
        bool about = owner->kind == REG_OWNER_VOTER || s->rec.reg == owner->group.v;
        any = about && s->copy == VOTER_COPY_DONE;
    }
    return any;
}

/* R1.8: above what is registered, or the very same start again. */
static void on_start(struct voter *v, const struct voter_event *ev, struct voter_effects *fx)
{
    const struct reg_start *m = &ev->msg->start;
    struct voter_start *s = find_start(v, m->incarnation);
    /* A disk belongs to one owner; a copy of it under another name gets no answer. Nobody else has
     * this one: its own start is registered elsewhere. */
    bool is_own = v->disk.v != 0 && ts_incarnation_eq(m->incarnation, v->disk);
    if (!ts_nic_eq(m->owner.node, ev->from) || is_own ||
        (s != NULL && !reg_owner_eq(s->rec.owner, m->owner))) {
        reject_start(v, ev, s, fx);
        return;
    }
    bool repeat = s != NULL && reg_start_eq(&s->rec, m);
    if (s != NULL && !repeat && m->start <= s->rec.start) {
        refuse_start(ev, fx, &s->rec);
        return;
    }
    if ((!v->ready && m->owner.kind == REG_OWNER_REPLICA) || !knows_starts(v, &m->owner)) {
        /* Its own disk may be an old image that has forgotten a later start. Voters it must answer,
         * or none of them could begin; a replica asks again. */
        return;
    }
    if (v->held_count == v->limits.held_max ||
        (s == NULL && v->start_count == v->limits.starts_max)) {
        /* No answer: the process asks again. A full table is for the operator: which of its disks
         * are gone for good only a decided config tells, and a value at one voter is none (R1.4).
         */
        reject(v, ev, fx);
        return;
    }
    if (s == NULL) {
        s = &voter_starts(v)[v->start_count++];
    }
    if (!repeat) {
        s->rec = *m;
        persist_start(v, fx, s);
        trace(ev, fx, TS_TRACE_START_REGISTERED, m->start, 0);
    }
    struct reg_msg msg = {.type = REG_MSG_START_OK, .start_ok = *m};
    reply_after(v, fx, s->n, ev->handle, &msg);
}

bool voter_learn_start(struct voter *v, const struct reg_start *start, struct voter_effects *fx)
{
    fx->count = 0;
    v->stepped = true;
    struct voter_start *s = find_start(v, start->incarnation);
    /* A disk belongs to one owner, whatever is told. */
    bool known =
        s != NULL && (s->rec.start >= start->start || !reg_owner_eq(s->rec.owner, start->owner));
    if (v->failed || known) {
        return !v->failed;
    }
    if (s == NULL && v->start_count == v->limits.starts_max) {
        return false;
    }
    if (s == NULL) {
        s = &voter_starts(v)[v->start_count++];
    }
    s->rec = *start;
    persist_start(v, fx, s);
    return true;
}

/* The n-th start that is known here, its own first; NULL behind the last. */
static const struct reg_start *start_at(const struct voter *v, size_t n)
{
    size_t own = v->own.incarnation.v != 0;
    if (n < own) {
        return &v->own;
    }
    return n - own < v->start_count ? &voter_starts(v)[n - own].rec : NULL;
}

/* One start of the table; behind the last the answer has none. What is not durable here yet may be
 * told: whoever knows more refuses more. */
static void on_starts_ask(struct voter *v, const struct voter_event *ev, struct voter_effects *fx)
{
    const struct reg_start *start = start_at(v, ev->msg->starts_ask.index);
    if (!v->ready || !knows_starts(v, &(struct reg_owner){.kind = REG_OWNER_VOTER})) {
        return; /* it may be an old image, or blank itself: it is asked again */
    }
    struct reg_msg msg = {.type = REG_MSG_STARTS_TELL,
                          .starts_tell = {.session = ev->msg->starts_ask.session,
                                          .index = ev->msg->starts_ask.index,
                                          .has = start != NULL}};
    if (start != NULL) {
        msg.starts_tell.start = *start;
    }
    reply_now(fx, ev->handle, &msg);
}

static void on_message(struct voter *v, const struct voter_event *ev, struct voter_effects *fx)
{
    switch (ev->msg->type) {
    case REG_MSG_PREPARE:
        on_prepare(v, ev, fx);
        return;
    case REG_MSG_ACCEPT:
        on_accept(v, ev, fx);
        return;
    case REG_MSG_START:
        on_start(v, ev, fx);
        return;
    case REG_MSG_STARTS_ASK:
        on_starts_ask(v, ev, fx);
        return;
    case REG_MSG_BLANK:
    case REG_MSG_STARTS_TELL:
    case REG_MSG_PROMISE:
    case REG_MSG_ACCEPTED:
    case REG_MSG_NACK:
    case REG_MSG_START_OK:
    case REG_MSG_START_REFUSED:
        reject(v, ev, fx); /* a voter asks nobody */
        return;
    }
    ts_unreachable();
}

static void on_persisted(struct voter *v, uint64_t n, struct voter_effects *fx)
{
    ts_assert(n <= v->issued);
    ts_assert(n >= v->persisted);
    v->persisted = n;
    struct voter_held *held = voter_held(v);
    size_t due = 0;
    while (due < v->held_count && held[due].n <= n) {
        reply_now(fx, held[due].handle, &held[due].msg);
        due++;
    }
    v->held_count -= due;
    memmove(held, held + due, v->held_count * sizeof(*held));
    memset(held + v->held_count, 0, due * sizeof(*held));
}

static void on_copy_begun(struct voter *v)
{
    for (size_t i = 0; i < v->slot_count; i++) {
        struct voter_slot *s = &voter_slots(v)[i];
        s->copy = s->copy == VOTER_COPY_WANTED ? VOTER_COPY_BEGINS : s->copy;
    }
}

/* Done where those are a majority by the value that it was wanted for. */
static void on_copied(struct voter *v, const struct voter_event *ev)
{
    for (size_t i = 0; i < v->slot_count; i++) {
        struct voter_slot *s = &voter_slots(v)[i];
        unsigned n = 0;
        for (uint8_t k = 0; k < s->voters.count; k++) {
            n += cfg_voters_count(&s->voters, k, ev->disks[k]);
        }
        if (s->copy == VOTER_COPY_BEGINS && n > s->voters.count / 2U) {
            s->copy = VOTER_COPY_DONE;
        }
    }
}

void voter_step(struct voter *v, const struct voter_event *ev, struct voter_effects *fx)
{
    fx->count = 0;
    v->stepped = true;
    if (v->failed) {
        return; /* R1.3, R2.11: after one failed sync nothing on this disk is trusted */
    }
    switch (ev->kind) {
    case VOTER_MESSAGE:
        on_message(v, ev, fx);
        return;
    case VOTER_PERSISTED:
        on_persisted(v, ev->n, fx);
        return;
    case VOTER_PERSIST_FAILED:
        v->failed = true;
        v->held_count = 0;
        trace(ev, fx, TS_TRACE_ALARM_DISK, 0, 0);
        return;
    case VOTER_READY:
        v->ready = true;
        v->own = ev->own == NULL ? v->own : *ev->own;
        return;
    case VOTER_COPY_BEGUN:
        on_copy_begun(v);
        return;
    case VOTER_COPIED:
        on_copied(v, ev);
        return;
    }
    ts_unreachable();
}

bool voter_is_ready(const struct voter *v)
{
    return v->ready && !v->failed;
}

bool voter_is_joining(const struct voter *v)
{
    bool joining = false;
    for (size_t i = 0; i < v->slot_count; i++) {
        const struct voter_slot *s = &voter_slots(v)[i];
        struct cfg_voters voters;
        enum cfg_voter_phase phase = CFG_VOTER_JOINS;
        bool listed = lists_this(v, &s->rec.value, &voters, &phase);
        joining |= waits(v, s) | (listed & (phase != CFG_VOTER_VOTES));
    }
    return enrols(v) & joining;
}

bool voter_is_replaced(const struct voter *v)
{
    bool replaced = false;
    for (size_t i = 0; i < v->slot_count && v->disk.v != 0; i++) {
        const struct voter_slot *s = &voter_slots(v)[i];
        struct cfg_voters voters;
        enum cfg_voter_phase phase = CFG_VOTER_VOTES;
        bool listed = lists_this(v, &s->rec.value, &voters, &phase);
        replaced |= !listed & (voters.count > 0) & !waits(v, s);
    }
    return replaced;
}

bool voter_is_misplaced(const struct voter *v)
{
    bool misplaced = false;
    for (size_t i = 0; i < v->slot_count; i++) {
        misplaced |= voter_slots(v)[i].misplaced;
    }
    return misplaced;
}

static bool any_copy(const struct voter *v, enum voter_copy copy)
{
    bool any = false;
    for (size_t i = 0; i < v->slot_count; i++) {
        any = any || voter_slots(v)[i].copy == copy;
    }
    return any;
}

bool voter_wants_copy(const struct voter *v)
{
    return any_copy(v, VOTER_COPY_WANTED);
}

bool voter_is_copying(const struct voter *v)
{
    return any_copy(v, VOTER_COPY_BEGINS);
}

bool voter_has_failed(const struct voter *v)
{
    return v->failed;
}

const struct voter_register *voter_find(const struct voter *v, uint32_t reg)
{
    const struct voter_slot *s = find_slot(v, reg);
    return s != NULL && s->rec.value.len > 0 ? &s->rec : NULL;
}

size_t voter_empty_registers(const struct voter *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->slot_count; i++) {
        n += voter_slots(v)[i].rec.value.len == 0;
    }
    return n;
}

size_t voter_starts_known(const struct voter *v, size_t *max)
{
    *max = v->limits.starts_max;
    return v->start_count;
}

void voter_check_invariants(const struct voter *v)
{
    ts_assert(v->persisted <= v->issued);
    ts_assert(v->slot_count <= v->limits.registers_max);
    ts_assert(v->start_count <= v->limits.starts_max);
    ts_assert(v->held_count <= v->limits.held_max);
    for (size_t i = 0; i < v->slot_count; i++) {
        const struct voter_slot *s = &voter_slots(v)[i];
        ts_assert(reg_ballot_cmp(s->rec.accepted, s->rec.promised) <= 0);
        ts_assert(s->n <= v->issued);
        ts_assert(s->rec.generation >= 1);
    }
    uint64_t last = v->persisted;
    for (size_t i = 0; i < v->held_count; i++) {
        const struct voter_held *h = &voter_held(v)[i];
        ts_assert(h->n >= last && h->n > v->persisted && h->n <= v->issued);
        last = h->n;
    }
}

struct voter_register voter_genesis(uint32_t reg, const struct reg_value *value)
{
    ts_assert(value->len > 0 && value->len <= REG_VALUE_MAX);
    return (struct voter_register){.reg = reg, .value = *value, .generation = 1};
}
