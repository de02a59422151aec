/* What it costs the clients when a NIC gets in sync again, and how long it takes:
 *
 *   away   the NIC was down while more was written than the primary's journal keeps: it gets the
 *          primary's snapshot
 *   blank  its disk was lost, and `twinstep nic replace` gives its place to a blank one
 *
 * A repetition measures the clients' latency three times: while the pair is whole (quiet), while
 * the NIC is down (alone), and from the NIC's start until it is in sync. What counts is the p99 of
 * the last one as a multiple of the first. Prints a line a repetition and medians; with --json
 * these are one JSON line. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/prng.h"
#include "lab/clock.h"
#include "lab/exec.h"
#include "lab/fault.h"
#include "lab/guard.h"
#include "lab/load.h"
#include "lab/mem.h"
#include "lab/netns.h"
#include "lab/pair.h"
#include "lab/scratch.h"

#define WAIT_MS 300000
#define MIB_DEFAULT 256
#define REPETITIONS_DEFAULT 5
#define REPETITIONS_MAX 100
#define WINDOW_MS 4000 /* of the quiet and of the lone latencies */
#define CLIENTS 8
#define FAILURE_TIMEOUT_MS 250
#define VALUE_BYTES 1024U
#define BURST 256U /* SETs sent at once while the state is made */
/* Two snapshots' distance of the journal is kept at most, and these come with each state's size. */
#define OVERWRITES 3

enum way {
    AWAY,
    BLANK,
    WAYS,
};

static const char *const way_names[] = {"away", "blank"};

struct figures {
    double quiet_p99_ms;
    double alone_p99_ms;
    double sync_p99_ms;
    double sync_s;
    double ratio;
};

struct bench {
    struct lab_pair pair;
    struct lab_guard guard;
    char run[LAB_SCRATCH_MAX];
    unsigned mib;
    unsigned repetitions;
    bool as_json;
    unsigned loads;
    struct ts_prng prng;
    struct figures f[WAYS][REPETITIONS_MAX];
};

static _Noreturn void fail(struct bench *b, const char *what)
{
    struct ts_why why;
    fprintf(stderr, "bench_rejoin: %s (logs: %s)\n", what, b->run);
    (void)lab_pair_down(&b->pair, &why);
    lab_guard_end(&b->guard);
    exit(1);
}

/* Both are in sync; a replaced disk's voter stays away. Gives the primary. */
static unsigned wait_whole(struct bench *b)
{
    struct lab_state s;
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        if (lab_now_ns() > end) {
            fail(b, "the pair does not get whole");
        }
        lab_pause_ms(5);
        lab_pair_state(&b->pair, &s);
    } while (!lab_state_redundant_but(&s, "voter-"));
    return (unsigned)lab_state_primary(&s);
}

/* ---- the state ---- */

static void send_all(struct bench *b, int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0) {
            fail(b, "the primary closed the connection that makes the state");
        }
        data += n;
        len -= (size_t)n;
    }
}

static void take_oks(struct bench *b, int fd, unsigned count)
{
    char in[BURST * 5];
    size_t left = count * 5UL; /* "+OK\r\n" */
    while (left > 0) {
        ssize_t n = recv(fd, in, left, 0);
        if (n <= 0 || memchr(in, '-', (size_t)n) != NULL) {
            fail(b, "a SET that makes the state was refused");
        }
        left -= (size_t)n;
    }
}

/* Writes each key of the state once; the values cannot be packed. */
static void write_state(struct bench *b, unsigned primary)
{
    static uint8_t out[BURST * (VALUE_BYTES + 64)];
    struct lab_addrs addrs = lab_pair_addrs(&b->pair);
    unsigned keys = b->mib * (1024U * 1024U / VALUE_BYTES);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addrs.a[primary], sizeof addrs.a[primary]) != 0) {
        fail(b, "the primary cannot be reached");
    }
    for (unsigned first = 0; first < keys; first += BURST) {
        size_t len = 0;
        for (unsigned i = 0; i < BURST; i++) {
            len += (size_t)snprintf((char *)out + len, 64,
                                    "*3\r\n$3\r\nSET\r\n$13\r\nstate:%07u\r\n$%u\r\n", first + i,
                                    VALUE_BYTES);
            for (unsigned k = 0; k < VALUE_BYTES; k += 8) {
                uint64_t word = ts_prng_next(&b->prng);
                memcpy(out + len + k, &word, 8);
            }
            memcpy(out + len + VALUE_BYTES, "\r\n", 2);
            len += VALUE_BYTES + 2;
        }
        send_all(b, fd, out, len);
        take_oks(b, fd, BURST);
    }
    close(fd);
}

/* ---- latencies ---- */

