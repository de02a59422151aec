#include "cluster-cfg/io/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/io/slot_file.h"
#include "cluster-cfg/io/genesis.h"
#include "cluster-cfg/io/voter_store.h"

#define MARKER_BYTES_MAX 8192
/* Files of before replacements that are kept; a NIC has fewer disks in its life. */
#define BEFORE_MAX 9999
#define DIR_MODE 0700
#define FILE_MODE 0600

static void step(const struct format_env *env, const char *what)
{
    if (env->step != NULL) {
        env->step(env->arg, what);
    }
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Whether the node's directory holds anything that a formation wrote. */
static enum ts_err holds_data(const char *run, const struct cfg_node *node, char found[TS_PATH_MAX],
                              bool *out, struct ts_why *why)
{
    static const char *const PARTS[] = {"voter", "groups", "formatted"};
    *out = false;
    for (size_t i = 0; i < sizeof(PARTS) / sizeof(PARTS[0]); i++) {
        enum ts_err err = ts_path(found, why, run, "%s/%s", node->name, PARTS[i]);
        if (err != TS_OK) {
            return err;
        }
        if (exists(found)) {
            *out = true;
            return TS_OK;
        }
    }
    return TS_OK;
}

static void mint(const struct cfg_cluster *c, const struct ts_epoch *epochs,
                 struct format_genesis *g)
{
    *g = (struct format_genesis){0};
    for (size_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i].voter) {
            g->voter[i].v = ts_random_id();
        }
    }
    for (size_t i = 0; i < c->group_count; i++) {
        g->epoch[i].v = epochs == NULL ? 1 : epochs[i].v;
        for (size_t m = 0; m < c->groups[i].nic_count; m++) {
            g->replica[i][m].v = ts_random_id();
        }
    }
}

static enum ts_err write_genesis(const char *path, const struct cfg_cluster *cluster,
                                 const struct format_genesis *g, const struct format_env *env,
                                 struct ts_why *why)
{
    char *text = genesis_to_text(cluster, g);
    if (text == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory while making %s; free some", path);
    }
    step(env, "write the genesis");
    enum ts_err err = ts_file_replace(path, text, strlen(text), FILE_MODE, why);
    free(text);
    return err;
}

enum ts_err format_genesis_mint(const char *run, const struct cfg_cluster *cluster,
                                const struct ts_epoch *epochs, struct format_genesis *out,
                                const struct format_env *env, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    for (size_t i = 0; i < cluster->node_count; i++) {
        bool data;
        enum ts_err err = holds_data(run, &cluster->nodes[i], path, &data, why);
        if (err != TS_OK) {
            return err;
        }
        if (data) {
            return ts_why(why, TS_ERR_EXISTS,
                          "%s is there but %s/genesis.json, which it was formed with, is not; put "
                          "that file back, or remove %s to begin with an empty cluster",
                          path, run, run);
        }
    }
    enum ts_err err = ts_path(path, why, run, "genesis.json");
    if (err != TS_OK) {
        return err;
    }
    if (exists(path)) {
        return ts_why(why, TS_ERR_EXISTS, "%s is there already; it is never made again", path);
    }
    step(env, "make the run directory");
    err = ts_dir_make(run, DIR_MODE, why);
    if (err != TS_OK) {
        return err;
    }
    struct format_genesis g;
    mint(cluster, epochs, &g);
    err = write_genesis(path, cluster, &g, env, why);
    if (err == TS_OK) {
        *out = g;
    }
    return err;
}

enum ts_err format_genesis_load(const char *run, const struct cfg_cluster *cluster,
                                struct format_genesis *out, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, run, "genesis.json");
    if (err != TS_OK) {
        return err;
    }
    uint8_t *data = NULL;
    size_t len = 0;
    err = ts_file_read(path, GENESIS_BYTES_MAX, &data, &len, why);
    if (err != TS_OK) {
        return err;
    }
    err = genesis_from_text(path, (struct ts_bytes){data, len}, cluster, out, why);
    free(data);
    return err;
}

