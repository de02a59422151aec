/* Clients and their commands: each waits for its answer, thinks, and goes on. A client whose
 * connection is closed does not know what became of its command, and never asks. It knows addresses
 * only: a node that is not the primary says so, one without a process refuses, and one that is
 * stopped or without power says nothing until the client's patience ends. In half of the seeds the
 * way there and back takes time, and an answer may be lost on it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "replicator/state.h"
#include "services/kv/commands.h"
#include "services/kv/kv.h"
#include "services/kv/payload.h"
#include "tests/sim/sim.h"

/* Keys 0..3 are registers (2 and 3 are deleted now and then), 4 and 5 counters, 6 and 7 strings
 * that grow, 8 expires. */
#define KEY_DELETED 2
#define KEY_COUNTER 4
#define KEY_STRING 6
#define PAYLOAD_MAX 96
/* A client does not ask a node that was silent, for so long at most. */
#define SILENT_NS (2 * SIM_S)

static void again(struct sim *s, int client, uint64_t after)
{
    sim_push(
        s, &(struct sim_event){.kind = SIM_EV_CLIENT, .at = s->now + after, .a = (uint64_t)client});
}

/* A client that waits so long gives up: it never hears what became of its command. */
static uint64_t patience(struct sim *s)
{
    uint64_t timeout = s->plan.failure_timeout;
    return sim_rand(s, timeout / 2, s->plan.one ? timeout : 6 * timeout);
}

uint64_t sim_load_way(struct sim *s)
{
    uint64_t typical = s->plan.client_us;
    return typical == 0 ? 0 : sim_us(s, typical / 2, typical * 2);
}

/* Looks at the client when its patience ends. Most are answered long before: there is one look for
 * many operations, at the earliest end of all. */
static void plan_look(struct sim *s, struct sim_client *c)
{
    if (c->look_at == 0 || c->until < c->look_at) {
        c->look_at = c->until;
        sim_push(s, &(struct sim_event){.kind = SIM_EV_CLIENT,
                                        .at = c->until,
                                        .a = (uint64_t)(c - s->load.client),
                                        .b = c->until});
    }
}

static bool focused(const struct sim *s)
{
    return s->now < s->load.focus_until;
}

/* Whether this client stays with the node that something happens to. */
static bool in_focus(const struct sim *s, int client)
{
    return focused(s) && client % 2 == 0;
}

/* Two clients hurry where pauses are measured, and the others take their time. */
static uint64_t think(struct sim *s, uint32_t client)
{
    uint64_t most = (s->plan.one ? 8 : 2) * s->plan.think;
    most = s->plan.one && client < 2 ? 10 * SIM_MS : most;
    return sim_rand(s, 0, focused(s) ? most / 4 : most);
}

void sim_load_set_free(struct sim *s, uint32_t record, uint64_t after)
{
    struct sim_client *c = &s->load.client[s->load.record[record].client];
    if (c->busy && c->record == record) {
        c->busy = false;
        again(s, (int)(c - s->load.client), after);
    }
}

uint32_t sim_load_new(struct sim *s, int client)
{
    struct sim_load *l = &s->load;
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 4096 : 2 * l->cap;
        l->record = realloc(l->record, l->cap * sizeof(*l->record));
        ts_assert(l->record != NULL);
    }
    struct sim_record *r = &l->record[l->count++];
    *r = (struct sim_record){
        .begun = s->now, .ended = UINT64_MAX, .client = (uint32_t)client, .floor = s->checks.seen};
    return (uint32_t)(r - l->record);
}

