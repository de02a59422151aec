/* A node: its clocks, its power, nicd (what both share: daemon/nicd_perform.h), pauses and ends of
 * processes. */
#include <signal.h>
#include <string.h>

#include "base/assert.h"
#include "base/exit.h"
#include "tests/sim/sim.h"

/* ---- clocks ------------------------------------------------------------------------------- */

struct ts_mono sim_local(const struct sim *s, int node)
{
    const struct sim_node *n = &s->node[node];
    int64_t d = (int64_t)(s->now - n->clock_from);
    return (struct ts_mono){n->clock_base + (uint64_t)(d + d / 1000 * n->drift_ppm / 1000)};
}

uint64_t sim_when(const struct sim *s, int node, struct ts_mono t)
{
    const struct sim_node *n = &s->node[node];
    if (t.ns <= n->clock_base) {
        return s->now;
    }
    int64_t d = (int64_t)(t.ns - n->clock_base);
    /* A little late rather than early: the inverse is rounded. */
    uint64_t at = n->clock_from + (uint64_t)(d - d / 1000 * n->drift_ppm / 1000) + 1000;
    if (n->drift_ppm != 0) {
        at += (uint64_t)d / 20000000; /* the square of at most 200 ppm */
    }
    return at < s->now ? s->now : at;
}

/* ---- processes ---------------------------------------------------------------------------- */

bool sim_runs(const struct sim *s, int node, enum sim_proc proc)
{
    return s->node[node].proc[proc].life != 0;
}

bool sim_paused(const struct sim *s, int node, enum sim_proc proc)
{
    return s->node[node].proc[proc].paused_until > s->now;
}

static enum sim_proc proc_of(const struct nicd_proc *p)
{
    if (p->role == REPORT_PROC_HEARTBEATD) {
        return SIM_HEARTBEATD;
    }
    return p->role == REPORT_PROC_CLUSTER_CFGD ? SIM_CFGD : SIM_REPLICA;
}

static const char *proc_name(enum sim_proc proc)
{
    static const char *const names[] = {"", "nicd", "heartbeatd", "cluster-cfgd", "replica"};
    return names[proc];
}

void sim_proc_tick_at(struct sim *s, int node, enum sim_proc proc, struct ts_mono due)
{
    struct sim_process *p = &s->node[node].proc[proc];
    if (due.ns == UINT64_MAX) {
        return;
    }
    uint64_t at = sim_when(s, node, due);
    if (p->tick_at != 0 && p->tick_at <= at) {
        return;
    }
    /* libuv counts milliseconds, and wakes a little late. */
    at = (at > s->now ? at : s->now) + sim_us(s, 20, 1000);
    if (p->tick_at != 0 && p->tick_at <= at) {
        return;
    }
    p->tick_at = at;
    sim_push(s, &(struct sim_event){
                    .kind = proc == SIM_HEARTBEATD ? SIM_EV_HEART_TICK : SIM_EV_TICK,
                    .at = at,
                    .node = (uint8_t)node,
                    .proc = (uint8_t)proc,
                    .life = p->life,
                    .a = at,
                });
}

bool sim_proc_crashed(struct sim *s, int node, enum sim_proc proc)
{
    struct sim_process *p = &s->node[node].proc[proc];
    if (p->crash_in > 0 && --p->crash_in == 0) {
        p->dying = true;
        sim_strike(s, proc == SIM_CFGD         ? SIM_FAULT_CRASH_POINT_VOTER
                      : proc == SIM_HEARTBEATD ? SIM_FAULT_CRASH_POINT_HEART
                                               : SIM_FAULT_CRASH_POINT);
        sim_note(s, node, "%s crashes in the middle of a step", proc_name(proc));
    }
    if (p->pause_in > 0 && --p->pause_in == 0) {
        /* The step ends; what comes after it waits. */
        uint64_t until = s->now + p->pause_ns;
        sim_strike(s, SIM_FAULT_PAUSE_POINT);
        (void)sim_fault_pause(s, node, proc, until < s->end_of_faults ? until : s->end_of_faults);
        sim_note(s, node, "%s is stopped for %llu ms", proc_name(proc),
                 (unsigned long long)(p->pause_ns / SIM_MS));
    }
    return p->dying;
}

bool sim_proc_settle(struct sim *s, int node, enum sim_proc proc)
{
    struct sim_process *p = &s->node[node].proc[proc];
    if (p->dying) {
        sim_proc_end(s, node, proc, -SIGKILL);
        return true;
    }
    if (p->exit_now >= 0) {
        sim_proc_end(s, node, proc, p->exit_now);
        return true;
    }
    return p->life == 0;
}

/* Takes the process apart; `power`: it had no time to do anything, nor had its kernel. */
static void take_apart(struct sim *s, int node, enum sim_proc proc, bool power)
{
    struct sim_process *p = &s->node[node].proc[proc];
    if (proc == SIM_HEARTBEATD) {
        sim_heart_end(s, node);
    } else if (proc == SIM_CFGD) {
        sim_voter_end(s, node);
    } else if (proc == SIM_REPLICA) {
        if (power) {
            sim_link_node_lost(s, node);
        } else {
            sim_link_process_ended(s, node);
        }
        sim_load_closed(s, node);
        sim_disk_process_ended(s, node);
        sim_replica_end(s, node);
    }
    *p = (struct sim_process){.exit_now = -1};
}

