/* twinstep lab: a cluster whose machines are namespaces of this one, to break on purpose. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lab/clock.h"
#include "lab/exec.h"
#include "lab/nodes.h"
#include "lab/pods.h"
#include "lab/scratch.h"
#include "lab/shipped.h"

#define LAB_DIR_DEFAULT "run-lab"
#define END_MS 5000
#define LOG_BYTES 4096

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep lab up [TOPOLOGY] [--dir DIR]\n"
        "       twinstep lab status [--dir DIR] [--json]\n"
        "       twinstep lab shell MACHINE [--dir DIR] [-- COMMAND …]\n"
        "       twinstep lab down [--dir DIR] [--keep]\n"
        "       twinstep lab list\n"
        "\n"
        "A lab is a cluster on this machine alone: each NIC, arbiter and client has namespaces of\n"
        "its own, and reaches the others by the paths of the cluster file only. TOPOLOGY is a\n"
        "cluster file (lab/topology.h tells what it may say besides), or the name of one that\n"
        "ships; \"lab list\" tells them. Default: pair. A lab is made anew each time; what was in\n"
        "DIR before is removed. Without root it works by user namespaces, and tells what lacks.\n"
        "\n"
        "  up      builds it, starts its nodes, waits until all is in sync\n"
        "  status  its machines and their addresses; \"twinstep status --dir DIR\" tells more\n"
        "  shell   a shell, or one command, in a machine\n"
        "  down    ends all that runs in it and removes DIR; --keep leaves its files\n"
        "\n"
        "  --dir DIR  where it keeps everything (default ./run-lab)\n"
        "\n"
        "Exit status: 0 done (of shell: the command's), 1 failed, 2 wrong usage, 3 no lab runs\n"
        "there.\n",
        out);
}

struct lab_args {
    const struct cli *cli;
    const char *action;
    const char *name; /* topology or machine; NULL */
    char **command;   /* of shell; NULL: a shell */
    const char *dir;
    bool as_json;
    bool keep;
};

/* Gives -1 to go on. */
static int parse(struct lab_args *a, int argc, char **argv)
{
    static const struct option OPTIONS[] = {{"dir", required_argument, NULL, 'd'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"keep", no_argument, NULL, 'k'},
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
        case 'j':
            a->as_json = true;
            break;
        case 'k':
            a->keep = true;
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
        return cli_fail(a->cli, CLI_USAGE, "lab up, status, shell, down or list?");
    }
    return optind < words ? cli_excess(a->cli, "lab", argv[optind]) : -1;
}

static bool is_there(const char *dir, const char *name)
{
    char path[TS_PATH_MAX];
    return ts_path(path, NULL, dir, "%s", name) == TS_OK && access(path, F_OK) == 0;
}

/* ---- down ------------------------------------------------------------------------------------ */

/* Nothing of it is left then, whether it still ran or had crashed. */
static int end_lab(const struct lab_args *a, bool keep)
{
    uint64_t until = lab_now_ns() + END_MS * TS_NS_PER_MS;
    pid_t keeper;
    while ((keeper = lab_keeper(a->dir)) != 0) {
        bool late = lab_now_ns() > until;
        if (kill(keeper, late ? SIGKILL : SIGTERM) != 0 && errno == EPERM) {
            return cli_fail(a->cli, CLI_FAILED,
                            "the lab in %s is somebody else's (labd has pid %d); be that user, or "
                            "root",
                            a->dir, (int)keeper);
        }
        lab_pause_ms(5);
    }
    if (!keep) {
        lab_scratch_remove(a->dir);
    }
    if (!keep && access(a->dir, F_OK) == 0) {
        return cli_fail(a->cli, CLI_FAILED, "%s cannot be removed whole; look what is in it",
                        a->dir);
    }
    return CLI_OK;
}

static int down(const struct lab_args *a)
{
    if (!is_there(a->dir, LAB_LOCK)) {
        return cli_fail(a->cli, CLI_UNREACHABLE, "there is no lab in %s", a->dir);
    }
    int status = end_lab(a, a->keep);
    if (status == CLI_OK) {
        (void)fprintf(a->cli->out, "the lab in %s has ended%s\n", a->dir,
                      a->keep ? "; its files are left" : "");
    }
    return status;
}

