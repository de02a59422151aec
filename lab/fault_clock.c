/* A wall clock that jumps or drifts: an order to the library in front of the processes
 * (lab/host/clock.c), which tells what it gave. */
#include <stdio.h>
#include <time.h>

#include "lab/clock.h"
#include "lab/fault.h"
#include "lab/fault_host.h"

/* A clock that nobody reads has no effect to show. */
#define HIT_NS_MAX (10 * TS_NS_PER_S)

static int64_t true_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * (int64_t)TS_NS_PER_S + t.tv_nsec;
}

/* Jumps of one node add up; a drift begins anew where the clock is. */
static enum ts_err inject(struct lab_fault *f, struct ts_why *why)
{
    struct host_record *r = lab_host_open(f, why);
    if (r == NULL) {
        return TS_ERR_SYSTEM;
    }
    int64_t now = true_ns();
    int64_t is = lab_record_time(r, now) - now;
    f->effect = atomic_load(&r->reads);
    f->injected_ns = lab_now_ns();
    atomic_store(&r->drift_ppm, 0);
    atomic_store(&r->since_ns, now);
    atomic_store(&r->offset_ns, is + f->clock.jump_ms * (int64_t)TS_NS_PER_MS);
    atomic_store(&r->drift_ppm, f->clock.drift_ppm);
    lab_host_close(r);
    return TS_OK;
}

static enum ts_err observe(struct lab_fault *f, struct ts_why *why)
{
    return lab_host_wait(f, offsetof(struct host_record, reads), HIT_NS_MAX,
                         "was given a wrong time", why);
}

/* The clock is set right: that, too, is a jump. */
static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    struct host_record *r = lab_host_open(f, why);
    if (r == NULL) {
        return TS_ERR_SYSTEM;
    }
    atomic_store(&r->drift_ppm, 0);
    atomic_store(&r->offset_ns, 0);
    lab_host_close(r);
    return TS_OK;
}

static const struct lab_fault_type type = {
    .name = "clock", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_clock(struct lab_fault *f, const struct nodes_run *run, const char *node,
                     int64_t jump_ms, int64_t drift_ppm)
{
    *f = (struct lab_fault){
        .type = &type, .run = run, .clock = {.jump_ms = jump_ms, .drift_ppm = drift_ppm}};
    (void)snprintf(f->node, sizeof(f->node), "%s", node);
}
