#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "lab/ask.h"
#include "lab/clock.h"
#include "lab/exec.h"
#include "tests/integration/soak_step.h"

#define POLL_MS 10
/* A freeze this long must be noticed: several failure timeouts. */
#define NOTICED_MS 1000

static bool kill_replica(struct soak_step *st, unsigned nic)
{
    struct lab_fault f;
    lab_fault_kill(&f, &st->s->pair.run, soak_node(st, nic), "replica", LAB_PAIR_GROUP);
    if (!soak_strike(st, &f)) {
        return false;
    }
    return nic == st->primary ? soak_settle(st, true) : soak_settle_same_primary(st, true);
}

static bool kill_nic(struct soak_step *st, unsigned nic)
{
    struct lab_fault f;
    lab_fault_nic(&f, &st->s->pair.run, soak_node(st, nic));
    if (!soak_strike(st, &f)) {
        return false;
    }
    /* The other one carries on while this one is dead. */
    if (!soak_carried_on(st, "nobody noticed that the NIC died") || !soak_heal(st, &f)) {
        return false;
    }
    return nic == st->primary ? soak_settle(st, true) : soak_settle_same_primary(st, true);
}

static bool kill_arbiter(struct soak_step *st)
{
    struct lab_fault f;
    lab_fault_nic(&f, &st->s->pair.run, soak_node(st, LAB_NICS));
    if (!soak_strike(st, &f)) {
        return false;
    }
    if (!lab_load_wait_acks(st->s->load, 300, SOAK_ACKS_MS_MAX)) {
        return soak_wrong(st, "clients are not served while the arbiter is dead");
    }
    return soak_heal(st, &f) && soak_settle_unmoved(st);
}

static uint64_t freeze_time(struct soak_step *st)
{
    /* Half of them short, around the detector's timeout; half up to the longest. */
    struct ts_prng *p = &st->s->prng;
    uint64_t max = st->s->freeze_ms_max;
    uint64_t ms = ts_prng_below(p, 2) == 0 ? 100 + ts_prng_below(p, 300)
                                           : NOTICED_MS + ts_prng_below(p, max - NOTICED_MS + 1);
    soak_say(st, "for %" PRIu64 " ms, ", ms);
    return ms;
}

/* While the primary sleeps: another epoch begins and clients are served in it. */
static bool outlive_primary(struct soak_step *st, int probe)
{
    struct lab_addrs addrs = lab_pair_addrs(&st->s->pair);
    struct lab_answer answer;
    char key[32];
    if (!soak_wait_state(st, soak_is_newer, 0, SOAK_SHOW_MS_MAX, &st->after)) {
        return st->out->good ? soak_wrong(st, "nobody noticed that the primary froze") : false;
    }
    if (!lab_load_wait_acks(st->s->load, 100, SOAK_ACKS_MS_MAX)) {
        return soak_wrong(st, "clients are not served while the old primary is frozen");
    }
    snprintf(key, sizeof key, "probe:%u", st->probe_round);
    const char *set[] = {"SET", key, "2", NULL};
    if (!lab_ask_again(&addrs, set, SOAK_ACKS_MS_MAX, &answer)) {
        return soak_wrong(st, "the probe's second SET was not acknowledged");
    }
    if (!soak_probe_ask(probe, st->probe_round)) {
        return soak_wrong(st, "the probe could not ask the frozen primary");
    }
    return true;
}

