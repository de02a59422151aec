/* Two copies of a disk run at once (R1.8, adr/0010): a copy of a replica's or a voter's disk, of an
 * earlier start, is started elsewhere with the same identity while the original goes on (a second
 * arbiter, say). The shipped journal or store opens it, and its start is registered by the shipped
 * core, over the network of the original's node; its clock is its own. The voters must refuse it,
 * whatever else happens, and the original must go on. Or a copy of a replica's present disk is
 * started as another replica's: no voter answers that.
 *
 * A copy of the present start is not made: the voters cannot tell it (adr/0010). Nor, within the
 * fault budget, one of the start before: it takes the present start's number, and a voter that has
 * not heard of that yet refuses the original then, which is lost. A voter's copy counts as a voter
 * with an old image: all others must know of the present start when it begins, and none may forget
 * it meanwhile (sim_budget.c). */
#include <signal.h>
#include <stdlib.h>

#include "base/assert.h"
#include "cluster-cfg/io/voter_store.h"
#include "replicator/io/journal_internal.h"
#include "tests/sim/sim.h"

static struct sim_process *process_of(struct sim *s)
{
    return &s->node[s->clone.node].proc[SIM_CLONE];
}

void sim_clone_end(struct sim *s)
{
    struct sim_clone *c = &s->clone;
    if (c->node != 0) {
        *process_of(s) = (struct sim_process){.exit_now = -1};
    }
    sim_volume_free(&c->volume);
    *c = (struct sim_clone){0};
}

static void push(struct sim *s, enum sim_event_kind kind, uint64_t at)
{
    sim_push(s, &(struct sim_event){.kind = kind,
                                    .at = at,
                                    .node = (uint8_t)s->clone.node,
                                    .proc = SIM_CLONE,
                                    .life = process_of(s)->life});
}

/* ---- its start ----------------------------------------------------------------------------------
 */

static void struck(struct sim *s)
{
    if (!s->clone.struck) {
        s->clone.struck = true;
        sim_strike(s, s->clone.kind);
    }
}

static void step(struct sim *s, struct start_event *ev)
{
    struct sim_clone *c = &s->clone;
    struct start_effects fx;
    ev->now.ns = s->now;
    start_step(&c->start, ev, &fx);
    for (size_t i = 0; i < fx.count && c->node != 0; i++) {
        const struct start_effect *e = &fx.e[i];
        if (e->kind == START_EFFECT_SEND) {
            if (c->kind == SIM_FAULT_CLONE_OTHER) { /* that is all: it gets no answer */
                struck(s);
            }
            sim_net_to_voter(s, c->node, SIM_CLONE, e->voter + 1, &e->msg);
        } else if (e->kind == START_EFFECT_REGISTERED) {
            sim_fail(s, SIM_CHECK_CLONE, "a copy of %s disk of %s was let in while that runs",
                     c->kind == SIM_FAULT_CLONE_VOTER ? "the voter's" : "the",
                     sim_node_name(s, c->of));
            sim_clone_end(s); /* it is left to another checker */
        } else if (e->kind == START_EFFECT_CLONE) {
            sim_note(s, c->node, "the copy of the disk is refused");
            struck(s);
            sim_clone_end(s);
        }
    }
    if (c->node != 0 && start_deadline(&c->start).ns != UINT64_MAX) {
        uint64_t due = start_deadline(&c->start).ns;
        push(s, SIM_EV_TICK, due > s->now ? due : s->now + SIM_MS);
    }
}

static void link_told(struct sim *s, int node, int voter, bool up)
{
    struct start_event ev = {.kind = up ? START_EVENT_VOTER_UP : START_EVENT_VOTER_DOWN,
                             .voter = (uint8_t)(voter - 1)};
    (void)node;
    if (s->clone.node != 0) {
        step(s, &ev);
    }
}

static void on_message(struct sim *s, const struct sim_event *ev)
{
    struct reg_msg msg;
    struct start_event e = {
        .kind = START_EVENT_MESSAGE, .voter = (uint8_t)(ev->peer - 1), .msg = &msg};
    if (reg_msg_decode(&msg, ev->type, (struct ts_bytes){ev->bytes, ev->len}) == TS_OK) {
        step(s, &e);
    }
}

