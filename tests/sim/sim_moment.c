/* Faults that wait for a moment. What breaks a rule is mostly a fault within the few round trips in
 * which the rule matters: at random they rarely meet. So a fault can wait until the next replica
 * is there, and strikes it within these round trips; meanwhile the clients are in a hurry, half of
 * them at that replica and the others not. */
#include <signal.h>

#include "base/assert.h"
#include "replicator/state.h"
#include "tests/sim/sim.h"

static const char *const MOMENTS[] = {
#define MOMENT_NAME(symbol, name) name,
    SIM_MOMENT_LIST(MOMENT_NAME)
#undef MOMENT_NAME
};

static const char *const BLOWS[] = {
#define BLOW_NAME(symbol, name) name,
    SIM_BLOW_LIST(BLOW_NAME)
#undef BLOW_NAME
};

static enum sim_moment moment_of(const struct sim_fault *f)
{
    return (enum sim_moment)((f->a >> 32) % SIM_MOMENTS);
}

/* What can do harm then, and how often one of them is drawn beside the others. */
struct harm {
    enum sim_blow blow;
    unsigned weight; /* 0: the row ends */
};

static const struct harm HARM[SIM_MOMENTS][SIM_BLOWS + 1] = {
    [SIM_MOMENT_PROPOSAL] = {{SIM_BLOW_ISOLATE, 3},
                             {SIM_BLOW_DUEL, 2},
                             {SIM_BLOW_CRASH, 1},
                             {SIM_BLOW_POWER, 1},
                             {SIM_BLOW_PAUSE, 1},
                             {SIM_BLOW_LATE, 1},
                             {SIM_BLOW_DOUBT, 1},
                             {SIM_BLOW_STRAY, 1}},
    [SIM_MOMENT_ACCEPTS] = {{SIM_BLOW_ISOLATE, 5},
                            {SIM_BLOW_CRASH, 1},
                            {SIM_BLOW_POWER, 1},
                            {SIM_BLOW_PAUSE, 1},
                            {SIM_BLOW_DUEL, 1},
                            {SIM_BLOW_LATE, 1}},
    [SIM_MOMENT_JOINING] = {{SIM_BLOW_ISOLATE, 4},
                            {SIM_BLOW_SLOW_CRASH, 2},
                            {SIM_BLOW_KILL, 1},
                            {SIM_BLOW_POWER, 1},
                            {SIM_BLOW_DOUBT, 1},
                            {SIM_BLOW_LATE, 1}},
    [SIM_MOMENT_REMOVAL] = {{SIM_BLOW_ISOLATE, 2},
                            {SIM_BLOW_PAUSE, 2},
                            {SIM_BLOW_DUEL, 2},
                            {SIM_BLOW_DOUBT, 1},
                            {SIM_BLOW_LATE, 1},
                            {SIM_BLOW_CRASH, 1},
                            {SIM_BLOW_KILL, 1}},
    [SIM_MOMENT_PREPARED] = {{SIM_BLOW_DUEL, 3},
                             {SIM_BLOW_PAUSE, 2},
                             {SIM_BLOW_LATE, 2},
                             {SIM_BLOW_CRASH, 1},
                             {SIM_BLOW_POWER, 1},
                             {SIM_BLOW_ISOLATE, 1},
                             {SIM_BLOW_STRAY, 1}},
    [SIM_MOMENT_DECIDED] = {{SIM_BLOW_ISOLATE, 2},
                            {SIM_BLOW_CRASH, 2},
                            {SIM_BLOW_POWER, 1},
                            {SIM_BLOW_PAUSE, 1},
                            {SIM_BLOW_KILL, 1},
                            {SIM_BLOW_DUEL, 1},
                            {SIM_BLOW_DOUBT, 1},
                            {SIM_BLOW_LATE, 1},
                            {SIM_BLOW_STRAY, 1}},
    [SIM_MOMENT_TAIL] = {{SIM_BLOW_POWER, 3},
                         {SIM_BLOW_CRASH, 2},
                         {SIM_BLOW_DOUBT, 2},
                         {SIM_BLOW_KILL, 1},
                         {SIM_BLOW_PAUSE, 1},
                         {SIM_BLOW_ISOLATE, 1}},
    [SIM_MOMENT_ACTIVE] = {{SIM_BLOW_POWER, 2},
                           {SIM_BLOW_DOUBT, 2},
                           {SIM_BLOW_PAUSE, 2},
                           {SIM_BLOW_ISOLATE, 2},
                           {SIM_BLOW_KILL, 1},
                           {SIM_BLOW_CRASH, 1}},
    [SIM_MOMENT_LEARNER] = {{SIM_BLOW_SLOW_CRASH, 3},
                            {SIM_BLOW_ISOLATE, 2},
                            {SIM_BLOW_KILL, 1},
                            {SIM_BLOW_CRASH, 1},
                            {SIM_BLOW_POWER, 1},
                            {SIM_BLOW_DOUBT, 1},
                            {SIM_BLOW_LATE, 1}},
    [SIM_MOMENT_CUT] = {{SIM_BLOW_POWER, 3},
                        {SIM_BLOW_CRASH, 3},
                        {SIM_BLOW_KILL, 2},
                        {SIM_BLOW_DOUBT, 1},
                        {SIM_BLOW_ISOLATE, 1}},
    [SIM_MOMENT_REFUSED] = {{SIM_BLOW_PAUSE, 2},
                            {SIM_BLOW_ISOLATE, 2},
                            {SIM_BLOW_DUEL, 2},
                            {SIM_BLOW_CRASH, 1},
                            {SIM_BLOW_POWER, 1},
                            {SIM_BLOW_LATE, 1},
                            {SIM_BLOW_DOUBT, 1},
                            {SIM_BLOW_STRAY, 1}},
    [SIM_MOMENT_GIVES_UP] = {{SIM_BLOW_ISOLATE, 3},
                             {SIM_BLOW_WELL, 3},
                             {SIM_BLOW_LATE, 2},
                             {SIM_BLOW_PAUSE, 2},
                             {SIM_BLOW_DUEL, 2},
                             {SIM_BLOW_STRAY, 2},
                             {SIM_BLOW_KILL, 1},
                             {SIM_BLOW_CRASH, 1},
                             {SIM_BLOW_POWER, 1}},
    [SIM_MOMENT_HANDOFF] = {{SIM_BLOW_PAUSE, 2},
                            {SIM_BLOW_ISOLATE, 2},
                            {SIM_BLOW_DUEL, 2},
                            {SIM_BLOW_DOUBT, 2},
                            {SIM_BLOW_CRASH, 1},
                            {SIM_BLOW_POWER, 1},
                            {SIM_BLOW_LATE, 1}},
    [SIM_MOMENT_ASKED] = {{SIM_BLOW_CRASH, 3},
                          {SIM_BLOW_ISOLATE, 2},
                          {SIM_BLOW_PAUSE, 2},
                          {SIM_BLOW_DUEL, 2},
                          {SIM_BLOW_LATE, 2},
                          {SIM_BLOW_KILL, 1},
                          {SIM_BLOW_POWER, 1}},
    [SIM_MOMENT_RESUMES] = {{SIM_BLOW_STRAY, 3},
                            {SIM_BLOW_ISOLATE, 1},
                            {SIM_BLOW_DOUBT, 1},
                            {SIM_BLOW_CRASH, 1}},
    [SIM_MOMENT_READS] = {{SIM_BLOW_PAUSE, 3},
                          {SIM_BLOW_SLOW_DOUBT, 3},
                          {SIM_BLOW_ISOLATE, 2},
                          {SIM_BLOW_DOUBT, 1},
                          {SIM_BLOW_DUEL, 1}},
};

