/* nicd around its supervisor: the order in which processes are started, heard to end, and told of.
 * One file, shared by nicd and the simulator; processes, sockets, logs and the clock are behind
 * nicd_perform_ops.
 *
 * Who waits for the end of a process hears of it before it is started again, which takes a while
 * (R4.3); and all is repeated each NICD_REPORT_NS. */
#ifndef DAEMON_NICD_PERFORM_H
#define DAEMON_NICD_PERFORM_H

#include "base/buf.h"
#include "base/trace.h"
#include "daemon/nicd_supervisor.h"

/* How often the state is repeated: a lost datagram, or a program that just started, waits no
 * longer. */
#define NICD_REPORT_NS (100 * TS_NS_PER_MS)

/* `ctx` is nicd_perform.ctx; `proc` is an index of the supervisor's. */
struct nicd_perform_ops {
    struct ts_mono (*now)(void *ctx);
    /* Starts it and gives its pid; 0: it cannot. */
    uint32_t (*spawn)(void *ctx, uint8_t proc);
    void (*signal)(void *ctx, uint8_t proc, int signal);
    /* All have stopped. */
    void (*done)(void *ctx);
    /* TS_TRACE_PROC_STARTED, _ENDING or _EXITED: the report of it follows. */
    void (*changed)(void *ctx, uint8_t proc, enum ts_trace_kind kind, int32_t status);
    /* It ended, and those who wait for that know. */
    void (*told)(void *ctx, uint8_t proc);
    /* Adds what the processes said to the report. */
    void (*add_reasons)(void *ctx, struct report_procs *report);
    /* Sends the report to all who must know. */
    void (*report)(void *ctx, struct ts_bytes report);
};

struct nicd_perform {
    const struct nicd_perform_ops *ops;
    void *ctx;
    struct ts_nic_id self;
    uint32_t pid; /* of nicd */
    struct nicd_supervisor supervisor;
    struct ts_mono report_due;
    struct report_procs report; /* scratch */
};

/* The processes of `self` are due at once, by the first tick. */
void nicd_perform_open(struct nicd_perform *p, const struct cfg_cluster *cluster,
                       struct ts_nic_id self, uint32_t pid, const struct nicd_perform_ops *ops,
                       void *ctx);
void nicd_perform_tick(struct nicd_perform *p);
/* Unknown pids are left alone, here and below: as PID 1 nicd reaps orphans. */
void nicd_perform_ending(struct nicd_perform *p, uint32_t pid);
void nicd_perform_exited(struct nicd_perform *p, uint32_t pid, int32_t status);
void nicd_perform_stop(struct nicd_perform *p);
/* When the next tick is due. */
struct ts_mono nicd_perform_deadline(const struct nicd_perform *p);

#endif
