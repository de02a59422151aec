#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "lab/ask.h"
#include "lab/clock.h"
#include "lab/exec.h"
#include "tests/integration/soak.h"

/* Generous bounds: they end a hung run, they judge no speed. */
#define ACKS_MS_MAX 30000
#define SHOW_MS_MAX 20000
#define POLL_MS 10
/* Reports repeat several times within this; a state that holds so long is no echo. */
#define STEADY_MS 400
/* A freeze this long must be noticed: several failure timeouts. */
#define NOTICED_MS 1000

/* One fault on its way. */
struct step {
    struct soak *s;
    struct soak_fault *out;
    struct ts_why why;
    unsigned primary;   /* index of the NIC whose replica was primary before */
    unsigned secondary; /* the other one */
    uint64_t epoch;     /* before */
    struct lab_state before;
    struct lab_state after; /* the state that settled */
    unsigned probe_round;
};

const char *soak_kind_name(enum soak_kind kind)
{
    static const char *const names[] = {
#define SOAK_KIND_NAME(sym, name) [sym] = (name),
        SOAK_KIND_LIST(SOAK_KIND_NAME)
#undef SOAK_KIND_NAME
    };
    return names[kind];
}

static void say(struct step *st, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct step *st, const char *format, ...)
{
    size_t len = strlen(st->out->text);
    va_list args;
    va_start(args, format);
    vsnprintf(st->out->text + len, sizeof st->out->text - len, format, args);
    va_end(args);
}

/* Ends the fault as a failure: the sentence and what every replica says. */
static bool wrong(struct step *st, const char *sentence)
{
    char text[512];
    struct lab_state now;
    lab_pair_state(&st->s->pair, &now);
    lab_state_text(&st->s->pair, &now, text, sizeof text);
    say(st, "%s%s [%s]", st->out->text[0] == '\0' ? "" : "; ", sentence, text);
    st->out->good = false;
    return false;
}

static const char *node(const struct step *st, unsigned index)
{
    return lab_pair_node(&st->s->pair, index);
}

/* What may never be seen, whatever the moment. */
static bool never_seen(struct step *st, const struct lab_state *now)
{
    const struct lab_replica *r = now->replica;
    if (now->crash[0] != '\0') {
        return wrong(st, now->crash);
    }
    for (unsigned i = 0; i < LAB_NICS; i++) {
        bool leads = r[i].known && r[i].role == REPORT_ROLE_PRIMARY;
        bool restarted = r[i].instance != st->before.replica[i].instance;
        if (leads && restarted && r[i].epoch <= st->epoch) {
            return wrong(st, "a restarted replica leads in an epoch decided before it started");
        }
    }
    if (r[0].known && r[1].known && r[0].role == REPORT_ROLE_PRIMARY &&
        r[1].role == REPORT_ROLE_PRIMARY && r[0].epoch == r[1].epoch) {
        return wrong(st, "two primaries in one epoch");
    }
    return true;
}

typedef bool state_test(const struct step *st, const struct lab_state *now);

/* Polls until `test` holds throughout `steady_ms`; `now` is then the state that passed it. A node
 * that is too busy to answer just then counts as a state that does not. */
static bool wait_state(struct step *st, state_test *test, unsigned steady_ms, unsigned timeout_ms,
                       struct lab_state *now)
{
    uint64_t end = lab_now_ns() + timeout_ms * TS_NS_PER_MS;
    uint64_t since = 0;
    for (;;) {
        lab_pair_state(&st->s->pair, now);
        uint64_t at = lab_now_ns();
        if (!never_seen(st, now)) {
            return false;
        }
        since = !test(st, now) ? 0 : since == 0 ? at : since;
        if (since != 0 && at - since >= steady_ms * TS_NS_PER_MS) {
            return true;
        }
        if (at > end) {
            return false;
        }
        lab_pause_ms(POLL_MS);
    }
}

static bool is_redundant(const struct step *st, const struct lab_state *now)
{
    (void)st;
    return lab_state_redundant(now);
}

static bool is_newer_and_redundant(const struct step *st, const struct lab_state *now)
{
    return lab_state_epoch(now) > st->epoch && lab_state_redundant(now);
}