/* ---- up -------------------------------------------------------------------------------------- */

static const char *shipped(const char *name)
{
    for (const struct lab_shipped *s = lab_shipped; s->name != NULL; s++) {
        if (strcmp(s->name, name) == 0) {
            return s->text;
        }
    }
    return NULL;
}

/* DIR with the topology in it, and nothing else. */
static int make_dir(const struct lab_args *a, struct lab_topology *t)
{
    struct ts_why why = {{0}};
    char file[TS_PATH_MAX];
    const char *name = a->name == NULL ? "pair" : a->name;
    const char *text = shipped(name);
    uint8_t *read = NULL;
    size_t len = text == NULL ? 0 : strlen(text);
    if (text == NULL && lab_topology_load(name, t, &why) != TS_OK) {
        return access(name, F_OK) == 0
                   ? cli_fail(a->cli, CLI_FAILED, "%s", why.text)
                   : cli_fail(a->cli, CLI_FAILED,
                              "there is no file %s, and no topology of this name ships; twinstep "
                              "lab list tells those",
                              name);
    }
    if (access(a->dir, F_OK) == 0 && !is_there(a->dir, LAB_LOCK)) {
        return cli_fail(a->cli, CLI_FAILED,
                        "%s is there and is no lab's; nothing was removed: give another --dir",
                        a->dir);
    }
    if (text == NULL && ts_file_read(name, 1U << 20, &read, &len, &why) != TS_OK) {
        return cli_fail(a->cli, CLI_FAILED, "%s", why.text);
    }
    int status = is_there(a->dir, LAB_LOCK) ? end_lab(a, false) : CLI_OK;
    enum ts_err err = status == CLI_OK ? ts_dir_make(a->dir, 0755, &why) : TS_OK;
    err = err != TS_OK ? err : ts_path(file, &why, a->dir, LAB_FILE);
    if (status == CLI_OK && err == TS_OK) {
        err = ts_file_replace(file, text != NULL ? text : (const char *)read, len, 0644, &why);
    }
    err = err != TS_OK || status != CLI_OK ? err : lab_topology_load(file, t, &why);
    free(read);
    return err != TS_OK ? cli_fail(a->cli, CLI_FAILED, "%s", why.text) : status;
}

static _Noreturn void become_labd(const char *program, const char *dir, int ready)
{
    char log[TS_PATH_MAX];
    char arg[TS_PATH_MAX];
    (void)setsid();
    int err = ts_path(log, NULL, dir, LAB_LOG) == TS_OK
                  ? open(log, O_WRONLY | O_CREAT | O_APPEND, 0644)
                  : -1;
    int null = open("/dev/null", O_RDONLY);
    if (err >= 0 && null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(ready, STDOUT_FILENO) >= 0 &&
        dup2(err, STDERR_FILENO) >= 0) {
        (void)snprintf(arg, sizeof(arg), "%s", dir);
        char name[] = "labd";
        char *argv[] = {name, arg, NULL};
        (void)execv(program, argv);
    }
    _exit(127);
}

/* What labd said last. */
static int tell_log(const struct lab_args *a)
{
    char path[TS_PATH_MAX];
    uint8_t *text = NULL;
    size_t len = 0;
    if (ts_path(path, NULL, a->dir, LAB_LOG) != TS_OK ||
        ts_file_read(path, LOG_BYTES, &text, &len, NULL) != TS_OK) {
        text = NULL;
    }
    while (len > 0 && text[len - 1] == '\n') {
        text[--len] = 0;
    }
    int status = cli_fail(a->cli, CLI_FAILED, "the lab does not come up: %s",
                          len > 0 ? (const char *)text : "labd does not start");
    free(text);
    return status;
}

static int start_labd(const struct lab_args *a, const struct nodes_run *run)
{
    char program[TS_PATH_MAX];
    struct ts_why why = {{0}};
    char text[16];
    int ends[2];
    if (ts_path(program, &why, run->bin, "labd") != TS_OK || pipe2(ends, O_CLOEXEC) != 0) {
        return cli_fail(a->cli, CLI_FAILED, "cannot start labd: %s", why.text);
    }
    pid_t pid = fork();
    if (pid == 0) {
        become_labd(program, run->run, ends[1]);
    }
    (void)close(ends[1]);
    ssize_t n = pid < 0 ? 0 : read(ends[0], text, sizeof(text));
    (void)close(ends[0]);
    return n > 0 ? CLI_OK : tell_log(a);
}

