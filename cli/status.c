/* twinstep status. */
#include "cli/status.h"

#include <getopt.h>
#include <string.h>

#include "cli/gather.h"
#include "cli/latency.h"
#include "cli/notes.h"

#define NAMES_MAX 512
#define CELL_MAX 64
#define DIGEST_SHOWN 8

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep status [--latency] [--dir RUN] [--json]\n"
        "\n"
        "Asks every node of this machine and shows one picture: per group the primary, the\n"
        "replicas in sync and those whose acknowledgement is required, the service address;\n"
        "per node processes, paths and voter; alarms.\n"
        "\n"
        "  --latency  in place of that, how long clients' commands took at each replica since it\n"
        "             started, by stage: queue, journal, fabric, commit, apply, reply\n"
        "  --dir RUN  where the nodes keep their data (default ./run)\n"
        "  --json     the same for programs (see cluster-cfg/io/admin.h)\n"
        "\n"
        "Exit status: 0 all is well, 1 alarms, 2 wrong usage, 3 no node answers.\n",
        out);
}

static const char *text_of(int64_t n, char out[CELL_MAX])
{
    (void)snprintf(out, CELL_MAX, "%lld", (long long)n);
    return out;
}

static void print_replicas(const struct cli *cli, const json_t *group)
{
    json_t *rows = json_array();
    size_t i;
    json_t *r;
    cli_row(rows, 8,
            (const char *const[]){"replica", "role", "applied", "lag", "digest", "requests",
                                  "waiting", "why"});
    json_array_foreach(json_object_get(group, "replicas"), i, r)
    {
        char applied[CELL_MAX];
        char lag[CELL_MAX];
        char requests[CELL_MAX];
        char waiting[CELL_MAX];
        char digest[DIGEST_SHOWN + 1];
        bool down = strcmp(cli_string(r, "role", ""), "down") == 0;
        (void)snprintf(digest, sizeof(digest), "%s", cli_string(r, "digest", ""));
        cli_row(rows, 8,
                (const char *const[]){cli_string(r, "node", "?"), cli_string(r, "role", "?"),
                                      down ? "-" : text_of(cli_number(r, "applied"), applied),
                                      down ? "-" : text_of(cli_number(r, "lag"), lag),
                                      down || digest[0] == '\0' ? "-" : digest,
                                      down ? "-" : text_of(cli_number(r, "requests"), requests),
                                      down ? "-" : text_of(cli_number(r, "waiting"), waiting),
                                      down ? "" : cli_string(r, "why", "")});
    }
    cli_table(cli, rows, 2);
    json_decref(rows);
}

/* Where the group's service address is; if nowhere, why. (Why one that is there could not be
 * elsewhere the alarms tell.) */
static void print_address(const struct cli *cli, const json_t *group)
{
    const json_t *address = json_object_get(group, "service_address");
    const json_t *nics = json_object_get(address, "nics");
    size_t i;
    json_t *nic;
    bool found = false;
    if (!json_is_object(address)) {
        return;
    }
    (void)fprintf(cli->out, "  service address %s: ", cli_string(address, "address", "?"));
    json_array_foreach(nics, i, nic)
    {
        if (cli_bool(nic, "here")) {
            (void)fprintf(cli->out, "%sat %s (%s)", found ? ", " : "", cli_string(nic, "node", "?"),
                          cli_string(nic, "interface", "?"));
            found = true;
        }
    }
    if (!found && !cli_bool(address, "complete")) {
        (void)fputs("not at the NICs that answer here", cli->out);
    } else if (!found) {
        bool serves = json_is_string(json_object_get(group, "primary"));
        (void)fprintf(cli->out, "%snowhere%s%s", cli_style(cli, CLI_BAD), cli_style(cli, CLI_PLAIN),
                      serves ? "" : ", since no replica serves");
    }
    (void)fputc('\n', cli->out);
    json_array_foreach(nics, i, nic)
    {
        if (!found && cli_string(nic, "why", "")[0] != '\0') {
            (void)fprintf(cli->out, "    not at %s: %s\n", cli_string(nic, "node", "?"),
                          cli_string(nic, "why", ""));
        }
    }
}