struct cfg_config format_first_config(const struct cfg_cluster *cluster,
                                      const struct format_genesis *genesis,
                                      const struct cfg_group *group)
{
    size_t index = (size_t)(group - cluster->groups);
    ts_assert(index < cluster->group_count);
    struct cfg_config c = {.epoch = genesis->epoch[index],
                           .primary = group->nics[0],
                           .durability = group->durability,
                           .min_version = 1};
    for (size_t m = 0; m < group->nic_count; m++) {
        struct cfg_replica r = {group->nics[m], genesis->replica[index][m]};
        cfg_set_add(&c.members, r);
    }
    c.in_sync = c.members;
    for (size_t i = 0; i < cluster->node_count; i++) {
        if (cluster->nodes[i].voter) {
            ts_assert(c.voters.count < TS_VOTERS_MAX);
            c.voters.v[c.voters.count++].incarnation = genesis->voter[i];
        }
    }
    ts_assert(cfg_config_valid(&c));
    return c;
}

/* The text of NODE/formatted: all that the node was formatted with. */
static enum ts_err marker_text(const struct cfg_cluster *c, const struct format_genesis *g,
                               const struct cfg_node *node, char out[MARKER_BYTES_MAX],
                               struct ts_why *why)
{
    size_t index = (size_t)(node - c->nodes);
    uint64_t voter = g->voter[index].v;
    int n = snprintf(out, MARKER_BYTES_MAX, "cluster %s\nnode %s id %u\nvoter %016" PRIx64 "\n",
                     c->name, node->name, node->id.v, voter);
    for (size_t i = 0; i < c->group_count && n > 0 && n < MARKER_BYTES_MAX; i++) {
        const struct cfg_group *group = &c->groups[i];
        for (size_t m = 0; m < group->nic_count && n < MARKER_BYTES_MAX; m++) {
            if (ts_nic_eq(group->nics[m], node->id)) {
                n += snprintf(out + n, (size_t)(MARKER_BYTES_MAX - n),
                              "group %s id %u replica %016" PRIx64 "\n", group->name, group->id.v,
                              g->replica[i][m].v);
            }
        }
    }
    return n > 0 && n < MARKER_BYTES_MAX
               ? TS_OK
               : ts_why(why, TS_ERR_LIMIT, "too many groups on %s; remove some", node->name);
}

bool format_node_is_complete(const char *run, const struct cfg_node *node)
{
    char path[TS_PATH_MAX];
    return ts_path(path, NULL, run, "%s/formatted", node->name) == TS_OK && exists(path);
}

/* TS_OK: complete and of this genesis; TS_ERR_NOT_FOUND: no marker. */
static enum ts_err check_marker(const char *path, const char *expected, struct ts_why *why)
{
    uint8_t *data = NULL;
    size_t len = 0;
    enum ts_err err = ts_file_read(path, MARKER_BYTES_MAX, &data, &len, why);
    if (err != TS_OK) {
        return err;
    }
    bool same = len == strlen(expected) && memcmp(data, expected, len) == 0;
    free(data);
    if (!same) {
        return ts_why(why, TS_ERR_EXISTS,
                      "%s says that this directory was formed for another node, cluster or set of "
                      "groups; put back the directory or genesis.json that belong together "
                      "(twinstep nic replace has kept that file as it was before, as "
                      "genesis-before-1.json and so on beside it)",
                      path);
    }
    return TS_OK;
}

/* A staged directory that exists is complete; what remains to see is whose it is. */
static enum ts_err check_incarnation(const char *dir, const char *file, struct ts_incarnation inc,
                                     struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, dir, "%s", file);
    if (err != TS_OK) {
        return err;
    }
    struct ts_slot_file *slot = NULL;
    err = ts_slot_open(&slot, path, (struct ts_incarnation){0}, why);
    if (err != TS_OK) {
        return err;
    }
    bool same = ts_incarnation_eq(ts_slot_incarnation(slot), inc);
    ts_slot_close(slot);
    if (!same) {
        return ts_why(why, TS_ERR_EXISTS,
                      "%s holds data of another formation than genesis.json; put back what belongs "
                      "together, or remove the whole run directory to begin anew",
                      dir);
    }
    return TS_OK;
}

/* A failover takes far longer than a microsecond: epochs never catch up with the clock that they
 * began with. */
