/* The voter of cluster-cfgd: carries out the effects of the voter core and of the
 * registration of its own start.
 *
 * Order (R1.3, R1.8): a reply leaves only after the core was told that its record is durable;
 * PREPARE and ACCEPT are answered only after this start is registered at a majority and the disk
 * remembers that. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "cluster-cfg/io/cfgd_internal.h"

static void fail(struct cfgd *d, const char *text)
{
    if (d->state.voter.state == ADMIN_VOTER_CLONE) {
        return;
    }
    d->state.voter.state = ADMIN_VOTER_FAILED;
    (void)snprintf(d->state.voter.why, sizeof(d->state.voter.why), "%s", text);
    net_log(d->o.log, NET_LOG_ERROR, "the voter does not vote: %s", text);
}

static void on_persisted(void *arg);

static void persist_bytes(struct cfgd_voter *v, uint32_t id, const struct ts_writer *w)
{
    enum ts_err err = ts_writer_status(w);
    if (err == TS_OK) {
        err = voter_store_write(v->store, id, (struct ts_bytes){w->data, w->len}, on_persisted, v);
    }
    if (err != TS_OK) {
        v->persist_failed = true;
    }
}

static void keep_start(struct cfgd_voter *v, const struct reg_start *s)
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

static void persist(struct cfgd_voter *v, const struct voter_record *record)
{
    struct ts_writer w = ts_writer_init(v->bytes, sizeof(v->bytes));
    if (record->kind == VOTER_RECORD_REGISTER) {
        voter_record_encode(record, &w);
        persist_bytes(v, record->reg.reg, &w);
        return;
    }
    keep_start(v, &record->start);
    voter_starts_encode(v->starts, v->starts_count, &w);
    persist_bytes(v, VOTER_STORE_STARTS, &w);
}

static void reply(struct cfgd_voter *v, uint64_t handle, const struct reg_msg *msg)
{
    uint8_t bytes[REG_MSG_PAYLOAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    reg_msg_encode(msg, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    /* A proposer that left asks again on its next link. */
    enum ts_err ignored =
        voter_server_reply(v->server, handle, (uint8_t)msg->type, (struct ts_bytes){bytes, w.len});
    (void)ignored;
}

static void step_once(struct cfgd_voter *v, struct voter_event *ev)
{
    ts_assert(!v->stepping); /* completions and frames come from the loop, never from within */
    v->stepping = true;
    ev->now = net_now();
    voter_step(v->core, ev, &v->effects);
    for (size_t i = 0; i < v->effects.count; i++) {
        const struct voter_effect *e = &v->effects.e[i];
        switch (e->kind) {
        case VOTER_PERSIST:
            persist(v, &e->persist.record);
            break;
        case VOTER_REPLY:
            reply(v, e->reply.handle, &e->reply.msg);
            break;
        case VOTER_TRACE:
            cfgd_trace(v->d, &e->trace);
            break;
        }
    }
    v->stepping = false;
}

static void step(struct cfgd_voter *v, struct voter_event *ev)
{
    step_once(v, ev);
    if (v->persist_failed && !voter_has_failed(v->core)) {
        fail(v->d, "its disk takes no more writes; see the line before");
        step_once(v, &(struct voter_event){.kind = VOTER_PERSIST_FAILED});
    }
}

static void on_persisted(void *arg)
{
    struct cfgd_voter *v = arg;
    if (v->d->closing) {
        return; /* nobody is there to be answered */
    }
    v->persisted++;
    step(v, &(struct voter_event){.kind = VOTER_PERSISTED, .n = v->persisted});
}

static void on_store_failed(void *arg, enum ts_err err, const char *text)
{
    struct cfgd_voter *v = arg;
    (void)err;
    if (v->d->closing) {
        return;
    }
    fail(v->d, text);
    if (!voter_has_failed(v->core)) {
        step(v, &(struct voter_event){.kind = VOTER_PERSIST_FAILED});
    }
}

static void on_request(void *arg, uint64_t handle, const struct net_hello *hello, uint8_t type,
                       struct ts_bytes payload)
{
    struct cfgd_voter *v = arg;
    struct reg_msg msg;
    if (reg_msg_decode(&msg, type, payload) != TS_OK) {
        (void)net_log_limited(v->d->o.log, NET_LOG_WARNING, "voter-malformed",
                              "refused a malformed register message from %s",
                              admin_node_name(v->d->o.cluster, hello->node));
        return;
    }
    step(v, &(struct voter_event){
                .kind = VOTER_MESSAGE, .from = hello->node, .handle = handle, .msg = &msg});
}

