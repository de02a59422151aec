/* twinstep drill: faults on purpose, in a lab of its own, and a verdict. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lab/clock.h"
#include "lab/drill_run.h"
#include "lab/exec.h"
#include "lab/pods.h"
#include "lab/shipped.h"

#define DIR_DEFAULT "run-drill"
#define FILE_BYTES_MAX (1U << 20)
#define NAMES_MAX 256
#define LAB_TIMEOUT_S "60"

struct options {
    const struct cli *cli;
    const char *dir;
    const char *result;
    const char *junit;
    const char *html;
    const char *history;
    const char *seed;
    uint64_t seed_number;
    unsigned times;
    bool as_json; /* of list */
    bool keep;
};

/* A drill to be run: a shipped one, or a file. */
struct chosen {
    const char *text; /* of a shipped one, else NULL */
    char file[TS_PATH_MAX];
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
    (void)signo;
    interrupted = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep drill run NAME|FILE|DIR… [--dir DIR] [--times N] [--seed S]\n"
        "                          [--result FILE] [--junit FILE] [--html FILE]\n"
        "                          [--history FILE] [--keep]\n"
        "       twinstep drill list [--json]\n"
        "       twinstep drill describe NAME|FILE\n"
        "\n"
        "A drill builds a lab of its own (see twinstep lab --help), puts checked load on its\n"
        "cluster, does the harm that its file says, and judges all that was answered: nothing\n"
        "acknowledged may be lost, nothing executed twice, there is one primary an epoch. NAME is\n"
        "one that ships; DIR means all *.yaml in it. docs/LAB.md tells what a drill's file says.\n"
        "\n"
        "  --dir DIR       where its lab is (default ./run-drill); removed when the drill held\n"
        "  --times N       so often, one run behind the other\n"
        "  --seed S        draws the random steps, in place of the file's own seed\n"
        "  --result FILE   all results as a JSON array\n"
        "  --junit FILE    all results as JUnit XML\n"
        "  --html FILE     all results as a page for a browser, with a picture of each drill\n"
        "  --history FILE  what every client of the last drill asked and was told, for lincheck\n"
        "  --keep          leave the lab of the last drill running\n"
        "\n"
        "Exit status: 0 all held, 1 one failed or a promise was broken, 2 wrong usage, 3 one "
        "could\n"
        "not be run, or a fault had no effect that could be shown, 130 interrupted.\n",
        out);
}

/* ---- which drills ---------------------------------------------------------------------------- */

static int by_file(const void *a, const void *b)
{
    return strcmp(((const struct chosen *)a)->file, ((const struct chosen *)b)->file);
}

static int choose_folder(const struct cli *cli, const char *dir, struct chosen *list, size_t *count)
{
    size_t first = *count;
    DIR *d = opendir(dir);
    struct ts_why why = {{0}};
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot == NULL || strcmp(dot, ".yaml") != 0 || *count == NAMES_MAX) {
            continue;
        }
        list[*count].text = NULL;
        if (ts_path(list[*count].file, &why, dir, "%s", e->d_name) != TS_OK) {
            (void)closedir(d);
            return cli_fail(cli, CLI_FAILED, "%s", why.text);
        }
        ++*count;
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    if (*count == first) {
        return cli_fail(cli, CLI_FAILED, "there is no drill in %s: no file *.yaml", dir);
    }
    qsort(list + first, *count - first, sizeof(*list), by_file);
    return CLI_OK;
}

static int choose(const struct cli *cli, const char *name, struct chosen *list, size_t *count)
{
    const char *text = lab_shipped_text(lab_shipped_drills, name);
    DIR *d = text == NULL ? opendir(name) : NULL;
    if (d != NULL) {
        (void)closedir(d);
        return choose_folder(cli, name, list, count);
    }
    if (text == NULL && access(name, R_OK) != 0) {
        return cli_fail(cli, CLI_USAGE,
                        "there is no file %s, and no drill of this name ships; twinstep drill list "
                        "tells those",
                        name);
    }
    if (*count == NAMES_MAX || strlen(name) >= TS_PATH_MAX) {
        return cli_fail(cli, CLI_USAGE, "more than %d drills, or a path that is too long",
                        NAMES_MAX);
    }
    list[*count].text = text;
    (void)snprintf(list[(*count)++].file, TS_PATH_MAX, "%s", name);
    return CLI_OK;
}