/* Freezes the primary's replica (or its whole NIC) and reads what it says on waking. */
static bool freeze_primary(struct soak_step *st, bool whole_nic)
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
    if (!lab_ask_again(&addrs, set, SOAK_ACKS_MS_MAX, &answer)) {
        return soak_wrong(st, "the probe's first SET was not acknowledged");
    }
    int probe = soak_probe_open(&s->pair, st->primary);
    if (probe < 0) {
        return soak_wrong(st, "the probe could not connect to the primary");
    }
    lab_fault_freeze(&f, &s->pair.run, soak_node(st, st->primary), whole_nic ? NULL : "replica",
                     whole_nic ? NULL : LAB_PAIR_GROUP);
    bool noticed = ms >= NOTICED_MS;
    bool good = soak_strike(st, &f);
    uint64_t thaw_ns = f.injected_ns + ms * TS_NS_PER_MS;
    good = good && (!noticed || outlive_primary(st, probe));
    while (good && lab_now_ns() < thaw_ns) {
        lab_pause_ms(5);
    }
    if (f.injected_ns != 0 && lab_fault_heal(&f, &st->why) != TS_OK && good) {
        good = soak_wrong(st, st->why.text);
    }
    if (good && noticed) {
        good = soak_probe_judge(probe, 2, 3000, what, sizeof what);
        soak_say(st, ", on waking it %s", what);
        good = good || soak_wrong(st, "that is older than what was acknowledged: a stale read");
    }
    close(probe);
    return good && soak_settle(st, noticed);
}

static bool freeze_other(struct soak_step *st, unsigned index)
{
    bool arbiter = index == LAB_NICS;
    struct lab_fault f;
    uint64_t ms = freeze_time(st);
    lab_fault_freeze(&f, &st->s->pair.run, soak_node(st, index), arbiter ? NULL : "replica",
                     arbiter ? NULL : LAB_PAIR_GROUP);
    bool good = soak_strike(st, &f);
    uint64_t thaw_ns = f.injected_ns + ms * TS_NS_PER_MS;
    if (good && (arbiter || ms >= NOTICED_MS) &&
        !lab_load_wait_acks(st->s->load, 50, SOAK_ACKS_MS_MAX)) {
        good = soak_wrong(st, "clients are not served during the freeze");
    }
    while (good && lab_now_ns() < thaw_ns) {
        lab_pause_ms(5);
    }
    if (f.injected_ns != 0 && lab_fault_heal(&f, &st->why) != TS_OK && good) {
        good = soak_wrong(st, st->why.text);
    }
    if (!good) {
        return false;
    }
    return arbiter ? soak_settle_unmoved(st) : soak_settle_same_primary(st, ms >= NOTICED_MS);
}

static bool kill_both(struct soak_step *st)
{
    struct lab_fault first;
    struct lab_fault second;
    unsigned a = (unsigned)ts_prng_below(&st->s->prng, LAB_NICS);
    lab_fault_nic(&first, &st->s->pair.run, soak_node(st, a));
    lab_fault_nic(&second, &st->s->pair.run, soak_node(st, 1 - a));
    if (lab_fault_inject(&first, &st->why) != TS_OK ||
        lab_fault_inject(&second, &st->why) != TS_OK ||
        lab_fault_observe(&first, &st->why) != TS_OK ||
        lab_fault_observe(&second, &st->why) != TS_OK) {
        return soak_wrong(st, st->why.text);
    }
    soak_say(st, "nic of %s and %s", first.node, second.node);
    return soak_heal(st, &second) && soak_heal(st, &first) && soak_settle(st, true);
}

static bool drop_path(struct soak_step *st, uint8_t path)
{
    struct lab_fault f;
    if (!st->s->own_network) {
        soak_say(st, "left out: no network namespace of its own");
        return true;
    }
    lab_fault_path(&f, &st->s->pair.run, &st->s->pair.cluster, path);
    if (lab_fault_inject(&f, &st->why) != TS_OK) {
        return soak_wrong(st, st->why.text);
    }
    bool good = lab_load_wait_acks(st->s->load, 500, SOAK_ACKS_MS_MAX) ||
                soak_wrong(st, "clients are not served while the path is dark");
    /* Well beyond every timeout that could wrongly act on it. */
    uint64_t until = f.injected_ns + 10ULL * st->s->pair.config.failure_timeout_ms * TS_NS_PER_MS;
    while (lab_now_ns() < until) {
        lab_pause_ms(POLL_MS);
    }
    if (good && lab_fault_observe(&f, &st->why) != TS_OK) {
        good = soak_wrong(st, st->why.text);
    }
    soak_say(st, "path %u dark, %" PRIu64 " packets dropped", (unsigned)path, f.effect);
    return soak_heal(st, &f) && good && soak_settle_unmoved(st);
}

