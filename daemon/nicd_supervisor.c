#include "daemon/nicd_supervisor.h"

#include <signal.h>

#include "base/assert.h"
#include "base/exit.h"

#define STAGES 3

static void effect(struct nicd_effects *out, enum nicd_effect_kind kind, uint8_t proc, int signal)
{
    ts_assert(out->count < NICD_PROCS_MAX + 1);
    out->e[out->count++] = (struct nicd_effect){.kind = kind, .proc = proc, .signal = signal};
}

/* In which stage of the stop a process ends. */
static uint8_t stage_of(const struct nicd_proc *p)
{
    if (p->role == REPORT_PROC_REPLICA) {
        return 0;
    }
    return p->role == REPORT_PROC_CLUSTER_CFGD ? 1 : 2;
}

static bool has_process(const struct nicd_proc *p)
{
    return p->state == NICD_PROC_RUNNING || p->state == NICD_PROC_STOPPING;
}

static void add_proc(struct nicd_supervisor *s, enum report_proc_role role,
                     struct ts_group_id group, struct ts_mono now)
{
    ts_assert(s->count < NICD_PROCS_MAX);
    s->procs[s->count++] = (struct nicd_proc){
        .role = role,
        .group = group,
        .state = NICD_PROC_WAITING,
        .due = now,
    };
}

void nicd_supervisor_init(struct nicd_supervisor *s, const struct cfg_cluster *cluster,
                          struct ts_nic_id self, struct ts_mono now)
{
    *s = (struct nicd_supervisor){0};
    add_proc(s, REPORT_PROC_HEARTBEATD, (struct ts_group_id){0}, now);
    add_proc(s, REPORT_PROC_CLUSTER_CFGD, (struct ts_group_id){0}, now);
    for (size_t i = 0; i < cluster->group_count; i++) {
        const struct cfg_group *group = &cluster->groups[i];
        for (uint8_t n = 0; n < group->nic_count; n++) {
            if (ts_nic_eq(group->nics[n], self)) {
                add_proc(s, REPORT_PROC_REPLICA, group->id, now);
            }
        }
    }
}

/* The process is gone: plans its restart. */
static void plan_restart(struct nicd_proc *p, struct ts_mono now, int32_t status)
{
    if (p->state == NICD_PROC_RUNNING && ts_mono_since(p->started, now) >= NICD_STABLE_NS) {
        p->backoff_ns = 0;
    }
    if (status == TS_EXIT_AGAIN) {
        p->state = NICD_PROC_WAITING; /* no failure: the next one waits as this one would have */
        p->due = now;
        return;
    }
    uint64_t wait = status == TS_EXIT_CONFIG ? NICD_BACKOFF_MAX_NS : p->backoff_ns;
    uint64_t next = p->backoff_ns == 0 ? NICD_BACKOFF_MIN_NS : 2 * p->backoff_ns;
    p->backoff_ns = next < NICD_BACKOFF_MAX_NS ? next : NICD_BACKOFF_MAX_NS;
    p->state = NICD_PROC_WAITING;
    p->due = ts_mono_add(now, wait);
}

static void on_gone(struct nicd_supervisor *s, uint8_t i, struct ts_mono now, int32_t status)
{
    struct nicd_proc *p = &s->procs[i];
    p->last_status = status;
    if (s->stopping) {
        p->state = NICD_PROC_STOPPED;
    } else {
        plan_restart(p, now, status);
    }
}

/* Sends the processes of the present stage what is due for them. Gives whether any is left. */
static bool stop_stage(struct nicd_supervisor *s, struct ts_mono now, struct nicd_effects *out)
{
    bool left = false;
    for (uint8_t i = 0; i < s->count; i++) {
        struct nicd_proc *p = &s->procs[i];
        if (stage_of(p) != s->stage) {
            continue;
        }
        if (p->state == NICD_PROC_WAITING) {
            p->state = NICD_PROC_STOPPED;
        } else if (p->state == NICD_PROC_RUNNING) {
            p->state = NICD_PROC_STOPPING;
            p->due = ts_mono_add(now, NICD_STOP_GRACE_NS);
            effect(out, NICD_EFFECT_SIGNAL, i, SIGTERM);
        } else if (p->state == NICD_PROC_STOPPING && !ts_mono_lt(now, p->due)) {
            if (p->killed) {
                p->state = NICD_PROC_STOPPED; /* it hangs in the kernel, and dies with nicd */
            } else {
                p->killed = true;
                p->due = ts_mono_add(now, NICD_STOP_GRACE_NS);
                effect(out, NICD_EFFECT_SIGNAL, i, SIGKILL);
            }
        }
        left = left || has_process(p);
    }
    return left;
}

