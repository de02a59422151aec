/* See cli/drill.h. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "cli/drill.h"
#include "lab/clock.h"
#include "lab/scratch.h"
#include "lab/shipped.h"

/* Counts the faults of one drill by their kinds. */
static size_t count_kinds(const json_t *faults, json_t *kinds)
{
    size_t i;
    json_t *fault;
    json_array_foreach(faults, i, fault)
    {
        char kind[64];
        (void)snprintf(kind, sizeof(kind), "%s", cli_string(fault, "fault", "?"));
        kind[strcspn(kind, " ")] = '\0';
        json_int_t n = json_integer_value(json_object_get(kinds, kind));
        (void)json_object_set_new(kinds, kind, json_integer(n + 1));
    }
    return json_array_size(faults);
}

/* What the soak was made of: how often each fault came. */
static void print_kinds(const struct cli_drill *o, const json_t *results)
{
    json_t *kinds = json_object();
    size_t count = 0;
    size_t i;
    json_t *r;
    json_array_foreach(results, i, r)
    {
        count += count_kinds(json_object_get(r, "faults"), kinds);
    }
    (void)fprintf(o->cli->out, "%zu faults:", count);
    for (void *at = json_object_iter(kinds); at != NULL; at = json_object_iter_next(kinds, at)) {
        (void)fprintf(o->cli->out, " %s %lld", json_object_iter_key(at),
                      (long long)json_integer_value(json_object_iter_value(at)));
    }
    (void)fputc('\n', o->cli->out);
    json_decref(kinds);
}

/* What was replaced, or was another's, is of no use any more, and fills the disk. */
static void remove_lost(const struct nodes_run *run)
{
    DIR *dir = opendir(run->run);
    char path[TS_PATH_MAX];
    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        bool useless = strstr(e->d_name, ".lost-") != NULL || strstr(e->d_name, ".own-") != NULL;
        if (useless && ts_path(path, NULL, run->run, "%s", e->d_name) == TS_OK) {
            lab_scratch_remove(path);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

/* One seed behind the other, in one lab, each with its own load that is read back. */
static int soak_in_lab(struct cli_drill *o, const struct cli_drill_file *soak, struct lab_drill *d,
                       const struct nodes_run *run, json_t *results)
{
    uint64_t end = lab_now_ns() + o->minutes * 60 * TS_NS_PER_S;
    int status = CLI_OK;
    while (status == CLI_OK && !cli_drill_interrupted && lab_now_ns() < end) {
        char name[CFG_NAME_MAX];
        status = cli_drill_load(o, soak, d);
        /* Keys are the seed's own, for the next load must not find those of this one. */
        (void)snprintf(name, sizeof(name), "%.20s-%llu", d->name, (unsigned long long)d->seed);
        memcpy(d->name, name, sizeof(name));
        cli_drill_announce(o, d);
        status = status != CLI_OK ? status : cli_drill_run_there(o, d, run, results);
        if (status == CLI_UNREACHABLE && cli_drill_let_go(o, results)) {
            status = CLI_OK;
            o->let_go++;
        }
        o->seed_number++;
        status = cli_drill_worse(status, cli_drill_write_results(o, results)); /* it may be long */
        if (status == CLI_OK) {
            remove_lost(run);
        }
    }
    return status;
}

int cli_drill_soak(struct cli_drill *o, const char *name)
{
    struct cli_drill_file *soak = calloc(CLI_DRILLS_MAX, sizeof(*soak));
    struct lab_drill *d = calloc(1, sizeof(*d));
    json_t *results = json_array();
    struct nodes_run run;
    size_t count = 0;
    const char *chosen = name != NULL ? name : o->beyond ? "beyond" : "soak";
    o->seed_number = o->seed_number == 0 ? 1 : o->seed_number;
    int status = d == NULL || soak == NULL ? CLI_FAILED : CLI_OK;
    if (status == CLI_OK && o->beyond && name != NULL) {
        status = cli_fail(o->cli, CLI_USAGE, "--beyond is a drill itself; leave %s out", name);
    }
    status = status != CLI_OK ? status : cli_drill_choose(o->cli, chosen, soak, &count);
    if (status == CLI_OK && count != 1) {
        status = cli_fail(o->cli, CLI_USAGE, "%s has more than one drill; a soak is of one", name);
    }
    status = status != CLI_OK ? status : cli_drill_load(o, soak, d);
    cli_drill_catch_signals();
    if (status == CLI_OK) {
        status = cli_drill_begin_lab(o, d, &run, results);
        if (status == CLI_OK) {
            status = soak_in_lab(o, soak, d, &run, results);
            status = cli_drill_end_lab(o, &run, true, status);
        }
        cli_drill_print_summary(o, results);
        print_kinds(o, results);
        if (o->let_go > 0) {
            (void)fprintf(o->cli->out, "%u more told nothing: this machine held them up\n",
                          o->let_go);
        }
        if (status == CLI_OK && json_array_size(results) == 0) {
            status = cli_fail(o->cli, CLI_UNREACHABLE,
                              "this machine held up each drill of the soak; run it when it has "
                              "less to do");
        }
        status = cli_drill_worse(status, cli_drill_write_results(o, results));
    }
    json_decref(results);
    free(soak);
    free(d);
    return status;
}
