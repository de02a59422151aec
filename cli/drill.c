/* twinstep drill: faults on purpose, in a lab of its own, and a verdict. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/drill.h"
#include "cli/lab.h"
#include "lab/shipped.h"
#include "lab/wire_text.h"

#define DIR_DEFAULT "run-drill"
#define FILE_BYTES_MAX (1U << 20)

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep drill run NAME|FILE|DIR… [--dir DIR] [--times N] [--seed S]\n"
        "                          [--backend netns|podman|docker]\n"
        "                          [--result FILE] [--junit FILE] [--html FILE]\n"
        "                          [--history FILE] [--keep]\n"
        "       twinstep drill soak [NAME|FILE] [--hours N|--minutes N] [--beyond] [--seed S]\n"
        "                          [--dir DIR] [--result FILE] …\n"
        "       twinstep drill list [--json]\n"
        "       twinstep drill describe NAME|FILE\n"
        "\n"
        "A drill builds a lab of its own (see twinstep lab --help), puts checked load on its\n"
        "cluster, does the harm that its file says, and judges all that was answered: nothing\n"
        "acknowledged may be lost, nothing executed twice, there is one primary an epoch. NAME is\n"
        "one that ships; DIR means all *.yaml in it. docs/LAB.md tells what a drill's file says.\n"
        "\n"
        "soak runs one drill, \"soak\" or the one given, again and again in one lab, with one "
        "seed\n"
        "behind the other, until its time is over or one does not hold. --beyond takes the drill\n"
        "\"beyond\": two faults at a time, more than a pair survives; it may stop then, and has "
        "to\n"
        "say why, and must not give a wrong answer.\n"
        "\n"
        "  --hours N, --minutes N\n"
        "                  how long a soak lasts (default 10 minutes)\n"
        "  --backend B     what the machines of its lab are, as in twinstep lab up\n"
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
    return strcmp(((const struct cli_drill_file *)a)->file,
                  ((const struct cli_drill_file *)b)->file);
}

static int choose_folder(const struct cli *cli, const char *dir, struct cli_drill_file *list,
                         size_t *count)
{
    size_t first = *count;
    DIR *d = opendir(dir);
    struct ts_why why = {{0}};
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot == NULL || strcmp(dot, ".yaml") != 0 || *count == CLI_DRILLS_MAX) {
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

int cli_drill_choose(const struct cli *cli, const char *name, struct cli_drill_file *list,
                     size_t *count)
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
    if (*count == CLI_DRILLS_MAX || strlen(name) >= TS_PATH_MAX) {
        return cli_fail(cli, CLI_USAGE, "more than %d drills, or a path that is too long",
                        CLI_DRILLS_MAX);
    }
    list[*count].text = text;
    (void)snprintf(list[(*count)++].file, TS_PATH_MAX, "%s", name);
    return CLI_OK;
}

int cli_drill_load(const struct cli_drill *o, const struct cli_drill_file *c, struct lab_drill *out)
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

/* ---- list, describe -------------------------------------------------------------------------- */

