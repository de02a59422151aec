/* Logical time (R2.2): it goes with the clocks, and what expires does so by it alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/kv/commands.h"
#include "tests/sim/sim.h"

/* Two clocks differ by at most twice the drift of a plan; and their readings are rounded. */
#define DRIFT_PPM 450
#define ROUNDING_NS 20000
/* What every PEXPIRE of the load asks for. */
#define EXPIRES_MS 30

/* A lead: how far logical time is ahead of virtual time; modulo 2^64, only differences count. */
static int64_t lead_over(uint64_t lead, uint64_t other)
{
    return (int64_t)(lead - other);
}

/* Logical time is never further ahead than it was before, in entries that were cut off, too. (Only
 * until something is committed may two replicas begin, each with its own clock.) */
void sim_clock_ordered(struct sim *s, struct ts_ltime time)
{
    struct sim_checks *c = &s->checks;
    uint64_t lead = time.ns - s->now;
    uint64_t most = c->lead + (s->now - c->lead_at) * DRIFT_PPM / 1000000;
    int64_t more = c->lead_at == 0 ? 1 : lead_over(lead, most);
    if (c->timed != 0 && more > ROUNDING_NS) {
        sim_fail(s, SIM_CHECK_TIME, "logical time is %lld us ahead of the clocks",
                 (long long)more / 1000);
    }
    c->lead = more > 0 ? lead : most;
    c->lead_at = s->now;
}

/* While the same primary orders, logical time goes on as its clock does. (A replica that takes
 * over goes on from when it read or received what it saw last: time that nobody saw pass is lost.)
 */
static void compare_times(struct sim *s, const struct svc_entry *e)
{
    struct sim_checks *c = &s->checks;
    const struct sim_entry *before = &c->entry[c->timed];
    if (c->timed != 0 && ts_epoch_eq(before->epoch, e->epoch)) {
        uint64_t passed = c->request[e->request].ordered_at - c->request[before->id].ordered_at;
        uint64_t gained = e->time.ns - before->time;
        if (gained + passed * DRIFT_PPM / 1000000 + ROUNDING_NS < passed) {
            sim_fail(s, SIM_CHECK_TIME,
                     "from seq %llu to %llu logical time went on by %llu us, the clock by %llu us",
                     (unsigned long long)c->timed, (unsigned long long)e->seq.v,
                     (unsigned long long)gained / 1000, (unsigned long long)passed / 1000);
        }
    }
    c->timed = e->seq.v;
}

static struct sim_value value_at(const struct sim_checks *c, uint64_t seq)
{
    size_t i = c->value_count;
    while (i > 0 && c->value[i - 1].seq > seq) {
        i--;
    }
    return i == 0 ? (struct sim_value){0} : c->value[i - 1];
}

static bool holds(const struct sim_value *v, uint64_t time)
{
    return v->id != 0 && (v->expire_ms == 0 || time / SIM_MS < v->expire_ms);
}

static void set_value(struct sim_checks *c, const struct sim_value *v)
{
    if (c->value_count == c->value_cap) {
        c->value_cap = c->value_cap == 0 ? 256 : 2 * c->value_cap;
        c->value = realloc(c->value, c->value_cap * sizeof(*c->value));
        ts_assert(c->value != NULL);
    }
    c->value[c->value_count++] = *v;
}

void sim_clock_applied(struct sim *s, const struct svc_entry *e)
{
    struct sim_checks *c = &s->checks;
    if (e->request == 0) {
        return;
    }
    compare_times(s, e);
    const struct sim_record *r = &s->load.record[c->request[e->request].record];
    if (r->key != SIM_KEY_EXPIRES || r->done_by != e->request) {
        return;
    }
    struct sim_value v = value_at(c, e->seq.v);
    if (r->command == KV_SET) {
        v = (struct sim_value){.id = r->id};
    } else if (holds(&v, e->time.ns)) {
        v.expire_ms = e->time.ns / SIM_MS + EXPIRES_MS;
    } else {
        v = (struct sim_value){0};
    }
    v.seq = e->seq.v;
    set_value(c, &v);
}

void sim_clock_answered(struct sim *s, const struct sim_record *r, struct ts_bytes reply)
{
    struct sim_checks *c = &s->checks;
    if (!r->read || r->key != SIM_KEY_EXPIRES || r->position == 0 || r->position > c->entries) {
        return;
    }
    struct sim_value v = value_at(c, r->position);
    char expected[40] = "$-1\r\n";
    if (holds(&v, c->entry[r->position].time)) {
        (void)snprintf(expected, sizeof(expected), "$8\r\n%08llu\r\n", (unsigned long long)v.id);
    }
    if (reply.len != strlen(expected) || memcmp(reply.data, expected, reply.len) != 0) {
        sim_fail(s, SIM_CHECK_EXPIRY, "a read at seq %llu was answered with \"%.*s\", not \"%s\"",
                 (unsigned long long)r->position, (int)(reply.len < 40 ? reply.len : 40),
                 (const char *)reply.data, expected);
    }
}
