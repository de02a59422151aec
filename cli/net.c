/* twinstep net: what a network controller is to do, and what it does. */
#include "cli/net.h"

#include <getopt.h>
#include <string.h>

static const struct word {
    const char *name;
    const char *operand; /* "" when it takes none */
    /* Whether what it was given makes sense, before anybody is asked; NULL: it sees by itself. */
    int (*check)(const struct cli_net *n, const char *operand);
    int (*run)(struct cli_net *n, const char *operand);
} WORDS[] = {
    {"apply", "PATH", NULL, cli_net_apply},
    {"list", "[COLLECTION]", cli_net_check_list, cli_net_list},
    {"show", "OBJECT", cli_net_check_show, cli_net_show},
    {"delete", "OBJECT", cli_net_check_delete, cli_net_delete},
    {"trace", "", cli_net_check_trace, cli_net_trace},
};

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep net apply PATH [--dry-run]\n"
        "       twinstep net list [COLLECTION]\n"
        "       twinstep net show OBJECT\n"
        "       twinstep net delete OBJECT [--dry-run]\n"
        "       twinstep net trace --from PORT --to PORT [--tcp N|--udp N|--icmp]\n"
        "\n"
        "What a network controller (a group of the service netctl) is to do. apply makes it so as\n"
        "PATH declares it, a file or a directory of *.yaml, *.yml and *.json: objects with their\n"
        "\"path\", all of them or, when one is wrong, none. What is not declared stays;\n"
        "\"marked_for_delete: true\" removes an object. list shows the objects of a collection\n"
        "(default /infra/segments), show one of them. trace tells which rules decide about the "
        "first packet\n"
        "of a connection between two ports, and on which nodes.\n"
        "\n"
        "  --dry-run    tell what would change, and change nothing\n"
        "  --dir RUN    of which cluster (default ./run)\n"
        "  --group NAME which group, where several are of netctl\n"
        "  --url URL    https://localhost:8443 in place of the cluster's addresses\n"
        "  --ca FILE    the authority of the controller's certificate (default RUN/ca/ca.pem)\n"
        "  --user NAME  who asks; the password is in TWINSTEP_PASSWORD\n"
        "  --cert FILE, --key FILE\n"
        "               … or a certificate of the cluster's authority, and its key\n"
        "  --json       what the controller says, as it is\n"
        "  --timeout S  how long a question is asked again while no controller serves, 1 to 3600\n"
        "               (default 30); a third of it for one answer\n"
        "\n"
        "Exit status: 0 done; 1 refused, or there is no such object; 2 wrong usage, also a path "
        "or\n"
        "a file that is wrong, and nothing was changed; 3 no controller served in time: what was\n"
        "to be changed may be changed, where that is told.\n",
        out);
}

/* Gives -1 to go on. */
static int parse(struct cli_net *n, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, 'd'},
        {"group", required_argument, NULL, 'g'},
        {"url", required_argument, NULL, 'u'},
        {"ca", required_argument, NULL, 'a'},
        {"user", required_argument, NULL, 'n'},
        {"cert", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},
        {"json", no_argument, NULL, 'j'},
        {"from", required_argument, NULL, 'f'},
        {"to", required_argument, NULL, 't'},
        {"tcp", required_argument, NULL, 'T'},
        {"udp", required_argument, NULL, 'U'},
        {"icmp", no_argument, NULL, 'I'},
        {"dry-run", no_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {"timeout", required_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    const struct {
        int option;
        const char **to;
    } TEXTS[] = {{'d', &n->dir},  {'g', &n->group}, {'u', &n->url}, {'a', &n->ca},
                 {'n', &n->user}, {'c', &n->cert},  {'k', &n->key}, {'f', &n->from},
                 {'t', &n->to},   {'T', &n->tcp},   {'U', &n->udp}};
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        bool known = c == 'j' || c == 'r' || c == 'I';
        n->icmp = n->icmp || c == 'I';
        n->as_json = n->as_json || c == 'j';
        n->dry_run = n->dry_run || c == 'r';
        for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
            if (TEXTS[i].option == c) {
                *TEXTS[i].to = optarg;
                known = true;
            }
        }
        if (c == 'h') {
            print_help(n->cli->out);
            return CLI_OK;
        }
        if (c == 'w') {
            int status = cli_seconds(n->cli, "--timeout", optarg, 1, 3600, &n->timeout_s);
            if (status != CLI_OK) {
                return status;
            }
            known = true;
        }
        if (!known) {
            return cli_usage(n->cli, "net");
        }
    }
    return -1;
}

static const struct word *find_word(const char *name)
{
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (strcmp(WORDS[i].name, name) == 0) {
            return &WORDS[i];
        }
    }
    return NULL;
}

int cli_net(const struct cli *cli, int argc, char **argv)
{
    struct cli_net n = {.cli = cli, .dir = CLI_DEFAULT_DIR, .timeout_s = CLI_NET_TIMEOUT_S};
    int status = parse(&n, argc, argv);
    if (status >= 0) {
        return status;
    }
    const char *name = optind < argc ? argv[optind] : NULL;
    const char *operand = optind + 1 < argc ? argv[optind + 1] : NULL;
    const struct word *w = name == NULL ? NULL : find_word(name);
    if (w == NULL) {
        return cli_fail(
            cli, CLI_USAGE,
            "net needs one of apply, list, show, delete, trace%s%s; \"twinstep net --help\" "
            "tells what they do",
            name == NULL ? "" : ", and not ", name == NULL ? "" : name);
    }
    if (optind + 2 < argc) {
        return cli_excess(cli, "net", argv[optind + 2]);
    }
    if (operand != NULL && w->operand[0] == '\0') {
        return cli_excess(cli, "net", operand);
    }
    if (operand == NULL && w->operand[0] != '[' && w->operand[0] != '\0') {
        return cli_fail(cli, CLI_USAGE, "net %s needs a %s", w->name, w->operand);
    }
    status = w->check == NULL ? CLI_OK : w->check(&n, operand);
    status = status != CLI_OK ? status : cli_net_open(&n);
    status = status != CLI_OK ? status : w->run(&n, operand);
    cli_net_close(&n);
    return status;
}
