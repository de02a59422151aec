/* The load and its checks. The service is a list: a write appends its id and answers with its
 * place, a read answers with the length. So a history is linearizable exactly when each
 * place and length is at least what any operation had seen that ended before this one
 * began, no id stands twice, and every replica agrees on each place. */
#include <string.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

static void again(struct sim *s, int client, uint64_t after_us)
{
    sim_push(s, (struct sim_event){
                    .kind = SIM_EV_CLIENT, .node = client, .at = s->now + after_us * 1000});
}

static struct sim_client_op *free_op(struct sim_replica *r)
{
    for (size_t i = 0; i < SIM_WAITING_MAX; i++) {
        if (!r->waiting[i].used) {
            return &r->waiting[i];
        }
    }
    return NULL;
}

static bool serves(const struct sim_replica *r, uint64_t now)
{
    struct repl_status st;
    if (!r->running || r->paused_until > now) {
        return false;
    }
    repl_status(r->core, &st);
    return st.role == REPL_ROLE_PRIMARY && st.active && !st.blocked;
}

static void submit(struct sim *s, int client, int node)
{
    struct sim_replica *r = &s->replica[node];
    struct sim_client_op *op = free_op(r);
    ts_assert(op != NULL && s->next_id + 1 < SIM_ENTRIES_MAX);
    uint64_t id = ++s->next_id;
    uint8_t payload[8];
    struct ts_writer w = ts_writer_init(payload, sizeof(payload));
    ts_put_u64(&w, id);
    /* Batches of different lengths: two logs that part do not end theirs at the same places. */
    struct repl_request q[4] = {{.kind = SVC_ENTRY_COMMAND, .payload = {payload, sizeof(payload)}}};
    struct repl_event ev = {.kind = REPL_EV_SUBMIT};
    struct repl_status st;
    ev.u.submit.requests = q; /* the others are no-ops */
    ev.u.submit.count = (size_t)sim_rand(s, 1, 4);
    repl_status(r->core, &st);
    *op = (struct sim_client_op){.used = true, .client = client, .id = id, .floor = s->seen};
    op->seq = ts_seq_add(st.tail.seq, 1);
    uint64_t life = r->life;
    sim_feed(s, node, &ev);
    if (!r->running || r->life != life) {
        return; /* crashed within the step: sim_client_gone has told the client */
    }
    if (r->perform.fx.submit != REPL_SUBMIT_ORDERED) {
        op->used = false;
        s->client[client].busy = false;
        again(s, client, 5000);
    }
}

static void read(struct sim *s, int client, int node)
{
    struct sim_replica *r = &s->replica[node];
    struct sim_client_op *op = free_op(r);
    ts_assert(op != NULL);
    struct repl_event ev = {.kind = REPL_EV_READ};
    ev.u.read_token = ++r->read_token;
    *op = (struct sim_client_op){
        .used = true, .client = client, .read = true, .token = r->read_token, .floor = s->seen};
    sim_feed(s, node, &ev);
}

void sim_client_act(struct sim *s, int client)
{
    struct sim_client *c = &s->client[client];
    if (c->busy) {
        return;
    }
    int node = c->guess;
    if (!serves(&s->replica[node], s->now)) {
        c->guess = node == 1 ? 2 : 1;
        again(s, client, sim_rand(s, 500, 5000));
        return;
    }
    c->busy = true;
    if (sim_chance(s, 70)) {
        submit(s, client, node);
    } else {
        read(s, client, node);
    }
}

static void answered(struct sim *s, struct sim_client_op *op, uint64_t count)
{
    if (count < op->floor) {
        sim_fail(s,
                 "stale: an operation of client %d saw %llu entries; %llu had been seen before "
                 "it began",
                 op->client, (unsigned long long)count, (unsigned long long)op->floor);
    }
    if (count > s->seen) {
        s->seen = count;
    }
    op->used = false;
    s->client[op->client].busy = false;
    again(s, op->client, sim_rand(s, 0, 20000));
}

static uint64_t id_of(const struct svc_entry *entry)
{
    struct ts_reader r = ts_reader_init(entry->payload.data, entry->payload.len);
    return entry->kind == SVC_ENTRY_COMMAND ? ts_get_u64(&r) : 0;
}

