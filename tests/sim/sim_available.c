/* Availability while a fault lasts. In some seeds nothing happens but one fault at a time: it
 * strikes a group that is well, or the very moment in which a learner is taken in, lasts for a few
 * failure-timeouts, and the next one waits until the group is well again. From each of them on the
 * longest time without an answer to a write, and to a read, is measured, and it has a bound. */
#include "tests/sim/sim_available.h"

#include <signal.h>
#include <string.h>

#include "base/assert.h"
#include "replicator/state.h"
#include "tests/sim/sim.h"

#define LOOK_NS (5 * SIM_MS)
/* How long the group is well before a fault strikes it. */
#define WELL_NS (100 * SIM_MS)
/* … with answers so often: a stream that waits for what TCP sends again is no fault of this one. */
#define ANSWERS_NS (60 * SIM_MS)
/* What is lost on a stream comes within this time after it could (sim_link.c). */
#define TCP_RESENDS_NS (300 * SIM_MS)

enum wait { TAKEOVER, ABDICATION, HANDOFF, REMOVAL, PATIENCE, EVIDENCE, PATH, NOTHING };

static const char *const NAMES[] = {
#define ONE_NAME(symbol, name, wait) name,
    SIM_ONE_LIST(ONE_NAME)
#undef ONE_NAME
};

static const enum wait WAITS[] = {
#define ONE_WAIT(symbol, name, wait) wait,
    SIM_ONE_LIST(ONE_WAIT)
#undef ONE_WAIT
};

const char *sim_one_name(enum sim_one kind)
{
    return NAMES[kind];
}

const char *sim_one_wait(enum sim_one kind)
{
    static const char *const names[] = {"takeover", "abdication", "handoff",    "removal",
                                        "patience", "evidence",   "other path", "nothing"};
    return names[WAITS[kind]];
}

/* ---- bounds --------------------------------------------------------------------------------- */

/* A request's own way, with what a disk, a switch and a scheduler take now and then: a sync of up
 * to 30 ms on either side, packets that are late by 15 ms (sim_disk.c, sim_net.c); the client's
 * thinking (at most 10 ms); lost segments, if there are any. */
static uint64_t way(const struct sim *s)
{
    const struct sim_plan *p = &s->plan;
    uint64_t once = 100 * SIM_MS + (12 * p->disk_us + 12 * p->net_us) * 1000 + 6 * p->mild_delay;
    return once + (p->mild_loss_pm > 0 ? 2 * TCP_RESENDS_NS : 0);
}

/* How long nobody may be answered, from the protocol's own times. */
static uint64_t protocol_time(const struct sim *s, enum wait wait)
{
    const struct cfg_timing *t = &s->cluster.timing;
    uint64_t silence = t->failure_timeout + t->heartbeat_interval; /* it is looked at so often */
    switch (wait) {
    case TAKEOVER:
        /* Silence; ties favour the present primary; two proposers at once, or a voter that went
         * with the primary: one retry in each of the two phases; and the clients that had asked
         * the old primary lose their patience (sim_load.c: within a failure-timeout). */
        return silence + 2 * t->tie_delay + 2 * t->proposer_retry + t->failure_timeout;
    case ABDICATION:
        /* The canary's patience and grace; the word may be lost, and is said again; the phases, one
         * of which is tried again. The clients are told at once. */
        return t->failure_timeout + t->failure_timeout / 8 + t->failure_timeout / 4 +
               t->proposer_retry;
    case PATIENCE:
        /* A secondary's disk may hang for so long (R3.2), and then two phases. */
        return 4 * t->failure_timeout + t->failure_timeout / 2 + 2 * t->proposer_retry +
               t->failure_timeout;
    case HANDOFF:
        /* What is ordered is answered first; the word may be lost; the phases, one of which is
         * tried again. */
        return t->failure_timeout / 4 + t->failure_timeout / 4 + t->proposer_retry;
    case REMOVAL:
        /* Silence, and two phases; a client that just asked the silent one loses its patience. */
        return silence + 2 * t->proposer_retry + t->failure_timeout;
    case EVIDENCE:
        /* Nobody waits for a silence (R4.3), nor a client for its patience: connections are closed.
         * One retry in each of two phases: who was killed is there again and proposes, too. */
        return 2 * t->proposer_retry;
    case PATH:
        return t->path_timeout + t->link_ping_interval + t->heartbeat_interval;
    case NOTHING:
        break;
    }
    return 0;
}

