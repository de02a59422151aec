/* twinstep nic replace: a blank disk in the place of a lost one, of a NIC or an arbiter (adr/0022,
 * adr/0029). */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/form.h"
#include "cli/gather.h"
#include "cli/ports.h"
#include "cluster-cfg/report.h"
#include "lab/clock.h"
#include "lab/nodes.h"

#define TIMEOUT_S_DEFAULT 600
#define TIMEOUT_S_MAX 86400
#define LOOK_MS 100
#define TEXT_MAX 200

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep nic replace NIC --yes [--dir RUN] [--timeout S] [--json]\n"
        "       twinstep nic replace NIC --dry-run [--dir RUN]\n"
        "\n"
        "For a NIC, or an arbiter, whose disk is lost for good, with all that RUN/NIC held.\n"
        "Formats a blank directory with new identities, starts the node, has the groups' "
        "primaries\n"
        "enrol its replicas and its voter in the place of the lost ones, and waits until they are\n"
        "in sync and the voter votes. The lost disk is refused for ever from then on. Run it on\n"
        "the machine of the NIC; it is safe to run again.\n"
        "\n"
        "  --yes                   do it; without it nothing is done\n"
        "  --dry-run               tell what would be done, and what speaks against it\n"
        "  --lost GROUP=DISK       the disk that the group lists for the NIC, as \"disks\" of\n"
        "                          twinstep status --json tells on the primary's machine; needed\n"
        "                          only if RUN/genesis.json is older than the NIC's last\n"
        "                          replacement. May be repeated\n"
        "  --lost-voter DISK       the same for the NIC's voter, as \"voters\" tells\n"
        "  --dir RUN               where the nodes keep their data (default ./run)\n"
        "  --timeout S             how long to wait until all is in sync, seconds (default 600)\n"
        "  --json                  for programs\n"
        "\n"
        "Exit status: 0 all is in sync and the voter votes, 1 refused or not yet, 2 wrong usage,\n"
        "3 no cluster is there.\n",
        out);
}

struct nic {
    const struct cli *cli;
    const char *dir;
    const char *name;
    unsigned timeout_s;
    bool yes;
    bool dry;
    bool as_json;
    const char *lost[TS_GROUPS_MAX]; /* GROUP=DISK */
    size_t lost_count;
    struct cfg_cluster cluster;
    struct nodes_run run;
    const struct cfg_node *node;
    const char *lost_voter;      /* DISK */
    struct format_listed listed; /* 0: not known */
};

static bool has_replica(const struct nic *n, size_t group)
{
    return cfg_group_has(&n->cluster.groups[group], n->node->id);
}

static json_t *ask(const struct nic *n, size_t *answered)
{
    json_t *request = json_pack("{s:s}", "cmd", "status");
    json_t *answers = cli_ask_all(n->dir, &n->cluster, NULL, request, CLI_ASK_MS);
    json_t *merged = cli_merge(&n->cluster, answers);
    *answered = cli_answered(answers);
    json_decref(answers);
    json_decref(request);
    return merged;
}

static const json_t *group_of(const json_t *merged, const char *name)
{
    size_t i;
    json_t *g;
    json_array_foreach(json_object_get(merged, "groups"), i, g)
    {
        if (strcmp(cli_string(g, "group", ""), name) == 0) {
            return g;
        }
    }
    return NULL;
}

static bool names_it(const struct nic *n, const json_t *names)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        if (strcmp(json_string_value(name), n->name) == 0) {
            return true;
        }
    }
    return false;
}

static bool read_disk(const char *text, struct ts_incarnation *out)
{
    bool good = text != NULL && strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16;
    out->v = good ? strtoull(text, NULL, 16) : 0;
    return out->v != 0;
}

/* ---- before anything is done ------------------------------------------------------------------
 */

/* What the other nodes of this machine say of one group: it must be able to go on without the NIC,
 * and must have noticed that it is away. */
