/* See cli/drill.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/drill.h"
#include "lab/clock.h"
#include "lab/exec.h"
#include "lab/pods.h"

#define LAB_TIMEOUT_S "60"
/* How often a drill is run again that the machine itself held up. */
#define AGAIN_MAX 3

volatile sig_atomic_t cli_drill_interrupted;
static volatile sig_atomic_t inside; /* the process that has the drill at hand, 0 = none */

/* A terminal tells both; whoever tells this process alone means both. */
static void on_signal(int signo)
{
    int saved = errno;
    cli_drill_interrupted = 1;
    if (inside > 0) {
        (void)kill((pid_t)inside, signo);
    }
    errno = saved;
}

void cli_drill_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* ---- running one ----------------------------------------------------------------------------- */

static enum ts_err twinstep_lab(const char *bin, const char *action, const char *topology,
                                const char *dir, enum lab_backend backend, struct ts_why *why)
{
    char program[TS_PATH_MAX];
    bool up = topology != NULL;
    const char *argv[12] = {program, "lab", action, "--dir", dir};
    size_t n = 5;
    enum ts_err err = ts_path(program, why, bin, "twinstep");
    if (up) {
        argv[n++] = "--timeout";
        argv[n++] = LAB_TIMEOUT_S;
        argv[n++] = topology;
        argv[n++] = "--backend";
        argv[n++] = lab_backend_text(backend);
    }
    return err != TS_OK ? err : lab_exec(argv, NULL, (char[4096]){""}, 4096, why);
}

/* A drill that could not be run is among the results, too: who reads only these misses none. */
static void append_invalid(const struct lab_drill *d, const char *text, json_t *results)
{
    struct lab_drill_result *r = calloc(1, sizeof(*r));
    if (r != NULL) {
        lab_drill_find(r, LAB_DRILL_INVALID, "%s", text);
        (void)json_array_append_new(results, lab_drill_json(d, r));
    }
    free(r);
}

/* In a process of its own, which has the client's network: gives the result to `out`. */
static int run_inside(const struct cli_drill *o, const struct lab_drill *d,
                      const struct nodes_run *run, const struct lab_topology *t, FILE *out)
{
    struct lab_drill_result *result = calloc(1, sizeof(*result));
    struct lab_screen screen = {
        .terminal = isatty(STDOUT_FILENO) == 1, .color = o->cli->colour, .begin_ns = 0};
    struct ts_why why = {{0}};
    const char *client = NULL;
    pid_t waits = getppid();
    for (size_t i = 0; i < t->machine_count && client == NULL; i++) {
        client = t->machines[i].kind == LAB_KIND_WORKLOAD ? t->machines[i].name : NULL;
    }
    struct lab_drill_config config = {.drill = d,
                                      .cluster = &t->cluster,
                                      .run = run,
                                      .history = o->history,
                                      .screen = &screen,
                                      .interrupted = &cli_drill_interrupted};
    if (result == NULL) {
        return cli_fail(o->cli, CLI_FAILED, "out of memory; free some");
    }
    if (client == NULL) {
        return cli_fail(o->cli, CLI_UNREACHABLE, "the topology has no workload to ask from");
    }
    if (lab_pods_enter_network(run->run, client, &why) != TS_OK) {
        return cli_fail(o->cli, CLI_UNREACHABLE, "%s", why.text);
    }
    /* Who waits for the result may be killed: then nobody ends the lab, and what goes on would
     * strike at the next one in this directory. After the namespace, which would undo it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != waits) {
        return CLI_FAILED;
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

/* Appends the result to `results`; CLI_OK: there is one of a drill that was run. */
static int run_in_lab(const struct cli_drill *o, const struct lab_drill *d,
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
        append_invalid(d, why.text, results);
        return cli_fail(o->cli, CLI_UNREACHABLE, "%s", why.text);
    }
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        inside = 0;
        FILE *out = fdopen(ends[1], "w");
        _exit(out == NULL ? CLI_FAILED : run_inside(o, d, run, t, out));
    }
    inside = pid > 0 ? pid : 0;
    if (pid > 0 && cli_drill_interrupted) {
        (void)kill(pid, SIGTERM); /* the signal came before the line above */
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
    inside = 0;
    if (in != NULL) {
        (void)fclose(in);
    }
    free(t);
    if (result == NULL) {
        append_invalid(d, "it has no result: its process ended early", results);
        return cli_fail(o->cli, CLI_UNREACHABLE, "%s has no result: its process ended early",
                        d->name);
    }
    (void)json_array_append_new(results, result);
    return CLI_OK;
}

int cli_drill_worse(int a, int b)
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
static bool needs_disks(const struct lab_drill *d)
{
    bool disks = d->lossy;
    for (unsigned k = 0; k < LAB_DRILL_FAULTS; k++) {
        disks = disks || ((d->kinds >> k & 1) != 0 && LAB_DRILL_IS_DISK(k));
    }
    return disks;
}

void cli_drill_announce(const struct cli_drill *o, const struct lab_drill *d)
{
    (void)fprintf(o->cli->out, "\n%s%s%s: %s\n", cli_style(o->cli, CLI_BOLD), d->name,
                  cli_style(o->cli, CLI_PLAIN), d->about);
    (void)fflush(o->cli->out);
}

static int begin_lab(const struct cli_drill *o, const struct lab_drill *d, struct nodes_run *run)
{
    struct ts_why why = {{0}};
    enum ts_err err = nodes_open(run, o->dir, &why);
    (void)unsetenv("LD_PRELOAD");
    err = err != TS_OK || !needs_disks(d) ? err : lab_disk_prepare(run, d->lossy, &why);
    err = err != TS_OK ? err : lab_drill_prepare_host(d, run, &why);
    if (err != TS_OK) {
        return cli_fail(o->cli, CLI_UNREACHABLE, "%s: %s", d->name, why.text);
    }
    err = twinstep_lab(run->bin, "up", d->topology, run->run, o->backend, &why);
    return err == TS_OK
               ? CLI_OK
               : cli_fail(o->cli, cli_drill_interrupted ? CLI_INTERRUPTED : CLI_UNREACHABLE,
                          "%s has no lab; what twinstep lab up said is above", d->name);
}

