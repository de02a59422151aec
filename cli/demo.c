/* twinstep demo: a pair on this machine under load, two failures, a report. */
#include <getopt.h>

#include "cli/cli.h"
#include "lab/demo.h"

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep demo [--dir RUN] [--keep] [--history FILE]\n"
        "\n"
        "Starts two NICs and an arbiter on this machine, runs checked load against their\n"
        "key-value service, kills the primary's replica, then a whole NIC, lets it rejoin,\n"
        "and reports how long clients waited and whether anything was lost. About 30 s.\n"
        "\n"
        "  --dir RUN  where the nodes keep their data (default ./run/demo); a directory\n"
        "             of an earlier demonstration is replaced, any other is refused\n"
        "  --keep     leave the pair running at the end\n"
        "  --history FILE\n"
        "             write what every client asked and was told, for `lincheck FILE`\n"
        "\n"
        "Exit status: 0 every promise held, 1 one was broken, 2 it could not be run,\n"
        "130 interrupted.\n",
        out);
}

int cli_demo(const struct cli *cli, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, 'd'},
        {"keep", no_argument, NULL, 'k'},
        {"history", required_argument, NULL, 'y'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct lab_demo_options options = {.no_color = !cli->colour};
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        if (c == 'd') {
            options.run = optarg;
        } else if (c == 'k') {
            options.keep = true;
        } else if (c == 'y') {
            options.history = optarg;
        } else if (c == 'h') {
            print_help(cli->out);
            return CLI_OK;
        } else {
            return cli_usage(cli, "demo");
        }
    }
    if (optind != argc) {
        return cli_excess(cli, "demo", argv[optind]);
    }
    return (int)lab_demo_run(&options);
}