static int check_group(struct nic *n, const json_t *merged, size_t index)
{
    const char *name = n->cluster.groups[index].name;
    const json_t *g = group_of(merged, name);
    const char *primary = cli_string(g, "primary", NULL);
    if (json_array_size(json_object_get(g, "members")) == 0) {
        return CLI_OK; /* no replica of it is on this machine */
    }
    if (primary == NULL || strcmp(primary, n->name) == 0) {
        return cli_fail(n->cli, CLI_FAILED,
                        "group %s has no primary besides %s now: nobody could enrol the new disk, "
                        "and what only %s had is lost with its disk; twinstep status tells what "
                        "the others wait for",
                        name, n->name, n->name);
    }
    if (names_it(n, json_object_get(g, "in_sync"))) {
        return cli_fail(n->cli, CLI_FAILED,
                        "%s is in sync in group %s, so its disk is not lost: it runs somewhere, or "
                        "its end is not decided yet; twinstep status tells more",
                        n->name, name);
    }
    struct ts_incarnation disk;
    if (n->listed.replica[index].v == 0 &&
        read_disk(cli_string(json_object_get(g, "disks"), n->name, NULL), &disk)) {
        n->listed.replica[index] = disk;
    }
    return CLI_OK;
}

/* Which disk a group lists for the node's voter; 0: nobody here knows. */
static struct ts_incarnation listed_voter(const struct nic *n, const json_t *merged, size_t group)
{
    const json_t *g = group_of(merged, n->cluster.groups[group].name);
    const json_t *v = json_object_get(json_object_get(g, "voters"), n->name);
    struct ts_incarnation disk = {0};
    (void)read_disk(cli_string(v, "disk", NULL), &disk);
    return disk;
}

/* Whether it is known here that this node's voter does not vote: by its own word, or since a group
 * is taking its new disk in. */
static bool does_not_vote(const struct nic *n, const json_t *merged, const char *name)
{
    size_t i;
    json_t *entry;
    bool out = false;
    json_array_foreach(json_object_get(merged, "nodes"), i, entry)
    {
        const char *state = cli_string(json_object_get(entry, "voter"), "state", "ready");
        bool may = strcmp(state, "ready") == 0 || strcmp(state, "registering") == 0;
        out = out || (strcmp(cli_string(entry, "node", ""), name) == 0 && !may);
    }
    for (i = 0; i < n->cluster.group_count; i++) {
        const json_t *g = group_of(merged, n->cluster.groups[i].name);
        const json_t *v = json_object_get(json_object_get(g, "voters"), name);
        out = out || strcmp(cli_string(v, "phase", "votes"), "votes") != 0;
    }
    return out;
}

/* A new voter is taken in by a majority of all voters, and does not count itself until then. */
static int check_voters(const struct nic *n, const json_t *merged)
{
    unsigned voters = 0;
    unsigned left = 0;
    const char *out = NULL;
    for (size_t i = 0; i < n->cluster.node_count; i++) {
        const struct cfg_node *node = &n->cluster.nodes[i];
        bool other = node->voter && node != n->node;
        voters += node->voter;
        if (other && does_not_vote(n, merged, node->name)) {
            out = node->name;
        } else {
            left += other;
        }
    }
    if (!n->node->voter || out == NULL || left > voters / 2) {
        return CLI_OK;
    }
    return cli_fail(
        n->cli, CLI_FAILED,
        "the voter of %s does not vote now: without that of %s, too, no majority of the "
        "voters would be left, and no new one could be taken in; wait for it, or mend it "
        "first (twinstep status tells what it waits for)",
        out, n->name);
}

static int check_others(struct nic *n)
{
    size_t answered;
    json_t *merged = ask(n, &answered);
    int status = check_voters(n, merged);
    for (size_t i = 0; i < n->cluster.group_count && status == CLI_OK && answered > 0; i++) {
        if (has_replica(n, i)) {
            status = check_group(n, merged, i);
        }
    }
    for (size_t i = 0; i < n->cluster.group_count && n->listed.voter.v == 0; i++) {
        n->listed.voter = listed_voter(n, merged, i);
    }
    if (status == CLI_OK && answered == 0 && !n->as_json) {
        (void)fprintf(n->cli->out, "no other node of this machine runs, so nobody here knows how "
                                   "the groups are: look at twinstep status on the others\n");
    }
    json_decref(merged);
    return status;
}

