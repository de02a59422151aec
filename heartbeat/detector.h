/* Failure detector: has a peer been silent for too long?
 *
 * Intuition. A peer that we have not heard for `timeout` is probably gone. But the silence may
 * be ours: a process that was stopped, swapped out or starved for a second has heard nobody for
 * a second, and must not blame its peers. So the detector ticks at a planned interval and looks
 * at its own punctuality: time by which a tick came late is not counted as the peer's silence,
 * and after a long stall the peer gets a fresh timeout, for what it sent meanwhile may still
 * wait in a socket. A verdict changes only in a tick (to silent) and on hearing (to alive),
 * never by the mere passing of time, so that nobody can ask for one between waking up and ticking.
 *
 * It gives liveness only. Safety never depends on it (a detector that answers at random is one
 * of the simulator's faults).
 *
 * Use: read all input first (hb_detector_heard for each sign of life), then tick, at
 * hb_detector_deadline or earlier, with the time up to which the input was read: what came in after
 * that may still wait in a socket. Neighbours: heartbeat.h runs one a path and one a node; the
 * replica runs one a link.
 *
 * Source: the idea of stall-awareness is Lifeguard's (Dadgar, Phillips, Currey, 2017). OURS:
 * measured by the lateness of one's own ticks instead of by missed acknowledgements. */
#ifndef HEARTBEAT_DETECTOR_H
#define HEARTBEAT_DETECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"

/* A tick that comes up to this many planned intervals after the one before is punctual: timers
 * are late by some milliseconds on a busy machine without real-time priority (half an interval
 * at the default of 10 ms), and that is no stall. */
#define HB_TICK_SLACK 2

/* A stall of at least timeout / HB_FRESH_SHARE gives the peer a fresh timeout. Shorter ones are
 * only subtracted: the peer's messages of that time are read before the next verdict anyway. */
#define HB_FRESH_SHARE 2

/* So many fresh timeouts are given in a row without hearing the peer. Then stalls are only
 * subtracted, so that a process that stalls again and again still finds a dead peer: each tick
 * counts at least one interval, which bounds the wait to timeout / interval ticks more. */
#define HB_FRESH_MAX 4

struct hb_detector {
    /* config */
    uint64_t timeout_ns; /* silence that makes a peer silent */
    uint64_t tick_ns;    /* planned time between ticks, well below the timeout */
    /* volatile */
    struct ts_mono heard;  /* newest sign of life; before the first one, the start */
    struct ts_mono ticked; /* newest tick */
    uint64_t excused_ns;   /* own stalls since `heard`, not counted as silence */
    uint8_t fresh_left;    /* fresh timeouts that may still be given */
    bool silent;           /* the verdict */
};

enum hb_verdict {
    HB_ALIVE = 0,
    HB_SILENT = 1,
};

/* A detector that begins at `now` with the verdict HB_ALIVE and a whole timeout ahead.
 * 0 < tick_ns < timeout_ns. */
void hb_detector_init(struct hb_detector *d, uint64_t timeout_ns, uint64_t tick_ns,
                      struct ts_mono now);
/* A sign of life was read at `now`. Returns true when the verdict changed to HB_ALIVE. */
bool hb_detector_heard(struct hb_detector *d, struct ts_mono now);
/* Measures one's own stall since the tick before, and judges. `now` is the time up to which all
 * input was read. Returns the stall in nanoseconds, 0 when the tick was punctual. */
uint64_t hb_detector_tick(struct hb_detector *d, struct ts_mono now);

/* The verdict as of the newest tick or sign of life. */
enum hb_verdict hb_detector_verdict(const struct hb_detector *d);
/* How long the peer has been silent at `now`, own stalls left out. Nanoseconds, for people
 * and for reports; compare verdicts, not this. */
uint64_t hb_detector_silence_ns(const struct hb_detector *d, struct ts_mono now);
/* When to tick next at the latest: the planned interval, or the end of the timeout if earlier. */
struct ts_mono hb_detector_deadline(const struct hb_detector *d);

#endif
