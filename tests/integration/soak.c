/* Rounds of faults under load. See soak.h and `soak --help`.
 *
 * A round runs a load, inflicts some faults one after the other, waits after each until
 * redundancy is back and clients go on, stops the load, reads everything back and judges. After
 * the last round everything of every round is read back once more: later faults must not have
 * undone what earlier rounds were promised. */
#include "tests/integration/soak.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "lab/clock.h"
#include "lab/mem.h"
#include "lab/netns.h"
#include "lab/scratch.h"

#define ROUNDS_MAX 10000
#define READ_BACK_MS 60000
/* Above the default, so that a busy machine's stalls are not failures: what must not fail over
 * is judged too. */
#define FAILURE_TIMEOUT_MS 250

enum exit_status {
    EXIT_HELD = 0,
    EXIT_BROKEN = 1, /* a promise was broken */
    EXIT_STUCK = 2,  /* something did not follow in time, or could not be run */
    EXIT_USAGE = 64,
};

struct options {
    unsigned rounds;
    unsigned faults_a_round; /* 0 = so that all kinds are met */
    uint64_t seed;
    uint32_t kinds; /* bit of enum soak_kind */
    unsigned clients;
    unsigned freeze_ms_max;
    bool expect_loss;
    bool keep;
    const char *bin;
    const char *history;     /* file for what clients asked and were told; NULL = none is written */
    const char *lost_writes; /* the library of lostwrites.c, NULL = a disk that keeps its word */
};

struct tally {
    struct lab_load **loads; /* owned, one a round */
    unsigned rounds;
    unsigned faults;
    bool stuck;
    uint64_t worst_gap_ns;
    struct lab_verdict total;
};

static _Noreturn void usage(int status)
{
    fputs(
        "soak [--rounds N] [--seed N] [--kinds NAME,…] [--faults-a-round N] [--clients N]\n"
        "     [--freeze-ms-max N] [--long] [--bin DIR] [--history FILE] [--keep] [--expect-loss]\n"
        "     [--lost-writes LIBRARY]\n"
        "\n"
        "Exit status: 0 all promises held, 1 one was broken, 2 stuck; with --expect-loss\n"
        "(for builds that are broken on purpose) 0 when acknowledged writes were lost.\n"
        "--history writes what every client asked and was told, for `lincheck FILE`.\n"
        "Kinds:",
        status == 0 ? stdout : stderr);
    for (unsigned k = 0; k < SOAK_KINDS; k++) {
        fprintf(status == 0 ? stdout : stderr, " %s", soak_kind_name(k));
    }
    fputs("\n", status == 0 ? stdout : stderr);
    exit(status);
}

static uint64_t parse_number(const char *text, uint64_t min, uint64_t max)
{
    int64_t n;
    if (lab_parse_int(lab_bytes(text), &n) != TS_OK || n < 0 || (uint64_t)n < min ||
        (uint64_t)n > max) {
        fprintf(stderr, "soak: %s is no number from %" PRIu64 " to %" PRIu64 "\n", text, min, max);
        exit(EXIT_USAGE);
    }
    return (uint64_t)n;
}

static uint32_t parse_kinds(const char *text)
{
    uint32_t kinds = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, ",");
        unsigned k = 0;
        while (k < SOAK_KINDS &&
               (strlen(soak_kind_name(k)) != len || memcmp(soak_kind_name(k), text, len) != 0)) {
            k++;
        }
        if (k == SOAK_KINDS) {
            fprintf(stderr, "soak: no kind of fault is called %.*s\n", (int)len, text);
            usage(EXIT_USAGE);
        }
        kinds |= 1u << k;
        text += len + (text[len] == ',' ? 1 : 0);
    }
    return kinds;
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option longs[] = {{"rounds", required_argument, NULL, 'r'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"kinds", required_argument, NULL, 'k'},
                                          {"faults-a-round", required_argument, NULL, 'f'},
                                          {"clients", required_argument, NULL, 'c'},
                                          {"freeze-ms-max", required_argument, NULL, 'z'},
                                          {"bin", required_argument, NULL, 'b'},
                                          {"history", required_argument, NULL, 'd'},
                                          {"long", no_argument, NULL, 'l'},
                                          {"keep", no_argument, NULL, 'K'},
                                          {"lost-writes", required_argument, NULL, 'w'},
                                          {"expect-loss", no_argument, NULL, 'x'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct options o = {.rounds = 5,
                        .seed = lab_now_ns() % 1000000007u,
                        .kinds = (1u << SOAK_KINDS) - 1,
                        .clients = 16,
                        .freeze_ms_max = 2500,
                        .bin = ""};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 'r':
            o.rounds = (unsigned)parse_number(optarg, 1, ROUNDS_MAX);
            break;
        case 's':
            o.seed = parse_number(optarg, 0, INT64_MAX);
            break;
        case 'k':
            o.kinds = parse_kinds(optarg);
            break;
        case 'f':
            o.faults_a_round = (unsigned)parse_number(optarg, 1, 100);
            break;
        case 'c':
            o.clients = (unsigned)parse_number(optarg, 1, LAB_CLIENTS_MAX);
            break;
        case 'z':
            o.freeze_ms_max = (unsigned)parse_number(optarg, 1000, 600000);
            break;
        case 'b':
            o.bin = optarg;
            break;
        case 'd':
            o.history = optarg;
            break;
        case 'w':
            o.lost_writes = optarg;
            break;
        case 'l':
            o.rounds = 100;
            o.freeze_ms_max = 10000;
            break;
        case 'K':
            o.keep = true;
            break;
        case 'x':
            o.expect_loss = true;
            break;
        case 'h':
            usage(0);
        default:
            usage(EXIT_USAGE);
        }
    }
    return o;
}

