/* The command line of the simulator; sim.h says what is simulated. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"
#include "sim_commit.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_args.h"

#define SHRINK_RUNS 400
#define SUMMARY_SECONDS 5.0
#define PARTED_MIN 20
#define COVERAGE_SECONDS 60.0 /* with --forever: asking takes a second */

struct totals {
    uint64_t seeds;
    uint64_t masked; /* ended by an assertion of a core, which was passed over */
    struct sim_stats stats;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Failures that are left to others, see --help. */
static bool is_passed_over(const struct sim_args *a, enum sim_check check)
{
    bool of_core = check == SIM_CHECK_ASSERT || check == SIM_CHECK_ALARM;
    return (a->options.checkers_only && of_core) ||
           (a->check != SIM_CHECK_NONE && a->check != check);
}

static void add_pauses(struct sim_pauses *to, const struct sim_pauses *p)
{
    for (int i = 0; i < SIM_PAUSES; i++) {
        to->count[i] += p->count[i];
    }
    to->longest_pm = p->longest_pm > to->longest_pm ? p->longest_pm : to->longest_pm;
    to->nearest = p->nearest > to->nearest ? p->nearest : to->nearest;
}

static void add(struct totals *t, const struct sim_stats *s)
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
    to->operations += s->operations;
    to->lin_steps += s->lin_steps;
    to->virtual_ns += s->virtual_ns;
    for (int k = 0; k < SIM_FAULT_KINDS; k++) {
        to->faults[k] += s->faults[k];
        to->armed[k] += s->armed[k];
        to->spared[k] += s->spared[k];
    }
    to->parted += s->parted;
    to->parted_kept += s->parted_kept;
    for (int k = 0; k < SIM_ONES; k++) {
        add_pauses(&to->pauses[k], &s->pauses[k]);
    }
    add_pauses(&to->well, &s->well);
}

static uint64_t all_faults(const struct totals *t)
{
    uint64_t n = 0;
    for (int k = 0; k < SIM_FAULT_KINDS; k++) {
        n += t->stats.faults[k];
    }
    return n;
}

