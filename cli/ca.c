/* twinstep ca: the cluster's certificate authority. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cluster-cfg/cluster.h"
#include "net/ca.h"
#include "services/netctl/resource.h"

#define DAYS_MAX 3650

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep ca init --dir CA --cluster NAME\n"
        "       twinstep ca issue --dir CA --node NAME --out DIR [--address ADDRESS]…\n"
        "                         [--days N] [--force]\n"
        "       twinstep ca issue --dir CA --agent NAME --out DIR [--days N] [--force]\n"
        "\n"
        "init makes an authority in an empty directory. issue makes a node's key and\n"
        "certificate (ca.pem node.pem node.key heartbeat.key); DIR is the node's tls\n"
        "directory, RUN/NAME/tls. Whoever has CA/ca.key can join the cluster: keep it off\n"
        "the nodes. \"twinstep up\" keeps a lab's authority in RUN/ca by itself.\n"
        "\n"
        "With --agent they are those of the agent of the transport node NAME, for the agents'\n"
        "port of a network controller: without heartbeat.key, and nothing else takes that\n"
        "certificate.\n"
        "\n"
        "  --address ADDRESS\n"
        "            where clients of HTTPS reach the node: its paths, and service addresses\n"
        "  --days N  how long the certificate holds, 1 to 3650 (default 365)\n"
        "  --force   replace a key and certificate that are in DIR\n"
        "\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage.\n",
        out);
}

struct ca_args {
    const char *dir;
    const char *cluster;
    const char *node;
    const char *agent;
    const char *out;
    struct ca_addresses addresses; /* borrowed from argv */
    unsigned long days;
    bool force;
};

/* Gives -1 to go on. */
static int parse(const struct cli *cli, struct ca_args *a, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, 'd'},     {"cluster", required_argument, NULL, 'c'},
        {"node", required_argument, NULL, 'n'},    {"agent", required_argument, NULL, 'g'},
        {"out", required_argument, NULL, 'o'},     {"days", required_argument, NULL, 'y'},
        {"address", required_argument, NULL, 'a'}, {"force", no_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        char *end = NULL;
        switch (c) {
        case 'd':
            a->dir = optarg;
            break;
        case 'c':
            a->cluster = optarg;
            break;
        case 'a':
            if (a->addresses.count == CA_ADDRESSES_MAX) {
                return cli_fail(cli, CLI_USAGE, "a certificate has %d addresses at most",
                                CA_ADDRESSES_MAX);
            }
            a->addresses.address[a->addresses.count++] = optarg;
            break;
        case 'n':
            a->node = optarg;
            break;
        case 'g':
            a->agent = optarg;
            break;
        case 'o':
            a->out = optarg;
            break;
        case 'y':
            a->days = strtoul(optarg, &end, 10);
            if (*optarg < '0' || *optarg > '9' || *end != '\0' || a->days < 1 ||
                a->days > DAYS_MAX) {
                return cli_fail(cli, CLI_USAGE, "--days %s: give 1 to %d", optarg, DAYS_MAX);
            }
            break;
        case 'f':
            a->force = true;
            break;
        case 'h':
            print_help(cli->out);
            return CLI_OK;
        default:
            return cli_usage(cli, "ca");
        }
    }
    return optind == argc ? -1 : cli_excess(cli, "ca", argv[optind]);
}

static int check_name(const struct cli *cli, const char *option, const char *name)
{
    return cfg_name_is_valid(name)
               ? CLI_OK
               : cli_fail(cli, CLI_USAGE, "%s is \"%.40s\"; " CFG_NAME_RULE, option, name);
}