static bool is_newer(const struct step *st, const struct lab_state *now)
{
    return lab_state_epoch(now) > st->epoch;
}

/* ---- before and after ---- */

static bool begin(struct step *st)
{
    struct soak *s = st->s;
    if (!lab_load_wait_acks(s->load, 50, ACKS_MS_MAX)) {
        return wrong(st, "clients are not served before the fault");
    }
    if (!wait_state(st, is_redundant, STEADY_MS, s->settle_ms, &st->before)) {
        return st->out->good ? wrong(st, "no redundancy before the fault") : false;
    }
    st->primary = (unsigned)lab_state_primary(&st->before);
    st->secondary = 1 - st->primary;
    st->epoch = lab_state_epoch(&st->before);
    /* Any phase of the journal's and the links' work may be hit. */
    lab_pause_ms(ts_prng_below(&s->prng, 40));
    for (unsigned i = 0; lab_load_now(s->load).in_flight == 0; i++) {
        if (i == 20000) {
            return wrong(st, "no request was in flight");
        }
        lab_pause_us(50);
    }
    lab_load_reset_gap(s->load);
    return true;
}

/* Redundancy is back and clients go on. `raised`: the epoch must have risen. */
static bool settle(struct step *st, bool raised)
{
    struct soak *s = st->s;
    state_test *test = raised ? is_newer_and_redundant : is_redundant;
    if (!lab_load_wait_acks(s->load, 100, ACKS_MS_MAX)) {
        return wrong(st, "clients are not served after the fault");
    }
    if (!wait_state(st, test, STEADY_MS, s->settle_ms, &st->after)) {
        return st->out->good ? wrong(st, raised ? "no redundancy in a newer epoch after the fault"
                                                : "no redundancy after the fault")
                             : false;
    }
    if (!lab_load_wait_acks(s->load, 100, ACKS_MS_MAX)) {
        return wrong(st, "clients are not served after redundancy came back");
    }
    uint64_t gap = lab_load_now(s->load).longest_gap_ns;
    s->worst_gap_ns = gap > s->worst_gap_ns ? gap : s->worst_gap_ns;
    say(st, ", epoch %" PRIu64 "→%" PRIu64 ", longest pause %.1f ms", st->epoch,
        lab_state_epoch(&st->after), (double)gap / 1e6);
    return true;
}

/* Redundancy was never lost: same primary, same epoch. */
static bool settle_unmoved(struct step *st)
{
    if (!settle(st, false)) {
        return false;
    }
    if (lab_state_epoch(&st->after) != st->epoch ||
        lab_state_primary(&st->after) != (int)st->primary) {
        return wrong(st, "the epoch or the primary changed without need");
    }
    return true;
}

/* The primary stayed: only the in-sync set changed, out and in again. */
static bool settle_same_primary(struct step *st, bool raised)
{
    if (!settle(st, raised)) {
        return false;
    }
    if (lab_state_primary(&st->after) != (int)st->primary) {
        return wrong(st, "the primary changed though only the secondary was hit");
    }
    return true;
}

static bool strike(struct step *st, struct lab_fault *f)
{
    if (lab_load_now(st->s->load).in_flight == 0) {
        return wrong(st, "no request was in flight at the fault");
    }
    if (lab_fault_inject(f, &st->why) != TS_OK || lab_fault_observe(f, &st->why) != TS_OK) {
        return wrong(st, st->why.text);
    }
    say(st, "%s of %s", f->type->name, f->node);
    if (f->program[0] != '\0') {
        say(st, " %s (pid %d)", f->program, (int)f->procs[0].pid);
    }
    return true;
}

static bool heal(struct step *st, struct lab_fault *f)
{
    return lab_fault_heal(f, &st->why) == TS_OK || wrong(st, st->why.text);
}

/* ---- the kinds ---- */

static bool kill_replica(struct step *st, unsigned nic)
{
    struct lab_fault f;
    lab_fault_kill(&f, &st->s->pair.run, node(st, nic), "replica", LAB_PAIR_GROUP);
    if (!strike(st, &f)) {
        return false;
    }
    return nic == st->primary ? settle(st, true) : settle_same_primary(st, true);
}