static int load(const struct options *o, const struct chosen *c, struct lab_drill *out)
{
    struct ts_why why = {{0}};
    uint8_t *read = NULL;
    size_t len = c->text == NULL ? 0 : strlen(c->text);
    enum ts_err err =
        c->text != NULL ? TS_OK : ts_file_read(c->file, FILE_BYTES_MAX, &read, &len, &why);
    const uint8_t *text = c->text != NULL ? (const uint8_t *)c->text : read;
    err = err != TS_OK
              ? err
              : lab_drill_parse(c->file, (struct ts_bytes){text, len}, o->seed_number, out, &why);
    free(read);
    return err == TS_OK ? CLI_OK : cli_fail(o->cli, CLI_USAGE, "%s", why.text);
}

/* ---- running one ----------------------------------------------------------------------------- */

static enum ts_err twinstep_lab(const char *bin, const char *action, const char *topology,
                                const char *dir, struct ts_why *why)
{
    char program[TS_PATH_MAX];
    bool up = topology != NULL;
    const char *argv[10] = {program, "lab", action, "--dir", dir};
    size_t n = 5;
    enum ts_err err = ts_path(program, why, bin, "twinstep");
    if (up) {
        argv[n++] = "--timeout";
        argv[n++] = LAB_TIMEOUT_S;
        argv[n++] = topology;
    }
    return err != TS_OK ? err : lab_exec(argv, NULL, (char[4096]){""}, 4096, why);
}

/* In a process of its own, which has the client's network: gives the result to `out`. */
static int run_inside(const struct options *o, const struct lab_drill *d,
                      const struct nodes_run *run, const struct lab_topology *t, FILE *out)
{
    struct lab_drill_result *result = calloc(1, sizeof(*result));
    struct lab_screen screen = {
        .terminal = isatty(STDOUT_FILENO) == 1, .color = o->cli->colour, .begin_ns = 0};
    struct ts_why why = {{0}};
    const char *client = NULL;
    for (size_t i = 0; i < t->machine_count && client == NULL; i++) {
        client = t->machines[i].kind == LAB_KIND_WORKLOAD ? t->machines[i].name : NULL;
    }
    struct lab_drill_config config = {.drill = d,
                                      .cluster = &t->cluster,
                                      .run = run,
                                      .history = o->history,
                                      .screen = &screen,
                                      .interrupted = &interrupted};
    if (result == NULL) {
        return cli_fail(o->cli, CLI_FAILED, "out of memory; free some");
    }
    if (client == NULL) {
        return cli_fail(o->cli, CLI_UNREACHABLE, "the topology has no workload to ask from");
    }
    if (lab_pods_enter_network(run->run, client, &why) != TS_OK) {
        return cli_fail(o->cli, CLI_UNREACHABLE, "%s", why.text);
    }
    screen.begin_ns = lab_now_ns();
    lab_drill_run(&config, result);
    lab_screen_clear(&screen);
    lab_drill_print(o->cli->out, d, result);
    (void)fflush(o->cli->out);
    json_t *json = lab_drill_json(d, result);
    bool told = json_dumpf(json, out, JSON_REAL_PRECISION(9)) == 0 && fflush(out) == 0;
    json_decref(json);
    lab_drill_result_free(result);
    free(result);
    return told ? CLI_OK : CLI_FAILED;
}

/* Appends the result to `results`; CLI_OK: there is one. */
static int run_in_lab(const struct options *o, const struct lab_drill *d,
                      const struct nodes_run *run, json_t *results)
{
    struct lab_topology *t = calloc(1, sizeof(*t));
    struct ts_why why = {{0}};
    char file[TS_PATH_MAX];
    int ends[2];
    enum ts_err err = t == NULL ? TS_ERR_NOMEM : ts_path(file, &why, run->run, LAB_FILE);
    err = err != TS_OK ? err : lab_topology_load(file, t, &why);
    if (err != TS_OK || pipe2(ends, O_CLOEXEC) != 0) {
        free(t);
        return cli_fail(o->cli, CLI_UNREACHABLE, "%s", why.text);
    }
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        FILE *out = fdopen(ends[1], "w");
        _exit(out == NULL ? CLI_FAILED : run_inside(o, d, run, t, out));
    }
    (void)close(ends[1]);
    FILE *in = fdopen(ends[0], "r");
    json_t *result = NULL;
    /* The signal that ends the drill ends it there: what was seen until then is told. */
    while (pid > 0 && in != NULL && result == NULL && !feof(in) && !ferror(in)) {
        result = json_loadf(in, JSON_DISABLE_EOF_CHECK, NULL);
    }
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (in != NULL) {
        (void)fclose(in);
    }
    free(t);
    if (result == NULL) {
        return cli_fail(o->cli, CLI_UNREACHABLE, "%s has no result: its process ended early",
                        d->name);
    }
    (void)json_array_append_new(results, result);
    return CLI_OK;
}

