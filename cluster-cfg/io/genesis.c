#include "cluster-cfg/io/genesis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

/* Incarnations use all 64 bits, JSON's numbers do not. */
static json_t *hex(struct ts_incarnation inc)
{
    char text[17];
    (void)snprintf(text, sizeof(text), "%016" PRIx64, inc.v);
    return json_string(text);
}

static bool unhex(const json_t *value, struct ts_incarnation *out)
{
    const char *text = json_string_value(value);
    if (text == NULL || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16) {
        return false;
    }
    out->v = strtoull(text, NULL, 16);
    return out->v != 0;
}

static json_t *places_json(const struct reg_places *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->count; i++) {
        (void)json_array_append_new(list, hex(s->v[i]));
    }
    return list;
}

/* False: not what places_json makes. */
static bool read_places(const json_t *list, struct reg_places *out)
{
    size_t n = json_array_size(list);
    bool good = json_is_array(list) && n >= 1 && n <= REG_PLACES_MAX;
    for (size_t i = n; i-- > 0 && good;) {
        struct ts_incarnation disk;
        good = unhex(json_array_get(list, i), &disk) && !reg_places_has(out, disk);
        if (good) {
            reg_places_add(out, disk);
        }
    }
    return good;
}

static json_t *nodes_json(const struct cfg_cluster *c, const struct format_genesis *g)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < c->node_count; i++) {
        json_t *node =
            json_pack("{s:i,s:s}", "id", (int)c->nodes[i].id.v, "name", c->nodes[i].name);
        if (c->nodes[i].voter) {
            (void)json_object_set_new(node, "voter", hex(g->voter[i]));
        }
        if (g->voter_replaces[i].count > 0) {
            (void)json_object_set_new(node, "voter_replaces", places_json(&g->voter_replaces[i]));
        }
        if (g->replacing[i]) {
            (void)json_object_set_new(node, "replacing", json_true());
        }
        (void)json_array_append_new(nodes, node);
    }
    return nodes;
}

static json_t *groups_json(const struct cfg_cluster *c, const struct format_genesis *g)
{
    json_t *groups = json_array();
    for (size_t i = 0; i < c->group_count; i++) {
        const struct cfg_group *group = &c->groups[i];
        json_t *replicas = json_array();
        for (size_t m = 0; m < group->nic_count; m++) {
            json_t *r = json_pack("{s:s,s:o}", "node", cfg_cluster_node(c, group->nics[m])->name,
                                  "incarnation", hex(g->replica[i][m]));
            if (g->replaces[i][m].v != 0) {
                (void)json_object_set_new(r, "replaces", hex(g->replaces[i][m]));
            }
            (void)json_array_append_new(replicas, r);
        }
        json_t *entry = json_pack("{s:i,s:s,s:s,s:o}", "id", (int)group->id.v, "name", group->name,
                                  "service", group->service, "replicas", replicas);
        if (g->epoch[i].v != 1) { /* as before it was there, when it is the first */
            (void)json_object_set_new(entry, "epoch", json_integer((json_int_t)g->epoch[i].v));
        }
        (void)json_array_append_new(groups, entry);
    }
    return groups;
}

char *genesis_to_text(const struct cfg_cluster *c, const struct format_genesis *g)
{
    json_t *root = json_pack("{s:i,s:s,s:o,s:o}", "version", FORMAT_GENESIS_VERSION, "cluster",
                             c->name, "nodes", nodes_json(c, g), "groups", groups_json(c, g));
    char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    return text;
}

static enum ts_err damaged(const char *path, struct ts_why *why)
{
    return ts_why(why, TS_ERR_CORRUPT,
                  "%s is damaged; put back the copy of another machine or of "
                  "a backup",
                  path);
}

static enum ts_err changed(const char *path, struct ts_why *why, const char *what, const char *name)
{
    return ts_why(why, TS_ERR_CONFIG,
                  "%s \"%s\" of the cluster file is not as it was when the cluster was formed "
                  "(%s), and nodes and groups of a formed cluster cannot be changed yet; undo that "
                  "change, or use another run directory for a new cluster",
                  what, name, path);
}

static bool entry_is(const json_t *entry, unsigned id, const char *name)
{
    const char *got = json_string_value(json_object_get(entry, "name"));
    return got != NULL && strcmp(got, name) == 0 &&
           json_integer_value(json_object_get(entry, "id")) == (json_int_t)id;
}

