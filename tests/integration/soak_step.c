#include "tests/integration/soak_step.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lab/clock.h"

#define POLL_MS 10
/* Reports repeat several times within this; a state that holds so long is no echo. */
#define STEADY_MS 400

const char *soak_kind_name(enum soak_kind kind)
{
    static const char *const names[] = {
#define SOAK_KIND_NAME(sym, name) [sym] = (name),
        SOAK_KIND_LIST(SOAK_KIND_NAME)
#undef SOAK_KIND_NAME
    };
    return names[kind];
}

void soak_say(struct soak_step *st, const char *format, ...)
{
    size_t len = strlen(st->out->text);
    va_list args;
    va_start(args, format);
    vsnprintf(st->out->text + len, sizeof st->out->text - len, format, args);
    va_end(args);
}

bool soak_wrong(struct soak_step *st, const char *sentence)
{
    char text[512];
    struct lab_state now;
    lab_pair_state(&st->s->pair, &now);
    lab_state_text(&st->s->pair, &now, text, sizeof text);
    soak_say(st, "%s%s [%s]", st->out->text[0] == '\0' ? "" : "; ", sentence, text);
    st->out->good = false;
    return false;
}

const char *soak_node(const struct soak_step *st, unsigned index)
{
    return lab_pair_node(&st->s->pair, index);
}

/* What may never be seen, whatever the moment. */
static bool never_seen(struct soak_step *st, const struct lab_state *now)
{
    const struct lab_view_replica *r = now->replica;
    if (now->crash[0] != '\0') {
        return soak_wrong(st, now->crash);
    }
    for (unsigned i = 0; i < LAB_NICS; i++) {
        bool leads = r[i].known && r[i].role == REPORT_ROLE_PRIMARY;
        bool restarted = r[i].instance != st->before.replica[i].instance;
        if (leads && restarted && r[i].epoch <= st->epoch) {
            return soak_wrong(st,
                              "a restarted replica leads in an epoch decided before it started");
        }
    }
    if (r[0].known && r[1].known && r[0].role == REPORT_ROLE_PRIMARY &&
        r[1].role == REPORT_ROLE_PRIMARY && r[0].epoch == r[1].epoch) {
        return soak_wrong(st, "two primaries in one epoch");
    }
    return true;
}

bool soak_wait_state(struct soak_step *st, soak_state_test *test, unsigned steady_ms,
                     unsigned timeout_ms, struct lab_state *now)
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

static bool is_redundant(const struct soak_step *st, const struct lab_state *now)
{
    return lab_state_redundant_but(now, st->s->voter_lost ? "voter-" : NULL);
}

static bool is_newer_and_redundant(const struct soak_step *st, const struct lab_state *now)
{
    return lab_state_epoch(now) > st->epoch && is_redundant(st, now);
}

bool soak_is_newer(const struct soak_step *st, const struct lab_state *now)
{
    return lab_state_epoch(now) > st->epoch;
}

/* ---- before and after ---- */

bool soak_begin(struct soak_step *st)
{
    struct soak *s = st->s;
    if (!lab_load_wait_acks(s->load, 50, SOAK_ACKS_MS_MAX)) {
        return soak_wrong(st, "clients are not served before the fault");
    }
    if (!soak_wait_state(st, is_redundant, s->settled ? 0 : STEADY_MS, s->settle_ms, &st->before)) {
        return st->out->good ? soak_wrong(st, "no redundancy before the fault") : false;
    }
    st->primary = (unsigned)lab_state_primary(&st->before);
    st->secondary = 1 - st->primary;
    st->epoch = lab_state_epoch(&st->before);
    /* Any phase of the journal's and the links' work may be hit. */
    lab_pause_ms(ts_prng_below(&s->prng, 40));
    for (unsigned i = 0; lab_load_now(s->load).in_flight == 0; i++) {
        if (i == 20000) {
            return soak_wrong(st, "no request was in flight");
        }
        lab_pause_us(50);
    }
    lab_load_reset_gap(s->load);
    return true;
}

bool soak_settle(struct soak_step *st, bool raised)
{
    struct soak *s = st->s;
    soak_state_test *test = raised ? is_newer_and_redundant : is_redundant;
    if (!lab_load_wait_acks(s->load, 100, SOAK_ACKS_MS_MAX)) {
        return soak_wrong(st, "clients are not served after the fault");
    }
    if (!soak_wait_state(st, test, STEADY_MS, s->settle_ms, &st->after)) {
        return st->out->good
                   ? soak_wrong(st, raised ? "no redundancy in a newer epoch after the fault"
                                           : "no redundancy after the fault")
                   : false;
    }
    if (!lab_load_wait_acks(s->load, 100, SOAK_ACKS_MS_MAX)) {
        return soak_wrong(st, "clients are not served after redundancy came back");
    }
    s->settled = true;
    uint64_t gap = lab_load_now(s->load).longest_gap_ns;
    s->worst_gap_ns = gap > s->worst_gap_ns ? gap : s->worst_gap_ns;
    soak_say(st, ", epoch %" PRIu64 "→%" PRIu64 ", longest pause %.1f ms", st->epoch,
             lab_state_epoch(&st->after), (double)gap / 1e6);
    return true;
}

bool soak_settle_unmoved(struct soak_step *st)
{
    if (!soak_settle(st, false)) {
        return false;
    }
    if (lab_state_epoch(&st->after) != st->epoch ||
        lab_state_primary(&st->after) != (int)st->primary) {
        return soak_wrong(st, "the epoch or the primary changed without need");
    }
    return true;
}

bool soak_settle_same_primary(struct soak_step *st, bool raised)
{
    if (!soak_settle(st, raised)) {
        return false;
    }
    if (lab_state_primary(&st->after) != (int)st->primary) {
        return soak_wrong(st, "the primary changed though only the secondary was hit");
    }
    return true;
}

bool soak_strike(struct soak_step *st, struct lab_fault *f)
{
    if (lab_load_now(st->s->load).in_flight == 0) {
        return soak_wrong(st, "no request was in flight at the fault");
    }
    if (lab_fault_inject(f, &st->why) != TS_OK || lab_fault_observe(f, &st->why) != TS_OK) {
        return soak_wrong(st, st->why.text);
    }
    soak_say(st, "%s of %s", f->type->name, f->node);
    if (f->program[0] != '\0') {
        soak_say(st, " %s (pid %d)", f->program, (int)f->procs[0].pid);
    }
    return true;
}

bool soak_heal(struct soak_step *st, struct lab_fault *f)
{
    return lab_fault_heal(f, &st->why) == TS_OK || soak_wrong(st, st->why.text);
}

bool soak_carried_on(struct soak_step *st, const char *sentence)
{
    if (!soak_wait_state(st, soak_is_newer, 0, SOAK_SHOW_MS_MAX, &st->after)) {
        return st->out->good ? soak_wrong(st, sentence) : false;
    }
    return lab_load_wait_acks(st->s->load, 100, SOAK_ACKS_MS_MAX) ||
           soak_wrong(st, "clients are not served while the fault lasts");
}