static void summary_line(const struct totals *t, double took)
{
    double virtual_s = (double)t->stats.virtual_ns / 1e9;
    printf("%llu seeds, %.1f/s; %.2f simulated hours, %.0f x real time; %.0f requests a virtual "
           "second; %llu faults, %llu takeovers, %llu stopped, %llu ended by an alarm of other "
           "results\n",
           (unsigned long long)t->seeds, (double)t->seeds / took, virtual_s / 3600,
           virtual_s / took, (double)(t->stats.acked + t->stats.reads) / virtual_s,
           (unsigned long long)all_faults(t), (unsigned long long)t->stats.takeovers,
           (unsigned long long)t->stats.stopped, (unsigned long long)t->stats.noticed);
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

static void summary(const struct totals *t, double took)
{
    const struct sim_stats *s = &t->stats;
    summary_line(t, took);
    printf(
        "  %llu events: %llu heartbeats, %llu frames, %llu register messages; %llu writes "
        "answered, %llu reads, %llu ambiguous, %llu refused; %llu operations judged in %llu steps; "
        "%llu ends of processes, %llu epochs\n",
        (unsigned long long)s->events, (unsigned long long)s->heartbeats,
        (unsigned long long)s->frames, (unsigned long long)s->register_messages,
        (unsigned long long)s->acked, (unsigned long long)s->reads,
        (unsigned long long)s->ambiguous, (unsigned long long)s->refused,
        (unsigned long long)s->operations, (unsigned long long)s->lin_steps,
        (unsigned long long)s->crashes, (unsigned long long)s->epochs);
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

/* False when the coverage cannot be told. */
static bool summary_json(const struct totals *t, double took, uint64_t failed_seed,
                         const struct sim_failure *failure, const char *coverage,
                         const char *at_least)
{
    bool told = true;
    const struct sim_stats *s = &t->stats;
    printf("{\"seeds\": %llu, \"masked\": %llu, \"seconds\": %.3f, \"virtual_seconds\": %.3f, "
           "\"events\": %llu, "
           "\"heartbeats\": %llu, \"acknowledged\": %llu, \"reads\": %llu, \"ambiguous\": %llu, "
           "\"crashes\": %llu, \"takeovers\": %llu, \"epochs\": %llu, \"stopped\": %llu, "
           "\"noticed\": %llu, "
           "\"faults\": {",
           (unsigned long long)t->seeds, (unsigned long long)t->masked, took,
           (double)s->virtual_ns / 1e9, (unsigned long long)s->events,
           (unsigned long long)s->heartbeats, (unsigned long long)s->acked,
           (unsigned long long)s->reads, (unsigned long long)s->ambiguous,
           (unsigned long long)s->crashes, (unsigned long long)s->takeovers,
           (unsigned long long)s->epochs, (unsigned long long)s->stopped,
           (unsigned long long)s->noticed);
    for (int k = 0; k < SIM_FAULT_KINDS; k++) {
        bool waits = sim_strike_waits((enum sim_fault_kind)k);
        printf("%s\"%s\": {\"armed\": %llu, \"struck\": %llu, \"spared\": %llu}",
               k == 0 ? "" : ", ", sim_fault_name((enum sim_fault_kind)k),
               (unsigned long long)(waits ? s->armed[k] : s->faults[k]),
               (unsigned long long)s->faults[k], (unsigned long long)s->spared[k]);
    }
    printf("}");
    if (failure != NULL) {
        printf(", \"failed\": {\"seed\": %llu, \"after\": %llu, \"check\": \"%s\"}",
               (unsigned long long)failed_seed, (unsigned long long)t->seeds,
               sim_check_name(failure->check));
    }
    if (coverage != NULL) {
        printf(", \"coverage\": ");
        told = sim_coverage_tell(coverage, "--json", at_least);
    }
    printf("}\n");
    return told;
}

/* Leaves out what the command line does not keep. */
static bool keep_faults(struct sim_plan *plan, const struct sim_args *a)
{
    plan->faults_until = a->until != 0 ? a->until : plan->faults_until;
    for (size_t i = 0; a->faults != NULL && i < plan->fault_count; i++) {
        plan->fault[i].off = true;
    }
    for (const char *at = a->faults; at != NULL && *at != '\0';) {
        char *end = NULL;
        unsigned long long i = strtoull(at, &end, 10);
        if (end == at || i >= plan->fault_count || (*end != ',' && *end != '\0')) {
            return false;
        }
        plan->fault[i].off = false;
        at = *end == ',' ? end + 1 : end;
    }
    return true;
}

static void print_plan(const struct sim *s, const struct sim_plan *plan, const struct sim_args *a)
{
    const char *comma = "";
    fprintf(stderr, "  reproduce: ");
    sim_args_again(a, plan->seed, false, stderr);
    fprintf(stderr, " --until %llu --faults ", (unsigned long long)plan->faults_until);
    for (size_t i = 0; i < plan->fault_count; i++) {
        if (!plan->fault[i].off && plan->fault[i].at < plan->faults_until) {
            fprintf(stderr, "%s%zu", comma, i);
            comma = ",";
        }
    }
    fprintf(stderr, "%s --trace\n", *comma == '\0' ? "\"\"" : "");
    fprintf(stderr, "  %d NICs, %d arbiters, failure-timeout %llu ms; faults end at %.4f s\n",
            plan->nics, plan->arbiters, (unsigned long long)(plan->failure_timeout / SIM_MS),
            (double)plan->faults_until / 1e9);
    for (size_t i = 0; i < plan->fault_count; i++) {
        const struct sim_fault *f = &plan->fault[i];
        if (!f->off && f->at < plan->faults_until) {
            char text[SIM_STORY_FAULT_MAX];
            sim_story_fault_text(s, f, plan->faults_until, text, sizeof(text));
            fprintf(stderr, "  %9.4f s  %s\n", (double)f->at / 1e9, text);
        }
    }
}

static void report_failure(struct sim *s, struct sim_plan *plan, const struct sim_args *a)
{
    fflush(stdout);
    fprintf(stderr, "seed %llu (%s%s): FAILED %s at %.4f s: %s\n", (unsigned long long)plan->seed,
            "commit " SIM_COMMIT, a->options.beyond ? ", --beyond" : "",
            sim_check_name(s->failure.check), (double)s->failure.at / 1e9, s->failure.text);
    fprintf(stderr, "  reproduce: ");
    sim_args_again(a, plan->seed, true, stderr);
    fprintf(stderr, " --trace\n");
    if (!a->shrink) {
        return;
    }
    static struct sim_plan shorter;
    shorter = *plan;
    enum sim_check check = s->failure.check;
    s->options = a->options;
    sim_shrink(s, &shorter, SHRINK_RUNS);
    fprintf(stderr, "  the shortest found that fails with %s:\n", sim_check_name(check));
    print_plan(s, &shorter, a);
}

static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    ssize_t n = getrandom(&seed, sizeof(seed), 0);
    ts_assert(n == (ssize_t)sizeof(seed));
    return seed >> 16; /* short enough to be typed */
}

/* R4.3: when primary and secondary lose sight of each other, the primary stays. Chance has its part
 * in a single tie, so that all of them are looked at together. */
static bool ties_are_kept(struct sim *s, const struct sim_args *a, const struct totals *t)
{
    const struct sim_stats *all = &t->stats;
    if (a->options.beyond || all->parted < PARTED_MIN || 4 * all->parted_kept >= 3 * all->parted ||
        is_passed_over(a, SIM_CHECK_FAILOVER)) {
        return true;
    }
    s->failure.check = SIM_CHECK_FAILOVER;
    fprintf(stderr,
            "sim: FAILED %s: of %llu primaries that were parted from a secondary %llu stayed; less "
            "than three of four\n",
            sim_check_name(SIM_CHECK_FAILOVER), (unsigned long long)all->parted,
            (unsigned long long)all->parted_kept);
    return false;
}

/* Gives the number of the failed seed's plan in *plan, and false. */
static bool run_all(struct sim *s, const struct sim_args *a, struct sim_plan *plan,
                    struct totals *t, const char *coverage)
{
    double begun = seconds();
    double told = begun;
    double told_coverage = begun;
    for (uint64_t i = 0; (a->forever || i < a->seeds) && !interrupted; i++) {
        sim_plan_draw(plan, a->forever ? random_seed() : a->seed + i, a->options.beyond);
        if (!keep_faults(plan, a)) {
            fprintf(stderr,
                    "sim: --faults wants numbers below %zu with commas, not '%s': seed %llu "
                    "has so many faults\n",
                    plan->fault_count, a->faults, (unsigned long long)plan->seed);
            exit(2);
        }
        bool good = sim_run(s, plan, &a->options);
        add(t, &s->stats);
        if (good && !ties_are_kept(s, a, t)) {
            return false;
        }
        if (good && a->twice && !sim_run_same(s, plan, &a->options)) {
            return false;
        }
        if (!good && is_passed_over(a, s->failure.check)) {
            t->masked++;
        } else if (!good) {
            return false;
        }
        double now = seconds();
        if (a->forever && now - told > SUMMARY_SECONDS) {
            told = now;
            summary_line(t, now - begun);
        }
        if (a->forever && coverage != NULL && now - told_coverage > COVERAGE_SECONDS) {
            told_coverage = now;
            (void)sim_coverage_tell(coverage, "--line", "0");
        }
    }
    return true;
}

/* False when the coverage cannot be told. */
static bool tell(const struct sim_args *a, const struct totals *t, double took, uint64_t seed,
                 const struct sim_failure *failure, const char *coverage)
{
    if (a->json) {
        return summary_json(t, took, seed, failure, coverage, a->at_least);
    }
    summary(t, took);
    return coverage == NULL ||
           ((!a->uncovered || sim_coverage_tell(coverage, "--uncovered", "0")) &&
            sim_coverage_tell(coverage, "--table", a->at_least));
}

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

int main(int argc, char **argv)
{
    struct sim_args a;
    static struct sim_plan plan;
    static struct totals totals;
    sim_args_parse(&a, argc, argv);
    char directory[SIM_COVERAGE_DIRECTORY_BYTES];
    const char *coverage = a.coverage ? directory : NULL;
    if (a.coverage && !sim_coverage_counts()) {
        sim_coverage_exec(argv);
        return 2;
    }
    if (a.coverage && !sim_coverage_begin(directory)) {
        return 2;
    }
    (void)signal(SIGINT, on_interrupt);
    struct sim *s = sim_new();
    double begun = seconds();
    bool good = run_all(s, &a, &plan, &totals, coverage);
    double took = seconds() - begun;
    struct sim_failure failure = s->failure;
    if (!good && s->failure.text[0] != '\0') {
        report_failure(s, &plan, &a);
    }
    bool told = tell(&a, &totals, took, plan.seed, good ? NULL : &failure, coverage);
    sim_free(s);
    if (coverage != NULL) {
        sim_coverage_end(coverage);
    }
    if (good && !a.options.beyond && totals.stats.stopped > stopped_max(totals.seeds)) {
        fprintf(stderr, "sim: %llu of %llu seeds ended as stopped, more than %llu\n",
                (unsigned long long)totals.stats.stopped, (unsigned long long)totals.seeds,
                (unsigned long long)stopped_max(totals.seeds));
        return 1;
    }
    if (good && totals.seeds >= 50 && (totals.stats.takeovers == 0 || totals.stats.acked == 0)) {
        fprintf(stderr, "sim: nothing happened\n");
        return 1;
    }
    return good && told ? 0 : 1;
}
