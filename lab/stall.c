#include "lab/stall.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/ids.h"
#include "lab/clock.h"

#define PAUSE_MS 5
#define THREADS_MAX 256

struct watcher {
    pthread_t thread;
    struct lab_stall *of;
    cpu_set_t where;
    uint64_t worst_ns;
};

struct lab_stall {
    atomic_bool ends;
    size_t count;
    struct watcher w[THREADS_MAX];
};

static void *watch(void *arg)
{
    struct watcher *w = arg;
    while (!atomic_load(&w->of->ends)) {
        uint64_t due = lab_now_ns() + PAUSE_MS * TS_NS_PER_MS;
        lab_pause_ms(PAUSE_MS);
        uint64_t now = lab_now_ns();
        uint64_t late = now > due ? now - due : 0;
        w->worst_ns = late > w->worst_ns ? late : w->worst_ns;
    }
    return NULL;
}

struct lab_stall *lab_stall_start(void)
{
    cpu_set_t all;
    struct lab_stall *s = calloc(1, sizeof(*s));
    if (s == NULL || sched_getaffinity(0, sizeof(all), &all) != 0) {
        free(s);
        return NULL;
    }
    for (size_t cpu = 0; cpu < CPU_SETSIZE && s->count < THREADS_MAX; cpu++) {
        struct watcher *w = &s->w[s->count];
        pthread_attr_t attr;
        if (!CPU_ISSET(cpu, &all)) {
            continue;
        }
        *w = (struct watcher){.of = s};
        CPU_ZERO(&w->where);
        CPU_SET(cpu, &w->where);
        int err = pthread_attr_init(&attr);
        ts_assert(err == 0);
        err = pthread_attr_setaffinity_np(&attr, sizeof(w->where), &w->where);
        s->count += err == 0 && pthread_create(&w->thread, &attr, watch, w) == 0 ? 1 : 0;
        (void)pthread_attr_destroy(&attr);
    }
    return s;
}

uint64_t lab_stall_stop(struct lab_stall *s)
{
    uint64_t worst = 0;
    if (s == NULL) {
        return 0;
    }
    atomic_store(&s->ends, true);
    for (size_t i = 0; i < s->count; i++) {
        int err = pthread_join(s->w[i].thread, NULL);
        ts_assert(err == 0);
        worst = s->w[i].worst_ns > worst ? s->w[i].worst_ns : worst;
    }
    free(s);
    return worst;
}
