/* twinstep up: form, start, wait. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/cluster_file.h"
#include "cli/form.h"
#include "cli/gather.h"
#include "cli/notes.h"
#include "cli/ports.h"
#include "cli/settle.h"
#include "cluster-cfg/io/format.h"
#include "lab/nodes.h"

#define DEFAULT_TIMEOUT_S 30
#define WHAT_MAX 200

struct up {
    const struct cli *cli;
    const char *config;
    const char *dir;
    unsigned timeout_s;
    bool prepare;
    bool some; /* --nic was given */
    struct cfg_cluster cluster;
    struct nodes_run run;
    bool chosen[TS_NODES_MAX];
    bool started[TS_NODES_MAX]; /* by this command */
};

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep up [--config FILE] [--dir RUN] [--nic NAME …] [--timeout S] [--prepare]\n"
        "\n"
        "Starts this machine's nodes (each a nicd with its children) and waits until every group\n"
        "has a primary and all its replicas in sync. At the first start the cluster is formed:\n"
        "directories, certificates, empty disks.\n"
        "\n"
        "  --config FILE  the cluster file (default: RUN/cluster.yaml of a formed cluster, else\n"
        "                 ./cluster.yaml); another one than before is taken while no node runs\n"
        "  --dir RUN      where the nodes keep their data (default ./run)\n"
        "  --nic NAME     only this NIC or arbiter; may be repeated (default: all)\n"
        "  --timeout S    how long to wait until all is in sync (default 30; 0: do not wait)\n"
        "  --prepare      form only, start nothing; tells what to copy to the other machines\n"
        "\n"
        "Exit status: 0 all in sync, 1 failed or alarms (which are told; with --nic, where other\n"
        "nodes may be started later, they do not count), 2 wrong usage.\n",
        out);
}

