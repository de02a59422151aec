/* Looks after a node's interfaces: workloads' (alias twinstep-vif=…) and those with any other alias
 * that is not ours, with which an edge may go outside. Linux only; on the loop's thread. */
#ifndef SERVICES_AGENT_IO_WATCH_H
#define SERVICES_AGENT_IO_WATCH_H

#include <uv.h>

#include "base/io/files.h"
#include "services/netctl/south_msg.h"

/* What changes within this time is told once. */
#define AGENT_WATCH_NS (50 * TS_NS_PER_MS)

struct agent_watch;

/* `told` gets what there is: soon, and whenever one comes, goes or is made anew. The lists are
 * borrowed for the call; `vtep` is the caller's. TS_ERR_SYSTEM. */
enum ts_err agent_watch_open(struct agent_watch **out, uv_loop_t *loop,
                             void (*told)(void *arg, const struct south_inventory *inventory),
                             void *arg, struct ts_why *why) TS_MUST_USE;
/* The memory goes when the loop has closed its handles. NULL is allowed. */
void agent_watch_close(struct agent_watch *w);

#endif
