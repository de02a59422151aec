/* twinstep backup. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/backup.h"
#include "cli/gather.h"
#include "lab/clock.h"
#include "replicator/io/backup_file.h"

#define TIMEOUT_S_DEFAULT 120
#define TIMEOUT_S_MAX 86400
#define LOOK_MS 50
#define AGAIN_MS 500

struct backup_args {
    const struct cli *cli;
    const char *dir;
    const char *group;
    const char *file;
    const char *nic; /* NULL: the command chooses */
    unsigned timeout_s;
    bool as_json;
};

static void print_help(FILE *out)
{
    (void)fprintf(
        out,
        "usage: twinstep backup GROUP FILE [--nic NIC] [--dir RUN] [--timeout S] [--json]\n"
        "\n"
        "Writes the state of a running group to FILE, which must not exist: a snapshot with all\n"
        "that was committed when the command began, as far as the nodes of this machine know. The\n"
        "service goes on meanwhile. FILE is read again and checked before it gets its name.\n"
        "twinstep restore forms a new cluster with it.\n"
        "\n"
        "  --nic NIC    take it from this NIC's replica, of this machine (default: a secondary in\n"
        "               sync, if there is one here, else the primary; needed while no primary\n"
        "               serves or replicas differ: what is acknowledged may be missing then)\n"
        "  --dir RUN    where the nodes keep their data (default ./run)\n"
        "  --timeout S  give up after so many seconds (default %d)\n"
        "  --json       what was done for programs\n"
        "\n"
        "Exit status: 0 done, 1 failed (no FILE is left), 2 wrong usage, 3 no node answers.\n",
        TIMEOUT_S_DEFAULT);
}

/* ---- from whom ----------------------------------------------------------------------------------
 */

static bool is_in_sync(const json_t *group, const char *node)
{
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(group, "in_sync"), i, name)
    {
        if (strcmp(json_string_value(name), node) == 0) {
            return true;
        }
    }
    return false;
}

/* The one that was named; else who is in sync and does not serve; else the primary. Others may lack
 * what was acknowledged, or have what is not the group's state. */
static int rank(const char *nic, const json_t *replica, const json_t *group)
{
    const char *role = cli_string(replica, "role", "");
    const char *node = cli_string(replica, "node", "?");
    if (strcmp(role, "down") == 0 || strcmp(role, "silent") == 0) {
        return 0;
    }
    if (nic != NULL) {
        return strcmp(node, nic) == 0 ? 1 : 0;
    }
    if (strcmp(role, "secondary") == 0 && is_in_sync(group, node)) {
        return 2;
    }
    return strcmp(role, "primary") == 0 ? 1 : 0;
}

/* Why no replica of the group may be believed unasked; NULL: they may. */
static const char *doubt(const json_t *merged, const json_t *group)
{
    size_t i;
    json_t *alarm;
    json_array_foreach(json_object_get(merged, "alarms"), i, alarm)
    {
        if (strcmp(cli_string(alarm, "code", ""), "divergence") == 0 &&
            strcmp(cli_string(alarm, "group", ""), cli_string(group, "group", "?")) == 0) {
            return "results differ between its replicas, and the state of either may be wrong";
        }
    }
    return cli_string(group, "primary", NULL) != NULL
               ? NULL
               : "no primary of it serves, and what a replica has may lack acknowledged entries";
}

static const json_t *find_group(const json_t *merged, const char *name)
{
    size_t i;
    json_t *group;
    json_array_foreach(json_object_get(merged, "groups"), i, group)
    {
        if (strcmp(cli_string(group, "group", ""), name) == 0) {
            return group;
        }
    }
    return NULL;
}

/* What the one that was named has, when the group is in doubt; else what any of them knows of. */
static uint64_t needed(const json_t *group, const char *nic, bool doubted)
{
    size_t i;
    json_t *replica;
    uint64_t most = 0;
    json_array_foreach(json_object_get(group, "replicas"), i, replica)
    {
        uint64_t committed =
            (uint64_t)cli_number(replica, doubted && nic != NULL ? "applied" : "committed");
        bool counts = !doubted || nic == NULL || strcmp(cli_string(replica, "node", ""), nic) == 0;
        most = counts && committed > most ? committed : most;
    }
    return most;
}