void sim_proc_end(struct sim *s, int node, enum sim_proc proc, int32_t status)
{
    struct sim_process *p = &s->node[node].proc[proc];
    if (p->life == 0) {
        return;
    }
    uint32_t pid = p->pid;
    sim_note(s, node, "%s ends (%s %d)", proc_name(proc),
             status < 0 ? "killed by signal" : "status", status < 0 ? -status : status);
    s->stats.crashes++;
    take_apart(s, node, proc, false);
    struct sim_event ev = {.kind = SIM_EV_PROC_ENDING,
                           .at = s->now + sim_us(s, 30, 400),
                           .node = (uint8_t)node,
                           .proc = SIM_NICD,
                           .life = s->node[node].proc[SIM_NICD].life,
                           .a = pid};
    if (proc == SIM_REPLICA) { /* it has a lifeline: the others wait for this word */
        sim_push(s, &ev);
    }
    ev.kind = SIM_EV_PROC_EXITED;
    ev.at += sim_us(s, 300, 8000);
    ev.b = (uint64_t)(int64_t)status;
    sim_push(s, &ev);
}

/* ---- nicd --------------------------------------------------------------------------------- */

static struct ts_mono on_now(void *ctx)
{
    const struct sim_node *n = ctx;
    return sim_local(n->sim, n->id);
}

static void on_report(void *ctx, struct ts_bytes report)
{
    struct sim_node *n = ctx;
    struct sim *s = n->sim;
    struct sim_process *to = &n->proc[SIM_HEARTBEATD];
    if (to->life == 0 || !to->ready || to->backlog > 16) {
        return; /* its socket is away, or full */
    }
    to->backlog++;
    struct sim_event ev = {.kind = SIM_EV_PROCS,
                           .at = s->now + sim_us(s, 10, 150),
                           .node = (uint8_t)n->id,
                           .proc = SIM_HEARTBEATD,
                           .life = to->life,
                           .queued = true,
                           .len = report.len};
    ev.bytes = sim_bytes_copy(s, report, (struct ts_bytes){NULL, 0});
    sim_push(s, &ev);
}

static uint32_t on_spawn(void *ctx, uint8_t index)
{
    struct sim_node *n = ctx;
    struct sim *s = n->sim;
    enum sim_proc proc = proc_of(&n->nicd.supervisor.procs[index]);
    struct sim_process *p = &n->proc[proc];
    ts_assert(p->life == 0);
    *p = (struct sim_process){.life = ++s->lives, .exit_now = -1};
    p->pid = (uint32_t)(1000 + p->life);
    sim_push(s, &(struct sim_event){.kind = SIM_EV_STARTED,
                                    .at = s->now + sim_us(s, 2000, 15000),
                                    .node = (uint8_t)n->id,
                                    .proc = (uint8_t)proc,
                                    .life = p->life});
    return p->pid;
}

/* Who stands still hears SIGTERM later; before main it ends a process by itself. What the programs
 * do is end with status 0, and nothing else. */
static void on_signal(void *ctx, uint8_t proc, int signum)
{
    struct sim_node *n = ctx;
    struct sim *s = n->sim;
    enum sim_proc to = proc_of(&n->nicd.supervisor.procs[proc]);
    const struct sim_process *p = &n->proc[to];
    if (signum == SIGKILL || !p->ready) {
        sim_proc_end(s, n->id, to, -signum);
        return;
    }
    sim_push(s, &(struct sim_event){.kind = SIM_EV_SIGNAL,
                                    .at = s->now + sim_us(s, 10, 1000),
                                    .node = (uint8_t)n->id,
                                    .proc = (uint8_t)to,
                                    .life = p->life});
}

static void on_done(void *ctx)
{
    struct sim_node *n = ctx;
    n->proc[SIM_NICD].exit_now = 0;
}

/* Traces and logs are not modelled. */
static void on_changed(void *ctx, uint8_t proc, enum ts_trace_kind kind, int32_t status)
{
    struct sim_node *n = ctx;
    (void)status;
    if (kind != TS_TRACE_PROC_STARTED &&
        n->nicd.supervisor.procs[proc].role == REPORT_PROC_REPLICA) {
        sim_address_replica_ended(n->sim, n->id);
    }
}

static void on_told(void *ctx, uint8_t proc)
{
    (void)ctx;
    (void)proc;
}

static void on_reasons(void *ctx, struct report_procs *report)
{
    (void)ctx;
    (void)report;
}

static const struct nicd_perform_ops OPS = {
    .now = on_now,
    .spawn = on_spawn,
    .signal = on_signal,
    .done = on_done,
    .changed = on_changed,
    .told = on_told,
    .add_reasons = on_reasons,
    .report = on_report,
};