/* The replicas lose each other, and moments later the primary's NIC dies: what it ordered in
 * between reached nobody, so it must not have been answered. */
static bool cut_and_kill(struct soak_step *st)
{
    struct lab_fault cut;
    struct lab_fault dead;
    if (!st->s->own_network) {
        soak_say(st, "left out: no network namespace of its own");
        return true;
    }
    lab_fault_link(&cut, &st->s->pair.run, &st->s->pair.cluster, LAB_PAIR_GROUP);
    lab_fault_nic(&dead, &st->s->pair.run, soak_node(st, st->primary));
    if (lab_fault_inject(&cut, &st->why) != TS_OK) {
        return soak_wrong(st, st->why.text);
    }
    lab_pause_ms(10 + ts_prng_below(&st->s->prng, 40));
    bool good = soak_strike(st, &dead);
    if (good && lab_fault_observe(&cut, &st->why) != TS_OK) {
        good = soak_wrong(st, st->why.text);
    }
    soak_say(st, " behind a cut link, %" PRIu64 " packets dropped", cut.effect);
    if (good) {
        lab_pause_ms(5ULL * st->s->pair.config.failure_timeout_ms);
    }
    return soak_heal(st, &cut) && good && soak_heal(st, &dead) && soak_settle(st, true);
}

/* `how`: what the shell does with the command's end. */
static bool hand_over(struct soak_step *st, const char *how)
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
    return soak_wrong(st, out[0] != '\0' ? out : st->why.text);
}

/* The operator has the primary hand over: the other one serves, and no process has ended. */
static bool handoff(struct soak_step *st)
{
    if (!hand_over(st, "2>&1") || !soak_settle(st, true)) {
        return false;
    }
    return lab_state_primary(&st->after) == (int)st->secondary ||
           soak_wrong(st, "the other one is not the primary after the handoff");
}

/* One of the two dies at some point of a handoff. The new primary may still be alone then: the
 * group waits for it to be started again. */
static bool handoff_and_kill(struct soak_step *st)
{
    struct lab_fault f;
    bool heir = ts_prng_below(&st->s->prng, 2) == 0;
    lab_fault_kill(&f, &st->s->pair.run, soak_node(st, heir ? st->secondary : st->primary),
                   "replica", LAB_PAIR_GROUP);
    if (!hand_over(st, ">/dev/null 2>&1 &")) {
        return false;
    }
    lab_pause_ms(ts_prng_below(&st->s->prng, 25)); /* the command has to start, too */
    if (lab_fault_inject(&f, &st->why) != TS_OK || lab_fault_observe(&f, &st->why) != TS_OK) {
        return soak_wrong(st, st->why.text);
    }
    soak_say(st, "%s killed during a handoff", f.node);
    return soak_settle(st, true);
}

static bool run_kind(struct soak_step *st, enum soak_kind kind)
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
    case SOAK_HANG_DISK:
    case SOAK_FILL_DISK:
    case SOAK_FAIL_SYNC:
    case SOAK_DAMAGE_JOURNAL:
    case SOAK_DAMAGE_AND_START:
    case SOAK_BLANK_DISK:
    case SOAK_KILL_IN_SNAPSHOT:
        return soak_disk_kind(st, kind);
    case SOAK_KINDS:
        break;
    }
    ts_unreachable();
}

bool soak_inflict(struct soak *s, enum soak_kind kind, struct soak_fault *out)
{
    *out = (struct soak_fault){.kind = kind, .good = true};
    struct soak_step st = {.s = s, .out = out, .probe_round = ++s->probes};
    bool good = soak_begin(&st) && run_kind(&st, kind);
    out->good = good;
    return good;
}
