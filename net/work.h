/* Work that blocks, on libuv's worker threads: two functions and where they run. Apart from libuv
 * itself, so that the simulator can run it in virtual time. */
#ifndef NET_WORK_H
#define NET_WORK_H

#include <uv.h>

typedef void net_work_fn(void *arg);

/* One piece of work; the owner's, until `done` is called. */
struct net_work {
    uv_work_t uv;
    net_work_fn *run;
    net_work_fn *done;
    void *arg;
};

/* Calls run(arg) on a worker thread, then done(arg) on the loop, always. */
void net_work_queue(uv_loop_t *loop, struct net_work *w, net_work_fn *run, net_work_fn *done,
                    void *arg);

#endif
