/* Events that wait for their virtual time; see sim_queue.c. */
#ifndef TESTS_SIM_SIM_QUEUE_H
#define TESTS_SIM_SIM_QUEUE_H

#include "tests/sim/sim_event.h"

/* A bucket is 131 microseconds long, the wheel half a second. */
#define SIM_BUCKET_BITS 17
#define SIM_BUCKETS 4096U

struct sim_item {
    struct sim_item *next; /* beside the event's time: they are looked at together */
    struct sim_event ev;
    uint64_t order;
    bool waits;
};

/* All zero: empty. */
struct sim_queue {
    struct sim_item *bucket[SIM_BUCKETS];
    uint64_t filled[SIM_BUCKETS / 64]; /* bit = bucket */
    uint64_t turn;                     /* of the newest event, in buckets since time 0 */
    size_t near;                       /* in the wheel */
    struct sim_item **far;             /* a heap */
    size_t far_count;
    size_t count; /* of both */
    uint64_t order;
    struct sim_item **pool; /* all there are; where they are does not change */
    size_t cap;
    struct sim_item *free;
};

/* Copies *ev. Its time is not before the newest one taken out. */
void sim_queue_push(struct sim_queue *q, const struct sim_event *ev);
/* Takes the next event out, to be given back; NULL: there is none. */
struct sim_item *sim_queue_pop(struct sim_queue *q);
void sim_queue_give_back(struct sim_queue *q, struct sim_item *item);
/* Those that wait, in no order: begin with *i = 0; NULL at the end. */
const struct sim_event *sim_queue_next(const struct sim_queue *q, size_t *i);
/* Forgets all events, and what was not given back. */
void sim_queue_reset(struct sim_queue *q);
void sim_queue_free(struct sim_queue *q);

#endif