/* Everyone who applies a position must apply the same there, and in order. */
static void check_agreement(struct sim *s, int node, const struct svc_entry *entry, uint64_t count)
{
    uint64_t seq = entry->seq.v;
    uint64_t id = id_of(entry);
    ts_assert(seq < SIM_ENTRIES_MAX);
    if (seq > s->entry_count) {
        if (seq != s->entry_count + 1) {
            sim_fail(s, "node %d applied seq %llu before anyone applied %llu", node,
                     (unsigned long long)seq, (unsigned long long)s->entry_count + 1);
        }
        if (seq > 1 && entry->time.ns < s->entries[seq - 1].time) {
            sim_fail(s, "logical time went back at seq %llu", (unsigned long long)seq);
        }
        if (id != 0 && s->id_committed[id]) {
            sim_fail(s, "request %llu was executed twice", (unsigned long long)id);
        }
        s->entries[seq] = (struct sim_entry){
            .id = id, .count = count, .epoch = entry->epoch.v, .time = entry->time.ns};
        s->id_committed[id] = true;
        s->entry_count = seq;
        return;
    }
    const struct sim_entry *e = &s->entries[seq];
    if (e->id != id || e->count != count || e->epoch != entry->epoch.v ||
        e->time != entry->time.ns) {
        sim_fail(s,
                 "node %d applied request %llu (epoch %llu) at seq %llu, another replica %llu "
                 "(epoch %llu)",
                 node, (unsigned long long)id, (unsigned long long)entry->epoch.v,
                 (unsigned long long)seq, (unsigned long long)e->id, (unsigned long long)e->epoch);
    }
}

void sim_client_applied(struct sim *s, int node, const struct svc_entry *entry, uint64_t count,
                        bool release, struct ts_epoch epoch)
{
    struct sim_replica *r = &s->replica[node];
    check_agreement(s, node, entry, count);
    if (!release || entry->kind != SVC_ENTRY_COMMAND) {
        return;
    }
    ts_assert(epoch.v < 4096);
    if (s->releaser[epoch.v] != 0 && s->releaser[epoch.v] != r->life) {
        sim_fail(s, "two primaries released outputs in epoch %llu", (unsigned long long)epoch.v);
    }
    s->releaser[epoch.v] = r->life;
    uint64_t id = id_of(entry);
    for (size_t i = 0; i < SIM_WAITING_MAX; i++) {
        struct sim_client_op *op = &r->waiting[i];
        if (op->used && !op->read && op->id == id) {
            if (op->seq.v != entry->seq.v) {
                sim_fail(s, "request %llu was ordered at %llu and answered at %llu",
                         (unsigned long long)id, (unsigned long long)op->seq.v,
                         (unsigned long long)entry->seq.v);
            }
            s->acked++;
            s->id_acked[id] = true;
            answered(s, op, count);
        }
    }
}

void sim_client_reads_ready(struct sim *s, int node, uint64_t token)
{
    struct sim_replica *r = &s->replica[node];
    for (size_t i = 0; i < SIM_WAITING_MAX; i++) {
        struct sim_client_op *op = &r->waiting[i];
        if (op->used && op->read && op->token <= token) {
            s->reads++;
            answered(s, op, r->service.count);
        }
    }
}

void sim_client_gone(struct sim *s, int node)
{
    struct sim_replica *r = &s->replica[node];
    for (size_t i = 0; i < SIM_WAITING_MAX; i++) {
        struct sim_client_op *op = &r->waiting[i];
        if (op->used) {
            s->ambiguous++;
            op->used = false;
            s->client[op->client].busy = false;
            again(s, op->client, sim_rand(s, 100, 3000));
        }
    }
}

void sim_client_check_end(struct sim *s)
{
    for (uint64_t id = 1; id <= s->next_id; id++) {
        if (s->id_acked[id] && !s->id_committed[id]) {
            sim_fail(s, "acknowledged request %llu is lost", (unsigned long long)id);
        }
    }
    for (int n = 1; n <= SIM_NICS; n++) {
        struct repl_status st;
        repl_status(s->replica[n].core, &st);
        bool decided_last = st.config.epoch.v > 0 && s->won_nonce[st.config.epoch.v + 1] == 0;
        if (decided_last && st.role == REPL_ROLE_PRIMARY && st.applied.v != s->entry_count) {
            sim_fail(s, "the primary has applied %llu entries of %llu",
                     (unsigned long long)st.applied.v, (unsigned long long)s->entry_count);
        }
    }
}