static void arm_nicd(struct sim *s, int node)
{
    const struct sim_node *n = &s->node[node];
    struct sim_process *p = &s->node[node].proc[SIM_NICD];
    struct ts_mono due = nicd_perform_deadline(&n->nicd);
    struct ts_mono address = sim_address_deadline(s, node);
    due = ts_mono_lt(address, due) ? address : due;
    uint64_t at = sim_when(s, node, due) + sim_us(s, 20, 1000);
    if (p->tick_at != 0 && p->tick_at <= at) {
        return;
    }
    p->tick_at = at;
    sim_push(s, &(struct sim_event){.kind = SIM_EV_NICD_TICK,
                                    .at = at,
                                    .node = (uint8_t)node,
                                    .proc = SIM_NICD,
                                    .life = p->life,
                                    .a = at});
}

void sim_nic_kill(struct sim *s, int node, uint64_t again)
{
    struct sim_node *n = &s->node[node];
    sim_note(s, node, "nicd ends, and with it what it started");
    for (int i = SIM_NICD; i < SIM_PROCS; i++) {
        if (n->proc[i].life != 0) {
            s->stats.crashes++;
            take_apart(s, node, (enum sim_proc)i, false);
        }
    }
    sim_fault_power_on_at(s, node, again);
}

void sim_nic_stop(struct sim *s, int node, uint64_t again)
{
    s->node[node].nicd_again = again;
    sim_push(s, &(struct sim_event){.kind = SIM_EV_SIGNAL,
                                    .at = s->now,
                                    .node = (uint8_t)node,
                                    .proc = SIM_NICD,
                                    .life = s->node[node].proc[SIM_NICD].life});
}

void sim_nic_busy(struct sim *s, int node, enum sim_proc proc)
{
    const struct sim_node *n = &s->node[node];
    bool meant = proc == SIM_REPLICA || (n->busy_all && proc != SIM_WORLD && proc != SIM_CLONE);
    if (meant && sim_chance_pm(s, 100)) {
        (void)sim_fault_pause(s, node, proc, s->now + sim_us(s, 50, n->busy_us));
    }
}

void sim_nic_event(struct sim *s, struct sim_event *ev)
{
    struct sim_node *n = &s->node[ev->node];
    struct sim_process *p = &n->proc[SIM_NICD];
    if (ev->kind == SIM_EV_SIGNAL) {
        sim_note(s, ev->node, "nicd is told to stop");
        nicd_perform_stop(&n->nicd);
    } else if (ev->kind == SIM_EV_NICD_TICK) {
        if (p->tick_at != ev->a) {
            return;
        }
        p->tick_at = 0;
        nicd_perform_tick(&n->nicd);
    } else if (ev->kind == SIM_EV_SERVES) {
        sim_address_said(s, ev);
    } else if (ev->kind == SIM_EV_PROC_ENDING) {
        nicd_perform_ending(&n->nicd, (uint32_t)ev->a);
    } else {
        nicd_perform_exited(&n->nicd, (uint32_t)ev->a, (int32_t)(int64_t)ev->b);
    }
    sim_address_turn(s, ev->node);
    if (p->exit_now < 0) {
        arm_nicd(s, ev->node);
    } else {
        uint64_t soon = s->now + sim_us(s, 5000, 100000);
        sim_nic_kill(s, ev->node, n->nicd_again > soon ? n->nicd_again : soon);
    }
}

/* ---- power -------------------------------------------------------------------------------- */

void sim_nic_power_on(struct sim *s, int node)
{
    struct sim_node *n = &s->node[node];
    if (n->powered && n->proc[SIM_NICD].life != 0) {
        return;
    }
    sim_note(s, node, n->powered ? "nicd is started again" : "power comes on");
    if (!n->powered) {
        n->powered = true;
        n->clock_from = s->now;
        /* Clocks of two nodes or boots have nothing in common. */
        n->clock_base = sim_rand(s, 1, 1000) * SIM_S;
    }
    for (int i = 0; i < SIM_PROCS; i++) {
        n->proc[i] = (struct sim_process){.exit_now = -1};
    }
    n->proc[SIM_NICD].life = ++s->lives;
    n->proc[SIM_NICD].ready = true;
    n->sim = s;
    nicd_perform_open(&n->nicd, &s->cluster, (struct ts_nic_id){(uint16_t)node}, 1, &OPS, n);
    sim_address_nicd_starts(s, node);
    arm_nicd(s, node);
}

void sim_nic_power_off(struct sim *s, int node)
{
    struct sim_node *n = &s->node[node];
    if (!n->powered) {
        return;
    }
    sim_note(s, node, "power is lost");
    for (int i = SIM_NICD; i < SIM_PROCS; i++) {
        if (n->proc[i].life != 0) {
            s->stats.crashes++;
            take_apart(s, node, (enum sim_proc)i, true);
        }
    }
    n->powered = false;
    sim_address_power_lost(s, node);
    sim_voter_disk_power_lost(s, node);
    if (n->nic) {
        sim_disk_power_lost(s, node);
    }
}