void sim_clone_event(struct sim *s, struct sim_event *ev)
{
    if (ev->kind == SIM_EV_FROM_VOTER) {
        on_message(s, ev);
    } else if (ev->kind == SIM_EV_TICK) {
        if (start_deadline(&s->clone.start).ns <= s->now) {
            step(s, &(struct start_event){.kind = START_EVENT_TICK});
        }
    } else if (ev->kind != SIM_EV_WORK) { /* of its disk, which was closed at once */
        ts_assert(ev->kind == SIM_EV_WATCH);
        push(s, SIM_EV_WATCH, s->now + s->cluster.timing.heartbeat_interval);
        sim_voter_links(s, ev->node, SIM_CLONE, link_told);
    }
}

/* ---- the copy ---------------------------------------------------------------------------------
 */

/* The shipped journal begins the copy's start; nothing else of it is needed. */
static bool open_replica(struct sim *s, const char *dir, struct sim_worker *worker,
                         struct reg_start *start)
{
    struct sim_clone *c = &s->clone;
    struct sim_replica *stand_in = calloc(1, sizeof(*stand_in));
    struct journal_callbacks callbacks = {.arg = stand_in};
    struct journal *j = NULL;
    struct ts_why why = {{0}};
    ts_assert(stand_in != NULL);
    stand_in->sim = s;
    stand_in->node = c->of;
    stand_in->disk.ending = true; /* it has no threads */
    enum ts_err err =
        journal_open(&j, sim_worker_loop(worker), dir, NULL, &callbacks, NULL, NULL, &why);
    if (err == TS_OK) {
        start->owner = (struct reg_owner){
            .kind = REG_OWNER_REPLICA, .group = {SIM_GROUP}, .node = {(uint16_t)c->node}};
        start->incarnation = journal_info(j)->incarnation;
        start->start = journal_info(j)->start_number;
        start->instance = journal_info(j)->start_instance;
        journal_free(j);
    }
    free(stand_in);
    return err == TS_OK;
}

static void on_store_failed(void *arg, enum ts_err err, const char *text)
{
    (void)arg;
    (void)err;
    (void)text;
    ts_unreachable(); /* nothing is written to it */
}

/* … and so does the shipped store. */
static bool open_voter(const struct sim *s, const char *dir, struct sim_worker *worker,
                       struct reg_start *start)
{
    struct voter_store *store = NULL;
    struct ts_why why = {{0}};
    if (voter_store_open(&store, sim_worker_loop(worker), dir, on_store_failed, NULL, &why) !=
        TS_OK) {
        return false;
    }
    start->owner = (struct reg_owner){.kind = REG_OWNER_VOTER, .node = {(uint16_t)s->clone.node}};
    start->incarnation = voter_store_incarnation(store);
    start->start = voter_store_start_number(store);
    start->instance = voter_store_start_instance(store);
    voter_store_close(store, NULL, NULL);
    return true;
}

static bool open_copy(struct sim *s, struct reg_start *start)
{
    struct sim_worker *worker = sim_worker_new(s, s->clone.node, SIM_CLONE);
    char dir[8];
    sim_disk_dir(dir, s->clone.of, 'c');
    bool done = s->clone.kind == SIM_FAULT_CLONE_VOTER ? open_voter(s, dir, worker, start)
                                                       : open_replica(s, dir, worker, start);
    sim_worker_end(worker);
    return done;
}

static void make(struct sim *s, int of, int node, enum sim_fault_kind kind)
{
    bool voter = kind == SIM_FAULT_CLONE_VOTER;
    s->clone.node = node;
    s->clone.of = of;
    s->clone.kind = kind;
    s->clone.volume.sim = s;
    s->clone.volume.node = of;
    s->clone.number =
        voter ? s->node[of].cfgd.disk.durable.start.number : s->node[of].replica.disk.start.number;
    sim_volume_copy(&s->clone.volume,
                    voter ? &s->node[of].cfgd.disk.volume : &s->node[of].replica.disk.volume);
    sim_volume_rename(&s->clone.volume, 'c');
}

bool sim_clone_keep(struct sim *s, int node, enum sim_fault_kind kind)
{
    bool voter = kind == SIM_FAULT_CLONE_VOTER;
    const struct sim_node *n = &s->node[node];
    if (s->clone.node != 0 ||
        (voter ? n->cfgd.disk.store == NULL : n->replica.disk.journal == NULL)) {
        return false;
    }
    make(s, node, node, kind);
    /* Its next start is a later one. */
    sim_proc_end(s, node, voter ? SIM_CFGD : SIM_REPLICA, -SIGKILL);
    return true;
}

