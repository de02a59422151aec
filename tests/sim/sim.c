/* The queue of virtual time, the faults, one run a seed.
 *
 *     sim [--seed N] [--seeds COUNT] [--trace] */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define FAULT_PHASE_MS 8000
/* After the faults: within this virtual time the group answers and is redundant again. */
#define HEAL_BOUND_MS 20000

void sim_note(struct sim *s, int node, const char *format, ...)
{
    if (!s->trace) {
        return;
    }
    va_list ap;
    printf("%10.3f ms  node %d  ", (double)s->now / 1e6, node);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
}

static void dump(const struct sim *s)
{
    fprintf(stderr, "  session %llu %s\n", (unsigned long long)s->session.id,
            s->session.up ? "up" : "down");
    for (int n = 1; n <= SIM_NICS; n++) {
        struct repl_status st;
        if (!s->replica[n].running) {
            fprintf(stderr, "  node %d: not running\n", n);
            continue;
        }
        repl_status(s->replica[n].core, &st);
        fprintf(stderr,
                "  node %d: role %d%s%s why \"%s\" epoch %llu floor %llu tail %llu persisted %llu "
                "applied %llu required %llx peer: %s evidence %s acked %llu\n",
                n, st.role, st.active ? " active" : "", st.blocked ? " blocked" : "",
                report_why_text(st.why), (unsigned long long)st.config.epoch.v,
                (unsigned long long)st.floor.v, (unsigned long long)st.tail.seq.v,
                (unsigned long long)st.persisted.v, (unsigned long long)st.applied.v,
                (unsigned long long)st.required_mask, st.peers[0].connected ? "connected" : "away",
                repl_evidence_name(st.peers[0].evidence),
                (unsigned long long)st.peers[0].acked.seq.v);
    }
}

_Noreturn void sim_fail(struct sim *s, const char *format, ...)
{
    va_list ap;
    fflush(stdout);
    fprintf(stderr, "seed %llu: FAILED at %.3f ms: ", (unsigned long long)s->seed,
            (double)s->now / 1e6);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    dump(s);
    fprintf(stderr, "  reproduce: sim --seed %llu --trace\n", (unsigned long long)s->seed);
    exit(1);
}

uint64_t sim_rand(struct sim *s, uint64_t lo, uint64_t hi)
{
    return lo + ts_prng_below(&s->prng, hi - lo + 1);
}