int backup_choose(const struct cli *cli, const json_t *merged, const char *group, const char *nic,
                  struct backup_source *out)
{
    size_t i;
    json_t *replica;
    int best = 0;
    const json_t *g = find_group(merged, group);
    const char *why = doubt(merged, g);
    *out = (struct backup_source){.committed = needed(g, nic, why != NULL)};
    if (why != NULL && nic == NULL) {
        return cli_fail(cli, CLI_FAILED,
                        "no backup of %s now: %s; twinstep status tells more. To take what one has "
                        "nevertheless, name it with --nic",
                        group, why);
    }
    json_array_foreach(json_object_get(g, "replicas"), i, replica)
    {
        int own = rank(nic, replica, g);
        if (own > best) {
            best = own;
            (void)snprintf(out->nic, sizeof(out->nic), "%.31s", cli_string(replica, "node", "?"));
        }
    }
    if (best == 0) {
        return cli_fail(cli, CLI_FAILED,
                        "no replica of %s%s%s that %s runs on this machine; twinstep status tells "
                        "which do",
                        group, nic == NULL ? "" : " on ", nic == NULL ? "" : nic,
                        nic == NULL ? "is in sync" : "answers");
    }
    if (out->committed == 0) {
        return cli_fail(cli, CLI_FAILED,
                        "%s has committed nothing yet: there is nothing to back up", group);
    }
    if (why != NULL) {
        (void)fprintf(cli->err, "twinstep: warning: %s: %s; the backup is what %s has\n", group,
                      why, out->nic);
    }
    return CLI_OK;
}

/* ---- taking it ----------------------------------------------------------------------------------
 */

static void ask_for_snapshot(const struct backup_args *a, const struct cfg_cluster *cluster,
                             const struct backup_source *from, char *last, size_t cap)
{
    json_t *request = json_pack("{s:s,s:s,s:I}", "cmd", "snapshot", "group", a->group, "seq",
                                (json_int_t)from->committed);
    json_t *answers = cli_ask_all(a->dir, cluster, from->nic, request, CLI_ASK_MS);
    (void)snprintf(last, cap, "%s", cli_string(json_array_get(answers, 0), "error", ""));
    json_decref(answers);
    json_decref(request);
}

/* Writes FILE as soon as there is a snapshot that has enough. */
static int take(const struct backup_args *a, const struct cfg_cluster *cluster,
                const struct backup_source *from, const struct backup_about *about,
                const char *folder, struct snapshot_info *info)
{
    char last[TS_WHY_MAX] = "";
    uint64_t begun = lab_now_ns();
    uint64_t said = 0;
    for (;;) {
        struct ts_why why = {0};
        struct ts_seq newest = {0};
        enum ts_err err = backup_newest(folder, &newest, &why);
        if (err == TS_OK && newest.v >= from->committed) {
            err = backup_write(a->file, about, folder, newest, info, &why);
            if (err == TS_OK) {
                return CLI_OK;
            }
            if (err != TS_ERR_GONE) { /* else there is a newer one */
                return cli_fail(a->cli, CLI_FAILED, "%s", why.text);
            }
        } else if (err != TS_OK) {
            return cli_fail(a->cli, CLI_FAILED, "%s", why.text);
        }
        uint64_t now = lab_now_ns();
        if (said == 0 || now - said >= AGAIN_MS * TS_NS_PER_MS) {
            ask_for_snapshot(a, cluster, from, last, sizeof(last));
            said = now;
        }
        if (now - begun >= a->timeout_s * TS_NS_PER_S) {
            return cli_fail(a->cli, CLI_FAILED,
                            "%s has taken no snapshot with entry %llu within %u s%s%s; its log in "
                            "%s/%s/log tells why (a full disk, say)",
                            from->nic, (unsigned long long)from->committed, a->timeout_s,
                            last[0] == '\0' ? "" : ": ", last, a->dir, from->nic);
        }
        lab_pause_ms(LOOK_MS);
    }
}

