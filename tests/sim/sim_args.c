#include "tests/sim/sim_args.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_guest.h"

static void usage(FILE *out)
{
    fprintf(out,
            "usage: sim [options]\n"
            "  --seed N      the first seed (default 1)\n"
            "  --seeds N     how many, one after another (default 1)\n"
            "  --forever     random seeds until one fails or Ctrl-C\n"
            "  --beyond      lose disks beyond the fault budget: only safety is expected\n"
            "  --faults L    keep only these of the one seed's faults: 3,17,22; '' keeps none\n"
            "  --until NS    end the faults at this virtual time\n"
            "  --trace       tell what happens\n"
            "  --clients     the same, with what clients ask and hear\n"
            "  --guest NAME  run this service, too, beside kv\n"
            "  --json        the summary as JSON\n"
            "  --no-shrink   do not look for a shorter reproduction of a failure\n"
            "  --twice       run each seed twice: both must take the same course, and have the\n"
            "                same messages, traces, answers and bytes on disks\n"
            "  --coverage    how many branches of the cores were taken (gcc; the program beside\n"
            "                this one, sim-coverage, is started in its place and is slower);\n"
            "                branches of assertions (ts_assert) do not count\n"
            "  --at-least P  the same; fails when it is less than P per cent\n"
            "  --uncovered   the same, and the lines whose branches were not all taken\n"
            "  --checkers-only  leave failures to the checkers: the cores' own alarms and\n"
            "                assertions are passed over (for mutants)\n"
            "  --check NAME  leave them to this checker alone: no other one ends a run\n"
            "exit status: 0 all held, 1 a seed failed or too few branches, 2 wrong usage\n");
}

static bool find_check(const char *name, enum sim_check *out)
{
    for (int c = SIM_CHECK_NONE + 1; c <= SIM_CHECK_ASSERT; c++) {
        if (strcmp(sim_check_name((enum sim_check)c), name) == 0) {
            *out = (enum sim_check)c;
            return true;
        }
    }
    return false;
}

static bool number(const char *text, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && isdigit((unsigned char)text[0]) && *end == '\0';
}

/* Wrong usage ends the program, with what is wrong. */
static _Noreturn void refuse(const char *option, const char *word, const char *wants)
{
    fprintf(stderr, "sim: --%s wants %s, not '%s'\n", option, wants, word);
    exit(2);
}

static uint64_t number_of(const char *option, const char *word)
{
    uint64_t n = 0;
    if (!number(word, &n)) {
        refuse(option, word, "a number");
    }
    return n;
}

static enum sim_check check_of(const char *name)
{
    enum sim_check check = SIM_CHECK_NONE;
    if (!find_check(name, &check)) {
        refuse("check", name, "the name of a check");
    }
    return check;
}

static const char *guest_of(const char *name)
{
    if (!sim_guest_known(name)) {
        refuse("guest", name, sim_guest_names());
    }
    return name;
}

enum option_id {
    OPT_SEED = 256,
    OPT_SEEDS,
    OPT_FOREVER,
    OPT_BEYOND,
    OPT_FAULTS,
    OPT_UNTIL,
    OPT_TRACE,
    OPT_CLIENTS,
    OPT_GUEST,
    OPT_JSON,
    OPT_NO_SHRINK,
    OPT_TWICE,
    OPT_COVERAGE,
    OPT_AT_LEAST,
    OPT_UNCOVERED,
    OPT_CHECK,
    OPT_CHECKERS_ONLY,
    OPT_HELP,
};