/* What the client asks for. */
static void draw_command(struct sim *s, struct sim_record *r)
{
    uint64_t dice = sim_rand(s, 0, 99);
    if (in_focus(s, (int)r->client) && sim_chance_pm(s, 500)) {
        dice = dice % 35; /* more reads, where a write may be in the way of them */
    }
    if (s->plan.one && r->client < 2) {
        dice = r->client == 0 ? 35 + dice % 65 : dice % 35; /* pauses of both sorts are seen */
    }
    r->read = dice < 35;
    if (dice < 70) {
        r->key = (uint8_t)sim_rand(s, 0, KEY_COUNTER - 1);
        r->command = r->read ? KV_GET : KV_SET;
        r->key = r->read ? (uint8_t)sim_rand(s, 0, SIM_KEY_EXPIRES) : r->key;
        bool grows = r->key == KEY_STRING || r->key == KEY_STRING + 1;
        r->command = grows && sim_chance_pm(s, 850) ? KV_STRLEN : r->command;
    } else if (dice < 80) {
        r->key = (uint8_t)sim_rand(s, KEY_COUNTER, KEY_STRING - 1);
        r->command = KV_INCR;
    } else if (dice < 90) {
        r->key = (uint8_t)sim_rand(s, KEY_STRING, SIM_KEY_EXPIRES - 1);
        r->command = KV_APPEND;
    } else if (dice < 95) {
        r->key = (uint8_t)sim_rand(s, KEY_DELETED, KEY_COUNTER - 1);
        r->command = KV_DEL;
    } else {
        r->key = SIM_KEY_EXPIRES;
        r->command = dice < 97 ? KV_SET : KV_PEXPIRE;
    }
}

struct ts_bytes sim_load_key(const struct sim_record *r)
{
    static const uint8_t names[] = "k0k1k2k3k4k5k6k7k8";
    ts_assert(r->key <= SIM_KEY_EXPIRES);
    return (struct ts_bytes){names + (size_t)2 * r->key, 2};
}

struct ts_bytes sim_load_value(const struct sim_record *r, uint8_t out[SIM_VALUE_MAX])
{
    if (r->command == KV_PEXPIRE) {
        return (struct ts_bytes){(const uint8_t *)"30", 2};
    }
    if (r->command != KV_SET && r->command != KV_APPEND) {
        return (struct ts_bytes){NULL, 0};
    }
    /* By hand: snprintf would take a twentieth of a run. */
    uint64_t left = r->id;
    for (size_t i = SIM_VALUE_MAX; i > 0; i--, left /= 10) {
        out[i - 1] = (uint8_t)('0' + left % 10);
    }
    ts_assert(left == 0);
    return (struct ts_bytes){out, SIM_VALUE_MAX};
}

static size_t encode(const struct sim_record *r, uint8_t out[PAYLOAD_MAX])
{
    uint8_t value[SIM_VALUE_MAX];
    uint8_t inner[PAYLOAD_MAX];
    struct ts_bytes args[3] = {{NULL, 0}, sim_load_key(r), sim_load_value(r, value)};
    struct ts_writer w = ts_writer_init(r->op == 0 ? out : inner, PAYLOAD_MAX);
    kv_payload_encode(&w, RESP_V2, r->command, args, args[2].len > 0 ? 3 : 2);
    ts_assert(!w.failed);
    return r->op == 0 ? w.len
                      : sim_session_encode(r, (struct ts_bytes){inner, w.len}, out, PAYLOAD_MAX);
}

static struct sim_waiting *free_waiting(struct sim_replica *r)
{
    for (size_t i = 0; i < SIM_WAITING_MAX; i++) {
        if (!r->waiting[i].used) {
            return &r->waiting[i];
        }
    }
    return NULL;
}

/* An error: the command is in no log. */
static void refused(struct sim *s, const struct sim_client *c, int node)
{
    struct sim_record *rec = &s->load.record[c->record];
    rec->refused = true;
    sim_check_refused(s, rec->attempt);
    sim_session_refused(s, c->record);
    s->stats.refused++;
    sim_note_client(s, c->record, "%s refuses it", sim_node_name(s, node));
    sim_load_set_free(s, c->record, 5 * SIM_MS);
}

