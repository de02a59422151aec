/* twinstep down: ends the nodes of this machine. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/gather.h"
#include "lab/clock.h"
#include "lab/nodes.h"

/* nicd ends its children in three steps of at most 4 s each. */
#define GRACE_MS 13000
/* `up` starts a node within 10 s, or gives up; more commonly all of them within one. */
#define WAIT_MS 20000
#define AGAIN_MS 20
#define PID_BYTES_MAX 32

/* The nodes to be ended, by name. */
struct down_nodes {
    char name[2 * TS_NODES_MAX][CFG_NAME_MAX];
    size_t count;
};

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep down [--dir RUN] [--nic NAME …]\n"
        "\n"
        "Ends this machine's nodes: SIGTERM to each nicd, which ends its children, and\n"
        "SIGKILL to what is left of them. Data stays; \"twinstep up\" starts them again.\n"
        "Nodes that run with data in RUN are found also when RUN/cluster.yaml does not name\n"
        "them, or cannot be read.\n"
        "\n"
        "  --dir RUN   where the nodes keep their data (default ./run)\n"
        "  --nic NAME  only this NIC or arbiter; may be repeated (default: all)\n"
        "\n"
        "Exit status: 0 none of them runs any more, 1 failed, 2 wrong usage, 3 no cluster "
        "there.\n",
        out);
}

static int stop_nodes(const struct cli *cli, const struct nodes_run *run,
                      const struct down_nodes *nodes)
{
    int status = CLI_OK;
    for (size_t i = 0; i < nodes->count; i++) {
        const char *name = nodes->name[i];
        struct nodes_proc procs[NODES_PROCS_MAX];
        struct ts_why why = {0};
        if (nodes_procs(run, name, procs) == 0) {
            (void)fprintf(cli->out, "  %-12s does not run here\n", name);
            continue;
        }
        if (nodes_stop(run, name, GRACE_MS, &why) != TS_OK) {
            status = cli_fail(cli, CLI_FAILED, "%s", why.text);
            continue;
        }
        (void)fprintf(cli->out, "  %-12s ended\n", name);
        (void)fflush(cli->out);
    }
    return status;
}

static void add(struct down_nodes *nodes, const char *name)
{
    for (size_t i = 0; i < nodes->count; i++) {
        if (strcmp(nodes->name[i], name) == 0) {
            return;
        }
    }
    (void)snprintf(nodes->name[nodes->count++], CFG_NAME_MAX, "%.*s", CFG_NAME_MAX - 1, name);
}

/* Without a cluster file that could be read the processes tell which nodes there are. */
static int choose_running(const struct cli *cli, const struct nodes_run *run,
                          const char *const *names, size_t count, struct down_nodes *nodes)
{
    char running[TS_NODES_MAX][CFG_NAME_MAX];
    size_t n = nodes_running(run, running);
    for (size_t i = 0; i < n && count == 0; i++) {
        add(nodes, running[i]);
    }
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        for (size_t k = 0; k < n && !found; k++) {
            found = strcmp(running[k], names[i]) == 0;
        }
        if (!found) {
            return cli_fail(cli, CLI_FAILED, "no process of a node \"%s\" runs with data in %s",
                            names[i], run->run);
        }
        add(nodes, names[i]);
    }
    return CLI_OK;
}

/* What the cluster file names, and what runs in RUN without being named there. */
static int choose(const struct cli *cli, const struct nodes_run *run, const char *dir,
                  const char *const *names, size_t count, struct down_nodes *nodes)
{
    struct cfg_cluster cluster;
    struct ts_why why = {0};
    bool chosen[TS_NODES_MAX];
    char running[TS_NODES_MAX][CFG_NAME_MAX];
    size_t n = nodes_running(run, running);
    enum ts_err err = cli_load_run(dir, &cluster, &why);
    if (err == TS_ERR_AUTH || (err == TS_ERR_NOT_FOUND && n == 0)) {
        return cli_fail(cli, err == TS_ERR_NOT_FOUND ? CLI_UNREACHABLE : CLI_FAILED, "%s",
                        why.text);
    }
    if (err != TS_OK) {
        (void)cli_fail(cli, CLI_OK, "note: %s; %s",
                       err == TS_ERR_NOT_FOUND ? "the run directory has no cluster.yaml any more"
                                               : why.text,
                       n == 0 ? "no process runs with data in the run directory"
                              : "what runs with data in the run directory is ended all the same");
        return choose_running(cli, run, names, count, nodes);
    }
    int status = cli_choose(cli, &cluster, run->config, names, count, chosen);
    for (size_t i = 0; i < cluster.node_count && status == CLI_OK; i++) {
        if (chosen[i]) {
            add(nodes, cluster.nodes[i].name);
        }
    }
    return status == CLI_OK && count == 0 ? choose_running(cli, run, NULL, 0, nodes) : status;
}

