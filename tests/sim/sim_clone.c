/* Two copies of a disk run at once (R1.8, adr/0010): a copy of a replica's disk, of an earlier
 * start, is started elsewhere with the same identity while the original goes on. The shipped
 * journal opens it, and its start is registered by the shipped core, over the network of the
 * original's node; its clock is its own. The voters must refuse it, whatever else happens, and the
 * original must go on.
 *
 * A copy of the present start is not made: the voters cannot tell it (adr/0010). Nor, within the
 * fault budget, one of the start before: it takes the present start's number, and a voter that has
 * not heard of that yet refuses the original then, which is lost. */
#include <signal.h>
#include <stdlib.h>

#include "base/assert.h"
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

static void step(struct sim *s, struct start_event *ev)
{
    struct sim_clone *c = &s->clone;
    struct start_effects fx;
    ev->now.ns = s->now;
    start_step(&c->start, ev, &fx);
    for (size_t i = 0; i < fx.count && c->node != 0; i++) {
        const struct start_effect *e = &fx.e[i];
        if (e->kind == START_EFFECT_SEND) {
            sim_net_to_voter(s, c->node, SIM_CLONE, e->voter + 1, &e->msg);
        } else if (e->kind == START_EFFECT_REGISTERED) {
            sim_fail(s, SIM_CHECK_CLONE, "a copy of the disk of %s was let in while that runs",
                     sim_node_name(s, c->node));
        } else if (e->kind == START_EFFECT_CLONE) {
            sim_note(s, c->node, "the copy of the replica's disk is refused");
            sim_strike(s, SIM_FAULT_CLONE);
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
    } else {
        ts_assert(ev->kind == SIM_EV_WATCH);
        push(s, SIM_EV_WATCH, s->now + s->cluster.timing.heartbeat_interval);
        sim_voter_links(s, ev->node, SIM_CLONE, link_told);
    }
}

/* ---- the copy ---------------------------------------------------------------------------------
 */

/* The shipped journal begins the copy's start; nothing else of it is needed. */
static bool open_copy(struct sim *s, struct reg_start *start)
{
    struct sim_clone *c = &s->clone;
    struct sim_replica *stand_in = calloc(1, sizeof(*stand_in));
    struct journal_callbacks callbacks = {.arg = stand_in};
    struct sim_worker *worker = sim_worker_new(s, c->node, SIM_CLONE);
    struct journal *j = NULL;
    struct ts_why why = {{0}};
    char dir[8];
    ts_assert(stand_in != NULL);
    stand_in->sim = s;
    stand_in->node = c->node;
    stand_in->disk.ending = true; /* it has no threads */
    sim_disk_dir(dir, c->node, 'c');
    enum ts_err err =
        journal_open(&j, sim_worker_loop(worker), dir, NULL, &callbacks, NULL, NULL, &why);
    if (err == TS_OK) {
        *start = (struct reg_start){
            .owner = {.kind = REG_OWNER_REPLICA, .group = {SIM_GROUP}, .node = {(uint16_t)c->node}},
            .incarnation = journal_info(j)->incarnation,
            .start = journal_info(j)->start_number,
            .instance = journal_info(j)->start_instance};
        journal_free(j);
    }
    sim_worker_end(worker);
    free(stand_in);
    return err == TS_OK;
}

bool sim_clone_keep(struct sim *s, int node)
{
    if (s->clone.node != 0 || s->node[node].replica.disk.journal == NULL) {
        return false;
    }
    s->clone.node = node;
    s->clone.volume.sim = s;
    s->clone.volume.node = node;
    s->clone.number = s->node[node].replica.disk.start.number;
    sim_volume_copy(&s->clone.volume, &s->node[node].replica.disk.volume);
    sim_volume_rename(&s->clone.volume, 'c');
    sim_proc_end(s, node, SIM_REPLICA, -SIGKILL); /* its next start is a later one */
    return true;
}

bool sim_clone_is_too_new(const struct sim *s, int node)
{
    const struct sim_replica *r = &s->node[node].replica;
    return !s->options.beyond && s->clone.node == node && r->p.started &&
           r->disk.start.number == s->clone.number + 1;
}

bool sim_clone_begin(struct sim *s, int node)
{
    struct sim_clone *c = &s->clone;
    const struct sim_replica *r = &s->node[node].replica;
    struct start_config cfg = {.voters = (uint8_t)s->nodes,
                               .self = START_NO_SELF,
                               .retry_ns = s->cluster.timing.proposer_retry};
    if (c->node != node || !r->p.started || r->disk.old || r->disk.start.number <= c->number ||
        process_of(s)->life != 0 || sim_clone_is_too_new(s, node)) {
        return false;
    }
    if (!open_copy(s, &cfg.start)) {
        sim_clone_end(s);
        return false;
    }
    s->node[node].replica.disk.contested = cfg.start.start == r->disk.start.number;
    sim_note(s, node, "a copy of the replica's disk is started elsewhere: start %llu",
             (unsigned long long)cfg.start.start);
    *process_of(s) = (struct sim_process){.life = ++s->lives, .ready = true, .exit_now = -1};
    start_init(&c->start, &cfg);
    push(s, SIM_EV_WATCH, s->now + s->cluster.timing.heartbeat_interval);
    step(s, &(struct start_event){.kind = START_EVENT_BEGIN});
    return true;
}
