/* Machines that are containers (lab/engine.h): how labd gets them, and what their process 1 does.
 *
 * Process 1 connects to DIR/lab.pods and says its name. labd learns its pid from the kernel, and
 * gives it the lock of the lab, which it keeps: so whoever waits for that lock waits for all
 * machines, as with namespaces. When the connection ends, labd has, and so the machine does. */
#ifndef LAB_PODS_ENGINE_H
#define LAB_PODS_ENGINE_H

#include "lab/pods.h"

#define LAB_PODS_SOCKET "lab.pods"

/* Has the engine make all machines, and waits until each has told that it is there: fills p->pid
 * and p->link. `hold` is the descriptor of lab_hold(). TS_ERR_REFUSED, TS_ERR_TIMEOUT,
 * TS_ERR_SYSTEM; what was made is left to lab_pods_end. */
enum ts_err lab_pods_engine_begin(struct lab_pods *p, const char *dir, int hold,
                                  struct ts_why *why) TS_MUST_USE;
/* Whether the machine's process 1 has ended. */
bool lab_pods_engine_has_ended(const struct lab_pods *p, size_t machine);

/* Process 1 of a machine: returns when labd has ended, or never. Ends all other processes before.
 * TS_ERR_NOT_FOUND, TS_ERR_SYSTEM: it cannot reach labd. */
enum ts_err lab_pods_engine_be(const char *dir, const char *name, struct ts_why *why) TS_MUST_USE;

#endif