/* `twinstep up` within the machine of one node. */
static int start_node(const struct lab_args *a, const struct nodes_run *run, const char *name)
{
    char words[][TS_PATH_MAX] = {"", "up", "--dir", "", "--nic", "", "--timeout", "0"};
    char *argv[] = {words[0], words[1], words[2], words[3], words[4],
                    words[5], words[6], words[7], NULL};
    struct ts_why why = {{0}};
    int status = 1;
    memcpy(words[3], run->run, sizeof(run->run));
    (void)snprintf(words[5], sizeof(words[5]), "%s", name);
    if (ts_path(words[0], &why, run->bin, "twinstep") != TS_OK ||
        lab_pods_run(
            &(struct lab_run){.dir = run->run, .name = name, .cwd = run->run, .quiet = true}, argv,
            &status, &why) != TS_OK) {
        return cli_fail(a->cli, CLI_FAILED, "%s", why.text);
    }
    return status == 0
               ? CLI_OK
               : cli_fail(a->cli, CLI_FAILED, "%s does not start; its message is above", name);
}

static int run_up(const struct lab_args *a, const struct nodes_run *run, bool prepare)
{
    char program[TS_PATH_MAX];
    char file[TS_PATH_MAX];
    struct ts_why why = {{0}};
    enum ts_err err = ts_path(program, &why, run->bin, "twinstep");
    err = err != TS_OK ? err : ts_path(file, &why, run->run, LAB_FILE);
    const char *const form[] = {program, "up",     "--config",  file,
                                "--dir", run->run, "--prepare", NULL};
    const char *const wait[] = {program, "up", "--dir", run->run, NULL};
    err = err != TS_OK ? err : lab_exec(prepare ? form : wait, NULL, NULL, 0, &why);
    return err == TS_OK ? CLI_OK : cli_fail(a->cli, CLI_FAILED, "%s", why.text);
}

static int up(const struct lab_args *a)
{
    struct lab_topology *t = calloc(1, sizeof(*t));
    struct nodes_run run;
    struct ts_why why = {{0}};
    uint64_t begun = lab_now_ns();
    bool root = false;
    if (t == NULL) {
        return cli_fail(a->cli, CLI_FAILED, "out of memory");
    }
    int status = make_dir(a, t);
    if (status == CLI_OK && nodes_open(&run, a->dir, &why) != TS_OK) {
        status = cli_fail(a->cli, CLI_FAILED, "%s", why.text);
    }
    status = status != CLI_OK ? status : run_up(a, &run, true);
    status = status != CLI_OK ? status : start_labd(a, &run);
    if (status == CLI_OK) {
        (void)fprintf(a->cli->out, "  %zu machines on %zu networks after %.2f s\n",
                      t->machine_count, t->network_count,
                      (double)(lab_now_ns() - begun) / (double)TS_NS_PER_S);
        (void)fflush(a->cli->out);
    }
    for (size_t i = 0; i < t->cluster.node_count && status == CLI_OK; i++) {
        status = start_node(a, &run, t->cluster.nodes[i].name);
    }
    status = status != CLI_OK ? status : run_up(a, &run, false);
    if (status == CLI_OK && lab_pods_has(a->dir, t->machines[0].name, &root)) {
        (void)fprintf(a->cli->out, "  all in sync after %.2f s: %s\n",
                      (double)(lab_now_ns() - begun) / (double)TS_NS_PER_S, run.run);
        if (!root) {
            (void)fputs("  without root: heartbeatd has no real-time priority, so a busy machine "
                        "may be taken for a silent one\n",
                        a->cli->out);
        }
    }
    free(t);
    return status;
}

/* ---- status, shell, list --------------------------------------------------------------------- */

