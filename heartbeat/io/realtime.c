/* Real-time priority and locked memory, where the system allows them. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "heartbeat/io/heartbeatd.h"

/* Above ordinary real-time work of 1..9, far below the kernel's own threads. */
#define PRIORITY 10

/* What the deepest call chain may need: touched once, so that no page fault comes later. */
#define STACK_BYTES (128 * 1024)

static void touch_stack(void)
{
    volatile char stack[STACK_BYTES];
    for (size_t i = 0; i < sizeof(stack); i += 1024) {
        stack[i] = 0;
    }
}

void hb_daemon_go_realtime(const struct net_log *log)
{
    const struct sched_param param = {.sched_priority = PRIORITY};
    int scheduling = 0;
    int locking = 0;
    touch_stack();
    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) != 0) {
        scheduling = errno;
    }
    /* Only what is there: nothing is allocated later, and with MCL_FUTURE a small limit on
     * locked memory would turn a growing stack into a crash. */
    if (mlockall(MCL_CURRENT) != 0) {
        locking = errno;
    }
    if (scheduling == 0 && locking == 0) {
        net_log(log, NET_LOG_INFO, "runs with real-time priority and locked memory");
        return;
    }
    net_log(log, NET_LOG_WARNING,
            "runs without %s%s%s (%s): on a busy machine heartbeats may be some milliseconds late; "
            "to allow it, give nicd CAP_SYS_NICE and a larger memlock limit",
            scheduling != 0 ? "real-time priority" : "",
            scheduling != 0 && locking != 0 ? " and " : "", locking != 0 ? "locked memory" : "",
            strerror(scheduling != 0 ? scheduling : locking));
}
