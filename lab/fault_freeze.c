/* SIGSTOP: a process that lives and does nothing. Its kernel still accepts connections for it
 * and keeps what clients send until it wakes. */
#include <signal.h>
#include <stdio.h>

#include "lab/clock.h"
#include "lab/fault.h"

#define STOP_NS_MAX (5 * TS_NS_PER_S)

static enum ts_err inject(struct lab_fault *f, struct ts_why *why)
{
    if (!lab_fault_find_procs(f)) {
        return ts_why(why, TS_ERR_NOT_FOUND, "nothing to freeze runs on %s", f->node);
    }
    f->injected_ns = lab_now_ns();
    size_t hit = 0;
    for (size_t i = 0; i < f->proc_count; i++) {
        hit += nodes_signal(f->run, f->node, &f->procs[i], SIGSTOP);
    }
    if (hit == 0) {
        return ts_why(why, TS_ERR_NOT_FOUND, "%s went away by itself", f->node);
    }
    return TS_OK;
}

/* Each thread stops on its own time: soon, but not with the signal. */
static bool wait_stopped(const struct nodes_proc *proc)
{
    uint64_t end = lab_now_ns() + STOP_NS_MAX;
    while (!lab_is_stopped(proc)) {
        if (lab_now_ns() > end) {
            return false;
        }
        lab_pause_us(200);
    }
    return true;
}

static enum ts_err observe(struct lab_fault *f, struct ts_why *why)
{
    for (size_t i = 0; i < f->proc_count; i++) {
        if (!wait_stopped(&f->procs[i])) {
            return ts_why(why, TS_ERR_NOT_FOUND, "%s of %s, process %d, is not stopped",
                          f->procs[i].program, f->node, (int)f->procs[i].pid);
        }
    }
    return TS_OK;
}

bool lab_fault_is_frozen(const struct lab_fault *f)
{
    for (size_t i = 0; i < f->proc_count; i++) {
        if (!lab_is_stopped(&f->procs[i]) && !lab_wait_exit(&f->procs[i], 0)) {
            return false;
        }
    }
    return true;
}

/* A frozen process may have been killed meanwhile by a nicd that awoke earlier: no error. */
static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    (void)why;
    for (size_t i = 0; i < f->proc_count; i++) {
        (void)nodes_signal(f->run, f->node, &f->procs[i], SIGCONT);
    }
    return TS_OK;
}

static const struct lab_fault_type type = {
    .name = "freeze", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_freeze(struct lab_fault *f, const struct nodes_run *run, const char *node,
                      const char *program, const char *group)
{
    *f = (struct lab_fault){.type = &type, .run = run};
    snprintf(f->node, sizeof f->node, "%s", node);
    snprintf(f->program, sizeof f->program, "%s", program == NULL ? "" : program);
    snprintf(f->group, sizeof f->group, "%s", group == NULL ? "" : group);
}
