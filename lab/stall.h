/* Whether the machine let what runs on it run: on each processor a thread that wakes up again and
 * again, and looks how late it is. What it finds is said by nothing that is under test: a NIC that
 * was held up longer than a failure-timeout is silent for the others, and rightly replaced. */
#ifndef LAB_STALL_H
#define LAB_STALL_H

#include <stdint.h>

struct lab_stall;

/* NULL: it could not be started, and nothing is known of the machine. */
struct lab_stall *lab_stall_start(void);
/* The latest that a thread woke up, in nanoseconds. NULL is allowed: 0. */
uint64_t lab_stall_stop(struct lab_stall *s);

#endif