enum ts_err format_epoch_restored(const struct format_restored *by, struct ts_epoch *out,
                                  struct ts_why *why)
{
    uint64_t least = by->has_above ? by->above.v : by->taken_us;
    least = by->old.v > least ? by->old.v : least;
    if (!by->has_above && by->now_us <= least) {
        return ts_why(why, TS_ERR_CONFIG,
                      "the clock of this machine is behind: it says %" PRIu64
                      " us since 1970, the backup is of %" PRIu64 " us and epoch %" PRIu64
                      ". Set the clock; or find the highest epoch that the group ever had, after "
                      "this backup and after other restores of it, and give it with --above EPOCH",
                      by->now_us, by->taken_us, by->old.v);
    }
    uint64_t epoch = least >= FORMAT_EPOCH_MAX ? FORMAT_EPOCH_MAX : least + 1;
    epoch = by->now_us > epoch ? by->now_us : epoch;
    epoch = epoch < FORMAT_EPOCH_RESTORED ? FORMAT_EPOCH_RESTORED : epoch;
    if (epoch >= FORMAT_EPOCH_MAX) {
        return ts_why(why, TS_ERR_LIMIT,
                      "epoch %" PRIu64 " is too high, the highest is %llu: set the clock, or give "
                      "a lower one with --above EPOCH",
                      epoch, (unsigned long long)FORMAT_EPOCH_MAX - 1);
    }
    out->v = epoch;
    return TS_OK;
}

/* What formation stores has ballot zero. For a group from a backup it is one above all that an
 * earlier formation's voters can have reached: beside one of the new voters none of theirs is heard
 * (adr/0021). */
static struct reg_ballot first_ballot(const struct cfg_cluster *c, const struct format_genesis *g,
                                      size_t group)
{
    if (g->epoch[group].v < FORMAT_EPOCH_RESTORED) {
        return (struct reg_ballot){0};
    }
    return (struct reg_ballot){.counter = g->epoch[group].v,
                               .proposer = c->groups[group].nics[0],
                               .instance = {g->replica[group][0].v}};
}

static enum ts_err format_voter(const char *dir, const struct cfg_cluster *c,
                                const struct format_genesis *g, struct ts_incarnation inc,
                                struct ts_why *why)
{
    struct voter_store_record records[TS_GROUPS_MAX];
    uint8_t *memory = malloc((size_t)TS_GROUPS_MAX * VOTER_RECORD_MAX);
    if (memory == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory while formatting %s; free some", dir);
    }
    for (size_t i = 0; i < c->group_count; i++) {
        struct cfg_config first = format_first_config(c, g, &c->groups[i]);
        struct reg_value value = {0};
        struct ts_writer vw = ts_writer_init(value.data, sizeof(value.data));
        cfg_config_encode(&first, &vw);
        ts_assert(ts_writer_status(&vw) == TS_OK);
        value.len = (uint16_t)vw.len;
        struct voter_record rec = {.kind = VOTER_RECORD_REGISTER,
                                   .reg = voter_genesis(c->groups[i].id.v, &value)};
        rec.reg.accepted = first_ballot(c, g, i);
        rec.reg.promised = rec.reg.accepted;
        uint8_t *at = memory + i * VOTER_RECORD_MAX;
        struct ts_writer w = ts_writer_init(at, VOTER_RECORD_MAX);
        voter_record_encode(&rec, &w);
        ts_assert(ts_writer_status(&w) == TS_OK);
        records[i] = (struct voter_store_record){.id = c->groups[i].id.v, .bytes = {at, w.len}};
    }
    enum ts_err err = voter_store_format(dir, inc, records, c->group_count, why);
    free(memory);
    return err;
}

/* Its registers are for the others to fill. */
static enum ts_err format_blank_voter(const char *dir, const struct cfg_cluster *c,
                                      const struct format_genesis *g, size_t index,
                                      struct ts_why *why)
{
    uint32_t ids[TS_GROUPS_MAX];
    for (size_t i = 0; i < c->group_count; i++) {
        ids[i] = c->groups[i].id.v;
    }
    return voter_store_format_blank(dir, g->voter[index], &g->voter_replaces[index], ids,
                                    c->group_count, why);
}

