/* How a supervisor hears of a child's end as early as the kernel can tell it.
 *
 * waitpid and pidfds speak when the whole process is gone: after its memory was given back, a
 * thread's fdatasync returned and its sockets were closed. That takes milliseconds, and longer the
 * more memory the process has. But from the end of its main thread on the process answers nobody,
 * and the kernel tells who waits for a robust mutex of that thread at once: the child's main thread
 * holds one in memory that it shares with its supervisor, and a thread of the supervisor waits for
 * it. (A process that dumps core ends its threads only after the dump.)
 *
 * The supervisor makes a lifeline, gives its fd to the child as TS_LIFELINE_ENV, and hears by
 * `ts_lifeline_event_fd`. What the child writes into the shared memory can at worst keep the
 * waiting thread from ever ending: nobody else waits for that thread. */
#ifndef BASE_IO_LIFELINE_H
#define BASE_IO_LIFELINE_H

#include "base/err.h"

/* The variable of the child's environment that bears the number of its fd. */
#define TS_LIFELINE_ENV "TWINSTEP_LIFELINE"

struct ts_lifeline;

/* ---- the supervisor ---- */

/* Makes one and the thread that waits for it. Gives `*out` and the fd for one child, close-on-exec,
 * which the caller closes after the fork. TS_ERR_SYSTEM: no memory to share, no thread, no fd. */
enum ts_err ts_lifeline_open(struct ts_lifeline **out, int *child_fd) TS_MUST_USE;
/* Becomes readable once: when the main thread of a child that held the lifeline has ended. Belongs
 * to the lifeline. */
int ts_lifeline_event_fd(const struct ts_lifeline *l);
/* To be called when the child is known to be gone, or was never started. Never waits. NULL is
 * allowed. */
void ts_lifeline_close(struct ts_lifeline *l);

/* ---- the child ---- */

/* The calling thread, which must be the one whose end is the process's, holds the lifeline that
 * the environment names until it ends; the variable is removed. Without the variable, or with one
 * that names no lifeline, nothing happens: a process that was started by hand. */
void ts_lifeline_hold(void);

#endif
