/* twinstep net list, show, delete. */
#include <stdio.h>
#include <string.h>

#include "cli/net.h"
#include "services/netctl/resource.h"

#define SEGMENTS "/infra/segments"
#define PATH_ROOM 2048

static int check_path(const struct cli_net *n, const char *path)
{
    bool below = strcmp(path, "/infra") == 0 || strncmp(path, "/infra/", 7) == 0;
    return below && netctl_path_is_valid(path)
               ? CLI_OK
               : cli_fail(n->cli, CLI_USAGE,
                          "\"%.200s\" is no path; one is /infra, or begins with /infra/ and has "
                          "letters, digits and -_.:~@ between the '/', as %s/web",
                          path, SEGMENTS);
}

/* What the API has below an object, /infra/segments/web/state, is shown, too. */
int cli_net_check_show(const struct cli_net *n, const char *operand)
{
    return check_path(n, operand);
}

int cli_net_check_list(const struct cli_net *n, const char *operand)
{
    const char *path = operand == NULL ? SEGMENTS : operand;
    int status = check_path(n, path);
    if (status != CLI_OK || netctl_resource_in(path) != NULL) {
        return status;
    }
    return cli_fail(n->cli, CLI_USAGE, "%.200s is no list%s", path,
                    netctl_resource_of(path) != NULL
                        ? " but an object: \"twinstep net show\" shows it"
                        : " of objects; one is " SEGMENTS);
}

int cli_net_check_delete(const struct cli_net *n, const char *operand)
{
    const struct netctl_resource *r = NULL;
    int status = check_path(n, operand);
    if (status != CLI_OK) {
        return status;
    }
    r = netctl_resource_of(operand);
    if (r == NULL) {
        return cli_fail(n->cli, CLI_USAGE, "%.200s is no object%s", operand,
                        netctl_resource_in(operand) != NULL ? " but a list: name an object in it"
                                                            : ": there are none with such a path");
    }
    return !r->is_fixed ? CLI_OK
                        : cli_fail(n->cli, CLI_USAGE,
                                   "%.200s is there always, and cannot be deleted", operand);
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
    int status = CLI_OK;
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
    int status = cli_net_ask(n, "GET", operand, NULL, false, &object);
    if (status == CLI_OK) {
        print_json(n, object);
    }
    json_decref(object);
    return status;
}

int cli_net_delete(struct cli_net *n, const char *operand)
{
    json_t *object = NULL;
    struct cli_net_said said = {.body = NULL};
    int status = cli_net_ask(n, "GET", operand, NULL, false, &object);
    json_decref(object);
    if (status == CLI_OK && !n->dry_run) {
        status = cli_net_try(n, "DELETE", operand, NULL, &said);
    }
    /* It was there: when it is gone at the second time, the first one did it. */
    bool gone = said.status == 404 && said.repeated;
    if (status == CLI_OK && said.status >= 300 && !gone) {
        status = cli_net_refused(n, operand, &said);
    }
    json_decref(said.body);
    if (status == CLI_OK) {
        (void)fprintf(n->cli->out, "%s %s\n",
                      n->dry_run ? "would be deleted:" : "deleted:", operand);
    }
    return status;
}
