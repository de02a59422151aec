/* Memory that is used up: each process may have what it has, and no page more (RLIMIT_AS). The
 * proof is the limit, read back of the kernel, and an allocation that got nothing, as the library
 * in front of the processes counts them (lab/host/memory.c). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lab/clock.h"
#include "lab/fault_host.h"

/* Until the load has made the state grow by what the process has in reserve. */
#define HIT_NS_MAX (30 * TS_NS_PER_S)

/* The first number of /proc/PID/statm: pages of address space. 0: the process is gone. */
static uint64_t space_of(pid_t pid)
{
    char path[48];
    unsigned long pages = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *in = fopen(path, "re");
    char text[128] = "";
    if (in != NULL && fgets(text, sizeof(text), in) != NULL) {
        pages = strtoul(text, NULL, 10);
    }
    if (in != NULL) {
        (void)fclose(in);
    }
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The hard limit stays, so that the soft one can be lifted again without any right. */
static enum ts_err limit(const struct nodes_proc *p, rlim_t bytes, struct ts_why *why)
{
    struct rlimit was;
    struct rlimit is = {0};
    if (prlimit(p->pid, RLIMIT_AS, NULL, &was) != 0) {
        return errno == ESRCH ? TS_OK : ts_why_sys(why, errno, "cannot read a limit");
    }
    struct rlimit wanted = {.rlim_cur = bytes < was.rlim_max ? bytes : was.rlim_max,
                            .rlim_max = was.rlim_max};
    if (prlimit(p->pid, RLIMIT_AS, &wanted, NULL) != 0 ||
        prlimit(p->pid, RLIMIT_AS, NULL, &is) != 0 || is.rlim_cur != wanted.rlim_cur) {
        return errno == ESRCH ? TS_OK
                              : ts_why_sys(why, errno, "%s, process %d, does not get its limit",
                                           p->program, (int)p->pid);
    }
    return TS_OK;
}

static enum ts_err inject(struct lab_fault *f, struct ts_why *why)
{
    struct host_record *r = lab_host_open(f, why);
    if (r == NULL || !lab_fault_find_procs(f)) {
        lab_host_close(r);
        return r == NULL ? TS_ERR_SYSTEM
                         : ts_why(why, TS_ERR_NOT_FOUND, "nothing to limit runs on %s", f->node);
    }
    f->effect = atomic_load(&r->refused);
    lab_host_close(r);
    f->injected_ns = lab_now_ns();
    enum ts_err err = TS_OK;
    for (size_t i = 0; i < f->proc_count && err == TS_OK; i++) {
        err = limit(&f->procs[i], space_of(f->procs[i].pid), why);
    }
    return err;
}

static enum ts_err observe(struct lab_fault *f, struct ts_why *why)
{
    return lab_host_wait(f, offsetof(struct host_record, refused), HIT_NS_MAX,
                         "asked for memory that it did not get", why);
}

/* Processes that came after the limit have none. */
static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    enum ts_err err = TS_OK;
    for (size_t i = 0; i < f->proc_count && err == TS_OK; i++) {
        err = limit(&f->procs[i], RLIM_INFINITY, why);
    }
    return err;
}

static const struct lab_fault_type type = {
    .name = "memory", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_memory(struct lab_fault *f, const struct nodes_run *run, const char *node,
                      const char *program, const char *group)
{
    *f = (struct lab_fault){.type = &type, .run = run};
    (void)snprintf(f->node, sizeof(f->node), "%s", node);
    (void)snprintf(f->program, sizeof(f->program), "%s", program == NULL ? "" : program);
    (void)snprintf(f->group, sizeof(f->group), "%s", group == NULL ? "" : group);
}
