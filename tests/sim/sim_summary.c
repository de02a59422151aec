/* See sim_summary.h. */
#include "tests/sim/sim_summary.h"

#include "sim_commit.h"

/* Ties are judged when there were so many: of fewer, chance may take most. */
#define PARTED_MIN 15
/* From so many runs on there must have been as many. */
#define PARTED_IN 1000

static void add_pauses(struct sim_pauses *to, const struct sim_pauses *p)
{
    for (int i = 0; i < SIM_PAUSES; i++) {
        to->count[i] += p->count[i];
    }
    to->longest_pm = p->longest_pm > to->longest_pm ? p->longest_pm : to->longest_pm;
    to->nearest = p->nearest > to->nearest ? p->nearest : to->nearest;
}

static void keep_seed(struct sim_seeds *list, uint64_t seed)
{
    if (list->count < SIM_SEEDS_KEPT) {
        list->seed[list->count++] = seed;
    }
}

void sim_totals_add(struct sim_totals *t, const struct sim_stats *s, uint64_t seed)
{
    struct sim_stats *to = &t->stats;
    t->seeds++;
    to->events += s->events;
    to->acked += s->acked;
    to->ambiguous += s->ambiguous;
    to->reads += s->reads;
    to->refused += s->refused;
    to->crashes += s->crashes;
    to->takeovers += s->takeovers;
    to->epochs += s->epochs;
    to->heartbeats += s->heartbeats;
    to->frames += s->frames;
    to->register_messages += s->register_messages;
    to->stopped += s->stopped;
    to->noticed += s->noticed;
    to->replays += s->replays;
    to->operations += s->operations;
    to->lin_steps += s->lin_steps;
    to->virtual_ns += s->virtual_ns;
    for (int k = 0; k < SIM_FAULT_KINDS; k++) {
        to->faults[k] += s->faults[k];
        to->armed[k] += s->armed[k];
        to->spared[k] += s->spared[k];
    }
    if (s->stopped > 0) {
        keep_seed(&t->stopped, seed);
    }
    if (s->parted_kept < s->parted) {
        keep_seed(&t->tied, seed);
    }
    to->parted += s->parted;
    to->parted_kept += s->parted_kept;
    to->snapshots += s->snapshots;
    to->snapshots_loaded += s->snapshots_loaded;
    to->starts_behind += s->starts_behind;
    to->installed += s->installed;
    to->scrubs += s->scrubs;
    to->scrub_found += s->scrub_found;
    to->repaired += s->repaired;
    to->whole_again += s->whole_again;
    to->sessions += s->sessions;
    to->resumed += s->resumed;
    to->joining += s->joining;
    to->replaced += s->replaced;
    to->ended += s->ended;
    to->resent += s->resent;
    to->recovered += s->recovered;
    to->fenced += s->fenced;
    to->again += s->again;
    for (int k = 0; k < SIM_ONES; k++) {
        add_pauses(&to->pauses[k], &s->pauses[k]);
    }
    add_pauses(&to->well, &s->well);
}

static uint64_t all_faults(const struct sim_totals *t)
{
    uint64_t n = 0;
    for (int k = 0; k < SIM_FAULT_KINDS; k++) {
        n += t->stats.faults[k];
    }
    return n;
}

void sim_summary_line(const struct sim_totals *t, double took)
{
    double virtual_s = (double)t->stats.virtual_ns / 1e9;
    printf("%llu seeds, %.1f/s; %.2f simulated hours, %.2f a second, %.0f x real time; %.0f "
           "requests a virtual "
           "second; %llu faults, %llu takeovers, %llu stopped, %llu ended by an alarm of other "
           "results, %llu replays because of such\n",
           (unsigned long long)t->seeds, (double)t->seeds / took, virtual_s / 3600,
           virtual_s / 3600 / took, virtual_s / took,
           (double)(t->stats.acked + t->stats.reads) / virtual_s, (unsigned long long)all_faults(t),
           (unsigned long long)t->stats.takeovers, (unsigned long long)t->stats.stopped,
           (unsigned long long)t->stats.noticed, (unsigned long long)t->stats.replays);
    fflush(stdout);
}