static const struct option OPTIONS[] = {
    {"seed", required_argument, NULL, OPT_SEED},
    {"seeds", required_argument, NULL, OPT_SEEDS},
    {"forever", no_argument, NULL, OPT_FOREVER},
    {"beyond", no_argument, NULL, OPT_BEYOND},
    {"faults", required_argument, NULL, OPT_FAULTS},
    {"until", required_argument, NULL, OPT_UNTIL},
    {"trace", no_argument, NULL, OPT_TRACE},
    {"clients", no_argument, NULL, OPT_CLIENTS},
    {"guest", required_argument, NULL, OPT_GUEST},
    {"json", no_argument, NULL, OPT_JSON},
    {"no-shrink", no_argument, NULL, OPT_NO_SHRINK},
    {"twice", no_argument, NULL, OPT_TWICE},
    {"coverage", no_argument, NULL, OPT_COVERAGE},
    {"at-least", required_argument, NULL, OPT_AT_LEAST},
    {"uncovered", no_argument, NULL, OPT_UNCOVERED},
    {"check", required_argument, NULL, OPT_CHECK},
    {"checkers-only", no_argument, NULL, OPT_CHECKERS_ONLY},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static void take(struct sim_args *a, int id)
{
    switch (id) {
    case OPT_SEED:
        a->seed = number_of("seed", optarg);
        break;
    case OPT_SEEDS:
        a->seeds = number_of("seeds", optarg);
        if (a->seeds == 0) {
            refuse("seeds", optarg, "at least 1");
        }
        break;
    case OPT_UNTIL:
        a->until = number_of("until", optarg);
        break;
    case OPT_FAULTS:
        a->faults = optarg;
        break;
    case OPT_FOREVER:
        a->forever = true;
        break;
    case OPT_BEYOND:
        a->options.beyond = true;
        break;
    case OPT_TRACE:
        a->options.trace = true;
        break;
    case OPT_CLIENTS:
        a->options.trace = a->options.clients = true;
        break;
    case OPT_GUEST:
        a->options.guest = guest_of(optarg);
        break;
    case OPT_JSON:
        a->json = true;
        break;
    case OPT_NO_SHRINK:
        a->shrink = false;
        break;
    case OPT_TWICE:
        a->twice = true;
        a->options.digests = true;
        break;
    case OPT_AT_LEAST:
        a->coverage = true;
        a->at_least = optarg;
        break;
    case OPT_UNCOVERED:
        a->coverage = a->uncovered = true;
        break;
    case OPT_COVERAGE:
        a->coverage = true;
        break;
    case OPT_CHECK:
        a->options.only = a->check = check_of(optarg);
        break;
    case OPT_CHECKERS_ONLY:
        a->options.invariants = false;
        a->options.checkers_only = true;
        break;
    case OPT_HELP:
        usage(stdout);
        exit(0);
    default: /* getopt has said what is wrong */
        fprintf(stderr, "sim: --help tells what there is\n");
        exit(2);
    }
}

void sim_args_parse(struct sim_args *a, int argc, char **argv)
{
    int id;
    *a = (struct sim_args){
        .seed = 1, .seeds = 1, .shrink = true, .at_least = "0", .options = {.invariants = true}};
    while ((id = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        take(a, id);
    }
    if (a->faults != NULL && a->faults[0] != '\0' && (a->forever || a->seeds > 1)) {
        fprintf(stderr, "sim: --faults keeps some faults of one seed: give it with --seed, without "
                        "--forever and --seeds\n");
        exit(2);
    }
    if (a->json && (a->options.trace || a->uncovered)) {
        fprintf(stderr, "sim: --json tells no story and no lines: leave it out with --trace, "
                        "--clients and --uncovered\n");
        exit(2);
    }
    if (optind < argc) {
        fprintf(stderr, "sim: '%s' is no option; --help tells what there is\n", argv[optind]);
        exit(2);
    }
}

void sim_args_again(const struct sim_args *a, uint64_t seed, bool plan, FILE *out)
{
    fprintf(out, "sim --seed %llu%s%s%s", (unsigned long long)seed,
            a->options.beyond ? " --beyond" : "", a->twice ? " --twice" : "",
            a->options.checkers_only ? " --checkers-only" : "");
    if (a->options.guest != NULL) {
        fprintf(out, " --guest %s", a->options.guest);
    }
    if (a->check != SIM_CHECK_NONE) {
        fprintf(out, " --check %s", sim_check_name(a->check));
    }
    if (plan && a->until != 0) {
        fprintf(out, " --until %llu", (unsigned long long)a->until);
    }
    if (plan && a->faults != NULL) {
        fprintf(out, " --faults '%s'", a->faults);
    }
}
