#include "daemon/nicd_perform.h"

#include "base/assert.h"

static void tell(struct nicd_perform *p)
{
    uint8_t bytes[REPORT_BYTES_MAX];
    struct report_procs *r = &p->report;
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    nicd_supervisor_report(&p->supervisor, r);
    p->ops->add_reasons(p->ctx, r);
    r->nic = p->self;
    ts_assert(r->count < REPORT_PROCS_MAX);
    r->p[r->count++] = (struct report_proc){
        .role = REPORT_PROC_NICD,
        .running = true,
        .pid = p->pid,
        .starts = 1,
    };
    enum ts_err err = report_procs_encode(r, &w);
    ts_assert(err == TS_OK);
    p->ops->report(p->ctx, (struct ts_bytes){bytes, w.len});
    p->report_due = ts_mono_add(p->ops->now(p->ctx), NICD_REPORT_NS);
}

static void step(struct nicd_perform *p, struct nicd_event *event, struct nicd_effects *fx)
{
    event->now = p->ops->now(p->ctx);
    nicd_supervisor_step(&p->supervisor, event, fx);
}

static void spawn(struct nicd_perform *p, uint8_t proc)
{
    struct nicd_effects none;
    uint32_t pid = p->ops->spawn(p->ctx, proc);
    struct nicd_event event = {
        .kind = pid > 0 ? NICD_EVENT_STARTED : NICD_EVENT_FAILED, .proc = proc, .pid = pid};
    step(p, &event, &none);
    ts_assert(none.count == 0);
    if (pid > 0) {
        p->ops->changed(p->ctx, proc, TS_TRACE_PROC_STARTED, 0);
    }
}

static void perform(struct nicd_perform *p, const struct nicd_effects *fx)
{
    for (uint8_t i = 0; i < fx->count; i++) {
        const struct nicd_effect *e = &fx->e[i];
        switch (e->kind) {
        case NICD_EFFECT_SPAWN:
            spawn(p, e->proc);
            break;
        case NICD_EFFECT_SIGNAL:
            p->ops->signal(p->ctx, e->proc, e->signal);
            break;
        case NICD_EFFECT_DONE:
            p->ops->done(p->ctx);
            break;
        }
    }
}

void nicd_perform_open(struct nicd_perform *p, const struct cfg_cluster *cluster,
                       struct ts_nic_id self, uint32_t pid, const struct nicd_perform_ops *ops,
                       void *ctx)
{
    p->ops = ops;
    p->ctx = ctx;
    p->self = self;
    p->pid = pid;
    p->report_due = ops->now(ctx);
    nicd_supervisor_init(&p->supervisor, cluster, self, p->report_due);
}

void nicd_perform_tick(struct nicd_perform *p)
{
    struct nicd_effects fx;
    step(p, &(struct nicd_event){.kind = NICD_EVENT_TICK}, &fx);
    perform(p, &fx);
    tell(p);
}

/* The process answers nobody any more. The other NICs hear that while the kernel still takes it
 * apart. */
void nicd_perform_ending(struct nicd_perform *p, uint32_t pid)
{
    struct nicd_effects none;
    step(p, &(struct nicd_event){.kind = NICD_EVENT_ENDING, .pid = pid}, &none);
    ts_assert(none.count == 0);
    int proc = nicd_supervisor_find(&p->supervisor, pid);
    if (proc >= 0) {
        p->ops->changed(p->ctx, (uint8_t)proc, TS_TRACE_PROC_ENDING, 0);
        tell(p);
    }
}

void nicd_perform_exited(struct nicd_perform *p, uint32_t pid, int32_t status)
{
    struct nicd_effects fx;
    int proc = nicd_supervisor_find(&p->supervisor, pid);
    if (proc < 0) {
        return;
    }
    step(p, &(struct nicd_event){.kind = NICD_EVENT_EXITED, .pid = pid, .status = status}, &fx);
    p->ops->changed(p->ctx, (uint8_t)proc, TS_TRACE_PROC_EXITED, status);
    tell(p);
    p->ops->told(p->ctx, (uint8_t)proc);
    perform(p, &fx);
    tell(p);
}

void nicd_perform_stop(struct nicd_perform *p)
{
    struct nicd_effects fx;
    step(p, &(struct nicd_event){.kind = NICD_EVENT_STOP}, &fx);
    perform(p, &fx);
    tell(p);
}

struct ts_mono nicd_perform_deadline(const struct nicd_perform *p)
{
    struct ts_mono due = nicd_supervisor_deadline(&p->supervisor);
    return ts_mono_lt(p->report_due, due) ? p->report_due : due;
}
