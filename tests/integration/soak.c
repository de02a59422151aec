/* Rounds of faults under load. See soak.h and `soak --help`.
 *
 * A round runs a load, inflicts some faults one after the other, waits after each until
 * redundancy is back and clients go on, stops the load, reads everything back and judges. After
 * the last round everything of every round is read back once more: later faults must not have
 * undone what earlier rounds were promised. */
#include "tests/integration/soak.h"

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

#define READ_BACK_MS 60000
#define FAULTS_MAX 100 /* of a round */
#define NET 77
/* The disks that fail on demand, where they can be had. */
#ifdef LABDISK_LIBRARY
#define FAILING_DISKS LABDISK_LIBRARY
#else
#define FAILING_DISKS NULL
#endif
/* Damage is to be found within the run. */
#define SCRUB_OFTEN ", scrub-every: 1s"

struct tally {
    struct lab_load **loads; /* owned, one a round */
    unsigned rounds;
    unsigned read_back; /* so many of them were read back a last time */
    unsigned faults;
    bool stuck;
    uint64_t worst_gap_ns;
    struct lab_verdict total;
};

/* ---- the nodes ---- */

static void begin_cluster(struct soak *s, const struct soak_options *o)
{
    struct ts_why why = {{0}};
    struct lab_pair_config config = {
        .net = s->net, .failure_timeout_ms = o->failure_timeout_ms, .group_more = SCRUB_OFTEN};
    struct lab_state state;
    char text[512];
    snprintf(config.bin, sizeof config.bin, "%s", o->bin);
    if (ts_path(config.run, &why, s->dir, "%u", ++s->clusters) != TS_OK ||
        lab_guard_begin(&s->guard, config.run, lab_pair_nodes, &why) != TS_OK) {
        fprintf(stderr, "soak: %s\n", why.text);
        exit(SOAK_EXIT_STUCK);
    }
    s->voter_lost = false;
    s->settled = false;
    if (lab_pair_up(&s->pair, &config, &why) != TS_OK) {
        fprintf(stderr, "soak: the pair did not start: %s (logs: %s)\n", why.text, config.run);
        (void)lab_pair_down(&s->pair, &why);
        exit(SOAK_EXIT_STUCK);
    }
    if (!lab_pair_wait_redundant(&s->pair, 60000, &state)) {
        lab_state_text(&s->pair, &state, text, sizeof text);
        fprintf(stderr, "soak: the pair never got in sync: %s (logs: %s)\n", text, config.run);
        (void)lab_pair_down(&s->pair, &why);
        exit(SOAK_EXIT_STUCK);
    }
}

static bool end_cluster(struct soak *s, struct tally *t)
{
    struct ts_why why = {{0}};
    enum ts_err err = lab_pair_down(&s->pair, &why);
    if (err != TS_OK) {
        printf("down: %s\n", why.text);
        t->stuck = true;
    }
    lab_guard_end(&s->guard);
    return err == TS_OK;
}

/* Has the nodes run on the disks of lab/disk; this program itself goes on as ever. */
static void give_disks(struct soak *s, const struct soak_options *o)
{
    const char *library = o->lost_writes;
    bool fail = (o->kinds & (1u << SOAK_HANG_DISK | 1u << SOAK_FILL_DISK | 1u << SOAK_FAIL_SYNC));
    if (library == NULL && fail) {
        library = FAILING_DISKS;
        setenv("LABDISK_THROUGH", "1", 1);
    }
    if (library == NULL || ts_path(s->order, NULL, s->dir, "order") != TS_OK) {
        return;
    }
    setenv("LABDISK_DIR", s->dir, 1);
    setenv("LABDISK_ONLY", "/groups/", 1);
    setenv("LABDISK_FAIL", s->order, 1);
    setenv("LD_PRELOAD", library, 1);
}

static void bring_up(struct soak *s, const struct soak_options *o)
{
    struct ts_why why = {{0}};
    s->own_network = lab_netns_enter(&why) == TS_OK;
    s->net = NET;
    if (!s->own_network) {
        printf("no network namespace: %s; paths are not dropped\n", why.text);
        s->net = lab_pair_free_net(NET);
    }
    if (lab_scratch_make("soak", s->dir) != TS_OK) {
        fputs("soak: no temporary directory can be made\n", stderr);
        exit(SOAK_EXIT_STUCK);
    }
    give_disks(s, o);
    begin_cluster(s, o);
}