static int worse(int a, int b)
{
    static const int order[] = {CLI_OK, CLI_UNREACHABLE, CLI_FAILED, CLI_INTERRUPTED};
    for (size_t i = sizeof(order) / sizeof(order[0]); i > 0; i--) {
        if (a == order[i - 1] || b == order[i - 1]) {
            return order[i - 1];
        }
    }
    return CLI_FAILED;
}

static int status_of(const json_t *result)
{
    const char *verdict = json_string_value(json_object_get(result, "verdict"));
    if (verdict == NULL || strcmp(verdict, lab_drill_verdict_text(LAB_DRILL_INVALID)) == 0) {
        return CLI_UNREACHABLE;
    }
    return strcmp(verdict, lab_drill_verdict_text(LAB_DRILL_HELD)) == 0 ? CLI_OK : CLI_FAILED;
}

/* A drill that does nothing to disks has them as they are. */
static enum ts_err prepare_disks(const struct lab_drill *d, const struct nodes_run *run,
                                 struct ts_why *why)
{
    bool disks = d->lossy;
    for (size_t i = 0; i < d->step_count; i++) {
        disks =
            disks || (d->steps[i].kind == LAB_STEP_FAULT && LAB_DRILL_IS_DISK(d->steps[i].fault));
    }
    (void)unsetenv("LD_PRELOAD");
    return disks ? lab_disk_prepare(run, d->lossy, why) : TS_OK;
}

static int run_one(const struct options *o, const struct lab_drill *d, bool last, json_t *results)
{
    struct ts_why why = {{0}};
    struct nodes_run run;
    enum ts_err err = nodes_open(&run, o->dir, &why);
    (void)fprintf(o->cli->out, "\n%s%s%s: %s\n", cli_style(o->cli, CLI_BOLD), d->name,
                  cli_style(o->cli, CLI_PLAIN), d->about);
    (void)fflush(o->cli->out);
    err = err != TS_OK ? err : prepare_disks(d, &run, &why);
    if (err != TS_OK) {
        return cli_fail(o->cli, CLI_UNREACHABLE, "%s: %s", d->name, why.text);
    }
    err = twinstep_lab(run.bin, "up", d->topology, run.run, &why);
    if (err != TS_OK) {
        return cli_fail(o->cli, interrupted ? CLI_INTERRUPTED : CLI_UNREACHABLE,
                        "%s has no lab; what twinstep lab up said is above", d->name);
    }
    int status = run_in_lab(o, d, &run, results);
    if (status == CLI_OK) {
        status = status_of(json_array_get(results, json_array_size(results) - 1));
    }
    if (o->keep && last) {
        (void)fprintf(o->cli->out, "The lab goes on in %s; twinstep lab down --dir %s ends it.\n",
                      run.run, run.run);
        return status;
    }
    const char *const argv[] = {
        NULL, "lab", "down", "--dir", run.run, status == CLI_OK ? NULL : "--keep", NULL};
    char program[TS_PATH_MAX];
    const char *with[7];
    memcpy(with, argv, sizeof(argv));
    with[0] = program;
    err = ts_path(program, &why, run.bin, "twinstep");
    if (err != TS_OK || lab_exec(with, NULL, (char[1024]){""}, 1024, &why) != TS_OK) {
        return cli_fail(o->cli, CLI_FAILED, "%s", why.text);
    }
    if (status != CLI_OK) {
        (void)fprintf(o->cli->out, "  logs       %s/*/log\n", run.run);
    }
    return interrupted ? CLI_INTERRUPTED : status;
}

/* ---- the results ----------------------------------------------------------------------------- */

