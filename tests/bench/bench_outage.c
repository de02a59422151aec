/* How long clients wait, over many repetitions of one fault:
 *
 *   kill       SIGKILL of the primary's replica, seen by a closed-loop client: one request under
 *              way, a new attempt within 1 ms
 *   hung-disk  the syncs of the primary's disk do not return any more; the same client
 *   handoff    what `twinstep handoff` asks for, seen by a client that stays connected, with 16
 *              requests under way; it must see no error, and each request carried out once and in
 *              order
 *
 * The figure of a round is the largest pause between two acknowledgements, from the fault until 200
 * acknowledgements later: a stall of the disk meanwhile counts too, and is told apart from the
 * takeover. Prints a line a round and a summary; with --json the summary is one JSON line. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ids.h"
#include "cluster-cfg/io/admin_client.h"
#include "lab/clock.h"
#include "lab/counter.h"
#include "lab/demo.h"
#include "lab/exec.h"
#include "lab/fault.h"
#include "lab/load.h"
#include "lab/netns.h"
#include "lab/pair.h"
#include "lab/phases.h"
#include "lab/scratch.h"

#define ROUNDS_DEFAULT 30
#define ROUNDS_MAX 1000
#define WAIT_MS 60000
#define ASK_MS 5000
#define FAILURE_TIMEOUT_MS 100
/* A failover that nobody asked for would close the connection that must stay. */
#define CALM_TIMEOUT_MS 500
#define PIPELINE 16

enum fault {
    KILL,
    HUNG_DISK,
    HANDOFF,
};

static const char *const fault_names[] = {"kill", "hung-disk", "handoff"};