/* Who serves; without one since when, as far as somebody could tell. */
static void print_primary(const struct cli *cli, const json_t *group)
{
    const char *primary = cli_string(group, "primary", NULL);
    const char *last = cli_string(group, "last_primary", NULL);
    const json_t *ms = json_object_get(group, "no_primary_ms");
    if (primary != NULL) {
        (void)fprintf(cli->out, "primary %s", primary);
        return;
    }
    const json_t *recorded = json_object_get(group, "recorded");
    if (json_is_null(json_object_get(group, "serving")) && recorded != NULL) {
        (void)fprintf(cli->out, "primary %s as the voter of %s recorded",
                      cli_string(recorded, "primary", "?"), cli_string(recorded, "by", "?"));
        return;
    }
    if (json_is_null(json_object_get(group, "serving"))) {
        (void)fprintf(cli->out, "primary unknown");
        return;
    }
    (void)fprintf(cli->out, "%sno primary%s", cli_style(cli, CLI_BAD), cli_style(cli, CLI_PLAIN));
    if (json_is_integer(ms)) {
        (void)fprintf(cli->out, " seen for %.1f s", (double)json_integer_value(ms) / 1000);
    }
    if (last != NULL) {
        (void)fprintf(cli->out, ", %s was the last", last);
    }
}

static void print_groups(const struct cli *cli, const json_t *merged)
{
    size_t i;
    json_t *group;
    json_array_foreach(json_object_get(merged, "groups"), i, group)
    {
        char in_sync[NAMES_MAX];
        char required[NAMES_MAX];
        char members[NAMES_MAX];
        (void)fprintf(cli->out, "\n%sgroup %s%s  ", cli_style(cli, CLI_BOLD),
                      cli_string(group, "group", "?"), cli_style(cli, CLI_PLAIN));
        print_primary(cli, group);
        int64_t epoch = cli_number(group, "epoch");
        epoch = epoch > 0 ? epoch : cli_number(json_object_get(group, "recorded"), "epoch");
        (void)fprintf(cli->out, "  epoch %lld\n", (long long)epoch);
        if (json_array_size(json_object_get(group, "replicas")) == 0) {
            (void)fputs("  none of its NICs is of this machine or answers\n", cli->out);
            continue;
        }
        (void)fprintf(cli->out, "  in sync: %s  required: %s  members: %s\n",
                      cli_names(json_object_get(group, "in_sync"), in_sync, NAMES_MAX),
                      cli_names(json_object_get(group, "required"), required, NAMES_MAX),
                      cli_names(json_object_get(group, "members"), members, NAMES_MAX));
        print_address(cli, group);
        print_replicas(cli, group);
    }
}

static void add_processes(json_t *rows, const json_t *node)
{
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(node, "processes"), i, p)
    {
        const char *group = cli_string(p, "group", NULL);
        char program[2 * CELL_MAX];
        char pid[CELL_MAX];
        char restarts[CELL_MAX];
        char last[CELL_MAX];
        int64_t starts = cli_number(p, "starts");
        int64_t status = cli_number(p, "last_status");
        bool nicd = strcmp(cli_string(p, "program", ""), "nicd") == 0;
        (void)snprintf(program, sizeof(program), "%.40s%s%.40s", cli_string(p, "program", "?"),
                       group == NULL ? "" : " ", group == NULL ? "" : group);
        (void)snprintf(last, sizeof(last), status < 0 ? "signal %lld" : "status %lld",
                       (long long)(status < 0 ? -status : status));
        cli_row(
            rows, 6,
            (const char *const[]){cli_string(node, "node", "?"), program,
                                  cli_bool(p, "running") ? text_of(cli_number(p, "pid"), pid) : "-",
                                  cli_bool(p, "running") ? "up" : "down",
                                  text_of(starts > 0 ? starts - 1 : 0, restarts),
                                  nicd || (starts <= 1 && cli_bool(p, "running")) ? "-" : last});
    }
}

static void print_processes(const struct cli *cli, const json_t *merged)
{
    json_t *rows = json_array();
    size_t i;
    json_t *node;
    cli_row(rows, 6,
            (const char *const[]){"node", "process", "pid", "state", "restarts", "last exit"});
    json_array_foreach(json_object_get(merged, "nodes"), i, node)
    {
        if (cli_bool(node, "reachable")) {
            add_processes(rows, node);
        } else {
            cli_row(rows, 6,
                    (const char *const[]){cli_string(node, "node", "?"), "-", "-",
                                          cli_string(node, "state", "silent"), "-", "-"});
        }
    }
    (void)fputc('\n', cli->out);
    cli_table(cli, rows, 0);
    json_decref(rows);
}

