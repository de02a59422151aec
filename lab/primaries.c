#include "lab/primaries.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/io/files.h"
#include "lab/mem.h"

#define LINE_MAX_BYTES 4096
#define FIRST_EPOCHS 64

static struct lab_primary_epoch *find(const struct lab_primaries *p, uint64_t group, uint64_t epoch)
{
    for (size_t i = p->count; i > 0; i--) {
        if (p->epochs[i - 1].group == group && p->epochs[i - 1].epoch == epoch) {
            return &p->epochs[i - 1];
        }
    }
    return NULL;
}

static void take(struct lab_primaries *p, const struct lab_primary_epoch *e, uint64_t since_ns)
{
    const struct lab_primary_epoch *other = find(p, e->group, e->epoch);
    if (other == NULL) {
        if (p->count == p->cap) {
            p->cap = p->cap == 0 ? FIRST_EPOCHS : p->cap * 2;
            p->epochs = lab_realloc(p->epochs, p->cap, sizeof(*p->epochs));
        }
        p->epochs[p->count++] = *e;
        p->begun += e->at_ns >= since_ns ? 1 : 0;
        return;
    }
    if (strcmp(other->instance, e->instance) == 0 ||
        (other->at_ns < since_ns && e->at_ns < since_ns)) {
        return; /* the same process: two files may have the event; or both were before */
    }
    if (p->two++ == 0) {
        (void)snprintf(p->first, sizeof(p->first),
                       "%s (process %s) and %s (process %s) were both primary of group %" PRIu64
                       " in epoch %" PRIu64,
                       other->node, other->instance, e->node, e->instance, e->group, e->epoch);
    }
}

void lab_primaries_add(struct lab_primaries *p, const char *node, const char *line,
                       uint64_t since_ns)
{
    if (strstr(line, "\"active\"") == NULL) {
        return; /* nearly all are others */
    }
    json_t *event = json_loads(line, 0, NULL);
    const char *kind = json_string_value(json_object_get(event, "kind"));
    const char *program = json_string_value(json_object_get(event, "program"));
    const char *instance = json_string_value(json_object_get(event, "instance"));
    json_int_t at = json_integer_value(json_object_get(event, "mono_ns"));
    if (kind != NULL && program != NULL && instance != NULL && strcmp(kind, "active") == 0 &&
        strcmp(program, "replica") == 0 && at >= 0) {
        struct lab_primary_epoch e = {
            .group = (uint64_t)json_integer_value(json_object_get(event, "group")),
            .epoch = (uint64_t)json_integer_value(json_object_get(event, "epoch")),
            .at_ns = (uint64_t)at};
        (void)snprintf(e.node, sizeof(e.node), "%s", node);
        (void)snprintf(e.instance, sizeof(e.instance), "%s", instance);
        take(p, &e, since_ns);
    }
    json_decref(event);
}

/* A file that is not there has nothing to tell. */
static void read_file(struct lab_primaries *p, const char *run, const char *node, const char *name,
                      uint64_t since_ns)
{
    char path[TS_PATH_MAX];
    char line[LINE_MAX_BYTES];
    FILE *in =
        ts_path(path, NULL, run, "%s/log/%s", node, name) == TS_OK ? fopen(path, "re") : NULL;
    while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
        lab_primaries_add(p, node, line, since_ns);
    }
    if (in != NULL) {
        (void)fclose(in);
    }
}

enum ts_err lab_primaries_read(struct lab_primaries *p, const char *run, uint64_t since_ns,
                               struct ts_why *why)
{
    DIR *dir = opendir(run);
    if (dir == NULL) {
        return ts_why_sys(why, errno, "cannot read the directory %s", run);
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            read_file(p, run, entry->d_name, "events.1.jsonl", since_ns);
            read_file(p, run, entry->d_name, "events.jsonl", since_ns);
        }
    }
    (void)closedir(dir);
    return TS_OK;
}

void lab_primaries_free(struct lab_primaries *p)
{
    free(p->epochs);
    *p = (struct lab_primaries){0};
}