static enum sim_blow blow_of(const struct sim_fault *f)
{
    enum sim_moment moment = moment_of(f);
    /* Prepared or sealed: a takeover is not decided yet. */
    const struct harm *row = HARM[moment == SIM_MOMENT_SEALED ? SIM_MOMENT_PREPARED : moment];
    unsigned total = row->weight; /* each moment has a blow */
    ts_assert(total > 0);
    for (const struct harm *h = row + 1; h->weight != 0; h++) {
        total += h->weight;
    }
    uint64_t at = (f->b >> 32) % total;
    while (at >= row->weight) {
        at -= row->weight;
        row++;
    }
    return row->blow;
}

/* What is soon: the round trips that a moment takes. */
static uint64_t soon(struct sim *s)
{
    return sim_us(s, 0, 4 * s->plan.net_us + 3 * s->plan.disk_us);
}

void sim_moment_arm(struct sim *s, size_t fault)
{
    s->armed[moment_of(&s->plan.fault[fault])] = fault + 1;
}

void sim_moment_came(struct sim *s, int node, enum sim_moment moment)
{
    if (s->armed[moment] == 0 || s->now < s->quiet_until) {
        return;
    }
    /* At once, or within the round trips that the moment takes. */
    uint64_t after = sim_chance_pm(s, 500) ? 0 : soon(s);
    sim_push(s, &(struct sim_event){.kind = SIM_EV_FAULT_POINT,
                                    .at = s->now + after,
                                    .peer = (uint8_t)node,
                                    .a = s->armed[moment] - 1});
    s->armed[moment] = 0;
}

