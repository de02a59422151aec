/* The queue of virtual time: events in order of their time, and those of one time as they were
 * pushed.
 *
 * Most events come within a few milliseconds: a wheel of short buckets holds those of the next half
 * second, each bucket a sorted list of very few. What is later waits in a heap, and moves over
 * when the wheel has turned that far. Both are in one order, so it does not show where an event
 * was. Source: Varghese, Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987. */
#include "tests/sim/sim_queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define POOL_STEP 1024

static void grow(struct sim_queue *q)
{
    size_t cap = q->cap + POOL_STEP;
    q->pool = realloc(q->pool, cap * sizeof(struct sim_item *));
    q->far = realloc(q->far, cap * sizeof(struct sim_item *));
    struct sim_item *more = calloc(POOL_STEP, sizeof(*more));
    ts_assert(q->pool != NULL && q->far != NULL && more != NULL);
    for (size_t i = POOL_STEP; i > 0; i--) {
        q->pool[q->cap + i - 1] = &more[i - 1];
        more[i - 1].next = q->free;
        q->free = &more[i - 1];
    }
    q->cap = cap;
}

/* ---- the wheel ---------------------------------------------------------------------------- */

static uint64_t turn_of(uint64_t at)
{
    return at >> SIM_BUCKET_BITS;
}

/* Behind all of its time: those were pushed before. */
static void put_near(struct sim_queue *q, struct sim_item *item)
{
    uint64_t b = turn_of(item->ev.at) % SIM_BUCKETS;
    struct sim_item **at = &q->bucket[b];
    while (*at != NULL && (*at)->ev.at <= item->ev.at) {
        at = &(*at)->next;
    }
    item->next = *at;
    *at = item;
    q->filled[b / 64] |= 1ULL << (b % 64);
    q->near++;
}

/* The first bucket that is filled, from the present turn on. There is one. */
static uint64_t first_filled(const struct sim_queue *q)
{
    uint64_t from = q->turn % SIM_BUCKETS;
    uint64_t word = from / 64;
    uint64_t bits = q->filled[word] & ~0ULL << (from % 64);
    while (bits == 0) {
        word = (word + 1) % (SIM_BUCKETS / 64);
        bits = q->filled[word];
    }
    return word * 64 + (uint64_t)__builtin_ctzll(bits);
}

/* ---- the heap ----------------------------------------------------------------------------- */

static bool before(const struct sim_item *a, const struct sim_item *b)
{
    return a->ev.at != b->ev.at ? a->ev.at < b->ev.at : a->order < b->order;
}

static void put_far(struct sim_queue *q, struct sim_item *item)
{
    size_t i = q->far_count++;
    while (i > 0 && before(item, q->far[(i - 1) / 2])) {
        q->far[i] = q->far[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    q->far[i] = item;
}

static struct sim_item *take_far(struct sim_queue *q)
{
    struct sim_item *top = q->far[0];
    struct sim_item *last = q->far[--q->far_count];
    size_t i = 0;
    for (size_t child = 1; child < q->far_count; child = 2 * i + 1) {
        child += child + 1 < q->far_count && before(q->far[child + 1], q->far[child]);
        if (!before(q->far[child], last)) {
            break;
        }
        q->far[i] = q->far[child];
        i = child;
    }
    q->far[i] = last;
    return top;
}

/* Turns the wheel on; what it reaches now moves over, in order. */
static void turn_to(struct sim_queue *q, uint64_t turn)
{
    q->turn = turn;
    while (q->far_count > 0 && turn_of(q->far[0]->ev.at) < turn + SIM_BUCKETS) {
        put_near(q, take_far(q));
    }
}

/* ---- both --------------------------------------------------------------------------------- */

void sim_queue_push(struct sim_queue *q, const struct sim_event *ev)
{
    if (q->free == NULL) {
        grow(q);
    }
    struct sim_item *item = q->free;
    q->free = item->next;
    item->ev = *ev;
    item->order = q->order++;
    item->waits = true;
    q->count++;
    ts_assert(turn_of(ev->at) >= q->turn);
    if (turn_of(ev->at) < q->turn + SIM_BUCKETS) {
        put_near(q, item);
    } else {
        put_far(q, item);
    }
}

struct sim_item *sim_queue_pop(struct sim_queue *q)
{
    if (q->count == 0) {
        return NULL;
    }
    if (q->near == 0) {
        turn_to(q, turn_of(q->far[0]->ev.at));
    }
    uint64_t b = first_filled(q);
    struct sim_item *item = q->bucket[b];
    q->bucket[b] = item->next;
    if (item->next == NULL) {
        q->filled[b / 64] &= ~(1ULL << (b % 64));
    }
    q->near--;
    q->count--;
    item->waits = false;
    turn_to(q, turn_of(item->ev.at));
    return item;
}

void sim_queue_give_back(struct sim_queue *q, struct sim_item *item)
{
    item->next = q->free;
    q->free = item;
}

const struct sim_event *sim_queue_next(const struct sim_queue *q, size_t *i)
{
    while (*i < q->cap) {
        const struct sim_item *item = q->pool[(*i)++];
        if (item->waits) {
            return &item->ev;
        }
    }
    return NULL;
}

void sim_queue_reset(struct sim_queue *q)
{
    q->free = NULL;
    for (size_t i = q->cap; i > 0; i--) {
        q->pool[i - 1]->waits = false;
        sim_queue_give_back(q, q->pool[i - 1]);
    }
    memset(q->bucket, 0, sizeof(q->bucket));
    memset(q->filled, 0, sizeof(q->filled));
    q->count = 0;
    q->near = 0;
    q->far_count = 0;
    q->order = 0;
    q->turn = 0;
}

void sim_queue_free(struct sim_queue *q)
{
    for (size_t i = 0; i < q->cap; i += POOL_STEP) {
        free(q->pool[i]);
    }
    free(q->pool);
    free(q->far);
}
