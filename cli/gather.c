#include "cli/gather.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/notes.h"
#include "cluster-cfg/io/admin.h"
#include "cluster-cfg/io/admin_client.h"
#include "cluster-cfg/io/cluster_yaml.h"
#include "cluster-cfg/io/format.h"
#include "lab/nodes.h"

bool cli_is_foreign(const char *run, const char *path, struct ts_why *why)
{
    struct stat st;
    if (access(path, R_OK) == 0 || errno != EACCES) {
        return false;
    }
    const struct passwd *owner = stat(run, &st) == 0 ? getpwuid(st.st_uid) : NULL;
    (void)ts_why(why, TS_ERR_AUTH,
                 "%s: Permission denied; the nodes in %s are another user's: run it as the owner "
                 "(%s)",
                 path, run, owner == NULL ? "root" : owner->pw_name);
    return true;
}

/* Whether RUN, or a part of its path, is something else than a directory. */
static bool is_no_directory(const char *run)
{
    struct stat st;
    return stat(run, &st) == 0 ? !S_ISDIR(st.st_mode) : errno == ENOTDIR;
}

enum ts_err cli_load_run(const char *run, struct cfg_cluster *cluster, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    char error[CLUSTER_YAML_ERROR_MAX];
    enum ts_err err = ts_path(path, why, run, "cluster.yaml");
    if (err != TS_OK) {
        return err;
    }
    if (is_no_directory(run)) {
        return ts_why(why, TS_ERR_NOT_FOUND,
                      "%s is no directory; name with --dir the one in which the nodes keep their "
                      "data",
                      run);
    }
    err = cluster_yaml_load(path, cluster, error);
    if (err != TS_OK && cli_is_foreign(run, path, why)) {
        return TS_ERR_AUTH;
    }
    if (err == TS_ERR_NOT_FOUND) {
        return ts_why(why, err,
                      "no cluster was started in %s; start one with twinstep up, or name its run "
                      "directory with --dir",
                      run);
    }
    return err == TS_OK ? TS_OK : ts_why(why, err, "%s", error);
}

int cli_open_run(const struct cli *cli, const char *run, struct cfg_cluster *cluster)
{
    struct ts_why why = {0};
    enum ts_err err = cli_load_run(run, cluster, &why);
    if (err == TS_OK) {
        return CLI_OK;
    }
    return cli_fail(cli, err == TS_ERR_NOT_FOUND ? CLI_UNREACHABLE : CLI_FAILED, "%s", why.text);
}

int cli_choose(const struct cli *cli, const struct cfg_cluster *cluster, const char *file,
               const char *const *names, size_t count, bool chosen[TS_NODES_MAX])
{
    for (size_t i = 0; i < cluster->node_count; i++) {
        chosen[i] = count == 0;
    }
    for (size_t n = 0; n < count; n++) {
        const struct cfg_node *node = cfg_cluster_node_by_name(cluster, names[n]);
        if (node == NULL) {
            return cli_fail(cli, CLI_USAGE, "%s declares no NIC or arbiter \"%s\"", file, names[n]);
        }
        chosen[node - cluster->nodes] = true;
    }
    return CLI_OK;
}

const char *cli_last_line(const char *run, const char *node, const char *program,
                          char out[CLI_LINE_MAX])
{
    char path[TS_PATH_MAX];
    char tail[4096];
    out[0] = '\0';
    if (ts_path(path, NULL, run, "%s/log/%s.log", node, program) != TS_OK) {
        return out;
    }
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return out;
    }
    if (fseek(f, -(long)(sizeof(tail) - 1), SEEK_END) != 0) {
        rewind(f);
    }
    size_t n = fread(tail, 1, sizeof(tail) - 1, f);
    (void)fclose(f);
    while (n > 0 && tail[n - 1] == '\n') {
        n--;
    }
    tail[n] = '\0';
    const char *line = strrchr(tail, '\n');
    (void)snprintf(out, CLI_LINE_MAX, "%.*s", CLI_LINE_MAX - 1, line == NULL ? tail : line + 1);
    return out;
}