/* A running node's key must not go by a slip of the hand. */
static int check_free(const struct cli *cli, const struct ca_args *a)
{
    static const char *const FILES[] = {"node.pem", "node.key", "ca.pem", "heartbeat.key"};
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]) && !a->force; i++) {
        char path[TS_PATH_MAX];
        struct ts_why why = {0};
        struct stat st;
        if (ts_path(path, &why, a->out, "%s", FILES[i]) != TS_OK) {
            return cli_fail(cli, CLI_FAILED, "%s", why.text);
        }
        if (lstat(path, &st) == 0) {
            return cli_fail(cli, CLI_FAILED,
                            "%s exists, and nothing was changed; --force replaces the node's key "
                            "and certificate there, or name another directory with --out",
                            path);
        }
    }
    return CLI_OK;
}

static int init(const struct cli *cli, const struct ca_args *a)
{
    struct ts_why why = {0};
    if (a->dir == NULL || a->cluster == NULL) {
        return cli_fail(cli, CLI_USAGE, "ca init needs --dir CA and --cluster NAME");
    }
    int status = check_name(cli, "--cluster", a->cluster);
    if (status != CLI_OK) {
        return status;
    }
    if (ca_init(a->dir, a->cluster, &why) != TS_OK) {
        return cli_fail(cli, CLI_FAILED, "%s", why.text);
    }
    (void)fprintf(cli->out, "authority of cluster %s made in %s; keep %s/ca.key secret\n",
                  a->cluster, a->dir, a->dir);
    return CLI_OK;
}

/* Transport nodes have the names that their objects may have. */
static int check_agent(const struct cli *cli, const struct ca_args *a)
{
    size_t len = strlen(a->agent);
    if (len > CA_NAME_MAX || !netctl_id_is_valid(a->agent, len)) {
        return cli_fail(cli, CLI_USAGE,
                        "--agent is \"%.70s\"; give the id of the HostTransportNode: 1 to %d "
                        "letters, digits, - _ . : ~ @",
                        a->agent, CA_NAME_MAX);
    }
    return a->addresses.count == 0
               ? CLI_OK
               : cli_fail(cli, CLI_USAGE, "nobody connects to an agent: --address is for --node");
}

static int issue(const struct cli *cli, const struct ca_args *a)
{
    struct ts_why why = {0};
    if (a->dir == NULL || (a->node == NULL) == (a->agent == NULL) || a->out == NULL) {
        return cli_fail(cli, CLI_USAGE,
                        "ca issue needs --dir CA, --out DIR and one of --node NAME and --agent "
                        "NAME");
    }
    int status = a->agent != NULL ? check_agent(cli, a) : check_name(cli, "--node", a->node);
    status = status != CLI_OK ? status : check_free(cli, a);
    if (status != CLI_OK) {
        return status;
    }
    struct ca_validity validity = ca_validity_days((unsigned)a->days);
    enum ts_err err = a->agent != NULL
                          ? ca_issue_agent(a->dir, a->agent, a->out, validity, &why)
                          : ca_issue(a->dir, a->node, a->out, &a->addresses, validity, &why);
    if (err != TS_OK) {
        return cli_fail(cli, CLI_FAILED, "%s", why.text);
    }
    (void)fprintf(cli->out, "certificate of %s%s for %lu days in %s\n",
                  a->agent != NULL ? "the agent of " : "", a->agent != NULL ? a->agent : a->node,
                  a->days, a->out);
    return CLI_OK;
}

int cli_ca(const struct cli *cli, int argc, char **argv)
{
    struct ca_args a = {.days = CA_NODE_DAYS};
    if (argc < 2) {
        return cli_fail(cli, CLI_USAGE, "ca needs a word more: init or issue");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(cli->out);
        return CLI_OK;
    }
    char *word = argv[1];
    argv[1] = argv[0]; /* getopt begins its messages with it */
    int status = parse(cli, &a, argc - 1, argv + 1);
    argv[1] = word;
    if (status >= 0) {
        return status;
    }
    if (strcmp(argv[1], "init") == 0) {
        return init(cli, &a);
    }
    if (strcmp(argv[1], "issue") == 0) {
        return issue(cli, &a);
    }
    return cli_fail(cli, CLI_USAGE, "there is no \"ca %s\"; known are: init, issue", argv[1]);
}