static int list(const struct cli_drill *o)
{
    struct lab_drill *d = calloc(1, sizeof(*d));
    json_t *all = json_array();
    int status = d == NULL ? CLI_FAILED : CLI_OK;
    for (const struct lab_shipped *s = lab_shipped_drills; s->name != NULL && status == CLI_OK;
         s++) {
        struct cli_drill_file c = {.text = s->text};
        (void)snprintf(c.file, sizeof(c.file), "%s", s->name);
        status = cli_drill_load(o, &c, d);
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

/* What a fault of data does its harm to. */
static void print_files(FILE *out, const struct lab_step *s)
{
    if (s->fault == LAB_DRILL_BIT_ROT || s->files != LAB_FILES_GROUPS) {
        (void)fprintf(out, "%s of ", lab_files_name(s->files));
    }
}

/* Between whom, and how much. */
static void print_measure(FILE *out, const struct lab_step *s)
{
    if (s->to[0] != '\0') {
        (void)fprintf(out, "%s%s", s->fault == LAB_DRILL_WIRE ? " to " : ", of ", s->to);
    }
    if (s->fault == LAB_DRILL_WIRE) {
        json_t *rule = lab_wire_rule_json(&s->rule);
        (void)fprintf(out, "%s%s%s ", s->both ? " and back" : "",
                      s->network[0] == '\0' ? "" : " on ", s->network);
        (void)json_dumpf(rule, out, 0);
        json_decref(rule);
    }
    if (s->share_percent > 0) {
        (void)fprintf(out, ", %u %%", s->share_percent);
    }
    if (s->by_ms > 0 || s->jump_ms > 0) {
        (void)fprintf(out, " by %.3f s", (double)(s->by_ms + s->jump_ms) / 1e3);
    }
}

static void print_step(const struct cli_drill *o, const struct lab_step *s)
{
    FILE *out = o->cli->out;
    switch (s->kind) {
    case LAB_STEP_WAIT:
        (void)fprintf(out, "  wait %.1f s\n", (double)s->ms / 1e3);
        break;
    case LAB_STEP_FAULT:
        (void)fprintf(out, "  %s ", lab_drill_fault_name(s->fault));
        if (LAB_DRILL_IS_OF_PROGRAMS(s->fault)) {
            (void)fprintf(out, "%s of ", s->program[0] == '\0' ? "all" : s->program);
        }
        print_files(out, s);
        (void)fprintf(out, "%s%s", s->host ? "the host of " : "", s->on);
        print_measure(out, s);
        (void)fprintf(out, s->ms > 0 ? " for %.1f s\n" : "\n", (double)s->ms / 1e3);
        break;
    case LAB_STEP_SAY:
        (void)fprintf(out, "  twinstep %s, at %s\n", s->words, s->on);
        break;
    case LAB_STEP_IMAGE:
        (void)fprintf(out, "  an image of the disk of %s\n", s->on);
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

static int describe(const struct cli_drill *o, char *const *names, size_t count)
{
    struct cli_drill_file *one = calloc(CLI_DRILLS_MAX, sizeof(*one));
    struct lab_drill *d = calloc(1, sizeof(*d));
    size_t chosen = 0;
    int status = one == NULL || d == NULL ? CLI_FAILED : CLI_OK;
    for (size_t i = 0; i < count && status == CLI_OK; i++) {
        status = cli_drill_choose(o->cli, names[i], one, &chosen);
    }
    for (size_t i = 0; i < chosen && status == CLI_OK; i++) {
        status = cli_drill_load(o, &one[i], d);
        if (status != CLI_OK) {
            break;
        }
        (void)fprintf(o->cli->out, "%s: %s\n  topology %s, %u clients, ", d->name, d->about,
                      d->topology, d->clients);
        if (d->lease_ms > 0) {
            (void)fprintf(o->cli->out, "%u leases of %u ms\n", d->keys, d->lease_ms);
        } else {
            (void)fprintf(o->cli->out, "%u keys of each kind, %u %% reads\n", d->keys,
                          d->reads_percent);
        }
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

/* The options whose value is a number. Gives -1 to go on. */
static int read_option(struct cli_drill *o, int c, const char *text)
{
    static const struct {
        int c;
        const char *name;
        uint64_t max;
    } NUMBERS[] = {{'n', "times", 100000},
                   {'t', "minutes", 100000},
                   {'o', "hours", 1000},
                   {'s', "seed", UINT32_MAX}};
    uint64_t n = 0;
    size_t i = 0;
    while (NUMBERS[i].c != c) {
        i++;
    }
    if (!read_number(text, NUMBERS[i].max, &n)) {
        return cli_fail(o->cli, CLI_USAGE, "--%s is \"%s\"; give a number from 1", NUMBERS[i].name,
                        text);
    }
    o->times = c == 'n' ? (unsigned)n : o->times;
    o->minutes = c == 't' ? n : c == 'o' ? n * 60 : o->minutes;
    o->seed_number = c == 's' ? n : o->seed_number;
    return -1;
}

static const struct option OPTIONS[] = {{"backend", required_argument, NULL, 'B'},
                                        {"hours", required_argument, NULL, 'o'},
                                        {"beyond", no_argument, NULL, 'b'},
                                        {"dir", required_argument, NULL, 'd'},
                                        {"times", required_argument, NULL, 'n'},
                                        {"minutes", required_argument, NULL, 't'},
                                        {"seed", required_argument, NULL, 's'},
                                        {"json", no_argument, NULL, 'j'},
                                        {"junit", required_argument, NULL, 'u'},
                                        {"html", required_argument, NULL, 'm'},
                                        {"history", required_argument, NULL, 'y'},
                                        {"result", required_argument, NULL, 'r'},
                                        {"keep", no_argument, NULL, 'k'},
                                        {"help", no_argument, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};

/* Gives -1 to go on. */
static int parse(struct cli_drill *o, int argc, char **argv)
{
    int c;
    int status = -1;
    optind = 0;
    while (status < 0 && (c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        switch (c) {
        case 'B':
            if (cli_lab_backend(o->cli, optarg, &o->backend) != CLI_OK) {
                return CLI_USAGE;
            }
            break;
        case 'd':
            o->dir = optarg;
            break;
        case 'n':
        case 't':
        case 'o':
        case 's':
            status = read_option(o, c, optarg);
            break;
        case 'b':
            o->beyond = true;
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
    return status;
}

int cli_drill(const struct cli *cli, int argc, char **argv)
{
    struct cli_drill o = {.cli = cli, .dir = DIR_DEFAULT, .times = 1, .minutes = 10};
    int status = parse(&o, argc, argv);
    if (status >= 0) {
        return status;
    }
    const char *action = optind < argc ? argv[optind++] : "";
    size_t count = (size_t)(argc - optind);
    if (strcmp(action, "list") == 0) {
        return count > 0 ? cli_excess(cli, "drill", argv[optind]) : list(&o);
    }
    if (o.as_json) {
        return cli_fail(
            cli, CLI_USAGE,
            "--json is of list; --result FILE gets the results of run and soak as JSON");
    }
    if (strcmp(action, "soak") == 0) {
        return count > 1 ? cli_excess(cli, "drill", argv[optind + 1])
                         : cli_drill_soak(&o, count == 1 ? argv[optind] : NULL);
    }
    bool describes = strcmp(action, "describe") == 0;
    if (!describes && strcmp(action, "run") != 0) {
        return cli_fail(cli, CLI_USAGE, "drill run, soak, list or describe?");
    }
    if (count == 0) {
        return cli_fail(cli, CLI_USAGE, "which drill? twinstep drill list tells those that ship");
    }
    return describes ? describe(&o, argv + optind, count) : cli_drill_run(&o, argv + optind, count);
}