/* ---- what comes when ---- */

/* The kinds in a random order, dealt again and again: every deck meets all of them. What a round
 * gets depends on the seed alone, so that one can be run again without those before it. */
struct deck {
    struct ts_prng prng;
    enum soak_kind card[SOAK_KINDS];
    unsigned count;
    unsigned next;
    unsigned dealt;
};

static struct deck new_deck(const struct soak_options *o)
{
    struct deck d = {.prng = ts_prng_init(o->seed)};
    for (unsigned k = 0; k < SOAK_KINDS; k++) {
        if ((o->kinds & 1u << k) != 0) {
            d.card[d.count++] = k;
        }
    }
    return d;
}

static enum soak_kind deal(struct deck *d)
{
    if (d->next == d->count) {
        d->next = 0;
    }
    if (d->next == 0) {
        for (unsigned i = d->count; i > 1; i--) {
            unsigned j = (unsigned)ts_prng_below(&d->prng, i);
            enum soak_kind swap = d->card[j];
            d->card[j] = d->card[i - 1];
            d->card[i - 1] = swap;
        }
    }
    d->dealt++;
    return d->card[d->next++];
}

/* How many faults the first rounds have together. Few rounds share all kinds out among them. */
static unsigned faults_until(const struct soak_options *o, unsigned kinds, unsigned round)
{
    round = round < o->rounds ? round : o->rounds;
    return o->faults_a_round != 0 ? round * o->faults_a_round
           : o->rounds >= kinds   ? round + (round + 1) / 2
                                  : round * kinds / o->rounds;
}

/* Behind these the NIC's voter is gone, and the cluster has none to spare. */
static bool uses_up_the_cluster(enum soak_kind kind)
{
    return kind == SOAK_FAIL_SYNC || kind == SOAK_DAMAGE_AND_START || kind == SOAK_BLANK_DISK;
}

/* The faults of the next round; a short one leaves some to the round behind it. */
static unsigned plan_round(const struct soak_options *o, struct deck *d, unsigned round,
                           enum soak_kind kinds[FAULTS_MAX])
{
    unsigned wanted = faults_until(o, d->count, round) - d->dealt;
    unsigned n = 0;
    while (n < wanted && n < FAULTS_MAX && (n == 0 || !uses_up_the_cluster(kinds[n - 1]))) {
        kinds[n++] = deal(d);
    }
    return n;
}

static void print_plan(const struct soak_options *o)
{
    struct deck deck = new_deck(o);
    unsigned all = faults_until(o, deck.count, o->rounds);
    for (unsigned round = 1; round <= o->rounds || deck.dealt < all; round++) {
        enum soak_kind kinds[FAULTS_MAX];
        unsigned faults = plan_round(o, &deck, round, kinds);
        printf("round %u:", round);
        for (unsigned i = 0; i < faults; i++) {
            printf(" %s", soak_kind_name(kinds[i]));
        }
        printf("\n");
    }
}

/* ---- rounds ---- */

