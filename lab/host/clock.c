/* A wall clock that is wrong: a library for LD_PRELOAD, in front of the C library's calls, which
 * are what reaches the kernel's clock page. CLOCK_REALTIME, gettimeofday, time and timespec_get
 * show what the machine's record says (lab/host/record.h); the monotonic clocks are as ever.
 *
 * Limits: times that the kernel itself writes (of files) are true, and so are the ends of waits
 * that are told by the wall clock: no program of Twinstep has such a wait. */
#include <dlfcn.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "lab/host/record.h"

#define NS_PER_S 1000000000

typedef int clock_fn(clockid_t clock, struct timespec *t);

/* An interposed function has no argument of ours: the one place for globals. Set before any thread
 * is there. */
static struct {
    clock_fn *real;
    struct host_record *record; /* NULL: all clocks are true */
} layer;

/* The C library begins with the libraries that others need: calls before this one see true time. */
__attribute__((constructor)) static void set_up(void)
{
    void *next = dlsym(RTLD_NEXT, "clock_gettime");
    memcpy(&layer.real, &next, sizeof(next));
    layer.record = lab_record_own();
}

static int read_clock(clockid_t clock, struct timespec *t)
{
    if (layer.real == NULL) {
        void *next = dlsym(RTLD_NEXT, "clock_gettime");
        memcpy(&layer.real, &next, sizeof(next));
    }
    return layer.real(clock, t);
}

static int64_t to_ns(const struct timespec *t)
{
    return (int64_t)t->tv_sec * NS_PER_S + t->tv_nsec;
}

/* A moment before 1970 is none that programs are made for. */
static struct timespec from_ns(int64_t ns)
{
    ns = ns < 0 ? 0 : ns;
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

static void distort(struct timespec *t)
{
    struct host_record *r = layer.record;
    int64_t true_ns = to_ns(t);
    int64_t given = r == NULL ? true_ns : lab_record_time(r, true_ns);
    if (given != true_ns) {
        *t = from_ns(given);
        atomic_store(&r->last_true_ns, true_ns);
        atomic_store(&r->last_given_ns, given);
        (void)atomic_fetch_add(&r->reads, 1);
    }
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int rc = read_clock(clock, t);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        distort(t);
    }
    return rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec t;
    int rc = clock_gettime(CLOCK_REALTIME, &t);
    (void)zone; /* obsolete: always zero */
    if (rc == 0) {
        *tv = (struct timeval){.tv_sec = t.tv_sec, .tv_usec = t.tv_nsec / 1000};
    }
    return rc;
}

time_t time(time_t *out)
{
    struct timespec t;
    time_t now = clock_gettime(CLOCK_REALTIME, &t) == 0 ? t.tv_sec : (time_t)-1;
    if (out != NULL) {
        *out = now;
    }
    return now;
}

int timespec_get(struct timespec *t, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, t) == 0 ? base : 0;
}
