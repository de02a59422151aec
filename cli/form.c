#include "cli/form.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster-cfg/io/cluster_yaml.h"
#include "cluster-cfg/io/format.h"
#include "lab/certificate.h"
#include "net/ca.h"
#include "replicator/io/journal.h"
#include "replicator/io/replica_record.h"

#define DIR_MODE 0700
#define FILE_MODE 0600

static enum ts_err format_replica(const char *dir, const struct format_replica *want,
                                  struct ts_why *why)
{
    const struct replica_record first = {.floor = want->floor, .replaces = want->replaces};
    bool empty = want->floor.v == 0 && want->replaces.v == 0; /* promised nothing, replaces none */
    uint8_t bytes[REPLICA_RECORD_BYTES];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    replica_record_encode(&first, &w);
    struct ts_bytes record = {bytes, empty ? 0 : w.len};
    return journal_format(dir, want->incarnation, want->group, record, NULL, why);
}

static enum ts_err get_genesis(const struct cli_form *f, const struct format_env *env,
                               struct format_genesis *g, bool *first, struct ts_why *why)
{
    enum ts_err err = format_genesis_load(f->run, f->cluster, g, why);
    *first = false;
    if (err != TS_ERR_NOT_FOUND) {
        return err;
    }
    for (size_t i = 0; i < f->cluster->node_count; i++) {
        if (!f->chosen[i]) {
            return ts_why(
                why, TS_ERR_NOT_FOUND,
                "%s/genesis.json is missing, and only a machine that forms all nodes may "
                "make it: run \"twinstep up --prepare\" without --nic on one machine, then "
                "copy its run directory here",
                f->run);
        }
    }
    *first = true;
    return format_genesis_mint(f->run, f->cluster, f->epochs, g, env, why);
}

static bool has_certificates(const char *tls)
{
    static const char *const FILES[] = {"ca.pem", "node.pem", "node.key", "heartbeat.key"};
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        char path[TS_PATH_MAX];
        if (ts_path(path, NULL, tls, "%s", FILES[i]) != TS_OK || access(path, R_OK) != 0) {
            return false;
        }
    }
    return true;
}

/* What this formation owes one node. */
enum owed {
    OWED_NOTHING, /* it has its certificate, from whichever authority */
    OWED_ISSUE,
    OWED_LOST, /* it was formed before: the others know it by an authority, and not by a new one */
};

static enum ts_err look(const struct cli_form *f, const struct cfg_node *node,
                        char tls[TS_PATH_MAX], enum owed *out, struct ts_why *why)
{
    char marker[TS_PATH_MAX];
    bool before = false;
    enum ts_err err = ts_path(tls, why, f->run, "%s/tls", node->name);
    err = err != TS_OK ? err : ts_path(marker, why, tls, CA_ISSUED);
    err = err != TS_OK ? err : format_is_noted(f->run, node, &before, why);
    if (err != TS_OK) {
        return err;
    }
    bool has = has_certificates(tls);
    if (before) {
        *out = has ? OWED_NOTHING : OWED_LOST;
    } else {
        *out = has && access(marker, F_OK) == 0 ? OWED_NOTHING : OWED_ISSUE;
    }
    return TS_OK;
}

/* A lab's authority, which must be the only one of the cluster: it is made by the machine that
 * forms all nodes, and while none of them has a certificate. */
static enum ts_err make_authority(const struct cli_form *f, const char *ca,
                                  const struct cfg_node *node, const char *tls, bool alone,
                                  struct ts_why *why)
{
    char key[TS_PATH_MAX];
    enum ts_err err = ts_path(key, why, ca, "ca.key");
    if (err != TS_OK || access(key, F_OK) == 0) {
        return err;
    }
    if (!alone) {
        return ts_why(why, TS_ERR_NOT_FOUND,
                      "%s has no certificate in %s, and a new authority would not fit the other "
                      "nodes: issue it from theirs with twinstep ca issue --dir CA --node %s --out "
                      "%s",
                      node->name, tls, node->name, tls);
    }
    return ca_init(ca, f->cluster->name, why);
}

static enum ts_err make_certificates(const struct cli_form *f, struct ts_why *why)
{
    enum owed owed[TS_NODES_MAX] = {OWED_NOTHING};
    char ca[TS_PATH_MAX];
    char tls[TS_PATH_MAX];
    bool alone = true;
    enum ts_err err = ts_path(ca, why, f->run, "ca");
    for (size_t i = 0; i < f->cluster->node_count && err == TS_OK; i++) {
        const struct cfg_node *node = &f->cluster->nodes[i];
        if (f->chosen[i]) {
            err = look(f, node, tls, &owed[i], why);
        }
        alone = alone && f->chosen[i] && owed[i] == OWED_ISSUE;
        if (err == TS_OK && owed[i] == OWED_LOST) {
            err = ts_why(why, TS_ERR_NOT_FOUND,
                         "%s was formed before, and its certificate or keys in %s are missing: put "
                         "them back, or issue new ones from the cluster's authority (CA; a lab's "
                         "is %s) with twinstep ca issue --dir CA --node %s --out %s --force",
                         node->name, tls, ca, node->name, tls);
        }
    }
    for (size_t i = 0; i < f->cluster->node_count && err == TS_OK; i++) {
        const struct cfg_node *node = &f->cluster->nodes[i];
        if (owed[i] == OWED_ISSUE) {
            err = ts_path(tls, why, f->run, "%s/tls", node->name);
            err = err != TS_OK ? err : make_authority(f, ca, node, tls, alone, why);
            err = err != TS_OK ? err
                               : lab_certificate_issue(f->cluster, node, ca, tls,
                                                       ca_validity_days(CA_NODE_DAYS), why);
        }
    }
    return err;
}