static struct lab_load *begin_load(struct bench *b)
{
    struct lab_load_config config = lab_load_defaults();
    struct lab_load *load;
    config.addrs = lab_pair_addrs(&b->pair);
    config.clients = CLIENTS;
    config.request_timeout_ms = 5000; /* a long wait is a latency, too */
    snprintf(config.tag, sizeof config.tag, "load%u", b->loads++);
    if (lab_load_start(&load, &config) != TS_OK || !lab_load_wait_acks(load, 500, WAIT_MS)) {
        fail(b, "the clients are not served");
    }
    return load;
}

static int compare_double(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

/* The p99 of what ended at `from` or later, ms. Ends the load, whose promises must have held. */
static double end_load(struct bench *b, struct lab_load *load, uint64_t from)
{
    struct lab_verdict v;
    lab_load_stop(load);
    const struct lab_history *h = lab_load_history(load);
    double *ms = lab_calloc(h->count + 1, sizeof *ms);
    size_t n = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct lab_op *op = &h->ops[i];
        if (op->outcome == LAB_ACKED && op->end_ns >= from) {
            ms[n++] = (double)(op->end_ns - op->begin_ns) / 1e6;
        }
    }
    if (n == 0) {
        fail(b, "nothing was answered");
    }
    qsort(ms, n, sizeof ms[0], compare_double);
    double p99 = ms[n * 99 / 100];
    free(ms);
    if (lab_load_reconcile(load, WAIT_MS, &v) != TS_OK || !lab_verdict_ok(&v)) {
        fail(b, "the run broke a promise or could not be read back: its figures are worth nothing");
    }
    lab_load_free(load);
    return p99;
}

static double p99_of_window(struct bench *b)
{
    struct lab_load *load = begin_load(b);
    uint64_t from = lab_now_ns();
    lab_pause_ms(WINDOW_MS);
    return end_load(b, load, from);
}

/* ---- a repetition ---- */

static void twinstep(struct bench *b, const char *words)
{
    char command[2 * TS_PATH_MAX + 64];
    char out[4096] = "";
    struct ts_why why = {{0}};
    snprintf(command, sizeof command, "'%s/twinstep' %s --dir '%s' 2>&1", b->pair.run.bin, words,
             b->pair.run.run);
    const char *argv[] = {"sh", "-c", command, NULL};
    if (lab_exec(argv, NULL, out, sizeof out, &why) != TS_OK) {
        fail(b, out[0] == '\0' ? why.text : out);
    }
}

/* The NIC's data is gone. */
static void lose_disk(struct bench *b, const char *node)
{
    char path[TS_PATH_MAX];
    if (ts_path(path, NULL, b->pair.run.run, "%s", node) != TS_OK) {
        fail(b, "the path is too long");
    }
    lab_scratch_remove(path);
}

static struct figures measure(struct bench *b, enum way way, unsigned victim)
{
    struct figures f;
    struct lab_fault fault;
    struct ts_why why = {{0}};
    struct lab_state s;
    char words[64];
    const char *node = lab_pair_node(&b->pair, victim);
    if (wait_whole(b) == victim) {
        twinstep(b, "handoff " LAB_PAIR_GROUP);
        (void)wait_whole(b);
    }
    f.quiet_p99_ms = p99_of_window(b);
    lab_fault_nic(&fault, &b->pair.run, node);
    if (lab_fault_inject(&fault, &why) != TS_OK || lab_fault_observe(&fault, &why) != TS_OK) {
        fail(b, why.text);
    }
    do {
        lab_pause_ms(5);
        lab_pair_state(&b->pair, &s);
    } while (!lab_state_has_alarm(&s, "not-redundant"));
    if (way == BLANK) {
        lose_disk(b, node);
    }
    for (unsigned i = 0; way == AWAY && i < OVERWRITES; i++) {
        write_state(b, 1 - victim);
    }
    f.alone_p99_ms = p99_of_window(b);
    struct lab_load *load = begin_load(b);
    uint64_t from = lab_now_ns();
    if (way == BLANK) {
        snprintf(words, sizeof words, "nic replace %s --yes", node);
        twinstep(b, words);
    } else if (lab_fault_heal(&fault, &why) != TS_OK) {
        fail(b, why.text);
    }
    (void)wait_whole(b);
    f.sync_s = (double)(lab_now_ns() - from) / 1e9;
    f.sync_p99_ms = end_load(b, load, from);
    f.ratio = f.sync_p99_ms / f.quiet_p99_ms;
    return f;
}

/* ---- the whole ---- */

