/* twinstep version: of this command and of the running nodes. */
#include "cli/cli.h"
#include "cli/gather.h"
#include "cluster-cfg/io/admin.h"

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep version [--dir RUN] [--json]\n"
        "\n"
        "Prints the version of this command, and of the nodes that run in RUN (default\n"
        "./run) and answer.\n"
        "\n"
        "Exit status: 0 done, also when there is no cluster and no node, 1 failed, 2 wrong\n"
        "usage.\n",
        out);
}

/* An empty array when nothing was ever started there: that is no error here. */
static json_t *ask(const char *dir)
{
    struct cfg_cluster cluster;
    struct ts_why why;
    if (cli_load_run(dir, &cluster, &why) != TS_OK) {
        return json_array();
    }
    json_t *request = json_pack("{s:s}", "cmd", "version");
    json_t *answers = cli_ask_all(dir, &cluster, NULL, request, CLI_ASK_MS);
    json_decref(request);
    return answers;
}

int cli_version(const struct cli *cli, int argc, char **argv)
{
    struct cli_question q;
    int status;
    if (!cli_question(cli, "version", print_help, argc, argv, &q, &status)) {
        return status;
    }
    json_t *answers = ask(q.dir);
    json_t *nodes = json_array();
    size_t i;
    json_t *answer;
    if (!q.as_json) {
        (void)fprintf(cli->out, "twinstep %s (admin protocol %d)\n", TS_VERSION, ADMIN_VERSION);
    }
    json_array_foreach(answers, i, answer)
    {
        const char *node = cli_string(answer, "node", "?");
        const char *release = cli_string(json_object_get(answer, "reply"), "release", NULL);
        if (!q.as_json) {
            (void)fprintf(cli->out, "  %-12s %s\n", node, release == NULL ? "-" : release);
        }
        (void)json_array_append_new(nodes,
                                    json_pack("{s:s,s:s?}", "node", node, "release", release));
    }
    if (q.as_json) {
        json_t *o = json_pack("{s:i,s:s,s:i,s:O}", "version", 1, "release", TS_VERSION,
                              "admin_protocol", ADMIN_VERSION, "nodes", nodes);
        (void)json_dumpf(o, cli->out, JSON_INDENT(1));
        (void)fputc('\n', cli->out);
        json_decref(o);
    }
    json_decref(nodes);
    json_decref(answers);
    return CLI_OK;
}