static void submit(struct sim *s, const struct sim_client *c, int node, struct sim_waiting *w)
{
    struct sim_replica *r = &s->node[node].replica;
    struct sim_record *rec = &s->load.record[c->record];
    uint8_t payload[PAYLOAD_MAX];
    size_t len = encode(rec, payload);
    /* Batches of different lengths: two logs that part do not end theirs at the same places. */
    struct repl_request q[4] = {
        {.kind = SVC_ENTRY_COMMAND, .request = rec->attempt, .payload = {payload, len}}};
    struct repl_event ev = {.kind = REPL_EV_SUBMIT};
    ev.u.submit.requests = q; /* the others are no-ops */
    ev.u.submit.count = (size_t)sim_rand(s, 1, 4);
    if (s->load.long_left > 0 && ev.u.submit.count > 1) {
        s->load.long_left--;
        q[1].payload = (struct ts_bytes){s->load.zeros, (size_t)sim_rand(s, 0, s->load.long_max)};
    } else if (rec->op == SESSION_REQUEST && ev.u.submit.count > 1 && sim_chance_pm(s, 300)) {
        q[1] = q[0]; /* the client's library sends it twice */
        q[1].request = ++s->load.next_id;
        sim_check_ordered(s, q[1].request, c->record);
    }
    if (!perform_room_takes(&r->p, true)) {
        refused(s, c, node);
        return;
    }
    *w = (struct sim_waiting){.used = true, .record = c->record, .id = rec->attempt};
    w->seq = ts_seq_add(repl_log_tail(&r->core->log).seq, 1);
    sim_check_ordered(s, rec->attempt, c->record);
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    sim_feed(s, node, &ev);
    if (s->node[node].proc[SIM_REPLICA].life != life) {
        return; /* crashed within the step: its connections were closed */
    }
    if (r->p.perform.fx.submit != REPL_SUBMIT_ORDERED) {
        w->used = false;
        refused(s, c, node);
    } else {
        sim_room_check_takes(s, node);
    }
}

static void read_by_round(struct sim *s, const struct sim_client *c, int node,
                          struct sim_waiting *w)
{
    struct sim_replica *r = &s->node[node].replica;
    struct repl_event ev = {.kind = REPL_EV_READ};
    ev.u.read_token = ++r->read_token;
    *w = (struct sim_waiting){.used = true, .record = c->record, .token = r->read_token};
    sim_feed(s, node, &ev);
}

/* The node that the client asks next: where it was last, or now and then another one. */
static int choose_node(struct sim *s, struct sim_client *c)
{
    int client = (int)(c - s->load.client);
    if (focused(s) && sim_chance_pm(s, 700)) {
        return in_focus(s, client) ? s->load.focus : s->load.focus % s->nics + 1;
    }
    if (sim_chance_pm(s, 200)) {
        c->guess = (int)sim_rand(s, 1, (uint64_t)s->nics);
    }
    if (c->guess == c->silent && s->now < c->silent_until) {
        c->guess = c->guess % s->nics + 1;
    }
    return c->guess;
}

/* The client's command has reached a replica that reads it. */
static void execute(struct sim *s, const struct sim_client *c, int node)
{
    struct sim_waiting *w = free_waiting(&s->node[node].replica);
    if (w == NULL) {
        sim_note_client(s, c->record, "%s closes without an answer", sim_node_name(s, node));
        sim_session_lost(s, c->record);
        sim_load_set_free(s, c->record, 5 * SIM_MS);
        return;
    }
    if (s->load.record[c->record].read) {
        read_by_round(s, c, node, w);
    } else {
        submit(s, c, node, w);
    }
    if (s->node[node].replica.core != NULL) {
        /* What the submission asked for has a deadline of its own. */
        sim_proc_tick_at(s, node, SIM_REPLICA, repl_deadline(s->node[node].replica.core));
    }
}

/* A command that was certainly not executed; the client asks another node. */
static void go_elsewhere(struct sim *s, struct sim_client *c, uint64_t way_back)
{
    sim_note_client(s, c->record, "%s does not serve", sim_node_name(s, c->asked));
    s->load.record[c->record].refused = true;
    sim_session_refused(s, c->record);
    c->guess = c->asked % s->nics + 1;
    c->silent_until = s->now; /* then it may be that one after all */
    /* Soon, at the other nodes; then more rarely. */
    bool soon = c->misses++ < (focused(s) ? 20 : 2);
    uint64_t most_us = focused(s) ? (soon ? 1000 : 5000) : soon || s->plan.one ? 3000 : 40000;
    sim_load_set_free(s, c->record, way_back + sim_us(s, 500, most_us));
}

