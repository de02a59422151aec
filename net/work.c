#include "net/work.h"

#include "base/assert.h"

static void on_run(uv_work_t *uv)
{
    struct net_work *w = uv->data;
    w->run(w->arg);
}

static void on_done(uv_work_t *uv, int status)
{
    struct net_work *w = uv->data;
    ts_assert(status == 0); /* nobody cancels */
    w->done(w->arg);
}

void net_work_queue(uv_loop_t *loop, struct net_work *w, net_work_fn *run, net_work_fn *done,
                    void *arg)
{
    *w = (struct net_work){.run = run, .done = done, .arg = arg};
    w->uv.data = w;
    int rc = uv_queue_work(loop, &w->uv, on_run, on_done);
    ts_assert(rc == 0); /* it fails for want of a function only */
}