int cli_drill_begin_lab(const struct cli_drill *o, const struct lab_drill *d, struct nodes_run *run,
                        json_t *results)
{
    int status = begin_lab(o, d, run);
    if (status != CLI_OK) {
        append_invalid(d, "there was no lab to run it in: what was said of that tells why",
                       results);
    }
    return status;
}

/* The lab of what did not hold leaves its logs. */
static int end_lab(const struct cli_drill *o, const struct nodes_run *run, int status)
{
    struct ts_why why = {{0}};
    char program[TS_PATH_MAX];
    const char *argv[] = {
        program, "lab", "down", "--dir", run->run, status == CLI_OK ? NULL : "--keep", NULL};
    enum ts_err err = ts_path(program, &why, run->bin, "twinstep");
    if (err != TS_OK || lab_exec(argv, NULL, (char[1024]){""}, 1024, &why) != TS_OK) {
        return cli_fail(o->cli, CLI_FAILED, "%s", why.text);
    }
    if (status != CLI_OK) {
        (void)fprintf(o->cli->out, "  logs       %s/*/log\n", run->run);
    }
    return cli_drill_interrupted ? CLI_INTERRUPTED : status;
}

int cli_drill_end_lab(const struct cli_drill *o, const struct nodes_run *run, bool last, int status)
{
    if (!o->keep || !last) {
        return end_lab(o, run, status);
    }
    (void)fprintf(o->cli->out, "The lab goes on in %s; twinstep lab down --dir %s ends it.\n",
                  run->run, run->run);
    return cli_drill_interrupted ? CLI_INTERRUPTED : status;
}

/* One drill in a lab that runs. */
int cli_drill_run_there(const struct cli_drill *o, const struct lab_drill *d,
                        const struct nodes_run *run, json_t *results)
{
    int status = run_in_lab(o, d, run, results);
    return status != CLI_OK ? status
                            : status_of(json_array_get(results, json_array_size(results) - 1));
}

bool cli_drill_let_go(const struct cli_drill *o, json_t *results)
{
    size_t count = json_array_size(results);
    const json_t *r = count == 0 ? NULL : json_array_get(results, count - 1);
    bool stalled = json_is_true(json_object_get(r, "stalled"));
    if (stalled && !cli_drill_interrupted) {
        (void)json_array_remove(results, count - 1);
        (void)fprintf(o->cli->out, "  again, for that tells nothing\n");
    }
    return stalled && !cli_drill_interrupted;
}

static int run_once(const struct cli_drill *o, const struct lab_drill *d, bool last,
                    json_t *results)
{
    struct nodes_run run;
    cli_drill_announce(o, d);
    int status = cli_drill_begin_lab(o, d, &run, results);
    if (status != CLI_OK) {
        return status;
    }
    status = cli_drill_run_there(o, d, &run, results);
    return cli_drill_end_lab(o, &run, last, status);
}

static int run_one(const struct cli_drill *o, const struct lab_drill *d, bool last, json_t *results)
{
    int status = run_once(o, d, last, results);
    for (int i = 0; i < AGAIN_MAX && !o->keep && cli_drill_let_go(o, results); i++) {
        status = run_once(o, d, last, results);
    }
    return status;
}

/* ---- the results ----------------------------------------------------------------------------- */

static void put_json(FILE *out, const json_t *results)
{
    (void)json_dumpf(results, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    (void)fputc('\n', out);
}

static int write_one(const struct cli_drill *o, const char *file,
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

int cli_drill_write_results(const struct cli_drill *o, const json_t *results)
{
    int status = write_one(o, o->result, put_json, results);
    status = cli_drill_worse(status, write_one(o, o->junit, lab_drill_junit, results));
    return cli_drill_worse(status, write_one(o, o->html, lab_drill_page, results));
}

void cli_drill_print_summary(const struct cli_drill *o, const json_t *results)
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
int cli_drill_run(const struct cli_drill *o, char *const *names, size_t count)
{
    struct cli_drill_file *list = calloc(CLI_DRILLS_MAX, sizeof(*list));
    struct lab_drill *drill = calloc(1, sizeof(*drill));
    json_t *results = json_array();
    size_t chosen = 0;
    int status = list == NULL || drill == NULL ? CLI_FAILED : CLI_OK;
    for (size_t i = 0; i < count && status == CLI_OK; i++) {
        status = cli_drill_choose(o->cli, names[i], list, &chosen);
    }
    for (size_t i = 0; i < chosen && status == CLI_OK; i++) {
        status = cli_drill_load(o, &list[i], drill);
    }
    bool run = status == CLI_OK;
    cli_drill_catch_signals();
    for (unsigned t = 0; run && t < o->times && !cli_drill_interrupted; t++) {
        for (size_t i = 0; i < chosen && !cli_drill_interrupted; i++) {
            bool last = t + 1 == o->times && i + 1 == chosen;
            int one = cli_drill_load(o, &list[i], drill);
            one = one != CLI_OK ? one : run_one(o, drill, last, results);
            status = cli_drill_worse(status, cli_drill_interrupted ? CLI_INTERRUPTED : one);
        }
    }
    if (run) {
        cli_drill_print_summary(o, results);
        status = cli_drill_worse(status, cli_drill_write_results(o, results));
    }
    json_decref(results);
    free(drill);
    free(list);
    return status;
}