static void print_done(const struct backup_args *a, const struct backup_about *about,
                       const struct snapshot_info *info)
{
    unsigned long long seq = (unsigned long long)info->header.mark.pos.seq.v;
    unsigned long long bytes = (unsigned long long)info->trailer.bytes;
    if (!a->as_json) {
        (void)fprintf(a->cli->out,
                      "%s: the state of %s after entry %llu, epoch %llu, taken on %s: %llu bytes "
                      "(%llu in the file)\n",
                      a->file, about->group, seq, (unsigned long long)info->header.mark.epoch.v,
                      about->node, bytes, (unsigned long long)info->file_bytes);
        return;
    }
    json_t *o =
        json_pack("{s:i,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I}", "version", 1, "file", a->file, "cluster",
                  about->cluster, "group", about->group, "node", about->node, "seq",
                  (json_int_t)seq, "epoch", (json_int_t)info->header.mark.epoch.v, "state_bytes",
                  (json_int_t)bytes, "file_bytes", (json_int_t)info->file_bytes);
    (void)json_dumpf(o, a->cli->out, JSON_INDENT(1));
    (void)fputc('\n', a->cli->out);
    json_decref(o);
}

static int back_up(const struct backup_args *a)
{
    struct cfg_cluster cluster;
    struct backup_source from;
    struct snapshot_info info;
    char folder[TS_PATH_MAX];
    struct ts_why why = {0};
    struct timespec t;
    int status = cli_open_run(a->cli, a->dir, &cluster);
    if (status != CLI_OK) {
        return status;
    }
    const struct cfg_group *g = cfg_cluster_group_by_name(&cluster, a->group);
    const struct cfg_node *nic = a->nic == NULL ? NULL : cfg_cluster_node_by_name(&cluster, a->nic);
    if (g == NULL || (a->nic != NULL && (nic == NULL || !cfg_group_has(g, nic->id)))) {
        return cli_fail(a->cli, CLI_USAGE, "the cluster of %s has no group \"%s\"%s%s", a->dir,
                        a->group, a->nic == NULL ? "" : " on ", a->nic == NULL ? "" : a->nic);
    }
    json_t *request = json_pack("{s:s}", "cmd", "status");
    json_t *answers = cli_ask_all(a->dir, &cluster, NULL, request, CLI_ASK_MS);
    json_t *merged = cli_merge(&cluster, answers);
    status = cli_answered(answers) > 0
                 ? backup_choose(a->cli, merged, a->group, a->nic, &from)
                 : cli_fail(a->cli, CLI_UNREACHABLE,
                            "no node of %s answers; a backup is of a running group", a->dir);
    json_decref(merged);
    json_decref(answers);
    json_decref(request);
    if (status != CLI_OK) {
        return status;
    }
    if (ts_path(folder, &why, a->dir, "%s/groups/%s", from.nic, a->group) != TS_OK) {
        return cli_fail(a->cli, CLI_FAILED, "%s", why.text);
    }
    struct backup_about about = {.taken_us = 0};
    (void)clock_gettime(CLOCK_REALTIME, &t);
    about.taken_us = (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
    (void)snprintf(about.cluster, sizeof(about.cluster), "%s", cluster.name);
    (void)snprintf(about.group, sizeof(about.group), "%s", g->name);
    (void)snprintf(about.service, sizeof(about.service), "%s", g->service);
    (void)snprintf(about.node, sizeof(about.node), "%s", from.nic);
    status = take(a, &cluster, &from, &about, folder, &info);
    if (status == CLI_OK) {
        print_done(a, &about, &info);
    }
    return status;
}

int cli_backup(const struct cli *cli, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"nic", required_argument, NULL, 'n'},     {"dir", required_argument, NULL, 'd'},
        {"timeout", required_argument, NULL, 't'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    struct backup_args a = {.cli = cli, .dir = CLI_DEFAULT_DIR, .timeout_s = TIMEOUT_S_DEFAULT};
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        switch (c) {
        case 'n':
            a.nic = optarg;
            break;
        case 'd':
            a.dir = optarg;
            break;
        case 't':
            if (cli_seconds(cli, "--timeout", optarg, 1, TIMEOUT_S_MAX, &a.timeout_s) != CLI_OK) {
                return CLI_USAGE;
            }
            break;
        case 'j':
            a.as_json = true;
            break;
        case 'h':
            print_help(cli->out);
            return CLI_OK;
        default:
            return cli_usage(cli, "backup");
        }
    }
    if (argc - optind < 2 || argv[optind + 1][0] == '\0') {
        return cli_fail(cli, CLI_USAGE,
                        "which group, and to which file? \"twinstep backup --help\" tells more");
    }
    a.group = argv[optind];
    a.file = argv[optind + 1];
    return optind + 2 < argc ? cli_excess(cli, "backup", argv[optind + 2]) : back_up(&a);
}