static void add_paths(json_t *rows, const json_t *node)
{
    size_t i;
    size_t n;
    json_t *peer;
    json_t *path;
    json_array_foreach(json_object_get(node, "peers"), i, peer)
    {
        char text[NAMES_MAX] = "";
        size_t used = 0;
        json_array_foreach(json_object_get(peer, "paths"), n, path)
        {
            int w = used < sizeof(text)
                        ? snprintf(text + used, sizeof(text) - used, "%s%s %s", n == 0 ? "" : ", ",
                                   cli_string(path, "address", "?"),
                                   cli_bool(path, "up") ? "up" : "DOWN")
                        : 0;
            used += w > 0 ? (size_t)w : 0;
        }
        cli_row(rows, 4,
                (const char *const[]){cli_string(node, "node", "?"), cli_string(peer, "node", "?"),
                                      cli_bool(peer, "alive") ? "heard" : "SILENT", text});
    }
}

/* Nothing when there is only the heading. */
static void print_filled(const struct cli *cli, const json_t *rows)
{
    if (json_array_size(rows) > 1) {
        (void)fputc('\n', cli->out);
        cli_table(cli, rows, 0);
    }
}

static void print_paths_and_voters(const struct cli *cli, const json_t *merged)
{
    json_t *paths = json_array();
    json_t *voters = json_array();
    size_t i;
    json_t *node;
    cli_row(paths, 4, (const char *const[]){"from", "to", "state", "paths"});
    cli_row(voters, 4, (const char *const[]){"voter", "state", "start", "confirmed by"});
    json_array_foreach(json_object_get(merged, "nodes"), i, node)
    {
        const json_t *v = json_object_get(node, "voter");
        char start[CELL_MAX];
        char confirmed[CELL_MAX];
        if (!cli_bool(node, "reachable")) {
            continue;
        }
        add_paths(paths, node);
        (void)snprintf(confirmed, sizeof(confirmed), "%lld of %lld",
                       (long long)cli_number(v, "confirmed"), (long long)cli_number(v, "voters"));
        cli_row(voters, 4,
                (const char *const[]){cli_string(node, "node", "?"), cli_string(v, "state", "?"),
                                      text_of(cli_number(v, "start"), start), confirmed});
    }
    print_filled(cli, paths);
    print_filled(cli, voters);
    json_decref(paths);
    json_decref(voters);
}

static void add_refused(json_t *rows, const char *node, const char *by, const char *what, int64_t n)
{
    char count[CELL_MAX];
    if (n > 0) {
        cli_row(rows, 4, (const char *const[]){node, by, text_of(n, count), what});
    }
}

/* Hostile or malformed input: nothing is broken by it, but somebody sends it. */
static void print_refused(const struct cli *cli, const json_t *merged)
{
    json_t *rows = json_array();
    size_t i;
    size_t k;
    json_t *node;
    json_t *group;
    json_t *r;
    cli_row(rows, 4, (const char *const[]){"node", "refused by", "count", "what"});
    json_array_foreach(json_object_get(merged, "nodes"), i, node)
    {
        const char *name = cli_string(node, "node", "?");
        add_refused(rows, name, "heartbeatd", "datagrams", cli_number(node, "heartbeats_refused"));
        add_refused(rows, name, "cluster-cfgd", "links and frames to the voter",
                    cli_number(json_object_get(node, "voter"), "rejected"));
        add_refused(rows, name, "cluster-cfgd", "local reports",
                    cli_number(json_object_get(node, "events"), "reports_refused"));
    }
    json_array_foreach(json_object_get(merged, "groups"), i, group)
    {
        json_array_foreach(json_object_get(group, "replicas"), k, r)
        {
            char by[2 * CELL_MAX];
            (void)snprintf(by, sizeof(by), "replica %.40s", cli_string(group, "group", "?"));
            add_refused(rows, cli_string(r, "node", "?"), by, "requests, links and frames",
                        cli_number(r, "rejected"));
        }
    }
    print_filled(cli, rows);
    json_decref(rows);
}