static bool kill_nic(struct step *st, unsigned nic)
{
    struct lab_fault f;
    lab_fault_nic(&f, &st->s->pair.run, node(st, nic));
    if (!strike(st, &f)) {
        return false;
    }
    /* The other one carries on while this one is dead. */
    if (!wait_state(st, is_newer, 0, SHOW_MS_MAX, &st->after)) {
        return st->out->good ? wrong(st, "nobody noticed that the NIC died") : false;
    }
    if (!lab_load_wait_acks(st->s->load, 100, ACKS_MS_MAX)) {
        return wrong(st, "clients are not served while the NIC is dead");
    }
    if (!heal(st, &f)) {
        return false;
    }
    return nic == st->primary ? settle(st, true) : settle_same_primary(st, true);
}

static bool kill_arbiter(struct step *st)
{
    struct lab_fault f;
    lab_fault_nic(&f, &st->s->pair.run, node(st, LAB_NICS));
    if (!strike(st, &f)) {
        return false;
    }
    if (!lab_load_wait_acks(st->s->load, 300, ACKS_MS_MAX)) {
        return wrong(st, "clients are not served while the arbiter is dead");
    }
    return heal(st, &f) && settle_unmoved(st);
}

static uint64_t freeze_time(struct step *st)
{
    /* Half of them short, around the detector's timeout; half up to the longest. */
    struct ts_prng *p = &st->s->prng;
    uint64_t max = st->s->freeze_ms_max;
    uint64_t ms = ts_prng_below(p, 2) == 0 ? 100 + ts_prng_below(p, 300)
                                           : NOTICED_MS + ts_prng_below(p, max - NOTICED_MS + 1);
    say(st, "for %" PRIu64 " ms, ", ms);
    return ms;
}

/* While the primary sleeps: another epoch begins and clients are served in it. */
static bool outlive_primary(struct step *st, int probe)
{
    struct lab_addrs addrs = lab_pair_addrs(&st->s->pair);
    struct lab_answer answer;
    char key[32];
    if (!wait_state(st, is_newer, 0, SHOW_MS_MAX, &st->after)) {
        return st->out->good ? wrong(st, "nobody noticed that the primary froze") : false;
    }
    if (!lab_load_wait_acks(st->s->load, 100, ACKS_MS_MAX)) {
        return wrong(st, "clients are not served while the old primary is frozen");
    }
    snprintf(key, sizeof key, "probe:%u", st->probe_round);
    const char *set[] = {"SET", key, "2", NULL};
    if (!lab_ask_again(&addrs, set, ACKS_MS_MAX, &answer)) {
        return wrong(st, "the probe's second SET was not acknowledged");
    }
    if (!soak_probe_ask(probe, st->probe_round)) {
        return wrong(st, "the probe could not ask the frozen primary");
    }
    return true;
}

/* Freezes the primary's replica (or its whole NIC) and reads what it says on waking. */
static bool freeze_primary(struct step *st, bool whole_nic)
{
    struct soak *s = st->s;
    struct lab_fault f;
    struct lab_answer answer;
    char key[32];
    char what[128];
    uint64_t ms = freeze_time(st);
    struct lab_addrs addrs = lab_pair_addrs(&s->pair);
    snprintf(key, sizeof key, "probe:%u", st->probe_round);
    const char *set[] = {"SET", key, "1", NULL};
    if (!lab_ask_again(&addrs, set, ACKS_MS_MAX, &answer)) {
        return wrong(st, "the probe's first SET was not acknowledged");
    }
    int probe = soak_probe_open(&s->pair, st->primary);
    if (probe < 0) {
        return wrong(st, "the probe could not connect to the primary");
    }
    lab_fault_freeze(&f, &s->pair.run, node(st, st->primary), whole_nic ? NULL : "replica",
                     whole_nic ? NULL : LAB_PAIR_GROUP);
    bool noticed = ms >= NOTICED_MS;
    bool good = strike(st, &f);
    uint64_t thaw_ns = f.injected_ns + ms * TS_NS_PER_MS;
    good = good && (!noticed || outlive_primary(st, probe));
    while (good && lab_now_ns() < thaw_ns) {
        lab_pause_ms(5);
    }
    if (f.injected_ns != 0 && lab_fault_heal(&f, &st->why) != TS_OK && good) {
        good = wrong(st, st->why.text);
    }
    if (good && noticed) {
        good = soak_probe_judge(probe, 2, 3000, what, sizeof what);
        say(st, ", on waking it %s", what);
        good = good || wrong(st, "that is older than what was acknowledged: a stale read");
    }
    close(probe);
    return good && settle(st, noticed);
}

