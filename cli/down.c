/* twinstep down: ends the nodes of this machine. */
#include <getopt.h>

#include "cli/cli.h"
#include "cli/gather.h"
#include "lab/nodes.h"

/* nicd ends its children in three steps of at most 4 s each. */
#define GRACE_MS 13000

static void print_help(FILE *out)
{
    (void)fputs("usage: twinstep down [--dir RUN] [--nic NAME …]\n"
                "\n"
                "Ends this machine's nodes: SIGTERM to each nicd, which ends its children, and\n"
                "SIGKILL to what is left of them. Data stays; \"twinstep up\" starts them again.\n"
                "\n"
                "  --dir RUN   where the nodes keep their data (default ./run)\n"
                "  --nic NAME  only this NIC or arbiter; may be repeated (default: all)\n"
                "\n"
                "Exit status: 0 none of them runs any more, 1 failed, 2 wrong usage, 3 no cluster "
                "there.\n",
                out);
}

static int stop_nodes(const struct cli *cli, const struct nodes_run *run,
                      const struct cfg_cluster *cluster, const bool chosen[TS_NODES_MAX])
{
    int status = CLI_OK;
    for (size_t i = 0; i < cluster->node_count; i++) {
        const char *name = cluster->nodes[i].name;
        struct nodes_proc procs[NODES_PROCS_MAX];
        struct ts_why why = {0};
        if (!chosen[i]) {
            continue;
        }
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

static int stop_chosen(const struct cli *cli, const char *dir, const char *const *names,
                       size_t count)
{
    struct cfg_cluster cluster;
    struct nodes_run run;
    struct ts_why why = {0};
    bool chosen[TS_NODES_MAX];
    int status = cli_open_run(cli, dir, &cluster);
    if (status != CLI_OK) {
        return status;
    }
    if (nodes_open(&run, dir, &why) != TS_OK) {
        return cli_fail(cli, CLI_FAILED, "%s", why.text);
    }
    status = cli_choose(cli, &cluster, run.config, names, count, chosen);
    return status != CLI_OK ? status : stop_nodes(cli, &run, &cluster, chosen);
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
