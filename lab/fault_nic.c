/* SIGKILL of a whole node at once: what a pulled card looks like to the others, except that the
 * kernel still closes its connections. Nobody is left to say so, not even its nicd. */
#include <signal.h>
#include <stdio.h>

#include "lab/clock.h"
#include "lab/fault.h"

#define GONE_MS_MAX 10000

static enum ts_err inject(struct lab_fault *f, struct ts_why *why)
{
    /* They may have been looked for before, so that several nodes end at once. */
    if (f->proc_count == 0 && !lab_fault_find_procs(f)) {
        return ts_why(why, TS_ERR_NOT_FOUND, "nothing runs on %s", f->node);
    }
    f->injected_ns = lab_now_ns();
    size_t hit = 0;
    for (size_t i = 0; i < f->proc_count; i++) {
        hit += nodes_signal(f->run, f->node, &f->procs[i], SIGKILL) ? 1 : 0;
    }
    if (hit == 0) {
        return ts_why(why, TS_ERR_NOT_FOUND, "%s went away by itself", f->node);
    }
    return TS_OK;
}

static enum ts_err observe(struct lab_fault *f, struct ts_why *why)
{
    /* One that was being started meanwhile was missed. */
    (void)nodes_signal_all(f->run, f->node, SIGKILL);
    for (size_t i = 0; i < f->proc_count; i++) {
        if (!lab_wait_exit(&f->procs[i], GONE_MS_MAX)) {
            return ts_why(why, TS_ERR_NOT_FOUND, "%s of %s, process %d, outlived SIGKILL",
                          f->procs[i].program, f->node, (int)f->procs[i].pid);
        }
    }
    if (!nodes_wait_gone(f->run, f->node, GONE_MS_MAX)) {
        return ts_why(why, TS_ERR_NOT_FOUND, "a process of %s still runs", f->node);
    }
    return TS_OK;
}

static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    return nodes_start(f->run, f->node, NULL, why);
}

static const struct lab_fault_type type = {
    .name = "nic", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_nic(struct lab_fault *f, const struct nodes_run *run, const char *node)
{
    *f = (struct lab_fault){.type = &type, .run = run};
    snprintf(f->node, sizeof f->node, "%s", node);
}