static bool freeze_other(struct step *st, unsigned index)
{
    bool arbiter = index == LAB_NICS;
    struct lab_fault f;
    uint64_t ms = freeze_time(st);
    lab_fault_freeze(&f, &st->s->pair.run, node(st, index), arbiter ? NULL : "replica",
                     arbiter ? NULL : LAB_PAIR_GROUP);
    bool good = strike(st, &f);
    uint64_t thaw_ns = f.injected_ns + ms * TS_NS_PER_MS;
    if (good && (arbiter || ms >= NOTICED_MS) &&
        !lab_load_wait_acks(st->s->load, 50, ACKS_MS_MAX)) {
        good = wrong(st, "clients are not served during the freeze");
    }
    while (good && lab_now_ns() < thaw_ns) {
        lab_pause_ms(5);
    }
    if (f.injected_ns != 0 && lab_fault_heal(&f, &st->why) != TS_OK && good) {
        good = wrong(st, st->why.text);
    }
    if (!good) {
        return false;
    }
    return arbiter ? settle_unmoved(st) : settle_same_primary(st, ms >= NOTICED_MS);
}

static bool kill_both(struct step *st)
{
    struct lab_fault first;
    struct lab_fault second;
    unsigned a = (unsigned)ts_prng_below(&st->s->prng, LAB_NICS);
    lab_fault_nic(&first, &st->s->pair.run, node(st, a));
    lab_fault_nic(&second, &st->s->pair.run, node(st, 1 - a));
    if (lab_fault_inject(&first, &st->why) != TS_OK ||
        lab_fault_inject(&second, &st->why) != TS_OK ||
        lab_fault_observe(&first, &st->why) != TS_OK ||
        lab_fault_observe(&second, &st->why) != TS_OK) {
        return wrong(st, st->why.text);
    }
    say(st, "nic of %s and %s", first.node, second.node);
    return heal(st, &second) && heal(st, &first) && settle(st, true);
}

static bool drop_path(struct step *st, uint8_t path)
{
    struct lab_fault f;
    if (!st->s->own_network) {
        say(st, "left out: no network namespace of its own");
        return true;
    }
    lab_fault_path(&f, &st->s->pair.run, &st->s->pair.cluster, path);
    if (lab_fault_inject(&f, &st->why) != TS_OK) {
        return wrong(st, st->why.text);
    }
    bool good = lab_load_wait_acks(st->s->load, 500, ACKS_MS_MAX) ||
                wrong(st, "clients are not served while the path is dark");
    /* Well beyond every timeout that could wrongly act on it. */
    uint64_t until = f.injected_ns + 10ULL * st->s->pair.config.failure_timeout_ms * TS_NS_PER_MS;
    while (lab_now_ns() < until) {
        lab_pause_ms(POLL_MS);
    }
    if (good && lab_fault_observe(&f, &st->why) != TS_OK) {
        good = wrong(st, st->why.text);
    }
    say(st, "path %u dark, %" PRIu64 " packets dropped", (unsigned)path, f.effect);
    return heal(st, &f) && good && settle_unmoved(st);
}

/* The replicas lose each other, and moments later the primary's NIC dies: what it ordered in
 * between reached nobody, so it must not have been answered. */
static bool cut_and_kill(struct step *st)
{
    struct lab_fault cut;
    struct lab_fault dead;
    if (!st->s->own_network) {
        say(st, "left out: no network namespace of its own");
        return true;
    }
    lab_fault_link(&cut, &st->s->pair.run, &st->s->pair.cluster, LAB_PAIR_GROUP);
    lab_fault_nic(&dead, &st->s->pair.run, node(st, st->primary));
    if (lab_fault_inject(&cut, &st->why) != TS_OK) {
        return wrong(st, st->why.text);
    }
    lab_pause_ms(10 + ts_prng_below(&st->s->prng, 40));
    bool good = strike(st, &dead);
    if (good && lab_fault_observe(&cut, &st->why) != TS_OK) {
        good = wrong(st, st->why.text);
    }
    say(st, " behind a cut link, %" PRIu64 " packets dropped", cut.effect);
    if (good) {
        lab_pause_ms(5ULL * st->s->pair.config.failure_timeout_ms);
    }
    return heal(st, &cut) && good && heal(st, &dead) && settle(st, true);
}