/* A process that has to come back by itself: after nicd's wait, which grows with each end. */
static uint64_t restart_time(const struct sim *s, int node)
{
    const struct nicd_supervisor *n = &s->node[node].nicd.supervisor;
    uint64_t longest = 0;
    for (uint8_t i = 0; i < n->count; i++) {
        uint64_t wait = n->procs[i].backoff_ns;
        longest = wait > longest ? wait : longest;
    }
    return longest + s->cluster.timing.failure_timeout;
}

/* How late register messages are, if they are. */
static uint64_t late_max(const struct sim *s, const struct sim_fault *f)
{
    return s->plan.failure_timeout * (4 + f->a % 8);
}

static uint64_t bound_of(const struct sim *s, const struct sim_fault *f, int primary, bool joins)
{
    enum sim_one kind = (enum sim_one)f->other;
    uint64_t bound = protocol_time(s, WAITS[kind]) + way(s);
    if (kind == SIM_ONE_PRIMARY_CUT || kind == SIM_ONE_PARTED || kind == SIM_ONE_SECONDARY_CUT ||
        kind == SIM_ONE_PATH) {
        bound += TCP_RESENDS_NS; /* a cut that ends before anybody notices the silence */
    }
    if (joins) {
        /* Commits wait for the learner, until it is found too slow (R4.6); clients that lost their
         * patience meanwhile may have gone to the other one, which was silent before. */
        bound += 2 * s->cluster.timing.failure_timeout;
        bound += kind == SIM_ONE_PRIMARY_KILLED ? restart_time(s, primary) : 0;
    }
    return bound;
}

/* ---- strikes -------------------------------------------------------------------------------- */

static int primary_of(const struct sim *s)
{
    int n = s->checks.decided.primary.v;
    return sim_replica_serves(s, n) ? n : 0;
}

/* Another replica: one that is in sync, or a learner when all that are are the primary. */
static int other_than(const struct sim *s, int primary, uint64_t which)
{
    int found[SIM_NICS_MAX] = {0};
    uint64_t count = 0;
    for (int n = 1; n <= s->nics; n++) {
        if (n != primary && !s->node[n].replica.disk.lost) {
            found[count++] = n;
        }
    }
    return count == 0 ? 0 : found[which % count];
}

static void stop(struct sim *s, int node, enum sim_proc first, uint64_t until)
{
    for (int i = (int)first; i < SIM_PROCS; i++) {
        (void)sim_fault_pause(s, node, (enum sim_proc)i, until);
    }
}

static void cut(struct sim *s, int from, int to, int path, uint64_t until)
{
    struct sim_path *p = &s->net.path[from][to][path];
    p->cut_from = s->now;
    p->cut_until = until;
    p->flap = 0;
}

/* One path is away between all nodes (its switch), or between these two. */
static void cut_path(struct sim *s, int a, int b, const struct sim_fault *f, uint64_t until)
{
    int path = (int)((f->a >> 8) % SIM_PATHS);
    for (int from = 1; from <= s->nodes; from++) {
        for (int to = 1; to <= s->nodes; to++) {
            bool between = (from == a && to == b) || (from == b && to == a);
            if (from != to && (f->a % 2 == 0 || between)) {
                cut(s, from, to, path, until);
            }
        }
    }
}