static enum ts_err make_voter(const char *node_dir, const struct cfg_cluster *c,
                              const struct format_genesis *g, size_t index,
                              const struct format_env *env, struct ts_why *why)
{
    if (!c->nodes[index].voter) {
        return TS_OK;
    }
    char dir[TS_PATH_MAX];
    enum ts_err err = ts_path(dir, why, node_dir, "voter");
    if (err != TS_OK) {
        return err;
    }
    step(env, "format the voter");
    err = g->voter_replaces[index].count > 0 ? format_blank_voter(dir, c, g, index, why)
                                             : format_voter(dir, c, g, g->voter[index], why);
    return err == TS_ERR_EXISTS ? check_incarnation(dir, "identity", g->voter[index], why) : err;
}

static enum ts_err make_replica(const char *node_dir, const struct cfg_group *group,
                                const struct format_replica *want, const struct format_env *env,
                                struct ts_why *why)
{
    char dir[TS_PATH_MAX];
    enum ts_err err = ts_path(dir, why, node_dir, "groups/%s", group->name);
    if (err != TS_OK) {
        return err;
    }
    step(env, "format a replica");
    err = env->replica(dir, want, why);
    return err == TS_ERR_EXISTS ? check_incarnation(dir, "record", want->incarnation, why) : err;
}

static enum ts_err make_dirs(const char *node_dir, const struct format_env *env, struct ts_why *why)
{
    static const char *const PARTS[] = {"run", "log", "tls", "groups"};
    for (size_t i = 0; i < sizeof(PARTS) / sizeof(PARTS[0]); i++) {
        char dir[TS_PATH_MAX];
        enum ts_err err = ts_path(dir, why, node_dir, "%s", PARTS[i]);
        if (err != TS_OK) {
            return err;
        }
        step(env, "make a directory");
        err = ts_dir_make(dir, DIR_MODE, why);
        if (err != TS_OK) {
            return err;
        }
    }
    return TS_OK;
}

static enum ts_err make_parts(const char *node_dir, const struct cfg_cluster *c,
                              const struct format_genesis *g, const struct cfg_node *node,
                              const struct format_env *env, struct ts_why *why)
{
    enum ts_err err = make_dirs(node_dir, env, why);
    if (err != TS_OK) {
        return err;
    }
    err = make_voter(node_dir, c, g, (size_t)(node - c->nodes), env, why);
    for (size_t i = 0; i < c->group_count && err == TS_OK; i++) {
        for (size_t m = 0; m < c->groups[i].nic_count && err == TS_OK; m++) {
            if (ts_nic_eq(c->groups[i].nics[m], node->id)) {
                struct format_replica want = {
                    .incarnation = g->replica[i][m],
                    .replaces = g->replaces[i][m],
                    .group = c->groups[i].id,
                    .floor = {g->epoch[i].v < FORMAT_EPOCH_RESTORED ? 0 : g->epoch[i].v},
                };
                err = make_replica(node_dir, &c->groups[i], &want, env, why);
            }
        }
    }
    return err;
}

/* RUN/formed as a NUL-terminated text, one name a line; NULL and TS_OK when there is none. */
static enum ts_err read_formed(const char *run, char path[TS_PATH_MAX], char **out,
                               struct ts_why *why)
{
    *out = NULL;
    enum ts_err err = ts_path(path, why, run, "formed");
    if (err != TS_OK) {
        return err;
    }
    uint8_t *data = NULL;
    size_t len = 0;
    err = ts_file_read(path, MARKER_BYTES_MAX, &data, &len, why);
    if (err == TS_ERR_NOT_FOUND) {
        return TS_OK;
    }
    *out = (char *)data;
    return err;
}

static bool formed_has(const char *formed, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = formed; line != NULL && *line != '\0';) {
        if (strncmp(line, name, n) == 0 && line[n] == '\n') {
            return true;
        }
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return false;
}

enum ts_err format_is_noted(const char *run, const struct cfg_node *node, bool *out,
                            struct ts_why *why)
{
    char path[TS_PATH_MAX];
    char *formed;
    *out = false;
    enum ts_err err = read_formed(run, path, &formed, why);
    if (err == TS_OK) {
        *out = formed_has(formed, node->name);
        free(formed);
    }
    return err;
}