/* The process that took the lock last; 0 = unknown. */
static long holder_of(const char *lock)
{
    uint8_t *text = NULL;
    size_t len = 0;
    if (ts_file_read(lock, PID_BYTES_MAX, &text, &len, NULL) != TS_OK) {
        return 0;
    }
    long pid = strtol((const char *)text, NULL, 10);
    free(text);
    return pid;
}

/* A command that starts nodes is waited for: it would start more of them behind this one's back,
 * and may have formed no cluster yet that could be told of. Without the lock, and when it cannot be
 * had for another reason (a full disk), there is nothing to wait for. */
static int keep_others_out(const struct cli *cli, const struct nodes_run *run,
                           struct ts_dir_lock *lock)
{
    char path[TS_PATH_MAX];
    bool said = false;
    lock->fd = -1;
    if (ts_path(path, NULL, run->run, "lock") != TS_OK || access(path, F_OK) != 0) {
        return CLI_OK;
    }
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    while (ts_dir_lock(lock, run->run, NULL) == TS_ERR_BUSY) {
        if (lab_now_ns() >= end) {
            return cli_fail(cli, CLI_FAILED,
                            "nothing was ended: another twinstep command (process %ld) works in %s "
                            "and may start nodes; end it first, or try again when it has ended",
                            holder_of(path), run->run);
        }
        if (!said) {
            (void)fprintf(cli->out,
                          "  … another twinstep command (process %ld) works in %s; waiting until "
                          "it has started what it starts\n",
                          holder_of(path), run->run);
            (void)fflush(cli->out);
            said = true;
        }
        lab_pause_ms(AGAIN_MS);
    }
    return CLI_OK;
}

static int stop_chosen(const struct cli *cli, const char *dir, const char *const *names,
                       size_t count)
{
    struct nodes_run run;
    struct ts_why why = {0};
    struct ts_dir_lock lock;
    struct down_nodes nodes = {.count = 0};
    struct cfg_cluster cluster;
    int status = access(dir, F_OK) == 0 ? CLI_OK : cli_open_run(cli, dir, &cluster);
    if (status != CLI_OK) {
        return status;
    }
    if (nodes_open(&run, dir, &why) != TS_OK) {
        return cli_fail(cli, CLI_FAILED, "%s", why.text);
    }
    status = keep_others_out(cli, &run, &lock);
    if (status == CLI_OK) {
        status = choose(cli, &run, dir, names, count, &nodes);
    }
    if (status == CLI_OK) {
        status = stop_nodes(cli, &run, &nodes);
    }
    ts_dir_unlock(&lock);
    return status;
}

int cli_down(const struct cli *cli, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, 'd'},
        {"nic", required_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *dir = CLI_DEFAULT_DIR;
    const char *names[TS_NODES_MAX];
    size_t count = 0;
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        if (c == 'd') {
            dir = optarg;
        } else if (c == 'n' && count == TS_NODES_MAX) {
            return cli_fail(cli, CLI_USAGE, "--nic is given more than %d times", TS_NODES_MAX);
        } else if (c == 'n') {
            names[count++] = optarg;
        } else if (c == 'h') {
            print_help(cli->out);
            return CLI_OK;
        } else {
            return cli_usage(cli, "down");
        }
    }
    return optind == argc ? stop_chosen(cli, dir, names, count)
                          : cli_excess(cli, "down", argv[optind]);
}
