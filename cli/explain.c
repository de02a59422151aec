/* twinstep explain. */
#include "cli/explain.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>

#include "cli/gather.h"
#include "cluster-cfg/io/admin.h"
#include "cluster-cfg/report.h"

#define LAST_DEFAULT 1
#define LAST_MAX 1000
#define MS_MAX 32

static void print_help(FILE *out)
{
    (void)fputs("usage: twinstep explain [GROUP] [--dir RUN] [--last N] [--json]\n"
                "\n"
                "Tells the latest failovers from the nodes' recorded events: the evidence, each\n"
                "phase of the takeover in milliseconds, and why.\n"
                "\n"
                "  --dir RUN  where the nodes keep their data (default ./run)\n"
                "  --last N   how many (default 1, at most 1000)\n"
                "  --json     for programs\n"
                "\n"
                "Exit status: 0 done, 1 failed, 2 wrong usage, 3 no node answers.\n",
                out);
}

/* Nanoseconds as milliseconds with three decimals. */
static const char *ms(uint64_t ns, char out[MS_MAX])
{
    uint64_t us = ns / TS_NS_PER_US;
    (void)snprintf(out, MS_MAX, "%" PRIu64 ".%03" PRIu64 " ms", us / 1000, us % 1000);
    return out;
}

static void print_exit(const struct cli *cli, const char *node, const struct cli_failover *f)
{
    char time[CLI_TIME_MAX];
    if (f->exit_seen) {
        (void)fprintf(cli->out, "  %s's own record: its replica ended by %s %d at %s\n", node,
                      f->exit_status < 0 ? "signal" : "exit status",
                      f->exit_status < 0 ? -f->exit_status : f->exit_status,
                      cli_time((int64_t)f->exit_wall_us, time));
    }
}

static void print_phases(const struct cli *cli, const struct cli_failover *f)
{
    json_t *rows = json_array();
    uint64_t sum = 0;
    cli_row(rows, 3, (const char *const[]){"phase", "took", "since the start"});
    for (unsigned p = 0; p < CLI_PHASES; p++) {
        char took[MS_MAX];
        char since[MS_MAX];
        if (!f->phase_seen[p]) {
            continue;
        }
        sum += f->phase_ns[p];
        cli_row(rows, 3,
                (const char *const[]){cli_phase_text((enum cli_phase)p), ms(f->phase_ns[p], took),
                                      ms(sum, since)});
    }
    cli_table(cli, rows, 2);
    json_decref(rows);
}

void cli_explain_print(const struct cli *cli, const struct cfg_cluster *cluster,
                       const struct cli_failover *f)
{
    char time[CLI_TIME_MAX];
    char took[MS_MAX];
    const char *group = cluster->groups[f->group].name;
    const char *after = cluster->nodes[f->node].name;
    bool known = f->primary_before.v != 0;
    const char *before = known ? admin_node_name(cluster, f->primary_before) : "unknown";
    bool same = known && ts_nic_eq(f->primary_before, cluster->nodes[f->node].id);
    /* Formation writes the first value: epoch 1 never had a process. */
    bool formed = same && f->epoch_before.v == 1;
    (void)fprintf(cli->out, "%s%s: %s %s%s%s at %s, epoch %" PRIu64 " to %" PRIu64 "\n",
                  cli_style(cli, CLI_BOLD), group, after,
                  formed ? "began as the first primary" : "took over from ",
                  formed ? ""
                  : same ? "its own earlier process"
                         : before,
                  cli_style(cli, CLI_PLAIN), cli_time((int64_t)f->begin_wall_us, time),
                  f->epoch_before.v, f->epoch_after.v);
    if (f->has_evidence) {
        (void)fprintf(cli->out, "  why: %s: %s\n", admin_node_name(cluster, f->accused),
                      report_evidence_text(f->evidence));
    } else if (formed) {
        (void)fprintf(cli->out, "  why: the cluster was formed with it as primary\n");
    } else if (same) {
        (void)fprintf(cli->out, "  why: a process never acts in an epoch decided before it "
                                "started: a started primary takes over from itself\n");
    } else {
        (void)fprintf(cli->out, "  why: no evidence was recorded by this process\n");
    }
    print_exit(cli, before, f);
    print_phases(cli, f);
    (void)fprintf(cli->out,
                  "  in all %s; %" PRIu64 " %s of the tail committed; %u register "
                  "round%s\n",
                  ms(f->total_ns, took), f->entries, f->entries == 1 ? "entry" : "entries",
                  f->rounds, f->rounds == 1 ? "" : "s");
    if (f->restored) {
        (void)fprintf(cli->out, "  all replicas in sync again %s after the first answer\n",
                      ms(f->restored_ns, took));
    } else if (cluster->groups[f->group].nic_count > 1) {
        (void)fprintf(cli->out, "  not all replicas were in sync again under this primary\n");
    }
}