/* ---- rounds ---- */

/* The kinds in a random order, dealt again and again: every deck meets all of them. */
struct deck {
    enum soak_kind card[SOAK_KINDS];
    unsigned count;
    unsigned next;
};

static enum soak_kind deal(struct deck *d, struct ts_prng *prng)
{
    if (d->next == d->count) {
        d->next = 0;
    }
    if (d->next == 0) {
        for (unsigned i = d->count; i > 1; i--) {
            unsigned j = (unsigned)ts_prng_below(prng, i);
            enum soak_kind swap = d->card[j];
            d->card[j] = d->card[i - 1];
            d->card[i - 1] = swap;
        }
    }
    return d->card[d->next++];
}

static struct lab_load *start_load(struct soak *s, const struct options *o)
{
    struct lab_load_config config = lab_load_defaults();
    struct lab_load *load;
    config.addrs = lab_pair_addrs(&s->pair);
    config.clients = o->clients;
    config.seed = o->seed + s->round;
    snprintf(config.tag, sizeof config.tag, "r%u", s->round);
    if (lab_load_start(&load, &config) != TS_OK) {
        fputs("soak: no thread for the load: too many processes?\n", stderr);
        exit(EXIT_STUCK);
    }
    return load;
}

static void print_verdict(const char *what, const struct lab_verdict *v)
{
    char text[400];
    lab_verdict_text(v, text, sizeof text);
    printf("%s: %s\n", what, text);
    for (size_t i = 0; i < v->finding_count; i++) {
        printf("    %s\n", v->findings[i]);
    }
    fflush(stdout);
}

/* One round. False ends the run: a broken promise, or stuck. */
static bool run_round(struct soak *s, const struct options *o, struct deck *deck, unsigned faults,
                      struct tally *t)
{
    struct lab_verdict v;
    char what[48];
    bool good = true;
    s->load = start_load(s, o);
    s->worst_gap_ns = 0;
    t->loads[t->rounds++] = s->load;
    for (unsigned i = 0; i < faults && good; i++) {
        struct soak_fault fault;
        good = soak_inflict(s, deal(deck, &s->prng), &fault);
        printf("  %s %s: %s\n", good ? "ok   " : "STUCK", soak_kind_name(fault.kind), fault.text);
        fflush(stdout);
        t->faults++;
    }
    t->stuck = t->stuck || !good;
    lab_load_stop(s->load);
    if (lab_load_reconcile(s->load, READ_BACK_MS, &v) != TS_OK) {
        printf("  round %u could not be read back\n", s->round);
        t->stuck = true;
        return false;
    }
    snprintf(what, sizeof what, "round %u, longest pause %.1f ms", s->round,
             (double)s->worst_gap_ns / 1e6);
    t->worst_gap_ns = s->worst_gap_ns > t->worst_gap_ns ? s->worst_gap_ns : t->worst_gap_ns;
    print_verdict(what, &v);
    return good && lab_verdict_ok(&v);
}

static void run_rounds(struct soak *s, const struct options *o, struct tally *t)
{
    struct deck deck = {0};
    for (unsigned k = 0; k < SOAK_KINDS; k++) {
        if ((o->kinds & 1u << k) != 0) {
            deck.card[deck.count++] = k;
        }
    }
    for (s->round = 1; s->round <= o->rounds; s->round++) {
        /* Few rounds share all kinds out among them. */
        unsigned faults = o->faults_a_round;
        if (faults == 0) {
            unsigned met = (s->round - 1) * deck.count / o->rounds;
            unsigned meet = s->round * deck.count / o->rounds;
            faults = o->rounds >= deck.count ? 1 + (s->round % 2) : meet - met;
        }
        if (!run_round(s, o, &deck, faults, t)) {
            break;
        }
    }
}

/* Everything of every round, once more. */
static void read_all_back(struct tally *t)
{
    for (unsigned i = 0; i < t->rounds; i++) {
        struct lab_verdict v;
        if (lab_load_reconcile(t->loads[i], READ_BACK_MS, &v) != TS_OK) {
            printf("round %u could not be read back in the end\n", i + 1);
            t->stuck = true;
            return;
        }
        lab_verdict_add(&t->total, &v);
    }
}