void sim_moment_traced(struct sim *s, int node, const struct ts_trace *t)
{
    static const struct {
        enum ts_trace_kind kind;
        enum sim_moment moment;
    } of[] = {
        {TS_TRACE_CAS_SENT, SIM_MOMENT_PROPOSAL},      {TS_TRACE_IN_SYNC_ADD, SIM_MOMENT_JOINING},
        {TS_TRACE_IN_SYNC_REMOVE, SIM_MOMENT_REMOVAL}, {TS_TRACE_PREPARED, SIM_MOMENT_PREPARED},
        {TS_TRACE_SEALED, SIM_MOMENT_SEALED},          {TS_TRACE_CAS_DONE, SIM_MOMENT_DECIDED},
        {TS_TRACE_TAIL_COMMITTED, SIM_MOMENT_TAIL},    {TS_TRACE_ACTIVE, SIM_MOMENT_ACTIVE},
        {TS_TRACE_LEARNER_START, SIM_MOMENT_LEARNER},  {TS_TRACE_TRUNCATED, SIM_MOMENT_CUT},
        {TS_TRACE_REFUSED, SIM_MOMENT_REFUSED},        {TS_TRACE_ABDICATED, SIM_MOMENT_GIVES_UP},
        {TS_TRACE_RESUMES, SIM_MOMENT_RESUMES},        {TS_TRACE_HANDOFF, SIM_MOMENT_HANDOFF},
    };
    if (t->kind == TS_TRACE_CAS_SENT) {
        sim_budget_proposed(s, node);
    }
    bool takes_over = s->node[node].replica.core->takeover == REPL_TAKEOVER_CAS;
    if (t->kind == TS_TRACE_CAS_DONE && takes_over && !s->plan.one && sim_chance_pm(s, 500)) {
        sim_load_hurry(s); /* to the new primary: it has not committed the tail yet (R4) */
    }
    if (t->kind == TS_TRACE_IN_SYNC_ADD) {
        sim_available_joining(s);
    }
    if (t->kind == TS_TRACE_EVIDENCE &&
        (t->b == REPL_EVIDENCE_ABDICATED || t->b == REPL_EVIDENCE_HANDED_OVER)) {
        sim_moment_came(s, node, SIM_MOMENT_ASKED);
    }
    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
        if (of[i].kind == t->kind) {
            sim_moment_came(s, node, of[i].moment);
        }
    }
}

/* ---- blows ---------------------------------------------------------------------------------- */

/* `node` takes `peer` for lost, until the fault ends; or for a blip, in which it seals and then
 * sees that there was nothing (R4.1). */
static void doubt(struct sim *s, int node, int peer, const struct sim_fault *f)
{
    struct sim_event ev = {.kind = SIM_EV_EVIDENCE,
                           .at = s->now,
                           .node = (uint8_t)node,
                           .proc = SIM_REPLICA,
                           .life = s->node[node].proc[SIM_REPLICA].life,
                           .peer = (uint8_t)peer,
                           .a = REPL_EVIDENCE_EXITED};
    if (ev.life == 0) {
        return;
    }
    sim_push(s, &ev);
    /* The 1 ns: a pause may end together with the fault, and what it kept is heard first. */
    ev.at = (f->a >> 40) % 3 == 0 ? s->now + soon(s) : sim_fault_end(s, f) + 1;
    ev.a = REPL_EVIDENCE_NONE;
    sim_push(s, &ev);
}

static void doubt_by_all(struct sim *s, const struct sim_fault *f)
{
    for (int n = 1; n <= s->nics; n++) {
        if (n != f->node) {
            doubt(s, n, f->node, f);
        }
    }
}

/* What goes from one to the other is late. */
static void delay(struct sim *s, int from, int to, const struct sim_fault *f)
{
    for (int path = 0; path < SIM_PATHS; path++) {
        struct sim_path *p = &s->net.path[from][to][path];
        p->bad_until = sim_fault_end(s, f);
        p->delay_more = s->plan.failure_timeout / 4 + f->b % s->plan.failure_timeout;
        p->loss_pm = p->copy_pm = p->damage_pm = p->replay_pm = 0;
        p->bytes_per_ms = 0;
    }
}

static void delay_all(struct sim *s, const struct sim_fault *f, bool inwards)
{
    for (int n = 1; n <= s->nics; n++) {
        if (n != f->node) {
            delay(s, inwards ? n : f->node, inwards ? f->node : n, f);
        }
    }
}

/* What voters are asked and answer comes by the retries. */
static void make_late(struct sim *s, const struct sim_fault *f)
{
    s->net.late_until = sim_fault_end(s, f);
    s->net.late_max = s->plan.failure_timeout * (1 + f->a % 8) / 2;
}

