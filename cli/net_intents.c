/* What a directory declares, as JSON. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "cli/net.h"
#include "cli/yaml_json.h"
#include "services/netctl/resource.h"

#define FILE_MAX (64U * 1024U * 1024U)

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text);
    return len > strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

static bool is_intents(const char *name)
{
    return name[0] != '.' &&
           (ends_with(name, ".yaml") || ends_with(name, ".yml") || ends_with(name, ".json"));
}

/* Takes an object, or an array of such. */
static int take(const struct cli *cli, const char *file, const json_t *said, json_t *objects)
{
    size_t i;
    json_t *item;
    if (json_is_array(said)) {
        int status = CLI_OK;
        json_array_foreach(said, i, item)
        {
            status = status != CLI_OK ? status : take(cli, file, item, objects);
        }
        return status;
    }
    const char *path = json_string_value(json_object_get(said, "path"));
    if (path == NULL || strncmp(path, "/infra/", 7) != 0) {
        return cli_fail(cli, CLI_USAGE,
                        "%s: an object needs its \"path\", as in path: /infra/segments/web%s%.100s",
                        file, path == NULL ? "" : ", and not ", path == NULL ? "" : path);
    }
    if (!netctl_path_is_valid(path) || netctl_resource_of(path) == NULL) {
        return cli_fail(cli, CLI_USAGE, "%s: there are no objects with such a path: %.200s", file,
                        path);
    }
    json_array_foreach(objects, i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "path")), path) == 0) {
            return cli_fail(cli, CLI_USAGE, "%s: %.200s is declared twice", file, path);
        }
    }
    return json_array_append_new(objects, json_deep_copy(said)) == 0 ? CLI_OK : CLI_FAILED;
}

static int read_file(const struct cli *cli, const char *file, json_t *objects)
{
    struct ts_why why = {{0}};
    uint8_t *data = NULL;
    size_t len = 0;
    json_error_t where;
    json_t *said = NULL;
    if (ts_file_read(file, FILE_MAX, &data, &len, &why) != TS_OK) {
        return cli_fail(cli, CLI_USAGE, "%s", why.text);
    }
    if (ends_with(file, ".json")) {
        said = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, &where);
        if (said == NULL) {
            (void)ts_why(&why, TS_ERR_MALFORMED, "%s:%d:%d: %s", file, where.line, where.column,
                         where.text);
        }
    } else {
        said = cli_yaml_json(file, (struct ts_bytes){data, len}, &why);
    }
    free(data);
    int status =
        said == NULL ? cli_fail(cli, CLI_USAGE, "%s", why.text) : take(cli, file, said, objects);
    json_decref(said);
    return status;
}

static int read_directory(const struct cli *cli, const char *dir, json_t *objects)
{
    struct dirent **names = NULL;
    int n = scandir(dir, &names, NULL, alphasort);
    int status =
        n < 0 ? cli_fail(cli, CLI_USAGE, "cannot read %s: %s", dir, strerror(errno)) : CLI_OK;
    for (int i = 0; i < n; i++) {
        char path[TS_PATH_MAX];
        struct ts_why why = {{0}};
        if (status == CLI_OK && is_intents(names[i]->d_name)) {
            status = ts_path(path, &why, dir, "%s", names[i]->d_name) == TS_OK
                         ? read_file(cli, path, objects)
                         : cli_fail(cli, CLI_USAGE, "%s", why.text);
        }
        free(names[i]);
    }
    free(names);
    return status;
}

static const char *path_of(const json_t *object)
{
    return json_string_value(json_object_get(object, "path"));
}

static int by_path(const void *a, const void *b)
{
    return strcmp(path_of(*(json_t *const *)a), path_of(*(json_t *const *)b));
}

/* So that what is in another stands behind it. */
static json_t *sorted(json_t *objects)
{
    size_t n = json_array_size(objects);
    const json_t **list = calloc(n + 1, sizeof(*list));
    json_t *out = json_array();
    ts_must(list);
    ts_must(out);
    for (size_t i = 0; i < n; i++) {
        list[i] = json_array_get(objects, i);
    }
    qsort(list, n, sizeof(*list), by_path);
    for (size_t i = 0; i < n; i++) {
        (void)json_array_append(out, (json_t *)(uintptr_t)list[i]);
    }
    free(list);
    json_decref(objects);
    return out;
}

json_t *cli_net_intents(const struct cli *cli, const char *path)
{
    struct stat st;
    json_t *objects = json_array();
    int status = CLI_OK;
    if (stat(path, &st) != 0) {
        status = cli_fail(cli, CLI_USAGE, "cannot read %s: %s", path, strerror(errno));
    } else if (S_ISDIR(st.st_mode)) {
        status = read_directory(cli, path, objects);
    } else {
        status = read_file(cli, path, objects);
    }
    if (status == CLI_OK && json_array_size(objects) == 0) {
        status = cli_fail(cli, CLI_USAGE, "%s declares nothing: it has no *.yaml, *.yml or *.json",
                          path);
    }
    if (status != CLI_OK) {
        json_decref(objects);
        return NULL;
    }
    return sorted(objects);
}
