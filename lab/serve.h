/* labd's life when the lab stands: it takes what has ended, answers on DIR/lab.sock (lab/control.h)
 * and carries what is on the wires. */
#ifndef LAB_SERVE_H
#define LAB_SERVE_H

#include "lab/pods.h"

/* Opens the socket, calls `ready`, and goes on until SIGTERM or SIGINT, which are blocked before.
 * `ready` may end it with an error. */
enum ts_err lab_serve(struct lab_pods *p, const char *dir, enum ts_err (*ready)(struct ts_why *why),
                      struct ts_why *why) TS_MUST_USE;

#endif