struct outage {
    enum fault fault;
    bool as_json;
    char run[LAB_SCRATCH_MAX];
    char order[TS_PATH_MAX]; /* tells the disks what to fail */
    struct lab_pair pair;
    struct lab_load *load; /* the closed-loop client; none in handoffs */
    double ms[ROUNDS_MAX];
    double quiet_ms[ROUNDS_MAX]; /* in a handoff: over other questions of the operator's */
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

static void start(struct outage *o)
{
    struct ts_why why = {{0}};
    struct lab_pair_config config = {.net = 78, .failure_timeout_ms = FAILURE_TIMEOUT_MS};
    struct lab_state state;
    if (o->fault == HANDOFF) {
        config.failure_timeout_ms = CALM_TIMEOUT_MS;
    }
    if (lab_netns_enter(&why) != TS_OK) {
        config.net = lab_pair_free_net(78);
    }
    if (ts_path(config.run, &why, o->run, "pair") != TS_OK ||
        ts_path(o->order, &why, o->run, "order") != TS_OK) {
        fail(o, why.text);
    }
    if (o->fault == HUNG_DISK) {
        /* Writes and syncs reach the real disk, until they are told to hang. */
        setenv("LABDISK_DIR", o->run, 1);
        setenv("LABDISK_ONLY", "/groups/", 1);
        setenv("LABDISK_THROUGH", "1", 1);
        setenv("LABDISK_FAIL", o->order, 1);
        setenv("LD_PRELOAD", LABDISK_LIBRARY, 1);
    }
    if (lab_pair_up(&o->pair, &config, &why) != TS_OK) {
        fail(o, why.text);
    }
    if (!lab_pair_wait_redundant(&o->pair, WAIT_MS, &state)) {
        fail(o, "the pair never got in sync");
    }
}

static void start_load(struct outage *o)
{
    struct lab_load_config load = lab_load_defaults();
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
    lab_phases_read(&o->pair.run, lab_pair_node(&o->pair, new_primary), killed_ns, &i.phases);
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

static unsigned wait_primary(struct outage *o, uint64_t *epoch)
{
    struct lab_state state;
    if (!lab_pair_wait_redundant(&o->pair, WAIT_MS, &state)) {
        fail(o, "no redundancy");
    }
    *epoch = lab_state_epoch(&state);
    return (unsigned)lab_state_primary(&state);
}

/* Gives the primary of the newer epoch, once both are in sync in it. */
static unsigned wait_newer(struct outage *o, uint64_t epoch)
{
    uint64_t now;
    unsigned primary;
    do {
        primary = wait_primary(o, &now);
    } while (now == epoch);
    return primary;
}

static uint64_t kill_primary(struct outage *o, unsigned primary)
{
    struct ts_why why = {{0}};
    struct lab_fault f;
    lab_fault_kill(&f, &o->pair.run, lab_pair_node(&o->pair, primary), "replica", LAB_PAIR_GROUP);
    if (lab_fault_inject(&f, &why) != TS_OK || lab_fault_observe(&f, &why) != TS_OK) {
        fail(o, why.text);
    }
    return f.injected_ns;
}

static uint64_t hang_primary(struct outage *o, unsigned primary)
{
    struct ts_why why = {{0}};
    char text[TS_PATH_MAX];
    int n = snprintf(text, sizeof text, "sync 0 /%s/groups/", lab_pair_node(&o->pair, primary));
    uint64_t now = lab_now_ns();
    if (ts_file_replace(o->order, text, (size_t)n, 0644, &why) != TS_OK) {
        fail(o, why.text);
    }
    return now;
}

/* One fault and the closed-loop client; gives the longest pause in milliseconds. */
static double measure(struct outage *o)
{
    uint64_t epoch;
    if (!lab_load_wait_acks(o->load, 500, WAIT_MS)) {
        fail(o, "the client is not served");
    }
    unsigned primary = wait_primary(o, &epoch);
    lab_load_reset_gap(o->load);
    uint64_t at = o->fault == KILL ? kill_primary(o, primary) : hang_primary(o, primary);
    if (!lab_load_wait_acks(o->load, 200, WAIT_MS)) {
        fail(o, "the client is not served after the fault");
    }
    struct lab_load_now pause = lab_load_now(o->load);
    if (o->fault == HUNG_DISK && unlink(o->order) != 0) {
        fail(o, "the disk cannot be mended");
    }
    double ms = (double)pause.longest_gap_ns / 1e6;
    unsigned heir = wait_newer(o, epoch);
    printf("round %2u: %6.2f ms:", o->rounds + 1, ms);
    tell_parts(o, &pause, at, heir);
    return ms;
}

/* What `twinstep` asks of a node, without the command around it: on a small machine the kernel
 * spends longer on the end of a process than a handoff takes. */
static void ask(struct outage *o, unsigned node, json_t *request)
{
    struct ts_why why = {{0}};
    char dir[TS_PATH_MAX];
    json_t *reply = NULL;
    if (request == NULL ||
        ts_path(dir, &why, o->pair.run.run, "%s", lab_pair_node(&o->pair, node)) != TS_OK ||
        admin_client_ask(dir, request, ASK_MS, &reply, &why) != TS_OK) {
        fail(o, why.text);
    }
    json_decref(reply);
    json_decref(request);
}

/* The client's longest pause until 200 answers from now. */
static double pause_until_calm(struct outage *o, struct lab_counter *c)
{
    if (!lab_counter_wait(c, 200, WAIT_MS)) {
        fail(o, "the client is not served, or its connection was closed");
    }
    return (double)lab_counter_gap(c) / 1e6;
}

/* The same while a node is asked for its status, as often as wait_newer asks. */
static double pause_over_status(struct outage *o, struct lab_counter *c)
{
    uint64_t epoch;
    lab_counter_reset_gap(c);
    unsigned primary = wait_primary(o, &epoch);
    ask(o, primary, json_pack("{s:s}", "cmd", "status"));
    (void)wait_primary(o, &epoch);
    return pause_until_calm(o, c);
}

static double pause_over_handoff(struct outage *o, struct lab_counter *c, unsigned primary,
                                 uint64_t epoch)
{
    lab_counter_reset_gap(c);
    ask(o, primary,
        json_pack("{s:s,s:s,s:I}", "cmd", "handoff", "group", LAB_PAIR_GROUP, "epoch",
                  (json_int_t)epoch));
    (void)wait_newer(o, epoch);
    return pause_until_calm(o, c);
}

/* One handoff and a client that stays connected to who was the primary. (Back again it would be
 * closed: each round has a client of its own.) */
static double measure_handoff(struct outage *o)
{
    struct lab_addrs addrs = lab_pair_addrs(&o->pair);
    struct ts_why why = {{0}};
    struct lab_counter *c;
    struct lab_counter_result r;
    uint64_t epoch;
    char key[24];
    unsigned primary = wait_primary(o, &epoch);
    snprintf(key, sizeof key, "count%u", o->rounds);
    if (lab_counter_start(&c, &addrs.a[primary], key, PIPELINE, &why) != TS_OK) {
        fail(o, why.text);
    }
    if (!lab_counter_wait(c, 500, WAIT_MS)) {
        fail(o, "the client is not served");
    }
    o->quiet_ms[o->rounds] = pause_over_status(o, c);
    double ms = pause_over_handoff(o, c, primary, epoch);
    lab_counter_stop(c, &r);
    if (r.closed || r.wrong[0] != '\0' || r.answered != r.sent) {
        fprintf(stderr, "%" PRIu64 " of %" PRIu64 " requests answered%s %s\n", r.answered, r.sent,
                r.closed ? ", closed" : "", r.wrong);
        fail(o, "the client saw an error");
    }
    printf("round %2u: %6.2f ms; without a handoff %.2f ms\n", o->rounds + 1, ms,
           o->quiet_ms[o->rounds]);
    return ms;
}

static int compare_double(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

struct spread {
    double p50;
    double p90;
    double p99;
    double max;
};

static struct spread spread_of(double *ms, unsigned n)
{
    qsort(ms, n, sizeof ms[0], compare_double);
    return (struct spread){ms[n / 2], ms[n * 9 / 10], ms[(n * 99 + 99) / 100 - 1], ms[n - 1]};
}

/* As JSON members whose names begin with `prefix`, or as a line. */
static void print_spread(const struct outage *o, const char *prefix, const char *what, double *ms,
                         unsigned n)
{
    if (n == 0) {
        return;
    }
    struct spread s = spread_of(ms, n);
    if (o->as_json) {
        printf(",\"%sp50_ms\":%.2f,\"%sp90_ms\":%.2f,\"%sp99_ms\":%.2f,\"%smax_ms\":%.2f", prefix,
               s.p50, prefix, s.p90, prefix, s.p99, prefix, s.max);
    } else {
        printf("%s: p50 %.2f ms, p90 %.2f ms, p99 %.2f ms, longest %.2f ms\n", what, s.p50, s.p90,
               s.p99, s.max);
    }
}

static void print_summary(struct outage *o)
{
    const char *name = fault_names[o->fault];
    if (o->as_json) {
        printf("{\"fault\":\"%s\",\"failure_timeout_ms\":%u,\"rounds\":%u,\"rounds_told\":%u", name,
               o->pair.config.failure_timeout_ms, o->rounds, o->ready);
    }
    print_spread(o, "", "longest pause of the client", o->ms, o->rounds);
    print_spread(o, "ready_", "until the new primary answers", o->ready_ms, o->ready);
    if (o->fault == HANDOFF) {
        print_spread(o, "quiet_", "without a handoff", o->quiet_ms, o->rounds);
    }
    double median = spread_of(o->ms, o->rounds).p50 / o->pair.config.failure_timeout_ms;
    if (o->as_json) {
        printf(",\"p50_failure_timeouts\":%.2f}\n", median);
    } else {
        printf("%s, %u rounds: the median is %.2f failure-timeouts of %u ms\n", name, o->rounds,
               median, o->pair.config.failure_timeout_ms);
    }
}

static _Noreturn void usage(void)
{
    fputs("usage: bench_outage [ROUNDS] [--fault kill|hung-disk|handoff] [--json]\n", stderr);
    exit(64);
}

static unsigned read_options(struct outage *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"fault", required_argument, NULL, 'f'}, {"json", no_argument, NULL, 'j'}, {0}};
    int64_t rounds = ROUNDS_DEFAULT;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'j') {
            o->as_json = true;
        } else if (c == 'f') {
            o->fault = KILL;
            while (strcmp(fault_names[o->fault], optarg) != 0) {
                if (o->fault++ == HANDOFF) {
                    usage();
                }
            }
        } else {
            usage();
        }
    }
    if (argc - optind > 1 ||
        (optind < argc && (lab_parse_int(lab_bytes(argv[optind]), &rounds) != TS_OK || rounds < 1 ||
                           rounds > ROUNDS_MAX))) {
        usage();
    }
    return (unsigned)rounds;
}

