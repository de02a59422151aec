/* The voter of cluster-cfgd: voter_perform.c on the real disk and links. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "cluster-cfg/io/cfgd_internal.h"

static void fail(struct cfgd *d, const char *text)
{
    d->state.voter.state = ADMIN_VOTER_FAILED;
    (void)snprintf(d->state.voter.why, sizeof(d->state.voter.why), "%s", text);
    net_log(d->o.log, NET_LOG_ERROR, "the voter does not vote: %s", text);
}

/* ---- voter_perform_ops ------------------------------------------------------------------------
 */

static void on_reply(void *ctx, uint64_t handle, const struct reg_msg *msg)
{
    struct cfgd_voter *v = ctx;
    uint8_t bytes[REG_MSG_PAYLOAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    reg_msg_encode(msg, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    /* A proposer that left asks again on its next link. */
    enum ts_err ignored =
        voter_server_reply(v->server, handle, (uint8_t)msg->type, (struct ts_bytes){bytes, w.len});
    (void)ignored;
}

/* The refusal is marked on the disk: it holds also when nobody who knows better is left (R1.8). */
static void on_refused(void *ctx, uint8_t voter, uint64_t registered)
{
    struct cfgd_voter *v = ctx;
    struct admin_voter *a = &v->d->state.voter;
    const struct cfg_node *by = cfg_cluster_node(v->d->o.cluster, v->voter_ids[voter]);
    char dir[TS_PATH_MAX];
    char reason[160];
    (void)snprintf(reason, sizeof(reason),
                   "%s knows its start %" PRIu64 " but this is start %" PRIu64,
                   by == NULL ? "a voter" : by->name, registered, a->start);
    if (ts_path(dir, NULL, v->d->o.dir, "voter") == TS_OK) {
        ts_dir_refuse(dir, reason);
    }
    (void)snprintf(a->why, sizeof(a->why),
                   "the voter's disk is a clone or a rolled-back image: %s; end the other copy, "
                   "put the original %s/voter back, or remove it and enrol a blank disk",
                   reason, v->d->o.dir);
    a->state = ADMIN_VOTER_CLONE;
    net_log(v->d->o.log, NET_LOG_ERROR, "%s", a->why);
}

static void on_failed(void *ctx, const char *text)
{
    struct cfgd_voter *v = ctx;
    fail(v->d, text);
}

static void on_ready(void *ctx)
{
    struct cfgd_voter *v = ctx;
    v->d->state.voter.state = ADMIN_VOTER_READY;
    net_log(v->d->o.log, NET_LOG_INFO, "start %" PRIu64 " is registered: the voter votes",
            v->d->state.voter.start);
}

static void on_trace(void *ctx, const struct ts_trace *t)
{
    struct cfgd_voter *v = ctx;
    if (t->kind == TS_TRACE_FOREIGN_DISK) { /* told with what was asked: tell_foreign */
        v->foreign = *t;
        v->has_foreign = true;
        return;
    }
    cfgd_trace(v->d, t);
}

/* A node asks again and again with a disk that is not its own: once is enough. */
static void tell_foreign(struct cfgd_voter *v, uint8_t type, struct ts_bytes payload)
{
    struct cfgd *d = v->d;
    struct reg_msg msg;
    struct ts_nic_id owner = {(uint16_t)v->foreign.b};
    v->has_foreign = false;
    if (reg_msg_decode(&msg, type, payload) != TS_OK || msg.type != REG_MSG_START ||
        !admin_foreign_note(&d->state, msg.start.owner, owner, v->foreign.at)) {
        return;
    }
    const struct cfg_group *g = cfg_cluster_group(d->o.cluster, msg.start.owner.group);
    struct recorder_source source = {.role = REPORT_PROC_CLUSTER_CFGD,
                                     .group = {g == NULL ? 0 : g->id.v},
                                     .instance = d->instance};
    cfgd_record(d, source, &v->foreign);
    net_log(d->o.log, NET_LOG_ERROR,
            "%s%s of %s came with a disk that belongs to %s: it gets no answer; twinstep status "
            "tells what to do",
            g == NULL ? "the voter" : "the replica of ", g == NULL ? "" : g->name,
            admin_node_name(d->o.cluster, msg.start.owner.node),
            admin_node_name(d->o.cluster, owner));
}

static void on_persisted(void *arg)
{
    struct cfgd_voter *v = arg;
    if (!v->d->closing) { /* otherwise nobody is there to be answered */
        voter_perform_persisted(&v->p, net_now());
    }
}

static enum ts_err on_write(void *ctx, const struct voter_record *record, uint32_t id,
                            struct ts_bytes bytes)
{
    struct cfgd_voter *v = ctx;
    (void)record;
    return voter_store_write(v->store, id, bytes, on_persisted, v);
}

static void on_confirmed(void *arg)
{
    struct cfgd_voter *v = arg;
    if (!v->d->closing) {
        voter_perform_confirmed(&v->p, net_now());
    }
}

static enum ts_err on_confirm_start(void *ctx)
{
    struct cfgd_voter *v = ctx;
    return voter_store_confirm_start(v->store, on_confirmed, v);
}

static void on_send(void *ctx, uint8_t voter, const struct reg_msg *msg)
{
    struct cfgd_voter *v = ctx;
    uint8_t bytes[REG_MSG_PAYLOAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    reg_msg_encode(msg, &w);
    ts_assert(ts_writer_status(&w) == TS_OK && voter < v->voter_count);
    /* A link that refuses is closing; the core sends again when it is back. */
    enum ts_err ignored = voter_client_send(v->client, v->voter_ids[voter], (uint8_t)msg->type,
                                            (struct ts_bytes){bytes, w.len});
    (void)ignored;
}

static const struct voter_perform_ops OPS = {
    .write = on_write,
    .confirm_start = on_confirm_start,
    .reply = on_reply,
    .send = on_send,
    .refused = on_refused,
    .ready = on_ready,
    .failed = on_failed,
    .trace = on_trace,
};

/* ---- what comes in -------------------------------------------------------------------------- */

/* What passes by itself, or when the operator mends it: the previous process still waits for its
 * last fdatasync and holds the lock, or memory, space or a permission is wanting. */
static bool may_pass(enum ts_err err)
{
    return err == TS_ERR_BUSY || err == TS_ERR_NOMEM || err == TS_ERR_NOSPACE ||
           err == TS_ERR_SYSTEM;
}

static void on_store_failed(void *arg, enum ts_err err, const char *text)
{
    struct cfgd_voter *v = arg;
    if (v->d->closing) {
        return;
    }
    voter_perform_disk_failed(&v->p, text, net_now());
    if (may_pass(err)) {
        v->d->has_ended = true; /* as at the start: nicd tries again with growing pauses */
        uv_stop(v->d->o.loop);
    }
}

static void on_timer(uv_timer_t *timer);

static void arm_timer(struct cfgd_voter *v)
{
    struct ts_mono due = voter_perform_deadline(&v->p);
    if (due.ns == UINT64_MAX) {
        (void)uv_timer_stop(&v->timer);
        return;
    }
    uint64_t wait = ts_mono_since(net_now(), due);
    uv_update_time(v->timer.loop);
    (void)uv_timer_start(&v->timer, on_timer, wait / TS_NS_PER_MS + 1, 0);
}

static void on_request(void *arg, uint64_t handle, const struct net_hello *hello, uint8_t type,
                       struct ts_bytes payload)
{
    struct cfgd_voter *v = arg;
    if (voter_perform_request(&v->p, hello->node, handle, type, payload, net_now()) != TS_OK) {
        (void)net_log_limited(v->d->o.log, NET_LOG_WARNING, "voter-malformed",
                              "refused a malformed register message from %s",
                              admin_node_name(v->d->o.cluster, hello->node));
    }
    if (v->has_foreign) {
        tell_foreign(v, type, payload);
    }
    arm_timer(v); /* it may have to ask the others for their starts */
}

/* The registration of the start may have gone on. */
static void follow_start(struct cfgd_voter *v)
{
    v->d->state.voter.confirmed = start_confirmed(&v->p.start);
    arm_timer(v);
}

static void on_timer(uv_timer_t *timer)
{
    struct cfgd_voter *v = timer->data;
    voter_perform_tick(&v->p, net_now());
    follow_start(v);
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

static void voter_told(struct cfgd_voter *v, struct ts_nic_id voter, bool up,
                       struct ts_incarnation disk)
{
    uint8_t index = index_of(v, voter);
    if (index < v->voter_count) {
        voter_perform_voter(&v->p, index, up, disk, net_now());
        follow_start(v);
    }
}

static void on_voter_up(void *arg, struct ts_nic_id voter, const struct net_hello *hello)
{
    struct cfgd_voter *v = arg;
    admin_refused_end(&v->d->state, voter);
    voter_told(arg, voter, true, hello->incarnation);
}

static void on_voter_refused(void *arg, struct ts_nic_id voter, const char *why, const char *detail)
{
    struct cfgd_voter *v = arg;
    struct ts_mono now = net_now();
    if (admin_refused_note(&v->d->state, voter, why, detail, now)) {
        cfgd_trace(v->d,
                   &(struct ts_trace){.kind = TS_TRACE_LINK_REFUSED, .at = now, .a = voter.v});
    }
}

static void on_voter_down(void *arg, struct ts_nic_id voter)
{
    voter_told(arg, voter, false, (struct ts_incarnation){0});
}

static void on_voter_frame(void *arg, struct ts_nic_id voter, uint8_t type, struct ts_bytes payload)
{
    struct cfgd_voter *v = arg;
    uint8_t index = index_of(v, voter);
    if (index == v->voter_count) {
        return;
    }
    if (voter_perform_frame(&v->p, index, type, payload, net_now()) != TS_OK) {
        (void)net_log_limited(v->d->o.log, NET_LOG_WARNING, "voter-malformed",
                              "the voter on %s sent a malformed frame of type %u: ignored",
                              admin_node_name(v->d->o.cluster, voter), type);
    }
    follow_start(v);
}

static enum ts_err restore(struct cfgd_voter *v)
{
    voter_perform_open(&v->p, v->core, &OPS, v);
    enum ts_err err = voter_perform_restore_starts(&v->p, voter_store_starts(v->store));
    for (size_t i = 0; i < voter_store_register_count(v->store) && err == TS_OK; i++) {
        struct voter_store_record stored = voter_store_register(v->store, i);
        err = voter_perform_restore(&v->p, stored.id, stored.bytes);
    }
    const struct cfg_cluster *c = v->d->o.cluster;
    for (size_t i = 0; i < c->group_count && err == TS_OK; i++) {
        err = voter_perform_list(&v->p, c->groups[i].id.v);
    }
    voter_perform_set_disk(&v->p, voter_store_incarnation(v->store), voter_store_places(v->store));
    return err;
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
        .events = {.on_up = on_voter_up,
                   .on_down = on_voter_down,
                   .on_frame = on_voter_frame,
                   .on_refused = on_voter_refused},
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
    voter_perform_begin(&v->p, &start, net_now());
    follow_start(v);
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