static enum ts_err check_not_formed(const char *run, const struct cfg_node *node,
                                    struct ts_why *why)
{
    bool blank;
    enum ts_err err = format_is_noted(run, node, &blank, why);
    if (err != TS_OK) {
        return err;
    }
    if (blank) {
        return ts_why(why, TS_ERR_NOT_FOUND,
                      "%s was formed before (%s/formed says so) but %s/%s/formatted is gone: a "
                      "blank disk must not vote or replicate as if it had never run; put the "
                      "directory back, or, when it is lost for good, enrol a blank one with "
                      "twinstep nic replace %s",
                      node->name, run, run, node->name, node->name);
    }
    return TS_OK;
}

enum ts_err format_node(const char *run, const struct cfg_cluster *cluster,
                        const struct format_genesis *genesis, const struct cfg_node *node,
                        const struct format_env *env, struct ts_why *why)
{
    char dir[TS_PATH_MAX];
    char marker[TS_PATH_MAX];
    char expected[MARKER_BYTES_MAX];
    enum ts_err err = ts_path(dir, why, run, "%s", node->name);
    err = err != TS_OK ? err : ts_path(marker, why, dir, "formatted");
    err = err != TS_OK ? err : marker_text(cluster, genesis, node, expected, why);
    err = err != TS_OK ? err : check_marker(marker, expected, why);
    if (err != TS_ERR_NOT_FOUND) {
        return err;
    }
    if (!genesis->replacing[node - cluster->nodes]) {
        err = check_not_formed(run, node, why);
        if (err != TS_OK) {
            return err;
        }
    }
    step(env, "make the node's directory");
    err = ts_dir_make(dir, DIR_MODE, why);
    if (err != TS_OK) {
        return err;
    }
    struct ts_dir_lock lock;
    err = ts_dir_lock(&lock, dir, why);
    if (err != TS_OK) {
        return err;
    }
    err = make_parts(dir, cluster, genesis, node, env, why);
    if (err == TS_OK) {
        step(env, "write the node's marker");
        err = ts_file_replace(marker, expected, strlen(expected), FILE_MODE, why);
    }
    ts_dir_unlock(&lock);
    return err;
}

enum ts_err format_finish(const char *run, const struct cfg_cluster *cluster,
                          const bool formed[TS_NODES_MAX], const struct format_env *env,
                          struct ts_why *why)
{
    char path[TS_PATH_MAX];
    char *before;
    enum ts_err err = read_formed(run, path, &before, why);
    if (err != TS_OK) {
        return err;
    }
    char text[MARKER_BYTES_MAX];
    size_t used = 0;
    bool changed = false;
    for (size_t i = 0; i < cluster->node_count; i++) {
        const char *name = cluster->nodes[i].name;
        bool had = formed_has(before, name);
        changed = changed || (formed[i] && !had);
        if (formed[i] || had) {
            /* 63 names of 31 bytes always fit. */
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\n", name);
        }
    }
    free(before);
    ts_assert(used < sizeof(text));
    if (!changed) {
        return TS_OK;
    }
    step(env, "note the formed nodes");
    return ts_file_replace(path, text, used, FILE_MODE, why);
}

/* What the replicas and the voter of the node replace: the disks that the registers list, as far as
 * that is known. */
static void mint_replacements(const struct cfg_cluster *c, struct format_genesis *g,
                              const struct cfg_node *node, const struct format_listed *listed)
{
    size_t n = (size_t)(node - c->nodes);
    g->replacing[n] = true;
    if (node->voter) {
        reg_places_add(&g->voter_replaces[n], g->voter[n]);
        if (listed->voter.v != 0) {
            reg_places_add(&g->voter_replaces[n], listed->voter);
        }
        g->voter[n].v = ts_random_id();
    }
    for (size_t i = 0; i < c->group_count; i++) {
        for (size_t m = 0; m < c->groups[i].nic_count; m++) {
            if (ts_nic_eq(c->groups[i].nics[m], node->id)) {
                g->replaces[i][m] =
                    listed->replica[i].v != 0 ? listed->replica[i] : g->replica[i][m];
                g->replica[i][m].v = ts_random_id();
            }
        }
    }
}