static uint64_t pauses_of(const struct sim_pauses *p)
{
    uint64_t n = 0;
    for (int i = 0; i < SIM_PAUSES; i++) {
        n += p->count[i];
    }
    return n;
}

/* The tenth of a failure-timeout that so many per mille of the pauses do not reach. */
static double quantile(const struct sim_pauses *p, uint64_t per_mille)
{
    uint64_t all = pauses_of(p);
    uint64_t below = 0;
    for (int i = 0; i < SIM_PAUSES; i++) {
        below += p->count[i];
        if (below * 1000 >= all * per_mille) {
            return (double)(i + 1) / 10;
        }
    }
    return 0;
}

static void summary_pauses(const struct sim_stats *s)
{
    printf(
        "  well again after the faults, in seconds: median < %.1f, p99 < %.1f, longest %.1f; %llu "
        "%% of its bound at most\n",
        quantile(&s->well, 500), quantile(&s->well, 990), (double)s->well.longest_pm / 1000,
        (unsigned long long)s->well.nearest);
    printf("  pauses while one fault lasts, in failure-timeouts:\n");
    for (int k = 0; k < SIM_ONES; k++) {
        const struct sim_pauses *p = &s->pauses[k];
        uint64_t all = pauses_of(p);
        if (all > 0) {
            printf("    %-29s %5llu: median < %3.1f, p99 < %3.1f, longest %4.2f; %2llu %% of its "
                   "bound at most (%s)\n",
                   sim_one_name((enum sim_one)k), (unsigned long long)all, quantile(p, 500),
                   quantile(p, 990), (double)p->longest_pm / 1000, (unsigned long long)p->nearest,
                   sim_one_wait((enum sim_one)k));
        }
    }
    printf("  of %llu primaries that were parted from a secondary %llu stayed\n",
           (unsigned long long)s->parted, (unsigned long long)s->parted_kept);
}

void sim_summary(const struct sim_totals *t, double took)
{
    const struct sim_stats *s = &t->stats;
    sim_summary_line(t, took);
    printf(
        "  %llu events: %llu heartbeats, %llu frames, %llu register messages; %llu writes "
        "answered, %llu reads, %llu ambiguous, %llu refused; %llu operations judged in %llu steps; "
        "%llu ends of processes, %llu epochs\n"
        "  %llu snapshots, of which %llu were loaded at a start; %llu starts with a log that "
        "begins "
        "behind one, %llu with another's; %llu passes through a disk found %llu damaged places, "
        "%llu were mended, %llu disks are whole again\n"
        "  %llu sessions were opened, %llu times resumed, %llu found to be no more; %llu of their "
        "writes were sent again, %llu had been executed; %llu came by an old connection, %llu a "
        "second time\n",
        (unsigned long long)s->events, (unsigned long long)s->heartbeats,
        (unsigned long long)s->frames, (unsigned long long)s->register_messages,
        (unsigned long long)s->acked, (unsigned long long)s->reads,
        (unsigned long long)s->ambiguous, (unsigned long long)s->refused,
        (unsigned long long)s->operations, (unsigned long long)s->lin_steps,
        (unsigned long long)s->crashes, (unsigned long long)s->epochs,
        (unsigned long long)s->snapshots, (unsigned long long)s->snapshots_loaded,
        (unsigned long long)s->starts_behind, (unsigned long long)s->installed,
        (unsigned long long)s->scrubs, (unsigned long long)s->scrub_found,
        (unsigned long long)s->repaired, (unsigned long long)s->whole_again,
        (unsigned long long)s->sessions, (unsigned long long)s->resumed,
        (unsigned long long)s->ended, (unsigned long long)s->resent,
        (unsigned long long)s->recovered, (unsigned long long)s->fenced,
        (unsigned long long)s->again);
    printf("  faults that struck/of those armed:");
    for (int k = 0; k < SIM_FAULT_KINDS; k++) {
        printf(" %s %llu", sim_fault_name((enum sim_fault_kind)k),
               (unsigned long long)s->faults[k]);
        if (s->armed[k] > 0) {
            printf("/%llu", (unsigned long long)s->armed[k]);
        }
        if (s->spared[k] > 0) {
            printf(" (spared %llu)", (unsigned long long)s->spared[k]);
        }
    }
    printf("\n");
    summary_pauses(s);
}

