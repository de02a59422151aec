/* twinstep handoff: has a group's primary hand over to another NIC (R4.5). */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/gather.h"
#include "lab/clock.h"

#define TIMEOUT_S_DEFAULT 10
#define TIMEOUT_S_MAX 600
/* The wish is said again so often: the in-sync set may change just when it comes. */
#define AGAIN_MS 300
/* A look costs the nodes time that they need just then; a handoff takes a few milliseconds. */
#define LOOK_MS 20

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep handoff GROUP [NIC] [--dir RUN] [--timeout S] [--json]\n"
        "\n"
        "Has the primary of a group hand over to NIC, or to any other replica in sync. It answers\n"
        "what it has ordered first; what comes meanwhile is not executed there, and clients are "
        "told\n"
        "where the new primary is. Run it on the machine of the primary.\n"
        "\n"
        "  --dir RUN    where the nodes keep their data (default ./run)\n"
        "  --timeout S  how long to wait for the new primary, seconds (default 10, at most 600)\n"
        "  --json       for programs\n"
        "\n"
        "Exit status: 0 the new primary serves, 1 it did not come about, 2 wrong usage, 3 no node\n"
        "answers.\n",
        out);
}

struct handoff_args {
    const struct cli *cli;
    const char *dir;
    const char *group;
    const char *nic; /* NULL: any */
    unsigned timeout_s;
    bool as_json;
};

/* What the nodes say of one group. */
struct picture {
    json_t *merged;
    const json_t *group;
    const char *primary; /* NULL: none serves */
    int64_t epoch;
};

static int look(const struct handoff_args *a, const struct cfg_cluster *cluster, struct picture *p)
{
    json_t *request = json_pack("{s:s}", "cmd", "status");
    json_t *answers = cli_ask_all(a->dir, cluster, NULL, request, CLI_ASK_MS);
    size_t answered = cli_answered(answers);
    json_decref(request);
    p->merged = cli_merge(cluster, answers);
    json_decref(answers);
    p->group = NULL;
    size_t i;
    json_t *g;
    json_array_foreach(json_object_get(p->merged, "groups"), i, g)
    {
        p->group = strcmp(cli_string(g, "group", ""), a->group) == 0 ? g : p->group;
    }
    p->primary = cli_string(p->group, "primary", NULL);
    p->epoch = cli_number(p->group, "epoch");
    if (answered > 0 && p->group != NULL) {
        return CLI_OK;
    }
    json_decref(p->merged);
    return cli_fail(a->cli, CLI_UNREACHABLE, "no node of %s answers; twinstep status tells why",
                    a->dir);
}

static bool is_in_sync(const json_t *group, const char *nic, const char *primary)
{
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(group, "in_sync"), i, name)
    {
        const char *text = json_string_value(name);
        bool fits = nic == NULL ? strcmp(text, primary) != 0 : strcmp(text, nic) == 0;
        if (fits) {
            return true;
        }
    }
    return false;
}

/* Whether it can come about, as far as is known; tells why not. */
static int check(const struct handoff_args *a, const struct picture *p)
{
    if (p->primary == NULL) {
        return cli_fail(a->cli, CLI_FAILED,
                        "group %s has no primary that could hand over; twinstep status tells why",
                        a->group);
    }
    if (a->nic != NULL && strcmp(a->nic, p->primary) == 0) {
        return cli_fail(a->cli, CLI_FAILED, "%s is the primary of %s already: nothing to do",
                        a->nic, a->group);
    }
    if (!is_in_sync(p->group, a->nic, p->primary) && a->nic == NULL) {
        return cli_fail(a->cli, CLI_FAILED,
                        "no other replica of group %s is in sync with %s, so none can take over; "
                        "twinstep status tells what is missing; try again when one is",
                        a->group, p->primary);
    }
    if (!is_in_sync(p->group, a->nic, p->primary)) {
        return cli_fail(a->cli, CLI_FAILED,
                        "%s of group %s is not in sync with %s, so it cannot take over; twinstep "
                        "status tells what it lacks; try again when it is",
                        a->nic, a->group, p->primary);
    }
    return CLI_OK;
}

/* Says the wish to the primary's node; a refusal may be of a moment, so the last one is kept. */
static void wish(const struct handoff_args *a, const struct cfg_cluster *cluster,
                 const struct picture *p, char *last, size_t cap)
{
    json_t *request = json_pack("{s:s,s:s,s:I}", "cmd", "handoff", "group", a->group, "epoch",
                                (json_int_t)p->epoch);
    if (a->nic != NULL) {
        (void)json_object_set_new(request, "nic", json_string(a->nic));
    }
    json_t *answers = cli_ask_all(a->dir, cluster, p->primary, request, CLI_ASK_MS);
    const json_t *answer = json_array_get(answers, 0);
    (void)snprintf(last, cap, "%s",
                   answer == NULL ? "its node is not of this machine: run it there"
                                  : cli_string(answer, "error", ""));
    json_decref(answers);
    json_decref(request);
}