static int take_lost(struct nic *n)
{
    for (size_t i = 0; i < n->lost_count; i++) {
        const char *eq = strchr(n->lost[i], '=');
        char name[CFG_NAME_MAX];
        size_t len = eq == NULL ? sizeof(name) : (size_t)(eq - n->lost[i]);
        const struct cfg_group *g = NULL;
        struct ts_incarnation disk = {0};
        if (len < sizeof(name)) {
            memcpy(name, n->lost[i], len);
            name[len] = '\0';
            g = cfg_cluster_group_by_name(&n->cluster, name);
        }
        if (g == NULL || !cfg_group_has(g, n->node->id) || !read_disk(eq + 1, &disk)) {
            return cli_fail(n->cli, CLI_USAGE,
                            "--lost %s: give a group of %s and a disk, 16 hexadecimal digits",
                            n->lost[i], n->name);
        }
        n->listed.replica[g - n->cluster.groups] = disk;
    }
    if (n->lost_voter != NULL && !read_disk(n->lost_voter, &n->listed.voter)) {
        return cli_fail(n->cli, CLI_USAGE, "--lost-voter %s: give a disk, 16 hexadecimal digits",
                        n->lost_voter);
    }
    return CLI_OK;
}

static int prepare(struct nic *n)
{
    struct ts_why why = {0};
    pid_t pid = 0;
    int status = cli_open_run(n->cli, n->dir, &n->cluster);
    if (status != CLI_OK) {
        return status;
    }
    if (nodes_open(&n->run, n->dir, &why) != TS_OK) {
        return cli_fail(n->cli, CLI_FAILED, "%s", why.text);
    }
    n->node = cfg_cluster_node_by_name(&n->cluster, n->name);
    if (n->node == NULL) {
        return cli_fail(n->cli, CLI_USAGE, "the cluster of %s has no NIC or arbiter \"%s\"", n->dir,
                        n->name);
    }
    if (nodes_is_running(&n->run, n->name, &pid)) {
        return cli_fail(n->cli, CLI_FAILED,
                        "%s runs here (nicd has pid %d), so its disk is not lost", n->name,
                        (int)pid);
    }
    status = take_lost(n);
    return status != CLI_OK ? status : check_others(n);
}

/* ---- doing it ----------------------------------------------------------------------------------
 */

static int format_and_start(const struct nic *n)
{
    struct ts_why why = {0};
    struct ts_dir_lock lock;
    pid_t pid = 0;
    const struct cli_form form = {
        .cluster = &n->cluster, .config = n->run.config, .run = n->run.run};
    int status = cli_ports_check(n->cli, &n->cluster, n->node, n->run.config);
    if (status != CLI_OK) {
        return status;
    }
    enum ts_err err = ts_dir_lock(&lock, n->run.run, &why);
    if (err == TS_OK) {
        err = cli_form_replace(&form, n->node, &n->listed, n->dry, &why);
        if (err == TS_OK && !n->dry) {
            err = nodes_start(&n->run, n->name, &pid, &why);
        }
        ts_dir_unlock(&lock);
    }
    if (err != TS_OK) {
        return cli_fail(n->cli, CLI_FAILED, "%s", why.text);
    }
    if (!n->dry && !n->as_json) {
        (void)fprintf(n->cli->out, "%s: formatted with new identities, started (nicd has pid %d)\n",
                      n->name, (int)pid);
    }
    return CLI_OK;
}