/* ---- all runs together --------------------------------------------------------------------- */

/* Seeds whose group lost its last good replica (sim.h, the fault budget): some 2.5 % are usual.
 * More than that and what chance adds (3.5 standard deviations; the fixed thousand takes no
 * chances, but each change of the code draws it anew) is a sign that something is given up that
 * was to be survived. */
static uint64_t stopped_max(uint64_t seeds)
{
    uint64_t usual = seeds / 40;
    uint64_t deviation = 1;
    while (deviation * deviation < usual) {
        deviation++;
    }
    return 1 + usual + 7 * deviation / 2;
}

/* R4.3: when primary and secondary lose sight of each other, the primary stays. Chance has its part
 * in a single tie, so that all of them are looked at together. */
static bool ties_are_kept(const struct sim_stats *s)
{
    return s->parted < PARTED_MIN || 10 * s->parted_kept >= 9 * s->parted;
}

enum sim_check sim_totals_judge(const struct sim_totals *t, bool beyond, bool at_end, char *text,
                                size_t size)
{
    const struct sim_stats *s = &t->stats;
    if (!beyond && !ties_are_kept(s)) {
        (void)snprintf(text, size,
                       "of %llu primaries that were parted from a secondary %llu stayed; less than "
                       "nine of ten",
                       (unsigned long long)s->parted, (unsigned long long)s->parted_kept);
        return SIM_CHECK_TIES;
    }
    if (!beyond && at_end && t->seeds >= PARTED_IN && s->parted < PARTED_MIN) {
        (void)snprintf(
            text, size,
            "in %llu seeds %llu primaries were parted from a secondary: too few to judge",
            (unsigned long long)t->seeds, (unsigned long long)s->parted);
        return SIM_CHECK_TIES;
    }
    if (!beyond && at_end && s->stopped > stopped_max(t->seeds)) {
        (void)snprintf(text, size, "%llu of %llu seeds ended as stopped, more than %llu",
                       (unsigned long long)s->stopped, (unsigned long long)t->seeds,
                       (unsigned long long)stopped_max(t->seeds));
        return SIM_CHECK_LIVE;
    }
    if (at_end && t->seeds >= 50 && (s->takeovers == 0 || s->acked == 0)) {
        (void)snprintf(text, size, "nothing happened in %llu seeds", (unsigned long long)t->seeds);
        return SIM_CHECK_LIVE;
    }
    return SIM_CHECK_NONE;
}

static const struct sim_seeds *seeds_of(const struct sim_totals *t, enum sim_check check)
{
    return check == SIM_CHECK_TIES ? &t->tied : &t->stopped;
}

