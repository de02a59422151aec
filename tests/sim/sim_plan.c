#include "tests/sim/sim_plan.h"

#include <string.h>

#include "base/ids.h"
#include "base/prng.h"

#define MS TS_NS_PER_MS
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const char *const NAMES[] = {
#define FAULT_NAME(symbol, name, weight) name,
    SIM_FAULT_LIST(FAULT_NAME)
#undef FAULT_NAME
};

static const uint64_t WEIGHTS[] = {
#define FAULT_WEIGHT(symbol, name, weight) weight,
    SIM_FAULT_LIST(FAULT_WEIGHT)
#undef FAULT_WEIGHT
};

const char *sim_fault_name(enum sim_fault_kind kind)
{
    return NAMES[kind];
}

static uint64_t between(struct ts_prng *p, uint64_t lo, uint64_t hi)
{
    return lo + ts_prng_below(p, hi - lo + 1);
}

/* Spread over the orders of magnitude between the two. */
static uint64_t scaled(struct ts_prng *p, uint64_t lo, uint64_t hi)
{
    uint64_t top = lo;
    while (top < hi && between(p, 0, 2) != 0) {
        top *= 3;
    }
    return between(p, lo, top < hi ? top : hi);
}

static void draw_cluster(struct sim_plan *plan, struct ts_prng *p)
{
    static const uint64_t timeouts_ms[] = {50, 100, 100, 200, 200, 300, 500, 1000};
    static const uint64_t windows[] = {16, 64, 64, 256};
    static const uint64_t commits[] = {1, 1, 4096, 1 << 20};
    static const uint64_t runs[] = {1, 1, 4096, 1 << 20};
    uint64_t shape = between(p, 0, 9);
    plan->nics = shape < 7 ? 2 : 3;
    plan->arbiters = shape < 7 ? 1 : shape == 9 ? 2 : 0;
    plan->failure_timeout = timeouts_ms[between(p, 0, COUNT(timeouts_ms) - 1)] * MS;
    uint64_t clients = between(p, 2, 6);
    plan->clients = (int)clients;
    plan->think = clients * TS_NS_PER_S / between(p, 92, 165);
    plan->net_us = scaled(p, 20, 1000);
    plan->disk_us = scaled(p, 40, 3000);
    plan->window = windows[between(p, 0, COUNT(windows) - 1)];
    plan->commit_bytes = commits[between(p, 0, COUNT(commits) - 1)];
    plan->run_bytes = runs[between(p, 0, COUNT(runs) - 1)];
    plan->drift_ppm = between(p, 0, 200);
    /* Now and then as long as the longest pause, twice. */
    bool is_long = between(p, 0, 39) == 0;
    plan->faults_until = (is_long ? between(p, 12000, 60000) : between(p, 3000, 12000)) * MS;
    plan->arbiter_paths = between(p, 0, 3) == 0 ? 1 : SIM_PATHS;
    plan->voter_held = between(p, 0, 3) == 0 ? 2 : 128;
}

