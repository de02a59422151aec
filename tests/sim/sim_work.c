/* libuv's worker threads, in virtual time: this file stands for net/work.c. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/work.h"
#include "tests/sim/sim.h"

#define WORKS_MAX 16

struct sim_worker {
    struct sim *sim;
    int node;
    enum sim_proc proc;
    uv_loop_t loop; /* never run: `data` leads here */
    struct net_work *work[WORKS_MAX];
    size_t count;
};

struct sim_worker *sim_worker_new(struct sim *s, int node, enum sim_proc proc)
{
    struct sim_worker *k = calloc(1, sizeof(*k));
    ts_assert(k != NULL);
    k->sim = s;
    k->node = node;
    k->proc = proc;
    k->loop.data = k;
    return k;
}

struct uv_loop_s *sim_worker_loop(struct sim_worker *k)
{
    return &k->loop;
}

void net_work_queue(uv_loop_t *loop, struct net_work *w, net_work_fn *run, net_work_fn *done,
                    void *arg)
{
    struct sim_worker *k = loop->data;
    struct sim *s = k->sim;
    *w = (struct net_work){.run = run, .done = done, .arg = arg};
    ts_assert(k->count < WORKS_MAX);
    k->work[k->count++] = w;
    uint64_t due = k->proc == SIM_CFGD ? sim_voter_due(s, k->node) : s->now + sim_us(s, 100, 2000);
    sim_push(s, &(struct sim_event){.kind = SIM_EV_WORK,
                                    .at = due,
                                    .node = (uint8_t)k->node,
                                    .proc = (uint8_t)k->proc,
                                    .life = s->node[k->node].proc[k->proc].life,
                                    .a = (uint64_t)(uintptr_t)w});
}

static void run(struct sim_worker *k, struct net_work *w)
{
    if (k->proc == SIM_REPLICA) {
        sim_disk_work(k->sim, k->node, w);
    } else {
        w->run(w->arg);
    }
    w->run = NULL;
}

void sim_worker_run(struct sim_worker *k)
{
    for (size_t i = 0; i < k->count; i++) {
        if (k->work[i]->run != NULL) {
            k->work[i]->run(k->work[i]->arg);
            k->work[i]->run = NULL;
        }
    }
}

static void finish(struct sim_worker *k, size_t i)
{
    struct net_work *w = k->work[i];
    k->work[i] = k->work[--k->count];
    w->done(w->arg);
}

void sim_worker_event(struct sim_worker *k, struct sim_event *ev)
{
    for (size_t i = 0; i < k->count; i++) {
        struct net_work *w = k->work[i];
        if ((uint64_t)(uintptr_t)w != ev->a) {
            continue;
        }
        if (ev->b == 0) {
            run(k, w);
            if (sim_chance_pm(k->sim, 300)) { /* the loop hears of it later */
                ev->at = k->sim->now + sim_us(k->sim, 10, 500);
                ev->b = 1;
                sim_push(k->sim, ev);
                return;
            }
        }
        finish(k, i);
        return;
    }
}

void sim_worker_end(struct sim_worker *k)
{
    while (k != NULL && k->count > 0) {
        struct net_work *w = k->work[0];
        if (w->run != NULL) {
            w->run(w->arg);
        }
        finish(k, 0);
    }
    free(k);
}
