#include "cluster-cfg/io/voter_perform.h"

#include "base/assert.h"
#include "cluster-cfg/io/voter_store.h"

_Static_assert(VOTER_PERFORM_BYTES_MAX >= VOTER_STORE_STARTS_MAX, "a record fits");

/* ---- the core's effects ------------------------------------------------------------------- */

static void write_bytes(struct voter_perform *v, const struct voter_record *record, uint32_t id,
                        const struct ts_writer *w)
{
    enum ts_err err = ts_writer_status(w);
    if (err == TS_OK) {
        err = v->ops->write(v->ctx, record, id, (struct ts_bytes){w->data, w->len});
    }
    if (err != TS_OK) {
        v->persist_failed = true;
    }
}

static void keep_start(struct voter_perform *v, const struct reg_start *s)
{
    for (size_t i = 0; i < v->starts_count; i++) {
        if (ts_incarnation_eq(v->starts[i].incarnation, s->incarnation)) {
            v->starts[i] = *s;
            return;
        }
    }
    ts_assert(v->starts_count < VOTER_STARTS_MAX); /* the core refuses more */
    v->starts[v->starts_count++] = *s;
}

static void persist(struct voter_perform *v, const struct voter_record *record)
{
    v->issued++;
    struct ts_writer w = ts_writer_init(v->bytes, sizeof(v->bytes));
    if (record->kind == VOTER_RECORD_REGISTER) {
        voter_record_encode(record, &w);
        write_bytes(v, record, record->reg.reg, &w);
        return;
    }
    keep_start(v, &record->start);
    voter_starts_encode(v->starts, v->starts_count, &w);
    write_bytes(v, record, VOTER_STORE_STARTS, &w);
}

static void carry_out(struct voter_perform *v)
{
    for (size_t i = 0; i < v->effects.count; i++) {
        const struct voter_effect *e = &v->effects.e[i];
        switch (e->kind) {
        case VOTER_PERSIST:
            persist(v, &e->persist.record);
            break;
        case VOTER_REPLY:
            v->ops->reply(v->ctx, e->reply.handle, &e->reply.msg);
            break;
        case VOTER_TRACE:
            v->ops->trace(v->ctx, &e->trace);
            break;
        }
    }
}

static void step_once(struct voter_perform *v, const struct voter_event *ev)
{
    ts_assert(!v->stepping); /* completions and frames come from the loop, never from within */
    v->stepping = true;
    voter_step(v->core, ev, &v->effects);
    carry_out(v);
    v->stepping = false;
}

static void end_voting(struct voter_perform *v, struct ts_mono now)
{
    if (!voter_has_failed(v->core)) {
        step_once(v, &(struct voter_event){.kind = VOTER_PERSIST_FAILED, .now = now});
    }
}

static void tell_failed(struct voter_perform *v, const char *text)
{
    if (!v->refused) { /* that was told, and says more */
        v->ops->failed(v->ctx, text);
    }
}

static void end_when_failed(struct voter_perform *v, struct ts_mono now)
{
    if (v->persist_failed && !voter_has_failed(v->core)) {
        tell_failed(v, "its disk takes no more writes; see the line before");
        end_voting(v, now);
    }
}

static void step(struct voter_perform *v, const struct voter_event *ev)
{
    step_once(v, ev);
    end_when_failed(v, ev->now);
}

/* ---- the copy of the others' starts (adr/0029) ------------------------------------------------
 */

/* Starts that were told and are not durable yet: the disk is slower than the network, and its queue
 * is for proposers, too. */
#define COPY_WRITES_MAX 8

static void ask_starts(struct voter_perform *v, uint8_t voter)
{
    struct reg_msg msg = {
        .type = REG_MSG_STARTS_ASK,
        .starts_ask = {.session = v->copy.session, .index = v->copy.next[voter]},
    };
    bool up = (v->start.up_mask >> voter & 1) != 0;
    bool asks = up && voter != v->start.cfg.self && !v->copy.told[voter];
    v->copy.waits[voter] = asks && v->issued - v->persisted >= COPY_WRITES_MAX;
    if (asks && !v->copy.waits[voter]) {
        v->ops->send(v->ctx, voter, &msg);
    }
}

static void ask_all_starts(struct voter_perform *v, struct ts_mono now)
{
    v->copy.ask_at = ts_mono_add(now, v->start.cfg.retry_ns);
    for (uint8_t i = 0; i < v->start.cfg.voters; i++) {
        ask_starts(v, i);
    }
}