static void draw_fault(const struct sim_plan *plan, struct ts_prng *p, struct sim_fault *f)
{
    uint64_t nodes = (uint64_t)plan->nics + (uint64_t)plan->arbiters;
    bool about_nics = f->kind != SIM_FAULT_KILL_CFGD && f->kind != SIM_FAULT_KILL_HEARTBEATD &&
                      f->kind != SIM_FAULT_KILL_NICD && f->kind != SIM_FAULT_STOP &&
                      f->kind != SIM_FAULT_CRASH_POINT_HEART &&
                      f->kind != SIM_FAULT_CRASH_POINT_VOTER && f->kind != SIM_FAULT_POWER_NODE &&
                      f->kind != SIM_FAULT_PAUSE_PROCESS && f->kind != SIM_FAULT_PAUSE_NODE &&
                      f->kind != SIM_FAULT_ISOLATE && f->kind != SIM_FAULT_STALL_VOTER &&
                      f->kind != SIM_FAULT_SLOW_VOTER && f->kind != SIM_FAULT_FULL_VOTER &&
                      f->kind != SIM_FAULT_VOTER_CORRUPT && f->kind != SIM_FAULT_VOTER_LOST_WRITE &&
                      f->kind != SIM_FAULT_VOTER_MISDIRECTED &&
                      f->kind != SIM_FAULT_CRASH_OPERATION_VOTER &&
                      f->kind != SIM_FAULT_VOTER_FSYNC && f->kind != SIM_FAULT_VOTER_BLANK &&
                      f->kind != SIM_FAULT_VOTER_OLD && f->kind != SIM_FAULT_REPLACE_VOTER &&
                      f->kind != SIM_FAULT_CLONE_VOTER && f->kind != SIM_FAULT_OLD_TOGETHER;
    bool link = f->kind == SIM_FAULT_RESET_LINK || f->kind == SIM_FAULT_EVIDENCE ||
                f->kind == SIM_FAULT_LIE || f->kind == SIM_FAULT_GARBAGE ||
                f->kind == SIM_FAULT_STRAY || f->kind == SIM_FAULT_FALSE;
    uint64_t among = link ? (uint64_t)plan->nics : nodes;
    f->node = (uint8_t)between(p, 1, about_nics ? (uint64_t)plan->nics : nodes);
    f->other = (uint8_t)between(p, 1, among - 1);
    f->other = (uint8_t)(f->other + (f->other >= f->node));
    f->path = (uint8_t)between(p, 0, 2 * SIM_PATHS - 1);
    f->path = f->path > SIM_PATHS ? SIM_PATHS : f->path; /* half of them: all paths */
    f->lasts = scaled(p, 20, between(p, 0, 9) == 0 ? 30000 : 3000) * MS;
    if (f->kind == SIM_FAULT_MOMENT) {
        /* Long enough that the others ask the register, and go on without it. */
        f->lasts = plan->failure_timeout * between(p, 1, 16);
    }
    f->a = ts_prng_next(p);
    f->b = ts_prng_next(p);
    bool pause = f->kind == SIM_FAULT_PAUSE_PROCESS || f->kind == SIM_FAULT_PAUSE_NODE ||
                 f->kind == SIM_FAULT_PAUSE_POINT || f->kind == SIM_FAULT_MOMENT;
    if (pause && f->b >> 32 & 1) { /* of all lengths from 0.1 s to 30 s, if there is time for it */
        uint64_t least = (100 * MS) << (f->b >> 33) % 9;
        uint64_t lasts = least + (f->b >> 36) % least;
        uint64_t most = plan->faults_until / 2;
        f->pause = lasts < most ? lasts : most;
    } else {
        f->pause = f->lasts;
    }
}

static enum sim_fault_kind draw_kind(const struct sim_plan *plan, struct ts_prng *p)
{
    uint64_t total = 0;
    for (int k = 0; k < SIM_FAULT_KINDS; k++) {
        total += (plan->kinds >> k & 1) != 0 ? WEIGHTS[k] : 0;
    }
    uint64_t at = ts_prng_below(p, total);
    for (int k = 0; k < SIM_FAULT_KINDS; k++) {
        uint64_t weight = (plan->kinds >> k & 1) != 0 ? WEIGHTS[k] : 0;
        if (at < weight) {
            return (enum sim_fault_kind)k;
        }
        at -= weight;
    }
    return SIM_FAULT_KILL_REPLICA;
}

/* One fault at a time, in a network that is quiet or a little bad. */
static void draw_one_at_a_time(struct sim_plan *plan, struct ts_prng *p)
{
    static const uint64_t timeouts_ms[] = {50, 100, 100, 100, 200, 300, 500};
    plan->one = true;
    plan->kinds = 1ULL << SIM_FAULT_ONE;
    plan->failure_timeout = timeouts_ms[between(p, 0, COUNT(timeouts_ms) - 1)] * MS;
    plan->faults_until = between(p, 4000, 12000) * MS;
    bool mild = between(p, 0, 2) == 0;
    plan->mild_delay = mild ? plan->failure_timeout / between(p, 20, 100) : 0;
    /* A lost segment is sent again after 200 ms at the earliest, which is silence to a detector
     * that waits for less. */
    bool loses = mild && plan->failure_timeout >= 500 * MS;
    plan->mild_loss_pm = loses ? (uint16_t)between(p, 0, 4) : 0;
    uint64_t most = between(p, 2, 20);
    for (uint64_t at = 300 * MS; plan->fault_count < 40; at += 50 * MS) {
        struct sim_fault *f = &plan->fault[plan->fault_count++];
        f->kind = SIM_FAULT_ONE;
        f->at = at;
        f->lasts = plan->failure_timeout * between(p, 5, 10 * most) / 10;
        f->other =
            (uint8_t)between(p, 0, (plan->arbiters > 0 ? SIM_ONES : SIM_ONE_ARBITER_OFF) - 1);
        if (f->other == SIM_ONE_PRIMARY_DISK && between(p, 0, 2) != 0) {
            f->other = SIM_ONE_PRIMARY_OFF;
        }
        f->a = ts_prng_next(p);
        f->b = ts_prng_next(p);
        if (f->other == SIM_ONE_PRIMARY_DISK) {
            f->lasts = plan->faults_until;
            break; /* for good: from then on the others are not the only one */
        }
    }
}

