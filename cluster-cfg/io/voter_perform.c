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

static void step_once(struct voter_perform *v, const struct voter_event *ev)
{
    ts_assert(!v->stepping); /* completions and frames come from the loop, never from within */
    v->stepping = true;
    voter_step(v->core, ev, &v->effects);
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

static void step(struct voter_perform *v, const struct voter_event *ev)
{
    step_once(v, ev);
    if (v->persist_failed && !voter_has_failed(v->core)) {
        tell_failed(v, "its disk takes no more writes; see the line before");
        end_voting(v, ev->now);
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

void voter_perform_voter(struct voter_perform *v, uint8_t voter, bool up, struct ts_mono now)
{
    if (voter != v->start.cfg.self) {
        start_event(
            v, &(struct start_event){.kind = up ? START_EVENT_VOTER_UP : START_EVENT_VOTER_DOWN,
                                     .now = now,
                                     .voter = voter});
    }
}

enum ts_err voter_perform_frame(struct voter_perform *v, uint8_t voter, uint8_t type,
                                struct ts_bytes payload, struct ts_mono now)
{
    struct reg_msg msg;
    enum ts_err err = reg_msg_decode(&msg, type, payload);
    if (err == TS_OK && voter != v->start.cfg.self) {
        start_event(v, &(struct start_event){
                           .kind = START_EVENT_MESSAGE, .now = now, .voter = voter, .msg = &msg});
    }
    return err;
}

void voter_perform_tick(struct voter_perform *v, struct ts_mono now)
{
    start_event(v, &(struct start_event){.kind = START_EVENT_TICK, .now = now});
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
    }
    return err;
}

void voter_perform_persisted(struct voter_perform *v, struct ts_mono now)
{
    v->persisted++;
    step(v, &(struct voter_event){.kind = VOTER_PERSISTED, .now = now, .n = v->persisted});
}

/* A refusal, or a failure, that came meanwhile is final. */
void voter_perform_confirmed(struct voter_perform *v, struct ts_mono now)
{
    if (!v->refused && !voter_has_failed(v->core)) {
        v->ops->ready(v->ctx);
        step(v, &(struct voter_event){.kind = VOTER_READY, .now = now});
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
    v->persisted = 0;
    v->persist_failed = false;
    v->refused = false;
    v->stepping = false;
    v->starts_count = 0;
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