/* All rounds in one file: their keys differ. */
static void write_history(const struct options *o, struct tally *t)
{
    if (o->history == NULL) {
        return;
    }
    FILE *out = fopen(o->history, "we");
    bool good = out != NULL;
    for (unsigned i = 0; i < t->rounds && good; i++) {
        good = lab_load_write_history(t->loads[i], out) == TS_OK;
    }
    if (out != NULL) {
        good = fclose(out) == 0 && good;
    }
    if (!good) {
        perror(o->history);
        t->stuck = true;
    }
}

static void bring_up(struct soak *s, const struct options *o, char run[LAB_SCRATCH_MAX])
{
    struct ts_why why = {{0}};
    struct lab_pair_config config = {.net = 77, .failure_timeout_ms = FAILURE_TIMEOUT_MS};
    struct lab_state state;
    char text[512];
    s->own_network = lab_netns_enter(&why) == TS_OK;
    if (!s->own_network) {
        printf("no network namespace: %s; paths are not dropped\n", why.text);
        config.net = lab_pair_free_net(77);
    }
    if (lab_scratch_make("soak", run) != TS_OK) {
        fputs("soak: no temporary directory can be made\n", stderr);
        exit(EXIT_STUCK);
    }
    snprintf(config.run, sizeof config.run, "%s", run);
    snprintf(config.bin, sizeof config.bin, "%s", o->bin);
    if (o->lost_writes != NULL) {
        /* For the nodes' journals and records; this program itself goes on as ever. */
        setenv("LOSTWRITES_DIR", run, 1);
        setenv("LOSTWRITES_ONLY", "/groups/", 1);
        setenv("LD_PRELOAD", o->lost_writes, 1);
    }
    if (lab_guard_begin(&s->guard, run, lab_pair_nodes, &why) != TS_OK) {
        fprintf(stderr, "soak: %s\n", why.text);
        exit(EXIT_STUCK);
    }
    if (lab_pair_up(&s->pair, &config, &why) != TS_OK) {
        fprintf(stderr, "soak: the pair did not start: %s (logs: %s)\n", why.text, run);
        (void)lab_pair_down(&s->pair, &why);
        exit(EXIT_STUCK);
    }
    if (!lab_pair_wait_redundant(&s->pair, 60000, &state)) {
        lab_state_text(&s->pair, &state, text, sizeof text);
        fprintf(stderr, "soak: the pair never got in sync: %s (logs: %s)\n", text, run);
        (void)lab_pair_down(&s->pair, &why);
        exit(EXIT_STUCK);
    }
}

static int judge(const struct options *o, const struct tally *t)
{
    bool kept = lab_verdict_ok(&t->total);
    if (o->expect_loss) {
        bool found = t->total.lost > 0;
        puts(found ? "the loss was found, as expected" : "NO LOSS WAS FOUND in a broken build");
        return found ? EXIT_HELD : EXIT_BROKEN;
    }
    puts(!kept      ? "BROKEN: see the findings above"
         : t->stuck ? "STUCK: nothing was lost, but something did not follow"
                    : "all promises held");
    return !kept ? EXIT_BROKEN : t->stuck ? EXIT_STUCK : EXIT_HELD;
}

int main(int argc, char **argv)
{
    struct options o = parse_options(argc, argv);
    if (optind != argc) {
        usage(EXIT_USAGE);
    }
    struct soak *s = lab_calloc(1, sizeof *s);
    struct tally t = {.loads = lab_calloc(o.rounds, sizeof(struct lab_load *))};
    char run[LAB_SCRATCH_MAX];
    struct ts_why why = {{0}};
    s->prng = ts_prng_init(o.seed);
    s->freeze_ms_max = o.freeze_ms_max;
    s->settle_ms = o.expect_loss ? 5000 : 60000; /* a broken build need not recover */
    printf("soak: seed %" PRIu64 ", %u rounds\n", o.seed, o.rounds);
    fflush(stdout);
    bring_up(s, &o, run);
    run_rounds(s, &o, &t);
    read_all_back(&t);
    write_history(&o, &t);
    if (lab_pair_down(&s->pair, &why) != TS_OK) {
        printf("down: %s\n", why.text);
        t.stuck = true;
    }
    lab_guard_end(&s->guard);
    printf("%u rounds, %u faults, longest pause %.1f ms\n", t.rounds, t.faults,
           (double)t.worst_gap_ns / 1e6);
    print_verdict("in all", &t.total);
    int status = judge(&o, &t);
    for (unsigned i = 0; i < t.rounds; i++) {
        lab_load_free(t.loads[i]);
    }
    free(t.loads);
    free(s);
    if (status == EXIT_HELD && !o.keep) {
        lab_scratch_remove(run);
    } else {
        printf("data and logs: %s; again with --seed %" PRIu64 "\n", run, o.seed);
    }
    return status;
}