/* Gives whether the node's nicd runs: then it is not switched off. A cluster-cfgd that does not
 * stay up can tell nobody why, its log can. */
static bool explain_silence(const char *run, const char *node, struct ts_why *why)
{
    struct nodes_run r = {0};
    struct nodes_proc proc;
    char line[CLI_LINE_MAX];
    char real[PATH_MAX];
    if (realpath(run, real) == NULL || ts_path(r.run, NULL, "", "%s", real + 1) != TS_OK ||
        !nodes_is_running(&r, node, NULL)) {
        return false;
    }
    if (!nodes_find(&r, node, "cluster-cfgd", NULL, &proc)) {
        (void)cli_last_line(run, node, "cluster-cfgd", line);
        (void)ts_why(why, TS_ERR_REFUSED, "cluster-cfgd of %s does not stay up: %s", node,
                     line[0] == '\0' ? "see its log" : line);
    }
    return true;
}

static json_t *ask_one(const char *run, const char *node, json_t *request, unsigned timeout_ms)
{
    char dir[TS_PATH_MAX];
    json_t *reply = NULL;
    struct ts_why why = {0};
    enum ts_err err = ts_path(dir, &why, run, "%s", node);
    err = err != TS_OK ? err : admin_client_ask(dir, request, timeout_ms, &reply, &why);
    if (err == TS_OK) {
        return json_pack("{s:s,s:o}", "node", node, "reply", reply);
    }
    bool runs = explain_silence(run, node, &why) || err != TS_ERR_NOT_FOUND;
    return json_pack("{s:s,s:s,s:s}", "node", node, "error", why.text, "state",
                     runs ? "silent" : "not running");
}

json_t *cli_ask_all(const char *run, const struct cfg_cluster *cluster, const char *only,
                    json_t *request, unsigned timeout_ms)
{
    json_t *answers = json_array();
    for (size_t i = 0; i < cluster->node_count; i++) {
        const struct cfg_node *node = &cluster->nodes[i];
        bool wanted = only == NULL || strcmp(only, node->name) == 0;
        if (wanted && format_node_is_complete(run, node)) {
            (void)json_array_append_new(answers, ask_one(run, node->name, request, timeout_ms));
        }
    }
    return answers;
}

size_t cli_answered(const json_t *answers)
{
    size_t i;
    size_t n = 0;
    json_t *answer;
    json_array_foreach(answers, i, answer)
    {
        n += json_object_get(answer, "reply") != NULL ? 1 : 0;
    }
    return n;
}

static json_t *find_by(const json_t *list, const char *key, const char *value)
{
    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        if (strcmp(cli_string(entry, key, ""), value) == 0) {
            return entry;
        }
    }
    return NULL;
}

static void copy(json_t *to, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);
    (void)json_object_set_new(to, key, value == NULL ? json_null() : json_deep_copy(value));
}

static void merge_address(json_t *group, const char *node, const json_t *own)
{
    static const char *const KEYS[] = {"here", "interface", "why"};
    json_t *address = json_object_get(group, "service_address");
    json_t *nic = json_pack("{s:s}", "node", node);
    for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++) {
        copy(nic, own, KEYS[i]);
    }
    if (cli_bool(own, "here")) {
        (void)json_array_append_new(json_object_get(address, "at"), json_string(node));
    }
    (void)json_array_append_new(json_object_get(address, "nics"), nic);
}

