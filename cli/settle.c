#include "cli/settle.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#include "cli/gather.h"

#define POLL_MS 50
/* How long alarms of the start, like a path not heard yet, may last when all is in sync. */
#define CALM_MS 10000
#define WHAT_MAX 200

/* Names each process that does not stay up, with its own last words. */
static void explain_failure(const struct cli_settle *s, const json_t *merged)
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
            cli_last_line(s->run->run, name, program, line);
            (void)fprintf(s->cli->err, "  %s of %s does not stay up: %s\n", program, name,
                          line[0] == '\0' ? "see its log" : line);
        }
        if (!cli_bool(node, "reachable")) {
            char line[CLI_LINE_MAX];
            cli_last_line(s->run->run, name, "cluster-cfgd", line);
            (void)fprintf(s->cli->err, "  cluster-cfgd of %s does not answer: %s\n", name,
                          line[0] == '\0' ? "see its log" : line);
        }
    }
}

static bool is_interrupted(const struct cli_settle *s)
{
    return s->interrupted != NULL && *s->interrupted != 0;
}

/* Only chosen nodes count: others run on other machines, or are meant to stay down. */
static json_t *ask_chosen(const struct cli_settle *s)
{
    json_t *all = json_array();
    for (size_t i = 0; i < s->cluster->node_count && !is_interrupted(s); i++) {
        if (s->chosen[i]) {
            json_t *request = json_pack("{s:s}", "cmd", "status");
            json_t *one = cli_ask_all(s->run->run, s->cluster, s->cluster->nodes[i].name, request,
                                      CLI_ASK_MS);
            (void)json_array_extend(all, one);
            json_decref(one);
            json_decref(request);
        }
    }
    json_t *merged = cli_merge(s->cluster, all);
    json_decref(all);
    return merged;
}

static bool chosen_run(const struct cli_settle *s, const char **dead)
{
    for (size_t i = 0; i < s->cluster->node_count; i++) {
        if (s->chosen[i] && !nodes_is_running(s->run, s->cluster->nodes[i].name, NULL)) {
            *dead = s->cluster->nodes[i].name;
            return false;
        }
    }
    return true;
}

static void print_endpoints(const struct cli_settle *s, const json_t *merged)
{
    size_t i;
    json_t *group;
    json_array_foreach(json_object_get(merged, "groups"), i, group)
    {
        const char *name = cli_string(group, "group", "?");
        const json_t *recorded = json_object_get(group, "recorded");
        const char *primary = cli_string(group, "primary", NULL);
        char names[WHAT_MAX];
        if (primary == NULL) { /* no replica of it here */
            (void)fprintf(s->cli->out, "%s: primary %s, epoch %lld, as the voter of %s recorded\n",
                          name, cli_string(recorded, "primary", "?"),
                          (long long)cli_number(recorded, "epoch"),
                          cli_string(recorded, "by", "?"));
            continue;
        }
        const struct cfg_group *g = cfg_cluster_group_by_name(s->cluster, name);
        const struct cfg_node *node = cfg_cluster_node_by_name(s->cluster, primary);
        (void)fprintf(s->cli->out, "%s%s%s: primary %s, in sync %s", cli_style(s->cli, CLI_GOOD),
                      name, cli_style(s->cli, CLI_PLAIN), primary,
                      cli_names(json_object_get(group, "in_sync"), names, sizeof(names)));
        for (unsigned p = 0; g != NULL && node != NULL && p < node->path_count; p++) {
            (void)fprintf(s->cli->out, "%s %s:%u", p == 0 ? ", clients:" : "", node->paths[p],
                          g->client_port);
        }
        (void)fputc('\n', s->cli->out);
    }
}

static size_t tell_alarms(const struct cli_settle *s, const json_t *merged)
{
    const json_t *alarms = json_object_get(merged, "alarms");
    size_t i;
    json_t *alarm;
    json_array_foreach(alarms, i, alarm)
    {
        char names[WHAT_MAX];
        (void)fprintf(s->cli->err, "  alarm %s, seen by %s: %s\n", cli_string(alarm, "code", "?"),
                      cli_names(json_object_get(alarm, "nodes"), names, sizeof(names)),
                      cli_string(alarm, "text", "?"));
    }
    return json_array_size(alarms);
}

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000U + (uint64_t)t.tv_nsec / 1000000U;
}

/* Whether a node's nicd ended as it was asked to. */
static bool was_ended(const struct cli_settle *s, const char *node)
{
    char line[CLI_LINE_MAX];
    return strstr(cli_last_line(s->run->run, node, "nicd", line), NODES_ENDED) != NULL;
}

static int give_up(const struct cli_settle *s, const json_t *merged, const char *what,
                   const char *dead)
{
    if (dead != NULL && was_ended(s, dead)) {
        return cli_fail(s->cli, CLI_FAILED,
                        "%s was ended while this command waited for it: by twinstep down, or by a "
                        "signal to its nicd",
                        dead);
    }
    if (dead == NULL) {
        (void)cli_fail(s->cli, CLI_FAILED, "after %u s: %s; %s", s->timeout_s, what, s->advice);
    } else {
        (void)cli_fail(s->cli, CLI_FAILED, "nicd of %s ended; its log is %s/%s/log/nicd.log", dead,
                       s->run->run, dead);
    }
    explain_failure(s, merged);
    (void)tell_alarms(s, merged);
    return CLI_FAILED;
}

/* All in sync; alarms of the start have had their time to end. What is left is told. Nodes of other
 * machines may be started later: with --nic an alarm is no failure. */
static int finish(const struct cli_settle *s, const json_t *merged)
{
    print_endpoints(s, merged);
    return tell_alarms(s, merged) == 0 || s->some ? CLI_OK : CLI_FAILED;
}

int cli_settle(const struct cli_settle *s)
{
    char said[WHAT_MAX] = "";
    uint64_t end = now_ms() + s->timeout_s * 1000U;
    uint64_t calm = 0; /* when alarms count, once all is in sync */
    int status = -1;
    while (status < 0) {
        char what[WHAT_MAX] = "";
        const char *dead = NULL;
        json_t *merged = ask_chosen(s);
        bool settled = cli_is_settled(merged, what, sizeof(what));
        bool quiet = json_array_size(json_object_get(merged, "alarms")) == 0;
        bool run = chosen_run(s, &dead);
        bool late = now_ms() >= end;
        if (settled) {
            (void)snprintf(what, sizeof(what), "all in sync; alarms of the start must end yet");
        }
        calm = settled && calm == 0 ? now_ms() + CALM_MS : calm;
        if (is_interrupted(s)) {
            status = CLI_INTERRUPTED;
        } else if (settled && (quiet || late || now_ms() >= calm)) {
            status = finish(s, merged);
        } else if (!settled && (late || !run)) {
            status = give_up(s, merged, what, dead);
        } else if (strcmp(what, said) != 0) {
            (void)fprintf(s->cli->out, "  … %s%s\n", what,
                          !settled && s->some && said[0] == '\0'
                              ? "; the nodes of other machines are waited for"
                              : "");
            (void)fflush(s->cli->out);
            (void)snprintf(said, sizeof(said), "%s", what);
        }
        json_decref(merged);
        if (status < 0) {
            (void)poll(NULL, 0, POLL_MS);
        }
    }
    return status;
}