/* In half of the seeds an operator looks after the disks, a few times while there are faults. */
static void draw_replacements(struct sim_plan *plan)
{
    struct ts_prng p = ts_prng_init(plan->seed ^ 0x4e3b1a27ULL);
    if (sim_plan_is_gentle(plan) || between(&p, 0, 1) == 0) {
        return;
    }
    plan->kinds |= 1ULL << SIM_FAULT_REPLACE;
    uint64_t count = between(&p, 0, 5);
    for (; count > 0 && plan->fault_count < SIM_FAULTS_MAX; count--) {
        struct sim_fault *f = &plan->fault[plan->fault_count++];
        f->at = between(&p, 200 * MS, plan->faults_until);
        f->kind = SIM_FAULT_REPLACE;
        draw_fault(plan, &p, f);
    }
}

/* In half of the seeds he looks after the voters' disks, too. */
static void draw_voter_replacements(struct sim_plan *plan)
{
    struct ts_prng p = ts_prng_init(plan->seed ^ 0x70732e11ULL);
    if (sim_plan_is_gentle(plan) || plan->arbiters + plan->nics < 3 || between(&p, 0, 1) == 0) {
        return;
    }
    plan->kinds |= 1ULL << SIM_FAULT_REPLACE_VOTER;
    uint64_t count = between(&p, 0, 6);
    for (; count > 0 && plan->fault_count < SIM_FAULTS_MAX; count--) {
        struct sim_fault *f = &plan->fault[plan->fault_count++];
        f->at = between(&p, 200 * MS, plan->faults_until);
        f->kind = SIM_FAULT_REPLACE_VOTER;
        draw_fault(plan, &p, f);
    }
}

void sim_plan_draw(struct sim_plan *plan, uint64_t seed, bool beyond)
{
    struct ts_prng p = ts_prng_init(seed);
    memset(plan, 0, sizeof(*plan));
    plan->seed = seed;
    draw_cluster(plan, &p);
    struct ts_prng clients = ts_prng_init(seed ^ 0xc11e47ULL); /* the rest of a plan is older */
    plan->client_us = between(&clients, 0, 1) == 0 ? 0 : scaled(&clients, 20, 1000);
    struct ts_prng snapshots = ts_prng_init(seed ^ 0x5a9540ULL);
    plan->snapshot_bytes = scaled(&snapshots, 4000, 200000);
    plan->scrub_ms = scaled(&snapshots, 900, 9000);
    struct ts_prng sessions = ts_prng_init(seed ^ 0x5e5512ULL);
    plan->session_idle_ms = scaled(&sessions, 300, 20000);
    if (ts_prng_next(&p) % 8 == 0 && !beyond) {
        draw_one_at_a_time(plan, &p);
        return;
    }
    plan->sessions = between(&sessions, 0, 2) == 0 ? between(&sessions, 1, 62) : 0;
    struct ts_prng room = ts_prng_init(seed ^ 0xd15cULL);
    plan->disk_segments = between(&room, 0, 3) == 0 ? between(&room, 7, 9) : 0;
    plan->disk_shared = between(&room, 0, 7) == 0;
    /* Many kinds at once, or a few and those often. */
    uint64_t common = between(&p, 0, 2) == 0 ? 15 : 50;
    for (int k = 0; k < SIM_FAULT_REPLACE; k++) {
        bool disk = k >= SIM_FAULT_FSYNC_ERROR && k <= SIM_FAULT_OLD_TOGETHER;
        /* A run ends when different results are noticed: few have them. */
        uint64_t chance = k == SIM_FAULT_OTHER_RESULT ? 6 : disk && beyond ? 80 : common;
        if (between(&p, 0, 99) < chance) {
            plan->kinds |= 1ULL << k;
        }
    }
    if (between(&p, 0, 24) == 0) {
        plan->kinds = SIM_GENTLE_KINDS;
    }
    if (plan->kinds == 0) {
        plan->kinds = 1ULL << SIM_FAULT_KILL_REPLICA;
    }
    uint64_t pause_ms = scaled(&p, 60, 2000);
    /* Faults come alone, or in bursts: what breaks a rule is often two of them within one round
     * trip. */
    uint64_t burst = between(&p, 0, 3) * 25;
    uint64_t at = 100 * MS;
    while (plan->fault_count < SIM_FAULTS_MAX) {
        bool close = between(&p, 0, 99) < burst;
        at += close ? between(&p, 0, 20) * MS : between(&p, 1, 2 * pause_ms) * MS;
        if (at >= plan->faults_until) {
            break;
        }
        struct sim_fault *f = &plan->fault[plan->fault_count++];
        f->at = at + between(&p, 0, MS);
        f->kind = draw_kind(plan, &p);
        draw_fault(plan, &p, f);
    }
    draw_replacements(plan);
    draw_voter_replacements(plan);
}
