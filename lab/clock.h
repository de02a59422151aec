/* Time for the lab. Pausing is for faults that last, and between looks at something that gives
 * no event; never to let something happen "by then". */
#ifndef LAB_CLOCK_H
#define LAB_CLOCK_H

#include <stdint.h>

/* Monotonic nanoseconds, as the load's. */
uint64_t lab_now_ns(void);
/* Shorter when a signal comes. */
void lab_pause_us(uint64_t us);
void lab_pause_ms(uint64_t ms);

#endif