bool sim_clone_is_too_new(const struct sim *s, int node)
{
    const struct sim_replica *r = &s->node[node].replica;
    return !s->options.beyond && s->clone.kind == SIM_FAULT_CLONE && s->clone.node == node &&
           r->p.started && r->disk.start.number == s->clone.number + 1;
}

bool sim_clone_votes(const struct sim *s)
{
    return s->clone.node != 0 && s->clone.kind == SIM_FAULT_CLONE_VOTER;
}

static bool begin(struct sim *s)
{
    struct sim_clone *c = &s->clone;
    struct start_config cfg = {.voters = (uint8_t)s->nodes,
                               .self = sim_clone_votes(s) ? (uint8_t)(c->node - 1) : START_NO_SELF,
                               .retry_ns = s->cluster.timing.proposer_retry};
    if (!open_copy(s, &cfg.start)) {
        sim_clone_end(s);
        return false;
    }
    if (c->kind == SIM_FAULT_CLONE) {
        struct sim_disk *d = &s->node[c->of].replica.disk;
        d->contested = cfg.start.start == d->start.number;
    }
    sim_note(s, c->of, "a copy of the %s disk is started elsewhere: start %llu",
             sim_clone_votes(s) ? "voter's" : "replica's", (unsigned long long)cfg.start.start);
    *process_of(s) = (struct sim_process){.life = ++s->lives, .ready = true, .exit_now = -1};
    start_init(&c->start, &cfg);
    push(s, SIM_EV_WATCH, s->now + s->cluster.timing.heartbeat_interval);
    step(s, &(struct start_event){.kind = START_EVENT_BEGIN});
    return true;
}

/* All others know of the voter's present start, and will not forget it. */
static bool all_know(const struct sim *s, int node)
{
    for (int v = 1; v <= s->nodes; v++) {
        const struct sim_voter_disk *d = &s->node[v].cfgd.disk;
        bool knows = v == node;
        for (size_t i = 0; i < d->durable.start_count && !d->lost; i++) {
            const struct reg_start *known = &d->durable.starts[i];
            const struct sim_voter_disk *of = &s->node[node].cfgd.disk;
            knows = knows || (ts_incarnation_eq(known->incarnation, of->incarnation) &&
                              known->start >= of->durable.start.number);
        }
        if (!knows || s->node[v].cfgd.aside != NULL) {
            return false;
        }
    }
    return true;
}

bool sim_clone_begin(struct sim *s, int node)
{
    const struct sim_clone *c = &s->clone;
    const struct sim_replica *r = &s->node[node].replica;
    const struct sim_cfgd *v = &s->node[node].cfgd;
    if (c->node != node || process_of(s)->life != 0) {
        return false;
    }
    if (sim_clone_votes(s)) {
        bool later = v->core != NULL && voter_is_ready(v->core) && !v->disk.lost && !v->disk.old &&
                     v->disk.durable.start.number > c->number;
        return later && all_know(s, node) && begin(s);
    }
    if (!r->p.started || r->disk.old || r->disk.start.number <= c->number ||
        sim_clone_is_too_new(s, node)) {
        return false;
    }
    return begin(s);
}

/* All voters know whose the disk is: one that does not would take the other for its owner, and not
 * answer the right one again. */
static bool all_know_owner(const struct sim *s, int node)
{
    struct ts_incarnation disk = s->node[node].replica.disk.incarnation;
    for (int v = 1; v <= s->nodes; v++) {
        const struct sim_voter_disk *d = &s->node[v].cfgd.disk;
        bool knows = false;
        for (size_t i = 0; i < d->durable.start_count && !d->lost; i++) {
            knows = knows || ts_incarnation_eq(d->durable.starts[i].incarnation, disk);
        }
        if (!knows) {
            return false;
        }
    }
    return true;
}

bool sim_clone_begin_other(struct sim *s, int node, int other)
{
    if (s->clone.node != 0 || s->node[node].replica.disk.journal == NULL ||
        !s->node[node].replica.p.started || !all_know_owner(s, node)) {
        return false;
    }
    make(s, node, other, SIM_FAULT_CLONE_OTHER);
    return begin(s);
}