/* `how`: what the shell does with the command's end. */
static bool hand_over(struct step *st, const char *how)
{
    char command[2 * TS_PATH_MAX + 256];
    char out[1024] = "";
    const struct nodes_run *run = &st->s->pair.run;
    snprintf(command, sizeof command, "'%s/twinstep' handoff --dir '%s' --timeout 5 %s %s",
             run->bin, run->run, LAB_PAIR_GROUP, how);
    const char *argv[] = {"sh", "-c", command, NULL};
    if (lab_exec(argv, NULL, out, sizeof out, &st->why) == TS_OK) {
        return true;
    }
    return wrong(st, out[0] != '\0' ? out : st->why.text);
}

/* The operator has the primary hand over: the other one serves, and no process has ended. */
static bool handoff(struct step *st)
{
    if (!hand_over(st, "2>&1") || !settle(st, true)) {
        return false;
    }
    return lab_state_primary(&st->after) == (int)st->secondary ||
           wrong(st, "the other one is not the primary after the handoff");
}

/* One of the two dies at some point of a handoff. The new primary may still be alone then: the
 * group waits for it to be started again. */
static bool handoff_and_kill(struct step *st)
{
    struct lab_fault f;
    bool heir = ts_prng_below(&st->s->prng, 2) == 0;
    lab_fault_kill(&f, &st->s->pair.run, node(st, heir ? st->secondary : st->primary), "replica",
                   LAB_PAIR_GROUP);
    if (!hand_over(st, ">/dev/null 2>&1 &")) {
        return false;
    }
    lab_pause_ms(ts_prng_below(&st->s->prng, 25)); /* the command has to start, too */
    if (lab_fault_inject(&f, &st->why) != TS_OK || lab_fault_observe(&f, &st->why) != TS_OK) {
        return wrong(st, st->why.text);
    }
    say(st, "%s killed during a handoff", f.node);
    return settle(st, true);
}

static bool run_kind(struct step *st, enum soak_kind kind)
{
    switch (kind) {
    case SOAK_KILL_PRIMARY:
        return kill_replica(st, st->primary);
    case SOAK_KILL_SECONDARY:
        return kill_replica(st, st->secondary);
    case SOAK_KILL_PRIMARY_NIC:
        return kill_nic(st, st->primary);
    case SOAK_KILL_SECONDARY_NIC:
        return kill_nic(st, st->secondary);
    case SOAK_KILL_ARBITER:
        return kill_arbiter(st);
    case SOAK_FREEZE_PRIMARY:
        return freeze_primary(st, false);
    case SOAK_FREEZE_SECONDARY:
        return freeze_other(st, st->secondary);
    case SOAK_FREEZE_PRIMARY_NIC:
        return freeze_primary(st, true);
    case SOAK_FREEZE_ARBITER:
        return freeze_other(st, LAB_NICS);
    case SOAK_KILL_BOTH:
        return kill_both(st);
    case SOAK_DROP_PATH_A:
        return drop_path(st, 0);
    case SOAK_DROP_PATH_B:
        return drop_path(st, 1);
    case SOAK_CUT_AND_KILL:
        return cut_and_kill(st);
    case SOAK_HANDOFF:
        return handoff(st);
    case SOAK_HANDOFF_AND_KILL:
        return handoff_and_kill(st);
    case SOAK_KINDS:
        break;
    }
    ts_unreachable();
}

bool soak_inflict(struct soak *s, enum soak_kind kind, struct soak_fault *out)
{
    *out = (struct soak_fault){.kind = kind, .good = true};
    struct step st = {.s = s, .out = out, .probe_round = ++s->probes};
    bool good = begin(&st) && run_kind(&st, kind);
    out->good = good;
    return good;
}