/* A request of a session comes by a connection that its client has given up. */
static void arrived_late(struct sim *s, const struct sim_event *ev, uint32_t record)
{
    struct repl_request q = {
        .kind = SVC_ENTRY_COMMAND, .request = ++s->load.next_id, .payload = {ev->bytes, ev->len}};
    struct repl_event submit = {.kind = REPL_EV_SUBMIT};
    submit.u.submit.requests = &q;
    submit.u.submit.count = 1;
    if (sim_replica_serves(s, ev->node) && perform_room_takes(&s->node[ev->node].replica.p, true)) {
        sim_note_client(s, record, "reaches %s late", sim_node_name(s, ev->node));
        sim_check_ordered(s, q.request, record);
        sim_feed(s, ev->node, &submit);
    }
}

void sim_load_arrived(struct sim *s, const struct sim_event *ev)
{
    struct sim_client *c = &s->load.client[ev->a];
    uint32_t record = (uint32_t)ev->b;
    if (!c->busy || c->record != record || s->load.record[record].attempt != ev->b >> 32) {
        if (ev->bytes != NULL) {
            arrived_late(s, ev, record);
        }
        return; /* the client has gone */
    }
    if (sim_replica_serves(s, ev->node)) {
        c->misses = 0;
        execute(s, c, ev->node);
    } else {
        go_elsewhere(s, c, sim_load_way(s)); /* not the primary, or not yet: it says so */
    }
}

/* A request of a session goes its way even if its client does not wait for it any more: now and
 * then the connection breaks when it was sent, and the next one is quicker. */
static void send_request(struct sim *s, struct sim_client *c, struct sim_event *arrived)
{
    uint8_t payload[PAYLOAD_MAX];
    bool breaks = sim_chance_pm(s, 20);
    arrived->at += breaks ? sim_us(s, 0, 10000) : 0;
    arrived->len = encode(&s->load.record[c->record], payload);
    arrived->bytes =
        sim_bytes_copy(s, (struct ts_bytes){payload, arrived->len}, (struct ts_bytes){NULL, 0});
    sim_push(s, arrived);
    if (breaks) {
        sim_note_client(s, c->record, "its connection breaks");
        s->stats.ambiguous++;
        sim_session_lost(s, c->record);
        sim_load_set_free(s, c->record, sim_us(s, 0, 3000));
    }
}

/* The client sends a command to a node, of which it knows nothing but the address. */
static void begin(struct sim *s, struct sim_client *c, int node)
{
    int client = (int)(c - s->load.client);
    const struct sim_process *p = &s->node[node].proc[SIM_REPLICA];
    c->busy = true;
    c->asked = node;
    c->record = sim_session_next(s, client, node);
    if (c->record == SIM_NO_RECORD) {
        c->record = sim_load_new(s, client);
        struct sim_record *drawn = &s->load.record[c->record];
        draw_command(s, drawn);
        drawn->id = drawn->attempt = drawn->read ? 0 : ++s->load.next_id;
        sim_session_number(s, c->record);
    }
    sim_note_client(s, c->record, "to %s", sim_node_name(s, node));
    struct sim_event arrived = {.kind = SIM_EV_ARRIVED,
                                .at = s->now + sim_load_way(s),
                                .node = (uint8_t)node,
                                .proc = SIM_REPLICA,
                                .life = p->life,
                                .a = (uint64_t)client,
                                .b = c->record | s->load.record[c->record].attempt << 32};
    if (s->node[node].powered && (p->life == 0 || !p->ready)) {
        go_elsewhere(s, c, 2 * sim_load_way(s)); /* nobody listens there */
    } else if (s->node[node].powered && s->load.record[c->record].op == SESSION_REQUEST) {
        send_request(s, c, &arrived);
    } else if (s->node[node].powered && arrived.at == s->now && p->paused_until <= s->now) {
        sim_load_arrived(s, &arrived);
    } else if (s->node[node].powered) {
        sim_push(s, &arrived);
    }
    if (c->busy) { /* it waits: for so long */
        c->until = s->now + patience(s);
        plan_look(s, c);
    }
}