static void part(struct sim *s, int a, int b, uint64_t until)
{
    for (int path = 0; path < SIM_PATHS; path++) {
        cut(s, a, b, path, until);
        cut(s, b, a, path, until);
    }
}

static void power_off(struct sim *s, int node, uint64_t until)
{
    sim_nic_power_off(s, node);
    sim_push(s, &(struct sim_event){.kind = SIM_EV_POWER_ON, .at = until, .node = (uint8_t)node});
}

static void cut_off(struct sim *s, int node, const struct sim_fault *f)
{
    struct sim_fault all = *f;
    all.node = (uint8_t)node;
    sim_fault_isolate(s, &all);
}

static void fail_disk(struct sim *s, int node, const struct sim_fault *f)
{
    struct sim_disk *d = &s->node[node].replica.disk;
    d->volume.syncs_left = 1;
    d->volume.syncs_of_new = false;
    d->volume.breaks = f->a % 2 == 0;
    d->volume.fails_full = false;
}

static void fill_disk(struct sim *s, int node, uint64_t until)
{
    struct sim_disk *d = &s->node[node].replica.disk;
    d->full_until = until;
    d->full_to_write = true;
}

static void strike_node(struct sim *s, enum sim_one kind, int node, const struct sim_fault *f,
                        uint64_t until)
{
    switch ((int)kind) {
    case SIM_ONE_PRIMARY_KILLED:
    case SIM_ONE_SECONDARY_KILLED:
    case SIM_ONE_PRIMARY_DOWN:
    case SIM_ONE_SECONDARY_DOWN:
        sim_proc_end(s, node, SIM_REPLICA, -SIGKILL);
        break;
    case SIM_ONE_PRIMARY_PAUSED:
    case SIM_ONE_SECONDARY_PAUSED:
        stop(s, node, SIM_REPLICA, until);
        break;
    case SIM_ONE_PRIMARY_HOST_PAUSED:
    case SIM_ONE_SECONDARY_HOST_PAUSED:
    case SIM_ONE_ARBITER_PAUSED:
        stop(s, node, SIM_NICD, until);
        break;
    case SIM_ONE_PRIMARY_CUT:
    case SIM_ONE_SECONDARY_CUT:
    case SIM_ONE_ARBITER_CUT:
        cut_off(s, node, f);
        break;
    case SIM_ONE_PRIMARY_OFF:
    case SIM_ONE_SECONDARY_OFF:
    case SIM_ONE_ARBITER_OFF:
        power_off(s, node, until);
        break;
    case SIM_ONE_PRIMARY_FULL:
        fill_disk(s, node, until);
        break;
    case SIM_ONE_PRIMARY_STALLED:
    case SIM_ONE_SECONDARY_STALLED:
        s->node[node].replica.disk.stalled_until = until;
        break;
    case SIM_ONE_PRIMARY_DISK:
        fail_disk(s, node, f);
        break;
    case SIM_ONE_HANDOFF:
        sim_gave_up_wish(s, node, 0);
        break;
    default:
        ts_unreachable();
    }
}

static void end_measurement(struct sim *s)
{
    struct sim_available *a = &s->available;
    if (!a->measured) {
        return;
    }
    uint64_t timeout = s->plan.failure_timeout;
    uint64_t tenths = a->longest * 10 / timeout;
    uint64_t pm = a->longest * 1000 / timeout;
    struct sim_pauses *p = &s->stats.pauses[a->kind];
    p->count[tenths < SIM_PAUSES ? tenths : SIM_PAUSES - 1]++;
    uint64_t of_bound = a->longest * 100 / a->bound;
    p->longest_pm = pm > p->longest_pm ? pm : p->longest_pm;
    p->nearest = of_bound > p->nearest ? of_bound : p->nearest;
    if (a->kind == SIM_ONE_PARTED && !a->joined) { /* a learner cannot take over */
        s->stats.parted++;
        s->stats.parted_kept += s->checks.decided.primary.v == a->primary;
    }
    sim_note(s, 0, "the longest pause since \"%s\" was %llu us", NAMES[a->kind],
             (unsigned long long)(a->longest / 1000));
    a->measured = false;
}

