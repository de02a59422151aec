/* What the two files of the preloaded library share. */
#ifndef TESTS_INTEGRATION_LOSTWRITES_H
#define TESTS_INTEGRATION_LOSTWRITES_H

typedef long lostwrites_real_fn(long number, ...);

/* The C library's own syscall(). */
lostwrites_real_fn *lostwrites_real(void);

#endif