static bool is_other(struct ts_incarnation listed, struct ts_incarnation replaces)
{
    return listed.v != 0 && !ts_incarnation_eq(listed, replaces);
}

/* Whether one that was begun is for the right places still. Nothing of it was ever started. */
static bool goes_on(const struct cfg_cluster *c, const struct format_genesis *g,
                    const struct cfg_node *node, const struct format_listed *listed)
{
    size_t n = (size_t)(node - c->nodes);
    bool other = node->voter && listed->voter.v != 0 &&
                 !reg_places_has(&g->voter_replaces[n], listed->voter);
    for (size_t i = 0; i < c->group_count; i++) {
        for (size_t m = 0; m < c->groups[i].nic_count; m++) {
            bool own = ts_nic_eq(c->groups[i].nics[m], node->id);
            other = other || (own && is_other(listed->replica[i], g->replaces[i][m]));
        }
    }
    return g->replacing[n] && !other;
}

static enum ts_err keep_genesis(const char *run, const struct cfg_cluster *cluster,
                                struct format_genesis *genesis, const struct format_genesis *next,
                                const struct format_env *env, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, run, "genesis.json");
    err = err != TS_OK ? err : write_genesis(path, cluster, next, env, why);
    if (err == TS_OK) {
        *genesis = *next;
    }
    return err;
}

/* A disk that was thought to be lost may be found before the new one is enrolled, and then it may
 * be the only one that has everything: the file that it belongs to is kept. */
static enum ts_err keep_before(const char *run, const struct format_env *env, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    char before[TS_PATH_MAX];
    uint8_t *text = NULL;
    size_t len = 0;
    enum ts_err err = ts_path(path, why, run, "genesis.json");
    err = err != TS_OK ? err : ts_file_read(path, GENESIS_BYTES_MAX, &text, &len, why);
    for (unsigned n = 1; err == TS_OK; n++) {
        err = ts_path(before, why, run, "genesis-before-%u.json", n);
        if (err == TS_OK && !exists(before)) {
            step(env, "keep the genesis of before");
            err = ts_file_replace(before, text, len, FILE_MODE, why);
            break;
        }
        if (n == BEFORE_MAX) {
            err = ts_why(why, TS_ERR_LIMIT, "%s has genesis-before-1.json to -%u.json: remove some",
                         run, n);
        }
    }
    free(text);
    return err;
}

enum ts_err format_replace(const char *run, const struct cfg_cluster *cluster,
                           struct format_genesis *genesis, const struct cfg_node *node,
                           const struct format_listed *listed, bool dry,
                           const struct format_env *env, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    bool formed = false;
    bool data = false;
    enum ts_err err = format_is_noted(run, node, &formed, why);
    if (err == TS_OK && !formed) {
        return ts_why(why, TS_ERR_REFUSED, "%s was never formed here: twinstep up forms it",
                      node->name);
    }
    if (err == TS_OK && goes_on(cluster, genesis, node, listed)) {
        return TS_OK;
    }
    err = err != TS_OK ? err : holds_data(run, node, path, &data, why);
    if (err == TS_OK && data) {
        return ts_why(why, TS_ERR_EXISTS,
                      "%s is there: that disk is not blank. If it is good, start it: twinstep up "
                      "--nic %s. If it is to be given up for good, move %s/%s away first",
                      path, node->name, run, node->name);
    }
    if (err != TS_OK || dry) {
        return err;
    }
    struct format_genesis next = *genesis;
    mint_replacements(cluster, &next, node, listed);
    err = keep_before(run, env, why);
    return err != TS_OK ? err : keep_genesis(run, cluster, genesis, &next, env, why);
}

enum ts_err format_replace_finish(const char *run, const struct cfg_cluster *cluster,
                                  struct format_genesis *genesis, const struct cfg_node *node,
                                  const struct format_env *env, struct ts_why *why)
{
    struct format_genesis next = *genesis;
    next.replacing[node - cluster->nodes] = false;
    return keep_genesis(run, cluster, genesis, &next, env, why);
}
