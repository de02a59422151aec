/* Too little processor time: the processes are stopped for a part of each period, as if others had
 * the processor then. It needs no right, and no other work on the machine. A thread of this process
 * takes the turns, so that they end with it at the latest.
 *
 * The proof is /proc's: the processes were seen stopped; and, unless the turns are so long that
 * others act on each, their share of time is counted over some of them. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "lab/clock.h"
#include "lab/fault_host.h"
#include "lab/mem.h"

/* New processes of the node are met within so many turns. */
#define LOOK_AGAIN_TURNS 10
#define TURNS_SHOWN 3
#define SHORT_PERIOD_MS 200
#define TURNS_NS_MAX (10 * TS_NS_PER_S)
#define LOOK_US 20000
#define SEEN_NS_MAX (100 * TS_NS_PER_MS)

struct lab_turns {
    struct lab_fault target; /* a copy, with the processes that are met */
    pthread_t thread;
    unsigned run_us;
    unsigned stop_us;
    atomic_bool end;
    atomic_uint_fast64_t seen;       /* turns in which all processes were seen stopped */
    atomic_uint_fast64_t turns;      /* of these, those that are over */
    atomic_uint_fast64_t stopped_ns; /* in these */
    atomic_uint_fast64_t running_ns; /* between these */
};

static void signal_all(const struct lab_fault *f, int signal)
{
    for (size_t i = 0; i < f->proc_count; i++) {
        (void)nodes_signal(f->run, f->node, &f->procs[i], signal);
    }
}

/* Those that have ended are none that could be seen. */
static bool seen_stopped(const struct lab_fault *f)
{
    uint64_t end = lab_now_ns() + SEEN_NS_MAX;
    bool any = false;
    for (size_t i = 0; i < f->proc_count; i++) {
        bool gone = false;
        while (!lab_is_stopped(&f->procs[i]) && !gone) {
            gone = lab_now_ns() > end || lab_wait_exit(&f->procs[i], 0);
        }
        any = any || !gone;
    }
    return any;
}

/* Who heals it does not wait for the end of a long turn. */
static void pause_unless_over(struct lab_turns *t, unsigned us)
{
    uint64_t end = lab_now_ns() + us * TS_NS_PER_US;
    uint64_t now = lab_now_ns();
    while (now < end && !atomic_load(&t->end)) {
        uint64_t left = (end - now) / TS_NS_PER_US;
        lab_pause_us(left < LOOK_US ? left : LOOK_US);
        now = lab_now_ns();
    }
}

static void *take_turns(void *arg)
{
    struct lab_turns *t = arg;
    for (unsigned i = 0; !atomic_load(&t->end); i++) {
        if (i % LOOK_AGAIN_TURNS == 0) {
            (void)lab_fault_find_procs(&t->target);
        }
        uint64_t began = lab_now_ns();
        signal_all(&t->target, SIGSTOP);
        bool seen = seen_stopped(&t->target);
        atomic_fetch_add(&t->seen, seen ? 1 : 0);
        pause_unless_over(t, t->stop_us);
        signal_all(&t->target, SIGCONT);
        uint64_t went_on = lab_now_ns();
        pause_unless_over(t, t->run_us);
        if (seen) {
            atomic_fetch_add(&t->turns, 1);
            atomic_fetch_add(&t->stopped_ns, went_on - began);
            atomic_fetch_add(&t->running_ns, lab_now_ns() - went_on);
        }
    }
    return NULL;
}

static enum ts_err inject(struct lab_fault *f, struct ts_why *why)
{
    if (!lab_fault_find_procs(f)) {
        return ts_why(why, TS_ERR_NOT_FOUND, "nothing to starve runs on %s", f->node);
    }
    struct lab_turns *t = lab_calloc(1, sizeof(*t));
    unsigned run_us = f->starve.period_ms * 10 * f->starve.share_percent; /* ms × 1000 / 100 */
    t->target = *f;
    t->run_us = run_us;
    t->stop_us = f->starve.period_ms * 1000 - run_us;
    f->injected_ns = lab_now_ns();
    if (pthread_create(&t->thread, NULL, take_turns, t) != 0) {
        free(t);
        return ts_why(why, TS_ERR_SYSTEM, "no thread can be made to starve %s", f->node);
    }
    f->starve.turns = t;
    return TS_OK;
}

/* No more than the middle between the share and all: a machine that is busy itself stops them for
 * longer, and then they run for longer, too. */
static bool had_little(const struct lab_fault *f)
{
    struct lab_turns *t = f->starve.turns;
    uint64_t running = atomic_load(&t->running_ns);
    uint64_t all = running + atomic_load(&t->stopped_ns);
    return atomic_load(&t->turns) >= TURNS_SHOWN &&
           running * 100 <= all * ((100 + f->starve.share_percent) / 2);
}

static enum ts_err observe(struct lab_fault *f, struct ts_why *why)
{
    struct lab_turns *t = f->starve.turns;
    uint64_t end = lab_now_ns() + TURNS_NS_MAX;
    bool is_short = f->starve.period_ms <= SHORT_PERIOD_MS;
    while (atomic_load(&t->seen) == 0 || (is_short && !had_little(f))) {
        if (lab_now_ns() > end) {
            return ts_why(why, TS_ERR_NOT_FOUND,
                          "of %s, which was to have %u %% of the time, no process was seen stopped "
                          "for long enough",
                          f->node, f->starve.share_percent);
        }
        lab_pause_ms(1);
    }
    return TS_OK;
}

static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    struct lab_turns *t = f->starve.turns;
    (void)why;
    if (t != NULL) {
        atomic_store(&t->end, true);
        (void)pthread_join(t->thread, NULL);
        signal_all(&t->target, SIGCONT);
        free(t);
        f->starve.turns = NULL;
    }
    return TS_OK;
}

static const struct lab_fault_type type = {
    .name = "starve", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_starve(struct lab_fault *f, const struct nodes_run *run, const char *node,
                      const char *program, const char *group, unsigned share_percent,
                      unsigned period_ms)
{
    *f = (struct lab_fault){.type = &type,
                            .run = run,
                            .starve = {.share_percent = share_percent, .period_ms = period_ms}};
    (void)snprintf(f->node, sizeof(f->node), "%s", node);
    (void)snprintf(f->program, sizeof(f->program), "%s", program == NULL ? "" : program);
    (void)snprintf(f->group, sizeof(f->group), "%s", group == NULL ? "" : group);
}
