/* twinstep lab: a cluster whose machines are namespaces of this one, to break on purpose. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/lab.h"
#include "lab/pods.h"
#include "lab/shipped.h"

#define TIMEOUT_S 60

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep lab up [TOPOLOGY] [--backend netns|podman|docker] [--dir DIR]\n"
        "                       [--timeout S] [--keep]\n"
        "       twinstep lab status [--dir DIR] [--json]\n"
        "       twinstep lab shell MACHINE [--dir DIR] [-- COMMAND …]\n"
        "       twinstep lab down [--dir DIR] [--keep]\n"
        "       twinstep lab list [--json]\n"
        "       twinstep lab wire … (below)\n"
        "\n"
        "A lab is a cluster on this machine alone: each NIC, arbiter and client has namespaces of\n"
        "its own, and reaches the others by the paths of the cluster file only. TOPOLOGY is a\n"
        "cluster file (docs/LAB.md tells what it may say besides), or the name of one that ships;\n"
        "\"lab list\" tells them. Default: pair. A lab is made anew each time; one that was in "
        "DIR\n"
        "before is ended and removed. Without root it works by user namespaces, and tells what\n"
        "lacks.\n"
        "\n"
        "  up      builds it, starts its nodes, waits until all is in sync; one that does not "
        "come\n"
        "          up is ended again, and its logs are left in DIR\n"
        "  status  its machines and their addresses; \"twinstep status --dir DIR\" tells more\n"
        "  shell   a shell, or one command, in a machine\n"
        "  down    ends all that runs in it and removes DIR; --keep leaves its files\n"
        "  list    the topologies that ship\n"
        "  wire    faults on its networks\n"
        "\n"
        "  --backend B  of up: what the machines are: netns (default: namespaces), or containers "
        "of\n"
        "               podman or docker, from an image of the programs alone\n"
        "  --dir DIR    where it keeps everything (default ./run-lab)\n"
        "  --timeout S  how long up waits until all is in sync (default 60; 0: it does not wait)\n"
        "  --keep       of up: what does not get in sync, or was interrupted, is left as it is\n"
        "\n"
        "Exit status: 0 done (of shell: the command's), 1 failed, or a machine of the lab has\n"
        "ended, 2 wrong usage, 3 no lab runs there, 130 interrupted: the lab was ended.\n"
        "\n",
        out);
    cli_lab_wire_help(out);
}

int cli_lab_backend(const struct cli *cli, const char *text, enum lab_backend *out)
{
    return lab_backend_read(text, out)
               ? CLI_OK
               : cli_fail(cli, CLI_USAGE, "--backend netns, podman or docker, and not \"%s\"",
                          text);
}

/* Gives -1 to go on. */
static int parse(struct cli_lab *a, int argc, char **argv)
{
    static const struct option OPTIONS[] = {{"dir", required_argument, NULL, 'd'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"backend", required_argument, NULL, 'b'},
                                            {"keep", no_argument, NULL, 'k'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int c;
    int words = argc;
    for (int i = 1; i < argc && words == argc; i++) {
        words = strcmp(argv[i], "--") == 0 ? i : argc;
    }
    a->command = words + 1 < argc ? argv + words + 1 : NULL;
    optind = 0;
    while ((c = getopt_long(words, argv, "h", OPTIONS, NULL)) != -1) {
        switch (c) {
        case 'd':
            a->dir = optarg;
            break;
        case 'b':
            if (cli_lab_backend(a->cli, optarg, &a->backend) != CLI_OK) {
                return CLI_USAGE;
            }
            break;
        case 'j':
            a->as_json = true;
            break;
        case 'k':
            a->keep = true;
            break;
        case 't':
            if (cli_seconds(a->cli, "--timeout", optarg, 0, 86400, &a->timeout_s) != CLI_OK) {
                return CLI_USAGE;
            }
            break;
        case 'h':
            print_help(a->cli->out);
            return CLI_OK;
        default:
            return cli_usage(a->cli, "lab");
        }
    }
    a->action = optind < words ? argv[optind++] : NULL;
    a->name = optind < words ? argv[optind++] : NULL;
    if (a->action == NULL) {
        return cli_fail(a->cli, CLI_USAGE, "lab up, status, shell, down, list or wire?");
    }
    return optind < words ? cli_excess(a->cli, "lab", argv[optind]) : -1;
}

/* ---- status, shell, list --------------------------------------------------------------------- */

static int open_lab(const struct cli_lab *a, struct lab_topology *t)
{
    char file[TS_PATH_MAX];
    struct ts_why why = {{0}};
    if (lab_keeper(a->dir) <= 0) {
        return cli_fail(a->cli, CLI_UNREACHABLE,
                        "no lab runs in %s; start one with twinstep lab up, or name its directory "
                        "with --dir",
                        a->dir);
    }
    enum ts_err err = ts_path(file, &why, a->dir, LAB_FILE);
    err = err != TS_OK ? err : lab_topology_load(file, t, &why);
    return err == TS_OK ? CLI_OK : cli_fail(a->cli, CLI_FAILED, "%s", why.text);
}

static json_t *machine_json(const struct lab_machine *m, bool runs)
{
    json_t *paths = json_array();
    for (size_t p = 0; p < m->path_count; p++) {
        (void)json_array_append_new(paths, json_string(m->paths[p]));
    }
    return json_pack("{s:s,s:s,s:b,s:o}", "name", m->name, "kind", lab_kind_text(m->kind), "runs",
                     runs, "paths", paths);
}

static void print_machines(const struct cli_lab *a, const struct lab_topology *t,
                           const json_t *machines)
{
    json_t *rows = json_array();
    cli_row(rows, 4, (const char *const[]){"machine", "kind", "", "addresses"});
    for (size_t i = 0; i < t->machine_count; i++) {
        const struct lab_machine *m = &t->machines[i];
        char addresses[TS_PATHS_MAX * (CFG_ADDR_MAX + CFG_NAME_MAX + 8)] = "";
        size_t len = 0;
        for (size_t p = 0; p < m->path_count; p++) {
            len += (size_t)snprintf(addresses + len, sizeof(addresses) - len, "%s%s (%s)",
                                    p > 0 ? "  " : "", m->paths[p], t->networks[p].name);
        }
        bool runs = json_is_true(json_object_get(json_array_get(machines, i), "runs"));
        cli_row(rows, 4,
                (const char *const[]){m->name, lab_kind_text(m->kind), runs ? "up" : "gone",
                                      addresses});
    }
    cli_table(a->cli, rows, 2);
    json_decref(rows);
}

/* A machine that has ended is a failure: the lab is not what its topology says. */
static int tell_status(const struct cli_lab *a)
{
    struct lab_topology *t = calloc(1, sizeof(*t));
    int status = t == NULL ? CLI_FAILED : open_lab(a, t);
    struct lab_engine e = {.backend = LAB_BACKEND_NETNS};
    struct ts_why why = {{0}};
    if (status == CLI_OK && lab_engine_load(a->dir, &e, &why) != TS_OK) {
        status = cli_fail(a->cli, CLI_FAILED, "%s", why.text);
    }
    bool opened = status == CLI_OK;
    json_t *machines = json_array();
    for (size_t i = 0; opened && i < t->machine_count; i++) {
        bool root = false;
        bool runs = lab_pods_has(a->dir, t->machines[i].name, &root);
        status = runs ? status : CLI_FAILED;
        (void)json_array_append_new(machines, machine_json(&t->machines[i], runs));
    }
    if (opened && a->as_json) {
        json_t *o = json_pack("{s:s,s:s,s:i,s:O}", "cluster", t->cluster.name, "backend",
                              lab_backend_text(e.backend), "labd", (int)lab_keeper(a->dir),
                              "machines", machines);
        (void)json_dumpf(o, a->cli->out, JSON_INDENT(1));
        (void)fputc('\n', a->cli->out);
        json_decref(o);
    } else if (opened) {
        (void)fprintf(a->cli->out, "lab %s on %s (labd has pid %d)\n", t->cluster.name,
                      lab_backend_text(e.backend), (int)lab_keeper(a->dir));
        print_machines(a, t, machines);
    }
    json_decref(machines);
    free(t);
    return status;
}

static int shell(const struct cli_lab *a)
{
    struct lab_topology *t = calloc(1, sizeof(*t));
    struct ts_why why = {{0}};
    char sh[] = "/bin/sh";
    char *const plain[] = {sh, NULL};
    int status = t == NULL ? CLI_FAILED : open_lab(a, t);
    if (status == CLI_OK && (a->name == NULL || lab_topology_machine(t, a->name) == NULL)) {
        status = cli_fail(a->cli, CLI_USAGE, "which machine? twinstep lab status tells them");
    }
    if (status == CLI_OK &&
        lab_pods_run(&(struct lab_run){.dir = a->dir, .name = a->name},
                     a->command != NULL ? a->command : plain, &status, &why) != TS_OK) {
        status = cli_fail(a->cli, CLI_UNREACHABLE, "%s", why.text);
    }
    free(t);
    return status;
}

static int list(const struct cli_lab *a)
{
    json_t *all = json_array();
    for (const struct lab_shipped *s = lab_shipped_topologies; s->name != NULL; s++) {
        const char *about = s->text + 2; /* its first line is a comment */
        int len = (int)strcspn(about, "\n");
        if (!a->as_json) {
            (void)fprintf(a->cli->out, "  %-12s %.*s\n", s->name, len, about);
        }
        (void)json_array_append_new(all, json_pack("{s:s,s:s%,s:s}", "name", s->name, "about",
                                                   about, (size_t)len, "text", s->text));
    }
    if (a->as_json) {
        (void)json_dumpf(all, a->cli->out, JSON_INDENT(1));
        (void)fputc('\n', a->cli->out);
    }
    json_decref(all);
    return CLI_OK;
}

int cli_lab(const struct cli *cli, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct cli_lab *a);
        bool takes_name;
    } ACTIONS[] = {{"up", cli_lab_up, true},
                   {"status", tell_status, false},
                   {"shell", shell, true},
                   {"down", cli_lab_down, false},
                   {"list", list, false}};
    struct cli_lab a = {.cli = cli, .dir = CLI_LAB_DIR, .timeout_s = TIMEOUT_S};
    if (argc > 1 && strcmp(argv[1], "wire") == 0) {
        return cli_lab_wire(cli, argc - 1, argv + 1);
    }
    int status = parse(&a, argc, argv);
    if (status >= 0 || a.action == NULL) {
        return status;
    }
    for (size_t i = 0; i < sizeof(ACTIONS) / sizeof(ACTIONS[0]); i++) {
        if (strcmp(ACTIONS[i].name, a.action) == 0) {
            return a.name != NULL && !ACTIONS[i].takes_name ? cli_excess(cli, "lab", a.name)
                                                            : ACTIONS[i].run(&a);
        }
    }
    return cli_fail(cli, CLI_USAGE, "lab up, status, shell, down, list or wire, and not \"%s\"",
                    a.action);
}