static struct lab_load *start_load(struct soak *s, const struct soak_options *o)
{
    struct lab_load_config config = lab_load_defaults();
    struct lab_load *load;
    config.addrs = lab_pair_addrs(&s->pair);
    config.clients = o->clients;
    config.seed = o->seed + s->round;
    snprintf(config.tag, sizeof config.tag, "r%u", s->round);
    if (lab_load_start(&load, &config) != TS_OK) {
        fputs("soak: no thread for the load: too many processes?\n", stderr);
        exit(SOAK_EXIT_STUCK);
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
static bool run_round(struct soak *s, const struct soak_options *o, const enum soak_kind *kinds,
                      unsigned faults, struct tally *t)
{
    struct lab_verdict v;
    char what[48];
    bool good = true;
    s->prng = ts_prng_init(o->seed * 1000003U + s->round);
    s->load = start_load(s, o);
    s->worst_gap_ns = 0;
    t->loads[t->rounds++] = s->load;
    for (unsigned i = 0; i < faults && good; i++) {
        struct soak_fault fault;
        good = soak_inflict(s, kinds[i], &fault);
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

/* Everything of every round on this cluster, once more. */
static bool read_all_back(struct tally *t)
{
    for (; t->read_back < t->rounds; t->read_back++) {
        struct lab_verdict v;
        if (lab_load_reconcile(t->loads[t->read_back], READ_BACK_MS, &v) != TS_OK) {
            printf("what an earlier round wrote could not be read back in the end\n");
            t->stuck = true;
            return false;
        }
        lab_verdict_add(&t->total, &v);
    }
    return lab_verdict_ok(&t->total);
}

/* Another cluster takes the place of one that has lost a voter. False: the old one must stay. */
static bool renew(struct soak *s, const struct soak_options *o, struct tally *t)
{
    if (!read_all_back(t) || !end_cluster(s, t)) {
        return false;
    }
    if (!o->keep) {
        lab_scratch_remove(s->pair.run.run);
    }
    begin_cluster(s, o);
    return true;
}

static void run_rounds(struct soak *s, const struct soak_options *o, struct tally *t)
{
    struct deck deck = new_deck(o);
    unsigned all = faults_until(o, deck.count, o->rounds);
    bool good = true;
    for (s->round = 1; good && (s->round <= o->rounds || deck.dealt < all); s->round++) {
        enum soak_kind kinds[FAULTS_MAX];
        unsigned faults = plan_round(o, &deck, s->round, kinds);
        if (s->round < o->from) {
            continue;
        }
        good = !s->voter_lost || renew(s, o, t);
        good = good && run_round(s, o, kinds, faults, t);
        if (!good) {
            printf("round %u failed; again: --seed %" PRIu64 " --from %u, and the same options\n",
                   s->round, o->seed, s->round);
        }
    }
}

/* All rounds in one file: their keys differ. */
static void write_history(const struct soak_options *o, struct tally *t)
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

static int judge(const struct soak_options *o, const struct tally *t)
{
    bool kept = lab_verdict_ok(&t->total);
    if (o->expect_loss) {
        bool found = t->total.lost > 0;
        puts(found ? "the loss was found, as expected" : "NO LOSS WAS FOUND in a broken build");
        return found ? SOAK_EXIT_HELD : SOAK_EXIT_BROKEN;
    }
    puts(!kept      ? "BROKEN: see the findings above"
         : t->stuck ? "STUCK: nothing was lost, but something did not follow"
                    : "all promises held");
    return !kept ? SOAK_EXIT_BROKEN : t->stuck ? SOAK_EXIT_STUCK : SOAK_EXIT_HELD;
}

int main(int argc, char **argv)
{
    struct soak_options o = soak_read_options(argc, argv);
    if (o.plan) {
        print_plan(&o);
        return SOAK_EXIT_HELD;
    }
    struct soak *s = lab_calloc(1, sizeof *s);
    /* Those that were broken off are made up for. */
    struct tally t = {.loads = lab_calloc(2 * o.rounds + SOAK_KINDS, sizeof(struct lab_load *))};
    s->freeze_ms_max = o.freeze_ms_max;
    s->settle_ms = o.expect_loss ? 5000 : 60000; /* a broken build need not recover */
    printf("soak: seed %" PRIu64 ", %u rounds\n", o.seed, o.rounds);
    fflush(stdout);
    bring_up(s, &o);
    run_rounds(s, &o, &t);
    (void)read_all_back(&t);
    write_history(&o, &t);
    (void)end_cluster(s, &t);
    printf("%u rounds, %u faults, longest pause %.1f ms\n", t.rounds, t.faults,
           (double)t.worst_gap_ns / 1e6);
    print_verdict("in all", &t.total);
    int status = judge(&o, &t);
    for (unsigned i = 0; i < t.rounds; i++) {
        lab_load_free(t.loads[i]);
    }
    free(t.loads);
    if (status == SOAK_EXIT_HELD && !o.keep) {
        lab_scratch_remove(s->dir);
    } else {
        printf("data and logs: %s; again with --seed %" PRIu64 "\n", s->dir, o.seed);
    }
    free(s);
    return status;
}