static void begin_copy(struct voter_perform *v, struct ts_mono now)
{
    if (voter_wants_copy(v->core) && !voter_has_failed(v->core)) {
        step(v, &(struct voter_event){.kind = VOTER_COPY_BEGUN, .now = now});
        /* No other run of this process, or of an earlier one, has this number. */
        v->copy = (struct voter_copy_run){.session = now.ns + ++v->sessions};
        ask_all_starts(v, now);
    }
}

/* One more voter has told all. Whether its disk counts the core knows; the copy goes on until every
 * register that it was begun for has a majority. */
static void look_at_copy(struct voter_perform *v, struct ts_mono now)
{
    struct ts_incarnation disks[TS_VOTERS_MAX] = {{0}};
    for (uint8_t i = 0; i < v->start.cfg.voters; i++) {
        disks[i].v = v->copy.told[i] ? v->start.disk[i].v : 0;
    }
    step(v, &(struct voter_event){.kind = VOTER_COPIED, .now = now, .disks = disks});
    if (!voter_is_copying(v->core)) {
        v->copy.session = 0;
    }
}

static void on_tell(struct voter_perform *v, uint8_t voter, const struct reg_starts_tell *m,
                    struct ts_mono now)
{
    struct voter_copy_run *c = &v->copy;
    if (m->session != c->session || m->index != c->next[voter] || c->told[voter]) {
        return; /* of an earlier copy, or twice */
    }
    c->told[voter] = !m->has;
    if (m->has) {
        v->stepping = true;
        bool room = voter_learn_start(v->core, &m->start, &v->effects);
        carry_out(v);
        v->stepping = false;
        end_when_failed(v, now);
        c->next[voter] = (uint16_t)(c->next[voter] + room); /* without room it waits for ever */
        if (room) {
            ask_starts(v, voter);
        }
    }
    if (c->told[voter]) {
        look_at_copy(v, now);
    }
}

static void ask_waiting(struct voter_perform *v)
{
    for (uint8_t i = 0; i < v->start.cfg.voters && v->copy.session != 0; i++) {
        if (v->copy.waits[i]) {
            ask_starts(v, i);
        }
    }
}

/* ---- the registration of the start ---------------------------------------------------------- */

static void on_registered(struct voter_perform *v)
{
    if (v->ops->confirm_start(v->ctx) != TS_OK) {
        tell_failed(v, "its disk takes no more writes; see the line before");
    }
}

static void start_event(struct voter_perform *v, const struct start_event *ev)
{
    struct start_effects fx;
    start_step(&v->start, ev, &fx);
    for (size_t i = 0; i < fx.count; i++) {
        const struct start_effect *e = &fx.e[i];
        switch (e->kind) {
        case START_EFFECT_SEND:
            v->ops->send(v->ctx, e->voter, &e->msg);
            break;
        case START_EFFECT_REGISTERED:
            on_registered(v);
            break;
        case START_EFFECT_CLONE:
            v->refused = true;
            v->ops->refused(v->ctx, e->voter, e->msg.refused.registered_start);
            end_voting(v, ev->now);
            break;
        case START_EFFECT_TRACE:
            v->ops->trace(v->ctx, &e->trace);
            break;
        }
    }
}

void voter_perform_begin(struct voter_perform *v, const struct start_config *start,
                         struct ts_mono now)
{
    start_init(&v->start, start);
    start_event(v, &(struct start_event){.kind = START_EVENT_BEGIN, .now = now});
}

void voter_perform_voter(struct voter_perform *v, uint8_t voter, bool up,
                         struct ts_incarnation disk, struct ts_mono now)
{
    if (voter == v->start.cfg.self) {
        return;
    }
    if (up && !ts_incarnation_eq(v->start.disk[voter], disk)) {
        v->copy.next[voter] = 0; /* another table */
        v->copy.told[voter] = false;
    }
    start_event(v, &(struct start_event){.kind = up ? START_EVENT_VOTER_UP : START_EVENT_VOTER_DOWN,
                                         .now = now,
                                         .voter = voter,
                                         .disk = disk});
}