static enum ts_err read_nodes(const char *path, const json_t *nodes, const struct cfg_cluster *c,
                              struct format_genesis *g, struct ts_why *why)
{
    if (!json_is_array(nodes)) {
        return damaged(path, why);
    }
    for (size_t i = 0; i < c->node_count; i++) {
        const json_t *entry = json_array_get(nodes, i);
        const json_t *voter = json_object_get(entry, "voter");
        if (!entry_is(entry, c->nodes[i].id.v, c->nodes[i].name) ||
            (voter != NULL) != c->nodes[i].voter) {
            return changed(path, why, "node", c->nodes[i].name);
        }
        const json_t *replaces = json_object_get(entry, "voter_replaces");
        if ((voter != NULL && !unhex(voter, &g->voter[i])) ||
            (replaces != NULL && !read_places(replaces, &g->voter_replaces[i]))) {
            return damaged(path, why);
        }
        g->replacing[i] = json_is_true(json_object_get(entry, "replacing"));
    }
    if (json_array_size(nodes) != c->node_count) {
        return changed(path, why, "the number of nodes after", c->nodes[c->node_count - 1].name);
    }
    return TS_OK;
}

static enum ts_err read_group(const char *path, const json_t *entry, const struct cfg_cluster *c,
                              size_t index, struct format_genesis *g, struct ts_why *why)
{
    const struct cfg_group *group = &c->groups[index];
    const char *service = json_string_value(json_object_get(entry, "service"));
    const json_t *replicas = json_object_get(entry, "replicas");
    const json_t *epoch = json_object_get(entry, "epoch");
    if (!entry_is(entry, group->id.v, group->name) || service == NULL ||
        strcmp(service, group->service) != 0 || json_array_size(replicas) != group->nic_count) {
        return changed(path, why, "group", group->name);
    }
    g->epoch[index].v = epoch == NULL ? 1 : (uint64_t)json_integer_value(epoch);
    if (epoch != NULL && (json_integer_value(epoch) < (json_int_t)FORMAT_EPOCH_RESTORED ||
                          json_integer_value(epoch) >= (json_int_t)FORMAT_EPOCH_MAX)) {
        return damaged(path, why);
    }
    for (size_t m = 0; m < group->nic_count; m++) {
        const json_t *r = json_array_get(replicas, m);
        const char *node = json_string_value(json_object_get(r, "node"));
        if (node == NULL || strcmp(node, cfg_cluster_node(c, group->nics[m])->name) != 0) {
            return changed(path, why, "group", group->name);
        }
        const json_t *replaces = json_object_get(r, "replaces");
        if (!unhex(json_object_get(r, "incarnation"), &g->replica[index][m]) ||
            (replaces != NULL && !unhex(replaces, &g->replaces[index][m]))) {
            return damaged(path, why);
        }
    }
    return TS_OK;
}

static enum ts_err read_root(const char *path, const json_t *root, const struct cfg_cluster *c,
                             struct format_genesis *g, struct ts_why *why)
{
    json_int_t version = json_integer_value(json_object_get(root, "version"));
    const char *name = json_string_value(json_object_get(root, "cluster"));
    const json_t *groups = json_object_get(root, "groups");
    if (version != FORMAT_GENESIS_VERSION && version != 0) {
        return ts_why(why, TS_ERR_VERSION,
                      "%s has version %d, this program reads %d; use a newer one", path,
                      (int)version, FORMAT_GENESIS_VERSION);
    }
    if (version == 0 || name == NULL || !json_is_array(groups)) {
        return damaged(path, why);
    }
    if (strcmp(name, c->name) != 0) {
        return ts_why(why, TS_ERR_CONFIG,
                      "%s is of the cluster \"%s\" but the cluster file describes \"%s\"; choose "
                      "another run directory with --dir, or the other file with --config",
                      path, name, c->name);
    }
    enum ts_err err = read_nodes(path, json_object_get(root, "nodes"), c, g, why);
    for (size_t i = 0; i < c->group_count && err == TS_OK; i++) {
        err = read_group(path, json_array_get(groups, i), c, i, g, why);
    }
    if (err == TS_OK && json_array_size(groups) != c->group_count) {
        err = changed(path, why, "the number of groups after", c->groups[c->group_count - 1].name);
    }
    return err;
}

enum ts_err genesis_from_text(const char *path, struct ts_bytes text, const struct cfg_cluster *c,
                              struct format_genesis *out, struct ts_why *why)
{
    json_t *root = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (root == NULL) {
        return damaged(path, why);
    }
    struct format_genesis g = {0};
    enum ts_err err = read_root(path, root, c, &g, why);
    json_decref(root);
    if (err == TS_OK) {
        *out = g;
    }
    return err;
}