static void put_json(FILE *out, const json_t *results)
{
    (void)json_dumpf(results, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    (void)fputc('\n', out);
}

static int write_one(const struct options *o, const char *file,
                     void (*put)(FILE *out, const json_t *results), const json_t *results)
{
    FILE *out = file == NULL ? NULL : fopen(file, "we");
    if (file == NULL) {
        return CLI_OK;
    }
    if (out == NULL) {
        return cli_fail(o->cli, CLI_FAILED, "cannot write %s: %s", file, strerror(errno));
    }
    put(out, results);
    bool good = ferror(out) == 0;
    good = fclose(out) == 0 && good;
    return good ? CLI_OK : cli_fail(o->cli, CLI_FAILED, "cannot write %s: is the disk full?", file);
}

static int write_results(const struct options *o, const json_t *results)
{
    int status = write_one(o, o->result, put_json, results);
    status = worse(status, write_one(o, o->junit, lab_drill_junit, results));
    return worse(status, write_one(o, o->html, lab_drill_page, results));
}

static void print_summary(const struct options *o, const json_t *results)
{
    size_t counts[LAB_DRILL_BROKEN + 1] = {0};
    size_t i;
    json_t *r;
    json_array_foreach(results, i, r)
    {
        for (size_t v = 0; v <= LAB_DRILL_BROKEN; v++) {
            counts[v] += strcmp(lab_drill_verdict_text((enum lab_drill_verdict)v),
                                cli_string(r, "verdict", "")) == 0;
        }
    }
    (void)fprintf(o->cli->out, "\n%zu drills:", json_array_size(results));
    for (size_t v = 0; v <= LAB_DRILL_BROKEN; v++) {
        (void)fprintf(o->cli->out, "%s %zu %s", v > 0 ? "," : "", counts[v],
                      lab_drill_verdict_text((enum lab_drill_verdict)v));
    }
    (void)fputc('\n', o->cli->out);
}

/* All files are read before the first one runs. */
static int run(const struct options *o, char *const *names, size_t count)
{
    struct chosen *list = calloc(NAMES_MAX, sizeof(*list));
    struct lab_drill *drill = calloc(1, sizeof(*drill));
    json_t *results = json_array();
    size_t chosen = 0;
    int status = list == NULL || drill == NULL ? CLI_FAILED : CLI_OK;
    for (size_t i = 0; i < count && status == CLI_OK; i++) {
        status = choose(o->cli, names[i], list, &chosen);
    }
    for (size_t i = 0; i < chosen && status == CLI_OK; i++) {
        status = load(o, &list[i], drill);
    }
    bool run = status == CLI_OK;
    catch_signals();
    for (unsigned t = 0; run && t < o->times && !interrupted; t++) {
        for (size_t i = 0; i < chosen && !interrupted; i++) {
            bool last = t + 1 == o->times && i + 1 == chosen;
            int one = load(o, &list[i], drill);
            one = one != CLI_OK ? one : run_one(o, drill, last, results);
            status = worse(status, interrupted ? CLI_INTERRUPTED : one);
        }
    }
    if (run) {
        print_summary(o, results);
        status = worse(status, write_results(o, results));
    }
    json_decref(results);
    free(drill);
    free(list);
    return status;
}

/* ---- list, describe -------------------------------------------------------------------------- */

static int list(const struct options *o)
{
    struct lab_drill *d = calloc(1, sizeof(*d));
    json_t *all = json_array();
    int status = d == NULL ? CLI_FAILED : CLI_OK;
    for (const struct lab_shipped *s = lab_shipped_drills; s->name != NULL && status == CLI_OK;
         s++) {
        struct chosen c = {.text = s->text};
        (void)snprintf(c.file, sizeof(c.file), "%s", s->name);
        status = load(o, &c, d);
        if (status == CLI_OK && !o->as_json) {
            (void)fprintf(o->cli->out, "  %-20s %s\n", d->name, d->about);
        }
        (void)json_array_append_new(all,
                                    json_pack("{s:s,s:s,s:s,s:s}", "name", d->name, "about",
                                              d->about, "topology", d->topology, "text", s->text));
    }
    if (o->as_json) {
        (void)json_dumpf(all, o->cli->out, JSON_INDENT(1));
        (void)fputc('\n', o->cli->out);
    }
    json_decref(all);
    free(d);
    return status;
}

static void print_step(const struct options *o, const struct lab_step *s)
{
    FILE *out = o->cli->out;
    switch (s->kind) {
    case LAB_STEP_WAIT:
        (void)fprintf(out, "  wait %.1f s\n", (double)s->ms / 1e3);
        break;
    case LAB_STEP_FAULT:
        (void)fprintf(out, "  %s %s%s%s", lab_drill_fault_name(s->fault),
                      s->program[0] == '\0' ? "all of " : s->program,
                      s->program[0] == '\0' ? "" : " of ", s->on);
        (void)fprintf(out, s->ms > 0 ? " for %.1f s\n" : "\n", (double)s->ms / 1e3);
        break;
    case LAB_STEP_SAY:
        (void)fprintf(out, "  twinstep %s, at %s\n", s->words, s->on);
        break;
    case LAB_STEP_HEAL:
        (void)fputs("  heal all\n", out);
        break;
    case LAB_STEP_UNTIL:
        (void)fprintf(out, "  until %s, within %.1f s\n", lab_goal_name(s->goal),
                      (double)s->ms / 1e3);
        break;
    default:
        break;
    }
}

static int describe(const struct options *o, char *const *names, size_t count)
{
    struct chosen *one = calloc(NAMES_MAX, sizeof(*one));
    struct lab_drill *d = calloc(1, sizeof(*d));
    size_t chosen = 0;
    int status = one == NULL || d == NULL ? CLI_FAILED : CLI_OK;
    for (size_t i = 0; i < count && status == CLI_OK; i++) {
        status = choose(o->cli, names[i], one, &chosen);
    }
    for (size_t i = 0; i < chosen && status == CLI_OK; i++) {
        status = load(o, &one[i], d);
        if (status != CLI_OK) {
            break;
        }
        (void)fprintf(o->cli->out,
                      "%s: %s\n  topology %s, %u clients, %u keys of each kind, %u %% "
                      "reads\n",
                      d->name, d->about, d->topology, d->clients, d->keys, d->reads_percent);
        for (size_t k = 0; k < d->step_count; k++) {
            print_step(o, &d->steps[k]);
        }
    }
    free(one);
    free(d);
    return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

static bool read_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *out >= 1 &&
           *out <= max;
}

/* Gives -1 to go on. */
static int parse(struct options *o, int argc, char **argv)
{
    static const struct option OPTIONS[] = {{"dir", required_argument, NULL, 'd'},
                                            {"times", required_argument, NULL, 'n'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"junit", required_argument, NULL, 'u'},
                                            {"html", required_argument, NULL, 'm'},
                                            {"history", required_argument, NULL, 'y'},
                                            {"result", required_argument, NULL, 'r'},
                                            {"keep", no_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int c;
    uint64_t n = 0;
    optind = 0;
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        switch (c) {
        case 'd':
            o->dir = optarg;
            break;
        case 'n':
            if (!read_number(optarg, 100000, &n)) {
                return cli_fail(o->cli, CLI_USAGE, "--times is \"%s\"; give a number from 1",
                                optarg);
            }
            o->times = (unsigned)n;
            break;
        case 's':
            if (!read_number(optarg, UINT32_MAX, &o->seed_number)) {
                return cli_fail(o->cli, CLI_USAGE, "--seed is \"%s\"; give a number from 1",
                                optarg);
            }
            break;
        case 'j':
            o->as_json = true;
            break;
        case 'r':
            o->result = optarg;
            break;
        case 'u':
            o->junit = optarg;
            break;
        case 'm':
            o->html = optarg;
            break;
        case 'y':
            o->history = optarg;
            break;
        case 'k':
            o->keep = true;
            break;
        case 'h':
            print_help(o->cli->out);
            return CLI_OK;
        default:
            return cli_usage(o->cli, "drill");
        }
    }
    return -1;
}

int cli_drill(const struct cli *cli, int argc, char **argv)
{
    struct options o = {.cli = cli, .dir = DIR_DEFAULT, .times = 1};
    int status = parse(&o, argc, argv);
    if (status >= 0) {
        return status;
    }
    const char *action = optind < argc ? argv[optind++] : "";
    size_t count = (size_t)(argc - optind);
    if (strcmp(action, "list") == 0) {
        return count > 0 ? cli_excess(cli, "drill", argv[optind]) : list(&o);
    }
    bool describes = strcmp(action, "describe") == 0;
    if (!describes && strcmp(action, "run") != 0) {
        return cli_fail(cli, CLI_USAGE, "drill run, list or describe?");
    }
    if (count == 0) {
        return cli_fail(cli, CLI_USAGE, "which drill? twinstep drill list tells those that ship");
    }
    if (!describes && o.as_json && o.result == NULL) {
        return cli_fail(cli, CLI_USAGE, "name the file: --json=FILE");
    }
    return describes ? describe(&o, argv + optind, count) : run(&o, argv + optind, count);
}