static int open_lab(const struct lab_args *a, struct lab_topology *t)
{
    char file[TS_PATH_MAX];
    struct ts_why why = {{0}};
    if (lab_keeper(a->dir) == 0) {
        return cli_fail(a->cli, CLI_UNREACHABLE,
                        "no lab runs in %s; start one with twinstep lab up, or name its directory "
                        "with --dir",
                        a->dir);
    }
    enum ts_err err = ts_path(file, &why, a->dir, LAB_FILE);
    err = err != TS_OK ? err : lab_topology_load(file, t, &why);
    return err == TS_OK ? CLI_OK : cli_fail(a->cli, CLI_FAILED, "%s", why.text);
}

static json_t *machine_json(const struct lab_args *a, const struct lab_machine *m)
{
    bool root = false;
    json_t *paths = json_array();
    for (size_t p = 0; p < m->path_count; p++) {
        (void)json_array_append_new(paths, json_string(m->paths[p]));
    }
    return json_pack("{s:s,s:s,s:b,s:o}", "name", m->name, "kind", lab_kind_text(m->kind), "runs",
                     lab_pods_has(a->dir, m->name, &root), "paths", paths);
}

static void print_machines(const struct lab_args *a, const struct lab_topology *t)
{
    json_t *rows = json_array();
    cli_row(rows, 4, (const char *const[]){"machine", "kind", "", "addresses"});
    for (size_t i = 0; i < t->machine_count; i++) {
        const struct lab_machine *m = &t->machines[i];
        char addresses[TS_PATHS_MAX * (CFG_ADDR_MAX + CFG_NAME_MAX + 4)] = "";
        bool root = false;
        size_t len = 0;
        for (size_t p = 0; p < m->path_count; p++) {
            len += (size_t)snprintf(addresses + len, sizeof(addresses) - len, "%s%s (%s)",
                                    p > 0 ? "  " : "", m->paths[p], t->networks[p].name);
        }
        cli_row(rows, 4,
                (const char *const[]){m->name, lab_kind_text(m->kind),
                                      lab_pods_has(a->dir, m->name, &root) ? "up" : "gone",
                                      addresses});
    }
    cli_table(a->cli, rows, 2);
    json_decref(rows);
}

static int tell_status(const struct lab_args *a)
{
    struct lab_topology *t = calloc(1, sizeof(*t));
    int status = t == NULL ? CLI_FAILED : open_lab(a, t);
    if (status == CLI_OK && a->as_json) {
        json_t *machines = json_array();
        for (size_t i = 0; i < t->machine_count; i++) {
            (void)json_array_append_new(machines, machine_json(a, &t->machines[i]));
        }
        json_t *o = json_pack("{s:s,s:i,s:o}", "cluster", t->cluster.name, "labd",
                              (int)lab_keeper(a->dir), "machines", machines);
        (void)json_dumpf(o, a->cli->out, JSON_INDENT(1));
        (void)fputc('\n', a->cli->out);
        json_decref(o);
    } else if (status == CLI_OK) {
        (void)fprintf(a->cli->out, "lab %s (labd has pid %d)\n", t->cluster.name,
                      (int)lab_keeper(a->dir));
        print_machines(a, t);
    }
    free(t);
    return status;
}

static int shell(const struct lab_args *a)
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

static int list(const struct lab_args *a)
{
    for (const struct lab_shipped *s = lab_shipped; s->name != NULL; s++) {
        const char *end = strchr(s->text, '\n');
        (void)fprintf(a->cli->out, "  %-12s %.*s\n", s->name, (int)(end - s->text - 2),
                      s->text + 2);
    }
    return CLI_OK;
}

int cli_lab(const struct cli *cli, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct lab_args *a);
        bool takes_name;
    } ACTIONS[] = {{"up", up, true},
                   {"status", tell_status, false},
                   {"shell", shell, true},
                   {"down", down, false},
                   {"list", list, false}};
    struct lab_args a = {.cli = cli, .dir = LAB_DIR_DEFAULT};
    int status = parse(&a, argc, argv);
    if (status >= 0) {
        return status;
    }
    for (size_t i = 0; i < sizeof(ACTIONS) / sizeof(ACTIONS[0]); i++) {
        if (strcmp(ACTIONS[i].name, a.action) == 0) {
            return a.name != NULL && !ACTIONS[i].takes_name ? cli_excess(cli, "lab", a.name)
                                                            : ACTIONS[i].run(&a);
        }
    }
    return cli_fail(cli, CLI_USAGE, "lab up, status, shell, down or list, and not \"%s\"",
                    a.action);
}
