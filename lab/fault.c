#include "lab/fault.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "lab/pidfd.h"

enum ts_err lab_fault_inject(struct lab_fault *f, struct ts_why *why)
{
    ts_assert(f->injected_ns == 0);
    return f->type->inject(f, why);
}

enum ts_err lab_fault_observe(struct lab_fault *f, struct ts_why *why)
{
    ts_assert(f->injected_ns != 0);
    return f->type->observe(f, why);
}

enum ts_err lab_fault_heal(struct lab_fault *f, struct ts_why *why)
{
    return f->type->heal(f, why);
}

bool lab_fault_find_procs(struct lab_fault *f)
{
    if (f->program[0] == '\0') {
        f->proc_count = nodes_procs(f->run, f->node, f->procs);
    } else {
        const char *group = f->group[0] == '\0' ? NULL : f->group;
        f->proc_count = nodes_find(f->run, f->node, f->program, group, &f->procs[0]) ? 1 : 0;
    }
    return f->proc_count > 0;
}

/* State letter and start time of /proc/PID/stat; false when the process is gone. */
static bool read_stat(pid_t pid, char *state, uint64_t *start_ticks)
{
    char path[48];
    char text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *in = fopen(path, "re");
    if (in == NULL) {
        return false;
    }
    size_t n = fread(text, 1, sizeof text - 1, in);
    fclose(in);
    text[n] = '\0';
    /* The second field is a name in brackets that may hold anything; the third is the state, the
     * 22nd the start. */
    const char *at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ' || at[2] == '\0') {
        return false;
    }
    *state = at[2];
    at += 3;
    for (int field = 4; field < 22; field++) {
        at = *at == '\0' ? NULL : strchr(at + 1, ' ');
        if (at == NULL) {
            return false;
        }
    }
    char *end;
    *start_ticks = strtoull(at, &end, 10);
    return end != at;
}

/* Whether the pid still is this process, dead ones that wait for their parent included. */
static bool same_process(const struct nodes_proc *proc, char *state)
{
    uint64_t start;
    return read_stat(proc->pid, state, &start) && start == proc->start_ticks;
}

bool lab_wait_exit(const struct nodes_proc *proc, unsigned timeout_ms)
{
    char state;
    int fd = lab_pidfd_open(proc->pid);
    if (fd < 0 || !same_process(proc, &state) || state == 'Z') {
        lab_pidfd_close(fd);
        return true;
    }
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int rc = poll(&p, 1, (int)timeout_ms);
    lab_pidfd_close(fd);
    return rc == 1;
}

bool lab_is_stopped(const struct nodes_proc *proc)
{
    char state;
    return same_process(proc, &state) && state == 'T';
}