bool sim_chance(struct sim *s, unsigned percent)
{
    return ts_prng_below(&s->prng, 100) < percent;
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_push(struct sim *s, struct sim_event ev)
{
    if (s->queue_count == s->queue_cap) {
        s->queue_cap = s->queue_cap == 0 ? 1024 : s->queue_cap * 2;
        s->queue = realloc(s->queue, s->queue_cap * sizeof(*s->queue));
        ts_assert(s->queue != NULL);
    }
    ev.order = s->order++;
    size_t i = s->queue_count++;
    while (i > 0 && before(&ev, &s->queue[(i - 1) / 2])) {
        s->queue[i] = s->queue[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->queue[i] = ev;
}

static struct sim_event pop(struct sim *s)
{
    struct sim_event top = s->queue[0];
    struct sim_event last = s->queue[--s->queue_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->queue_count) {
            break;
        }
        if (child + 1 < s->queue_count && before(&s->queue[child + 1], &s->queue[child])) {
            child++;
        }
        if (!before(&s->queue[child], &last)) {
            break;
        }
        s->queue[i] = s->queue[child];
        i = child;
    }
    if (s->queue_count > 0) {
        s->queue[i] = last;
    }
    return top;
}

static void push_fault(struct sim *s)
{
    uint64_t at = s->now + sim_rand(s, 5, 600) * SIM_MS;
    sim_push(s, (struct sim_event){.kind = at < s->end_of_faults ? SIM_EV_FAULT : SIM_EV_HEAL,
                                   .at = at < s->end_of_faults ? at : s->end_of_faults});
}

static void crash_nic(struct sim *s, int node, uint64_t back_after)
{
    sim_replica_crash(s, node);
    sim_voter_crash(s, node);
    sim_push(
        s, (struct sim_event){.kind = SIM_EV_START_VOTER, .node = node, .at = s->now + back_after});
    sim_push(s, (struct sim_event){.kind = SIM_EV_START_REPLICA,
                                   .node = node,
                                   .at = s->now + back_after + sim_rand(s, 0, 20) * SIM_MS});
}

static void crash_replica(struct sim *s, int node)
{
    sim_replica_crash(s, node);
    sim_push(s, (struct sim_event){.kind = SIM_EV_START_REPLICA,
                                   .node = node,
                                   .at = s->now + sim_rand(s, 1, 700) * SIM_MS});
}

/* A NIC hears of a config that was never decided, as if the other one had said so (a bug, a flipped
 * bit): of the next epoch, or of one far ahead. */
static void lie(struct sim *s, int node)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    struct repl_msg_config m = {s->genesis};
    struct repl_status st;
    int from = node == 1 ? 2 : 1;
    if (!s->replica[node].running || !s->session.up) {
        return;
    }
    repl_status(s->replica[node].core, &st);
    m.config.epoch.v = st.config.epoch.v + (sim_chance(s, 60) ? 1 : sim_rand(s, 2, 1U << 30));
    m.config.primary.v = (uint16_t)sim_rand(s, 1, SIM_NICS);
    m.config.proposer.v = s->replica[m.config.primary.v].life;
    m.config.nonce = ts_prng_next(&s->prng) | 1;
    if (sim_chance(s, 50)) {
        cfg_set_remove(&m.config.in_sync, (struct ts_nic_id){(uint16_t)(3 - m.config.primary.v)});
    }
    repl_msg_config_encode(&m, &w);
    sim_note(s, node, "hears a false config %llu", (unsigned long long)m.config.epoch.v);
    sim_net_send(s, from, node, REPL_MSG_CONFIG, (struct ts_bytes){bytes, w.len},
                 (struct ts_bytes){NULL, 0});
}

static void fault(struct sim *s)
{
    int nic = (int)sim_rand(s, 1, SIM_NICS);
    int other = nic == 1 ? 2 : 1;
    s->faults++;
    switch (sim_rand(s, 0, 11)) {
    case 0:
        crash_replica(s, nic);
        break;
    case 1:
        crash_nic(s, nic, sim_rand(s, 1, 2000) * SIM_MS);
        break;
    case 2:
        sim_voter_crash(s, SIM_NODES);
        sim_push(s, (struct sim_event){.kind = SIM_EV_START_VOTER,
                                       .node = SIM_NODES,
                                       .at = s->now + sim_rand(s, 1, 2000) * SIM_MS});
        break;
    case 3:
        s->replica[nic].paused_until = s->now + sim_rand(s, 1, 3000) * SIM_MS;
        sim_note(s, nic, "paused until %.3f", (double)s->replica[nic].paused_until / 1e6);
        break;
    case 4:
        sim_net_cut(s, 1, 2);
        break;
    case 5:
        sim_net_cut(s, nic, SIM_NODES);
        break;
    case 6:
        sim_net_cut(s, nic, other);
        sim_net_cut(s, nic, SIM_NODES);
        break;
    case 7:
        sim_net_break(s, "reset");
        break;
    case 8:
        s->replica[nic].crash_in = sim_rand(s, 1, 60);
        break;
    case 9: /* a detector that answers at random */
        sim_push(s, (struct sim_event){.kind = SIM_EV_EVIDENCE,
                                       .at = s->now,
                                       .node = nic,
                                       .life = s->replica[nic].life,
                                       .peer = other,
                                       .a = sim_rand(s, 0, REPL_EVIDENCE_EXITED)});
        break;
    case 10:
        lie(s, nic);
        break;
    default: /* power loss of everything */
        crash_nic(s, 1, sim_rand(s, 1, 800) * SIM_MS);
        crash_nic(s, 2, sim_rand(s, 1, 800) * SIM_MS);
        break;
    }
    if (sim_chance(s, 40)) {
        sim_net_heal(s);
    }
}

static void heal(struct sim *s)
{
    sim_note(s, 0, "faults end");
    sim_net_heal(s);
    for (int n = 1; n <= SIM_NODES; n++) {
        if (s->voter[n].core == NULL) {
            sim_voter_start(s, n);
        }
        if (n <= SIM_NICS) {
            s->replica[n].crash_in = 0;
            if (!s->replica[n].running) {
                sim_replica_start(s, n);
            }
        }
    }
}

/* A replica's process gets nothing while it is paused; false when the event must wait. */
static bool deliverable(struct sim *s, struct sim_event *ev)
{
    bool for_replica =
        ev->kind == SIM_EV_REPL_MSG || ev->kind == SIM_EV_LINK_UP || ev->kind == SIM_EV_LINK_DOWN ||
        ev->kind == SIM_EV_EVIDENCE || ev->kind == SIM_EV_DISK || ev->kind == SIM_EV_TO_PROPOSER ||
        ev->kind == SIM_EV_VOTER_LINK || ev->kind == SIM_EV_TICK || ev->kind == SIM_EV_FETCHED;
    if (for_replica && s->replica[ev->node].paused_until > s->now) {
        ev->at = s->replica[ev->node].paused_until;
        sim_push(s, *ev);
        return false;
    }
    return true;
}

static void on_repl_msg(struct sim *s, struct sim_event *ev)
{
    if (s->session.id != ev->session || !s->session.up ||
        s->replica[ev->node].session != ev->session) {
        return;
    }
    struct repl_event e = {.kind = REPL_EV_MESSAGE, .peer = {(uint16_t)ev->peer}};
    e.u.message.type = ev->type;
    e.u.message.frame = (struct ts_bytes){ev->bytes, ev->len};
    sim_feed(s, ev->node, &e);
}

static void on_link(struct sim *s, struct sim_event *ev)
{
    struct repl_event e = {.kind = ev->kind == SIM_EV_LINK_UP ? REPL_EV_LINK_UP : REPL_EV_LINK_DOWN,
                           .peer = {(uint16_t)ev->peer}};
    struct sim_replica *r = &s->replica[ev->node];
    if (ev->kind == SIM_EV_LINK_UP) {
        if (s->session.id != ev->session) {
            return;
        }
        r->session = ev->session;
    } else if (r->session != ev->session) {
        return; /* it never came up here, or a newer one did */
    }
    e.u.link.instance.v = s->replica[ev->peer].life;
    e.u.link.incarnation.v = 100 + (uint64_t)ev->peer;
    sim_feed(s, ev->node, &e);
}

static void on_register_message(struct sim *s, struct sim_event *ev)
{
    struct reg_msg msg;
    if (reg_msg_decode(&msg, ev->type, (struct ts_bytes){ev->bytes, ev->len}) != TS_OK) {
        sim_fail(s, "a register message does not decode");
    }
    if (ev->kind == SIM_EV_TO_VOTER) {
        sim_voter_message(s, ev->node, ev->peer, ev->a, &msg);
    } else {
        sim_proposer_message(s, ev->node, ev->peer, &msg);
    }
}

static void dispatch(struct sim *s, struct sim_event *ev)
{
    struct repl_event e = {.peer = {(uint16_t)ev->peer}};
    switch (ev->kind) {
    case SIM_EV_REPL_MSG:
        on_repl_msg(s, ev);
        break;
    case SIM_EV_LINK_UP:
    case SIM_EV_LINK_DOWN:
        on_link(s, ev);
        break;
    case SIM_EV_EVIDENCE:
        e.kind = ev->a == 0 ? REPL_EV_EVIDENCE_CLEAR : REPL_EV_EVIDENCE;
        e.u.evidence = (enum repl_evidence)ev->a;
        sim_feed(s, ev->node, &e);
        break;
    case SIM_EV_DISK:
        sim_disk_complete(s, ev->node);
        break;
    case SIM_EV_VOTER_DISK:
        sim_voter_disk(s, ev->node);
        break;
    case SIM_EV_TO_VOTER:
    case SIM_EV_TO_PROPOSER:
        on_register_message(s, ev);
        break;
    case SIM_EV_VOTER_LINK:
        sim_proposer_link(s, ev->node, (int)ev->a, s->voter[ev->a].core != NULL);
        break;
    case SIM_EV_TICK:
        s->replica[ev->node].tick_at = 0;
        sim_replica_tick(s, ev->node);
        break;
    case SIM_EV_FETCHED:
        e.kind = REPL_EV_FETCHED;
        e.u.fetched.after.v = ev->a;
        e.u.fetched.batches = (struct ts_bytes){ev->bytes, ev->len};
        sim_feed(s, ev->node, &e);
        break;
    case SIM_EV_CLIENT:
        sim_client_act(s, ev->node);
        break;
    case SIM_EV_START_REPLICA:
        if (!s->replica[ev->node].running) {
            sim_replica_start(s, ev->node);
        }
        break;
    case SIM_EV_START_VOTER:
        if (s->voter[ev->node].core == NULL) {
            sim_voter_start(s, ev->node);
        }
        break;
    case SIM_EV_WATCH:
        sim_net_watch(s);
        break;
    case SIM_EV_FAULT:
        fault(s);
        push_fault(s);
        break;
    case SIM_EV_HEAL:
        heal(s);
        break;
    }
}

/* Whether an event is for a process that has ended. */
static bool stale(const struct sim *s, const struct sim_event *ev)
{
    if (ev->life == 0) {
        return false;
    }
    bool voter = ev->kind == SIM_EV_VOTER_DISK || ev->kind == SIM_EV_TO_VOTER;
    return voter ? s->voter[ev->node].life != ev->life || s->voter[ev->node].core == NULL
                 : s->replica[ev->node].life != ev->life || !s->replica[ev->node].running;
}

static bool redundant_and_active(const struct sim *s)
{
    uint64_t newest = 0;
    bool good = false;
    for (int n = 1; n <= SIM_NICS; n++) {
        struct repl_status st;
        if (!s->replica[n].running) {
            return false;
        }
        repl_status(s->replica[n].core, &st);
        bool leads = st.role == REPL_ROLE_PRIMARY && st.config.epoch.v == newest;
        if (st.config.epoch.v > newest || leads) {
            newest = st.config.epoch.v;
            good = st.role == REPL_ROLE_PRIMARY && st.active && !st.blocked &&
                   st.config.in_sync.count == SIM_NICS;
        }
    }
    return good && s->replica[1].paused_until <= s->now && s->replica[2].paused_until <= s->now;
}

static void setup(struct sim *s, uint64_t seed, bool trace)
{
    memset(s, 0, sizeof(*s));
    s->seed = seed;
    s->trace = trace;
    s->prng = ts_prng_init(seed);
    s->entries = calloc(SIM_ENTRIES_MAX, sizeof(*s->entries));
    s->id_committed = calloc(SIM_ENTRIES_MAX, 1);
    s->id_acked = calloc(SIM_ENTRIES_MAX, 1);
    ts_assert(s->entries != NULL && s->id_committed != NULL && s->id_acked != NULL);
    s->genesis = (struct cfg_config){.epoch = {1}, .primary = {1}, .min_version = 1};
    for (uint16_t n = 1; n <= SIM_NICS; n++) {
        struct cfg_replica r = {{n}, {100U + n}};
        cfg_set_add(&s->genesis.in_sync, r);
        cfg_set_add(&s->genesis.members, r);
    }
    struct reg_value value = {0};
    struct ts_writer w = ts_writer_init(value.data, sizeof(value.data));
    cfg_config_encode(&s->genesis, &w);
    value.len = (uint16_t)w.len;
    for (int n = 1; n <= SIM_NODES; n++) {
        s->voter[n].durable = voter_genesis(SIM_REG, &value);
        sim_voter_start(s, n);
    }
    for (int n = 1; n <= SIM_NICS; n++) {
        s->replica[n].disk.log = calloc(SIM_BATCHES_MAX, sizeof(struct sim_op));
        ts_assert(s->replica[n].disk.log != NULL);
        sim_replica_start(s, n);
    }
    for (int i = 0; i < SIM_CLIENTS; i++) {
        s->client[i].guess = 1;
        sim_push(s, (struct sim_event){.kind = SIM_EV_CLIENT, .node = i, .at = 50 * SIM_MS});
    }
    sim_push(s, (struct sim_event){.kind = SIM_EV_WATCH});
    s->end_of_faults = FAULT_PHASE_MS * SIM_MS;
    push_fault(s);
}

static void teardown(struct sim *s)
{
    for (size_t i = 0; i < s->queue_count; i++) {
        free(s->queue[i].bytes);
    }
    for (int n = 1; n <= SIM_NODES; n++) {
        voter_free(s->voter[n].core);
        if (n <= SIM_NICS) {
            repl_free(s->replica[n].core);
            sim_disk_free(s, n);
        }
    }
    free(s->queue);
    free(s->entries);
    free(s->id_committed);
    free(s->id_acked);
}

static void run(struct sim *s)
{
    uint64_t well_since = 0;
    uint64_t give_up = s->end_of_faults + HEAL_BOUND_MS * SIM_MS;
    uint64_t acked_at_heal = 0;
    while (s->queue_count > 0) {
        struct sim_event ev = pop(s);
        s->now = ev.at;
        if (!stale(s, &ev)) {
            if (!deliverable(s, &ev)) {
                continue;
            }
            dispatch(s, &ev);
            s->steps++;
        }
        free(ev.bytes);
        if (s->now <= s->end_of_faults) {
            acked_at_heal = s->acked;
            continue;
        }
        well_since = redundant_and_active(s) ? (well_since == 0 ? s->now : well_since) : 0;
        if (well_since != 0 && s->now > well_since + 500 * SIM_MS &&
            s->acked > acked_at_heal + 10) {
            break;
        }
        if (s->now > give_up) {
            sim_fail(s, "not redundant and answering %d ms after the faults ended", HEAL_BOUND_MS);
        }
    }
    sim_client_check_end(s);
}

int main(int argc, char **argv)
{
    uint64_t seed = 1;
    uint64_t count = 1;
    bool trace = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            count = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
        } else {
            fprintf(stderr, "usage: sim [--seed N] [--seeds COUNT] [--trace]\n");
            return 2;
        }
    }
    struct sim *s = malloc(sizeof(*s));
    ts_assert(s != NULL);
    uint64_t acked = 0, ambiguous = 0, reads = 0, crashes = 0, takeovers = 0, faults = 0, steps = 0;
    for (uint64_t i = 0; i < count; i++) {
        setup(s, seed + i, trace);
        run(s);
        acked += s->acked;
        ambiguous += s->ambiguous;
        reads += s->reads;
        crashes += s->crashes;
        takeovers += s->takeovers;
        faults += s->faults;
        steps += s->steps;
        teardown(s);
    }
    free(s);
    printf("%llu seeds from %llu: %llu steps, %llu faults, %llu crashes, %llu takeovers, "
           "%llu acknowledged, %llu ambiguous, %llu reads: all held\n",
           (unsigned long long)count, (unsigned long long)seed, (unsigned long long)steps,
           (unsigned long long)faults, (unsigned long long)crashes, (unsigned long long)takeovers,
           (unsigned long long)acked, (unsigned long long)ambiguous, (unsigned long long)reads);
    if (takeovers == 0 || acked == 0 || reads == 0) {
        fprintf(stderr, "sim: nothing happened: %llu takeovers, %llu acknowledged\n",
                (unsigned long long)takeovers, (unsigned long long)acked);
        return 1;
    }
    return 0;
}