static void merge_group(json_t *groups, const char *node, const json_t *own)
{
    static const char *const CONFIG[] = {"epoch",    "in_sync", "members",
                                         "required", "disks",   "voters"};
    static const char *const REPLICA[] = {
        "role", "epoch",    "applied",  "committed", "last",    "digest",       "waiting",
        "why",  "requests", "rejected", "age_ms",    "serving", "no_primary_ms"};
    json_t *group = find_by(groups, "group", cli_string(own, "group", "?"));
    if (group == NULL) {
        return; /* of another cluster file than ours */
    }
    bool down = strcmp(cli_string(own, "role", ""), "down") == 0;
    bool primary = strcmp(cli_string(own, "role", ""), "primary") == 0;
    int64_t known = cli_number(group, "epoch");
    /* The primary itself knows its required set. */
    if (!down &&
        (cli_number(own, "epoch") > known || (cli_number(own, "epoch") == known && primary))) {
        for (size_t i = 0; i < sizeof(CONFIG) / sizeof(CONFIG[0]); i++) {
            copy(group, own, CONFIG[i]);
        }
        (void)json_object_set(group, "last_primary", json_object_get(own, "primary"));
    }
    json_t *replica = json_pack("{s:s}", "node", node);
    for (size_t i = 0; i < sizeof(REPLICA) / sizeof(REPLICA[0]); i++) {
        copy(replica, own, REPLICA[i]);
    }
    (void)json_array_append_new(json_object_get(group, "replicas"), replica);
    const json_t *address = json_object_get(own, "service_address");
    if (json_is_object(address) && json_is_object(json_object_get(group, "service_address"))) {
        merge_address(group, node, address);
    }
}

/* A node repeats its replica's last word for as long as it has no newer one. Nobody shall read two
 * primaries out of that: the epoch tells which one was. */
static void complete_role(json_t *replica, int64_t epoch)
{
    const char *role = cli_string(replica, "role", "");
    if (strcmp(role, "down") == 0) {
        return;
    }
    if (cli_number(replica, "age_ms") > (int64_t)(ADMIN_SILENT_NS / TS_NS_PER_MS)) {
        (void)json_object_set_new(replica, "role", json_string("silent"));
    } else if (strcmp(role, "primary") == 0 && cli_number(replica, "epoch") < epoch) {
        (void)json_object_set_new(replica, "role", json_string("was primary"));
    }
}

/* What a voter stored last is what an arbiter's machine can tell of a group. It is a record of one
 * voter, not the configuration (R1.4), and stands apart. */
static void merge_record(json_t *groups, const char *node, const json_t *reg)
{
    json_t *group = find_by(groups, "group", cli_string(reg, "group", "?"));
    const char *primary = cli_string(reg, "primary", NULL);
    int64_t known = cli_number(json_object_get(group, "recorded"), "epoch");
    if (group != NULL && primary != NULL && cli_number(reg, "epoch") > known) {
        (void)json_object_set_new(group, "recorded",
                                  json_pack("{s:s,s:I,s:s}", "primary", primary, "epoch",
                                            (json_int_t)cli_number(reg, "epoch"), "by", node));
    }
}

/* Nobody knows a configuration, or everybody is down: empty fields in place of missing ones. */
static void complete_group(json_t *group)
{
    json_t *replicas = json_object_get(group, "replicas");
    size_t i;
    json_t *r;
    int64_t committed = 0;
    if (cli_number(group, "epoch") < 0) {
        (void)json_object_set_new(group, "epoch", json_integer(0));
        (void)json_object_set_new(group, "last_primary", json_null());
        (void)json_object_set_new(group, "in_sync", json_array());
        (void)json_object_set_new(group, "members", json_array());
        (void)json_object_set_new(group, "required", json_array());
        (void)json_object_set_new(group, "disks", json_object());
        (void)json_object_set_new(group, "voters", json_object());
    }
    json_array_foreach(replicas, i, r)
    {
        int64_t own = cli_number(r, "committed");
        committed = own > committed ? own : committed;
    }
    json_array_foreach(replicas, i, r)
    {
        complete_role(r, cli_number(group, "epoch"));
        int64_t lag = committed - cli_number(r, "applied");
        (void)json_object_set_new(r, "lag", json_integer(lag));
    }
}

