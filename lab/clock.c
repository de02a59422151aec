#include "lab/clock.h"

#include <time.h>

#include "base/ids.h"

static uint64_t read_clock(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * TS_NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t lab_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void lab_pause_us(uint64_t us)
{
    uint64_t ns = us * TS_NS_PER_US;
    struct timespec t = {.tv_sec = (time_t)(ns / TS_NS_PER_S), .tv_nsec = (long)(ns % TS_NS_PER_S)};
    (void)nanosleep(&t, NULL);
}

void lab_pause_ms(uint64_t ms)
{
    lab_pause_us(ms * 1000);
}
