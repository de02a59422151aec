/* How long a client waits when the primary's replica is killed: a closed-loop client (one
 * request under way, a new attempt within 1 ms) over many SIGKILLs. The figure of a round is
 * the largest pause between two acknowledgements, from the kill until 200 acknowledgements later: a
 * stall of the disk meanwhile counts too, and is told apart from the takeover.
 * Prints a line a round and one JSON line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "lab/demo.h"
#include "lab/fault.h"
#include "lab/load.h"
#include "lab/netns.h"
#include "lab/pair.h"
#include "lab/phases.h"
#include "lab/scratch.h"

#define ROUNDS_DEFAULT 30
#define ROUNDS_MAX 1000
#define WAIT_MS 60000

struct outage {
    struct lab_pair pair;
    struct lab_load *load;
    double ms[ROUNDS_MAX];
    double ready_ms[ROUNDS_MAX]; /* from the kill until the new primary answers */
    unsigned ready;
    unsigned rounds;
};

static _Noreturn void fail(struct outage *o, const char *what)
{
    struct ts_why why;
    fprintf(stderr, "bench_outage: %s\n", what);
    (void)lab_pair_down(&o->pair, &why);
    exit(1);
}

static void start(struct outage *o, const char *run)
{
    struct ts_why why = {{0}};
    struct lab_pair_config config = {.net = 78, .failure_timeout_ms = 100};
    struct lab_load_config load = lab_load_defaults();
    struct lab_state state;
    if (lab_netns_enter(&why) != TS_OK) {
        config.net = lab_pair_free_net(78);
    }
    snprintf(config.run, sizeof config.run, "%s", run);
    if (lab_pair_up(&o->pair, &config, &why) != TS_OK) {
        fail(o, why.text);
    }
    if (!lab_pair_wait_redundant(&o->pair, WAIT_MS, &state)) {
        fail(o, "the pair never got in sync");
    }
    load.addrs = lab_pair_addrs(&o->pair);
    load.clients = 1;
    load.keys = 1;
    load.reads_percent = 0;
    snprintf(load.tag, sizeof load.tag, "outage");
    if (lab_load_start(&o->load, &load) != TS_OK) {
        fail(o, "no thread for the client");
    }
}

/* Where the pause of a round went: the old primary's end, what the new one did, the client's
 * return. */
static void tell_parts(struct outage *o, const struct lab_load_now *pause, uint64_t killed_ns,
                       unsigned new_primary)
{
    struct lab_incident i = {.at_ns = killed_ns,
                             .pause_from_ns = pause->longest_gap_begin_ns,
                             .pause_to_ns = pause->longest_gap_begin_ns + pause->longest_gap_ns};
    struct lab_parts parts;
    lab_phases_read(&o->pair, new_primary, killed_ns, &i.phases);
    lab_incident_parts(&i, &parts);
    if (i.phases.count > 0) {
        uint64_t ready = i.phases.p[i.phases.count - 1].end_ns;
        o->ready_ms[o->ready++] = (double)(ready - killed_ns) / 1e6;
    }
    if (parts.count == 0) {
        printf(" the new primary's events could not be read");
    } else if (!parts.of_pause) {
        printf(" began %.1f ms after the kill: not the takeover, which was",
               ((double)i.pause_from_ns - (double)killed_ns) / 1e6);
    }
    for (size_t p = 0; p < parts.count; p++) {
        printf("%s %s %.1f", p == 0 ? "" : " ·", parts.p[p].name, (double)parts.p[p].tenths / 10);
    }
    printf("\n");
}

/* One SIGKILL; gives the longest pause in milliseconds. */
static double measure(struct outage *o)
{
    struct ts_why why = {{0}};
    struct lab_state state;
    struct lab_fault f;
    if (!lab_load_wait_acks(o->load, 500, WAIT_MS)) {
        fail(o, "the client is not served");
    }
    if (!lab_pair_wait_redundant(&o->pair, WAIT_MS, &state)) {
        fail(o, "no redundancy");
    }
    int primary = lab_state_primary(&state);
    uint64_t epoch = lab_state_epoch(&state);
    lab_load_reset_gap(o->load);
    lab_fault_kill(&f, &o->pair.run, lab_pair_node(&o->pair, (unsigned)primary), "replica",
                   LAB_PAIR_GROUP);
    if (lab_fault_inject(&f, &why) != TS_OK || lab_fault_observe(&f, &why) != TS_OK) {
        fail(o, why.text);
    }
    if (!lab_load_wait_acks(o->load, 200, WAIT_MS)) {
        fail(o, "the client is not served after the kill");
    }
    struct lab_load_now pause = lab_load_now(o->load);
    double ms = (double)pause.longest_gap_ns / 1e6;
    do {
        if (!lab_pair_wait_redundant(&o->pair, WAIT_MS, &state)) {
            fail(o, "redundancy did not come back");
        }
    } while (lab_state_epoch(&state) == epoch);
    printf("round %2u: %6.2f ms:", o->rounds + 1, ms);
    tell_parts(o, &pause, f.injected_ns, (unsigned)lab_state_primary(&state));
    return ms;
}

static int compare_double(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

/* p50, p90, p99 and the longest, as JSON members whose names begin with `prefix`. */
static void print_spread(const char *prefix, double *ms, unsigned n)
{
    if (n == 0) {
        return;
    }
    qsort(ms, n, sizeof ms[0], compare_double);
    printf(",\"%sp50_ms\":%.2f,\"%sp90_ms\":%.2f,\"%sp99_ms\":%.2f,\"%smax_ms\":%.2f", prefix,
           ms[n / 2], prefix, ms[n * 9 / 10], prefix, ms[(n * 99 + 99) / 100 - 1], prefix,
           ms[n - 1]);
}

int main(int argc, char **argv)
{
    struct outage *o = calloc(1, sizeof *o);
    char run[LAB_SCRATCH_MAX];
    struct ts_why why = {{0}};
    struct lab_verdict v;
    int64_t rounds = ROUNDS_DEFAULT;
    if (o == NULL || lab_scratch_make("outage", run) != TS_OK ||
        (argc > 1 && (lab_parse_int(lab_bytes(argv[1]), &rounds) != TS_OK || rounds < 1 ||
                      rounds > ROUNDS_MAX))) {
        fputs("usage: bench_outage [ROUNDS]\n", stderr);
        free(o);
        return 64;
    }
    start(o, run);
    while (o->rounds < (unsigned)rounds) {
        double ms = measure(o);
        o->ms[o->rounds++] = ms;
        fflush(stdout);
    }
    lab_load_stop(o->load);
    if (lab_load_reconcile(o->load, WAIT_MS, &v) != TS_OK || !lab_verdict_ok(&v)) {
        fail(o, "the run broke a promise or could not be read back: its figures are worth nothing");
    }
    printf("{\"rounds\":%u,\"rounds_told\":%u", o->rounds, o->ready);
    print_spread("", o->ms, o->rounds);
    print_spread("ready_", o->ready_ms, o->ready);
    printf("}\n");
    lab_load_free(o->load);
    if (lab_pair_down(&o->pair, &why) != TS_OK) {
        fprintf(stderr, "bench_outage: %s\n", why.text);
    }
    lab_scratch_remove(run);
    free(o);
    return 0;
}