json_t *cli_explain_json(const struct cfg_cluster *cluster, const struct cli_failover *f)
{
    json_t *phases = json_object();
    for (unsigned p = 0; p < CLI_PHASES; p++) {
        const char *key = cli_phase_key((enum cli_phase)p);
        (void)json_object_set_new(
            phases, key, f->phase_seen[p] ? json_integer((json_int_t)f->phase_ns[p]) : json_null());
    }
    bool known = f->primary_before.v != 0;
    json_t *o = json_pack(
        "{s:s,s:s,s:s?,s:I,s:I,s:I,s:I,s:I,s:I,s:i,s:o}", "group", cluster->groups[f->group].name,
        "primary_after", cluster->nodes[f->node].name, "primary_before",
        known ? admin_node_name(cluster, f->primary_before) : NULL, "epoch_before",
        (json_int_t)f->epoch_before.v, "epoch_after", (json_int_t)f->epoch_after.v, "begin_wall_us",
        (json_int_t)f->begin_wall_us, "end_wall_us", (json_int_t)f->end_wall_us, "total_ns",
        (json_int_t)f->total_ns, "tail_entries", (json_int_t)f->entries, "register_rounds",
        (int)f->rounds, "phases_ns", phases);
    (void)json_object_set_new(o, "evidence",
                              f->has_evidence ? json_string(report_evidence_text(f->evidence))
                                              : json_null());
    (void)json_object_set_new(o, "accused",
                              f->has_evidence ? json_string(admin_node_name(cluster, f->accused))
                                              : json_null());
    (void)json_object_set_new(o, "restored_ns",
                              f->restored ? json_integer((json_int_t)f->restored_ns) : json_null());
    (void)json_object_set_new(o, "exit_status",
                              f->exit_seen ? json_integer(f->exit_status) : json_null());
    (void)json_object_set_new(
        o, "exit_wall_us", f->exit_seen ? json_integer((json_int_t)f->exit_wall_us) : json_null());
    return o;
}

struct explain_args {
    const struct cli *cli;
    const char *dir;
    const char *group;
    size_t last;
    bool as_json;
};

static void print_all(const struct explain_args *a, const struct cfg_cluster *cluster,
                      const struct cli_failover *list, size_t count)
{
    json_t *array = json_array();
    if (!a->as_json && count == 0) {
        (void)fputs("no failover is recorded\n", a->cli->out);
    }
    for (size_t i = 0; i < count; i++) {
        if (a->as_json) {
            (void)json_array_append_new(array, cli_explain_json(cluster, &list[i]));
        } else {
            (void)fputs(i == 0 ? "" : "\n", a->cli->out);
            cli_explain_print(a->cli, cluster, &list[i]);
        }
    }
    if (a->as_json) {
        (void)json_dumpf(array, a->cli->out, JSON_INDENT(1));
        (void)fputc('\n', a->cli->out);
    }
    json_decref(array);
}

static int show(const struct explain_args *a)
{
    struct cfg_cluster cluster;
    struct cli_history h;
    size_t group = SIZE_MAX;
    int status = cli_open_run(a->cli, a->dir, &cluster);
    if (status != CLI_OK) {
        return status;
    }
    if (a->group != NULL) {
        const struct cfg_group *g = cfg_cluster_group_by_name(&cluster, a->group);
        if (g == NULL) {
            return cli_fail(a->cli, CLI_USAGE, "the cluster of %s has no group \"%s\"", a->dir,
                            a->group);
        }
        group = (size_t)(g - cluster.groups);
    }
    struct cli_failover *list = calloc(a->last, sizeof(*list));
    if (list == NULL || cli_history_read(a->dir, &cluster, 0, &h) != TS_OK) {
        free(list);
        return cli_fail(a->cli, CLI_FAILED, "out of memory; free some");
    }
    if (h.nodes_answered == 0) {
        status =
            cli_fail(a->cli, CLI_UNREACHABLE, "no node of %s answers: %s", a->dir, h.unreachable);
    } else {
        print_all(a, &cluster, list, cli_failovers(&cluster, &h, group, list, a->last));
        if (h.unreachable[0] != '\0') {
            (void)cli_fail(a->cli, CLI_OK,
                           "a node does not answer, and what it recorded is missing above: %s",
                           h.unreachable);
        }
    }
    cli_history_free(&h);
    free(list);
    return status;
}

int cli_explain(const struct cli *cli, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, 'd'},
        {"last", required_argument, NULL, 'l'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct explain_args a = {.cli = cli, .dir = CLI_DEFAULT_DIR, .last = LAST_DEFAULT};
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        char *end = NULL;
        switch (c) {
        case 'd':
            a.dir = optarg;
            break;
        case 'l':
            a.last = strtoul(optarg, &end, 10);
            if (*optarg < '0' || *optarg > '9' || *end != '\0' || a.last < 1 || a.last > LAST_MAX) {
                return cli_fail(cli, CLI_USAGE, "--last %s: give 1 to %d", optarg, LAST_MAX);
            }
            break;
        case 'j':
            a.as_json = true;
            break;
        case 'h':
            print_help(cli->out);
            return CLI_OK;
        default:
            return cli_usage(cli, "explain");
        }
    }
    if (optind < argc) {
        a.group = argv[optind++];
    }
    return optind == argc ? show(&a) : cli_excess(cli, "explain", argv[optind]);
}
