#include "daemon/replica_latency.h"

#include "base/assert.h"

static struct replica_latency_batch *at(struct replica_latency *l, uint64_t number)
{
    return &l->batch[number & (REPLICA_LATENCY_BATCHES - 1)];
}

static uint64_t commands(const struct replica_latency_batch *b)
{
    return b->last.v - b->first.v + 1;
}

static void count(struct replica_latency *l, enum report_stage stage,
                  const struct replica_latency_batch *b, struct ts_mono now)
{
    ts_histogram_add(&l->stage[stage], ts_mono_since(b->ordered, now), commands(b));
}

void replica_latency_ordered(struct replica_latency *l, struct ts_seq first, uint64_t n,
                             uint64_t waited_ns, bool others, struct ts_mono now)
{
    ts_assert(n > 0);
    ts_histogram_add(&l->stage[REPORT_STAGE_QUEUE], waited_ns, n);
    if (l->end - l->applied < REPLICA_LATENCY_BATCHES) {
        *at(l, l->end++) = (struct replica_latency_batch){
            .first = first, .last = ts_seq_add(first, n - 1), .ordered = now, .others = others};
    }
}

/* Counts batches from *next on that end at `seq` or before. */
static void reach(struct replica_latency *l, enum report_stage stage, uint64_t *next,
                  struct ts_seq seq, struct ts_mono now)
{
    while (*next != l->end && !ts_seq_lt(seq, at(l, *next)->last)) {
        count(l, stage, at(l, *next), now);
        ++*next;
    }
}

void replica_latency_persisted(struct replica_latency *l, struct ts_seq seq, struct ts_mono now)
{
    reach(l, REPORT_STAGE_JOURNAL, &l->persisted, seq, now);
}

void replica_latency_acked(struct replica_latency *l, struct ts_seq seq, struct ts_mono now)
{
    reach(l, REPORT_STAGE_FABRIC, &l->acked, seq, now);
}

/* The oldest batch leaves; a stage that it never reached is not waited for. */
static void leave(struct replica_latency *l)
{
    l->applied++;
    l->committed.ns = 0;
    l->persisted = l->persisted < l->applied ? l->applied : l->persisted;
    l->acked = l->acked < l->applied ? l->applied : l->acked;
}

void replica_latency_committed(struct replica_latency *l, struct ts_seq seq, struct ts_mono now)
{
    while (l->applied != l->end && ts_seq_lt(at(l, l->applied)->last, seq)) {
        leave(l);
    }
    struct replica_latency_batch *b = at(l, l->applied);
    if (l->applied != l->end && l->committed.ns == 0 && ts_seq_eq(b->first, seq)) {
        count(l, REPORT_STAGE_COMMIT, b, now);
        if (b->others && l->acked == l->applied) {
            count(l, REPORT_STAGE_FABRIC, b,
                  now); /* it was this acknowledgement that committed it */
        }
        l->committed = now;
    }
}

void replica_latency_applied(struct replica_latency *l, struct ts_mono now)
{
    ts_assert(l->applied != l->end && l->committed.ns != 0);
    uint64_t n = commands(at(l, l->applied));
    ts_histogram_add(&l->stage[REPORT_STAGE_APPLY], ts_mono_since(l->committed, now), n);
    if (l->reply_count < REPLICA_LATENCY_REPLIES) {
        l->reply[l->reply_count++] = (struct replica_latency_reply){n, now};
    } else { /* more than that in one turn: as if these had been applied with the last of them */
        l->reply[REPLICA_LATENCY_REPLIES - 1].commands += n;
    }
    leave(l);
}

void replica_latency_replied(struct replica_latency *l, struct ts_mono now)
{
    for (size_t i = 0; i < l->reply_count; i++) {
        ts_histogram_add(&l->stage[REPORT_STAGE_REPLY], ts_mono_since(l->reply[i].applied, now),
                         l->reply[i].commands);
    }
    l->reply_count = 0;
}

void replica_latency_forget(struct replica_latency *l)
{
    l->applied = l->end;
    l->persisted = l->end;
    l->acked = l->end;
    l->committed.ns = 0;
}
