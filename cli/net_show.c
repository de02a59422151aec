/* twinstep net list, show, delete. */
#include <stdio.h>
#include <string.h>

#include "cli/net.h"

#define SEGMENTS "/infra/segments"
#define PATH_ROOM 2048

static int check_path(const struct cli_net *n, const char *path)
{
    return strncmp(path, "/infra", 6) == 0
               ? CLI_OK
               : cli_fail(n->cli, CLI_USAGE,
                          "%.200s is no path; one begins with /infra, as %s/web does", path,
                          SEGMENTS);
}

static void print_json(const struct cli_net *n, const json_t *object)
{
    (void)json_dumpf(object, n->cli->out, JSON_INDENT(2) | JSON_SORT_KEYS);
    (void)fputc('\n', n->cli->out);
}

static void add_rows(json_t *rows, const json_t *page)
{
    size_t i;
    const json_t *object;
    json_array_foreach(json_object_get(page, "results"), i, object)
    {
        char revision[24];
        (void)snprintf(revision, sizeof(revision), "%lld",
                       (long long)cli_number(object, "_revision"));
        const char *cells[] = {cli_string(object, "id", "?"),
                               cli_string(object, "display_name", ""), revision,
                               cli_string(object, "path", "?")};
        cli_row(rows, 4, cells);
    }
}

int cli_net_list(struct cli_net *n, const char *operand)
{
    const char *collection = operand == NULL ? SEGMENTS : operand;
    const char *heading[] = {"id", "name", "revision", "path"};
    json_t *rows = json_array();
    json_t *all = json_array();
    json_t *page = NULL;
    char cursor[512] = "";
    int status = check_path(n, collection);
    cli_row(rows, 4, heading);
    do {
        char path[PATH_ROOM];
        (void)snprintf(path, sizeof(path), "%.1000s?page_size=1000&cursor=%s", collection, cursor);
        status = status != CLI_OK ? status : cli_net_ask(n, "GET", path, NULL, false, &page);
        add_rows(rows, page);
        (void)json_array_extend(all, json_object_get(page, "results"));
        (void)snprintf(cursor, sizeof(cursor), "%s", cli_string(page, "cursor", ""));
        json_decref(page);
        page = NULL;
    } while (status == CLI_OK && cursor[0] != '\0');
    if (status == CLI_OK && n->as_json) {
        print_json(n, all);
    } else if (status == CLI_OK && json_array_size(rows) == 1) {
        (void)fprintf(n->cli->out, "%s is empty\n", collection);
    } else if (status == CLI_OK) {
        cli_table(n->cli, rows, 0);
    }
    json_decref(rows);
    json_decref(all);
    return status;
}

int cli_net_show(struct cli_net *n, const char *operand)
{
    json_t *object = NULL;
    int status = check_path(n, operand);
    status = status != CLI_OK ? status : cli_net_ask(n, "GET", operand, NULL, false, &object);
    if (status == CLI_OK) {
        print_json(n, object);
    }
    json_decref(object);
    return status;
}

int cli_net_delete(struct cli_net *n, const char *operand)
{
    json_t *object = NULL;
    int status = check_path(n, operand);
    status = status != CLI_OK ? status : cli_net_ask(n, "GET", operand, NULL, false, &object);
    json_decref(object);
    object = NULL;
    if (status == CLI_OK && !n->dry_run) {
        status = cli_net_ask(n, "DELETE", operand, NULL, false, &object);
        json_decref(object);
    }
    if (status == CLI_OK) {
        (void)fprintf(n->cli->out, "%s %s\n",
                      n->dry_run ? "would be deleted:" : "deleted:", operand);
    }
    return status;
}