/* The nodes read the copy, so that a later edit of the file takes effect at the next `up` only. */
static enum ts_err copy_config(const struct cli_form *f, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    uint8_t *text = NULL;
    uint8_t *old = NULL;
    size_t len = 0;
    size_t old_len = 0;
    enum ts_err err = ts_path(path, why, f->run, "cluster.yaml");
    err = err != TS_OK ? err : ts_file_read(f->config, CLUSTER_YAML_BYTES_MAX, &text, &len, why);
    if (err != TS_OK) {
        return err;
    }
    bool same = ts_file_read(path, CLUSTER_YAML_BYTES_MAX, &old, &old_len, NULL) == TS_OK &&
                old_len == len && memcmp(old, text, len) == 0;
    if (!same) {
        err = ts_file_replace(path, text, len, FILE_MODE, why);
    }
    free(old);
    free(text);
    return err;
}

enum ts_err cli_form(const struct cli_form *f, bool *first, struct ts_why *why)
{
    static const struct format_env ENV = {.replica = format_replica};
    bool minted;
    struct format_genesis g;
    enum ts_err err = ts_dir_make(f->run, DIR_MODE, why);
    err = err != TS_OK ? err : get_genesis(f, &ENV, &g, &minted, why);
    if (err != TS_OK) {
        return err;
    }
    if (first != NULL) {
        *first = minted;
    }
    for (size_t i = 0; i < f->cluster->node_count && err == TS_OK; i++) {
        if (f->chosen[i]) {
            err = format_node(f->run, f->cluster, &g, &f->cluster->nodes[i], &ENV, why);
        }
    }
    err = err != TS_OK ? err : make_certificates(f, why);
    for (size_t i = 0; i < f->cluster->node_count && err == TS_OK; i++) {
        /* A replacement that was broken off ends here: what starts now is never made again. */
        if (f->chosen[i] && g.replacing[i]) {
            err = format_replace_finish(f->run, f->cluster, &g, &f->cluster->nodes[i], &ENV, why);
        }
    }
    err = err != TS_OK ? err : copy_config(f, why);
    return err != TS_OK ? err : format_finish(f->run, f->cluster, f->chosen, &ENV, why);
}

/* Its certificate, if it has none, can be issued here. */
static enum ts_err check_certificate(const struct cli_form *f, const struct cfg_node *node,
                                     char ca[TS_PATH_MAX], char tls[TS_PATH_MAX], bool *issue,
                                     struct ts_why *why)
{
    char key[TS_PATH_MAX];
    enum ts_err err = ts_path(tls, why, f->run, "%s/tls", node->name);
    err = err != TS_OK ? err : ts_path(ca, why, f->run, "ca");
    err = err != TS_OK ? err : ts_path(key, why, ca, "ca.key");
    if (err != TS_OK) {
        return err;
    }
    *issue = !has_certificates(tls);
    if (*issue && access(key, F_OK) != 0) {
        return ts_why(
            why, TS_ERR_NOT_FOUND,
            "%s has no certificate in %s: it went with the disk. Issue a new one from "
            "the cluster's authority first: twinstep ca issue --dir CA --node %s --out %s",
            node->name, tls, node->name, tls);
    }
    return TS_OK;
}

enum ts_err cli_form_replace(const struct cli_form *f, const struct cfg_node *node,
                             const struct format_listed *listed, bool dry, struct ts_why *why)
{
    static const struct format_env ENV = {.replica = format_replica};
    char ca[TS_PATH_MAX];
    char tls[TS_PATH_MAX];
    struct format_genesis g;
    bool issue = false;
    enum ts_err err = format_genesis_load(f->run, f->cluster, &g, why);
    err = err != TS_OK ? err : check_certificate(f, node, ca, tls, &issue, why);
    err = err != TS_OK ? err : format_replace(f->run, f->cluster, &g, node, listed, dry, &ENV, why);
    if (err != TS_OK || dry) {
        return err;
    }
    err = format_node(f->run, f->cluster, &g, node, &ENV, why);
    if (err == TS_OK && issue) {
        err = lab_certificate_issue(f->cluster, node, ca, tls, ca_validity_days(CA_NODE_DAYS), why);
    }
    return err != TS_OK ? err : format_replace_finish(f->run, f->cluster, &g, node, &ENV, why);
}
