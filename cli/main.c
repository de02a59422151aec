/* twinstep: the operator's command. */
#include <string.h>

#include "base/io/files.h"
#include "cli/cli.h"

static const struct cli_command COMMANDS[] = {
    {"up", "form the cluster at its first start, start this machine's nodes, wait until they serve",
     cli_up},
    {"down", "end this machine's nodes", cli_down},
    {"status", "who is primary, who is in sync, what is wrong", cli_status},
    {"events", "what happened, from the nodes' recorders", cli_events},
    {"explain", "the latest failovers: evidence, phases in milliseconds, why", cli_explain},
    {"handoff", "have a group's primary hand over to another NIC", cli_handoff},
    {"nic", "replace the lost disk of a NIC by a blank one", cli_nic},
    {"net", "what a network controller is to do: apply, list, show, delete, trace", cli_net},
    {"demo", "run a pair on this machine under load, kill it twice, report", cli_demo},
    {"lab", "a cluster in namespaces of this machine, to break on purpose", cli_lab},
    {"drill", "break a lab on purpose, and read the verdict", cli_drill},
    {"ca", "make the cluster's certificate authority, issue certificates", cli_ca},
    {"user", "who may use the services: add, remove, list", cli_user},
    {"backup", "write the state of a running group to a file", cli_backup},
    {"restore", "form a new cluster from such files", cli_restore},
    {"journal", "what a replica's directory holds on its disk", cli_journal},
    {"support-bundle", "what whoever helps you wants to see, in one file without keys", cli_bundle},
    {"version", "the version of this command and of the running nodes", cli_version},
};
#define TITLE_MAX 32
#define COMMAND_COUNT (sizeof(COMMANDS) / sizeof(COMMANDS[0]))

static void print_help(FILE *out)
{
    (void)fputs("usage: twinstep COMMAND [OPTION …]\n\nCommands:\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        (void)fprintf(out, "  %-15s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
    }
    (void)fputs(
        "\n\"twinstep COMMAND --help\" tells its options.\n"
        "Exit status: 0 done, 1 failed or alarms, 2 wrong usage, 3 no node answers or no cluster\n"
        "is there.\n",
        out);
}

int main(int argc, char **argv)
{
    if (!ts_std_fds_hold()) {
        return CLI_FAILED; /* nobody could be told */
    }
    struct cli cli = cli_standard();
    if (argc < 2) {
        print_help(cli.err);
        return CLI_USAGE;
    }
    char help[] = "--help";
    bool asks = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                strcmp(argv[1], "help") == 0;
    if (asks && argc == 2) {
        print_help(cli.out);
        return cli_finish(&cli, CLI_OK);
    }
    if (asks) { /* "help COMMAND" is "COMMAND --help" */
        argv[1] = argv[2];
        argv[2] = help;
        argc = 3;
    }
    const char *name = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(COMMANDS[i].name, name) == 0) {
            char title[TITLE_MAX]; /* getopt begins its messages with argv[0] */
            (void)snprintf(title, sizeof(title), "twinstep: %s", name);
            argv[1] = title;
            return cli_finish(&cli, COMMANDS[i].run(&cli, argc - 1, argv + 1));
        }
    }
    return cli_fail(&cli, CLI_USAGE, "there is no command \"%s\"; \"twinstep --help\" lists them",
                    argv[1]);
}