/* Nothing was lost meanwhile, or the figures are worth nothing. */
static void judge(struct outage *o)
{
    struct lab_verdict v;
    lab_load_stop(o->load);
    if (lab_load_reconcile(o->load, WAIT_MS, &v) != TS_OK || !lab_verdict_ok(&v)) {
        fail(o, "the run broke a promise or could not be read back: its figures are worth nothing");
    }
    lab_load_free(o->load);
}

int main(int argc, char **argv)
{
    struct outage *o = calloc(1, sizeof *o);
    struct ts_why why = {{0}};
    if (o == NULL) {
        return 1;
    }
    unsigned rounds = read_options(o, argc, argv);
    if (lab_scratch_make("outage", o->run) != TS_OK) {
        fputs("bench_outage: no temporary directory can be made\n", stderr);
        return 1;
    }
    start(o);
    if (o->fault != HANDOFF) {
        start_load(o);
    }
    while (o->rounds < rounds) {
        double ms = o->fault == HANDOFF ? measure_handoff(o) : measure(o);
        o->ms[o->rounds++] = ms;
        fflush(stdout);
    }
    if (o->load != NULL) {
        judge(o);
    }
    print_summary(o);
    if (lab_pair_down(&o->pair, &why) != TS_OK) {
        fprintf(stderr, "bench_outage: %s\n", why.text);
    }
    lab_scratch_remove(o->run);
    free(o);
    return 0;
}