static void strike(struct sim *s, int primary, bool joins)
{
    struct sim_available *a = &s->available;
    const struct sim_fault *f = &s->plan.fault[a->waiting - 1];
    uint64_t until = sim_fault_end(s, f);
    end_measurement(s);
    a->waiting = 0;
    a->well_since = 0;
    a->kind = (enum sim_one)f->other;
    a->primary = primary;
    a->joined = joins;
    bool over = f->other == SIM_ONE_PRIMARY_KILLED || f->other == SIM_ONE_SECONDARY_KILLED;
    a->ends = over ? s->now : until;
    a->longest = 0;
    a->measured = true;
    a->idle_at = s->now;
    a->answered[0] = a->answered[1] = s->now;
    int other = other_than(s, primary, f->b >> 8);
    bool of_primary = a->kind <= SIM_ONE_HANDOFF;
    bool of_secondary = a->kind >= SIM_ONE_SECONDARY_KILLED && a->kind <= SIM_ONE_SECONDARY_OFF;
    bool of_arbiter = a->kind >= SIM_ONE_ARBITER_OFF && a->kind <= SIM_ONE_ARBITER_CUT;
    a->node = of_primary ? primary : of_secondary ? other : of_arbiter ? s->nodes : 0;
    a->bound = a->running = bound_of(s, f, primary, joins);
    if (a->kind == SIM_ONE_LATE) {
        /* A follower that is told of a second config before the register confirmed the first asks
         * the register before it goes on (config.c): two phases, there and back. */
        a->bound += 4 * late_max(s, f);
        a->ends += 2 * late_max(s, f); /* what is late then comes still */
    }
    s->stats.faults[SIM_FAULT_ONE]++;
    sim_note(s, 0, "ONE FAULT %s: %s, %llu ms", NAMES[a->kind], sim_node_name(s, a->node),
             (unsigned long long)((until - s->now) / SIM_MS));
    if (a->kind == SIM_ONE_LATE) {
        s->net.late_until = until;
        s->net.late_max = late_max(s, f);
    } else if (a->kind == SIM_ONE_PATH) {
        cut_path(s, primary, other, f, until);
    } else if (a->kind == SIM_ONE_PARTED) {
        part(s, primary, other, until);
    } else {
        strike_node(s, a->kind, a->node, f, until);
    }
}

/* ---- when ----------------------------------------------------------------------------------- */

/* A pair is not expected to live on when it loses its primary before the other one is in sync; one
 * that is killed is there again at once. */
static bool can_come_while_joining(enum sim_one kind)
{
    return kind == SIM_ONE_PRIMARY_KILLED || kind >= SIM_ONE_PARTED;
}

static bool waits_for_joining(const struct sim_fault *f)
{
    /* The register is slow mostly when it is needed. */
    bool wanted = f->other == SIM_ONE_LATE ? f->b % 4 != 0 : f->b % 3 == 0;
    return wanted && can_come_while_joining((enum sim_one)f->other);
}

void sim_available_joining(struct sim *s)
{
    struct sim_available *a = &s->available;
    if (a->waiting == 0 || s->healed || s->now < a->ends ||
        !waits_for_joining(&s->plan.fault[a->waiting - 1])) {
        return;
    }
    a->joins = true; /* after this step */
}

static void try_strike(struct sim *s)
{
    struct sim_available *a = &s->available;
    int primary = primary_of(s);
    bool answers = s->now - a->answered[0] < ANSWERS_NS && s->now - a->answered[1] < ANSWERS_NS;
    bool well = s->now >= a->ends && primary != 0 && answers && sim_check_well(s);
    a->well_since = !well ? 0 : a->well_since == 0 ? s->now : a->well_since;
    bool joins = a->joins && primary != 0;
    a->joins = false;
    if (joins || (well && s->now - a->well_since >= WELL_NS)) {
        strike(s, primary, joins);
    }
}

