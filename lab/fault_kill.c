/* SIGKILL of one process. */
#include <signal.h>
#include <stdio.h>

#include "lab/clock.h"
#include "lab/fault.h"

#define EXIT_MS_MAX 5000

static enum ts_err inject(struct lab_fault *f, struct ts_why *why)
{
    if (!lab_fault_find_procs(f)) {
        return ts_why(why, TS_ERR_NOT_FOUND, "no %s runs on %s", f->program, f->node);
    }
    f->injected_ns = lab_now_ns();
    if (!nodes_signal(f->run, f->node, &f->procs[0], SIGKILL)) {
        return ts_why(why, TS_ERR_NOT_FOUND, "%s of %s, process %d, went away by itself",
                      f->program, f->node, (int)f->procs[0].pid);
    }
    return TS_OK;
}

static enum ts_err observe(struct lab_fault *f, struct ts_why *why)
{
    if (!lab_wait_exit(&f->procs[0], EXIT_MS_MAX)) {
        return ts_why(why, TS_ERR_NOT_FOUND, "process %d outlived SIGKILL", (int)f->procs[0].pid);
    }
    return TS_OK;
}

/* nicd restarts what it supervises. */
static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    (void)f;
    (void)why;
    return TS_OK;
}

static const struct lab_fault_type type = {
    .name = "kill", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_kill(struct lab_fault *f, const struct nodes_run *run, const char *node,
                    const char *program, const char *group)
{
    *f = (struct lab_fault){.type = &type, .run = run};
    snprintf(f->node, sizeof f->node, "%s", node);
    snprintf(f->program, sizeof f->program, "%s", program);
    snprintf(f->group, sizeof f->group, "%s", group == NULL ? "" : group);
}
