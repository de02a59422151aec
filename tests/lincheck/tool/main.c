/* lincheck: is this history linearizable? */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lincheck/io/json.h"
#include "tests/lincheck/io/story.h"

#define MIB ((size_t)1 << 20)
#define MEMORY_DEFAULT_MIB 1024
#define MEMORY_MAX_MIB 30000
#define STEPS_DEFAULT 200000000

enum exit_status {
    EXIT_LINEARIZABLE = 0,
    EXIT_NOT_LINEARIZABLE = 1,
    EXIT_WRONG = 2, /* usage or input */
    EXIT_GAVE_UP = 3,
};

struct options {
    struct lin_limits limits;
    bool json;
    bool empty; /* a history without operations is fine */
    const char *file;
};

static void print_help(FILE *out)
{
    (void)fprintf(out,
                  "usage: lincheck [--json] [--empty] [--steps N] [--memory MIB] FILE\n"
                  "\n"
                  "Reads a history of client operations on a key-value service (- is standard "
                  "input) and\n"
                  "tells whether it is linearizable: whether one order of all operations, each at "
                  "a moment\n"
                  "between its begin and its end, explains every answer. If not, it shows the few\n"
                  "operations that no order explains.\n"
                  "\n"
                  "  --json        the findings as one JSON object\n"
                  "  --empty       a history without operations is linearizable, not an error\n"
                  "  --steps N     configurations that may be looked at (default %d)\n"
                  "  --memory MIB  for the history and the search (default %d)\n"
                  "\n"
                  "Exit status: 0 linearizable, 1 not linearizable, 2 wrong usage or input, 3 gave "
                  "up: neither\n"
                  "proved nor refuted within the limits.\n"
                  "\n"
                  "%s",
                  STEPS_DEFAULT, MEMORY_DEFAULT_MIB, LIN_JSON_FORMAT);
}

static bool read_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    *out = n;
    return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && n >= 1 && n <= max;
}

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"json", no_argument, NULL, 'j'},        {"empty", no_argument, NULL, 'e'},
        {"steps", required_argument, NULL, 's'}, {"memory", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0}};
    uint64_t n;
    *o = (struct options){
        .limits = {.memory_max = MEMORY_DEFAULT_MIB * MIB, .steps_max = STEPS_DEFAULT}};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'j') {
            o->json = true;
        } else if (c == 'e') {
            o->empty = true;
        } else if (c == 's' && read_number(optarg, UINT64_MAX / 2, &n)) {
            o->limits.steps_max = n;
        } else if (c == 'm' && read_number(optarg, MEMORY_MAX_MIB, &n)) {
            o->limits.memory_max = (size_t)n * MIB;
        } else if (c == 'h') {
            print_help(stdout);
            exit(EXIT_LINEARIZABLE);
        } else if (c == 's' || c == 'm') {
            (void)fprintf(stderr, "lincheck: \"%s\" is no number that --%s takes\n", optarg,
                          c == 's' ? "steps" : "memory");
            return false;
        } else {
            return false; /* getopt_long has said it */
        }
    }
    if (optind + 1 != argc) {
        (void)fputs(optind == argc
                        ? "lincheck: which history? Give a FILE, or - for standard input\n"
                        : "lincheck: one history at a time\n",
                    stderr);
        return false;
    }
    o->file = argv[optind];
    return true;
}

static int judge(struct lin *l, const struct options *o)
{
    static const int statuses[] = {[LIN_LINEARIZABLE] = EXIT_LINEARIZABLE,
                                   [LIN_NOT_LINEARIZABLE] = EXIT_NOT_LINEARIZABLE,
                                   [LIN_GAVE_UP] = EXIT_GAVE_UP};
    struct lin_findings f;
    lin_find(l, o->file, &f);
    if (o->json) {
        json_t *json = lin_story_json(l, &f);
        if (json == NULL || json_dumpf(json, stdout, JSON_INDENT(2)) != 0) {
            (void)fputs("lincheck: the findings could not be printed\n", stderr);
        }
        (void)fputs("\n", stdout);
        json_decref(json);
    } else {
        lin_story_print(l, &f, stdout);
    }
    return statuses[f.report.verdict];
}

int main(int argc, char **argv)
{
    struct options o;
    char error[LIN_JSON_ERROR_MAX];
    if (!read_options(argc, argv, &o)) {
        (void)fputs("lincheck: see lincheck --help\n", stderr);
        return EXIT_WRONG;
    }
    bool standard = strcmp(o.file, "-") == 0;
    FILE *in = standard ? stdin : fopen(o.file, "re");
    if (in == NULL) {
        (void)fprintf(stderr, "lincheck: cannot open %s: %s\n", o.file, strerror(errno));
        return EXIT_WRONG;
    }
    struct lin *l = lin_new(&o.limits);
    if (l == NULL) {
        (void)fprintf(stderr, "lincheck: no memory for %zu MiB: give less by --memory\n",
                      o.limits.memory_max / MIB);
        return EXIT_GAVE_UP;
    }
    enum ts_err err = lin_json_read(l, o.file, in, error);
    int status = EXIT_WRONG;
    if (err == TS_OK && lin_count(l) == 0 && !o.empty) {
        (void)fprintf(stderr,
                      "lincheck: %s holds no operation, so there is nothing to judge: give "
                      "the history of a run, or --empty if that is as it should be\n",
                      o.file);
    } else if (err == TS_OK) {
        status = judge(l, &o);
    } else {
        (void)fprintf(stderr, "lincheck: %s\n", error);
        status = err == TS_ERR_FULL || err == TS_ERR_NOMEM ? EXIT_GAVE_UP : EXIT_WRONG;
    }
    lin_free(l);
    if (!standard) {
        (void)fclose(in);
    }
    return status;
}