static void print_alarms(const struct cli *cli, const json_t *merged)
{
    const json_t *alarms = json_object_get(merged, "alarms");
    size_t i;
    json_t *alarm;
    (void)fputc('\n', cli->out);
    if (json_array_size(alarms) == 0) {
        (void)fprintf(cli->out, "%sno alarms%s\n", cli_style(cli, CLI_GOOD),
                      cli_style(cli, CLI_PLAIN));
        return;
    }
    (void)fprintf(cli->out, "%salarms%s\n", cli_style(cli, CLI_BAD), cli_style(cli, CLI_PLAIN));
    json_t *rows = json_array();
    cli_row(rows, 4, (const char *const[]){"alarm", "group", "seen by", "meaning"});
    json_array_foreach(alarms, i, alarm)
    {
        char names[NAMES_MAX];
        cli_row(rows, 4,
                (const char *const[]){cli_string(alarm, "code", "?"),
                                      cli_string(alarm, "group", "-"),
                                      cli_names(json_object_get(alarm, "nodes"), names, NAMES_MAX),
                                      cli_string(alarm, "text", "?")});
    }
    cli_table(cli, rows, 2);
    json_decref(rows);
}

static void print_notes(const struct cli *cli, const json_t *merged)
{
    size_t i;
    json_t *note;
    json_array_foreach(json_object_get(merged, "notes"), i, note)
    {
        (void)fprintf(cli->out, "note: %s\n", json_string_value(note));
    }
}

void cli_status_print(const struct cli *cli, const json_t *merged)
{
    const json_t *nodes = json_object_get(merged, "nodes");
    size_t i;
    size_t answer = 0;
    json_t *node;
    json_array_foreach(nodes, i, node)
    {
        answer += cli_bool(node, "reachable") ? 1 : 0;
    }
    (void)fprintf(cli->out, "%scluster %s%s: %zu of %zu nodes answer\n", cli_style(cli, CLI_BOLD),
                  cli_string(merged, "cluster", "?"), cli_style(cli, CLI_PLAIN), answer,
                  json_array_size(nodes));
    print_groups(cli, merged);
    print_processes(cli, merged);
    print_paths_and_voters(cli, merged);
    print_refused(cli, merged);
    print_alarms(cli, merged);
    print_notes(cli, merged);
}

static int show(const struct cli *cli, const char *dir, bool as_json)
{
    struct cfg_cluster cluster;
    int status = cli_open_run(cli, dir, &cluster);
    if (status != CLI_OK) {
        return status;
    }
    json_t *request = json_pack("{s:s}", "cmd", "status");
    json_t *answers = cli_ask_all(dir, &cluster, NULL, request, CLI_ASK_MS);
    json_t *merged = cli_merge(&cluster, answers);
    cli_note_open_ports(&cluster, dir, json_object_get(merged, "notes"));
    if (as_json) {
        (void)json_dumpf(merged, cli->out, JSON_INDENT(1));
        (void)fputc('\n', cli->out);
    } else {
        cli_status_print(cli, merged);
    }
    status = json_array_size(json_object_get(merged, "alarms")) == 0 ? CLI_OK : CLI_FAILED;
    if (cli_answered(answers) == 0) {
        status = cli_fail(cli, CLI_UNREACHABLE,
                          "no node of %s answers; start them with twinstep up --dir %s", dir, dir);
    }
    json_decref(merged);
    json_decref(answers);
    json_decref(request);
    return status;
}

int cli_status(const struct cli *cli, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, 'd'},
        {"latency", no_argument, NULL, 'l'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *dir = CLI_DEFAULT_DIR;
    bool latency = false;
    bool as_json = false;
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        if (c == 'd') {
            dir = optarg;
        } else if (c == 'l') {
            latency = true;
        } else if (c == 'j') {
            as_json = true;
        } else if (c == 'h') {
            print_help(cli->out);
            return CLI_OK;
        } else {
            return cli_usage(cli, "status");
        }
    }
    if (optind < argc) {
        return cli_excess(cli, "status", argv[optind]);
    }
    return latency ? cli_latency(cli, dir, as_json) : show(cli, dir, as_json);
}
