/* A client that stays connected, with many requests ahead of the answers. It counts on one key
 * (INCR), so that each answer shows whether its request was carried out once, and in order. It runs
 * in a thread of its own; the functions are called from one thread, the controller's. */
#ifndef LAB_COUNTER_H
#define LAB_COUNTER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/io/files.h"

#define LAB_COUNTER_WRONG_MAX 192

struct lab_counter_result {
    uint64_t sent;
    uint64_t answered;
    uint64_t gap_ns;                   /* see lab_counter_gap */
    bool closed;                       /* by the other end, or silent for half a minute */
    char wrong[LAB_COUNTER_WRONG_MAX]; /* the first answer that was not the next number; "" */
};

struct lab_counter;

/* Connects and begins; `key` (fresh, at most 31 bytes) is copied. `pipeline`: requests under way.
 * TS_ERR_SYSTEM: no connection, or no thread. */
enum ts_err lab_counter_start(struct lab_counter **out, const struct sockaddr_in *to,
                              const char *key, unsigned pipeline, struct ts_why *why) TS_MUST_USE;
/* Waits until `more` answers came after this call; false when closed, or after `timeout_ms`. */
bool lab_counter_wait(struct lab_counter *c, uint64_t more, unsigned timeout_ms);
/* The longest time without an answer, the present pause included, since the last reset. */
uint64_t lab_counter_gap(struct lab_counter *c);
void lab_counter_reset_gap(struct lab_counter *c);
/* Waits until the other end closed the connection; false after `timeout_ms`. */
bool lab_counter_wait_closed(struct lab_counter *c, unsigned timeout_ms);
/* Takes the answers that are due, ends, and frees. */
void lab_counter_stop(struct lab_counter *c, struct lab_counter_result *out);

#endif
