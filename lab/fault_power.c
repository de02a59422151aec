/* The plug of a node is pulled: its processes end, and with them what they did not sync, since the
 * library in front of their disks (lab/disk) has that in memory only. */
#include <stdio.h>
#include <string.h>

#include "lab/fault.h"

#define ENVIRONMENT_MAX (32U * 1024U)

/* Whether the process was started with a disk that loses what was not synced. */
static bool loses(const struct nodes_proc *proc)
{
    char text[ENVIRONMENT_MAX];
    char path[48];
    bool library = false;
    bool through = false;
    (void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)proc->pid);
    FILE *in = fopen(path, "re");
    if (in == NULL) {
        return false;
    }
    size_t n = fread(text, 1, sizeof(text) - 1, in);
    (void)fclose(in);
    text[n] = '\0';
    for (const char *at = text; at < text + n; at += strlen(at) + 1) {
        library = library || (strncmp(at, "LD_PRELOAD=", 11) == 0 && strstr(at, "labdisk.so"));
        through = through || strncmp(at, "LABDISK_THROUGH=", 16) == 0;
    }
    return library && !through;
}

static enum ts_err inject(struct lab_fault *f, struct ts_why *why)
{
    if (f->proc_count == 0 && !lab_fault_find_procs(f)) {
        return ts_why(why, TS_ERR_NOT_FOUND, "nothing runs on %s", f->node);
    }
    for (size_t i = 0; i < f->proc_count; i++) {
        if (!loses(&f->procs[i])) {
            return ts_why(why, TS_ERR_NOT_FOUND,
                          "%s of %s, process %d, has a disk that keeps what was not synced",
                          f->procs[i].program, f->node, (int)f->procs[i].pid);
        }
    }
    struct lab_fault off;
    lab_fault_nic(&off, f->run, f->node);
    memcpy(off.procs, f->procs, sizeof(off.procs));
    off.proc_count = f->proc_count;
    enum ts_err err = lab_fault_inject(&off, why);
    f->injected_ns = off.injected_ns;
    return err;
}

static enum ts_err observe(struct lab_fault *f, struct ts_why *why)
{
    struct lab_fault off;
    lab_fault_nic(&off, f->run, f->node);
    memcpy(off.procs, f->procs, sizeof(off.procs));
    off.proc_count = f->proc_count;
    off.injected_ns = f->injected_ns;
    return lab_fault_observe(&off, why);
}

static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    return nodes_start(f->run, f->node, NULL, why);
}

static const struct lab_fault_type type = {
    .name = "power", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_power(struct lab_fault *f, const struct nodes_run *run, const char *node)
{
    *f = (struct lab_fault){.type = &type, .run = run};
    (void)snprintf(f->node, sizeof(f->node), "%s", node);
}
