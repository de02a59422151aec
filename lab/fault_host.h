/* Faults of the machine under a node's processes: its clock, its processor time, its memory; and of
 * what the node shows that it is. One file a fault; lab/fault.h tells how they are used. */
#ifndef LAB_FAULT_HOST_H
#define LAB_FAULT_HOST_H

#include "lab/fault.h"
#include "lab/host/record.h"

/* The node's wall clock jumps by this (and back when healed), and is fast by `drift_ppm` from then
 * on. Its processes have the library (lab_host_prepare). */
void lab_fault_clock(struct lab_fault *f, const struct nodes_run *run, const char *node,
                     int64_t jump_ms, int64_t drift_ppm);
/* The processes are stopped by turns, so that of each `period_ms` they run `share_percent`.
 * `program` NULL: the whole node; `group` NULL for programs other than replica. A thread does it
 * until the fault is healed, which is due in any case. */
void lab_fault_starve(struct lab_fault *f, const struct nodes_run *run, const char *node,
                      const char *program, const char *group, unsigned share_percent,
                      unsigned period_ms);
/* The processes get no memory from now on beyond what they have. As above; they have the library.
 */
void lab_fault_memory(struct lab_fault *f, const struct nodes_run *run, const char *node,
                      const char *program, const char *group);

enum lab_wrong_paper {
    LAB_PAPER_EXPIRED, /* the node's certificate has expired */
    LAB_PAPER_FOREIGN, /* it, and whom it trusts, is of another authority */
    LAB_PAPER_KEY,     /* the key of the node's heartbeats is another one */
};
/* What the node shows that it is, and how it is taken back: as docs/OPERATIONS.md says, issued
 * again and SIGHUP to nicd; with another key the node is started again. */
void lab_fault_paper(struct lab_fault *f, const struct nodes_run *run,
                     const struct cfg_cluster *cluster, const char *node,
                     enum lab_wrong_paper wrong);

/* Programs that this process starts from now on have the libraries that are named: "labclock.so",
 * "labmemory.so". After lab_disk_prepare. TS_ERR_NOT_FOUND: it is not there. */
enum ts_err lab_host_prepare(const struct nodes_run *run, const char *library,
                             struct ts_why *why) TS_MUST_USE;

/* ---- shared by the faults ---- */

/* NULL: `why` is written. lab_host_close is due. */
struct host_record *lab_host_open(const struct lab_fault *f, struct ts_why *why);
void lab_host_close(struct host_record *r);
/* Waits until the statistic at `field` of the record is another one than the fault's `effect`.
 * TS_ERR_NOT_FOUND: no process of the node `did` so within `patience_ns`. */
enum ts_err lab_host_wait(const struct lab_fault *f, size_t field, uint64_t patience_ns,
                          const char *did, struct ts_why *why) TS_MUST_USE;

#endif