/* The refusal is marked on the disk: it holds also when nobody who knows better is left (R1.8). */
static void on_clone(struct cfgd_voter *v, const struct start_effect *e)
{
    struct admin_voter *a = &v->d->state.voter;
    const struct cfg_node *by = cfg_cluster_node(v->d->o.cluster, v->voter_ids[e->voter]);
    char dir[TS_PATH_MAX];
    char reason[160];
    (void)snprintf(reason, sizeof(reason),
                   "%s knows its start %" PRIu64 " but this is start %" PRIu64,
                   by == NULL ? "a voter" : by->name, e->msg.refused.registered_start, a->start);
    if (ts_path(dir, NULL, v->d->o.dir, "voter") == TS_OK) {
        ts_dir_refuse(dir, reason);
    }
    (void)snprintf(a->why, sizeof(a->why),
                   "the voter's disk is a clone or a rolled-back image: %s; end the other copy, "
                   "put the original %s/voter back, or remove it and enrol a blank disk",
                   reason, v->d->o.dir);
    a->state = ADMIN_VOTER_CLONE;
    net_log(v->d->o.log, NET_LOG_ERROR, "%s", a->why);
    if (!voter_has_failed(v->core)) {
        step(v, &(struct voter_event){.kind = VOTER_PERSIST_FAILED});
    }
}

static void on_confirmed(void *arg)
{
    struct cfgd_voter *v = arg;
    if (!v->d->closing && v->d->state.voter.state == ADMIN_VOTER_REGISTERING) {
        v->d->state.voter.state = ADMIN_VOTER_READY;
        net_log(v->d->o.log, NET_LOG_INFO, "start %" PRIu64 " is registered: the voter votes",
                v->d->state.voter.start);
        step(v, &(struct voter_event){.kind = VOTER_READY});
    }
}

static void on_registered(struct cfgd_voter *v)
{
    enum ts_err err = voter_store_confirm_start(v->store, on_confirmed, v);
    if (err != TS_OK) {
        fail(v->d, "its disk takes no more writes; see the line before");
    }
}