static void start(struct bench *b)
{
    struct ts_why why = {{0}};
    struct lab_pair_config config = {.net = 79, .failure_timeout_ms = FAILURE_TIMEOUT_MS};
    if (lab_netns_enter(&why) != TS_OK) {
        config.net = lab_pair_free_net(79);
    }
    if (lab_scratch_make("rejoin", b->run) != TS_OK) {
        fputs("bench_rejoin: no temporary directory can be made\n", stderr);
        exit(1);
    }
    snprintf(config.run, sizeof config.run, "%s", b->run);
    if (lab_guard_begin(&b->guard, b->run, lab_pair_nodes, &why) != TS_OK ||
        lab_pair_up(&b->pair, &config, &why) != TS_OK) {
        fail(b, why.text);
    }
}

static double median(const struct figures *f, unsigned n, size_t offset)
{
    double v[REPETITIONS_MAX] = {0};
    for (unsigned i = 0; i < n; i++) {
        memcpy(&v[i], (const uint8_t *)&f[i] + offset, sizeof v[i]);
    }
    qsort(v, n, sizeof v[0], compare_double);
    return v[n / 2];
}

static void print_medians(const struct bench *b, enum way way)
{
    const struct figures *f = b->f[way];
    unsigned n = b->repetitions;
    double quiet = median(f, n, offsetof(struct figures, quiet_p99_ms));
    double alone = median(f, n, offsetof(struct figures, alone_p99_ms));
    double sync = median(f, n, offsetof(struct figures, sync_p99_ms));
    double took = median(f, n, offsetof(struct figures, sync_s));
    double ratio = median(f, n, offsetof(struct figures, ratio));
    if (b->as_json) {
        printf("%s\"%s\":{\"quiet_p99_ms\":%.2f,\"alone_p99_ms\":%.2f,\"sync_p99_ms\":%.2f,"
               "\"sync_s\":%.2f,\"ratio\":%.2f}",
               way == 0 ? "" : ",", way_names[way], quiet, alone, sync, took, ratio);
    } else {
        printf("%s, medians of %u: in sync after %.2f s; p99 meanwhile %.2f ms, %.2f times the "
               "quiet %.2f ms (alone: %.2f ms)\n",
               way_names[way], n, took, sync, ratio, quiet, alone);
    }
}

static void read_options(struct bench *b, int argc, char **argv)
{
    static const struct option longs[] = {
        {"mib", required_argument, NULL, 'm'}, {"json", no_argument, NULL, 'j'}, {0}};
    int64_t mib = MIB_DEFAULT;
    int64_t repetitions = REPETITIONS_DEFAULT;
    bool good = true;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        b->as_json = b->as_json || c == 'j';
        good = good && c != '?' && (c != 'm' || lab_parse_int(lab_bytes(optarg), &mib) == TS_OK);
    }
    good = good && argc - optind <= 1 &&
           (optind == argc || lab_parse_int(lab_bytes(argv[optind]), &repetitions) == TS_OK);
    if (!good || mib < 1 || mib > 4096 || repetitions < 1 || repetitions > REPETITIONS_MAX) {
        fputs("usage: bench_rejoin [REPETITIONS] [--mib N] [--json]\n", stderr);
        exit(64);
    }
    b->mib = (unsigned)mib;
    b->repetitions = (unsigned)repetitions;
}

int main(int argc, char **argv)
{
    struct bench *b = lab_calloc(1, sizeof *b);
    struct ts_why why = {{0}};
    b->prng = ts_prng_init(1);
    read_options(b, argc, argv);
    start(b);
    unsigned primary = wait_whole(b);
    write_state(b, primary);
    /* One that was replaced has no voter any more: it is the same one every time. */
    for (unsigned way = 0; way < WAYS; way++) {
        for (unsigned i = 0; i < b->repetitions; i++) {
            struct figures f = measure(b, way, 1 - primary);
            b->f[way][i] = f;
            printf("%s %u: in sync after %.2f s; p99 %.2f ms, quiet %.2f ms (%.2f times), alone "
                   "%.2f ms\n",
                   way_names[way], i + 1, f.sync_s, f.sync_p99_ms, f.quiet_p99_ms, f.ratio,
                   f.alone_p99_ms);
            fflush(stdout);
        }
    }
    if (b->as_json) {
        printf("{\"mib\":%u,\"repetitions\":%u,", b->mib, b->repetitions);
    }
    for (unsigned way = 0; way < WAYS; way++) {
        print_medians(b, way);
    }
    if (b->as_json) {
        printf("}\n");
    }
    if (lab_pair_down(&b->pair, &why) != TS_OK) {
        fprintf(stderr, "bench_rejoin: %s\n", why.text);
    }
    lab_guard_end(&b->guard);
    lab_scratch_remove(b->run);
    free(b);
    return 0;
}
