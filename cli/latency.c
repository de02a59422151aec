/* twinstep status --latency. */
#include "cli/latency.h"

#include <string.h>

#include "cli/gather.h"

#define CELL_MAX 32
#define COLUMNS 8

/* Milliseconds, since that is what people compare with: three digits behind the point. */
static const char *ms_of(int64_t ns, char out[CELL_MAX])
{
    (void)snprintf(out, CELL_MAX, "%.3f", (double)ns / 1e6);
    return out;
}

static void add_stage(json_t *rows, const char *node, const json_t *stage)
{
    static const char *const KEYS[] = {"p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"};
    char count[CELL_MAX];
    char cell[sizeof(KEYS) / sizeof(KEYS[0])][CELL_MAX];
    (void)snprintf(count, sizeof(count), "%lld", (long long)cli_number(stage, "count"));
    for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++) {
        (void)ms_of(cli_number(stage, KEYS[i]), cell[i]);
    }
    cli_row(rows, COLUMNS,
            (const char *const[]){node, cli_string(stage, "stage", "?"), count, cell[0], cell[1],
                                  cell[2], cell[3], cell[4]});
}

/* The stages through which commands went; a secondary has none. Gives whether there was one. */
static bool add_stages(json_t *rows, const char *node, const json_t *group)
{
    size_t i;
    json_t *stage;
    bool any = false;
    json_array_foreach(json_object_get(group, "stages"), i, stage)
    {
        if (cli_number(stage, "count") > 0) {
            add_stage(rows, any ? "" : node, stage);
            any = true;
        }
    }
    return any;
}

static const json_t *group_of(const json_t *answer, const char *name)
{
    size_t i;
    json_t *group;
    json_array_foreach(json_object_get(json_object_get(answer, "reply"), "groups"), i, group)
    {
        if (strcmp(cli_string(group, "group", ""), name) == 0) {
            return group;
        }
    }
    return NULL;
}

static void print_group(const struct cli *cli, const json_t *answers, const char *name)
{
    json_t *rows = json_array();
    size_t i;
    json_t *answer;
    cli_row(rows, COLUMNS,
            (const char *const[]){"replica", "stage", "commands", "p50 ms", "p90 ms", "p99 ms",
                                  "p99.9 ms", "longest"});
    (void)fprintf(cli->out, "%sgroup %s%s\n", cli_style(cli, CLI_BOLD), name,
                  cli_style(cli, CLI_PLAIN));
    json_array_foreach(answers, i, answer)
    {
        const json_t *group = group_of(answer, name);
        const char *node = cli_string(answer, "node", "?");
        if (group != NULL && !add_stages(rows, node, group)) {
            (void)fprintf(cli->out, "  %s has answered no command since it started\n", node);
        }
    }
    if (json_array_size(rows) > 1) {
        cli_table(cli, rows, 2);
    }
    json_decref(rows);
}

void cli_latency_print(const struct cli *cli, const json_t *answers)
{
    json_t *seen = json_object();
    size_t i;
    size_t g;
    json_t *answer;
    json_t *group;
    json_array_foreach(answers, i, answer)
    {
        json_array_foreach(json_object_get(json_object_get(answer, "reply"), "groups"), g, group)
        {
            const char *name = cli_string(group, "group", "?");
            if (json_object_get(seen, name) == NULL) {
                (void)json_object_set_new(seen, name, json_true());
                print_group(cli, answers, name);
            }
        }
        if (json_object_get(answer, "reply") == NULL) {
            (void)fprintf(cli->out, "%s: %s\n", cli_string(answer, "node", "?"),
                          cli_string(answer, "error", "?"));
        }
    }
    json_decref(seen);
}

static void print_json(const struct cli *cli, const json_t *answers)
{
    json_t *nodes = json_array();
    size_t i;
    json_t *answer;
    json_array_foreach(answers, i, answer)
    {
        json_t *reply = json_object_get(answer, "reply");
        json_t *node = json_pack("{s:s}", "node", cli_string(answer, "node", "?"));
        const char *key = reply == NULL ? "error" : "groups";
        (void)json_object_set(node, key, json_object_get(reply == NULL ? answer : reply, key));
        (void)json_array_append_new(nodes, node);
    }
    json_t *o = json_pack("{s:i,s:o}", "version", 1, "nodes", nodes);
    (void)json_dumpf(o, cli->out, JSON_INDENT(1));
    (void)fputc('\n', cli->out);
    json_decref(o);
}

int cli_latency(const struct cli *cli, const char *run, bool as_json)
{
    struct cfg_cluster cluster;
    int status = cli_open_run(cli, run, &cluster);
    if (status != CLI_OK) {
        return status;
    }
    json_t *request = json_pack("{s:s}", "cmd", "latency");
    json_t *answers = cli_ask_all(run, &cluster, NULL, request, CLI_ASK_MS);
    if (as_json) {
        print_json(cli, answers);
    } else {
        cli_latency_print(cli, answers);
    }
    if (cli_answered(answers) == 0) {
        status = cli_fail(cli, CLI_UNREACHABLE,
                          "no node of %s answers; start them with twinstep up --dir %s", run, run);
    }
    json_decref(answers);
    json_decref(request);
    return status;
}