/* Two proposers at once, while a voter forgets what it has not made durable, and what the first
 * seals takes long. */
static void duel(struct sim *s, const struct sim_fault *f)
{
    int other = f->node % s->nics + 1;
    doubt(s, f->node, other, f);
    doubt(s, other, f->node, f);
    for (int v = 1; v <= s->nodes; v++) { /* after it has answered the one, or both */
        if ((f->b >> v & 1) != 0) {
            s->node[v].proc[SIM_CFGD].crash_in = 1 + (f->b >> (8 * v)) % 12;
        }
    }
    if ((f->a >> 56) % 2 == 0) {
        make_late(s, f);
    }
    struct sim_disk *d = &s->node[f->node].replica.disk;
    d->stalled_until = s->now + (f->a >> 24) % (s->plan.failure_timeout / 2);
}

/* Mostly from everybody, and often for so long that the others ask the register, find themselves in
 * sync, and go on without it. */
static void isolate(struct sim *s, const struct sim_fault *f)
{
    struct sim_fault longer = *f;
    longer.a = (f->a & 3) == 0 ? f->a >> 2 : 0;
    longer.lasts = (f->a & 4) == 0 ? f->lasts : f->lasts / 2 + 10 * s->plan.failure_timeout;
    s->load.focus_until = sim_fault_end(s, &longer);
    sim_fault_isolate(s, &longer);
}

/* Nobody takes over what was given up, and its disk works. */
static void lose_heir(struct sim *s, const struct sim_fault *f)
{
    const struct sim_replica *r = &s->node[f->node].replica;
    struct sim_fault heir = *f;
    if (r->core != NULL && r->core->heir.v != 0) {
        heir.node = (uint8_t)r->core->heir.v;
        s->node[f->node].replica.disk.stalled_until = s->now;
        isolate(s, &heir);
    }
}

static void strike(struct sim *s, const struct sim_fault *f)
{
    struct sim_process *p = &s->node[f->node].proc[SIM_REPLICA];
    switch (blow_of(f)) {
    case SIM_BLOW_ISOLATE:
        isolate(s, f);
        break;
    case SIM_BLOW_KILL:
        sim_proc_end(s, f->node, SIM_REPLICA, -SIGKILL);
        break;
    case SIM_BLOW_SLOW_CRASH:
        delay_all(s, f, false);
        p->crash_in = 1 + (f->a >> 16) % 60;
        break;
    case SIM_BLOW_CRASH:
        p->crash_in = 1 + (f->a >> 16) % 12;
        break;
    case SIM_BLOW_POWER:
        sim_nic_power_off(s, f->node);
        sim_fault_power_on_at(s, f->node, sim_fault_end(s, f));
        break;
    case SIM_BLOW_PAUSE:
        sim_fault_pause(s, f->node, SIM_REPLICA, sim_fault_pause_end(s, f));
        break;
    case SIM_BLOW_SLOW_DOUBT:
        delay_all(s, f, true);
        doubt_by_all(s, f);
        break;
    case SIM_BLOW_DOUBT:
        doubt_by_all(s, f);
        break;
    case SIM_BLOW_DUEL:
        duel(s, f);
        break;
    case SIM_BLOW_LATE:
        make_late(s, f);
        break;
    case SIM_BLOW_WELL:
        lose_heir(s, f);
        break;
    case SIM_BLOW_STRAY:
        sim_stray_old_registers(s, f->node);
        sim_stray_old_frames(s, f->node, f->node % s->nics + 1);
        sim_stray_old_frames(s, f->node % s->nics + 1, f->node);
        break;
    case SIM_BLOWS:
        ts_unreachable();
    }
}

void sim_moment_note(const struct sim *s, const struct sim_fault *f)
{
    sim_note(s, 0, "FAULT at-a-moment: the next replica that %s %s", MOMENTS[moment_of(f)],
             BLOWS[blow_of(f)]);
}

void sim_moment_blow(struct sim *s, const struct sim_event *ev)
{
    struct sim_fault f = s->plan.fault[ev->a];
    if (s->healed || s->now < s->quiet_until) {
        return;
    }
    f.node = ev->peer;
    sim_note(s, 0, "MOMENT %s %s, and %s: %llu ms", sim_node_name(s, f.node),
             MOMENTS[moment_of(&f)], BLOWS[blow_of(&f)],
             (unsigned long long)((sim_fault_end(s, &f) - s->now) / SIM_MS));
    s->load.focus = f.node;
    s->load.focus_until = sim_fault_end(s, &f);
    sim_strike(s, SIM_FAULT_MOMENT);
    strike(s, &f);
    if ((f.b >> 8) % 4 != 0) {
        s->quiet_until = s->load.focus_until;
    }
}
