/* The command line of the simulator; sim.h says what is simulated. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"
#include "sim_commit.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_args.h"
#include "tests/sim/sim_summary.h"

#define SHRINK_RUNS 400
#define KEPT_BYTES (64 * 1024 * 1024)
/* With --forever: a line so often, and the whole summary, for which the coverage takes a second. */
#define LINE_SECONDS 5.0
#define ALL_SECONDS 60.0

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

/* A failure of all runs together; false: there is none. */
static bool fails_together(const struct sim_args *a, const struct sim_totals *t, bool at_end,
                           struct sim_failure *failure)
{
    char text[sizeof(failure->text)];
    if (a->faults != NULL || a->until != 0) {
        return false; /* these runs are not as they were drawn */
    }
    enum sim_check check = sim_totals_judge(t, a->options.beyond, at_end, text, sizeof(text));
    if (check == SIM_CHECK_NONE || is_passed_over(a, check)) {
        return false;
    }
    *failure = (struct sim_failure){.check = check};
    memcpy(failure->text, text, sizeof(text));
    fflush(stdout);
    fprintf(stderr, "sim: FAILED %s (commit " SIM_COMMIT "): %s\n", sim_check_name(check), text);
    sim_totals_tell_seeds(t, check, stderr);
    return true;
}

/* Until a seed fails, whose number is then in *plan, and *failure is set; with *together all runs
 * so far fail. */
static bool run_all(struct sim *s, const struct sim_args *a, struct sim_plan *plan,
                    struct sim_totals *t, const char *coverage, struct sim_failure *failure,
                    bool *together)
{
    double begun = seconds();
    double told = begun;
    double told_all = begun;
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
        sim_totals_add(t, &s->stats, plan->seed);
        if (good && fails_together(a, t, false, failure)) {
            *together = true;
            return false;
        }
        if (good && a->twice) {
            good = sim_run_same(s, plan, &a->options);
        }
        if (!good && is_passed_over(a, s->failure.check)) {
            t->masked++;
        } else if (!good) {
            *failure = s->failure;
            return false;
        }
        double now = seconds();
        if (a->forever && now - told_all > ALL_SECONDS) {
            told_all = told = now;
            sim_summary(t, now - begun);
            if (coverage != NULL) {
                (void)sim_coverage_tell(coverage, "--line", "0");
            }
        } else if (a->forever && now - told > LINE_SECONDS) {
            told = now;
            sim_summary_line(t, now - begun);
        }
    }
    *together = fails_together(a, t, true, failure);
    return !*together;
}

/* False when the coverage cannot be told. */
static bool tell(const struct sim_args *a, const struct sim_totals *t, double took, uint64_t seed,
                 const struct sim_failure *failure, bool together, const char *coverage)
{
    bool told = true;
    if (a->json) {
        sim_summary_json(t, took, failure->check, seed, together);
        if (coverage != NULL) {
            printf(", \"coverage\": ");
            told = sim_coverage_tell(coverage, "--json", a->at_least);
        }
        printf("}\n");
        return told;
    }
    sim_summary(t, took);
    return coverage == NULL ||
           ((!a->uncovered || sim_coverage_tell(coverage, "--uncovered", "0")) &&
            sim_coverage_tell(coverage, "--table", a->at_least));
}

int main(int argc, char **argv)
{
    struct sim_args a;
    static struct sim_plan plan;
    static struct sim_totals totals;
    /* Journals and logs come and go with each start: their memory is kept, not asked for anew. */
    (void)mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
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
    (void)signal(SIGTERM, on_interrupt);
    struct sim *s = sim_new();
    struct sim_failure failure = {.check = SIM_CHECK_NONE};
    bool together = false;
    double begun = seconds();
    bool good = run_all(s, &a, &plan, &totals, coverage, &failure, &together);
    double took = seconds() - begun;
    if (!good && !together) {
        report_failure(s, &plan, &a);
    }
    bool told = tell(&a, &totals, took, plan.seed, &failure, together, coverage);
    sim_free(s);
    if (coverage != NULL) {
        sim_coverage_end(coverage);
    }
    return good && told ? 0 : 1;
}
