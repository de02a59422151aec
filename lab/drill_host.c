/* Faults of the machine under a node, as a drill's step has them. */
#include "lab/drill_run.h"
#include "lab/fault_host.h"

#define PPM_OF_PERCENT 10000

bool lab_drill_make_host(const struct lab_drilling *d, const struct lab_step *s, const char *node,
                         const char *group, struct lab_fault *f)
{
    const struct nodes_run *run = d->config->run;
    const struct cfg_cluster *cluster = d->config->cluster;
    const char *program = s->program[0] == '\0' ? NULL : s->program;
    switch ((int)s->fault) { /* the others are not of this file */
    case LAB_DRILL_CLOCK_FORWARD:
        lab_fault_clock(f, run, node, (int64_t)s->jump_ms, 0);
        return true;
    case LAB_DRILL_CLOCK_BACK:
        lab_fault_clock(f, run, node, -(int64_t)s->jump_ms, 0);
        return true;
    case LAB_DRILL_CLOCK_DRIFT:
        lab_fault_clock(f, run, node, 0, (int64_t)s->share_percent * PPM_OF_PERCENT);
        return true;
    case LAB_DRILL_STARVE:
        lab_fault_starve(f, run, node, program, group, s->share_percent, s->period_ms);
        return true;
    case LAB_DRILL_MEMORY_FULL:
        lab_fault_memory(f, run, node, program, group);
        return true;
    case LAB_DRILL_CERT_EXPIRED:
        lab_fault_paper(f, run, cluster, node, LAB_PAPER_EXPIRED);
        return true;
    case LAB_DRILL_CERT_FOREIGN:
        lab_fault_paper(f, run, cluster, node, LAB_PAPER_FOREIGN);
        return true;
    case LAB_DRILL_WRONG_KEY:
        lab_fault_paper(f, run, cluster, node, LAB_PAPER_KEY);
        return true;
    default:
        return false;
    }
}

enum ts_err lab_drill_prepare_host(const struct lab_drill *d, const struct nodes_run *run,
                                   struct ts_why *why)
{
    bool clock = false;
    bool memory = (d->kinds >> LAB_DRILL_MEMORY_FULL & 1) != 0;
    for (unsigned k = 0; k < LAB_DRILL_FAULTS; k++) {
        clock = clock || ((d->kinds >> k & 1) != 0 && LAB_DRILL_IS_CLOCK(k));
    }
    enum ts_err err = clock ? lab_host_prepare(run, "labclock.so", why) : TS_OK;
    return err != TS_OK || !memory ? err : lab_host_prepare(run, "labmemory.so", why);
}
