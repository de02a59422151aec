#include "tests/south/world.h"

/* ---- its process ---- */

void agent_start(struct world *w, unsigned i)
{
    struct agent *a = &w->agent[i];
    const struct agent_address vtep = {4, 32, {192, 0, 2, 1}};
    if (a->kernel == NULL) { /* the machine has started, too */
        a->kernel = agent_model_new(&vtep);
        a->applied_epoch = (struct ts_epoch){0};
    }
    a->life++;
    struct agent_stored stored = {
        .epoch = a->disk.epoch,
        .has_table = a->disk.has_table,
        .table = netctl_tree_copy(&a->disk.table),
        .table_epoch = a->disk.table_epoch,
        .gen = a->disk.gen,
    };
    struct agent_core_config config = {
        .node = node_name(i),
        .boot = {a->life, 1},
        .slots = w->controllers,
        .address = {"0", "1", "2"},
        .jitter = w->seed + a->life,
    };
    a->core = agent_core_new(&config, &stored, w->now);
    struct south_inventory none = {{(const uint8_t *)"192.0.2.1", 9}, 0, {NULL, 0}, 0, {NULL, 0}};
    agent_do(w, i, &(struct agent_event){.kind = AGENT_E_INTERFACES, .inventory = &none});
}

/* What the disk was doing is done, or not. */
static void disk_at_crash(struct world *w, struct agent *a)
{
    if (a->storing_epoch && chance(w, 500)) {
        a->disk.epoch = a->epoch_to_store;
    }
    if (a->storing && chance(w, 500)) {
        netctl_tree_free(&a->disk.table);
        a->disk.table = netctl_tree_copy(a->store.is);
        a->disk.table_epoch = a->store.epoch;
        a->disk.gen = a->store.gen;
        a->disk.has_table = true;
    }
    a->storing_epoch = a->storing = false;
    if (chance(w, 30)) { /* the table's file is damaged: there is none */
        netctl_tree_free(&a->disk.table);
        a->disk.has_table = false;
        a->disk.gen = (struct ts_seq){0};
        a->disk.table_epoch = (struct ts_epoch){0};
        a->applied_epoch = (struct ts_epoch){0};
    }
}

void agent_crash(struct world *w, unsigned i)
{
    struct agent *a = &w->agent[i];
    if (a->core == NULL) {
        return;
    }
    if (a->driving) {
        a->crashes = true;
        return;
    }
    if (w->verbose) {
        printf("%8lu agent %u crashes\n", ms_of(w), i);
    }
    w->crashes++;
    for (uint32_t n = 0; n < LINKS_MAX; n++) {
        if (w->link[n].used && w->link[n].agent == i && w->link[n].end[1]) {
            net_close(w, n, 0);
        }
    }
    disk_at_crash(w, a);
    netctl_tree_free(&a->results);
    agent_core_free(a->core);
    a->core = NULL;
    if (chance(w, 200)) {
        agent_close(a->kernel);
        a->kernel = NULL;
    }
    later(w, below(w, 4 * TS_NS_PER_S), EV_AGENT_START, i, 0, 0);
}

/* ---- effects ---- */

static uint64_t disk_ns(struct world *w)
{
    return chance(w, 100) ? below(w, 3 * TS_NS_PER_S) : below(w, 5 * TS_NS_PER_MS);
}

static void agent_effect_runs(struct world *w, unsigned i, const struct agent_effects *all,
                              const struct agent_effect *e)
{
    struct agent *a = &w->agent[i];
    switch (e->kind) {
    case AGENT_DIAL:
        net_dial(w, i, e->slot);
        break;
    case AGENT_HANG_UP:
        net_close(w, a->link[e->slot], 0);
        break;
    case AGENT_SEND:
        check_said(w, i, agent_effect_bytes(all, e));
        net_send(w, a->link[e->slot], 0, agent_effect_bytes(all, e));
        break;
    case AGENT_STORE_EPOCH:
        a->storing_epoch = true;
        a->epoch_to_store = e->epoch;
        later(w, disk_ns(w), EV_EPOCH_STORED, i, 0, a->life);
        break;
    case AGENT_STORE_TABLE:
        a->storing = true;
        a->store = *e;
        check_committed(w, i, e->gen, e->is, "the table that is stored");
        later(w, disk_ns(w), EV_TABLE_STORED, i, 0, a->life);
        break;
    case AGENT_RECONCILE:
    case AGENT_APPLY:
        a->drive = *e;
        later(w, below(w, 3 * TS_NS_PER_MS), EV_DRIVE, i, 0, a->life);
        break;
    case AGENT_COUNT:
        later(w, TS_NS_PER_MS, EV_COUNTED, i, 0, a->life);
        break;
    case AGENT_TELL:
        if (w->verbose) {
            printf("%8lu agent %u: %s (slot %u, epoch %lu, generation %lu)\n", ms_of(w), i, e->text,
                   e->slot, e->epoch.v, e->gen.v);
        }
        break;
    }
}

