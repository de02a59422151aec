/* Which process of the node runs, when it is started again, in what order all of them stop.
 * Sans-I/O: events with the time in them go in, effects come out; nicd.c performs them.
 *
 * Restart rule: at once after the first exit, for that is the common case and each millisecond
 * counts; then after NICD_BACKOFF_MIN_NS, doubling to NICD_BACKOFF_MAX_NS, so that a crash loop
 * costs little; from the beginning again after a run of NICD_STABLE_NS. A process that said that
 * only a person can help (TS_EXIT_CONFIG) waits the longest time at once; one that ended to begin
 * anew (TS_EXIT_AGAIN) is started at once, and that counts for nothing.
 *
 * Stop rule: by stages, each one TERM, then KILL after NICD_STOP_GRACE_NS, then given up for lost
 * after as long again (a process that hangs in the kernel): first the replicas, while
 * heartbeatd still tells the other NICs that they ended; then cluster-cfgd; heartbeatd last. */
#ifndef DAEMON_NICD_SUPERVISOR_H
#define DAEMON_NICD_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "cluster-cfg/cluster.h"
#include "cluster-cfg/report.h"

#define NICD_BACKOFF_MIN_NS (50 * TS_NS_PER_MS)
#define NICD_BACKOFF_MAX_NS (5 * TS_NS_PER_S)
#define NICD_STABLE_NS (10 * TS_NS_PER_S)
#define NICD_STOP_GRACE_NS (2 * TS_NS_PER_S)

/* heartbeatd, cluster-cfgd, the replicas. */
#define NICD_PROCS_MAX (TS_GROUPS_MAX + 2)

enum nicd_proc_state {
    NICD_PROC_WAITING, /* to be started at `due` */
    NICD_PROC_RUNNING,
    NICD_PROC_STOPPING, /* was sent a signal; the next measure at `due` */
    NICD_PROC_STOPPED,  /* will not be started again */
};

struct nicd_proc {
    /* config */
    enum report_proc_role role;
    struct ts_group_id group;
    /* volatile */
    enum nicd_proc_state state;
    struct ts_mono due;
    struct ts_mono started;
    uint64_t backoff_ns; /* wait before the next restart */
    uint32_t pid;
    uint32_t starts;
    int32_t last_status; /* exit status, or -signal */
    bool killed;         /* STOPPING: SIGKILL was sent too */
    bool ending;         /* RUNNING, STOPPING: it answers nobody any more */
};

struct nicd_supervisor {
    bool stopping;
    uint8_t stage; /* while stopping */
    uint8_t count;
    struct nicd_proc procs[NICD_PROCS_MAX];
};

enum nicd_event_kind {
    NICD_EVENT_TICK,    /* the deadline came */
    NICD_EVENT_STARTED, /* SPAWN of `proc` gave `pid` */
    NICD_EVENT_FAILED,  /* SPAWN of `proc` failed */
    NICD_EVENT_ENDING,  /* `pid` answers nobody any more: EXITED follows; unknown pids are no error
                         */
    NICD_EVENT_EXITED,  /* `pid` ended with `status`; unknown pids are no error */
    NICD_EVENT_STOP,    /* stop everything; a second one kills what is left */
};

struct nicd_event {
    enum nicd_event_kind kind;
    struct ts_mono now;
    uint8_t proc;
    uint32_t pid;
    int32_t status;
};

enum nicd_effect_kind {
    NICD_EFFECT_SPAWN,  /* start procs[proc], then STARTED or FAILED follows */
    NICD_EFFECT_SIGNAL, /* send `signal` to procs[proc].pid */
    NICD_EFFECT_DONE,   /* everything stopped: exit */
};

struct nicd_effect {
    enum nicd_effect_kind kind;
    uint8_t proc;
    int signal;
};

struct nicd_effects {
    uint8_t count;
    struct nicd_effect e[NICD_PROCS_MAX + 1];
};

/* The processes that `self` runs: heartbeatd, cluster-cfgd, a replica for each group that it is
 * a nic of (an arbiter: none). All are due at once. */
void nicd_supervisor_init(struct nicd_supervisor *s, const struct cfg_cluster *cluster,
                          struct ts_nic_id self, struct ts_mono now);
/* One event; the effects replace what `out` held. */
void nicd_supervisor_step(struct nicd_supervisor *s, const struct nicd_event *event,
                          struct nicd_effects *out);

/* When the next TICK is due; TS_MONO_NEVER when none is. */
struct ts_mono nicd_supervisor_deadline(const struct nicd_supervisor *s);
/* The process with this pid that runs or stops; -1 when there is none. */
int nicd_supervisor_find(const struct nicd_supervisor *s, uint32_t pid);
/* The state for the report, without nicd itself; overwrites `out`'s list. */
void nicd_supervisor_report(const struct nicd_supervisor *s, struct report_procs *out);

#endif
