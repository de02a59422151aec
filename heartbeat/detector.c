#include "heartbeat/detector.h"

#include "base/assert.h"

void hb_detector_init(struct hb_detector *d, uint64_t timeout_ns, uint64_t tick_ns,
                      struct ts_mono now)
{
    ts_assert(tick_ns > 0);
    ts_assert(tick_ns < timeout_ns);
    *d = (struct hb_detector){
        .timeout_ns = timeout_ns,
        .tick_ns = tick_ns,
        .heard = now,
        .ticked = now,
        .fresh_left = HB_FRESH_MAX,
    };
}

bool hb_detector_heard(struct hb_detector *d, struct ts_mono now)
{
    bool changed = d->silent;
    if (ts_mono_lt(d->heard, now)) {
        d->heard = now;
    }
    d->excused_ns = 0;
    d->fresh_left = HB_FRESH_MAX;
    d->silent = false;
    return changed;
}

/* By how much a tick at `now` is later than planned; 0 within the slack. */
static uint64_t own_stall_ns(const struct hb_detector *d, struct ts_mono now)
{
    uint64_t gap = ts_mono_since(d->ticked, now);
    return gap > HB_TICK_SLACK * d->tick_ns ? gap - d->tick_ns : 0;
}

uint64_t hb_detector_tick(struct hb_detector *d, struct ts_mono now)
{
    uint64_t stall = own_stall_ns(d, now);
    uint64_t unheard = ts_mono_since(d->heard, now);
    if (ts_mono_lt(now, d->ticked)) {
        return 0; /* a time from before says nothing new */
    }
    d->ticked = now;
    if (!d->silent && stall >= d->timeout_ns / HB_FRESH_SHARE && d->fresh_left > 0) {
        d->fresh_left--;
        d->excused_ns = unheard;
    } else {
        /* What was heard during the stall is newer than the stall's beginning. */
        d->excused_ns += stall;
        if (d->excused_ns > unheard) {
            d->excused_ns = unheard;
        }
    }
    ts_assert(d->excused_ns <= unheard);
    if (unheard - d->excused_ns >= d->timeout_ns) {
        d->silent = true;
    }
    return stall;
}

enum hb_verdict hb_detector_verdict(const struct hb_detector *d)
{
    return d->silent ? HB_SILENT : HB_ALIVE;
}

uint64_t hb_detector_silence_ns(const struct hb_detector *d, struct ts_mono now)
{
    uint64_t unheard = ts_mono_since(d->heard, now);
    return unheard > d->excused_ns ? unheard - d->excused_ns : 0;
}

struct ts_mono hb_detector_deadline(const struct hb_detector *d)
{
    struct ts_mono tick = ts_mono_add(d->ticked, d->tick_ns);
    struct ts_mono end = ts_mono_add(d->heard, d->excused_ns + d->timeout_ns);
    return !d->silent && ts_mono_lt(end, tick) ? end : tick;
}