void agent_do(struct world *w, unsigned i, struct agent_event *e)
{
    struct agent *a = &w->agent[i];
    struct agent_effects out = {0};
    if (a->core == NULL) {
        return;
    }
    e->now = w->now;
    agent_core_step(a->core, e, &out);
    agent_core_check_invariants(a->core);
    for (size_t n = 0; n < out.count; n++) {
        agent_effect_runs(w, i, &out, &out.effect[n]);
    }
    agent_effects_free(&out);
    struct ts_mono at = agent_core_deadline(a->core);
    later(w, ts_mono_since(w->now, at), EV_AGENT_TIME, i, 0, ++a->timer);
}

/* ---- the driver ---- */

struct call {
    struct world *w;
    unsigned agent;
};

static void on_result(void *arg, const char *key, const char *error)
{
    struct call *c = arg;
    struct netctl_tree *results = &c->w->agent[c->agent].results;
    if (error != NULL) {
        netctl_tree_put(results, key, (struct ts_bytes){(const uint8_t *)error, strlen(error)});
    } else if (netctl_tree_get(results, key).data == NULL) {
        netctl_tree_put(results, key, (struct ts_bytes){(const uint8_t *)"", 0});
    }
}

/* Meanwhile others go on: this may run any event of theirs. */
static bool may_commit(void *arg)
{
    struct call *c = arg;
    struct world *w = c->w;
    struct agent *a = &w->agent[c->agent];
    w->nested = true;
    for (uint64_t n = chance(w, 300) ? below(w, 40) : 0; n > 0; n--) {
        (void)run_one(w, ts_mono_add(w->now, TS_NS_PER_S));
    }
    w->nested = false;
    a->crashes = a->crashes || (!w->quiet && chance(w, 3));
    a->fails = a->fails || (!w->quiet && chance(w, 5));
    if (a->crashes || a->fails) {
        return false;
    }
    if (!agent_core_may_commit(a->drive.order, agent_core_fence(a->core))) {
        w->refused_commits++;
        return false;
    }
    check_commit(w, c->agent);
    return true;
}

static void drive(struct world *w, unsigned i)
{
    struct agent *a = &w->agent[i];
    struct call c = {w, i};
    const struct agent_caller caller = {.result = on_result, .may_commit = may_commit, .arg = &c};
    const struct agent_effect *d = &a->drive;
    struct netctl_tree was = netctl_tree_copy(agent_model_table(a->kernel));
    check_call(w, i);
    a->driving = true;
    a->fails = a->crashes = false;
    if (d->kind == AGENT_APPLY) {
        a->result = agent_apply(a->kernel, d->change, d->changes, &caller);
    } else {
        a->result = agent_reconcile(a->kernel, d->is, d->delete_orphans, &caller);
    }
    a->driving = false;
    a->result = a->fails ? TS_ERR_SYSTEM : a->result;
    check_called(w, i, &was);
    netctl_tree_free(&was);
    if (a->crashes) {
        agent_crash(w, i);
    } else {
        later(w, below(w, 2 * TS_NS_PER_MS), EV_DRIVEN, i, 0, a->life);
    }
}

/* ---- events ---- */

static void stored_epoch(struct world *w, unsigned i)
{
    struct agent *a = &w->agent[i];
    bool good = w->quiet || !chance(w, 30);
    a->storing_epoch = false;
    if (good) {
        a->disk.epoch = a->epoch_to_store;
    }
    agent_do(w, i,
             &(struct agent_event){
                 .kind = AGENT_E_EPOCH_STORED, .epoch = a->epoch_to_store, .good = good});
}

static void stored_table(struct world *w, unsigned i)
{
    struct agent *a = &w->agent[i];
    bool good = w->quiet || !chance(w, 30);
    a->storing = false;
    if (good) {
        netctl_tree_free(&a->disk.table);
        a->disk.table = netctl_tree_copy(a->store.is);
        a->disk.table_epoch = a->store.epoch;
        a->disk.gen = a->store.gen;
        a->disk.has_table = true;
    }
    agent_do(w, i, &(struct agent_event){.kind = AGENT_E_TABLE_STORED, .good = good});
}

void agent_event_runs(struct world *w, const struct event *e)
{
    struct agent *a = &w->agent[e->who];
    if (e->kind == EV_AGENT_START) {
        if (a->core == NULL) {
            agent_start(w, e->who);
        }
        return;
    }
    if (e->kind == EV_AGENT_TIME) {
        if (e->id == a->timer) {
            agent_do(w, e->who, &(struct agent_event){.kind = AGENT_E_TIME});
        }
        return;
    }
    if (a->core == NULL || e->id != a->life) {
        return;
    }
    if (e->kind == EV_EPOCH_STORED) {
        stored_epoch(w, e->who);
    } else if (e->kind == EV_TABLE_STORED) {
        stored_table(w, e->who);
    } else if (e->kind == EV_DRIVE) {
        drive(w, e->who);
    } else if (e->kind == EV_COUNTED) {
        agent_do(w, e->who, &(struct agent_event){.kind = AGENT_E_COUNTED});
    } else {
        struct netctl_tree results = a->results;
        a->results = netctl_tree_make(0);
        agent_do(
            w, e->who,
            &(struct agent_event){.kind = AGENT_E_DRIVEN, .err = a->result, .results = &results});
        netctl_tree_free(&results);
    }
}