static void merge_alarm(json_t *alarms, const char *node, const char *code, const char *text,
                        const char *group)
{
    size_t i;
    json_t *alarm;
    json_array_foreach(alarms, i, alarm)
    {
        if (strcmp(cli_string(alarm, "code", ""), code) == 0 &&
            strcmp(cli_string(alarm, "text", ""), text) == 0 &&
            strcmp(cli_string(alarm, "group", ""), group) == 0) {
            (void)json_array_append_new(json_object_get(alarm, "nodes"), json_string(node));
            return;
        }
    }
    alarm = json_pack("{s:s,s:s,s:[s]}", "code", code, "text", text, "nodes", node);
    if (group[0] != '\0') {
        (void)json_object_set_new(alarm, "group", json_string(group));
    }
    (void)json_array_append_new(alarms, alarm);
}

/* A program that ends and is started again reads the file as it is now, the others keep what they
 * read: nodes that do not agree on the cluster. */
static void merge_digest(json_t *alarms, const struct cfg_cluster *cluster, const char *node,
                         const char *digest)
{
    char ours[17];
    char text[160];
    (void)snprintf(ours, sizeof(ours), "%016" PRIx64, cfg_cluster_digest(cluster));
    if (digest != NULL && strcmp(digest, ours) != 0) {
        (void)snprintf(text, sizeof(text),
                       "%s runs with another cluster file than the one in its run directory now: "
                       "put that back, or restart with twinstep down and up",
                       node);
        merge_alarm(alarms, "status", "cluster-file", text, "");
    }
}

static void merge_node(json_t *merged, const struct cfg_cluster *cluster, const json_t *answer)
{
    const char *name = cli_string(answer, "node", "?");
    const json_t *reply = json_object_get(answer, "reply");
    json_t *alarms = json_object_get(merged, "alarms");
    json_t *node = reply == NULL ? json_object() : json_deep_copy(reply);
    (void)json_object_set_new(node, "node", json_string(name));
    (void)json_object_set_new(node, "reachable", json_boolean(reply != NULL));
    (void)json_array_append_new(json_object_get(merged, "nodes"), node);
    if (reply == NULL) {
        copy(node, answer, "error");
        copy(node, answer, "state");
        bool gone = strcmp(cli_string(answer, "state", ""), "not running") == 0;
        char text[160];
        (void)snprintf(text, sizeof(text), "%s does not run; start it with twinstep up", name);
        merge_alarm(alarms, "status", "node-unreachable",
                    gone ? text : cli_string(answer, "error", "?"), "");
        return;
    }
    merge_digest(alarms, cluster, name, cli_string(reply, "cluster_digest", NULL));
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(reply, "groups"), i, entry)
    {
        merge_group(json_object_get(merged, "groups"), name, entry);
    }
    json_array_foreach(json_object_get(json_object_get(reply, "voter"), "registers"), i, entry)
    {
        merge_record(json_object_get(merged, "groups"), name, entry);
    }
    json_array_foreach(json_object_get(reply, "alarms"), i, entry)
    {
        merge_alarm(alarms, name, cli_string(entry, "code", "?"), cli_string(entry, "text", "?"),
                    cli_string(entry, "group", ""));
    }
}

/* The replica that serves as primary: by its own word, else by that of one that follows it while
 * the primary's own node says nothing of it. NULL without one. */
static const char *serving_primary(const json_t *group)
{
    const json_t *replicas = json_object_get(group, "replicas");
    const char *last = cli_string(group, "last_primary", NULL);
    const json_t *own = last == NULL ? NULL : find_by(replicas, "node", last);
    bool own_word = own != NULL && strcmp(cli_string(own, "role", ""), "silent") != 0;
    size_t i;
    json_t *r;
    json_array_foreach(replicas, i, r)
    {
        const char *role = cli_string(r, "role", "");
        bool follows = strcmp(role, "secondary") == 0 || strcmp(role, "learner") == 0;
        if (strcmp(role, "primary") == 0) {
            return cli_string(r, "node", NULL);
        }
        if (follows && !own_word && cli_bool(r, "serving") &&
            cli_number(r, "epoch") == cli_number(group, "epoch")) {
            return last;
        }
    }
    return NULL;
}