/* What one group still lacks; true when it lacks nothing. */
static bool look_at(const struct nic *n, const json_t *merged, size_t index, char text[TEXT_MAX],
                    bool *out)
{
    const char *name = n->cluster.groups[index].name;
    const json_t *g = group_of(merged, name);
    const char *why = "";
    int64_t own = -1;
    int64_t newest = 0;
    bool leads_or_follows = false;
    size_t i;
    json_t *r;
    json_array_foreach(json_object_get(g, "replicas"), i, r)
    {
        int64_t committed = cli_number(r, "committed");
        newest = committed > newest ? committed : newest;
        if (strcmp(cli_string(r, "node", ""), n->name) == 0) {
            const char *role = cli_string(r, "role", "");
            own = committed;
            why = cli_string(r, "why", "");
            leads_or_follows = strcmp(role, "secondary") == 0 || strcmp(role, "primary") == 0;
        }
    }
    /* Its name alone says nothing: the lost disk may be listed under it. */
    if (names_it(n, json_object_get(g, "in_sync")) && leads_or_follows && *why == '\0') {
        (void)snprintf(text, TEXT_MAX, "%s: %s is in sync", name, n->name);
        return true;
    }
    *out = *out || strcmp(why, report_why_text(REPORT_WHY_OTHER_DISK)) == 0;
    if (own < 0 || *why != '\0') {
        (void)snprintf(text, TEXT_MAX, "%s: %s", name, own < 0 ? "starts" : why);
    } else {
        (void)snprintf(text, TEXT_MAX, "%s: catches up, at entry %lld of %lld", name,
                       (long long)own, (long long)newest);
    }
    return false;
}

/* What its voter still lacks, by its own word: there may be no replica on this machine. */
static bool look_at_voter(const struct nic *n, const json_t *merged, char text[TEXT_MAX], bool *out)
{
    size_t i;
    json_t *node;
    const char *state = "starts";
    json_array_foreach(json_object_get(merged, "nodes"), i, node)
    {
        if (strcmp(cli_string(node, "node", ""), n->name) == 0) {
            state = cli_string(json_object_get(node, "voter"), "state", state);
        }
    }
    bool votes = !n->node->voter || strcmp(state, "ready") == 0;
    *out = *out || strcmp(state, "misplaced") == 0;
    (void)snprintf(text, TEXT_MAX, "the voter of %s %s%s", n->name, votes ? "votes" : "is ",
                   votes ? "" : state);
    return votes;
}

static void say(const struct nic *n, const char *text, char said[TEXT_MAX])
{
    if (strcmp(text, said) != 0 && !n->as_json) {
        (void)fprintf(n->cli->out, "  %s\n", text);
        (void)fflush(n->cli->out);
        memcpy(said, text, TEXT_MAX);
    }
}

static int refused(const struct nic *n)
{
    return cli_fail(n->cli, CLI_FAILED,
                    "a group lists another disk for %s than %s/genesis.json: end it (twinstep "
                    "down), move %s/%s away, and name the disks that are listed: its replicas' "
                    "with --lost (twinstep status --json on the primary's machine tells them as "
                    "\"disks\"), its voter's with --lost-voter (\"voters\")",
                    n->name, n->dir, n->dir, n->name);
}

static void print_done(const struct nic *n, uint64_t ms)
{
    if (!n->as_json) {
        const char *what = n->node->arbiter ? "votes"
                           : n->node->voter ? "is in sync in all its groups, and its voter votes"
                                            : "is in sync in all its groups";
        (void)fprintf(n->cli->out, "%s %s after %.1f s\n", n->name, what, (double)ms / 1000);
        return;
    }
    json_t *o = json_pack("{s:s,s:b,s:I}", "nic", n->name, "in_sync", 1, "took_ms", (json_int_t)ms);
    (void)json_dumpf(o, n->cli->out, JSON_INDENT(1));
    (void)fputc('\n', n->cli->out);
    json_decref(o);
}