enum ts_err voter_perform_frame(struct voter_perform *v, uint8_t voter, uint8_t type,
                                struct ts_bytes payload, struct ts_mono now)
{
    struct reg_msg msg;
    enum ts_err err = reg_msg_decode(&msg, type, payload);
    if (err == TS_OK && msg.type == REG_MSG_STARTS_TELL && voter != v->start.cfg.self) {
        on_tell(v, voter, &msg.starts_tell, now);
    } else if (err == TS_OK && voter != v->start.cfg.self) {
        start_event(v, &(struct start_event){
                           .kind = START_EVENT_MESSAGE, .now = now, .voter = voter, .msg = &msg});
    }
    return err;
}

void voter_perform_tick(struct voter_perform *v, struct ts_mono now)
{
    start_event(v, &(struct start_event){.kind = START_EVENT_TICK, .now = now});
    if (voter_has_failed(v->core)) {
        v->copy.session = 0;
    }
    if (v->copy.session != 0 && !ts_mono_lt(now, v->copy.ask_at)) {
        ask_all_starts(v, now);
    }
}

struct ts_mono voter_perform_deadline(const struct voter_perform *v)
{
    struct ts_mono due = start_deadline(&v->start);
    return v->copy.session != 0 && ts_mono_lt(v->copy.ask_at, due) ? v->copy.ask_at : due;
}

/* ---- requests, and what the disk tells ------------------------------------------------------ */

enum ts_err voter_perform_request(struct voter_perform *v, struct ts_nic_id from, uint64_t handle,
                                  uint8_t type, struct ts_bytes payload, struct ts_mono now)
{
    struct reg_msg msg;
    enum ts_err err = reg_msg_decode(&msg, type, payload);
    if (err == TS_OK) {
        step(v,
             &(struct voter_event){
                 .kind = VOTER_MESSAGE, .now = now, .from = from, .handle = handle, .msg = &msg});
        begin_copy(v, now);
    }
    return err;
}

void voter_perform_persisted(struct voter_perform *v, struct ts_mono now)
{
    v->persisted++;
    step(v, &(struct voter_event){.kind = VOTER_PERSISTED, .now = now, .n = v->persisted});
    ask_waiting(v);
}

/* A refusal, or a failure, that came meanwhile is final. */
void voter_perform_confirmed(struct voter_perform *v, struct ts_mono now)
{
    if (!v->refused && !voter_has_failed(v->core)) {
        v->ops->ready(v->ctx);
        step(v, &(struct voter_event){.kind = VOTER_READY, .now = now, .own = &v->start.cfg.start});
    }
}

void voter_perform_disk_failed(struct voter_perform *v, const char *text, struct ts_mono now)
{
    tell_failed(v, text);
    end_voting(v, now);
}

/* ---- open ------------------------------------------------------------------------------------ */

void voter_perform_open(struct voter_perform *v, struct voter *core,
                        const struct voter_perform_ops *ops, void *ctx)
{
    v->ops = ops;
    v->ctx = ctx;
    v->core = core;
    v->issued = 0;
    v->persisted = 0;
    v->persist_failed = false;
    v->refused = false;
    v->stepping = false;
    v->starts_count = 0;
    v->sessions = 0;
    v->copy = (struct voter_copy_run){0};
}

void voter_perform_set_disk(struct voter_perform *v, struct ts_incarnation disk,
                            const struct reg_places *places)
{
    voter_set_disk(v->core, disk, places);
}

enum ts_err voter_perform_restore_starts(struct voter_perform *v, struct ts_bytes bytes)
{
    enum ts_err err = voter_starts_decode(v->starts, VOTER_STARTS_MAX, &v->starts_count, bytes);
    for (size_t i = 0; i < v->starts_count && err == TS_OK; i++) {
        struct voter_record record = {.kind = VOTER_RECORD_START, .start = v->starts[i]};
        err = voter_restore(v->core, &record);
    }
    return err;
}

enum ts_err voter_perform_restore(struct voter_perform *v, uint32_t id, struct ts_bytes bytes)
{
    struct voter_record record;
    if (bytes.len == 0) {
        return voter_perform_list(v, id); /* blank */
    }
    enum ts_err err = voter_record_decode(&record, bytes);
    if (err == TS_OK && (record.kind != VOTER_RECORD_REGISTER || record.reg.reg != id)) {
        err = TS_ERR_CORRUPT;
    }
    return err == TS_OK ? voter_restore(v->core, &record) : err;
}

enum ts_err voter_perform_list(struct voter_perform *v, uint32_t id)
{
    return voter_find(v->core, id) == NULL ? voter_list_register(v->core, id) : TS_OK;
}