void sim_totals_tell_seeds(const struct sim_totals *t, enum sim_check check, FILE *out)
{
    const struct sim_seeds *list = seeds_of(t, check);
    for (size_t i = 0; i < list->count; i++) {
        fprintf(out, "%s %llu", i == 0 ? "  it counts these seeds (sim --seed N --trace):" : ",",
                (unsigned long long)list->seed[i]);
    }
    fprintf(out, "%s", list->count == 0 ? "" : "\n");
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void json_pauses(const char *name, const struct sim_pauses *p, const char *comma)
{
    printf("%s\"%s\": {\"count\": %llu, \"median\": %.1f, \"p99\": %.1f, \"longest\": %.3f, "
           "\"of_bound_percent\": %llu}",
           comma, name, (unsigned long long)pauses_of(p), quantile(p, 500), quantile(p, 990),
           (double)p->longest_pm / 1000, (unsigned long long)p->nearest);
}

static void json_seeds(const struct sim_seeds *list)
{
    printf("[");
    for (size_t i = 0; i < list->count; i++) {
        printf("%s%llu", i == 0 ? "" : ", ", (unsigned long long)list->seed[i]);
    }
    printf("]");
}

static void json_counts(const struct sim_totals *t, double took)
{
    const struct sim_stats *s = &t->stats;
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        {"seeds", t->seeds},
        {"masked", t->masked},
        {"events", s->events},
        {"heartbeats", s->heartbeats},
        {"frames", s->frames},
        {"register_messages", s->register_messages},
        {"acknowledged", s->acked},
        {"reads", s->reads},
        {"ambiguous", s->ambiguous},
        {"refused", s->refused},
        {"operations", s->operations},
        {"judged_in_steps", s->lin_steps},
        {"crashes", s->crashes},
        {"takeovers", s->takeovers},
        {"epochs", s->epochs},
        {"stopped", s->stopped},
        {"noticed", s->noticed},
        {"replays", s->replays},
        {"parted", s->parted},
        {"parted_kept", s->parted_kept},
        {"snapshots", s->snapshots},
        {"snapshots_loaded", s->snapshots_loaded},
        {"starts_behind", s->starts_behind},
        {"installed", s->installed},
        {"scrubs", s->scrubs},
        {"scrub_found", s->scrub_found},
        {"repaired", s->repaired},
        {"whole_again", s->whole_again},
        {"sessions", s->sessions},
        {"sessions_resumed", s->resumed},
        {"voters_seen_joining", s->joining},
        {"voters_seen_replaced", s->replaced},
        {"sessions_ended", s->ended},
        {"sessions_writes_resent", s->resent},
        {"sessions_writes_recovered", s->recovered},
        {"sessions_writes_fenced", s->fenced},
        {"sessions_writes_again", s->again},
    };
    printf("{\"commit\": \"%s\", \"seconds\": %.3f, \"virtual_seconds\": %.3f", SIM_COMMIT, took,
           (double)s->virtual_ns / 1e9);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        printf(", \"%s\": %llu", counts[i].name, (unsigned long long)counts[i].value);
    }
}

void sim_summary_json(const struct sim_totals *t, double took, enum sim_check check, uint64_t seed,
                      bool together)
{
    const struct sim_stats *s = &t->stats;
    json_counts(t, took);
    printf(", \"faults\": {");
    for (int k = 0; k < SIM_FAULT_KINDS; k++) {
        bool waits = sim_strike_waits((enum sim_fault_kind)k);
        printf("%s\"%s\": {\"armed\": %llu, \"struck\": %llu, \"spared\": %llu}",
               k == 0 ? "" : ", ", sim_fault_name((enum sim_fault_kind)k),
               (unsigned long long)(waits ? s->armed[k] : s->faults[k]),
               (unsigned long long)s->faults[k], (unsigned long long)s->spared[k]);
    }
    printf("}, \"pauses\": {");
    const char *comma = "";
    for (int k = 0; k < SIM_ONES; k++) {
        if (pauses_of(&s->pauses[k]) > 0) {
            json_pauses(sim_one_name((enum sim_one)k), &s->pauses[k], comma);
            comma = ", ";
        }
    }
    printf("}");
    if (pauses_of(&s->well) > 0) {
        json_pauses("well_again", &s->well, ", ");
    }
    if (check == SIM_CHECK_NONE) {
        return;
    }
    printf(", \"failed\": {\"after\": %llu, \"check\": \"%s\", ", (unsigned long long)t->seeds,
           sim_check_name(check));
    if (together) {
        printf("\"seeds\": ");
        json_seeds(seeds_of(t, check));
    } else {
        printf("\"seed\": %llu", (unsigned long long)seed);
    }
    printf("}");
}