/* Whether every NIC of the group was asked and no replica there has a word of now to say. */
static bool is_quiet(const json_t *merged, const struct cfg_cluster *cluster, const json_t *group)
{
    const struct cfg_group *g = cfg_cluster_group_by_name(cluster, cli_string(group, "group", "?"));
    bool quiet = g != NULL;
    for (size_t i = 0; quiet && i < g->nic_count; i++) {
        const char *nic = admin_node_name(cluster, g->nics[i]);
        const json_t *r = find_by(json_object_get(group, "replicas"), "node", nic);
        const char *role = r == NULL ? "down" : cli_string(r, "role", "");
        quiet = find_by(json_object_get(merged, "nodes"), "node", nic) != NULL &&
                (strcmp(role, "down") == 0 || strcmp(role, "silent") == 0);
    }
    return quiet;
}

/* Who serves, or since when nobody does: as long as all who can tell agree. No node may be left
 * that could raise the alarm; then the answers together do. */
static void complete_primary(json_t *merged, const struct cfg_cluster *cluster, json_t *group)
{
    const char *name = cli_string(group, "group", "?");
    const char *primary = serving_primary(group);
    bool quiet = primary == NULL && is_quiet(merged, cluster, group);
    size_t i;
    json_t *r;
    json_t *least = NULL;
    json_array_foreach(json_object_get(group, "replicas"), i, r)
    {
        json_t *ms = json_object_get(r, "no_primary_ms");
        if (json_is_integer(ms) &&
            (least == NULL || json_integer_value(ms) < json_integer_value(least))) {
            least = ms;
        }
    }
    bool unknown = primary == NULL && least == NULL && !quiet;
    (void)json_object_set_new(group, "serving",
                              unknown ? json_null() : json_boolean(primary != NULL));
    (void)json_object_set_new(group, "primary",
                              primary == NULL ? json_null() : json_string(primary));
    (void)json_object_set_new(group, "no_primary_ms",
                              primary != NULL || least == NULL ? json_null() : json_copy(least));
    if (quiet) {
        char text[160 + CFG_NAME_MAX];
        (void)snprintf(
            text, sizeof(text),
            "no replica of %s is heard from on any of its NICs: start them with twinstep "
            "up, or see which program is down or stopped",
            name);
        merge_alarm(json_object_get(merged, "alarms"), "status", ADMIN_ALARM_NO_PRIMARY, text,
                    name);
    }
}

/* Equal positions with different digests: what no replica alone may have seen yet. */
static void compare_digests(json_t *merged, const json_t *group)
{
    const json_t *replicas = json_object_get(group, "replicas");
    for (size_t i = 0; i < json_array_size(replicas); i++) {
        const json_t *a = json_array_get(replicas, i);
        for (size_t j = i + 1; j < json_array_size(replicas); j++) {
            const json_t *b = json_array_get(replicas, j);
            const char *x = cli_string(a, "digest", "");
            const char *y = cli_string(b, "digest", "");
            if (x[0] != '\0' && y[0] != '\0' && strcmp(x, y) != 0 &&
                cli_number(a, "applied") == cli_number(b, "applied")) {
                char text[160];
                (void)snprintf(text, sizeof(text),
                               "replicas diverged: %s and %s have different states at entry %lld",
                               cli_string(a, "node", "?"), cli_string(b, "node", "?"),
                               (long long)cli_number(a, "applied"));
                merge_alarm(json_object_get(merged, "alarms"), "status", "divergence", text,
                            cli_string(group, "group", ""));
            }
        }
    }
}

static json_t *address_of(const struct cfg_group *g)
{
    char text[CFG_ADDR_MAX + 8];
    (void)snprintf(text, sizeof(text), "%s/%u", g->address, (unsigned)g->address_prefix);
    return g->address[0] == '\0' ? json_null()
                                 : json_pack("{s:s,s:[],s:[]}", "address", text, "at", "nics");
}