/* Shows how far it is until all its replicas are in sync. */
static int await(const struct nic *n)
{
    char said[TS_GROUPS_MAX + 1][TEXT_MAX] = {{0}};
    uint64_t begun = lab_now_ns();
    for (;;) {
        size_t answered;
        bool all = true;
        bool out = false;
        json_t *merged = ask(n, &answered);
        for (size_t i = 0; i < n->cluster.group_count; i++) {
            char text[TEXT_MAX] = "";
            if (!has_replica(n, i)) {
                continue;
            }
            all = look_at(n, merged, i, text, &out) && all;
            say(n, text, said[i]);
        }
        if (n->node->voter) {
            char text[TEXT_MAX] = "";
            all = look_at_voter(n, merged, text, &out) && all;
            say(n, text, said[TS_GROUPS_MAX]);
        }
        json_decref(merged);
        uint64_t ms = (lab_now_ns() - begun) / TS_NS_PER_MS;
        if (all) {
            print_done(n, ms);
            return CLI_OK;
        }
        if (out) {
            return refused(n);
        }
        if (ms >= (uint64_t)n->timeout_s * 1000) {
            return cli_fail(n->cli, CLI_FAILED,
                            "%s is not done after %u s; it goes on by itself, and twinstep status "
                            "tells how far it is, and what it waits for",
                            n->name, n->timeout_s);
        }
        lab_pause_ms(LOOK_MS);
    }
}

static int replace(struct nic *n)
{
    int status = prepare(n);
    if (status != CLI_OK) {
        return status;
    }
    if (!n->yes && !n->dry) {
        return cli_fail(n->cli, CLI_USAGE,
                        "this gives up the disk of %s for good: if it comes back, it is refused. "
                        "Say --yes to do it, --dry-run to see what would be done",
                        n->name);
    }
    status = format_and_start(n);
    if (status == CLI_OK && n->dry) {
        (void)fprintf(
            n->cli->out,
            "nothing that is known here speaks against it: with --yes %s/%s is formatted with new "
            "identities, started, and enrolled, its voter, too\n",
            n->dir, n->name);
    }
    return status != CLI_OK || n->dry ? status : await(n);
}

/* Gives -1 to go on. */
static int parse(struct nic *n, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, 'd'},
        {"timeout", required_argument, NULL, 't'},
        {"lost", required_argument, NULL, 'l'},
        {"yes", no_argument, NULL, 'y'},
        {"lost-voter", required_argument, NULL, 'v'},
        {"dry-run", no_argument, NULL, 'n'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        switch (c) {
        case 'd':
            n->dir = optarg;
            break;
        case 't':
            if (cli_seconds(n->cli, "--timeout", optarg, 1, TIMEOUT_S_MAX, &n->timeout_s) !=
                CLI_OK) {
                return CLI_USAGE;
            }
            break;
        case 'l':
            if (n->lost_count == TS_GROUPS_MAX) {
                return cli_fail(n->cli, CLI_USAGE, "--lost is given more than %d times",
                                TS_GROUPS_MAX);
            }
            n->lost[n->lost_count++] = optarg;
            break;
        case 'v':
            n->lost_voter = optarg;
            break;
        case 'y':
            n->yes = true;
            break;
        case 'n':
            n->dry = true;
            break;
        case 'j':
            n->as_json = true;
            break;
        case 'h':
            print_help(n->cli->out);
            return CLI_OK;
        default:
            return cli_usage(n->cli, "nic");
        }
    }
    return -1;
}

int cli_nic(const struct cli *cli, int argc, char **argv)
{
    struct nic *n = calloc(1, sizeof(*n));
    if (n == NULL) {
        return cli_fail(cli, CLI_FAILED, "out of memory; free some");
    }
    n->cli = cli;
    n->dir = CLI_DEFAULT_DIR;
    n->timeout_s = TIMEOUT_S_DEFAULT;
    int status = parse(n, argc, argv);
    if (status < 0 && (optind == argc || strcmp(argv[optind], "replace") != 0)) {
        status = cli_fail(cli, CLI_USAGE,
                          "say \"twinstep nic replace NIC\"; \"twinstep nic --help\" tells more");
    } else if (status < 0 && optind + 1 == argc) {
        status = cli_fail(cli, CLI_USAGE, "which NIC? \"twinstep nic --help\" tells more");
    } else if (status < 0 && optind + 2 < argc) {
        status = cli_excess(cli, "nic", argv[optind + 2]);
    } else if (status < 0) {
        n->name = argv[optind + 1];
        status = replace(n);
    }
    free(n);
    return status;
}