void sim_load_act(struct sim *s, const struct sim_event *ev)
{
    struct sim_client *c = &s->load.client[ev->a];
    bool looks = ev->b != 0;
    if (looks && c->look_at == ev->b) {
        c->look_at = 0;
    }
    if (looks != c->busy) {
        return; /* it waits and has no turn, or was answered in time */
    }
    if (looks && s->now < c->until) {
        plan_look(s, c);
        return;
    }
    if (c->busy) {
        sim_note_client(s, c->record, "%s is silent: given up", sim_node_name(s, c->asked));
        sim_session_lost(s, c->record);
        c->busy = false;
        c->guess = c->asked % s->nics + 1;
        c->silent = c->asked;
        c->silent_until = s->now + sim_rand(s, 0, SILENT_NS);
        s->stats.ambiguous++;
    }
    begin(s, c, choose_node(s, c));
}

void sim_load_hurry(struct sim *s)
{
    for (int i = 0; i < s->plan.clients; i++) {
        struct sim_client *c = &s->load.client[i];
        if (c->busy && sim_chance_pm(s, 500)) {
            sim_note_client(s, c->record, "loses its patience soon");
            c->until = s->now + sim_us(s, 1, 2 * s->plan.disk_us);
            plan_look(s, c);
        }
    }
}

static void keep_reply(struct sim *s, struct sim_record *rec, struct ts_bytes out)
{
    struct sim_load *l = &s->load;
    if (l->bytes_len + out.len > l->bytes_cap) {
        l->bytes_cap = 2 * (l->bytes_cap + out.len);
        l->bytes = realloc(l->bytes, l->bytes_cap);
        ts_assert(l->bytes != NULL);
    }
    rec->reply_at = l->bytes_len;
    rec->reply_len = out.len;
    memcpy(l->bytes + l->bytes_len, out.data, out.len);
    l->bytes_len += out.len;
    sim_course(s, rec->id, out.data, out.len);
}

void sim_load_answered(struct sim *s, uint32_t record, struct ts_bytes reply, uint64_t position,
                       uint64_t back)
{
    struct sim_record *rec = &s->load.record[record];
    rec->ended = s->now + back;
    rec->answered = true;
    rec->position = position;
    keep_reply(s, rec, reply);
    sim_check_answered(s, rec, position);
    sim_available_answered(s, rec->read);
    sim_clock_answered(s, rec, reply);
    sim_load_set_free(s, record, back + think(s, rec->client));
}

/* The answer is out: from here on anybody may have seen it. */
static void answered(struct sim *s, struct sim_waiting *w, const struct svc_out *out,
                     uint64_t position)
{
    char text[SIM_STORY_REPLY_MAX];
    uint64_t back = sim_load_way(s);
    bool lost = back > 0 && sim_chance_pm(s, 2);
    w->used = false;
    sim_note_client(s, w->record, "answered %s at %llu%s",
                    sim_story_reply((struct ts_bytes){out->data, out->len}, text),
                    (unsigned long long)position, lost ? ", which is lost on its way" : "");
    if (lost) {
        s->stats.ambiguous++; /* the connection breaks before it is there */
        sim_load_set_free(s, w->record, back);
        return;
    }
    sim_load_answered(s, w->record, (struct ts_bytes){out->data, out->len}, position, back);
}

void sim_load_released(struct sim *s, int node, const struct svc_entry *entry)
{
    struct sim_replica *r = &s->node[node].replica;
    for (size_t i = 0; i < SIM_WAITING_MAX; i++) {
        struct sim_waiting *w = &r->waiting[i];
        if (!w->used || w->id == 0 || w->id != entry->request) {
            continue;
        }
        if (w->seq.v != entry->seq.v) {
            sim_fail(s, SIM_CHECK_ORDER, "request %llu was ordered at %llu and answered at %llu",
                     (unsigned long long)w->id, (unsigned long long)w->seq.v,
                     (unsigned long long)entry->seq.v);
        }
        s->stats.acked++;
        if (s->load.record[w->record].op != 0) {
            sim_session_released(s, node, w, entry);
        } else {
            answered(s, w, &r->p.out, entry->seq.v);
        }
    }
}