/* Who was not asked may have it. */
static void complete_address(json_t *group, const struct cfg_group *g)
{
    json_t *address = json_object_get(group, "service_address");
    if (json_is_object(address)) {
        size_t told = json_array_size(json_object_get(address, "nics"));
        (void)json_object_set_new(address, "complete", json_boolean(told == g->nic_count));
    }
}

json_t *cli_merge(const struct cfg_cluster *cluster, const json_t *answers)
{
    json_t *merged =
        json_pack("{s:i,s:s,s:[],s:[],s:[],s:o}", "version", 1, "cluster", cluster->name, "nodes",
                  "groups", "alarms", "notes", cli_notes(cluster));
    size_t i;
    json_t *entry;
    for (i = 0; i < cluster->group_count; i++) {
        entry = json_pack("{s:s,s:I,s:[]}", "group", cluster->groups[i].name, "epoch",
                          (json_int_t)-1, "replicas");
        (void)json_object_set_new(entry, "service_address", address_of(&cluster->groups[i]));
        (void)json_array_append_new(json_object_get(merged, "groups"), entry);
    }
    json_array_foreach(answers, i, entry)
    {
        merge_node(merged, cluster, entry);
    }
    json_array_foreach(json_object_get(merged, "groups"), i, entry)
    {
        complete_group(entry);
        complete_address(entry, &cluster->groups[i]);
        complete_primary(merged, cluster, entry);
        compare_digests(merged, entry);
    }
    return merged;
}

static bool group_is_settled(const json_t *group, char *what, size_t cap)
{
    const char *name = cli_string(group, "group", "?");
    const json_t *replicas = json_object_get(group, "replicas");
    const json_t *next = find_by(replicas, "role", "taking over");
    if (!json_is_string(json_object_get(group, "primary"))) {
        (void)snprintf(what, cap, "%s: %s%s", name,
                       next == NULL ? "no primary yet" : cli_string(next, "node", "?"),
                       next == NULL ? "" : " takes over");
        return false;
    }
    size_t in_sync = json_array_size(json_object_get(group, "in_sync"));
    size_t members = json_array_size(json_object_get(group, "members"));
    if (in_sync < members) {
        (void)snprintf(what, cap, "%s: %zu of %zu replicas in sync", name, in_sync, members);
        return false;
    }
    return true;
}

static bool all_run(const json_t *node, char *what, size_t cap)
{
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(node, "processes"), i, p)
    {
        if (!cli_bool(p, "running")) {
            (void)snprintf(what, cap, "%s of %s is down", cli_string(p, "program", "?"),
                           cli_string(node, "node", "?"));
            return false;
        }
    }
    return true;
}

bool cli_is_settled(const json_t *merged, char *what, size_t cap)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(merged, "nodes"), i, entry)
    {
        const char *name = cli_string(entry, "node", "?");
        if (!cli_bool(entry, "reachable")) {
            (void)snprintf(what, cap, "%s does not answer yet", name);
            return false;
        }
        const char *state = cli_string(json_object_get(entry, "voter"), "state", "");
        if (strcmp(state, "registering") == 0) {
            (void)snprintf(what, cap,
                           "the voter of %s waits for a majority of voters (%lld of %lld confirm "
                           "its start)",
                           name,
                           (long long)cli_number(json_object_get(entry, "voter"), "confirmed"),
                           (long long)cli_number(json_object_get(entry, "voter"), "voters"));
            return false;
        }
        if (strcmp(state, "ready") != 0 && strcmp(state, "none") != 0) {
            (void)snprintf(what, cap, "the voter of %s is %s%s", name,
                           strcmp(state, "clone") == 0 ? "a " : "", state);
            return false;
        }
        if (!all_run(entry, what, cap)) {
            return false;
        }
    }
    json_array_foreach(json_object_get(merged, "groups"), i, entry)
    {
        bool here = json_array_size(json_object_get(entry, "replicas")) > 0;
        if (here && !group_is_settled(entry, what, cap)) {
            return false;
        }
    }
    return true;
}
