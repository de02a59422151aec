/* twinstep up: form, start, wait. */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/cluster_file.h"
#include "cli/form.h"
#include "cli/gather.h"
#include "cli/notes.h"
#include "cluster-cfg/io/admin_client.h"
#include "lab/nodes.h"
#include "net/link.h"

#define DEFAULT_TIMEOUT_S 30
#define POLL_MS 50
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
        "  --prepare      form only, start nothing: then copy RUN to the other machines\n"
        "\n"
        "Exit status: 0 all in sync, 1 failed, 2 wrong usage.\n",
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
    optind = 1;
    while ((c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        char *end = NULL;
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
            u->timeout_s = (unsigned)strtoul(optarg, &end, 10);
            if (*optarg < '0' || *optarg > '9' || *end != '\0' || u->timeout_s > 86400) {
                return cli_fail(u->cli, CLI_USAGE, "--timeout %s: give seconds, 0 to 86400",
                                optarg);
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

/* Tells an address of another machine, or a port that another program has, before anything
 * starts: a daemon that cannot listen would only say so in its log. */
static int check_address(const struct up *u, const struct cfg_node *node, unsigned path,
                         uint16_t port, const char *whose)
{
    struct sockaddr_storage to;
    if (net_address(node->paths[path], port, &to) != TS_OK) {
        return CLI_OK;
    }
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return CLI_OK; /* the daemons will say what is wrong */
    }
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    socklen_t len =
        to.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int rc = bind(fd, (const struct sockaddr *)&to, len);
    rc = rc == 0 ? listen(fd, 1) : rc;
    int error = errno;
    (void)close(fd);
    if (rc == 0) {
        return CLI_OK;
    }
    if (error == EADDRNOTAVAIL) {
        return cli_fail(u->cli, CLI_FAILED,
                        "%s (path %u of %s) is no address of this machine; add it to an interface, "
                        "or start only this machine's nodes with --nic",
                        node->paths[path], path + 1, node->name);
    }
    return cli_fail(u->cli, CLI_FAILED,
                    "%s of %s cannot listen on %s port %u: %s; end what listens there (ss -ltnp "
                    "shows it), or change the port or address in %s",
                    whose, node->name, node->paths[path], port, strerror(error), u->config);
}

static int check_node(const struct up *u, const struct cfg_node *node)
{
    int status = CLI_OK;
    for (unsigned p = 0; p < node->path_count && status == CLI_OK; p++) {
        if (node->voter) {
            status = check_address(u, node, p, cfg_port_voter(&u->cluster), "the voter");
        }
        for (size_t g = 0; g < u->cluster.group_count && status == CLI_OK; g++) {
            const struct cfg_group *group = &u->cluster.groups[g];
            if (cfg_group_has(group, node->id)) {
                status = check_address(u, node, p, cfg_port_replica(&u->cluster, group->id),
                                       "a replica");
                status = status != CLI_OK
                             ? status
                             : check_address(u, node, p, group->client_port, group->name);
            }
        }
    }
    return status;
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
    int status = check_node(u, node);
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

/* Names each process that does not stay up, with its own last words. */
static void explain_failure(const struct up *u, const json_t *merged)
{
    size_t i;
    size_t j;
    json_t *node;
    json_t *proc;
    json_array_foreach(json_object_get(merged, "nodes"), i, node)
    {
        const char *name = cli_string(node, "node", "?");
        json_array_foreach(json_object_get(node, "processes"), j, proc)
        {
            const char *group = cli_string(proc, "group", NULL);
            char program[NODES_PROGRAM_MAX + CFG_NAME_MAX];
            char line[CLI_LINE_MAX];
            if (cli_bool(proc, "running") && cli_number(proc, "starts") < 3) {
                continue;
            }
            (void)snprintf(program, sizeof(program), "%s%s%s", cli_string(proc, "program", "?"),
                           group == NULL ? "" : "-", group == NULL ? "" : group);
            cli_last_line(u->run.run, name, program, line);
            (void)fprintf(u->cli->err, "  %s of %s does not stay up: %s\n", program, name,
                          line[0] == '\0' ? "see its log" : line);
        }
        if (!cli_bool(node, "reachable")) {
            char line[CLI_LINE_MAX];
            cli_last_line(u->run.run, name, "cluster-cfgd", line);
            (void)fprintf(u->cli->err, "  cluster-cfgd of %s does not answer: %s\n", name,
                          line[0] == '\0' ? "see its log" : line);
        }
    }
}

/* Only chosen nodes count: others run on other machines, or are meant to stay down. */
static json_t *ask_chosen(const struct up *u)
{
    json_t *all = json_array();
    for (size_t i = 0; i < u->cluster.node_count; i++) {
        if (u->chosen[i]) {
            json_t *request = json_pack("{s:s}", "cmd", "status");
            json_t *one =
                cli_ask_all(u->run.run, &u->cluster, u->cluster.nodes[i].name, request, CLI_ASK_MS);
            (void)json_array_extend(all, one);
            json_decref(one);
            json_decref(request);
        }
    }
    json_t *merged = cli_merge(&u->cluster, all);
    json_decref(all);
    return merged;
}

static bool chosen_run(const struct up *u, const char **dead)
{
    for (size_t i = 0; i < u->cluster.node_count; i++) {
        if (u->chosen[i] && !nodes_is_running(&u->run, u->cluster.nodes[i].name, NULL)) {
            *dead = u->cluster.nodes[i].name;
            return false;
        }
    }
    return true;
}

static int wait_settled(const struct up *u)
{
    char what[WHAT_MAX] = "";
    char said[WHAT_MAX] = "";
    struct timespec begin;
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    for (;;) {
        const char *dead = NULL;
        json_t *merged = ask_chosen(u);
        bool settled = cli_is_settled(merged, what, sizeof(what));
        struct timespec now;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        bool late = now.tv_sec - begin.tv_sec >= (time_t)u->timeout_s;
        bool run = chosen_run(u, &dead);
        if (!settled && (late || !run)) {
            if (run) {
                (void)cli_fail(u->cli, CLI_FAILED,
                               "after %u s: %s; the nodes go on trying, see "
                               "twinstep status --dir %s",
                               u->timeout_s, what, u->dir);
            } else {
                (void)cli_fail(u->cli, CLI_FAILED,
                               "nicd of %s ended; its log is %s/%s/log/nicd.log", dead, u->run.run,
                               dead);
            }
            explain_failure(u, merged);
        } else if (!settled && strcmp(what, said) != 0) {
            (void)fprintf(u->cli->out, "  … %s\n", what);
            (void)fflush(u->cli->out);
            (void)snprintf(said, sizeof(said), "%s", what);
        }
        json_decref(merged);
        if (settled || late || !run) {
            return settled ? CLI_OK : CLI_FAILED;
        }
        (void)poll(NULL, 0, POLL_MS);
    }
}

static void print_endpoints(const struct up *u)
{
    json_t *merged = ask_chosen(u);
    size_t i;
    json_t *group;
    json_array_foreach(json_object_get(merged, "groups"), i, group)
    {
        const char *name = cli_string(group, "group", "?");
        const char *primary = cli_string(group, "primary", "?");
        char names[WHAT_MAX];
        const struct cfg_group *g = cfg_cluster_group_by_name(&u->cluster, name);
        const struct cfg_node *node = cfg_cluster_node_by_name(&u->cluster, primary);
        (void)fprintf(u->cli->out, "%s%s%s: primary %s, in sync %s", cli_style(u->cli, CLI_GOOD),
                      name, cli_style(u->cli, CLI_PLAIN), primary,
                      cli_names(json_object_get(group, "in_sync"), names, sizeof(names)));
        for (unsigned p = 0; g != NULL && node != NULL && p < node->path_count; p++) {
            (void)fprintf(u->cli->out, "%s %s:%u", p == 0 ? ", clients:" : "", node->paths[p],
                          g->client_port);
        }
        (void)fputc('\n', u->cli->out);
    }
    json_decref(merged);
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
        return status;
    }
    if (u->timeout_s == 0) {
        return CLI_OK;
    }
    status = wait_settled(u);
    if (status == CLI_OK) {
        print_endpoints(u);
    }
    return status;
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

static int form_and_start(struct up *u)
{
    struct ts_why why = {0};
    struct ts_dir_lock lock;
    enum ts_err err = ts_dir_make(u->dir, 0700, &why);
    err = err != TS_OK ? err : nodes_open(&u->run, u->dir, &why);
    err = err != TS_OK ? err : ts_dir_lock(&lock, u->run.run, &why);
    if (err == TS_ERR_BUSY) {
        return cli_fail(u->cli, CLI_FAILED, "another twinstep works in %s; wait for it: %s", u->dir,
                        why.text);
    }
    if (err != TS_OK) {
        return cli_fail(u->cli, CLI_FAILED, "%s", why.text);
    }
    int status = cli_cluster_check(u->cli, &u->run, u->config, &u->cluster);
    if (status != CLI_OK) {
        ts_dir_unlock(&lock);
        return status;
    }
    struct cli_form form = {.cluster = &u->cluster, .config = u->config, .run = u->run.run};
    memcpy(form.chosen, u->chosen, sizeof(form.chosen));
    bool first = false;
    err = cli_form(&form, &first, &why);
    if (err != TS_OK) {
        status = cli_fail(u->cli, CLI_FAILED, "%s", why.text);
    } else if (first) {
        (void)fprintf(u->cli->out, "cluster %s formed in %s\n", u->cluster.name, u->run.run);
    }
    if (status == CLI_OK && !u->prepare) {
        status = start_all(u);
    }
    ts_dir_unlock(&lock);
    return status;
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
            status = form_and_start(u);
        }
    }
    free(u);
    return status;
}