void sim_load_reads_ready(struct sim *s, int node, uint64_t token)
{
    struct sim_replica *r = &s->node[node].replica;
    for (size_t i = 0; i < SIM_WAITING_MAX; i++) {
        struct sim_waiting *w = &r->waiting[i];
        if (!w->used || w->token == 0 || w->token > token) {
            continue;
        }
        uint8_t payload[PAYLOAD_MAX];
        size_t len = encode(&s->load.record[w->record], payload);
        r->p.out.len = 0;
        r->p.svc->read(r->p.state, (struct ts_bytes){payload, len}, &r->p.out);
        s->stats.reads++;
        answered(s, w, &r->p.out, r->core->applied.v);
    }
}

void sim_load_closed(struct sim *s, int node)
{
    struct sim_replica *r = &s->node[node].replica;
    for (size_t i = 0; i < SIM_WAITING_MAX; i++) {
        struct sim_waiting *w = &r->waiting[i];
        if (w->used) {
            w->used = false;
            s->stats.ambiguous++;
            sim_note_client(s, w->record, "%s closes without an answer", sim_node_name(s, node));
            bool newest = w->id == s->load.record[w->record].attempt;
            uint64_t after = sim_us(s, 100, 3000);
            if (newest) {
                sim_session_lost(s, w->record);
                sim_load_set_free(s, w->record, after);
            }
        }
    }
}

bool sim_load_is_huge(uint64_t how)
{
    return how % 16 == 0;
}

void sim_load_unserved(struct sim *s, int node)
{
    struct sim_replica *r = &s->node[node].replica;
    if (!r->p.started || sim_paused(s, node, SIM_REPLICA) || sim_replica_serves(s, node)) {
        return;
    }
    struct repl_request q = {.kind = SVC_ENTRY_NOOP};
    struct repl_event ev = {.kind = REPL_EV_SUBMIT};
    ev.u.submit.requests = &q;
    ev.u.submit.count = 1;
    uint64_t life = s->node[node].proc[SIM_REPLICA].life;
    sim_feed(s, node, &ev);
    if (s->node[node].proc[SIM_REPLICA].life != life) {
        return;
    }
    if (r->p.perform.fx.submit != REPL_SUBMIT_NOT_PRIMARY) {
        sim_fail(s, SIM_CHECK_RELEASE, "%s ordered an entry without being an active primary",
                 sim_node_name(s, node));
    }
    ev = (struct repl_event){.kind = REPL_EV_READ};
    ev.u.read_token = ++r->read_token;
    sim_feed(s, node, &ev);
}

/* Some of the next entries are long: up to a tenth of the log window or up to a third. */
void sim_load_long(struct sim *s, uint64_t how)
{
    struct sim_load *l = &s->load;
    size_t most = REPL_BATCH_BYTES_MAX - 1024;
    if (l->zeros == NULL) {
        l->zeros = calloc(1, most);
        ts_assert(l->zeros != NULL);
    }
    /* Rarely, and late: each start of a replica reads them again, which takes as long as a seed. */
    bool huge = sim_load_is_huge(how) && s->now > s->end_of_faults / 4 * 3;
    l->long_max = huge ? most : 1U << 14;
    l->long_left = huge ? 6 : 12;
}

void sim_load_free(struct sim *s)
{
    free(s->load.zeros);
    free(s->load.record);
    free(s->load.bytes);
}

void sim_load_start(struct sim *s)
{
    s->load.count = 0;
    s->load.bytes_len = 0;
    s->load.next_id = 0;
    s->load.focus_until = 0;
    s->load.long_left = 0;
    memset(s->load.client, 0, sizeof(s->load.client));
    sim_session_start(s);
    for (int i = 0; i < s->plan.clients; i++) {
        s->load.client[i].guess = 1;
        again(s, i, 50 * SIM_MS);
    }
}