static void go_on_stopping(struct nicd_supervisor *s, struct ts_mono now, struct nicd_effects *out)
{
    while (s->stage < STAGES && !stop_stage(s, now, out)) {
        s->stage++;
    }
    if (s->stage == STAGES) {
        effect(out, NICD_EFFECT_DONE, 0, 0);
    }
}

static void on_tick(struct nicd_supervisor *s, struct ts_mono now, struct nicd_effects *out)
{
    if (s->stopping) {
        go_on_stopping(s, now, out);
        return;
    }
    for (uint8_t i = 0; i < s->count; i++) {
        if (s->procs[i].state == NICD_PROC_WAITING && !ts_mono_lt(now, s->procs[i].due)) {
            effect(out, NICD_EFFECT_SPAWN, i, 0);
        }
    }
}

static void on_started(struct nicd_supervisor *s, const struct nicd_event *event)
{
    struct nicd_proc *p = &s->procs[event->proc];
    ts_assert(p->state == NICD_PROC_WAITING);
    p->state = NICD_PROC_RUNNING;
    p->started = event->now;
    p->pid = event->pid;
    p->starts++;
    p->killed = false;
    p->ending = false;
}

static void on_stop(struct nicd_supervisor *s, struct ts_mono now, struct nicd_effects *out)
{
    if (s->stopping) {
        for (uint8_t i = 0; i < s->count; i++) {
            if (has_process(&s->procs[i]) && !s->procs[i].killed) {
                s->procs[i].state = NICD_PROC_STOPPING;
                s->procs[i].killed = true;
                s->procs[i].due = ts_mono_add(now, NICD_STOP_GRACE_NS);
                effect(out, NICD_EFFECT_SIGNAL, i, SIGKILL);
            }
        }
        return;
    }
    s->stopping = true;
    go_on_stopping(s, now, out);
}

void nicd_supervisor_step(struct nicd_supervisor *s, const struct nicd_event *event,
                          struct nicd_effects *out)
{
    int found = -1;
    out->count = 0;
    switch (event->kind) {
    case NICD_EVENT_TICK:
        on_tick(s, event->now, out);
        return;
    case NICD_EVENT_STARTED:
        on_started(s, event);
        return;
    case NICD_EVENT_FAILED:
        on_gone(s, event->proc, event->now, TS_EXIT_FAILURE);
        return;
    case NICD_EVENT_ENDING:
        found = nicd_supervisor_find(s, event->pid);
        if (found >= 0) {
            s->procs[found].ending = true;
        }
        return;
    case NICD_EVENT_EXITED:
        found = nicd_supervisor_find(s, event->pid);
        if (found >= 0) {
            on_gone(s, (uint8_t)found, event->now, event->status);
            on_tick(s, event->now, out);
        }
        return;
    case NICD_EVENT_STOP:
        on_stop(s, event->now, out);
        return;
    }
    ts_unreachable();
}

struct ts_mono nicd_supervisor_deadline(const struct nicd_supervisor *s)
{
    struct ts_mono due = TS_MONO_NEVER;
    for (uint8_t i = 0; i < s->count; i++) {
        const struct nicd_proc *p = &s->procs[i];
        bool waits = p->state == NICD_PROC_WAITING || p->state == NICD_PROC_STOPPING;
        if (waits && ts_mono_lt(p->due, due)) {
            due = p->due;
        }
    }
    return due;
}

int nicd_supervisor_find(const struct nicd_supervisor *s, uint32_t pid)
{
    for (uint8_t i = 0; i < s->count; i++) {
        if (has_process(&s->procs[i]) && s->procs[i].pid == pid) {
            return i;
        }
    }
    return -1;
}

void nicd_supervisor_report(const struct nicd_supervisor *s, struct report_procs *out)
{
    out->count = s->count;
    for (uint8_t i = 0; i < s->count; i++) {
        const struct nicd_proc *p = &s->procs[i];
        out->p[i] = (struct report_proc){
            .role = p->role,
            .group = p->group,
            .running = has_process(p) && !p->ending,
            .pid = p->pid,
            .starts = p->starts,
            .last_status = p->last_status,
        };
    }
}