static void print_done(const struct handoff_args *a, const struct picture *before,
                       const struct picture *after, uint64_t ms)
{
    if (a->as_json) {
        json_t *o = json_pack("{s:s,s:s,s:s,s:I,s:I,s:I}", "group", a->group, "primary_before",
                              before->primary, "primary", after->primary, "epoch_before",
                              (json_int_t)before->epoch, "epoch", (json_int_t)after->epoch,
                              "took_ms", (json_int_t)ms);
        (void)json_dumpf(o, a->cli->out, JSON_INDENT(1));
        (void)fputc('\n', a->cli->out);
        json_decref(o);
        return;
    }
    /* The takeover is one epoch; that the former primary is in sync again may be a further one. */
    (void)fprintf(a->cli->out, "%s: %s handed over to %s; epoch %lld before, %lld now\n", a->group,
                  before->primary, after->primary, (long long)before->epoch,
                  (long long)after->epoch);
}

/* Until somebody else serves in a later epoch. */
static int await(const struct handoff_args *a, const struct cfg_cluster *cluster,
                 const struct picture *before)
{
    char last[TS_WHY_MAX] = "";
    uint64_t begun = lab_now_ns();
    uint64_t said = 0;
    for (;;) {
        uint64_t now = lab_now_ns();
        struct picture p;
        if (said == 0 || now - said >= AGAIN_MS * TS_NS_PER_MS) {
            wish(a, cluster, before, last, sizeof(last));
            said = now;
        }
        lab_pause_ms(LOOK_MS);
        int status = look(a, cluster, &p);
        if (status != CLI_OK) {
            return status;
        }
        bool other =
            p.primary != NULL && p.epoch > before->epoch && strcmp(p.primary, before->primary) != 0;
        bool back = p.primary != NULL && p.epoch > before->epoch && !other;
        uint64_t ms = (lab_now_ns() - begun) / TS_NS_PER_MS;
        if (other) {
            print_done(a, before, &p, ms);
        }
        json_decref(p.merged);
        if (other) {
            return CLI_OK;
        }
        if (back) {
            return cli_fail(a->cli, CLI_FAILED,
                            "nobody took over in time: %s serves on as primary of %s in a later "
                            "epoch; twinstep events tells what happened",
                            before->primary, a->group);
        }
        if (ms >= (uint64_t)a->timeout_s * 1000) {
            return cli_fail(a->cli, CLI_FAILED,
                            "%s has not handed over %s within %u s%s%s; twinstep status and events "
                            "tell what it waits for",
                            before->primary, a->group, a->timeout_s, last[0] == '\0' ? "" : ": ",
                            last);
        }
    }
}

static int hand_over(const struct handoff_args *a)
{
    struct cfg_cluster cluster;
    struct picture before;
    int status = cli_open_run(a->cli, a->dir, &cluster);
    if (status != CLI_OK) {
        return status;
    }
    const struct cfg_group *g = cfg_cluster_group_by_name(&cluster, a->group);
    if (g == NULL) {
        return cli_fail(a->cli, CLI_USAGE, "the cluster of %s has no group \"%s\"", a->dir,
                        a->group);
    }
    const struct cfg_node *nic = a->nic == NULL ? NULL : cfg_cluster_node_by_name(&cluster, a->nic);
    if (a->nic != NULL && (nic == NULL || !cfg_group_has(g, nic->id))) {
        return cli_fail(a->cli, CLI_USAGE, "group %s has no NIC \"%s\"; twinstep status lists them",
                        a->group, a->nic);
    }
    status = look(a, &cluster, &before);
    if (status != CLI_OK) {
        return status;
    }
    status = check(a, &before);
    status = status != CLI_OK ? status : await(a, &cluster, &before);
    json_decref(before.merged);
    return status;
}

int cli_handoff(const struct cli *cli, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, 'd'},
        {"timeout", required_argument, NULL, 't'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct handoff_args a = {.cli = cli, .dir = CLI_DEFAULT_DIR, .timeout_s = TIMEOUT_S_DEFAULT};
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        switch (c) {
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
            return cli_usage(cli, "handoff");
        }
    }
    if (optind == argc) {
        return cli_fail(cli, CLI_USAGE, "which group? \"twinstep handoff --help\" tells more");
    }
    a.group = argv[optind++];
    a.nic = optind < argc ? argv[optind++] : NULL;
    return optind < argc ? cli_excess(cli, "handoff", argv[optind]) : hand_over(&a);
}