static void check_pause(struct sim *s, int of)
{
    struct sim_available *a = &s->available;
    uint64_t pause_ns = s->now - a->answered[of];
    uint64_t running = a->idle_at > a->answered[of] ? s->now - a->idle_at : pause_ns;
    a->longest = pause_ns > a->longest ? pause_ns : a->longest;
    if (pause_ns > a->bound || running > a->running) {
        sim_fail(s, SIM_CHECK_AVAILABLE,
                 "no %s was answered for %llu ms (\"%s\": a pause for %s lasts %llu ms at most)",
                 of == 0 ? "write" : "read", (unsigned long long)(pause_ns / SIM_MS),
                 NAMES[a->kind], sim_one_wait(a->kind),
                 (unsigned long long)((pause_ns > a->bound ? a->bound : a->running) / SIM_MS));
    }
}

/* Whether the primary waits for the register, and all others follow the config that it follows: one
 * that has heard the answer first refuses the old epoch, rightly, and one that is behind may have
 * to ask the register itself. */
static bool proposes(const struct sim *s)
{
    const struct repl *core = s->node[s->checks.decided.primary.v].replica.core;
    bool alone = core != NULL && core->op_running;
    for (int n = 1; n <= s->nics && alone; n++) {
        const struct repl *other = s->node[n].replica.core;
        alone = other == NULL || ts_epoch_eq(core->config.epoch, other->config.epoch);
    }
    return alone;
}

void sim_available_look(struct sim *s, const struct sim_event *ev)
{
    struct sim_available *a = &s->available;
    if (a->waiting != 0 && !s->healed) {
        try_strike(s);
    }
    if (a->measured) {
        a->idle_at = proposes(s) ? a->idle_at : s->now;
        check_pause(s, 0);
        check_pause(s, 1);
    }
    struct sim_event next = *ev;
    next.at = s->now + LOOK_NS;
    sim_push(s, &next);
}

/* All paths are as bad as the plan has it, all the time. */
static void make_mild(struct sim *s)
{
    for (int from = 1; from <= s->nodes; from++) {
        for (int to = 1; to <= s->nodes; to++) {
            for (int path = 0; path < SIM_PATHS; path++) {
                struct sim_path *p = &s->net.path[from][to][path];
                p->bad_until = s->plan.mild_delay == 0 ? 0 : s->end_of_faults;
                p->loss_pm = s->plan.mild_loss_pm;
                p->delay_more = s->plan.mild_delay;
            }
        }
    }
}

void sim_available_begin(struct sim *s, const struct sim_event *ev)
{
    struct sim_available *a = &s->available;
    struct sim_event next = {.kind = SIM_EV_FAULT_POINT, .at = s->now + LOOK_NS, .a = ev->a};
    if (!a->looking) {
        a->looking = true;
        make_mild(s);
        sim_push(s, &next);
    }
    if (s->healed) {
        return;
    }
    if (a->waiting == 0) {
        a->waiting = ev->a + 1;
        return;
    }
    next.kind = SIM_EV_FAULT; /* another one waits still, and the group has to be well after it */
    next.at = s->now + WELL_NS;
    sim_push(s, &next);
}

bool sim_available_keeps_down(const struct sim *s, int node)
{
    const struct sim_available *a = &s->available;
    bool down = a->kind == SIM_ONE_PRIMARY_DOWN || a->kind == SIM_ONE_SECONDARY_DOWN;
    return a->measured && down && a->node == node && s->now < a->ends;
}

void sim_available_answered(struct sim *s, bool read)
{
    struct sim_available *a = &s->available;
    if (a->measured) {
        check_pause(s, read);
    }
    a->answered[read] = s->now;
}

void sim_available_close(struct sim *s)
{
    end_measurement(s);
}