/* Gives -1 to go on. */
static int parse(struct up *u, int argc, char **argv, const char *names[TS_NODES_MAX],
                 size_t *count)
{
    static const struct option OPTIONS[] = {
        {"config", required_argument, NULL, 'c'},
        {"dir", required_argument, NULL, 'd'},
        {"nic", required_argument, NULL, 'n'},
        {"timeout", required_argument, NULL, 't'},
        {"prepare", no_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        switch (c) {
        case 'c':
            u->config = optarg;
            break;
        case 'd':
            u->dir = optarg;
            break;
        case 'n':
            if (*count == TS_NODES_MAX) {
                return cli_fail(u->cli, CLI_USAGE, "--nic is given more than %d times",
                                TS_NODES_MAX);
            }
            names[(*count)++] = optarg;
            break;
        case 't':
            if (cli_seconds(u->cli, "--timeout", optarg, 0, 86400, &u->timeout_s) != CLI_OK) {
                return CLI_USAGE;
            }
            break;
        case 'p':
            u->prepare = true;
            break;
        case 'h':
            print_help(u->cli->out);
            return CLI_OK;
        default:
            return cli_usage(u->cli, "up");
        }
    }
    return optind == argc ? -1 : cli_excess(u->cli, "up", argv[optind]);
}

static int start_node(struct up *u, size_t index)
{
    const struct cfg_node *node = &u->cluster.nodes[index];
    struct ts_why why = {0};
    pid_t pid = 0;
    if (nodes_is_running(&u->run, node->name, &pid)) {
        (void)fprintf(u->cli->out, "  %-12s runs already (nicd has pid %d)\n", node->name,
                      (int)pid);
        return CLI_OK;
    }
    int status = cli_ports_check(u->cli, &u->cluster, node, u->config);
    if (status != CLI_OK) {
        return status;
    }
    if (nodes_start(&u->run, node->name, &pid, &why) != TS_OK) {
        return cli_fail(u->cli, CLI_FAILED, "%s", why.text);
    }
    u->started[index] = true;
    (void)fprintf(u->cli->out, "  %-12s started (nicd has pid %d)\n", node->name, (int)pid);
    (void)fflush(u->cli->out);
    return CLI_OK;
}

/* What was started is ended again: half a cluster would only be in the way. */
static void undo(const struct up *u)
{
    for (size_t i = 0; i < u->cluster.node_count; i++) {
        struct ts_why why = {0};
        if (u->started[i] && nodes_stop(&u->run, u->cluster.nodes[i].name, 10000, &why) != TS_OK) {
            (void)cli_fail(u->cli, CLI_FAILED, "%s", why.text);
        }
    }
}

static int start_all(struct up *u)
{
    int status = CLI_OK;
    (void)fprintf(u->cli->out, "cluster %s in %s\n", u->cluster.name, u->run.run);
    for (size_t i = 0; i < u->cluster.node_count && status == CLI_OK; i++) {
        if (u->chosen[i]) {
            status = start_node(u, i);
        }
    }
    if (status != CLI_OK) {
        undo(u);
    }
    return status;
}

static int wait_settled(const struct up *u)
{
    struct cli_settle s = {.cli = u->cli,
                           .cluster = &u->cluster,
                           .run = &u->run,
                           .some = u->some,
                           .timeout_s = u->timeout_s};
    char advice[TS_PATH_MAX + 128];
    (void)snprintf(advice, sizeof(advice), "the nodes go on trying%s, see twinstep status --dir %s",
                   u->some ? ": start those of the other machines, too" : "", u->dir);
    s.advice = advice;
    memcpy(s.chosen, u->chosen, sizeof(s.chosen));
    return cli_settle(&s);
}

static void warn(const struct up *u)
{
    json_t *notes = cli_notes(&u->cluster);
    size_t i;
    json_t *note;
    json_array_foreach(notes, i, note)
    {
        (void)cli_fail(u->cli, CLI_OK, "warning: %s: %s", u->config, json_string_value(note));
    }
    json_decref(notes);
}

/* After --prepare: what the other machines need. */
static void print_prepared(const struct up *u)
{
    const char *run = u->run.run;
    (void)fprintf(
        u->cli->out,
        "nothing was started. Copy to each machine, over a channel you trust (private keys "
        "are among it):\n"
        "  %s/cluster.yaml %s/genesis.json %s/formed, %s/users if there are any (twinstep user),\n"
        "  and its own %s/NAME\n"
        "%s/ca stays away from the nodes. Then start each machine's nodes there:\n"
        "  twinstep up --dir RUN --nic NAME\n",
        run, run, run, run, run, run);
}

/* On a machine that got its own nodes' directories only, the others are not missing. */
static void suggest_own(const struct up *u)
{
    char names[WHAT_MAX] = "";
    size_t used = 0;
    size_t here = 0;
    for (size_t i = 0; i < u->cluster.node_count; i++) {
        const struct cfg_node *node = &u->cluster.nodes[i];
        if (format_node_is_complete(u->run.run, node) && used < sizeof(names)) {
            int n = snprintf(names + used, sizeof(names) - used, " --nic %s", node->name);
            used += n > 0 ? (size_t)n : 0;
            here++;
        }
    }
    if (!u->some && here > 0 && here < u->cluster.node_count) {
        (void)fprintf(u->cli->err,
                      "If the other nodes belong to other machines: twinstep up --dir "
                      "%s%s\n",
                      u->dir, names);
    }
}

static int form_and_start(struct up *u)
{
    struct ts_why why = {0};
    struct cli_form form = {.cluster = &u->cluster, .config = u->config, .run = u->run.run};
    bool first = false;
    int status = cli_cluster_check(u->cli, &u->run, u->config, &u->cluster);
    if (status != CLI_OK) {
        return status;
    }
    memcpy(form.chosen, u->chosen, sizeof(form.chosen));
    enum ts_err err = cli_form(&form, &first, &why);
    if (err != TS_OK) {
        status = cli_fail(u->cli, CLI_FAILED, "%s", why.text);
        suggest_own(u);
        return status;
    }
    if (first) {
        (void)fprintf(u->cli->out, "cluster %s formed in %s\n", u->cluster.name, u->run.run);
    }
    if (u->prepare) {
        print_prepared(u);
        return CLI_OK;
    }
    return start_all(u);
}

static int lock_and_go(struct up *u)
{
    struct ts_why why = {0};
    struct ts_dir_lock lock;
    /* Before anything is made: a directory that cannot be used is not left behind. */
    enum ts_err err = nodes_open(&u->run, u->dir, &why);
    err = err != TS_OK ? err : ts_dir_make(u->dir, 0700, &why);
    err = err != TS_OK ? err : nodes_open(&u->run, u->dir, &why);
    err = err != TS_OK ? err : ts_dir_lock(&lock, u->run.run, &why);
    if (err == TS_ERR_BUSY) {
        return cli_fail(u->cli, CLI_FAILED,
                        "another twinstep command works in %s; try again when it has ended",
                        u->dir);
    }
    if (err != TS_OK) {
        return cli_fail(u->cli, CLI_FAILED, "%s", why.text);
    }
    int status = form_and_start(u);
    /* Others may work while this command but waits: `down` above all. */
    ts_dir_unlock(&lock);
    bool waits = status == CLI_OK && !u->prepare && u->timeout_s > 0;
    return waits ? wait_settled(u) : status;
}

int cli_up(const struct cli *cli, int argc, char **argv)
{
    struct up *u = calloc(1, sizeof(*u));
    const char *names[TS_NODES_MAX];
    size_t count = 0;
    char copy[TS_PATH_MAX];
    if (u == NULL) {
        return cli_fail(cli, CLI_FAILED, "out of memory; free some");
    }
    u->cli = cli;
    u->dir = CLI_DEFAULT_DIR;
    u->timeout_s = DEFAULT_TIMEOUT_S;
    int status = parse(u, argc, argv, names, &count);
    if (status < 0) {
        status = cli_cluster_load(cli, &u->config, u->dir, copy, &u->cluster);
        u->some = count > 0;
        status = status != CLI_OK
                     ? status
                     : cli_choose(cli, &u->cluster, u->config, names, count, u->chosen);
        if (status == CLI_OK) {
            warn(u);
            status = lock_and_go(u);
        }
    }
    free(u);
    return status;
}