static void send_start(struct cfgd_voter *v, uint8_t voter, const struct reg_msg *msg)
{
    uint8_t bytes[REG_MSG_PAYLOAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    reg_msg_encode(msg, &w);
    ts_assert(ts_writer_status(&w) == TS_OK && voter < v->voter_count);
    /* A link that refuses is closing; the core sends again when it is back. */
    enum ts_err ignored = voter_client_send(v->client, v->voter_ids[voter], (uint8_t)msg->type,
                                            (struct ts_bytes){bytes, w.len});
    (void)ignored;
}

static void on_timer(uv_timer_t *timer);

static void arm_timer(struct cfgd_voter *v)
{
    struct ts_mono due = start_deadline(&v->start);
    if (due.ns == UINT64_MAX) {
        (void)uv_timer_stop(&v->timer);
        return;
    }
    uint64_t wait = ts_mono_since(net_now(), due);
    uv_update_time(v->timer.loop);
    (void)uv_timer_start(&v->timer, on_timer, wait / TS_NS_PER_MS + 1, 0);
}

static void start_event(struct cfgd_voter *v, struct start_event *ev)
{
    struct start_effects fx = {0};
    ev->now = net_now();
    start_step(&v->start, ev, &fx);
    for (size_t i = 0; i < fx.count; i++) {
        const struct start_effect *e = &fx.e[i];
        switch (e->kind) {
        case START_EFFECT_SEND:
            send_start(v, e->voter, &e->msg);
            break;
        case START_EFFECT_REGISTERED:
            on_registered(v);
            break;
        case START_EFFECT_CLONE:
            on_clone(v, e);
            break;
        case START_EFFECT_TRACE:
            cfgd_trace(v->d, &e->trace);
            break;
        }
    }
    v->d->state.voter.confirmed = start_confirmed(&v->start);
    arm_timer(v);
}

static void on_timer(uv_timer_t *timer)
{
    start_event(timer->data, &(struct start_event){.kind = START_EVENT_TICK});
}

/* The index of a voter; VOTERS_MAX for none. */
static uint8_t index_of(const struct cfgd_voter *v, struct ts_nic_id id)
{
    uint8_t i = 0;
    while (i < v->voter_count && !ts_nic_eq(v->voter_ids[i], id)) {
        i++;
    }
    return i;
}

/* The own voter needs no link: it confirmed by raising its start number. */
static void on_voter_up(void *arg, struct ts_nic_id voter, const struct net_hello *hello)
{
    struct cfgd_voter *v = arg;
    (void)hello;
    uint8_t index = index_of(v, voter);
    if (index < v->voter_count && index != v->self_index) {
        start_event(v, &(struct start_event){.kind = START_EVENT_VOTER_UP, .voter = index});
    }
}

static void on_voter_down(void *arg, struct ts_nic_id voter)
{
    struct cfgd_voter *v = arg;
    uint8_t index = index_of(v, voter);
    if (index < v->voter_count && index != v->self_index) {
        start_event(v, &(struct start_event){.kind = START_EVENT_VOTER_DOWN, .voter = index});
    }
}

static void on_voter_frame(void *arg, struct ts_nic_id voter, uint8_t type, struct ts_bytes payload)
{
    struct cfgd_voter *v = arg;
    struct reg_msg msg;
    uint8_t index = index_of(v, voter);
    if (index < v->voter_count && index != v->self_index &&
        reg_msg_decode(&msg, type, payload) == TS_OK) {
        start_event(
            v, &(struct start_event){.kind = START_EVENT_MESSAGE, .voter = index, .msg = &msg});
    }
}

static enum ts_err restore_starts(struct cfgd_voter *v, struct ts_bytes bytes)
{
    enum ts_err err = voter_starts_decode(v->starts, VOTER_STARTS_MAX, &v->starts_count, bytes);
    for (size_t i = 0; i < v->starts_count && err == TS_OK; i++) {
        struct voter_record record = {.kind = VOTER_RECORD_START, .start = v->starts[i]};
        err = voter_restore(v->core, &record);
    }
    return err;
}

static enum ts_err restore(struct cfgd_voter *v)
{
    enum ts_err err = restore_starts(v, voter_store_starts(v->store));
    for (size_t i = 0; i < voter_store_register_count(v->store) && err == TS_OK; i++) {
        struct voter_store_record stored = voter_store_register(v->store, i);
        struct voter_record record;
        err = voter_record_decode(&record, stored.bytes);
        if (err == TS_OK && (record.kind != VOTER_RECORD_REGISTER || record.reg.reg != stored.id)) {
            err = TS_ERR_CORRUPT;
        }
        if (err == TS_OK) {
            err = voter_restore(v->core, &record);
        }
    }
    const struct cfg_cluster *c = v->d->o.cluster;
    for (size_t i = 0; i < c->group_count && err == TS_OK; i++) {
        if (voter_find(v->core, c->groups[i].id.v) == NULL) {
            err = voter_list_register(v->core, c->groups[i].id.v);
        }
    }
    return err;
}

/* What passes by itself, or when the operator mends it: the previous process still waits for its
 * last fdatasync and holds the lock, or memory, space or a permission is wanting. */
static bool may_pass(enum ts_err err)
{
    return err == TS_ERR_BUSY || err == TS_ERR_NOMEM || err == TS_ERR_NOSPACE ||
           err == TS_ERR_SYSTEM;
}

/* Opens the disk and fills the core; *usable is false when this voter cannot vote, and state.voter
 * says why. An error is of the kind that is worth another start. */
static enum ts_err open_disk(struct cfgd *d, bool *usable, struct ts_why *why)
{
    struct cfgd_voter *v = &d->voter;
    char dir[TS_PATH_MAX];
    *usable = false;
    enum ts_err err = ts_path(dir, why, d->o.dir, "voter");
    if (err == TS_OK) {
        err = voter_store_open(&v->store, d->o.loop, dir, on_store_failed, v, why);
    }
    if (may_pass(err)) {
        return err;
    }
    if (err != TS_OK) {
        fail(d, why->text);
        d->state.voter.state = err == TS_ERR_CLONE ? ADMIN_VOTER_CLONE : ADMIN_VOTER_FAILED;
        return TS_OK;
    }
    struct voter_limits limits = {.self = d->o.self->id,
                                  .registers_max = VOTER_REGISTERS_MAX,
                                  .starts_max = VOTER_STARTS_MAX,
                                  .held_max = VOTER_HELD_MAX};
    v->core = voter_new(&limits);
    if (v->core == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory for the voter in %s; free some", dir);
    }
    err = restore(v);
    if (err != TS_OK) {
        (void)ts_why(why, err,
                     "%s cannot be read as a voter's disk: %s; put back the disk's "
                     "newest state",
                     dir, ts_err_text(err));
        fail(d, why->text);
        return TS_OK;
    }
    d->state.voter.core = v->core;
    d->state.voter.incarnation = voter_store_incarnation(v->store);
    d->state.voter.start = voter_store_start_number(v->store);
    *usable = true;
    return TS_OK;
}

static enum ts_err open_links(struct cfgd *d, struct ts_why *why)
{
    struct cfgd_voter *v = &d->voter;
    struct voter_server_config server = {
        .env = d->env,
        .cluster = d->o.cluster,
        .self = d->o.self->id,
        .instance = d->instance,
        .incarnation = d->state.voter.incarnation,
        .start = d->state.voter.start,
        .events = {.on_frame = on_request},
        .arg = v,
    };
    enum ts_err err = voter_server_open(&server, &v->server, why);
    if (err != TS_OK) {
        return err;
    }
    struct voter_client_config client = {
        .env = d->env,
        .cluster = d->o.cluster,
        .self = d->o.self->id,
        .instance = d->instance,
        .incarnation = d->state.voter.incarnation,
        .start = d->state.voter.start,
        .events = {.on_up = on_voter_up, .on_down = on_voter_down, .on_frame = on_voter_frame},
        .arg = v,
    };
    return voter_client_open(&client, &v->client, why);
}

enum ts_err cfgd_voter_open(struct cfgd *d, struct ts_why *why)
{
    struct cfgd_voter *v = &d->voter;
    v->d = d;
    if (!d->o.self->voter) {
        return TS_OK;
    }
    v->voter_count = (uint8_t)cfg_cluster_voters(d->o.cluster, v->voter_ids);
    v->self_index = index_of(v, d->o.self->id);
    ts_assert(v->self_index < v->voter_count);
    d->state.voter.voters = v->voter_count;
    d->state.voter.state = ADMIN_VOTER_REGISTERING;
    if (uv_timer_init(d->o.loop, &v->timer) != 0) {
        return ts_why(why, TS_ERR_SYSTEM, "cannot set up a timer");
    }
    v->timer_open = true;
    v->timer.data = v;
    bool usable = false;
    enum ts_err err = open_disk(d, &usable, why);
    if (err != TS_OK || !usable) {
        return err;
    }
    err = open_links(d, why);
    if (err != TS_OK) {
        return err;
    }
    struct start_config start = {
        .start = {.owner = {.kind = REG_OWNER_VOTER, .node = d->o.self->id},
                  .incarnation = d->state.voter.incarnation,
                  .start = d->state.voter.start,
                  .instance = voter_store_start_instance(v->store)},
        .voters = v->voter_count,
        .self = v->self_index,
        .retry_ns = d->o.cluster->timing.proposer_retry,
    };
    start_init(&v->start, &start);
    start_event(v, &(struct start_event){.kind = START_EVENT_BEGIN});
    return TS_OK;
}

void cfgd_voter_paths(struct cfgd *d, const struct report_peers *peers)
{
    for (size_t i = 0; i < peers->count && d->voter.client != NULL; i++) {
        if (index_of(&d->voter, peers->p[i].nic) < d->voter.voter_count) {
            voter_client_path_state(d->voter.client, peers->p[i].nic, peers->p[i].path_up_mask);
        }
    }
}

void cfgd_voter_close(struct cfgd *d)
{
    struct cfgd_voter *v = &d->voter;
    if (v->timer_open) {
        uv_close((uv_handle_t *)&v->timer, NULL);
        v->timer_open = false;
    }
    voter_client_close(v->client);
    voter_server_close(v->server);
    v->client = NULL;
    v->server = NULL;
    if (v->store != NULL) {
        voter_store_close(v->store, NULL, NULL);
        v->store = NULL;
    }
}
